"""What the emulator really says: samples to mangle, of every kind of message and answer."""

from functools import cache
from typing import Any

import msgspec

from domain.orders import Side
from domain.time import HOUR, MILLISECOND, SECOND
from execution.venues.hyperliquid import wire
from execution.venues.hyperliquid.symbols import Listing, resolve
from tests.unit.execution.venues.hyperliquid.emulator.floor import (
    ACCOUNT,
    PERP_ASSET,
    SPOT_ASSET,
    Floor,
    cloid,
)
from tests.unit.execution.venues.simulated.world import START

COIN = "HYPE"
STREAMS: tuple[dict[str, Any], ...] = (
    {"type": "l2Book", "coin": COIN},
    {"type": "l2Book", "coin": "@0"},
    {"type": "activeAssetCtx", "coin": COIN},
    {"type": "orderUpdates", "user": ACCOUNT},
    {"type": "userFills", "user": ACCOUNT},
    {"type": "userFundings", "user": ACCOUNT},
    {"type": "userEvents", "user": ACCOUNT},
)
NOW = START + HOUR + 4 * SECOND
FILLED, RESTING, CANCELED = cloid(1), cloid(2), cloid(3)
QUESTIONS: dict[str, dict[str, Any]] = {
    "meta": {},
    "spotMeta": {},
    "userFees": {"user": ACCOUNT},
    "userAbstraction": {"user": ACCOUNT},
    "orderStatus": {"user": ACCOUNT, "oid": RESTING},
    "activeAssetData": {"user": ACCOUNT, "coin": COIN},
    "clearinghouseState": {"user": ACCOUNT, "dex": ""},
    "spotClearinghouseState": {"user": ACCOUNT},
    "frontendOpenOrders": {"user": ACCOUNT, "dex": ""},
    "userFillsByTime": {"user": ACCOUNT, "startTime": 0},
    "userFunding": {"user": ACCOUNT, "startTime": 0},
    "userNonFundingLedgerUpdates": {"user": ACCOUNT, "startTime": 0},
    "fundingHistory": {"coin": COIN, "startTime": 0},
    "candleSnapshot": {
        "req": {
            "coin": COIN,
            "interval": "15m",
            "startTime": (NOW - 12 * HOUR) // MILLISECOND,
            "endTime": NOW // MILLISECOND,
        }
    },
}


def traded() -> Floor:
    """A hedged pair, an order that rests and one that was canceled, a funding payment."""
    floor = Floor()
    for stream in STREAMS:
        floor.subscribe(**stream)
    floor.quote(30.0)
    floor.leverage(2)
    floor.order(Side.BUY, "20", "30.3", asset=SPOT_ASSET, name=FILLED)
    floor.order(Side.SELL, "20", "29.7", asset=PERP_ASSET, name=cloid(4))
    floor.order(Side.SELL, "5", "31", tif="Alo", asset=PERP_ASSET, name=RESTING)
    floor.order(Side.SELL, "6", "32", tif="Gtc", asset=PERP_ASSET, name=CANCELED)
    floor.act({"type": "cancelByCloid", "cancels": [{"asset": PERP_ASSET, "cloid": CANCELED}]})
    floor.wait(HOUR)
    floor.quote(30.1)
    return floor


@cache
def frames() -> dict[str, tuple[bytes, ...]]:
    """By channel, what it carried: one of each length."""
    by_channel: dict[str, dict[int, bytes]] = {}
    for _, raw in traded().emulator.drain():
        frame = wire.decode(raw, wire.Frame)
        by_channel.setdefault(frame.channel, {})[len(raw)] = bytes(frame.data)
    return {channel: tuple(told.values()) for channel, told in by_channel.items()}


@cache
def answers() -> dict[str, bytes]:
    """To each question of ``QUESTIONS``."""
    floor = traded()
    return {
        kind: floor.emulator.request(
            "/info", msgspec.json.encode({"type": kind} | fields), floor.now_ns
        ).body
        for kind, fields in QUESTIONS.items()
    }


@cache
def listing() -> Listing:
    told = answers()
    return resolve(
        wire.decode(told["meta"], wire.Meta),
        wire.decode(told["spotMeta"], wire.SpotMeta),
        wire.decode(told["userFees"], wire.UserFees),
        {COIN: COIN},
    )
