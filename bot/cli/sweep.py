"""``fundarb sweep``: many configurations over many windows, and what their best is worth."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli import options, values
from bot.cli.errors import INTERRUPTED, CommandError
from bot.cli.values import read

if TYPE_CHECKING:
    from rich.console import Console

    from bot.sweep.sweep import SweepRequest

EXAMPLES = """\b
Examples:
  fundarb sweep --data DIR --pairs BTC,HYPE --from 2025-01-01 --to 2026-01-01 --space FILE
  fundarb sweep --data DIR --pairs BTC --from 2025-01-01 --to 2026-01-01 --space FILE --trials 500
Once, when nothing more is to be tried, the same again with --open-sealed.
The file of the space is TOML, any number of the settings:
  [strategy]
  funding_half_life_hours = {low = 4, high = 48, log = true}
  basis_sigmas = {low = 3, high = 8, step = 1}
"""
BEST = "best.toml"


def sweep(
    *,
    data: options.Data,
    space: Annotated[
        str, typer.Option("--space", metavar="FILE", help="TOML: what varies, from where to where.")
    ],
    start: Annotated[
        str, typer.Option("--from", metavar="DATE", help="Where the first window begins, UTC.")
    ],
    end: Annotated[
        str, typer.Option("--to", metavar="DATE", help="Where the last, sealed window ends, UTC.")
    ],
    pairs: options.Pairs = None,
    venue: options.Venue = "hyperliquid",
    windows: Annotated[
        str,
        typer.Option(
            "--windows",
            metavar="TRAIN/TEST",
            help="Months a choice is made on, and months of a window.",
        ),
    ] = "6/2",
    trials: Annotated[
        str, typer.Option("--trials", metavar="N", help="Configurations in all.")
    ] = "100",
    jobs: Annotated[
        str | None, typer.Option("--jobs", metavar="N", help="Processes; all cores if not given.")
    ] = None,
    study: Annotated[
        str, typer.Option("--study", metavar="DIR", help="Where the sweep keeps what it has done.")
    ] = "state/sweep",
    open_sealed: Annotated[
        bool,
        typer.Option("--open-sealed", help="Judge the best by the last window: once a study."),
    ] = False,
    bar: options.Bar = None,
    capital: options.Capital = None,
    allow_gaps: options.AllowGaps = False,
    seed: options.Seed = "1",
    config: options.Config = None,
    json: options.Json = None,
) -> None:
    """Try many configurations over many windows of history, on all cores.

    Each is a backtest like any other. Ctrl-C stops; the same command goes on. What it ends
    with is judged by windows that it was not chosen on, and by how many were tried.
    """
    start_ns, end_ns = values.window(start, end)
    assert start_ns is not None, "Invariant: typer asks for it"
    assert end_ns is not None, "Invariant: typer asks for it"
    train, test = read("--windows", _months, windows)
    directory = read("--data", values.existing_directory, data)
    names = read("--pairs", values.pair_names, pairs)
    step = read("--bar", values.bar, bar)
    amount = read("--capital", values.positive, capital)
    number = read("--seed", values.whole, seed)
    count = read("--trials", _at_least_one, trials)
    workers = read("--jobs", _at_least_one, jobs) or os.cpu_count() or 1
    file = read("--config", values.existing_file, config)
    asked = read("--space", values.existing_file, space)
    answer = read("--json", values.writable_file, json)
    folder = read("--study", values.writable_directory, study)
    values.require_apart(config=file, space=asked, json=answer, study=folder)
    from bot import app, settings
    from bot.instruments import load_pairs

    _require_optuna()
    from bot.sweep.space import read_space
    from bot.sweep.sweep import SweepRequest
    from bot.sweep.windows import plan_windows

    loaded = settings.load(file).settings
    chosen = tuple(pair.name for pair in load_pairs(venue, names))
    request = SweepRequest(
        run=app.RunRequest(
            mode="backtest",
            feed="replay",
            data=directory,
            venue=venue,
            pairs=chosen,
            start_ns=start_ns,
            end_ns=end_ns,
            duration_ns=None,
            bar=step,
            capital=loaded.account.capital if amount is None else amount,
            speed=None,
            seed=number,
            settings=loaded,
            state=None,
            metrics_port=None,
            allow_gaps=allow_gaps,
        ),
        space=read_space(asked),
        plan=plan_windows(start_ns, end_ns, train, test),
        trials=count,
        jobs=workers,
        directory=folder,
        open_sealed=open_sealed,
    )
    _sweep(request, answer)


def _sweep(request: "SweepRequest", answer: Path | None) -> None:
    from rich.console import Console

    from bot.amounts import badges
    from bot.cli.output import STDOUT, console, write_json
    from bot.cli.running import stoppable
    from bot.sweep.results import document, findings
    from bot.sweep.show import best_toml, tables
    from bot.sweep.sweep import as_they_are, sweep

    told = Console(stderr=True, highlight=False)
    with stoppable() as stopped, _progress(told) as on_progress:
        result = sweep(request, on_progress, lambda: bool(stopped))
    usual = as_they_are(request.run.settings, request.space)
    found = findings(request.plan, result.tried, result.opened, usual)
    if found.best:
        text = best_toml(request.run.settings, request.run.capital, found)
        (request.directory / BEST).write_text(text, encoding="utf-8")
    synthetic = result.synthetic
    write_json(document(request.plan, found, result.opened, synthetic=synthetic), answer)
    if answer != STDOUT:
        if synthetic:
            console().print(badges("sweep", synthetic=True))
        console().print(tables(request.plan, found, result.opened, request.directory / BEST))
    if result.interrupted:
        told.print(
            f"stopped; everything is in {request.directory}: the same command goes on from there",
            markup=False, soft_wrap=True,
        )  # fmt: skip
        raise typer.Exit(INTERRUPTED)
    if len(result.tried) < request.trials:
        told.print(f"the space has {len(result.tried)} configurations: all are tried")


@contextmanager
def _progress(told: "Console") -> Iterator[Callable[[int, int], None]]:
    """A bar where somebody watches; in a log a line a tenth."""
    if not told.is_terminal:
        yield _lines(told)
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), TimeRemainingColumn(compact=True),
    )  # fmt: skip
    with Progress(*columns, console=told, transient=True) as bar:
        task = bar.add_task("backtests", total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def _lines(told: "Console") -> Callable[[int, int], None]:
    before = -1

    def tell(done: int, of: int) -> None:
        nonlocal before
        if before < (tenth := done * 10 // of):
            told.print(f"backtests: {done} of {of}", markup=False)
        before = tenth

    return tell


def _require_optuna() -> None:
    from importlib.util import find_spec

    if find_spec("optuna") is None:
        raise CommandError(
            "fundarb sweep needs Optuna, which is not installed: pip install 'fundarb[sweep]'"
        )


def _months(text: str) -> tuple[int, int]:
    """``6/2``: train on six months, test on two."""
    match = re.fullmatch(r"([1-9]\d?)/([1-9]\d?)", text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not TRAIN/TEST in months: write 6/2 or 3/1")
    return int(match[1]), int(match[2])


def _at_least_one(text: str) -> int:
    number = values.whole(text)
    if not 1 <= number <= 1_000_000:
        raise ValueError(f"must be between 1 and 1000000, got {text}")
    return number
