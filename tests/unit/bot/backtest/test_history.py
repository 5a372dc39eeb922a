"""History from a directory made here; tests/replay reads recorded data."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import islice, pairwise
from pathlib import Path

import polars as pl
import pytest

from bot.backtest.bars import DataError
from bot.backtest.history import HistorySource, open_history
from bot.backtest.path import FINER
from bot.emulation import Restated
from domain.market import (
    Book,
    Close,
    Delisted,
    MarketInput,
    RecordedFunding,
    Reference,
    Trade,
)
from domain.orders import Side
from domain.rates import FundingRate
from domain.time import DAY, HOUR, MILLISECOND, MINUTE
from execution.venues.simulated.source import MarketSource
from strategies.market.closes import whole_hours
from strategies.market.state import Market

ROOT = Path(__file__).parents[4]
T0 = 20_000 * DAY
PERP, SPOT = "hyperliquid:HYPE-PERP", "hyperliquid:HYPE/USDC"
Candles = Sequence[tuple[float, float, float, float, float]]
FLAT: Candles = [(20.0, 20.02, 19.98, 20.0, 300.0)] * 6


def write(path: Path, columns: Mapping[str, Sequence[float] | Sequence[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(columns).write_parquet(path)


def write_bars(path: Path, first_ns: int, bar_ns: int, candles: Candles) -> None:
    times = [(first_ns + i * bar_ns) // MILLISECOND for i in range(len(candles))]
    names = ("open", "high", "low", "close", "volume")
    columns = dict(zip(names, zip(*candles, strict=True), strict=True))
    write(path, {"ts_ms": times, **columns})


def write_funding(path: Path, first_ns: int, rates: Sequence[float], symbol: str = "HYPE") -> None:
    count = len(rates)
    times = [(first_ns + i * HOUR) // MILLISECOND + 7 for i in range(count)]
    write(
        path,
        {
            "ts_ms": times,
            "symbol": [symbol] * count,
            "rate": rates,
            "interval_hours": [1] * count,
        },
    )


def directory(
    root: Path,
    perp: Candles = FLAT,
    spot: Candles = FLAT,
    *,
    bar: str = "1h",
    bar_ns: int = HOUR,
    spot_from: int = T0,
) -> Path:
    write_bars(root / f"prices/hyperliquid/perp/HYPE_{bar}_a.parquet", T0, bar_ns, perp)
    write_bars(root / f"prices/hyperliquid/spot/HYPE_{bar}_a.parquet", spot_from, bar_ns, spot)
    write_funding(root / "funding/hyperliquid_1h_a.parquet", T0 - 3 * HOUR, [1e-5] * 12)
    return root


def opened(root: Path, **given: int | str | None) -> HistorySource:
    pairs = ["HYPE"]
    return open_history(root, "hyperliquid", pairs, **given)  # type: ignore[arg-type]


def inputs(source: HistorySource) -> list[MarketInput]:
    return list(source.events(source.start_ns))


def books(source: HistorySource, instrument: str) -> list[Book]:
    """Those that quote something: a gap begins with one that does not."""
    found = [e for e in inputs(source) if isinstance(e, Book) and e.instrument == instrument]
    return [book for book in found if book.bids]


def mid(book: Book) -> float:
    return (book.bids[0].price + book.asks[0].price) / 2


# The market that bars become


def test_it_is_a_market_source_of_the_window_it_was_opened_on(tmp_path: Path) -> None:
    source: MarketSource = opened(directory(tmp_path))

    assert (source.venue, source.synthetic) == ("hyperliquid", False)
    assert source.name == f"replay:{tmp_path}"
    assert (source.start_ns, source.end_ns) == (T0, T0 + 6 * HOUR)
    assert [leg.id for leg in source.instruments] == [SPOT, PERP]


def test_events_come_in_order_and_end_with_the_last_bar(tmp_path: Path) -> None:
    times = [event.venue_time_ns for event in inputs(opened(directory(tmp_path)))]

    assert times == sorted(times)
    assert times[0] == T0
    assert times[-1] == T0 + 6 * HOUR


def test_a_market_resumed_is_the_market_that_went_on(tmp_path: Path) -> None:
    source = opened(directory(tmp_path))
    for later in (T0 + HOUR, T0 + 2 * HOUR + 17 * MINUTE, T0 + 5 * HOUR - 1):
        rest = [event for event in inputs(source) if event.venue_time_ns > later]

        assert list(source.events(later)) == rest


def test_mids_walk_open_high_low_close(tmp_path: Path) -> None:
    source = opened(directory(tmp_path, perp=[(20.0, 20.08, 19.99, 20.04, 300.0), *FLAT[1:]]))
    first = [book for book in books(source, PERP) if book.venue_time_ns < T0 + HOUR]

    assert [round(mid(book), 6) for book in first] == [20.0, 20.08, 19.99, 20.04]


def test_while_a_long_perp_is_held_the_low_comes_first(tmp_path: Path) -> None:
    swing = (20.0, 20.4, 19.6, 20.0, 300.0)
    source = opened(directory(tmp_path, perp=[swing] * 3, spot=[swing] * 3))
    held = iter((1, -1, 0))
    source.position = lambda _: Decimal(next(held))
    mids = [round(mid(book), 3) for book in books(source, PERP)]
    bars = [mids[i : i + len(mids) // 3] for i in range(0, len(mids), len(mids) // 3)]
    firsts = [next(price for price in bar if price in (20.4, 19.6)) for bar in bars]

    assert firsts == [19.6, 20.4, 20.4]


def test_a_closer_look_is_at_the_road_that_was_taken(tmp_path: Path) -> None:
    swing = (20.0, 20.4, 19.6, 20.0, 300.0)
    source = opened(directory(tmp_path, perp=[swing] * 3, spot=FLAT[:3]))
    for held in (1, -1):
        source.position = {PERP: Decimal(held)}.__getitem__
        points = [book for book in books(source, PERP) if book.venue_time_ns > T0 + 2 * HOUR]
        for a, b in pairwise(points):
            seen = source.between([PERP], a.venue_time_ns, b.venue_time_ns)
            mids = [mid(e) for e in seen if isinstance(e, Book) and e.instrument == PERP]
            low, high = sorted((mid(a), mid(b)))

            assert len(mids) == FINER - 1
            assert all(low - 1e-3 <= price <= high + 1e-3 for price in mids)


def test_both_legs_are_quoted_at_the_same_instants_even_when_one_leaps(tmp_path: Path) -> None:
    source = opened(directory(tmp_path, perp=[(20.0, 22.0, 20.0, 20.0, 9.0), *FLAT[1:]]))
    times = [[b.venue_time_ns for b in books(source, leg)] for leg in (PERP, SPOT)]
    mids = [mid(b) for b in books(source, PERP)]

    assert times[0] == times[1]
    assert len([t for t in times[0] if t < T0 + HOUR]) == 42
    assert max(abs(b / a - 1) for a, b in pairwise(mids)) < 0.0055


LEAP = (20.0, 20.4, 20.0, 20.0, 300.0)


def test_a_closer_look_finds_what_lies_between_two_neighbouring_events(tmp_path: Path) -> None:
    source = opened(directory(tmp_path, perp=[LEAP, *FLAT[1:]]))
    points = [book for book in books(source, PERP) if book.venue_time_ns < T0 + HOUR]
    a, b = points[1], points[2]
    seen = source.between([PERP], a.venue_time_ns, b.venue_time_ns)
    prints = [event for event in seen if isinstance(event, Trade)]
    seen = [event for event in seen if not isinstance(event, Trade)]
    found = [event for event in seen if isinstance(event, Book) and event.instrument == PERP]

    assert all(a.venue_time_ns < event.venue_time_ns < b.venue_time_ns for event in seen)
    assert [e.venue_time_ns for e in seen] == sorted(e.venue_time_ns for e in seen)
    for leg in (SPOT, PERP):
        times = [event.venue_time_ns for event in prints if event.instrument == leg]
        assert times == [*(book.venue_time_ns for book in found), b.venue_time_ns]
    mids = [mid(book) for book in (a, *found, b)]
    assert mids == sorted(mids)
    assert len(mids) == FINER + 1
    assert max(abs(y / x - 1) for x, y in pairwise(mids)) < 0.0006


def test_a_closer_look_goes_on_from_bar_to_bar(tmp_path: Path) -> None:
    source = opened(directory(tmp_path, perp=[LEAP, LEAP, *FLAT[2:]]))
    points = [book.venue_time_ns for book in books(source, PERP)]
    for bar in (T0, T0 + HOUR):
        a, b = [time for time in points if time > bar][1:3]
        seen = source.between([PERP], a, b)

        assert len([event for event in seen if isinstance(event, Reference)]) == FINER - 1


def test_a_closer_look_is_at_the_pairs_asked_for_and_inside_bars_alone(tmp_path: Path) -> None:
    source = opened(directory(tmp_path, perp=[LEAP, *FLAT[1:]]))
    points = [book.venue_time_ns for book in books(source, PERP)]

    assert source.between(["hyperliquid:BTC-PERP"], points[0], points[1]) == []
    assert source.between([PERP], T0 - MINUTE, points[0]) == []
    assert source.between([PERP], T0 + HOUR - MILLISECOND, T0 + HOUR + MINUTE) == []


def test_nothing_published_in_a_bar_depends_on_later_bars(tmp_path: Path) -> None:
    wild = (20.0, 30.0, 12.0, 25.0, 9e6)
    calm = opened(directory(tmp_path / "a", perp=FLAT, spot=FLAT))
    storm = opened(directory(tmp_path / "b", perp=[*FLAT[:3], wild], spot=[*FLAT[:3], wild]))
    until = T0 + 3 * HOUR

    def before(source: HistorySource) -> list[MarketInput]:
        return [event for event in inputs(source) if event.venue_time_ns <= until]

    assert before(calm) == before(storm)


def test_the_oracle_is_the_last_completed_perp_close(tmp_path: Path) -> None:
    perp = [(20.0, 20.1, 20.0, 20.1, 5.0), (20.1, 20.2, 20.1, 20.2, 5.0)]
    source = opened(directory(tmp_path, perp=perp, spot=FLAT[:2]))
    oracles = [(e.venue_time_ns, e.oracle) for e in inputs(source) if isinstance(e, Reference)]

    known = [T0 + HOUR - MILLISECOND, T0 + 2 * HOUR - MILLISECOND]
    assert {oracle for time, oracle in oracles if time < known[0]} == {20.0}
    assert {o for time, o in oracles if known[0] <= time < known[1]} == {20.1}
    assert {o for time, o in oracles if time >= known[1]} == {20.2}


def marks(source: HistorySource) -> list[float]:
    return [e.mark for e in inputs(source) if isinstance(e, Reference)]


def test_a_trade_far_from_the_spot_moves_the_book_and_not_the_mark(tmp_path: Path) -> None:
    """As Binance's ETH perp on 2020-03-13, at thrice its spot for a moment."""
    wick: Candles = [*FLAT[:2], (20.0, 60.0, 19.0, 20.0, 300.0), *FLAT[3:]]
    source = opened(directory(tmp_path, perp=wick))

    assert max(map(mid, books(source, PERP))) == pytest.approx(60.0)
    assert max(marks(source)) == pytest.approx(20.02 * 1.05)
    assert min(marks(source)) == pytest.approx(19.0)


