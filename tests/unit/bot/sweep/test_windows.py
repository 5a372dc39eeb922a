"""Time in windows, and the folds over them."""

import pytest

from bot.sweep.space import SweepError
from bot.sweep.windows import plan_windows
from domain.time import iso, parse_instant


def plan(start: str, end: str, train: int, test: int) -> list[str]:
    made = plan_windows(parse_instant(start), parse_instant(end), train, test)
    edges = [made.windows[0].start_ns, *(window.end_ns for window in made.windows)]
    return [iso(edge or 0)[:10] for edge in edges]


def test_windows_are_calendar_months_without_gaps() -> None:
    assert plan("2024-11-15", "2025-05-15", 4, 1) == [
        "2024-11-15", "2024-12-15", "2025-01-15", "2025-02-15", "2025-03-15", "2025-04-15",
        "2025-05-15",
    ]  # fmt: skip


def test_a_fold_never_trains_on_the_window_that_judges_it_or_on_a_later_one() -> None:
    made = plan_windows(parse_instant("2024-01-01"), parse_instant("2025-01-01"), 4, 2)

    assert [(list(fold.train), fold.test) for fold in made.folds()] == [
        ([0, 1], 2), ([1, 2], 3), ([2, 3], 4), ([3, 4], 5),
    ]  # fmt: skip
    assert all(max(fold.train) < fold.test for fold in made.folds())
    assert made.folds()[-1].test == made.sealed == 5


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("2024-01-01", "2025-01-01", 5, 2), "choose a multiple, like 6/2"),
        (("2024-01-01", "2025-01-15", 4, 2), "--to 2025-01-01 or --to 2025-03-01"),
        (("2024-01-01", "2024-07-01", 4, 2), "let --to be 2024-09-01 or later"),
        (("2024-01-31", "2025-01-31", 4, 2), "begin on the 28th or before"),
    ],
)
def test_what_does_not_divide_is_told_with_what_would(
    asked: tuple[str, str, int, int], said: str
) -> None:
    with pytest.raises(SweepError, match=said):
        plan(*asked)
