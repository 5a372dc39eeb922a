"""What a round trip costs, worked by hand; and whether what rests is filled, by closed forms
and by playing it."""

import random
from math import erfc, exp, fsum, log, pi, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.instruments import Instrument, Kind
from domain.market import Level
from domain.targets import Legs
from strategies.carry.costs import RoundTrip, fill_probability, round_trip
from strategies.market.state import InstrumentState, Market
from tests.unit.strategies.world import RESTING, book, observe, pair

HYPE = pair("HYPE")


RESTLESS = 0.01
"""One percent an hour: a spread of 2 bps is crossed all but surely within half an hour."""


def priced(
    quantity: float,
    *,
    spot_size: float = 100.0,
    perp_size: float = 100.0,
    volatility: float = RESTLESS,
    legs: Legs = Legs.CARRY,
) -> RoundTrip | None:
    market = observe(Market(), book(HYPE.spot, size=spot_size), book(HYPE.perp, size=perp_size))
    spot, perp = market.of(HYPE.spot.id), market.of(HYPE.perp.id)
    assert spot is not None
    assert perp is not None
    for state in (spot, perp):
        state.variance, state.sampled_hours = volatility**2, 2.0
    return round_trip(HYPE, spot, perp, quantity, RESTING, legs)


def test_a_small_trip_costs_fees_and_half_a_spread_on_the_taking_leg() -> None:
    trip = priced(1.0)

    assert trip is not None
    # Whichever leg rests, maker and taker fee are 4 + 4.5 or 1.5 + 7 bps; half of a 2 bps spread.
    assert trip.entry_cost == pytest.approx(0.00095)
    assert trip.exit_cost == pytest.approx(0.00095)
    assert trip.total == pytest.approx(0.0019)


def test_leaving_in_a_hurry_takes_on_both_legs() -> None:
    trip = priced(1.0)

    assert trip is not None
    assert trip.urgent_exit_cost == pytest.approx(0.0007 + 0.00045 + 2 * 0.0001)


def test_a_larger_size_walks_deeper_and_costs_more() -> None:
    small, large = priced(100.0), priced(300.0)

    assert small is not None
    assert large is not None
    # Three levels, a basis point apart, average one basis point below the best.
    assert large.entry_cost - small.entry_cost == pytest.approx(0.0001)


@pytest.mark.parametrize(
    ("spot_size", "perp_size", "resting"), [(10.0, 100.0, Kind.SPOT), (100.0, 10.0, Kind.PERP)]
)
def test_the_thinner_leg_rests(spot_size: float, perp_size: float, resting: Kind) -> None:
    trip = priced(60.0, spot_size=spot_size, perp_size=perp_size)

    assert trip is not None
    assert trip.maker_leg is resting


@pytest.mark.parametrize(
    ("spot_size", "perp_size", "rests", "takes"),
    [(10.0, 100.0, HYPE.spot, HYPE.perp), (100.0, 10.0, HYPE.perp, HYPE.spot)],
)
def test_the_leg_that_rests_pays_its_own_maker_fee_and_the_other_takes(
    spot_size: float, perp_size: float, rests: Instrument, takes: Instrument
) -> None:
    """The leg that takes has a hundred at the touch, a basis point from the mid."""
    trip = priced(60.0, spot_size=spot_size, perp_size=perp_size)
    cost = float(rests.fees.maker + takes.fees.taker) + 0.0001

    assert trip is not None
    assert (trip.entry_cost, trip.exit_cost) == pytest.approx((cost, cost))


def test_books_that_show_less_than_the_size_have_no_price() -> None:
    assert priced(1_001.0) is None
    assert priced(50.0, spot_size=1.0) is None, "leaving in a hurry takes on both legs"


def test_a_market_without_a_book_has_no_price() -> None:
    empty = InstrumentState("simulated:HYPE/USDC")

    assert round_trip(HYPE, empty, empty, 1.0, RESTING) is None


# --- what rests may not be filled --------------------------------------------------------------


