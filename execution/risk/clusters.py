"""Where forced orders sit: an estimate of liquidations by price, for a perp.

No venue tells the leverage and the entry of other people's positions. This is an estimate,
not data, of a form known from public "liquidation heatmaps", and as good as its assumptions:

1. Every contract of the open interest is one long and one short, which began together at
   a price at which the perp was traded lately: in proportion to the volume there, and the
   less the longer ago (half of it after ``HALF_LIFE_HOURS``).
2. Leverage is one of the venue's greatest, its half, quarter and eighth, each as likely as the
   next: ``LADDER``. This is what is known least, so two others bound the result: the
   more likely the higher, and the more likely the lower the leverage is.
3. A position is isolated and not added to. It is liquidated where its margin ``1/L`` meets the
   maintenance of half the venue's greatest initial margin: a long from ``p`` at
   ``p (1 - 1/L) / (1 - m)``, a short at ``p (1 + 1/L) / (1 + m)``.
4. What a later price has reached is gone, and what is left makes up all the open interest.

Orders that are forced below the mark are sells of longs, above it buys of shorts.
"""

from collections.abc import Sequence
from math import floor, fsum, log1p

import msgspec

from domain.instruments import MarginTier
from domain.orders import Side
from domain.time import HOUR
from strategies.market.state import Traded

HALF_LIFE_HOURS = 24.0
LADDER = (1.0, 0.5, 0.25, 0.125)
STEP = 0.005
"""Width of a level, as a share of its price."""


class Level(msgspec.Struct, frozen=True):
    """Orders that would be forced at prices from ``low`` to ``high``; notional is quote.

    ``side`` is the orders': buys lie above the mark, sells below. ``least`` and ``most``
    are what the two other assumptions of leverage make of ``notional``.
    """

    side: Side
    low: float
    high: float
    notional: float
    least: float
    most: float


class _Forced(msgspec.Struct, frozen=True):
    """One piece of the open interest: where it is liquidated, on which rung of the ladder."""

    price: float
    rung: int
    weight: float


def levels(
    traded: Sequence[Traded],
    open_interest: float,
    mark: float,
    tiers: Sequence[MarginTier],
    now_ns: int,
) -> tuple[Level, ...]:
    """All levels with forced orders, by price; empty where nothing was traded.

    ``traded`` in order of time, ``open_interest`` in base units. The same input gives the same
    levels, byte for byte.
    """
    greatest = tiers[0].max_leverage
    scenarios = _scenarios()
    found: dict[tuple[int, Side], list[float]] = {}
    for side in (Side.SELL, Side.BUY):
        pieces = _surviving(traded, mark, greatest, side, now_ns)
        for number, shares in enumerate(scenarios):
            whole = fsum(piece.weight * shares[piece.rung] for piece in pieces)
            if whole <= 0.0:
                continue
            for piece in pieces:
                step = floor(log1p(piece.price / mark - 1.0) / log1p(STEP))
                sums = found.setdefault((step, side), [0.0] * len(scenarios))
                share = piece.weight * shares[piece.rung] / whole
                sums[number] += open_interest * share * piece.price
    return tuple(
        _level(step, side, found[step, side], mark)
        for step, side in sorted(found, key=lambda key: (key[0], key[1] is Side.BUY))
    )


def forced_within(
    levels: Sequence[Level], mark: float, side: Side, distance: float
) -> tuple[float, float, float]:
    """Notional (quote) of the forced orders of ``side`` within ``distance`` of the mark.

    As estimated, at least and at most. A level counts in whole once its near end is within.
    """
    near = [
        level
        for level in levels
        if level.side is side
        and (
            level.low <= mark * (1.0 + distance)
            if side is Side.BUY
            else level.high >= mark * (1.0 - distance)
        )
    ]
    return (
        fsum(level.notional for level in near),
        fsum(level.least for level in near),
        fsum(level.most for level in near),
    )


def hourly_volume(traded: Sequence[Traded]) -> float:
    """Average notional (quote) of an hour of what ``traded`` covers; zero of nothing."""
    hours = fsum(one.hours for one in traded)
    return fsum(one.volume * one.price for one in traded) / hours if hours > 0.0 else 0.0


def liquidated_at(price: float, leverage: float, greatest: float, side: Side) -> float:
    """Where a position from ``price`` is liquidated; ``side`` is the forced order's.

    >>> round(liquidated_at(100.0, 10.0, 10.0, Side.SELL), 4)  # a long
    94.7368
    >>> round(liquidated_at(100.0, 10.0, 10.0, Side.BUY), 4)
    104.7619
    """
    maintenance = 1.0 / (2.0 * greatest)
    if side is Side.SELL:
        return price * (1.0 - 1.0 / leverage) / (1.0 - maintenance)
    return price * (1.0 + 1.0 / leverage) / (1.0 + maintenance)


def _scenarios() -> tuple[tuple[float, ...], ...]:
    """How likely each rung is: alike, the higher the likelier, the lower the likelier."""
    total = fsum(LADDER)
    inverse = fsum(1.0 / rung for rung in LADDER)
    return (
        tuple(1.0 / len(LADDER) for _ in LADDER),
        tuple(rung / total for rung in LADDER),
        tuple(1.0 / rung / inverse for rung in LADDER),
    )


def _surviving(
    traded: Sequence[Traded], mark: float, greatest: float, side: Side, now_ns: int
) -> list[_Forced]:
    """What no later price has reached: going back in time, the furthest price so far is known."""
    pieces: list[_Forced] = []
    furthest = mark
    for one in reversed(traded):
        age_hours = max(now_ns - one.time_ns, 0) / HOUR
        weight = one.volume * 0.5 ** (age_hours / HALF_LIFE_HOURS)
        for rung, share in enumerate(LADDER):
            leverage = greatest * share
            if leverage <= 1.0:
                continue  # its margin covers its price: a long of it is never liquidated
            price = liquidated_at(one.price, leverage, greatest, side)
            if weight > 0.0 and (price < furthest if side is Side.SELL else price > furthest):
                pieces.append(_Forced(price, rung, weight))
        furthest = min(furthest, one.low) if side is Side.SELL else max(furthest, one.high)
    return pieces


def _level(step: int, side: Side, sums: list[float], mark: float) -> Level:
    low = mark * (1.0 + STEP) ** step
    return Level(side, low, low * (1.0 + STEP), sums[0], min(sums), max(sums))
