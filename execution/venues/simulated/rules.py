"""The venue's constants. Defaults are Hyperliquid's."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from domain.time import SECOND


class VenueRules(msgspec.Struct, frozen=True):
    """What the venue's rule book fixes, apart from what belongs to one instrument.

    Funding: ``F8h = P + clamp(interest - P, -clamp, +clamp)``, a fraction per eight
    hours of which ``interval / 8`` is charged at each interval, at most
    ``funding_cap`` per hour either way. ``P`` is the mean premium of the interval,
    sampled every ``premium_sample_ns``; impact prices are for ``impact_notional``
    (quote), or the base asset's own entry in ``impact_notional_of``. A rate is
    published with ``rate_decimals`` decimals.

    Liquidation: above ``partial_above`` notional (quote) a market liquidation takes
    ``partial_fraction`` of the position and starts a cooldown, during which one is
    for the entire position; below ``backstop_fraction`` of the maintenance margin
    the venue takes the position over and keeps what margin is left.

    ``filled_by_books``: a book whose other side comes to a resting order's price fills it, up to
    its size. Where books are made from bars prints alone do: there is no telling who stood there.

    ``quantum``: fees, funding and margin transfers are rounded to it, half to even.

    Source: Hyperliquid's documentation of funding, contract specifications and
    liquidations.
    """

    interest: float = 0.0001
    clamp: float = 0.0005
    funding_cap: float = 0.04
    premium_sample_ns: int = 5 * SECOND
    impact_notional: float = 6_000.0
    impact_notional_of: Mapping[str, float] = msgspec.field(
        default_factory=lambda: {"BTC": 20_000.0, "ETH": 20_000.0}
    )
    rate_decimals: int = 10
    partial_above: Decimal = Decimal(100_000)
    partial_fraction: Decimal = Decimal("0.2")
    partial_cooldown_ns: int = 30 * SECOND
    backstop_fraction: Decimal = Decimal(2) / Decimal(3)
    filled_by_books: bool = True
    quantum: Decimal = Decimal("1e-8")
