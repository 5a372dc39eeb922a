"""Where a command may act: an exchange on this machine, the testnet, or real money.

Two switches stand before either real network, and each is turned by itself: ``live.network`` in
the settings, and ``--testnet`` or ``--mainnet`` on the command line. Then the account's address
is typed once more. Until all of that is so, nothing is contacted.
"""

import sys
from ipaddress import ip_address
from typing import Annotated, Literal, NamedTuple
from urllib.parse import urlsplit

import typer

from bot.cli.errors import REFUSED, CommandError

Network = Literal["here", "testnet", "mainnet"]

Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="An exchange on this machine: an emulator."),
]
Testnet = Annotated[bool, typer.Option("--testnet", help="No real money.")]
Mainnet = Annotated[bool, typer.Option("--mainnet", help="Real money.")]
Confirm = Annotated[
    str | None,
    typer.Option(
        "--confirm", metavar="0xADDR", help="The account's address again, where nobody can type it."
    ),
]
STATES: dict[Network, str] = {
    "here": "state/testnet",
    "testnet": "state/testnet",
    "mainnet": "state/live",
}


class Refused(CommandError):
    """Nothing is wrong with how it was asked; it is not done all the same."""

    exit_code = REFUSED


class Asked(NamedTuple):
    """What was typed about where."""

    url: str | None
    testnet: bool
    mainnet: bool
    confirm: str | None = None


class Place(NamedTuple):
    """Which network, and its address."""

    network: Network
    url: str


def place(asked: Asked, permitted: str) -> Place:
    """``permitted`` is ``live.network`` of the settings.

    Raises:
        Refused: the switches do not agree, or an address is not on this machine.
        ValueError: the address is here, and none of a host alone.
    """
    if asked.testnet and asked.mainnet:
        raise Refused("--testnet and --mainnet: it is one or the other")
    if asked.url is not None:
        if asked.mainnet:
            raise Refused("--mainnet: what --url names is on this machine, no real money is there")
        return Place("here", on_this_machine(asked.url))
    if not (asked.testnet or asked.mainnet):
        raise Refused(
            "where to? --testnet, --mainnet, or --url of an exchange on this machine "
            "(`fundarb emulator` is one)"
        )
    network: Network = "mainnet" if asked.mainnet else "testnet"
    if permitted != network:
        raise Refused(
            f"--{network} is one switch of two, and the other says {permitted!r}: write "
            f'network = "{network}" under [live] into the file of --config, if that is meant'
        )
    from bot.instruments import load_url

    return Place(network, load_url("hyperliquid", network))


def on_this_machine(url: str) -> str:
    """The address of an exchange on a loopback interface.

    Raises:
        Refused: it is anywhere else.
        ValueError: it is here, and no address of a host alone.
    """
    try:
        host = urlsplit(url).hostname or ""
        here = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        here = False
    if not here:
        raise Refused(
            "--url takes only an exchange on this machine, such as http://127.0.0.1:8123 "
            "(`fundarb emulator` is one); the real ones are --testnet and --mainnet"
        )
    from bot.transport import endpoints

    return endpoints(url)[0]


def confirm(where: Place, account: str, again: str | None) -> None:
    """Have the account's address typed once more; not for an exchange on this machine.

    Raises:
        Refused: it was not, or it is another.
    """
    if where.network == "here":
        return
    if again is None:
        if not sys.stdin.isatty():
            raise Refused(f"--confirm {account} is needed where nobody can type it")
        money = "REAL MONEY" if where.network == "mainnet" else "no real money"
        sys.stderr.write(f"{where.network} ({money}) at {where.url}\n")
        again = typer.prompt("Type the account's address to go on", err=True)
    if again.strip().lower() != account:
        raise Refused("what was typed is not the address of --account: nothing was done")
