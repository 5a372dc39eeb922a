"""What happened, counted: facts, alarms and durations into the metrics that a snapshot lacks.

It counts from the start of the process on, as Prometheus expects of a counter. Every label it
can have is there from the beginning, at zero, so that the first event is an increase too.
"""

from collections.abc import Iterable
from decimal import Decimal

import msgspec
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

from domain.account import FundingPayment
from domain.instruments import Kind, Pair
from domain.money import ZERO
from domain.orders import Fill, OrderAccepted, OrderCanceled, OrderRejected, Side
from domain.targets import ExitCause
from domain.time import HOUR, SECOND
from execution import metrics
from execution.effects import RaiseAlarm
from execution.facts import (
    Decided,
    Fact,
    LimitTripped,
    OrderDoubted,
    OrderIntended,
    OrderResolved,
    Retargeted,
    Stage,
    StageChanged,
    TradePlanned,
)
from execution.metrics import Recorded
from execution.risk.halts import CONDITIONS, LATCHED
from execution.snapshot import Snapshot

ALARMS = (
    "agent_expires", "books_differ", "empty_account", "fill_not_ordered", "funding_changed",
    "limit_tripped", "margin_guard", "naked_leg", "not_reconciled", "order_undead", "order_unknown",
    "post_only", "silent", "start_delayed", "start_failed", "stop_missing", "task_died",
    "trader_silent", "watchdog_neutral", "watchdog_stuck", "watchdog_yielded",
)  # fmt: skip
"""Every name that an alarm can have."""


class Made:
    """The library's metrics for some of ours, by name."""

    def __init__(self, registry: CollectorRegistry, wanted: Iterable[Recorded]) -> None:
        # A second series for each, that nobody reads.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.counters: dict[str, Counter] = {}
        self.gauges: dict[str, Gauge] = {}
        self.histograms: dict[str, Histogram] = {}
        for each in wanted:
            if each.kind == "counter":
                made = Counter(each.name, each.help, each.labels, registry=registry)
                self.counters[each.name] = made
            elif each.kind == "gauge":
                self.gauges[each.name] = Gauge(each.name, each.help, each.labels, registry=registry)
            else:
                self.histograms[each.name] = Histogram(
                    each.name, each.help, each.labels, registry=registry, buckets=each.buckets
                )


class _Asked(msgspec.Struct):
    """An order under way."""

    leg: str
    side: Side
    mid: Decimal
    asked_ns: int
    remaining: Decimal
    answered: bool = False


