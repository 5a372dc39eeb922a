"""The clearinghouse: the account's money, positions and margin, and the records of it."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from decimal import Decimal

from msgspec.structs import replace

from domain.account import (
    AccountReport,
    Balance,
    CashCause,
    Cashflow,
    FundingPayment,
    LeverageConfirmed,
    MarginMode,
    MarginMoved,
    PositionReport,
    SettingRefused,
)
from domain.instruments import Instrument, Kind
from domain.market import FundingSettled
from domain.money import ZERO, Money, decimal_of, exact
from domain.orders import Fill, FillCause, Liquidity, Side
from domain.rates import FundingRate
from domain.time import iso
from execution.venues.simulated.account import (
    cross_positions,
    cross_reserves,
    fee_of,
    fill_position,
    held,
    mark_of,
)
from execution.venues.simulated.funding import payment
from execution.venues.simulated.liquidation import closing_side
from execution.venues.simulated.margin import (
    guarded,
    initial_margin,
    liquidation_price,
    maintenance,
    tier_at,
    tiers_of,
)
from execution.venues.simulated.rules import VenueRules
from execution.venues.simulated.state import (
    ClosedOrder,
    OpenOrder,
    Position,
    Record,
    Request,
    State,
    rounded,
)

_SHOWN = Decimal("1e-8")

NO_POSITION = "No open position to move margin on."
NOT_ISOLATED = "Position does not use isolated margin."
NO_CASH = "Insufficient margin to increase the position's margin."
BELOW_INITIAL = "Margin cannot be reduced below the initial margin at the current leverage."
MODE_SWITCH = "Cannot switch leverage type with open position."
NOT_A_PERP = "Leverage and margin are settings of a perpetual."


class Clearinghouse:
    """Applies fills, funding and transfers to ``state``; refuses what cannot be paid.

    Every amount is exact; only fees, funding and margin transfers are rounded.
    """

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        rules: VenueRules,
        state: State,
        records: Iterable[Record],
    ) -> None:
        self.instruments = instruments
        self.rules = rules
        self.state = state
        self.tiers = {name: tiers_of(instrument) for name, instrument in instruments.items()}
        self.fresh: list[Record] = []
        self.closed: dict[str, ClosedOrder] = {}
        self.published: list[FundingSettled] = []
        self.requests: list[Request] = []
        self._history: list[Fill | FundingPayment | Cashflow] = []
        self._history_times: list[int] = []
        for record in records:
            self._index(record)

    # --- records -------------------------------------------------------------------------

    def record(self, record: Record) -> None:
        """Keep for good: until it is drained, and in the view that answers queries about it."""
        self.fresh.append(record)
        self._index(record)

    def _index(self, record: Record) -> None:
        if isinstance(record, ClosedOrder):
            self.closed[record.cloid] = record
        elif isinstance(record, FundingSettled):
            self.published.append(record)
        elif isinstance(record, Request):
            self.requests.append(record)
        else:
            self._history.append(record)
            self._history_times.append(record.received_ns)

    def history_since(self, since_ns: int) -> list[Fill | FundingPayment | Cashflow]:
        """What became known at or after ``since_ns``, in order."""
        return self._history[bisect_left(self._history_times, since_ns) :]

    # --- money ---------------------------------------------------------------------------

    def free(self, but: OpenOrder | None = None) -> dict[str, Decimal]:
        """What of each asset backs nothing; the hold of order ``but`` counts as free."""
        holds = held(self.state, self.instruments, self.rules.quantum, but)
        balances = self.state.balances
        return {asset: total - holds.get(asset, ZERO) for asset, total in balances.items()}

    def cashflow(
        self, asset: str, amount: Decimal, cause: CashCause, instrument: str | None
    ) -> Cashflow:
        """Book ``amount`` (positive received) onto the balance."""
        self._credit(asset, amount)
        self.state.cashflows += 1
        flow = Cashflow(
            cashflow_id=f"cashflow-{self.state.cashflows}",
            money=Money(amount, asset),
            cause=cause,
            instrument=instrument,
            venue_time_ns=self.state.now_ns,
            received_ns=self.state.now_ns,
        )
        self.record(flow)
        return flow

    def _credit(self, asset: str, amount: Decimal) -> None:
        self.state.balances[asset] = self.state.balances.get(asset, ZERO) + amount

    # --- fills ---------------------------------------------------------------------------

    def trade(
        self, order: OpenOrder, price: Decimal, quantity: Decimal, liquidity: Liquidity
    ) -> Fill | None:
        """Fill part of ``order``; None, and nothing happened, where the account cannot pay.

        What backs other orders cannot pay for this one; a fill that costs nothing net
        (closing usually returns more than its fee) is never refused.
        """
        name, side, quantum = order.request.instrument, order.request.side, self.rules.quantum
        instrument, market = self.instruments[name], self.state.markets[name]
        fee = fee_of(instrument, side, quantity, price, liquidity=liquidity, quantum=quantum)
        free, reserve, position = self.free(order), self._reserve(instrument), market.position
        changes = {instrument.quote: -side.sign * quantity * price, instrument.base: ZERO}
        if position is None:
            changes[instrument.base] = side.sign * quantity
        else:
            market.position, changes[instrument.quote] = fill_position(
                position, side.sign * quantity, price, self.tiers[name], quantum
            )
        changes[fee.asset] -= fee.amount
        reserved = {instrument.quote: self._reserve(instrument) - reserve}
        for asset, change in changes.items():
            effect = change - reserved.get(asset, ZERO)
            if effect < 0 and free.get(asset, ZERO) + effect < 0:
                market.position = position
                return None
        for asset, change in changes.items():
            if change:
                self._credit(asset, change)
        order.filled += quantity
        cloid = order.request.cloid
        return self._filled(
            name,
            side,
            price,
            quantity,
            fee,
            cloid=cloid,
            liquidity=liquidity,
            cause=FillCause.ORDER,
        )

    def _reserve(self, instrument: Instrument) -> Decimal:
        """What of the quote backs cross positions."""
        reserves = cross_reserves(self.state, self.instruments, self.rules.quantum)
        return reserves.get(instrument.quote, ZERO)

    def bears(self, name: str, price: Decimal, quantity: Decimal) -> bool:
        """Whether an isolated position's margin covers being closed at ``price``, fee included."""
        position = self.position(name)
        if position.mode is MarginMode.CROSS:
            return True
        fee = self._forced_fee(name, price, quantity)
        return position.equity(price) >= fee.amount

    def force(
        self, name: str, price: Decimal, quantity: Decimal, cause: FillCause, *, free_of_fee: bool
    ) -> Fill:
        """Close ``quantity`` (base) of a position without its owner's order.

        The fee of a liquidation is paid out of an isolated position's margin, and a
        partial liquidation leaves the rest of the margin where it protects.
        """
        instrument, position = self.instruments[name], self.position(name)
        side = closing_side(position)
        fee = self._forced_fee(name, price, quantity)
        if free_of_fee:
            fee = Money(ZERO, instrument.quote)
        if position.mode is MarginMode.ISOLATED:
            position = replace(position, raw_margin=position.raw_margin - fee.amount)
        else:
            self._credit(fee.asset, -fee.amount)
        position, cash = fill_position(
            position,
            side.sign * quantity,
            price,
            self.tiers[name],
            self.rules.quantum,
            release=cause is FillCause.ADL,
        )
        self.state.markets[name].position = position
        self._credit(instrument.quote, cash)
        return self._filled(
            name, side, price, quantity, fee, cloid=None, liquidity=Liquidity.TAKER, cause=cause
        )

    def settle(self, name: str, price: Decimal) -> Fill | None:
        """Close a position, or turn a token's whole balance into quote, at ``price``; no fee.

        None where nothing is held. A settled position's margin comes back with it.
        """
        instrument, position = self.instruments[name], self.state.markets[name].position
        cause = FillCause.DELISTING
        if position is not None:
            size = abs(position.quantity)
            return self.force(name, price, size, cause, free_of_fee=True) if size else None
        size = self.state.balances.get(instrument.base, ZERO)
        if size <= 0:
            return None
        self._credit(instrument.base, -size)
        self._credit(instrument.quote, size * price)
        fee = Money(ZERO, instrument.quote)
        return self._filled(
            name, Side.SELL, price, size, fee, cloid=None, liquidity=Liquidity.TAKER, cause=cause
        )

    def _forced_fee(self, name: str, price: Decimal, quantity: Decimal) -> Money:
        side = closing_side(self.position(name))
        return fee_of(
            self.instruments[name],
            side,
            quantity,
            price,
            liquidity=Liquidity.TAKER,
            quantum=self.rules.quantum,
        )

    def _filled(
        self,
        name: str,
        side: Side,
        price: Decimal,
        quantity: Decimal,
        fee: Money,
        *,
        cloid: str | None,
        liquidity: Liquidity,
        cause: FillCause,
    ) -> Fill:
        self.state.fills += 1
        fill = Fill(
            fill_id=f"fill-{self.state.fills}",
            cloid=cloid,
            instrument=name,
            side=side,
            price=price,
            quantity=quantity,
            fee=fee,
            liquidity=liquidity,
            cause=cause,
            venue_time_ns=self.state.now_ns,
            received_ns=self.state.now_ns,
        )
        self.record(fill)
        return fill

    # --- positions -----------------------------------------------------------------------

    def position(self, name: str) -> Position:
        """The position on a perp, flat or not."""
        position = self.state.markets[name].position
        assert position is not None, "Invariant: only a perp is asked for its position"
        return position

    def mark(self, name: str) -> Decimal:
        """The mark as last heard; before that the mid, and before any market the entry price."""
        mark = mark_of(self.state.markets[name])
        return self.position(name).entry_price if mark is None else mark

    def maintenance(self, name: str, mark: Decimal) -> Decimal:
        """Maintenance margin of the position at ``mark``."""
        return maintenance(self.tiers[name], abs(self.position(name).quantity) * mark)

    def account_value(self, asset: str) -> tuple[Decimal, Decimal]:
        """Cross margin in ``asset``: balance plus unrealized profit, and its maintenance."""
        value, need = self.state.balances.get(asset, ZERO), ZERO
        for name, position, mark in cross_positions(self.state, self.instruments, asset):
            value += position.equity(mark)
            need += self.maintenance(name, mark)
        return value, need

    def settle_funding(
        self, name: str, hour_ns: int, rate: FundingRate, quantity: Decimal, price: float
    ) -> list[FundingSettled | FundingPayment]:
        """Publish ``rate`` for ``hour_ns`` and charge the position held then at ``price``.

        An isolated position receives and pays in its own margin, so funding moves its
        liquidation price; a cross one, or one closed since, in the balance.
        """
        now_ns = self.state.now_ns
        settled = FundingSettled(name, rate, hour_ns, now_ns)
        self.record(settled)
        if not quantity:
            return [settled]
        instrument, position = self.instruments[name], self.position(name)
        charged, at = decimal_of(rate.per_interval), decimal_of(price)
        amount = payment(quantity, at, charged, self.rules.quantum)
        if position.quantity and position.mode is MarginMode.ISOLATED:
            position = replace(position, raw_margin=position.raw_margin + amount)
            self.state.markets[name].position = guarded(position, self.tiers[name])
        else:
            self._credit(instrument.quote, amount)
        paid = FundingPayment(
            payment_id=f"funding-{name}-{iso(hour_ns)}",
            instrument=name,
            position=quantity,
            price=at,
            rate=charged,
            interval_hours=int(rate.interval_hours),
            payment=Money(amount, instrument.quote),
            venue_time_ns=hour_ns,
            received_ns=now_ns,
        )
        self.record(paid)
        return [settled, paid]

    # --- settings ------------------------------------------------------------------------

    def set_leverage(
        self, request_id: str, name: str, leverage: int, mode: MarginMode
    ) -> list[LeverageConfirmed | MarginMoved | SettingRefused]:
        """Set, moving the margin that a lower leverage asks for, and read back."""
        instrument = self.instruments.get(name)
        if instrument is None or instrument.kind is not Kind.PERP:
            return [self._refused(request_id, name, NOT_A_PERP)]
        market, position, mark = self.state.markets[name], self.position(name), self.mark(name)
        notional = abs(position.quantity) * mark
        highest = tier_at(self.tiers[name], notional).max_leverage
        if not 1 <= leverage <= highest:
            reason = f"Invalid leverage value: {leverage} is not between 1 and {highest}."
            return [self._refused(request_id, name, reason)]
        if position.quantity and mode is not position.mode:
            return [self._refused(request_id, name, MODE_SWITCH)]
        amount = ZERO
        if position.quantity and mode is MarginMode.ISOLATED and leverage < position.leverage:
            need = initial_margin(notional, leverage, self.rules.quantum)
            amount = max(rounded(need - position.equity(mark), self.rules.quantum), ZERO)
        changed = replace(
            position, leverage=leverage, mode=mode, raw_margin=position.raw_margin + amount
        )
        before = self.free().get(instrument.quote, ZERO)
        market.position = guarded(changed, self.tiers[name])
        self._credit(instrument.quote, -amount)
        if self.free()[instrument.quote] < min(ZERO, before):
            market.position = position
            self._credit(instrument.quote, amount)
            return [self._refused(request_id, name, NO_CASH)]
        now_ns = self.state.now_ns
        confirmed = LeverageConfirmed(name, leverage, mode, now_ns, now_ns)
        if not amount:
            return [confirmed]
        return [MarginMoved(request_id, name, amount, now_ns, now_ns), confirmed]

    def move_margin(
        self, request_id: str, name: str, amount: Decimal
    ) -> MarginMoved | SettingRefused:
        """Between balance and isolated position; out only down to the initial margin."""
        instrument = self.instruments.get(name)
        if instrument is None or instrument.kind is not Kind.PERP:
            return self._refused(request_id, name, NOT_A_PERP)
        position, market = self.position(name), self.state.markets[name]
        amount = rounded(amount, self.rules.quantum)
        if not position.quantity:
            return self._refused(request_id, name, NO_POSITION)
        if position.mode is not MarginMode.ISOLATED:
            return self._refused(request_id, name, NOT_ISOLATED)
        if amount > 0 and amount > self.free().get(instrument.quote, ZERO):
            return self._refused(request_id, name, NO_CASH)
        mark = self.mark(name)
        need = initial_margin(abs(position.quantity) * mark, position.leverage, self.rules.quantum)
        if amount < 0 and position.equity(mark) + amount < need:
            return self._refused(request_id, name, BELOW_INITIAL)
        self._credit(instrument.quote, -amount)
        moved = replace(position, raw_margin=position.raw_margin + amount)
        market.position = guarded(moved, self.tiers[name])
        return MarginMoved(request_id, name, amount, self.state.now_ns, self.state.now_ns)

    def _refused(self, request_id: str, name: str, reason: str) -> SettingRefused:
        return SettingRefused(request_id, name, reason, self.state.now_ns, self.state.now_ns)

    # --- reports -------------------------------------------------------------------------

    @exact()
    def report(self, request_id: str | None) -> AccountReport:
        """Balances, positions and open orders as they stand."""
        holds = held(self.state, self.instruments, self.rules.quantum, None)
        orders = [
            order
            for market in self.state.markets.values()
            for held_in in (market.orders, market.waiting)
            for order in held_in.values()
        ]
        return AccountReport(
            balances=tuple(
                Balance(asset, total, holds.get(asset, ZERO))
                for asset, total in sorted(self.state.balances.items())
            ),
            positions=tuple(
                self._position_report(name)
                for name, market in self.state.markets.items()
                if market.position is not None and market.position.quantity
            ),
            open_orders=tuple(
                order.request.cloid for order in sorted(orders, key=lambda order: order.number)
            ),
            request_id=request_id,
            venue_time_ns=self.state.now_ns,
            received_ns=self.state.now_ns,
        )

    def _position_report(self, name: str) -> PositionReport:
        position, mark = self.position(name), self.mark(name)
        at_risk = position.raw_margin
        if position.mode is MarginMode.CROSS:
            value, need = self.account_value(self.instruments[name].quote)
            others = need - self.maintenance(name, mark)
            at_risk = value - position.quantity * mark - others
        price = liquidation_price(self.tiers[name], position.quantity, at_risk)
        return PositionReport(
            instrument=name,
            quantity=position.quantity,
            entry_price=position.entry_price,
            mark=mark,
            margin=position.equity(mark),
            raw_margin=position.raw_margin,
            leverage=position.leverage,
            mode=position.mode,
            liquidation_price=None if price is None else rounded(price, _SHOWN),
        )
