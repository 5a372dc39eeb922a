"""Entries balance or do not exist; each fact becomes the postings that the field expects."""

from decimal import Decimal

import pytest

from domain.account import CashCause, Cashflow, FundingPayment
from domain.instruments import FeeSchedule, Instrument, Kind, MarginTier
from domain.money import Money, exact
from domain.orders import Fill, FillCause, Liquidity, Side
from execution.ledger.entries import (
    Account,
    Entry,
    Posting,
    cashflow_entry,
    event_key,
    fill_entry,
    funding_entry,
    residual_entry,
    token_flow_entry,
)

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


def usdc(amount: str) -> Money:
    return Money(Decimal(amount), "USDC")


def fill(instrument: Instrument, side: Side, quantity: str, price: str, fee: Money) -> Fill:
    return Fill(
        "1",
        "0x1",
        instrument.id,
        side,
        Decimal(price),
        Decimal(quantity),
        fee,
        Liquidity.TAKER,
        FillCause.ORDER,
        1,
        2,
    )


def payment(amount: str) -> FundingPayment:
    return FundingPayment(
        "f", PERP.id, Decimal(-1), Decimal(100), Decimal("0.0001"), 1, usdc(amount), 1, 2
    )


def flow(amount: Money, cause: CashCause, instrument: str | None = None) -> Cashflow:
    return Cashflow("c", amount, cause, instrument, 1, 2)


def changes(entry: Entry) -> list[tuple[str, str, str]]:
    return [
        (posting.account.value, str(posting.change.amount), posting.change.asset)
        for posting in entry.postings
        if posting.change.amount
    ]


def test_an_entry_that_does_not_sum_to_zero_cannot_exist() -> None:
    with pytest.raises(ValueError, match=r"unbalanced entry 'x': \{'USDC': '0.01'\}"):
        Entry("x", (Posting(Account.CASH, usdc("1.01")), Posting(Account.FEES, usdc("-1"))))


def test_two_assets_do_not_balance_each_other() -> None:
    with pytest.raises(ValueError, match="unbalanced"):
        Entry(
            "x",
            (Posting(Account.CASH, usdc("1")), Posting(Account.FEES, Money(Decimal(-1), "USDT"))),
        )


def test_a_bought_token_arrives_less_its_fee_which_is_valued_at_the_fill() -> None:
    with exact():
        entry = fill_entry(
            fill(SPOT, Side.BUY, "2", "100", Money(Decimal("0.01"), "UBTC")), SPOT, "T", Decimal(99)
        )

    assert changes(entry) == [
        ("cash", "-200", "USDC"),
        ("holding", "1.99", "UBTC"),
        ("trading", "-1.99", "UBTC"),
        ("trading", "197.00", "USDC"),  # 200 paid, 2 of it slippage, 1 of it fee
        ("slippage", "2", "USDC"),
        ("fees", "1.00", "USDC"),
    ]


def test_a_sold_perp_gives_quote_against_contracts() -> None:
    with exact():
        entry = fill_entry(
            fill(PERP, Side.SELL, "2", "100", usdc("0.09")), PERP, "T", Decimal("100.5")
        )

    assert changes(entry) == [
        ("cash", "199.91", "USDC"),
        ("holding", "-2", PERP.id),
        ("trading", "2", PERP.id),
        ("trading", "-201.0", "USDC"),
        ("slippage", "1.0", "USDC"),
        ("fees", "0.09", "USDC"),
    ]


@pytest.mark.parametrize("instrument", [SPOT, PERP])
def test_a_fee_in_a_third_asset_is_refused(instrument: Instrument) -> None:
    odd = fill(instrument, Side.BUY, "1", "100", Money(Decimal(1), "BTC"))
    with pytest.raises(ValueError, match="charged its fee in BTC"), exact():
        fill_entry(odd, instrument, None, Decimal(100))


def test_no_fee_needs_no_asset_that_is_known() -> None:
    with exact():
        entry = fill_entry(
            fill(PERP, Side.BUY, "1", "100", Money(Decimal(0), "?")), PERP, None, Decimal(100)
        )

    assert ("fees", "0", "?") not in changes(entry)


def test_funding_received_is_cash_and_paid_is_not() -> None:
    with exact():
        assert changes(funding_entry(payment("1.5"), "T"))[0] == ("cash", "1.5", "USDC")
        assert changes(funding_entry(payment("-1.5"), "T"))[0] == ("cash", "-1.5", "USDC")


@pytest.mark.parametrize(
    ("cause", "account"),
    [
        (CashCause.DEPOSIT, "capital"),
        (CashCause.WITHDRAWAL, "capital"),
        (CashCause.BORROW, "borrow"),
        (CashCause.LIQUIDATION_PENALTY, "liquidation"),
        (CashCause.GAS, "fees"),
    ],
)
def test_each_cause_has_its_account(cause: CashCause, account: str) -> None:
    with exact():
        entry = cashflow_entry(flow(usdc("-3"), cause), "T")

    assert changes(entry) == [("cash", "-3", "USDC"), (account, "3", "USDC")]


def test_capital_belongs_to_no_trade_and_gas_to_its_own() -> None:
    with exact():
        deposit = cashflow_entry(flow(usdc("3"), CashCause.DEPOSIT), "T")
        gas = cashflow_entry(flow(usdc("-3"), CashCause.GAS), "T")

    assert deposit.postings[1].trade_id is None
    assert gas.postings[1].trade_id == "T"


def test_tokens_brought_in_are_held_at_what_they_were_worth() -> None:
    brought = flow(Money(Decimal(2), "UBTC"), CashCause.DEPOSIT, SPOT.id)
    with exact():
        entry = token_flow_entry(brought, SPOT, "T", Decimal(50))

    assert changes(entry) == [
        ("holding", "2", "UBTC"),
        ("trading", "-2", "UBTC"),
        ("trading", "100", "USDC"),
        ("capital", "-100", "USDC"),
    ]


def test_a_residual_changes_hands_without_cash() -> None:
    with exact():
        entry = residual_entry(SPOT, Decimal("0.1"), Decimal(50), "A", None)

    assert [(p.trade_id, str(p.change.amount)) for p in entry.postings] == [
        ("A", "0.1"),
        ("A", "-5.0"),
        (None, "-0.1"),
        (None, "5.0"),
    ]


def test_an_event_is_one_by_its_kind_its_venue_and_its_id() -> None:
    bought = fill(SPOT, Side.BUY, "1", "100", usdc("0"))

    assert event_key(bought) == ("Fill", "synthetic", "1")
    assert event_key(payment("1")) == ("FundingPayment", "synthetic", "f")
    assert event_key(flow(usdc("1"), CashCause.GAS)) == ("Cashflow", "", "c")
