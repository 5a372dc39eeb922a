"""Liquidation: where it is by the venue's formula, and what happens there."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from domain.account import CashCause, Cashflow, MarginMode
from domain.instruments import MarginTier
from domain.market import Delisted
from domain.money import exact
from domain.orders import (
    CancelReason,
    Fill,
    FillCause,
    OrderCanceled,
    OrderRejected,
    Side,
    TimeInForce,
)
from domain.time import SECOND
from execution.venues.simulated.margin import liquidation_price, maintenance, tier_at, tiers_of
from execution.venues.simulated.state import VenueEvent
from tests.unit.execution.venues.simulated.world import PERP, SPOT, World, events_of

BUY, SELL = Side.BUY, Side.SELL
TIERS = tiers_of(
    replace(
        PERP,
        margin_tiers=(
            MarginTier(Decimal(0), 40),
            MarginTier(Decimal(10_000), 25),
            MarginTier(Decimal(50_000), 3),
        ),
    )
)


def opened(side: Side, quantity: str, leverage: int, deposit: str = "1000000") -> World:
    world = World({"USDC": deposit})
    world.flat_book(100.0)
    world.reference(100.0)
    world.leverage(leverage)
    world.order(side, quantity, "100")
    return world


def liquidations(events: list[VenueEvent]) -> list[tuple[float, float]]:
    return [
        (float(fill.price), float(fill.quantity))
        for fill in events_of(Fill, events)
        if fill.cause is FillCause.LIQUIDATION
    ]


@pytest.mark.parametrize("notional", ["1", "10000", "10000.01", "49999", "50000", "1000000"])
def test_maintenance_is_half_the_initial_margin_of_each_slice(notional: str) -> None:
    amount = Decimal(notional)
    slices = (
        min(amount, Decimal(10_000)) / 80
        + max(min(amount, Decimal(50_000)) - 10_000, Decimal(0)) / 50
        + max(amount - 50_000, Decimal(0)) / 6
    )

    assert abs(maintenance(TIERS, amount) - slices) < Decimal("1e-20")


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("quantity", ["1", "95", "105", "400", "505", "5000"])
@pytest.mark.parametrize("leverage", [2, 3, 5, 20])
def test_the_liquidation_price_is_where_equity_meets_maintenance(
    sign: int, quantity: str, leverage: int
) -> None:
    size = sign * Decimal(quantity)
    raw = abs(size) * 100 / leverage - size * 100

    price = liquidation_price(TIERS, size, raw)

    if price is None:
        assert raw >= 0, "only a position that needs no price at all has no liquidation price"
        return
    need = maintenance(TIERS, abs(size) * price)
    assert abs(raw + size * price - need) < Decimal("1e-18")


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("quantity", ["50", "300", "2000"])
def test_the_liquidation_price_is_the_venues_formula(sign: int, quantity: str) -> None:
    mark, size = Decimal(100), Decimal(quantity)
    raw = size * 100 / 4 - sign * size * 100
    price = liquidation_price(TIERS, sign * size, raw)
    assert price is not None
    tier = tier_at(TIERS, size * price)
    required = size * mark * tier.rate - tier.deduction
    available = raw + sign * size * mark - required

    formula = mark - sign * available / size / (1 - tier.rate * sign)

    assert abs(formula - price) < Decimal("1e-20")


def test_a_long_with_its_whole_price_as_margin_is_never_liquidated() -> None:
    assert liquidation_price(TIERS, Decimal(10), Decimal(0)) is None
    assert liquidation_price(TIERS, Decimal(0), Decimal(10)) is None


@pytest.mark.parametrize(("side", "step"), [(BUY, -1), (SELL, 1)])
def test_the_first_mark_beyond_the_reported_price_liquidates_and_none_before(
    side: Side, step: int
) -> None:
    world = opened(side, "100", 5)
    price = world.position().liquidation_price
    assert price is not None
    tick = Decimal("0.0001") * step

    for mark in (price - 10 * tick, price - tick):
        assert not liquidations(world.reference(float(mark)))
    assert liquidations(world.reference(float(price + tick)))


def test_equity_exactly_at_maintenance_is_not_liquidated() -> None:
    # Short 100 at 100, margin 1000, maintenance 5 %: 11000 - 100 P = 5 P.
    world = opened(SELL, "100", 10)
    world.margin("500")

    assert world.position().liquidation_price == Decimal("109.52380952")
    world.margin("-500")
    world.margin("550")
    assert world.position().liquidation_price == 110
    assert not liquidations(world.reference(110.0))


def test_a_market_liquidation_closes_at_book_prices_and_returns_what_is_left() -> None:
    world = opened(SELL, "100", 5)
    before = world.total()
    world.book([(113.0, 500.0)], [(114.0, 60.0), (115.0, 60.0)])

    events = world.reference(114.5)

    assert liquidations(events) == [(114, 60), (115, 40)]
    assert {fill.cloid for fill in events_of(Fill, events)} == {None}
    fee = (Decimal(114) * 60 + Decimal(115) * 40) * Decimal("0.00045")
    assert world.is_flat()
    assert world.total() - before == 2000 - 14 * 60 - 15 * 40 - fee


def test_a_large_position_loses_a_fifth_first_and_all_of_it_within_the_cooldown() -> None:
    world = opened(SELL, "2000", 5)
    world.flat_book(115.0)

    assert liquidations(world.reference(115.0)) == [(115, 400)]
    assert world.position().quantity == -1600
    world.wait(29 * SECOND)
    world.flat_book(116.0)
    assert liquidations(world.reference(116.0)) == [(116, 1600)]
    assert world.is_flat()


def test_after_the_cooldown_a_large_position_again_loses_a_fifth() -> None:
    world = opened(SELL, "2000", 5)
    world.flat_book(115.0)
    world.reference(115.0)
    world.wait(30 * SECOND)
    world.flat_book(117.0)

    assert liquidations(world.reference(117.0)) == [(117, 320)]


def test_a_partial_liquidation_makes_the_rest_safer() -> None:
    world = opened(SELL, "2000", 5)
    before = world.position().liquidation_price
    world.flat_book(115.0)

    world.reference(115.0)

    after = world.position().liquidation_price
    assert before is not None
    assert after is not None
    assert after > before
    assert not liquidations(world.reference(115.0))


def test_below_two_thirds_of_maintenance_the_venue_takes_position_and_margin() -> None:
    world = opened(SELL, "100", 5)
    before = world.total()

    events = world.reference(117.0)

    assert liquidations(events) == [(117, 100)]
    (fill,) = events_of(Fill, events)
    (lost,) = events_of(Cashflow, events)
    assert fill.fee.amount == 0
    assert (lost.money.amount, lost.cause) == (
        Decimal(-300),
        CashCause.LIQUIDATION_PENALTY,
    )
    assert world.is_flat()
    assert world.total() == before


def test_a_gap_beyond_bankruptcy_costs_no_more_than_the_margin() -> None:
    world = opened(SELL, "100", 5)
    before = world.total()

    (flow,) = events_of(Cashflow, world.reference(150.0))

    assert flow.money.amount == 3000
    assert world.total() == before


def test_a_market_liquidation_never_trades_beyond_the_bankruptcy_price() -> None:
    world = opened(SELL, "100", 5)
    before = world.total()
    world.book([(113.0, 500.0)], [(114.0, 10.0), (125.0, 500.0)])

    assert liquidations(world.reference(114.5)) == [(114, 10)]
    assert world.position().quantity == -90
    assert world.total() == before


def test_a_liquidation_cancels_the_orders_of_its_market_only() -> None:
    world = opened(SELL, "100", 5)
    gtc = TimeInForce.GTC
    world.order(BUY, "10", "90", tif=gtc, cloid="perp")
    world.order(BUY, "10", "90", tif=gtc, cloid="spot", instrument=world.spot)

    events = world.reference(114.5)

    canceled = [(event.cloid, event.reason) for event in events_of(OrderCanceled, events)]
    assert canceled == [("perp", CancelReason.LIQUIDATION)]


def test_more_margin_moves_the_liquidation_price_away() -> None:
    world = opened(SELL, "100", 5)
    world.margin("2000")

    assert not liquidations(world.reference(120.0))
    assert liquidations(world.reference(134.0))


def test_a_cross_account_is_liquidated_on_all_it_has() -> None:
    world = World({"USDC": "2000"})
    world.flat_book(100.0)
    world.reference(100.0)
    world.mode = MarginMode.CROSS
    world.leverage(10)
    world.order(SELL, "100", "100")
    price = world.position().liquidation_price
    assert price is not None

    assert not liquidations(world.reference(float(price) - 0.01))
    assert liquidations(world.reference(float(price) + 0.01)) == [(100, 100)]


def test_the_backstop_of_a_cross_account_takes_its_balance() -> None:
    world = World({"USDC": "2000"})
    world.flat_book(100.0)
    world.mode = MarginMode.CROSS
    world.leverage(10)
    world.order(SELL, "100", "100")

    events = world.reference(119.0)

    assert events_of(Cashflow, events)[0].money.amount < 0
    assert world.is_flat()
    assert world.total() == 0


def test_auto_deleveraging_closes_a_share_of_a_winner_without_a_fee() -> None:
    world = opened(SELL, "100", 5)
    world.order(BUY, "80", "60", tif=TimeInForce.GTC, reduce_only=True)
    world.reference(80.0)

    (fill,) = world.exchange.auto_deleverage(PERP.id, Decimal("0.5"), Decimal(80), world.now_ns)

    assert isinstance(fill, Fill)
    assert (fill.cause, fill.cloid, fill.quantity) == (FillCause.ADL, None, Decimal(50))
    assert fill.fee.amount == 0
    assert world.position().margin == 2000
    *_, canceled = world.exchange.auto_deleverage(PERP.id, Decimal(1), Decimal(80), world.now_ns)
    assert isinstance(canceled, OrderCanceled)
    assert canceled.reason is CancelReason.REDUCE_ONLY


def test_a_bankrupt_position_is_not_deleveraged() -> None:
    world = opened(SELL, "100", 5)

    with pytest.raises(ValueError, match="no position that can be deleveraged"):
        world.exchange.auto_deleverage(PERP.id, Decimal(1), Decimal(130), world.now_ns)


def test_tier_arithmetic_is_exact_enough_to_run_where_rounding_is_trapped() -> None:
    with exact():
        assert maintenance(TIERS, Decimal("123456.789")) > 0


def delisted(world: World, instrument: str, price: float) -> list[VenueEvent]:
    return world.exchange.on_market(Delisted(instrument, price, world.now_ns, world.now_ns))


def test_a_delisted_perp_is_settled_without_a_fee_and_its_orders_are_cancelled() -> None:
    world = opened(SELL, "100", 5)
    before = world.total()
    world.order(BUY, "80", "60", tif=TimeInForce.GTC, reduce_only=True)

    canceled, fill = delisted(world, PERP.id, 90.0)

    assert isinstance(canceled, OrderCanceled)
    assert canceled.reason is CancelReason.DELISTING
    assert isinstance(fill, Fill)
    assert (fill.cause, fill.cloid, fill.price) == (FillCause.DELISTING, None, Decimal(90))
    assert fill.fee.amount == 0
    assert world.is_flat()
    assert world.total() == before + 2000 + 100 * (100 - 90)  # margin and profit
    (refused,) = world.order(SELL, "1", "90")
    assert isinstance(refused, OrderRejected)
    assert "delisted" in refused.reason


def test_a_delisted_token_becomes_quote_at_the_price_given() -> None:
    world = World({"USDC": "1000", "HYPE": "7.123"})

    (fill,) = delisted(world, SPOT.id, 20.0)

    assert isinstance(fill, Fill)
    assert (fill.side, fill.quantity, fill.cause) == (SELL, Decimal("7.123"), FillCause.DELISTING)
    report = world.exchange.account_report(None, world.now_ns)
    totals = {balance.asset: balance.total for balance in report.balances}
    assert (totals["USDC"], totals["HYPE"]) == (Decimal("1142.46"), Decimal(0))
    assert delisted(world, SPOT.id, 20.0) == []
