"""What no path, no table of tiers and no sequence of results may bring about."""

from decimal import Decimal
from math import inf

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.instruments import MarginTier
from domain.money import ONE, ZERO
from domain.orders import Side
from domain.targets import ExitCause
from domain.time import HOUR, MINUTE
from execution.risk.calendar import Ahead
from execution.risk.caution import Stake, cautious, wanted_distance, wider
from execution.risk.clusters import forced_within, levels
from execution.risk.gate import Approved, Exposure, GateContext, pass_gate, propose
from execution.risk.guard import (
    Close,
    MarginPolicy,
    PositionView,
    Release,
    Shrink,
    TopUp,
    policy_for,
)
from execution.risk.halts import size_factor
from execution.risk.limits import RiskLimits
from execution.risk.margin import effective_leverage, equity_at
from strategies.market.reach import reach_probability
from strategies.market.state import Traded
from tests.property.test_risk import decimals, relaxed
from tests.unit.strategies.world import pair

D = Decimal
LIMITS = RiskLimits()
thorough = settings(deadline=None, max_examples=300)
WIDE = RiskLimits(
    pair_exposure_max=ONE,
    asset_exposure_max=ONE,
    venue_exposure_max=ONE,
    total_exposure_max=ONE,
)
QUIET = GateContext(
    equity=D(1_000_000),
    free_collateral=D(1_000_000),
    exposure=Exposure(),
    data_age_seconds=(0.0, 0.0),
    reconciled_clean=True,
    reconciled_age_seconds=0.0,
    unknown_orders=0,
    orders_last_minute=0,
    clock_skew_seconds=0.0,
    spread=0.0,
    volatility_hourly=0.0,
    dislocation=0.0,
)


@st.composite
def tiers(draw: st.DrawFn) -> tuple[MarginTier, ...]:
    """One to four tiers: bounds that rise, leverage that falls."""
    leverages = draw(st.lists(st.integers(2, 50), min_size=1, max_size=4, unique=True))
    bounds = draw(
        st.lists(
            st.integers(1, 2000),
            min_size=len(leverages) - 1,
            max_size=len(leverages) - 1,
            unique=True,
        )
    )
    lower = [0, *sorted(bounds)]
    return tuple(
        MarginTier(D(bound) * 100, leverage)
        for bound, leverage in zip(lower, sorted(leverages, reverse=True), strict=True)
    )


def maintenance(notional: Decimal, table: tuple[MarginTier, ...]) -> Decimal:
    """Slice by slice: each part of the notional at half the initial margin of its own tier."""
    ends = [tier.lower_bound for tier in table[1:]] + [max(notional, table[-1].lower_bound)]
    return sum(
        (
            max(min(notional, end) - tier.lower_bound, ZERO) / (2 * tier.max_leverage)
            for tier, end in zip(table, ends, strict=True)
        ),
        ZERO,
    )


@thorough
@given(
    table=tiers(),
    quantity=st.integers(1, 20_000).map(lambda lots: D(lots) / 10),
    held=st.integers(0, 5_000).map(lambda lots: D(lots) / 10),
    mark=decimals("0.5", "100", 2),
    leverage=decimals("1", "20", 2),
    held_leverage=decimals("1", "20", 2),
    cap=decimals("2.5", "8", 1),
    buffer=decimals("0.05", "0.25", 2),
)
def test_no_accepted_plan_is_liquidated_before_the_buffer_beyond_its_stop(
    *,
    table: tuple[MarginTier, ...],
    quantity: Decimal,
    held: Decimal,
    mark: Decimal,
    leverage: Decimal,
    held_leverage: Decimal,
    cap: Decimal,
    buffer: Decimal,
) -> None:
    """R12 at the very price: just under ``stop x (1 + buffer)`` equity still exceeds maintenance,
    summed slice by slice, and at the stop leverage is what the cap says."""
    one = pair("HYPE")
    perp = msgspec.structs.replace(one.perp, margin_tiers=table)
    margin = held * mark / held_leverage
    limits = msgspec.structs.replace(
        WIDE, leverage_cap=cap, liquidation_buffer=buffer, liquidation_distance_min=D("0.25")
    )
    result = pass_gate(
        propose(
            msgspec.structs.replace(one, perp=perp), quantity, mark=mark, spot_price=mark,
            amount_at_risk=D(1), leverage=leverage, leverage_cap=cap,
            held_quantity=-held, held_raw_margin=margin + held * mark,
        ),
        QUIET,
        limits,
    )  # fmt: skip
    if not isinstance(result, Approved):
        return
    plan = result.proposal
    whole = held + plan.quantity
    raw = margin + held * mark + plan.margin + plan.quantity * mark
    assert plan.stop_price is not None
    # The plan's stop may be the stricter one of what was held: by the whole position's own.
    stop = cap * raw / (whole * (1 + cap))
    assert plan.stop_price <= stop * D("1.000001")
    assert stop > mark
    price = plan.stop_price * (1 + buffer) * D("0.999999")
    assert raw - whole * price > maintenance(whole * price, table)


