"""Where a command may act: an exchange on this machine, the testnet, or real money.

Two switches stand before trading on either real network, and each is turned by itself:
``live.network`` in the settings, and ``--testnet`` or ``--mainnet`` on the command line. Then the
account's address is typed once more. Until all of that is so, nothing is contacted. What its owner
does by hand (``fundarb account``) wants the command line's switch and the address; reading only
the switch.
"""

import sys
from typing import Annotated, Literal, NamedTuple

import typer

from bot.cli import values
from bot.cli.errors import REFUSED, CommandError
from bot.cli.values import read

Network = Literal["here", "testnet", "mainnet"]

Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="An exchange on this machine: an emulator."),
]
PublicUrl = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="If not the venue's own: an emulator's."),
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


def place(asked: Asked, permitted: str | None) -> Place:
    """``permitted`` is ``live.network`` of the settings; None where that switch plays no part.

    Raises:
        Refused: the switches do not agree, or an address is not on this machine.
        CommandError: the address is here, and none of a host alone.
    """
    if asked.testnet and asked.mainnet:
        raise Refused("--testnet and --mainnet: it is one or the other")
    if asked.url is not None:
        if asked.mainnet:
            raise Refused("--mainnet: what --url names is on this machine, no real money is there")
        return Place("here", read("--url", on_this_machine, asked.url))
    if not (asked.testnet or asked.mainnet):
        raise Refused(
            "where to? --testnet, --mainnet, or --url of an exchange on this machine "
            "(`fundarb emulator` is one)"
        )
    network: Network = "mainnet" if asked.mainnet else "testnet"
    if permitted not in (None, network):
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
    from bot.transport import endpoints, is_here

    try:
        here = is_here(url)
    except ValueError:
        here = False
    if not here:
        raise Refused(
            "--url takes only an exchange on this machine, such as http://127.0.0.1:8123 "
            "(`fundarb emulator` is one); the real ones are --testnet and --mainnet"
        )
    return endpoints(url)[0]


def public(url: str | None) -> str:
    """Where to ask what everybody may read: as typed, or the venue's own address.

    Raises:
        CommandError: what was typed is no venue's address.
    """
    from bot.instruments import load_url

    return read("--url", values.base_url, url) or load_url("hyperliquid", "mainnet")


def confirm(where: Place, account: str, again: str | None) -> None:
    """Have the account's address typed once more; not for an exchange on this machine.

    Raises:
        Refused: it was not, or it is another.
    """
    if where.network == "here":
        return
    money = "REAL MONEY" if where.network == "mainnet" else "no real money"
    question = "Type the account's address to go on"
    require_typed(account, again, f"{where.network} ({money}) at {where.url}\n{question}")


def require_typed(account: str, again: str | None, question: str) -> None:
    """``again`` has to be the account's address; where it is None, a person is asked for it.

    Raises:
        Refused: it is another, or nobody is there to be asked.
    """
    if again is None:
        if not sys.stdin.isatty():
            raise Refused(f"--confirm {account} is needed where nobody can type it")
        again = typer.prompt(question, err=True)
    if again.strip().lower() != account:
        raise Refused("what was typed is not the account's address: nothing was done")
