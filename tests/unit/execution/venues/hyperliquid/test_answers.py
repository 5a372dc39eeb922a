"""What a reply proves: success, refusal, or nothing at all."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.orders import (
    RESTS_ONLY,
    CancelReason,
    FenceOutcome,
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
    SendFailed,
    TimeInForce,
)
from execution.ports import Reply
from execution.venues.hyperliquid.answers import (
    Settled,
    cancel_answer,
    fence_answer,
    order_answer,
    setting_answer,
)
from tests.unit.execution.venues.hyperliquid.venue import CLOID, NOW, OID, order, statuses


def reply(document: Any, status: int = 200) -> Reply:
    return Reply(status, json.dumps(document).encode())


def refused(text: str) -> dict[str, str]:
    return {"status": "err", "response": text}


def test_a_resting_order_is_accepted() -> None:
    answer = order_answer(order(), reply(statuses({"resting": {"oid": OID, "cloid": CLOID}})), NOW)

    assert answer == (OrderAccepted(CLOID, str(OID), NOW, NOW),)


def test_a_filled_order_is_accepted_with_what_it_filled() -> None:
    full = {"filled": {"totalSz": "2.0", "avgPx": "45.5", "oid": OID}}

    assert order_answer(order(), reply(statuses(full)), NOW) == (
        OrderAccepted(CLOID, str(OID), NOW, NOW, Decimal("2.0")),
    )


def test_what_an_ioc_did_not_fill_is_canceled_and_what_a_gtc_did_not_rests() -> None:
    part = reply(statuses({"filled": {"totalSz": "0.5", "avgPx": "45.5", "oid": OID}}))

    accepted, canceled = order_answer(order(), part, NOW)
    assert isinstance(accepted, OrderAccepted)
    assert canceled == OrderCanceled(CLOID, CancelReason.IOC, Decimal("0.5"), NOW, NOW)
    assert len(order_answer(order(tif=TimeInForce.GTC), part, NOW)) == 1


def test_an_ioc_that_found_nothing_is_canceled_and_no_other_order_is() -> None:
    text = "Order could not immediately match against any resting orders. asset=2"
    answer = reply(statuses({"error": text}))

    assert order_answer(order(), answer, NOW) == (
        OrderCanceled(CLOID, CancelReason.IOC, Decimal(0), NOW, NOW),
    )
    (other,) = order_answer(order(tif=TimeInForce.GTC), answer, NOW)
    assert isinstance(other, OrderRejected)


@pytest.mark.parametrize(
    "text",
    [
        "Price must be divisible by tick size. asset=3",
        "Order must have minimum value of $10. asset=3",
        "Order must have minimum value of 10 USDC.",
        "Insufficient margin to place order. asset=3",
        "Reduce only order would increase position. asset=3",
        "Post only order would have immediately matched, bbo was 45.1@45.2. asset=3",
        "Order has insufficient spot balance to trade",
        "Order price too far from oracle",
        "Order would cause position to exceed margin tier limit at current leverage",
        "Order price cannot be more than 80% away from the reference price",
    ],
)
def test_a_documented_error_of_an_order_is_a_refusal(text: str) -> None:
    (answer,) = order_answer(order(), reply(statuses({"error": text})), NOW)

    assert answer == OrderRejected(CLOID, text, NOW, NOW)


@pytest.mark.parametrize(
    "text",
    [
        "Action already expired",
        "Too many cumulative requests sent (97460 > 97456) for cumulative volume traded $87457.46.",
        "User or API Wallet 0x12 does not exist.",
        "Must deposit before performing actions. User: 0x12",
        "Insufficient margin to place order.",
        "Price must be divisible by tick size.",
        "Order has zero size.",
    ],
)
def test_a_documented_error_of_the_whole_action_is_a_refusal(text: str) -> None:
    (answer,) = order_answer(order(), reply(refused(text)), NOW)

    assert answer == OrderRejected(CLOID, text, NOW, NOW)


def test_where_only_orders_that_rest_are_taken_the_refusal_says_so_in_our_words() -> None:
    text = "Only post-only orders allowed immediately after a network upgrade"
    for told in (statuses({"error": text}), {"status": "err", "response": text}):
        (answer,) = order_answer(order(), reply(told), NOW)

        assert answer == OrderRejected(CLOID, RESTS_ONLY + text, NOW, NOW)


@pytest.mark.parametrize(
    "answer",
    [
        reply(statuses({"resting": {"oid": OID}}), status=502),
        reply(statuses({"resting": {"oid": OID}}), status=429),
        Reply(200, b""),
        Reply(200, b"<html>Bad Gateway</html>"),
        Reply(200, b"null"),
        reply([]),
        reply({"status": "ok"}),
        reply({"status": "ok", "response": {"type": "default"}}),
        reply({"status": "ok", "response": "what"}),
        reply({"status": "later", "response": {"type": "order", "data": {"statuses": []}}}),
        reply(statuses()),
        reply(statuses({"resting": {"oid": 1}}, {"resting": {"oid": 2}})),
        reply(statuses("waitingForFill")),
        reply(statuses("success")),
        reply(statuses({})),
        reply(statuses({"resting": {"oid": 1}, "error": "Order has zero size."})),
        reply(statuses({"resting": {"oid": "1"}})),
        reply(statuses({"filled": {"totalSz": "2.01", "avgPx": "45.5", "oid": 1}})),
        reply(statuses({"filled": {"totalSz": "0", "avgPx": "45.5", "oid": 1}})),
        reply(statuses({"filled": {"totalSz": "NaN", "avgPx": "45.5", "oid": 1}})),
        reply(statuses({"error": "A sentence nobody knows"})),
        reply(statuses({"error": "Action already expired"})),
        reply(refused("Invalid nonce: duplicate nonce 5")),
        reply(refused("Invalid nonce: nonce too low 5 < 6")),
        reply(refused("A sentence nobody knows")),
        reply(refused("")),
    ],
)
def test_whatever_else_comes_proves_nothing(answer: Reply) -> None:
    (event,) = order_answer(order(), answer, NOW)

    assert isinstance(event, SendFailed)
    assert event.reason


@given(st.binary(max_size=100), st.sampled_from([200, 200, 200, 400, 500]))
def test_garbage_proves_nothing(body: bytes, status: int) -> None:
    (event,) = order_answer(order(), Reply(status, body), NOW)

    assert isinstance(event, SendFailed)
    assert fence_answer(CLOID, Reply(status, body), NOW) is None
    assert cancel_answer(Reply(status, body))[0] is Settled.UNCLEAR
    assert setting_answer(Reply(status, body))[0] is Settled.UNCLEAR


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (reply({"status": "ok", "response": {"type": "default"}}), FenceOutcome.BURNT),
        (reply(refused("Invalid nonce: duplicate nonce 5")), FenceOutcome.USED),
        (reply(refused("Invalid nonce: nonce too low 5 < 6")), FenceOutcome.USED),
        (reply(refused("Invalid nonce: too far in the future")), None),
        (reply(refused("Too many cumulative requests sent")), None),
        (reply({"status": "ok", "response": {"type": "default"}}, status=500), None),
        (reply({"status": "maybe", "response": {"type": "default"}}), None),
    ],
)
def test_a_fence_is_burnt_or_used_or_nothing(answer: Reply, outcome: FenceOutcome | None) -> None:
    fenced = fence_answer(CLOID, answer, NOW)

    assert (fenced.outcome if fenced is not None else None) == outcome


@pytest.mark.parametrize(
    ("answer", "settled"),
    [
        (statuses("success"), Settled.DONE),
        (
            statuses({"error": "Order was never placed, already canceled, or filled. asset=2"}),
            Settled.REFUSED,
        ),
        (statuses({"error": "Something new"}), Settled.UNCLEAR),
        (statuses("waitingForFill"), Settled.UNCLEAR),
        (statuses("success", "success"), Settled.UNCLEAR),
        (statuses({"resting": {"oid": 1}}), Settled.UNCLEAR),
        (refused("Order was never placed, already canceled, or filled."), Settled.UNCLEAR),
    ],
)
def test_a_cancel_is_done_or_had_nothing_to_do_or_is_unclear(answer: Any, settled: Settled) -> None:
    assert cancel_answer(reply(answer))[0] is settled


@pytest.mark.parametrize(
    ("answer", "settled"),
    [
        ({"status": "ok", "response": {"type": "default"}}, Settled.DONE),
        (refused("Cannot switch leverage type with open position."), Settled.REFUSED),
        (refused("Invalid nonce: duplicate nonce 5"), Settled.UNCLEAR),
        ({"status": "later", "response": {"type": "default"}}, Settled.UNCLEAR),
    ],
)
def test_a_setting_is_done_refused_or_unclear(answer: Any, settled: Settled) -> None:
    assert setting_answer(reply(answer))[0] is settled
