"""The fold: every fact changes what it should, once, and nothing else."""

from decimal import Decimal

import msgspec
import pytest

from domain.account import (
    CashCause,
    Cashflow,
    FundingPayment,
    MarginMoved,
    SettingRefused,
)
from domain.instruments import Kind
from domain.money import ZERO, Money
from domain.orders import (
    CancelReason,
    Fill,
    FillCause,
    Liquidity,
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
    OrderRequest,
    OrderStatus,
    Side,
    TimeInForce,
)
from domain.targets import ExitCause
from domain.time import DAY, HOUR, SECOND
from execution.facts import (
    CancelIntended,
    CommandGiven,
    EquityMarked,
    Fact,
    LimitCleared,
    LimitTripped,
    MarginIntended,
    OrderDoubted,
    OrderIntended,
    OrderResolved,
    ResidualMoved,
    Retargeted,
    Role,
    Stage,
    StageChanged,
    TradePlanned,
)
from execution.orders import OrderState
from execution.state import State, apply
from tests.scripted import PAIR, PERP, SPOT

NOW = 1_000_000 * SECOND
T1 = "HYPE#1"


def plan(trade_id: str = T1, at: int = NOW) -> TradePlanned:
    return TradePlanned(
        trade_id, "HYPE", Kind.SPOT, Decimal(100), Decimal(2000), 2, "", "", "",
        Decimal(20), Decimal(30), Decimal(27), 0.0, 0.0, 0.0, (), at,
    )  # fmt: skip


def intend(cloid: str, role: Role = Role.MAKER, trade_id: str = T1, at: int = NOW) -> OrderIntended:
    leg, side = (PERP, Side.SELL) if role is Role.HEDGE else (SPOT, Side.BUY)
    request = OrderRequest(
        cloid, leg.id, side, Decimal(10), Decimal(20), TimeInForce.IOC,
        reduce_only=False, expires_ns=at,
    )  # fmt: skip
    return OrderIntended(request, trade_id, role, Decimal(20), at)


def fill(
    number: int,
    cloid: str | None,
    *,
    quantity: str = "10",
    at: int = NOW,
    perp: bool = False,
    side: Side | None = None,
    cause: FillCause = FillCause.ORDER,
) -> Fill:
    leg = PERP if perp else SPOT
    side = side or (Side.SELL if perp else Side.BUY)
    return Fill(
        f"fill-{number}", cloid, leg.id, side, Decimal(20), Decimal(quantity),
        Money(ZERO, "USDC"), Liquidity.TAKER, cause, at, at,
    )  # fmt: skip


def folded(*facts: Fact) -> State:
    state = State((PAIR,))
    for fact in facts:
        apply(state, fact)
    return state


def working(*facts: Fact) -> State:
    return folded(plan(), StageChanged(T1, Stage.WORKING, NOW), *facts)


def equity(amount: str, at: int) -> EquityMarked:
    value = Decimal(amount)
    return EquityMarked(value, value, ZERO, ZERO, ZERO, {SPOT.id: Decimal(20)}, at)


def cashflow(
    number: int, amount: str, asset: str = "USDC", cause: CashCause = CashCause.DEPOSIT
) -> Cashflow:
    return Cashflow(f"cash-{number}", Money(Decimal(amount), asset), cause, None, NOW, NOW)


# --- trades --------------------------------------------------------------------------------------


def test_a_stage_that_the_life_of_a_trade_does_not_allow_is_refused() -> None:
    state = folded(plan())
    with pytest.raises(ValueError, match="cannot go from preparing to holding"):
        apply(state, StageChanged(T1, Stage.HOLDING, NOW))


def test_holding_ends_urgency_and_working_again_starts_patience_anew() -> None:
    state = working(
        Retargeted(T1, Decimal(50), True, ExitCause.MARGIN_GUARD, "", NOW),
        StageChanged(T1, Stage.HOLDING, NOW + SECOND),
    )
    trade = state.trades[T1]
    assert (trade.urgent, trade.held, trade.worked_ns) == (False, True, NOW)
    apply(state, StageChanged(T1, Stage.WORKING, NOW + 5 * SECOND))
    assert state.trades[T1].worked_ns == NOW + 5 * SECOND


def test_only_a_target_of_zero_is_an_exit_with_a_reason() -> None:
    state = working(Retargeted(T1, Decimal(50), True, ExitCause.MARGIN_GUARD, "smaller", NOW))
    assert state.trades[T1].exit_reason is None
    apply(state, Retargeted(T1, ZERO, False, ExitCause.OPERATOR, "gone", NOW))
    assert state.trades[T1].exit_reason == "gone"
    assert state.trades[T1].is_closing


