"""``fundarb account``: what only the account's key can do, by the official client, confirmed."""

import getpass
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from hyperliquid.utils.constants import MAINNET_API_URL

from bot.master import Master
from execution.venues.hyperliquid.sign import AgentSigner
from tests.unit.bot.cli.processes import everything, key_file, running

Fundarb = Callable[..., Any]
KEY = bytes.fromhex("3b7e91c04d5fa2886013de47b9f0c6ae5518d2937c04fbe16a89205dc7f3b41e")
ACCOUNT = AgentSigner(KEY, is_mainnet=False).address
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("exchange")
    with running(folder, "emulator", "--account", ACCOUNT) as emulator:
        yield emulator.url()


def asked(url: str, **question: str) -> Any:
    body = json.dumps(question).encode()
    request = Request(f"{url}/info", body, {"Content-Type": "application/json"})
    with urlopen(request) as reply:
        return json.load(reply)


@pytest.fixture
def key(tmp_path: Path) -> str:
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o700)
    return key_file(folder, KEY, "master.key")


def test_an_agent_is_approved_and_its_key_is_its_owners_alone(
    tmp_path: Path, url: str, key: str, fundarb: Fundarb
) -> None:
    line = ("account", "approve-agent", "--url", url, "--key-file", key, "--confirm", ACCOUNT)
    answer = fundarb(*line, "--out", "keys/bot.key", "--days", "30", "--json", "-")

    assert answer.code == 0, answer.err
    told = json.loads(answer.out)
    kept = tmp_path / "keys" / "bot.key"
    assert kept.stat().st_mode & 0o777 == 0o600
    agent = AgentSigner(bytes.fromhex(kept.read_text().strip()), is_mainnet=False).address
    assert told["agent"] == agent
    (row,) = asked(url, type="extraAgents", user=ACCOUNT)
    assert (row["address"], row["name"]) == (agent, "fundarb")
    sound = fundarb("doctor", "--url", url, "--account", ACCOUNT, "--agent", agent)
    assert "ok       agent: " in sound.out
    assert KEY.hex() not in answer.out + answer.err
    assert kept.read_text().strip() not in answer.out + answer.err
    again = fundarb(*line, "--out", "keys/bot.key")
    assert (again.code, "is there already" in again.err) == (2, True)


def test_balances_move_between_the_sides_and_the_mode_is_set(
    url: str, key: str, fundarb: Fundarb
) -> None:
    where = ("--url", url, "--key-file", key, "--confirm", ACCOUNT)

    def on_perp() -> str:
        state = asked(url, type="clearinghouseState", user=ACCOUNT)
        return str(state["withdrawable"])

    assert fundarb("account", "move", "250.5", "--to", "perp", *where).code == 0
    assert on_perp() == "10250.5"
    too_much = fundarb("account", "move", "99999", "--to", "spot", *where)
    assert (too_much.code, "the venue refuses: " in too_much.err) == (1, True)
    assert on_perp() == "10250.5"
    assert fundarb("account", "mode", "unified", *where).code == 0
    assert asked(url, type="userAbstraction", user=ACCOUNT) == "unifiedAccount"
    assert fundarb("account", "mode", "standard", *where).code == 0


def test_the_key_can_be_typed_and_is_not_shown(
    url: str, fundarb: Fundarb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(getpass, "getpass", lambda _: KEY.hex())

    answer = fundarb("account", "mode", "standard", "--url", url, "--confirm", ACCOUNT)
    assert answer.code == 0, answer.err
    assert KEY.hex()[:12] not in answer.err + answer.out


def test_no_proxy_of_the_environment_is_asked(
    url: str, key: str, fundarb: Fundarb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("http_proxy", NOWHERE)

    where = ("--url", url, "--key-file", key, "--confirm", ACCOUNT)
    assert fundarb("account", "mode", "standard", *where).code == 0


REFUSED = [
    (("mode", "unified"), 3, "is needed where nobody can type it"),
    (("mode", "unified", "--confirm", "0x" + "1" * 40), 3, "nothing was done"),
    (("mode", "none", "--confirm", ACCOUNT), 2, "'none' is no mode"),
    (("move", "1e-9", "--to", "perp", "--confirm", ACCOUNT), 2, "USDC has 6 decimals"),
    (("move", "-1", "--to", "perp"), 2, "No such option"),
    (("move", "5", "--to", "bank", "--confirm", ACCOUNT), 2, "'bank' is no side"),
    (("approve-agent", "--out", "a.key", "--days", "181"), 2, "between 1 and 180"),
    (("approve-agent", "--out", "a.key", "--name", "a valid_until 9"), 2, "--name: not a name"),
    (("approve-agent", "--out", "no/such/a.key"), 2, "no directory"),
]


@pytest.mark.parametrize(("line", "code", "said"), REFUSED)
def test_what_is_not_confirmed_or_not_possible_is_not_done(
    tmp_path: Path, key: str, fundarb: Fundarb, line: tuple[str, ...], code: int, said: str
) -> None:
    answer = fundarb("account", *line, "--url", NOWHERE, "--key-file", key)

    assert (answer.code, answer.out) == (code, ""), answer.err
    assert said in answer.err
    assert not (tmp_path / "a.key").exists()


def test_where_is_said_every_time(key: str, fundarb: Fundarb) -> None:
    answer = fundarb("account", "mode", "unified", "--key-file", key)

    assert (answer.code, "where to? --testnet, --mainnet" in answer.err) == (3, True)


def test_no_answer_is_not_taken_for_done_and_leaves_no_key(
    tmp_path: Path, key: str, fundarb: Fundarb
) -> None:
    where = ("--url", NOWHERE, "--key-file", key, "--confirm", ACCOUNT)
    answer = fundarb("account", "approve-agent", "--out", "a.key", *where)

    assert (answer.code, "it may have been done" in answer.err) == (1, True)
    assert not (tmp_path / "a.key").exists()
    kept = everything(tmp_path / "keys")
    assert kept == KEY.hex().encode()


def test_the_client_signs_for_the_network_that_was_asked_for() -> None:
    with pytest.raises(ValueError, match="is not what the official client knows"):
        Master(KEY, NOWHERE, is_mainnet=True)
    with pytest.raises(ValueError, match="is not what the official client knows"):
        Master(KEY, MAINNET_API_URL, is_mainnet=False)
    assert Master(KEY, NOWHERE, is_mainnet=False).address == ACCOUNT
    assert KEY.hex()[:12] not in repr(Master(KEY, NOWHERE, is_mainnet=False))
