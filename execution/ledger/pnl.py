"""Where a result came from: six sources that sum to it exactly."""

from decimal import Decimal

import msgspec

from domain.money import ZERO, exact


class PnL(msgspec.Struct, frozen=True):
    """Profit by source, quote asset; costs are negative; ``total`` is their exact sum.

    ``slippage`` is fills against the mid at decision time, ``basis`` the remaining
    price profit of all legs, a fee in the base asset is valued at its fill's price.
    """

    funding: Decimal = ZERO
    basis: Decimal = ZERO
    fees: Decimal = ZERO
    slippage: Decimal = ZERO
    borrow: Decimal = ZERO
    liquidation: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        # A payment may have more digits than the default context keeps.
        with exact():
            return (
                self.funding
                + self.basis
                + self.fees
                + self.slippage
                + self.borrow
                + self.liquidation
            )

    def __add__(self, other: "PnL") -> "PnL":
        with exact():
            return PnL(
                self.funding + other.funding,
                self.basis + other.basis,
                self.fees + other.fees,
                self.slippage + other.slippage,
                self.borrow + other.borrow,
                self.liquidation + other.liquidation,
            )
