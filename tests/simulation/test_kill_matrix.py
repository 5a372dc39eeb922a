"""A part of the kill matrix; the whole of it is ``python -m tests.world.kills``."""

import asyncio
from functools import cache

import pytest

from bot.engine import Engine, Outcome
from bot.trader import Trader
from domain.money import ZERO
from domain.orders import OrderStatus
from execution.facts import Fact, OrderDoubted, OrderIntended, OrderResolved, RunStarted
from tests.world.kills import (
    ROWS,
    STORIES,
    Around,
    Case,
    How,
    Point,
    Report,
    chosen,
    compared,
    play,
    second_kills,
)

ENDED_OTHERWISE = ("K13", "K15", "K16")
"""Rows that are about how a process ends, and not about where."""


@cache
def reference(scenario: str) -> Report:
    return play(Case(scenario))


def effects(scenario: str) -> list[Point]:
    return [point for point in chosen(reference(scenario).points) if point.effect]


def violations(case: Case) -> tuple[str, ...]:
    return compared(play(case), reference(case.scenario)).violations


def found(cases: list[Case]) -> dict[str, tuple[str, ...]]:
    """By the command that plays it again; empty is what is wanted."""
    return {case.command: broken for case in cases if (broken := violations(case))}


@pytest.mark.parametrize("scenario", STORIES)
def test_a_story_in_which_nobody_dies_is_told_to_its_end(scenario: str) -> None:
    assert reference(scenario).violations == ()


def test_every_row_of_the_catalogue_has_a_failpoint() -> None:
    rows = {row for name in STORIES for point in reference(name).points for row in point.rows}

    assert rows == set(ROWS) - set(ENDED_OTHERWISE)


@pytest.mark.parametrize(
    ("scenario", "every"), [("perp", 4), ("unwind", 6), ("flatten", 6), ("parts", 8)]
)
def test_killed_around_any_effect_the_bot_comes_back(scenario: str, every: int) -> None:
    points = effects(scenario)

    assert found([Case(scenario, (point.index,), 0.0) for point in points[::every]]) == {}


def test_killed_around_a_move_of_margin_the_bot_comes_back() -> None:
    points = [point for point in effects("margin") if point.phase == "margin"]

    assert {point.what for point in points} >= {"updateIsolatedMargin", "order forced"}
    assert found([Case("margin", (point.index,), 7.0) for point in points[::4]]) == {}


def test_killed_again_while_it_recovers_the_bot_comes_back() -> None:
    hedge = next(p for p in effects("perp") if p.what == "order hedge" and p.around is Around.AFTER)
    first = play(Case("perp", (hedge.index,), 0.0))
    again = list(second_kills(first, full=False))

    assert len(again) == 12
    assert {point.phase for _, point in again} == {"recovering"}
    assert found([case for case, _ in again]) == {}


def test_told_to_end_the_bot_does_no_more_than_when_it_is_killed() -> None:
    points = effects("urgent")

    assert found([Case("urgent", (p.index,), how=How.CANCEL) for p in points[::8]]) == {}


def test_stopped_for_ten_minutes_with_one_leg_it_leaves_the_other_to_the_watchdog() -> None:
    maker = next(p for p in effects("perp") if p.what == "order maker" and p.around is Around.AFTER)
    report = play(Case("perp", (maker.index,), how=How.STOP))

    assert report.taken_over
    assert report.violations == ()


# --- what the matrix is worth: planted bugs that it has to find -----------------------------


def test_it_finds_a_bot_that_commits_only_after_it_has_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    append = Trader._append

    def late(self: Trader, facts: list[Fact]) -> None:
        if any(isinstance(fact, OrderIntended) for fact in facts):
            asyncio.get_running_loop().call_later(0.1, append, self, facts)
        else:
            append(self, facts)

    monkeypatch.setattr(Trader, "_append", late)
    sent = [p for p in play(Case("perp")).points if p.what == "order hedge"]

    assert sent
    assert any("I-1" in text for text in _all_texts(sent))


def test_it_finds_a_bot_that_takes_what_has_no_answer_for_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = Engine.start

    def forget(self: Engine, run: RunStarted) -> Outcome:
        self.now_ns = run.time_ns
        for order in self.state.orders.live():
            self._record(OrderDoubted(order.cloid, "the process ended", run.time_ns))
            never = OrderStatus.NEVER_SEEN
            self._record(OrderResolved(order.cloid, never, ZERO, "a guess", run.time_ns))
        return start(self, run)

    sent = [p for p in effects("perp") if p.what == "order hedge"]
    monkeypatch.setattr(Engine, "start", forget)
    # The history that a start waits for would tell of the fills in time.
    monkeypatch.setattr(Engine, "_is_behind", lambda _: False)

    assert sent
    assert any("naked" in text or "I-2" in text for text in _all_texts(sent))


def _all_texts(points: list[Point]) -> list[str]:
    cases = [Case("perp", (point.index,), 0.0) for point in points]
    return [text for texts in found(cases).values() for text in texts]
