"""Trades of other legs than long spot and short perp, through the engine and a whole venue."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from random import Random

import msgspec
import pytest

from bot.answers import status_of
from bot.engine import Engine
from bot.picture import snapshot
from bot.record import Record
from bot.settings import Account
from domain.account import CashCause
from domain.instruments import Kind
from domain.market import PerpContext
from domain.money import ZERO
from domain.rates import FundingRate
from domain.targets import Action, ExitCause, Legs, Tactic, Target
from domain.time import MINUTE, SECOND
from execution.effects import RaiseAlarm
from execution.facts import (
    EquityMarked,
    Fact,
    MarginIntended,
    OrderIntended,
    Retargeted,
    Role,
    Stage,
    TradePlanned,
)
from execution.pairs import ExecutionPolicy, PairTrade
from execution.state import State, apply
from strategies.market.state import Market
from strategies.strategy import Holding
from tests.lossy import Storm, assert_sound, intended, shaken
from tests.scripted import PAIR, PERP, SPOT, Price, Scripted, Told, World, settings
from tests.simulation.test_engine_chaos import trouble

BOUGHT = Decimal(100)
"""What 2000.20 buys at the spot's ask of 20.002."""


def flat(_: int) -> float:
    return 20.0


def wave(n: int) -> float:
    return 20.0 + ((n * 7) % 11 - 5) / 200


class By(Told):
    """Told to hold by these legs."""

    def __init__(
        self, how: Tactic, notional: str = "4000", maker_leg: Kind = Kind.PERP, **times: float
    ) -> None:
        super().__init__(notional, **times)
        self._how, self._maker_leg = how, maker_leg

    def targets(
        self, market: Market, holdings: Mapping[str, Holding], equity: Decimal, now_ns: int
    ) -> tuple[Target, ...]:
        told = super().targets(market, holdings, equity, now_ns)
        return tuple(
            msgspec.structs.replace(each, how=self._how, maker_leg=self._maker_leg)
            if each.action is Action.ENTER
            else each
            for each in told
        )


def world(how: Tactic, price: Price = flat, coins: str = "", **told: object) -> World:
    chosen = settings(account=Account(inventory=coins))
    rate = told.pop("rate", 0.0001)
    assert isinstance(rate, float)
    return World(Scripted(price, 12, rate), By(how, **told), chosen=chosen)  # type: ignore[arg-type]


def trade(run: World, number: int = 1) -> PairTrade:
    return run.engine.state.trades[f"HYPE#{number}"]


def withdraw(run: World, coins: int) -> None:
    """The owner takes coins out of the account."""
    clearing = run.venue.exchange._clearing
    taken = clearing.cashflow("HYPE", Decimal(-coins), CashCause.WITHDRAWAL, None)
    run.venue._remember_and_tell([taken])


def assert_whole(run: World) -> None:
    """The books balance, agree with the venue, and no invariant was broken."""
    run.finish()
    report = run.report(run.facts())
    integrity = report["integrity"]
    assert integrity["violations"] == []
    assert integrity["ledger_balanced"]
    assert integrity["venue_reconciled"]
    assert report["risk"]["liquidations"] == 0
    equity, pnl = report["equity"], report["pnl"]
    earned = Decimal(equity["end"]) - Decimal(equity["start"]) - Decimal(equity["deposits"])
    assert Decimal(pnl["total"]) == earned


# --- inventory -----------------------------------------------------------------------------------


def test_coins_that_were_there_are_capital_and_shown_as_the_opening() -> None:
    run = world(Tactic(Legs.OVERLAY), coins="HYPE:100", enter=99.0).run(1)
    (opening,) = run.report(run.facts())["opening"]
    assert (opening["instrument"], opening["kind"]) == ("HYPE/USDC", "spot")
    assert (opening["quantity"], opening["mark"]) == ("100", "20")
    equity = run.report(run.facts())["equity"]
    assert (equity["start"], equity["deposits"], equity["max_drawdown"]) == ("12000", "0", 0.0)
    assert equity["min"] == "12000"
    assert run.engine.state.books.capital == 12_000
    assert_whole(run)


@pytest.mark.parametrize("legs", [Legs.OVERLAY, Legs.REVERSE])
def test_without_coins_of_ones_own_there_is_nothing_to_hedge_and_nothing_to_sell(
    legs: Legs,
) -> None:
    run = world(Tactic(legs)).run(3)
    assert not run.engine.state.trades
    assert set(run.engine.state.refusals) == {"inventory"}


