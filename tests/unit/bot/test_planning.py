"""What an entry is judged by, and what the margin guard is shown."""

import math
from collections.abc import Mapping
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.desk import Desk, exposure_of, inventory, is_dust, promised, readings
from bot.margin import margin_action, margin_trigger, missing_margin, worse
from bot.planning import _stress_taken, plan_addition, plan_entry, reduced_quantity
from bot.settings import Account
from bot.valuation import holdings
from domain.account import Balance
from domain.instruments import Kind, Pair
from domain.market import Book, Level, PerpContext
from domain.money import ZERO, decimal_of
from domain.orders import OrderRequest, Side, TimeInForce
from domain.rates import FundingRate
from domain.targets import Action, ExitCause, Legs, Tactic, Target
from domain.time import HOUR, MINUTE, SECOND
from execution.facts import (
    CommandGiven,
    Extremes,
    LimitTripped,
    MarginIntended,
    OrderDoubted,
    OrderIntended,
    Reconciled,
    Retargeted,
    Role,
    Stage,
    StageChanged,
    TradePlanned,
)
from execution.risk.calendar import Event
from execution.risk.guard import NOTHING, Close, Release, Shrink, TopUp
from execution.risk.margin import liquidation_price
from execution.state import State, apply
from strategies.market.state import Market
from strategies.strategy import Holding
from tests.scripted import PAIR, PERP, SPOT, START, Scripted, Told, World, settings
from tests.unit.execution.test_state import fill, intend

WANTED = Target(
    "HYPE", Action.ENTER, Decimal(2000), "told: by the test", 0.0001, 0.0, 100.0, 0.002, 0.008,
    0.1, Decimal(10),
)  # fmt: skip


@pytest.fixture
def desk() -> Desk:
    """Two quiet hours of one pair at 20, 10 000 free, nothing held."""
    return of(World(Scripted(lambda _: 20.0, hours=9), Told(enter=99)).run(2.001))


@pytest.fixture
def holding() -> Desk:
    return of(World(Scripted(lambda _: 20.0, hours=9), Told("4000", enter=1)).run(2.501))


def of(world: World) -> Desk:
    made = world.engine._desk()
    assert made is not None
    return made


def with_(desk: Desk, **changes: object) -> Desk:
    return msgspec.structs.replace(desk, **changes)


def plan(desk: Desk, **changes: object) -> TradePlanned:
    made = plan_entry(desk, msgspec.structs.replace(WANTED, **changes), "HYPE#1")
    assert isinstance(made, TradePlanned), made
    return made


def why_not(desk: Desk, **changes: object) -> set[str]:
    """The names of the checks that refuse it."""
    refused = plan_entry(desk, msgspec.structs.replace(WANTED, **changes), "HYPE#1")
    assert isinstance(refused, tuple), "it was planned"
    return {reason.split(":", 1)[0] for reason in refused}


def opened(desk: Desk, stage: Stage = Stage.PREPARING, spot: str = "0", perp: str = "0") -> Desk:
    """A trade of 2000 at 20 that got as far as ``stage`` and these quantities."""
    now_ns = desk.now_ns
    apply(desk.state, plan(desk))
    if stage is not Stage.PREPARING:
        apply(desk.state, StageChanged("HYPE#1", Stage.WORKING, now_ns))
    if spot != "0":
        apply(desk.state, intend("0x101", at=now_ns))
        apply(desk.state, fill(101, "0x101", quantity=spot, at=now_ns))
    if perp != "0":
        apply(desk.state, intend("0x102", Role.HEDGE, at=now_ns))
        apply(desk.state, fill(102, "0x102", quantity=perp, at=now_ns, perp=True))
    if stage is Stage.HOLDING:
        apply(desk.state, StageChanged("HYPE#1", Stage.HOLDING, now_ns))
    return desk


# --- the plan ------------------------------------------------------------------------------------


def test_a_plan_buys_what_the_dearer_leg_lets_the_wanted_notional_buy(desk: Desk) -> None:
    made = plan(desk)
    assert made.quantity == Decimal("99.99")  # the ask is 20.002, the mark 20
    assert (made.leverage, made.maker_leg, made.clipped_by) == (2, Kind.SPOT, ())
    assert made.liquidation_price > made.stop_price > 20
    assert made.time_ns == desk.now_ns


def test_a_plan_says_what_the_trade_is_for_and_when_it_has_paid_its_costs(desk: Desk) -> None:
    made = plan(desk)
    assert made.thesis == "told: by the test"
    assert made.objective == "funding over 100 h; costs repaid in 20 h"
    assert plan(desk, forecast_hourly=-0.1).objective.endswith("costs repaid in 0 h")


def test_an_entry_smaller_than_a_lot_is_refused(desk: Desk) -> None:
    assert why_not(desk, notional=Decimal("0.1")) == {"minimum_quantity"}


