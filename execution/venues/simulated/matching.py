"""Matching against a given book: what can be taken, and where a resting order stands in line.

The market does not react to us: our fills never move the given book. But within
one book the liquidity we took is gone, until the next book says otherwise.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal

from domain.instruments import Instrument
from domain.market import Book, Level, Trade
from domain.money import ZERO, decimal_of
from domain.orders import Side
from execution.venues.simulated.state import Market, OpenOrder

UNKNOWN_QUEUE = Decimal("Infinity")


def whole_lots(instrument: Instrument, quantity: Decimal) -> Decimal:
    """The largest multiple of the lot not above ``quantity``."""
    return quantity // instrument.lot * instrument.lot


def crosses(side: Side, limit: Decimal, price: Decimal) -> bool:
    """Whether an order of ``side`` at ``limit`` may trade at ``price`` of the other side."""
    return price <= limit if side is Side.BUY else price >= limit


def opposing(market: Market, side: Side) -> tuple[tuple[Level, ...], dict[int, Decimal]]:
    """The levels that an order of ``side`` takes from, best first, and what we took of them."""
    if market.book is None:
        return (), {}
    if side is Side.BUY:
        return market.book.asks, market.taken_asks
    return market.book.bids, market.taken_bids


def available(
    market: Market, side: Side, limit: Decimal | None
) -> Iterator[tuple[int, Decimal, Decimal]]:
    """Level index, price and untaken size, best first, as far as ``limit`` reaches."""
    levels, taken = opposing(market, side)
    for index, level in enumerate(levels):
        price = decimal_of(level.price)
        if limit is not None and not crosses(side, limit, price):
            return
        size = decimal_of(level.size) - taken.get(index, ZERO)
        if size > 0:
            yield index, price, size


def take(market: Market, side: Side, index: int, quantity: Decimal) -> None:
    """Remember that an order of ``side`` took ``quantity`` of that level."""
    _, taken = opposing(market, side)
    taken[index] = taken.get(index, ZERO) + quantity


def displayed(book: Book, side: Side, price: float) -> float | None:
    """Size shown at ``price`` on ``side``; None where the book does not reach that far."""
    levels = book.bids if side is Side.BUY else book.asks
    for level in levels:
        if level.price == price:
            return level.size
        if (level.price < price) is (side is Side.BUY):
            return 0.0
    return None


def join_queue(market: Market, order: OpenOrder) -> None:
    """Stand behind all that is displayed at the order's price."""
    size = displayed(market.book, order.request.side, order.price) if market.book else 0.0
    order.queue_ahead = UNKNOWN_QUEUE if size is None else decimal_of(size)


def move_up(book: Book, order: OpenOrder) -> None:
    """Never behind more than the book now shows at the order's price."""
    size = displayed(book, order.request.side, order.price)
    if size is not None and order.queue_ahead:
        order.queue_ahead = min(order.queue_ahead, decimal_of(size))


def reaches(price: float, order: OpenOrder) -> bool:
    """Whether trading at ``price`` by the other side would touch a resting order.

    Floats suffice: equal decimals are equal floats.
    """
    return price <= order.price if order.request.side is Side.BUY else price >= order.price


def is_crossed(book: Book, order: OpenOrder) -> bool:
    """Whether the other side of ``book`` has come to the order's price."""
    levels = book.asks if order.request.side is Side.BUY else book.bids
    return bool(levels) and reaches(levels[0].price, order)


def by_priority(orders: Iterable[OpenOrder]) -> list[OpenOrder]:
    """Bids before asks, best price first, then oldest."""
    return sorted(
        orders,
        key=lambda order: (
            order.request.side,
            -order.request.side.sign * order.request.price,
            order.number,
        ),
    )


def reached(order: OpenOrder, trade: Trade) -> Decimal:
    """How much of a print that reaches ``order`` gets past its queue (base units).

    Moves the queue. A print through the order's price is wholly ours to share; one at
    its price first serves the queue.
    """
    quantity = decimal_of(trade.quantity)
    queue = order.queue_ahead if trade.price == order.price else ZERO
    order.queue_ahead = max(queue - quantity, ZERO)
    return max(quantity - queue, ZERO)
