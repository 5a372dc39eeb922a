"""Bars from the venue: a page at a time for whoever keeps them, closes for a start."""

import asyncio
from collections.abc import Iterable

from domain.market import Close
from domain.time import DAY, HOUR, MILLISECOND
from execution.ports import Transport, TransportFailed
from execution.venues.hyperliquid import units
from execution.venues.hyperliquid.info import Info
from execution.venues.hyperliquid.public import positive
from execution.venues.hyperliquid.symbols import Listing, Market
from execution.venues.hyperliquid.timing import Timing
from execution.venues.hyperliquid.wire import BadMessage, Candle, market, nanoseconds

WARM_NS = 2 * DAY
"""So far back a start reads closes: twice the half-life of what volatility remembers."""
ALONE_NS = 15 * DAY
"""So far where perps are traded alone, by hourly closes in a row: as many as are kept."""
WARM_BAR = "15m"
WARM_BAR_NS = HOUR // 4
_ATTEMPTS = 2


async def page(info: Info, coin: str, interval: str, since_ms: int, until_ms: int) -> list[Candle]:
    """Bars that begin from ``since_ms`` to before ``until_ms``, oldest first, each once: as many as
    the venue gives at once. The next page begins after the last of them; where there is none, the
    venue keeps no more.

    Raises:
        TransportFailed: no answer came.
        BadMessage: what came was none.
    """
    rows = await info.candles(coin, interval, since_ms, until_ms - 1)
    fresh = {row.open_time: row for row in rows if since_ms <= row.open_time < until_ms}
    return [fresh[time] for time in sorted(fresh)]


async def recent_closes(
    transport: Transport, listing: Listing, until_ns: int, timing: Timing
) -> list[Close]:
    """Those of everything listed, in order of time, for whichever strategy."""
    spans = ((one, ALONE_NS if one in listing.perps else WARM_NS) for one in listing.markets)
    told = await asyncio.gather(
        *(closes_of(transport, listed, until_ns - ns, until_ns, timing) for listed, ns in spans)
    )
    return sorted(
        (close for one in told for close in one),
        key=lambda close: (close.venue_time_ns, close.instrument),
    )


async def closes_of(
    transport: Transport, listed: Market, since_ns: int, until_ns: int, timing: Timing
) -> list[Close]:
    """Closes of one market, as known at the ends of its bars.

    What is not told is left out and nothing waits for it: how much prices move is then not known
    at once, and nothing is entered until it is. A start has legs to look after.
    """
    info = Info(transport, "", timing.read_timeout, lambda: None, _ATTEMPTS)
    since_ms, until_ms = since_ns // MILLISECOND, until_ns // MILLISECOND
    try:  # one page: days have far fewer of these bars than the venue gives at once
        told = await page(info, listed.coin, WARM_BAR, since_ms, until_ms)
        return closes(listed, told, until_ns)
    except (TransportFailed, BadMessage):
        return []


def closes(listed: Market, bars: Iterable[Candle], until_ns: int) -> list[Close]:
    """Of the bars that are over at ``until_ns``, known at their ends.

    Raises:
        BadMessage: a price is none.
    """
    ended = [(nanoseconds(bar.close_time + 1), bar) for bar in bars]
    return [_close(listed, bar, at) for at, bar in ended if at <= until_ns]


def _close(listed: Market, bar: Candle, at_ns: int) -> Close:
    hours = (bar.close_time + 1 - bar.open_time) * MILLISECOND / HOUR
    close, volume = market(bar.close), positive(bar.volume) or 0.0
    low, high = positive(bar.low) or 0.0, positive(bar.high) or 0.0
    if listed.is_of_thousands:
        low, high, close = (units.of_a_coin_seen(listed.coin, one) for one in (low, high, close))
        volume = units.coins_seen(listed.coin, volume)
    return Close(listed.instrument.id, close, at_ns, at_ns, low, high, volume, hours)
