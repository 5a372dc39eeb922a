"""One run over a simulated venue: the graph put together, and the loop over it."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from bot import settings as settings_module
from bot.backtest.history import HistorySource
from bot.engine import NOTHING, Engine, Outcome
from bot.record import Record
from bot.report import Closing, Holding, RiskFigures, build
from bot.settings import Settings
from domain.account import Cashflow
from domain.instruments import Instrument, Pair
from domain.market import Book
from domain.orders import Fill, FillCause
from domain.time import HOUR, MINUTE, SECOND, iso
from execution.effects import RaiseAlarm, VenueEffect, WakeAt
from execution.events import Command
from execution.facts import EquityMarked, Fact, RunStarted
from execution.journal import MemoryJournal, SqliteJournal
from execution.ports import Journal
from execution.state import State, apply
from execution.venues.simulated.exchange import Exchange
from execution.venues.simulated.gateway import NoStore, SimulatedVenue, VenueStore
from execution.venues.simulated.rules import VenueRules
from execution.venues.simulated.source import MarketSource
from execution.venues.simulated.store import SqliteVenueStore
from strategies.market.state import Market
from strategies.strategy import Strategy

_WARM_UP_NS = 6 * HOUR
_EVALUATION_NS = 5 * MINUTE
# A naked leg is sized at one price and filled at another: so much more is no violation.
_PRICE_MOVES = Decimal("1.01")


class Stopped(Exception):
    """It was told to stop before there was anything to tell of."""


class RunError(ValueError):
    """The run cannot begin as asked. One sentence: what is wrong and what to do."""


class Run:
    """One run under way over a simulated venue: the graph, and the loop over it.

    With ``state`` both sides keep their files in that directory, and a second run on it
    takes up where the first one ended, however it ended. ``first_ns`` is when the first began.
    ``restartable``: the market went on meanwhile, so that each start is at another time.
    ``recorded``: ``record`` is kept, for those who look on.
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
        on_fact: Callable[[Fact], None] | None = None,
        on_alarm: Callable[[RaiseAlarm], None] | None = None,
        restartable: bool = False,
        recorded: bool = False,
    ) -> None:
        self.source = source
        self._restartable = restartable
        self.record = Record(State(source.pairs), bounded=True)
        self._recorded = recorded
        self._on_alarm, self._on_fact = on_alarm, on_fact
        if recorded:
            self._on_alarm, self._on_fact = self.record.told(on_alarm, on_fact)
        self._bounds = (
            settings.execution.max_naked_notional,
            settings.execution.max_naked_seconds,
        )
        self._leverage_cap = settings.risk.leverage_cap
        self.journal, self._store = _memory(state)
        try:
            self._begin(strategy, settings, mode, seed, capital)
        except BaseException:
            self.close()
            raise

    def _begin(
        self, strategy: Strategy, settings: Settings, mode: str, seed: int, capital: Decimal
    ) -> None:
        source = self.source
        require_room(source.pairs, settings)
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
            cadence_ns=source.cadence_ns,
            strategy=settings.strategy.name,
            inventory=settings.account.inventory,
        )
        kept = self.record.state
        self.first_ns = 0
        for fact in self.journal.read():
            if isinstance(fact, RunStarted):
                self.first_ns = self.first_ns or fact.time_ns
                at_ns = fact.time_ns if self._restartable else run.time_ns
                require_same(fact, msgspec.structs.replace(run, time_ns=at_ns))
            apply(kept, fact)
            if self._recorded:
                self.record.add(fact)
        self.first_ns = self.first_ns or source.start_ns
        exchange, market_ns, venue_ns = _exchange(
            source, {source.pairs[0].perp.quote: capital, **_coins(source, settings)}, self._store
        )
        resumed_ns = max(venue_ns, kept.time_ns, source.start_ns)
        if isinstance(source, HistorySource):
            source.position = lambda perp: exchange.position(perp).quantity
        market = Market(source.pairs)
        _warm_up(market, source, exchange, venue_ns)
        draw = Random(f"{seed} {resumed_ns}").random
        self.venue = SimulatedVenue(
            exchange, source, settings.paper, draw, self._store, market_ns, venue_ns
        )
        for event in self.venue.fast_forward(resumed_ns):
            market.observe(event)
        chosen = paced(settings, source.cadence_ns)
        evaluation_ns = max(_EVALUATION_NS, source.cadence_ns)
        self.engine = Engine(
            kept,
            market,
            strategy,
            chosen.execution,
            chosen.risk,
            evaluation_ns,
            chosen.events,
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

    def steer(self, name: str, argument: str, actor: str) -> None:
        """Have the engine obey an operator at this moment (``bot.control``)."""
        self._commit(self.engine.handle(Command(name, argument, actor, self.venue.now_ns)))

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
            opening=_opening(facts, self.first_ns, state.spot_of),
            violations=self._violations(facts),
            coverage=msgspec.to_builtins(getattr(self.source, "coverage", None)),
        )
        return build(facts, state.books, self.source.pairs, closing)

    def _violations(self, facts: Sequence[Fact]) -> tuple[str, ...]:
        """Invariants that this run has broken, one line each: a report says it first."""
        state = self.engine.state
        found = list(state.reconciled.mismatches) if state.reconciled is not None else []
        if unknown := state.orders.unknown():
            found.append(f"{len(unknown)} orders of unknown fate")
        bound, seconds = self._bounds
        # A whole leg that the venue settles leaves the other whole, whatever the bound.
        settled = any(type(f) is Fill and f.cause is FillCause.DELISTING for f in facts)
        if state.exposed.notional > bound * _PRICE_MOVES and not settled:
            found.append(f"{state.exposed.notional} naked, bound {bound}")
        if state.exposed.seconds > 2 * seconds:
            found.append(f"naked for {state.exposed.seconds:.1f} s, bound {seconds:g} s")
        if state.extremes.effective_leverage > self._leverage_cap:
            found.append(f"leverage {state.extremes.effective_leverage} after a fill")
        if not state.books.balanced():
            found.append("the books do not balance")
        return tuple(found)

    def close(self) -> None:
        for part in (self.journal, self._store):
            closer = getattr(part, "close", None)
            if closer is not None:
                closer()

    def _commit(self, outcome: Outcome) -> None:
        """Durable before sent: facts first, then the effects that rest on them."""
        if outcome.facts:
            self.journal.append(outcome.facts)
            if self._on_fact is not None:
                for fact in outcome.facts:
                    self._on_fact(fact)
        effects: list[VenueEffect | WakeAt] = []
        for effect in outcome.effects:
            if not isinstance(effect, RaiseAlarm):
                effects.append(effect)
            elif self._on_alarm is not None:
                self._on_alarm(effect)
        if effects:
            self.venue.submit(effects)


