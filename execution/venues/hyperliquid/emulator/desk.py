"""Carries out actions that are signed well: orders, cancels, settings, the scheduled cancel."""

from collections.abc import Callable, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from domain.account import MarginMode, SettingRefused
from domain.instruments import Instrument
from domain.orders import OrderRejected, OrderRequest, Side
from domain.time import DAY, MILLISECOND, SECOND
from execution.venues.hyperliquid.emulator import actions
from execution.venues.hyperliquid.emulator.listing import Listing
from execution.venues.hyperliquid.emulator.numbers import text
from execution.venues.hyperliquid.emulator.orders import IOC_UNMATCHED, TIFS, Order, Orders
from execution.venues.hyperliquid.emulator.records import Records
from execution.venues.simulated import admission
from execution.venues.simulated.exchange import NOTHING_TO_CANCEL, Exchange
from execution.venues.simulated.state import RATIO, VenueEvent

Document = dict[str, Any]
NEVER = 1 << 62

POST_ONLY = "Only post-only orders allowed immediately after a network upgrade"
# The texts from here on are UNVERIFIED.
EMPTY_BATCH = "Empty batch of orders or cancels."
NO_GROUPING = "Only grouping na is offered here."
NO_TRIGGERS = "Trigger orders are not offered here."
NO_MODIFY = "batchModify is not offered here."
TOO_EARLY = "Scheduled cancel time must be at least 5 seconds from now."
TOO_OFTEN = "Cannot set scheduled cancel time: too many triggers today."

_VOLUME_GATE = 1_000_000
_TRIGGERS_A_DAY = 10
_OK = {"status": "ok", "response": {"type": "default"}}


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
        tell: Callable[[Sequence[VenueEvent]], None],
    ) -> None:
        self.post_only = False
        self.cancel_at_ns = NEVER
        self._triggers: dict[int, int] = {}  # by day
        self._exchange, self._listing = exchange, listing
        self._orders, self._records = orders, records
        self._tell = tell
        self._nameless = 0
        self._settings = 0

    def act(self, action: actions.Action, now_ns: int) -> Document:
        """The whole answer; errors of single orders are inside it."""
        if isinstance(action, actions.PlaceOrders):
            return self._place(action, now_ns)
        if isinstance(action, actions.Cancels):
            return self._cancel("cancel", [(c.a, c.o) for c in action.cancels], now_ns)
        if isinstance(action, actions.CancelsByCloid):
            named = [(c.asset, c.cloid) for c in action.cancels]
            return self._cancel("cancel", named, now_ns)
        if isinstance(action, actions.UpdateLeverage):
            return self._set_leverage(action, now_ns)
        if isinstance(action, actions.UpdateIsolatedMargin):
            return self._move_margin(action, now_ns)
        if isinstance(action, actions.ScheduleCancel):
            return self._schedule(action, now_ns)
        if isinstance(action, actions.BatchModify):
            return refused(NO_MODIFY)
        return _OK

    # --- orders --------------------------------------------------------------------------

    def _place(self, action: actions.PlaceOrders, now_ns: int) -> Document:
        refusal = self._malformed(action)
        if refusal is not None:
            return refused(refusal)
        return _statuses("order", [self._place_one(wire, now_ns) for wire in action.orders])

    def _malformed(self, action: actions.PlaceOrders) -> str | None:
        """One error for the whole batch, before any order is looked at (which ones: UNVERIFIED)."""
        if not action.orders:
            return EMPTY_BATCH
        if action.grouping != "na":
            return NO_GROUPING
        for order in action.orders:
            if order.a not in self._listing.by_asset:
                return unknown_asset(order.a)
            if order.t.limit is None:
                return NO_TRIGGERS
            if not Decimal(order.s):
                return admission.ZERO_SIZE
            if self.post_only and order.t.limit.tif != "Alo":
                return POST_ONLY
        return None

    def _place_one(self, wire: actions.Order, now_ns: int) -> Document | str:
        """A re-used client id is refused here, so that an order sent twice is seen (UNVERIFIED)."""
        order = self._order(wire, now_ns)
        if order.key in self._orders:
            return _error(admission.DUPLICATE, wire.a)
        self._orders.add(order)
        request = OrderRequest(
            cloid=order.key,
            instrument=order.instrument,
            side=order.side,
            quantity=order.quantity,
            price=order.price,
            time_in_force=order.time_in_force,
            reduce_only=order.reduce_only,
            expires_ns=NEVER,  # the request was in time
        )
        events = self._exchange.place(request, now_ns)
        self._tell(events)
        if isinstance(events[-1], OrderRejected):
            return _error(events[-1].reason, wire.a)
        return self._status(order, wire.a)

    def _order(self, wire: actions.Order, now_ns: int) -> Order:
        assert wire.t.limit is not None, "Invariant: trigger orders were refused before"
        instrument = self._listing.by_asset[wire.a]
        self._nameless += wire.c is None
        return Order(
            key=wire.c or f"nameless-{self._nameless}",
            cloid=wire.c,
            instrument=instrument.id,
            coin=self._listing.coin_of[instrument.id],
            side=Side.BUY if wire.b else Side.SELL,
            quantity=Decimal(wire.s),
            price=Decimal(wire.p),
            time_in_force=TIFS[wire.t.limit.tif],
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

    def _cancel(self, kind: str, named: Sequence[tuple[int, int | str]], now_ns: int) -> Document:
        if not named:
            return refused(EMPTY_BATCH)
        return _statuses(kind, [self._cancel_one(a, name, now_ns) for a, name in named])

    def _cancel_one(self, asset: int, name: int | str, now_ns: int) -> Document | str:
        order = self._orders.find(name)
        if order is None or not order.is_open or self._listing.asset_of[order.instrument] != asset:
            return _error(NOTHING_TO_CANCEL, asset)
        self._tell(self._exchange.cancel(order.key, now_ns))
        return "success"

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
            return _OK
        time_ns = action.time * MILLISECOND
        if time_ns < now_ns + 5 * SECOND:
            return refused(TOO_EARLY)
        if self._triggers.get(now_ns // DAY, 0) >= _TRIGGERS_A_DAY:
            return refused(TOO_OFTEN)
        self.cancel_at_ns = time_ns
        return _OK

    def triggered(self) -> int:
        """The scheduled time has come: it is used up. Returns it."""
        time_ns, self.cancel_at_ns = self.cancel_at_ns, NEVER
        day = time_ns // DAY
        self._triggers[day] = self._triggers.get(day, 0) + 1
        return time_ns

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
        self._settings += 1
        return f"setting-{self._settings}"

    def _answered(self, events: Sequence[VenueEvent]) -> Document:
        self._tell(events)
        answer = events[-1]
        return refused(answer.reason) if isinstance(answer, SettingRefused) else _OK


def refused(reason: str) -> Document:
    """The whole action is."""
    return {"status": "err", "response": reason}


def unknown_asset(asset: int) -> str:
    return f"Invalid asset: {asset}"


def _statuses(kind: str, statuses: list[Document | str]) -> Document:
    return {"status": "ok", "response": {"type": kind, "data": {"statuses": statuses}}}


def _error(reason: str, asset: int) -> Document:
    return {"error": f"{reason} asset={asset}"}


def _average(order: Order, instrument: Instrument) -> Decimal:
    """The price filled at on average, rounded: for display."""
    step = Decimal(1).scaleb(-instrument.price_decimals)
    return RATIO.divide(order.spent, order.filled).quantize(step, ROUND_HALF_EVEN, RATIO)
