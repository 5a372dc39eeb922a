"""What every process of the tests does as one: end with its parent, and speak JSON lines."""

import ctypes
import os
import signal
import sys

import msgspec

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def end_with_parent() -> None:
    """Have the kernel kill this process when its parent is gone, however that ended."""
    parent = os.getppid()
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it went before that was arranged
        sys.exit(1)


def say(**words: object) -> None:
    """One JSON line for whoever started this process."""
    sys.stdout.buffer.write(msgspec.json.encode(words) + b"\n")
    sys.stdout.buffer.flush()