def test_a_trade_closed_at_a_loss_lengthens_the_streak_and_a_gain_ends_it() -> None:
    def round_trip(number: int, sold_at: str) -> list[Fact]:
        name, at = f"HYPE#{number}", NOW + number
        sale = Fill(
            f"out-{number}", None, SPOT.id, Side.SELL, Decimal(sold_at), Decimal(10),
            Money(ZERO, "USDC"), Liquidity.TAKER, FillCause.ORDER, at, at,
        )  # fmt: skip
        return [
            plan(name, at),
            StageChanged(name, Stage.WORKING, at),
            intend(name, trade_id=name),
            fill(number, name, at=at),
            sale,
            StageChanged(name, Stage.CLOSED, at),
        ]

    state = folded(*round_trip(1, "19"), *round_trip(2, "19"))
    assert state.loss_streak == 2
    for fact in round_trip(3, "21"):
        apply(state, fact)
    assert state.loss_streak == 0


def test_a_trade_that_never_began_neither_lengthens_nor_ends_a_streak() -> None:
    state = folded(plan())
    state.loss_streak = 3
    apply(state, StageChanged(T1, Stage.CLOSED, NOW))
    assert state.loss_streak == 3
    assert state.trade_on("HYPE") is None
    assert state.last_trade["HYPE"] == T1


def test_dust_changes_hands_between_two_trades() -> None:
    state = working(intend("a"), fill(1, "a"))
    apply(state, ResidualMoved(SPOT.id, Decimal(10), Decimal(20), T1, None, NOW))
    assert state.quantities(state.trades[T1]) == (ZERO, ZERO)
    assert state.books.quantity(None, SPOT.id) == 10
    assert state.books.balanced()


# --- fills ---------------------------------------------------------------------------------------


def test_a_fill_counts_once_however_often_it_is_told() -> None:
    state = working(intend("a"), *[fill(1, "a", quantity="4")] * 3)
    assert state.orders["a"].filled == 4
    assert state.books.position(SPOT.id) == 4
    assert state.counts == {"sent": 1}


def test_the_entry_price_is_the_average_of_what_is_still_held_of_the_fills_that_built_it() -> None:
    state = working(
        intend("a"), fill(1, "a"), intend("b", Role.HEDGE), fill(2, "b", perp=True),
        fill(3, None, side=Side.SELL, quantity="5"),
    )  # fmt: skip
    trade = state.trades[T1]
    assert (trade.spot_built, trade.perp_built) == (
        (Decimal(5), Decimal(100)),
        (Decimal(10), Decimal(200)),
    )
    assert trade.entry_basis == 0.0
    assert trade.entry_price == 20


def test_the_legs_are_naked_from_the_first_fill_until_the_hedge() -> None:
    state = working(intend("a"), fill(1, "a", at=NOW + SECOND))
    assert state.trades[T1].naked_ns == NOW + SECOND
    apply(state, intend("b", Role.HEDGE))
    apply(state, fill(2, "b", quantity="4", perp=True, at=NOW + 3 * SECOND))
    assert state.trades[T1].naked_ns == NOW + SECOND  # smaller, but since then
    apply(state, fill(3, "b", quantity="6", perp=True, at=NOW + 6 * SECOND))
    assert state.trades[T1].naked_ns is None
    assert (state.exposed.notional, state.exposed.seconds) == (Decimal(200), 5.0)


def test_a_leg_that_is_still_naked_counts_at_every_valuation() -> None:
    state = working(intend("a"), fill(1, "a"), equity("10000", NOW + HOUR))
    assert state.exposed.seconds == 3600.0


def test_a_fill_is_progress_and_ends_a_run_of_setbacks_unless_it_only_takes_one_back() -> None:
    refused = OrderRejected("a", "", NOW, NOW)
    state = working(intend("a"), refused, intend("b"), fill(1, "b"))
    assert state.trades[T1].setbacks == 0
    state = working(intend("a"), refused, intend("b", Role.UNWIND), fill(1, "b"))
    assert state.trades[T1].setbacks == 1


def test_what_is_urgent_waits_for_no_earlier_setback_and_what_is_not_does() -> None:
    refused = OrderRejected("a", "", NOW, NOW)
    state = working(intend("a"), refused)
    apply(state, Retargeted(T1, Decimal(50), False, ExitCause.LIMIT, "", NOW))
    assert state.trades[T1].setbacks == 1
    apply(state, Retargeted(T1, ZERO, True, ExitCause.MARGIN_GUARD, "", NOW))
    assert state.trades[T1].setbacks == 0


