"""Events folded into what is known now: what is taken, what is refused, what it adds up to."""

import random
from math import inf, nan, sqrt

import pytest

from domain.market import Book, Close, FundingSettled, Level, PerpContext
from domain.rates import FundingRate
from domain.time import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from strategies.market.basis import UsualBasis
from strategies.market.state import InstrumentState, Market, Traded, walk
from tests.unit.strategies.world import NOW, book, context, observe, pair, raw_book, settled

HYPE = pair("HYPE")
SPOT, PERP = HYPE.spot, HYPE.perp
GOOD = book(SPOT)


def state(market: Market, instrument: str = SPOT.id) -> InstrumentState:
    found = market.of(instrument)
    assert found is not None
    return found


def random_walk(step_ns: int, hours: int, hourly: float, seed: int) -> list[Book]:
    draw = random.Random(seed)
    steps = hours * HOUR // step_ns
    mid, books = 100.0, []
    for k in range(steps):
        mid *= 1.0 + draw.gauss(0.0, hourly * sqrt(step_ns / HOUR))
        books.append(
            raw_book(SPOT, [Level(mid - 0.01, 1.0)], [Level(mid + 0.01, 1.0)], NOW + k * step_ns)
        )
    return books


def test_what_was_never_seen_is_none() -> None:
    assert Market().of(SPOT.id) is None


def test_a_book_gives_its_best_prices_and_its_mid() -> None:
    seen = state(observe(Market(), raw_book(SPOT, [Level(99.0, 1.0)], [Level(101.0, 2.0)])))

    assert (seen.bid, seen.ask, seen.mid, seen.spread) == (99.0, 101.0, 100.0, 2.0)


def test_freshness_is_judged_by_when_it_reached_us() -> None:
    late = Book(SPOT.id, GOOD.bids, GOOD.asks, NOW - HOUR, NOW)
    seen = state(observe(Market(), late))

    assert seen.is_fresh(NOW + SECOND, SECOND)
    assert not seen.is_fresh(NOW + SECOND + 1, SECOND)


def test_an_older_book_never_replaces_a_newer_one() -> None:
    market = observe(Market(), book(SPOT, 100.0, NOW), book(SPOT, 50.0, NOW - 1))

    assert state(market).mid == 100.0
    assert state(market).late == 1


def test_two_books_of_one_instant_leave_the_one_that_came_last() -> None:
    assert state(observe(Market(), book(SPOT, 100.0), book(SPOT, 101.0))).mid == 101.0


@pytest.mark.parametrize(
    ("bids", "asks"),
    [
        ([], [Level(101.0, 1.0)]),
        ([Level(99.0, 1.0)], []),
        ([Level(101.0, 1.0)], [Level(100.0, 1.0)]),
        ([Level(100.0, 1.0)], [Level(100.0, 1.0)]),
        ([Level(nan, 1.0)], [Level(101.0, 1.0)]),
        ([Level(99.0, 1.0)], [Level(nan, 1.0)]),
        ([Level(99.0, 1.0)], [Level(inf, 1.0)]),
        ([Level(-1.0, 1.0)], [Level(101.0, 1.0)]),
        ([Level(0.0, 1.0)], [Level(101.0, 1.0)]),
        ([Level(99.0, nan)], [Level(101.0, 1.0)]),
        ([Level(99.0, 1.0)], [Level(101.0, 0.0)]),
    ],
)
def test_an_impossible_book_makes_the_instrument_unusable(
    bids: list[Level], asks: list[Level]
) -> None:
    market = observe(Market(), book(SPOT, at_ns=NOW - 1), raw_book(SPOT, bids, asks))
    seen = state(market)

    assert seen.rejected == 1
    assert not seen.is_fresh(NOW, HOUR)
    assert (seen.bids, seen.asks) == ((), ())
    assert seen.mid == 100.0, "the last good price still values what is held"


def test_an_older_good_book_does_not_cure_a_newer_bad_one() -> None:
    market = observe(Market(), raw_book(SPOT, [], []), book(SPOT, at_ns=NOW - 1))

    assert not state(market).is_fresh(NOW, HOUR)


def test_the_next_good_book_cures_a_bad_one() -> None:
    market = observe(Market(), raw_book(SPOT, [], []), book(SPOT, at_ns=NOW + 1))

    assert state(market).is_fresh(NOW + 1, HOUR)


