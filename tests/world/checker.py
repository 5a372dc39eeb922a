"""A second opinion on a run, from the venue's log and the alarms alone.

Each check is one invariant and reports every violation that the history proves; what only the
bot's own record could show is not judged here. ``check`` runs them all. ``coverage`` tells
whether anything happened, and the figures below it how long pairs stood naked.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import compress, pairwise

import msgspec

from domain.account import AccountReport, Cashflow, FundingPayment
from domain.instruments import Kind, Pair
from domain.money import ZERO
from domain.orders import Fill, FillCause, TimeInForce
from domain.time import MILLISECOND, MINUTE, SECOND, iso
from tests.world.history import (
    NOOP,
    OK,
    History,
    Lost,
    Mark,
    Received,
    SentOrder,
    Standing,
    WindowKind,
    time_of,
)
from tests.world.trace import (
    BLIND,
    HELPLESS,
    Placed,
    Role,
    Span,
    Times,
    Trace,
    degraded_times,
    helpless_times,
    trace_of,
    tradable,
)

CENT = Decimal("0.01")


class Violation(msgspec.Struct, frozen=True):
    """``invariant`` as in docs: "I-3"; "live" for what must come about once faults have ended."""

    time_ns: int
    invariant: str
    text: str

    def __str__(self) -> str:
        return f"{iso(self.time_ns)} {self.invariant} {self.text}"


Check = Callable[[Trace], Iterator[Violation]]


def check(history: History) -> tuple[Violation, ...]:
    """Every violation in the order of time; empty when the history proves none."""
    trace = trace_of(history)
    found = [violation for judge in CHECKS for violation in judge(trace)]
    return tuple(sorted(found, key=lambda violation: violation.time_ns))


def _actions(history: History) -> Iterator[Received]:
    """What our own keys signed."""
    ours = {history.bounds.trader, history.bounds.watchdog}
    return (r for r in history.records if isinstance(r, Received) and r.signer in ours)


# --- I-2: one intent, at most one order ----------------------------------------------------


def an_id_and_a_nonce_are_taken_once(trace: Trace) -> Iterator[Violation]:
    """No client id and no nonce of a signer is accepted twice, whatever the venue would allow."""
    cloids: set[str] = set()
    nonces: set[tuple[str, int]] = set()
    for action in _actions(trace.history):
        if action.outcome != OK:
            continue
        if (action.signer, action.nonce) in nonces:
            text = f"nonce {action.nonce} of {action.signer} was accepted twice ({action.action})"
            yield Violation(action.time_ns, "I-2", text)
        nonces.add((action.signer, action.nonce))
        for order in compress(action.orders, action.taken):
            if order.cloid in cloids:
                text = f"order {order.cloid} of {order.quantity} was accepted twice"
                yield Violation(action.time_ns, "I-2", text)
            if order.cloid is not None:
                cloids.add(order.cloid)


def what_is_signed_stays_as_it_is(trace: Trace) -> Iterator[Violation]:
    """A nonce has one body, a client id one nonce: a retry sends the same bytes again.

    The fence is the exception: a noop with the order's nonce.
    """
    bodies: dict[tuple[str, int], str] = {}
    carriers: dict[str, tuple[str, int]] = {}
    for action in _actions(trace.history):
        key = action.signer, action.nonce
        if action.action != NOOP and bodies.setdefault(key, action.digest) != action.digest:
            text = f"nonce {action.nonce} has two bodies: {bodies[key]} and {action.digest}"
            yield Violation(action.time_ns, "I-2", text)
        for order in action.orders:
            if order.cloid is not None and carriers.setdefault(order.cloid, key) != key:
                before = carriers[order.cloid][1]
                text = f"order {order.cloid} was signed with nonce {before} and {action.nonce}"
                yield Violation(action.time_ns, "I-2", text)


def positions_stay_within_their_limit(trace: Trace) -> Iterator[Violation]:
    """An order that leads takes no leg beyond the pair's limit and one slice.

    Hedges are not judged: they follow what is there. A leg that a price has carried over the
    limit is judged only when it is added to.
    """
    bounds = trace.history.bounds
    for move in trace.moves:
        legs = bounds.legs_of(move.pair)
        of_spot = move.kind is Kind.SPOT
        before, after = (
            legs.along(move.kind, each.spot if of_spot else each.perp)
            for each in (move.before, move.after)
        )
        limit = bounds.position_notional_max[move.pair.name] + bounds.slice_notional
        limit *= 1 + bounds.price_allowance
        notional = after * move.after.price
        leads = move.leads or not legs.trades_spot
        if move.ours and leads and after > before and notional > limit:
            text = (
                f"{move.pair.name}: {move.kind} leg of {after} worth {notional:.2f} by order"
                f" {move.fill.cloid}, limit and a slice {limit:.2f}"
            )
            yield Violation(move.fill.venue_time_ns, "I-2", text)


def no_hedge_is_done_twice(trace: Trace) -> Iterator[Violation]:
    """What an IOC order buys of spot, or sells of perp, closes a gap and never opens one.

    Opens lead with orders that rest, so a taker that grows the pair is a hedge; one that
    leaves the pair naked its own way did what another had done. Soon after a liquidation, ADL
    or manual trade it may merely have met what it could not know.
    """
    bounds = trace.history.bounds
    takers = {
        placed.order.cloid
        for placed in trace.placed
        if placed.order.time_in_force is TimeInForce.IOC
        and placed.order.side is bounds.legs_of(placed.pair).opens(placed.kind)
        and not placed.order.reduce_only
    }
    surprised: dict[str, int] = {}
    reported: set[str | None] = set()
    for move in trace.moves:
        fill, after = move.fill, move.after
        if not move.ours:
            surprised[move.pair.name] = fill.venue_time_ns + bounds.t_forced_ns
        if fill.cloid not in takers or fill.cloid in reported:
            continue
        excess = tradable(move.pair, after.delta, after.price, bounds)
        known = fill.venue_time_ns >= surprised.get(move.pair.name, 0)
        if excess and known and fill.side.sign * after.delta > 0:
            reported.add(fill.cloid)
            text = (
                f"{move.pair.name}: IOC {fill.side} {fill.cloid} of {fill.quantity} left"
                f" {after.delta} naked its own way ({excess * after.price:.2f}): hedged twice"
            )
            yield Violation(fill.venue_time_ns, "I-2", text)


# --- I-3: exposure bounded in size and time ------------------------------------------------


def own_orders_leave_at_most_a_slice(trace: Trace) -> Iterator[Violation]:
    """What our own orders leave naked is at most a slice; once for each time it is exceeded."""
    bounds = trace.history.bounds
    limit = bounds.slice_notional * (1 + bounds.price_allowance)
    beyond: set[str] = set()
    for move in trace.moves:
        own = abs(move.after.delta - move.after.foreign)
        notional = own * move.after.price
        if notional <= limit:
            beyond.discard(move.pair.name)
        elif move.ours and move.leads and move.pair.name not in beyond:
            beyond.add(move.pair.name)
            text = f"{move.pair.name}: own orders left {own} naked ({notional:.2f}), slice {limit}"
            yield Violation(move.fill.venue_time_ns, "I-3", text)


def what_is_naked_is_hedged_in_time(trace: Trace) -> Iterator[Violation]:
    """A pair is naked no longer than its bound without a new hedging order reaching the venue.

    The clock runs from the fill, from the last attempt, from the venue's record of what we did
    not order, or from a new start of the process (I-12 gives each the same time to recover). It
    stands still while nothing could be sent.
    """
    bounds = trace.history.bounds
    dead = Times(trace.history.windows, WindowKind.DEAD)
    helpless, degraded = helpless_times(trace.history), degraded_times(trace.history)
    for span in trace.spans:
        lives = dead.ends(span.start_ns, span.end_ns)
        starts = sorted({span.start_ns, *span.attempts_ns, *span.foreign_ns, *lives})
        for start, end in pairwise([*starts, span.end_ns]):
            foreign = start in span.foreign_ns
            limit = bounds.t_forced_ns if foreign else bounds.t_hedge_healthy_ns
            if degraded.touches(start, min(end, start + limit)):
                limit = bounds.t_hedge_degraded_ns
            counted = end - start - helpless.covered(start, end)
            if counted > limit:
                text = (
                    f"{_naked(span)}, for {counted / SECOND:.1f} s from {iso(start)} without a"
                    f" hedging order, bound {limit / SECOND:.0f} s"
                )
                yield Violation(helpless.outside_after(start, limit), "I-3", text)


def a_naked_pair_raises_an_alarm(trace: Trace) -> Iterator[Violation]:
    """I-13: naked longer than ``t_alarm`` while the process runs, it says so within as long again.

    Where what the venue tells may be lost, both count from when it must know: ``fresh_ns`` later.
    Any alarm counts, since it calls a person, and so does one that was raised earlier in the
    outage during which the pair became naked: it has not been called off. Neither has that of a
    start which takes long, for the minute after which it is raised again.
    """
    history, bounds = trace.history, trace.history.bounds
    outage, blind = Times(history.windows, *HELPLESS), Times(history.windows, *BLIND)
    absent = Times(history.windows, WindowKind.DEAD, WindowKind.STOPPED)
    alarms = [alarm.time_ns for alarm in history.alarms]
    starts = [alarm.time_ns for alarm in history.alarms if alarm.name == "start_delayed"]
    for span in trace.spans:
        told = [at_ns for at_ns in starts if 0 <= span.start_ns - at_ns < MINUTE]
        if told and not absent.touches(told[-1], span.start_ns):
            continue
        sees = not blind.touches(span.start_ns, span.start_ns + bounds.t_alarm_ns)
        limit = bounds.t_alarm_ns + (0 if sees else bounds.fresh_ns)
        lived = span.end_ns - span.start_ns - absent.covered(span.start_ns, span.end_ns)
        deadline = absent.outside_after(span.start_ns, limit + bounds.t_alarm_ns)
        if lived <= limit or deadline > history.end_ns:
            continue
        first = bisect_left(alarms, outage.since(span.start_ns))
        if first == len(alarms) or alarms[first] > deadline:
            text = (
                f"{_naked(span)}, for {lived / SECOND:.1f} s since {iso(span.start_ns)}: no alarm"
            )
            yield Violation(deadline, "I-13", text)


def _naked(span: Span) -> str:
    notional = span.peak * span.price
    return f"{span.pair.name}: naked {span.peak} ({notional:.2f} {span.pair.spot.quote})"


# --- I-6: the log explains the account -----------------------------------------------------


def every_fill_belongs_to_an_order(trace: Trace) -> Iterator[Violation]:
    """No fill of ours without its order before it, none beyond the order, none outside the pairs.

    Where this fails the log has holes, and the other checks are worth no more than it.
    """
    history = trace.history
    orders: dict[str, SentOrder] = {}
    left: dict[str, Decimal] = defaultdict(Decimal)
    known = {leg.id for pair in history.bounds.pairs for leg in (pair.spot, pair.perp)}
    now_ns = 0
    for record in history.records:
        time_ns = time_of(record)
        if time_ns < now_ns:
            yield Violation(time_ns, "I-6", f"the log runs backwards from {iso(now_ns)}")
        now_ns = time_ns
        if isinstance(record, Received):
            for order in compress(record.orders, record.taken):
                if order.cloid is not None:
                    orders[order.cloid] = order
                    left[order.cloid] += order.quantity
        if not isinstance(record, Fill):
            continue
        fill = f"fill {record.fill_id}, {record.side} {record.quantity} {record.instrument}"
        if record.instrument not in known:
            yield Violation(time_ns, "I-6", f"{fill}: a leg of no pair")
        if record.cloid is None or record.cloid in history.opening.open_orders:
            continue
        left[record.cloid] -= record.quantity
        owner = orders.get(record.cloid)
        if owner is None or (owner.side, owner.instrument) != (record.side, record.instrument):
            yield Violation(time_ns, "I-6", f"{fill}: not of order {record.cloid}")
        elif left[record.cloid] < 0:
            excess = -left[record.cloid]
            yield Violation(time_ns, "I-6", f"{fill}: {excess} more than order {record.cloid}")


def the_log_explains_the_account(trace: Trace) -> Iterator[Violation]:
    """Opening plus log is the final account: positions and coins exactly, money to the cent."""
    history = trace.history
    final = history.final
    for pair in history.bounds.pairs:
        report = final.position(pair.perp.id)
        venue, ours = ZERO if report is None else report.quantity, trace.exposures[pair.name].perp
        if venue != ours:
            text = f"{pair.perp.id}: position {venue}, by the log {ours}"
            yield Violation(history.end_ns, "I-6", text)
    expected = _worth(history.opening)
    for asset, change in _changes(history).items():
        expected[asset] += change
    venue_has = _worth(final)
    quotes = {leg.quote for pair in history.bounds.pairs for leg in (pair.spot, pair.perp)}
    for asset in sorted(expected.keys() | venue_has.keys()):
        error = venue_has[asset] - expected[asset]
        if abs(error) > (CENT if asset in quotes else ZERO):
            text = f"{asset}: account has {venue_has[asset]}, by the log {expected[asset]}"
            yield Violation(history.end_ns, "I-6", text)


def _worth(report: AccountReport) -> defaultdict[str, Decimal]:
    """Balances by asset."""
    total: defaultdict[str, Decimal] = defaultdict(Decimal)
    for balance in report.balances:
        total[balance.asset] += balance.total
    return total


def _changes(history: History) -> defaultdict[str, Decimal]:
    """What the log did to the balances. Margin is off them: a perp's cost is in its raw margin."""
    legs = {leg.id: leg for pair in history.bounds.pairs for leg in (pair.spot, pair.perp)}
    change: defaultdict[str, Decimal] = defaultdict(Decimal)
    for record in history.records:
        if isinstance(record, FundingPayment):
            change[record.payment.asset] += record.payment.amount
        elif isinstance(record, Cashflow):
            change[record.money.asset] += record.money.amount
        elif isinstance(record, Fill) and record.instrument in legs:
            leg, signed = legs[record.instrument], record.side.sign * record.quantity
            change[leg.quote] -= signed * record.price
            change[record.fee.asset] -= record.fee.amount
            if leg.kind is Kind.SPOT:
                change[leg.base] += signed
    for report, sign in ((history.opening, 1), (history.final, -1)):
        for position in report.positions:
            if position.instrument in legs:
                change[legs[position.instrument].quote] += sign * position.raw_margin
    return change