def test_a_pair_without_quotes_is_refused(desk: Desk) -> None:
    assert why_not(with_(desk, market=Market())) == {"no_market"}


def test_while_paused_nothing_is_planned(desk: Desk) -> None:
    desk.state.paused = True
    assert why_not(desk) == {"paused"}


def test_a_pair_rests_after_its_trade_was_closed(desk: Desk) -> None:
    opened(desk)
    closed_ns = desk.now_ns
    apply(desk.state, StageChanged("HYPE#1", Stage.CLOSED, closed_ns))
    pause_ns = int(desk.execution.reopen_seconds * SECOND)
    assert why_not(with_(desk, now_ns=closed_ns + pause_ns - 1)) == {"closed_recently"}
    assert "closed_recently" not in why_not(with_(desk, now_ns=closed_ns + pause_ns))


def test_after_a_leg_was_lost_on_one_pair_nothing_is_entered_on_any(desk: Desk) -> None:
    other = Pair(
        "BTC",
        msgspec.structs.replace(SPOT, symbol="UBTC/USDC", base="UBTC"),
        msgspec.structs.replace(PERP, symbol="BTC-PERP", base="BTC"),
    )
    state = State((PAIR, other))
    lost_ns = desk.now_ns
    btc = msgspec.structs.replace(plan(desk), trade_id="BTC#1", pair="BTC")
    apply(state, btc)
    apply(state, Retargeted("BTC#1", ZERO, True, ExitCause.LEG_LOST, "adl", lost_ns))
    both = with_(desk, state=state)
    assert why_not(both) == {"leg_lost"}
    pause_ns = int(desk.execution.reopen_seconds * SECOND)
    assert "leg_lost" not in why_not(with_(both, now_ns=lost_ns + pause_ns))


def test_a_perp_on_which_somebody_holds_a_position_is_not_entered_but_dust_is_no_reason(
    desk: Desk,
) -> None:
    apply(desk.state, fill(1, None, quantity="1.9", perp=True, at=desk.now_ns))
    plan(desk)
    apply(desk.state, fill(2, None, quantity="0.2", perp=True, at=desk.now_ns))
    assert why_not(desk) == {"foreign_position"}


def test_dust_is_what_is_worth_less_than_four_smallest_orders() -> None:
    assert is_dust(SPOT, Decimal("1.99"), Decimal(20))
    assert is_dust(PERP, Decimal("-1.99"), Decimal(20))
    assert not is_dust(PERP, Decimal(-2), Decimal(20))


# --- what the gate is shown ----------------------------------------------------------------------


def test_data_is_as_old_as_the_older_leg_and_as_the_older_of_a_perps_book_and_mark(
    desk: Desk,
) -> None:
    later = with_(desk, now_ns=desk.now_ns + 200 * SECOND, reconciled_ns=desk.now_ns + HOUR)
    assert why_not(later) == {"data_age"}
    for leg in (SPOT, PERP):
        book = Book(
            leg.id, (Level(19.998, 1e6),), (Level(20.002, 1e6),), later.now_ns, later.now_ns
        )
        later.market.observe(book)
    assert why_not(later) == {"data_age", "data_skew"}  # the mark is still the old one
    rate = FundingRate(0.0001, 1)
    later.market.observe(PerpContext(PERP.id, 20.0, 20.0, rate, later.now_ns, later.now_ns))
    plan(later)


def doubted(desk: Desk) -> None:
    request = OrderRequest(
        "0x1", SPOT.id, Side.BUY, Decimal(1), Decimal(20), TimeInForce.IOC,
        reduce_only=False, expires_ns=desk.now_ns,
    )  # fmt: skip
    apply(desk.state, plan(desk))
    apply(desk.state, OrderIntended(request, "HYPE#1", Role.MAKER, Decimal(20), desk.now_ns))
    apply(desk.state, OrderDoubted("0x1", "", desk.now_ns))


def test_each_doubt_is_a_refusal_of_its_own(desk: Desk) -> None:
    assert why_not(with_(desk, reconciled_ns=None)) == {"reconcile_age"}
    assert why_not(with_(desk, orders_last_minute=60)) == {"order_rate"}
    assert why_not(with_(desk, clock_skew_seconds=-1.5)) == {"clock_skew"}
    assert why_not(with_(desk, equity=ZERO)) >= {"equity"}
    doubted(desk)
    apply(desk.state, LimitTripped("delta", False, "", desk.now_ns))
    apply(desk.state, Reconciled(("USDC: books 1, venue 2",), desk.now_ns))
    assert why_not(desk) >= {"limits", "reconciled", "unknown_orders"}


def test_before_any_comparison_the_books_are_not_taken_to_agree(desk: Desk) -> None:
    desk.state.reconciled = None
    assert why_not(desk) == {"reconciled"}


