"""``fundarb reset``, ``pause``, ``kill``, …: what a person may tell a bot, running or stopped."""

import getpass
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.cli.main import run
from bot.instruments import load_pairs
from domain.time import SECOND
from execution.facts import CommandGiven, LimitTripped
from execution.journal import SqliteJournal, open_for_reading
from execution.state import State, apply
from tests.unit.bot.cli.processes import running


@pytest.fixture
def halted(tmp_path: Path) -> Path:
    """A state directory whose run stopped with a drawdown limit tripped."""
    state = tmp_path / "state"
    assert run(["paper", "--state", str(state), "--for", "1h", "--speed", "max", "--no-web"]) == 0
    with SqliteJournal(state / "journal.sqlite") as journal:
        journal.append([LimitTripped("drawdown", True, "lost 0.11", 1_735_700_000 * SECOND)])
    return state


def tripped(state: Path) -> tuple[str, ...]:
    kept = State(load_pairs("simulated"))
    with open_for_reading(state / "journal.sqlite") as journal:
        for fact in journal.read():
            apply(kept, fact)
    return kept.limits.names


def test_a_tripped_limit_is_cleared_and_stays_cleared(halted: Path) -> None:
    assert tripped(halted) == ("drawdown",)
    assert run(["reset", "drawdown", "--state", str(halted)]) == 0
    assert tripped(halted) == ()


def test_a_limit_that_is_not_tripped_is_named_as_such(
    halted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["reset", "daily_loss", "--state", str(halted)]) == 2
    assert "tripped: drawdown" in capsys.readouterr().err


