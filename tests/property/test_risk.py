"""The gate and the margin guard under any proposal, any price path and any gap."""

import math
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from domain.instruments import MarginTier
from domain.orders import Side
from execution.risk.gate import Approved, Exposure, GateContext, Proposal, pass_gate, propose
from execution.risk.guard import (
    NOTHING,
    Close,
    MarginPolicy,
    PositionView,
    Release,
    Shrink,
    TopUp,
    guard_margin,
    policy_for,
    trigger_price,
)
from execution.risk.limits import RiskLimits
from execution.risk.margin import (
    effective_leverage,
    equity_at,
    liquidation_price,
    maintenance_margin,
    price_at_leverage,
    survived_gap,
)
from tests.unit.strategies.world import pair

D = Decimal
LIMITS = RiskLimits()
COST = D("0.002")
TABLES = (
    (MarginTier(D(0), 40), MarginTier(D(150_000_000), 20)),
    (MarginTier(D(0), 10), MarginTier(D(3000), 5)),
    (MarginTier(D(0), 3),),
)
relaxed = settings(max_examples=60)
tables = st.sampled_from(TABLES)


def decimals(low: str, high: str, places: int = 4) -> st.SearchStrategy[Decimal]:
    return st.decimals(min_value=D(low), max_value=D(high), places=places)


# --- margin ---------------------------------------------------------------------------------------


@relaxed
@given(
    size=decimals("0.01", "1000"),
    side=st.sampled_from([-1, 1]),
    mark=decimals("0.5", "1000"),
    leverage=decimals("1.01", "30"),
    tiers=tables,
)
def test_a_gap_smaller_than_survived_gap_is_survived_and_a_larger_one_is_not(
    size: Decimal, side: int, mark: Decimal, leverage: Decimal, tiers: tuple[MarginTier, ...]
) -> None:
    quantity = size * side
    raw = size * mark / leverage - quantity * mark
    gap = survived_gap(quantity, raw, mark, tiers)
    assume(gap > 0)

    for change, survives in (("-1e-12", True), ("1e-12", False)):
        after = mark * (1 + side * -(gap + D(change)))
        equity = equity_at(quantity, raw, after)
        assert (equity > maintenance_margin(size * after, tiers)) is survives


@relaxed
@given(
    size=decimals("0.01", "1000"),
    side=st.sampled_from([-1, 1]),
    raw=decimals("-100000", "100000"),
    tiers=tables,
)
def test_equity_meets_maintenance_at_the_liquidation_price(
    size: Decimal, side: int, raw: Decimal, tiers: tuple[MarginTier, ...]
) -> None:
    quantity = size * side
    price = liquidation_price(quantity, raw, tiers)
    assume(price is not None and price > 0)
    assert price is not None

    shortfall = maintenance_margin(size * price, tiers) - equity_at(quantity, raw, price)
    assert abs(shortfall) <= D("1e-12") * max(D(1), size * price)


@relaxed
@given(
    size=decimals("0.01", "1000"),
    side=st.sampled_from([-1, 1]),
    mark=decimals("0.5", "1000"),
    held=decimals("1.01", "10"),
    wanted=decimals("1.01", "10"),
)
def test_the_price_at_a_leverage_has_that_leverage(
    size: Decimal, side: int, mark: Decimal, held: Decimal, wanted: Decimal
) -> None:
    quantity = size * side
    raw = size * mark / held - quantity * mark
    price = price_at_leverage(quantity, raw, wanted)

    assert price is not None
    leverage = effective_leverage(size * price, equity_at(quantity, raw, price))
    assert leverage == pytest.approx(wanted, rel=D("1e-12"))


# --- the guard, in a closed-form world ------------------------------------------------------------