# --- I-7, I-8: liquidation, and closing ----------------------------------------------------


def nothing_is_liquidated(trace: Trace) -> Iterator[Violation]:
    """No liquidation but the one that the world forces: the bot shrinks long before."""
    forced = Times(trace.history.windows, WindowKind.EXTERNAL)
    for move in trace.moves:
        fill = move.fill
        if fill.cause is FillCause.LIQUIDATION:
            if forced.touches(fill.venue_time_ns, fill.venue_time_ns):
                continue
            text = f"{fill.instrument}: {fill.quantity} liquidated at {fill.price}"
            yield Violation(fill.venue_time_ns, "I-7", text)


def closes_only_reduce(trace: Trace) -> Iterator[Violation]:
    """An order against the perp position is reduce-only and no larger than what was held lately.

    Every order on the side by which the pair's perp is left is one: of a pair that holds it
    short, a buy that is not reduce-only would turn into a long position wherever the short has
    gone before it arrives.
    """
    for placed in trace.placed:
        order, legs = placed.order, trace.history.bounds.legs_of(placed.pair)
        astray = legs.along(Kind.PERP, placed.position) < 0
        against = order.side is not legs.opens(Kind.PERP) or astray
        if placed.kind is not Kind.PERP or not placed.accepted or not against:
            continue
        name = f"{order.instrument}: {order.side} {order.cloid} of {order.quantity}"
        if not order.reduce_only:
            text = f"{name} is not reduce-only, position {placed.position}"
            yield Violation(placed.received.time_ns, "I-8", text)
        if order.quantity > placed.held_lately:
            text = f"{name} is more than was held lately, {placed.held_lately}"
            yield Violation(placed.received.time_ns, "I-8", text)