def test_an_ioc_order_that_filled_nothing_is_a_setback_and_a_canceled_maker_is_none() -> None:
    def canceled(filled: str) -> OrderCanceled:
        return OrderCanceled("a", CancelReason.IOC, Decimal(filled), NOW, NOW)

    assert working(intend("a", Role.HEDGE), canceled("0")).trades[T1].setbacks == 1
    assert working(intend("a", Role.HEDGE), canceled("3")).trades[T1].setbacks == 0
    assert working(intend("a", Role.MAKER), canceled("0")).trades[T1].setbacks == 0


def test_a_lost_stop_holds_up_the_next_stop_and_nothing_else() -> None:
    """One that we have canceled ourselves is not lost."""
    refused = OrderRejected("a", "", NOW, NOW)
    gone = OrderCanceled("a", CancelReason.REDUCE_ONLY, ZERO, NOW, NOW)
    dead = OrderResolved("a", OrderStatus.NEVER_SEEN, ZERO, "", NOW)
    accepted = OrderAccepted("a", "1", NOW, NOW)
    for told in ((refused,), (accepted, gone), (OrderDoubted("a", "", NOW), dead)):
        trade = working(intend("a", Role.STOP), *told).trades[T1]
        assert (trade.stop_lost_ns, trade.setbacks) == (NOW, 0)
    ours = (accepted, CancelIntended("a", NOW), gone)
    assert working(intend("a", Role.STOP), *ours).trades[T1].stop_lost_ns == 0


def test_a_stop_is_no_turnover() -> None:
    assert working(intend("a", Role.STOP)).sent == [(NOW, ZERO)]
    assert working(intend("a", Role.TAKE)).sent[0][1] > ZERO


def test_an_unknown_order_found_open_still_owes_the_fills_that_the_venue_reports() -> None:
    found = OrderResolved("a", OrderStatus.OPEN, Decimal(3), "asked", NOW)
    state = working(intend("a"), OrderDoubted("a", "", NOW), found)
    order = state.orders["a"]
    assert (order.state, order.filled, order.reported) == (OrderState.OPEN, ZERO, Decimal(3))


def test_a_fill_that_comes_after_its_trade_was_closed_is_nobodys() -> None:
    state = working(intend("a"), StageChanged(T1, Stage.CLOSED, NOW + SECOND))
    apply(state, fill(1, "a", at=NOW))
    apply(state, fill(2, None, at=NOW + 2 * SECOND))
    assert state.books.quantity(T1, SPOT.id) == ZERO
    assert state.books.quantity(None, SPOT.id) == 20
    assert state.orders["a"].state is OrderState.FILLED


def test_what_a_person_takes_from_a_leg_is_the_trades_and_what_they_add_is_theirs() -> None:
    state = working(intend("a"), fill(1, "a"), intend("b", Role.HEDGE), fill(2, "b", perp=True))
    apply(state, fill(3, None, quantity="4"))
    apply(state, fill(4, None, quantity="4", perp=True))
    assert state.quantities(state.trades[T1]) == (Decimal(10), Decimal(-10))
    assert state.books.quantity(None, SPOT.id) == 4
    assert state.books.quantity(None, PERP.id) == -4
    apply(state, fill(5, None, quantity="3", side=Side.SELL))
    apply(state, fill(6, None, quantity="2", side=Side.BUY, perp=True))
    assert state.quantities(state.trades[T1]) == (Decimal(7), Decimal(-8))


def test_news_of_a_closed_trade_that_comes_late_is_still_its_own() -> None:
    def payment(number: int, at: int) -> FundingPayment:
        amount = Money(Decimal(1), "USDC")
        rate = Decimal("0.0001")
        return FundingPayment(
            f"pay-{number}", PERP.id, Decimal(-10), Decimal(20), rate, 1, amount, at, NOW + HOUR
        )

    state = working(StageChanged(T1, Stage.CLOSED, NOW + SECOND))
    apply(state, payment(1, NOW))
    apply(state, payment(2, NOW + 2 * SECOND))
    apply(state, payment(2, NOW + 2 * SECOND))
    assert state.books.pnl(T1, {}).funding == 1
    assert state.books.pnl(None, {}).funding == 1
    assert state.funding_ns == NOW + 2 * SECOND


# --- money ---------------------------------------------------------------------------------------


