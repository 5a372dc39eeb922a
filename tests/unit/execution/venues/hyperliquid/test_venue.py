"""What a start asks for, and what it knows from the one before."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from domain.market import Close
from domain.time import DAY, MINUTE
from execution.ports import Reply
from execution.venues.hyperliquid import venue as venues
from execution.venues.hyperliquid.sign import AgentSigner
from execution.venues.hyperliquid.venue import Hyperliquid
from tests.unit.execution.venues.hyperliquid.test_candles import NOW_MS, QUICK, STEP_MS, Kept, Row
from tests.unit.execution.venues.hyperliquid.venue import ACCOUNT, NOW, WANTED, FakeClock, listed

LISTING = listed()
NAMES = {market.instrument.id for market in LISTING.markets}


def starting(kept: Kept, known: Sequence[Close] = ()) -> Hyperliquid:
    signer = AgentSigner(bytes([1] * 32), is_mainnet=False)
    venue = Hyperliquid(kept, signer, ACCOUNT, WANTED, FakeClock(), lambda: 0.5, QUICK, known=known)
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
