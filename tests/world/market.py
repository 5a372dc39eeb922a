"""A market for the world: SYNTHETIC, seeded, nervous, and as wild as a scenario wants it.

Each pair's price is a random walk with jumps. Both legs quote around it; spreads widen and
depth thins by the hour's mood, and now and then a side of a book is empty. Prints go
through at the touch, so that what rests there is filled in part, in whole or not at all.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal
from math import exp
from random import Random

import msgspec

from domain.instruments import Instrument, Kind, Pair
from domain.market import Book, Close, FundingSettled, Level, MarketInput, Reference, Trade
from domain.orders import Side
from domain.rates import FundingRate
from domain.time import HOUR, MINUTE, SECOND

STEP_NS = 5 * SECOND
_LEVELS = 4


class Moment(msgspec.Struct, frozen=True):
    """What a scenario does to one pair at one moment.

    ``price`` multiplies the walk, ``spot`` the spot leg on top of it; ``depth`` the sizes
    shown, ``spread`` the half-spreads. A perp that is not ``listed`` has an empty book, and
    nothing else of it is told.
    """

    price: float = 1.0
    spot: float = 1.0
    depth: float = 1.0
    spread: float = 1.0
    listed: bool = True


Scenario = Callable[[str, float], Moment]
"""(pair name, seconds since the start) to what happens to it then."""


def calm(_pair: str, _seconds: float) -> Moment:
    return Moment()


class WildMarket:
    """Market inputs of ``pairs``, a step every five seconds, from ``start_ns`` on."""

    def __init__(
        self, pairs: tuple[Pair, ...], start_ns: int, seed: int, scenario: Scenario = calm
    ) -> None:
        self.pairs, self.start_ns = pairs, start_ns
        self._scenario = scenario
        self._random = Random(f"{seed} market")
        # The names of prices differ by far, so that a mix-up of instruments shows.
        self._prices = {pair.name: 20.0 * 7.0**n for n, pair in enumerate(pairs)}
        self._mood = self._random.uniform(0.3, 1.5)
        self._volatility = self._random.uniform(2e-4, 1.2e-3)  # a step
        self._depth_quote = self._random.choice([600.0, 3_000.0, 20_000.0])

    def history(self, hours: int) -> list[FundingSettled]:
        """Published funding of the hours before the start, newest last."""
        rate = FundingRate(0.00005, 1)
        times = [self.start_ns - n * HOUR for n in range(hours, 0, -1)]
        return [FundingSettled(p.perp.id, rate, t, t) for t in times for p in self.pairs]

    def closes_before(self, now_ns: int) -> list[Close]:
        """What a restarted bot finds in the venue's candles: some quiet hours."""
        times = range(now_ns - 3 * HOUR, now_ns - 5 * MINUTE, 5 * MINUTE)
        return [
            Close(leg.id, self._prices[pair.name], at, at)
            for at in times
            for pair in self.pairs
            for leg in (pair.spot, pair.perp)
        ]

    def step(self, now_ns: int) -> Iterator[MarketInput]:
        """What happens at ``now_ns``; call it once a step, in order."""
        seconds = (now_ns - self.start_ns) / SECOND
        for pair in self.pairs:
            before = self._prices[pair.name]
            self._prices[pair.name] = price = before * exp(self._move())
            moment = self._scenario(pair.name, seconds)
            legs = ((pair.spot, moment.price * moment.spot), (pair.perp, moment.price))
            for leg, factor in legs:
                if moment.listed or leg is pair.spot:
                    yield from self._prints(leg, before * factor, now_ns)
            for leg, factor in legs:
                yield self._book(leg, price * factor, moment, now_ns)
            mark = price * moment.price
            if moment.listed:
                yield Reference(pair.perp.id, mark, mark, now_ns, now_ns)

    def _move(self) -> float:
        jump = self._random.gauss(0, 0.01) if self._random.random() < 0.002 else 0.0
        return self._random.gauss(0, self._volatility) + jump

    def _prints(self, leg: Instrument, mid: float, now_ns: int) -> Iterator[Trade]:
        for side in Side:
            if self._random.random() < 0.5:
                continue
            offset = self._random.uniform(0, 6e-4) * side.sign
            quantity = self._random.expovariate(1.0) * 0.5 * self._depth_quote / mid
            yield Trade(leg.id, mid * (1 + offset), quantity, side, now_ns, now_ns)

    def _book(self, leg: Instrument, mid: float, moment: Moment, now_ns: int) -> Book:
        half = 2e-4 * self._mood * moment.spread * (1 + 0.3 * self._random.random())
        sides: list[tuple[Level, ...]] = []
        for up in (False, True):
            sign = 1 if up else -1
            levels: list[Level] = []
            for n in range(_LEVELS):
                at = leg.round_price(Decimal(repr(mid * (1 + sign * half * (1 + 0.8 * n)))), up=up)
                size = self._depth_quote * moment.depth / mid * self._random.uniform(0.5, 1.5)
                if not levels or (float(at) - levels[-1].price) * sign > 0:
                    levels.append(Level(float(at), size))
            empty = self._random.random() < 0.003 or not (moment.listed or leg.kind is Kind.SPOT)
            sides.append(() if empty else tuple(levels))
        return Book(leg.id, sides[0], sides[1], now_ns, now_ns)
