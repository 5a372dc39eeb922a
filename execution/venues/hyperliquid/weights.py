"""What requests weigh, and how many leave: the venue takes 1,200 a minute from one address.

Nothing that acts is ever held back. A question that does not fit is not asked, so that its
asker, who asks again anyway, hears the same as of one that was lost; of who only looks it waits
until it fits. The less hangs on a question, the earlier it stops: the last of a minute is for
orders, and for what became of them.
"""

import asyncio
from struct import Struct

import msgspec

from execution.ports import Reply, Stream, Transport, TransportFailed

PER_MINUTE = 1_200
MINUTE_SECONDS = 62
"""The venue counts from when it was asked, which is a little after it is counted here."""
CONNECTIONS_PER_MINUTE = 20
"""Of the thirty that an address may open."""
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
_BARS = "candleSnapshot"
_BARS_EACH = 60
_MINUTES = {"m": 1, "h": 60, "d": 1_440}
"""Of the units in which the length of a bar is named."""
_ROWS = {
    "fundingHistory": (20, 25),
    "userFillsByTime": (20, 1),
    "userFunding": (20, 1),
    "userNonFundingLedgerUpdates": (20, 1),
}
"""So many rows of an answer weigh one more; and what they will weigh, until it is there."""

ALONE_UP_TO, BESIDE_UP_TO = 1_100, 700
"""Of who only looks: where nobody is known to act, so that a start on paper of five pairs (1,047)
does not wait for a minute; and where somebody may."""
_PRESSING_UP_TO = 1_180
_LOOKS = ("clearinghouseState", "spotClearinghouseState", "frontendOpenOrders", "l2Book")
_UP_TO = {
    **dict.fromkeys(("orderStatus", "activeAssetData"), _PRESSING_UP_TO),
    **dict.fromkeys(_LOOKS, 1_160),
    **dict.fromkeys(("userFillsByTime", "userFunding", "userNonFundingLedgerUpdates"), 1_040),
    **dict.fromkeys((_BARS, "fundingHistory"), 700),
}
_UP_TO_OTHERS = 980
"""A question is asked where it brings the minute to no more than this."""


class _Span(msgspec.Struct, rename="camel"):
    """Bars that are asked for: of which length, from when to when (ms)."""

    interval: str
    start_time: int
    end_time: int


class _Question(msgspec.Struct):
    type: str = ""
    req: _Span | None = None


_question = msgspec.json.Decoder(_Question).decode
_rows = msgspec.json.Decoder(list[msgspec.Raw]).decode


_MOST = 2**31 - 1


class Minute:
    """What left for the venue in the last minute: weight and connections, by whole seconds of a
    clock that all have in common and that only goes forward, which the event loop's is.

    This one is in memory; ``bot.minute`` has one that the processes of a machine share.
    """

    CELLS = 64
    """One a second, used again and again; more of them than count."""
    CELL = Struct("<qii")
    """Second, weight, connections."""

    def __init__(self) -> None:
        self._cells = bytearray(self.CELLS * self.CELL.size)

    def used(self, now: float) -> tuple[int, int]:
        """Weight and connections of the last minute."""
        last, weight, connections = int(now), 0, 0
        for cells in (self._cells, self._others()):
            for second, more, opened in self.CELL.iter_unpack(cells):
                # One second more: another's may have begun just now.
                if last - MINUTE_SECONDS < second <= last + 1:
                    weight += max(more, 0)
                    connections += max(opened, 0)
        return weight, connections

    def take(self, now: float, weight: int, connections: int = 0, most: int | None = None) -> bool:
        """Count it, unless that brings the weight to more than ``most``; whether it is counted."""
        # It is there for the others to see before it is looked at: two at once are not both let by.
        self._add(int(now), weight, connections)
        if most is not None and self.used(now)[0] > most:
            self._add(int(now), -weight, -connections)
            return False
        return True

    def correct(self, then: float, weight: int) -> None:
        """What was counted ``then`` weighed so much more, or less, than was thought."""
        if self._cell(int(then))[0] == int(then):
            self._add(int(then), weight, 0)

    def _cell(self, second: int) -> tuple[int, int, int]:
        at = second % self.CELLS * self.CELL.size
        kept: tuple[int, int, int] = self.CELL.unpack_from(self._cells, at)
        return kept

    def _add(self, second: int, weight: int, connections: int) -> None:
        kept = self._cell(second)
        if kept[0] == second:
            weight, connections = kept[1] + weight, kept[2] + connections
        at = second % self.CELLS * self.CELL.size
        weight, connections = (max(-_MOST, min(n, _MOST)) for n in (weight, connections))
        self.CELL.pack_into(self._cells, at, second, weight, connections)
        self._changed(at)

    def _others(self) -> bytes:
        """The cells of everybody else."""
        return b""

    def _changed(self, at: int) -> None:
        """The cell that begins at this byte is another."""


