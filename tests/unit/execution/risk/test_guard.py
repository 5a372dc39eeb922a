from decimal import Decimal
from typing import Any

import msgspec
import pytest

from domain.instruments import MarginTier
from domain.orders import Side
from execution.risk.guard import (
    NOTHING,
    Close,
    MarginPolicy,
    PositionView,
    Release,
    Shrink,
    TopUp,
    guard_margin,
    policy_for,
    trigger_price,
)
from execution.risk.limits import RiskLimits
from execution.risk.margin import survived_gap

D = Decimal
POLICY = MarginPolicy(
    leverage_target=D(2),
    leverage_guard=D("2.5"),
    reserve=D(0),
    spot_cost=D(0),
    perp_cost=D(0),
    proceeds_reach_margin=True,
)


def view(mark: str, **changes: Any) -> PositionView:
    """Short 100 from 10, margin 500 at entry: 2x there, 2.5x at 10.714…"""
    position = PositionView(
        quantity=D(-100),
        raw_margin=D(1500),
        mark=D(mark),
        spot_quantity=D(100),
        spot_price=D(mark),
        lot=D("0.01"),
        minimum_notional=D(10),
    )
    return msgspec.structs.replace(position, **changes)


def test_under_the_guard_level_nothing_happens() -> None:
    assert guard_margin(view("10"), D(1000), POLICY) is NOTHING
    assert guard_margin(view("10.71"), D(1000), POLICY) is NOTHING


def test_above_it_margin_is_topped_up_to_the_target() -> None:
    action = guard_margin(view("11"), D(1000), POLICY)

    # notional 1100 wants 550, there are 400
    assert action == TopUp(D(150), "leverage 2.75 above guard 2.50")


def test_the_reserve_is_kept_even_if_both_legs_must_shrink() -> None:
    policy = msgspec.structs.replace(POLICY, reserve=D("960.01"))

    assert isinstance(guard_margin(view("11"), D(1000), POLICY), TopUp)
    assert isinstance(guard_margin(view("11"), D(1000), policy), Shrink)


def test_exactly_enough_free_collateral_is_enough() -> None:
    assert isinstance(guard_margin(view("11"), D(150), POLICY), TopUp)
    assert guard_margin(view("11"), D("149.999999"), POLICY).amount == D("149.999999")  # type: ignore[union-attr]
    assert isinstance(guard_margin(view("11"), D(40), POLICY), TopUp)
    assert isinstance(guard_margin(view("11"), D("39.999999"), POLICY), Shrink)


def test_without_free_collateral_both_legs_shrink_by_what_restores_the_target() -> None:
    action = guard_margin(view("11"), D(0), POLICY)

    # (1-f) 550 = 400 + f 1100: f = 150/1650 = 1/11; 90.909… kept, rounded down to lots
    assert isinstance(action, Shrink)
    assert action.quantity == D("90.90")
    kept = action.quantity * 11
    assert kept / (D(400) + (100 - action.quantity) * 11) <= 2
    assert action.fraction == D("0.091")


def test_what_is_free_makes_the_shrink_smaller() -> None:
    none, some = (guard_margin(view("11"), D(free), POLICY) for free in (0, 30))

    assert isinstance(none, Shrink)
    assert isinstance(some, Shrink)
    assert some.quantity == D("92.72")  # f = 120/1650
    assert "30.00 of 150.00" in some.why


def test_costs_of_the_exit_make_it_larger() -> None:
    policy = msgspec.structs.replace(POLICY, spot_cost=D("0.05"), perp_cost=D("0.05"))
    action = guard_margin(view("11"), D(0), policy)

    assert isinstance(action, Shrink)
    assert action.quantity == D("90.25")  # f = 150/(550 + 1100 - 55 - 55)


def test_where_proceeds_cannot_reach_margin_much_more_must_go() -> None:
    policy = msgspec.structs.replace(POLICY, proceeds_reach_margin=False)
    action = guard_margin(view("11"), D(0), policy)

    assert isinstance(action, Shrink)
    assert action.quantity == D("72.72")  # 400 of margin carry 800 at 11


def test_when_no_part_can_restore_it_the_pair_is_closed() -> None:
    policy = msgspec.structs.replace(POLICY, proceeds_reach_margin=False)
    action = guard_margin(view("15"), D(0), policy)

    assert isinstance(action, Close)
    assert "Infinity" in action.why


def test_a_spot_leg_that_must_be_bought_back_frees_nothing() -> None:
    action = guard_margin(view("11", spot_quantity=D(-100)), D(0), POLICY)

    assert isinstance(action, Close)


def test_a_remainder_too_small_to_trade_is_closed() -> None:
    action = guard_margin(view("11", minimum_notional=D(1000)), D(0), POLICY)

    assert isinstance(action, Close)


