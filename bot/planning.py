"""From a strategy's wish to a plan that passed the risk gate, and from a mark to a margin action.

Pure: reads the desk, changes nothing.
"""

import math
from collections.abc import Iterator
from decimal import ROUND_CEILING, Decimal

import msgspec

from domain.account import AccountReport, PositionReport
from domain.instruments import Instrument, Kind, Pair
from domain.money import ONE, ZERO, decimal_of
from domain.orders import Side
from domain.targets import ExitCause, Legs, Tactic, Target
from domain.time import DAY, HOUR, SECOND
from execution.facts import Extremes, Stage, TradePlanned
from execution.pairs import ExecutionPolicy, PairTrade, lead_remaining
from execution.risk.calendar import Event, ahead, is_weekend
from execution.risk.caution import (
    Stake,
    as_distance,
    cautious,
    wanted_distance,
    wider,
)
from execution.risk.clusters import forced_within, hourly_volume, levels
from execution.risk.depeg import quote_dislocation
from execution.risk.depth import depth_within
from execution.risk.gate import Approved, Exposure, GateContext, pass_gate, propose
from execution.risk.guard import (
    NOTHING,
    Close,
    GuardAction,
    MarginPolicy,
    PositionView,
    guard_margin,
    policy_for,
    trigger_price,
)
from execution.risk.halts import Readings, size_factor
from execution.risk.limits import RiskLimits
from execution.risk.margin import (
    effective_leverage,
    equity_at,
    leverage_at_distance,
    maintenance_rate,
    margin_down,
    max_leverage,
    stressed_margin,
    survived_gap,
)
from execution.state import State
from strategies.market.reach import unlikely_move
from strategies.market.state import InstrumentState, Market

_BASIS_POINT = Decimal("0.0001")
_NEAR_TARGET = Decimal("1.02")
_FREED = ("free_collateral", "stress", "asset_exposure", "venue_exposure", "total_exposure")
"""Refusals that a trade which is closed may take away."""
_DUST_ORDERS = 4
"""Dust is less than one smallest order when it is left; its price may have grown since."""


class Desk(msgspec.Struct, frozen=True):
    """Everything a judgement looks at, at one moment. ``marks`` value all that is held."""

    state: State
    market: Market
    account: AccountReport
    marks: dict[str, Decimal]
    equity: Decimal
    limits: RiskLimits
    execution: ExecutionPolicy
    reconciled_ns: int | None
    orders_last_minute: int
    clock_skew_seconds: float
    now_ns: int
    events: tuple[Event, ...] = ()


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
    if how.legs.is_alone and _is_reached(how.legs, how.stop_price, mark):
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
    most = max(int(desk.limits.leverage_cap / _NEAR_TARGET), 1)
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


def inventory(state: State, pair: Pair) -> Decimal:
    """Spot in the account that is of no trade: what its owner holds anyway, base units."""
    return max(state.books.quantity(None, pair.spot.id), ZERO)


def _leverage_alone(limits: RiskLimits, pair: Pair, target: Target, mark: Decimal) -> int:
    """The most whole leverage at which liquidation is far enough beyond the stop (SPEC R8, R12)."""
    how = target.tactic
    side = how.legs.opens(Kind.PERP)
    beyond = how.stop_price * (1 - side.sign * limits.liquidation_buffer)
    most = min(
        how.leverage or limits.leverage_target,
        limits.leverage_cap / _NEAR_TARGET,  # what the price moves until it is filled
        leverage_at_distance(
            side,
            maintenance_rate(target.notional, pair.perp.margin_tiers),
            max(abs(mark - beyond) / mark, limits.liquidation_distance_min),
        ),
    )
    return max(int(most), 1)


def _is_reached(legs: Legs, stop: Decimal, mark: Decimal) -> bool:
    """Whether the mark is at the stop of a perp alone, or beyond it."""
    return (mark - stop) * legs.opens(Kind.PERP).sign <= ZERO


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
        invalidation=(
            f"mark at {how.stop_price}, or a tripped limit"
            if how.legs.is_alone
            else "forecast below the exit band, basis stop, margin guard or a tripped limit"
        ),
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
    )


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


def is_dust(leg: Instrument, quantity: Decimal, price: Decimal) -> bool:
    """Whether a signed quantity is what a trade leaves behind, and not somebody's position."""
    return abs(quantity) * price < _DUST_ORDERS * leg.minimum_notional


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
    bound = float(desk.execution.slippage_bps_max * _BASIS_POINT)
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


