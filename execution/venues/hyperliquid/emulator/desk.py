"""Carries out actions that are signed well: orders, cancels, settings, the scheduled cancel."""

from collections.abc import Callable, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import count
from typing import Any

from domain.account import MarginMode, SettingRefused
from domain.instruments import Instrument, Kind
from domain.orders import OrderRejected, OrderRequest, Side, TimeInForce
from domain.time import DAY, MILLISECOND, SECOND
from execution.venues.hyperliquid.emulator import actions
from execution.venues.hyperliquid.emulator.listing import Listing
from execution.venues.hyperliquid.emulator.numbers import text
from execution.venues.hyperliquid.emulator.orders import (
    IOC_UNMATCHED,
    TIFS,
    Order,
    Orders,
    Trigger,
)
from execution.venues.hyperliquid.emulator.records import Records
from execution.venues.simulated import admission
from execution.venues.simulated.exchange import NOTHING_TO_CANCEL, Exchange
from execution.venues.simulated.state import RATIO, VenueEvent

Document = dict[str, Any]
NEVER = 1 << 62

BAD_TRIGGER = "Invalid TP/SL price."
ABSURD = "Order price cannot be more than 80% away from the reference price"
POST_ONLY = "Only post-only orders allowed immediately after a network upgrade"
# The texts from here on are UNVERIFIED.
EMPTY_BATCH = "Empty batch of orders or cancels."
NO_GROUPING = "Invalid grouping."
NO_TRIGGERS = "Trigger orders are of perps alone."
NOTHING_TO_MODIFY = "Cannot modify canceled or filled order"
TOO_EARLY = "Scheduled cancel time must be at least 5 seconds from now."
TOO_OFTEN = "Cannot set scheduled cancel time: too many triggers today."

_FURTHEST = Decimal("0.8")
_VOLUME_GATE = 1_000_000
_TRIGGERS_A_DAY = 10
OK = {"status": "ok", "response": {"type": "default"}}


