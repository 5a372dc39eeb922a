"""What was once found and cut down: clean on the product, still caught on what it was found in.

A fixture counts questions and answers, so a change of what the product asks may lead its choices
elsewhere. It is renewed by ``python -m tests.world.mutants --shrink NAME``.
"""

from pathlib import Path

import pytest

from tests.world.mutants import (
    MUTANTS,
    REGRESSIONS,
    Finding,
    judged,
    regression_run,
    with_planted,
)
from tests.world.oracle import Oracle
from tests.world.shrink import load

FIXTURES = sorted(REGRESSIONS.glob("*.json"))


def by_others(findings: tuple[Finding, ...]) -> list[Finding]:
    """Without the floor's: so short a run need not have closed anything."""
    return [finding for finding in findings if finding.by != "floor"]


def test_there_are_fixtures() -> None:
    assert len(FIXTURES) >= 3


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_the_choices_that_broke_it_once_lead_to_nothing_now(path: Path) -> None:
    kept, mutant = load(path), MUTANTS[path.stem]

    verdict = judged(regression_run(mutant, kept.seed), Oracle.replay(kept.choices))

    assert by_others(verdict.findings) == []


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_the_same_choices_break_what_they_were_found_in(path: Path) -> None:
    kept, mutant = load(path), MUTANTS[path.stem]
    run = regression_run(mutant, kept.seed)

    verdict = with_planted(mutant, run, Oracle.replay(kept.choices))

    assert kept.violation in [f"{finding.by} {finding.text}" for finding in verdict.findings]


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_a_fixture_is_small_enough_to_be_read(path: Path) -> None:
    assert len(load(path).choices) <= 20
