"""A few of the planted bugs; ``python -m tests.world.mutants`` plants them all."""

from collections.abc import Iterator
from functools import cache

import pytest

from bot.engine import Engine
from execution.venues.hyperliquid.sign import Nonces
from tests.world import mutants
from tests.world.mutants import MUTANTS, Mutant, Run, Verdict, hunt, judged, with_planted

QUICK = (
    "hedge_follows_what_was_ordered",
    "close_is_too_large",
    "adl_is_dropped",
    "lease_is_not_asked",
)


@cache
def control(run: Run) -> Verdict:
    return judged(run)


@pytest.mark.parametrize("name", QUICK)
def test_a_planted_bug_is_caught_and_the_product_without_it_is_clean(name: str) -> None:
    caught = hunt(name)

    assert caught.findings
    assert len(caught.runs) == 1, "another seed than the one listed catches it now: list that one"
    assert [control(run).findings for run in caught.runs] == [()]


def test_what_changes_nothing_survives(monkeypatch: pytest.MonkeyPatch) -> None:
    first = MUTANTS["close_is_too_large"].first
    harmless = Mutant("harmless", "-", ("I-8",), "nothing is wrong", first, lambda _: None)
    monkeypatch.setitem(MUTANTS, "harmless", harmless)
    monkeypatch.setattr(mutants, "SEEDS_MAX", 1)

    caught = hunt("harmless")

    assert not caught.findings
    assert "SURVIVED 1 runs" in str(caught)


def test_another_finding_than_the_expected_one_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = MUTANTS["close_is_too_large"]
    mistaken = Mutant("mistaken", "-", ("I-11",), "something is wrong", known.first, known.plant)
    monkeypatch.setitem(MUTANTS, "mistaken", mistaken)
    monkeypatch.setattr(mutants, "SEEDS_MAX", 1)

    assert with_planted(mistaken, mistaken.first).findings
    assert not hunt("mistaken").findings


def test_a_bot_that_does_nothing_is_not_clean() -> None:
    """The floor: without it the safest bot would be the one that is switched off."""
    found = with_planted(MUTANTS["nothing_is_ever_entered"], Run(0, 0.05, "calm")).findings

    assert {finding.by for finding in found} == {"floor"}


def test_what_is_planted_is_taken_out_again() -> None:
    before = Engine._books_agree, Nonces.next

    with_planted(MUTANTS["nothing_is_ever_entered"], Run(0, 0.01, "calm"))
    with_planted(MUTANTS["nonce_shared"], Run(0, 0.01, "calm"))

    assert (Engine._books_agree, Nonces.next) == before


def test_a_run_is_the_same_each_time_that_something_is_planted() -> None:
    mutant = MUTANTS["hedge_follows_what_was_ordered"]
    run = Run(mutant.first.seed, 0.1, "rough")

    first, second = with_planted(mutant, run), with_planted(mutant, run)

    assert (first.findings, first.choices) == (second.findings, second.choices)


def rows() -> Iterator[tuple[str, str]]:
    return ((mutant.row, mutant.wrong) for mutant in MUTANTS.values())


def test_the_list_is_long_enough_and_says_each_thing_once() -> None:
    assert len(MUTANTS) >= 34
    assert len(set(rows())) == len(MUTANTS)
    assert len({row for row, _ in rows()}) >= 25
