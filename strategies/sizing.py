"""Position size from acceptable loss, and the sums of leveraged trading. Fractions in and out.

Pure and in ``Decimal``. A negative, zero or undefined input where none can be
is a ``ValueError`` of one line: ``name: what is wrong``.
"""

from collections.abc import Callable, Sequence
from decimal import ROUND_DOWN, Context, Decimal, localcontext
from typing import TypeVar

import msgspec

from domain.instruments import MarginTier
from domain.money import ONE
from domain.orders import Side
from domain.time import HOURS_PER_YEAR

T = TypeVar("T")

CENT = Decimal("0.01")
_BISECTIONS = 4
"""The largest size is found to within a sixteenth of it."""
_CONTEXT = Context(prec=34)


class PositionSize(msgspec.Struct, frozen=True):
    """Amounts in quote; ``margin_loss_at_stop`` is the share of the margin lost at the stop."""

    risk_amount: Decimal
    position: Decimal
    margin: Decimal
    margin_loss_at_stop: Decimal


class LiquidationEstimate(msgspec.Struct, frozen=True):
    """``liquidation_price`` quote/base; ``distance`` from entry, a fraction of entry."""

    liquidation_price: Decimal
    distance: Decimal


class FundingCost(msgspec.Struct, frozen=True):
    """What a *long* pays, negative where it receives; a short gets the opposite.

    ``payment`` quote, ``share`` a fraction of notional, ``apr`` simple annual.
    """

    payment: Decimal
    share: Decimal
    apr: Decimal


class LeveragedYield(msgspec.Struct, frozen=True):
    """Amounts in quote; ``effective_apy`` on the capital put in."""

    position: Decimal
    borrowed: Decimal
    effective_apy: Decimal


class Preset(msgspec.Struct, frozen=True):
    """A trade type's usual ranges, low and high: leverage, stop distance, risk of equity."""

    leverage: tuple[Decimal, Decimal]
    stop: tuple[Decimal, Decimal]
    risk: tuple[Decimal, Decimal]


def _range(low: str, high: str) -> tuple[Decimal, Decimal]:
    return Decimal(low), Decimal(high)


PRESETS: dict[str, Preset] = {
    "scalping": Preset(_range("10", "20"), _range("0.005", "0.01"), _range("0.005", "0.005")),
    "day": Preset(_range("5", "10"), _range("0.02", "0.05"), _range("0.01", "0.01")),
    "swing": Preset(_range("2", "5"), _range("0.05", "0.15"), _range("0.01", "0.02")),
    "position": Preset(_range("1", "2"), _range("0.15", "0.30"), _range("0.02", "0.02")),
}
"""Minutes; hours; days to weeks; weeks to months (SPEC R8)."""


def position_size(equity: Decimal, risk: Decimal, stop: Decimal, leverage: Decimal) -> PositionSize:
    """The position that loses ``risk`` of ``equity`` at ``stop``, a fraction of price (SPEC R6).

    >>> position_size(Decimal(10_000), Decimal("0.02"), Decimal("0.05"), Decimal(5))
    ... # doctest: +NORMALIZE_WHITESPACE
    PositionSize(risk_amount=Decimal('200'), position=Decimal('4000'), margin=Decimal('800'),
                 margin_loss_at_stop=Decimal('0.25'))
    """
    _require_positive(equity=equity, risk=risk, stop=stop, leverage=leverage)
    _require_at_most_one(risk=risk, stop=stop)
    with localcontext(_CONTEXT):
        risk_amount = equity * risk
        position = risk_amount / stop
        return PositionSize(
            _plain(risk_amount),
            _plain(position),
            _plain(position / leverage),
            _plain(stop * leverage),
        )


def largest(
    most: Decimal, least: Decimal, at: Callable[[Decimal], T | None]
) -> tuple[Decimal, T] | None:
    """The largest notional from ``least`` to ``most`` (quote) of which ``at`` says something, and
    what; None where it says nothing of any. Halved until it does, then bisected.

    >>> largest(Decimal(100), Decimal(10), lambda size: "fits" if size <= 30 else None)
    (Decimal('29.68'), 'fits')
    """
    if most < least:
        return None
    size, found = most, at(most)
    while found is None and size / 2 >= least:
        size = (size / 2).quantize(CENT, ROUND_DOWN)
        found = at(size)
    if found is None or size == most:
        return None if found is None else (size, found)
    too_large = 2 * size
    for _ in range(_BISECTIONS):
        between = ((size + too_large) / 2).quantize(CENT, ROUND_DOWN)
        if (larger := at(between)) is None:
            too_large = between
        else:
            size, found = between, larger
    return size, found


