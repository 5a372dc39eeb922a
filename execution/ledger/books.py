"""The books: running totals of balanced entries, and every figure about money derived from them.

A pure fold: the same facts give the same books. Only totals are kept, so a year
costs no more memory than a day, but for the identities of what was booked.
"""

from collections.abc import Mapping
from decimal import Decimal

from domain.account import Cashflow, FundingPayment
from domain.instruments import Instrument
from domain.money import ZERO, exact
from domain.orders import Fill
from execution.ledger.entries import (
    Account,
    Entry,
    cashflow_entry,
    event_key,
    fill_entry,
    funding_entry,
    residual_entry,
    token_flow_entry,
)
from execution.ledger.pnl import PnL

Line = tuple[Account, str | None, str]
"""(account, instrument, asset): what one running total counts."""

_HELD = frozenset({Account.CASH, Account.HOLDING})


class Books:
    """All money of one account, in one quote currency.

    ``fill``, ``funding`` and ``cashflow`` return False and change nothing where the
    books already hold an event of that venue and id. ``trade_id`` None is the
    unassigned. ``marks`` maps instrument ids to prices (quote/base) and needs only
    what is held. Everything is exact: whatever would round raises
    ``decimal.Inexact``.
    """

    def __init__(self, quote: str = "USDC") -> None:
        self.quote = quote
        self._totals: dict[Line, Decimal] = {}
        self._trades: dict[str | None, dict[Line, Decimal]] = {None: {}}
        self._assets: dict[str, str] = {}  # instrument id -> what a position in it counts
        self._seen: set[tuple[str, str, str]] = set()

    # Booking

    def fill(
        self, fill: Fill, instrument: Instrument, trade_id: str | None, decision_mid: Decimal
    ) -> bool:
        """Book an execution; ``decision_mid`` is the mid when its order was decided.

        The fee of every fill is a fee, a liquidation's too, so that anyone finds
        ``fees`` again from the fills; the price it was liquidated at is basis.

        Raises:
            ValueError: when its quote or the asset of its fee cannot be booked here.
        """
        if instrument.quote != self.quote:
            raise ValueError(f"{instrument.id} is quoted in {instrument.quote}, not {self.quote}")
        key = event_key(fill)
        if key in self._seen:
            return False
        with exact():
            self._post(fill_entry(fill, instrument, trade_id, decision_mid))
        self._seen.add(key)
        return True

    def funding(self, payment: FundingPayment, trade_id: str | None) -> bool:
        """Book one funding payment.

        Raises:
            ValueError: when it was not paid in the quote currency.
        """
        key = event_key(payment)
        if key in self._seen:
            return False
        self._require_quote(payment.payment.asset, f"funding {payment.payment_id}")
        with exact():
            self._post(funding_entry(payment, trade_id))
        self._seen.add(key)
        return True

    def cashflow(
        self,
        cashflow: Cashflow,
        trade_id: str | None,
        *,
        instrument: Instrument | None = None,
        price: Decimal | None = None,
    ) -> bool:
        """Book a deposit, withdrawal, borrow cost, penalty or gas.

        Deposits and withdrawals are capital, never profit, whatever the trade.
        Tokens need the spot ``instrument`` that they are valued by and its ``price``.

        Raises:
            ValueError: when it is in tokens and comes without these.
        """
        key = event_key(cashflow)
        if key in self._seen:
            return False
        what = f"{cashflow.cause} {cashflow.cashflow_id}"
        with exact():
            if instrument is None or price is None:
                self._require_quote(cashflow.money.asset, what)
                self._post(cashflow_entry(cashflow, trade_id))
            else:
                self._post(token_flow_entry(cashflow, instrument, trade_id, price))
        self._seen.add(key)
        return True

    def move_residual(
        self,
        instrument: Instrument,
        quantity: Decimal,
        price: Decimal,
        from_trade: str | None,
        to_trade: str | None,
    ) -> None:
        """Hand signed ``quantity`` from one trade to another at ``price``.

        The giver realizes ``quantity x price``, the receiver takes it over at that
        cost: what the giver holds no more can no longer change its result. This is
        our own fact and has no venue id: a journal holds it once.
        """
        with exact():
            self._post(residual_entry(instrument, quantity, price, from_trade, to_trade))

    def has_seen(self, event: Fill | FundingPayment | Cashflow) -> bool:
        """Whether an event of this venue and id is booked already."""
        return event_key(event) in self._seen

    def _require_quote(self, asset: str, what: str) -> None:
        if asset != self.quote:
            raise ValueError(f"{what} is in {asset}, which has no price here; only {self.quote}")

    def _post(self, entry: Entry) -> None:
        for posting in entry.postings:
            change = posting.change
            line = (posting.account, posting.instrument, change.asset)
            self._totals[line] = self._totals.get(line, ZERO) + change.amount
            if posting.instrument is not None and change.asset != self.quote:
                self._assets[posting.instrument] = change.asset
            if posting.account not in _HELD:
                trade = self._trades.setdefault(posting.trade_id, {})
                trade[line] = trade.get(line, ZERO) + change.amount

    # What is held

    def cash(self, asset: str | None = None) -> Decimal:
        """Quote currency: the venue's balance plus the ``raw_margin`` of all its positions."""
        return self._totals.get((Account.CASH, None, asset or self.quote), ZERO)

    def balance(self, asset: str) -> Decimal:
        """A token as received: fees taken in it are already gone. For the quote see ``cash``."""
        with exact():
            return sum(
                (
                    total
                    for (account, _, held), total in self._totals.items()
                    if account is Account.HOLDING and held == asset
                ),
                ZERO,
            )

    def position(self, instrument_id: str) -> Decimal:
        """Signed quantity of one instrument, over all trades and the unassigned."""
        asset = self._assets.get(instrument_id, "")
        return self._totals.get((Account.HOLDING, instrument_id, asset), ZERO)

    def positions(self) -> dict[str, Decimal]:
        """Every instrument that is held, dust included: id to signed quantity, in order of id."""
        held = {
            instrument: total
            for (account, instrument, _), total in self._totals.items()
            if account is Account.HOLDING and instrument is not None and total
        }
        return dict(sorted(held.items()))

    def quantity(self, trade_id: str | None, instrument_id: str) -> Decimal:
        """Signed quantity of one instrument that one trade holds."""
        line = (Account.TRADING, instrument_id, self._assets.get(instrument_id, ""))
        with exact():
            return -self._trades.get(trade_id, {}).get(line, ZERO)

    @property
    def capital(self) -> Decimal:
        """What was brought in less what was taken out, tokens at their price of that moment."""
        with exact():
            return -self._totals.get((Account.CAPITAL, None, self.quote), ZERO)

    @property
    def trades(self) -> tuple[str, ...]:
        """Ids of the trades that have an entry, in the order of their first."""
        return tuple(trade for trade in self._trades if trade is not None)

    # What it is worth

    def equity(self, marks: Mapping[str, Decimal]) -> Decimal:
        """Cash plus everything held at its mark: what closing at the marks would leave."""
        with exact():
            return self.cash() + sum(
                (quantity * _mark(marks, held) for held, quantity in self.positions().items()),
                ZERO,
            )

    def pnl(self, trade_id: str | None, marks: Mapping[str, Decimal]) -> PnL:
        """One trade's profit by source, open quantities at ``marks``; None is the unassigned."""
        return self._profit(self._trades.get(trade_id, {}), marks)

    def price_profit(
        self, trade_id: str | None, instrument_id: str, marks: Mapping[str, Decimal]
    ) -> Decimal:
        """Of a trade's ``basis`` what came of one instrument."""
        totals = self._trades.get(trade_id, {})
        own = {line: total for line, total in totals.items() if line[1] == instrument_id}
        return self._profit(own, marks).basis

    def pnl_total(self, marks: Mapping[str, Decimal]) -> PnL:
        """The whole account's profit by source: its total is ``equity - capital``, exactly."""
        return self._profit(self._totals, marks)

    def _profit(self, totals: Mapping[Line, Decimal], marks: Mapping[str, Decimal]) -> PnL:
        profit = dict.fromkeys(Account, ZERO)
        with exact():
            for (account, instrument, asset), total in totals.items():
                if account is Account.TRADING and asset != self.quote and instrument and total:
                    profit[account] -= total * _mark(marks, instrument)
                elif asset == self.quote:
                    profit[account] -= total
        return PnL(
            funding=profit[Account.FUNDING],
            basis=profit[Account.TRADING],
            fees=profit[Account.FEES],
            slippage=profit[Account.SLIPPAGE],
            borrow=profit[Account.BORROW],
            liquidation=profit[Account.LIQUIDATION],
        )

    def balanced(self) -> bool:
        """Whether every asset sums to zero over all accounts, and the trades to the accounts."""
        assets: dict[str, Decimal] = {}
        with exact():
            shares = {line: -total for line, total in self._totals.items() if line[0] not in _HELD}
            for (_, _, asset), total in self._totals.items():
                assets[asset] = assets.get(asset, ZERO) + total
            for trade in self._trades.values():
                for line, total in trade.items():
                    shares[line] = shares.get(line, ZERO) + total
        return not any(assets.values()) and not any(shares.values())


def _mark(marks: Mapping[str, Decimal], instrument: str) -> Decimal:
    try:
        return marks[instrument]
    except KeyError:
        raise ValueError(f"no mark for {instrument}, which the books hold") from None
