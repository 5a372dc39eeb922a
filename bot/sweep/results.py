"""What a sweep found: each best with its figures in sample and out, and what luck would have found.

A *choice* is the trial with the highest score over some windows; its deflated Sharpe
ratio counts every trial of the study, since each of them might have been it.
"""

from collections.abc import Sequence
from math import inf
from typing import Any

import msgspec

from bot.sweep.sharpe import annual, deflated_sharpe
from bot.sweep.space import Values
from bot.sweep.study import Opened, Tried
from bot.sweep.trial import Figures, Outcome, figures_of
from bot.sweep.windows import Plan
from domain.time import iso

SHOWN = 5


class Choice(msgspec.Struct, frozen=True):
    """One trial, chosen on ``train``: places of windows.

    ``deflated`` is the deflated Sharpe ratio, a probability; None where nothing moved.
    ``judge`` are other windows, ``outside`` its figures there; None while they are sealed.
    """

    tried: Tried
    train: range
    inside: Figures
    deflated: float | None
    judge: range
    outside: Figures | None


class Findings(msgspec.Struct, frozen=True):
    """``walk``: the choice of each fold. ``best``: the highest scores over the last fold's windows,
    beside all that is known of the windows before. ``usual``: the settings as they were, if the
    space holds them, where each fold is judged. ``refused`` and ``broken`` say what was wrong
    with a trial, by its number."""

    trials: int
    refused: dict[int, str]
    broken: dict[int, str]
    walk: tuple[Choice, ...]
    best: tuple[Choice, ...]
    usual: tuple[Figures | None, ...]


def scored(one: Tried, windows: Sequence[int]) -> Figures:
    return figures_of(one.over(windows))


def done(plan: Plan, tried: Sequence[Tried]) -> list[Tried]:
    """Those that ran over every window but the sealed one."""
    return [one for one in tried if one.refused is None and len(one.outcomes) == plan.sealed]


def best_of(tried: Sequence[Tried], windows: Sequence[int]) -> Tried | None:
    """The highest score, the first of equals; None where none is sound."""
    ranked = _ranked(tried, windows)
    return ranked[0] if ranked else None


def findings(
    plan: Plan, tried: Sequence[Tried], opened: Opened | None, as_they_are: Values
) -> Findings:
    """Of all trials that are done; of those under way nothing is said."""
    whole = done(plan, tried)
    usual = next((one for one in whole if one.values == as_they_are), None)
    walk, usually = [], []
    for fold in plan.folds():
        if (chosen := best_of(whole, fold.train)) is None:
            continue
        sealed = fold.test == plan.sealed
        outside = chosen.outcomes.get(fold.test)
        if sealed and opened is not None:
            chosen, outside = tried[opened.number], opened.outcome
        walk.append(_choice(whole, chosen, fold.train, range(fold.test, fold.test + 1), outside))
        usually.append(None if usual is None or sealed else scored(usual, [fold.test]))
    last = plan.folds()[-1].train
    before = range(last.start)
    best = [
        _choice(whole, one, last, before, *(one.outcomes[k] for k in before))
        for one in _ranked(whole, last)[:SHOWN]
    ]
    return Findings(
        len(whole),
        {one.number: one.refused for one in tried if one.refused is not None},
        {
            one.number: figures.broken[0]
            for one in whole
            if (figures := scored(one, range(plan.sealed))).broken
        },
        tuple(walk),
        tuple(best),
        tuple(usually),
    )


def document(
    plan: Plan, found: Findings, opened: Opened | None, *, synthetic: bool
) -> dict[str, Any]:
    """The same for a program: fractions are plain, rates and Sharpe ratios annual."""
    last = len(plan.windows) - 1
    return {
        "schema": 1,
        "synthetic": synthetic,
        "trials": found.trials,
        "refused": _by_number(found.refused),
        "broken": _by_number(found.broken),
        "windows": [
            {"from": iso(w.start_ns or 0), "to": iso(w.end_ns or 0), "sealed": place == last}
            for place, w in enumerate(plan.windows)
        ],
        "sealed_opened": None
        if opened is None
        else {
            "at": iso(opened.time_ns),
            "trial": opened.number,
            "trials": opened.trials,
        },
        "walk_forward": [
            {**_written(choice), "settings_as_they_are": _figures(usual)}
            for choice, usual in zip(found.walk, found.usual, strict=True)
        ],
        "best": [_written(choice) for choice in found.best],
    }


def _ranked(tried: Sequence[Tried], windows: Sequence[int]) -> list[Tried]:
    scores = [(scored(one, windows).score, one) for one in tried]
    sound = [(score, one) for score, one in scores if score > -inf]
    return [one for _, one in sorted(sound, key=lambda pair: (-pair[0], pair[1].number))]


def _choice(
    whole: Sequence[Tried], one: Tried, train: range, judge: range, *outside: Outcome | None
) -> Choice:
    inside = scored(one, train)
    ratios = [scored(other, train).days.sharpe for other in whole]
    known = [outcome for outcome in outside if outcome is not None]
    return Choice(
        one,
        train,
        inside,
        deflated_sharpe(inside.days, ratios),
        judge,
        figures_of(known) if known else None,
    )


def _written(choice: Choice) -> dict[str, Any]:
    return {
        "trial": choice.tried.number,
        "settings": choice.tried.values,
        "chosen_on": list(choice.train),
        "judged_on": list(choice.judge),
        "in_sample": _figures(choice.inside),
        "deflated_sharpe_ratio": choice.deflated,
        "out_of_sample": _figures(choice.outside),
    }


def _figures(figures: Figures | None) -> dict[str, Any] | None:
    if figures is None:
        return None
    return {
        "net_apr": figures.apr,
        "drawdown": figures.drawdown,
        "sharpe": annual(figures.days.sharpe),
        "days": figures.days.count,
        "broken": list(figures.broken),
    }


def _by_number(reasons: dict[int, str]) -> list[dict[str, Any]]:
    return [{"trial": number, "reason": reason} for number, reason in reasons.items()]
