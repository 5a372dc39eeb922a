"""From a strategy's wish to a plan that passed the risk gate, or to the reasons why not.

Pure: reads the desk, changes nothing.
"""

import math
from collections.abc import Iterator
from decimal import ROUND_CEILING, Decimal

import msgspec

from bot.desk import (
    BASIS_POINT,
    Desk,
    exposure_of,
    inventory,
    is_dust,
    is_opening,
    promised,
    volatility,
)
from bot.margin import NEAR_TARGET, is_reached, margin_policy
from domain.instruments import Kind, Pair
from domain.money import ONE, ZERO, decimal_of
from domain.orders import Side
from domain.targets import ExitCause, Legs, Tactic, Target
from domain.time import DAY, SECOND
from execution.facts import Stage, TradePlanned
from execution.pairs import PairTrade, lead_remaining
from execution.risk.calendar import ahead, is_weekend
from execution.risk.clusters import forced_within, hourly_volume, levels
from execution.risk.depeg import quote_dislocation
from execution.risk.depth import depth_within
from execution.risk.gate import Approved, Exposure, GateContext, pass_gate, propose
from execution.risk.halts import size_factor
from execution.risk.limits import RiskLimits
from execution.risk.margin import (
    leverage_at_distance,
    maintenance_rate,
    max_leverage,
    stressed_margin,
)
from strategies.market.reach import unlikely_move
from strategies.market.state import InstrumentState

_FREED = ("free_collateral", "stress", "asset_exposure", "venue_exposure", "total_exposure")
"""Refusals that a trade which is closed may take away."""


class Before(msgspec.Struct, frozen=True):
    """What an addition adds to; all zero for an entry. ``quantity`` base units of each leg,
    ``notional`` and ``at_risk`` quote at the plan's prices, ``perp`` as the venue reports it."""

    quantity: Decimal = ZERO
    notional: Decimal = ZERO
    at_risk: Decimal = ZERO
    perp: Decimal = ZERO
    raw_margin: Decimal = ZERO


def plan_entry(desk: Desk, target: Target, trade_id: str) -> TradePlanned | tuple[str, ...]:
    """The pre-trade checklist of an entry that passed every check, or why it did not."""
    planned = _plan(desk, target, Before())
    if not isinstance(planned, Planned):
        return planned
    return _checklist(desk, target, trade_id, planned)


def bars(desk: Desk, target: Target) -> tuple[str, ...]:
    """What would still keep an entry out once another pair had been left for it."""
    planned = _plan(desk, target, Before())
    if isinstance(planned, Planned):
        return ()
    return tuple(reason for reason in planned if reason.split(":", 1)[0] not in _FREED)


def plan_addition(desk: Desk, target: Target, trade: PairTrade) -> TradePlanned | tuple[str, ...]:
    """The checklist of the whole trade once it holds ``target.notional``, or why it may not.

    The whole is judged, as an entry is: at the margin that the venue reports of what is held,
    and with what that risks and takes already.
    """
    pair = desk.state.pairs[target.pair]
    if trade.stage is not Stage.HOLDING:
        return (f"working: it is on its way to {trade.quantity} a leg",)
    position = desk.account.position(pair.perp.id)
    seen = position.quantity if position is not None else ZERO
    if position is None or seen != desk.state.books.position(pair.perp.id):
        return (f"position: the venue reports {seen} {pair.perp.symbol}, the books differ",)
    request = desk.state.margin_requests.get(pair.perp.id)
    timeout_ns = desk.execution.order_timeout_seconds * SECOND
    if request is not None and desk.now_ns - request.time_ns < timeout_ns:
        return (f"margin: {request.amount:+} is on its way, and not in the account yet",)
    quantity = desk.state.counted(trade)
    held = Before(
        quantity,
        trade.notional_of(quantity),
        trade.plan.amount_at_risk * quantity / trade.plan.quantity,
        seen,
        position.raw_margin,
    )
    how = msgspec.structs.replace(
        target.tactic,
        legs=trade.legs,
        stop_price=kept_stop(trade, target),
        target_price=trade.plan.target_price,
    )
    planned = _plan(desk, msgspec.structs.replace(target, how=how), held, trade.plan.leverage)
    if not isinstance(planned, Planned):
        return planned
    return msgspec.structs.replace(
        _checklist(desk, target, trade.trade_id, planned),
        quantity=quantity + planned.verdict.proposal.quantity,
        notional=held.notional + planned.verdict.proposal.notional,
        amount_at_risk=held.at_risk + planned.verdict.proposal.amount_at_risk,
        thesis=trade.plan.thesis,
        invalidation=trade.plan.invalidation,
        objective=trade.plan.objective,
        clipped_by=tuple(dict.fromkeys(trade.plan.clipped_by + planned.verdict.clipped_by)),
        time_ns=trade.plan.time_ns,
        legs=trade.legs,
        target_price=trade.plan.target_price,
        basis_stop=trade.plan.basis_stop,
    )


