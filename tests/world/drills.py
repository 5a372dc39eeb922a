"""Outage drills: what has happened to others, played on the bot, with what must hold then.

``python -m tests.world.drills --seeds 100`` plays each of them in as many worlds. The road loses
nothing where the seed is even, a little where it is odd; in every other pair of seeds the bot is
killed in the middle. Beside what a drill expects, a run is judged as any other world is.
"""

import argparse
import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from decimal import Decimal
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from random import Random

import msgspec
from msgspec.structs import replace

from bot.desk import is_dust
from bot.settings import Settings
from domain.account import FundingPayment, PositionReport
from domain.instruments import Kind, Pair
from domain.money import ONE, ZERO, decimal_of
from domain.orders import Fill, FillCause, OrderRejected, Side, TimeInForce
from domain.targets import Action, ExitCause, Target
from domain.time import HOUR, MILLISECOND, MINUTE, SECOND, iso
from execution.facts import (
    MarginIntended,
    OrderDoubted,
    OrderResolved,
    StageChanged,
    TradePlanned,
)
from execution.pairs import ExecutionPolicy
from execution.risk.limits import RiskLimits
from strategies.market.state import Market
from strategies.strategy import Holding, Strategy
from tests.world.campaign import quantile
from tests.world.checker import Violation, check
from tests.world.history import History, Window, WindowKind
from tests.world.market import STEP_NS, Moment
from tests.world.net import LATENCY, Fate, StreamFault, Weather
from tests.world.net import Moment as Sending
from tests.world.oracle import SCHEDULE, Oracle
from tests.world.trace import Role, Span, Times, Trace, trace_of
from tests.world.world import PAIRS, START, VENUE, WANTED, World

QUIET: Mapping[str, float] = {LATENCY: 0.5, SCHEDULE: 0.5}
LIGHT: Mapping[str, float] = {
    **QUIET,
    Fate.LOST_BEFORE: 0.01, Fate.LOST_AFTER: 0.01, Fate.LATE: 0.01, Fate.FAILED_AFTER: 0.01,
    StreamFault.RESET: 0.0005, StreamFault.DROPPED: 0.005, StreamFault.ACK_LOST: 0.05,
}  # fmt: skip
"""A road on which a little of everything is lost."""

REACH = Decimal("0.03")
"""How far from the mid an order that is urgent may trade; of the mid."""
NOTIONAL = Decimal(3000)
FOR_GOOD = 10_000.0


def prudent(reopen_seconds: float = 30.0) -> Settings:
    """As delivered, but for what would stay closed after any market that has moved."""
    limits = RiskLimits(
        volatility_hourly_max=10.0,
        opens_per_day_max=1000,
        loss_streak_max=1000,
        daily_loss_max=Decimal("0.9"),
        drawdown_max=Decimal("0.9"),
        stress_hours=0.01,
    )
    policy = ExecutionPolicy(reopen_seconds=reopen_seconds, maker_patience_seconds=600.0)
    return Settings(risk=limits, execution=policy)


class Steadfast:
    """Wants each pair from one minute to another, whatever the market does."""

    def __init__(self, spells: Mapping[str, tuple[float, float]]) -> None:
        self._spells = {name: (_ns(first), _ns(last)) for name, (first, last) in spells.items()}

    def targets(
        self, market: Market, holdings: Mapping[str, Holding], equity: Decimal, now_ns: int
    ) -> tuple[Target, ...]:
        return tuple(self._target(pair, pair in holdings, now_ns) for pair in self._spells)

    def _target(self, pair: str, held: bool, now_ns: int) -> Target:
        from_ns, until_ns = self._spells[pair]
        wanted = from_ns <= now_ns < until_ns
        action = (Action.HOLD if held else Action.ENTER) if wanted else (
            Action.EXIT if held else Action.WAIT
        )  # fmt: skip
        return Target(
            pair, action, NOTIONAL if wanted else ZERO, "steadfast: it is time",
            0.0001, 0.0, 100.0, 0.002, 0.008, 0.1, Decimal(10),
            exit_cause=ExitCause.THESIS_CHANGED if action is Action.EXIT else None,
        )  # fmt: skip


