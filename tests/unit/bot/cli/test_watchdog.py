"""``fundarb watchdog``: what it refuses, and that it is there when the trader is not."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bot.alarms import ALARMS
from bot.cli.acting import NONCES
from bot.watchdog import NonceFile
from execution.effects import RaiseAlarm
from tests.unit.bot.cli.processes import (
    ACCOUNT,
    TRADER,
    TRADER_KEY,
    WATCHDOG,
    WATCHDOG_KEY,
    exchange,
    key_file,
    running,
)

Fundarb = Callable[..., Any]
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with exchange(tmp_path_factory.mktemp("exchange")) as url:
        yield url


def words(url: str, key: str, account: str = ACCOUNT, trader: str = TRADER) -> tuple[str, ...]:
    place = ("--url", url, "--account", account, "--key-file", key)
    return ("watchdog", *place, "--trader", trader)


def told(state: Path) -> list[str]:
    lines = (state / ALARMS).read_bytes().splitlines()
    return [msgspec.json.decode(line, type=RaiseAlarm).alarm for line in lines]


# The processes


@pytest.mark.slow
def test_it_takes_over_from_a_trader_that_was_stopped_and_leaves_a_new_one_alone(
    tmp_path: Path, url: str
) -> None:
    state = tmp_path / "state" / "testnet"
    key = key_file(tmp_path, TRADER_KEY, "trader.key")
    trading = ("live", "--testnet", "--url", url, "--account", ACCOUNT, "--key-file", key)

    with (
        running(tmp_path, *trading) as bot,
        running(tmp_path, *words(url, key_file(tmp_path, WATCHDOG_KEY))) as watchdog,
    ):
        bot.heard(event="recovered")
        assert watchdog.heard(event="watchdog")["agent"] == WATCHDOG
        watchdog.heard(event="watching")
        bot.tell(signal.SIGSTOP)
        watchdog.heard(event="alarm", alarm="trader_silent")
        watchdog.heard(event="alarm", alarm="watchdog_neutral")
        bot.tell(signal.SIGCONT)
        assert bot.end() == 1
        assert "LeaseLost" in bot.err.splitlines()[-1]

        before = told(state)
        with running(tmp_path, *trading) as again:
            again.heard(event="recovered")
            assert again.end(signal.SIGTERM) == 0
        assert watchdog.end(signal.SIGTERM) == 0

    assert {"trader_silent", "watchdog_neutral", "task_died"} <= set(before)
    assert told(state) == before
    assert watchdog.out == ""


def test_it_waits_for_an_exchange_that_does_not_answer_and_ends_when_told(tmp_path: Path) -> None:
    with running(tmp_path, *words(NOWHERE, key_file(tmp_path, WATCHDOG_KEY))) as watchdog:
        watchdog.heard(event="venue_silent")
        assert watchdog.end(signal.SIGINT) == 130

    assert len(watchdog.log) == 2
    assert len(watchdog.err.splitlines()) == 2


def test_a_second_one_is_told_of_the_first(tmp_path: Path, fundarb: Fundarb) -> None:
    (tmp_path / "state").mkdir()
    first = NonceFile(tmp_path / "state" / NONCES)

    answer = fundarb(*words(NOWHERE, key_file(tmp_path, WATCHDOG_KEY)), "--state", "state")

    first.close()
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: another watchdog is running")


# What is refused


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        (
            words("https://api.hyperliquid.xyz", "x"),
            3,
            "--url takes only an exchange on this machine",
        ),
        (words(NOWHERE, "none.key"), 2, "--key-file: none.key cannot be read"),
        (words(NOWHERE, "none.key", trader="me"), 2, "--trader: not an address"),
        (words(NOWHERE, "none.key")[:-2], 2, "Missing option '--trader'"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_its_code(
    fundarb: Fundarb, line: tuple[str, ...], code: int, said: str
) -> None:
    answer = fundarb(*line)

    assert (answer.code, answer.out, answer.err.count("\n")) == (code, "", 1)
    assert said in answer.err


@pytest.mark.parametrize(
    ("key", "account", "said"),
    [
        (TRADER_KEY, ACCOUNT, "this is the trader's key"),
        (WATCHDOG_KEY, WATCHDOG, "this is the key of the account"),
    ],
)
def test_a_key_that_somebody_else_uses_is_refused(
    tmp_path: Path, fundarb: Fundarb, key: bytes, account: str, said: str
) -> None:
    answer = fundarb(*words(NOWHERE, key_file(tmp_path, key), account))

    assert (answer.code, answer.out) == (3, "")
    assert said in answer.err


def test_a_key_that_is_no_agents_of_the_account_is_refused(
    tmp_path: Path, url: str, fundarb: Fundarb
) -> None:
    answer = fundarb(*words(url, key_file(tmp_path, bytes([9] * 32))), "--state", "state")

    assert answer.code == 3
    assert "is no agent of the account" in answer.err.splitlines()[-1]