def test_what_the_owner_brings_or_takes_moves_the_mark_from_which_losses_count() -> None:
    state = folded(cashflow(1, "10000"), equity("10100", NOW))
    apply(state, cashflow(2, "-4000", cause=CashCause.WITHDRAWAL))
    apply(state, cashflow(2, "-4000", cause=CashCause.WITHDRAWAL))
    assert state.equity_peak == 6100
    assert state.day_start is not None
    assert state.day_start.equity == 6100


def test_before_the_first_valuation_the_capital_is_the_peak() -> None:
    assert folded(cashflow(1, "10000")).equity_peak == 10_000


def test_what_a_venue_charges_is_a_loss_and_moves_no_mark() -> None:
    penalty = cashflow(2, "-50", cause=CashCause.LIQUIDATION_PENALTY)
    state = folded(cashflow(1, "10000"), equity("10000", NOW), penalty)
    assert state.equity_peak == 10_000
    assert state.books.pnl(None, {}).liquidation == -50


def test_tokens_are_capital_at_their_last_price() -> None:
    state = folded(cashflow(1, "1000"), equity("1000", NOW), cashflow(2, "5", "HYPE"))
    assert [state.books.capital, state.equity_peak] == [1100, 1100]
    assert state.books.quantity(None, SPOT.id) == 5
    assert state.spot_of("HYPE") is SPOT
    assert state.spot_of("USDC") is None


def test_a_new_day_starts_with_its_first_valuation() -> None:
    day = NOW // DAY * DAY
    state = folded(equity("100", day), equity("90", day + HOUR))
    assert state.day_start is not None
    assert state.day_start.equity == 100
    apply(state, equity("80", day + DAY))
    assert state.day_start.equity == 80
    assert state.equity_peak == 100


def test_a_reset_counts_the_loss_from_the_equity_of_that_moment() -> None:
    state = folded(equity("100", NOW), equity("80", NOW + SECOND))
    state.loss_streak = 4
    for name in ("drawdown", "daily_loss", "loss_streak"):
        apply(state, LimitTripped(name, True, "", NOW))
        apply(state, LimitCleared(name, "someone", NOW + 2 * SECOND))
    assert [state.equity_peak, state.loss_streak] == [80, 0]
    assert state.day_start is not None
    assert state.day_start.equity == 80
    assert state.limits.names == ()


def test_what_the_owners_coins_have_made_is_no_part_of_the_peak_nor_of_a_reset() -> None:
    gained = msgspec.structs.replace(equity("130", NOW), owners=Decimal(30))
    lost = msgspec.structs.replace(equity("70", NOW + SECOND), owners=Decimal(-20))
    state = folded(gained, lost)
    assert state.equity_peak == 100
    apply(state, LimitTripped("drawdown", True, "", NOW))
    apply(state, LimitCleared("drawdown", "someone", NOW + 2 * SECOND))
    assert state.equity_peak == 90


def test_a_condition_that_clears_moves_no_mark() -> None:
    state = folded(equity("100", NOW), equity("80", NOW + SECOND))
    apply(state, LimitTripped("stale_data", False, "", NOW))
    apply(state, LimitCleared("stale_data", "healthy", NOW))
    assert state.equity_peak == 100


# --- settings ------------------------------------------------------------------------------------


def test_an_answer_to_an_older_margin_request_leaves_the_newer_one_waiting() -> None:
    def asked(name: str) -> MarginIntended:
        return MarginIntended(name, T1, PERP.id, Decimal(5), "", NOW)

    state = folded(asked("first"), asked("second"))
    apply(state, MarginMoved("first", PERP.id, Decimal(5), NOW, NOW))
    assert [r.request_id for r in state.margin_requests.values()] == ["second"]
    apply(state, SettingRefused("second", PERP.id, "no", NOW, NOW))
    assert state.margin_requests == {}
    apply(state, SettingRefused("leverage-HYPE#1", PERP.id, "no", NOW, NOW))


def test_pause_and_resume_are_remembered_and_other_commands_change_nothing_here() -> None:
    state = folded(CommandGiven("pause", "", "someone", NOW))
    assert state.paused
    apply(state, CommandGiven("flatten", "", "someone", NOW))
    assert state.paused
    apply(state, CommandGiven("resume", "", "someone", NOW))
    assert not state.paused


def test_time_never_goes_back_and_every_fact_counts() -> None:
    state = folded(equity("1", NOW + HOUR), equity("1", NOW))
    assert (state.time_ns, state.facts) == (NOW + HOUR, 2)
