"""``fundarb live``: what it refuses, how it ends, what it recovers from, and what it never says."""

import signal
import subprocess
import sys
import time
import traceback
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bot.alarms import ALARMS
from bot.cli import acting
from bot.cli.acting import LEASE
from bot.cli.directory import JOURNAL
from bot.cli.main import run
from bot.cli.networks import Refused, on_this_machine
from bot.cli.reaching import Running
from bot.closes import CLOSES
from bot.lease import Held, Lease
from bot.minute import MINUTE, Row, SharedMinute
from domain.money import ONE
from execution.effects import RaiseAlarm
from execution.facts import CommandGiven, RunStarted
from execution.journal import SqliteJournal, open_for_reading
from execution.venues.hyperliquid.sign import AgentSigner
from tests.unit.bot.cli.processes import (
    ACCOUNT,
    TRADER,
    TRADER_KEY,
    everything,
    exchange,
    key_file,
    running,
)

Fundarb = Callable[..., Any]
CANARY = bytes.fromhex("3b7e91c04d5fa2886013de47b9f0c6ae5518d2937c04fbe16a89205dc7f3b41e")
CANARY_ADDRESS = AgentSigner(CANARY, is_mainnet=False).address
NOWHERE = "http://127.0.0.1:9"
ELSEWHERE = "--url takes only an exchange on this machine"
WHERE = "where to? --testnet, --mainnet, or --url"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with exchange(tmp_path_factory.mktemp("exchange"), "--agent", CANARY_ADDRESS) as url:
        yield url


def words(url: str, key: str, account: str = ACCOUNT) -> tuple[str, ...]:
    return ("live", "--testnet", "--url", url, "--account", account, "--key-file", key)


# A process


def test_it_runs_is_killed_recovers_and_ends_when_told(tmp_path: Path, url: str) -> None:
    state = tmp_path / "state" / "testnet"
    line = words(url, key_file(tmp_path, TRADER_KEY))
    lease = Lease(state / LEASE, "test", 1)

    with running(tmp_path, *line) as bot:
        bot.heard(event="recovered")
        assert bot.heard(event="trader")["agent"] == TRADER
        bot.kill()
    with running(tmp_path, *line) as bot:
        bot.heard(event="recovered")
        held = lease.look()
        assert bot.end(signal.SIGTERM) == 0

    assert (held.holder, held.epoch) == ("trader", 2)
    assert lease.look().until_ns == 0  # given back: nobody need think that the bot hangs
    assert bot.out == ""
    with open_for_reading(state / JOURNAL) as journal:
        starts = [fact for fact in journal.read() if isinstance(fact, RunStarted)]
    pairs = ("BTC", "ETH", "SOL", "HYPE", "PURR")
    assert [(start.mode, start.pairs) for start in starts] == [("testnet", pairs)]
    assert {path.stat().st_mode & 0o077 for path in (state, *state.iterdir())} == {0}


def test_without_a_count_to_share_it_runs_all_the_same_and_says_so_once(
    tmp_path: Path, url: str
) -> None:
    state = tmp_path / "kept"
    (state / MINUTE).mkdir(parents=True)
    (state / CLOSES).mkdir()
    line = words(url, key_file(tmp_path, TRADER_KEY))

    with running(tmp_path, *line, "--state", str(state), "--pairs", "HYPE") as bot:
        bot.heard(event="recovered")
        assert bot.end(signal.SIGTERM) == 0

    told = [line["detail"] for line in bot.log if line["event"] == "counts_alone"]
    assert told == [
        f"{state / MINUTE}: Is a directory: what others ask of the venue from here is not counted"
    ]


def test_what_a_doctor_asks_is_counted_with_what_a_bot_there_does(
    tmp_path: Path, url: str, fundarb: Fundarb
) -> None:
    (tmp_path / "state" / "testnet").mkdir(parents=True)
    minute = SharedMinute(tmp_path / "state" / "testnet" / MINUTE, Row.TRADER, _now(), pytest.fail)
    asked = ("--url", url, "--account", ACCOUNT, "--agent", TRADER, "--pairs", "HYPE")

    assert fundarb("doctor", *asked).code == 0
    weight, _ = minute.used(_now())
    minute.close()
    # Clock, agent, mode, listing, fees, two books, prices, the account.
    assert weight == 2 + 20 + 20 + 40 + 20 + 4 + 20 + 24


def _now() -> float:
    return time.monotonic()  # the event loop's


