"""Bars of what was traded: minutes are kept, coarser ones are made of them when asked for."""

from collections import deque
from typing import Any

import msgspec

from domain.market import Trade
from domain.time import DAY, HOUR, MILLISECOND, MINUTE
from execution.venues.hyperliquid.emulator.listing import Listing
from execution.venues.hyperliquid.emulator.numbers import float_text

INTERVALS = {
    "1m": MINUTE, "3m": 3 * MINUTE, "5m": 5 * MINUTE, "15m": 15 * MINUTE, "30m": 30 * MINUTE,
    "1h": HOUR, "2h": 2 * HOUR, "4h": 4 * HOUR, "8h": 8 * HOUR, "12h": 12 * HOUR, "1d": DAY,
}  # fmt: skip
CANDLES_MAX = 5_000
"""So many of the newest bars of each interval are there, and in one answer."""
_MINUTES_KEPT = 30 * 1_440


class Asked(msgspec.Struct, frozen=True, rename="camel"):
    """``req`` of a ``candleSnapshot``; times in milliseconds, both inclusive."""

    coin: str
    interval: str
    start_time: int
    end_time: int | None = None


class _Bar(msgspec.Struct):
    open_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: int

    def add(self, high: float, low: float, close: float, volume: float, trades: int) -> None:
        self.high, self.low = max(self.high, high), min(self.low, low)
        self.close = close
        self.volume += volume
        self.trades += trades


class Candles:
    """Of every instrument. A minute without a trade has no bar."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._minutes: dict[str, deque[_Bar]] = {
            name: deque(maxlen=_MINUTES_KEPT) for name in listing.coin_of
        }

    def take(self, trade: Trade) -> None:
        minutes = self._minutes.get(trade.instrument)
        if minutes is None:
            return
        price, open_ns = trade.price, trade.venue_time_ns // MINUTE * MINUTE
        if minutes and minutes[-1].open_ns == open_ns:
            minutes[-1].add(price, price, price, trade.quantity, 1)
        else:
            minutes.append(_Bar(open_ns, price, price, price, price, trade.quantity, 1))

    def answer(self, asked: Asked) -> list[dict[str, Any]] | None:
        """The bars that begin in the time asked about, oldest first, the unfinished one included.

        None for a coin or an interval that there is not.
        """
        instrument = self._listing.by_coin.get(asked.coin)
        step_ns = INTERVALS.get(asked.interval)
        if instrument is None or step_ns is None:
            return None
        bars: list[_Bar] = []
        for minute in self._minutes[instrument.id]:
            open_ns = minute.open_ns // step_ns * step_ns
            if bars and bars[-1].open_ns == open_ns:
                bars[-1].add(minute.high, minute.low, minute.close, minute.volume, minute.trades)
            else:
                bars.append(msgspec.structs.replace(minute, open_ns=open_ns))
        return [
            _told(bar, asked, step_ns)
            for bar in bars[-CANDLES_MAX:]
            if bar.open_ns + step_ns > asked.start_time * MILLISECOND
            and (asked.end_time is None or bar.open_ns <= asked.end_time * MILLISECOND)
        ]


def _told(bar: _Bar, asked: Asked, step_ns: int) -> dict[str, Any]:
    return {
        "t": bar.open_ns // MILLISECOND,
        "T": (bar.open_ns + step_ns) // MILLISECOND - 1,
        "s": asked.coin,
        "i": asked.interval,
        "o": float_text(bar.open),
        "c": float_text(bar.close),
        "h": float_text(bar.high),
        "l": float_text(bar.low),
        "v": float_text(bar.volume),
        "n": bar.trades,
    }
