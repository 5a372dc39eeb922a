from collections import defaultdict
from functools import cache
from itertools import islice, pairwise, takewhile
from math import fsum, log, sqrt

import pytest

from bot.instruments import load_pairs
from domain.market import Book, MarketInput, Reference, Trade
from domain.time import DAY, HOUR, MINUTE
from execution.venues.simulated.funding import funding_rate, impact_price
from execution.venues.simulated.generated import GeneratedSource, generated_market
from execution.venues.simulated.rules import VenueRules
from execution.venues.simulated.source import MarketSource

START = 20_000 * DAY + 7 * MINUTE
INTEREST = 1.25e-5
HIGH = 5e-5  # per hour: 44 % a year


def market(seed: int = 1, *names: str) -> GeneratedSource:
    return generated_market(seed, START, load_pairs("simulated", names or None))


@cache
def a_day() -> tuple[MarketInput, ...]:
    source = market(1)
    return tuple(takewhile(lambda event: event.venue_time_ns <= START + DAY, source.events(START)))


@cache
def rates(seed: int) -> dict[str, list[float]]:
    found = defaultdict(list)
    for settled in market(seed).history():
        found[settled.instrument].append(settled.rate.per_interval)
    return dict(found)


def premium(book: Book, oracle: float) -> float:
    bid, ask = impact_price(book.bids, 6_000.0), impact_price(book.asks, 6_000.0)
    assert bid is not None
    assert ask is not None
    return (max(bid - oracle, 0.0) - max(oracle - ask, 0.0)) / oracle


def references(name: str) -> list[Reference]:
    return [e for e in a_day() if isinstance(e, Reference) and e.instrument == name]


def test_it_is_a_market_source_and_says_that_it_is_synthetic() -> None:
    source: MarketSource = market(7)

    assert (source.name, source.venue, source.synthetic) == ("generated:7", "simulated", True)
    assert len(source.instruments) == 12
    assert source.end_ns is None


def test_the_same_seed_gives_the_same_market() -> None:
    assert list(islice(market(3).events(START), 3000)) == list(
        islice(market(3).events(START), 3000)
    )
    assert market(3).history() == market(3).history()


def test_another_seed_gives_another_market() -> None:
    assert list(islice(market(3).events(START), 100)) != list(islice(market(4).events(START), 100))
    assert market(3).history() != market(4).history()


def test_a_market_resumed_is_the_market_that_went_on() -> None:
    source = market(5, "HYPE", "BTC")
    later = START + 90 * MINUTE
    whole = [e for e in islice(source.events(START), 4000) if e.venue_time_ns > later]

    assert list(islice(source.events(later), len(whole))) == whole


def test_events_are_in_order_of_time_from_just_after_the_start() -> None:
    times = [event.venue_time_ns for event in a_day()]

    assert times[0] == START + MINUTE
    assert times == sorted(times)
    assert all(event.received_ns == event.venue_time_ns for event in a_day())


def test_each_step_shows_every_book_and_every_reference_once() -> None:
    step = [event for event in a_day() if event.venue_time_ns == START + 60 * MINUTE]
    books = [event.instrument for event in step if isinstance(event, Book)]

    assert sorted(books) == sorted(leg.id for leg in market().instruments)
    assert len([event for event in step if isinstance(event, Reference)]) == 6
    assert len([event for event in step if isinstance(event, Trade)]) <= 24


def test_prices_and_sizes_are_positive_and_books_do_not_cross() -> None:
    for event in a_day():
        if isinstance(event, Book):
            bids, asks = event.bids, event.asks
            assert 0 < bids[2].price < bids[0].price < asks[0].price < asks[2].price
            assert min(level.size for level in (*bids, *asks)) > 0
        elif isinstance(event, Reference):
            assert min(event.mark, event.oracle) > 0


def test_prints_touch_the_book_of_their_instant() -> None:
    printed: dict[str, set[float]] = defaultdict(set)
    for event in islice(a_day(), 5000):
        if isinstance(event, Trade):
            printed[event.instrument].add(event.price)
        elif isinstance(event, Book):
            touch = {event.bids[0].price, event.asks[0].price}
            assert printed.pop(event.instrument, set()) <= touch


