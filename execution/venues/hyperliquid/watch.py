"""Hyperliquid without an account: what anybody may read, as inputs of a simulated exchange.

Everything is stamped with the time of its receipt: that is when it is known here, and unlike
the venue's own times of several streams it never goes back.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from domain.instruments import Pair
from domain.market import Book, Close, FundingSettled, MarketInput, RecordedFunding, Reference
from domain.time import HOUR, MILLISECOND, SECOND, next_hour
from execution.ports import Clock, Transport, TransportFailed
from execution.venues.hyperliquid import public
from execution.venues.hyperliquid.candles import recent_closes
from execution.venues.hyperliquid.info import Info
from execution.venues.hyperliquid.start import funding_history
from execution.venues.hyperliquid.stream import Feed
from execution.venues.hyperliquid.symbols import Listing, resolve
from execution.venues.hyperliquid.timing import Timing
from execution.venues.hyperliquid.wire import (
    BadMessage,
    BookFrame,
    Frame,
    FundingRow,
    Meta,
    SpotMeta,
    Subscription,
    UserFees,
)

HISTORY_NS = 60 * 24 * HOUR
LATE_NS = 10 * SECOND
"""A book that is older than this when it comes is not what one could trade at now."""
_TRADES_REMEMBERED = 100


def listed(meta: Meta, spot_meta: SpotMeta, pairs: Iterable[Pair]) -> Listing:
    """What is listed of ``pairs``, with their fees: an account would have its own.

    Raises:
        ValueError: when one of them is not listed.
    """
    known = list(pairs)
    perp, spot = known[0].perp.fees, known[0].spot.fees
    fees = UserFees(str(perp.taker), str(perp.maker), str(spot.taker), str(spot.maker))
    return resolve(meta, spot_meta, fees, {pair.name: pair.spot.base for pair in known})


async def load(transport: Transport, pairs: Iterable[Pair], timing: Timing) -> Listing:
    """Ask what is listed.

    Raises:
        ValueError: as ``listed``.
        TransportFailed, BadMessage: no answer, or none to this.
    """
    info = Info(transport, "", timing.read_timeout, lambda: None, timing.attempts)
    return listed(*await asyncio.gather(info.meta(), info.spot_meta()), pairs)


async def history(
    transport: Transport, listing: Listing, now_ns: int, timing: Timing
) -> list[FundingSettled | Close]:
    """Rates of sixty days and closes of some (``candles``), by time.

    Raises:
        TransportFailed, BadMessage: no answer about the rates, or none to this.
    """
    since_ms, until_ms = (now_ns - HISTORY_NS) // MILLISECOND, now_ns // MILLISECOND
    rates, closes = await asyncio.gather(
        funding_history(transport, listing, since_ms, until_ms, timing),
        recent_closes(transport, listing, now_ns, timing),
    )
    return sorted([*rates, *closes], key=lambda event: event.venue_time_ns)


class Reader:
    """Frames and published rates into market inputs, each once.

    ``late`` counts books that were old when they came, ``rejected`` what could not be believed.
    """

    def __init__(self, listing: Listing) -> None:
        self.late = self.rejected = 0
        self._listing = listing
        self._books: dict[str, int] = {}  # by instrument, the newest book's own time
        self._trades: dict[str, deque[int]] = {}  # by coin, what has been told lately
        self._settled: dict[str, int] = {}  # by instrument, the newest rate's hour

    def know(self, past: Iterable[FundingSettled | Close]) -> None:
        """Rates that were told of before: they settle nothing again."""
        for event in past:
            if isinstance(event, FundingSettled):
                self._settled[event.instrument] = event.venue_time_ns

    def inputs(self, frame: Frame | BookFrame, received_ns: int) -> list[MarketInput]:
        try:
            if isinstance(frame, Frame) and frame.channel == public.TRADES:
                return self._prints(frame, received_ns)
            event = public.public_event(self._listing, frame, received_ns)
        except BadMessage:
            self.rejected += 1
            return []
        if isinstance(event, Book):
            return self._book(event)
        if event is None:
            return []
        name, at = event.instrument, event.received_ns
        return [Reference(name, event.mark, event.oracle, at, at, event.predicted)]

    def _book(self, book: Book) -> list[MarketInput]:
        if book.venue_time_ns <= self._books.get(book.instrument, 0):
            return []
        self._books[book.instrument] = book.venue_time_ns
        if book.received_ns - book.venue_time_ns > LATE_NS:
            self.late += 1
            return []
        return [replace(book, venue_time_ns=book.received_ns)]

    def _prints(self, frame: Frame, received_ns: int) -> list[MarketInput]:
        """A subscription begins with trades of the past: they fill no order of ours."""
        trades: list[MarketInput] = []
        heard_before = frozenset(self._trades)
        for coin, number, trade in public.trades(self._listing, frame, received_ns):
            known = self._trades.setdefault(coin, deque(maxlen=_TRADES_REMEMBERED))
            old = coin not in heard_before or received_ns - trade.venue_time_ns > LATE_NS
            if number not in known and not old:
                trades.append(replace(trade, venue_time_ns=received_ns))
            known.append(number)
        return trades

    def rates(self, rows: Iterable[FundingRow], received_ns: int) -> list[MarketInput]:
        """Rates that were not known before. They settle the hour in which they are received."""
        fresh: list[MarketInput] = []
        for row in rows:
            try:
                settled = public.funding_settled(self._listing, row, received_ns)
            except BadMessage:
                self.rejected += 1
                continue
            if settled.venue_time_ns > self._settled.get(settled.instrument, 0):
                self._settled[settled.instrument] = settled.venue_time_ns
                if received_ns - settled.venue_time_ns < HOUR:
                    name, rate = settled.instrument, settled.rate
                    fresh.append(RecordedFunding(name, rate, received_ns, received_ns))
        return fresh


class Watch:
    """Keeps listening. ``emit`` takes what was heard, message by message."""

    def __init__(
        self,
        transport: Transport,
        listing: Listing,
        clock: Clock,
        emit: Callable[[list[MarketInput]], None],
        chance: Callable[[], float],
        timing: Timing,
    ) -> None:
        self.reader = Reader(listing)
        self.heard_ns = clock.now_ns()
        self._listing, self._clock, self._emit, self._timing = listing, clock, emit, timing
        self._info = Info(transport, "", timing.read_timeout, lambda: None, timing.attempts)
        kinds = (public.BOOKS, public.TRADES)
        self._feed = Feed(
            transport,
            [Subscription(kind, coin=market.coin) for market in listing.markets for kind in kinds]
            + [Subscription(public.CONTEXTS, coin=market.coin) for market in listing.perps],
            self._on_frame,
            lambda: None,
            chance,
            timing,
        )

    def tasks(self) -> Mapping[str, Coroutine[Any, Any, None]]:
        """What has to run, by name; each for ever."""
        return {"public": self._feed.run(), "funding": self._follow_rates()}

    def _on_frame(self, frame: Frame | BookFrame) -> None:
        now_ns = self._clock.now_ns()
        if inputs := self.reader.inputs(frame, now_ns):
            self.heard_ns = now_ns
            self._emit(inputs)

    async def _follow_rates(self) -> None:
        """The rate of every whole hour, as soon as it is published."""
        due = {perp.coin: next_hour(self._clock.now_ns()) for perp in self._listing.perps}
        while True:
            for coin, hour_ns in due.items():
                if hour_ns <= self._clock.now_ns():
                    due[coin] = await self._ask_rate(coin, hour_ns)
            await asyncio.sleep(self._timing.funding_retry)

    async def _ask_rate(self, coin: str, hour_ns: int) -> int:
        """Emit what there is since ``hour_ns``; returns the hour that is due next."""
        until_ms = self._clock.now_ns() // MILLISECOND
        try:
            rows = await self._info.funding_history(coin, hour_ns // MILLISECOND, until_ms)
        except (TransportFailed, BadMessage):
            return hour_ns
        if inputs := self.reader.rates(rows, self._clock.now_ns()):
            self._emit(inputs)
        last_ms = max((row.time for row in rows), default=None)
        return hour_ns if last_ms is None else next_hour(last_ms * MILLISECOND + HOUR // 2)
