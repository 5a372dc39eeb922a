"""Funding of one pair as the study sees it, and what a side of the pair costs."""

from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bot.backtest.funding import funding_files, settlement_hour
from bot.instruments import Listing, load_listings, load_pairs
from domain.instruments import Pair
from domain.time import HOUR, MILLISECOND
from strategies.market.state import Settlement

SLIPPAGE = 1e-4
"""Of notional, each side: what the size moves the price on top of the spread."""
WIDE_SIDE = 15e-4
"""One side of a pair of the wide set; of notional."""


class Series(NamedTuple):
    """Settlements in order; ``side`` is what entering or leaving costs, fraction of notional."""

    venue: str
    name: str
    side: float
    settled: Sequence[Settlement]

    def first(self, time_ns: int) -> int:
        """Index of the first settlement after ``time_ns``: that of midnight pays the day before."""
        return bisect_right(self.settled, time_ns, key=lambda s: s.time_ns)


def side_cost(pair: Pair, listings: dict[str, Listing]) -> float:
    """One side of the pair: the cheaper of resting on spot and resting on the perp."""
    sides = []
    for rests, takes in ((pair.spot, pair.perp), (pair.perp, pair.spot)):
        quotes = listings[takes.symbol].quotes
        assert quotes is not None
        half_spread = quotes.half_spread_bps / 10_000
        sides.append(float(rests.fees.maker + takes.fees.taker) + half_spread)
    return min(sides) + SLIPPAGE


def load_venue(data: Path, venue: str) -> list[Series]:
    """The configured pairs of ``venue`` that ``data`` has funding of."""
    listings = load_listings(venue)
    pairs = load_pairs(venue)
    rates = load_rates(data, venue, [listings[pair.perp.symbol].history for pair in pairs])
    found = []
    for pair in pairs:
        listing = listings[pair.perp.symbol]
        if settled := rates.get(listing.history):
            found.append(Series(venue, pair.name, side_cost(pair, listings), settled))
    return found


def load_wide(data: Path) -> list[Series]:
    """Every perp of Hyperliquid that is no configured pair."""
    configured = {pair.name for pair in load_pairs("hyperliquid")}
    return [
        Series("wide", name, WIDE_SIDE, settled)
        for name, settled in sorted(load_rates(data, "hyperliquid").items())
        if name not in configured
    ]


def load_sets(data: Path) -> dict[str, list[Series]]:
    """The three sets of the study, by name."""
    return {
        "Hyperliquid": load_venue(data, "hyperliquid"),
        "Binance": load_venue(data, "binance"),
        "wide": load_wide(data),
    }


def load_rates(
    data: Path, venue: str, symbols: Sequence[str] | None = None
) -> dict[str, list[Settlement]]:
    """Settlements of every perp of a venue, or of ``symbols``, by its own name, each once."""
    import polars as pl

    files = [path for path in funding_files(data, venue) if "xyz" not in path.stem]
    files += sorted((data / "funding").glob(f"xvenue_{venue}_[a-z].parquet"))
    found: dict[str, dict[int, Settlement]] = {}
    for path in files:
        frame = pl.read_parquet(path, columns=["symbol", "ts_ms", "rate", "interval_hours"])
        frame = frame.filter(pl.col("rate").is_finite(), pl.col("interval_hours") > 0)
        if symbols is not None:
            frame = frame.filter(pl.col("symbol").is_in(symbols))
        for (symbol,), rows in frame.partition_by("symbol", as_dict=True).items():
            one = found.setdefault(str(symbol), {})
            columns = (rows[name].to_list() for name in ("ts_ms", "rate", "interval_hours"))
            for ms, rate, hours in zip(*columns, strict=True):
                hour = settlement_hour(ms * MILLISECOND)
                one.setdefault(hour, Settlement(hour * HOUR, rate / hours, float(hours)))
    return {symbol: [by[hour] for hour in sorted(by)] for symbol, by in found.items()}