def _ns(minute: float) -> int:
    return START + int(minute * MINUTE)


def walk(random: Random, *legs: tuple[float, float, int]) -> Callable[[float], float]:
    """A factor by minute. Each leg takes so many minutes to reach a factor, in uneven steps of
    which so many are gaps. Before the first it is 1, after the last it stays."""
    factors = [1.0]
    for minutes, to, gaps in legs:
        sizes = [random.expovariate(1.0) for _ in range(_steps(minutes))]
        for _ in range(gaps):
            sizes[random.randrange(len(sizes))] += len(sizes) / 10
        before, slope, gone = factors[-1], math.log(to / factors[-1]) / math.fsum(sizes), 0.0
        for size in sizes:
            gone += size
            factors.append(before * math.exp(slope * gone))
    return lambda minute: factors[min(max(_steps(minute), 0), len(factors) - 1)]


def _steps(minutes: float) -> int:
    return int(minutes * MINUTE / STEP_NS)


class Drill:
    """One run of one drill: a world, what befalls it, and what its judge has to know."""

    name: str
    minutes: float
    kill_minutes: tuple[float, float]

    def __init__(self, seed: int) -> None:
        self.rough, self.killed = bool(seed & 1), bool(seed & 2)
        self.random = Random(f"{self.name} {seed}")
        self.shut: dict[str, list[Window]] = {pair.name: [] for pair in PAIRS}
        self.thin: dict[str, list[Window]] = {pair.name: [] for pair in PAIRS}
        self.endangered: dict[str, list[int]] = {pair.name: [] for pair in PAIRS}
        self.leverage = ZERO
        self.prepare()
        self.world = World(
            Oracle.seeded(seed, self.road()), seed, hours=self.minutes / 60,
            scenario=lambda pair, seconds: self.moment(pair, seconds / 60),
            settings=self.settings(),
        )  # fmt: skip
        self.world.strategy = self.strategy()
        self.script()
        if self.killed:
            self.at(self.random.uniform(*self.kill_minutes), self._kill)
        self.world.loop.at(START + MILLISECOND, self._look)

    # What a drill is made of

    def prepare(self) -> None:
        """Draw what the rest needs."""

    def road(self) -> Mapping[str, float]:
        return LIGHT if self.rough else QUIET

    def settings(self) -> Settings:
        return prudent()

    def strategy(self) -> Strategy:
        return Steadfast(dict.fromkeys(WANTED, (0.5, FOR_GOOD)))

    def moment(self, pair: str, minute: float) -> Moment:
        return Moment()

    def script(self) -> None:
        """Put on the world's timetable what befalls it."""

    def judge(self, trace: Trace) -> Iterator[str]:
        """What went otherwise than expected, one line each."""
        raise NotImplementedError

    # What its parts are written with

    def at(self, minute: float, what: Callable[[], None]) -> None:
        self.world.loop.at(_ns(minute), what)

    def _kill(self) -> None:
        if self.world.process is not None:
            self.world.die(self.world.process.owner)

    def _look(self) -> None:
        """Once a step: which pairs have no counterpart, or not for all that is naked."""
        now_ns, exchange = self.world.loop.now_ns, self.world.emulator.exchange
        self.world.loop.at(now_ns + STEP_NS, self._look)
        report = exchange.account_report(None, now_ns)
        for pair in PAIRS:
            position = report.position(pair.perp.id)
            naked = sum((b.total for b in report.balances if b.asset == pair.spot.base), ZERO)
            if position is not None and position.quantity:
                naked += position.quantity
                leverage = _leverage(position)
                self.leverage = max(self.leverage, leverage)
                if leverage >= self.world.settings.risk.leverage_cap:
                    self.endangered[pair.name].append(now_ns)
            reachable = self._reachable(pair, naked)
            step = Window(WindowKind.WRITES_DOWN, now_ns, now_ns + STEP_NS)
            if reachable == ZERO:
                self.shut[pair.name].append(step)
            if reachable < abs(naked):
                self.thin[pair.name].append(step)

    def _reachable(self, pair: Pair, naked: Decimal) -> Decimal:
        """How much of what is naked an urgent order could reduce at once; zero if none could."""
        leg = pair.spot if naked > ZERO else pair.perp
        book = self.world.emulator.exchange._markets[leg.id].book
        if book is None or not (book.bids and book.asks):
            return ZERO
        mid = (decimal_of(book.bids[0].price) + decimal_of(book.asks[0].price)) / 2
        levels = book.bids if naked > ZERO else book.asks
        within = (
            decimal_of(level.size)
            for level in levels
            if abs(decimal_of(level.price) - mid) <= REACH * mid
        )
        size = leg.floor_quantity(sum(within, ZERO))
        return size if size * mid * (1 - REACH) > leg.minimum_notional else ZERO

    # What its judge is written with

    @property
    def slack_ns(self) -> int:
        """What a lossy road or a new start may add to a delay: what was missed is asked for."""
        return 30 * SECOND if self.rough or self.killed else 0

    def dead(self) -> Times:
        return Times(self.world.windows, WindowKind.DEAD)

    def alarmed(self, since_ns: int, within_ns: int) -> bool:
        """Whether an alarm was raised in that time, not counting what the process was dead."""
        due_ns = self.dead().outside_after(since_ns, within_ns)
        return any(since_ns <= alarm.time_ns <= due_ns for alarm in self.world.alarms)

    def entries(self, trace: Trace, since_ns: int, until_ns: int) -> Iterator[str]:
        """Each order that led into a position and was taken in that time."""
        for placed in trace.placed:
            time_ns = placed.received.time_ns
            taken = placed.accepted and not placed.again and placed.role is Role.OPEN
            if taken and since_ns <= time_ns < until_ns:
                order = placed.order
                yield f"{iso(time_ns)} entry {order.side} {order.quantity} {order.instrument}"

    def forced(self, trace: Trace) -> list[Fill]:
        return [move.fill for move in trace.moves if move.fill.cause is FillCause.ADL]

    def adoption(self, trace: Trace) -> Iterator[str]:
        """What the venue took away is booked at once and as it was, and a person is told."""
        booked = {_told(fact): fact for fact in self.world.facts if isinstance(fact, Fill)}
        dead = self.dead()
        for fill in self.forced(trace):
            what = f"{iso(fill.venue_time_ns)} {fill.quantity} {fill.instrument} at {fill.price}"
            due_ns = dead.outside_after(fill.venue_time_ns, SECOND + self.slack_ns)
            fact = booked.get(_told(fill))
            if fact is None or fact.cause is not FillCause.ADL or fact.received_ns > due_ns:
                when = "not" if fact is None else f"as {fact.cause} at {iso(fact.received_ns)}"
                yield f"taken away: {what}, booked {when}"
            if not self.alarmed(fill.venue_time_ns, 5 * SECOND + self.slack_ns):
                yield f"taken away: {what}, no alarm"

    def to_neutral(self, trace: Trace) -> Iterator[tuple[Span, float]]:
        """Seconds from a forced fill until the pair was neutral, without those in which there was
        nobody to trade so much with, or nobody to do it."""
        for span in trace.spans:
            if span.foreign_ns:
                away = Times(
                    [*self.world.windows, *self.thin[span.pair.name]],
                    WindowKind.DEAD, WindowKind.WRITES_DOWN, WindowKind.VENUE_DOWN,
                )  # fmt: skip
                start_ns = span.foreign_ns[0]
                yield span, (span.end_ns - start_ns - away.covered(start_ns, span.end_ns)) / SECOND

    def neutrality(self, trace: Trace) -> Iterator[str]:
        bounds = trace.history.bounds
        limit_ns = bounds.t_hedge_degraded_ns if self.slack_ns else bounds.t_forced_ns
        for span, seconds in self.to_neutral(trace):
            if seconds * SECOND > limit_ns:
                yield f"{iso(span.start_ns)} {span.pair.name}: neutral after {seconds:.1f} s only"

    def history(self) -> History:
        """A road that loses nothing is no excuse for anything."""
        history = self.world.history()
        if self.rough:
            return history
        windows = tuple(w for w in history.windows if w.kind is not WindowKind.FAULTY)
        return replace(history, windows=windows)

    def is_excused(self, trace: Trace, violation: Violation) -> bool:
        """What is naked cannot be hedged without a counterpart; a short in danger is reduced at
        once and as a whole; what was dust when it was left may have grown since."""
        if violation.invariant not in {"I-3", "I-13", "live"}:
            return False
        name, time_ns = violation.text.split(":", 1)[0], violation.time_ns
        since_ns = time_ns - 15 * SECOND
        if "own orders" in violation.text:
            return any(since_ns <= at_ns <= time_ns for at_ns in self.endangered[name])
        shut = Times(self.shut.get(name, ()), WindowKind.WRITES_DOWN)
        dust = any(
            span.pair.name == name
            and span.start_ns <= time_ns <= span.end_ns
            and is_dust(span.pair.perp, span.peak, span.price)
            for span in trace.spans
        )
        return dust or (violation.invariant != "I-13" and shut.touches(since_ns, time_ns))


