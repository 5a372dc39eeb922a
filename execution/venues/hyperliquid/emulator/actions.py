"""The actions of ``/exchange`` as the venue reads them.

Fields stand in the venue's own order, and optional ones that say nothing are left out: a
signature is checked over this form and not over the bytes that came.
"""

from typing import Annotated, Literal

import msgspec

from execution.venues.hyperliquid.emulator.numbers import canonical
from execution.venues.hyperliquid.emulator.signing import Signature

Number = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,20}(\.[0-9]{1,12})?\Z")]
Cloid = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-fA-F]{32}\Z")]
Natural = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Envelope(msgspec.Struct, frozen=True, rename="camel"):
    """The body of a request to ``/exchange``."""

    action: msgspec.Raw
    nonce: Natural
    signature: Signature
    vault_address: str | None = None
    expires_after: Natural | None = None


class Limit(msgspec.Struct, frozen=True):
    tif: Literal["Gtc", "Ioc", "Alo"]


class Trigger(msgspec.Struct, frozen=True, rename="camel"):
    is_market: bool
    trigger_px: Number
    tpsl: Literal["tp", "sl"]


class OrderType(msgspec.Struct, frozen=True, omit_defaults=True):
    limit: Limit | None = None
    trigger: Trigger | None = None


class Order(msgspec.Struct, frozen=True, omit_defaults=True):
    """Asset, is it a buy, price, size, reduce-only, type, client order id."""

    a: Natural
    b: bool
    p: Number
    s: Number
    r: bool
    t: OrderType
    c: Cloid | None = None

    def canonical(self) -> "Order":
        cloid, kind = None if self.c is None else self.c.lower(), self.t
        if kind.trigger is not None:
            price = canonical(kind.trigger.trigger_px)
            kind = OrderType(trigger=msgspec.structs.replace(kind.trigger, trigger_px=price))
        return msgspec.structs.replace(
            self, p=canonical(self.p), s=canonical(self.s), t=kind, c=cloid
        )


class Builder(msgspec.Struct, frozen=True):
    b: str
    f: Natural


class PlaceOrders(msgspec.Struct, frozen=True, tag_field="type", tag="order", omit_defaults=True):
    orders: tuple[Order, ...]
    grouping: str
    builder: Builder | None = None


class CancelById(msgspec.Struct, frozen=True):
    a: Natural
    o: Natural


class Cancels(msgspec.Struct, frozen=True, tag_field="type", tag="cancel", omit_defaults=True):
    cancels: tuple[CancelById, ...]
    f: bool = False


class CancelByCloid(msgspec.Struct, frozen=True):
    asset: Natural
    cloid: Cloid


class CancelsByCloid(
    msgspec.Struct, frozen=True, tag_field="type", tag="cancelByCloid", omit_defaults=True
):
    cancels: tuple[CancelByCloid, ...]
    f: bool = False


class Modify(msgspec.Struct, frozen=True):
    oid: Natural | Cloid
    order: Order


class BatchModify(
    msgspec.Struct, frozen=True, tag_field="type", tag="batchModify", omit_defaults=True
):
    modifies: tuple[Modify, ...]
    a: bool = False


class ModifyOne(msgspec.Struct, frozen=True, tag_field="type", tag="modify", omit_defaults=True):
    oid: Natural | Cloid
    order: Order
    a: bool = False


class UpdateLeverage(
    msgspec.Struct, frozen=True, tag_field="type", tag="updateLeverage", rename="camel"
):
    asset: Natural
    is_cross: bool
    leverage: Natural


class UpdateIsolatedMargin(
    msgspec.Struct, frozen=True, tag_field="type", tag="updateIsolatedMargin", rename="camel"
):
    """``ntli``: millionths of the settlement asset, negative to take out."""

    asset: Natural
    is_buy: bool
    ntli: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class ScheduleCancel(
    msgspec.Struct, frozen=True, tag_field="type", tag="scheduleCancel", omit_defaults=True
):
    time: Natural | None = None


class AgentSetAbstraction(msgspec.Struct, frozen=True, tag_field="type", tag="agentSetAbstraction"):
    abstraction: Literal["i", "u", "p"]


class AgentSendAsset(
    msgspec.Struct, frozen=True, tag_field="type", tag="agentSendAsset", rename="camel"
):
    destination: str
    source_dex: str
    destination_dex: str
    token: str
    amount: str
    from_sub_account: str
    nonce: Natural


class SetReferrer(msgspec.Struct, frozen=True, tag_field="type", tag="setReferrer"):
    """Taken, and without effect here."""

    code: str


class Noop(msgspec.Struct, frozen=True, tag_field="type", tag="noop"):
    """Uses up its nonce."""


Action = (
    PlaceOrders
    | Cancels
    | CancelsByCloid
    | BatchModify
    | ModifyOne
    | UpdateLeverage
    | UpdateIsolatedMargin
    | ScheduleCancel
    | AgentSetAbstraction
    | AgentSendAsset
    | SetReferrer
    | Noop
)

_decoder: msgspec.json.Decoder[Action] = msgspec.json.Decoder(Action)


def decode_action(raw: msgspec.Raw) -> Action:
    """The L1 action in ``raw``, in canonical form.

    Raises:
        msgspec.ValidationError: when it is none that the venue knows.
    """
    action = _decoder.decode(raw)
    if isinstance(action, PlaceOrders):
        orders = tuple(order.canonical() for order in action.orders)
        return msgspec.structs.replace(action, orders=orders)
    if isinstance(action, CancelsByCloid):
        cancels = tuple(
            msgspec.structs.replace(cancel, cloid=cancel.cloid.lower()) for cancel in action.cancels
        )
        return msgspec.structs.replace(action, cancels=cancels)
    if isinstance(action, BatchModify):
        modifies = tuple(
            msgspec.structs.replace(modify, order=modify.order.canonical())
            for modify in action.modifies
        )
        return msgspec.structs.replace(action, modifies=modifies)
    if isinstance(action, ModifyOne):
        return msgspec.structs.replace(action, order=action.order.canonical())
    return action