def test_a_running_bot_is_not_written_to(halted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with SqliteJournal(halted / "journal.sqlite"):
        assert run(["reset", "drawdown", "--state", str(halted)]) == 2
    assert "error:" in capsys.readouterr().err
    assert tripped(halted) == ("drawdown",)


def test_without_a_journal_there_is_nothing_to_reset(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["reset", "drawdown", "--state", str(tmp_path)]) == 2
    assert "fundarb paper" in capsys.readouterr().err


# --- a bot that runs ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A paper bot as a process of its own, without a port, with trades open."""
    folder = tmp_path_factory.mktemp("bot")
    words = ["paper", "--speed", "3600", "--no-web", "--pairs", "SOL,PURR", "--state", "state"]
    with running(folder, *words) as command:
        command.heard(event="stage_changed", stage="holding")
        yield folder / "state"


SLOW = "pydantic pydantic_core msgspec structlog polars numpy ccxt aiohttp sqlite3 starlette"
"""What takes longer to import than a person waits for an answer."""


@pytest.mark.parametrize(
    "line", ["status", "positions", "why SOL", "pause", "resume --yes", "reset killed --yes"]
)
def test_a_command_to_a_running_bot_loads_nothing_slow(
    bot: Path, line: str, environment: dict[str, str]
) -> None:
    words = [*line.split(), "--state", str(bot)]
    code = f"import sys; from bot.cli.main import run; run({words!r}); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )

    loaded = set(done.stdout.splitlines()[-1].split())
    assert "bot.cli.reaching" in loaded  # it was the bot that answered
    assert loaded & set(SLOW.split()) == set()


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    code = run([*words, "--json", "-"])
    said = capsys.readouterr()
    assert code == 0, said.err
    told: dict[str, Any] = json.loads(said.out)
    return told


def test_a_pause_shows_in_the_status_and_a_resume_takes_it_back(
    bot: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer(capsys, "pause", "--state", str(bot))["state"] == "paused"
    assert run(["status", "--state", str(bot)]) == 0
    assert "Paused: nothing is entered" in capsys.readouterr().out

    assert answer(capsys, "resume", "--yes", "--state", str(bot))["state"] == "running"
    assert answer(capsys, "status", "--state", str(bot))["paused"] is False


def test_where_nobody_can_type_a_confirmation_it_has_to_be_given(
    bot: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["flatten"], ["kill"], ["close", "SOL"], ["resume"]):
        assert run([*words, "--state", str(bot)]) == 2
        assert "add --yes" in capsys.readouterr().err


@pytest.mark.parametrize(("typed", "code"), [("flatten live", 2), ("", 2), ("close SOL", 0)])
def test_what_a_person_types_is_what_counts(
    bot: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    code: int,
) -> None:
    if code == 0 and not answer(capsys, "status", "--state", str(bot))["pairs"][0]["trade"]:
        pytest.skip("the trade is closed by now")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: typed)

    assert run(["close", "sol", "--state", str(bot)]) == code

    said = capsys.readouterr()
    assert "paper on simulated (no real money)" in said.out
    assert ("close SOL: done" in said.out) == (code == 0)


def test_the_answers_of_a_running_bot_have_the_form_of_those_from_its_journal(
    bot: Path, capsys: pytest.CaptureFixture[str], finished: Path
) -> None:
    for words in (["status"], ["positions"], ["why", "SOL"], ["why", "SOL#1"]):
        live = answer(capsys, *words, "--state", str(bot))
        kept = answer(capsys, *words, "--state", str(finished / "state"))

        assert live.keys() == kept.keys()
        both = [name for name in live if None not in (live[name], kept[name])]
        assert [type(live[name]) for name in both] == [type(kept[name]) for name in both]
        assert run([*words, "--state", str(bot)]) == 0  # and a person can read them
        capsys.readouterr()


@pytest.mark.parametrize("words", [["why", "NOSUCH"], ["close", "NOSUCH", "--yes"]])
def test_a_name_that_a_running_bot_does_not_know_is_told_in_one_line(
    bot: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert run([*words, "--state", str(bot)]) == 2

    said = capsys.readouterr()
    assert said.err.startswith("error: no trade")
    assert "NOSUCH" in said.err


def test_a_bot_without_a_page_says_that_it_has_none(
    bot: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["web", "--state", str(bot)]) == 2
    assert "shows no page" in capsys.readouterr().err
    assert run(["top", "--state", str(bot)]) == 2
    assert "draws on a terminal" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["pause", "resume", "flatten", "kill", "web", "top"])
def test_what_only_a_running_bot_can_do_says_that_none_runs(
    finished: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    assert run([verb, "--state", str(finished / "state")]) == 2
    assert "no bot is running on" in capsys.readouterr().err


def test_a_kill_closes_everything_and_the_journal_says_who_gave_it(
    bot: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = answer(capsys, "kill", "--yes", "--state", str(bot))
    assert (told["state"], told["limits"]) == ("halted", ["killed"])

    deadline = time.monotonic() + 20
    while any(pair["trade"] for pair in answer(capsys, "status", "--state", str(bot))["pairs"]):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert answer(capsys, "reset", "killed", "--yes", "--state", str(bot))["limits"] == []

    with open_for_reading(bot / "journal.sqlite") as journal:
        given = [fact for fact in journal.read() if isinstance(fact, CommandGiven)]
    assert [fact.command for fact in given][-2:] == ["kill", "reset"]
    assert {fact.actor for fact in given} == {f"terminal:{getpass.getuser()}"}


def test_what_a_killed_bot_left_behind_is_read_from_its_journal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["paper", "--speed", "3600", "--no-web", "--pairs", "SOL", "--state", "state"]
    with running(tmp_path, *words) as command:
        command.heard(event="decision")
        command.kill()
    state = tmp_path / "state"

    assert (state / "control.sock").exists()
    assert answer(capsys, "status", "--state", str(state))["mode"] == "paper"
    assert run(["pause", "--state", str(state)]) == 2
    assert "no bot is running on" in capsys.readouterr().err
    with running(tmp_path, *words) as command:
        command.heard(event="decision")
        assert answer(capsys, "pause", "--state", str(state))["state"] == "paused"
