"""``fundarb live``: the bot with orders of its own."""

from typing import Annotated

import typer

from bot.cli import networks, options

EXAMPLES = """\b
Examples:
  fundarb live --url http://127.0.0.1:8123 --account 0xADDR --key-file trader.key
  fundarb live --testnet --config live.toml --account 0xADDR --key-file trader.key
  fundarb live --mainnet --config live.toml --account … --key-file credential:trader --confirm …
"""

Account = Annotated[
    str, typer.Option("--account", metavar="0xADDR", help="Whose account is traded.")
]
State = Annotated[
    str | None,
    typer.Option(
        "--state",
        metavar="DIR",
        help="Journal, lease and alarms; recovered from. state/testnet, or state/live on mainnet.",
    ),
]
KEY_FORMS = "64 hex digits or a keystore in a file of yours alone (chmod 600), or credential:NAME."


def live(
    account: Account,
    key_file: Annotated[
        str, typer.Option("--key-file", metavar="FILE", help=f"The agent's key: {KEY_FORMS}")
    ],
    *,
    url: networks.Url = None,
    testnet: networks.Testnet = False,
    mainnet: networks.Mainnet = False,
    confirm: networks.Confirm = None,
    pairs: options.Pairs = None,
    config: options.Config = None,
    state: State = None,
) -> None:
    """Trade: real orders, signed by an agent's key that cannot withdraw.

    For testnet or mainnet live.network in the settings has to say the same, and the
    account's address is typed again. Refuses to start when `fundarb doctor` finds anything.
    Ctrl-C and SIGTERM leave orders and positions as they are, the next start recovers.
    """
    from bot.cli import acting
    from bot.cli.serving import until_told

    where = networks.Asked(url, testnet, mainnet, confirm)
    act = acting.asked(where, account, key_file, pairs, config, state)
    until_told(acting.trade(act))
