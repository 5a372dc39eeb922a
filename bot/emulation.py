"""A Hyperliquid-compatible exchange on this machine, on a market that nobody moves."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from bot.instruments import load_pairs
from domain.instruments import Instrument, Pair
from domain.market import (
    Book,
    Delisted,
    FundingSettled,
    MarketInput,
    Reference,
)
from domain.money import ZERO
from domain.time import DAY, HOUR, MILLISECOND, SECOND
from execution.venues.hyperliquid.emulator.emulator import Emulator
from execution.venues.hyperliquid.emulator.faults import Fault, Faults
from execution.venues.hyperliquid.emulator.house import House
from execution.venues.hyperliquid.emulator.limits import Limits
from execution.venues.hyperliquid.emulator.listing import PERP_WALLET, SETTLEMENT
from execution.venues.hyperliquid.emulator.server import serve
from execution.venues.hyperliquid.emulator.wallets import STANDARD, UNIFIED
from execution.venues.hyperliquid.symbols import VENUE
from execution.venues.simulated.exchange import Exchange
from execution.venues.simulated.generated import STEP_NS, generated_market
from execution.venues.simulated.rules import VenueRules
from execution.venues.simulated.source import MarketSource

E = TypeVar("E", bound=MarketInput | FundingSettled)

AGENTS_NS = 180 * DAY
"""So long its agents are valid: they have names, as those of `fundarb account approve-agent`."""
PAST_NS = DAY
"""So long the market has been going on when the exchange opens: there are candles of it."""


class Shifted:
    """Recorded history as if it happened now: ``offset_ns`` (whole hours) later than it did."""

    def __init__(self, source: MarketSource, offset_ns: int) -> None:
        self._source, self._offset_ns = source, offset_ns
        self.name, self.venue, self.pairs = source.name, source.venue, source.pairs
        self.synthetic, self.cadence_ns = source.synthetic, source.cadence_ns
        self.start_ns = source.start_ns + offset_ns
        self.end_ns = None if source.end_ns is None else source.end_ns + offset_ns

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        return self._source.instruments

    def history(self) -> list[FundingSettled]:
        return [self._later(settled) for settled in _settled(self._source)]

    def events(self, after_ns: int) -> Iterator[MarketInput]:
        for event in self._source.events(after_ns - self._offset_ns):
            yield self._later(event)

    def between(
        self, instruments: Collection[str], after_ns: int, before_ns: int
    ) -> Sequence[MarketInput]:
        offset_ns = self._offset_ns
        events = self._source.between(instruments, after_ns - offset_ns, before_ns - offset_ns)
        return [self._later(event) for event in events]

    def _later(self, event: E) -> E:
        at_ns = event.venue_time_ns + self._offset_ns
        return replace(event, venue_time_ns=at_ns, received_ns=at_ns)


class Restated:
    """A market whose last quotes are told again while nothing happens, from ``since_ns``.

    The venue tells every book at least each five seconds, and its clients take a longer
    silence for a broken line; a market of minutes or bars moves less often. One that has come to
    its end stands still.
    """

    end_ns: int | None = None

    def __init__(self, source: MarketSource, cadence_ns: int, since_ns: int) -> None:
        self._source, self._since_ns = source, since_ns
        self.name, self.venue, self.pairs = source.name, source.venue, source.pairs
        self.synthetic, self.start_ns = source.synthetic, source.start_ns
        self.cadence_ns = cadence_ns

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        return self._source.instruments

    def history(self) -> list[FundingSettled]:
        return _settled(self._source)

    def events(self, after_ns: int) -> Iterator[MarketInput]:
        quotes: dict[tuple[type, str], Book | Reference] = {}
        told_ns = after_ns
        for event in self._source.events(after_ns):
            gone = isinstance(event, Delisted) or (isinstance(event, Book) and not event.bids)
            if gone:  # it stands still: its wire has no word for that
                continue
            told_ns = max(told_ns, self._since_ns)
            while quotes and told_ns + self.cadence_ns < event.venue_time_ns:
                told_ns += self.cadence_ns
                for quote in quotes.values():
                    yield replace(quote, venue_time_ns=told_ns, received_ns=told_ns)
            told_ns = event.venue_time_ns
            if isinstance(event, Book | Reference):
                quotes[type(event), event.instrument] = event
            yield event
        while quotes:
            told_ns += self.cadence_ns
            for quote in quotes.values():
                yield replace(quote, venue_time_ns=told_ns, received_ns=told_ns)

    def between(self, *_: object) -> tuple[()]:
        """Nothing: between two steps there is no price."""
        return ()


def _settled(source: MarketSource) -> list[FundingSettled]:
    """Of its past the rates: closes are told of by candles here."""
    return [event for event in source.history() if isinstance(event, FundingSettled)]


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


def recorded(directory: Path, now_ns: int) -> MarketSource:
    """What a directory has of the pairs that are listed, as if its first hour began now.

    Raises:
        DataError: there is nothing of any of them.
    """
    from bot.backtest.bars import DataError
    from bot.backtest.history import open_history

    names, missing = [], None
    for pair in tradable():
        try:
            open_history(directory, VENUE, [pair.name])
        except DataError as error:
            missing = error
        else:
            names.append(pair.name)
    if not names:
        raise missing or DataError(f"nothing of {VENUE} in {directory}")
    source = open_history(directory, VENUE, names)
    return Shifted(source, (now_ns - source.start_ns) // HOUR * HOUR)


class Account(NamedTuple):
    """``deposits``: ``perp.USDC``, ``spot.USDC`` and ``spot.`` any token, to its amount."""

    address: str
    deposits: Mapping[str, Decimal]
    agents: Sequence[str] = ()


def emulate(
    *,
    directory: Path | None = None,
    accounts: Sequence[Account],
    unified: bool,
    seed: int,
    speed: float,
    clock: Callable[[], int],
    port: int,
    faults: Sequence[Fault] = (),
    limited: bool = False,
) -> AbstractAsyncContextManager[str]:
    """Serve until the context ends; yields the address. ``clock`` is the machine's, ns, UTC.

    The market is generated, or replayed from ``directory``.

    In a ``unified`` account ``perp.USDC`` and ``spot.USDC`` are one balance. ``limited``: to what
    the venue takes from one address.

    Raises:
        DataError: the directory has nothing that could be replayed.
        OSError: when the context is entered and the port is taken.
    """
    now_ns = clock()
    pace = Pace(now_ns, speed)
    market: MarketSource = (
        generated_market(seed, now_ns - PAST_NS, tradable())
        if directory is None
        else recorded(directory, now_ns)
    )
    cadence_ns = int(max(speed, 1.0) * SECOND)
    source = Restated(market, cadence_ns, now_ns - STEP_NS)
    wallet = SETTLEMENT if unified else PERP_WALLET
    emulators = [
        Emulator(
            Exchange(
                source.instruments, VenueRules(), _balances(one.deposits, wallet), market.start_ns
            ),
            market.pairs,
            one.address,
            dict.fromkeys(one.agents, (now_ns + AGENTS_NS) // MILLISECOND),
            history=source.history(),
            mode=UNIFIED if unified else STANDARD,
            wall_ns=pace.wall_ns,
        )
        for one in accounts
    ]
    venue = House(emulators) if len(emulators) > 1 else emulators[0]
    trouble = Faults(faults, seed, now_ns) if faults else None
    limits = Limits() if limited else None
    return serve(venue, source, lambda: pace.venue_ns(clock()), port, trouble, limits)


def _balances(deposits: Mapping[str, Decimal], perp_wallet: str) -> dict[str, Decimal]:
    """``deposits`` as balances of the exchange, of which ``perp_wallet`` backs perps."""
    amounts: dict[str, Decimal] = {}
    for holding, amount in deposits.items():
        side, _, asset = holding.partition(".")
        name = perp_wallet if side == "perp" else asset
        amounts[name] = amounts.get(name, ZERO) + amount
    return amounts
