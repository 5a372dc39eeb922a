"""However the price goes, the perp leg is topped up, shrunk or closed, and never liquidated."""

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from domain.account import MarginMoved
from domain.orders import Fill, FillCause
from domain.time import MINUTE, SECOND
from execution.facts import MarginIntended, Retargeted
from execution.reconcile import differences
from tests.scripted import Scripted, Told, World

STEP = 0.005


def moving(change: float, over_minutes: int, after_minutes: int = 120) -> Scripted:
    """From 20 to ``20 x change`` in steps of at most 0.5 %, then flat."""
    steps = math.ceil(abs(math.log(change)) / math.log(1 + STEP))
    step_ns = over_minutes * MINUTE // steps // SECOND * SECOND
    first = after_minutes * MINUTE // step_ns

    def price(number: int) -> float:
        done = min(max(number - first, 0), steps)
        return float(20.0 * change ** (done / steps))

    return Scripted(price, hours=6, step_ns=step_ns)


def liquidations(world: World) -> list[Fill]:
    fills = [f for f in world.told(Fill) if isinstance(f, Fill)]
    return [f for f in fills if f.cause is not FillCause.ORDER]


@pytest.mark.parametrize("minutes", [60, 20])
def test_a_price_that_doubles_is_met_with_margin_or_a_smaller_pair(minutes: int) -> None:
    world = World(moving(2.0, minutes), Told("4000")).run(6)
    state = world.engine.state
    assert liquidations(world) == []
    assert world.told(MarginMoved)
    assert state.extremes.leverage_held < 3
    assert state.extremes.liquidation_distance is not None
    assert state.extremes.liquidation_distance > 0.2
    assert state.books.balanced()
    # What is left is still hedged, to within dust.
    trade = state.trade_on("HYPE")
    assert trade is not None
    spot, perp = state.quantities(trade)
    assert abs(spot + perp) < Decimal("0.5")


def test_without_free_collateral_both_legs_shrink_together() -> None:
    world = World(moving(2.0, 60), Told("6200"), capital="10000").run(6)
    shrinks = [f for f in world.told(Retargeted) if isinstance(f, Retargeted)]
    assert any(f.cause == "margin_guard" and f.quantity > 0 for f in shrinks)
    assert liquidations(world) == []
    assert world.engine.state.extremes.leverage_held < 3


def test_a_price_that_halves_returns_margin_and_touches_nothing_else() -> None:
    world = World(moving(0.5, 60), Told("4000")).run(6)
    assert liquidations(world) == []
    moves = [f for f in world.told(MarginIntended) if isinstance(f, MarginIntended)]
    assert all(f.amount < 0 for f in moves)
    assert world.engine.state.extremes.leverage_held < Decimal("2.1")


def test_the_result_of_a_neutral_pair_does_not_depend_on_where_the_price_goes() -> None:
    results = []
    for change in (2.0, 1.0001, 0.5):
        world = World(moving(change, 60), Told("4000", leave=5)).run(6)
        marks = world.engine.marks()
        pnl = world.engine.state.books.pnl_total(marks)
        results.append(pnl.total - pnl.funding)
    assert max(results) - min(results) < Decimal(20)  # 0.5 % of 4000: costs scale with price


@hypothesis_settings(max_examples=15)
@given(
    moves=st.lists(st.floats(-STEP, STEP), min_size=60, max_size=240),
    notional=st.integers(500, 6000),
    seed=st.integers(0, 1000),
)
def test_over_random_paths_the_invariants_hold(
    moves: list[float], notional: int, seed: int
) -> None:
    prices = [20.0]
    for move in moves:
        prices.append(prices[-1] * (1 + move))

    def price(number: int) -> float:
        return prices[min(max(number - 60, 0), len(prices) - 1)]

    world = World(Scripted(price, hours=6), Told(str(notional), leave=5), seed=seed).run(6)
    state = world.engine.state
    assert liquidations(world) == []
    assert state.books.balanced()
    report = world.venue.exchange.account_report(None, world.venue.now_ns)
    assert differences(state, report) == ()
    assert state.exposed.notional <= 1010  # one slice, and what the price adds before the hedge
    assert state.exposed.seconds <= 15
    assert state.extremes.effective_leverage <= 3
    assert state.trade_on("HYPE") is None
    assert not state.orders.unknown()
