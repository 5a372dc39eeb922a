"""Whatever a file of a sweep's space holds: dimensions that can be tried, or one clear line."""

from contextlib import suppress
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given

from bot.settings import Settings, SettingsError, altered, entries
from bot.sweep.space import Dimension, SweepError, points, read_space
from tests.fuzz.mangled import NUMBERS, damaged, is_long, many

KEYS = [f"{s}.{k}" for s in ("strategy", "risk", "execution") for k in entries(Settings(), s)]
GOOD = b"""[strategy]
funding_half_life_hours = {low = 4, high = 48, log = true}
basis_sigmas = {low = 3, high = 8, step = 1}
[risk]
opens_per_day_max = {low = 1, high = 12, step = 1}
"""
ODD = [
    *(str(token) for token in NUMBERS), "nan", "inf", "-inf", "1e308", "5e-324", "-1", "0", "1",
    "0.1", "9" * 30, "9" * 4301, "true", '"1"', "[]", "{}",
]  # fmt: skip
STEP = 1 if is_long() else 7


def judge(file: Path) -> None:
    try:
        space = read_space(file)
    except (SweepError, SettingsError) as error:
        text = str(error)
        assert "\n" not in text
        assert len(text) < 2_000
        return
    assert all(isinstance(dimension, Dimension) for dimension in space)
    nowhere = dict.fromkeys((dimension.key for dimension in space), -1e18)
    for values in islice(points(space, 1, nowhere), 20):
        assert all(d.low <= values[d.key] <= d.high for d in space)
        with suppress(SettingsError):
            altered(Settings(), values, "the sweep")


@pytest.mark.parametrize("form", ["{}", "{{low = {}, high = 8}}", "{{low = 1, high = {}}}",
                                  "{{low = 1, high = 8, step = {}}}",
                                  "{{low = {}, high = 9e14, log = true}}"])  # fmt: skip
def test_any_odd_number_of_any_key_is_a_dimension_or_is_explained(
    tmp_path: Path, form: str
) -> None:
    file = tmp_path / "space.toml"
    for number, key in enumerate(KEYS):
        section, _, name = key.partition(".")
        for odd in ODD[number % STEP :: STEP]:
            file.write_text(f"[{section}]\n{name} = {form.format(odd)}\n", encoding="utf-8")
            judge(file)


@many(200)
@given(damaged(GOOD))
def test_a_damaged_file_is_a_space_or_is_explained(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "damaged_space.toml"
    file.write_bytes(content)
    judge(file)