def test_a_market_is_as_bad_as_its_worse_leg(desk: Desk) -> None:
    def quoted(bid: float, ask: float) -> Desk:
        now_ns = desk.now_ns
        desk.market.observe(Book(SPOT.id, (Level(bid, 1e6),), (Level(ask, 1e6),), now_ns, now_ns))
        return desk

    assert why_not(quoted(19.8, 20.2)) == {"depth", "spread"}
    assert why_not(quoted(20.99, 21.01)) == {"dislocation"}


def test_an_unknown_volatility_is_infinite() -> None:
    young = of(World(Scripted(lambda _: 20.0, hours=9), Told(enter=99)).run(0.501))
    assert why_not(young) == {"volatility"}


# --- collateral and exposure ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stage", "spot", "perp", "share"),
    [
        (Stage.PREPARING, "0", "0", "1.5"),  # all of the spot, half of the perp
        (Stage.WORKING, "0", "0", "1.5"),
        (Stage.WORKING, "99.99", "0", "0.5"),
        (Stage.WORKING, "99.99", "99.99", "0"),
        (Stage.HOLDING, "99.99", "99.99", "0"),
        (Stage.HOLDING, "50", "50", "0"),
    ],
)
def test_an_opening_trade_has_promised_what_it_still_has_to_pay(
    desk: Desk, stage: Stage, spot: str, perp: str, share: str
) -> None:
    opened(desk, stage, spot, perp)
    notional = desk.state.trades["HYPE#1"].plan.notional
    assert promised(desk) == pytest.approx(notional * Decimal(share))


def test_what_is_promised_is_not_free_for_the_next(desk: Desk) -> None:
    alone = plan(desk, notional=Decimal(6000))
    assert alone.clipped_by == ()
    balances = (Balance("USDC", Decimal(5000), Decimal(1000)),)
    poor = with_(desk, account=msgspec.structs.replace(desk.account, balances=balances))
    clipped = plan(poor, notional=Decimal(4000))
    assert clipped.notional < Decimal(3000)
    assert "free_collateral" in " ".join(clipped.clipped_by)


def test_what_an_opening_trade_still_has_to_pay_is_not_free_for_another(desk: Desk) -> None:
    """Of 5,000 it takes 3,000 and the reserve is 500: 1,500 carry 1,000 a leg."""
    opened(desk)
    balances = (Balance("USDC", Decimal(5000), ZERO),)
    poor = with_(desk, account=msgspec.structs.replace(desk.account, balances=balances))
    calm = msgspec.structs.replace(desk.limits, stress_move=Decimal("0.01"), stress_hours=0.001)
    made = plan(with_(poor, limits=calm))
    assert "free_collateral" in made.clipped_by
    assert Decimal(990) < made.notional < 1000


def test_what_a_restless_perp_is_topped_up_to_is_reckoned_with_before_it_is_entered(
    desk: Desk,
) -> None:
    """At 4 % an hour the target is 1.64 and not 2: of 3,000 a leg 1,827 of margin, not 1,500."""
    calm = msgspec.structs.replace(desk.limits, stress_move=Decimal("0.01"), stress_hours=0.001)
    balances = (Balance("USDC", Decimal(5100), ZERO),)
    poor = msgspec.structs.replace(desk.account, balances=balances)
    tight = with_(desk, limits=calm, account=poor)
    assert plan(tight, notional=Decimal(3000)).clipped_by == ()
    wild = plan(restless(tight, 0.04), notional=Decimal(3000))
    assert wild.clipped_by == ("stress",)
    assert wild.notional * (1 + 1 / Decimal("1.6422")) == pytest.approx(
        Decimal(4600), rel=Decimal("0.002")
    )


def restless(desk: Desk, volatility: float) -> Desk:
    """``volatility`` of the perp, a fraction per square root of an hour."""
    perp = desk.market.of(PERP.id)
    assert perp is not None
    perp.variance = volatility**2
    return desk


@pytest.mark.parametrize("move", ["0.5", "0.7"])
def test_what_is_planned_lives_through_the_stress_on_margin_and_free_collateral_alone(
    desk: Desk, move: str
) -> None:
    limits = msgspec.structs.replace(
        desk.limits, stress_move=Decimal(move), pair_exposure_max=Decimal(1),
        asset_exposure_max=Decimal(1), venue_exposure_max=Decimal(1), total_exposure_max=Decimal(1),
    )  # fmt: skip
    made = plan(with_(desk, limits=limits), notional=Decimal(10_000), amount_at_risk=Decimal(1))
    bought = made.quantity * Decimal("20.002") * Decimal("1.0007")
    spent = bought + made.notional * (Decimal("0.5") + Decimal("0.00045"))
    to_add = 10_000 - spent - 500  # the reserve is not touched

    raw = made.notional / made.leverage + made.notional + to_add
    dies_at = liquidation_price(-made.quantity, raw, PERP.margin_tiers)
    assert dies_at is not None
    assert 20 * (1 + Decimal(move)) <= dies_at < 20 * (1 + Decimal(move)) * Decimal("1.01")
    assert "stress" in made.clipped_by


