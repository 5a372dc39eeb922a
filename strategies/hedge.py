"""Short perp against spot that is held anyway, in full or in part (SPEC R2): a hedge overlay.

The spot is its owner's, is never traded, and bounds the hedge: the engine sees to it that the
perp is never larger. There is nothing to earn that is waited for. The hedge is opened as soon
as it may be, while funding costs no more a year than its owner would pay for it, and is left
when staying beyond that costs more than getting out and in again. Reasons:

- WAIT: ``not_warm``, ``stale_data``, ``thin_depth``, ``too_dear``, ``below_minimum``
- ENTER: ``hedge``
- HOLD: ``hedged``, ``not_warm``, ``stale_data``
- EXIT: ``too_dear``
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from domain.instruments import Pair
from domain.money import ONE, ZERO, decimal_of
from domain.targets import Action, ExitCause, Legs, Tactic, Target
from domain.time import HOURS_PER_YEAR, SECOND
from strategies.bounds import require_within
from strategies.carry.policy import CarryPolicy
from strategies.funding.forecast import Forecast, MeanReverting
from strategies.market.state import InstrumentState, Market
from strategies.sizing import notional_for_loss
from strategies.strategy import Holding
from strategies.verdicts import Taking, Verdict, percent, stale, taking, yearly

HORIZON_HOURS = 72.0
"""Over which a dear hedge is weighed against getting out and in again."""


class HedgePolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[hedge]`` of the settings."""

    ratio: Decimal = ONE
    """How much of the spot that is held anyway is hedged, 0 to 1."""
    pay_apr_max: float = 0.20
    """What the hedge may cost in funding, simple annual rate on its notional."""

    def __post_init__(self) -> None:
        if not ZERO < self.ratio <= ONE:
            raise ValueError(f"ratio: must be more than 0 and at most 1, got {self.ratio}")
        require_within(self, {"pay_apr_max": (0, 100)})


class Hedge:
    """The strategy. What is shared with the carry (freshness, stress, forecast) is ``shared``."""

    def __init__(
        self,
        policy: HedgePolicy,
        shared: CarryPolicy,
        pairs: Sequence[Pair],
        *,
        leverage_target: Decimal,
        risk_per_trade: Decimal,
    ) -> None:
        self._policy, self._shared = policy, shared
        self._pairs = tuple(pairs)
        self._risk_per_trade = risk_per_trade
        self._capital = float(ONE / leverage_target + shared.reserve_fraction)
        self._age_ns = int(shared.book_age_seconds_max * SECOND)
        self._forecast = {p.name: MeanReverting(shared.process(p.perp)) for p in self._pairs}

    def targets(
        self, market: Market, holdings: Mapping[str, Holding], equity: Decimal, now_ns: int
    ) -> tuple[Target, ...]:
        """One target for each pair, in order; see ``Strategy``."""
        return tuple(
            self._judge(
                pair, market.of(pair.perp.id), holdings.get(pair.name), equity, now_ns
            ).target()
            for pair in self._pairs
        )

    def _judge(
        self,
        pair: Pair,
        perp: InstrumentState | None,
        holding: Holding | None,
        equity: Decimal,
        now_ns: int,
    ) -> Verdict:
        idle = Action.WAIT if holding is None else Action.HOLD
        held = ZERO if holding is None else holding.notional
        if perp is None:
            return Verdict(pair, idle, "stale_data: no quote of the perp yet", held)
        if reason := stale(perp, now_ns, self._age_ns):
            return Verdict(pair, idle, reason, held)
        forecast = self._forecast[pair.name](perp, HORIZON_HOURS)
        if holding is None:
            return self._entry(pair, perp, forecast, equity)
        return self._stay(pair, perp, forecast, holding)

    def _entry(
        self, pair: Pair, perp: InstrumentState, forecast: Forecast, equity: Decimal
    ) -> Verdict:
        def wait(reason: str) -> Verdict:
            return self._verdict(pair, Action.WAIT, reason, forecast)

        if perp.hours_of_funding < self._shared.warm_hours or perp.volatility is None:
            return wait("not_warm: too little funding, or less than an hour of prices, is known")
        if (dear := self._dear(forecast)) > 0.0:
            return wait(f"too_dear: {yearly(dear)} over what it may cost")
        cost = taking(pair, perp, float(pair.lot))
        if cost is None:
            return wait(f"thin_depth: the book cannot take one lot of {pair.lot}")
        if equity <= ZERO:
            return wait(f"below_minimum: equity is {equity}")
        shared = self._shared
        loss = (
            shared.basis_stop
            + shared.stress_multiple * decimal_of(cost.buying)
            + shared.liquidation_allowance
        )
        reason = (
            f"hedge: {self._policy.ratio * 100:.0f} % of what is held, "
            f"funding expected {yearly(forecast.hourly)}"
        )
        return msgspec.structs.replace(
            self._verdict(pair, Action.ENTER, reason, forecast, cost.both),
            notional=notional_for_loss(equity, self._risk_per_trade, loss),
            loss_fraction=loss,
            how=Tactic(Legs.OVERLAY, share=self._policy.ratio),
        )

    def _stay(
        self, pair: Pair, perp: InstrumentState, forecast: Forecast, holding: Holding
    ) -> Verdict:
        if perp.hours_of_funding < self._shared.warm_hours:
            reason = f"not_warm: {perp.hours_of_funding:.0f} h of funding known"
            verdict = self._verdict(pair, Action.HOLD, reason, forecast)
            return msgspec.structs.replace(verdict, notional=holding.notional)
        cost = taking(pair, perp, float(holding.quantity)) or Taking(0.0, 0.0)
        dear = self._dear(forecast) * forecast.horizon_hours
        if dear > cost.both > 0.0:
            reason = (
                f"too_dear: {percent(dear)} over what it may cost in {HORIZON_HOURS:g} h, "
                f"out and in again {percent(cost.both)}"
            )
            verdict = self._verdict(pair, Action.EXIT, reason, forecast, cost.buying)
            return msgspec.structs.replace(verdict, cause=ExitCause.FUNDING_PUNISHING)
        reason = f"hedged: funding expected {yearly(forecast.hourly)}"
        verdict = self._verdict(pair, Action.HOLD, reason, forecast, cost.buying)
        return msgspec.structs.replace(verdict, notional=holding.notional)

    def _dear(self, forecast: Forecast) -> float:
        """What funding is expected to cost beyond what it may, per hour; less than zero: less."""
        return -forecast.hourly - self._policy.pay_apr_max / HOURS_PER_YEAR

    def _verdict(
        self, pair: Pair, action: Action, reason: str, forecast: Forecast, cost: float = 0.0
    ) -> Verdict:
        return Verdict(
            pair,
            action,
            reason,
            hourly=forecast.hourly,
            error=forecast.error,
            horizon_hours=forecast.horizon_hours,
            cost=cost,
            capital_per_notional=self._capital,
        )
