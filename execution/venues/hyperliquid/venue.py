"""Hyperliquid as a live bot gets at it: load what is listed, read the past, then trade."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from domain.instruments import Pair
from domain.market import FundingSettled, PublicEvent
from domain.time import MILLISECOND
from execution.events import Event
from execution.ports import Clock, Signer, Transport, TransportFailed
from execution.venues.hyperliquid.candles import recent_closes
from execution.venues.hyperliquid.gateway import HyperliquidGateway
from execution.venues.hyperliquid.start import funding_history, load
from execution.venues.hyperliquid.symbols import Listing
from execution.venues.hyperliquid.timing import Timing
from execution.venues.hyperliquid.wire import BadMessage


@contextmanager
def _garbage_is_no_answer() -> Iterator[None]:
    try:
        yield
    except BadMessage as error:
        raise TransportFailed(str(error)) from error


class Hyperliquid:
    """``bot.live.Venue`` for one account. ``wanted`` maps names of pairs to their spot tokens."""

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
    ) -> None:
        self._transport, self._signer = transport, signer
        self._account, self._wanted = account, wanted
        self._clock, self._chance = clock, chance
        self._timing = timing or Timing()
        self._listing: Listing | None = None

    async def load(self) -> tuple[Pair, ...]:
        with _garbage_is_no_answer():
            self._listing = await load(self._transport, self._account, self._wanted, self._timing)
        return self._listing.pairs

    async def history(self, since_ns: int, until_ns: int) -> Sequence[PublicEvent]:
        """Rates, and closes of the last days: as far as they are told, entries need not wait."""
        rates, closes = await asyncio.gather(
            self.rates(since_ns, until_ns),
            recent_closes(self._transport, self._loaded, until_ns, self._timing),
        )
        return [*closes, *rates]

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
        )

    @property
    def _loaded(self) -> Listing:
        assert self._listing is not None, "Invariant: what is listed is loaded first"
        return self._listing