class Recorder:
    """The metrics of ``RECORDED`` on a registry. Every method is cheap, and none raises."""

    def __init__(self, registry: CollectorRegistry, pairs: Iterable[Pair]) -> None:
        made = Made(registry, metrics.RECORDED)
        self._counters, self._gauges = made.counters, made.gauges
        self._histograms = made.histograms
        self._pairs = {pair.name: pair for pair in pairs}
        self._pair_of = {pair.perp.id: pair.name for pair in self._pairs.values()}
        self._spots = {pair.spot.id for pair in self._pairs.values()}
        self._asked: dict[str, _Asked] = {}  # by client id, until nothing more can come of it
        self._doubted_ns: dict[str, int] = {}
        self._forecast: dict[str, float] = {}  # by pair, per hour
        # By pair: its last payment, or when it was first held.
        self._due_from_ns: dict[str, int] = {}
        self._announce()

    def fact(self, fact: Fact) -> None:
        """Count what was just committed."""
        match fact:
            case OrderIntended():
                self._intended(fact)
            case OrderAccepted():
                self._answered(fact.cloid, fact.received_ns)
            case OrderRejected() | OrderCanceled():
                self._answered(fact.cloid, fact.received_ns)
                self._asked.pop(fact.cloid, None)
            case Fill():
                self._filled(fact)
            case OrderDoubted():
                self._counters[metrics.DOUBTS].inc()
                self._doubted_ns.setdefault(fact.cloid, fact.time_ns)
            case OrderResolved():
                self._proven(fact.cloid, fact.time_ns)
            case Decided():
                self._forecast[fact.target.pair] = fact.target.forecast_hourly
            case FundingPayment():
                self._paid(fact)
            case TradePlanned():
                self._count(metrics.OPENED, fact.pair)
            case StageChanged(stage=Stage.CLOSED):
                self._count(metrics.CLOSED, fact.trade_id.partition("#")[0])
            case Retargeted(cause=ExitCause() as cause) if fact.quantity == ZERO:
                self._count(metrics.EXITS, cause.value)
            case LimitTripped():
                self._count(metrics.HALTS, fact.limit)
            case _:
                pass

    def alarm(self, alarm: RaiseAlarm) -> None:
        self._count(metrics.ALARMED, alarm.alarm)

    def committed(self, seconds: float) -> None:
        self._histograms[metrics.COMMIT].observe(seconds)

    def woke_late(self, seconds: float) -> None:
        self._histograms[metrics.LAG].observe(max(0.0, seconds))

    def shown(self, snapshot: Snapshot) -> None:
        """How long each payment has been due, at the time of this picture."""
        for view in snapshot.pairs:
            if not view.perp_quantity:
                self._due_from_ns.pop(view.pair, None)
                overdue_ns = 0
            else:
                since_ns = self._due_from_ns.setdefault(view.pair, snapshot.time_ns)
                hours = self._pairs[view.pair].perp.funding_interval_hours or 1
                overdue_ns = snapshot.time_ns - next_due_ns(since_ns, hours)
            self._gauges[metrics.OVERDUE].labels(view.pair).set(max(0, overdue_ns) / SECOND)

    # --- one fact each ---------------------------------------------------------------------

    def _intended(self, fact: OrderIntended) -> None:
        asked = fact.request
        self._asked[asked.cloid] = _Asked(
            str(Kind.SPOT if asked.instrument in self._spots else Kind.PERP),
            asked.side,
            fact.decision_mid,
            fact.time_ns,
            asked.quantity,
        )

    def _answered(self, cloid: str, at_ns: int) -> None:
        asked = self._asked.get(cloid)
        if asked is not None and not asked.answered:
            asked.answered = True
            seconds = (at_ns - asked.asked_ns) / SECOND
            self._histograms[metrics.LATENCY].labels(asked.leg).observe(seconds)
        self._proven(cloid, at_ns)

    def _proven(self, cloid: str, at_ns: int) -> None:
        since_ns = self._doubted_ns.pop(cloid, None)
        if since_ns is not None:
            self._histograms[metrics.DOUBTED].observe((at_ns - since_ns) / SECOND)

    def _filled(self, fill: Fill) -> None:
        asked = self._asked.get(fill.cloid or "")
        if asked is None:
            return
        if asked.mid:
            worse = float(fill.price / asked.mid - 1) * asked.side.sign
            self._histograms[metrics.SLIPPAGE].labels(asked.leg).observe(worse)
        asked.remaining -= fill.quantity
        if asked.remaining <= ZERO:
            self._answered(fill.cloid or "", fill.received_ns)
            del self._asked[fill.cloid or ""]

    def _paid(self, payment: FundingPayment) -> None:
        pair = self._pair_of.get(payment.instrument)
        if pair is None:
            return
        self._due_from_ns[pair] = payment.received_ns
        self._gauges[metrics.RECEIVED].labels(pair).inc(float(payment.payment.amount))
        earns = 1.0 if payment.position < ZERO else -1.0  # at a rate that longs pay
        rate = float(payment.rate) / payment.interval_hours
        self._gauges[metrics.PAID_RATE].labels(pair).set(earns * rate)
        # Forecast is what our side receives, whichever it is.
        forecast = self._forecast.get(pair, 0.0) * payment.interval_hours
        expected = float(abs(payment.position) * payment.price) * forecast
        self._gauges[metrics.EXPECTED].labels(pair).inc(expected)

    # --- labels ----------------------------------------------------------------------------

    def _count(self, name: str, label: str) -> None:
        self._counters[name].labels(label).inc()

    def _announce(self) -> None:
        every = {**self._counters, **self._gauges, **self._histograms}
        for labels, names in self._closed_sets():
            for label in labels:
                for name in names:
                    every[name].labels(label)

    def _closed_sets(self) -> Iterable[tuple[Iterable[str], tuple[str, ...]]]:
        m = metrics
        yield self._pairs, (m.OPENED, m.CLOSED, m.RECEIVED, m.EXPECTED, m.OVERDUE)
        yield (str(kind) for kind in Kind), (m.LATENCY, m.SLIPPAGE)
        yield (str(cause) for cause in ExitCause), (m.EXITS,)
        yield (*LATCHED, *CONDITIONS), (m.HALTS,)
        yield ALARMS, (m.ALARMED,)


def next_due_ns(since_ns: int, interval_hours: int) -> int:
    """When the first payment after ``since_ns`` is due: on the hour, every so many from 00 UTC.

    >>> next_due_ns(7 * HOUR + 1, 8) == 8 * HOUR
    True
    """
    interval_ns = interval_hours * HOUR
    return (since_ns // interval_ns + 1) * interval_ns
