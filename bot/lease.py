"""Who may send for the account: one process at a time, by a lease that has to be renewed.

A file beside the journal says who holds it and until when, and counts its holders (the
*epoch*, a fencing token: a larger one is a later holder). The trader renews it while it
decides; the watchdog takes it over when it has run out. A process that was stopped and
wakes up finds it lost, and must start again before anything may leave.

Times are of the machine's clock that both processes share, in nanoseconds, UTC.
"""

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

_LENGTH = 16_384
_TRIES = 50  # a millisecond apart: nobody holds the file for longer unless it was stopped just then


class LeaseHeld(Exception):
    """Another process holds the lease. ``until_ns``: it is free from then on, unless renewed."""

    def __init__(self, holder: str, until_ns: int) -> None:
        self.until_ns = until_ns
        super().__init__(f"the account is {holder}'s")


class LeaseLost(Exception):
    """Somebody else took the lease over, or it ran out: nothing may leave any more."""


class Held(msgspec.Struct, frozen=True):
    """What the file says.

    ``not_ours`` is what the trader knows to be no part of its trades (instrument id to
    signed base quantity, as text): a person's inventory, which nobody may sell.
    """

    epoch: int = 0
    holder: str = "nobody"
    until_ns: int = 0
    not_ours: dict[str, str] = {}


class Lease:
    """One process's view of the lease file. Not held until ``acquire``."""

    def __init__(self, path: Path, holder: str, duration_ns: int) -> None:
        self._path = path
        self._holder = holder
        self._duration_ns = duration_ns
        self._epoch = 0
        self._until_ns = 0

    @property
    def epoch(self) -> int:
        """The token of this holding; zero while it was never held."""
        return self._epoch

    def holds(self, now_ns: int) -> bool:
        """Whether something may leave at ``now_ns``. Asks nobody."""
        return now_ns < self._until_ns

    def look(self) -> Held:
        """What the file says now."""
        with self._file() as descriptor:
            return _read(descriptor)

    def acquire(self, now_ns: int) -> None:
        """Take the lease, from nobody or from a holder whose time has run out.

        A restarted process takes its own back at once; that there is no second one of the
        same name is for the journal's lock to see to.

        Raises:
            LeaseHeld: when another holder's time has not.
        """
        with self._file() as descriptor:
            held = _read(descriptor)
            if held.until_ns > now_ns and held.holder != self._holder:
                raise LeaseHeld(held.holder, held.until_ns)
            self._epoch = held.epoch + 1
            self._write(descriptor, now_ns, held.not_ours)

    def renew(self, now_ns: int, not_ours: Mapping[str, str] | None = None) -> None:
        """Hold it for its whole duration from ``now_ns`` on; ``not_ours`` None leaves that as is.

        Raises:
            LeaseLost: when it has run out meanwhile, or is somebody else's.
        """
        if not self.holds(now_ns):
            raise LeaseLost("the lease was not renewed in time")
        with self._file() as descriptor:
            held = _read(descriptor)
            if held.epoch != self._epoch:
                self._until_ns = 0
                raise LeaseLost(f"the lease was taken over by {held.holder}")
            known = held.not_ours if not_ours is None else dict(not_ours)
            self._write(descriptor, now_ns, known)

    def release(self) -> None:
        """Give it back, if it is still ours, so that the next holder need not wait."""
        with self._file() as descriptor:
            held = _read(descriptor)
            if held.epoch == self._epoch:
                _replace(descriptor, Held(self._epoch, not_ours=held.not_ours))
        self._until_ns = 0

    def _write(self, descriptor: int, now_ns: int, not_ours: dict[str, str]) -> None:
        self._until_ns = now_ns + self._duration_ns
        _replace(descriptor, Held(self._epoch, self._holder, self._until_ns, not_ours))

    @contextmanager
    def _file(self) -> Iterator[int]:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(descriptor)
            yield descriptor
        finally:
            os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Never waits for long: a process that was stopped with the lock in hand must not stop others.

    Raises:
        LeaseLost: when somebody has it and does not let go.
    """
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.001)
        else:
            return
    raise LeaseLost("another process has the lease file and does not let go of it")


def _read(descriptor: int) -> Held:
    body = os.pread(descriptor, _LENGTH, 0)
    return msgspec.json.decode(body, type=Held) if body.strip() else Held()


def _replace(descriptor: int, held: Held) -> None:
    # One write over the old words, padded: shorter words leave no tail of longer ones.
    os.pwrite(descriptor, msgspec.json.encode(held).ljust(_LENGTH), 0)
