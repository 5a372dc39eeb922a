"""The course of a run, hour by hour and trade by trade: one pass over its facts."""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import pairwise

import msgspec

from bot.record import Happening, Record
from bot.report import gist
from domain.account import Cashflow, FundingPayment
from domain.instruments import Kind, Pair
from domain.money import ZERO, decimal_of, exact
from domain.orders import Fill, Liquidity
from domain.targets import Action
from execution.facts import Decided, EquityMarked, Fact, RunStarted, TradePlanned
from execution.ledger.pnl import PnL
from execution.pairs import PairTrade
from execution.state import State, apply, trade_at


class Moment(msgspec.Struct, frozen=True):
    """One hourly valuation. Money in quote.

    ``exposure`` is the notional of one leg, over all pairs. ``leverage`` and ``distance`` (to
    liquidation, fraction of the mark) are the worst of any pair since the valuation before,
    inside the bars too; None while no perp was held.
    """

    time_ns: int
    equity: Decimal
    pnl: PnL
    exposure: Decimal
    leverage: Decimal | None
    distance: float | None


class Paid(msgspec.Struct, frozen=True):
    """Funding of all trades up to an instant, and what their forecasts at entry came to by then."""

    time_ns: int
    received: Decimal
    foreseen: Decimal


class Course(msgspec.Struct, frozen=True):
    """What there is to draw and to list. ``verdicts`` are a pair's, each until the next."""

    started: RunStarted
    ended_ns: int
    pairs: tuple[Pair, ...]
    moments: tuple[Moment, ...]
    paid: tuple[Paid, ...]
    trades: tuple["TradeCourse", ...]
    verdicts: dict[str, tuple["Verdict", ...]]
    filled: tuple["Filled", ...]
    happened: tuple[Happening, ...]


class TradeCourse(msgspec.Struct):
    """One trade, and its funding against the forecast on which it was opened.

    ``foreseen`` is that forecast on the notional and the hours of each payment that came, so
    that the two differ by the rate alone. ``worth`` is notional times hours, quote hours:
    ``received / worth`` is the mean hourly income. ``forecast_error`` is the forecast's standard
    error, ``hours`` how many were paid for.
    """

    trade: PairTrade
    forecast_error: float | None = None
    received: Decimal = ZERO
    foreseen: Decimal = ZERO
    worth: Decimal = ZERO
    hours: int = 0


class Verdict(msgspec.Struct, frozen=True):
    """What was decided about a pair, and how long it stood. ``code`` is the reason's first word."""

    time_ns: int
    until_ns: int
    action: Action
    code: str
    reason: str


class Filled(msgspec.Struct):
    """All fills of one kind of leg that rested, or took. ``fee`` in quote, positive paid."""

    kind: Kind
    liquidity: Liquidity
    count: int = 0
    notional: Decimal = ZERO
    fee: Decimal = ZERO


def course(facts: Iterable[Fact], pairs: Sequence[Pair], ended_ns: int) -> Course:
    """Fold the facts of one state directory, from its first on."""
    fold = _Fold(pairs)
    with exact():
        for fact in facts:
            fold.hear(fact)
    state = fold.record.state
    for trade_id, line in fold.trades.items():
        line.trade = state.trades[trade_id]
    booked = set(state.books.trades)
    return Course(
        started=fold.record.run,
        ended_ns=ended_ns,
        pairs=tuple(pairs),
        moments=tuple(fold.moments),
        paid=tuple(fold.paid),
        trades=tuple(line for name, line in fold.trades.items() if name in booked),
        verdicts={
            pair.name: tuple(_verdicts(fold.record.decisions[pair.name], ended_ns))
            for pair in pairs
        },
        filled=tuple(fold.filled[key] for key in sorted(fold.filled)),
        happened=tuple(fold.record.happened),
    )