def reduced_quantity(desk: Desk, target: Target, trade: PairTrade) -> Decimal | str:
    """What a trade keeps (base units, each leg) of which ``target.notional`` is to be held.

    Zero where no order could close what would be left later, what it wants now where that is
    no more, and a word where what is to go is too little for an order.
    """
    pair, held = desk.state.pairs[target.pair], desk.state.counted(trade)
    kept = pair.floor_quantity(held * target.notional / trade.notional_of(held))
    mark = desk.marks[pair.perp.id]
    if kept >= trade.quantity:
        return trade.quantity
    if lead_remaining(pair, ZERO, kept, mark) == ZERO:
        return ZERO
    if lead_remaining(pair, held, kept, mark) == ZERO:
        return f"minimum_notional: {held - kept} {pair.perp.base} is less than an order takes"
    return kept


def kept_stop(trade: PairTrade, target: Target) -> Decimal:
    """The stop of a perp alone from now on: the target's where the trade then loses less."""
    ours, theirs = trade.plan.stop_price, target.tactic.stop_price
    if not trade.legs.is_alone or theirs <= ZERO:
        return ours
    return max(ours, theirs) if trade.legs.opens(Kind.PERP) is Side.BUY else min(ours, theirs)


class Planned(msgspec.Struct, frozen=True):
    """What may be traded now, for which target (as it was judged) and at what leverage."""

    pair: Pair
    verdict: Approved
    how: Tactic
    leverage: int


def _plan(
    desk: Desk, target: Target, held: Before, leverage: int | None = None
) -> Planned | tuple[str, ...]:
    """``leverage`` is what the venue has been set to, where something is held."""
    pair = desk.state.pairs[target.pair]
    spot, perp = desk.market.of(pair.spot.id), desk.market.of(pair.perp.id)
    if reason := _not_now(desk, pair):
        return (reason,)
    if spot is None or perp is None or spot.ask is None or perp.mark is None:
        return ("no_market: a leg of the pair has no quote",)
    mark, price = decimal_of(perp.mark), decimal_of(spot.ask)
    how, more = target.tactic, target.notional - held.notional
    quantity = pair.floor_quantity(max(more, ZERO) / max(mark, price))
    if how.legs.uses_inventory:
        most = inventory(desk.state, pair) * how.share - held.quantity
        quantity = min(quantity, pair.floor_quantity(max(most, ZERO)))
        if quantity == ZERO:
            return (f"inventory: the account holds too little {pair.spot.base} of its own",)
    if quantity == ZERO:
        return (f"minimum_quantity: {more} buys less than one lot of {pair.lot}",)
    if how.legs.is_alone and is_reached(how.legs, how.stop_price, mark):
        return (f"stop: {how.stop_price} is already reached by the mark {mark}",)
    set_to = leverage if leverage is not None else _leverage(desk, pair, target, mark)
    highest = max_leverage(target.notional, pair.perp.margin_tiers)
    if set_to > highest:
        return (f"leverage: set to {set_to}x, the venue takes {highest}x for {target.notional}",)
    proposal = propose(
        pair,
        quantity,
        mark=mark,
        spot_price=price,
        amount_at_risk=_added_risk(target, held),
        leverage=Decimal(set_to),
        leverage_cap=desk.limits.leverage_cap,
        held_quantity=held.perp,
        held_raw_margin=held.raw_margin,
        legs=how.legs,
        stop=how.stop_price or None,
        stressed_margin=_stressed_more(desk, pair, target, held, quantity, mark),
    )
    context = msgspec.structs.replace(
        _gate_context(desk, pair, spot, perp, how.legs),
        held=held.quantity * mark,
        at_risk=held.at_risk,
    )
    verdict = pass_gate(proposal, context, desk.limits)
    if not isinstance(verdict, Approved):
        return tuple(map(str, verdict))
    left = verdict.proposal.quantity
    if "stress" in verdict.clipped_by and 2 * left < quantity and not held.quantity:
        # A fragment would block the pair for as long as it is held.
        return (f"stress: only {left} of {quantity} would live through it",)
    return Planned(pair, verdict, how, set_to)


