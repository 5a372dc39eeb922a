"""Isolated margin of a linear perp: maintenance tiers, liquidation price, leverage at a price.

The bot's own arithmetic, by the venue's published formula, so that it can disagree
with the venue's word. One quantity is signed (negative is short); ``raw_margin`` is
isolated margin without its unrealized profit, ``margin - quantity x mark``, so that

    equity(price) = raw_margin + quantity x price

Everything is ``Decimal``. Divisions run in a context of 50 digits; a result is
rounded once to 18, always toward less risk: a liquidation price toward the mark, a
leverage up, a gap that is survived down, margin to add up, margin to release down.
"""

from decimal import (
    ROUND_CEILING,
    ROUND_DOWN,
    ROUND_FLOOR,
    ROUND_HALF_EVEN,
    ROUND_UP,
    Context,
    Decimal,
    DivisionByZero,
    FloatOperation,
    InvalidOperation,
    Overflow,
    localcontext,
)
from functools import lru_cache
from typing import Final

from domain.instruments import MarginTier
from domain.money import ONE, ZERO
from domain.orders import Side

_TRAPS = [InvalidOperation, DivisionByZero, Overflow, FloatOperation]
WORKING: Final = Context(prec=50, rounding=ROUND_HALF_EVEN, traps=_TRAPS)
"""The context risk arithmetic runs in; enter it by ``localcontext(WORKING)``."""
_LOW: Final = Context(prec=18, rounding=ROUND_FLOOR, traps=_TRAPS)
_HIGH: Final = Context(prec=18, rounding=ROUND_CEILING, traps=_TRAPS)

MARGIN_STEP: Final = Decimal("0.000001")
"""Margin moves in millionths of the settlement asset (Hyperliquid's ``ntli``)."""


"""Shares of the way from entry to liquidation at which a person is told (SPEC R14)."""

INFINITE: Final = Decimal("Infinity")


def margin_up(amount: Decimal) -> Decimal:
    """``amount`` in whole margin steps, rounded up: what must be added."""
    return amount.quantize(MARGIN_STEP, ROUND_UP, WORKING)


def margin_down(amount: Decimal) -> Decimal:
    """``amount`` in whole margin steps, rounded down: what may be spent or released."""
    return amount.quantize(MARGIN_STEP, ROUND_DOWN, WORKING)


@lru_cache(maxsize=256)
def maintenance_schedule(tiers: tuple[MarginTier, ...]) -> tuple[tuple[Decimal, Decimal], ...]:
    """(rate, deduction) of each tier: maintenance is ``notional x rate - deduction``.

    The rate is half the initial rate at the tier's greatest leverage. The deduction
    makes maintenance continuous where tiers meet:
    ``deduction[i] = deduction[i-1] + bound[i] x (rate[i] - rate[i-1])``.
    Since rates rise, the tier that applies is the one asking for the most.

    >>> maintenance_schedule((MarginTier(Decimal(0), 10), MarginTier(Decimal(3000), 5)))
    ((Decimal('0.05'), Decimal('0')), (Decimal('0.1'), Decimal('150.00')))

    Raises:
        ValueError: no tier, a first bound above zero, bounds that do not rise, or
            leverage that does not fall.
    """
    if not tiers or tiers[0].lower_bound != ZERO:
        raise ValueError("margin tiers must start at a notional of zero; check the instrument")
    schedule: list[tuple[Decimal, Decimal]] = []
    with localcontext(WORKING):
        for index, tier in enumerate(tiers):
            if tier.max_leverage < 1:
                raise ValueError(f"a tier's max_leverage is 1 or more, got {tier.max_leverage}")
            rate = ONE / (2 * tier.max_leverage)
            deduction = ZERO
            if index:
                below_rate, below_deduction = schedule[-1]
                if tier.lower_bound <= tiers[index - 1].lower_bound or rate <= below_rate:
                    raise ValueError(
                        "margin tiers must rise in notional and fall in leverage; "
                        f"check the one from {tier.lower_bound}"
                    )
                deduction = below_deduction + tier.lower_bound * (rate - below_rate)
            schedule.append((rate, deduction))
    return tuple(schedule)


