"""The whole engine over a scripted market: what is ahead, what is wild, and what is journaled."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec
import pytest
from msgspec.structs import replace

from bot.settings import Account, Settings
from domain.instruments import Kind
from domain.money import ZERO
from domain.orders import OrderRejected
from domain.targets import Action, ExitCause, Legs, Tactic, Target
from domain.time import HOUR, MINUTE
from execution.facts import Decided, MarginIntended, Retargeted, Stage, TradePlanned
from execution.risk.calendar import Event
from strategies.market.state import Market
from strategies.strategy import Holding
from tests.scripted import START, Scripted, Told, World, settings
from tests.simulation.test_tactics import By

EVENT = Event("FOMC", START + 4 * HOUR, "told by the test")


def world(events: tuple[Event, ...] = (), price: float = 20.0) -> World:
    return World(
        Scripted(lambda _: price, hours=9), Told("4000", enter=2.5), chosen=settings(events=events)
    )


def entered_ns(run: World) -> int:
    (plan,) = [fact for fact in run.told(TradePlanned) if isinstance(fact, TradePlanned)]
    return plan.time_ns


def test_an_entry_waits_until_the_event_is_over_and_the_journal_says_for_what() -> None:
    without, waiting = world().run(6.0), world((EVENT,)).run(6.0)

    assert entered_ns(without) < EVENT.at_ns - HOUR
    assert EVENT.at_ns < entered_ns(waiting) <= EVENT.at_ns + 5 * MINUTE
    decided = [fact for fact in waiting.told(Decided) if isinstance(fact, Decided)]
    reasons = [refusal for fact in decided for refusal in fact.refusals]
    assert reasons
    assert all(reason.startswith("event: hours to FOMC (actual ") for reason in reasons)


def test_an_event_further_off_than_its_hours_changes_nothing_at_all() -> None:
    later = Event("FOMC", START + 100 * HOUR, "told by the test")

    assert world((later,)).run(6.0).facts()[1:] == world().run(6.0).facts()[1:]


def test_a_trade_that_is_held_stays_open_through_an_event_in_a_quiet_market() -> None:
    later = Event("FOMC", START + 5 * HOUR, "told by the test")
    run = world((later,))
    run.run(2.6)
    held = entered_ns(run)
    run.run(8.0)

    assert held < later.at_ns - 2 * HOUR
    assert not run.told(Retargeted)
    assert not run.told(MarginIntended)


class Rotating(Told):
    """Leaves the pair after two hours for another entry, of the only pair that there is."""

    def targets(
        self, market: Market, holdings: Mapping[str, Holding], equity: Decimal, now_ns: int
    ) -> tuple[Target, ...]:
        (target,) = super().targets(market, holdings, equity, now_ns)
        if "HYPE" not in holdings or now_ns < START + 2 * HOUR:
            return (target,)
        coming = replace(target, action=Action.ENTER)
        cause = ExitCause.THESIS_CHANGED
        return (
            replace(target, action=Action.EXIT, notional=ZERO, exit_cause=cause, instead=coming),
        )


@pytest.mark.parametrize("events", [(), (EVENT,)])
def test_nothing_is_left_for_a_pair_that_the_gate_keeps_out(events: tuple[Event, ...]) -> None:
    chosen = settings(events=events)
    tight = replace(chosen.risk, venue_exposure_max=Decimal("0.4"))  # full: the exit makes room
    source = Scripted(lambda _: 20.0, hours=9)
    run = World(source, Rotating("4000", enter=1), chosen=replace(chosen, risk=tight)).run(3.5)
    judged = [fact for fact in run.told(Decided) if isinstance(fact, Decided)]
    reasons = [reason for fact in judged for reason in fact.refusals]

    assert bool(run.told(Retargeted)) == (not events)
    assert any(reason.startswith("event: ") for reason in reasons) == bool(events)


def wild(number: int) -> float:
    """Quiet for four hours, then 4 % up and down every five minutes."""
    return 20.0 if number < 240 or number // 5 % 2 else 20.8


def spiked(chosen: Settings, hours: float) -> World:
    source = Scripted(wild, hours=12)
    return World(source, Told("4000", enter=1), chosen=chosen).run(hours)


def test_a_spike_while_holding_adds_margin_and_says_so_in_numbers() -> None:
    run = spiked(settings(), 9.0)
    moved = [fact for fact in run.told(MarginIntended) if isinstance(fact, MarginIntended)]
    careful = [fact for fact in moved if fact.reason.startswith("moves of ")]

    assert careful
    assert all(fact.amount > 0 for fact in careful)
    assert "liquidation wanted" in careful[0].reason
    assert run.report(run.facts())["risk"]["liquidations"] == 0


def test_with_a_distance_that_nothing_asks_for_the_spike_moves_no_margin() -> None:
    limits = msgspec.structs.replace(settings().risk, distance_sigmas=0.001)
    run = spiked(settings(risk=limits), 9.0)
    moved = [fact for fact in run.told(MarginIntended) if isinstance(fact, MarginIntended)]

    assert not [fact for fact in moved if fact.reason.startswith("moves of ")]


def test_without_free_collateral_a_pair_shrinks_and_never_closes_where_a_part_is_enough() -> None:
    """A reserve of all there is leaves nothing to add: what is sold saves more than it costs."""
    limits = msgspec.structs.replace(settings().risk, free_collateral_reserve=Decimal("0.4"))
    run = spiked(settings(risk=limits), 12.0)
    changes = [fact for fact in run.told(Retargeted) if isinstance(fact, Retargeted)]

    assert [fact.cause for fact in changes] == [ExitCause.VOLATILITY]
    assert changes[0].quantity > 0
    assert changes[0].reason.startswith("volatility: moves of ")
    assert "; saves " in changes[0].reason
    assert run.report(run.facts())["risk"]["liquidations"] == 0


def test_margin_for_a_spike_leaves_what_buys_the_spot_back() -> None:
    """A long perp at twofold leverage and hardly a coin of quote besides the sale's proceeds."""
    limits = msgspec.structs.replace(settings().risk, free_collateral_reserve=Decimal("0.001"))
    chosen = settings(risk=limits, account=Account(inventory="HYPE:100"))
    by = By(Tactic(Legs.REVERSE), "2000.20", maker_leg=Kind.SPOT, enter=1.0, leave=8.0)
    run = World(Scripted(wild, 12, -0.0001), by, capital="1010", chosen=chosen).run(7.9)

    assert run.engine.account is not None
    assert run.engine.account.free("USDC") > 1900
    run.run(10)
    assert run.engine.state.trades["HYPE#1"].stage is Stage.CLOSED
    assert not run.told(OrderRejected)
