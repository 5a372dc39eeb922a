"""The watchdog beside a trader that stops, at an emulated venue, on virtual time."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from bot.lease import Held, Lease, LeaseHeld, LeaseLost
from bot.watchdog import EXPIRY_SECONDS, Bounds, NonceFile, Watchdog
from domain.instruments import FeeSchedule, Instrument, Kind, MarginTier, Pair
from domain.market import Book, Level, Reference
from domain.money import ZERO
from domain.orders import Side, client_order_id, is_own
from domain.time import MILLISECOND, SECOND
from execution.effects import RaiseAlarm
from execution.pairs import ExecutionPolicy
from execution.ports import Reply, Stream, TransportFailed
from execution.venues.hyperliquid.actions import Action
from execution.venues.hyperliquid.emulator.emulator import Emulator
from execution.venues.hyperliquid.emulator.received import Received
from execution.venues.hyperliquid.sign import AgentSigner
from execution.venues.hyperliquid.start import load
from execution.venues.hyperliquid.timing import Timing
from execution.venues.simulated.exchange import Exchange
from execution.venues.simulated.rules import VenueRules
from tests.world.loop import SimLoop
from tests.world.oracle import Oracle

START = 1_735_689_600 * SECOND
ACCOUNT = f"0x{'a1' * 20}"
TRADER = AgentSigner(bytes([1] * 32), is_mainnet=False)
WATCHDOG = AgentSigner(bytes([2] * 32), is_mainnet=False)
LEASE_NS = 3 * SECOND
LATENCY_NS = 100 * MILLISECOND
"""One way."""
BOUNDS = Bounds.of(ExecutionPolicy(), Timing())
MID = 40.0
PERSONS = f"0x{'9' * 32}"


def pair(base: str) -> Pair:
    spot = Instrument(
        "hyperliquid", f"{base}/USDC", Kind.SPOT, base, "USDC", Decimal("0.01"), 6, Decimal(10),
        FeeSchedule(Decimal("0.0004"), Decimal("0.0007"), buyer_pays_base=True), 5,
    )  # fmt: skip
    perp = Instrument(
        "hyperliquid", f"{base}-PERP", Kind.PERP, base, "USDC", Decimal("0.01"), 4, Decimal(10),
        FeeSchedule(Decimal("0.00015"), Decimal("0.00045")), 5, (MarginTier(ZERO, 10),), 1,
    )  # fmt: skip
    return Pair(base, spot, perp)


HYPE, PURR = PAIRS = (pair("HYPE"), pair("PURR"))
ASSETS = {HYPE.perp.id: 0, PURR.perp.id: 1, HYPE.spot.id: 10_000, PURR.spot.id: 10_001}

Fate = Callable[[str, dict[str, Any]], str]
"""What becomes of a request, by path and body: ``fine``; ``lost`` before the venue had it;
``unanswered`` after; ``late`` or even ``expired`` when it comes, and unanswered as well;
``refused`` or ``doubtful``: HTTP 502, and not processed or processed all the same."""
DELAYS_NS = {"late": 1_900 * MILLISECOND, "expired": 2_600 * MILLISECOND}
ARRIVING = ("fine", "unanswered", "late", "expired", "doubtful")
BAD_GATEWAY = Reply(502, b"Bad Gateway")


class Road:
    """A transport to an emulator. What has left arrives, whatever becomes of its sender.

    What the venue tells of the account lags behind its actions by ``lag_ns``.
    """

    def __init__(self, loop: SimLoop, emulator: Emulator) -> None:
        self.fate: Fate = lambda path, body: "fine"
        self.latency_ns = LATENCY_NS
        self.lag_ns = 0
        self._loop, self._emulator = loop, emulator
        self._asked: set[bytes] = set()
        self._before: dict[bytes, Reply] = {}  # answers of before the last action
        self._acted_ns = 0

    async def request(self, path: str, body: bytes, timeout_seconds: float) -> Reply:
        fate = self.fate(path, json.loads(body))
        answer: asyncio.Future[Reply] = self._loop.create_future()

        def arrive() -> None:
            reply = self._told(body) if path == "/info" else self._done(body)
            if fate == "fine":
                self._loop.at(self._loop.now_ns + self.latency_ns, give, reply)

        def give(reply: Reply) -> None:
            if not answer.done():
                answer.set_result(reply)

        if fate in ARRIVING:
            self._loop.at(self._loop.now_ns + DELAYS_NS.get(fate, self.latency_ns), arrive)
        if fate in ("refused", "doubtful"):
            self._loop.at(self._loop.now_ns + 2 * self.latency_ns, give, BAD_GATEWAY)
        try:
            async with asyncio.timeout(timeout_seconds):
                return await answer
        except TimeoutError:
            raise TransportFailed("no answer in time") from None

    def _told(self, question: bytes) -> Reply:
        reply = self._emulator.request("/info", question, self._loop.now_ns)
        self._asked.add(question)
        if self._loop.now_ns - self._acted_ns < self.lag_ns:
            unheard_of = Reply(200, b'{"status":"unknownOid"}')
            return self._before.get(question, unheard_of if b"orderStatus" in question else reply)
        return reply

    def _done(self, action: bytes) -> Reply:
        now_ns = self._loop.now_ns
        self._acted_ns = now_ns
        asked = sorted(self._asked)
        self._before = {one: self._emulator.request("/info", one, now_ns) for one in asked}
        return self._emulator.request("/exchange", action, now_ns)

    async def connect(self, path: str, timeout_seconds: float) -> Stream:
        raise AssertionError("the watchdog asks, it listens to nothing")


class Scene:
    """The account, its venue, a trader that does as it is told, and the watchdog."""

    def __init__(self, path: Path, deposits: dict[str, str]) -> None:
        self.loop = SimLoop(Oracle.seeded(1, {}), START)
        self.path = path
        instruments = [leg for each in PAIRS for leg in (each.perp, each.spot)]
        amounts = {asset: Decimal(amount) for asset, amount in deposits.items()}
        self.exchange = Exchange(instruments, VenueRules(), amounts, START)
        agents = dict.fromkeys((TRADER.address, WATCHDOG.address))
        self.emulator = Emulator(self.exchange, PAIRS, ACCOUNT, agents)
        self.road = Road(self.loop, self.emulator)
        self.alarms: list[RaiseAlarm] = []
        self.trader_lost: list[LeaseLost] = []
        self.lives = self.clock_ns = 0
        self._nonce = START // MILLISECOND
        self._orders = 0
        self._files: list[NonceFile] = []
        for each in PAIRS:
            self.quote(each)

    # The venue

    def quote(self, which: Pair, size: float = 1_000.0) -> None:
        now_ns = self.loop.now_ns
        for leg in (which.spot, which.perp):
            bids, asks = (Level(MID - 0.01, size),), (Level(MID + 0.01, size),)
            self.emulator.play(Book(leg.id, bids, asks, now_ns, now_ns))
        self.emulator.play(Reference(which.perp.id, MID, MID, now_ns, now_ns))

    def spot(self, which: Pair = HYPE) -> Decimal:
        report = self.exchange.account_report(None, self.loop.now_ns)
        return sum((b.total for b in report.balances if b.asset == which.spot.base), ZERO)

    def perp(self, which: Pair = HYPE) -> Decimal:
        report = self.exchange.account_report(None, self.loop.now_ns).position(which.perp.id)
        return report.quantity if report is not None else ZERO

    def open_orders(self) -> tuple[str, ...]:
        return self.exchange.account_report(None, self.loop.now_ns).open_orders

    def waiting(self) -> list[str]:
        """Client ids of the orders that wait for a price."""
        asked = {"type": "frontendOpenOrders", "user": ACCOUNT}
        reply = self.emulator.request("/info", json.dumps(asked).encode(), self.loop.now_ns)
        return [order["cloid"] for order in json.loads(reply.body) if order["isTrigger"]]

    def sent(self, *actions: str) -> list[Received]:
        """What arrived of the watchdog's, of these types."""
        return [
            one
            for one in self.emulator.received
            if one.signer == WATCHDOG.address and one.action in actions
        ]

    def filled(self) -> list[tuple[str, Decimal]]:
        """The watchdog's orders that were filled: side, quantity."""
        return [
            (one.orders[0].side, one.orders[0].quantity)
            for one in self.sent("order")
            if one.statuses == ("filled",)
        ]

    # The trader

    def order(
        self, leg: Instrument, side: Side, quantity: str, price: str | None = None,
        cloid: str | None = None, stop: str | None = None,
    ) -> bytes:  # fmt: skip
        """A signed order: an IOC order well within the market, one that rests at ``price``, or one
        that waits for the mark to come to ``stop``."""
        self._nonce += 1
        self._orders += 1
        taking = MID * (1.02 if side is Side.BUY else 0.98)
        kind: Action = {"limit": {"tif": "Gtc" if price else "Ioc"}}
        if stop is not None:
            kind = {"trigger": {"isMarket": True, "triggerPx": stop, "tpsl": "sl"}}
        action: Action = {
            "type": "order",
            "orders": [
                {
                    "a": ASSETS[leg.id],
                    "b": side is Side.BUY,
                    "p": price or f"{taking:.5g}",
                    "s": quantity,
                    "r": stop is not None,
                    "t": kind,
                    "c": cloid or client_order_id("test", self._orders),
                }
            ],
            "grouping": "na",
        }
        expires_ms = self.loop.now_ns // MILLISECOND + 5_000
        return TRADER.sign(action, self._nonce, expires_ms)

    def trade(self, *args: Any, **kwargs: Any) -> None:
        """What the trader has done long before."""
        reply = self.emulator.request("/exchange", self.order(*args, **kwargs), self.loop.now_ns)
        assert b"error" not in reply.body, reply.body

    def start_trader(self, not_ours: dict[str, str] | None = None) -> str:
        """A process that renews its lease every second; its name."""
        known = {leg.id: "0" for each in PAIRS for leg in (each.spot, each.perp)}
        lease = Lease(self.path / "lease", "trader", LEASE_NS)
        name = f"trader{self.lives}"
        self.lives += 1

        async def renew() -> None:
            try:
                while not lease.holds(self.now_ns()):
                    try:
                        lease.acquire(self.now_ns())
                    except LeaseHeld:  # as a bot that starts does: it waits for its turn
                        await asyncio.sleep(0.1)
                while True:
                    lease.renew(self.now_ns(), known | (not_ours or {}))
                    await asyncio.sleep(1)
            except LeaseLost as lost:
                self.trader_lost.append(lost)

        self.loop.spawn(name, renew())
        return name

    # The watchdog

    def start_watchdog(self) -> str:
        nonces = NonceFile(self.path / "nonces")
        self._files.append(nonces)
        lease = Lease(self.path / "lease", "watchdog", LEASE_NS)
        name = f"watchdog{self.lives}"
        self.lives += 1

        async def watch() -> None:
            wanted = {each.name: each.name for each in PAIRS}
            listing = await load(self.road, ACCOUNT, wanted, Timing())
            await Watchdog(
                self.road, WATCHDOG, nonces, listing, ACCOUNT, TRADER.address, self, lease, BOUNDS,
                self.alarms.append,
            ).run()  # fmt: skip

        self.loop.spawn(name, watch())
        return name

    def kill_watchdog(self, name: str) -> None:
        self.loop.kill(name)
        self._files.pop().close()

    def now_ns(self) -> int:
        """The machine's clock: the venue's time, off by ``clock_ns``."""
        return self.loop.now_ns + self.clock_ns

    # Time

    def run(self, seconds: float) -> None:
        self.loop.run_until(self.loop.now_ns + int(seconds * SECOND))

    def raised(self) -> list[str]:
        return [alarm.alarm for alarm in self.alarms]

    def lease(self) -> Held:
        return Lease(self.path / "lease", "test", LEASE_NS).look()

    def close(self) -> None:
        for file in self._files:
            file.close()
        self.loop.close()


