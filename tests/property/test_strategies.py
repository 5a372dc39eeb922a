"""What holds of strategies whatever the market does."""

from decimal import Decimal
from itertools import starmap
from math import isnan

from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.market import Book, Level, PerpContext, PublicEvent
from domain.rates import FundingRate
from domain.targets import Action
from domain.time import HOUR, MINUTE
from strategies.carry import switching
from strategies.carry.switching import band
from strategies.carry.thresholds import entering, staying
from strategies.cash_and_carry import CarryPolicy, CashAndCarry, Holding
from strategies.funding.forecast import Forecast, ForecastPolicy, Standing, forecast
from strategies.market.state import Market, Settlement, walk
from tests.unit.strategies.world import NOW, RESTING, book, context, history, observe, pair, settled

A, B = pair("A"), pair("B")
PAIRS = (A, B)
EQUITY = Decimal(10_000)

rates = st.floats(-0.001, 0.001)
prices = st.floats(1.0, 1_000.0)
sizes = st.floats(0.001, 1_000.0)
anything = st.floats(allow_nan=True, allow_infinity=True)
levels = st.lists(st.tuples(prices, sizes), max_size=8).map(
    lambda found: tuple(starmap(Level, sorted(found)))
)
minutes = st.integers(1, 180)

moves = st.one_of(
    st.tuples(st.just("book"), st.sampled_from(PAIRS), st.booleans(), st.floats(-0.05, 0.05)),
    st.tuples(st.just("context"), st.sampled_from(PAIRS), rates),
    st.tuples(st.just("settled"), st.sampled_from(PAIRS), rates),
)
stories = st.lists(st.tuples(minutes, moves), max_size=25)
holdings = st.sets(st.sampled_from(["A", "B"])).map(
    lambda names: {n: Holding(n, Decimal(10), Decimal(1_000), NOW, 0.0) for n in sorted(names)}
)


def events_of(story: list[tuple[int, tuple[object, ...]]]) -> list[PublicEvent]:
    now_ns, events = NOW, [*history(A, 1e-4), *history(B)]
    for wait, move in story:
        now_ns += wait * MINUTE
        match move:
            case ("book", one, bool(spot), float(shift)):
                leg = one.spot if spot else one.perp  # type: ignore[attr-defined] # a Pair
                events.append(book(leg, 100.0 * (1.0 + shift), now_ns))
            case ("context", one, float(rate)):
                events.append(context(one.perp, rate, at_ns=now_ns))  # type: ignore[attr-defined]
            case ("settled", one, float(rate)):
                events.append(settled(one.perp, rate, now_ns))  # type: ignore[attr-defined]
    return events


def last_ns(events: list[PublicEvent]) -> int:
    return max(event.received_ns for event in events)


def strategy() -> CashAndCarry:
    return CashAndCarry(
        CarryPolicy(),
        PAIRS,
        leverage_target=Decimal(2),
        risk_per_trade=Decimal("0.01"),
        resting=RESTING,
    )


@settings(max_examples=15)
@given(story=stories, later=stories, held=holdings)
def test_a_decision_does_not_change_when_the_future_is_cut_off(
    story: list[tuple[int, tuple[object, ...]]],
    later: list[tuple[int, tuple[object, ...]]],
    held: dict[str, Holding],
) -> None:
    """One run decides on its way through everything; the other never hears what came after."""
    past, everything = events_of(story), events_of(story + later)
    through, cut = Market(PAIRS), observe(Market(PAIRS), *past)
    running, fresh = (strategy() for _ in range(2))
    decided = []
    for count, event in enumerate(everything, 1):
        through.observe(event)
        if count == len(past):
            decided.append(running.targets(through, held, EQUITY, last_ns(past)))
        elif count % 97 == 0:
            running.targets(through, held, EQUITY, event.received_ns)

    assert decided == [fresh.targets(cut, held, EQUITY, last_ns(past))]


