"""What anybody may read of the venue, as inputs of a simulated exchange: each once, as heard."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bot.instruments import load_pairs
from domain.instruments import Pair
from domain.market import Book, FundingSettled, RecordedFunding, Reference, Trade
from domain.orders import Side
from domain.rates import FundingRate
from domain.time import HOUR, MILLISECOND, SECOND
from execution.venues.hyperliquid import public, watch
from execution.venues.hyperliquid.watch import LATE_NS, Reader
from execution.venues.hyperliquid.wire import (
    Frame,
    FundingRow,
    Meta,
    QuotedLevel,
    SpotMeta,
    decode,
)
from tests.unit.execution.venues.hyperliquid.venue import META, NOW, SPOT_META, listed

LISTING = listed()

NOW_MS = NOW // MILLISECOND


def frame(channel: str, data: Any) -> Frame:
    return decode(msgspec.json.encode({"channel": channel, "data": data}), Frame)


def book(time_ms: int = NOW_MS, coin: str = "HYPE", bid: str = "30.0") -> Frame:
    levels = [[{"px": bid, "sz": "5", "n": 1}], [{"px": "30.1", "sz": "4", "n": 1}]]
    return frame("l2Book", {"coin": coin, "time": time_ms, "levels": levels})


def trades(*numbers: int, time_ms: int = NOW_MS) -> Frame:
    rows = [
        {"coin": "HYPE", "side": "A", "px": "30.0", "sz": "2.5", "time": time_ms, "tid": number}
        for number in numbers
    ]
    return frame("trades", rows)


def rate(hour: int, coin: str = "HYPE") -> FundingRow:
    row = {
        "coin": coin,
        "fundingRate": "0.0000125",
        "premium": "0",
        "time": NOW_MS + hour * 3600_000,
    }
    return decode(msgspec.json.encode(row), FundingRow)


def test_a_book_is_of_the_time_at_which_it_was_heard() -> None:
    (heard,) = Reader(LISTING).inputs(book(), NOW + 70 * MILLISECOND)

    assert isinstance(heard, Book)
    assert (heard.venue_time_ns, heard.received_ns) == (NOW + 70 * MILLISECOND,) * 2
    assert (heard.bids, heard.asks) == ((QuotedLevel(30.0, 5.0),), (QuotedLevel(30.1, 4.0),))


def test_a_book_that_is_no_newer_than_the_last_is_no_news() -> None:
    reader = Reader(LISTING)

    told = [len(reader.inputs(book(NOW_MS + n), NOW + SECOND)) for n in (5, 5, 4, 6)]
    assert told == [1, 0, 0, 1]


def test_a_book_that_comes_late_is_left_out_and_counted() -> None:
    reader = Reader(LISTING)

    assert reader.inputs(book(), NOW + LATE_NS + 1) == []
    assert reader.late == 1


def test_marks_carry_the_venues_own_estimate_of_the_rate() -> None:
    context = {"funding": "0.00002", "oraclePx": "30.02", "markPx": "30.05"}
    data = {"coin": "HYPE", "ctx": context}

    (heard,) = Reader(LISTING).inputs(frame("activeAssetCtx", data), NOW)
    name = LISTING.by_coin["HYPE"].instrument.id
    assert heard == Reference(name, 30.05, 30.02, NOW, NOW, FundingRate(0.00002, 1))


def test_trades_from_before_a_subscription_fill_nothing_and_each_is_told_once() -> None:
    reader = Reader(LISTING)

    assert reader.inputs(trades(1, 2), NOW) == []
    (heard,) = reader.inputs(trades(2, 3), NOW + SECOND)
    assert isinstance(heard, Trade)
    assert (heard.price, heard.quantity, heard.aggressor) == (30.0, 2.5, Side.SELL)
    assert reader.inputs(trades(3), NOW + SECOND) == []  # a new connection tells it again
    assert reader.inputs(trades(4), NOW + LATE_NS + SECOND) == []  # made while it was broken


def test_what_cannot_be_believed_is_counted_and_the_rest_goes_on() -> None:
    reader = Reader(LISTING)
    wrong = [book(coin="OTHER"), book(bid="-1"), frame("l2Book", {"coin": 1}), frame("trades", {})]

    assert [reader.inputs(each, NOW) for each in wrong] == [[], [], [], []]
    assert reader.rejected == len(wrong)
    assert reader.inputs(frame("pong", None), NOW) == []
    assert len(reader.inputs(book(), NOW)) == 1


def test_a_rate_settles_the_hour_in_which_it_is_told_and_once() -> None:
    reader = Reader(LISTING)
    heard_ns = NOW + 7 * SECOND

    (told,) = reader.rates([rate(0)], heard_ns)
    assert told == RecordedFunding(
        LISTING.by_coin["HYPE"].instrument.id, FundingRate(0.0000125, 1), heard_ns, heard_ns
    )
    assert reader.rates([rate(0)], heard_ns) == []
    assert reader.rates([rate(1)], NOW + 2 * HOUR + SECOND) == []  # of an hour that is over
    assert reader.rates([rate(9)], heard_ns) == []  # yet to come
    assert reader.rejected == 1


def test_what_was_known_at_the_start_settles_nothing_again() -> None:
    reader = Reader(LISTING)
    (known,) = reader.rates([rate(0)], NOW + SECOND)
    again = Reader(LISTING)
    again.know([FundingSettled(known.instrument, FundingRate(0.0, 1), NOW, NOW)])

    assert again.rates([rate(0)], NOW + SECOND) == []


def test_without_an_account_the_fees_are_those_of_the_lowest_tier() -> None:
    pairs: tuple[Pair, ...] = load_pairs("hyperliquid", ("HYPE", "PURR"))
    listing = watch.listed(
        decode(msgspec.json.encode(META), Meta),
        decode(msgspec.json.encode(SPOT_META), SpotMeta),
        pairs,
    )

    assert [pair.name for pair in listing.pairs] == ["HYPE", "PURR"]
    assert [pair.perp.fees for pair in listing.pairs] == [pair.perp.fees for pair in pairs]
    assert [pair.spot.fees for pair in listing.pairs] == [pair.spot.fees for pair in pairs]


def test_recorded_trades_are_read(shared_data: Path) -> None:
    path = shared_data / "payloads" / "hyperliquid" / "goat_recent_trades.json"
    if not path.is_file():
        pytest.skip("no recorded trades")
    rows = json.loads(path.read_text())
    told = public.trades(LISTING, frame("trades", rows), NOW)

    assert len(told) == len(rows) > 5
    assert {coin for coin, _, _ in told} == {"BTC"}
    assert [trade.price for _, _, trade in told] == [float(row["px"]) for row in rows]
