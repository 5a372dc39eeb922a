"""Margin, leverage and profit of one position, to the last digit."""

from decimal import Decimal

import pytest

from domain.account import (
    CashCause,
    Cashflow,
    LeverageConfirmed,
    MarginMode,
    MarginMoved,
    SettingRefused,
)
from domain.orders import Fill, OrderAccepted, OrderRejected, Side, TimeInForce
from execution.venues.simulated.state import VenueEvent
from tests.unit.execution.venues.simulated.world import World, events_of

BUY, SELL = Side.BUY, Side.SELL


def open_short(quantity: str = "100", price: float = 30.0, leverage: int = 2) -> World:
    world = World()
    world.flat_book(price)
    world.reference(price)
    world.leverage(leverage)
    world.order(SELL, quantity, str(price))
    return world


def refusal(events: list[VenueEvent]) -> str:
    (refused,) = events_of(SettingRefused, events)
    return refused.reason


def test_opening_moves_the_initial_margin_onto_the_position() -> None:
    world = open_short()

    position = world.position()

    assert position.quantity == -100
    assert position.entry_price == 30
    assert (position.leverage, position.mode) == (2, MarginMode.ISOLATED)
    assert position.margin == 1500
    assert position.raw_margin == 1500 + 3000
    assert world.total() == 10_000 - 1500 - Decimal("1.35")


def test_profit_is_quantity_times_price_change_to_the_last_digit() -> None:
    world = open_short(price=31.237)
    world.flat_book(29.113)

    world.order(BUY, "100", "29.113")

    fees = (Decimal("31.237") + Decimal("29.113")) * 100 * Decimal("0.00045")
    assert world.is_flat()
    assert world.total() == 10_000 + 100 * (Decimal("31.237") - Decimal("29.113")) - fees


def test_a_partial_close_returns_its_share_of_the_equity() -> None:
    world = open_short()
    world.flat_book(27.0)
    before = world.total()

    world.order(BUY, "25", "27")

    # Equity at 27 is 1500 + 300; a quarter of it comes back, less the fee.
    assert world.total() - before == Decimal(450) - Decimal(25) * 27 * Decimal("0.00045")
    assert world.position().quantity == -75
    assert world.position().raw_margin - 75 * 27 == 1350


def test_adding_averages_the_entry_price() -> None:
    world = open_short()
    world.flat_book(33.0)

    world.order(SELL, "50", "33")

    assert world.position().entry_price == 31
    assert world.position().raw_margin == 4500 + 50 * 33 + 825


def test_one_order_can_flip_a_position() -> None:
    world = open_short()

    world.order(BUY, "150", "30")

    position = world.position()
    assert (position.quantity, position.margin) == (Decimal(50), Decimal(750))
    assert world.total() == 10_000 - 750 - (Decimal(3000) + 4500) * Decimal("0.00045")


def test_closing_all_beyond_the_margin_takes_the_loss_from_the_balance() -> None:
    world = open_short(leverage=10)
    world.flat_book(36.0)

    world.order(BUY, "100", "36")

    assert world.is_flat()
    assert world.total() == 10_000 - 600 - (Decimal(3000) + 3600) * Decimal("0.00045")


def test_a_partial_close_beyond_the_margin_takes_nothing_from_the_balance() -> None:
    world = open_short(leverage=10)
    before = world.total()
    world.flat_book(36.0)

    world.order(BUY, "50", "36")

    assert world.total() == before - 50 * 36 * Decimal("0.00045")
    assert world.position().raw_margin - 50 * 36 == 300 - 600


def test_margin_moves_both_ways_but_never_below_the_initial_margin() -> None:
    world = open_short()
    fee = Decimal("1.35")

    (moved,) = world.margin("500.5")
    assert isinstance(moved, MarginMoved)
    assert moved.amount == Decimal("500.5")
    assert world.position().margin == Decimal("2000.5")
    assert world.total() == 10_000 - Decimal("2000.5") - fee

    assert refusal(world.margin("-500.6")).startswith("Margin cannot be reduced below")
    assert isinstance(world.margin("-500.5")[0], MarginMoved)
    assert world.position().margin == 1500


def test_margin_that_is_not_there_cannot_be_moved() -> None:
    world = open_short()

    assert refusal(world.margin("9000")).startswith("Insufficient margin")
    assert refusal(World().margin("1")).startswith("No open position")


def test_leverage_is_the_highest_until_it_is_set() -> None:
    world = World()
    world.flat_book(30.0)
    world.order(SELL, "100", "30")

    assert world.position().leverage == 10
    assert world.position().margin == 300


