"""More margin than usual, while prices may move more than usual (SPEC R15).

The usual guard keeps liquidation at a fixed distance. ``wanted_distance`` says how far it
should be now: a number of standard deviations of the price over the hours that margin has
to last, where before an event and at weekends the volatility counts a multiple. Where that is
further than usual, the cheapest remedy comes first:

- nothing is entered (the gate);
- margin is added from what is free, all of it where it is not enough;
- a part of both legs is sold, or all, where what it is expected to save exceeds what it
  costs. Saved is ``chance of liquidation x loss``, before less after; the chance is that of a price
  without drift to touch the distance within the hours (``reach_probability``), as if no guard
  acted meanwhile; the loss is the maintenance margin and the way out. The costs are those of
  the round trip of what is sold.

None of it weakens the usual guard, which acts first and asks for no price.
"""

from decimal import Decimal
from math import inf, sqrt
from typing import Final

import msgspec

from domain.money import ZERO, decimal_of
from domain.targets import ExitCause
from execution.risk.calendar import Ahead
from execution.risk.guard import (
    NOTHING,
    Close,
    GuardAction,
    MarginPolicy,
    PositionView,
    Release,
    Shrink,
    TopUp,
    guard_margin,
)
from execution.risk.limits import RiskLimits
from execution.risk.margin import margin_down
from strategies.market.reach import reach_probability

_DISTANCE_MAX: Final = 1.0
"""A doubling within the hours: more is not guarded against beforehand."""


class Caution(msgspec.Struct, frozen=True):
    """How far liquidation should be from the mark (fraction of it), and why.

    ``volatility`` per square root of an hour with its multiple in it, over ``hours``.
    """

    distance: float
    volatility: float
    hours: float
    cause: ExitCause
    why: str


class Stake(msgspec.Struct, frozen=True):
    """What a sale would cost and save. Fractions of notional, distances of the mark.

    ``distance`` is where liquidation is now, ``distance_after`` where it is at the leverage
    that caution asks for. Infinite: no price liquidates.
    """

    distance: float
    distance_after: float
    loss: float
    round_trip: float


def wanted_distance(
    limits: RiskLimits, volatility: float | None, event: Ahead, *, weekend: bool
) -> Caution | None:
    """None where volatility is not known yet, or is no number: then the usual guard is all."""
    if volatility is None or not 0.0 < volatility < inf:
        return None
    multiple, cause, why = 1.0, ExitCause.VOLATILITY, ""
    if limits.event_hours > 0.0 and event.hours <= limits.event_hours:
        multiple, cause = limits.event_volatility, ExitCause.EVENT
        why = f", taken {multiple:g} times: {event.kind} in {event.hours:.1f} h"
    if weekend and limits.weekend_volatility > multiple:
        multiple, cause = limits.weekend_volatility, ExitCause.EVENT
        why = f", taken {multiple:g} times: weekend"
    sigma = volatility * multiple
    wanted = limits.distance_sigmas * sigma * sqrt(limits.distance_hours)
    distance = min(wanted, _DISTANCE_MAX)
    return Caution(
        distance,
        sigma,
        limits.distance_hours,
        cause,
        f"moves of {volatility:.2%} an hour{why}, liquidation wanted {distance:.0%} away",
    )


def cautious(
    view: PositionView,
    free_collateral: Decimal,
    usual: MarginPolicy,
    tight: MarginPolicy,
    caution: Caution,
    stake: Stake,
) -> GuardAction:
    """What to do about this position's margin: the usual guard first, then what caution adds.

    ``tight`` is the usual policy with caution's distance in it; nothing is released beyond it.
    """
    first = guard_margin(view, free_collateral, usual)
    if isinstance(first, TopUp | Shrink | Close):
        return first
    action = guard_margin(view, free_collateral, tight)
    if isinstance(action, TopUp):
        return TopUp(action.amount, f"{caution.why}: {action.why}")
    if not isinstance(action, Shrink | Close):
        return _both_release(first, action)
    free = margin_down(free_collateral - tight.reserve)
    if free >= view.minimum_notional:
        return TopUp(free, f"{caution.why}: all that is free")
    share = float(action.fraction) if isinstance(action, Shrink) else 1.0
    saved, cost = _saved(caution, stake, share), stake.round_trip * share
    if saved <= cost:
        return NOTHING
    why = f"{caution.why}: {action.why}; saves {saved:.2%}, costs {cost:.2%}"
    if isinstance(action, Shrink):
        return Shrink(action.quantity, action.fraction, why, caution.cause)
    return Close(why, caution.cause)


def _saved(caution: Caution, stake: Stake, share: float) -> float:
    """Expected loss before less expected loss after ``share`` is gone; of the notional now."""
    before = reach_probability(caution.volatility, stake.distance, caution.hours)
    after = reach_probability(caution.volatility, stake.distance_after, caution.hours)
    return stake.loss * (before - (1.0 - share) * after)


def _both_release(usual: GuardAction, tight: GuardAction) -> GuardAction:
    """What both would release: the lesser."""
    if isinstance(usual, Release) and isinstance(tight, Release):
        return min(usual, tight, key=lambda release: release.amount)
    return NOTHING


def as_distance(gap: Decimal) -> float:
    """A gap that is survived, as a float; infinite where every gap is."""
    return float(gap) if gap.is_finite() else inf


def wider(limits: RiskLimits, caution: Caution) -> RiskLimits | None:
    """The limits with caution's distance; None where the usual ones keep as much."""
    wanted = decimal_of(round(caution.distance, 4))
    if wanted <= limits.liquidation_distance_min or wanted <= ZERO:
        return None
    return msgspec.structs.replace(limits, liquidation_distance_min=wanted)
