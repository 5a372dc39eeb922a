"""The journal of the deterministic simulation: the real one, on a disk that misbehaves when told.

A kill is a hook that raises, then ``crash()``: what a process that dies leaves on its disk.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from execution.facts import Fact
from execution.journal import DiskFull, JournalError, SqliteJournal, open_for_reading

Fault = Literal["full", "locked", "slow"]
SITE = "journal.append"


def healthy(_site: str) -> Fault | None:
    return None


def nothing() -> None:
    """No hook."""


class FaultyJournal(SqliteJournal):
    """A ``SqliteJournal`` whose every append first asks ``fault`` what befalls it.

    ``"full"`` and ``"locked"`` refuse the append as the disk or a foreign writer would;
    ``"slow"`` lets it through, and who says so lets the virtual time pass. The hooks run
    around each append that is not refused: before, nothing of it is durable; after, all is.
    """

    def __init__(
        self,
        path: Path,
        *,
        fault: Callable[[str], Fault | None] = healthy,
        before_commit: Callable[[], None] = nothing,
        after_commit: Callable[[], None] = nothing,
    ) -> None:
        super().__init__(path)
        self.fault = fault
        self.before_commit = before_commit
        self.after_commit = after_commit

    def append(self, facts: Sequence[Fact]) -> None:
        match self.fault(SITE):
            case "full":
                raise DiskFull(f"{self.path}: the simulated disk is full")
            case "locked":
                raise JournalError(f"{self.path}: a simulated foreign writer has it")
        self.before_commit()
        super().append(facts)
        self.after_commit()

    def crash(self) -> None:
        """End as a killed process does: nothing more committed, the lock free, the log in place."""
        # The last connection to close would tidy the write-ahead log away; one that may
        # not write outlives the journal's by a moment, and leaves it for recovery.
        with open_for_reading(self.path):
            self.close()
