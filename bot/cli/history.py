"""A state directory as it can be read: its journal, folded."""

from pathlib import Path

from bot.cli.directory import journal_in
from bot.cli.errors import CommandError
from bot.instruments import load_pairs
from bot.record import Record
from execution.facts import RunStarted
from execution.journal import open_for_reading
from execution.state import State, apply


def read_history(directory: Path) -> Record:
    """Fold the journal of a state directory; a running bot is not disturbed.

    Raises:
        CommandError: when there is no journal, or nothing in it.
        JournalError: when it cannot be read.
    """
    with open_for_reading(journal_in(directory)) as journal:
        facts = journal.read()
        first = next(facts, None)
        if not isinstance(first, RunStarted):
            raise CommandError(f"the journal in {directory} is empty: nothing has run yet")
        record = Record(State(load_pairs(first.venue, first.pairs)))
        apply(record.state, first)
        record.add(first)
        for fact in facts:
            apply(record.state, fact)
            record.add(fact)
    return record
