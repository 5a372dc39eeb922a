"""Every order that ever reached the account, open or not, and the venue's words for its fate."""

from decimal import Decimal
from typing import Any

import msgspec

from domain.money import ZERO
from domain.orders import CancelReason, Side, TimeInForce
from execution.venues.hyperliquid.emulator.numbers import text
from execution.venues.simulated import admission

IOC_UNMATCHED = "Order could not immediately match against any resting orders."
TIF_NAMES = {TimeInForce.IOC: "Ioc", TimeInForce.POST_ONLY: "Alo", TimeInForce.GTC: "Gtc"}
TIFS = {name: tif for tif, name in TIF_NAMES.items()}
SIDE_NAMES = {Side.BUY: "B", Side.SELL: "A"}

_CANCELED = {
    CancelReason.REQUESTED: "canceled",
    CancelReason.IOC: "canceled",  # what an IOC left after filling a part: UNVERIFIED
    CancelReason.REDUCE_ONLY: "reduceOnlyCanceled",
    CancelReason.MARGIN: "marginCanceled",
    CancelReason.LIQUIDATION: "liquidatedCanceled",
    CancelReason.DELISTING: "delistedCanceled",
}
_REJECTED = (
    (admission.TICK, "tickRejected"),
    ("Order must have minimum value", "minTradeNtlRejected"),
    (admission.MARGIN, "perpMarginRejected"),
    (admission.REDUCE_ONLY, "reduceOnlyRejected"),
    ("Post only order would have immediately matched", "badAloPxRejected"),
    (admission.SPOT_BALANCE, "insufficientSpotBalanceRejected"),
    (admission.TIER, "perpMaxPositionRejected"),
    ("Invalid TP/SL price", "badTriggerPxRejected"),
)
# Refused orders have numbers too, and so have those that wait for a price: apart from those
# that the exchange gives.
_FIRST_REFUSED, _FIRST_WAITING = 1 << 41, 1 << 42


class Trigger(msgspec.Struct, frozen=True):
    """The mark from which on an order is placed: at or above it, or at or below it.

    ``group`` is of orders that stand for each other: one that is triggered cancels the rest.
    ``after`` is the order that has to fill first; ``whole`` closes whatever the position is.
    """

    price: Decimal
    is_market: bool
    tpsl: str
    is_above: bool
    group: int
    after: str | None = None
    whole: bool = False

    def is_reached(self, mark: Decimal) -> bool:
        return mark >= self.price if self.is_above else mark <= self.price

    @property
    def kind(self) -> str:
        name = "Take Profit" if self.tpsl == "tp" else "Stop"
        return f"{name} {'Market' if self.is_market else 'Limit'}"

    @property
    def condition(self) -> str:
        return f"Price {'above' if self.is_above else 'below'} {text(self.price)}"


