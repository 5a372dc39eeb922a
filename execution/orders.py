"""The order table: every order from intent to proven end. Pure.

An order's life is the table ``TRANSITIONS``; what is absent is illegal and raises.
"""

from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum

import msgspec

from domain.money import ZERO
from domain.orders import OrderRequest, OrderStatus
from execution.facts import OrderIntended, Role


class OrderState(StrEnum):
    PENDING = "pending"  # committed and sent, no answer yet
    OPEN = "open"
    CANCELING = "canceling"
    UNKNOWN = "unknown"  # no proven answer: may exist, fully or partly filled, or not at all
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"


class OrderEvent(StrEnum):
    ACCEPTED = "accepted"
    REFUSED = "refused"
    CANCEL_SENT = "cancel_sent"
    CANCEL_REFUSED = "cancel_refused"
    ENDED = "ended"  # canceled, by us or by the venue
    FULLY_FILLED = "fully_filled"
    DOUBTED = "doubted"
    FOUND_OPEN = "found_open"
    FOUND_DEAD = "found_dead"


S, E = OrderState, OrderEvent
TRANSITIONS: dict[tuple[OrderState, OrderEvent], OrderState] = {
    (S.PENDING, E.ACCEPTED): S.OPEN,
    (S.PENDING, E.REFUSED): S.REJECTED,
    (S.PENDING, E.CANCEL_SENT): S.CANCELING,
    (S.PENDING, E.ENDED): S.CANCELED,  # an IOC can end before its ack arrives
    (S.PENDING, E.FULLY_FILLED): S.FILLED,  # and fill before it
    (S.PENDING, E.DOUBTED): S.UNKNOWN,
    (S.OPEN, E.ACCEPTED): S.OPEN,  # the same answer twice
    (S.OPEN, E.CANCEL_SENT): S.CANCELING,
    (S.OPEN, E.ENDED): S.CANCELED,
    (S.OPEN, E.FULLY_FILLED): S.FILLED,
    (S.OPEN, E.DOUBTED): S.UNKNOWN,  # after a restart, what we last heard is old news
    (S.CANCELING, E.ACCEPTED): S.CANCELING,  # the cancel overtook the ack
    (S.CANCELING, E.REFUSED): S.REJECTED,
    (S.CANCELING, E.ENDED): S.CANCELED,
    (S.CANCELING, E.FULLY_FILLED): S.FILLED,  # the fill won the race
    (S.CANCELING, E.CANCEL_REFUSED): S.UNKNOWN,  # filled, canceled or never there: ask
    (S.CANCELING, E.DOUBTED): S.UNKNOWN,
    (S.UNKNOWN, E.ACCEPTED): S.OPEN,  # a late answer is proof
    (S.UNKNOWN, E.REFUSED): S.REJECTED,
    (S.UNKNOWN, E.ENDED): S.CANCELED,
    (S.UNKNOWN, E.FULLY_FILLED): S.FILLED,
    (S.UNKNOWN, E.CANCEL_REFUSED): S.UNKNOWN,
    (S.UNKNOWN, E.FOUND_OPEN): S.OPEN,
    (S.UNKNOWN, E.FOUND_DEAD): S.CANCELED,
    (S.FILLED, E.ACCEPTED): S.FILLED,
    (S.FILLED, E.ENDED): S.FILLED,
    (S.FILLED, E.FULLY_FILLED): S.FILLED,  # filled beyond its size: booked, reconciled, alarmed
    (S.FILLED, E.CANCEL_REFUSED): S.FILLED,
    (S.CANCELED, E.ACCEPTED): S.CANCELED,
    (S.CANCELED, E.ENDED): S.CANCELED,
    (S.CANCELED, E.CANCEL_REFUSED): S.CANCELED,
    (S.CANCELED, E.FULLY_FILLED): S.FILLED,  # its fills were still on the way
    (S.REJECTED, E.REFUSED): S.REJECTED,
    (S.REJECTED, E.CANCEL_REFUSED): S.REJECTED,
    (S.REJECTED, E.FULLY_FILLED): S.FILLED,  # a fill is a fact, whatever was said before
}

_TERMINAL = frozenset({S.FILLED, S.CANCELED, S.REJECTED})


class IllegalTransition(ValueError):
    """The venue said something about an order that its life does not allow."""


