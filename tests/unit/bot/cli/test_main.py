import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from bot.cli.errors import CommandError, explained
from bot.cli.main import app, run
from execution.journal import JournalError


def named(group: Any, before: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from named(command, f"{name} ")
        else:
            yield before + name


COMMANDS = list(named(get_command(app)))
HEAVY = ("rich", "pydantic", "pydantic_settings", "msgspec", "polars", "numpy", "ccxt", "sqlite3")

Fundarb = Callable[..., Any]


def test_help_loads_nothing_heavy(environment: dict[str, str]) -> None:
    code = (
        "import sys; from bot.cli.main import run; run(['--help']); "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )

    assert done.stdout.rstrip().endswith("[]")


def test_help_lists_every_command(fundarb: Fundarb) -> None:
    answer = fundarb("--help")

    assert answer.code == 0
    for command in COMMANDS:
        assert f"\n  {command.split()[0]} " in answer.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example_of_itself(fundarb: Fundarb, command: str) -> None:
    answer = fundarb(*command.split(), "--help")

    assert answer.code == 0
    assert f"fundarb {command}" in answer.out.split("Example")[-1]


@pytest.mark.parametrize("command", ["", "account", "calc", "config", "data", "ledger", *COMMANDS])
def test_no_help_is_cut_off(fundarb: Fundarb, command: str) -> None:
    assert "..." not in fundarb(*command.split(), "--help").out.replace("[ARGS]...", "")


def test_the_version_is_said(fundarb: Fundarb) -> None:
    answer = fundarb("--version")

    assert answer.code == 0
    assert answer.out.startswith("fundarb")


@pytest.mark.parametrize(
    "line",
    [
        "papr",
        "paper --sped 3",
        "paper extra",
        "paper --capital",
        "paper --capital 0",
        "paper --capital -100",
        "paper --capital much",
        "paper --for soon",
        "paper --speed 0",
        "paper --speed max",
        "paper --seed -1",
        "paper --seed x",
        "paper --feed nothing",
        "paper --feed hyperliquid:x",
        "record",
        "record --out x --for never",
        "record --out x --url http://192.168.0.1",
        "data fetch --data x --bar 3m",
        "account approve-agent --testnet",
        "account move 5",
        "doctor --testnet",
        "paper --feed replay:/no/such/directory",
        "paper --from 2025-01-01",
        "paper --bar 2m --feed replay:.",
        "paper --pairs BTC,,",
        "paper --pairs NOSUCH --for 1h --no-web",
        "paper --config missing.toml",
        "paper --json no/such/folder/x.json",
        "backtest",
        "backtest --data /no/such/directory",
        "backtest --data . --venue nowhere --pairs BTC",
        "backtest --data . --from 2025-02-01 --to 2025-01-01",
        "backtest --data . --from never",
        "backtest --data . --pairs HYPE --json it.html --report ./it.html",
        "paper --for 1h --speed max --json it --export it",
        "status --state nowhere",
        "positions --state nowhere",
        "why HYPE --state nowhere",
        "why",
        "ledger export --to x --state nowhere",
        "ledger export",
        "calc size --equity 1",
        "calc liquidation --side up --entry 1 --leverage 2 --maintenance 0.01",
        "config check missing.toml",
    ],
)
def test_bad_input_is_one_line_on_standard_error_and_code_two(fundarb: Fundarb, line: str) -> None:
    answer = fundarb(*line.split())

    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1
    assert "Traceback" not in answer.err


def test_a_group_without_its_command_is_answered_with_its_help(fundarb: Fundarb) -> None:
    answer = fundarb("config")

    assert answer.code == 2
    assert answer.err.startswith("Usage: fundarb config")


def test_a_traceback_is_shown_only_when_asked_for() -> None:
    with pytest.raises(CommandError):
        run(["status", "--state", "nowhere", "--debug"])


def test_an_error_meant_for_people_keeps_its_words() -> None:
    told = explained(JournalError("the journal is damaged; restore it"))

    assert told is not None
    assert str(told) == "the journal is damaged; restore it"


def test_a_full_disk_is_told_as_what_it_is() -> None:
    told = explained(OSError(28, "No space left on device", "state/journal.sqlite"))

    assert told is not None
    assert str(told) == "cannot read or write state/journal.sqlite: No space left on device"


def test_a_defect_is_not_dressed_up_as_bad_input() -> None:
    assert explained(KeyError("x")) is None
    assert explained(ValueError("x")) is None


def test_only_a_closed_pipe_is_no_error_of_what_ends_a_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ends(*_: object, **__: object) -> None:
        raise SystemExit(3)

    monkeypatch.setattr("bot.cli.main.app", ends)
    with pytest.raises(SystemExit):
        run([])


@pytest.mark.parametrize(
    "pipe",
    [
        "config show | head -n 1",
        "config show --json - | (exec <&-; sleep 1)",
        "--help | (exec <&-; sleep 1)",
    ],
)
def test_a_reader_that_stops_reading_is_no_error(environment: dict[str, str], pipe: str) -> None:
    done = subprocess.run(
        f"set -o pipefail; {sys.executable} -m bot.cli.main {pipe}",
        shell=True,
        executable="/bin/bash",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_terminal_that_is_not_utf_8_gets_what_it_can_show(
    environment: dict[str, str], finished: Path, encoding: str
) -> None:
    def said(*words: str) -> bytes:
        return subprocess.run(
            [sys.executable, "-m", "bot.cli.main", *words, "--state", finished / "state"],
            env=environment | {"PYTHONIOENCODING": encoding},
            capture_output=True,
            check=True,
        ).stdout

    reason = json.loads(said("why", "SOL#1", "--json", "-"))["entry_reason"]
    assert "±" in reason
    shown = " ".join(said("why", "SOL#1").decode(encoding).split())
    assert reason.replace("±", "?" if encoding == "ascii" else "±") in shown
