"""A Hyperliquid-compatible exchange on this machine: one account on a generated market."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from decimal import Decimal

from msgspec.structs import replace

from bot.instruments import load_pairs
from domain.instruments import Instrument, Pair
from domain.market import Book, FundingSettled, MarketInput, Reference
from domain.money import ZERO
from domain.time import DAY, SECOND
from execution.venues.hyperliquid.emulator.emulator import Emulator
from execution.venues.hyperliquid.emulator.faults import Fault, Faults
from execution.venues.hyperliquid.emulator.listing import PERP_WALLET, SETTLEMENT
from execution.venues.hyperliquid.emulator.server import serve
from execution.venues.hyperliquid.emulator.wallets import STANDARD, UNIFIED
from execution.venues.hyperliquid.symbols import VENUE
from execution.venues.simulated.exchange import Exchange
from execution.venues.simulated.generated import STEP_NS, GeneratedSource, generated_market
from execution.venues.simulated.rules import VenueRules

PAST_NS = DAY
"""So long the market has been going on when the exchange opens: there are candles of it."""


class Restated:
    """A generated market whose last quotes are told again while nothing happens, from ``since_ns``.

    The venue tells every book at least each five seconds, and its clients take a longer
    silence for a broken line; the generated market moves once a minute.
    """

    synthetic = True
    end_ns: int | None = None

    def __init__(self, source: GeneratedSource, cadence_ns: int, since_ns: int) -> None:
        self._source, self._since_ns = source, since_ns
        self.name, self.venue, self.pairs = source.name, source.venue, source.pairs
        self.start_ns, self.cadence_ns = source.start_ns, cadence_ns

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        return self._source.instruments

    def history(self) -> list[FundingSettled]:
        return self._source.history()

    def events(self, after_ns: int) -> Iterator[MarketInput]:
        quotes: dict[tuple[type, str], Book | Reference] = {}
        told_ns = after_ns
        for event in self._source.events(after_ns):
            told_ns = max(told_ns, self._since_ns)
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


def tradable() -> tuple[Pair, ...]:
    """What the emulated exchange lists: the pairs of Hyperliquid that may be traded."""
    return load_pairs(VENUE)


def emulate(
    *,
    account: str,
    deposits: Mapping[str, Decimal],
    agents: Sequence[str],
    unified: bool,
    seed: int,
    speed: float,
    clock: Callable[[], int],
    port: int,
    faults: Sequence[Fault] = (),
) -> AbstractAsyncContextManager[str]:
    """Serve until the context ends; yields the address. ``clock`` is the machine's, ns, UTC.

    ``deposits``: ``perp.USDC``, ``spot.USDC`` and ``spot.`` any token, to its amount. In a
    ``unified`` account the two are one balance.

    Raises:
        OSError: when the context is entered and the port is taken.
    """
    pace = Pace(clock(), speed)
    pairs = tradable()
    now_ns = clock()
    start_ns = now_ns - PAST_NS
    cadence_ns = int(max(speed, 1.0) * SECOND)
    source = Restated(generated_market(seed, start_ns, pairs), cadence_ns, now_ns - STEP_NS)
    amounts = _balances(deposits, SETTLEMENT if unified else PERP_WALLET)
    exchange = Exchange(source.instruments, VenueRules(), amounts, start_ns)
    emulator = Emulator(
        exchange,
        pairs,
        account,
        dict.fromkeys(agents),
        history=source.history(),
        mode=UNIFIED if unified else STANDARD,
        wall_ns=pace.wall_ns,
    )
    trouble = Faults(faults, seed, now_ns) if faults else None
    return serve(emulator, source, lambda: pace.venue_ns(clock()), port, trouble)


def _balances(deposits: Mapping[str, Decimal], perp_wallet: str) -> dict[str, Decimal]:
    """``deposits`` as balances of the exchange, of which ``perp_wallet`` backs perps."""
    amounts: dict[str, Decimal] = {}
    for holding, amount in deposits.items():
        side, _, asset = holding.partition(".")
        name = perp_wallet if side == "perp" else asset
        amounts[name] = amounts.get(name, ZERO) + amount
    return amounts