def no_position_flips(trace: Trace) -> Iterator[Violation]:
    """No fill of ours carries a perp position through zero, nor from zero to the wrong side."""
    for move in trace.moves:
        legs = trace.history.bounds.legs_of(move.pair)
        before, after = (legs.along(Kind.PERP, e.perp) for e in (move.before, move.after))
        if move.ours and (before * after < 0 or before >= 0 > after):
            text = (
                f"{move.fill.instrument}: {move.fill.cloid} took the position"
                f" {move.before.perp} to {move.after.perp}"
            )
            yield Violation(move.fill.venue_time_ns, "I-8", text)


# --- I-10: a perp alone and its stop ----------------------------------------------------------


def a_perp_alone_has_its_stop(trace: Trace) -> Iterator[Violation]:
    """A perp that stands alone is never for long without a stop at the venue for all of it, nor
    are there stops for more than it: not beside each other, and not when it is gone.

    Each is counted from the look at which it was first so, and anew from a new start of the
    process; what is missing also from any attempt to place it or to close what is held. The
    clock stands still while nothing could be sent.
    """
    history, bounds = trace.history, trace.history.bounds
    dead = Times(history.windows, WindowKind.DEAD)
    helpless, degraded = helpless_times(history), degraded_times(history)
    for pair in bounds.pairs:
        if not bounds.legs_of(pair).is_alone:
            continue
        attempts = _closing(trace, pair)
        for what, start_ns, end_ns, text in _wrong_stops(history, pair):
            tried = attempts if what == MISSING else []
            within = [t for t in tried if start_ns < t < end_ns]
            starts = sorted({start_ns, *within, *dead.ends(start_ns, end_ns)})
            for start, end in pairwise([*starts, end_ns]):
                limit = bounds.t_stop_ns
                if degraded.touches(start, min(end, start + limit)):
                    limit = bounds.t_hedge_degraded_ns
                counted = end - start - helpless.covered(start, end)
                if counted > limit:
                    told = f"{text}, for {counted / SECOND:.0f} s from {iso(start)}"
                    yield Violation(helpless.outside_after(start, limit), "I-10", told)


