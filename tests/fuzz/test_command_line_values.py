"""Whatever a person types for an option is read, or is explained in one line."""

import math
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.cli import values
from bot.cli.errors import CommandError, explained
from tests.fuzz.mangled import NUMBERS, many

READERS: list[Callable[[str], Any]] = [
    values.duration,
    values.instant,
    values.number,
    values.positive,
    values.not_negative,
    values.share,
    values.pair_names,
    values.speed,
    values.whole,
    values.bar,
    values.feed,
    values.existing_directory,
    values.existing_file,
    values.writable_file,
    values.writable_directory,
    values.address,
    values.base_url,
]
TEXTS = (
    *(token.strip('"') for token in NUMBERS),
    "9" * 5_000 + "d", "0." + "9" * 5_000 + "h", "1e5d", "1d1d1d", "٣d", "1.5.5h", "9999999w",
    "2025-02-15", "0001-01-01", "9999-12-31T23:59:59", "2025-02-15T08:00+23:59", "10000-01-01",
    "0001-01-01T00:00+14:00", "BTC,HYPE", ",", "BTC,", "btc", "ß,SS", "max", "simulated",
    "replay:", "replay:.", "replay:~nobody_of_that_name/x", "~nobody_of_that_name", "~", "-", ".",
    "/", "/dev/null", "/dev/full/x", "x" * 300, "x/" * 3_000, "a\nb", "\udcff", "1m", "",
)  # fmt: skip
# What a shell can hand over: no zero bytes, and bytes that are no text as lone surrogates.
typed = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0/~.") | st.just("\udcff"),
    max_size=12,
) | st.sampled_from(TEXTS)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers of files try whether these can be written."""
    monkeypatch.chdir(tmp_path)


def judge(reader: Callable[[str], Any], text: str) -> None:
    try:
        value = values.read("--option", reader, text)
    except (CommandError, OSError) as error:
        command = explained(error)
        assert command is not None
        assert isinstance(command, CommandError)
        return
    if isinstance(value, Decimal | float):
        assert math.isfinite(value)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
def test_any_odd_text_is_a_value_or_is_explained(reader: Callable[[str], Any]) -> None:
    for text in TEXTS:
        judge(reader, text)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
@many(60)
@given(text=typed)
@example("9" * 10**6 + "d")
@example("1" + "0" * 10**6)
@example("1e999999999999999999999")
def test_any_text_is_a_value_or_is_explained(reader: Callable[[str], Any], text: str) -> None:
    judge(reader, text)
