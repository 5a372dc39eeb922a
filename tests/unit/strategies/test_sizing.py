"""The calculators against the worked examples of the specification."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.instruments import MarginTier
from domain.orders import Side
from strategies.sizing import (
    PRESETS,
    estimate_liquidation,
    funding_cost,
    largest,
    leveraged_yield,
    maintenance_rate,
    notional_for_loss,
    position_size,
)

D = Decimal


def test_ten_thousand_at_two_percent_risk_and_a_five_percent_stop() -> None:
    size = position_size(D(10_000), D("0.02"), D("0.05"), D(5))

    assert (size.risk_amount, size.position, size.margin) == (D(200), D(4_000), D(800))
    assert size.margin_loss_at_stop == D("0.25")


def test_what_is_lost_at_the_stop_is_the_risk_whatever_the_leverage() -> None:
    for leverage in (1, 3, 10):
        size = position_size(D(7_777), D("0.013"), D("0.04"), D(leverage))
        assert size.margin * size.margin_loss_at_stop == pytest.approx(size.risk_amount)


def test_results_are_written_without_exponents() -> None:
    assert str(position_size(D(10_000), D("0.02"), D("0.05"), D(5)).position) == "4000"
    assert str(leveraged_yield(D(1_000_000), D(2), D(0), D(0)).position) == "2000000"


def test_notional_for_an_acceptable_loss_is_rounded_down_to_the_cent() -> None:
    assert notional_for_loss(D(10_000), D("0.01"), D("0.03")) == D("3333.33")


sizes = st.decimals("1", "100000", places=2)


@given(most=sizes, least=sizes, limit=sizes)
def test_the_largest_size_is_found_to_a_sixteenth(most: D, least: D, limit: D) -> None:
    found = largest(most, least, lambda size: size if size <= limit else None)

    if found is None:
        assert most < least or limit < 2 * least + 1
        return
    size, said = found
    assert least <= size == said <= min(most, limit)
    assert size * D(17) / D(16) + 1 > min(most, limit)


@pytest.mark.parametrize(("leverage", "move"), [(2, "0.5"), (5, "0.2"), (10, "0.1"), (20, "0.05")])
def test_without_maintenance_a_move_of_one_over_leverage_takes_the_margin(
    leverage: int, move: str
) -> None:
    for side in Side:
        assert estimate_liquidation(side, D(100), D(leverage), D(0)).distance == D(move)


def test_a_long_is_liquidated_below_and_a_short_above() -> None:
    long = estimate_liquidation(Side.BUY, D(100), D(5), D("0.0125"))
    short = estimate_liquidation(Side.SELL, D(100), D(5), D("0.0125"))

    assert (long.liquidation_price, short.liquidation_price) == (D("81.25"), D("118.75"))


def test_a_long_without_leverage_is_liquidated_only_by_its_maintenance() -> None:
    assert estimate_liquidation(Side.BUY, D(100), D("0.5"), D(0)).liquidation_price == 0


def test_a_position_that_starts_below_maintenance_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^leverage: at 40x .* liquidated at once"):
        estimate_liquidation(Side.BUY, D(100), D(40), D("0.025"))


@pytest.mark.parametrize(("rate", "share"), [("0.0001", "0.0021"), ("0.001", "0.021")])
def test_a_week_of_funding_every_eight_hours(rate: str, share: str) -> None:
    cost = funding_cost(D(rate), D(8), D(168), D(10_000))

    assert cost.share == D(share)
    assert cost.payment == D(share) * 10_000


def test_a_long_receives_when_the_rate_is_negative() -> None:
    assert funding_cost(D("-0.0001"), D(1), D(24), D(1_000)).payment == D("-2.4")


def test_the_same_rate_paid_hourly_is_eight_times_the_annual_rate() -> None:
    hourly, slow = (funding_cost(D("0.0001"), D(h), D(24), D(1)) for h in (1, 8))

    assert (hourly.apr, slow.apr) == (D("0.876"), D("0.1095"))


def test_leveraged_yield_pays_for_what_is_borrowed() -> None:
    result = leveraged_yield(D(10_000), D(2), D("0.08"), D("0.05"))

    assert (result.position, result.borrowed, result.effective_apy) == (
        D(20_000),
        D(10_000),
        D("0.11"),
    )


def test_unlevered_yield_is_the_yield_itself() -> None:
    assert leveraged_yield(D(10_000), D(1), D("0.08"), D("0.05")).effective_apy == D("0.08")


def test_every_preset_range_is_in_order() -> None:
    for preset in PRESETS.values():
        for low, high in (preset.leverage, preset.stop, preset.risk):
            assert 0 < low <= high
    assert PRESETS["day"].leverage == (D(5), D(10))
    assert PRESETS["scalping"].stop == (D("0.005"), D("0.01"))


def test_maintenance_is_half_the_initial_margin_of_the_tier() -> None:
    tiers = (MarginTier(D(0), 40), MarginTier(D(150_000_000), 20))

    assert maintenance_rate(tiers, D(1_000)) == D("0.0125")
    assert maintenance_rate(tiers, D(150_000_000)) == D("0.025")


BAD: list[tuple[str, Callable[[Decimal], object]]] = [
    ("equity", lambda x: position_size(x, D("0.01"), D("0.05"), D(2))),
    ("risk", lambda x: position_size(D(1), x, D("0.05"), D(2))),
    ("stop", lambda x: position_size(D(1), D("0.01"), x, D(2))),
    ("leverage", lambda x: position_size(D(1), D("0.01"), D("0.05"), x)),
    ("loss_fraction", lambda x: notional_for_loss(D(1), D("0.01"), x)),
    ("entry", lambda x: estimate_liquidation(Side.BUY, x, D(2), D(0))),
    ("leverage", lambda x: estimate_liquidation(Side.BUY, D(1), x, D(0))),
    ("interval_hours", lambda x: funding_cost(D("0.01"), x, D(1), D(1))),
    ("hours", lambda x: funding_cost(D("0.01"), D(1), x, D(1))),
    ("notional", lambda x: funding_cost(D("0.01"), D(1), D(1), x)),
    ("capital", lambda x: leveraged_yield(x, D(2), D(0), D(0))),
    ("leverage", lambda x: leveraged_yield(D(1), x, D(0), D(0))),
]


@pytest.mark.parametrize("bad", ["0", "-1", "NaN", "Infinity"])
@pytest.mark.parametrize(("name", "calculate"), BAD)
def test_what_cannot_be_is_refused_in_one_line_by_name(
    name: str, calculate: Callable[[Decimal], object], bad: str
) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: [^\n]+$"):
        calculate(D(bad))


@pytest.mark.parametrize("name", ["risk", "stop"])
def test_more_than_all_is_no_fraction(name: str) -> None:
    arguments = {"equity": D(1), "risk": D("0.1"), "stop": D("0.1"), "leverage": D(1), name: D(2)}

    with pytest.raises(ValueError, match=f"^{name}: is a fraction"):
        position_size(**arguments)


def test_negative_maintenance_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^maintenance: "):
        estimate_liquidation(Side.BUY, D(1), D(2), D("-0.01"))