MISSING, TOO_MUCH = "missing", "too much"


def _closing(trace: Trace, pair: Pair) -> list[int]:
    """When orders that close the perp of ``pair`` arrived, or left and were lost."""
    side = trace.history.bounds.legs_of(pair).opens(Kind.PERP).opposite
    placed = [
        each.received.time_ns
        for each in trace.placed
        if each.order.instrument == pair.perp.id and each.order.side is side
    ]
    lost = [
        record.time_ns
        for record in trace.history.records
        if isinstance(record, Lost) and (record.instrument, record.side) == (pair.perp.id, side)
    ]
    return sorted((*placed, *lost))


def _wrong_stops(history: History, pair: Pair) -> Iterator[tuple[str, int, int, str]]:
    """What is wrong with the stops of a perp alone: which way, from when, until when, in words."""
    bounds, price = history.bounds, ZERO
    since: dict[str, tuple[int, str]] = {}
    for record in history.records:
        if isinstance(record, Mark | Fill) and record.instrument == pair.perp.id:
            price = record.price
        if not isinstance(record, Standing) or record.instrument != pair.perp.id:
            continue
        held, stops = abs(record.position), sum(record.stops, ZERO)
        smallest = pair.perp.minimum_notional * (1 + 4 * bounds.price_allowance)
        wrong = {
            # Of what is worth little more than the smallest order none can be made.
            MISSING: max(record.stops, default=ZERO) < held and held * price > smallest,
            TOO_MUCH: stops > held,
        }
        for what, is_so in wrong.items():
            text = f"{pair.perp.id}: stops for {list(map(str, record.stops))} of {record.position}"
            if is_so:
                since.setdefault(what, (record.time_ns, text))
            elif what in since:
                start_ns, said = since.pop(what)
                yield what, start_ns, record.time_ns, said
    for what, (start_ns, said) in since.items():
        yield what, start_ns, history.end_ns, said


