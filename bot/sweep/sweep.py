"""The sweep itself: trials dealt out to processes, and what they found written down."""

import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from hashlib import sha256
from itertools import islice
from multiprocessing import active_children, get_context, resource_tracker
from pathlib import Path
from platform import python_version

import msgspec

from bot import settings
from bot.app import RunRequest
from bot.backtest.bars import are_invented, find_files
from bot.backtest.funding import funding_files
from bot.clock import SystemClock
from bot.config_files import config_file
from bot.instruments import load_listings, load_pairs
from bot.sweep import trial
from bot.sweep.results import best_of, done, scored
from bot.sweep.space import Number, Space, SweepError, Values
from bot.sweep.study import Opened, Study, Tried, open_study
from bot.sweep.windows import Plan
from domain.time import iso

Progress = Callable[[int, int], None]
"""Told how many backtests are done, of how many."""

_LISTENS_SECONDS = 0.2


class SweepRequest(msgspec.Struct, frozen=True):
    """What to sweep. ``run`` is the backtest that varies, without its window.

    ``trials`` is how many configurations there are to be in all, those of before among them.
    """

    run: RunRequest
    space: Space
    plan: Plan
    trials: int
    jobs: int
    directory: Path
    open_sealed: bool


class SweepResult(msgspec.Struct, frozen=True):
    """Everything that was tried so far. ``interrupted``: there was more to do. ``synthetic``: the
    history is invented."""

    tried: list[Tried]
    opened: Opened | None
    interrupted: bool
    synthetic: bool


def sweep(
    request: SweepRequest, on_progress: Progress, should_stop: Callable[[], bool]
) -> SweepResult:
    """Try what is not tried yet, until it is or until ``should_stop``; then it can go on.

    Raises:
        SweepError: the study is of something else, or the sealed window has been looked into.
        DataError, RunError: the history cannot be used.
    """
    run = request.run
    first = as_they_are(run.settings, request.space)
    with open_study(request.directory, request.space, run.seed, first) as study:
        study.require(identity(request), request.directory)
        _refuse_second_look(study, request)
        try:
            with _processes(request.jobs) as pool:
                whole = _try_more(request, study, pool, on_progress, should_stop)
                if whole and request.open_sealed:
                    whole = _look_into_sealed(request, study, pool, should_stop)
        except BrokenProcessPool:
            whole = False
            if not should_stop():  # Ctrl-C ends processes that do not listen for it yet
                raise SweepError(
                    "a process was ended from outside, perhaps for want of memory: the same "
                    "command goes on, with fewer --jobs if it was that"
                ) from None
        synthetic = are_invented(_data_files(run))
        return SweepResult(study.tried, study.opened, not whole, synthetic)


def identity(request: SweepRequest) -> dict[str, str]:
    """What makes trials comparable: each of these as text, by its name in a sentence."""
    run, plan = request.run, request.plan
    pairs = load_pairs(run.venue or "", run.pairs)
    return {
        "venue": str(run.venue),
        "pairs": ",".join(pair.name for pair in pairs),
        "windows": f"{', '.join(iso(w.start_ns or 0)[:10] for w in plan.windows)} "
        f"({plan.train} to train on)",
        "bar": run.bar or "any",
        "capital": str(run.capital),
        "inventory": run.settings.account.inventory or "none",
        "seed": str(run.seed),
        "gaps": "allowed" if run.allow_gaps else "refused",
        "space": "; ".join(
            f"{d.key} {d.low} to {d.high}"
            + (" log" if d.log else "" if d.step is None else f" by {d.step}")
            for d in request.space
        ),
        "settings": settings.digest(run.settings),
        "data": _data_digest(run),
        "code": _code_digest(),
    }


def _try_more(
    request: SweepRequest,
    study: Study,
    pool: ProcessPoolExecutor,
    on_progress: Progress,
    should_stop: Callable[[], bool],
) -> bool:
    """Every window but the sealed one of every trial; whether all is done."""
    windows = range(request.plan.sealed)
    most = max(request.trials, len(study.tried))  # what was begun is ended
    last = request.plan.folds()[-1].train
    begun: dict[int, Tried] = {}
    played = sum(1 for t in study.tried for place in windows if t.refused or place in t.outcomes)

    def tasks() -> Iterator[tuple[int, int, Values]]:
        for one in study.more(most):
            begun[one.number] = one
            missing = [place for place in windows if place not in one.outcomes]
            if one.refused or not missing:
                finish(one.number)
                continue
            for place in missing:
                yield one.number, place, one.values

    def finish(number: int) -> None:
        one = begun.pop(number)
        study.finish(number, None if one.refused else scored(one, last).score)

    on_progress(played, most * len(windows))
    for number, place, outcome in _played(request, pool, tasks(), should_stop):
        one = begun.get(number)
        if one is None:  # it was refused over another window already
            continue
        study.keep(number, place, outcome)
        if isinstance(outcome, trial.Refused):
            begun[number] = msgspec.structs.replace(one, refused=outcome.reason)
            played += len(windows) - len(one.outcomes)
        else:
            outcomes = {**one.outcomes, place: outcome}
            begun[number] = msgspec.structs.replace(one, outcomes=outcomes)
            played += 1
        if begun[number].refused or len(begun[number].outcomes) == len(windows):
            finish(number)
        on_progress(played, most * len(windows))
    return not should_stop()