class World:
    """One neutral pair in one unified account; whatever the guard says happens at once, at a cost.

    ``returns_margin``: whether a smaller position gives back its share of the
    margin (venues differ).
    """

    def __init__(
        self, price: float, notional: Decimal, free: Decimal, *, returns_margin: bool
    ) -> None:
        self.price = D(repr(price))
        self.quantity = (notional / self.price).quantize(D("0.0001"))
        self.raw = self.quantity * self.price / 2 + self.quantity * self.price
        self.free = free
        self.returns_margin = returns_margin

    def view(self) -> PositionView:
        return PositionView(
            quantity=-self.quantity,
            raw_margin=self.raw,
            mark=self.price,
            spot_quantity=self.quantity,
            spot_price=self.price,
            lot=D("0.0001"),
            minimum_notional=D(10),
        )

    @property
    def equity(self) -> Decimal:
        return equity_at(-self.quantity, self.raw, self.price)

    @property
    def leverage(self) -> Decimal:
        return effective_leverage(self.quantity * self.price, self.equity)

    def liquidated(self, tiers: tuple[MarginTier, ...]) -> bool:
        return self.quantity > 0 and self.equity <= maintenance_margin(
            self.quantity * self.price, tiers
        )

    def shrink_to(self, quantity: Decimal) -> None:
        cut = self.quantity - quantity
        assert 0 < cut <= self.quantity
        returned = self.equity * cut / self.quantity if self.returns_margin else D(0)
        cost = 2 * cut * self.price * COST
        # The position's equity stays or comes back; the spot slice becomes money.
        equity = self.equity - returned
        self.free += returned + cut * self.price - cost
        self.quantity = quantity
        self.raw = equity + quantity * self.price

    def guard(self, policy: MarginPolicy) -> int:
        """Act until the guard is content; the number of actions."""
        for count in range(10):
            action = guard_margin(self.view(), self.free, policy)
            match action:
                case TopUp(amount) | Release(amount):
                    signed = amount if isinstance(action, TopUp) else -amount
                    assert 0 < signed <= self.free or isinstance(action, Release)
                    self.free -= signed
                    self.raw += signed
                case Shrink(quantity):
                    self.shrink_to(quantity)
                case Close():
                    self.free += self.equity + self.quantity * self.price * (1 - 2 * COST)
                    self.quantity = self.raw = D(0)
                case _:
                    return count
        raise AssertionError("the guard never came to rest")


def policy(tiers: tuple[MarginTier, ...], reserve: Decimal) -> MarginPolicy:
    made = policy_for(
        LIMITS,
        Side.SELL,
        D(10_000),
        tiers,
        equity=D(0),
        spot_cost=COST,
        perp_cost=COST,
        proceeds_reach_margin=True,
    )
    return msgspec.structs.replace(made, reserve=reserve)


def path(targets: list[float], steps: list[float]) -> Iterator[float]:
    """From 1 to each target in turn, in equal relative steps of at most ``steps`` each."""
    price = 1.0
    for target, step in zip(targets, steps, strict=True):
        count = max(1, math.ceil(abs(math.log(target / price)) / math.log1p(step)))
        ratio = (target / price) ** (1 / count)
        for _ in range(count):
            price *= ratio
            yield price


def walk(
    world: World, prices: Iterator[float], tiers: tuple[MarginTier, ...], reserve: Decimal
) -> None:
    rule = policy(tiers, reserve)
    start = world.price
    world.guard(rule)  # also at the start: where maintenance is high the target is under 2x
    trigger = trigger_price(world.view(), rule)
    for price in prices:
        world.price = start * D(repr(price))
        assert not world.liquidated(tiers)
        before = world.leverage
        acted = world.guard(rule)
        if acted:
            assert world.leverage <= rule.leverage_guard <= LIMITS.leverage_cap
            assert not world.liquidated(tiers)
            trigger_was, trigger = trigger, trigger_price(world.view(), rule)
            # Whoever only compares one float would have looked, unless it was a mere release.
            assert float(world.price) >= trigger_was or before < rule.leverage_target
            gap = survived_gap(-world.quantity, world.raw, world.price, tiers)
            assert world.quantity == 0 or gap >= LIMITS.liquidation_distance_min
        else:
            assert float(world.price) < trigger * (1 + 1e-12)


