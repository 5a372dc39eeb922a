"""Three levels of valid quotes around a mid: the book of a market that has only prices.

Runs millions of times in a backtest, so it counts whole ticks and lots in
floats; ``Instrument.round_price`` says what a valid price is, and the two agree.
"""

from math import ceil, floor, inf

from domain.instruments import Instrument
from domain.market import Book, Level, Trade
from domain.money import decimal_of
from domain.orders import Side

# 28.999999999999996 ticks is on the tick. Far below any spread.
_SAME_TICK = 1e-6
_BUY = Side.BUY  # an enum's attribute is slow to look up a million times


class Ladder:
    """Quotes and prints of one instrument. What it remembers, a tick size, never shows.

    Three levels a side, at 1, 2 and 4 half-spreads from mid, each rounded away
    from mid, with 1, 2 and 4 times the first level's size.
    """

    __slots__ = ("_above", "_from", "_id", "_instrument", "_lots", "_ticks", "_to")

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._id = instrument.id
        self._lots = float(1 / instrument.lot)
        # Rounding moves the outermost level by less than five ticks: this share of any price.
        figures = instrument.significant_figures
        self._above = 1.0 if figures is None else 1.0 + 5.0 * 10.0 ** (1 - figures)
        self._from, self._to, self._ticks = inf, -inf, 1.0

    def book(self, mid: float, half_spread: float, depth: float, time_ns: int) -> Book:
        """The book at ``time_ns``: bids rounded down, asks up, never inside the spread asked for.

        ``half_spread`` is a fraction of mid, ``depth`` the first level's size in
        quote currency. Levels are at least a tick apart and a lot large.
        """
        highest = mid * (self._above + 4.0 * half_spread)
        if not self._from <= highest < self._to:
            self._find_tick(highest)
        ticks, lots = self._ticks, self._lots
        middle = mid * ticks
        step = middle * half_spread
        bid = floor(middle - step + _SAME_TICK)
        ask = ceil(middle + step - _SAME_TICK)
        if ask <= bid:
            ask = bid + 1
        gap = floor(step) + 1
        first = (floor(depth / mid * lots) or 1) / lots
        second = first + first
        third = second + second
        return Book(
            self._id,
            (
                Level(bid / ticks, first),
                Level((bid - gap) / ticks, second),
                Level((bid - 3 * gap) / ticks, third),
            ),
            (
                Level(ask / ticks, first),
                Level((ask + gap) / ticks, second),
                Level((ask + 3 * gap) / ticks, third),
            ),
            time_ns,
            time_ns,
        )

    def trade(self, price: float, quantity: float, side: Side, time_ns: int) -> Trade | None:
        """A print at ``price``, or None when ``quantity`` (base) is less than a lot.

        A buy is rounded down and a sell up: a resting order is never reached by
        rounding alone.
        """
        lots = floor(quantity * self._lots)
        if not lots:
            return None
        if not self._from <= price < self._to:
            self._find_tick(price)
        ticks = self._ticks
        if side is _BUY:
            price = floor(price * ticks + _SAME_TICK) / ticks
        else:
            price = ceil(price * ticks - _SAME_TICK) / ticks
        return Trade(self._id, price, lots / self._lots, side, time_ns, time_ns)

    def _find_tick(self, price: float) -> None:
        """Take the tick at ``price``: across a power of ten the coarser is valid either side."""
        exact = decimal_of(price)
        self._ticks = float(1 / self._instrument.tick(exact))
        if self._instrument.significant_figures is None:
            self._from, self._to = 0.0, inf
        else:
            self._from, self._to = 10.0 ** exact.adjusted(), 10.0 ** (exact.adjusted() + 1)
