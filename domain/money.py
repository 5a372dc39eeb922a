"""Exact amounts, and the one Decimal context in which they are computed."""

from collections.abc import Callable
from decimal import (
    ROUND_HALF_EVEN,
    Clamped,
    Context,
    Decimal,
    DivisionByZero,
    FloatOperation,
    Inexact,
    InvalidOperation,
    Overflow,
    getcontext,
    setcontext,
)
from functools import lru_cache, wraps
from typing import ParamSpec, TypeVar

import msgspec

P = ParamSpec("P")
R = TypeVar("R")

ZERO = Decimal(0)
ONE = Decimal(1)

# Wide enough that a product of two venue numbers and a sum of a million of them
# is exact; whatever is not exact raises instead of rounding silently.
EXACT = Context(
    prec=100,
    rounding=ROUND_HALF_EVEN,
    traps=[Inexact, InvalidOperation, DivisionByZero, Overflow, FloatOperation, Clamped],
)


class exact:  # noqa: N801 - it reads as the statement that it is
    """Compute in the context that traps any rounding (``decimal.Inexact``).

    For a block, or with ``@exact()`` for a whole function. A class, since a generator and
    a copy of the context would cost more than most of what is computed inside.

    >>> with exact():
    ...     Decimal("0.1") * Decimal("0.2")
    Decimal('0.02')
    """

    __slots__ = ("_before",)

    def __enter__(self) -> None:
        self._before = getcontext()
        setcontext(EXACT)

    def __exit__(self, *_: object) -> None:
        setcontext(self._before)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def inside(*args: P.args, **kwargs: P.kwargs) -> R:
            with exact():  # a new one: the function may call itself
                return function(*args, **kwargs)

        return inside


@lru_cache(maxsize=1024, typed=True)  # the same few prices are asked for again and again
def decimal_of(value: float) -> Decimal:
    """Shortest decimal that names this float: how a market float becomes money.

    >>> decimal_of(0.1)
    Decimal('0.1')
    """
    return Decimal(repr(value)) if value else ZERO  # never a negative zero


class Money(msgspec.Struct, frozen=True):
    """An exact amount of one asset; two assets never add.

    >>> Money(Decimal("1.5"), "USDC") + Money(Decimal("2"), "USDC")
    Money(amount=Decimal('3.5'), asset='USDC')
    """

    amount: Decimal
    asset: str

    def __add__(self, other: "Money") -> "Money":
        if other.asset != self.asset:
            raise ValueError(f"cannot add {other.asset} to {self.asset}")
        return Money(self.amount + other.amount, self.asset)

    def __neg__(self) -> "Money":
        return Money(-self.amount, self.asset)
