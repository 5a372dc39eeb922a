"""The composition root: builds the graph, runs it, and has one way to stop.

A simulated run is one loop: the venue hands over the next event, the engine decides,
the journal commits, then the effects leave. Nothing else happens in between, and
whoever looks on (screen, metrics) is shown frozen pictures.
"""

import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from bot import settings as settings_module
from bot.engine import NOTHING, Engine, Outcome
from bot.instruments import load_pairs
from bot.picture import snapshot
from bot.report import Closing, RiskFigures, build
from bot.settings import Settings
from domain.market import Book
from domain.time import HOUR, MINUTE, SECOND
from execution.facts import Fact, RunStarted
from execution.journal import MemoryJournal, SqliteJournal
from execution.ports import Journal
from execution.snapshot import Snapshot
from execution.state import State, apply
from execution.venues.simulated.exchange import Exchange
from execution.venues.simulated.gateway import Cursor, NoStore, SimulatedVenue, VenueStore
from execution.venues.simulated.rules import VenueRules
from execution.venues.simulated.source import MarketSource
from execution.venues.simulated.store import SqliteVenueStore
from strategies.cash_and_carry import CashAndCarry
from strategies.market.state import Market
from strategies.strategy import Strategy

_WARM_UP_NS = 6 * HOUR
_EVALUATION_NS = 5 * MINUTE
_SLICE_SECONDS = 0.05


class RunError(ValueError):
    """The run cannot begin as asked. One sentence: what is wrong and what to do."""


class RunRequest(msgspec.Struct, frozen=True):
    """What to run. ``speed``: simulated seconds per wall second, None as fast as it goes.

    ``duration_ns`` counts simulated time from the first start of the state directory.
    """

    mode: str
    feed: str
    data: Path | None
    venue: str | None
    pairs: tuple[str, ...] | None
    start_ns: int | None
    end_ns: int | None
    duration_ns: int | None
    bar: str | None
    capital: Decimal
    speed: float | None
    seed: int
    settings: Settings
    state: Path | None
    metrics_port: int | None


class RunResult(msgspec.Struct, frozen=True):
    """``report`` is the JSON document of the command; ``facts`` the state directory's whole life."""

    report: dict[str, Any]
    facts: tuple[Fact, ...]
    interrupted: bool


