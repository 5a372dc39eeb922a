"""The account's history in the venue's words: fills, funding, ledger updates, settled rates."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from decimal import Decimal
from hashlib import blake2b
from typing import Any

import msgspec

from domain.account import CashCause, Cashflow, FundingPayment, MarginMode
from domain.instruments import Instrument
from domain.market import FundingSettled
from domain.money import ZERO
from domain.orders import Fill, FillCause, Liquidity
from domain.time import MILLISECOND
from execution.venues.hyperliquid.emulator.holdings import Holding, direction, traded
from execution.venues.hyperliquid.emulator.listing import Listing, coin, is_perp
from execution.venues.hyperliquid.emulator.numbers import float_text, text
from execution.venues.hyperliquid.emulator.orders import SIDE_NAMES, Order
from execution.venues.simulated.rules import VenueRules

Row = dict[str, Any]
_ZERO_HASH = f"0x{'0' * 64}"
SOMEBODY = f"0x{'5' * 40}"
"""Another account: the other side of prints and of auto-deleveraging."""
# A fill that no order of the account made has the number of an order that it never sees.
_FIRST_FORCED = 1 << 40


def trade_id(fill_id: str) -> int:
    """The venue's ``tid`` of the exchange's fill: fifty bits, in no order.

    >>> trade_id("fill-1") == trade_id("fill-1") != trade_id("fill-2")
    True
    """
    return int.from_bytes(_digest(fill_id)[:7], "big") >> 6


class Timeline:
    """Rows in order of time, found by it."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._times: list[int] = []

    def add(self, row: Row, time_ms: int) -> None:
        """Rows of one instant stay in the order they came in; a late one is put in its place."""
        at = bisect_right(self._times, time_ms)
        self.rows.insert(at, row)
        self._times.insert(at, time_ms)

    def between(self, start_ms: int, end_ms: int | None, first: int = 0) -> Sequence[Row]:
        """Both ends inclusive, leaving out the ``first`` rows of all."""
        start = max(bisect_left(self._times, start_ms), first)
        end = len(self.rows) if end_ms is None else bisect_right(self._times, end_ms)
        return self.rows[start:end]


class Funded(msgspec.Struct):
    """Funding paid on one perp: ever, since it was opened, since its size changed."""

    all_time: Decimal = ZERO
    since_open: Decimal = ZERO
    since_change: Decimal = ZERO


