"""The result document of a run (``--json``): what happened, from the facts and the books.

Money and quantities are decimal strings, fractions and counts are numbers, instants
ISO 8601 UTC. The document holds plain JSON values only.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from domain.account import CashCause, Cashflow
from domain.instruments import Instrument, Kind, Pair
from domain.money import ONE, ZERO, exact
from domain.orders import Fill, FillCause, OrderCanceled, OrderRejected, OrderStatus
from domain.targets import Action
from domain.time import SECOND, iso
from execution.facts import (
    Decided,
    EquityMarked,
    Fact,
    LimitTripped,
    OrderIntended,
    OrderResolved,
    Reconciled,
    Retargeted,
    RunStarted,
    Stage,
    StageChanged,
    TradePlanned,
)
from execution.journal import Digest
from execution.ledger.books import Books
from execution.ledger.entries import event_key
from execution.ledger.pnl import PnL

SCHEMA = 1

Document = dict[str, object]


class Holding(msgspec.Struct, frozen=True):
    """A signed quantity of one instrument (``BTC-PERP``, ``UBTC/USDC``) at its mark."""

    instrument: str
    kind: Kind
    quantity: Decimal
    mark: Decimal


class RiskFigures(msgspec.Struct, frozen=True):
    """Extremes over the whole life of the run, as the engine saw them.

    ``max_effective_leverage`` is judged after each fill that added risk (SPEC R7),
    ``max_leverage_held`` at every mark; ``min_liquidation_distance`` is the fraction
    of price that the mark was away from liquidation at its nearest, None where no
    perp was held. ``max_naked_notional`` is quote, the most that the legs differed.
    """

    max_effective_leverage: Decimal | None = None
    max_leverage_held: Decimal | None = None
    min_liquidation_distance: float | None = None
    max_naked_notional: Decimal = ZERO
    max_naked_seconds: float = 0.0


class Closing(msgspec.Struct, frozen=True):
    """What the facts alone do not say: where the run stands at ``ended_ns``.

    ``marks`` values what is still held, by instrument id. ``opening`` is inventory
    brought to the start, at its mark of that moment. ``violations`` are broken
    invariants; ``coverage`` what the market data held and lacked, as plain values.
    """

    ended_ns: int
    marks: dict[str, Decimal]
    risk: RiskFigures
    opening: tuple[Holding, ...] = ()
    violations: tuple[str, ...] = ()
    coverage: object = None


def plain(amount: Decimal) -> str:
    """A decimal as people write it: no exponent, no trailing zeros, no minus zero.

    >>> plain(Decimal("1E+2")), plain(Decimal("-0.0500")), plain(Decimal("-0E-8"))
    ('100', '-0.05', '0')
    """
    if not amount:
        return "0"
    with exact():
        return f"{amount.normalize():f}"


def jsonable(value: Any) -> Any:
    """An answer as JSON has it: decimals as text, as people write them."""
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, Mapping):
        return {key: jsonable(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(part) for part in value]
    return value


def build(facts: Iterable[Fact], books: Books, pairs: Sequence[Pair], closing: Closing) -> Document:
    """The whole document of one state directory, from its first fact to ``closing``.

    ``books`` are the fold of the same facts.

    Raises:
        ValueError: when no run was started, or a held instrument has no mark.
    """
    told = _Told(books.quote, {pair.spot.base: pair.spot.id for pair in pairs})
    for fact in facts:
        told.hear(fact)
    run = told.run
    if run is None:
        raise ValueError("the journal holds no run; start one with this state directory first")
    instruments = {leg.id: leg for pair in pairs for leg in (pair.spot, pair.perp)}
    document: Document = {
        "schema": SCHEMA,
        "mode": run.mode,
        "venue": run.venue,
        "synthetic": run.synthetic,
        "seed": run.seed,
        "quote": books.quote,
        "started": iso(run.time_ns),
        "ended": iso(closing.ended_ns),
        "simulated_seconds": (closing.ended_ns - run.time_ns) / SECOND,
        "digest": told.digest.hexdigest(),
        "equity": _equity(told, run, books, closing),
        "pnl": _pnl(books.pnl_total(closing.marks)),
        "pairs": _pairs(told, books, closing.marks),
        "unassigned": _pnl(books.pnl(None, closing.marks)),
        "opening": [_holding(holding) for holding in closing.opening],
        "open": [_holding(holding) for holding in held(books, instruments, closing.marks)],
        "orders": _orders(told),
        "risk": _risk(told, closing.risk),
        "integrity": _integrity(told, books, closing),
        "decisions": _decisions(told),
    }
    if closing.coverage is not None:
        document["coverage"] = closing.coverage
    return document


def encode(document: Document) -> bytes:
    """The document as JSON, two spaces to a level: the same document, the same bytes."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def held(
    books: Books, instruments: Mapping[str, Instrument], marks: Mapping[str, Decimal]
) -> tuple[Holding, ...]:
    """Everything the books still hold, dust included."""
    return tuple(
        Holding(instruments[held].symbol, instruments[held].kind, quantity, marks[held])
        for held, quantity in books.positions().items()
    )


