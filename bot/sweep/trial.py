"""One configuration over one window: a backtest, boiled down to what is compared."""

import gc
import os
import signal
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import cache
from itertools import pairwise
from math import inf
from multiprocessing import parent_process
from statistics import median
from threading import Thread

import msgspec

from bot import app
from bot.run import RunError
from bot.settings import SettingsError, altered
from bot.sweep.sharpe import Moments, moments_of, together
from bot.sweep.space import Values
from domain.time import DAY, HOURS_PER_YEAR
from execution.facts import EquityMarked, Fact
from execution.venues.simulated.source import MarketSource


class Outcome(msgspec.Struct, frozen=True):
    """What one backtest came to.

    ``net`` and ``drawdown`` are fractions of the capital; ``apr`` is ``net`` as simple annual
    rate; ``total`` (quote) and ``digest`` are as in the backtest's own report. ``days``:
    moments of the daily returns. ``broken``: liquidations and violated invariants, a line each.
    """

    net: float
    apr: float
    drawdown: float
    trades: int
    broken: tuple[str, ...]
    days: Moments
    total: str
    digest: str


class Figures(msgspec.Struct, frozen=True):
    """Several windows at once: ``apr`` the median, ``drawdown`` the deepest, ``broken`` all."""

    apr: float
    drawdown: float
    broken: tuple[str, ...]
    days: Moments

    @property
    def score(self) -> float:
        """What a sweep maximizes: the median net return a year, less the deepest drawdown.

        Nothing makes up for a liquidation or a violated invariant: minus infinity.
        """
        return -inf if self.broken else self.apr - self.drawdown


class Refused(msgspec.Struct, frozen=True):
    """The settings contradict each other: nothing was run."""

    reason: str


def figures_of(outcomes: Sequence[Outcome]) -> Figures:
    """The figures of one configuration over some windows."""
    return Figures(
        median(outcome.apr for outcome in outcomes),
        max(outcome.drawdown for outcome in outcomes),
        tuple(line for outcome in outcomes for line in outcome.broken),
        together([outcome.days for outcome in outcomes]),
    )


def play(request: app.RunRequest, values: Values) -> Outcome | Refused:
    """``fundarb backtest`` with these settings, over a market that this process has read once.

    Raises:
        DataError, RunError: the history cannot be used.
    """
    market = _market(request)
    try:
        settings = altered(request.settings, values, "the sweep")
        result = app.play(msgspec.structs.replace(request, settings=settings), market)
    except (SettingsError, RunError) as error:
        return Refused(str(error))
    outcome = _outcome(result)
    del result
    gc.collect()  # an engine refers to itself, and this process goes on to others
    return outcome


def begin() -> None:
    """In a worker: Ctrl-C is the parent's to hear; when the parent is killed nobody else ends it,
    since every worker holds both ends of the queue it waits on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if (parent := parent_process()) is not None:

        def follow() -> None:
            parent.join()
            os._exit(1)

        Thread(target=follow, daemon=True).start()


@cache
def _market(request: app.RunRequest) -> MarketSource:
    market = app.open_market(request)
    app.settle_memory()
    return market


def _outcome(result: app.RunResult) -> Outcome:
    report = result.report
    capital, total = Decimal(report["equity"]["start"]), Decimal(report["pnl"]["total"])
    net = float(total / capital)
    hours = report["simulated_seconds"] / 3600
    liquidations = report["risk"]["liquidations"]
    return Outcome(
        net=net,
        apr=net * HOURS_PER_YEAR / hours,
        drawdown=float(report["equity"]["max_drawdown"]),
        trades=len(report["pairs"]),
        broken=(
            *([f"{liquidations} liquidations"] if liquidations else []),
            *report["integrity"]["violations"],
        ),
        days=moments_of(_daily_returns(capital, result.facts)),
        total=str(report["pnl"]["total"]),
        digest=report["digest"],
    )


def _daily_returns(capital: Decimal, facts: Iterable[Fact]) -> list[float]:
    """From the last mark of each UTC day to that of the next, beginning with the capital."""
    closing: dict[int, Decimal] = {}
    for fact in facts:
        if type(fact) is EquityMarked:
            closing[(fact.time_ns - 1) // DAY] = fact.equity
    marks = [capital, *closing.values()]
    return [float(after / before - 1) for before, after in pairwise(marks)]
