"""A state directory as it can be read: its journal, folded."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from bot.cli.directory import journal_in
from bot.cli.errors import CommandError
from bot.instruments import load_pairs
from bot.record import Record
from execution.facts import Fact, RunStarted
from execution.journal import open_for_reading
from execution.state import State, apply


def read_history(directory: Path) -> Record:
    """Fold the journal of a state directory; a running bot is not disturbed.

    Raises:
        CommandError: when there is no journal, or nothing in it.
        JournalError: when it cannot be read.
    """
    with open_for_reading(journal_in(directory)) as journal:
        return folded(journal.read(), directory)


def folded(facts: Iterator[Fact], directory: Path) -> Record:
    """What the facts of the journal in ``directory`` amount to.

    Raises:
        CommandError: there are none.
    """
    first = next(facts, None)
    if not isinstance(first, RunStarted):
        raise CommandError(f"the journal in {directory} is empty: nothing has run yet")
    record = Record(State(load_pairs(first.venue, first.pairs)))
    for fact in chain((first,), facts):
        apply(record.state, fact)
        record.add(fact)
    return record
