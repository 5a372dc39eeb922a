"""The metrics page of a running process: what it is shown, and when it was last shown it.

A page that stands still is one of the things to be found out by it: so it carries the wall
clock of its last update, and when each critical loop last got on.
"""

import asyncio
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import msgspec
from prometheus_client import CollectorRegistry, ProcessCollector

from bot.clock import SystemClock
from bot.live import SILENT_SECONDS, Live
from bot.picture import snapshot
from bot.run import Run
from domain.instruments import Pair
from domain.time import SECOND
from execution.effects import RaiseAlarm
from execution.facts import Fact
from execution.journal import SqliteJournal
from execution.metrics import ALARMED, FAMILIES, WATCHDOG, WATCHING, Metrics, serve
from execution.ports import Clock
from execution.recorder import ALARMS, Made, Recorder
from execution.snapshot import Snapshot

PERIOD_SECONDS = 1.0


class TimedJournal:
    """A journal, and how long each commit to it takes."""

    def __init__(self, journal: SqliteJournal, recorder: Recorder) -> None:
        self._journal, self._recorder = journal, recorder
        self._clock = SystemClock()

    def append(self, facts: Sequence[Fact]) -> None:
        before_ns = self._clock.monotonic_ns()
        self._journal.append(facts)
        self._recorder.committed((self._clock.monotonic_ns() - before_ns) / SECOND)

    def read(self) -> Iterator[Fact]:
        return self._journal.read()

    def __len__(self) -> int:
        return len(self._journal)

    @property
    def reserved(self) -> bool:
        return self._journal.reserved

    def free_reserve(self) -> bool:
        return self._journal.free_reserve()

    def close(self) -> None:
        self._journal.close()


class Monitor:
    """A page on ``port`` of the loopback address; ``close`` frees it.

    Of the disk that ``state``, a directory, is on it tells the room; None: of none.

    Raises:
        OSError: another program has the port.
    """

    def __init__(self, port: int, pairs: Iterable[Pair], state: Path | None = None) -> None:
        self._state = state
        self._metrics = Metrics(FAMILIES)
        self.recorder = Recorder(self._metrics.registry, pairs)
        self._exposition = serve(self._metrics.registry, port)
        self._clock = SystemClock()
        self._following: asyncio.Task[None] | None = None
        self.url = self._exposition.url

    def time_commits(self, run: Run) -> None:
        """Measure what the journal of ``run`` takes, where it is on a disk."""
        if isinstance(run.journal, SqliteJournal):
            run.journal = TimedJournal(run.journal, self.recorder)

    def show(
        self,
        picture: Snapshot,
        clock_ns: int,
        loops: Mapping[str, int],
        agent_until_ns: int | None = None,
        bad_messages: Mapping[str, int] = MappingProxyType({}),
        disconnections: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """Bring the page up to date. ``clock_ns`` and ``loops`` are of the engine's clock."""
        self.recorder.shown(picture)
        self._metrics.update(
            msgspec.structs.replace(
                picture,
                clock_ns=clock_ns,
                wall_ns=self._clock.now_ns(),
                loops=dict(loops),
                agent_until_ns=agent_until_ns,
                bad_messages=dict(bad_messages),
                disconnections=dict(disconnections),
                disk_free=_room(self._state),
            )
        )

    def begin(self, running: Live, clock: Clock, agent_until_ns: Callable[[], int | None]) -> None:
        """Follow a live bot until ``close``. Should that fail, the heartbeat stands still."""
        self._following = asyncio.create_task(self._follow(running, clock, agent_until_ns))

    async def _follow(
        self, running: Live, clock: Clock, agent_until_ns: Callable[[], int | None]
    ) -> None:
        """Show a live bot every second, and how late the event loop was to do it."""
        while True:
            picture = snapshot(running.trader.engine)
            heard = {"decide": running.trader.progress_ns, **running.gateway.progress}
            loops = {name: heard[name] for name in SILENT_SECONDS if name in heard}
            bad, ended = running.gateway.rejected, running.gateway.disconnections
            self.show(picture, clock.now_ns(), loops, agent_until_ns(), bad, ended)
            before_ns = self._clock.monotonic_ns()
            await asyncio.sleep(PERIOD_SECONDS)
            took = (self._clock.monotonic_ns() - before_ns) / SECOND
            self.recorder.woke_late(took - PERIOD_SECONDS)

    def close(self) -> None:
        if self._following is not None:
            self._following.cancel()
        self._exposition.close()


def _room(directory: Path | None) -> int | None:
    """Bytes that are left where ``directory`` is; None where nobody can say."""
    if directory is None:
        return None
    try:
        return shutil.disk_usage(directory).free
    except OSError:
        return None


class WatchdogMonitor:
    """The watchdog's own page: that it looks, and what it told.

    Raises:
        OSError: another program has the port.
    """

    def __init__(self, port: int) -> None:
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._made = Made(registry, WATCHDOG)
        for alarm in ALARMS:
            self._made.counters[ALARMED].labels(alarm)
        self._exposition = serve(registry, port)
        self._clock = SystemClock()
        self.url = self._exposition.url

    def looked(self) -> None:
        self._made.gauges[WATCHING].set(self._clock.now_ns() / SECOND)

    def alarm(self, alarm: RaiseAlarm) -> None:
        self._made.counters[ALARMED].labels(alarm.alarm).inc()

    def close(self) -> None:
        self._exposition.close()