Build = Callable[..., Scene]


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    scenes: list[Scene] = []

    def scene(**deposits: str) -> Scene:
        scenes.append(Scene(tmp_path, {"USDC": "10000"} | deposits))
        return scenes[-1]

    yield scene
    for each in scenes:
        each.close()


def naked_by_six(scene: Scene) -> None:
    """Ten HYPE bought (less the fee), four of them sold short."""
    scene.trade(HYPE.spot, Side.BUY, "10")
    scene.trade(HYPE.perp, Side.SELL, "4")


def stopped(scene: Scene, seconds: float = 5.3) -> int:
    """Trader and watchdog at work for a while, then the trader is stopped; when that was."""
    trader = scene.start_trader()
    scene.start_watchdog()
    scene.run(seconds)
    scene.loop.suspend(trader)
    return scene.loop.now_ns


def seconds_since(begin_ns: int, then_ns: int) -> float:
    return (then_ns - begin_ns) / SECOND


# When it acts


def given_back(scene: Scene) -> None:
    """The trader has ended in order."""
    held = scene.lease()
    overwrite(scene, Held(held.epoch, "nobody", 0, held.not_ours))


def test_while_the_trader_renews_its_lease_the_watchdog_sends_nothing(build: Build) -> None:
    scene = build()
    naked_by_six(scene)
    scene.trade(HYPE.spot, Side.BUY, "1", "30")
    scene.start_trader()
    scene.start_watchdog()

    scene.run(120)

    assert scene.sent("order", "cancelByCloid", "noop") == []
    assert scene.alarms == []


