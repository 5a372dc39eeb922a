"""What may be added to a trade, and what is left of one that shrinks: the whole of it is judged."""

from copy import copy
from decimal import Decimal
from functools import cache

import msgspec
from hypothesis import event, given
from hypothesis import strategies as st

from bot.desk import Desk
from bot.planning import kept_stop, plan_addition, reduced_quantity
from domain.instruments import Kind
from domain.money import ZERO
from domain.targets import Action, ExitCause, Legs, Tactic, Target
from execution.facts import Retargeted, TradePlanned
from execution.pairs import lead_remaining
from execution.state import apply
from tests.property.test_market_guards import maintenance
from tests.property.test_risk import relaxed
from tests.scripted import PAIR, PERP, Scripted, Told, World
from tests.simulation.test_tactics import By

D = Decimal
STOPS = {Legs.LONG: D(19), Legs.SHORT: D(21)}


@cache
def holding(legs: Legs = Legs.CARRY) -> Desk:
    """A trade of 2000 at 20 that is held, with 12 000 or so in the account."""
    if legs is Legs.CARRY:
        strategy = Told("2000", enter=1)
    else:
        how = Tactic(legs, stop_price=STOPS[legs], leverage=D(2))
        strategy = By(how, "2000", enter=1.0)
    run = World(Scripted(lambda _: 20.0, hours=9), strategy).run(2.501)
    desk = run.engine._desk()
    assert desk is not None
    return desk


def wanted(notional: Decimal, at_risk: Decimal, how: Tactic | None = None) -> Target:
    return Target(
        "HYPE", Action.ADD, notional, "more: by the test", 0.0001, 0.0, 100.0, 0.002, 0.008, 0.1,
        at_risk, how=how if how is not None else msgspec.UNSET,
    )  # fmt: skip


def margined(desk: Desk, leverage: Decimal) -> Desk:
    """The perp as it would be at another leverage."""
    (position,) = desk.account.positions
    margin = abs(position.quantity) * 20 / leverage
    other = msgspec.structs.replace(position, raw_margin=margin - position.quantity * 20)
    account = msgspec.structs.replace(desk.account, positions=(other,))
    return msgspec.structs.replace(desk, account=account)


shares = st.integers(5, 100).map(lambda n: D(n) / 100)
leverages = st.integers(100, 320).map(lambda n: D(n) / 100)


@relaxed
@given(
    legs=st.sampled_from([Legs.CARRY, Legs.LONG, Legs.SHORT]),
    notional=st.integers(2_001, 6_000).map(D),
    at_risk=st.integers(1, 150).map(D),
    held_leverage=leverages,
    exposure=shares.map(lambda share: share + D("0.2")),
    cap=st.sampled_from([D("2.6"), D(3), D(5)]),
    buffer=st.sampled_from([D("0.05"), D("0.10"), D("0.20")]),
)
def test_no_accepted_addition_ever_breaks_a_cap_or_comes_near_liquidation(
    *,
    legs: Legs,
    notional: Decimal,
    at_risk: Decimal,
    held_leverage: Decimal,
    exposure: Decimal,
    cap: Decimal,
    buffer: Decimal,
) -> None:
    desk = margined(holding(legs), held_leverage)
    limits = msgspec.structs.replace(
        desk.limits, leverage_cap=cap, liquidation_buffer=buffer,
        liquidation_distance_min=max(buffer, D("0.25")),
        pair_exposure_max=exposure, asset_exposure_max=exposure,
    )  # fmt: skip
    desk = msgspec.structs.replace(desk, limits=limits)
    (trade,) = desk.state.trades.values()
    how = None if legs is Legs.CARRY else Tactic(legs, stop_price=STOPS[legs])
    plan = plan_addition(desk, wanted(notional, at_risk, how), trade)
    event("accepted" if isinstance(plan, TradePlanned) else "refused")
    if not isinstance(plan, TradePlanned):
        assert plan
        return
    (position,) = desk.account.positions
    added = plan.quantity - desk.state.counted(trade)
    assert added > ZERO
    assert plan.notional <= notional
    assert plan.quantity * 20 <= desk.equity * exposure
    assert plan.amount_at_risk <= desk.equity * limits.risk_per_trade
    assert plan.amount_at_risk >= trade.plan.amount_at_risk
    # The whole position, by its own equations: leverage, stop and liquidation.
    sign = legs.opens(Kind.PERP).sign
    whole = position.quantity + sign * added
    raw = position.raw_margin + added * 20 / plan.leverage - sign * added * 20
    assert abs(whole) * 20 <= cap * (raw + whole * 20) * D("1.000001")
    stop = plan.stop_price
    assert (20 - stop) * sign > 0
    if legs is not Legs.CARRY:
        assert stop == STOPS[legs]
    beyond = stop * (1 - sign * buffer * D("0.999999"))
    assert raw + whole * beyond > maintenance(abs(whole) * beyond, PERP.margin_tiers)


