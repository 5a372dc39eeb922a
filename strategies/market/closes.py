"""What a row of hourly closes says: average, spread about it, RSI, range. Pure, floats.

Closes are oldest first, quote/base, without gaps.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import fsum, log, sqrt

from domain.time import HOUR
from strategies.market.state import InstrumentState


def whole_hours(state: InstrumentState, hours: int, now_ns: int) -> tuple[float, ...] | None:
    """The closes of the last ``hours`` whole hours; None unless every one of them is known."""
    last = now_ns // HOUR - 1
    kept = list(state.closes)
    if state.sampled_ns // HOUR == last:  # over, and nothing has been heard since
        kept.append((last, state.sampled_mid))
    kept = kept[-hours:]
    if len(kept) < hours or kept[-1][0] != last or kept[0][0] != last - hours + 1:
        return None
    return tuple(price for _, price in kept)


def average(closes: Sequence[float]) -> float:
    return fsum(closes) / len(closes)


def deviation(closes: Sequence[float]) -> float:
    """Standard deviation about the average, a fraction of it.

    >>> deviation((99.0, 101.0))
    0.01
    """
    mean = average(closes)
    return sqrt(fsum((close - mean) ** 2 for close in closes) / len(closes)) / mean


def hourly_volatility(closes: Sequence[float]) -> float:
    """Root mean square of the hourly log returns."""
    moves = [log(b / a) for a, b in pairwise(closes)]
    return sqrt(fsum(move * move for move in moves) / len(moves))


def rsi(closes: Sequence[float]) -> float:
    """Wilder's relative strength index over all given moves, plainly averaged: 0 to 100.

    ``100 × gains / (gains + losses)``; 50 where nothing moved (Wilder 1978, with the mean
    over the window instead of his running one).

    >>> rsi((1.0, 2.0, 3.0)), rsi((3.0, 2.0, 3.0)), rsi((1.0, 1.0))
    (100.0, 50.0, 50.0)
    """
    moves = [b - a for a, b in pairwise(closes)]
    gains = fsum(move for move in moves if move > 0.0)
    losses = -fsum(move for move in moves if move < 0.0)
    # The share first: it is at most one, whatever is rounded.
    return gains / (gains + losses) * 100.0 if gains + losses > 0.0 else 50.0
