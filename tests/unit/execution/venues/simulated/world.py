"""A small simulated exchange to tell stories with: HYPE spot and perp, a synthetic market."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import starmap
from random import Random
from typing import TypeVar

from msgspec import UNSET

from domain.account import FundingPayment, MarginMode, PositionReport
from domain.instruments import FeeSchedule, Instrument, Kind, MarginTier
from domain.market import Book, Level, RecordedFunding, Reference, Trade
from domain.orders import Fill, OrderRequest, Side, TimeInForce
from domain.rates import FundingRate
from domain.time import HOUR, MINUTE, SECOND
from execution.venues.simulated.exchange import Exchange
from execution.venues.simulated.rules import VenueRules
from execution.venues.simulated.state import VenueEvent

START = 486_000 * HOUR  # a whole UTC hour
PERP = Instrument(
    venue="simulated",
    symbol="HYPE-PERP",
    kind=Kind.PERP,
    base="HYPE",
    quote="USDC",
    lot=Decimal("0.01"),
    price_decimals=4,
    minimum_notional=Decimal(10),
    fees=FeeSchedule(maker=Decimal("0.00015"), taker=Decimal("0.00045")),
    significant_figures=5,
    margin_tiers=(MarginTier(Decimal(0), 10), MarginTier(Decimal(3_000_000), 5)),
    funding_interval_hours=1,
)
SPOT = Instrument(
    venue="simulated",
    symbol="HYPE/USDC",
    kind=Kind.SPOT,
    base="HYPE",
    quote="USDC",
    lot=Decimal("0.01"),
    price_decimals=6,
    minimum_notional=Decimal(10),
    fees=FeeSchedule(maker=Decimal("0.0004"), taker=Decimal("0.0007"), buyer_pays_base=True),
    significant_figures=5,
)

Levels = Sequence[tuple[float, float]]


T = TypeVar("T")


def events_of(kind: type[T], events: Sequence[object]) -> list[T]:
    return [event for event in events if isinstance(event, kind)]


class World:
    """An exchange, its clock, and short words for what happens there."""

    def __init__(
        self,
        deposits: Mapping[str, str] | None = None,
        rules: VenueRules | None = None,
        perp: Instrument = PERP,
        spot: Instrument = SPOT,
        start_ns: int = START,
    ) -> None:
        self.rules = rules or VenueRules()
        self.perp, self.spot = perp, spot
        self.now_ns = start_ns
        amounts = {asset: Decimal(amount) for asset, amount in (deposits or {}).items()}
        self.exchange = Exchange(
            (perp, spot), self.rules, amounts or {"USDC": Decimal(10_000)}, start_ns
        )
        self.orders = 0
        self.mid = 30.0
        self.mode = MarginMode.ISOLATED

    def wait(self, nanoseconds: int = SECOND) -> None:
        self.now_ns += nanoseconds

    def book(
        self, bids: Levels, asks: Levels, instrument: Instrument | None = None
    ) -> list[VenueEvent]:
        name = (instrument or self.perp).id
        book = Book(
            name, (*starmap(Level, bids),), (*starmap(Level, asks),), self.now_ns, self.now_ns
        )
        return self.exchange.on_market(book)

    def flat_book(
        self, price: float, size: float = 1e6, instrument: Instrument | None = None
    ) -> None:
        """Both sides at one price: fills then have no spread."""
        self.book([(price, size)], [(price, size)], instrument)

    def trade(self, price: float, quantity: float, aggressor: Side) -> list[VenueEvent]:
        trade = Trade(self.perp.id, price, quantity, aggressor, self.now_ns, self.now_ns)
        return self.exchange.on_market(trade)

    def reference(self, mark: float, oracle: float | None = None) -> list[VenueEvent]:
        oracle = mark if oracle is None else oracle
        return self.exchange.on_market(
            Reference(self.perp.id, mark, oracle, self.now_ns, self.now_ns)
        )

    def recorded(self, rate: float) -> list[VenueEvent]:
        return self.exchange.on_market(
            RecordedFunding(self.perp.id, FundingRate(rate, 1.0), self.now_ns, self.now_ns)
        )

    def order(
        self,
        side: Side,
        quantity: str,
        price: str,
        *,
        tif: TimeInForce = TimeInForce.IOC,
        reduce_only: bool = False,
        instrument: Instrument | None = None,
        cloid: str | None = None,
        expires_in: int = 10 * SECOND,
        trigger: str | None = None,
    ) -> list[VenueEvent]:
        self.orders += 1
        request = OrderRequest(
            cloid=cloid or f"order-{self.orders}",
            instrument=(instrument or self.perp).id,
            side=side,
            quantity=Decimal(quantity),
            price=Decimal(price),
            time_in_force=tif,
            reduce_only=reduce_only,
            expires_ns=self.now_ns + expires_in,
            trigger_price=UNSET if trigger is None else Decimal(trigger),
        )
        return self.exchange.place(request, self.now_ns)

    def leverage(self, leverage: int) -> list[VenueEvent]:
        return self.exchange.set_leverage("set", self.perp.id, leverage, self.now_ns, self.mode)

    def margin(self, amount: str) -> list[VenueEvent]:
        return self.exchange.move_margin("move", self.perp.id, Decimal(amount), self.now_ns)

    def total(self, asset: str = "USDC") -> Decimal:
        report = self.exchange.account_report(None, self.now_ns)
        return next((b.total for b in report.balances if b.asset == asset), Decimal(0))

    def free(self, asset: str = "USDC") -> Decimal:
        return self.exchange.account_report(None, self.now_ns).free(asset)

    def position(self) -> PositionReport:
        report = self.exchange.account_report(None, self.now_ns).position(self.perp.id)
        assert report is not None, "the story needs an open position here"
        return report

    def is_flat(self) -> bool:
        return self.exchange.account_report(None, self.now_ns).position(self.perp.id) is None

    def fills(self) -> list[Fill]:
        return events_of(Fill, self.exchange.private_since(0))

    def payments(self) -> list[FundingPayment]:
        return events_of(FundingPayment, self.exchange.private_since(0))


def live_a_minute(world: World, draw: Random) -> list[VenueEvent]:
    """A few minutes of a busy, synthetic market at most, and of somebody trading in it."""
    world.wait(draw.choice((SECOND, MINUTE, 20 * MINUTE)))
    jump = draw.choice((0.002, 0.002, 0.01, 0.15))
    world.mid = _cents(min(max(world.mid * (1 + draw.uniform(-jump, jump)), 5.0), 200.0))
    events: list[VenueEvent] = []
    for instrument in (world.perp, world.spot):
        bids, asks = (
            [(_cents(world.mid, sign * k), _size(draw, 30)) for k in range(1, 5)]
            for sign in (-1, 1)
        )
        events += world.book(bids, asks, instrument)
    events += world.reference(world.mid, _cents(world.mid * draw.uniform(0.997, 1.003)))
    events += world.trade(
        _cents(world.mid, draw.randint(-3, 3)), _size(draw, 20), draw.choice(list(Side))
    )
    for _ in range(2):
        events += world.order(
            draw.choice(list(Side)),
            str(_size(draw, 60)),
            str(_cents(world.mid, draw.randint(-6, 6))),
            tif=draw.choice(list(TimeInForce)),
            reduce_only=draw.random() < 0.2,
            instrument=draw.choice((world.perp, world.spot)),
        )
    side = draw.choice(list(Side))
    stop = str(_cents(world.mid, side.sign * draw.randint(1, 40)))
    events += world.order(side, str(_size(draw, 60)), stop, reduce_only=True, trigger=stop)
    return events + _settings(world, draw)


def _settings(world: World, draw: Random) -> list[VenueEvent]:
    what = draw.random()
    if what < 0.1:
        return world.margin(str(draw.randrange(-300, 300)))
    if what < 0.2:
        return world.leverage(draw.randint(1, 10))
    if what < 0.5:
        return world.exchange.cancel(f"order-{draw.randint(1, world.orders)}", world.now_ns)
    if what < 0.52:
        return world.recorded(draw.randint(-400, 400) / 1e6)
    return []


def _cents(price: float, offset: int = 0) -> float:
    return (round(price * 100) + offset) / 100


def _size(draw: Random, largest: int) -> float:
    return draw.randrange(1, largest * 100) / 100
