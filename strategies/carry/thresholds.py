"""When a carry pays for getting in, and when it no longer pays for staying.

Both questions are asked of one number: what being in is worth over having left (``Worth``),
from where funding stands, as ``switching`` computes it. *In* when that repays the whole round
trip; *out* when it is nothing or less. Neither on one print: both need the standing without
the newest settlement to agree. Sunk costs play no part.

A basis far from its usual mean comes back within hours, and whoever is in meanwhile has it as
income, of either sign, beside the funding. So it counts as a spike of funding does
(``transient``): against a rich pair, what waiting outside for its return would save.
"""

from math import copysign, log, sqrt
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


BASIS_HALF_LIFE_HOURS = 8.0
"""How fast a basis beyond its noise returns: the slow end of what pairs have shown, one to eight
hours (``python -m tests.study.basis --data DIR --gaps``)."""


def basis_gain(usual: UsualBasis | None, now: float | None) -> float:
    """What long spot and short perp gain when the basis returns to its mean, of notional.

    By the average of the last hour and by the quotes of ``now``, whichever says less: what is
    over is no gain, nor what nobody has confirmed. Only what lies beyond its ``NOISE`` counts,
    and only once a day of it is known: within it a basis is that of quotes, and a strategy that
    hears it trades noise.

    >>> usual = UsualBasis(mean=0.001, recent=0.004, variance=0.0005**2, hours=50, sampled_ns=0)
    >>> basis_gain(usual, now=0.005), basis_gain(usual, now=0.001)
    (0.002, 0.0)
    """
    if usual is None or now is None or usual.hours < 24.0:
        return 0.0
    lasting, present = usual.recent - usual.mean, now - usual.mean
    if lasting * present <= 0.0:
        return 0.0
    beyond = min(abs(lasting), abs(present)) - NOISE * usual.deviation
    return copysign(max(beyond, 0.0), present)


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
    """Judge an entry. ``gain`` is expected of the basis: it may pay the way, and is no reason to
    go; an unfavourable one is waited out."""
    costs = band(max(round_trip - max(gain, 0.0), LEAST_COST), hurdle, _level(process))
    return Worth(min(_worths(forecast, costs, min(gain, 0.0), hurdle, process)), costs)


def staying(
    forecast: Forecast, round_trip: float, gain: float, hurdle: float, process: ForecastPolicy
) -> Worth:
    """Judge a pair that is held: leaving forgoes ``gain``, and coming back costs a round trip."""
    costs = band(round_trip, hurdle, _level(process))
    return Worth(max(_worths(forecast, costs, gain, hurdle, process)), costs)


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
    forecast: Forecast, costs: Band, gain: float, hurdle: float, process: ForecastPolicy
) -> tuple[float, float]:
    """What being in is worth, by the standing now and by that without the newest print."""
    returning = gain * log(2.0) / BASIS_HALF_LIFE_HOURS  # per hour, at first

    def by(standing: Standing) -> float:
        excess = standing.level - hurdle
        spike = transient(excess, standing.deviation, process.deviation_half_life_hours)
        basis = transient(excess, returning, BASIS_HALF_LIFE_HOURS)
        return costs.worth(standing.level) + spike + basis

    return by(forecast.now), by(forecast.before)
