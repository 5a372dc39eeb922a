"""The pair machine, one situation at a time."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.instruments import FeeSchedule, Instrument, Kind, MarginTier, Pair
from domain.market import Book, Level
from domain.money import ZERO
from domain.orders import OrderRequest, Side, TimeInForce
from domain.targets import ExitCause, Legs
from domain.time import SECOND
from execution.facts import Role, Stage, TradePlanned
from execution.orders import Order, OrderState
from execution.pairs import (
    ExecutionPolicy,
    PairTrade,
    Situation,
    Work,
    gave_up,
    naked_quantity,
    step,
)
from strategies.market.state import InstrumentState, Market

SPOT = Instrument(
    "sim", "HYPE/USDC", Kind.SPOT, "HYPE", "USDC", Decimal("0.01"), 6, Decimal(10),
    FeeSchedule(Decimal("0.0004"), Decimal("0.0007"), buyer_pays_base=True), 5,
)  # fmt: skip
PERP = Instrument(
    "sim", "HYPE-PERP", Kind.PERP, "HYPE", "USDC", Decimal("0.01"), 4, Decimal(10),
    FeeSchedule(Decimal("0.00015"), Decimal("0.00045")), 5,
    (MarginTier(ZERO, 10),), 1,
)  # fmt: skip
PAIR = Pair("HYPE", SPOT, PERP)
POLICY = ExecutionPolicy()
NOW = 1_000_000 * SECOND


def book(instrument: Instrument, bid: float, ask: float, size: float = 1e4) -> InstrumentState:
    market = Market()
    market.observe(Book(instrument.id, (Level(bid, size),), (Level(ask, size),), NOW, NOW))
    state = market.of(instrument.id)
    assert state is not None
    return state


def trade(quantity: str, **changes: object) -> PairTrade:
    plan = TradePlanned(
        "HYPE#1", "HYPE", "spot", Decimal(quantity), Decimal(2000), 2, "", "", "",
        Decimal(20), Decimal(30), Decimal(27), 0.0, 0.0, 0.0, (), NOW,
    )  # fmt: skip
    held = PairTrade(plan, Decimal(quantity), Stage.WORKING, worked_ns=NOW)
    return msgspec.structs.replace(held, **changes)


def situation(
    wanted: PairTrade, spot: str = "0", perp: str = "0", *orders: Order, **changes: object
) -> Situation:
    made = Situation(
        wanted, PAIR, Decimal(spot), Decimal(perp),
        book(SPOT, 20.0, 20.01), book(PERP, 20.02, 20.03),
        orders, may_grow=True, now_ns=NOW, policy=POLICY,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def order(
    instrument: Instrument = SPOT,
    side: Side = Side.BUY,
    quantity: str = "50",
    price: str = "20",
    role: Role = Role.MAKER,
    state: OrderState = OrderState.OPEN,
) -> Order:
    tif = TimeInForce.POST_ONLY if role is Role.MAKER else TimeInForce.IOC
    request = OrderRequest(
        "0x1", instrument.id, side, Decimal(quantity), Decimal(price), tif,
        reduce_only=False, expires_ns=NOW,
    )  # fmt: skip
    return Order(request, "HYPE#1", role, Decimal(20), NOW - 60 * SECOND, state)


def test_an_opening_rests_a_buy_of_spot_at_the_best_bid_no_larger_than_the_naked_bound() -> None:
    (first,) = step(situation(trade("100"))).place
    assert (first.instrument, first.side, first.price) == (SPOT, Side.BUY, Decimal("20.0"))
    assert first.time_in_force is TimeInForce.POST_ONLY
    assert first.quantity == Decimal("49.95")  # 1000 of naked bound at the perp's bid of 20.02
    assert first.role is Role.MAKER


def test_legs_far_apart_keep_the_naked_bound_at_either_price() -> None:
    """Of a sale of spot that is bought back dearer, the perp's price is what is naked."""
    apart = situation(trade("0"), "100", "-100", perp_market=book(PERP, 20.9, 21.0))
    (first,) = step(apart).place

    assert (first.instrument, first.side) == (SPOT, Side.SELL)
    assert first.quantity * 21 <= POLICY.max_naked_notional < (first.quantity + 1) * 21


