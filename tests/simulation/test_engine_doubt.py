"""The engine in doubt: fences, alarms, an account that is not what the journal thinks."""

from decimal import Decimal

import pytest

from bot.engine import Outcome
from domain.account import AccountReport, Balance, CashCause, Cashflow
from domain.money import Money
from domain.orders import (
    FenceOutcome,
    Fill,
    FillCause,
    Liquidity,
    OrderAccepted,
    OrderFenced,
    OrderRejected,
    OrderReport,
    OrderRequest,
    OrderStatus,
    SendFailed,
    Side,
    client_order_id,
)
from domain.time import MINUTE, SECOND
from execution.effects import (
    CancelOrder,
    FenceOrder,
    PlaceOrder,
    QueryAccount,
    QueryOrder,
    RaiseAlarm,
    SetLeverage,
)
from execution.events import Reconnected, Timer, Trouble
from execution.facts import (
    LimitTripped,
    OrderIntended,
    OrderResolved,
    Reconciled,
    RequestSigned,
    Stage,
)
from execution.orders import OrderState
from tests.lossy import Storm, intended
from tests.scripted import PERP, SPOT, Scripted, Told

NONCE = 41


def in_doubt() -> tuple[Storm, str]:
    """A world whose first order was signed and sent, and whose sender heard nothing good."""
    storm = Storm(Scripted(lambda _: 20.0, 8), Told("4000", enter=1))
    storm.worse(request=lambda effect: not isinstance(effect, PlaceOrder))
    storm.until(lambda: bool(intended(storm)))
    (first,) = intended(storm)
    cloid = first.request.cloid
    storm.engine.adopt([RequestSigned(cloid, NONCE, "{}", first.time_ns)])
    outcome = storm.engine.handle(SendFailed(cloid, "reset", storm.venue.now_ns))
    assert QueryOrder(cloid, first.request.instrument) in outcome.effects
    assert FenceOrder(cloid, NONCE) in outcome.effects
    return storm, cloid


def never_seen(cloid: str, time_ns: int) -> OrderReport:
    return OrderReport(cloid, OrderStatus.NEVER_SEEN, Decimal(0), time_ns, time_ns)


def test_an_unseen_order_is_fenced_with_its_own_nonce_and_dead_when_the_nonce_was_free() -> None:
    storm, cloid = in_doubt()
    now_ns = storm.venue.now_ns
    storm.engine.handle(never_seen(cloid, now_ns))
    assert storm.engine.state.orders[cloid].state is OrderState.UNKNOWN
    outcome = storm.engine.handle(OrderFenced(cloid, FenceOutcome.BURNT, now_ns, now_ns))
    (resolved,) = [f for f in outcome.facts if isinstance(f, OrderResolved)]
    assert resolved.status is OrderStatus.NEVER_SEEN
    assert "nonce" in resolved.proof
    assert storm.engine.state.orders[cloid].state is OrderState.CANCELED


def test_a_used_nonce_decides_nothing_before_the_venue_was_asked_again_after_it() -> None:
    storm, cloid = in_doubt()
    now_ns = storm.venue.now_ns
    engine = storm.engine
    engine.handle(never_seen(cloid, now_ns))
    engine.handle(OrderFenced(cloid, FenceOutcome.USED, now_ns, now_ns))
    engine.handle(never_seen(cloid, now_ns))  # an answer to the question before the fence
    assert engine.state.orders[cloid].state is OrderState.UNKNOWN
    engine.handle(never_seen(cloid, now_ns + 2 * SECOND))
    assert engine.state.orders[cloid].state is OrderState.CANCELED


def test_an_order_that_the_fence_missed_is_what_the_venue_says_it_is() -> None:
    storm, cloid = in_doubt()
    now_ns = storm.venue.now_ns
    engine = storm.engine
    engine.handle(never_seen(cloid, now_ns))
    engine.handle(OrderFenced(cloid, FenceOutcome.USED, now_ns, now_ns))
    engine.handle(OrderReport(cloid, OrderStatus.OPEN, Decimal(0), now_ns + 1, now_ns + 1))
    assert engine.state.orders[cloid].state is OrderState.OPEN


