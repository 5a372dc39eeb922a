"""The seams, as Protocols owned by their callers; chance is a plain ``Callable[[], float]``."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from execution.effects import VenueEffect
from execution.facts import Fact, RequestSigned


class Clock(Protocol):
    def now_ns(self) -> int:
        """UTC nanoseconds; may step, so durations are never measured on it."""
        ...


class Reply(msgspec.Struct, frozen=True):
    """A venue's HTTP answer, whatever its status."""

    status: int
    body: bytes


class TransportFailed(Exception):
    """No answer came: the request may or may not have arrived, the stream is of no use any more."""


class Stream(Protocol):
    """One connection's messages, in order. Lost messages are silent."""

    async def send(self, frame: bytes) -> None:
        """Raises ``TransportFailed`` when the connection is known to be gone."""
        ...

    async def receive(self) -> bytes:
        """The next message; waits for ever. Raises ``TransportFailed`` when the connection ends."""
        ...

    async def close(self) -> None: ...


class Transport(Protocol):
    """The wire to one venue. It never retries by itself."""

    async def request(self, path: str, body: bytes, timeout_seconds: float) -> Reply:
        """POST ``body`` once. Raises ``TransportFailed`` on anything but an answer in time."""
        ...

    async def connect(self, path: str, timeout_seconds: float) -> Stream:
        """Open a stream. Raises ``TransportFailed``."""
        ...


class Signer(Protocol):
    """Signs what is on its list of actions and nothing else; the key never leaves it."""

    @property
    def address(self) -> str:
        """The signing address, ``0x`` and 40 lower-case hex digits."""
        ...

    def sign(self, action: Mapping[str, Any], nonce: int, expires_ms: int | None) -> bytes:
        """The whole request body, ready to be sent and sent again.

        Raises:
            ActionRefused: the action is none that this bot may take.
        """
        ...


class VenueGateway(Protocol):
    def prepare(self, effects: Sequence[VenueEffect]) -> Sequence[RequestSigned]:
        """Sign what has to be signed. No I/O: the facts are committed before ``submit``."""
        ...

    def submit(self, effects: Sequence[VenueEffect]) -> None:
        """Start each effect and return at once; answers arrive as events in the inbox."""
        ...


class Journal(Protocol):
    def append(self, facts: Sequence[Fact]) -> None:
        """Durable when it returns, all or none; raises ``JournalError`` otherwise."""
        ...

    def read(self) -> Iterator[Fact]:
        """All facts in order, from the first."""
        ...

    def __len__(self) -> int: ...
