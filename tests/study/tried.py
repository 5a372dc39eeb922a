"""What was tried and left out: ``python -m tests.study.tried --data DIR [--role R] [--set S]``.

For each set and role what each variant of our rule earned, in basis points of notional:

- the anchor follows the perp: an average of its own settlements that starts at the interest rate
  and remembers so many hours,
- the anchor follows the market: half of it the median over all perps of the set, remembered so;
- *newest in*: the standing now opens, also where that without the newest print does not agree;
  *newest*: it closes as well; *eight hours*: the standing before all prints of the last eight
  hours has to agree, but a print of eight hours counts by itself;
- *no spikes in*: what the running rate is above the level opens nothing;
- *toward the market*: the level is a quarter of the way to the median level of the set;
- *Kalman*: level and deviation by a Kalman filter whose noises are the perp's own, with the band
  of the level that is estimated, which moves less than the true one;
- thirds enter one after another, each when the rule has said *in* for so many hours; or 30 % by
  *newest in*, 30 % by ours and 40 % by *no spikes in*.

And for K pairs at a time, the best forecast first, what it brought to take less for a pair whose
daily funding went with that of the pairs held (correlation over 59 days).
"""

import argparse
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from math import exp, fsum, inf, log, sqrt
from pathlib import Path
from statistics import median
from typing import NamedTuple

import msgspec

from domain.time import DAY, HOUR
from strategies.carry.policy import CarryPolicy
from strategies.carry.thresholds import entering, hurdle_hourly, staying
from strategies.funding.forecast import (
    WINDOW_NS,
    Forecast,
    ForecastPolicy,
    FundingProcess,
    Standing,
)
from strategies.market.state import Settlement
from tests.study.replay import Rule, Step, account, decisions
from tests.study.rules import OURS
from tests.study.series import Series, load_sets
from tests.study.windows import ROLES, WINDOWS, Window, cells

INTEREST = ForecastPolicy().anchor_hourly
STEP = 2e-7
"""Anchors are told apart by so much an hour: each takes a band of its own to solve."""
FARTHEST = 3e-5
"""An anchor farther from the hurdle makes no difference to the band."""
Market = Mapping[int, tuple[float, float]]
"""Median rate per hour and hours of all perps, by time of settlement."""


POLICY, PROCESS = CarryPolicy(), ForecastPolicy()
HURDLE = hurdle_hourly(POLICY.hurdle_apr, 1.65)


class Told(NamedTuple):
    """What an entry and an exit are judged by."""

    entry: Forecast
    exit: Forecast
    process: ForecastPolicy = PROCESS


Teller = Callable[[], Callable[[Settlement, Forecast], Told]]
"""A fresh reader of settlements, each with our own forecast after it."""


def judged_by(teller: Teller) -> Rule:
    """Ours, judging by what ``teller`` tells instead of by our forecast."""

    def rule(side: float) -> Step:
        state, tell, seen = FundingProcess(PROCESS), teller(), 0.0

        def step(settled: Settlement, held: bool) -> bool:
            nonlocal seen
            state.update((settled,))
            seen += settled.hours
            told = tell(settled, state.forecast(None, POLICY.horizon_hours))
            if held:
                return not staying(told.exit, 2 * side, 0.0, HURDLE, told.process).pays_exit
            return (
                seen >= POLICY.warm_hours
                and settled.per_hour >= HURDLE
                and entering(told.entry, 2 * side, 0.0, HURDLE, told.process).pays_entry
            )

        return step

    return rule


def standing(told: Forecast, now: Standing, before: Standing) -> Forecast:
    return msgspec.structs.replace(told, now=now, before=before)


def newest(*, closes: bool) -> Rule:
    def tell(settled: Settlement, told: Forecast) -> Told:
        alone = standing(told, told.now, told.now)
        return Told(alone, alone if closes else told)

    return judged_by(lambda: tell)


