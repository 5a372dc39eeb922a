"""What a run did, for whoever asks about it: a fold of its facts beside its state.

The state keeps what the bot needs to go on; this keeps what a person wants to read. A running
bot keeps as much of it as is bounded, a command that reads a journal keeps all.
"""

from collections import defaultdict, deque
from collections.abc import Callable
from decimal import Decimal

import msgspec

from bot.hearing import to_all
from domain.account import Cashflow, FundingPayment
from domain.orders import Fill
from execution.effects import RaiseAlarm
from execution.facts import (
    CommandGiven,
    Decided,
    EquityMarked,
    Fact,
    LimitCleared,
    LimitTripped,
    OrderIntended,
    Reconciled,
    Retargeted,
    RunStarted,
    StageChanged,
    TradePlanned,
    known_at,
)
from execution.ledger.pnl import PnL
from execution.state import State, trade_at

POINTS = 1_000
"""Of the equity's course; beyond it every second one is dropped."""
_EVENTS = 200
_ORDERS = 60
_DECISIONS = 50
_TRADES = 100


class Point(msgspec.Struct, frozen=True):
    """Equity, and profit by source, at one hourly valuation."""

    time_ns: int
    equity: Decimal
    pnl: PnL


class Happening(msgspec.Struct, frozen=True):
    """One line of what happened. ``level``: info, warning or alarm."""

    time_ns: int
    level: str
    what: str


class Record:
    """Every fact that ``state`` has folded, as far as it is kept.

    ``facts_of`` a trade are in order, ``decisions`` a pair's last ones, ``marks`` the last
    prices on record, ``refused`` how often which check refused a pair.
    """

    def __init__(self, state: State, *, bounded: bool = False) -> None:
        self.state = state
        self.marks: dict[str, Decimal] = {}
        self.facts_of: dict[str, list[Fact]] = {}
        self.decisions: defaultdict[str, deque[Decided]] = defaultdict(
            lambda: deque(maxlen=_DECISIONS if bounded else None)
        )
        self.refused: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self.orders: deque[str] = deque(maxlen=_ORDERS)  # client ids, newest last
        self.happened: deque[Happening] = deque(maxlen=_EVENTS)
        self.points: tuple[Point, ...] = ()
        self._bounded = bounded

    @property
    def run(self) -> RunStarted:
        assert self.state.run is not None, "Invariant: a run's first fact is its start"
        return self.state.run

    def add(self, fact: Fact) -> None:
        """Note one more fact, right after the state has folded it."""
        trade_id = self._trade_of(fact)
        if trade_id is not None:
            self.facts_of.setdefault(trade_id, []).append(fact)
        match fact:
            case Decided(target=target, refusals=refusals):
                self.decisions[target.pair].append(fact)
                counts = self.refused[target.pair]
                for refusal in refusals:
                    gate = refusal.split(":", 1)[0]
                    counts[gate] = counts.get(gate, 0) + 1
            case Fill(instrument=instrument, price=price):
                self.marks[instrument] = price
            case OrderIntended(request=request):
                self.orders.append(request.cloid)
            case TradePlanned() if self._bounded:
                self._forget()
            case EquityMarked(marks=marks, equity=equity, time_ns=time_ns):
                self.marks.update(marks)
                point = Point(time_ns, equity, self.state.books.pnl_total(self.marks))
                kept = self.points if len(self.points) < POINTS else self.points[::2]
                self.points = (*kept, point)
        if (happening := _happening(fact)) is not None:
            self.happened.append(happening)

    def alarm(self, alarm: RaiseAlarm) -> None:
        """Note what a person was told."""
        what = f"{alarm.alarm}: {alarm.detail}"
        self.happened.append(Happening(alarm.time_ns, "alarm", what))

    def told(
        self,
        on_alarm: Callable[[RaiseAlarm], None] | None,
        on_fact: Callable[[Fact], None] | None,
    ) -> tuple[Callable[[RaiseAlarm], None], Callable[[Fact], None]]:
        """Both listeners, and this record told before them."""
        return to_all(self.alarm, on_alarm), to_all(self.add, on_fact)

    def pnl(self, trade_id: str) -> PnL:
        """A trade's profit by source; what is open is valued at the last marks on record."""
        return self.state.books.pnl(trade_id, self.marks)

    def equity(self) -> Decimal:
        return self.state.books.equity(self.marks)

    def _trade_of(self, fact: Fact) -> str | None:
        if isinstance(fact, Fill) and (order := self.state.orders.get(fact.cloid)) is not None:
            return order.trade_id
        if isinstance(fact, Fill | FundingPayment | Cashflow):
            return trade_at(self.state, fact.instrument, fact.venue_time_ns)
        return getattr(fact, "trade_id", None)

    def _forget(self) -> None:
        """Of trades long closed the journal tells; ``fundarb why`` reads it there."""
        closed = [t for t in self.facts_of if t not in self.state.open_trades.values()]
        for trade_id in closed[: max(0, len(self.facts_of) - _TRADES)]:
            del self.facts_of[trade_id]


def _happening(fact: Fact) -> Happening | None:
    """What of the journal is news to a person: turning points, in words."""
    told: tuple[str, str] | None = None
    match fact:
        case RunStarted(mode=mode, feed=feed):
            told = "info", f"{mode} began, market {feed}"
        case TradePlanned(trade_id=trade_id, thesis=thesis):
            told = "info", f"{trade_id} planned: {thesis}"
        case StageChanged(trade_id=trade_id, stage=stage):
            told = "info", f"{trade_id} {stage}"
        case Retargeted(trade_id=trade_id, quantity=quantity, reason=reason):
            what = f"wants {quantity} a leg" if quantity else "closes"
            told = "info", f"{trade_id} {what}: {reason}"
        case LimitTripped(limit=limit, detail=detail):
            told = "alarm", f"limit {limit} tripped: {detail}"
        case LimitCleared(limit=limit, by=by):
            told = "info", f"limit {limit} cleared: {by}"
        case Reconciled(mismatches=mismatches) if mismatches:
            told = "alarm", f"books and venue disagree: {'; '.join(mismatches)}"
        case CommandGiven(command=command, argument=argument, actor=actor):
            told = "warning", f"{command} {argument}".strip() + f" ordered by {actor}"
    return None if told is None else Happening(known_at(fact), *told)
