"""A live market as it stands: what the venue tells of the past, and one quote of everything."""

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from bot.clock import SteadyClock
from bot.feeds.follow import unless_stopped
from bot.run import RunError
from bot.transport import HttpTransport, is_here
from domain.instruments import Pair
from domain.time import MILLISECOND
from execution.ports import Clock, Transport, TransportFailed
from execution.supervise import supervise
from execution.venues.hyperliquid import public, watch
from execution.venues.hyperliquid.info import Info
from execution.venues.hyperliquid.stream import Feed
from execution.venues.hyperliquid.symbols import Listing
from execution.venues.hyperliquid.timing import Timing
from execution.venues.hyperliquid.weights import ALONE_UP_TO, Paced
from execution.venues.hyperliquid.wire import BadMessage, BookFrame, Frame, Subscription
from strategies.market.state import Market

WAIT_SECONDS = 10.0
"""For quotes: a book comes twice a second, but for a market that nobody quotes."""


class Seen(NamedTuple):
    """What was seen, at ``now_ns``; ``unlisted``: pairs that the venue does not have, and why;
    ``generated``: of an exchange on this machine."""

    pairs: tuple[Pair, ...]
    unlisted: dict[str, str]
    market: Market
    now_ns: int
    generated: bool


async def look(
    url: str,
    pairs: Sequence[Pair],
    should_stop: Callable[[], bool],
    wait_seconds: float = WAIT_SECONDS,
) -> Seen:
    """Of a pair whose legs are not all quoted within ``wait_seconds``, what there is.

    Raises:
        Stopped: it was told to stop before.
        RunError: the venue does not answer, or answers something else.
    """
    clock, timing = SteadyClock(), Timing()
    async with HttpTransport(url) as wire:
        transport = Paced(wire, patient_up_to=ALONE_UP_TO)
        opening = _opened(transport, pairs, clock, timing)
        try:
            listing, unlisted, market = await unless_stopped(opening, should_stop)
        except (TransportFailed, BadMessage) as error:
            raise RunError(f"{url} does not answer as Hyperliquid: {error}") from error
        if not listing.markets:
            return Seen((), unlisted, market, clock.now_ns(), is_here(url))
        complete = asyncio.Event()

        def on_data(frame: Frame | BookFrame) -> None:
            try:
                event = public.public_event(listing, frame, clock.now_ns())
            except BadMessage:
                return
            if event is not None:
                market.observe(event)
                if _is_complete(listing, market):
                    complete.set()

        asked = [Subscription(public.BOOKS, coin=each.coin) for each in listing.markets]
        asked += [Subscription(public.CONTEXTS, coin=each.coin) for each in listing.perps]
        chance = Random(clock.now_ns() // MILLISECOND).random  # spreads reconnections alone
        feed = Feed(transport, asked, on_data, lambda: None, chance, timing)
        listening = asyncio.create_task(supervise({"public": feed.run()}, lambda _: None))
        try:
            await unless_stopped(_within(wait_seconds, complete), should_stop)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        return Seen(listing.pairs, unlisted, market, clock.now_ns(), is_here(url))


async def _opened(
    transport: Transport, pairs: Sequence[Pair], clock: Clock, timing: Timing
) -> tuple[Listing, dict[str, str], Market]:
    """What is listed of ``pairs``, why others are not, and what the venue tells of the past."""
    info = Info(transport, "", timing.read_timeout, lambda: None, timing.attempts)
    meta, spot_meta = await asyncio.gather(info.meta(), info.spot_meta())
    unlisted = {}
    for pair in pairs:
        try:
            watch.listed(meta, spot_meta, (pair,))
        except ValueError as error:
            unlisted[pair.name] = str(error).removeprefix(f"{pair.name}: ")
    there = [pair for pair in pairs if pair.name not in unlisted]
    if not there:
        return Listing((), {}, {}, {}), unlisted, Market()
    listing = watch.listed(meta, spot_meta, there)
    market = Market(listing.pairs)
    for event in await watch.history(transport, listing, clock.now_ns(), timing):
        market.observe(event)
    return listing, unlisted, market


async def _within(seconds: float, complete: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(seconds):
            await complete.wait()
    except TimeoutError:
        pass  # what is missing is told pair by pair


def _is_complete(listing: Listing, market: Market) -> bool:
    states = [market.of(each.instrument.id) for each in listing.markets]
    perps = [market.of(each.instrument.id) for each in listing.perps]
    return all(s is not None and s.usable for s in states) and all(
        s is not None and s.context_usable for s in perps
    )
