"""Who may send for the account: one process at a time, by a lease that has to be renewed.

A file beside the journal says who holds it and until when, and counts its holders (the
*epoch*, a fencing token: a larger one is a later holder). The trader renews it while it
decides; the watchdog takes it over when it has run out. A process that was stopped and
wakes up finds it lost, and must start again before anything may leave.

Times are each process's own, in nanoseconds, UTC. In the file they are counted from the
start of the machine: the wall clock may have been set between the starts of two processes,
which would otherwise not mean the same moment.
"""

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec.structs import replace

_LENGTH = 16_384
_LENGTH_MAX = 1 << 20
_REASON_LENGTH = 200
_TRIES = 50  # a millisecond apart: nobody holds the file for longer unless it was stopped just then


class LeaseHeld(Exception):
    """Another process holds the lease. ``until_ns``: it is free from then on, unless renewed."""

    def __init__(self, holder: str, until_ns: int) -> None:
        self.until_ns = until_ns
        super().__init__(f"the account is {holder}'s")


class LeaseLost(Exception):
    """Somebody else took the lease over, it ran out, or nobody can tell: nothing may leave."""


Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Quantity = Annotated[str, msgspec.Meta(pattern=r"^-?[0-9]+(\.[0-9]+)?(E[+-]?[0-9]{1,3})?\Z")]


class Held(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file says; once it is read, in the reader's own time.

    In the file ``until_ns`` counts from the start of the machine, in the run that ``boot`` names:
    what was held before that start has run out. ``not_ours`` is what the trader knows to be no
    part of its trades (instrument id to signed base quantity, as text): a person's inventory,
    which nobody may sell.
    """

    epoch: Count = 0
    holder: str = "nobody"
    until_ns: Count = 0
    not_ours: dict[str, Quantity] = {}
    boot: Annotated[str, msgspec.Meta(max_length=64)] = ""


class Lease:
    """One process's view of the lease file. Not held until ``acquire``.

    ``origin_ns`` is what the process's clock showed when the machine was started, in the run
    ``boot``; all times that are given and shown here are of that clock. Every method that looks
    at the file raises ``LeaseLost`` where it says nothing that can be understood: whoever acted
    then might not be the only one.
    """

    def __init__(
        self, path: Path, holder: str, duration_ns: int, origin_ns: int = 0, boot: str = ""
    ) -> None:
        self._origin_ns, self._boot = origin_ns, boot
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
            return self._read(descriptor)

    def acquire(self, now_ns: int) -> None:
        """Take the lease, from nobody or from a holder whose time has run out.

        A restarted process takes its own back at once; that there is no second one of the
        same name is for the journal's lock to see to.

        Raises:
            LeaseHeld: when another holder's time has not.
        """
        with self._file() as descriptor:
            held = self._read(descriptor)
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
            held = self._read(descriptor)
            if held.epoch != self._epoch:
                self._until_ns = 0
                raise LeaseLost(f"the lease was taken over by {held.holder}")
            known = held.not_ours if not_ours is None else dict(not_ours)
            self._write(descriptor, now_ns, known)

    def release(self) -> None:
        """Give it back, if it is still ours, so that the next holder need not wait."""
        with self._file() as descriptor:
            held = self._read(descriptor)
            if held.epoch == self._epoch:
                _replace(descriptor, Held(self._epoch, not_ours=held.not_ours, boot=self._boot))
        self._until_ns = 0

    def _read(self, descriptor: int) -> Held:
        """An empty file is a new one: nobody ever held it."""
        if os.fstat(descriptor).st_size > _LENGTH_MAX:
            raise self._unreadable("it is too long")
        body = os.pread(descriptor, _LENGTH_MAX, 0)
        try:
            held = msgspec.json.decode(body, type=Held) if body.strip() else Held()
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._unreadable(str(error)[:_REASON_LENGTH]) from error
        until_ns = held.until_ns + self._origin_ns if held.until_ns else 0
        if held.boot != self._boot:  # its holder is no more
            until_ns = min(until_ns, self._origin_ns)
        return replace(held, until_ns=until_ns, boot="")

    def _unreadable(self, why: str) -> LeaseLost:
        # Not "remove it": epochs would begin again, and the watchdog's order ids with them.
        return LeaseLost(
            f"{self._path} cannot be read as a lease ({why}): stop the bot and the watchdog, and "
            'write {"epoch": N} into it, with an N beyond every epoch before (1000000 will do)'
        )

    def _write(self, descriptor: int, now_ns: int, not_ours: dict[str, str]) -> None:
        self._until_ns = now_ns + self._duration_ns
        since_ns = self._until_ns - self._origin_ns
        _replace(descriptor, Held(self._epoch, self._holder, since_ns, not_ours, self._boot))

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


def _replace(descriptor: int, held: Held) -> None:
    # One write over the old words, padded: shorter words leave no tail of longer ones.
    length = max(_LENGTH, os.fstat(descriptor).st_size)
    os.pwrite(descriptor, msgspec.json.encode(held).ljust(length), 0)
