"""What was tried and left out: ``python -m tests.study.tried --data DIR [--role R] [--set S]``.

For each set and role what each variant of our rule earned, in basis points of notional:

- the anchor follows the perp: an average of its own settlements that starts at the interest rate
  and remembers so many hours,
- the anchor follows the market: half of it the median over all perps of the set, remembered so;
- thirds enter one after another, each when the rule has said *in* for so many hours.

And for K pairs at a time, the best forecast first, what it brought to take less for a pair whose
daily funding went with that of the pairs held (correlation over 59 days).
"""

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import fsum, inf, sqrt
from pathlib import Path
from statistics import median
from typing import NamedTuple

from domain.time import DAY
from strategies.carry.policy import CarryPolicy
from strategies.carry.thresholds import entering, hurdle_hourly, staying
from strategies.funding.forecast import WINDOW_NS, Forecast, ForecastPolicy, FundingProcess
from strategies.market.state import Settlement
from tests.study.replay import Rule, Step, account, decisions
from tests.study.rules import OURS
from tests.study.series import Series, load_venue, load_wide
from tests.study.windows import ROLES, WINDOWS, Window, cells

INTEREST = ForecastPolicy().anchor_hourly
STEP = 2e-7
"""Anchors are told apart by so much an hour: each takes a band of its own to solve."""
FARTHEST = 3e-5
"""An anchor farther from the hurdle makes no difference to the band."""
Market = Mapping[int, tuple[float, float]]
"""Median rate per hour and hours of all perps, by time of settlement."""


def anchored(anchor: Callable[[], Callable[[Settlement], float]]) -> Rule:
    """Ours, reverting to what ``anchor`` makes of the settlements so far."""
    policy = CarryPolicy()
    hurdle = hurdle_hourly(policy.hurdle_apr, 1.65)

    def rule(side: float) -> Step:
        state, follow, seen = FundingProcess(ForecastPolicy()), anchor(), 0.0

        def step(settled: Settlement, held: bool) -> bool:
            nonlocal seen
            state.update((settled,))
            seen += settled.hours
            told = state.forecast(None, policy.horizon_hours)
            reverts_to = max(hurdle - FARTHEST, min(hurdle + FARTHEST, follow(settled)))
            process = ForecastPolicy(anchor_hourly=round(reverts_to / STEP) * STEP)
            if held:
                return not staying(told, 2 * side, 0.0, hurdle, process).pays_exit
            return (
                seen >= policy.warm_hours
                and settled.per_hour >= hurdle
                and entering(told, 2 * side, 0.0, hurdle, process).pays_entry
            )

        return step

    return rule


def follows_perp(memory_hours: float) -> Rule:
    def anchor() -> Callable[[Settlement], float]:
        level = INTEREST

        def follow(settled: Settlement) -> float:
            nonlocal level
            forgotten: float = 0.5 ** (settled.hours / memory_hours)
            level += (1.0 - forgotten) * (settled.per_hour - level)
            return level

        return follow

    return anchored(anchor)


def follows_market(market: Market, memory_hours: float) -> Rule:
    levels, level = {}, INTEREST
    for time_ns in sorted(market):
        rate, hours = market[time_ns]
        level += (1.0 - 0.5 ** (hours / memory_hours)) * (rate - level)
        levels[time_ns] = level
    return anchored(lambda: lambda settled: (INTEREST + levels[settled.time_ns]) / 2.0)


def market_of(many: Iterable[Series]) -> Market:
    paid: dict[int, list[Settlement]] = {}
    for series in many:
        for settled in series.settled:
            paid.setdefault(settled.time_ns, []).append(settled)
    return {
        time_ns: (median(s.per_hour for s in all_), median(s.hours for s in all_))
        for time_ns, all_ in paid.items()
    }


def scaled(settled: Sequence[Settlement], holding: Sequence[bool], hours: float) -> list[bool]:
    """Held only from ``hours`` after the rule said so."""
    found, waited = [], 0.0
    for settlement, held in zip(settled, holding, strict=True):
        waited = waited + settlement.hours if held else 0.0
        found.append(held and waited > hours)
    return found


def nets(series: Series, window: Window, rules: Mapping[str, Rule]) -> list[float]:
    """Of each rule, and of ours in thirds."""
    first, last = series.first(window[0]), series.first(window[1])
    settled = series.settled[first:last]

    def net(holding: Sequence[bool]) -> float:
        return account(settled, holding, series.side).net

    held = {name: decisions(series, (first, last), rule) for name, rule in rules.items()}
    found = [net(holding) for holding in held.values()]
    for waits in THIRDS:
        parts = zip((0.3, 0.3, 0.4), waits, strict=True)
        found.append(fsum(f * net(scaled(settled, held["ours"], wait)) for f, wait in parts))
    return found


THIRDS = ((0.0, 8.0, 24.0), (0.0, 24.0, 72.0))
MEMORIES = (240.0, 720.0, 2880.0)