def _opening(
    facts: Sequence[Fact], first_ns: int, token_of: Callable[[str], Instrument | None]
) -> tuple[Holding, ...]:
    """The coins that were there at the start, at the marks at which they were booked."""
    marks: Mapping[str, Decimal] = {}
    found = []
    for fact in facts:
        if isinstance(fact, EquityMarked):
            marks = fact.marks
        elif isinstance(fact, Cashflow) and fact.venue_time_ns <= first_ns:
            token = token_of(fact.money.asset)
            if token is not None:
                held = Holding(token.symbol, token.kind, fact.money.amount, marks[token.id])
                found.append(held)
    return tuple(found)


def _memory(state: Path | None) -> tuple[Journal, VenueStore]:
    """A backtest's memory ends with it; paper's is a directory, one file for each side."""
    if state is None:
        return MemoryJournal(), NoStore()
    return SqliteJournal(state / "journal.sqlite"), SqliteVenueStore(state / "venue.sqlite")


def require_room(pairs: Sequence[Pair], settings: Settings) -> None:
    """A slice that may be naked must at least be an order that both legs take.

    Raises:
        RunError: when it is not.
    """
    bound = settings.execution.max_naked_notional
    for pair in pairs:
        least = 2 * max(pair.spot.minimum_notional, pair.perp.minimum_notional)
        if bound < least:
            raise RunError(
                f"execution.max_naked_notional {bound} is too small for {pair.name}, whose "
                f"smallest order is {least / 2}: set it to {least} or more"
            )


def require_same(before: RunStarted, now: RunStarted) -> None:
    """A state directory belongs to one run: raises ``RunError`` where ``now`` is another."""
    for name in ("mode", "venue", "seed", "feed", "capital", "pairs", "strategy", "inventory"):
        was, wanted = (_as_typed(getattr(run, name)) for run in (before, now))
        if was != wanted:
            raise RunError(
                f"the state directory belongs to a run with {name} {was}, not {wanted}: "
                "ask for the same, or choose another --state"
            )
    if (before.time_ns, before.cadence_ns) != (now.time_ns, now.cadence_ns):
        raise RunError(
            f"the state directory belongs to a run from {iso(before.time_ns)} on in steps of "
            f"{before.cadence_ns // SECOND} s, not from {iso(now.time_ns)} in steps of "
            f"{now.cadence_ns // SECOND} s: leave --from and --bar as they were, "
            "or choose another --state"
        )


def _as_typed(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


def paced(settings: Settings, cadence_ns: int) -> Settings:
    """Ages are judged beyond the feed's own cadence: a bar an hour is not stale for an hour.

    Nor can the books and the venue drift apart faster than the market moves.
    """
    seconds = cadence_ns / SECOND
    replace = msgspec.structs.replace
    risk, strategy, execution = settings.risk, settings.strategy, settings.execution
    return replace(
        settings,
        execution=replace(execution, reconcile_seconds=max(execution.reconcile_seconds, seconds)),
        risk=replace(
            risk,
            data_age_seconds_max=risk.data_age_seconds_max + seconds,
            reconcile_age_seconds_max=risk.reconcile_age_seconds_max + 2 * seconds,
        ),
        strategy=replace(strategy, book_age_seconds_max=strategy.book_age_seconds_max + seconds),
    )


def _coins(source: MarketSource, settings: Settings) -> dict[str, Decimal]:
    """The inventory that the settings bring.

    Raises:
        RunError: it names a coin that no pair trades, which nobody could value.
    """
    coins, known = settings.account.coins, [pair.spot.base for pair in source.pairs]
    for coin in coins:
        if coin not in known:
            raise RunError(
                f"account.inventory: no pair of this run trades {coin}; they trade "
                f"{', '.join(known)}"
            )
    return coins


def _exchange(
    source: MarketSource, deposits: Mapping[str, Decimal], store: VenueStore
) -> tuple[Exchange, int, int]:
    """The venue as it was left, or a new one; how far its market was played; and its time."""
    rules = VenueRules(filled_by_books=not isinstance(source, HistorySource))
    kept = store.load() if isinstance(store, SqliteVenueStore) else None
    if kept is not None:
        now_ns, market_ns, body, records = kept
        exchange = Exchange.restore(body, source.instruments, rules, records)
        return exchange, market_ns, now_ns
    exchange = Exchange(source.instruments, rules, deposits, source.start_ns)
    store.save(exchange, source.start_ns, source.start_ns)
    return exchange, source.start_ns, source.start_ns


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