def test_who_is_not_filled_takes_to_get_out_and_gives_an_entry_up() -> None:
    still, restless = priced(1.0, volatility=0.0), priced(1.0)

    assert still is not None
    assert restless is not None
    assert still.entry_cost == restless.entry_cost
    assert still.exit_cost == pytest.approx(still.urgent_exit_cost)


def test_between_certain_and_never_an_exit_costs_the_expected_of_both() -> None:
    chance = fill_probability(log(100.01 / 99.99) + 0.0002, 0.0005, 0.5)
    trip = priced(1.0, volatility=0.0005)

    assert trip is not None
    assert 0.2 < chance < 0.8
    # Spot rests at 4 bps, or takes at 7 and half a spread; the perp takes at 4.5 and half a
    # spread. With the perp resting it is the same sum.
    assert trip.exit_cost == pytest.approx(chance * 0.00095 + (1 - chance) * 0.00135)


def test_the_mirror_pays_on_the_side_by_which_it_goes() -> None:
    """Spot is sold and perp bought first: a bid side that is thin is dear to enter by."""
    market = observe(Market(), book(HYPE.spot, size=100.0), book(HYPE.perp, size=1_000.0))
    spot, perp = market.of(HYPE.spot.id), market.of(HYPE.perp.id)
    assert spot is not None
    assert perp is not None
    spot.bids = tuple(Level(level.price, level.size / 10) for level in spot.bids)
    trips = [
        round_trip(HYPE, spot, perp, 90.0, RESTING, legs) for legs in (Legs.CARRY, Legs.REVERSE)
    ]
    carry, mirror = trips

    assert carry is not None
    assert mirror is not None
    assert carry.urgent_exit_cost > mirror.urgent_exit_cost + 0.0003


def by_eigenfunctions(distance: float, volatility: float, hours: float) -> float:
    """The same chance by the other expansion of the heat equation (Karatzas & Shreve, 2.8)."""
    scale = pi * pi * volatility**2 * hours / (8.0 * distance**2)
    terms = ((-1.0) ** k / (2 * k + 1) * exp(-((2 * k + 1) ** 2) * scale) for k in range(60))
    return 1.0 - 4.0 / pi * fsum(terms)


@given(distance=st.floats(0.0005, 0.02), volatility=st.floats(0.002, 0.05))
def test_two_expansions_of_the_chance_agree(distance: float, volatility: float) -> None:
    hours = 0.5
    found = fill_probability(distance, volatility, hours)

    assert 0.0 <= found <= 1.0
    if distance < 3.0 * volatility * sqrt(hours):  # the other converges slowly beyond
        assert found == pytest.approx(by_eigenfunctions(distance, volatility, hours), abs=1e-6)
    # Who follows the touch is filled sooner than who stays, and at most twice as surely.
    stays = erfc(distance / (volatility * sqrt(2.0 * hours)))
    assert stays - 1e-12 <= found <= min(2.0 * stays, 1.0) + 1e-12


def test_a_price_that_stands_still_fills_nothing() -> None:
    assert fill_probability(0.001, 0.0, 0.5) == 0.0
    assert fill_probability(0.0, 0.01, 0.5) == 1.0


@pytest.mark.parametrize("spread", [0.0020, 0.0040, 0.0060])
def test_orders_that_are_worked_as_the_execution_does_are_filled_at_least_so_often(
    spread: float,
) -> None:
    """Played: a sale at the ask, moved when the touch has left it 2 bps behind, at most every
    15 seconds, filled once the bid has come to it. Volatility 0.5 % an hour, 30 minutes."""
    draw, step, reprice, paths = random.Random(5), 0.005 * sqrt(1.5 / 3600.0), 0.0002, 400
    filled = 0
    for _ in range(paths):
        ask = order = waited = 0.0
        for _ in range(1200):
            ask += draw.gauss(0.0, step)
            waited += 1.5
            if ask - spread >= order:
                filled += 1
                break
            if waited >= 15.0 and order - ask > reprice:
                order, waited = ask, 0.0
    expected = fill_probability(spread + reprice, 0.005, 0.5)

    error = sqrt(expected * (1.0 - expected) / paths)
    assert expected - 3.0 * error - 0.05 <= filled / paths <= expected + 3.0 * error + 0.05
