"""What a perp's funding is expected to be over a holding horizon, and how sure that is.

Funding is read as three things on top of each other: the venue's interest-only
rate (the ``anchor``), a level that wanders about it over weeks, and a fast
deviation from the level that dies out within a day. All three are
Ornstein-Uhlenbeck in form, so the mean over a horizon and its variance are
closed forms:

    mean  = anchor + (level - anchor) m(K, H) + (current - level) m(k, H)
    error² = level_variance v(K, H) + deviation_variance v(k, H) + print_variance n(c, H)
    m(k, H) = (1 - e^-kH) / kH
    v(k, H) = 2/kH (1 - 2 (1 - e^-kH) / kH + (1 - e^-2kH) / 2kH)
    n(c, H) = 2/cH (1 - (1 - e^-cH) / cH)

with k = ln 2 / half-life, c that of the running rate. (Variance of a time average of an
Ornstein-Uhlenbeck process that starts from a known value, v, or from an unknown one, n; for
instance Karatzas & Shreve, section 5.6. ``print_variance`` is that of a print about the
running rate before it.)
"""

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable
from functools import lru_cache
from itertools import takewhile
from math import exp, expm1, log, sqrt
from typing import NamedTuple

import msgspec

from domain.rates import FundingRate
from domain.time import DAY
from strategies.market.state import InstrumentState, Settlement

WINDOW_NS = 59 * DAY
PRIOR_DEVIATION = 3e-5
"""Standard deviation per hour assumed before any data: about that of large perps, 2023 to 2025."""


class ForecastPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The speeds of the funding process, as half-lives in hours.

    Fitted once, to ten perps of Hyperliquid from 2023-05 to 2025-05. The error
    is flat about these values (under 2 % from half to twice each), so they are
    set and not estimated symbol by symbol.
    """

    anchor_hourly: float = 1.25e-5
    """Rate per hour that everything reverts to: 0.01 % per 8 h, interest without premium."""
    current_half_life_hours: float = 2.0
    """Memory of the running rate: one print never decides."""
    deviation_half_life_hours: float = 16.0
    """How fast a spike dies out."""
    level_memory_half_life_hours: float = 120.0
    """Memory of the level."""
    level_half_life_hours: float = 336.0
    """How fast the level itself returns to the anchor."""
    level_deviation_hourly: float = 1e-5
    """How far the level wanders from the anchor in the long run, standard deviation per hour.

    One figure for all perps: by its own history each perp would have another, but bands
    computed from that earned less than from this one, on all that was tried."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if name.endswith("_hours") and not 0.1 <= value <= 24 * 365:
                raise ValueError(f"{name}: must be between 0.1 and 8760 hours, got {value}")
        if not abs(self.anchor_hourly) <= 0.001:
            raise ValueError(
                f"anchor_hourly: must be a fraction within 0.001, got {self.anchor_hourly}"
            )
        if not 1e-7 <= self.level_deviation_hourly <= 0.001:
            raise ValueError(
                "level_deviation_hourly: must be a fraction from 1e-7 to 0.001, "
                f"got {self.level_deviation_hourly}"
            )


class Standing(NamedTuple):
    """Where the process stands: its level, and how far the running rate is from it; per hour."""

    level: float
    deviation: float


class Forecast(msgspec.Struct, frozen=True):
    """Expected funding rate per hour, mean over ``horizon_hours``; ``error`` is its standard error.

    Positive is what a short receives. ``before`` is the standing without the newest print, so
    that none decides alone.
    """

    hourly: float
    error: float
    horizon_hours: float
    now: Standing
    before: Standing

    @property
    def total(self) -> float:
        """Expected funding over the whole horizon, fraction of notional."""
        return self.hourly * self.horizon_hours

    @property
    def total_error(self) -> float:
        """Standard error of ``total``."""
        return self.error * self.horizon_hours


class FundingProcess:
    """Where the process stands after the settlements it was updated with.

    Starts at the anchor and forgets it exponentially: a short history is
    shrunk towards interest-only by as much as it is short.
    """

    __slots__ = (
        "_hours",
        "_policy",
        "_weights",
        "before",
        "current",
        "deviation_variance",
        "level",
        "level_variance",
        "print_variance",
    )

    def __init__(self, policy: ForecastPolicy) -> None:
        self._policy = policy
        self._hours = 0.0
        self._weights = (0.0, 0.0, 0.0)
        self.level = self.current = policy.anchor_hourly
        self.before = Standing(self.level, 0.0)
        self.deviation_variance = self.level_variance = PRIOR_DEVIATION**2
        self.print_variance = PRIOR_DEVIATION**2

    def update(self, rates: Iterable[tuple[int, float, float]]) -> None:
        """Take in settlements, oldest first: time, rate per hour, hours."""
        # Plain names: every midnight this reads two months of rates again.
        anchor = self._policy.anchor_hourly
        current, level = self.current, self.level
        current_before, level_before = self.before.level + self.before.deviation, self.before.level
        deviation_variance, level_variance = self.deviation_variance, self.level_variance
        print_variance = self.print_variance
        weighed, (of_current, of_level, of_variance) = self._hours, self._weights
        for _, rate, hours in rates:
            if hours != weighed:
                weighed = hours
                of_current, of_level, of_variance = _weights(self._policy, hours)
            current_before, level_before = current, level
            gap = rate - level
            deviation_variance += of_variance * (gap * gap - deviation_variance)
            level += of_level * gap
            miss = rate - current
            print_variance += of_variance * (miss * miss - print_variance)
            current += of_current * miss
            away = level - anchor
            level_variance += of_variance * (away * away - level_variance)
        self.current, self.level = current, level
        self.before = Standing(level_before, current_before - level_before)
        self.deviation_variance, self.level_variance = deviation_variance, level_variance
        self.print_variance = print_variance
        self._hours, self._weights = weighed, (of_current, of_level, of_variance)

    def forecast(self, predicted: FundingRate | None, horizon_hours: float) -> Forecast:
        """Mean and standard error over the coming ``horizon_hours``, closed form.

        ``predicted``, the venue's running estimate, counts as one more interval seen.
        """
        policy = self._policy
        current = self.current
        if predicted is not None:
            weight = 1.0 - 0.5 ** (predicted.interval_hours / policy.current_half_life_hours)
            current += weight * (predicted.per_hour - current)
        fast_mean, fast_variance = _over_horizon(policy.deviation_half_life_hours, horizon_hours)
        slow_mean, slow_variance = _over_horizon(policy.level_half_life_hours, horizon_hours)
        anchor = policy.anchor_hourly
        hourly = anchor + (self.level - anchor) * slow_mean + (current - self.level) * fast_mean
        variance = self.level_variance * slow_variance + self.deviation_variance * fast_variance
        variance += self.print_variance * _noise(policy.current_half_life_hours, horizon_hours)
        now = Standing(self.level, current - self.level)
        return Forecast(hourly, sqrt(variance), horizon_hours, now, self.before)


