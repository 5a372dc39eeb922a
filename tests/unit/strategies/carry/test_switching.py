"""The band: against a dynamic programme on a grid, and by what has to hold of it."""

from math import inf, log

import pytest

from strategies.carry.switching import HOLDING_HOURS, Level, band, transient

LEVEL = Level(anchor=1.25e-5, deviation=1e-5, half_life_hours=336.0)
HURDLE = 2e-6


def programme(round_trip: float, hurdle: float, level: Level) -> tuple[float, float]:
    """Where to leave and to enter, by iterating v = clip(y dt + E[v(next y)], 0, round trip).

    A random walk on a grid of a twentieth of a deviation with the drift and variance of the level.
    """
    speed, width, half = log(2) / level.half_life_hours, 0.05, 140
    mean, unit = (level.anchor - hurdle) / level.deviation, level.deviation / speed
    top, rate = round_trip / unit, 1 / (HOLDING_HOURS * speed)
    grid = [k * width for k in range(-half, half + 1)]
    dt = width**2 / 2.5
    up = [dt / width**2 + (mean - z) * dt / (2 * width) for z in grid]
    down = [dt / width**2 - (mean - z) * dt / (2 * width) for z in grid]
    stay = [1 - rate * dt - u - d for u, d in zip(up, down, strict=True)]
    value = [top * (z > 0) for z in grid]
    for _ in range(12_000):
        inner = [
            min(top, max(0.0, z * dt + u * above + s * here + d * below))
            for z, u, s, d, above, here, below in zip(
                grid[1:-1], up[1:-1], stay[1:-1], down[1:-1], value[2:], value[1:-1], value,
                strict=False,
            )
        ]  # fmt: skip
        moved = max(abs(a - b) for a, b in zip(inner, value[1:-1], strict=True))
        value = [0.0, *inner, top]
        if moved < 1e-7:
            break
    leave = max(z for z, v in zip(grid, value, strict=True) if v <= 1e-9)
    enter = min(z for z, v in zip(grid, value, strict=True) if v >= top - 1e-9)
    return hurdle + leave * level.deviation, hurdle + enter * level.deviation


MIRRORED = Level(-LEVEL.anchor, LEVEL.deviation, LEVEL.half_life_hours)


@pytest.mark.parametrize(
    ("round_trip", "hurdle", "level"),
    [
        (0.0019, HURDLE, LEVEL),
        (0.0027, 0.0, LEVEL),
        (0.0035, 1.5e-5, LEVEL),
        (0.025, HURDLE, LEVEL),
        (0.0086, HURDLE, MIRRORED),
    ],
)
def test_the_thresholds_are_those_of_a_dynamic_programme(
    round_trip: float, hurdle: float, level: Level
) -> None:
    leave, enter = programme(round_trip, hurdle, level)
    found = band(round_trip, hurdle, level)

    # A grid finds a threshold to about two of its steps: 5 % of a deviation each.
    assert found.leave == pytest.approx(leave, abs=0.1 * LEVEL.deviation)
    assert found.enter == pytest.approx(enter, abs=0.1 * LEVEL.deviation)


def test_what_costs_next_to_nothing_has_next_to_no_band() -> None:
    found = band(1e-7, HURDLE, LEVEL)

    assert found.leave < HURDLE < found.enter
    assert found.enter - found.leave < 0.2 * LEVEL.deviation


def test_a_round_trip_that_no_level_repays_is_never_entered() -> None:
    found = band(0.1, HURDLE, LEVEL)

    assert found.enter == inf
    assert found.worth(1.0) < 0.1


def test_worth_is_nothing_below_the_band_and_the_round_trip_above() -> None:
    found = band(0.0019, HURDLE, LEVEL)

    assert found.worth(found.leave - 1e-6) == 0.0
    assert found.worth(found.enter) == found.round_trip == 0.0019
    between = (found.leave + found.enter) / 2
    assert 0.0 < found.worth(between) < found.round_trip


def test_a_higher_anchor_makes_patient_and_eager() -> None:
    low, high = (band(0.0019, 0.0, Level(anchor, 1e-5, 336.0)) for anchor in (0.0, 1.25e-5))

    assert high.leave < low.leave
    assert high.enter < low.enter


def test_a_deviation_against_the_level_counts_only_while_it_turns_it() -> None:
    """By summing: a level of 1, a dip of -3 that halves every ten hours."""
    hours = [0.01 * k for k in range(20_000)]
    loss = sum(min(0.0, 1.0 - 3.0 * 0.5 ** (t / 10.0)) for t in hours) * 0.01

    assert transient(1.0, -3.0, 10.0) == pytest.approx(loss, rel=0.01)
    assert transient(-1.0, 3.0, 10.0) == pytest.approx(-loss, rel=0.01)