def test_a_perp_that_is_thinner_makes_instead() -> None:
    wanted = trade("100")
    plan = msgspec.structs.replace(wanted.plan, maker_leg="perp")
    (first,) = step(situation(msgspec.structs.replace(wanted, plan=plan))).place
    assert (first.instrument, first.side, first.price) == (PERP, Side.SELL, Decimal("20.03"))


def test_a_fill_of_spot_is_hedged_at_once_by_selling_what_was_received_in_whole_lots() -> None:
    (hedge,) = step(situation(trade("100"), "49.9812", "0")).place
    assert (hedge.instrument, hedge.side, hedge.role) == (PERP, Side.SELL, Role.HEDGE)
    assert hedge.quantity == Decimal("49.98")
    assert hedge.time_in_force is TimeInForce.IOC
    assert not hedge.reduce_only
    # Bounded: never below 50 bps under the mid of 20.025.
    assert Decimal("19.92") <= hedge.price <= Decimal("19.93")


def test_the_hedge_waits_for_the_one_already_on_the_road() -> None:
    sent = order(PERP, Side.SELL, role=Role.HEDGE, state=OrderState.PENDING)
    assert step(situation(trade("100"), "50", "0", sent)) == Work()


def test_a_fill_too_small_to_hedge_accumulates_while_the_order_goes_on() -> None:
    resting = order()
    assert step(situation(trade("100"), "0.4", "0", resting)) == Work()
    assert naked_quantity(PAIR, Decimal("0.4"), ZERO, Decimal(20)) == ZERO


def test_no_new_slice_goes_out_while_an_order_is_unknown() -> None:
    lost = order(PERP, Side.SELL, "10", role=Role.HEDGE, state=OrderState.UNKNOWN)
    assert step(situation(trade("100"), "50", "-50", lost)) == Work()


def test_a_hedged_trade_at_its_target_is_settled_with_its_dust() -> None:
    assert step(situation(trade("100"), "99.9612", "-99.96")).settled


def test_a_close_rests_a_sale_of_spot_and_each_fill_buys_back_the_perp() -> None:
    closing = trade("0", held=True)
    (lead,) = step(situation(closing, "40.0012", "-40")).place
    assert (lead.instrument, lead.side, lead.quantity) == (SPOT, Side.SELL, Decimal("40.00"))
    (hedge,) = step(situation(closing, "10.0012", "-40")).place
    assert (hedge.instrument, hedge.side, hedge.quantity) == (PERP, Side.BUY, Decimal("29.99"))
    assert hedge.reduce_only


def test_a_closing_hedge_never_leaves_dust_on_the_perp() -> None:
    # 0.3 would be left: 6 USDC, which no order may trade.
    (hedge,) = step(situation(trade("0"), "0.3012", "-40")).place
    assert hedge.quantity == 40


def test_a_closed_trade_leaves_only_what_no_order_may_trade() -> None:
    work = step(situation(trade("0"), "0.0012", "0"))
    assert work.settled
    assert not work.place


def test_an_urgent_close_takes_the_perp_first_and_lets_no_order_rest() -> None:
    urgent = trade("0", urgent=True)
    (lead,) = step(situation(urgent, "40", "-40")).place
    assert (lead.instrument, lead.side) == (PERP, Side.BUY)
    assert (lead.time_in_force, lead.role) == (TimeInForce.IOC, Role.FORCED)
    assert lead.reduce_only
    resting = order(SPOT, Side.SELL, "40", "20.01")
    assert step(situation(urgent, "40", "-40", resting)).cancel == (resting,)


def test_a_shrink_stops_at_its_target() -> None:
    shrinking = trade("30", urgent=True)
    (lead,) = step(situation(shrinking, "40", "-40")).place
    assert lead.quantity == 10
    (follow,) = step(situation(shrinking, "40", "-30")).place
    assert (follow.instrument, follow.side, follow.quantity) == (SPOT, Side.SELL, Decimal(10))
    assert step(situation(shrinking, "30", "-30")).settled


