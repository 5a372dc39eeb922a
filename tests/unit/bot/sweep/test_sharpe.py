"""The deflated Sharpe ratio against closed forms, tables and the example of its own paper."""

from math import isclose, sqrt
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.sweep.sharpe import (
    Moments,
    annual,
    deflated_sharpe,
    expected_best,
    moments_of,
    probabilistic_sharpe,
    together,
)

YEAR = 250  # of the paper's example


def record(ratio: float, count: int, skewness: float = 0.0, kurtosis: float = 3.0) -> Moments:
    """Returns of deviation 1, so that the mean is the Sharpe ratio."""
    raw = (
        ratio,
        1.0 + ratio**2,
        skewness + 3.0 * ratio + ratio**3,
        kurtosis + 4.0 * ratio * skewness + 6.0 * ratio**2 + ratio**4,
    )
    return Moments(count, *(count * moment for moment in raw))


def scattered(count: int, variance: float) -> list[float]:
    """So many ratios about zero, of exactly that sample variance."""
    side = sqrt(variance * (count - 1) / count)
    return [side, -side] * (count // 2)


def test_moments_are_those_they_were_made_of() -> None:
    made = record(0.1, 500, -1.5, 8.0)

    assert (made.sharpe, made.skewness, made.kurtosis) == pytest.approx((0.1, -1.5, 8.0))


@pytest.mark.parametrize(("trials", "published"), [(100, 0.9004), (46, 0.9505)])
def test_the_example_of_the_paper_comes_out(trials: int, published: float) -> None:
    """Bailey & Lopez de Prado (2014): five years of days, a Sharpe ratio of 2.5 a year, skewness
    -3, kurtosis 10, and trials whose yearly ratios have a variance of one half."""
    best = record(2.5 / sqrt(YEAR), 5 * YEAR, -3.0, 10.0)
    ratios = scattered(trials, 0.5 / YEAR)

    assert deflated_sharpe(best, ratios) == pytest.approx(published, abs=5e-5)


def test_the_bar_of_the_example_is_the_published_one() -> None:
    assert expected_best(scattered(100, 0.5 / YEAR)) == pytest.approx(0.1132, abs=5e-5)


@pytest.mark.parametrize(
    ("trials", "exact"), [(10, 1.53875), (50, 2.24907), (100, 2.50759), (1000, 3.24144)]
)
def test_the_expected_best_is_near_the_tabulated_order_statistic(trials: int, exact: float) -> None:
    """Expected maximum of so many standard normal draws (Harter 1961); the formula is its limit."""
    assert expected_best(scattered(trials, 1.0)) == pytest.approx(exact, rel=0.025)


def test_one_trial_or_equal_trials_need_no_deflation() -> None:
    best = record(0.1, 100)
    plain = probabilistic_sharpe(best, 0.0)

    assert deflated_sharpe(best, [0.1]) == plain
    assert deflated_sharpe(best, [0.1] * 50) == plain


def test_of_a_bell_curve_the_probability_is_the_textbooks() -> None:
    expected = NormalDist().cdf(0.2 * sqrt(99) / sqrt(1 + 0.2**2 / 2))

    assert probabilistic_sharpe(record(0.2, 100), 0.0) == pytest.approx(expected)
    assert probabilistic_sharpe(record(0.2, 100), 0.2) == pytest.approx(0.5)


def test_what_never_moved_has_no_probability() -> None:
    assert probabilistic_sharpe(moments_of([0.0] * 30), 0.0) is None
    assert probabilistic_sharpe(moments_of([1e-4] * 30), 0.0) is None
    assert probabilistic_sharpe(Moments(), 0.0) is None


@given(st.integers(2, 40), st.floats(0.01, 0.3))
def test_more_trials_of_one_scatter_never_make_a_best_likelier(half: int, ratio: float) -> None:
    best = record(ratio, 200)
    few, many = (deflated_sharpe(best, scattered(2 * n, 0.01)) for n in (half, 3 * half))

    assert few is not None
    assert many is not None
    assert many <= few


@given(st.lists(st.floats(-0.1, 0.1), min_size=3, max_size=60), st.integers(0, 60))
def test_moments_of_parts_add_up_to_those_of_the_whole(returns: list[float], cut: int) -> None:
    parts = together([moments_of(returns[:cut]), moments_of(returns[cut:])])
    whole = moments_of(returns)

    assert parts.count == whole.count
    for name in ("first", "second", "third", "fourth"):
        assert isclose(getattr(parts, name), getattr(whole, name), abs_tol=1e-12)


def test_a_year_has_365_days_of_funding() -> None:
    assert annual(1.0) == pytest.approx(19.10497)
