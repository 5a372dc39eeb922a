"""An event loop on virtual time: asyncio code runs on it unchanged, and the same way each time.

Time moves only when nothing is ready. Among ready handles the oracle picks. Each callback
that runs is one step. Several simulated processes share the loop; each handle belongs to one
of them, and a process can be killed or stopped between two steps.
"""

import asyncio
from asyncio import Handle, Task, TimerHandle
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context, ContextVar, copy_context
from hashlib import blake2b
from heapq import heappop, heappush
from types import AsyncGeneratorType
from typing import Any, NoReturn, TypeVar, TypeVarTuple, Unpack
from weakref import WeakKeyDictionary

from domain.time import SECOND
from tests.world.oracle import SCHEDULE, Oracle

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

WORLD = ""
"""The owner of what belongs to no process: the road, the venues, the tests."""
OWNER: ContextVar[str] = ContextVar("owner", default=WORLD)
"""The simulated process that a handle belongs to; children of its tasks inherit it."""


class Deadlock(Exception):
    """Nothing is ready, and no timer will ever make it so."""


class Livelock(Exception):
    """More steps within one simulated second than the budget allows."""


class Killed(BaseException):
    """Raised by a failpoint inside a step of a process that has just been killed.

    The frames on the stack are unwound, so ``finally`` blocks there do run: what they
    could still touch must refuse a dead owner. Where the code can wait,
    ``SimLoop.checkpoint`` is a crash without any unwinding.
    """


class NumberedTask(Task[Any]):
    """A task whose place in a set is the same in every run.

    ``asyncio.TaskGroup`` cancels its tasks in the order of a set, which goes by their addresses.
    """

    def __init__(self, number: int, coro: Any, **options: Any) -> None:
        self._number = number
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self._number


