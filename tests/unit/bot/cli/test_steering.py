"""``fundarb reset``: what a person may clear, and what not."""

from pathlib import Path

import pytest

from bot.cli.main import run
from bot.instruments import load_pairs
from domain.time import SECOND
from execution.facts import LimitTripped
from execution.journal import SqliteJournal, open_for_reading
from execution.state import State, apply


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