def test_the_stress_of_a_restless_pair_is_what_its_volatility_makes_of_it(desk: Desk) -> None:
    calm = plan(desk, notional=Decimal(3000))
    assert calm.clipped_by == ()
    wild = plan(restless(desk, 0.049), notional=Decimal(3000))
    assert wild.clipped_by == ()  # 3000 x (1 + 1.79 + 5 % of 2.79) are there
    lone = with_(desk, account=msgspec.structs.replace(
        desk.account, balances=(Balance("USDC", Decimal(7000), ZERO),)
    ))  # fmt: skip
    assert plan(lone, notional=Decimal(3000)).clipped_by == ("stress",)


def test_what_is_held_takes_of_the_stress_first(desk: Desk) -> None:
    limits = msgspec.structs.replace(desk.limits, stress_move=Decimal(2))
    alone = plan(with_(desk, limits=limits))
    other = opened(with_(desk, limits=limits), Stage.WORKING)
    second = plan(other)
    assert alone.clipped_by == ()
    assert second.clipped_by == ("stress",)
    assert second.notional < alone.notional
    # Of twice as much less than half is left: it would block the pair for as long as it is held.
    (refusal,) = plan_entry(
        other, msgspec.structs.replace(WANTED, notional=Decimal(4000)), "HYPE#2"
    )  # type: ignore[misc]
    assert refusal == f"stress: only {second.quantity} of 199.98 would live through it"


def test_a_restless_perp_is_held_at_less_leverage_and_the_difference_is_topped_up(
    holding: Desk,
) -> None:
    trade = holding.state.trades["HYPE#1"]
    assert missing_margin(holding, trade) is None
    calm = margin_trigger(holding, trade)

    missing = missing_margin(restless(holding, 0.04), trade)
    position = holding.account.position(PERP.id)
    assert position is not None
    notional = -position.quantity * 20
    assert missing is not None
    assert notional / (position.margin + missing) == pytest.approx(
        Decimal("1.6422"), rel=Decimal("0.001")
    )
    assert margin_trigger(holding, trade) == calm, "the guard itself acts where it did"


def test_exposure_is_the_larger_of_what_is_held_and_what_is_wanted_at_mark(desk: Desk) -> None:
    opened(desk, Stage.WORKING, "120", "50")
    trade = desk.state.trades["HYPE#1"]
    assert exposure_of(desk, trade) == 120 * desk.marks[PERP.id]
    assert exposure_of(with_(desk, marks={}), trade) == trade.plan.notional


# --- margin --------------------------------------------------------------------------------------


def test_without_a_position_there_is_nothing_to_guard(desk: Desk) -> None:
    trade = opened(desk).state.trades["HYPE#1"]
    assert margin_action(desk, trade) == NOTHING
    assert margin_trigger(desk, trade) is None


def marked(desk: Desk, price: float) -> Desk:
    at = desk.now_ns + SECOND
    rate = FundingRate(0.0001, 1)
    desk.market.observe(PerpContext(PERP.id, price, price, rate, at, at))
    return desk


def test_the_guard_acts_from_its_trigger_on_and_not_before(holding: Desk) -> None:
    trade = holding.state.trades["HYPE#1"]
    trigger = margin_trigger(holding, trade)
    assert trigger is not None
    assert 20 < trigger < 22.5
    assert margin_action(marked(holding, trigger - 0.01), trade) == NOTHING
    action = margin_action(marked(holding, trigger + 0.01), trade)
    assert isinstance(action, TopUp)


def test_without_free_collateral_the_guard_shrinks_by_what_the_trades_own_spot_brings(
    holding: Desk,
) -> None:
    poor = with_(holding, account=msgspec.structs.replace(holding.account, balances=()))
    trade = poor.state.trades["HYPE#1"]
    action = margin_action(marked(poor, 23.0), trade)
    assert isinstance(action, Shrink)
    assert ZERO < action.quantity < trade.quantity


def test_margin_far_above_need_is_returned(holding: Desk) -> None:
    assert isinstance(margin_action(marked(holding, 8.0), holding.state.trades["HYPE#1"]), Release)


def test_extremes_only_ever_get_worse(holding: Desk) -> None:
    position = holding.account.position(PERP.id)
    assert position is not None
    at_entry = worse(Extremes(), holding.state, position, 20.0)
    higher = worse(at_entry, holding.state, position, 24.0)
    assert higher.leverage_held > at_entry.leverage_held > ZERO
    assert at_entry.liquidation_distance is not None
    assert higher.liquidation_distance is not None
    assert higher.liquidation_distance < at_entry.liquidation_distance
    assert worse(higher, holding.state, position, 15.0) == higher
    bankrupt = worse(higher, holding.state, position, 40.0)
    assert bankrupt.leverage_held == higher.leverage_held  # without margin it has no meaning
    assert bankrupt.liquidation_distance == 0
    foreign = msgspec.structs.replace(position, instrument="sim:X-PERP")
    assert worse(higher, holding.state, foreign, 24.0) == higher