def without_hours(hours: float) -> Rule:
    def teller() -> Callable[[Settlement, Forecast], Told]:
        known: deque[tuple[int, Standing]] = deque([(0, Standing(INTEREST, 0.0))])

        def tell(settled: Settlement, told: Forecast) -> Told:
            known.append((settled.time_ns, told.now))
            while len(known) > 1 and known[1][0] <= settled.time_ns - hours * HOUR:
                known.popleft()
            before = told.now if settled.hours >= hours else known[0][1]
            earlier = standing(told, told.now, before)
            return Told(earlier, earlier)

        return tell

    return judged_by(teller)


def without_spikes() -> Rule:
    def tell(settled: Settlement, told: Forecast) -> Told:
        now, before = (Standing(s.level, min(s.deviation, 0.0)) for s in (told.now, told.before))
        return Told(standing(told, now, before), told)

    return judged_by(lambda: tell)


def toward_market(levels: Mapping[int, float], share: float) -> Rule:
    def teller() -> Callable[[Settlement, Forecast], Told]:
        before = Standing(INTEREST, 0.0)

        def tell(settled: Settlement, told: Forecast) -> Told:
            nonlocal before
            level, running = told.now.level, sum(told.now)
            level += share * (levels[settled.time_ns] - level)
            nearer = standing(told, Standing(level, running - level), before)
            before = nearer.now
            return Told(nearer, nearer)

        return tell

    return judged_by(teller)


def kalman() -> Rule:
    """Level and deviation are two Ornstein-Uhlenbeck processes, a print their sum and noise."""
    deviation = PROCESS.level_deviation_hourly
    slow, fast = (
        log(2.0) / h for h in (PROCESS.level_half_life_hours, PROCESS.deviation_half_life_hours)
    )

    def teller() -> Callable[[Settlement, Forecast], Told]:
        level = away = cross = 0.0
        of_level, of_away, before = deviation**2, -1.0, Standing(INTEREST, 0.0)
        noises = FundingProcess(PROCESS)

        def tell(settled: Settlement, told: Forecast) -> Told:
            nonlocal level, away, cross, of_level, of_away, before
            noises.update((settled,))
            wide, hours = noises.deviation_variance, settled.hours
            kept, left = exp(-slow * hours), exp(-fast * hours)
            of_level = kept**2 * of_level + deviation**2 * (1.0 - kept**2)
            of_away = wide if of_away < 0.0 else left**2 * of_away + wide * (1.0 - left**2)
            level, away, cross = kept * level, left * away, kept * left * cross
            total = of_level + 2.0 * cross + of_away + noises.print_variance
            miss = settled.per_hour - INTEREST - level - away
            to_level, to_away = (of_level + cross) / total, (of_away + cross) / total
            level, away = level + to_level * miss, away + to_away * miss
            of_level, cross, of_away = (
                of_level - to_level * (of_level + cross),
                cross - to_level * (cross + of_away),
                of_away - to_away * (cross + of_away),
            )
            now = Standing(INTEREST + level, away)
            filtered = standing(told, now, now)
            moves = max(round(sqrt(max(deviation**2 - of_level, 0.0)), 6), 1e-6)
            process = msgspec.structs.replace(PROCESS, level_deviation_hourly=moves)
            return Told(filtered, filtered, process)

        return tell

    return judged_by(teller)


def anchored(anchor: Callable[[], Callable[[Settlement], float]]) -> Rule:
    """Ours, reverting to what ``anchor`` makes of the settlements so far."""

    def teller() -> Callable[[Settlement, Forecast], Told]:
        follow = anchor()

        def tell(settled: Settlement, told: Forecast) -> Told:
            reverts_to = max(HURDLE - FARTHEST, min(HURDLE + FARTHEST, follow(settled)))
            process = ForecastPolicy(anchor_hourly=round(reverts_to / STEP) * STEP)
            return Told(told, told, process)

        return tell

    return judged_by(teller)


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


