"""A rule over recorded funding, and the best that hindsight could have done at the same costs."""

from collections.abc import Callable, Sequence
from math import fsum
from typing import NamedTuple

from strategies.funding.forecast import WINDOW_NS
from strategies.market.state import Settlement
from tests.study.series import Series

Step = Callable[[Settlement, bool], bool]
"""One settlement and whether the pair is held now; whether to hold it over the next interval."""
Rule = Callable[[float], Step]
"""A fresh rule for a pair that costs so much a side, fraction of notional."""


class Outcome(NamedTuple):
    """Of one window, fractions of notional. ``held`` is the share of time."""

    net: float
    funding: float
    entries: int
    held: float
    drawdown: float


def play(series: Series, window: tuple[int, int], rule: Rule) -> Outcome:
    """Hold as ``rule`` says, over the settlements after ``window[0]`` up to ``window[1]``."""
    first, last = series.first(window[0]), series.first(window[1])
    holding = decisions(series, (first, last), rule)
    return account(series.settled[first:last], holding, series.side)


def decisions(series: Series, span: tuple[int, int], rule: Rule) -> list[bool]:
    """Whether the pair is held for each settlement of ``span``, decided on those before it.

    Of the history before the window as much is read as the bot reads.
    """
    step = rule(series.side)
    first, last = span
    for settlement in series.settled[
        series.first(series.settled[first].time_ns - WINDOW_NS) : max(0, first - 1)
    ]:
        step(settlement, False)
    held, holding = False, []
    for i in range(first, last):
        if i > 0:
            held = step(series.settled[i - 1], held)
        holding.append(held)
    return holding


def account(settled: Sequence[Settlement], holding: Sequence[bool], side: float) -> Outcome:
    """What that holding earned, flat before and after."""
    equity = peak = drawdown = 0.0
    income, hours, all_hours, entries, before = [], 0.0, 0.0, 0, False
    for settlement, held in zip(settled, holding, strict=True):
        if held != before:
            equity -= side
            entries += held
        if held:
            payment = settlement.per_hour * settlement.hours
            equity += payment
            income.append(payment)
            hours += settlement.hours
        all_hours += settlement.hours
        before = held
        peak = max(peak, equity)
        drawdown = max(drawdown, peak - equity)
    if before:
        equity -= side
        drawdown = max(drawdown, peak - equity)
    return Outcome(equity, fsum(income), entries, hours / all_hours if all_hours else 0.0, drawdown)


def hindsight(settled: Sequence[Settlement], side: float) -> list[bool]:
    """The holding that earns most: two states, backwards, then forwards along the better choice."""
    inside, outside = -side, 0.0  # worth of the rest when held, when not, before choosing
    stay, enter = [False] * len(settled), [False] * len(settled)
    for i in range(len(settled) - 1, -1, -1):
        held = settled[i].per_hour * settled[i].hours + inside
        stay[i] = held >= outside - side
        enter[i] = held - side > outside
        inside, outside = (
            held if stay[i] else outside - side,
            held - side if enter[i] else outside,
        )
    now, holding = False, []
    for i in range(len(settled)):
        now = stay[i] if now else enter[i]
        holding.append(now)
    return holding
