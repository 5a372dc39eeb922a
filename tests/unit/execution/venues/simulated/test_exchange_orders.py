"""Orders against a given book: taking, resting, queueing, refusing."""

from decimal import Decimal

import pytest

from domain.orders import (
    CancelReason,
    CancelRejected,
    Fill,
    Liquidity,
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
    OrderStatus,
    Side,
    TimeInForce,
)
from domain.time import SECOND
from execution.venues.simulated.rules import VenueRules
from execution.venues.simulated.state import VenueEvent
from tests.unit.execution.venues.simulated.world import SPOT, World, events_of

BUY, SELL = Side.BUY, Side.SELL
GTC, POST_ONLY, IOC = TimeInForce.GTC, TimeInForce.POST_ONLY, TimeInForce.IOC


def trades(events: list[VenueEvent]) -> list[tuple[str, str]]:
    return [(str(fill.price), str(fill.quantity)) for fill in events_of(Fill, events)]


def world_with_book() -> World:
    world = World()
    world.book([(99.0, 5.0), (98.0, 5.0)], [(100.0, 1.0), (101.0, 2.0), (102.0, 4.0)])
    return world


def test_a_taker_walks_the_levels_with_one_fill_each() -> None:
    world = world_with_book()

    events = world.order(BUY, "2", "101")

    assert isinstance(events[0], OrderAccepted)
    assert trades(events) == [("100.0", "1.00"), ("101.0", "1.00")]
    assert {fill.liquidity for fill in events_of(Fill, events)} == {Liquidity.TAKER}
    assert not events_of(OrderCanceled, events)


def test_an_ioc_takes_what_its_limit_reaches_and_cancels_the_rest() -> None:
    world = world_with_book()

    events = world.order(BUY, "10", "101")

    assert trades(events) == [("100.0", "1.00"), ("101.0", "2.00")]
    canceled = events_of(OrderCanceled, events)
    assert [(c.reason, c.filled) for c in canceled] == [(CancelReason.IOC, Decimal(3))]
    assert events[-1] == canceled[0]


def test_an_ioc_that_reaches_nothing_is_canceled_with_nothing_filled() -> None:
    events = world_with_book().order(BUY, "10", "99.5")

    canceled = events_of(OrderCanceled, events)
    assert [(c.reason, c.filled) for c in canceled] == [(CancelReason.IOC, Decimal(0))]
    assert not events_of(Fill, events)


def test_liquidity_taken_once_is_not_there_again_until_the_next_book() -> None:
    world = world_with_book()
    world.order(BUY, "1", "100")

    assert trades(world.order(BUY, "1", "100")) == []

    world.book([(99.0, 5.0)], [(100.0, 1.0)])
    assert trades(world.order(BUY, "1", "100")) == [("100.0", "1.00")]


def test_a_level_is_taken_piece_by_piece_until_it_is_gone() -> None:
    world = world_with_book()

    taken = [trades(world.order(BUY, "0.4", "100")) for _ in range(4)]

    assert [pieces[0][1] for pieces in taken[:3]] == ["0.40", "0.40", "0.20"]
    assert taken[3] == []


def test_part_of_a_lot_on_a_level_is_not_traded() -> None:
    world = World()
    world.book([(99.0, 5.0)], [(100.0, 1.009), (101.0, 2.0)])

    assert trades(world.order(BUY, "2", "101")) == [("100.0", "1.00"), ("101.0", "1.00")]


def test_a_gtc_takes_and_then_rests() -> None:
    world = world_with_book()

    events = world.order(BUY, "3", "100", tif=GTC, cloid="mine")

    assert trades(events) == [("100.0", "1.00")]
    report = world.exchange.order_report("mine", world.now_ns)
    assert (report.status, report.filled) == (OrderStatus.OPEN, Decimal(1))


def test_a_post_only_that_would_take_is_refused() -> None:
    events = world_with_book().order(BUY, "1", "100", tif=POST_ONLY)

    (rejected,) = events_of(OrderRejected, events)
    assert rejected.reason == (
        "Post only order would have immediately matched, bbo was 99.0@100.0."
    )