def max_leverage(notional: Decimal, tiers: tuple[MarginTier, ...]) -> int:
    """The venue's limit for a position of this notional (quote)."""
    allowed = tiers[0].max_leverage
    for tier in tiers[1:]:
        if notional > tier.lower_bound:
            allowed = tier.max_leverage
    return allowed


def maintenance_margin(notional: Decimal, tiers: tuple[MarginTier, ...]) -> Decimal:
    """Equity under which the venue liquidates a position of ``notional`` (quote); rounded up."""
    with localcontext(WORKING):
        amount = max(notional * rate - deduction for rate, deduction in maintenance_schedule(tiers))
    return _HIGH.plus(amount)


def maintenance_rate(notional: Decimal, tiers: tuple[MarginTier, ...]) -> Decimal:
    """Marginal rate of the tier that ``notional`` is in: a fraction, never below the average."""
    leverage = max_leverage(notional, tiers)
    return next(
        rate
        for tier, (rate, _) in zip(tiers, maintenance_schedule(tiers), strict=True)
        if tier.max_leverage == leverage
    )


def liquidation_price(
    quantity: Decimal, raw_margin: Decimal, tiers: tuple[MarginTier, ...]
) -> Decimal | None:
    """The mark at which equity meets maintenance: the venue's formula, exact over all tiers.

    A short dies at or above it, a long at or below. In a single tier of rate ``r``
    it is ``(raw_margin + deduction) / (|quantity| x r - quantity)``, which equals
    Hyperliquid's ``price - side x margin_available / size / (1 - l x side)``.

    Returns:
        None for no position, and for a long whose margin covers its whole price;
        zero for a short that is beyond liquidation at any price.
    """
    if quantity == ZERO or (quantity > ZERO and raw_margin >= ZERO):
        return None
    if quantity < ZERO and raw_margin <= ZERO:
        return ZERO
    size = abs(quantity)
    with localcontext(WORKING):
        crossings = [
            (raw_margin + deduction) / (size * rate - quantity)
            for rate, deduction in maintenance_schedule(tiers)
        ]
    # The tier asking for the most liquidates first: the lowest price for a short, the highest
    # for a long.
    return _LOW.plus(min(crossings)) if quantity < ZERO else _HIGH.plus(max(crossings))


def equity_at(quantity: Decimal, raw_margin: Decimal, mark: Decimal) -> Decimal:
    """Isolated margin including unrealized profit at ``mark`` (quote)."""
    with localcontext(WORKING):
        return raw_margin + quantity * mark


def effective_leverage(notional: Decimal, margin: Decimal, reserve: Decimal = ZERO) -> Decimal:
    """Perp notional at mark over the collateral committed to it (SPEC R7), rounded up.

    Args:
        notional: ``|quantity| x mark``, quote.
        margin: Isolated margin including unrealized profit.
        reserve: Collateral earmarked for this position and no other.

    Returns:
        Infinity where a position has no collateral left; zero where there is no position.
    """
    if notional == ZERO:
        return ZERO
    with localcontext(WORKING):
        collateral = margin + reserve
        return _HIGH.divide(notional, collateral) if collateral > ZERO else INFINITE


def margin_for(notional: Decimal, leverage: Decimal) -> Decimal:
    """Isolated margin that holds ``notional`` at ``leverage`` (SPEC R6), in steps, rounded up.

    >>> margin_for(Decimal(4000), Decimal(5))
    Decimal('800.000000')
    """
    return margin_up(WORKING.divide(notional, leverage))


def price_at_leverage(quantity: Decimal, raw_margin: Decimal, leverage: Decimal) -> Decimal | None:
    """The mark at which notional over equity is ``leverage``: ``L x raw / (|q| - L x q)``.

    Above it a short is more leveraged, below it a long. Rounded toward acting early.

    Returns:
        None where no price has that leverage (a long whose margin covers its price);
        zero for a short that has no equity at any price.
    """
    if quantity == ZERO:
        return None
    if quantity < ZERO and raw_margin <= ZERO:
        return ZERO
    with localcontext(WORKING):
        slope = abs(quantity) - leverage * quantity
        price = leverage * raw_margin / slope if slope else ZERO
    if price <= ZERO:
        return None
    return _LOW.plus(price) if quantity < ZERO else _HIGH.plus(price)


