"""The market as last published, in the venue's words."""

from collections import deque
from collections.abc import Callable
from decimal import Decimal
from math import fsum
from typing import Any

import msgspec

from domain.instruments import Instrument
from domain.market import Book, Level, PerpContext, Trade
from domain.orders import Side
from domain.time import MILLISECOND
from execution.venues.hyperliquid.emulator.candles import Candles
from execution.venues.hyperliquid.emulator.listing import Listing
from execution.venues.hyperliquid.emulator.numbers import float_text
from execution.venues.hyperliquid.emulator.records import SOMEBODY, trade_id
from execution.venues.hyperliquid.emulator.volumes import DayVolume
from execution.venues.simulated.funding import impact_price
from execution.venues.simulated.rules import VenueRules

_DEPTH = 20
_TRADES = 30


class WireLevel(msgspec.Struct, frozen=True):
    px: str
    sz: str
    n: int = 1


class WireBook(msgspec.Struct, frozen=True):
    coin: str
    time: int
    levels: tuple[tuple[WireLevel, ...], tuple[WireLevel, ...]]


class Quotes:
    """Last book, context, prints and day's volume of every instrument.

    ``position`` tells what the account holds of a perp. Of the open interest, the sum of long
    positions, nothing is known but what was traded here: it is that of three, of the account, of
    all who took in a print, and of all who were met. The market has no yesterday here: its price
    is today's.
    """

    def __init__(
        self, listing: Listing, rules: VenueRules, position: Callable[[str], Decimal]
    ) -> None:
        self.books: dict[str, Book] = {}
        self.contexts: dict[str, PerpContext] = {}
        self.trades: dict[str, deque[Trade]] = {
            name: deque(maxlen=_TRADES) for name in listing.coin_of
        }
        self.candles = {name: Candles(coin) for name, coin in listing.coin_of.items()}
        self._takers = dict.fromkeys(listing.coin_of, 0.0)  # what they hold by now, base units
        self._volumes = {name: DayVolume() for name in listing.coin_of}
        self._listing, self._rules, self._position = listing, rules, position

    def take(self, book: Book) -> Book | None:
        """A new book; returns the one before."""
        before, self.books[book.instrument] = self.books.get(book.instrument), book
        if book.bids and book.asks:
            mid = (book.bids[0].price + book.asks[0].price) / 2
            self.candles[book.instrument].price(mid, book.venue_time_ns // MILLISECOND)
        return before

    def printed(self, trade: Trade) -> None:
        """Somebody else's trade."""
        self.trades[trade.instrument].append(trade)
        self._takers[trade.instrument] += trade.aggressor.sign * trade.quantity
        self.traded(trade.instrument, trade.price, trade.quantity, trade.venue_time_ns)

    def traded(self, instrument: str, price: float, quantity: float, time_ns: int) -> None:
        self._volumes[instrument].add(price, quantity, time_ns)

    def mid(self, instrument: str) -> str | None:
        """Where a side is empty, the last print: the venue does not say which of them it told."""
        book = self.books.get(instrument)
        if book is not None and book.bids and book.asks:
            return float_text((book.bids[0].price + book.asks[0].price) / 2)
        trades = self.trades[instrument]
        return float_text(trades[-1].price) if trades else None

    def all_mids(self) -> dict[str, str]:
        mids = {coin: self.mid(name) for name, coin in self._listing.coin_of.items()}
        return {coin: mid for coin, mid in mids.items() if mid is not None}

    def mark(self, instrument: str) -> str | None:
        context = self.contexts.get(instrument)
        return self.mid(instrument) if context is None else float_text(context.mark)

    def book(self, book: Book, depth: int = _DEPTH) -> WireBook:
        return WireBook(
            self._listing.coin_of[book.instrument],
            book.venue_time_ns // MILLISECOND,
            (_levels(book.bids[:depth]), _levels(book.asks[:depth])),
        )

    def bbo(self, book: Book) -> dict[str, Any]:
        best = (*_levels(book.bids[:1]), None), (*_levels(book.asks[:1]), None)
        return {
            "coin": self._listing.coin_of[book.instrument],
            "time": book.venue_time_ns // MILLISECOND,
            "bbo": [side[0] for side in best],
        }

    def trade(self, trade: Trade) -> dict[str, Any]:
        users = [SOMEBODY, SOMEBODY]
        name = f"{trade.instrument} {trade.venue_time_ns} {trade.price} {trade.quantity}"
        number = trade_id(name)
        return {
            "coin": self._listing.coin_of[trade.instrument],
            "side": "B" if trade.aggressor is Side.BUY else "A",
            "px": float_text(trade.price),
            "sz": float_text(trade.quantity),
            "time": trade.venue_time_ns // MILLISECOND,
            "hash": f"0x{number:064x}",
            "tid": number,
            "users": users,
        }

    def perp_context(self, perp: Instrument) -> dict[str, Any]:
        """Nulls where the market has not been heard of."""
        context, book = self.contexts.get(perp.id), self.books.get(perp.id)
        told: dict[str, Any] = {
            "funding": "0.0",
            "openInterest": "0.0",
            "prevDayPx": "0.0",
            "dayNtlVlm": "0.0",
            "premium": None,
            "oraclePx": "0.0",
            "markPx": "0.0",
            "midPx": self.mid(perp.id),
            "impactPxs": None,
            "dayBaseVlm": "0.0",
        }
        if context is not None:
            mark = float_text(context.mark)
            told |= {
                "funding": float_text(context.predicted.per_interval),
                "oraclePx": float_text(context.oracle),
                "markPx": mark,
                "prevDayPx": mark,
                "openInterest": float_text(self._open_interest(perp)),
                **self._volume(perp, context.venue_time_ns),
            }
        if context is not None and book is not None:
            told |= self._impact(perp, book, context.oracle)
        return told

    def _open_interest(self, perp: Instrument) -> float:
        ours, takers = float(self._position(perp.id)), self._takers[perp.id]
        return round(fsum(max(one, 0.0) for one in (ours, takers, -(ours + takers))), 8)

    def _volume(self, instrument: Instrument, now_ns: int) -> dict[str, str]:
        quantity, notional = self._volumes[instrument.id].until(now_ns)
        return {
            "dayNtlVlm": float_text(round(notional, 6)),
            "dayBaseVlm": float_text(round(quantity, 8)),
        }

    def _impact(self, perp: Instrument, book: Book, oracle: float) -> dict[str, Any]:
        notional = self._rules.impact_notional_of.get(perp.base, self._rules.impact_notional)
        bid, ask = impact_price(book.bids, notional), impact_price(book.asks, notional)
        if bid is None or ask is None:
            return {}
        premium = (max(bid - oracle, 0.0) - max(oracle - ask, 0.0)) / oracle
        prices = [float_text(round(price, perp.price_decimals)) for price in (bid, ask)]
        return {"premium": float_text(round(premium, 10)), "impactPxs": prices}

    def spot_context(self, spot: Instrument) -> dict[str, Any]:
        mid, book = self.mid(spot.id), self.books.get(spot.id)
        return {
            "coin": self._listing.coin_of[spot.id],
            "prevDayPx": mid or "0.0",
            "markPx": mid or "0.0",
            "midPx": mid,
            "circulatingSupply": "0.0",
            "totalSupply": "0.0",
            **self._volume(spot, book.venue_time_ns if book is not None else 0),
        }


def _levels(levels: tuple[Level, ...]) -> tuple[WireLevel, ...]:
    return tuple(WireLevel(float_text(level.price), float_text(level.size)) for level in levels)
