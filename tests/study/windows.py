"""The windows of the study, as ``docs/strategy_protocol.md`` fixed them before any result."""

from collections.abc import Iterable, Iterator
from itertools import pairwise

from domain.time import HOUR, parse_instant
from tests.study.series import Series

Window = tuple[int, int]
"""After the first instant, up to the second; nanoseconds."""

ROLES = ("fitting", "choosing", "checking", "sealed")
WHOLE = 0.9
"""Of a window, so much must be settled for a perp of the wide set to count."""
LEAST_HOURS = 240.0
"""A window with less than ten days of a pair says nothing of it."""


def _windows(*days: str) -> list[Window]:
    return list(pairwise(parse_instant(day) for day in days))


_HOURLY = {
    "fitting": _windows("2023-07-01", "2023-10-01", "2024-01-01"),
    "choosing": _windows(
        "2024-01-01", "2024-04-01", "2024-07-01", "2024-10-01",
        "2025-01-01", "2025-04-01", "2025-06-01",
    ),
    "checking": _windows("2025-09-01", "2025-11-01"),
    "sealed": _windows("2025-11-01", "2026-02-01"),
}  # fmt: skip
WINDOWS: dict[str, dict[str, list[Window]]] = {
    "hyperliquid": _HOURLY,
    "wide": _HOURLY,
    "binance": {
        **_HOURLY,
        "fitting": _windows(
            "2020-07-01", "2021-01-01", "2021-07-01", "2022-01-01",
            "2022-07-01", "2023-01-01", "2023-07-01", "2024-01-01",
        ),
        "choosing": _windows("2024-01-01", "2024-07-01", "2025-01-01", "2025-06-01"),
    },
}  # fmt: skip


def cells(many: Iterable[Series], role: str) -> Iterator[tuple[Series, Window]]:
    """Every pair and window of a role that the data covers."""
    for series in many:
        for window in WINDOWS[series.venue][role]:
            first, last = series.first(window[0]), series.first(window[1])
            hours = sum(settlement.hours for settlement in series.settled[first:last])
            whole = hours >= WHOLE * (window[1] - window[0]) / HOUR
            if hours >= LEAST_HOURS and (whole or series.venue != "wide"):
                yield series, window
