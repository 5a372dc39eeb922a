"""What goes wrong on the road and at the venue's front, as a file says. All of it is seeded.

A fault of requests (``drop``, ``delay``, ``error``, ``garbage``) is in force from ``after`` on,
``for`` so many seconds, meets each request with ``chance``, and at most ``count`` of them. A
fault of streams (``disconnect``, ``half_open``, ``garbage`` on ``/ws``) happens ``after``, and
again ``every`` so many seconds, at most ``count`` times, to all that are connected then.
"""

from collections.abc import Iterable
from random import Random
from typing import Annotated, Any, Literal

import msgspec

from domain.time import SECOND

Seconds = Annotated[float, msgspec.Meta(ge=0, le=10**9)]
_STREAMS = "/ws"
GARBAGE = b'{"status":"ok","response":{"type":'
"""What a broken proxy leaves of an answer."""


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"lasting": "for"}):
    """``type`` narrows it to one kind of action or question. ``accepted``: the request is carried
    out all the same, and only its answer is lost, or is an error of ``status``."""

    kind: Literal["drop", "delay", "error", "garbage", "disconnect", "half_open"]
    on: Literal["/info", "/exchange", "/ws"] = "/exchange"
    type: str | None = None
    after: Seconds = 0.0
    lasting: Seconds | None = None
    chance: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    count: Annotated[int, msgspec.Meta(ge=1)] | None = None
    every: Annotated[float, msgspec.Meta(gt=0)] | None = None
    seconds: Seconds = 0.0
    status: Annotated[int, msgspec.Meta(ge=400, le=599)] = 502
    accepted: bool = True

    def __post_init__(self) -> None:
        of_streams = self.kind in ("disconnect", "half_open")
        if of_streams != (self.on == _STREAMS) and self.kind != "garbage":
            where = "on /ws" if of_streams else "on /info or /exchange"
            raise ValueError(f"{self.kind} happens {where}")


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    fault: tuple[Fault, ...] = ()


def read_faults(toml: bytes) -> tuple[Fault, ...]:
    """The ``[[fault]]`` tables of a file.

    Raises:
        ValueError: when it says what cannot be.
    """
    return msgspec.toml.decode(toml, type=_File).fault


class Faults:
    """Which fault meets what; ``started_ns`` is what ``after`` counts from."""

    def __init__(self, faults: Iterable[Fault], seed: int, started_ns: int) -> None:
        every = [(fault, Random(seed + n)) for n, fault in enumerate(faults)]
        self._requests = [(f, chance) for f, chance in every if f.on != _STREAMS]
        self._streams = [fault for fault, _ in every if fault.on == _STREAMS]
        self._met: dict[int, int] = {}  # how often, by place in the list
        self._started_ns = started_ns

    def of_request(self, path: str, body: bytes, now_ns: int) -> Fault | None:
        """The first that meets this request."""
        elapsed = (now_ns - self._started_ns) / SECOND
        for place, (fault, chance) in enumerate(self._requests):
            until = None if fault.lasting is None else fault.after + fault.lasting
            if (
                fault.on == path
                and fault.after <= elapsed
                and (until is None or elapsed < until)
                and (fault.count is None or self._met.get(place, 0) < fault.count)
                and (fault.type is None or fault.type == _type(path, body))
                and chance.random() < fault.chance
            ):
                self._met[place] = self._met.get(place, 0) + 1
                return fault
        return None

    def of_streams(self, now_ns: int) -> list[Fault]:
        """Those whose time has come since it was last asked."""
        elapsed = (now_ns - self._started_ns) / SECOND
        due = []
        for place, fault in enumerate(self._streams, len(self._requests)):
            met = self._met.get(place, 0)
            once = fault.every is None and met > 0
            if once or (fault.count is not None and met >= fault.count):
                continue
            if elapsed >= fault.after + met * (fault.every or 0.0):
                self._met[place] = met + 1
                due.append(fault)
        return due


def _type(path: str, body: bytes) -> str | None:
    try:
        document: Any = msgspec.json.decode(body)
        asked = document["action"] if path == "/exchange" else document
        return str(asked["type"])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError):
        return None
