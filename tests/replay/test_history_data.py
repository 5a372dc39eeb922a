"""The recorded markets as they are read: what is there, what is junk, what comes out."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from bot.backtest.bars import DataError
from bot.backtest.history import HistorySource, open_history
from domain.market import Book, FundingSettled, MarketInput, RecordedFunding, Reference
from domain.time import DAY, HOUR, MINUTE, parse_instant


def quarter(data: Path, *pairs: str) -> HistorySource:
    return open_history(
        data,
        "hyperliquid",
        pairs,
        start_ns=parse_instant("2025-02-15"),
        end_ns=parse_instant("2025-05-31"),
    )


def days(source: HistorySource, first: str, count: int) -> Iterator[MarketInput]:
    start = parse_instant(first)
    for event in source.events(start):
        if event.venue_time_ns > start + count * DAY:
            return
        yield event


def test_hype_of_spring_2025_is_whole_at_fifteen_minutes(shared_data: Path) -> None:
    source = quarter(shared_data, "HYPE")
    spot, perp = source.coverage

    assert source.cadence_ns == 15 * MINUTE
    assert (spot.bars, spot.missing_bars, spot.junk_bars) == (10_080, 0, 0)
    assert (perp.bars, perp.missing_bars, perp.funding_missing) == (10_080, 0, 0)
    assert sum(isinstance(event, FundingSettled) for event in source.history()) == 60 * 24


def test_sol_joins_when_its_token_was_listed_and_junk_is_left_out(shared_data: Path) -> None:
    source = quarter(shared_data, "SOL")
    spot, perp = source.coverage
    first = next(event for event in source.events(source.start_ns) if isinstance(event, Book))

    assert spot.first_ns is not None
    assert spot.first_ns >= parse_instant("2025-05-10T08:30:00")
    assert first.venue_time_ns > parse_instant("2025-05-10T08:30:00")
    assert spot.junk_bars > 20
    assert perp.first_ns == source.start_ns


def test_no_quote_of_a_token_is_far_from_its_perp(shared_data: Path) -> None:
    marks: dict[str, float] = {}
    far = 0
    for event in days(quarter(shared_data, "SOL", "ETH"), "2025-05-10", 6):
        if isinstance(event, Reference):
            marks[event.instrument.partition(":")[2][:3]] = event.mark
        elif isinstance(event, Book) and "/USDC" in event.instrument:
            mark = marks.get(event.instrument.partition(":U")[2][:3]) if event.bids else None
            far += mark is not None and abs(event.bids[0].price / mark - 1) > 0.12
    assert not far


def test_a_replay_takes_one_minute_bars_from_where_every_leg_has_them(shared_data: Path) -> None:
    source = open_history(shared_data, "hyperliquid", ["BTC", "HYPE"])

    assert source.cadence_ns == MINUTE
    assert source.start_ns == parse_instant("2025-07-21T11:28:00")
    assert source.end_ns == parse_instant("2025-07-24")
    assert all(entry.missing_bars == 0 for entry in source.coverage)


def test_funding_comes_at_the_venues_own_stamps_and_once_an_hour(shared_data: Path) -> None:
    source = quarter(shared_data, "HYPE", "BTC")
    recorded = [e for e in days(source, "2025-03-01", 5) if isinstance(e, RecordedFunding)]

    assert Counter(record.instrument for record in recorded) == {
        "hyperliquid:HYPE-PERP": 120,
        "hyperliquid:BTC-PERP": 120,
    }
    assert all(0 <= record.venue_time_ns % HOUR < MINUTE for record in recorded)
    assert all(record.rate.interval_hours == 1 for record in recorded)


def test_every_event_is_in_order_and_every_book_stands_uncrossed(shared_data: Path) -> None:
    events = list(days(quarter(shared_data, "HYPE", "PURR", "BTC"), "2025-04-07", 2))

    assert all(a.venue_time_ns <= b.venue_time_ns for a, b in pairwise(events))
    for event in events:
        if isinstance(event, Book) and event.bids:
            assert 0 < event.bids[0].price < event.asks[0].price


def test_binance_settles_every_eight_hours_and_its_long_gap_is_told(shared_data: Path) -> None:
    source = open_history(
        shared_data, "binance", ["BTC"], start_ns=parse_instant("2025-05-01"), bar="1h"
    )
    spot, perp = source.coverage
    recorded = [e for e in source.events(source.start_ns) if isinstance(e, RecordedFunding)]

    assert {record.rate.interval_hours for record in recorded} == {8.0}
    assert spot.longest_gap_ns == perp.longest_gap_ns == 81 * DAY


def test_a_token_that_was_not_listed_yet_is_refused(shared_data: Path) -> None:
    with pytest.raises(DataError, match="SOL: no bars common to both legs"):
        open_history(
            shared_data, "hyperliquid", ["HYPE", "SOL"], end_ns=parse_instant("2025-03-01")
        )
