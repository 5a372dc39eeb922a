"""What a piece of history holds and lacks. Gaps are reported, never filled."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import ceil
from typing import Any

import msgspec

from bot.backtest.funding import settlement_hour
from domain.market import FundingSettled
from domain.time import DAY, HOUR, iso

GAP_MAX_NS = DAY
"""Without bars for longer an instrument counts as delisted until it has one again."""


class Coverage(msgspec.Struct, frozen=True):
    """One instrument's history inside the window asked for.

    Missing bars are counted between the first and the last; ``longest_gap_ns`` is
    the longest time without one. ``junk_bars`` were dropped and ``capped_bars``
    had an extreme cut back (spot only), being too far from the perp to be a price
    anyone could trade at. ``funding_missing`` counts settlements absent between
    the first and the last bar; None for spot. ``delisted_ns`` is when it ended, long
    before the run did: what was held of it was settled at its last price.
    """

    instrument: str
    bar: str
    first_ns: int | None
    last_ns: int | None
    bars: int
    missing_bars: int
    longest_gap_ns: int
    zero_volume_share: float
    junk_bars: int
    capped_bars: int
    funding_missing: int | None
    note: str
    delisted_ns: int | None = None

    def __str__(self) -> str:
        if self.first_ns is None or self.last_ns is None:
            return f"{self.instrument}: no bars"
        parts = [
            f"{self.instrument}: {self.bars} bars of {self.bar}",
            f"{iso(self.first_ns)} to {iso(self.last_ns)}",
            f"{self.missing_bars} missing",
        ]
        if self.longest_gap_ns:
            parts.append(f"longest gap {self.longest_gap_ns / HOUR:.2f} h")
        if self.junk_bars or self.capped_bars:
            parts.append(f"{self.junk_bars} junk dropped, {self.capped_bars} capped")
        if self.zero_volume_share:
            parts.append(f"{self.zero_volume_share:.1%} without volume")
        if self.funding_missing is not None:
            parts.append(f"{self.funding_missing} settlements missing")
        if self.delisted_ns is not None:
            parts.append(f"delisted {iso(self.delisted_ns)}")
        return ", ".join([*parts, self.note] if self.note else parts)


def lacks(leg: Mapping[str, Any], start_ns: int, end_ns: int) -> Iterator[str]:
    """What a leg lacks of a run from ``start_ns`` to ``end_ns``, a sentence each.

    ``leg`` is a ``Coverage`` as the result document has it.
    """
    name = str(leg["instrument"]).split(":", 1)[-1]
    if leg["first_ns"] is None:
        yield f"{name} has no bars in the window"
        return
    late = (leg["first_ns"] - start_ns) / DAY
    if late > 1:
        yield f"{name} begins {late:.1f} days after the start: listed later, or its file does"
    if (gone := leg["delisted_ns"]) is not None and gone < end_ns:
        yield (
            f"{name} was delisted on {iso(gone)[:10]}, or its file ends there: what was held of it "
            "was settled at its last price"
        )
    if missing := leg["missing_bars"]:
        gap = leg["longest_gap_ns"]
        told = f"{name} lacks bars: {missing}, the longest gap {gap / HOUR:.1f} hours"
        settled = ": what was held of it was settled where it began" if gap > GAP_MAX_NS else ""
        yield told + settled
    if absent := leg["funding_missing"]:
        yield f"{name} lacks settlements of funding: {absent}"


def gaps(times_ns: Sequence[int], bar_ns: int) -> tuple[int, int]:
    """Bars missing between the first and the last, and the longest time without one.

    >>> gaps([0, 60, 240], 60)
    (2, 120)
    """
    holes = [b - a - bar_ns for a, b in pairwise(times_ns) if b - a > bar_ns]
    return sum(holes) // bar_ns, max(holes, default=0)


def missing_settlements(
    records: Sequence[FundingSettled], first_ns: int, last_ns: int, usual_hours: int
) -> int:
    """Settlements due after ``first_ns`` and up to ``last_ns`` that ``records`` lacks.

    A settlement belongs to the whole hour it is stamped at or a little after. Each
    one says how many hours it was for, so how many are absent before it; before
    any has, they come every ``usual_hours``.
    """
    first, last = first_ns // HOUR, last_ns // HOUR
    missing, at = 0, first
    interval: float = usual_hours
    for record in records:
        if first < (hour := settlement_hour(record.venue_time_ns)) <= last:
            interval = record.rate.interval_hours
            missing += max(0, ceil((hour - at) / interval) - 1)
            at = hour
    return missing + int((last - at) // interval)
