"""Recorded history as a market: bars become paths of quotes, prints and mark prices.

The model, stated once: a bar's path is ``path.walk``; each of its points is the
mid of a three-level book (``Ladder``) whose spread and depth follow the last
hours before it (``QuoteModel``), and a reference whose mark is the perp's mid, but never
further than ``MARK_BOUND`` from an index: the spot's price at that point, and the basis at which
the last bar closed. The oracle is the last completed perp close. Nothing published inside a bar
uses a later one.

While an order rests there is more to see: between the points books and marks on the
straight line, and at each step one print a leg with an equal share of the bar's volume,
bought on the way up at the bid that has come there, sold on the way down at the ask. What
rests is filled by them alone (``VenueRules.filled_by_books``): no more than was traded.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from decimal import Decimal
from itertools import chain, groupby, pairwise
from math import exp, sqrt
from operator import attrgetter, itemgetter
from pathlib import Path

import msgspec
from msgspec.structs import replace

from bot.backtest.bars import (
    Bars,
    DataError,
    Window,
    are_invented,
    bar_name,
    count_bars,
    find_files,
    parse_bar,
    read_bars,
)
from bot.backtest.coverage import GAP_MAX_NS, Coverage, gaps, missing_settlements
from bot.backtest.funding import read_funding
from bot.backtest.path import Candle, finer, finer_times, times, walk
from bot.instruments import Listing, QuoteModel, UnknownPair, load_listings, load_pairs
from domain.instruments import Instrument, Kind, Pair
from domain.market import (
    Book,
    Close,
    Delisted,
    FundingSettled,
    MarketInput,
    RecordedFunding,
    Reference,
    Trade,
)
from domain.money import ZERO
from domain.orders import Side
from domain.rates import FundingRate
from domain.time import DAY, HOUR, MILLISECOND
from execution.venues.simulated.ladder import Ladder

HISTORY_NS = 60 * DAY
WARM_NS = 15 * DAY
"""So far back before the start closes are read: all that a strategy remembers."""
JUNK = 0.05
"""A spot price further than this from the perp's is a print nobody could trade at."""
HALTED = 100_000.0
"""A bar without a trade, in which by the day before so much (quote) was to be expected, is one of a
halt: nobody could trade, whatever price stands in it. In a thin market it is a quiet minute."""
MARK_BOUND = 0.05
"""A mark further than this from the index is no venue's: theirs are medians of index and prices, so
that a perp may trade at thrice its spot for a minute (Binance's ETH on 2020-03-13) and liquidate
nobody. They bound it nearer; where a basis really opens, this is the careful side."""
_ENOUGH = 0.95  # of the best coverage any bar length has
_ORACLE_NOTE = "oracle: last completed perp close"

_BUY, _SELL = Side.BUY, Side.SELL

_time_of = attrgetter("venue_time_ns")

Files = dict[int, list[Path]]
Row = tuple[int, int, int]
"""(open time, perp bar or -1, spot bar or -1)"""
Step = tuple[int, bool]
"""(place of a row, whether it goes to its low first)"""
Position = Callable[[str], Decimal]
"""Base units held of a perp, by its id; short negative."""


def _nothing(_perp: str) -> Decimal:
    return ZERO


class _Leg(msgspec.Struct, frozen=True):
    """One instrument's bars, and what is known of each when it opens.

    ``ranges`` an hour's usual range as a fraction of price, ``depths`` the first
    level at the narrowest spread (quote), ``previous`` the last close.
    """

    instrument: Instrument
    quotes: QuoteModel
    bars: Bars
    ranges: Sequence[float]
    depths: Sequence[float]
    previous: Sequence[float]


class _PairHistory(msgspec.Struct, frozen=True):
    """One pair; ``rows`` are its bars, in order, from where both legs have begun."""

    perp: _Leg
    spot: _Leg
    rows: Sequence[Row]


