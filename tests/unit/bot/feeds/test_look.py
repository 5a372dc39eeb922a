"""A live market looked at once, against an exchange of this machine over real sockets."""

import json
from collections.abc import Iterator
from decimal import Decimal

import pytest

from bot import settings
from bot.cli.errors import BAD_INPUT
from bot.cli.main import run
from bot.feeds.look import _is_complete, look
from bot.instruments import listed_pairs, load_pairs
from bot.run import Stopped
from bot.scan import scan_live
from execution.venues.hyperliquid import watch
from strategies.market.state import Market
from tests.unit.bot.cli.processes import running
from tests.unit.bot.feeds.emulated import Emulated
from tests.unit.strategies.world import book, context, observe

PAIRS = {"BTC", "ETH", "SOL", "HYPE", "PURR"}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("exchange"), "emulator", "--unlimited") as emulator:
        yield emulator.url()


def test_the_market_as_it_is_now_is_ranked(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["scan", "--url", url, "--json", "-"]) == 0
    told = json.loads(capsys.readouterr().out)

    listed = [row for row in told["pairs"] if row["gate"] != "not_listed"]
    assert {row["pair"] for row in listed} == PAIRS
    assert {row["pair"] for row in told["pairs"]} == {
        pair.name for pair in listed_pairs("hyperliquid")
    }
    for row in listed:
        assert row["gate"] not in {"not_warm", "stale_data", "no_data"}, row
        assert row["cost"] > 0
        assert row["capacity"] > 0
        assert row["error"] > 0
        assert row["synthetic"] is True


def test_a_generated_market_is_called_so(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["scan", "--url", url, "--pairs", "HYPE"]) == 0
    shown = capsys.readouterr().out

    assert "SYNTHETIC" in shown
    assert "kept out by" in shown


async def test_what_is_not_quoted_in_time_is_told_pair_by_pair(url: str) -> None:
    pairs = load_pairs("hyperliquid", ("HYPE", "BTC"))
    seen = await look(url, pairs, lambda: False, wait_seconds=0.0)
    loaded = settings.load(None).settings
    rows = list(
        scan_live(seen.pairs, seen.market, seen.now_ns, Decimal(10_000), loaded, synthetic=True)
    )

    assert [row.pair for row in rows] == ["HYPE", "BTC"]
    assert all(row.gate and row.cost is None for row in rows)


def test_a_market_is_seen_once_every_book_and_every_mark_is() -> None:
    emulated = Emulated(("HYPE",))
    listing = watch.listed(*emulated._listed(), emulated.pairs)
    market, (pair,) = Market(listing.pairs), listing.pairs
    for one in (book(pair.spot), book(pair.perp), context(pair.perp, 1e-5)):
        assert not _is_complete(listing, market)
        observe(market, one)
    assert _is_complete(listing, market)


async def test_who_stops_waits_for_nothing(url: str) -> None:
    with pytest.raises(Stopped):
        await look(url, load_pairs("hyperliquid"), lambda: True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--url http://127.0.0.1:9", "does not answer as Hyperliquid"),
        ("--venues", "add --data DIR"),
        ("--at 2025-01-01", "add --data DIR"),
        ("--venue binance", "add --data DIR"),
        ("--data . --url http://127.0.0.1:9", "one or the other"),
        ("--pairs NOPE", "NOPE"),
    ],
)
def test_a_wrong_word_is_one_line(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["scan", *words.split()]) == BAD_INPUT
    shown = capsys.readouterr().err
    assert said in shown
    assert shown.count("\n") == 1
