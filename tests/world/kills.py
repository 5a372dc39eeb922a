"""The kill matrix: the bot is ended at every point at which that can matter, and must come back.

A *failpoint* is an instant before or after a commit of the journal, or before a request is
written, after it, or when its answer is there. A short story (open, hold over an hour's end,
close) is played once without harm, and the failpoints on its way are counted. Then it is
played again for each of them and ended exactly there: by SIGKILL, by SIGTERM, or by a SIGSTOP
of ten minutes; and for some of them once more during the recovery that follows.

    python -m tests.world.kills [--jobs 2] [--json FILE] [--full]
    python -m tests.world.kills --only POINT[,POINT2] --scenario NAME [--pause S] [--how HOW]
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from typing import Any

import msgspec

from bot.lease import Lease
from bot.settings import Settings
from bot.watchdog import Bounds, NonceFile, Watchdog
from domain.account import FundingPayment
from domain.instruments import Instrument, Kind
from domain.market import Book, Level, MarketInput, Reference, Trade
from domain.money import ONE, ZERO, decimal_of, exact
from domain.orders import CancelRejected, Fill, OrderAccepted, OrderCanceled, OrderRejected, Side
from domain.targets import Action, ExitCause, Legs, Tactic, Target
from domain.time import HOUR, SECOND
from execution.events import Command
from execution.facts import (
    CancelIntended,
    CommandGiven,
    Fact,
    OrderDoubted,
    OrderIntended,
    OrderResolved,
    RequestSigned,
    Role,
    Stage,
    StageChanged,
    TradePlanned,
)
from execution.pairs import naked_quantity
from execution.state import State, apply
from execution.venues.hyperliquid.start import load
from execution.venues.hyperliquid.timing import Timing
from strategies.market.state import Market
from strategies.strategy import Holding
from tests.world.checker import check
from tests.world.history import Window, WindowKind
from tests.world.loop import Killed
from tests.world.market import WildMarket
from tests.world.net import Moment
from tests.world.oracle import Oracle
from tests.world.world import (
    ACCOUNT,
    LEASE_NS,
    PAIRS,
    START,
    TRADER,
    VENUE,
    WANTED,
    WATCHDOG,
    World,
    busy,
)

PAIR = PAIRS[0]
BEGINS_NS = START + HOUR - 35 * SECOND
"""So that the trade is held when the hour ends."""
HOLD_NS = 40 * SECOND
COMMAND_NS = BEGINS_NS + 45 * SECOND
"""From then on an operator wants the position flat, where the story has one."""
STOP_NS = 600 * SECOND
RECOVERY_SECONDS = 60
"""I-12: so long after the last start everything is as it should be."""
PATIENCE_SECONDS = 420
"""So long after the last start the story has come to its end."""
LIVES_SPARE = 3
"""So many starts more than the case wants, and it is not worth waiting for the end."""
AGAIN = 12
"""How many failpoints of a recovery are points of a second kill."""
PRICE, DEPTH_QUOTE = 20.0, 5_000.0


# --- stories --------------------------------------------------------------------------------


class Quote(msgspec.Struct, frozen=True):
    """The market at one moment: a price, and the share of the usual depth in the perp's book."""

    price: float = PRICE
    perp_depth: float = 1.0


class Story(msgspec.Struct, frozen=True):
    """What is to happen if nobody dies. ``quotes`` is by seconds since the beginning.

    ``flattened``: an operator closes the trade. ``hold_ns`` is counted from the first fill.
    ``in_parts``: two fifths first, then the whole, then half of it, a third of the time each,
    which is longer than any pause: one part is done before the next.
    ``legs`` other than carry hold a perp alone, with a stop.
    ``timeless``: what is done later is done all the same, so that a run which nothing happened
    to while nobody was there ends as if nobody had died.
    """

    maker: Kind = Kind.SPOT
    notional: Decimal = Decimal(620)
    urgent: bool = False
    flattened: bool = False
    in_parts: bool = False
    hold_ns: int = HOLD_NS
    reserve: Decimal = Decimal("0.05")
    quotes: Callable[[float], Quote] = lambda _: Quote()
    timeless: bool = True
    legs: Legs = Legs.CARRY

    @property
    def how(self) -> Tactic | msgspec.UnsetType:
        if not self.legs.is_alone:
            return msgspec.UNSET
        away = Decimal(1) - self.legs.opens(Kind.PERP).sign * Decimal("0.03")
        return Tactic(self.legs, stop_price=decimal_of(PRICE) * away, leverage=Decimal(2))

    def settings(self) -> Settings:
        """A leg may be naked for as long as the longest pause: the stories are too short to go
        on after a limit has tripped over one and cleared."""
        usual = busy()
        risk = msgspec.structs.replace(
            usual.risk, free_collateral_reserve=self.reserve, delta_seconds_max=300.0
        )
        return msgspec.structs.replace(
            usual,
            risk=risk,
            execution=msgspec.structs.replace(usual.execution, reopen_seconds=3600.0),
        )

    @property
    def printed(self) -> float:
        """Quote of each print: two of them fill all, if no slice ends in between."""
        return 0.55 * float(self.notional)