class HistorySource:
    """A ``MarketSource`` over bars and settled funding; ``open_history`` makes one.

    ``cadence_ns`` is the length of its bars: quotes come several times a bar, so data
    younger than two bars is not stale. ``coverage`` has one entry an instrument.
    ``position`` is asked when a bar begins: its road goes first to what hurts the perp held.
    """

    synthetic: bool = False

    def __init__(
        self,
        *,
        name: str,
        pairs: tuple[Pair, ...],
        window: tuple[int, int],
        bar_ns: int,
        histories: Sequence[_PairHistory],
        funding: Sequence[FundingSettled],
        coverage: tuple[Coverage, ...],
    ) -> None:
        self.name = name
        self.venue = pairs[0].perp.venue
        self.pairs = pairs
        self.start_ns: int = window[0]
        self.end_ns: int | None = window[1]
        self._last_ns = window[1]
        self.cadence_ns = bar_ns
        self.coverage = coverage
        self.position: Position = _nothing
        self._histories = histories
        self._funding = funding
        # By perp, the open of the newest bar that goes to its low first.
        self._low_first: dict[str, int] = {}
        # By perp, the last bar that was looked at closely: its finer steps, and its prints.
        self._closest: dict[str, tuple[Step, tuple[list[MarketInput], list[MarketInput]]]] = {}

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        return tuple(leg for pair in self.pairs for leg in (pair.spot, pair.perp))

    def history(self) -> list[FundingSettled | Close]:
        """Up to ``start_ns``, in order: settled funding of 60 days, closes of 15."""
        settled = (one for one in self._funding if one.venue_time_ns <= self.start_ns)
        legs = (leg for history in self._histories for leg in (history.perp, history.spot))
        closes = (close for leg in legs for close in self._closes(leg))
        return sorted((*settled, *closes), key=_time_of)

    def _closes(self, leg: _Leg) -> Iterator[Close]:
        """Of the bars that are over at the start, where ``times`` has their last points."""
        name, after_ns = leg.instrument.id, self.start_ns - WARM_NS
        for open_ns, close in zip(leg.bars.time_ns, leg.bars.close, strict=True):
            end_ns = open_ns + self.cadence_ns
            if end_ns > self.start_ns:
                return
            if end_ns > after_ns:
                yield Close(name, close, end_ns - MILLISECOND, end_ns)

    def events(self, after_ns: int) -> Iterator[MarketInput]:
        """Every input after ``after_ns`` but prints, in order of time; at the start ``_begun``."""
        rows = [
            (*row, walker)
            for walker in (_Walker(history, self.cadence_ns) for history in self._histories)
            for row in walker.rows_after(after_ns)
        ]
        rows.sort(key=itemgetter(0))
        if after_ns <= self.start_ns:
            yield from self._begun()
        due = deque(self._due(max(after_ns, self.start_ns)))
        for open_ns, together in groupby(rows, key=itemgetter(0)):
            inputs: list[MarketInput] = []
            for _, i, j, walker in together:
                low_first = self.position(walker.perp) > 0
                self._low_first[walker.perp] = open_ns if low_first else -1
                walker.walk((open_ns, i, j), inputs, low_first=low_first)
            while due and due[0].venue_time_ns <= open_ns + self.cadence_ns:
                inputs.append(due.popleft())
            # At equal times they keep this order: a perp's reference follows both books, and
            # funding comes last, after the bar that ended has moved the oracle.
            inputs.sort(key=_time_of)
            if open_ns <= after_ns:
                inputs = [event for event in inputs if event.venue_time_ns > after_ns]
            yield from inputs
        yield from due

    def between(
        self, instruments: Collection[str], after_ns: int, before_ns: int
    ) -> list[MarketInput]:
        """Prints, books and marks on the way from point to point of ``path.walk``, and the prints
        of the point."""
        found: list[MarketInput] = []
        for history in self._histories:
            legs = history.perp.instrument.id, history.spot.instrument.id
            at = bisect_right(history.rows, after_ns, key=itemgetter(0)) - 1
            if at >= 0 and not set(legs).isdisjoint(instruments):
                finer, prints = self._closely(history, at)
                found += [event for event in prints if after_ns < event.venue_time_ns <= before_ns]
                found += [event for event in finer if after_ns < event.venue_time_ns < before_ns]
        found.sort(key=_time_of)
        return found

    def _closely(
        self, history: _PairHistory, at: int
    ) -> tuple[list[MarketInput], list[MarketInput]]:
        """One bar of a pair: its finer steps, and its prints; kept while its events are played."""
        name = history.perp.instrument.id
        row = history.rows[at]
        step = at, self._low_first.get(name) == row[0]
        kept = self._closest.get(name)
        if kept is None or kept[0] != step:
            walker = _Walker(history, self.cadence_ns)
            kept = self._closest[name] = step, walker.walk_closely(row, low_first=step[1])
        return kept[1]

    def _begun(self) -> Iterator[RecordedFunding]:
        """The newest rate of each perp, told again at the start: from it on rates are records."""
        newest = {
            one.instrument: one.rate for one in self._funding if one.venue_time_ns <= self.start_ns
        }
        for perp in (history.perp.instrument for history in self._histories):
            hours = perp.funding_interval_hours or 1
            usual = FundingRate(perp.funding_interest_hourly * hours, float(hours))
            rate = newest.get(perp.id, usual)
            yield RecordedFunding(perp.id, rate, self.start_ns, self.start_ns)

    def _due(self, after_ns: int) -> list[RecordedFunding | Delisted | Book]:
        """Settlements of funding, what is delisted, for good or for a gap, and the empty books
        with which every gap begins, in order."""
        due: list[RecordedFunding | Delisted | Book] = [
            RecordedFunding(record.instrument, record.rate, time_ns, time_ns)
            for record in self._funding
            if after_ns < (time_ns := record.venue_time_ns) < self._last_ns
        ]
        legs = (leg for history in self._histories for leg in (history.perp, history.spot))
        for leg in legs:
            opens = chain(leg.bars.time_ns, (self._last_ns,))
            name = leg.instrument.id
            for (open_ns, next_ns), close in zip(pairwise(opens), leg.bars.close, strict=True):
                end_ns = open_ns + self.cadence_ns
                if not after_ns < end_ns < next_ns:
                    continue
                due.append(Book(name, (), (), end_ns, end_ns))
                if _delisted_ns(end_ns, next_ns) is not None:
                    due.append(Delisted(name, close, end_ns, end_ns))
        return sorted(due, key=_time_of)


