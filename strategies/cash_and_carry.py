"""Long spot, short perp, while funding pays for it (SPEC R2 to R6, R9).

``CashAndCarry.targets`` looks at every pair, says for each what to hold and
why, and changes nothing. Each reason starts with a stable word and a colon, by
which decisions are counted:

- WAIT: ``not_warm``, ``stale_data``, ``volatile``, ``basis_restless``, ``thin_depth``,
  ``below_minimum``, ``carry_below_hurdle``, ``basis_against``, ``funding_low_now``,
  ``capital_used``
- ENTER: ``carry_pays``
- HOLD: ``carry_holds``, ``not_warm``, ``stale_data``, ``thin_depth``, ``settlement_near``
- EXIT: ``basis_stop``, ``funding_punishing``, ``basis_against``, ``carry_gone``, ``rotation``

What volatility asks of the margin of a pair that is held is the account's business: the guard
and what is beside it know its real distance to liquidation, and add margin first.
"""

from collections.abc import Mapping, Sequence
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from math import hypot, sqrt

import msgspec

from domain.instruments import Kind, Pair
from domain.money import ONE, ZERO, decimal_of
from domain.targets import Action, ExitCause, Legs, Tactic, Target
from domain.time import HOUR, HOURS_PER_YEAR, MINUTE, SECOND
from strategies.carry.allocation import Candidate, allocate, buckets
from strategies.carry.costs import Resting, RoundTrip, round_trip
from strategies.carry.impact import after_own_trade, impact_max
from strategies.carry.policy import CarryPolicy
from strategies.carry.switching import Band
from strategies.carry.thresholds import (
    Worth,
    apr_on_capital,
    basis_gain,
    basis_stop,
    entering,
    hurdle_hourly,
    is_noise,
    replaces,
    staying,
)
from strategies.funding.forecast import Forecast, ForecastPolicy, MeanReverting
from strategies.market.basis import UsualBasis
from strategies.market.state import InstrumentState, Market, basis_now
from strategies.sizing import CENT, largest, maintenance_rate, notional_for_loss
from strategies.strategy import Holding

__all__ = ["CarryPolicy", "CashAndCarry", "Holding"]

ROTATION_ERRORS = 0.5
"""Standard errors of both forecasts that the gain from a rotation must exceed."""


class _Terms(msgspec.Struct, frozen=True):
    """What policy, limits and the venue's rules fix for a pair, once and for all.

    ``capital_per_notional`` is spot, isolated margin and reserve for one unit of
    notional, ``hurdle`` a fraction of notional per hour; ``distance`` the price move from entry
    to liquidation of the short at the target leverage (SPEC R11). ``process`` reverts to the
    interest of the perp's own venue.
    """

    capital_per_notional: Decimal
    hurdle: float
    distance: float
    buckets: tuple[str, ...]
    process: ForecastPolicy


class _Look(msgspec.Struct, frozen=True):
    """One pair as it is now. ``gain``, expected from the basis returning to its mean, and
    ``basis_stop`` are fractions of notional."""

    pair: Pair
    terms: _Terms
    spot: InstrumentState
    perp: InstrumentState
    forecast: Forecast
    usual: UsualBasis | None
    gain: float
    basis_stop: float


class _Entry(msgspec.Struct, frozen=True):
    """A pair that pays: how much of it, at what cost, and what it can lose."""

    look: _Look
    notional: Decimal
    cost: float
    net: float
    surplus: float
    loss_fraction: Decimal
    maker_leg: Kind
    band: Band


