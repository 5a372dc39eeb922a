"""What the recorded data say about weekends, events and forced orders.

``python -m tests.study.guards --data DIR`` prints the figures of docs/concepts/market-guards.md.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import polars as pl

from bot.backtest.bars import Window, find_files, read_bars
from bot.events_file import read_events
from bot.instruments import load_pairs
from domain.instruments import Kind
from domain.orders import Side
from domain.time import HOUR, MILLISECOND
from execution.risk.clusters import forced_within, levels
from execution.risk.limits import RiskLimits
from strategies.market.state import Traded

HOUR_MS = HOUR // MILLISECOND
DAY_MS = 24 * HOUR_MS
PERPS = {
    "binance": ("BTCUSDT", "ETHUSDT", "XRPUSDT"),
    "hyperliquid": ("BTC", "ETH", "SOL", "HYPE", "PURR"),
}
WEEKEND = (pl.col("ts_ms") // DAY_MS + 3) % 7 >= 5
INTEREST = {"BTC": 0, "ETH": 1, "SOL": 5}
"""Place of a coin in the recorded contexts, which are in the order of the venue's listing."""
STEP_HOURS = 7
BACK_HOURS = 72


def hours_of(data: Path, venue: str, symbol: str) -> pl.DataFrame:
    """Hourly bars with the move of each; an hour after a hole has none."""
    files = sorted((data / "prices" / venue / "perp").glob(f"{symbol}_1h_*.parquet"))
    bars = pl.concat([pl.read_parquet(file) for file in files]).unique("ts_ms").sort("ts_ms")
    moves = bars.with_columns(
        move=(pl.col("close") / pl.col("close").shift(1)).log(),
        hole=pl.col("ts_ms") - pl.col("ts_ms").shift(1) != HOUR_MS,
    )
    return moves.filter(~pl.col("hole")).with_columns(weekend=WEEKEND)


def spread_of(moves: pl.DataFrame) -> float:
    """Root of the mean square."""
    squares: Any = (moves["move"] ** 2).mean()
    return float(squares**0.5)


def weekends_and_events(data: Path) -> None:
    print("| perp | hours | weekday | weekend | ratio | largest on | FOMC | CPI |")
    print("|---|---|---|---|---|---|---|---|")
    for venue, symbols in PERPS.items():
        for symbol in symbols:
            bars = hours_of(data, venue, symbol)
            week, end = bars.filter(~pl.col("weekend")), bars.filter(pl.col("weekend"))
            largest = bars.sort(pl.col("move").abs())["weekend"][-1]
            cells = [
                f"{venue} {symbol}",
                f"{bars.height}",
                f"{spread_of(week):.3%}",
                f"{spread_of(end):.3%}",
                f"{spread_of(end) / spread_of(week):.2f}",
                "weekend" if largest else "weekday",
                *(_event(bars, kind, hours) for kind, hours in (("FOMC", 2), ("CPI", 1))),
            ]
            print("| " + " | ".join(cells) + " |")


def _event(bars: pl.DataFrame, kind: str, hours: int) -> str:
    """How many times as large the hours from the event on were as all hours since the first."""
    starts = [e.at_ns // HOUR * HOUR_MS for e in read_events() if e.kind == kind]
    wanted = [start + n * HOUR_MS for start in starts for n in range(hours)]
    during = bars.filter(pl.col("ts_ms").is_in(wanted))
    since = bars.filter(pl.col("ts_ms") >= min(starts))
    if not during.height:
        return "none"
    return f"{spread_of(during) / spread_of(since):.2f} ({during.height} h)"


def depth(data: Path) -> None:
    files = sorted((data / "orderbook").glob("hyperliquid_depth_6h_*.parquet"))
    rows = pl.concat([pl.read_parquet(file) for file in files]).with_columns(weekend=WEEKEND)
    for (symbol,), part in sorted(rows.group_by("symbol")):
        week, end = part.filter(~pl.col("weekend")), part.filter(pl.col("weekend"))
        deep: list[Any] = [part["depth_50bps"].median() for part in (week, end)]
        wide: list[Any] = [part["spread_bps"].median() for part in (week, end)]
        print(f"{symbol}: depth at weekends {deep[1] / deep[0] - 1:+.1%}", end=", ")
        print(f"spread {wide[0]:.2f} and {wide[1]:.2f} bps")


def forced(data: Path) -> None:
    """How often more hours of trading than the limit were forced near above, as estimated."""
    limits = RiskLimits()
    file = data / "payloads" / "hyperliquid" / "nt_ws_all_dexs_asset_ctxs_cut.json"
    told: Any = json.loads(file.read_text())
    contexts = next(rows for dex, rows in told["data"]["ctxs"] if dex == "")
    for coin, place in INTEREST.items():
        context = contexts[place]
        open_hours = float(context["openInterest"]) * float(context["markPx"])
        open_hours /= float(context["dayNtlVlm"]) / 24
        (pair,) = load_pairs("hyperliquid", (coin,))
        files = find_files(data, "hyperliquid", Kind.PERP, coin)
        bars = read_bars(files[HOUR], HOUR, Window(None, None))
        columns = zip(bars.time_ns, bars.low, bars.high, bars.close, bars.volume, strict=True)
        rows = [Traded(t + HOUR, 1.0, low, high, p, v) for t, low, high, p, v in columns]
        looked = above = 0
        for end in range(BACK_HOURS, len(rows), STEP_HOURS):
            window = rows[end - BACK_HOURS : end]
            mark, now_ns = window[-1].price, window[-1].time_ns
            found = levels(window, 1.0 / mark, mark, pair.perp.margin_tiers, now_ns)
            share = forced_within(found, mark, Side.BUY, limits.cluster_distance)[0]
            looked += 1
            above += share * open_hours > limits.cluster_hours_max
        print(f"{coin}: open {open_hours:.1f} h of trading, above the limit {above / looked:.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    weekends_and_events(data)
    depth(data)
    forced(data)


if __name__ == "__main__":
    main()
