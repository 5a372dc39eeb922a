"""The forecast: closed forms, what it reverts to, and how it fares on years of real funding."""

import random
from math import exp, fsum, log, sqrt
from pathlib import Path

import pytest

from domain.rates import FundingRate
from domain.time import DAY, HOUR
from strategies.funding.forecast import (
    ForecastPolicy,
    FundingProcess,
    MeanReverting,
    forecast,
)
from strategies.market.state import Market, Settlement
from tests.unit.strategies.world import FLOOR, NOW, context, observe, pair, settled

POLICY = ForecastPolicy()
WEEK = 168.0
HYPE = pair("HYPE")


def hourly(rates: list[float]) -> list[Settlement]:
    return [Settlement(k * HOUR, rate, 1.0) for k, rate in enumerate(rates)]


def test_without_history_it_is_the_interest_only_rate() -> None:
    assert forecast([], None, WEEK, POLICY).hourly == FLOOR


def test_funding_that_never_moves_is_expected_to_stay() -> None:
    told = forecast(hourly([FLOOR] * 1_440), FundingRate(FLOOR, 1), WEEK, POLICY)

    assert told.hourly == pytest.approx(FLOOR)


def test_one_spike_hardly_moves_the_week() -> None:
    spiked = forecast(hourly([FLOOR] * 1_000 + [0.001]), None, WEEK, POLICY)

    assert FLOOR < spiked.hourly < FLOOR + 0.05 * 0.001


def test_consistently_high_funding_beats_one_spike_of_the_same_size() -> None:
    spike = forecast(hourly([FLOOR] * 1_000 + [1e-4]), None, WEEK, POLICY)
    steady = forecast(hourly([FLOOR] * 500 + [1e-4] * 501), None, WEEK, POLICY)

    assert steady.hourly > 3 * spike.hourly
    assert FLOOR < steady.hourly < 1e-4, "and still it is expected to revert"


def test_a_short_history_is_shrunk_towards_interest_only() -> None:
    day, month = (forecast(hourly([1e-4] * n), None, WEEK, POLICY).hourly for n in (24, 720))

    assert day - FLOOR < 0.5 * (month - FLOOR)


def test_the_farther_the_horizon_the_nearer_to_interest_only() -> None:
    rates = hourly([1e-4] * 1_000)
    told = [forecast(rates, None, hours, POLICY).hourly for hours in (1, 24, 168, 720, 8_760)]

    assert told == sorted(told, reverse=True)
    assert told[-1] == pytest.approx(FLOOR, rel=0.6)


def test_the_running_rate_counts_as_one_more_interval() -> None:
    rates = hourly([FLOOR] * 200)
    running = forecast(rates, FundingRate(-1e-3, 1), 24.0, POLICY)

    assert running.hourly < forecast(rates, None, 24.0, POLICY).hourly


def test_a_rate_for_eight_hours_is_read_per_hour() -> None:
    eight = [Settlement(k * 8 * HOUR, 5e-5, 8.0) for k in range(180)]
    one = hourly([5e-5] * 1_440)

    assert forecast(eight, None, WEEK, POLICY).hourly == pytest.approx(
        forecast(one, None, WEEK, POLICY).hourly
    )


def test_a_running_rate_of_eight_hours_counts_as_eight_hours_of_one() -> None:
    rates = hourly([FLOOR] * 200)
    eight = forecast(rates, FundingRate(8e-4, 8), 24.0, POLICY)
    by_the_hour = hourly([FLOOR] * 200 + [1e-4] * 8)

    current = forecast(by_the_hour, None, 24.0, POLICY).now
    assert eight.now.level + eight.now.deviation == pytest.approx(current.level + current.deviation)


def test_mean_and_error_are_those_of_the_process_they_claim_to_be() -> None:
    """Four hundred simulated weeks of the two processes, from one known state (synthetic)."""
    process = FundingProcess(POLICY)
    process.level, process.current = 4e-5, 2e-4
    process.level_variance, process.deviation_variance = 1e-5**2, 5e-5**2
    process.print_variance = 0.0
    told = process.forecast(None, WEEK)
    draw = random.Random(11)
    means = []
    for _ in range(400):
        slow, fast, path = 4e-5 - FLOOR, 2e-4 - 4e-5, []
        for _ in range(168):
            slow = _step(slow, 1e-5, POLICY.level_half_life_hours, draw)
            fast = _step(fast, 5e-5, POLICY.deviation_half_life_hours, draw)
            path.append(FLOOR + slow + fast)
        means.append(fsum(path) / 168)
    mean = fsum(means) / len(means)
    spread = sqrt(fsum((m - mean) ** 2 for m in means) / len(means))

    assert told.hourly == pytest.approx(mean, rel=0.05)
    assert told.error == pytest.approx(spread, rel=0.12)


@pytest.mark.parametrize("hours", [1.0, 24.0, 168.0, 2_000.0])
def test_the_error_is_the_integral_of_the_covariances(hours: float) -> None:
    """Var of a mean over H is the mean over all (s, t) of v (e^-k|t-s| - e^-k(t+s))."""
    process = FundingProcess(POLICY)
    process.level_variance, process.deviation_variance = 2e-5**2, 5e-5**2
    process.print_variance = 3e-5**2
    speeds = (POLICY.level_half_life_hours, POLICY.deviation_half_life_hours)
    points = [hours * (k + 0.5) / 120 for k in range(120)]
    variance = fsum(
        v * (exp(-log(2) / half * abs(t - s)) - exp(-log(2) / half * (t + s)))
        for v, half in zip((2e-5**2, 5e-5**2), speeds, strict=True)
        for s in points
        for t in points
    )

    # The noise of prints starts from nothing known: v e^-k|t-s|.
    variance += fsum(
        3e-5**2 * exp(-log(2) / POLICY.current_half_life_hours * abs(t - s))
        for s in points
        for t in points
    )

    assert process.forecast(None, hours).error == pytest.approx(sqrt(variance) / 120, rel=0.03)


