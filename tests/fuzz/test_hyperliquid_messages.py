"""Whatever the venue sends: an event that a journal can hold, or ``BadMessage``."""

import asyncio
import inspect
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.orders import OrderRejected
from domain.time import MILLISECOND
from execution.events import Event
from execution.ports import Reply, TransportFailed
from execution.venues.hyperliquid import public, wire
from execution.venues.hyperliquid.stream import Feed
from execution.venues.hyperliquid.wire import BadMessage, BookFrame, Frame, Message, Subscription
from tests.fuzz.client import (
    AT_ONCE,
    FRAMES,
    KNOWN,
    NEWS,
    WORDS,
    Recorder,
    framed,
    gateway,
    holds,
)
from tests.fuzz.emulated import COIN, answers, frames, listing
from tests.fuzz.mangled import NUMBERS, mangled, many, one_thing_wrong
from tests.unit.execution.venues.hyperliquid.emulator.floor import ACCOUNT
from tests.unit.execution.venues.hyperliquid.venue import FakeStream, fill_row

STRUCTS = sorted(
    (
        kind
        for _, kind in inspect.getmembers(wire, inspect.isclass)
        if issubclass(kind, Message) and kind is not Message
    ),
    key=lambda kind: kind.__name__,
)


# --- the wire's structs ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", STRUCTS, ids=lambda kind: kind.__name__)
@many(40)
@given(body=mangled([*FRAMES, *answers().values()], WORDS) | st.binary(max_size=60))
def test_any_bytes_are_the_message_asked_for_or_a_bad_one(kind: type[Message], body: bytes) -> None:
    with suppress(BadMessage):
        wire.decode(body, kind)


@many(500)
@given(st.text(max_size=50) | st.sampled_from([json.loads(token) for token in NUMBERS]))
@example("9" * 10**6)
@example("1e999999999")
def test_any_text_is_a_number_within_reason_or_a_bad_message(text: str) -> None:
    readers: list[Callable[[str], Any]] = [
        wire.amount,
        wire.positive,
        wire.not_negative,
        wire.market,
        wire.hourly_rate,
    ]
    for reader in readers:
        with suppress(BadMessage):
            assert abs(reader(text)) <= 10**41


# --- streams --------------------------------------------------------------------------------


def test_a_frame_with_one_thing_wrong_gives_events_or_is_a_bad_message() -> None:
    for frame in one_thing_wrong(NEWS, WORDS):
        take(frame)


@many(1000)
@given(mangled(NEWS, WORDS))
def test_a_mangled_frame_gives_events_or_is_a_bad_message(frame: bytes) -> None:
    take(frame)


def take(frame: bytes) -> None:
    """As the streams do."""
    events: list[Event] = []
    desk = gateway(Recorder({}), events, KNOWN)
    with suppress(BadMessage):
        desk._on_private(wire.read_frame(frame))
    with suppress(BadMessage):
        desk._on_public(wire.read_frame(frame))
    for event in events:
        holds(event)
        if isinstance(event, OrderRejected):
            assert b"ejected" in frame


@many(300)
@given(st.lists(mangled(FRAMES, WORDS) | st.binary(max_size=40), max_size=4))
def test_a_connection_ends_as_one_whatever_comes_over_it(told: list[bytes]) -> None:
    def believed(frame: Frame | BookFrame) -> None:
        gateway(Recorder({}))._on_private(frame)

    class Line:
        async def request(self, path: str, body: bytes, timeout_seconds: float) -> Reply:
            raise TransportFailed("no requests here")

        async def connect(self, path: str, timeout_seconds: float) -> FakeStream:
            stream = FakeStream(lambda _: True)
            for frame in told:
                stream.push_raw(frame)
            stream.break_off()
            return stream

    asked = [Subscription("l2Book", coin=COIN), Subscription("userFills", user=ACCOUNT)]
    feed = Feed(Line(), asked, believed, lambda: None, lambda: 0.5, AT_ONCE)
    with pytest.raises((BadMessage, TransportFailed)):
        asyncio.run(feed._session())


@pytest.mark.parametrize("number", [2**63, 10**30])
@pytest.mark.parametrize("name", ["time", "oid", "tid"])
def test_a_number_that_no_journal_can_hold_is_a_bad_message(name: str, number: int) -> None:
    desk = gateway(Recorder({}), None, KNOWN)
    row = fill_row(oid=1) | {name: number}
    frame = framed("userFills", json.dumps({"user": ACCOUNT, "fills": [row]}).encode())
    with pytest.raises(BadMessage):
        desk._on_private(wire.decode(frame, Frame))


# --- recorded messages ----------------------------------------------------------------------

RECORDED: dict[str, Any] = {
    "nt_ws_book_data.json": wire.L2Book,
    "nt_http_l2_book_btc.json": wire.L2Book,
    "nt_http_funding_history.json": list[wire.FundingRow],
    "nt_http_spot_clearinghouse_state.json": wire.SpotClearinghouseState,
    "nt_http_meta_perp_sample.json": wire.Meta,
    "nt_ws_user_fill_liquidation.json": wire.UserFills,
}


@pytest.mark.parametrize("name", RECORDED)
@many(60)
@given(data=st.data())
def test_a_mangled_recording_is_a_message_or_a_bad_one(
    shared_data: Path, name: str, data: st.DataObject
) -> None:
    path = shared_data / "payloads" / "hyperliquid" / name
    if not path.is_file():
        pytest.skip(f"no {name} among the recorded payloads")
    body = data.draw(mangled([path.read_bytes()], WORDS))
    frame = b'{"channel":"l2Book","data":' + body + b"}"
    with suppress(BadMessage):
        wire.decode(body, RECORDED[name])
    with suppress(BadMessage):
        public.public_event(listing(), wire.read_frame(frame), 5 * MILLISECOND)


# --- bombs ----------------------------------------------------------------------------------

BOOK = b'{"channel":"l2Book","data":{"coin":"HYPE","time":1,"levels":[[%s],[]]}}'
LEVEL = b'{"px":"30.1","sz":"1000.0","n":1}'
BOMBS = {
    "a book of a megabyte": BOOK % b",".join([LEVEL] * 30_000),
    "a number of a million digits": BOOK % (b'{"px":"%s","sz":"1"}' % (b"9" * 10**6)),
    "a hundred thousand elements": b'{"channel":"user","data":[%s]}' % b",".join([b"0"] * 10**5),
    "a hundred thousand updates": b'{"channel":"orderUpdates","data":[%s]}'
    % b",".join([b"{}"] * 10**5),
    "lists without end": b'{"channel":"l2Book","data":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "objects without end": b'{"channel":"l2Book","data":' + b'{"a":' * 10_000,
    "more than a frame may hold": b'{"channel":"pong","data":"%s"}' % (b"x" * 4_000_000),
    "an id of four thousand digits": framed(
        "userFills", frames()["userFills"][-1].replace(b'"oid":', b'"oid":' + b"9" * 4_200)
    ),
}


@pytest.mark.timeout(5)
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_a_message_or_a_bad_one_and_soon(name: str) -> None:
    desk = gateway(Recorder({}))
    with suppress(BadMessage):
        frame = wire.read_frame(BOMBS[name])
        desk._on_public(frame)
        desk._on_private(frame)