@pytest.mark.parametrize("offset", [0.0, 0.2, 0.4, 0.6, 0.8, 0.999])
def test_whenever_it_stops_the_first_act_comes_within_ten_seconds_and_all_within_thirty(
    build: Build, offset: float
) -> None:
    scene = build()
    naked_by_six(scene)
    scene.trade(HYPE.spot, Side.BUY, "1", "30")
    stop_ns = stopped(scene, 5 + offset)

    scene.run(40)

    acts = scene.sent("order", "cancelByCloid", "noop")
    assert seconds_since(stop_ns, acts[0].time_ns) <= 10
    assert scene.raised() == ["trader_silent", "watchdog_neutral"]
    assert seconds_since(stop_ns, scene.alarms[-1].time_ns) <= 30
    assert scene.open_orders() == ()
    assert abs(scene.spot() + scene.perp()) < Decimal("0.01")
    assert scene.lease().holder == "nobody"


def test_nothing_is_done_before_all_that_the_trader_may_have_sent_has_expired(
    build: Build,
) -> None:
    scene = build()
    naked_by_six(scene)
    stopped(scene)
    until_ns = scene.lease().until_ns

    scene.run(40)

    acts = scene.sent("order", "cancelByCloid", "noop")
    assert acts[0].time_ns > until_ns + 6 * SECOND
    assert scene.alarms[0].time_ns > until_ns + 6 * SECOND


