"""``fundarb emulator``: what it prints, how it ends, what it answers, by whose clock it judges."""

import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import islice, pairwise
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from bot.emulation import Pace, Restated, tradable
from domain.market import Book, Reference
from domain.time import MILLISECOND, MINUTE, SECOND
from execution.venues.hyperliquid.actions import NOOP
from execution.venues.hyperliquid.sign import AgentSigner
from execution.venues.simulated.generated import STEP_NS, generated_market
from tests.unit.bot.cli.processes import ACCOUNT, TRADER, TRADER_KEY, exchange, running

Fundarb = Callable[..., Any]
START = 1_735_689_600 * SECOND
OTHER = "0x" + "7" * 40
HOLDINGS = "perp.USDC:5000,spot.USDC:2000,spot.HYPE:5"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An exchange an hour of which passes every second."""
    folder = tmp_path_factory.mktemp("exchange")
    with exchange(folder, "--speed", "3600", account=f"{ACCOUNT}={HOLDINGS}") as url:
        yield url


def post(url: str, body: bytes) -> Any:
    request = Request(url, body, {"Content-Type": "application/json"})
    with build_opener(ProxyHandler({})).open(request, timeout=5) as answer:
        return json.loads(answer.read())


def info(url: str, **question: str) -> Any:
    return post(f"{url}/info", json.dumps(question).encode())


def test_several_accounts_have_each_what_they_were_given(tmp_path: Path) -> None:
    words = ("--account", f"{OTHER}=perp.USDC:5000,spot.USDC:4000,spot.HYPE:5")
    with exchange(tmp_path, *words, "--agent", f"0x{'8' * 40}={OTHER}") as url:
        balances = info(url, type="spotClearinghouseState", user=OTHER)["balances"]
        assert {b["coin"]: b["total"] for b in balances} == {"USDC": "4000.0", "HYPE": "5.0"}
        assert info(url, type="userRole", user="0x" + "8" * 40)["data"]["user"] == OTHER
        assert info(url, type="userRole", user=TRADER)["data"]["user"] == ACCOUNT
        perp = info(url, type="clearinghouseState", user=ACCOUNT)
        assert perp["withdrawable"] == "10000.0"


# The process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_it_says_where_it_answers_in_one_line_and_ends_when_told(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    with running(tmp_path, "emulator", "--seed", "7") as emulator:
        url = emulator.url()
        mids = info(url, type="allMids")
        assert emulator.heard(event="emulator")["synthetic"] is True

        assert emulator.end(number) == code

    assert "HYPE" in mids
    assert emulator.out == f'{{"url": "{url}"}}\n'
    assert len(emulator.err.splitlines()) == 1


def test_a_port_that_is_taken_is_told(fundarb: Fundarb) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        answer = fundarb("emulator", "--port", str(port))

    assert (answer.code, answer.out) == (2, "")
    assert answer.err == (
        f"error: --port {port} cannot be had: Address already in use; 0 is a free one\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--port", "x"), "--port: 'x' is not a whole number"),
        (("--port", "65536"), "--port: must be between 0 and 65535"),
        (("--account", "0x12"), "--account: not an address"),
        (("--account", f"{ACCOUNT}="), "--account: '' is nothing that can be there"),
        (("--account", f"{ACCOUNT}=USDC:5"), "'USDC:5' is nothing that can be there"),
        (("--account", f"{ACCOUNT}=perp.HYPE:5"), "'perp.HYPE:5' is nothing that can be there"),
        (("--account", f"{ACCOUNT}=spot.USDC:0"), "--account: must be more than zero"),
        (("--account", f"{ACCOUNT}=spot.USDC:x"), "--account: 'x' is not a number"),
        (("--account", f"{ACCOUNT}=spot.DOGE:5"), "--account: DOGE is not listed here"),
        (("--agent", "me"), "--agent: not an address"),
        (("--account", ACCOUNT, "--account", f"{ACCOUNT}=spot.USDC:1"), "is given twice"),
        (("--agent", f"{OTHER}={'0x' + '9' * 40}"), "is no --account of this exchange"),
        (("--agent", OTHER, "--agent", OTHER), "an agent is of one account"),
        (("--account", ACCOUNT, "--agent", ACCOUNT), "an agent is of one account"),
        (("--seed", "-1"), "--seed: '-1' is not a whole number"),
        (("--speed", "0"), "--speed: must be more than zero"),
        (("--speed", "max"), "--speed: 'max' is not a number"),
        (("--speed", "14401"), "--speed: must be at most 14400"),
        (("--faults", "nothing.toml"), "--faults: no file 'nothing.toml'"),
        (("--market", "nowhere"), "--market: neither 'generated' nor a directory: 'nowhere'"),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_code_two(
    fundarb: Fundarb, words: tuple[str, ...], said: str
) -> None:
    answer = fundarb("emulator", *words)

    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert said in answer.err


def test_a_key_in_place_of_an_address_is_not_repeated(fundarb: Fundarb) -> None:
    key = "3b7e91c04d5fa2886013de47b9f0c6ae5518d2937c04fbe16a89205dc7f3b41e"

    for words in (("--agent", key), ("--account", f"0x{key}=spot.USDC:5"), (key,)):
        answer = fundarb("emulator", *words)
        assert answer.code == 2
        assert key[:12] not in answer.err


def test_a_file_of_faults_that_says_what_cannot_be_is_told(
    fundarb: Fundarb, tmp_path: Path
) -> None:
    (tmp_path / "faults.toml").write_text('[[fault]]\nkind = "flood"')

    answer = fundarb("emulator", "--faults", "faults.toml")

    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert "--faults: faults.toml: Invalid enum value 'flood'" in answer.err


def test_faults_happen(tmp_path: Path) -> None:
    (tmp_path / "faults.toml").write_text(
        '[[fault]]\nkind = "error"\non = "/info"\nstatus = 503\ntype = "meta"\n'
    )
    with exchange(tmp_path, "--faults", "faults.toml") as url:
        assert "HYPE" in info(url, type="allMids")
        with pytest.raises(HTTPError, match="503"):
            info(url, type="meta")


def test_an_empty_directory_is_no_market(fundarb: Fundarb, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    answer = fundarb("emulator", "--market", "empty")

    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert "--market: " in answer.err


@pytest.mark.slow
def test_recorded_history_is_replayed_as_if_it_were_now(tmp_path: Path, shared_data: Path) -> None:
    with exchange(tmp_path, "--market", str(shared_data)) as url:
        book = post(f"{url}/info", b'{"type":"l2Book","coin":"BTC"}')
        rates = post(f"{url}/info", b'{"type":"fundingHistory","coin":"BTC","startTime":0}')

    assert abs(book["time"] / 1000 - time.time()) < 60
    assert 10_000 < float(book["levels"][0][0]["px"]) < 200_000
    assert len(rates) > 200
    assert {round(row["time"] / 3_600_000, 3) % 1 for row in rates} == {0.0}


# What is on it


def test_each_side_of_the_account_has_what_it_was_given(url: str) -> None:
    spot = info(url, type="spotClearinghouseState", user=ACCOUNT)
    perp = info(url, type="clearinghouseState", user=ACCOUNT)

    totals = {row["coin"]: Decimal(row["total"]) for row in spot["balances"]}
    assert totals == {"USDC": Decimal(2000), "HYPE": Decimal(5)}
    assert perp["withdrawable"] == perp["marginSummary"]["accountValue"] == "5000.0"
    assert info(url, type="userAbstraction", user=ACCOUNT) == "disabled"


def test_in_a_unified_account_what_is_given_for_either_side_is_one_balance(tmp_path: Path) -> None:
    with exchange(tmp_path, "--unified", account=f"{ACCOUNT}={HOLDINGS}") as url:
        told = info(url, type="spotClearinghouseState", user=ACCOUNT)
        mode = info(url, type="userAbstraction", user=ACCOUNT)

    totals = {row["coin"]: Decimal(row["total"]) for row in told["balances"]}
    assert totals == {"USDC": Decimal(7000), "HYPE": Decimal(5)}
    assert mode == "unifiedAccount"


def test_ten_thousand_on_either_side_if_nothing_is_said(tmp_path: Path) -> None:
    with exchange(tmp_path) as url:
        spot = info(url, type="spotClearinghouseState", user=ACCOUNT)
        perp = info(url, type="clearinghouseState", user=ACCOUNT)

    assert [(row["coin"], row["total"]) for row in spot["balances"]] == [("USDC", "10000.0")]
    assert perp["withdrawable"] == "10000.0"


def test_the_market_has_been_going_on_for_a_day(tmp_path: Path) -> None:
    with exchange(tmp_path) as url:
        asked = {"coin": "BTC", "interval": "1h", "startTime": 0, "endTime": 2**50}
        question = {"type": "candleSnapshot", "req": asked}
        rows = post(f"{url}/info", json.dumps(question).encode())

    assert 24 <= len(rows) <= 25
    assert {b["t"] - a["t"] for a, b in pairwise(rows)} == {3_600_000}
    for row in rows:
        low, high = Decimal(row["l"]), Decimal(row["h"])
        assert 0 < low <= Decimal(row["o"]) <= high
        assert low <= Decimal(row["c"]) <= high


def test_it_lists_what_may_be_traded_on_hyperliquid(url: str) -> None:
    assert [row["name"] for row in info(url, type="meta")["universe"]] == [
        pair.name for pair in tradable()
    ]


# Time


def test_the_markets_clock_runs_ahead_and_requests_are_judged_by_the_wall(url: str) -> None:
    signer = AgentSigner(TRADER_KEY, is_mainnet=False)

    def answered(nonce: int, expires_ms: int) -> Any:
        return post(f"{url}/exchange", signer.sign(NOOP, nonce, expires_ms))

    while info(url, type="exchangeStatus")["time"] < time.time() * 1000 + 3_600_000:
        time.sleep(0.05)  # by a clock an hour ahead everything that is signed now has expired
    now_ms = time.time_ns() // MILLISECOND

    assert answered(now_ms, now_ms + 5_000)["status"] == "ok"
    assert answered(now_ms + 1, now_ms - 1)["response"] == "Action already expired"
    too_high = answered(now_ms + 2 * 86_400_000, now_ms + 5_000)["response"]
    assert "nonce too high" in too_high


def test_the_exchanges_clock_and_the_walls_lead_back_to_each_other() -> None:
    pace = Pace(START, 60.0)

    assert pace.venue_ns(START + SECOND) == START + MINUTE
    assert pace.wall_ns(START + MINUTE) == START + SECOND


def test_between_two_steps_of_the_market_every_quote_is_told_again() -> None:
    source = generated_market(1, START, tradable())
    restated = Restated(source, SECOND, START)
    told = list(islice(restated.events(START), 5_000))

    own = [event for event in told if (event.venue_time_ns - START) % STEP_NS == 0]
    assert own == list(islice(source.events(START), len(own)))
    times = [event.venue_time_ns for event in told]
    assert times == sorted(times)
    for kind in (Book, Reference):
        of_hype = [e for e in told if isinstance(e, kind) and e.instrument.endswith(":HYPE-PERP")]
        gaps = {b.venue_time_ns - a.venue_time_ns for a, b in pairwise(of_hype)}
        assert gaps == {SECOND}
        first, again = of_hype[:2]
        assert again.received_ns == again.venue_time_ns == first.venue_time_ns + SECOND
