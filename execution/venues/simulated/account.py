"""Balances and positions of the one account: what a fill does to them, and what backs orders.

A unified account: spot balances and perp margin are the same settlement asset.
Isolated margin leaves the balance for its position and comes back as it is reduced.
"""

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal

from msgspec.structs import replace

from domain.account import MarginMode
from domain.instruments import Instrument, Kind
from domain.money import ZERO, Money, decimal_of
from domain.orders import Liquidity, Side
from execution.venues.simulated.margin import Tier, guarded, initial_margin
from execution.venues.simulated.state import RATIO, Market, OpenOrder, Position, State, rounded

_ENTRY_PRICE_QUANTUM = Decimal("1e-12")


def fill_position(
    position: Position,
    change: Decimal,
    price: Decimal,
    tiers: tuple[Tier, ...],
    quantum: Decimal,
    *,
    release: bool = True,
) -> tuple[Position, Decimal]:
    """``position`` after trading ``change`` (signed base) at ``price``, and the balance's receipt.

    Opening moves the initial margin from the balance to an isolated position.
    Closing a fraction returns that fraction of the position's equity at ``price``,
    nothing while it is negative; closing all returns all, a loss beyond the margin
    included. Without ``release`` a partial close leaves the margin where it is. A
    cross position takes no margin and returns profit and loss as they are realized.
    """
    cash = ZERO
    isolated = position.mode is MarginMode.ISOLATED
    size, sign = abs(position.quantity), 1 if change > 0 else -1
    closing = min(abs(change), size) if position.quantity * sign < 0 else ZERO
    if closing:
        cash = position.equity(price)
        if closing < size:
            cash = rounded(RATIO.divide(cash * closing, size), quantum)
            if isolated:
                cash = max(cash, ZERO) if release else ZERO
        position = replace(
            position,
            quantity=position.quantity + sign * closing,
            raw_margin=position.raw_margin - sign * closing * price - cash,
        )
    opening = abs(change) - closing
    if opening:
        size = abs(position.quantity)
        margin = initial_margin(opening * price, position.leverage, quantum) if isolated else ZERO
        cash -= margin
        entry = RATIO.divide(size * position.entry_price + opening * price, size + opening)
        position = replace(
            position,
            quantity=position.quantity + sign * opening,
            raw_margin=position.raw_margin - sign * opening * price + margin,
            entry_price=rounded(entry, _ENTRY_PRICE_QUANTUM),
        )
    return guarded(position, tiers), cash


def fee_of(
    instrument: Instrument,
    side: Side,
    quantity: Decimal,
    price: Decimal,
    *,
    liquidity: Liquidity,
    quantum: Decimal,
) -> Money:
    """What the venue charges for a fill; in the base asset for a spot buy where it says so."""
    fees = instrument.fees
    share = fees.maker if liquidity is Liquidity.MAKER else fees.taker
    if instrument.kind is Kind.SPOT and side is Side.BUY and fees.buyer_pays_base:
        return Money(rounded(quantity * share, quantum), instrument.base)
    return Money(rounded(quantity * price * share, quantum), instrument.quote)


def increase(position: Position, side: Side, quantity: Decimal) -> Decimal:
    """How much of ``quantity`` would open or add, rather than close (base units)."""
    if position.quantity * side.sign >= 0:
        return quantity
    return max(quantity - abs(position.quantity), ZERO)


def backing(
    instrument: Instrument,
    position: Position | None,
    side: Side,
    quantity: Decimal,
    *,
    price: Decimal,
    fee_share: Decimal,
    quantum: Decimal,
) -> Money:
    """What an order needs free to be placed, and keeps held while it rests.

    A spot sell holds what it sells, a spot buy what it costs, a perp order the
    initial margin of what it would open; the fee with it where the quote pays it.
    """
    fee_share = max(fee_share, ZERO)
    if position is not None:
        opening = increase(position, side, quantity)
        margin = initial_margin(opening * price, position.leverage, quantum)
        return Money(margin + _up(opening * price * fee_share, quantum), instrument.quote)
    if side is Side.SELL:
        return Money(quantity, instrument.base)
    fee = ZERO if instrument.fees.buyer_pays_base else quantity * price * fee_share
    return Money(quantity * price + _up(fee, quantum), instrument.quote)


def held(
    state: State, instruments: Mapping[str, Instrument], quantum: Decimal, but: OpenOrder | None
) -> dict[str, Decimal]:
    """What backs resting orders (``but`` one), and open cross positions, by asset."""
    holds: dict[str, Decimal] = {}
    for name, market in state.markets.items():
        instrument = instruments[name]
        for order in market.orders.values():
            request = order.request
            if order is but or (request.reduce_only and market.position is not None):
                continue
            need = backing(
                instrument,
                market.position,
                request.side,
                order.remaining,
                price=request.price,
                fee_share=instrument.fees.maker,
                quantum=quantum,
            )
            holds[need.asset] = holds.get(need.asset, ZERO) + need.amount
    for asset, reserve in cross_reserves(state, instruments, quantum).items():
        holds[asset] = holds.get(asset, ZERO) + reserve
    return holds


def mark_of(market: Market) -> Decimal | None:
    """The mark as last heard, else the mid; None before any market."""
    mark = market.mark if market.mark is not None else market.mid
    return None if mark is None else decimal_of(mark)


def cross_positions(
    state: State, instruments: Mapping[str, Instrument], asset: str
) -> list[tuple[str, Position, Decimal]]:
    """Open cross positions settled in ``asset``: instrument id, position, mark."""
    return [
        (name, market.position, mark_of(market) or market.position.entry_price)
        for name, market in state.markets.items()
        if market.position is not None
        and market.position.mode is MarginMode.CROSS
        and market.position.quantity
        and instruments[name].quote == asset
    ]


def cross_reserves(
    state: State, instruments: Mapping[str, Instrument], quantum: Decimal
) -> dict[str, Decimal]:
    """Initial margin of cross positions less their unrealized profit, by settlement asset.

    Never negative: profit that is not realized backs nothing else.
    """
    reserves: dict[str, Decimal] = {}
    crossed = {
        instruments[name].quote: None
        for name, market in state.markets.items()
        if market.position is not None and market.position.mode is MarginMode.CROSS
    }
    for asset in crossed:
        reserve = ZERO
        for _, position, mark in cross_positions(state, instruments, asset):
            notional = abs(position.quantity) * mark
            reserve += initial_margin(notional, position.leverage, quantum) - position.equity(mark)
        if reserve > 0:
            reserves[asset] = reserve
    return reserves


def _up(amount: Decimal, quantum: Decimal) -> Decimal:
    return amount.quantize(quantum, ROUND_CEILING, RATIO)
