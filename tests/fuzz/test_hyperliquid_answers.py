"""An order is what the venue's answer says in so many words, or it is in doubt."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.orders import (
    RESTS_ONLY,
    OrderAccepted,
    OrderCanceled,
    OrderFenced,
    OrderRejected,
    SendFailed,
    TimeInForce,
)
from execution.ports import Reply
from execution.venues.hyperliquid.answers import (
    ACTION_REFUSALS,
    NONCE_USED,
    NOTHING_MATCHED,
    NOTHING_TO_CANCEL,
    ORDER_REFUSALS,
    Settled,
    cancel_answer,
    fence_answer,
    order_answer,
    setting_answer,
)
from tests.fuzz.mangled import mangled, many, one_thing_wrong
from tests.unit.execution.venues.hyperliquid.venue import CLOID, NOW, order, statuses

WORDS = (
    *ORDER_REFUSALS, "User or API Wallet 0xabc does not exist.", "Action already expired",
    f"{NONCE_USED[0]} 5", f"{NONCE_USED[1]} 5 < 6", NOTHING_MATCHED, NOTHING_TO_CANCEL,
    "waitingForFill", "waitingForTrigger", "success", "ok", "err", "order", "error", "resting",
    "filled", " Insufficient margin to place order", "INSUFFICIENT MARGIN TO PLACE ORDER",
    "Cannot place: Order has zero size", "Order could not", "",
)  # fmt: skip
SAMPLES = [
    json.dumps(answer).encode()
    for answer in (
        statuses({"resting": {"oid": 77, "cloid": CLOID}}),
        statuses({"filled": {"totalSz": "2.0", "avgPx": "45.5", "oid": 77}}),
        statuses({"filled": {"totalSz": "1.5", "avgPx": "45.5", "oid": 77}}),
        statuses({"error": f"{ORDER_REFUSALS[0]}. asset=3"}),
        statuses({"error": f"{NOTHING_MATCHED} against any resting orders. asset=3"}),
        statuses({"error": f"{NOTHING_TO_CANCEL} asset=3"}),
        statuses({"error": "Something that nobody has heard of"}),
        statuses("waitingForFill"),
        statuses("success"),
        {"status": "ok", "response": {"type": "default"}},
        {"status": "err", "response": f"{NONCE_USED[0]} 5"},
        {"status": "err", "response": "User or API Wallet 0xabc does not exist."},
        {"status": "err", "response": "Something that nobody has heard of"},
        {"status": "unknownOid"},
        "waitingForFill",
    )
]
REPLIES = st.builds(
    Reply,
    st.sampled_from([200] * 12 + [0, 201, 204, 302, 400, 422, 429, 500, 502]),
    mangled(SAMPLES, WORDS) | st.binary(max_size=30),
)


def said(reply: Reply) -> Any:
    """The body by another reader than the product's; None where there is no answer at all."""
    if reply.status != 200:
        return None
    text = reply.body.decode(errors="replace")
    try:
        return json.loads(text, strict=False, parse_int=float)
    except (ValueError, RecursionError):
        return None


def the_status(document: Any) -> Any:
    """That of the only order or cancel, where the answer has one."""
    match document:
        case {"status": "ok", "response": {"data": {"statuses": [status]}}}:
            return status
    return None