class SimLoop(asyncio.BaseEventLoop):
    """The loop of one simulated world.

    ``now_ns`` is UTC; ``time()`` counts seconds from the world's beginning, as a monotonic
    clock does. A timer never fires before ``time()`` has reached its instant. No threads,
    executors, sockets or signals: all of them raise.

    ``errors`` collects what nobody retrieved; ``close`` raises them. ``on_step`` is called
    after each step with its number (from 1) and owner, ``on_kill`` with each owner killed.
    """

    _ready: deque[Handle]

    def __init__(self, oracle: Oracle, start_ns: int, steps_per_second_max: int = 100_000) -> None:
        super().__init__()
        self.now_ns = start_ns
        self.steps = 0
        self.errors: list[BaseException] = []
        self.on_step: Callable[[int, str], None] | None = None
        self.on_kill: list[Callable[[str], None]] = []
        self._oracle = oracle
        self._start_ns = start_ns
        self._timers: list[tuple[int, int, TimerHandle]] = []  # instant, order of call, handle
        self._timers_made = 0
        self._stand_at_ns: int | None = None  # where `run_until` ends
        self._budget = steps_per_second_max
        self._livelock_at = steps_per_second_max  # the last step before it is one too many
        self._second_ends_ns = start_ns + SECOND
        self._world = copy_context()
        self._world.run(OWNER.set, WORLD)
        self._owners: WeakKeyDictionary[Task[Any], str] = WeakKeyDictionary()
        self._halted: dict[str, list[Handle]] = {}  # of the dead and the suspended
        self._dead: dict[str, list[Task[Any]]] = {}  # owner to tasks that must not be finalised
        self._tasks_made = 0
        self._trail: list[str] = []  # not yet in the digest
        self._digest = blake2b(digest_size=16)

    # Time and steps

    def time(self) -> float:
        return (self.now_ns - self._start_ns) / 1e9

    def call_soon(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> Handle:
        handle = Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> TimerHandle:
        elapsed_ns = int(when * 1e9)
        if elapsed_ns / 1e9 < when:
            # Rounded down, a wait for the rest of the nanosecond would never end.
            elapsed_ns += 1
        timer = TimerHandle(when, callback, args, self, context)
        self._schedule(self._start_ns + elapsed_ns, timer)
        return timer

    def at(self, time_ns: int, callback: Callable[[Unpack[Ts]], object], *args: *Ts) -> TimerHandle:
        """A timer of the world's own: it outlives every process."""
        when = (time_ns - self._start_ns) / 1e9
        timer = TimerHandle(when, callback, args, self, self._world)
        self._schedule(time_ns, timer)
        return timer

    def _schedule(self, time_ns: int, timer: TimerHandle) -> None:
        self._timers_made += 1
        heappush(self._timers, (max(time_ns, self.now_ns), self._timers_made, timer))

    def run_until(self, time_ns: int) -> None:
        """Run all that is due up to and at ``time_ns``, and stand there.

        A world in which nothing is left to do is no deadlock here: its driver goes on.
        """
        assert time_ns >= self.now_ns, "Invariant: time does not run backwards"
        self._stand_at_ns = time_ns
        try:
            self.run_forever()
        finally:
            self._stand_at_ns = None

    def _run_once(self) -> None:
        """Run one step, or move to the next timer."""
        ready = self._ready
        if not ready:
            self._jump()
            return
        if self.steps >= self._livelock_at:
            owner = _owner(ready[0]) or "the world"
            raise Livelock(f"after step {self.steps}, next {_name(ready[0])} of {owner}")
        chosen = self._oracle.choose(SCHEDULE, len(ready)) if len(ready) > 1 else 0
        handle = ready[chosen]
        del ready[chosen]
        if handle.cancelled():
            return
        owner = _owner(handle)
        if owner in self._halted:
            self._halted[owner].append(handle)
            return
        self.steps += 1
        self._trail.append(_name(handle))
        handle._run()
        if self.on_step is not None:
            self.on_step(self.steps, owner)

    def _jump(self) -> None:
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heappop(timers)
        stand_ns = self._stand_at_ns
        if stand_ns is not None and (not timers or timers[0][0] > stand_ns):
            self._move(stand_ns)
            self.stop()
            return
        if not timers:
            raise Deadlock(f"nothing is ready and no timer is set, after step {self.steps}")
        self._move(timers[0][0])
        while timers and timers[0][0] == self.now_ns:
            self._ready.append(heappop(timers)[2])

    def _move(self, time_ns: int) -> None:
        self.now_ns = time_ns
        if time_ns >= self._second_ends_ns:
            self._second_ends_ns = time_ns + SECOND
            self._livelock_at = self.steps + self._budget
        self.fold(str(time_ns))

    # The digest

    def fold(self, text: str) -> None:
        """Make ``text`` part of the digest: what the world knows beyond the loop's own steps."""
        self._trail.append(text)
        if len(self._trail) > 4096:
            self.digest()

    def digest(self) -> str:
        """Of all steps so far in order: which callbacks, at what time; and of all folded text."""
        self._digest.update("\n".join((*self._trail, "")).encode())
        self._trail.clear()
        return self._digest.copy().hexdigest()

    # Processes

    def spawn(self, owner: str, coroutine: Coroutine[Any, Any, T]) -> Task[T]:
        """Start a process's main task. A dead owner stays dead: a restart has a new name."""
        assert owner not in self._dead, f"{owner} is dead"
        context = copy_context()
        context.run(OWNER.set, owner)
        return self.create_task(coroutine, context=context)

    def create_task(
        self,
        coro: Any,
        *,
        name: object = None,
        context: Context | None = None,
    ) -> Task[Any]:
        self._tasks_made += 1
        task = NumberedTask(self._tasks_made, coro, loop=self, name=name, context=context)
        self._owners[task] = OWNER.get() if context is None else context.get(OWNER, WORLD)
        return task

    def kill(self, owner: str) -> None:
        """From now on nothing of ``owner`` runs, and nothing of it is closed or finalised."""
        if owner in self._dead:
            return
        self._halted.setdefault(owner, [])
        # Held here, so that no `finally` runs because the last reference went.
        self._dead[owner] = [t for t, whose in self._owners.items() if whose == owner]
        for hook in self.on_kill:
            hook(owner)

    def suspend(self, owner: str) -> None:
        """SIGSTOP: what becomes ready waits."""
        self._halted.setdefault(owner, [])

    def resume(self, owner: str) -> None:
        """SIGCONT: what waited is ready, in its order."""
        if owner not in self._dead:
            self._ready.extend(self._halted.pop(owner, ()))

    def is_dead(self, owner: str) -> bool:
        """Killed, or the whole world is over."""
        return owner in self._dead or self.is_closed()

    async def checkpoint(self, owner: str) -> None:
        """Returns at once, or never when ``owner`` is dead."""
        if self.is_dead(owner):
            await self.create_future()

    # Errors, and the end

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Collect what nobody retrieved, unless a kill took away who would have."""
        handle, future = context.get("handle"), context.get("future", context.get("task"))
        if handle is not None:
            owner = _owner(handle)
        elif future is not None:
            owner = self._owners.get(future, OWNER.get())
        else:
            owner = OWNER.get()
        if not self.is_dead(owner):
            self.errors.append(context.get("exception") or RuntimeError(context["message"]))

    def _asyncgen_finalizer_hook(self, agen: AsyncGeneratorType[Any, Any]) -> None:
        if not self.is_dead(OWNER.get()):
            message = f"{agen.__qualname__} was left for the garbage collector to close"
            self.errors.append(RuntimeError(message))

    def close(self) -> None:
        """End the world.

        Raises:
            BaseExceptionGroup: what is in ``errors``, and what a task raised to nobody.
        """
        if self.is_closed():
            return
        for task, owner in self._owners.items():
            unheard = task.done() and task._log_traceback and not self.is_dead(owner)
            if unheard and (error := task.exception()):
                self.errors.append(error)
        super().close()
        for task in list(self._owners):
            _bury(task)
        for kept in (self._ready, self._timers, self._halted, self._dead):
            kept.clear()
        if self.errors:
            raise BaseExceptionGroup("nobody retrieved these", self.errors)

    def call_soon_threadsafe(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> NoReturn:
        raise NotImplementedError("the simulation has no threads")

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> NoReturn:
        raise NotImplementedError("the simulation has no threads")


def _owner(handle: Handle) -> str:
    context: Context = handle._context  # type: ignore[attr-defined]
    return context.get(OWNER, WORLD)


def _name(handle: Handle) -> str:
    """What runs, in words that are the same in every run: no address, no task number."""
    callback = handle._callback  # type: ignore[attr-defined]
    task = getattr(callback, "__self__", None)
    if isinstance(task, Task):
        callback = task.get_coro()
    return getattr(callback, "__qualname__", None) or type(callback).__name__


def _bury(task: Task[Any]) -> None:
    """Let go of a task without asyncio's complaint that it is pending."""
    if task.done():
        return
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    coroutine = task.get_coro()
    for _ in range(100):  # each await in a `finally` takes one more
        try:
            coroutine.close()
        except (Exception, asyncio.CancelledError, BaseExceptionGroup, Killed):  # noqa: BLE001
            # The world is over: nobody is left to hear what its `finally` blocks say.
            continue
        return
