from decimal import Decimal

import pytest

from domain.instruments import MarginTier
from domain.orders import Side
from execution.risk.margin import (
    INFINITE,
    effective_leverage,
    equity_at,
    leverage_at_distance,
    leverage_that_reaches,
    liquidation_price,
    maintenance_margin,
    maintenance_rate,
    maintenance_schedule,
    margin_down,
    margin_for,
    margin_up,
    max_leverage,
    price_at_leverage,
    stop_price,
    stressed_margin,
    survived_gap,
    way_gone,
)

D = Decimal
ALT = (MarginTier(D(0), 10), MarginTier(D(3_000_000), 5))
BTC = (MarginTier(D(0), 40), MarginTier(D(150_000_000), 20))


def short_at(leverage: str, entry: str = "100") -> tuple[Decimal, Decimal]:
    """Quantity and raw margin of one unit short, opened at ``leverage``."""
    return D(-1), D(entry) / D(leverage) + D(entry)


def long_at(leverage: str, entry: str = "100") -> tuple[Decimal, Decimal]:
    return D(1), D(entry) / D(leverage) - D(entry)


def test_maintenance_is_half_the_initial_margin_at_the_tiers_greatest_leverage() -> None:
    assert maintenance_margin(D(1000), BTC) == D("12.5")
    assert maintenance_margin(D(1000), ALT) == D(50)


def test_maintenance_is_continuous_where_tiers_meet_and_steeper_beyond() -> None:
    assert maintenance_margin(D(3_000_000), ALT) == D(150_000)
    assert maintenance_margin(D(3_000_001), ALT) - D(150_000) == D("0.1")


def test_deductions_add_up_over_three_tiers() -> None:
    tiers = (MarginTier(D(0), 40), MarginTier(D(10_000), 25), MarginTier(D(50_000), 10))

    # 10 000 x 0.0075, and 50 000 x 0.03 on top of it
    assert [deduction for _, deduction in maintenance_schedule(tiers)] == [0, 75, 1575]
    assert maintenance_margin(D(50_000), tiers) == 925


def test_a_tier_ends_with_its_bound_included() -> None:
    assert [max_leverage(D(n), ALT) for n in (0, 3_000_000, 3_000_001)] == [10, 10, 5]
    assert maintenance_rate(D(3_000_001), ALT) == D("0.1")


@pytest.mark.parametrize(
    "tiers",
    [
        (),
        (MarginTier(D(1), 10),),
        (MarginTier(D(0), 10), MarginTier(D(0), 5)),
        (MarginTier(D(0), 5), MarginTier(D(10), 10)),
        (MarginTier(D(0), 0),),
    ],
)
def test_tiers_that_make_no_sense_are_refused(tiers: tuple[MarginTier, ...]) -> None:
    with pytest.raises(ValueError, match="tier"):
        maintenance_schedule(tiers)


def test_a_short_at_two_times_is_liquidated_near_half_again_its_entry() -> None:
    # 150 of collateral meets price + 1.25 % of price: 150 / 1.0125
    price = liquidation_price(*short_at("2"), BTC)

    assert price is not None
    assert price == D("148.148148148148148")


def test_a_long_at_five_times_is_liquidated_near_four_fifths_of_its_entry() -> None:
    # equity 20 - (100 - p) meets 5 % of p: p = 80 / 0.95
    assert liquidation_price(*long_at("5"), ALT) == D("84.2105263157894737")


def test_the_price_is_the_venues_formula_in_terms_of_margin_available() -> None:
    quantity, raw = D(-2), D(315)
    for mark in (D(80), D(100), D(130)):
        available = equity_at(quantity, raw, mark) - maintenance_margin(2 * mark, ALT)
        venue = mark + available / 2 / (1 + D("0.05"))
        assert abs(venue - (liquidation_price(quantity, raw, ALT) or 0)) < D("1e-12")


def test_a_position_that_grows_into_the_next_tier_is_liquidated_earlier_than_in_the_first() -> None:
    quantity, raw = D(-25_000), D(25_000) * D(150)  # 2.5 M at 100, 2x
    one_tier = liquidation_price(quantity, raw, ALT[:1])
    both = liquidation_price(quantity, raw, ALT)

    assert both is not None
    assert one_tier is not None
    assert both < one_tier
    # 3.75 M + 150 k deduction over 25 k x 1.1
    assert both == D("141.818181818181818")


def test_a_long_whose_margin_covers_its_price_cannot_be_liquidated() -> None:
    assert liquidation_price(D(1), D(0), ALT) is None
    assert liquidation_price(D(1), D(5), ALT) is None
    assert survived_gap(D(1), D(5), D(100), ALT) == INFINITE