# --- market guards -------------------------------------------------------------------------------


def test_an_event_ahead_refuses_an_entry_and_one_that_is_over_does_not(desk: Desk) -> None:
    soon = (Event("FOMC", desk.now_ns + HOUR, "told"),)
    assert why_not(with_(desk, events=soon)) == {"event"}
    plan(with_(desk, events=(Event("FOMC", desk.now_ns - 1, "told"),)))


def test_an_entry_is_no_larger_than_the_thinner_side_of_the_thinnest_book(desk: Desk) -> None:
    now_ns = desk.now_ns
    near, far = Level(20.002, 10.0), Level(20.05, 40.0)
    desk.market.observe(
        Book(SPOT.id, (Level(19.998, 1e6),), (near, far, Level(20.2, 1e6)), now_ns, now_ns)
    )
    made = plan(desk)

    assert made.clipped_by == ("depth",)
    within = decimal_of(20.002 * 10.0 + 20.05 * 40.0)
    assert within * Decimal("0.99") < made.notional <= within


def told_interest(desk: Desk, times: int, interest: float) -> Desk:
    """A context every five minutes at 20, with 24 million traded a day."""
    rate = FundingRate(0.0001, 1)
    for number in range(1, times + 1):
        at = desk.now_ns + number * 5 * MINUTE
        told = PerpContext(PERP.id, 20.0, 20.0, rate, at, at, interest, 24e6)
        desk.market.observe(told)
    return with_(desk, now_ns=desk.now_ns + times * 5 * MINUTE)


def test_forced_orders_near_above_refuse_an_entry_where_open_interest_is_known(
    desk: Desk,
) -> None:
    """Shorts from 20 at ten times are liquidated at 20.95: 4.8 % above, a quarter of them all."""
    near = msgspec.structs.replace(desk.limits, cluster_distance=0.05)
    wide = told_interest(with_(desk, limits=near), 12, interest=1e6)
    # 250 000 coins at 20.95 are 5.2 million: 5.2 hours at one million an hour.
    assert "clusters" in why_not(wide)
    assert "clusters" not in why_not(with_(wide, limits=desk.limits))  # one percent is less
    off = msgspec.structs.replace(desk.limits, cluster_distance=0.0)
    assert "clusters" not in why_not(with_(wide, limits=off))


@pytest.mark.parametrize(("legs", "stop"), [(Legs.SHORT, "21"), (Legs.LONG, "19")])
def test_only_forced_orders_on_the_side_that_hurts_count(desk: Desk, legs: Legs, stop: str) -> None:
    """Those of longs from 20 begin 4.9 % below, those of shorts 4.6 % above."""
    near = msgspec.structs.replace(desk.limits, cluster_distance=0.047)
    told = plan_entry(told_interest(with_(desk, limits=near), 12, 1e6), alone(legs, stop), "HYPE#1")
    refused = [] if isinstance(told, TradePlanned) else [why.split(":")[0] for why in told]
    assert ("clusters" in refused) is (legs is Legs.SHORT)


def test_the_book_of_a_leg_that_is_not_traded_keeps_nothing_out(desk: Desk) -> None:
    now_ns = desk.now_ns
    desk.market.observe(Book(SPOT.id, (Level(19.8, 1e6),), (Level(20.2, 1e6),), now_ns, now_ns))
    assert why_not(desk) == {"depth", "spread"}
    assert isinstance(plan_entry(desk, alone(Legs.LONG, "19"), "HYPE#1"), TradePlanned)


def test_a_perp_alone_is_stopped_and_needs_no_margin_for_the_stress(desk: Desk) -> None:
    wild = with_(desk, limits=msgspec.structs.replace(desk.limits, stress_move=Decimal(5)))
    assert "stress" in plan(wild).clipped_by
    made = plan_entry(wild, alone(Legs.SHORT, "21"), "HYPE#1")
    assert isinstance(made, TradePlanned)
    assert "stress" not in made.clipped_by
    run = World(Scripted(lambda _: 20.0, 9), Held(Tactic(Legs.SHORT, stop_price=Decimal(21)))).run(
        3
    )
    held = of(run)
    assert _stress_taken(with_(held, limits=wild.limits)) == ZERO


def test_where_open_interest_is_not_known_nothing_is_refused_for_it(desk: Desk) -> None:
    near = msgspec.structs.replace(desk.limits, cluster_distance=0.05)
    plan(with_(desk, limits=near))


