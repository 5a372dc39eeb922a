"""Paper on live quotes, against an exchange of this machine over real sockets."""

import asyncio
import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from bot.control import Control
from bot.feeds import follow
from bot.feeds.heard import Heard, Writer
from bot.feeds.record import record
from bot.feeds.tape import Tape
from bot.instruments import load_pairs
from bot.run import Stopped
from domain.market import Book, FundingSettled, Level, RecordedFunding
from domain.rates import FundingRate
from domain.time import HOUR, MINUTE, SECOND
from execution.facts import RunStarted
from execution.journal import open_for_reading
from execution.supervise import TaskDied
from tests.unit.bot.cli.processes import running
from tests.unit.bot.feeds.emulated import START

Fundarb = Callable[..., Any]
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("exchange"), "emulator", "--unlimited") as emulator:
        yield emulator.url()


async def test_who_stops_does_not_wait_for_the_venues_next_minute() -> None:
    ended = []

    async def waiting() -> None:
        try:
            await asyncio.sleep(3_600.0)
        finally:
            ended.append(True)

    looks = iter((False, False, True))
    with pytest.raises(Stopped):
        await follow.unless_stopped(waiting(), lambda: next(looks))
    assert ended == [True]
    assert await follow.unless_stopped(asyncio.sleep(0.01, "answered"), lambda: False) == "answered"
    with pytest.raises(TaskDied):
        await follow.unless_stopped(_dies(), lambda: False)


async def _dies() -> None:
    raise TaskDied("public", "ended")


def words(url: str, *more: str) -> tuple[str, ...]:
    return ("paper", "--feed", "hyperliquid", "--url", url, "--no-web", "--pairs", "HYPE", *more)


# Over sockets


def test_it_runs_is_killed_and_goes_on_with_the_same_account(tmp_path: Path, url: str) -> None:
    state = tmp_path / "state" / "paper"

    with running(tmp_path, *words(url)) as first:
        began = first.heard(event="run_started")
        first.kill()
    with running(tmp_path, *words(url, "--json", "out.json")) as again:
        while "limits: " not in again.err:  # shown once it runs
            assert again._process.poll() is None, again.err
            time.sleep(0.05)
        assert again.end(signal.SIGINT) == 130

    assert (began["mode"], began["synthetic"]) == ("paper", True)
    with open_for_reading(state / "journal.sqlite") as journal:
        starts = [fact for fact in journal.read() if isinstance(fact, RunStarted)]
    assert len(starts) == 1
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["synthetic"]
    assert report["integrity"]["violations"] == []
    assert report["equity"]["start"] == "10000"
    assert (state / "venue.sqlite").is_file()


def test_for_ends_it_by_the_machines_own_time(tmp_path: Path, url: str) -> None:
    with running(tmp_path, *words(url, "--for", "3s", "--json", "out.json")) as bot:
        assert bot.end() == 0

    assert json.loads((tmp_path / "out.json").read_text())["simulated_seconds"] == 3.0


def test_a_venue_that_does_not_answer_is_one_line(fundarb: Fundarb) -> None:
    answer = fundarb(*words(NOWHERE))

    assert answer.code == 2
    assert answer.err.splitlines()[-1].startswith(
        f"error: {NOWHERE} does not answer as Hyperliquid"
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--speed", "10"), "--speed: a live market has its own pace"),
        (("--from", "2025-01-01"), "--from and --bar belong to a replay"),
        (("--bar", "1m"), "--from and --bar belong to a replay"),
        (("--pairs", "DOGE"), "'DOGE' is no pair of hyperliquid"),
    ],
)
def test_what_makes_no_sense_with_a_live_market_is_told(
    fundarb: Fundarb, more: tuple[str, ...], said: str
) -> None:
    answer = fundarb(*words(NOWHERE, *more))

    assert answer.code == 2
    assert said in answer.err


def test_an_address_is_for_a_live_feed_alone(fundarb: Fundarb) -> None:
    answer = fundarb("paper", "--url", NOWHERE)

    assert (answer.code, "add --feed hyperliquid" in answer.err) == (2, True)


def test_what_is_sent_over_a_network_is_encrypted(fundarb: Fundarb) -> None:
    answer = fundarb(*words("http://192.168.0.1"))

    assert (answer.code, "is not encrypted" in answer.err) == (2, True)


def test_a_recording_over_sockets_is_traded_on_paper(
    tmp_path: Path, url: str, fundarb: Fundarb
) -> None:
    line = ("record", "--out", "kept", "--url", url, "--pairs", "HYPE", "--json", "said.json")
    with running(tmp_path, *line, "--for", "4s") as recorder:
        assert recorder.end() == 0
    told = json.loads((tmp_path / "said.json").read_text())
    assert told["messages"] > 10

    replay = ("paper", "--feed", "replay:kept", "--speed", "max", "--no-web", "--json", "-")
    report = json.loads(fundarb(*replay).out)
    assert report["synthetic"]  # it was recorded on this machine
    assert [pair["pair"] for pair in report["pairs"]] == []
    assert report["integrity"]["violations"] == []


