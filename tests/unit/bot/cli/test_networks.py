"""Two switches and a typed address before a real network; without them nothing is contacted."""

import socket
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hyperliquid.utils.constants import MAINNET_API_URL, TESTNET_API_URL

from bot import instruments
from bot.cli import acting
from bot.cli.networks import Asked, Place, Refused, confirm, place
from bot.config_files import config_file, config_names
from bot.instruments import load_url
from domain.money import ONE
from execution.venues.hyperliquid.sign import BeyondCap
from tests.unit.bot.cli.processes import ACCOUNT, TRADER, TRADER_KEY, key_file

Fundarb = Callable[..., Any]
NOBODY = "http://127.0.0.1:9"


class Listener:
    """A port of this machine that counts who comes."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.callers = 0
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        while True:
            try:
                caller, _ = self._socket.accept()
            except OSError:
                return
            self.callers += 1
            caller.close()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def venue(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    """Stands where the real networks are."""
    listener = Listener()
    monkeypatch.setattr(instruments, "load_url", lambda _venue, _network: listener.url)
    yield listener
    listener.close()


def settings(folder: Path, network: str) -> str:
    path = folder / f"{network}.toml"
    path.write_text(f'[live]\nnetwork = "{network}"\n')
    return str(path)


# Whatever is one thing short of right: the account's address alone does not do either.
SHORT = [
    (flag, network, typed)
    for flag in (None, "--testnet", "--mainnet")
    for network in (None, "none", "testnet", "mainnet")
    for typed in (None, "0x" + "2" * 40, ACCOUNT)
    if (flag, typed) != (f"--{network}", ACCOUNT)
]


@pytest.mark.parametrize("command", ["live", "watchdog"])
@pytest.mark.parametrize(("flag", "network", "typed"), SHORT)
def test_nothing_is_contacted_unless_both_switches_and_the_address_are_right(
    tmp_path: Path,
    fundarb: Fundarb,
    venue: Listener,
    command: str,
    flag: str | None,
    network: str | None,
    typed: str | None,
) -> None:
    line = [command, "--account", ACCOUNT, "--key-file", key_file(tmp_path, TRADER_KEY)]
    line += ["--trader", "0x" + "3" * 40] if command == "watchdog" else []
    line += [flag] if flag is not None else []
    line += ["--config", settings(tmp_path, network)] if network is not None else []
    line += ["--confirm", typed] if typed is not None else []

    answer = fundarb(*line)

    assert (answer.code, answer.out, answer.err.count("\n")) == (3, "", 1), answer.err
    assert venue.callers == 0
    assert not (tmp_path / "state").exists()


def test_with_both_switches_and_the_address_the_venue_is_asked(
    tmp_path: Path, venue: Listener
) -> None:
    for network in ("testnet", "mainnet"):
        where = Asked(None, network == "testnet", network == "mainnet", ACCOUNT.upper())
        key = key_file(tmp_path, TRADER_KEY)
        act = acting.asked(where, ACCOUNT, key, "HYPE", settings(tmp_path, network), None)

        assert act.place == Place(network, venue.url)
        assert act.state == Path({"testnet": "state/testnet", "mainnet": "state/live"}[network])
        assert act.signer.address == TRADER
    assert venue.callers == 0  # not before it runs


def test_each_network_has_signatures_of_its_own(tmp_path: Path, venue: Listener) -> None:
    signed = set()
    for network in ("testnet", "mainnet"):
        at = Place(network, venue.url)
        signer = acting.agent(key_file(tmp_path, TRADER_KEY), at, ONE)
        signed.add(signer.sign({"type": "noop"}, 1, None))

    assert len(signed) == 2


def test_no_order_is_signed_that_is_worth_more_than_all_there_is(tmp_path: Path) -> None:
    key = key_file(tmp_path, TRADER_KEY)
    signer = acting.agent(key, Place("testnet", NOBODY), Decimal(100))

    def signed(price: str, nonce: int) -> None:
        limit = {"limit": {"tif": "Ioc"}}
        order = {"a": 0, "b": True, "p": price, "s": "1", "r": False, "t": limit}
        signer.sign({"type": "order", "orders": [order], "grouping": "na"}, nonce, None)

    with pytest.raises(BeyondCap, match="an order of 101, at most 100"):
        signed("101", 1)
    for nonce in range(20):
        signed("100", nonce)
    with pytest.raises(BeyondCap, match="2001 of orders in an hour, at most 2000"):
        signed("1", 20)


def test_an_exchange_of_this_machine_needs_neither_switch() -> None:
    assert place(Asked(NOBODY, testnet=False, mainnet=False), "none") == Place("here", NOBODY)
    assert place(Asked(NOBODY, testnet=True, mainnet=False), "none") == Place("here", NOBODY)
    confirm(Place("here", NOBODY), ACCOUNT, None)


@pytest.mark.parametrize("url", ["https://api.hyperliquid.xyz", "http://10.0.0.1:1", "nonsense"])
def test_no_other_address_can_be_given(url: str) -> None:
    with pytest.raises(Refused, match="--url takes only an exchange on this machine"):
        place(Asked(url, testnet=True, mainnet=False), "testnet")


def test_every_configured_address_is_the_official_clients_and_there_is_no_other() -> None:
    assert load_url("hyperliquid", "mainnet") == MAINNET_API_URL
    assert load_url("hyperliquid", "testnet") == TESTNET_API_URL
    for venue in config_names("venues"):
        file = config_file(f"venues/{venue}.toml")
        urls = instruments._read(file, instruments._Venue).urls
        assert urls.keys() <= {"mainnet", "testnet"}
        assert all(url.startswith("https://") for url in urls.values())


def test_a_person_at_a_terminal_types_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    import typer

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    asked: list[str] = []

    def typed(text: str, **_: object) -> str:
        asked.append(text)
        return f" {ACCOUNT.upper()} "

    monkeypatch.setattr(typer, "prompt", typed)
    confirm(Place("mainnet", NOBODY), ACCOUNT, None)
    assert asked == [f"mainnet (REAL MONEY) at {NOBODY}\nType the account's address to go on"]
    monkeypatch.setattr(typer, "prompt", lambda *_, **__: "yes")
    with pytest.raises(Refused, match="not the account's address"):
        confirm(Place("testnet", NOBODY), ACCOUNT, None)