targets = st.lists(st.floats(0.4, 2.5), min_size=1, max_size=4)


@settings(max_examples=40)
@given(data=st.data(), targets=targets, tiers=tables, returns=st.booleans())
def test_no_path_of_small_steps_reaches_liquidation_when_the_guard_acts(
    data: st.DataObject, targets: list[float], tiers: tuple[MarginTier, ...], returns: bool
) -> None:
    steps = data.draw(
        st.lists(st.floats(0.002, 0.005), min_size=len(targets), max_size=len(targets))
    )
    free = data.draw(decimals("0", "6000"))
    reserve = data.draw(decimals("0", "2000"))
    world = World(40.0, D(4000), free, returns_margin=returns)

    walk(world, path(targets, steps), tiers, reserve)


@pytest.mark.parametrize("tiers", TABLES)
@pytest.mark.parametrize("target", [2.0, 0.5])
@pytest.mark.parametrize("free", ["0", "100", "10000"])
def test_a_doubling_and_a_halving_are_survived(
    tiers: tuple[MarginTier, ...], target: float, free: str
) -> None:
    world = World(40.0, D(4000), D(free), returns_margin=True)

    walk(world, path([target], [0.005]), tiers, D(0))

    assert world.quantity > 0  # shrunk perhaps, but never closed


def test_through_a_doubling_the_pair_keeps_its_worth_but_for_the_costs() -> None:
    world = World(40.0, D(4000), D(0), returns_margin=False)
    total = world.equity + world.quantity * world.price

    walk(world, path([2.0], [0.005]), TABLES[0], D(0))

    left = world.equity + world.quantity * world.price + world.free
    assert total * D("0.99") < left < total


@pytest.mark.parametrize("tiers", TABLES)
def test_months_of_recorded_hours_are_survived_without_a_penny_of_free_collateral(
    shared_data: Path, tiers: tuple[MarginTier, ...]
) -> None:
    """Each hour as a path: open, high, low, close, in steps of at most half a percent."""
    import polars as pl

    file = shared_data / "prices" / "hyperliquid" / "perp" / "HYPE_1h_a.parquet"
    if not file.is_file():
        pytest.skip(f"no recorded prices at {file}")
    bars = pl.read_parquet(file).sort("ts_ms").select("open", "high", "low", "close").rows()
    corners = [price / bars[0][0] for bar in bars for price in bar]
    world = World(bars[0][0], D(4000), D(0), returns_margin=True)
    rule, start = policy(tiers, D(0)), world.price
    trigger = liquidation = 0.0
    acted = 0
    # As the engine does it: one comparison a price, and a look only at the trigger.
    for relative in path(corners, [0.005] * len(corners)):
        price = float(start) * relative
        if price < trigger:
            continue
        assert price < liquidation or not trigger
        world.price = D(repr(price))
        acted += world.guard(rule)
        assert not world.liquidated(tiers)
        trigger = trigger_price(world.view(), rule)
        liquidation = float(liquidation_price(-world.quantity, world.raw, tiers) or 0)

    assert world.quantity > 0
    assert acted > 3


@relaxed
@given(
    mark=decimals("1", "100"),
    size=decimals("1", "1000"),
    leverage=decimals("0.3", "4"),
    free=decimals("0", "100000"),
    tiers=tables,
)
def test_the_guard_acts_beyond_its_trigger_and_only_there(
    mark: Decimal, size: Decimal, leverage: Decimal, free: Decimal, tiers: tuple[MarginTier, ...]
) -> None:
    view = PositionView(
        quantity=-size,
        raw_margin=size * mark / leverage + size * mark,
        mark=mark,
        spot_quantity=size,
        spot_price=mark,
        lot=D("0.0001"),
        minimum_notional=D(10),
    )
    rule = policy(tiers, D(0))
    trigger = trigger_price(view, rule)
    action = guard_margin(view, free, rule)

    if float(mark) < trigger:
        assert action is NOTHING or isinstance(action, Release)
    elif float(mark) > trigger * (1 + 1e-12):
        assert isinstance(action, TopUp | Shrink | Close)