def test_a_recording_that_is_told_to_end_is_whole(tmp_path: Path, url: str) -> None:
    with running(tmp_path, "record", "--out", "kept", "--url", url, "--pairs", "HYPE") as recorder:
        while not list((tmp_path / "kept").glob("*")):
            assert recorder._process.poll() is None
        assert recorder.end(signal.SIGINT) == 130

    assert "messages in" in recorder.err
    assert "Traceback" not in recorder.err


async def test_a_disk_that_is_full_ends_a_recording(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_writer: Writer, _heard: Heard) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Writer, "write", full)
    with pytest.raises(OSError, match="No space left"):
        await record(url, ("HYPE",), tmp_path, SECOND, lambda _: None, lambda: False)


# On and on


class Ticking:
    """A clock on which four seconds pass from look to look."""

    at_ns = START

    def now_ns(self) -> int:
        self.at_ns += 4 * SECOND
        return self.at_ns


async def advanced(listening: asyncio.Future[None], late: int = 0) -> list[str]:
    """What is logged in two minutes in which nothing is heard."""
    run: Any = SimpleNamespace(
        venue=SimpleNamespace(now_ns=START),
        source=SimpleNamespace(end_ns=START + 2 * MINUTE),
        first_ns=START,
    )
    run.advance = lambda until_ns: setattr(run.venue, "now_ns", until_ns)
    heard: Any = SimpleNamespace(heard_ns=START, reader=SimpleNamespace(late=late))
    if late:
        heard.heard_ns = START + HOUR
    onlookers: Any = SimpleNamespace(woke=lambda *_: None, show=lambda _: None)
    asked: Any = SimpleNamespace(end_ns=None, duration_ns=None, url=NOWHERE)
    with capture_logs() as told:
        assert not await follow._advance(
            run, asked, heard, Ticking(), onlookers, Control(), lambda: False, listening
        )
    return [line["event"] for line in told]


async def test_silence_is_told_once_a_minute() -> None:
    assert await advanced(asyncio.Future()) == ["silent", "silent"]


async def test_quotes_that_are_old_when_they_come_are_told_of() -> None:
    assert await advanced(asyncio.Future(), late=3) == ["old_quotes"]


async def test_it_does_not_go_on_when_nobody_listens_any_more() -> None:
    ended: asyncio.Future[None] = asyncio.Future()
    ended.set_exception(TaskDied("public", "ended"))

    with pytest.raises(TaskDied, match="task public ended"):
        await advanced(ended)


# A tape


def tape(past: list[FundingSettled] | None = None) -> Tape:
    return Tape("x", "hyperliquid", load_pairs("hyperliquid", ("HYPE",)), past or [], START)


def book(at_ns: int) -> Book:
    return Book("hyperliquid:HYPE-PERP", (Level(1.0, 1.0),), (Level(2.0, 1.0),), at_ns, at_ns)


def settled(hours_ago: int) -> FundingSettled:
    at_ns = START - hours_ago * HOUR
    return FundingSettled("hyperliquid:HYPE-PERP", FundingRate(0.001, 1), at_ns, at_ns)


def test_where_a_tape_ends_it_has_only_not_gone_on_yet() -> None:
    listened = tape()
    listened.put([book(START + 1), book(START + 1)])

    assert len(list(listened.events(START))) == 2
    assert list(listened.events(START + 1)) == []
    listened.put([book(START + 5)])
    assert [event.venue_time_ns for event in listened.events(START + 1)] == [START + 5]


def test_time_goes_on_on_a_tape_whatever_the_clock_does() -> None:
    listened = tape()
    for at_ns in (START + 9, START + 9, START + 3):
        listened.put([book(at_ns)])

    assert [e.venue_time_ns - START for e in listened.events(START)] == [9, 10, 11]


def test_a_first_start_takes_the_newest_rate_for_a_record_and_settles_nothing_by_it() -> None:
    (event,) = tape([settled(2), settled(1)]).events(START)

    assert isinstance(event, RecordedFunding)
    assert event.venue_time_ns == START


def test_a_later_start_settles_the_hours_that_nobody_listened_to() -> None:
    past = [settled(3), settled(2), settled(1)]

    events = list(tape(past).events(START - 2 * HOUR - SECOND))
    assert [event.venue_time_ns for event in events] == [START - 2 * HOUR, START - HOUR]
