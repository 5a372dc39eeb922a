"""The decisions in the full engine: ``python -m tests.study.engine --data DIR``.

Prints the tables of ``docs/strategy_engine.md``: each row is one backtest with the settings as
shipped, 10,000 of capital and nothing held at its start.
"""

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bot import app
from bot.settings import load
from domain.time import DAY, parse_instant

MAJORS = ("BTC", "ETH", "XRP")
SIX = (*MAJORS, "SOL", "DOGE", "LINK")
FIVE = ("HYPE", "PURR", "BTC", "ETH", "SOL")


class Case(NamedTuple):
    """From the first to before the last day."""

    pairs: tuple[str, ...]
    first: str
    last: str
    venue: str = "binance"


WINDOWS = [
    Case(FIVE, "2025-02-15", "2025-05-31", "hyperliquid"),
    Case(MAJORS, "2024-01-01", "2024-07-01"),
    Case(SIX, "2025-09-01", "2025-11-01"),
    Case(SIX, "2025-11-01", "2026-02-01"),
    Case(MAJORS, "2020-02-20", "2020-04-15"),
    Case(MAJORS, "2021-01-10", "2021-03-01"),
    Case(MAJORS, "2023-07-01", "2023-08-01"),
    Case(("HYPE", "PURR"), "2024-12-05", "2025-02-15", "hyperliquid"),
]
YEARS = [
    *(Case(MAJORS, f"{year}-01-01", f"{year + 1}-01-01") for year in range(2020, 2025)),
    Case(MAJORS, "2025-01-01", "2025-06-01"),
    Case(FIVE, "2024-12-05", "2025-06-01", "hyperliquid"),
]


def played(case: Case, data: Path) -> str:
    """The row of one backtest."""
    settings = load().settings
    first_ns, last_ns = parse_instant(case.first), parse_instant(case.last)
    request = app.RunRequest(
        mode="backtest", feed="replay", data=data, venue=case.venue, pairs=case.pairs,
        start_ns=first_ns, end_ns=last_ns, duration_ns=None,
        bar="1h" if case.venue == "binance" else None, capital=settings.account.capital,
        speed=None, seed=1, settings=settings, state=None, metrics_port=None, allow_gaps=True,
    )  # fmt: skip
    report = app.play(request, app.open_market(request)).report
    pnl = {source: float(amount) for source, amount in report["pnl"].items()}
    net = pnl["total"] / float(Decimal(report["equity"]["start"]))
    yearly = net * 365 * DAY / (last_ns - first_ns)
    risk = report["risk"]
    words = (
        f"{case.venue} {', '.join(case.pairs)}, {case.first} to {case.last}",
        f"{net:.2%} ({yearly:.1%})",
        f"{float(report['equity']['max_drawdown']):.2%}",
        f"{pnl['funding']:,.0f}",
        f"{pnl['fees']:,.0f}",
        f"{pnl['basis'] + pnl['slippage']:,.0f}",
        len(report["pairs"]),
        f"{risk['min_liquidation_distance']:.0%}",
        risk["liquidations"],
    )
    return "| " + " | ".join(str(word) for word in words) + " |"


def table(cases: Sequence[Case], data: Path) -> str:
    heads = (
        "pairs and window", "return (a year)", "deepest fall", "funding", "fees",
        "basis and slippage", "trades", "nearest liquidation", "liquidations",
    )  # fmt: skip
    with ProcessPoolExecutor(2) as pool:
        rows = list(pool.map(partial(played, data=data), cases))
    return "\n".join(["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads), *rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    print(table(WINDOWS, data), table(YEARS, data), sep="\n\n")


if __name__ == "__main__":
    main()
