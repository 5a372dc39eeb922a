"""The books, by examples small enough to check with a pencil."""

from decimal import Decimal

import pytest

from domain.account import CashCause, Cashflow, FundingPayment
from domain.instruments import FeeSchedule, Instrument, Kind, MarginTier
from domain.money import Money
from domain.orders import Fill, FillCause, Liquidity, Side
from execution.ledger.books import Books
from execution.ledger.pnl import PnL

FEES = FeeSchedule(Decimal("0.0004"), Decimal("0.0007"), buyer_pays_base=True)
SPOT = Instrument(
    "synthetic", "UBTC/USDC", Kind.SPOT, "UBTC", "USDC", Decimal("0.00001"), 1, Decimal(10), FEES
)
PERP = Instrument(
    "synthetic",
    "BTC-PERP",
    Kind.PERP,
    "BTC",
    "USDC",
    Decimal("0.00001"),
    1,
    Decimal(10),
    FEES,
    margin_tiers=(MarginTier(Decimal(0), 40),),
    funding_interval_hours=1,
)
MARKS = {SPOT.id: Decimal(110), PERP.id: Decimal(111)}


def usdc(amount: str) -> Money:
    return Money(Decimal(amount), "USDC")


def fill(
    name: str,
    instrument: Instrument,
    side: Side,
    quantity: str,
    price: str,
    *,
    fee: Money | None = None,
    cause: FillCause = FillCause.ORDER,
) -> Fill:
    fee = fee or usdc("0")
    amounts = (Decimal(price), Decimal(quantity), fee)
    return Fill(name, "0x1", instrument.id, side, *amounts, Liquidity.TAKER, cause, 1, 2)


def payment(name: str, amount: str) -> FundingPayment:
    return FundingPayment(
        name, PERP.id, Decimal(-1), Decimal(100), Decimal("0.0001"), 1, usdc(amount), 1, 2
    )


def flow(name: str, amount: str, cause: CashCause, asset: str = "USDC") -> Cashflow:
    return Cashflow(name, Money(Decimal(amount), asset), cause, None, 1, 2)


def carry() -> Books:
    """1 000 in; 2 spot bought at 100 (mid 99.5), 1.98 perps sold at 101 (mid 101.5)."""
    books = Books()
    books.cashflow(flow("d", "1000", CashCause.DEPOSIT), None)
    bought = fill("1", SPOT, Side.BUY, "2", "100", fee=Money(Decimal("0.02"), "UBTC"))
    books.fill(bought, SPOT, "BTC#1", Decimal("99.5"))
    books.fill(
        fill("2", PERP, Side.SELL, "1.98", "101", fee=usdc("0.1")), PERP, "BTC#1", Decimal("101.5")
    )
    return books


def test_a_carry_trade_holds_what_arrived() -> None:
    books = carry()

    assert books.cash("USDC") == Decimal(1000) - 200 + Decimal("1.98") * 101 - Decimal("0.1")
    assert books.balance("UBTC") == Decimal("1.98")
    assert books.position(PERP.id) == Decimal("-1.98")
    assert books.positions() == {PERP.id: Decimal("-1.98"), SPOT.id: Decimal("1.98")}
    assert books.quantity("BTC#1", SPOT.id) == Decimal("1.98")
    assert books.quantity("BTC#1", PERP.id) == Decimal("-1.98")
    assert books.quantity(None, PERP.id) == books.quantity("BTC#2", PERP.id) == 0
    assert books.trades == ("BTC#1",)
    assert books.balanced()


def test_a_carry_trades_profit_comes_from_where_it_came_from() -> None:
    books = carry()
    books.funding(payment("f", "0.5"), "BTC#1")

    # Price: 1.98 x (110 - 99.5) and 1.98 x (101.5 - 111) from the decision mids; the
    # 0.02 that the fee took were bought at the mid too and are gone at the fill's price.
    basis = Decimal("1.98") * (Decimal(110) - Decimal("99.5")) + Decimal("1.98") * (
        Decimal("101.5") - 111
    )
    expected = PnL(
        funding=Decimal("0.5"),
        basis=basis + Decimal("0.02") * (Decimal(100) - Decimal("99.5")),
        fees=Decimal("-0.02") * 100 - Decimal("0.1"),
        slippage=-2 * Decimal("0.5") - Decimal("1.98") * Decimal("0.5"),
    )
    assert books.pnl("BTC#1", MARKS) == expected
    assert books.pnl_total(MARKS) == expected
    assert books.equity(MARKS) == 1000 + expected.total