def test_past_the_time_bound_the_cheaper_way_out_of_a_naked_leg_is_taken() -> None:
    overdue = trade("100", naked_ns=NOW - 16 * SECOND)
    wide_perp = situation(overdue, "50", "0", perp_market=book(PERP, 19.5, 20.5))
    (unwind,) = step(wide_perp).place
    assert (unwind.instrument, unwind.side, unwind.role) == (SPOT, Side.SELL, Role.UNWIND)
    (complete,) = step(situation(overdue, "50", "0")).place
    assert (complete.instrument, complete.side) == (PERP, Side.SELL)
    # The bound is wider now: 300 bps.
    assert complete.price < Decimal("19.5")


def test_within_the_time_bound_the_trade_is_completed_even_where_unwinding_is_cheaper() -> None:
    naked = trade("100", naked_ns=NOW - SECOND)
    (hedge,) = step(situation(naked, "50", "0", perp_market=book(PERP, 19.98, 20.06))).place
    assert (hedge.instrument, hedge.side) == (PERP, Side.SELL)


def test_a_hedge_takes_no_more_than_the_depth_within_its_bound() -> None:
    thin = situation(trade("100"), "50", "0", perp_market=book(PERP, 20.02, 20.03, size=20))
    (hedge,) = step(thin).place
    assert hedge.quantity == 20


def test_a_resting_order_left_behind_by_the_market_is_moved_but_not_at_once() -> None:
    left = order(price="19.9")
    assert step(situation(trade("100"), "0", "0", left)).cancel == (left,)
    young = msgspec.structs.replace(left, intended_ns=NOW - SECOND)
    assert step(situation(trade("100"), "0", "0", young)) == Work()


def test_a_resting_order_at_the_touch_stays() -> None:
    assert step(situation(trade("100"), "0", "0", order())) == Work()


def test_growing_needs_permission_while_hedging_and_closing_do_not() -> None:
    forbidden = situation(trade("100"), may_grow=False)
    assert step(forbidden) == Work()
    assert step(situation(trade("100"), "0", "0", order(), may_grow=False)).cancel
    assert step(situation(trade("100"), "50", "0", may_grow=False)).place
    assert step(situation(trade("0"), "50", "-50", may_grow=False)).place


def test_an_opening_without_a_fill_gives_up_and_a_close_takes() -> None:
    late = NOW - 1801 * SECOND
    assert gave_up(situation(trade("100", worked_ns=late)))
    assert not gave_up(situation(trade("100")))
    (taker,) = step(situation(trade("0", worked_ns=late), "40", "-40")).place
    assert (taker.instrument, taker.role) == (SPOT, Role.TAKE)
    assert taker.time_in_force is TimeInForce.IOC


def test_after_setbacks_the_next_order_waits_longer_each_time() -> None:
    once = trade("100", setbacks=1, setback_ns=NOW - 3 * SECOND)
    assert step(situation(once)).place
    often = trade("100", setbacks=3, setback_ns=NOW - 3 * SECOND)
    assert step(situation(often)) == Work()


def test_a_lost_perp_leg_is_followed_by_the_spot() -> None:
    lost = trade("10", urgent=True, cause=ExitCause.LEG_LOST)
    (follow,) = step(situation(lost, "40", "-10")).place
    assert (follow.instrument, follow.side, follow.quantity) == (SPOT, Side.SELL, Decimal(30))


def test_without_a_book_nothing_is_sent() -> None:
    blind = InstrumentState(PERP.id)
    assert step(situation(trade("100"), "50", "0", perp_market=blind)) == Work()


@pytest.mark.parametrize(
    ("field", "value"), [("max_naked_seconds", 0.0), ("slippage_bps_max", Decimal(500))]
)
def test_a_policy_that_cannot_be_meant_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"slippage_bps_max|max_naked_seconds"):
        ExecutionPolicy(**{field: value})  # type: ignore[arg-type]


def test_what_cannot_be_hedged_now_is_at_least_not_made_worse() -> None:
    resting = order(quantity="10")
    blind = InstrumentState(PERP.id)
    work = step(situation(trade("100"), "40", "0", resting, perp_market=blind))
    assert (work.cancel, work.place) == ((resting,), ())


