"""Several accounts at one exchange. Each is emulated by itself, and all hear one market.

They do not meet: what one takes of a book is there for the next, and no order of one fills
another's. Requests find their account by the address they name, or by who signed them; what
names nobody is answered by the first.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from domain.market import MarketInput
from execution.ports import Reply
from execution.venues.hyperliquid.emulator.emulator import Emulator
from execution.venues.hyperliquid.emulator.info import NOT_JSON


class House:
    """``accounts``: one emulator each, over the same pairs, told the same market.

    Raises:
        ValueError: there is none, or two are of one account or have one agent.
    """

    def __init__(self, accounts: Sequence[Emulator]) -> None:
        self._accounts = list(accounts)
        known = [address for one in accounts for address in one.addresses]
        if len(set(known)) < len(known) or not known:
            raise ValueError("an address is of one account, and there has to be one")

    @property
    def resting(self) -> frozenset[str]:
        return frozenset[str]().union(*(one.resting for one in self._accounts))

    def play(self, event: MarketInput) -> None:
        for one in self._accounts:
            one.play(event)

    def advance(self, now_ns: int) -> None:
        for one in self._accounts:
            one.advance(now_ns)

    def request(self, path: str, body: bytes, now_ns: int) -> Reply:
        return self._asked(path, body).request(path, body, now_ns)

    def opened(self, connection: int) -> None:
        for one in self._accounts:
            one.opened(connection)

    def closed(self, connection: int) -> None:
        for one in self._accounts:
            one.closed(connection)

    def drain(self) -> list[tuple[int, bytes]]:
        return [frame for one in self._accounts for frame in one.drain()]

    def frame(self, connection: int, frame: bytes, now_ns: int) -> None:
        message = _decoded(frame)
        subscription, request = message.get("subscription"), message.get("request")
        one = self._accounts[0]
        if isinstance(subscription, dict):
            one = self._of(subscription.get("user"))
        elif isinstance(request, dict):
            path = "/exchange" if request.get("type") == "action" else "/info"
            one = self._asked(path, msgspec.json.encode(request.get("payload")))
        one.frame(connection, frame, now_ns)

    def _asked(self, path: str, body: bytes) -> Emulator:
        if path == "/exchange":
            return self._of(self._accounts[0].signer(body))
        return self._of(_decoded(body).get("user"))

    def _of(self, address: Any) -> Emulator:
        for one in self._accounts:
            if isinstance(address, str) and address.lower() in one.addresses:
                return one
        return self._accounts[0]


def _decoded(body: bytes) -> dict[str, Any]:
    """Empty where it is none: whoever answers says what is wrong with it."""
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except NOT_JSON:
        return {}