class Run:
    """One run under way over a simulated venue: the graph, and the loop over it.

    With ``state`` both sides keep their files in that directory, and a second run on it
    takes up where the first one ended, however it ended.
    """

    def __init__(
        self,
        source: MarketSource,
        strategy: Strategy,
        settings: Settings,
        *,
        mode: str,
        seed: int,
        capital: Decimal,
        state: Path | None = None,
    ) -> None:
        self.source = source
        self.journal, self._store = _memory(state)
        kept = State(source.pairs)
        for fact in self.journal.read():
            apply(kept, fact)
        run = RunStarted(
            mode=mode,
            venue=source.venue,
            feed=source.name,
            synthetic=source.synthetic,
            seed=seed,
            capital=capital,
            pairs=tuple(pair.name for pair in source.pairs),
            config_digest=settings_module.digest(settings),
            time_ns=source.start_ns,
        )
        if kept.run is not None:
            _require_same(kept.run, run)
        exchange, cursor, venue_ns = _exchange(source, capital, self._store)
        resumed_ns = max(venue_ns, kept.time_ns)
        market = Market(source.pairs)
        _warm_up(market, source, exchange, venue_ns)
        draw = Random(f"{seed} {resumed_ns}").random
        self.venue = SimulatedVenue(
            exchange, source, settings.paper, draw, self._store, cursor, venue_ns
        )
        for event in self.venue.fast_forward(resumed_ns):
            market.observe(event)
        paced = _paced(settings, source.cadence_ns)
        evaluation_ns = max(_EVALUATION_NS, source.cadence_ns)
        self.engine = Engine(
            kept, market, strategy, paced.execution, paced.risk, evaluation_ns
        )
        self._commit(self.engine.start(msgspec.structs.replace(run, time_ns=resumed_ns)))

    def advance(self, until_ns: int) -> None:
        """Let virtual time pass: every event up to ``until_ns``, each decided and committed."""
        handle = self.engine.handle
        for event in self.venue.until(until_ns):
            outcome = handle(event)
            if outcome is not NOTHING:
                self._commit(outcome)

    def finish(self) -> None:
        """Value everything at the end: what is shown is of that moment."""
        self.engine.now_ns = max(self.engine.now_ns, self.venue.now_ns)
        self._commit(self.engine.mark_equity())

    def facts(self) -> tuple[Fact, ...]:
        return tuple(self.journal.read())

    def report(self, facts: tuple[Fact, ...]) -> dict[str, Any]:
        """The JSON document of the command, over the state directory's whole life."""
        state = self.engine.state
        extremes = state.extremes
        closing = Closing(
            ended_ns=self.engine.now_ns,
            marks=self.engine.marks(),
            risk=RiskFigures(
                extremes.effective_leverage,
                extremes.leverage_held,
                extremes.liquidation_distance,
                state.exposed.notional,
                state.exposed.seconds,
            ),
            coverage=msgspec.to_builtins(getattr(self.source, "coverage", None)),
        )
        return build(facts, state.books, self.source.pairs, closing)

    def close(self) -> None:
        for part in (self.journal, self._store):
            closer = getattr(part, "close", None)
            if closer is not None:
                closer()

    def _commit(self, outcome: Outcome) -> None:
        """Durable before sent: facts first, then the effects that rest on them."""
        if outcome.facts:
            self.journal.append(outcome.facts)
        if outcome.effects:
            self.venue.submit(outcome.effects)


def run(
    request: RunRequest,
    on_snapshot: Callable[[Snapshot], None] | None,
    should_stop: Callable[[], bool],
) -> RunResult:
    """Run until its end or until ``should_stop``; both leave a state that can be resumed.

    Raises:
        RunError: the state directory belongs to another run, or the request is contradictory.
        DataError: recorded history cannot be read as asked.
        JournalError: the journal cannot be written or is in use.
    """
    source = _source(request)
    strategy = _paced(request.settings, source.cadence_ns).strategy
    started = Run(
        source,
        CashAndCarry(strategy, source.pairs),
        request.settings,
        mode=request.mode,
        seed=request.seed,
        capital=request.capital,
        state=request.state,
    )
    try:
        interrupted = _loop(started, request, on_snapshot, should_stop)
        started.finish()
        facts = started.facts()
        return RunResult(started.report(facts), facts, interrupted)
    finally:
        started.close()


def _loop(
    run: Run,
    request: RunRequest,
    on_snapshot: Callable[[Snapshot], None] | None,
    should_stop: Callable[[], bool],
) -> bool:
    """Advance in slices: of wall time at a person's pace, of simulated time at full speed."""
    metrics = _metrics(request)
    first_ns = run.source.start_ns
    ends = [request.end_ns, run.source.end_ns]
    ends.append(first_ns + request.duration_ns if request.duration_ns is not None else None)
    end_ns = min((end for end in ends if end is not None), default=None)
    began = time.monotonic()
    origin_ns = run.venue.now_ns
    shown = 0.0
    try:
        while not run.venue.ended and (end_ns is None or run.venue.now_ns < end_ns):
            if should_stop():
                return True
            if request.speed is None:
                until_ns = run.venue.now_ns + HOUR
            else:
                time.sleep(_SLICE_SECONDS)
                passed = time.monotonic() - began
                until_ns = origin_ns + int(passed * request.speed * SECOND)
            run.advance(until_ns if end_ns is None else min(until_ns, end_ns))
            now = time.monotonic()
            if now - shown >= 0.25:
                shown = now
                picture = snapshot(run.engine)
                if on_snapshot is not None:
                    on_snapshot(picture)
                if metrics is not None:
                    metrics[0].update(picture)
        return False
    finally:
        if metrics is not None:
            metrics[1].close()


