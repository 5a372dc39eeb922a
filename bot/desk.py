"""What every judgement of the engine looks at, at one moment, and what is read off it.

Pure: reads the desk, changes nothing.
"""

import math
from decimal import Decimal

import msgspec

from bot.valuation import owners_profit
from domain.account import AccountReport
from domain.instruments import Instrument, Pair
from domain.money import ONE, ZERO
from domain.targets import Legs
from domain.time import HOUR, SECOND
from execution.facts import Stage
from execution.pairs import ExecutionPolicy, PairTrade
from execution.risk.calendar import Event
from execution.risk.halts import Readings
from execution.risk.limits import RiskLimits
from execution.state import State
from strategies.market.state import Market

BASIS_POINT = Decimal("0.0001")
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


def inventory(state: State, pair: Pair) -> Decimal:
    """Spot in the account that is of no trade: what its owner holds anyway, base units."""
    return max(state.books.quantity(None, pair.spot.id), ZERO)


def is_dust(leg: Instrument, quantity: Decimal, price: Decimal) -> bool:
    """Whether a signed quantity is what a trade leaves behind, and not somebody's position."""
    return abs(quantity) * price < _DUST_ORDERS * leg.minimum_notional


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


def volatility(desk: Desk, pair: Pair) -> float | None:
    """Of the livelier leg; None while that of the perp is not known."""
    spot, perp = desk.market.of(pair.spot.id), desk.market.of(pair.perp.id)
    if perp is None or perp.volatility is None:
        return None
    return max(perp.volatility, (spot.volatility or 0.0) if spot is not None else 0.0)


def readings(desk: Desk) -> Readings:
    """What the loss and condition limits are compared with."""
    state, now_ns = desk.state, desk.now_ns
    trades = [state.trades[i] for i in state.open_trades.values()]
    ages = [_age(desk, trade) for trade in trades]
    naked = [(now_ns - t.naked_ns) / SECOND for t in trades if t.naked_ns is not None]
    day_start = state.day_start
    before = state.equity_peak if day_start is None else day_start.equity - day_start.owners
    # Both at the prices of now: what the owner's coins have gained or lost is no one's loss.
    owners = owners_profit(state, desk.marks)
    return Readings(
        equity=desk.equity,
        equity_peak=max(state.equity_peak + owners, ZERO),
        equity_day_start=before + owners,
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
