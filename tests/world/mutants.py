"""Planted bugs that test the tester: each must be caught, and the product without it must not.

A mutant is a small patch of product code in memory, a sentence that says what is wrong with
it, the row of the failure catalogue that it is of, and the runs that catch it. A run is a
world from its seed; the same runs without the patch are the control. What catches a mutant is
what judges every world: the harness, the checker, what nobody retrieved, or that nothing
happened at all.

``python -m tests.world.mutants`` plants all of them, one after the other, and fails where one
survives its runs or the control is not clean. ``--shrink NAME`` cuts the choices that lead to
one down to a few and keeps them under ``regressions``.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from itertools import count
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path
from typing import Any, Self

import msgspec
from msgspec.structs import replace
from pytest import MonkeyPatch  # noqa: PT013 - the name is a type in every signature here

import bot.engine
import bot.live
import bot.planning
import bot.trader
from bot.engine import Engine
from bot.lease import Lease, LeaseLost
from bot.trader import Inbox, Trader
from domain.account import AccountReport, FundingPayment
from domain.instruments import Instrument
from domain.money import ZERO, Money
from domain.orders import (
    CancelReason,
    Fill,
    FillCause,
    OrderAccepted,
    OrderCanceled,
    OrderFenced,
    OrderRejected,
    OrderReport,
    OrderRequest,
    OrderStatus,
    SendFailed,
    client_order_id,
)
from domain.time import HOUR, MILLISECOND, MINUTE, SECOND
from execution import orders, pairs, state, stops
from execution.effects import FenceOrder, PlaceOrder, QueryOrder
from execution.facts import (
    Fact,
    Role,
)
from execution.fence import proof_of
from execution.journal import JournalError
from execution.ledger import books
from execution.ledger.entries import event_key
from execution.orders import OrderState
from execution.pairs import PairTrade, Situation, Wanted
from execution.ports import Reply, Stream, TransportFailed
from execution.reconcile import differences
from execution.venues.hyperliquid import actions, answers, private, wire
from execution.venues.hyperliquid.gateway import HyperliquidGateway
from execution.venues.hyperliquid.sign import AgentSigner, Nonces
from execution.venues.hyperliquid.stream import Feed
from execution.venues.hyperliquid.venue import Hyperliquid
from strategies.market.state import InstrumentState
from tests.world.campaign import CALM, LOSSY
from tests.world.checker import check
from tests.world.figures import coverage
from tests.world.history import Window, WindowKind
from tests.world.market import Moment
from tests.world.net import HIGHEST_RATES, LATENCY, Fate, StreamFault, Weather
from tests.world.oracle import Choice, Oracle, swarm
from tests.world.shrink import Regression, save, shrink
from tests.world.world import (
    ADL,
    BY_HAND,
    DISK,
    RATES,
    START,
    VENUE,
    WATCHDOG,
    AloneWorld,
    World,
    busy,
)

Mix = Mapping[str, float]
Plant = Callable[[MonkeyPatch], None]


# --- runs -----------------------------------------------------------------------------------

MIXES: Mapping[str, Mix] = {
    "calm": CALM,
    "lossy": LOSSY,
    "late": {Fate.LATE: 0.25, Fate.LOST_AFTER: 0.05, Fate.LOST_BEFORE: 0.1},
    "rough": {
        Fate.LOST_AFTER: 0.08, Fate.LOST_BEFORE: 0.04, Fate.LATE: 0.08, Fate.FAILED_AFTER: 0.05,
        Fate.GARBAGE: 0.03, StreamFault.DROPPED: 0.25, LATENCY: 0.5,
    },
    "erring": {
        Fate.FAILED_AFTER: 0.2, Fate.GARBAGE: 0.1, Fate.TRUNCATED: 0.1, StreamFault.DROPPED: 0.4
    },
    "mute": {StreamFault.DROPPED: 0.7},
    "silent": {StreamFault.DROPPED: 0.97},
    "cut off": {Weather.PARTITION: 0.3, Weather.WRITES_FAIL: 0.2},
    "later": {Fate.LATE: 0.3, Fate.LOST_BEFORE: 0.2},
    "deaf": {
        StreamFault.DROPPED: 0.3, StreamFault.DUPLICATED: 0.2, StreamFault.RESET: 0.01,
        StreamFault.HALF_OPEN: 0.003,
    },
    "deadly": {
        "kill.step": 0.3, "kill.before": 0.01, "kill.after": 0.01, "kill.answer": 0.01,
        "kill.before_commit": 0.01, "kill.after_commit": 0.01, Fate.LOST_AFTER: 0.02,
    },
    "disk": {DISK: 0.01, "kill.step": 0.3},
    "taken": {ADL: 0.3, BY_HAND: 0.3},
}  # fmt: skip
"""The faults of a run by name; ``swarm`` is the seed's own, as in the campaign."""


class Run(msgspec.Struct, frozen=True):
    """One world: what it is made of, and for how many simulated hours its faults last."""

    seed: int
    hours: float = 0.3
    mix: str = "swarm"
    scene: str = "plain"

    @property
    def faults(self) -> Mix:
        return (
            swarm(self.seed, {**HIGHEST_RATES, **RATES}) if self.mix == "swarm" else MIXES[self.mix]
        )


def _plain(run: Run, oracle: Oracle) -> World:
    return World(oracle, run.seed, hours=run.hours)


def _over_the_hour(run: Run, oracle: Oracle) -> World:
    """Funding is paid in the middle of it."""
    start_ns = START + HOUR - int(run.hours / 2 * HOUR)
    return World(oracle, run.seed, hours=run.hours, start_ns=start_ns)


