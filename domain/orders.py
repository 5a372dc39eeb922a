"""Orders, and what a venue says about them."""

from decimal import Decimal
from enum import StrEnum
from hashlib import blake2b

import msgspec

from domain.money import ZERO, Money


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> "Side":
        return Side.SELL if self is Side.BUY else Side.BUY


class TimeInForce(StrEnum):
    IOC = "ioc"  # fill what you can now, cancel the rest
    POST_ONLY = "post_only"  # refused rather than take
    GTC = "gtc"


class Liquidity(StrEnum):
    MAKER = "maker"
    TAKER = "taker"


class FillCause(StrEnum):
    ORDER = "order"
    LIQUIDATION = "liquidation"
    ADL = "adl"
    DELISTING = "delisting"


class CancelReason(StrEnum):
    REQUESTED = "requested"
    IOC = "ioc"
    REDUCE_ONLY = "reduce_only"
    MARGIN = "margin"
    LIQUIDATION = "liquidation"
    DELISTING = "delisting"


class OrderStatus(StrEnum):
    """What a venue answers when asked about an order."""

    OPEN = "open"
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"
    NEVER_SEEN = "never_seen"


OWN = "66756e64"
"""How our client ids begin, so that another process can tell them from a person's."""


def client_order_id(*parts: str | int) -> str:
    """Same intent, same id: ``0x`` and 32 hex digits, derived and never drawn.

    >>> client_order_id("HYPE#1", "spot", 0) == client_order_id("HYPE#1", "spot", 0)
    True
    """
    digest = blake2b("/".join(map(str, parts)).encode(), digest_size=12)
    return f"0x{OWN}{digest.hexdigest()}"


def is_own(cloid: str | None) -> bool:
    """Whether this bot made the id, in this run or in one that is forgotten."""
    return cloid is not None and cloid.startswith(f"0x{OWN}")


class OrderRequest(msgspec.Struct, frozen=True):
    """An order as it is sent. ``quantity`` is positive base units; every order has a limit price.

    ``expires_ns``: a venue that receives the request later than this refuses it
    (Hyperliquid's ``expiresAfter``), so past it plus the clock margin an unseen
    order can never land. It bounds the request, not the resting order.

    One with a ``trigger_price`` waits off the book until the mark has come there from the side
    that its own side makes a loss (a sale at it and below, a purchase at it and above), and is
    then this order: a stop. It is left out, of the journal as well, where there is none.
    """

    cloid: str
    instrument: str
    side: Side
    quantity: Decimal
    price: Decimal
    time_in_force: TimeInForce
    reduce_only: bool
    expires_ns: int
    trigger_price: Decimal | msgspec.UnsetType = msgspec.UNSET

    @property
    def trigger(self) -> Decimal | None:
        return None if self.trigger_price is msgspec.UNSET else self.trigger_price

    @property
    def rests(self) -> bool:
        """Whether it may stay at the venue for long, with nothing to be told of it."""
        return self.trigger is not None or self.time_in_force is not TimeInForce.IOC

    def is_triggered(self, mark: Decimal) -> bool:
        """Whether the mark has come to the trigger; never where there is none."""
        return self.trigger is not None and (mark - self.trigger) * self.side.sign >= ZERO


class OrderAccepted(msgspec.Struct, frozen=True, tag=True):
    """The venue has the order; it may rest, or be followed at once by fills.

    ``filled`` is what the answer says was filled already, base units: those fills are owed.
    """

    cloid: str
    venue_order_id: str
    venue_time_ns: int
    received_ns: int
    filled: Decimal = ZERO


RESTS_ONLY = "rests_only: "
"""How the reason of a refusal begins while a venue takes only orders that rest, as after an
upgrade; the venue's own words follow."""


class OrderRejected(msgspec.Struct, frozen=True, tag=True):
    """The venue said no, for certain. Nothing is open; do not resend unchanged.

    ``reason`` is the venue's words, after ``RESTS_ONLY`` where that is why.
    """

    cloid: str
    reason: str
    venue_time_ns: int
    received_ns: int


class OrderCanceled(msgspec.Struct, frozen=True, tag=True):
    """Terminal: whatever was not filled never will be. Fills sent before it still count."""

    cloid: str
    reason: CancelReason
    filled: Decimal
    venue_time_ns: int
    received_ns: int


class CancelRejected(msgspec.Struct, frozen=True, tag=True):
    """The cancel found nothing to cancel: filled, canceled or never placed. Fills will tell."""

    cloid: str
    reason: str
    venue_time_ns: int
    received_ns: int


class SendFailed(msgspec.Struct, frozen=True, tag=True):
    """The request left and no trustworthy answer came: the outcome is unknown."""

    cloid: str
    reason: str
    received_ns: int


class Fill(msgspec.Struct, frozen=True, tag=True):
    """One execution. ``fill_id`` is unique per venue; the same fill may arrive many times.

    ``cloid`` is None for what we did not order (liquidation, ADL, a manual
    trade). ``fee`` is what was charged, positive a cost, in its own asset: a fee
    in the base asset has already reduced what arrived.
    """

    fill_id: str
    cloid: str | None
    instrument: str
    side: Side
    price: Decimal
    quantity: Decimal
    fee: Money
    liquidity: Liquidity
    cause: FillCause
    venue_time_ns: int
    received_ns: int


class FenceOutcome(StrEnum):
    """What came of using up an order's nonce."""

    BURNT = "burnt"  # by us, now: the order has not landed and never will
    USED = "used"  # before: by the order, or by an earlier fence; asking after it tells which


class OrderFenced(msgspec.Struct, frozen=True, tag=True):
    """The answer to a fence. Whichever it is, the order cannot land from now on."""

    cloid: str
    outcome: FenceOutcome
    venue_time_ns: int
    received_ns: int


class OrderReport(msgspec.Struct, frozen=True, tag=True):
    """The answer to a query by client id. ``filled`` is cumulative, base units."""

    cloid: str
    status: OrderStatus
    filled: Decimal
    venue_time_ns: int
    received_ns: int