# --- overlay -------------------------------------------------------------------------------------


def test_an_overlay_sells_the_perp_alone_up_to_its_share_of_the_coins_and_buys_it_back() -> None:
    how = Tactic(Legs.OVERLAY, share=Decimal("0.5"))
    run = world(how, wave, "HYPE:100", enter=1.0, leave=5.0).run(4)
    assert trade(run).stage is Stage.HOLDING
    assert run.engine.state.quantities(trade(run)) == (ZERO, Decimal(-50))
    assert run.engine.state.books.position(SPOT.id) == 100
    run.run(11)
    assert trade(run).stage is Stage.CLOSED
    assert {f.request.instrument for f in run.told(OrderIntended)} == {PERP.id}  # type: ignore[union-attr]
    assert run.engine.state.books.positions() == {SPOT.id: 100}
    assert run.engine.state.exposed.notional == ZERO
    assert_whole(run)


def test_an_overlay_is_worth_its_funding_less_its_fees_wherever_the_price_goes() -> None:
    """20 coins' worth hedged whole over a fall by half: what is lost on spot is won on the perp."""

    def falling(n: int) -> float:
        return 20.0 - 10.0 * min(max(n - 120, 0) / 300, 1.0)

    run = world(Tactic(Legs.OVERLAY), falling, "HYPE:100", enter=1.0, leave=10.0).run(12)
    run.finish()
    pnl = run.engine.state.books.pnl_total(run.engine.marks())
    assert pnl.total == run.engine.state.books.equity(run.engine.marks()) - 12_000
    # Half of 2000 fell away; the hedge keeps all of it but for the way in and out.
    assert abs(pnl.basis) < 3
    assert pnl.funding > 0
    assert pnl.total > -5
    assert_whole(run)


def test_coins_that_fall_are_no_loss_of_trading_and_can_be_hedged_still() -> None:
    def falling(n: int) -> float:
        return 20.0 - 10.0 * min(max(n - 120, 0) / 60, 1.0)

    run = world(Tactic(Legs.OVERLAY), falling, "HYPE:100", enter=5.0).run(6)
    assert run.engine.state.limits.names == ()
    assert trade(run).stage is Stage.HOLDING
    shown = snapshot(run.engine)
    assert shown.equity < 11_010
    assert shown.equity_peak - shown.equity < 10  # the fees
    assert_whole(run)


def test_coins_that_fall_back_from_a_rise_of_the_day_before_are_no_loss_of_trading() -> None:
    """A third up on the first day, and down again on the second."""

    def there_and_back(n: int) -> float:
        return 20.0 + 10.0 * min(max(n - 120, 0), 60) / 60 - 10.0 * min(max(n - 1560, 0), 60) / 60

    chosen = settings(account=Account(inventory="HYPE:100"))
    run = World(Scripted(there_and_back, 30), Told(enter=99.0), chosen=chosen).run(20)
    assert worth_and_peak(run) == [13_000, 13_000]
    run.run(28)
    assert run.engine.state.day_start is not None
    assert run.engine.state.day_start.owners == 1000
    assert run.engine.state.limits.names == ()
    assert worth_and_peak(run) == [12_000, 12_000]


def worth_and_peak(run: World) -> list[Decimal]:
    """As ``fundarb status`` tells them, of the journal."""
    state = State(tuple(run.engine.state.pairs.values()))
    record = Record(state)
    for fact in run.journal.read():
        apply(state, fact)
        record.add(fact)
    status = status_of(record)
    return [status["equity"], status["equity_peak"]]


def test_a_hedge_whose_coins_rise_is_no_loss_of_trading() -> None:
    def rising(n: int) -> float:
        return 20.0 + 8.0 * min(max(n - 120, 0) / 300, 1.0)

    run = world(Tactic(Legs.OVERLAY), rising, "HYPE:100", enter=1.0).run(8)
    assert run.engine.state.books.pnl("HYPE#1", run.engine.marks()).total < -700
    assert run.engine.state.limits.names == ()
    assert_whole(run)


def test_an_overlay_shrinks_when_its_owner_sells_what_it_hedges() -> None:
    run = world(Tactic(Legs.OVERLAY), flat, "HYPE:100", enter=1.0).run(3)
    assert run.engine.state.quantities(trade(run))[1] == -100
    withdraw(run, 60)
    run.run(6)
    assert run.engine.state.quantities(trade(run))[1] == -40
    assert trade(run).cause is ExitCause.LEG_LOST
    assert_whole(run)


