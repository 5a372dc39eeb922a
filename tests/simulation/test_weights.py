"""A bot of five pairs keeps within what the venue takes from one address, and survives a 429."""

from collections.abc import Iterator, Sequence

import pytest

from bot.checkup import Checkup, failed
from bot.live import HISTORY_NS
from domain.instruments import Pair
from domain.market import FundingSettled, PublicEvent
from domain.orders import Fill
from domain.rates import FundingRate
from domain.time import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from execution.facts import TradePlanned
from execution.ports import Reply
from execution.venues.hyperliquid.emulator import limits
from execution.venues.hyperliquid.emulator.emulator import Emulator
from execution.venues.hyperliquid.emulator.limits import Limits
from execution.venues.hyperliquid.timing import Timing
from execution.venues.hyperliquid.venue import Hyperliquid
from execution.venues.hyperliquid.weights import BEFORE, Paced
from tests.world.oracle import Oracle
from tests.world.world import ACCOUNT, RESTART_NS, START, TRADER, VENUE, World, _pair

FIVE = (
    _pair("HYPE", "HYPE", "0.01", 2), _pair("PURR", "PURR", "0.1", 1),
    _pair("SOL", "USOL", "0.01", 2), _pair("ETH", "UETH", "0.0001", 4),
    _pair("BTC", "UBTC", "0.00001", 5),
)  # fmt: skip


AGENT_UNTIL_MS = (START + 90 * DAY) // MILLISECOND


class LimitedEmulator(Emulator):
    """The emulated venue with the limits of its front."""

    limits: Limits
    start_ns: int

    def request(self, path: str, body: bytes, now_ns: int) -> Reply:
        seconds = (now_ns - self.start_ns) / 1e9
        if not self.limits.takes(path, body, seconds):
            return Reply(429, b"")
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
        """The candles of this venue begin when it does, and are none: they are asked for, and
        there are others."""
        told = await super().history(since_ns, until_ns)
        return [*self.world.market.closes_before(until_ns), *told]

    world: "LimitedWorld"
    restart: bool


class LimitedWorld(World):
    pairs: tuple[Pair, ...] = FIVE

    def _site(self) -> LimitedEmulator:
        rate, hours = FundingRate(0.00005, 1), HISTORY_NS // HOUR
        times = [START - n * HOUR for n in range(hours - 1, -1, -1)]
        self.limits = Limits()
        history = [FundingSettled(p.perp.id, rate, t, t) for t in times for p in self.pairs]
        self.emulator = site = LimitedEmulator(
            self.exchange, self.pairs, ACCOUNT, {TRADER.address: AGENT_UNTIL_MS}, history=history
        )
        site.limits, site.start_ns = self.limits, self.start_ns
        return site

    def outage_ns(self) -> int:
        return RESTART_NS

    def _venue(self, owner: str) -> CheckedVenue:
        venue = CheckedVenue(
            Paced(self.net.transport(owner, VENUE), before=BEFORE * (self.starts > 1)),
            TRADER, ACCOUNT,
            {pair.name: pair.spot.base for pair in self.pairs}, self.clock, self._jitter,
            again=self.starts > 1,
        )  # fmt: skip
        venue.world, venue.restart = self, self.starts > 1
        return venue


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


def test_a_bot_that_is_killed_in_its_first_minute_is_back_at_once(world: LimitedWorld) -> None:
    """It has legs to look after, and the venue takes little more from its address."""
    world.loop.run_until(world.loop.now_ns + 20 * SECOND)
    assert world.process is not None
    world.die(world.process.owner)
    killed_ns = world.loop.now_ns
    world.loop.run_until(killed_ns + 10 * SECOND)

    assert world.starts == 2
    assert world.engine is not None
    world.loop.run_until(killed_ns + 75 * SECOND)
    assert world.engine.reconciled_ns is not None
    assert world.engine.reconciled_ns > killed_ns
    world.run()
    assert world.violations == []


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