def test_an_order_that_lands_after_the_stop_is_found_and_canceled(build: Build) -> None:
    scene = build()
    naked_by_six(scene)
    stop_ns = stopped(scene)
    body = scene.order(HYPE.spot, Side.BUY, "1", "30")
    late_ns = stop_ns + 4_900 * MILLISECOND
    scene.loop.at(late_ns, lambda: scene.emulator.request("/exchange", body, late_ns))

    scene.run(5)
    resting = scene.open_orders()
    scene.run(30)

    assert len(resting) == 1
    assert scene.open_orders() == ()


def test_a_trader_that_wakes_up_finds_its_lease_lost_and_sends_nothing(build: Build) -> None:
    scene = build()
    naked_by_six(scene)
    trader = scene.start_trader()
    scene.start_watchdog()
    scene.run(5.3)
    scene.loop.suspend(trader)

    scene.run(9.5)
    assert scene.raised() == ["trader_silent"]
    scene.loop.resume(trader)
    scene.run(30)

    assert len(scene.trader_lost) == 1
    assert scene.raised() == ["trader_silent", "watchdog_neutral"]


def test_a_trader_that_is_back_before_the_wait_is_over_keeps_its_account(build: Build) -> None:
    scene = build()
    naked_by_six(scene)
    stopped(scene)

    scene.run(7)
    scene.start_trader()
    scene.run(60)

    assert scene.sent("order", "cancelByCloid", "noop") == []
    assert scene.alarms == []


def test_a_clock_that_steps_ahead_makes_nothing_expire_sooner(build: Build) -> None:
    scene = build()
    naked_by_six(scene)
    stop_ns = stopped(scene)

    # As seen from a clock that has stepped, the lease ran out long ago.
    overwrite(scene, Held(1, "trader", stop_ns - 60 * SECOND, scene.lease().not_ours))
    scene.run(5.5)

    assert scene.alarms == []
    scene.run(5)
    assert scene.raised()[0] == "trader_silent"


def test_a_clock_that_is_behind_the_venues_sends_nothing_that_arrives_expired(
    build: Build,
) -> None:
    scene = build()
    naked_by_six(scene)
    scene.clock_ns = -30 * SECOND
    stopped(scene)

    scene.run(30)

    assert scene.filled() == [(Side.SELL, Decimal("5.99"))]
    assert scene.raised() == ["trader_silent", "watchdog_neutral"]


def test_with_a_clock_that_is_ahead_it_waits_for_the_venues_to_have_passed_every_expiry(
    build: Build,
) -> None:
    scene = build()
    naked_by_six(scene)
    scene.clock_ns = 6 * SECOND
    stopped(scene)
    until_ns = scene.lease().until_ns  # by the clock that is ahead, as the trader's expiries are

    scene.run(30)

    assert scene.sent("order")[0].time_ns > until_ns + 6 * SECOND
    assert scene.filled() == [(Side.SELL, Decimal("5.99"))]


def overwrite(scene: Scene, held: Held) -> None:
    (scene.path / "lease").write_bytes(msgspec.json.encode(held).ljust(4096))


# What it does


def test_the_leg_that_is_ahead_is_reduced_by_the_difference_and_by_no_more(
    build: Build,
) -> None:
    scene = build()
    naked_by_six(scene)  # 9.993 against 4
    stopped(scene)

    scene.run(30)

    assert scene.filled() == [(Side.SELL, Decimal("5.99"))]
    assert scene.perp() == -4


def test_a_perp_that_is_ahead_is_bought_back_reduce_only(build: Build) -> None:
    scene = build()
    scene.trade(HYPE.spot, Side.BUY, "4")
    scene.trade(HYPE.perp, Side.SELL, "10")
    stopped(scene)

    scene.run(30)

    [order] = scene.sent("order")
    assert order.orders[0].reduce_only
    assert scene.perp() == Decimal(-4)  # what the spot has too much by now is no whole lot
    assert scene.raised() == ["trader_silent", "watchdog_neutral"]


def test_both_of_two_pairs_are_made_neutral(build: Build) -> None:
    scene = build()
    naked_by_six(scene)
    scene.trade(PURR.perp, Side.SELL, "3")
    stopped(scene)

    scene.run(30)

    assert len(scene.filled()) == 2
    assert scene.perp(PURR) == 0
    assert scene.raised() == ["trader_silent", "watchdog_neutral"]


