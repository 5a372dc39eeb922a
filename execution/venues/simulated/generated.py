"""A generated market: synthetic prices from a seed, for running without data or network.

Each pair has an index price (log-normal steps whose volatility clusters and is
shared with the whole market, rare jumps), a premium of the perp over it, and
books whose spread widens and depth thins with volatility. Funding is not
generated: it follows from the premium by the exchange's own formula, and
``history`` applies the same formula to the same process.

The premium reverts to the mean of a regime: quiet, where funding is the interest
alone; crowded, where longs pay well; negative, which often follows a crowd.
Regimes last days, and one of the pairs is always crowded, so that a sound
strategy has something to do. Crowds here end sooner and turn negative more often
than most of the measured ones (0.12 of hours are negative), so that a run of some
days shows trades that close.

Constants are set to figures measured on Hyperliquid, hourly, 2024-01 to 2025-05:

- deviation of hourly returns: BTC 0.5 %, ETH 0.9, SOL 0.9, HYPE 1.4, PURR 2.0, DOGE 1.0;
  their kurtosis 5 to 16, autocorrelation of their size 0.2 an hour and 0.1 a day apart
- share of hours at the interest rate alone 0.5 to 0.7, over 0.005 % an hour 0.13 (BTC) to
  0.28 (HYPE), negative 0.01 to 0.14; 99th percentile 0.015 % (BTC), 0.037 % (HYPE), 0.07 % (PURR)
- days in a row with a mean over 0.004 %: 3 to 7 on average; autocorrelation of the
  rate an hour apart 0.6 to 0.9
- hourly change of the premium: deviation 0.00019, of BTC as of ETH
- quote volume in a minute as in ``_SHAPES``; half-spreads BTC 0.06 bps, ETH 0.13, small 2 to 8
"""

from collections.abc import Iterator, Sequence
from math import exp, sqrt
from random import Random

import msgspec

from domain.instruments import Instrument, Pair
from domain.market import FundingSettled, MarketInput, Reference
from domain.orders import Side
from domain.time import HOUR, MINUTE
from execution.venues.simulated.funding import funding_rate
from execution.venues.simulated.ladder import Ladder
from execution.venues.simulated.rules import VenueRules

STEP_NS = MINUTE
HISTORY_HOURS = 60 * 24
_STEPS_AN_HOUR = HOUR // STEP_NS
_BUY, _SELL = Side.BUY, Side.SELL


class _Shape(msgspec.Struct, frozen=True):
    """How one asset behaves.

    ``volatility`` deviation of hourly returns; ``beta`` the share of it that is the
    market's; ``carry`` the usual funding per hour when crowded; half-spreads as
    fractions of mid, depths (first level) and volumes (a minute) in quote currency.
    """

    price: float
    volatility: float
    beta: float
    carry: float
    perp_half_spread: float
    spot_half_spread: float
    perp_depth: float
    spot_depth: float
    perp_volume: float
    spot_volume: float


_SHAPES = {
    "BTC": _Shape(64e3, 0.005, 0.9, 1.4e-4, 2e-5, 8e-5, 3e5, 3e4, 1.3e6, 2.0e4),
    "ETH": _Shape(2.6e3, 0.008, 0.8, 1.4e-4, 2e-5, 1e-4, 2e5, 2e4, 1.7e6, 2.2e4),
    "SOL": _Shape(140.0, 0.009, 0.8, 1.6e-4, 3e-5, 1.2e-4, 8e4, 1.5e4, 7.0e5, 1.8e4),
    "HYPE": _Shape(31.0, 0.014, 0.6, 2.2e-4, 1e-4, 1.5e-4, 3e4, 2.5e4, 3.0e5, 9.0e4),
    "PURR": _Shape(0.17, 0.018, 0.5, 3.0e-4, 5e-4, 6e-4, 7e3, 4e3, 3.0e3, 4.0e3),
    "DOGE": _Shape(0.19, 0.010, 0.8, 2.0e-4, 1e-4, 2e-4, 3e4, 1e4, 1.0e5, 1.5e4),
}

