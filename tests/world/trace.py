"""One pass over a history: what each order met, what each fill changed, who was naked when.

A pair holds its spot long and its perp short, or as ``Bounds.legs`` says. Its net delta is, since
the opening and in base units: spot bought less spot sold less fees taken in base, plus the perp's
signed change. Deposits are no trade and do not count. Of a pair whose spot is not traded the delta
is none: its perp is meant to be there without one.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from decimal import Decimal
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from domain.instruments import Instrument, Kind, Pair
from domain.money import ZERO
from domain.orders import Fill, FillCause, Side
from domain.time import SECOND
from tests.world.history import Bounds, History, Lost, Mark, Received, SentOrder, Window, WindowKind

HELPLESS = (WindowKind.VENUE_DOWN, WindowKind.WRITES_DOWN, WindowKind.DEAD)
BLIND = (WindowKind.DOUBT, WindowKind.FAULTY)
TROUBLE = (*HELPLESS, *BLIND, WindowKind.STOPPED)


_OUTAGE_NS = 600 * SECOND
"""How long the longest outage is of which a check here takes account."""


class Times:
    """A set of instants, as the union of windows (each from its start until before its end)."""

    def __init__(self, windows: Iterable[Window], *kinds: WindowKind, longer_ns: int = 0) -> None:
        self._spans: list[tuple[int, int]] = []
        chosen = ((w.start_ns, w.end_ns + longer_ns) for w in windows if w.kind in kinds)
        for start, end in sorted(chosen):
            if self._spans and start <= self._spans[-1][1]:
                first, last = self._spans[-1]
                self._spans[-1] = (first, max(last, end))
            else:
                self._spans.append((start, end))
        self._ends = [end for _, end in self._spans]

    def _from(self, time_ns: int) -> Iterator[tuple[int, int]]:
        """The spans that end after ``time_ns``, in order."""
        for index in range(bisect_right(self._ends, time_ns), len(self._spans)):
            yield self._spans[index]

    def covered(self, start_ns: int, end_ns: int) -> int:
        """How much of ``start_ns`` to ``end_ns`` belongs to the set."""
        total = 0
        for first, last in self._from(start_ns):
            if first >= end_ns:
                break
            total += min(last, end_ns) - max(first, start_ns)
        return total

    def touches(self, start_ns: int, end_ns: int) -> bool:
        """Whether any instant from ``start_ns`` to ``end_ns``, both included, belongs to it."""
        return any(first <= end_ns for first, _ in islice(self._from(start_ns), 1))

    def ends(self, start_ns: int, end_ns: int) -> list[int]:
        """The instants between these two, both excluded, at which a window ends."""
        within = slice(bisect_right(self._ends, start_ns), bisect_left(self._ends, end_ns))
        return self._ends[within]

    def since(self, time_ns: int) -> int:
        """When the window that ``time_ns`` is in began; ``time_ns`` itself where it is in none."""
        return min([time_ns, *(first for first, _ in islice(self._from(time_ns), 1))])

    def outside_after(self, start_ns: int, duration_ns: int) -> int:
        """When ``duration_ns`` will have passed outside the set, counted from ``start_ns``."""
        now = start_ns
        for first, last in self._from(start_ns):
            if first - now > duration_ns:
                break
            duration_ns -= max(0, first - now)
            now = last
        return now + duration_ns


def helpless_times(history: History) -> Times:
    """When nothing could be sent, or nobody was there to send it."""
    return Times(history.windows, *HELPLESS)


def degraded_times(history: History) -> Times:
    """When something was wrong, or had been until just now."""
    longer_ns = history.bounds.t_hedge_degraded_ns
    return Times(history.windows, *TROUBLE, longer_ns=longer_ns)


class Role(StrEnum):
    """What an order does to its pair, as the pair stands when it arrives."""

    HEDGE = "hedge"  # against a naked delta
    OPEN = "open"
    CLOSE = "close"


class Exposure(msgspec.Struct, frozen=True):
    """One pair's legs in base units: ``spot`` since the opening, ``perp`` the signed position.

    ``foreign`` is the part of ``delta`` that liquidation, ADL or a manual trade brought
    and that nothing has made up for since. ``price`` is the last known (quote/base).
    """

    perp: Decimal
    spot: Decimal = ZERO
    delta: Decimal = ZERO
    foreign: Decimal = ZERO
    price: Decimal = ZERO


class Placed(NamedTuple):
    """One order as it reached the venue.

    ``again``: its nonce had been received before, so that this is a copy. ``position``: the
    pair's perp (signed base units). ``held_lately``: for a perp order, the largest position
    within ``fresh_ns`` that it would have reduced (base units, positive).
    """

    received: Received
    order: SentOrder
    pair: Pair
    kind: Kind
    role: Role
    accepted: bool
    again: bool
    position: Decimal
    held_lately: Decimal


class Move(NamedTuple):
    """One fill, and its pair before and after it."""

    fill: Fill
    pair: Pair
    kind: Kind
    before: Exposure
    after: Exposure

    @property
    def ours(self) -> bool:
        return is_ours(self.fill)

    @property
    def leads(self) -> bool:
        """Whether it left the pair farther from neutral."""
        return abs(self.after.delta) > abs(self.before.delta)


class Span(msgspec.Struct, frozen=True):
    """A time for which a pair's delta could have been traded and was not.

    ``attempts_ns`` are the arrivals of new hedging orders in it, or their departures where the
    road lost them; ``foreign_ns`` the arrivals of fills that we did not order. ``peak`` is the
    largest delta in base units, ``price`` the one at it.
    """

    pair: Pair
    start_ns: int
    end_ns: int
    peak: Decimal
    price: Decimal
    attempts_ns: tuple[int, ...] = ()
    foreign_ns: tuple[int, ...] = ()


class Trace(NamedTuple):
    """All that the checks look at besides the history itself, each in the venue's order."""

    history: History
    placed: tuple[Placed, ...]
    moves: tuple[Move, ...]
    spans: tuple[Span, ...]
    exposures: dict[str, Exposure]