def test_leverage_is_read_back() -> None:
    world = World()

    (confirmed,) = world.leverage(3)

    assert isinstance(confirmed, LeverageConfirmed)
    assert (confirmed.leverage, confirmed.mode) == (3, MarginMode.ISOLATED)


@pytest.mark.parametrize("leverage", [0, 11])
def test_leverage_outside_the_tier_is_refused(leverage: int) -> None:
    assert refusal(World().leverage(leverage)).startswith("Invalid leverage value")


def test_lowering_leverage_moves_the_margin_it_asks_for() -> None:
    world = open_short(leverage=5)

    moved, confirmed = world.leverage(2)

    assert isinstance(moved, MarginMoved)
    assert moved.amount == 900
    assert isinstance(confirmed, LeverageConfirmed)
    assert world.position().margin == 1500


def test_lowering_leverage_without_the_margin_for_it_changes_nothing() -> None:
    world = World({"USDC": "1000"})
    world.flat_book(30.0)
    world.leverage(5)
    world.order(SELL, "100", "30")
    total = world.total()

    assert refusal(world.leverage(1)).startswith("Insufficient margin")

    assert (world.position().leverage, world.total()) == (5, total)


def test_raising_leverage_releases_nothing() -> None:
    world = open_short()

    assert len(world.leverage(5)) == 1
    assert world.position().margin == 1500
    assert isinstance(world.margin("-900")[0], MarginMoved)


def test_the_mode_cannot_change_under_an_open_position() -> None:
    world = open_short()

    events = world.exchange.set_leverage(
        "set", world.perp.id, 2, world.now_ns, mode=MarginMode.CROSS
    )

    assert refusal(events) == "Cannot switch leverage type with open position."


def test_spot_has_neither_leverage_nor_margin() -> None:
    world = World()

    events = world.exchange.set_leverage("set", world.spot.id, 2, world.now_ns)

    assert refusal(events).startswith("Leverage and margin are settings of a perpetual")


def test_a_position_beyond_the_tier_of_its_leverage_is_refused() -> None:
    world = World({"USDC": "10000000"})
    world.flat_book(30.0)
    world.leverage(10)

    (rejected,) = events_of(OrderRejected, world.order(SELL, "100000", "30"))
    assert rejected.reason.startswith("Order would cause position to exceed margin tier limit")

    world.leverage(5)
    assert events_of(OrderAccepted, world.order(SELL, "100000", "30"))


def test_a_marketable_sell_needs_margin_at_the_price_it_would_get() -> None:
    world = World({"USDC": "310"})
    world.flat_book(30.0)
    world.leverage(1)

    assert events_of(OrderRejected, world.order(SELL, "11", "1"))
    assert events_of(Fill, world.order(SELL, "10", "1"))


def test_a_resting_perp_order_holds_the_margin_of_what_it_would_open() -> None:
    world = World()
    world.book([(29.0, 10.0)], [(31.0, 10.0)])
    world.leverage(2)

    world.order(SELL, "100", "30", tif=TimeInForce.POST_ONLY)

    assert world.free() == 10_000 - 1500 - Decimal("0.45")
    assert world.total() == 10_000


def test_a_cross_position_keeps_no_margin_of_its_own() -> None:
    world = World()
    world.flat_book(30.0)
    world.mode = MarginMode.CROSS
    world.leverage(2)
    world.order(SELL, "100", "30")
    world.reference(29.0)

    assert world.position().margin == 100
    assert world.total() == 10_000 - Decimal("1.35")
    assert world.free() == world.total() - 1450 + 100
    assert refusal(world.margin("1")) == "Position does not use isolated margin."

    world.flat_book(29.0)
    world.order(BUY, "100", "29")
    assert world.total() == 10_100 - Decimal("1.35") - Decimal("1.305")


def test_deposits_are_the_first_of_the_history() -> None:
    world = World({"USDC": "500", "HYPE": "2"})

    flows = events_of(Cashflow, world.exchange.private_since(0))

    assert [(f.money.asset, f.money.amount, f.cause) for f in flows] == [
        ("HYPE", Decimal(2), CashCause.DEPOSIT),
        ("USDC", Decimal(500), CashCause.DEPOSIT),
    ]


def test_history_is_asked_for_by_time() -> None:
    world = open_short()
    world.wait()
    world.order(BUY, "1", "30")

    assert len(world.exchange.private_since(world.now_ns)) == 1
    assert len(world.exchange.private_since(world.now_ns + 1)) == 0
