"""Record what a venue publishes: the answers a start asks for, then the stream, word for word."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import msgspec
from msgspec.json import encode

from bot.clock import SteadyClock
from bot.feeds.follow import listen, opened, unless_stopped
from bot.feeds.heard import Heard, Tap, Writer
from bot.run import Stopped
from bot.transport import HttpTransport
from domain.time import MILLISECOND, SECOND
from execution.venues.hyperliquid import watch
from execution.venues.hyperliquid.timing import Timing
from execution.venues.hyperliquid.weights import ALONE_UP_TO, Paced

_LOOK_SECONDS = 0.25


class Recorded(msgspec.Struct, frozen=True):
    """What there is so far: messages, bytes of them, and of the seconds none came in."""

    lines: int
    bytes: int
    seconds: float
    silent_seconds: float


async def record(
    url: str,
    names: Sequence[str] | None,
    directory: Path,
    duration_ns: int | None,
    on_progress: Callable[[Recorded], None],
    should_stop: Callable[[], bool],
) -> Recorded:
    """Write until ``duration_ns`` have passed or ``should_stop``; what is written stays.

    Raises:
        RunError: the venue does not answer at the start, or lacks one of the pairs.
        OSError: nothing can be written.
    """
    clock, timing = SteadyClock(), Timing()
    writer = Writer(directory)
    failed: list[OSError] = []

    def keep(heard: Heard) -> None:
        try:
            writer.write(heard)
        except OSError as error:
            failed.append(error)

    began_ns = clock.now_ns()
    keep(Heard(began_ns, msgspec.Raw(b'{"type":"recording"}'), msgspec.Raw(encode({"url": url}))))
    try:
        async with HttpTransport(url) as wire:
            tap = Tap(Paced(wire, patient_up_to=ALONE_UP_TO), clock, keep)
            try:
                opening = opened(tap, url, names, clock, timing)
                listing, _ = await unless_stopped(opening, should_stop)
            except Stopped:
                seconds = (clock.now_ns() - began_ns) / SECOND
                return Recorded(writer.lines, writer.bytes, seconds, 0.0)
            chance = Random(began_ns // MILLISECOND).random  # spreads reconnections alone
            heard = watch.Watch(tap, listing, clock, lambda _: None, chance, timing)
            listening = asyncio.create_task(listen(heard))
            try:
                while True:
                    now_ns = clock.now_ns()
                    told = Recorded(
                        writer.lines,
                        writer.bytes,
                        (now_ns - began_ns) / SECOND,
                        (now_ns - heard.heard_ns) / SECOND,
                    )
                    on_progress(told)
                    if failed:
                        raise failed[0]
                    over = duration_ns is not None and now_ns - began_ns >= duration_ns
                    if over or should_stop():
                        return told
                    if listening.done():
                        listening.result()  # which task ended, and how
                    await asyncio.sleep(_LOOK_SECONDS)
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
    finally:
        writer.close()
