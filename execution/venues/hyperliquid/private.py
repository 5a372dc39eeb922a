"""Private messages and answers into events about our orders and money. Pure.

Raises ``BadMessage`` and nothing else. What is not of a listed instrument still has a name
(``hyperliquid:`` and the venue's coin), so that the engine sees that it is there.
"""

from collections.abc import Iterable, Mapping
from decimal import Context, Decimal

from domain.account import (
    AccountReport,
    Balance,
    CashCause,
    Cashflow,
    FundingPayment,
    LeverageConfirmed,
    MarginMode,
    PositionReport,
)
from domain.money import ZERO, Money, exact
from domain.orders import (
    CancelReason,
    Fill,
    FillCause,
    Liquidity,
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
    OrderReport,
    OrderStatus,
    Side,
)
from domain.time import DAY, HOUR, iso
from execution.venues.hyperliquid import units, wire
from execution.venues.hyperliquid.symbols import QUOTE, VENUE, Listing
from execution.venues.hyperliquid.wire import (
    BadMessage,
    amount,
    hourly_rate,
    nanoseconds,
    not_negative,
    positive,
)

OrderNews = OrderAccepted | OrderCanceled | OrderRejected

_SIDES = {"B": Side.BUY, "A": Side.SELL}
_MODES = {"isolated": MarginMode.ISOLATED, "cross": MarginMode.CROSS}
_CANCELED = {
    "reduceOnlyCanceled": CancelReason.REDUCE_ONLY,
    "marginCanceled": CancelReason.MARGIN,
    "liquidatedCanceled": CancelReason.LIQUIDATION,
    "delistedCanceled": CancelReason.DELISTING,
    "iocCancelRejected": CancelReason.IOC,
}
"""The other cancels were requested, or are of a kind that the bot has no word for."""

_QUOTIENT = Context(prec=12)


# --- when -----------------------------------------------------------------------------------


def _dated(time_ms: int, received_ns: int) -> int:
    """The venue's time of something, UTC.

    Raises:
        BadMessage: when that is over a day from now. The venue takes no nonce from beyond a day,
            so that no clock with which one can trade is off by that much.
    """
    time_ns = nanoseconds(time_ms)
    if time_ns > received_ns + DAY:
        raise BadMessage(f"dated {iso(time_ns)}, and received {iso(received_ns)}")
    return time_ns


# --- fills and funding ----------------------------------------------------------------------


def fill(
    listing: Listing, row: wire.FillRow, account: str, cloid: str | None, received_ns: int
) -> Fill:
    """One execution; ``cloid`` is of the order that it belongs to, None where that has none.

    A trade id names both sides of a trade, so that the order's id is part of the fill's.
    """
    return Fill(
        fill_id=f"{row.tid}-{row.oid}",
        cloid=cloid,
        instrument=_name(listing, row.coin),
        side=_SIDES[row.side],
        price=units.of_a_coin(row.coin, positive(row.px)),
        quantity=units.coins(row.coin, positive(row.sz)),
        fee=Money(amount(row.fee), row.fee_token),
        liquidity=Liquidity.TAKER if row.crossed else Liquidity.MAKER,
        cause=fill_cause(row, account),
        venue_time_ns=_dated(row.time, received_ns),
        received_ns=received_ns,
    )


def fill_cause(row: wire.FillRow, account: str) -> FillCause:
    """Who trades against a liquidation has ``liquidation`` on his fill as well: it is ours
    where it names us."""
    liquidated = row.liquidation.liquidated_user if row.liquidation is not None else None
    if liquidated is not None and liquidated.lower() == account:
        return FillCause.LIQUIDATION
    return FillCause.ADL if row.dir == "Auto-Deleveraging" else FillCause.ORDER


