"""Runs the engine for ``paper`` and ``backtest``: the one place that knows the composition root."""

import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from types import FrameType

import structlog
import typer
from rich.console import Console

from bot import app, logs, settings
from bot.alarms import ALARMS, AlarmFile
from bot.amounts import amount, percent
from bot.cli.display import OnSnapshot, display
from bot.cli.errors import INTERRUPTED
from bot.cli.output import STDOUT, console, version, write_json, write_text
from bot.hearing import to_all
from bot.run import Stopped
from bot.summary import summary
from execution.effects import RaiseAlarm
from execution.facts import RunStarted
from execution.snapshot import Snapshot


def run(
    *,
    mode: str,
    feed: str,
    seed: int,
    data: Path | None = None,
    venue: str | None = None,
    pairs: tuple[str, ...] | None = None,
    start_ns: int | None = None,
    end_ns: int | None = None,
    duration_ns: int | None = None,
    bar: str | None = None,
    allow_gaps: bool = False,
    url: str | None = None,
    capital: Decimal | None = None,
    speed: float | None = None,
    state: Path | None = None,
    config: Path | None = None,
    json: Path | None = None,
    export: Path | None = None,
    report: Path | None = None,
    metrics: bool = False,
) -> None:
    """Run to the end or to Ctrl-C, showing it meanwhile; then write what was asked for."""
    told = Console(stderr=True, highlight=False)
    loaded = settings.load(config).settings

    def warn(what: str) -> None:
        told.print(f"warning: {what}", markup=False, soft_wrap=True)

    request = app.RunRequest(
        mode=mode,
        feed=feed,
        data=data,
        venue=venue,
        pairs=pairs,
        start_ns=start_ns,
        end_ns=end_ns,
        duration_ns=duration_ns,
        bar=bar,
        allow_gaps=allow_gaps,
        url=url,
        capital=loaded.account.capital if capital is None else capital,
        speed=speed,
        seed=seed,
        settings=loaded,
        state=state,
        metrics_port=_metrics_port(loaded.metrics.port, told) if metrics else None,
        steered=mode == "paper",
        port_open=metrics,
    )
    total_ns = duration_ns
    if start_ns is not None and end_ns is not None:
        total_ns = end_ns - start_ns
    with stoppable() as stopped, display(told, speed=speed, total_ns=total_ns) as show:
        # Where the screen shows decisions, only warnings are worth a line above it.
        # A backtest's decisions are in its report: a year of them would be seventeen megabytes.
        quiet = told.is_terminal or mode == "backtest"
        logs.configure(sys.stderr, level="warning" if quiet else "info")
        log = logs.fact_logger(structlog.get_logger())
        watch = _after(lambda: _tell_started(told, request), show)
        alarms = AlarmFile(state / ALARMS) if state is not None else None
        raised: list[RaiseAlarm] = []
        on_alarm = to_all(alarms, raised.append if report is not None else None)
        try:
            result = app.run(request, watch, lambda: bool(stopped), log, on_alarm, warn)
        except Stopped:
            told.print("stopped before it had begun")
            raise typer.Exit(INTERRUPTED if stopped[0] == signal.SIGINT else 0) from None
    write_json(result.report, json)
    if export is not None:
        _export(result, export)
    if report is not None:
        _write_page(result, loaded, raised, report)
    if json != STDOUT:
        console().print(summary(result.report))
    if stopped:
        _tell_stopped(told, stopped[0], state)


def _export(result: app.RunResult, directory: Path) -> None:
    from bot.export import export
    from bot.instruments import load_pairs

    begun = result.facts[0]
    assert isinstance(begun, RunStarted), "Invariant: a run's first fact is its start"
    export(result.facts, load_pairs(begun.venue, begun.pairs), directory)


def _write_page(
    result: app.RunResult, chosen: settings.Settings, raised: list[RaiseAlarm], target: Path
) -> None:
    from bot.report_page.page import material, page

    write_text(page(material(result, chosen, raised, version())), target)


@contextmanager
def stoppable() -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM ask the run to stop; a second Ctrl-C does not wait for it.

    Yields the list into which the first signal is put.
    """
    asked: list[int] = []

    def ask(number: int, _frame: FrameType | None) -> None:
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _after(begin: Callable[[], None], show: OnSnapshot) -> OnSnapshot:
    """``show``, and ``begin`` before its first: a run that cannot begin announces nothing."""
    begun = False

    def watch(shown: Snapshot) -> None:
        nonlocal begun
        if not begun:
            begun = True
            begin()
        show(shown)

    return watch


def _tell_started(told: Console, request: app.RunRequest) -> None:
    """What begins, and the limits in force: a wrong unit is seen before it costs."""
    risk = request.settings.risk
    place = "" if request.state is None else f", kept in {request.state}; Ctrl-C stops it"
    told.print(f"{request.mode}: capital {amount(request.capital)}, seed {request.seed}{place}")
    told.print(
        f"limits: {percent(risk.risk_per_trade, 1)} of equity at risk a trade, leverage at most "
        f"{risk.leverage_cap}, stop at {percent(risk.daily_loss_max, 1)} loss a day or "
        f"{percent(risk.drawdown_max, 1)} from the peak",
        soft_wrap=True,
    )


def _tell_stopped(told: Console, number: int, state: Path | None) -> None:
    """A service that is told to stop did as it was told; a person who stops it did not wait."""
    if state is not None:
        told.print(f"stopped; everything is in {state}: the same command goes on from there")
    else:
        told.print("stopped early: the figures are of the part that ran")
    if number == signal.SIGINT:
        raise typer.Exit(INTERRUPTED)


def _metrics_port(port: int, told: Console) -> int | None:
    """The port, unless it is switched off or taken: a second bot on a machine runs without."""
    if port == 0:
        return None
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            told.print(
                f"warning: port {port} is taken, so there is no metrics page for this run "
                "(metrics.port in the settings chooses another)"
            )
            return None
    return port
