"""Everything that must survive, as a fold of the journal's facts: ``apply`` and nothing else.

Recovery is ``for fact in journal: apply(state, fact)``. It never decides again and
emits nothing; deciding is ``bot.engine``'s, which changes state only by recording
facts through this same ``apply``.
"""

from collections.abc import Callable, Iterable
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

import msgspec

from domain.account import Cashflow, FundingPayment, LeverageConfirmed, MarginMoved, SettingRefused
from domain.instruments import Instrument, Kind, Pair
from domain.money import ZERO
from domain.orders import (
    RESTS_ONLY,
    CancelRejected,
    Fill,
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
)
from domain.targets import ExitCause, Legs
from domain.time import DAY, HOUR, SECOND
from execution.facts import (
    CancelIntended,
    CommandGiven,
    Decided,
    EquityMarked,
    Extremes,
    Fact,
    LimitCleared,
    LimitTripped,
    MarginIntended,
    OrderDoubted,
    OrderIntended,
    OrderResolved,
    Reconciled,
    RequestSigned,
    ResidualMoved,
    Retargeted,
    Role,
    RunStarted,
    Stage,
    StageChanged,
    TradePlanned,
    known_at,
)
from execution.ledger.books import Books
from execution.orders import Order, OrderEvent, OrderState, OrderTable
from execution.pairs import STAGES, PairTrade, naked_quantity
from execution.risk.halts import LimitState, apply_limit

OPENING = "opening-"
"""How the ids of cash flows begin that stand for what an account held before its journal."""

_AVERAGES = Context(prec=50, rounding=ROUND_HALF_EVEN)
_AVERAGE_STEP = Decimal("1e-12")


class Exposed(msgspec.Struct):
    """The largest differences between the legs so far: what the report calls naked."""

    notional: Decimal = ZERO
    seconds: float = 0.0


class State:
    """Durable state. Mutable inside the engine; whatever leaves it is a frozen value."""

    def __init__(self, pairs: Iterable[Pair]) -> None:
        self.pairs: dict[str, Pair] = {pair.name: pair for pair in pairs}
        self.instruments: dict[str, Instrument] = {
            leg.id: leg for pair in self.pairs.values() for leg in (pair.spot, pair.perp)
        }
        self.pair_of: dict[str, Pair] = {
            leg.id: pair for pair in self.pairs.values() for leg in (pair.spot, pair.perp)
        }
        self.run: RunStarted | None = None
        # One account has one quote asset; the first pair's is the account's.
        quotes = [pair.perp.quote for pair in self.pairs.values()]
        self.books = Books(quotes[0]) if quotes else Books()
        self.orders = OrderTable()
        self.venue_orders: dict[str, str] = {}  # the venue's own order ids, to ours
        self.nonces: dict[str, int] = {}  # of live orders, by client id
        self.nonce = 0  # the highest that was ever signed
        self.sent: list[tuple[int, Decimal]] = []  # time and notional of the last hour's orders
        self.opens: dict[str, list[int]] = {}  # pair -> when it was opened in the last day
        self.trades: dict[str, PairTrade] = {}
        self.open_trades: dict[str, str] = {}  # pair -> trade id
        self.last_trade: dict[str, str] = {}  # pair -> its latest trade, open or closed
        self.limits = LimitState()
        self.decided: dict[str, Decided] = {}
        self.margin_requests: dict[str, MarginIntended] = {}  # perp -> the newest, if unanswered
        self.exposed = Exposed()
        self.equity: EquityMarked | None = None
        self.traded_at: dict[str, Decimal] = {}  # instrument -> price of its latest fill
        self.extremes = Extremes()
        self.equity_peak: Decimal = ZERO  # without its owner's profit: EquityMarked.owners
        self.day_start: EquityMarked | None = None
        self.loss_streak = 0
        self.reconciled: Reconciled | None = None
        self.paused = False
        self.opened_ns = 0  # venue time of the opening balances: what came before is in them
        self.funding_ns: int | None = None
        self.private_ns = 0
        self.rests_only_ns: int | None = None  # when a taker was last refused for being one
        self.counts: dict[str, int] = {}
        self.refusals: dict[str, int] = {}
        self.facts = 0
        self.time_ns = 0

    def trade_on(self, pair: str) -> PairTrade | None:
        """The open trade on a pair, if there is one."""
        trade_id = self.open_trades.get(pair)
        return self.trades[trade_id] if trade_id is not None else None

    def spot_of(self, asset: str) -> Instrument | None:
        """The spot instrument whose base ``asset`` is; None for the quote and for the unknown."""
        for pair in self.pairs.values():
            if pair.spot.base == asset:
                return pair.spot
        return None

    def quantities(self, trade: PairTrade) -> tuple[Decimal, Decimal]:
        """Spot and perp quantity that the trade holds, signed."""
        pair = self.pairs[trade.plan.pair]
        return (
            self.books.quantity(trade.trade_id, pair.spot.id),
            self.books.quantity(trade.trade_id, pair.perp.id),
        )

    def along(self, trade: PairTrade) -> tuple[Decimal, Decimal]:
        """The same as the trade counts it: positive on the side by which it opens."""
        spot, perp = self.quantities(trade)
        return trade.legs.along(Kind.SPOT, spot), trade.legs.along(Kind.PERP, perp)

    def matched(self, trade: PairTrade) -> Decimal:
        """What of the trade is there on every leg that it trades; negative on the wrong side."""
        spot, perp = self.along(trade)
        return min(spot, perp) if trade.legs.trades_spot else perp

    def counted(self, trade: PairTrade) -> Decimal:
        """What a strategy is told that the trade holds: what it wants, or what it has if more."""
        return max(trade.quantity, self.matched(trade))

    def is_owed(self, trade_id: str, instrument: str) -> bool:
        """Whether a trade owes this to its owner's inventory: nobody can take from what is sold."""
        is_spot = self.instruments[instrument].kind is Kind.SPOT
        return is_spot and self.trades[trade_id].legs is Legs.REVERSE


