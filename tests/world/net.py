"""An in-memory network with faults: requests and streams between processes and venues.

Frames of one connection stay in order; requests and connections are independent of each
other. Whatever goes wrong is a choice of the oracle, each kind at its own site.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Protocol, TypeVar

import msgspec

from domain.time import MILLISECOND, MINUTE, SECOND
from execution.ports import Reply, TransportFailed
from tests.world.loop import SimLoop
from tests.world.oracle import Oracle

T = TypeVar("T")

LATENCY = "net.latency"
"""One way of one message: 80 ms; another choice is anything from 10 to 300 ms."""
UNRESOLVED_AFTER_NS = 20 * MILLISECOND
GIVEN_UP_AFTER_NS = 30 * SECOND  # the venue's patience with a connection that went silent
FLAP_NS = 2 * SECOND
WEATHER_EVERY_NS = MINUTE
READS_KEPT = 64


class Fate(StrEnum):
    """What becomes of one request. Each but the first is a fault, and its site."""

    ANSWERED = "net.request.answered"
    LOST_BEFORE = "net.request.lost_before"  # never processed, no answer
    LOST_AFTER = "net.request.lost_after"  # processed, no answer
    LATE = "net.request.late"  # processed when its sender no longer waits
    FAILED_BEFORE = "net.request.5xx_before"
    FAILED_AFTER = "net.request.5xx_after"  # processed all the same
    THROTTLED = "net.request.429"
    GARBAGE = "net.request.garbage"  # processed
    TRUNCATED = "net.request.truncated"  # processed
    RESET_BEFORE = "net.request.reset_before"
    RESET_AFTER = "net.request.reset_after"
    UNRESOLVED = "net.request.unresolved"  # no DNS: not sent, known at once
    DUPLICATED = "net.request.duplicated"  # the venue gets the same bytes twice


class StreamFault(StrEnum):
    REFUSED = "net.stream.refused"
    RESET = "net.stream.reset"
    HALF_OPEN = "net.stream.half_open"  # sends vanish, nothing arrives, nobody is told
    DROPPED = "net.stream.dropped"
    DUPLICATED = "net.stream.duplicated"
    DELAYED = "net.stream.delayed"  # this frame and all behind it, then all at once
    GARBAGE = "net.stream.garbage"
    ACK_LOST = "net.stream.ack_lost"  # the first frame that answers one of the client's


class Weather(StrEnum):
    """What befalls a whole venue for a while; judged about once a minute of traffic."""

    PARTITION = "net.venue.partition"  # messages are lost, connections become half-open
    WRITES_FAIL = "net.venue.writes_fail"  # reads are fine, writes are processed but answer 502
    READS_STALE = "net.venue.reads_stale"  # reads answer as before, writes are refused
    SWIZZLE = "net.venue.swizzle"  # roads are clogged one by one, freed in another order
    FLAPPING = "net.venue.flapping"  # two seconds down (all reset), two seconds up


HIGHEST_RATES: dict[str, float] = {
    LATENCY: 0.5,
    Fate.LOST_BEFORE: 0.3,
    Fate.LOST_AFTER: 0.3,
    Fate.LATE: 0.2,
    Fate.FAILED_BEFORE: 0.1,
    Fate.FAILED_AFTER: 0.2,
    Fate.THROTTLED: 0.1,
    Fate.GARBAGE: 0.05,
    Fate.TRUNCATED: 0.1,
    Fate.RESET_BEFORE: 0.1,
    Fate.RESET_AFTER: 0.1,
    Fate.UNRESOLVED: 0.05,
    Fate.DUPLICATED: 0.5,
    StreamFault.REFUSED: 0.3,
    StreamFault.RESET: 0.01,
    StreamFault.HALF_OPEN: 0.005,
    StreamFault.DROPPED: 0.1,
    StreamFault.DUPLICATED: 0.5,
    StreamFault.DELAYED: 0.02,
    StreamFault.GARBAGE: 0.05,
    StreamFault.ACK_LOST: 0.3,
    Weather.PARTITION: 0.05,
    Weather.WRITES_FAIL: 0.05,
    Weather.READS_STALE: 0.05,
    Weather.SWIZZLE: 0.1,
    Weather.FLAPPING: 0.05,
}
"""For ``swarm``: the most that a run may meet of each and still get something done."""

FATES = tuple(fate for fate in Fate if fate is not Fate.ANSWERED)
BAD_GATEWAY = Reply(502, b"<html><h1>502 Bad Gateway</h1></html>")
UNAVAILABLE = Reply(503, b"<html><h1>503 Service Unavailable</h1></html>")
ERRORS = (BAD_GATEWAY, UNAVAILABLE, Reply(504, b"<html><h1>504 Gateway Time-out</h1></html>"))
TOO_MANY = Reply(429, b"too many requests")
NONSENSE = b'\x00\xff\xfe{"status":'


class Moment(StrEnum):
    """Where ``on_send`` is called: around the socket write, and before an answer is delivered."""

    BEFORE = "before"
    AFTER = "after"
    ANSWER = "answer"


class Server(Protocol):
    """A venue as the road knows it. It survives its clients."""

    def request(self, path: str, body: bytes, now_ns: int) -> Reply: ...

    def opened(self, connection: int) -> None: ...

    def frame(self, connection: int, frame: bytes, now_ns: int) -> None: ...

    def closed(self, connection: int) -> None: ...

    def drain(self) -> list[tuple[int, bytes]]:
        """(connection, frame) to be pushed, in order, each once."""
        ...


class Sent(msgspec.Struct):
    """One request as the road saw it: written when it is sent, completed as things happen.

    ``fate`` is a ``Fate``, or the ``Weather`` that overruled it. ``deliveries`` counts how
    often the venue processed it, first at ``delivered_ns``. ``answered_ns`` is None where
    its sender never got a reply.
    """

    sent_ns: int
    owner: str
    host: str
    path: str
    size: int
    fate: str
    deliveries: int = 0
    delivered_ns: int | None = None
    answered_ns: int | None = None


class _Host:
    def __init__(self, name: str, server: Server, writes: tuple[str, ...]) -> None:
        self.name, self.server, self.writes = name, server, writes
        self.weather: dict[Weather, int] = {}  # until when, ns
        self.flaps_from_ns = 0
        self.weather_due_ns = 0
        self.reads: dict[tuple[str, bytes], Reply] = {}  # what stale reads answer

    def has(self, weather: Weather, now_ns: int) -> bool:
        return now_ns < self.weather.get(weather, 0)

    def is_down(self, now_ns: int) -> bool:
        phase = (now_ns - self.flaps_from_ns) // FLAP_NS
        return self.has(Weather.FLAPPING, now_ns) and phase % 2 == 0


class _Link:
    """One road between a process and a host; while it is clogged, what is sent waits."""

    def __init__(self, owner: str, host: _Host) -> None:
        self.owner, self.host = owner, host
        self.clogged_from_ns = self.clogged_until_ns = 0

    def leaves_ns(self, now_ns: int) -> int:
        clogged = self.clogged_from_ns <= now_ns < self.clogged_until_ns
        return self.clogged_until_ns if clogged else now_ns


class _Connection(_Link):
    """``open``: frames may set out. ``silent``: none arrives. ``ended``: the client knows."""

    def __init__(self, owner: str, host: _Host, number: int, opened_ns: int) -> None:
        super().__init__(owner, host)
        self.number = number
        self.inbox: asyncio.Queue[bytes | None] = asyncio.Queue()  # None: it ended
        self.sent_ns = self.pushed_ns = opened_ns  # arrival of the last frame each way
        self.open, self.silent, self.ended = True, False, False


class _Request:
    """On the road."""

    def __init__(
        self, link: _Link, path: str, body: bytes, entry: Sent, answer: asyncio.Future[Reply]
    ) -> None:
        self.link, self.path, self.body = link, path, body
        self.entry, self.answer = entry, answer


class SimStream:
    def __init__(self, net: "SimNet", connection: _Connection) -> None:
        self._net, self._connection = net, connection

    async def send(self, frame: bytes) -> None:
        await self._net.loop.checkpoint(self._connection.owner)
        if self._connection.ended:
            raise TransportFailed("the connection has ended")
        self._net._frame_leaves(self._connection, frame)

    async def receive(self) -> bytes:
        inbox = self._connection.inbox
        frame = await inbox.get()
        if frame is None:
            inbox.put_nowait(None)  # for whoever asks again
            raise TransportFailed("the connection has ended")
        return frame

    async def close(self) -> None:
        await self._net.loop.checkpoint(self._connection.owner)
        self._net._client_closes(self._connection)


class SimTransport:
    """One process's wire to one host."""

    def __init__(self, net: "SimNet", link: _Link) -> None:
        self._net, self._link = net, link

    async def request(self, path: str, body: bytes, timeout_seconds: float) -> Reply:
        owner, net = self._link.owner, self._net
        await net.loop.checkpoint(owner)
        net._announce(owner, path, body, Moment.BEFORE)
        await net.loop.checkpoint(owner)
        answer = net._request_leaves(self._link, path, body, timeout_seconds)
        net._announce(owner, path, body, Moment.AFTER)
        return await _in_time(answer, timeout_seconds)

    async def connect(self, path: str, timeout_seconds: float) -> SimStream:
        await self._net.loop.checkpoint(self._link.owner)
        return await _in_time(self._net._connect_leaves(self._link), timeout_seconds)


