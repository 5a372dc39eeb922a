from decimal import Decimal
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from domain.instruments import FeeSchedule, Instrument, Kind
from domain.market import Level
from domain.money import decimal_of
from domain.orders import Side
from execution.venues.simulated.ladder import Ladder


def spot(*, figures: int | None = 5, decimals: int = 6, lot: str = "0.01") -> Instrument:
    return Instrument(
        venue="simulated",
        symbol="HYPE/USDC",
        kind=Kind.SPOT,
        base="HYPE",
        quote="USDC",
        lot=Decimal(lot),
        price_decimals=decimals,
        minimum_notional=Decimal(10),
        fees=FeeSchedule(Decimal("0.0004"), Decimal("0.0007")),
        significant_figures=figures,
    )


prices = st.floats(min_value=0.01, max_value=2e5)
half_spreads = st.floats(min_value=1e-6, max_value=0.02)


def valid(instrument: Instrument, price: float) -> bool:
    exact = decimal_of(price)
    return instrument.round_price(exact, up=True) == exact


@given(mid=prices, half_spread=half_spreads, depth=st.floats(min_value=1.0, max_value=1e6))
@example(mid=9.9999, half_spread=1e-4, depth=1e3)
@example(mid=1.0000001, half_spread=1e-6, depth=1e3)
@example(mid=99_999.9, half_spread=1e-5, depth=1e3)
def test_every_level_is_a_price_and_a_size_the_venue_takes(
    mid: float, half_spread: float, depth: float
) -> None:
    instrument = spot()
    book = Ladder(instrument).book(mid, half_spread, depth, 1)

    for level in (*book.bids, *book.asks):
        assert valid(instrument, level.price)
        assert level.size > 0
        assert decimal_of(level.size) % instrument.lot == 0


@given(mid=prices, half_spread=half_spreads)
def test_the_best_prices_are_the_nearest_valid_ones_outside_the_spread(
    mid: float, half_spread: float
) -> None:
    book = Ladder(instrument := spot()).book(mid, half_spread, 1e3, 1)
    bid, ask = decimal_of(book.bids[0].price), decimal_of(book.asks[0].price)
    reach = mid * (1 + 5 * half_spread)
    tick = max(instrument.tick(decimal_of(mid)), instrument.tick(decimal_of(reach * 1.001)))

    # A millionth of a tick is the tolerance of "on the tick".
    slack = tick * Decimal("0.00001")
    assert bid <= decimal_of(mid * (1 - half_spread)) + slack < bid + tick + 2 * slack
    assert ask >= decimal_of(mid * (1 + half_spread)) - slack > ask - tick - 2 * slack


@given(mid=prices, half_spread=half_spreads)
def test_bids_fall_asks_rise_and_the_book_never_crosses(mid: float, half_spread: float) -> None:
    def gaps(levels: tuple[Level, ...]) -> list[float]:
        return [b.price - a.price for a, b in pairwise(levels)]

    book = Ladder(spot()).book(mid, half_spread, 1e3, 1)

    assert book.bids[0].price < book.asks[0].price
    assert all(gap < 0 for gap in gaps(book.bids))
    assert all(gap > 0 for gap in gaps(book.asks))


def test_levels_stand_at_one_two_and_four_half_spreads_with_growing_size() -> None:
    book = Ladder(spot()).book(20.0, 0.001, 1000.0, 7)

    assert book.bids == (Level(19.98, 50.0), Level(19.959, 100.0), Level(19.917, 200.0))
    assert book.asks == (Level(20.02, 50.0), Level(20.041, 100.0), Level(20.083, 200.0))
    assert book.venue_time_ns == book.received_ns == 7


def test_a_spread_narrower_than_the_tick_becomes_one_tick_either_side() -> None:
    book = Ladder(spot(figures=None, decimals=1)).book(100.0, 1e-7, 1e3, 1)

    assert (book.bids[0].price, book.asks[0].price) == (99.9, 100.1)


def test_an_empty_book_still_shows_a_lot() -> None:
    assert Ladder(spot()).book(100.0, 0.001, 0.0, 1).bids[0].size == 0.01


@given(mid=prices, half_spread=half_spreads, before=prices, printed=prices)
@example(mid=5.0, half_spread=0.001, before=50.0, printed=9.9)
def test_what_was_quoted_before_does_not_show(
    mid: float, half_spread: float, before: float, printed: float
) -> None:
    used = Ladder(spot())
    used.book(before, 0.001, 1e3, 1)
    used.trade(printed, 1.0, Side.BUY, 1)

    assert used.book(mid, half_spread, 1e3, 1) == Ladder(spot()).book(mid, half_spread, 1e3, 1)


@given(price=prices)
def test_a_print_is_rounded_away_from_resting_orders(price: float) -> None:
    ladder = Ladder(instrument := spot())
    bought = ladder.trade(price, 1.0, Side.BUY, 1)
    sold = ladder.trade(price, 1.0, Side.SELL, 1)

    assert bought is not None
    assert sold is not None
    assert valid(instrument, bought.price)
    assert valid(instrument, sold.price)
    assert bought.price <= price * (1 + 1e-9)
    assert sold.price >= price * (1 - 1e-9)


def test_less_than_a_lot_does_not_print() -> None:
    ladder = Ladder(spot())

    assert ladder.trade(10.0, 0.0099, Side.BUY, 1) is None
    assert ladder.trade(10.0, 0.0199, Side.BUY, 1) == ladder.trade(10.0, 0.01, Side.BUY, 1)