def apply(state: State, fact: Fact) -> None:
    """Fold one fact into the state. The only way durable state changes.

    Facts are applied exactly once and in order; a fill, payment or cash flow whose
    id the books have already seen changes nothing.
    """
    _HANDLERS[type(fact)](state, fact)
    state.facts += 1
    state.time_ns = max(state.time_ns, known_at(fact))


def _run_started(state: State, fact: RunStarted) -> None:
    state.run = fact
    state.private_ns = fact.time_ns


def _decided(state: State, fact: Decided) -> None:
    target = fact.target
    state.decided[target.pair] = fact
    _count(state.counts, f"decided_{target.action}")
    for refusal in fact.refusals:
        _count(state.refusals, refusal.split(":", 1)[0])


def _planned(state: State, fact: TradePlanned) -> None:
    state.trades[fact.trade_id] = PairTrade(
        fact, fact.quantity, Stage.PREPARING, worked_ns=fact.time_ns
    )
    since_ns = fact.time_ns - DAY
    state.opens[fact.pair] = [t for t in state.opens.get(fact.pair, ()) if t > since_ns]
    state.opens[fact.pair].append(fact.time_ns)
    state.open_trades[fact.pair] = fact.trade_id
    state.last_trade[fact.pair] = fact.trade_id


def _retargeted(state: State, fact: Retargeted) -> None:
    trade = state.trades[fact.trade_id]
    grows, shrinks = fact.quantity > trade.quantity, fact.quantity < trade.quantity
    met = shrinks and fact.quantity > ZERO and fact.cause is ExitCause.TARGET
    _change(
        state,
        fact.trade_id,
        plan=trade.plan if fact.plan is msgspec.UNSET else fact.plan,
        quantity=fact.quantity,
        urgent=fact.urgent,
        cause=fact.cause,
        exit_reason=fact.reason if fact.quantity == ZERO else None,
        # A stop that moves is no progress: what waits to be filled waits no longer for it.
        worked_ns=fact.time_ns if fact.plan is msgspec.UNSET or grows or shrinks
        else trade.worked_ns,
        setbacks=0 if fact.urgent else trade.setbacks,
        held=trade.held and not grows,
        tranches=trade.tranches + grows,
        targets_met=trade.targets_met + met,
    )  # fmt: skip