def test_answers_about_orders_that_nobody_doubts_change_nothing() -> None:
    storm, cloid = in_doubt()
    now_ns = storm.venue.now_ns
    engine = storm.engine
    engine.handle(OrderFenced(cloid, FenceOutcome.BURNT, now_ns, now_ns))
    before = engine.state.orders[cloid]
    for outcome in FenceOutcome:
        assert engine.handle(OrderFenced(cloid, outcome, now_ns, now_ns)).facts == ()
        assert engine.handle(OrderFenced("0xother", outcome, now_ns, now_ns)).facts == ()
    assert engine.state.orders[cloid] == before


def test_a_doubt_that_lasts_is_told_to_a_person_once_a_minute() -> None:
    storm, _ = in_doubt()
    alarms: list[RaiseAlarm] = []
    for second in range(95):
        event = Timer(storm.venue.now_ns + second * SECOND)
        alarms += [e for e in storm.engine.handle(event).effects if isinstance(e, RaiseAlarm)]
    unknown = [alarm for alarm in alarms if alarm.alarm == "order_unknown"]
    assert len(unknown) == 2
    assert unknown[0].time_ns - storm.venue.now_ns <= 34 * SECOND
    assert unknown[1].time_ns - unknown[0].time_ns == 60 * SECOND


def test_what_was_filled_and_is_not_told_of_is_naked_and_a_person_hears_of_it() -> None:
    storm, cloid = in_doubt()
    now_ns = storm.venue.now_ns
    storm.engine.handle(OrderReport(cloid, OrderStatus.FILLED, Decimal(50), now_ns, now_ns))
    alarms: list[RaiseAlarm] = []
    for second in range(10):
        event = Timer(now_ns + second * SECOND)
        alarms += [e for e in storm.engine.handle(event).effects if isinstance(e, RaiseAlarm)]
    (owed,) = [alarm for alarm in alarms if alarm.alarm == "naked_leg"]
    assert 3 * SECOND <= owed.time_ns - now_ns <= 4 * SECOND
    assert "not told of" in owed.detail


def manual(cloid: str | None, leg: str, side: Side, quantity: str, now_ns: int) -> Fill:
    return Fill(
        f"m{now_ns}{quantity}", cloid, leg, side, Decimal(20), Decimal(quantity),
        Money(Decimal(0), "USDC"), Liquidity.TAKER, FillCause.ORDER, now_ns, now_ns,
    )  # fmt: skip


def holding() -> Storm:
    storm = Storm(Scripted(lambda n: 20.0 + 0.001 * (n % 2), 8), Told("4000", enter=1))
    storm.worse().run(2)
    assert storm.engine.state.trade_on("HYPE") is not None
    return storm


def test_a_fill_that_nobody_here_ordered_is_told_at_once() -> None:
    storm = holding()
    fill = manual(None, SPOT.id, Side.BUY, "3", storm.venue.now_ns)
    alarms = [e for e in storm.engine.handle(fill).effects if isinstance(e, RaiseAlarm)]
    assert [alarm.alarm for alarm in alarms] == ["fill_not_ordered"]
    assert "3" in alarms[0].detail
    assert storm.engine.state.limits.names == ()


def test_an_order_of_ours_that_the_journal_does_not_know_stops_entries_until_a_person_looks() -> (
    None
):
    storm = holding()
    forgotten = client_order_id("HYPE#7", 1)
    outcome = storm.engine.handle(manual(forgotten, SPOT.id, Side.BUY, "3", storm.venue.now_ns))
    tripped = [f for f in outcome.facts if isinstance(f, LimitTripped)]
    assert [(f.limit, f.latched) for f in tripped] == [("lost_history", True)]
    assert forgotten in tripped[0].detail


def test_an_open_order_of_ours_that_the_journal_does_not_know_is_found_too() -> None:
    storm = holding()
    engine = storm.engine
    report = storm.venue.exchange.account_report(None, storm.venue.now_ns)
    strangers = ("oid-7", client_order_id("HYPE#7", 1))
    fields = {name: getattr(report, name) for name in report.__struct_fields__}
    engine.handle(AccountReport(**{**fields, "open_orders": strangers}))
    assert engine.state.limits.names == ("lost_history",)


def test_an_empty_account_is_no_word_on_ours() -> None:
    storm = holding()
    engine, now_ns = storm.engine, storm.venue.now_ns + SECOND
    before = engine.account
    empty = AccountReport((), (), (), str(now_ns), now_ns, now_ns)
    effects = engine.handle(empty).effects
    assert [e.alarm for e in effects if isinstance(e, RaiseAlarm)] == ["empty_account"]
    assert engine.account is before
    assert engine.state.reconciled is not None
    assert engine.state.reconciled.mismatches == ()


