"""Each message that can come over a stream, with each of its fields gone and of each wrong type:
either it is read, or it is a bad message and counted. Nothing else comes out of the adapter."""

import json
from typing import Any

import pytest

from domain.account import FundingPayment
from domain.market import Book, PerpContext
from domain.orders import Fill, OrderAccepted
from domain.time import MILLISECOND
from execution.venues.hyperliquid import wire
from execution.venues.hyperliquid.watch import Reader
from execution.venues.hyperliquid.wire import BadMessage, read_frame
from tests.unit.execution.venues.hyperliquid.test_recorded import damaged, places
from tests.unit.execution.venues.hyperliquid.venue import (
    ACCOUNT,
    CLOID,
    NOW,
    OID,
    Desk,
    fill_row,
    listed,
    order_update,
)

NOW_MS = NOW // MILLISECOND
LEVELS = [[{"px": "45.1", "sz": "3", "n": 1}], [{"px": "45.2", "sz": "4", "n": 2}]]
PAID = {"coin": "HYPE", "usdc": "0.5", "szi": "-2.0", "fundingRate": "0.0001", "nSamples": None}
LIQUIDATION = {
    "lid": 1, "liquidator": "0x1", "liquidated_user": ACCOUNT, "liquidated_ntl_pos": "9.0",
    "liquidated_account_value": "1.0",
}  # fmt: skip
PUBLIC: dict[str, Any] = {
    "l2Book": {"coin": "HYPE", "time": NOW_MS, "levels": LEVELS},
    "activeAssetCtx": {
        "coin": "HYPE",
        "ctx": {"funding": "0.00001", "oraclePx": "45.0", "markPx": "45.1", "openInterest": "9.0"},
    },
}
TRADES = [{"coin": "HYPE", "side": "B", "px": "45.1", "sz": "3", "time": NOW_MS, "tid": 7}]
PRIVATE: dict[str, Any] = {
    "orderUpdates": [order_update()],
    "userFills": {"user": ACCOUNT, "fills": [fill_row()]},
    "userFundings": {"user": ACCOUNT, "fundings": [PAID | {"time": NOW_MS}]},
    "user": {"fills": [fill_row()]},
}
EVENTS: tuple[Any, ...] = (
    {"funding": PAID | {"time": NOW_MS}},
    {"liquidation": LIQUIDATION},
    {"nonUserCancel": [{"coin": "HYPE", "oid": OID}]},
)
NEVER_ASKED: dict[str, Any] = {
    "bbo": {"coin": "HYPE", "time": NOW_MS, "bbo": [None, {"px": "45.2", "sz": "4", "n": 2}]},
    "activeSpotAssetCtx": {"coin": "@107", "ctx": {"markPx": "45.1", "dayNtlVlm": "1.0"}},
    "post": {"id": 1, "response": {"type": "error", "payload": "429"}},
    "webData3": {},
}


def framed(channel: str, data: Any) -> bytes:
    return json.dumps({"channel": channel, "data": data}, separators=(",", ":")).encode()


@pytest.mark.parametrize("channel", PUBLIC)
def test_a_public_message_is_read_or_counted(channel: str) -> None:
    desk = Desk()
    desk.gateway._on_public(read_frame(framed(channel, PUBLIC[channel])))
    assert [type(event) for event in desk.events] == [Book if channel == "l2Book" else PerpContext]

    refused = sent = 0
    for body in damaged(PUBLIC[channel]):
        sent += 1
        refused += isinstance(heard(desk, framed(channel, json.loads(body))), BadMessage)
    assert desk.gateway.rejected["public"] + refused > sent / 2
    assert {type(event) for event in desk.events} <= {Book, PerpContext}


def heard(desk: Desk, frame: bytes) -> BadMessage | None:
    """What the connection would end with; a frame is bad, or what is in it is counted."""
    try:
        desk.gateway._on_public(read_frame(frame))
    except BadMessage as bad:
        return bad
    return None


@pytest.mark.parametrize("channel", PRIVATE)
def test_a_private_message_is_read_or_ends_the_connection(channel: str) -> None:
    desk = Desk(known={str(OID): CLOID})
    good = framed(channel, PRIVATE[channel])
    desk.gateway._on_private(read_frame(good))
    told = {"orderUpdates": OrderAccepted, "userFills": Fill, "userFundings": FundingPayment}
    assert [type(event) for event in desk.events] == (
        [told[channel]] if channel in told else []  # what it tells comes by the others
    )

    sent = refused = 0
    for body in damaged(PRIVATE[channel]):
        sent += 1
        try:
            desk.gateway._on_private(read_frame(framed(channel, json.loads(body))))
        except BadMessage:  # which the feed counts
            refused += 1
    assert refused > sent / 2


@pytest.mark.parametrize("event", EVENTS)
def test_of_every_kind_of_user_event_a_wrong_field_is_noticed(event: Any) -> None:
    wire.decode(json.dumps(event).encode(), wire.UserEvent)
    (kind,) = event
    for path in places(event):
        wrong = json.loads(json.dumps(event))
        parent = wrong
        for step in path[:-1]:
            parent = parent[step]
        if path[-1] in ("liquidator", "nSamples"):
            continue  # nothing is taken from these
        parent[path[-1]] = {"no": "such thing"}
        if path == (kind,) and kind == "nonUserCancel":
            parent[path[-1]] = 5
        with pytest.raises(BadMessage):
            wire.decode(json.dumps(wrong).encode(), wire.UserEvent)


def test_trades_that_are_not_believed_are_counted_and_fill_nothing() -> None:
    reader = Reader(listed())
    reader.inputs(read_frame(framed("trades", TRADES)), NOW)  # the past of a subscription
    fresh = [TRADES[0] | {"tid": 8}]
    assert len(reader.inputs(read_frame(framed("trades", fresh)), NOW)) == 1

    sent = 0
    for body in damaged(TRADES):
        sent += 1
        reader.inputs(read_frame(framed("trades", json.loads(body))), NOW)
    assert sent / 2 < reader.rejected <= sent


@pytest.mark.parametrize("channel", NEVER_ASKED)
def test_what_was_not_subscribed_to_says_nothing_and_does_no_harm(channel: str) -> None:
    desk = Desk()
    for body in (json.dumps(NEVER_ASKED[channel]).encode(), *damaged(NEVER_ASKED[channel])):
        frame = read_frame(framed(channel, json.loads(body)))
        desk.gateway._on_public(frame)
        desk.gateway._on_private(frame)
        assert Reader(listed()).inputs(frame, NOW) == []
    assert desk.events == []
    assert not any(desk.gateway.rejected.values())