_RULES = VenueRules()
# Hours from drawing a regime until the next, uniform between the two.
_QUIET_HOURS, _CROWDED_HOURS, _NEGATIVE_HOURS = (144, 320), (48, 96), (48, 108)
# A new crowd gathers while the old one still has this long, so that one is always there.
_OVERLAP_HOURS = 24
# The premium reverts to its regime's mean with a half-life of four hours. Its deviation is
# this, or in a crowd this share of the mean.
_REVERSION_HOURS, _PREMIUM_DEVIATION, _PREMIUM_SHARE = 4.0, 1.8e-4, 0.15
# The market's log-volatility has a slow and a fast part: (half-life in hours, deviation).
_SLOW, _FAST = (24.0, 0.35), (2.0, 0.30)
_JUMPS_AN_HOUR, _JUMP_SIZE = 1 / 48, 2.5  # size in deviations of an hour's return
_NOISE_HOURS, _NOISE = 0.25, 1.5e-4  # spot about index, besides its half-spread
_IMPACT_SHARE = 2e-4  # up to this premium the exchange sees none of it, being inside the spread


class _Reversion(msgspec.Struct, frozen=True):
    """One step of mean reversion: ``keep`` of the distance, and ``noise`` deviations of news.

    Together they hold the long-run deviation at 1.
    """

    keep: float
    noise: float


def _reversion(half_life_hours: float, steps_an_hour: int = _STEPS_AN_HOUR) -> _Reversion:
    keep: float = 0.5 ** (1 / (half_life_hours * steps_an_hour))
    return _Reversion(keep, sqrt(1 - keep * keep))


class _Regime(msgspec.Struct):
    """What a premium is drawn to, and for how many more hours."""

    mean: float
    hours: int
    crowded: bool


class _Regimes:
    """The regimes of all pairs, hour by hour."""

    def __init__(self, seed: int, shapes: Sequence[_Shape]) -> None:
        self._random = Random(f"{seed}/regimes")
        self._shapes = shapes
        self.now = [self._quiet(shortest=1) for _ in shapes]

    def next_hour(self) -> None:
        for i, regime in enumerate(self.now):
            regime.hours -= 1
            if regime.hours <= 0:
                self.now[i] = self._after(regime, self._shapes[i])
        if not any(regime.crowded and regime.hours > _OVERLAP_HOURS for regime in self.now):
            free = [i for i, regime in enumerate(self.now) if not regime.crowded]
            chosen = free[int(self._random.random() * len(free))] if free else 0
            self.now[chosen] = self._crowded(self._shapes[chosen])

    def _after(self, regime: _Regime, shape: _Shape) -> _Regime:
        chance = self._random.random()
        if regime.crowded:
            return self._negative(shape) if chance < 0.55 else self._quiet()
        if regime.mean < -_PREMIUM_DEVIATION:
            return self._quiet()
        return self._crowded(shape) if chance < 0.3 else self._quiet()

    def _hours(self, bounds: tuple[int, int]) -> int:
        return bounds[0] + int(self._random.random() * (bounds[1] - bounds[0]))

    def _quiet(self, shortest: int = _QUIET_HOURS[0]) -> _Regime:
        mean = -1e-4 + 4e-4 * self._random.random()
        return _Regime(mean, self._hours((shortest, _QUIET_HOURS[1])), crowded=False)

    def _crowded(self, shape: _Shape) -> _Regime:
        carry = shape.carry * self._level()
        mean = 8 * carry + _RULES.clamp
        return _Regime(mean, self._hours(_CROWDED_HOURS), crowded=True)

    def _negative(self, shape: _Shape) -> _Regime:
        carry = 1.0 * shape.carry * self._level()
        mean = -8 * carry - _RULES.clamp
        return _Regime(mean, self._hours(_NEGATIVE_HOURS), crowded=False)

    def _level(self) -> float:
        return min(max(exp(0.35 * self._random.gauss(0.0, 1.0)), 0.8), 2.0)


