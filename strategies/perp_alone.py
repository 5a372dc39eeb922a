"""A perp held alone on a signal: sized from what its stop loses, built and left in parts.

A strategy is a function from a perp's market to a ``Signal``, or to the reason why there is
none. The stop is the engine's, at every mark; what ends a trade here is its target or its time,
and what moves its stop is a target or the price that the rest trails. Reasons:

- WAIT: ``not_warm``, ``stale_data``, ``thin_depth``, ``stop_too_far``, ``reward_too_small``,
  ``below_minimum``, and the signal's own
- ENTER: the signal's own
- ADD: ``confirmed``, ``strongly_confirmed``, ``pullback``
- HOLD: ``on_the_way``, ``trailing``, ``stale_data``
- REDUCE: ``first_target``, ``second_target``
- EXIT: ``target``, ``expired``
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_DOWN, Decimal
from typing import NamedTuple

import msgspec

from domain.instruments import Kind, Pair
from domain.money import ONE, ZERO, decimal_of
from domain.orders import Side
from domain.targets import Action, ExitCause, Legs, Tactic, Target
from domain.time import HOUR, SECOND
from strategies.carry.policy import CarryPolicy
from strategies.market.state import InstrumentState, Market
from strategies.scaling import Part, ScalingPolicy, is_trailing, part_in, part_out
from strategies.sizing import CENT, Preset, notional_for_loss
from strategies.strategy import Holding
from strategies.verdicts import Taking, Verdict, percent, stale, taking

REWARD_LEAST = 1.0
"""The way to the target, after costs, is at least so many times what is lost at the stop."""
_LEAST_ORDERS = Decimal("1.05")
"""A part is sold where it is worth more than so many of the venue's smallest orders."""


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
    """The strategy around a signal. ``shared`` is the carry's freshness and stress,
    ``exposure_max`` the most that the account lets a trade hold, of equity."""

    def __init__(
        self,
        look: Look,
        preset: Preset,
        hours_max: float,
        shared: CarryPolicy,
        pairs: Sequence[Pair],
        *,
        risk_per_trade: Decimal,
        exposure_max: Decimal,
        scaling: ScalingPolicy,
        aim: Aim = planned,
    ) -> None:
        self._look, self._aim, self._preset, self._hours_max = look, aim, preset, hours_max
        self._pairs = tuple(pairs)
        self._risk = min(risk_per_trade, preset.risk[1])
        self._exposure_max, self._scaling = exposure_max, scaling
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
            return self._stay(pair, perp, holding, equity, now_ns)
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
        full = min(
            notional_for_loss(equity, self._risk, loss) * signal.share, equity * self._exposure_max
        )
        return msgspec.structs.replace(
            wait(
                f"{signal.reason}; target {signal.target:.6g} ({percent(reward)}), "
                f"stop {signal.stop:.6g} ({percent(risk)})"
            ),
            action=Action.ENTER,
            notional=_cents(full * decimal_of(self._scaling.first_in)),
            loss_fraction=loss,
            how=Tactic(
                signal.legs,
                stop_price=_tick(pair, signal.stop, signal.legs),
                target_price=_tick(pair, signal.target, signal.legs),
                leverage=min(signal.leverage, self._preset.leverage[1]),
            ),
        )

    def _stay(
        self,
        pair: Pair,
        perp: InstrumentState,
        holding: Holding,
        equity: Decimal,
        now_ns: int,
    ) -> Verdict:
        way = _way(perp, holding, self._aim(perp, holding, now_ns))
        hours = (now_ns - holding.opened_ns) / HOUR
        cost = taking(pair, perp, float(holding.quantity)) or Taking(0.0, 0.0)
        hourly = -way.sign * (perp.predicted.per_hour if perp.predicted is not None else 0.0)
        verdict = Verdict(
            pair,
            Action.HOLD,
            f"on_the_way: to {way.goal:.6g}, {hours:.0f} h of {self._hours_max:g}",
            holding.notional,
            hourly=hourly,
            horizon_hours=self._hours_max,
            cost=cost.selling if way.sign > 0 else cost.buying,
        )

        def leave(reason: str, cause: ExitCause) -> Verdict:
            return msgspec.structs.replace(
                verdict, action=Action.EXIT, reason=reason, cause=cause, notional=ZERO
            )

        if hours >= self._hours_max:
            reason = f"expired: {hours:.0f} h held, at most {self._hours_max:g}"
            return leave(reason, ExitCause.THESIS_CHANGED)
        out = part_out(self._scaling, way.made, holding.targets_met)
        kept = ZERO if out is None else _cents(holding.notional * decimal_of(out.share))
        too_small = holding.notional - kept < _LEAST_ORDERS * pair.perp.minimum_notional
        if way.made >= 1.0 and out is not None and (kept == ZERO or too_small or way.is_over):
            return leave(f"target: mid {way.mid:.6g} at {way.goal:.6g}", ExitCause.TARGET)
        if out is not None and not too_small:
            return self._part(verdict, holding, way, out, kept, cost)
        if is_trailing(self._scaling, holding.targets_met):
            return self._trail(verdict, perp, holding, way)
        more = part_in(self._scaling, way.made, holding.tranches)
        if more is None or holding.targets_met or way.is_over:
            return verdict
        return self._more(verdict, holding, way, more, equity, cost)

    def _part(
        self,
        verdict: Verdict,
        holding: Holding,
        way: "_Way",
        out: Part,
        kept: Decimal,
        cost: Taking,
    ) -> Verdict:
        """Sell a part at a target; the first one moves the stop to where nothing is lost."""
        even = way.entry * (1.0 + way.sign * cost.both)
        moves = self._scaling.break_even and (way.mid - even) * way.sign > 0.0
        return msgspec.structs.replace(
            verdict,
            action=Action.REDUCE,
            reason=f"{out.word}: mid {way.mid:.6g}, {percent(way.made)} of the way to "
            f"{way.goal:.6g}; {percent(out.share)} stays"
            + (f", stop to {even:.6g}" if moves else ""),
            notional=kept,
            cause=ExitCause.TARGET,
            how=_stop(verdict.pair, holding, even) if moves else None,
        )

    def _trail(
        self, verdict: Verdict, perp: InstrumentState, holding: Holding, way: "_Way"
    ) -> Verdict:
        """The rest: its stop follows the best hourly close, as far behind as the setting says."""
        since = holding.opened_ns // HOUR
        best = max((p * way.sign for hour, p in perp.closes if hour >= since), default=0.0)
        behind = self._scaling.trail * abs(float(holding.target_price) - way.entry)
        stop = best * way.sign - behind * way.sign
        if not best or (way.mid - stop) * way.sign <= 0.0:
            stop = float(holding.stop_price)
        return msgspec.structs.replace(
            verdict,
            reason=f"trailing: stop {stop:.6g}, {behind:.6g} behind the best close",
            how=_stop(verdict.pair, holding, stop),
        )

    def _more(
        self,
        verdict: Verdict,
        holding: Holding,
        way: "_Way",
        more: Part,
        equity: Decimal,
        cost: Taking,
    ) -> Verdict:
        """Buy a part, where the whole then still wins more at its target than it loses at its
        stop, and loses no more there than is risked on a trade."""
        stop = float(holding.stop_price)
        risk = (way.mid - stop) * way.sign / way.mid
        lost = (way.entry - stop) * way.sign / way.entry
        costs = self._stress * decimal_of(cost.both)
        if not 0.0 < risk <= float(self._preset.stop[1]) or equity <= ZERO:
            return verdict
        losing = holding.notional * max(decimal_of(lost) + costs, ZERO)
        most = (equity * self._risk - losing) / (decimal_of(risk) + costs)
        room = equity * self._exposure_max - holding.notional
        added = _cents(min(holding.notional * decimal_of(more.share), most, room))
        if added <= ZERO:
            return verdict
        quantity = float(holding.notional) / way.entry + float(added) / way.mid
        entry = float(holding.notional + added) / quantity
        wins, loses = (way.goal - entry) * way.sign / entry, (entry - stop) * way.sign / entry
        if wins - cost.both < REWARD_LEAST * (loses + cost.both):
            return verdict
        whole = holding.notional + added
        return msgspec.structs.replace(
            verdict,
            action=Action.ADD,
            reason=f"{more.word}: mid {way.mid:.6g}, {percent(way.made)} of the way to "
            f"{way.goal:.6g}; entry becomes {entry:.6g}",
            notional=whole,
            loss_fraction=(losing + added * (decimal_of(risk) + costs)) / whole,
            cost=cost.both,
        )


