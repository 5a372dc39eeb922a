"""A market written by hand, and a strategy that does as it is told: honest fakes at two seams."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Self

import msgspec

from bot.run import Run
from bot.settings import Settings
from domain.instruments import FeeSchedule, Instrument, Kind, MarginTier, Pair
from domain.market import (
    Book,
    FundingSettled,
    Level,
    MarketInput,
    RecordedFunding,
    Reference,
    Trade,
)
from domain.money import ZERO
from domain.orders import Side
from domain.rates import FundingRate
from domain.targets import Action, ExitCause, Target
from domain.time import HOUR, MINUTE, SECOND
from execution.facts import Fact
from execution.risk.limits import RiskLimits
from strategies.market.state import Market
from strategies.strategy import Holding, Strategy

START = 1_735_689_600 * SECOND

SPOT = Instrument(
    "sim", "HYPE/USDC", Kind.SPOT, "HYPE", "USDC", Decimal("0.01"), 6, Decimal(10),
    FeeSchedule(Decimal("0.0004"), Decimal("0.0007"), buyer_pays_base=True), 5,
)  # fmt: skip
PERP = Instrument(
    "sim", "HYPE-PERP", Kind.PERP, "HYPE", "USDC", Decimal("0.01"), 4, Decimal(10),
    FeeSchedule(Decimal("0.00015"), Decimal("0.00045")), 5,
    (MarginTier(ZERO, 10),), 1,
)  # fmt: skip
PAIR = Pair("HYPE", SPOT, PERP)

Price = Callable[[int], float]
"""Mid of both legs, a number of steps after the start."""


class Scripted:
    """One pair whose mid follows ``price``; ``rate`` is charged every hour.

    Both legs quote ``mid`` plus and minus one part in ten thousand, with ``depth``
    base units a side. Before each book a print of each side goes through at the old
    touch, so that an order resting there is filled.
    """

    name = "scripted"
    venue = "sim"
    synthetic = True
    pairs: tuple[Pair, ...] = (PAIR,)
    start_ns = START

    def __init__(
        self,
        price: Price,
        hours: float,
        rate: float = 0.0001,
        step_ns: int = MINUTE,
        depth: float = 1e6,
    ) -> None:
        self.end_ns: int | None = START + int(hours * HOUR)
        self.cadence_ns = step_ns
        self._price, self._rate, self._depth = price, rate, depth

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        return (SPOT, PERP)

    def history(self) -> Iterable[FundingSettled]:
        for hours_ago in range(100, 0, -1):
            time_ns = START - hours_ago * HOUR
            yield FundingSettled(PERP.id, FundingRate(self._rate, 1), time_ns, time_ns)

    def between(self, *_: object) -> tuple[()]:
        return ()

    def events(self, after_ns: int) -> Iterator[MarketInput]:
        number = 1
        while True:
            time_ns = START + number * self.cadence_ns
            assert self.end_ns is not None
            if time_ns > self.end_ns:
                return
            if time_ns > after_ns:
                yield from self._step(number, time_ns)
            number += 1

    def _step(self, number: int, time_ns: int) -> Iterator[MarketInput]:
        before, mid = self._price(number - 1), self._price(number)
        for leg in (SPOT, PERP):
            bid, ask = quotes(leg, before)
            for side, price in ((Side.SELL, bid), (Side.BUY, ask)):
                yield Trade(leg.id, price, 10 * self._depth, side, time_ns, time_ns)
        for leg in (SPOT, PERP):
            bid, ask = quotes(leg, mid)
            yield Book(
                leg.id, (Level(bid, self._depth),), (Level(ask, self._depth),), time_ns, time_ns
            )
        yield Reference(PERP.id, mid, mid, time_ns, time_ns)
        if time_ns % HOUR == 0:
            yield RecordedFunding(PERP.id, FundingRate(self._rate, 1), time_ns, time_ns)


def quotes(leg: Instrument, mid: float) -> tuple[float, float]:
    """Bid and ask on the tick, one part in ten thousand away."""
    bid = leg.round_price(Decimal(repr(mid * 0.9999)), up=False)
    ask = leg.round_price(Decimal(repr(mid * 1.0001)), up=True)
    return float(bid), float(ask)


class Told:
    """Holds ``notional`` between two hours after the start, whatever the market does."""

    def __init__(self, notional: str = "4000", enter: float = 1.0, leave: float = 1e9) -> None:
        self._notional = Decimal(notional)
        self._from, self._to = START + int(enter * HOUR), START + int(leave * HOUR)

    def targets(
        self, market: Market, holdings: Mapping[str, Holding], equity: Decimal, now_ns: int
    ) -> tuple[Target, ...]:
        wanted = self._from <= now_ns < self._to
        held = "HYPE" in holdings
        action = (Action.HOLD if held else Action.ENTER) if wanted else (
            Action.EXIT if held else Action.WAIT
        )  # fmt: skip
        return (
            Target(
                "HYPE", action, self._notional if wanted else ZERO, "told: by the test",
                0.0001, 0.0, 100.0, 0.002, 0.008, 0.1, Decimal(10),
                exit_cause=ExitCause.THESIS_CHANGED if action is Action.EXIT else None,
            ),
        )  # fmt: skip


def settings(**sections: object) -> Settings:
    """Defaults, with room for a position as large as the test wants it."""
    roomy = RiskLimits(
        volatility_hourly_max=10.0,
        pair_exposure_max=Decimal(1),
        asset_exposure_max=Decimal(1),
        venue_exposure_max=Decimal(1),
        total_exposure_max=Decimal(1),
    )
    return msgspec.structs.replace(Settings(risk=roomy), **sections)


class World(Run):
    """A run over a scripted market, with the tests' words for it."""

    def __init__(
        self,
        source: Scripted,
        strategy: Strategy,
        state: Path | None = None,
        capital: str = "10000",
        seed: int = 1,
        chosen: Settings | None = None,
    ) -> None:
        super().__init__(
            source,
            strategy,
            chosen or settings(),
            mode="test",
            seed=seed,
            capital=Decimal(capital),
            state=state,
        )

    def run(self, hours: float) -> Self:
        """Until so many hours after the start of the market."""
        self.advance(START + int(hours * HOUR))
        return self

    def told(self, *kinds: type) -> list[Fact]:
        """The facts of these kinds, in order."""
        return [fact for fact in self.journal.read() if isinstance(fact, kinds)]
