"""``fundarb emulator``: a Hyperliquid-compatible exchange on this machine."""

import re
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli import values
from bot.cli.errors import CommandError
from bot.cli.values import read

if TYPE_CHECKING:
    from execution.venues.hyperliquid.emulator.faults import Fault

EXAMPLES = """\b
Examples:
  fundarb emulator --port 8123 --account 0xACCOUNT --agent 0xAGENT --agent 0xAGENT2
  fundarb emulator --account 0xACCOUNT=perp.USDC:5000,spot.USDC:5000,spot.HYPE:5
  fundarb emulator --account 0xA --account 0xB --agent 0xAGENT=0xB
  fundarb emulator --speed 60                    an hour of market a minute
  fundarb emulator --market DIR                  recorded history, as if it were now
  fundarb emulator --faults faults.toml          with lost answers and broken streams

Standard output is one JSON line, {"url": …}, once it answers. Every price of a
generated market is invented, and all of it ends with the process.
"""
NOBODYS = f"0x{'1' * 40}"
GENERATED = "generated"
DEPOSIT = Decimal(10_000)
SPEED_MAX = Decimal(14_400)
_HOLDING = re.compile(r"(perp|spot)\.(\w+):(.+)")


def emulator(
    *,
    port: Annotated[
        str, typer.Option("--port", metavar="N", help="On 127.0.0.1; a free one if not given.")
    ] = "0",
    account: Annotated[
        list[str] | None,
        typer.Option(
            "--account",
            metavar="0xADDR[=SIDE.ASSET:N,…]",
            help=(
                "Whose account it is, and what is on it: 10000 USDC on the perp side and as "
                "much on the spot side if not said; repeatable."
            ),
        ),
    ] = None,
    unified: Annotated[
        bool,
        typer.Option("--unified", help="One balance backs both sides, instead of one for each."),
    ] = False,
    unlimited: Annotated[
        bool,
        typer.Option(
            "--unlimited", help="Answer everything: not 1200 of weight a minute and ten sockets."
        ),
    ] = False,
    agent: Annotated[
        list[str] | None,
        typer.Option(
            "--agent",
            metavar="0xADDR[=0xACCOUNT]",
            help="A key that may trade for it, or for the account that is named; repeatable.",
        ),
    ] = None,
    market: Annotated[
        str,
        typer.Option(
            "--market", metavar="generated|DIR", help="Generated, or recorded history replayed."
        ),
    ] = GENERATED,
    seed: Annotated[str, typer.Option("--seed", metavar="N", help="Same seed, same market.")] = "1",
    speed: Annotated[
        str,
        typer.Option(
            "--speed",
            metavar="N",
            help=(
                "Seconds of market and funding a second. Nonces and expiries keep to the wall "
                "clock. `fundarb live` needs 1: it does not trade where clocks disagree."
            ),
        ),
    ] = "1",
    faults: Annotated[
        str | None,
        typer.Option(
            "--faults", metavar="FILE", help="What goes wrong, and when: [[fault]] tables in TOML."
        ),
    ] = None,
) -> None:
    """Be an exchange that speaks Hyperliquid's protocol, on 127.0.0.1 only.

    Signatures checked, a market that nobody moves. Runs until Ctrl-C or SIGTERM.
    """
    number = read("--port", _port, port)
    accounts = _accounts(account or [NOBODYS], agent or [])
    chosen = read("--seed", values.whole, seed)
    pace = read("--speed", _pace, speed)
    file = read("--faults", values.existing_file, faults)
    directory = None if market == GENERATED else read("--market", _directory, market)
    from bot.cli.serving import until_told

    until_told(_serve(number, accounts, unified, unlimited, chosen, pace, file, directory))


