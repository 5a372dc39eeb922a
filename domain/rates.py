"""Funding rates: a number that means nothing without its interval."""

import msgspec

from domain.time import HOURS_PER_YEAR


class FundingRate(msgspec.Struct, frozen=True):
    """What a long pays a short at one funding event, as a share of notional.

    ``per_interval`` is a fraction (``0.0001`` is one basis point) and never
    travels without ``interval_hours``. Floats, since rates here inform
    decisions; the rate a payment was charged at is a ``Decimal`` on the payment.

    >>> FundingRate(0.0001, 8).apr
    0.1095
    """

    per_interval: float
    interval_hours: float

    @property
    def per_hour(self) -> float:
        """The only form in which two rates are compared."""
        return self.per_interval / self.interval_hours

    @property
    def apr(self) -> float:
        """Simple annualized rate on notional (SPEC R1)."""
        return self.per_interval / self.interval_hours * HOURS_PER_YEAR