class Order(msgspec.Struct):
    """``key`` names the order at the exchange: its cloid, or a name of ours where it has none or
    another order had it before. One with a ``trigger`` is not at the exchange until it is reached.

    ``shown`` is what remained when the status last changed. The venue's ``orderStatus`` goes on
    telling it while an open order fills (hyperliquid-python-sdk issue 141), and
    ``orderUpdates`` tells of changes of status alone.
    """

    key: str
    cloid: str | None
    instrument: str
    coin: str
    side: Side
    quantity: Decimal
    price: Decimal
    time_in_force: TimeInForce
    reduce_only: bool
    placed_ms: int
    trigger: Trigger | None = None
    oid: int = 0
    filled: Decimal = ZERO
    spent: Decimal = ZERO
    shown: Decimal = ZERO
    status: str = "open"
    status_ms: int = 0

    @property
    def is_open(self) -> bool:
        return self.status == "open"

    @property
    def remaining(self) -> Decimal:
        return self.quantity - self.filled

    def short(self) -> dict[str, Any]:
        """As ``openOrders`` and ``orderUpdates`` tell it."""
        told: dict[str, Any] = {
            "coin": self.coin,
            "side": SIDE_NAMES[self.side],
            "limitPx": text(self.price),
            "sz": text(self.remaining),
            "oid": self.oid,
            "timestamp": self.placed_ms,
            "origSz": text(self.quantity),
        }
        if self.cloid is not None:
            told["cloid"] = self.cloid
        if self.reduce_only:
            told["reduceOnly"] = True
        return told

    def long(self) -> dict[str, Any]:
        """As ``frontendOpenOrders`` tells it."""
        trigger = self.trigger
        return self.short() | {
            "triggerCondition": "N/A" if trigger is None else trigger.condition,
            "isTrigger": trigger is not None,
            "triggerPx": "0.0" if trigger is None else text(trigger.price),
            "children": [],
            "isPositionTpsl": trigger is not None and trigger.whole,
            "reduceOnly": self.reduce_only,
            "orderType": "Limit" if trigger is None else trigger.kind,
            "tif": TIF_NAMES[self.time_in_force] if trigger is None else None,
            "cloid": self.cloid,
        }

    def update(self) -> dict[str, Any]:
        """As ``orderUpdates`` tells its present state."""
        return {"order": self.short(), "status": self.status, "statusTimestamp": self.status_ms}

    def with_status(self) -> dict[str, Any]:
        """As ``orderStatus`` and ``historicalOrders`` tell it."""
        order = self.long() | {"sz": text(self.shown)}
        return {"order": order, "status": self.status, "statusTimestamp": self.status_ms}


class Orders:
    """All orders by key and by number."""

    def __init__(self) -> None:
        self._by_key: dict[str, Order] = {}
        self._by_cloid: dict[str, Order] = {}
        self._by_oid: dict[int, Order] = {}
        self._open: dict[int, Order] = {}
        self._refused = self._waiting = 0

    def __contains__(self, key: str) -> bool:
        return key in self._by_key

    def add(self, order: Order) -> None:
        """An order on its way to the exchange; it has no number yet."""
        self._by_key[order.key] = order
        if order.cloid is not None:
            self._by_cloid[order.cloid] = order

    def find(self, name: str | int) -> Order | None:
        """By client id, the last that had it, or by number."""
        if isinstance(name, int):
            return self._by_oid.get(name)
        return self._by_cloid.get(name.lower())

    def key(self, name: str | None) -> Order | None:
        """By the exchange's name for it."""
        return None if name is None else self._by_key.get(name)

    def open(self) -> list[Order]:
        return list(self._open.values())

    def latest(self, count: int) -> list[Order]:
        """Newest first."""
        return list(self._by_oid.values())[: -count - 1 : -1]

    def waits(self, order: Order, time_ms: int) -> None:
        """For its price. It keeps the number that it gets now."""
        self._waiting += 1
        self.accepted(order, _FIRST_WAITING + self._waiting, time_ms)

    def accepted(self, order: Order, oid: int, time_ms: int) -> None:
        order.oid, order.status, order.status_ms = order.oid or oid, "open", time_ms
        self._by_oid[order.oid] = self._open[order.oid] = order

    def rejected(self, order: Order, reason: str, time_ms: int) -> None:
        """Refused before the exchange gave it a number."""
        self._refused += not order.oid
        self.accepted(order, _FIRST_REFUSED + self._refused, time_ms)
        self.ended(order, rejection(reason), time_ms)

    def filled(self, order: Order, price: Decimal, quantity: Decimal, time_ms: int) -> None:
        order.filled += quantity
        order.spent += quantity * price
        if not order.remaining:
            self.ended(order, "filled", time_ms)

    def ended(self, order: Order, status: str, time_ms: int) -> None:
        order.status, order.status_ms = status, time_ms
        del self._open[order.oid]


def cancellation(order: Order, reason: CancelReason) -> str:
    """An IOC that found nothing was refused, by the venue's reckoning."""
    if reason is CancelReason.IOC and not order.filled:
        return "iocCancelRejected"
    return _CANCELED[reason]


def rejection(reason: str) -> str:
    """The status that says what the error text says."""
    for beginning, status in _REJECTED:
        if reason.startswith(beginning):
            return status
    return "rejected"
