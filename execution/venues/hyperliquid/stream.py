"""One WebSocket connection that comes back by itself, subscribed to the same things.

There are no sequence numbers, so that a gap is invisible: whatever is wrong with a
connection, it is given up as a whole and built again.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

import msgspec

from execution.ports import Stream, Transport, TransportFailed
from execution.venues.hyperliquid.timing import Timing
from execution.venues.hyperliquid.wire import (
    Acknowledgement,
    BadMessage,
    BookFrame,
    Frame,
    Subscription,
    decode,
    read_frame,
)

PATH = "/ws"
PING = b'{"method":"ping"}'


class Feed:
    """Keeps ``subscriptions`` alive for as long as ``run`` runs.

    ``on_data`` gets every frame of theirs and raises ``BadMessage`` where it cannot be
    believed, which ends the connection. ``on_ready`` is called whenever a new connection
    has acknowledged every subscription.
    """

    def __init__(
        self,
        transport: Transport,
        subscriptions: Sequence[Subscription],
        on_data: Callable[[Frame | BookFrame], None],
        on_ready: Callable[[], None],
        chance: Callable[[], float],
        timing: Timing,
    ) -> None:
        self._transport = transport
        self._subscriptions = subscriptions
        self._on_data = on_data
        self._on_ready = on_ready
        self._chance = chance
        self._timing = timing
        self.rejected = 0  # messages that could not be believed
        self.ended = 0  # connections, also those that were never made

    async def run(self) -> None:
        """Connect, and connect again; returns never."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            started = loop.time()
            try:
                await self._session()
            except TransportFailed:
                pass
            except BadMessage:
                self.rejected += 1
            self.ended += 1
            # One that broke soon after it was made is a failure like one that was never made.
            lasted = loop.time() - started >= self._timing.silence
            failures = 0 if lasted else failures + 1
            await asyncio.sleep(self._timing.backoff(failures, self._chance()))

    async def _session(self) -> None:
        timeout = self._timing.request_timeout
        stream = await self._transport.connect(PATH, timeout)
        try:
            await self._converse(stream)
        finally:
            with contextlib.suppress(TransportFailed, TimeoutError):
                async with asyncio.timeout(timeout):
                    await stream.close()

    async def _converse(self, stream: Stream) -> None:
        """Until something is wrong; what that is comes out as an exception."""
        timing, now = self._timing, asyncio.get_running_loop().time
        waiting = {_key(asked): None for asked in self._subscriptions}
        for asked in self._subscriptions:
            await self._send(stream, _subscribe(asked))
        ping_at, silent_at = now() + timing.ping, now() + timing.silence
        unanswered_at = now() + timing.acknowledgement
        while True:
            due = min(ping_at, silent_at, unanswered_at if waiting else silent_at)
            raw = await _receive(stream, due)
            if raw is not None:
                frame = read_frame(raw)
                if isinstance(frame, BookFrame):
                    silent_at = now() + timing.silence
                    self._on_data(frame)
                elif frame.channel == "subscriptionResponse":
                    self._acknowledged(frame, waiting)
                elif frame.channel == "error":
                    raise BadMessage(f"the venue says: {bytes(frame.data)[:200]!r}")
                elif frame.channel != "pong":
                    silent_at = now() + timing.silence
                    self._on_data(frame)
            if waiting and now() >= unanswered_at:
                raise TransportFailed(f"{len(waiting)} subscriptions were not acknowledged")
            if now() >= silent_at:
                raise TransportFailed(f"no data for {timing.silence:g} s")
            if now() >= ping_at:
                await self._send(stream, PING)
                ping_at = now() + timing.ping

    def _acknowledged(self, frame: Frame, waiting: dict[tuple[str, str, str], None]) -> None:
        expected = bool(waiting)
        waiting.pop(_key(decode(frame.data, Acknowledgement).subscription), None)
        if expected and not waiting:
            self._on_ready()

    async def _send(self, stream: Stream, message: bytes) -> None:
        try:
            async with asyncio.timeout(self._timing.request_timeout):
                await stream.send(message)
        except TimeoutError as error:
            raise TransportFailed("the connection takes nothing any more") from error


def _key(subscription: Subscription) -> tuple[str, str, str]:
    """What an acknowledgement is recognized by; the venue may write an address its own way."""
    return subscription.type, subscription.coin, subscription.user.lower()


def _subscribe(subscription: Subscription) -> bytes:
    fields = {k: v for k, v in msgspec.structs.asdict(subscription).items() if v}
    return msgspec.json.encode({"method": "subscribe", "subscription": fields})


async def _receive(stream: Stream, due: float) -> bytes | None:
    """The next message; None when there was none until ``due`` (time of the loop)."""
    try:
        async with asyncio.timeout_at(due):
            return await stream.receive()
    except TimeoutError:
        return None
