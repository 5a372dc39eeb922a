"""What is known to be ahead, and until when."""

from math import inf

import pytest

from domain.time import HOUR, parse_instant
from execution.risk.calendar import Ahead, Event, ahead, is_weekend, last_of_each, run_out

NOON = parse_instant("2026-12-09T12:00:00Z")
FOMC = Event("FOMC", NOON + 7 * HOUR, "told")
CPI = Event("CPI", NOON + 25 * HOUR, "told")


def test_the_nearest_event_is_ahead_whatever_the_order_of_the_table() -> None:
    assert ahead((CPI, FOMC), NOON) == ahead((FOMC, CPI), NOON) == Ahead("FOMC", 7.0)


def test_an_event_is_ahead_up_to_its_instant_and_no_longer() -> None:
    assert ahead((FOMC,), FOMC.at_ns) == Ahead("FOMC", 0.0)
    assert ahead((FOMC,), FOMC.at_ns + 1) == Ahead("", inf)


def test_of_two_events_at_one_instant_the_table_names_one_and_always_the_same() -> None:
    twin = Event("CPI", FOMC.at_ns, "told")
    assert ahead((FOMC, twin), NOON) == ahead((twin, FOMC), NOON) == Ahead("CPI", 7.0)


@pytest.mark.parametrize(
    ("moment", "weekend"),
    [
        ("2026-11-27T23:59:59Z", False),  # a Friday
        ("2026-11-28T00:00:00Z", True),
        ("2026-11-29T23:59:59Z", True),
        ("2026-11-30T00:00:00Z", False),
        ("1970-01-01T00:00:00Z", False),
    ],
)
def test_a_weekend_is_saturday_and_sunday_by_utc(moment: str, *, weekend: bool) -> None:
    assert is_weekend(parse_instant(moment)) is weekend


def test_a_table_runs_out_kind_by_kind() -> None:
    later = Event("FOMC", NOON + 1000 * HOUR, "told")
    table = (FOMC, CPI, later)

    assert last_of_each(table) == {"CPI": CPI.at_ns, "FOMC": later.at_ns}
    assert run_out(table, CPI.at_ns) == ()
    assert run_out(table, CPI.at_ns + 1) == ("CPI",)
    assert run_out((), NOON) == ()