def test_a_new_journal_takes_what_the_account_holds_for_its_owners_deposit() -> None:
    storm = Storm(Scripted(lambda _: 20.0, 8), Told("4000", enter=5))
    storm.worse(answer=lambda message: [
        (0, event) for event in message if not isinstance(event, Cashflow)
    ])  # fmt: skip
    storm.run(0.2)
    deposits = [f for f in storm.told(Cashflow) if isinstance(f, Cashflow)]
    assert [(f.cashflow_id, f.money, f.cause) for f in deposits] == [
        ("opening-USDC", Money(Decimal(10_000), "USDC"), CashCause.DEPOSIT)
    ]
    assert storm.engine.state.reconciled is not None
    assert storm.engine.state.reconciled.mismatches == ()
    storm.run(8)
    assert len(storm.told(Cashflow)) == 1


def test_an_account_that_has_once_agreed_is_never_adopted_again() -> None:
    storm = holding()
    engine = storm.engine
    report = storm.venue.exchange.account_report(None, storm.venue.now_ns)
    fields = {name: getattr(report, name) for name in report.__struct_fields__}
    for second in range(1, 4):
        now_ns = storm.venue.now_ns + second * SECOND
        more = tuple(Balance(b.asset, b.total + 5, b.held) for b in report.balances)
        seen = {**fields, "balances": more, "request_id": str(now_ns), "venue_time_ns": now_ns}
        engine.handle(AccountReport(**{**seen, "received_ns": now_ns}))
    assert engine.state.reconciled is not None
    assert engine.state.reconciled.mismatches
    assert len(storm.told(Cashflow)) == 1


def test_a_push_that_is_not_as_booked_has_the_history_asked_for_within_a_second() -> None:
    storm = holding()
    engine, now_ns = storm.engine, storm.venue.now_ns
    report = storm.venue.exchange.account_report(None, now_ns)
    fields = {name: getattr(report, name) for name in report.__struct_fields__}
    less = tuple(Balance(b.asset, b.total - 5, b.held) for b in report.balances)
    engine.handle(AccountReport(**{**fields, "balances": less}))
    effects = engine.handle(Timer(now_ns + SECOND)).effects
    assert any(isinstance(effect, QueryAccount) for effect in effects)
    assert not storm.told(Reconciled)[-1].mismatches  # type: ignore[union-attr]


@pytest.mark.parametrize(("stream", "asks"), [("private", True), ("public", False)])
def test_after_the_private_stream_was_away_the_account_is_asked(stream: str, asks: bool) -> None:
    storm = holding()
    outcome = storm.engine.handle(Reconnected(stream, storm.venue.now_ns))
    assert any(isinstance(effect, QueryAccount) for effect in outcome.effects) is asks


def test_trouble_outside_trips_its_limit_once_and_hedges_then_only_reduce() -> None:
    storm = holding()
    engine, now_ns = storm.engine, storm.venue.now_ns
    first = engine.handle(Trouble("disk_full", "no room", now_ns))
    again = engine.handle(Trouble("disk_full", "no room", now_ns))
    assert [type(f) for f in first.facts] == [LimitTripped]
    assert again.facts == ()
    # A person sells half of the spot leg: what is left over of the perp is bought back.
    held = engine.state.books.position(SPOT.id)
    outcome = engine.handle(manual(None, SPOT.id, Side.SELL, str(held / 2), now_ns + MINUTE))
    sent = [f.request for f in outcome.facts if isinstance(f, OrderIntended)]
    assert [(r.instrument, r.side, r.reduce_only) for r in sent] == [(PERP.id, Side.BUY, True)]


def test_two_fills_told_together_are_hedged_once_by_what_they_come_to() -> None:
    storm = holding()
    engine, now_ns = storm.engine, storm.venue.now_ns
    away = manual(None, SPOT.id, Side.SELL, "60", now_ns)
    back = manual(None, SPOT.id, Side.SELL, "20", now_ns)
    first = engine.handle(away, more=True)
    assert not any(isinstance(fact, OrderIntended) for fact in first.facts)
    second = engine.handle(back)
    sent = [f.request for f in second.facts if isinstance(f, OrderIntended)]
    assert [(r.instrument, r.side, r.quantity) for r in sent] == [
        (PERP.id, Side.BUY, Decimal("79.99"))
    ]  # the dust of the spot's fee stays