def _told(fill: Fill) -> tuple[str, int, Side, Decimal, Decimal]:
    """A fill as the venue's wire tells it, which has names of its own for fills, and no
    nanoseconds."""
    time_ms = fill.venue_time_ns // MILLISECOND
    return fill.instrument, time_ms, fill.side, fill.quantity, fill.price


def _leverage(position: PositionReport) -> Decimal:
    """Notional by margin at the venue's mark; endless where nothing is left."""
    if position.margin <= ZERO:
        return Decimal("Infinity")
    return abs(position.quantity) * position.mark / position.margin


# --- the drills ----------------------------------------------------------------------------

STRIKE = 5.0
"""Minutes from the start until the trouble: by then both pairs are held."""


class Cascade(Drill):
    """10 October 2025: half the price in minutes, no depth, the short taken away in slices."""

    name = "cascade"
    minutes = STRIKE + 20
    kill_minutes = (STRIKE + 1, STRIKE + 12)

    def prepare(self) -> None:
        self.path = walk(self.random, (4, 0.5, 3), (12, 0.75, 0))

    def settings(self) -> Settings:
        return prudent(reopen_seconds=3600.0)

    def strategy(self) -> Strategy:
        """In half of the worlds the second pair is wanted when the first has been hit."""
        late = self.random.choice((0.5, STRIKE + 13))
        return Steadfast({PAIRS[0].name: (0.5, FOR_GOOD), PAIRS[1].name: (late, FOR_GOOD)})

    def moment(self, pair: str, minute: float) -> Moment:
        since = minute - STRIKE
        if since < 0:
            return Moment()
        stress = min(since, 1.0) * math.exp(-max(since - 5, 0.0) / 4)
        return Moment(self.path(since), depth=0.03**stress, spread=1 + 99 * stress)

    def script(self) -> None:
        draw = self.random
        for pair in PAIRS:
            for _ in range(draw.randint(3, 6)):
                fraction = Decimal(draw.randint(15, 60)) / 100
                self.at(
                    STRIKE + draw.uniform(1, 13), partial(self.world.deleverage, pair, fraction)
                )

    def judge(self, trace: Trace) -> Iterator[str]:
        forced = self.forced(trace)
        if len(forced) < 3:
            yield f"{len(forced)} slices were taken: this was no cascade"
            return
        yield from self.adoption(trace)
        yield from self.neutrality(trace)
        since_ns = self.dead().outside_after(forced[0].venue_time_ns, 5 * SECOND + self.slack_ns)
        yield from self.entries(trace, since_ns, self.world.loop.now_ns)