def test_what_ends_it_is_told_in_one_line_and_as_an_alarm(tmp_path: Path, url: str) -> None:
    state = tmp_path / "kept"
    line = words(url, key_file(tmp_path, TRADER_KEY))

    with running(tmp_path, *line, "--state", str(state), "--pairs", "HYPE") as bot:
        bot.heard(event="recovered")
        taken = msgspec.json.encode(Held(99, "somebody else", 2**62))
        (state / LEASE).write_bytes(taken)
        assert bot.end() == 1

    told = bot.heard(event="alarm", alarm="task_died")
    kept = [
        msgspec.json.decode(line, type=RaiseAlarm)
        for line in (state / ALARMS).read_bytes().splitlines()
    ]
    assert told["detail"] in [alarm.detail for alarm in kept]
    assert bot.err.splitlines()[-1] == (
        "error: task tick failed: LeaseLost: the lease was taken over by somebody else: "
        f"start it again, it recovers from {state}"
    )
    assert "Traceback" not in bot.err
    assert Lease(state / LEASE, "test", 1).look().holder == "somebody else"


def test_a_state_in_use_or_of_another_run_is_one_line_and_code_two(
    tmp_path: Path, url: str, fundarb: Fundarb
) -> None:
    line = words(url, key_file(tmp_path, TRADER_KEY))
    with SqliteJournal(tmp_path / "used" / JOURNAL):
        busy = fundarb(*line, "--state", "used")
    with SqliteJournal(tmp_path / "other" / JOURNAL) as journal:
        begun = RunStarted("testnet", "hyperliquid", "hyperliquid", False, 0, ONE, ("BTC",), "", 1)
        journal.append([begun])
    other = fundarb(*line, "--state", "other")

    assert (busy.code, other.code) == (2, 2)
    assert "is in use by process" in busy.err
    assert "the state directory belongs to a run with capital 1, not 10000" in other.err


# What is refused


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://api.hyperliquid.xyz",
        "https://api.hyperliquid-testnet.xyz",
        "http://192.168.1.5:8123",
        "http://127.0.0.1@api.hyperliquid.xyz",
        "http://127.0.0.1.nip.io:8123",
        "http://[::ffff:8.8.8.8]:8123",
        "http://[",
        "api.hyperliquid.xyz",
        "",
    ],
)
def test_an_exchange_anywhere_else_is_refused(elsewhere: str) -> None:
    with pytest.raises(Refused, match=ELSEWHERE) as refused:
        on_this_machine(elsewhere)
    assert refused.value.exit_code == 3


@pytest.mark.parametrize("here", ["http://127.0.0.1:8123", "http://localhost:1", "http://[::1]:1"])
def test_an_exchange_on_this_machine_is_taken(here: str) -> None:
    assert on_this_machine(here) == here
    assert on_this_machine(here + "/") == here


