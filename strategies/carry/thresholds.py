"""When a carry pays for getting in, and when it no longer pays for staying.

Both questions are asked of one number: what being in is worth over having left (``Worth``),
from where funding stands, as ``switching`` computes it. *In* when that repays the whole round
trip; *out* when it is nothing or less. Neither on one print: both need the standing without
the newest settlement to agree. Sunk costs play no part.
"""

from math import copysign, sqrt
from typing import NamedTuple

from domain.time import HOURS_PER_YEAR
from strategies.carry.switching import Band, Level, band, transient
from strategies.funding.forecast import Forecast, ForecastPolicy, Standing
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


NOISE = 2.0
"""So many deviations of a basis from its mean say nothing."""


def basis_gain(usual: UsualBasis | None) -> float:
    """What long spot and short perp gain when the basis returns to its mean, of notional.

    Only what lies beyond its ``NOISE`` counts, and only once a day of it is known: within
    it a basis is that of quotes, and a strategy that hears it trades noise.

    >>> basis_gain(UsualBasis(mean=0.001, recent=0.004, variance=0.0005**2, hours=50, sampled_ns=0))
    0.002
    """
    if usual is None or usual.hours < 24.0:
        return 0.0
    gap = usual.recent - usual.mean
    return copysign(max(abs(gap) - NOISE * usual.deviation, 0.0), gap)


def basis_stop(least: float, sigmas: float, usual: UsualBasis | None) -> float:
    """How far the basis may move against the pair: beyond its noise, and at least ``least``."""
    return max(least, sigmas * usual.trusted_deviation) if usual is not None else least


def is_noise(stop: float, usual: UsualBasis) -> bool:
    """Whether what the basis does anyway would reach a stop so far away."""
    return NOISE * usual.deviation > stop


LEAST_COST = 1e-5
"""A round trip that a favourable basis pays for costs this, of notional."""


class Worth(NamedTuple):
    """What being in is worth over having left, fraction of notional, by the standing that is
    worse for what is judged. An entry has to repay the round trip of ``band``."""

    value: float
    band: Band

    @property
    def pays_entry(self) -> bool:
        return self.value >= self.band.round_trip

    @property
    def pays_exit(self) -> bool:
        return self.value <= 0.0


def entering(
    forecast: Forecast, round_trip: float, gain: float, hurdle: float, process: ForecastPolicy
) -> Worth:
    """Judge an entry. ``gain`` is expected of the basis: it may pay the way, and an
    unfavourable one adds to it."""
    costs = band(max(round_trip - gain, LEAST_COST), hurdle, _level(process))
    return Worth(min(_worths(forecast, costs, hurdle, process)), costs)


def staying(
    forecast: Forecast, round_trip: float, gain: float, hurdle: float, process: ForecastPolicy
) -> Worth:
    """Judge a pair that is held: leaving forgoes ``gain``, and coming back costs a round trip."""
    costs = band(round_trip - min(gain, 0.0), hurdle, _level(process))
    return Worth(max(_worths(forecast, costs, hurdle, process)) + gain, costs)


def replaces(new: Forecast, held: Forecast, costs: float, process: ForecastPolicy) -> bool:
    """Whether ``new`` pays so much more than what is ``held`` that both round trips are repaid.

    The difference of two levels is one that returns to nothing: the same band, over no hurdle,
    tells when it is worth ``costs`` (both round trips, fraction of notional), now and without
    the newest prints.
    """
    apart = Level(0.0, process.level_deviation_hourly * sqrt(2.0), process.level_half_life_hours)
    enough = band(max(costs, LEAST_COST), 0.0, apart).enter
    return (
        new.now.level - held.now.level >= enough and new.before.level - held.before.level >= enough
    )


def _level(process: ForecastPolicy) -> Level:
    return Level(
        process.anchor_hourly, process.level_deviation_hourly, process.level_half_life_hours
    )


def _worths(
    forecast: Forecast, costs: Band, hurdle: float, process: ForecastPolicy
) -> tuple[float, float]:
    """What being in is worth, by the standing now and by that without the newest print."""

    def by(standing: Standing) -> float:
        fast = process.deviation_half_life_hours
        spike = transient(standing.level - hurdle, standing.deviation, fast)
        return costs.worth(standing.level) + spike

    return by(forecast.now), by(forecast.before)
