"""What a history amounts to: that something happened in it, and how long pairs stood naked."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

import msgspec

from domain.account import Cashflow, FundingPayment
from domain.orders import Fill, FillCause
from domain.time import SECOND
from tests.world.history import NOOP, OK, SUCCESS, History, Received
from tests.world.trace import degraded_times, helpless_times, is_ours, trace_of


class Durations(msgspec.Struct, frozen=True):
    """Seconds, one for each time that a pair was naked, in the order in which these began.

    ``degraded`` are those that trouble touched, less the time in which nothing could be
    sent; that is in ``helpless``, one for each of ``degraded``.
    """

    healthy: tuple[float, ...]
    degraded: tuple[float, ...]
    helpless: tuple[float, ...]


def naked_seconds(history: History) -> Durations:
    """How long what our own orders left naked stayed so."""
    spans = [span for span in trace_of(history).spans if not span.foreign_ns]
    return _durations(history, [(span.start_ns, span.end_ns) for span in spans])


def forced_to_neutral_seconds(history: History) -> Durations:
    """From the first record of a liquidation, ADL or manual trade until the pair was neutral."""
    spans = [span for span in trace_of(history).spans if span.foreign_ns]
    return _durations(history, [(span.foreign_ns[0], span.end_ns) for span in spans])


def _durations(history: History, spans: list[tuple[int, int]]) -> Durations:
    degraded, helpless = degraded_times(history), helpless_times(history)
    troubled = [span for span in spans if degraded.touches(*span)]
    healthy = [span for span in spans if not degraded.touches(*span)]
    lost = [helpless.covered(*span) for span in troubled]
    return Durations(
        healthy=tuple((end - start) / SECOND for start, end in healthy),
        degraded=tuple(
            (end - start - away) / SECOND for (start, end), away in zip(troubled, lost, strict=True)
        ),
        helpless=tuple(away / SECOND for away in lost),
    )


def coverage(history: History) -> Counter[str]:
    """How often each kind of thing happened, so that a run in which nothing did is seen.

    ``open spot``, ``close perp``, ``hedge spot``, …: orders that traded, by what they did to
    their pair when they arrived. ``stop``: those that had waited for a price. ``partial``:
    fills that left a rest of their order. ``fence burnt`` and ``fence used``: noops that were
    the first with their nonce, and those that were not. ``again``: copies of an action.
    ``order refused``, ``action refused``, ``cancel refused``. The rest are the venue's records
    by their kind.
    """
    counts: Counter[str] = Counter(_happenings(history))
    trace = trace_of(history)
    traded = {move.fill.cloid for move in trace.moves if move.ours}
    for placed in trace.placed:
        if placed.accepted and placed.order.cloid in traded:
            counts[f"{placed.role} {placed.kind}"] += 1
            if placed.order.time_in_force is None:
                counts["stop"] += 1
    return counts


def _happenings(history: History) -> Iterator[str]:
    remaining: dict[str | None, Decimal] = {}
    digests: set[str] = set()
    for record in history.records:
        if isinstance(record, Received):
            yield from _happened(record, again=record.digest in digests)
            digests.add(record.digest)
            for order in record.orders:
                remaining.setdefault(order.cloid, order.quantity)
        elif isinstance(record, Fill) and is_ours(record):
            left = remaining.get(record.cloid, record.quantity) - record.quantity
            remaining[record.cloid] = left
            if left > 0:
                yield "partial"
        elif isinstance(record, Fill):
            yield "manual" if record.cause is FillCause.ORDER else str(record.cause)
        elif isinstance(record, FundingPayment):
            yield "funding"
        elif isinstance(record, Cashflow):
            yield str(record.cause)


def _happened(action: Received, *, again: bool) -> Iterator[str]:
    if action.action == NOOP:
        yield "fence burnt" if action.outcome == OK else "fence used"
        return
    if again:
        yield "again"
    if action.outcome != OK:
        yield "action refused"
        return
    for taken in action.taken:
        if not taken:
            yield "order refused"
    for outcome in action.outcomes[len(action.orders) :]:
        yield "cancel" if outcome == SUCCESS else "cancel refused"
