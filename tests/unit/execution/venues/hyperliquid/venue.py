"""A venue that says what it is told to, over a transport in memory."""

import asyncio
import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Self

import msgspec

from domain.orders import OrderRequest, Side, TimeInForce
from domain.time import SECOND
from execution.events import Event
from execution.ports import Reply, TransportFailed
from execution.supervise import supervise
from execution.venues.hyperliquid.gateway import HyperliquidGateway
from execution.venues.hyperliquid.sign import AgentSigner
from execution.venues.hyperliquid.symbols import Listing, resolve
from execution.venues.hyperliquid.timing import Timing
from execution.venues.hyperliquid.wire import Meta, SpotMeta, UserFees, decode

ACCOUNT = "0x" + "ab" * 20
KEY = bytes(31) + b"\x07"
NOW = 1_760_000_400 * SECOND  # a whole hour
CLOID = "0x" + "1" * 32
OID = 77

META = {
    "universe": [
        {"name": "BTC", "szDecimals": 5, "maxLeverage": 40, "marginTableId": 56},
        {"name": "MATIC", "szDecimals": 1, "maxLeverage": 20, "isDelisted": True},
        {"name": "HYPE", "szDecimals": 2, "maxLeverage": 10, "marginTableId": 10},
        {"name": "PURR", "szDecimals": 0, "maxLeverage": 3, "marginTableId": 3},
        {"name": "PUMP", "szDecimals": 0, "maxLeverage": 10, "marginTableId": 99},
    ],
    "marginTables": [
        [
            56,
            {
                "description": "tiered 40x",
                "marginTiers": [
                    {"lowerBound": "0.0", "maxLeverage": 40},
                    {"lowerBound": "150000000.0", "maxLeverage": 20},
                ],
            },
        ]
    ],
    "collateralToken": 0,
}
SPOT_META = {
    "tokens": [
        {"name": "USDC", "szDecimals": 8, "weiDecimals": 8, "index": 0,
         "tokenId": "0x6d1e7cde53ba9467b783cb7c530ce054"},
        {"name": "PURR", "szDecimals": 0, "weiDecimals": 5, "index": 1,
         "tokenId": "0xc1fb593aeffbeb02f85e0308e9956a90"},
        {"name": "UBTC", "szDecimals": 2, "weiDecimals": 8, "index": 21,
         "tokenId": "0x" + "21" * 16},
        {"name": "HYPE", "szDecimals": 2, "weiDecimals": 8, "index": 150,
         "tokenId": "0x0d01dc56dcaaca66ad901c959b4011ec"},
        {"name": "UBTC", "szDecimals": 5, "weiDecimals": 10, "index": 197,
         "tokenId": "0x8f254b963e8468305d409b33aa137c67"},
        {"name": "UPUMP", "szDecimals": 0, "weiDecimals": 5, "index": 20,
         "tokenId": "0x544e60f98a36d7b22c0fb5824b84f795"},
        {"name": "USOL", "szDecimals": 3, "weiDecimals": 8, "index": 22,
         "tokenId": "0x" + "22" * 16},
    ],
    "universe": [
        {"name": "PURR/USDC", "tokens": [1, 0], "index": 0, "isCanonical": True},
        {"name": "@19", "tokens": [21, 0], "index": 19, "isCanonical": False},
        {"name": "@200", "tokens": [150, 360], "index": 200, "isCanonical": False},
        {"name": "@107", "tokens": [150, 0], "index": 107, "isCanonical": False},
        {"name": "@142", "tokens": [197, 0], "index": 142, "isCanonical": False},
    ],
}  # fmt: skip
FEES = {
    "userCrossRate": "0.00045",
    "userAddRate": "0.00015",
    "userSpotCrossRate": "0.0007",
    "userSpotAddRate": "0.0004",
}
WANTED = {"HYPE": "HYPE", "BTC": "UBTC", "PURR": "PURR"}

# Retries follow at once. What is waited for before something is given up is long, so that a
# busy machine cannot be taken for a dead venue; tests of giving up shorten it.
QUICK = Timing(
    request_timeout=5.0,
    ping=30.0,
    acknowledgement=10.0,
    silence=30.0,
    account_silence=30.0,
    backoff_first=0.005,
    backoff_last=0.01,
    retry=0.005,
    funding_retry=0.005,
    history_after=0.005,
    history_pause=0.005,
    account_pause=0.005,
    account_spacing=0.005,
)


