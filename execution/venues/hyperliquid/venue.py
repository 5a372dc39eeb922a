"""Hyperliquid as a live bot gets at it: load what is listed, read the past, then trade."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from domain.instruments import Pair
from domain.market import FundingSettled, PublicEvent
from domain.time import HOUR, MILLISECOND
from execution.events import Event
from execution.ports import Clock, Signer, Transport, TransportFailed
from execution.venues.hyperliquid.candles import recent_closes
from execution.venues.hyperliquid.gateway import HyperliquidGateway
from execution.venues.hyperliquid.start import funding_history, load
from execution.venues.hyperliquid.symbols import Listing
from execution.venues.hyperliquid.timing import Timing
from execution.venues.hyperliquid.wire import BadMessage

RECENT_NS = 240 * HOUR
"""Rates of so long, one answer of the venue's, are read before a start; older ones after it."""
HISTORY_SECONDS = 2.5
"""So long a start waits for the past: it has legs to look after."""


@contextmanager
def _garbage_is_no_answer() -> Iterator[None]:
    try:
        yield
    except BadMessage as error:
        raise TransportFailed(str(error)) from error


class Hyperliquid:
    """``bot.live.Venue`` for one account. ``wanted`` maps names of pairs to their spot tokens.

    ``again``: another process has just asked all of this, and little of the minute is left.
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
        *,
        again: bool = False,
    ) -> None:
        self._transport, self._signer = transport, signer
        self._account, self._wanted = account, wanted
        self._clock, self._chance = clock, chance
        self._timing = timing or Timing()
        self._again = again
        self._listing: Listing | None = None
        self._untold: list[tuple[int, int]] = []  # of rates, from when to when (ms)

    async def load(self) -> tuple[Pair, ...]:
        with _garbage_is_no_answer():
            listing = await load(self._transport, self._account, self._wanted, self._timing)
        return self.take(listing)

    def take(self, listing: Listing) -> tuple[Pair, ...]:
        """What ``load`` would ask for, where it has been asked for already."""
        self._listing = listing
        return listing.pairs

    async def history(self, since_ns: int, until_ns: int) -> Sequence[PublicEvent]:
        """Rates, and closes of the last days: as far as they are told, entries need not wait.

        What is not told soon, and rates of before, come from the gateway when it runs.
        """
        recent_ns = max(since_ns, until_ns - RECENT_NS)
        spans = (recent_ns, until_ns), (since_ns, recent_ns)
        self._untold = [(a // MILLISECOND, b // MILLISECOND) for a, b in spans if a < b]
        closes = asyncio.create_task(
            recent_closes(self._transport, self._loaded, until_ns, self._timing)
        )
        rates = asyncio.create_task(self.rates(recent_ns, until_ns)) if not self._again else None
        asking = [task for task in (closes, rates) if task is not None]
        try:
            await asyncio.wait(asking, timeout=HISTORY_SECONDS)
        finally:
            for task in asking:
                task.cancel()
        told: list[PublicEvent] = [*closes.result()] if closes.done() else []
        if rates is not None and rates.done():
            with suppress(TransportFailed):
                told += rates.result()
                self._untold.pop(0)
        return told

    async def rates(self, since_ns: int, until_ns: int) -> Sequence[FundingSettled]:
        since_ms, until_ms = since_ns // MILLISECOND, until_ns // MILLISECOND
        with _garbage_is_no_answer():
            return await funding_history(
                self._transport, self._loaded, since_ms, until_ms, self._timing
            )

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