def notional_for_loss(equity: Decimal, risk: Decimal, loss_fraction: Decimal) -> Decimal:
    """Notional, whole cents rounded down, whose ``loss_fraction`` is ``risk`` of ``equity`` (R9).

    >>> notional_for_loss(Decimal(10_000), Decimal("0.01"), Decimal("0.03"))
    Decimal('3333.33')
    """
    _require_positive(equity=equity, risk=risk, loss_fraction=loss_fraction)
    with localcontext(_CONTEXT):
        return (equity * risk / loss_fraction).quantize(CENT, ROUND_DOWN)


def estimate_liquidation(
    side: Side, entry: Decimal, leverage: Decimal, maintenance: Decimal
) -> LiquidationEstimate:
    """Where an isolated position is liquidated, about, at any venue (SPEC R11).

    Long ``entry x (1 - 1/L + mm)``, short ``entry x (1 + 1/L - mm)``. A long that
    is never liquidated has price zero, distance one.

    >>> estimate_liquidation(Side.SELL, Decimal(100), Decimal(2), Decimal("0.0125"))
    LiquidationEstimate(liquidation_price=Decimal('148.75'), distance=Decimal('0.4875'))

    Raises:
        ValueError: an input is not positive (``maintenance`` may be zero), or
            the position would be liquidated at once.
    """
    _require_positive(entry=entry, leverage=leverage)
    _require_finite(maintenance=maintenance)
    if maintenance < 0:
        raise ValueError(f"maintenance: must not be negative, got {maintenance}")
    with localcontext(_CONTEXT):
        distance = ONE / leverage - maintenance
        if distance <= 0:
            raise ValueError(
                f"leverage: at {leverage}x the margin is no more than the maintenance margin "
                f"{maintenance}: liquidated at once"
            )
        if side is Side.BUY:
            distance = min(distance, ONE)
        return LiquidationEstimate(_plain(entry * (1 - side.sign * distance)), _plain(distance))


def funding_cost(
    rate: Decimal, interval_hours: Decimal, hours: Decimal, notional: Decimal
) -> FundingCost:
    """Funding on a long of ``notional`` held for ``hours`` at ``rate`` per interval (SPEC R1).

    Positive is paid by the long. Part intervals count in proportion.

    >>> funding_cost(Decimal("0.0001"), Decimal(8), Decimal(168), Decimal(10_000))
    FundingCost(payment=Decimal('21'), share=Decimal('0.0021'), apr=Decimal('0.1095'))
    """
    _require_finite(rate=rate)
    _require_positive(interval_hours=interval_hours, hours=hours, notional=notional)
    with localcontext(_CONTEXT):
        share = rate * hours / interval_hours
        apr = rate * HOURS_PER_YEAR / interval_hours
        return FundingCost(_plain(notional * share), _plain(share), _plain(apr))


def leveraged_yield(
    capital: Decimal, leverage: Decimal, asset_yield: Decimal, borrow_rate: Decimal
) -> LeveragedYield:
    """``L x asset yield - (L - 1) x borrow rate`` on the capital (SPEC R10); ``leverage`` >= 1.

    >>> leveraged_yield(Decimal(10_000), Decimal(2), Decimal("0.08"), Decimal("0.05"))
    ... # doctest: +NORMALIZE_WHITESPACE
    LeveragedYield(position=Decimal('20000'), borrowed=Decimal('10000'),
                   effective_apy=Decimal('0.11'))
    """
    _require_positive(capital=capital, leverage=leverage)
    _require_finite(asset_yield=asset_yield, borrow_rate=borrow_rate)
    if leverage < 1:
        raise ValueError(f"leverage: must be at least 1, got {leverage}")
    with localcontext(_CONTEXT):
        position = capital * leverage
        apy = leverage * asset_yield - (leverage - 1) * borrow_rate
        return LeveragedYield(_plain(position), _plain(position - capital), _plain(apy))


def maintenance_rate(tiers: Sequence[MarginTier], notional: Decimal) -> Decimal:
    """Maintenance margin as a fraction of notional: half the initial at the tier's most leverage.

    That is Hyperliquid's rule; most venues ask for less at the same leverage.
    """
    reached = [tier for tier in tiers if tier.lower_bound <= notional]
    assert reached, "Invariant: a perp's first margin tier begins at zero"
    with localcontext(_CONTEXT):
        return ONE / (2 * reached[-1].max_leverage)


def _plain(value: Decimal) -> Decimal:
    """The same number without trailing zeros or an exponent: 4E+3 is 4000."""
    value = value.normalize()
    return value.quantize(ONE) if value == value.to_integral_value() else value


def _require_finite(**values: Decimal) -> None:
    for name, value in values.items():
        if not value.is_finite():
            raise ValueError(f"{name}: must be a number, got {value}")


def _require_positive(**values: Decimal) -> None:
    _require_finite(**values)
    for name, value in values.items():
        if value <= 0:
            raise ValueError(f"{name}: must be more than zero, got {value}")


def _require_at_most_one(**values: Decimal) -> None:
    for name, value in values.items():
        if value > 1:
            raise ValueError(f"{name}: is a fraction, at most 1, got {value}")
