"""Trades that grow and shrink in parts (SPEC R20), through the engine and a whole venue."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from io import StringIO
from pathlib import Path
from random import Random

import msgspec
import pytest
from rich.console import Console

from bot.answers import trade_of
from bot.cli.told import trade_view
from bot.record import Record
from bot.settings import Account
from bot.valuation import holdings
from domain.account import FundingPayment
from domain.instruments import Kind
from domain.money import ZERO, exact
from domain.orders import Fill
from domain.targets import Action, ExitCause, Legs, Tactic, Target
from domain.time import HOUR, SECOND
from execution.effects import MoveMargin, VenueEffect
from execution.events import Command
from execution.facts import (
    Decided,
    MarginIntended,
    OrderIntended,
    ResidualMoved,
    Retargeted,
    Role,
    Stage,
)
from execution.risk.limits import RiskLimits
from execution.state import State, apply
from execution.stops import ROOM
from strategies.market.state import Market
from strategies.strategy import Holding
from tests.lossy import Storm, assert_sound, shaken
from tests.scripted import PAIR, PERP, SPOT, START, Price, Scripted, World, settings
from tests.simulation.test_engine_chaos import trouble
from tests.simulation.test_tactics import assert_whole, flat, trade, wave

Step = tuple[float, Action, str]
"""(hours after the start, what is wanted from then on, what is to be held in all)."""


class Parts:
    """Wants what the latest step says: an entry, more, less or nothing."""

    def __init__(self, steps: Sequence[Step], how: Tactic | None = None, risk: str = "10") -> None:
        self._steps, self._how, self._risk = steps, how, Decimal(risk)
        self.heard: list[Holding] = []

    def targets(
        self, market: Market, holdings: Mapping[str, Holding], equity: Decimal, now_ns: int
    ) -> tuple[Target, ...]:
        held = holdings.get("HYPE")
        if held is not None:
            self.heard.append(held)
        said = [step for step in self._steps if START + int(step[0] * HOUR) <= now_ns]
        action, notional = (said[-1][1], Decimal(said[-1][2])) if said else (Action.WAIT, ZERO)
        if held is None and action is not Action.ENTER:
            action, notional = Action.WAIT, ZERO
        elif held is not None and not (
            action is Action.EXIT
            # Once what is wanted is there nothing more is asked for.
            or (action is Action.ADD and notional > held.notional * NEARLY)
            or (action is Action.REDUCE and notional < held.notional / NEARLY)
        ):
            action, notional = Action.HOLD, held.notional
        return (
            Target(
                "HYPE", action, notional, "told: by the test",
                0.0001, 0.0, 100.0, 0.002, 0.008, 0.1, self._risk,
                exit_cause=ExitCause.TARGET if action in (Action.REDUCE, Action.EXIT) else None,
                how=self._how if self._how is not None else msgspec.UNSET,
            ),
        )  # fmt: skip


NEARLY = Decimal("1.005")
IN_AND_OUT: tuple[Step, ...] = (
    (1, Action.ENTER, "1200"),
    (2, Action.ADD, "2400"),
    (3, Action.ADD, "4000"),
    (5, Action.REDUCE, "2800"),
    (6, Action.REDUCE, "1600"),
    (8, Action.EXIT, "0"),
)


def world(
    steps: Sequence[Step] = IN_AND_OUT,
    price: Price = flat,
    how: Tactic | None = None,
    state: Path | None = None,
    coins: str = "",
    risk: RiskLimits | None = None,
) -> World:
    source = Scripted(price, 12)
    return World(
        source,
        Parts(steps, how),
        state=state,
        chosen=settings(
            account=Account(inventory=coins), **({} if risk is None else {"risk": risk})
        ),
    )


def legs(run: World) -> tuple[Decimal, Decimal]:
    return run.engine.state.quantities(trade(run))


def changes(run: World) -> list[Retargeted]:
    return [fact for fact in run.told(Retargeted) if isinstance(fact, Retargeted)]


def refusals(run: World, action: Action) -> list[str]:
    said = [f for f in run.told(Decided) if isinstance(f, Decided)]
    return [why for fact in said if fact.target.action is action for why in fact.refusals]


def sixteen() -> RiskLimits:
    """At a target of 1.6 the venue is set to 2: what was bought has to be topped up."""
    return msgspec.structs.replace(settings().risk, leverage_target=Decimal("1.6"))


def perp_leverage(run: World) -> Decimal:
    position = run.engine.account.position(PERP.id)  # type: ignore[union-attr]
    assert position is not None
    return -position.quantity * 20 / position.margin


def test_a_carry_is_built_in_three_parts_and_left_in_three() -> None:
    run = world(price=wave)
    sizes = []
    for hours in (1.9, 2.9, 4.9, 5.9, 7.9):
        run.run(hours)
        assert trade(run).stage is Stage.HOLDING
        sizes.append(-legs(run)[1])
        assert abs(legs(run)[0] + legs(run)[1]) <= Decimal("0.1")
    whole = sizes[2]
    assert [round(float(size / whole), 2) for size in sizes] == [0.3, 0.6, 1.0, 0.7, 0.4]
    assert (trade(run).tranches, trade(run).targets_met) == (3, 2)
    run.run(11)
    assert (trade(run).stage, trade(run).cause) == (Stage.CLOSED, ExitCause.TARGET)
    assert all(abs(left) < Decimal("0.6") for left in run.engine.state.books.positions().values())
    assert_whole(run)


def test_what_the_parts_earned_is_what_their_fills_and_payments_say_exactly() -> None:
    """By hand: what was sold less what was bought, fees, funding, and the dust at its price."""
    run = world(price=wave).run(11)
    facts = run.facts()
    fills = [fact for fact in facts if isinstance(fact, Fill)]
    assert len({f.cloid for f in fills if f.instrument == PERP.id}) >= 6
    with exact():
        earned = sum((-f.side.sign * f.quantity * f.price for f in fills), ZERO)
        earned -= sum((f.fee.amount for f in fills if f.fee.asset == "USDC"), ZERO)
        earned += sum((f.payment.amount for f in facts if isinstance(f, FundingPayment)), ZERO)
        earned += sum((f.quantity * f.price for f in facts if isinstance(f, ResidualMoved)), ZERO)
    pnl = run.engine.state.books.pnl("HYPE#1", run.engine.marks())
    assert pnl.total == earned
    assert pnl.funding > 0 > pnl.fees
    assert_whole(run)


def test_each_part_is_margined_to_the_leverage_target_and_never_beyond_the_cap() -> None:
    risk = sixteen()
    run = world(risk=risk)
    for hours in (1.9, 2.9, 4.9):
        run.run(hours)
        assert perp_leverage(run) == pytest.approx(Decimal("1.6"), rel=Decimal("0.03"))
    moved = [f for f in run.told(MarginIntended) if isinstance(f, MarginIntended)]
    assert len([f for f in moved if f.amount > 0]) >= 3
    assert run.engine.state.extremes.leverage_held <= risk.leverage_cap
    assert_whole(run)


def test_the_plan_is_of_the_whole_as_it_grew() -> None:
    run = world().run(4.9)
    plan, held = trade(run).plan, trade(run)
    assert plan.quantity == held.quantity
    assert plan.notional == pytest.approx(plan.quantity * 20, rel=Decimal("0.01"))
    assert plan.thesis == "told: by the test"
    grown = [f for f in changes(run) if f.plan is not msgspec.UNSET]
    assert [f.quantity for f in grown] == sorted(f.quantity for f in grown)
    assert all(f.plan.liquidation_price > 20 for f in grown)  # type: ignore[union-attr]


def test_an_addition_that_a_cap_forbids_is_refused_with_its_reason_and_nothing_moves() -> None:
    risk = msgspec.structs.replace(settings().risk, pair_exposure_max=Decimal("0.12"))
    run = world(risk=risk).run(4.9)
    assert any("pair_exposure" in why for why in refusals(run, Action.ADD))
    assert -legs(run)[1] * 20 <= 1210
    assert_whole(run)


def test_what_is_held_already_counts_as_risked() -> None:
    """Of 100 at most at risk 60 are: the whole may not risk more than 100, so the rest is cut."""

    class Risky(Parts):
        def targets(
            self, market: Market, holdings: Mapping[str, Holding], equity: Decimal, now_ns: int
        ) -> tuple[Target, ...]:
            (told,) = super().targets(market, holdings, equity, now_ns)
            risk = told.notional / 20
            return (msgspec.structs.replace(told, amount_at_risk=risk),)

    steps: tuple[Step, ...] = ((1, Action.ENTER, "1200"), (2, Action.ADD, "4000"))
    run = World(Scripted(flat, 12), Risky(steps), chosen=settings()).run(4.9)
    plan = trade(run).plan
    assert plan.amount_at_risk <= Decimal("0.01") * 10_000
    assert plan.amount_at_risk == pytest.approx(Decimal(100), rel=Decimal("0.02"))
    assert "risk_per_trade" in plan.clipped_by
    assert plan.notional == pytest.approx(Decimal(2000), rel=Decimal("0.03"))
    assert_whole(run)


def pause(run: World) -> None:
    run.engine.handle(Command("pause", "", "test", run.venue.now_ns))


def test_a_paused_bot_does_not_add_but_reduces() -> None:
    run = world().run(1.9)
    pause(run)
    run.run(4.9)
    assert -legs(run)[1] < 61
    assert any("paused" in why for why in refusals(run, Action.ADD))
    steps: tuple[Step, ...] = ((1, Action.ENTER, "4000"), (3, Action.REDUCE, "2000"))
    run = world(steps).run(2.9)
    pause(run)
    run.run(4.9)
    assert -legs(run)[1] == pytest.approx(Decimal(100), abs=Decimal(1))


def test_a_part_is_taken_off_by_resting_and_both_legs_go() -> None:
    steps: tuple[Step, ...] = ((1, Action.ENTER, "4000"), (3, Action.REDUCE, "2000"))
    run = world(steps, wave).run(2.9)
    before = run.engine.state.quantities(trade(run))
    run.run(4.9)
    spot, perp = legs(run)
    assert spot == pytest.approx(before[0] / 2, abs=Decimal("0.2"))
    assert perp == pytest.approx(before[1] / 2, abs=Decimal("0.2"))
    orders = [f for f in run.told(OrderIntended) if isinstance(f, OrderIntended)]
    sold = [f for f in orders if f.time_ns > START + 3 * HOUR]
    assert {f.role for f in sold} == {Role.MAKER, Role.HEDGE}
    assert trade(run).exit_reason is None
    assert_whole(run)


def test_a_reduction_to_less_than_an_order_closes_and_one_by_less_does_nothing() -> None:
    steps: tuple[Step, ...] = (
        (1, Action.ENTER, "2000"),
        (2, Action.REDUCE, "1989"),
        (3, Action.REDUCE, "5"),
    )
    run = world(steps, wave).run(2.9)
    assert -legs(run)[1] > 98
    run.run(6)
    assert trade(run).stage is Stage.CLOSED
    assert_whole(run)


@pytest.mark.parametrize("kind", [Legs.REVERSE, Legs.OVERLAY])
def test_a_trade_on_coins_grows_no_larger_than_the_coins(kind: Legs) -> None:
    run = world(how=Tactic(kind), price=wave, coins="HYPE:100").run(4.9)
    assert abs(legs(run)[1]) == 100
    run.run(12)
    assert trade(run).stage is Stage.CLOSED
    assert_whole(run)


# --- the stop of a perp alone ---------------------------------------------------------------------


LONG = Tactic(Legs.LONG, stop_price=Decimal(19), target_price=Decimal(22), leverage=Decimal(2))
SHORT = Tactic(Legs.SHORT, stop_price=Decimal(21), target_price=Decimal(18), leverage=Decimal(2))


@pytest.mark.parametrize(
    ("how", "stop", "kept"),
    [(LONG, "19.5", "19.5"), (LONG, "18", "19"), (SHORT, "20.5", "20.5"), (SHORT, "22", "21")],
)
def test_a_stop_is_moved_only_where_the_trade_then_loses_less(
    how: Tactic, stop: str, kept: str
) -> None:
    class Moves(Parts):
        def targets(
            self, market: Market, holdings: Mapping[str, Holding], equity: Decimal, now_ns: int
        ) -> tuple[Target, ...]:
            (told,) = super().targets(market, holdings, equity, now_ns)
            if told.action is Action.REDUCE:
                moved = msgspec.structs.replace(how, stop_price=Decimal(stop))
                told = msgspec.structs.replace(told, how=moved)
            return (told,)

    steps: tuple[Step, ...] = ((1, Action.ENTER, "2000"), (2, Action.REDUCE, "1000"))
    run = World(Scripted(flat, 12), Moves(steps, how), chosen=settings()).run(3.9)
    assert trade(run).plan.stop_price == Decimal(kept)
    assert abs(legs(run)[1]) == pytest.approx(Decimal(50), abs=Decimal(1))
    # What waits at the venue is of what is left, and beyond the stop as it is now.
    (waits,) = (o for o in run.engine.state.orders.live() if o.role is Role.STOP)
    assert waits.remaining == abs(legs(run)[1])
    assert waits.request.trigger == pytest.approx(
        Decimal(kept) * (1 + waits.request.side.sign * ROOM), abs=Decimal("0.01")
    )
    assert_whole(run)


def test_a_stop_that_was_moved_closes_where_it_is_now() -> None:
    """To break-even at 20 while the price is 21; back at 20 it closes, a point above the first."""

    def path(n: int) -> float:
        minute = n - 120
        return 20.0 if minute < 0 else 21.0 if minute < 120 else max(21.0 - (minute - 120) / 60, 19)

    class Even(Parts):
        def targets(
            self, market: Market, holdings: Mapping[str, Holding], equity: Decimal, now_ns: int
        ) -> tuple[Target, ...]:
            (told,) = super().targets(market, holdings, equity, now_ns)
            if told.action is Action.HOLD and now_ns >= START + 3 * HOUR:
                moved = msgspec.structs.replace(LONG, stop_price=Decimal("20.1"))
                told = msgspec.structs.replace(told, how=moved)
            return (told,)

    run = World(
        Scripted(path, 12, 0.0), Even(((1, Action.ENTER, "2000"),), LONG), chosen=settings()
    )
    run.run(6.5)
    assert (trade(run).stage, trade(run).cause) == (Stage.CLOSED, ExitCause.STOP)
    assert run.engine.state.books.pnl("HYPE#1", run.engine.marks()).total > 0
    assert len([f for f in changes(run) if f.plan is not msgspec.UNSET]) == 1
    assert_whole(run)


# --- what survives --------------------------------------------------------------------------------


def test_a_process_that_ends_between_any_two_parts_goes_on_to_the_durable_target(
    tmp_path: Path,
) -> None:
    ended = [1.01, 1.9, 2.01, 2.2, 3.01, 3.4, 5.01, 5.3, 6.01, 6.5, 8.01]
    for hours in ended:
        run = world(price=wave, state=tmp_path).run(hours)
        run.close()
    run = world(price=wave, state=tmp_path).run(11)
    assert (trade(run).stage, trade(run).tranches, trade(run).targets_met) == (Stage.CLOSED, 3, 2)
    assert len([f for f in changes(run) if f.quantity > ZERO]) == 4
    assert abs(run.engine.state.books.position(PERP.id)) < Decimal("0.6")
    assert abs(run.engine.state.books.position(SPOT.id)) < Decimal("0.6")
    assert_whole(run)
    run.close()


def test_the_basis_at_entry_is_the_average_of_what_is_held() -> None:
    """Half at 20, half at 21: 20.5 at even basis; taking a part off leaves the average."""

    def path(n: int) -> float:
        return 20.0 if n < 110 else 21.0

    steps: tuple[Step, ...] = (
        (1, Action.ENTER, "2000"),
        (3, Action.ADD, "4000"),
        (5, Action.REDUCE, "2000"),
    )
    run = world(steps, path).run(4.9)
    before = trade(run).entry_price
    assert before == pytest.approx(Decimal("20.49"), abs=Decimal("0.03"))
    run.run(7)
    assert trade(run).entry_price == pytest.approx(before, abs=Decimal("0.001"))
    heard = run.engine._strategy.heard  # type: ignore[attr-defined]
    assert {h.tranches for h in heard} == {1, 2}
    assert heard[-1].entry_price == trade(run).entry_price
    assert PAIR.perp.kind is Kind.PERP


def test_margin_that_was_lost_or_is_not_there_yet_is_asked_for_until_it_is() -> None:
    lost: list[MoveMargin] = []

    def request(effect: VenueEffect) -> bool:
        if isinstance(effect, MoveMargin) and len(lost) < 3:
            lost.append(effect)
            return False
        return True

    storm = Storm(Scripted(flat, 12), Parts(IN_AND_OUT[:2]), chosen=settings(risk=sixteen()))
    storm.worse(request=request).run(4.9)
    assert len(lost) == 3
    assert perp_leverage(storm) == pytest.approx(Decimal("1.6"), rel=Decimal("0.03"))
    assert storm.engine._opened == {}
    assert_sound(storm)


def test_a_process_that_ends_before_the_margin_is_topped_up_does_it_when_it_is_back(
    tmp_path: Path,
) -> None:
    def begun() -> Storm:
        chosen = settings(risk=sixteen())
        return Storm(Scripted(flat, 12), Parts(IN_AND_OUT[:2]), tmp_path, chosen=chosen)

    storm = begun().worse(request=lambda effect: not isinstance(effect, MoveMargin))
    storm.until(lambda: bool(storm.told(MarginIntended)))
    assert perp_leverage(storm) == pytest.approx(Decimal(2), rel=Decimal("0.01"))
    storm.close()
    storm = begun().worse()
    storm.minutes(2)
    assert perp_leverage(storm) == pytest.approx(Decimal("1.6"), rel=Decimal("0.03"))
    storm.close()


def test_a_reduction_does_not_slow_down_what_the_margin_guard_does_in_a_hurry() -> None:
    storm = Storm(Scripted(flat, 12), Parts(((1, Action.ENTER, "4000"),)), chosen=settings())
    storm.worse().run(1.9)
    engine, held = storm.engine, trade(storm)
    engine._retarget(held, Decimal(150), urgent=True, cause=ExitCause.MARGIN_GUARD, reason="guard")
    target = Target(
        "HYPE", Action.REDUCE, Decimal(2000), "less: by the test", 0.0001, 0.0, 100.0, 0.002, 0.008,
        0.1, exit_cause=ExitCause.TARGET,
    )  # fmt: skip
    engine._consider(target)
    assert trade(storm).urgent
    assert trade(storm).quantity == pytest.approx(Decimal(100), abs=1)


@pytest.mark.parametrize(("hours", "is_hurried"), [(1.1, False), (1.9, True)])
def test_a_reduction_of_what_is_still_being_bought_is_never_bought_in_a_hurry(
    hours: float, *, is_hurried: bool
) -> None:
    slow = msgspec.structs.replace(settings().execution, max_naked_notional=Decimal(100))
    steps: tuple[Step, ...] = ((1, Action.ENTER, "1200"),)
    run = World(Scripted(wave, 12), Parts(steps), chosen=settings(execution=slow)).run(hours)
    target = Target(
        "HYPE", Action.REDUCE, Decimal(600), "less: by the test", 0.0001, 0.0, 100.0, 0.002, 0.008,
        0.1, exit_cause=ExitCause.MARGIN_GUARD, urgent=True,
    )  # fmt: skip
    held = run.engine.state.matched(trade(run))
    run.engine._consider(target)
    assert trade(run).quantity == pytest.approx(Decimal(30), abs=1)
    assert (trade(run).urgent, held > 30) == (is_hurried, is_hurried)


def test_what_is_still_to_be_sold_counts_as_held() -> None:
    slow = msgspec.structs.replace(settings().execution, max_naked_notional=Decimal(50))
    steps: tuple[Step, ...] = ((1, Action.ENTER, "1200"), (3, Action.REDUCE, "300"))
    run = World(Scripted(wave, 12), Parts(steps), chosen=settings(execution=slow)).run(3.1)
    matched = run.engine.state.matched(trade(run))
    assert trade(run).quantity == pytest.approx(Decimal(15), abs=1)
    assert matched > 40
    assert holdings(run.engine.state)["HYPE"].quantity == matched


def test_while_a_part_is_on_its_way_no_other_is_decided() -> None:
    """A part of 1200 by slices of 50, one a minute, takes most of half an hour."""
    slow = msgspec.structs.replace(settings().execution, max_naked_notional=Decimal(50))
    steps: tuple[Step, ...] = ((1, Action.ENTER, "1200"), (1.2, Action.ADD, "2400"))
    run = World(Scripted(wave, 12), Parts(steps), chosen=settings(execution=slow)).run(1.3)
    assert trade(run).stage is Stage.WORKING
    assert any(why.startswith("working: ") for why in refusals(run, Action.ADD))
    assert changes(run) == []
    run.run(3)
    assert -legs(run)[1] == pytest.approx(Decimal(120), abs=1)


def test_the_answers_show_the_whole_and_each_of_its_parts() -> None:
    run, record = world(price=wave).run(7), Record(State((PAIR,)))
    for fact in run.facts():
        apply(record.state, fact)
        record.add(fact)
    told = trade_of(record, "HYPE#1")
    assert told["checklist"]["tranches"] == 3
    assert told["checklist"]["notional"] == trade(run).plan.notional
    said = [change["what"] for change in told["changes"] if "wanted" in change["what"]]
    assert len(said) == 4
    assert [", stop 22." in what for what in said] == [True, True, False, False]
    shown = StringIO()
    Console(file=shown, width=200).print(trade_view(told))
    assert "in 3 parts" in shown.getvalue()
    assert "out: still open" in shown.getvalue()
    report = run.report(run.facts())
    assert Decimal(report["pairs"][0]["notional"]) == trade(run).plan.notional
    assert (report["decisions"]["added"], report["decisions"]["reduced"]) == (2, 2)


@pytest.mark.parametrize("seed", range(6))
def test_any_mixture_of_trouble_while_it_grows_and_shrinks_leaves_whole_books(
    seed: int, tmp_path: Path
) -> None:
    random = Random(f"parts {seed}")
    walk = [20.0]
    for _ in range(12 * 60):
        walk.append(walk[-1] * (1 + random.uniform(-0.004, 0.004)))
    request, answer = shaken(seed, (0.0, 0.1, 0.3)[seed % 3], late_ns=8 * SECOND)
    depth = random.choice([1e6, 100.0, 30.0])

    def begun() -> Storm:
        source = Scripted(lambda number: walk[number], 12, depth=depth)
        return Storm(source, Parts(IN_AND_OUT[:5]), tmp_path, chosen=settings()).worse(
            request, answer
        )

    storm = begun()
    for twelfth in range(12, 90):
        storm.run(twelfth / 12)
        trouble(storm, random, legs_lost=False)
        if random.random() < 0.06:
            storm.close()
            storm = begun()
    storm.calm().command("flatten")
    storm.run(10)
    assert_sound(storm, Decimal(1030))
    assert storm.engine.state.open_trades == {}
    assert storm.engine.state.extremes.leverage_held <= settings().risk.leverage_cap
    assert abs(storm.engine.state.books.position(PERP.id)) * 20 < 40
    storm.close()
