"""What a venue said, word for word, on the wire and on disk.

A recording is a directory of ``*.jsonl.gz``, an hour or less each, a line a message:
``{"at":…,"asked":…,"said":…}``. ``at`` is the receipt (ns, UTC), ``said`` the venue's own JSON,
``asked`` the question it answers, null for what came over a stream. A file ends where the
process did: what the last write cut off is left out when it is read.
"""

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from domain.time import HOUR, MINUTE, iso
from execution.ports import Clock, Reply, Stream, Transport

SUFFIX = ".jsonl.gz"
_FLUSH_NS = MINUTE // 6


NOBODY = b"null"


class Heard(msgspec.Struct, frozen=True):
    """One message; ``asked`` is ``null`` where it came over a stream, unasked."""

    at: int
    asked: msgspec.Raw
    said: msgspec.Raw

    @property
    def unasked(self) -> bool:
        return bytes(self.asked) == NOBODY


class Tap:
    """A transport that passes on, and has ``on_heard`` told, whatever is answered and streamed."""

    def __init__(
        self, transport: Transport, clock: Clock, on_heard: Callable[[Heard], None]
    ) -> None:
        self._transport, self._clock, self._on_heard = transport, clock, on_heard

    async def request(self, path: str, body: bytes, timeout_seconds: float) -> Reply:
        reply = await self._transport.request(path, body, timeout_seconds)
        if reply.status == 200:
            asked, said = msgspec.Raw(body), msgspec.Raw(reply.body)
            self._on_heard(Heard(self._clock.now_ns(), asked, said))
        return reply

    async def connect(self, path: str, timeout_seconds: float) -> "TappedStream":
        stream = await self._transport.connect(path, timeout_seconds)
        return TappedStream(stream, self._clock, self._on_heard)


class TappedStream:
    def __init__(self, stream: Stream, clock: Clock, on_heard: Callable[[Heard], None]) -> None:
        self._stream, self._clock, self._on_heard = stream, clock, on_heard

    async def send(self, frame: bytes) -> None:
        await self._stream.send(frame)

    async def receive(self) -> bytes:
        frame = await self._stream.receive()
        self._on_heard(Heard(self._clock.now_ns(), msgspec.Raw(NOBODY), msgspec.Raw(frame)))
        return frame

    async def close(self) -> None:
        await self._stream.close()


class Writer:
    """Files of an hour. What is no JSON is left out: a line has to stay one."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._file: gzip.GzipFile | None = None
        self._hour = self._flushed_ns = 0
        self.lines = self.bytes = 0

    def write(self, heard: Heard) -> None:
        if self._file is None or heard.at // HOUR != self._hour:
            self.close()
            name = iso(heard.at).replace(":", "").replace(".", "")
            self._file = gzip.GzipFile(self._directory / f"{name}{SUFFIX}", "xb", 6)
            self._hour, self._flushed_ns = heard.at // HOUR, heard.at
        try:
            line = msgspec.json.encode(heard)
            msgspec.json.decode(line)
        except msgspec.DecodeError:
            return
        self._file.write(line.replace(b"\n", b" ") + b"\n")
        self.lines += 1
        self.bytes += len(line)
        if heard.at - self._flushed_ns > _FLUSH_NS:
            self._flushed_ns = heard.at
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def recording(directory: Path) -> list[Path]:
    """The files of a recording, oldest first; empty where the directory holds none."""
    return sorted(directory.glob(f"*{SUFFIX}"))


def read(files: Iterable[Path]) -> Iterator[Heard]:
    """Every whole line of these files, in order."""
    decode = msgspec.json.Decoder(Heard).decode
    for path in files:
        # The last line of a file may be cut off, and the file itself with it.
        cut_off = suppress(EOFError, zlib.error, gzip.BadGzipFile, msgspec.DecodeError)
        with gzip.GzipFile(path) as file, cut_off:
            for line in file:
                yield decode(line)