@relaxed
@given(share=st.integers(1, 99).map(lambda n: D(n) / 100))
def test_what_is_reduced_and_what_is_closed_are_the_whole_and_both_can_be_traded(
    share: Decimal,
) -> None:
    desk = holding()
    (trade,) = desk.state.trades.values()
    held = desk.state.counted(trade)
    target = msgspec.structs.replace(
        wanted(trade.notional_of(held) * share, ZERO), action=Action.REDUCE
    )
    kept = reduced_quantity(desk, target, trade)
    if isinstance(kept, str):
        assert lead_remaining(PAIR, held, PAIR.floor_quantity(held * share), D(20)) == ZERO
        return
    assert ZERO <= kept < held
    assert lead_remaining(PAIR, held, kept, D(20)) == kept - held
    assert kept == ZERO or lead_remaining(PAIR, kept, ZERO, D(20)) == -kept


@relaxed
@given(first=st.integers(1, 40), second=st.integers(1, 40))
def test_the_parts_are_the_whole_however_it_is_divided(first: int, second: int) -> None:
    """A fold of growing facts alone: quantities and notionals of the parts add up."""
    desk = holding()
    (trade,) = desk.state.trades.values()
    before = trade.plan
    grown = msgspec.structs.replace(
        before,
        quantity=before.quantity + first,
        notional=before.notional + 20 * first,
        amount_at_risk=before.amount_at_risk + first,
    )
    state = copy(desk.state)
    state.trades = dict(desk.state.trades)
    apply(state, Retargeted("HYPE#1", grown.quantity, False, None, "more", desk.now_ns, grown))
    now = state.trades["HYPE#1"]
    assert (now.quantity, now.tranches, now.held) == (grown.quantity, 2, False)
    assert now.notional_of(now.quantity) == grown.notional
    less = now.quantity - second
    apply(state, Retargeted("HYPE#1", less, False, ExitCause.TARGET, "less", desk.now_ns))
    now = state.trades["HYPE#1"]
    assert (now.quantity, now.targets_met) == (less, 1)
    assert abs(now.notional_of(less) + now.notional_of(D(second)) - grown.notional) < D("1e-20")


@relaxed
@given(
    legs=st.sampled_from([Legs.LONG, Legs.SHORT]),
    stops=st.lists(st.integers(1500, 2500).map(lambda n: D(n) / 100), max_size=6),
)
def test_a_stop_only_ever_moves_to_where_less_is_lost(legs: Legs, stops: list[Decimal]) -> None:
    (trade,) = holding(legs).state.trades.values()
    sign, last = legs.opens(Kind.PERP).sign, trade.plan.stop_price
    for stop in stops:
        kept = kept_stop(trade, wanted(D(1), ZERO, Tactic(legs, stop_price=stop)))
        assert (kept - last) * sign >= 0
        assert kept in (last, stop)
        trade = msgspec.structs.replace(
            trade, plan=msgspec.structs.replace(trade.plan, stop_price=kept)
        )
        last = kept
