"""Forced orders by price, where the answer is known by hand."""

from math import fsum

import pytest

from domain.instruments import MarginTier
from domain.money import ZERO
from domain.orders import Side
from domain.time import HOUR
from execution.risk.clusters import (
    HALF_LIFE_HOURS,
    LADDER,
    STEP,
    Level,
    forced_within,
    hourly_volume,
    levels,
    liquidated_at,
)
from strategies.market.state import Traded

TIERS = (MarginTier(ZERO, 8),)  # the ladder is 8, 4, 2 and 1 times
NOW = 1000 * HOUR


def traded(price: float, volume: float, hours_ago: float = 0.0, **bar: float) -> Traded:
    low, high = bar.get("low", price), bar.get("high", price)
    return Traded(NOW - int(hours_ago * HOUR), 1.0, low, high, price, volume)


def at(found: tuple[Level, ...], price: float) -> Level:
    (level,) = [one for one in found if one.low <= price < one.high]
    return level


def total(found: tuple[Level, ...], side: Side) -> float:
    """Base units: what each level forces, at its own price."""
    return fsum(one.notional / (one.low * (1 + STEP / 2)) for one in found if one.side is side)


def test_one_entry_is_liquidated_where_the_formula_says_on_both_sides() -> None:
    found = levels([traded(100.0, 5.0)], 900.0, 100.0, TIERS, NOW)

    # Maintenance is 1/16. At 8, 4, 2 times: a long at 93.33, 80, 53.33, a short at 105.88,
    # 117.65, 141.18. At 1 time nothing is liquidated below, and nothing is counted.
    for price, side in (
        (100 * (1 - 1 / 8) / (15 / 16), Side.SELL),
        (80.0, Side.SELL),
        (100 * 0.5 / (15 / 16), Side.SELL),
        (100 * 1.125 / (17 / 16), Side.BUY),
        (100 * 1.25 / (17 / 16), Side.BUY),
        (100 * 1.5 / (17 / 16), Side.BUY),
    ):
        level = at(found, price)
        assert level.side is side
        assert level.notional == pytest.approx(900 / 3 * price)
    assert len(found) == 6


def test_all_the_open_interest_is_forced_once_on_each_side() -> None:
    found = levels(
        [traded(101.0, 2.0, 3), traded(100.0, 5.0, 2), traded(99.5, 3.0, 1)], 1000, 100, TIERS, NOW
    )
    assert total(found, Side.SELL) == pytest.approx(1000, rel=STEP)
    assert total(found, Side.BUY) == pytest.approx(1000, rel=STEP)


def test_entries_share_in_proportion_to_volume_and_half_as_much_a_half_life_ago() -> None:
    found = levels(
        [traded(110.0, 4.0, HALF_LIFE_HOURS), traded(100.0, 1.0)], 900.0, 105.0, TIERS, NOW
    )
    new = at(found, liquidated_at(100.0, 2.0, 8.0, Side.BUY))
    old = at(found, liquidated_at(110.0, 2.0, 8.0, Side.BUY))

    assert old.notional / (110 / 100) == pytest.approx(2 * new.notional)


def test_what_a_later_price_has_reached_is_gone() -> None:
    swept = liquidated_at(100.0, 8.0, 8.0, Side.BUY)  # 105.88
    spiked = [traded(100.0, 5.0, 2), traded(100.0, 0.0, 1, high=106.0)]
    quiet = [traded(100.0, 5.0, 2), traded(100.0, 0.0, 1, high=105.0)]

    gone = levels(spiked, 900.0, 100.0, TIERS, NOW)
    there = levels(quiet, 900.0, 100.0, TIERS, NOW)
    assert not [one for one in gone if one.low <= swept < one.high]
    assert at(there, swept).notional == pytest.approx(300 * swept)
    # All that is open is still open: what is left holds it.
    assert total(gone, Side.BUY) == pytest.approx(900, rel=STEP)


def test_a_price_within_its_own_bar_sweeps_nothing_of_that_bar() -> None:
    wide = traded(100.0, 5.0, 1, low=80.0, high=120.0)
    assert at(levels([wide], 900, 100, TIERS, NOW), 105.9).side is Side.BUY


def test_the_estimate_lies_between_its_two_bounds_and_they_differ() -> None:
    found = levels([traded(100.0, 5.0)], 900.0, 100.0, TIERS, NOW)

    assert all(one.least <= one.notional <= one.most for one in found)
    near = at(found, liquidated_at(100.0, 8.0, 8.0, Side.BUY))
    # Rungs 8, 4, 2 of the ladder, in proportion to leverage and to its inverse.
    assert near.most == pytest.approx(near.notional * 3 * LADDER[0] / fsum(LADDER[:3]))
    assert near.least == pytest.approx(near.notional * 3 * (1 / 8) / (1 / 8 + 1 / 4 + 1 / 2))


def test_without_trades_or_interest_there_is_nothing() -> None:
    assert levels([], 900.0, 100.0, TIERS, NOW) == ()
    assert fsum(one.notional for one in levels([traded(100, 1)], 0.0, 100, TIERS, NOW)) == 0.0
    assert hourly_volume([]) == 0.0


def test_the_same_input_gives_the_same_levels_sells_below_and_buys_above() -> None:
    told = [traded(100.0 + n % 7, 1.0 + n % 3, 48 - n) for n in range(48)]
    found = levels(told, 1234.5, 103.0, TIERS, NOW)

    assert found == levels(list(told), 1234.5, 103.0, TIERS, NOW)
    assert [one.low for one in found] == sorted(one.low for one in found)
    for one in found:
        assert one.high <= 103.0 * (1 + 1e-9) if one.side is Side.SELL else one.low >= 103.0 / 1.006


def test_forced_orders_within_a_distance_are_those_of_one_side_up_to_it() -> None:
    found = levels([traded(100.0, 5.0)], 900.0, 100.0, TIERS, NOW)
    first, second = (liquidated_at(100.0, leverage, 8.0, Side.BUY) for leverage in (8.0, 4.0))

    assert forced_within(found, 100.0, Side.BUY, 0.05)[0] == 0.0
    assert forced_within(found, 100.0, Side.BUY, 0.06)[0] == pytest.approx(300 * first)
    assert forced_within(found, 100.0, Side.BUY, 0.2)[0] == pytest.approx(300 * (first + second))
    expected = at(found, liquidated_at(100.0, 8.0, 8.0, Side.SELL)).notional
    assert forced_within(found, 100.0, Side.SELL, 0.07)[0] == pytest.approx(expected)


def test_an_hour_of_trading_is_the_average_over_what_was_covered() -> None:
    assert hourly_volume([traded(100.0, 5.0, 1), traded(50.0, 2.0)]) == pytest.approx(300.0)