class CashAndCarry:
    """The strategy. Its only memory is the forecaster's, a fold of published funding.

    ``leverage_target`` is the perp's notional over its isolated margin after opening,
    ``risk_per_trade`` the share of equity that a pair may lose at its basis stop under
    stress: both are the account's risk limits, and no choice of a strategy. ``resting`` is how
    the execution works its orders.
    """

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
        self._pairs = tuple(pairs)
        self._risk_per_trade = risk_per_trade
        self._resting = resting
        self._terms = {pair.name: _terms(pair, policy, leverage_target) for pair in self._pairs}
        self._forecast = {name: MeanReverting(terms.process) for name, terms in self._terms.items()}
        self._age_ns = int(policy.book_age_seconds_max * SECOND)

    def targets(
        self, market: Market, holdings: Mapping[str, Holding], equity: Decimal, now_ns: int
    ) -> tuple[Target, ...]:
        """One target for each pair, in order; see ``Strategy``."""
        found: dict[str, Target] = {}
        held: list[tuple[_Look, RoundTrip, Holding]] = []
        entries: list[_Entry] = []
        for pair in self._pairs:
            holding = holdings.get(pair.name)
            look = self._look(market, pair)
            if look is None:
                found[pair.name] = _blank(pair, holding, self._policy)
            elif holding is not None:
                target, trip = self._judge_holding(look, holding, now_ns)
                found[pair.name] = target
                if trip is not None and target.action is Action.HOLD:
                    held.append((look, trip, holding))
            else:
                verdict = self._judge_entry(look, equity, now_ns)
                if isinstance(verdict, _Entry):
                    entries.append(verdict)
                else:
                    found[pair.name] = verdict
        if entries:
            found.update(self._allot(entries, held, holdings, equity))
        return tuple(found[pair.name] for pair in self._pairs)

    def _look(self, market: Market, pair: Pair) -> _Look | None:
        spot, perp = market.of(pair.spot.id), market.of(pair.perp.id)
        if spot is None or perp is None:
            return None
        usual = market.usual_basis(pair)
        return _Look(
            pair,
            self._terms[pair.name],
            spot,
            perp,
            self._forecast[pair.name](perp, self._policy.horizon_hours),
            usual,
            basis_gain(usual, basis_now(spot, perp)),
            basis_stop(float(self._policy.basis_stop), self._policy.basis_sigmas, usual),
        )

    # --- entry -----------------------------------------------------------------------------

    def _judge_entry(self, look: _Look, equity: Decimal, now_ns: int) -> _Entry | Target:
        reason = self._not_now(look, now_ns)
        if reason is not None:
            return _target(look, Action.WAIT, ZERO, reason, cost=0.0, net=0.0)
        touch = self._trip(look, float(look.pair.lot))
        if touch is None:
            reason = f"thin_depth: the books cannot take one lot of {look.pair.lot}"
            return _target(look, Action.WAIT, ZERO, reason, cost=0.0, net=0.0)
        cost, net, surplus = self._worth(look, touch)
        judged = self._entering(look, touch)
        if not judged.pays_entry:
            otherwise = self._entering(_at_usual_basis(look), touch)
            code = "basis_against" if otherwise.pays_entry else "carry_below_hurdle"
            reason = f"{code}: {_carry(look, cost, net, judged.band)}"
            return _target(look, Action.WAIT, ZERO, reason, cost=cost, net=net)
        if (now := look.perp.predicted) is not None and now.per_hour < look.terms.hurdle:
            # Whoever waits for it to recover loses nothing: the round trip costs the same then.
            reason = (
                f"funding_low_now: {_percent(now.apr)} a year, hurdle "
                f"{_percent(look.terms.hurdle * HOURS_PER_YEAR)}; forecast {_yearly(look.forecast)}"
            )
            return _target(look, Action.WAIT, ZERO, reason, cost=cost, net=net)
        sized = self._size(look, equity, touch, surplus)
        if isinstance(sized, str):
            return _target(look, Action.WAIT, ZERO, sized, cost=cost, net=net)
        notional, look, trip = sized
        cost, net, surplus = self._worth(look, trip)
        loss = self._loss_fraction(look, trip)
        band = self._entering(look, trip).band
        return _Entry(look, notional, cost, net, surplus, loss, trip.maker_leg, band)

    def _worth(self, look: _Look, trip: RoundTrip) -> tuple[float, float, float]:
        """Cost, expected net over the horizon, and what of it exceeds the hurdle; of notional."""
        forecast = look.forecast
        # A favourable basis may pay the way; it is not a reason to go.
        cost = trip.total - min(look.gain, trip.total)
        net = forecast.total - cost
        return cost, net, net - look.terms.hurdle * forecast.horizon_hours

    def _entering(self, look: _Look, trip: RoundTrip) -> Worth:
        terms = look.terms
        return entering(look.forecast, trip.total, look.gain, terms.hurdle, terms.process)

    def _staying(self, look: _Look, trip: RoundTrip) -> Worth:
        terms = look.terms
        return staying(look.forecast, trip.total, look.gain, terms.hurdle, terms.process)

    def _not_now(self, look: _Look, now_ns: int) -> str | None:
        """Why the market is no place to enter now, whatever it pays."""
        policy, spot, perp = self._policy, look.spot, look.perp
        if perp.hours_of_funding < policy.warm_hours:
            return (
                f"not_warm: {perp.hours_of_funding:.0f} h of funding known, "
                f"{policy.warm_hours:.0f} h needed"
            )
        if stale := self._stale(look, now_ns):
            return stale
        volatility = max(spot.volatility or 0.0, perp.volatility or 0.0)
        if perp.volatility is None or not spot.mid or not perp.mid or not perp.oracle:
            return "not_warm: less than an hour of prices known"
        sigma, distance = volatility * sqrt(policy.guard_hours), look.terms.distance
        if sigma * policy.volatility_sigmas > distance:
            return (
                f"volatile: {_percent(sigma)} in {policy.guard_hours:.0f} h, "
                f"{_percent(distance)} to liquidation"
            )
        if look.usual is not None and is_noise(look.basis_stop, look.usual):
            return (
                f"basis_restless: it strays {_percent(look.usual.deviation)} from its mean, "
                f"the stop is {_percent(look.basis_stop)} away"
            )
        return None

    def _size(
        self, look: _Look, equity: Decimal, touch: RoundTrip, surplus: float
    ) -> tuple[Decimal, _Look, RoundTrip] | str:
        """Notional by cap, by acceptable loss and by depth, with what is expected and costs at
        that size; or why none.

        The largest that the books can take, that pays at its own cost, and of which slippage and
        what it takes off the funding are no more than ``impact_max``.
        """
        policy = self._policy
        if equity <= 0:
            return f"below_minimum: equity is {equity}"
        most = min(
            equity * policy.max_share_per_pair / look.terms.capital_per_notional,
            notional_for_loss(equity, self._risk_per_trade, self._loss_fraction(look, touch)),
        ).quantize(CENT, ROUND_DOWN)
        if most < (least := _smallest(look.pair, look.spot.mid)):
            return f"below_minimum: {most:.2f} is under {least:.2f}"
        bearable = impact_max(surplus, touch.total)

        def at(notional: Decimal) -> tuple[_Look, RoundTrip] | None:
            trip, own = self._cost(look, notional), _with_own(look, notional)
            less = look.forecast.total - own.forecast.total
            pays = (
                trip is not None
                and trip.total - touch.total + less <= bearable
                and self._entering(own, trip).pays_entry
            )
            return (own, trip) if pays and trip is not None else None

        sized = largest(most, least, at)
        if sized is None:
            return f"thin_depth: the books cannot take {least:.2f} on both legs at a cost that pays"
        notional, (own, trip) = sized
        fitting = notional_for_loss(equity, self._risk_per_trade, self._loss_fraction(look, trip))
        return min(notional, fitting), own, trip

    def _cost(self, look: _Look, notional: Decimal) -> RoundTrip | None:
        return self._trip(look, _base(look, notional))

    def _trip(self, look: _Look, quantity: float) -> RoundTrip | None:
        return round_trip(look.pair, look.spot, look.perp, quantity, self._resting)

    def _loss_fraction(self, look: _Look, trip: RoundTrip) -> Decimal:
        """What can really be lost, of notional (SPEC R9)."""
        policy = self._policy
        exit_cost = policy.stress_multiple * decimal_of(trip.urgent_exit_cost)
        return decimal_of(look.basis_stop) + exit_cost + policy.liquidation_allowance

    # --- allocation ------------------------------------------------------------------------

    def _allot(
        self,
        entries: list[_Entry],
        held: list[tuple[_Look, RoundTrip, Holding]],
        holdings: Mapping[str, Holding],
        equity: Decimal,
    ) -> dict[str, Target]:
        room = self._room(holdings, equity)
        granted = allocate([_candidate(entry) for entry in entries], room)
        for entry in entries:
            for name in entry.look.terms.buckets:
                room[name] -= granted[entry.look.pair.name]
        found: dict[str, Target] = {}
        refused: list[_Entry] = []
        for entry in entries:
            look, capital = entry.look, granted[entry.look.pair.name]
            if capital > ZERO:
                most = (capital / look.terms.capital_per_notional).quantize(CENT, ROUND_DOWN)
                found[look.pair.name] = self._enter(entry, min(entry.notional, most))
                continue
            refused.append(entry)
            free = max(min(room[name] for name in look.terms.buckets), ZERO)
            reason = f"capital_used: {free:.2f} free, wants {_candidate(entry).capital:.2f}"
            found[look.pair.name] = _target(
                look, Action.WAIT, ZERO, reason, cost=entry.cost, net=entry.net
            )
        found.update(self._rotate(refused, held, room))
        return found

    def _enter(self, entry: _Entry, notional: Decimal) -> Target:
        look, cost, net = entry.look, entry.cost, entry.net
        if notional < entry.notional and (trip := self._cost(look, notional)) is not None:
            cost, net, _ = self._worth(look, trip)
        reason = f"carry_pays: {_carry(look, cost, net, entry.band)}"
        target = _target(look, Action.ENTER, notional, reason, cost=cost, net=net)
        at_risk = (notional * entry.loss_fraction).quantize(CENT, ROUND_DOWN)
        return msgspec.structs.replace(
            target,
            amount_at_risk=at_risk,
            maker_leg=entry.maker_leg,
            how=Tactic(Legs.CARRY, basis_stop=look.basis_stop),
        )

    def _room(self, holdings: Mapping[str, Holding], equity: Decimal) -> dict[str, Decimal]:
        """Capital that each cap still takes, quote."""
        policy = self._policy
        shares = {
            "pair": policy.max_share_per_pair,
            "asset": policy.max_share_per_asset,
            "venue": policy.max_share_per_venue,
            "total": policy.max_total_share,
        }
        room: dict[str, Decimal] = {}
        for terms in self._terms.values():
            for name in terms.buckets:
                room.setdefault(name, equity * shares[name.split(" ")[0]])
        for pair_name, terms in self._terms.items():
            if (holding := holdings.get(pair_name)) is not None:
                for name in terms.buckets:
                    room[name] -= holding.notional * terms.capital_per_notional
        return room

    def _rotate(
        self,
        refused: list[_Entry],
        held: list[tuple[_Look, RoundTrip, Holding]],
        room: Mapping[str, Decimal],
    ) -> dict[str, Target]:
        """Close one pair for a better one that lacks capital, if the gain pays both round trips.

        The difference of their levels must be one that repays both (``replaces``). And over
        the same horizon, in quote: the new pair's surplus over the hurdle must exceed what
        staying is worth and the held pair's exit and later return, by more than a round
        trip and than a share of the forecasts' errors. Both are over the hurdle, so idle
        capital counts as zero.
        """
        best: tuple[float, Target] | None = None
        for entry in refused:
            wanted = _candidate(entry)
            for look, trip, holding in held:
                both = trip.total + entry.cost
                if not replaces(entry.look.forecast, look.forecast, both, look.terms.process):
                    continue
                over_hurdle = look.forecast.hourly - look.terms.hurdle
                kept = over_hurdle * look.forecast.horizon_hours + look.gain + trip.total
                gain = float(entry.notional) * entry.surplus - float(holding.notional) * kept
                # Less than a round trip more is within what the two forecasts may err; how
                # much more depends on how sure they are.
                unsure = hypot(
                    float(holding.notional) * look.forecast.total_error,
                    float(entry.notional) * entry.look.forecast.total_error,
                )
                least = max(float(holding.notional) * trip.total, ROTATION_ERRORS * unsure)
                if gain <= (best[0] if best is not None else least):
                    continue
                freed = holding.notional * look.terms.capital_per_notional
                wider = dict(room)
                for name in look.terms.buckets:
                    wider[name] += freed
                if allocate([wanted], wider)[entry.look.pair.name] >= wanted.capital:
                    reason = (
                        f"rotation: {entry.look.pair.name} earns {gain:.2f} more over "
                        f"{_days(look.forecast)} after both round trips"
                    )
                    leaving = _exit(look, trip, reason, ExitCause.THESIS_CHANGED)
                    coming = self._enter(entry, entry.notional)
                    best = gain, msgspec.structs.replace(leaving, instead=coming)
        return {} if best is None else {best[1].pair: best[1]}

    # --- holding ---------------------------------------------------------------------------

    def _judge_holding(
        self, look: _Look, holding: Holding, now_ns: int
    ) -> tuple[Target, RoundTrip | None]:
        if stale := self._stale(look, now_ns):
            return _hold(look, holding, stale, 0.0), None
        quantity = max(holding.quantity, look.pair.lot)  # nothing may be filled yet
        trip = self._trip(look, float(quantity))
        if stop := self._basis_stop(look, holding):
            return _exit(look, trip, *stop), None
        if trip is None:
            reason = f"thin_depth: the books cannot take {holding.quantity} on both legs"
            return _hold(look, holding, reason, 0.0), None
        if look.perp.hours_of_funding < self._policy.warm_hours:
            reason = f"not_warm: {look.perp.hours_of_funding:.0f} h of funding known"
            return _hold(look, holding, reason, trip.exit_cost), None
        judged = self._staying(look, trip)
        worth = (
            f"staying is worth {_percent(judged.value)}, a round trip {_percent(trip.total)}; "
            f"{_standing(look.forecast)}, out below {_apr(judged.band.leave)}"
        )
        if not judged.pays_exit:
            return _hold(look, holding, f"carry_holds: {worth}", trip.exit_cost), trip
        if self._is_paid_soon(look.perp, now_ns):
            return _hold(look, holding, f"settlement_near: {worth}", trip.exit_cost), trip
        if not self._staying(_at_usual_basis(look), trip).pays_exit:
            cause, code = ExitCause.THESIS_CHANGED, "basis_against"
        elif look.forecast.hourly < 0.0:
            cause, code = ExitCause.FUNDING_PUNISHING, "funding_punishing"
        else:
            cause, code = ExitCause.THESIS_CHANGED, "carry_gone"
        return _exit(look, trip, f"{code}: {worth}", cause), trip

    def _stale(self, look: _Look, now_ns: int) -> str | None:
        age_ns = self._age_ns
        for state in (look.spot, look.perp):
            if not state.is_fresh(now_ns, age_ns):
                return f"stale_data: no usable quote of {state.instrument} within {_age(age_ns)}"
        if not look.perp.has_fresh_context(now_ns, age_ns):
            return f"stale_data: no mark of {look.perp.instrument} within {_age(age_ns)}"
        return None

    def _basis_stop(self, look: _Look, holding: Holding) -> tuple[str, ExitCause] | None:
        """By the most favourable reading of both books, by the mark, and by the average of the
        last hour: a lone freak quote closes nothing."""
        ask, bid, mark = look.spot.ask, look.perp.bid, look.perp.mark
        usual, entry = look.usual, holding.entry_basis
        if entry is None and usual is not None:
            entry = usual.mean
        if not ask or not bid or not mark or entry is None:
            return None
        now = min(bid, mark) / ask - 1.0
        moved = (now if usual is None else min(now, usual.recent)) - entry
        stop = holding.basis_stop or look.basis_stop
        if moved < stop:
            return None
        return (
            f"basis_stop: {_percent(moved)} against us since entry, limit {_percent(stop)}"
        ), ExitCause.BASIS_STOP

    def _is_paid_soon(self, perp: InstrumentState, now_ns: int) -> bool:
        predicted = perp.predicted
        if predicted is None or predicted.per_interval <= 0.0:
            return False
        interval_ns = int(predicted.interval_hours * HOUR)
        return interval_ns - now_ns % interval_ns <= self._policy.settlement_wait_minutes * MINUTE


