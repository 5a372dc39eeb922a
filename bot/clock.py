"""The only reader of time."""

import time


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
