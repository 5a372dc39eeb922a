"""What may have happened inside a bar: the road through its four prices.

A bar says where the price was, not when. The road goes first to the extreme that hurts
the perp that is held (the high a short one, the low a long one), then to the other,
then to the close: its margin meets the worst before any relief.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import ceil

STEP = 0.005
"""A step of a path is at most this share of the lower of its two ends."""

FINER = 10
"""While an order rests a step is walked in this many, at most 0.05 % each: a whole step
past its price would fill it late, and its hedge would pay for the distance. Walking
like that all the time would take six times as long and find the same fills."""

Candle = tuple[float, float, float, float]
"""open, the extreme that comes first, the other one, close"""


def walk(*legs: Candle) -> list[list[float]]:
    """One path a leg through its four prices: equally many points, in step.

    Every path begins at its open and ends at its close, stays inside its bar and
    moves at most ``STEP`` from point to point.

    >>> walk((200.0, 201.0, 199.5, 200.0), (10.0, 10.0, 10.0, 9.98))
    [[200.0, 201.0, 200.25, 199.5, 200.0], [10.0, 10.0, 10.0, 10.0, 9.98]]
    """
    if all(abs(first - then) <= min(first, then) * STEP for _, first, then, _ in legs):
        return [list(leg) for leg in legs]
    counts = [max(_steps(leg[i], leg[i + 1]) for leg in legs) for i in range(3)]
    return [_path(leg, counts) for leg in legs]


def finer(points: Sequence[float]) -> list[float]:
    """The same road with every step in ``FINER`` equal parts.

    >>> finer([100.0, 110.0, 110.0])[:3]
    [100.0, 101.0, 102.0]
    """
    steps = pairwise(points)
    return [a + (b - a) * i / FINER for a, b in steps for i in range(FINER)] + [points[-1]]


def finer_times(instants: Sequence[int]) -> list[int]:
    """When ``finer`` comes by: evenly between the instants of its steps."""
    steps = pairwise(instants)
    return [a + (b - a) * i // FINER for a, b in steps for i in range(FINER)] + [instants[-1]]


def times(open_ns: int, bar_ns: int, count: int) -> list[int]:
    """``count`` instants evenly inside a bar, the last one a millisecond before its end."""
    return [open_ns + bar_ns * i // count - 1_000_000 for i in range(1, count + 1)]


def _steps(a: float, b: float) -> int:
    low, high = (a, b) if a < b else (b, a)
    # One part in 10^9 keeps rounding from adding a step to a move of exactly STEP.
    return max(1, ceil((high - low) / (low * STEP) - 1e-9))


def _path(leg: Candle, counts: Sequence[int]) -> list[float]:
    points = [leg[0]]
    for start, end, count in zip(leg, leg[1:], counts, strict=False):
        move = end - start
        points += [start + move * i / count for i in range(1, count)]
        points.append(end)
    return points