def _stage_changed(state: State, fact: StageChanged) -> None:
    trade = state.trades[fact.trade_id]
    if fact.stage not in STAGES[trade.stage]:
        raise ValueError(f"trade {fact.trade_id} cannot go from {trade.stage} to {fact.stage}")
    if fact.stage is Stage.CLOSED:
        _change(state, fact.trade_id, stage=fact.stage, closed_ns=fact.time_ns, urgent=False)
        del state.open_trades[trade.plan.pair]
        if trade.opened_ns is not None:  # what never began has neither lost nor won
            result = state.books.pnl(fact.trade_id, {}).total
            state.loss_streak = state.loss_streak + 1 if result < ZERO else 0
    elif fact.stage is Stage.HOLDING:
        _change(state, fact.trade_id, stage=fact.stage, held=True, urgent=False)
    else:
        _change(state, fact.trade_id, stage=fact.stage, worked_ns=fact.time_ns)


def _residual_moved(state: State, fact: ResidualMoved) -> None:
    state.books.move_residual(
        state.instruments[fact.instrument],
        fact.quantity,
        fact.price,
        fact.from_trade,
        fact.to_trade,
    )


def _order_intended(state: State, fact: OrderIntended) -> None:
    state.orders.intend(fact)
    trade = state.trades[fact.trade_id]
    _change(state, fact.trade_id, orders_sent=trade.orders_sent + 1)
    since_ns = fact.time_ns - HOUR
    if state.sent and state.sent[0][0] <= since_ns:
        state.sent = [sent for sent in state.sent if sent[0] > since_ns]
    turned_over = fact.role is not Role.STOP  # a stop is there so that nothing comes of it
    worth = fact.request.quantity * fact.request.price if turned_over else ZERO
    state.sent.append((fact.time_ns, worth))
    _count(state.counts, "sent")


def _signed(state: State, fact: RequestSigned) -> None:
    state.nonce = max(state.nonce, fact.nonce)
    if fact.request_id in state.orders:
        live = {c: nonce for c, nonce in state.nonces.items() if state.orders[c].is_live}
        state.nonces = {**live, fact.request_id: fact.nonce}


def _cancel_intended(state: State, fact: CancelIntended) -> None:
    state.orders.advance(fact.cloid, OrderEvent.CANCEL_SENT, fact.time_ns)


def _accepted(state: State, fact: OrderAccepted) -> None:
    state.orders.accept(fact.cloid, fact.filled, fact.received_ns)
    state.venue_orders[fact.venue_order_id] = fact.cloid


def _rejected(state: State, fact: OrderRejected) -> None:
    order = state.orders.advance(fact.cloid, OrderEvent.REFUSED, fact.received_ns)
    _count(state.counts, "rejected")
    if fact.reason.startswith(RESTS_ONLY):
        state.rests_only_ns = fact.received_ns
    _in_vain(state, order, fact.received_ns)


def _canceled(state: State, fact: OrderCanceled) -> None:
    asked = state.orders[fact.cloid].state is OrderState.CANCELING
    order = state.orders.end(fact.cloid, fact.filled, fact.received_ns)
    _count(state.counts, "canceled")
    if order.role is Role.STOP and asked:
        return
    if fact.filled == ZERO and order.role is not Role.MAKER:
        _in_vain(state, order, fact.received_ns)


def _cancel_rejected(state: State, fact: CancelRejected) -> None:
    state.orders.advance(fact.cloid, OrderEvent.CANCEL_REFUSED, fact.received_ns)


def _doubted(state: State, fact: OrderDoubted) -> None:
    state.orders.advance(fact.cloid, OrderEvent.DOUBTED, fact.time_ns)


def _resolved(state: State, fact: OrderResolved) -> None:
    order = state.orders.resolve(fact.cloid, fact.status, fact.filled, fact.time_ns)
    _count(state.counts, "unknown_resolved")
    if order.role is Role.STOP and not order.is_live:
        _in_vain(state, order, fact.time_ns)


