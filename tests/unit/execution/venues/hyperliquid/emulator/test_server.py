"""The emulator over real loopback sockets: the official SDK, its own threads and all."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from decimal import Decimal
from queue import Queue
from typing import Any

import aiohttp
import pytest
from hyperliquid.exchange import Exchange as SdkExchange
from hyperliquid.info import Info as SdkInfo

from domain.instruments import Instrument, Pair
from domain.market import Book, FundingSettled, Level, MarketInput, Reference, Trade
from domain.orders import Side
from domain.time import MILLISECOND, SECOND
from execution.venues.hyperliquid.emulator import server
from execution.venues.hyperliquid.emulator.emulator import Emulator
from execution.venues.hyperliquid.emulator.faults import GARBAGE, Fault, Faults
from execution.venues.hyperliquid.emulator.server import Tape, serve
from execution.venues.simulated.exchange import Exchange
from execution.venues.simulated.rules import VenueRules
from tests.unit.execution.venues.hyperliquid.emulator.floor import (
    ACCOUNT,
    AGENT,
    AGENT_ADDRESS,
    IOC,
    PAIR,
    Floor,
    cloid,
)
from tests.unit.execution.venues.simulated.world import PERP, SPOT, START


class Steady:
    """Quotes a cent either side of 30 every 100 ms, and a print between any two of them."""

    name, venue, synthetic = "steady", "simulated", True
    pairs: tuple[Pair, ...] = (PAIR,)
    cadence_ns = 100 * MILLISECOND
    end_ns: int | None = None

    def __init__(self, start_ns: int) -> None:
        self.start_ns = start_ns

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        return (SPOT, PERP)

    def history(self) -> Iterable[FundingSettled]:
        return ()

    def events(self, after_ns: int) -> Iterator[MarketInput]:
        at_ns = after_ns
        while True:
            at_ns += self.cadence_ns
            for name in (SPOT.id, PERP.id):
                yield Book(name, (Level(29.99, 1e4),), (Level(30.01, 1e4),), at_ns, at_ns)
            yield Reference(PERP.id, 30.0, 30.0, at_ns, at_ns)

    def between(
        self, instruments: Collection[str], after_ns: int, before_ns: int
    ) -> Sequence[MarketInput]:
        at_ns = (after_ns + before_ns) // 2
        return [Trade(name, 29.5, 1e3, Side.SELL, at_ns, at_ns) for name in sorted(instruments)]


def emulated(start_ns: int) -> Emulator:
    deposits = {"USDC": Decimal(10_000)}
    exchange = Exchange((PERP, SPOT), VenueRules(), deposits, start_ns)
    return Emulator(exchange, (PAIR,), ACCOUNT, {AGENT_ADDRESS: None})


@contextlib.asynccontextmanager
async def running(*faults: Fault) -> AsyncIterator[str]:
    start_ns = time.time_ns() - SECOND
    trouble = Faults(faults, 1, start_ns)
    async with serve(emulated(start_ns), Steady(start_ns), time.time_ns, faults=trouble) as url:
        yield url


async def test_the_sdk_trades_over_the_loopback() -> None:
    def trade(url: str) -> tuple[Any, Any]:
        exchange = SdkExchange(AGENT, url, account_address=ACCOUNT, timeout=10)
        try:
            answer = exchange.order("HYPE", False, 10, 29.9, IOC)
            return answer, exchange.info.user_state(ACCOUNT)
        finally:
            exchange.session.close()
            exchange.info.session.close()

    async with running() as url:
        answer, state = await asyncio.to_thread(trade, url)

    assert answer["response"]["data"]["statuses"][0]["filled"]["avgPx"] == "29.99"
    assert state["assetPositions"][0]["position"]["szi"] == "-10.0"


async def test_the_sdk_hears_the_market_and_its_own_fills() -> None:
    def listen(url: str) -> tuple[Any, Any]:
        heard: Queue[Any] = Queue()
        info = SdkInfo(url, timeout=10)
        exchange = SdkExchange(AGENT, url, account_address=ACCOUNT, timeout=10)
        try:
            info.subscribe({"type": "l2Book", "coin": "HYPE"}, heard.put)
            book = heard.get(timeout=10)
            fills: Queue[Any] = Queue()
            info.subscribe({"type": "userFills", "user": ACCOUNT}, fills.put)
            assert fills.get(timeout=10)["data"]["isSnapshot"] is True
            exchange.order("HYPE", False, 10, 29.9, IOC)
            return book, fills.get(timeout=10)
        finally:
            info.disconnect_websocket()
            for session in (info.session, exchange.session, exchange.info.session):
                session.close()

    async with running() as url:
        book, fill = await asyncio.to_thread(listen, url)

    assert book["data"]["levels"][0][0]["px"] == "29.99"
    assert [f["sz"] for f in fill["data"]["fills"]] == ["10.0"]


async def test_what_is_no_post_of_json_is_refused_at_the_door() -> None:
    async with running() as url, aiohttp.ClientSession() as client:
        statuses = [
            (await client.get(f"{url}/info")).status,
            (await client.post(f"{url}/info", data=b"{}")).status,
            (await client.post(f"{url}/info", json={"type": "nothing"})).status,
            (await client.post(f"{url}/nothing", json={})).status,
            (await client.post(f"{url}/info", json={"type": "meta"})).status,
        ]

    assert statuses == [405, 415, 422, 404, 200]


async def test_a_connection_to_which_nothing_is_sent_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "_IDLE_SECONDS", 0.2)
    async with (
        running() as url,
        aiohttp.ClientSession() as client,
        client.ws_connect(f"{url}/ws") as socket,
    ):
        message = await socket.receive(timeout=10)

    assert message.type is aiohttp.WSMsgType.CLOSE


async def test_a_connection_that_does_not_take_its_frames_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "_FRAMES_WAITING", 1)
    subscribe = {"method": "subscribe", "subscription": {"type": "allMids"}}
    async with (
        running() as url,
        aiohttp.ClientSession() as client,
        client.ws_connect(f"{url}/ws") as socket,
    ):
        await socket.send_str(json.dumps(subscribe))  # two frames at once: echo and snapshot
        message = await socket.receive(timeout=10)

    assert message.type is aiohttp.WSMsgType.CLOSE


async def test_open_sockets_do_not_keep_the_server_from_ending() -> None:
    async with aiohttp.ClientSession() as client:
        async with running() as url:
            socket = await client.ws_connect(f"{url}/ws")
            await socket.send_bytes(b'{"method":"ping"}')
            assert json.loads((await socket.receive(timeout=10)).data) == {"channel": "pong"}
        message = await socket.receive(timeout=10)

    assert message.type is aiohttp.WSMsgType.CLOSE


NOOP = {"action": {"type": "noop"}, "nonce": 5, "signature": {"r": "0x5", "s": "0x6", "v": 27}}


@pytest.mark.parametrize("accepted", [True, False])
@pytest.mark.parametrize(
    ("kind", "answer"),
    [("error", (502, b"")), ("garbage", (200, GARBAGE)), ("drop", None)],
)
async def test_an_answer_is_lost_or_broken_and_what_was_asked_is_done_or_not_as_the_file_says(
    kind: Any, answer: tuple[int, bytes] | None, accepted: bool
) -> None:
    async with (
        running(Fault(kind, type="noop", accepted=accepted)) as url,
        aiohttp.ClientSession() as client,
    ):
        told: tuple[int, bytes] | None = None
        with contextlib.suppress(aiohttp.ServerDisconnectedError):
            reply = await client.post(f"{url}/exchange", json=NOOP)
            told = reply.status, await reply.read()
        question = {"type": "userRateLimit", "user": ACCOUNT}
        limits = await (await client.post(f"{url}/info", json=question)).json()

    assert told == answer
    assert limits["nRequestsUsed"] == int(accepted)


async def test_a_half_open_stream_takes_everything_and_answers_nothing() -> None:
    async with (
        running(Fault("half_open", on="/ws", every=0.01)) as url,
        aiohttp.ClientSession() as client,
        client.ws_connect(f"{url}/ws") as socket,
    ):
        await asyncio.sleep(3 * server._TICK_SECONDS)
        await socket.send_str('{"method":"ping"}')
        with pytest.raises(TimeoutError):
            await socket.receive(timeout=0.3)


@pytest.mark.parametrize(
    ("kind", "heard"),
    [("disconnect", aiohttp.WSMsgType.CLOSE), ("garbage", aiohttp.WSMsgType.TEXT)],
)
async def test_a_stream_is_closed_or_told_garbage(kind: Any, heard: aiohttp.WSMsgType) -> None:
    async with (
        running(Fault(kind, on="/ws", every=0.01)) as url,
        aiohttp.ClientSession() as client,
        client.ws_connect(f"{url}/ws") as socket,
    ):
        message = await socket.receive(timeout=10)

    assert message.type is heard
    assert message.type is aiohttp.WSMsgType.CLOSE or message.data == GARBAGE.decode()


def test_the_market_is_looked_at_closely_only_while_an_order_rests() -> None:
    floor = Floor()
    tape = Tape(Steady(START), floor.emulator)
    floor.wait(SECOND)
    tape.play(floor.now_ns)
    floor.order(Side.BUY, "1", "29.8", tif="Gtc", name=cloid(1))
    floor.subscribe(type="trades", coin="HYPE")
    assert floor.heard_on("trades") == [[]]  # no print so far

    tape.play(floor.now_ns + 49 * MILLISECOND)
    assert floor.info("orderStatus", user=ACCOUNT, oid=cloid(1))["order"]["status"] == "open"
    tape.play(floor.now_ns + 50 * MILLISECOND)
    assert floor.info("orderStatus", user=ACCOUNT, oid=cloid(1))["order"]["status"] == "filled"
    tape.play(floor.now_ns + SECOND)

    assert len(floor.heard_on("trades")) == 1
