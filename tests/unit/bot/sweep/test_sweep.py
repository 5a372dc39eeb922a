"""A sweep over a small SYNTHETIC history: what it plays, what it keeps, what it refuses."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from rich.console import Console

from bot.app import RunRequest
from bot.backtest.bars import DataError
from bot.cli.main import run
from bot.cli.sweep import _progress
from bot.settings import load
from bot.sweep.space import Dimension, SweepError
from bot.sweep.study import Opened
from bot.sweep.sweep import SweepRequest, SweepResult, sweep
from bot.sweep.trial import Outcome, play
from bot.sweep.windows import plan_windows
from domain.time import DAY, parse_instant
from tests.benchmarks.synthetic_history import write_history

ROOT = Path(__file__).resolve().parents[4]
START, SEALED, END = "2024-01-01", "2024-03-01", "2024-04-01"
SPACE = (
    Dimension("strategy.funding_half_life_hours", 4, 48, log=True),
    Dimension("risk.leverage_target", 1, 2),
)
replace = msgspec.structs.replace


def never() -> bool:
    return False


def swept(request: SweepRequest, stop: Callable[[], bool] = never) -> SweepResult:
    return sweep(request, lambda _done, _of: None, stop)


def stopping_after(count: int) -> tuple[Callable[[int, int], None], Callable[[], bool]]:
    """Progress to tell, and whether to stop: once so many backtests are done."""
    done = 0

    def tell(now: int, _of: int) -> None:
        nonlocal done
        done = now

    return tell, lambda: done >= count


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("history")
    write_history(directory, 24 * 91)
    return directory


@pytest.fixture(scope="module")
def asked(history: Path) -> SweepRequest:
    """Three windows of a month, the last one sealed; three trials."""
    start, end = parse_instant(START), parse_instant(END)
    settings = load().settings
    return SweepRequest(
        run=RunRequest(
            mode="backtest", feed="replay", data=history, venue="hyperliquid", pairs=("PURR",),
            start_ns=start, end_ns=end, duration_ns=None, bar="1h",
            capital=settings.account.capital, speed=None, seed=1, settings=settings, state=None,
            metrics_port=None,
        ),
        space=SPACE, plan=plan_windows(start, end, 1, 1), trials=3, jobs=1,
        directory=Path("nowhere"), open_sealed=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def done(asked: SweepRequest, tmp_path_factory: pytest.TempPathFactory) -> SweepRequest:
    """A study whose three trials are done, by one process."""
    request = replace(asked, directory=tmp_path_factory.mktemp("study"))
    assert not swept(request).interrupted
    return request


@pytest.fixture
def copied(done: SweepRequest, tmp_path: Path) -> SweepRequest:
    """The same study, to be done something with."""
    shutil.copytree(done.directory, tmp_path / "study")
    return replace(done, directory=tmp_path / "study")


def log_of(request: SweepRequest) -> list[dict[str, Any]]:
    lines = (request.directory / "study.log").read_text().splitlines()
    return [json.loads(line) for line in lines]


def played(request: SweepRequest) -> list[tuple[int, str]]:
    """Every outcome that was ever written: trial and window."""
    return [
        (line["trial_id"], name)
        for line in log_of(request)
        if "trial_id" in line
        for name in line.get("user_attr", {})
    ]


# --- the same engine ---------------------------------------------------------------------------


def test_a_trial_is_the_backtest_of_its_own_settings_file(
    done: SweepRequest, history: Path, tmp_path: Path
) -> None:
    """To the last digit, and every decision, order, fill and payment on the way (its digest)."""
    from bot.settings import altered, as_toml

    tried = swept(done).tried
    assert sum(outcome.trades for outcome in tried[1].outcomes.values()) > 0
    file, report = tmp_path / "trial.toml", tmp_path / "report.json"
    file.write_text(as_toml(altered(done.run.settings, tried[1].values, "")))
    code = run(
        f"backtest --data {history} --pairs PURR --bar 1h --from 2024-02-01 --to {SEALED} "
        f"--config {file} --json {report}".split()
    )
    assert code == 0
    told = json.loads(report.read_text())

    outcome = tried[1].outcomes[1]
    assert (outcome.total, outcome.digest) == (told["pnl"]["total"], told["digest"])
    assert outcome.drawdown == told["equity"]["max_drawdown"]
    assert outcome.net == pytest.approx(float(told["pnl"]["total"]) / 10_000)
    assert outcome.apr == pytest.approx(outcome.net / 29 * 365)  # February 2024 has 29 days


def test_a_market_that_is_played_again_is_the_same_market(asked: SweepRequest) -> None:
    window = asked.plan.windows[0]
    request = replace(asked.run, start_ns=window.start_ns, end_ns=window.end_ns)
    outcomes = [play(request, values) for values in ({}, {"risk.leverage_target": 1.5}, {})]

    assert outcomes[0] == outcomes[2] != outcomes[1]


def test_the_daily_returns_compound_to_the_net_of_the_window(done: SweepRequest) -> None:
    for one in swept(done).tried:
        for outcome in one.outcomes.values():
            assert outcome.days.count in (29, 31)
            assert outcome.days.first == pytest.approx(outcome.net, abs=1e-4)


# --- stop and go on, in any number of processes --------------------------------------------------


def test_two_processes_find_what_one_found(
    asked: SweepRequest, done: SweepRequest, tmp_path: Path
) -> None:
    found = swept(replace(asked, directory=tmp_path, jobs=2)).tried

    assert found == swept(done).tried


def test_a_sweep_that_was_stopped_goes_on_and_plays_nothing_twice(
    asked: SweepRequest, done: SweepRequest, tmp_path: Path
) -> None:
    request = replace(asked, directory=tmp_path)
    tell, stop = stopping_after(3)
    first = sweep(request, tell, stop)
    assert first.interrupted
    assert 3 <= len(played(request)) < 6

    second = swept(request)
    assert not second.interrupted
    assert second.tried == swept(done).tried
    assert len(played(request)) == len(set(played(request))) == 6


def test_a_finished_study_plays_nothing(copied: SweepRequest) -> None:
    before = played(copied)
    swept(copied)

    assert played(copied) == before


def test_more_trials_go_on_from_those_there_are(copied: SweepRequest) -> None:
    before = swept(copied).tried
    after = swept(replace(copied, trials=4)).tried

    assert after[:3] == before
    assert len(after) == 4
    assert len({tuple(one.values.items()) for one in after}) == 4


def test_a_line_that_a_kill_left_half_written_is_dropped(copied: SweepRequest) -> None:
    file = copied.directory / "study.log"
    before = swept(copied).tried
    with file.open("a") as log:
        log.write('{"op_code": 8, "worker_id": "x", "tri')
    (copied.directory / "study.log.lock").touch()

    assert swept(copied).tried == before
    assert all(log_of(copied))


def test_a_process_that_is_killed_costs_no_more_than_it_was_at(copied: SweepRequest) -> None:
    request = replace(copied, trials=4)

    def kill(_done: int, _of: int) -> None:
        for child in active_children():
            child.kill()

    with pytest.raises(SweepError, match="ended from outside"):
        sweep(request, kill, never)
    assert len(swept(request).tried) == 4
    assert len(played(request)) == len(set(played(request))) == 8


def test_ctrl_c_that_reaches_the_processes_first_is_a_stop_like_any(copied: SweepRequest) -> None:
    killed: list[int] = []
    answers = iter([False])

    def kill(done: int, _of: int) -> None:
        for child in active_children():
            child.kill()
            child.join()
            killed.append(done)

    def stop() -> bool:
        return bool(killed) and next(answers, True)

    assert sweep(replace(copied, trials=4), kill, stop).interrupted
    assert killed


def test_two_sweeps_of_one_study_are_refused(copied: SweepRequest) -> None:
    def second(_done: int, _of: int) -> None:
        with pytest.raises(SweepError, match="another sweep is at work"):
            swept(copied)

    sweep(replace(copied, trials=4), second, never)


# --- what does not compare ------------------------------------------------------------------------


def test_other_settings_space_seed_or_windows_are_refused(copied: SweepRequest) -> None:
    other = {
        "settings": replace(
            copied,
            run=replace(
                copied.run,
                settings=replace(
                    copied.run.settings,
                    strategy=replace(copied.run.settings.strategy, guard_hours=9.0),
                ),
            ),
        ),
        "space strategy.funding": replace(copied, space=SPACE[:1]),
        "seed 1, not 2": replace(copied, run=replace(copied.run, seed=2)),
        "pairs PURR, not HYPE": replace(copied, run=replace(copied.run, pairs=("HYPE",))),
        "windows 2024-01-01": replace(
            copied, plan=plan_windows(parse_instant("2023-12-01"), parse_instant(END), 1, 1)
        ),
    }
    for said, request in other.items():
        with pytest.raises(SweepError, match=f"is of (other )?{said}"):
            swept(request)


def test_other_data_is_refused(copied: SweepRequest, history: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "data"
    shutil.copytree(history, elsewhere)
    request = replace(copied, run=replace(copied.run, data=elsewhere))
    swept(request)  # the same data in another place

    file = elsewhere / "prices/hyperliquid/perp/PURR_1h.parquet"
    pl.read_parquet(file).with_columns(pl.col("volume") * 2).write_parquet(file)
    with pytest.raises(SweepError, match="is of other data"):
        swept(request)


def test_other_code_is_refused(copied: SweepRequest) -> None:
    file = copied.directory / "study.log"
    known = next(
        line["user_attr"]["identity"] for line in log_of(copied) if "identity" in str(line)
    )
    file.write_text(file.read_text().replace(known["code"], "0" * 64))

    with pytest.raises(SweepError, match="is of other code"):
        swept(copied)


def test_settings_that_contradict_each_other_are_refused_and_not_counted(
    asked: SweepRequest, tmp_path: Path
) -> None:
    beyond = (Dimension("risk.leverage_target", 2, 3, step=1),)
    found = swept(replace(asked, directory=tmp_path, space=beyond, trials=9)).tried

    assert [one.values["risk.leverage_target"] for one in found] == [2, 3]
    assert found[0].refused is None
    assert found[1].refused is not None
    assert "leverage" in found[1].refused


# --- the sealed window ----------------------------------------------------------------------------


@pytest.fixture
def poisoned(asked: SweepRequest, history: Path, tmp_path: Path) -> SweepRequest:
    """The sealed month's bars are impossible: whoever reads one of them fails."""
    shutil.copytree(history, tmp_path / "data")
    file = tmp_path / "data/prices/hyperliquid/perp/PURR_1h.parquet"
    sealed = pl.col("ts_ms") >= parse_instant(SEALED) // 1_000_000
    high = pl.when(sealed).then(-1.0).otherwise(pl.col("high"))
    pl.read_parquet(file).with_columns(high.alias("high")).write_parquet(file)
    run_there = replace(asked.run, data=tmp_path / "data")
    return replace(asked, run=run_there, directory=tmp_path / "study")