def levels_of(many: Iterable[Series]) -> dict[int, float]:
    """Median of our levels of all perps, by time of settlement."""
    found: dict[int, list[float]] = {}
    for series in many:
        state = FundingProcess(PROCESS)
        for settled in series.settled:
            state.update((settled,))
            found.setdefault(settled.time_ns, []).append(state.level)
    return {time_ns: median(levels) for time_ns, levels in found.items()}


def scaled(settled: Sequence[Settlement], holding: Sequence[bool], hours: float) -> list[bool]:
    """Held only from ``hours`` after the rule said so."""
    found, waited = [], 0.0
    for settlement, held in zip(settled, holding, strict=True):
        waited = waited + settlement.hours if held else 0.0
        found.append(held and waited > hours)
    return found


class Around(NamedTuple):
    """What the perps of a set do together."""

    market: Market
    levels: Mapping[int, float]


def variants(around: Around) -> dict[str, Rule]:
    return {
        **OURS,
        **{f"perp {hours:.0f} h": follows_perp(hours) for hours in MEMORIES},
        **{
            f"market {hours:.0f} h": follows_market(around.market, hours)
            for hours in (120.0, 1440.0)
        },
        "newest in": newest(closes=False),
        "newest": newest(closes=True),
        "eight hours": without_hours(8.0),
        "no spikes in": without_spikes(),
        "toward the market": toward_market(around.levels, 0.25),
        "Kalman": kalman(),
    }


THIRDS = ((0.0, 8.0, 24.0), (0.0, 24.0, 72.0))
TRANCHES = {"newest in": 0.3, "ours": 0.3, "no spikes in": 0.4}
MEMORIES = (240.0, 720.0, 2880.0)


def nets(series: Series, role: str, around: Around) -> list[dict[str, float]]:
    """Of each variant, in each window of a pair."""
    return [_nets(one, window, variants(around)) for one, window in cells([series], role)]


def _nets(series: Series, window: Window, rules: Mapping[str, Rule]) -> dict[str, float]:
    first, last = series.first(window[0]), series.first(window[1])
    settled = series.settled[first:last]

    def net(holding: Sequence[bool]) -> float:
        return account(settled, holding, series.side).net

    held = {name: decisions(series, (first, last), rule) for name, rule in rules.items()}
    found = {name: net(holding) for name, holding in held.items()}
    for waits in THIRDS:
        parts = zip((0.3, 0.3, 0.4), waits, strict=True)
        name = "thirds at " + ", ".join(f"{wait:.0f}" for wait in waits) + " h"
        found[name] = fsum(f * net(scaled(settled, held["ours"], wait)) for f, wait in parts)
    # Costs and income are proportional, and all leave together: the tranches are a sum.
    found["thirds by evidence"] = fsum(part * found[name] for name, part in TRANCHES.items())
    return found


def compared(found: Sequence[Mapping[str, float]], name: str) -> str:
    """Sum of a variant in basis points, and how its windows differ from ours: mean over error."""
    apart = [one[name] - one["ours"] for one in found]
    mean = fsum(apart) / len(apart)
    variance = fsum((x - mean) ** 2 for x in apart) / max(len(apart) - 1, 1)
    total = f"{fsum(one[name] for one in found) * 10_000:.0f}"
    return f"{total} ({mean / sqrt(variance / len(apart)):+.1f})" if variance > 0.0 else total


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
    sets = load_sets(asked.data)
    configured = sets["Hyperliquid"]
    if asked.set:
        sets = {name: sets[name] for name in asked.set}
    for name, many in sets.items():
        around = Around(market_of(many + configured if name == "wide" else many), levels_of(many))
        for role in roles:
            with ProcessPoolExecutor(2) as pool:
                told = list(pool.map(partial(nets, role=role, around=around), many))
            found = [window for windows in told for window in windows]
            print(f"\n{name}, {role}, {len(found)} windows\n", flush=True)
            for variant in found[0]:
                print(f"| {variant} | {compared(found, variant)} |", flush=True)
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
