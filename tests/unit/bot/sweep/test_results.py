"""What is called best, by what it is judged, and what is said of the rest."""

from math import inf

import pytest

from bot.app import RunResult
from bot.backtest.bars import Window
from bot.sweep.results import Choice, Findings, document, findings
from bot.sweep.sharpe import deflated_sharpe, moments_of
from bot.sweep.study import Opened, Tried
from bot.sweep.trial import Outcome, _outcome, figures_of
from bot.sweep.windows import Plan
from domain.time import DAY, SECOND

PLAN = Plan(tuple(Window(k * 30 * DAY, (k + 1) * 30 * DAY) for k in range(4)), train=1)


def outcome(apr: float, *, drawdown: float = 0.0, broken: tuple[str, ...] = ()) -> Outcome:
    """A window of thirty days of which every other was twice as good."""
    days = moments_of([apr / 365 * (0.67 + 0.66 * (k % 2)) for k in range(30)])
    return Outcome(apr / 12, apr, drawdown, 1, broken, days, "0", "")


def tried(number: int, *outcomes: Outcome, refused: str | None = None) -> Tried:
    return Tried(number, {"risk.x": number}, dict(enumerate(outcomes)), refused)


def found(*trials: Tried, opened: Opened | None = None) -> Findings:
    return findings(PLAN, trials, opened, {"risk.x": 0})


STEADY = tried(0, outcome(0.02), outcome(0.02), outcome(0.02))
EARLY = tried(1, outcome(0.09), outcome(0.01), outcome(0.01))
LATE = tried(2, outcome(0.01), outcome(0.01), outcome(0.09))


def test_a_fold_chooses_on_its_training_windows_alone() -> None:
    first, second, last = found(STEADY, EARLY, LATE).walk

    assert (first.tried, second.tried, last.tried) == (EARLY, STEADY, LATE)
    assert first.outside == figures_of([outcome(0.01)])
    assert second.outside == figures_of([outcome(0.02)])


def test_the_settings_as_they_are_stand_beside_every_fold_that_is_judged() -> None:
    assert found(STEADY, EARLY).usual == (*[figures_of([outcome(0.02)])] * 2, None)
    assert found(EARLY, LATE).usual == (None, None, None)


def test_of_equals_the_first_is_best() -> None:
    twin = tried(3, *STEADY.outcomes.values())

    assert [choice.tried.number for choice in found(STEADY, twin).best] == [0, 3]
    assert [choice.tried.number for choice in found(twin, STEADY).best] == [0, 3]


def test_a_run_with_a_liquidation_or_a_broken_invariant_is_broken() -> None:
    report = {
        "equity": {"start": "100", "max_drawdown": 0.0},
        "pnl": {"total": "1"},
        "simulated_seconds": 3600.0,
        "risk": {"liquidations": 2},
        "pairs": [],
        "integrity": {"violations": ["naked"]},
        "digest": "",
    }

    assert _outcome(RunResult(report, (), False)).broken == ("2 liquidations", "naked")


def test_the_score_is_the_median_less_the_deepest_fall() -> None:
    whole = figures_of([outcome(0.01), outcome(0.06, drawdown=0.02), outcome(0.05)])

    assert whole.score == pytest.approx(0.05 - 0.02)


def test_nothing_makes_up_for_a_broken_limit() -> None:
    reckless = tried(4, *[outcome(0.5, broken=("1 liquidations",))] * 3)

    assert figures_of(list(reckless.outcomes.values())).score == -inf
    told = found(STEADY, reckless)
    assert {choice.tried.number for choice in (*told.walk, *told.best)} == {0}
    assert told.broken == {4: "1 liquidations"}
    assert told.trials == 2


def test_every_trial_counts_against_the_best() -> None:
    alone, among = (found(*trials).best[0] for trials in ((LATE,), (LATE, STEADY, EARLY)))
    ratios = [one.outcomes[2].days.sharpe for one in (LATE, STEADY, EARLY)]

    assert among.tried == alone.tried == LATE
    assert among.deflated == deflated_sharpe(LATE.outcomes[2].days, ratios)


def test_what_was_refused_or_is_under_way_is_no_trial() -> None:
    refused = tried(5, refused="leverage")
    begun = tried(6, outcome(0.9), outcome(0.9))
    told = found(STEADY, refused, begun)

    assert (told.trials, told.refused) == (1, {5: "leverage"})
    assert [choice.tried for choice in told.best] == [STEADY]


def test_without_a_whole_trial_there_is_no_best() -> None:
    told = found(tried(0, outcome(0.9)))

    assert (told.trials, told.walk, told.best) == (0, (), ())


def sealed(told: Findings) -> Choice:
    return told.walk[-1]


def test_the_sealed_window_stays_unknown_until_it_is_opened() -> None:
    assert sealed(found(STEADY, EARLY)).outside is None
    assert (
        document(PLAN, found(STEADY, EARLY), None, synthetic=False)["walk_forward"][-1][
            "out_of_sample"
        ]
        is None
    )


def test_once_opened_it_judges_the_trial_it_was_opened_on() -> None:
    opened = Opened(1, 2, 1_735_689_600 * SECOND, outcome(0.03))
    told = found(STEADY, EARLY, opened=opened)

    assert sealed(told).tried == EARLY
    assert sealed(told).outside == figures_of([outcome(0.03)])
    assert document(PLAN, told, opened, synthetic=False)["sealed_opened"] == {
        "at": "2025-01-01T00:00:00Z",
        "trial": 1,
        "trials": 2,
    }