@relaxed
@given(
    mark=decimals("1", "100"),
    size=decimals("1", "1000"),
    leverage=decimals("2.6", "50"),
    free=decimals("0", "1000"),
    basis=decimals("-0.02", "0.02"),
)
def test_a_shrink_and_the_top_up_after_it_restore_the_target(
    mark: Decimal, size: Decimal, leverage: Decimal, free: Decimal, basis: Decimal
) -> None:
    world = World(float(mark), size * mark, free, returns_margin=False)
    assume(world.quantity * world.price > 100)
    world.raw = world.quantity * world.price * (1 + 1 / leverage)
    rule = policy(TABLES[0], D(0))
    assume(isinstance(guard_margin(world.view(), world.free, rule), Shrink))

    assert world.guard(rule) <= 2
    assert world.leverage <= rule.leverage_guard


# --- the gate -------------------------------------------------------------------------------------

money = decimals("-1000", "20000", 2)
readings = st.floats(allow_nan=True, allow_infinity=True)
contexts = st.builds(
    GateContext,
    equity=money,
    free_collateral=money,
    exposure=st.builds(Exposure, money, money, money, money),
    data_age_seconds=st.lists(readings, max_size=3).map(tuple),
    reconciled_clean=st.booleans(),
    reconciled_age_seconds=readings,
    unknown_orders=st.integers(0, 3),
    orders_last_minute=st.integers(0, 200),
    clock_skew_seconds=readings,
    spread=readings,
    volatility_hourly=readings,
    dislocation=readings,
    active_limits=st.lists(st.sampled_from(["drawdown", "delta"]), max_size=2).map(tuple),
    size_factor=decimals("0.01", "2"),
)
calm: dict[str, Any] = {
    "data_age_seconds": (1.0, 1.0),
    "reconciled_clean": True,
    "reconciled_age_seconds": 1.0,
    "unknown_orders": 0,
    "orders_last_minute": 0,
    "clock_skew_seconds": 0.0,
    "spread": 0.0,
    "volatility_hourly": 0.0,
    "dislocation": 0.0,
    "active_limits": (),
}
room = decimals("0", "2000", 2)
quiet_contexts = st.builds(
    GateContext,
    equity=decimals("1000", "20000", 2),
    free_collateral=decimals("1000", "20000", 2),
    exposure=st.builds(Exposure, room, room, room, room),
    size_factor=decimals("0.1", "2"),
    **{name: st.just(value) for name, value in calm.items()},
)
prices = st.none() | decimals("0.01", "200")


@st.composite
def proposals(draw: st.DrawFn, *, adds_risk: bool, sound: bool = False) -> Proposal:
    quantity = draw(st.integers(1, 100_000)) * D("0.01")
    mark = draw(decimals("1", "100", 2))
    notional = quantity * mark
    return Proposal(
        pair="HYPE",
        perp_side=Side.SELL,
        adds_risk=adds_risk,
        quantity=quantity,
        lot=D("0.01"),
        minimum_quantity=D("0.25"),
        notional=notional,
        margin=notional / 2,
        capital=notional * D("1.5"),
        amount_at_risk=notional * draw(decimals("0", "0.2")),
        leverage=D(2) if sound else draw(decimals("0", "60")),
        venue_leverage_max=10,
        entry_mark=mark,
        stop_price=mark * D("1.125") if sound else draw(prices),
        liquidation_price=mark * D("1.4") if sound else draw(prices),
    )


@relaxed
@given(proposal=proposals(adds_risk=False), context=contexts)
def test_reducing_risk_is_always_approved_as_it_is(
    proposal: Proposal, context: GateContext
) -> None:
    result = pass_gate(proposal, context, LIMITS)

    assert isinstance(result, Approved)
    assert result.proposal is proposal


