"""Forced orders of one perp, from history or from the venue: what ``fundarb clusters`` shows."""

from collections.abc import Sequence
from math import fsum
from pathlib import Path

import msgspec

from bot.backtest.bars import DataError, Window, are_invented, find_files, read_bars
from bot.clock import SystemClock
from bot.instruments import load_listings, load_pairs
from bot.run import RunError
from bot.transport import HttpTransport
from domain.instruments import Kind, MarginTier, Pair
from domain.orders import Side
from domain.time import HOUR, MILLISECOND
from execution.ports import TransportFailed
from execution.risk.clusters import Level, forced_within, hourly_volume, levels
from execution.venues.hyperliquid import candles, units, watch
from execution.venues.hyperliquid.info import Info
from execution.venues.hyperliquid.public import positive
from execution.venues.hyperliquid.timing import Timing
from execution.venues.hyperliquid.wire import BadMessage, market
from strategies.market.state import TRADED_NS, Traded

VENUE = "hyperliquid"


class Near(msgspec.Struct, frozen=True):
    """Forced orders within ``distance`` of the mark, as shares of the open interest.

    ``hours`` is them in hours of average trading, None where open interest or volume is not known.
    """

    side: Side
    distance: float
    share: float
    least: float
    most: float
    hours: float | None


class Picture(msgspec.Struct, frozen=True):
    """One perp. ``open_interest`` is base units, ``hourly_volume`` quote; None where not known.

    The ``levels``' notional is quote; where open interest is not known, of one base unit.
    """

    pair: str
    at_ns: int
    source: str
    mark: float
    open_interest: float | None
    hourly_volume: float | None
    greatest_leverage: int
    levels: tuple[Level, ...]
    near: tuple[Near, ...]

    def share(self, notional: float) -> float:
        """Of the open interest."""
        return notional / (self.mark * (self.open_interest or 1.0))


def from_history(
    data: Path, venue: str, pair: Pair, at_ns: int | None, interest: float | None, distance: float
) -> Picture:
    """From the finest bars of the perp in the three days before ``at_ns``, or the last there are.

    Raises:
        DataError: no bars are there, or the files are damaged.
    """
    symbol = load_listings(venue)[pair.perp.symbol].history
    files = find_files(data, venue, Kind.PERP, symbol)
    if not files:
        raise DataError(f"no perp bars of {pair.name} ({symbol}_<bar>.parquet) in {data}")
    read = {
        bar_ns: read_bars(paths, bar_ns, Window(None, at_ns)) for bar_ns, paths in files.items()
    }
    ends = {bar_ns: bars.time_ns[-1] + bar_ns for bar_ns, bars in read.items() if len(bars)}
    if not ends:
        raise DataError(f"no perp bars of {pair.name} before that instant in {data}")
    last_ns = max(ends.values())
    if at_ns is not None and last_ns <= at_ns - TRADED_NS:
        raise DataError(
            f"no perp bars of {pair.name} in the three days before that instant in {data}"
        )
    bar_ns = min(step for step, end_ns in ends.items() if end_ns > last_ns - HOUR)
    bars, end_ns = read[bar_ns], ends[bar_ns]
    traded = [
        Traded(start_ns + bar_ns, bar_ns / HOUR, low, high, close, volume)
        for start_ns, low, high, close, volume in zip(
            bars.time_ns, bars.low, bars.high, bars.close, bars.volume, strict=True
        )
        if start_ns >= end_ns - TRADED_NS
    ]
    source = f"{'invented ' if are_invented(files[bar_ns]) else ''}bars in {data}"
    return _picture(
        pair.name, source, traded, traded[-1].price, interest, pair.perp.margin_tiers, distance
    )


async def from_venue(url: str, name: str, interest: float | None, distance: float) -> Picture:
    """From the venue's bars of three days, its open interest and mark. No key.

    Raises:
        RunError: the venue does not answer, or does not list the pair.
    """
    timing, now_ns = Timing(read_timeout=10.0), SystemClock().now_ns()
    async with HttpTransport(url) as transport:
        info = Info(transport, "", timing.read_timeout, lambda: None, timing.attempts)
        try:
            listing = await watch.load(transport, load_pairs(VENUE, (name,)), timing)
            (perp,) = listing.perps
            context = (await info.perp_contexts())[perp.coin]
            since_ms, until_ms = (now_ns - TRADED_NS) // MILLISECOND, now_ns // MILLISECOND
            told = await candles.page(info, perp.coin, candles.WARM_BAR, since_ms, until_ms)
            closes = candles.closes(perp, told, now_ns)
        except (TransportFailed, BadMessage) as error:
            raise RunError(f"{url} does not answer as documented: {error}") from None
        except (ValueError, KeyError) as error:
            raise RunError(f"{name}: {error}") from None
        mark = units.of_a_coin_seen(perp.coin, market(context.mark_px))
        if interest is None and (open_interest := positive(context.open_interest)):
            interest = units.coins_seen(perp.coin, open_interest)
    traded = [
        Traded(one.venue_time_ns, one.hours, one.low, one.high, one.price, one.volume)
        for one in closes
        if one.low > 0.0
    ]
    tiers = perp.instrument.margin_tiers
    return _picture(name, url, traded, mark, interest, tiers, distance, at_ns=now_ns)


def _picture(
    name: str,
    source: str,
    traded: Sequence[Traded],
    mark: float,
    interest: float | None,
    tiers: Sequence[MarginTier],
    distance: float,
    at_ns: int | None = None,
) -> Picture:
    now_ns = traded[-1].time_ns if at_ns is None else at_ns
    found = levels(traded, interest if interest is not None else 1.0, mark, tiers, now_ns)
    if not fsum(one.volume for one in traded):
        raise DataError(f"nothing was traded in {name} in three days, as far as {source} knows")
    volume = hourly_volume(traded)
    whole = mark * (interest if interest is not None else 1.0)
    near = []
    for side in (Side.BUY, Side.SELL):
        estimate, least, most = forced_within(found, mark, side, distance)
        hours = estimate / volume if interest is not None else None
        near.append(Near(side, distance, estimate / whole, least / whole, most / whole, hours))
    greatest = tiers[0].max_leverage
    return Picture(name, now_ns, source, mark, interest, volume, greatest, found, tuple(near))
