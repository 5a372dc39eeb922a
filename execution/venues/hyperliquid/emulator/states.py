"""Subscriptions that tell a whole state: at once, and again every five seconds."""

from typing import Any

import msgspec

from domain.time import SECOND
from execution.venues.hyperliquid.emulator.info import Info, Unanswered
from execution.venues.hyperliquid.emulator.streams import Key, Streams

EVERY_NS = 5 * SECOND
_QUESTIONS = {
    "clearinghouseState": "clearinghouseState",
    "spotState": "spotClearinghouseState",
    "openOrders": "frontendOpenOrders",
    "activeAssetData": "activeAssetData",
}


class States:
    """What is told is what ``/info`` answers at that moment."""

    def __init__(self, info: Info, streams: Streams) -> None:
        self._info, self._streams = info, streams
        self._due_ns = 0

    def snapshot(self, connection: int, key: Key, now_ns: int) -> None:
        """For a new subscription; nothing where it is not of a state."""
        if key[0] in _QUESTIONS:
            self._streams.send((connection,), key[0], self._told(key, now_ns))

    def tell(self, now_ns: int) -> None:
        """To whoever listens, where it is time."""
        if now_ns < self._due_ns:
            return
        self._due_ns = now_ns + EVERY_NS
        for key, connections in self._streams.of(_QUESTIONS):
            self._streams.send(connections, key[0], self._told(key, now_ns))

    def _told(self, key: Key, now_ns: int) -> Any:
        kind, (user, _, coin) = key[0], key[1].partition(",")
        question = {"type": _QUESTIONS[kind], "user": user} | ({"coin": coin} if coin else {})
        try:
            answer = self._info.answer(msgspec.json.encode(question), now_ns)[1]
        except Unanswered:  # a coin that is no perp has no leverage
            answer = None
        if kind == "activeAssetData":
            return answer
        name = "orders" if kind == "openOrders" else kind
        return {"dex": "", "user": user, name: answer}