def funding_payment(
    listing: Listing,
    row: wire.UserFunding | wire.FundingDelta,
    time_ms: int,
    received_ns: int,
) -> FundingPayment:
    """One hour's funding of one position.

    Its id is the coin and the whole hour, which the stream and the history agree on. The
    oracle price is not told: it follows from the payment to as many digits as that has, and
    is zero where nothing was paid. The books take the payment alone.
    """
    rate, paid = amount(row.funding_rate), amount(row.usdc)
    position = units.coins(row.coin, amount(row.szi))
    hourly_rate(row.funding_rate)
    time_ns = _dated(time_ms, received_ns)
    hour_ns = (time_ns + HOUR // 2) // HOUR * HOUR
    with exact():
        charged = position * rate
    return FundingPayment(
        payment_id=f"funding-{row.coin}-{iso(hour_ns)}",
        instrument=_name(listing, row.coin),
        position=position,
        price=_QUOTIENT.divide(-paid, charged) if charged and paid else ZERO,
        rate=rate,
        interval_hours=1,
        payment=Money(paid, QUOTE),
        venue_time_ns=time_ns,
        received_ns=received_ns,
    )


# --- other money ----------------------------------------------------------------------------


def cashflows(
    listing: Listing, row: wire.LedgerUpdate, account: str, received_ns: int
) -> tuple[Cashflow, ...]:
    """What a ledger row moved into or out of the account; a fee in another token apart.

    Rows that move nothing over the account's edge give nothing. So do kinds that are not
    known: what they moved shows as a difference to the books, and a person looks.
    """
    delta = row.delta
    moved: list[tuple[Decimal, str, CashCause]] = []
    if delta.type == "deposit":
        moved = [(_sum(delta.usdc), QUOTE, CashCause.DEPOSIT)]
    elif delta.type == "withdraw":
        moved = [(-_sum(delta.usdc, delta.fee), QUOTE, CashCause.WITHDRAWAL)]
    elif delta.type in ("internalTransfer", "subAccountTransfer"):
        moved = _transfer(delta, delta.usdc, QUOTE, account)
    elif delta.type in ("spotTransfer", "send"):
        moved = _transfer(delta, delta.amount, delta.token or "", account)
    elif delta.type in ("spotGenesis", "rewardsClaim"):
        moved = [(_sum(delta.amount), delta.token or QUOTE, CashCause.DEPOSIT)]
    elif delta.type == "liquidation":
        moved = [(-_sum(delta.account_value), QUOTE, CashCause.LIQUIDATION_PENALTY)]
    elif delta.type == "accountActivationGas":
        moved = [(-_sum(delta.amount), delta.token or QUOTE, CashCause.GAS)]
    time_ns = _dated(row.time, received_ns)
    instrument = _liquidated(listing, delta)
    return tuple(
        Cashflow(
            cashflow_id=f"{delta.type}-{row.time}-{row.hash}-{index}",
            money=Money(change, asset),
            cause=cause,
            instrument=instrument,
            venue_time_ns=time_ns,
            received_ns=received_ns,
        )
        for index, (change, asset, cause) in enumerate(moved)
        if change
    )


def _transfer(
    delta: wire.LedgerDelta, text: str | None, asset: str, account: str
) -> list[tuple[Decimal, str, CashCause]]:
    """To or from somebody else; the sender pays the fee."""
    sent = (delta.user or "").lower() == account
    received = (delta.destination or "").lower() == account
    moved: list[tuple[Decimal, str, CashCause]] = []
    if sent != received:
        value = _sum(text)
        cause = CashCause.WITHDRAWAL if sent else CashCause.DEPOSIT
        moved.append((-value if sent else value, asset, cause))
    if sent:
        moved.append((-_sum(delta.fee), delta.fee_token or QUOTE, CashCause.GAS))
    return moved


def _sum(*texts: str | None) -> Decimal:
    with exact():
        return sum((amount(text) for text in texts if text is not None), ZERO)


def _liquidated(listing: Listing, delta: wire.LedgerDelta) -> str | None:
    positions = delta.liquidated_positions
    return _name(listing, positions[0].coin) if positions else None


# --- orders ---------------------------------------------------------------------------------


def order_news(update: wire.OrderUpdate, received_ns: int) -> OrderNews | None:
    """What an update says of an order of ours; None where that is nothing, or it has no cloid."""
    cloid = update.order.cloid
    if cloid is None:
        return None
    status, filled = update.status, _filled(update.order)
    time_ns = _dated(update.status_timestamp, received_ns)
    if status in ("open", "filled", "triggered"):
        return OrderAccepted(cloid, str(update.order.oid), time_ns, received_ns, filled)
    if status in _CANCELED or (_is_dead(status) and (filled or _is_canceled(status))):
        reason = _CANCELED.get(status, CancelReason.REQUESTED)
        return OrderCanceled(cloid, reason, filled, time_ns, received_ns)
    if _is_dead(status):
        return OrderRejected(cloid, status, time_ns, received_ns)
    return None


def order_report(
    cloid: str, answer: wire.OrderStatus, asked_ns: int, received_ns: int
) -> OrderReport:
    """The answer to a query by client id.

    It is dated by the moment we asked: the venue answered no earlier, so that an expiry
    which had passed by then had passed when the venue looked.
    """
    if answer.status == "unknownOid":
        return OrderReport(cloid, OrderStatus.NEVER_SEEN, ZERO, asked_ns, received_ns)
    if answer.status != "order" or answer.order is None or answer.order.order.cloid != cloid:
        raise BadMessage(f"an answer about another order than {cloid}")
    status, filled = answer.order.status, _filled(answer.order.order)
    if status in ("open", "triggered"):
        found = OrderStatus.OPEN
    elif status == "filled":
        found = OrderStatus.FILLED
    elif _is_canceled(status) or status in _CANCELED:
        found = OrderStatus.CANCELED
    elif _is_dead(status):
        found = OrderStatus.REJECTED
    else:
        raise BadMessage(f"an order is {status!r}, whatever that is")
    return OrderReport(cloid, found, filled, asked_ns, received_ns)


def _filled(order: wire.OrderRow) -> Decimal:
    with exact():
        filled = positive(order.orig_sz) - not_negative(order.sz)
    if filled < ZERO:
        raise BadMessage(f"order {order.oid}: more remains than was asked for")
    return units.coins(order.coin, filled)


def _is_canceled(status: str) -> bool:
    return status in ("canceled", "scheduledCancel") or status.endswith("Canceled")


def _is_dead(status: str) -> bool:
    return _is_canceled(status) or status == "rejected" or status.endswith("Rejected")


# --- the account ----------------------------------------------------------------------------


def account_report(
    listing: Listing,
    perp: wire.ClearinghouseState,
    spot: wire.SpotClearinghouseState,
    orders: Iterable[wire.OpenOrder],
    cloids: Mapping[str, str | None],
    request_id: str | None,
    received_ns: int,
) -> AccountReport:
    """The account as of the perp state's time; the other parts must have been read after it.

    ``cloids`` knows the client ids of orders where the list of open ones does not tell them.
    """
    balances = [_balance(listing, balance) for balance in spot.balances]
    margin_free = None
    if listing.is_standard:
        margin_free = not_negative(perp.withdrawable or "")
        balances = _both_sides(balances, _perp_cash(perp), margin_free)
    return AccountReport(
        balances=tuple(balances),
        positions=tuple(_position(listing, row.position) for row in perp.asset_positions),
        open_orders=tuple(
            order.cloid or cloids.get(str(order.oid)) or f"oid-{order.oid}" for order in orders
        ),
        request_id=request_id,
        venue_time_ns=_dated(perp.time, received_ns),
        received_ns=received_ns,
        margin_free=margin_free,
    )


def _perp_cash(perp: wire.ClearinghouseState) -> Decimal:
    """The perps' wallet without what cross positions have gained: that is in their price."""
    summary = perp.cross_margin_summary
    if summary is None:
        raise BadMessage("a perp state without its cross margin summary")
    with exact():
        cash = amount(summary.account_value)
        for position in (row.position for row in perp.asset_positions):
            if position.leverage.type == "cross" and position.entry_px is not None:
                quantity, value = amount(position.szi), not_negative(position.position_value)
                cost = quantity * positive(position.entry_px)
                cash -= (value if quantity > ZERO else -value) - cost
    return cash


def _both_sides(balances: list[Balance], cash: Decimal, margin_free: Decimal) -> list[Balance]:
    """The perps' wallet (``cash``, of which ``margin_free`` backs nothing) added to the balance
    of its token. A pair needs money on either side: as much counts as free as both have."""
    spot = next((b for b in balances if b.asset == QUOTE), Balance(QUOTE, ZERO, ZERO))
    with exact():
        total = spot.total + cash
        free = min(spot.total - spot.held, margin_free)
        both = Balance(QUOTE, total, total - free)
    return [both, *(balance for balance in balances if balance.asset != QUOTE)]


def standing(report: AccountReport) -> tuple[object, ...]:
    """What of a report changes only when something happens to the account: no price is in it.

    The margin of a cross position is no quantity of its own: it follows the price.
    """
    isolated, apart = MarginMode.ISOLATED, report.margin_free is not None
    return (
        # Where perps have a wallet of their own, what is free follows the price of cross positions.
        sorted((b.asset, b.total, ZERO if apart else b.held) for b in report.balances),
        sorted(
            (p.instrument, p.quantity, p.raw_margin if p.mode is isolated else 0, p.leverage)
            for p in report.positions
        ),
        sorted(report.open_orders),
    )


def leverage_confirmed(
    instrument: str, data: wire.ActiveAssetData, received_ns: int
) -> LeverageConfirmed:
    mode = _MODES[data.leverage.type]
    return LeverageConfirmed(instrument, data.leverage.value, mode, received_ns, received_ns)


def _balance(listing: Listing, balance: wire.SpotBalance) -> Balance:
    """A token of the same name as a listed one is another asset."""
    asset = listing.tokens.get(balance.token, f"{balance.coin}#{balance.token}")
    return Balance(asset, amount(balance.total), not_negative(balance.hold))


def _position(listing: Listing, position: wire.Position) -> PositionReport:
    """Isolated margin is ``rawUsd`` plus the position's value: what the venue calls margin used."""
    coin, leverage = position.coin, position.leverage
    quantity = units.coins(coin, amount(position.szi))
    value, mode = not_negative(position.position_value), _MODES[leverage.type]
    signed = value if quantity > ZERO else -value
    with exact():
        if mode is MarginMode.ISOLATED:
            if leverage.raw_usd is None:
                raise BadMessage(f"{position.coin}: isolated without rawUsd")
            raw_margin = amount(leverage.raw_usd)
        else:
            raw_margin = amount(position.margin_used) - signed
        margin = raw_margin + signed
    return PositionReport(
        instrument=_name(listing, position.coin),
        quantity=quantity,
        entry_price=units.of_a_coin(coin, positive(position.entry_px))
        if position.entry_px is not None
        else ZERO,
        mark=_QUOTIENT.divide(value, abs(quantity)) if quantity else ZERO,
        margin=margin,
        raw_margin=raw_margin,
        leverage=leverage.value,
        mode=mode,
        liquidation_price=units.of_a_coin(coin, amount(position.liquidation_px))
        if position.liquidation_px is not None
        else None,
    )


def _name(listing: Listing, coin: str) -> str:
    known = listing.by_coin.get(coin)
    return known.instrument.id if known is not None else f"{VENUE}:{coin}"
