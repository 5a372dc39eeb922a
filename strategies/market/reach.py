"""How far a price may go before anybody can act.

Over a sum of independent, symmetric steps the chance of ever having been ``d`` away is at most
twice that of ending there (Lévy's inequality; for a Brownian motion the reflection principle
makes it an equality). Where it ends is given the larger of two tails, each of the standard
deviation that was measured: the normal one, and for the far end that of Student's distribution
with three degrees of freedom, whose density falls with the fourth power as that of returns
does (the inverse cubic law: Gopikrishnan, Meyer, Amaral & Stanley 1998, Eur. Phys. J. B 3).
With ``u = distance / (volatility √hours)``

    P(reached) ≤ max(erfc(u / √2), 1 - 2/π (atan u + u / (1 + u²)))
"""

from functools import lru_cache
from math import atan, erfc, pi, sqrt


def reach_probability(volatility: float, distance: float, hours: float) -> float:
    """At most this chance that the price touches ``distance`` (fraction) one way in ``hours``.

    ``volatility`` is a fraction per square root of an hour; there is no drift.

    >>> round(reach_probability(0.01, 0.0714, 1.0), 4)
    0.0011
    """
    if volatility <= 0.0:
        return 0.0
    u = distance / (volatility * sqrt(hours))
    return max(erfc(u / sqrt(2.0)), 1.0 - 2.0 / pi * (atan(u) + u / (1.0 + u * u)))


def unlikely_move(volatility: float, hours: float, probability: float) -> float:
    """The distance (fraction) that is touched in ``hours`` with at most this ``probability``.

    >>> round(unlikely_move(0.01, 1.0, 0.01), 4)
    0.0337
    """
    return deviations(probability) * volatility * sqrt(hours)


@lru_cache(maxsize=16)
def deviations(probability: float) -> float:
    """``unlikely_move`` in standard deviations: the inverse of ``reach_probability``."""
    low, high = 0.0, 1.0
    while reach_probability(1.0, high, 1.0) > probability:
        low, high = high, 2.0 * high
    while high - low > 1e-9 * high:
        middle = (low + high) / 2.0
        if reach_probability(1.0, middle, 1.0) > probability:
            low = middle
        else:
            high = middle
    return high