def _leverage(desk: Desk, pair: Pair, target: Target, mark: Decimal) -> int:
    """What the venue is to be set to: the next whole number above what is wanted."""
    legs, highest = target.tactic.legs, max_leverage(target.notional, pair.perp.margin_tiers)
    if legs.is_alone:
        return min(_leverage_alone(desk.limits, pair, target, mark), highest)
    wanted = margin_policy(desk, pair, legs, target.notional).leverage_target
    # But none at which what the price moves until it is filled would take the perp beyond the cap.
    most = max(int(desk.limits.leverage_cap / NEAR_TARGET), 1)
    return min(int(wanted.to_integral_value(ROUND_CEILING)), most, highest)


def _added_risk(target: Target, held: Before) -> Decimal:
    """What is added may lose, quote: what the whole does and what is held does not, and no less
    than its part of the whole."""
    if held.notional == ZERO:
        return target.amount_at_risk
    part = 1 - min(held.notional / target.notional, ONE)
    return max(target.amount_at_risk - held.at_risk, target.amount_at_risk * part)


def _stressed_more(
    desk: Desk, pair: Pair, target: Target, held: Before, quantity: Decimal, mark: Decimal
) -> Decimal:
    """Margin (quote) that ``quantity`` more must have to live through the stress of the limits.

    No less than what it is topped up to, once it is held. None for a perp alone: its stop
    comes first.
    """
    legs, before, more = target.tactic.legs, held.quantity * mark, quantity * mark
    if legs.is_alone:
        return ZERO
    wanted = margin_policy(desk, pair, legs, target.notional).leverage_target
    stressed = _stressed(desk, pair, legs, before + more)
    if before:
        stressed -= _stressed(desk, pair, legs, before)
    return max(stressed, more / wanted)


def _leverage_alone(limits: RiskLimits, pair: Pair, target: Target, mark: Decimal) -> int:
    """The most whole leverage at which liquidation is far enough beyond the stop (SPEC R8, R12)."""
    how = target.tactic
    side = how.legs.opens(Kind.PERP)
    beyond = how.stop_price * (1 - side.sign * limits.liquidation_buffer)
    most = min(
        how.leverage or limits.leverage_target,
        limits.leverage_cap / NEAR_TARGET,  # what the price moves until it is filled
        leverage_at_distance(
            side,
            maintenance_rate(target.notional, pair.perp.margin_tiers),
            max(abs(mark - beyond) / mark, limits.liquidation_distance_min),
        ),
    )
    return max(int(most), 1)