# --- words and numbers -------------------------------------------------------------------------


def _terms(pair: Pair, policy: CarryPolicy, leverage_target: Decimal) -> _Terms:
    tiers = pair.perp.margin_tiers
    margin = ONE / min(leverage_target, Decimal(tiers[0].max_leverage))
    capital = ONE + margin + policy.reserve_fraction
    return _Terms(
        capital,
        hurdle_hourly(policy.hurdle_apr, float(capital)),
        float(margin - maintenance_rate(tiers, ZERO)),
        buckets(pair),
        policy.process(pair.perp),
    )


def _base(look: _Look, notional: Decimal) -> float:
    assert look.spot.mid is not None, "Invariant: only quoted pairs are priced"
    return float(notional) / look.spot.mid


def _with_own(look: _Look, notional: Decimal) -> _Look:
    """The pair as it will be with ``notional`` of ours in it."""
    anchor, open_interest = look.terms.process.anchor_hourly, look.perp.open_interest
    forecast = after_own_trade(look.forecast, _base(look, notional), open_interest, anchor)
    return msgspec.structs.replace(look, forecast=forecast)


def _at_usual_basis(look: _Look) -> _Look:
    return msgspec.structs.replace(look, gain=0.0)


def _candidate(entry: _Entry) -> Candidate:
    look = entry.look
    score = entry.net / float(look.terms.capital_per_notional)
    per_notional = look.terms.capital_per_notional
    # A fragment would block the pair for as long as it is held.
    least = max(entry.notional / 2, _smallest(look.pair, look.spot.mid))
    return Candidate(
        look.pair,
        score,
        capital=(entry.notional * per_notional).quantize(CENT, ROUND_UP),
        least=(least * per_notional).quantize(CENT, ROUND_UP),
    )


