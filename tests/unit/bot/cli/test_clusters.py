"""``fundarb clusters``: from synthetic history, and from an exchange over real sockets."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from bot.cli.errors import BAD_INPUT
from bot.cli.main import run
from domain.time import MILLISECOND, parse_instant
from tests.benchmarks.synthetic_history import write_history


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("history")
    write_history(folder, 24 * 6)
    return folder


def told(history: Path, capsys: pytest.CaptureFixture[str], more: str = "") -> Any:
    assert run(["clusters", "BTC", "--data", str(history), "--json", "-", *more.split()]) == 0
    return json.loads(capsys.readouterr().out)


def test_open_interest_scales_the_levels_and_changes_no_share(
    history: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unknown, known = told(history, capsys), told(history, capsys, "--open-interest 250")

    assert unknown["open_interest"] is None
    assert known["open_interest"] == 250.0
    assert known["estimate"] is True
    for one, other in zip(unknown["levels"], known["levels"], strict=True):
        assert other["notional"] == pytest.approx(250 * one["notional"])
    for one, other in zip(unknown["near"], known["near"], strict=True):
        assert other["share"] == pytest.approx(one["share"])
        assert one["hours"] is None
        volume = known["hourly_volume"]
        assert other["hours"] == pytest.approx(other["share"] * 250 * known["mark"] / volume)


def test_what_came_after_the_instant_plays_no_part(
    history: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    last_ms = parse_instant("2024-01-05") // MILLISECOND
    for path in history.rglob("*.parquet"):
        target = tmp_path / path.relative_to(history)
        target.parent.mkdir(parents=True, exist_ok=True)
        pl.read_parquet(path).filter(pl.col("ts_ms") < last_ms).write_parquet(target)

    at, cut = told(history, capsys, "--at 2024-01-05"), told(tmp_path, capsys)
    assert at["levels"] == cut["levels"]


def test_the_table_says_that_it_is_an_estimate_and_where_the_mark_is(
    history: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["clusters", "BTC", "--data", str(history)]) == 0
    shown = capsys.readouterr().out

    assert "an estimate, no data" in shown
    assert "mark" in shown
    assert "█" in shown
    assert "open interest is not known: no entry is refused for it" in shown
    assert run(["clusters", "BTC", "--data", str(history), "--open-interest", "9"]) == 0
    assert "an entry is refused above 3 h of buys" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        "NOPE --data HISTORY",
        "BTC,ETH --data HISTORY",
        "BTC --data HISTORY --at 1999-01-01",
        "BTC --data HISTORY --at never",
        "BTC --data HISTORY --open-interest -1",
        "BTC --data HISTORY --within 2",
        "BTC --data HISTORY --venue nowhere",
        "BTC --at 2024-01-05",
        "BTC --data nowhere",
        "BTC --url http://127.0.0.1:1",
    ],
)
def test_a_wrong_word_is_one_line(
    words: str, history: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["clusters", *words.replace("HISTORY", str(history)).split()]) == BAD_INPUT
    assert capsys.readouterr().err.count("\n") == 1