def open_history(
    directory: Path,
    venue: str,
    pairs: Sequence[str],
    *,
    start_ns: int | None = None,
    end_ns: int | None = None,
    bar: str | None = None,
) -> HistorySource:
    """Read ``pairs`` of ``venue`` under ``directory``, from ``start_ns`` to before ``end_ns``.

    Without ``bar``: the finest that every leg has, and that covers the window
    nearly as well as any coarser one where a start is given. Without
    ``start_ns``: the first instant that every leg has. A pair whose legs begin
    later than the start joins then.

    Raises:
        DataError: nothing usable is there; the message says what and what to do.
    """
    window = Window(start_ns, end_ns)
    if start_ns is not None and end_ns is not None and end_ns <= start_ns:
        raise DataError(f"the window {window} is empty: let the end be after the start")
    chosen, listings = _configured(venue, pairs)
    found = _find_all(directory, chosen, listings)
    bar_ns = _choose_bar(found, chosen, window, parse_bar(bar) if bar else None)
    read = [
        tuple(_read_leg(found[leg.id][bar_ns], bar_ns, window) for leg in (pair.spot, pair.perp))
        for pair in chosen
    ]
    # From when every leg has bars; where a start is asked for, from when the first pair has.
    start = _first_common(read, window)
    if start_ns is not None:
        start = max(start_ns, min(_first_common([legs], window) for legs in read))
    parts = [
        _pair_history(
            directory,
            (listings[pair.spot.symbol], listings[pair.perp.symbol]),
            (legs[0], legs[1]),
            Window(start, end_ns),
            bar_ns,
        )
        for pair, legs in zip(chosen, read, strict=True)
    ]
    histories, funding, coverage = zip(*parts, strict=True)
    ends_ns = max(history.rows[-1][0] for history in histories) + bar_ns
    source = HistorySource(
        name=f"replay:{directory}",
        pairs=chosen,
        window=(start, ends_ns),
        bar_ns=bar_ns,
        histories=histories,
        funding=sorted(chain(*funding), key=lambda record: record.venue_time_ns),
        coverage=tuple(
            replace(leg, delisted_ns=_delisted_ns(leg.last_ns, ends_ns)) for leg in chain(*coverage)
        ),
    )
    source.synthetic = are_invented(chain(*(files.get(bar_ns, ()) for files in found.values())))
    return source


