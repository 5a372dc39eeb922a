"""What a start asks for, and what it knows from the one before."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from domain.market import Close
from domain.time import DAY, MINUTE
from execution.ports import Reply
from execution.venues.hyperliquid import venue as venues
from execution.venues.hyperliquid.sign import AgentSigner
from execution.venues.hyperliquid.venue import Hyperliquid
from strategies.breakout import BreakoutPolicy
from strategies.market.closes import whole_hours
from strategies.market.state import Market
from strategies.mean_reversion import MeanReversionPolicy
from tests.unit.execution.venues.hyperliquid.test_candles import NOW_MS, QUICK, STEP_MS, Kept, Row
from tests.unit.execution.venues.hyperliquid.venue import ACCOUNT, NOW, WANTED, FakeClock, listed

LISTING = listed()
NAMES = {market.instrument.id for market in LISTING.markets}


def starting(kept: Kept, known: Sequence[Close] = (), *, perps_alone: bool = False) -> Hyperliquid:
    signer = AgentSigner(bytes([1] * 32), is_mainnet=False)
    venue = Hyperliquid(
        kept, signer, ACCOUNT, WANTED, FakeClock(), lambda: 0.5, QUICK,
        known=known, perps_alone=perps_alone,
    )  # fmt: skip
    venue.take(LISTING)
    return venue


async def told(venue: Hyperliquid, at_ns: int = NOW) -> list[Any]:
    return [*await venue.history(at_ns - 60 * DAY, at_ns)]


async def test_a_start_asks_for_the_closes_of_everything_and_for_no_rates() -> None:
    kept = Kept(NOW_MS - 600 * STEP_MS, NOW_MS)
    closes = await told(starting(kept))

    assert {close.instrument for close in closes} == NAMES
    assert len(kept.asked) == len(NAMES)
    assert closes == sorted(closes, key=lambda close: close.venue_time_ns)


async def test_where_perps_are_traded_alone_it_asks_for_all_the_hours_they_are_judged_by() -> None:
    reversion, breakout = MeanReversionPolicy(), BreakoutPolicy()
    needed = max(reversion.trend_hours, breakout.usual_hours + breakout.range_hours + 1)
    kept = Kept(NOW_MS - 1_600 * STEP_MS, NOW_MS)
    venue, market = starting(kept, perps_alone=True), Market(LISTING.pairs)
    for close in await told(venue):
        market.observe(close)
    again = Kept(NOW_MS - 1_600 * STEP_MS, NOW_MS)
    await told(starting(again, venue.closes, perps_alone=True))

    assert {req["coin"] for req in kept.asked} == {perp.coin for perp in LISTING.perps}
    assert again.asked == []
    for perp in LISTING.perps:
        state = market.of(perp.instrument.id)
        assert state is not None
        closes = whole_hours(state, needed, NOW)
        assert closes is not None
        assert len(closes) == needed


async def test_closes_that_are_yet_to_come_blind_nobody() -> None:
    """A later close first: a file that somebody has sorted another way."""
    first = starting(Kept(NOW_MS - 600 * STEP_MS, NOW_MS))
    before = await told(first)
    later = [replace(c, venue_time_ns=c.venue_time_ns + DAY, received_ns=NOW + DAY) for c in before]
    again = Kept(NOW_MS - 600 * STEP_MS, NOW_MS)

    assert await told(starting(again, [*later, *before])) == before


@pytest.mark.parametrize(
    ("minutes", "asked"), [(0, 0), (29, 0), (31, len(NAMES)), (-1, len(NAMES))]
)
async def test_the_next_one_soon_after_asks_for_none(minutes: int, asked: int) -> None:
    first = starting(Kept(NOW_MS - 600 * STEP_MS, NOW_MS))
    before = await told(first)
    again = Kept(NOW_MS - 600 * STEP_MS, NOW_MS)
    known = await told(starting(again, first.closes), NOW + minutes * MINUTE)

    assert len(again.asked) == asked
    assert (known == before) == (asked == 0)


async def test_of_what_was_not_told_before_it_asks() -> None:
    def without(coin: str) -> Callable[[Row], Any]:
        return lambda req: None if req["coin"] == coin else kept._bars(req)

    kept = Kept(NOW_MS - 600 * STEP_MS, NOW_MS)
    kept.answer = without("BTC")
    first = starting(kept)
    assert {close.instrument for close in await told(first)} < NAMES
    again = Kept(NOW_MS - 600 * STEP_MS, NOW_MS)
    closes = await told(starting(again, first.closes))

    assert [req["coin"] for req in again.asked] == ["BTC"]
    assert {close.instrument for close in closes} == NAMES


class Slow(Kept):
    async def request(self, path: str, body: bytes, timeout_seconds: float) -> Reply:
        await asyncio.sleep(0.02 if b"BTC" in body else 60.0)
        return await super().request(path, body, timeout_seconds)


async def test_what_is_not_told_soon_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venues, "HISTORY_SECONDS", 0.2)
    closes = await told(starting(Slow(NOW_MS - 600 * STEP_MS, NOW_MS)))

    assert {close.instrument for close in closes} == {"hyperliquid:BTC-PERP"}
