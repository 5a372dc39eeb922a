"""What a running bot is told and asked, and in whose thread it answers."""

import threading
from concurrent.futures import CancelledError

import pytest

from bot.control import COMMANDS, Control, Impossible, phrase
from bot.run import Run
from bot.web.page import page_of
from domain.time import HOUR, MINUTE
from execution.facts import CommandGiven
from execution.journal import JournalError
from tools.terminal_picture import paper_run


@pytest.fixture
def run() -> Run:
    """A paper run with trades open on the generated market."""
    run = paper_run(3 * HOUR)
    assert run.engine.state.open_trades
    return run


def told(run: Run, command: str, argument: str = "") -> object:
    control = Control()
    future = control.tell(command, argument, "terminal:alice")
    control.answer(run)
    return future.result(timeout=0)


def commands(run: Run) -> list[tuple[str, str, str]]:
    return [
        (fact.command, fact.argument, fact.actor)
        for fact in run.facts()
        if isinstance(fact, CommandGiven)
    ]


@pytest.mark.parametrize(
    ("command", "given"),
    [
        ("pause", ["pause"]),
        ("resume", ["resume"]),
        ("flatten", ["pause", "flatten"]),
        ("kill", ["kill"]),
    ],
)
def test_a_command_is_in_the_journal_with_who_gave_it_before_it_is_answered(
    run: Run, command: str, given: list[str]
) -> None:
    told(run, command)

    assert commands(run) == [(name, "", "terminal:alice") for name in given]


def test_a_pause_keeps_what_is_open_and_enters_nothing(run: Run) -> None:
    trades = dict(run.engine.state.open_trades)
    told(run, "pause")
    planned = len(run.engine.state.trades)

    run.advance(run.venue.now_ns + 12 * HOUR)

    assert page_of(run).snapshot.state == "paused"
    assert len(run.engine.state.trades) == planned
    assert run.engine.state.open_trades.items() <= trades.items()


def test_a_close_closes_both_legs_of_that_pair_alone(run: Run) -> None:
    pairs = list(run.engine.state.open_trades)
    told(run, "close", pairs[0])
    run.advance(run.venue.now_ns + 4 * MINUTE)

    assert pairs[0] not in run.engine.state.open_trades
    assert set(pairs[1:]) <= set(run.engine.state.open_trades)


@pytest.mark.parametrize("command", ["flatten", "kill"])
def test_everything_is_closed_and_nothing_entered_again(run: Run, command: str) -> None:
    told(run, command)
    run.advance(run.venue.now_ns + 12 * HOUR)

    assert run.engine.state.open_trades == {}
    assert page_of(run).snapshot.state == ("paused" if command == "flatten" else "halted")


def test_a_resume_takes_back_a_pause_and_no_kill(run: Run) -> None:
    told(run, "kill")
    told(run, "resume")
    assert page_of(run).snapshot.state == "halted"

    told(run, "reset", "killed")
    run.advance(run.venue.now_ns + 24 * HOUR)

    assert page_of(run).snapshot.state == "running"
    assert run.engine.state.open_trades


def test_two_kills_are_one_limit_and_two_commands(run: Run) -> None:
    told(run, "kill")
    told(run, "kill")

    assert run.engine.state.limits.names == ("killed",)
    assert len(commands(run)) == 2


def test_a_kill_is_told_of_with_who_threw_it(run: Run) -> None:
    told(run, "kill")

    alarms = [one.what for one in page_of(run).happened if one.level == "alarm"]
    assert "limit_tripped: killed: kill switch, by terminal:alice" in alarms


@pytest.mark.parametrize(
    ("command", "argument", "why"),
    [
        ("close", "NOSUCH", "no trade is open on 'NOSUCH'"),
        ("reset", "drawdown", "limit 'drawdown' is not tripped; tripped: none"),
        ("withdraw", "", "no command 'withdraw'"),
        ("pause", "SOL", "no command 'pause' of 'SOL'"),
    ],
)
def test_what_cannot_be_obeyed_is_not_journaled_and_ends_no_bot(
    run: Run, command: str, argument: str, why: str
) -> None:
    control = Control()
    future = control.tell(command, argument, "terminal:alice")

    control.answer(run)

    with pytest.raises(Impossible, match=why):
        future.result(timeout=0)
    assert commands(run) == []


def test_every_command_but_a_pause_is_confirmed_by_what_it_is_about() -> None:
    assert {verb: phrase(verb, "", "live") for verb in COMMANDS} == {
        "pause": "",
        "resume": "resume live",
        "close": "close live",
        "flatten": "flatten live",
        "kill": "kill live",
        "reset": "reset live",
    }


def test_answers_come_from_the_thread_that_runs_the_bot(run: Run) -> None:
    control = Control()
    future = control.ask(lambda _: threading.get_ident())
    asker = threading.Thread(target=lambda: None)
    asker.start()
    control.answer(run)
    asker.join()

    assert future.result(timeout=0) == threading.get_ident()


def test_who_no_longer_waits_is_not_obeyed_later(run: Run) -> None:
    control = Control()
    future = control.tell("kill", "", "web")

    assert future.cancel()
    control.answer(run)

    assert commands(run) == []
    with pytest.raises(CancelledError):
        future.result()


def test_a_question_that_fails_fails_for_who_asked_and_for_nobody_else(run: Run) -> None:
    control = Control()
    wrong = control.ask(lambda _: 1 // 0)
    right = control.ask(lambda bot: bot.engine.now_ns)

    control.answer(run)

    assert isinstance(wrong.exception(), ZeroDivisionError)
    assert right.result() == run.engine.now_ns


def test_a_command_that_cannot_be_journaled_ends_the_bot(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise JournalError("disk full")

    monkeypatch.setattr(run.journal, "append", full)
    control = Control()
    future = control.tell("pause", "", "web")

    with pytest.raises(JournalError):
        control.answer(run)
    assert isinstance(future.exception(), JournalError)