class Records:
    """Folds the exchange's private events and keeps what queries and streams tell of them."""

    def __init__(self, listing: Listing, rules: VenueRules, account: str) -> None:
        self.fills, self.fundings, self.ledger = Timeline(), Timeline(), Timeline()
        self.rates = {coin: Timeline() for coin in listing.by_coin}
        self.volume = ZERO
        self.holdings = {name: Holding() for name in listing.coin_of}
        self._taken: list[Row] = []  # by the backstop, its margin not yet told of
        self.funded = {perp.id: Funded() for perp in listing.perps}
        self._listing, self._rules, self._account = listing, rules, account

    def fill(self, fill: Fill, order: Order | None, mark: str, mode: MarginMode) -> Row:
        """One execution. ``mark`` and ``mode`` are told where it was forced."""
        instrument = self._listing.by_coin[self._listing.coin_of[fill.instrument]]
        before, change = self.holdings[fill.instrument], fill.side.sign * fill.quantity
        after, profit = traded(before, change, fill.price)
        if fill.fee.asset == instrument.base:
            after = msgspec.structs.replace(after, quantity=after.quantity - fill.fee.amount)
        self.holdings[fill.instrument] = after
        self.volume += fill.quantity * fill.price
        row: Row = {
            "coin": self._listing.coin_of[fill.instrument],
            "px": text(fill.price),
            "sz": text(fill.quantity),
            "side": SIDE_NAMES[fill.side],
            "time": fill.venue_time_ns // MILLISECOND,
            "startPosition": text(before.quantity),
            "dir": self._direction(fill, instrument, before.quantity, mode),
            "closedPnl": text(profit),
            "hash": f"0x{_digest(f'{fill.venue_time_ns} {fill.cloid}').hex()}",
            "oid": self._oid(fill, order),
            "crossed": fill.liquidity is Liquidity.TAKER,
            "fee": text(fill.fee.amount),
            "tid": trade_id(fill.fill_id),
            "feeToken": coin(fill.fee.asset),
        }
        if fill.cause is not FillCause.ORDER:
            row["liquidation"] = self._liquidation(fill, mark)
        if fill.cause is FillCause.LIQUIDATION and is_backstop(fill):
            self._taken.append(row)
        if is_perp(instrument):
            funded = self.funded[fill.instrument]
            funded.since_change = ZERO
            if not before.quantity or before.quantity * after.quantity < 0:
                funded.since_open = ZERO
        self.fills.add(row, row["time"])
        return row

    def _oid(self, fill: Fill, order: Order | None) -> int:
        if order is not None:
            return order.oid
        return _FIRST_FORCED + int(fill.fill_id.rpartition("-")[2])

    def _direction(
        self, fill: Fill, instrument: Instrument, before: Decimal, mode: MarginMode
    ) -> str:
        """What the market took of a liquidated position is closed like any other: UNVERIFIED."""
        if not is_perp(instrument):
            return "Buy" if fill.side.sign > 0 else "Sell"
        if fill.cause is FillCause.ADL:
            return "Auto-Deleveraging"
        if fill.cause is FillCause.LIQUIDATION and is_backstop(fill):
            side = "Long" if before > 0 else "Short"
            return f"Liquidated {mode.capitalize()} {side}"
        return direction(before, fill.side.sign * fill.quantity)

    def _liquidation(self, fill: Fill, mark: str) -> Row:
        """Who was liquidated: in auto-deleveraging, the account on the other side."""
        liquidated = fill.cause is FillCause.LIQUIDATION
        return {
            "liquidatedUser": self._account if liquidated else SOMEBODY,
            "markPx": mark,
            "method": "backstop" if is_backstop(fill) else "market",
        }

    def payment(self, payment: FundingPayment) -> Row:
        """One funding payment; returns it as streams tell it."""
        amount, funded = payment.payment.amount, self.funded[payment.instrument]
        funded.all_time -= amount
        funded.since_open -= amount
        funded.since_change -= amount
        time_ms = payment.venue_time_ns // MILLISECOND
        delta = {
            "type": "funding",
            "coin": self._listing.coin_of[payment.instrument],
            "usdc": text(amount),
            "szi": text(payment.position),
            "fundingRate": text(payment.rate),
            "nSamples": None,
        }
        row = {"time": time_ms, "hash": _ZERO_HASH, "delta": delta}
        self.fundings.add(row, time_ms)
        return funding_told(row)

    def cashflow(self, flow: Cashflow) -> Row:
        """Money that moved otherwise: what the backstop kept is the liquidation's account value.

        Returns its row of the ledger."""
        amount, asset = flow.money.amount, coin(flow.money.asset)
        if flow.cause is CashCause.LIQUIDATION_PENALTY:
            taken, self._taken = self._taken, []
            notional = sum((Decimal(row["px"]) * Decimal(row["sz"]) for row in taken), ZERO)
            delta: Row = {
                "type": "liquidation",
                "liquidatedNtlPos": text(notional),
                "accountValue": text(-amount),
                "leverageType": "Isolated" if "Isolated" in taken[0]["dir"] else "Cross",
                "liquidatedPositions": [
                    {"coin": row["coin"], "szi": row["startPosition"]} for row in taken
                ],
            }
        elif asset == self._listing.tokens[0]:
            incoming = {"type": "deposit", "usdc": text(amount)}
            outgoing = {"type": "withdraw", "usdc": text(-amount), "nonce": 0, "fee": "0.0"}
            delta = incoming if amount >= 0 else outgoing
        else:
            delta = self._token_moved(asset, amount)
        return self.moved(delta, flow.venue_time_ns // MILLISECOND)

    def moved(self, delta: Row, time_ms: int) -> Row:
        """A new row of the ledger."""
        digest = _digest(f"ledger {len(self.ledger.rows)}").hex()
        row = {"time": time_ms, "hash": f"0x{digest}", "delta": delta}
        self.ledger.add(row, time_ms)
        return row

    def _token_moved(self, token: str, amount: Decimal) -> Row:
        """From somebody, or to them. It has no entry price."""
        for spot in self._listing.spots:
            if spot.base == token:
                before = self.holdings[spot.id]
                self.holdings[spot.id] = msgspec.structs.replace(
                    before, quantity=before.quantity + amount
                )
        parties = (SOMEBODY, self._account)
        user, destination = parties if amount >= 0 else reversed(parties)
        return {
            "type": "spotTransfer",
            "token": token,
            "amount": text(abs(amount)),
            "usdcValue": "0.0",
            "user": user,
            "destination": destination,
            "fee": "0.0",
            "nativeTokenFee": "0.0",
            "nonce": None,
        }

    def rate(self, settled: FundingSettled) -> None:
        """A published rate, with the premium that the formula gives it for (per eight hours)."""
        coin = self._listing.coin_of.get(settled.instrument)
        if coin is None:
            return
        rules = self._rules
        premium = 8 * settled.rate.per_hour - rules.interest
        if abs(premium) < 1e-12:  # within the clamp, every premium gives this rate
            premium = 0.0
        else:
            premium += rules.interest + (rules.clamp if premium > 0 else -rules.clamp)
        time_ms = settled.venue_time_ns // MILLISECOND
        row = {
            "coin": coin,
            "fundingRate": float_text(settled.rate.per_interval),
            "premium": float_text(round(premium, 10)),
            "time": time_ms,
        }
        self.rates[coin].add(row, time_ms)


def funding_told(row: Row) -> Row:
    """A row of the funding history as streams tell it."""
    return {"time": row["time"]} | {k: v for k, v in row["delta"].items() if k != "type"}


def is_backstop(fill: Fill) -> bool:
    """Only the market is paid a fee for taking a position."""
    return not fill.fee.amount


def _digest(text_: str) -> bytes:
    return blake2b(text_.encode(), digest_size=32).digest()