def test_a_pair_that_nobody_can_sell_does_not_keep_the_other_one_waiting(build: Build) -> None:
    scene = build()
    naked_by_six(scene)
    scene.trade(PURR.perp, Side.SELL, "3")
    scene.quote(HYPE, size=1e-9)
    stopped(scene)

    scene.run(24)

    assert scene.perp(PURR) == 0


def test_a_persons_order_rests_on_and_the_bots_does_not(build: Build) -> None:
    scene = build()
    scene.trade(HYPE.spot, Side.BUY, "1", "30", PERSONS)
    scene.trade(HYPE.spot, Side.BUY, "1", "31")
    scene.trade(PURR.perp, Side.SELL, "1", "50")
    stopped(scene)

    scene.run(30)

    assert scene.open_orders() == (PERSONS,)
    assert all(is_own(cloid) for one in scene.sent("cancelByCloid") for cloid in one.cloids)
    assert scene.raised() == ["trader_silent", "watchdog_neutral"]


@pytest.mark.parametrize(("side", "stop"), [(Side.BUY, "36"), (Side.SELL, "44")])
def test_the_stop_of_a_perp_alone_goes_once_nothing_of_the_perp_is_held_and_not_before(
    build: Build, side: Side, stop: str
) -> None:
    scene = build()
    scene.trade(HYPE.perp, side, "10")
    scene.trade(HYPE.perp, side.opposite, "10", stop, stop=stop)
    scene.trade(PURR.spot, Side.BUY, "1", "31")
    stopped(scene)

    scene.run(30)

    acts = [one.action for one in scene.sent("order", "cancelByCloid")]
    assert acts == ["cancelByCloid", "order", "cancelByCloid"]  # what rests, the perp, its stop
    assert scene.perp() == 0
    assert scene.waiting() == []
    assert scene.raised() == ["trader_silent", "watchdog_neutral"]


def test_the_stop_of_a_perp_that_cannot_be_reduced_is_left_to_do_it(build: Build) -> None:
    scene = build()
    scene.trade(HYPE.perp, Side.BUY, "10")
    scene.trade(HYPE.perp, Side.SELL, "10", "36", stop="36")
    scene.emulator.play(Book(HYPE.perp.id, (), (), START, START))
    stopped(scene)

    scene.run(60)

    assert scene.perp() == 10
    assert len(scene.waiting()) == 1
    assert scene.sent("cancelByCloid") == []


@pytest.mark.parametrize(("side", "stop"), [(Side.BUY, "36"), (Side.SELL, "44")])
def test_a_perp_alone_that_was_left_in_order_is_left_to_its_stop_while_that_covers_it(
    build: Build, side: Side, stop: str
) -> None:
    scene = build()
    scene.trade(HYPE.perp, side, "10")
    scene.trade(HYPE.perp, side.opposite, "10", stop, stop=stop)
    stopped(scene)
    given_back(scene)

    scene.run(60)
    assert abs(scene.perp()) == 10
    assert len(scene.waiting()) == 1
    assert scene.raised() == []

    scene.trade(HYPE.perp, side, "1")  # more than the stop would close
    scene.run(60)
    assert scene.perp() == 0
    assert scene.waiting() == []
    assert scene.raised() == ["trader_silent", "watchdog_neutral"]


def test_another_pair_that_stands_alone_does_not_cost_a_perp_that_has_its_stop(
    build: Build,
) -> None:
    scene = build()
    scene.trade(HYPE.perp, Side.BUY, "10")
    scene.trade(HYPE.perp, Side.SELL, "10", "36", stop="36")
    scene.trade(PURR.perp, Side.SELL, "10")
    stopped(scene)
    given_back(scene)

    scene.run(60)
    assert scene.perp() == 10
    assert scene.perp(PURR) == 0
    assert len(scene.waiting()) == 1


def test_the_stop_goes_with_the_bots_perp_though_a_person_holds_some_of_it_too(
    build: Build,
) -> None:
    scene = build()
    scene.trade(HYPE.perp, Side.BUY, "15")
    scene.trade(HYPE.perp, Side.SELL, "10", "36", stop="36")
    trader = scene.start_trader({HYPE.perp.id: "5"})
    scene.start_watchdog()
    scene.run(5.3)
    scene.loop.suspend(trader)

    scene.run(60)
    assert scene.perp() == 5
    assert scene.waiting() == []


def test_a_persons_inventory_and_short_are_left_as_they_are(build: Build) -> None:
    scene = build(HYPE="50")
    naked_by_six(scene)
    scene.trade(PURR.perp, Side.SELL, "7", cloid=PERSONS)
    trader = scene.start_trader({HYPE.spot.id: "50", PURR.perp.id: "-7"})
    scene.start_watchdog()
    scene.run(5.3)
    scene.loop.suspend(trader)

    scene.run(30)

    assert scene.filled() == [(Side.SELL, Decimal("5.99"))]
    assert scene.perp(PURR) == -7
    assert scene.spot() - 50 + scene.perp() < Decimal("0.01")


