"""The in-process door: what the bot receives, and when the market is looked at closely."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import pairwise

import msgspec

from domain.account import AccountReport
from domain.instruments import Instrument, Pair
from domain.market import Book, FundingSettled, Level, MarketInput, RecordedFunding, Trade
from domain.orders import Fill, OrderAccepted, OrderRequest, Side, TimeInForce
from domain.rates import FundingRate
from domain.time import HOUR, MILLISECOND, MINUTE, SECOND
from execution.effects import PlaceOrder
from execution.events import Event
from execution.venues.simulated.exchange import Exchange
from execution.venues.simulated.gateway import Latency, NoStore, SimulatedVenue
from execution.venues.simulated.rules import VenueRules
from tests.unit.execution.venues.simulated.world import PERP, SPOT, START, events_of


def book(price: float, time_ns: int) -> Book:
    bid, ask = round(price - 0.01, 4), round(price + 0.01, 4)
    return Book(SPOT.id, (Level(bid, 1e6),), (Level(ask, 1e6),), time_ns, time_ns)


class Falling:
    """HYPE falls a dollar a minute from 100; between the minutes by a tenth every six seconds."""

    name, venue, synthetic = "falling", "simulated", True
    pairs: tuple[Pair, ...] = (Pair("HYPE", SPOT, PERP),)
    start_ns, cadence_ns = START, MINUTE
    end_ns: int | None = START + 10 * MINUTE

    def __init__(self) -> None:
        self.looked: list[tuple[int, int]] = []

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        return (SPOT, PERP)

    def history(self) -> Iterable[FundingSettled]:
        return ()

    def events(self, after_ns: int) -> Iterator[MarketInput]:
        times = (START + minute * MINUTE for minute in range(1, 11))
        return (book(price_at(time_ns), time_ns) for time_ns in times if time_ns > after_ns)

    def between(
        self, instruments: Collection[str], after_ns: int, before_ns: int
    ) -> Sequence[MarketInput]:
        assert instruments == {SPOT.id}
        self.looked.append((after_ns, before_ns))
        times = range(START, before_ns, 6 * SECOND)
        return [book(price_at(time_ns), time_ns) for time_ns in times if time_ns > after_ns]


def price_at(time_ns: int) -> float:
    return round(100 - (time_ns - START) / MINUTE, 4)


def venue(source: Falling) -> SimulatedVenue:
    exchange = Exchange(source.instruments, VenueRules(), {"USDC": Decimal(10_000)}, START)
    latency = Latency(request_ms=100, answer_ms=100, jitter_ms=0)
    return SimulatedVenue(exchange, source, latency, lambda: 0.0, NoStore(), START, START)


def buy(price: str) -> PlaceOrder:
    return PlaceOrder(
        OrderRequest(
            "0x1",
            SPOT.id,
            Side.BUY,
            Decimal(1),
            Decimal(price),
            TimeInForce.POST_ONLY,
            reduce_only=False,
            expires_ns=START + HOUR,
        )
    )


def play(at: SimulatedVenue, minutes: int) -> list[Event]:
    return list(at.until(START + minutes * MINUTE))


def test_nobody_looks_closely_while_no_order_rests() -> None:
    source = Falling()

    assert len(play(venue(source), 10)) == 10
    assert source.looked == []


def test_an_order_that_rests_is_filled_where_the_road_passes_it_not_where_it_jumped_to() -> None:
    source = Falling()
    at = venue(source)
    play(at, 1)
    at.submit([buy("97.5")])
    seen = play(at, 5)
    (fill,) = events_of(Fill, seen)
    last = [e for e in events_of(Book, seen) if e.venue_time_ns <= fill.venue_time_ns][-1]

    assert fill.price == Decimal("97.5")
    assert 0 <= Decimal("97.5") - Decimal(str(last.asks[0].price)) < Decimal("0.1")


def test_from_arrival_to_fill_the_market_comes_in_small_steps_and_then_in_its_own_again() -> None:
    source = Falling()
    at = venue(source)
    play(at, 1)
    at.submit([buy("97.5")])
    seen = play(at, 10)
    times = [event.venue_time_ns for event in events_of(Book, seen)]

    assert times == sorted(set(times))
    assert [a for a, _ in source.looked] == [
        START + MINUTE + 100 * MILLISECOND,
        START + 2 * MINUTE,
    ]
    gaps = [b - a for a, b in pairwise(times)]
    assert set(gaps[:19]) == {6 * SECOND}
    assert set(gaps[19:]) == {MINUTE}


def test_an_order_takes_its_way_there_and_every_answer_its_way_back() -> None:
    at = venue(Falling())
    play(at, 1)
    at.submit([buy("97.5")])
    heard = [e for e in play(at, 5) if isinstance(e, OrderAccepted | Fill | AccountReport)]

    assert heard[0].venue_time_ns == START + MINUTE + 100 * MILLISECOND
    assert {e.received_ns - e.venue_time_ns for e in heard} == {100 * MILLISECOND}
    assert {type(e) for e in heard} == {OrderAccepted, Fill, AccountReport}


class Printing(Falling):
    """The spot stands still; every minute somebody sells there under 99, before the book.

    Which instruments were looked at closely, and until when, is kept.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[set[str], int]] = []

    def events(self, after_ns: int) -> Iterator[MarketInput]:
        times = (START + minute * MINUTE for minute in range(1, 11))
        return (book(100.0, time_ns) for time_ns in times if time_ns > after_ns)

    def between(
        self, instruments: Collection[str], after_ns: int, before_ns: int
    ) -> Sequence[MarketInput]:
        self.asked.append((set(instruments), before_ns))
        quote = Book(
            PERP.id, (Level(99.9, 1e6),), (Level(100.1, 1e6),), after_ns + SECOND, after_ns + SECOND
        )
        return [quote, Trade(SPOT.id, 98.9, 1e9, Side.SELL, before_ns, before_ns)]