def test_the_watchdog_is_told_that_an_overlay_is_not_to_be_undone() -> None:
    run = world(Tactic(Legs.OVERLAY), flat, "HYPE:100", enter=1.0).run(3)
    assert run.engine.not_ours() == {SPOT.id: Decimal(100), PERP.id: Decimal(-100)}


# --- reverse -------------------------------------------------------------------------------------


def test_a_reverse_carry_sells_coins_against_a_long_perp_and_buys_them_back() -> None:
    run = world(Tactic(Legs.REVERSE), wave, "HYPE:100", enter=1.0, leave=5.0, rate=-0.0002).run(4)
    held = trade(run)
    assert held.stage is Stage.HOLDING
    assert run.engine.state.quantities(held) == (Decimal(-100), Decimal(100))
    assert run.engine.state.books.position(SPOT.id) == 0
    assert run.engine.not_ours() == {SPOT.id: Decimal(100), PERP.id: ZERO}
    run.run(11)
    closed = trade(run)
    assert closed.stage is Stage.CLOSED
    books = run.engine.state.books
    assert books.pnl(closed.trade_id, run.engine.marks()).funding > 0
    # All but the dust that the fee of the purchase, paid in coins, took.
    assert 99 < books.position(SPOT.id) <= 100
    assert abs(books.position(PERP.id)) < Decimal("0.5")
    assert run.engine.state.exposed.notional <= settings().execution.max_naked_notional
    assert_whole(run)


def test_a_reverse_carry_is_never_larger_than_the_coins_that_are_there() -> None:
    run = world(Tactic(Legs.REVERSE), flat, "HYPE:30", enter=1.0).run(4)
    (plan,) = run.told(TradePlanned)
    assert isinstance(plan, TradePlanned)
    assert plan.quantity == 30


def test_a_few_coins_are_sold_once_and_not_taken_for_the_dust_of_another_trade() -> None:
    run = world(Tactic(Legs.REVERSE), flat, "HYPE:1.8", enter=1.0, leave=5.0).run(4)
    assert run.engine.state.quantities(trade(run)) == (Decimal("-1.8"), Decimal("1.8"))
    assert_whole(run.run(11))


def test_a_long_perp_that_falls_is_topped_up_and_survives() -> None:
    """Down by 45 % at twofold leverage, which unattended is liquidated at about 47 %."""

    def falling(n: int) -> float:
        return 20.0 * (1.0 - 0.45 * min(max(n - 120, 0) / 300, 1.0))

    run = world(Tactic(Legs.REVERSE), falling, "HYPE:100", enter=1.0, rate=-0.0001).run(12)
    position = run.engine.account.position(PERP.id)  # type: ignore[union-attr]
    assert position is not None
    assert position.quantity == 100
    assert run.engine.state.extremes.leverage_held < 3
    assert_whole(run)


def test_what_a_person_sells_of_the_same_coin_is_not_taken_from_the_trade() -> None:
    run = world(Tactic(Legs.REVERSE), flat, "HYPE:100", notional="1000.10", enter=1.0).run(3)
    assert run.engine.state.quantities(trade(run)) == (-BOUGHT / 2, BOUGHT / 2)
    withdraw(run, 20)
    run.run(5)
    assert run.engine.state.quantities(trade(run)) == (-BOUGHT / 2, BOUGHT / 2)
    assert trade(run).stage is Stage.HOLDING
    assert_whole(run)


# --- a perp alone --------------------------------------------------------------------------------


LONG = Tactic(Legs.LONG, stop_price=Decimal(19), target_price=Decimal(22), leverage=Decimal(5))
SHORT = Tactic(Legs.SHORT, stop_price=Decimal(21), target_price=Decimal(18), leverage=Decimal(5))


@pytest.mark.parametrize(("how", "held"), [(LONG, BOUGHT), (SHORT, -BOUGHT)])
def test_a_perp_alone_is_taken_at_once_and_never_naked(how: Tactic, held: Decimal) -> None:
    run = world(how, flat, notional="2000.20", enter=1.0).run(2)
    assert run.engine.state.quantities(trade(run)) == (ZERO, held)
    assert [f.role for f in intended(run)] == [Role.TAKE, Role.STOP]
    assert run.engine.state.exposed.notional == ZERO
    assert_whole(run)


