"""``fundarb scan``: every pair of a venue ranked, and what keeps each out."""

from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli import options, values
from bot.cli.values import read

if TYPE_CHECKING:
    from bot.scan import Row

EXAMPLES = """\b
Examples:
  fundarb scan --data DIR
  fundarb scan --data DIR --venue binance --at 2025-05-01 --json -
"""


def scan(
    *,
    data: options.Data,
    venue: options.Venue = "hyperliquid",
    pairs: options.Pairs = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="DATE", help="The instant to look at, UTC; else the last."),
    ] = None,
    capital: options.Capital = None,
    config: options.Config = None,
    json: options.Json = None,
) -> None:
    """Rank the pairs of a venue by what they are expected to earn.

    Funding now and over a week, forecast and error, cost of the round trip, hours to repay
    it, capacity, and what keeps a pair out: as the strategy sees it at one instant.
    """
    directory = read("--data", values.existing_directory, data)
    names = read("--pairs", values.pair_names, pairs)
    at_ns = read("--at", values.instant, at)
    amount = read("--capital", values.positive, capital)
    file = read("--config", values.existing_file, config)
    answer = read("--json", values.writable_file, json)
    import msgspec

    from bot import settings
    from bot.cli.output import STDOUT, write_json
    from bot.instruments import load_pairs
    from bot.scan import ranked
    from bot.scan import scan as look

    loaded = settings.load(file).settings
    account = loaded.account.capital if amount is None else amount
    chosen = load_pairs(venue, names)
    rows = ranked(look(directory, venue, chosen, at_ns, account, loaded))
    write_json({"venue": venue, "capital": account, "pairs": msgspec.to_builtins(rows)}, answer)
    if answer != STDOUT:
        _show(rows)


def _show(rows: "list[Row]") -> None:
    from rich.table import Table

    from bot.cli.output import console
    from domain.time import iso

    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    table.add_column("pair", no_wrap=True)
    for name in ("now %", "7 d %", "forecast %", "cost %", "repaid h", "net %", "capacity"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("kept out by", no_wrap=True)
    for row in rows:
        error = "" if row.error is None else f" ± {row.error * 100:.1f}"
        table.add_row(
            row.pair,
            _percent(row.funding),
            _percent(row.mean),
            _percent(row.forecast) + error,
            _percent(row.cost, 2),
            "" if row.break_even_hours is None else f"{row.break_even_hours:.0f}",
            _percent(row.net_apr),
            "" if row.capacity is None else f"{row.capacity:,.0f}",
            row.gate or "nothing",
        )
    out = console()
    out.print(table)
    for row in rows:
        when = "" if row.at_ns is None else f" at {iso(row.at_ns)[:16]}"
        out.print(f"{row.pair}{when}: {row.reason}", style="dim", markup=False, soft_wrap=True)


def _percent(fraction: float | None, places: int = 1) -> str:
    return "" if fraction is None else f"{fraction * 100:.{places}f}"
