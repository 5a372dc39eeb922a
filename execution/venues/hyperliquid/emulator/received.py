"""The venue's own log of every action that arrived, for an independent checker."""

from decimal import Decimal
from hashlib import sha256
from typing import Any

import msgspec

from domain.orders import Side, TimeInForce
from execution.venues.hyperliquid.emulator.actions import (
    Action,
    Cancels,
    CancelsByCloid,
    PlaceOrders,
)
from execution.venues.hyperliquid.emulator.listing import Listing
from execution.venues.hyperliquid.emulator.orders import TIFS, Orders


class ReceivedOrder(msgspec.Struct, frozen=True):
    """``time_in_force`` is None for a trigger order, ``instrument`` where the asset is unknown."""

    cloid: str | None
    instrument: str | None
    side: Side
    quantity: Decimal
    price: Decimal
    time_in_force: TimeInForce | None
    reduce_only: bool


class Received(msgspec.Struct, frozen=True):
    """One request to ``/exchange``, however it came, and what was answered.

    ``action`` is its type, empty where the body could not be read. ``cloids`` are those of a
    cancel. ``digest`` is the SHA-256 of the body. ``outcome`` is ``ok`` or the error's text;
    ``statuses`` has a word or an error for each order or cancel.
    """

    time_ns: int
    signer: str | None
    nonce: int
    action: str
    orders: tuple[ReceivedOrder, ...]
    cloids: tuple[str, ...]
    expires_ms: int | None
    digest: str
    outcome: str
    statuses: tuple[str, ...] = ()


class Arrival(msgspec.Struct):
    """What is known of a request so far; becomes a ``Received`` when it has been answered."""

    time_ns: int
    digest: str
    signer: str | None = None
    nonce: int = 0
    action: str = ""
    orders: tuple[ReceivedOrder, ...] = ()
    cloids: tuple[str, ...] = ()
    expires_ms: int | None = None

    def answered(self, document: dict[str, Any]) -> Received:
        response = document["response"]
        refused = document["status"] != "ok"
        data = {} if refused else response.get("data", {})
        return Received(
            **msgspec.structs.asdict(self),
            outcome=response if refused else "ok",
            statuses=tuple(_word(status) for status in data.get("statuses", ())),
        )

    def failed(self, reason: str) -> Received:
        return Received(**msgspec.structs.asdict(self), outcome=reason)


def arrival(body: bytes, now_ns: int) -> Arrival:
    return Arrival(now_ns, sha256(body).hexdigest())


def orders_in(action: Action, listing: Listing) -> tuple[ReceivedOrder, ...]:
    if not isinstance(action, PlaceOrders):
        return ()
    return tuple(
        ReceivedOrder(
            cloid=order.c,
            instrument=listing.by_asset[order.a].id if order.a in listing.by_asset else None,
            side=Side.BUY if order.b else Side.SELL,
            quantity=Decimal(order.s),
            price=Decimal(order.p),
            time_in_force=None if order.t.limit is None else TIFS[order.t.limit.tif],
            reduce_only=order.r,
        )
        for order in action.orders
    )


def cloids_in(action: Action, orders: Orders) -> tuple[str, ...]:
    """The client ids that a cancel names, or whose numbers it names."""
    if isinstance(action, CancelsByCloid):
        return tuple(cancel.cloid for cancel in action.cancels)
    if isinstance(action, Cancels):
        named = (orders.find(cancel.o) for cancel in action.cancels)
        return tuple(order.cloid for order in named if order is not None and order.cloid)
    return ()


def _word(status: dict[str, Any] | str) -> str:
    """``success``, ``resting``, ``filled``, or an error's text."""
    if isinstance(status, str):
        return status
    return str(status["error"]) if "error" in status else next(iter(status))