class BrownOut(Drill):
    """29 July 2025: for 37 minutes every action is carried out and answered with an error."""

    name = "brown_out"
    minutes = STRIKE + 40
    kill_minutes = (STRIKE + 2, STRIKE + 36)

    def road(self) -> Mapping[str, float]:
        """Where nothing is lost the stream tells what the answers do not."""
        return {**LIGHT, StreamFault.DROPPED: 0.3} if self.rough else QUIET

    def strategy(self) -> Strategy:
        late = STRIKE - self.random.uniform(0, 0.7)
        first, second = (pair.name for pair in PAIRS)
        return Steadfast({first: (0.5, STRIKE + 20), second: (late, STRIKE + 30)})

    def script(self) -> None:
        until_ns, draw = _ns(STRIKE + 37), self.random
        self.at(STRIKE, lambda: self.world.net.brown_out(VENUE, until_ns, Weather.WRITES_FAIL))
        for minute in (STRIKE + 4, STRIKE + 9, STRIKE + 14, STRIKE + 25):
            pair, percent = draw.choice(PAIRS), Decimal(draw.randint(20, 60))
            taken = partial(self.world.deleverage, pair, percent / 100)
            sold = partial(self.world.trade_by_hand, pair, percent)
            self.at(minute, draw.choice((taken, sold)))

    def judge(self, trace: Trace) -> Iterator[str]:
        yield from self.neutrality(trace)
        from_ns, until_ns = _ns(STRIKE), _ns(STRIKE + 37)
        sent = [p for p in trace.placed if from_ns <= p.received.time_ns < until_ns]
        seconds = list(self._doubts())
        if len(sent) < 3 or (self.rough and not self.killed and not seconds):
            yield f"{len(sent)} orders, {len(seconds)} in doubt: this was no brown-out"
        for each in seconds:
            if each * SECOND > 5 * SECOND + self.slack_ns:
                yield f"an order was UNKNOWN for {each:.1f} s, though the venue could be asked"
        yield from self._preparing()

    def _doubts(self) -> Iterator[float]:
        """Seconds from each doubt about an order to its end, while somebody was there."""
        dead = self.dead()
        doubted: dict[str, int] = {}
        for fact in self.world.facts:
            if isinstance(fact, OrderDoubted):
                doubted.setdefault(fact.cloid, fact.time_ns)
            elif isinstance(fact, OrderResolved) and fact.cloid in doubted:
                since_ns = doubted.pop(fact.cloid)
                yield (fact.time_ns - since_ns - dead.covered(since_ns, fact.time_ns)) / SECOND

    def _preparing(self) -> Iterator[str]:
        """An entry whose leverage nobody confirms is given up, or a person is told."""
        planned: dict[str, int] = {}
        for fact in self.world.facts:
            if isinstance(fact, TradePlanned):
                planned[fact.trade_id] = fact.time_ns
            elif isinstance(fact, StageChanged) and fact.trade_id in planned:
                since_ns = planned.pop(fact.trade_id)
                if fact.time_ns - since_ns > 120 * SECOND and not self.alarmed(
                    since_ns, 120 * SECOND
                ):
                    seconds = (fact.time_ns - since_ns) / SECOND
                    yield f"{fact.trade_id} was being prepared for {seconds:.0f} s: no alarm"