def _configured(venue: str, names: Sequence[str]) -> tuple[tuple[Pair, ...], dict[str, Listing]]:
    if not names:
        raise DataError("no pairs were named: name at least one, like BTC or BTC,HYPE")
    try:
        return load_pairs(venue, names), load_listings(venue)
    except UnknownPair as error:
        raise DataError(str(error)) from None


def _find_all(
    directory: Path, pairs: Sequence[Pair], listings: dict[str, Listing]
) -> dict[str, Files]:
    """The files of every leg, by instrument id and bar length."""
    if not directory.is_dir():
        raise DataError(f"no directory {str(directory)!r}: give the one that holds prices/")
    venue = pairs[0].perp.venue
    if not (directory / "prices" / venue).is_dir():
        known = sorted(path.name for path in (directory / "prices").glob("*") if path.is_dir())
        raise DataError(
            f"no prices/{venue} in {str(directory)!r}: it holds {', '.join(known) or 'no prices'}"
        )
    found = {}
    for leg in (leg for pair in pairs for leg in (pair.spot, pair.perp)):
        symbol = listings[leg.symbol].history
        found[leg.id] = find_files(directory, venue, leg.kind, symbol)
        if not found[leg.id]:
            raise DataError(
                f"no {leg.kind} bars of {leg.symbol}: put {symbol}_<bar>.parquet into "
                f"{directory / 'prices' / venue / leg.kind}, or name other pairs by --pairs"
            )
    return found


def _choose_bar(
    found: dict[str, Files], pairs: Sequence[Pair], window: Window, asked: int | None
) -> int:
    """The bar length to read: see ``open_history``."""
    lengths = sorted({length for files in found.values() for length in files})
    if asked is not None and asked not in lengths:
        have = ", ".join(map(bar_name, lengths))
        raise DataError(f"no bars of {bar_name(asked)} for these pairs: there are {have}")
    covered = {
        length: [_covered(found, pair, length, window) for pair in pairs]
        for length in (lengths if asked is None else [asked])
    }
    common = {length: sum(times) for length, times in covered.items() if all(times)}
    if not common:
        lacking = [
            pair.name
            for i, pair in enumerate(pairs)
            if not any(times[i] for times in covered.values())
        ]
        what = "bars common to both legs" if asked is None else f"bars of {bar_name(asked)}"
        who = (
            f"{', '.join(lacking)}: no {what}"
            if lacking
            else "no length of bar that all pairs have"
        )
        raise DataError(f"{who} {window}: choose another window, bar or pair")
    enough = _ENOUGH * max(common.values()) if window.start_ns is not None else 0.0
    return min(length for length, time in common.items() if time >= enough)


def _covered(found: dict[str, Files], pair: Pair, bar_ns: int, window: Window) -> int:
    """Nanoseconds of the window for which both legs have bars, at most."""
    legs = (found[pair.spot.id].get(bar_ns, []), found[pair.perp.id].get(bar_ns, []))
    return min(count_bars(files, bar_ns, window) if files else 0 for files in legs) * bar_ns


def _read_leg(files: Sequence[Path], bar_ns: int, window: Window) -> Bars:
    """More than asked: of before the start too, what is known when it comes."""
    start = None if window.start_ns is None else window.start_ns - WARM_NS
    return read_bars(files, bar_ns, Window(start, window.end_ns))


def _delisted_ns(last_ns: int | None, next_ns: int) -> int | None:
    """When an instrument went whose bars end at ``last_ns``, with none until ``next_ns``."""
    return last_ns if last_ns is not None and last_ns + GAP_MAX_NS < next_ns else None


def _first_common(read: Sequence[tuple[Bars, ...]], window: Window) -> int:
    firsts = [bars.time_ns[0] for legs in read for bars in legs]
    lasts = [bars.time_ns[-1] for legs in read for bars in legs]
    if max(firsts) > min(lasts):
        raise DataError(f"the legs have no time in common {window}: leave a pair out")
    return max(firsts)