def test_where_nobody_has_said_what_is_a_persons_nothing_is_sold_and_a_person_is_told(
    build: Build,
) -> None:
    scene = build(HYPE="50")
    scene.trade(HYPE.spot, Side.BUY, "1", "31")
    lease = Lease(scene.path / "lease", "trader", LEASE_NS)
    lease.acquire(scene.loop.now_ns)
    scene.start_watchdog()

    scene.run(30)

    assert scene.sent("order") == []
    assert scene.open_orders() == ()
    assert scene.raised() == ["trader_silent", "watchdog_stuck"]
    assert "HYPE" in scene.alarms[-1].detail


# Answers that do not come


def once(path: str, kind: str, fate: str) -> Fate:
    """This fate for the first action of a kind, ``fine`` for all else."""
    struck: list[bool] = []

    def judge(at: str, body: dict[str, Any]) -> str:
        if at == path and body["action"]["type"] == kind and not struck:
            struck.append(True)
            return fate
        return "fine"

    return judge


@pytest.mark.parametrize("fate", ["lost", "unanswered", "late", "expired", "refused", "doubtful"])
def test_a_hedge_without_an_answer_is_proven_before_another_one_is_sent(
    build: Build, fate: str
) -> None:
    scene = build()
    naked_by_six(scene)
    stopped(scene)
    scene.road.fate = once("/exchange", "order", fate)

    scene.run(40)

    assert scene.filled() == [(Side.SELL, Decimal("5.99"))]
    assert scene.raised() == ["trader_silent", "watchdog_neutral"]
    assert abs(scene.spot() + scene.perp()) < Decimal("0.01")


def test_the_next_hedge_waits_until_the_one_before_is_proven_to_have_expired(
    build: Build,
) -> None:
    scene = build()
    naked_by_six(scene)
    scene.road.latency_ns = 5 * MILLISECOND
    stopped(scene)
    sent: dict[str, int] = {}

    def fate(path: str, body: dict[str, Any]) -> str:
        if path == "/exchange" and body["action"]["type"] == "order":
            sent[body["action"]["orders"][0]["c"]] = scene.loop.now_ns
        return "refused" if path == "/exchange" else "fine"

    scene.road.fate = fate
    scene.run(100)

    times = list(sent.values())
    assert len(times) > 4
    assert min(seconds_since(a, b) for a, b in pairwise(times)) > EXPIRY_SECONDS + 1.0


def test_an_account_that_is_told_late_is_not_hedged_twice(build: Build) -> None:
    scene = build()
    naked_by_six(scene)
    scene.road.latency_ns = 5 * MILLISECOND
    scene.road.lag_ns = 900 * MILLISECOND
    stopped(scene)

    scene.run(30)

    assert len(scene.sent("order")) == 1
    assert scene.raised() == ["trader_silent", "watchdog_neutral"]


def test_a_hedge_that_the_venue_first_denies_is_found_once_its_nonce_proves_used(
    build: Build,
) -> None:
    scene = build()
    naked_by_six(scene)
    scene.road.latency_ns = 5 * MILLISECOND
    scene.road.lag_ns = 900 * MILLISECOND
    stopped(scene)
    scene.road.fate = once("/exchange", "order", "doubtful")

    scene.run(30)

    assert [one.outcome.partition(":")[0] for one in scene.sent("noop")][:1] == ["Invalid nonce"]
    assert scene.filled() == [(Side.SELL, Decimal("5.99"))]
    assert "sell 5.99" in scene.alarms[-1].detail


def test_no_request_can_land_once_another_may_hold_the_lease(build: Build) -> None:
    scene = build()
    naked_by_six(scene)
    scene.trade(HYPE.spot, Side.BUY, "1", "31")
    stopped(scene)
    spare: list[float] = []

    def fate(path: str, body: dict[str, Any]) -> str:
        if path == "/exchange":
            expires_ns = body["expiresAfter"] * MILLISECOND
            spare.append(seconds_since(expires_ns, scene.lease().until_ns))
        return "fine"

    scene.road.fate = fate
    scene.run(30)

    assert len(spare) == 2
    assert min(spare) >= BOUNDS.margin_seconds


def test_an_order_that_cannot_be_canceled_does_not_keep_the_others_waiting(build: Build) -> None:
    scene = build()
    scene.trade(HYPE.spot, Side.BUY, "1", "31")
    scene.trade(PURR.spot, Side.BUY, "1", "31")
    first, _ = scene.open_orders()
    stopped(scene)

    def fate(path: str, body: dict[str, Any]) -> str:
        return "lost" if path == "/exchange" and first in json.dumps(body) else "fine"

    scene.road.fate = fate
    scene.run(30)

    assert scene.open_orders() == (first,)
    assert scene.raised() == ["trader_silent", "watchdog_stuck"]


