"""A bot of five pairs keeps within what the venue takes from one address, and survives a 429."""

import asyncio
import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import msgspec
import pytest

from bot.checkup import Checkup, failed
from bot.lease import Lease
from bot.live import HISTORY_NS, Live
from bot.watchdog import Bounds, NonceFile, Watchdog
from domain.instruments import Pair
from domain.market import Close, FundingSettled, PublicEvent
from domain.orders import Fill
from domain.rates import FundingRate
from domain.time import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from execution.facts import TradePlanned
from execution.ports import Reply, TransportFailed
from execution.venues.hyperliquid.candles import WARM_BAR_NS
from execution.venues.hyperliquid.emulator import limits
from execution.venues.hyperliquid.emulator.emulator import Emulator
from execution.venues.hyperliquid.emulator.limits import Limits
from execution.venues.hyperliquid.timing import Timing
from execution.venues.hyperliquid.venue import Hyperliquid
from execution.venues.hyperliquid.weights import Minute, Paced
from tests.world.oracle import Oracle
from tests.world.restless import Restless
from tests.world.world import (
    ACCOUNT,
    LEASE_NS,
    RESTART_NS,
    START,
    TRADER,
    VENUE,
    WATCHDOG,
    World,
    _pair,
)

FIVE = (
    _pair("HYPE", "HYPE", "0.01", 2), _pair("PURR", "PURR", "0.1", 1),
    _pair("SOL", "USOL", "0.01", 2), _pair("ETH", "UETH", "0.0001", 4),
    _pair("BTC", "UBTC", "0.00001", 5),
)  # fmt: skip


AGENT_UNTIL_MS = (START + 90 * DAY) // MILLISECOND