def exposure_of(desk: Desk, trade: PairTrade) -> Decimal:
    """Notional of one trade at mark, quote: what it holds or still means to hold."""
    pair = desk.state.pairs[trade.plan.pair]
    spot, perp = desk.state.along(trade)
    mark = desk.marks.get(pair.perp.id)
    held = max(trade.quantity, spot, perp)
    return held * mark if mark is not None else trade.plan.notional


def is_opening(trade: PairTrade) -> bool:
    """Whether it may still take collateral."""
    return trade.stage in (Stage.PREPARING, Stage.WORKING)


def promised(desk: Desk) -> Decimal:
    """Collateral that trades still being opened will take, quote: not free for another."""
    taken = ZERO
    for trade_id in desk.state.open_trades.values():
        trade = desk.state.trades[trade_id]
        spot, perp = desk.state.along(trade)
        if trade.legs is Legs.REVERSE:  # what buys the spot back
            taken += max(spot, ZERO) * desk.marks[desk.state.pairs[trade.plan.pair].spot.id]
        if not is_opening(trade):
            continue
        price = trade.notional_of(ONE)
        to_buy = max(trade.quantity - spot, ZERO) * price if trade.legs is Legs.CARRY else ZERO
        to_margin = max(trade.quantity - perp, ZERO) * price / trade.plan.leverage
        taken += to_buy + to_margin
    return taken