@settings(max_examples=25)
@given(story=stories, held=holdings, equity=st.integers(-100, 1_000_000).map(Decimal))
def test_every_pair_gets_one_target_within_its_limits(
    story: list[tuple[int, tuple[object, ...]]], held: dict[str, Holding], equity: Decimal
) -> None:
    events = events_of(story)
    market = observe(Market(PAIRS), *events)
    targets = strategy().targets(market, held, equity, last_ns(events))

    assert [target.pair for target in targets] == ["A", "B"]
    for target in targets:
        before = held.get(target.pair)
        code, _, said = target.reason.partition(": ")
        assert code.replace("_", "").isalpha()
        assert said
        assert (before is not None) == (target.action in {Action.HOLD, Action.EXIT})
        assert (target.exit_cause is not None) == (target.action is Action.EXIT)
        if target.action is Action.HOLD:
            assert before is not None
            assert target.notional == before.notional
        elif target.action is Action.ENTER:
            assert 0 < target.amount_at_risk <= equity * Decimal("0.01")
            assert target.notional * Decimal("1.65") <= equity / 2
        else:
            assert target.notional == 0


standings = st.builds(Standing, rates, rates)
RICH = Standing(0.001, 0.0)


@given(
    now=standings,
    before=standings,
    cost=st.floats(0.0001, 0.1),
    gain=st.floats(-0.05, 0.05),
    hurdle=st.floats(0.0, 0.0001),
)
@example(now=RICH, before=RICH, cost=0.0001, gain=-0.0371, hurdle=0.0)
@example(now=RICH, before=RICH, cost=0.001, gain=-0.0252, hurdle=0.0)
def test_what_is_worth_entering_is_never_worth_leaving(
    *, now: Standing, before: Standing, cost: float, gain: float, hurdle: float
) -> None:
    told = Forecast(now.level, 0.0, 720.0, now, before)
    if entering(told, cost, gain, hurdle, ForecastPolicy()).pays_entry:
        assert not staying(told, cost, gain, hurdle, ForecastPolicy()).pays_exit


@given(cost=st.floats(0.0001, 0.1), hurdle=st.floats(0.0, 0.0001), dearer=st.floats(1.1, 5.0))
def test_the_band_widens_with_the_cost_and_its_worth_only_rises_with_the_level(
    cost: float, hurdle: float, dearer: float
) -> None:
    level = switching.Level(1.25e-5, 1e-5, 336.0)
    narrow, wide = band(cost, hurdle, level), band(cost * dearer, hurdle, level)
    levels = [narrow.leave + k * 1e-6 for k in range(-5, 60)]
    worth = [narrow.worth(one) for one in levels]

    assert wide.leave <= narrow.leave < hurdle < narrow.enter <= wide.enter
    assert worth == sorted(worth)
    assert worth[0] == 0.0
    assert worth[-1] <= narrow.round_trip


@given(levels=levels, quantity=sizes, more=sizes)
def test_a_walk_never_fills_more_than_asked_nor_gets_better_with_size(
    levels: tuple[Level, ...], quantity: float, more: float
) -> None:
    small, large = walk(levels, quantity), walk(levels, quantity + more)

    assert small.filled <= quantity
    assert large.filled >= small.filled
    if levels:
        assert levels[0].price * (1 - 1e-9) <= small.average <= small.worst * (1 + 1e-9)
        assert large.average >= small.average * (1 - 1e-9)
    else:
        assert isnan(small.average)


@given(history=st.lists(rates, max_size=60), hours=st.floats(0.5, 2_000.0))
def test_a_forecast_lies_between_what_was_seen_and_where_it_reverts_to(
    history: list[float], hours: float
) -> None:
    policy = ForecastPolicy()
    seen = [*history, policy.anchor_hourly]
    told = forecast(
        [Settlement(k * HOUR, rate, 1.0) for k, rate in enumerate(history)], None, hours, policy
    )

    assert min(seen) - 1e-12 <= told.hourly <= max(seen) + 1e-12
    assert told.error >= 0.0


@given(bid=anything, ask=anything, size=anything, mark=anything, rate=anything)
def test_whatever_a_venue_sends_prices_stay_sane(
    bid: float, ask: float, size: float, mark: float, rate: float
) -> None:
    market = observe(
        Market(PAIRS),
        book(A.perp, at_ns=NOW - 1),
        context(A.perp, at_ns=NOW - 1),
        Book(A.perp.id, (Level(bid, size),), (Level(ask, size),), NOW, NOW),
        PerpContext(A.perp.id, mark, mark, FundingRate(rate, 1), NOW, NOW),
    )
    seen = market.of(A.perp.id)

    assert seen is not None
    assert seen.bid is not None
    assert seen.ask is not None
    assert seen.mark is not None
    assert 0 < seen.bid < seen.ask < float("inf")
    assert 0 < seen.mark < float("inf")
