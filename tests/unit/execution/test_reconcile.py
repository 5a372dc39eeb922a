"""Ours against the venue's, line by line."""

from decimal import Decimal

import msgspec
import pytest

from domain.account import (
    AccountReport,
    Balance,
    CashCause,
    Cashflow,
    MarginMode,
    PositionReport,
)
from domain.money import ZERO, Money
from domain.orders import CancelReason, OrderAccepted, OrderCanceled
from execution.facts import CancelIntended, OrderDoubted
from execution.reconcile import differences, is_comparable, missing_orders
from execution.state import State, apply
from tests.scripted import PERP
from tests.unit.execution.test_state import NOW, fill, intend, working

MARGIN = Decimal(100)


def position(quantity: str = "-10") -> PositionReport:
    size = Decimal(quantity)
    return PositionReport(
        PERP.id, size, Decimal(20), Decimal(20), MARGIN, MARGIN - size * 20, 2,
        MarginMode.ISOLATED, None,
    )  # fmt: skip


def report(**changes: object) -> AccountReport:
    """The account of ``held``: 1000 brought, 10 bought and 10 sold at 20, 100 of margin."""
    agreeing = AccountReport(
        balances=(Balance("HYPE", Decimal(10), ZERO), Balance("USDC", Decimal(700), ZERO)),
        positions=(position(),),
        open_orders=(),
        request_id="1",
        venue_time_ns=NOW,
        received_ns=NOW,
    )
    return msgspec.structs.replace(agreeing, **changes)


@pytest.fixture
def held() -> State:
    brought = Cashflow("c", Money(Decimal(1000), "USDC"), CashCause.DEPOSIT, None, NOW, NOW)
    return working(brought, intend("a"), fill(1, "a"), intend("b"), fill(2, "b", perp=True))


def test_books_that_are_the_venues_show_no_difference(held: State) -> None:
    assert differences(held, report()) == ()


def test_margin_behind_a_position_is_still_our_cash(held: State) -> None:
    moved = msgspec.structs.replace(position(), raw_margin=position().raw_margin + 50)
    balances = (Balance("HYPE", Decimal(10), ZERO), Balance("USDC", Decimal(650), ZERO))
    assert differences(held, report(positions=(moved,), balances=balances)) == ()


def test_the_smallest_difference_of_each_kind_is_a_line_of_its_own(held: State) -> None:
    off = report(
        balances=(Balance("HYPE", Decimal("10.000001"), ZERO), Balance("USDC", Decimal(701), ZERO)),
        positions=(msgspec.structs.replace(position("-9.99"), raw_margin=position().raw_margin),),
    )
    assert differences(held, off) == (
        "USDC: books 1000, venue 1001",
        "HYPE: books 10, venue 10.000001",
        "HYPE-PERP: books -10, venue -9.99",
    )


def test_what_the_venue_leaves_out_is_zero(held: State) -> None:
    lines = differences(held, report(positions=(), balances=()))
    assert lines == (
        "USDC: books 1000, venue 0",
        "HYPE: books 10, venue 0",
        "HYPE-PERP: books -10, venue 0",
    )


def test_a_position_in_an_instrument_that_is_none_of_ours_is_a_difference(held: State) -> None:
    foreign = msgspec.structs.replace(position("3"), instrument="sim:X-PERP", raw_margin=ZERO)
    lines = differences(held, report(positions=(position(), foreign)))
    assert lines == ("sim:X-PERP: books 0, venue 3",)


def test_a_report_older_than_our_last_news_is_not_compared(held: State) -> None:
    assert is_comparable(held, report())
    assert not is_comparable(held, report(venue_time_ns=NOW - 1))


@pytest.mark.parametrize("state", ["pending", "canceling", "unknown", "owed", "open"])
def test_nothing_is_compared_while_a_fill_may_be_on_its_way(held: State, state: str) -> None:
    apply(held, intend("c"))
    if state == "canceling":
        apply(held, CancelIntended("c", NOW))
    elif state == "unknown":
        apply(held, OrderDoubted("c", "", NOW))
    elif state == "owed":
        apply(held, OrderCanceled("c", CancelReason.IOC, Decimal(3), NOW, NOW))
    elif state == "open":
        apply(held, OrderAccepted("c", "1", NOW, NOW))
    assert is_comparable(held, report()) is (state == "open")


def test_an_order_that_we_hold_open_and_the_venue_does_not_list_is_missing(held: State) -> None:
    apply(held, intend("c"))
    apply(held, OrderAccepted("c", "1", NOW, NOW))
    later = report(venue_time_ns=NOW + 1)
    assert missing_orders(held, later) == ("c",)
    assert missing_orders(held, msgspec.structs.replace(later, open_orders=("c",))) == ()
    # A report from before we heard that it is open proves nothing.
    assert missing_orders(held, report(venue_time_ns=NOW)) == ()


def test_an_order_without_an_answer_yet_is_not_missing(held: State) -> None:
    apply(held, intend("c"))
    assert missing_orders(held, report(venue_time_ns=NOW + 1)) == ()
