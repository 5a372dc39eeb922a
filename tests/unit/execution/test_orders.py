"""Every order ends proven, and nothing the venue may say in any order breaks its life."""

from decimal import Decimal
from itertools import permutations

import pytest

from domain.money import ZERO
from domain.orders import OrderRequest, OrderStatus, Side, TimeInForce
from execution.facts import OrderIntended, Role
from execution.orders import (
    TRANSITIONS,
    IllegalTransition,
    OrderEvent,
    OrderState,
    OrderTable,
)


def intended(cloid: str = "0x1", quantity: str = "10", trade: str = "HYPE#1") -> OrderIntended:
    request = OrderRequest(
        cloid,
        "sim:HYPE/USDC",
        Side.BUY,
        Decimal(quantity),
        Decimal(20),
        TimeInForce.POST_ONLY,
        reduce_only=False,
        expires_ns=5,
    )
    return OrderIntended(request, trade, Role.MAKER, Decimal(20), time_ns=1)


@pytest.fixture
def table() -> OrderTable:
    orders = OrderTable()
    orders.intend(intended())
    return orders


def test_an_intent_is_pending_and_live(table: OrderTable) -> None:
    assert table["0x1"].state is OrderState.PENDING
    assert [o.cloid for o in table.live()] == ["0x1"]


def test_the_same_intent_twice_is_refused(table: OrderTable) -> None:
    with pytest.raises(IllegalTransition, match="intended twice"):
        table.intend(intended())


def test_partial_fills_leave_it_open_and_the_last_one_ends_it(table: OrderTable) -> None:
    table.advance("0x1", OrderEvent.ACCEPTED, 2)
    assert table.fill("0x1", Decimal(4), 3).state is OrderState.OPEN
    assert table["0x1"].remaining == 6
    assert table.fill("0x1", Decimal(6), 4).state is OrderState.FILLED
    assert table.live() == []


def test_a_canceled_order_stays_live_until_its_reported_fills_have_come(
    table: OrderTable,
) -> None:
    table.advance("0x1", OrderEvent.ACCEPTED, 2)
    assert table.end("0x1", Decimal(4), 3).is_live
    assert not table.fill("0x1", Decimal(4), 4).is_live


def test_a_fill_after_the_cancel_still_counts(table: OrderTable) -> None:
    table.advance("0x1", OrderEvent.ACCEPTED, 2)
    table.end("0x1", ZERO, 3)
    assert table.fill("0x1", Decimal(10), 4).state is OrderState.FILLED


def test_a_refused_cancel_leaves_the_order_unknown(table: OrderTable) -> None:
    table.advance("0x1", OrderEvent.ACCEPTED, 2)
    table.advance("0x1", OrderEvent.CANCEL_SENT, 3)
    table.advance("0x1", OrderEvent.CANCEL_REFUSED, 4)
    assert [o.cloid for o in table.unknown()] == ["0x1"]


def test_an_unknown_order_found_dead_waits_for_what_the_venue_says_it_filled(
    table: OrderTable,
) -> None:
    table.advance("0x1", OrderEvent.DOUBTED, 2)
    order = table.resolve("0x1", OrderStatus.CANCELED, Decimal(3), 3)
    assert order.state is OrderState.CANCELED
    assert order.is_live


def test_an_unknown_order_found_open_goes_on(table: OrderTable) -> None:
    table.advance("0x1", OrderEvent.DOUBTED, 2)
    assert table.resolve("0x1", OrderStatus.OPEN, ZERO, 3).state is OrderState.OPEN


def test_an_order_never_leaves_unknown_by_being_doubted_again(table: OrderTable) -> None:
    table.advance("0x1", OrderEvent.DOUBTED, 2)
    with pytest.raises(IllegalTransition, match="cannot be doubted"):
        table.advance("0x1", OrderEvent.DOUBTED, 3)


def test_a_rejected_order_cannot_be_accepted(table: OrderTable) -> None:
    table.advance("0x1", OrderEvent.REFUSED, 2)
    with pytest.raises(IllegalTransition, match="cannot be accepted"):
        table.advance("0x1", OrderEvent.ACCEPTED, 3)


def test_whatever_order_the_answers_to_a_filled_order_come_in_it_ends_filled() -> None:
    def ack(t: OrderTable) -> None:
        t.advance("0x1", OrderEvent.ACCEPTED, 9)

    def half(t: OrderTable) -> None:
        t.fill("0x1", Decimal(5), 9)

    def ended(t: OrderTable) -> None:
        t.end("0x1", Decimal(10), 9)

    for answers in permutations((ack, half, half, ended)):
        orders = OrderTable()
        orders.intend(intended())
        for answer in answers:
            answer(orders)
        assert orders["0x1"].state is OrderState.FILLED
        assert orders.live() == []


def test_live_orders_are_told_apart_by_trade(table: OrderTable) -> None:
    table.intend(intended("0x2", trade="BTC#1"))
    assert [o.cloid for o in table.live("BTC#1")] == ["0x2"]
    assert len(table) == 2
    assert {o.cloid for o in table} == {"0x1", "0x2"}
    assert "0x2" in table
    assert table.get(None) is None


def test_no_row_leads_out_of_filled() -> None:
    ends = {to for (start, _), to in TRANSITIONS.items() if start is OrderState.FILLED}
    assert ends == {OrderState.FILLED}