def test_no_position_has_no_liquidation_price_no_leverage_and_no_stop() -> None:
    assert liquidation_price(D(0), D(5), ALT) is None
    assert effective_leverage(D(0), D(0)) == 0
    assert price_at_leverage(D(0), D(5), D(3)) is None
    assert way_gone(D(0), D(100), D(120), D(150)) == 0


def test_a_short_without_collateral_is_beyond_liquidation_at_any_price() -> None:
    assert liquidation_price(D(-1), D(0), ALT) == 0
    assert price_at_leverage(D(-1), D(-3), D(3)) == 0
    assert survived_gap(D(-1), D(0), D(100), ALT) == 0


def test_leverage_counts_margin_and_what_is_earmarked_for_the_position() -> None:
    assert effective_leverage(D(4000), D(1500), D(500)) == 2
    assert effective_leverage(D(4000), D(0)) == INFINITE
    assert effective_leverage(D(4000), D(-10), D(5)) == INFINITE


def test_leverage_is_rounded_up_and_margin_against_us() -> None:
    assert effective_leverage(D(1), D(3)) > D(1) / D(3)
    assert margin_for(D(1), D(3)) == D("0.333334")
    assert margin_up(D("0.0000001")) == D("0.000001")
    assert margin_down(D("0.0000019")) == D("0.000001")


def test_the_worked_example_of_the_specification() -> None:
    assert margin_for(D(4000), D(5)) == 800


def test_a_short_at_two_times_reaches_three_times_an_eighth_higher() -> None:
    assert price_at_leverage(*short_at("2"), D(3)) == D("112.5")
    assert stop_price(*short_at("2"), D(3)) == D("112.5")


def test_a_long_at_two_times_reaches_three_times_a_quarter_lower() -> None:
    assert price_at_leverage(*long_at("2"), D(3)) == D(75)


def test_a_long_that_is_paid_for_never_reaches_more_than_one() -> None:
    assert price_at_leverage(D(1), D(0), D(2)) is None
    assert price_at_leverage(D(1), D(5), D(2)) is None
    assert price_at_leverage(D(1), D(-5), D(1)) is None


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_leverage_at_a_distance_puts_liquidation_at_that_distance(side: Side) -> None:
    leverage = leverage_at_distance(side, D("0.05"), D("0.25"))
    quantity = D(side.sign)
    raw = 100 / leverage - 100 * quantity
    price = liquidation_price(quantity, raw, ALT)

    assert price is not None
    assert abs(abs(price - 100) / 100 - D("0.25")) < D("1e-15")


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_a_move_raises_the_leverage_to_the_one_that_it_was_chosen_for(side: Side) -> None:
    leverage = leverage_that_reaches(side, D("2.5"), D("0.08"))
    quantity, raw = D(side.sign), 100 / leverage - 100 * side.sign
    after = 100 - 8 * D(side.sign)

    reached = effective_leverage(after, equity_at(quantity, raw, after))
    assert abs(reached - D("2.5")) < D("1e-15")


def test_a_margin_for_the_stress_is_liquidated_by_just_that_rise() -> None:
    margin = stressed_margin(Side.SELL, D(100), D("0.5"), ALT)  # 50, and 5 % of 150
    fallen = stressed_margin(Side.BUY, D(100), D("0.5"), ALT)  # 50, and 5 % of 50

    assert (margin, fallen) == (D("57.5"), D("52.5"))
    assert liquidation_price(D(-1), margin + 100, ALT) == 150
    assert liquidation_price(D(1), fallen - 100, ALT) == 50
    assert stressed_margin(Side.BUY, D(100), D("1.8"), ALT) == 100  # no price is below zero


def test_the_way_from_entry_to_liquidation_is_zero_at_entry_and_one_at_liquidation() -> None:
    ways = [way_gone(D(-1), D(100), D(m), D(150)) for m in (90, 100, 125, "137.5", 150, 160)]

    assert ways == [0, 0, D("0.5"), D("0.75"), 1, 1]
    assert way_gone(D(1), D(100), D(90), D(80)) == D("0.5")
    assert way_gone(D(1), D(100), D(90), None) == 0


def test_after_a_release_liquidation_may_lie_on_the_good_side_of_the_entry() -> None:
    assert way_gone(D(-1), D(100), D(60), D(90)) == 0
    assert way_gone(D(-1), D(100), D(95), D(90)) == 1


def test_a_gap_just_under_what_is_survived_does_not_liquidate_and_that_gap_does() -> None:
    quantity, raw = short_at("2")
    gap = survived_gap(quantity, raw, D(100), BTC)

    assert D("0.4814") < gap < D("0.4815")
    below, above = (D(100) * (1 + gap + D(d)) for d in ("-1e-9", "1e-9"))
    assert equity_at(quantity, raw, below) > maintenance_margin(below, BTC)
    assert equity_at(quantity, raw, above) < maintenance_margin(above, BTC)
