"""Whatever the venue answers: what was asked for, or no answer; never the end of the bot."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.account import AccountReport
from domain.orders import OrderReport, OrderStatus
from domain.time import HOUR, MILLISECOND
from execution.effects import (
    CancelOrder,
    FenceOrder,
    MoveMargin,
    PlaceOrder,
    QueryAccount,
    QueryOrder,
    SetLeverage,
    VenueEffect,
)
from execution.events import Event
from execution.ports import Reply, TransportFailed
from execution.venues.hyperliquid.info import Info
from execution.venues.hyperliquid.venue import Hyperliquid
from execution.venues.hyperliquid.wire import BadMessage
from tests.fuzz.client import (
    AT_ONCE,
    KNOWN,
    PERP,
    SIGNER,
    WORDS,
    Recorder,
    gateway,
    holds,
    numbers,
    told,
)
from tests.fuzz.emulated import COIN, NOW, RESTING, answers
from tests.fuzz.mangled import mangled, many, one_thing_wrong
from tests.unit.execution.venues.hyperliquid.emulator.floor import ACCOUNT
from tests.unit.execution.venues.hyperliquid.venue import FakeClock, order

NOTHING_LEARNT = (BadMessage, TransportFailed)
ASKED: dict[str, Callable[[Info], Awaitable[Any]]] = {
    "meta": lambda info: info.meta(),
    "spotMeta": lambda info: info.spot_meta(),
    "userFees": lambda info: info.user_fees(),
    "userAbstraction": lambda info: info.account_mode(),
    "orderStatus": lambda info: info.order_status(RESTING),
    "activeAssetData": lambda info: info.asset_data(COIN),
    "clearinghouseState": lambda info: info.states(),
    "spotClearinghouseState": lambda info: info.states(),
    "frontendOpenOrders": lambda info: info.states(),
    "userFillsByTime": lambda info: info.fills(0),
    "userFunding": lambda info: info.fundings(0),
    "userNonFundingLedgerUpdates": lambda info: info.ledger(0),
    "fundingHistory": lambda info: info.funding_history(COIN, 0, NOW // MILLISECOND),
    "candleSnapshot": lambda info: info.candles(COIN, "15m", 0, NOW // MILLISECOND),
}
MANGLED = st.sampled_from(sorted(ASKED)).flatmap(
    lambda kind: st.tuples(
        st.just(kind),
        st.builds(
            Reply,
            st.sampled_from([200] * 9 + [204, 429, 500]),
            mangled([answers()[kind]], WORDS) | st.binary(max_size=20),
        ),
    )
)


@many(300)
@given(MANGLED)
def test_a_question_is_answered_or_it_is_not(mangled: tuple[str, Reply]) -> None:
    kind, reply = mangled
    info = Info(Recorder(told(**{kind: reply})), ACCOUNT, 1.0, lambda: None)
    with suppress(*NOTHING_LEARNT):
        asyncio.run(_ask(ASKED[kind], info))


async def _ask(ask: Callable[[Info], Awaitable[Any]], info: Info) -> None:
    await ask(info)


async def start(kind: str, reply: Reply) -> None:
    """Load and read the past, as far as the venue lets us."""
    clock = FakeClock()
    clock.ns = NOW
    transport = Recorder(told(**{kind: reply}))
    venue = Hyperliquid(transport, SIGNER, ACCOUNT, {COIN: COIN}, clock, lambda: 0.5, AT_ONCE)
    try:
        (pair,) = await venue.load()
        history = await venue.history(0, NOW)
    except (ValueError, TransportFailed):
        return
    assert len(venue._loaded.by_coin) == len(venue._loaded.by_id) == 2
    for event in history:
        holds(event)
    for number in numbers((pair.spot, pair.perp)):
        assert number.is_finite()


@pytest.mark.parametrize("kind", ["meta", "spotMeta", "userFees", "userAbstraction"])
async def test_with_one_thing_wrong_what_is_listed_is_loaded_or_the_start_refused(
    kind: str,
) -> None:
    for body in one_thing_wrong([answers()[kind]], WORDS):
        await start(kind, Reply(200, body))


@many(200)
@given(MANGLED)
def test_what_is_listed_is_loaded_or_the_start_is_refused(mangled: tuple[str, Reply]) -> None:
    asyncio.run(start(*mangled))


EFFECTS: list[VenueEffect] = [
    PlaceOrder(order()),
    CancelOrder(RESTING, PERP),
    FenceOrder(RESTING, 5),
    SetLeverage("lever", PERP, 2),
    MoveMargin("margin", PERP, Decimal(5)),
    QueryOrder(RESTING, PERP),
    QueryAccount("query", 0),
]


DONE = Reply(200, b'{"status":"ok","response":{"type":"default"}}')
SUCCESS = b'{"status":"ok","response":{"type":"cancel","data":{"statuses":["success"]}}}'


async def carry_out(effect: VenueEffect, kind: str, reply: Reply, known: dict[str, str]) -> None:
    events: list[Event] = []
    acted = Reply(200, SUCCESS) if isinstance(effect, CancelOrder) else DONE
    desk = gateway(Recorder(told(**{kind: reply}), acted), events, known)
    await desk._carry_out(effect, b"")
    for event in events:
        holds(event)
        if isinstance(event, OrderReport):
            told_by = {OrderStatus.NEVER_SEEN: b"unknownOid", OrderStatus.REJECTED: b"ejected"}
            assert told_by.get(event.status, b"") in reply.body


CONCERNED: dict[str, VenueEffect] = {
    "activeAssetData": SetLeverage("lever", PERP, 2),
    "orderStatus": QueryOrder(RESTING, PERP),
    "clearinghouseState": QueryAccount("query", 0),
    "spotClearinghouseState": QueryAccount("query", 0),
    "frontendOpenOrders": QueryAccount("query", 0),
    "userFillsByTime": QueryAccount("query", 0),
    "userFunding": QueryAccount("query", 0),
    "userNonFundingLedgerUpdates": QueryAccount("query", 0),
}


@pytest.mark.parametrize("kind", CONCERNED)
async def test_no_effect_ends_the_bot_if_one_thing_is_wrong_in_an_answer(kind: str) -> None:
    for body in one_thing_wrong([answers()[kind]], WORDS):
        await carry_out(CONCERNED[kind], kind, Reply(200, body), KNOWN)


@many(300)
@given(MANGLED, st.sampled_from(EFFECTS), st.sampled_from([KNOWN, {}]))
def test_no_effect_ends_the_bot_whatever_is_answered(
    mangled: tuple[str, Reply], effect: VenueEffect, known: dict[str, str]
) -> None:
    asyncio.run(carry_out(effect, *mangled, known))


@many(200)
@given(mangled([answers()["fundingHistory"]], WORDS))
def test_whatever_is_told_of_published_funding_the_next_hour_is_asked_for(body: bytes) -> None:
    events: list[Event] = []
    desk = gateway(Recorder(told(fundingHistory=Reply(200, body))), events)
    due_ns = asyncio.run(desk._publish(COIN, NOW // HOUR * HOUR))
    assert NOW // HOUR * HOUR <= due_ns <= NOW + 2 * HOUR
    for event in events:
        holds(event)


def test_a_history_that_never_ends_is_no_answer() -> None:
    class Endless(Recorder):
        rows = 0

        async def request(self, path: str, body: bytes, timeout_seconds: float) -> Reply:
            self.rows += 1
            row = {"coin": COIN, "fundingRate": "0.0000125", "time": self.rows}
            return Reply(200, msgspec.json.encode([row]))

    info = Info(Endless({}), ACCOUNT, 1.0, lambda: None)
    with pytest.raises(BadMessage, match="pages"):
        asyncio.run(info.funding_history(COIN, 0, NOW // MILLISECOND))


@pytest.mark.parametrize("time_ns", [NOW - 2 * HOUR, NOW + HOUR, 2**63 - 1])
def test_a_rate_of_an_hour_that_was_not_asked_for_is_not_believed(time_ns: int) -> None:
    row = {"coin": COIN, "fundingRate": "0.0000125", "time": time_ns // MILLISECOND}
    events: list[Event] = []
    desk = gateway(Recorder(told(fundingHistory=Reply(200, msgspec.json.encode([row])))), events)
    hour_ns = NOW // HOUR * HOUR
    assert asyncio.run(desk._publish(COIN, hour_ns)) == hour_ns
    assert events == []


def test_the_answers_that_are_mangled_are_a_whole_account() -> None:
    events: list[Event] = []
    asyncio.run(gateway(Recorder(told()), events, KNOWN)._carry_out(QueryAccount("query", 0), b""))
    assert isinstance(events[-1], AccountReport)
    assert len(events) == 5