def test_while_the_fate_of_a_hedge_is_unknown_no_other_is_sent(build: Build) -> None:
    scene = build()
    naked_by_six(scene)
    stop_ns = stopped(scene)
    sent: list[str] = []

    def fate(path: str, body: dict[str, Any]) -> str:
        if path == "/exchange" and body["action"]["type"] == "order":
            sent.append(body["action"]["orders"][0]["c"])
        blind = bool(sent) and seconds_since(stop_ns, scene.loop.now_ns) < 60
        return "unanswered" if blind else "fine"

    scene.road.fate = fate
    scene.run(59)
    assert len(sent) == 1
    assert "watchdog_stuck" in scene.raised()
    scene.run(60)

    assert len(sent) == 1  # it was filled, unheard
    assert scene.raised()[-1] == "watchdog_neutral"
    assert abs(scene.spot() + scene.perp()) < Decimal("0.01")


@pytest.mark.parametrize("fate", ["lost", "unanswered", "late", "refused", "doubtful"])
def test_a_cancel_without_an_answer_is_seen_in_the_open_orders(build: Build, fate: str) -> None:
    scene = build()
    scene.trade(HYPE.spot, Side.BUY, "1", "31")
    stopped(scene)
    scene.road.fate = once("/exchange", "cancelByCloid", fate)

    scene.run(30)

    assert scene.open_orders() == ()
    assert scene.raised() == ["trader_silent", "watchdog_neutral"]


def test_a_venue_that_does_not_answer_pages_within_thirty_seconds_and_is_tried_for_ever(
    build: Build,
) -> None:
    scene = build()
    naked_by_six(scene)
    stop_ns = stopped(scene)
    scene.road.fate = lambda path, body: "lost"

    scene.run(600)
    assert scene.raised()[:2] == ["trader_silent", "watchdog_stuck"]
    assert seconds_since(stop_ns, scene.alarms[1].time_ns) <= 30
    assert set(scene.raised()) == {"trader_silent", "watchdog_stuck"}
    scene.road.fate = lambda path, body: "fine"
    scene.run(40)

    assert scene.raised()[-1] == "watchdog_neutral"
    assert abs(scene.spot() + scene.perp()) < Decimal("0.01")


def test_a_restarted_trader_gets_the_lease_from_a_watchdog_that_is_stuck(build: Build) -> None:
    scene = build()
    naked_by_six(scene)
    scene.quote(HYPE, size=1e-9)
    stopped(scene)
    scene.run(31)
    assert scene.raised() == ["trader_silent", "watchdog_stuck"]

    scene.start_trader()
    scene.run(5)
    count = len(scene.sent("order", "noop"))
    scene.run(60)

    assert scene.trader_lost == []
    assert len(scene.sent("order", "noop")) == count
    assert scene.raised() == ["trader_silent", "watchdog_stuck"]


# Afterwards


def test_a_neutral_account_is_left_alone_until_it_is_neutral_no_more(build: Build) -> None:
    scene = build()
    scene.trade(HYPE.spot, Side.BUY, "10")
    scene.trade(HYPE.perp, Side.SELL, "9.99")
    stopped(scene)

    scene.run(30)
    readings: Counter[str] = Counter()

    def fate(path: str, body: dict[str, Any]) -> str:
        readings[body["type"]] += path == "/info"
        return "fine"

    scene.road.fate = fate
    scene.run(300)
    assert scene.raised() == ["trader_silent", "watchdog_neutral"]
    assert scene.sent("order", "cancelByCloid", "noop") == []
    # A look reads the account twice; the venue limits how often one may ask.
    assert 20 <= readings["clearinghouseState"] / 2 <= 30
    scene.road.fate = lambda path, body: "fine"
    now_ns = scene.loop.now_ns
    scene.emulator.auto_deleverage(HYPE.perp.id, Decimal("0.5"), Decimal(40), now_ns)
    scene.run(30)

    assert scene.raised()[2:] == ["trader_silent", "watchdog_neutral"]
    assert abs(scene.spot() + scene.perp()) < Decimal("0.02")


def test_who_held_the_lease_for_a_moment_while_the_account_was_read_is_waited_for(
    build: Build,
) -> None:
    scene = build()
    stopped(scene)
    scene.run(12)
    assert scene.raised() == ["trader_silent", "watchdog_neutral"]
    visits: list[int] = []

    def fate(path: str, body: dict[str, Any]) -> str:
        if not visits:
            visitor = Lease(scene.path / "lease", "trader", LEASE_NS)
            visitor.acquire(scene.loop.now_ns)
            scene.trade(HYPE.spot, Side.BUY, "10")
            visitor.release()
            visits.append(scene.loop.now_ns)
        return "fine"

    scene.road.fate = fate
    scene.run(40)

    assert seconds_since(visits[0], scene.sent("order")[0].time_ns) > 6
    assert scene.spot() < Decimal("0.01")


