"""The minute that the processes of one machine have in common at the venue: a file of three rows.

Each row has one writer, and everybody reads them all, so that there is no lock and nobody waits
for anybody. A process that begins goes on with the row of the one before it. A request writes
sixteen bytes, and nothing is synced. What counts the seconds is the machine's monotonic clock, the
same for all of them whatever becomes of the wall clock. It is less precious than anything that
waits for it: what cannot be read says nothing, and who cannot have the file counts alone.
"""

import asyncio
import os
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path

from execution.venues.hyperliquid.weights import MINUTE_SECONDS, Minute

MINUTE = "requests.minute"
"""Its name in a state directory."""


class Row(IntEnum):
    """Of the first two there is never more than one process: journal and nonces see to that."""

    TRADER = 0
    WATCHDOG = 1
    OTHERS = 2


def minute_in(directory: Path, row: Row, tell: Callable[[str], None]) -> "SharedMinute":
    """That of a state directory, for the transport of a running event loop."""
    return SharedMinute(directory / MINUTE, row, asyncio.get_running_loop().time(), tell)


class SharedMinute(Minute):
    """``execution.venues.hyperliquid.weights.Minute`` of all that open the same file.

    ``now`` is the clock's, at which it is opened; ``tell`` hears, once, of a file that cannot be
    used.
    """

    def __init__(self, path: Path, row: Row, now: float, tell: Callable[[str], None]) -> None:
        super().__init__()
        self._path, self._tell = path, tell
        self._length = len(self._cells)
        self._begin = row * self._length
        self._file: int | None = None
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            self._alone(error)
        rows = self._rows()
        # What is yet to come was written before the machine was started, or is no time at all.
        for begin in range(0, len(rows), self._length):
            cells = rows[begin : begin + self._length]
            if any(at > now + MINUTE_SECONDS for at, _, _ in self.CELL.iter_unpack(cells)):
                cells = bytes(self._length)
                self._write(begin, cells)
            if begin == self._begin:
                self._cells[:] = cells
        # Written whole, so that no write needs more room on the disk than there was.
        self._write(self._begin, bytes(self._cells))

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _others(self) -> bytes:
        rows = self._rows()
        return rows[: self._begin] + rows[self._begin + self._length :]

    def _changed(self, at: int) -> None:
        self._write(self._begin + at, bytes(self._cells[at : at + self.CELL.size]))

    def _rows(self) -> bytes:
        """All of them, each as long as it should be."""
        length, kept = len(Row) * self._length, b""
        if self._file is not None:
            try:
                kept = os.pread(self._file, length, 0)
            except OSError as error:
                self._alone(error)
        return kept.ljust(length, b"\0")

    def _write(self, at: int, cells: bytes) -> None:
        if self._file is not None:
            try:
                os.pwrite(self._file, cells, at)
            except OSError as error:
                self._alone(error)

    def _alone(self, error: OSError) -> None:
        """For good: what is counted from now on, the file would not have."""
        self.close()
        why = os.strerror(error.errno or 0)
        self._tell(f"{self._path}: {why}: what others ask of the venue from here is not counted")