class _Way(NamedTuple):
    """From the average entry price to the goal (quote/base); ``made`` is the share that is
    behind, at least 1 where the goal is reached."""

    sign: int
    mid: float
    entry: float
    goal: float

    @property
    def is_over(self) -> bool:
        """Whether the goal has come to the entry price, or beyond it: nothing is left to win."""
        return (self.goal - self.entry) * self.sign <= 0.0

    @property
    def made(self) -> float:
        if self.is_over:
            return 1.0 if (self.mid - self.goal) * self.sign >= 0.0 else 0.0
        return (self.mid - self.entry) / (self.goal - self.entry)


def _way(perp: InstrumentState, holding: Holding, goal: float) -> _Way:
    assert perp.mid is not None, "Invariant: a fresh perp is quoted"
    entry = holding.entry_price or holding.notional / holding.quantity
    return _Way(holding.legs.opens(Kind.PERP).sign, perp.mid, float(entry), goal)


def _stop(pair: Pair, holding: Holding, price: float) -> Tactic:
    return Tactic(holding.legs, stop_price=_tick(pair, price, holding.legs))


def _cents(notional: Decimal) -> Decimal:
    return notional.quantize(CENT, ROUND_DOWN)


def _tick(pair: Pair, price: float, legs: Legs) -> Decimal:
    """A valid price: a stop is never farther from the entry than asked, a target never nearer."""
    return pair.perp.round_price(decimal_of(price), up=legs.opens(Kind.PERP) is Side.BUY)
