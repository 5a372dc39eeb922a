"""What is journaled: our intents and decisions, and the venue's private answers, in order.

State that must survive is a fold of these and of nothing else. Facts are plain
values; adding a field needs a default, so that every older journal still opens.
"""

from decimal import Decimal
from enum import StrEnum

import msgspec

from domain.account import (
    Cashflow,
    FundingPayment,
    LeverageConfirmed,
    MarginMoved,
    SettingRefused,
)
from domain.money import ZERO
from domain.orders import (
    CancelRejected,
    Fill,
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
    OrderRequest,
    OrderStatus,
)
from domain.targets import ExitCause, Legs, Target
from strategies.market.basis import UsualBasis


class Role(StrEnum):
    """Why an order exists."""

    MAKER = "maker"  # the leg that is harder to trade, resting
    HEDGE = "hedge"  # follows fills of the other leg at once
    TAKE = "take"  # the maker's remainder, taken when patience ran out
    UNWIND = "unwind"  # takes back what could not be hedged
    FORCED = "forced"  # urgent close: perp first
    STOP = "stop"  # of a perp alone: waits at the venue for when nobody is there


class Stage(StrEnum):
    """Life of a pair trade; a table of legal moves is in ``pairs.py``."""

    PREPARING = "preparing"  # leverage and mode are being set and read back
    WORKING = "working"  # on the way to its target quantity
    HOLDING = "holding"  # at its target
    CLOSED = "closed"


class RunStarted(msgspec.Struct, frozen=True, tag=True):
    """First fact of a state directory. All but settings and time must match on resume;
    ``config_digest`` tells afterwards under which settings it began. ``inventory`` are coins
    that were there besides the capital, as the settings spell them."""

    mode: str
    venue: str
    feed: str
    synthetic: bool
    seed: int
    capital: Decimal
    pairs: tuple[str, ...]
    config_digest: str
    time_ns: int
    cadence_ns: int = 0
    strategy: str = "cash_and_carry"
    inventory: str = ""


class Decided(msgspec.Struct, frozen=True, tag=True):
    """A strategy's verdict on one pair, when its reason or sign changed, and hourly."""

    target: Target
    refusals: tuple[str, ...]
    time_ns: int


class TradePlanned(msgspec.Struct, frozen=True, tag=True):
    """The pre-trade checklist (SPEC R21). ``quantity`` base units each leg that ``legs`` trade;
    ``basis_stop`` is the adverse move that ``amount_at_risk`` was reckoned with, of the spot."""

    trade_id: str
    pair: str
    maker_leg: str
    quantity: Decimal
    notional: Decimal
    leverage: int
    thesis: str
    invalidation: str
    objective: str
    amount_at_risk: Decimal
    liquidation_price: Decimal
    stop_price: Decimal
    funding_hourly: float
    forecast_hourly: float
    cost: float
    clipped_by: tuple[str, ...]
    time_ns: int
    legs: Legs = Legs.CARRY
    target_price: Decimal = ZERO
    basis_stop: float = 0.0


class Retargeted(msgspec.Struct, frozen=True, tag=True):
    """An open trade's wanted quantity changed; zero closes it. ``urgent``: perp first, takers.

    ``plan`` is the checklist of the whole trade as it is from now on, where the trade grows or
    its stop moves, and left out where not.
    """

    trade_id: str
    quantity: Decimal
    urgent: bool
    cause: ExitCause | None
    reason: str
    time_ns: int
    plan: TradePlanned | msgspec.UnsetType = msgspec.UNSET


class StageChanged(msgspec.Struct, frozen=True, tag=True):
    trade_id: str
    stage: Stage
    time_ns: int


class ResidualMoved(msgspec.Struct, frozen=True, tag=True):
    """Dust below what can be traded changes hands between two trades of one pair.

    ``from_trade`` or ``to_trade`` None is the unassigned account. Valued at
    ``price``, so that a closed trade's result stands still.
    """

    instrument: str
    quantity: Decimal
    price: Decimal
    from_trade: str | None
    to_trade: str | None
    time_ns: int


class OrderIntended(msgspec.Struct, frozen=True, tag=True):
    """Committed before a byte leaves. ``decision_mid`` is what slippage is measured against."""

    request: OrderRequest
    trade_id: str
    role: Role
    decision_mid: Decimal
    time_ns: int


