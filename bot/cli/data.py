"""``fundarb data``: history on disk."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli import networks, options, values
from bot.cli.errors import INTERRUPTED
from bot.cli.values import read

if TYPE_CHECKING:
    from bot.feeds.fetch import Fetched, Part, Wanted

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="History on disk.")
FETCH_EXAMPLES = """\b
Examples:
  fundarb data fetch --data history --pairs HYPE,PURR --bar 1h
  fundarb data fetch --data history --from 2026-10-01 --bar 15m
  fundarb backtest --data history --pairs HYPE,PURR

Hyperliquid keeps the newest 5000 bars of each length (1h: 208 days, 1m: three and a half)
and all funding. Run it again to go on: only what is missing is asked for.
"""


@app.command("fetch", epilog=FETCH_EXAMPLES)
def fetch(
    *,
    data: Annotated[
        str, typer.Option("--data", metavar="DIR", help="Where history is kept, or is to be.")
    ],
    pairs: options.Pairs = None,
    bar: Annotated[
        str, typer.Option("--bar", metavar="1m|5m|15m|1h", help="Length of the bars.")
    ] = "1h",
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="DATE", help="First bar, UTC; the oldest there is."),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="DATE", help="End, UTC; now if not given.")
    ] = None,
    url: networks.PublicUrl = None,
    json: options.Json = None,
) -> None:
    """Fetch bars and funding of Hyperliquid into the layout that backtests read. No key.

    Goes on where it stopped; at most half of the requests that the venue allows.
    """
    folder = read("--data", values.writable_directory, data)
    names = read("--pairs", values.pair_names, pairs)
    step = read("--bar", values.bar, bar)
    start_ns, end_ns = values.window(start, end)
    where = networks.public(url)
    answer = read("--json", values.writable_file, json)
    from bot.backtest.bars import parse_bar
    from bot.cli.output import STDOUT, console, write_json
    from bot.feeds.fetch import Wanted

    wanted = Wanted(names, parse_bar(step), start_ns, end_ns)
    files = _fetched(where, folder, wanted)
    write_json({"directory": str(folder), "files": [_row(file) for file in files]}, answer)
    if answer != STDOUT:
        out = console()
        for file in files:
            row = _row(file)
            out.print(
                f"{file.symbol:6} {file.kind:8} {file.rows:7,} rows ({file.added:,} new)"
                f"  {row['first'] or 'none'} to {row['last'] or 'none'}",
                markup=False,
                soft_wrap=True,
            )


def _fetched(url: str, folder: Path, wanted: "Wanted") -> "list[Fetched]":
    """Fetch, with a bar for each file where somebody watches; Ctrl-C ends it between two pages."""
    import asyncio
    import sys

    from rich.console import Console
    from rich.progress import Progress, TaskID

    from bot import logs
    from bot.cli.running import stoppable
    from bot.feeds import fetch as fetching
    from bot.run import Stopped

    told = Console(stderr=True, highlight=False)
    logs.configure(sys.stderr)
    watched = told.is_terminal
    with (
        stoppable() as stopped,
        Progress(console=told, disable=not watched, transient=True) as bars,
    ):
        tasks: dict[Path, TaskID] = {}

        def show(part: "Part", share: float, rows: int) -> None:
            if part.path not in tasks:
                tasks[part.path] = bars.add_task("", total=1.0)
            name = f"{part.symbol} {part.kind}: {rows:,} rows"
            bars.update(tasks[part.path], completed=share, description=f"{name:28}")

        try:
            return asyncio.run(
                fetching.fetch(
                    url, folder, wanted, show, lambda: bool(stopped), fetching.budget_of(url)
                )
            )
        except Stopped:
            told.print(f"stopped; what was fetched is in {folder}: the same command goes on")
            raise typer.Exit(INTERRUPTED) from None


def _row(file: "Fetched") -> dict[str, object]:
    from domain.time import iso

    return {
        "file": str(file.path),
        "symbol": file.symbol,
        "kind": file.kind,
        "rows": file.rows,
        "added": file.added,
        "first": None if file.first_ns is None else iso(file.first_ns),
        "last": None if file.last_ns is None else iso(file.last_ns),
    }