def _rising(run: Run, oracle: Oracle) -> World:
    """Two thirds more within ten minutes: the perps' margin goes, though every pair is neutral."""

    def scenario(_pair: str, seconds: float) -> Moment:
        return Moment(price=1.0 + min(max(seconds - 240.0, 0.0) / 600.0, 1.0) * 0.66)

    return World(oracle, run.seed, hours=run.hours, scenario=scenario)


def _running_dry(run: Run, oracle: Oracle) -> World:
    """For ten seconds of each minute there is next to nobody to trade with."""

    def scenario(_pair: str, seconds: float) -> Moment:
        return Moment(depth=1e-4 if seconds % 60.0 >= 50.0 else 1.0)

    return World(oracle, run.seed, hours=run.hours, scenario=scenario)


def _alone(run: Run, oracle: Oracle) -> World:
    """Perps that stand alone, each with a stop at the venue."""
    return AloneWorld(oracle, run.seed, hours=run.hours)


def _clock_set_back(run: Run, oracle: Oracle) -> World:
    """Every third process lives with the clock eight seconds behind, but none at the end."""

    def on_process(world: World) -> None:
        behind = world.starts % 3 == 2 and world.loop.now_ns < world.end_ns - 3 * MINUTE
        world.clock.offset_ns = -8 * SECOND if behind else 0

    usual = busy()
    settings = replace(
        usual,
        risk=replace(usual.risk, clock_skew_seconds_max=60.0),
        execution=replace(usual.execution, request_expiry_seconds=20.0),
    )
    return World(oracle, run.seed, hours=run.hours, settings=settings, on_process=on_process)


def _taken_over(run: Run, oracle: Oracle) -> World:
    """Every minute the process is stopped for ten seconds, and the watchdog takes the lease."""
    return _Rivalry(oracle, run.seed, hours=run.hours)


