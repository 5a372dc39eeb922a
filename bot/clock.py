"""The only reader of time."""

import time
from collections.abc import Callable
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class SystemClock:
    """``execution.ports.Clock`` on this machine's clock."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """For durations: never steps, means nothing as a date."""
        return time.monotonic_ns()

    def sleep(self, duration_ns: int) -> None:
        """Give the processor away for about so long."""
        time.sleep(duration_ns / 1_000_000_000)


def since_boot_ns() -> int:
    """Time since the machine was started, also what it spent asleep; never steps."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """Names this run of the machine, over which ``since_boot_ns`` counts; empty if it has none."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


class SteadyClock:
    """``execution.ports.Clock`` that goes on at the same pace whatever becomes of the wall clock.

    It is the wall clock as it was when this was made, plus the time since. A wall clock that
    is set back can then neither extend a lease that has run out nor repeat an hour; one that is
    set right is followed by the next process.
    """

    def __init__(
        self,
        wall_ns: Callable[[], int] = time.time_ns,
        steady_ns: Callable[[], int] = since_boot_ns,
    ) -> None:
        self._steady_ns = steady_ns
        self.origin_ns = wall_ns() - steady_ns()
        """What this clock showed when the machine was started. Two processes may differ in it."""

    def now_ns(self) -> int:
        return self.origin_ns + self._steady_ns()
