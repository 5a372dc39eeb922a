"""The table of events that ships, and what is wrong with somebody's own."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from bot.events_file import EventsError, reach, read_events, running_out
from domain.time import SECOND, parse_instant
from execution.risk.calendar import Event

Write = Callable[[str], Path]
NEW_YORK = ZoneInfo("America/New_York")
ROW = '[[event]]\nkind = "upgrade"\nat = 2026-12-01T14:00:00Z\nsource = "https://example.org"\n'


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str) -> Path:
        file = tmp_path / "events.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return written


def local(event: Event) -> datetime:
    return datetime.fromtimestamp(event.at_ns // SECOND, UTC).astimezone(NEW_YORK)


def test_what_ships_is_at_the_hour_in_new_york_that_its_publisher_keeps() -> None:
    hours = {kind: set[tuple[int, int]]() for kind in ("FOMC", "CPI")}
    for event in read_events():
        hours[event.kind].add((local(event).hour, local(event).minute))

    assert hours == {"FOMC": {(14, 0)}, "CPI": {(8, 30)}}


def test_the_committee_meets_eight_times_a_year_and_decides_on_a_wednesday() -> None:
    decisions = [local(event) for event in read_events() if event.kind == "FOMC"]

    assert {moment.weekday() for moment in decisions} == {2}
    for year in (2025, 2026, 2027):
        assert sum(moment.year == year for moment in decisions) == 8


def test_prices_are_released_once_a_month_on_a_working_day() -> None:
    releases = [local(e) for e in read_events() if e.kind == "CPI" and local(e).year == 2026]

    assert sorted(moment.month for moment in releases) == list(range(1, 13))
    assert all(moment.weekday() < 5 for moment in releases)


def test_every_row_that_ships_has_an_address_as_its_source() -> None:
    assert all(event.source.startswith("https://") for event in read_events())


def test_a_table_of_ones_own_is_read_in_order_of_time(write: Write) -> None:
    later = ROW.replace("12-01", "12-02")
    events = read_events(write(later + ROW))

    assert events[0] == Event(
        "upgrade", parse_instant("2026-12-01T14:00:00Z"), "https://example.org"
    )
    assert events[1].at_ns > events[0].at_ns
    assert reach(events) == "2 events, upgrade to 2026-12-02"


def test_what_ends_within_thirty_days_is_told_and_what_goes_on_is_not() -> None:
    now_ns = parse_instant("2026-11-26T00:00:00Z")
    ended, ending, later = (
        Event(kind, parse_instant(at), "told")
        for kind, at in (
            ("CPI", "2026-11-25T00:00:00Z"),
            ("FOMC", "2026-12-26T00:00:00Z"),
            ("upgrade", "2027-01-26T00:00:00Z"),
        )
    )

    every = (ended, ending, later)
    assert running_out(every, now_ns) == ["no CPI is ahead any more"]
    assert running_out(every, now_ns + SECOND) == [
        "no CPI is ahead any more",
        "FOMC is known until 2026-12-26 only",
    ]


def test_an_empty_table_is_one_and_says_so(write: Write) -> None:
    assert read_events(write("")) == ()
    assert "nothing is known" in reach(())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("event = 3", "unknown key 'event'"),
        ("evnet = []", "unknown key 'evnet'"),
        ("event = [3]", "event 1: has to have kind, at and source"),
        (ROW + "note = 1", "event 1: has to have kind, at and source, and nothing else"),
        (ROW + '[[event]]\nkind = "x"\n', "event 2: has to have kind"),
        (ROW.replace("2026-12-01T14:00:00Z", "2026-12-01"), "instant with its zone"),
        (ROW.replace("14:00:00Z", "14:00:00"), "instant with its zone"),
        (ROW.replace('"upgrade"', '""'), "kind has to be text"),
        (ROW.replace('"https://example.org"', "1"), "source has to be text"),
        (ROW.replace("upgrade", "u" * 41), "longer than 40"),
        ("[[event", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_its_row(write: Write, text: str, says: str) -> None:
    file = write(text)
    with pytest.raises(EventsError, match=r"^[^\n]+$") as told:
        read_events(file)

    assert says in str(told.value)
    assert str(told.value).startswith(str(file))


def test_a_missing_table_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(EventsError, match=r"mine\.toml: cannot be read"):
        read_events(tmp_path / "mine.toml")
