"""What the basis of a pair usually is, and how restless: averages of samples five minutes apart."""

from math import sqrt

import msgspec

from domain.time import HOUR

MEAN_HALF_LIFE_HOURS = 48.0
RECENT_HALF_LIFE_HOURS = 0.5
DEVIATION_HALF_LIFE_HOURS = 240.0
"""Slow, so that a dislocation does not widen the stop that is there for it."""
DISLOCATED = 0.05
"""A perp this far from its spot is not quoting the same thing: no part of the usual basis."""


class UsualBasis(msgspec.Struct, frozen=True):
    """Perp over spot, less one, as it has been for ``hours``.

    ``mean`` is what it is expected to return to; ``recent`` the average over
    about the last hour, which no single quote moves far; ``variance`` that of
    single samples about the mean.
    """

    mean: float
    recent: float
    variance: float
    hours: float
    sampled_ns: int

    @property
    def deviation(self) -> float:
        """Standard deviation of a single sample about the mean."""
        return sqrt(self.variance)

    @property
    def trusted_deviation(self) -> float:
        """The deviation, believed by as much as it has been seen: nothing at first."""
        return sqrt(self.variance * (1.0 - 0.5 ** (self.hours / DEVIATION_HALF_LIFE_HOURS)))


def with_sample(known: UsualBasis | None, now: float, now_ns: int) -> UsualBasis:
    """One more sample; a dislocated one is recent, but not usual."""
    usual = abs(now) <= DISLOCATED
    if known is None:
        return UsualBasis(now if usual else 0.0, now, 0.0, 0.0, now_ns)
    hours = (now_ns - known.sampled_ns) / HOUR
    recent = known.recent + (1.0 - 0.5 ** (hours / RECENT_HALF_LIFE_HOURS)) * (now - known.recent)
    if not usual:
        return msgspec.structs.replace(known, recent=recent, sampled_ns=now_ns)
    seen, gap = known.hours + hours, now - known.mean
    mean = known.mean + weight_of(hours, seen, MEAN_HALF_LIFE_HOURS) * gap
    change = weight_of(hours, seen, DEVIATION_HALF_LIFE_HOURS) * (gap * gap - known.variance)
    return UsualBasis(mean, recent, known.variance + change, seen, now_ns)


def weight_of(hours: float, seen: float, half_life: float) -> float:
    """What ``hours`` more weigh: until a half-life has passed a plain average, then exponential."""
    forgotten: float = 1.0 - 0.5 ** (hours / half_life)
    plain = hours / seen if seen > 0.0 else 1.0
    return forgotten if forgotten > plain else plain  # noqa: FURB136 - max is slow, and this often
