"""Real processes on the loopback address: a paper bot, Prometheus, Alertmanager."""

import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
UNPACKED = ROOT / ".venv" / "prometheus" / "usr" / "bin"
PATIENCE_SECONDS = 60.0
FUNDARB = (sys.executable, "-c", "import sys; from bot.cli.main import main; sys.exit(main())")


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        body: bytes = answer.read()
    return body.decode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(
    true: Callable[[], bool],
    process: subprocess.Popen[bytes],
    what: str,
    seconds: float = PATIENCE_SECONDS,
) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, f"{what}: the process ended with {process.returncode}"
        try:
            if true():
                return
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(0.2)
    pytest.fail(f"{what}: not within {seconds:.0f} s")


@contextmanager
def ended(command: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is told to end when it is no longer needed."""
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()


@contextmanager
def paper_bot(folder: Path, settings: str = "") -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address of its metrics page, and its process. ``settings``: TOML."""
    port = free_port()
    (folder / "port.toml").write_text(f"[metrics]\nport = {port}\n{settings}")
    command = [*FUNDARB, "paper", "--config", "port.toml", "--state", "state"]
    with ended(command, folder) as bot:
        yield f"http://127.0.0.1:{port}/metrics", bot


@contextmanager
def notifying(folder: Path, address: str) -> Iterator[str]:
    """The address of the metrics page of `fundarb notify`, which tells ``address``."""
    port = free_port()
    (folder / "channels.txt").write_text(address)
    (folder / "channels.txt").chmod(0o600)
    (folder / "notify.toml").write_text(f"[notify]\nport = {port}\n")
    options = ["--to", "channels.txt", "--config", "notify.toml", "--state", "state"]
    with ended([*FUNDARB, "notify", *options], folder):
        yield f"http://127.0.0.1:{port}/metrics"


def configured(shipped: Path, folder: Path, instead: Mapping[str, str]) -> Path:
    """A copy in ``folder`` of a configuration as shipped, every ``instead`` in its place."""
    config = shipped.read_text()
    for words, replaced in instead.items():
        assert words in config, words
        config = config.replace(words, replaced)
    copy = folder / shipped.name
    copy.write_text(config)
    return copy


@contextmanager
def prometheus(
    programs: Mapping[str, str], folder: Path, address: str, instead: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Prometheus with the shipped configuration, asking each second."""
    hurry = {"_interval: 5s": "_interval: 1s", "timeout: 4s": "timeout: 1s"}
    shipped = DEPLOY / "prometheus" / "prometheus.yml"
    command = [
        programs["prometheus"],
        f"--config.file={configured(shipped, folder, {**instead, **hurry})}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--rules.alert.resend-delay=2s",  # what is sent before Alertmanager is found is lost
        "--log.level=warn",
    ]
    with ended(command, folder) as process:
        yield process


@contextmanager
def alertmanager(
    programs: Mapping[str, str], folder: Path, address: str, instead: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Alertmanager with the shipped routing, in a hurry."""
    hurry = {"group_wait: 5s": "group_wait: 1s", "interval: 1m": "interval: 2s"}
    shipped = DEPLOY / "alertmanager" / "alertmanager.yml"
    templates = UNPACKED.parent / "share" / "prometheus" / "alertmanager"
    for template in templates.glob("*.tmpl"):  # see tools/install_prometheus.sh
        shutil.copy(template, folder)
    command = [
        programs["prometheus-alertmanager"],
        f"--config.file={configured(shipped, folder, {**instead, **hurry})}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
        "--log.level=warn",
    ]
    with ended(command, folder) as process:
        wait_until(lambda: bool(get(f"http://{address}/-/ready")), process, "Alertmanager")
        yield process
