"""Clients that nobody here wrote, at `fundarb emulator` as a process, over real sockets."""

import socket
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import eth_account
import pytest
from eth_account.signers.local import LocalAccount
from hyperliquid.exchange import Exchange
from hyperliquid.info import Info

from tests.unit.bot.cli.processes import running

MASTER_KEY, AGENT_KEY = "0x" + "11" * 32, "0x" + "22" * 32
MASTER: LocalAccount = eth_account.Account.from_key(MASTER_KEY)
AGENT: LocalAccount = eth_account.Account.from_key(AGENT_KEY)
ACCOUNT, AGENT_ADDRESS = str(MASTER.address), str(AGENT.address)

GTC: Any = {"limit": {"tif": "Gtc"}}
IOC: Any = {"limit": {"tif": "Ioc"}}
ALO: Any = {"limit": {"tif": "Alo"}}

_elsewhere: list[Any] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """No test of this process may so much as try to reach another host."""
    if event != "socket.connect" or arguments[0].family not in (socket.AF_INET, socket.AF_INET6):
        return
    host = arguments[1][0]
    if host != "localhost" and not ip_address(host).is_loopback:
        _elsewhere.append(arguments[1])
        raise PermissionError(f"a test wants to reach {arguments[1]}")


sys.addaudithook(_watch)  # for good: there is no taking it back


@pytest.fixture(autouse=True)
def only_this_machine() -> Iterator[None]:
    yield
    assert _elsewhere == []


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("exchange")
    words = ("--account", f"{ACCOUNT}=perp.USDC:50000,spot.USDC:50000", "--agent", AGENT_ADDRESS)
    with running(folder, "emulator", *words) as emulator:
        yield emulator.url()


class Sdk:
    """The official client's two classes for one key."""

    def __init__(self, url: str, wallet: LocalAccount) -> None:
        self.info = Info(url, skip_ws=True)
        self.exchange = Exchange(wallet, url, account_address=ACCOUNT)

    def mid(self, coin: str) -> float:
        return float(self.info.all_mids()[coin])

    def status(self, answer: Any) -> Any:
        """Of the only order or cancel."""
        assert answer["status"] == "ok", answer
        (status,) = answer["response"]["data"]["statuses"]
        return status


@pytest.fixture
def master(url: str) -> Sdk:
    return Sdk(url, MASTER)


@pytest.fixture
def agent(url: str) -> Sdk:
    return Sdk(url, AGENT)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