class _Rivalry(World):
    """A second actor that does little: an order far from the market, and its cancel."""

    TERM_NS = 20 * SECOND

    def __init__(self, oracle: Oracle, seed: int, *, hours: float) -> None:
        super().__init__(oracle, seed, hours=hours)
        self.loop.at(self.start_ns + MINUTE, self._interrupt)

    def _interrupt(self) -> None:
        now_ns = self.loop.now_ns
        if now_ns + 2 * MINUTE > self.end_ns:
            return
        self.loop.at(now_ns + MINUTE, self._interrupt)
        if self.process is not None:
            self._stop(self.process.owner, 10 * SECOND)
            self.loop.at(now_ns + 6 * SECOND, self._take_over)

    def _take_over(self) -> None:
        now_ns = self.loop.now_ns
        Lease(self.directory / "lease.json", "watchdog", self.TERM_NS).acquire(now_ns)
        self.windows.append(Window(WindowKind.LEASE, now_ns, now_ns + self.TERM_NS))
        order = {
            "a": 10_000, "b": True, "p": "5", "s": "10", "r": False,
            "t": {"limit": {"tif": "Alo"}}, "c": f"0x{now_ns:032x}",
        }  # fmt: skip
        action: dict[str, Any] = {"type": "order", "orders": [order], "grouping": "na"}
        for nonce in (now_ns // MILLISECOND, now_ns // MILLISECOND + 1):
            self.emulator.request("/exchange", WATCHDOG.sign(action, nonce, None), now_ns)
            action = actions.cancel_action(str(order["c"]), 10_000)
        self.net.flush(VENUE)


SCENES: Mapping[str, Callable[[Run, Oracle], World]] = {
    "plain": _plain,
    "hour": _over_the_hour,
    "rising": _rising,
    "dry": _running_dry,
    "clock": _clock_set_back,
    "rival": _taken_over,
    "alone": _alone,
}


# --- judging --------------------------------------------------------------------------------


class Finding(msgspec.Struct, frozen=True, order=True):
    """What is wrong with a run, ``minutes`` (simulated) after its beginning."""

    minutes: float
    by: str
    text: str


class Verdict(msgspec.Struct, frozen=True):
    """``cost`` in processor seconds; ``choices`` are those that were not benign."""

    findings: tuple[Finding, ...]
    cost: float
    choices: list[Choice] = []


class _Stamped(list[str]):
    """The harness's violations, each with the instant at which it was put down."""

    def __init__(self, now: Callable[[], int]) -> None:
        super().__init__()
        self._now = now
        self.times: list[int] = []

    def append(self, text: str) -> None:
        self.times.append(self._now())
        super().append(text)

    def __iadd__(self, texts: Iterable[str]) -> Self:  # type: ignore[misc,override]
        for text in texts:
            self.append(text)
        return self


NEEDED = ("open", "hedge", "close")
"""What a run proves nothing without: that orders of each kind traded, on either leg. A perp alone
has nothing to be hedged with."""


def judged(run: Run, oracle: Oracle | None = None) -> Verdict:
    """Run it, with whatever is planted at the moment."""
    began = time.process_time()
    oracle = oracle or Oracle.seeded(run.seed, run.faults)
    world = SCENES[run.scene](run, oracle)
    world.violations = stamped = _Stamped(lambda: world.loop.now_ns)
    found: list[tuple[int, str, str]] = []
    try:
        world.run()
    except Exception as error:  # noqa: BLE001 - whatever a planted bug leads to was caught
        found.append((world.loop.now_ns, "loop", f"{type(error).__name__}: {error}"))
    history = world.history()
    found += [(v.time_ns, v.invariant, v.text) for v in check(history)]
    found += [(at, "world", text) for at, text in zip(stamped.times, stamped, strict=True)]
    met = coverage(history)
    for kind in NEEDED:
        if (run.scene, kind) != ("alone", "hedge") and not met[f"{kind} spot"] + met[
            f"{kind} perp"
        ]:
            found.append((history.end_ns, "floor", f"no order that {kind}s a pair has traded"))
    try:
        world.close()
    except BaseExceptionGroup as group:
        found += [(history.end_ns, "loop", f"not retrieved: {e!r}") for e in group.exceptions]
    findings = sorted(
        Finding(round((at - world.start_ns) / MINUTE, 1), by, text) for at, by, text in found
    )
    return Verdict(tuple(findings), time.process_time() - began, oracle.taken)


# --- the list -------------------------------------------------------------------------------


class Mutant(msgspec.Struct, frozen=True):
    """``wrong`` is a sentence; ``row`` of the failure catalogue, or of its invariants.

    ``by``: the invariants, or other judges, that must find it: what else a run happens to find
    does not count as caught.
    """

    name: str
    row: str
    by: tuple[str, ...]
    wrong: str
    first: Run
    plant: Plant

    @property
    def runs(self) -> Iterator[Run]:
        """In which it has to be caught: the first does it, until the product changes."""
        seed = self.first.seed
        return (replace(self.first, seed=s) for s in range(seed, seed + SEEDS_MAX))


SEEDS_MAX = 12
MUTANTS: dict[str, Mutant] = {}


def planted(row: str, by: str, wrong: str, first: Run) -> Callable[[Plant], Plant]:
    """Put a patch on the list; ``first`` is the run that catches it."""

    def register(plant: Plant) -> Plant:
        name = plant.__name__
        MUTANTS[name] = Mutant(name, row, tuple(by.split()), wrong, first, plant)
        return plant

    return register


# --- planted: orders, and doubt about them --------------------------------------------------


@planted(
    "E1", "I-2 I-3", "a request without an answer is sent again as a new order", Run(2, mix="lossy")
)
def retried_under_a_new_id(patch: MonkeyPatch) -> None:
    async def place(self: HyperliquidGateway, effect: PlaceOrder, body: bytes) -> None:
        request = effect.request
        try:
            reply = await self._exchange(body)
        except TransportFailed:
            other = PlaceOrder(replace(request, cloid=request.cloid[:-2] + "ff"))
            self._signed(other)
            with suppress(TransportFailed):
                reply = await self._exchange(self._bodies[other.request.cloid].pop())
                for event in answers.order_answer(request, reply, self._clock.now_ns()):
                    self._emit(event)
            return
        for event in answers.order_answer(request, reply, self._clock.now_ns()):
            self._emit(event)

    patch.setattr(HyperliquidGateway, "_place", place)


@planted(
    "E4", "I-2", "a request without an answer is signed again with a new nonce", Run(0, mix="lossy")
)
def retried_under_a_new_nonce(patch: MonkeyPatch) -> None:
    place = HyperliquidGateway._place

    async def twice(self: HyperliquidGateway, effect: PlaceOrder, body: bytes) -> None:
        try:
            await self._exchange(body)
        except TransportFailed:
            self._signed(effect)
            body = self._bodies[effect.request.cloid].pop()
        await place(self, effect, body)

    patch.setattr(HyperliquidGateway, "_place", twice)


@planted(
    "E5",
    "I-2 I-3",
    "a repeated request's duplicate nonce means that it was refused",
    Run(2, mix="rough"),
)
def duplicate_nonce_means_refused(patch: MonkeyPatch) -> None:
    place = HyperliquidGateway._place

    async def repeated(self: HyperliquidGateway, effect: PlaceOrder, body: bytes) -> None:
        with suppress(TransportFailed):
            await self._exchange(body)
        await place(self, effect, body)

    patch.setattr(HyperliquidGateway, "_place", repeated)
    patch.setattr(answers, "ACTION_REFUSALS", (*answers.ACTION_REFUSALS, answers.NONCE_REFUSAL))


def _refused(event: Any, request: OrderRequest, now_ns: int) -> Any:
    """What leaves the outcome unknown, as a refusal."""
    if isinstance(event, SendFailed):
        return OrderRejected(request.cloid, event.reason, now_ns, now_ns)
    return event


def _read_as(patch: MonkeyPatch, rejects: Callable[[Reply], bool]) -> None:
    """Have replies of some kind be read as proof that the order was refused."""
    order_answer = answers.order_answer

    def read(request: OrderRequest, reply: Reply, now_ns: int) -> tuple[Any, ...]:
        events = order_answer(request, reply, now_ns)
        return tuple(_refused(e, request, now_ns) if rejects(reply) else e for e in events)

    patch.setattr(answers, "order_answer", read)


@planted(
    "E3", "I-2 I-3 I-9", "an order whose request timed out has been refused", Run(0, mix="late")
)
def timed_out_means_refused(patch: MonkeyPatch) -> None:
    def failed(self: Engine, event: SendFailed) -> None:
        order = self.state.orders.get(event.cloid)
        if order is not None and order.state is OrderState.PENDING:
            self._on_rejected(_refused(event, order.request, self.now_ns))

    patch.setattr(Engine, "_on_send_failed", failed)


@planted(
    "E2", "I-2 I-3", "an order that was answered by a 5xx has been refused", Run(1, mix="erring")
)
def server_error_means_refused(patch: MonkeyPatch) -> None:
    _read_as(patch, lambda reply: reply.status >= 500)


@planted("E9", "I-2 I-3", "an order whose answer is garbled has been refused", Run(4, mix="erring"))
def garbled_means_refused(patch: MonkeyPatch) -> None:
    _read_as(patch, lambda reply: reply.status == 200)


@planted("E8", "world", "an answer that says ok says that all was filled", Run(0, mix="rough"))
def ok_means_filled(patch: MonkeyPatch) -> None:
    order_answer = answers.order_answer

    def read(request: OrderRequest, reply: Reply, now_ns: int) -> tuple[Any, ...]:
        events = order_answer(request, reply, now_ns)
        if b'"ok"' not in reply.body or reply.status != 200 or b"resting" in reply.body:
            return events
        return (OrderAccepted(request.cloid, request.cloid, now_ns, now_ns, request.quantity),)

    patch.setattr(answers, "order_answer", read)


@planted("E6", "I-2", "two actions of one millisecond have the same nonce", Run(4, mix="calm"))
def nonce_shared(patch: MonkeyPatch) -> None:
    patch.setattr(Nonces, "next", lambda self, now_ms: now_ms)


@planted("E6", "I-2", "a restart begins with the last nonce", Run(7, 0.3, "deadly", "clock"))
def nonce_taken_up_again(patch: MonkeyPatch) -> None:
    """Where the clock has stepped back: else it is ahead of every nonce."""
    at_start = Hyperliquid.gateway

    def earlier(self: Hyperliquid, emit: Any, nonce: int, orders: Any) -> Any:
        return at_start(self, emit, nonce - 1, orders)

    patch.setattr(Hyperliquid, "gateway", earlier)


@planted(
    "I-4",
    "I-2 I-3 I-9",
    "an order that the venue does not know has never been sent",
    Run(2, mix="late"),
)
def never_seen_is_proof(patch: MonkeyPatch) -> None:
    patch.setattr(bot.engine, "proof_of", lambda *_: "the venue does not know it")


@planted(
    "O5", "I-2 I-3", "a query that failed says that there is no such order", Run(4, mix="erring")
)
def failed_query_means_not_found(patch: MonkeyPatch) -> None:
    query = HyperliquidGateway._query_order

    async def asked(self: HyperliquidGateway, effect: QueryOrder) -> None:
        at_ns = self._clock.now_ns()
        try:
            await self._info.order_status(effect.cloid)
        except (TransportFailed, wire.BadMessage):
            now_ns = self._clock.now_ns()
            self._emit(OrderReport(effect.cloid, OrderStatus.NEVER_SEEN, ZERO, at_ns, now_ns))
            return
        await query(self, effect)

    patch.setattr(HyperliquidGateway, "_query_order", asked)


@planted(
    "E5",
    "I-2 I-3",
    "a fence that finds the nonce used says that the order is dead",
    Run(16, mix="rough"),
)
def used_nonce_means_dead(patch: MonkeyPatch) -> None:
    def fenced(self: Engine, event: OrderFenced) -> None:
        order = self.state.orders.get(event.cloid)
        if order is not None and order.state is OrderState.UNKNOWN:
            self._resolve(order, OrderStatus.NEVER_SEEN, order.filled, "its nonce is used")

    patch.setattr(Engine, "_on_fenced", fenced)


@planted(
    "I-2",
    "I-2 I-3 I-9",
    "the fence has a nonce of its own instead of the order's",
    Run(0, mix="late"),
)
def fence_has_a_fresh_nonce(patch: MonkeyPatch) -> None:
    submit = HyperliquidGateway.submit

    def fresh(self: HyperliquidGateway, effects: Sequence[Any]) -> None:
        now_ms = self._clock.now_ns() // MILLISECOND
        submit(
            self,
            [
                FenceOrder(e.cloid, self._nonces.next(now_ms)) if isinstance(e, FenceOrder) else e
                for e in effects
            ],
        )

    patch.setattr(HyperliquidGateway, "submit", fresh)


@planted(
    "E3", "I-2 I-3 I-9", "an order counts as dead before its expiry has passed", Run(2, mix="late")
)
def expired_early(patch: MonkeyPatch) -> None:
    patch.setattr(
        bot.engine, "proof_of", lambda report, request, used, _: proof_of(report, request, used, -4)
    )


@planted("E3", "I-2 I-3 I-9", "an expiry that was never sent is counted on", Run(0, mix="late"))
def expiry_not_sent(patch: MonkeyPatch) -> None:
    """Without the fence, which would make up for it."""
    sign, submit = AgentSigner.sign, HyperliquidGateway.submit

    def unfenced(self: HyperliquidGateway, effects: Sequence[Any]) -> None:
        submit(self, [effect for effect in effects if not isinstance(effect, FenceOrder)])

    patch.setattr(
        AgentSigner, "sign", lambda self, action, nonce, _: sign(self, action, nonce, None)
    )
    patch.setattr(HyperliquidGateway, "submit", unfenced)


@planted("K3", "floor world", "nobody asks what became of the orders in doubt", Run(0, mix="lossy"))
def unknown_is_not_asked_for(patch: MonkeyPatch) -> None:
    patch.setattr(Engine, "_ask", lambda self, order: None)


@planted(
    "E1", "world", "client ids are counted from the start of the process", Run(2, mix="deadly")
)
def ids_begin_again(patch: MonkeyPatch) -> None:
    start, numbers = Engine.start, [count()]

    def starting(self: Engine, run: Any) -> Any:
        numbers[0] = count()
        return start(self, run)

    patch.setattr(Engine, "start", starting)
    patch.setattr(
        bot.engine,
        "client_order_id",
        lambda *parts: client_order_id(*parts[:3], next(numbers[0])),
    )


@planted("E15", "I-3", "an order counts as gone once its cancel has been sent", Run(7, mix="late"))
def cancel_sent_means_gone(patch: MonkeyPatch) -> None:
    patch.setattr(orders, "_TERMINAL", orders._TERMINAL | {OrderState.CANCELING})


@planted("E15", "I-3", "a cancel that was refused says that the order is gone", Run(24, mix="mute"))
def cancel_refused_means_gone(patch: MonkeyPatch) -> None:
    def refused(self: Engine, event: Any) -> None:
        now_ns = self.now_ns
        gone = OrderCanceled(event.cloid, CancelReason.REQUESTED, ZERO, now_ns, now_ns)
        self._on_canceled(gone)

    patch.setattr(Engine, "_on_cancel_rejected", refused)


@planted(
    "I-9", "I-9", "an order in doubt does not keep anything from being entered", Run(8, mix="later")
)
def doubt_does_not_block(patch: MonkeyPatch) -> None:
    situation, gate_context = Engine._situation, bot.planning._gate_context

    def certain(self: Engine, trade: PairTrade) -> Situation | None:
        s = situation(self, trade)
        return replace(s, may_grow=self._may_grow()) if s is not None else None

    def known(*desk: Any) -> Any:
        return replace(gate_context(*desk), unknown_orders=0)

    patch.setattr(Engine, "_situation", certain)
    patch.setattr(bot.planning, "_gate_context", known)


@planted("S1", "I-9", "prices of long ago are as good as new ones", Run(0, 0.6, mix="silent"))
def data_does_not_age(patch: MonkeyPatch) -> None:
    patch.setattr(InstrumentState, "is_fresh", lambda self, _now_ns, _age_ns: self.usable)
    heard = bot.planning._heard
    patch.setattr(bot.planning, "_heard", lambda *legs: tuple(1 << 62 for _ in heard(*legs)))


# --- planted: the stop of a perp alone -------------------------------------------------------


@planted(
    "I-10",
    "I-10",
    "a stop at the venue stays as large as it was",
    Run(1, mix="taken", scene="alone", hours=0.5),
)
def stop_not_resized(patch: MonkeyPatch) -> None:
    def is_as(order: Any, wanted: Wanted) -> bool:
        return bool(order.request.trigger == wanted.trigger)

    patch.setattr(stops, "_is_as", is_as)


@planted(
    "I-10",
    "I-10",
    "a stop at the venue outlives the position that it was for",
    Run(1, mix="calm", scene="alone"),
)
def stop_left_when_flat(patch: MonkeyPatch) -> None:
    step = stops.step

    def kept(pair: Any, trade: PairTrade, perp: Decimal, *rest: Any) -> stops.Guarding:
        return step(pair, trade, perp, *rest) if perp else stops.Guarding(is_right=True)

    patch.setattr(stops, "step", kept)
    patch.setattr(Engine, "_settle", _settled_beside_its_stop)


def _settled_beside_its_stop(self: Engine, trade_id: str) -> None:
    """As it would be if nobody had thought of stops."""
    trade = self.state.trades[trade_id]
    if trade.is_closing:
        self._close(trade)
    else:
        SETTLE(self, trade_id)


SETTLE = Engine._settle


@planted(
    "I-10",
    "I-10",
    "a process that starts again thinks of no stop of what it finds",
    Run(1, mix="deadly", scene="alone", hours=0.5),
)
def stop_forgotten_at_restart(patch: MonkeyPatch) -> None:
    protect = Engine._protect

    def forgetful(self: Engine, trade: PairTrade) -> None:
        if trade.plan.time_ns >= self._started_ns:
            protect(self, trade)

    patch.setattr(Engine, "_protect", forgetful)


# --- planted: fills -------------------------------------------------------------------------


@planted("L1", "world", "a fill that is told twice is booked twice", Run(0, mix="deaf"))
def fills_have_no_identity(patch: MonkeyPatch) -> None:
    numbers = count()

    def key(event: Any) -> tuple[str, str, str]:
        return ("Fill", "", str(next(numbers))) if isinstance(event, Fill) else event_key(event)

    patch.setattr(books, "event_key", key)


@planted(
    "L5", "world", "what a new connection tells of the past is booked as news", Run(0, mix="deaf")
)
def snapshot_is_news(patch: MonkeyPatch) -> None:
    take_fills = HyperliquidGateway._take_fills

    def take(self: HyperliquidGateway, message: wire.UserFills) -> None:
        if message.is_snapshot:
            rows = [replace(row, tid=row.tid + 10**9) for row in message.fills]
            message = replace(message, fills=rows)
        take_fills(self, message)

    patch.setattr(HyperliquidGateway, "_take_fills", take)


@planted("L2", "world I-3", "fills are heard of by the stream alone", Run(0, mix="deaf"))
def history_is_not_asked_for(patch: MonkeyPatch) -> None:
    async def history(*_: Any) -> list[Fill]:
        return []

    patch.setattr(HyperliquidGateway, "_history", history)


@planted(
    "L13",
    "world I-3 I-13",
    "history is asked for from the newest fill on that has been heard of",
    Run(4, mix="deaf"),
)
def history_has_holes(patch: MonkeyPatch) -> None:
    reconcile = Engine._reconcile

    def since_newest(self: Engine) -> None:
        self._clean_ns = self.state.private_ns + MINUTE
        reconcile(self)

    patch.setattr(Engine, "_reconcile", since_newest)


@planted(
    "L3", "world I-3", "a fill whose order is not known yet is a stranger's", Run(0, mix="deaf")
)
def early_fill_is_a_strangers(patch: MonkeyPatch) -> None:
    patch.setattr(HyperliquidGateway, "_take_fill", lambda self, row: self._emit(self._fill(row)))


@planted("L4", "world", "a fill of an order that has ended is not booked", Run(0, mix="rough"))
def late_fill_is_dropped(patch: MonkeyPatch) -> None:
    on_fill = Engine._on_fill

    def deaf(self: Engine, event: Fill) -> None:
        order = self.state.orders.get(event.cloid)
        if order is None or order.state not in orders._TERMINAL:
            on_fill(self, event)

    patch.setattr(Engine, "_on_fill", deaf)


@planted("L9", "world", "a fill that was not ordered here is not booked", Run(0, mix="taken"))
def foreign_fill_is_dropped(patch: MonkeyPatch) -> None:
    on_fill = Engine._on_fill

    def deaf(self: Engine, event: Fill) -> None:
        if event.cause is not FillCause.ORDER or event.cloid in self.state.orders:
            on_fill(self, event)

    patch.setattr(Engine, "_on_fill", deaf)


@planted("M1", "world", "a deleveraging is not booked", Run(0, mix="taken"))
def adl_is_dropped(patch: MonkeyPatch) -> None:
    on_fill = Engine._on_fill

    def deaf(self: Engine, event: Fill) -> None:
        if event.cause is not FillCause.ADL:
            on_fill(self, event)

    patch.setattr(Engine, "_on_fill", deaf)


@planted(
    "G6", "I-3", "what a person sold is not taken from the trade that held it", Run(0, mix="taken")
)
def sale_by_hand_is_nobodys(patch: MonkeyPatch) -> None:
    patch.setattr(state, "_reduces", lambda *_: False)
    patch.setattr(Engine, "_net", lambda *_: False)


@planted("L12", "world", "a fee that is paid in the coin bought is not counted", Run(0, mix="calm"))
def fee_in_coin_is_ignored(patch: MonkeyPatch) -> None:
    fill = private.fill

    def free(*row: Any) -> Fill:
        event = fill(*row)
        paid_in_coin = event.fee.asset != "USDC"
        return replace(event, fee=Money(ZERO, event.fee.asset)) if paid_in_coin else event

    patch.setattr(private, "fill", free)


@planted(
    "L8",
    "world",
    "a difference to the venue is booked away when one read shows it",
    Run(1, mix="rough"),
)
def differences_are_booked_away(patch: MonkeyPatch) -> None:
    compare = Engine._compare

    def adopt(self: Engine, report: AccountReport) -> None:
        if differences(self.state, report):
            self._adopt_opening(report)
        compare(self, report)

    patch.setattr(Engine, "_compare", adopt)


@planted(
    "D13",
    "world I-3",
    "of private news, too, only the latest of a kind is kept",
    Run(1, mix="calm"),
)
def private_news_is_conflated(patch: MonkeyPatch) -> None:
    put = Inbox.put

    def newest(self: Inbox, event: Any) -> None:
        if isinstance(event, Fill):
            kept = [e for e in self._kept if not isinstance(e, Fill)]
            self._kept.clear()
            self._kept.extend(kept)
        put(self, event)

    patch.setattr(Inbox, "put", newest)


# --- planted: two legs ----------------------------------------------------------------------


@planted(
    "T2", "I-2", "the hedge is as large as the order that is partly filled", Run(0, mix="calm")
)
def hedge_follows_what_was_ordered(patch: MonkeyPatch) -> None:
    situation = Engine._situation

    def ordered(self: Engine, trade: PairTrade) -> Situation | None:
        s = situation(self, trade)
        if s is None:
            return None
        spot, perp = s.spot, s.perp
        for order in s.live:
            if order.role is Role.MAKER and order.filled:
                rest = order.request.side.sign * order.remaining
                if order.request.instrument == s.pair.spot.id:
                    spot += rest
                else:
                    perp += rest
        return replace(s, spot=spot, perp=perp)

    patch.setattr(Engine, "_situation", ordered)


@planted("I-4", "I-2", "a hedge in doubt does not hold up the next one", Run(0, mix="rough"))
def hedged_again_in_doubt(patch: MonkeyPatch) -> None:
    def hedging(s: Situation) -> bool:
        return any(o.role is not Role.MAKER and o.state is not OrderState.UNKNOWN for o in s.live)

    patch.setattr(pairs, "_is_hedging", hedging)


@planted(
    "T2", "I-2", "fills owed on one leg do not hold up a hedge on the other", Run(22, 0.3, "rough")
)
def hedged_again_on_the_other_leg(patch: MonkeyPatch) -> None:
    def hedging(s: Situation) -> bool:
        hedge = pairs._hedge(s)
        return hedge is not None and pairs._is_busy(s, hedge.instrument)

    patch.setattr(pairs, "_is_hedging", hedging)


def _taking(patch: MonkeyPatch, change: Callable[[Wanted], Wanted]) -> None:
    """Change every order that takes."""
    take = pairs._take

    def changed(*order: Any, reduce_only: bool) -> Wanted | None:
        wanted = take(*order, reduce_only=reduce_only)
        return change(wanted) if wanted is not None else None

    patch.setattr(pairs, "_take", changed)


@planted("E22", "I-8", "what buys the perp back is not reduce-only", Run(0, mix="calm"))
def close_may_open(patch: MonkeyPatch) -> None:
    _taking(patch, lambda wanted: replace(wanted, reduce_only=False))


@planted("E22", "I-8", "a close is twice as large as what is held", Run(0, mix="calm"))
def close_is_too_large(patch: MonkeyPatch) -> None:
    _taking(patch, lambda w: replace(w, quantity=w.quantity * 2) if w.reduce_only else w)


@planted("I-3", "I-3", "all that is wanted rests as one order", Run(0, mix="calm"))
def slice_has_no_bound(patch: MonkeyPatch) -> None:
    patch.setattr(pairs, "_slice", lambda s, leg, side, remaining, price: remaining)


@planted("T7", "floor I-8", "the leg that leads is traded the wrong way round", Run(0, mix="calm"))
def direction_is_inverted(patch: MonkeyPatch) -> None:
    lead = pairs._lead_order

    def inverted(s: Situation, leg: Instrument, remaining: Decimal) -> Wanted | None:
        wanted = lead(s, leg, remaining)
        return replace(wanted, side=wanted.side.opposite) if wanted is not None else None

    patch.setattr(pairs, "_lead_order", inverted)


@planted("T3", "I-3", "what is still naked past its bound is given up", Run(5, mix="rough"))
def overdue_is_given_up(patch: MonkeyPatch) -> None:
    hedge = pairs._hedge
    patch.setattr(pairs, "_hedge", lambda s: None if pairs._is_overdue(s) else hedge(s))


@planted(
    "T8", "I-3", "what is naked is hedged only while entries are allowed", Run(2, mix="erring")
)
def hedge_waits_like_an_entry(patch: MonkeyPatch) -> None:
    is_naked = pairs._is_naked
    patch.setattr(pairs, "_is_naked", lambda s: s.may_grow and is_naked(s))


@planted("T9", "I-2 I-3", "dust that a trade leaves behind is forgotten", Run(0, 0.5, "calm"))
def dust_adds_up(patch: MonkeyPatch) -> None:
    patch.setattr(Engine, "_adopt_residual", lambda self, trade: None)


# --- planted: streams -----------------------------------------------------------------------


@planted("D4", "floor world", "a new connection is not subscribed to anything", Run(0, mix="deaf"))
def not_subscribed_again(patch: MonkeyPatch) -> None:
    converse, spoken = Feed._converse, set[int]()

    async def once(self: Feed, stream: Stream) -> None:
        if id(self) in spoken:
            patch.setattr(self, "_subscriptions", [])
        spoken.add(id(self))
        await converse(self, stream)

    patch.setattr(Feed, "_converse", once)


@planted("D1", "world floor", "a connection that has gone silent counts as alive", Run(11))
def silence_is_not_noticed(patch: MonkeyPatch) -> None:
    made = Feed.__init__

    def patient(self: Feed, *arguments: Any) -> None:
        made(self, *arguments)
        self._timing = replace(self._timing, silence=1e6, acknowledgement=1e6)

    patch.setattr(Feed, "__init__", patient)


# --- planted: funding and margin ------------------------------------------------------------


@planted("F5", "world", "funding that is told again is booked again", Run(0, 0.3, "calm", "hour"))
def funding_has_no_identity(patch: MonkeyPatch) -> None:
    paid = private.funding_payment

    def unique(*row: Any) -> FundingPayment:
        event = paid(*row)
        return replace(event, payment_id=f"{event.payment_id} {event.received_ns}")

    patch.setattr(private, "funding_payment", unique)


@planted("F1", "world", "an hour is paid what eight hours are due", Run(0, 0.3, "calm", "hour"))
def funding_of_eight_hours(patch: MonkeyPatch) -> None:
    paid = private.funding_payment

    def eightfold(*row: Any) -> FundingPayment:
        event = paid(*row)
        payment = Money(event.payment.amount * 8, event.payment.asset)
        return replace(event, payment=payment)

    patch.setattr(private, "funding_payment", eightfold)


@planted(
    "M3", "I-7", "nobody looks at the margin while the price rises", Run(2, 0.3, "calm", "rising")
)
def margin_is_not_guarded(patch: MonkeyPatch) -> None:
    patch.setattr(Engine, "_guard_margin", lambda self, pair: None)
    patch.setattr(Engine, "_is_endangered", lambda self, pair: False)


# --- planted: process, journal, alarms ------------------------------------------------------


@planted(
    "I-1",
    "I-2",
    "what was decided is written down a moment after it was sent",
    Run(2, mix="deadly"),
)
def written_after_sending(patch: MonkeyPatch) -> None:
    append = Trader._append

    def later(self: Trader, facts: Sequence[Fact]) -> None:
        asyncio.get_running_loop().call_later(0.2, append, self, facts)

    patch.setattr(Trader, "_append", later)


@planted(
    "I-1", "world I-2", "what could not be written down is sent all the same", Run(1, mix="disk")
)
def failed_commit_is_ignored(patch: MonkeyPatch) -> None:
    append = Trader._append

    def careless(self: Trader, facts: Sequence[Fact]) -> None:
        with suppress(JournalError):
            append(self, facts)

    patch.setattr(Trader, "_append", careless)


@planted(
    "K6", "I-3", "after a restart nobody works the trades that were open", Run(2, mix="deadly")
)
def open_trades_are_not_resumed(patch: MonkeyPatch) -> None:
    start = Engine.start

    def idle(self: Engine, run: Any) -> Any:
        outcome = start(self, run)
        self._working.clear()
        return outcome

    patch.setattr(Engine, "start", idle)


@planted(
    "I-11",
    "I-11",
    "a process that has lost its lease goes on sending",
    Run(0, 0.3, "calm", "rival"),
)
def lease_is_not_asked(patch: MonkeyPatch) -> None:
    renew = Lease.renew

    def deaf(self: Lease, now_ns: int, not_ours: Mapping[str, str] | None = None) -> None:
        with suppress(LeaseLost):
            renew(self, now_ns, not_ours)

    patch.setattr(Lease, "renew", deaf)
    patch.setattr(Lease, "holds", lambda self, now_ns: True)


@planted("Z3", "I-3 world", "the death of a task is not noticed", Run(5, mix="disk"))
def dead_task_is_ignored(patch: MonkeyPatch) -> None:
    async def unsupervised(tasks: Mapping[str, Any], _: Any) -> None:
        await asyncio.gather(*tasks.values(), return_exceptions=True)

    patch.setattr(bot.live, "supervise", unsupervised)


@planted("I-13", "I-13", "no alarm is raised", Run(1, mix="cut off"))
def alarms_are_swallowed(patch: MonkeyPatch) -> None:
    patch.setattr(World, "alarm", lambda self, alarm: None)


@planted("I-13", "I-13", "a person hears of a naked leg after a minute", Run(0, 0.3, "calm", "dry"))
def naked_is_told_late(patch: MonkeyPatch) -> None:
    patch.setattr(bot.engine, "_ALARM_SECONDS", 60.0)


@planted(
    "Z2", "floor", "the books never count as compared, and nothing is entered", Run(0, mix="calm")
)
def nothing_is_ever_entered(patch: MonkeyPatch) -> None:
    patch.setattr(Engine, "_books_agree", lambda self: False)


# --- the tester tested ----------------------------------------------------------------------


class Caught(msgspec.Struct, frozen=True):
    """What became of one mutant: the runs tried, of which the last caught it where one did."""

    name: str
    row: str
    wrong: str
    runs: tuple[Run, ...]
    findings: tuple[Finding, ...]
    cost: float

    def __str__(self) -> str:
        last = self.runs[-1]
        where = f"{last.mix}/{last.scene} seed {last.seed}, {self.cost:.1f} s"
        head = f"{self.row}: {self.wrong}\n    {self.name}: {where}"
        if not self.findings:
            return f"{head}: SURVIVED {len(self.runs)} runs"
        first = self.findings[0]
        return f"{head}, after {first.minutes:g} min\n    {first.by} {first.text}"


def hunt(name: str) -> Caught:
    """Try a mutant's runs until one catches it."""
    mutant, tried, cost = MUTANTS[name], list[Run](), 0.0
    for run in mutant.runs:
        verdict = with_planted(mutant, run)
        tried.append(run)
        cost += verdict.cost
        if found := tuple(f for f in verdict.findings if f.by in mutant.by):
            return Caught(name, mutant.row, mutant.wrong, tuple(tried), found, cost)
    return Caught(name, mutant.row, mutant.wrong, tuple(tried), (), cost)


def with_planted(mutant: Mutant, run: Run, oracle: Oracle | None = None) -> Verdict:
    with MonkeyPatch.context() as patch:
        mutant.plant(patch)
        return judged(run, oracle)


# --- kept as fixtures -----------------------------------------------------------------------

REGRESSIONS = Path(__file__).parent / "regressions"
"""One file for each mutant that was shrunk, under its name."""
_FIXTURE_HOURS = 0.1
_SHRINK_RUNS = 400


def regression_run(mutant: Mutant, seed: int) -> Run:
    """A short one, of a mutant's own kind: in it the choices of its fixture are made again."""
    return replace(mutant.first, seed=seed, hours=_FIXTURE_HOURS)


def shrunk(name: str) -> Regression:
    """The first seed whose short run catches a mutant, cut down to the choices that matter.

    Raises:
        StopIteration: where no seed's short run does.
    """
    mutant = MUTANTS[name]
    verdicts = (
        (run, with_planted(mutant, run))
        for run in (regression_run(mutant, seed) for seed in range(50))
    )
    run, verdict = next((r, v) for r, v in verdicts if any(f.by in mutant.by for f in v.findings))
    by = next(f.by for f in verdict.findings if f.by in mutant.by)

    def caught(choices: Sequence[Choice]) -> list[Finding]:
        findings = with_planted(mutant, run, Oracle.replay(choices)).findings
        return [f for f in findings if f.by == by]

    choices = shrink(verdict.choices, lambda choices: bool(caught(choices)), _SHRINK_RUNS)
    first = caught(choices)[0]
    return Regression(run.seed, f"{first.by} {first.text}", mutant.wrong, choices)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--only", choices=sorted(MUTANTS), help="plant this one alone")
    parser.add_argument("--shrink", choices=sorted(MUTANTS), help="keep this one as a fixture")
    parser.add_argument("--jobs", type=int, default=cpu_count() or 1)
    parser.add_argument("--json", type=Path, help="the table, for a program")
    asked = parser.parse_args()
    if asked.shrink:
        save(REGRESSIONS / f"{asked.shrink}.json", shrunk(asked.shrink))
        return 0
    names = [asked.only] if asked.only else list(MUTANTS)
    caught: list[Caught] = []
    dirty: list[str] = []
    with get_context("spawn").Pool(asked.jobs) as pool:
        for one in pool.imap(hunt, names):
            caught.append(one)
            sys.stdout.write(f"{one}\n")
        runs = list(dict.fromkeys(run for one in caught for run in one.runs))
        for run, verdict in zip(runs, pool.imap(judged, runs), strict=True):
            dirty += [f"without any, {run}: {finding}" for finding in verdict.findings]
    survived = sum(not one.findings for one in caught)
    sys.stdout.write("".join(f"{line}\n" for line in dirty))
    sys.stdout.write(
        f"{len(caught)} planted, {survived} survived; the product without them over the same"
        f" {len(runs)} runs: {len(dirty)} findings\n"
    )
    if asked.json is not None:
        asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(caught), indent=2))
    return 1 if survived or dirty else 0


if __name__ == "__main__":
    sys.exit(main())