def test_a_restarted_trader_takes_the_lease_back(build: Build) -> None:
    scene = build()
    naked_by_six(scene)
    stopped(scene)
    scene.run(30)

    scene.start_trader()
    scene.run(60)

    assert scene.trader_lost == []
    assert scene.lease().holder == "trader"


@pytest.mark.parametrize("seconds", [9.6, 10.0, 10.5, 11.2, 11.9, 12.6])
def test_a_watchdog_that_is_killed_and_started_again_repeats_no_nonce_and_gets_there(
    build: Build, seconds: float
) -> None:
    scene = build()
    naked_by_six(scene)
    scene.trade(HYPE.spot, Side.BUY, "1", "31")
    trader = scene.start_trader()
    watchdog = scene.start_watchdog()
    scene.run(5.3)
    scene.loop.suspend(trader)

    scene.run(seconds)
    scene.kill_watchdog(watchdog)
    scene.start_watchdog()
    scene.run(60)

    nonces = [one.nonce for one in scene.sent("order", "cancelByCloid")]
    assert len(set(nonces)) == len(nonces)
    assert scene.filled() == [(Side.SELL, Decimal("5.99"))]
    assert scene.raised()[-1] == "watchdog_neutral"
    assert scene.open_orders() == ()


def test_after_an_old_copy_of_the_lease_was_restored_no_order_has_an_id_of_before(
    build: Build,
) -> None:
    scene = build()
    naked_by_six(scene)
    trader, watchdog = scene.start_trader(), scene.start_watchdog()
    scene.run(5.3)
    scene.loop.suspend(trader)
    copy = scene.lease()
    scene.run(30)
    assert abs(scene.spot() + scene.perp()) < Decimal("0.02")

    scene.kill_watchdog(watchdog)
    overwrite(scene, copy)
    scene.trade(HYPE.spot, Side.BUY, "3")
    scene.start_watchdog()
    scene.run(30)

    first, again = scene.sent("order")
    assert first.statuses == again.statuses == ("filled",)
    assert abs(scene.spot() + scene.perp()) < Decimal("0.02")


def test_a_watchdog_whose_lease_was_taken_stops_at_once(build: Build) -> None:
    scene = build()
    naked_by_six(scene)
    scene.quote(HYPE, size=1e-9)
    stopped(scene)
    scene.run(12)
    taken = scene.lease()
    assert taken.holder == "watchdog"

    overwrite(scene, Held(taken.epoch + 1, "trader", scene.loop.now_ns + 3_600 * SECOND, {}))
    count = len(scene.sent("order", "noop"))
    scene.run(1)
    scene.run(60)

    assert len(scene.sent("order", "noop")) <= count + 1  # one may have been on the road
    assert scene.raised() == ["trader_silent", "watchdog_yielded"]


# Anything at once


@pytest.mark.parametrize("seed", range(12))
def test_whatever_becomes_of_requests_it_ends_neutral_and_nothing_is_sent_twice(
    build: Build, seed: int
) -> None:
    chance = Random(seed)
    scene = build(HYPE="5")
    scene.trade(HYPE.spot, Side.BUY, "10")
    scene.trade(HYPE.perp, Side.SELL, chance.choice(("4", "17")))
    scene.trade(PURR.perp, Side.SELL, "3")
    scene.trade(HYPE.spot, Side.BUY, "1", "31")
    scene.trade(HYPE.spot, Side.BUY, "1", "30", PERSONS)
    held = scene.spot(), scene.perp()
    trader = scene.start_trader({HYPE.spot.id: "5"})
    scene.start_watchdog()
    scene.run(5 + chance.random())
    scene.loop.suspend(trader)
    scene.road.latency_ns = chance.choice((5, 100, 300)) * MILLISECOND
    scene.road.lag_ns = chance.choice((0, 900)) * MILLISECOND
    fates = ("lost", "unanswered", "late", "expired", "refused", "doubtful")
    scene.road.fate = lambda path, body: chance.choice(fates) if chance.random() < 0.3 else "fine"

    scene.run(30)
    assert len(scene.raised()) >= 2  # neutral, or somebody was told
    scene.run(60)
    scene.road.fate = lambda path, body: "fine"
    scene.run(60)

    assert scene.raised()[-1] == "watchdog_neutral"
    assert scene.open_orders() == (PERSONS,)
    assert abs(scene.spot() - 5 + scene.perp()) < Decimal("0.01")
    assert scene.spot() == held[0] or scene.perp() == held[1]  # only the leg that was ahead
    assert scene.perp(PURR) == 0
    assert len(scene.filled()) == 2
