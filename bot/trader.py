"""The loop of a live bot: what is heard is decided, committed, and only then carried out.

One task decides; all others only put events into its inbox. It is the same engine and the
same order of things as in ``bot.run``: facts, then effects.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from bot.engine import NOTHING, Engine, Outcome
from bot.lease import Lease, LeaseLost
from domain.market import Book, PerpContext
from domain.time import SECOND
from execution.effects import RaiseAlarm, VenueEffect, WakeAt
from execution.events import Command, Event, Timer, Trouble
from execution.facts import Fact, RunStarted
from execution.journal import DiskFull
from execution.ports import Clock, Journal, VenueGateway


class ReservedJournal(Journal, Protocol):
    """A journal with room set aside for the day on which the disk is full."""

    @property
    def reserved(self) -> bool:
        """Whether that room is still there."""
        ...

    def free_reserve(self) -> bool:
        """Give the room back to the disk; False where there is none left."""
        ...


class Inbox:
    """What was heard and is not yet decided.

    Private news is kept, all of it and in order. Of public news only the latest of its
    kind and instrument counts, so a slow decision never finds a heap of stale books.
    """

    def __init__(self) -> None:
        self._kept: deque[Event] = deque()
        self._latest: dict[tuple[type, str], Event] = {}
        self._filled = asyncio.Event()

    def put(self, event: Event) -> None:
        if isinstance(event, Book | PerpContext):
            key = type(event), event.instrument
            self._latest.pop(key, None)  # the newest goes to the end: a context after its book
            self._latest[key] = event
        else:
            self._kept.append(event)
        self._filled.set()

    async def take(self) -> tuple[list[Event], list[Event]]:
        """Everything there is, private and public; at least one event."""
        await self._filled.wait()
        self._filled.clear()
        taken = list(self._kept), list(self._latest.values())
        self._kept.clear()
        self._latest.clear()
        return taken


class Trader:
    """One engine over one gateway. ``progress_ns`` is when it last decided anything."""

    def __init__(
        self,
        engine: Engine,
        journal: ReservedJournal,
        gateway: VenueGateway,
        clock: Clock,
        lease: Lease,
        inbox: Inbox,
        on_alarm: Callable[[RaiseAlarm], None],
        on_fact: Callable[[Fact], None] | None = None,
    ) -> None:
        self.engine = engine
        self.progress_ns = clock.now_ns()
        self._journal, self._gateway, self._clock = journal, gateway, clock
        self._lease, self._inbox = lease, inbox
        self._on_alarm, self._on_fact = on_alarm, on_fact

    def begin(self, run: RunStarted) -> None:
        """Recover, and ask the venue for everything that is not certain."""
        self._commit([self.engine.start(run)])

    async def decide(self) -> None:
        """Decide whatever comes, a batch at a time: one commit, then its effects.

        Raises:
            LeaseLost: another process may be acting for the account.
            JournalError: what was decided could not be made durable, so nothing was done.
        """
        handle = self.engine.handle
        while True:
            private, public = await self._inbox.take()
            outcomes = [handle(event, more=event is not private[-1]) for event in private]
            outcomes += [handle(event) for event in public]
            self._commit([outcome for outcome in outcomes if outcome is not NOTHING])
            self.progress_ns = self._clock.now_ns()

    def steer(self, name: str, argument: str, actor: str) -> None:
        """Have the engine obey an operator, between two batches (``bot.control``)."""
        command = Command(name, argument, actor, self._clock.now_ns())
        self._commit([self.engine.handle(command)])

    async def tick(self) -> None:
        """Let the engine see the time every second, and renew the lease as it does."""
        while True:
            now_ns = self._clock.now_ns()
            known = self.engine.not_ours()
            not_ours = None if known is None else {name: str(q) for name, q in known.items()}
            self._lease.renew(now_ns, not_ours)
            self._inbox.put(Timer(now_ns))
            await asyncio.sleep(1.0)

    def _commit(self, outcomes: Sequence[Outcome]) -> None:
        """Durable before sent. All outcomes of one batch are one commit."""
        facts = [fact for outcome in outcomes for fact in outcome.facts]
        effects = [effect for outcome in outcomes for effect in outcome.effects]
        wanted: list[VenueEffect] = []
        for effect in effects:
            if isinstance(effect, WakeAt):
                self._wake(effect.time_ns)
            elif isinstance(effect, RaiseAlarm):
                self._on_alarm(effect)
            else:
                wanted.append(effect)
        signed = self._gateway.prepare(wanted)
        if facts or signed:
            self._append([*facts, *signed])
            self.engine.adopt(signed)
        if wanted:
            if not self._lease.holds(self._clock.now_ns()):
                raise LeaseLost("the lease ran out before what was decided could be sent")
            self._gateway.submit(wanted)

    def _append(self, facts: Sequence[Fact]) -> None:
        try:
            self._journal.append(facts)
        except DiskFull as error:
            if not self._journal.free_reserve():
                raise
            self._journal.append(facts)
            self._inbox.put(Trouble("disk_full", str(error), self._clock.now_ns()))
        if self._on_fact is not None:
            for fact in facts:
                self._on_fact(fact)

    def _wake(self, time_ns: int) -> None:
        delay = max(time_ns - self._clock.now_ns(), 0) / SECOND
        asyncio.get_running_loop().call_later(delay, self._ring)

    def _ring(self) -> None:
        self._inbox.put(Timer(self._clock.now_ns()))
