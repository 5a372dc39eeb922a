"""Clients that nobody here wrote, at `fundarb emulator` as a process, over real sockets."""

import socket
import sys
from collections.abc import Iterator
from ipaddress import ip_address
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
    """No test of this process may so much as try to reach another host, nor look one up: where
    there is no network, nothing comes after that."""
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and arguments[0].family in (socket.AF_INET, socket.AF_INET6):
        host = arguments[1][0]
    else:
        return
    if not is_here(host):
        _elsewhere.append(host)
        raise PermissionError(f"a test wants to reach {host}")


def is_here(host: str | bytes | None) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    try:
        return name in (None, "", "localhost") or ip_address(name).is_loopback
    except ValueError:
        return False


sys.addaudithook(_watch)  # for good: there is no taking it back


@pytest.fixture(autouse=True)
def only_this_machine() -> Iterator[None]:
    yield
    assert _elsewhere == []


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("exchange")
    words = ("--account", f"{ACCOUNT}=perp.USDC:50000,spot.USDC:50000", "--agent", AGENT_ADDRESS)
    with running(folder, "emulator", "--unlimited", *words) as emulator:
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