def test_before_an_event_margin_is_added_where_the_market_is_lively(holding: Desk) -> None:
    trade = holding.state.trades["HYPE#1"]
    wary = msgspec.structs.replace(holding.limits, event_volatility=8.0)
    lively(holding, 0.02)
    soon = (Event("CPI", holding.now_ns + HOUR, "told"),)

    assert margin_action(with_(holding, limits=wary), trade) == NOTHING
    action = margin_action(with_(holding, limits=wary, events=soon), trade)
    assert isinstance(action, TopUp)
    assert "CPI in 1.0 h" in action.why


def test_when_volatility_has_spiked_margin_is_added_first(holding: Desk) -> None:
    trade = holding.state.trades["HYPE#1"]
    lively(holding, 0.06)
    assert isinstance(margin_action(holding, trade), TopUp)


def test_without_free_collateral_a_spike_sells_only_what_saves_more_than_it_costs(
    holding: Desk,
) -> None:
    trade = holding.state.trades["HYPE#1"]
    poor = with_(holding, account=msgspec.structs.replace(holding.account, balances=()))
    lively(poor, 0.06)  # 17 % in 8 hours, 43 % to liquidation: a chance of 1 %
    assert margin_action(poor, trade) == NOTHING
    lively(poor, 0.2)  # 57 %: a chance of a half, of losing over 5 %
    action = margin_action(poor, trade)
    assert isinstance(action, Shrink)
    assert action.cause is ExitCause.VOLATILITY


def lively(desk: Desk, volatility: float) -> None:
    state = desk.market.of(PERP.id)
    assert state is not None
    state.variance = volatility**2


# --- readings ------------------------------------------------------------------------------------


def test_readings_are_of_the_open_trades(holding: Desk) -> None:
    quiet = readings(holding)
    assert quiet.data_age_seconds < 60
    assert quiet.delta_seconds == 0
    trade = msgspec.structs.replace(
        holding.state.trades["HYPE#1"], naked_ns=holding.now_ns - 30 * SECOND
    )
    holding.state.trades["HYPE#1"] = trade
    assert readings(holding).delta_seconds == 30
    assert readings(with_(holding, market=Market())).data_age_seconds == math.inf


def test_without_a_trade_no_age_of_data_matters(desk: Desk) -> None:
    assert readings(with_(desk, market=Market())).data_age_seconds == 0


def test_before_the_first_valuation_the_days_loss_counts_from_the_capital() -> None:
    young = of(World(Scripted(lambda _: 20.0, hours=9), Told(enter=99)).run(0.5))
    assert young.state.day_start is None
    assert readings(young).equity_day_start == 10_000
    assert young.now_ns < START + HOUR


# --- a perp alone, and coins of one's own --------------------------------------------------------


def alone(legs: Legs, stop: str, leverage: str = "20") -> Target:
    how = Tactic(legs, stop_price=Decimal(stop), leverage=Decimal(leverage))
    return msgspec.structs.replace(WANTED, how=how)


@given(
    legs=st.sampled_from([Legs.LONG, Legs.SHORT]),
    distance=st.decimals("0.001", "0.6", places=4),
    leverage=st.integers(1, 50),
    cap=st.decimals("1.5", "40", places=1),
    buffer=st.decimals("0.05", "0.3", places=2),
)
def test_no_plan_for_a_perp_alone_has_its_liquidation_near_its_stop(
    quiet: Desk, legs: Legs, distance: Decimal, leverage: int, cap: Decimal, buffer: Decimal
) -> None:
    """R12: whatever leverage is asked for, liquidation lies the buffer beyond the stop."""
    limits = msgspec.structs.replace(
        quiet.limits,
        leverage_cap=cap,
        leverage_guard=min(cap, Decimal("2.5")),
        leverage_target=min(cap, Decimal("2.5")) * Decimal("0.8"),
        liquidation_buffer=buffer,
        liquidation_distance_min=max(buffer, Decimal("0.1")),
    )
    sign = legs.opens(Kind.PERP).sign
    stop = PERP.round_price(20 * (1 - sign * distance), up=False)
    plan = plan_entry(
        msgspec.structs.replace(quiet, limits=limits), alone(legs, str(stop), str(leverage)), "X#1"
    )
    if isinstance(plan, TradePlanned):
        assert plan.legs is legs
        assert plan.leverage <= min(Decimal(leverage), cap)
        assert (20 - plan.stop_price) * sign > 0
        if plan.liquidation_price:
            beyond = (plan.stop_price - plan.liquidation_price) * sign / plan.stop_price
            assert beyond >= buffer
    else:
        refused = {reason.split(":")[0] for reason in plan}
        assert refused <= {"stop", "liquidation_buffer", "liquidation_distance"}


@pytest.fixture(scope="module")
def quiet() -> Desk:
    return of(World(Scripted(lambda _: 20.0, hours=9), Told(enter=99)).run(2.001))