# --- I-9: no entry on doubt ----------------------------------------------------------------


def no_entry_in_doubt(trace: Trace) -> Iterator[Violation]:
    """No order that grows a hedged pair is signed while the world says that something is wrong.

    A nonce is the millisecond of the signature, which may be the one in which doubt ends. What
    arrives long after it may have been a hedge when it was signed, and is not judged.
    """
    doubt = Times(trace.history.windows, WindowKind.DOUBT)
    for placed in trace.placed:
        time_ns = (placed.received.nonce + 1) * MILLISECOND - 1
        prompt = placed.received.time_ns - time_ns <= SECOND and not placed.again
        if placed.role is Role.OPEN and prompt and doubt.touches(time_ns, time_ns):
            yield Violation(time_ns, "I-9", f"{_entry(placed)} was signed in doubt")


def no_entry_beside_an_unknown_order(trace: Trace) -> Iterator[Violation]:
    """No entry is signed while an order signed ``answer_ns`` before has not even arrived.

    Its signer could have no answer, and no proof either: neither had a fence with its nonce
    arrived, nor had its expiry and the margin passed. Nonces are milliseconds of the signer's
    clock, so that two of one signer compare.
    """
    bounds = trace.history.bounds
    answer_ms = bounds.answer_ns // MILLISECOND
    margin_ms = bounds.expiry_margin_ns // MILLISECOND
    fenced = _fences(trace.history)
    entries: dict[str, list[Placed]] = defaultdict(list)
    for placed in trace.placed:
        late = placed.received
        if placed.again:
            continue
        fence_ns = fenced.get((late.signer, late.nonce), late.time_ns)
        for entry in reversed(entries[late.signer]):
            lead_ms = entry.received.nonce - late.nonce
            if lead_ms <= 0:
                break
            proven = late.expires_ms is not None and (
                entry.received.nonce > late.expires_ms + margin_ms
            )
            if lead_ms > answer_ms and entry.received.time_ns < fence_ns and not proven:
                text = (
                    f"{_entry(entry)} was signed {lead_ms / 1000:.1f} s after order"
                    f" {placed.order.cloid}, which arrived at {iso(late.time_ns)} only"
                )
                yield Violation(entry.received.time_ns, "I-9", text)
        if placed.role is Role.OPEN:
            entries[late.signer].append(placed)