class Paced:
    """``execution.ports.Transport`` that keeps within what one address may ask of the venue.

    ``minute``: what everybody there asks; of a process that is alone, its own.
    ``patient_up_to``: nobody acts here; whatever brings the minute to more than this waits.
    """

    def __init__(
        self, inner: Transport, minute: Minute | None = None, patient_up_to: int | None = None
    ) -> None:
        self._inner, self._patient_up_to = inner, patient_up_to
        self._minute = minute or Minute()
        self._throttled_until = 0.0

    @property
    def used(self) -> int:
        """Weight of the last minute, of everybody who shares it."""
        return self._minute.used(_now())[0]

    async def request(self, path: str, body: bytes, timeout_seconds: float) -> Reply:
        """Raises ``TransportFailed`` too where it does not fit into this minute."""
        asked_for = _Question(ACTION) if path == "/exchange" else _question(body)
        kind = asked_for.type
        rows_each, expected = _rows_of(asked_for)
        weight = _WEIGHTS.get(kind, _OTHER) + expected
        while not self._takes(kind, weight):
            if self._patient_up_to is None:
                raise TransportFailed(f"{kind} is not asked: {self.used} of {PER_MINUTE} are used")
            await asyncio.sleep(1.0)
        asked = _now()
        reply = await self._inner.request(path, body, timeout_seconds)
        if reply.status == 429:
            self._throttled_until = _now() + THROTTLED_SECONDS
        elif rows_each:
            self._minute.correct(asked, -(-_count(reply.body) // rows_each) - expected)
        return reply

    async def connect(self, path: str, timeout_seconds: float) -> Stream:
        """Raises ``TransportFailed`` too where it would be one too many in a minute."""
        _, opened = self._minute.used(_now())
        if opened >= CONNECTIONS_PER_MINUTE:
            raise TransportFailed(f"{opened} connections in a minute are enough")
        self._minute.take(_now(), 0, 1)
        return await self._inner.connect(path, timeout_seconds)

    def _takes(self, kind: str, weight: int) -> bool:
        """Whether it leaves now; then it counts."""
        if kind == ACTION:
            return self._minute.take(_now(), weight)
        most = self._patient_up_to or _UP_TO.get(kind, _UP_TO_OTHERS)
        if most < _PRESSING_UP_TO and _now() < self._throttled_until:
            return False
        return self._minute.take(_now(), weight, most=most)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _rows_of(question: _Question) -> tuple[int, int]:
    """How many rows weigh one more, and what they will weigh."""
    if question.type != _BARS or question.req is None:
        return _ROWS.get(question.type, (0, 0))
    span = question.req
    bar_ms = int(span.interval[:-1]) * _MINUTES[span.interval[-1]] * 60_000
    bars = -(-max(span.end_time - span.start_time, 0) // bar_ms)
    return _BARS_EACH, -(-bars // _BARS_EACH)


def _count(body: bytes) -> int:
    """The rows of an answer; of what is none, none."""
    try:
        return len(_rows(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0
