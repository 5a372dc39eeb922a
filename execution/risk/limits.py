"""What may be risked: every limit of the gate, the margin guard and the halts, in one value."""

import math
from decimal import Decimal

import msgspec

from domain.money import ONE, ZERO


class RiskLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[risk]`` of the settings. Fractions are plain (0.01 is one percent).

    *Exposure* is hedged notional: the quantity times price of one leg of a pair. At
    leverage L a pair ties up ``1 + 1/L`` times its exposure as capital.
    """

    risk_per_trade: Decimal = Decimal("0.01")
    """Most that one trade may lose when its basis stop is hit under stress; of equity."""

    leverage_target: Decimal = Decimal(2)
    """Effective leverage of the perp leg after opening, a top-up, a shrink or a release."""
    leverage_guard: Decimal = Decimal("2.5")
    """Effective leverage above which the margin guard acts."""
    leverage_cap: Decimal = Decimal(3)
    """Never above this after a fill that adds risk; reaching it is the stop of a pair."""
    liquidation_buffer: Decimal = Decimal("0.10")
    """Liquidation lies at least this far beyond the stop; of the stop's price, 0.05 or more."""
    liquidation_distance_min: Decimal = Decimal("0.25")
    """Liquidation lies at least this far from the mark; of the mark. Tightens guard and target."""
    guard_reaction_minutes: float = 15.0
    """How long the margin guard may be unable to act: host, road or venue away."""
    guard_reach_probability_max: float = 0.001
    """Largest chance that the price goes from target to guard level within that time: where
    volatility makes it larger the target is lower, though never below 1."""
    stress_move: Decimal = Decimal("0.5")
    """Rise of price that margin and free collateral must carry without selling; about the
    largest in a day of BTC (March 2020) and HYPE (December 2024)."""
    stress_hours: float = 24.0
    """Where volatility makes more than that rise as unlikely in so many hours as
    ``guard_reach_probability_max`` says, that is the stress."""
    free_collateral_reserve: Decimal = Decimal("0.05")
    """Free collateral that neither entries nor top-ups touch; of equity."""

    pair_exposure_max: Decimal = Decimal("0.30")
    """Exposure of one pair; of equity."""
    asset_exposure_max: Decimal = Decimal("0.30")
    """Exposure of all pairs on one asset; of equity."""
    venue_exposure_max: Decimal = Decimal("0.60")
    """Exposure at one venue; of equity."""
    total_exposure_max: Decimal = Decimal("0.60")
    """Exposure of everything; of equity."""

    delta_seconds_max: float = 60.0
    """How long the legs of a pair may differ by a tradable amount before entries stop."""

    data_age_seconds_max: float = 15.0
    """Oldest market data (of any leg) on which an entry may be judged."""
    data_skew_seconds_max: float = 10.0
    """Largest difference between the ages of the two legs' quotes: they must be in step."""
    clock_skew_seconds_max: float = 1.0
    """Largest difference between our clock and the venue's, either way."""
    reconcile_age_seconds_max: float = 90.0
    """How long ago the books must have agreed with the venue, at most."""
    orders_per_minute_max: int = 60
    """Orders sent in the last minute at which entries stop; closing goes on. At four times as
    many something is looping: until a person resets it, only what reduces is sent."""
    notional_per_hour_max: Decimal = Decimal(20)
    """Notional of the orders sent in the last hour at which entries stop; multiple of equity."""
    opens_per_day_max: int = 12
    """How often one pair may be opened in 24 hours."""

    spread_max: float = 0.01
    """Widest spread of either leg at entry; of its mid."""
    volatility_hourly_max: float = 0.05
    """Largest standard deviation of hourly returns at entry; fraction."""
    dislocation_max: float = 0.02
    """Largest distance of the spot mid from the perp's oracle at entry; of the oracle."""
    depeg_max: float = 0.01
    """Largest median of that distance over three pairs or more: then it is the quote asset."""
    depth_share_max: Decimal = ONE
    """Largest entry; of what rests near the mid in the thinnest of the pair's four books."""
    cluster_distance: float = 0.01
    """How far on the perp's losing side forced orders count at entry; of the mark. 0: off."""
    cluster_hours_max: float = 3.0
    """Most forced orders, as estimated, within that; hours of the perp's average trading."""

    event_hours: float = 2.0
    """From so long before an event of the calendar nothing is entered; 0, or 1 or more."""
    event_volatility: float = 2.0
    """What the volatility of the same time is multiplied by where margin is looked at."""
    weekend_entries: bool = True
    """Whether anything is entered on Saturday and Sunday, UTC."""
    weekend_volatility: float = 1.0
    """What volatility is multiplied by on them where margin is looked at."""
    distance_sigmas: float = 4.0
    """Liquidation is kept so many standard deviations of price over distance_hours away."""
    distance_hours: float = 8.0
    """How long margin must carry a position without being added to."""

    drawdown_max: Decimal = Decimal("0.10")
    """Fall from the highest equity that stops entries until a person resets it. What coins that are
    their owner's have gained or lost counts in neither."""
    daily_loss_max: Decimal = Decimal("0.03")
    """Loss since the start of the UTC day that stops entries until a person resets it; coins as
    above."""
    loss_streak_max: int = 5
    """Losing trades in a row that stop entries until a person resets it."""
    loss_size_factor: Decimal = Decimal("0.75")
    """After each loss in a row the risk of the next trade is multiplied by this, 1 or less."""
    healthy_seconds_to_clear: float = 60.0
    """How long a condition limit must be in order before it clears by itself."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                if name in _MAY_BE_ZERO and value == ZERO:
                    continue
                raise ValueError(f"{name}: must be a positive number, got {value}")
        for name in _FRACTIONS:
            if getattr(self, name) > ONE:
                raise ValueError(f"{name}: is a fraction, at most 1, got {getattr(self, name)}")
        if 0.0 < self.event_hours < 1.0:  # margin is looked at every hour
            raise ValueError(f"event_hours: must be 0 or at least 1, got {self.event_hours}")
        for name in ("event_volatility", "weekend_volatility"):
            if getattr(self, name) < 1.0:
                raise ValueError(f"{name}: must be at least 1, got {getattr(self, name)}")
        if self.guard_reach_probability_max > 0.5:
            raise ValueError(
                f"guard_reach_probability_max: at most 0.5, got {self.guard_reach_probability_max}"
            )
        if self.risk_per_trade > Decimal("0.05"):
            raise ValueError(f"risk_per_trade: at most 0.05 of equity, got {self.risk_per_trade}")
        if self.liquidation_buffer < Decimal("0.05"):
            raise ValueError(f"liquidation_buffer: at least 0.05, got {self.liquidation_buffer}")
        if self.liquidation_distance_min < self.liquidation_buffer:
            raise ValueError(
                "liquidation_distance_min: must not be below liquidation_buffer "
                f"{self.liquidation_buffer}, got {self.liquidation_distance_min}"
            )
        if not ONE < self.leverage_guard <= self.leverage_cap:
            raise ValueError(
                "leverage_guard: must be above 1 and not above leverage_cap "
                f"{self.leverage_cap}, got {self.leverage_guard}"
            )
        # Closer together, every small move of the price would move margin.
        if self.leverage_target > self.leverage_guard * Decimal("0.95"):
            raise ValueError(
                "leverage_target: must be 5 % or more below leverage_guard "
                f"{self.leverage_guard}, got {self.leverage_target}"
            )

    @property
    def exposure_max(self) -> Decimal:
        """The most that one trade may hold where nothing else is held; of equity."""
        return min(
            self.pair_exposure_max,
            self.asset_exposure_max,
            self.venue_exposure_max,
            self.total_exposure_max,
        )


_FRACTIONS = (
    "risk_per_trade",
    "liquidation_buffer",
    "liquidation_distance_min",
    "free_collateral_reserve",
    "spread_max",
    "dislocation_max",
    "depeg_max",
    "depth_share_max",
    "cluster_distance",
    "drawdown_max",
    "daily_loss_max",
    "loss_size_factor",
)
_MAY_BE_ZERO = ("free_collateral_reserve", "cluster_distance", "event_hours", "weekend_entries")
