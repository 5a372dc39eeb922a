"""Out of a narrow range, by a close outside it (SPEC R31): a perp alone, for hours to days.

A consolidation is a range of hourly closes that is narrow for how much the perp usually moves
in such a time. Confirmed is a break by the first close outside; the stop lies just inside the
level that was broken, the target as far beyond it as the range is wide. Reasons on top of
``PerpAlone``'s:

- WAIT: ``no_consolidation``, ``inside``, ``fell_back``
- ENTER: ``breakout``
"""

from collections.abc import Sequence
from decimal import Decimal
from math import sqrt

import msgspec

from domain.instruments import Pair
from domain.targets import Legs
from strategies.bounds import require_within
from strategies.carry.policy import CarryPolicy
from strategies.market.closes import hourly_volatility, whole_hours
from strategies.market.state import InstrumentState
from strategies.perp_alone import PerpAlone, Signal
from strategies.scaling import ScalingPolicy
from strategies.sizing import PRESETS
from strategies.verdicts import percent

PRESET = PRESETS["day"]
LEVERAGE = Decimal(7)
"""The most of SPEC R31, whatever the preset's range allows."""


class BreakoutPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[breakout]`` of the settings."""

    range_hours: int = 24
    """Hourly closes in the range that is broken."""
    usual_hours: int = 168
    """Hourly closes before it that tell how much the perp usually moves."""
    width_sigmas: float = 1.0
    """A range no wider than so many usual moves of ``range_hours`` is a consolidation."""
    stop_inside: float = 0.25
    """How far inside the broken level the stop is; of the range's width."""
    hours_max: float = 48.0
    """How long a trade may take."""

    def __post_init__(self) -> None:
        require_within(self, _BOUNDS)


_BOUNDS: dict[str, tuple[float, float]] = {
    "range_hours": (4, 120),
    "usual_hours": (24, 200),
    "width_sigmas": (0.1, 10),
    "stop_inside": (0.02, 1),
    "hours_max": (1, 336),
}


def signal(policy: BreakoutPolicy, perp: InstrumentState, now_ns: int) -> Signal | str:
    """What the last whole hours say; see the module's text."""
    needed = policy.usual_hours + policy.range_hours + 1
    closes = whole_hours(perp, needed, now_ns)
    if closes is None or not perp.mid:
        return f"not_warm: {needed} hourly closes in a row are needed"
    ranged, last = closes[-policy.range_hours - 1 : -1], closes[-1]
    low, high = min(ranged), max(ranged)
    usual = hourly_volatility(closes[: policy.usual_hours]) * sqrt(policy.range_hours)
    width = high - low
    state = f"range {low:.6g} to {high:.6g} in {policy.range_hours} h, {percent(width / low)}"
    if not 0.0 < width / low <= policy.width_sigmas * usual:
        most = percent(policy.width_sigmas * usual)
        return f"no_consolidation: {state}, at most {most}"
    if low <= last <= high:
        return f"inside: {state}"
    if last > high:
        legs, level, side = Legs.LONG, high, 1.0
    else:
        legs, level, side = Legs.SHORT, low, -1.0
    if (perp.mid - level) * side <= 0.0:
        return f"fell_back: closed at {last:.6g}, now {perp.mid:.6g}; {state}"
    return Signal(
        legs,
        stop=level - side * policy.stop_inside * width,
        target=level + side * width,
        leverage=LEVERAGE,
        reason=f"breakout: closed at {last:.6g}; {state}",
    )


def breakout(
    policy: BreakoutPolicy,
    shared: CarryPolicy,
    pairs: Sequence[Pair],
    *,
    risk_per_trade: Decimal,
    exposure_max: Decimal,
    scaling: ScalingPolicy,
) -> PerpAlone:
    return PerpAlone(
        lambda perp, now_ns: signal(policy, perp, now_ns),
        PRESET,
        policy.hours_max,
        shared,
        pairs,
        risk_per_trade=risk_per_trade,
        exposure_max=exposure_max,
        scaling=scaling,
    )
