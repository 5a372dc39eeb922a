"""``fundarb`` as processes of their own: started, told to end, and what they said."""

import ctypes
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from execution.venues.hyperliquid.sign import AgentSigner
from tests.unit.bot.cli.conftest import clean_environment

ACCOUNT = "0x" + "1" * 40
TRADER_KEY, WATCHDOG_KEY = (sha256(name).digest() for name in (b"trader", b"watchdog"))
TRADER = AgentSigner(TRADER_KEY, is_mainnet=False).address
WATCHDOG = AgentSigner(WATCHDOG_KEY, is_mainnet=False).address
SECONDS = 20.0
"""The longest that anything here is waited for."""
_PR_SET_PDEATHSIG = 1


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Command:
    """One running ``fundarb``; what it says goes into files of its directory."""

    def __init__(self, folder: Path, *words: str) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"{words[0]}-{len(list(folder.glob('*.out')))}"
        self._out, self._err = folder / f"{name}.out", folder / f"{name}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bot.cli.main", *words],
                cwd=folder,
                env=clean_environment(),
                stdout=out,
                stderr=err,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - the tests have no threads
            )

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    @property
    def log(self) -> list[dict[str, Any]]:
        """The log's lines so far; the one of the error that ended it is none of them."""
        lines = [line for line in self.err.splitlines() if line.startswith("{")]
        return [json.loads(line) for line in lines]

    def heard(self, **said: str) -> dict[str, Any]:
        """The first log line with these fields, once it is there."""
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            for line in self.log:
                if said.items() <= line.items():
                    return line
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"never said {said}: {self.err[-2000:]}")

    def url(self) -> str:
        """Of an emulator, once it answers."""
        until = time.monotonic() + SECONDS
        while not self.out.endswith("\n"):
            assert time.monotonic() < until, self.err
            assert self._process.poll() is None, self.err
            time.sleep(0.02)
        return str(json.loads(self.out)["url"])

    def tell(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self, number: signal.Signals | None = None) -> int:
        """The exit code, of itself or after this signal."""
        if number is not None:
            self.tell(number)
        return self._process.wait(SECONDS)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def running(folder: Path, *words: str) -> Iterator[Command]:
    command = Command(folder, *words)
    try:
        yield command
    finally:
        command.kill()


@contextmanager
def exchange(folder: Path, *words: str, account: str = ACCOUNT) -> Iterator[str]:
    """An emulator with both agents, which many bots ask in one minute; yields its address."""
    agents = ("--agent", TRADER, "--agent", WATCHDOG)
    with running(
        folder, "emulator", "--unlimited", "--account", account, *agents, *words
    ) as emulator:
        yield emulator.url()


def key_file(folder: Path, key: bytes, name: str = "agent.key") -> str:
    path = folder / name
    path.write_text(key.hex())
    path.chmod(0o600)
    return str(path)


def everything(folder: Path) -> bytes:
    """All that is in the files below a directory."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