def _stressed(desk: Desk, pair: Pair, legs: Legs, notional: Decimal) -> Decimal:
    """Margin (quote) with which a perp of ``notional`` lives through the stress of the limits."""
    limits = desk.limits
    move = unlikely_move(
        _volatility(desk, pair) or 0.0, limits.stress_hours, limits.guard_reach_probability_max
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


# --- margin ------------------------------------------------------------------------------------


def margin_action(desk: Desk, trade: PairTrade) -> GuardAction:
    """What the margin guard wants done about this trade's perp now.

    A perp alone is never topped up: its price stop comes long before liquidation.
    """
    view = _position_view(desk, trade)
    if view is None:
        return NOTHING
    if trade.legs.is_alone:
        stop = trade.plan.stop_price
        reached = _is_reached(trade.legs, stop, view.mark)
        return Close(f"mark {view.mark}, stop {stop}") if reached else NOTHING
    pair = desk.state.pairs[trade.plan.pair]
    free = desk.account.free_margin(pair.perp.quote)
    notional = abs(view.quantity) * view.mark
    usual = margin_policy(desk, pair, trade.legs, notional)
    caution = wanted_distance(
        desk.limits,
        _volatility(desk, pair),
        ahead(desk.events, desk.now_ns),
        weekend=is_weekend(desk.now_ns),
    )
    careful = wider(desk.limits, caution) if caution is not None else None
    if caution is None or careful is None:
        return guard_margin(view, free, usual)
    tight = margin_policy(desk, pair, trade.legs, notional, careful)
    # What buys spot back, or opens another trade, is no spare collateral: only the usual guard
    # is urgent enough to take it.
    spoken_for = min(promised(desk), max(free - tight.reserve, ZERO))
    tight = msgspec.structs.replace(tight, reserve=tight.reserve + spoken_for)
    return cautious(view, free, usual, tight, caution, _stake(pair, view, tight))


def _volatility(desk: Desk, pair: Pair) -> float | None:
    """Of the livelier leg; None while that of the perp is not known."""
    spot, perp = desk.market.of(pair.spot.id), desk.market.of(pair.perp.id)
    if perp is None or perp.volatility is None:
        return None
    return max(perp.volatility, (spot.volatility or 0.0) if spot is not None else 0.0)


def _stake(pair: Pair, view: PositionView, tight: MarginPolicy) -> Stake:
    """What selling costs and what being liquidated does: both of the notional now."""
    tiers, notional = pair.perp.margin_tiers, abs(view.quantity) * view.mark
    maintenance = maintenance_rate(notional, tiers)
    way_out = tight.spot_cost + tight.perp_cost
    after = notional / tight.leverage_target - view.quantity * view.mark
    gap = survived_gap(view.quantity, view.raw_margin, view.mark, tiers)
    return Stake(
        as_distance(gap),
        as_distance(survived_gap(view.quantity, after, view.mark, tiers)),
        float(maintenance + way_out),
        float(2 * way_out),
    )


def missing_margin(desk: Desk, trade: PairTrade) -> Decimal | None:
    """Margin (quote) that takes the perp nearer to the leverage target, as far as there is any.

    None where it is within two percent of it, and of a perp alone, which is not topped up.
    """
    view = _position_view(desk, trade)
    if view is None or trade.legs.is_alone:
        return None
    pair = desk.state.pairs[trade.plan.pair]
    notional = abs(view.quantity) * view.mark
    policy = margin_policy(desk, pair, trade.legs, notional)
    margin = equity_at(view.quantity, view.raw_margin, view.mark)
    if effective_leverage(notional, margin) <= policy.leverage_target * _NEAR_TARGET:
        return None
    room = desk.account.free_margin(pair.perp.quote) - policy.reserve
    return margin_down(max(min(notional / policy.leverage_target - margin, room), ZERO))


def margin_trigger(desk: Desk, trade: PairTrade) -> float | None:
    """The mark from which on ``margin_action`` has to be asked, or None without a position.

    For a short that is at this mark and above, for a long at it and below.
    """
    view = _position_view(desk, trade)
    if view is None:
        return None
    if trade.legs.is_alone:
        return float(trade.plan.stop_price)
    pair, notional = desk.state.pairs[trade.plan.pair], abs(view.quantity) * view.mark
    return trigger_price(view, margin_policy(desk, pair, trade.legs, notional))


def margin_policy(
    desk: Desk, pair: Pair, legs: Legs, notional: Decimal, limits: RiskLimits | None = None
) -> MarginPolicy:
    """Of the desk's limits, or of stricter ones."""
    slippage = desk.execution.slippage_bps_max * _BASIS_POINT
    return policy_for(
        limits if limits is not None else desk.limits,
        legs.opens(Kind.PERP),
        notional,
        pair.perp.margin_tiers,
        equity=desk.equity,
        spot_cost=pair.spot.fees.taker + slippage,
        perp_cost=pair.perp.fees.taker + slippage,
        proceeds_reach_margin=desk.account.margin_free is None,
        volatility_hourly=_volatility(desk, pair) or 0.0,
    )


def _position_view(desk: Desk, trade: PairTrade) -> PositionView | None:
    pair = desk.state.pairs[trade.plan.pair]
    position = desk.account.position(pair.perp.id)
    spot, perp = desk.market.of(pair.spot.id), desk.market.of(pair.perp.id)
    if position is None or position.quantity == ZERO:
        return None
    # After a start the account may be heard of first, and is to be guarded from then on.
    mark = decimal_of(perp.mark) if perp is not None and perp.mark is not None else position.mark
    bid = decimal_of(spot.bid) if spot is not None and spot.bid is not None else mark
    return PositionView(
        quantity=position.quantity,
        raw_margin=position.raw_margin,
        mark=mark,
        spot_quantity=desk.state.books.quantity(trade.trade_id, pair.spot.id),
        spot_price=bid,
        lot=pair.lot,
        minimum_notional=max(pair.spot.minimum_notional, pair.perp.minimum_notional),
    )


def worse(extremes: Extremes, state: State, position: PositionReport, mark: float) -> Extremes:
    """The extremes, with what this position was at ``mark``."""
    pair = state.pair_of.get(position.instrument)
    price = decimal_of(mark)
    margin = position.raw_margin + position.quantity * price
    if pair is None or margin <= ZERO:
        return extremes
    leverage = effective_leverage(abs(position.quantity) * price, margin)
    gap = survived_gap(position.quantity, position.raw_margin, price, pair.perp.margin_tiers)
    distance = extremes.liquidation_distance
    if gap.is_finite():
        distance = min(float(gap), distance if distance is not None else float(gap))
    return Extremes(extremes.effective_leverage, max(extremes.leverage_held, leverage), distance)


# --- limits ------------------------------------------------------------------------------------


def readings(desk: Desk) -> Readings:
    """What the loss and condition limits are compared with."""
    state, now_ns = desk.state, desk.now_ns
    trades = [state.trades[i] for i in state.open_trades.values()]
    ages = [_age(desk, trade) for trade in trades]
    naked = [(now_ns - t.naked_ns) / SECOND for t in trades if t.naked_ns is not None]
    day_start = state.day_start
    return Readings(
        equity=desk.equity,
        equity_peak=max(state.equity_peak, ZERO),
        equity_day_start=day_start.equity if day_start is not None else state.equity_peak,
        loss_streak=state.loss_streak,
        data_age_seconds=max(ages, default=0.0),
        clock_skew_seconds=desk.clock_skew_seconds,
        orders_last_minute=desk.orders_last_minute,
        notional_last_hour=sum((n for t, n in state.sent if t > now_ns - HOUR), ZERO),
        delta_seconds=max(naked, default=0.0),
    )


def _age(desk: Desk, trade: PairTrade) -> float:
    """Age of the older leg's quote, seconds; infinite where there is none."""
    pair = desk.state.pairs[trade.plan.pair]
    markets = (desk.market.of(pair.spot.id), desk.market.of(pair.perp.id))
    return max(
        (desk.now_ns - m.received_ns) / SECOND if m is not None else math.inf for m in markets
    )