def test_a_slice_is_no_larger_than_what_the_other_legs_book_can_hedge_at_once() -> None:
    thin = situation(trade("100"), perp_market=book(PERP, 20.02, 20.03, size=7))
    (lead,) = step(thin).place
    assert (lead.instrument, lead.quantity) == (SPOT, Decimal(7))
    dry = situation(trade("100"), perp_market=book(PERP, 20.02, 20.03, size=0.1))
    assert step(dry) == Work()
    closing = situation(trade("0"), "40", "-40", perp_market=book(PERP, 20.02, 20.03, size=0.1))
    assert step(closing) == Work()


def test_no_slice_leaves_a_rest_that_is_too_small_to_trade() -> None:
    # 50.4 in slices of 50 would leave 8 USDC.
    (lead,) = step(situation(trade("50.4"))).place
    assert lead.quantity == Decimal("25.2")


def test_what_has_no_price_is_not_taken_for_dust() -> None:
    spot, perp = InstrumentState(SPOT.id), InstrumentState(PERP.id)
    held = situation(trade("0"), "40", "-40", spot_market=spot, perp_market=perp)
    assert step(held) == Work()
    assert step(situation(trade("100"), spot_market=spot, perp_market=perp)) == Work()
    assert not step(situation(trade("0"), "0.1", "0", perp_market=perp)).settled


def test_past_the_time_bound_a_way_that_finds_nothing_gives_way_to_the_other() -> None:
    ways = []
    for setbacks in range(4):
        overdue = trade(
            "100", naked_ns=NOW - 60 * SECOND, setbacks=setbacks, setback_ns=NOW - 20 * SECOND
        )
        (way,) = step(situation(overdue, "50", "0")).place
        ways.append((way.instrument, way.side, way.role))
    complete = (PERP, Side.SELL, Role.HEDGE)
    unwind = (SPOT, Side.SELL, Role.UNWIND)
    assert ways == [complete, unwind, complete, unwind]


def test_while_naked_the_next_try_waits_no_longer_than_the_time_bound() -> None:
    tired = trade("100", naked_ns=NOW - 60 * SECOND, setbacks=9, setback_ns=NOW - 15 * SECOND)
    assert step(situation(tired, "50", "0")).place
    hedged = trade("100", setbacks=9, setback_ns=NOW - 15 * SECOND)
    assert step(situation(hedged)) == Work()


def test_past_the_time_bound_the_only_way_that_has_a_book_is_taken() -> None:
    overdue = trade("100", naked_ns=NOW - 60 * SECOND)
    blind = InstrumentState(PERP.id)
    (way,) = step(situation(overdue, "50", "0", perp_market=blind)).place
    assert (way.instrument, way.side, way.role) == (SPOT, Side.SELL, Role.UNWIND)


def test_a_long_perp_or_a_short_spot_is_never_unwound_only_completed() -> None:
    (way,) = step(situation(trade("0"), "0", "30")).place
    assert (way.instrument, way.side) == (PERP, Side.SELL)


def test_what_is_barely_an_order_now_is_left_for_dust() -> None:
    # 10 USDC is the minimum, and the price moves before an order arrives.
    assert naked_quantity(PAIR, Decimal("0.5"), ZERO, Decimal(20)) == ZERO
    assert naked_quantity(PAIR, Decimal("0.52"), ZERO, Decimal(20)) == Decimal("0.52")


@pytest.mark.parametrize("urgent", [False, True])
def test_whatever_counts_as_naked_can_be_sold(urgent: bool) -> None:
    """A sale counts at its bound, below the mid: there it must not be too small to be taken."""
    for lots in range(49, 60):
        spot = Decimal(lots).scaleb(-2)
        naked = naked_quantity(PAIR, spot, ZERO, Decimal("20.025"))
        work = step(situation(trade("0", urgent=urgent), str(spot), "0"))
        sales = [w for w in work.place if w.side is Side.SELL]
        assert bool(sales) is (naked != ZERO), lots
        assert all(w.quantity * w.price >= SPOT.minimum_notional for w in sales)
        assert all(w.price <= Decimal("20.02") for w in sales)


