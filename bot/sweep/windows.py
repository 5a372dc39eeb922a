"""Time in windows: what is trained on, what is tested on, and the last one, sealed.

Every window is one backtest that begins flat. A fold chooses on the windows before its
own and is judged by its own; the last fold's window is the sealed one.
"""

from datetime import UTC, datetime
from itertools import pairwise

import msgspec

from bot.backtest.bars import Window
from bot.sweep.space import SweepError
from domain.time import SECOND, iso


class Fold(msgspec.Struct, frozen=True):
    """Places of windows: those that a configuration is chosen on, and the one that judges it."""

    train: range
    test: int


class Plan(msgspec.Struct, frozen=True):
    """``windows`` in order of time, the last one sealed; ``train`` is how many a choice sees."""

    windows: tuple[Window, ...]
    train: int

    @property
    def sealed(self) -> int:
        """The place of the sealed window, and how many windows there are before it."""
        return len(self.windows) - 1

    def folds(self) -> list[Fold]:
        """Walk-forward, oldest first; the last is judged by the sealed window.

        >>> [(list(f.train), f.test) for f in Plan((Window(None, None),) * 4, 2).folds()]
        [([0, 1], 2), ([1, 2], 3)]
        """
        return [Fold(range(k - self.train, k), k) for k in range(self.train, len(self.windows))]


def plan_windows(start_ns: int, end_ns: int, train: int, test: int) -> Plan:
    """Cut a range into windows of ``test`` months; a choice is made on ``train`` months.

    Raises:
        SweepError: months do not divide what they have to, or the range is too short.
    """
    if train % test:
        raise SweepError(
            f"--windows {train}/{test}: {train} months of training are no whole number of windows "
            f"of {test} months: choose a multiple, like {test * 3}/{test}"
        )
    count = train // test
    edges = [start_ns]
    while edges[-1] < end_ns:
        edges.append(_months_later(start_ns, test * len(edges)))
    if edges[-1] != end_ns:
        before = f"--to {_day(edges[-2])} or " if len(edges) > 2 else ""
        raise SweepError(
            f"--from {_day(start_ns)} --to {_day(end_ns)} is no whole number of windows of {test} "
            f"months: let it be {before}--to {_day(edges[-1])}"
        )
    if len(edges) - 1 < count + 2:
        needed = _months_later(start_ns, test * (count + 2))
        raise SweepError(
            f"--windows {train}/{test} needs {train} months to train on, {test} to test on and the "
            f"last {test} sealed: let --to be {_day(needed)} or later, or the windows shorter"
        )
    return Plan(tuple(Window(a, b) for a, b in pairwise(edges)), count)


def _months_later(time_ns: int, months: int) -> int:
    """The same day and hour some months later.

    Raises:
        SweepError: where a month may not have that day.
    """
    moment = datetime.fromtimestamp(time_ns // SECOND, UTC)
    if moment.day > 28:
        raise SweepError(
            f"--from {_day(time_ns)}: not every month has that day: begin on the 28th or before"
        )
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    later = moment.replace(year=year, month=month + 1)
    return int(later.timestamp()) * SECOND + time_ns % SECOND


def _day(time_ns: int) -> str:
    return iso(time_ns).removesuffix("T00:00:00Z")
