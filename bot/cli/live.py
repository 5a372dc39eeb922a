"""``fundarb live``: the bot with orders of its own, against an exchange on this machine."""

from typing import Annotated

import typer

from bot.cli import options

EXAMPLES = """\b
Examples, with `fundarb emulator --port 8123 …` in another terminal:
  fundarb live --testnet --url http://127.0.0.1:8123 --account 0xADDR --key-file trader.key
  fundarb live --testnet --url … --account … --key-file trader.key --pairs HYPE,PURR
"""
TESTNET_STATE = "state/testnet"

Url = Annotated[
    str, typer.Option("--url", metavar="URL", help="An exchange on this machine; no other yet.")
]
Account = Annotated[
    str, typer.Option("--account", metavar="0xADDR", help="Whose account is traded.")
]
State = Annotated[
    str,
    typer.Option("--state", metavar="DIR", help="Journal, lease and alarms; recovered from."),
]


def live(
    url: Url,
    account: Account,
    key_file: Annotated[
        str,
        typer.Option(
            "--key-file",
            metavar="FILE",
            help="The agent's key, 64 hex digits; yours alone (chmod 600), never the account's.",
        ),
    ],
    *,
    testnet: Annotated[
        bool, typer.Option("--testnet", help="No real money. Needed: nothing else is offered yet.")
    ] = False,
    pairs: options.Pairs = None,
    config: options.Config = None,
    state: State = TESTNET_STATE,
) -> None:
    """Trade on an exchange on this machine: real orders, over the wire, no real money.

    Nothing is put in order at the end: Ctrl-C and SIGTERM leave orders and positions as
    they are, the next start recovers, and `fundarb watchdog` is there for the time between.
    """
    from bot.cli import acting
    from bot.cli.serving import until_told

    if not testnet:
        raise acting.Refused("real venues are not offered yet: add --testnet")
    act = acting.asked(url, account, key_file, pairs, config, state)
    until_told(acting.trade(act))