def test_what_is_naked_already_is_taken_off_the_next_slice() -> None:
    (lead,) = step(situation(trade("100"), "0.4", "0")).place
    assert lead.quantity == Decimal("49.55")  # with the 0.4: 1000 of naked bound at 20.02


@pytest.mark.parametrize("leg", [SPOT, PERP])
def test_no_second_hedge_while_fills_of_the_first_are_still_owed_on_whichever_leg(
    leg: Instrument,
) -> None:
    """Seen by a kill between a hedge and its answer: the other leg's hedge opened it again."""
    first = order(leg, Side.SELL, role=Role.HEDGE, state=OrderState.FILLED)
    owed = msgspec.structs.replace(first, reported=Decimal(50))
    overdue = trade("0", naked_ns=NOW - 20 * SECOND)
    assert owed.is_live
    assert step(situation(overdue, "149.12", "-99.31", owed)) == Work()
    assert step(situation(overdue, "149.12", "-99.31")).place


def test_a_maker_of_unknown_fate_does_not_hold_up_the_hedge_of_what_is_known() -> None:
    maker = order(SPOT, Side.BUY, state=OrderState.UNKNOWN)
    (hedge,) = step(situation(trade("100"), "30", "0", maker)).place
    assert (hedge.instrument, hedge.side) == (PERP, Side.SELL)


@pytest.mark.parametrize(
    ("spot", "perp", "leg", "side"), [("60", "-30", SPOT, Side.SELL), ("30", "-60", PERP, Side.BUY)]
)
def test_where_only_closing_is_allowed_a_difference_is_closed_by_reducing(
    spot: str, perp: str, leg: Instrument, side: Side
) -> None:
    s = situation(trade("100"), spot, perp, may_grow=False, closes_only=True)
    (hedge,) = step(s).place
    assert (hedge.instrument, hedge.side, hedge.quantity) == (leg, side, Decimal(30))
    overdue = msgspec.structs.replace(s, trade=trade("100", naked_ns=NOW - 20 * SECOND, setbacks=1))
    (later,) = step(overdue).place
    assert (later.instrument, later.side) == (leg, side)


def test_a_purchase_that_takes_is_no_larger_than_its_bound_leaves_room_for() -> None:
    """An urgent close buys the perp up to 3 % above the mid: what it then costs is naked."""
    (forced,) = step(situation(trade("0", urgent=True), "100", "-100")).place
    assert (forced.instrument, forced.side) == (PERP, Side.BUY)
    assert forced.quantity * forced.price <= POLICY.max_naked_notional
    assert forced.quantity * forced.price > POLICY.max_naked_notional - 1


# --- other legs ----------------------------------------------------------------------------------


def test_a_stopped_perp_alone_waits_after_setbacks_no_longer_than_naked_legs_do() -> None:
    tired = {"setbacks": 9, "setback_ns": NOW - 15 * SECOND}
    (close,) = step(situation(of_legs(Legs.LONG, "0", urgent=True, **tired), "0", "30")).place
    assert (close.side, close.quantity, close.reduce_only) == (Side.SELL, Decimal(30), True)
    assert step(situation(of_legs(Legs.LONG, "0", **tired), "0", "30")).place == ()


def of_legs(legs: Legs, quantity: str = "100", **changes: object) -> PairTrade:
    held = trade(quantity, **changes)
    return msgspec.structs.replace(held, plan=msgspec.structs.replace(held.plan, legs=legs))


def test_a_reverse_opening_rests_a_sale_of_spot_and_buys_the_perp_for_what_was_sold() -> None:
    (lead,) = step(situation(of_legs(Legs.REVERSE))).place
    assert (lead.instrument, lead.side, lead.price) == (SPOT, Side.SELL, Decimal("20.01"))
    assert lead.role is Role.MAKER
    (hedge,) = step(situation(of_legs(Legs.REVERSE), "-49", "0")).place
    assert (hedge.instrument, hedge.side, hedge.quantity) == (PERP, Side.BUY, Decimal("49.00"))
    assert not hedge.reduce_only