@pytest.mark.parametrize(
    ("legs", "stop", "leverage"),
    # Ten times at most by the venue, so 5 % maintenance; 10 % buffer, 25 % to liquidation.
    [(Legs.LONG, "19", 2), (Legs.SHORT, "21", 2), (Legs.LONG, "12", 2), (Legs.LONG, "11", 1)],
)
def test_the_leverage_of_a_perp_alone_is_the_most_that_all_bounds_allow(
    desk: Desk, legs: Legs, stop: str, leverage: int
) -> None:
    plan = plan_entry(desk, alone(legs, stop), "HYPE#1")
    assert isinstance(plan, TradePlanned)
    assert (plan.leverage, plan.stop_price) == (leverage, Decimal(stop))


@pytest.mark.parametrize("stop", ["20.2", "21", "22", "23", "26"])
def test_no_stop_of_a_short_is_refused_for_a_leverage_that_was_chosen_for_it(
    quiet: Desk, stop: str
) -> None:
    limits = msgspec.structs.replace(
        quiet.limits, leverage_cap=Decimal(20), liquidation_distance_min=Decimal("0.1")
    )
    plan = plan_entry(with_(quiet, limits=limits), alone(Legs.SHORT, stop, "10"), "HYPE#1")
    assert isinstance(plan, TradePlanned), plan


def test_its_trigger_and_its_guard_are_the_stop_and_it_is_never_topped_up(desk: Desk) -> None:
    how = Tactic(Legs.LONG, stop_price=Decimal(19))
    run = World(Scripted(lambda n: 20.0 if n < 240 else 19.2, 9), Held(how)).run(4.2)
    held = of(run)
    trade = held.state.trades["HYPE#1"]
    assert margin_trigger(held, trade) == 19.0
    assert margin_action(held, trade) == NOTHING
    assert missing_margin(held, trade) is None
    run = World(Scripted(lambda n: 20.0, 9), Held(how)).run(2.5)
    at_stop = PerpContext(
        PERP.id, 19.0, 19.0, FundingRate(0.0001, 1), run.venue.now_ns, run.venue.now_ns
    )
    run.engine.market.observe(at_stop)
    action = margin_action(of(run), run.engine.state.trades["HYPE#1"])
    assert isinstance(action, Close)


def test_a_plan_keeps_the_basis_stop_that_it_was_sized_for(desk: Desk) -> None:
    sized = plan(desk, how=Tactic(Legs.CARRY, basis_stop=0.031))
    assert "the basis 3.10% against it" in sized.invalidation
    apply(desk.state, sized)
    assert holdings(desk.state)["HYPE"].basis_stop == 0.031


class Held(Told):
    def __init__(self, how: Tactic) -> None:
        super().__init__("2000", enter=1.0)
        self._how = how

    def targets(
        self, market: Market, holdings: Mapping[str, Holding], equity: Decimal, now_ns: int
    ) -> tuple[Target, ...]:
        (told,) = super().targets(market, holdings, equity, now_ns)
        return (msgspec.structs.replace(told, how=self._how),)


def test_what_buys_sold_coins_back_is_free_for_nobody_else() -> None:
    chosen = settings(account=Account(inventory="HYPE:100"))
    world = Scripted(lambda _: 20.0, 9)
    run = World(world, Held(Tactic(Legs.REVERSE)), chosen=chosen).run(4)
    desk = of(run)
    sold = -desk.state.quantities(desk.state.trades["HYPE#1"])[0]
    assert sold > 90
    assert promised(desk) == sold * 20
    assert inventory(desk.state, PAIR) == 100


# --- more of what is held ------------------------------------------------------------------------


def more(desk: Desk, **changes: object) -> TradePlanned | set[str]:
    """The plan of the whole, or the names of the checks that refuse it."""
    wanted = msgspec.structs.replace(WANTED, action=Action.ADD, notional=Decimal(3000))
    made = plan_addition(
        desk, msgspec.structs.replace(wanted, **changes), desk.state.trades["HYPE#1"]
    )
    return made if isinstance(made, TradePlanned) else {why.split(":", 1)[0] for why in made}


@pytest.fixture
def half() -> Desk:
    """2000 of one pair at 20, held for more than an hour."""
    return of(World(Scripted(lambda _: 20.0, hours=9), Told("2000", enter=1)).run(2.501))


def test_an_addition_plans_the_whole_and_keeps_what_the_trade_is_for(half: Desk) -> None:
    before, made = half.state.trades["HYPE#1"].plan, more(half, reason="more: it went well")
    assert isinstance(made, TradePlanned)
    assert made.quantity == pytest.approx(Decimal(150), rel=Decimal("0.001"))
    assert made.notional == pytest.approx(Decimal(3000), rel=Decimal("0.001"))
    assert (made.thesis, made.time_ns, made.leverage) == (before.thesis, before.time_ns, 2)
    assert made.liquidation_price > made.stop_price > 20


