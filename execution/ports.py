"""The seams, as Protocols owned by their callers; chance is a plain ``Callable[[], float]``.

``Transport`` and ``Signer`` join with the first venue that has a wire.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

from execution.effects import VenueEffect
from execution.facts import Fact


class Clock(Protocol):
    def now_ns(self) -> int:
        """UTC nanoseconds; may step, so durations are never measured on it."""
        ...


class VenueGateway(Protocol):
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
