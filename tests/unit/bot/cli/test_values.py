from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.cli import values
from bot.cli.errors import CommandError
from domain.time import DAY, HOUR, MINUTE, SECOND, iso


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("90s", 90 * SECOND),
        ("30m", 30 * MINUTE),
        ("24h", 24 * HOUR),
        ("2d", 2 * DAY),
        ("1w", 7 * DAY),
        ("1d12h", 36 * HOUR),
        ("1.5h", 90 * MINUTE),
        (" 24H ", 24 * HOUR),
    ],
)
def test_a_duration_is_read_in_the_units_it_names(text: str, nanoseconds: int) -> None:
    assert values.duration(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "24", "h", "-1h", "0h", "1y", "1h x", "1e3s", "nan"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|no time"):
        values.duration(text)


@given(st.integers(1, 10_000), st.integers(1, 10_000))
def test_durations_add_up(hours: int, seconds: int) -> None:
    together = values.duration(f"{hours}h{seconds}s")

    assert together == values.duration(f"{hours}h") + values.duration(f"{seconds}s")


def test_a_date_is_midnight_utc() -> None:
    assert iso(values.instant("2025-02-15")) == "2025-02-15T00:00:00Z"


@pytest.mark.parametrize("text", ["", "yesterday", "15.02.2025", "2025-13-01", "2025"])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a date"):
        values.instant(text)


@pytest.mark.parametrize("text", ["0001-01-01", "1969-12-31T23:59:59"])
def test_a_date_of_before_any_history_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="before 1970"):
        values.instant(text)


@pytest.mark.parametrize("text", ["", "x", "1,000", "nan", "inf", "-inf", "1e", "2%"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        values.number(text)


def test_a_percentage_is_answered_with_how_to_write_it() -> None:
    with pytest.raises(ValueError, match=r"0\.02 for 2 %"):
        values.number("2%")


@pytest.mark.parametrize("text", ["0", "-1", "-0.0001"])
def test_capital_is_more_than_zero(text: str) -> None:
    with pytest.raises(ValueError, match="more than zero"):
        values.positive(text)


@given(st.decimals(-(10**12), 10**12, places=12))
def test_a_number_is_read_exactly(number: Decimal) -> None:
    assert values.number(str(number)) == number


def test_pairs_keep_their_order() -> None:
    assert values.pair_names("hype, BTC") == ("HYPE", "BTC")


@pytest.mark.parametrize("text", ["", "BTC,", ",", "BTC;ETH", "BTC/USDC", "BTC,btc"])
def test_a_malformed_list_of_pairs_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"list of pairs|named twice"):
        values.pair_names(text)


def test_speed_is_simulated_seconds_a_second_or_none_for_max() -> None:
    assert values.speed("14400") == 14_400.0
    assert values.speed("MAX") is None


@pytest.mark.parametrize("text", ["0", "-1", "fast", "nan", "inf", "4h"])
def test_what_is_no_speed_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a speed"):
        values.speed(text)


@pytest.mark.parametrize("text", ["", "live", "simulated:x", "replay", "replay:", "replay:/none"])
def test_a_malformed_feed_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a feed|no directory"):
        values.feed(text)


def test_a_replay_names_its_directory(tmp_path: Path) -> None:
    assert values.feed(f"replay:{tmp_path}") == ("replay", tmp_path)


def test_a_file_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no directory"):
        values.writable_file(str(tmp_path / "none" / "x.json"))
    with pytest.raises(ValueError, match="is a directory"):
        values.writable_file(str(tmp_path))


def test_a_wrong_value_names_its_option() -> None:
    with pytest.raises(CommandError, match=r"^--for: 'soon' is not a duration"):
        values.read("--for", values.duration, "soon")


@given(st.text(max_size=12))
def test_whatever_is_typed_is_read_or_refused(text: str) -> None:
    readers = (
        values.duration,
        values.instant,
        values.number,
        values.pair_names,
        values.speed,
        values.whole,
        values.bar,
        values.feed,
    )
    for reader in readers:
        with suppress(ValueError):
            reader(text)
