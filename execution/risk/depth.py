"""What rests near the mid: how large an entry the books of a pair can take, and give back."""

from collections.abc import Iterable
from math import fsum, inf

from domain.market import Level


def depth_within(bids: Iterable[Level], asks: Iterable[Level], mid: float, share: float) -> float:
    """Notional (quote) resting within ``share`` of ``mid`` on the thinner side of one book.

    Both sides count: what is bought has to be sold again. What is no positive finite price
    and size ends a side, so a damaged book is only ever too thin.

    >>> depth_within([Level(99.0, 1.0), Level(90.0, 5.0)], [Level(101.0, 2.0)], 100.0, 0.02)
    99.0
    """
    return min(_side(bids, mid * (1.0 - share), inf), _side(asks, 0.0, mid * (1.0 + share)))


def _side(levels: Iterable[Level], least: float, most: float) -> float:
    near = []
    for level in levels:
        price, size = level.price, level.size
        if not (0.0 < size < inf and 0.0 < price < inf and least <= price <= most):
            break
        near.append(price * size)
    return fsum(near)
