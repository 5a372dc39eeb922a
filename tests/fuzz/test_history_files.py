"""Whatever is in the files of a history: bars and rates that can be used, or DataError."""

import io
import math
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from bot.backtest.bars import (
    Bars,
    DataError,
    Window,
    bar_name,
    count_bars,
    parse_bar,
    read_bars,
)
from bot.backtest.coverage import missing_settlements
from bot.backtest.funding import read_funding
from bot.backtest.path import walk
from bot.instruments import load_listings
from domain.time import DAY, HOUR, MILLISECOND, iso
from tests.fuzz.mangled import damaged, many

PERP = load_listings("hyperliquid")["HYPE-PERP"].instrument
T0_MS = 20_000 * DAY // MILLISECOND
TIMES = [T0_MS + i * HOUR // MILLISECOND for i in range(6)]
BARS: dict[str, Sequence[Any]] = {
    "ts_ms": TIMES,
    "open": [20.0] * 6,
    "high": [20.02] * 6,
    "low": [19.98] * 6,
    "close": [20.0] * 6,
    "volume": [300.0] * 6,
}
RATES: dict[str, Sequence[Any]] = {
    "ts_ms": TIMES,
    "symbol": ["HYPE"] * 6,
    "rate": [1e-5] * 6,
    "interval_hours": [1] * 6,
    "venue": ["hyperliquid"] * 6,
}
ODD: list[Any] = [
    None, math.nan, math.inf, -math.inf, 0.0, -0.0, -1.0, 1e308, 1e-308, 0, -1, 1, 2**31, 2**62,
    2**63 - 1, -(2**63), 9_223_372_036_854, 9_223_372_036_855, 253_402_300_800_000, "", "1", "nan",
    "HYPE", True, b"\0", [1], {"a": 1},
]  # fmt: skip
WINDOWS = [
    Window(None, None),
    Window(T0_MS * MILLISECOND, None),
    Window(None, (T0_MS + 10**8) * MILLISECOND),
]


def parquet(columns: dict[str, Sequence[Any]]) -> bytes:
    file = io.BytesIO()
    pl.DataFrame(columns, strict=False).write_parquet(file)
    return file.getvalue()


def wrong(columns: dict[str, Sequence[Any]]) -> Iterator[dict[str, Sequence[Any]]]:
    """One value odd, a whole column odd, a column gone, in another order, twice as long."""
    for name, column in columns.items():
        yield {known: values for known, values in columns.items() if known != name}
        for odd in ODD:
            yield columns | {name: [odd] * 6}
            if type(odd) in (int, float, type(None), type(column[0])):
                yield columns | {name: [*column[:2], odd, *column[3:]]}
    yield {name: column[::-1] for name, column in columns.items()}
    yield {name: [*column, *column] for name, column in columns.items()}
    yield {name: [] for name in columns}
    yield {"x": [1]}


@cache
def wrong_files(which: str) -> list[bytes]:
    found = []
    for columns in wrong(BARS if which == "bars" else RATES):
        try:
            found.append(parquet(columns))
        except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
            continue  # no frame of that can be made
    assert len(found) > 100
    return found


def judge_bars(file: Path, body: bytes) -> None:
    file.write_bytes(body)
    for window in WINDOWS:
        try:
            count = count_bars([file], HOUR, window)
            bars = read_bars([file], HOUR, window)
        except DataError as error:
            assert "\n" not in str(error)  # noqa: PT017 - it may also be right
            assert len(str(error)) < 2_000  # noqa: PT017
            continue
        assert count == len(bars)
        sound(bars)


def sound(bars: Bars) -> None:
    assert all(a < b for a, b in pairwise(bars.time_ns))
    for i, time_ns in enumerate(bars.time_ns):
        iso(time_ns)
        opened, high, low, close = bars.open[i], bars.high[i], bars.low[i], bars.close[i]
        assert 0 < low <= min(opened, close) <= max(opened, close) <= high < math.inf
        assert 0 <= bars.volume[i] < math.inf
        assert len(walk((opened, high, low, close))[0]) < 100_000


def judge_funding(root: Path, body: bytes) -> None:
    (root / "funding").mkdir(exist_ok=True)
    (root / "funding" / "hyperliquid_1h.parquet").write_bytes(body)
    for window in WINDOWS:
        try:
            settled = read_funding(root, PERP, "HYPE", window)
        except DataError as error:
            assert "\n" not in str(error)  # noqa: PT017 - it may also be right
            continue
        for record in settled:
            iso(record.venue_time_ns)
            assert math.isfinite(record.rate.per_hour)
            assert record.rate.interval_hours > 0
        first_ns = T0_MS * MILLISECOND
        assert missing_settlements(settled, first_ns, first_ns + DAY, 1) >= 0


def test_bars_with_one_thing_wrong_are_sound_or_refused(tmp_path: Path) -> None:
    for body in wrong_files("bars"):
        judge_bars(tmp_path / "HYPE_1h.parquet", body)


def test_rates_with_one_thing_wrong_are_sound_or_refused(tmp_path: Path) -> None:
    for body in wrong_files("rates"):
        judge_funding(tmp_path, body)


@many(100, always=True)  # polars aborts on a page that claims 2**58 rows
@given(damaged(parquet(BARS)) | st.binary(max_size=20))
def test_damaged_bars_are_sound_or_refused(tmp_path: Path, body: bytes) -> None:
    judge_bars(tmp_path / "HYPE_1h.parquet", body)


@many(100, always=True)  # polars aborts on a page that claims 2**58 rows
@given(damaged(parquet(RATES)) | st.binary(max_size=20))
def test_damaged_rates_are_sound_or_refused(tmp_path: Path, body: bytes) -> None:
    judge_funding(tmp_path, body)


def test_a_page_that_claims_more_rows_than_it_has_is_refused(tmp_path: Path) -> None:
    whole = parquet(BARS)
    judge_bars(tmp_path / "HYPE_1h.parquet", whole[:74] + b"\x1c" + whole[75:])


@many(300)
@given(st.text("0123456789mhd ٣-+.x", max_size=8) | st.sampled_from(["9" * 5_000 + "d", "1m\n"]))
def test_any_text_is_the_length_of_a_bar_or_refused(text: str) -> None:
    try:
        length = parse_bar(text)
    except DataError:
        return
    assert length > 0
    assert parse_bar(bar_name(length)) == length
