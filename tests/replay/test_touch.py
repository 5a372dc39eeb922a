"""Why the adapter hears books and no ``bbo``: what the touch would add, on recorded quotes."""

from pathlib import Path

import polars as pl
import pytest

COST_BPS = 23.0
"""A round trip of four taking legs at the base tier."""


@pytest.fixture(scope="module")
def recorded(shared_data: Path) -> Path:
    folder = shared_data / "orderbook" / "hyperliquid_20250903"
    if not folder.is_dir():
        pytest.skip(f"no recorded quotes at {folder}")
    return folder


def touch(folder: Path, coin: str) -> pl.DataFrame:
    """Best prices by ``bbo``, as they change."""
    told = pl.read_parquet(folder / f"{coin}_bbo.parquet")
    both = told.pivot(on="side", index="recv_s", values="price", aggregate_function="last")
    return both.sort("recv_s").with_columns(pl.col("bid", "ask").forward_fill()).drop_nulls()


def books(folder: Path, coin: str, every_s: float) -> pl.DataFrame:
    """Best prices by ``l2Book``, one in so many seconds."""
    told = pl.read_parquet(folder / f"{coin}_l2.parquet").sort("recv_s")
    kept = told.group_by((pl.col("recv_s") // every_s).alias("slot"), maintain_order=True).last()
    best = pl.col("bid_price_0").alias("book_bid"), pl.col("ask_price_0").alias("book_ask")
    return kept.select("recv_s", *best).sort("recv_s")


@pytest.mark.parametrize("coin", ["BTC", "ETH"])
@pytest.mark.parametrize(
    ("every_s", "same_min", "off_bps_max"), [(0.5, 0.9, COST_BPS / 15), (5.0, 0.7, COST_BPS / 5)]
)
def test_the_touch_of_a_book_is_as_good_as_told_apart(
    recorded: Path, coin: str, every_s: float, same_min: float, off_bps_max: float
) -> None:
    """At whole seconds, as often as the bot decides: a book a half second and one five seconds."""
    ticks, told = touch(recorded, coin), books(recorded, coin, every_s)
    first, last = (
        max(ticks["recv_s"][0], told["recv_s"][0]),
        min(ticks["recv_s"][-1], told["recv_s"][-1]),
    )
    seconds = pl.DataFrame({"recv_s": [first + n for n in range(int(last - first))]})
    seen = seconds.sort("recv_s").join_asof(ticks, on="recv_s").join_asof(told, on="recv_s")
    seen = seen.drop_nulls()
    mid, book_mid = (seen["bid"] + seen["ask"]) / 2, (seen["book_bid"] + seen["book_ask"]) / 2
    off_bps = ((mid - book_mid).abs() / mid * 1e4).quantile(0.99)
    same = ((seen["bid"] == seen["book_bid"]) & (seen["ask"] == seen["book_ask"])).mean()

    assert isinstance(same, float)
    assert off_bps is not None
    print(f"{coin}, one in {every_s:g} s: {same:.0%} the same, 99 of 100 within {off_bps:.2f} bps")
    assert seen.height > 500
    assert same > same_min
    assert off_bps < off_bps_max