class GeneratedSource:
    """A ``MarketSource`` without end. ``generated_market`` makes one."""

    synthetic = True
    end_ns: int | None = None
    cadence_ns = STEP_NS

    def __init__(self, seed: int, start_ns: int, pairs: tuple[Pair, ...]) -> None:
        self.name = f"generated:{seed}"
        self.venue = pairs[0].perp.venue
        self.seed = seed
        self.pairs = pairs
        self.start_ns = start_ns
        self._shapes = [_SHAPES[pair.name] for pair in pairs]

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        return tuple(leg for pair in self.pairs for leg in (pair.spot, pair.perp))

    def history(self) -> list[FundingSettled]:
        """Hourly funding of the 60 days up to ``start_ns``, in order."""
        return self._past()[0]

    def events(self, after_ns: int) -> Iterator[MarketInput]:
        """Every input after ``after_ns``, a step each minute from ``start_ns`` on."""
        _, regimes, premiums = self._past()
        markets = [
            _Market(self.seed, pair, shape, premium)
            for pair, shape, premium in zip(self.pairs, self._shapes, premiums, strict=True)
        ]
        weather = _Weather(self.seed)
        time_ns = self.start_ns
        while True:
            hour = time_ns // HOUR
            time_ns += STEP_NS
            if time_ns // HOUR != hour:
                regimes.next_hour()
            volatility, shock = weather.step()
            for market, regime in zip(markets, regimes.now, strict=True):
                market.step(volatility, shock, regime.mean)
                if time_ns > after_ns:
                    yield from market.events(time_ns)

    def between(self, *_: object) -> tuple[()]:
        """Nothing: between two steps there is no price."""
        return ()

    def _past(self) -> tuple[list[FundingSettled], _Regimes, list[float]]:
        """The hours before the start: what they settled at, and how they left the premiums."""
        regimes = _Regimes(self.seed, self._shapes)
        randoms = [Random(f"{self.seed}/{pair.name}/past") for pair in self.pairs]
        premiums = [0.0 for _ in self.pairs]
        step = _reversion(_REVERSION_HOURS, 1)
        settled: list[FundingSettled] = []
        first = self.start_ns // HOUR - HISTORY_HOURS
        for hour in range(first + 1, first + HISTORY_HOURS + 1):
            regimes.next_hour()
            for i, pair in enumerate(self.pairs):
                premiums[i] = _next_premium(premiums[i], regimes.now[i].mean, step, randoms[i])
                hours = pair.perp.funding_interval_hours or 1
                rate = funding_rate(premiums[i], hours, _RULES)
                if hour % hours == 0:
                    settled.append(FundingSettled(pair.perp.id, rate, hour * HOUR, hour * HOUR))
        return settled, regimes, premiums


class _Weather:
    """What all pairs share: the market's volatility (1 is usual) and its return in deviations."""

    def __init__(self, seed: int) -> None:
        self._gauss = Random(f"{seed}/weather").gauss
        self._slow_step, self._fast_step = _reversion(_SLOW[0]), _reversion(_FAST[0])
        self._slow = self._fast = 0.0

    def step(self) -> tuple[float, float]:
        gauss, slow, fast = self._gauss, self._slow_step, self._fast_step
        self._slow = slow.keep * self._slow + slow.noise * gauss(0.0, 1.0)
        self._fast = fast.keep * self._fast + fast.noise * gauss(0.0, 1.0)
        log_volatility = _SLOW[1] * self._slow + _FAST[1] * self._fast
        # Less the variance: the mean square is then 1.
        return exp(log_volatility - _SLOW[1] ** 2 - _FAST[1] ** 2), gauss(0.0, 1.0)