def test_a_stamp_from_the_future_does_not_shut_out_what_follows() -> None:
    poison = Book(SPOT.id, GOOD.bids, GOOD.asks, NOW + DAY, NOW)
    market = observe(Market(), poison, book(SPOT, 101.0, NOW + SECOND))

    assert state(market).mid == 101.0
    assert state(market).rejected == 1


@pytest.mark.parametrize("bad", [nan, inf, 0.0, -1.0])
def test_an_impossible_mark_is_refused(bad: float) -> None:
    wrong = PerpContext(PERP.id, bad, 100.0, FundingRate(1e-5, 1), NOW, NOW)
    market = observe(Market(), context(PERP, at_ns=NOW - 1), wrong)

    assert state(market, PERP.id).mark == 100.0
    assert not state(market, PERP.id).has_fresh_context(NOW, HOUR)


@pytest.mark.parametrize(
    "rate", [FundingRate(nan, 1), FundingRate(1e-5, 0), FundingRate(1e-5, nan)]
)
def test_a_rate_that_is_none_is_refused(rate: FundingRate) -> None:
    market = observe(Market(), FundingSettled(PERP.id, rate, NOW, NOW))

    assert not state(market, PERP.id).settled
    assert state(market, PERP.id).rejected == 1


def test_settlements_are_kept_per_hour_whatever_the_interval() -> None:
    market = observe(Market(), settled(PERP, 1e-5, NOW, interval_hours=8))

    assert state(market, PERP.id).settled[0].per_hour == pytest.approx(1e-5)
    assert state(market, PERP.id).hours_of_funding == 8


def test_a_settlement_heard_twice_counts_once_even_when_its_stamp_wobbles() -> None:
    again = settled(PERP, 1e-5, NOW + 118 * MILLISECOND)
    market = observe(Market(), settled(PERP, 1e-5, NOW), again, settled(PERP, 1e-5, NOW))

    assert len(state(market, PERP.id).settled) == 1
    assert state(market, PERP.id).hours_of_funding == 1


def test_a_missed_settlement_falls_into_its_place() -> None:
    times = [NOW, NOW + 2 * HOUR, NOW + HOUR]
    market = observe(Market(), *(settled(PERP, 1e-5, t) for t in times))
    seen = state(market, PERP.id)

    assert [s.time_ns for s in seen.settled] == sorted(times)
    assert seen.backfills == 1


def test_only_sixty_days_of_funding_are_kept() -> None:
    market = observe(Market(), *(settled(PERP, 1e-5, NOW + k * HOUR) for k in range(2_000)))

    assert len(state(market, PERP.id).settled) == 1_440
    assert state(market, PERP.id).hours_of_funding == 1_440


def test_what_leaves_the_sixty_days_leaves_the_hours_that_are_known() -> None:
    """An interval that changes at run time: a hundred settlements of eight hours, then hourly."""
    start = NOW + 800 * HOUR
    market = observe(
        Market(),
        *(settled(PERP, 1e-5, NOW + 8 * k * HOUR, interval_hours=8) for k in range(1, 101)),
        *(settled(PERP, 1e-5, start + k * HOUR) for k in range(1, 2_001)),
    )

    assert state(market, PERP.id).hours_of_funding == 1_440


def test_a_walk_pays_the_average_of_the_levels_it_takes() -> None:
    levels = (Level(100.0, 1.0), Level(102.0, 1.0), Level(104.0, 8.0))

    assert walk(levels, 4.0) == (102.5, 104.0, 4.0)


def test_a_walk_says_how_much_a_thin_book_fills() -> None:
    assert walk((Level(100.0, 1.0),), 3.0) == (100.0, 100.0, 1.0)
    assert walk((), 3.0).filled == 0.0


@pytest.mark.parametrize(
    "broken",
    [Level(nan, 5.0), Level(inf, 5.0), Level(101.0, nan), Level(101.0, -5.0), Level(0.0, 5.0)],
)
def test_a_walk_ends_at_a_damaged_level(broken: Level) -> None:
    assert walk((Level(100.0, 1.0), broken, Level(102.0, 9.0)), 3.0).filled == 1.0


def test_volatility_is_unknown_in_the_first_hour() -> None:
    market = observe(Market(), book(SPOT), book(SPOT, at_ns=NOW + 59 * MINUTE))
    assert state(market).volatility is None

    observe(market, book(SPOT, at_ns=NOW + 65 * MINUTE))
    assert state(market).volatility == 0.0


