"""The limits of one address, as the venue documents them."""

import asyncio
from typing import Any

import aiohttp
import msgspec
import pytest

from domain.time import SECOND
from execution.venues.hyperliquid.emulator import limits
from execution.venues.hyperliquid.emulator.limits import Limits
from execution.venues.hyperliquid.emulator.server import serve
from tests.unit.execution.venues.hyperliquid.emulator.test_server import Steady, emulated


def weighed(path: str, **body: Any) -> int:
    kept = Limits()
    assert kept.takes(path, msgspec.json.encode(body), 0.0)
    return kept.heaviest


@pytest.mark.parametrize(
    ("kind", "weight"),
    [("l2Book", 2), ("clearinghouseState", 2), ("orderStatus", 2), ("userRole", 60), ("meta", 20)],
)
def test_a_question_weighs_what_is_documented(kind: str, weight: int) -> None:
    assert weighed("/info", type=kind) == weight


@pytest.mark.parametrize(("orders", "weight"), [(1, 1), (39, 1), (40, 2), (79, 2), (80, 3)])
def test_a_batch_of_forty_weighs_one_more(orders: int, weight: int) -> None:
    action = {"type": "order", "orders": [{}] * orders}

    assert weighed("/exchange", action=action) == weight


@pytest.mark.parametrize(
    ("kind", "rows", "weight"),
    [("fundingHistory", 500, 45), ("userFillsByTime", 1, 21), ("candleSnapshot", 192, 24),
     ("candleSnapshot", 60, 21), ("userFees", 500, 20)],
)  # fmt: skip
def test_rows_weigh(kind: str, rows: int, weight: int) -> None:
    kept, body = Limits(), msgspec.json.encode({"type": kind})
    kept.takes("/info", body, 0.0)
    kept.answered(body, msgspec.json.encode([0] * rows), 0.0)

    assert kept.heaviest == weight


def test_what_is_refused_weighs_nothing_and_a_minute_later_there_is_room() -> None:
    kept, body = Limits(), msgspec.json.encode({"type": "meta"})

    assert [kept.takes("/info", body, second) for second in range(70)] == (
        [True] * 60 + [True] * 10  # one a second is what there is
    )
    assert [kept.takes("/info", body, 69.5) for _ in range(3)] == [False] * 3
    assert kept.takes("/info", body, 70.0)
    assert (kept.heaviest, kept.refused) == (1_200, 3)


def test_posts_over_a_socket_weigh_as_well() -> None:
    kept = Limits()
    post = {"method": "post", "id": 1, "request": {"type": "info", "payload": {"type": "userRole"}}}
    frame = msgspec.json.encode(post)

    assert [kept.frame(frame, 0.0) for _ in range(21)] == [True] * 20 + [False]
    assert kept.frame(b'{"method":"ping"}', 0.0)
    assert kept.frame(b"no json", 0.0)


def test_ten_sockets_at_once_and_thirty_a_minute() -> None:
    kept = Limits()
    assert [kept.opens(number, 0.0) for number in range(11)] == [True] * 10 + [False]
    for number in range(10):
        kept.closed(number)
    for number in range(20):
        assert kept.opens(100 + number, 1.0)
        kept.closed(100 + number)
    assert not kept.opens(1, 2.0)
    assert kept.opens(1, 60.0)


async def test_over_real_sockets_too_much_is_answered_429(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_WEIGHT_A_MINUTE", 62)
    monkeypatch.setattr(limits, "_SOCKETS", 1)
    start_ns = 1_764_003_600 * SECOND
    source = Steady(start_ns)
    serving = serve(emulated(start_ns), source, lambda: start_ns, limits=Limits())
    async with serving as url, aiohttp.ClientSession() as session:

        async def status(kind: str) -> int:
            async with session.post(f"{url}/info", json={"type": kind}) as response:
                return response.status

        asked = ("meta", "spotMeta", "fundingHistory", "meta", "exchangeStatus", "exchangeStatus")
        assert [await status(kind) for kind in asked] == [200, 200, 422, 429, 200, 429]
        async with session.ws_connect(f"{url}/ws") as socket:
            with pytest.raises(aiohttp.WSServerHandshakeError, match="429"):
                await session.ws_connect(f"{url}/ws")
            post = {"type": "info", "payload": {"type": "meta"}}
            await socket.send_json({"method": "post", "id": 1, "request": post})
            await socket.send_json({"method": "ping"})
            assert (await asyncio.wait_for(socket.receive_json(), 5.0)) == {"channel": "pong"}
        async with asyncio.timeout(5.0):  # it is closed on the other side soon
            while True:
                try:
                    async with session.ws_connect(f"{url}/ws"):
                        break
                except aiohttp.WSServerHandshakeError:
                    await asyncio.sleep(0.01)
