"""How far a price may go unattended: the closed form, its inverse, and what prices really did."""

from math import gamma, pi, sqrt
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.market.reach import deviations, reach_probability, unlikely_move


def ended_beyond(u: float) -> float:
    """Of Student's distribution with three degrees of freedom, scaled to a deviation of one."""
    density = gamma(2.0) / (sqrt(3.0 * pi) * gamma(1.5))
    far, steps = 4_000.0, 200_000
    ratio = (far / u) ** (1.0 / steps)
    total, z = 0.0, u
    for _ in range(steps):  # in equal ratios: the tail is long
        middle = z * sqrt(ratio)
        total += density * sqrt(3.0) * (1.0 + middle * middle) ** -2.0 * z * (ratio - 1.0)
        z *= ratio
    return total


@pytest.mark.parametrize("u", [3.0, 7.46, 20.0])
def test_far_out_it_is_twice_the_chance_of_ending_there_by_the_fat_tail(u: float) -> None:
    assert reach_probability(0.01, u * 0.01 * 2.0, 4.0) == pytest.approx(
        2.0 * ended_beyond(u), rel=1e-4
    )


def test_a_move_of_two_deviations_is_touched_twice_as_often_as_a_normal_walk_ends_beyond() -> None:
    # 24 h at 1 % per root hour: deviation 4.9 %; P(|Z| > 2) = 4.55 %.
    assert reach_probability(0.01, 2 * 0.01 * 24**0.5, 24.0) == pytest.approx(0.0455, rel=0.01)


def test_at_no_distance_it_is_certain_and_without_volatility_impossible() -> None:
    assert reach_probability(0.01, 0.0, 1.0) == 1.0
    assert reach_probability(0.0, 0.1, 24.0) == 0.0
    assert unlikely_move(0.0, 24.0, 0.001) == 0.0


@given(volatility=st.floats(1e-4, 0.2), hours=st.floats(0.01, 100.0), p=st.floats(1e-6, 0.5))
def test_an_unlikely_move_is_reached_with_just_that_probability(
    volatility: float, hours: float, p: float
) -> None:
    move = unlikely_move(volatility, hours, p)

    assert reach_probability(volatility, move, hours) == pytest.approx(p, rel=1e-5)


@pytest.mark.parametrize(
    ("perp", "hours"), [("binance/perp/BTCUSDT", 1), ("binance/perp/ETHUSDT", 4)]
)
def test_years_of_recorded_hours_kept_to_one_in_a_thousand(
    shared_data: Path, perp: str, hours: int
) -> None:
    """Judged each hour by the volatility of the hours before it, as the bot does."""
    import polars as pl

    file = shared_data / "prices" / f"{perp}_1h_a.parquet"
    if not file.is_file():
        pytest.skip(f"no recorded prices at {file}")
    change = pl.col("close").log().diff()
    bars = (
        pl.read_parquet(file)
        .sort("ts_ms")
        .with_columns(
            volatility=(change * change).ewm_mean(half_life=24.0, ignore_nulls=True).sqrt(),
            reached=pl.col("high").rolling_max(hours).shift(-hours) / pl.col("close") - 1.0,
        )
    )
    bars = bars.slice(24).drop_nulls("reached")
    limit = deviations(0.001) * sqrt(hours)
    beyond = bars.select((pl.col("reached") > limit * pl.col("volatility")).mean()).item()

    assert bars.height > 40_000
    assert 0.0003 < beyond < 0.002, "about right: neither twice as often, nor far too careful"
