"""What a row of hourly closes says."""

from math import exp, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.market import Book, Level
from domain.time import HOUR, MINUTE
from strategies.market.closes import average, deviation, hourly_volatility, rsi, whole_hours
from strategies.market.state import CLOSES, Market

PRICES = st.lists(st.floats(0.01, 1e6), min_size=2, max_size=50)


def test_a_move_each_hour_is_the_volatility() -> None:
    closes = [100.0 * exp(0.01 * (n % 2)) for n in range(9)]
    assert hourly_volatility(closes) == pytest.approx(0.01)


def test_wilders_own_measure_of_one_third_of_losses_is_three_quarters() -> None:
    assert rsi((10.0, 13.0, 12.0)) == 75.0


@given(PRICES)
def test_rsi_lies_between_and_mirrors_with_the_order_of_time(closes: list[float]) -> None:
    assert 0.0 <= rsi(closes) <= 100.0
    assert rsi(closes) + rsi(closes[::-1]) == pytest.approx(100.0)


@given(PRICES)
def test_an_average_is_inside_and_nothing_is_farther_than_the_deviation_allows(
    closes: list[float],
) -> None:
    mean, spread = average(closes), deviation(closes)
    assert min(closes) <= mean * (1 + 1e-12)
    assert mean <= max(closes) * (1 + 1e-12)
    # Samuelson: no one of n is more than sqrt(n - 1) deviations from their mean.
    most = spread * sqrt(len(closes) - 1) * (1 + 1e-9) + 1e-12
    assert all(abs(close / mean - 1) <= most for close in closes)


def quoted(minutes: range, price: float = 10.0) -> Market:
    """Quotes every five minutes, at a price that counts the hours."""
    market = Market()
    for minute in minutes:
        at_ns, mid = minute * MINUTE, price + minute // 60
        book = Book("v:X", (Level(mid - 0.5, 1.0),), (Level(mid + 0.5, 1.0),), at_ns, at_ns)
        market.observe(book)
    return market


def test_the_close_of_an_hour_is_the_last_quote_in_it() -> None:
    state = quoted(range(55, 365, 5)).of("v:X")
    assert state is not None
    assert whole_hours(state, 5, 6 * HOUR + 4 * MINUTE) == (11.0, 12.0, 13.0, 14.0, 15.0)
    assert whole_hours(state, 6, 6 * HOUR + 4 * MINUTE) == (10.0, 11.0, 12.0, 13.0, 14.0, 15.0)
    assert whole_hours(state, 7, 6 * HOUR + 4 * MINUTE) is None


def test_an_hour_that_is_over_counts_before_anything_is_heard_of_the_next() -> None:
    state = quoted(range(0, 120, 5)).of("v:X")
    assert state is not None
    assert whole_hours(state, 2, 2 * HOUR) == (10.0, 11.0)
    assert whole_hours(state, 2, 2 * HOUR - 1) is None  # it is not over yet


def test_an_hour_without_a_quote_makes_no_whole_row() -> None:
    market = quoted(range(0, 120, 5))
    for minute in range(180, 245, 5):
        at_ns = minute * MINUTE
        market.observe(Book("v:X", (Level(9.5, 1.0),), (Level(10.5, 1.0),), at_ns, at_ns))
    state = market.of("v:X")
    assert state is not None
    assert whole_hours(state, 1, 4 * HOUR + 4 * MINUTE) == (10.0,)
    assert whole_hours(state, 2, 4 * HOUR + 4 * MINUTE) is None


def test_closes_are_kept_for_a_bounded_time_only() -> None:
    state = quoted(range(0, (CLOSES + 30) * 60, 30)).of("v:X")
    assert state is not None
    assert len(state.closes) == CLOSES