def test_a_post_only_inside_the_spread_rests_first_in_line() -> None:
    world = world_with_book()
    world.order(BUY, "1", "99.5", tif=POST_ONLY)

    assert trades(world.trade(99.5, 0.4, SELL)) == [("99.5", "0.40")]
    assert trades(world.trade(99.5, 5.0, SELL)) == [("99.5", "0.60")]


def test_a_resting_order_waits_for_the_queue_that_was_displayed_before_it() -> None:
    world = world_with_book()
    world.order(BUY, "1", "99", tif=POST_ONLY)

    assert trades(world.trade(99.0, 4.5, SELL)) == []
    assert trades(world.trade(99.0, 0.7, SELL)) == [("99", "0.20")]
    (fill,) = world.fills()
    assert fill.liquidity is Liquidity.MAKER


def test_a_print_by_our_own_side_does_not_move_the_queue() -> None:
    world = world_with_book()
    world.order(BUY, "1", "99", tif=POST_ONLY)

    world.trade(99.0, 5.0, BUY)

    assert trades(world.trade(99.0, 5.0, SELL)) == []


def test_the_queue_is_never_longer_than_what_the_book_now_shows() -> None:
    world = world_with_book()
    world.order(BUY, "1", "99", tif=POST_ONLY)

    world.book([(99.0, 0.5)], [(100.0, 1.0)])
    world.book([(99.0, 50.0)], [(100.0, 1.0)])

    assert trades(world.trade(99.0, 1.0, SELL)) == [("99", "0.50")]


def test_a_level_beyond_the_displayed_depth_has_an_unknown_queue() -> None:
    world = world_with_book()
    world.order(BUY, "1", "97", tif=POST_ONLY)

    assert trades(world.trade(97.0, 1000.0, SELL)) == []
    world.book([(97.0, 3.0)], [(98.0, 1.0)])
    assert trades(world.trade(97.0, 3.5, SELL)) == [("97", "0.50")]


def test_a_print_through_our_price_fills_us_at_our_price() -> None:
    world = world_with_book()
    world.order(BUY, "1", "99", tif=POST_ONLY)

    assert trades(world.trade(98.5, 0.3, SELL)) == [("99", "0.30")]
    assert trades(world.trade(98.5, 9.0, SELL)) == [("99", "0.70")]


def test_a_book_that_crosses_us_fills_us_at_our_price_up_to_its_size() -> None:
    world = world_with_book()
    world.order(BUY, "3", "99", tif=POST_ONLY)

    events = world.book([(97.0, 5.0)], [(98.0, 1.0), (99.0, 0.5), (99.5, 7.0)])

    assert trades(events) == [("99", "1.00"), ("99", "0.50")]


def test_a_book_that_was_made_from_a_bar_fills_nobody_and_prints_no_more_than_was_traded() -> None:
    world = World(rules=VenueRules(filled_by_books=False))
    world.book([(99.0, 1.0)], [(101.0, 1.0)])
    world.order(BUY, "3", "99", tif=POST_ONLY)

    assert trades(world.book([(97.0, 5.0)], [(98.0, 1.0)])) == []
    assert trades(world.trade(98.0, 0.25, SELL)) == [("99", "0.25")]


def test_a_book_on_our_side_only_does_not_fill_us() -> None:
    world = world_with_book()
    world.order(SELL, "1", "101", tif=POST_ONLY)

    assert trades(world.book([(100.9, 5.0)], [(101.0, 1.0)])) == []
    assert trades(world.book([(101.0, 5.0)], [(101.5, 1.0)])) == [("101", "1.00")]


def test_one_print_is_shared_best_price_first() -> None:
    world = world_with_book()
    world.order(BUY, "1", "99.2", tif=POST_ONLY, cloid="behind")
    world.order(BUY, "1", "99.5", tif=POST_ONLY, cloid="ahead")

    fills = events_of(Fill, world.trade(99.1, 1.5, SELL))

    assert [(fill.cloid, str(fill.quantity)) for fill in fills] == [
        ("ahead", "1.00"),
        ("behind", "0.50"),
    ]