class RequestSigned(msgspec.Struct, frozen=True, tag=True):
    """A request as it leaves, byte for byte, committed with its intent.

    ``request_id`` is the order's client id, or names the request it signs. A venue takes a
    nonce once, so these bytes can have an effect at most once, however often they arrive.
    """

    request_id: str
    nonce: int
    body: str
    time_ns: int


class CancelIntended(msgspec.Struct, frozen=True, tag=True):
    cloid: str
    time_ns: int


class OrderDoubted(msgspec.Struct, frozen=True, tag=True):
    """No proven answer: the order is UNKNOWN and reserves its full size."""

    cloid: str
    reason: str
    time_ns: int


class OrderResolved(msgspec.Struct, frozen=True, tag=True):
    """An UNKNOWN order's fate, and by what proof."""

    cloid: str
    status: OrderStatus
    filled: Decimal
    proof: str
    time_ns: int


class MarginIntended(msgspec.Struct, frozen=True, tag=True):
    request_id: str
    trade_id: str
    instrument: str
    amount: Decimal
    reason: str
    time_ns: int


class LimitTripped(msgspec.Struct, frozen=True, tag=True):
    """Latched limits stay until a person resets them; others clear by themselves."""

    limit: str
    latched: bool
    detail: str
    time_ns: int


class LimitCleared(msgspec.Struct, frozen=True, tag=True):
    limit: str
    by: str
    time_ns: int


class Reconciled(msgspec.Struct, frozen=True, tag=True):
    """Ours against the venue's; journaled when the outcome changes, and every five minutes."""

    mismatches: tuple[str, ...]
    time_ns: int


class Extremes(msgspec.Struct, frozen=True):
    """The worst there was so far, over the whole life of the state directory.

    ``effective_leverage`` was read after a fill that added risk, ``leverage_held`` at
    any mark; ``liquidation_distance`` is the nearest the mark came to a liquidation
    price, as a fraction of the mark, and so the largest gap in one single step that
    would have been survived at any time; None where no perp was held.
    """

    effective_leverage: Decimal = ZERO
    leverage_held: Decimal = ZERO
    liquidation_distance: float | None = None


class EquityMarked(msgspec.Struct, frozen=True, tag=True):
    """Hourly valuation. ``marks``: instrument id to price (spot mid, perp mark), quote/base.

    ``equity = cash + spot_value + margin + unrealized``: ``cash`` is free of
    isolated margin, ``margin`` what was put behind positions, ``unrealized``
    their profit at mark. ``lately`` is the worst since the valuation before this one, between
    the hours included; its ``effective_leverage`` is not kept. ``owners`` is the profit so far of
    what the account's owner holds of his own, hedges of it included: no limit counts that.
    ``usual`` is what was known of the basis of each pair, by its perp: a start takes it over, since
    no venue's history tells it.
    """

    equity: Decimal
    cash: Decimal
    spot_value: Decimal
    margin: Decimal
    unrealized: Decimal
    marks: dict[str, Decimal]
    time_ns: int
    extremes: Extremes = Extremes()
    lately: Extremes = Extremes()
    owners: Decimal = ZERO
    usual: dict[str, UsualBasis] = {}


class CommandGiven(msgspec.Struct, frozen=True, tag=True):
    """An operator's order, with who gave it."""

    command: str
    argument: str
    actor: str
    time_ns: int


VenueFact = (
    OrderAccepted
    | OrderRejected
    | OrderCanceled
    | CancelRejected
    | Fill
    | FundingPayment
    | Cashflow
    | LeverageConfirmed
    | MarginMoved
    | SettingRefused
)
OwnFact = (
    RunStarted
    | Decided
    | TradePlanned
    | Retargeted
    | StageChanged
    | ResidualMoved
    | OrderIntended
    | RequestSigned
    | CancelIntended
    | OrderDoubted
    | OrderResolved
    | MarginIntended
    | LimitTripped
    | LimitCleared
    | Reconciled
    | EquityMarked
    | CommandGiven
)
Fact = VenueFact | OwnFact


def known_at(fact: Fact) -> int:
    """When we knew it: our own time, or the receipt of what the venue said (ns, UTC)."""
    return fact.received_ns if isinstance(fact, VenueFact) else fact.time_ns
