"""Hyperliquid's two hot paths beside the clients that everybody uses, on the same input."""

import asyncio
import json
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from aiohttp import WSMessage, WSMsgType
from eth_account import Account
from hyperliquid.utils.signing import (
    order_request_to_order_wire,
    order_wires_to_order_action,
    sign_l1_action,
)
from hyperliquid.utils.types import Cloid

from bot.minute import MINUTE, Row, SharedMinute
from domain.orders import OrderRequest, Side, TimeInForce
from domain.time import MILLISECOND
from execution.venues.hyperliquid import actions
from execution.venues.hyperliquid.public import public_event
from execution.venues.hyperliquid.sign import AgentSigner
from execution.venues.hyperliquid.wire import read_frame
from strategies.market.state import Market
from tests.benchmarks.conftest import Figures
from tests.unit.execution.venues.hyperliquid.venue import listed

START_MS = 1_760_000_400_000
ROUNDS = 25


def spent(work: Callable[[int], object], calls: int, first: int) -> float:
    """Processor microseconds a call."""
    began = time.process_time()
    for number in range(first, first + calls):
        work(number)
    return (time.process_time() - began) / calls * 1e6


def side_by_side(
    ours: Callable[[int], object], theirs: Callable[[int], object], calls: tuple[int, int]
) -> tuple[float, float]:
    """The least of either over rounds that take turns, so that both had the machine at its best."""
    ours(0)
    theirs(0)
    rounds = [
        (spent(ours, calls[0], 1 + n * calls[0]), spent(theirs, calls[1], 1 + n * calls[1]))
        for n in range(ROUNDS)
    ]
    return min(mine for mine, _ in rounds), min(other for _, other in rounds)


def test_signing_one_order(figures: Figures) -> None:
    """From the order to the bytes that are sent."""
    key = bytes([7]) * 32
    signer, wallet = AgentSigner(key, is_mainnet=False), Account.from_key(key)
    request = OrderRequest(
        f"0x{'1' * 32}", "hyperliquid:BTC-PERP", Side.BUY, Decimal("0.0147"), Decimal("63471.5"),
        TimeInForce.IOC, reduce_only=False, expires_ns=0,
    )  # fmt: skip
    asked: Any = {
        "coin": "BTC", "is_buy": True, "sz": 0.0147, "limit_px": 63471.5, "reduce_only": False,
        "order_type": {"limit": {"tif": "Ioc"}}, "cloid": Cloid(request.cloid),
    }  # fmt: skip

    def ours(number: int) -> bytes:
        nonce = START_MS + number
        return signer.sign(actions.order_action(request, 0), nonce, nonce + 5_000)

    def theirs(number: int) -> bytes:
        nonce = START_MS + number
        action: Any = order_wires_to_order_action([order_request_to_order_wire(asked, 0)], None)
        signature = sign_l1_action(wallet, action, None, nonce, nonce + 5_000, False)
        envelope = {
            "action": action, "nonce": nonce, "signature": signature,
            "vaultAddress": None, "expiresAfter": nonce + 5_000,
        }  # fmt: skip
        return json.dumps(envelope).encode()

    assert json.loads(ours(3)) == json.loads(theirs(3))
    mine, other = side_by_side(ours, theirs, (200, 40))
    figures.add(
        "signing one order, from the order to the bytes sent",
        f"{mine:.0f} us",
        floor=f"{other:.0f} us: hyperliquid-python-sdk, the same bytes",
        ratio=other / mine,
        bound="6 times as fast",
    )
    assert other >= 6 * mine


def book_frame() -> bytes:
    """A book of twenty levels a side as the venue sends it (SYNTHETIC prices)."""
    sides = [
        [{"px": f"{63_470.5 + sign * n * 0.5:.1f}", "sz": f"{1.2345 + n:.5f}", "n": n + 1}
         for n in range(1, 21)]
        for sign in (-1, 1)
    ]  # fmt: skip
    data = {"coin": "BTC", "time": START_MS, "levels": sides}
    return json.dumps({"channel": "l2Book", "data": data}, separators=(",", ":")).encode()


def test_a_book_from_the_socket_to_market_state(figures: Figures) -> None:
    from ccxt.pro import hyperliquid

    frame, listing = book_frame(), listed()
    market = Market(listing.pairs)

    def ours(number: int) -> None:
        received_ns = START_MS * MILLISECOND + number
        event = public_event(listing, read_frame(frame), received_ns)
        assert event is not None
        market.observe(event)

    async def compare() -> tuple[float, float]:
        exchange = hyperliquid({})
        symbol = "BTC/USDC:USDC"
        exchange.set_markets(
            [
                {
                    "id": "0", "symbol": symbol, "base": "BTC", "quote": "USDC", "settle": "USDC",
                    "baseId": "0", "quoteId": "USDC", "type": "swap", "spot": False, "swap": True,
                    "contract": True, "linear": True, "precision": {}, "limits": {},
                    "active": True, "info": {"name": "BTC"}, "baseName": "BTC",
                }
            ]
        )  # fmt: skip
        client: Any = exchange.client("ws://127.0.0.1:1/ws")

        def theirs(_number: int) -> None:
            """What ``watch_order_book`` does between a message and its answer."""
            waiting = client.future(f"orderbook:{symbol}")
            client.handle_message(WSMessage(WSMsgType.TEXT, frame.decode(), None))
            waiting.result().limit()

        figures_ = side_by_side(ours, theirs, (1_000, 200))
        assert exchange.orderbooks[symbol]["bids"][0] == [63_470.0, 2.2345]
        await exchange.close()
        return figures_

    mine, other = asyncio.run(compare())
    state = market.of("hyperliquid:BTC-PERP")
    assert state is not None
    assert (state.bids[0].price, state.bids[0].size) == (63_470.0, 2.2345)
    figures.add(
        "a book of 2 x 20 levels from the socket's bytes to market state",
        f"{mine:.1f} us",
        floor=f"{other:.1f} us: ccxt.pro's `watch_order_book`, the same bytes",
        ratio=other / mine,
        bound="10 times as fast",
    )
    assert other >= 10 * mine


def test_counting_a_request(figures: Figures, tmp_path: Path) -> None:
    """In the file that trader and watchdog share: an order is counted, a question asks for room."""
    minute = SharedMinute(tmp_path / MINUTE, Row.TRADER, 1_000.0, lambda _: None)

    def best(most: int | None) -> float:
        def take(_: int) -> bool:
            return minute.take(1_000.0, 0, most=most)

        return min(spent(take, 2_000, 0) for _ in range(ROUNDS))

    order, question = best(None), best(1_180)
    minute.close()

    assert order < 100
    figures.add(
        "counting one order, one question, in the minute that all processes share",
        f"{order:.1f} µs, {question:.1f} µs",
        command='make bench ARGS="-k counting"',
    )
