"""What a venue says about money, margin and positions."""

from decimal import Decimal
from enum import StrEnum

import msgspec

from domain.money import Money


class MarginMode(StrEnum):
    ISOLATED = "isolated"
    CROSS = "cross"


class CashCause(StrEnum):
    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    BORROW = "borrow"
    LIQUIDATION_PENALTY = "liquidation_penalty"
    GAS = "gas"


class FundingPayment(msgspec.Struct, frozen=True, tag=True):
    """Cash from one funding event: ``-(position x price x rate)``, positive received.

    ``position`` is signed base units (short negative), ``price`` the venue's
    funding price (oracle or mark), ``rate`` a fraction per ``interval_hours``.
    ``payment_id`` is unique per venue.
    """

    payment_id: str
    instrument: str
    position: Decimal
    price: Decimal
    rate: Decimal
    interval_hours: int
    payment: Money
    venue_time_ns: int
    received_ns: int


class Cashflow(msgspec.Struct, frozen=True, tag=True):
    """Money that moved for another reason than a fill or funding; positive received."""

    cashflow_id: str
    money: Money
    cause: CashCause
    instrument: str | None
    venue_time_ns: int
    received_ns: int


class Balance(msgspec.Struct, frozen=True):
    """Total of one asset in the account; ``held`` of it backs resting spot orders.

    Isolated margin has left the balance and is on its position.
    """

    asset: str
    total: Decimal
    held: Decimal


class PositionReport(msgspec.Struct, frozen=True):
    """One open perp position as the venue sees it.

    ``quantity`` signed base units; ``margin`` is the isolated margin *including*
    unrealized profit at ``mark`` (settlement asset); ``raw_margin`` the same
    without price: ``margin - quantity x mark``, constant while nothing trades.
    """

    instrument: str
    quantity: Decimal
    entry_price: Decimal
    mark: Decimal
    margin: Decimal
    raw_margin: Decimal
    leverage: int
    mode: MarginMode
    liquidation_price: Decimal | None


class AccountReport(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The whole account at one instant: the venue's word in a reconciliation.

    Flat positions may be absent. ``request_id`` names the query this answers,
    None where the venue sent it by itself after a change. ``margin_free`` is what may become
    margin where perps have a wallet of their own (settlement asset), None where they have none:
    a balance is then the sum of both, of which as much is free as is free in either.
    """

    balances: tuple[Balance, ...]
    positions: tuple[PositionReport, ...]
    open_orders: tuple[str, ...]
    request_id: str | None
    venue_time_ns: int
    received_ns: int
    margin_free: Decimal | None = None

    def free(self, asset: str) -> Decimal:
        """What of ``asset`` backs nothing yet, and may be used on either side of a pair."""
        for balance in self.balances:
            if balance.asset == asset:
                return balance.total - balance.held
        return Decimal(0)

    def free_margin(self, asset: str) -> Decimal:
        """What of the settlement ``asset`` may become margin of a perp."""
        return self.free(asset) if self.margin_free is None else self.margin_free

    def position(self, instrument: str) -> PositionReport | None:
        for report in self.positions:
            if report.instrument == instrument:
                return report
        return None


class LeverageConfirmed(msgspec.Struct, frozen=True, tag=True):
    """Mode and leverage as *read back* from the venue after setting them."""

    instrument: str
    leverage: int
    mode: MarginMode
    venue_time_ns: int
    received_ns: int


class MarginMoved(msgspec.Struct, frozen=True, tag=True):
    """Isolated margin was added (positive) or removed; ``request_id`` is ours."""

    request_id: str
    instrument: str
    amount: Decimal
    venue_time_ns: int
    received_ns: int


class SettingRefused(msgspec.Struct, frozen=True, tag=True):
    """A leverage or margin request was refused; nothing changed."""

    request_id: str
    instrument: str
    reason: str
    venue_time_ns: int
    received_ns: int