class _Standing(NamedTuple):
    series: Series
    step: Step
    process: FundingProcess
    daily: dict[int, float]


def portfolio(many: Sequence[Series], window: Window, slots: int, discount: float) -> list[float]:
    """Income of each day, as a share of the capital of ``slots`` pairs of equal notional."""
    stand = {
        s.name: _Standing(s, OURS["ours"](s.side), FundingProcess(ForecastPolicy()), {})
        for s in many
        if s.first(window[1]) - s.first(window[0]) >= 100
    }
    paid: dict[int, list[tuple[str, Settlement]]] = {}
    for one in stand.values():
        series = one.series
        for settled in series.settled[
            series.first(window[0] - WINDOW_NS) : series.first(window[1])
        ]:
            paid.setdefault(settled.time_ns, []).append((series.name, settled))
    held: set[str] = set()
    income: dict[int, float] = {}
    for time_ns in sorted(paid):
        day, wanted = time_ns // DAY, {}
        for name, settled in paid[time_ns]:
            series, step, process, daily = stand[name]
            payment = settled.per_hour * settled.hours
            daily[day] = daily.get(day, 0.0) + payment
            process.update((settled,))
            held_now = name in held
            stays = step(settled, held_now)
            if held_now:
                income[day] = income.get(day, 0.0) + payment - (0.0 if stays else series.side)
                if not stays:
                    held.discard(name)
            elif stays and time_ns > window[0]:
                told: Forecast = process.forecast(None, 720.0)
                wanted[name] = told.total - 2 * series.side
        while wanted and len(held) < slots:
            scores = {
                name: worth * (1.0 - discount * _together(name, held, stand, day))
                for name, worth in wanted.items()
            }
            best = max(scores, key=lambda name: (scores[name], name))
            held.add(best)
            income[day] = income.get(day, 0.0) - stand[best].series.side
            del wanted[best]
    income[window[1] // DAY] = income.get(window[1] // DAY, 0.0) - fsum(
        stand[name].series.side for name in held
    )
    return [amount / slots for amount in income.values()]


def _together(name: str, held: Iterable[str], stand: Mapping[str, _Standing], day: int) -> float:
    """The closest correlation of daily funding with a pair held; a half where days are few."""
    mine = {d: paid for d, paid in stand[name].daily.items() if d >= day - 59}
    closest = 0.0
    for other in held:
        days = [d for d in mine if d in stand[other].daily]
        if len(days) < 20:
            closest = max(closest, 0.5)
            continue
        a, b = [mine[d] for d in days], [stand[other].daily[d] for d in days]
        mean_a, mean_b = fsum(a) / len(a), fsum(b) / len(b)
        common = fsum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
        apart = fsum((x - mean_a) ** 2 for x in a) * fsum((y - mean_b) ** 2 for y in b)
        closest = max(closest, common / sqrt(apart) if apart > 0.0 else 0.0)
    return closest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--role", choices=ROLES, action="append")
    parser.add_argument("--set", action="append", choices=("Hyperliquid", "Binance", "wide"))
    asked = parser.parse_args()
    roles = asked.role or ("fitting", "choosing")
    configured = load_venue(asked.data, "hyperliquid")
    sets = {
        "Hyperliquid": configured,
        "Binance": load_venue(asked.data, "binance"),
        "wide": load_wide(asked.data),
    }
    if asked.set:
        sets = {name: sets[name] for name in asked.set}
    for name, many in sets.items():
        market = market_of(many + configured if name == "wide" else many)
        rules = {
            **OURS,
            **{f"perp {hours:.0f} h": follows_perp(hours) for hours in MEMORIES},
            **{f"market {hours:.0f} h": follows_market(market, hours) for hours in (120.0, 1440.0)},
        }
        shown = [*rules, *(f"thirds at {a:.0f}, {b:.0f}, {c:.0f} h" for a, b, c in THIRDS)]
        print(f"\n| {name} | " + " | ".join(shown) + " |")
        print("|" + "---|" * (1 + len(shown)), flush=True)
        for role in roles:
            found = [nets(*cell, rules) for cell in cells(many, role)]
            sums = [fsum(column) * 10_000 for column in zip(*found, strict=True)]
            print(f"| {role} | " + " | ".join(f"{amount:.0f}" for amount in sums) + " |")
    print("\n| set | role | pairs at a time | discount | net | daily mean over deviation |")
    print("|---|---|---|---|---|---|")
    for name, many in sets.items():
        for role in roles:
            for slots in (2, 5):
                for discount in (0.0, 0.5, 1.0):
                    days = [
                        income
                        for window in WINDOWS[many[0].venue][role]
                        for income in portfolio(many, window, slots, discount)
                    ]
                    mean = fsum(days) / len(days)
                    deviation = sqrt(fsum((x - mean) ** 2 for x in days) / len(days)) or inf
                    print(
                        f"| {name} | {role} | {slots} | {discount} | {fsum(days) * 10_000:.0f} "
                        f"| {mean / deviation:.2f} |"
                    )


if __name__ == "__main__":
    main()
