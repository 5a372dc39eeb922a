"""When to get in and when to get out: worked examples of the band."""

import pytest

from strategies.carry.thresholds import (
    apr_on_capital,
    basis_gain,
    basis_stop,
    entering,
    hurdle_hourly,
    replaces,
    staying,
)
from strategies.funding.forecast import Forecast, ForecastPolicy, Standing
from strategies.market.basis import UsualBasis

PROCESS = ForecastPolicy()
RICH, FAIR, POOR = Standing(4e-5, 0.0), Standing(3e-6, 0.0), Standing(-4e-5, 0.0)
"""Of levels, per hour: 35 %, 2.6 % and -35 % a year."""


def told(now: Standing, before: Standing | None = None) -> Forecast:
    return Forecast(now.level, 0.0, 100.0, now, before or now)


def enters(forecast: Forecast, cost: float = 0.002, gain: float = 0.0) -> bool:
    return entering(forecast, cost, gain, 0.0, PROCESS).pays_entry


def leaves(forecast: Forecast, cost: float = 0.002, gain: float = 0.0) -> bool:
    return staying(forecast, cost, gain, 0.0, PROCESS).pays_exit


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


def test_a_rich_level_is_entered_a_poor_one_left_and_between_nothing_is_done() -> None:
    assert enters(told(RICH))
    assert not leaves(told(RICH))
    assert leaves(told(POOR))
    assert not enters(told(POOR))
    assert not enters(told(FAIR))
    assert not leaves(told(FAIR))


def test_a_cheap_basis_closes_what_is_not_worth_coming_back_to_and_nothing_rich() -> None:
    """A perp 2.65 % under its usual basis: gained by leaving, lost again by coming back."""
    rich = told(Standing(1e-4, 0.0))

    assert leaves(told(FAIR), cost=0.0086, gain=-0.0265)
    assert not leaves(rich, cost=0.0086, gain=-0.0265)
    assert leaves(rich, cost=0.0086, gain=-0.06)


def test_no_single_print_opens_or_closes() -> None:
    assert not enters(told(RICH, before=FAIR))
    assert not leaves(told(POOR, before=FAIR))
    crash = Standing(RICH.level, -1e-3)
    assert not leaves(told(crash, before=RICH))
    assert leaves(told(crash, before=crash))


def test_a_dip_that_leaves_funding_above_the_hurdle_takes_nothing() -> None:
    dip = Standing(RICH.level, -RICH.level / 2)

    assert staying(told(dip), 0.002, 0.0, 0.0, PROCESS).value == pytest.approx(0.002, rel=0.01)
    assert enters(told(dip))


def test_a_spike_may_pay_for_the_way_by_itself() -> None:
    spike = Standing(FAIR.level, 2e-4)  # 46 bps until it has died out

    assert enters(told(spike))


def test_a_favourable_basis_pays_the_way_and_is_waited_for() -> None:
    modest = Standing(5e-6, 0.0)

    assert not enters(told(modest))
    assert enters(told(modest), gain=0.002)
    assert leaves(told(POOR))
    assert not leaves(told(POOR), gain=0.001)


def test_an_unfavourable_basis_is_one_more_cost() -> None:
    nearly = Standing(8e-6, 0.0)

    assert enters(told(nearly))
    assert not enters(told(nearly), gain=-0.005)


def test_a_pair_is_replaced_only_by_one_that_lastingly_pays_much_more() -> None:
    richer = Standing(FAIR.level + 5e-6, 0.0)  # 4.4 % a year more
    spike = Standing(FAIR.level, 1e-3)

    assert replaces(told(RICH), told(FAIR), 0.004, PROCESS)
    assert not replaces(told(richer), told(FAIR), 0.004, PROCESS)
    assert not replaces(told(spike), told(FAIR), 0.004, PROCESS)
    assert not replaces(told(RICH, before=FAIR), told(FAIR), 0.004, PROCESS)


def test_a_round_trip_beyond_all_reason_is_never_paid() -> None:
    assert not enters(told(Standing(1e-3, 0.0)), cost=0.05)
