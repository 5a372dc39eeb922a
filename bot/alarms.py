"""The alarm outbox: what a person has to be told, for whoever tells it.

A file of its own, one JSON line an alarm: it must work when the journal does not. It is not
synced, since a disk that stalls is one of the things to tell of, and whoever waits for it
loses the lease meanwhile. What cannot even be written goes to standard error.
"""

import os
import sys
from pathlib import Path

import msgspec

from execution.effects import RaiseAlarm

ALARMS = "alarms.jsonl"
"""Its name in a state directory."""


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
            finally:
                os.close(descriptor)
        except OSError as error:
            sys.stderr.write(f"alarm not kept ({error.strerror}): {line.decode()}")