class _Trade(msgspec.Struct):
    plan: TradePlanned
    opened_ns: int | None = None
    closed_ns: int | None = None
    exit_reason: str | None = None


class _Told:
    """What one pass over the facts leaves to be written down."""

    def __init__(self, quote: str, tokens: Mapping[str, str]) -> None:
        self.quote, self.tokens = quote, tokens
        self.marks: Mapping[str, Decimal] = {}
        self.run: RunStarted | None = None
        self.digest = Digest()
        self.facts = 0
        self.trades: dict[str, _Trade] = {}
        self.orders: dict[str, OrderIntended] = {}
        self.filled: dict[str, Decimal] = {}
        self.ended: dict[str, str] = {}  # client order id -> canceled or rejected
        self.seen: set[tuple[str, str, str]] = set()
        self.unknown_resolved = 0
        self.liquidations: set[tuple[str, int]] = set()
        self.limits: dict[str, None] = {}  # a dict, for its order
        self.capital = ZERO  # what came in by deposits so far, less withdrawals
        self.marked: list[tuple[Decimal, Decimal]] = []  # (equity, capital then)
        self.reconciled: Reconciled | None = None
        self.decisions: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def hear(self, fact: Fact) -> None:
        self.facts += 1
        self.digest.add(fact)
        if isinstance(fact, Fill | Cashflow):
            if (key := event_key(fact)) in self.seen:
                return
            self.seen.add(key)
        match fact:
            case Fill():
                self._fill(fact)
            case Cashflow():
                self._cashflow(fact)
            case Decided():
                self._decided(fact)
            case EquityMarked():
                self.marked.append((fact.equity, self.capital))
                self.marks = fact.marks
            case LimitTripped():
                self.limits[fact.limit] = None
            case Reconciled():
                self.reconciled = fact
            case RunStarted():
                self.run = self.run or fact
            case _:
                self._order(fact)
                self._trade(fact)

    def _order(self, fact: Fact) -> None:
        match fact:
            case OrderIntended():
                self.orders[fact.request.cloid] = fact
            case OrderCanceled():
                self.ended[fact.cloid] = "canceled"
            case OrderRejected():
                self.ended[fact.cloid] = "rejected"
            case OrderResolved():
                self.unknown_resolved += 1
                if fact.status is OrderStatus.REJECTED:
                    self.ended[fact.cloid] = "rejected"
                elif fact.status in (OrderStatus.CANCELED, OrderStatus.NEVER_SEEN):
                    self.ended[fact.cloid] = "canceled"
            case _:
                pass

    def _trade(self, fact: Fact) -> None:
        match fact:
            case TradePlanned():
                self.trades[fact.trade_id] = _Trade(fact)
            case Retargeted():
                if fact.plan is not msgspec.UNSET:
                    self.trades[fact.trade_id].plan = fact.plan
                if not fact.quantity:
                    said = not fact.cause or fact.reason.startswith(f"{fact.cause}:")
                    reason = fact.reason if said else f"{fact.cause}: {fact.reason}"
                    self.trades[fact.trade_id].exit_reason = reason
            case StageChanged() if fact.stage is Stage.CLOSED:
                self.trades[fact.trade_id].closed_ns = fact.time_ns
            case _:
                pass

    def _fill(self, fill: Fill) -> None:
        if fill.cause is FillCause.LIQUIDATION:
            self.liquidations.add((fill.instrument, fill.venue_time_ns))
        order = self.orders.get(fill.cloid) if fill.cloid is not None else None
        if order is None:
            return
        cloid = order.request.cloid
        with exact():
            self.filled[cloid] = self.filled.get(cloid, ZERO) + fill.quantity
        trade = self.trades.get(order.trade_id)
        if trade is not None and trade.opened_ns is None:
            trade.opened_ns = fill.venue_time_ns

    def _cashflow(self, flow: Cashflow) -> None:
        if not is_capital(flow):
            return
        token = self.tokens.get(flow.money.asset)
        price = ONE if flow.money.asset == self.quote else self.marks.get(token or "", ZERO)
        with exact():
            self.capital += flow.money.amount * price
        if self.run is not None and flow.venue_time_ns <= self.run.time_ns:
            self.marked.clear()  # what was there at the start was not complete before

    def _decided(self, fact: Decided) -> None:
        target = fact.target
        for reason in fact.refusals or ((target.reason,) if target.action is Action.WAIT else ()):
            self.refused[gist(reason)] += 1
        if not fact.refusals:
            self.decisions[target.action] += 1