def test_a_slice_too_small_to_trade_is_enlarged_to_the_minimum() -> None:
    action = guard_margin(view("11", minimum_notional=D(200)), D(0), POLICY)

    assert isinstance(action, Shrink)
    assert action.quantity == D("81.81")  # 18.19 x 11 is the first lot above 200


def test_margin_far_above_need_is_released_with_a_cushion() -> None:
    action = guard_margin(view("7"), D(0), POLICY)

    # equity 800, wanted 350, one percent more stays
    assert isinstance(action, Release)
    assert action.amount == D("446.5")
    after = view("7", raw_margin=D(1500) - action.amount)
    assert guard_margin(after, D(0), POLICY) is NOTHING


def test_margin_somewhat_above_need_stays() -> None:
    assert guard_margin(view("7.5"), D(0), POLICY) is NOTHING  # 1.0x exactly


def test_an_excess_below_one_margin_step_stays() -> None:
    dust = view("0.00000001", quantity=D(-1), raw_margin=D("0.0000009"))

    assert guard_margin(dust, D(0), POLICY) is NOTHING


def test_no_position_needs_no_margin() -> None:
    flat = view("11", quantity=D(0))

    assert guard_margin(flat, D(0), POLICY) is NOTHING
    assert trigger_price(flat, POLICY) == 0


def test_a_long_perp_is_guarded_on_the_way_down() -> None:
    long = view("8", quantity=D(100), raw_margin=D(-500), spot_quantity=D(-100))

    # equity 300, notional 800: 2.67x
    assert guard_margin(long, D(1000), POLICY) == TopUp(D(100), "leverage 2.67 above guard 2.50")
    assert trigger_price(long, POLICY) == pytest.approx(500 * 2.5 / 150)


def test_the_trigger_is_where_the_guard_level_is_reached() -> None:
    assert trigger_price(view("10"), POLICY) == pytest.approx(1500 * 2.5 / 350)


def test_what_can_never_reach_the_guard_level_has_no_trigger() -> None:
    assert trigger_price(view("10", quantity=D(100), raw_margin=D(5)), POLICY) == 0
    assert trigger_price(view("10", raw_margin=D(0)), POLICY) == 0  # a short: look at once


@pytest.mark.parametrize(
    ("leverage", "side", "guard"),
    [(40, Side.SELL, "2.5"), (3, Side.SELL, "2.18"), (3, Side.BUY, "2.5")],
)
def test_where_maintenance_is_high_the_guard_acts_earlier(
    leverage: int, side: Side, guard: str
) -> None:
    policy = policy_for(
        RiskLimits(),
        side,
        D(1000),
        (MarginTier(D(0), leverage),),
        equity=D(10_000),
        spot_cost=D("0.01"),
        perp_cost=D("0.02"),
        proceeds_reach_margin=False,
    )

    assert policy.leverage_guard.quantize(D("0.01")) == D(guard)
    assert policy.leverage_target == min(D(2), policy.leverage_guard * D("0.9"))
    assert policy.reserve == 500
    assert (policy.spot_cost, policy.perp_cost) == (D("0.01"), D("0.02"))
    assert not policy.proceeds_reach_margin


def test_the_guard_acts_by_the_tier_in_which_it_would_be_liquidated() -> None:
    """A short of 900 dies at 1125: beyond 1000, where the venue asks for half of what is more."""
    tiers = (MarginTier(D(0), 3), MarginTier(D(1000), 1))
    policy = policy_for(
        RiskLimits(), Side.SELL, D(900), tiers,
        equity=D(0), spot_cost=D(0), perp_cost=D(0), proceeds_reach_margin=True,
    )  # fmt: skip
    raw = D(900) / policy.leverage_guard + D(900)

    assert survived_gap(D(-9), raw, D(100), tiers) >= RiskLimits().liquidation_distance_min


def target(volatility: float, leverage: int = 40, **limits: Any) -> Decimal:
    return policy_for(
        RiskLimits(**limits),
        Side.SELL,
        D(1000),
        (MarginTier(D(0), leverage),),
        equity=D(10_000),
        spot_cost=D(0),
        perp_cost=D(0),
        proceeds_reach_margin=True,
        volatility_hourly=volatility,
    ).leverage_target


def test_the_restless_are_held_at_less_leverage_and_never_under_one() -> None:
    assert target(0.0) == target(0.015) == 2
    # 15 minutes at 4 % an hour: 2 % deviation, 7.46 of them 14.9 %; 2.5 / (1 + 3.5 x 0.1492)
    assert target(0.04).quantize(D("0.001")) == D("1.642")
    assert target(0.4) == 1
    assert target(0.0, 3) > target(0.04, 3) > 1


def test_more_time_without_a_guard_or_less_chance_of_it_takes_less_leverage() -> None:
    assert target(0.02, guard_reaction_minutes=60.0) < target(0.02, guard_reaction_minutes=20.0)
    assert target(0.02, guard_reach_probability_max=1e-4) < target(0.02)
