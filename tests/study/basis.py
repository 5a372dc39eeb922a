"""What the basis adds: ``python -m tests.study.basis --data DIR [--role choosing]``.

With ``--gaps`` instead: how fast a basis that is far from usual comes back.

The study judges rules by funding and costs. Who enters long spot and short perp also sells the
basis, perp over spot less one, and who leaves buys it back: the difference is earned or lost.
Windows in which every switch of every rule has a price of both legs are counted, in basis points
of notional: what each rule earned by funding after costs, and by the basis beside it.
"""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from math import fsum
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bot.instruments import load_listings, load_pairs
from domain.time import HOUR, MILLISECOND, parse_instant
from strategies.carry.thresholds import basis_gain as gain_of
from strategies.market.basis import with_sample
from tests.study.replay import account, decisions
from tests.study.results import RULES
from tests.study.series import Series, load_venue
from tests.study.windows import ROLES, Window, cells

Basis = Mapping[int, float]
"""By hour since 1970: perp over spot, less one."""


class Earned(NamedTuple):
    """Fractions of notional: by funding after costs, and by the basis."""

    funding: float
    basis: float


def load_basis(data: Path, venue: str) -> dict[str, Basis]:
    """Of each pair that ``data`` has hourly bars of both legs for: the median of the closes at
    the hour and an hour to either side, since a lone close of a thin book is no price."""
    listings = load_listings(venue)
    found: dict[str, Basis] = {}
    for pair in load_pairs(venue):
        spot, perp = (
            _closes(data / "prices" / venue / leg.kind.value, listings[leg.symbol].history)
            for leg in (pair.spot, pair.perp)
        )
        raw = {hour: perp[hour] / spot[hour] - 1.0 for hour in perp.keys() & spot.keys()}
        found[pair.name] = {
            hour: median(raw.get(hour + k, basis) for k in (-1, 0, 1))
            for hour, basis in raw.items()
        }
    return found


def _closes(folder: Path, symbol: str) -> dict[int, float]:
    """By the hour at which the bar closes."""
    import polars as pl

    closes: dict[int, float] = {}
    for path in sorted(folder.glob(f"{symbol}_1h_[a-z].parquet")):
        for ms, close in pl.read_parquet(path, columns=["ts_ms", "close"]).iter_rows():
            closes[ms * MILLISECOND // HOUR + 1] = close
    return closes


def basis_gain(hours: Sequence[int], holding: Sequence[bool], basis: Basis) -> float | None:
    """Basis at each entry less that at its exit; None where one has no price.

    ``hours`` are those at which each settlement is; it is held from the one before it, so
    ``hours`` has one more in front.
    """
    gained, before = 0.0, False
    for k, held in enumerate((*holding, False)):
        if held != before:
            now = basis.get(hours[k])
            if now is None:
                return None
            gained += now if held else -now
        before = held
    return gained


def judge(series: Series, window: Window, basis: Basis) -> dict[str, Earned] | None:
    """Each rule in one window; None where a switch of any has no price."""
    first, last = series.first(window[0]), series.first(window[1])
    settled = series.settled[first:last]
    start = settled[0].time_ns - int(settled[0].hours * HOUR)
    hours = [start // HOUR, *(settlement.time_ns // HOUR for settlement in settled)]
    found = {}
    for name, rule in RULES.items():
        holding = decisions(series, (first, last), rule)
        gained = basis_gain(hours, holding, basis)
        if gained is None:
            return None
        found[name] = Earned(account(settled, holding, series.side).net, gained)
    return found


def table(many: Iterable[Series], role: str, of: Mapping[str, Basis]) -> str:
    judged = [judge(*cell, of.get(cell[0].name, {})) for cell in cells(many, role)]
    found = [one for one in judged if one is not None]
    out = ["| | " + " | ".join(RULES) + " |", "|" + "---|" * (1 + len(RULES))]
    for text, field in (("funding after costs", "funding"), ("basis", "basis")):
        sums = [fsum(getattr(one[name], field) for one in found) * 10_000 for name in RULES]
        out.append(f"| {text} | " + " | ".join(f"{amount:.0f}" for amount in sums) + " |")
    return f"{len(found)} of {len(judged)} windows\n\n" + "\n".join(out)


GAP = 0.001
"""Beyond its noise, of notional; less is not worth a round trip."""
LATER_HOURS = (1, 2, 4, 8, 16, 24, 48)
KNOWN_TO = parse_instant("2025-06-01") // HOUR
"""What comes after it is for checking, and plays no part."""


def left(basis: Basis, side: int) -> tuple[int, float, list[float]]:
    """Of hours with a gap above usual (``side`` 1) or below (-1): how many, the sum of their
    gaps, and what was left of that so many hours later; fractions of notional."""
    usual, count, gaps, later = None, 0, 0.0, [0.0 for _ in LATER_HOURS]
    for hour in sorted(hour for hour in basis if hour < KNOWN_TO):
        usual = with_sample(usual, basis[hour], hour * HOUR)
        after = [basis.get(hour + hours) for hours in LATER_HOURS]
        if side * gain_of(usual, basis[hour]) < GAP or None in after:
            continue
        mean = usual.mean
        count, gaps = count + 1, gaps + side * (basis[hour] - mean)
        later = [
            sum_ + side * (one - mean)
            for sum_, one in zip(later, after, strict=True)
            if one is not None
        ]
    return count, gaps, later


def gaps(of: Mapping[str, Basis]) -> str:
    out = ["| gap | hours seen | " + " | ".join(f"left after {h} h" for h in LATER_HOURS) + " |"]
    out.append("|" + "---|" * (2 + len(LATER_HOURS)))
    for text, side in (("perp over usual", 1), ("perp under usual", -1)):
        found = [left(basis, side) for basis in of.values()]
        whole = fsum(gap for _, gap, _ in found)
        shares = [
            fsum(column) / whole for column in zip(*(later for *_, later in found), strict=True)
        ]
        shown = " | ".join(f"{share:.0%}" for share in shares)
        out.append(f"| {text} | {sum(count for count, *_ in found)} | {shown} |")
    return "\n".join(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--role", choices=ROLES, action="append")
    parser.add_argument("--gaps", action="store_true")
    asked = parser.parse_args()
    for venue in ("hyperliquid", "binance"):
        of = load_basis(asked.data, venue)
        if asked.gaps:
            print(f"\n{venue}:\n\n{gaps(of)}")
            continue
        many = load_venue(asked.data, venue)
        for role in asked.role or ("fitting", "choosing", "checking"):
            print(f"\n{venue}, {role}: {table(many, role, of)}")


if __name__ == "__main__":
    main()
