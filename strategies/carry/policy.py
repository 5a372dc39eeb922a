"""What the carry strategy may be told; every number with its unit."""

from decimal import Decimal

import msgspec

from domain.instruments import Instrument
from domain.time import HOURS_PER_YEAR
from strategies.bounds import require_within
from strategies.funding.forecast import ForecastPolicy

NAMES = ("cash_and_carry", "reverse_carry", "hedge", "mean_reversion", "breakout")


class CarryPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[strategy]`` of the settings. Fractions are plain (0.01 is one percent)."""

    name: str = "cash_and_carry"
    """Which strategy decides; the others have a section of their own for what is theirs."""
    horizon_hours: float = 720.0
    """Over which the expected net is reckoned and pairs are compared, hours."""
    hurdle_apr: float = 0.01
    """What the capital could earn elsewhere, simple annual rate on all capital tied up."""
    funding_half_life_hours: float = 16.0
    """How fast a funding spike is expected to die out, hours."""
    warm_hours: float = 24.0
    """Hours of settled funding needed before an entry is judged."""

    reserve_fraction: Decimal = Decimal("0.15")
    """Kept free to add to the margin; of notional."""
    basis_stop: Decimal = Decimal("0.02")
    """Adverse move of perp against spot since entry that closes a quiet pair; of spot."""
    basis_sigmas: float = 5.0
    """The stop is at least this many standard deviations of the pair's basis away."""
    stress_multiple: Decimal = Decimal(2)
    """What leaving in a hurry costs under stress, as a multiple of today's cost."""
    liquidation_allowance: Decimal = Decimal("0.01")
    """Lost on top if the margin guard failed: closing by the venue; of notional."""

    max_share_per_pair: Decimal = Decimal("0.5")
    """Most capital in one pair; of equity. Capital is spot, margin and reserve."""
    max_share_per_asset: Decimal = Decimal("0.5")
    """Most capital in all pairs on one asset; of equity."""
    max_share_per_venue: Decimal = Decimal("0.9")
    """Most capital at one venue; of equity."""
    max_total_share: Decimal = Decimal("0.9")
    """Most capital in all pairs; of equity."""

    book_age_seconds_max: float = 60.0
    """Oldest quotes and contexts that are acted on, seconds."""
    volatility_sigmas: float = 4.0
    """Standard deviations of price over ``guard_hours`` that must fit before liquidation."""
    guard_hours: float = 8.0
    """How long the margin must carry the position without being added to, hours."""
    settlement_wait_minutes: float = 10.0
    """An exit for lack of carry waits for a payment in our favour this near, minutes."""

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise ValueError(f"name: must be one of {', '.join(NAMES)}, got {self.name[:60]!r}")
        require_within(self, _BOUNDS)

    def process(self, perp: Instrument) -> ForecastPolicy:
        """How this perp's funding is foreseen: it reverts to the interest of its venue."""
        return ForecastPolicy(
            anchor_hourly=perp.funding_interest_hourly,
            deviation_half_life_hours=self.funding_half_life_hours,
        )


_BOUNDS: dict[str, tuple[float, float]] = {
    "horizon_hours": (1, HOURS_PER_YEAR),
    "hurdle_apr": (0, 5),
    "funding_half_life_hours": (1, 168),
    "warm_hours": (0, 1416),
    "reserve_fraction": (0, 1),
    "basis_stop": (0.0005, 0.5),
    "basis_sigmas": (0, 100),
    "stress_multiple": (1, 100),
    "liquidation_allowance": (0, 0.5),
    "max_share_per_pair": (0, 1),
    "max_share_per_asset": (0, 1),
    "max_share_per_venue": (0, 1),
    "max_total_share": (0, 1),
    "book_age_seconds_max": (0.001, 86_400),
    "volatility_sigmas": (0.1, 100),
    "guard_hours": (0.1, 720),
    "settlement_wait_minutes": (0, 60),
}