class Squeeze(Drill):
    """JELLY, 26 March 2025: five times the price in twenty minutes, then the perp is settled and
    gone at a price that has nothing to do with the market's."""

    name = "squeeze"
    minutes = STRIKE + 40
    kill_minutes = (STRIKE + 2, STRIKE + 24)
    settled_minute = STRIKE + 24

    def prepare(self) -> None:
        self.path = walk(self.random, (20, 5.0, 4), (15, 3.0, 1))
        self.settlement = self.random.choice([Decimal("0.2"), Decimal("1.1")])

    def moment(self, pair: str, minute: float) -> Moment:
        if pair != PAIRS[0].name:
            return Moment()
        return Moment(self.path(minute - STRIKE), listed=minute < self.settled_minute)

    def script(self) -> None:
        self.at(self.settled_minute - 0.01, self._settle)

    def _settle(self) -> None:
        now_ns, perp = self.world.loop.now_ns, PAIRS[0].perp
        position = self.world.emulator.exchange.account_report(None, now_ns).position(perp.id)
        if position is None or not position.quantity:
            return
        price = perp.round_price(position.mark * self.settlement, up=False)
        self.world.windows.append(Window(WindowKind.EXTERNAL, now_ns, now_ns + SECOND))
        self.world.emulator.auto_deleverage(perp.id, ONE, price, now_ns)
        self.world.net.flush(VENUE)

    def judge(self, trace: Trace) -> Iterator[str]:
        if not self.forced(trace):
            yield "nothing was settled"
        if not any(isinstance(fact, MarginIntended) for fact in self.world.facts):
            yield "the margin guard had nothing to do"
        highest = 10 if self.killed else 6  # with nobody there for twenty seconds it goes on rising
        if self.leverage > highest:
            yield f"leverage reached {self.leverage:.1f}; liquidation is at 20"
        yield from self.adoption(trace)
        yield from self.neutrality(trace)
        engine = self.world.engine
        if engine is not None and engine.state.trade_on(PAIRS[0].name) is not None:
            yield "the trade on what is no longer listed was not closed"