def test_what_is_held_risks_its_part_of_the_plan_and_keeps_its_basis_stop(half: Desk) -> None:
    """A trade that stopped half way risks half of what was planned."""
    trade = half.state.trades["HYPE#1"]
    planned = msgspec.structs.replace(
        trade.plan, quantity=2 * trade.plan.quantity, notional=2 * trade.plan.notional,
        amount_at_risk=Decimal(60), basis_stop=0.03,
    )  # fmt: skip
    half.state.trades["HYPE#1"] = msgspec.structs.replace(trade, plan=planned)
    made = more(half, amount_at_risk=Decimal(75))
    assert isinstance(made, TradePlanned)
    assert made.amount_at_risk == pytest.approx(Decimal(75), rel=Decimal("0.001"))
    assert made.basis_stop == 0.03


def test_what_is_held_takes_its_part_of_every_cap(half: Desk) -> None:
    tight = msgspec.structs.replace(half.limits, pair_exposure_max=Decimal("0.25"))
    made = more(with_(half, limits=tight))
    assert isinstance(made, TradePlanned)
    assert made.clipped_by == ("pair_exposure",)
    assert made.quantity * 20 <= half.equity / 4
    full = msgspec.structs.replace(half.limits, asset_exposure_max=Decimal("0.2"))
    assert more(with_(half, limits=full)) == {"asset_exposure"}


def test_what_is_held_has_to_leave_through_the_same_book(half: Desk) -> None:
    """250 coins rest within the bound on the thinner side; 100 are held, so that 150 are left."""
    thin = Book(SPOT.id, (Level(19.998, 250.0),), (Level(20.002, 1e6),), half.now_ns, half.now_ns)
    half.market.observe(thin)
    made = more(half, notional=Decimal(5300))
    assert isinstance(made, TradePlanned)
    assert made.clipped_by == ("depth",)
    assert made.quantity == pytest.approx(Decimal(250), rel=Decimal("0.01"))


def test_nothing_is_added_to_what_is_not_as_it_was_decided(half: Desk) -> None:
    (position,) = half.account.positions
    other = msgspec.structs.replace(position, quantity=position.quantity - 1)
    account = msgspec.structs.replace(half.account, positions=(other,))
    assert more(with_(half, account=account)) == {"position"}
    moved = MarginIntended("m", "HYPE#1", PERP.id, Decimal(9), "up", half.now_ns - SECOND)
    apply(half.state, moved)
    assert more(half) == {"margin"}
    # One that had no answer in time does not stand in the way for ever.
    assert isinstance(more(with_(half, now_ns=half.now_ns + 3 * SECOND)), TradePlanned)
    apply(half.state, StageChanged("HYPE#1", Stage.WORKING, half.now_ns))
    assert more(half) == {"working"}


def test_leverage_that_the_venue_does_not_take_for_so_much_is_refused(half: Desk) -> None:
    trade = half.state.trades["HYPE#1"]
    high = msgspec.structs.replace(trade.plan, leverage=50)
    half.state.trades["HYPE#1"] = msgspec.structs.replace(trade, plan=high)
    assert more(half) == {"leverage"}


def test_no_doubt_that_stops_an_entry_lets_an_addition_pass(half: Desk) -> None:
    apply(half.state, CommandGiven("pause", "", "tester", half.now_ns))
    assert more(half) == {"paused"}
    apply(half.state, CommandGiven("resume", "", "tester", half.now_ns))
    assert isinstance(more(half), TradePlanned)
    apply(half.state, intend("0x9", at=half.now_ns))
    apply(half.state, OrderDoubted("0x9", "no answer", half.now_ns))
    apply(half.state, LimitTripped("drawdown", True, "", half.now_ns))
    apply(half.state, Reconciled(("BTC: 1 and 2",), half.now_ns))
    assert more(half) == {"unknown_orders", "limits", "reconciled"}


def test_how_often_a_pair_was_opened_says_nothing_against_more_of_it(half: Desk) -> None:
    half.state.opens["HYPE"] = [half.now_ns] * 100
    assert isinstance(more(half), TradePlanned)


def test_less_is_a_share_of_what_is_wanted_or_held(half: Desk) -> None:
    trade = half.state.trades["HYPE#1"]

    def kept(notional: str) -> Decimal | str:
        target = msgspec.structs.replace(WANTED, action=Action.REDUCE, notional=Decimal(notional))
        return reduced_quantity(half, target, trade)

    assert kept("1000") == pytest.approx(Decimal(50), abs=Decimal("0.02"))
    assert kept("9") == ZERO  # no order would close so little later
    assert kept("5000") == trade.quantity
    assert str(kept("1995")).startswith("minimum_notional: ")
