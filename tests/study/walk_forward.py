"""Speeds fitted to the past alone: ``python -m tests.study.walk_forward --data DIR [--rows]``.

Before each window every set of speeds of a grid is tried on all windows of the configured pairs,
of both venues, that had ended by then, and the one that earned most there is used in the window:
so every window but those of the first half-year is out of sample. What that earned, in basis
points of notional, beside the rule with the speeds as they are shipped and the six of thumb.
"""

import argparse
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from math import fsum
from pathlib import Path

from domain.time import iso
from strategies.carry.policy import CarryPolicy
from strategies.funding.forecast import ForecastPolicy
from tests.study.replay import account, hindsight, play
from tests.study.rules import OURS, THUMB, switching
from tests.study.series import Series, load_sets
from tests.study.windows import ROLES, Window, cells

Cell = tuple[Series, Window]

GRID = [
    ForecastPolicy(
        level_memory_half_life_hours=memory,
        level_half_life_hours=returns,
        level_deviation_hourly=deviation,
        deviation_half_life_hours=spike,
    )
    for memory, returns, deviation, spike in product(
        (60.0, 120.0, 240.0), (168.0, 336.0, 672.0), (0.5e-5, 1e-5, 2e-5), (8.0, 16.0, 32.0)
    )
]
"""The speeds as shipped in the middle, and half and twice of each."""
FIXED = {**THUMB, "ours, as shipped": OURS["ours"]}


def earned(process: ForecastPolicy, found: Sequence[Cell]) -> list[float]:
    rule = switching(CarryPolicy(), process)
    return [play(series, window, rule).net for series, window in found]


def chosen(
    windows: Sequence[Window], nets: Sequence[Sequence[float]], before_ns: int
) -> ForecastPolicy | None:
    """The set of ``GRID`` that earned most in the windows that ended by then; None: there are
    none. ``nets`` of each set, in each of ``windows``."""
    past = [i for i, (_, end) in enumerate(windows) if end <= before_ns]
    if not past:
        return None
    best = max(range(len(GRID)), key=lambda k: fsum(nets[k][i] for i in past))
    return GRID[best]


def judge(cell: Cell, process: ForecastPolicy) -> list[float]:
    """Hindsight, the fixed rules, and ours at these speeds."""
    series, window = cell
    first, last = series.first(window[0]), series.first(window[1])
    settled = series.settled[first:last]
    best = account(settled, hindsight(settled, series.side), series.side)
    rules = [*FIXED.values(), switching(CarryPolicy(), process)]
    return [best.net, *(play(series, window, rule).net for rule in rules)]


def judged(cell: Cell, speeds: dict[int, ForecastPolicy]) -> list[float]:
    return judge(cell, speeds[cell[1][0]])


def line(*words: object) -> str:
    return "| " + " | ".join(str(word) for word in words) + " |"


def table(found: Sequence[tuple[str, list[float]]]) -> str:
    """A row for each name, in the order of their first appearance, and their sum."""
    sums: dict[str, list[list[float]]] = {}
    for name, nets in found:
        sums.setdefault(name, []).append(nets)
        sums.setdefault("all", []).append(nets)
    sums["all"] = sums.pop("all")
    heads = ["from", "windows", "hindsight", *FIXED, "ours, walking forward"]
    out = [line(*heads), "|" + "---|" * len(heads)]
    for name, rows in sums.items():
        totals = [f"{fsum(each) * 10_000:,.0f}" for each in zip(*rows, strict=True)]
        out.append(line(name, len(rows), *totals))
    return "\n".join(out)


def told(process: ForecastPolicy) -> str:
    return (
        f"level {process.level_memory_half_life_hours:g} h, returns in "
        f"{process.level_half_life_hours:g} h, wanders {process.level_deviation_hourly:g}, "
        f"spike {process.deviation_half_life_hours:g} h"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", action="store_true", help="a row a window, not one a year")
    asked = parser.parse_args()
    by_set = load_sets(asked.data)
    every = {
        name: [cell for role in ROLES for cell in cells(many, role)]
        for name, many in by_set.items()
    }
    traded = every["Hyperliquid"] + every["Binance"]
    label: Callable[[int], str] = lambda start: iso(start)[: 10 if asked.rows else 4]  # noqa: E731
    with ProcessPoolExecutor(2) as pool:
        nets = list(pool.map(partial(earned, found=traded), GRID))
        windows = [window for _, window in traded]
        starts = sorted({window[0] for found in every.values() for _, window in found})
        speeds = {}
        for start in starts:
            process = chosen(windows, nets, start)
            if process is not None:
                speeds[start] = process
                print(f"{iso(start)[:10]}: {told(process)}")
        for name, found in every.items():
            later = sorted((c for c in found if c[1][0] in speeds), key=lambda c: c[1][0])
            rows = pool.map(partial(judged, speeds=speeds), later, chunksize=8)
            named = [(label(c[1][0]), nets) for c, nets in zip(later, rows, strict=True)]
            print(f"\n{name}\n\n{table(named)}")


if __name__ == "__main__":
    main()