def test_price_better_than_the_mid_is_positive_slippage() -> None:
    books = Books()
    books.fill(fill("1", PERP, Side.BUY, "1", "99"), PERP, "T", Decimal(100))
    books.fill(fill("2", PERP, Side.SELL, "1", "103"), PERP, "T", Decimal(100))

    assert books.pnl("T", {}) == PnL(slippage=Decimal(4))


def test_a_token_sold_at_the_mid_earns_basis_alone() -> None:
    books = Books()
    books.fill(fill("1", SPOT, Side.BUY, "3", "100"), SPOT, "T", Decimal(100))
    books.fill(fill("2", SPOT, Side.SELL, "3", "103"), SPOT, "T", Decimal(103))

    assert books.pnl("T", {}) == PnL(basis=Decimal(9))
    assert books.cash() == 9


def test_cash_is_the_balance_and_what_stands_behind_positions_without_price() -> None:
    """Isolated short of 2 at 100, 80 of margin: balance 920, margin at mark 110 is 60."""
    books = Books()
    books.cashflow(flow("d", "1000", CashCause.DEPOSIT), None)
    books.fill(fill("1", PERP, Side.SELL, "2", "100"), PERP, "T", Decimal(100))
    balance, margin, quantity, mark = (
        Decimal(920),
        Decimal(80) - 2 * (Decimal(110) - 100),
        Decimal(-2),
        Decimal(110),
    )
    raw_margin = margin - quantity * mark

    assert books.cash() == balance + raw_margin
    assert books.equity({PERP.id: mark}) == balance + margin


@pytest.mark.parametrize("times", [1, 2, 3])
def test_the_same_event_is_booked_once_however_often_it_arrives(times: int) -> None:
    books = Books()
    events = [
        books.fill(fill("1", PERP, Side.BUY, "1", "100"), PERP, "T", Decimal(100))
        for _ in range(times)
    ]
    events += [books.funding(payment("1", "1"), "T") for _ in range(times)]
    events += [books.cashflow(flow("1", "5", CashCause.DEPOSIT), None) for _ in range(times)]

    assert events.count(True) == 3
    assert books.cash() == -100 + 1 + 5
    assert books.position(PERP.id) == 1


def test_a_refused_event_may_come_again_corrected() -> None:
    books = Books()
    with pytest.raises(ValueError, match="charged its fee"):
        books.fill(
            fill("1", PERP, Side.BUY, "1", "100", fee=Money(Decimal(1), "X")),
            PERP,
            None,
            Decimal(100),
        )
    assert books.positions() == {}
    assert books.balanced()

    assert books.fill(fill("1", PERP, Side.BUY, "1", "100"), PERP, None, Decimal(100))


def test_the_same_id_at_two_venues_is_two_fills() -> None:
    other = Instrument(
        "elsewhere", "UBTC/USDC", Kind.SPOT, "UBTC", "USDC", Decimal(1), 1, Decimal(1), FEES
    )
    books = Books()

    assert books.fill(fill("1", SPOT, Side.BUY, "1", "100"), SPOT, "T", Decimal(100))
    assert books.fill(fill("1", other, Side.BUY, "2", "100"), other, "T", Decimal(100))
    assert books.balance("UBTC") == 3
    assert books.position(SPOT.id) == 1