class _Fold:
    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.record = Record(State(pairs))
        self.moments: list[Moment] = []
        self.paid: list[Paid] = []
        self.trades: dict[str, TradeCourse] = {}
        self.filled: dict[tuple[Kind, Liquidity], Filled] = {}

    def hear(self, fact: Fact) -> None:
        state = self.record.state
        told_again = isinstance(fact, Fill | FundingPayment | Cashflow) and state.books.has_seen(
            fact
        )
        apply(state, fact)
        self.record.add(fact)
        if told_again:
            return
        match fact:
            case TradePlanned():
                decided = state.decided.get(fact.pair)
                error = decided.target.forecast_error if decided is not None else None
                self.trades[fact.trade_id] = TradeCourse(state.trades[fact.trade_id], error)
            case Fill():
                self._fill(fact)
            case FundingPayment():
                self._funding(fact)
            case EquityMarked():
                self._moment(fact)
            case Cashflow() if self.moments and fact.venue_time_ns < self.moments[0].time_ns:
                self.moments.clear()  # valued before it was known what was there
            case _:
                pass

    def _fill(self, fact: Fill) -> None:
        instrument = self.record.state.instruments[fact.instrument]
        key = (instrument.kind, fact.liquidity)
        line = self.filled.setdefault(key, Filled(*key))
        line.count += 1
        line.notional += fact.quantity * fact.price
        in_quote = fact.fee.asset == instrument.quote
        line.fee += fact.fee.amount if in_quote else fact.fee.amount * fact.price

    def _funding(self, fact: FundingPayment) -> None:
        trade_id = trade_at(self.record.state, fact.instrument, fact.venue_time_ns)
        if trade_id is None:
            return
        line = self.trades[trade_id]
        forecast = decimal_of(line.trade.plan.forecast_hourly)
        worth = abs(fact.position) * fact.price * fact.interval_hours
        line.received += fact.payment.amount
        line.foreseen += worth * forecast
        line.worth += worth
        line.hours += fact.interval_hours
        before = self.paid[-1] if self.paid else Paid(0, ZERO, ZERO)
        self.paid.append(
            Paid(
                fact.venue_time_ns,
                before.received + fact.payment.amount,
                before.foreseen + worth * forecast,
            )
        )

    def _moment(self, fact: EquityMarked) -> None:
        state, point = self.record.state, self.record.points[-1]
        exposure = sum(
            (
                abs(quantity) * self.record.marks[held]
                for held, quantity in state.books.positions().items()
                if state.instruments[held].kind is Kind.PERP
            ),
            ZERO,
        )
        worst = fact.lately
        self.moments.append(
            Moment(
                fact.time_ns,
                fact.equity,
                point.pnl,
                exposure,
                worst.leverage_held or None,
                worst.liquidation_distance,
            )
        )


_REFUSED = {Action.ENTER: Action.WAIT, Action.ADD: Action.HOLD, Action.REDUCE: Action.HOLD}
"""What a pair does instead of what is refused."""


def _verdicts(decided: Iterable[Decided], ended_ns: int) -> Iterator[Verdict]:
    facts = tuple(decided)
    ends = [later.time_ns for _, later in pairwise(facts)] + [ended_ns]
    for fact, until_ns in zip(facts, ends, strict=bool(facts)):
        target = fact.target
        reason = "; ".join((target.reason, *(f"refused by {why}" for why in fact.refusals)))
        yield Verdict(
            fact.time_ns,
            max(until_ns, fact.time_ns),
            _REFUSED.get(target.action, target.action) if fact.refusals else target.action,
            gist(fact.refusals[0] if fact.refusals else target.reason),
            reason,
        )


def spans(verdicts: Sequence[Verdict]) -> Iterator[Verdict]:
    """Neighbours of one action and code as one; its reason is the first one's."""
    open_: Verdict | None = None
    for verdict in verdicts:
        if open_ is not None and (open_.action, open_.code) == (verdict.action, verdict.code):
            open_ = msgspec.structs.replace(open_, until_ns=verdict.until_ns)
            continue
        if open_ is not None:
            yield open_
        open_ = verdict
    if open_ is not None:
        yield open_
