"""From a mark to what is done about a perp's margin.

Pure: reads the desk, changes nothing.
"""

from decimal import Decimal

import msgspec

from bot.desk import BASIS_POINT, Desk, promised, volatility
from domain.account import PositionReport
from domain.instruments import Kind, Pair
from domain.money import ZERO, decimal_of
from domain.targets import Legs
from execution.facts import Extremes
from execution.pairs import PairTrade
from execution.risk.calendar import ahead, is_weekend
from execution.risk.caution import (
    Stake,
    as_distance,
    cautious,
    wanted_distance,
    wider,
)
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
from execution.risk.limits import RiskLimits
from execution.risk.margin import (
    effective_leverage,
    equity_at,
    maintenance_rate,
    margin_down,
    survived_gap,
)
from execution.state import State

NEAR_TARGET = Decimal("1.02")
"""Effective leverage up to so many times its target is as wanted."""


def margin_action(desk: Desk, trade: PairTrade) -> GuardAction:
    """What the margin guard wants done about this trade's perp now.

    A perp alone is never topped up: its price stop comes long before liquidation.
    """
    view = _position_view(desk, trade)
    if view is None:
        return NOTHING
    if trade.legs.is_alone:
        stop = trade.plan.stop_price
        reached = is_reached(trade.legs, stop, view.mark)
        return Close(f"mark {view.mark}, stop {stop}") if reached else NOTHING
    pair = desk.state.pairs[trade.plan.pair]
    free = desk.account.free_margin(pair.perp.quote)
    notional = abs(view.quantity) * view.mark
    usual = margin_policy(desk, pair, trade.legs, notional)
    caution = wanted_distance(
        desk.limits,
        volatility(desk, pair),
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
    if effective_leverage(notional, margin) <= policy.leverage_target * NEAR_TARGET:
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
    slippage = desk.execution.slippage_bps_max * BASIS_POINT
    return policy_for(
        limits if limits is not None else desk.limits,
        legs.opens(Kind.PERP),
        notional,
        pair.perp.margin_tiers,
        equity=desk.equity,
        spot_cost=pair.spot.fees.taker + slippage,
        perp_cost=pair.perp.fees.taker + slippage,
        proceeds_reach_margin=desk.account.margin_free is None,
        volatility_hourly=volatility(desk, pair) or 0.0,
    )


def is_reached(legs: Legs, stop: Decimal, mark: Decimal) -> bool:
    """Whether the mark is at the stop of a perp alone, or beyond it."""
    return (mark - stop) * legs.opens(Kind.PERP).sign <= ZERO


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
    """The extremes, with what this position was at ``mark``.

    Beyond its margin a position has no leverage, and no distance to liquidation either: zero.
    """
    pair = state.pair_of.get(position.instrument)
    price = decimal_of(mark)
    margin = position.raw_margin + position.quantity * price
    if pair is None:
        return extremes
    notional = abs(position.quantity) * price
    leverage = effective_leverage(notional, margin) if margin > ZERO else ZERO
    gap = survived_gap(position.quantity, position.raw_margin, price, pair.perp.margin_tiers)
    distance = extremes.liquidation_distance
    if gap.is_finite():
        distance = min(float(gap), distance if distance is not None else float(gap))
    return Extremes(extremes.effective_leverage, max(extremes.leverage_held, leverage), distance)