class Desk:
    """``tell`` is called with what the exchange says to each thing that is asked of it.

    ``post_only``: the mode of the minutes after a network upgrade.
    """

    def __init__(
        self,
        exchange: Exchange,
        listing: Listing,
        orders: Orders,
        records: Records,
        tell: Callable[[Sequence[VenueEvent], str | None], None],
        tell_orders: Callable[[Sequence[Order]], None],
        mark: Callable[[str], str | None],
    ) -> None:
        self.post_only = False
        self.cancel_at_ns = NEVER
        self._triggers: dict[int, int] = {}  # by day
        self._exchange, self._listing = exchange, listing
        self._orders, self._records = orders, records
        self._told, self._tell_orders, self._mark = tell, tell_orders, mark
        self._waiting: dict[str, Order] = {}  # for a price, by key
        self._nameless, self._groups, self._settings = count(1), count(1), count(1)

    def act(self, action: actions.Action, now_ns: int) -> Document:
        """The whole answer; errors of single orders are inside it."""
        if isinstance(action, actions.PlaceOrders):
            return self._place(action, now_ns)
        if isinstance(action, actions.Cancels):
            return self._cancel([(c.a, c.o) for c in action.cancels], now_ns)
        if isinstance(action, actions.CancelsByCloid):
            return self._cancel([(c.asset, c.cloid) for c in action.cancels], now_ns)
        if isinstance(action, actions.UpdateLeverage):
            return self._set_leverage(action, now_ns)
        if isinstance(action, actions.UpdateIsolatedMargin):
            return self._move_margin(action, now_ns)
        if isinstance(action, actions.ScheduleCancel):
            return self._schedule(action, now_ns)
        if isinstance(action, actions.BatchModify):
            pairs = [(modify.oid, modify.order) for modify in action.modifies]
            return self._modify(pairs, now_ns)
        if isinstance(action, actions.ModifyOne):
            return self._modify_one(action.oid, action.order, now_ns)
        return OK

    # --- orders --------------------------------------------------------------------------

    def _place(self, action: actions.PlaceOrders, now_ns: int) -> Document:
        refusal = self._malformed(action.orders, action.grouping)
        if refusal is not None:
            return refused(refusal)
        first, group = None, next(self._groups)
        statuses: list[Document | str] = []
        for wire in action.orders:
            order = self._order(wire, now_ns)
            if wire.t.trigger is None:
                statuses.append(self._place_one(order, wire.a, now_ns))
                first = first or order.key
            else:
                lone = next(self._groups) if action.grouping == "na" else group
                after = first if action.grouping == "normalTpsl" else None
                whole = action.grouping == "positionTpsl"
                order.trigger = _trigger(wire, lone, after, whole=whole)
                statuses.append(self._wait(order, wire.a, action.grouping, now_ns))
        return _statuses("order", statuses)

    def _malformed(self, orders: Sequence[actions.Order], grouping: str = "na") -> str | None:
        """One error for the whole batch, before any order is looked at (which ones: UNVERIFIED)."""
        if not orders:
            return EMPTY_BATCH
        if grouping not in ("na", "normalTpsl", "positionTpsl"):
            return NO_GROUPING
        for order in orders:
            if order.a not in self._listing.by_asset:
                return unknown_asset(order.a)
            if order.t.trigger is not None:
                if self._listing.by_asset[order.a].kind is not Kind.PERP:
                    return NO_TRIGGERS
            elif order.t.limit is None:
                return BAD_TRIGGER
            elif not Decimal(order.s):
                return admission.ZERO_SIZE
            elif self.post_only and order.t.limit.tif != "Alo":
                return POST_ONLY
        return None

    def _place_one(self, order: Order, asset: int, now_ns: int) -> Document | str:
        """A re-used client id is refused here, so that an order sent twice is seen (UNVERIFIED)."""
        if order.key in self._orders:
            return _error(admission.DUPLICATE, asset)
        if self._is_absurd(order):
            return _error(ABSURD, asset)
        self._orders.add(order)
        events = self._to_exchange(order, now_ns)
        if isinstance(events[-1], OrderRejected):
            return _error(events[-1].reason, asset)
        return self._status(order, asset)

    def _is_absurd(self, order: Order) -> bool:
        """The reference is the mark, of a spot pair the mid (UNVERIFIED)."""
        reference = Decimal(self._mark(order.instrument) or 0)
        return bool(reference) and abs(order.price - reference) > _FURTHEST * reference

    def _to_exchange(self, order: Order, now_ns: int) -> Sequence[VenueEvent]:
        events = self._exchange.place(_request(order), now_ns)
        self._tell(events)
        return events

    def _order(self, wire: actions.Order, now_ns: int, key: str | None = None) -> Order:
        """``key`` where another order has had its client id before."""
        instrument = self._listing.by_asset[wire.a]
        return Order(
            key=key or wire.c or f"nameless-{next(self._nameless)}",
            cloid=wire.c,
            instrument=instrument.id,
            coin=self._listing.coin_of[instrument.id],
            side=Side.BUY if wire.b else Side.SELL,
            quantity=Decimal(wire.s),
            price=Decimal(wire.p),
            time_in_force=_time_in_force(wire.t),
            reduce_only=wire.r,
            placed_ms=now_ns // MILLISECOND,
        )

    def _status(self, order: Order, asset: int) -> Document:
        """What came of an accepted order at once. One that rests after filling a part is told
        as resting (UNVERIFIED)."""
        name = {"oid": order.oid} | ({} if order.cloid is None else {"cloid": order.cloid})
        if order.is_open:
            return {"resting": name}
        if not order.filled:
            unmatched = order.status == "iocCancelRejected"
            return _error(IOC_UNMATCHED if unmatched else admission.MARGIN, asset)
        instrument = self._listing.by_asset[asset]
        return {
            "filled": {
                "totalSz": text(order.filled),
                "avgPx": text(_average(order, instrument)),
            }
            | name
        }

    def _cancel(self, named: Sequence[tuple[int, int | str]], now_ns: int) -> Document:
        if not named:
            return refused(EMPTY_BATCH)
        return _statuses("cancel", [self._cancel_one(a, name, now_ns) for a, name in named])

    def _cancel_one(self, asset: int, name: int | str, now_ns: int) -> Document | str:
        order = self._orders.find(name)
        if order is None or not order.is_open or self._listing.asset_of[order.instrument] != asset:
            return _error(NOTHING_TO_CANCEL, asset)
        self._end(order, "canceled", now_ns)
        return "success"

    def _end(self, order: Order, status: str, now_ns: int) -> None:
        if self._waiting.pop(order.key, None) is None:
            events = self._exchange.cancel(order.key, now_ns)
            self._tell(events, None if status == "canceled" else status)
        else:
            self._orders.ended(order, status, now_ns // MILLISECOND)
            self._tell_orders([order])

    def _modify(self, modifies: Sequence[tuple[int | str, actions.Order]], now_ns: int) -> Document:
        if (refusal := self._malformed([order for _, order in modifies])) is not None:
            return refused(refusal)
        return _statuses("order", [self._replace(name, wire, now_ns) for name, wire in modifies])

    def _modify_one(self, name: int | str, wire: actions.Order, now_ns: int) -> Document:
        if (refusal := self._malformed([wire])) is not None:
            return refused(refusal)
        status = self._replace(name, wire, now_ns)
        return refused(status["error"]) if isinstance(status, dict) and "error" in status else OK

    def _replace(self, name: int | str, wire: actions.Order, now_ns: int) -> Document | str:
        """Cancel, and place anew under the same client id and a new number. The old one is gone
        where the new one is refused (UNVERIFIED)."""
        old = self._orders.find(name)
        if old is None or not old.is_open:
            return _error(NOTHING_TO_MODIFY, wire.a)
        self._end(old, "canceled", now_ns)
        again = wire.c is not None and wire.c == old.cloid
        new = self._order(wire, now_ns, f"{wire.c}/{next(self._nameless)}" if again else None)
        if wire.t.trigger is None:
            return self._place_one(new, wire.a, now_ns)
        whole = old.trigger is not None and old.trigger.whole
        new.trigger = _trigger(wire, next(self._groups), None, whole=whole)
        return self._wait(new, wire.a, "na", now_ns)

    # --- orders that wait for a price ----------------------------------------------------

    def _wait(self, order: Order, asset: int, grouping: str, now_ns: int) -> Document | str:
        trigger = order.trigger
        assert trigger is not None, "Invariant: only trigger orders wait"
        if order.key in self._orders:
            return _error(admission.DUPLICATE, asset)
        mark = self._mark(order.instrument)
        if mark is not None and trigger.is_reached(Decimal(mark)):
            return _error(BAD_TRIGGER, asset)
        instrument = self._listing.by_asset[asset]
        prices = (order.price, trigger.price)
        if any(price <= 0 or instrument.round_price(price, up=False) != price for price in prices):
            return _error(admission.TICK, asset)
        # A guard of the position has no size of its own; what this one is refused for: UNVERIFIED.
        if grouping == "na" and (reason := admission.malformed(_request(order), instrument)):
            return _error(reason, asset)
        self._orders.add(order)
        self._orders.waits(order, now_ns // MILLISECOND)
        self._waiting[order.key] = order
        self._tell_orders([order])
        if grouping == "na":
            named = {"oid": order.oid} | ({} if order.cloid is None else {"cloid": order.cloid})
            return {"resting": named}
        return "waitingForTrigger" if trigger.after is None else "waitingForFill"

    def mark_moved(self, instrument: str, mark: float, now_ns: int) -> None:
        """Place what has waited for this mark; cancel what waits for an order that is dead."""
        for order in [o for o in self._waiting.values() if o.instrument == instrument]:
            trigger = order.trigger
            assert trigger is not None, "Invariant: only trigger orders wait"
            first = self._orders.key(trigger.after)
            if order.key not in self._waiting or (first is not None and first.is_open):
                continue
            if first is not None and first.status != "filled":
                self._end(order, "canceled", now_ns)
            elif trigger.is_reached(Decimal(repr(mark))):
                self._triggered(order, trigger, now_ns)

    def _triggered(self, order: Order, trigger: Trigger, now_ns: int) -> None:
        del self._waiting[order.key]
        waiting = list(self._waiting.values())
        for tied in [o for o in waiting if o.trigger and o.trigger.group == trigger.group]:
            self._end(tied, "siblingFilledCanceled", now_ns)
        order.status, order.status_ms = "triggered", now_ns // MILLISECOND
        self._tell_orders([order])
        if trigger.whole:
            order.quantity = abs(self._exchange.position(order.instrument).quantity)
        self._to_exchange(order, now_ns)

    # --- the scheduled cancel ------------------------------------------------------------

    def _schedule(self, action: actions.ScheduleCancel, now_ns: int) -> Document:
        traded = self._records.volume
        if traded < _VOLUME_GATE:
            shown = traded.quantize(Decimal("0.01"), ROUND_HALF_EVEN, RATIO)
            return refused(
                "Cannot set scheduled cancel time until enough volume traded. "
                f"Required: ${_VOLUME_GATE}. Traded: ${shown}."
            )
        if action.time is None:
            self.cancel_at_ns = NEVER
            return OK
        time_ns = action.time * MILLISECOND
        if time_ns < now_ns + 5 * SECOND:
            return refused(TOO_EARLY)
        if self._triggers.get(now_ns // DAY, 0) >= _TRIGGERS_A_DAY:
            return refused(TOO_OFTEN)
        self.cancel_at_ns = time_ns
        return OK

    def cancel_as_scheduled(self) -> None:
        """The scheduled time has come: all that is open is canceled, and the time is used up."""
        time_ns, self.cancel_at_ns = self.cancel_at_ns, NEVER
        day = time_ns // DAY
        self._triggers[day] = self._triggers.get(day, 0) + 1
        self._tell(self._exchange.advance(time_ns))
        for order in self._orders.open():
            self._end(order, "scheduledCancel", time_ns)

    # --- settings ------------------------------------------------------------------------

    def _set_leverage(self, action: actions.UpdateLeverage, now_ns: int) -> Document:
        instrument = self._listing.by_asset.get(action.asset)
        if instrument is None:
            return refused(unknown_asset(action.asset))
        mode = MarginMode.CROSS if action.is_cross else MarginMode.ISOLATED
        name = self._setting()
        return self._answered(
            self._exchange.set_leverage(name, instrument.id, action.leverage, now_ns, mode)
        )

    def _move_margin(self, action: actions.UpdateIsolatedMargin, now_ns: int) -> Document:
        instrument = self._listing.by_asset.get(action.asset)
        if instrument is None:
            return refused(unknown_asset(action.asset))
        amount = Decimal(action.ntli).scaleb(-6)
        name = self._setting()
        return self._answered(self._exchange.move_margin(name, instrument.id, amount, now_ns))

    def _setting(self) -> str:
        return f"setting-{next(self._settings)}"

    def _tell(self, events: Sequence[VenueEvent], canceled_as: str | None = None) -> None:
        self._told(events, canceled_as)

    def _answered(self, events: Sequence[VenueEvent]) -> Document:
        self._tell(events)
        answer = events[-1]
        return refused(answer.reason) if isinstance(answer, SettingRefused) else OK


def refused(reason: str) -> Document:
    """The whole action is."""
    return {"status": "err", "response": reason}


def _request(order: Order) -> OrderRequest:
    return OrderRequest(
        cloid=order.key,
        instrument=order.instrument,
        side=order.side,
        quantity=order.quantity,
        price=order.price,
        time_in_force=order.time_in_force,
        reduce_only=order.reduce_only,
        expires_ns=NEVER,  # the request was in time
    )


def unknown_asset(asset: int) -> str:
    return f"Invalid asset: {asset}"


def _statuses(kind: str, statuses: list[Document | str]) -> Document:
    return {"status": "ok", "response": {"type": kind, "data": {"statuses": statuses}}}


def _error(reason: str, asset: int) -> Document:
    return {"error": f"{reason} asset={asset}"}


def _time_in_force(kind: actions.OrderType) -> TimeInForce:
    if kind.limit is not None:
        return TIFS[kind.limit.tif]
    at_market = kind.trigger is not None and kind.trigger.is_market
    return TimeInForce.IOC if at_market else TimeInForce.GTC


def _trigger(wire: actions.Order, group: int, after: str | None, *, whole: bool) -> Trigger:
    """A sale takes profit above, and stops a loss below; a purchase the other way round."""
    asked = wire.t.trigger
    assert asked is not None, "Invariant: asked of trigger orders alone"
    is_above = (asked.tpsl == "tp") != wire.b
    price = Decimal(asked.trigger_px)
    return Trigger(price, asked.is_market, asked.tpsl, is_above, group, after, whole)


def _average(order: Order, instrument: Instrument) -> Decimal:
    """The price filled at on average, rounded: for display."""
    step = Decimal(1).scaleb(-instrument.price_decimals)
    return RATIO.divide(order.spent, order.filled).quantize(step, ROUND_HALF_EVEN, RATIO)
