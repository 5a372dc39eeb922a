"""What the console runs: a market is opened, a run advanced at the asked pace, a report made.

The loop is one task: the venue hands over the next event, the engine decides, the
journal commits, then the effects leave. Whoever looks on (screen, metrics) is shown
frozen pictures in between.
"""

import asyncio
import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec

from bot.backtest.coverage import Coverage
from bot.choosing import chosen
from bot.clock import SystemClock
from bot.control import Control
from bot.feeds.heard import recording
from bot.hearing import to_all
from bot.instruments import load_pairs
from bot.picture import snapshot
from bot.run import Run, RunError, paced
from bot.settings import Settings
from bot.systemd import ServiceManager
from domain.instruments import Pair
from domain.time import DAY, HOUR, MILLISECOND, SECOND, iso
from execution.effects import RaiseAlarm
from execution.facts import Fact
from execution.snapshot import Snapshot
from execution.venues.simulated.source import MarketSource

if TYPE_CHECKING:
    from bot.monitor import Monitor

LIVE_FEED = "hyperliquid"
GENERATED_START_NS = 1_735_689_600 * SECOND  # 2025-01-01: a generated market needs some date
_SLICE_NS = 50 * MILLISECOND
_SHOW_NS = 250 * MILLISECOND
_GAPS_MAX = 0.001  # of a leg's bars


class RunRequest(msgspec.Struct, frozen=True):
    """What to run. ``speed``: simulated seconds per wall second, None as fast as it goes.

    ``steered``: the socket file for the command line is there, and with ``port_open`` the page.
    ``duration_ns`` counts simulated time from the first start of the state directory;
    ``allow_gaps`` runs over bars that the history lacks; ``url`` is where a live market is.
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
    url: str | None = None
    steered: bool = False
    port_open: bool = False


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
    warn: Callable[[str], None] = lambda _: None,
) -> RunResult:
    """Run until its end or until ``should_stop``; both leave a state that can be resumed.

    Raises:
        RunError: the state directory belongs to another run, or the request is contradictory.
        DataError: recorded history cannot be read as asked.
        JournalError: the journal cannot be written or is in use.
    """
    if request.feed == LIVE_FEED:
        from bot.feeds.follow import follow

        return asyncio.run(follow(request, on_snapshot, should_stop, on_fact, on_alarm, warn))
    source = open_market(request)
    for what in _shorter(request, source):
        warn(what)
    settle_memory()
    return play(request, source, on_snapshot, should_stop, on_fact, on_alarm, warn)


def play(
    request: RunRequest,
    source: MarketSource,
    on_snapshot: Callable[[Snapshot], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    on_fact: Callable[[Fact], None] | None = None,
    on_alarm: Callable[[RaiseAlarm], None] | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> RunResult:
    """``run`` over a market that is open already, and may be played again."""
    with (
        Onlookers(request, source.pairs, on_snapshot, on_fact, on_alarm) as onlookers,
        closing(begin(request, source, onlookers)) as started,
    ):
        with steered(request, warn) as control:
            interrupted = _loop(started, request, onlookers, should_stop, control)
        return ended(started, interrupted=interrupted)


def begin(request: RunRequest, source: MarketSource, onlookers: "Onlookers") -> Run:
    """The run over ``source``, taken up where its state directory left it."""
    run = Run(
        source,
        chosen(paced(request.settings, source.cadence_ns), source.pairs),
        request.settings,
        mode=request.mode,
        seed=request.seed,
        capital=request.capital,
        state=request.state,
        on_fact=onlookers.on_fact,
        on_alarm=onlookers.on_alarm,
        restartable=request.feed == LIVE_FEED,
        recorded=request.steered,
    )
    if onlookers.monitor is not None:
        onlookers.monitor.time_commits(run)
    return run


def ended(run: Run, *, interrupted: bool) -> RunResult:
    """Value everything, and say what came of it."""
    run.finish()
    facts = run.facts()
    return RunResult(run.report(facts), facts, interrupted)


class Onlookers:
    """Whoever looks on: the screen and the metrics page, shown a picture four times a second,
    the service manager, and who is told of facts and alarms. ``monitor`` is the page, where one is
    wanted."""

    def __init__(
        self,
        request: RunRequest,
        pairs: Sequence[Pair],
        on_snapshot: Callable[[Snapshot], None] | None,
        on_fact: Callable[[Fact], None] | None,
        on_alarm: Callable[[RaiseAlarm], None] | None,
    ) -> None:
        self.monitor = _monitor(request.metrics_port, pairs, request.state)
        recorder = self.monitor.recorder if self.monitor is not None else None
        self.on_fact = to_all(on_fact, recorder.fact if recorder else None)
        self.on_alarm = to_all(on_alarm, recorder.alarm if recorder else None)
        self._on_snapshot, self._clock = on_snapshot, SystemClock()
        self._manager = ServiceManager()
        self._shown_ns = 0

    def show(self, run: Run) -> None:
        if self._clock.monotonic_ns() - self._shown_ns < _SHOW_NS:
            return
        self._shown_ns = self._clock.monotonic_ns()
        picture = snapshot(run.engine)
        if self._on_snapshot is not None:
            self._on_snapshot(picture)
        if self.monitor is not None:
            loops = {"decide": picture.time_ns, "public": picture.last_market_ns or 0}
            self.monitor.show(picture, run.venue.now_ns, loops)
        self._manager.got_on()

    def woke(self, slept_ns: int, wanted_ns: int) -> None:
        """The loop slept for so long."""
        if self.monitor is not None:
            self.monitor.recorder.woke_late((slept_ns - wanted_ns) / SECOND)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.monitor is not None:
            self.monitor.close()


def _monitor(port: int | None, pairs: Sequence[Pair], state: Path | None) -> "Monitor | None":
    if port is None:
        return None
    from bot.monitor import Monitor

    return Monitor(port, pairs, state)


def end_of(run: Run, request: RunRequest) -> int | None:
    """When it is to end; None: when it is told to."""
    ends = [request.end_ns, run.source.end_ns]
    ends.append(run.first_ns + request.duration_ns if request.duration_ns is not None else None)
    return min((end for end in ends if end is not None), default=None)


def settle_memory() -> None:
    """Almost nothing here is cyclic garbage, and what was made so far stays: look for it seldom."""
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)


def _loop(
    run: Run,
    request: RunRequest,
    onlookers: Onlookers,
    should_stop: Callable[[], bool],
    control: Control,
) -> bool:
    """Advance in slices: of wall time at a person's pace, of simulated time at full speed."""
    clock = SystemClock()
    end_ns = end_of(run, request)
    began = clock.monotonic_ns()
    origin_ns = reached_ns = run.venue.now_ns
    while not run.venue.ended and (end_ns is None or run.venue.now_ns < end_ns):
        if should_stop():
            return True
        if request.speed is None:
            until_ns = run.venue.now_ns + HOUR
        else:
            asleep = clock.monotonic_ns()
            clock.sleep(_SLICE_NS)
            awake = clock.monotonic_ns()
            onlookers.woke(awake - asleep, _SLICE_NS)
            # Behind its pace it catches up by and by, or nothing would be shown meanwhile.
            most_ns = reached_ns + int(_SHOW_NS * request.speed)
            until_ns = min(origin_ns + int((awake - began) * request.speed), most_ns)
            reached_ns = until_ns
        control.answer(run)
        run.advance(until_ns if end_ns is None else min(until_ns, end_ns))
        onlookers.show(run)
    return False