def test_a_mark_follows_the_perp_where_the_spot_goes_along(tmp_path: Path) -> None:
    leap: Candles = [*FLAT[:2], (20.0, 60.0, 19.0, 20.0, 300.0), *FLAT[3:]]
    assert max(marks(opened(directory(tmp_path, perp=leap, spot=leap)))) == 60.0


def test_an_index_has_the_basis_at_which_the_bar_before_closed(tmp_path: Path) -> None:
    dear: Candles = [(*(price * 1.04 for price in bar[:4]), bar[4]) for bar in FLAT]  # type: ignore[misc]
    wick: Candles = [*dear[:2], (20.8, 60.0, 19.9, 20.8, 300.0), *dear[3:]]
    found = marks(opened(directory(tmp_path, perp=wick)))
    assert max(found) == pytest.approx(20.02 * 1.04 * 1.05, rel=1e-4)


def test_a_spot_that_nobody_trades_is_no_index(tmp_path: Path) -> None:
    wick: Candles = [*FLAT[:2], (20.0, 60.0, 19.0, 20.0, 300.0), *FLAT[3:]]
    silent: Candles = [(*bar[:4], 0.0) for bar in FLAT]
    assert max(marks(opened(directory(tmp_path, perp=wick, spot=silent)))) == 60.0


