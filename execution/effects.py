"""What the core wants done. Each effect is answered later by events, never by a return value."""

from decimal import Decimal

import msgspec

from domain.orders import OrderRequest


class PlaceOrder(msgspec.Struct, frozen=True, tag=True):
    """Answered by OrderAccepted, OrderRejected or SendFailed; then Fill, OrderCanceled."""

    request: OrderRequest


class CancelOrder(msgspec.Struct, frozen=True, tag=True):
    """Answered by OrderCanceled or CancelRejected."""

    cloid: str
    instrument: str


class QueryOrder(msgspec.Struct, frozen=True, tag=True):
    """Answered by OrderReport."""

    cloid: str
    instrument: str


class FenceOrder(msgspec.Struct, frozen=True, tag=True):
    """Use up the order's own nonce with an action that does nothing. Answered by OrderFenced,
    or by nothing where no answer could be trusted. May be asked again at any time."""

    cloid: str
    nonce: int


class QueryAccount(msgspec.Struct, frozen=True, tag=True):
    """Answered by every Fill, FundingPayment and Cashflow since ``since_ns`` (venue time,
    inclusive; repeats are expected), then one AccountReport with this ``request_id``."""

    request_id: str
    since_ns: int


class SetLeverage(msgspec.Struct, frozen=True, tag=True):
    """Set isolated mode and whole-number leverage, then read both back.

    Answered by LeverageConfirmed or SettingRefused.
    """

    request_id: str
    instrument: str
    leverage: int


class MoveMargin(msgspec.Struct, frozen=True, tag=True):
    """Add (positive) or remove isolated margin. Answered by MarginMoved or SettingRefused."""

    request_id: str
    instrument: str
    amount: Decimal


class WakeAt(msgspec.Struct, frozen=True, tag=True):
    """Send a Timer event at ``time_ns``, if nothing else happens before."""

    time_ns: int


class RaiseAlarm(msgspec.Struct, frozen=True, tag=True):
    """Tell a person. ``alarm`` is a short name that repeats while the trouble does."""

    alarm: str
    detail: str
    time_ns: int


VenueEffect = (
    PlaceOrder | CancelOrder | QueryOrder | FenceOrder | QueryAccount | SetLeverage | MoveMargin
)
Effect = VenueEffect | WakeAt | RaiseAlarm
