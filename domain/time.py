"""Instants are integers: nanoseconds since 1970-01-01 UTC. Only the shell asks what time it is."""

from datetime import UTC, datetime

MICROSECOND = 1_000
MILLISECOND = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
HOURS_PER_YEAR = 8_760


def iso(time_ns: int) -> str:
    """UTC text to the second, with milliseconds only where there are any.

    >>> iso(1_753_100_000_000_000_000)
    '2025-07-21T12:13:20Z'
    """
    seconds, rest = divmod(time_ns, SECOND)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    milliseconds = rest // MILLISECOND
    return f"{text}.{milliseconds:03d}Z" if milliseconds else f"{text}Z"


def parse_instant(text: str) -> int:
    """An ISO date or date-time, UTC unless it says otherwise, as nanoseconds.

    >>> parse_instant("2025-02-15") == parse_instant("2025-02-15T00:00:00Z")
    True

    Raises:
        ValueError: when the text is neither.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * SECOND + moment.microsecond * MICROSECOND


def next_hour(time_ns: int) -> int:
    """The first whole UTC hour strictly after ``time_ns``."""
    return (time_ns // HOUR + 1) * HOUR
