"""What leaves of what is asked, minute by minute, and what of it waits."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from execution.ports import Reply, TransportFailed
from execution.venues.hyperliquid.emulator.limits import Limits
from execution.venues.hyperliquid.weights import (
    CONNECTIONS_PER_MINUTE,
    MINUTE_SECONDS,
    THROTTLED_SECONDS,
    Minute,
    Paced,
)
from tests.unit.execution.venues.hyperliquid.venue import FakeStream
from tests.world.loop import SimLoop
from tests.world.oracle import Oracle

ORDER = msgspec.json.encode({"action": {"type": "order", "orders": [{}]}, "nonce": 1})


def question(kind: str) -> bytes:
    return msgspec.json.encode({"type": kind})


class Venue:
    """Answers at once, under the emulator's own limits; ``rows`` in every history."""

    def __init__(self) -> None:
        self.limits = Limits()
        self.answered: list[str] = []
        self.rows = 0
        self.status = 200

    async def request(self, path: str, body: bytes, timeout_seconds: float) -> Reply:
        now = asyncio.get_running_loop().time()
        if self.status != 200 or not self.limits.takes(path, body, now):
            return Reply(self.status if self.status != 200 else 429, b"")
        answer = msgspec.json.encode([0] * self.rows)
        self.limits.answered(body, answer, now)
        self.answered.append(path if path == "/exchange" else msgspec.json.decode(body)["type"])
        return Reply(200, answer)

    async def connect(self, path: str, timeout_seconds: float) -> FakeStream:
        return FakeStream(lambda _: True)


@pytest.fixture
def loop() -> Iterator[SimLoop]:
    made = SimLoop(Oracle.seeded(1, {}), 0)
    yield made
    made.close()


def run(loop: SimLoop, work: Any, seconds: int = 3_600) -> None:
    task = loop.spawn("somebody", work)
    loop.run_until(loop.now_ns + seconds * 10**9)
    task.result()


async def asked(paced: Paced, kind: str, times: int) -> int:
    """How many of so many were answered."""
    answered = 0
    for _ in range(times):
        with contextlib.suppress(TransportFailed):
            answered += (await paced.request("/info", question(kind), 1.0)).status == 200
    return answered


def test_what_does_not_fit_is_not_asked_and_the_last_is_for_orders(loop: SimLoop) -> None:
    venue = Venue()
    paced = Paced(venue)

    async def work() -> None:
        assert await asked(paced, "userFees", 60) == 49  # of 20 up to 980
        assert await asked(paced, "userFunding", 60) == 2  # of 21 up to 1,040; no row came
        assert await asked(paced, "frontendOpenOrders", 60) == 7  # of 20 up to 1,160
        assert await asked(paced, "orderStatus", 60) == 10  # of 2 up to 1,180
        assert await asked(paced, "userFills", 1) == 0
        for _ in range(20):
            assert (await paced.request("/exchange", ORDER, 1.0)).status == 200
        assert paced.used == 1_200
        await asyncio.sleep(MINUTE_SECONDS)
        assert paced.used == 0
        assert await asked(paced, "userFees", 1) == 1

    run(loop, work())
    assert venue.limits.heaviest == 1_200
    assert venue.limits.refused == 0


def test_what_one_process_asks_is_not_left_to_another(loop: SimLoop) -> None:
    venue, minute = Venue(), Minute()
    one, other = Paced(venue, minute), Paced(venue, minute)

    async def work() -> None:
        assert await asked(one, "userFees", 30) == 30
        assert await asked(other, "userFees", 30) == 19
        assert one.used == other.used == 980
        for _ in range(CONNECTIONS_PER_MINUTE):
            await one.connect("/ws", 1.0)
        with pytest.raises(TransportFailed, match="connections in a minute"):
            await other.connect("/ws", 1.0)

    run(loop, work())
    assert venue.limits.refused == 0


