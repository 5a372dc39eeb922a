"""As a user runs it: the console command in its own process, over real and generated markets."""

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from execution.journal import Digest
from tests.recompute import recompute_total
from tests.scripted import Scripted, Told, World

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("funding", "basis", "fees", "slippage", "borrow", "liquidation")
GENERATED = "paper --speed max --for 12h --pairs SOL,DOGE --no-web"


def environment(**more: str) -> dict[str, str]:
    """Without settings from outside, and with this checkout first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FUNDARB_")}
    return kept | {"PYTHONPATH": str(ROOT)} | more


def command(line: str) -> list[str]:
    return [sys.executable, "-m", "bot.cli.main", *line.split()]


class Ended(NamedTuple):
    report: dict[str, Any]
    tables: Path


def fundarb(folder: Path, line: str, **env: str) -> Ended:
    """Run a command to its end; it writes its report and its tables into ``folder``."""
    done = subprocess.run(
        command(f"{line} --json report.json --export tables"),
        cwd=folder, env=environment(**env), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return Ended(json.loads((folder / "report.json").read_text("utf-8")), folder / "tables")


def status(folder: Path) -> dict[str, Any]:
    told = subprocess.run(
        command("status --state state --json -"),
        cwd=folder, env=environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    answer: dict[str, Any] = json.loads(told.stdout)
    return answer


def total(part: Mapping[str, str]) -> Decimal:
    return sum((Decimal(part[name]) for name in PARTS), Decimal(0))


def assert_whole(ended: Ended) -> None:
    """Nothing is unexplained: books, venue, parts, pairs, and anyone's own computation."""
    report, tables = ended
    integrity = report["integrity"]
    assert (integrity["ledger_balanced"], integrity["venue_reconciled"]) == (True, True)
    assert integrity["violations"] == []
    assert report["risk"]["liquidations"] == 0
    pnl, equity = report["pnl"], report["equity"]
    assert total(pnl) == Decimal(pnl["total"])
    earned = Decimal(equity["end"]) - Decimal(equity["start"]) - Decimal(equity["deposits"])
    assert Decimal(pnl["total"]) == earned
    shares = [trade["pnl"] for trade in report["pairs"]] + [report["unassigned"]]
    for name in (*PARTS, "total"):
        assert sum((Decimal(share[name]) for share in shares), Decimal(0)) == Decimal(pnl[name])
    assert all(total(share) == Decimal(share["total"]) for share in shares)
    assert abs(recompute_total(tables, report) - Decimal(pnl["total"])) < Decimal("0.01")


def assert_bounded(report: Mapping[str, Any]) -> None:
    """The naked bound as configured.

    A slice is sized so that at its own limit price it is at most the bound; it fills at
    that price. Beyond the bound lies only what the price moves between that fill and
    the fills of its hedge, at which the rest is valued: nothing here, where a hedge
    fills in one piece or at a price below.
    """
    settings = tomllib.loads((ROOT / "config" / "default.toml").read_text("utf-8"))
    execution, risk = settings["execution"], settings["risk"]
    assert Decimal(report["risk"]["max_naked_notional"]) <= execution["max_naked_notional"]
    assert report["risk"]["max_naked_seconds"] <= execution["max_naked_seconds"]
    assert report["risk"]["max_effective_leverage"] <= risk["leverage_cap"]
    assert report["risk"]["max_leverage_held"] <= risk["leverage_cap"]
    # The guard acts at the first mark beyond its level, half a percent further at most.
    nearest = report["risk"]["min_liquidation_distance"]
    assert 1 + nearest >= (1 + risk["liquidation_distance_min"]) / 1.005


# --- recorded markets ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_days(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    line = f"paper --feed replay:{shared_data} --pairs HYPE,PURR,BTC,ETH --for 48h --speed max"
    return fundarb(tmp_path_factory.mktemp("two_days"), f"{line} --state state --no-web")


