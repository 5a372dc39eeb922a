"""Double entry: each venue-attested event, and each handing over of dust, as one balanced entry.

The assets are the quote currency, spot tokens by name, and perp contracts by
instrument id: a perp fill exchanges contracts for quote exactly as a spot fill
exchanges tokens. A perp's value is then ``quantity x mark`` less what was paid
for it, and no average price, hence no division, is needed anywhere.

What is held (``CASH``, ``HOLDING``) belongs to the whole account. Where it came from
(the other accounts) belongs to a trade, or to none: the unassigned. Those carry the opposite sign,
so that each trade's profit from a source is minus the balance of its account.

Amounts are computed in the caller's context, which must be ``domain.money.exact()``:
entering it costs a third of a booking, so it is entered once, by ``Books``.
"""

from decimal import Decimal
from enum import StrEnum

import msgspec

from domain.account import CashCause, Cashflow, FundingPayment
from domain.instruments import Instrument, Kind
from domain.money import ZERO, Money
from domain.orders import Fill


class Account(StrEnum):
    CASH = "cash"  # quote currency, isolated margin included
    HOLDING = "holding"  # spot tokens and perp contracts, one account an instrument
    CAPITAL = "capital"  # what the owner brought, less what was taken out
    TRADING = "trading"  # the other side of what was bought and sold, at the decision-time mid
    SLIPPAGE = "slippage"
    FEES = "fees"
    FUNDING = "funding"
    BORROW = "borrow"
    LIQUIDATION = "liquidation"


class Posting(msgspec.Struct, frozen=True):
    """A change of one account. ``trade_id`` None is the account's, or the unassigned."""

    account: Account
    change: Money
    trade_id: str | None = None
    instrument: str | None = None


class Entry(msgspec.Struct, frozen=True):
    """One fact in the ledger. Every asset in it sums to zero, or it cannot exist.

    Raises:
        ValueError: when it does not balance.
    """

    memo: str
    postings: tuple[Posting, ...]

    def __post_init__(self) -> None:
        totals: dict[str, Decimal] = {}
        for posting in self.postings:
            asset = posting.change.asset
            totals[asset] = totals.get(asset, ZERO) + posting.change.amount
        if any(totals.values()):
            uneven = {asset: str(total) for asset, total in totals.items() if total}
            raise ValueError(f"unbalanced entry {self.memo!r}: {uneven}")


def event_key(event: Fill | FundingPayment | Cashflow) -> tuple[str, str, str]:
    """What makes a venue's event one event, however often it arrives: (kind, venue, id)."""
    match event:
        case Fill():
            name = event.fill_id
        case FundingPayment():
            name = event.payment_id
        case Cashflow():
            name = event.cashflow_id
    venue = event.instrument.split(":", 1)[0] if event.instrument is not None else ""
    return type(event).__name__, venue, name


def held_asset(instrument: Instrument) -> str:
    """What a position in ``instrument`` counts: the token, or the contract itself."""
    return instrument.base if instrument.kind is Kind.SPOT else instrument.id


def fill_entry(
    fill: Fill, instrument: Instrument, trade_id: str | None, decision_mid: Decimal
) -> Entry:
    """A trade: quantity against quote, what it slipped from ``decision_mid``, and its fee.

    Slippage is judged on the whole quantity. A fee in the base asset reduces what
    arrived and is valued at the fill's price.

    Raises:
        ValueError: when the fee is in an asset that is neither the base of a spot
            fill nor the quote.
    """
    quote = instrument.quote
    fee_base, fee_quote = _fee(fill, instrument)
    signed = fill.side.sign * fill.quantity
    paid = signed * fill.price
    slipped = signed * (fill.price - decision_mid)
    fee_value = fee_quote + fee_base * fill.price
    held = Money(signed - fee_base, held_asset(instrument))
    return Entry(
        f"fill {fill.fill_id}",
        (
            Posting(Account.CASH, Money(-paid - fee_quote, quote)),
            Posting(Account.HOLDING, held, None, instrument.id),
            Posting(Account.TRADING, -held, trade_id, instrument.id),
            Posting(
                Account.TRADING,
                Money(paid - slipped - fee_base * fill.price, quote),
                trade_id,
                instrument.id,
            ),
            Posting(Account.SLIPPAGE, Money(slipped, quote), trade_id),
            Posting(Account.FEES, Money(fee_value, quote), trade_id),
        ),
    )


def _fee(fill: Fill, instrument: Instrument) -> tuple[Decimal, Decimal]:
    """The fee in base units and in quote; at most one of them is not zero."""
    if not fill.fee.amount:
        return ZERO, ZERO
    if fill.fee.asset == instrument.quote:
        return ZERO, fill.fee.amount
    if instrument.kind is Kind.SPOT and fill.fee.asset == instrument.base:
        return fill.fee.amount, ZERO
    raise ValueError(
        f"fill {fill.fill_id} of {instrument.id} charged its fee in {fill.fee.asset}; "
        f"only {instrument.quote}, or the base of a spot fill, can be booked"
    )


def funding_entry(payment: FundingPayment, trade_id: str | None) -> Entry:
    """Funding received (positive) or paid, exactly as the venue credited it."""
    return Entry(
        f"funding {payment.payment_id}",
        (
            Posting(Account.CASH, payment.payment),
            Posting(Account.FUNDING, -payment.payment, trade_id),
        ),
    )


_SOURCES = {
    CashCause.DEPOSIT: Account.CAPITAL,
    CashCause.WITHDRAWAL: Account.CAPITAL,
    CashCause.BORROW: Account.BORROW,
    CashCause.LIQUIDATION_PENALTY: Account.LIQUIDATION,
    CashCause.GAS: Account.FEES,
}


def cashflow_entry(cashflow: Cashflow, trade_id: str | None) -> Entry:
    """Quote currency that came or went: capital, borrow cost, penalty or gas."""
    account = _SOURCES[cashflow.cause]
    owner = None if account is Account.CAPITAL else trade_id
    return Entry(
        f"{cashflow.cause} {cashflow.cashflow_id}",
        (Posting(Account.CASH, cashflow.money), Posting(account, -cashflow.money, owner)),
    )


def token_flow_entry(
    cashflow: Cashflow, instrument: Instrument, trade_id: str | None, price: Decimal
) -> Entry:
    """Tokens that came or went, valued at ``price``: inventory brought is held by no trade."""
    account = _SOURCES[cashflow.cause]
    owner = None if account is Account.CAPITAL else trade_id
    value = Money(cashflow.money.amount * price, instrument.quote)
    return Entry(
        f"{cashflow.cause} {cashflow.cashflow_id}",
        (
            Posting(Account.HOLDING, cashflow.money, None, instrument.id),
            Posting(Account.TRADING, -cashflow.money, owner, instrument.id),
            Posting(Account.TRADING, value, owner, instrument.id),
            Posting(account, -value, owner),
        ),
    )


def residual_entry(
    instrument: Instrument,
    quantity: Decimal,
    price: Decimal,
    from_trade: str | None,
    to_trade: str | None,
) -> Entry:
    """Signed ``quantity`` changes hands at ``price``: a sale inside the account, without cash."""
    held = Money(quantity, held_asset(instrument))
    value = Money(quantity * price, instrument.quote)
    return Entry(
        f"residual {instrument.id}",
        (
            Posting(Account.TRADING, held, from_trade, instrument.id),
            Posting(Account.TRADING, -value, from_trade, instrument.id),
            Posting(Account.TRADING, -held, to_trade, instrument.id),
            Posting(Account.TRADING, value, to_trade, instrument.id),
        ),
    )