def test_an_order_that_the_venue_has_had_is_asked_for_and_not_fenced() -> None:
    storm, cloid = in_doubt()
    engine, now_ns = storm.engine, storm.venue.now_ns
    engine.handle(OrderAccepted(cloid, "7", now_ns, now_ns))
    report = storm.venue.exchange.account_report(None, now_ns + SECOND)
    effects = engine.handle(report).effects  # it is not among the venue's open orders
    assert engine.state.orders[cloid].state is OrderState.UNKNOWN
    assert [type(effect) for effect in effects if isinstance(effect, FenceOrder)] == []


def resting() -> tuple[Storm, str]:
    """A world in which the first order rests at the venue, acknowledged."""
    storm = Storm(Scripted(lambda _: 20.0, 8, depth=1e6), Told("4000", enter=1))
    storm.worse(answer=lambda message: [(0, e) for e in message if not isinstance(e, Fill)])
    storm.until(lambda: any(o.acknowledged for o in storm.engine.state.orders))
    (order,) = storm.engine.state.orders.live()
    return storm, order.cloid


def test_an_acknowledged_order_is_not_dead_because_an_answer_does_not_know_it() -> None:
    storm, cloid = resting()
    engine, now_ns = storm.engine, storm.venue.now_ns
    engine.start(engine._run)
    assert engine.state.orders[cloid].state is OrderState.UNKNOWN
    engine.handle(never_seen(cloid, now_ns + 600 * SECOND))
    assert engine.state.orders[cloid].state is OrderState.UNKNOWN
    report = storm.venue.exchange.account_report(None, now_ns + 601 * SECOND)
    fields = {name: getattr(report, name) for name in report.__struct_fields__}
    engine.handle(AccountReport(**{**fields, "open_orders": ()}))
    engine.handle(never_seen(cloid, now_ns + 602 * SECOND))
    assert engine.state.orders[cloid].state is OrderState.CANCELED


def test_an_order_held_for_dead_that_is_open_at_the_venue_is_told_of_and_canceled() -> None:
    storm, cloid = in_doubt()
    engine, now_ns = storm.engine, storm.venue.now_ns
    engine.handle(OrderFenced(cloid, FenceOutcome.BURNT, now_ns, now_ns))
    later_ns = now_ns + 2 * MINUTE
    report = storm.venue.exchange.account_report(None, later_ns)
    fields = {name: getattr(report, name) for name in report.__struct_fields__}
    effects = engine.handle(AccountReport(**{**fields, "open_orders": (cloid,)})).effects
    assert [e.alarm for e in effects if isinstance(e, RaiseAlarm)] == ["order_undead"]
    assert [e.cloid for e in effects if isinstance(e, CancelOrder)] == [cloid]


def test_books_that_are_not_compared_any_more_are_told_of() -> None:
    storm = holding()
    engine, now_ns = storm.engine, storm.venue.now_ns
    alarms: list[str] = []
    for second in range(0, 480, 5):  # twice what is allowed, a minute of the market included
        outcome = engine.handle(Timer(now_ns + second * SECOND))
        alarms += [e.alarm for e in outcome.effects if isinstance(e, RaiseAlarm)]
    assert alarms.count("not_reconciled") in (1, 2)


def test_a_trade_whose_leverage_is_never_answered_is_given_up_after_a_minute() -> None:
    storm = Storm(Scripted(lambda _: 20.0, 8), Told("4000", enter=1))
    storm.worse(request=lambda effect: not isinstance(effect, SetLeverage))
    storm.until(lambda: bool(storm.engine.state.trades))
    storm.minutes(1.2)
    trade = storm.engine.state.trades["HYPE#1"]
    assert trade.stage is Stage.CLOSED
    assert trade.exit_reason is not None
    assert trade.exit_reason.startswith("leverage_unanswered")
    assert intended(storm) == []


def test_an_account_that_was_asked_for_and_overtaken_by_a_newer_one_is_asked_for_again() -> None:
    storm = holding().minutes(5)
    engine, exchange, now_ns = storm.engine, storm.venue.exchange, storm.venue.now_ns
    engine.handle(exchange.account_report(str(now_ns), now_ns))
    asked_ns = now_ns + MINUTE + SECOND
    assert any(isinstance(e, QueryAccount) for e in engine.handle(Timer(asked_ns)).effects)
    older = exchange.account_report(str(asked_ns), asked_ns)
    engine.handle(exchange.account_report(None, asked_ns + SECOND))
    engine.handle(older)
    effects = engine.handle(Timer(asked_ns + 2 * SECOND)).effects
    assert any(isinstance(effect, QueryAccount) for effect in effects)