@pytest.mark.parametrize(
    ("quantity", "price", "reason"),
    [
        ("0", "100", "Order has zero size."),
        ("1.001", "100", "Order has invalid size"),
        ("1", "100.001", "Price must be divisible by tick size."),
        ("0.09", "100", "Order must have minimum value of $10."),
        ("1000000", "100", "Insufficient margin to place order."),
    ],
)
def test_a_bad_order_is_refused_in_the_venues_words(quantity: str, price: str, reason: str) -> None:
    events = world_with_book().order(BUY, quantity, price)

    assert [rejected.reason for rejected in events_of(OrderRejected, events)] == [reason]
    assert len(events) == 1


def test_whole_numbers_are_valid_prices_beyond_five_figures() -> None:
    world = World({"USDC": "1000000"})

    assert events_of(OrderAccepted, world.order(BUY, "0.1", "123456"))
    assert events_of(OrderRejected, world.order(BUY, "0.1", "123456.5"))


def test_the_spot_minimum_is_in_the_quote() -> None:
    events = World().order(BUY, "0.01", "100", instrument=SPOT)

    (rejected,) = events_of(OrderRejected, events)
    assert rejected.reason == "Order must have minimum value of 10 USDC."


def test_an_expired_request_never_lands() -> None:
    world = world_with_book()

    events = world.order(BUY, "1", "100", expires_in=-1, cloid="late")

    (rejected,) = events_of(OrderRejected, events)
    assert rejected.reason == "Action already expired"
    assert not world.fills()


def test_expiry_bounds_the_request_and_not_the_resting_order() -> None:
    world = world_with_book()
    world.order(BUY, "1", "99.5", tif=GTC, expires_in=0)

    world.wait(60 * SECOND)

    assert trades(world.trade(99.0, 1.0, SELL)) == [("99.5", "1.00")]


def test_a_client_id_is_taken_once() -> None:
    world = world_with_book()
    world.order(BUY, "1", "100", cloid="same")

    events = world.order(BUY, "1", "101", cloid="same")

    (rejected,) = events_of(OrderRejected, events)
    assert rejected.reason == "duplicate client order id"
    report = world.exchange.order_report("same", world.now_ns)
    assert (report.status, report.filled) == (OrderStatus.FILLED, Decimal(1))


def test_reports_tell_every_fate_apart() -> None:
    world = world_with_book()
    world.order(BUY, "1", "100", cloid="filled")
    world.order(BUY, "1", "99", tif=GTC, cloid="open")
    world.order(BUY, "1", "98", tif=GTC, cloid="canceled")
    world.exchange.cancel("canceled", world.now_ns)
    world.order(BUY, "0", "99", cloid="rejected")

    statuses = {
        cloid: world.exchange.order_report(cloid, world.now_ns).status
        for cloid in ("filled", "open", "canceled", "rejected", "never_seen")
    }

    assert statuses == {cloid: OrderStatus(cloid) for cloid in statuses}


def test_a_cancel_is_final_and_a_second_finds_nothing() -> None:
    world = world_with_book()
    world.order(BUY, "1", "99", tif=GTC, cloid="mine")

    (canceled,) = world.exchange.cancel("mine", world.now_ns)
    (refused,) = world.exchange.cancel("mine", world.now_ns)

    assert isinstance(canceled, OrderCanceled)
    assert canceled.reason is CancelReason.REQUESTED
    assert isinstance(refused, CancelRejected)
    assert trades(world.trade(90.0, 100.0, SELL)) == []


def test_reduce_only_on_a_flat_position_is_refused() -> None:
    events = world_with_book().order(SELL, "1", "99", reduce_only=True)

    (rejected,) = events_of(OrderRejected, events)
    assert rejected.reason == "Reduce only order would increase position."


def test_reduce_only_is_capped_to_the_position() -> None:
    world = world_with_book()
    world.order(BUY, "1", "100")

    events = world.order(SELL, "3", "99", reduce_only=True)

    assert trades(events) == [("99.0", "1.00")]
    (canceled,) = events_of(OrderCanceled, events)
    assert (canceled.reason, canceled.filled) == (CancelReason.REDUCE_ONLY, Decimal(1))
    assert world.is_flat()


