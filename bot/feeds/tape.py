"""Markets that somebody listens to, or once listened to, as sources for a simulated exchange."""

from collections import deque
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from domain.instruments import Instrument, Pair
from domain.market import Close, FundingSettled, MarketInput, RecordedFunding

Past = Sequence[FundingSettled | Close]


class Tape:
    """A market as it is being heard: it has no end, and what is not there yet comes later.

    ``past`` is what the venue told at the start of the time before it. A tape is read once:
    what was played is gone.
    """

    end_ns: int | None = None
    cadence_ns = 0

    def __init__(
        self, name: str, venue: str, pairs: tuple[Pair, ...], past: Past, start_ns: int
    ) -> None:
        self.name, self.venue, self.pairs = name, venue, pairs
        self.start_ns = self._last_ns = start_ns
        self.synthetic = False
        self._opened = False
        self._past = past
        self._waiting: deque[MarketInput] = deque()

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        return tuple(leg for pair in self.pairs for leg in (pair.spot, pair.perp))

    def history(self) -> Past:
        return self._past

    def put(self, inputs: Sequence[MarketInput]) -> None:
        """One message's: of one instant, later than any before it."""
        at_ns = self._last_ns = max(inputs[0].venue_time_ns, self._last_ns + 1)
        self._waiting.extend(replace(event, venue_time_ns=at_ns) for event in inputs)

    def missed(self, after_ns: int) -> list[MarketInput]:
        """Rates that settled between ``after_ns`` and the start, while nobody listened."""
        return [
            RecordedFunding(event.instrument, event.rate, event.venue_time_ns, self.start_ns)
            for event in self._past
            if isinstance(event, FundingSettled) and after_ns < event.venue_time_ns <= self.start_ns
        ]

    def begun(self) -> list[MarketInput]:
        """The newest rate of each perp, told again at the start: from it on rates are records."""
        newest = {e.instrument: e for e in self._past if isinstance(e, FundingSettled)}
        at_ns = self.start_ns
        return [RecordedFunding(name, e.rate, at_ns, at_ns) for name, e in newest.items()]

    def events(self, after_ns: int) -> Iterator[MarketInput]:
        if not self._opened:
            self._opened = True
            yield from self.missed(after_ns) if after_ns < self.start_ns else self.begun()
        while self._waiting:
            event = self._waiting.popleft()
            if event.venue_time_ns > after_ns:
                yield event

    def between(self, *_: object) -> tuple[()]:
        """Nothing: what happened in between was not heard."""
        return ()