def _pair_history(
    directory: Path,
    legs: tuple[Listing, Listing],
    bars: tuple[Bars, Bars],
    window: Window,
    bar_ns: int,
) -> tuple[_PairHistory, list[FundingSettled], tuple[Coverage, Coverage]]:
    """One pair, (spot, perp) throughout, with its funding and what there is of each leg."""
    assert window.start_ns is not None, "Invariant: the start is resolved before"
    start, perp = window.start_ns, legs[1].instrument
    open_bars = _without_halts(bars[0], bar_ns), _without_halts(bars[1], bar_ns)
    spot_bars, junk, capped = _tradable(*open_bars, start)
    spot_leg, perp_leg = _leg(legs[0], spot_bars, bar_ns), _leg(legs[1], open_bars[1], bar_ns)
    rows = _rows(open_bars[1].time_ns, spot_bars.time_ns, start)
    if not rows:
        raise DataError(
            f"{perp.base} has no bar {window} that both legs share and that is near the perp's "
            "price: choose another window or leave the pair out"
        )
    end_ns = None if window.end_ns is None else window.end_ns + HOUR // 2
    settled = read_funding(directory, perp, legs[1].history, Window(start - HISTORY_NS, end_ns))
    if not any(record.venue_time_ns > start for record in settled):
        raise DataError(
            f"no funding of {perp.symbol} {window} under {directory / 'funding'}: "
            "choose a window that has some"
        )
    coverage = (
        _coverage(spot_leg, start, bar_ns, (junk, capped), None),
        _coverage(perp_leg, start, bar_ns, (0, 0), settled),
    )
    return _PairHistory(perp_leg, spot_leg, rows), settled, coverage


def _without_halts(bars: Bars, bar_ns: int) -> Bars:
    """The bars in which somebody could trade: see ``HALTED``. The others are a gap."""
    if all(bars.volume):
        return bars
    keep, usual = exp(-bar_ns / DAY), 0.0
    kept = []
    for i, (close, volume) in enumerate(zip(bars.close, bars.volume, strict=True)):
        if volume or usual * close < HALTED:
            kept.append(i)
            usual += (1 - keep) * (volume - usual)
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    return Bars(
        array("q", (bars.time_ns[i] for i in kept)),
        *(array("d", (column[i] for i in kept)) for column in columns),
    )


def _tradable(spot: Bars, perp: Bars, start_ns: int) -> tuple[Bars, int, int]:
    """Spot bars without junk: the bars kept, and from ``start_ns`` how many were dropped or capped.

    A bar that opens or closes more than ``JUNK`` from the perp is dropped; an
    extreme more than ``JUNK`` beyond the perp's is cut back to there.
    """
    places = {time: i for i, time in enumerate(perp.time_ns)}
    kept: list[tuple[int, float, float, float, float, float]] = []
    junk = capped = 0
    rows = zip(spot.time_ns, spot.open, spot.high, spot.low, spot.close, spot.volume, strict=True)
    for time, opened, high, low, close, volume in rows:
        if (i := places.get(time)) is None:
            kept.append((time, opened, high, low, close, volume))
            continue
        if abs(close / perp.close[i] - 1) > JUNK or abs(opened / perp.open[i] - 1) > JUNK:
            junk += time >= start_ns
            continue
        highest = max(opened, close, min(high, perp.high[i] * (1 + JUNK)))
        lowest = min(opened, close, max(low, perp.low[i] * (1 - JUNK)))
        capped += time >= start_ns and (highest < high or lowest > low)
        kept.append((time, opened, highest, lowest, close, volume))
    columns = list(zip(*kept, strict=True)) or [()] * 6
    return (
        Bars(array("q", columns[0]), *(array("d", column) for column in columns[1:])),
        junk,
        capped,
    )


