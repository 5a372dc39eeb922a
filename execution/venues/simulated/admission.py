"""Whether the venue takes an order, in the venue's words where it does not.

Texts: Hyperliquid's error responses, without the suffix it appends.
"""

from collections.abc import Mapping
from decimal import Decimal

from domain.instruments import Instrument, Kind
from domain.money import ZERO
from domain.orders import OrderRequest, Side, TimeInForce
from execution.venues.simulated.account import backing, increase
from execution.venues.simulated.margin import Tier, tier_at
from execution.venues.simulated.matching import available, crosses
from execution.venues.simulated.state import Market

EXPIRED = "Action already expired"
DELISTED = "Asset is delisted."
DUPLICATE = "duplicate client order id"
ZERO_SIZE = "Order has zero size."
INVALID_SIZE = "Order has invalid size"
TICK = "Price must be divisible by tick size."
REDUCE_ONLY = "Reduce only order would increase position."
MARGIN = "Insufficient margin to place order."
SPOT_BALANCE = "Order has insufficient spot balance to trade"
BAD_TRIGGER = "Invalid TP/SL price."
NOT_A_PERP = "Trigger orders are of perps alone."
TIER = "Order would cause position to exceed margin tier limit at current leverage"


def refusal(
    request: OrderRequest,
    instrument: Instrument,
    market: Market,
    free: Mapping[str, Decimal],
    *,
    tiers: tuple[Tier, ...],
    quantum: Decimal,
) -> str | None:
    """Why this order is refused now; None where it is taken.

    ``free`` is what of each asset backs nothing yet. Reduce-only means nothing on
    spot, and there is no exemption from the minimum for closing.
    """
    return (
        malformed(request, instrument)
        or would_increase(request, market)
        or _would_match(request, market)
        or _unbacked(request, instrument, market, free, quantum)
        or _beyond_tier(request, market, tiers)
    )


def bad_trigger(request: OrderRequest, instrument: Instrument, mark: Decimal | None) -> str | None:
    """Why an order cannot wait for its trigger: its prices, or the mark that is there already.

    What it would do then is judged then, as that of any other order.
    """
    if instrument.kind is not Kind.PERP:
        return NOT_A_PERP
    if reason := malformed(request, instrument):
        return reason
    trigger = request.trigger
    assert trigger is not None, "Invariant: asked of trigger orders alone"
    if trigger <= 0 or instrument.round_price(trigger, up=False) != trigger:
        return TICK
    return BAD_TRIGGER if mark is not None and request.is_triggered(mark) else None


def malformed(request: OrderRequest, instrument: Instrument) -> str | None:
    """What is wrong with its size or price as such."""
    if request.quantity <= 0:
        return ZERO_SIZE
    if request.quantity % instrument.lot:
        return INVALID_SIZE
    price = request.price
    if price <= 0 or instrument.round_price(price, up=False) != price:
        return TICK
    if request.quantity * price < instrument.minimum_notional:
        if instrument.kind is Kind.PERP:
            return f"Order must have minimum value of ${instrument.minimum_notional}."
        return f"Order must have minimum value of {instrument.minimum_notional} {instrument.quote}."
    return None


def would_increase(request: OrderRequest, market: Market) -> str | None:
    """Why a reduce-only order has nothing to reduce."""
    if not request.reduce_only or market.position is None:
        return None
    return REDUCE_ONLY if market.position.quantity * request.side.sign >= 0 else None


def _would_match(request: OrderRequest, market: Market) -> str | None:
    if request.time_in_force is not TimeInForce.POST_ONLY:
        return None
    if next(available(market, request.side, request.price), None) is None:
        return None
    bid, ask = (next(available(market, side, None), None) for side in (Side.SELL, Side.BUY))
    best = "@".join("none" if level is None else str(level[1]) for level in (bid, ask))
    return f"Post only order would have immediately matched, bbo was {best}."


def _worst_price(request: OrderRequest, market: Market) -> Decimal:
    """The price at which the order needs most: a marketable sell fills above its limit."""
    best = next(available(market, request.side, None), None)
    if (
        request.side is Side.SELL
        and best is not None
        and crosses(Side.SELL, request.price, best[1])
    ):
        return best[1]
    return request.price


def _unbacked(
    request: OrderRequest,
    instrument: Instrument,
    market: Market,
    free: Mapping[str, Decimal],
    quantum: Decimal,
) -> str | None:
    position = market.position
    if position is not None and request.reduce_only:
        return None
    need = backing(
        instrument,
        position,
        request.side,
        request.quantity,
        price=_worst_price(request, market),
        fee_share=instrument.fees.taker,
        quantum=quantum,
    )
    if not need.amount or need.amount <= free.get(need.asset, ZERO):
        return None
    return SPOT_BALANCE if position is None else MARGIN


def _beyond_tier(request: OrderRequest, market: Market, tiers: tuple[Tier, ...]) -> str | None:
    position = market.position
    if position is None or not increase(position, request.side, request.quantity):
        return None
    after = abs(position.quantity + request.side.sign * request.quantity)
    tier = tier_at(tiers, after * _worst_price(request, market))
    return TIER if position.leverage > tier.max_leverage else None
