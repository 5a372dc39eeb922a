"""A command line in this process: what a person types, and what comes back."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from bot.cli.main import run


class Answer(NamedTuple):
    code: int
    out: str
    err: str


Fundarb = Callable[..., Answer]


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