def _fences(history: History) -> dict[tuple[str, int], int]:
    """When a noop with each nonce first arrived, by signer and nonce."""
    fences: dict[tuple[str, int], int] = {}
    for action in _actions(history):
        if action.action == NOOP:
            fences.setdefault((action.signer, action.nonce), action.time_ns)
    return fences


def _entry(placed: Placed) -> str:
    order = placed.order
    return f"{placed.pair.name}: entry {order.side} {order.cloid} of {order.quantity}"


# --- I-11: a single actor ------------------------------------------------------------------


def one_actor_at_a_time(trace: Trace) -> Iterator[Violation]:
    """In a lease one key's orders and cancels are accepted; the watchdog's only in a lease."""
    history = trace.history
    acts = [
        action
        for action in _actions(history)
        if action.outcome == OK and (action.orders or action.cancelled)
    ]
    times = [action.time_ns for action in acts]
    leases = [window for window in history.windows if window.kind is WindowKind.LEASE]
    for lease in leases:
        within = acts[bisect_left(times, lease.start_ns) : bisect_left(times, lease.end_ns)]
        for action in within:
            if action.signer != within[0].signer:
                text = (
                    f"{action.action} of {action.signer} in the lease from {iso(lease.start_ns)},"
                    f" in which {within[0].signer} had acted at {iso(within[0].time_ns)}"
                )
                yield Violation(action.time_ns, "I-11", text)
    leased = Times(leases, WindowKind.LEASE)
    for action in acts:
        if action.signer == history.bounds.watchdog and not leased.touches(
            action.time_ns, action.time_ns
        ):
            text = f"{action.action} of the watchdog {action.signer} outside any lease"
            yield Violation(action.time_ns, "I-11", text)