def _smallest(pair: Pair, mid: float | None) -> Decimal:
    """One lot, and ten times the venues' minimum: the price may halve and the way out must stay
    open, and the margin guard must be able to sell a slice of both legs."""
    least = 10 * max(pair.spot.minimum_notional, pair.perp.minimum_notional)
    return max(least, pair.lot * decimal_of(mid)) if mid else least


def _target(
    look: _Look, action: Action, notional: Decimal, reason: str, *, cost: float, net: float
) -> Target:
    forecast = look.forecast
    return Target(
        pair=look.pair.name,
        action=action,
        notional=notional,
        reason=reason,
        forecast_hourly=forecast.hourly,
        forecast_error=forecast.error,
        horizon_hours=forecast.horizon_hours,
        cost=cost,
        expected_net=net,
        apr_on_capital=apr_on_capital(
            net, forecast.horizon_hours, float(look.terms.capital_per_notional)
        ),
    )


def _hold(look: _Look, holding: Holding, reason: str, exit_cost: float) -> Target:
    net = look.forecast.total + look.gain - exit_cost
    return _target(look, Action.HOLD, holding.notional, reason, cost=exit_cost, net=net)


def _exit(look: _Look, trip: RoundTrip | None, reason: str, cause: ExitCause) -> Target:
    cost = 0.0 if trip is None else trip.exit_cost
    net = look.forecast.total + look.gain - cost
    target = _target(look, Action.EXIT, ZERO, reason, cost=cost, net=net)
    return msgspec.structs.replace(target, exit_cause=cause)