def stop_price(quantity: Decimal, raw_margin: Decimal, leverage_cap: Decimal) -> Decimal | None:
    """A neutral pair's stop (SPEC R9): the perp price at which the margin guard must have acted.

    That is where leverage would reach the cap if the guard had done nothing. None:
    the position can lose all its price and stays under the cap.
    """
    return price_at_leverage(quantity, raw_margin, leverage_cap)


def leverage_at_distance(side: Side, maintenance: Decimal, distance: Decimal) -> Decimal:
    """The most leverage whose liquidation price is still ``distance`` (fraction) beyond the mark.

    Short ``1 / ((1 + mm)(1 + d) - 1)``, long ``1 / (1 - (1 - mm)(1 - d))``: the exact
    form of SPEC R8's ``1 / (stop + buffer + maintenance)``, rounded down.

    >>> leverage_at_distance(Side.SELL, Decimal(0), Decimal("0.5"))
    Decimal('2')
    """
    with localcontext(WORKING):
        if side is Side.SELL:
            share = (1 + maintenance) * (1 + distance) - 1
        else:
            share = 1 - (1 - maintenance) * (1 - distance)
        return _LOW.divide(ONE, share)


def leverage_that_reaches(side: Side, leverage: Decimal, distance: Decimal) -> Decimal:
    """The leverage that a move of ``distance`` (fraction) against ``side`` raises to ``leverage``.

    With a margin of ``1 / L`` and ``notional x (1 ± d)`` after it: short ``G / (1 + d (1 + G))``,
    long ``G / (1 + d (G - 1))``; rounded down.

    >>> leverage_that_reaches(Side.SELL, Decimal(3), Decimal("0.125"))
    Decimal('2')
    """
    with localcontext(WORKING):
        return _LOW.divide(leverage, 1 + distance * (leverage - side.sign))


def stressed_margin(
    side: Side, notional: Decimal, move: Decimal, tiers: tuple[MarginTier, ...]
) -> Decimal:
    """Isolated margin (quote) with which ``notional`` lives through ``move`` against ``side``.

    What it loses, and the maintenance of what it then is: ``N d + maintenance(N (1 ± d))``. A
    long loses no more than its notional.

    >>> stressed_margin(Side.SELL, Decimal(1000), Decimal("0.5"), (MarginTier(Decimal(0), 40),))
    Decimal('518.75000')
    """
    with localcontext(WORKING):
        left = notional * max(1 - side.sign * move, ZERO)
        return abs(left - notional) + maintenance_margin(left, tiers)


def way_gone(
    quantity: Decimal, entry: Decimal, mark: Decimal, liquidation: Decimal | None
) -> Decimal:
    """Share of the way from entry to liquidation that the mark has gone, 0 to 1, rounded up.

    Zero on the good side of the entry and where nothing can liquidate; 1 at or past
    liquidation. A person is told at a half and at three quarters; the guard has acted long before.
    """
    if liquidation is None or quantity == ZERO:
        return ZERO
    adverse = 1 if quantity > ZERO else -1
    if (mark - liquidation) * adverse <= ZERO:
        return ONE
    if (entry - mark) * adverse <= ZERO:
        return ZERO
    with localcontext(WORKING):
        return _HIGH.divide(entry - mark, entry - liquidation)


def survived_gap(
    quantity: Decimal, raw_margin: Decimal, mark: Decimal, tiers: tuple[MarginTier, ...]
) -> Decimal:
    """The largest adverse move in one step, as a fraction of ``mark``, that is survived.

    Nothing can act inside a gap, so this is what the leverage held now is worth when
    no guard runs. A smaller move does not liquidate; the same or a larger one does. Rounded
    down. Infinity where no price liquidates; zero where liquidation is already due.
    """
    liquidation = liquidation_price(quantity, raw_margin, tiers)
    if liquidation is None:
        return INFINITE
    with localcontext(WORKING):
        distance = mark - liquidation if quantity > ZERO else liquidation - mark
        return _LOW.divide(max(distance, ZERO), mark)
