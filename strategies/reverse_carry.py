"""Sell spot that is held anyway, buy it back later; long perp meanwhile (SPEC R2): reverse carry.

The mirror of ``CashAndCarry``, by the same band over the mirrored funding process: what shorts
pay is income here, and the venue's interest is against it. There is nothing to borrow, so a
trade is never larger than the coins that the account holds of its own. Reasons:

- WAIT: ``not_warm``, ``stale_data``, ``volatile``, ``basis_restless``, ``thin_depth``,
  ``carry_below_hurdle``, ``basis_against``, ``funding_low_now``, ``below_minimum``
- ENTER: ``carry_pays``
- HOLD: ``carry_holds``, ``not_warm``, ``stale_data``, ``thin_depth``
- EXIT: ``basis_stop``, ``basis_against``, ``funding_punishing``, ``carry_gone``
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from math import sqrt

import msgspec

from domain.instruments import Pair
from domain.money import ONE, ZERO, decimal_of
from domain.targets import Action, ExitCause, Legs, Tactic, Target
from domain.time import SECOND
from strategies.carry.costs import Resting, RoundTrip, round_trip
from strategies.carry.impact import after_own_trade, impact_max
from strategies.carry.policy import CarryPolicy
from strategies.carry.thresholds import (
    basis_gain,
    basis_stop,
    entering,
    hurdle_hourly,
    is_noise,
    staying,
)
from strategies.funding.forecast import Forecast, ForecastPolicy, MeanReverting, Standing
from strategies.market.basis import UsualBasis
from strategies.market.state import InstrumentState, Market, basis_now
from strategies.sizing import largest, maintenance_rate, notional_for_loss
from strategies.strategy import Holding
from strategies.verdicts import Verdict, percent, stale, yearly


class _Look(msgspec.Struct, frozen=True):
    """One pair as it is now; ``forecast`` is what a long receives."""

    pair: Pair
    spot: InstrumentState
    perp: InstrumentState
    forecast: Forecast
    usual: UsualBasis | None

    @property
    def gain(self) -> float:
        """What the basis is expected to bring by returning to its mean, of notional."""
        return -basis_gain(self.usual, basis_now(self.spot, self.perp))


class ReverseCarry:
    """The strategy, by the carry's own policy."""

    def __init__(
        self,
        policy: CarryPolicy,
        pairs: Sequence[Pair],
        *,
        leverage_target: Decimal,
        risk_per_trade: Decimal,
        resting: Resting,
    ) -> None:
        self._policy = policy
        self._resting = resting
        self._pairs = tuple(pairs)
        self._risk_per_trade = risk_per_trade
        self._margin = float(ONE / leverage_target)
        # The coins are there anyway; what is tied up for this is margin and reserve.
        self._capital = self._margin + float(policy.reserve_fraction)
        self._hurdle = hurdle_hourly(policy.hurdle_apr, self._capital)
        self._age_ns = int(policy.book_age_seconds_max * SECOND)
        self._forecast = {p.name: MeanReverting(policy.process(p.perp)) for p in self._pairs}
        self._mirrored = {p.name: _mirror(policy.process(p.perp)) for p in self._pairs}

    def targets(
        self, market: Market, holdings: Mapping[str, Holding], equity: Decimal, now_ns: int
    ) -> tuple[Target, ...]:
        """One target for each pair, in order; see ``Strategy``."""
        return tuple(
            self._judge(market, pair, holdings.get(pair.name), equity, now_ns).target()
            for pair in self._pairs
        )

    def _judge(
        self, market: Market, pair: Pair, holding: Holding | None, equity: Decimal, now_ns: int
    ) -> Verdict:
        spot, perp = market.of(pair.spot.id), market.of(pair.perp.id)
        idle = Action.WAIT if holding is None else Action.HOLD
        held = ZERO if holding is None else holding.notional
        if spot is None or perp is None:
            return Verdict(pair, idle, "stale_data: no quote of both legs yet", held)
        if reason := stale(perp, now_ns, self._age_ns, spot):
            return Verdict(pair, idle, reason, held)
        forecast = mirrored(self._forecast[pair.name](perp, self._policy.horizon_hours))
        look = _Look(pair, spot, perp, forecast, market.usual_basis(pair))
        quantity = float(pair.lot if holding is None else max(holding.quantity, pair.lot))
        trip = self._trip(look, quantity)
        if holding is None:
            return self._entry(look, trip, equity)
        return self._stay(look, trip, holding)

    def _trip(self, look: _Look, quantity: float) -> RoundTrip | None:
        return round_trip(look.pair, look.spot, look.perp, quantity, self._resting, Legs.REVERSE)

    def _entry(self, look: _Look, trip: RoundTrip | None, equity: Decimal) -> Verdict:
        def wait(reason: str, cost: float = 0.0) -> Verdict:
            return self._verdict(look, Action.WAIT, reason, cost)

        if reason := self._not_now(look):
            return wait(reason)
        if trip is None:
            return wait(f"thin_depth: the books cannot take one lot of {look.pair.lot}")
        process = self._mirrored[look.pair.name]
        judged = entering(look.forecast, trip.total, look.gain, self._hurdle, process)
        level = f"level {yearly(look.forecast.now.level)} to longs, in above"
        if not judged.pays_entry:
            otherwise = entering(look.forecast, trip.total, 0.0, self._hurdle, process)
            code = "basis_against" if otherwise.pays_entry else "carry_below_hurdle"
            reason = f"{code}: {level} {yearly(judged.band.enter)}"
            return wait(reason, trip.total)
        now = look.perp.predicted
        if now is not None and -now.per_hour < self._hurdle:
            reason = f"funding_low_now: {yearly(-now.per_hour)}, hurdle {yearly(self._hurdle)}"
            return wait(reason, trip.total)
        if equity <= ZERO:
            return wait(f"below_minimum: equity is {equity}")
        most = notional_for_loss(equity, self._risk_per_trade, self._loss_fraction(look, trip))
        if (sized := self._sized(look, trip, most)) is None:
            return wait("thin_depth: the books cannot take it at a cost that pays", trip.total)
        notional, trip = sized
        loss = self._loss_fraction(look, trip)
        notional = min(notional, notional_for_loss(equity, self._risk_per_trade, loss))
        reason = f"carry_pays: {level} {yearly(judged.band.enter)}; cost {percent(trip.total)}"
        return msgspec.structs.replace(
            self._verdict(look, Action.ENTER, reason, trip.total),
            notional=notional,
            loss_fraction=loss,
            maker_leg=trip.maker_leg,
            how=Tactic(Legs.REVERSE, basis_stop=self._stop(look)),
        )

    def _sized(
        self, look: _Look, touch: RoundTrip, most: Decimal
    ) -> tuple[Decimal, RoundTrip] | None:
        """The largest that pays at what it costs and takes off the funding, and of which these are
        no more than ``impact_max``; None: no size does."""
        process, price = self._mirrored[look.pair.name], look.spot.mid
        assert price, "Invariant: it has a price, or it would not be judged"
        cost = touch.total - min(look.gain, touch.total)
        hurdle = self._hurdle * look.forecast.horizon_hours
        bearable = impact_max(look.forecast.total - cost - hurdle, touch.total)

        def at(notional: Decimal) -> RoundTrip | None:
            quantity = float(notional) / price
            trip = self._trip(look, quantity)
            if trip is None:
                return None
            forecast = after_own_trade(
                look.forecast, quantity, look.perp.open_interest, process.anchor_hourly
            )
            less = look.forecast.total - forecast.total
            if trip.total - touch.total + less > bearable:
                return None
            judged = entering(forecast, trip.total, look.gain, self._hurdle, process)
            return trip if judged.pays_entry else None

        return largest(most, look.pair.lot * decimal_of(price), at)

    def _loss_fraction(self, look: _Look, trip: RoundTrip) -> Decimal:
        """What can really be lost, of notional (SPEC R9)."""
        policy = self._policy
        exit_cost = policy.stress_multiple * decimal_of(trip.urgent_exit_cost)
        return decimal_of(self._stop(look)) + exit_cost + policy.liquidation_allowance

    def _not_now(self, look: _Look) -> str | None:
        policy, perp = self._policy, look.perp
        if perp.hours_of_funding < policy.warm_hours:
            return (
                f"not_warm: {perp.hours_of_funding:.0f} h of funding known, "
                f"{policy.warm_hours:.0f} h needed"
            )
        if perp.volatility is None or not look.spot.mid or not perp.mid or not perp.oracle:
            return "not_warm: less than an hour of prices known"
        sigma = max(look.spot.volatility or 0.0, perp.volatility) * sqrt(policy.guard_hours)
        distance = self._margin - float(maintenance_rate(look.pair.perp.margin_tiers, ZERO))
        if sigma * policy.volatility_sigmas > distance:
            return (
                f"volatile: {percent(sigma)} in {policy.guard_hours:.0f} h, "
                f"{percent(distance)} to liquidation"
            )
        if look.usual is not None and is_noise(self._stop(look), look.usual):
            return (
                f"basis_restless: it strays {percent(look.usual.deviation)} from its mean, "
                f"the stop is {percent(self._stop(look))} away"
            )
        return None

    def _stay(self, look: _Look, trip: RoundTrip | None, holding: Holding) -> Verdict:
        moved, stop = _against(look, holding), holding.basis_stop or self._stop(look)
        cost = trip.exit_cost if trip is not None else 0.0

        def leave(reason: str, cause: ExitCause) -> Verdict:
            verdict = self._verdict(look, Action.EXIT, reason, cost)
            return msgspec.structs.replace(verdict, cause=cause)

        def hold(reason: str) -> Verdict:
            verdict = self._verdict(look, Action.HOLD, reason, cost)
            return msgspec.structs.replace(verdict, notional=holding.notional)

        if moved is not None and moved >= stop:
            reason = f"basis_stop: {percent(moved)} against us since entry, limit {percent(stop)}"
            return leave(reason, ExitCause.BASIS_STOP)
        if trip is None:
            return hold(f"thin_depth: the books cannot take {holding.quantity} on both legs")
        if look.perp.hours_of_funding < self._policy.warm_hours:
            return hold(f"not_warm: {look.perp.hours_of_funding:.0f} h of funding known")
        process = self._mirrored[look.pair.name]
        judged = staying(look.forecast, trip.total, look.gain, self._hurdle, process)
        worth = (
            f"staying is worth {percent(judged.value)}, a round trip {percent(trip.total)}; "
            f"level {yearly(look.forecast.now.level)} to longs, "
            f"out below {yearly(judged.band.leave)}"
        )
        if not judged.pays_exit:
            return hold(f"carry_holds: {worth}")
        if not staying(look.forecast, trip.total, 0.0, self._hurdle, process).pays_exit:
            return leave(f"basis_against: {worth}", ExitCause.THESIS_CHANGED)
        if look.forecast.hourly < 0.0:
            return leave(f"funding_punishing: {worth}", ExitCause.FUNDING_PUNISHING)
        return leave(f"carry_gone: {worth}", ExitCause.THESIS_CHANGED)

    def _stop(self, look: _Look) -> float:
        return basis_stop(float(self._policy.basis_stop), self._policy.basis_sigmas, look.usual)

    def _verdict(self, look: _Look, action: Action, reason: str, cost: float) -> Verdict:
        forecast = look.forecast
        return Verdict(
            look.pair,
            action,
            reason,
            hourly=forecast.hourly,
            error=forecast.error,
            horizon_hours=forecast.horizon_hours,
            cost=cost,
            capital_per_notional=self._capital,
        )


def _mirror(process: ForecastPolicy) -> ForecastPolicy:
    return msgspec.structs.replace(process, anchor_hourly=-process.anchor_hourly)


def mirrored(forecast: Forecast) -> Forecast:
    """The same forecast as a long sees it: what shorts pay is positive."""
    return msgspec.structs.replace(
        forecast,
        hourly=-forecast.hourly,
        now=Standing(-forecast.now.level, -forecast.now.deviation),
        before=Standing(-forecast.before.level, -forecast.before.deviation),
    )


def _against(look: _Look, holding: Holding) -> float | None:
    """How far the perp has fallen against the spot since entry, of the spot.

    By the most favourable reading of both books, by the mark, and by the average of the
    last hour: a lone freak quote closes nothing.
    """
    bid, ask, mark = look.spot.bid, look.perp.ask, look.perp.mark
    usual, entry = look.usual, holding.entry_basis
    if entry is None and usual is not None:
        entry = usual.mean
    if not bid or not ask or not mark or entry is None:
        return None
    now = max(ask, mark) / bid - 1.0
    return entry - (now if usual is None else max(now, usual.recent))
