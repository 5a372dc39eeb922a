"""No secret is in anything that the suite leaves: files, journals, reports, logs, output.

Secrets are what the product reads as such: the contents of key files, token files and files of
channels' addresses that a test writes, and two that are planted in the environment of all tests
and of every process they start. After each test its directory and what it was told are searched
for all of them, as text, as bytes and in base64; after the last test, everything that is left.

Used by ``tests/conftest.py``; ``tests/test_canary.py`` shows that it can fail.
"""

import os
import re
from base64 import b64encode
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

PLANTED = {
    "HYPERLIQUID_PRIVATE_KEY": "5e1fc0de9a7b3d2c4f6081e7d5b9a3c2f4e6180a7c9d3b5f2e4a6c8d0b1f3e57",
    "TELEGRAM_BOT_TOKEN": "7219403865:AAFcanaryQ4xN8vLr2TkWz6JpYdGbHsMu1E",
}
os.environ.update(PLANTED)

_WORD = re.compile(rb"[A-Za-z0-9_-]{16,}")
_KEY = re.compile(rb"(?<![0-9a-fA-F])[0-9a-fA-F]{64}(?![0-9a-fA-F])")
KEPT_IN = {"*.key": _KEY, "*.token": _WORD, "channels.txt": _WORD}
"""Files that are there to hold a secret, and which of their words are one."""
_LINK = re.compile(rb"#token=[A-Za-z0-9_-]+")
"""Of `fundarb web`, which is asked for it."""

_PLANTED = {word for text in PLANTED.values() for word in _WORD.findall(text.encode())}
_said: list[bytes] = []
_kept: set[bytes] = set()
"""What a test was told, and the secrets in its directory; both are forgotten after it."""


def forms(secret: bytes) -> set[bytes]:
    """What a secret looks like in what somebody writes without thinking of it."""
    found = {secret, secret.lower(), secret.upper(), b64encode(secret).rstrip(b"=")}
    if _KEY.fullmatch(secret):
        raw = bytes.fromhex(secret.decode())
        found |= {raw, b64encode(raw).rstrip(b"=")}
    return found


def secrets_in(folder: Path) -> set[bytes]:
    """What files below ``folder`` keep that are there to keep secrets."""
    words = {
        word
        for name, secret in KEPT_IN.items()
        for path in folder.rglob(name)
        for word in secret.findall(_content(path))
    }
    return {word for word in words if len(set(word)) > 8}  # a row of zeros is anybody's


def leaks(folder: Path, secrets: Iterable[bytes]) -> list[str]:
    """Files below ``folder`` that have one of ``secrets`` and are not there for it, by their name
    or because they hold nothing else."""
    sought = {form for secret in secrets for form in forms(secret)}
    return [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if not path.is_symlink() and not any(map(path.match, KEPT_IN))
        # Room that a journal sets aside: zeros, eight megabytes of them.
        if path.suffix != ".reserve" and holds(_content(path), sought)
    ]


def holds(content: bytes, sought: Iterable[bytes]) -> bool:
    told = _LINK.sub(b"", content) if b"#token=" in content else content
    return any(form in told and form != told.strip() for form in sought)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes() if path.is_file() else b""  # a pipe would wait
    except OSError:  # gone meanwhile, or made unreadable by its test
        return b""


def _clean(folder: Path) -> None:
    _kept.update(secrets_in(folder))
    found = leaks(folder, _PLANTED | _kept)
    if found:
        pytest.fail(f"a secret is in {', '.join(found)}", pytrace=False)


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """pytest's own, searched when everything that wrote into it has ended."""
    yield tmp_path
    _clean(tmp_path)


@pytest.fixture(scope="session", autouse=True)
def nothing_secret_is_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    yield
    _clean(tmp_path_factory.getbasetemp())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Generator[None, Any, Any]:
    report = yield
    told = [f"{report.longrepr or ''}", *(text for _, text in report.sections)]
    _said.extend(text.encode() for text in told)
    if report.when == "teardown":
        sought = {form for secret in _PLANTED | _kept for form in forms(secret)}
        if any(holds(text, sought) for text in _said):
            report.outcome, report.longrepr = "failed", f"{item.nodeid} has said a secret"
            report.sections = []
        _said.clear()
        _kept.clear()
    return report


_readouterr = pytest.CaptureFixture.readouterr


def _heard(self: pytest.CaptureFixture[Any]) -> Any:
    """What a test takes to look at itself is output too."""
    captured = _readouterr(self)
    _said.extend(
        text.encode() if isinstance(text, str) else text for text in (captured.out, captured.err)
    )
    return captured


pytest.CaptureFixture.readouterr = _heard  # type: ignore[method-assign]