class Depeg(Drill):
    """The spot leg is quoted at 0.65 of the oracle for half an hour, for whatever reason."""

    name = "depeg"
    minutes = STRIKE + 45
    kill_minutes = (STRIKE + 1, STRIKE + 28)
    lasts = 30.0

    def strategy(self) -> Strategy:
        late = self.random.uniform(STRIKE - 0.5, STRIKE + 10)
        return Steadfast({PAIRS[0].name: (0.5, FOR_GOOD), PAIRS[1].name: (late, FOR_GOOD)})

    def moment(self, pair: str, minute: float) -> Moment:
        return Moment(spot=0.65 if 0 <= minute - STRIKE < self.lasts else 1.0)

    def judge(self, trace: Trace) -> Iterator[str]:
        since_ns, until_ns = _ns(STRIKE), _ns(STRIKE + self.lasts)
        yield from self.entries(trace, since_ns + 5 * SECOND, until_ns)
        for move in trace.moves:
            fill = move.fill
            sold = move.kind is Kind.SPOT and fill.side is Side.SELL
            if sold and since_ns <= fill.venue_time_ns < until_ns:
                yield f"{iso(fill.venue_time_ns)} sold {fill.quantity} {fill.instrument} for cheap"
        for pair in PAIRS:
            if not trace.exposures[pair.name].perp:
                yield f"{pair.name} is not held, though all is well again"


class VenueGone(Drill):
    """Six hours in which the venue answers nothing, while prices move by eight percent either way.
    It goes while an order, or its answer, is on the road."""

    name = "venue_gone"
    hours = 6
    minutes = STRIKE + 10 + 60 * hours
    kill_minutes = (STRIKE + 30, STRIKE + 300)

    def prepare(self) -> None:
        self.gone_ns = self.back_ns = 0
        self.unready: list[str] = []
        self.sends = self.random.randint(1, 5)

    def strategy(self) -> Strategy:
        return Steadfast({PAIRS[0].name: (0.5, FOR_GOOD), PAIRS[1].name: (STRIKE, FOR_GOOD)})

    def moment(self, pair: str, minute: float) -> Moment:
        return Moment(1 + 0.08 * math.sin(2 * math.pi * max(minute - STRIKE, 0.0) / 100))

    def script(self) -> None:
        self.world.net.on_send = self._on_send
        self.at(STRIKE + 4, self._go)

    def _on_send(self, owner: str, path: str, body: bytes, moment: Sending) -> None:
        if (
            path == "/exchange"
            and moment is Sending.AFTER
            and self.world.loop.now_ns >= _ns(STRIKE)
        ):
            self.sends -= 1
            if self.sends == 0:
                delay_ns = self.random.randint(0, 150) * MILLISECOND
                self.world.loop.at(self.world.loop.now_ns + delay_ns, self._go)

    def _go(self) -> None:
        if self.gone_ns:
            return
        self.gone_ns = self.world.loop.now_ns
        self.back_ns = self.gone_ns + self.hours * HOUR
        self.world.net.partition(VENUE, self.back_ns)
        self.world.loop.at(self.back_ns + 120 * SECOND, self._recovered)

    def _recovered(self) -> None:
        engine = self.world.engine
        if engine is None:
            self.unready.append("not running")
            return
        if engine.reconciled_ns is None or engine.reconciled_ns < self.back_ns:
            self.unready.append("the books have not been compared")
        if engine.state.orders.unknown():
            self.unready.append("an order is UNKNOWN")
        trades = [engine.state.trades[trade] for trade in engine.state.open_trades.values()]
        healthy_ns = self.world.loop.now_ns - 15 * SECOND
        if any(trade.naked_ns is not None and trade.naked_ns < healthy_ns for trade in trades):
            self.unready.append("a leg is naked")

    def judge(self, trace: Trace) -> Iterator[str]:
        yield from (f"120 s after the return: {what}" for what in self.unready)
        if not self.alarmed(self.gone_ns, 10 * SECOND):
            yield "no alarm when the venue had gone"
        dead = self.dead()
        told = [a.time_ns for a in self.world.alarms if self.gone_ns <= a.time_ns < self.back_ns]
        for before, after in pairwise([*told, self.back_ns]):
            if after - before - dead.covered(before, after) > 65 * SECOND:
                yield f"{iso(before)} no alarm for {(after - before) / SECOND:.0f} s"
                break
        for fact in self.world.facts:
            if isinstance(fact, OrderResolved) and self.gone_ns < fact.time_ns < self.back_ns:
                yield f"{iso(fact.time_ns)} guessed: {fact}"
        yield from self._funding()

    def _funding(self) -> Iterator[str]:
        paid = self.world.emulator.exchange.private_since(0)
        due = Counter(_paid(fact) for fact in paid if isinstance(fact, FundingPayment))
        booked = Counter(
            _paid(fact) for fact in self.world.facts if isinstance(fact, FundingPayment)
        )
        if len(due) < self.hours:
            yield f"funding was paid {len(due)} times only"
        if booked != due:
            yield f"funding: {dict(due - booked)} not booked, {dict(booked - due)} too often"


