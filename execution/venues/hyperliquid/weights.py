"""What requests weigh, and how many leave: the venue takes 1,200 a minute from one address.

Nothing that acts is ever held back. A question that does not fit is not asked, so that its
asker, who asks again anyway, hears the same as of one that was lost; what nobody waits for waits
until it fits. The less hangs on a question, the earlier it stops: the last of a minute is for
orders, and for what became of them.
"""

import asyncio
from collections import deque

import msgspec

from execution.ports import Reply, Stream, Transport, TransportFailed

PER_MINUTE = 1_200
MINUTE_SECONDS = 60.0
CONNECTIONS_PER_MINUTE = 20
"""Of the thirty that an address may open."""
BEFORE = 400
"""What a bot uses in a minute in which little happens."""
THROTTLED_SECONDS = 5.0
"""So long nothing but what is pressing is asked, once the venue has said that it was too much."""

ACTION = "action"
_OTHER = 20
_WEIGHTS = {
    ACTION: 1,
    "allMids": 2,
    "clearinghouseState": 2,
    "exchangeStatus": 2,
    "l2Book": 2,
    "orderStatus": 2,
    "spotClearinghouseState": 2,
    "userRole": 60,
}
_ROWS = {
    "candleSnapshot": (60, 4),
    "fundingHistory": (20, 25),
    "userFillsByTime": (20, 1),
    "userFunding": (20, 1),
    "userNonFundingLedgerUpdates": (20, 1),
}
"""So many rows of an answer weigh one more; and what they will weigh, until it is there."""

_HISTORY = frozenset({"candleSnapshot", "fundingHistory", "userRateLimit"})
"""The market's past, and what is as patient."""
_PRESSING_UP_TO = 1_180
_UP_TO = {
    **dict.fromkeys(("orderStatus", "activeAssetData"), _PRESSING_UP_TO),
    **dict.fromkeys(("clearinghouseState", "spotClearinghouseState", "frontendOpenOrders"), 1_150),
    **dict.fromkeys(("userFillsByTime", "userFunding", "userNonFundingLedgerUpdates"), 900),
}
_UP_TO_OTHERS = 1_000
"""A question is asked where it brings the minute to no more than this."""


class _Typed(msgspec.Struct):
    type: str = ""


_kind = msgspec.json.Decoder(_Typed).decode
_rows = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Paced:
    """``execution.ports.Transport`` that keeps within what one address may ask of the venue.

    One a process: it knows of no other, but of one that ended just now ``before`` was used.
    ``history_up_to``: the weight of a minute up to which the market's past is asked for.
    """

    def __init__(self, inner: Transport, history_up_to: int = 750, before: int = 0) -> None:
        self._inner, self._history_up_to = inner, history_up_to
        self._sent: deque[tuple[float, int]] = deque()  # when (time of the loop), weight
        self._used = 0
        self._connected: deque[float] = deque()
        self._throttled_until = 0.0
        if before:
            self._spend(before)

    @property
    def used(self) -> int:
        """Weight of the last minute."""
        since = _now() - MINUTE_SECONDS
        while self._sent and self._sent[0][0] <= since:
            self._used -= self._sent.popleft()[1]
        return self._used

    async def request(self, path: str, body: bytes, timeout_seconds: float) -> Reply:
        """Raises ``TransportFailed`` too where it does not fit into this minute."""
        kind = ACTION if path == "/exchange" else _kind(body).type
        rows_each, expected = _ROWS.get(kind, (0, 0))
        weight = _WEIGHTS.get(kind, _OTHER) + expected
        while not self._fits(kind, weight):
            if kind not in _HISTORY:
                raise TransportFailed(f"{kind} is not asked: {self.used} of {PER_MINUTE} are used")
            await asyncio.sleep(1.0)
        self._spend(weight)
        reply = await self._inner.request(path, body, timeout_seconds)
        if reply.status == 429:
            self._throttled_until = _now() + THROTTLED_SECONDS
        elif rows_each:
            self._spend(-(-_count(reply.body) // rows_each) - expected)
        return reply

    async def connect(self, path: str, timeout_seconds: float) -> Stream:
        """Raises ``TransportFailed`` too where it would be one too many in a minute."""
        now = _now()
        while self._connected and self._connected[0] <= now - MINUTE_SECONDS:
            self._connected.popleft()
        if len(self._connected) >= CONNECTIONS_PER_MINUTE:
            raise TransportFailed(f"{len(self._connected)} connections in a minute are enough")
        self._connected.append(now)
        return await self._inner.connect(path, timeout_seconds)

    def _fits(self, kind: str, weight: int) -> bool:
        if kind == ACTION:
            return True
        most = self._history_up_to if kind in _HISTORY else _UP_TO.get(kind, _UP_TO_OTHERS)
        if most < _PRESSING_UP_TO and _now() < self._throttled_until:
            return False
        return self.used + weight <= most

    def _spend(self, weight: int) -> None:
        self._sent.append((_now(), weight))
        self._used += weight


def _now() -> float:
    return asyncio.get_running_loop().time()


def _count(body: bytes) -> int:
    """The rows of an answer; of what is none, none."""
    try:
        return len(_rows(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0