@relaxed
@given(proposal=proposals(adds_risk=True), context=contexts)
def test_every_answer_is_an_approval_or_reasons(proposal: Proposal, context: GateContext) -> None:
    result = pass_gate(proposal, context, LIMITS)

    assert isinstance(result, Approved) or len(result) > 0


@relaxed
@given(proposal=proposals(adds_risk=True, sound=True), quiet=quiet_contexts)
def test_what_is_approved_is_inside_every_limit(proposal: Proposal, quiet: GateContext) -> None:
    result = pass_gate(proposal, quiet, LIMITS)
    assume(isinstance(result, Approved))
    assert isinstance(result, Approved)
    allowed, equity = result.proposal, quiet.equity

    assert proposal.minimum_quantity <= allowed.quantity <= proposal.quantity
    assert allowed.quantity % allowed.lot == 0
    assert allowed.notional == allowed.quantity * allowed.entry_mark
    assert allowed.amount_at_risk <= equity * D("0.01") * min(quiet.size_factor, D(1))
    assert allowed.capital <= quiet.free_collateral - equity * D("0.05")
    assert quiet.exposure.pair + allowed.notional <= equity * D("0.30")
    assert quiet.exposure.asset + allowed.notional <= equity * D("0.30")
    assert quiet.exposure.venue + allowed.notional <= equity * D("0.60")
    assert quiet.exposure.total + allowed.notional <= equity * D("0.60")
    assert bool(result.clipped_by) is (allowed.quantity < proposal.quantity)


@relaxed
@given(
    quantity=st.integers(10, 1_000).map(lambda lots: D(lots) / 10),
    mark=decimals("1", "30", 2),
    leverage=decimals("1", "5", 2),
    most=st.integers(3, 50),
    cap=decimals("2.5", "8", 1),
    buffer=decimals("0.05", "0.25", 2),
    quiet=quiet_contexts,
)
def test_no_accepted_plan_has_its_liquidation_nearer_to_its_stop_than_the_buffer(
    *,
    quantity: Decimal,
    mark: Decimal,
    leverage: Decimal,
    most: int,
    cap: Decimal,
    buffer: Decimal,
    quiet: GateContext,
) -> None:
    """By the two equations, written out here once more for one tier:

    liquidation, where equity is the maintenance:    M + q (m - P) = P q / (2 x most)
    the stop, where effective leverage is the cap:   M + q (m - P) = P q / cap
    """
    one = pair("HYPE")
    perp = msgspec.structs.replace(one.perp, margin_tiers=(MarginTier(D(0), most),))
    proposal = propose(
        msgspec.structs.replace(one, perp=perp), quantity,
        mark=mark, spot_price=mark, amount_at_risk=D(1), leverage=leverage, leverage_cap=cap,
    )  # fmt: skip
    limits = msgspec.structs.replace(LIMITS, leverage_cap=cap, liquidation_buffer=buffer)
    result = pass_gate(proposal, quiet, limits)
    both = mark + mark / leverage  # M / q + m
    liquidation, stop = both / (1 + 1 / D(2 * most)), both / (1 + 1 / cap)
    if isinstance(result, Approved):
        assert liquidation >= stop * (1 + buffer) * D("0.999999")
        assert liquidation >= mark * (1 + limits.liquidation_distance_min) * D("0.999999")
        assert stop > mark
    elif liquidation < stop * (1 + buffer) * D("0.999999"):
        assert "liquidation" in " ".join(refusal.check for refusal in result)


@relaxed
@given(proposal=proposals(adds_risk=True, sound=True), quiet=quiet_contexts)
def test_with_doubt_of_any_kind_nothing_is_entered(proposal: Proposal, quiet: GateContext) -> None:
    for doubt in (
        {"unknown_orders": 1},
        {"reconciled_clean": False},
        {"active_limits": ("drawdown",)},
        {"data_age_seconds": (1.0, math.nan)},
        {"clock_skew_seconds": math.inf},
    ):
        result = pass_gate(proposal, msgspec.structs.replace(quiet, **doubt), LIMITS)
        assert isinstance(result, tuple)