KEYLESS = words("https://api.hyperliquid.xyz", "none.key")


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        (KEYLESS, 3, ELSEWHERE),
        (("live", "--account", ACCOUNT, "--key-file", "none.key"), 3, WHERE),
        (words(f"{NOWHERE}/info", "none.key"), 2, "--url: not a venue's address"),
        (words(NOWHERE, "none.key", "0x12"), 2, "--account: not an address"),
        (words(NOWHERE, "none.key"), 2, "--key-file: none.key cannot be read: No such file"),
        ((*words(NOWHERE, "none.key"), "--pairs", "BTC,"), 2, "--pairs: 'BTC,' is not a list"),
        ((*words(NOWHERE, "none.key"), "--config", "x.toml"), 2, "--config: no file 'x.toml'"),
        (("live", "--testnet", "--url", NOWHERE), 2, "Missing option '--account'"),
        ((*words(NOWHERE, "none.key"), "--mainnet"), 3, "it is one or the other"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_its_code(
    fundarb: Fundarb, line: tuple[str, ...], code: int, said: str
) -> None:
    answer = fundarb(*line)

    assert (answer.code, answer.out, answer.err.count("\n")) == (code, "", 1)
    assert said in answer.err


def test_a_pair_that_is_not_listed_is_told(tmp_path: Path, fundarb: Fundarb) -> None:
    answer = fundarb(*words(NOWHERE, key_file(tmp_path, TRADER_KEY)), "--pairs", "DOGE")

    assert answer.code == 2
    assert answer.err.startswith("error: 'DOGE' is no pair of hyperliquid")


def test_the_accounts_own_key_is_refused(tmp_path: Path, fundarb: Fundarb) -> None:
    answer = fundarb(*words(NOWHERE, key_file(tmp_path, TRADER_KEY), TRADER.upper()))

    assert answer.code == 3
    assert answer.err.startswith(f"error: --key-file: this is the key of the account {TRADER}")


@pytest.mark.parametrize(
    ("key", "account"),
    [(bytes([9] * 32), ACCOUNT), (TRADER_KEY, "0x" + "2" * 40)],
    ids=["a key of nobody", "an account of somebody else"],
)
def test_a_key_that_is_no_agents_of_the_account_is_refused(
    tmp_path: Path, url: str, fundarb: Fundarb, key: bytes, account: str
) -> None:
    answer = fundarb(*words(url, key_file(tmp_path, key), account))

    error = answer.err.splitlines()[-1]
    assert answer.code == 3
    assert f"is no agent of the account {account}" in error
    assert AgentSigner(key, is_mainnet=False).address in error


def test_a_live_bot_loads_no_data_frames_and_no_venue_library() -> None:
    script = f"import sys, {acting.__name__}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)

    heavy = {"numpy", "pandas", "polars", "ccxt", "hyperliquid", "eth_account"}
    assert heavy.isdisjoint(done.stdout.decode().split())


# The key


def parts(secret: bytes) -> set[bytes]:
    """Every twelve characters of it in a row, as they might be written down."""
    texts = (secret.hex(), secret.hex().upper(), b64encode(secret).decode(), repr(secret))
    return {text[at : at + 12].encode() for text in texts for at in range(len(text) - 11)} | {
        secret[at : at + 6] for at in range(len(secret) - 5)
    }


def debugged(capsys: pytest.CaptureFixture[str], line: tuple[str, ...]) -> str:
    """All that a command which must fail says, with its traceback where it has one."""
    traced = ""
    try:
        assert run([*line, "--debug"]) != 0
    except Exception as error:  # noqa: BLE001 - whatever it is, it is printed
        traced = "".join(traceback.format_exception(error))
    captured = capsys.readouterr()
    return captured.out + captured.err + traced


def test_no_part_of_the_key_is_in_anything_that_is_said_or_kept(
    tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    keys, said, spoken = tmp_path / "keys", tmp_path / "said", ""
    keys.mkdir(mode=0o700)
    good = key_file(keys, CANARY)
    (loose := Path(key_file(keys, CANARY, "loose.key"))).chmod(0o644)
    (broken := Path(key_file(keys, CANARY, "broken.key"))).write_text(CANARY.hex() + "0x1")
    failing = [
        words(NOWHERE, str(loose)),
        words(NOWHERE, str(broken)),
        words(NOWHERE, good, CANARY_ADDRESS),
        words(NOWHERE, CANARY.hex()),
        words(NOWHERE, good, f"0x{CANARY.hex()}"),
        (*words(NOWHERE, good), f"0x{CANARY.hex()}"),
        words(url, good, "0x" + "2" * 40),
    ]

    for line in failing:
        spoken += debugged(capsys, line)
    assert "Traceback" in spoken
    with running(said, *words(url, good), "--debug") as bot:
        bot.heard(event="recovered")
        (said / "state" / "testnet" / LEASE).write_bytes(msgspec.json.encode(Held(9, "it", 2**62)))
        assert bot.end() == 1

    assert "Traceback" in bot.err
    kept = everything(said) + spoken.encode()
    assert CANARY_ADDRESS.encode() in kept
    assert [part for part in parts(CANARY) if part in kept] == []


def test_a_live_bot_is_told_what_to_do_and_its_answers_hold_no_key_and_no_account(
    tmp_path: Path, url: str
) -> None:
    key = key_file(tmp_path, CANARY)
    state = tmp_path / "bot" / "state" / "testnet"
    with running(tmp_path / "bot", *words(url, key), "--pairs", "HYPE") as command:
        command.heard(event="recovered")
        bot = Running(state)
        told = bot.tell("pause", "", "")
        assert (told["mode"], told["state"] in ("paused", "starting")) == ("testnet", True)
        bot.tell("kill", "", "kill testnet")
        answers = [
            bot.ask_raw(*question)
            for question in (["status"], ["positions"], ["why", "HYPE"], ["page"], ["address"])
        ]
        page = command.heard(event="page")["address"]
        assert command.end(signal.SIGTERM) == 0

    told_all = b"".join(answers)
    assert b"killed" in told_all
    assert [part for part in parts(CANARY) if part in told_all] == []
    assert ACCOUNT.encode() not in told_all
    assert CANARY_ADDRESS.encode() not in told_all
    for token in ("control.token", "read.token"):
        secret = (state / token).read_text().strip()
        assert secret.encode() not in told_all + command.err.encode() + command.out.encode()
    assert page is None or page.startswith("http://127.0.0.1:")
    assert not (state / "control.sock").exists()
    with open_for_reading(state / JOURNAL) as journal:
        given = [fact.command for fact in journal.read() if isinstance(fact, CommandGiven)]
    assert given == ["pause", "kill"]