def is_ours(fill: Fill) -> bool:
    return fill.cloid is not None and fill.cause is FillCause.ORDER


def tradable(pair: Pair, delta: Decimal, price: Decimal, bounds: Bounds) -> Decimal:
    """What of ``delta`` both legs' lots and minimums let trade, beyond doubt about the price.

    Positive base units; zero where it is dust.
    """
    quantity = pair.floor_quantity(abs(delta))
    minimum = max(pair.spot.minimum_notional, pair.perp.minimum_notional)
    return quantity if quantity * price * (1 - bounds.price_allowance) >= minimum else ZERO


def trace_of(history: History) -> Trace:
    fold = _Fold(history)
    for record in history.records:
        if isinstance(record, Received):
            fold.received(record)
        elif isinstance(record, Fill):
            fold.filled(record)
        elif isinstance(record, Mark):
            fold.marked(record)
        elif isinstance(record, Lost):
            fold.lost(record)
    return fold.trace()


class _Fold:
    def __init__(self, history: History) -> None:
        self._history = history
        self._bounds = history.bounds
        self._helpless = helpless_times(history)
        self._legs: dict[str, tuple[Pair, Instrument]] = {}
        self._now: dict[str, Exposure] = {}
        self._held: dict[str, deque[tuple[int, Decimal]]] = {}
        for pair in history.bounds.pairs:
            self._legs |= {leg.id: (pair, leg) for leg in (pair.spot, pair.perp)}
            position = history.opening.position(pair.perp.id)
            self._now[pair.name] = Exposure(ZERO if position is None else position.quantity)
            self._held[pair.name] = deque()
        self._ours = {history.bounds.trader, history.bounds.watchdog}
        self._nonces: set[tuple[str, int]] = set()
        self._placed: list[Placed] = []
        self._moves: list[Move] = []
        self._naked: dict[str, Span] = {}
        self._over: list[Span] = []

    def received(self, action: Received) -> None:
        if action.signer not in self._ours or not action.orders:
            return
        again = (action.signer, action.nonce) in self._nonces
        self._nonces.add((action.signer, action.nonce))
        for order, taken in zip(action.orders, action.taken, strict=True):
            if order.instrument not in self._legs:
                continue
            pair, leg = self._legs[order.instrument]
            role = self._role(pair, leg, order)
            perp = leg.kind is Kind.PERP
            held = self._held_lately(pair, order.side, action.time_ns) if perp else ZERO
            position = self._now[pair.name].perp
            placed = Placed(action, order, pair, leg.kind, role, taken, again, position, held)
            self._placed.append(placed)
            if role is Role.HEDGE and not again:
                self._attempted(pair, action.time_ns)

    def lost(self, lost: Lost) -> None:
        if lost.instrument in self._legs:
            pair, _ = self._legs[lost.instrument]
            if pair.name in self._naked and lost.side.sign * self._now[pair.name].delta < 0:
                self._attempted(pair, lost.time_ns)

    def _attempted(self, pair: Pair, time_ns: int) -> None:
        span = self._naked[pair.name]
        self._naked[pair.name] = replace(span, attempts_ns=(*span.attempts_ns, time_ns))

    def _role(self, pair: Pair, leg: Instrument, order: SentOrder) -> Role:
        delta = order.side.sign * self._now[pair.name].delta
        if pair.name in self._naked and delta < 0:
            return Role.HEDGE
        opening = self._bounds.legs_of(pair).opens(leg.kind)
        grows = order.side is opening and not order.reduce_only
        # What makes the legs equal adds nothing, though at another price it may be dust.
        return Role.OPEN if grows and order.quantity > -delta else Role.CLOSE

    def _held_lately(self, pair: Pair, side: Side, now_ns: int) -> Decimal:
        """Within what it may know at the oldest: while nothing is answered, that grows older."""
        held, fresh_ns = self._held[pair.name], self._bounds.fresh_ns
        while held and held[0][0] < now_ns - fresh_ns - _OUTAGE_NS:
            held.popleft()
        since_ns = now_ns - fresh_ns - self._helpless.covered(now_ns - _OUTAGE_NS, now_ns)
        lately = (position for time_ns, position in held if time_ns >= since_ns)
        positions = (self._now[pair.name].perp, *lately)
        return max(ZERO, *(-side.sign * position for position in positions))

    def filled(self, fill: Fill) -> None:
        if fill.instrument not in self._legs:
            return
        pair, leg = self._legs[fill.instrument]
        before = self._now[pair.name]
        after = _after(before, fill, leg)
        if not self._bounds.legs_of(pair).trades_spot:
            after = replace(after, delta=ZERO, foreign=ZERO)
        self._now[pair.name] = after
        if after.perp != before.perp:
            self._held[pair.name].append((fill.venue_time_ns, before.perp))
        self._moves.append(Move(fill, pair, leg.kind, before, after))
        self._watch(pair, fill.venue_time_ns)
        span = self._naked.get(pair.name)
        if span is not None and not is_ours(fill):
            foreign = (*span.foreign_ns, fill.venue_time_ns)
            self._naked[pair.name] = replace(span, foreign_ns=foreign)

    def marked(self, mark: Mark) -> None:
        if mark.instrument in self._legs:
            pair, _ = self._legs[mark.instrument]
            self._now[pair.name] = replace(self._now[pair.name], price=mark.price)
            self._watch(pair, mark.time_ns)

    def _watch(self, pair: Pair, now_ns: int) -> None:
        """Open, keep or end the span of ``pair``."""
        now = self._now[pair.name]
        naked = tradable(pair, now.delta, now.price, self._bounds)
        span = self._naked.get(pair.name)
        if naked and span is None:
            self._naked[pair.name] = Span(pair, now_ns, now_ns, naked, now.price)
        elif naked and span is not None and naked > span.peak:
            self._naked[pair.name] = replace(span, peak=naked, price=now.price)
        elif not naked and span is not None:
            self._over.append(replace(self._naked.pop(pair.name), end_ns=now_ns))

    def trace(self) -> Trace:
        lasting = (replace(span, end_ns=self._history.end_ns) for span in self._naked.values())
        spans = sorted((*self._over, *lasting), key=lambda span: span.start_ns)
        placed, moves = tuple(self._placed), tuple(self._moves)
        return Trace(self._history, placed, moves, tuple(spans), self._now)


def _after(before: Exposure, fill: Fill, leg: Instrument) -> Exposure:
    change = fill.side.sign * fill.quantity
    if fill.fee.asset == leg.base:
        change -= fill.fee.amount
    spot = before.spot + (change if leg.kind is Kind.SPOT else ZERO)
    perp = before.perp + (change if leg.kind is Kind.PERP else ZERO)
    delta = before.delta + change
    foreign = before.foreign + (ZERO if is_ours(fill) else change)
    # What others caused is the last to be made up for, and never more than there is.
    foreign = min(max(foreign, min(delta, ZERO)), max(delta, ZERO))
    return Exposure(perp, spot, delta, foreign, fill.price)
