"""A recording as a market source: the same messages, at the times at which they were heard."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from bot.backtest.bars import DataError
from bot.feeds.heard import Heard, read, recording
from bot.feeds.tape import Past, Tape
from bot.instruments import load_pairs
from bot.transport import is_here
from domain.market import Close, FundingSettled, MarketInput
from execution.venues.hyperliquid import candles, public, watch
from execution.venues.hyperliquid.symbols import VENUE, Listing
from execution.venues.hyperliquid.watch import Reader
from execution.venues.hyperliquid.wire import (
    Candle,
    Frame,
    FundingRow,
    Meta,
    SpotMeta,
    decode,
    nanoseconds,
)

T = TypeVar("T")


class _Request(msgspec.Struct, frozen=True):
    coin: str


class _Where(msgspec.Struct, frozen=True):
    url: str


class _Question(msgspec.Struct, frozen=True):
    type: str
    coin: str = ""
    req: _Request | None = None


class RecordedTape(Tape):
    """Read again as often as it is asked for."""

    def __init__(
        self, directory: Path, listing: Listing, past: Past, window: tuple[int, int]
    ) -> None:
        super().__init__(f"replay:{directory}", VENUE, listing.pairs, past, window[0])
        self.end_ns = window[1]
        self._directory, self._listing = directory, listing

    def events(self, after_ns: int) -> Iterator[MarketInput]:
        if after_ns <= self.start_ns:
            yield from self.begun()
        reader = Reader(self._listing)
        reader.know(self._past)
        last_ns = self.start_ns
        for heard in read(recording(self._directory)):
            inputs = _inputs(reader, heard)
            if inputs and heard.at > self.start_ns:
                last_ns = max(heard.at, last_ns + 1)
                if last_ns > after_ns:
                    for event in inputs:
                        yield msgspec.structs.replace(event, venue_time_ns=last_ns)


def open_recording(directory: Path, names: Sequence[str] | None) -> RecordedTape:
    """A recording of ``fundarb record``, for the pairs of ``names`` (all that it has when None).

    Raises:
        DataError: it holds no such pairs, or nothing that can be replayed.
        UnknownPair: a name is not in the configuration.
    """
    opening, start_ns = _opening(directory)
    end_ns = max((heard.at for heard in read(recording(directory)[-1:])), default=0)
    if not start_ns or end_ns <= start_ns:
        raise DataError(f"{directory} holds no stream: record for longer")
    asked = {coin for coin, _ in _answers(opening, "fundingHistory", list[FundingRow])}
    pairs = [pair for pair in load_pairs(VENUE, names) if pair.perp.base in asked]
    lacking = set(names or ()) - {pair.name for pair in pairs}
    if lacking or not pairs:
        what = ", ".join(sorted(lacking)) or "any pair"
        raise DataError(
            f"{directory} was not recorded for {what}: it has {', '.join(sorted(asked))}"
        )
    try:
        (_, meta), *_ = _answers(opening, "meta", Meta)
        (_, spot_meta), *_ = _answers(opening, "spotMeta", SpotMeta)
        listing = watch.listed(meta, spot_meta, pairs)
        past = sorted(_past(opening, listing), key=lambda event: event.venue_time_ns)
    except ValueError as error:
        raise DataError(f"{directory}: {error}") from None
    tape = RecordedTape(directory, listing, past, (start_ns, end_ns))
    tape.synthetic = any(is_here(told.url) for _, told in _answers(opening, "recording", _Where))
    return tape


def _opening(directory: Path) -> tuple[list[Heard], int]:
    """What was asked before the stream began, and when it began (0: never)."""
    opening: list[Heard] = []
    for heard in read(recording(directory)):
        if heard.unasked:
            return opening, heard.at
        opening.append(heard)
    return opening, 0


def _answers(heard: Iterable[Heard], kind: str, of: type[T]) -> Iterator[tuple[str, T]]:
    """(coin, answer) of every question of this kind."""
    for line in heard:
        if line.unasked:
            continue
        question = decode(line.asked, _Question)
        if question.type == kind:
            coin = question.coin if question.req is None else question.req.coin
            yield coin, decode(line.said, of)


def _past(opening: list[Heard], listing: Listing) -> Iterator[FundingSettled | Close]:
    for _, rows in _answers(opening, "fundingHistory", list[FundingRow]):
        for row in rows:
            if row.coin in listing.by_coin:
                yield public.funding_settled(listing, row, nanoseconds(row.time))
    at_ns = opening[-1].at
    for coin, bars in _answers(opening, "candleSnapshot", list[Candle]):
        if coin in listing.by_coin:
            yield from candles.closes(listing.by_coin[coin], bars, at_ns)


def _inputs(reader: Reader, heard: Heard) -> list[MarketInput]:
    if heard.unasked:
        return reader.inputs(decode(heard.said, Frame), heard.at)
    rows = [
        row for _, rows in _answers([heard], "fundingHistory", list[FundingRow]) for row in rows
    ]
    return reader.rates(rows, heard.at)
