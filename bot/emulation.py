"""A Hyperliquid-compatible exchange on this machine: one account on a generated market."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from decimal import Decimal

from msgspec.structs import replace

from bot.instruments import load_pairs
from domain.instruments import Instrument, Pair
from domain.market import Book, FundingSettled, MarketInput, Reference, Trade
from domain.time import DAY, SECOND
from execution.venues.hyperliquid.emulator.emulator import Emulator
from execution.venues.hyperliquid.emulator.server import serve
from execution.venues.hyperliquid.symbols import VENUE
from execution.venues.simulated.exchange import Exchange
from execution.venues.simulated.generated import STEP_NS, GeneratedSource, generated_market
from execution.venues.simulated.rules import VenueRules

PAST_NS = 7 * DAY
"""How long the market has been open when the exchange opens: so far back there are candles."""


class Restated:
    """A generated market whose last quotes are told again while nothing happens.

    The venue tells every book at least each five seconds, and its clients take a longer
    silence for a broken line; the generated market moves once a minute.
    """

    synthetic = True
    end_ns: int | None = None

    def __init__(self, source: GeneratedSource, start_ns: int, cadence_ns: int) -> None:
        self._source = source
        self.name, self.venue, self.pairs = source.name, source.venue, source.pairs
        self.start_ns, self.cadence_ns = start_ns, cadence_ns

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        return self._source.instruments

    def history(self) -> list[FundingSettled]:
        return self._source.history()

    def events(self, after_ns: int) -> Iterator[MarketInput]:
        quotes: dict[tuple[type, str], Book | Reference] = {}
        told_ns = after_ns
        for event in self._source.events(after_ns):
            while quotes and told_ns + self.cadence_ns < event.venue_time_ns:
                told_ns += self.cadence_ns
                for quote in quotes.values():
                    yield replace(quote, venue_time_ns=told_ns, received_ns=told_ns)
            told_ns = event.venue_time_ns
            if isinstance(event, Book | Reference):
                quotes[type(event), event.instrument] = event
            yield event

    def between(self, *_: object) -> tuple[()]:
        """Nothing: between two steps there is no price."""
        return ()


class Pace:
    """The exchange's clock: the machine's at ``start_ns``, from there ``speed`` times as fast."""

    def __init__(self, start_ns: int, speed: float) -> None:
        self._start_ns, self._speed = start_ns, speed

    def venue_ns(self, wall_ns: int) -> int:
        return self._start_ns + int((wall_ns - self._start_ns) * self._speed)

    def wall_ns(self, venue_ns: int) -> int:
        return self._start_ns + int((venue_ns - self._start_ns) / self._speed)


def past(market: GeneratedSource, until_ns: int) -> tuple[list[Trade], list[FundingSettled]]:
    """What was traded, and at what rates funding settled, from the market's start to ``until_ns``.

    Both are what the exchange's candles and funding history then tell of.
    """
    prints: list[Trade] = []
    exchange = Exchange(market.instruments, VenueRules(), {}, market.start_ns)
    for event in market.events(market.start_ns):
        if event.venue_time_ns > until_ns:
            break
        exchange.on_market(event)
        if isinstance(event, Trade):
            prints.append(event)
    return prints, exchange.funding_published()


def tradable() -> tuple[Pair, ...]:
    """What the emulated exchange lists: the pairs of Hyperliquid that may be traded."""
    return load_pairs(VENUE)


def emulate(
    *,
    account: str,
    deposits: Mapping[str, Decimal],
    agents: Sequence[str],
    seed: int,
    speed: float,
    clock: Callable[[], int],
    port: int,
) -> AbstractAsyncContextManager[str]:
    """Serve until the context ends; yields the address. ``clock`` is the machine's, ns, UTC.

    Raises:
        OSError: when the context is entered and the port is taken.
    """
    pace = Pace(clock(), speed)
    pairs = tradable()
    # A step before now: the market's first quotes are there when the first question is.
    start_ns = clock() - STEP_NS
    market = generated_market(seed, start_ns - PAST_NS, pairs)
    prints, rates = past(market, start_ns)
    source = Restated(market, start_ns, cadence_ns=int(max(speed, 1.0) * SECOND))
    exchange = Exchange(source.instruments, VenueRules(), deposits, start_ns)
    emulator = Emulator(
        exchange,
        pairs,
        account,
        dict.fromkeys(agents),
        history=[*source.history(), *rates],
        prints=prints,
        wall_ns=pace.wall_ns,
    )
    return serve(emulator, source, lambda: pace.venue_ns(clock()), port)
