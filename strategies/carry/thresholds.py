"""When a carry pays for getting in, and when it no longer pays for staying.

Both questions are asked of the same number: the expected funding over the
horizon, less what the capital could earn elsewhere (the hurdle).

*In*: it must pay the whole round trip, with a margin for the forecast's error.

*Out*: leaving and staying both pay one exit, now or later, so the exit cost
alone never decides; but whoever leaves may want to come back, and then pays
one round trip more. So leave when the loss expected from staying exceeds that
round trip times the chance that the pair will qualify for entry again:

    horizon x (hurdle - forecast) - basis gain  >  P(return) x round trip

The distance between the two rates is a band that follows from costs and from
how uncertain funding is. One negative print moves a mean-reverting forecast
little, and does not close a pair.
"""

from math import copysign, erfc, sqrt

from domain.time import HOURS_PER_YEAR
from strategies.funding.forecast import Forecast
from strategies.market.basis import UsualBasis


def hurdle_hourly(hurdle_apr: float, capital_per_notional: float) -> float:
    """The hurdle, an annual rate on capital, as a fraction of notional per hour.

    >>> round(hurdle_hourly(0.0876, 1.5), 8)
    1.5e-05
    """
    return hurdle_apr * capital_per_notional / HOURS_PER_YEAR


def apr_on_capital(net: float, horizon_hours: float, capital_per_notional: float) -> float:
    """``net``, a fraction of notional earned over the horizon, as simple annual rate on capital."""
    return net / capital_per_notional / horizon_hours * HOURS_PER_YEAR


def basis_gain(usual: UsualBasis | None) -> float:
    """What long spot and short perp gain when the basis returns to its mean, of notional.

    Only what lies beyond two of its usual deviations counts, and only once a
    day of it is known: within them a basis is the noise of quotes, and a
    strategy that hears it trades noise.

    >>> basis_gain(UsualBasis(mean=0.001, recent=0.004, variance=0.0005**2, hours=50, sampled_ns=0))
    0.002
    """
    if usual is None or usual.hours < 24.0:
        return 0.0
    gap = usual.recent - usual.mean
    return copysign(max(abs(gap) - 2.0 * usual.deviation, 0.0), gap)


def basis_stop(least: float, sigmas: float, usual: UsualBasis | None) -> float:
    """How far the basis may move against the pair: beyond its noise, and at least ``least``."""
    return max(least, sigmas * usual.trusted_deviation) if usual is not None else least


def entry_rate(forecast: Forecast, cost: float, hurdle: float, error_multiple: float) -> float:
    """The least expected rate per hour at which entry pays.

    ``cost``: round trip less expected basis gain, fraction of notional;
    ``hurdle``: fraction of notional per hour.
    """
    return hurdle + cost / forecast.horizon_hours + error_multiple * forecast.error


def holding_value(forecast: Forecast, hurdle: float, basis_gain: float) -> float:
    """Expected gain, fraction of notional, from staying over the horizon against leaving now."""
    return forecast.total - hurdle * forecast.horizon_hours + basis_gain


def return_probability(forecast: Forecast, rate: float) -> float:
    """The chance that funding over the horizon is at least ``rate`` after all (normal errors)."""
    if forecast.error <= 0.0:
        return 1.0 if forecast.hourly >= rate else 0.0
    return 0.5 * erfc((rate - forecast.hourly) / (forecast.error * sqrt(2.0)))


def exit_loss(forecast: Forecast, cost: float, hurdle: float, error_multiple: float) -> float:
    """The expected loss that staying may show before leaving pays: P(return) x round trip."""
    rate = entry_rate(forecast, cost, hurdle, error_multiple)
    return return_probability(forecast, rate) * max(cost, 0.0)


def liquidation_probability(volatility: float, distance: float, hours: float) -> float:
    """The chance that price touches ``distance`` (fraction) away within ``hours``, unattended.

    ``volatility`` per square root of an hour, no drift: by the reflection
    principle twice the chance of ending beyond it.
    """
    if volatility <= 0.0:
        return 0.0
    return min(1.0, erfc(distance / (volatility * sqrt(2.0 * hours))))
