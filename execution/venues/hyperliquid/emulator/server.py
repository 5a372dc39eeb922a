"""The emulator behind real sockets, on the loopback interface only.

Thin: it carries bytes, lets the market play when its time has come, and knows the refusals
that come before a body is read.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from itertools import count

from aiohttp import WSMsgType, web

from domain.market import MarketInput
from execution.ports import Reply
from execution.venues.hyperliquid.emulator.emulator import Emulator
from execution.venues.hyperliquid.emulator.faults import GARBAGE, Fault, Faults
from execution.venues.hyperliquid.emulator.house import House
from execution.venues.hyperliquid.emulator.limits import Limits
from execution.venues.simulated.source import MarketSource

_HOST = "127.0.0.1"
_TICK_SECONDS = 0.05
_IDLE_SECONDS = 60.0
"""The venue closes a connection to which it has sent nothing for so long."""
_FRAMES_WAITING = 10_000
_SHUTDOWN_SECONDS = 1.0


class Tape:
    """A source's market as it comes, looked at more closely while an order rests."""

    def __init__(self, source: MarketSource, emulator: Emulator | House) -> None:
        self._source, self._emulator = source, emulator
        self._events = source.events(source.start_ns)
        self._ahead: deque[MarketInput] = deque()
        self._upcoming = next(self._events, None)
        self._closely_ns = self._played_ns = source.start_ns

    def play(self, now_ns: int) -> None:
        """Everything that has happened by now."""
        while (event := self._next()) is not None and event.venue_time_ns <= now_ns:
            self._upcoming = self._ahead.popleft() if self._ahead else next(self._events, None)
            self._played_ns = event.venue_time_ns
            self._emulator.play(event)

    def _next(self) -> MarketInput | None:
        event, resting = self._upcoming, self._emulator.resting
        if event is None or not resting or event.venue_time_ns <= self._closely_ns:
            return event
        self._closely_ns = event.venue_time_ns
        between = self._source.between(resting, self._played_ns, event.venue_time_ns)
        self._ahead.extend((*between, event))
        self._upcoming = self._ahead.popleft()
        return self._upcoming


