"""What a Sharpe ratio is worth that was the best of many.

Try enough configurations of no worth at all, and the best of them looks well. The
deflated Sharpe ratio asks how likely the true one is above zero, given how many were
tried, how long the record is, and that its returns are no bell curve.
"""

from collections.abc import Iterable, Sequence
from math import e, fsum, sqrt
from statistics import NormalDist

import msgspec

EULER_GAMMA = 0.5772156649015329
DAYS_PER_YEAR = 365
_NORMAL = NormalDist()


class Moments(msgspec.Struct, frozen=True, array_like=True):
    """Sums of the powers of ``count`` daily returns: moments of windows add up."""

    count: int = 0
    first: float = 0.0
    second: float = 0.0
    third: float = 0.0
    fourth: float = 0.0

    @property
    def sharpe(self) -> float:
        """Mean over standard deviation of a day, not made annual; 0 where nothing ever moved."""
        mean, variance = self._mean, self._variance
        return mean / sqrt(variance) if variance > 0.0 else 0.0

    @property
    def skewness(self) -> float:
        """Third standardized moment; 0 of a bell curve, and where nothing ever moved."""
        if (variance := self._variance) <= 0.0:
            return 0.0
        m, n = self._mean, self.count
        return (self.third / n - 3 * m * self.second / n + 2 * m**3) / (variance * sqrt(variance))

    @property
    def kurtosis(self) -> float:
        """Fourth standardized moment, not in excess: 3 of a bell curve."""
        if (variance := self._variance) <= 0.0:
            return 3.0
        m, n = self._mean, self.count
        fourth = self.fourth / n - 4 * m * self.third / n + 6 * m**2 * self.second / n - 3 * m**4
        return fourth / variance**2

    @property
    def _mean(self) -> float:
        return self.first / self.count if self.count else 0.0

    @property
    def _variance(self) -> float:
        """Of the population; what rounding leaves of a constant is none."""
        if self.count < 2:
            return 0.0
        square = self.second / self.count
        variance = square - self._mean**2
        return variance if variance > 1e-12 * square else 0.0


def moments_of(returns: Iterable[float]) -> Moments:
    """The moments of daily returns, fractions."""
    found = list(returns)
    return Moments(len(found), *(fsum(r**power for r in found) for power in (1, 2, 3, 4)))


def together(parts: Sequence[Moments]) -> Moments:
    """The moments of several stretches, as of one."""
    return Moments(
        int(fsum(part.count for part in parts)),
        fsum(part.first for part in parts),
        fsum(part.second for part in parts),
        fsum(part.third for part in parts),
        fsum(part.fourth for part in parts),
    )


def probabilistic_sharpe(record: Moments, benchmark: float) -> float | None:
    """Probability that the true Sharpe ratio of a day is above ``benchmark``; None of no record.

    ``Phi((SR - SR*) sqrt(T - 1) / sqrt(1 - skew SR + (kurtosis - 1) / 4 SR^2))``
    Source: Bailey & Lopez de Prado (2012), "The Sharpe Ratio Efficient Frontier",
    Journal of Risk 15(2), equation 11.
    """
    ratio = record.sharpe
    spread = 1.0 - record.skewness * ratio + (record.kurtosis - 1.0) / 4.0 * ratio**2
    if record.count < 2 or ratio == 0.0 or spread <= 0.0:
        return None
    return _NORMAL.cdf((ratio - benchmark) * sqrt(record.count - 1) / sqrt(spread))


def expected_best(ratios: Sequence[float]) -> float:
    """The highest of so many Sharpe ratios, scattered as these are, if none was worth anything.

    ``sqrt(V) ((1 - gamma) Phi^-1(1 - 1/N) + gamma Phi^-1(1 - 1/(N e)))``, with V their
    variance, N their number and gamma Euler's constant; 0 of a single one.
    Source: Bailey & Lopez de Prado (2014), "The Deflated Sharpe Ratio", Journal of
    Portfolio Management 40(5), equation 1.
    """
    n = len(ratios)
    if n < 2:
        return 0.0
    mean = fsum(ratios) / n
    scatter = sqrt(fsum((ratio - mean) ** 2 for ratio in ratios) / (n - 1))
    return scatter * (
        (1.0 - EULER_GAMMA) * _NORMAL.inv_cdf(1.0 - 1.0 / n)
        + EULER_GAMMA * _NORMAL.inv_cdf(1.0 - 1.0 / (n * e))
    )


def deflated_sharpe(record: Moments, ratios: Sequence[float]) -> float | None:
    """Probability that the true Sharpe ratio of the best of ``ratios`` is above zero.

    The probabilistic Sharpe ratio against the best that luck alone is expected to find.
    ``ratios``: of a day, of every configuration that was tried, this one's among them.
    Source: Bailey & Lopez de Prado (2014), equation 2.
    """
    return probabilistic_sharpe(record, expected_best(ratios))


def annual(ratio: float) -> float:
    """A Sharpe ratio of a day as one of a year."""
    return ratio * sqrt(DAYS_PER_YEAR)
