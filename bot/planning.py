"""From a strategy's wish to a plan that passed the risk gate, and from a mark to a margin action.

Pure: reads the desk, changes nothing.
"""

import math
from decimal import ROUND_CEILING, Decimal

import msgspec

from domain.account import AccountReport, PositionReport
from domain.instruments import Instrument, Pair
from domain.money import ZERO, decimal_of
from domain.orders import Side
from domain.targets import ExitCause, Target
from domain.time import DAY, HOUR, SECOND
from execution.facts import Extremes, Stage, TradePlanned
from execution.pairs import ExecutionPolicy, PairTrade
from execution.risk.gate import Approved, Exposure, GateContext, pass_gate, propose
from execution.risk.guard import (
    NOTHING,
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


def plan_entry(desk: Desk, target: Target, trade_id: str) -> TradePlanned | tuple[str, ...]:
    """The pre-trade checklist of an entry that passed every check, or why it did not."""
    pair = desk.state.pairs[target.pair]
    spot, perp = desk.market.of(pair.spot.id), desk.market.of(pair.perp.id)
    if reason := _not_now(desk, pair):
        return (reason,)
    if spot is None or perp is None or spot.ask is None or perp.mark is None:
        return ("no_market: a leg of the pair has no quote",)
    mark, price = decimal_of(perp.mark), decimal_of(spot.ask)
    quantity = pair.floor_quantity(target.notional / max(mark, price))
    if quantity == ZERO:
        return (f"minimum_quantity: {target.notional} buys less than one lot of {pair.lot}",)
    highest = max_leverage(target.notional, pair.perp.margin_tiers)
    wanted = margin_policy(desk, pair, target.notional).leverage_target
    leverage = min(int(wanted.to_integral_value(ROUND_CEILING)), highest)
    proposal = propose(
        pair,
        quantity,
        mark=mark,
        spot_price=price,
        amount_at_risk=target.amount_at_risk,
        leverage=Decimal(leverage),
        leverage_cap=desk.limits.leverage_cap,
        stressed_margin=max(_stressed(desk, pair, quantity * mark), quantity * mark / wanted),
    )
    verdict = pass_gate(proposal, _gate_context(desk, pair, spot, perp), desk.limits)
    if not isinstance(verdict, Approved):
        return tuple(map(str, verdict))
    left = verdict.proposal.quantity
    if "stress" in verdict.clipped_by and 2 * left < quantity:
        # A fragment would block the pair for as long as it is held.
        return (f"stress: only {left} of {quantity} would live through it",)
    return _checklist(desk, target, trade_id, pair, verdict, leverage)


def _checklist(
    desk: Desk, target: Target, trade_id: str, pair: Pair, verdict: Approved, leverage: int
) -> TradePlanned:
    p = verdict.proposal
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
        invalidation=("forecast below the exit band, basis stop, margin guard or a tripped limit"),
        objective=f"funding over {target.horizon_hours:g} h; costs repaid in {break_even:.0f} h",
        amount_at_risk=p.amount_at_risk,
        liquidation_price=p.liquidation_price if p.liquidation_price is not None else ZERO,
        stop_price=p.stop_price if p.stop_price is not None else ZERO,
        funding_hourly=funding,
        forecast_hourly=target.forecast_hourly,
        cost=target.cost,
        clipped_by=verdict.clipped_by,
        time_ns=desk.now_ns,
    )


def _not_now(desk: Desk, pair: Pair) -> str | None:
    """Reasons that have nothing to do with size or price."""
    if desk.state.paused:
        return "paused: by the operator"
    last_id = desk.state.last_trade.get(pair.name)
    closed_ns = desk.state.trades[last_id].closed_ns if last_id is not None else None
    foreign = desk.state.books.quantity(None, pair.perp.id)
    if foreign and not is_dust(pair.perp, foreign, desk.marks[pair.perp.id]):
        # One account has one position on a perp: ours could not be closed on its own.
        return f"foreign_position: {foreign} {pair.perp.symbol} are nobody's trade"
    opens = sum(1 for t in desk.state.opens.get(pair.name, ()) if t > desk.now_ns - DAY)
    if opens >= desk.limits.opens_per_day_max:
        return f"opened_often: {opens} times in 24 h, limit {desk.limits.opens_per_day_max}"
    pause = desk.execution.reopen_seconds
    if closed_ns is not None:
        elapsed = (desk.now_ns - closed_ns) / SECOND
        if elapsed < pause:
            return f"closed_recently: {elapsed:.0f} s ago, pause {pause:g} s"
    for trade in map(desk.state.trades.__getitem__, desk.state.last_trade.values()):
        elapsed = (desk.now_ns - trade.worked_ns) / SECOND
        if trade.cause is ExitCause.LEG_LOST and elapsed < pause:  # what hit one may hit all
            return f"leg_lost: on {trade.plan.pair} {elapsed:.0f} s ago, pause {pause:g} s"
    return None


def is_dust(leg: Instrument, quantity: Decimal, price: Decimal) -> bool:
    """Whether a signed quantity is what a trade leaves behind, and not somebody's position."""
    return abs(quantity) * price < _DUST_ORDERS * leg.minimum_notional


def _gate_context(
    desk: Desk, pair: Pair, spot: InstrumentState, perp: InstrumentState
) -> GateContext:
    now_ns, state = desk.now_ns, desk.state
    exposures = {name: exposure_of(desk, state.trades[i]) for name, i in state.open_trades.items()}
    total = sum(exposures.values(), ZERO)
    reconciled_age = (
        (now_ns - desk.reconciled_ns) / SECOND if desk.reconciled_ns is not None else math.inf
    )
    reconciled = state.reconciled
    legs = (spot, perp)
    known = all(m.spread is not None and m.mid for m in legs)
    spread = max((m.spread or 0.0) / (m.mid or 1.0) for m in legs) if known else math.inf
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
        volatility_hourly=max(math.inf if m.volatility is None else m.volatility for m in legs),
        dislocation=spot.mid / perp.oracle - 1 if spot.mid and perp.oracle else math.inf,
        active_limits=state.limits.names,
        size_factor=size_factor(state.loss_streak, desk.limits),
        stress_taken=_stress_taken(desk),
    )