def _source(request: RunRequest) -> MarketSource:
    if request.feed == "simulated":
        from execution.venues.simulated.generated import generated_market

        pairs = load_pairs("simulated", request.pairs)
        return generated_market(request.seed, GENERATED_START_NS, pairs)
    from bot.backtest.history import open_history

    assert request.data is not None, "Invariant: a replay names its directory"
    return open_history(
        request.data,
        request.venue or "hyperliquid",
        request.pairs or (),
        start_ns=request.start_ns,
        end_ns=request.end_ns,
        bar=request.bar,
    )


GENERATED_START_NS = 1_735_689_600 * SECOND  # 2025-01-01: a generated market needs some date


def _memory(state: Path | None) -> tuple[Journal, VenueStore]:
    """A backtest's memory ends with it; paper's is a directory, one file for each side."""
    if state is None:
        return MemoryJournal(), NoStore()
    return SqliteJournal(state / "journal.sqlite"), SqliteVenueStore(state / "venue.sqlite")


def _require_same(before: RunStarted, now: RunStarted) -> None:
    for name in ("mode", "venue", "feed", "seed", "capital", "pairs"):
        was, wanted = getattr(before, name), getattr(now, name)
        if was != wanted:
            raise RunError(
                f"the state directory belongs to a run with {name} {was}, not {wanted}: "
                "ask for the same, or choose another --state"
            )


def _paced(settings: Settings, cadence_ns: int) -> Settings:
    """Ages are judged beyond the feed's own cadence: a bar an hour is not stale for an hour.

    Nor can the books and the venue drift apart faster than the market moves.
    """
    seconds = cadence_ns / SECOND
    replace = msgspec.structs.replace
    risk, strategy, execution = settings.risk, settings.strategy, settings.execution
    return replace(
        settings,
        execution=replace(
            execution, reconcile_seconds=max(execution.reconcile_seconds, seconds)
        ),
        risk=replace(
            risk,
            data_age_seconds_max=risk.data_age_seconds_max + seconds,
            reconcile_age_seconds_max=risk.reconcile_age_seconds_max + 2 * seconds,
        ),
        strategy=replace(strategy, book_age_seconds_max=strategy.book_age_seconds_max + seconds),
    )


def _exchange(
    source: MarketSource, capital: Decimal, store: VenueStore
) -> tuple[Exchange, Cursor, int]:
    """The venue as it was left, or a new one; how far its market was played; and its time."""
    kept = store.load() if isinstance(store, SqliteVenueStore) else None
    if kept is not None:
        now_ns, cursor, body, records = kept
        exchange = Exchange.restore(body, source.instruments, VenueRules(), records)
        return exchange, cursor, now_ns
    quote = source.pairs[0].perp.quote
    deposits = {quote: capital}
    exchange = Exchange(source.instruments, VenueRules(), deposits, source.start_ns)
    cursor = Cursor(source.start_ns)
    store.save(exchange, cursor, source.start_ns)
    return exchange, cursor, source.start_ns


def _warm_up(market: Market, source: MarketSource, exchange: Exchange, now_ns: int) -> None:
    """Rebuild public state from the venue's history: rates of 60 days, quotes of some hours."""
    for settled in source.history():
        market.observe(settled)
    for settled in exchange.funding_published():
        market.observe(settled)
    if now_ns > source.start_ns:
        for event in source.events(max(source.start_ns, now_ns - _WARM_UP_NS)):
            if event.venue_time_ns > now_ns:
                break
            if isinstance(event, Book):
                market.observe(event)


def _metrics(request: RunRequest) -> Any:
    """The metrics page, where one is wanted: (what to update, what to close)."""
    if request.metrics_port is None:
        return None
    from execution.metrics import Metrics, serve

    metrics = Metrics()
    return metrics, serve(metrics, request.metrics_port)
