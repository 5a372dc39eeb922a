"""Nothing reaches another host: not what is configured, nor a process while it runs."""

import ast
import re
import socket
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from hyperliquid.utils.constants import MAINNET_API_URL, TESTNET_API_URL

from bot.settings import Settings
from tests.acceptance import conftest
from tests.acceptance.conftest import ACCOUNT, is_here
from tests.acceptance.sockets import remote_hosts
from tests.unit.bot.cli.processes import running

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("domain", "strategies", "execution", "bot")
_URL = re.compile(r"(?:https?|wss?)://[^\s\"'`)\\]+")
EXAMPLES = {"api.hyperliquid.xyz", "chat"}
"""Hosts that a docstring names; no default of anything is one of them."""
OFFICIAL = {"hyperliquid.toml": {MAINNET_API_URL, TESTNET_API_URL}}
"""What real orders may be sent to: behind two switches (tests/unit/bot/cli/test_networks.py), and
never by a default."""


def texts(tree: Any) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, dict):
        for value in tree.values():
            yield from texts(value)
    elif isinstance(tree, (list, tuple)):
        for value in tree:
            yield from texts(value)


def urls(text: str) -> list[str]:
    """Whole ones: a prefix that code completes is judged where it is completed, and a pattern
    of addresses, which has brackets, is none."""
    return [url for url in _URL.findall(text) if "[" not in url and urlsplit(url).hostname]


# Of events the addresses are where a date is from: text for a person, which no code asks.
SETTING_FILES = sorted(set((ROOT / "config").rglob("*.toml")) - {ROOT / "config" / "events.toml"})


@pytest.mark.parametrize("path", SETTING_FILES, ids=lambda p: p.name)
def test_no_configuration_names_a_host_but_this_one_and_the_venues_own(path: Path) -> None:
    found = [url for text in texts(tomllib.loads(path.read_text())) for url in urls(text)]

    elsewhere = {url for url in found if not is_here(urlsplit(url).hostname)}
    assert elsewhere == OFFICIAL.get(path.name, set())


def test_no_default_setting_names_another_host() -> None:
    found = [u for text in texts(msgspec.to_builtins(Settings())) for u in urls(text)]

    assert [url for url in found if not is_here(urlsplit(url).hostname)] == []


def test_no_address_in_the_code_is_of_another_host() -> None:
    elsewhere = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            tree = ast.parse(path.read_text())
            shown = docstrings(tree)
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    hosts = {
                        urlsplit(u).hostname
                        for u in urls(node.value)
                        if not is_here(urlsplit(u).hostname)
                    }
                    elsewhere |= hosts - (EXAMPLES if node.value in shown else set())
    assert elsewhere == set()


def docstrings(tree: ast.Module) -> set[str | None]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {ast.get_docstring(n, clean=False) for n in ast.walk(tree) if isinstance(n, kinds)}


def test_a_test_that_looks_another_host_up_is_stopped_and_noticed() -> None:
    with pytest.raises(PermissionError, match=r"elsewhere\.invalid"):
        socket.getaddrinfo("elsewhere.invalid", 443)
    assert conftest._elsewhere.pop() == "elsewhere.invalid"


def test_the_emulator_has_connections_to_this_machine_alone(tmp_path: Path) -> None:
    from hyperliquid.info import Info

    with running(tmp_path, "emulator", "--account", ACCOUNT) as emulator:
        info = Info(emulator.url(), skip_ws=True)
        assert info.user_state(ACCOUNT)["withdrawable"] == "10000.0"
        hosts = remote_hosts(emulator._process.pid)

    assert hosts == {"127.0.0.1"}  # the client's