def test_the_sealed_window_is_not_read_until_it_is_opened_and_that_is_on_record_before(
    poisoned: SweepRequest, done: SweepRequest
) -> None:
    assert swept(poisoned).tried == swept(done).tried

    before_ns = time.time_ns()
    with pytest.raises(DataError, match="impossible bars"):
        swept(replace(poisoned, open_sealed=True))
    opened = swept(poisoned).opened
    assert opened is not None
    assert (opened.trials, opened.outcome) == (3, None)
    assert before_ns <= opened.time_ns <= time.time_ns()
    with pytest.raises(SweepError, match="chosen knowing it"):
        swept(replace(poisoned, trials=4))


def test_it_is_opened_once_on_the_best_and_then_nothing_more_is_tried(
    copied: SweepRequest,
) -> None:
    result = swept(replace(copied, open_sealed=True))
    opened, tried = result.opened, result.tried

    assert isinstance(opened, Opened)
    assert isinstance(opened.outcome, Outcome)
    scores = {one.number: one.outcomes[1].apr - one.outcomes[1].drawdown for one in tried}
    assert opened.number == max(scores, key=lambda number: (scores[number], -number))
    window = copied.plan.windows[2]
    alone = replace(copied.run, start_ns=window.start_ns, end_ns=window.end_ns)
    assert opened.outcome == play(alone, tried[opened.number].values)

    assert swept(copied).opened == opened
    with pytest.raises(SweepError, match="a second look would be a choice by it"):
        swept(replace(copied, open_sealed=True))
    with pytest.raises(SweepError, match="chosen knowing it"):
        swept(replace(copied, trials=4))


