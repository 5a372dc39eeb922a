"""Paper trading on a live market: real quotes as they come, fills by the simulated exchange.

The run is the one of every other paper run; what differs is that its market is still being
heard, and that its time is the machine's.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import closing
from random import Random
from typing import Any, TypeVar

import structlog

from bot.app import (
    Onlookers,
    RunRequest,
    RunResult,
    begin,
    end_of,
    ended,
    settle_memory,
    steered,
)
from bot.clock import SteadyClock
from bot.control import Control
from bot.feeds.tape import Tape
from bot.instruments import load_pairs
from bot.run import Run, RunError, Stopped
from bot.transport import HttpTransport, is_here
from domain.time import MILLISECOND, MINUTE, SECOND
from execution.effects import RaiseAlarm
from execution.facts import Fact
from execution.ports import Clock, Transport, TransportFailed
from execution.snapshot import Snapshot
from execution.supervise import supervise
from execution.venues.hyperliquid import watch
from execution.venues.hyperliquid.symbols import VENUE, Listing
from execution.venues.hyperliquid.timing import Timing
from execution.venues.hyperliquid.weights import ALONE_UP_TO, Paced
from execution.venues.hyperliquid.wire import BadMessage

T = TypeVar("T")

SILENT_NS = 16 * SECOND
_SLICE_NS = 50 * MILLISECOND


async def opened(
    transport: Transport, url: str, names: Sequence[str] | None, clock: Clock, timing: Timing
) -> tuple[Listing, Tape]:
    """What is listed, and the market as a tape that has yet to be written.

    Raises:
        RunError: the venue does not answer, answers something else, or lacks one of the pairs.
    """
    try:
        listing = await watch.load(transport, load_pairs(VENUE, names), timing)
        now_ns = clock.now_ns()
        past = await watch.history(transport, listing, now_ns, timing)
    except (TransportFailed, BadMessage) as error:
        raise RunError(f"{url} does not answer as Hyperliquid: {error}") from error
    except ValueError as error:
        raise RunError(str(error)) from error
    tape = Tape(f"{VENUE}:{url}", VENUE, listing.pairs, past, now_ns)
    tape.synthetic = is_here(url)  # real ones are elsewhere
    return listing, tape


async def unless_stopped(work: Coroutine[Any, Any, T], should_stop: Callable[[], bool]) -> T:
    """What comes of ``work``, which may wait for the venue's next minute.

    Raises:
        Stopped: it was told to stop before.
    """
    task = asyncio.create_task(work)
    try:
        while not task.done():
            if should_stop():
                raise Stopped
            await asyncio.wait((task,), timeout=_SLICE_NS / SECOND)
        return task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def follow(
    request: RunRequest,
    on_snapshot: Callable[[Snapshot], None] | None,
    should_stop: Callable[[], bool],
    on_fact: Callable[[Fact], None] | None,
    on_alarm: Callable[[RaiseAlarm], None] | None,
    warn: Callable[[str], None],
) -> RunResult:
    """Run until its end or until ``should_stop``, on the machine's time.

    Raises:
        Stopped: it was told to stop before it had begun.
        RunError: as ``opened``; or the state directory belongs to another run.
        JournalError: the journal cannot be written or is in use.
    """
    assert request.url is not None, "Invariant: a live market is somewhere"
    clock, timing = SteadyClock(), Timing()
    async with HttpTransport(request.url) as wire:
        transport = Paced(wire, patient_up_to=ALONE_UP_TO)
        listing, tape = await unless_stopped(
            opened(transport, request.url, request.pairs, clock, timing), should_stop
        )
        chance = Random(clock.now_ns() // MILLISECOND).random  # spreads reconnections alone
        heard = watch.Watch(transport, listing, clock, tape.put, chance, timing)
        heard.reader.know(tape.history())
        with (
            Onlookers(request, tape.pairs, on_snapshot, on_fact, on_alarm) as onlookers,
            closing(begin(request, tape, onlookers)) as run,
        ):
            settle_memory()
            listening = asyncio.create_task(listen(heard))
            try:
                with steered(request, warn) as control:
                    interrupted = await _advance(
                        run, request, heard, clock, onlookers, control, should_stop, listening
                    )
                return ended(run, interrupted=interrupted)
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)


async def listen(heard: watch.Watch) -> None:
    """Raises TaskDied where one of its tasks ends."""
    await supervise(heard.tasks(), lambda _: None)


async def _advance(
    run: Run,
    request: RunRequest,
    heard: watch.Watch,
    clock: Clock,
    onlookers: Onlookers,
    control: Control,
    should_stop: Callable[[], bool],
    listening: asyncio.Future[None],
) -> bool:
    """Let the run see the time and what was heard, until its end; whether it was stopped."""
    end_ns = end_of(run, request)
    log = structlog.get_logger()
    told_ns = late = 0
    while end_ns is None or run.venue.now_ns < end_ns:
        if should_stop():
            return True
        if listening.done():
            listening.result()  # which task ended, and how
        asleep_ns = clock.now_ns()
        await asyncio.sleep(_SLICE_NS / SECOND)
        now_ns = clock.now_ns()
        onlookers.woke(now_ns - asleep_ns, _SLICE_NS)
        control.answer(run)
        run.advance(now_ns if end_ns is None else min(now_ns, end_ns))
        onlookers.show(run)
        if now_ns - heard.heard_ns > SILENT_NS and now_ns - told_ns > MINUTE:
            told_ns = now_ns
            log.warning("silent", url=request.url, seconds=(now_ns - heard.heard_ns) // SECOND)
        if heard.reader.late > late and now_ns - told_ns > MINUTE:
            told_ns, late = now_ns, heard.reader.late
            log.warning("old_quotes", left_out=late, fix="set this machine's clock by NTP")
    return False