def gist(reason: str) -> str:
    """A reason without its figures, so that equal reasons count together.

    >>> gist("daily_loss: 3.2 % of equity"), gist("net 0.0002 under the hurdle")
    ('daily_loss', 'net')
    """
    return re.split(r":|\s[-+]?\d", reason, maxsplit=1)[0]


def is_capital(flow: Cashflow) -> bool:
    """Whether it is the owner's money coming or going, which is never profit."""
    return flow.cause in (CashCause.DEPOSIT, CashCause.WITHDRAWAL)


def _equity(told: _Told, run: RunStarted, books: Books, closing: Closing) -> Document:
    """Drawdown is judged on profit alone: a withdrawal is no loss, a deposit hides none."""
    end = books.equity(closing.marks)
    with exact():
        start = run.capital + sum((h.quantity * h.mark for h in closing.opening), ZERO)
        # Capital that the facts do not tell (tokens without a price) was there all along.
        untold = books.capital - told.capital
        series = [*told.marked, (end, told.capital)]
        profits = [equity - capital - untold for equity, capital in series]
        deposits = books.capital - start
    return {
        "start": plain(start),
        "end": plain(end),
        "min": plain(min(start, *(equity for equity, _ in series))),
        "max_drawdown": _max_drawdown(start, profits),
        "deposits": plain(deposits),
    }


def _max_drawdown(start: Decimal, profits: Iterable[Decimal]) -> float:
    """The largest fall from a peak, as a fraction of that peak."""
    peak, worst = start, 0.0
    for profit in profits:
        level = start + profit
        peak = max(peak, level)
        if peak > 0:
            worst = max(worst, float((peak - level) / peak))
    return worst


def _pnl(pnl: PnL) -> Document:
    parts: Document = {name: plain(getattr(pnl, name)) for name in pnl.__struct_fields__}
    return parts | {"total": plain(pnl.total)}


def _pairs(told: _Told, books: Books, marks: Mapping[str, Decimal]) -> list[Document]:
    """Every trade that moved money, in the order in which they were planned."""
    booked = set(books.trades)
    return [
        {
            "pair": trade.plan.pair,
            "trade": trade_id,
            "opened": iso(trade.opened_ns or trade.plan.time_ns),
            "closed": iso(trade.closed_ns) if trade.closed_ns is not None else None,
            "notional": plain(trade.plan.notional),
            "pnl": _pnl(books.pnl(trade_id, marks)),
            "entry_reason": trade.plan.thesis,
            "exit_reason": trade.exit_reason if trade.closed_ns is not None else None,
        }
        for trade_id, trade in told.trades.items()
        if trade_id in booked
    ]


def _holding(holding: Holding) -> Document:
    return {
        "instrument": holding.instrument,
        "kind": holding.kind.value,
        "quantity": plain(holding.quantity),
        "mark": plain(holding.mark),
    }


def _orders(told: _Told) -> Document:
    """Each order counts once by how it ended; a filled one filled whole."""
    filled = {
        cloid
        for cloid, quantity in told.filled.items()
        if quantity >= told.orders[cloid].request.quantity
    }
    ended = Counter(how for cloid, how in told.ended.items() if cloid not in filled)
    return {
        "sent": len(told.orders),
        "filled": len(filled),
        "canceled": ended["canceled"],
        "rejected": ended["rejected"],
        "unknown_resolved": told.unknown_resolved,
    }


def _risk(told: _Told, risk: RiskFigures) -> Document:
    return {
        "liquidations": len(told.liquidations),
        "max_effective_leverage": _number(risk.max_effective_leverage),
        "max_leverage_held": _number(risk.max_leverage_held),
        "min_liquidation_distance": risk.min_liquidation_distance,
        "max_naked_notional": plain(risk.max_naked_notional),
        "max_naked_seconds": risk.max_naked_seconds,
        "limits_tripped": list(told.limits),
    }


def _number(value: Decimal | None) -> float | None:
    return float(value) if value is not None else None


def _integrity(told: _Told, books: Books, closing: Closing) -> Document:
    violations = list(closing.violations)
    with exact():
        earned = books.equity(closing.marks) - books.capital
    if books.pnl_total(closing.marks).total != earned:
        violations.append("the parts of the profit do not sum to the change of equity")
    reconciled = told.reconciled
    return {
        "ledger_balanced": books.balanced(),
        "venue_reconciled": None if reconciled is None else not reconciled.mismatches,
        "journal_events": told.facts,
        "violations": violations,
    }


def _decisions(told: _Told) -> Document:
    return {
        "entered": told.decisions[Action.ENTER],
        "added": told.decisions[Action.ADD],
        "held": told.decisions[Action.HOLD],
        "reduced": told.decisions[Action.REDUCE],
        "exited": told.decisions[Action.EXIT],
        "refused": dict(sorted(told.refused.items())),
    }