def sent_by(outcome: Outcome) -> list[OrderRequest]:
    return [fact.request for fact in outcome.facts if isinstance(fact, OrderIntended)]


@pytest.mark.parametrize("answered", [True, False])
def test_after_a_silence_the_account_is_heard_before_anything_is_hedged_or_the_bound_is_over(
    answered: bool,
) -> None:
    storm = holding().minutes(5)
    engine, exchange, now_ns = storm.engine, storm.venue.exchange, storm.venue.now_ns
    asked = engine.handle(Reconnected("account", now_ns))
    assert any(isinstance(effect, QueryAccount) for effect in asked.effects)
    assert sent_by(engine.handle(manual(None, SPOT.id, Side.SELL, "60", now_ns))) == []
    if answered:
        hedge = engine.handle(exchange.account_report(str(now_ns), now_ns))
    else:
        assert sent_by(engine.handle(Timer(now_ns + 14 * SECOND))) == []
        hedge = engine.handle(Timer(now_ns + 15 * SECOND))
    assert [(r.instrument, r.side) for r in sent_by(hedge)] == [(PERP.id, Side.BUY)]


def test_when_a_reduction_is_refused_the_account_is_asked_what_is_left_to_reduce() -> None:
    storm = holding().minutes(5)
    engine, now_ns = storm.engine, storm.venue.now_ns
    (first, *_) = sent_by(engine.handle(manual(None, SPOT.id, Side.SELL, "60", now_ns)))
    assert first.reduce_only
    outcome = engine.handle(OrderRejected(first.cloid, "nothing to reduce", now_ns, now_ns))
    assert any(isinstance(effect, QueryAccount) for effect in outcome.effects)
    assert sent_by(engine.handle(Timer(now_ns + 10 * SECOND))) == []


def test_a_stream_that_comes_and_goes_puts_no_hedge_off_beyond_the_bound() -> None:
    storm = holding().minutes(5)
    engine, now_ns = storm.engine, storm.venue.now_ns
    engine.handle(Reconnected("private", now_ns))
    engine.handle(manual(None, SPOT.id, Side.SELL, "60", now_ns))
    engine.handle(Reconnected("private", now_ns + 10 * SECOND))
    hedge = engine.handle(Timer(now_ns + 15 * SECOND))
    assert [(r.instrument, r.side) for r in sent_by(hedge)] == [(PERP.id, Side.BUY)]


def test_an_answer_to_what_was_asked_before_a_silence_does_not_end_it() -> None:
    storm = holding().minutes(5)
    engine, exchange, now_ns = storm.engine, storm.venue.exchange, storm.venue.now_ns
    engine.handle(Reconnected("account", now_ns))
    engine.handle(manual(None, SPOT.id, Side.SELL, "60", now_ns))
    asked_before = exchange.account_report(str(now_ns - SECOND), now_ns)
    assert sent_by(engine.handle(asked_before)) == []
    asked_since = exchange.account_report(str(now_ns), now_ns)
    assert len(sent_by(engine.handle(asked_since))) == 1


def test_of_a_sale_that_was_told_first_the_trade_takes_no_more_than_it_holds() -> None:
    storm = Storm(Scripted(lambda _: 20.0, 8), Told("4000", enter=1)).worse()
    storm.until(lambda: bool(storm.engine.state.orders.live()), SECOND // 10)
    engine, now_ns = storm.engine, storm.venue.now_ns
    (order,) = engine.state.orders.live()
    cloid, leg, trade_id = order.cloid, order.request.instrument, order.trade_id
    books = engine.state.books
    assert leg == SPOT.id
    held: list[tuple[int, int]] = []
    for number, (whose, side, quantity) in enumerate(
        [(None, Side.SELL, "7"), (cloid, Side.BUY, "5"), (cloid, Side.BUY, "6")]
    ):
        engine.handle(manual(whose, leg, side, quantity, now_ns + number))
        held.append((int(books.quantity(trade_id, leg)), int(books.quantity(None, leg))))
    assert held == [(0, -7), (0, -2), (4, 0)]