def _leg(listing: Listing, bars: Bars, bar_ns: int) -> _Leg:
    """Look back only: what is known of range and volume when each bar opens."""
    if listing.quotes is None:
        raise DataError(f"{listing.instrument.id} has no quotes in config/venues: add them")
    keep_range, keep_volume = exp(-bar_ns / HOUR), exp(-bar_ns / DAY)
    hourly = HOUR / bar_ns
    ranges, depths = array("d"), array("d")
    recent_range = recent_volume = 0.0
    for high, low, close, volume in zip(bars.high, bars.low, bars.close, bars.volume, strict=True):
        ranges.append(recent_range)
        depths.append(
            max(listing.quotes.depth_floor, listing.quotes.depth_of_volume * recent_volume)
        )
        # A range grows with the square root of time, a volume with time.
        recent_range += (1 - keep_range) * ((high - low) / close * sqrt(hourly) - recent_range)
        recent_volume += (1 - keep_volume) * (volume * close * hourly - recent_volume)
    previous = array("d", [bars.open[0], *bars.close[:-1]]) if len(bars) else array("d")
    return _Leg(listing.instrument, listing.quotes, bars, ranges, depths, previous)


def _rows(perp: Sequence[int], spot: Sequence[int], start_ns: int) -> Sequence[Row]:
    perps = {time: i for i, time in enumerate(perp)}
    spots = {time: i for i, time in enumerate(spot)}
    joined = min((time for time in spot if time in perps and time >= start_ns), default=None)
    if joined is None:
        return []
    union = sorted({time for time in (*perp, *spot) if time >= joined})
    return [(time, perps.get(time, -1), spots.get(time, -1)) for time in union]


def _coverage(
    leg: _Leg,
    start_ns: int,
    bar_ns: int,
    refused: tuple[int, int],
    settled: Sequence[FundingSettled] | None,
) -> Coverage:
    begin = bisect_left(leg.bars.time_ns, start_ns)
    inside = leg.bars.time_ns[begin:]
    missing, longest = gaps(inside, bar_ns)
    first, last = (inside[0], inside[-1] + bar_ns) if inside else (None, None)
    idle = [volume for volume in leg.bars.volume[begin:] if not volume]
    absent = None
    if settled is not None and first is not None and last is not None:
        usual = leg.instrument.funding_interval_hours or 1
        absent = missing_settlements(settled, first, last, usual)
    return Coverage(
        instrument=leg.instrument.id,
        bar=bar_name(bar_ns),
        first_ns=first,
        last_ns=last,
        bars=len(inside),
        missing_bars=missing,
        longest_gap_ns=longest,
        zero_volume_share=len(idle) / len(inside) if inside else 0.0,
        junk_bars=refused[0],
        capped_bars=refused[1],
        funding_missing=absent,
        note=_ORACLE_NOTE if leg.instrument.kind is Kind.PERP else "",
    )


class _Walker:
    """What one pair's market does inside its bars."""

    def __init__(self, history: _PairHistory, bar_ns: int) -> None:
        self._rows, self._bar_ns = history.rows, bar_ns
        self._perp, self._spot = _Quoter(history.perp), _Quoter(history.spot)
        self.perp = history.perp.instrument.id

    def rows_after(self, after_ns: int) -> Sequence[Row]:
        """The bars that end after ``after_ns``, and the one that ends there."""
        return self._rows[bisect_left(self._rows, (after_ns - self._bar_ns, -1, -1)) :]

    def walk(self, row: Row, inputs: list[MarketInput], *, low_first: bool) -> None:
        """Append the books and marks of one bar, and at its end the mark it closed at."""
        quoted, paths, instants = self._paths(row, low_first=low_first)
        for (quoter, at), path in zip(quoted, paths, strict=True):
            inputs += quoter.books(at, path, instants)
        time_ns, i, _ = row
        if i >= 0:
            inputs += self._perp.references(i, self._marks(row, paths), instants)
            # The bar is complete: its close is known, and the oracle is there.
            inputs.append(self._perp.reference_at_close(i, time_ns + self._bar_ns))

    def walk_closely(
        self, row: Row, *, low_first: bool
    ) -> tuple[list[MarketInput], list[MarketInput]]:
        """Books and marks of one bar in finer steps; and what was traded on the way."""
        quoted, paths, instants = self._paths(row, low_first=low_first)
        paths, instants = [finer(path) for path in paths], finer_times(instants)
        closely: list[MarketInput] = []
        prints: list[MarketInput] = []
        for (quoter, at), path in zip(quoted, paths, strict=True):
            books = quoter.books(at, path, instants)
            closely += books
            prints += quoter.prints(at, path, books)
        if row[1] >= 0:
            closely += self._perp.references(row[1], self._marks(row, paths), instants)
        return closely, prints

    def _paths(
        self, row: Row, *, low_first: bool
    ) -> tuple[list[tuple["_Quoter", int]], list[list[float]], list[int]]:
        """The legs that have the bar, the path of each, and when they come by its points."""
        time_ns, i, j = row
        quoted = [(quoter, at) for quoter, at in ((self._perp, i), (self._spot, j)) if at >= 0]
        paths = walk(*(quoter.candle(at, low_first=low_first) for quoter, at in quoted))
        return quoted, paths, times(time_ns, self._bar_ns, len(paths[0]))

    def _marks(self, row: Row, paths: Sequence[Sequence[float]]) -> Sequence[float]:
        """The perp's prices, bounded by an index where the spot has traded."""
        _, i, j = row
        perp, spot = self._perp.leg, self._spot.leg
        if j < 0 or not spot.bars.volume[j]:
            return paths[0]
        usual = perp.previous[i] / spot.previous[j]
        low, high = usual * (1.0 - MARK_BOUND), usual * (1.0 + MARK_BOUND)
        dearest, cheapest = perp.bars.high[i], perp.bars.low[i]
        if dearest <= high * spot.bars.low[j] and cheapest >= low * spot.bars.high[j]:
            return paths[0]  # as nearly always
        return [min(max(p, s * low), s * high) for p, s in zip(*paths, strict=True)]