class _Market:
    """One pair, a step at a time."""

    def __init__(self, seed: int, pair: Pair, shape: _Shape, premium: float) -> None:
        self._shape = shape
        self._perp_id, self._decimals = pair.perp.id, pair.perp.price_decimals
        self._perp_ladder, self._spot_ladder = Ladder(pair.perp), Ladder(pair.spot)
        self._random = Random(f"{seed}/{pair.name}")
        self._own = sqrt(1 - shape.beta**2)
        self._deviation = shape.volatility / sqrt(_STEPS_AN_HOUR)
        self._premium_step, self._noise_step = (
            _reversion(_REVERSION_HOURS),
            _reversion(_NOISE_HOURS),
        )
        self._index = shape.price
        self._premium = premium
        self._noise = 0.0
        self._width = 1.0
        self._bought = 0.5

    def step(self, volatility: float, shock: float, mean_premium: float) -> None:
        """Move on; the same draws whether or not anybody looks."""
        shape, random = self._shape, self._random
        change = volatility * (shape.beta * shock + self._own * random.gauss(0.0, 1.0))
        change *= self._deviation
        if random.random() < _JUMPS_AN_HOUR / _STEPS_AN_HOUR:
            size = min(max(random.gauss(0.0, 1.0), -2.0), 2.0)
            change += _JUMP_SIZE * shape.volatility * size
        self._index *= exp(change)
        self._premium = _next_premium(self._premium, mean_premium, self._premium_step, random)
        noise = self._noise_step
        self._noise = noise.keep * self._noise + noise.noise * random.gauss(0.0, 1.0)
        stress = max(volatility, abs(change) / (4 * self._deviation))
        self._width = min(max(stress, 0.7), 8.0)
        self._bought = 0.2 + 0.6 * random.random()

    def events(self, time_ns: int) -> list[MarketInput]:
        """Prints at the touch and a book for each leg, then mark and oracle."""
        shape, width, index = self._shape, self._width, self._index
        half_spread = shape.perp_half_spread * width
        # The exchange reads the premium off the impact prices, half a spread nearer to the index.
        seen = min(max(self._premium / _IMPACT_SHARE, -1.0), 1.0)
        mark = index * (1 + self._premium + half_spread * seen)
        legs = (
            (self._perp_ladder, mark, half_spread, shape.perp_depth, shape.perp_volume),
            (
                self._spot_ladder,
                index * (1 + self._noise * (_NOISE + shape.spot_half_spread)),
                shape.spot_half_spread * width,
                shape.spot_depth,
                shape.spot_volume,
            ),
        )
        events: list[MarketInput] = []
        for ladder, mid, half, depth, volume in legs:
            book = ladder.book(mid, half, depth / width, time_ns)
            quantity = volume * width / mid
            bought = quantity * self._bought
            if buy := ladder.trade(book.asks[0].price, bought, _BUY, time_ns):
                events.append(buy)
            if sell := ladder.trade(book.bids[0].price, quantity - bought, _SELL, time_ns):
                events.append(sell)
            events.append(book)
        mark, oracle = round(mark, self._decimals), round(index, self._decimals)
        events.append(Reference(self._perp_id, mark, oracle, time_ns, time_ns))
        return events


def generated_market(seed: int, start_ns: int, pairs: Sequence[Pair]) -> GeneratedSource:
    """The market of ``seed`` over ``pairs``, beginning at ``start_ns``: the same every time.

    Raises:
        ValueError: without pairs, or for one that the generator has no figures for.
    """
    if unknown := [pair.name for pair in pairs if pair.name not in _SHAPES]:
        raise ValueError(f"no generated market for {unknown[0]}; there are {', '.join(_SHAPES)}")
    if not pairs:
        raise ValueError("a generated market needs at least one pair")
    return GeneratedSource(seed, start_ns, tuple(pairs))


def _next_premium(value: float, mean: float, step: _Reversion, random: Random) -> float:
    deviation = max(_PREMIUM_DEVIATION, _PREMIUM_SHARE * abs(mean))
    return mean + step.keep * (value - mean) + step.noise * deviation * random.gauss(0.0, 1.0)
