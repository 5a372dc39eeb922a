"""The core: one event in, facts and effects out. No clock, no await, no log, no randomness.

``Engine.handle`` decides, and changes durable state only by recording facts through
``execution.state.apply``. The caller commits the facts before it lets the effects
leave. Given the same events, two engines record the same facts and ask for the
same effects, byte for byte; backtest, paper and live differ only in who supplies
the events and who carries out the effects.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import msgspec

from bot.desk import Desk, inventory, is_dust, readings
from bot.margin import margin_action, margin_trigger, missing_margin
from bot.perps import Perps
from bot.planning import bars, kept_stop, plan_addition, plan_entry, reduced_quantity
from bot.valuation import holdings, marks, not_ours, valued
from domain.account import (
    AccountReport,
    CashCause,
    Cashflow,
    FundingPayment,
    LeverageConfirmed,
    MarginMode,
    MarginMoved,
    PositionReport,
    SettingRefused,
)
from domain.instruments import Instrument, Kind, Pair
from domain.market import Book, FundingSettled, PerpContext
from domain.money import ZERO, Money, decimal_of
from domain.orders import (
    RESTS_ONLY,
    CancelRejected,
    FenceOutcome,
    Fill,
    FillCause,
    OrderAccepted,
    OrderCanceled,
    OrderFenced,
    OrderRejected,
    OrderReport,
    OrderRequest,
    OrderStatus,
    SendFailed,
    Side,
    client_order_id,
    is_own,
)
from domain.targets import Action, ExitCause, Legs, Target
from domain.time import HOUR, HOURS_PER_YEAR, MINUTE, SECOND
from execution import stops
from execution.effects import (
    CancelOrder,
    Effect,
    FenceOrder,
    MoveMargin,
    PlaceOrder,
    QueryAccount,
    QueryOrder,
    RaiseAlarm,
    SetLeverage,
    WakeAt,
)
from execution.events import Command, Event, Reconnected, Timer, Trouble
from execution.facts import (
    CancelIntended,
    CommandGiven,
    Decided,
    Fact,
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
)
from execution.fence import proof_of, skew_ns
from execution.orders import Order, OrderState
from execution.pairs import (
    ExecutionPolicy,
    PairTrade,
    Situation,
    Wanted,
    gave_up,
    patience,
    step,
)
from execution.reconcile import differences, is_comparable, missing_orders
from execution.risk.calendar import Event as ScheduledEvent
from execution.risk.guard import Close, Release, Shrink, TopUp
from execution.risk.halts import (
    KILLED,
    blocks_entries,
    breaches,
    closes_only,
    evaluate,
    observe,
    reset,
)
from execution.risk.limits import RiskLimits
from execution.state import OPENING, State, apply
from strategies.market.state import InstrumentState, Market
from strategies.strategy import Strategy


class Outcome(msgspec.Struct, frozen=True):
    """What one event led to: facts to commit, then effects to let go, in this order."""

    facts: tuple[Fact, ...]
    effects: tuple[Effect, ...]


NOTHING = Outcome((), ())


class Engine:
    """Decides. ``state`` is durable, ``market`` and ``account`` are what was last observed."""

    def __init__(
        self,
        state: State,
        market: Market,
        strategy: Strategy,
        execution: ExecutionPolicy,
        limits: RiskLimits,
        evaluation_ns: int,
        events: tuple[ScheduledEvent, ...] = (),
    ) -> None:
        self.state = state
        self.market = market
        self.account: AccountReport | None = None
        self.reconciled_ns: int | None = None
        self.now_ns = state.time_ns
        self._strategy = strategy
        self._execution = execution
        self._limits = limits
        self._evaluation_ns = evaluation_ns
        self._events = events
        self._facts: list[Fact] = []
        self._effects: list[Effect] = []
        self._working: dict[str, str] = {}  # perp -> trade that has something to do
        self._perps = Perps(state)
        self._worth_now: tuple[dict[str, Decimal], Decimal] | None = None
        self._suspicion: tuple[str, ...] = ()  # differences that one read has found
        self._clean_ns = 0  # venue time up to which the books are known to be complete
        self._foreseen: dict[str, float] = {}  # trade -> funding per hour that was last told
        self._opened: dict[str, None] = {}  # trades just opened, whose margin is to be looked at
        self._asked_ns: dict[str, int] = {}  # order or request -> when its fate was last asked for
        self._used_ns: dict[str, int] = {}  # UNKNOWN order -> when its nonce was found used
        self._bare_ns: dict[str, int] = {}  # trade -> since when it has no stop at the venue
        self._raised_ns: dict[tuple[str, str], int] = {}  # (alarm, subject) -> when last raised
        self._evaluate_at = self._reconcile_at = self._mark_at = self._orders_at = 0
        self._reconciling_ns = self._wake_at = self._started_ns = 0
        self._caught_up = False  # whether what happened until ``_missed_ns`` has been heard
        self._behind_ns = self._missed_ns = 0
        self._more = False
        self._postponed: dict[str, None] = {}  # trades to be worked once all has been heard
        self._clock_skew_seconds = 0.0
        self._venue_ahead_ns = 0
        self._handlers: dict[type, Callable[[Any], None]] = {
            Timer: self._on_timer,
            Command: self._on_command,
            OrderAccepted: self._on_accepted,
            OrderRejected: self._on_rejected,
            OrderCanceled: self._on_canceled,
            CancelRejected: self._on_cancel_rejected,
            SendFailed: self._on_send_failed,
            OrderReport: self._on_order_report,
            OrderFenced: self._on_fenced,
            Fill: self._on_fill,
            AccountReport: self._on_account,
            FundingPayment: self._on_new_money,
            Cashflow: self._on_new_money,
            LeverageConfirmed: self._on_leverage,
            MarginMoved: self._on_margin_moved,
            SettingRefused: self._on_setting_refused,
            Reconnected: self._on_reconnected,
            Trouble: self._on_trouble,
        }

    # --- the two entrances -----------------------------------------------------------------

    def start(self, run: RunStarted) -> Outcome:
        """Begin, or begin again: recovery is the start path.

        ``run`` is recorded when the journal is new. Whatever was on the road when the
        last process ended is UNKNOWN until the venue is asked; nothing is entered
        before the books agree with the venue.
        """
        ended_ns = self.state.time_ns
        self.now_ns = self._started_ns = max(self.now_ns, run.time_ns)
        self._behind_ns = self._missed_ns = self.now_ns
        if self.state.run is None:
            self._record(run)
        last = self.state.reconciled
        clean = last is not None and not last.mismatches
        self._clean_ns = last.time_ns if last is not None and clean else self._run.time_ns
        for order in self.state.orders.live():
            if order.state in (OrderState.PENDING, OrderState.OPEN, OrderState.CANCELING):
                self._record(OrderDoubted(order.cloid, "the process ended", self.now_ns))
        if self.state.equity is not None:
            self.market.remember(self.state.equity.usual, self.now_ns)
        self._evaluate_at = self._next_evaluation()
        self._mark_at = (self.now_ns // HOUR + 1) * HOUR
        self._reconcile()
        for trade in self._open_trades():
            self._watch(trade)
            if trade.held and ended_ns - trade.worked_ns < MINUTE:  # its margin may be owed yet
                self._opened[trade.trade_id] = None
        self._on_timer(Timer(self.now_ns))
        return self._outcome()

    def handle(self, event: Event, *, more: bool = False) -> Outcome:
        """React to one event. Public events of idle instruments cost one fold and one look-up.

        ``more``: the next one is known already and was told with it. What it says is heard
        before any trade is worked, or a hedge would follow the first of two fills alone.
        """
        # `type(…) is`, since a Struct's isinstance is slow and this is asked millions of times.
        if type(event) is Book or type(event) is FundingSettled:
            self.market.observe(event)
            return NOTHING
        if type(event) is PerpContext:
            self.market.observe(event)
            return self._on_mark(event)
        self.now_ns = max(self.now_ns, event.received_ns)
        self._more = more
        self._handlers[type(event)](event)
        if self._postponed and not more:
            self._work_postponed()
        return self._outcome()

    def _on_mark(self, event: PerpContext) -> Outcome:
        """A perp's context follows its books: time to work its trade and look at its margin."""
        perp = self._perps.get(event.instrument)
        guard = False
        if perp is not None:
            guard = perp.triggers(event.mark)
            perp.worst = max(perp.worst, event.mark * perp.against)
        trade_id = self._working.get(event.instrument)
        if not guard and trade_id is None:
            return NOTHING
        self.now_ns = max(self.now_ns, event.received_ns)
        if guard:
            self._guard_margin(self.state.pair_of[event.instrument])
        if trade_id is not None:
            self._work(trade_id)
        return self._outcome()

    def adopt(self, signed: Iterable[RequestSigned]) -> None:
        """Take over what was signed for this engine's effects, once it is committed."""
        for fact in signed:
            apply(self.state, fact)

    def mark_equity(self) -> Outcome:
        """Value everything now: what is shown when the run stops is of that moment."""
        self._mark_equity()
        return self._outcome()

    # --- time ------------------------------------------------------------------------------

    def _on_timer(self, _: Timer) -> None:
        now_ns = self.now_ns
        if now_ns >= self._orders_at:
            self._check_orders()
        if now_ns >= self._reconcile_at:
            self._reconcile()
        agreed_ns = self.reconciled_ns if self.reconciled_ns is not None else self._started_ns
        unsure = (now_ns - agreed_ns) / SECOND
        if unsure > 2 * self._limits.reconcile_age_seconds_max:
            self._alarm("not_reconciled", "", f"books and venue last agreed {unsure:.0f} s ago")
        if now_ns >= self._mark_at:
            self._mark_at = (now_ns // HOUR + 1) * HOUR
            self._mark_equity()
            for trade in self._open_trades():
                self._guard_margin(self.state.pairs[trade.plan.pair])
        if now_ns >= self._evaluate_at:
            self._evaluate_at = self._next_evaluation()
            self._evaluate()
        for trade_id in list(dict.fromkeys(self._working.values())):
            self._work(trade_id)
            self._alarm_naked(self.state.trades[trade_id])
        for trade in self._open_trades():
            self._protect(trade)
        if self._working and (desk := self._desk()) is not None:
            self._check_limits(desk)
        self._wake(min(self._evaluate_at, self._reconcile_at, self._mark_at))

    def _next_evaluation(self) -> int:
        return (self.now_ns // self._evaluation_ns + 1) * self._evaluation_ns

    def _wake(self, time_ns: int) -> None:
        """Ask for a timer, unless an earlier one is already on its way."""
        if self._wake_at <= self.now_ns or time_ns < self._wake_at:
            self._wake_at = time_ns
            self._effects.append(WakeAt(time_ns))

    def _check_orders(self) -> None:
        """Doubt what has no answer, ask about what is UNKNOWN, fetch fills that are owed."""
        timeout_ns = int(self._execution.order_timeout_seconds * SECOND)
        # A stop at the venue is there for days, and is missed where it is not.
        live = [o for o in self.state.orders.live() if o.role is not Role.STOP or not o.is_resting]
        pressing = False
        for order in live:
            if order.is_resting:
                continue
            pressing = True
            age_ns = self.now_ns - order.changed_ns
            if order.state in _AWAITED and age_ns >= timeout_ns:
                self._record(OrderDoubted(order.cloid, "no answer in time", self.now_ns))
            if self.state.orders[order.cloid].state is OrderState.UNKNOWN:
                self._ask(order)
                self._alarm_unknown(order)
            if order.filled < order.reported and age_ns >= _ASK_NS:
                self._reconcile_at = min(self._reconcile_at, self._reconciling_ns + timeout_ns)
                self._alarm_owed(order)
        if live:  # what rests may fill without our hearing of it
            self._reconcile_at = min(self._reconcile_at, self._reconciling_ns + _RESTING_NS)
        preparing = [t for t in self._open_trades() if t.stage is Stage.PREPARING]
        for trade in preparing:
            if self.now_ns - max(trade.worked_ns, self._started_ns) >= MINUTE:
                self._abandon(trade, "leverage_unanswered: no answer for a minute")
            elif self.now_ns - trade.worked_ns >= timeout_ns:
                self._set_leverage(trade)
        for request in self.state.margin_requests.values():
            unasked = request.request_id not in self._asked_ns
            if unasked and self.now_ns - request.time_ns >= timeout_ns:
                # Whether it arrived shows in the account, whose report asks the guard again.
                self._asked_ns[request.request_id] = self._reconcile_at = self.now_ns
        pause_ns = _ASK_NS if pressing else timeout_ns if preparing else _RESTING_NS
        self._orders_at = self.now_ns + pause_ns
        if live or preparing:
            self._wake(self._orders_at)

    def _ask(self, order: Order) -> None:
        """Ask what became of an UNKNOWN order, not more often than every second.

        One that the venue never acknowledged is fenced at the same time: its fate is then
        known by the first answer that comes, and a late one no longer lands.
        """
        nonce = self.state.nonces.get(order.cloid)
        if self.now_ns - self._asked_ns.get(order.cloid, -_ASK_NS) >= _ASK_NS:
            if nonce is not None and not order.acknowledged and order.cloid not in self._used_ns:
                self._effects.append(FenceOrder(order.cloid, nonce))
            self._asked_ns[order.cloid] = self.now_ns
            self._check_orders_in(_ASK_NS)
            self._effects.append(QueryOrder(order.cloid, order.request.instrument))

    # --- answers about orders --------------------------------------------------------------

    def _on_accepted(self, event: OrderAccepted) -> None:
        order = self.state.orders.get(event.cloid)
        if order is not None and order.state in (OrderState.PENDING, OrderState.UNKNOWN):
            self._record(event)
            self._work(order.trade_id)

    def _on_rejected(self, event: OrderRejected) -> None:
        order = self.state.orders.get(event.cloid)
        if order is not None and order.state in _UNDECIDED:
            if event.reason.startswith(RESTS_ONLY):
                self._alarm("post_only", "", event.reason)
            self._record(event)
            lost = order.role is not Role.STOP and self._reduces(order.request)
            if lost:  # somebody has taken of the leg: who, is to be heard
                self._fall_behind()
            self._work(order.trade_id)

    def _reduces(self, request: OrderRequest) -> bool:
        is_spot = self.state.instruments[request.instrument].kind is Kind.SPOT
        return request.reduce_only or (is_spot and request.side is Side.SELL)

    def _on_canceled(self, event: OrderCanceled) -> None:
        order = self.state.orders.get(event.cloid)
        if order is not None and (order.state in _UNDECIDED or order.state is OrderState.OPEN):
            self._record(event)
            self._work(order.trade_id)

    def _on_cancel_rejected(self, event: CancelRejected) -> None:
        order = self.state.orders.get(event.cloid)
        if order is not None and order.state is OrderState.CANCELING:
            self._record(event)
            self._ask(order)

    def _on_send_failed(self, event: SendFailed) -> None:
        order = self.state.orders.get(event.cloid)
        if order is not None and order.state is OrderState.PENDING:
            self._record(OrderDoubted(event.cloid, event.reason, self.now_ns))
            self._ask(order)

    def _on_order_report(self, event: OrderReport) -> None:
        order = self.state.orders.get(event.cloid)
        if order is None or order.state is not OrderState.UNKNOWN:
            return
        if event.status is OrderStatus.NEVER_SEEN and order.acknowledged:
            if not self._is_gone(order):
                return  # it was there: an answer that does not know it is of another time
            self._resolve(order, event.status, order.filled, "neither open nor known any more")
            return
        used_ns = self._used_ns.get(event.cloid)
        skew = abs(self._clock_skew_seconds) if self._caught_up else _UNSURE_NS / SECOND
        margin = self._execution.clock_margin_seconds + skew
        proof = proof_of(event, order.request, used_ns, margin)
        if proof is not None:
            self._resolve(order, event.status, event.filled, proof)

    def _is_gone(self, order: Order) -> bool:
        """Whether a look at the account, after the doubt and a margin, does not list it as open."""
        margin_ns = int(self._execution.clock_margin_seconds * SECOND)
        account = self.account
        return (
            account is not None
            and account.venue_time_ns > order.changed_ns + margin_ns
            and order.cloid not in account.open_orders
        )

    def _on_fenced(self, event: OrderFenced) -> None:
        order = self.state.orders.get(event.cloid)
        if order is None or order.state is not OrderState.UNKNOWN:
            return
        if event.outcome is FenceOutcome.BURNT:
            proof = "its nonce was free, and is used up now"
            self._resolve(order, OrderStatus.NEVER_SEEN, order.filled, proof)
        else:
            self._used_ns.setdefault(event.cloid, event.received_ns)

    def _resolve(self, order: Order, status: OrderStatus, filled: Decimal, proof: str) -> None:
        self._record(OrderResolved(order.cloid, status, filled, proof, self.now_ns))
        self._asked_ns.pop(order.cloid, None)
        self._used_ns.pop(order.cloid, None)
        self._work(order.trade_id)

    def _on_fill(self, event: Fill) -> None:
        pair = self.state.pair_of.get(event.instrument)
        if event.venue_time_ns <= self.state.opened_ns:
            return  # it is in the balances that this journal began with
        if pair is None or self.state.books.has_seen(event):
            return  # what is none of our instruments shows as a difference to the venue
        trade = self.state.trade_on(pair.name)
        if event.cloid not in self.state.orders:
            self._suspect_history(event.cloid)
            what = f"{event.side} {event.quantity} of {event.instrument} by {event.cause}"
            self._alarm("fill_not_ordered", event.fill_id, f"{what}, not ordered here")
        if trade is None:
            self._record(event)
            return
        before = self.state.quantities(trade)
        self._record(event)
        order = self.state.orders.get(event.cloid)
        if order is not None and order.role is Role.STOP and trade.cause is not ExitCause.STOP:
            reason = f"stop: {event.quantity} at {event.price}, by the order that waited for it"
            self._retarget(trade, ZERO, urgent=True, cause=ExitCause.STOP, reason=reason)
        taken = self._net(trade, self.state.instruments[event.instrument])
        ours = event.cause is FillCause.ORDER and event.cloid in self.state.orders
        if taken:
            self._leg_lost(trade, f"{abs(taken)} of {event.instrument} were gone before we heard")
        elif not ours and self.state.quantities(trade) != before:
            what = f"{event.cause} of {event.quantity} {pair.perp.base} not ordered"
            self._leg_lost(trade, what)
        self._work(trade.trade_id)

    def _net(self, trade: PairTrade, leg: Instrument) -> Decimal:
        """What a person did and what the trade holds net at the venue, and so in the books.

        A sale may be told before the purchase of ours that it took from. Returns how much of the
        leg it took, signed as what is unassigned; zero where there is nothing to net.
        """
        books = self.state.books
        held, others = books.quantity(trade.trade_id, leg.id), books.quantity(None, leg.id)
        if held * others >= ZERO or self.state.is_owed(trade.trade_id, leg.id):
            return ZERO
        taken = others if abs(others) < abs(held) else -held
        self._move_residual(leg, taken, None, trade.trade_id)
        return taken

    def _suspect_history(self, cloid: str | None) -> None:
        """An order of ours that the journal does not know: it is an old copy, or not the only one.

        What is left out of it nobody will ever hedge, so nothing new is opened until a
        person has looked.
        """
        if is_own(cloid) and "lost_history" not in self.state.limits.names:
            detail = f"the venue has our order {cloid}, which the journal does not"
            self._on_trouble(Trouble("lost_history", detail, self.now_ns))

    def _leg_lost(self, trade: PairTrade, what: str) -> None:
        """The venue or a person traded one leg: keep what is still hedged, shed the rest."""
        pair = self.state.pairs[trade.plan.pair]
        kept = pair.floor_quantity(max(self.state.matched(trade), ZERO))
        if kept < trade.quantity:
            cause, reason = ExitCause.LEG_LOST, f"leg_lost: {what}"
            self._retarget(trade, kept, urgent=True, cause=cause, reason=reason)

    # --- money and margin ------------------------------------------------------------------

    def _on_new_money(self, event: FundingPayment | Cashflow) -> None:
        known = event.venue_time_ns <= self.state.opened_ns or self.state.books.has_seen(event)
        if not known and self._has_price(event):
            self._record(event)

    def _has_price(self, event: FundingPayment | Cashflow) -> bool:
        """Tokens are booked at a price; without one they show as a difference to the venue."""
        if isinstance(event, FundingPayment):
            return event.payment.asset == self.state.books.quote
        if event.money.asset == self.state.books.quote:
            return True
        token = self.state.spot_of(event.money.asset)
        if token is None or token.id not in self.marks():
            return False
        self._mark_equity()  # the price of this moment is what they are booked at
        marked = self.state.equity
        return marked is not None and token.id in marked.marks

    def _on_leverage(self, event: LeverageConfirmed) -> None:
        trade = self.state.trade_on(self.state.pair_of[event.instrument].name)
        if trade is None or trade.stage is not Stage.PREPARING:
            return
        if event.mode is not MarginMode.ISOLATED or event.leverage != trade.plan.leverage:
            self._abandon(
                trade,
                f"leverage_mismatch: wanted isolated {trade.plan.leverage}x, "
                f"read back {event.mode} {event.leverage}x",
            )
            return
        self._record(event)
        self._record(StageChanged(trade.trade_id, Stage.WORKING, self.now_ns))
        self._watch(self.state.trades[trade.trade_id])
        self._work(trade.trade_id)

    def _on_margin_moved(self, event: MarginMoved) -> None:
        if self._is_awaited(event):
            self._record(event)

    def _on_setting_refused(self, event: SettingRefused) -> None:
        if self._is_awaited(event):
            self._record(event)
            return
        trade = self.state.trade_on(self.state.pair_of[event.instrument].name)
        if trade is not None and trade.stage is Stage.PREPARING:
            self._record(event)
            self._abandon(trade, f"leverage_refused: {event.reason}")

    def _is_awaited(self, event: MarginMoved | SettingRefused) -> bool:
        request = self.state.margin_requests.get(event.instrument)
        return request is not None and request.request_id == event.request_id

    def _abandon(self, trade: PairTrade, reason: str) -> None:
        """Give a trade up before anything was sent for it."""
        self._retarget(trade, ZERO, urgent=False, cause=ExitCause.LIMIT, reason=reason)

    # --- reconciliation --------------------------------------------------------------------

    def _reconcile(self) -> None:
        """Ask for the account; again soon while the books are not known to agree."""
        sure = self.reconciled_ns is not None and self._caught_up
        pause_ns = int(self._execution.reconcile_seconds * SECOND) if sure else _UNSURE_NS
        self._reconciling_ns = self.now_ns
        self._reconcile_at = self.now_ns + pause_ns
        since_ns = max(self._clean_ns - MINUTE, 0)
        self._effects.append(QueryAccount(str(self.now_ns), since_ns))

    def _on_account(self, report: AccountReport) -> None:
        if self.account is not None and report.venue_time_ns < self.account.venue_time_ns:
            if report.request_id is not None:  # overtaken by a newer one: asked for again soon
                self._reconcile_at = min(self._reconcile_at, self.now_ns + SECOND)
                self._wake(self._reconcile_at)
            return
        if not report.balances and not report.positions and self.state.books.positions():
            # Of an account that is not ours the venue shows nothing either.
            self._alarm("empty_account", "", "the venue shows no balance and no position")
            return
        self.account = report
        # Certain is only that the venue's clock is at least there: the answer may be an old one.
        self._venue_ahead_ns = max(report.venue_time_ns - report.received_ns, 0)
        held = {p.instrument for p in report.positions if p.quantity != ZERO}
        for instrument in [name for name in self._perps if name not in held]:
            self._perps.forget(instrument)
        for position in report.positions:
            if position.quantity != ZERO:
                self._watch_perp(position)
        # What a shrink has freed, or a fill has used up, may ask for margin right now.
        for instrument, perp in list(self._perps.items()):
            market = self.market.of(instrument)
            if market is not None and market.mark is not None and perp.triggers(market.mark):
                self._guard_margin(self.state.pair_of[instrument])
        if report.venue_time_ns >= self.state.private_ns:
            self._meet_leverage_target()
        for trade in self._open_trades():
            self._protect(trade)
        for cloid in report.open_orders:
            known = self.state.orders.get(cloid)
            if known is None:
                self._suspect_history(cloid)
            elif not known.is_live and report.venue_time_ns > known.changed_ns + MINUTE:
                # Held for dead, and it is not: it has to go, whatever it was that we believed.
                self._alarm("order_undead", cloid, f"{cloid} is open at the venue")
                self._effects.append(CancelOrder(cloid, known.request.instrument))
        for cloid in missing_orders(self.state, report):
            self._record(OrderDoubted(cloid, "not in the venue's open orders", self.now_ns))
            self._ask(self.state.orders[cloid])
        if report.request_id is not None:
            skew = skew_ns(int(report.request_id), report.received_ns, report.venue_time_ns)
            self._clock_skew_seconds = skew / SECOND
            self._compare(report)
            if int(report.request_id) >= self._missed_ns:
                self._catch_up()
        elif is_comparable(self.state, report) and differences(self.state, report):
            # A fill or a payment that nobody told us of: its history is asked for at once.
            self._reconcile_at = min(self._reconcile_at, self._reconciling_ns + SECOND)
            self._wake(self._reconcile_at)

    def _fall_behind(self) -> None:
        """Something may have happened that we have not heard of: the account's history has it."""
        self._caught_up = False
        self._behind_ns = self._missed_ns = self.now_ns
        self._reconcile()

    def _catch_up(self) -> None:
        """The account's whole history has been told: trades may be worked on it."""
        if not self._caught_up:
            self._caught_up = True
            for trade_id in list(dict.fromkeys(self._working.values())):
                self._work(trade_id)

    def _is_behind(self) -> bool:
        """Whether we have yet to hear what venue, watchdog or a person did: after a start or a
        silence, and where an order that was to reduce a leg found too little of it.

        The fills of our own orders are told sooner than theirs, and a hedge that follows one
        half of the story opens the legs again. What stays naked waits no longer for it than
        for any hedge.
        """
        bound_ns = int(self._execution.max_naked_seconds * SECOND)
        return not self._caught_up and self.now_ns - self._behind_ns < bound_ns

    def _compare(self, report: AccountReport) -> None:
        """Books against the venue; a difference counts when two reads agree on it."""
        if not is_comparable(self.state, report):
            return
        found = differences(self.state, report)
        if found and found == self._suspicion and self.state.reconciled is None:
            self._adopt_opening(report)
            found = differences(self.state, report)
            self._suspicion = found
            if found and self._awaits_price(report):
                self._reconcile_at = self.now_ns + 2 * SECOND
                self._wake(self._reconcile_at)
                return
        if found and found != self._suspicion:
            self._suspicion = found
            self._reconcile_at = self.now_ns + 2 * SECOND
            self._wake(self._reconcile_at)
            return
        self._suspicion = found
        if not found:
            self.reconciled_ns = self.now_ns
            self._clean_ns = report.venue_time_ns
        last = self.state.reconciled
        # Kept often, for a start asks the venue for everything since then.
        stale = last is None or self.now_ns - last.time_ns >= _RECONCILED_NS
        if stale or last is None or last.mismatches != found:
            self._record(Reconciled(found, self.now_ns))
        if found:
            self._alarm("books_differ", "", "; ".join(found))

    def _adopt_opening(self, report: AccountReport) -> None:
        """What the account held before this journal began is its owner's deposit, and so is all
        that happened to it until then, however late we hear of it.

        Balances only: a position that is not ours stays a difference until it is closed.
        """
        quote = self.state.books.quote
        for balance in report.balances:
            token = self.state.spot_of(balance.asset)
            held = self.state.books.cash() if token is None else self.state.books.position(token.id)
            if balance.asset != quote and token is None:
                continue
            flow = Cashflow(
                f"{OPENING}{balance.asset}",
                Money(balance.total - held, balance.asset),
                CashCause.DEPOSIT,
                None,
                report.venue_time_ns,
                self.now_ns,
            )
            if flow.money.amount != ZERO and self._has_price(flow):
                self._record(flow)

    def _awaits_price(self, report: AccountReport) -> bool:
        """Whether a token of the account's has yet to be quoted: until then it cannot be booked."""
        marks = self.marks()
        tokens = (self.state.spot_of(balance.asset) for balance in report.balances)
        return any(token is not None and token.id not in marks for token in tokens)

    # --- deciding --------------------------------------------------------------------------

    def _evaluate(self) -> None:
        """Ask the strategy what to hold, and start what the risk gate lets pass."""
        if self.reconciled_ns is None:
            return
        desk = self._desk()
        if desk is None:
            return
        self._check_limits(desk)
        for trade in self._open_trades():
            self._cover(trade)
        for target in self._strategy.targets(
            self.market, holdings(self.state), desk.equity, self.now_ns
        ):
            self._consider(target)

    def _cover(self, trade: PairTrade) -> None:
        """A hedge is never larger than what it hedges, whoever sold of that."""
        pair = self.state.pairs[trade.plan.pair]
        owned = pair.floor_quantity(inventory(self.state, pair))
        if trade.legs is Legs.OVERLAY and owned < trade.quantity:
            reason = f"leg_lost: the account holds {owned} {pair.spot.base} of its own"
            self._retarget(trade, owned, urgent=False, cause=ExitCause.LEG_LOST, reason=reason)
            self._work(trade.trade_id)

    def _check_limits(self, desk: Desk) -> None:
        broken = breaches(readings(desk), self._limits)
        self.state.limits = observe(self.state.limits, broken, self.now_ns)
        for fact in evaluate(self.state.limits, broken, self._limits, self.now_ns):
            self._record(fact)
            if isinstance(fact, LimitTripped):
                self._alarm("limit_tripped", fact.limit, f"{fact.limit}: {fact.detail}")

    def _consider(self, target: Target) -> None:
        trade = self.state.trade_on(target.pair)
        if target.action is Action.ENTER and trade is None:
            self._enter(target)
            return
        if trade is None or trade.is_closing:
            self._decided(target, ())
            return
        self._tell_funding(trade, target)
        if target.action is Action.ADD:
            self._add(trade, target)
            return
        if target.action is Action.REDUCE:
            self._reduce(trade, target)
            return
        barred = self._bars(target)
        self._decided(target, barred)
        if barred:
            return
        if target.action is Action.EXIT:
            cause = target.exit_cause or ExitCause.THESIS_CHANGED
            urgent = target.urgent or trade.urgent  # what goes fast does not go slower for it
            self._retarget(trade, ZERO, urgent=urgent, cause=cause, reason=target.reason)
            self._work(trade.trade_id)
        else:
            self._move_stop(trade, target)

    def _bars(self, target: Target) -> tuple[str, ...]:
        """Nothing is left for another pair that the gate would keep out all the same."""
        if target.instead is msgspec.UNSET or (desk := self._desk()) is None:
            return ()
        return bars(desk, target.instead)

    def _enter(self, target: Target) -> None:
        desk = self._desk()
        if desk is None:
            return
        last_id = self.state.last_trade.get(target.pair)
        number = int(last_id.rsplit("#", 1)[1]) + 1 if last_id is not None else 1
        plan = plan_entry(desk, target, f"{target.pair}#{number}")
        if isinstance(plan, tuple):
            self._decided(target, plan)
            return
        self._decided(target, ())
        self._record(plan)
        trade = self.state.trades[plan.trade_id]
        self._adopt_residual(trade)
        self._set_leverage(trade)
        self._orders_at = self.now_ns
        self._check_orders_later()

    def _add(self, trade: PairTrade, target: Target) -> None:
        """Grow what is held, where the gate passes the whole of it (SPEC R20)."""
        desk = self._desk()
        if desk is None:
            return
        plan = plan_addition(desk, target, trade)
        if isinstance(plan, tuple):
            self._decided(target, plan)
            self._move_stop(trade, target)
            return
        self._decided(target, ())
        self._retarget(
            trade, plan.quantity, urgent=False, cause=None, reason=target.reason, plan=plan
        )
        self._work(trade.trade_id)

    def _reduce(self, trade: PairTrade, target: Target) -> None:
        """Take a part off; nothing keeps it from that but what is too little to trade."""
        desk = self._desk()
        if desk is None:
            return
        kept = reduced_quantity(desk, target, trade)
        self._decided(target, (kept,) if isinstance(kept, str) else ())
        if isinstance(kept, str) or kept == trade.quantity:
            self._move_stop(trade, target)
            return
        cause = target.exit_cause or ExitCause.THESIS_CHANGED
        plan = msgspec.structs.replace(trade.plan, stop_price=kept_stop(trade, target))
        # On its way to more than is kept, it goes on growing, and that is never in a hurry.
        urgent = (target.urgent or trade.urgent) and kept < self.state.matched(trade)
        self._retarget(
            trade, kept, urgent=urgent, cause=cause, reason=target.reason,
            plan=plan if plan != trade.plan else msgspec.UNSET,
        )  # fmt: skip
        self._work(trade.trade_id)

    def _move_stop(self, trade: PairTrade, target: Target) -> None:
        """The stop of a perp alone follows a price that went the right way."""
        stop = kept_stop(trade, target)
        if stop != trade.plan.stop_price:
            plan = msgspec.structs.replace(trade.plan, stop_price=stop)
            self._record(
                Retargeted(
                    trade.trade_id, trade.quantity, trade.urgent, trade.cause, target.reason,
                    self.now_ns, plan,
                )
            )  # fmt: skip
            self._rewatch(trade)

    def _decided(self, target: Target, refusals: tuple[str, ...]) -> None:
        """Record a verdict when its action, reason or sign changed, and hourly."""
        last = self.state.decided.get(target.pair)
        fact = Decided(target, refusals, self.now_ns)
        if last is None or _gist(last) != _gist(fact) or _hour(last) != _hour(fact):
            self._record(fact)

    def _retarget(
        self,
        trade: PairTrade,
        quantity: Decimal,
        *,
        urgent: bool,
        cause: ExitCause | None,
        reason: str,
        plan: TradePlanned | msgspec.UnsetType = msgspec.UNSET,
    ) -> None:
        self._record(Retargeted(trade.trade_id, quantity, urgent, cause, reason, self.now_ns, plan))
        if plan is not msgspec.UNSET:
            self._rewatch(trade)
        if trade.stage is Stage.PREPARING and quantity == ZERO:
            self._close(trade)  # nothing was sent for it yet: there is nothing to wait for
            return
        if self.state.trades[trade.trade_id].stage is Stage.HOLDING:
            self._record(StageChanged(trade.trade_id, Stage.WORKING, self.now_ns))
        self._watch(trade)

    # --- margin ----------------------------------------------------------------------------

    def _guard_margin(self, pair: Pair) -> None:
        """Top up, else shrink both legs, else close; one action at a time."""
        trade = self.state.trade_on(pair.name)
        desk = self._desk()
        if trade is None or desk is None or self._moves_margin(pair):
            return
        action = margin_action(desk, trade)
        if isinstance(action, TopUp):
            self._move_margin(trade, pair, action.amount, action.why)
        elif isinstance(action, Release) and trade.stage is Stage.HOLDING:
            self._move_margin(trade, pair, -action.amount, action.why)
        elif isinstance(action, Shrink | Close) and (not trade.urgent or self._is_endangered(pair)):
            # A trade that is on its way there, but slowly, now goes fast.
            quantity = action.quantity if isinstance(action, Shrink) else ZERO
            cause = ExitCause.STOP if trade.legs.is_alone else action.cause
            reason = f"{cause}: {action.why}"
            if cause is not ExitCause.STOP:  # a stop is part of the plan
                self._alarm("margin_guard", pair.name, f"{pair.name}: {action.why}")
            quantity = min(quantity, trade.quantity)
            self._retarget(trade, quantity, urgent=True, cause=cause, reason=reason)
            self._work(trade.trade_id)

    def _meet_leverage_target(self) -> None:
        """Venues take whole numbers: what was bought at the next higher one is topped up."""
        desk = self._desk()
        if desk is None:
            return
        for trade_id in list(self._opened):
            trade = self.state.trades[trade_id]
            missing = missing_margin(desk, trade)
            if missing is None or trade.is_closing:
                del self._opened[trade_id]
            elif missing > ZERO and trade.stage is Stage.HOLDING:
                pair = self.state.pairs[trade.plan.pair]
                if not self._moves_margin(pair):
                    why = "opened above the leverage target"
                    self._move_margin(trade, pair, missing, why)

    def _moves_margin(self, pair: Pair) -> bool:
        """Whether a request is on the road; one that got no answer counts only for a while."""
        patience_ns = int(self._execution.order_timeout_seconds * SECOND)
        request = self.state.margin_requests.get(pair.perp.id)
        return request is not None and self.now_ns - request.time_ns < patience_ns

    def _move_margin(self, trade: PairTrade, pair: Pair, amount: Decimal, why: str) -> None:
        request_id = f"margin-{trade.trade_id}-{self.now_ns}"
        self._record(
            MarginIntended(request_id, trade.trade_id, pair.perp.id, amount, why, self.now_ns)
        )
        self._effects.append(MoveMargin(request_id, pair.perp.id, amount))
        self._check_orders_later()

    def _watch_perp(self, position: PositionReport) -> None:
        """Take over the venue's newest word on a position: trigger, leverage, extremes."""
        if self._perps.knows(position):
            return
        pair = self.state.pair_of.get(position.instrument)
        trade = self.state.trade_on(pair.name) if pair is not None else None
        desk = self._desk()
        trigger = margin_trigger(desk, trade) if trade is not None and desk is not None else None
        self._perps.watch(position, trigger)

    def _rewatch(self, trade: PairTrade) -> None:
        """A stop that has moved is watched for where it is now."""
        perp = self._perps.get(self.state.pairs[trade.plan.pair].perp.id)
        desk = self._desk()
        if perp is not None and desk is not None:
            trigger = margin_trigger(desk, self.state.trades[trade.trade_id])
            perp.watch_for(trigger)

    # --- value -----------------------------------------------------------------------------

    def not_ours(self) -> dict[str, Decimal] | None:
        """What the account holds that belongs to no trade: signed base units of every instrument.

        None until the books have agreed with the venue once: before, nobody knows.
        """
        return not_ours(self.state) if self.reconciled_ns is not None else None

    def marks(self) -> dict[str, Decimal]:
        """Prices that value everything (``bot.valuation.marks``), as of now."""
        age_ns = int(self._limits.data_age_seconds_max * SECOND)
        return marks(self.state, self.market, self.now_ns, age_ns)

    def _worth(self) -> tuple[dict[str, Decimal], Decimal]:
        """Marks and equity: while one event is handled only a fact changes them."""
        if self._worth_now is None:
            marks = self.marks()
            self._worth_now = marks, self.state.books.equity(marks)
        return self._worth_now

    def _desk(self) -> Desk | None:
        """Everything a judgement looks at; None until the venue has reported the account."""
        if self.account is None:
            return None
        marks, equity = self._worth()
        return Desk(
            self.state,
            self.market,
            self.account,
            marks,
            equity,
            self._limits,
            self._execution,
            self.reconciled_ns,
            self._orders_last_minute(),
            self._clock_skew_seconds,
            self.now_ns,
            self._events,
        )

    def _mark_equity(self) -> None:
        if self.account is None:
            return
        known, equity = self._worth()
        extremes, lately = self._perps.since_last(known)
        usual = self.market.usual
        self._record(
            valued(self.state, self.account, known, equity, self.now_ns, extremes, lately, usual)
        )

    # --- trouble ---------------------------------------------------------------------------

    def _on_reconnected(self, event: Reconnected) -> None:
        """What happened while nobody listened is in the account's history."""
        if event.stream == "account" or (event.stream == "private" and self._caught_up):
            self._fall_behind()
        elif event.stream == "private":  # a stream that comes and goes may not put hedges off
            self._missed_ns = self.now_ns
            self._reconcile()

    def _on_trouble(self, event: Trouble) -> None:
        if event.limit not in self.state.limits.names:
            tripped = LimitTripped(
                event.limit, latched=True, detail=event.detail, time_ns=self.now_ns
            )
            self._record(tripped)
        self._alarm("limit_tripped", event.limit, f"{event.limit}: {event.detail}")

    def _alarm(self, alarm: str, subject: str, detail: str) -> None:
        """Tell a person, and again every minute while the trouble lasts."""
        last_ns = self._raised_ns.get((alarm, subject))
        if last_ns is None or self.now_ns - last_ns >= MINUTE:
            if len(self._raised_ns) > 1000:  # what was raised longer ago is raised again anyway
                recent = ((k, t) for k, t in self._raised_ns.items() if self.now_ns - t < MINUTE)
                self._raised_ns = dict(recent)
            self._raised_ns[alarm, subject] = self.now_ns
            self._effects.append(RaiseAlarm(alarm, detail, self.now_ns))

    def _tell_funding(self, trade: PairTrade, target: Target) -> None:
        """Funding is expected to be another than when it was entered, or last told (SPEC R28)."""
        before = self._foreseen.setdefault(trade.trade_id, trade.plan.forecast_hourly)
        change = target.forecast_hourly - before
        if target.forecast_error > 0.0 and abs(change) > _SURPRISE * target.forecast_error:
            self._foreseen[trade.trade_id] = target.forecast_hourly
            apr = HOURS_PER_YEAR * 100
            detail = (
                f"{trade.trade_id}: {target.forecast_hourly * apr:.1f} ± "
                f"{target.forecast_error * apr:.1f} % a year is expected, {before * apr:.1f} before"
            )
            self._alarm("funding_changed", trade.trade_id, detail)

    def _alarm_naked(self, trade: PairTrade) -> None:
        if trade.naked_ns is None:
            return
        seconds = (self.now_ns - trade.naked_ns) / SECOND
        if seconds >= _ALARM_SECONDS:
            if self._raised_ns.get(("naked_leg", trade.trade_id), trade.naked_ns) < trade.naked_ns:
                del self._raised_ns["naked_leg", trade.trade_id]  # that was told of another time
            spot, perp = self.state.quantities(trade)
            detail = f"{trade.trade_id}: spot {spot}, perp {perp} for {seconds:.0f} s"
            self._alarm("naked_leg", trade.trade_id, detail)
        else:
            self._wake(trade.naked_ns + int(_ALARM_SECONDS * SECOND))

    def _alarm_owed(self, order: Order) -> None:
        """What was filled is hedged once its fill is told; until then a person is."""
        seconds = (self.now_ns - order.changed_ns) / SECOND
        if seconds >= _ALARM_SECONDS:
            owed = f"{order.reported - order.filled} of {order.request.instrument}"
            detail = f"{order.trade_id}: {owed} filled, and not told of for {seconds:.0f} s"
            self._alarm("naked_leg", order.cloid, detail)

    def _alarm_unknown(self, order: Order) -> None:
        seconds = (self.now_ns - order.changed_ns) / SECOND
        if seconds >= 10 * _ALARM_SECONDS:
            detail = f"{order.cloid} on {order.request.instrument} for {seconds:.0f} s"
            self._alarm("order_unknown", order.cloid, detail)

    # --- the operator ----------------------------------------------------------------------

    def _on_command(self, command: Command) -> None:
        """pause, resume, close PAIR, flatten, kill, reset LIMIT. Reducing is never refused."""
        name, argument = command.command, command.argument
        self._record(CommandGiven(name, argument, command.actor, self.now_ns))
        if name == "reset":
            self._mark_equity()  # losses are counted from this value on
            for fact in reset(self.state.limits, argument, command.actor, self.now_ns):
                self._record(fact)
        if name == "kill":
            self._on_trouble(Trouble(KILLED, f"kill switch, by {command.actor}", self.now_ns))
        for trade in self._open_trades():
            if name in ("flatten", "kill") or (name == "close" and argument == trade.plan.pair):
                urgent = name != "close" or trade.urgent
                reason = f"operator: {name} by {command.actor}"
                cause = ExitCause.OPERATOR
                self._retarget(trade, ZERO, urgent=urgent, cause=cause, reason=reason)
        for trade_id in list(dict.fromkeys(self._working.values())):
            self._work(trade_id)

    # --- working a trade -------------------------------------------------------------------

    def _work_postponed(self) -> None:
        postponed = list(self._postponed)
        self._postponed.clear()
        for trade_id in postponed:
            self._work(trade_id)

    def _work(self, trade_id: str) -> None:
        if self._more:
            self._postponed[trade_id] = None
            return
        trade = self.state.trades[trade_id]
        self._protect(trade)
        if trade.stage not in (Stage.WORKING, Stage.HOLDING) or self._is_behind():
            return
        situation = self._situation(trade)
        if situation is None:
            return
        if gave_up(situation):
            self._keep(trade, f"maker_not_filled: no fill for {patience(situation):g} s")
            situation = self._situation(self.state.trades[trade_id])
            assert situation is not None
        work = step(situation)
        gives_up = any(wanted.role is Role.UNWIND for wanted in work.place)
        if gives_up and not (trade.is_closing or trade.urgent):
            bound = self._execution.max_naked_seconds
            self._keep(trade, f"hedge_not_filled: the legs differed for over {bound:g} s")
        for order in work.cancel:
            self._cancel(order)
        if work.place and self.state.trades[trade_id].stage is Stage.HOLDING:
            self._record(StageChanged(trade_id, Stage.WORKING, self.now_ns))
        for wanted in work.place:
            self._send(trade_id, wanted)
        if work.cancel or work.place:
            self._check_orders_later()
        if work.settled:
            self._settle(trade_id)
        elif situation.trade.setbacks or situation.trade.naked_ns is not None:
            self._wake(self.now_ns + int(self._execution.retry_seconds * SECOND))

    def _protect(self, trade: PairTrade) -> None:
        """Have the stop that waits at the venue be that of what a perp alone holds."""
        if not trade.legs.is_alone:
            return
        pair = self.state.pairs[trade.plan.pair]
        seen = self.market.of(pair.perp.id)
        work = stops.step(
            pair,
            trade,
            self.state.quantities(trade)[1],
            seen.mark if seen is not None else None,
            seen.mid if seen is not None else None,
            self.state.orders.live(trade.trade_id),
            self.now_ns,
        )
        for order in work.cancel:
            self._cancel(order)
        if work.place is not None:
            self._send(trade.trade_id, work.place)
        if work.cancel or work.place is not None:
            self._check_orders_later()
        if not work.is_right:
            self._wake(self.now_ns + stops.RETRY_NS)
        since_ns = self._bare_ns.setdefault(trade.trade_id, self.now_ns)
        if not work.is_missing:
            del self._bare_ns[trade.trade_id]
        elif self.now_ns - since_ns >= stops.ALARM_NS:
            seconds = (self.now_ns - since_ns) / SECOND
            detail = f"{trade.trade_id}: no stop at the venue for {seconds:.0f} s"
            self._alarm("stop_missing", trade.trade_id, detail)

    def _cancel(self, order: Order) -> None:
        self._record(CancelIntended(order.cloid, self.now_ns))
        self._effects.append(CancelOrder(order.cloid, order.request.instrument))

    def _keep(self, trade: PairTrade, reason: str) -> None:
        """Grow no further: what is hedged by now is all there will be."""
        pair = self.state.pairs[trade.plan.pair]
        kept = min(pair.floor_quantity(max(self.state.matched(trade), ZERO)), trade.quantity)
        if kept != trade.quantity:
            self._retarget(trade, kept, urgent=False, cause=ExitCause.LIMIT, reason=reason)

    def _check_orders_later(self) -> None:
        self._check_orders_in(int(self._execution.order_timeout_seconds * SECOND))

    def _check_orders_in(self, pause_ns: int) -> None:
        later = self.now_ns + pause_ns
        self._orders_at = min(self._orders_at, later) if self._orders_at > self.now_ns else later
        self._wake(self._orders_at)

    def _send(self, trade_id: str, wanted: Wanted) -> None:
        request = OrderRequest(
            self._cloid(trade_id),
            wanted.instrument.id,
            wanted.side,
            wanted.quantity,
            wanted.price,
            wanted.time_in_force,
            wanted.reduce_only,
            # By the venue's clock: with ours behind, a hedge would arrive expired.
            self.now_ns
            + self._venue_ahead_ns
            + int(self._execution.request_expiry_seconds * SECOND),
            msgspec.UNSET if wanted.trigger is None else wanted.trigger,
        )
        self._record(OrderIntended(request, trade_id, wanted.role, wanted.mid, self.now_ns))
        self._effects.append(PlaceOrder(request))

    def _cloid(self, trade_id: str) -> str:
        """An id that nothing had before, also where the journal is an old copy that was restored:
        what it has forgotten, and the venue has not, was intended at another time."""
        run, number = self._run, self.state.trades[trade_id].orders_sent
        return client_order_id(run.time_ns, run.seed, trade_id, self.now_ns, number)

    def _settle(self, trade_id: str) -> None:
        """Nothing is left to do: the trade is held, or closed with its dust set aside."""
        trade = self.state.trades[trade_id]
        if not trade.is_closing:
            if trade.stage is Stage.WORKING:
                self._record(StageChanged(trade_id, Stage.HOLDING, self.now_ns))
                if not trade.held:
                    self._opened[trade_id] = None
            self._unwatch(trade)
            return
        if any(order.role is Role.STOP for order in self.state.orders.live(trade_id)):
            return  # what it could still close must not be another trade's
        if trade.stage is Stage.HOLDING:
            self._record(StageChanged(trade_id, Stage.WORKING, self.now_ns))
        self._close(trade)

    def _close(self, trade: PairTrade) -> None:
        """The end of a trade: what it still holds is dust, and nobody's until the next one."""
        pair = self.state.pairs[trade.plan.pair]
        for leg in (pair.spot, pair.perp):
            quantity = self.state.books.quantity(trade.trade_id, leg.id)
            if quantity != ZERO:
                self._move_residual(leg, quantity, trade.trade_id, None)
        self._record(StageChanged(trade.trade_id, Stage.CLOSED, self.now_ns))
        self._foreseen.pop(trade.trade_id, None)
        self._unwatch(trade)
        self._perps.forget(pair.perp.id)

    def _adopt_residual(self, trade: PairTrade) -> None:
        """Dust that earlier trades of this pair left behind belongs to the new one.

        More than dust is somebody else's: what a person bought is not ours to sell.
        """
        pair = self.state.pairs[trade.plan.pair]
        # Only what buys spot takes over spot: otherwise it is its owner's.
        for leg in (pair.spot, pair.perp) if trade.legs is Legs.CARRY else (pair.perp,):
            quantity = self.state.books.quantity(None, leg.id)
            if quantity != ZERO and is_dust(leg, quantity, self.marks()[leg.id]):
                self._move_residual(leg, quantity, None, trade.trade_id)

    def _move_residual(
        self, leg: Instrument, quantity: Decimal, giver: str | None, taker: str | None
    ) -> None:
        price = self.marks()[leg.id]
        self._record(ResidualMoved(leg.id, quantity, price, giver, taker, self.now_ns))

    def _situation(self, trade: PairTrade) -> Situation | None:
        pair = self.state.pairs[trade.plan.pair]
        spot_market, perp_market = self.market.of(pair.spot.id), self.market.of(pair.perp.id)
        if perp_market is None or (spot_market is None and trade.legs.trades_spot):
            return None
        spot_market = spot_market or perp_market  # of a leg that is not traded nobody asks
        unquoted = any(m.bid is None and m.ask is None for m in (spot_market, perp_market))
        if unquoted and self.now_ns - self._started_ns < _UNSURE_NS:
            return None  # a book that is still on its way is no empty one
        spot, perp = self.state.quantities(trade)
        age_ns = int(self._limits.data_age_seconds_max * SECOND)
        fresh = all(m.is_fresh(self.now_ns, age_ns) for m in (spot_market, perp_market))
        certain = self._books_agree() and not self.state.orders.unknown()
        in_order = fresh and certain and not self._rests_only(_UPGRADE_NS)
        return Situation(
            trade,
            pair,
            spot,
            perp,
            spot_market,
            perp_market,
            tuple(o for o in self.state.orders.live(trade.trade_id) if o.role is not Role.STOP),
            in_order and self._in_band(spot_market, perp_market) and self._may_grow(),
            self.now_ns,
            self._execution,
            self._is_endangered(pair),
            closes_only(self.state.limits),
            self._rests_only(_RESTS_ONLY_NS),
        )

    def _may_grow(self) -> bool:
        """Whether anything may add risk now: no limit, no pause, orders left this minute."""
        return (
            not blocks_entries(self.state.limits)
            and not self.state.paused
            and self._orders_last_minute() < self._limits.orders_per_minute_max
        )

    def _rests_only(self, within_ns: int) -> bool:
        """Whether a taker was refused so lately because only orders that rest are taken."""
        refused_ns = self.state.rests_only_ns
        return refused_ns is not None and self.now_ns - refused_ns < within_ns

    def _in_band(self, spot: InstrumentState, perp: InstrumentState) -> bool:
        """Whether the spot is priced as the perp's oracle says: an entry begun may meet a depeg."""
        if not (spot.mid and perp.oracle):
            return False
        return abs(spot.mid / perp.oracle - 1) <= self._limits.dislocation_max

    def _orders_last_minute(self) -> int:
        since_ns = self.now_ns - MINUTE
        return sum(1 for time_ns, _ in self.state.sent if time_ns > since_ns)

    def _is_endangered(self, pair: Pair) -> bool:
        """Whether the perp's leverage has reached the cap, by the venue's margin and our mark."""
        perp, seen = self._perps.get(pair.perp.id), self.market.of(pair.perp.id)
        if perp is None or seen is None or seen.mark is None:
            return False
        notional = abs(perp.position.quantity) * decimal_of(seen.mark)
        margin = perp.position.raw_margin + perp.position.quantity * decimal_of(seen.mark)
        return margin <= ZERO or notional >= self._limits.leverage_cap * margin

    def _books_agree(self) -> bool:
        """Whether books and venue were compared lately, by this process, and agreed."""
        last = self.state.reconciled
        if self.reconciled_ns is None or last is None or last.mismatches:
            return False
        age_ns = int(self._limits.reconcile_age_seconds_max * SECOND)
        return self.now_ns - self.reconciled_ns <= age_ns

    def _watch(self, trade: PairTrade) -> None:
        """Look at this trade again whenever its perp's context comes."""
        if trade.stage in (Stage.WORKING, Stage.HOLDING):
            self._working[self.state.pairs[trade.plan.pair].perp.id] = trade.trade_id

    def _unwatch(self, trade: PairTrade) -> None:
        self._working.pop(self.state.pairs[trade.plan.pair].perp.id, None)

    def _set_leverage(self, trade: PairTrade) -> None:
        pair = self.state.pairs[trade.plan.pair]
        self._effects.append(
            SetLeverage(f"leverage-{trade.trade_id}", pair.perp.id, trade.plan.leverage)
        )

    # --- shared ----------------------------------------------------------------------------

    def _record(self, fact: Fact) -> None:
        self._facts.append(fact)
        apply(self.state, fact)
        self._worth_now = None

    def _outcome(self) -> Outcome:
        self._worth_now = None
        if not self._facts and not self._effects:
            return NOTHING
        outcome = Outcome(tuple(self._facts), tuple(self._effects))
        self._facts.clear()
        self._effects.clear()
        return outcome

    @property
    def _run(self) -> RunStarted:
        assert self.state.run is not None, "Invariant: an engine is started before it handles"
        return self.state.run

    def _open_trades(self) -> list[PairTrade]:
        return [self.state.trades[i] for i in self.state.open_trades.values()]


_RECONCILED_NS = 5 * MINUTE
"""How often an agreement of books and venue is put down, at least."""
_UNSURE_NS = 5 * SECOND
"""How long after a start what has not been heard of yet counts as still on its way."""
_RESTING_NS = 20 * SECOND
"""How often the books are compared with the venue while an order may fill."""
_ASK_NS = SECOND
"""How soon an UNKNOWN order is asked for again: a hedge may be waiting for the answer."""
_RESTS_ONLY_NS = 30 * SECOND
"""How long such a refusal is believed before a taker is tried again."""
_UPGRADE_NS = 30 * MINUTE
"""How long after it nothing is added: what cannot be hedged at once is not begun."""
_SURPRISE = 1.0
"""So many standard errors of its forecast is a change of funding that a person hears of: seven
times in 105 days of five pairs (2025-02-15 on), never at two."""
_ALARM_SECONDS = 3.0
"""How long the legs of a trade may differ before a person is told."""
_AWAITED = (OrderState.PENDING, OrderState.CANCELING, OrderState.OPEN)
_UNDECIDED = (OrderState.PENDING, OrderState.CANCELING, OrderState.UNKNOWN)


def _gist(fact: Decided) -> tuple[object, ...]:
    """What makes two verdicts the same: action, reason's name, sign, who refused."""
    target = fact.target
    return (
        target.action,
        target.reason.split(":", 1)[0],
        target.expected_net > 0,
        tuple(refusal.split(":", 1)[0] for refusal in fact.refusals),
    )


def _hour(fact: Decided) -> int:
    return fact.time_ns // HOUR