def listed(**wanted: str) -> Listing:
    """The listing of ``WANTED``, or of what is named."""
    return resolve(
        decode(json.dumps(META).encode(), Meta),
        decode(json.dumps(SPOT_META).encode(), SpotMeta),
        decode(json.dumps(FEES).encode(), UserFees),
        wanted or WANTED,
    )


def order(
    quantity: str = "2", tif: TimeInForce = TimeInForce.IOC, instrument: str = "HYPE-PERP"
) -> OrderRequest:
    return OrderRequest(
        CLOID,
        f"hyperliquid:{instrument}",
        Side.SELL,
        Decimal(quantity),
        Decimal("45.5"),
        tif,
        reduce_only=False,
        expires_ns=NOW + 5 * SECOND,
    )


def stop(price: str = "48.5", bound: str = "50") -> OrderRequest:
    """What buys a short of two back once the mark has come to ``price``."""
    return msgspec.structs.replace(
        order(),
        side=Side.BUY,
        price=Decimal(bound),
        reduce_only=True,
        trigger_price=Decimal(price),
    )


def fill_row(oid: int = OID, tid: int = 5, **changes: Any) -> dict[str, Any]:
    row = {
        "coin": "HYPE",
        "px": "45.5",
        "sz": "1.5",
        "side": "A",
        "time": NOW // 10**6,
        "startPosition": "0.0",
        "dir": "Open Short",
        "closedPnl": "0.0",
        "hash": "0x" + "0" * 64,
        "oid": oid,
        "crossed": True,
        "fee": "0.030712",
        "tid": tid,
        "feeToken": "USDC",
    }
    return row | changes