def _heard(spot: InstrumentState, perp: InstrumentState) -> tuple[int, int]:
    """When each leg was last heard of; a perp's mark is as needed as its book."""
    return spot.received_ns, min(perp.received_ns, perp.context_received_ns)


def exposure_of(desk: Desk, trade: PairTrade) -> Decimal:
    """Notional of one trade at mark, quote: what it holds or still means to hold."""
    pair = desk.state.pairs[trade.plan.pair]
    spot, perp = desk.state.quantities(trade)
    mark = desk.marks.get(pair.perp.id)
    held = max(trade.quantity, spot, -perp)
    return held * mark if mark is not None else trade.plan.notional


def is_opening(trade: PairTrade) -> bool:
    """Whether it may still take collateral."""
    return trade.stage in (Stage.PREPARING, Stage.WORKING)


def promised(desk: Desk) -> Decimal:
    """Collateral that trades still being opened will take, quote: not free for another."""
    taken = ZERO
    for trade_id in desk.state.open_trades.values():
        trade = desk.state.trades[trade_id]
        if not is_opening(trade):
            continue
        spot, perp = desk.state.quantities(trade)
        price = trade.plan.notional / trade.plan.quantity
        to_buy = max(trade.quantity - spot, ZERO) * price
        to_margin = max(trade.quantity + perp, ZERO) * price / trade.plan.leverage
        taken += to_buy + to_margin
    return taken


def _stressed(desk: Desk, pair: Pair, notional: Decimal) -> Decimal:
    """Margin (quote) with which a perp of ``notional`` lives through the stress of the limits."""
    limits = desk.limits
    move = unlikely_move(
        _volatility(desk, pair), limits.stress_hours, limits.guard_reach_probability_max
    )
    return stressed_margin(
        notional, max(limits.stress_move, decimal_of(move)), pair.perp.margin_tiers
    )


def _stress_taken(desk: Desk) -> Decimal:
    """Free collateral (quote) that what is open already would need under stress."""
    taken = ZERO
    for trade_id in desk.state.open_trades.values():
        trade = desk.state.trades[trade_id]
        pair, notional = desk.state.pairs[trade.plan.pair], exposure_of(desk, trade)
        position = desk.account.position(pair.perp.id)
        margin = position.margin if position is not None else ZERO
        margin = max(margin, notional / trade.plan.leverage) if is_opening(trade) else margin
        taken += max(_stressed(desk, pair, notional) - margin, ZERO)
    return taken


def _volatility(desk: Desk, pair: Pair) -> float:
    """Of the perp, a fraction per square root of an hour; none known counts as none."""
    perp = desk.market.of(pair.perp.id)
    return (perp.volatility or 0.0) if perp is not None else 0.0


# --- margin ------------------------------------------------------------------------------------


def margin_action(desk: Desk, trade: PairTrade) -> GuardAction:
    """What the margin guard wants done about this trade's perp now."""
    view = _position_view(desk, trade)
    if view is None:
        return NOTHING
    pair = desk.state.pairs[trade.plan.pair]
    free = desk.account.free_margin(pair.perp.quote)
    return guard_margin(view, free, margin_policy(desk, pair, abs(view.quantity) * view.mark))


def missing_margin(desk: Desk, trade: PairTrade) -> Decimal:
    """Margin (quote) that takes the perp to the leverage target; zero within two percent of it."""
    view = _position_view(desk, trade)
    if view is None:
        return ZERO
    pair = desk.state.pairs[trade.plan.pair]
    notional = abs(view.quantity) * view.mark
    policy = margin_policy(desk, pair, notional)
    margin = equity_at(view.quantity, view.raw_margin, view.mark)
    if effective_leverage(notional, margin) <= policy.leverage_target * _NEAR_TARGET:
        return ZERO
    room = desk.account.free_margin(pair.perp.quote) - policy.reserve
    return margin_down(max(min(notional / policy.leverage_target - margin, room), ZERO))


def margin_trigger(desk: Desk, trade: PairTrade) -> float | None:
    """The mark from which on ``margin_action`` has to be asked, or None without a position."""
    view = _position_view(desk, trade)
    if view is None:
        return None
    pair = desk.state.pairs[trade.plan.pair]
    return trigger_price(view, margin_policy(desk, pair, abs(view.quantity) * view.mark))


def margin_policy(desk: Desk, pair: Pair, notional: Decimal) -> MarginPolicy:
    slippage = desk.execution.slippage_bps_max * _BASIS_POINT
    return policy_for(
        desk.limits,
        Side.SELL,
        notional,
        pair.perp.margin_tiers,
        equity=desk.equity,
        spot_cost=pair.spot.fees.taker + slippage,
        perp_cost=pair.perp.fees.taker + slippage,
        proceeds_reach_margin=desk.account.margin_free is None,
        volatility_hourly=_volatility(desk, pair),
    )


def _position_view(desk: Desk, trade: PairTrade) -> PositionView | None:
    pair = desk.state.pairs[trade.plan.pair]
    position = desk.account.position(pair.perp.id)
    spot, perp = desk.market.of(pair.spot.id), desk.market.of(pair.perp.id)
    if position is None or position.quantity == ZERO or perp is None or perp.mark is None:
        return None
    mark = decimal_of(perp.mark)
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
