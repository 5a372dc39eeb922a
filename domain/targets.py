"""What a strategy wants held, and why."""

from decimal import Decimal
from enum import StrEnum

import msgspec

from domain.instruments import Kind
from domain.money import ONE, ZERO
from domain.orders import Side


class Action(StrEnum):
    ENTER = "enter"
    ADD = "add"
    HOLD = "hold"
    REDUCE = "reduce"
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
    STOP = "stop"
    TARGET = "target"


class Legs(StrEnum):
    """What a trade is made of: which side of the perp, and what of the spot goes with it."""

    CARRY = "carry"  # buys spot, sells the perp
    REVERSE = "reverse"  # sells spot that its owner holds and buys it back, buys the perp
    OVERLAY = "overlay"  # sells the perp against spot that its owner holds and keeps
    LONG = "long"  # buys the perp alone
    SHORT = "short"  # sells the perp alone

    @property
    def trades_spot(self) -> bool:
        return self in (Legs.CARRY, Legs.REVERSE)

    @property
    def uses_inventory(self) -> bool:
        """Whether it can be no larger than the spot that its owner holds."""
        return self in (Legs.REVERSE, Legs.OVERLAY)

    @property
    def is_alone(self) -> bool:
        """Whether nothing offsets the perp, so that a price stops the trade."""
        return self in (Legs.LONG, Legs.SHORT)

    def opens(self, kind: Kind) -> Side:
        """The side by which a leg of this trade grows."""
        buys_perp = self in (Legs.REVERSE, Legs.LONG)
        return Side.BUY if buys_perp == (kind is Kind.PERP) else Side.SELL

    def along(self, kind: Kind, quantity: Decimal) -> Decimal:
        """A signed quantity as the trade counts it: positive where the leg is as it should be.

        >>> Legs.CARRY.along(Kind.PERP, Decimal(-2))
        Decimal('2')
        """
        return quantity if self.opens(kind) is Side.BUY else -quantity


class Tactic(msgspec.Struct, frozen=True):
    """How a target is held where it is not by long spot against short perp.

    ``share`` is how much of the inventory it takes at most, where ``legs`` use it. A perp alone
    has a ``stop_price`` and a ``target_price`` (quote/base, of the mark) and a ``leverage``
    that its margin is for at most; a pair that is sized by its basis stop has that, as far as the
    basis may move against it (fraction of the spot). All are zero where there are none.
    """

    legs: Legs
    share: Decimal = ONE
    stop_price: Decimal = ZERO
    target_price: Decimal = ZERO
    leverage: Decimal = ZERO
    basis_stop: float = 0.0


CARRY = Tactic(Legs.CARRY)


class Target(msgspec.Struct, frozen=True):
    """Hold ``notional`` (quote, each leg) of ``pair``; zero is nothing. Always with its reason.

    For a pair that is held it is all that is to be held: more than now to ADD, less to REDUCE,
    nothing to EXIT. A perp alone that is held may be given another stop with any of these and with
    HOLD (``how.stop_price``); it is moved only where it then loses less.

    ``forecast_hourly`` is the funding expected per hour over ``horizon_hours``, positive
    received whichever the side, ``forecast_error`` its standard error; ``cost`` the cost
    still to be paid (the whole round trip before entry, the exit while held) and
    ``expected_net`` the expected carry over the horizon less ``cost``, all
    fractions of notional; ``apr_on_capital`` is that net on all capital tied up,
    annualized. ``amount_at_risk`` is what ``notional`` loses at the basis stop under
    stress (quote, SPEC R9); ``maker_leg`` is the leg that is dearer to take, which rests
    while the other hedges. ``urgent`` asks for the fast way out: perp first, takers only.
    ``how`` is left out, of the journal as well, where it is ``CARRY``; ``instead`` is the entry
    for which a pair is left, where it is: while that is refused, this one stays.
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
    how: Tactic | msgspec.UnsetType = msgspec.UNSET
    instead: "Target | msgspec.UnsetType" = msgspec.UNSET

    @property
    def tactic(self) -> Tactic:
        return CARRY if self.how is msgspec.UNSET else self.how