def _paid(payment: FundingPayment) -> tuple[str, int, Decimal]:
    return payment.instrument, payment.venue_time_ns // HOUR, payment.payment.amount


class PostOnly(Drill):
    """The twenty minutes after an upgrade, in which only orders that rest are taken."""

    name = "post_only"
    minutes = STRIKE + 27
    kill_minutes = (STRIKE + 1, STRIKE + 18)
    lasts = 20.0

    def strategy(self) -> Strategy:
        late = self.random.uniform(STRIKE - 0.5, STRIKE + 5)
        return Steadfast({PAIRS[0].name: (0.5, FOR_GOOD), PAIRS[1].name: (late, FOR_GOOD)})

    def script(self) -> None:
        fraction = Decimal(self.random.randint(20, 60)) / 100
        taken = partial(self.world.deleverage, PAIRS[0], fraction)
        mode = Window(WindowKind.WRITES_DOWN, _ns(STRIKE), _ns(STRIKE + self.lasts))
        for pair in PAIRS:  # no taker has a counterpart then
            self.shut[pair.name].append(mode)
            self.thin[pair.name].append(mode)
        self.at(STRIKE, partial(self._set, True))
        self.at(STRIKE + self.random.uniform(1, 15), taken)
        self.at(STRIKE + self.lasts, partial(self._set, False))

    def _set(self, on: bool) -> None:
        self.world.emulator.post_only = on

    def judge(self, trace: Trace) -> Iterator[str]:
        yield from self.adoption(trace)
        until_ns = _ns(STRIKE + self.lasts)
        refused = [
            fact.received_ns
            for fact in self.world.facts
            if isinstance(fact, OrderRejected) and "post-only orders" in fact.reason
        ]
        if not refused:
            yield "no taker was refused: this was no post-only period"
            return
        yield from self.entries(trace, refused[0] + 5 * SECOND, until_ns)
        for span in trace.spans:
            yield from self._worked_off(trace, span, until_ns)
            if span.start_ns <= until_ns and span.end_ns > until_ns + 60 * SECOND:
                yield f"{iso(span.start_ns)} {span.pair.name}: naked a minute after the period"

    def _worked_off(self, trace: Trace, span: Span, until_ns: int) -> Iterator[str]:
        """Against what no taker can hedge, an order rests at the touch within half a minute."""
        since_ns = max(span.start_ns, _ns(STRIKE))
        due_ns = self.dead().outside_after(since_ns, 30 * SECOND + self.slack_ns)
        rested = any(
            placed.pair is span.pair and placed.role is Role.HEDGE and placed.accepted
            and placed.order.time_in_force is TimeInForce.POST_ONLY
            and since_ns <= placed.received.time_ns <= due_ns
            for placed in trace.placed
        )  # fmt: skip
        if due_ns < min(span.end_ns, until_ns) and not rested:
            yield f"{iso(since_ns)} {span.pair.name}: nothing rests against what is naked"


