"""From a failing run's many choices to the few that make it fail, and these kept as a fixture."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from tests.world.oracle import Choice

Fails = Callable[[Sequence[Choice]], bool]
"""Whether the world still fails in the way in question when it replays these choices."""


class Regression(msgspec.Struct, frozen=True):
    """A failure once found. It replays from ``choices`` alone; ``seed`` tells where it was met."""

    seed: int
    violation: str
    note: str
    choices: list[Choice]


class _BudgetSpent(Exception):
    pass


class _Search:
    """``best`` is the least list so far that is known to fail."""

    def __init__(self, choices: Sequence[Choice], fails: Fails, budget: int) -> None:
        self.best = list(choices)
        self._fails, self._budget = fails, budget

    def accepts(self, candidate: list[Choice]) -> bool:
        """Whether ``candidate`` fails too, and so is the best from now on."""
        if self._budget == 0:
            raise _BudgetSpent
        self._budget -= 1
        if self._fails(candidate):
            self.best = candidate
            return True
        return False


def shrink(choices: Sequence[Choice], fails: Fails, budget: int) -> list[Choice]:
    """Fewer and smaller choices that still fail, after at most ``budget`` runs.

    Where the budget was enough, no choice of the result can be left out. Deterministic.

    Raises:
        ValueError: ``choices`` do not fail to begin with.
    """
    search = _Search(choices, fails, budget)
    if not search.accepts(search.best):
        raise ValueError("these choices do not fail")
    with suppress(_BudgetSpent):
        before = None
        while search.best != before:
            before = search.best
            _drop_runs(search)
            _lower_values(search)
    return search.best


def _drop_runs(search: _Search) -> None:
    """Delta debugging by complements: leave out runs of choices, halving their length."""
    length = len(search.best)
    while length >= 1:
        start = 0
        while start < len(search.best):
            if not search.accepts(search.best[:start] + search.best[start + length :]):
                start += length
        length //= 2


def _lower_values(search: _Search) -> None:
    """Each value as near to the benign 0 as bisection brings it."""
    for index, choice in enumerate(search.best):
        low, high = 0, choice.value  # it fails at `high`, and not at `low`
        middle = 1  # where any trouble is enough, one run settles it
        while high - low > 1:
            lower = choice._replace(value=middle)
            if search.accepts([*search.best[:index], lower, *search.best[index + 1 :]]):
                high = middle
            else:
                low = middle
            middle = (low + high) // 2


def save(path: Path, regression: Regression) -> None:
    """One choice a line, so that a change of the fixture can be read."""
    head = msgspec.json.encode(msgspec.structs.replace(regression, choices=[]))
    lines = ",\n    ".join(msgspec.json.encode(choice).decode() for choice in regression.choices)
    text = msgspec.json.format(head, indent=2).decode()
    path.write_text(text.replace("[]\n}", f"[\n    {lines}\n  ]\n}}\n"), "utf-8")


def load(path: Path) -> Regression:
    """Raises ``msgspec.DecodeError`` for what is no such fixture."""
    return msgspec.json.decode(path.read_bytes(), type=Regression)
