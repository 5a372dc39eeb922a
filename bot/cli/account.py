"""``fundarb account``: what only the account's owner can do, one typed confirmation each."""

import re
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from bot.cli import networks, options, values
from bot.cli.errors import FAILED, CommandError
from bot.cli.values import read

if TYPE_CHECKING:
    from bot.master import Master, Mode

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Set an account up; needs its own key, which the bot never gets.",
)
AGENT_EXAMPLES = """\b
Examples:
  fundarb account approve-agent --testnet --out keys/trader.key
  fundarb account approve-agent --mainnet --name watchdog --out keys/watchdog.key
"""
MODE_EXAMPLES = """\b
Example:
  fundarb account mode unified --testnet
"""
MOVE_EXAMPLES = """\b
Example:
  fundarb account move 250 --to perp --testnet
"""
DAYS_MAX = 180
_NAME = re.compile(r"[A-Za-z0-9]{1,16}")
_DECIMALS = 6

T = TypeVar("T")


class Undone(CommandError):
    """It was asked for, and the venue did not do it, or did not say so."""

    exit_code = FAILED


KeyFile = Annotated[
    str | None,
    typer.Option(
        "--key-file",
        metavar="FILE",
        help="The account's own key: hex digits or a keystore, yours alone; else asked for.",
    ),
]


@app.command("approve-agent", epilog=AGENT_EXAMPLES)
def approve_agent(
    *,
    out: Annotated[
        str, typer.Option("--out", metavar="FILE", help="Where the agent's new key is kept.")
    ],
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="One of three; replaces its former key.")
    ] = "fundarb",
    days: Annotated[
        str, typer.Option("--days", metavar="N", help="How long it may trade, 180 at most.")
    ] = "90",
    url: networks.Url = None,
    testnet: networks.Testnet = False,
    mainnet: networks.Mainnet = False,
    key_file: KeyFile = None,
    confirm: networks.Confirm = None,
    json: options.Json = None,
) -> None:
    """Make a key that may trade for the account and cannot withdraw, and have the venue know it."""
    length = read("--days", _days, days)
    called = read("--name", _name, name)
    file = read("--out", _new_file, out)
    answer = read("--json", values.writable_file, json)
    from bot.cli.output import write_json
    from bot.clock import SystemClock
    from domain.time import DAY, MILLISECOND, iso

    master, at = _master(networks.Asked(url, testnet, mainnet), key_file)
    until_ms = (SystemClock().now_ns() + length * DAY) // MILLISECOND
    _confirm(
        master,
        at,
        f"let a new key {called!r} trade for {master.address} until {iso(until_ms * MILLISECOND)}",
        confirm,
    )
    agent = _done(lambda: master.approve_agent(called, until_ms, file))
    sys.stderr.write(f"{agent} may trade for {master.address}; its key is in {file}\n")
    write_json(
        {
            "network": at.network,
            "account": master.address,
            "agent": agent,
            "until": iso(until_ms * MILLISECOND),
            "key_file": str(file),
        },
        answer,
    )


@app.command("mode", epilog=MODE_EXAMPLES)
def mode(
    mode: Annotated[str, typer.Argument(metavar="unified|standard|portfolio")],
    *,
    url: networks.Url = None,
    testnet: networks.Testnet = False,
    mainnet: networks.Mainnet = False,
    key_file: KeyFile = None,
    confirm: networks.Confirm = None,
    json: options.Json = None,
) -> None:
    """Set what backs what: one balance for spot and perps (unified), or each its own (standard)."""
    wanted = read("MODE", _mode, mode)
    answer = read("--json", values.writable_file, json)
    from bot.cli.output import write_json

    master, at = _master(networks.Asked(url, testnet, mainnet), key_file)
    _confirm(master, at, f"set the mode of {master.address} to {wanted}", confirm)
    _done(lambda: master.set_mode(wanted))
    sys.stderr.write(f"the mode of {master.address} is {wanted}\n")
    write_json({"network": at.network, "account": master.address, "mode": wanted}, answer)


@app.command("move", epilog=MOVE_EXAMPLES)
def move(
    amount: Annotated[str, typer.Argument(metavar="USDC")],
    *,
    to: Annotated[str, typer.Option("--to", metavar="perp|spot", help="Onto which side.")],
    url: networks.Url = None,
    testnet: networks.Testnet = False,
    mainnet: networks.Mainnet = False,
    key_file: KeyFile = None,
    confirm: networks.Confirm = None,
    json: options.Json = None,
) -> None:
    """Move USDC between the perp and the spot side of a standard account."""
    usdc = read("USDC", _amount, amount)
    side = read("--to", _side, to)
    answer = read("--json", values.writable_file, json)
    from bot.cli.output import write_json

    master, at = _master(networks.Asked(url, testnet, mainnet), key_file)
    _confirm(master, at, f"move {usdc} USDC of {master.address} to its {side} side", confirm)
    _done(lambda: master.move(usdc, to_perp=side == "perp"))
    sys.stderr.write(f"{usdc} USDC are on the {side} side of {master.address}\n")
    told = {"network": at.network, "account": master.address, "amount": usdc, "to": side}
    write_json(told, answer)


def _master(asked: networks.Asked, key_file: str | None) -> "tuple[Master, networks.Place]":
    """Nothing is contacted yet."""
    from bot.cli.acting import passphrase
    from bot.keys import key_of
    from bot.master import Master

    at = networks.place(asked, None)
    if key_file is None:
        key = _typed_key()
    else:
        key = read("--key-file", lambda source: key_of(source, passphrase), key_file)
    return Master(key, at.url, is_mainnet=at.network == "mainnet"), at


def _typed_key() -> bytes:
    from getpass import getpass

    from bot.keys import key_in

    if not sys.stdin.isatty():
        raise CommandError("--key-file is needed where nobody can type the account's key")
    try:
        return key_in(getpass("The account's own key (not shown): "))
    except ValueError as error:
        raise CommandError(str(error)) from None


def _confirm(master: "Master", at: networks.Place, what: str, again: str | None) -> None:
    sys.stderr.write(f"{at.network}, {at.url}: {what}\n")
    question = "Type the account's address to have it done"
    networks.require_typed(master.address, again, question)


def _done(act: Callable[[], T]) -> T:
    from bot.master import NotDone

    try:
        return act()
    except NotDone as error:
        raise Undone(str(error)) from None
    except ValueError as error:
        raise CommandError(str(error)) from None


def _days(text: str) -> int:
    number = values.whole(text)
    if not 1 <= number <= DAYS_MAX:
        raise ValueError(f"must be between 1 and {DAYS_MAX}, got {text}")
    return number


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("not a name: up to 16 letters and digits are one")
    return text


def _new_file(text: str) -> Path:
    path = values.writable_file(text)
    if path.exists():
        raise ValueError(f"{text!r} is there already: a key is never written over")
    return path


def _mode(text: str) -> "Mode":
    from bot.master import MODES

    for known in MODES:
        if text == known:
            return known
    raise ValueError(f"{text!r} is no mode: choose {', '.join(MODES)}")


def _side(text: str) -> str:
    if text not in ("perp", "spot"):
        raise ValueError(f"{text!r} is no side: choose perp or spot")
    return text


def _amount(text: str) -> Decimal:
    value = values.positive(text)
    exponent = value.normalize().as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -_DECIMALS:
        raise ValueError(f"USDC has {_DECIMALS} decimals, got {text}")
    return value
