"""Public events folded into what is known of each instrument now."""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from math import inf, isfinite, log, nan, sqrt
from typing import NamedTuple

from domain.instruments import Pair
from domain.market import Book, Close, FundingSettled, Level, PerpContext, PublicEvent
from domain.rates import FundingRate
from domain.time import DAY, HOUR, MINUTE, SECOND
from strategies.market.basis import (
    MEAN_HALF_LIFE_HOURS,
    UsualBasis,
    weight_of,
    with_sample,
)

SAMPLE_NS = 5 * MINUTE
IN_STEP_NS = 10 * SECOND
"""Legs quoted further apart than this have no basis: it would be what the price did meanwhile."""
HISTORY_NS = 60 * DAY
TRADED_NS = 3 * DAY
TRADED_HOURS_MAX = 1.0
"""After a longer silence nobody knows at which prices was traded."""
CLOSES = 24 * 15
"""Of so many hours the close is kept."""
CLOCK_ERROR_NS = MINUTE
"""An event stamped further ahead of its arrival is refused: accepted, it would
make every later one look old."""

VOLATILITY_HALF_LIFE_HOURS = 24.0
FREAK_SIGMAS = 10.0
VARIANCE_FLOOR = 1e-6
_FREAK = FREAK_SIGMAS**2
_FREAK_AT_LEAST = _FREAK * VARIANCE_FLOOR


class Settlement(NamedTuple):
    """One published funding rate: fraction ``per_hour``, over ``hours``, ending at ``time_ns``."""

    time_ns: int
    per_hour: float
    hours: float


class Traded(NamedTuple):
    """What was traded in the ``hours`` to ``time_ns``: ``volume`` base units around ``price``."""

    time_ns: int
    hours: float
    low: float
    high: float
    price: float
    volume: float


class Walk(NamedTuple):
    """What taking from a book would give: prices quote/base, ``filled`` base units.

    Prices are ``nan`` where nothing fills.
    """

    average: float
    worst: float
    filled: float


def walk(levels: Sequence[Level], quantity: float) -> Walk:
    """Take ``quantity`` base units from ``levels``, best first.

    Stops at the first level that is not a positive finite price and size, so a
    damaged book is only ever too thin, never too good.

    >>> walk((Level(100.0, 1.0), Level(101.0, 2.0)), 2.0)
    Walk(average=100.5, worst=101.0, filled=2.0)
    """
    cost = filled = 0.0
    worst = nan
    for level in levels:
        price, size = level.price, level.size
        if not (0.0 < price < inf and 0.0 < size < inf):
            break
        take = quantity - filled
        if take <= 0.0:
            break
        worst = price
        if size >= take:
            return Walk((cost + take * price) / quantity, worst, quantity)
        filled += size
        cost += size * price
    return Walk(cost / filled if filled else nan, worst, filled)


class InstrumentState:
    """The newest accepted word on one instrument.

    ``bid``, ``ask``, ``mid`` (quote/base) stay at the last accepted book;
    whether they may be acted on is ``is_fresh``. After a refused book ``bids``
    and ``asks`` are empty until a good one comes. ``mark``, ``oracle`` and
    ``predicted`` are of perps. ``volatility`` is realized, a fraction per
    square root of an hour, from mids at least five minutes apart, None in the
    first hour. ``open_interest`` is base units, None where not known; ``traded`` of a perp in
    order of time, for three days, by the venue's bars and its daily volume.
    ``closes`` are the mids in which hours ended, by hour since 1970, from samples at most five
    minutes before, or a bar's length where history told them; an hour without quotes has none.
    ``late`` counts events older than what is known or already known, ``rejected`` those that
    cannot be true.
    ``backfills`` grows when a settlement arrives out of order.
    """

    __slots__ = (
        "ask",
        "asks",
        "backfills",
        "bid",
        "bids",
        "closes",
        "context_received_ns",
        "context_usable",
        "context_venue_time_ns",
        "hours_of_funding",
        "instrument",
        "late",
        "mark",
        "mid",
        "open_interest",
        "oracle",
        "predicted",
        "received_ns",
        "rejected",
        "sample_due_ns",
        "sampled_hours",
        "sampled_mid",
        "sampled_ns",
        "settled",
        "traded",
        "traded_high",
        "traded_low",
        "traded_ns",
        "usable",
        "variance",
        "venue_time_ns",
    )

    def __init__(self, instrument: str) -> None:
        self.instrument = instrument
        self.bids: tuple[Level, ...] = ()
        self.asks: tuple[Level, ...] = ()
        self.bid: float | None = None
        self.ask: float | None = None
        self.mid: float | None = None
        self.usable = False
        self.venue_time_ns = 0
        self.received_ns = 0
        self.mark: float | None = None
        self.oracle: float | None = None
        self.predicted: FundingRate | None = None
        self.context_usable = False
        self.context_venue_time_ns = 0
        self.context_received_ns = 0
        self.settled: deque[Settlement] = deque()
        self.hours_of_funding = 0.0
        self.backfills = 0
        self.late = 0
        self.rejected = 0
        self.sample_due_ns = 0
        self.sampled_ns = 0
        self.sampled_mid = nan
        self.sampled_hours = 0.0
        self.variance = 0.0
        self.open_interest: float | None = None
        self.traded: deque[Traded] = deque()
        self.traded_ns = 0
        self.traded_low = inf
        self.traded_high = 0.0
        self.closes: deque[tuple[int, float]] = deque(maxlen=CLOSES)

    @property
    def spread(self) -> float | None:
        """Best offer less best bid, quote/base."""
        return None if self.bid is None or self.ask is None else self.ask - self.bid

    @property
    def volatility(self) -> float | None:
        return sqrt(self.variance) if self.sampled_hours >= 1.0 else None

    def is_fresh(self, now_ns: int, age_ns_max: int) -> bool:
        """The newest book is usable and reached us at most ``age_ns_max`` ago, by our clock."""
        return self.usable and now_ns - self.received_ns <= age_ns_max

    def has_fresh_context(self, now_ns: int, age_ns_max: int) -> bool:
        """The same of mark, oracle and predicted funding."""
        return self.context_usable and now_ns - self.context_received_ns <= age_ns_max


