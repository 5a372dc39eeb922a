"""Events whose time is known ahead, and weekends: when to be careful, and until when it is known.

Pure. The table is data (``config/events.toml``, or a user's own) and is read elsewhere.
"""

from collections.abc import Iterable
from math import inf

import msgspec

from domain.time import DAY, HOUR

_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday, and Monday is 0
_SATURDAY = 5


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``kind`` is what it is (FOMC, CPI, an upgrade), ``source`` where its date is from."""

    kind: str
    at_ns: int
    source: str


class Ahead(msgspec.Struct, frozen=True):
    """The next event: its kind, and in how many hours; infinite where none is known."""

    kind: str = ""
    hours: float = inf


def ahead(events: Iterable[Event], now_ns: int) -> Ahead:
    """The nearest event that is still to come, or is happening at this very instant."""
    coming = [(event.at_ns, event.kind) for event in events if event.at_ns >= now_ns]
    if not coming:
        return Ahead()
    at_ns, kind = min(coming)
    return Ahead(kind, (at_ns - now_ns) / HOUR)


def is_weekend(now_ns: int) -> bool:
    """Saturday or Sunday, UTC."""
    return (now_ns // DAY + _EPOCH_WEEKDAY) % 7 >= _SATURDAY


def last_of_each(events: Iterable[Event]) -> dict[str, int]:
    """Until when each kind is known: its last instant, by kind in alphabetical order."""
    last: dict[str, int] = {}
    for event in events:
        last[event.kind] = max(event.at_ns, last.get(event.kind, 0))
    return dict(sorted(last.items()))


def run_out(events: Iterable[Event], now_ns: int) -> tuple[str, ...]:
    """The kinds of which nothing is to come: nobody is careful before them any more."""
    return tuple(kind for kind, at_ns in last_of_each(events).items() if at_ns < now_ns)
