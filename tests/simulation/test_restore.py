"""An old copy of the state is restored: the venue remembers what the journal has forgotten."""

import shutil
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from domain.money import ZERO
from domain.orders import OrderRejected
from domain.targets import Action, Legs, Tactic, Target
from domain.time import HOUR, MINUTE
from execution.effects import RaiseAlarm
from execution.facts import Role
from execution.orders import OrderState
from execution.reconcile import differences
from strategies.market.state import Market
from strategies.strategy import Holding, Strategy
from tests.lossy import Storm, is_hedged
from tests.scripted import PERP, SPOT, START, Scripted, settings
from tests.simulation.test_scaling import IN_AND_OUT, Parts, Step
from tests.simulation.test_stops import quantity, waiting
from tests.simulation.test_tactics import By, flat, trade

VENUE = "venue.sqlite"
"""Where the exchange remembers: its file is no part of what is copied."""
TWICE: tuple[Step, ...] = (
    (1, Action.ENTER, "1200"),
    (2, Action.EXIT, "0"),
    (4, Action.ENTER, "3000"),
)


def storm(path: Path, strategy: Strategy) -> Storm:
    chosen = settings()
    execution = msgspec.structs.replace(chosen.execution, reopen_seconds=60.0)
    chosen = msgspec.structs.replace(chosen, execution=execution)
    return Storm(Scripted(flat, 24), strategy, path, chosen=chosen)


def restored(path: Path, strategy: Strategy, copied: float, back: float) -> Storm:
    """A copy is taken ``copied`` hours after the start, and is what there is from ``back`` on."""
    state, copy = path / "state", path / "copy"
    storm(state, strategy).run(copied).close()
    shutil.copytree(state, copy)
    storm(state, strategy).run(back).close()
    shutil.copy2(state / VENUE, copy / VENUE)
    return storm(copy, strategy)


def legs_at_venue(run: Storm) -> tuple[Decimal, Decimal]:
    report = run.venue.exchange.account_report(None, run.venue.now_ns)
    spot = sum((b.total for b in report.balances if b.asset == SPOT.base), ZERO)
    return spot, run.venue.exchange.position(PERP.id).quantity


def assert_agrees(run: Storm) -> None:
    run.advance(run.venue.now_ns + MINUTE)
    state = run.engine.state
    assert differences(state, run.venue.exchange.account_report(None, run.venue.now_ns)) == ()
    assert state.reconciled is not None
    assert state.reconciled.mismatches == ()
    assert state.orders.unknown() == []
    assert state.books.balanced()


@pytest.mark.parametrize(
    ("steps", "copied", "back"),
    [
        (IN_AND_OUT, 1.002, 1.5),  # while it was opened
        (IN_AND_OUT, 1.5, 2.5),  # grown since
        (IN_AND_OUT, 1.5, 5.5),  # grown and shrunk
        (IN_AND_OUT, 2.002, 8.5),  # while it grew; closed since
        (IN_AND_OUT, 3.5, 5.002),  # restored while it shrank
        (IN_AND_OUT, 3.5, 6.5),  # shrunk since
        (IN_AND_OUT, 5.002, 8.5),  # while it shrank; closed since
        (TWICE, 1.5, 4.5),  # closed and opened anew
    ],
)
def test_what_was_traded_since_leaves_no_leg_alone_and_a_person_can_be_flat(
    tmp_path: Path, steps: tuple[Step, ...], copied: float, back: float
) -> None:
    run = restored(tmp_path, Parts(steps), copied, back)
    alarms: list[RaiseAlarm] = []
    run._on_alarm = alarms.append
    run.minutes(2)

    assert run.engine.state.limits.names == ("lost_history",)
    assert "lost_history" in " ".join(alarm.detail for alarm in alarms)
    run.minutes(5)
    spot, perp = legs_at_venue(run)
    assert abs(spot + perp) * 20 <= 10
    assert is_hedged(run)
    assert_agrees(run)

    run.command("flatten")
    run.minutes(10)
    assert run.engine.state.open_trades == {}
    spot, perp = legs_at_venue(run)
    assert abs(spot + perp) * 20 <= 10
    assert_agrees(run)
    assert [f.reason for f in run.told(OrderRejected) if isinstance(f, OrderRejected)] == []
    run.close()


class Trailing(By):
    """The stop of its long follows, a little every five minutes, from two hours on."""

    def targets(
        self, market: Market, holdings: Mapping[str, Holding], equity: Decimal, now_ns: int
    ) -> tuple[Target, ...]:
        passed = max(now_ns - START - 2 * HOUR, 0) // (5 * MINUTE)
        stop = Decimal(19) + min(passed, 12) * Decimal("0.01")
        how = Tactic(Legs.LONG, stop_price=stop, target_price=Decimal(22), leverage=Decimal(5))
        told = super().targets(market, holdings, equity, now_ns)
        return tuple(msgspec.structs.replace(each, how=how) for each in told)


def test_a_perp_alone_gets_its_stop_whatever_stops_came_and_went_since(tmp_path: Path) -> None:
    how = Tactic(Legs.LONG, stop_price=Decimal(19), target_price=Decimal(22), leverage=Decimal(5))
    run = restored(tmp_path, Trailing(how, "2000.20", enter=1.0), 1.9, 3.9)
    held = quantity(run)
    run.minutes(1)

    ours = [o for o in run.engine.state.orders.live() if o.role is Role.STOP]
    assert [o.state for o in ours] == [OrderState.OPEN]
    (right,) = (w.request for w in waiting(run) if w.request.cloid == ours[0].cloid)
    assert right.quantity == held == 100
    assert [f.reason for f in run.told(OrderRejected) if isinstance(f, OrderRejected)] == []
    assert trade(run).quantity == held

    run.command("flatten")
    run.minutes(5)
    assert quantity(run) == 0
    assert run.engine.state.open_trades == {}
    assert_agrees(run)
    run.close()


def test_what_a_basis_usually_is_outlives_the_process(tmp_path: Path) -> None:
    """A start has six hours of quotes to learn from, and decides by the twenty that were seen."""
    running = storm(tmp_path, Parts(TWICE)).run(20.5)
    known = running.engine.market.usual[PERP.id]
    running.close()
    started = storm(tmp_path, Parts(TWICE))
    usual = started.engine.market.usual[PERP.id]
    started.close()

    assert known.hours > 20
    assert usual.hours > known.hours - 1.1  # it is put down every hour
