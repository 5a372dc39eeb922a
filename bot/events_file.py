"""The table of events, read from ``config/events.toml`` or from a file of the user's own."""

import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any

from bot.config_files import config_file
from domain.time import DAY, MICROSECOND, SECOND, iso
from execution.risk.calendar import Event, last_of_each, run_out

AHEAD_DAYS = 30
"""How long before its end a table is told of: CPI is published monthly, and dates a year ahead."""
_KEYS = {"kind", "at", "source"}
_KIND_LENGTH = 40
_SOURCE_LENGTH = 300


class EventsError(ValueError):
    """The table is wrong. One sentence: which file, which row, what to do."""


def read_events(path: Path | None = None) -> tuple[Event, ...]:
    """The events of ``path``, or those that ship with the program, in order of time.

    Raises:
        EventsError: no such file, no TOML, or a row that is not kind, UTC instant and source.
    """
    file = path if path is not None else config_file("events.toml")
    try:
        told = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise EventsError(f"{file}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # also what is no UTF-8
        raise EventsError(f"{file}: not valid TOML: {str(error)[:200]}") from None
    rows = told.pop("event", [])
    if told or not isinstance(rows, list):
        wrong = next(iter(told), "event")
        raise EventsError(f"{file}: unknown key {wrong[:60]!r}: rows go into [[event]]")
    events = [_event(file, number, row) for number, row in enumerate(rows, start=1)]
    return tuple(sorted(events, key=lambda event: (event.at_ns, event.kind)))


def reach(events: tuple[Event, ...]) -> str:
    """Until when the table goes, kind by kind: for a person."""
    if not events:
        return "empty: nothing is known to be ahead"
    told = [f"{kind} to {iso(at_ns)[:10]}" for kind, at_ns in last_of_each(events).items()]
    return f"{len(events)} events, {', '.join(told)}"


def running_out(events: tuple[Event, ...], now_ns: int) -> list[str]:
    """What has to be added to the table by now, a sentence each: for a person."""
    last = last_of_each(events)
    return [
        f"{kind} is known until {iso(last[kind])[:10]} only"
        if last[kind] >= now_ns
        else f"no {kind} is ahead any more"
        for kind in run_out(events, now_ns + AHEAD_DAYS * DAY)
    ]


def _event(file: Path, number: int, row: Any) -> Event:
    where = f"{file}: event {number}"
    if not isinstance(row, dict) or set(row) != _KEYS:
        raise EventsError(f"{where}: has to have kind, at and source, and nothing else")
    kind, at, source = row["kind"], row["at"], row["source"]
    if not isinstance(at, datetime) or at.tzinfo is None:
        raise EventsError(
            f"{where}: at has to be an instant with its zone, such as 2026-12-09T19:00:00Z"
        )
    for name, text, most in (("kind", kind, _KIND_LENGTH), ("source", source, _SOURCE_LENGTH)):
        if not isinstance(text, str) or not text.strip() or not text.isprintable():
            raise EventsError(f"{where}: {name} has to be text: what it is, where it is from")
        if len(text) > most:
            raise EventsError(f"{where}: {name} is longer than {most} characters")
    at_ns = int(at.timestamp()) * SECOND + at.microsecond * MICROSECOND
    return Event(kind.strip(), at_ns, source.strip())
