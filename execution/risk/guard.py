"""The margin guard of a held pair: top up, else shrink both legs, else close (SPEC R14).

A neutral pair loses on its perp exactly what it gains on its spot, but only the perp
can be liquidated. The guard moves the gain to where the loss is. ``trigger_price``
says at which mark it next has to act, so that a price update costs one comparison.

With N the perp's notional at mark, M its isolated margin including unrealized profit,
A the free collateral above the reserve, T the target leverage and P what selling the
whole spot leg brings after the costs of both legs:

- margin wanted is ``N / T``; ``need = N/T - M``. ``A >= need``: top up by ``need``. Where A is
  less but takes leverage under the guard level, top up by A: what a shrink has freed is
  put behind the position even if the price has moved on meanwhile.
- else shrink by the smallest share f for which what is kept can be margined at the
  target, from the margin, the free collateral and the proceeds together:
  ``(1 - f) N/T = M + A + f P``, so ``f = (need - A) / (N/T + P)``. The proceeds
  become free collateral and the guard's next look tops up from them; whether
  the venue leaves margin on the position or returns its share does not matter, since
  the sum on the right stays the same.
- in an account whose spot proceeds cannot become perp margin, P is only the perp's
  (negative) cost.
- f of one or more, or a remainder too small to trade: close.
"""

from decimal import ROUND_CEILING, Decimal, localcontext
from typing import Final

import msgspec

from domain.instruments import MarginTier
from domain.money import ONE, ZERO, decimal_of
from domain.orders import Side
from domain.targets import ExitCause
from execution.risk.limits import RiskLimits
from execution.risk.margin import (
    WORKING,
    effective_leverage,
    equity_at,
    leverage_at_distance,
    leverage_that_reaches,
    maintenance_rate,
    margin_down,
    margin_up,
    price_at_leverage,
)
from strategies.market.reach import unlikely_move

# A release leaves one percent more than the target needs: the venue refuses one that would
# leave less than initial margin when the price moves on the way.
_RELEASE_CUSHION: Final = Decimal("1.01")
# Releasing at half the target and acting above the guard level are far apart: no oscillation.
_RELEASE_AT: Final = Decimal("0.5")
# Where liquidation_distance_min lowers the guard level, the target keeps this share of it.
_TARGET_BELOW_GUARD: Final = Decimal("0.9")


class MarginPolicy(msgspec.Struct, frozen=True):
    """At which leverage the guard acts on one position, and with what.

    ``reserve`` is free collateral (quote) that it leaves alone. ``spot_cost`` and
    ``perp_cost`` are what an urgent exit of each leg costs, fractions of notional.
    ``proceeds_reach_margin``: the account is unified, so that quote from a spot sale
    can back the perp without a transfer.
    """

    leverage_target: Decimal
    leverage_guard: Decimal
    reserve: Decimal
    spot_cost: Decimal
    perp_cost: Decimal
    proceeds_reach_margin: bool


class PositionView(msgspec.Struct, frozen=True):
    """What the guard sees of one pair; all of it must be fresh.

    ``quantity`` is the perp's, signed; ``raw_margin`` as in ``margin``;
    ``spot_quantity`` what the pair holds of the spot leg, ``spot_price`` what a sale
    fetches (best bid). ``lot`` is the pair's common lot and ``minimum_notional`` the
    larger of the two legs'.
    """

    quantity: Decimal
    raw_margin: Decimal
    mark: Decimal
    spot_quantity: Decimal
    spot_price: Decimal
    lot: Decimal
    minimum_notional: Decimal


class Nothing(msgspec.Struct, frozen=True, tag=True):
    """Leverage is where it may be."""


class TopUp(msgspec.Struct, frozen=True, tag=True):
    """Move ``amount`` (settlement asset) of free collateral onto the position."""

    amount: Decimal
    why: str


class Shrink(msgspec.Struct, frozen=True, tag=True):
    """Reduce both legs to ``quantity`` base units each (positive), perp first, takers.

    ``fraction`` is the share of the position that goes. The top-up from the proceeds
    is the guard's next action.
    """

    quantity: Decimal
    fraction: Decimal
    why: str
    cause: ExitCause = ExitCause.MARGIN_GUARD


class Close(msgspec.Struct, frozen=True, tag=True):
    """Nothing cheaper is enough: close both legs, perp first, takers."""

    why: str
    cause: ExitCause = ExitCause.MARGIN_GUARD


class Release(msgspec.Struct, frozen=True, tag=True):
    """Move ``amount`` of margin that is not needed back to free collateral. Never urgent."""

    amount: Decimal
    why: str


GuardAction = Nothing | TopUp | Shrink | Close | Release
NOTHING: Final = Nothing()