def test_a_print_that_only_the_closer_look_brings_fills_the_order_it_reaches() -> None:
    at = venue(Printing())
    play(at, 1)
    at.submit([buy("99.0")])
    (fill,) = events_of(Fill, play(at, 10))

    assert fill.venue_time_ns == START + 2 * MINUTE


def test_an_order_that_comes_during_a_closer_look_at_another_is_looked_at_too() -> None:
    source = Printing()
    at = venue(source)
    play(at, 1)
    at.submit([buy("98.0")])
    list(at.until(START + MINUTE + 30 * SECOND))
    short = msgspec.structs.replace(
        buy("101.0").request, cloid="0x2", instrument=PERP.id, side=Side.SELL
    )
    at.submit([PlaceOrder(short)])
    seen = play(at, 2)

    next_ns = START + 2 * MINUTE
    assert source.asked[:2] == [({SPOT.id}, next_ns), ({SPOT.id, PERP.id}, next_ns)]
    assert len(events_of(OrderAccepted, seen)) == 1
    times = [event.venue_time_ns for event in events_of(Book, seen)]
    assert times == sorted(set(times))


class Settling(Falling):
    """Books, a print and a funding rate at one instant."""

    def events(self, after_ns: int) -> Iterator[MarketInput]:
        now_ns = START + HOUR
        settle = RecordedFunding(PERP.id, FundingRate(1e-5, 1.0), now_ns, now_ns)
        inputs: list[MarketInput] = [
            book(100.0, START + MINUTE),
            book(100.0, now_ns),
            Trade(SPOT.id, 99.0, 5.0, Side.SELL, now_ns, now_ns),
            settle,
            book(98.5, now_ns),
        ]
        return (each for each in inputs if each.venue_time_ns > after_ns)

    def between(self, *_: object) -> tuple[()]:
        return ()


def accounts(events: Sequence[Event]) -> list[AccountReport]:
    return events_of(AccountReport, events)


def test_what_an_instant_did_to_the_account_is_told_in_one_message() -> None:
    at = venue(Settling())
    play(at, 1)
    at.submit([buy("99.0")])
    accepted = play(at, 59)
    told = play(at, 61)

    assert len(accounts(accepted)) == 1
    assert len(events_of(FundingSettled, told)) == 1
    (report,) = accounts(told)
    assert [fill.received_ns for fill in events_of(Fill, told)] == [report.received_ns]