# --- Liveness: once healed, whole again ----------------------------------------------------


def all_is_well_after_healing(trace: Trace) -> Iterator[Violation]:
    """``heal_ns`` after the last fault: hedged, acting or reading again, no order forgotten.

    A pair may be naked at that instant if it has been so for no longer than is healthy.
    """
    history, bounds = trace.history, trace.history.bounds
    latest_ns = history.end_ns - bounds.heal_ns
    healings = [
        window
        for window in history.windows
        if window.kind is WindowKind.HEALED and window.start_ns <= latest_ns
    ]
    for healed in healings:
        due_ns, since = healed.start_ns + bounds.heal_ns, f"healed at {iso(healed.start_ns)}"
        for span in trace.spans:
            if span.start_ns < due_ns - bounds.t_hedge_healthy_ns and span.end_ns > due_ns:
                text = f"{_naked(span)} since {iso(span.start_ns)}, {since}"
                yield Violation(due_ns, "live", text)
        signs = (a.time_ns for a in _actions(history) if a.signer == bounds.trader)
        if not any(healed.start_ns <= t <= due_ns for t in (*signs, *history.reads_ns)):
            text = f"no action and no answered query of the trader, {since}"
            yield Violation(due_ns, "live", text)
    if healings:
        yield from _forgotten(history)


def _forgotten(history: History) -> Iterator[Violation]:
    """Orders still open at the end which had long been due to be cancelled."""
    rested = {
        order.cloid: action.time_ns
        for action in _actions(history)
        for order in compress(action.orders, action.taken)
    }
    for cloid in history.final.open_orders:
        age_ns = history.end_ns - rested.get(cloid, history.opening.venue_time_ns)
        if age_ns > history.bounds.patience_ns:
            text = f"order {cloid} is open after {age_ns / SECOND:.0f} s"
            yield Violation(history.end_ns, "live", text)


CHECKS: tuple[Check, ...] = (
    an_id_and_a_nonce_are_taken_once,
    what_is_signed_stays_as_it_is,
    positions_stay_within_their_limit,
    no_hedge_is_done_twice,
    own_orders_leave_at_most_a_slice,
    what_is_naked_is_hedged_in_time,
    a_naked_pair_raises_an_alarm,
    every_fill_belongs_to_an_order,
    the_log_explains_the_account,
    nothing_is_liquidated,
    closes_only_reduce,
    no_position_flips,
    a_perp_alone_has_its_stop,
    no_entry_in_doubt,
    no_entry_beside_an_unknown_order,
    one_actor_at_a_time,
    all_is_well_after_healing,
)
