"""Everything the simulated exchange knows: small state that a snapshot holds, and records
that only ever grow."""

from decimal import Context, Decimal
from math import inf

import msgspec

from domain.account import (
    AccountReport,
    Cashflow,
    FundingPayment,
    LeverageConfirmed,
    MarginMode,
    MarginMoved,
    SettingRefused,
)
from domain.market import Book, FundingSettled, PublicEvent
from domain.money import ZERO
from domain.orders import (
    CancelRejected,
    Fill,
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
    OrderReport,
    OrderRequest,
    OrderStatus,
)
from domain.rates import FundingRate

PrivateEvent = (
    OrderAccepted
    | OrderRejected
    | OrderCanceled
    | CancelRejected
    | Fill
    | OrderReport
    | AccountReport
    | FundingPayment
    | Cashflow
    | LeverageConfirmed
    | MarginMoved
    | SettingRefused
)
VenueEvent = PublicEvent | PrivateEvent

RATIO = Context(prec=50)
"""For quotients, which are not exact: fifty digits, then rounded where money moves."""


def rounded(amount: Decimal, quantum: Decimal) -> Decimal:
    """``amount`` to a multiple of ``quantum``, half to even.

    >>> rounded(Decimal("0.000000005"), Decimal("1e-8"))
    Decimal('0E-8')
    """
    return amount.quantize(quantum, context=RATIO)


class Position(msgspec.Struct, frozen=True):
    """One perp position and its settings.

    ``quantity`` is signed base units. ``raw_margin`` is margin less cost, so that
    the position's equity is ``raw_margin + quantity * mark``; a cross position has
    no margin of its own and ``raw_margin`` is minus its cost. While
    ``safe_above < mark < safe_below`` it certainly needs no liquidation.
    """

    leverage: int
    mode: MarginMode = MarginMode.ISOLATED
    quantity: Decimal = ZERO
    raw_margin: Decimal = ZERO
    entry_price: Decimal = ZERO
    safe_above: float = -inf
    safe_below: float = inf

    def equity(self, price: Decimal) -> Decimal:
        """What closing at ``price`` would return, fees aside (settlement asset)."""
        return self.raw_margin + self.quantity * price


class OpenOrder(msgspec.Struct):
    """An order the venue holds. ``number`` grows with time; ``queue_ahead`` base units.

    A queue of infinity is a level beyond the displayed depth: its size is unknown
    until the book shows it.
    """

    request: OrderRequest
    number: int
    price: float
    filled: Decimal = ZERO
    queue_ahead: Decimal = ZERO

    @property
    def remaining(self) -> Decimal:
        return self.request.quantity - self.filled


class Market(msgspec.Struct):
    """One instrument: its market as last heard, our orders and, on a perp, our position.

    ``taken_bids`` and ``taken_asks`` are what we took of the present book, by level
    index. ``premium_sum`` over ``premium_samples`` is the running interval's mean
    premium; ``next_sample_ns`` the next instant that is sampled. ``settled_ns`` is
    the last hour whose funding was settled; ``waiting`` are the orders that the mark has not
    triggered yet; ``predicted`` the estimate until the next
    sample, or where rates are recorded the last of them. ``hour_*`` keep position and oracle as
    of the last whole hour, for a recorded rate that arrives after it. While ``delisted`` nothing
    trades there: until it is quoted again.
    """

    position: Position | None
    next_sample_ns: int
    settled_ns: int
    book: Book | None = None
    taken_bids: dict[int, Decimal] = {}
    taken_asks: dict[int, Decimal] = {}
    orders: dict[str, OpenOrder] = {}
    mark: float | None = None
    oracle: float | None = None
    premium_sum: float = 0.0
    premium_samples: int = 0
    recorded: bool = False
    predicted: FundingRate | None = None
    hour_ns: int = 0
    hour_quantity: Decimal = ZERO
    hour_price: float | None = None
    delisted: bool = False
    waiting: dict[str, OpenOrder] = {}

    @property
    def mid(self) -> float | None:
        if self.book is None or not self.book.bids or not self.book.asks:
            return None
        return (self.book.bids[0].price + self.book.asks[0].price) / 2


class State(msgspec.Struct):
    """All that a restart needs besides the records. ``hour_due_ns``: the next hour to close."""

    started_ns: int
    now_ns: int
    hour_due_ns: int
    balances: dict[str, Decimal]
    markets: dict[str, Market]
    backstop_fund: Decimal
    cooldown_until_ns: int = 0
    orders: int = 0
    fills: int = 0
    cashflows: int = 0


class ClosedOrder(msgspec.Struct, frozen=True, tag=True):
    """The fate of an order that is no longer open."""

    cloid: str
    instrument: str
    status: OrderStatus
    filled: Decimal
    time_ns: int


class Request(msgspec.Struct, frozen=True, tag=True):
    """One request as the venue received it; ``payload`` is JSON, ``outcome`` our answer."""

    time_ns: int
    action: str
    payload: str
    outcome: str


Record = Fill | FundingPayment | Cashflow | FundingSettled | ClosedOrder | Request
"""What happened, for good: a restart needs them all, in order."""
