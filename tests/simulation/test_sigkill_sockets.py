"""Real processes over real sockets, killed and stopped; and the judge who says it was in order."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

import pytest

from domain.account import AccountReport, Balance, MarginMode, PositionReport
from domain.orders import OrderRequest, Side, TimeInForce, client_order_id
from domain.time import SECOND
from execution.facts import Fact, OrderIntended, RequestSigned, Role
from execution.state import State
from execution.venues.hyperliquid.emulator.received import Received, ReceivedOrder
from tests.world import sigkill
from tests.world.processes.judgement import lost, mistaken, repeated, uneven, unfinished
from tests.world.processes.venue import Account, VenueHistory
from tests.world.world import PAIRS, TRADER

ROOT = Path(__file__).resolve().parents[2]
NOW = 1_735_689_600 * SECOND
HYPE = PAIRS[0]
CLOID = client_order_id("HYPE#1", "spot", 0)
BODY = '{"action":{"type":"order"},"nonce":7}'


# The processes


@pytest.mark.slow
def test_a_bot_that_is_killed_again_and_again_loses_nothing_and_sends_nothing_twice() -> None:
    result = sigkill.Result()

    sigkill.campaign(6, 7, result, longest=2.0, heal=3.0)

    assert result.violations == []
    assert (result.kills, result.heals) == (6, 1)
    assert result.orders > 10
    assert result.fills > 10


@pytest.mark.slow
def test_a_bot_that_was_stopped_finds_the_watchdog_done_and_sends_nothing_more() -> None:
    stopped = sigkill.stop(11, heal=3.0)

    assert stopped.ended == "LeaseLost"
    assert stopped.late == []
    assert stopped.violations == []
    # Nothing of the bot's can land any more: its lease, its expiry, the margin of the clocks.
    assert 3 + 5 + 1 - 1 < stopped.acted < 15
    assert stopped.neutral < 30
    assert stopped.yielded < 5


def test_when_the_test_itself_is_killed_its_processes_are_gone(tmp_path: Path) -> None:
    script = (
        "import os, signal\n"
        "from tests.world.sigkill import stage\n"
        "with stage(1) as world:\n"
        "    print(world._children[0]._process.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, env=environment, check=False
    )

    assert ended.returncode == -signal.SIGKILL
    venue = Path(f"/proc/{int(ended.stdout)}")
    until = time.monotonic() + 5
    while _is_running(venue) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _is_running(venue)


def _is_running(process: Path) -> bool:
    """Whether it is there and no zombie, which nobody here may wait for."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# The judge


def order(cloid: str = CLOID, body: str = BODY, nonce: int = 7, status: str = "filled") -> Received:
    """An order's request as the venue wrote it down."""
    wanted = ReceivedOrder(
        cloid, HYPE.spot.id, Side.BUY, Decimal(1), Decimal(20), TimeInForce.IOC, reduce_only=False
    )
    return Received(
        NOW, TRADER.address, nonce, "order", (wanted,), (), None,
        sha256(body.encode()).hexdigest(), "ok", (status,),
    )  # fmt: skip


def fence(nonce: int) -> Received:
    return Received(NOW, TRADER.address, nonce, "noop", (), (), None, f"noop {nonce}", "ok")


def intended(cloid: str = CLOID, body: str = BODY, nonce: int = 7) -> tuple[Fact, Fact]:
    """The same order as the journal has it."""
    request = OrderRequest(
        cloid, HYPE.spot.id, Side.BUY, Decimal(1), Decimal(20), TimeInForce.IOC,
        reduce_only=False, expires_ns=NOW,
    )  # fmt: skip
    return (
        OrderIntended(request, "HYPE#1", Role.MAKER, Decimal(20), NOW),
        RequestSigned(cloid, nonce, body, NOW),
    )


