"""A failing run is cut down to the choices that matter, and kept."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from domain.time import SECOND
from tests.world.loop import SimLoop
from tests.world.oracle import SCHEDULE, Choice, Oracle
from tests.world.shrink import Regression, load, save, shrink

BUDGET = 2_000
MATTERS = [Choice("road", 40, 3), Choice("road", 41, 1), Choice("venue", 7, 5)]


def many() -> list[Choice]:
    """Hundreds of choices, three of which matter."""
    other = [
        Choice(site, nth, 1 + nth % 9)
        for site in ("road", "venue", "market", SCHEDULE)
        for nth in range(0, 200, 2)
        if (site, nth) not in {(c.site, c.nth) for c in MATTERS}
    ]
    return sorted(other + [c._replace(value=c.value + 4) for c in MATTERS])


def planted(choices: Sequence[Choice]) -> bool:
    values = {(c.site, c.nth): c.value for c in choices}
    return all(values.get((c.site, c.nth), 0) >= c.value for c in MATTERS)


def test_hundreds_of_choices_shrink_to_the_few_that_matter_at_their_least_values() -> None:
    asked: list[int] = []

    def fails(choices: Sequence[Choice]) -> bool:
        asked.append(len(choices))
        return planted(choices)

    assert len(many()) > 350
    assert shrink(many(), fails, BUDGET) == MATTERS
    assert len(asked) < 200


def test_shrinking_asks_the_same_questions_each_time() -> None:
    def asked() -> list[tuple[Choice, ...]]:
        questions: list[tuple[Choice, ...]] = []

        def fails(choices: Sequence[Choice]) -> bool:
            questions.append(tuple(choices))
            return planted(choices)

        shrink(many(), fails, BUDGET)
        return questions

    assert asked() == asked()


@pytest.mark.parametrize("budget", [1, 2, 10, 40])
def test_a_small_budget_is_kept_and_what_it_found_still_fails(budget: int) -> None:
    asked: list[int] = []

    def fails(choices: Sequence[Choice]) -> bool:
        asked.append(len(choices))
        return planted(choices)

    result = shrink(many(), fails, budget)

    assert len(asked) <= budget
    assert planted(result)
    assert len(result) <= len(many())


def test_what_does_not_fail_cannot_be_shrunk() -> None:
    with pytest.raises(ValueError, match="do not fail"):
        shrink(MATTERS[:2], planted, BUDGET)


def test_what_fails_without_any_choice_shrinks_to_none() -> None:
    assert shrink(many(), lambda _: True, BUDGET) == []


def lost_updates(oracle: Oracle) -> int:
    """Additions lost by a read and a write with a pause between them, when order is unlucky."""
    loop = SimLoop(oracle, 0)
    total = 0

    async def add(number: int) -> None:
        nonlocal total
        await asyncio.sleep(number)
        for _ in range(20):
            read = total
            if oracle.choose("pause", 10) >= 4:
                await asyncio.sleep(1)
            total = read + 1

    for number in range(10):
        loop.spawn("bot", add(number))
    loop.run_until(1_000 * SECOND)
    loop.close()
    return 200 - total


def test_a_race_in_a_world_shrinks_to_one_pause_that_replays() -> None:
    found = Oracle.seeded(4, {SCHEDULE: 0.5, "pause": 0.9})
    assert lost_updates(found) > 0

    few = shrink(found.taken, lambda c: lost_updates(Oracle.replay(c)) > 0, BUDGET)

    assert len(found.taken) > 100
    assert [(c.site, c.value) for c in few] == [("pause", 4)] * len(few)
    assert len(few) <= 2
    assert lost_updates(Oracle.replay(few)) > 0
    assert lost_updates(Oracle.replay(few[1:])) == 0


@pytest.mark.parametrize("choices", [MATTERS, []])
def test_a_kept_failure_reads_as_it_was_written(tmp_path: Path, choices: list[Choice]) -> None:
    kept = Regression(17, 'I-2: "one intent, one order"', "note with [] and\n}", choices)
    save(tmp_path / "kept.json", kept)

    assert load(tmp_path / "kept.json") == kept


def test_a_kept_failure_has_one_choice_a_line(tmp_path: Path) -> None:
    save(tmp_path / "kept.json", Regression(17, "I-2", "", MATTERS))

    text = (tmp_path / "kept.json").read_text()
    assert '    ["road",40,3],\n    ["road",41,1],\n' in text
    assert text.endswith("  ]\n}\n")


def test_a_file_that_is_no_kept_failure_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kept.json").write_text('{"seed": 1}')

    with pytest.raises(msgspec.DecodeError):
        load(tmp_path / "kept.json")