def _checklist(desk: Desk, target: Target, trade_id: str, planned: Planned) -> TradePlanned:
    pair, verdict, how = planned.pair, planned.verdict, planned.how
    p, leverage = verdict.proposal, planned.leverage
    perp = desk.market.of(pair.perp.id)
    funding = perp.predicted.per_hour if perp is not None and perp.predicted is not None else 0.0
    break_even = target.cost / target.forecast_hourly if target.forecast_hourly > 0 else 0.0
    return TradePlanned(
        trade_id=trade_id,
        pair=pair.name,
        maker_leg=target.maker_leg,
        quantity=p.quantity,
        notional=p.notional,
        leverage=leverage,
        thesis=target.reason,
        invalidation=_invalidation(how),
        objective=(
            f"mark at {how.target_price}"
            if how.legs.is_alone
            else f"funding over {target.horizon_hours:g} h; costs repaid in {break_even:.0f} h"
        ),
        amount_at_risk=p.amount_at_risk,
        liquidation_price=p.liquidation_price if p.liquidation_price is not None else ZERO,
        stop_price=p.stop_price if p.stop_price is not None else ZERO,
        funding_hourly=funding,
        forecast_hourly=target.forecast_hourly,
        cost=target.cost,
        clipped_by=verdict.clipped_by,
        time_ns=desk.now_ns,
        legs=how.legs,
        target_price=how.target_price,
        basis_stop=how.basis_stop,
    )


def _invalidation(how: Tactic) -> str:
    if how.legs.is_alone:
        return f"mark at {how.stop_price}, or a tripped limit"
    basis = f"the basis {how.basis_stop:.2%} against it, " if how.basis_stop else ""
    return f"forecast below the exit band, {basis}margin guard or a tripped limit"


def _not_now(desk: Desk, pair: Pair) -> str | None:
    """Reasons that have nothing to do with size or price."""
    if desk.state.paused:
        return "paused: by the operator"
    foreign = desk.state.books.quantity(None, pair.perp.id)
    if foreign and not is_dust(pair.perp, foreign, desk.marks[pair.perp.id]):
        # One account has one position on a perp: ours could not be closed on its own.
        return f"foreign_position: {foreign} {pair.perp.symbol} are nobody's trade"
    if pair.name not in desk.state.open_trades and (reason := _opened_lately(desk, pair)):
        return reason
    pause = desk.execution.reopen_seconds
    for trade in map(desk.state.trades.__getitem__, desk.state.last_trade.values()):
        elapsed = (desk.now_ns - trade.worked_ns) / SECOND
        if trade.cause is ExitCause.LEG_LOST and elapsed < pause:  # what hit one may hit all
            return f"leg_lost: on {trade.plan.pair} {elapsed:.0f} s ago, pause {pause:g} s"
    return None


def _opened_lately(desk: Desk, pair: Pair) -> str | None:
    """Whether the pair was opened too often, or closed too lately, to be opened again."""
    last_id = desk.state.last_trade.get(pair.name)
    closed_ns = desk.state.trades[last_id].closed_ns if last_id is not None else None
    opens = sum(1 for t in desk.state.opens.get(pair.name, ()) if t > desk.now_ns - DAY)
    if opens >= desk.limits.opens_per_day_max:
        return f"opened_often: {opens} times in 24 h, limit {desk.limits.opens_per_day_max}"
    pause = desk.execution.reopen_seconds
    if closed_ns is not None:
        elapsed = (desk.now_ns - closed_ns) / SECOND
        if elapsed < pause:
            return f"closed_recently: {elapsed:.0f} s ago, pause {pause:g} s"
    return None


def _gate_context(
    desk: Desk, pair: Pair, spot: InstrumentState, perp: InstrumentState, legs: Legs
) -> GateContext:
    now_ns, state = desk.now_ns, desk.state
    exposures = {name: exposure_of(desk, state.trades[i]) for name, i in state.open_trades.items()}
    total = sum(exposures.values(), ZERO)
    reconciled_age = (
        (now_ns - desk.reconciled_ns) / SECOND if desk.reconciled_ns is not None else math.inf
    )
    reconciled = state.reconciled
    both = (spot, perp)
    traded = both if legs.trades_spot else (perp,)
    known = all(m.spread is not None and m.mid for m in traded)
    spread = max((m.spread or 0.0) / (m.mid or 1.0) for m in traded) if known else math.inf
    return GateContext(
        equity=desk.equity,
        free_collateral=desk.account.free(pair.perp.quote) - promised(desk),
        exposure=Exposure(
            exposures.get(pair.name, ZERO), exposures.get(pair.name, ZERO), total, total
        ),
        data_age_seconds=tuple((now_ns - heard) / SECOND for heard in _heard(spot, perp)),
        reconciled_clean=reconciled is not None and not reconciled.mismatches,
        reconciled_age_seconds=reconciled_age,
        unknown_orders=len(state.orders.unknown()),
        orders_last_minute=desk.orders_last_minute,
        clock_skew_seconds=desk.clock_skew_seconds,
        spread=spread,
        volatility_hourly=max(math.inf if m.volatility is None else m.volatility for m in both),
        dislocation=spot.mid / perp.oracle - 1 if spot.mid and perp.oracle else math.inf,
        active_limits=state.limits.names,
        size_factor=size_factor(state.loss_streak, desk.limits),
        depth=decimal_of(min(_depths(desk, traded))),
        depeg=quote_dislocation(_quoted(desk)),
        forced_hours=_forced_hours(desk, pair, perp, legs.opens(Kind.PERP).opposite),
        event=ahead(desk.events, now_ns),
        weekend=is_weekend(now_ns),
        stress_taken=_stress_taken(desk),
    )