@pytest.mark.parametrize("how", [LONG, SHORT])
def test_the_way_to_liquidation_that_is_shown_is_positive_on_either_side(how: Tactic) -> None:
    run = world(how, flat, notional="2000.20", enter=1.0).run(2)
    (shown,) = snapshot(run.engine).pairs
    assert shown.liquidation_price is not None
    assert shown.liquidation_distance == pytest.approx(
        float(abs(shown.liquidation_price - 20) / 20)
    )


def after(hours: float, price: float, pace: float) -> Price:
    """20 until then, from then on ``pace`` more every minute until ``price``."""

    def path(n: int) -> float:
        moved = max(n - hours * 60, 0) * pace
        return min(20.0 + moved, price) if pace > 0 else max(20.0 + moved, price)

    return path


@pytest.mark.parametrize(
    ("how", "price"), [(LONG, after(3, 17.0, -0.05)), (SHORT, after(3, 23.0, 0.05))]
)
def test_the_stop_closes_at_once_whatever_the_strategy_says(how: Tactic, price: Price) -> None:
    run = world(how, price, notional="2000.20", enter=1.0, leave=99.0)
    alarms: list[RaiseAlarm] = []
    run._on_alarm = alarms.append
    run.run(3.9)
    stopped = trade(run)
    assert alarms == []  # a stop is part of the plan
    assert (stopped.stage, stopped.cause) == (Stage.CLOSED, ExitCause.STOP)
    retarget = [f for f in run.told(Retargeted) if isinstance(f, Retargeted)]
    assert [(f.quantity, f.urgent) for f in retarget] == [(ZERO, True)]
    lost = -run.engine.state.books.pnl("HYPE#1", run.engine.marks()).total
    # 100 coins, a stop 1.00 away, one minute of 0.05 beyond it, and the fees.
    assert 100 < lost < 115
    assert_whole(run)


@pytest.mark.parametrize(("how", "way"), [(LONG, -0.5), (SHORT, 0.5)])
def test_how_near_liquidation_was_is_told_of_each_hour_by_itself(how: Tactic, way: float) -> None:
    def brief(n: int) -> float:
        return 20.0 + (way if 130 <= n < 140 else 0.0)

    # Without funding the position stays as it is: nothing else begins to watch it anew.
    run = world(how, brief, notional="2000.20", enter=1.0, rate=0.0).run(5)
    marked = [f for f in run.told(EquityMarked) if isinstance(f, EquityMarked)]
    distances = [f.lately.liquidation_distance for f in marked if f.lately.liquidation_distance]
    assert len(distances) == 4  # every hour from the second on
    nearest = min(distances)
    assert distances.count(nearest) == 1  # in the hour of the move, and in none after it
    assert all(distance > nearest + 0.01 for distance in distances if distance != nearest)


@pytest.mark.parametrize("how", [LONG, SHORT])
def test_a_price_that_goes_the_right_way_stops_nothing(how: Tactic) -> None:
    way = 0.05 if how is LONG else -0.05
    run = world(how, after(3, 20 + 60 * way, way), notional="2000.20", enter=1.0, leave=99.0).run(6)
    assert trade(run).stage is Stage.HOLDING
    assert_whole(run)


def test_leverage_is_what_keeps_liquidation_far_enough_beyond_the_stop() -> None:
    run = world(LONG, flat, notional="2000.20", enter=1.0).run(2)
    plan = trade(run).plan
    assert plan.leverage == 2  # under the account's cap of 3, whatever the signal allows
    assert plan.stop_price == 19
    assert plan.liquidation_price < 19 * (1 - settings().risk.liquidation_buffer)


def test_a_stop_that_is_already_reached_is_refused() -> None:
    how = msgspec.structs.replace(LONG, stop_price=Decimal(20))
    run = world(how, flat, enter=1.0).run(2)
    assert not run.engine.state.trades
    assert set(run.engine.state.refusals) == {"stop"}


def test_a_target_is_left_by_resting_and_the_trade_ends_flat() -> None:
    run = world(LONG, wave, notional="2000.20", enter=1.0, leave=3.0).run(8)
    assert trade(run).stage is Stage.CLOSED
    roles = [f.role for f in intended(run) if f.role is not Role.STOP]
    assert roles[0] is Role.TAKE
    assert set(roles[1:]) <= {Role.MAKER, Role.TAKE}
    assert run.engine.state.books.positions() == {}
    assert_whole(run)


