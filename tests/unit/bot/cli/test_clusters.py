"""``fundarb clusters``: from synthetic history, and from an exchange over real sockets."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import polars as pl
import pytest

from bot.cli.errors import BAD_INPUT
from bot.cli.main import run
from domain.time import MILLISECOND, parse_instant
from tests.benchmarks.synthetic_history import write_history
from tests.unit.execution.venues.hyperliquid.venue import META, SPOT_META


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


class Venue(BaseHTTPRequestHandler):
    """Tells its listing, three days of bars at 30 dollars, and two million HYPE open."""

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps(self.answer(question)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer(self, question: dict[str, Any]) -> Any:
        universe: Any = META["universe"]
        context = {"funding": "0.0", "oraclePx": "30.0", "markPx": "30.0"}
        interest = {"openInterest": "2000000.0", "dayNtlVlm": "9.0"}
        if question["type"] == "candleSnapshot":
            start, end = question["req"]["startTime"], question["req"]["endTime"]
            return [bar(at) for at in range(start - start % STEP_MS + STEP_MS, end, STEP_MS)]
        answers: dict[str, Any] = {
            "meta": META,
            "spotMeta": SPOT_META,
            "metaAndAssetCtxs": [META, [context | interest] * len(universe)],
        }
        return answers[question["type"]]

    def log_message(self, *_: object) -> None:
        pass


STEP_MS = 900_000


def bar(at_ms: int) -> dict[str, Any]:
    prices = {"o": "30.0", "h": "30.0", "l": "30.0", "c": "30.0", "v": "1000.0", "n": 1}
    return {"t": at_ms, "T": at_ms + STEP_MS - 1, "s": "HYPE", "i": "15m", **prices}


def test_the_venue_is_asked_for_bars_and_open_interest(capsys: pytest.CaptureFixture[str]) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Venue) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        code = run(["clusters", "HYPE", "--url", url, "--json", "-"])
        server.shutdown()

    assert code == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["mark"], told["open_interest"]) == (30.0, 2e6)
    assert told["hourly_volume"] == pytest.approx(4 * 1000 * 30)
    # Ten, five, two and a half and 1.25 times, a quarter each: the first short at 31.43.
    first = next(one for one in told["levels"] if one["side"] == "buy")
    assert first["low"] < 30 * 1.1 / 1.05 < first["high"]
    assert first["notional"] == pytest.approx(2e6 / 4 * 30 * 1.1 / 1.05)


@pytest.mark.parametrize(
    "words",
    [
        "NOPE --data HISTORY",
        "BTC,ETH --data HISTORY",
        "BTC --data HISTORY --at 1999-01-01",
        "BTC --data HISTORY --at never",
        "BTC --data HISTORY --at 2030-01-01",  # years after the last bar
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
