"""What getting into a pair and out of it again costs, at the actual size.

All costs are positive fractions of one leg's notional.
"""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from domain.instruments import Kind, Pair
from domain.market import Level
from strategies.market.state import InstrumentState, walk


class RoundTrip(msgspec.Struct, frozen=True):
    """Cost of one entry and one exit, each leg traded once each way.

    ``maker_leg`` rests post-only and pays the maker fee at the mid: what it
    earns of the spread it is taken to lose again to those who know better. The
    other leg takes: taker fee, half the spread, and slippage by walking the
    book for the whole size. ``urgent_exit_cost`` takes on both legs.
    """

    maker_leg: Kind
    entry_cost: float
    exit_cost: float
    urgent_exit_cost: float

    @property
    def total(self) -> float:
        return self.entry_cost + self.exit_cost


def round_trip(
    pair: Pair, spot: InstrumentState, perp: InstrumentState, quantity: float
) -> RoundTrip | None:
    """Cost of long spot against short perp, ``quantity`` base units each; the cheaper plan.

    The leg that is dearer to take is the one that rests. None where the books
    show less than ``quantity`` for every plan.
    """
    assert quantity > 0.0, "Invariant: nothing has no price"
    spot_fees, perp_fees = pair.spot.fees, pair.perp.fees
    buy_spot = _taking(spot.asks, spot.mid, quantity, spot_fees.taker)
    sell_spot = _taking(spot.bids, spot.mid, quantity, spot_fees.taker)
    sell_perp = _taking(perp.bids, perp.mid, quantity, perp_fees.taker)
    buy_perp = _taking(perp.asks, perp.mid, quantity, perp_fees.taker)
    plans = []
    if sell_perp is not None and buy_perp is not None:
        resting = float(spot_fees.maker)
        plans.append((Kind.SPOT, resting + sell_perp, resting + buy_perp))
    if buy_spot is not None and sell_spot is not None:
        resting = float(perp_fees.maker)
        plans.append((Kind.PERP, resting + buy_spot, resting + sell_spot))
    if not plans or sell_spot is None or buy_perp is None:
        return None
    maker_leg, entry_cost, exit_cost = min(plans, key=lambda plan: plan[1] + plan[2])
    return RoundTrip(maker_leg, entry_cost, exit_cost, sell_spot + buy_perp)


def _taking(
    levels: Sequence[Level], mid: float | None, quantity: float, fee: Decimal
) -> float | None:
    if mid is None:
        return None
    taken = walk(levels, quantity)
    if taken.filled < quantity:
        return None
    return abs(taken.average / mid - 1.0) + float(fee)
