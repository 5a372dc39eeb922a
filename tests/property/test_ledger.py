"""Whatever happens to an account, its books balance, and every cent has one source."""

from collections.abc import Callable
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.account import CashCause, Cashflow, FundingPayment
from domain.instruments import FeeSchedule, Instrument, Kind, MarginTier
from domain.money import Money, exact
from domain.orders import Fill, FillCause, Liquidity, Side
from execution.ledger.books import Books
from execution.ledger.pnl import PnL

FEES = FeeSchedule(Decimal("0.0004"), Decimal("0.0007"), buyer_pays_base=True)
TIERS = (MarginTier(Decimal(0), 10),)


def spot(base: str) -> Instrument:
    return Instrument(
        "synthetic", f"{base}/USDC", Kind.SPOT, base, "USDC", Decimal("0.01"), 4, Decimal(10), FEES
    )


def perp(base: str) -> Instrument:
    return Instrument(
        "synthetic",
        f"{base}-PERP",
        Kind.PERP,
        base,
        "USDC",
        Decimal("0.01"),
        4,
        Decimal(10),
        FEES,
        margin_tiers=TIERS,
        funding_interval_hours=1,
    )


INSTRUMENTS = (spot("UBTC"), perp("BTC"), spot("HYPE"), perp("HYPE"))
PERPS = tuple(i for i in INSTRUMENTS if i.kind is Kind.PERP)

prices = st.decimals("0.0001", "100000", places=4)
quantities = st.decimals("0.00001", "1000", places=5)
signed = st.decimals(-1000, 1000, places=5)
payments = st.decimals(-50, 50, places=21)
trades = st.sampled_from([None, "BTC#1", "BTC#2", "HYPE#1"])
marks = st.fixed_dictionaries({i.id: prices for i in INSTRUMENTS})

Booking = Callable[[Books], object]


@st.composite
def fills(draw: st.DrawFn, number: int) -> Booking:
    instrument = draw(st.sampled_from(INSTRUMENTS))
    side, price, quantity = draw(st.sampled_from(Side)), draw(prices), draw(quantities)
    in_base = instrument.kind is Kind.SPOT and draw(st.booleans())
    with exact():
        amount = (
            quantity
            * (1 if in_base else price)
            * draw(st.sampled_from([Decimal("7E-4"), Decimal("-2E-5")]))
        )
    fee = Money(amount, instrument.base if in_base else "USDC")
    texts = (str(number), "0x1", instrument.id)
    fill = Fill(*texts, side, price, quantity, fee, Liquidity.TAKER, FillCause.ORDER, 1, 2)
    trade_id, mid = draw(trades), draw(prices)
    return lambda books: books.fill(fill, instrument, trade_id, mid)


@st.composite
def fundings(draw: st.DrawFn, number: int) -> Booking:
    instrument, amount = draw(st.sampled_from(PERPS)), draw(payments)
    zero = Decimal(0)
    payment = FundingPayment(
        str(number), instrument.id, zero, zero, zero, 1, Money(amount, "USDC"), 1, 2
    )
    trade_id = draw(trades)
    return lambda books: books.funding(payment, trade_id)


@st.composite
def cashflows(draw: st.DrawFn, number: int) -> Booking:
    flow = Cashflow(
        str(number), Money(draw(payments), "USDC"), draw(st.sampled_from(CashCause)), None, 1, 2
    )
    trade_id = draw(trades)
    return lambda books: books.cashflow(flow, trade_id)


@st.composite
def token_flows(draw: st.DrawFn, number: int) -> Booking:
    instrument = draw(st.sampled_from([i for i in INSTRUMENTS if i.kind is Kind.SPOT]))
    money = Money(draw(signed), instrument.base)
    flow = Cashflow(str(number), money, draw(st.sampled_from(CashCause)), instrument.id, 1, 2)
    trade_id, price = draw(trades), draw(prices)
    return lambda books: books.cashflow(flow, trade_id, instrument=instrument, price=price)


@st.composite
def residuals(draw: st.DrawFn, number: int) -> Booking:
    instrument, quantity, price = draw(st.sampled_from(INSTRUMENTS)), draw(signed), draw(prices)
    giver, taker = draw(trades), draw(trades)
    return lambda books: books.move_residual(instrument, quantity, price, giver, taker)


