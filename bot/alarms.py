"""The alarm outbox: what a person has to be told, for whoever tells it.

A file of its own, one JSON line an alarm: it must work when the journal does not. It is not
synced, since a disk that stalls is one of the things to tell of, and whoever waits for it
loses the lease meanwhile. What cannot even be written goes to standard error.

Several processes write to it. Whoever makes it longer than a megabyte puts it aside, in the place
of the one before, and the next alarm begins a new one: it takes two megabytes at most.
"""

import fcntl
import os
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from execution.effects import RaiseAlarm

ALARMS = "alarms.jsonl"
"""Its name in a state directory."""
BYTES_MAX = 1 << 20


def put_aside(path: Path) -> Path:
    """Where the file at ``path`` is once another has taken its place."""
    return path.with_name(f"{path.name}.1")


class AlarmFile:
    """Called with an alarm, it appends it to ``path``; never raises."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, alarm: RaiseAlarm) -> None:
        line = msgspec.json.encode(alarm) + b"\n"
        try:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            descriptor = os.open(self._path, flags, 0o600)
            try:
                os.write(descriptor, line)
                if os.fstat(descriptor).st_size >= BYTES_MAX:
                    self._put_aside(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            sys.stderr.write(f"alarm not kept ({error.strerror}): {line.decode()}")

    def _put_aside(self, descriptor: int) -> None:
        """Once, though two may find at once that it is time; nobody waits for a lock that a
        process which hangs may hold. A file that cannot be moved grows on."""
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), self._path.stat()):
                self._path.replace(put_aside(self._path))
