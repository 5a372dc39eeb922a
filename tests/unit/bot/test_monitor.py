"""The page of a running bot: up to date, bounded, and quick to read."""

import asyncio
import shutil
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bot.clock import SystemClock
from bot.instruments import load_pairs
from bot.live import SILENT_SECONDS, _watch_health
from bot.monitor import Monitor, TimedJournal, WatchdogMonitor
from bot.record import Record
from bot.systemd import ServiceManager
from bot.trader import Inbox
from domain.time import SECOND
from execution.effects import RaiseAlarm
from execution.facts import CommandGiven
from execution.journal import SqliteJournal
from execution.state import State
from tests.example_snapshot import SNAPSHOT
from tests.unit.bot.cli.processes import (
    ACCOUNT,
    TRADER,
    TRADER_KEY,
    WATCHDOG_KEY,
    exchange,
    key_file,
    running,
)

PAIRS = load_pairs("simulated", ("HYPE", "BTC"))


def read(url: str) -> dict[str, float]:
    with urllib.request.urlopen(url, timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in lines
        if not line.startswith("#")
    }


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    made = Monitor(0, PAIRS)
    yield made
    made.close()


def test_the_page_says_when_it_was_brought_up_to_date_and_when_each_loop_got_on(
    monitor: Monitor,
) -> None:
    assert "fundarb_heartbeat_timestamp_seconds" not in read(monitor.url)

    monitor.show(SNAPSHOT, 5 * SECOND, {"public": 3 * SECOND}, 9 * SECOND)

    page = read(monitor.url)
    assert page["fundarb_heartbeat_timestamp_seconds"] > 1.7e9
    assert page["fundarb_clock_timestamp_seconds"] == 5
    assert page['fundarb_loop_timestamp_seconds{loop="public"}'] == 3
    assert page["fundarb_agent_expiry_timestamp_seconds"] == 9


def test_no_address_and_no_order_is_on_the_page(monitor: Monitor) -> None:
    monitor.show(SNAPSHOT, 1, {})
    monitor.recorder.alarm(RaiseAlarm("order_unknown", "0x66756e640123 on HYPE", 1))

    assert "0x" not in "".join(read(monitor.url))


def test_a_commit_is_timed_and_is_in_the_journal(monitor: Monitor, tmp_path: Path) -> None:
    journal = TimedJournal(SqliteJournal(tmp_path / "journal.sqlite"), monitor.recorder)
    journal.append([CommandGiven("pause", "", "test", 1)])

    assert read(monitor.url)["fundarb_journal_commit_seconds_count"] == 1
    assert (len(journal), len(list(journal.read())), journal.reserved) == (1, 1, True)
    journal.close()


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Where systemd would listen to this process and to those that it starts."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


def test_the_service_manager_is_told_that_the_work_gets_on(manager: socket.socket) -> None:
    told = ServiceManager()
    told.got_on()
    told.got_on()

    assert manager.recv(100) == b"READY=1\nWATCHDOG=1"
    assert manager.recv(100) == b"WATCHDOG=1"


async def test_the_service_manager_hears_nothing_while_nothing_is_decided(
    manager: socket.socket,
) -> None:
    silent = {"decide": 9.0}
    record = Record(State(()), bounded=True)
    bot: Any = SimpleNamespace(silent=lambda _: silent, record=record)
    manager.setblocking(False)
    health = asyncio.create_task(
        _watch_health(bot, SystemClock(), lambda _: None, Inbox(), lambda: None)
    )
    await asyncio.sleep(1.5)
    with pytest.raises(BlockingIOError):
        manager.recv(100)

    silent.clear()
    await asyncio.sleep(1.5)
    health.cancel()
    assert manager.recv(100) == b"READY=1\nWATCHDOG=1"


async def test_what_nobody_can_believe_and_lines_that_broke_are_counted_on_the_page(
    monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot: Any = SimpleNamespace(
        trader=SimpleNamespace(engine=None, progress_ns=1),
        gateway=SimpleNamespace(progress={}, rejected={"public": 3}, disconnections={"public": 2}),
    )
    monkeypatch.setattr("bot.monitor.snapshot", lambda _: SNAPSHOT)
    monitor.begin(bot, SystemClock(), lambda: None)
    await asyncio.sleep(0.1)
    page = read(monitor.url)
    assert page['fundarb_bad_messages_total{stream="public"}'] == 3
    assert page['fundarb_disconnections_total{stream="public"}'] == 2


def test_the_page_tells_the_room_that_is_left_for_the_journal(tmp_path: Path) -> None:
    monitor = Monitor(0, PAIRS, tmp_path)
    try:
        monitor.show(SNAPSHOT, 1, {})
        left = read(monitor.url)["fundarb_disk_free_bytes"]
        assert left == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.2)
    finally:
        monitor.close()