def _depths(desk: Desk, traded: tuple[InstrumentState, ...]) -> Iterator[float]:
    """Notional (quote) within the price bound of an order, of each leg's thinner side."""
    bound = float(desk.execution.slippage_bps_max * BASIS_POINT)
    for leg in traded:
        yield depth_within(leg.bids, leg.asks, leg.mid, bound) if leg.mid else 0.0


def _quoted(desk: Desk) -> Iterator[tuple[float, float]]:
    """(spot mid, oracle) of every pair whose quotes are fresh."""
    age_ns = int(desk.limits.data_age_seconds_max * SECOND)
    for pair in desk.state.pairs.values():
        spot, perp = desk.market.of(pair.spot.id), desk.market.of(pair.perp.id)
        if spot is None or perp is None or not spot.is_fresh(desk.now_ns, age_ns):
            continue
        if spot.mid and perp.oracle and perp.has_fresh_context(desk.now_ns, age_ns):
            yield spot.mid, perp.oracle


def _forced_hours(desk: Desk, pair: Pair, perp: InstrumentState, side: Side) -> float | None:
    """Orders of ``side`` estimated to be forced near the mark, in hours of the perp's trading.

    None where open interest or volume is not known, as in a backtest, and where it is off.
    """
    distance, hourly = desk.limits.cluster_distance, hourly_volume(perp.traded)
    if distance <= 0.0 or not perp.open_interest or hourly <= 0.0 or perp.mark is None:
        return None
    found = levels(perp.traded, perp.open_interest, perp.mark, pair.perp.margin_tiers, desk.now_ns)
    return forced_within(found, perp.mark, side, distance)[0] / hourly


def _heard(spot: InstrumentState, perp: InstrumentState) -> tuple[int, int]:
    """When each leg was last heard of; a perp's mark is as needed as its book."""
    return spot.received_ns, min(perp.received_ns, perp.context_received_ns)


def _stressed(desk: Desk, pair: Pair, legs: Legs, notional: Decimal) -> Decimal:
    """Margin (quote) with which a perp of ``notional`` lives through the stress of the limits."""
    limits = desk.limits
    move = unlikely_move(
        volatility(desk, pair) or 0.0, limits.stress_hours, limits.guard_reach_probability_max
    )
    most = max(limits.stress_move, decimal_of(move))
    return stressed_margin(legs.opens(Kind.PERP), notional, most, pair.perp.margin_tiers)


def _stress_taken(desk: Desk) -> Decimal:
    """Free collateral (quote) that what is open already would need under stress."""
    taken = ZERO
    for trade_id in desk.state.open_trades.values():
        trade = desk.state.trades[trade_id]
        if trade.legs.is_alone:
            continue
        pair, notional = desk.state.pairs[trade.plan.pair], exposure_of(desk, trade)
        position = desk.account.position(pair.perp.id)
        margin = position.margin if position is not None else ZERO
        margin = max(margin, notional / trade.plan.leverage) if is_opening(trade) else margin
        taken += max(_stressed(desk, pair, trade.legs, notional) - margin, ZERO)
    return taken