@relaxed
@given(
    results=st.lists(st.booleans(), max_size=60),
    factor=decimals("0.01", "1", 2).filter(bool),
    at_risk=decimals("1", "100", 2),
)
def test_no_sequence_of_results_makes_a_trade_larger_than_without_it(
    *, results: list[bool], factor: Decimal, at_risk: Decimal
) -> None:
    """A loss never makes the next trade larger, and no trade is larger than the very first."""
    limits = msgspec.structs.replace(WIDE, loss_size_factor=factor)

    def size(streak: int) -> Decimal:
        proposal = propose(
            pair("HYPE"), D(10), mark=D(20), spot_price=D(20), amount_at_risk=at_risk,
            leverage=D(2), leverage_cap=D(3),
        )  # fmt: skip
        context = msgspec.structs.replace(
            QUIET, equity=D(9_000), size_factor=size_factor(streak, limits)
        )
        result = pass_gate(proposal, context, limits)
        return result.proposal.quantity if isinstance(result, Approved) else ZERO

    first = size(0)
    streak, before = 0, first
    for lost in results:
        streak = streak + 1 if lost else 0  # as ``execution.state`` counts
        now = size(streak)
        assert now <= first
        if lost:
            assert now <= before
        before = now


# --- caution --------------------------------------------------------------------------------------


views = st.builds(
    PositionView,
    quantity=st.just(D(-100)),
    raw_margin=decimals("2100", "6000", 2),
    mark=decimals("10", "30", 2),
    spot_quantity=st.just(D(100)),
    spot_price=decimals("10", "30", 2),
    lot=st.just(D("0.01")),
    minimum_notional=st.just(D(10)),
)
TABLE = (MarginTier(ZERO, 10),)


@thorough
@given(
    view=views,
    free=decimals("0", "5000", 2),
    volatility=st.floats(0.0001, 0.2),
    hours=st.floats(0.0, 3.0),
    distance=st.floats(0.01, 3.0),
    round_trip=st.floats(0.0001, 0.05),
)
def test_caution_never_takes_margin_away_and_never_undoes_the_usual_guard(
    *,
    view: PositionView,
    free: Decimal,
    volatility: float,
    hours: float,
    distance: float,
    round_trip: float,
) -> None:
    caution = wanted_distance(LIMITS, volatility, Ahead("FOMC", hours), weekend=False)
    assert caution is not None
    careful = wider(LIMITS, caution)
    if careful is None:
        return

    def policy(limits: RiskLimits) -> MarginPolicy:
        return policy_for(
            limits, Side.SELL, D(2000), TABLE, equity=D(10_000),
            spot_cost=D("0.005"), perp_cost=D("0.005"), proceeds_reach_margin=True,
        )  # fmt: skip

    usual, tight = policy(LIMITS), policy(careful)
    stake = Stake(distance, max(caution.distance, distance), 0.06, round_trip)
    action = cautious(view, free, usual, tight, caution, stake)
    notional = 100 * view.mark
    leverage = effective_leverage(notional, equity_at(view.quantity, view.raw_margin, view.mark))

    assert tight.leverage_guard <= usual.leverage_guard
    if leverage > usual.leverage_guard:
        assert isinstance(action, TopUp | Shrink | Close)
        if not isinstance(action, TopUp):
            assert action.cause is ExitCause.MARGIN_GUARD
    elif isinstance(action, Shrink | Close):
        share = float(action.fraction) if isinstance(action, Shrink) else 1.0
        chance = reach_probability(caution.volatility, distance, caution.hours)
        assert action.cause is not ExitCause.MARGIN_GUARD
        assert chance * stake.loss > round_trip * share  # what is sold saves more than it costs
        assert free - usual.reserve < view.minimum_notional
    if isinstance(action, TopUp):
        assert ZERO < action.amount <= free
    if isinstance(action, Release):
        assert leverage < tight.leverage_target


@relaxed
@given(volatility=st.floats(0.0001, 0.5), more=st.floats(1.0, 3.0), hours=st.floats(0.0, 48.0))
def test_more_volatility_or_an_event_never_asks_for_less_distance(
    *, volatility: float, more: float, hours: float
) -> None:
    calm = wanted_distance(LIMITS, volatility, Ahead(), weekend=False)
    wild = wanted_distance(LIMITS, volatility * more, Ahead(), weekend=False)
    event = wanted_distance(LIMITS, volatility, Ahead("CPI", hours), weekend=True)

    assert calm is not None
    assert wild is not None
    assert event is not None
    assert calm.distance <= wild.distance
    assert calm.distance <= event.distance
    assert (event.distance > calm.distance) is (hours <= 2.0 and calm.distance < 1.0)


# --- clusters -------------------------------------------------------------------------------------


@st.composite
def histories(draw: st.DrawFn) -> list[Traded]:
    told = []
    for number in range(draw(st.integers(1, 40))):
        price = draw(st.floats(10.0, 200.0))
        wick = draw(st.floats(0.0, 0.1))
        low, high = price * (1.0 - wick), price * (1.0 + wick)
        told.append(Traded(number * 15 * MINUTE, 0.25, low, high, price, draw(st.floats(0.0, 1e6))))
    return told


@relaxed
@given(told=histories(), interest=st.floats(0.0, 1e7), mark=st.floats(10.0, 200.0), table=tiers())
def test_forced_orders_lie_on_their_side_of_the_mark_and_are_never_more_than_is_open(
    *, told: list[Traded], interest: float, mark: float, table: tuple[MarginTier, ...]
) -> None:
    found = levels(told, interest, mark, table, told[-1].time_ns + HOUR)

    for one in found:
        assert 0.0 <= one.least <= one.notional * (1 + 1e-9)
        assert one.notional <= one.most * (1 + 1e-9)
        assert one.low <= mark if one.side is Side.SELL else one.high >= mark
    for side in Side:
        base = sum(one.notional / one.high for one in found if one.side is side)
        assert base <= interest * (1 + 1e-6)
        everything = forced_within(found, mark, side, inf)[0]
        assert 0.0 <= forced_within(found, mark, side, 0.02)[0] <= everything * (1 + 1e-9)
