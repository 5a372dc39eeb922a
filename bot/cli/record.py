"""``fundarb record``: a live market on disk, to be traded on paper as often as wanted."""

from typing import Annotated

import typer

from bot.cli import networks, options, values
from bot.cli.errors import INTERRUPTED
from bot.cli.values import read

EXAMPLES = """\b
Examples:
  fundarb record --out recordings/first --pairs HYPE,PURR --for 24h
  fundarb paper --feed replay:recordings/first --speed max
"""


def record(
    out: Annotated[
        str, typer.Option("--out", metavar="DIR", help="Where to write; goes on in what is there.")
    ],
    *,
    pairs: options.Pairs = None,
    duration: Annotated[
        str | None,
        typer.Option("--for", metavar="24h", help="How long; until Ctrl-C if not given."),
    ] = None,
    url: networks.PublicUrl = None,
    json: options.Json = None,
) -> None:
    """Write down what Hyperliquid publishes: books, trades, marks and rates. No key.

    Word for word, with the time of receipt; about 100 MB a day and pair. What a run
    needs to know of the time before is asked first and is written too.
    """
    folder = read("--out", values.writable_directory, out)
    names = read("--pairs", values.pair_names, pairs)
    length = read("--for", values.duration, duration)
    where = networks.public(url)
    answer = read("--json", values.writable_file, json)
    import asyncio
    import signal
    import sys

    from rich.console import Console

    from bot import logs
    from bot.cli.output import write_json
    from bot.cli.running import stoppable
    from bot.feeds.record import Recorded
    from bot.feeds.record import record as write

    told = Console(stderr=True, highlight=False)
    logs.configure(sys.stderr)
    with stoppable() as stopped, told.status("asking what is listed…") as status:

        def show(so_far: Recorded) -> None:
            silent = so_far.silent_seconds
            note = f", nothing for {silent:.0f} s" if silent > 5 else ""
            status.update(
                f"{so_far.lines:,} messages, {so_far.bytes / 1e6:,.1f} MB, "
                f"{so_far.seconds:,.0f} s{note}; Ctrl-C stops"
            )

        done = asyncio.run(write(where, names, folder, length, show, lambda: bool(stopped)))
    told.print(f"{done.lines:,} messages in {done.seconds:,.0f} s are in {folder}")
    write_json(
        {"directory": str(folder), "messages": done.lines, "seconds": round(done.seconds, 1)},
        answer,
    )
    if stopped and stopped[0] == signal.SIGINT:
        raise typer.Exit(INTERRUPTED)
