"""The rules that are compared: six of thumb, and ours."""

from math import fsum

from domain.rates import FundingRate
from domain.time import HOURS_PER_YEAR
from strategies.carry.policy import CarryPolicy
from strategies.carry.thresholds import entering, hurdle_hourly, staying
from strategies.funding.forecast import ForecastPolicy, FundingProcess
from strategies.market.state import Settlement
from tests.study.replay import Rule, Step


def always(side: float) -> Step:
    return lambda settled, held: True


def sign_flip(side: float) -> Step:
    def step(settled: Settlement, held: bool) -> bool:
        return settled.per_hour > 0.0 or (held and settled.per_hour == 0.0)

    return step


def fixed_threshold(side: float) -> Step:
    day: list[Settlement] = []

    def step(settled: Settlement, held: bool) -> bool:
        day.append(settled)
        while fsum(s.hours for s in day[1:]) >= 24:
            day.pop(0)
        hours = fsum(s.hours for s in day)
        apr: float = fsum(s.per_hour * s.hours for s in day) / hours * HOURS_PER_YEAR
        return apr > 0.0 if held else apr >= 0.10

    return step


def snapshot(side: float) -> Step:
    earned = 0.0

    def step(settled: Settlement, held: bool) -> bool:
        nonlocal earned
        daily = settled.per_hour * 24
        if not held:
            earned = 0.0
            return daily >= 0.001
        earned += settled.per_hour * settled.hours
        return earned < 0.01 and daily > -0.001

    return step


def break_even(side: float) -> Step:
    earned = hours = 0.0

    def step(settled: Settlement, held: bool) -> bool:
        nonlocal earned, hours
        rate = settled.per_hour
        if not held:
            earned = hours = 0.0
            return rate * 48 >= 2 * side
        earned += rate * settled.hours
        hours += settled.hours
        if rate * 8 < -0.0003:
            return False
        return not (rate < 0.0 and hours >= 48 and earned > 2 * side)

    return step


def three_times_cost(side: float) -> Step:
    mean = 0.0

    def step(settled: Settlement, held: bool) -> bool:
        nonlocal mean
        forgotten: float = 0.5 ** (settled.hours / 24)
        mean += (1.0 - forgotten) * (settled.per_hour - mean)
        return mean >= 0.0 if held else mean * 168 >= 3 * side

    return step


def switching(
    policy: CarryPolicy, process: ForecastPolicy, capital: float = 1.65, *, running: bool = False
) -> Rule:
    """Ours: the judgements that ``CashAndCarry`` makes of funding, asked of funding alone.

    ``running``: the last rate is also taken for the venue's running estimate of the next, as
    the exchange of a backtest publishes it.
    """

    def rule(side: float) -> Step:
        state, seen = FundingProcess(process), 0.0
        hurdle = hurdle_hourly(policy.hurdle_apr, capital)

        def step(settled: Settlement, held: bool) -> bool:
            nonlocal seen
            state.update((settled,))
            seen += settled.hours
            estimate = FundingRate(settled.per_hour * settled.hours, settled.hours)
            told = state.forecast(estimate if running else None, policy.horizon_hours)
            if held:
                return not staying(told, 2 * side, 0.0, hurdle, process).pays_exit
            return (
                seen >= policy.warm_hours
                and settled.per_hour >= hurdle
                and entering(told, 2 * side, 0.0, hurdle, process).pays_entry
            )

        return step

    return rule


THUMB: dict[str, Rule] = {
    "always": always,
    "sign flip": sign_flip,
    "fixed threshold": fixed_threshold,
    "snapshot": snapshot,
    "break-even": break_even,
    "three times cost": three_times_cost,
}
OURS: dict[str, Rule] = {"ours": switching(CarryPolicy(), ForecastPolicy())}