@pytest.mark.parametrize("step_ns", [20 * SECOND, MINUTE, 5 * MINUTE, HOUR])
def test_volatility_does_not_depend_on_how_often_prices_come(step_ns: int) -> None:
    seen = state(observe(Market(), *random_walk(step_ns, 24 * 4, 0.01, seed=7)))

    assert seen.volatility == pytest.approx(0.01, rel=0.35)


def test_one_freak_price_is_not_a_volatile_market() -> None:
    calm = random_walk(5 * MINUTE, 48, 0.005, seed=3)
    end_ns = calm[-1].venue_time_ns
    market = observe(Market(), *calm)
    before = state(market).volatility
    mid = state(market).mid
    assert before
    assert mid

    observe(market, book(SPOT, mid / 2, end_ns + 5 * MINUTE), book(SPOT, mid, end_ns + 10 * MINUTE))

    after = state(market).volatility
    assert after
    assert after < 1.4 * before


def test_a_market_that_stood_still_is_not_taken_for_still_for_ever() -> None:
    """Prices that never moved, then moves of a percent every five minutes."""
    market = observe(Market(), *(book(SPOT, 100.0, NOW + k * 5 * MINUTE) for k in range(25)))
    assert state(market).volatility == 0.0
    for k in range(25, 61):
        observe(market, book(SPOT, 100.0 + k % 2, NOW + k * 5 * MINUTE))

    after = state(market).volatility
    assert after
    assert after > 0.004  # a freak is believed up to ten times a floor of 0.1 % an hour


def test_a_market_that_stays_wild_is_seen_within_an_hour() -> None:
    calm = random_walk(5 * MINUTE, 48, 0.005, seed=3)
    market = observe(Market(), *calm)
    end_ns = calm[-1].venue_time_ns
    before = state(market).volatility
    assert before
    for k in range(1, 13):
        observe(market, book(SPOT, 100.0 if k % 2 else 90.0, end_ns + k * 5 * MINUTE))

    after = state(market).volatility
    assert after
    assert after > 3 * before


def usual(market: Market) -> UsualBasis:
    found = market.usual_basis(HYPE)
    assert found is not None
    return found


def quoted(perp_mids: list[float]) -> Market:
    """Spot at 100, the perp at these mids, five minutes apart."""
    market = Market([HYPE])
    for k, mid in enumerate(perp_mids):
        at_ns = NOW + k * 5 * MINUTE
        observe(market, book(SPOT, 100.0, at_ns), book(PERP, mid, at_ns))
    return market


def test_the_usual_basis_follows_the_basis_slowly() -> None:
    market = quoted([100.1] * 264 + [101.0] * 24)

    assert 0.001 < usual(market).mean < 0.002
    assert usual(market).hours == pytest.approx(24.0, rel=0.01)


def test_the_recent_basis_follows_within_an_hour_but_not_at_once() -> None:
    assert usual(quoted([100.0] * 12)).recent == pytest.approx(0.0)
    assert usual(quoted([100.0] * 12 + [102.0])).recent < 0.004
    assert usual(quoted([100.0] * 12 + [102.0] * 24)).recent == pytest.approx(0.02, rel=0.1)


def test_the_deviation_of_the_basis_is_that_of_its_samples() -> None:
    assert usual(quoted([99.0, 101.0] * 144)).deviation == pytest.approx(0.01, rel=0.05)


def test_what_the_price_does_between_the_quotes_of_two_legs_is_no_deviation() -> None:
    market = Market([HYPE])
    for k in range(288):
        at_ns, mid = NOW + k * 3 * MINUTE, 100.0 + k % 2
        observe(market, book(PERP, mid, at_ns), book(SPOT, mid, at_ns))

    assert usual(market).hours == pytest.approx(14.3, abs=0.1)
    assert usual(market).deviation == 0.0


def test_a_deviation_is_believed_by_as_much_as_it_has_been_seen() -> None:
    hour, day = (usual(quoted([99.0, 101.0] * n)) for n in (6, 144))

    assert hour.trusted_deviation < 0.1 * hour.deviation
    assert 0.2 * day.deviation < day.trusted_deviation < 0.3 * day.deviation


