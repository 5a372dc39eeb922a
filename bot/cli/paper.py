"""``fundarb paper``: the bot at work, with simulated fills."""

from pathlib import Path
from typing import Annotated

import typer

from bot.cli import networks, options, values
from bot.cli.errors import CommandError
from bot.cli.values import read

EXAMPLES = """\b
Examples:
  fundarb paper                                  watch it, 4 hours a second
  fundarb paper --speed max --for 48h --json -   two days at once, as JSON
  fundarb paper --feed hyperliquid --state state/observed   live quotes, simulated fills
  fundarb paper --feed replay:DIR --state state/replayed    recorded history instead
"""


def paper(
    *,
    feed: Annotated[
        str,
        typer.Option(
            "--feed",
            metavar="FEED",
            help=(
                "simulated (a generated, synthetic market), hyperliquid (live quotes, no key), "
                "or replay:DIR (history, or what `fundarb record` wrote)."
            ),
        ),
    ] = "simulated",
    pairs: options.Pairs = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="DATE", help="Where a replay starts, UTC."),
    ] = None,
    bar: options.Bar = None,
    allow_gaps: options.AllowGaps = False,
    capital: options.Capital = None,
    speed: Annotated[
        str | None,
        typer.Option(
            "--speed",
            metavar="N|max",
            help="Simulated seconds per second, or max; 14400, 4 hours a second, if not given.",
        ),
    ] = None,
    duration: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="24h",
            help="Simulated time to run, counted from the first start; until Ctrl-C if not given.",
        ),
    ] = None,
    url: networks.PublicUrl = None,
    seed: options.Seed = "1",
    config: options.Config = None,
    state: Annotated[
        str,
        typer.Option("--state", metavar="DIR", help="Journal and exchange; resumed if there."),
    ] = options.PAPER_STATE,
    json: options.Json = None,
    export: options.Export = None,
    report: options.Report = None,
    no_web: Annotated[bool, typer.Option("--no-web", help="Open no port at all.")] = False,
) -> None:
    """Trade on paper: real decisions, simulated fills.

    No keys; no network either but for a live feed. Ctrl-C stops cleanly, and the same
    command goes on from there: pairs, seed, feed and capital must then be as they were.
    """
    kind, directory = read("--feed", values.feed, feed)
    live = kind == "hyperliquid"
    if live and speed is not None:
        raise CommandError("--speed: a live market has its own pace, leave the option out")
    if url is not None and not live:
        raise CommandError("--url belongs to a live feed: add --feed hyperliquid")
    pace = read("--speed", values.speed, "1" if live else speed or "14400")
    duration_ns = read("--for", values.duration, duration)
    if kind != "replay" and (start is not None or bar is not None):
        raise CommandError("--from and --bar belong to a replay: add --feed replay:DIR")
    if kind == "simulated" and duration_ns is None and pace is None:
        raise CommandError("a generated market has no end: say how long, for instance --for 48h")
    start_ns = read("--from", values.instant, start)
    names = read("--pairs", values.pair_names, pairs)
    step = read("--bar", values.bar, bar)
    amount = read("--capital", values.positive, capital)
    number = read("--seed", values.whole, seed)
    file, answer, folder, page = values.files(config, json, export, report)
    where = networks.public(url) if live else None
    from bot.cli.running import run

    run(
        mode="paper",
        feed=kind,
        data=directory,
        pairs=names,
        start_ns=start_ns,
        duration_ns=duration_ns,
        bar=step,
        allow_gaps=allow_gaps,
        url=where,
        capital=amount,
        speed=pace,
        seed=number,
        state=Path(state),
        config=file,
        json=answer,
        export=folder,
        report=page,
        metrics=not no_web,
    )