class Order(msgspec.Struct, frozen=True):
    """One order as we know it. ``filled`` sums the fills seen, ``reported`` is what the
    venue says was filled in all; while they differ, fills are still on the way.
    ``acknowledged``: the venue has had it, so that its nonce is used."""

    request: OrderRequest
    trade_id: str
    role: Role
    decision_mid: Decimal
    intended_ns: int
    state: OrderState = OrderState.PENDING
    filled: Decimal = ZERO
    reported: Decimal = ZERO
    changed_ns: int = 0
    acknowledged: bool = False

    @property
    def cloid(self) -> str:
        return self.request.cloid

    @property
    def remaining(self) -> Decimal:
        return self.request.quantity - self.filled

    @property
    def is_resting(self) -> bool:
        """Whether the venue has it, and nothing of it is awaited."""
        rests = self.state is OrderState.OPEN and self.request.rests
        return rests and self.filled >= self.reported

    @property
    def is_live(self) -> bool:
        """Whether anything may still come of it."""
        return self.state not in _TERMINAL or self.filled < self.reported


class OrderTable:
    """All orders by client id, with an index of those still live. Mutable inside the engine."""

    def __init__(self) -> None:
        self._orders: dict[str, Order] = {}
        self._live: dict[str, None] = {}  # a dict, for its order

    def __getitem__(self, cloid: str) -> Order:
        return self._orders[cloid]

    def __contains__(self, cloid: object) -> bool:
        return cloid in self._orders

    def __iter__(self) -> Iterator[Order]:
        return iter(self._orders.values())

    def __len__(self) -> int:
        return len(self._orders)

    def get(self, cloid: str | None) -> Order | None:
        return self._orders.get(cloid) if cloid is not None else None

    def live(self, trade_id: str | None = None) -> list[Order]:
        """Orders of which something may still come, oldest first."""
        orders = (self._orders[cloid] for cloid in self._live)
        return [o for o in orders if trade_id is None or o.trade_id == trade_id]

    def unknown(self) -> list[Order]:
        return [o for o in self.live() if o.state is OrderState.UNKNOWN]

    def intend(self, fact: OrderIntended) -> None:
        cloid = fact.request.cloid
        if cloid in self._orders:
            raise IllegalTransition(f"order {cloid} was intended twice")
        self._put(
            Order(
                fact.request,
                fact.trade_id,
                fact.role,
                fact.decision_mid,
                fact.time_ns,
                changed_ns=fact.time_ns,
            )
        )

    def advance(self, cloid: str, event: OrderEvent, time_ns: int) -> Order:
        """Move one order along ``TRANSITIONS``.

        Raises:
            IllegalTransition: when the table has no such row.
        """
        order = self._orders[cloid]
        state = TRANSITIONS.get((order.state, event))
        if state is None:
            raise IllegalTransition(f"order {cloid} is {order.state}, which cannot be {event}")
        if state is not order.state:
            order = msgspec.structs.replace(order, state=state, changed_ns=time_ns)
            self._put(order)
        return order

    def accept(self, cloid: str, reported: Decimal, time_ns: int) -> Order:
        """The venue has it, and says that ``reported`` of it was filled at once."""
        order = self.advance(cloid, OrderEvent.ACCEPTED, time_ns)
        return self._report(msgspec.structs.replace(order, acknowledged=True), reported)

    def end(self, cloid: str, reported: Decimal, time_ns: int) -> Order:
        """The venue ended it, ``reported`` of it filled in all."""
        return self._report(self.advance(cloid, OrderEvent.ENDED, time_ns), reported)

    def resolve(self, cloid: str, status: OrderStatus, reported: Decimal, time_ns: int) -> Order:
        """An UNKNOWN order's fate is proven."""
        found = OrderEvent.FOUND_OPEN if status is OrderStatus.OPEN else OrderEvent.FOUND_DEAD
        return self._report(self.advance(cloid, found, time_ns), reported)

    def fill(self, cloid: str, quantity: Decimal, time_ns: int) -> Order:
        """Count one new fill (the caller has seen to it that it is new)."""
        order = self._orders[cloid]
        order = msgspec.structs.replace(order, filled=order.filled + quantity, changed_ns=time_ns)
        self._put(order)
        if order.filled >= order.request.quantity:
            order = self.advance(cloid, OrderEvent.FULLY_FILLED, time_ns)
        return order

    def _report(self, order: Order, reported: Decimal) -> Order:
        if reported > order.reported:
            order = msgspec.structs.replace(order, reported=reported)
        self._put(order)
        return order

    def _put(self, order: Order) -> None:
        self._orders[order.cloid] = order
        if order.is_live:
            self._live[order.cloid] = None
        else:
            self._live.pop(order.cloid, None)
