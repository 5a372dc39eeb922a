"""What the venue takes from one address: 1,200 of weight a minute, ten sockets, thirty new ones a
minute. Everybody on this machine has the same address.

What is refused weighs nothing, and is answered 429 (both UNVERIFIED).
"""

from collections import deque
from typing import Any

import msgspec

_WINDOW_SECONDS = 60.0
_WEIGHT_A_MINUTE = 1_200
_SOCKETS = 10
_SOCKETS_A_MINUTE = 30

_TWO = frozenset(
    {
        "l2Book", "allMids", "clearinghouseState", "orderStatus", "spotClearinghouseState",
        "exchangeStatus",
    }
)  # fmt: skip
_BY_TWENTY = frozenset(
    {
        "historicalOrders", "userFills", "userFillsByTime", "fundingHistory", "userFunding",
        "userNonFundingLedgerUpdates",
    }
)  # fmt: skip
_ORDERS_A_WEIGHT = 40
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Limits:
    """``seconds`` are of any clock that does not go back."""

    def __init__(self) -> None:
        self.heaviest = 0  # minute so far
        self.refused = 0
        self._taken: deque[tuple[float, int]] = deque()
        self._weight = 0
        self._opened: deque[float] = deque()
        self._open: set[int] = set()

    def takes(self, path: str, body: bytes, seconds: float) -> bool:
        """Whether one more request is answered; if so it counts."""
        weight = _weight(path, _decoded(body))
        if self._used(seconds) + weight > _WEIGHT_A_MINUTE:
            self.refused += 1
            return False
        self._count(weight, seconds)
        return True

    def answered(self, body: bytes, answer: bytes, seconds: float) -> None:
        """Histories weigh more by their rows. They may go over the limit: what follows does not."""
        kind = _decoded(body).get("type")
        each = 20 if kind in _BY_TWENTY else 60 if kind == "candleSnapshot" else None
        if each is not None:
            rows = _decoded(answer, list[Any])
            self._count(-(-len(rows) // each), seconds)

    def frame(self, frame: bytes, seconds: float) -> bool:
        """The same of what comes over a socket, where posts weigh what requests do."""
        message = _decoded(frame)
        request = message.get("request")
        if message.get("method") != "post" or not isinstance(request, dict):
            return True
        path = "/exchange" if request.get("type") == "action" else "/info"
        payload = request.get("payload")
        return self.takes(path, msgspec.json.encode(payload), seconds)

    def opens(self, connection: int, seconds: float) -> bool:
        """Whether one more socket is opened; if so it counts."""
        while self._opened and self._opened[0] <= seconds - _WINDOW_SECONDS:
            self._opened.popleft()
        if len(self._open) >= _SOCKETS or len(self._opened) >= _SOCKETS_A_MINUTE:
            self.refused += 1
            return False
        self._opened.append(seconds)
        self._open.add(connection)
        return True

    def closed(self, connection: int) -> None:
        self._open.discard(connection)

    def _used(self, seconds: float) -> int:
        while self._taken and self._taken[0][0] <= seconds - _WINDOW_SECONDS:
            self._weight -= self._taken.popleft()[1]
        return self._weight

    def _count(self, weight: int, seconds: float) -> None:
        self._taken.append((seconds, weight))
        self._weight += weight
        self.heaviest = max(self.heaviest, self._used(seconds))


def _weight(path: str, body: dict[str, Any]) -> int:
    if path == "/exchange":
        action = body.get("action")
        parts = action if isinstance(action, dict) else {}
        batch = next((parts[key] for key in ("orders", "cancels", "modifies") if key in parts), ())
        return 1 + len(batch) // _ORDERS_A_WEIGHT
    kind = body.get("type")
    return 2 if kind in _TWO else 60 if kind == "userRole" else 20


def _decoded(body: bytes, kind: Any = dict[str, Any]) -> Any:
    """Empty where it is none: what cannot be read weighs as much as most."""
    try:
        return msgspec.json.decode(body, type=kind)
    except _NOT_JSON:
        return kind()