def forecast(
    settled: Iterable[Settlement],
    predicted: FundingRate | None,
    horizon_hours: float,
    policy: ForecastPolicy,
) -> Forecast:
    """Forecast from a history of settlements (oldest first) and the running estimate."""
    process = FundingProcess(policy)
    process.update(settled)
    return process.forecast(predicted, horizon_hours)


class MeanReverting:
    """The forecaster above, reading each settlement once.

    It starts afresh each UTC midnight from the ``WINDOW_NS`` before it, so that
    the answer depends on the published rates alone, never on how long the
    process has been running.
    """

    def __init__(self, policy: ForecastPolicy) -> None:
        self._policy = policy
        self._read: dict[str, _Read] = {}

    def __call__(self, perp: InstrumentState, horizon_hours: float) -> Forecast:
        if not perp.settled:
            return FundingProcess(self._policy).forecast(perp.predicted, horizon_hours)
        read = self._read.get(perp.instrument)
        if read is None or read.backfills != perp.backfills:
            read = self._read[perp.instrument] = _Read(self._policy, perp.backfills)
        read.on(perp.settled)
        return read.process.forecast(perp.predicted, horizon_hours)


class _Read:
    """The settlements of one perp that were read, and where they leave its process.

    In columns: two months of them are read again every midnight, and that is slow over
    objects that lie all over the heap.
    """

    def __init__(self, policy: ForecastPolicy, backfills: int) -> None:
        self.backfills = backfills
        self.process = FundingProcess(policy)
        self._policy = policy
        self._day = -1
        self._times, self._rates, self._hours = array("q"), array("d"), array("d")

    def on(self, settled: deque[Settlement]) -> None:
        """Read on to the newest of ``settled``."""
        fresh = _after(settled, self._times[-1] if self._times else -1)
        for time_ns, rate, hours in fresh:
            self._times.append(time_ns)
            self._rates.append(rate)
            self._hours.append(hours)
        day = self._times[-1] // DAY
        if day == self._day:
            self.process.update(fresh)
            return
        first = bisect_left(self._times, day * DAY - WINDOW_NS)
        del self._times[:first], self._rates[:first], self._hours[:first]
        self._day, self.process = day, FundingProcess(self._policy)
        self.process.update(zip(self._times, self._rates, self._hours, strict=True))


def _after(settled: deque[Settlement], time_ns: int) -> list[Settlement]:
    fresh = list(takewhile(lambda settlement: settlement.time_ns > time_ns, reversed(settled)))
    return fresh[::-1]


def _weights(policy: ForecastPolicy, hours: float) -> tuple[float, float, float]:
    """What one rate held for ``hours`` weighs in current, level and variances."""
    return (
        1.0 - 0.5 ** (hours / policy.current_half_life_hours),
        1.0 - 0.5 ** (hours / policy.level_memory_half_life_hours),
        1.0 - 0.5 ** (hours / policy.level_half_life_hours),
    )


@lru_cache(maxsize=256)
def _over_horizon(half_life_hours: float, horizon_hours: float) -> tuple[float, float]:
    """``m`` and ``v`` of the module's text: share of a deviation, and of its stationary variance,
    that is left in the mean over the horizon."""
    x = log(2) / half_life_hours * horizon_hours
    if x < 1e-3:  # the series, where the closed form would cancel
        return 1.0 - x / 2.0, 2.0 * x / 3.0
    mean = -expm1(-x) / x
    return mean, 2.0 / x * (1.0 - 2.0 * mean + (1.0 - exp(-2.0 * x)) / (2.0 * x))


@lru_cache(maxsize=256)
def _noise(half_life_hours: float, horizon_hours: float) -> float:
    """``n`` of the module's text."""
    x = log(2) / half_life_hours * horizon_hours
    return 1.0 - x / 3.0 if x < 1e-3 else 2.0 / x * (1.0 + expm1(-x) / x)
