"""Against an over-extension, back to the average (SPEC R30): a perp alone, for hours to days.

Over-extended is a perp whose last close is far from its average, whose RSI says that it went
one way, and whose funding says that the crowd went along; all three. The stop lies beyond the
extreme, the target is the average as it then is. While the slow average says that the trend
is against the trade it is smaller, and at low leverage. Reasons on top of ``PerpAlone``'s:

- WAIT: ``not_extended``, ``funding_disagrees``
- ENTER: ``over_extended``
"""

from collections.abc import Sequence
from decimal import Decimal
from math import fsum

import msgspec

from domain.instruments import Pair
from domain.money import ONE
from domain.targets import Legs
from strategies.bounds import require_within
from strategies.carry.policy import CarryPolicy
from strategies.market.closes import average, deviation, rsi, whole_hours
from strategies.market.state import InstrumentState
from strategies.perp_alone import PerpAlone, Signal
from strategies.scaling import ScalingPolicy
from strategies.sizing import PRESETS, Preset
from strategies.strategy import Holding
from strategies.verdicts import yearly

LOW_LEVERAGE = Decimal(2)
"""Of an entry that the trend opposes."""
AGAINST_TREND_SHARE = Decimal("0.5")
"""Of the usual size, for the same."""
PRESET = Preset(PRESETS["swing"].leverage, PRESETS["day"].stop, PRESETS["swing"].risk)
"""Leverage and risk of a swing trade, the tight stop of a day trade."""


class MeanReversionPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[mean_reversion]`` of the settings."""

    average_hours: int = 48
    """Hourly closes in the average that price is to return to."""
    distance_sigmas: float = 2.0
    """How far from it the last close has to be, in standard deviations about it."""
    rsi_hours: int = 14
    """Hourly moves in the RSI."""
    rsi_extreme: float = 75.0
    """RSI from which on a rise is over-extended; 100 less it is the same for a fall."""
    stop_sigmas: float = 0.5
    """How far beyond the extreme the stop is, in the same standard deviations."""
    trend_hours: int = 168
    """Hourly closes in the slow average that tells the trend."""
    hours_max: float = 48.0
    """How long a trade may take."""

    def __post_init__(self) -> None:
        require_within(self, _BOUNDS)
        if self.trend_hours <= self.average_hours:
            raise ValueError(f"trend_hours: must be above average_hours {self.average_hours}")


_BOUNDS: dict[str, tuple[float, float]] = {
    "average_hours": (6, 168),
    "distance_sigmas": (0.5, 10),
    "rsi_hours": (2, 100),
    "rsi_extreme": (50, 99),
    "stop_sigmas": (0.05, 5),
    "trend_hours": (12, 336),
    "hours_max": (1, 336),
}


def signal(policy: MeanReversionPolicy, perp: InstrumentState, now_ns: int) -> Signal | str:
    """What the last whole hours say; see the module's text."""
    slow = whole_hours(perp, max(policy.trend_hours, policy.rsi_hours + 1), now_ns)
    if slow is None or perp.predicted is None:
        return f"not_warm: {policy.trend_hours} hourly closes in a row are needed"
    closes, last = slow[-policy.average_hours :], slow[-1]
    mean = average(closes)
    width = mean * deviation(closes)
    if width <= 0.0:
        return "not_extended: the price does not move"
    away, strength = (last - mean) / width, rsi(slow[-policy.rsi_hours - 1 :])
    state = f"{away:+.1f} sigma from the average of {policy.average_hours} h, RSI {strength:.0f}"
    if away >= policy.distance_sigmas and strength >= policy.rsi_extreme:
        legs, extreme, side = Legs.SHORT, max(closes), 1.0
    elif away <= -policy.distance_sigmas and strength <= 100.0 - policy.rsi_extreme:
        legs, extreme, side = Legs.LONG, min(closes), -1.0
    else:
        return f"not_extended: {state}"
    paid = fsum(settled.per_hour * settled.hours for settled in perp.settled)
    usual = paid / perp.hours_of_funding if perp.settled else 0.0
    crowd = perp.predicted.per_hour
    if (crowd - usual) * side <= 0.0:
        return f"funding_disagrees: {yearly(crowd)}, usually {yearly(usual)}; {state}"
    opposed = (mean - average(slow[-policy.trend_hours :])) * side > 0.0
    return Signal(
        legs,
        stop=extreme + side * policy.stop_sigmas * width,
        target=mean,
        leverage=LOW_LEVERAGE if opposed else PRESET.leverage[1],
        reason=f"over_extended: {state}, funding {yearly(crowd)}"
        + (", against the trend" if opposed else ""),
        share=AGAINST_TREND_SHARE if opposed else ONE,
    )


def aim(policy: MeanReversionPolicy, perp: InstrumentState, holding: Holding, now_ns: int) -> float:
    """The average as it is now; that of the entry while some hour of it is not known."""
    closes = whole_hours(perp, policy.average_hours, now_ns)
    return average(closes) if closes is not None else float(holding.target_price)


def mean_reversion(
    policy: MeanReversionPolicy,
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
        aim=lambda perp, holding, now_ns: aim(policy, perp, holding, now_ns),
    )