def _dry(seconds: float) -> Quote:
    """From the first fill on there is nobody to hedge with, for most of a minute."""
    return Quote(perp_depth=1e-4 if 10 <= seconds < 60 else 1.0)


def _rising(seconds: float) -> Quote:
    """A ninth more within a minute: what is free pays for one top-up, then the trade shrinks.
    Nobody has to be there to keep it from harm."""
    steps = min(max(seconds - 45, 0) // 5, 11)
    return Quote(price=round(PRICE * (1 + 0.01 * steps), 3))


def _falling(seconds: float) -> Quote:
    """From the stop on nobody has to be there: the venue's own closes the position. Who comes
    later finds the price where it was."""
    steps = min(max(seconds - 45, 0) // 5, 6) if seconds < 150 else 0
    return Quote(price=round(PRICE * (1 - 0.01 * steps), 3))


STORIES: Mapping[str, Story] = {
    "spot": Story(notional=Decimal(1240)),
    "perp": Story(maker=Kind.PERP),
    "urgent": Story(urgent=True),
    "unwind": Story(quotes=_dry, timeless=False),
    "margin": Story(
        notional=Decimal(3000),
        hold_ns=100 * SECOND,
        reserve=Decimal("0.77"),
        quotes=_rising,
        timeless=False,
    ),
    "parts": Story(notional=Decimal(1240), in_parts=True, hold_ns=300 * SECOND),
    "flatten": Story(flattened=True, hold_ns=HOUR),
    "alone": Story(maker=Kind.PERP, legs=Legs.LONG),
    "alone_in_parts": Story(
        maker=Kind.PERP,
        legs=Legs.LONG,
        notional=Decimal(1240),
        in_parts=True,
        hold_ns=300 * SECOND,
    ),
    "stopped": Story(
        maker=Kind.PERP, legs=Legs.LONG, quotes=_falling, hold_ns=120 * SECOND, timeless=False
    ),
}


class Steady(WildMarket):
    """Books and prints that are a function of time alone: a delay changes what is traded at no
    other price. Each step prints go through the touch, for a part of what rests there."""

    def __init__(self, start_ns: int, story: Story) -> None:
        super().__init__((PAIR,), start_ns, 0)
        self._prices = {PAIR.name: PRICE}
        self._story = story

    def step(self, now_ns: int) -> Iterator[MarketInput]:
        quote = self._story.quotes((now_ns - self.start_ns) / SECOND)
        legs = (PAIR.spot, PAIR.perp)
        for leg in legs:
            for side in Side:
                price = quote.price * (1 + 1e-3 * side.sign)
                quantity = self._story.printed / quote.price
                yield Trade(leg.id, price, quantity, side, now_ns, now_ns)
        for leg in legs:
            depth = quote.perp_depth if leg.kind is Kind.PERP else 1.0
            yield _book(leg, quote.price, depth * DEPTH_QUOTE / quote.price, now_ns)
        yield Reference(PAIR.perp.id, quote.price, quote.price, now_ns, now_ns)


def _book(leg: Instrument, price: float, size: float, now_ns: int) -> Book:
    bid, ask = (
        float(leg.round_price(Decimal(repr(price * (1 + 2e-4 * side))), up=side > 0))
        for side in (-1, 1)
    )
    return Book(leg.id, (Level(bid, size),), (Level(ask, size),), now_ns, now_ns)


class Once:
    """Wants the pair until it has held it long enough; that it is wanted once more does not
    open it again, since the bot waits an hour before it does."""

    def __init__(self, story: Story) -> None:
        self._story = story

    def targets(
        self, market: Market, holdings: Mapping[str, Holding], equity: Decimal, now_ns: int
    ) -> tuple[Target, ...]:
        held, story = holdings.get(PAIR.name), self._story
        action, notional = self._next(held, now_ns)
        leaves = action in (Action.REDUCE, Action.EXIT)
        cause = ExitCause.TARGET if action is Action.REDUCE else ExitCause.THESIS_CHANGED
        return (
            Target(
                PAIR.name, action, notional, "once: it is time",
                0.0001, 0.0, 100.0, 0.002, 0.008, 0.1, Decimal(10),
                maker_leg=story.maker,
                urgent=leaves and story.urgent,
                exit_cause=cause if leaves else None,
                how=story.how if held is None else msgspec.UNSET,
            ),
        )  # fmt: skip

    def _next(self, held: Holding | None, now_ns: int) -> tuple[Action, Decimal]:
        whole, hold_ns = self._story.notional, self._story.hold_ns
        if held is None:
            part = Decimal("0.4") if self._story.in_parts else ONE
            return Action.ENTER, whole * part
        since_ns = now_ns - held.opened_ns
        if self._story.in_parts:
            if held.tranches == 1:
                return (Action.ADD, whole) if 3 * since_ns >= hold_ns else (Action.HOLD, ZERO)
            if not held.targets_met:
                if 3 * since_ns < 2 * hold_ns:
                    return Action.HOLD, ZERO
                return Action.REDUCE, held.notional / 2
        return (Action.EXIT, ZERO) if since_ns >= hold_ns else (Action.HOLD, whole)


# --- failpoints -----------------------------------------------------------------------------


class Around(StrEnum):
    """Where a failpoint is. Those of a request are the road's own ``Moment``."""

    BEFORE_COMMIT = "before commit"
    AFTER_COMMIT = "after commit"
    BEFORE = Moment.BEFORE.value
    AFTER = Moment.AFTER.value
    ANSWER = Moment.ANSWER.value


COMMITS = (Around.BEFORE_COMMIT, Around.AFTER_COMMIT)


class Seen(msgspec.Struct, frozen=True):
    """A failpoint as it was passed: ``facts`` is how many the journal had."""

    life: int
    index: int
    time_ns: int
    around: Around
    path: str
    body: bytes
    facts: int


class Point(msgspec.Struct, frozen=True):
    """A failpoint and what it is about. ``index`` counts those of one life, from 0.

    ``effect``: something durable or at the venue changes here; a read changes nothing.
    """

    life: int
    index: int
    time_ns: int
    around: Around
    what: str
    phase: str
    rows: tuple[str, ...]
    effect: bool


HEDGES = (Role.HEDGE, Role.UNWIND)
RECONCILING = ("Reconciled", "Cashflow", "OrderDoubted", "OrderResolved")
RESULTS = ("OrderAccepted", "OrderRejected", "OrderCanceled", "CancelRejected", "Fill")
ROWS = tuple(f"K{n}" for n in range(1, 17) if n != 12)
"""Of the catalogue of process crashes. K2, between an intent and its nonce, cannot be told from
K3: intent, nonce and signed bytes are one commit, which every run proves. K12, a migration of
the journal, is the journal's own tests' business."""


def labelled(seen: Sequence[Seen], facts: Sequence[Fact]) -> list[Point]:
    """What each failpoint is about, by the journal that the run left behind."""
    roles = {f.request.cloid: f.role for f in facts if isinstance(f, OrderIntended)}
    phases = _phases(facts)
    points = []
    for number, one in enumerate(seen):
        phase, commanded = phases[one.facts]
        if one.life > 1:
            phase = "recovering"
        if one.around in COMMITS:
            first, last = _commit(seen, number)
            what = _told(facts[first:last], roles)
        else:
            what = _asked(one, roles)
        rows = list(_rows(one.around, what))
        rows += ["K8"] * (phase == "unwinding") + ["K14"] * commanded
        effect = one.around in COMMITS or one.path == "/exchange"
        points.append(
            Point(one.life, one.index, one.time_ns, one.around, what, phase, tuple(rows), effect)
        )
    return points


def _commit(seen: Sequence[Seen], number: int) -> tuple[int, int]:
    """The facts that the commit around a failpoint holds: from which to before which."""
    if seen[number].around is Around.AFTER_COMMIT:
        return seen[number - 1].facts, seen[number].facts
    after = seen[number + 1] if number + 1 < len(seen) else seen[number]
    return seen[number].facts, after.facts


def _told(facts: Iterable[Fact], roles: Mapping[str, Role]) -> str:
    words: dict[str, None] = {}
    for fact in facts:
        word = type(fact).__name__
        if isinstance(fact, StageChanged):
            word += f" {fact.stage}"
        elif isinstance(fact, OrderIntended):
            word += f" {fact.role}"
        elif isinstance(
            fact,
            Fill | OrderAccepted | OrderRejected | OrderCanceled | CancelRejected
            | CancelIntended | OrderDoubted | OrderResolved,
        ):  # fmt: skip
            word += f" {roles.get(fact.cloid or '', 'unknown')}"
        words[word] = None
    return ", ".join(words)


def _asked(seen: Seen, roles: Mapping[str, Role]) -> str:
    body: dict[str, Any] = json.loads(seen.body)
    if seen.path != "/exchange":
        return str(body["type"])
    action = body["action"]
    if action["type"] != "order":
        return str(action["type"])
    return f"order {roles.get(action['orders'][0]['c'], 'unknown')}"


def _rows(around: Around, what: str) -> Iterator[str]:
    """The rows of the catalogue that a failpoint belongs to, as far as its kind tells."""
    words = what.split(", ")
    names = {word.split(" ")[0] for word in words}
    hedges = any(what == f"order {role}" for role in HEDGES)
    order = what.startswith("order ")
    if around is Around.BEFORE_COMMIT:
        yield from ["K1"] * ("OrderIntended" in names)
        yield from ["K5"] * (not names.isdisjoint(RESULTS))
    if around is Around.AFTER_COMMIT:
        yield from ["K2", "K3"] * ("OrderIntended" in names)
        yield from ["K6"] * any(f"Fill {role}" in words for role in Role if role not in HEDGES)
    if around in COMMITS:
        yield from ["K9"] * ("StageChanged holding" in words)
        yield from ["K10"] * ("FundingPayment" in names)
        yield from ["K11"] * (not names.isdisjoint(RECONCILING))
    yield from ["K3"] * (order and around is Around.BEFORE)
    yield from ["K7" if hedges else "K4"] * (order and around is Around.AFTER)
    yield from ["K7" if hedges else "K5"] * (order and around is Around.ANSWER)


def _phases(facts: Sequence[Fact]) -> list[tuple[str, bool]]:
    """After so many facts: what the bot is in the middle of, and whether an operator told it."""
    state, commanded = State(PAIRS), False
    phases = [("starting", False)]
    for fact in facts:
        apply(state, fact)
        commanded |= isinstance(fact, CommandGiven)
        phase = _phase(state)
        phases.append((phase, commanded and phase != "idle"))
    return phases


def _phase(state: State) -> str:
    trade = state.trade_on(PAIR.name)
    if trade is None:
        return "idle" if state.reconciled is not None else "starting"
    if trade.cause is ExitCause.LIMIT and trade.stage is Stage.WORKING:
        return "unwinding"
    if trade.is_closing:
        return "closing"
    if PAIR.perp.id in state.margin_requests or trade.urgent:
        return "margin"
    return "holding" if trade.stage is Stage.HOLDING else "opening"


def chosen(points: Iterable[Point]) -> list[Point]:
    """One of each kind of instant: all effects, and of reads that follow each other without one
    the first answer to each question. What else a read is, nobody could tell from these."""
    seen: set[str] = set()
    kept = []
    for point in points:
        if point.effect:
            seen.clear()
            kept.append(point)
        elif point.around is Around.ANSWER and point.what not in seen:
            seen.add(point.what)
            kept.append(point)
    return kept


# --- one run --------------------------------------------------------------------------------


class How(StrEnum):
    KILL = "kill"
    CANCEL = "cancel"  # SIGTERM: the main task is cancelled, and the process ends by itself
    STOP = "stop"  # SIGSTOP, and SIGCONT after ten minutes; a watchdog is there


class Case(msgspec.Struct, frozen=True):
    """One run: the n-th life ends at the n-th of ``points``; ``pause`` seconds later comes the
    next. ``how`` is the first end's; the others are kills."""

    scenario: str
    points: tuple[int, ...] = ()
    pause: float = 2.0
    how: How = How.KILL

    @property
    def in_time(self) -> bool:
        """Whether enough of the story is left after the pause for what was wanted in it.

        Entries wait for a second look at the account after a start, and a story wants its pair
        for eighty seconds.
        """
        return self.pause < 60

    @property
    def command(self) -> str:
        only = ",".join(map(str, self.points)) or "none"
        return (
            f"python -m tests.world.kills --only {only} --scenario {self.scenario}"
            f" --pause {self.pause:g} --how {self.how}"
        )


class Ending(msgspec.Struct, frozen=True):
    """What a run came to: ``worth`` is cash and what is left, at the price it began with,
    before funding, of which a run that is late may miss an hour."""

    trades: tuple[tuple[str, str, str], ...]
    turnover: dict[str, Decimal]
    worth: Decimal

    def is_like(self, other: "Ending") -> bool:
        """The same but for what slices of other sizes round away: some lots, their fees."""
        names = self.turnover.keys() | other.turnover.keys()
        moved = (self.turnover.get(n, ZERO) - other.turnover.get(n, ZERO) for n in names)
        return (
            self.trades == other.trades
            and all(abs(quantity) <= 5 * PAIR.lot for quantity in moved)
            and abs(self.worth - other.worth) <= Decimal("0.05")
        )


class Report(msgspec.Struct, frozen=True):
    """``recovered_seconds`` is from the last start. ``touched``: while nobody was there, or until
    just after, something was traded, so that the rest may differ. ``points`` are the last life's.
    """

    case: Case
    violations: tuple[str, ...]
    ending: Ending | None
    touched: bool
    recovered_seconds: float
    taken_over: bool
    points: tuple[Point, ...] = ()


class KillWorld(World):
    """A world without any other misfortune, in which the trader ends where the case says."""

    def __init__(self, case: Case) -> None:
        self.case, self.story = case, STORIES[case.scenario]
        self.seen: list[Seen] = []
        self._passed: Counter[int] = Counter()  # by life
        self._ending: str | None = None  # who has been told to end
        self._started_ns = self.recovered_ns = 0
        oracle = Oracle.seeded(1, {})
        self.legs = {PAIR.name: self.story.legs} if self.story.legs.is_alone else {}
        super().__init__(oracle, 1, hours=1.0, settings=self.story.settings(), start_ns=BEGINS_NS)
        self.market = Steady(BEGINS_NS, self.story)
        self.strategy = Once(self.story)
        if self.story.flattened:
            self.loop.at(COMMAND_NS, self._command)
        if case.how is How.STOP:
            self.loop.spawn("watchdog", self._watch())

    # --- the failpoints

    def start(self) -> None:
        self._started_ns, self.recovered_ns = self.loop.now_ns, 0
        super().start()

    def outage_ns(self) -> int:
        return int(self.case.pause * SECOND)

    def _maybe_die(self, owner: str, site: str) -> None:
        around = Around(site.removeprefix("kill.").replace("_", " "))
        if self._is_fatal(owner, around) and self._end(owner):
            raise Killed

    def _on_send(self, owner: str, path: str, body: bytes, moment: Moment) -> None:
        super()._on_send(owner, path, body, moment)
        if self._is_fatal(owner, Around(moment.value), path, body):
            self._end(owner)

    def _is_fatal(self, owner: str, around: Around, path: str = "", body: bytes = b"") -> bool:
        """Whether the process ends at this failpoint, which is hereby counted."""
        process, life = self.process, self.starts
        if process is None or process.owner != owner:
            return False
        index = self._passed[life]
        self._passed[life] += 1
        facts = len(process.journal)
        self.seen.append(Seen(life, index, self.loop.now_ns, around, path, body, facts))
        return self.case.points[life - 1 : life] == (index,)

    def _end(self, owner: str) -> bool:
        """Whether it is dead at once."""
        assert self.process is not None, "Invariant: who passes a failpoint is alive"
        how = self.case.how if self.starts == 1 else How.KILL
        if how is How.CANCEL:
            self._ending = owner
            self.process.task.cancel()
        elif how is How.STOP:
            self._stop(owner, STOP_NS)
        else:
            self.die(owner)
        return how is How.KILL

    def _ended(self, owner: str, task: Any) -> None:
        if owner == self._ending and task.cancelled():
            self.die(owner)
        else:
            super()._ended(owner, task)

    # --- who else is there

    def _command(self) -> None:
        """An operator who sees the trade held says it, and again until the journal has it."""
        process = self.process
        if process is not None and process.live is not None:
            if any(isinstance(fact, CommandGiven) for fact in process.journal.read()):
                return
            trade = process.live.trader.engine.state.trade_on(PAIR.name)
            if trade is not None and trade.held:
                command = Command("flatten", "", "operator", self.loop.now_ns)
                process.live.trader._inbox.put(command)
        self.loop.at(self.loop.now_ns + SECOND, self._command)

    async def _watch(self) -> None:
        transport = self.net.transport("watchdog", VENUE)
        listing = await load(transport, ACCOUNT, WANTED, Timing())
        lease = Lease(self.directory / "lease.json", "watchdog", LEASE_NS)
        bounds = Bounds.of(self.settings.execution, Timing())
        with closing(NonceFile(self.directory / "nonces")) as nonces:
            await Watchdog(
                transport, WATCHDOG, nonces, listing, ACCOUNT, TRADER.address, self.clock, lease,
                bounds, self.alarm,
            ).run()  # fmt: skip

    # --- the run

    def play(self) -> Report:
        """Until the story is over, or cannot be any more."""
        quiet_ns = 5 * SECOND
        over_ns = self.loop.now_ns
        while True:
            self.loop.run_until(self.loop.now_ns + SECOND)
            now_ns, engine = self.loop.now_ns, self.engine
            longest_ns = PATIENCE_SECONDS * SECOND + STOP_NS * (self.case.how is How.STOP)
            too_often = self.starts > len(self.case.points) + LIVES_SPARE
            if too_often or now_ns - self._started_ns > longest_ns:
                self.violations.append("the story does not come to its end")
                break
            if engine is None or not self._has_recovered() or not self._is_over(engine.state):
                over_ns = now_ns
            elif now_ns - over_ns >= quiet_ns and self.is_settled():
                break
        return self._report()

    def _has_recovered(self) -> bool:
        """I-12, as of the first instant since the last start at which all of it held."""
        if self.recovered_ns:
            return True
        engine = self.engine
        if engine is None or engine.reconciled_ns is None:
            return False
        state = engine.state
        if state.orders.unknown() or not self.is_settled():
            return False
        if not all(_is_hedged(state, name) for name in state.open_trades):
            return False
        if self.legs and not self._is_guarded():
            return False
        self.recovered_ns = self.loop.now_ns
        return True

    def _is_guarded(self) -> bool:
        """Whether the venue has one stop of all that is held, and none of nothing."""
        self._stand(PAIR.perp.id, self.loop.now_ns)
        look = self.standing[PAIR.perp.id][-1]
        return look.stops == ((abs(look.position),) if look.position else ())

    def _is_over(self, state: State) -> bool:
        done = bool(state.trades) and not state.open_trades
        return done and not state.limits.active and self.starts > len(self.case.points)

    # --- the verdict

    def _report(self) -> Report:
        self.judge_ending()
        facts: list[Fact] = []
        ending = None
        if self.process is not None and self.engine is not None:
            facts = list(self.process.journal.read())
            self.violations += _broken(facts, self.engine.state, self.case)
            self.violations += self._unlike_the_venue(facts)
            ending = _ending(self.engine.state, facts)
        recovered = (self.recovered_ns - self._started_ns) / SECOND
        if self.case.points and not 0 <= recovered <= RECOVERY_SECONDS:
            self.violations.append(f"I-12: recovered {recovered:.0f} s after the last start")
        lives = len(self.case.points) + 1
        if self.starts != lives:
            self.violations.append(f"{self.starts} lives instead of {lives}")
        taken_over = self._lease_windows()
        found = [*self.violations, *map(str, check(self.history()))]
        return Report(
            self.case, tuple(found), ending, self._was_touched(), recovered, taken_over,
            tuple(labelled([one for one in self.seen if one.life == self.starts], facts)),
        )  # fmt: skip

    def _lease_windows(self) -> bool:
        """The watchdog's terms, by what it told people; whether there was one."""
        since_ns = None
        for alarm in self.alarms:
            if alarm.name == "trader_silent":
                since_ns = alarm.time_ns
            elif alarm.name.startswith("watchdog_") and since_ns is not None:
                self.windows.append(Window(WindowKind.LEASE, since_ns, alarm.time_ns))
        return since_ns is not None

    def _was_touched(self) -> bool:
        absent = [
            window
            for window in self.windows
            if window.kind in (WindowKind.DEAD, WindowKind.STOPPED) and window.start_ns > BEGINS_NS
        ]
        return any(
            window.start_ns <= event.venue_time_ns <= window.end_ns + SECOND
            for window in absent
            for event in self.emulator.exchange.private_since(BEGINS_NS + 1)
            if isinstance(event, Fill)
        )

    def _unlike_the_venue(self, facts: Sequence[Fact]) -> Iterator[str]:
        """The journal against the venue's own log: fills one for one, nothing unheard of."""
        theirs = [e for e in self.emulator.exchange.private_since(0) if isinstance(e, Fill)]
        ours = [fact for fact in facts if isinstance(fact, Fill)]
        if len(ours) != len(theirs) or len({fill.fill_id for fill in ours}) != len(ours):
            yield f"I-5: {len(ours)} fills in the journal, {len(theirs)} at the venue"
        signed = [fact for fact in facts if isinstance(fact, RequestSigned)]
        digests = {sha256(fact.body.encode()).hexdigest() for fact in signed}
        for action in self.emulator.received:
            mine = action.signer == TRADER.address and action.action != "noop"
            if mine and action.digest not in digests:
                yield f"I-1: {action.action} {action.nonce} arrived and is not in the journal"
        for window in self.windows:
            if window.kind is WindowKind.STOPPED:
                yield from self._acts_of_the_stopped(window)

    def _acts_of_the_stopped(self, window: Window) -> Iterator[str]:
        """What arrives from one that was stopped, later than the road takes, is refused."""
        restart_ns = self._started_ns
        for action in self.emulator.received:
            after = window.start_ns + SECOND < action.time_ns < restart_ns
            acts = action.signer == TRADER.address and action.action != "noop"
            if after and acts and action.outcome == "ok":
                yield f"K16: {action.action} {action.nonce} of the stopped process was accepted"


def _is_hedged(state: State, name: str) -> bool:
    """Whether a pair's legs differ by nothing that can be traded, or a hedge is on the road."""
    trade = state.trade_on(name)
    if trade is None or not trade.legs.trades_spot:
        return True
    spot, perp = state.quantities(trade)
    price = trade.plan.notional / trade.plan.quantity
    naked = naked_quantity(state.pairs[name], spot, perp, price)
    return naked == ZERO or any(order.role in HEDGES for order in state.orders.live())


def _broken(facts: Sequence[Fact], state: State, case: Case) -> Iterator[str]:
    """What the journal says against itself, and against the story."""
    again = State(PAIRS)
    for fact in facts:
        apply(again, fact)
    if again.books.positions() != state.books.positions() or again.trades != state.trades:
        yield "I-5: the journal folds to another state than the process has"
    signed = {fact.request_id for fact in facts if isinstance(fact, RequestSigned)}
    for fact in facts:
        if isinstance(fact, OrderIntended) and fact.request.cloid not in signed:
            yield f"K2: {fact.request.cloid} was intended without being signed"
    planned = sum(isinstance(fact, TradePlanned) for fact in facts)
    stages = Counter(fact.stage for fact in facts if isinstance(fact, StageChanged))
    if planned != 1 or stages[Stage.CLOSED] != 1:
        yield f"planned {planned} times, closed {stages[Stage.CLOSED]} times"
    gave_up = all(trade.cause is ExitCause.LIMIT for trade in state.trades.values())
    must_hold = case.how is not How.STOP and STORIES[case.scenario].timeless and case.in_time
    if must_hold and not stages[Stage.HOLDING] and not gave_up:
        yield "the trade was neither held nor given up"


def _ending(state: State, facts: Sequence[Fact]) -> Ending:
    turnover: dict[str, Decimal] = {}
    with exact():
        worth = state.books.cash()
        for fact in facts:
            if isinstance(fact, Fill):
                name = f"{fact.side} {fact.instrument}"
                turnover[name] = turnover.get(name, ZERO) + fact.quantity
            elif isinstance(fact, FundingPayment):
                worth -= fact.payment.amount
        left = state.books.position(PAIR.spot.id) + state.books.position(PAIR.perp.id)
        worth += left * decimal_of(PRICE)
    trades = tuple((t.trade_id, str(t.stage), str(t.cause)) for t in state.trades.values())
    return Ending(trades, dict(sorted(turnover.items())), worth)


def play(case: Case) -> Report:
    """One run, in a world of its own. What it raised is a violation like any other."""
    world = KillWorld(case)
    try:
        report = world.play()
    except Exception as error:  # noqa: BLE001
        report = Report(case, (f"{type(error).__name__}: {error}",), None, True, 0.0, False)
    try:
        world.close()
    except BaseExceptionGroup as unheard:
        found = (*report.violations, *map(repr, unheard.exceptions))
        report = msgspec.structs.replace(report, violations=found)
    return report


# --- the matrix -----------------------------------------------------------------------------


def first_kills(scenario: str, points: Sequence[Point], *, full: bool) -> Iterator[Case]:
    """The runs in which the first life ends at each of the reference's ``points``."""
    for number, point in enumerate(points):
        if not point.effect and not full:
            yield Case(scenario, (point.index,))
            continue
        pauses = [0.0, 2.0, 7.0, 70.0] if full else [0.0, 7.0] + [70.0] * (number % 8 == 0)
        for pause in pauses:
            yield Case(scenario, (point.index,), pause)
    effects = [point for point in points if point.effect]
    for point in effects[:: 1 if full else 3]:
        yield Case(scenario, (point.index,), how=How.CANCEL)
    # A process that is stopped in the simulation goes on to where it next waits, so that there
    # is no stop just before a request or a commit.
    stops = [p for p in effects if p.around not in (Around.BEFORE, Around.BEFORE_COMMIT)]
    for point in stops[:: 1 if full else 6]:
        yield Case(scenario, (point.index,), how=How.STOP)


def second_kills(first: Report, *, full: bool) -> Iterator[tuple[Case, Point]]:
    """The runs that end once more, at each of the first points of the recovery in ``first``."""
    for point in first.points[: 4 * AGAIN] if full else chosen(first.points)[:AGAIN]:
        points = (*first.case.points, point.index)
        yield msgspec.structs.replace(first.case, points=points), point


def compared(report: Report, reference: Report) -> Report:
    """``report``, with what its ending lacks of the reference's where nothing excuses it."""
    ending, wanted = report.ending, reference.ending
    told = STORIES[report.case.scenario].timeless and report.case.in_time
    excused = report.touched or report.taken_over or not told
    if excused or ending is None or wanted is None or ending.is_like(wanted):
        return report
    text = f"I-12: ended as {ending}, without any harm as {wanted}"
    return msgspec.structs.replace(report, violations=(*report.violations, text))


class Matrix:
    """All runs, and what they are counted as."""

    def __init__(self, *, full: bool, say: Callable[[str], None]) -> None:
        self._full, self._say = full, say
        self.references: dict[str, Report] = {}
        self.reports: list[Report] = []
        self.points: list[tuple[Case, Point]] = []

    def run(self, scenarios: Iterable[str], pool: ProcessPoolExecutor) -> None:
        for report in pool.map(play, [Case(name) for name in scenarios]):
            self.references[report.case.scenario] = report
            self.reports.append(report)
        chosen_of = {
            name: list(report.points) if self._full else chosen(report.points)
            for name, report in self.references.items()
        }
        cases = [
            case
            for name, points in chosen_of.items()
            for case in first_kills(name, points, full=self._full)
        ]
        kept = self._killed_again(chosen_of)
        firsts = self._play("first kills", cases, pool)
        point_at = {(n, p.index): p for n, points in chosen_of.items() for p in points}
        self.points += [(r.case, point_at[r.case.scenario, r.case.points[0]]) for r in firsts]
        again = {
            case: point
            for first in firsts
            if first.case in kept
            for case, point in second_kills(first, full=self._full)
        }
        for report in self._play("second kills", list(again), pool):
            self.points.append((report.case, again[report.case]))

    def _killed_again(self, points: Mapping[str, Sequence[Point]]) -> set[Case]:
        """Every fourth effect, where the next process starts at once; with ``full`` every one."""
        return {
            Case(name, (point.index,), 0.0)
            for name, of in points.items()
            for point in [p for p in of if p.effect][:: 1 if self._full else 4]
        }

    def _play(self, what: str, cases: Sequence[Case], pool: ProcessPoolExecutor) -> list[Report]:
        began, done = time.monotonic(), []
        for report in pool.map(play, cases, chunksize=8):
            done.append(compared(report, self.references[report.case.scenario]))
            if len(done) % 200 == 0 or len(done) == len(cases):
                seconds = time.monotonic() - began
                self._say(f"{what}: {len(done)} of {len(cases)} runs in {seconds:.0f} s")
        self.reports += done
        return done

    # --- what came of it

    def violations(self) -> dict[str, tuple[str, ...]]:
        """By the command that plays it again. All stories together leave out no row."""
        found = {r.case.command: r.violations for r in self.reports if r.violations}
        for row, count in self.rows().items():
            if not count and self.references.keys() == STORIES.keys():
                found[row] = ("no run ends at a point of this row",)
        return found

    def rows(self) -> dict[str, int]:
        """How many runs end at a point of each row."""
        rows = Counter(dict.fromkeys(ROWS, 0))
        for case, point in self.points:
            if case.how is How.KILL:
                rows.update(point.rows)
            elif case.how is How.CANCEL:
                rows["K13"] += 1
        rows["K16"] += sum(report.case.how is How.STOP for report in self.reports)
        rows["K15"] += sum(report.taken_over for report in self.reports)
        return dict(rows)

    def phases(self) -> dict[str, Counter[str]]:
        """How many runs end in each phase, by how."""
        phases: dict[str, Counter[str]] = {}
        for case, point in self.points:
            how = How.KILL if len(case.points) > 1 else case.how
            phases.setdefault(point.phase, Counter())[how] += 1
        return phases

    def summary(self, seconds: float) -> dict[str, Any]:
        untouched = [
            report
            for report in self.reports
            if not report.touched and STORIES[report.case.scenario].timeless
        ]
        same = sum(r.ending == self.references[r.case.scenario].ending for r in untouched)
        return {
            "failpoints": {name: len(r.points) for name, r in self.references.items()},
            "rows": self.rows(),
            "phases": {phase: dict(count) for phase, count in self.phases().items()},
            "runs": len(self.reports),
            "untouched": len(untouched),
            "same_to_the_last_digit": same,
            "slowest_recovery_seconds": max(r.recovered_seconds for r in self.reports),
            "violations": self.violations(),
            "seconds": round(seconds, 1),
        }


def table(summary: Mapping[str, Any]) -> str:
    """For a person."""
    failpoints = ", ".join(f"{name} {count}" for name, count in summary["failpoints"].items())
    rows = "  ".join(f"{row} {count}" for row, count in summary["rows"].items())
    lines = [f"failpoints: {failpoints}", f"runs by row: {rows}", "runs by phase:"]
    for phase, counts in summary["phases"].items():
        told = ", ".join(f"{how} {count}" for how, count in counts.items())
        lines.append(f"  {phase:<11} {told}")
    lines.append(
        f"{summary['runs']} runs in {summary['seconds']} s; of {summary['untouched']} to which "
        f"nothing happened meanwhile {summary['same_to_the_last_digit']} ended the same to the "
        f"last digit; slowest recovery {summary['slowest_recovery_seconds']:.0f} s"
    )
    for command, violations in summary["violations"].items():
        lines += [command, *(f"    {violation}" for violation in violations)]
    lines.append(f"{len(summary['violations'])} runs with violations")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.world.kills")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", help="where to write the summary")
    parser.add_argument("--full", action="store_true", help="all points, pauses and second points")
    parser.add_argument("--scenario", choices=STORIES, action="append")
    parser.add_argument("--only", help="one run: where its lives end, such as 112 or 112,40")
    parser.add_argument("--pause", type=float, default=2.0, help="seconds to the next life")
    parser.add_argument("--how", type=How, default=How.KILL, choices=How)
    asked = parser.parse_args(arguments)
    scenarios = asked.scenario or list(STORIES)
    if asked.only is not None:
        points = tuple(int(index) for index in asked.only.split(",") if index != "none")
        case = Case(scenarios[0], points, asked.pause, asked.how)
        report = compared(play(case), play(Case(scenarios[0])))
        print(*(report.violations or ("no violation",)), sep="\n")
        return bool(report.violations)
    began = time.monotonic()
    matrix = Matrix(full=asked.full, say=lambda text: print(text, file=sys.stderr))
    with ProcessPoolExecutor(asked.jobs) as pool:
        matrix.run(scenarios, pool)
    summary = matrix.summary(time.monotonic() - began)
    print(table(summary))
    if asked.json:
        with open(asked.json, "wb") as file:  # noqa: PTH123
            file.write(msgspec.json.encode(summary))
    return bool(summary["violations"])


if __name__ == "__main__":
    sys.exit(main())