class _Front:
    """What the sockets share. A connection that does not take its frames is closed."""

    def __init__(
        self,
        emulator: Emulator | House,
        now_ns: Callable[[], int],
        faults: Faults | None,
        limits: Limits | None,
    ) -> None:
        self._emulator, self._now_ns = emulator, now_ns
        self._faults, self._limits = faults, limits
        self._dead: set[int] = set()  # connections that are open and lead nowhere
        self._waiting: dict[int, asyncio.Queue[bytes | None]] = {}
        self._numbers = count(1)

    def application(self) -> web.Application:
        application = web.Application()
        for path in ("/info", "/exchange"):
            application.router.add_route("*", path, self._request)
        application.router.add_get("/ws", self._socket)
        return application

    async def play(self, tape: Tape) -> None:
        """Let time pass, for ever."""
        while True:
            now_ns = self._now_ns()
            tape.play(now_ns)
            self._emulator.advance(now_ns)
            self._deliver()
            if self._faults is not None:
                for fault in self._faults.of_streams(now_ns):
                    self._break(fault)
            await asyncio.sleep(_TICK_SECONDS)

    def _break(self, fault: Fault) -> None:
        """Do to every stream what the fault says."""
        for number, queue in self._waiting.items():
            if fault.kind == "disconnect":
                _end(queue)
            elif fault.kind == "half_open":
                self._dead.add(number)
            elif not queue.full():
                queue.put_nowait(GARBAGE)

    def hang_up(self) -> None:
        for queue in self._waiting.values():
            _end(queue)

    async def _request(self, request: web.Request) -> web.Response:
        if request.method != "POST":
            return web.Response(status=405)
        if request.content_type != "application/json":
            expected = "Expected request with `Content-Type: application/json`"
            return web.Response(status=415, text=expected)
        body, fault = await request.read(), None
        seconds = asyncio.get_running_loop().time()
        if self._limits is not None and not self._limits.takes(request.path, body, seconds):
            return web.Response(status=429)
        if self._faults is not None:
            fault = self._faults.of_request(request.path, body, self._now_ns())
        if fault is not None and fault.seconds:
            await asyncio.sleep(fault.seconds)
        if fault is None or fault.kind == "delay" or fault.accepted:
            reply = self._emulator.request(request.path, body, self._now_ns())
            self._deliver()
            if self._limits is not None:
                self._limits.answered(body, reply.body, seconds)
        else:
            reply = Reply(fault.status, b"")
        if fault is not None and fault.kind == "drop":
            assert request.transport is not None, "Invariant: a request came over something"
            request.transport.abort()
        elif fault is not None and fault.kind == "error":
            reply = Reply(fault.status, b"")
        elif fault is not None and fault.kind == "garbage":
            reply = Reply(200, GARBAGE)
        return web.Response(status=reply.status, body=reply.body, content_type="application/json")

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        number = next(self._numbers)
        if self._limits is None:
            return await self._converse(request, number)
        if not self._limits.opens(number, asyncio.get_running_loop().time()):
            return web.Response(status=429)
        try:
            return await self._converse(request, number)
        finally:
            self._limits.closed(number)

    async def _converse(self, request: web.Request, number: int) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        queue = self._waiting[number] = asyncio.Queue(_FRAMES_WAITING)
        self._emulator.opened(number)
        writer = asyncio.create_task(_write(socket, queue))
        try:
            async for message in socket:
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    data = message.data
                    self._heard(number, data.encode() if isinstance(data, str) else data)
        finally:
            self._emulator.closed(number)
            del self._waiting[number]
            self._dead.discard(number)
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writer
        return socket

    def _heard(self, number: int, frame: bytes) -> None:
        """A post beyond the limit has no answer: what the venue says instead is not known."""
        seconds = asyncio.get_running_loop().time()
        if self._limits is None or self._limits.frame(frame, seconds):
            self._emulator.frame(number, frame, self._now_ns())
            self._deliver()

    def _deliver(self) -> None:
        for connection, frame in self._emulator.drain():
            queue = self._waiting.get(connection)
            if queue is None or connection in self._dead:
                continue
            if queue.full():
                _end(queue)
            else:
                queue.put_nowait(frame)


def _end(queue: asyncio.Queue[bytes | None]) -> None:
    """Nothing more is sent, not even what waits."""
    while not queue.empty():
        queue.get_nowait()
    queue.put_nowait(None)


async def _write(socket: web.WebSocketResponse, queue: asyncio.Queue[bytes | None]) -> None:
    """Send what waits; close after silence, or when told to."""
    with contextlib.suppress(ConnectionError, TimeoutError):
        while True:
            async with asyncio.timeout(_IDLE_SECONDS):
                frame = await queue.get()
            if frame is None:
                break
            await socket.send_str(frame.decode())
    await socket.close()


@contextlib.asynccontextmanager
async def serve(
    emulator: Emulator | House,
    source: MarketSource,
    now_ns: Callable[[], int],
    port: int = 0,
    faults: Faults | None = None,
    limits: Limits | None = None,
) -> AsyncIterator[str]:
    """Serve until the context ends; yields the address (``http://127.0.0.1:…``).

    ``now_ns`` is the venue's clock: by it the market plays, nonces and expiries are judged, and
    ``faults`` happen. ``limits`` are kept on the clock of the loop; nothing is limited without.

    Raises:
        OSError: when the port is taken.
    """
    front = _Front(emulator, now_ns, faults, limits)
    runner = web.AppRunner(front.application(), shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        site = web.TCPSite(runner, _HOST, port)
        await site.start()
        async with asyncio.TaskGroup() as group:
            playing = group.create_task(front.play(Tape(source, emulator)))
            try:
                yield f"http://{_HOST}:{runner.addresses[0][1]}"
            finally:
                playing.cancel()
    finally:
        front.hang_up()
        await runner.cleanup()