@contextmanager
def steered(request: RunRequest, warn: Callable[[str], None]) -> Iterator[Control]:
    """What the run is asked and told through; nobody does where it is not to be steered."""
    control = Control()
    if not request.steered or request.state is None:
        yield control
        return
    from bot.web.serve import serving

    web = request.settings.web if request.port_open else None
    with serving(control, request.state, web, warn):
        yield control


def open_market(request: RunRequest) -> MarketSource:
    """What the request wants played: generated, recorded live, or history.

    Raises:
        RunError, DataError, UnknownPair: there is no such market, or it has gaps.
    """
    if request.feed == "simulated":
        from execution.venues.simulated.generated import generated_market

        pairs = load_pairs("simulated", request.pairs)
        return generated_market(request.seed, GENERATED_START_NS, pairs)
    from bot.backtest.history import open_history

    assert request.data is not None, "Invariant: a replay names its directory"
    heard = recording(request.data)
    if heard and request.mode != "paper" and not (request.data / "prices").is_dir():
        raise RunError(
            f"{request.data} is a recording, and has no bars: "
            f"fundarb paper --feed replay:{request.data} replays it"
        )
    if heard and request.mode == "paper":
        from bot.feeds.recorded import open_recording

        if request.start_ns is not None or request.bar is not None:
            raise RunError(
                f"--from and --bar are of bars: {request.data} is a recording, replayed whole"
            )
        return open_recording(request.data, request.pairs)
    venue = request.venue or "hyperliquid"
    source = open_history(
        request.data,
        venue,
        [pair.name for pair in load_pairs(venue, request.pairs)],
        start_ns=request.start_ns,
        end_ns=request.end_ns,
        bar=request.bar,
    )
    if not request.allow_gaps:
        _require_whole(source.coverage)
    return source


def _shorter(request: RunRequest, source: MarketSource) -> Iterator[str]:
    """Where history has over a day less than was asked for, a sentence each."""
    if request.start_ns is not None and source.start_ns - request.start_ns > DAY:
        yield f"the history begins on {iso(source.start_ns)[:10]}, and the run with it"
    if request.end_ns is not None and source.end_ns and request.end_ns - source.end_ns > DAY:
        yield f"the history ends on {iso(source.end_ns)[:10]}, and the run with it"


def _require_whole(coverage: Sequence[Coverage]) -> None:
    """A few missing bars are a venue's own outages; more are a file that lost something."""
    for leg in coverage:
        missing = leg.missing_bars - leg.junk_bars
        if missing > _GAPS_MAX * leg.bars:
            raise RunError(
                f"gap in the bars: {leg}: choose another window or bar, "
                "or run over it by --allow-gaps (nothing is quoted inside a gap)"
            )
