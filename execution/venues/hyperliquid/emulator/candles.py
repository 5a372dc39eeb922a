"""Candles of the mid, as the market went: the market here has no volume."""

from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec

from execution.venues.hyperliquid.emulator.numbers import float_text

MINUTE_MS = 60_000
INTERVALS = {
    "1m": 1, "3m": 3, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "2h": 120, "4h": 240, "8h": 480,
    "12h": 720, "1d": 1_440, "3d": 4_320, "1w": 10_080,
}  # fmt: skip
"""In minutes; months are not offered."""
_MINUTES_KEPT = 20_000
_ROWS_A_PAGE = 5_000


class _Candle(msgspec.Struct):
    """``changes`` is how often the price changed: what the venue says of trades."""

    start_ms: int
    first: float
    high: float
    low: float
    last: float
    changes: int = 1

    def add(self, high: float, low: float, last: float, changes: int = 1) -> None:
        self.high, self.low = max(self.high, high), min(self.low, low)
        self.last = last
        self.changes += changes


class Candles:
    """Of one instrument; longer ones are made of its minutes when asked for."""

    def __init__(self, coin: str) -> None:
        self._coin = coin
        self._minutes: deque[_Candle] = deque(maxlen=_MINUTES_KEPT)

    def price(self, price: float, time_ms: int) -> None:
        start_ms = time_ms // MINUTE_MS * MINUTE_MS
        now = self._minutes[-1] if self._minutes else None
        if now is None or now.start_ms < start_ms:
            self._minutes.append(_Candle(start_ms, price, price, price, price))
        elif price != now.last:
            now.add(price, price, price)

    def between(self, interval: str, start_ms: int, end_ms: int | None) -> list[dict[str, Any]]:
        """Those that begin in between, both ends inclusive, and of them the newest 5000."""
        rows = [
            candle
            for candle in _joined(list(self._minutes), INTERVALS[interval] * MINUTE_MS)
            if start_ms <= candle.start_ms and (end_ms is None or candle.start_ms <= end_ms)
        ]
        return [self._told(candle, interval) for candle in rows[-_ROWS_A_PAGE:]]

    def latest(self, interval: str) -> dict[str, Any] | None:
        """The one that is being made."""
        minutes = list(self._minutes)[-INTERVALS[interval] :]
        rows = _joined(minutes, INTERVALS[interval] * MINUTE_MS)
        return self._told(rows[-1], interval) if rows else None

    def _told(self, candle: _Candle, interval: str) -> dict[str, Any]:
        return {
            "t": candle.start_ms,
            "T": candle.start_ms + INTERVALS[interval] * MINUTE_MS - 1,
            "s": self._coin,
            "i": interval,
            "o": float_text(candle.first),
            "c": float_text(candle.last),
            "h": float_text(candle.high),
            "l": float_text(candle.low),
            "v": "0.0",
            "n": candle.changes,
        }


def _joined(minutes: Sequence[_Candle], span_ms: int) -> list[_Candle]:
    rows: list[_Candle] = []
    for minute in minutes:
        start_ms = minute.start_ms // span_ms * span_ms
        if rows and rows[-1].start_ms == start_ms:
            rows[-1].add(minute.high, minute.low, minute.last, minute.changes)
        else:
            rows.append(msgspec.structs.replace(minute, start_ms=start_ms))
    return rows