DRILLS: dict[str, type[Drill]] = {
    drill.name: drill for drill in (Cascade, BrownOut, Squeeze, Depeg, VenueGone, PostOnly)
}


# --- running them --------------------------------------------------------------------------


class Result(msgspec.Struct):
    """What one run came to. ``healthy`` and ``degraded``: simulated seconds from what the venue or
    a person took away until the pair was neutral, by whether anything else was wrong. ``cost``
    is in processor seconds."""

    drill: str
    seed: int
    cost: float
    alarms: int
    healthy: list[float]
    degraded: list[float]
    violations: list[str]


def play(name: str, seed: int) -> Result:
    """One run of one drill."""
    began = time.process_time()
    drill = DRILLS[name](seed)
    world = drill.world
    try:
        world.run()
        history = drill.history()
        trace = trace_of(history)
        found = (each for each in check(history) if not drill.is_excused(trace, each))
        seconds = [seconds for _, seconds in drill.to_neutral(trace)]
        return Result(
            drill=name,
            seed=seed,
            cost=time.process_time() - began,
            alarms=len(world.alarms),
            healthy=[] if drill.slack_ns else seconds,
            degraded=seconds if drill.slack_ns else [],
            violations=[*world.violations, *map(str, found), *drill.judge(trace)],
        )
    finally:
        world.close()


def table(results: list[Result]) -> str:
    """One line a drill; the times to neutral as p50/p99 of so many."""
    columns = f"{'violations':>12}{'neutral, healthy':>22}{'degraded':>22}{'alarms':>8}{'cpu s':>8}"
    lines = [f"{'drill':<12}{'seeds':>5}{columns}"]
    for name in dict.fromkeys(result.drill for result in results):
        of = [result for result in results if result.drill == name]
        healthy, degraded = (
            _spread([seconds for result in of for seconds in getattr(result, kind)])
            for kind in ("healthy", "degraded")
        )
        lines.append(
            f"{name:<12}{len(of):>5}{sum(len(r.violations) for r in of):>12}{healthy:>22}"
            f"{degraded:>22}{sum(r.alarms for r in of):>8}{math.fsum(r.cost for r in of):>8.1f}"
        )
    return "\n".join(lines) + "\n"


def _spread(seconds: list[float]) -> str:
    if not seconds:
        return "-"
    return f"{quantile(seconds, 0.5):.1f}/{quantile(seconds, 0.99):.1f} s of {len(seconds)}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--seeds", type=int, default=100, help="how many of each (100)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (0)")
    parser.add_argument("--only", choices=tuple(DRILLS), help="this drill alone")
    parser.add_argument("--jobs", type=int, default=2, help="processes (2)")
    parser.add_argument("--json", type=Path, help="every run's result goes there too")
    return parser.parse_args()


def main() -> int:
    asked = _arguments()
    names = DRILLS if asked.only is None else (asked.only,)
    seeds = range(asked.first, asked.first + asked.seeds)
    runs = [(name, seed) for name in names for seed in seeds]
    with ProcessPoolExecutor(asked.jobs, get_context("spawn")) as pool:
        results = list(pool.map(play, *zip(*runs, strict=True)))
    if asked.json is not None:
        asked.json.write_bytes(msgspec.json.encode(results))
    sys.stdout.write(table(results))
    failed = [result for result in results if result.violations]
    for result in failed:
        for line in result.violations:
            sys.stdout.write(f"{result.drill} seed {result.seed}: {line}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
