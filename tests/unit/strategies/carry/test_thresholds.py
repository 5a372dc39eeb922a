"""When to get in and when to get out: worked examples of the band."""

import pytest

from strategies.carry.thresholds import (
    apr_on_capital,
    basis_gain,
    basis_stop,
    entry_rate,
    exit_loss,
    holding_value,
    hurdle_hourly,
    liquidation_probability,
    return_probability,
)
from strategies.funding.forecast import Forecast
from strategies.market.basis import UsualBasis


def told(hourly: float, error: float = 0.0, hours: float = 100.0) -> Forecast:
    return Forecast(hourly, error, hours)


def test_the_hurdle_is_on_all_capital_tied_up() -> None:
    # 8.76 % a year on 1.65 of capital is 14.454 % a year on one of notional.
    assert hurdle_hourly(0.0876, 1.65) * 8_760 == pytest.approx(0.14454)


def test_apr_is_on_all_capital_tied_up() -> None:
    assert apr_on_capital(0.0165, 876.0, 1.65) == pytest.approx(0.10)


def seen(recent: float, deviation: float, hours: float = 1_000.0) -> UsualBasis:
    return UsualBasis(0.001, recent, deviation**2, hours, 0)


def test_only_an_unusual_basis_is_a_gain_or_a_loss() -> None:
    assert basis_gain(seen(0.0015, 0.0005)) == 0.0
    assert basis_gain(seen(0.0030, 0.0005)) == pytest.approx(0.001)
    assert basis_gain(seen(-0.0010, 0.0005)) == pytest.approx(-0.001)


def test_a_basis_not_known_for_a_day_gives_nothing() -> None:
    assert basis_gain(None) == 0.0
    assert basis_gain(seen(0.01, 0.0, hours=23.0)) == 0.0


def test_the_basis_stop_lies_outside_the_noise_of_the_pair() -> None:
    assert basis_stop(0.02, 5.0, None) == 0.02
    assert basis_stop(0.02, 5.0, seen(0.0, 0.001)) == 0.02
    assert basis_stop(0.02, 5.0, seen(0.0, 0.01, hours=10_000.0)) == pytest.approx(0.05)
    assert basis_stop(0.02, 5.0, seen(0.0, 0.01, hours=1.0)) == 0.02


def test_entry_must_pay_the_round_trip_the_hurdle_and_a_share_of_the_error() -> None:
    assert entry_rate(told(0.0, error=4e-6), 0.002, 1e-5, 0.5) == pytest.approx(2e-5 + 1e-5 + 2e-6)


def test_staying_is_worth_funding_over_the_hurdle_and_what_the_basis_gives_back() -> None:
    assert holding_value(told(3e-5), 1e-5, 0.001) == pytest.approx(0.002 + 0.001)


def test_a_return_is_as_likely_as_not_at_the_threshold_itself() -> None:
    assert return_probability(told(1e-5, error=1e-6), 1e-5) == pytest.approx(0.5)
    assert return_probability(told(1e-5, error=1e-6), 1e-5 + 1.645e-6) == pytest.approx(
        0.05, rel=0.01
    )


def test_a_certain_forecast_returns_for_sure_or_never() -> None:
    assert return_probability(told(1e-5), 1e-5) == 1.0
    assert return_probability(told(1e-5), 2e-5) == 0.0


def test_where_no_return_is_likely_any_expected_loss_closes() -> None:
    hopeless = told(-1e-4, error=1e-6)

    assert exit_loss(hopeless, 0.002, 0.0, 0.0) == pytest.approx(0.0, abs=1e-9)


def test_half_a_round_trip_may_be_lost_where_a_return_is_as_likely_as_not() -> None:
    at_the_threshold = told(2e-5, error=1e-6)

    assert exit_loss(at_the_threshold, 0.002, 0.0, 0.0) == pytest.approx(0.001)


def test_where_a_return_is_likely_a_small_expected_loss_is_borne() -> None:
    unsure = told(-1e-6, error=1e-4)

    assert -holding_value(unsure, 0.0, 0.0) < exit_loss(unsure, 0.002, 0.0, 0.0)


def test_a_move_of_two_sigma_is_touched_twice_as_often_as_it_is_ended_beyond() -> None:
    # 24 h at 1 % per root hour: sigma 4.9 %; P(|Z| > 2) = 4.55 %.
    sigma = 0.01 * 24**0.5

    assert liquidation_probability(0.01, 2 * sigma, 24.0) == pytest.approx(0.0455, rel=0.01)
    assert liquidation_probability(0.0, 0.1, 24.0) == 0.0
