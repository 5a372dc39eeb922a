"""An emulated exchange in memory, on time that is told: a market to listen to for hours at once."""

from decimal import Decimal
from pathlib import Path

import msgspec

from bot.emulation import Restated
from bot.feeds.heard import NOBODY, Heard, Tap, Writer
from bot.instruments import load_pairs
from domain.instruments import Pair
from domain.market import MarketInput
from domain.time import HOUR, MILLISECOND, SECOND
from execution.ports import Reply, Stream
from execution.venues.hyperliquid import watch
from execution.venues.hyperliquid.emulator.emulator import Emulator
from execution.venues.hyperliquid.timing import Timing
from execution.venues.hyperliquid.wire import Meta, SpotMeta
from execution.venues.simulated.exchange import Exchange
from execution.venues.simulated.generated import generated_market
from execution.venues.simulated.rules import VenueRules

START = 1_764_003_600 * SECOND  # a whole hour
ACCOUNT = "0x" + "1" * 40
CONNECTION = 1


class Emulated:
    """``execution.ports.Transport`` for questions; ``play`` lets the market go on."""

    def __init__(self, names: tuple[str, ...], seed: int = 1, past_ns: int = 12 * HOUR) -> None:
        self.pairs: tuple[Pair, ...] = load_pairs("hyperliquid", names)
        self.now_ns = START
        self.asked: list[bytes] = []
        source = generated_market(seed, START - past_ns, self.pairs)
        exchange = Exchange(
            source.instruments, VenueRules(), {"USDC": Decimal(10_000)}, source.start_ns
        )
        self.emulator = Emulator(exchange, self.pairs, ACCOUNT, {}, history=source.history())
        # Quotes are told again, as the venue does: what is a minute old is not traded on.
        self._events = Restated(source, 10 * SECOND, START).events(source.start_ns)
        self._next: MarketInput = next(self._events)
        self.play(START)

    def play(self, until_ns: int) -> list[tuple[int, bytes]]:
        """(when, frame) of everything that is told up to then."""
        told = []
        while self._next.venue_time_ns <= until_ns:
            self.now_ns = self._next.venue_time_ns
            self.emulator.play(self._next)
            told += [(self.now_ns, frame) for _, frame in self.emulator.drain()]
            self._next = next(self._events)
        self.now_ns = until_ns
        return told

    def subscribe(self) -> None:
        listing = watch.listed(*self._listed(), self.pairs)
        for market in listing.markets:
            for kind in ("l2Book", "trades", *(["activeAssetCtx"] * (market in listing.perps))):
                asked = {"type": kind, "coin": market.coin}
                frame = msgspec.json.encode({"method": "subscribe", "subscription": asked})
                self.emulator.frame(CONNECTION, frame, self.now_ns)

    def _listed(self) -> tuple[Meta, SpotMeta]:
        def answer(kind: str) -> bytes:
            body = msgspec.json.encode({"type": kind})
            return self.emulator.request("/info", body, self.now_ns).body

        return (
            msgspec.json.decode(answer("meta"), type=Meta),
            msgspec.json.decode(answer("spotMeta"), type=SpotMeta),
        )

    async def request(self, path: str, body: bytes, timeout_seconds: float) -> Reply:
        self.asked.append(body)
        return self.emulator.request(path, body, self.now_ns)

    async def connect(self, path: str, timeout_seconds: float) -> Stream:
        raise AssertionError("it asks, it listens to nothing")


class Ear:
    """``Clock`` of what is heard from an ``Emulated``."""

    def __init__(self, venue: Emulated) -> None:
        self._venue = venue

    def now_ns(self) -> int:
        return self._venue.now_ns


async def record_hours(folder: Path, names: tuple[str, ...], hours: int) -> None:
    """What `fundarb record` would have written of so many hours, word for word."""
    venue = Emulated(names)
    writer = Writer(folder)
    tap = Tap(venue, Ear(venue), writer.write)
    listing = await watch.load(tap, venue.pairs, Timing())
    await watch.history(tap, listing, venue.now_ns, Timing())
    venue.subscribe()
    told = [(venue.now_ns + 1, frame) for _, frame in venue.emulator.drain()]
    for hour in range(1, hours + 1):
        told += venue.play(START + hour * HOUR)
        for at_ns, frame in told:
            writer.write(Heard(at_ns, msgspec.Raw(NOBODY), msgspec.Raw(frame)))
        told = []
        venue.now_ns += 5 * SECOND
        for pair in venue.pairs:
            since_ms = (START + hour * HOUR) // MILLISECOND
            asked = {"type": "fundingHistory", "coin": pair.perp.base, "startTime": since_ms}
            await tap.request("/info", msgspec.json.encode(asked), 1.0)
    writer.close()