def _look_into_sealed(
    request: SweepRequest, study: Study, pool: ProcessPoolExecutor, should_stop: Callable[[], bool]
) -> bool:
    """The best of all trials over the sealed window; whether that is done."""
    opened, tried = study.opened, study.tried
    if opened is None:
        whole = done(request.plan, tried)
        best = best_of(whole, request.plan.folds()[-1].train)
        if best is None:
            raise SweepError(
                "no trial came through: each was refused, liquidated or broke an invariant"
            )
        opened = Opened(best.number, len(whole), SystemClock().now_ns())
        study.open_sealed(opened)
    place = request.plan.sealed
    tasks = iter([(opened.number, place, tried[opened.number].values)])
    for _, _, outcome in _played(request, pool, tasks, should_stop):
        assert isinstance(outcome, trial.Outcome), "Invariant: it ran over other windows"
        study.open_sealed(msgspec.structs.replace(opened, outcome=outcome))
    return not should_stop()


def _refuse_second_look(study: Study, request: SweepRequest) -> None:
    opened = study.opened
    if opened is None:
        return
    tried = study.tried
    seen = f"the sealed window was opened {opened}"
    if request.open_sealed and opened.outcome is not None:
        raise SweepError(
            f"{seen}, and a second look would be a choice by it: the same command without "
            "--open-sealed shows what it found"
        )
    if request.trials > len(tried):
        raise SweepError(
            f"{seen}: what is tried after that is chosen knowing it. Leave --trials at "
            f"{len(tried)}, or begin another --study whose --to is later"
        )


def _played(
    request: SweepRequest,
    pool: ProcessPoolExecutor,
    tasks: Iterator[tuple[int, int, Values]],
    should_stop: Callable[[], bool],
) -> Iterator[tuple[int, int, trial.Outcome | trial.Refused]]:
    """Play each task (trial, window, settings) in some process; outcomes as they come."""
    working: dict[Future[trial.Outcome | trial.Refused], tuple[int, int]] = {}
    while not should_stop():
        for number, place, values in islice(tasks, 2 * request.jobs - len(working)):
            window = request.plan.windows[place]
            run = msgspec.structs.replace(
                request.run, start_ns=window.start_ns, end_ns=window.end_ns
            )
            with _born_deaf():
                future = pool.submit(trial.play, run, values)
            working[future] = number, place
        if not working:
            return
        ready, _ = wait(working, timeout=_LISTENS_SECONDS, return_when=FIRST_COMPLETED)
        for future in ready:
            yield *working.pop(future), future.result()


@contextmanager
def _born_deaf() -> Iterator[None]:
    """A process that is started here inherits that Ctrl-C waits, until ``trial.begin`` says so too.

    The helper of ``multiprocessing`` that would undo it on its own start is started before.
    """
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _processes(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that read each window once. At the end, or at Ctrl-C, what is under way is dropped:
    none of them holds anything that is not written down."""
    context = get_context("spawn")  # a fork of a process in which polars has threads may hang
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=trial.begin)
    before = set(active_children())
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        children = set(active_children()) - before
        for child in children:
            child.terminate()
        for child in children:
            child.join()


def as_they_are(chosen: settings.Settings, space: Space) -> Values:
    """What the settings are now, in the space's dimensions."""

    def value(key: str) -> Number:
        section, _, name = key.partition(".")
        number = settings.entries(chosen, section)[name]
        return number if isinstance(number, int) else float(number)

    return {dimension.key: value(dimension.key) for dimension in space}


def _data_digest(run: RunRequest) -> str:
    assert run.data is not None, "Invariant: a sweep names its directory"
    return _digest({str(path.relative_to(run.data)): path for path in _data_files(run)})


def _data_files(run: RunRequest) -> list[Path]:
    """Every file of history that the backtests may read."""
    assert run.data is not None, "Invariant: a sweep names its directory"
    venue = run.venue or ""
    listings = load_listings(venue)
    files = funding_files(run.data, venue)
    for pair in load_pairs(venue, run.pairs):
        for leg in (pair.spot, pair.perp):
            found = find_files(run.data, venue, leg.kind, listings[leg.symbol].history)
            files += [path for paths in found.values() for path in paths]
    return files


def _code_digest() -> str:
    """Of every module and every table of venues that a backtest runs, and of Python."""
    root = Path(__file__).resolve().parents[1]
    found = {
        f"{folder.name}/{path.relative_to(folder)}": path
        for folder in (
            root,
            *(root.parent / name for name in ("domain", "execution", "strategies")),
        )
        for path in folder.rglob("*.py")
    }
    config = config_file("symbols.toml").parent
    found |= {str(path.relative_to(config)): path for path in config.rglob("*.toml")}
    return f"{_digest(found)} {python_version()}"


def _digest(files: Mapping[str, Path]) -> str:
    digest = sha256()
    for name, path in sorted(files.items()):
        digest.update(f"{name} {sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()