def judge_order(tif: TimeInForce, reply: Reply) -> None:
    events = order_answer(order("2", tif), reply, NOW)
    document = said(reply)
    status = the_status(document)
    assert all(event.cloid == CLOID for event in events)
    match events:
        case (OrderRejected(reason=reason),):
            if isinstance(status, dict):
                told, proofs = status["error"], tuple(ORDER_REFUSALS)
                assert not {"resting", "filled"} & {k for k, v in status.items() if v is not None}
            else:
                assert document["status"] == "err"
                told, proofs = document["response"], tuple(ACTION_REFUSALS)
            assert told.startswith(proofs)
            assert told.startswith(reason.removeprefix(RESTS_ONLY))
            assert len(reason) < 1000
        case (OrderCanceled(filled=filled),):
            assert tif is TimeInForce.IOC
            assert filled == 0
            assert status["error"].startswith(NOTHING_MATCHED)
        case (OrderAccepted() as accepted, *rest):
            (how,) = (k for k in ("resting", "filled", "error") if status.get(k) is not None)
            assert float(accepted.venue_order_id) == status[how]["oid"]
            assert how in ("resting", "filled")
            assert bool(accepted.filled) == (how == "filled")
            assert accepted.filled <= 2
            assert bool(rest) == (
                how == "filled" and tif is TimeInForce.IOC and accepted.filled < 2
            )
        case (SendFailed(reason=reason),):
            assert len(reason) < 1000
        case _:
            pytest.fail(f"an answer of {events}")


def judge_others(reply: Reply) -> None:
    document = said(reply)
    status = the_status(document)
    fenced = fence_answer(CLOID, reply, NOW)
    if isinstance(fenced, OrderFenced):
        used = document["status"] == "err" and document["response"].startswith(NONCE_USED)
        assert used or document["status"] == "ok"
    settled, text = cancel_answer(reply)
    assert len(text) < 1000
    if settled is Settled.DONE:
        assert status == "success"
    if settled is Settled.REFUSED:
        assert status["error"].startswith(NOTHING_TO_CANCEL[:-1])
    settled, text = setting_answer(reply)
    assert len(text) < 1000
    if settled is Settled.DONE:
        assert document["status"] == "ok"
    if settled is Settled.REFUSED:
        assert document["status"] == "err"
        assert isinstance(document["response"], str)


@pytest.mark.parametrize("tif", list(TimeInForce))
def test_with_one_thing_wrong_an_order_is_only_what_the_answer_says(tif: TimeInForce) -> None:
    for body in one_thing_wrong(SAMPLES, WORDS):
        judge_order(tif, Reply(200, body))


@many(1200)
@given(st.sampled_from(list(TimeInForce)), REPLIES)
def test_an_order_is_only_what_a_mangled_answer_says(tif: TimeInForce, reply: Reply) -> None:
    judge_order(tif, reply)


def test_with_one_thing_wrong_a_cancel_or_setting_is_only_what_the_answer_says() -> None:
    for body in one_thing_wrong(SAMPLES, WORDS):
        judge_others(Reply(200, body))


@many(600)
@given(REPLIES)
def test_a_cancel_a_fence_and_a_setting_are_only_what_a_mangled_answer_says(reply: Reply) -> None:
    judge_others(reply)


@many(600)
@given(st.text(max_size=60) | st.builds(str.__add__, st.text(max_size=3), st.sampled_from(WORDS)))
def test_a_sentence_refuses_an_order_only_as_it_is_listed(sentence: str) -> None:
    rejected, whole = (
        isinstance(order_answer(order("2"), Reply(200, json.dumps(body).encode()), NOW)[0], kind)
        for body, kind in (
            (statuses({"error": sentence}), OrderRejected | OrderCanceled),
            ({"status": "err", "response": sentence}, OrderRejected),
        )
    )
    assert rejected == any(sentence[: len(proof)] == proof for proof in ORDER_REFUSALS)
    assert whole == any(sentence[: len(proof)] == proof for proof in ACTION_REFUSALS)


@pytest.mark.parametrize(
    "answer",
    [
        statuses({"error": ORDER_REFUSALS[0] + "x" * 10**6}),
        statuses("x" * 10**6),
        {"status": "err", "response": "x" * 10**6},
        {"status": "x" * 10**6, "response": "x"},
        {"status": "ok", "response": {"type": "x" * 10**6}},
    ],
)
def test_a_megabyte_of_words_is_not_kept_whole(answer: Any) -> None:
    reply = Reply(200, json.dumps(answer).encode())
    (event,) = order_answer(order("2"), reply, NOW)
    assert isinstance(event, OrderRejected | SendFailed)
    assert len(event.reason) < 1000
    judge_others(reply)
