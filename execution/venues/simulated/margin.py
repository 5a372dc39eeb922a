"""Margin tiers, maintenance, and the price of liquidation.

Source: Hyperliquid's margin tiers and liquidation formula,
``liq_price = price - side * margin_available / size / (1 - l * side)``.
"""

from decimal import ROUND_CEILING, Decimal
from math import inf

import msgspec

from domain.account import MarginMode
from domain.instruments import Instrument
from domain.money import ONE, ZERO
from execution.venues.simulated.state import RATIO, Position

# A float of the liquidation price may be off by one part in 1e16; the exact test decides.
_NEAR = 1e-9


class Tier(msgspec.Struct, frozen=True):
    """From ``lower_bound`` notional (quote): ``maintenance = notional * rate - deduction``.

    ``rate`` is half the initial rate at ``max_leverage``; the deduction makes the
    requirement continuous where tiers meet.
    """

    lower_bound: Decimal
    max_leverage: int
    rate: Decimal
    deduction: Decimal


def tiers_of(instrument: Instrument) -> tuple[Tier, ...]:
    """The instrument's tiers with their maintenance rates and deductions."""
    tiers: list[Tier] = []
    for margin_tier in instrument.margin_tiers:
        rate = RATIO.divide(ONE, Decimal(2 * margin_tier.max_leverage))
        deduction = ZERO
        if tiers:
            last = tiers[-1]
            step = RATIO.multiply(margin_tier.lower_bound, RATIO.subtract(rate, last.rate))
            deduction = RATIO.add(last.deduction, step)
        tiers.append(Tier(margin_tier.lower_bound, margin_tier.max_leverage, rate, deduction))
    return tuple(tiers)


def tier_at(tiers: tuple[Tier, ...], notional: Decimal) -> Tier:
    """The tier a position of ``notional`` (quote, not negative) falls into."""
    for tier in reversed(tiers):
        if notional >= tier.lower_bound:
            return tier
    return tiers[0]


def maintenance(tiers: tuple[Tier, ...], notional: Decimal) -> Decimal:
    """Equity below this is liquidated (settlement asset)."""
    tier = tier_at(tiers, notional)
    return notional * tier.rate - tier.deduction


def initial_margin(notional: Decimal, leverage: int, quantum: Decimal) -> Decimal:
    """``notional / leverage``, never a fraction of a quantum too little."""
    margin = RATIO.divide(notional, Decimal(leverage))
    return margin.quantize(quantum, ROUND_CEILING, RATIO)


def liquidation_price(
    tiers: tuple[Tier, ...], quantity: Decimal, raw_margin: Decimal
) -> Decimal | None:
    """The mark at which ``raw_margin + quantity * mark`` equals the maintenance margin.

    Solved on each tier; equity less maintenance is monotone in the mark, so exactly
    one tier holds its own solution. None where no positive price liquidates, and
    for a flat position. Equal to the venue's formula with ``l`` of that tier.
    """
    size = abs(quantity)
    if not size:
        return None
    for number, tier in enumerate(tiers):
        price = RATIO.divide(-(raw_margin + tier.deduction), quantity - size * tier.rate)
        last = number + 1 == len(tiers)
        if last or RATIO.multiply(size, price) < tiers[number + 1].lower_bound:
            return price if price > 0 else None
    return None


def guarded(position: Position, tiers: tuple[Tier, ...]) -> Position:
    """``position`` with the band of marks in which it needs no second look.

    A cross position depends on the whole account, so every mark is looked at.
    """
    above, below = -inf, inf
    if position.quantity and position.mode is MarginMode.CROSS:
        above, below = inf, -inf
    elif position.quantity:
        price = liquidation_price(tiers, position.quantity, position.raw_margin)
        if position.quantity > 0:
            above = float(price) * (1 + _NEAR) if price is not None else -inf
        else:
            below = float(price) * (1 - _NEAR) if price is not None else -inf
    return msgspec.structs.replace(position, safe_above=above, safe_below=below)