def test_a_dislocated_perp_is_recent_but_not_usual() -> None:
    found = usual(quoted([100.0] + [150.0] * 23))

    assert found.mean == pytest.approx(0.0)
    assert found.deviation == 0.0
    assert found.recent == pytest.approx(0.5, rel=0.2)


def test_the_hours_of_a_dislocation_are_no_hours_of_the_usual_basis() -> None:
    assert usual(quoted([100.0] * 13 + [150.0] * 24 + [100.0] * 12)).hours == pytest.approx(2.0)


def test_what_was_known_before_a_start_is_taken_over_where_it_is_more_and_not_too_old() -> None:
    day, hour = quoted([100.1, 100.3] * 144).usual, quoted([105.0] * 13)
    later_ns = NOW + 30 * HOUR

    hour.remember(day, later_ns)
    assert hour.usual == day
    hour.remember(quoted([105.0] * 13).usual, later_ns)
    assert hour.usual == day
    fresh = Market([HYPE])
    fresh.remember(day, NOW + 30 * DAY)
    assert fresh.usual == {}


def test_legs_quoted_at_different_times_have_no_basis() -> None:
    market = observe(Market([HYPE]), book(SPOT, 50.0), book(PERP, 100.0, NOW + HOUR))

    assert market.usual_basis(HYPE) is None


# --- what was traded, and what is open ------------------------------------------------------------


def told(mark: float, at_ns: int, interest: float | None = 5.0) -> PerpContext:
    rate = FundingRate(0.0, 1)
    return PerpContext(PERP.id, mark, mark, rate, at_ns, at_ns, interest, 2400.0)


def test_open_interest_is_the_newest_and_unknown_where_nobody_tells_it() -> None:
    market = observe(Market(), told(10.0, NOW), told(10.0, NOW + SECOND, interest=7.0))
    assert state(market, PERP.id).open_interest == 7.0
    silent = state(observe(Market(), told(10.0, NOW, interest=None)), PERP.id)
    assert silent.open_interest is None
    assert not silent.traded


def test_every_five_minutes_their_share_of_the_day_is_traded_at_the_mark_of_then() -> None:
    market = Market()
    for second in range(0, 601, 10):
        mark = 9.0 if second == 100 else 11.0 if second == 200 else 10.0
        market.observe(told(mark, NOW + second * SECOND))
    first, second_, third = state(market, PERP.id).traded

    assert first.hours == 1.0  # how long nobody watched is not known
    assert second_ == Traded(NOW + 300 * SECOND, 1 / 12, 9.0, 11.0, 10.0, second_.volume)
    assert second_.volume == pytest.approx(2400.0 / 10.0 / 24 / 12)
    assert (third.low, third.high) == (10.0, 10.0)


def test_the_bars_of_a_start_say_what_was_traded_before_it() -> None:
    market = Market()
    for number in range(3):
        at = NOW + number * 15 * MINUTE
        market.observe(Close(PERP.id, 10.0, at, at, 9.0, 11.0, 5.0, 0.25))
    late = NOW + MINUTE
    market.observe(Close(PERP.id, 10.0, late, late, 9.0, 11.0, 5.0, 0.25))  # heard already

    traded = state(market, PERP.id).traded
    assert [one.time_ns for one in traded] == [NOW + n * 15 * MINUTE for n in range(3)]
    assert traded[0] == Traded(NOW, 0.25, 9.0, 11.0, 10.0, 5.0)


@pytest.mark.parametrize(
    ("low", "high", "volume"),
    [(0.0, 11.0, 5.0), (10.5, 11.0, 5.0), (9.0, 9.5, 5.0), (9.0, inf, 5.0), (9.0, 11.0, -1.0),
     (9.0, 11.0, nan), (nan, 11.0, 5.0)],
)  # fmt: skip
def test_a_damaged_bar_says_nothing_of_what_was_traded(
    low: float, high: float, volume: float
) -> None:
    market = observe(Market(), Close(PERP.id, 10.0, NOW, NOW, low, high, volume, 0.25))
    assert not state(market, PERP.id).traded


def test_only_three_days_of_it_are_kept() -> None:
    market = Market()
    for hour in range(100):
        at = NOW + hour * HOUR
        market.observe(Close(PERP.id, 10.0, at, at, 9.0, 11.0, 5.0, 1.0))

    assert len(state(market, PERP.id).traded) == 72