def policy_for(
    limits: RiskLimits,
    side: Side,
    notional: Decimal,
    tiers: tuple[MarginTier, ...],
    *,
    equity: Decimal,
    spot_cost: Decimal,
    perp_cost: Decimal,
    proceeds_reach_margin: bool,
    volatility_hourly: float = 0.0,
) -> MarginPolicy:
    """The limits made fit for one instrument: where its maintenance is high, guard earlier.

    The guard level is lowered until liquidation is ``liquidation_distance_min`` from
    the mark whenever the guard has acted, and the target stays under it: so far that the
    price is all but sure not to get from one to the other while the guard cannot act
    (``guard_reaction_minutes``, ``guard_reach_probability_max``).
    ``side`` is the perp's, ``notional`` (quote) picks the tier: that in which it would be
    liquidated.
    """
    distance = limits.liquidation_distance_min
    liquidated = notional * (1 - side.sign * distance)
    at_distance = leverage_at_distance(side, maintenance_rate(liquidated, tiers), distance)
    reach = unlikely_move(
        volatility_hourly, limits.guard_reaction_minutes / 60, limits.guard_reach_probability_max
    )
    with localcontext(WORKING):
        guard = min(limits.leverage_guard, at_distance)
        calm = min(limits.leverage_target, guard * _TARGET_BELOW_GUARD)
        unreached = leverage_that_reaches(side, guard, decimal_of(reach))
        return MarginPolicy(
            leverage_target=min(calm, max(unreached, ONE)),
            leverage_guard=guard,
            reserve=max(equity, ZERO) * limits.free_collateral_reserve,
            spot_cost=spot_cost,
            perp_cost=perp_cost,
            proceeds_reach_margin=proceeds_reach_margin,
        )


def guard_margin(view: PositionView, free_collateral: Decimal, policy: MarginPolicy) -> GuardAction:
    """What to do about this position's margin now; one action at a time, asked again after it.

    ``free_collateral`` (quote) is what can become isolated margin at once. Judged on
    isolated margin alone, which is all that stands between the position and
    liquidation. While an action is under way do not start another, but asking again is
    harmless: a shrink names the quantity to arrive at.
    """
    if view.quantity == ZERO:
        return NOTHING
    with localcontext(WORKING):
        notional = abs(view.quantity) * view.mark
        margin = equity_at(view.quantity, view.raw_margin, view.mark)
        wanted = notional / policy.leverage_target
        leverage = effective_leverage(notional, margin)
        if leverage > policy.leverage_guard:
            why = f"leverage {leverage:.2f} above guard {policy.leverage_guard:.2f}"
            available = free_collateral - policy.reserve
            need = margin_up(wanted - margin)
            if available >= need:
                return TopUp(need, why)
            if available >= margin_up(notional / policy.leverage_guard - margin):
                return TopUp(margin_down(available), why)
            why = f"{why}; free collateral {available:.2f} of {need:.2f} needed"
            return _shrink(view, policy, wanted, need - available, why)
        if leverage < policy.leverage_target * _RELEASE_AT:
            excess = margin_down(margin - wanted * _RELEASE_CUSHION)
            if excess > ZERO:
                return Release(excess, f"leverage {leverage:.2f} far under target")
    return NOTHING


def trigger_price(view: PositionView, policy: MarginPolicy) -> float:
    """The mark at which ``guard_margin`` will next have to act, for the hot path.

    For a short, look when ``mark >= trigger`` (infinite where nothing triggers); for a
    long when ``mark <= trigger`` (zero). Rounded toward looking early, which is
    harmless. It changes only with the position, its margin or the policy; releases
    are not urgent and are found by asking now and then.
    """
    price = price_at_leverage(view.quantity, view.raw_margin, policy.leverage_guard)
    if view.quantity < ZERO:
        return float(price) * (1 - 1e-15) if price is not None else float("inf")
    return float(price) * (1 + 1e-15) if price is not None else 0.0


def _shrink(
    view: PositionView, policy: MarginPolicy, wanted: Decimal, short_of: Decimal, why: str
) -> Shrink | Close:
    """Shrink by ``short_of / (wanted + proceeds)``, in whole lots, or close."""
    size = abs(view.quantity)
    notional = size * view.mark
    proceeds = -notional * policy.perp_cost
    if policy.proceeds_reach_margin:
        spot_value = view.spot_quantity * view.spot_price
        proceeds += spot_value - abs(spot_value) * policy.spot_cost
    freed = wanted + proceeds
    if freed <= ZERO or short_of >= freed:
        return Close(f"{why}; selling a part cannot restore it")
    smaller = max(short_of / freed, view.minimum_notional / notional)
    cut = (size * smaller / view.lot).to_integral_value(ROUND_CEILING) * view.lot
    keep = size - cut
    if keep * view.mark < view.minimum_notional or keep <= ZERO:
        return Close(f"{why}; what would be left is too small to trade")
    return Shrink(keep, min(cut / size, ONE), why)
