"""Which configurations a sweep tries, and in which order."""

from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.settings import SettingsError
from bot.sweep.space import Dimension, Space, SweepError, points, read_space

HALF_LIFE = Dimension("strategy.funding_half_life_hours", 4, 48, log=True)
SIGMAS = Dimension("strategy.basis_sigmas", 3, 8, step=1)
OPENS = Dimension("risk.opens_per_day_max", 1, 12, whole=True, step=1)
AS_IT_IS = {HALF_LIFE.key: 16.0, SIGMAS.key: 5.0, OPENS.key: 12}


def tried(space: Space, seed: int, count: int) -> list[dict[str, int | float]]:
    return list(islice(points(space, seed, AS_IT_IS), count))


@given(st.integers(0, 1000))
def test_every_configuration_lies_in_the_space_and_comes_once(seed: int) -> None:
    found = tried((HALF_LIFE, SIGMAS, OPENS), seed, 100)

    assert len({tuple(values.items()) for values in found}) == 100
    assert all(4 <= values[HALF_LIFE.key] <= 48 for values in found)
    assert {values[SIGMAS.key] for values in found} <= {3, 4, 5, 6, 7, 8}
    assert all(type(values[OPENS.key]) is int for values in found)


def test_the_settings_as_they_are_come_first_where_the_space_holds_them() -> None:
    elsewhere = Dimension(HALF_LIFE.key, 20, 48)

    assert tried((HALF_LIFE, SIGMAS), 1, 1) == [{HALF_LIFE.key: 16.0, SIGMAS.key: 5.0}]
    assert tried((elsewhere,), 1, 1)[0][HALF_LIFE.key] >= 20


def test_the_order_depends_on_the_seed_and_not_on_how_many_are_asked_for() -> None:
    space = HALF_LIFE, SIGMAS

    assert tried(space, 7, 50)[:20] == tried(space, 7, 20)
    assert tried(space, 7, 20) != tried(space, 8, 20)


def test_a_finite_space_is_walked_in_full_and_then_ends() -> None:
    found = tried((SIGMAS, OPENS), 1, 1000)

    assert len(found) == 6 * 12
    assert len({tuple(values.items()) for values in found}) == 6 * 12


def test_a_space_of_few_numbers_ends_though_it_has_no_steps() -> None:
    few = Dimension(OPENS.key, 1, 3, log=True, whole=True)

    assert sorted(values[few.key] for values in tried((few,), 1, 1000)) == [1, 2, 3]


def test_endless_dimensions_are_filled_evenly() -> None:
    """Of 128 points every eighth of each dimension has about its sixteen; chance would not."""
    plain = Dimension("strategy.guard_hours", 0, 8)
    found = tried_at((plain, HALF_LIFE), 128)
    eighths = [int(values[plain.key]) for values in found]
    low, high = HALF_LIFE.low, HALF_LIFE.high
    logs = [values[HALF_LIFE.key] < (low * high) ** 0.5 for values in found]

    assert all(13 <= eighths.count(k) <= 19 for k in range(8))
    assert 58 <= sum(1 for below in logs if below) <= 70


def tried_at(space: Space, count: int) -> list[dict[str, int | float]]:
    nowhere = dict.fromkeys((dimension.key for dimension in space), -1.0)
    return list(islice(points(space, 3, nowhere), count))


def test_a_file_is_read_as_it_is_written(tmp_path: Path) -> None:
    file = tmp_path / "space.toml"
    file.write_text(
        "[strategy]\nfunding_half_life_hours = {low = 4, high = 48, log = true}\n"
        "basis_sigmas = {low = 3, high = 8, step = 1}\n"
        "[risk]\nopens_per_day_max = {low = 1, high = 12}\n"
    )

    assert read_space(file) == (HALF_LIFE, SIGMAS, OPENS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "nothing varies"),
        ("[strategy", "not valid TOML"),
        ("[strategy]\nbasis_sigma = {low = 1, high = 2}", "did you mean 'strategy.basis_sigmas'"),
        ("[stratgy]\nbasis_sigmas = {low = 1, high = 2}", "did you mean 'strategy'"),
        ("[metrics]\nport = {low = 1, high = 2}", "decides nothing of a backtest"),
        ("[strategy]\nbasis_sigmas = 3", "write {low = 4, high = 48}"),
        ("[strategy]\nbasis_sigmas = {low = 3}", "missing required field `high`"),
        ("[strategy]\nbasis_sigmas = {low = 3, high = 8, steps = 1}", "unknown field `steps`"),
        ("[strategy]\nbasis_sigmas = {low = 8, high = 3}", "low is not below high"),
        ("[strategy]\nbasis_sigmas = {low = 3, high = inf}", "beyond all reason"),
        ("[strategy]\nbasis_sigmas = {low = 0, high = 3, log = true}", "low above zero"),
        ("[strategy]\nbasis_sigmas = {low = 1, high = 3, log = true, step = 1}", "no step"),
        ("[strategy]\nbasis_sigmas = {low = 1, high = 3, step = 0}", "more than zero"),
        ("[strategy]\nbasis_sigmas = {low = 1, high = 3, step = 0.3}", "whole number of steps"),
        ("[risk]\nopens_per_day_max = {low = 1, high = 2.5}", "is a whole number"),
    ],
)
def test_a_file_that_is_none_is_told_where_and_what(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "space.toml"
    file.write_text(text)

    with pytest.raises((SweepError, SettingsError)) as error:
        read_space(file)

    assert said in str(error.value)
    assert str(file) in str(error.value)
