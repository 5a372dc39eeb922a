"""The engine on history that is cut off, and on history whose rows are out of order."""

import random
from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path

import msgspec
import polars as pl
import pytest

from bot import app
from bot.settings import Settings, load
from domain.orders import Fill
from domain.targets import Action
from domain.time import DAY, HOUR, MILLISECOND, parse_instant
from execution.facts import Decided, Fact, RunStarted
from strategies.carry.policy import NAMES
from tests.benchmarks.synthetic_history import START, write_history

BEFORE, DAYS = 9, 12
"""Days of history before the runs begin, and days that they last."""
START_NS = parse_instant(START) + BEFORE * DAY
CUTS = 3
COINS = {"hedge": "HYPE:50,UBTC:0.05"}


def played(history: Path, name: str) -> tuple[Fact, ...]:
    """Every fact of a backtest of two pairs: what was decided, ordered, filled, paid and valued."""
    settings = load().settings
    replace = msgspec.structs.replace
    settings = replace(
        settings,
        strategy=replace(settings.strategy, name=name),
        account=replace(settings.account, inventory=COINS.get(name, "")),
    )
    result = app.run(request(history, settings), None, lambda: False)
    assert result.report["integrity"]["violations"] == []
    return result.facts


def request(history: Path, settings: Settings) -> app.RunRequest:
    return app.RunRequest(
        mode="backtest", feed="replay", data=history, venue="hyperliquid", pairs=("HYPE", "BTC"),
        start_ns=START_NS, end_ns=None, duration_ns=None, bar="1h",
        capital=settings.account.capital, speed=None, seed=1, settings=settings, state=None,
        metrics_port=None,
    )  # fmt: skip


def rewritten(history: Path, copy: Path, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Path:
    for path in history.rglob("*.parquet"):
        target = copy / path.relative_to(history)
        target.parent.mkdir(parents=True, exist_ok=True)
        change(pl.read_parquet(path)).write_parquet(target)
    return copy


def unnamed(facts: Sequence[Fact]) -> list[Fact]:
    """Without the directory of the history."""
    begun, *rest = facts
    assert isinstance(begun, RunStarted)
    return [msgspec.structs.replace(begun, feed=""), *rest]


def instant(fact: Fact) -> int:
    """When the bot knew of it."""
    for name in ("time_ns", "received_ns"):
        if (found := getattr(fact, name, None)) is not None:
            return int(found)
    raise AssertionError(f"{fact} has no time")


def until(facts: Sequence[Fact], last_ns: int) -> list[Fact]:
    return list(takewhile(lambda fact: instant(fact) < last_ns, facts))


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic: funding that is rich for weeks and then poor, prices that walk 1 % an hour."""
    folder = tmp_path_factory.mktemp("history")
    write_history(folder, (BEFORE + DAYS) * 24, prices={"HYPE": 30.0, "BTC": 60_000.0})
    return folder


@pytest.fixture(scope="module", params=NAMES)
def whole(request: pytest.FixtureRequest, history: Path) -> tuple[str, list[Fact]]:
    """Each strategy's run to the end; what it is to show: that it traded, and said so."""
    facts = played(history, request.param)
    said = {fact.target.action for fact in facts if isinstance(fact, Decided)}
    if request.param != "reverse_carry":  # funding never is negative there
        assert any(isinstance(fact, Fill) for fact in facts)
        assert said >= {Action.ENTER, Action.HOLD}
    return request.param, unnamed(facts)


def test_nothing_before_a_cut_changes_when_all_after_it_is_removed(
    history: Path, whole: tuple[str, list[Fact]], tmp_path: Path
) -> None:
    name, facts = whole
    hour_ms, draw = HOUR // MILLISECOND, random.Random(f"20 {name}")
    for number in range(CUTS):
        cut_ms = START_NS // MILLISECOND + draw.randrange(DAY // MILLISECOND, DAYS * 24 * hour_ms)

        def cut(frame: pl.DataFrame, cut_ms: int = cut_ms) -> pl.DataFrame:
            # A bar is known when it ends: one that spans the cut is removed.
            length = hour_ms if "open" in frame.columns else 0
            return frame.filter(pl.col("ts_ms") + length <= cut_ms)

        last_ns = cut_ms // hour_ms * HOUR
        short = unnamed(played(rewritten(history, tmp_path / str(number), cut), name))
        before = until(short, last_ns)

        assert len(before) > 24
        assert before == until(facts, last_ns)


def test_the_order_of_rows_in_the_files_does_not_matter(
    history: Path, whole: tuple[str, list[Fact]], tmp_path: Path
) -> None:
    def shuffled(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.sample(fraction=1.0, shuffle=True, seed=4)

    name, facts = whole
    assert unnamed(played(rewritten(history, tmp_path / "shuffled", shuffled), name)) == facts
