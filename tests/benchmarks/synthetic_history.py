"""A year of SYNTHETIC hourly bars and funding, in the layout of recorded history.

A seeded random walk, not any market's past: prices move 1 % an hour, the perp stays
within some basis points of its spot, and funding is high for weeks and then low for
weeks, so that pairs are opened and closed.
"""

from collections.abc import Mapping, Sequence
from math import exp, sqrt
from pathlib import Path
from random import Random

import polars as pl

from bot.instruments import load_listings, load_pairs
from domain.time import HOUR, MILLISECOND, parse_instant

START = "2024-01-01"
PRICES = {"BTC": 60_000.0, "ETH": 3_000.0, "SOL": 150.0, "HYPE": 30.0, "PURR": 0.2}
"""The pairs and their first prices (USDC)."""
HOURLY_MOVE = 0.01
_STEPS = 12  # an hour
_HISTORY_HOURS = 60 * 24  # of funding before the first bar


def write_history(
    directory: Path,
    hours: int,
    seed: int = 1,
    venue: str = "hyperliquid",
    prices: Mapping[str, float] = PRICES,
) -> None:
    """``prices/VENUE/{perp,spot}/*_1h.parquet`` and ``funding/VENUE_1h.parquet``."""
    start_ms = parse_instant(START) // MILLISECOND
    listings = load_listings(venue)
    rates: list[pl.DataFrame] = []
    for pair in load_pairs(venue, tuple(prices)):
        random = Random(f"{seed}/{pair.name}")
        perp, spot = _walks(prices[pair.name], hours, random)
        for leg, path in ((pair.perp, perp), (pair.spot, spot)):
            folder = directory / "prices" / venue / leg.kind
            folder.mkdir(parents=True, exist_ok=True)
            name = f"{listings[leg.symbol].history}_1h.parquet"
            _bars(path, start_ms, random).write_parquet(folder / name)
        rates.append(_funding(venue, listings[pair.perp.symbol].history, start_ms, hours, random))
    (directory / "funding").mkdir(exist_ok=True)
    pl.concat(rates).write_parquet(directory / "funding" / f"{venue}_1h.parquet")


def _walks(price: float, hours: int, random: Random) -> tuple[list[float], list[float]]:
    """Perp and spot, ``_STEPS`` prices an hour and the one before them."""
    index, premium = price, 0.0
    perp, spot = [index], [index]
    for _ in range(hours * _STEPS):
        index *= exp(random.gauss(0.0, HOURLY_MOVE / sqrt(_STEPS)))
        premium = 0.98 * premium + random.gauss(0.0, 1e-4)
        perp.append(index * (1 + premium))
        spot.append(index * (1 + random.gauss(0.0, 1e-4)))
    return perp, spot


def _bars(path: Sequence[float], start_ms: int, random: Random) -> pl.DataFrame:
    rows = []
    for hour in range(len(path) // _STEPS):
        inside = path[hour * _STEPS : (hour + 1) * _STEPS + 1]
        volume = random.uniform(0.5, 1.5) * 2e6 / inside[0]
        rows.append(
            (_hour_ms(start_ms, hour), inside[0], max(inside), min(inside), inside[-1], volume)
        )
    return pl.DataFrame(
        rows, schema=["ts_ms", "open", "high", "low", "close", "volume"], orient="row"
    )


def _funding(venue: str, symbol: str, start_ms: int, hours: int, random: Random) -> pl.DataFrame:
    """Settled hourly: a spell of high rates, then one of low, each of two to six weeks."""
    rows, left, usual = [], 0, 1e-5
    for hour in range(-_HISTORY_HOURS, hours + 1):
        if not left:
            left = int(random.uniform(14, 42) * 24)
            usual = 1e-5 if usual > 2e-5 else random.uniform(4e-5, 8e-5)
        left -= 1
        rate = usual * random.uniform(0.7, 1.3)
        rows.append((venue, symbol, _hour_ms(start_ms, hour), rate, 1.0))
    return pl.DataFrame(
        rows, schema=["venue", "symbol", "ts_ms", "rate", "interval_hours"], orient="row"
    )


def _hour_ms(start_ms: int, hour: int) -> int:
    return start_ms + hour * (HOUR // MILLISECOND)