@pytest.fixture(scope="module")
def a_quarter(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    line = f"backtest --data {shared_data} --venue hyperliquid --pairs HYPE,PURR,BTC,ETH,SOL"
    folder = tmp_path_factory.mktemp("a_quarter")
    # At the usual hurdle nothing was worth leaving in those months.
    return fundarb(
        folder,
        f"{line} --from 2025-02-15 --to 2025-05-31",
        FUNDARB_STRATEGY__HURDLE_APR="0.06",
    )


@pytest.mark.slow  # a replay of 48 hours at one-minute bars over four pairs: seven seconds
def test_two_days_of_paper_over_recorded_minutes_are_whole_and_bounded(two_days: Ended) -> None:
    assert_whole(two_days)
    assert_bounded(two_days.report)
    assert two_days.report["simulated_seconds"] == 48 * 3600
    assert two_days.report["synthetic"] is False
    assert two_days.report["pairs"]


@pytest.mark.slow  # three and a half months at 15-minute bars over five pairs: half a minute
@pytest.mark.timeout(300)
def test_a_backtest_over_a_quarter_is_whole_and_bounded(a_quarter: Ended) -> None:
    assert_whole(a_quarter)
    assert_bounded(a_quarter.report)
    closed = [trade for trade in a_quarter.report["pairs"] if trade["closed"] is not None]
    assert closed
    assert all(trade["exit_reason"] for trade in closed)


# --- the same again ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    folder = tmp_path_factory.mktemp("generated")
    return fundarb(folder, f"{GENERATED} --seed 7", PYTHONHASHSEED="1")


@pytest.mark.slow  # three runs of twelve generated hours
def test_the_digest_depends_on_the_seed_and_not_on_how_this_process_hashes(
    generated: Ended, tmp_path_factory: pytest.TempPathFactory
) -> None:
    again = fundarb(tmp_path_factory.mktemp("a"), f"{GENERATED} --seed 7", PYTHONHASHSEED="2")
    other = fundarb(tmp_path_factory.mktemp("b"), f"{GENERATED} --seed 8", PYTHONHASHSEED="1")

    assert again.report == generated.report
    assert other.report["digest"] != generated.report["digest"]
    assert_whole(generated)
    assert_bounded(generated.report)
    assert_whole(other)


PINNED = "36360bb29d29aa76047b1ab6a1614ba49b13d78970da89e2ee50284cc49e5d53"


def test_the_digest_of_a_known_run_is_the_pinned_one_on_every_version_of_python() -> None:
    """A change of this digest is a change of what the bot does: of decisions, orders or fills.

    Where the change is wanted, put the digest that the failure shows in ``PINNED``, and
    let it be the one on Python 3.11 and on 3.12.
    """
    world = World(Scripted(lambda n: 20.0 + ((n * 7) % 11 - 5) / 200, hours=9), Told(leave=5))
    digest = Digest()
    for fact in world.run(9).facts():
        digest.add(fact)

    assert digest.hexdigest() == PINNED


# --- stopped from outside ------------------------------------------------------------------------


@contextmanager
def running(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A paper run of two generated pairs, two hours a second, that holds something by now."""
    line = "paper --speed 7200 --for 36h --pairs SOL,DOGE --no-web --state state"
    process = subprocess.Popen(
        command(line),
        cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        while process.poll() is None:
            if (folder / "state" / "journal.sqlite").exists() and holds_something(status(folder)):
                yield process
                return
            time.sleep(0.1)
        raise AssertionError("it ended before it held anything")
    finally:
        process.kill()
        process.wait()


def holds_something(told: Mapping[str, Any]) -> bool:
    return any(pair["trade"] is not None for pair in told["pairs"])


def resumed(folder: Path) -> Ended:
    line = "paper --speed max --for 36h --pairs SOL,DOGE --no-web --state state"
    return fundarb(folder, line)


@pytest.mark.slow  # runs at a person's pace until it holds something, then to its end
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_stopped_or_killed_tells_where_it_stands_and_goes_on_from_there(
    number: signal.Signals, tmp_path: Path
) -> None:
    with running(tmp_path) as process:
        process.send_signal(number)
        _, told = process.communicate(timeout=30)

    assert process.returncode == (130 if number is signal.SIGINT else -signal.SIGKILL)
    assert b"Traceback" not in told
    stopped = status(tmp_path)
    assert holds_something(stopped)
    assert stopped["mode"] == "paper"

    ended = resumed(tmp_path)
    assert ended.report["started"] == "2025-01-01T00:00:00Z"
    assert ended.report["simulated_seconds"] == 36 * 3600
    assert ended.report["integrity"]["journal_events"] > stopped["journal_events"]
    held = {pair["trade"] for pair in stopped["pairs"]} - {None}
    assert held <= {trade["trade"] for trade in ended.report["pairs"]}
    assert_whole(ended)
    assert_bounded(ended.report)