def test_history_is_the_sixty_days_of_hours_before_the_start() -> None:
    times = [s.venue_time_ns for s in market(1, "BTC").history()]

    assert len(times) == 60 * 24
    assert times[-1] == START // HOUR * HOUR <= START
    assert all(b - a == HOUR for a, b in pairwise(times))


@pytest.mark.parametrize("seed", range(6))
def test_some_symbol_pays_a_high_carry_in_nearly_every_hour(seed: int) -> None:
    by_hour = list(zip(*rates(seed).values(), strict=True))[24:]
    without = [i for i, hour in enumerate(by_hour) if max(hour) < HIGH]

    assert len(without) <= len(by_hour) * 0.01


def test_funding_is_distributed_as_on_the_real_venue() -> None:
    everything = [rate for seed in range(12) for hourly in rates(seed).values() for rate in hourly]
    # Negative spells last days: one symbol of a few seeds is too small a sample of them.
    assert 0.005 <= sum(rate < 0 for rate in everything) / len(everything) <= 0.15
    for name in rates(0):
        all_rates = sorted(rate for seed in range(12) for rate in rates(seed)[name])
        count = len(all_rates)
        alone = sum(abs(rate - INTEREST) < 1e-9 for rate in all_rates) / count
        high = sum(rate > HIGH for rate in all_rates) / count

        assert 0.5 <= alone <= 0.8, name
        assert 0.1 <= high <= 0.35, name
        assert 1.2e-4 <= all_rates[count * 99 // 100] <= 8e-4, name


def test_a_high_carry_lasts_days_and_ends_within_weeks() -> None:
    spells = []
    for seed in range(6):
        for hourly in rates(seed).values():
            days = [fsum(hourly[i : i + 24]) / 24 > 4e-5 for i in range(0, len(hourly), 24)]
            ends = [i for i in range(1, len(days)) if days[i - 1] and not days[i]]
            spells += [end - max(i for i in range(-1, end) if i < 0 or not days[i]) for end in ends]

    assert 2 <= fsum(spells) / len(spells) <= 9
    assert len(spells) > 6 * 6  # more than one a symbol and seed, in sixty days


@pytest.mark.parametrize(("symbol", "low", "high"), [("BTC", 0.003, 0.008), ("PURR", 0.010, 0.03)])
def test_hourly_returns_deviate_as_measured(symbol: str, low: float, high: float) -> None:
    prices = [r.oracle for r in references(f"simulated:{symbol}-PERP")][::60]
    squares = [log(b / a) ** 2 for a, b in pairwise(prices)]

    assert low <= sqrt(fsum(squares) / len(squares)) <= high


def test_the_exchange_reads_off_the_books_the_premium_that_history_paid_for() -> None:
    seen: dict[str, list[float]] = defaultdict(list)
    books: dict[str, Book] = {}
    for event in a_day():
        if isinstance(event, Book):
            books[event.instrument] = event
        elif isinstance(event, Reference) and event.venue_time_ns <= START + 6 * HOUR:
            seen[event.instrument].append(premium(books[event.instrument], event.oracle))

    for name, hourly in rates(1).items():
        mean = fsum(seen[name]) / len(seen[name])
        live = funding_rate(mean, 1, VenueRules()).per_interval
        # Six hours on, the premium is half-way between where history left it and its regime.
        assert abs(live - hourly[-1]) < 1.2e-4, name


def test_spread_widens_and_depth_thins_together() -> None:
    books = [e for e in a_day() if isinstance(e, Book) and e.instrument == "simulated:PURR-PERP"]

    def spread(book: Book) -> float:
        return book.asks[0].price / book.bids[0].price - 1

    def depth(book: Book) -> float:
        return book.bids[0].price * book.bids[0].size

    books.sort(key=spread)
    calm, wild = books[: len(books) // 4], books[-len(books) // 4 :]
    assert fsum(map(spread, wild)) > 1.25 * fsum(map(spread, calm))
    assert fsum(map(depth, wild)) < 0.8 * fsum(map(depth, calm))


def test_a_pair_without_figures_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no generated market for LINK; there are BTC"):
        generated_market(1, START, load_pairs("binance", ["LINK"]))


def test_a_market_needs_a_pair() -> None:
    with pytest.raises(ValueError, match="at least one pair"):
        generated_market(1, START, [])