def test_an_action_is_never_held_back(loop: SimLoop) -> None:
    venue = Venue()
    paced = Paced(venue)

    async def work() -> None:
        for _ in range(1_500):
            await paced.request("/exchange", ORDER, 1.0)
        assert venue.limits.refused == 300
        assert await asked(paced, "orderStatus", 1) == 0

    run(loop, work())


def test_the_past_stops_early_and_who_acts_does_not_wait_for_it(loop: SimLoop) -> None:
    venue = Venue()
    venue.rows = 500
    paced = Paced(venue)

    async def work() -> None:
        assert await asked(paced, "fundingHistory", 20) == 15  # of 45 up to 700
        assert asyncio.get_running_loop().time() == 0.0

    run(loop, work())


def test_where_nobody_acts_everything_waits_until_it_fits_and_weighs_what_it_brings(
    loop: SimLoop,
) -> None:
    venue = Venue()
    venue.rows = 500
    paced = Paced(venue, patient_up_to=1_000)
    at: list[float] = []

    async def work() -> None:
        for _ in range(50):
            await paced.request("/info", question("fundingHistory"), 1.0)
            at.append(asyncio.get_running_loop().time())

    run(loop, work())
    assert [int(time // MINUTE_SECONDS) for time in at] == [n // 22 for n in range(50)]
    assert venue.limits.heaviest == 22 * 45


def test_of_a_short_answer_the_rest_is_given_back(loop: SimLoop) -> None:
    venue = Venue()
    venue.rows = 10
    paced = Paced(venue)

    async def work() -> None:
        await asked(paced, "fundingHistory", 1)
        assert paced.used == 21
        venue.rows = 0
        await asked(paced, "fundingHistory", 1)
        assert paced.used == 41

    run(loop, work())
    assert venue.limits.heaviest == 41


@pytest.mark.parametrize(
    ("interval", "days", "weight"), [("15m", 15, 44), ("15m", 2, 24), ("1h", 15, 26), ("1d", 1, 21)]
)
def test_bars_that_are_asked_for_are_counted_before_they_come(
    loop: SimLoop, interval: str, days: int, weight: int
) -> None:
    venue = Venue()
    venue.rows = days * {"15m": 96, "1h": 24, "1d": 1}[interval]
    paced = Paced(venue)
    span = {"coin": "HYPE", "interval": interval, "startTime": 0, "endTime": days * 86_400_000 - 1}
    body = msgspec.json.encode({"type": "candleSnapshot", "req": span})

    async def work() -> None:
        for _ in range(40):
            with contextlib.suppress(TransportFailed):
                await paced.request("/info", body, 1.0)

    run(loop, work())
    assert len(venue.answered) == 700 // weight
    assert venue.limits.heaviest == weight * len(venue.answered)


def test_after_a_429_only_what_is_pressing_is_asked_for_a_while(loop: SimLoop) -> None:
    venue = Venue()
    paced = Paced(venue)

    async def work() -> None:
        venue.status = 429
        assert await asked(paced, "frontendOpenOrders", 1) == 0
        venue.status = 200
        assert await asked(paced, "frontendOpenOrders", 1) == 0
        assert await asked(paced, "orderStatus", 1) == 1
        assert (await paced.request("/exchange", ORDER, 1.0)).status == 200
        assert await asked(paced, "candleSnapshot", 1) == 0
        await asyncio.sleep(THROTTLED_SECONDS)
        assert await asked(paced, "candleSnapshot", 1) == 1
        assert await asked(paced, "frontendOpenOrders", 1) == 1

    run(loop, work())
    assert venue.answered == ["orderStatus", "/exchange", "candleSnapshot", "frontendOpenOrders"]


def test_more_connections_than_the_venue_takes_are_not_tried(loop: SimLoop) -> None:
    paced = Paced(Venue())

    async def work() -> None:
        for _ in range(CONNECTIONS_PER_MINUTE):
            await paced.connect("/ws", 1.0)
        with pytest.raises(TransportFailed, match="connections in a minute"):
            await paced.connect("/ws", 1.0)
        await asyncio.sleep(MINUTE_SECONDS)
        await paced.connect("/ws", 1.0)

    run(loop, work())
