"""What can be traded, and the venue's rules for trading it."""

from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Decimal
from enum import StrEnum

import msgspec

from domain.money import ZERO


class Kind(StrEnum):
    SPOT = "spot"
    PERP = "perp"


class FeeSchedule(msgspec.Struct, frozen=True):
    """Fees as fractions of notional; a rebate is negative.

    ``buyer_pays_base``: a spot buy is charged in the bought asset (Hyperliquid),
    so less arrives than was bought; a sell is always charged in the quote.
    """

    maker: Decimal
    taker: Decimal
    buyer_pays_base: bool = False


class MarginTier(msgspec.Struct, frozen=True):
    """Up to the next tier's ``lower_bound`` (notional, quote) this much leverage is allowed."""

    lower_bound: Decimal
    max_leverage: int


class Instrument(msgspec.Struct, frozen=True):
    """One tradable thing at one venue.

    Prices have at most ``price_decimals`` decimals and, where
    ``significant_figures`` is given, at most that many significant figures,
    whole numbers always being allowed (Hyperliquid's rule). Quantities are
    multiples of ``lot`` in base units. ``margin_tiers``, ``funding_interval_hours`` and
    ``funding_interest_hourly``, the rate per hour that the venue's formula gives where there is
    no premium, belong to perps only.
    """

    venue: str
    symbol: str
    kind: Kind
    base: str
    quote: str
    lot: Decimal
    price_decimals: int
    minimum_notional: Decimal
    fees: FeeSchedule
    significant_figures: int | None = None
    margin_tiers: tuple[MarginTier, ...] = ()
    funding_interval_hours: int | None = None
    funding_interest_hourly: float = 1.25e-5

    def __post_init__(self) -> None:
        if self.lot <= 0:
            raise ValueError(f"{self.symbol}: lot must be positive, got {self.lot}")
        if (self.kind is Kind.PERP) != bool(self.margin_tiers):
            raise ValueError(f"{self.symbol}: perps have margin tiers, spot has none")

    @property
    def id(self) -> str:
        """``VENUE:SYMBOL``, unique across venues."""
        return f"{self.venue}:{self.symbol}"

    def tick(self, price: Decimal) -> Decimal:
        """The price step at ``price`` (quote/base)."""
        step = Decimal(1).scaleb(-self.price_decimals)
        if self.significant_figures is None:
            return step
        by_figures = Decimal(1).scaleb(price.adjusted() - self.significant_figures + 1)
        return max(step, min(by_figures, Decimal(1)))

    def round_price(self, price: Decimal, *, up: bool) -> Decimal:
        """Nearest valid price at or above (``up``) or at or below ``price``.

        >>> hype = Instrument("hl", "HYPE/USDC", Kind.SPOT, "HYPE", "USDC", Decimal("0.01"), 6,
        ...     Decimal(10), FeeSchedule(Decimal("0.0004"), Decimal("0.0007")), 5)
        >>> hype.round_price(Decimal("34.12345"), up=False)
        Decimal('34.123')
        """
        tick = self.tick(price)
        steps = (price / tick).to_integral_value(ROUND_CEILING if up else ROUND_FLOOR)
        return steps * tick

    def floor_quantity(self, quantity: Decimal) -> Decimal:
        """Largest tradable quantity not above ``quantity``: never round into more risk."""
        assert quantity >= 0, "Invariant: direction lives in Side, never in the sign"
        return (quantity / self.lot).to_integral_value(ROUND_DOWN) * self.lot


class Pair(msgspec.Struct, frozen=True):
    """A spot instrument and the perp on the same thing: what a carry trade holds.

    ``name`` is the perp's base (``BTC`` names UBTC/USDC against BTC-PERP).
    """

    name: str
    spot: Instrument
    perp: Instrument

    @property
    def lot(self) -> Decimal:
        """The smallest quantity tradable on both legs.

        Lots are powers of ten in practice; where they are not, the least common
        multiple is taken.
        """
        a, b = self.spot.lot, self.perp.lot
        x, y = max(a, b), min(a, b)
        common = x
        while common % y != ZERO:
            common += x
        return common

    def floor_quantity(self, quantity: Decimal) -> Decimal:
        """Largest quantity that both legs can trade, not above ``quantity``."""
        assert quantity >= 0, "Invariant: direction lives in Side, never in the sign"
        return (quantity / self.lot).to_integral_value(ROUND_DOWN) * self.lot
