"""What is recorded is a market again: the same messages, the same trades, the same books."""

import asyncio
import gzip
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from bot import settings
from bot.app import RunRequest, RunResult, run
from bot.backtest.bars import DataError
from bot.cli.errors import BAD_INPUT
from bot.cli.main import run as command
from bot.feeds.heard import NOBODY, Heard, Writer, read, recording
from bot.feeds.recorded import open_recording
from domain.market import Book, Close, FundingSettled, RecordedFunding, Reference, Trade
from domain.time import HOUR, SECOND
from tests.unit.bot.feeds.emulated import START, record_hours

PAIRS, HOURS = ("HYPE", "PURR"), 4


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    asyncio.run(record_hours(folder, PAIRS, HOURS))
    return folder


def traded(folder: Path) -> RunResult:
    request = RunRequest(
        mode="paper", feed="replay", data=folder, venue=None, pairs=None, start_ns=None,
        end_ns=None, duration_ns=None, bar=None, capital=Decimal(10_000), speed=None, seed=1,
        settings=settings.load().settings, state=None, metrics_port=None,
    )  # fmt: skip
    return run(request, None, lambda: False)


def line(at: int, said: bytes = b"{}") -> Heard:
    return Heard(at, msgspec.Raw(NOBODY), msgspec.Raw(said))


def test_a_recording_is_traded_with_the_venues_own_funding_and_twice_the_same(
    recorded: Path,
) -> None:
    first, again = traded(recorded), traded(recorded)

    report = first.report
    assert report["integrity"]["violations"] == []
    assert report["integrity"]["venue_reconciled"]
    assert report["simulated_seconds"] == pytest.approx(HOURS * 3600, abs=120)
    assert [pair["pair"] for pair in report["pairs"]] != [], report["decisions"]
    assert Decimal(str(report["pnl"]["funding"])) > 0
    assert report["digest"] == again.report["digest"]


def test_a_recording_is_no_history_of_bars(
    recorded: Path,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for words, said in (
        (["backtest", "--data", str(recorded)], f"fundarb paper --feed replay:{recorded}"),
        (["paper", "--feed", f"replay:{recorded}", "--from", "2025-01-01"], "--from and --bar are"),
        (["paper", "--feed", f"replay:{recorded}", "--bar", "1h"], "--from and --bar are"),
    ):
        assert command(words) == BAD_INPUT
        assert said in capsys.readouterr().err


def test_a_recording_begins_with_what_was_known_of_the_time_before(recorded: Path) -> None:
    tape = open_recording(recorded, None)

    assert [pair.name for pair in tape.pairs] == list(PAIRS)
    past = tape.history()
    assert {type(event) for event in past} == {Close, FundingSettled}
    assert all(event.venue_time_ns <= tape.start_ns for event in past)
    rates = [event for event in past if isinstance(event, FundingSettled)]
    assert len(rates) > 2 * 24 * 60 - 10  # sixty days of two perps
    kinds = {type(event) for event in tape.events(tape.start_ns)}
    assert kinds == {Book, Trade, Reference, RecordedFunding}


def test_every_hours_rate_settles_once(recorded: Path) -> None:
    tape = open_recording(recorded, ("HYPE",))
    events = list(tape.events(tape.start_ns))

    settled = [event for event in events if isinstance(event, RecordedFunding)][1:]
    hours = [event.venue_time_ns // HOUR for event in settled]
    assert hours == [START // HOUR + n for n in range(1, HOURS + 1)][: len(hours)]
    assert len(hours) >= HOURS - 1  # the last is asked for after the last frame
    times = [event.venue_time_ns for event in events]
    assert times == sorted(times)


def test_pairs_that_were_not_recorded_are_told(recorded: Path) -> None:
    with pytest.raises(DataError, match="was not recorded for BTC: it has"):
        open_recording(recorded, ("HYPE", "BTC"))


def test_without_a_stream_there_is_nothing_to_replay(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.write(Heard(START, msgspec.Raw(b'{"type":"meta"}'), msgspec.Raw(b"{}")))
    writer.close()

    with pytest.raises(DataError, match="holds no stream"):
        open_recording(tmp_path, None)


def test_a_file_that_was_cut_off_is_read_up_to_there(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for n in range(1_000):
        writer.write(line(START + n, b'{"n":%d}' % n))
    writer.close()
    (path,) = recording(tmp_path)
    path.write_bytes(path.read_bytes()[:-500])

    kept = [heard.at - START for heard in read([path])]
    assert kept == list(range(len(kept)))
    assert 0 < len(kept) < 1_000


def test_what_is_no_json_is_left_out_and_line_breaks_do_not_break_a_line(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.write(line(START, b"not json"))
    writer.write(line(START + 1, b'{"a":\n1}'))
    writer.close()

    (kept,) = read(recording(tmp_path))
    assert (kept.at, msgspec.json.decode(kept.said)) == (START + 1, {"a": 1})


def test_each_hour_has_its_file(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for at in (START, START + HOUR - 1, START + HOUR, START + HOUR + SECOND):
        writer.write(line(at))
    writer.close()

    counts = [len(gzip.decompress(path.read_bytes()).splitlines()) for path in recording(tmp_path)]
    assert counts == [2, 2]
