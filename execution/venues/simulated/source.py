"""Where a simulated exchange's market comes from."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Protocol

from domain.instruments import Instrument, Pair
from domain.market import Close, FundingSettled, MarketInput


class MarketSource(Protocol):
    """Recorded history or a generated market: the same events every time it is asked.

    ``synthetic`` is shown wherever a result is shown. ``cadence_ns`` is how far apart
    its quotes may come while nothing is wrong: a bar, or a step. Without an ``end_ns`` a
    market goes on: where ``events`` ends, there is nothing more *yet*, and it is asked again.
    """

    name: str
    venue: str
    synthetic: bool
    pairs: tuple[Pair, ...]
    start_ns: int
    cadence_ns: int
    end_ns: int | None

    @property
    def instruments(self) -> tuple[Instrument, ...]: ...

    def history(self) -> Iterable[FundingSettled | Close]:
        """Published funding before ``start_ns`` (60 days where there are), in order; of a live
        market also closes, since nobody has seen its quotes of before."""
        ...

    def events(self, after_ns: int) -> Iterator[MarketInput]:
        """Every input with ``venue_time_ns > after_ns``, in order of that time.

        ``received_ns`` equals ``venue_time_ns`` here; feed latency is added by the venue.
        Prints may be left to ``between``: they matter to resting orders alone. Where rates are
        recorded the newest of each perp is told again at the start: from it on they are records.
        """
        ...

    def between(
        self, instruments: Collection[str], after_ns: int, before_ns: int
    ) -> Sequence[MarketInput]:
        """What ``instruments`` do on the way from one event to the next, in order of time:
        strictly between them, and at ``before_ns`` the prints that ``events`` leaves out.

        Asked for while an order rests in them, and only then. Nothing where the
        market is not known more finely than by its events.
        """
        ...
