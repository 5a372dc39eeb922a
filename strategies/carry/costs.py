"""What getting into a pair and out of it again costs, at the actual size.

All costs are positive fractions of one leg's notional.

**Whether an order that rests is filled.** It joins the touch and follows it: left behind by
more than ``reprice`` it is moved there, so it never rests farther than that beyond the nearest
touch there has been. Whatever happens in its queue, it is filled once the other side of the
book comes to it. That is when the price has come back from its farthest by the whole spread and
``reprice`` together, ``d`` in logs. What a Brownian motion of ``volatility`` has come back from
its lowest is distributed as the absolute value of one (Lévy), which has left ``(-d, d)`` by
time ``t`` with probability

    P(filled) = 2 Σ (-1)ᵏ erfc((2k + 1) d / (volatility √(2t))),   k = 0, 1, 2, …

(by images; Karatzas & Shreve, Brownian Motion and Stochastic Calculus, sections 2.8 and 3.6).
An order that stays where it is has half the first term, the reflection principle; the
barrier is that of Hasbrouck, Empirical Market Microstructure, on limit orders. It is a lower
bound: prints that reach the order before the whole spread is crossed are not counted.
"""

from collections.abc import Sequence
from decimal import Decimal
from math import erfc, log, sqrt

import msgspec

from domain.instruments import Kind, Pair
from domain.market import Level
from domain.orders import Side
from domain.targets import Legs
from strategies.market.state import InstrumentState, walk

SECONDS_PER_HOUR = 3600.0
_NEGLIGIBLE = 1e-12
_CERTAIN = 0.2
"""So near, in standard deviations, it is not filled with a chance of 1e-13."""


class Resting(msgspec.Struct, frozen=True):
    """How the execution works an order that rests: how long it waits for a fill, and how far
    (fraction of price) the touch may leave it behind."""

    patience_seconds: float
    reprice: float


class RoundTrip(msgspec.Struct, frozen=True):
    """Cost of one entry and one exit, each leg traded once each way.

    ``maker_leg`` rests post-only and pays the maker fee at the mid: what it
    earns of the spread it is taken to lose again to those who know better. The
    other leg takes: taker fee, half the spread, and slippage by walking the
    book for the whole size. Who is not filled in time gives an entry up, which costs
    nothing, but takes to get out: that leg's exit is the expected cost of the two.
    ``urgent_exit_cost`` takes on both legs.
    """

    maker_leg: Kind
    entry_cost: float
    exit_cost: float
    urgent_exit_cost: float

    @property
    def total(self) -> float:
        return self.entry_cost + self.exit_cost


def fill_probability(distance: float, volatility: float, hours: float) -> float:
    """At least this chance that an order which follows the touch is filled in ``hours``.

    ``distance`` in logs as above; ``volatility`` a fraction per square root of an hour.

    >>> round(fill_probability(0.0010, 0.005, 0.5), 4)
    1.0
    >>> round(fill_probability(0.0070, 0.005, 0.5), 4)
    0.0954
    """
    if volatility <= 0.0:
        return 0.0
    near = distance / (volatility * sqrt(hours))
    if near < _CERTAIN:
        return 1.0
    total, term, k = 0.0, 1.0, 0
    while term > _NEGLIGIBLE:
        term = 2.0 * erfc((2 * k + 1) * near / sqrt(2.0))
        total += term if k % 2 == 0 else -term
        k += 1
    return total


def round_trip(
    pair: Pair,
    spot: InstrumentState,
    perp: InstrumentState,
    quantity: float,
    resting: Resting,
    legs: Legs = Legs.CARRY,
) -> RoundTrip | None:
    """Cost of spot against perp, ``quantity`` base units each; the cheaper plan.

    The leg that is dearer to take is the one that rests. None where the books
    show less than ``quantity`` for every plan, or for leaving in a hurry.
    """
    assert quantity > 0.0, "Invariant: nothing has no price"
    (enter_spot, leave_spot), (enter_perp, leave_perp) = (
        _taking(state, side, quantity, leg.fees.taker)
        for state, leg in ((spot, pair.spot), (perp, pair.perp))
        for side in (legs.opens(leg.kind),)
    )
    if leave_spot is None or leave_perp is None:
        return None
    plans = []
    if enter_perp is not None:
        maker = float(pair.spot.fees.maker)
        out = _expected(maker, leave_spot, spot, resting)
        plans.append((Kind.SPOT, maker + enter_perp, out + leave_perp))
    if enter_spot is not None:
        maker = float(pair.perp.fees.maker)
        out = _expected(maker, leave_perp, perp, resting)
        plans.append((Kind.PERP, maker + enter_spot, out + leave_spot))
    if not plans:
        return None
    maker_leg, entry_cost, exit_cost = min(plans, key=lambda plan: plan[1] + plan[2])
    return RoundTrip(maker_leg, entry_cost, exit_cost, leave_spot + leave_perp)


def _expected(maker: float, taker: float, state: InstrumentState, resting: Resting) -> float:
    """Of an exit that rests, and takes once its patience is out."""
    assert state.bid, "Invariant: it was priced by taking"
    assert state.ask, "Invariant: it was priced by taking"
    distance = log(state.ask / state.bid) + resting.reprice
    hours = resting.patience_seconds / SECONDS_PER_HOUR
    filled = fill_probability(distance, state.volatility or 0.0, hours)
    return filled * maker + (1.0 - filled) * taker


def _taking(
    state: InstrumentState, opens: Side, quantity: float, fee: Decimal
) -> tuple[float | None, float | None]:
    """What taking costs on the way in, by the side that ``opens``, and on the way out."""
    both = (
        _side_cost(state.asks, state.mid, quantity, fee),
        _side_cost(state.bids, state.mid, quantity, fee),
    )
    return both if opens is Side.BUY else (both[1], both[0])


def _side_cost(
    levels: Sequence[Level], mid: float | None, quantity: float, fee: Decimal
) -> float | None:
    if mid is None:
        return None
    taken = walk(levels, quantity)
    if taken.filled < quantity:
        return None
    return abs(taken.average / mid - 1.0) + float(fee)
