"""Short a perp where funding is higher and long it where it is lower: what that would have earned.

``python -m tests.study.cross_venue --data DIR [--rows]``. For each coin that Hyperliquid and
Binance both have, the difference of their funding is one series, settled when Binance settles, and
its negative another: short here and long there, and the other way round. Each is judged as a carry
is, by the band of a difference of two levels, which returns to nothing. Beside it hindsight and the
rules of thumb at the same costs, and the carry at each venue by our rule in the same windows.
Basis points of notional, pooled.
"""

import argparse
from collections.abc import Iterator, Sequence
from math import fsum, sqrt
from pathlib import Path

import msgspec

from bot.instruments import load_listings, load_pairs
from domain.instruments import Instrument
from domain.time import HOUR, iso
from strategies.carry.policy import CarryPolicy
from strategies.funding.forecast import ForecastPolicy
from strategies.market.state import Settlement
from tests.study.replay import Rule, account, hindsight, play
from tests.study.rules import OURS, THUMB, switching
from tests.study.series import SLIPPAGE, Series, load_venue
from tests.study.windows import ROLES, Window, cells

CAPITAL = 1.3
"""Two perps at twofold leverage, and a reserve of 15 % for each; of notional."""
_ONE = ForecastPolicy()
APART = msgspec.structs.replace(
    _ONE, anchor_hourly=0.0, level_deviation_hourly=_ONE.level_deviation_hourly * sqrt(2.0)
)
RULES: dict[str, Rule] = {**THUMB, "ours": switching(CarryPolicy(), APART, CAPITAL)}


def apart(ours: Sequence[Settlement], theirs: Sequence[Settlement]) -> Iterator[Settlement]:
    """``ours``, hourly, less ``theirs``, per hour, at each of theirs that ours cover whole."""
    by_hour = {s.time_ns // HOUR: s.per_hour for s in ours if s.hours == 1.0}
    for settlement in theirs:
        end, hours = settlement.time_ns // HOUR, round(settlement.hours)
        paid = [by_hour[hour] for hour in range(end - hours + 1, end + 1) if hour in by_hour]
        if hours and len(paid) == hours:
            rate = fsum(paid) / hours - settlement.per_hour
            yield Settlement(settlement.time_ns, rate, settlement.hours)


def perp(venue: str, name: str) -> tuple[Instrument, float]:
    """The perp of a configured pair, and half its spread, of the price."""
    listings = load_listings(venue)
    (found,) = (pair.perp for pair in load_pairs(venue) if pair.name == name)
    quotes = listings[found.symbol].quotes
    assert quotes is not None
    return found, quotes.half_spread_bps / 10_000


def side_cost(name: str) -> float:
    """Both perps, one way: the cheaper of resting here and taking there, and the reverse."""
    legs = [perp(venue, name) for venue in ("hyperliquid", "binance")]
    return SLIPPAGE + min(
        float(rests.fees.maker + takes.fees.taker) + half_spread
        for (rests, _), (takes, half_spread) in (legs, legs[::-1])
    )


def both_ways(here: Series, there: Series) -> tuple[Series, Series]:
    """Short here and long there, and its mirror."""
    difference = list(apart(here.settled, there.settled))
    mirrored = [s._replace(per_hour=-s.per_hour) for s in difference]
    side = side_cost(here.name)
    return (
        Series("hyperliquid", here.name, side, difference),
        Series("hyperliquid", here.name, side, mirrored),
    )


def judge(ways: Sequence[Series], window: Window) -> list[float]:
    """Hindsight and each rule, of both ways together."""
    found = []
    for series in ways:
        settled = series.settled[series.first(window[0]) : series.first(window[1])]
        best = account(settled, hindsight(settled, series.side), series.side).net
        found.append([best, *(play(series, window, rule).net for rule in RULES.values())])
    return [fsum(nets) for nets in zip(*found, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", action="store_true", help="a row a coin and window")
    asked = parser.parse_args()

    def line(*words: object) -> None:
        print("| " + " | ".join(str(word) for word in words) + " |")

    here = {series.name: series for series in load_venue(asked.data, "hyperliquid")}
    there = {series.name: series for series in load_venue(asked.data, "binance")}
    line("role", "windows", "hindsight", *RULES, "carry, Hyperliquid", "carry, Binance")
    line(*["---"] * (5 + len(RULES)))
    for role in ROLES:
        rows = []
        for name in sorted(here.keys() & there.keys()):
            ways = both_ways(here[name], there[name])
            for _, window in cells(ways[:1], role):
                carries = [play(one[name], window, OURS["ours"]).net for one in (here, there)]
                rows.append([*judge(ways, window), *carries])
                if asked.rows:
                    bps = (f"{net * 10_000:.0f}" for net in rows[-1])
                    line(name, iso(window[0])[:10], *bps)
        line(role, len(rows), *(f"{fsum(n) * 10_000:,.0f}" for n in zip(*rows, strict=True)))


if __name__ == "__main__":
    main()
