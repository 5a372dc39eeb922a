"""What we ask of Hyperliquid, as the actions it signs for. Pure.

The order of the keys is signed. Flags that are false where false is the default are left out.
"""

from decimal import Decimal
from typing import Any

from domain.money import EXACT, ZERO
from domain.orders import OrderRequest, Side, TimeInForce
from execution.venues.hyperliquid import units

Action = dict[str, Any]

DECIMALS_MAX = 8
MARGIN_DECIMALS = 6
NOOP: Action = {"type": "noop"}

_TIME_IN_FORCE = {
    TimeInForce.IOC: "Ioc",
    TimeInForce.POST_ONLY: "Alo",
    TimeInForce.GTC: "Gtc",
}


def wire_number(value: Decimal) -> str:
    """A price or size as the venue hashes it: plain digits, no zeros at the end.

    >>> wire_number(Decimal("1200.500"))
    '1200.5'

    Raises:
        ValueError: when it is not positive, or eight decimals would round it.
    """
    if not value.is_finite() or value <= ZERO:
        raise ValueError(f"not a positive number: {value}")
    text = f"{value.normalize(EXACT):f}"
    if len(text.partition(".")[2]) > DECIMALS_MAX:
        raise ValueError(f"{value} has more than {DECIMALS_MAX} decimals")
    return text


def order_action(request: OrderRequest, asset: int) -> Action:
    """One order, in a group of its own.

    A stop is grouped ``na`` as well, and not as one of the position (``positionTpsl``): it then
    has a size, so that what a person holds of the same perp is none of its business; it is
    answered with its number like every other; and nothing but its own fate ends it.

    Raises:
        ValueError: where price or size cannot be written exactly.
    """
    return {
        "type": "order",
        "orders": [
            {
                "a": asset,
                "b": request.side is Side.BUY,
                "p": wire_number(units.told_price(request.instrument, request.price)),
                "s": wire_number(units.told_size(request.instrument, request.quantity)),
                "r": request.reduce_only,
                "t": _order_type(request),
                "c": request.cloid,
            }
        ],
        "grouping": "na",
    }


def _order_type(request: OrderRequest) -> Action:
    if request.trigger is None:
        return {"limit": {"tif": _TIME_IN_FORCE[request.time_in_force]}}
    assert request.reduce_only, "Invariant: what waits for a price opens nothing"
    at_market = request.time_in_force is TimeInForce.IOC
    price = wire_number(units.told_price(request.instrument, request.trigger))
    return {"trigger": {"isMarket": at_market, "triggerPx": price, "tpsl": "sl"}}


def cancel_action(cloid: str, asset: int) -> Action:
    return {"type": "cancelByCloid", "cancels": [{"asset": asset, "cloid": cloid}]}


def leverage_action(leverage: int, asset: int) -> Action:
    """Isolated, always."""
    return {"type": "updateLeverage", "asset": asset, "isCross": False, "leverage": leverage}


def margin_action(amount: Decimal, asset: int) -> Action:
    """``amount`` in USDC, negative takes out.

    ``isBuy`` is true on either side of a position: it belongs to a hedge mode that is not there.

    Raises:
        ValueError: when it is not a whole number of millionths.
    """
    millionths = amount.scaleb(MARGIN_DECIMALS)
    if millionths != millionths.to_integral_value():
        raise ValueError(f"{amount} has more than {MARGIN_DECIMALS} decimals")
    return {"type": "updateIsolatedMargin", "asset": asset, "isBuy": True, "ntli": int(millionths)}
