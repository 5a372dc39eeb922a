"""Mean reversion and breakout: what their signals say of closes made by hand, and never do."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.instruments import Kind
from domain.money import ZERO
from domain.targets import Action, ExitCause, Legs, Target
from domain.time import HOUR, MINUTE
from strategies.breakout import BreakoutPolicy, breakout
from strategies.breakout import signal as breakout_signal
from strategies.carry.policy import CarryPolicy
from strategies.market.state import InstrumentState, Market
from strategies.mean_reversion import LOW_LEVERAGE, MeanReversionPolicy, mean_reversion
from strategies.mean_reversion import signal as reversion_signal
from strategies.perp_alone import PerpAlone, Signal
from strategies.scaling import ScalingPolicy
from strategies.strategy import Holding
from tests.unit.strategies.world import FLOOR, book, context, pair, settled

PAIR = pair("HYPE")
HOUR_0 = 486_000
EQUITY = Decimal(10_000)
RISK = Decimal("0.01")
WHOLE = Decimal(100)
"""No exposure is too large: what decides the size is the loss at the stop."""


def market_of(
    closes: Sequence[float], hourly: float = FLOOR, now: float | None = None
) -> tuple[Market, int]:
    """A perp that was quoted every five minutes, each hour at its close; and a moment later."""
    market = Market((PAIR,))
    start = HOUR_0 - len(closes)
    for n, close in enumerate(closes):
        for minute in range(0, 60, 5):
            at_ns = (start + n) * HOUR + minute * MINUTE
            market.observe(book(PAIR.perp, close, at_ns, half_spread=close * 1e-5, size=1e5))
        market.observe(settled(PAIR.perp, FLOOR, (start + n) * HOUR))
    now_ns = HOUR_0 * HOUR + MINUTE
    price = closes[-1] if now is None else now
    market.observe(book(PAIR.perp, price, now_ns, half_spread=price * 1e-5, size=1e5))
    market.observe(context(PAIR.perp, hourly, price, now_ns))
    return market, now_ns


def state(market: Market) -> InstrumentState:
    found = market.of(PAIR.perp.id)
    assert found is not None
    return found


def sideways(hours: int, at: float = 100.0, by: float = 1.0) -> list[float]:
    return [at + by * (1 if n % 2 else -1) for n in range(hours)]


REVERSION, BREAKOUT = MeanReversionPolicy(), BreakoutPolicy()
SPIKE = [*sideways(156), *(101.0 + 1.0 * n for n in range(1, 15))]
"""A week at 100, then 14 hours up: 115."""
NARROW = [*sideways(169, by=2.0), *sideways(24, by=0.5)]


# --- mean reversion ------------------------------------------------------------------------------


def reverting(closes: Sequence[float], hourly: float, now: float | None = None) -> Signal | str:
    market, now_ns = market_of(closes, hourly, now)
    return reversion_signal(REVERSION, state(market), now_ns)


def test_a_spike_that_the_crowd_pays_for_is_sold_with_the_stop_beyond_it() -> None:
    found = reverting(SPIKE, 10 * FLOOR)
    assert isinstance(found, Signal)
    assert found.legs is Legs.SHORT
    assert found.stop > max(SPIKE)
    assert found.target < SPIKE[-1]


def test_a_fall_that_the_crowd_pays_for_is_bought() -> None:
    found = reverting([200.0 - close for close in SPIKE], -10 * FLOOR)
    assert isinstance(found, Signal)
    assert found.legs is Legs.LONG
    assert found.stop < 200.0 - max(SPIKE)
    assert found.target > 200.0 - SPIKE[-1]


def test_a_spike_that_nobody_pays_for_is_left_alone() -> None:
    found = reverting(SPIKE, FLOOR / 2)
    assert isinstance(found, str)
    assert found.startswith("funding_disagrees: ")


def test_the_usual_funding_is_that_of_the_hours_and_not_of_the_prints() -> None:
    """Twelve times the interest every eight hours, twice as long as once it every hour since."""
    market, now_ns = market_of(SPIKE, 4 * FLOOR)
    hours = len(SPIKE)
    for k in range(2 * hours // 8):
        at_ns = (HOUR_0 - 3 * hours + 8 * k) * HOUR
        market.observe(settled(PAIR.perp, 12 * FLOOR, at_ns, interval_hours=8))
    found = reversion_signal(REVERSION, state(market), now_ns)

    assert isinstance(found, str)  # 4 now; usually 8 by the hours, 3 by the prints
    assert found.startswith("funding_disagrees: ")


def test_a_price_near_its_average_is_no_signal() -> None:
    found = reverting(sideways(200), 10 * FLOOR)
    assert isinstance(found, str)
    assert found.startswith("not_extended: ")


def test_too_few_hours_are_no_signal() -> None:
    found = reverting(SPIKE[-100:], 10 * FLOOR)
    assert isinstance(found, str)
    assert found.startswith("not_warm: ")


def test_against_the_trend_it_is_half_as_large_and_at_low_leverage() -> None:
    found = reverting(SPIKE, 10 * FLOOR)
    assert isinstance(found, Signal)
    assert (found.leverage, found.share) == (LOW_LEVERAGE, Decimal("0.5"))
    # A week that came down from 130 to 100: the same spike goes against the trend, we with it.
    falling = [130.0 - 30.0 * n / 155 for n in range(156)] + SPIKE[156:]
    found = reverting(falling, 10 * FLOOR)
    assert isinstance(found, Signal)
    assert (found.leverage, found.share) == (Decimal(5), Decimal(1))


# --- breakout ------------------------------------------------------------------------------------


def breaking(closes: Sequence[float], now: float | None = None) -> Signal | str:
    market, now_ns = market_of(closes, now=now)
    return breakout_signal(BREAKOUT, state(market), now_ns)


def test_a_close_above_a_narrow_range_is_bought_for_the_ranges_width() -> None:
    found = breaking([*NARROW, 100.9])
    assert isinstance(found, Signal)
    assert found.legs is Legs.LONG
    # The range is 99.5 to 100.5: stop a quarter inside, target its width beyond.
    assert found.stop == pytest.approx(100.25)
    assert found.target == pytest.approx(101.5)


def test_a_close_below_a_narrow_range_is_sold() -> None:
    found = breaking([*NARROW, 99.1])
    assert isinstance(found, Signal)
    assert found.legs is Legs.SHORT
    assert found.stop == pytest.approx(99.75)
    assert found.target == pytest.approx(98.5)


@pytest.mark.parametrize(
    ("closes", "now", "word"),
    [
        ([*NARROW, 100.4], None, "inside"),
        ([*NARROW, 100.9], 100.4, "fell_back"),
        ([*sideways(169, by=0.05), *sideways(24), 103.0], None, "no_consolidation"),
        (NARROW[:50], None, "not_warm"),
    ],
)
def test_without_a_break_that_lasts_there_is_no_signal(
    closes: list[float], now: float | None, word: str
) -> None:
    found = breaking(closes, now)
    assert isinstance(found, str)
    assert found.startswith(f"{word}: ")


# --- what is made of a signal --------------------------------------------------------------------


AT_ONCE = ScalingPolicy(first_in=1.0, second_in=0.0, first_out=0.0, second_out=1.0)


def strategies(scaling: ScalingPolicy = AT_ONCE) -> list[PerpAlone]:
    shared = CarryPolicy()
    return [
        mean_reversion(
            REVERSION, shared, [PAIR], risk_per_trade=RISK, exposure_max=WHOLE, scaling=scaling
        ),
        breakout(
            BREAKOUT, shared, [PAIR], risk_per_trade=RISK, exposure_max=WHOLE, scaling=scaling
        ),
    ]


def told(
    strategy: PerpAlone, market: Market, now_ns: int, holding: Holding | None = None
) -> Target:
    holdings = {} if holding is None else {PAIR.name: holding}
    (target,) = strategy.targets(market, holdings, EQUITY, now_ns)
    return target


def test_the_size_is_what_loses_the_risk_at_the_stop_with_its_costs() -> None:
    market, now_ns = market_of([*NARROW, 100.6])
    target = told(strategies()[1], market, now_ns)
    assert target.action is Action.ENTER
    assert target.amount_at_risk == pytest.approx(EQUITY * RISK, abs=Decimal("0.02"))
    stop = (Decimal("100.6") - target.tactic.stop_price) / Decimal("100.6")
    assert target.notional * stop < EQUITY * RISK


def test_a_target_too_near_for_its_stop_is_not_worth_it() -> None:
    market, now_ns = market_of([*NARROW, 101.2])
    target = told(strategies()[1], market, now_ns)
    assert (target.action, target.notional) == (Action.WAIT, ZERO)
    assert target.reason.startswith("reward_too_small: ")


def test_both_enter_somewhere_or_what_follows_would_hold_of_nothing() -> None:
    for strategy, closes in zip(strategies(), (SPIKE, [*NARROW, 100.6]), strict=True):
        market, now_ns = market_of(closes, 10 * FLOOR)
        assert told(strategy, market, now_ns).action is Action.ENTER


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    noise=st.lists(st.floats(-0.002, 0.002), min_size=194, max_size=194),
    stretch=st.floats(-1.5, 1.5),
    funding=st.floats(-1e-3, 1e-3),
    which=st.sampled_from([0, 1]),
    last=st.floats(0.995, 1.005),
)
def test_whatever_the_market_does_an_entry_has_its_stop_behind_and_its_target_ahead(
    noise: list[float], stretch: float, funding: float, which: int, last: float
) -> None:
    """Near what signals, either way up, since nothing signals in a walk at random."""
    shape = SPIKE if which == 0 else [*NARROW, 100.6]
    closes = [
        (100.0 + stretch * (close - 100.0)) * (1.0 + moved)
        for close, moved in zip(shape, noise, strict=False)
    ]
    closes[-1] *= last
    market, now_ns = market_of(closes, funding)
    target = told(strategies()[which], market, now_ns)
    assert target.action in (Action.ENTER, Action.WAIT)
    if target.action is Action.ENTER:
        how = target.tactic
        assert how.legs.is_alone
        sign, mid = how.legs.opens(Kind.PERP).sign, Decimal(repr(closes[-1]))
        assert (mid - how.stop_price) * sign > 0
        assert (how.target_price - mid) * sign > 0
        assert target.amount_at_risk <= EQUITY * RISK
        # The reward is at least the risk, and the stop no farther than the preset's.
        assert abs(how.target_price - mid) >= abs(mid - how.stop_price)
        assert abs(mid - how.stop_price) / mid <= Decimal("0.0501")
    else:
        assert target.notional == ZERO


def held(legs: Legs, now_ns: int, hours: float, target: str) -> Holding:
    opened_ns = now_ns - int(hours * HOUR)
    return Holding(
        PAIR.name, Decimal(10), Decimal(1000), opened_ns, None, legs, Decimal(99), Decimal(target)
    )


@pytest.mark.parametrize(
    ("legs", "goal", "hours", "action", "cause"),
    [
        (Legs.LONG, "101", 3, Action.HOLD, None),
        (Legs.LONG, "100", 3, Action.EXIT, ExitCause.TARGET),
        (Legs.SHORT, "99", 3, Action.HOLD, None),
        (Legs.SHORT, "100", 3, Action.EXIT, ExitCause.TARGET),
        (Legs.LONG, "101", 48, Action.EXIT, ExitCause.THESIS_CHANGED),
    ],
)
def test_a_breakout_is_left_at_its_target_or_when_its_time_is_up(
    legs: Legs, goal: str, hours: float, action: Action, cause: ExitCause | None
) -> None:
    market, now_ns = market_of([100.0] * 3)
    target = told(strategies()[1], market, now_ns, held(legs, now_ns, hours, goal))
    assert (target.action, target.exit_cause) == (action, cause)


def test_a_reversion_is_left_at_the_average_as_it_is_now_not_as_it_was() -> None:
    market, now_ns = market_of(sideways(60))
    target = told(strategies()[0], market, now_ns, held(Legs.SHORT, now_ns, 3, "90"))
    assert target.reason.startswith("on_the_way: to 100,")  # closed at 101
    market, now_ns = market_of(sideways(60), now=99.9)
    target = told(strategies()[0], market, now_ns, held(Legs.SHORT, now_ns, 3, "90"))
    assert (target.action, target.exit_cause) == (Action.EXIT, ExitCause.TARGET)


@pytest.mark.parametrize("which", [0, 1])
def test_old_quotes_are_not_acted_on(which: int) -> None:
    market, now_ns = market_of([*NARROW, 100.9])
    late_ns = now_ns + 10 * MINUTE
    target = told(strategies()[which], market, late_ns)
    assert (target.action, target.reason.split(":")[0]) == (Action.WAIT, "stale_data")
    target = told(strategies()[which], market, late_ns, held(Legs.LONG, now_ns, 100, "100"))
    assert (target.action, target.reason.split(":")[0]) == (Action.HOLD, "stale_data")


# --- in parts, and out in parts (SPEC R20) -------------------------------------------------------

PARTS = ScalingPolicy()


def of(
    entry: str, tranches: int = 1, met: int = 0, stop: str = "99.5", target: str = "110"
) -> Holding:
    """A long breakout of 10 that was entered at ``entry`` two hours ago."""
    opened_ns = HOUR_0 * HOUR - 2 * HOUR
    return Holding(
        PAIR.name, Decimal(10), Decimal(entry) * 10, opened_ns, None, Legs.LONG, Decimal(stop),
        Decimal(target), Decimal(entry), tranches, met,
    )  # fmt: skip


def asked(price: float, holding: Holding, scaling: ScalingPolicy = PARTS) -> Target:
    market, now_ns = market_of([100.0, 100.0, price])
    return told(strategies(scaling)[1], market, now_ns, holding)


def word(target: Target) -> str:
    return target.reason.partition(":")[0]


def test_the_first_part_is_three_tenths_of_what_the_stop_allows() -> None:
    market, now_ns = market_of([*NARROW, 100.6])
    whole = told(strategies()[1], market, now_ns)
    first = told(strategies(PARTS)[1], market, now_ns)
    assert first.notional == pytest.approx(whole.notional * Decimal("0.3"), abs=Decimal("0.01"))
    assert first.amount_at_risk == pytest.approx(EQUITY * RISK * Decimal("0.3"), abs=1)
    assert first.tactic == whole.tactic


def test_the_whole_is_never_more_than_the_account_lets_a_trade_hold() -> None:
    market, now_ns = market_of([*NARROW, 100.6])
    capped = breakout(
        BREAKOUT, CarryPolicy(), [PAIR], risk_per_trade=RISK, exposure_max=Decimal("0.3"),
        scaling=PARTS,
    )  # fmt: skip
    assert told(capped, market, now_ns).notional == 900


def test_a_part_is_never_more_than_the_account_lets_the_whole_be() -> None:
    market, now_ns = market_of([100.0, 100.0, 102.1])
    capped = breakout(
        BREAKOUT, CarryPolicy(), [PAIR], risk_per_trade=RISK, exposure_max=Decimal("0.12"),
        scaling=PARTS,
    )  # fmt: skip
    target = told(capped, market, now_ns, of("100"))
    assert (target.action, target.notional) == (Action.ADD, Decimal(1200))


def test_no_trade_risks_more_than_its_kind_whatever_the_account_allows() -> None:
    """One percent is what a day trade risks, two what a swing trade does (SPEC R8)."""
    market, now_ns = market_of([*NARROW, 100.6])
    daring = breakout(
        BREAKOUT, CarryPolicy(), [PAIR], risk_per_trade=Decimal("0.05"), exposure_max=WHOLE,
        scaling=AT_ONCE,
    )  # fmt: skip
    assert Decimal(99) < told(daring, market, now_ns).amount_at_risk <= 100


def test_what_is_held_may_lose_its_way_out_too_where_a_part_is_added() -> None:
    """At 10,000 and 1 %: 4,000 from 100 lose 2 % and twice what taking costs at 98 (88.96); what is
    left of 100 is added, at 3.92 % and the same costs."""
    whole = msgspec.structs.replace(of("100", stop="98"), notional=Decimal(4_000))
    target = asked(102.0, msgspec.structs.replace(whole, quantity=Decimal(40)))
    costs = 2 * (2 * float(PAIR.perp.fees.taker) + 2e-5)
    added = (100 - 4_000 * (0.02 + costs)) / (4 / 102 + costs)

    assert target.action is Action.ADD
    assert float(target.notional) == pytest.approx(4_000 + added, abs=0.5)


@pytest.mark.parametrize(
    ("price", "holding", "action", "said", "share"),
    [
        (101.9, of("100"), Action.HOLD, "on_the_way", 1),
        (102.1, of("100"), Action.ADD, "confirmed", 2),
        (103.0, of("100", 2), Action.HOLD, "on_the_way", 1),
        (104.1, of("100", 2), Action.ADD, "strongly_confirmed", 10 / 6),
        (99.9, of("100", 2), Action.ADD, "pullback", 10 / 6),
        (99.9, of("100", 1), Action.HOLD, "on_the_way", 1),
        (104.1, of("100", 3), Action.HOLD, "on_the_way", 1),
        (104.1, of("100", 2, 1), Action.HOLD, "on_the_way", 1),  # what was sold is not bought back
        (105.1, of("100", 3), Action.REDUCE, "first_target", 0.7),
        (109.9, of("100", 3, 1), Action.HOLD, "on_the_way", 1),
        (110.1, of("100", 3, 1), Action.REDUCE, "second_target", 4 / 7),
        (110.1, of("100", 3, 2), Action.HOLD, "trailing", 1),
    ],
)
def test_each_part_comes_when_the_price_has_come_so_far(
    price: float, holding: Holding, action: Action, said: str, share: float
) -> None:
    target = asked(price, holding)
    assert (target.action, word(target)) == (action, said)
    assert float(target.notional / holding.notional) == pytest.approx(share, rel=1e-3)
    assert (target.exit_cause is ExitCause.TARGET) == (action is Action.REDUCE)


def test_no_part_is_added_where_the_whole_would_lose_more_at_its_stop_than_win_at_its_target() -> (
    None
):
    assert asked(100.7, of("100", stop="99", target="103")).action is Action.ADD
    assert asked(100.7, of("100", stop="97", target="103")).action is Action.HOLD


def test_the_first_target_moves_the_stop_to_where_nothing_is_lost_unless_told_not_to() -> None:
    even = asked(105.1, of("100", 3)).tactic.stop_price
    assert Decimal(100) < even < Decimal("100.2")  # the entry price and what taking costs twice
    still = ScalingPolicy(break_even=False)
    assert asked(105.1, of("100", 3), still).tactic.stop_price == ZERO


def test_the_rest_trails_the_best_hourly_close_by_half_the_way() -> None:
    market, now_ns = market_of([100.0, 114.0, 112.0])
    target = told(strategies(PARTS)[1], market, now_ns, of("100", 3, 2))
    assert target.tactic.stop_price == 109  # the way is 10, the best close 114
    market, now_ns = market_of([100.0, 114.0, 108.0])
    target = told(strategies(PARTS)[1], market, now_ns, of("100", 3, 2))
    assert target.tactic.stop_price == Decimal(
        "99.5"
    )  # already behind it: the engine keeps what it has


def test_half_at_the_first_target_then_all_at_the_second() -> None:
    halves = ScalingPolicy(first_out=0.5, second_out=0.5)
    first = asked(105.1, of("100", 3), halves)
    assert first.action is Action.REDUCE
    assert first.notional == 500
    assert asked(110.1, of("100", 3, 1), halves).action is Action.EXIT


def test_a_part_too_small_for_an_order_waits_for_the_target_and_the_whole_leaves_there() -> None:
    small = msgspec.structs.replace(of("100", 3), notional=Decimal(30), quantity=Decimal("0.3"))
    assert asked(105.1, small).action is Action.HOLD
    assert asked(110.1, small).action is Action.EXIT


def test_a_goal_that_came_to_the_entry_price_ends_the_trade_whole() -> None:
    assert asked(100.5, of("101", 3, 0, target="100")).action is Action.EXIT
    assert asked(99.5, of("101", 2, 0, target="100")).action is Action.HOLD


@settings(max_examples=200)
@given(
    price=st.floats(90.0, 120.0),
    entry=st.floats(95.0, 105.0),
    stop=st.floats(90.0, 100.0),
    goal=st.floats(95.0, 125.0),
    notional=st.integers(10, 100_000),
    tranches=st.integers(1, 3),
    met=st.integers(0, 2),
)
def test_whatever_is_held_no_part_risks_more_than_a_trade_may_and_none_is_less_than_nothing(
    *,
    price: float,
    entry: float,
    stop: float,
    goal: float,
    notional: int,
    tranches: int,
    met: int,
) -> None:
    holding = msgspec.structs.replace(
        of(f"{entry:.4f}", tranches, met, f"{stop:.4f}", f"{goal:.4f}"),
        notional=Decimal(notional),
        quantity=Decimal(notional) / Decimal(f"{entry:.4f}"),
    )
    target = asked(price, holding)
    if target.action is Action.ADD:
        assert target.notional > holding.notional
        assert target.amount_at_risk <= EQUITY * RISK
        assert not met
        assert stop < price * (1 + 1e-9)  # the mid of a book is the price but for rounding
    elif target.action is Action.REDUCE:
        assert ZERO < target.notional < holding.notional
        assert holding.notional - target.notional >= PAIR.perp.minimum_notional
    elif target.action is Action.HOLD:
        assert target.notional == holding.notional
    moved = target.tactic.stop_price
    assert moved <= holding.stop_price or moved < Decimal(repr(price))