def _blank(pair: Pair, holding: Holding | None, policy: CarryPolicy) -> Target:
    """Nothing has been seen of a leg yet."""
    action, notional, reason = Action.WAIT, ZERO, "not_warm: no quote of both legs yet"
    if holding is not None:
        action, notional = Action.HOLD, holding.notional
        reason = "stale_data: no quote of both legs yet"
    return Target(
        pair.name, action, notional, reason, 0.0, 0.0, policy.horizon_hours, 0.0, 0.0, 0.0
    )


def _carry(look: _Look, cost: float, net: float, band: Band) -> str:
    return (
        f"net {_percent(net)} over {_days(look.forecast)} at cost {_percent(cost)}; "
        f"{_standing(look.forecast)}, in above {_apr(band.enter)}; "
        f"forecast {_yearly(look.forecast)}"
    )


def _standing(forecast: Forecast) -> str:
    now = forecast.now
    running = f"{now.deviation * HOURS_PER_YEAR * 100:+.1f} %"
    return f"level {_apr(now.level)} a year, running rate {running} off it"


def _apr(hourly: float) -> str:
    return f"{hourly * HOURS_PER_YEAR * 100:.1f} %"


def _percent(fraction: float) -> str:
    return f"{fraction * 100:.2f} %"


def _days(forecast: Forecast) -> str:
    return f"{forecast.horizon_hours / 24:.1f} d"


def _yearly(forecast: Forecast) -> str:
    scale = HOURS_PER_YEAR * 100
    return f"{forecast.hourly * scale:.1f} ± {forecast.error * scale:.1f} % a year"


def _age(age_ns: int) -> str:
    return f"{age_ns / SECOND:g} s"
