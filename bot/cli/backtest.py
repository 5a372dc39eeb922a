"""``fundarb backtest``: the same engine over recorded history, as fast as it goes."""

from typing import Annotated

import typer

from bot.cli import options, values
from bot.cli.values import read

EXAMPLES = """\b
Examples:
  fundarb backtest --data DIR --pairs BTC,HYPE --from 2025-02-15 --to 2025-05-15
  fundarb backtest --data DIR --pairs HYPE --bar 1h --json result.json
  fundarb backtest --data DIR --pairs HYPE --report result.html   to read in a browser
"""


def backtest(
    *,
    data: options.Data,
    venue: options.Venue = "hyperliquid",
    pairs: options.Pairs = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="DATE", help="First instant, UTC; where all legs begin."),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option("--to", metavar="DATE", help="Last instant, UTC; where the history ends."),
    ] = None,
    capital: options.Capital = None,
    bar: options.Bar = None,
    allow_gaps: options.AllowGaps = False,
    seed: options.Seed = "1",
    config: options.Config = None,
    json: options.Json = None,
    export: options.Export = None,
    report: options.Report = None,
) -> None:
    """Run the bot over recorded history.

    The same engine and the same simulated exchange as in paper, as fast as they go.
    """
    start_ns, end_ns = values.window(start, end)
    directory = read("--data", values.existing_directory, data)
    names = read("--pairs", values.pair_names, pairs)
    step = read("--bar", values.bar, bar)
    amount = read("--capital", values.positive, capital)
    number = read("--seed", values.whole, seed)
    file, answer, folder, page = values.files(config, json, export, report)
    from bot.cli.running import run

    run(
        mode="backtest",
        feed="replay",
        data=directory,
        venue=venue,
        pairs=names,
        start_ns=start_ns,
        end_ns=end_ns,
        bar=step,
        allow_gaps=allow_gaps,
        capital=amount,
        seed=number,
        config=file,
        json=answer,
        export=folder,
        report=page,
    )
