import inspect
import math
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from execution.risk.limits import RiskLimits

D = Decimal


def test_the_defaults_are_valid_and_those_of_the_specification() -> None:
    limits = RiskLimits()

    assert limits.risk_per_trade == D("0.01")
    assert (limits.leverage_target, limits.leverage_cap) == (D(2), D(3))
    assert limits.liquidation_buffer == D("0.10")
    assert limits.liquidation_distance_min == D("0.25")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("risk_per_trade", D("0.06")),
        ("risk_per_trade", D(0)),
        ("liquidation_buffer", D("0.049")),
        ("liquidation_distance_min", D("0.09")),
        ("liquidation_distance_min", D("1.01")),
        ("leverage_guard", D(1)),
        ("leverage_guard", D("3.01")),
        ("leverage_target", D("2.4")),
        ("leverage_cap", D("Infinity")),
        ("drawdown_max", D("-0.1")),
        ("drawdown_max", D("1.5")),
        ("daily_loss_max", D("NaN")),
        ("loss_size_factor", D("1.01")),
        ("loss_streak_max", 0),
        ("orders_per_minute_max", -1),
        ("data_age_seconds_max", 0.0),
        ("data_age_seconds_max", math.nan),
        ("spread_max", 1.5),
        ("free_collateral_reserve", D("-0.01")),
        ("total_exposure_max", D(0)),
        ("event_hours", 0.5),
        ("event_hours", -2.0),
        ("event_volatility", 0.99),
        ("weekend_volatility", 0.0),
        ("depth_share_max", D("1.1")),
        ("cluster_distance", -0.01),
    ],
)
def test_a_limit_out_of_range_is_refused_by_name_in_one_line(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{field}: [^\n]*$"):
        RiskLimits(**{field: value})


def test_no_reserve_no_event_no_cluster_and_no_weekend_are_choices() -> None:
    chosen = RiskLimits(
        free_collateral_reserve=D(0), event_hours=0.0, cluster_distance=0.0, weekend_entries=False
    )
    assert (chosen.free_collateral_reserve, chosen.event_hours) == (D(0), 0.0)
    assert (chosen.cluster_distance, chosen.weekend_entries) == (0.0, False)


def test_a_misspelt_key_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="drawdwn_max"):
        msgspec.toml.decode(b"drawdwn_max = 0.1", type=RiskLimits)


def test_a_number_in_a_file_becomes_the_decimal_that_was_written() -> None:
    limits = msgspec.toml.decode(b"drawdown_max = 0.07\nspread_max = 0.02", type=RiskLimits)

    assert limits.drawdown_max == D("0.07")


def test_every_limit_says_what_it_is() -> None:
    lines = inspect.getsource(RiskLimits).splitlines()
    for field in RiskLimits.__struct_fields__:
        number = next(n for n, line in enumerate(lines) if line.startswith(f"    {field}:"))
        assert lines[number + 1].startswith('    """'), field