def _fill(state: State, fact: Fill) -> None:
    instrument = state.instruments[fact.instrument]
    order = state.orders.get(fact.cloid)
    trade_id = order.trade_id if order else None
    if trade_id is None or state.trades[trade_id].stage is Stage.CLOSED:
        # Nobody would hedge it in a closed trade, whose result stands still.
        trade_id = state.open_trades.get(state.pair_of[fact.instrument].name)
    if order is None and not _reduces(state, trade_id, fact):
        trade_id = None  # what a person bought is theirs
    # A fill nobody here ordered has no decision behind it: it slips against nothing.
    mid = order.decision_mid if order else fact.price
    if not state.books.fill(fact, instrument, trade_id, mid):
        return
    state.traded_at[fact.instrument] = fact.price
    state.private_ns = max(state.private_ns, fact.venue_time_ns)
    if order is not None:
        order = state.orders.fill(order.cloid, fact.quantity, fact.received_ns)
        if order.filled >= order.request.quantity:
            _count(state.counts, "filled")
    if trade_id is not None:
        _progress(state, trade_id, fact)
        if order is not None and order.role is Role.UNWIND:
            _setback(state, trade_id, fact.received_ns)


def _reduces(state: State, trade_id: str | None, fact: Fill) -> bool:
    """Whether a fill that we did not order takes from what the trade holds."""
    if trade_id is None or state.is_owed(trade_id, fact.instrument):
        return False
    held = state.books.quantity(trade_id, fact.instrument)
    return held * fact.side.sign < ZERO


def _progress(state: State, trade_id: str, fact: Fill) -> None:
    """A fill is progress, and may open or close a difference between the legs."""
    trade = state.trades[trade_id]
    pair = state.pairs[trade.plan.pair]
    spot, perp = state.quantities(trade)
    naked = ZERO
    now_ns = fact.received_ns
    _exposed_for(state, trade, now_ns)
    if trade.legs.trades_spot:
        naked = naked_quantity(pair, spot, perp, fact.price)
        state.exposed.notional = max(state.exposed.notional, abs(spot + perp) * fact.price)
    # From the fill on, however late we heard of it.
    started = trade.naked_ns if trade.naked_ns is not None else min(fact.venue_time_ns, now_ns)
    is_spot = fact.instrument == pair.spot.id
    quantity, quote = trade.spot_built if is_spot else trade.perp_built
    if fact.side is trade.legs.opens(Kind.SPOT if is_spot else Kind.PERP):
        quantity, quote = quantity + fact.quantity, quote + fact.quantity * fact.price
    elif fact.quantity < quantity:  # what is left keeps its average price
        quote = _share_of(quote, quantity - fact.quantity, quantity)
        quantity -= fact.quantity
    _change(
        state,
        trade_id,
        worked_ns=now_ns,
        setbacks=0,
        naked_ns=started if naked != ZERO else None,
        opened_ns=trade.opened_ns if trade.opened_ns is not None else now_ns,
        **{"spot_built" if is_spot else "perp_built": (quantity, quote)},
    )


