"""What a round trip costs, worked by hand."""

import pytest

from domain.instruments import Kind
from strategies.carry.costs import RoundTrip, round_trip
from strategies.market.state import InstrumentState, Market
from tests.unit.strategies.world import book, observe, pair

HYPE = pair("HYPE")


def priced(
    quantity: float, *, spot_size: float = 100.0, perp_size: float = 100.0
) -> RoundTrip | None:
    market = observe(Market(), book(HYPE.spot, size=spot_size), book(HYPE.perp, size=perp_size))
    spot, perp = market.of(HYPE.spot.id), market.of(HYPE.perp.id)
    assert spot is not None
    assert perp is not None
    return round_trip(HYPE, spot, perp, quantity)


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


def test_books_that_show_less_than_the_size_have_no_price() -> None:
    assert priced(1_001.0) is None
    assert priced(50.0, spot_size=1.0) is None, "leaving in a hurry takes on both legs"


def test_a_market_without_a_book_has_no_price() -> None:
    empty = InstrumentState("simulated:HYPE/USDC")

    assert round_trip(HYPE, empty, empty, 1.0) is None