def basis_now(spot: InstrumentState, perp: InstrumentState) -> float | None:
    """Perp over spot, less one, by the newest mids; None until both were quoted."""
    return perp.mid / spot.mid - 1.0 if spot.mid and perp.mid else None


class Market:
    """Every instrument's state, and the usual basis of ``pairs``.

    One ``observe`` an event. By the venue's own time an older event never
    overwrites a newer one; impossible prices (not finite, not positive,
    crossed, locked, one-sided) are counted and make the book unusable.
    """

    def __init__(self, pairs: Iterable[Pair] = ()) -> None:
        self._states: dict[str, InstrumentState] = {}
        self._legs: dict[str, list[tuple[str, str]]] = {}  # instrument -> (spot, perp) it is in
        for pair in pairs:
            for leg in (pair.spot.id, pair.perp.id):
                self._legs.setdefault(leg, []).append((pair.spot.id, pair.perp.id))
        self._basis: dict[str, UsualBasis] = {}

    def of(self, instrument_id: str) -> InstrumentState | None:
        """State of ``VENUE:SYMBOL``; None while nothing of it has been seen."""
        return self._states.get(instrument_id)

    def usual_basis(self, pair: Pair) -> UsualBasis | None:
        """None until both legs were quoted at one time."""
        return self._basis.get(pair.perp.id)

    @property
    def usual(self) -> dict[str, UsualBasis]:
        """The usual basis of every pair of which one is known, by its perp."""
        return dict(self._basis)

    def remember(self, usual: Mapping[str, UsualBasis], now_ns: int) -> None:
        """Take over what was known before a start, where that is more than has been seen since.

        Nothing older than the mean remembers: the first sample after it would be most of it.
        """
        for perp_id, before in usual.items():
            seen = self._basis.get(perp_id)
            known = seen.hours if seen is not None else 0.0
            if known < before.hours and now_ns - before.sampled_ns <= MEAN_HALF_LIFE_HOURS * HOUR:
                self._basis[perp_id] = before

    def observe(self, event: PublicEvent) -> None:
        """Fold one event in."""
        state = self._states.get(event.instrument)
        if state is None:
            state = self._states[event.instrument] = InstrumentState(event.instrument)
        venue_time_ns = event.venue_time_ns
        if venue_time_ns > event.received_ns + CLOCK_ERROR_NS:
            state.rejected += 1
        elif type(event) is Book:  # a fraction of isinstance, and asked millions of times
            if venue_time_ns < state.venue_time_ns:
                state.late += 1
                return
            state.venue_time_ns = venue_time_ns
            bids, asks = event.bids, event.asks
            if bids and asks:
                best_bid, best_ask = bids[0], asks[0]
                bid, ask = best_bid.price, best_ask.price
                if (
                    0.0 < bid < ask < inf
                    and 0.0 < best_bid.size < inf
                    and 0.0 < best_ask.size < inf
                ):
                    state.bids = bids
                    state.asks = asks
                    state.bid = bid
                    state.ask = ask
                    state.mid = (bid + ask) * 0.5
                    state.usable = True
                    state.received_ns = event.received_ns
                    if venue_time_ns >= state.sample_due_ns:
                        self._sample(state)
                    return
            state.rejected += 1
            state.usable = False
            state.bids = state.asks = ()
        elif type(event) is PerpContext:
            _fold_context(state, event)
        elif type(event) is Close:
            self._fold_close(state, event)
        elif type(event) is FundingSettled:
            _fold_settlement(state, event)

    def _fold_close(self, state: InstrumentState, event: Close) -> None:
        """A sample of volatility, and what was traded: only a book is acted on."""
        if not 0.0 < event.price < inf:
            state.rejected += 1
            return
        if 0.0 < event.hours < inf and event.venue_time_ns > state.traded_ns:
            _fold_bar(state, event)
        if event.venue_time_ns >= max(state.sample_due_ns, state.venue_time_ns + 1):
            state.mid, state.venue_time_ns = event.price, event.venue_time_ns
            self._sample(state)

    def _sample(self, state: InstrumentState) -> None:
        """Volatility and basis from prices a fixed time apart: busy feeds count no more than
        quiet ones."""
        mid, now_ns = state.mid, state.venue_time_ns
        assert mid is not None, "Invariant: only accepted books are sampled"
        state.sample_due_ns = now_ns + SAMPLE_NS
        if state.sampled_ns:
            if (hour := state.sampled_ns // HOUR) != now_ns // HOUR:
                state.closes.append((hour, state.sampled_mid))
            hours = (now_ns - state.sampled_ns) / HOUR
            seen = state.sampled_hours + hours
            weight = weight_of(hours, seen, VOLATILITY_HALF_LIFE_HOURS)
            move = log(mid / state.sampled_mid)
            rate = move * move / hours
            if rate > _FREAK_AT_LEAST and state.sampled_hours >= 1.0:
                # One freak price is not a volatile market; several in a row soon are.
                rate = min(rate, _FREAK * max(state.variance, VARIANCE_FLOOR))
            state.variance += weight * (rate - state.variance)
            state.sampled_hours = seen
        state.sampled_ns, state.sampled_mid = now_ns, mid
        for spot_id, perp_id in self._legs.get(state.instrument, ()):
            spot, perp = self._states.get(spot_id), self._states.get(perp_id)
            if (
                spot is not None
                and perp is not None
                and abs(spot.venue_time_ns - perp.venue_time_ns) <= IN_STEP_NS
                and spot.usable
                and perp.usable
                and spot.mid
                and perp.mid
            ):
                known = self._basis.get(perp_id)
                self._basis[perp_id] = with_sample(known, perp.mid / spot.mid - 1.0, now_ns)


def _fold_context(state: InstrumentState, event: PerpContext) -> None:
    if event.venue_time_ns < state.context_venue_time_ns:
        state.late += 1
        return
    state.context_venue_time_ns = event.venue_time_ns
    mark, oracle, predicted = event.mark, event.oracle, event.predicted
    # A rate that was found sound is not looked at again.
    if (
        0.0 < mark < inf
        and 0.0 < oracle < inf
        and (predicted is state.predicted or _is_rate(predicted))
    ):
        state.mark = mark
        state.oracle = oracle
        state.predicted = predicted
        state.context_usable = True
        state.context_received_ns = event.received_ns
        if event.open_interest is not None:
            _fold_interest(state, event)
    else:
        state.rejected += 1
        state.context_usable = False


def _fold_bar(state: InstrumentState, bar: Close) -> None:
    """What a bar says of where was traded; a damaged one says nothing."""
    if 0.0 < bar.low <= bar.price <= bar.high < inf and 0.0 <= bar.volume < inf:
        _add_traded(
            state,
            Traded(bar.venue_time_ns, bar.hours, bar.low, bar.high, bar.price, bar.volume),
        )


def _fold_interest(state: InstrumentState, event: PerpContext) -> None:
    """Every five minutes, the share of the daily volume that they have at the mark of then."""
    state.open_interest = event.open_interest
    mark, now_ns = event.mark, event.venue_time_ns
    state.traded_low = min(state.traded_low, mark)
    state.traded_high = max(state.traded_high, mark)
    if now_ns < state.traded_ns + SAMPLE_NS:
        return
    hours = min((now_ns - state.traded_ns) / HOUR, TRADED_HOURS_MAX)
    volume = (event.day_volume or 0.0) / mark * hours / 24.0
    _add_traded(state, Traded(now_ns, hours, state.traded_low, state.traded_high, mark, volume))
    state.traded_low = state.traded_high = mark


def _add_traded(state: InstrumentState, traded: Traded) -> None:
    state.traded.append(traded)
    state.traded_ns = traded.time_ns
    while traded.time_ns - state.traded[0].time_ns >= TRADED_NS:
        state.traded.popleft()


def _fold_settlement(state: InstrumentState, event: FundingSettled) -> None:
    """In order of settlement, each once: a stream and a query both deliver it."""
    if not _is_rate(event.rate):
        state.rejected += 1
        return
    settled = state.settled
    hours = event.rate.interval_hours
    new = Settlement(event.venue_time_ns, event.rate.per_hour, hours)
    if not settled or new.time_ns > settled[-1].time_ns + MINUTE:
        settled.append(new)
    else:
        # Venues stamp a settlement some milliseconds late, and not always the same.
        at = bisect_left(settled, new.time_ns - MINUTE, key=lambda s: s.time_ns)
        if abs(settled[at].time_ns - new.time_ns) <= MINUTE:
            state.late += 1
            return
        settled.insert(at, new)
        state.backfills += 1
    state.hours_of_funding += hours
    while settled[-1].time_ns - settled[0].time_ns >= HISTORY_NS:
        state.hours_of_funding -= settled.popleft().hours


def _is_rate(rate: FundingRate) -> bool:
    return isfinite(rate.per_interval) and 0.0 < rate.interval_hours < inf