def test_a_reverse_close_buys_spot_back_and_reduces_the_perp() -> None:
    closing = of_legs(Legs.REVERSE, "0", held=True)
    (lead,) = step(situation(closing, "-40", "40")).place
    assert (lead.instrument, lead.side, lead.quantity) == (SPOT, Side.BUY, Decimal("40.00"))
    (hedge,) = step(situation(closing, "-10", "40")).place
    assert (hedge.instrument, hedge.side, hedge.quantity) == (PERP, Side.SELL, Decimal("30.00"))
    assert hedge.reduce_only


def test_an_endangered_long_is_reduced_whatever_the_spot_shows() -> None:
    closing = of_legs(Legs.REVERSE, "0", held=True, urgent=True)
    empty = Market().of(SPOT.id) or InstrumentState(SPOT.id)
    work = step(situation(closing, "-40", "40", endangered=True, spot_market=empty))
    (rescue,) = work.place
    assert (rescue.instrument, rescue.side, rescue.reduce_only) == (PERP, Side.SELL, True)
    assert rescue.role is Role.FORCED


@pytest.mark.parametrize(
    ("legs", "side", "held"),
    [(Legs.OVERLAY, Side.SELL, "-30"), (Legs.LONG, Side.BUY, "30"), (Legs.SHORT, Side.SELL, "-30")],
)
def test_a_trade_of_one_leg_trades_the_perp_and_nothing_else(
    legs: Legs, side: Side, held: str
) -> None:
    (lead,) = step(situation(of_legs(legs), "0", held)).place
    assert (lead.instrument, lead.side, lead.quantity) == (PERP, side, Decimal("70.00"))
    assert lead.role is (Role.TAKE if legs.is_alone else Role.MAKER)
    assert step(situation(of_legs(legs, "30"), "0", held)).settled
    urgent = of_legs(legs, "0", held=True, urgent=True)
    (out,) = step(situation(urgent, "0", held, may_grow=False)).place
    assert (out.instrument, out.side, out.quantity) == (PERP, side.opposite, Decimal("30.00"))
    assert out.reduce_only
    assert out.role is Role.FORCED


def test_an_entry_on_a_signal_gives_up_within_seconds_and_a_rested_one_within_its_patience() -> (
    None
):
    later = NOW + 20 * SECOND
    assert gave_up(situation(of_legs(Legs.LONG), "0", "30", now_ns=later))
    assert not gave_up(situation(of_legs(Legs.OVERLAY), "0", "-30", now_ns=later))
    assert gave_up(situation(of_legs(Legs.OVERLAY), "0", "-30", now_ns=NOW + 1801 * SECOND))


@given(
    legs=st.sampled_from(Legs),
    wanted=st.integers(0, 100),
    spot=st.integers(-100, 100),
    perp=st.integers(-100, 100),
    urgent=st.booleans(),
    may_grow=st.booleans(),
    overdue=st.booleans(),
)
def test_no_step_of_any_trade_is_away_from_its_target_but_to_hedge(
    legs: Legs, wanted: int, spot: int, perp: int, *, urgent: bool, may_grow: bool, overdue: bool
) -> None:
    """Every order grows a leg that is short of the target or of the other leg, or reduces one."""
    naked_ns = NOW - 60 * SECOND if overdue else None
    held = of_legs(legs, str(wanted), held=True, urgent=urgent, naked_ns=naked_ns)
    if not legs.trades_spot:
        spot = 0
    for order in step(situation(held, str(spot), str(perp), may_grow=may_grow)).place:
        kind = order.instrument.kind
        assert legs.trades_spot or kind is Kind.PERP
        grows = order.side is legs.opens(kind)
        mine = legs.along(kind, Decimal(spot if kind is Kind.SPOT else perp))
        other = legs.along(
            Kind.PERP if kind is Kind.SPOT else Kind.SPOT,
            Decimal(perp if kind is Kind.SPOT else spot),
        )
        if grows:
            most = max(Decimal(wanted), other) if legs.trades_spot else Decimal(wanted)
            assert mine + order.quantity <= most
            assert may_grow or order.role in (Role.HEDGE, Role.UNWIND)
        else:
            assert order.reduce_only or kind is Kind.SPOT
            assert order.quantity <= mine
