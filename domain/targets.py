"""What a strategy wants held, and why."""

from decimal import Decimal
from enum import StrEnum

import msgspec

from domain.instruments import Kind
from domain.money import ZERO


class Action(StrEnum):
    ENTER = "enter"
    HOLD = "hold"
    EXIT = "exit"
    WAIT = "wait"


class ExitCause(StrEnum):
    """SPEC R22: one reason is recorded with each exit."""

    THESIS_CHANGED = "thesis_changed"
    FUNDING_PUNISHING = "funding_punishing"
    BASIS_STOP = "basis_stop"
    VOLATILITY = "volatility"
    EVENT = "event"
    MARGIN_GUARD = "margin_guard"
    LIMIT = "limit"
    OPERATOR = "operator"
    LEG_LOST = "leg_lost"


class Target(msgspec.Struct, frozen=True):
    """Hold ``notional`` (quote, each leg) of ``pair``; zero is nothing. Always with its reason.

    ``forecast_hourly`` is the expected funding rate per hour over
    ``horizon_hours``, ``forecast_error`` its standard error; ``cost`` the cost
    still to be paid (the whole round trip before entry, the exit while held) and
    ``expected_net`` the expected carry over the horizon less ``cost``, all
    fractions of notional; ``apr_on_capital`` is that net on all capital tied up,
    annualized. ``amount_at_risk`` is what ``notional`` loses at the basis stop under
    stress (quote, SPEC R9); ``maker_leg`` is the leg that is dearer to take, which rests
    while the other hedges. ``urgent`` asks for the fast way out: perp first, takers only.
    """

    pair: str
    action: Action
    notional: Decimal
    reason: str
    forecast_hourly: float
    forecast_error: float
    horizon_hours: float
    cost: float
    expected_net: float
    apr_on_capital: float
    amount_at_risk: Decimal = ZERO
    maker_leg: Kind = Kind.SPOT
    exit_cause: ExitCause | None = None
    urgent: bool = False
