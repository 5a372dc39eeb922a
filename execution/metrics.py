"""What Prometheus reads: every metric's name, help and labels, and where its value is from.

``FAMILIES`` are read off the latest snapshot, ``RECORDED`` are counted as things happen
(``execution.recorder``), ``WATCHDOG`` and ``NOTIFY`` are those of the processes beside it.
Conventions: base units, fractions as ``_ratio``, instants as ``_timestamp_seconds``, counters end
in ``_total``. Labels come from closed sets: configured pairs, states, sources of profit, names of
checks, limits and alarms. What is unknown is absent, never zero.
"""

import errno
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import msgspec
from prometheus_client import (
    CollectorRegistry,
    ProcessCollector,
    generate_latest,
    make_wsgi_app,
    start_http_server,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from domain.targets import Action
from domain.time import SECOND
from execution.ledger.pnl import PnL
from execution.snapshot import PairView, Snapshot

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

STATES = ("starting", "running", "paused", "halted")
# How an order can end, each in one of them: with what was sent in between, a sum would count twice.
ORDER_ENDS = ("filled", "canceled", "rejected")

Number = Decimal | float
Sample = tuple[tuple[str, ...], float]
"""Values of the labels, in the family's order, and the value."""


class Recorded(msgspec.Struct, frozen=True):
    """One metric that is counted as things happen; ``buckets`` are upper bounds, of histograms."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


Shown = TypeVar("Shown")


class Family(msgspec.Struct, Generic[Shown], frozen=True):
    """One metric: ``samples`` reads its values from what is shown, such as a snapshot."""

    name: str
    kind: Literal["gauge", "counter"]
    help: str
    labels: tuple[str, ...]
    samples: Callable[[Shown], Iterable[Sample]]


def _gauge(name: str, text: str, value: Callable[[Snapshot], Number | None]) -> Family[Snapshot]:
    """A gauge without labels; ``value`` may be None."""
    return Family(name, "gauge", text, (), lambda snapshot: _known((), value(snapshot)))


def _instant(
    name: str, text: str, nanoseconds: Callable[[Snapshot], int | None]
) -> Family[Snapshot]:
    return _gauge(name, text, lambda snapshot: _seconds(nanoseconds(snapshot)))


def _per_pair(name: str, text: str, value: Callable[[PairView], Number | None]) -> Family[Snapshot]:
    """A gauge with one sample a pair whose ``value`` is known."""

    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        for view in snapshot.pairs:
            yield from _known((view.pair,), value(view))

    return Family(name, "gauge", text, ("pair",), samples)


def _counter(
    name: str, text: str, label: str, counts: Callable[[Snapshot], dict[str, int]]
) -> Family[Snapshot]:
    return Family(
        name,
        "counter",
        text,
        (label,),
        lambda snapshot: [((key,), float(count)) for key, count in counts(snapshot).items()],
    )


def _margin_used(snapshot: Snapshot) -> Decimal | None:
    return snapshot.margin / snapshot.equity if snapshot.equity > 0 else None


def _unknown_seconds(snapshot: Snapshot) -> float:
    since_ns = snapshot.unknown_since_ns
    return 0.0 if since_ns is None else max(0, snapshot.time_ns - since_ns) / SECOND


def _loops(snapshot: Snapshot) -> list[Sample]:
    return [((loop,), at_ns / SECOND) for loop, at_ns in snapshot.loops.items()]


def _known(labels: tuple[str, ...], value: Number | None) -> Iterator[Sample]:
    if value is not None:
        yield labels, float(value)


def _seconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / SECOND


def _build(snapshot: Snapshot) -> list[Sample]:
    synthetic = "true" if snapshot.synthetic else "false"
    labels = (_version(), snapshot.mode, snapshot.venue, snapshot.feed, synthetic)
    return [(labels, 1.0)]


@cache
def _version() -> str:
    try:
        return version("fundarb")
    except PackageNotFoundError:  # run from a folder that was never installed
        return "unknown"


def _state(snapshot: Snapshot) -> list[Sample]:
    return [((state,), float(state == snapshot.state)) for state in STATES]


def _sources(pnl: PnL) -> list[tuple[str, float]]:
    return [(source, float(getattr(pnl, source))) for source in pnl.__struct_fields__]


def _pnl(snapshot: Snapshot) -> list[Sample]:
    return [((source,), value) for source, value in _sources(snapshot.pnl)]


def _pair_pnl(snapshot: Snapshot) -> list[Sample]:
    return [
        ((view.pair, source), value)
        for view in snapshot.pairs
        for source, value in _sources(view.pnl)
    ]


def _decisions(snapshot: Snapshot) -> list[Sample]:
    return [
        ((view.pair, action.value), float(action.value == view.action))
        for view in snapshot.pairs
        if view.action is not None
        for action in Action
    ]


def _limits(snapshot: Snapshot) -> list[Sample]:
    return [((limit,), 1.0) for limit in snapshot.limits]


def _net_delta(view: PairView) -> float | None:
    return None if view.mark is None else float(view.net_delta) * view.mark


FAMILIES: tuple[Family[Snapshot], ...] = (
    Family(
        "fundarb_build_info",
        "gauge",
        "What runs; synthetic is true where the market is generated.",
        ("version", "mode", "venue", "feed", "synthetic"),
        _build,
    ),
    Family("fundarb_state", "gauge", "1 for the state the bot is in.", ("state",), _state),
    Family("fundarb_limit_tripped", "gauge", "1 for each tripped limit.", ("limit",), _limits),
    _gauge("fundarb_capital_usd", "Capital put in at the start.", lambda s: s.capital),
    _gauge("fundarb_equity_usd", "Worth of everything held, at mark.", lambda s: s.equity),
    _gauge("fundarb_equity_peak_usd", "Highest equity so far.", lambda s: s.equity_peak),
    _gauge(
        "fundarb_margin_usd",
        "Isolated margin behind all perps, at the last hourly valuation.",
        lambda s: s.margin,
    ),
    _gauge(
        "fundarb_margin_used_ratio",
        "Isolated margin behind all perps, of equity.",
        _margin_used,
    ),
    Family(
        "fundarb_pnl_usd",
        "gauge",
        "Profit since the start by source; costs negative; the sources sum to the total.",
        ("source",),
        _pnl,
    ),
    Family(
        "fundarb_pair_pnl_usd",
        "gauge",
        "Profit of the trade that is open on the pair, by source; zero without one.",
        ("pair", "source"),
        _pair_pnl,
    ),
    _per_pair(
        "fundarb_funding_rate_per_hour_ratio",
        "The venue's running estimate of the next funding rate, per hour; positive, longs pay.",
        lambda view: view.funding_hourly,
    ),
    _per_pair(
        "fundarb_predicted_funding_rate_per_hour_ratio",
        "The bot's forecast of the funding rate over its horizon, per hour.",
        lambda view: view.forecast_hourly,
    ),
    _per_pair("fundarb_basis_ratio", "Perp mark over spot mid, less one.", lambda view: view.basis),
    _per_pair(
        "fundarb_expected_net_carry_ratio",
        "Expected carry over the horizon less the cost still to be paid, of notional.",
        lambda view: view.expected_net,
    ),
    Family(
        "fundarb_decision",
        "gauge",
        "1 for the latest decision on the pair.",
        ("pair", "action"),
        _decisions,
    ),
    _per_pair(
        "fundarb_position_notional_usd",
        "Notional held, of the larger leg, at mark.",
        lambda view: view.notional,
    ),
    _per_pair("fundarb_net_delta_usd", "Signed value of both legs together, at mark.", _net_delta),
    _per_pair(
        "fundarb_unhedged_notional_usd",
        "Notional that one leg holds and the other does not, beyond what can be traded.",
        lambda view: view.naked_notional,
    ),
    _per_pair(
        "fundarb_unhedged_seconds",
        "How long the pair has been unhedged; zero while hedged.",
        lambda view: view.naked_seconds,
    ),
    _gauge(
        "fundarb_unhedged_largest_usd",
        "The largest notional that one leg ever held without the other.",
        lambda s: s.naked_most,
    ),
    _gauge(
        "fundarb_unhedged_longest_seconds",
        "The longest that two legs ever differed.",
        lambda s: s.naked_longest_seconds,
    ),
    _per_pair(
        "fundarb_effective_leverage_ratio",
        "Perp notional over the collateral committed to it.",
        lambda view: view.leverage,
    ),
    _per_pair(
        "fundarb_liquidation_distance_ratio",
        "How far the mark must move to reach liquidation, of mark.",
        lambda view: view.liquidation_distance,
    ),
    _per_pair(
        "fundarb_way_to_liquidation_ratio",
        "Share of the way from entry to liquidation that the mark has gone, 0 to 1.",
        lambda view: view.way_gone,
    ),
    Family(
        "fundarb_orders_sent_total",
        "counter",
        "Orders sent since the start.",
        (),
        lambda s: [((), float(s.orders.get("sent", 0)))],
    ),
    _counter(
        "fundarb_orders_total",
        "Orders since the start by how they ended.",
        "state",
        lambda s: {end: s.orders.get(end, 0) for end in ORDER_ENDS},
    ),
    _counter(
        "fundarb_rejections_total",
        "Entries that a check refused since the start: why there was no trade.",
        "gate",
        lambda s: s.refusals,
    ),
    _gauge(
        "fundarb_unknown_orders", "Orders whose fate is not proven.", lambda s: s.unknown_orders
    ),
    _gauge(
        "fundarb_unknown_order_age_seconds",
        "How long the oldest of them has been in doubt; zero without one.",
        _unknown_seconds,
    ),
    _gauge(
        "fundarb_reconciliation_mismatches",
        "Differences to the venue's account found by the last reconciliation.",
        lambda s: s.mismatches,
    ),
    Family(
        "fundarb_journal_events_total",
        "counter",
        "Facts in the journal.",
        (),
        lambda s: [((), float(s.journal_events))],
    ),
    _instant(
        "fundarb_heartbeat_timestamp_seconds",
        "When this page was last brought up to date, by the machine's clock.",
        lambda s: s.wall_ns,
    ),
    _instant(
        "fundarb_clock_timestamp_seconds",
        "The clock that the instants below are in: the machine's when live, else simulated.",
        lambda s: s.clock_ns,
    ),
    Family(
        "fundarb_loop_timestamp_seconds",
        "gauge",
        "When each critical loop last got on.",
        ("loop",),
        _loops,
    ),
    _counter(
        "fundarb_bad_messages_total",
        "Messages and answers of the venue that could not be believed, in this process.",
        "stream",
        lambda s: s.bad_messages,
    ),
    _counter(
        "fundarb_disconnections_total",
        "Connections to the venue that ended, or were never made, in this process.",
        "stream",
        lambda s: s.disconnections,
    ),
    _gauge(
        "fundarb_disk_free_bytes", "Room left where the state directory is.", lambda s: s.disk_free
    ),
    _instant(
        "fundarb_start_timestamp_seconds", "Engine time at the first start.", lambda s: s.started_ns
    ),
    _instant(
        "fundarb_last_market_data_timestamp_seconds",
        "Engine time of the newest market data.",
        lambda s: s.last_market_ns,
    ),
    _instant(
        "fundarb_last_reconciliation_timestamp_seconds",
        "Engine time at which books and venue last agreed.",
        lambda s: s.last_reconciled_ns,
    ),
    _instant(
        "fundarb_last_funding_event_timestamp_seconds",
        "Engine time of the last funding payment.",
        lambda s: s.last_funding_ns,
    ),
    _per_pair(
        "fundarb_last_decision_timestamp_seconds",
        "Engine time of the latest decision on the pair.",
        lambda view: _seconds(view.decided_ns),
    ),
    _instant(
        "fundarb_agent_expiry_timestamp_seconds",
        "When the venue stops taking the key; absent where it takes none.",
        lambda s: s.agent_until_ns,
    ),
)

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
OPENED, CLOSED = "fundarb_trades_opened_total", "fundarb_trades_closed_total"
EXITS, HALTS = "fundarb_exits_total", "fundarb_halts_total"
LATENCY, SLIPPAGE = "fundarb_order_latency_seconds", "fundarb_slippage_ratio"
DOUBTS, DOUBTED = "fundarb_orders_doubted_total", "fundarb_order_doubt_seconds"
RECEIVED, EXPECTED = "fundarb_funding_received_usd", "fundarb_funding_expected_usd"
PAID_RATE, OVERDUE = "fundarb_paid_funding_rate_per_hour_ratio", "fundarb_funding_overdue_seconds"
COMMIT, LAG = "fundarb_journal_commit_seconds", "fundarb_loop_lag_seconds"
ALARMED = "fundarb_alarms_total"
_ALARMED = Recorded(ALARMED, "counter", "Alarms raised since this process began.", ("alarm",))

RECORDED = (
    Recorded(OPENED, "counter", "Trades begun, in this process.", ("pair",)),
    Recorded(CLOSED, "counter", "Trades closed, in this process.", ("pair",)),
    Recorded(EXITS, "counter", "Decisions to close a trade, by cause.", ("cause",)),
    Recorded(HALTS, "counter", "Limits tripped, in this process.", ("limit",)),
    Recorded(
        LATENCY,
        "histogram",
        "From an order's intent to the venue's first word on it.",
        ("leg",),
        SECONDS,
    ),
    Recorded(
        SLIPPAGE,
        "histogram",
        "Fill price against the mid at the decision; positive is worse.",
        ("leg",),
        (-0.002, -0.001, -0.0005, -0.0002, 0.0, 0.0002, 0.0005, 0.001, 0.002, 0.005),
    ),
    Recorded(DOUBTS, "counter", "Orders that had no answer to be trusted."),
    Recorded(
        DOUBTED,
        "histogram",
        "From the doubt about an order to the proof of its fate.",
        (),
        (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
    ),
    Recorded(
        RECEIVED, "gauge", "Funding received, less paid, since this process began.", ("pair",)
    ),
    Recorded(
        EXPECTED, "gauge", "What the same payments were forecast to be before them.", ("pair",)
    ),
    Recorded(
        PAID_RATE, "gauge", "The rate of the last payment, per hour; positive, received.",
        ("pair",),
    ),
    Recorded(
        OVERDUE,
        "gauge",
        "How long a payment on the perp held has been due; zero while none is.",
        ("pair",),
    ),
    Recorded(COMMIT, "histogram", "How long a commit to the journal took.", (), SECONDS),
    Recorded(LAG, "histogram", "How much later than asked the event loop woke up.", (), SECONDS),
    _ALARMED,
)  # fmt: skip

WATCHING = "fundarb_watchdog_heartbeat_timestamp_seconds"
WATCHDOG = (
    Recorded(WATCHING, "gauge", "When the watchdog last looked at the lease, machine's clock."),
    _ALARMED,
)


class Telling(msgspec.Struct, frozen=True):
    """Where `fundarb notify` stands. ``waiting``: of each severity, since when each message that
    some channel does not have yet was to be told."""

    looked_ns: int
    waiting: dict[str, tuple[int, ...]]
    delivered: int
    failed: int
    given_up: int
    strangers: int


NOTIFY: tuple[Family[Telling], ...] = (
    Family(
        "fundarb_notify_heartbeat_timestamp_seconds",
        "gauge",
        "When `fundarb notify` last looked for alarms, by the machine's clock.",
        (),
        lambda told: [((), told.looked_ns / SECOND)],
    ),
    Family(
        "fundarb_messages_waiting",
        "gauge",
        "Messages that some channel does not have yet.",
        ("severity",),
        lambda told: [((name,), float(len(since))) for name, since in told.waiting.items()],
    ),
    Family(
        "fundarb_messages_waiting_since_timestamp_seconds",
        "gauge",
        "When the oldest of them was to be told; absent while none waits.",
        ("severity",),
        lambda told: [
            ((name,), min(since) / SECOND) for name, since in told.waiting.items() if since
        ],
    ),
    Family(
        "fundarb_deliveries_total",
        "counter",
        "Messages handed to a channel since this process began: delivered, or failed for now.",
        ("outcome",),
        lambda told: [
            (("delivered",), float(told.delivered)),
            (("failed",), float(told.failed)),
        ],
    ),
    Family(
        "fundarb_messages_given_up_total",
        "counter",
        "Messages that nobody was ever told, since more waited than may.",
        (),
        lambda told: [((), float(told.given_up))],
    ),
    Family(
        "fundarb_telegram_strangers_total",
        "counter",
        "Messages to the Telegram bot from who is on no list, since this process began.",
        (),
        lambda told: [((), float(told.strangers))],
    ),
)


class Metrics(Collector, Generic[Shown]):
    """Exposes the latest that it was given to show; before the first, nothing but the process.

    ``update`` only keeps it: values are read from it when Prometheus asks, in its thread, which
    is safe because what is shown is frozen.
    """

    def __init__(self, families: Iterable[Family[Shown]]) -> None:
        self.registry = CollectorRegistry()
        self._families = tuple(families)
        self._shown: Shown | None = None
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def update(self, shown: Shown) -> None:
        self._shown = shown

    def page(self) -> bytes:
        """As Prometheus reads it."""
        return generate_latest(self.registry)

    def describe(self) -> Iterable[GaugeMetricFamily | CounterMetricFamily]:
        """Names to the registry, so that it need not collect to know them."""
        return [_family(family) for family in self._families]

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        shown = self._shown
        if shown is None:
            return
        for family in self._families:
            exposed = _family(family)
            for labels, value in family.samples(shown):
                exposed.add_metric(labels, value)
            yield exposed


def _family(family: Family[Any]) -> GaugeMetricFamily | CounterMetricFamily:
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    return kind(family.name, family.help, labels=family.labels)


def _guarded(page: "WSGIApplication") -> "WSGIApplication":
    """``page`` for who asks this machine by its own name: a site that points a name of its own at
    it (DNS rebinding) is not to read by somebody's browser what is held."""

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ.get("HTTP_HOST", "").rpartition(":")[0] in ("127.0.0.1", "localhost"):
            return page(environ, start_response)
        start_response("421 Misdirected Request", [("Content-Length", "0")])
        return []

    return answer


class Exposition:
    """The HTTP server that Prometheus scrapes; ``close`` frees its port."""

    def __init__(self, registry: CollectorRegistry, port: int) -> None:
        self._server, self._thread = start_http_server(port, addr="127.0.0.1", registry=registry)
        self._server.set_app(_guarded(make_wsgi_app(registry)))
        self.url = f"http://127.0.0.1:{self._server.server_port}/metrics"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve(registry: CollectorRegistry, port: int) -> Exposition:
    """Answer on the loopback address only; port 0 takes a free one (see ``url``).

    Raises:
        OSError: when another program has the port.
    """
    try:
        return Exposition(registry, port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise OSError(
            error.errno, f"port {port} for metrics is in use; set another [metrics] port, or 0"
        ) from error