def test_dust_of_spot_is_not_adopted_by_a_perp_alone() -> None:
    run = world(LONG, flat, "HYPE:0.4", notional="2000.20", enter=1.0).run(2)
    assert run.engine.state.quantities(trade(run)) == (ZERO, BOUGHT)
    assert run.engine.state.books.quantity(None, SPOT.id) == Decimal("0.4")


def test_a_restarted_engine_still_stops_a_perp_alone(tmp_path: Path) -> None:
    price = after(3, 17.0, -0.05)

    def begin() -> World:
        return World(
            Scripted(price, 12), By(LONG, "2000.20", enter=1.0), state=tmp_path, chosen=settings()
        )

    first = begin().run(2.5)
    assert trade(first).stage is Stage.HOLDING
    first.close()
    second = begin().run(3.9)
    assert (trade(second).stage, trade(second).cause) == (Stage.CLOSED, ExitCause.STOP)
    assert_whole(second)
    second.close()


@pytest.mark.parametrize(("how", "move"), [(LONG, -0.4), (SHORT, 0.4), (Tactic(Legs.CARRY), 0.6)])
def test_a_start_that_hears_of_the_account_before_the_market_guards_what_is_held(
    how: Tactic, move: float
) -> None:
    before = world(how, flat, notional="2000.20", enter=1.0).run(2).engine
    assert before.account is not None
    assert before.state.run is not None
    engine = Engine(
        before.state, Market((PAIR,)), Told(), ExecutionPolicy(), settings().risk, 5 * MINUTE
    )
    engine.start(before.state.run)
    at_ns = engine.now_ns + SECOND
    engine.handle(msgspec.structs.replace(before.account, venue_time_ns=at_ns, received_ns=at_ns))
    facts: list[Fact] = []
    for second in range(1, 6):
        price, at_ns = 20.0 + move * second, at_ns + SECOND
        facts += engine.handle(
            PerpContext(PERP.id, price, price, FundingRate(0.0, 1), at_ns, at_ns)
        ).facts
    assert any(isinstance(fact, Retargeted | MarginIntended) for fact in facts)


# --- everything at once --------------------------------------------------------------------------


@pytest.mark.parametrize("legs_lost", [False, True])
@pytest.mark.parametrize("legs", [Legs.REVERSE, Legs.OVERLAY, Legs.LONG, Legs.SHORT])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_whatever_the_legs_any_mixture_of_trouble_leaves_whole_books_and_nothing_open(
    seed: int, legs: Legs, legs_lost: bool, tmp_path: Path
) -> None:
    random = Random(f"trouble {seed} {legs}")
    walk = [20.0]
    for _ in range(12 * 60):
        walk.append(walk[-1] * (1 + random.uniform(-0.006, 0.006)))
    depth, notional = random.choice([1e6, 30.0, 5.0]), str(random.randint(200, 6000))
    request, answer = shaken(seed, (0.0, 0.1, 0.3)[seed % 3], late_ns=8 * SECOND)
    stop = {Legs.LONG: Decimal(19), Legs.SHORT: Decimal(21)}.get(legs, ZERO)
    chosen = settings(account=Account(inventory="HYPE:200"))

    def begun() -> Storm:
        source = Scripted(lambda number: walk[number], 12, depth=depth)
        by = By(Tactic(legs, stop_price=stop), notional, enter=1, leave=4)
        return Storm(source, by, tmp_path, chosen=chosen).worse(request, answer)

    storm = begun()
    for twelfth in range(12, 66):
        storm.run(twelfth / 12)
        trouble(storm, random, legs_lost=legs_lost)
        if random.random() < 0.06:
            storm.close()
            storm = begun()
    storm.calm().command("flatten")
    storm.run(8)

    state = storm.engine.state
    assert_sound(storm, None if legs_lost else Decimal(1030))
    assert state.open_trades == {}
    assert legs_lost or state.trades, "nothing was opened: this shows nothing"
    assert legs_lost or state.extremes.leverage_held <= settings().risk.leverage_cap
    if not legs.trades_spot:
        assert {f.request.instrument for f in intended(storm)} <= {PERP.id}
        assert state.exposed.notional == ZERO
    if not legs_lost:  # what is left is dust, and the coins are there but for it
        assert abs(state.books.position(PERP.id)) * 20 < 40
        assert abs(state.books.position(SPOT.id) - 200) * 20 < 60
    storm.close()
