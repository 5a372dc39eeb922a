"""What the console runs: a market is opened, a run advanced at the asked pace, a report made.

The loop is one task: the venue hands over the next event, the engine decides, the
journal commits, then the effects leave. Whoever looks on (screen, metrics) is shown
frozen pictures in between.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bot.backtest.coverage import Coverage
from bot.clock import SystemClock
from bot.hearing import to_all
from bot.instruments import load_pairs
from bot.picture import snapshot
from bot.run import Run, RunError, paced
from bot.settings import Settings
from domain.instruments import Pair
from domain.time import HOUR, MILLISECOND, SECOND
from execution.effects import RaiseAlarm
from execution.facts import Fact
from execution.snapshot import Snapshot
from execution.venues.simulated.source import MarketSource
from strategies.cash_and_carry import CashAndCarry

if TYPE_CHECKING:
    from bot.monitor import Monitor

GENERATED_START_NS = 1_735_689_600 * SECOND  # 2025-01-01: a generated market needs some date
_SLICE_NS = 50 * MILLISECOND
_SHOW_NS = 250 * MILLISECOND
_GAPS_MAX = 0.001  # of a leg's bars


class RunRequest(msgspec.Struct, frozen=True):
    """What to run. ``speed``: simulated seconds per wall second, None as fast as it goes.

    ``duration_ns`` counts simulated time from the first start of the state directory;
    ``allow_gaps`` runs over bars that the history lacks.
    """

    mode: str
    feed: str
    data: Path | None
    venue: str | None
    pairs: tuple[str, ...] | None
    start_ns: int | None
    end_ns: int | None
    duration_ns: int | None
    bar: str | None
    capital: Decimal
    speed: float | None
    seed: int
    settings: Settings
    state: Path | None
    metrics_port: int | None
    allow_gaps: bool = False


class RunResult(msgspec.Struct, frozen=True):
    """``report`` is the JSON document; ``facts`` the whole life of the state directory."""

    report: dict[str, Any]
    facts: tuple[Fact, ...]
    interrupted: bool


def run(
    request: RunRequest,
    on_snapshot: Callable[[Snapshot], None] | None,
    should_stop: Callable[[], bool],
    on_fact: Callable[[Fact], None] | None = None,
    on_alarm: Callable[[RaiseAlarm], None] | None = None,
) -> RunResult:
    """Run until its end or until ``should_stop``; both leave a state that can be resumed.

    Raises:
        RunError: the state directory belongs to another run, or the request is contradictory.
        DataError: recorded history cannot be read as asked.
        JournalError: the journal cannot be written or is in use.
    """
    source = _source(request)
    with _monitored(request.metrics_port, source.pairs) as monitor:
        recorder = monitor.recorder if monitor is not None else None
        started = Run(
            source,
            CashAndCarry(
                paced(request.settings, source.cadence_ns).strategy,
                source.pairs,
                leverage_target=request.settings.risk.leverage_target,
                risk_per_trade=request.settings.risk.risk_per_trade,
            ),
            request.settings,
            mode=request.mode,
            seed=request.seed,
            capital=request.capital,
            state=request.state,
            on_fact=to_all(on_fact, recorder.fact if recorder else None),
            on_alarm=to_all(on_alarm, recorder.alarm if recorder else None),
        )
        if monitor is not None:
            monitor.time_commits(started)
        try:
            interrupted = _loop(started, request, on_snapshot, should_stop, monitor)
            started.finish()
            facts = started.facts()
            return RunResult(started.report(facts), facts, interrupted)
        finally:
            started.close()


def _loop(
    run: Run,
    request: RunRequest,
    on_snapshot: Callable[[Snapshot], None] | None,
    should_stop: Callable[[], bool],
    monitor: "Monitor | None",
) -> bool:
    """Advance in slices: of wall time at a person's pace, of simulated time at full speed."""
    first_ns = run.source.start_ns
    ends = [request.end_ns, run.source.end_ns]
    ends.append(first_ns + request.duration_ns if request.duration_ns is not None else None)
    end_ns = min((end for end in ends if end is not None), default=None)
    # Almost nothing here is cyclic garbage, and what was made so far stays: look for it seldom.
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)
    clock = SystemClock()
    began = clock.monotonic_ns()
    origin_ns = reached_ns = run.venue.now_ns
    shown = 0
    while not run.venue.ended and (end_ns is None or run.venue.now_ns < end_ns):
        if should_stop():
            return True
        if request.speed is None:
            until_ns = run.venue.now_ns + HOUR
        else:
            asleep = clock.monotonic_ns()
            clock.sleep(_SLICE_NS)
            awake = clock.monotonic_ns()
            # Behind its pace it catches up by and by, or nothing would be shown meanwhile.
            most_ns = reached_ns + int(_SHOW_NS * request.speed)
            until_ns = min(origin_ns + int((awake - began) * request.speed), most_ns)
            reached_ns = until_ns
            if monitor is not None:
                monitor.recorder.woke_late((awake - asleep - _SLICE_NS) / SECOND)
        run.advance(until_ns if end_ns is None else min(until_ns, end_ns))
        if clock.monotonic_ns() - shown >= _SHOW_NS:
            shown = clock.monotonic_ns()
            picture = snapshot(run.engine)
            if on_snapshot is not None:
                on_snapshot(picture)
            if monitor is not None:
                loops = {"decide": picture.time_ns, "public": picture.last_market_ns or 0}
                monitor.show(picture, run.venue.now_ns, loops)
                monitor.got_on()
    return False


def _source(request: RunRequest) -> MarketSource:
    if request.feed == "simulated":
        from execution.venues.simulated.generated import generated_market

        pairs = load_pairs("simulated", request.pairs)
        return generated_market(request.seed, GENERATED_START_NS, pairs)
    from bot.backtest.history import open_history

    assert request.data is not None, "Invariant: a replay names its directory"
    source = open_history(
        request.data,
        request.venue or "hyperliquid",
        request.pairs or (),
        start_ns=request.start_ns,
        end_ns=request.end_ns,
        bar=request.bar,
    )
    if not request.allow_gaps:
        _require_whole(source.coverage)
    return source


def _require_whole(coverage: Sequence[Coverage]) -> None:
    """A few missing bars are a venue's own outages; more are a file that lost something."""
    for leg in coverage:
        missing = leg.missing_bars - leg.junk_bars
        if missing > max(_GAPS_MAX * leg.bars, 0):
            raise RunError(
                f"gap in the bars: {leg}: choose another window or bar, "
                "or run over it by --allow-gaps (nothing is quoted inside a gap)"
            )


@contextmanager
def _monitored(port: int | None, pairs: Sequence[Pair]) -> "Iterator[Monitor | None]":
    """The metrics page, where one is wanted."""
    if port is None:
        yield None
        return
    from bot.monitor import Monitor

    monitor = Monitor(port, pairs)
    try:
        yield monitor
    finally:
        monitor.close()