VENUES_WORD = (fills, fundings, cashflows, token_flows)


@st.composite
def bookings(
    draw: st.DrawFn, kinds: tuple[Callable[[int], st.SearchStrategy[Booking]], ...]
) -> list[Booking]:
    chosen = draw(st.lists(st.sampled_from(kinds), max_size=15))
    return [draw(kind(number)) for number, kind in enumerate(chosen)]


EVERYTHING = (*VENUES_WORD, residuals)


def booked(events: list[Booking]) -> Books:
    books = Books()
    for event in events:
        event(books)
    return books


def parts(books: Books, at: dict[str, Decimal]) -> PnL:
    total = PnL()
    for trade_id in (None, *books.trades):
        total += books.pnl(trade_id, at)
    return total


@settings(max_examples=30)
@given(bookings(EVERYTHING))
def test_the_books_balance_after_every_event(events: list[Booking]) -> None:
    books = Books()
    for event in events:
        event(books)
        assert books.balanced()


@settings(max_examples=30)
@given(bookings(EVERYTHING), marks)
def test_all_trades_and_the_unassigned_sum_to_the_change_of_equity(
    events: list[Booking], at: dict[str, Decimal]
) -> None:
    books = booked(events)
    with exact():
        earned = books.equity(at) - books.capital

    assert parts(books, at) == books.pnl_total(at)
    assert parts(books, at).total == earned


@settings(max_examples=30)
@given(bookings(EVERYTHING))
def test_what_trades_hold_is_what_the_account_holds(events: list[Booking]) -> None:
    books = booked(events)
    for instrument in INSTRUMENTS:
        with exact():
            shares = sum(
                (books.quantity(t, instrument.id) for t in (None, *books.trades)), Decimal(0)
            )
        assert shares == books.position(instrument.id)
        if instrument.kind is Kind.SPOT:
            assert books.balance(instrument.base) == books.position(instrument.id)


@settings(max_examples=30)
@given(bookings(VENUES_WORD), st.data(), marks)
def test_any_prefix_told_again_changes_nothing(
    events: list[Booking], data: st.DataObject, at: dict[str, Decimal]
) -> None:
    once, twice = booked(events), booked(events)
    again = events[: data.draw(st.integers(0, len(events)))]

    assert [event(twice) for event in again] == [False] * len(again)
    assert twice.pnl_total(at) == once.pnl_total(at)
    assert twice.positions() == once.positions()
    assert twice.equity(at) == once.equity(at)


@settings(max_examples=30)
@given(bookings(EVERYTHING), st.randoms(use_true_random=False), marks)
def test_the_order_in_which_word_arrives_changes_no_figure(
    events: list[Booking], dice: object, at: dict[str, Decimal]
) -> None:
    shuffled = list(events)
    dice.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = booked(events), booked(shuffled)

    assert one.pnl_total(at) == other.pnl_total(at)
    assert {t: one.pnl(t, at) for t in one.trades} == {t: other.pnl(t, at) for t in other.trades}
    assert one.cash() == other.cash()


@settings(max_examples=30)
@given(bookings(EVERYTHING), marks, prices)
def test_a_trade_that_handed_everything_on_has_its_result_for_good(
    events: list[Booking], at: dict[str, Decimal], price: Decimal
) -> None:
    books = booked(events)
    for instrument in INSTRUMENTS:
        rest = books.quantity("BTC#1", instrument.id)
        books.move_residual(instrument, rest, price, "BTC#1", "BTC#2")

    frozen = books.pnl("BTC#1", {})
    assert books.pnl("BTC#1", at) == frozen
    assert parts(books, at) == books.pnl_total(at)


@settings(max_examples=30)
@given(bookings(EVERYTHING), marks, prices)
def test_handing_dust_on_creates_no_profit(
    events: list[Booking], at: dict[str, Decimal], price: Decimal
) -> None:
    books = booked(events)
    before = books.pnl_total(at)
    books.move_residual(INSTRUMENTS[0], Decimal("0.5"), price, "BTC#1", None)

    assert books.pnl_total(at) == before