def test_funding_is_recorded_at_its_own_time_after_the_oracle_has_moved(tmp_path: Path) -> None:
    events = inputs(opened(directory(tmp_path)))
    at = [i for i, event in enumerate(events) if isinstance(event, RecordedFunding)]

    assert [events[i].venue_time_ns for i in at[1:]] == [
        T0 + i * HOUR + 7 * MILLISECOND for i in range(6)
    ]
    assert isinstance(events[at[2] - 1], Reference)
    assert events[at[2] - 1].venue_time_ns == T0 + HOUR


def test_funding_stamped_on_the_hour_itself_still_follows_the_bar_that_ended(
    tmp_path: Path,
) -> None:
    root = directory(tmp_path)
    path = root / "funding/hyperliquid_1h_a.parquet"
    pl.read_parquet(path).with_columns(pl.col("ts_ms") - 7).write_parquet(path)
    events = [event for event in inputs(opened(root)) if event.venue_time_ns == T0 + HOUR]

    assert [type(event) for event in events] == [Reference, RecordedFunding]


def test_a_settlement_stamped_a_little_early_is_of_the_hour_that_comes(tmp_path: Path) -> None:
    root = directory(tmp_path)
    path = root / "funding/hyperliquid_1h_a.parquet"
    pl.read_parquet(path).with_columns(pl.col("ts_ms") - 8).write_parquet(path)
    recorded = [e for e in inputs(opened(root)) if isinstance(e, RecordedFunding)]

    assert [e.venue_time_ns for e in recorded] == [T0 + hour * HOUR for hour in range(6)]


