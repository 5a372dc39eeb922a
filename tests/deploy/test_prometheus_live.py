"""A real Prometheus scrapes a running paper bot, and every panel has something finite to show."""

import json
import math
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNPACKED = ROOT / ".venv" / "prometheus" / "usr" / "bin"
PATIENCE_SECONDS = 60.0

pytestmark = [pytest.mark.prometheus, pytest.mark.timeout(240)]


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        body: bytes = answer.read()
    return body.decode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(true: Callable[[], bool], process: subprocess.Popen[bytes], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, f"{what}: the process ended with {process.returncode}"
        try:
            if true():
                return
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(0.2)
    pytest.fail(f"{what}: not within {PATIENCE_SECONDS:.0f} s")


@pytest.fixture(scope="module")
def programs() -> dict[str, str]:
    """Paths of prometheus and promtool, fetched where this machine has apt and not them."""
    subprocess.run([ROOT / "tools" / "install_prometheus.sh"], check=True)
    found = {
        name: path
        for name in ("prometheus", "promtool")
        if (path := shutil.which(name) or shutil.which(name, path=UNPACKED))
    }
    if len(found) < 2:
        pytest.skip("no Prometheus here, and no apt-get to fetch it with")
    return found


@pytest.fixture(scope="module")
def bot_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The metrics page of a paper bot on its generated market, with a trade on."""
    folder = tmp_path_factory.mktemp("bot")
    port = free_port()
    (folder / "port.toml").write_text(f"[metrics]\nport = {port}\n")
    command = [sys.executable, "-c", "import sys; from bot.cli.main import main; sys.exit(main())"]
    options = ["paper", "--config", "port.toml", "--state", "state"]
    url = f"http://127.0.0.1:{port}/metrics"
    with subprocess.Popen([*command, *options], cwd=folder, stdout=subprocess.DEVNULL) as bot:
        try:
            wait_until(
                lambda: "\nfundarb_effective_leverage_ratio{" in get(url), bot, "the first trade"
            )
            yield url
        finally:
            bot.terminate()


@pytest.fixture(scope="module")
def ask(
    programs: dict[str, str], bot_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], list[Any]]]:
    """What Prometheus answers to a query, once it has scraped the bot a few times."""
    folder = tmp_path_factory.mktemp("prometheus")
    shipped = (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text()
    target = urllib.parse.urlsplit(bot_url).netloc
    config = shipped.replace("127.0.0.1:9464", target)
    assert config != shipped
    config = config.replace("interval: 5s", "interval: 1s").replace("timeout: 4s", "timeout: 1s")
    (folder / "prometheus.yml").write_text(config)
    address = f"127.0.0.1:{free_port()}"
    command = [
        programs["prometheus"],
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--log.level=warn",
    ]

    def query(expression: str) -> list[Any]:
        asked = urllib.parse.urlencode({"query": expression})
        answer = json.loads(get(f"http://{address}/api/v1/query?{asked}"))
        result: list[Any] = answer["data"]["result"]
        return result

    def scraped() -> bool:
        counts = query("count_over_time(fundarb_journal_events_total[1m])")
        return bool(counts) and int(counts[0]["value"][1]) >= 4

    with subprocess.Popen(command) as prometheus:
        try:
            wait_until(scraped, prometheus, "four scrapes")
            yield query
        finally:
            prometheus.terminate()


def test_the_names_and_types_are_as_prometheus_would_have_them(
    programs: dict[str, str], bot_url: str
) -> None:
    checked = subprocess.run(
        [programs["promtool"], "check", "metrics"],
        input=get(bot_url).encode(),
        capture_output=True,
        check=False,
    )

    assert (checked.returncode, checked.stderr.decode()) == (0, "")


def test_the_bot_is_up_and_says_that_its_market_is_synthetic(
    ask: Callable[[str], list[Any]],
) -> None:
    (up,) = ask('up{job="fundarb"}')
    (build,) = ask("fundarb_build_info")

    assert up["value"][1] == "1"
    assert build["metric"]["synthetic"] == "true"


def test_equity_is_capital_and_profit(ask: Callable[[str], list[Any]]) -> None:
    profit = "scalar(sum(fundarb_pnl_usd))"

    (difference,) = ask(f"fundarb_equity_usd - fundarb_capital_usd - {profit}")
    assert float(difference["value"][1]) == pytest.approx(0.0, abs=1e-6)


def test_every_panel_has_something_finite_to_show(
    ask: Callable[[str], list[Any]], queries: list[tuple[str, str]]
) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    empty = list(queries)  # between two trades there is no leverage: it is asked again

    while empty and time.monotonic() < deadline:
        answers = [(title, query, ask(query)) for title, query in empty]
        for title, query, result in answers:
            values = [float(series["value"][1]) for series in result]
            assert not any(map(math.isinf, values)), f"{title} is not finite: {query}"
        empty = [
            (title, query)
            for title, query, result in answers
            if not any(math.isfinite(float(series["value"][1])) for series in result)
        ]
        time.sleep(0.5)

    assert empty == []