def test_dust_handed_on_freezes_the_trade_that_gave_it() -> None:
    books = carry()
    books.fill(fill("3", SPOT, Side.SELL, "1.97", "105"), SPOT, "BTC#1", Decimal(105))
    books.fill(fill("4", PERP, Side.BUY, "1.98", "105"), PERP, "BTC#1", Decimal(105))
    books.move_residual(SPOT, Decimal("0.01"), Decimal(105), "BTC#1", None)
    at_105, frozen = {SPOT.id: Decimal(105)}, books.pnl("BTC#1", {})

    assert books.quantity("BTC#1", SPOT.id) == 0
    assert books.quantity(None, SPOT.id) == Decimal("0.01")
    assert books.pnl(None, at_105).total == 0
    assert frozen.total == books.equity(at_105) - 1000

    books.move_residual(SPOT, Decimal("0.01"), Decimal(107), None, "BTC#2")
    assert books.pnl("BTC#1", {}) == frozen
    assert books.pnl(None, {}) == PnL(basis=Decimal("0.02"))
    assert books.pnl("BTC#2", {SPOT.id: Decimal(110)}) == PnL(basis=Decimal("0.03"))
    assert books.trades == ("BTC#1", "BTC#2")
    assert books.balanced()


def test_a_liquidation_costs_its_penalty_its_price_is_basis_and_its_fee_a_fee() -> None:
    books = Books()
    books.fill(fill("1", PERP, Side.SELL, "1", "100"), PERP, "T", Decimal(100))
    forced = fill("2", PERP, Side.BUY, "1", "150", fee=usdc("0.2"), cause=FillCause.LIQUIDATION)
    books.fill(forced, PERP, "T", Decimal(150))
    books.cashflow(flow("p", "-3", CashCause.LIQUIDATION_PENALTY), "T")

    assert books.pnl("T", {}) == PnL(
        basis=Decimal(-50), fees=Decimal("-0.2"), liquidation=Decimal(-3)
    )


def test_borrow_and_gas_are_costs_and_capital_is_neither_profit_nor_loss() -> None:
    books = Books()
    books.cashflow(flow("1", "1000", CashCause.DEPOSIT), None)
    books.cashflow(flow("2", "-4", CashCause.BORROW), "T")
    books.cashflow(flow("3", "-1", CashCause.GAS), None)
    books.cashflow(flow("4", "-300", CashCause.WITHDRAWAL), "T")

    assert books.pnl("T", {}) == PnL(borrow=Decimal(-4))
    assert books.pnl(None, {}) == PnL(fees=Decimal(-1))
    assert books.capital == 700
    assert books.equity({}) == 695


def test_inventory_brought_earns_from_the_price_it_came_at() -> None:
    books = Books()
    brought = flow("1", "2", CashCause.DEPOSIT, "UBTC")
    assert books.cashflow(brought, None, instrument=SPOT, price=Decimal(100))

    assert books.capital == 200
    assert books.pnl_total(MARKS) == books.pnl(None, MARKS) == PnL(basis=Decimal(20))
    assert books.equity(MARKS) == 220


def test_what_has_no_price_is_refused() -> None:
    books = Books()
    with pytest.raises(ValueError, match="is in UBTC, which has no price here"):
        books.cashflow(flow("1", "2", CashCause.DEPOSIT, "UBTC"), None)
    with pytest.raises(ValueError, match="is quoted in USDC, not USDT"):
        Books("USDT").fill(fill("1", SPOT, Side.BUY, "1", "1"), SPOT, None, Decimal(1))
    with pytest.raises(ValueError, match="funding f is in USDC"):
        Books("USDT").funding(payment("f", "1"), None)


def test_what_is_held_needs_a_mark_and_nothing_else_does() -> None:
    books = carry()
    for ask in (books.equity, books.pnl_total, lambda marks: books.pnl("BTC#1", marks)):
        with pytest.raises(ValueError, match="no mark for synthetic:BTC-PERP"):
            ask({SPOT.id: Decimal(1)})

    assert books.pnl("BTC#9", {}) == PnL()


def test_books_that_were_tampered_with_do_not_balance() -> None:
    for totals in ("_totals", "trade"):
        books = carry()
        lines = books._totals if totals == "_totals" else books._trades["BTC#1"]
        line = next(iter(lines))
        lines[line] += Decimal("0.00000001")
        assert not books.balanced()


def test_amounts_keep_every_digit() -> None:
    books = Books()
    for number, amount in enumerate(("1000000000000", "1E-40", "-1000000000000")):
        books.funding(payment(str(number), amount), "T")

    assert books.pnl("T", {}).funding == books.cash() == Decimal("1E-40")