def test_a_resting_reduce_only_order_goes_when_its_position_is_gone() -> None:
    world = world_with_book()
    world.order(BUY, "1", "100")
    world.order(SELL, "1", "105", tif=GTC, reduce_only=True, cloid="target")

    events = world.order(SELL, "1", "99")

    (canceled,) = events_of(OrderCanceled, events)
    assert (canceled.cloid, canceled.reason) == ("target", CancelReason.REDUCE_ONLY)


def test_a_resting_reduce_only_order_never_flips_a_position_that_shrank() -> None:
    world = world_with_book()
    world.order(BUY, "3", "101")
    world.order(SELL, "3", "105", tif=GTC, reduce_only=True)
    world.order(SELL, "2", "99")

    events = world.trade(106.0, 100.0, BUY)

    assert trades(events) == [("105", "1.00")]
    assert world.is_flat()


def test_a_spot_buy_pays_its_fee_in_what_it_bought() -> None:
    world = World()
    world.book([(99.0, 50.0)], [(100.0, 50.0)], SPOT)

    (fill,) = events_of(Fill, world.order(BUY, "10", "100", instrument=SPOT))

    assert (fill.fee.amount, fill.fee.asset) == (Decimal("0.007"), "HYPE")
    assert world.total("HYPE") == Decimal("9.993")
    assert world.total() == Decimal(9000)


def test_a_spot_sell_pays_its_fee_in_the_quote() -> None:
    world = World({"USDC": "10", "HYPE": "10"})
    world.book([(99.0, 50.0)], [(100.0, 50.0)], SPOT)

    (fill,) = events_of(Fill, world.order(SELL, "10", "99", instrument=SPOT))

    assert (fill.fee.amount, fill.fee.asset) == (Decimal("0.693"), "USDC")
    assert world.total() == Decimal("999.307")
    assert world.total("HYPE") == 0


def test_what_backs_a_resting_spot_order_cannot_back_another() -> None:
    world = World({"USDC": "1000", "HYPE": "1"})
    world.book([(99.0, 50.0)], [(100.0, 50.0)], SPOT)
    world.order(BUY, "6", "99", tif=GTC, instrument=SPOT)
    world.order(SELL, "0.6", "120", tif=GTC, instrument=SPOT)

    assert world.free() == Decimal(1000 - 594)
    assert world.free("HYPE") == Decimal("0.4")
    for side, quantity in ((BUY, "5"), (SELL, "0.5")):
        price = "99" if side is BUY else "120"
        (rejected,) = world.order(side, quantity, price, tif=GTC, instrument=SPOT)
        assert isinstance(rejected, OrderRejected)
        assert rejected.reason == "Order has insufficient spot balance to trade"


def test_a_canceled_order_frees_what_backed_it() -> None:
    world = World({"USDC": "1000"})
    world.order(BUY, "6", "99", tif=GTC, instrument=SPOT, cloid="mine")

    world.exchange.cancel("mine", world.now_ns)

    assert world.free() == Decimal(1000)


def test_an_order_whose_margin_is_gone_when_it_would_fill_is_canceled() -> None:
    world = World({"USDC": "1000"})
    world.book([(90.0, 100.0)], [(100.0, 100.0)])
    world.order(BUY, "95", "100")
    for cloid in ("closes", "would open"):
        assert events_of(OrderAccepted, world.order(SELL, "95", "91", tif=GTC, cloid=cloid))

    events = world.trade(92.0, 1000.0, BUY)

    assert [fill.cloid for fill in events_of(Fill, events)] == ["closes"]
    assert [(c.cloid, c.reason) for c in events_of(OrderCanceled, events)] == [
        ("would open", CancelReason.MARGIN)
    ]
    assert world.free() == world.total() > 0


def test_every_request_is_in_the_venues_own_log() -> None:
    world = world_with_book()
    world.order(BUY, "1", "100", cloid="a")
    world.order(BUY, "0", "100", cloid="b")
    world.exchange.cancel("c", world.now_ns)
    world.leverage(3)
    world.margin("1")

    outcomes = [(request.action, request.outcome) for request in world.exchange.requests]

    assert outcomes == [
        ("place", "accepted"),
        ("place", "Order has zero size."),
        ("cancel", "refused"),
        ("set_leverage", "LeverageConfirmed"),
        ("move_margin", "MarginMoved"),
    ]
