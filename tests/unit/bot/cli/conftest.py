"""A command line in this process: what a person types, and what comes back."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from bot.cli.main import run

ROOT = Path(__file__).resolve().parents[4]


class Answer(NamedTuple):
    code: int
    out: str
    err: str


Fundarb = Callable[..., Answer]


def clean_environment() -> dict[str, str]:
    """Without settings from outside, and with this checkout first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FUNDARB_")}
    return kept | {"PYTHONPATH": str(ROOT), "COLUMNS": "100"}


@pytest.fixture
def environment() -> dict[str, str]:
    return clean_environment()


@pytest.fixture
def fundarb(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Fundarb:
    """Runs in an empty directory, without settings from the environment."""
    for name in os.environ:
        if name.startswith("FUNDARB_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> Answer:
        code = run(words)
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory in which three hours of generated market were traded, and its report."""
    folder = tmp_path_factory.mktemp("finished")
    line = "paper --speed max --for 3h --pairs SOL,DOGE --no-web --state state"
    files = ["--json", "report.json", "--export", "tables", "--report", "report.html"]
    command = [sys.executable, "-m", "bot.cli.main", *line.split(), *files]
    done = subprocess.run(
        command, cwd=folder, env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder
