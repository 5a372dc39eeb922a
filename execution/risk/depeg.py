"""Whether the asset that everything is quoted in is still worth what the oracles count in.

A perp's oracle takes prices from many venues, mostly in dollars or another stablecoin, and
the spot leg is quoted in ours. Where one wrapped coin depegs, one pair shows it; where the
quote asset does, all do. So the median over the pairs is an estimate of the quote asset, by a
reference that is in every venue's data. It sees nothing of a quote asset in which the oracles
themselves count (on Hyperliquid, HYPE's and PURR's).
"""

from collections.abc import Iterable
from statistics import median

PAIRS_MIN = 3
"""Of fewer, the coin and the quote asset cannot be told apart."""


def quote_dislocation(legs: Iterable[tuple[float, float]]) -> float | None:
    """Median of ``spot / oracle - 1`` over (spot mid, oracle) of pairs; None of too few.

    Positive: spots are dear, the quote asset is worth less than what the oracles count in.

    >>> quote_dislocation([(103.0, 100.0), (206.0, 200.0), (50.0, 50.0)])
    0.03
    """
    found = [spot / oracle - 1.0 for spot, oracle in legs]
    return round(median(found), 12) if len(found) >= PAIRS_MIN else None
