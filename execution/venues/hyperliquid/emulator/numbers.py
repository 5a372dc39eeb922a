"""Numbers as the venue writes them: decimal strings, never an exponent."""

from decimal import Decimal
from functools import lru_cache


def text(value: Decimal) -> str:
    """``value`` with all its digits and at least one decimal.

    >>> text(Decimal("66653")), text(Decimal("0.00031000")), text(Decimal("1E-8"))
    ('66653.0', '0.00031', '0.00000001')
    """
    if not value:
        return "0.0"
    digits = f"{value:f}"
    if "." not in digits:
        return f"{digits}.0"
    digits = digits.rstrip("0")
    return f"{digits}0" if digits[-1] == "." else digits


@lru_cache(maxsize=8192)  # the same few prices and sizes are quoted again and again
def float_text(value: float) -> str:
    """The shortest decimal that names this float.

    >>> float_text(66653.0), float_text(0.0000125)
    ('66653.0', '0.0000125')
    """
    digits = repr(value or 0.0)
    return text(Decimal(digits)) if "e" in digits else digits


def canonical(number: str) -> str:
    """The form in which a number inside an action is signed: no zero that says nothing.

    >>> canonical("100.50"), canonical("0.00000100")
    ('100.5', '0.000001')
    """
    return f"{Decimal(number).normalize():f}"
