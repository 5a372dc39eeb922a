"""How good the forecasts are: ``python -m tests.study.forecasts --data DIR [--role choosing]``.

Every pair and window of a role; once a day what was forecast for the mean rate of the coming
hours is set against what came. Each forecast sees only the settlements before it, the venue's
running estimate is in no record and in no forecast.
"""

import argparse
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from math import fsum, nan, sqrt
from pathlib import Path
from typing import NamedTuple

from domain.time import DAY, HOUR, HOURS_PER_YEAR
from strategies.funding.forecast import WINDOW_NS, ForecastPolicy, FundingProcess
from strategies.market.state import Settlement
from tests.study.series import Series, load_sets
from tests.study.windows import ROLES, Window, cells

HORIZONS = (1.0, 24.0, 168.0, 720.0)
"""Hours. Where a venue settles every eight, the first is its next settlement."""
NAIVE = ("last value", "mean of 7 days", "EWMA 24 h")
WARM_HOURS = 24.0


class Miss(NamedTuple):
    """One forecast by each method less what came, per hour; ``error`` is what ours claimed."""

    horizon: float
    naive: tuple[float, ...]
    ours: float
    error: float


class Score(NamedTuple):
    """Root mean square, mean absolute and mean miss, % a year; share within 1 and 2 errors."""

    rms: float
    mean_absolute: float
    bias: float
    within: tuple[float, float]


def misses(series: Series, window: Window, policy: ForecastPolicy) -> Iterator[Miss]:
    """Every forecast of a window that the window itself can judge."""
    settled = series.settled[series.first(window[0] - WINDOW_NS) : series.first(window[1])]
    process, ewma, seen, day = FundingProcess(policy), policy.anchor_hourly, 0.0, -1
    paid = [0.0, *accumulate(s.per_hour * s.hours for s in settled)]
    for i, now in enumerate(settled):
        process.update((now,))
        ewma += (1.0 - 0.5 ** (now.hours / 24.0)) * (now.per_hour - ewma)
        seen += now.hours
        if now.time_ns < window[0] or now.time_ns // DAY == day or seen < WARM_HOURS:
            continue
        day = now.time_ns // DAY
        naive = (now.per_hour, _mean(settled, paid, i + 1, now.time_ns - 7 * DAY), ewma)
        for hours in HORIZONS:
            horizon = max(hours, now.hours)
            last = _reach(settled, i, horizon)
            if last is None:
                continue
            came = (paid[last + 1] - paid[i + 1]) / horizon
            told = process.forecast(None, horizon)
            gaps = tuple(one - came for one in naive)
            yield Miss(hours, gaps, told.hourly - came, told.error)


def _mean(settled: Sequence[Settlement], paid: Sequence[float], end: int, after_ns: int) -> float:
    first = bisect_left(settled, after_ns + HOUR // 2, key=lambda s: s.time_ns)
    return (paid[end] - paid[first]) / fsum(s.hours for s in settled[first:end])


def _reach(settled: Sequence[Settlement], i: int, horizon: float) -> int | None:
    """Index of the settlement that ends the horizon; None where one on the way is missing."""
    end_ns = settled[i].time_ns + int(horizon * HOUR)
    last = bisect_left(settled, end_ns - HOUR // 2, key=lambda s: s.time_ns)
    if last == len(settled) or settled[last].time_ns > end_ns + HOUR // 2:
        return None
    hours = fsum(s.hours for s in settled[i + 1 : last + 1])
    return last if abs(hours - horizon) < 0.5 else None


def score(found: Sequence[tuple[float, float]]) -> Score:
    """Of (miss, claimed error) pairs."""
    count = len(found) or nan
    yearly = HOURS_PER_YEAR * 100
    return Score(
        sqrt(fsum(miss * miss for miss, _ in found) / count) * yearly,
        fsum(abs(miss) for miss, _ in found) / count * yearly,
        fsum(miss for miss, _ in found) / count * yearly,
        (
            sum(abs(miss) <= error for miss, error in found) / count,
            sum(abs(miss) <= 2 * error for miss, error in found) / count,
        ),
    )


def table(many: Iterable[Series], role: str, policy: ForecastPolicy) -> str:
    found = [miss for cell in cells(many, role) for miss in misses(*cell, policy)]
    out = [
        "| horizon | forecasts | " + " | ".join((*NAIVE, "ours")) + " | within 1 | within 2 |",
        "|" + "---|" * (len(NAIVE) + 5),
    ]
    for horizon in HORIZONS:
        of = [miss for miss in found if miss.horizon == horizon]
        if not of:
            continue
        rows = [score([(miss.naive[k], 0.0) for miss in of]) for k in range(len(NAIVE))]
        ours = score([(miss.ours, miss.error) for miss in of])
        shown = [f"{s.rms:.1f} / {s.mean_absolute:.1f} / {s.bias:+.1f}" for s in (*rows, ours)]
        shares = [f"{share:.0%}" for share in ours.within]
        out.append(f"| {horizon:g} h | {len(of)} | " + " | ".join((*shown, *shares)) + " |")
    return "\n".join(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--role", choices=ROLES, action="append")
    asked = parser.parse_args()
    sets = load_sets(asked.data)
    for role in asked.role or ("choosing", "checking"):
        for name, many in sets.items():
            print(f"\n{name}, {role}\n\n{table(many, role, ForecastPolicy())}")


if __name__ == "__main__":
    main()