def _share_of(quote: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    """In steps, so that it is the same in whatever context it is folded."""
    return _AVERAGES.quantize(
        _AVERAGES.divide(_AVERAGES.multiply(quote, part), whole), _AVERAGE_STEP
    )


def _exposed_for(state: State, trade: PairTrade, now_ns: int) -> None:
    if trade.naked_ns is not None:
        seconds = (now_ns - trade.naked_ns) / SECOND
        state.exposed.seconds = max(state.exposed.seconds, seconds)


def _funding(state: State, fact: FundingPayment) -> None:
    trade_id = trade_at(state, fact.instrument, fact.venue_time_ns)
    if state.books.funding(fact, trade_id):
        state.private_ns = max(state.private_ns, fact.venue_time_ns)
        state.funding_ns = fact.venue_time_ns


def _cashflow(state: State, fact: Cashflow) -> None:
    if fact.cashflow_id.startswith(OPENING):
        state.opened_ns = fact.venue_time_ns
    trade_id = trade_at(state, fact.instrument, fact.venue_time_ns)
    capital = state.books.capital
    token = state.spot_of(fact.money.asset)
    price = None
    if token is not None and state.equity is not None:
        price = state.equity.marks.get(token.id)
    if state.books.cashflow(fact, trade_id, instrument=token, price=price):
        state.private_ns = max(state.private_ns, fact.venue_time_ns)
        _capital_moved(state, state.books.capital - capital)


def _capital_moved(state: State, amount: Decimal) -> None:
    """What the owner brings is no profit and what he takes out no loss: losses start from there."""
    state.equity_peak += amount
    if state.day_start is not None:
        equity = state.day_start.equity + amount
        state.day_start = msgspec.structs.replace(state.day_start, equity=equity)


def _leverage_confirmed(_state: State, _fact: LeverageConfirmed) -> None:
    """Kept for the record; the stage that follows it is what counts."""


def _margin_intended(state: State, fact: MarginIntended) -> None:
    state.margin_requests[fact.instrument] = fact


def _margin_answered(state: State, fact: MarginMoved | SettingRefused) -> None:
    request = state.margin_requests.get(fact.instrument)
    if request is not None and request.request_id == fact.request_id:
        del state.margin_requests[fact.instrument]


def _limit_tripped(state: State, fact: LimitTripped) -> None:
    state.limits = apply_limit(state.limits, fact)


def _limit_cleared(state: State, fact: LimitCleared) -> None:
    state.limits = apply_limit(state.limits, fact)
    # Who resets a loss limit accepts the loss: it is counted from here on.
    if fact.limit == "loss_streak":
        state.loss_streak = 0
    elif fact.limit == "drawdown" and state.equity is not None:
        state.equity_peak = state.equity.equity - state.equity.owners
    elif fact.limit == "daily_loss":
        state.day_start = state.equity


def _reconciled(state: State, fact: Reconciled) -> None:
    state.reconciled = fact


def _equity_marked(state: State, fact: EquityMarked) -> None:
    if state.day_start is None or state.day_start.time_ns // DAY != fact.time_ns // DAY:
        state.day_start = fact
    state.equity = fact
    state.extremes = fact.extremes
    for trade_id in state.open_trades.values():
        _exposed_for(state, state.trades[trade_id], fact.time_ns)
    state.equity_peak = max(state.equity_peak, fact.equity - fact.owners)


def _command(state: State, fact: CommandGiven) -> None:
    if fact.command in ("pause", "resume"):
        state.paused = fact.command == "pause"


def trade_at(state: State, instrument: str | None, time_ns: int) -> str | None:
    """The trade that held this instrument at ``time_ns``: news of a closed one may come late."""
    if instrument is None or instrument not in state.pair_of:
        return None
    trade_id = state.last_trade.get(state.pair_of[instrument].name)
    if trade_id is None:
        return None
    closed_ns = state.trades[trade_id].closed_ns
    return trade_id if closed_ns is None or time_ns < closed_ns else None


def _change(state: State, trade_id: str, **changes: object) -> None:
    state.trades[trade_id] = msgspec.structs.replace(state.trades[trade_id], **changes)


def _in_vain(state: State, order: Order, time_ns: int) -> None:
    """A refused or empty order: the next one waits. For a stop's only the next stop does."""
    if order.role is Role.STOP:
        _change(state, order.trade_id, stop_lost_ns=time_ns)
    else:
        _setback(state, order.trade_id, time_ns)


def _setback(state: State, trade_id: str, time_ns: int) -> None:
    trade = state.trades[trade_id]
    _change(state, trade_id, setbacks=trade.setbacks + 1, setback_ns=time_ns)


def _count(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1


_HANDLERS: dict[type, Callable[[State, Any], None]] = {
    RunStarted: _run_started,
    Decided: _decided,
    TradePlanned: _planned,
    Retargeted: _retargeted,
    StageChanged: _stage_changed,
    ResidualMoved: _residual_moved,
    OrderIntended: _order_intended,
    RequestSigned: _signed,
    CancelIntended: _cancel_intended,
    OrderAccepted: _accepted,
    OrderRejected: _rejected,
    OrderCanceled: _canceled,
    CancelRejected: _cancel_rejected,
    OrderDoubted: _doubted,
    OrderResolved: _resolved,
    Fill: _fill,
    FundingPayment: _funding,
    Cashflow: _cashflow,
    LeverageConfirmed: _leverage_confirmed,
    MarginIntended: _margin_intended,
    MarginMoved: _margin_answered,
    SettingRefused: _margin_answered,
    LimitTripped: _limit_tripped,
    LimitCleared: _limit_cleared,
    Reconciled: _reconciled,
    EquityMarked: _equity_marked,
    CommandGiven: _command,
}