def test_closes_of_bars_that_are_over_at_the_start_are_history(tmp_path: Path) -> None:
    perp = [(20.0, 20.7, 19.9, 20.0 + i / 10, 5.0) for i in range(6)]
    source = opened(directory(tmp_path, perp=perp), start_ns=T0 + 3 * HOUR + HOUR // 2)
    closes = [e for e in source.history() if isinstance(e, Close) and e.instrument == PERP]

    assert [(e.price, e.venue_time_ns) for e in closes] == [
        (20.0 + i / 10, T0 + (i + 1) * HOUR - MILLISECOND) for i in range(3)
    ]


def test_a_start_in_the_middle_of_a_history_knows_its_hourly_closes_at_once(tmp_path: Path) -> None:
    candles = [(20.0, 20.06, 19.98, 20.0 + i / 1e4, 300.0) for i in range(24 * 11)]
    root = directory(tmp_path, perp=candles, spot=candles)
    write_funding(root / "funding/hyperliquid_1h_a.parquet", T0, [1e-5] * len(candles))
    source = opened(root, start_ns=T0 + 10 * DAY)
    market = Market(source.pairs)
    for event in source.history():
        market.observe(event)
    perp = market.of(PERP)

    assert perp is not None
    expected = tuple(20.0 + i / 1e4 for i in range(24 * 10))
    assert whole_hours(perp, 24 * 10 - 1, T0 + 10 * DAY) == expected[1:]
    assert perp.volatility is not None


def test_funding_before_the_start_is_history(tmp_path: Path) -> None:
    source = opened(directory(tmp_path))

    assert [s.venue_time_ns for s in source.history()] == [
        T0 - i * HOUR + 7 * MILLISECOND for i in (3, 2, 1)
    ]


def prints(source: HistorySource, instrument: str) -> list[Trade]:
    """What a closer look from point to point finds, over the whole history."""
    points = [source.start_ns, *sorted({event.venue_time_ns for event in inputs(source)})]
    seen = [e for a, b in pairwise(points) for e in source.between([instrument], a, b)]
    return [e for e in seen if isinstance(e, Trade) and e.instrument == instrument]


def test_prints_share_the_volume_and_follow_the_direction(tmp_path: Path) -> None:
    source = opened(directory(tmp_path, perp=[(20.0, 20.08, 19.99, 20.04, 310.0)] * 6))
    second_bar = [p for p in prints(source, PERP) if T0 + HOUR < p.venue_time_ns < T0 + 2 * HOUR]
    sides = [print_.aggressor for print_ in second_bar]

    # Down to the open, and ten steps each up to the high, down to the low and up to the close.
    assert sides == [Side.SELL, *[Side.BUY] * 10, *[Side.SELL] * 10, *[Side.BUY] * 10]
    assert {print_.quantity for print_ in second_bar} == {10.0}


def test_a_print_is_at_the_quote_that_has_come_there(tmp_path: Path) -> None:
    """Whoever rests is reached by the other side's quote and not by the middle."""
    source = opened(directory(tmp_path, perp=[LEAP, *FLAT[1:]]))
    points = [book.venue_time_ns for book in books(source, PERP)]
    seen = source.between([PERP], points[0], points[2])
    quoted = {e.venue_time_ns: e for e in seen if isinstance(e, Book) and e.instrument == PERP}
    found = [e for e in seen if isinstance(e, Trade) and e.venue_time_ns in quoted]
    ours = [trade for trade in found if trade.instrument == PERP]

    assert {trade.aggressor for trade in ours} == {Side.BUY}
    for trade in ours:
        assert trade.price == quoted[trade.venue_time_ns].bids[0].price


def test_nobody_prints_where_nobody_looks(tmp_path: Path) -> None:
    assert not [e for e in inputs(opened(directory(tmp_path))) if isinstance(e, Trade)]


def test_a_bar_without_volume_is_quoted_and_prints_nothing(tmp_path: Path) -> None:
    source = opened(directory(tmp_path, spot=[(20.0, 20.0, 20.0, 20.0, 0.0)] * 6))

    assert len(books(source, SPOT)) == 24
    assert prints(source, SPOT) == []
    assert len(prints(source, PERP)) > 100
    assert source.coverage[0].zero_volume_share == 1.0


@pytest.mark.parametrize(("usual", "halted"), [(300.0, False), (300_000.0, True)])
def test_a_busy_market_without_a_trade_is_halted_and_a_quiet_one_is_not(
    tmp_path: Path, usual: float, halted: bool
) -> None:
    """As Binance's spot on 2023-03-24, whose bar of noon has a price and no volume."""
    busy: Candles = [(*bar[:4], usual) for bar in FLAT]
    silent: Candles = [*busy[:3], (20.0, 20.0, 20.0, 20.0, 0.0), *busy[4:]]
    source = opened(directory(tmp_path, perp=busy, spot=silent))
    noon = range(T0 + 3 * HOUR, T0 + 4 * HOUR)
    told = [e for e in inputs(source) if isinstance(e, Book) and e.instrument == SPOT]
    quoted = [book for book in told if book.bids and book.venue_time_ns in noon]
    empty = [book for book in told if not book.bids]

    assert bool(quoted) is not halted
    assert bool(empty) is halted, "a gap begins with an empty book"
    spot = next(part for part in source.coverage if part.instrument == SPOT)
    assert spot.missing_bars == halted


def test_a_wild_hour_leaves_a_wider_and_thinner_book(tmp_path: Path) -> None:
    wild = (20.0, 21.0, 19.5, 20.0, 300.0)
    quotes = books(opened(directory(tmp_path, perp=[FLAT[0], wild, *FLAT[2:]])), PERP)
    calm, after = quotes[0], quotes[-12]

    assert after.venue_time_ns > T0 + 2 * HOUR
    assert after.asks[0].price - after.bids[0].price > 2 * (calm.asks[0].price - calm.bids[0].price)
    assert after.bids[0].size < calm.bids[0].size / 2


def test_a_book_knows_the_way_that_its_bar_has_gone_and_the_volume_of_the_bars_before(
    tmp_path: Path,
) -> None:
    busy = (20.0, 21.0, 19.5, 20.0, 3e8)
    quiet = books(opened(directory(tmp_path / "quiet")), PERP)
    wild = directory(tmp_path / "busy", perp=[*FLAT[:2], busy, *FLAT[3:]])
    quotes = books(opened(wild), PERP)
    calm = next(book for book in quiet if book.venue_time_ns > T0 + 2 * HOUR)
    inside, after = (
        [book for book in quotes if (book.venue_time_ns - T0) // HOUR == hour] for hour in (2, 3)
    )
    spreads = [(book.asks[0].price - book.bids[0].price) / mid(book) for book in inside]

    assert (inside[0].bids, inside[0].asks) == (calm.bids, calm.asks)
    assert max(book.bids[0].size for book in inside) == calm.bids[0].size
    assert after[0].bids[0].size > 2 * calm.bids[0].size
    assert spreads[-1] > 2 * spreads[0]


def test_no_data_frame_library_is_loaded_before_a_file_is_read() -> None:
    code = "import sys, bot.backtest.history; sys.exit('polars' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


# Windows, bars and gaps


def test_all_windows_are_merged_and_a_repeated_bar_counts_once(tmp_path: Path) -> None:
    root = directory(tmp_path)
    for kind in ("spot", "perp"):
        path = root / f"prices/hyperliquid/{kind}/HYPE_1h_b.parquet"
        write_bars(path, T0 + 4 * HOUR, HOUR, [(20.1, 20.1, 20.1, 20.1, 1.0)] * 6)
    source = opened(root)
    prices = {(b.venue_time_ns - T0) // HOUR: round(mid(b), 4) for b in books(source, SPOT)}

    assert [entry.bars for entry in source.coverage] == [10, 10]
    assert source.end_ns == T0 + 10 * HOUR
    assert [prices[hour] for hour in (4, 5, 6, 9)] == [20.0, 20.0, 20.1, 20.1]


def test_a_gap_is_silent_and_reported(tmp_path: Path) -> None:
    root = directory(tmp_path, spot=FLAT[:2])
    write_bars(root / "prices/hyperliquid/spot/HYPE_1h_b.parquet", T0 + 4 * HOUR, HOUR, FLAT[:2])
    source = opened(root)
    hours = {(book.venue_time_ns - T0) // HOUR for book in books(source, SPOT)}
    spot, perp = source.coverage

    assert hours == {0, 1, 4, 5}
    assert {(book.venue_time_ns - T0) // HOUR for book in books(source, PERP)} == set(range(6))
    assert (spot.missing_bars, spot.longest_gap_ns, perp.missing_bars) == (2, 2 * HOUR, 0)
    assert "2 missing, longest gap 2.00 h" in str(spot)


@pytest.mark.parametrize("length", [1, 2, 26])
def test_a_gap_begins_with_a_book_in_which_nothing_is_quoted(length: int, tmp_path: Path) -> None:
    root = directory(tmp_path, spot=FLAT[:2], perp=[*FLAT] * 6)
    later = T0 + (2 + length) * HOUR
    write_bars(root / "prices/hyperliquid/spot/HYPE_1h_b.parquet", later, HOUR, FLAT[:2])
    found = [e for e in inputs(opened(root)) if isinstance(e, Book) and not e.bids]

    assert [(book.instrument, book.venue_time_ns) for book in found] == [
        (SPOT, T0 + 2 * HOUR), (SPOT, later + 2 * HOUR)
    ]  # fmt: skip
    assert not any(book.asks for book in found)


@pytest.mark.parametrize("first", [T0 - 3 * HOUR, T0 + HOUR])
def test_the_rate_that_was_there_is_told_at_the_start_or_else_the_usual_one(
    first: int, tmp_path: Path
) -> None:
    root = directory(tmp_path)
    write_funding(root / "funding/hyperliquid_1h_a.parquet", first, [3e-5, 4e-5, 5e-5, 6e-5])
    begun = inputs(opened(root))[0]

    rate = 5e-5 if first < T0 else 1.25e-5
    assert begun == RecordedFunding(PERP, FundingRate(rate, 1.0), T0, T0)


def test_a_leg_that_ends_a_day_before_the_other_is_delisted_there(tmp_path: Path) -> None:
    source = opened(directory(tmp_path, perp=FLAT[:4], spot=[*FLAT] * 6))
    (gone,) = (event for event in inputs(source) if isinstance(event, Delisted))
    spot, perp = source.coverage

    assert (gone.instrument, gone.venue_time_ns, gone.price) == (PERP, T0 + 4 * HOUR, 20.0)
    assert (spot.delisted_ns, perp.delisted_ns) == (None, T0 + 4 * HOUR)
    assert not [e for e in source.events(T0 + 4 * HOUR) if isinstance(e, Delisted)]


def test_on_an_exchange_of_this_machine_what_ended_stands_still(tmp_path: Path) -> None:
    source = opened(directory(tmp_path, perp=FLAT[:4], spot=[*FLAT] * 6))
    told = list(islice(Restated(source, HOUR, T0).events(T0), 500))
    quoted = [e for e in told if isinstance(e, Book) and e.instrument == PERP]

    assert not any(isinstance(event, Delisted) for event in told)
    assert quoted[-1].venue_time_ns > T0 + 20 * HOUR
    assert quoted[-1].bids == quoted[-2].bids != ()


def test_a_leg_that_ends_some_hours_before_the_other_is_not(tmp_path: Path) -> None:
    source = opened(directory(tmp_path, perp=FLAT[:4], spot=[*FLAT] * 4))

    assert not [event for event in inputs(source) if isinstance(event, Delisted)]


def test_a_pair_listed_late_joins_when_both_legs_have_begun(tmp_path: Path) -> None:
    source = opened(directory(tmp_path, spot_from=T0 + 2 * HOUR, spot=FLAT[:4]), start_ns=T0)
    first_book = next(event for event in inputs(source) if isinstance(event, Book))

    assert source.start_ns == T0 + 2 * HOUR
    assert T0 + 2 * HOUR < first_book.venue_time_ns < T0 + 3 * HOUR
    assert source.coverage[0].first_ns == T0 + 2 * HOUR


def test_a_pair_whose_perp_is_listed_late_is_quoted_from_then_on(tmp_path: Path) -> None:
    root = directory(tmp_path, perp=FLAT[:4])
    path = root / "prices/hyperliquid/perp/HYPE_1h_a.parquet"
    write_bars(path, T0 + 2 * HOUR, HOUR, FLAT[:4])
    source = opened(root, start_ns=T0)

    assert min(book.venue_time_ns for book in books(source, SPOT)) > T0 + 2 * HOUR


def test_without_a_start_it_begins_where_every_leg_has_begun(tmp_path: Path) -> None:
    source = opened(directory(tmp_path, spot_from=T0 + 2 * HOUR, spot=FLAT[:4]))

    assert source.start_ns == T0 + 2 * HOUR


def test_the_finest_common_bar_is_taken_unless_told(tmp_path: Path) -> None:
    root = directory(tmp_path)
    directory(root, [*FLAT] * 4, [*FLAT] * 4, bar="15m", bar_ns=15 * MINUTE)
    write_bars(root / "prices/hyperliquid/perp/HYPE_5m_a.parquet", T0, 5 * MINUTE, FLAT)

    assert opened(root).cadence_ns == 15 * MINUTE
    assert opened(root, bar="1h").cadence_ns == HOUR
    assert opened(root, bar="60m").cadence_ns == HOUR


def test_a_fine_bar_that_covers_little_of_the_window_yields_to_a_coarser(tmp_path: Path) -> None:
    root = directory(tmp_path)
    directory(root, FLAT, FLAT, bar="1m", bar_ns=MINUTE)

    assert opened(root).cadence_ns == MINUTE
    assert opened(root, start_ns=T0).cadence_ns == HOUR
    assert opened(root, start_ns=T0, end_ns=T0 + 6 * MINUTE).cadence_ns == MINUTE


def test_the_end_is_exclusive(tmp_path: Path) -> None:
    source = opened(directory(tmp_path), start_ns=T0 + HOUR, end_ns=T0 + 3 * HOUR)

    assert source.end_ns == T0 + 3 * HOUR
    assert [entry.bars for entry in source.coverage] == [2, 2]
    assert max(event.venue_time_ns for event in inputs(source)) == T0 + 3 * HOUR


def test_a_spot_bar_far_from_the_perp_is_dropped_and_counted(tmp_path: Path) -> None:
    junk = (20.0, 21.2, 20.0, 21.2, 5.0)
    source = opened(directory(tmp_path, spot=[FLAT[0], junk, *FLAT[2:]]))

    assert (source.coverage[0].junk_bars, source.coverage[0].bars) == (1, 5)
    assert {(book.venue_time_ns - T0) // HOUR for book in books(source, SPOT)} == {0, 2, 3, 4, 5}


def test_a_spot_wick_far_beyond_the_perps_is_cut_back_and_counted(tmp_path: Path) -> None:
    wick = (20.0, 40.0, 19.9, 20.0, 5.0)
    source = opened(directory(tmp_path, spot=[wick, *FLAT[1:]]))

    assert source.coverage[0].capped_bars == 1
    assert max(mid(book) for book in books(source, SPOT)) == pytest.approx(20.02 * 1.05, rel=1e-3)

    lowest = (20.0, 20.1, 10.0, 20.0, 5.0)
    source = opened(directory(tmp_path, spot=[lowest, *FLAT[1:]]))

    assert source.coverage[0].capped_bars == 1
    assert min(mid(book) for book in books(source, SPOT)) == pytest.approx(19.98 * 0.95, rel=1e-3)


def test_missing_settlements_are_counted(tmp_path: Path) -> None:
    root = directory(tmp_path)
    path = root / "funding/hyperliquid_1h_a.parquet"
    pl.read_parquet(path).gather_every(2).write_parquet(path)

    assert opened(root).coverage[1].funding_missing == 3


def test_a_settlement_in_two_files_is_charged_once_at_the_first_files_rate(tmp_path: Path) -> None:
    root = directory(tmp_path)
    write_funding(root / "funding/hyperliquid_1h_b.parquet", T0, [9e-5] * 12)
    write_funding(root / "funding/hyperliquid-other_1h.parquet", T0, [7e-5] * 12)
    recorded = [e for e in inputs(opened(root)) if isinstance(e, RecordedFunding)]

    assert [record.rate.per_interval for record in recorded[1:]] == [1e-5] * 6


def test_a_file_of_several_venues_is_read_for_its_own_and_its_usual_interval(
    tmp_path: Path,
) -> None:
    candles = [(20.0, 20.02, 19.98, 20.0, 300.0)] * 24
    for kind in ("perp", "spot"):
        write_bars(tmp_path / f"prices/binance/{kind}/BTCUSDT_1h.parquet", T0, HOUR, candles)
    columns: dict[str, Sequence[float] | Sequence[str]] = {
        "ts_ms": [T0 // MILLISECOND + hour * 3_600_000 for hour in (8, 8, 16)],
        "venue": ["bybit", "binance", "binance"],
        "symbol": ["BTCUSDT"] * 3,
        "rate": [9e-4, 1e-4, 2e-4],
    }
    path = tmp_path / "funding/binance_and_others.parquet"
    write(path, columns)
    pl.read_parquet(path).with_columns(interval_hours=pl.lit(None)).write_parquet(path)
    source = open_history(tmp_path, "binance", ["BTC"])
    recorded = [e.rate for e in inputs(source) if isinstance(e, RecordedFunding)]

    assert recorded[1:] == [FundingRate(1e-4, 8.0), FundingRate(2e-4, 8.0)]


# What cannot be used is refused in one line


def refusal(root: Path, **given: int | str | None) -> str:
    with pytest.raises(DataError) as caught:
        opened(root, **given)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    assert "no directory" in refusal(tmp_path / "nowhere")


def test_an_empty_directory(tmp_path: Path) -> None:
    assert "no prices/hyperliquid in" in refusal(tmp_path)


def test_a_missing_leg(tmp_path: Path) -> None:
    root = directory(tmp_path)
    (root / "prices/hyperliquid/spot/HYPE_1h_a.parquet").unlink()

    assert "no spot bars of HYPE/USDC: put HYPE_<bar>.parquet into" in refusal(root)


def test_an_unknown_venue_and_an_unknown_pair(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'mtgox' is not configured"):
        open_history(directory(tmp_path), "mtgox", ["HYPE"])
    with pytest.raises(DataError, match="'NOPE' is no pair of hyperliquid"):
        open_history(tmp_path, "hyperliquid", ["NOPE"])
    with pytest.raises(DataError, match="no pairs were named"):
        open_history(tmp_path, "hyperliquid", [])


def test_a_bar_that_is_no_length_or_not_there(tmp_path: Path) -> None:
    root = directory(tmp_path)

    assert "bar 'hourly' is not a length" in refusal(root, bar="hourly")
    assert "no bars of 5m for these pairs: there are 1h" in refusal(root, bar="5m")


def test_a_window_without_data_or_without_length(tmp_path: Path) -> None:
    root = directory(tmp_path)

    assert "HYPE: no bars common to both legs from" in refusal(root, start_ns=T0 + 90 * DAY)
    assert "is empty" in refusal(root, start_ns=T0, end_ns=T0)


@pytest.mark.parametrize("content", [b"", b"not parquet at all", b"PAR1 truncated PAR1"])
def test_a_corrupt_file(tmp_path: Path, content: bytes) -> None:
    root = directory(tmp_path)
    (root / "prices/hyperliquid/perp/HYPE_1h_a.parquet").write_bytes(content)

    assert "HYPE_1h_a.parquet is not readable Parquet" in refusal(root)


def test_a_file_cut_short_or_damaged_inside(tmp_path: Path) -> None:
    root = directory(tmp_path)
    path = root / "prices/hyperliquid/perp/HYPE_1h_a.parquet"
    whole = path.read_bytes()
    for damaged in (whole[:-20], whole[: len(whole) // 2], whole[:4] + bytes(60) + whole[64:]):
        path.write_bytes(damaged)
        assert "HYPE_1h_a.parquet" in refusal(root)


def test_a_missing_column(tmp_path: Path) -> None:
    root = directory(tmp_path)
    path = root / "prices/hyperliquid/perp/HYPE_1h_a.parquet"
    pl.read_parquet(path).drop("volume").write_parquet(path)

    assert "has no column" in refusal(root)
    assert "volume" in refusal(root)


@pytest.mark.parametrize(
    "bad",
    [
        (20.0, 19.0, 19.0, 20.0, 1.0),
        (20.0, 21.0, 0.0, 20.0, 1.0),
        (20.0, float("nan"), 19.0, 20.0, 1.0),
        (20.0, 21.0, 19.0, 20.0, -1.0),
    ],
)
def test_an_impossible_bar(tmp_path: Path, bad: tuple[float, float, float, float, float]) -> None:
    assert "1 impossible bars" in refusal(directory(tmp_path, perp=[*FLAT[:3], bad]))


def test_no_funding_at_all_or_none_in_the_window(tmp_path: Path) -> None:
    root = directory(tmp_path)
    write_funding(root / "funding/hyperliquid_1h_a.parquet", T0 - 90 * DAY, [1e-5] * 5)
    assert "no funding of HYPE-PERP from" in refusal(root)

    (root / "funding/hyperliquid_1h_a.parquet").unlink()
    assert "no funding for hyperliquid under" in refusal(root)


def test_legs_that_never_meet(tmp_path: Path) -> None:
    far = [(30.0, 30.0, 30.0, 30.0, 1.0)] * 6

    assert "near the perp's price" in refusal(directory(tmp_path, spot=far), start_ns=T0)
