"""Whatever a client sends to the emulator, it is answered, and a refusal moves nothing."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import coincurve
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.ports import Reply
from execution.venues.hyperliquid.emulator import signing
from execution.venues.hyperliquid.emulator.actions import decode_action
from tests.fuzz.emulated import (
    CANCELED,
    COIN,
    FILLED,
    QUESTIONS,
    RESTING,
    STREAMS,
    traded,
)
from tests.fuzz.mangled import mangled, many, one_thing_wrong
from tests.unit.execution.venues.hyperliquid.emulator.floor import ACCOUNT, AGENT, Floor, cloid

KEY = coincurve.PrivateKey(bytes(AGENT.key))
ORDER = {
    "a": 0,
    "b": False,
    "p": "30.05",
    "s": "1",
    "r": False,
    "t": {"limit": {"tif": "Ioc"}},
    "c": cloid(9),
}
ACTIONS = [
    json.dumps(action).encode()
    for action in (
        {"type": "order", "orders": [ORDER], "grouping": "na"},
        {"type": "order", "orders": [ORDER | {"a": 10_000, "b": True}, ORDER], "grouping": "na"},
        {
            "type": "order",
            "orders": [
                ORDER | {"t": {"trigger": {"isMarket": True, "triggerPx": "3", "tpsl": "tp"}}}
            ],
            "grouping": "na",
            "builder": {"b": ACCOUNT, "f": 1},
        },
        {"type": "cancel", "cancels": [{"a": 0, "o": 3}]},
        {"type": "cancelByCloid", "cancels": [{"asset": 0, "cloid": RESTING}]},
        {"type": "batchModify", "modifies": [{"oid": 3, "order": ORDER}]},
        {"type": "modify", "oid": 3, "order": ORDER},
        {"type": "agentSetAbstraction", "abstraction": "i"},
        {
            "type": "agentSendAsset",
            "destination": ACCOUNT,
            "sourceDex": "spot",
            "destinationDex": "",
            "token": "USDC:0x0",
            "amount": "1",
            "fromSubAccount": "",
            "nonce": 5,
        },
        {"type": "setReferrer", "code": "x"},
        {"type": "updateLeverage", "asset": 0, "isCross": False, "leverage": 3},
        {"type": "updateIsolatedMargin", "asset": 0, "isBuy": True, "ntli": 5_000_000},
        {"type": "scheduleCancel", "time": 1_749_604_000_000},
        {"type": "noop"},
    )
]
USER_SIGNED = [
    json.dumps(
        {
            "action": {
                "type": kind,
                "hyperliquidChain": "Testnet",
                "signatureChainId": "0x66eee",
                **dict.fromkeys(
                    ("destination", "amount", "token", "agentAddress", "validator"), ACCOUNT
                ),
                "time": 5,
                "nonce": 5,
                "toPerp": True,
                "wei": 5,
            },
            "nonce": 5,
            "signature": {"r": "0x5", "s": "0x6", "v": 27},
        }
    ).encode()
    for kind in ("usdClassTransfer", "approveAgent")
]
ASKED = [json.dumps({"type": kind} | fields).encode() for kind, fields in QUESTIONS.items()]
FRAMES = [
    json.dumps(frame).encode()
    for frame in (
        {"method": "ping"},
        *({"method": "subscribe", "subscription": stream} for stream in STREAMS),
        *({"method": "unsubscribe", "subscription": stream} for stream in STREAMS[:3]),
        {"method": "subscribe", "subscription": {"type": "allMids", "dex": None}},
        {
            "method": "post",
            "id": 7,
            "request": {"type": "info", "payload": {"type": "l2Book", "coin": COIN}},
        },
        {
            "method": "post",
            "id": 8,
            "request": {
                "type": "action",
                "payload": {
                    "action": {"type": "noop"},
                    "nonce": 5,
                    "signature": {"r": "0x5", "s": "0x6", "v": 27},
                },
            },
        },
    )
]
WORDS = (
    *QUESTIONS, *(stream["type"] for stream in STREAMS), "allMids", "trades", "bbo", "userFills",
    "marginTable", "predictedFundings", "historicalOrders", "userRole", "extraAgents",
    "frontendOpenOrders", "metaAndAssetCtxs", "order", "cancel", "cancelByCloid", "batchModify",
    "updateLeverage", "updateIsolatedMargin", "scheduleCancel", "noop", "usdSend", "approveAgent",
    "Gtc", "Ioc", "Alo", "na", "tp", "ping", "post", "subscribe", "unsubscribe", "info", "action",
    COIN, "@0", ACCOUNT, FILLED, RESTING, CANCELED, "30.05", "31", "0.00000001", "29.9",
)  # fmt: skip
STATUSES = {200, 400, 404, 405, 415, 422, 500}


def state(floor: Floor) -> Any:
    return floor.exchange.account_report(None, floor.now_ns)


def is_refused(reply: Reply) -> bool:
    if reply.status != 200:
        return True
    match json.loads(reply.body):
        case {"status": "ok", "response": {"data": {"statuses": statuses}}}:
            return all(isinstance(status, dict) and "error" in status for status in statuses)
        case {"status": status}:
            return bool(status != "ok")
    return True


def ask(floor: Floor, path: str, body: bytes) -> None:
    before = state(floor)
    reply = floor.emulator.request(path, body, floor.now_ns)
    assert reply.status in STATUSES
    if path != "/exchange" or is_refused(reply):
        # What is to be modified is canceled first, and gone where its successor is refused.
        after, modified = state(floor), b'"batchModify"' in body or b'"modify"' in body
        assert after == before or (
            modified and not set(after.open_orders) - set(before.open_orders)
        )


def say(floor: Floor, frame: bytes) -> None:
    before = state(floor)
    floor.emulator.drain()
    floor.emulator.frame(1, frame, floor.now_ns)
    told = floor.emulator.drain()
    assert 1 <= len(told) <= 2
    for connection, answer in told:
        assert connection == 1
        assert isinstance(json.loads(answer)["channel"], str)
    assert state(floor) == before


def signed(action: bytes, nonce: int) -> bytes:
    """The action as a client that signs well would send it; any signature where none could."""
    signature: dict[str, Any] = {"r": "0x5", "s": "0x6", "v": 27}
    action = action.replace(b'"nonce":5', b'"nonce":%d' % nonce)  # one that has it too
    try:
        packed = msgspec.msgpack.encode(decode_action(msgspec.Raw(action)))
    except (ValueError, OverflowError, RecursionError):
        pass
    else:
        digest = signing.l1_digest(packed, nonce, None, None, mainnet=False)
        whole = KEY.sign_recoverable(digest, hasher=None)
        r, s = f"0x{whole[:32].hex()}", f"0x{whole[32:64].hex()}"
        signature = {"r": r, "s": s, "v": 27 + whole[64]}
    return b'{"action":%s,"nonce":%d,"signature":%s}' % (
        action,
        nonce,
        json.dumps(signature).encode(),
    )


@cache
def shared() -> Floor:
    """Where nothing is carried out, one will do."""
    return traded()


def test_a_question_with_one_thing_wrong_is_answered() -> None:
    for body in one_thing_wrong(ASKED, WORDS):
        ask(shared(), "/info", body)


@many(300)
@given(
    st.sampled_from(["/info", "/exchange", "/ws", "/", "/Info", ""]),
    mangled(ASKED + USER_SIGNED, WORDS) | st.binary(max_size=60),
)
def test_a_mangled_request_is_answered(path: str, body: bytes) -> None:
    ask(shared(), path, body)


def test_a_user_signed_action_with_one_thing_wrong_is_refused() -> None:
    for body in one_thing_wrong(USER_SIGNED, WORDS):
        ask(shared(), "/exchange", body)


def test_an_action_with_one_thing_wrong_is_carried_out_or_moves_nothing() -> None:
    floor = traded()
    for number, action in enumerate(one_thing_wrong(ACTIONS, WORDS)):
        if number % 200 == 0:
            floor = traded()
        floor.nonce += 1
        ask(floor, "/exchange", signed(action, floor.nonce))


@many(150)
@given(mangled(ACTIONS, WORDS))
def test_a_mangled_action_is_carried_out_or_moves_nothing(action: bytes) -> None:
    floor = traded()
    ask(floor, "/exchange", signed(action, floor.nonce + 1))


def envelopes() -> list[bytes]:
    return [signed(action, shared().nonce + 1) for action in ACTIONS]


def test_an_envelope_with_one_thing_wrong_moves_nothing_unless_it_is_signed() -> None:
    floor = traded()
    for number, body in enumerate(one_thing_wrong(envelopes()[-2:], WORDS)):
        if number % 200 == 0:
            floor = traded()
        ask(floor, "/exchange", body)


def test_a_frame_with_one_thing_wrong_is_answered() -> None:
    for frame in one_thing_wrong(FRAMES, WORDS):
        say(shared(), frame)


@many(300)
@given(mangled(FRAMES, WORDS) | st.binary(max_size=60))
def test_a_mangled_frame_is_answered(frame: bytes) -> None:
    say(shared(), frame)


NESTS: list[Callable[[int], bytes]] = [
    lambda depth: b"[" * depth + b"]" * depth,
    lambda depth: b'{"a":' * depth + b"0" + b"}" * depth,
]


@pytest.mark.parametrize("depth", [100, 400, *range(900, 1000, 4), 10_000])
@pytest.mark.parametrize("nest", NESTS)
def test_what_is_nested_too_deep_is_refused_at_any_depth(
    nest: Callable[[int], bytes], depth: int
) -> None:
    inner, floor = nest(depth), shared()
    noop = b'{"type":"noop","x":%s}' % inner
    send = b'{"type":"usdSend","destination":%s,"amount":"1","time":5}' % inner
    for action in (inner, noop, send):
        ask(floor, "/exchange", signed(action, floor.nonce + 1))
    ask(floor, "/info", b'{"type":"meta","x":%s}' % inner)
    for frame in (
        inner,
        b'{"method":"subscribe","subscription":{"type":"l2Book","coin":%s}}' % inner,
        b'{"method":"post","id":1,"request":{"type":"info","payload":%s}}' % inner,
        b'{"method":"post","id":1,"request":{"type":"action","payload":%s}}' % inner,
    ):
        say(floor, frame)


@pytest.mark.timeout(5)
@pytest.mark.parametrize(
    "piece", [b"9" * 10**6, b'"%s"' % (b"9" * 10**6), b"[%s]" % b",".join([b"0"] * 10**5)]
)
def test_a_bomb_is_answered_soon(piece: bytes) -> None:
    floor = shared()
    for body in envelopes():
        ask(floor, "/exchange", body.replace(b'"1"', piece).replace(b'"noop"', piece))
    ask(floor, "/info", b'{"type":"userFillsByTime","user":"x","startTime":%s}' % piece)
    say(floor, b'{"method":"subscribe","subscription":%s}' % piece)
    say(floor, b'{"method":"post","id":%s,"request":{"type":"info","payload":%s}}' % (piece, piece))