class _Quoter:
    """Books, prints and marks along the paths of one leg."""

    def __init__(self, leg: _Leg) -> None:
        self.leg = leg
        self._ladder = Ladder(leg.instrument)

    def candle(self, i: int, *, low_first: bool) -> Candle:
        bars = self.leg.bars
        if low_first:
            return bars.open[i], bars.low[i], bars.high[i], bars.close[i]
        return bars.open[i], bars.high[i], bars.low[i], bars.close[i]

    def books(self, i: int, path: Sequence[float], instants: Sequence[int]) -> list[Book]:
        """The book at each point."""
        leg, make_book = self.leg, self._ladder.book
        floor, share = leg.quotes.half_spread_bps * 1e-4, leg.quotes.spread_of_range
        usual, depth = leg.ranges[i], leg.depths[i] * floor
        quiet = floor + share * usual
        highest = lowest = leg.previous[i]
        found = []
        for price, instant in zip(path, instants, strict=True):
            if price > highest:
                highest = price
            elif price < lowest:
                lowest = price
            moved = (highest - lowest) / price
            half = floor + share * moved if moved > usual else quiet
            found.append(make_book(price, half, depth / half, instant))
        return found

    def references(self, i: int, path: Sequence[float], instants: Sequence[int]) -> list[Reference]:
        """The mark at each point, over the last completed close: at the last point this bar's.

        The exchange charges the funding of an hour on the oracle that it knew before it.
        """
        perp, oracle = self.leg.instrument, self.leg.previous[i]
        perp_id, decimals = perp.id, perp.price_decimals
        found = [
            Reference(perp_id, round(price, decimals), oracle, instant, instant)
            for price, instant in zip(path, instants, strict=True)
        ]
        found[-1] = replace(found[-1], oracle=self.leg.bars.close[i])
        return found

    def reference_at_close(self, i: int, time_ns: int) -> Reference:
        close = self.leg.bars.close[i]
        return Reference(self.leg.instrument.id, close, close, time_ns, time_ns)

    def prints(self, i: int, path: Sequence[float], books: Sequence[Book]) -> list[Trade]:
        """At each point a trade at the quote that has come there: the bid on the way up."""
        make_trade, quantity = self._ladder.trade, self.leg.bars.volume[i] / len(path)
        found = []
        before, rising = self.leg.previous[i], False
        for price, book in zip(path, books, strict=True):
            # Unmoved, the sides take turns.
            rising = price > before if price != before else not rising
            before = price
            side, touch = (_BUY, book.bids[0]) if rising else (_SELL, book.asks[0])
            if trade := make_trade(touch.price, quantity, side, book.venue_time_ns):
                found.append(trade)
        return found
