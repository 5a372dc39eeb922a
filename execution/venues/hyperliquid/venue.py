"""Hyperliquid as a live bot gets at it: load what is listed, read the past, then trade."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from domain.instruments import Pair
from domain.market import Close, PublicEvent
from domain.time import HOUR, MILLISECOND
from execution.events import Event
from execution.ports import Clock, Signer, Transport, TransportFailed
from execution.venues.hyperliquid.candles import ALONE_NS, WARM_BAR_NS, WARM_NS, closes_of
from execution.venues.hyperliquid.gateway import HyperliquidGateway, Untold
from execution.venues.hyperliquid.start import load
from execution.venues.hyperliquid.symbols import Listing
from execution.venues.hyperliquid.timing import Timing
from execution.venues.hyperliquid.wire import BadMessage

RECENT_NS = 240 * HOUR
"""Rates of so long, one answer of the venue's, are told first."""
HISTORY_SECONDS = 2.5
"""So long a start waits for the past: it has legs to look after."""
_FRESH_NS = 2 * WARM_BAR_NS
"""Closes up to so long ago are as good as what the venue would tell: at most one bar more."""


@contextmanager
def _garbage_is_no_answer() -> Iterator[None]:
    try:
        yield
    except BadMessage as error:
        raise TransportFailed(str(error)) from error


class Hyperliquid:
    """``bot.live.Venue`` for one account. ``wanted`` maps names of pairs to their spot tokens.

    ``known``: closes by time that a process before this one was told; they are not asked for again.
    ``perps_alone``: no spot leg is traded.
    """

    name = "hyperliquid"

    def __init__(
        self,
        transport: Transport,
        signer: Signer,
        account: str,
        wanted: Mapping[str, str],
        clock: Clock,
        chance: Callable[[], float],
        timing: Timing | None = None,
        known: Sequence[Close] = (),
        *,
        perps_alone: bool = False,
    ) -> None:
        self._transport, self._signer = transport, signer
        self._account, self._wanted = account, wanted
        self._clock, self._chance = clock, chance
        self._timing = timing or Timing()
        self._perps_alone = perps_alone
        self._listing: Listing | None = None
        self.closes = known
        """By time; all that are known, once ``history`` was asked for."""
        self._untold: list[Untold] = []

    async def load(self) -> tuple[Pair, ...]:
        with _garbage_is_no_answer():
            listing = await load(self._transport, self._account, self._wanted, self._timing)
        return self.take(listing)

    def take(self, listing: Listing) -> tuple[Pair, ...]:
        """What ``load`` would ask for, where it has been asked for already."""
        self._listing = listing
        return listing.pairs

    async def history(self, since_ns: int, until_ns: int) -> Sequence[PublicEvent]:
        """Closes of the last days, as far as they are told soon: entries need not wait.

        Rates come from the gateway when it runs: of each perp the recent ones first.
        """
        self.closes = await self._closes(until_ns)
        recent_ns = max(since_ns, until_ns - RECENT_NS)
        spans = [(recent_ns, until_ns), (since_ns, recent_ns)]
        self._untold = [
            (perp.coin, begin_ns // MILLISECOND, end_ns // MILLISECOND)
            for begin_ns, end_ns in spans
            if begin_ns < end_ns
            for perp in self._loaded.perps
        ]
        return self.closes

    async def _closes(self, until_ns: int) -> list[Close]:
        """By time: what is known where it is of now, and what is told of everything else."""
        markets, since_ns = self._loaded.markets, until_ns - WARM_NS
        if self._perps_alone:  # for what their legs in spot would have weighed
            markets, since_ns = self._loaded.perps, until_ns - ALONE_NS
        known = sorted(self.closes, key=lambda close: close.venue_time_ns)  # a file of anybody's
        last = {close.instrument: close.venue_time_ns for close in known}
        fresh = {name for name, at_ns in last.items() if 0 <= until_ns - at_ns <= _FRESH_NS}
        asking = [
            asyncio.create_task(closes_of(self._transport, one, since_ns, until_ns, self._timing))
            for one in markets
            if one.instrument.id not in fresh
        ]
        try:
            if asking:
                await asyncio.wait(asking, timeout=HISTORY_SECONDS)
        finally:
            for task in asking:
                task.cancel()
        told = [close for close in known if close.instrument in fresh]
        for task in asking:
            told += task.result() if task.done() else ()
        return sorted(told, key=lambda close: (close.venue_time_ns, close.instrument))

    def gateway(
        self, emit: Callable[[Event], None], nonce: int, orders: Mapping[str, str]
    ) -> HyperliquidGateway:
        return HyperliquidGateway(
            self._transport,
            self._signer,
            self._loaded,
            self._account,
            self._clock,
            emit,
            last_nonce=nonce,
            known_orders=orders,
            chance=self._chance,
            timing=self._timing,
            untold=self._untold,
        )

    @property
    def _loaded(self) -> Listing:
        assert self._listing is not None, "Invariant: what is listed is loaded first"
        return self._listing