def _bars(asked: dict[str, Any]) -> list[dict[str, Any]]:
    """As many as the venue has of so long: its market here begins with the world."""
    step_ms = WARM_BAR_NS // MILLISECOND
    first_ms = -(-asked["startTime"] // step_ms) * step_ms
    prices = {"o": "20", "h": "20", "l": "20", "c": "20", "v": "1"}
    return [
        {"t": t, "T": t + step_ms - 1, "s": asked["coin"], "i": asked["interval"], **prices}
        for t in range(first_ms, asked["endTime"] + 1, step_ms)
    ]


class LimitedEmulator(Emulator):
    """The emulated venue with the limits of its front."""

    limits: Limits
    start_ns: int

    def request(self, path: str, body: bytes, now_ns: int) -> Reply:
        seconds = (now_ns - self.start_ns) / 1e9
        if not self.limits.takes(path, body, seconds):
            return Reply(429, b"")
        asked = msgspec.json.decode(body)
        if asked.get("type") == "candleSnapshot":
            reply = Reply(200, msgspec.json.encode(_bars(asked["req"])))
        else:
            reply = super().request(path, body, now_ns)
        self.limits.answered(body, reply.body, seconds)
        return reply


class CheckedVenue(Hyperliquid):
    """As `fundarb live` starts: by a look at everything."""

    async def load(self) -> tuple[Pair, ...]:
        assert isinstance(self._transport, Paced)
        checkup = Checkup(
            self._transport, ACCOUNT, TRADER.address, self._wanted, self._clock,
            self.world.settings.risk, Timing(),
        )  # fmt: skip
        assert failed(await checkup.findings(restart=self.restart), restart=True) == []
        return self.take(checkup.listed)

    async def history(self, since_ns: int, until_ns: int) -> Sequence[PublicEvent]:
        """The candles of this venue have no price of its market: they are asked for, and there are
        others. What there was is there for the next start."""
        await super().history(since_ns, until_ns)
        self.world.closes = self.world.market.closes_before(until_ns)
        return self.world.closes

    world: "LimitedWorld"
    restart: bool


class LimitedWorld(World):
    """One address, and behind it the bot and its watchdog, whoever of them is alive."""

    pairs: tuple[Pair, ...] = FIVE
    agent_until_ms: int | None = AGENT_UNTIL_MS
    outage_seconds = RESTART_NS // SECOND
    closes: Sequence[Close] = ()

    def _site(self) -> LimitedEmulator:
        rate, hours = FundingRate(0.00005, 1), HISTORY_NS // HOUR
        times = [START - n * HOUR for n in range(hours - 1, -1, -1)]
        self.limits = Limits()
        history = [FundingSettled(p.perp.id, rate, t, t) for t in times for p in self.pairs]
        self.emulator = site = LimitedEmulator(
            self.exchange,
            self.pairs,
            ACCOUNT,
            dict.fromkeys((TRADER.address, WATCHDOG.address), self.agent_until_ms),
            history=history,
        )
        self.minute = Minute()
        site.limits, site.start_ns = self.limits, self.start_ns
        return site

    def outage_ns(self) -> int:
        return self.outage_seconds * SECOND

    def _venue(self, owner: str) -> CheckedVenue:
        venue = CheckedVenue(
            Paced(self.net.transport(owner, VENUE), self.minute),
            TRADER, ACCOUNT,
            {pair.name: pair.spot.base for pair in self.pairs}, self.clock, self._jitter,
            known=self.closes,
        )  # fmt: skip
        venue.world, venue.restart = self, self.starts > 1
        return venue

    def begin_to_watch(self) -> None:
        self.loop.spawn("watchdog", self.watch())

    async def watch(self) -> None:
        """As `fundarb watchdog`."""
        transport = Paced(self.net.transport("watchdog", VENUE), self.minute)
        wanted = {pair.name: pair.spot.base for pair in self.pairs}
        checkup = Checkup(
            transport, ACCOUNT, WATCHDOG.address, wanted, self.clock, self.settings.risk, Timing()
        )
        while True:
            try:
                await checkup.findings(restart=True)
            except TransportFailed:
                await asyncio.sleep(1.0)
            else:
                break
        lease = Lease(self.directory / "lease.json", "watchdog", LEASE_NS)
        with closing(NonceFile(self.directory / "nonces")) as nonces:
            await Watchdog(
                transport, WATCHDOG, nonces, checkup.listed, ACCOUNT, TRADER.address, self.clock,
                lease, Bounds.of(self.settings.execution, Timing()), self.alarm,
            ).run()  # fmt: skip


def test_a_start_and_a_quiet_minute_weigh_little(world: LimitedWorld) -> None:
    """Of five pairs on which nothing is wanted."""
    world.strategy = Restless((), START, START, 1)
    world.loop.run_until(world.start_ns + 10 * SECOND)
    start = world.limits.heaviest
    world.loop.run_until(world.start_ns + 60 * SECOND)
    first_minute = world.limits.heaviest
    world.loop.run_until(world.start_ns + 10 * MINUTE)
    quiet = world.limits._used(600.0)
    print(f"ten seconds {start}, the first minute {first_minute}, a quiet one {quiet}")

    assert world.violations == []
    assert start < 660
    assert first_minute < 700
    assert quiet < 150


class Killed(LimitedWorld):
    """One that goes wrong once, when it is told to; ``back`` is after how many seconds its bot
    runs again."""

    def __init__(self, agents: str, outage_seconds: int) -> None:
        self.agent_until_ms = AGENT_UNTIL_MS if agents == "named" else None
        self.outage_seconds = outage_seconds
        self.back = math.inf
        super().__init__(Oracle.seeded(1, {}), 1, hours=1.0, start_ns=START + 10 * MINUTE)

    def kill(self) -> None:
        assert self.process is not None
        self.killed_ns = self.loop.now_ns
        self.die(self.process.owner)

    def _started(self, running: Live) -> None:
        super()._started(running)
        if self.starts > 1:
            self.back = (self.loop.now_ns - self.killed_ns) / SECOND

    def seconds_until(self, name: str) -> float | None:
        """After the kill."""
        times = [alarm.time_ns for alarm in self.alarms if alarm.name == name]
        return (times[0] - self.killed_ns) / SECOND if times else None


@pytest.fixture
def world() -> Iterator[LimitedWorld]:
    made = LimitedWorld(Oracle.seeded(1, {}), 1, hours=1.0, start_ns=START + 10 * MINUTE)
    yield made
    made.close()


def of(world: World, kind: type) -> int:
    return sum(isinstance(fact, kind) for fact in world.facts)


def test_a_start_of_five_pairs_and_an_hour_of_trading_keep_within_the_limit(
    world: LimitedWorld,
) -> None:
    world.run()

    assert world.violations == []
    assert world.starts == 1
    assert of(world, TradePlanned) > 20
    assert of(world, Fill) > 100
    assert world.limits.refused == 0
    assert world.limits.heaviest <= 1_200
    engine = world.engine
    assert engine is not None
    for pair in world.pairs:  # the past was told, after the start
        perp = engine.market.of(pair.perp.id)
        assert perp is not None
        assert perp.hours_of_funding > HISTORY_NS // HOUR - 2


@pytest.mark.parametrize("watchdog_seconds", [-1, 0, 3])
@pytest.mark.parametrize("outage_seconds", [2, 13])
@pytest.mark.parametrize("agents", ["named", "unnamed"])
def test_a_kill_in_the_first_minute_is_survived_without_a_refusal(
    agents: str, outage_seconds: int, watchdog_seconds: int
) -> None:
    """It may have legs to look after. It is back soon, or the watchdog has been there; what both
    have asked by then leaves less than either would ask for."""
    for seconds in (3, 20, 43, 52, 59):
        world = Killed(agents, outage_seconds)
        try:
            if watchdog_seconds >= 0:
                at_ns = world.start_ns + watchdog_seconds * SECOND
                world.loop.at(at_ns, world.begin_to_watch)
            world.loop.run_until(world.start_ns + seconds * SECOND)
            world.kill()
            world.loop.run_until(world.killed_ns + 75 * SECOND)
            told = seconds, world.alarms

            assert world.limits.refused == 0, told
            assert world.violations == [], told
            assert world.starts == 2, told
            assert world.engine is not None, told
            assert world.engine.reconciled_ns is not None, told
            assert world.engine.reconciled_ns > world.killed_ns, told
            neutral = world.seconds_until("watchdog_neutral")
            if agents == "named":  # as `fundarb account approve-agent` makes them
                assert world.back < outage_seconds + 13, told
            if outage_seconds == 13 and watchdog_seconds >= 0:
                assert neutral is not None, told
            assert neutral is None or neutral < 17, told
        finally:
            world.close()


def test_an_address_that_others_use_too_is_survived(
    world: LimitedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of it is left, of which the bot knows nothing: orders are refused like questions."""
    monkeypatch.setattr(limits, "_WEIGHT_A_MINUTE", 600)
    world.run()

    assert world.limits.refused > 100
    assert of(world, Fill) > 0
    assert world.violations == []
    assert world.starts == 1
