"""Who listens to what over the sockets, and the frames that wait to be delivered."""

import re
from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from execution.venues.hyperliquid.emulator.candles import INTERVALS
from execution.venues.hyperliquid.emulator.listing import Listing

Key = tuple[str, str]
"""(kind, coin or address)"""

_OF_COIN = ("l2Book", "bbo", "trades", "activeAssetCtx")
_OF_USER = (
    "orderUpdates", "userEvents", "userFills", "userFundings", "userNonFundingLedgerUpdates",
    "clearinghouseState", "openOrders", "spotState",
)  # fmt: skip
FAST_BOOK = "l2Book:fast"
ADDRESS = re.compile(r"0x[0-9a-f]{40}")

_encode = msgspec.json.Encoder().encode


class Streams:
    """A frame is encoded once, however many connections get it."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._listeners: dict[Key, list[int]] = {}
        self._outbox: list[tuple[int, bytes]] = []

    def drain(self) -> list[tuple[int, bytes]]:
        frames, self._outbox = self._outbox, []
        return frames

    def closed(self, connection: int) -> None:
        for key in [key for key, listeners in self._listeners.items() if connection in listeners]:
            self._remove(key, connection)

    def listeners(self, kind: str, of: str) -> list[int] | None:
        """None, never an empty list, where nobody listens."""
        return self._listeners.get((kind, of))

    def of(self, kinds: Collection[str]) -> list[tuple[Key, list[int]]]:
        """Whoever listens to something of these kinds."""
        return [(key, heard) for key, heard in self._listeners.items() if key[0] in kinds]

    def send(self, connections: Iterable[int], channel: str, data: Any) -> None:
        frame = _encode({"channel": channel, "data": data})
        self._outbox += [(connection, frame) for connection in connections]

    def publish(self, kind: str, of: str, channel: str, data: Any) -> None:
        listeners = self._listeners.get((kind, of))
        if listeners is not None:
            self.send(listeners, channel, data)

    def pong(self, connection: int) -> None:
        self._outbox.append((connection, b'{"channel":"pong"}'))

    def subscribe(self, connection: int, subscription: dict[str, Any]) -> Key | None:
        """Answers; returns what is new and may want a snapshot, None where nothing is."""
        found = self._normalized(subscription)
        if found is None:
            self.error(connection, f"Invalid subscription {_shown(subscription)}")
            return None
        key, echo = found
        listeners = self._listeners.setdefault(key, [])
        if connection in listeners:
            self.error(connection, f"Already subscribed: {_shown(echo)}")
            return None
        listeners.append(connection)
        self._confirm(connection, "subscribe", echo)
        return key

    def unsubscribe(self, connection: int, subscription: dict[str, Any]) -> None:
        found = self._normalized(subscription)
        if found is None:
            self.error(connection, f"Invalid subscription {_shown(subscription)}")
            return
        key, echo = found
        if connection not in self._listeners.get(key, ()):
            self.error(connection, f"Already unsubscribed: {_shown(echo)}")
            return
        self._remove(key, connection)
        self._confirm(connection, "unsubscribe", echo)

    def error(self, connection: int, text: str) -> None:
        self.send((connection,), "error", text)

    def _confirm(self, connection: int, method: str, echo: dict[str, Any]) -> None:
        data = {"method": method, "subscription": echo}
        self.send((connection,), "subscriptionResponse", data)

    def _remove(self, key: Key, connection: int) -> None:
        listeners = self._listeners[key]
        listeners.remove(connection)
        if not listeners:
            del self._listeners[key]

    def _normalized(self, subscription: dict[str, Any]) -> tuple[Key, dict[str, Any]] | None:
        """The key of a subscription and its echo, every optional field filled in."""
        kind, coin, user = (subscription.get(name) for name in ("type", "coin", "user"))
        if kind == "allMids" and not subscription.get("dex"):
            return ("allMids", ""), {"type": kind, "dex": None}
        if kind in _OF_COIN and isinstance(coin, str) and coin in self._listing.by_coin:
            if kind != "l2Book":
                return (kind, coin), {"type": kind, "coin": coin}
            if subscription.get("nSigFigs") is not None:
                return None  # aggregated books are not offered
            fast = subscription.get("fast") is True
            echo = {"type": kind, "coin": coin, "nSigFigs": None, "mantissa": None, "fast": fast}
            return (FAST_BOOK if fast else kind, coin), echo
        if kind == "candle" and coin in self._listing.by_coin:
            interval = subscription.get("interval")
            if not isinstance(interval, str) or interval not in INTERVALS:
                return None
            return (kind, f"{coin},{interval}"), {"type": kind, "coin": coin, "interval": interval}
        if kind == "activeAssetData" and isinstance(user, str) and ADDRESS.fullmatch(user.lower()):
            if coin not in self._listing.by_coin:
                return None
            key = (kind, f"{user.lower()},{coin}")
            return key, {"type": kind, "user": user.lower(), "coin": coin}
        if (
            kind in _OF_USER
            and not subscription.get("dex")
            and isinstance(user, str)
            and ADDRESS.fullmatch(user.lower())
        ):
            user = user.lower()
            echo = {"type": kind, "user": user}
            if kind == "userFills":
                echo["aggregateByTime"] = False
            return (kind, user), echo
        return None


def _shown(subscription: dict[str, Any]) -> str:
    return _encode(subscription).decode()
