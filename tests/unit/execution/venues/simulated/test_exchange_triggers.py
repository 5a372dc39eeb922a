"""Orders that wait for the mark: they are in no book, back nothing, and open nothing."""

from decimal import Decimal

import pytest

from domain.market import Delisted
from domain.orders import (
    CancelReason,
    Fill,
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
    OrderStatus,
    Side,
)
from execution.venues.simulated.exchange import Exchange
from tests.unit.execution.venues.simulated.world import World, events_of

STOP = "stop"


def long(quantity: str = "10", stop: str = "28", bound: str = "25") -> World:
    """Ten long at 30, and a stop."""
    world = World()
    world.flat_book(30.0)
    world.reference(30.0)
    world.leverage(3)
    world.order(Side.BUY, "10", "30")
    world.order(Side.SELL, quantity, bound, reduce_only=True, trigger=stop, cloid=STOP)
    return world


def status(world: World) -> OrderStatus:
    return world.exchange.order_report(STOP, world.now_ns).status


def test_a_stop_waits_for_the_mark_and_for_nothing_else() -> None:
    world = long()
    assert world.exchange.account_report(None, world.now_ns).open_orders == (STOP,)
    free = world.free()

    world.flat_book(27.0)
    world.trade(27.0, 100.0, Side.SELL)
    world.reference(28.01)

    assert status(world) is OrderStatus.OPEN
    assert world.position().quantity == 10
    assert world.free() == free
    assert world.exchange.resting == frozenset()


def test_at_its_mark_it_takes_what_the_book_has() -> None:
    world = long()
    world.book([(27.9, 4.0), (27.5, 6.0)], [(28.1, 10.0)])

    told = world.reference(28.0)

    fills = events_of(Fill, told)
    assert [(f.cloid, f.price, f.quantity) for f in fills] == [
        (STOP, Decimal("27.9"), Decimal(4)),
        (STOP, Decimal("27.5"), Decimal(6)),
    ]
    assert world.is_flat()
    assert status(world) is OrderStatus.FILLED


def test_a_stop_of_a_short_waits_for_a_rise() -> None:
    world = World()
    world.flat_book(30.0)
    world.reference(30.0)
    world.leverage(3)
    world.order(Side.SELL, "10", "30")
    world.order(Side.BUY, "10", "35", reduce_only=True, trigger="32", cloid=STOP)

    world.reference(29.0)
    assert world.position().quantity == -10
    world.reference(32.0)
    assert world.is_flat()


def test_what_its_bound_does_not_reach_is_canceled() -> None:
    world = long(bound="27.8")
    world.book([(27.9, 4.0), (27.5, 6.0)], [(28.1, 10.0)])

    (canceled,) = events_of(OrderCanceled, world.reference(28.0))

    assert (canceled.reason, canceled.filled) == (CancelReason.IOC, Decimal(4))
    assert world.position().quantity == 6


def test_it_closes_no_more_than_there_is_and_opens_nothing() -> None:
    world = long()
    world.order(Side.SELL, "7", "30", reduce_only=True)
    assert status(world) is OrderStatus.OPEN

    world.reference(28.0)
    assert world.is_flat()

    gone = long()
    gone.order(Side.SELL, "10", "30", reduce_only=True)
    assert status(gone) is OrderStatus.OPEN  # it outlives what it was for
    (canceled,) = events_of(OrderCanceled, gone.reference(28.0))
    assert canceled.reason is CancelReason.REDUCE_ONLY
    assert gone.is_flat()


def test_two_stops_at_one_mark_close_the_position_once() -> None:
    world = long()
    world.order(Side.SELL, "10", "25", reduce_only=True, trigger="28", cloid="other")

    told = world.reference(28.0)

    assert sum(f.quantity for f in events_of(Fill, told)) == 10
    assert world.is_flat()
    assert world.exchange.account_report(None, world.now_ns).open_orders == ()


def test_it_is_canceled_like_any_other() -> None:
    world = long()

    (canceled,) = world.exchange.cancel(STOP, world.now_ns)

    assert isinstance(canceled, OrderCanceled)
    world.reference(26.0)
    assert world.position().quantity == 10


def test_a_liquidation_takes_it_along() -> None:
    world = long(stop="2", bound="1.5")

    told = world.reference(20.0)

    assert any(e.reason is CancelReason.LIQUIDATION for e in events_of(OrderCanceled, told))
    assert world.exchange.account_report(None, world.now_ns).open_orders == ()


def test_a_delisting_takes_it_along() -> None:
    world = long()

    told = world.exchange.on_market(Delisted(world.perp.id, 30.0, world.now_ns, world.now_ns))

    assert [e.cloid for e in events_of(OrderCanceled, told)] == [STOP]
    assert world.exchange.account_report(None, world.now_ns).open_orders == ()


@pytest.mark.parametrize(
    ("trigger", "price", "quantity", "reason"),
    [
        ("30", "25", "10", "Invalid TP/SL price."),  # it is there already
        ("31", "25", "10", "Invalid TP/SL price."),
        ("28.123456", "25", "10", "Price must be divisible by tick size."),
        ("28", "25.123456", "10", "Price must be divisible by tick size."),
        ("28", "25", "0.01", "Order must have minimum value of $10."),
        ("28", "25", "10.001", "Order has invalid size"),
    ],
)
def test_a_stop_that_cannot_be_is_refused(
    trigger: str, price: str, quantity: str, reason: str
) -> None:
    world = long()

    (refused,) = world.order(Side.SELL, quantity, price, reduce_only=True, trigger=trigger)

    assert isinstance(refused, OrderRejected)
    assert refused.reason == reason


def test_spot_has_no_stops() -> None:
    world = long()

    (refused,) = world.order(
        Side.SELL, "10", "25", reduce_only=True, trigger="28", instrument=world.spot
    )

    assert isinstance(refused, OrderRejected)


def test_a_restored_exchange_still_has_it() -> None:
    world = long()
    exchange = world.exchange
    world.exchange = Exchange.restore(
        exchange.snapshot(), (world.perp, world.spot), world.rules, exchange.drain_records()
    )

    world.flat_book(28.0)
    world.reference(28.0)

    assert world.is_flat()


def test_a_stop_is_acknowledged_once_and_again_by_nothing() -> None:
    world = long()
    told = world.order(Side.SELL, "10", "25", reduce_only=True, trigger="27", cloid="second")
    assert [type(event) for event in told] == [OrderAccepted]
