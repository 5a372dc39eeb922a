"""The engine's picture of itself, for whoever shows it. Pure; reads and changes nothing."""

from decimal import Decimal

from bot.engine import Engine
from bot.valuation import owners_profit
from domain.instruments import Kind, Pair
from domain.money import ZERO, decimal_of
from domain.targets import Legs
from domain.time import SECOND
from execution.ledger.pnl import PnL
from execution.pairs import PairTrade, naked_quantity
from execution.risk.margin import effective_leverage, liquidation_price, way_gone
from execution.snapshot import PairView, Snapshot


def snapshot(engine: Engine) -> Snapshot:
    """Everything worth showing, as of the engine's own time."""
    state = engine.state
    run = state.run
    assert run is not None, "Invariant: only a started engine is shown"
    marks = engine.marks()
    marked = state.equity
    known = engine.account is not None
    equity = state.books.equity(marks) if known else run.capital
    peak = state.equity_peak + (owners_profit(state, marks) if known else ZERO)
    views = tuple(pair_view(engine, pair, marks) for pair in state.pairs.values())
    ages = [view.data_ns for view in views if view.data_ns is not None]
    return Snapshot(
        mode=run.mode,
        venue=run.venue,
        feed=run.feed,
        synthetic=run.synthetic,
        state=_state(engine),
        seed=run.seed,
        quote=state.books.quote,
        started_ns=run.time_ns,
        time_ns=engine.now_ns,
        capital=run.capital,
        equity=equity,
        equity_peak=max(peak, equity),
        cash=marked.cash if marked is not None else run.capital,
        spot_value=marked.spot_value if marked is not None else ZERO,
        margin=marked.margin if marked is not None else ZERO,
        unrealized=marked.unrealized if marked is not None else ZERO,
        pnl=state.books.pnl_total(marks) if known else PnL(),
        pairs=views,
        limits=state.limits.names,
        orders={name: state.counts.get(name, 0) for name in ORDER_COUNTS},
        refusals=dict(state.refusals),
        unknown_orders=len(state.orders.unknown()),
        journal_events=state.facts,
        last_reconciled_ns=engine.reconciled_ns,
        last_market_ns=max(ages, default=None),
        last_funding_ns=state.funding_ns,
        mismatches=len(state.reconciled.mismatches) if state.reconciled is not None else 0,
        unknown_since_ns=min((order.changed_ns for order in state.orders.unknown()), default=None),
        naked_most=state.exposed.notional,
        naked_longest_seconds=state.exposed.seconds,
    )


ORDER_COUNTS = ("sent", "filled", "canceled", "rejected", "unknown_resolved")


def _state(engine: Engine) -> str:
    if engine.reconciled_ns is None:
        return "starting"
    if engine.state.limits.names:
        return "halted"
    return "paused" if engine.state.paused else "running"


def pair_view(engine: Engine, pair: Pair, marks: dict[str, Decimal]) -> PairView:
    state = engine.state
    trade = state.trade_on(pair.name)
    decided = state.decided.get(pair.name)
    spot_market, perp_market = engine.market.of(pair.spot.id), engine.market.of(pair.perp.id)
    mark = perp_market.mark if perp_market is not None else None
    mid = spot_market.mid if spot_market is not None else None
    predicted = perp_market.predicted if perp_market is not None else None
    spot, perp = state.quantities(trade) if trade is not None else (ZERO, ZERO)
    legs = trade.legs if trade is not None else Legs.CARRY
    price = decimal_of(mark) if mark is not None else ZERO
    naked = ZERO
    if price and legs.trades_spot:
        naked = abs(naked_quantity(pair, spot, perp, price)) * price
    leverage, liquidation, way = _margin(engine, pair, trade, price)
    losing = -legs.opens(Kind.PERP).sign  # a long is liquidated below the mark
    return PairView(
        pair=pair.name,
        trade_id=trade.trade_id if trade is not None else None,
        stage=trade.stage if trade is not None else None,
        spot_quantity=spot,
        perp_quantity=perp,
        notional=max(legs.along(Kind.SPOT, spot), legs.along(Kind.PERP, perp)) * price,
        net_delta=spot + perp if legs.trades_spot else ZERO,
        naked_notional=naked,
        naked_seconds=_naked_seconds(engine, trade),
        spot_mid=mid,
        mark=mark,
        basis=mark / mid - 1 if mark is not None and mid else None,
        funding_hourly=predicted.per_hour if predicted is not None else None,
        forecast_hourly=decided.target.forecast_hourly if decided is not None else None,
        leverage=leverage,
        liquidation_price=liquidation,
        liquidation_distance=(
            float(losing * (liquidation / price - 1)) if liquidation and price else None
        ),
        way_gone=way,
        pnl=state.books.pnl(trade.trade_id, marks) if trade is not None else PnL(),
        opened_ns=trade.opened_ns if trade is not None else None,
        action=decided.target.action.value if decided is not None else None,
        reason=_reason(engine, pair),
        expected_net=decided.target.expected_net if decided is not None else None,
        decided_ns=decided.time_ns if decided is not None else None,
        data_ns=perp_market.received_ns if perp_market is not None else None,
    )


def _reason(engine: Engine, pair: Pair) -> str | None:
    decided = engine.state.decided.get(pair.name)
    if decided is None:
        return None
    return "; ".join((decided.target.reason, *decided.refusals))


def _naked_seconds(engine: Engine, trade: PairTrade | None) -> float:
    if trade is None or trade.naked_ns is None:
        return 0.0
    return (engine.now_ns - trade.naked_ns) / SECOND


def _margin(
    engine: Engine, pair: Pair, trade: PairTrade | None, mark: Decimal
) -> tuple[Decimal | None, Decimal | None, float | None]:
    """Effective leverage, liquidation price and the way gone to it, by the bot's own formula."""
    if trade is None or engine.account is None or not mark:
        return None, None, None
    position = engine.account.position(pair.perp.id)
    if position is None or position.quantity == ZERO:
        return None, None, None
    margin = position.raw_margin + position.quantity * mark
    liquidation = liquidation_price(position.quantity, position.raw_margin, pair.perp.margin_tiers)
    way = way_gone(position.quantity, position.entry_price, mark, liquidation)
    leverage = effective_leverage(abs(position.quantity) * mark, margin)
    return leverage, liquidation, float(way)
