"""What one instrument's holding was bought at, and what a trade realizes: display figures.

The venue's ``startPosition``, ``dir``, ``closedPnl`` and ``entryNtl``. Money does not depend on
them: balances and margin are the exchange's own.
"""

from decimal import Decimal

import msgspec

from domain.money import ZERO
from execution.venues.simulated.state import RATIO, rounded

_ENTRY = Decimal("1e-12")


class Holding(msgspec.Struct, frozen=True):
    """Signed base units at their average price."""

    quantity: Decimal = ZERO
    entry_price: Decimal = ZERO


def traded(holding: Holding, change: Decimal, price: Decimal) -> tuple[Holding, Decimal]:
    """``holding`` after trading ``change`` (signed) at ``price``, and the profit realized.

    >>> traded(Holding(Decimal(2), Decimal(10)), Decimal(-3), Decimal(12))
    (Holding(quantity=Decimal('-1'), entry_price=Decimal('12')), Decimal('4'))
    """
    before, after = holding.quantity, holding.quantity + change
    if before * change >= 0:
        cost = abs(before) * holding.entry_price + abs(change) * price
        entry = rounded(RATIO.divide(cost, abs(after)), _ENTRY) if after else ZERO
        return Holding(after, entry), ZERO
    closing = min(abs(change), abs(before)).copy_sign(before)
    profit = closing * (price - holding.entry_price)
    if before * after > 0:
        return Holding(after, holding.entry_price), profit
    return Holding(after, price if after else ZERO), profit


def direction(before: Decimal, change: Decimal) -> str:
    """The venue's word for a perp trade of ``change`` on a position of ``before``.

    >>> direction(Decimal(-1), Decimal(1)), direction(Decimal(-1), Decimal(2))
    ('Close Short', 'Short > Long')
    """
    if before * change >= 0:
        return "Open Long" if change > 0 else "Open Short"
    if abs(change) > abs(before):
        return "Long > Short" if change < 0 else "Short > Long"
    return "Close Long" if before > 0 else "Close Short"