# --- the command ----------------------------------------------------------------------------------


def words(history: Path, folder: Path, *more: str, space: str = "") -> list[str]:
    file = folder / "space.toml"
    file.write_text(
        space
        or "[strategy]\nfunding_half_life_hours = {low = 4, high = 48, log = true}\n"
        "[risk]\nleverage_target = {low = 1, high = 2}\n"
    )
    return [
        *f"sweep --data {history} --pairs PURR --bar 1h --from {START} --to {END}".split(),
        *f"--windows 1/1 --space {file} --study {folder / 'study'}".split(),
        *more,
    ]


def test_a_log_is_told_each_tenth_of_the_way_once(capsys: pytest.CaptureFixture[str]) -> None:
    with _progress(Console(stderr=True, force_terminal=False)) as on_progress:
        for done in range(40, 101):
            on_progress(done, 100)

    told = capsys.readouterr().err.splitlines()
    assert told == [f"backtests: {done} of 100" for done in range(40, 101, 10)]


def test_the_command_tells_every_best_with_its_trials_and_its_deflated_ratio(
    history: Path, copied: SweepRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = words(history, tmp_path, "--trials", "3", "--json", "out.json")
    line[-1] = str(tmp_path / "out.json")
    assert run(line) == 0
    out, err = capsys.readouterr()
    told = json.loads((tmp_path / "out.json").read_text())
    assert "backtests: 6 of 6" in err  # of an earlier sweep, all of them

    assert told["trials"] == 3
    assert [window["sealed"] for window in told["windows"]] == [False, False, True]
    first, last = told["walk_forward"]
    assert (first["chosen_on"], first["judged_on"]) == ([0], [1])
    assert (last["judged_on"], last["out_of_sample"]) == ([2], None)
    tried = swept(copied).tried
    assert first["out_of_sample"]["net_apr"] == tried[first["trial"]].outcomes[1].apr
    assert all(0 <= best["deflated_sharpe_ratio"] <= 1 for best in told["best"])
    assert "3 trials" in out
    assert "sealed" in out
    assert "DSR" in out
    best = tmp_path / "study" / "best.toml"
    assert f"--config {best}" in out.replace("\n", "")
    settings = load(best).settings.strategy
    key = "strategy.funding_half_life_hours"
    assert settings.funding_half_life_hours == told["best"][0]["settings"][key]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--windows", "2"], "not TRAIN/TEST in months: write 6/2"),
        (["--windows", "0/1"], "not TRAIN/TEST"),
        (["--trials", "0"], "--trials: must be between 1"),
        (["--jobs", "none"], "--jobs: 'none' is not a whole number"),
        (["--to", "2023-01-01"], "is not after"),
        (["--to", "2024-03-01"], "let --to be 2024-04-01 or later"),
        (["--pairs", "NONE"], "'NONE' is no pair of hyperliquid"),
        (["--space", "missing.toml"], "--space: no file"),
        (["--data", "missing"], "--data: no directory"),
        (["--from", "2023-01-01", "--to", "2023-04-01"], "choose another window"),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_do(
    history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    assert run(words(history, tmp_path, *more)) == 2

    *begun, told = capsys.readouterr().err.splitlines()
    assert told.startswith("error: ")
    assert said in told
    assert all(line.startswith("backtests: 0 of ") for line in begun)


def test_ctrl_c_ends_the_command_and_the_same_command_goes_on(
    history: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "bot.cli.main", *words(history, tmp_path, "--trials", "3")]
    log = tmp_path / "study" / "study.log"
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not (log.exists() and '"window 0"' in log.read_text()):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "the same command goes on from there" in told
    assert subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode == 0
    assert log.read_text().count('"window ') == 6


@pytest.mark.parametrize("seconds", [0.1, 0.3])
def test_ctrl_c_of_a_terminal_while_processes_start_ends_it_without_a_traceback(
    history: Path, tmp_path: Path, seconds: float
) -> None:
    command = [sys.executable, "-m", "bot.cli.main", *words(history, tmp_path, "--trials", "3")]
    with subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "backtests: 0 of 6\n"
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGINT)  # a terminal tells all of them
        _, told = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "the same command goes on from there" in told
    assert "Traceback" not in told


def test_a_command_that_is_killed_leaves_no_process_behind(history: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bot.cli.main", *words(history, tmp_path, "--trials", "50")]
    log = tmp_path / "study" / "study.log"
    # Open in the command and whatever it starts: ended when the last of them is.
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not (log.exists() and '"window 0"' in log.read_text()):
            time.sleep(0.05)
        process.kill()
        process.communicate(timeout=30)

    assert process.returncode == -signal.SIGKILL


def test_without_optuna_the_command_says_how_to_get_it(
    history: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)  # as where it is not installed

    assert run(words(history, tmp_path)) == 2
    assert "pip install 'fundarb[sweep]'" in capsys.readouterr().err


def test_help_loads_neither_optuna_nor_numpy() -> None:
    script = (
        "import sys\nfrom bot.cli.main import run\nrun(['sweep', '--help'])\n"
        "sys.exit(bool({'optuna', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_file_that_is_no_study_is_told(copied: SweepRequest) -> None:
    (copied.directory / "study.log").write_text("no study\nat all\n")

    with pytest.raises(SweepError, match="is no study, or is damaged"):
        swept(copied)


def test_the_windows_of_the_fixture_are_what_the_tests_say(asked: SweepRequest) -> None:
    lengths = [((w.end_ns or 0) - (w.start_ns or 0)) // DAY for w in asked.plan.windows]

    assert lengths == [31, 29, 31]