async def _serve(
    port: int,
    accounts: dict[str, tuple[dict[str, Decimal], list[str]]],
    unified: bool,
    unlimited: bool,
    seed: int,
    speed: float,
    faults: Path | None,
    directory: Path | None,
) -> None:
    import asyncio
    import json
    import os
    import sys
    from contextlib import AsyncExitStack

    import structlog

    from bot import emulation, logs
    from bot.backtest.bars import DataError
    from bot.clock import SteadyClock

    known = {"USDC", *(pair.spot.base for pair in emulation.tradable())}
    held = {holding.partition(".")[2] for deposits, _ in accounts.values() for holding in deposits}
    if strange := sorted(held - known):
        raise CommandError(
            f"--account: {strange[0]} is not listed here; there are {', '.join(sorted(known))}"
        )
    trouble = _faults(faults)
    logs.configure(sys.stderr)
    async with AsyncExitStack() as stack:
        try:
            serving = emulation.emulate(
                directory=directory,
                accounts=[emulation.Account(one, *rest) for one, rest in accounts.items()],
                unified=unified,
                limited=not unlimited,
                seed=seed,
                speed=speed,
                clock=SteadyClock().now_ns,
                port=port,
                faults=trouble,
            )
        except DataError as error:
            raise CommandError(f"--market: {error}") from error
        try:
            url = await stack.enter_async_context(serving)
        except OSError as error:
            why = os.strerror(error.errno or 0)
            raise CommandError(f"--port {port} cannot be had: {why}; 0 is a free one") from error
        sys.stdout.write(json.dumps({"url": url}) + "\n")
        sys.stdout.flush()
        structlog.get_logger().info(
            "emulator",
            market="generated" if directory is None else str(directory),
            synthetic=directory is None,
            url=url,
            account=",".join(accounts),
            unified=unified,
            agents=",".join(agent for _, agents in accounts.values() for agent in agents),
            seed=seed,
            speed=speed,
            faults=len(trouble),
        )
        await asyncio.Event().wait()


def _directory(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise ValueError(f"neither 'generated' nor a directory: {text!r}")
    return path


def _faults(path: Path | None) -> "tuple[Fault, ...]":
    from execution.venues.hyperliquid.emulator.faults import read_faults

    if path is None:
        return ()
    try:
        return read_faults(path.read_bytes())
    except (ValueError, OSError) as error:
        raise CommandError(f"--faults: {path}: {' '.join(str(error).split())}") from error


def _port(text: str) -> int:
    number = values.whole(text)
    if number > 65_535:
        raise ValueError(f"must be between 0 and 65535, got {text}")
    return number


def _pace(text: str) -> float:
    speed = values.positive(text)
    if speed > SPEED_MAX:
        raise ValueError(f"must be at most {SPEED_MAX} (four hours a second), got {text}")
    return float(speed)


def _accounts(
    accounts: list[str], agents: list[str]
) -> dict[str, tuple[dict[str, Decimal], list[str]]]:
    """Deposits and agents of each address; an agent is the first's where nobody is named.

    Raises:
        CommandError: an address is named twice, or an agent's account is none of them.
    """
    found: dict[str, tuple[dict[str, Decimal], list[str]]] = {}
    for text in accounts:
        whose, deposits = read("--account", _account, text)
        if whose in found:
            raise CommandError(f"--account: {whose} is given twice")
        found[whose] = deposits, []
    taken = set(found)
    for text in agents:
        agent, _, named = text.partition("=")
        address = read("--agent", values.address, agent)
        whose = read("--agent", values.address, named) if named else next(iter(found))
        if whose not in found:
            raise CommandError(f"--agent: {whose} is no --account of this exchange")
        if address in taken:
            raise CommandError(f"--agent: {address} is given twice; an agent is of one account")
        taken.add(address)
        found[whose][1].append(address)
    return found


def _account(text: str) -> tuple[str, dict[str, Decimal]]:
    """The address, and what is on the account, by side and asset.

    >>> sorted(_account(f"{NOBODYS}=perp.USDC:5000,spot.USDC:2000,spot.HYPE:5")[1])
    ['perp.USDC', 'spot.HYPE', 'spot.USDC']
    """
    whose, separator, holdings = text.partition("=")
    if not separator:
        return values.address(whose), {"perp.USDC": DEPOSIT, "spot.USDC": DEPOSIT}
    deposits: dict[str, Decimal] = {}
    for holding in holdings.split(","):
        found = _HOLDING.fullmatch(holding.strip())
        if found is None or (found[1] == "perp" and found[2] != "USDC"):
            raise ValueError(f"{holding!r} is nothing that can be there: write spot.USDC:5000")
        where = f"{found[1]}.{found[2]}"
        deposits[where] = deposits.get(where, Decimal(0)) + values.positive(found[3])
    return values.address(whose), deposits
