"""The engine on history that is cut off, and on history whose rows are out of order."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from bot.cli.main import run
from domain.time import DAY, HOUR, MILLISECOND, parse_instant
from tests.benchmarks.synthetic_history import START, write_history

DAYS = 16
FIRST_MS = parse_instant(START) // MILLISECOND
Rows = list[tuple[Any, ...]]


def decided(history: Path, results: Path) -> dict[str, Rows]:
    """What a backtest of two pairs decided, ordered and was paid; each row starts with its time."""
    line = f"backtest --data {history} --pairs HYPE,BTC --from {START} --bar 1h"
    assert run([*line.split(), "--export", str(results), "--json", str(results / "it.json")]) == 0
    return {
        name: pl.read_parquet(results / f"{name}.parquet").rows()
        for name in ("decisions", "fills", "funding")
    }


def rewritten(history: Path, copy: Path, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Path:
    for path in history.rglob("*.parquet"):
        target = copy / path.relative_to(history)
        target.parent.mkdir(parents=True, exist_ok=True)
        change(pl.read_parquet(path)).write_parquet(target)
    return copy


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic: funding that is rich for weeks and then poor, prices that walk 1 % an hour."""
    folder = tmp_path_factory.mktemp("history")
    write_history(folder, DAYS * 24)
    return folder


@pytest.fixture(scope="module")
def whole(history: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Rows]:
    found = decided(history, tmp_path_factory.mktemp("whole"))
    assert found["fills"]
    assert {row[2] for row in found["decisions"]} >= {"enter", "hold"}
    return found


def cuts() -> Iterator[int]:
    draw = random.Random(20)
    for _ in range(3):
        yield FIRST_MS + draw.randrange(DAY // MILLISECOND, DAYS * DAY // MILLISECOND)


@pytest.mark.parametrize("cut_ms", list(cuts()))
def test_nothing_before_a_cut_changes_when_all_after_it_is_removed(
    cut_ms: int, history: Path, whole: dict[str, Rows], tmp_path: Path
) -> None:
    hour_ms = HOUR // MILLISECOND

    def cut(frame: pl.DataFrame) -> pl.DataFrame:
        # A bar is known when it ends: one that spans the cut is removed.
        length = hour_ms if "open" in frame.columns else 0
        return frame.filter(pl.col("ts_ms") + length <= cut_ms)

    short = decided(rewritten(history, tmp_path / "short", cut), tmp_path)
    last_ms = cut_ms // hour_ms * hour_ms
    for name, rows in whole.items():
        before = [row for row in rows if row[0] < last_ms]
        assert [row for row in short[name] if row[0] < last_ms] == before


def test_the_order_of_rows_in_the_files_does_not_matter(
    history: Path, whole: dict[str, Rows], tmp_path: Path
) -> None:
    def shuffled(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.sample(fraction=1.0, shuffle=True, seed=4)

    assert decided(rewritten(history, tmp_path / "shuffled", shuffled), tmp_path) == whole