def test_the_newest_print_is_not_in_the_standing_before_it() -> None:
    without = forecast(hourly([FLOOR] * 100), None, WEEK, POLICY)
    spiked = forecast(hourly([FLOOR] * 100 + [0.01]), None, WEEK, POLICY)

    assert spiked.before == without.now
    assert spiked.now.deviation > 100 * abs(spiked.before.deviation)


def _step(x: float, deviation: float, half_life: float, draw: random.Random) -> float:
    kept = exp(-log(2) / half_life)
    return x * kept + draw.gauss(0.0, deviation * sqrt(1.0 - kept * kept))


def test_reading_settlements_one_by_one_gives_what_reading_them_at_once_gives() -> None:
    draw = random.Random(5)
    market, forecaster = Market(), MeanReverting(POLICY)
    for k in range(24 * 70):
        observe(market, settled(HYPE.perp, draw.gauss(3e-5, 2e-5), NOW + k * HOUR))
        perp = market.of(HYPE.perp.id)
        assert perp is not None
        step_by_step = forecaster(perp, WEEK)

    assert perp is not None
    assert step_by_step == MeanReverting(POLICY)(perp, WEEK)


def test_a_settlement_that_arrives_late_is_not_forgotten() -> None:
    market, forecaster = Market(), MeanReverting(POLICY)
    for k in (*range(100), *range(101, 110)):
        observe(market, settled(HYPE.perp, FLOOR, NOW + k * HOUR))
    perp = market.of(HYPE.perp.id)
    assert perp is not None
    forecaster(perp, WEEK)
    observe(market, settled(HYPE.perp, 0.01, NOW + 100 * HOUR))

    assert forecaster(perp, WEEK) == MeanReverting(POLICY)(perp, WEEK)


def test_without_any_settlement_the_running_rate_is_heard() -> None:
    market = observe(Market(), context(HYPE.perp, 1e-3))
    perp = market.of(HYPE.perp.id)
    assert perp is not None

    assert MeanReverting(POLICY)(perp, 24.0).hourly > FLOOR


@pytest.mark.parametrize(
    "wrong",
    [{"level_half_life_hours": 0.0}, {"current_half_life_hours": -1.0}, {"anchor_hourly": 0.01}],
)
def test_impossible_speeds_are_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))}: "):
        ForecastPolicy(**wrong)


@pytest.mark.parametrize("symbol", ["BTC", "ETH", "SOL", "HYPE"])
def test_over_a_week_it_errs_less_than_the_last_rate(shared_data: Path, symbol: str) -> None:
    """The window the speeds were fitted on: each forecast sees only what came before it."""
    ours, last, inside = _score(shared_data / "funding/hyperliquid_1h_a.parquet", symbol)

    assert ours < 0.75 * last
    assert inside > 0.85


@pytest.mark.parametrize("symbol", ["BTC", "ETH", "SOL", "XRP", "DOGE", "LINK", "SUI", "AVAX"])
def test_it_also_does_in_months_that_nothing_was_fitted_on(shared_data: Path, symbol: str) -> None:
    ours, last, inside = _score(shared_data / "funding/xvenue_hyperliquid_b.parquet", symbol)

    assert ours < 0.85 * last
    assert inside > 0.80


def _score(path: Path, symbol: str) -> tuple[float, float, float]:
    """Root mean squared error over 7 days of ours and of the last rate; share within 2 errors."""
    import polars as pl

    rows = (
        pl.scan_parquet(path)
        .filter((pl.col("symbol") == symbol) & (pl.col("interval_hours") == 1))
        .sort("ts_ms")
        .select("rate")
        .collect()
    )
    rates: list[float] = rows["rate"].to_list()
    process = FundingProcess(POLICY)
    ours, last, inside = [], [], 0
    for k in range(len(rates) - 168):
        process.update([Settlement(k * HOUR, rates[k], 1.0)])
        if k < 24 * 14 or k % 24:
            continue
        told = process.forecast(None, WEEK)
        came = fsum(rates[k + 1 : k + 169]) / 168
        ours.append((told.hourly - came) ** 2)
        last.append((rates[k] - came) ** 2)
        inside += abs(told.hourly - came) <= 2 * told.error
    return sqrt(fsum(ours) / len(ours)), sqrt(fsum(last) / len(last)), inside / len(ours)


def test_the_window_starts_at_midnight_wherever_the_process_started() -> None:
    """Two processes, one running for seventy days and one just started, agree."""
    market, veteran = Market(), MeanReverting(POLICY)
    draw = random.Random(9)
    for k in range(24 * 70 + 15):
        observe(market, settled(HYPE.perp, draw.gauss(3e-5, 5e-5), NOW // DAY * DAY + k * HOUR))
        perp = market.of(HYPE.perp.id)
        assert perp is not None
        if k % 24 == 15 and k > 24 * 60:
            assert veteran(perp, WEEK) == MeanReverting(POLICY)(perp, WEEK)
