"""A small synthetic market to ask a strategy about: books a hundred deep, funding every hour."""

from collections.abc import Iterable
from decimal import Decimal

from domain.instruments import FeeSchedule, Instrument, Kind, MarginTier, Pair
from domain.market import Book, FundingSettled, Level, PerpContext, PublicEvent
from domain.rates import FundingRate
from domain.time import HOUR, MINUTE
from strategies.carry.costs import Resting
from strategies.market.state import Market

NOW = 486_000 * HOUR + 30 * MINUTE
FLOOR = 1.25e-5
"""Interest without premium, a fraction per hour."""
RESTING = Resting(patience_seconds=1800.0, reprice=0.0002)
"""As the execution's default settings have it."""


def pair(name: str, max_leverage: int = 20) -> Pair:
    spot = Instrument(
        venue="simulated",
        symbol=f"{name}/USDC",
        kind=Kind.SPOT,
        base=name,
        quote="USDC",
        lot=Decimal("0.01"),
        price_decimals=4,
        minimum_notional=Decimal(10),
        fees=FeeSchedule(Decimal("0.0004"), Decimal("0.0007"), buyer_pays_base=True),
    )
    perp = Instrument(
        venue="simulated",
        symbol=f"{name}-PERP",
        kind=Kind.PERP,
        base=name,
        quote="USDC",
        lot=Decimal("0.1"),
        price_decimals=4,
        minimum_notional=Decimal(10),
        fees=FeeSchedule(Decimal("0.00015"), Decimal("0.00045")),
        margin_tiers=(MarginTier(Decimal(0), max_leverage),),
        funding_interval_hours=1,
    )
    return Pair(name, spot, perp)


def book(
    instrument: Instrument,
    mid: float = 100.0,
    at_ns: int = NOW,
    *,
    size: float = 100.0,
    half_spread: float = 0.01,
) -> Book:
    """Ten levels a side, a tick apart, each of ``size``."""
    bids = tuple(Level(mid - half_spread - 0.01 * k, size) for k in range(10))
    asks = tuple(Level(mid + half_spread + 0.01 * k, size) for k in range(10))
    return Book(instrument.id, bids, asks, at_ns, at_ns)


def raw_book(
    instrument: Instrument, bids: Iterable[Level], asks: Iterable[Level], at_ns: int = NOW
) -> Book:
    return Book(instrument.id, tuple(bids), tuple(asks), at_ns, at_ns)


def context(
    perp: Instrument, hourly: float = FLOOR, price: float = 100.0, at_ns: int = NOW
) -> PerpContext:
    return PerpContext(perp.id, price, price, FundingRate(hourly, 1), at_ns, at_ns)


def settled(
    perp: Instrument, hourly: float, at_ns: int, interval_hours: float = 1
) -> FundingSettled:
    rate = FundingRate(hourly * interval_hours, interval_hours)
    return FundingSettled(perp.id, rate, at_ns, at_ns)


def history(one: Pair, hourly: float = FLOOR, hours: int = 1_000) -> list[PublicEvent]:
    """Settled funding, then two hours of quiet books: all that a decision needs."""
    last_ns = NOW // HOUR * HOUR
    events: list[PublicEvent] = [
        settled(one.perp, hourly, last_ns - k * HOUR) for k in reversed(range(hours))
    ]
    for minute in range(-120, 1, 5):
        at_ns = NOW + minute * MINUTE
        events += [book(one.spot, at_ns=at_ns), book(one.perp, at_ns=at_ns)]
        events.append(context(one.perp, hourly, at_ns=at_ns))
    return events


def market_of(*pairs: Pair, hourly: float = FLOOR, hours: int = 1_000) -> Market:
    market = Market(pairs)
    for one in pairs:
        observe(market, *history(one, hourly, hours))
    return market


def observe(market: Market, *events: PublicEvent) -> Market:
    for event in events:
        market.observe(event)
    return market
