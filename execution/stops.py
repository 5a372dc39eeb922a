"""The stop of a perp that stands alone, as an order that waits at the venue. Pure.

The engine looks at the stop price at every mark, and its own way out (an IOC within a price
bound) comes first. What waits at the venue is for when nobody is there to look: it triggers
``ROOM`` beyond the stop, so that in an ordinary market the engine, a round trip behind the mark,
has acted by then; and it takes whatever the book has within ``SLIPPAGE``. Where both act the
second finds nothing: both are reduce-only.

``step`` keeps nothing between calls. A stop that is wrong (in size or price) goes only when the
right one is known to be there, so that for a moment there are two, and never none.
"""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from domain.instruments import Kind, Pair
from domain.money import ONE, ZERO, decimal_of
from domain.orders import Side, TimeInForce
from domain.time import SECOND
from execution.facts import Role
from execution.orders import Order, OrderState
from execution.pairs import PairTrade, Wanted, lead_remaining

ROOM = Decimal("0.005")
"""How far beyond the stop price it triggers, a share of it: liquidation is ten times as far."""
SLIPPAGE = Decimal("0.1")
"""What it may pay beyond its trigger: as much as the venue's own stops at market."""
RETRY_NS = 5 * SECOND
"""After one was refused, or ended unasked, the next waits so long."""
RESIZE_NS = 5 * SECOND
"""One that is too large closes no more than there is: it is made smaller at most this often."""
ALARM_NS = 10 * SECOND
"""For so long a perp may be without one before a person is told."""
_ABOVE_MINIMUM = Decimal("1.02")


class Guarding(msgspec.Struct, frozen=True):
    """What there is to do about the stop at the venue. ``is_right``: nothing, for as long as all
    stays as it is. ``is_missing``: less than all that is held has one."""

    cancel: tuple[Order, ...] = ()
    place: Wanted | None = None
    is_right: bool = False
    is_missing: bool = False


def step(
    pair: Pair,
    trade: PairTrade,
    perp: Decimal,
    mark: float | None,
    mid: float | None,
    live: Sequence[Order],
    now_ns: int,
) -> Guarding:
    """What makes the stop at the venue that of ``perp`` (signed base units held).

    ``mark`` and ``mid`` are the perp's, ``live`` the trade's orders of which something may still
    come.
    """
    stops = [o for o in live if o.role is Role.STOP]
    waiting = [o for o in stops if o.state is OrderState.OPEN]
    wanted = _wanted(pair, trade, perp, mid)
    if wanted is None:
        return Guarding(cancel=tuple(waiting), is_right=not stops)
    right = [o for o in waiting if _is_as(o, wanted)]
    if right:
        others = tuple(o for o in waiting if o is not right[0])
        return Guarding(cancel=others, is_right=len(stops) == 1)
    missing = all(o.remaining < wanted.quantity for o in waiting)
    wrong = Guarding(is_missing=missing)
    if any(o.state in (OrderState.PENDING, OrderState.UNKNOWN) for o in stops):
        return wrong  # its fate first: there are never more than two
    if now_ns - trade.stop_lost_ns < RETRY_NS:
        return wrong
    too_large = any(o.request.trigger == wanted.trigger for o in waiting) and not missing
    if too_large and now_ns - max(o.changed_ns for o in waiting) < RESIZE_NS:
        return wrong
    assert wanted.trigger is not None, "Invariant: a stop has a trigger"
    if mark is not None and (decimal_of(mark) - wanted.trigger) * wanted.side.sign >= ZERO:
        return wrong  # it would be refused: the engine is on its way out
    return msgspec.structs.replace(wrong, place=wanted)


def _wanted(pair: Pair, trade: PairTrade, perp: Decimal, mid: float | None) -> Wanted | None:
    """The stop that should wait; None where nothing is held that an order could close."""
    if not trade.legs.is_alone or trade.stop_price <= ZERO:
        return None
    leg, side = pair.perp, trade.legs.opens(Kind.PERP).opposite
    held = max(trade.legs.along(Kind.PERP, perp), ZERO)
    quantity = leg.floor_quantity(held)
    if quantity == ZERO:
        return None
    price = decimal_of(mid) if trade.is_closing and mid is not None else None
    if price is not None and lead_remaining(pair, held, ZERO, price) == ZERO:
        return None  # dust by the book: what waits at a dearer price would keep the trade open
    beyond = trade.stop_price * (ONE + side.sign * ROOM)
    trigger = leg.round_price(beyond, up=side is Side.SELL)
    bound = leg.round_price(trigger * (ONE + side.sign * SLIPPAGE), up=side is Side.BUY)
    if side is Side.SELL:  # a sale is worth what its bound says
        least = leg.minimum_notional * _ABOVE_MINIMUM / quantity
        bound = max(bound, leg.round_price(least, up=True))
    is_dust = (bound - trigger) * side.sign < ZERO or bound * quantity < leg.minimum_notional
    if is_dust:
        return None
    return Wanted(
        leg, side, quantity, bound, TimeInForce.IOC,
        reduce_only=True, role=Role.STOP, mid=trigger, trigger=trigger,
    )  # fmt: skip


def _is_as(order: Order, wanted: Wanted) -> bool:
    request = order.request
    ours = (request.side, order.remaining, request.trigger)
    return ours == (wanted.side, wanted.quantity, wanted.trigger)