def order_update(
    status: str = "open", oid: int = OID, remaining: str = "2.0", cloid: str | None = CLOID
) -> dict[str, Any]:
    order = {
        "coin": "HYPE",
        "side": "A",
        "limitPx": "45.5",
        "sz": remaining,
        "oid": oid,
        "timestamp": NOW // 10**6,
        "origSz": "2.0",
    }
    if cloid is not None:
        order["cloid"] = cloid
    return {"order": order, "status": status, "statusTimestamp": NOW // 10**6}


def order_status(**update: Any) -> dict[str, Any]:
    return {"status": "order", "order": order_update(**update)}


def statuses(*rows: Any) -> dict[str, Any]:
    return {"status": "ok", "response": {"type": "order", "data": {"statuses": list(rows)}}}


def position(szi: str = "-2.0", raw_usd: str = "136.0", **changes: Any) -> dict[str, Any]:
    row = {
        "coin": "HYPE",
        "szi": szi,
        "leverage": {"type": "isolated", "value": 2, "rawUsd": raw_usd},
        "entryPx": "45.5",
        "positionValue": "90.0",
        "unrealizedPnl": "1.0",
        "returnOnEquity": "0.02",
        "liquidationPx": "64.7",
        "marginUsed": "46.0",
        "maxLeverage": 10,
    }
    return {"type": "oneWay", "position": row | changes}


class FakeClock:
    def __init__(self) -> None:
        self.ns = NOW

    def now_ns(self) -> int:
        return self.ns


class FakeStream:
    """One connection. ``asked`` is what was subscribed to; a pong answers every ping."""

    def __init__(self, acknowledges: Callable[[str], bool]) -> None:
        self.asked: list[dict[str, Any]] = []
        self.pings = 0
        self.closed = False
        self._acknowledges = acknowledges
        self._out: asyncio.Queue[bytes | None] = asyncio.Queue()

    def push(self, channel: str, data: Any) -> None:
        self._out.put_nowait(json.dumps({"channel": channel, "data": data}).encode())

    def push_raw(self, frame: bytes) -> None:
        self._out.put_nowait(frame)

    def break_off(self) -> None:
        self._out.put_nowait(None)

    async def send(self, frame: bytes) -> None:
        message = json.loads(frame)
        if message["method"] == "ping":
            self.pings += 1
            self.push_raw(b'{"channel":"pong"}')
            return
        self.asked.append(message["subscription"])
        if self._acknowledges(message["subscription"]["type"]):
            self.push("subscriptionResponse", message | {"fast": None})

    async def receive(self) -> bytes:
        frame = await self._out.get()
        if frame is None:
            raise TransportFailed("the connection ended")
        return frame

    async def close(self) -> None:
        self.closed = True


Answer = Callable[[dict[str, Any]], Any]


class FakeVenue:
    """``info`` maps a question's type to its answer, or to a function of the question.

    An answer that is an exception is raised, a ``Reply`` is given as it is, anything else
    becomes JSON.
    """

    def __init__(self) -> None:
        self.info: dict[str, Any] = {
            "clearinghouseState": {"assetPositions": [], "time": NOW // 10**6},
            "spotClearinghouseState": {
                "balances": [
                    {"coin": "USDC", "token": 0, "total": "1000.5", "hold": "10", "entryNtl": "0"}
                ]
            },
            "frontendOpenOrders": [],
            "userFillsByTime": [],
            "userFunding": [],
            "userNonFundingLedgerUpdates": [],
            "fundingHistory": [],
            "orderStatus": {"status": "unknownOid"},
            "meta": META,
            "spotMeta": SPOT_META,
            "userFees": FEES,
            "userAbstraction": "unifiedAccount",
            "userRateLimit": {"cumVlm": "0.0", "nRequestsUsed": 0, "nRequestsCap": 10_000},
            "userRole": {"role": "agent", "data": {"user": ACCOUNT}},
            "extraAgents": [],
        }
        self.exchange: Any = statuses({"resting": {"oid": OID}})
        self.questions: list[dict[str, Any]] = []
        self.actions: list[bytes] = []
        self.streams: list[FakeStream] = []
        self.acknowledges: Callable[[str], bool] = lambda _: True  # by type of subscription
        self.reachable = True
        self.connects = 0

    async def request(self, path: str, body: bytes, timeout_seconds: float) -> Reply:
        await asyncio.sleep(0)
        question = json.loads(body)
        if path == "/exchange":
            self.actions.append(body)
            return _reply(self.exchange, question)
        self.questions.append(question)
        return _reply(self.info[question["type"]], question)

    async def connect(self, path: str, timeout_seconds: float) -> FakeStream:
        await asyncio.sleep(0)
        self.connects += 1
        if not self.reachable:
            raise TransportFailed("no route to the venue")
        self.streams.append(FakeStream(self.acknowledges))
        return self.streams[-1]

    def asked(self, kind: str) -> list[dict[str, Any]]:
        return [question for question in self.questions if question["type"] == kind]

    def stream(self, kind: str) -> FakeStream:
        """The newest connection that was subscribed to ``kind``."""
        return next(
            stream
            for stream in reversed(self.streams)
            if any(asked["type"] == kind for asked in stream.asked)
        )


def _reply(answer: Any, question: dict[str, Any]) -> Reply:
    if callable(answer):
        answer = answer(question)
    if isinstance(answer, Exception):
        raise answer
    return answer if isinstance(answer, Reply) else Reply(200, json.dumps(answer).encode())


class Desk:
    """A gateway at work at a ``FakeVenue``, and what it has told."""

    def __init__(
        self,
        timing: Timing = QUICK,
        known: dict[str, str] | None = None,
        untold: Sequence[tuple[str, int, int]] = (),
        listing: Listing | None = None,
    ) -> None:
        self.venue = FakeVenue()
        self.clock = FakeClock()
        self.events: list[Event] = []
        self.gateway = HyperliquidGateway(
            self.venue,
            AgentSigner(KEY, is_mainnet=False),
            listing or listed(),
            ACCOUNT,
            self.clock,
            self.events.append,
            last_nonce=0,
            known_orders=known or {},
            chance=lambda: 0.5,
            timing=timing,
            untold=untold,
        )

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(supervise(self.gateway.tasks(), lambda _: None))
        if self.venue.reachable:
            await self.until(self.gateway._heard.is_set)
        return self

    async def __aexit__(self, *error: object) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    def do(self, *effects: Any) -> None:
        self.gateway.prepare(effects)
        self.gateway.submit(effects)

    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.events]

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, condition: Callable[[], bool], seconds: float = 2.0) -> None:
        """Let it work until ``condition`` holds; fails when it does not in time."""
        async with asyncio.timeout(seconds):
            while not condition():
                assert not self._running.done(), self._running
                await asyncio.sleep(0.001)

    async def rest(self, seconds: float = 0.03) -> None:
        """Let it work for a while in which something must not happen."""
        await asyncio.sleep(seconds)
        assert not self._running.done(), self._running
