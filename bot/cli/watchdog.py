"""``fundarb watchdog``: protects the account when ``fundarb live`` hangs or is gone."""

from typing import Annotated

import typer

from bot.cli import networks, options, values
from bot.cli.live import Account, State
from bot.cli.values import read

EXAMPLES = """\b
Examples, beside a running `fundarb live --state DIR`:
  fundarb watchdog --url http://127.0.0.1:8123 --account 0xADDR --key-file watchdog.key \\
      --trader 0xAGENT --state DIR
"""


def watchdog(
    account: Account,
    key_file: Annotated[
        str,
        typer.Option(
            "--key-file", metavar="FILE", help="A key of the watchdog's own: of a second agent."
        ),
    ],
    trader: Annotated[
        str,
        typer.Option("--trader", metavar="0xADDR", help="The address of the trader's agent key."),
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
    """Take over from a bot that hangs: cancel its orders, make its pairs neutral, tell.

    Does nothing while the bot renews its lease. Give it the pairs, the settings and the
    state directory of the bot it watches. Never opens a position, never touches a person's.
    """
    from bot.cli import acting
    from bot.cli.serving import until_told

    watched = read("--trader", values.address, trader)
    where = networks.Asked(url, testnet, mainnet, confirm)
    act = acting.asked(where, account, key_file, pairs, config, state, watched)
    until_told(acting.watch(act, watched))
