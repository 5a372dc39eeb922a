"""A real Prometheus scrapes a running paper bot, and every panel has something finite to show."""

import json
import math
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.deploy.processes import (
    PATIENCE_SECONDS,
    free_port,
    get,
    notifying,
    paper_bot,
    prometheus,
    wait_until,
)

pytestmark = [pytest.mark.prometheus, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def bot_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The metrics page of a paper bot on its generated market, with a trade on."""
    with paper_bot(tmp_path_factory.mktemp("bot")) as (url, bot):
        wait_until(
            lambda: "\nfundarb_effective_leverage_ratio{" in get(url), bot, "the first trade"
        )
        yield url


@pytest.fixture(scope="module")
def notify_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The metrics page of what tells a person, whose only channel takes nothing."""
    nobody = f"json://127.0.0.1:{free_port()}"
    with notifying(tmp_path_factory.mktemp("notify"), nobody) as url:
        yield url


@pytest.fixture(scope="module")
def ask(
    programs: dict[str, str],
    bot_url: str,
    notify_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], list[Any]]]:
    """What Prometheus answers to a query, once it has scraped the bot a few times."""
    address = f"127.0.0.1:{free_port()}"
    scraped_from = {
        "127.0.0.1:9464": urllib.parse.urlsplit(bot_url).netloc,
        "127.0.0.1:9466": urllib.parse.urlsplit(notify_url).netloc,
    }

    def query(expression: str) -> list[Any]:
        asked = urllib.parse.urlencode({"query": expression})
        answer = json.loads(get(f"http://{address}/api/v1/query?{asked}"))
        result: list[Any] = answer["data"]["result"]
        return result

    def scraped() -> bool:
        counts = query("count_over_time(fundarb_journal_events_total[1m])")
        return bool(counts) and int(counts[0]["value"][1]) >= 4

    with prometheus(programs, tmp_path_factory.mktemp("prometheus"), address, scraped_from) as run:
        wait_until(scraped, run, "four scrapes")
        yield query


@pytest.mark.parametrize("whose", ["bot_url", "notify_url"])
def test_the_names_and_types_are_as_prometheus_would_have_them(
    programs: dict[str, str], whose: str, request: pytest.FixtureRequest
) -> None:
    page = until_there(request.getfixturevalue(whose))
    assert "fundarb_" in page
    checked = subprocess.run(
        [programs["promtool"], "check", "metrics"],
        input=page.encode(),
        capture_output=True,
        check=False,
    )

    assert (checked.returncode, checked.stderr.decode()) == (0, "")


def until_there(url: str) -> str:
    """The page, of a process that may just be starting."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError):
            if "fundarb_" in (page := get(url)):
                return page
        time.sleep(0.1)
    return ""


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
