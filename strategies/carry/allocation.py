"""Capital over candidates: the best use first, each up to every cap it falls under."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from domain.instruments import Pair
from domain.money import ZERO


class Candidate(msgspec.Struct, frozen=True):
    """A pair that pays. ``score`` is expected net per unit of capital, ``capital`` the most it
    can use and ``least`` what it is not worth having less of (quote)."""

    pair: Pair
    score: float
    capital: Decimal
    least: Decimal = ZERO


def buckets(pair: Pair) -> tuple[str, ...]:
    """The caps that capital in this pair counts against."""
    return (
        f"pair {pair.name}",
        f"asset {pair.perp.base}",
        f"venue {pair.spot.venue}",
        *((f"venue {pair.perp.venue}",) if pair.perp.venue != pair.spot.venue else ()),
        "total",
    )


def allocate(candidates: Iterable[Candidate], room: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Capital granted by pair name, best score first (ties by name).

    ``room`` is what each of ``buckets`` still takes, quote. One more unit in a candidate is worth
    what the last was until a cap binds; so where each cap lies within the next, as at one venue,
    filling the best first is the optimum. What is too little for one is left to the next.
    """
    left = dict(room)
    granted: dict[str, Decimal] = {}
    for candidate in sorted(candidates, key=lambda c: (-c.score, c.pair.name)):
        names = buckets(candidate.pair)
        capital = max(ZERO, min(candidate.capital, *(left[name] for name in names)))
        if capital < candidate.least:
            capital = ZERO
        granted[candidate.pair.name] = capital
        for name in names:
            left[name] -= capital
    return granted
