"""One account at one exchange, on virtual time: matching, margin, funding, liquidation.

Pure: time and market come in as arguments, answers go out as events whose
``received_ns`` is the venue's own time (whoever carries them adds latency). The same
calls give the same answers, and a restored snapshot goes on identically.

Simplifications, each on the careful side or stated: the market does not react to our
orders; our own orders do not match each other; a resting order stands behind all that
was displayed when it came and moves up by prints at its price and by what the book
shows; an order that waits for the mark outlives the position that it was for; a
liquidation never trades beyond the bankruptcy price of an isolated position.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Self

import msgspec

from domain.account import AccountReport, CashCause, Cashflow, FundingPayment, MarginMode
from domain.instruments import Instrument, Kind
from domain.market import (
    Book,
    Delisted,
    FundingSettled,
    MarketInput,
    PerpContext,
    RecordedFunding,
    Reference,
    Trade,
)
from domain.money import ONE, ZERO, decimal_of, exact
from domain.orders import (
    CancelReason,
    CancelRejected,
    Fill,
    FillCause,
    Liquidity,
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
    OrderReport,
    OrderRequest,
    OrderStatus,
    TimeInForce,
)
from domain.rates import FundingRate
from domain.time import HOUR, next_hour
from execution.venues.simulated import admission, funding, matching
from execution.venues.simulated.account import cross_positions, mark_of
from execution.venues.simulated.clearing import Clearinghouse
from execution.venues.simulated.liquidation import (
    Verdict,
    closing_side,
    forced_quantity,
    is_partial,
    judge,
)
from execution.venues.simulated.rules import VenueRules
from execution.venues.simulated.state import (
    ClosedOrder,
    Market,
    OpenOrder,
    Position,
    Record,
    Request,
    State,
    VenueEvent,
)

NOTHING_TO_CANCEL = "Order was never placed, already canceled, or filled."
_NEVER = 2**62
_NONE: frozenset[str] = frozenset()


class Exchange:
    """The venue and the one account on it. Its clock never goes back.

    A perp starts isolated at its highest leverage. ``backstop_fund`` takes what
    liquidated positions leave and pays what they lack (settlement asset).
    """

    def __init__(
        self,
        instruments: Iterable[Instrument],
        rules: VenueRules,
        deposits: Mapping[str, Decimal],
        now_ns: int,
        backstop_fund: Decimal = Decimal(1_000_000),
    ) -> None:
        listed = {instrument.id: instrument for instrument in instruments}
        state = State(
            started_ns=now_ns,
            now_ns=now_ns,
            hour_due_ns=next_hour(now_ns),
            balances={},
            markets={name: _new_market(listed[name], rules, now_ns) for name in listed},
            backstop_fund=backstop_fund,
        )
        self._begin(listed, rules, state, ())
        for asset, amount in sorted(deposits.items()):
            self._clearing.cashflow(asset, amount, CashCause.DEPOSIT, None)

    def _begin(
        self,
        listed: dict[str, Instrument],
        rules: VenueRules,
        state: State,
        records: Iterable[Record],
    ) -> None:
        self._clearing = Clearinghouse(listed, rules, state, records)
        self._instruments, self._rules, self._state = listed, rules, state
        self._markets = state.markets
        self._perps = [name for name in listed if listed[name].kind is Kind.PERP]
        self._impact = {
            name: rules.impact_notional_of.get(listed[name].base, rules.impact_notional)
            for name in self._perps
        }
        self._open = {
            cloid: order
            for market in state.markets.values()
            for orders in (market.orders, market.waiting)
            for cloid, order in orders.items()
        }

    # --- persistence ---------------------------------------------------------------------

    def drain_records(self) -> list[bytes]:
        """What happened since the last drain, one JSON row each: save it with a snapshot."""
        rows = [msgspec.json.encode(record) for record in self._clearing.fresh]
        self._clearing.fresh.clear()
        return rows

    def snapshot(self) -> bytes:
        """The complete state apart from records, instruments and rules (MessagePack)."""
        return msgspec.msgpack.encode(self._state)

    @classmethod
    def restore(
        cls,
        snapshot: bytes,
        instruments: Iterable[Instrument],
        rules: VenueRules,
        records: Iterable[bytes],
    ) -> Self:
        """The exchange as it was at ``snapshot``, given all rows drained up to then, in order."""
        exchange = cls.__new__(cls)
        state = msgspec.msgpack.decode(snapshot, type=State)
        listed = {instrument.id: instrument for instrument in instruments}
        assert list(listed) == list(state.markets), "Invariant: a state keeps its instruments"
        past = (msgspec.json.decode(row, type=Record) for row in records)
        exchange._begin(listed, rules, state, past)  # noqa: SLF001 - the second constructor
        return exchange

    # --- market and time -----------------------------------------------------------------

    def advance(self, now_ns: int) -> list[VenueEvent]:
        """Let time pass: funding of every whole hour up to ``now_ns``, at that hour."""
        out: list[VenueEvent] = []
        state = self._state
        while state.hour_due_ns <= now_ns:
            state.now_ns = max(state.now_ns, state.hour_due_ns)
            for name in self._perps:
                out += self._close_hour(name, state.hour_due_ns)
            state.hour_due_ns += HOUR
        state.now_ns = max(state.now_ns, now_ns)
        return out

    def on_market(self, event: MarketInput) -> list[VenueEvent]:
        """Take one market event; returns what it publishes, then what it does to the account.

        Raises:
            KeyError: when the event's instrument is not listed here.
        """
        # Millions of times in a backtest: `type(…) is` and `if` cost a fifth of isinstance and max.
        market = self._markets[event.instrument]
        if type(event) is RecordedFunding:
            return self._on_recorded(event, market)
        now_ns = event.venue_time_ns
        state = self._state
        out = self.advance(now_ns) if now_ns >= state.hour_due_ns else []
        if now_ns > state.now_ns:  # noqa: PLR1730
            state.now_ns = now_ns
        if type(event) is Book:
            if now_ns > market.next_sample_ns:
                self._sample(event.instrument, now_ns)
            market.book, market.delisted = event, False  # what is quoted again is listed again
            if market.taken_asks or market.taken_bids:
                market.taken_asks, market.taken_bids = {}, {}
            out.append(event)
            if market.orders:
                out += self._cross_resting(market, event)
        elif type(event) is Reference:
            self._on_reference(event, market, out)
        elif type(event) is Delisted:
            out += self._delist(event, market)
        elif type(event) is Trade and market.orders:
            out += self._print(market, event)
        return out

    @exact()
    def _delist(self, event: Delisted, market: Market) -> list[VenueEvent]:
        """Orders are cancelled, what is held is settled without a fee, and the book is gone.

        A perp settles as on Hyperliquid, at the oracle. For a token the venue promises no
        price: the last one is assumed.
        """
        market.delisted, market.book = True, None
        out: list[VenueEvent] = [
            self._cancel(order, CancelReason.DELISTING)
            for orders in (market.orders, market.waiting)
            for order in list(orders.values())
        ]
        fill = self._clearing.settle(event.instrument, decimal_of(event.price))
        return out if fill is None else [*out, fill]

    def _on_reference(self, event: Reference, market: Market, out: list[VenueEvent]) -> None:
        name, mark, now_ns = event.instrument, event.mark, self._state.now_ns
        if now_ns > market.next_sample_ns:
            self._sample(name, now_ns)
        market.mark, market.oracle = mark, event.oracle
        rate = event.predicted or market.predicted
        if rate is None:
            rate = funding.estimate(
                market, self._instruments[name], self._rules, self._impact[name]
            )
        out.append(PerpContext(name, mark, event.oracle, rate, now_ns, now_ns))
        position = market.position
        assert position is not None, "Invariant: only a perp has a mark"
        if not position.safe_above < mark < position.safe_below:
            out += self._judge(name)
        if market.waiting:
            out += self._trigger(market, decimal_of(mark))

    def _on_recorded(self, event: RecordedFunding, market: Market) -> list[VenueEvent]:
        """From the first record on, an instrument settles by records alone."""
        market.recorded, market.next_sample_ns = True, _NEVER
        out = self.advance(event.venue_time_ns)
        market.predicted = event.rate
        hour_ns = event.venue_time_ns // HOUR * HOUR
        if event.venue_time_ns <= self._state.started_ns or hour_ns <= market.settled_ns:
            return out
        quantity, price = ZERO, market.oracle or market.mid
        if market.hour_ns == hour_ns:
            quantity, price = market.hour_quantity, market.hour_price
        return out + self._settle(event.instrument, hour_ns, event.rate, quantity, price)

    # --- funding -------------------------------------------------------------------------

    def _sample(self, name: str, until_ns: int) -> None:
        funding.sample(self._markets[name], self._rules, self._impact[name], until_ns)

    def _close_hour(self, name: str, hour_ns: int) -> list[VenueEvent]:
        """Keep what was held at the hour; settle by the formula unless rates are recorded."""
        market, instrument = self._markets[name], self._instruments[name]
        price = market.oracle or market.mid
        market.hour_ns, market.hour_price = hour_ns, price
        market.hour_quantity = self._clearing.position(name).quantity
        if market.recorded or price is None or not funding.ends_interval(instrument, hour_ns):
            return []
        self._sample(name, hour_ns)
        rate = funding.estimate(market, instrument, self._rules, self._impact[name])
        return self._settle(name, hour_ns, rate, market.hour_quantity, price)

    @exact()
    def _settle(
        self, name: str, hour_ns: int, rate: FundingRate, quantity: Decimal, price: float | None
    ) -> list[VenueEvent]:
        market = self._markets[name]
        market.settled_ns = hour_ns
        market.premium_sum, market.premium_samples = 0.0, 0
        market.predicted = rate if market.recorded else None
        if price is None:
            quantity, price = ZERO, 0.0
        return [*self._clearing.settle_funding(name, hour_ns, rate, quantity, price)]

    # --- orders --------------------------------------------------------------------------

    @exact()
    def place(self, request: OrderRequest, now_ns: int) -> list[VenueEvent]:
        """OrderRejected; or OrderAccepted, a Fill for each level taken, and OrderCanceled
        for what an IOC, a shrunken position or missing margin leaves.

        One with a trigger is accepted and waits for it; what then is not taken is canceled.
        """
        out = self.advance(now_ns)
        now_ns = self._state.now_ns
        reason = self._refusal(request)
        self._log("place", msgspec.json.encode(request), reason or "accepted")
        if reason is not None:
            if self._known(request.cloid) is None:
                self._close(request, OrderStatus.REJECTED, ZERO)
            return [*out, OrderRejected(request.cloid, reason, now_ns, now_ns)]
        self._state.orders += 1
        order = OpenOrder(request, self._state.orders, float(request.price))
        market = self._markets[request.instrument]
        self._open[request.cloid] = order
        out.append(OrderAccepted(request.cloid, str(order.number), now_ns, now_ns))
        if request.trigger is not None:
            market.waiting[request.cloid] = order
            return out
        return out + self._enter(market, order)

    def _enter(self, market: Market, order: OpenOrder) -> list[VenueEvent]:
        """Into the book: it takes what it may, and rests or ends."""
        request = order.request
        market.orders[request.cloid] = order
        out = self._match(market, order, Liquidity.TAKER)
        if request.cloid in self._open:
            if request.time_in_force is TimeInForce.IOC:
                out.append(self._cancel(order, CancelReason.IOC))
            else:
                matching.join_queue(market, order)
        return out

    @exact()
    def _trigger(self, market: Market, mark: Decimal) -> list[VenueEvent]:
        """Orders that have waited for this mark go into the book, oldest first."""
        out: list[VenueEvent] = []
        for order in [o for o in market.waiting.values() if o.request.is_triggered(mark)]:
            if market.waiting.pop(order.request.cloid, None) is None:
                continue
            if admission.would_increase(order.request, market):
                market.orders[order.request.cloid] = order
                out.append(self._cancel(order, CancelReason.REDUCE_ONLY))
            else:
                out += self._enter(market, order)
        return out

    def _refusal(self, request: OrderRequest) -> str | None:
        if self._state.now_ns > request.expires_ns:
            return admission.EXPIRED
        if self._known(request.cloid) is not None:
            return admission.DUPLICATE
        instrument = self._instruments.get(request.instrument)
        if instrument is None:
            return f"Unknown instrument {request.instrument}."
        if self._markets[instrument.id].delisted:
            return admission.DELISTED
        if request.trigger is not None:
            mark = mark_of(self._markets[instrument.id])
            return admission.bad_trigger(request, instrument, mark)
        return admission.refusal(
            request,
            instrument,
            self._markets[instrument.id],
            self._clearing.free(),
            tiers=self._clearing.tiers[instrument.id],
            quantum=self._rules.quantum,
        )

    @exact()
    def cancel(self, cloid: str, now_ns: int) -> list[VenueEvent]:
        """OrderCanceled, or CancelRejected where nothing is open under ``cloid``."""
        out = self.advance(now_ns)
        order = self._open.get(cloid)
        self._log("cancel", msgspec.json.encode(cloid), "refused" if order is None else "canceled")
        if order is not None:
            return [*out, self._cancel(order, CancelReason.REQUESTED)]
        now_ns = self._state.now_ns
        return [*out, CancelRejected(cloid, NOTHING_TO_CANCEL, now_ns, now_ns)]

    def _match(self, market: Market, order: OpenOrder, liquidity: Liquidity) -> list[VenueEvent]:
        """Trade ``order`` against the book: a taker at the levels' prices, a maker at its own."""
        out: list[VenueEvent] = []
        side, limit = order.request.side, order.request.price
        for index, price, size in matching.available(market, side, limit):
            at = price if liquidity is Liquidity.TAKER else limit
            before = order.filled
            out += self._fill(market, order, at, size, liquidity)
            if order.filled > before:  # else less than a lot is left of this level
                matching.take(market, side, index, order.filled - before)
            if order.request.cloid not in self._open:
                break
        return out

    def _fill(
        self, market: Market, order: OpenOrder, price: Decimal, size: Decimal, liquidity: Liquidity
    ) -> list[VenueEvent]:
        """Fill up to ``size`` of ``order``; nothing where that is less than a lot."""
        request = order.request
        quantity = min(order.remaining, size)
        if request.reduce_only and market.position is not None:
            quantity = min(quantity, abs(market.position.quantity))
        quantity = matching.whole_lots(self._instruments[request.instrument], quantity)
        if not quantity:
            return []
        fill = self._clearing.trade(order, price, quantity, liquidity)
        if fill is None:
            return [self._cancel(order, CancelReason.MARGIN)]
        if not order.remaining:
            self._forget(order, OrderStatus.FILLED)
        return [fill, *self._drop_reduce_only(market)]

    def _drop_reduce_only(self, market: Market) -> list[VenueEvent]:
        """Cancel reduce-only orders that have nothing left to reduce."""
        position = market.position
        if position is None:
            return []
        return [
            self._cancel(order, CancelReason.REDUCE_ONLY)
            for order in list(market.orders.values())
            if order.request.reduce_only and position.quantity * order.request.side.sign >= 0
        ]

    def _known(self, cloid: str) -> OrderStatus | None:
        if cloid in self._open:
            return OrderStatus.OPEN
        closed = self._clearing.closed.get(cloid)
        return None if closed is None else closed.status

    def _cancel(self, order: OpenOrder, reason: CancelReason) -> OrderCanceled:
        self._forget(order, OrderStatus.CANCELED)
        now_ns = self._state.now_ns
        return OrderCanceled(order.request.cloid, reason, order.filled, now_ns, now_ns)

    def _forget(self, order: OpenOrder, status: OrderStatus) -> None:
        request = order.request
        market = self._markets[request.instrument]
        del self._open[request.cloid]
        orders = market.orders if request.cloid in market.orders else market.waiting
        del orders[request.cloid]
        self._close(request, status, order.filled)

    def _close(self, request: OrderRequest, status: OrderStatus, filled: Decimal) -> None:
        self._clearing.record(
            ClosedOrder(request.cloid, request.instrument, status, filled, self._state.now_ns)
        )

    # --- resting orders ------------------------------------------------------------------

    def _cross_resting(self, market: Market, book: Book) -> list[VenueEvent]:
        """A book whose other side has come to our prices fills us there."""
        crossed = []
        for order in market.orders.values():
            if order.queue_ahead:
                matching.move_up(book, order)
            if self._rules.filled_by_books and matching.is_crossed(book, order):
                crossed.append(order)
        return self._fill_crossed(market, crossed) if crossed else []

    @exact()
    def _fill_crossed(self, market: Market, crossed: list[OpenOrder]) -> list[VenueEvent]:
        out: list[VenueEvent] = []
        for order in matching.by_priority(crossed):
            if order.request.cloid in self._open:
                out += self._match(market, order, Liquidity.MAKER)
        return out

    def _print(self, market: Market, trade: Trade) -> list[VenueEvent]:
        """A print shares its quantity among the orders it reaches, best price first."""
        reached = [
            order
            for order in market.orders.values()
            if order.request.side is not trade.aggressor and matching.reaches(trade.price, order)
        ]
        return self._fill_printed(market, trade, reached) if reached else []

    @exact()
    def _fill_printed(
        self, market: Market, trade: Trade, reached: list[OpenOrder]
    ) -> list[VenueEvent]:
        out: list[VenueEvent] = []
        given = ZERO
        for order in matching.by_priority(reached):
            size = matching.reached(order, trade) - given
            if size > 0 and order.request.cloid in self._open:
                before = order.filled
                out += self._fill(market, order, order.request.price, size, Liquidity.MAKER)
                given += order.filled - before
        return out

    # --- liquidation ---------------------------------------------------------------------

    @exact()
    def _judge(self, name: str) -> list[VenueEvent]:
        """Look closely at a position whose mark left the safe band, and act."""
        verdict = self._verdict(name)
        if verdict is Verdict.SAFE:
            return []
        asset, mode = self._instruments[name].quote, self._clearing.position(name).mode
        names = [name]
        if mode is MarginMode.CROSS:
            names = [at for at, _, _ in cross_positions(self._state, self._instruments, asset)]
        out = self._cancel_orders(name, asset, mode)
        if verdict is Verdict.BACKSTOP:
            return out + self._take_over(names, asset, mode)
        return out + self._liquidate(names)

    def _verdict(self, name: str) -> Verdict:
        position, mark = self._clearing.position(name), self._clearing.mark(name)
        if not position.quantity:
            return Verdict.SAFE
        if position.mode is MarginMode.CROSS:
            value, need = self._clearing.account_value(self._instruments[name].quote)
        else:
            value, need = position.equity(mark), self._clearing.maintenance(name, mark)
        return judge(value, need, self._rules)

    def _cancel_orders(self, name: str, asset: str, mode: MarginMode) -> list[VenueEvent]:
        """Isolated: that market's orders; cross: every order that ``asset`` backs."""
        at_risk = [name]
        if mode is MarginMode.CROSS:
            at_risk = [at for at in self._markets if self._instruments[at].quote == asset]
        return [
            self._cancel(order, CancelReason.LIQUIDATION)
            for at in at_risk
            for orders in (self._markets[at].orders, self._markets[at].waiting)
            for order in list(orders.values())
        ]

    def _liquidate(self, names: list[str]) -> list[VenueEvent]:
        """Market orders into the book until margin is enough: a part of a large position
        first, then, within the cooldown, all of it."""
        out: list[VenueEvent] = []
        state, rules = self._state, self._rules
        cooling = state.now_ns < state.cooldown_until_ns
        for name in names:
            if self._verdict(name) is Verdict.SAFE:
                break
            position, mark = self._clearing.position(name), self._clearing.mark(name)
            partial = is_partial(position, mark, rules, cooling=cooling)
            size = forced_quantity(position, self._instruments[name], rules, partial=partial)
            fills = self._sell_off(name, size)
            if partial and fills:
                state.cooldown_until_ns = state.now_ns + rules.partial_cooldown_ns
            out += fills
        return out

    def _sell_off(self, name: str, size: Decimal) -> list[Fill]:
        """Close up to ``size`` against the book, as far as the position's margin bears it."""
        fills: list[Fill] = []
        market, side = self._markets[name], closing_side(self._clearing.position(name))
        for index, price, offered in matching.available(market, side, None):
            quantity = matching.whole_lots(self._instruments[name], min(size, offered))
            if not quantity or not self._clearing.bears(name, price, quantity):
                break
            matching.take(market, side, index, quantity)
            fills.append(
                self._clearing.force(
                    name, price, quantity, FillCause.LIQUIDATION, free_of_fee=False
                )
            )
            size -= quantity
        return fills

    def _take_over(self, names: list[str], asset: str, mode: MarginMode) -> list[VenueEvent]:
        """The backstop: positions go at mark, and the margin left goes with them.

        A margin that does not even cover the loss is made up by the fund.
        """
        out: list[VenueEvent] = []
        before = self._state.balances.get(asset, ZERO)
        for name in names:
            size = abs(self._clearing.position(name).quantity)
            mark = self._clearing.mark(name)
            out.append(
                self._clearing.force(name, mark, size, FillCause.LIQUIDATION, free_of_fee=True)
            )
        after = self._state.balances.get(asset, ZERO)
        lost = after if mode is MarginMode.CROSS else after - before
        if lost:
            self._state.backstop_fund += lost
            out.append(
                self._clearing.cashflow(asset, -lost, CashCause.LIQUIDATION_PENALTY, names[0])
            )
        return out

    @exact()
    def auto_deleverage(
        self, name: str, fraction: Decimal, price: Decimal, now_ns: int
    ) -> list[VenueEvent]:
        """Close ``fraction`` (0 to 1) of the position at ``price`` against a bankrupt other side.

        Raises:
            ValueError: when the position is flat or ``price`` is beyond its bankruptcy
                price: profitable positions are deleveraged, losing ones liquidated.
        """
        out = self.advance(now_ns)
        position, market = self._clearing.position(name), self._markets[name]
        if not position.quantity or position.equity(price) < 0:
            raise ValueError(f"{name} has no position that can be deleveraged at {price}")
        size = abs(position.quantity)
        if fraction < ONE:
            size = matching.whole_lots(self._instruments[name], size * fraction)
        if size:
            out.append(self._clearing.force(name, price, size, FillCause.ADL, free_of_fee=True))
            out += self._drop_reduce_only(market)
        return out

    # --- settings and queries ------------------------------------------------------------

    @exact()
    def set_leverage(
        self,
        request_id: str,
        instrument: str,
        leverage: int,
        now_ns: int,
        mode: MarginMode = MarginMode.ISOLATED,
    ) -> list[VenueEvent]:
        """LeverageConfirmed as read back, after a MarginMoved where margin had to follow;
        or SettingRefused."""
        out = self.advance(now_ns)
        answer = self._clearing.set_leverage(request_id, instrument, leverage, mode)
        payload = msgspec.json.encode([request_id, instrument, leverage, mode])
        self._log("set_leverage", payload, type(answer[-1]).__name__)
        return [*out, *answer]

    @exact()
    def move_margin(
        self, request_id: str, instrument: str, amount: Decimal, now_ns: int
    ) -> list[VenueEvent]:
        """MarginMoved or SettingRefused; positive adds to an isolated position."""
        out = self.advance(now_ns)
        answer = self._clearing.move_margin(request_id, instrument, amount)
        payload = msgspec.json.encode([request_id, instrument, amount])
        self._log("move_margin", payload, type(answer).__name__)
        return [*out, answer]

    # --- wallets -------------------------------------------------------------------------

    @exact()
    def transfer(self, give: str, take: str, amount: Decimal, now_ns: int) -> bool:
        """Move ``amount`` (positive) from one balance of the account to another of it; False,
        and nothing moved, where that much is not free."""
        self._state.now_ns = max(now_ns, self._state.now_ns)
        balances = self._state.balances
        moves = ZERO < amount <= self._clearing.free().get(give, ZERO)
        self._log("transfer", msgspec.json.encode([give, take, amount]), "ok" if moves else "no")
        if moves:
            balances[give] -= amount
            balances[take] = balances.get(take, ZERO) + amount
        return moves

    def settle_perps_in(self, asset: str) -> None:
        """From now on balance ``asset`` backs perps, pays and is paid for them.

        Raises:
            ValueError: while a position or an order is open.
        """
        if self._open or any(self._clearing.position(name).quantity for name in self._perps):
            raise ValueError("what backs a position or an order cannot change under it")
        for name in self._perps:
            perp = msgspec.structs.replace(self._instruments[name], quote=asset)
            self._instruments[name] = perp

    @property
    def resting(self) -> frozenset[str]:
        """The instruments in whose books an order is open."""
        if not self._open:
            return _NONE
        return frozenset(name for name, market in self._markets.items() if market.orders)

    @property
    def rules(self) -> VenueRules:
        return self._rules

    def position(self, name: str) -> Position:
        """The position on a perp and its settings, flat or not."""
        return self._clearing.position(name)

    def order_report(self, cloid: str, now_ns: int) -> OrderReport:
        """What the venue knows of an order; NEVER_SEEN where it knows nothing."""
        open_order, closed = self._open.get(cloid), self._clearing.closed.get(cloid)
        now_ns = max(now_ns, self._state.now_ns)
        status, filled = OrderStatus.NEVER_SEEN, ZERO
        if open_order is not None:
            status, filled = OrderStatus.OPEN, open_order.filled
        elif closed is not None:
            status, filled = closed.status, closed.filled
        return OrderReport(cloid, status, filled, now_ns, now_ns)

    def account_report(self, request_id: str | None, now_ns: int) -> AccountReport:
        """The whole account now; call ``advance`` first where an hour may have passed."""
        self._state.now_ns = max(now_ns, self._state.now_ns)
        return self._clearing.report(request_id)

    def private_since(self, since_ns: int) -> list[Fill | FundingPayment | Cashflow]:
        """History that became known at or after ``since_ns``, deposits included, in order."""
        return self._clearing.history_since(since_ns)

    def funding_published(self) -> list[FundingSettled]:
        """Every rate settled so far, in order."""
        return self._clearing.published

    @property
    def requests(self) -> list[Request]:
        """The venue's own log of what was asked of it, for an independent checker."""
        return self._clearing.requests

    def _log(self, action: str, payload: bytes, outcome: str) -> None:
        self._clearing.record(Request(self._state.now_ns, action, payload.decode(), outcome))


def _new_market(instrument: Instrument, rules: VenueRules, now_ns: int) -> Market:
    step = rules.premium_sample_ns
    hour_ns = now_ns // HOUR * HOUR
    if instrument.kind is Kind.SPOT:
        return Market(position=None, next_sample_ns=_NEVER, settled_ns=hour_ns)
    highest = max(tier.max_leverage for tier in instrument.margin_tiers)
    return Market(
        position=Position(highest),
        next_sample_ns=-(-now_ns // step) * step,
        settled_ns=hour_ns - 1,
    )
