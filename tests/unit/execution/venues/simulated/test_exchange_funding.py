"""Funding by the venue's formula, at its own hours, on what was held then."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from domain.account import FundingPayment, MarginMode
from domain.market import FundingSettled, Level, PerpContext
from domain.orders import Side
from domain.time import HOUR, MILLISECOND, MINUTE, SECOND
from execution.venues.simulated.funding import funding_rate, impact_price
from execution.venues.simulated.rules import VenueRules
from tests.unit.execution.venues.simulated.world import PERP, START, World, events_of

INTEREST_HOURLY = Decimal("0.0000125")


def short_100(world: World | None = None) -> World:
    world = world or World()
    world.flat_book(30.0)
    world.reference(30.0)
    world.leverage(2)
    world.order(Side.SELL, "100", "30")
    return world


def settled(world: World) -> list[FundingSettled]:
    return world.exchange.funding_published()


def test_a_short_receives_when_the_rate_is_positive() -> None:
    world = short_100()

    events = world.exchange.advance(START + HOUR)

    (payment,) = events_of(FundingPayment, events)
    assert payment.payment.amount == 100 * 30 * INTEREST_HOURLY
    assert (payment.position, payment.price, payment.rate) == (
        Decimal(-100),
        Decimal(30),
        INTEREST_HOURLY,
    )
    assert payment.venue_time_ns == payment.received_ns == START + HOUR


def test_constant_funding_adds_up_to_the_last_digit() -> None:
    world = short_100()

    for _ in range(24 * 60):
        world.wait(MINUTE)
        world.flat_book(30.0)
        world.reference(30.0)

    assert len(world.payments()) == 24
    assert world.position().margin == 1500 + 24 * 100 * 30 * INTEREST_HOURLY


def test_funding_of_a_cross_position_goes_to_the_balance() -> None:
    world = World()
    world.mode = MarginMode.CROSS
    world.leverage(2)
    world.flat_book(30.0)
    world.reference(30.0)
    world.order(Side.SELL, "100", "30")
    before = world.total()

    world.exchange.advance(START + HOUR)

    assert world.total() - before == 100 * 30 * INTEREST_HOURLY


def test_the_position_of_the_hour_is_charged_not_the_one_after_it() -> None:
    world = short_100()
    world.now_ns = START + HOUR

    world.order(Side.BUY, "100", "30")
    world.exchange.advance(START + 2 * HOUR)

    assert [payment.position for payment in world.payments()] == [-100]


def test_every_hour_that_passed_is_settled_at_its_own_time() -> None:
    world = short_100()

    world.exchange.advance(START + 3 * HOUR + MINUTE)

    hours = [START + HOUR, START + 2 * HOUR, START + 3 * HOUR]
    assert [rate.venue_time_ns for rate in settled(world)] == hours
    assert [rate.received_ns for rate in settled(world)] == hours
    assert len({payment.payment_id for payment in world.payments()}) == 3


def test_the_oracle_and_not_the_mark_values_funding() -> None:
    world = short_100()
    world.reference(mark=31.0, oracle=29.5)

    world.exchange.advance(START + HOUR)

    assert [payment.price for payment in world.payments()] == [Decimal("29.5")]


def test_without_an_oracle_the_last_mid_values_funding() -> None:
    world = World()
    world.book([(29.0, 1e6)], [(31.0, 1e6)])
    world.order(Side.SELL, "100", "29")

    world.exchange.advance(START + HOUR)

    assert [payment.price for payment in world.payments()] == [30]


def test_rates_are_published_without_a_position_and_charge_nothing() -> None:
    world = World()
    world.flat_book(30.0)
    world.reference(30.0)

    world.exchange.advance(START + HOUR)

    assert [rate.rate.per_interval for rate in settled(world)] == [1.25e-05]
    assert not world.payments()


@pytest.mark.parametrize(
    ("premium", "hourly"),
    [
        (0.0, 0.0000125),
        (0.0003, 0.0000125),  # within the clamp the interest rules
        (-0.0003, 0.0000125),
        (0.001, (0.001 - 0.0005) / 8),
        (-0.001, (-0.001 + 0.0005) / 8),
        (0.5, 0.04),  # capped
        (-0.5, -0.04),
    ],
)
def test_the_rate_follows_the_formula(premium: float, hourly: float) -> None:
    rate = funding_rate(premium, 1, VenueRules())

    assert rate.per_interval == pytest.approx(hourly, abs=1e-10)
    assert rate.interval_hours == 1


def test_eight_hours_of_the_same_premium_cost_the_same_hourly_or_at_once() -> None:
    hourly, at_once = (funding_rate(0.002, hours, VenueRules()) for hours in (1, 8))

    assert at_once.per_hour == pytest.approx(hourly.per_hour, abs=1e-10)


def test_the_impact_price_averages_over_the_depth_it_needs() -> None:
    levels = (Level(100.0, 10.0), Level(110.0, 100.0))

    assert impact_price(levels, 500.0) == 100.0
    assert impact_price(levels, 2100.0) == pytest.approx(105.0)
    assert impact_price(levels, 1e9) == pytest.approx(12_000 / 110)
    assert impact_price((), 1.0) is None


def test_the_premium_is_averaged_over_time_by_five_second_samples() -> None:
    world = World()
    world.reference(100.0)
    world.flat_book(100.0)
    world.wait(45 * MINUTE)
    world.flat_book(100.8)
    world.now_ns = START + HOUR

    world.exchange.advance(world.now_ns)

    # Three quarters at no premium, one at 0.8 %: 0.2 % on average.
    assert settled(world)[0].rate.per_interval == pytest.approx((0.002 - 0.0005) / 8, abs=1e-10)


def test_samples_do_not_depend_on_how_often_the_market_is_heard() -> None:
    seldom, often = World(), World()
    for world, step in ((seldom, 60), (often, 1)):
        world.reference(100.0)
        for second in range(0, 3600, step):
            world.now_ns = START + second * SECOND
            world.flat_book(100.0 + second // 60 * 0.05)
        world.exchange.advance(START + HOUR)

    assert settled(seldom) == settled(often)


def test_the_next_hour_starts_its_average_anew() -> None:
    world = World()
    world.reference(100.0)
    world.flat_book(102.0)
    world.now_ns = START + HOUR
    world.flat_book(100.0)

    world.exchange.advance(START + 2 * HOUR)

    rates = [rate.rate.per_interval for rate in settled(world)]
    assert rates[0] > 0.002
    assert rates[1] == 1.25e-05


def test_the_running_estimate_converges_to_what_is_settled() -> None:
    world = World()
    world.reference(100.0)
    world.flat_book(101.0)
    world.wait(30 * MINUTE)

    (context,) = events_of(PerpContext, world.reference(100.0))
    world.exchange.advance(START + HOUR)

    assert context.predicted == settled(world)[0].rate
    assert (context.mark, context.oracle) == (100.0, 100.0)


def test_a_venue_with_eight_hour_funding_settles_three_times_a_day() -> None:
    perp = replace(PERP, funding_interval_hours=8)
    world = short_100(World(perp=perp))

    world.exchange.advance(START + 24 * HOUR)

    assert [payment.interval_hours for payment in world.payments()] == [8, 8, 8]
    assert {payment.venue_time_ns // HOUR % 8 for payment in world.payments()} == {0}
    assert world.payments()[0].rate == Decimal("0.0001")


def test_a_recorded_rate_settles_at_its_hour_with_what_was_held_then() -> None:
    world = short_100()
    world.recorded(0.0001)
    world.now_ns = START + HOUR + MILLISECOND
    world.reference(33.0)
    world.order(Side.BUY, "60", "30")
    world.now_ns = START + HOUR + 5 * MILLISECOND

    events = world.recorded(-0.0002)

    (payment,) = events_of(FundingPayment, events)
    assert (payment.position, payment.price) == (Decimal(-100), Decimal(30))
    assert payment.payment.amount == Decimal("-0.6")
    assert payment.venue_time_ns == START + HOUR
    assert payment.received_ns == world.now_ns


def test_an_instrument_with_records_settles_on_nothing_else() -> None:
    world = short_100()
    world.recorded(0.0001)

    world.exchange.advance(START + 5 * HOUR)

    assert not world.payments()


def test_a_first_record_right_after_its_hour_is_not_charged_twice() -> None:
    world = short_100()
    world.now_ns = START + HOUR + MILLISECOND
    world.recorded(0.0003)
    world.now_ns += MILLISECOND
    world.recorded(0.0003)

    assert [payment.rate for payment in world.payments()] == [Decimal("0.0003")]
    assert len(settled(world)) == 1


def test_where_rates_are_recorded_the_last_one_is_the_estimate() -> None:
    world = World()
    world.now_ns = START + HOUR
    world.recorded(0.0007)
    world.flat_book(130.0)

    (context,) = events_of(PerpContext, world.reference(100.0))

    assert context.predicted.per_interval == 0.0007
