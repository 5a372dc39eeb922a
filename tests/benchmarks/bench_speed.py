"""How fast it is where that counts: start, backtest, paper, and from a book to a decision."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from bot.backtest.history import open_history
from domain.market import Book, Level, PerpContext
from domain.rates import FundingRate
from domain.time import SECOND
from tests.benchmarks.conftest import Figures
from tests.benchmarks.synthetic_history import PRICES, write_history
from tests.scripted import PERP, SPOT, Scripted, Told, World

E = TypeVar("E")

HOURS = 24 * 365
FUNDARB = (sys.executable, "-m", "bot.cli.main")


def spent(command: Sequence[str]) -> tuple[float, float]:
    """Wall and processor seconds of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=os.environ)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, used


@pytest.fixture(scope="session")
def year(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five pairs, a year of hourly bars: SYNTHETIC, written in the layout of recorded history."""
    directory = tmp_path_factory.mktemp("year")
    write_history(directory, HOURS)
    return directory


def test_a_year_of_five_pairs(year: Path, figures: Figures, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    names = ",".join(PRICES)
    options = ("--data", str(year), "--pairs", names, "--bar", "1h", "--json", str(report))
    wall, used = spent((*FUNDARB, "backtest", *options))
    result = json.loads(report.read_text())
    assert result["integrity"]["ledger_balanced"]
    assert result["integrity"]["violations"] == []
    assert result["pairs"]

    source = open_history(year, "hyperliquid", tuple(PRICES), bar="1h")
    began = time.process_time()
    events = sum(1 for _ in source.events(source.start_ns))
    floor = time.process_time() - began
    figures.add(
        "backtest, 5 pairs x 1 year of hourly bars (synthetic), whole process",
        f"{wall:.1f} s wall, {used:.1f} s processor, {events / used:,.0f} market events/s",
        floor=f"{floor:.1f} s: the same market events, alone",
        ratio=used / floor,
        bound="30 s",
        command="fundarb backtest --data DIR --pairs BTC,ETH,SOL,HYPE,PURR --bar 1h",
    )


def test_help_answers_at_once(figures: Figures) -> None:
    asked, empty, typer = (
        min(spent(command)[0] for _ in range(5))
        for command in (
            (*FUNDARB, "--help"),
            (sys.executable, "-c", "pass"),
            (sys.executable, "-c", "import typer"),
        )
    )
    figures.add(
        "`fundarb --help`, best of 5",
        f"{asked:.2f} s wall",
        floor=f"{typer:.2f} s: import typer; {empty:.2f} s: an empty program",
        ratio=asked / typer,
        bound="0.5 s",
        command="fundarb --help",
    )


def test_two_days_of_paper(figures: Figures, tmp_path: Path) -> None:
    options = ("--speed", "max", "--for", "48h", "--no-web", "--state", str(tmp_path / "state"))
    wall, used = spent((*FUNDARB, "paper", *options))
    figures.add(
        "paper, 48 h of 6 generated pairs, both sides' files synced to disk",
        f"{wall:.1f} s wall, {used:.1f} s processor",
        bound="60 s",
        command="fundarb paper --for 48h --speed max",
    )


@pytest.mark.parametrize("command", ["--help", "paper", "backtest"])
def test_no_heavy_library_is_loaded(
    command: str, figures: Figures, year: Path, tmp_path: Path
) -> None:
    words = {
        "--help": ["--help"],
        "paper": f"paper --speed max --for 1h --no-web --state {tmp_path / 's'}".split(),
        "backtest": f"backtest --data {year} --pairs BTC --bar 1h --to 2024-01-05".split(),
    }[command]
    program = (
        "import sys\nfrom bot.cli.main import run\n"
        f"run({words!r})\n"
        "found = {'ccxt', 'numpy', 'pandas', 'hyperliquid'} & set(sys.modules)\n"
        "sys.exit(1 if found else 0)"
    )
    spent((sys.executable, "-c", program))
    figures.add(f"ccxt, numpy, pandas, SDK loaded by `{command}`", "none", bound="none")


def test_from_a_book_to_a_decision(figures: Figures) -> None:
    for held in (False, True):
        world = World(Scripted(lambda _: 20.0, hours=3), Told(enter=1 if held else 1e9)).run(2)
        assert (world.engine.state.trade_on("HYPE") is not None) == held
        what = "a pair held" if held else "nothing held"
        floor, book, context = (min(times) for times in zip(*rounds(world), strict=True))
        figures.add(
            f"one book through the engine, {what}",
            f"{book:.2f} us",
            floor=f"{floor:.2f} us: one look-up",
            ratio=book / floor,
        )
        figures.add(f"one mark and funding update through the engine, {what}", f"{context:.2f} us")


def rounds(world: World, count: int = 5, size: int = 10_000) -> Iterator[tuple[float, ...]]:
    """Microseconds an event: a look-up, a book, a context. Each round's events are new ones:
    what is older than what is known is dropped early, and would be measured as fast."""
    engine, rate = world.engine, FundingRate(0.0001, 1)
    for number in range(count):
        first_ns = world.venue.now_ns + number * size * SECOND
        times = [first_ns + k * SECOND for k in range(size)]
        books = [
            Book(leg.id, (Level(19.99, 1e4),) * 3, (Level(20.01, 1e4),) * 3, at, at)
            for at in times
            for leg in (SPOT, PERP)
        ]
        contexts = [PerpContext(PERP.id, 20.0, 20.0, rate, at, at) for at in times]
        yield (
            spent_on(books, lambda event: engine.market.of(event.instrument)),
            spent_on(books, engine.handle),
            spent_on(contexts, engine.handle),
        )


def spent_on(events: Sequence[E], work: Callable[[E], object]) -> float:
    """Processor microseconds for each event."""
    began = time.process_time()
    for event in events:
        work(event)
    return (time.process_time() - began) / len(events) * 1e6
