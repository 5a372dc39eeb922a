"""What is held, whose it is, and what it is worth: read from the state, changing nothing."""

from decimal import Decimal

from domain.account import AccountReport
from domain.instruments import Kind
from domain.money import ONE, ZERO, decimal_of, exact
from domain.targets import Legs
from execution.facts import EquityMarked, Extremes
from execution.state import State
from strategies.market.basis import UsualBasis
from strategies.market.state import InstrumentState, Market
from strategies.strategy import Holding


def marks(state: State, market: Market, now_ns: int, age_ns: int) -> dict[str, Decimal]:
    """Prices that value everything: spot mid, perp mark; the last known where there is none.

    ``age_ns``: how old a quote may be before its leg is valued by the other. Valued at two moments
    a neutral pair would show a loss that is none, and a loss limit would stay tripped over it.
    """
    known = dict(state.traded_at)
    if state.equity is not None:
        known.update(state.equity.marks)
    for pair in state.pairs.values():
        spot, perp = market.of(pair.spot.id), market.of(pair.perp.id)
        mid = _mid(spot)
        mark = decimal_of(perp.mark) if perp is not None and perp.mark is not None else None
        if mid is not None and mark is not None:
            assert spot is not None, "Invariant: what has a price was seen"
            assert perp is not None, "Invariant: what has a price was seen"
            usual = market.usual_basis(pair)
            basis = 1.0 + (usual.mean if usual is not None else 0.0)
            quoted, marked = spot.is_fresh(now_ns, age_ns), perp.has_fresh_context(now_ns, age_ns)
            if marked and not quoted:
                mid = decimal_of(float(mark) / basis)
            elif quoted and not marked:
                mark = decimal_of(float(mid) * basis)
        if mid is not None:
            known[pair.spot.id] = mid
        if mark is not None:
            known[pair.perp.id] = mark
    return known


def _mid(seen: InstrumentState | None) -> Decimal | None:
    if seen is None or seen.bid is None or seen.ask is None:
        return None
    return (decimal_of(seen.bid) + decimal_of(seen.ask)) / 2


def valued(
    state: State,
    account: AccountReport,
    known: dict[str, Decimal],
    equity: Decimal,
    now_ns: int,
    extremes: Extremes,
    lately: Extremes,
    usual: dict[str, UsualBasis],
) -> EquityMarked:
    """Equity (quote) at the marks ``known``, by where it is: cash, spot, margin, unrealized."""
    with exact():
        spot_value = sum(
            (
                quantity * known[held]
                for held, quantity in state.books.positions().items()
                if state.instruments[held].kind is Kind.SPOT
            ),
            ZERO,
        )
        margin = unrealized = ZERO
        for position in account.positions:
            cost = position.quantity * position.entry_price
            mark = known.get(position.instrument, position.mark)
            margin += position.raw_margin + cost
            unrealized += position.quantity * mark - cost
        cash = equity - spot_value - margin - unrealized
    return EquityMarked(
        equity, cash, spot_value, margin, unrealized, known, now_ns, extremes, lately,
        owners_profit(state, known), usual,
    )  # fmt: skip


def owners_profit(state: State, marks: dict[str, Decimal]) -> Decimal:
    """What prices have made so far (quote) of the coins that are nobody's trade, and of the perps
    that hedge such coins.

    Coins that fall are no loss of trading: counted, they would stop whoever trades against them,
    and keep a hedge from being opened just when it is wanted.
    """
    spots = [pair.spot.id for pair in state.pairs.values()]
    hedges = [trade for trade in state.trades.values() if trade.legs is Legs.OVERLAY]
    with exact():
        return sum(
            (
                *(state.books.price_profit(None, spot, marks) for spot in spots),
                *(state.books.pnl(hedge.trade_id, marks).basis for hedge in hedges),
            ),
            ZERO,
        )


def holdings(state: State) -> dict[str, Holding]:
    """What the strategy may know of our trades, by pair: closing ones are already given up."""
    held = {}
    for trade_id in state.open_trades.values():
        trade = state.trades[trade_id]
        pair = state.pairs[trade.plan.pair]
        quantity = state.counted(trade)
        held[pair.name] = Holding(
            pair.name,
            quantity,
            trade.notional_of(quantity),
            trade.opened_ns if trade.opened_ns is not None else trade.plan.time_ns,
            trade.entry_basis,
            trade.legs,
            trade.plan.stop_price,
            trade.plan.target_price,
            trade.entry_price or trade.notional_of(ONE),
            trade.tranches,
            trade.targets_met,
            trade.plan.basis_stop,
        )
    return held


def not_ours(state: State) -> dict[str, Decimal]:
    """What belongs to no trade: signed base units of every instrument.

    So does a perp that hedges what its owner holds: nothing of it is to be undone in a hurry.
    """
    found = {name: state.books.quantity(None, name) for name in state.instruments}
    for trade_id in state.open_trades.values():
        trade = state.trades[trade_id]
        if trade.legs is Legs.OVERLAY:
            perp = state.pairs[trade.plan.pair].perp.id
            found[perp] += state.books.quantity(trade_id, perp)
    return found
