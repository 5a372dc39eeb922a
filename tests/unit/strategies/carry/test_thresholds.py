"""When to get in and when to get out: worked examples of the band."""

from math import inf, log

import pytest

from strategies.carry.switching import HOLDING_HOURS, Level, band
from strategies.carry.thresholds import (
    BASIS_HALF_LIFE_HOURS,
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
    assert basis_gain(seen(0.0015, 0.0005), 0.1) == 0.0
    assert basis_gain(seen(0.0030, 0.0005), 0.1) == pytest.approx(0.001)
    assert basis_gain(seen(-0.0010, 0.0005), -0.1) == pytest.approx(-0.001)


def test_a_basis_that_is_over_or_that_nobody_has_confirmed_is_no_gain() -> None:
    assert basis_gain(seen(0.0040, 0.0005), 0.0025) == pytest.approx(0.0005)
    assert basis_gain(seen(0.0040, 0.0005), 0.0010) == 0.0
    assert basis_gain(seen(0.0040, 0.0005), -0.0100) == 0.0
    assert basis_gain(seen(0.0010, 0.0005), 0.0400) == 0.0


def test_a_basis_not_known_for_a_day_gives_nothing() -> None:
    assert basis_gain(None, 0.01) == 0.0
    assert basis_gain(seen(0.01, 0.0), None) == 0.0
    assert basis_gain(seen(0.01, 0.0, hours=23.0), 0.01) == 0.0


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


def gaps_that_are_left(cost: float, levels: list[float]) -> list[float]:
    """How far (fraction) the perp has to be under its usual basis for a pair to be left: a dynamic
    programme over level and gap.

    Being in is worth nothing where one leaves, a round trip where one enters, and in between
    what the next hour brings and what it is worth then; the gap shrinks by its half-life.
    """
    level = Level(
        PROCESS.anchor_hourly, PROCESS.level_deviation_hourly, PROCESS.level_half_life_hours
    )
    speed, width = log(2.0) / level.half_life_hours, 1e-6
    grid = [k * width for k in range(-80, 160)]
    spread = speed * level.deviation**2 / width**2
    drift = [speed * (level.anchor - one) / (2.0 * width) for one in grid]
    worth = [band(cost, 0.0, level).worth(one) for one in grid]  # with no gap
    gap, left = 1e-5, [inf for _ in levels]
    while gap < 0.05:
        wider = gap * 2.0 ** (1.0 / BASIS_HALF_LIFE_HOURS)
        above, below = [*worth[1:], worth[-1]], [worth[0], *worth[:-1]]
        worth = [
            min(cost, max(0.0, one - (wider - gap) + (1.0 - 1.0 / HOLDING_HOURS) * (
                here + spread * (up + down - 2.0 * here) + pull * (up - down)
            )))
            for one, pull, here, up, down in zip(grid, drift, worth, above, below, strict=True)
        ]  # fmt: skip
        gap = wider
        left = [
            min(known, gap) if worth[round(one / width) + 80] <= 0.0 else known
            for known, one in zip(left, levels, strict=True)
        ]
    return left


@pytest.mark.parametrize("cost", [0.0019, 0.0086])
def test_a_pair_is_left_for_its_basis_where_a_dynamic_programme_leaves_it(cost: float) -> None:
    levels = [-3e-6, 4e-6, 1e-5, 2e-5, 4e-5, 1e-4]  # 2.6 % to pay a year, to 88 % to receive
    for level, gap in zip(levels, gaps_that_are_left(cost, levels), strict=True):
        standing = told(Standing(level, 0.0))

        # The programme's gaps are a twelfth apart.
        assert not leaves(standing, cost, gain=-gap / 1.2), level
        assert leaves(standing, cost, gain=-gap * 1.1), level


def test_a_rich_pair_is_left_for_a_gap_that_saves_more_than_the_way_back_costs() -> None:
    rich = told(Standing(1e-4, 0.0))

    assert not leaves(rich, cost=0.0086, gain=-0.0110)  # 0.86 % and some hours of 88 % a year
    assert leaves(rich, cost=0.0086, gain=-0.0140)


def test_what_was_left_for_its_basis_is_not_entered_before_that_is_back() -> None:
    rich = told(RICH)

    assert not enters(rich, gain=-0.004)
    assert not enters(rich, gain=-0.001)
    assert enters(rich, gain=-0.0002)  # less an hour than the funding


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


def test_a_pair_is_replaced_only_by_one_that_lastingly_pays_much_more() -> None:
    richer = Standing(FAIR.level + 5e-6, 0.0)  # 4.4 % a year more
    spike = Standing(FAIR.level, 1e-3)

    assert replaces(told(RICH), told(FAIR), 0.004, PROCESS)
    assert not replaces(told(richer), told(FAIR), 0.004, PROCESS)
    assert not replaces(told(spike), told(FAIR), 0.004, PROCESS)
    assert not replaces(told(RICH, before=FAIR), told(FAIR), 0.004, PROCESS)


def test_the_difference_of_two_levels_wanders_by_the_root_of_two_as_far_as_one() -> None:
    apart = Level(0.0, PROCESS.level_deviation_hourly * 2**0.5, PROCESS.level_half_life_hours)
    enough = band(0.004, 0.0, apart).enter
    alike = Standing(1e-5, 0.0)

    assert replaces(told(Standing(1e-5 + 1.01 * enough, 0.0)), told(alike), 0.004, PROCESS)
    assert not replaces(told(Standing(1e-5 + 0.99 * enough, 0.0)), told(alike), 0.004, PROCESS)


def test_a_round_trip_beyond_all_reason_is_never_paid() -> None:
    assert not enters(told(Standing(1e-3, 0.0)), cost=0.05)
