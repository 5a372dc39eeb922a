"""Bars from the venue: page after page, and closes for a start that waits for none of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from domain.market import Close
from domain.time import MILLISECOND, MINUTE, SECOND
from execution.ports import Reply, Stream, TransportFailed
from execution.venues.hyperliquid import candles
from execution.venues.hyperliquid.info import Info
from execution.venues.hyperliquid.timing import Timing
from execution.venues.hyperliquid.wire import BadMessage, Candle, market
from strategies.market.state import Market
from tests.unit.execution.venues.hyperliquid.venue import NOW, listed

LISTING = listed()

STEP_MS = 15 * MINUTE // MILLISECOND
NOW_MS = NOW // MILLISECOND
QUICK = Timing(read_timeout=1.0)
Row = dict[str, Any]


def row(open_ms: int, coin: str = "HYPE", close: str = "30.0", interval: str = "15m") -> Row:
    prices = {"o": "30.0", "h": "31.0", "l": "29.0", "c": close, "v": "1.0", "n": 1}
    return {"t": open_ms, "T": open_ms + STEP_MS - 1, "s": coin, "i": interval, **prices}


class Kept:
    """A venue that keeps bars of every coin, and tells so many of them at once."""

    def __init__(self, first_ms: int, last_ms: int, page: int = 5_000) -> None:
        self.opens = range(first_ms, last_ms + 1, STEP_MS)
        self.page = page
        self.asked: list[Row] = []
        self.answer: Callable[[Row], Any] = self._bars

    def _bars(self, req: Row) -> Any:
        told = [t for t in self.opens if req["startTime"] <= t <= req["endTime"]]
        return [row(t, req["coin"], f"{30 + t % 7}.5") for t in told[: self.page]]

    async def request(self, _path: str, body: bytes, _timeout_seconds: float) -> Reply:
        req = msgspec.json.decode(body)["req"]
        self.asked.append(req)
        answer = self.answer(req)
        if answer is None:
            raise TransportFailed("nothing")
        return Reply(200, msgspec.json.encode(answer))

    async def connect(self, _path: str, _timeout_seconds: float) -> Stream:
        raise AssertionError("bars are asked for, not listened to")


async def page(venue: Kept, since_ms: int, until_ms: int) -> list[Candle]:
    info = Info(venue, "", 1.0, lambda: None)
    return await candles.page(info, "HYPE", "15m", since_ms, until_ms)


async def test_a_page_has_what_was_asked_for_in_order_and_each_bar_once() -> None:
    venue = Kept(NOW_MS - 10 * STEP_MS, NOW_MS)
    venue.answer = lambda req: [*reversed(venue._bars(req)), *venue._bars(req), row(0)]

    told = await page(venue, NOW_MS - 20 * STEP_MS, NOW_MS)
    assert [bar.open_time for bar in told] == list(venue.opens)[:-1]  # the end is not in it


@pytest.mark.parametrize(
    "answer", [[row(NOW_MS, coin="BTC")], [row(NOW_MS, interval="1h")], [{"t": 1}], {}]
)
async def test_bars_of_something_else_are_no_answer(answer: Any) -> None:
    venue = Kept(0, 0)
    venue.answer = lambda _: answer

    with pytest.raises(BadMessage):
        await page(venue, NOW_MS - STEP_MS, NOW_MS + STEP_MS)


async def test_a_start_knows_at_once_how_much_everything_moves() -> None:
    venue = Kept(NOW_MS - 600 * STEP_MS, NOW_MS)

    told = await candles.recent_closes(venue, LISTING, NOW + SECOND, QUICK)
    known = Market(LISTING.pairs)
    for close in told:
        known.observe(close)
    for listing in LISTING.markets:
        state = known.of(listing.instrument.id)
        assert state is not None
        assert state.volatility is not None
        assert state.volatility > 0
    assert all(close.venue_time_ns <= NOW + SECOND for close in told)  # no bar that is not over


async def test_a_start_on_paper_asks_of_perps_for_what_any_strategy_needs() -> None:
    venue = Kept(NOW_MS - 1_600 * STEP_MS, NOW_MS)
    await candles.recent_closes(venue, LISTING, NOW, QUICK)

    days = {req["coin"]: (NOW_MS - req["startTime"]) / 86_400_000 for req in venue.asked}
    assert days == {one.coin: 15 if one in LISTING.perps else 2 for one in LISTING.markets}


async def test_a_start_does_without_what_it_is_not_told() -> None:
    venue = Kept(NOW_MS - 20 * STEP_MS, NOW_MS)
    venue.answer = lambda req: None if req["coin"] == "BTC" else venue._bars(req)

    told = await candles.recent_closes(venue, LISTING, NOW, QUICK)
    assert {type(close) for close in told} == {Close}
    names = {close.instrument for close in told}
    assert LISTING.by_coin["BTC"].instrument.id not in names
    assert LISTING.by_coin["HYPE"].instrument.id in names


async def test_a_price_that_is_none_leaves_its_market_out() -> None:
    venue = Kept(0, 0)
    venue.answer = lambda req: [row(NOW_MS - STEP_MS, req["coin"], close="0")]

    assert await candles.recent_closes(venue, LISTING, NOW, QUICK) == []


def test_recorded_candles_are_read(shared_data: Path) -> None:
    path = shared_data / "payloads" / "hyperliquid" / "rest_get_candles_snapshot.json"
    if not path.is_file():
        pytest.skip("no recorded candles")
    told = [
        exchange["response"]
        for exchange in json.loads(path.read_text())
        if exchange["request"]["type"] == "candleSnapshot"
    ]
    bars = msgspec.json.decode(msgspec.json.encode(told[0]), type=list[Candle])

    assert len(bars) > 20
    step_ms = bars[1].open_time - bars[0].open_time
    assert {bar.close_time + 1 - bar.open_time for bar in bars} == {step_ms}
    assert all(market(bar.low) <= market(bar.close) <= market(bar.high) for bar in bars)