def account(
    spot: str = "0", perp: str = "0", usdc: str = "0", orders: Sequence[str] = ()
) -> Account:
    position = PositionReport(
        HYPE.perp.id, Decimal(perp), Decimal(20), Decimal(20), Decimal(100), Decimal(100), 2,
        MarginMode.ISOLATED, None,
    )  # fmt: skip
    balances = (
        Balance("HYPE", Decimal(spot), Decimal(0)),
        Balance("USDC", Decimal(usdc) - Decimal(100), Decimal(0)),
    )
    report = AccountReport(balances, (position,), tuple(orders), None, NOW, NOW)
    return Account(NOW, report, {HYPE.perp.id: Decimal(20)})


def test_an_order_that_is_in_the_journal_as_it_was_sent_is_in_order() -> None:
    assert list(lost(intended(), [order()], TRADER.address)) == []
    assert list(repeated(intended(), [order(), fence(7)])) == []


def test_an_order_that_the_journal_never_intended_is_found() -> None:
    _, signed = intended()

    (found,) = lost([signed], [order()], TRADER.address)
    assert found == f"lost: order {CLOID} was taken and never intended"


def test_bytes_that_are_not_those_of_the_journal_are_found() -> None:
    (found,) = lost(intended(), [order(body=BODY + " ")], TRADER.address)

    assert found == "lost: order with nonce 7 is not in the journal"


def test_bytes_that_were_signed_for_another_order_are_found() -> None:
    other = client_order_id("HYPE#1", "spot", 1)
    facts = [*intended(), intended(other, "{}", 8)[0]]

    assert list(lost(facts, [order(other)], TRADER.address)) != []


def test_a_fence_for_a_request_that_was_never_signed_is_found() -> None:
    assert list(lost(intended(), [fence(7)], TRADER.address)) == []
    assert len(list(lost(intended(), [fence(8)], TRADER.address))) == 1


def test_what_another_key_sent_is_not_looked_for_in_the_journal() -> None:
    assert list(lost([], [order()], "0x" + "0" * 40)) == []


@pytest.mark.parametrize(
    ("again", "what"),
    [
        (order(body="{}", nonce=8), f"order {CLOID} twice"),
        (order("0x1", body="{}"), f"nonce ('{TRADER.address}', 7) twice"),
        (order("0x1", nonce=8), f"body {order().digest} twice"),
    ],
)
def test_what_happened_twice_is_found(again: Received, what: str) -> None:
    assert list(repeated((), [order(), again])) == [what]


def test_an_order_that_was_refused_may_be_sent_under_its_name_again() -> None:
    refused = order(body="{}", nonce=8, status="Order could not immediately match")

    assert list(repeated((), [order(), refused])) == []


def test_a_nonce_that_was_signed_twice_is_found_though_the_venue_saw_it_once() -> None:
    facts = [*intended(), RequestSigned("lev", 7, "{}", NOW)]

    assert list(repeated(facts, [order()])) == ["signed nonce 7 twice"]


@pytest.mark.parametrize(("spot", "perp"), [("1", "0"), ("0", "-1"), ("10", "-9")])
def test_legs_that_differ_by_what_could_be_traded_are_found(spot: str, perp: str) -> None:
    (found,) = uneven(account(spot, perp), PAIRS)

    assert found.startswith("naked: HYPE by ")


@pytest.mark.parametrize(("spot", "perp"), [("0", "0"), ("10", "-10"), ("10.4", "-10")])
def test_legs_that_differ_by_dust_are_even(spot: str, perp: str) -> None:
    assert list(uneven(account(spot, perp), PAIRS)) == []


def test_an_order_that_rests_at_the_end_is_found_and_a_persons_is_not() -> None:
    assert list(unfinished(State(PAIRS), account(orders=["0x01"]))) == []
    assert list(unfinished(State(PAIRS), account(orders=[CLOID]))) == [f"{CLOID} still rests"]


def test_books_that_are_not_the_venues_are_found() -> None:
    def found(of: Account) -> list[str]:
        return list(mistaken(State(PAIRS), (), VenueHistory([], [], of)))

    assert found(account()) == []
    assert found(account(usdc="0.00000001")) == ["books: USDC: books 0, venue 1E-8"]
    assert len(found(account(spot="0.01"))) == 1
