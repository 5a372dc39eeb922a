"""A perp held alone on a signal: sized from what its stop loses, left at its target or its time.

A strategy is a function from a perp's market to a ``Signal``, or to the reason why there is
none. The stop is the engine's, at every mark; what ends a trade here is its target or its time.
Reasons:

- WAIT: ``not_warm``, ``stale_data``, ``thin_depth``, ``stop_too_far``, ``reward_too_small``,
  ``below_minimum``, and the signal's own
- ENTER: the signal's own
- HOLD: ``on_the_way``, ``stale_data``
- EXIT: ``target``, ``expired``
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_DOWN, Decimal

import msgspec

from domain.instruments import Kind, Pair
from domain.money import ONE, ZERO, decimal_of
from domain.orders import Side
from domain.targets import Action, ExitCause, Legs, Tactic, Target
from domain.time import HOUR, SECOND
from strategies.carry.policy import CarryPolicy
from strategies.market.state import InstrumentState, Market
from strategies.sizing import CENT, Preset, notional_for_loss
from strategies.strategy import Holding
from strategies.verdicts import Taking, Verdict, percent, stale, taking

REWARD_LEAST = 1.0
"""The way to the target, after costs, is at least so many times what is lost at the stop."""


class Signal(msgspec.Struct, frozen=True):
    """Enter now. ``stop`` and ``target`` are prices (quote/base); ``share`` of the usual size."""

    legs: Legs
    stop: float
    target: float
    leverage: Decimal
    reason: str
    share: Decimal = ONE


Look = Callable[[InstrumentState, int], Signal | str]
"""(the perp, now) to what it says."""
Aim = Callable[[InstrumentState, Holding, int], float]
"""(the perp, what is held, now) to the price at which the trade has done its work."""


def planned(_perp: InstrumentState, holding: Holding, _now_ns: int) -> float:
    """The target that the trade was entered for."""
    return float(holding.target_price)


class PerpAlone:
    """The strategy around a signal. ``shared`` is the carry's freshness and stress."""

    def __init__(
        self,
        look: Look,
        preset: Preset,
        hours_max: float,
        shared: CarryPolicy,
        pairs: Sequence[Pair],
        *,
        risk_per_trade: Decimal,
        aim: Aim = planned,
    ) -> None:
        self._look, self._aim, self._preset, self._hours_max = look, aim, preset, hours_max
        self._pairs = tuple(pairs)
        self._risk = min(risk_per_trade, preset.risk[1])
        self._stress = shared.stress_multiple
        self._age_ns = int(shared.book_age_seconds_max * SECOND)

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
        if holding is not None:
            return self._stay(pair, perp, holding, now_ns)
        signal = self._look(perp, now_ns)
        if isinstance(signal, str):
            return Verdict(pair, Action.WAIT, signal)
        return self._entry(pair, perp, signal, equity)

    def _entry(self, pair: Pair, perp: InstrumentState, signal: Signal, equity: Decimal) -> Verdict:
        assert perp.mid is not None, "Invariant: a fresh perp is quoted"
        sign = signal.legs.opens(Kind.PERP).sign
        risk = (perp.mid - signal.stop) * sign / perp.mid
        reward = (signal.target - perp.mid) * sign / perp.mid
        cost = taking(pair, perp, float(pair.lot))
        if cost is None:
            return Verdict(pair, Action.WAIT, f"thin_depth: not one lot of {pair.lot} is quoted")
        hourly = -sign * (perp.predicted.per_hour if perp.predicted is not None else 0.0)

        def wait(reason: str) -> Verdict:
            return Verdict(
                pair, Action.WAIT, reason, hourly=hourly, horizon_hours=self._hours_max,
                cost=cost.both,
            )  # fmt: skip

        furthest = float(self._preset.stop[1])
        if not 0.0 < risk <= furthest:
            return wait(f"stop_too_far: {percent(risk)} away, at most {percent(furthest)}")
        if reward - cost.both < REWARD_LEAST * (risk + cost.both):
            return wait(
                f"reward_too_small: {percent(reward)} to the target, {percent(risk)} to the "
                f"stop, cost {percent(cost.both)}"
            )
        if equity <= ZERO:
            return wait(f"below_minimum: equity is {equity}")
        loss = decimal_of(risk) + self._stress * decimal_of(cost.both)
        full = notional_for_loss(equity, self._risk, loss)
        return msgspec.structs.replace(
            wait(
                f"{signal.reason}; target {signal.target:.6g} ({percent(reward)}), "
                f"stop {signal.stop:.6g} ({percent(risk)})"
            ),
            action=Action.ENTER,
            notional=(full * signal.share).quantize(CENT, ROUND_DOWN),
            loss_fraction=loss,
            how=Tactic(
                signal.legs,
                stop_price=_tick(pair, signal.stop, signal.legs),
                target_price=_tick(pair, signal.target, signal.legs),
                leverage=min(signal.leverage, self._preset.leverage[1]),
            ),
        )

    def _stay(self, pair: Pair, perp: InstrumentState, holding: Holding, now_ns: int) -> Verdict:
        assert perp.mid is not None, "Invariant: a fresh perp is quoted"
        sign = holding.legs.opens(Kind.PERP).sign
        aim = self._aim(perp, holding, now_ns)
        hours = (now_ns - holding.opened_ns) / HOUR
        cost = taking(pair, perp, float(holding.quantity)) or Taking(0.0, 0.0)
        hourly = -sign * (perp.predicted.per_hour if perp.predicted is not None else 0.0)
        verdict = Verdict(
            pair,
            Action.HOLD,
            f"on_the_way: to {aim:.6g}, {hours:.0f} h of {self._hours_max:g}",
            holding.notional,
            hourly=hourly,
            horizon_hours=self._hours_max,
            cost=cost.selling if sign > 0 else cost.buying,
        )
        if (perp.mid - aim) * sign >= 0.0:
            reason, cause = f"target: mid {perp.mid:.6g} at {aim:.6g}", ExitCause.TARGET
        elif hours >= self._hours_max:
            reason = f"expired: {hours:.0f} h held, at most {self._hours_max:g}"
            cause = ExitCause.THESIS_CHANGED
        else:
            return verdict
        return msgspec.structs.replace(
            verdict, action=Action.EXIT, reason=reason, cause=cause, notional=ZERO
        )


def _tick(pair: Pair, price: float, legs: Legs) -> Decimal:
    """A valid price: a stop is never farther from the entry than asked, a target never nearer."""
    return pair.perp.round_price(decimal_of(price), up=legs.opens(Kind.PERP) is Side.BUY)
