"""Fetch a venue's history into the files that backtests read: bars, and settled funding.

A file has no hole of our making: it is extended at its end page by page, each page on disk
before the next is asked for, and at its beginning only by all that was missing there. So an
interrupted fetch goes on where it stopped.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bot.backtest.bars import bar_name, collected, reading
from bot.clock import SteadyClock
from bot.instruments import load_listings, load_pairs
from bot.run import RunError, Stopped
from bot.transport import HttpTransport, is_here
from domain.time import DAY, HOUR, MILLISECOND
from execution.ports import TransportFailed
from execution.venues.hyperliquid import candles, units, watch
from execution.venues.hyperliquid.info import Info
from execution.venues.hyperliquid.symbols import VENUE, Listing
from execution.venues.hyperliquid.timing import Timing
from execution.venues.hyperliquid.wire import BadMessage, hourly_rate, market, not_negative

if TYPE_CHECKING:
    import polars as pl

BARS_KEPT = 5_000
"""So many of the newest bars of each length the venue keeps."""
FUNDING_BEFORE_NS = 60 * DAY
"""Backtests read funding of so long before their start."""
WEIGHT_PER_MINUTE = 600.0
"""Half of what the venue allows an address: a bot may be running beside."""
_WEIGHT, _RATES_PER_WEIGHT, _BARS_PER_WEIGHT = 20.0, 20, 60
_ATTEMPTS = 7  # a minute
TIME = "ts_ms"
FETCHED, SYNTHETIC = "fetched", "synthetic"
"""What the names of the files end in; an exchange on this machine has an invented market."""

Page = dict[str, list[Any]]


class Wanted(msgspec.Struct, frozen=True):
    """``names`` of pairs, their bars of ``bar_ns`` that begin from ``start_ns`` to before
    ``end_ns``, and funding from sixty days before that on. None: as far as there is."""

    names: tuple[str, ...] | None
    bar_ns: int
    start_ns: int | None
    end_ns: int | None


class Part(msgspec.Struct, frozen=True):
    """One file: ``step_ns`` from row to row, ``from_ns`` to ``to_ns`` what is wanted in it."""

    path: Path
    coin: str
    symbol: str
    kind: str
    step_ns: int
    from_ns: int
    to_ns: int


class Fetched(msgspec.Struct, frozen=True):
    """What is in a file now. Times are of rows, ns; ``added`` rows are new."""

    path: Path
    symbol: str
    kind: str
    rows: int
    added: int
    first_ns: int | None
    last_ns: int | None


OnProgress = Callable[[Part, float, int], None]
"""A file, the share of it that is there, its rows."""


class Budget:
    """Lets requests of a weight pass, ``per_minute`` in the long run and what comes in
    ``seconds_at_once``."""

    def __init__(self, per_minute: float, seconds_at_once: float = 5.0) -> None:
        self._seconds_each, self._at_once = 60.0 / per_minute, seconds_at_once
        self._free_at = 0.0

    async def spend(self, weight: float) -> None:
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now - self._at_once) + weight * self._seconds_each
        await asyncio.sleep(max(self._free_at - now, 0.0))


def budget_of(url: str) -> Budget:
    """Of an exchange on this machine at once what it takes in a minute."""
    return Budget(WEIGHT_PER_MINUTE, 60.0 if is_here(url) else 5.0)


async def fetch(
    url: str,
    directory: Path,
    wanted: Wanted,
    on_progress: OnProgress,
    should_stop: Callable[[], bool],
    budget: Budget,
) -> list[Fetched]:
    """Every file that is wanted, up to date.

    Raises:
        RunError: the venue does not answer, or lacks one of the pairs. What was fetched stays.
        DataError: a file that is there cannot be read.
        Stopped: as asked; what was fetched is on disk.
    """
    clock, timing = SteadyClock(), Timing(read_timeout=10.0)
    async with HttpTransport(url) as transport:
        info = Info(transport, "", timing.read_timeout, lambda: None)
        try:
            listing = await watch.load(transport, load_pairs(VENUE, wanted.names), timing)
            parts = _parts(directory, listing, wanted, clock.now_ns(), synthetic=is_here(url))
            return [
                await _Fetch(info, part, budget, on_progress, should_stop).run() for part in parts
            ]
        except (TransportFailed, BadMessage) as error:
            raise RunError(
                f"{url} does not answer as Hyperliquid: {error}. What was fetched is kept: the "
                "same command goes on from there"
            ) from error
        except ValueError as error:
            raise RunError(str(error)) from error


def _parts(
    directory: Path, listing: Listing, wanted: Wanted, now_ns: int, *, synthetic: bool
) -> list[Part]:
    """Bars of every leg, then funding of every perp. A bar that is not over is none."""
    bar_ns, symbols = wanted.bar_ns, load_listings(VENUE)
    end_ns = min(wanted.end_ns or now_ns, now_ns) // bar_ns * bar_ns
    oldest_ns = end_ns - BARS_KEPT * bar_ns
    start_ns = -(-(wanted.start_ns or oldest_ns) // bar_ns) * bar_ns
    if start_ns >= end_ns:
        raise ValueError("no bar is over in the time that was asked for: choose another")
    mark = SYNTHETIC if synthetic else FETCHED
    parts = []
    for listed in listing.markets:
        kind, symbol = listed.instrument.kind, symbols[listed.instrument.symbol].history
        path = directory / "prices" / VENUE / kind / f"{symbol}_{bar_name(bar_ns)}_{mark}.parquet"
        parts.append(Part(path, listed.coin, symbol, kind, bar_ns, start_ns, end_ns))
    for listed in listing.perps:
        symbol = symbols[listed.instrument.symbol].history
        path = directory / "funding" / f"{VENUE}_{symbol}_{mark}.parquet"
        since_ns = start_ns - FUNDING_BEFORE_NS
        # The rate of an hour that ends with the last bar is published a little after it.
        to_ns = min(end_ns + HOUR // 2, now_ns)
        parts.append(Part(path, listed.coin, symbol, "funding", HOUR, since_ns, to_ns))
    return parts


class _Fetch:
    """One file brought up to date."""

    def __init__(
        self,
        info: Info,
        part: Part,
        budget: Budget,
        on_progress: OnProgress,
        should_stop: Callable[[], bool],
    ) -> None:
        self._info, self._part, self._budget = info, part, budget
        self._on_progress, self._should_stop = on_progress, should_stop

    async def run(self) -> Fetched:
        part, step_ms = self._part, self._part.step_ns // MILLISECOND
        from_ms, to_ms = part.from_ns // MILLISECOND, part.to_ns // MILLISECOND
        there = _read(part.path)
        before = 0 if there is None else there.height
        if there is not None and (first_ms := int(there[TIME][0])) > from_ms:
            earlier = [page async for page in self._pages(from_ms, first_ms - step_ms // 2)]
            there = _written(part.path, [*map(_frame, earlier), there])
        since_ms = from_ms if there is None else int(there[TIME][-1]) + step_ms // 2
        async for page in self._pages(since_ms, to_ms):
            there = _written(part.path, [*([] if there is None else [there]), _frame(page)])
            done = (page[TIME][-1] - from_ms) / max(to_ms - from_ms, 1)
            self._on_progress(part, min(done, 1.0), there.height)
        rows = 0 if there is None else there.height
        self._on_progress(part, 1.0, rows)
        return Fetched(
            part.path,
            part.symbol,
            part.kind,
            rows,
            rows - before,
            None if there is None else int(there[TIME][0]) * MILLISECOND,
            None if there is None else int(there[TIME][-1]) * MILLISECOND,
        )

    async def _pages(self, since_ms: int, until_ms: int) -> AsyncIterator[Page]:
        """Rows from then to before then, an answer at a time, oldest first."""
        ask = self._rates if self._part.kind == "funding" else self._bars
        while since_ms < until_ms:
            if self._should_stop():
                raise Stopped
            page = await self._asked(ask, since_ms, until_ms)
            if not page[TIME]:
                return
            yield page
            since_ms = page[TIME][-1] + 1

    async def _asked(self, ask: Callable[[int, int], Any], since_ms: int, until_ms: int) -> Page:
        """Whoever is asked too often is to be asked less often."""
        for attempt in range(_ATTEMPTS):
            await self._budget.spend(_WEIGHT)
            try:
                page: Page = await ask(since_ms, until_ms)
            except (TransportFailed, BadMessage):
                if attempt == _ATTEMPTS - 1 or self._should_stop():
                    raise
                await asyncio.sleep(2.0**attempt / 2)
            else:
                rows = _RATES_PER_WEIGHT if self._part.kind == "funding" else _BARS_PER_WEIGHT
                await self._budget.spend(len(page[TIME]) / rows)
                return page
        raise AssertionError("Invariant: the last attempt raises or returns")

    async def _bars(self, since_ms: int, until_ms: int) -> Page:
        part = self._part
        page = await candles.page(self._info, part.coin, bar_name(part.step_ns), since_ms, until_ms)

        def price(text: str) -> float:
            return units.of_a_coin_seen(part.coin, market(text))

        return {
            TIME: [bar.open_time for bar in page],
            "open": [price(bar.open) for bar in page],
            "high": [price(bar.high) for bar in page],
            "low": [price(bar.low) for bar in page],
            "close": [price(bar.close) for bar in page],
            "volume": [
                units.coins_seen(part.coin, float(not_negative(bar.volume))) for bar in page
            ],
        }

    async def _rates(self, since_ms: int, until_ms: int) -> Page:
        rows = await self._info.funding_page(self._part.coin, since_ms)
        rows = [row for row in rows if since_ms <= row.time < until_ms]
        return {
            TIME: [row.time for row in rows],
            "symbol": [self._part.symbol for _ in rows],
            "rate": [hourly_rate(row.funding_rate) for row in rows],
            "interval_hours": [1.0 for _ in rows],
        }


def _read(path: Path) -> "pl.DataFrame | None":
    """None where there is no row yet."""
    import polars as pl

    if not path.exists():
        return None
    with reading(path):
        there = collected(path, pl.scan_parquet(path))
    return there if there.height else None


def _frame(page: Page) -> "pl.DataFrame":
    import polars as pl

    return pl.DataFrame(page)


def _written(path: Path, frames: Sequence["pl.DataFrame"]) -> "pl.DataFrame":
    """All of them as one file, whole or not at all."""
    import polars as pl

    whole = pl.concat(frames).unique(TIME, keep="first").sort(TIME)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    whole.write_parquet(partial)
    partial.replace(path)
    return whole
