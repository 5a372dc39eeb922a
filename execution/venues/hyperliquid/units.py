"""Coins for what the venue counts in thousands. Pure.

A perp called ``kBONK`` is of a thousand coins: a size of 2 there is 2000 coins, a price of 0.02 is
that of a thousand. Its spot token counts single coins, and so does everything behind this folder.
Names are the venue's of a perp, or our symbols and ids. A thousand is a power of ten: five
significant figures of a price, whole lots and an order's worth are the same in either unit.
"""

import re
from decimal import Decimal

from domain.money import EXACT

_OF_THOUSANDS = re.compile("(hyperliquid:)?k[A-Z]").match
_THOUSAND, _THOUSANDTH = Decimal(1000), Decimal("0.001")


def is_of_thousands(name: str) -> bool:
    """Whether the venue counts this perp in thousands.

    >>> [is_of_thousands(name) for name in ("kBONK", "hyperliquid:kBONK-PERP", "KAITO", "UBONK")]
    [True, True, False, False]
    """
    return _OF_THOUSANDS(name) is not None


def coins(name: str, told: Decimal) -> Decimal:
    """A quantity of the venue's.

    >>> coins("kBONK", Decimal("2")), coins("HYPE", Decimal("2"))
    (Decimal('2000'), Decimal('2'))
    """
    return EXACT.multiply(told, _THOUSAND) if is_of_thousands(name) else told


def of_a_coin(name: str, told: Decimal) -> Decimal:
    """A price of the venue's.

    >>> of_a_coin("kBONK", Decimal("0.0234"))
    Decimal('0.0000234')
    """
    return EXACT.multiply(told, _THOUSANDTH) if is_of_thousands(name) else told


def told_size(name: str, quantity: Decimal) -> Decimal:
    """``quantity`` as the venue counts it."""
    return EXACT.multiply(quantity, _THOUSANDTH) if is_of_thousands(name) else quantity


def told_price(name: str, price: Decimal) -> Decimal:
    """``price`` as the venue states it."""
    return EXACT.multiply(price, _THOUSAND) if is_of_thousands(name) else price


def coins_seen(name: str, told: float) -> float:
    """A public quantity."""
    return _times(told, 3) if is_of_thousands(name) else told


def of_a_coin_seen(name: str, told: float) -> float:
    """A public price.

    >>> of_a_coin_seen("kBONK", 0.023457)
    2.3457e-05
    """
    return _times(told, -3) if is_of_thousands(name) else told


def _times(value: float, exponent: int) -> float:
    """By a power of ten; the float nearest to the decimal, so that a price stays on its tick."""
    return float(Decimal(repr(value)).scaleb(exponent))
