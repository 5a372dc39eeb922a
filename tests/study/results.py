"""What the rules earn: ``python -m tests.study.results --data DIR [--role choosing]``.

Prints, for each set and role, in basis points of notional: hindsight, then each rule, for the
pool and, if asked, each pair and window. Last, each set over all roles but the fitting ones.
"""

import argparse
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain
from math import fsum
from pathlib import Path
from typing import NamedTuple

from domain.time import HOURS_PER_YEAR, iso
from tests.study.replay import Outcome, account, hindsight, play
from tests.study.rules import OURS, THUMB
from tests.study.series import Series, load_sets
from tests.study.windows import ROLES, Window, cells

RULES = {**THUMB, **OURS}
WORTH_APR = 0.0495
"""On notional; 3 % on capital. What hindsight must earn for a window to be worth trading."""


class Cell(NamedTuple):
    """One pair in one window: what hindsight and each rule made of it."""

    venue: str
    pair: str
    start: str
    days: float
    side: float
    best: Outcome
    rules: dict[str, Outcome]

    @property
    def worth_trading(self) -> bool:
        return self.best.net >= WORTH_APR * self.days * 24 / HOURS_PER_YEAR


def judge(series: Series, window: Window) -> Cell:
    first, last = series.first(window[0]), series.first(window[1])
    settled = series.settled[first:last]
    best = account(settled, hindsight(settled, series.side), series.side)
    rules = {name: play(series, window, rule) for name, rule in RULES.items()}
    days = fsum(settlement.hours for settlement in settled) / 24
    return Cell(series.venue, series.name, iso(window[0])[:10], days, series.side, best, rules)


def judge_all(series: Series, role: str) -> list[Cell]:
    return [judge(*cell) for cell in cells([series], role)]


def judged(many: Iterable[Series], role: str) -> list[Cell]:
    """On both cores, a pair at a time."""
    with ProcessPoolExecutor(2) as pool:
        return list(chain.from_iterable(pool.map(partial(judge_all, role=role), many)))


def share(found: list[Cell], rule: str, *, worth: bool) -> float:
    """Income as a share of hindsight's, over the windows that were worth trading, or were not."""
    counted = [cell for cell in found if cell.worth_trading is worth]
    best = fsum(cell.best.net for cell in counted)
    return fsum(cell.rules[rule].net for cell in counted) / best if best else 0.0


def within_noise(found: list[Cell], rule: str, *, worth: bool) -> int:
    """In how many windows ``rule`` is less than a round trip behind the best of all rules, of
    those that were worth trading, or were not."""
    return sum(
        cell.rules[rule].net > max(o.net for o in cell.rules.values()) - 2 * cell.side
        for cell in found
        if cell.worth_trading is worth
    )


def table(found: list[Cell], *, rows: bool) -> str:
    def line(*words: object) -> str:
        return "| " + " | ".join(str(word) for word in words) + " |"

    def bps(net: float) -> str:
        return f"{net * 10_000:.0f}"

    out = [line("pair", "from", "hindsight", *RULES), "|" + "---|" * (3 + len(RULES))]
    if rows:
        for cell in found:
            nets = [bps(cell.rules[name].net) for name in RULES]
            mark = "" if cell.worth_trading else " *"
            out.append(line(cell.pair, cell.start, bps(cell.best.net) + mark, *nets))

    def total(pick: Callable[[Cell], float]) -> str:
        return bps(fsum(pick(cell) for cell in found))

    pooled = [total(lambda cell, name=name: cell.rules[name].net) for name in RULES]  # type: ignore[misc]
    out.append(line("pool", len(found), total(lambda cell: cell.best.net), *pooled))
    for text, worth in (("where worth trading", True), ("elsewhere", False)):
        windows = sum(cell.worth_trading is worth for cell in found)
        shares = [f"{share(found, name, worth=worth):.0%}" for name in RULES]
        noise = [within_noise(found, name, worth=worth) for name in RULES]
        out.append(line(f"share {text}", windows, "100%", *shares))
        out.append(line(f"within noise of the best {text}", windows, "", *noise))
    falls = [bps(max(cell.rules[name].drawdown for cell in found)) for name in RULES]
    worst = max(cell.best.drawdown for cell in found)
    out.append(line("deepest fall", len(found), bps(worst), *falls))
    return "\n".join(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--role", choices=ROLES, action="append")
    parser.add_argument("--rows", action="store_true", help="a row a pair and window")
    asked = parser.parse_args()
    sets = load_sets(asked.data)
    outside: dict[str, list[Cell]] = {}
    for role in asked.role or ("fitting", "choosing", "checking"):
        for name, many in sets.items():
            found = judged(many, role)
            if role != "fitting":
                outside[name] = outside.get(name, []) + found
            print(f"\n{name}, {role}\n\n{table(found, rows=asked.rows and name != 'wide')}")
    for name, found in outside.items():
        print(f"\n{name}, out of sample\n\n{table(found, rows=False)}")


if __name__ == "__main__":
    main()