class SimNet:
    """All roads of one world.

    ``calm`` turns sampled faults off while it is true. ``log`` has every request, ``faults``
    how often each kind struck (``on_fault`` hears of each one). ``on_send`` is told owner,
    path, body and ``Moment`` of every request; it may kill the owner, and then nothing
    further happens on the owner's side. ``on_push`` is told owner and every frame it is given.
    """

    def __init__(self, loop: SimLoop, oracle: Oracle) -> None:
        self.loop = loop
        self.calm = False
        self.log: list[Sent] = []
        self.faults: Counter[str] = Counter()
        self.on_fault: Callable[[str], None] | None = None
        self.on_send: Callable[[str, str, bytes, Moment], None] | None = None
        self.on_push: Callable[[str, bytes], None] | None = None
        self._oracle = oracle
        self._hosts: dict[str, _Host] = {}
        self._links: list[_Link] = []  # the requests' road of each transport
        self._connections: dict[int, _Connection] = {}  # those that the servers hold
        self._connections_made = 0
        loop.on_kill.append(self._owner_killed)

    # The world's side

    def host(self, name: str, server: Server, writes: tuple[str, ...] = ("/exchange",)) -> None:
        """``writes`` are the paths whose requests change something; all others only read."""
        self._hosts[name] = _Host(name, server, writes)

    def transport(self, owner: str, host: str) -> SimTransport:
        link = _Link(owner, self._hosts[host])
        self._links.append(link)
        return SimTransport(self, link)

    def flush(self, host: str) -> None:
        """Put on the road what the server has to push."""
        for number, frame in self._hosts[host].server.drain():
            self._push(number, frame)

    def heal(self) -> None:
        """No more faults, and good weather at once. What is on its way is as late as it was
        going to be, and a half-open connection stays one: its client has to notice."""
        self.calm = True
        for host in self._hosts.values():
            host.weather.clear()
        for link in (*self._links, *self._connections.values()):
            link.clogged_until_ns = 0

    def partition(self, host: str, until_ns: int) -> None:
        self._turn(self._hosts[host], Weather.PARTITION, until_ns)

    def brown_out(self, host: str, until_ns: int, kind: Weather) -> None:
        assert kind in (Weather.WRITES_FAIL, Weather.READS_STALE)
        self._turn(self._hosts[host], kind, until_ns)

    def flap(self, host: str, until_ns: int) -> None:
        self._turn(self._hosts[host], Weather.FLAPPING, until_ns)

    def swizzle(self, host: str, until_ns: int) -> None:
        self._turn(self._hosts[host], Weather.SWIZZLE, until_ns)

    # Chance

    def _fault(self, kind: str) -> None:
        self.faults[kind] += 1
        if self.on_fault is not None:
            self.on_fault(kind)

    def _strikes(self, kind: StreamFault) -> bool:
        if self.calm or not self._oracle.choose(kind, 2):
            return False
        self._fault(kind)
        return True

    def _fate(self) -> Fate:
        if not self.calm:
            for fate in FATES:
                if self._oracle.choose(fate, 2):
                    return fate
        return Fate.ANSWERED

    def _milliseconds(self, site: str, low: int, high: int) -> int:
        return self._oracle.amount(site, low, high) * MILLISECOND

    def _latency_ns(self) -> int:
        chosen = self._oracle.choose(LATENCY, 292)
        return (9 + chosen if chosen else 80) * MILLISECOND

    def _arrives_ns(self, link: _Link) -> int:
        return link.leaves_ns(self.loop.now_ns) + self._latency_ns()

    # Weather

    def weather_until_ns(self, host: str, kind: Weather) -> int:
        """When the latest spell of this weather is over, or was; 0 where there was none."""
        return self._hosts[host].weather.get(kind, 0)

    def _judge_weather(self, host: _Host) -> None:
        now_ns = self.loop.now_ns
        if self.calm or now_ns < host.weather_due_ns:
            return
        host.weather_due_ns = now_ns + WEATHER_EVERY_NS
        for kind in Weather:
            if self._oracle.choose(kind, 2):
                lasts_ns = self._milliseconds(f"{kind}.ms", 1_000, 120_000)
                self._turn(host, kind, now_ns + lasts_ns)

    def _turn(self, host: _Host, kind: Weather, until_ns: int) -> None:
        host.weather[kind] = until_ns
        self._fault(kind)
        if kind is Weather.FLAPPING:
            host.flaps_from_ns = self.loop.now_ns
            for connection in self._connections.values():
                if connection.host is host and connection.open:
                    self._reset(connection)
        elif kind is Weather.SWIZZLE:
            self._clog(host, until_ns)

    def _clog(self, host: _Host, until_ns: int) -> None:
        """All roads to ``host``, one after the other, the last one free again at ``until_ns``."""
        now_ns, is_dead = self.loop.now_ns, self.loop.is_dead
        every = (*self._links, *self._connections.values())
        roads = [link for link in every if link.host is host and not is_dead(link.owner)]
        step_ns = (until_ns - now_ns) // (2 * len(roads) + 1)
        for number, link in enumerate(roads):
            link.clogged_from_ns = now_ns + number * step_ns
        for number in range(len(roads), 0, -1):
            link = roads.pop(self._oracle.amount(f"{Weather.SWIZZLE}.freed", 0, number - 1))
            link.clogged_until_ns = until_ns - (number - 1) * step_ns

    # Requests

    def _announce(self, owner: str, path: str, body: bytes, moment: Moment) -> None:
        if self.on_send is not None:
            self.on_send(owner, path, body, moment)

    def _request_leaves(
        self, link: _Link, path: str, body: bytes, timeout_seconds: float
    ) -> asyncio.Future[Reply]:
        loop = self.loop
        self._judge_weather(link.host)
        fate = self._fate()
        entry = Sent(loop.now_ns, link.owner, link.host.name, path, len(body), fate)
        self.log.append(entry)
        request = _Request(link, path, body, entry, loop.create_future())
        arrives_ns = self._arrives_ns(link)
        if fate is not Fate.ANSWERED:
            self._fault(fate)
        if fate is Fate.LOST_BEFORE:
            return request.answer
        if fate is Fate.UNRESOLVED:
            loop.at(
                loop.now_ns + UNRESOLVED_AFTER_NS,
                self._refuse,
                request.answer,
                link,
                "no such host",
            )
            return request.answer
        if fate is Fate.LATE:
            # An order's own expiry, some seconds, may have passed by then or not.
            arrives_ns = loop.now_ns + round(timeout_seconds * SECOND)
            arrives_ns += self._milliseconds(f"{fate}.ms", 50, 8_000)
        elif fate is Fate.DUPLICATED:
            again_ns = arrives_ns + self._milliseconds(f"{fate}.ms", 1, 5_000)
            loop.at(again_ns, self._request_arrives, request)
        loop.at(arrives_ns, self._request_arrives, request)
        return request.answer

    def _request_arrives(self, request: _Request) -> None:
        host, now_ns = request.link.host, self.loop.now_ns
        fate = request.entry.fate
        if host.has(Weather.PARTITION, now_ns):
            request.entry.fate = Weather.PARTITION
            return
        if host.is_down(now_ns):
            request.entry.fate = Weather.FLAPPING
            self._answer(request, None)
            return
        if fate == Fate.FAILED_BEFORE:
            self._answer(request, self._error())
        elif fate == Fate.THROTTLED:
            self._answer(request, TOO_MANY)
        elif fate == Fate.RESET_BEFORE:
            self._answer(request, None)
        else:
            reply = self._serve(request)
            if fate != Fate.LOST_AFTER:
                self._answer(request, self._spoil(fate, reply))

    def _serve(self, request: _Request) -> Reply:
        """What the venue answers, in the state it is in; what it then pushes is on its way."""
        host, now_ns = request.link.host, self.loop.now_ns
        key, write = (request.path, request.body), request.path in host.writes
        if host.has(Weather.READS_STALE, now_ns):
            if write:
                request.entry.fate = Weather.READS_STALE
                return UNAVAILABLE
            if key in host.reads:
                request.entry.fate = Weather.READS_STALE
                return host.reads[key]
        request.entry.deliveries += 1
        request.entry.delivered_ns = request.entry.delivered_ns or now_ns
        reply = host.server.request(request.path, request.body, now_ns)
        self.loop.fold(f"{request.body!r} {reply.status} {reply.body!r}")
        self.flush(host.name)
        if not write:
            host.reads.pop(key, None)  # what is asked often stays, and so ages with the rest
            host.reads[key] = reply
            if len(host.reads) > READS_KEPT:
                del host.reads[next(iter(host.reads))]
        elif host.has(Weather.WRITES_FAIL, now_ns):
            request.entry.fate = Weather.WRITES_FAIL
            return BAD_GATEWAY
        return reply

    def _error(self) -> Reply:
        return ERRORS[self._oracle.amount("net.request.5xx_status", 0, len(ERRORS) - 1)]

    def _spoil(self, fate: str, reply: Reply) -> Reply | None:
        if fate == Fate.RESET_AFTER:
            return None
        if fate == Fate.FAILED_AFTER:
            return self._error()
        if fate == Fate.GARBAGE:
            return Reply(reply.status, NONSENSE)
        if fate == Fate.TRUNCATED and reply.body:
            length = self._oracle.amount("net.request.truncated_at", 0, len(reply.body) - 1)
            return Reply(reply.status, reply.body[:length])
        return reply

    def _answer(self, request: _Request, reply: Reply | None) -> None:
        """None is a reset."""
        arrives_ns = self._arrives_ns(request.link)
        if reply is None:
            self.loop.at(arrives_ns, self._refuse, request.answer, request.link, "reset")
        else:
            self.loop.at(arrives_ns, self._reply_arrives, request, reply)

    def _reply_arrives(self, request: _Request, reply: Reply) -> None:
        link, entry = request.link, request.entry
        if link.host.has(Weather.PARTITION, self.loop.now_ns):
            entry.fate = Weather.PARTITION
            return
        if not self._is_awaited(request.answer, link):
            return
        self._announce(link.owner, request.path, request.body, Moment.ANSWER)
        if not self.loop.is_dead(link.owner):
            entry.answered_ns = self.loop.now_ns
            request.answer.set_result(reply)

    def _refuse(self, answer: asyncio.Future[Any], link: _Link, reason: str) -> None:
        if self._is_awaited(answer, link):
            answer.set_exception(TransportFailed(reason))

    def _is_awaited(self, answer: asyncio.Future[Any], link: _Link) -> bool:
        return not answer.done() and not self.loop.is_dead(link.owner)

    # Streams

    def _connect_leaves(self, link: _Link) -> asyncio.Future[SimStream]:
        self._judge_weather(link.host)
        answer: asyncio.Future[SimStream] = self.loop.create_future()
        refused = self._strikes(StreamFault.REFUSED)
        self.loop.at(self._arrives_ns(link), self._connect_arrives, link, answer, refused)
        return answer

    def _connect_arrives(
        self, link: _Link, answer: asyncio.Future[SimStream], refused: bool
    ) -> None:
        host, now_ns = link.host, self.loop.now_ns
        if host.has(Weather.PARTITION, now_ns):
            return
        back_ns = self._arrives_ns(link)
        if refused or host.is_down(now_ns):
            self.loop.at(back_ns, self._refuse, answer, link, "refused")
            return
        self._connections_made += 1
        connection = _Connection(link.owner, host, self._connections_made, back_ns)
        self._connections[connection.number] = connection
        self.loop.at(back_ns, self._connected, connection, answer)
        host.server.opened(connection.number)
        self.flush(host.name)

    def _connected(self, connection: _Connection, answer: asyncio.Future[SimStream]) -> None:
        if connection.host.has(Weather.PARTITION, self.loop.now_ns):
            self._half_open(connection)
        elif self._is_awaited(answer, connection):
            answer.set_result(SimStream(self, connection))
        else:
            self._client_closes(connection)

    def _frame_leaves(self, connection: _Connection, frame: bytes) -> None:
        if self._passes(connection):
            connection.sent_ns = max(self._arrives_ns(connection), connection.sent_ns + 1)
            self.loop.at(connection.sent_ns, self._frame_arrives, connection, frame)

    def _frame_arrives(self, connection: _Connection, frame: bytes) -> None:
        if not self._arrives(connection) or connection.number not in self._connections:
            return
        server = connection.host.server
        self.loop.fold(repr(frame))
        server.frame(connection.number, frame, self.loop.now_ns)
        answered = False
        for number, pushed in server.drain():
            if number == connection.number and not answered:
                answered = True
                if self._strikes(StreamFault.ACK_LOST):
                    continue
            self._push(number, pushed)

    def _push(self, number: int, frame: bytes) -> None:
        connection = self._connections.get(number)
        if connection is None or not self._passes(connection):
            return
        if self._strikes(StreamFault.RESET):
            self._reset(connection)
        elif self._strikes(StreamFault.HALF_OPEN):
            self._half_open(connection)
        elif not self._strikes(StreamFault.DROPPED):
            if self._strikes(StreamFault.GARBAGE):
                frame = NONSENSE
            if self._strikes(StreamFault.DELAYED):
                delay_ns = self._milliseconds(f"{StreamFault.DELAYED}.ms", 1_000, 20_000)
                connection.pushed_ns = max(connection.pushed_ns, self.loop.now_ns + delay_ns)
            for _ in range(1 + self._strikes(StreamFault.DUPLICATED)):
                self.loop.at(self._next_push_ns(connection), self._pushed, connection, frame)

    def _next_push_ns(self, connection: _Connection) -> int:
        connection.pushed_ns = max(self._arrives_ns(connection), connection.pushed_ns + 1)
        return connection.pushed_ns

    def _pushed(self, connection: _Connection, frame: bytes) -> None:
        lives = not connection.ended and not self.loop.is_dead(connection.owner)
        if self._arrives(connection) and lives:
            self.loop.fold(repr(frame))
            connection.inbox.put_nowait(frame)
            if self.on_push is not None:
                self.on_push(connection.owner, frame)

    def _passes(self, connection: _Connection) -> bool:
        """Whether a frame may set out now; the weather may end the connection instead."""
        host, now_ns = connection.host, self.loop.now_ns
        self._judge_weather(host)
        if connection.open and host.has(Weather.PARTITION, now_ns):
            self._half_open(connection)
        elif connection.open and host.is_down(now_ns):
            self._reset(connection)
        return connection.open

    def _arrives(self, connection: _Connection) -> bool:
        if connection.host.has(Weather.PARTITION, self.loop.now_ns):
            self._half_open(connection)
        return not connection.silent

    def _half_open(self, connection: _Connection) -> None:
        if not connection.silent:
            connection.open, connection.silent = False, True
            self.loop.at(self.loop.now_ns + GIVEN_UP_AFTER_NS, self._server_closes, connection)

    def _reset(self, connection: _Connection) -> None:
        connection.open = False
        # Not at once: the server may be in the middle of telling what it has to push.
        self.loop.at(self.loop.now_ns, self._server_closes, connection)
        self.loop.at(self._next_push_ns(connection), self._ended, connection)

    def _ended(self, connection: _Connection) -> None:
        if not connection.ended:
            connection.ended = True
            connection.inbox.put_nowait(None)

    def _client_closes(self, connection: _Connection) -> None:
        self._ended(connection)
        if connection.open:
            connection.open = False
            leaves_ns = max(self._arrives_ns(connection), connection.sent_ns + 1)
            self.loop.at(leaves_ns, self._server_closes, connection)

    def _server_closes(self, connection: _Connection) -> None:
        connection.open = False
        if self._connections.pop(connection.number, None) is not None:
            connection.host.server.closed(connection.number)
            self.flush(connection.host.name)

    def _owner_killed(self, owner: str) -> None:
        """Requests and frames on the road still arrive; the venue notices after a while."""
        for connection in self._connections.values():
            if connection.owner == owner:
                connection.open = False
                closes_ns = self.loop.now_ns + self._milliseconds("net.killed.ms", 0, 10_000)
                self.loop.at(closes_ns, self._server_closes, connection)


async def _in_time(answer: asyncio.Future[T], timeout_seconds: float) -> T:
    """What is answered. The timer is the client's own: a stopped process does not time out."""
    timer = answer.get_loop().call_later(timeout_seconds, _expire, answer)
    try:
        return await answer
    finally:
        timer.cancel()


def _expire(answer: asyncio.Future[Any]) -> None:
    if not answer.done():
        answer.set_exception(TransportFailed("no answer in time"))