def test_what_acts_tells_that_it_gets_on_without_any_page(
    tmp_path: Path, manager: socket.socket
) -> None:
    (tmp_path / "p.toml").write_text("[metrics]\nport = 0\nwatchdog_port = 0\n[web]\nport = 0\n")
    common = ("--account", ACCOUNT, "--config", "p.toml", "--pairs", "HYPE")

    def hears() -> bool:
        return [manager.recv(100) for _ in range(2)] == [b"READY=1\nWATCHDOG=1", b"WATCHDOG=1"]

    with running(tmp_path, "paper", "--config", "p.toml", "--pairs", "HYPE", "--speed", "60"):
        assert hears()
    quiet(manager)
    with exchange(tmp_path) as url:
        trader = ("live", "--testnet", "--url", url, "--key-file", key_file(tmp_path, TRADER_KEY))
        with running(tmp_path, *trader, *common):
            assert hears()
        quiet(manager)
        key = key_file(tmp_path, WATCHDOG_KEY, "watchdog.key")
        dog = ("watchdog", "--url", url, "--trader", TRADER, "--key-file", key)
        with running(tmp_path, *dog, *common):
            assert hears()


def quiet(manager: socket.socket) -> None:
    """Drop what the last process said before its end."""
    manager.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            manager.recv(100)
    manager.settimeout(30)


def test_a_service_manager_that_is_gone_troubles_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "@nobody-listens-here")

    ServiceManager().got_on()


def test_the_watchdogs_page_says_when_it_last_looked_and_what_it_told() -> None:
    page = WatchdogMonitor(0)
    try:
        page.looked()
        page.alarm(RaiseAlarm("trader_silent", "x", 1))
        shown = read(page.url)
    finally:
        page.close()

    assert shown["fundarb_watchdog_heartbeat_timestamp_seconds"] > 1.7e9
    assert shown['fundarb_alarms_total{alarm="trader_silent"}'] == 1
    assert shown['fundarb_alarms_total{alarm="watchdog_stuck"}'] == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_live_bot_and_its_watchdog_each_have_a_page(tmp_path: Path) -> None:
    ports = free_port(), free_port()
    (tmp_path / "p.toml").write_text(f"[metrics]\nport = {ports[0]}\nwatchdog_port = {ports[1]}\n")
    common = ("--account", ACCOUNT, "--config", "p.toml", "--pairs", "HYPE")
    with exchange(tmp_path) as url:
        trader = ("live", "--testnet", "--url", url, "--key-file", key_file(tmp_path, TRADER_KEY))
        with running(tmp_path, *trader, *common) as bot:
            bot.heard(event="recovered")
            live = until(
                f"http://127.0.0.1:{ports[0]}/metrics",
                "fundarb_equity_usd",
                *(f'fundarb_loop_timestamp_seconds{{loop="{loop}"}}' for loop in SILENT_SECONDS),
            )
            dog = (
                "watchdog", "--url", url, "--trader", TRADER,
                "--key-file", key_file(tmp_path, WATCHDOG_KEY, "watchdog.key"),
            )  # fmt: skip
            with running(tmp_path, *dog, *common) as watchdog:
                watchdog.heard(event="watching")
                watching = until(
                    f"http://127.0.0.1:{ports[1]}/metrics",
                    "fundarb_watchdog_heartbeat_timestamp_seconds",
                )

    assert live['fundarb_state{state="running"}'] + live['fundarb_state{state="starting"}'] == 1
    assert live["fundarb_journal_commit_seconds_count"] > 0
    assert watching["fundarb_watchdog_heartbeat_timestamp_seconds"] > 1.7e9


def until(url: str, *names: str) -> dict[str, float]:
    """The page, once it has something of each of these names."""
    deadline = time.monotonic() + 30
    while True:
        shown = read(url)
        if all(any(line.startswith(name) for line in shown) for name in names):
            return shown
        assert time.monotonic() < deadline, names
        time.sleep(0.2)
