"""The stop of a perp alone that waits at the venue, through the engine and a whole venue."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from domain.money import ZERO, Money
from domain.orders import Fill, FillCause, Liquidity, Side
from domain.targets import ExitCause, Legs, Tactic
from domain.time import SECOND
from execution.effects import CancelOrder, PlaceOrder, RaiseAlarm, VenueEffect
from execution.facts import OrderIntended, Retargeted, Role, Stage
from execution.orders import Order, OrderState
from execution.venues.simulated.state import OpenOrder
from tests.lossy import Storm, intended
from tests.scripted import PERP, SPOT, Price, Scripted, settings
from tests.simulation.test_tactics import By, after, assert_whole, flat, trade

LONG = Tactic(Legs.LONG, stop_price=Decimal(19), target_price=Decimal(22), leverage=Decimal(5))
SHORT = Tactic(Legs.SHORT, stop_price=Decimal(21), target_price=Decimal(18), leverage=Decimal(5))


def storm(
    how: Tactic = LONG, price: Price = flat, path: Path | None = None, leave: float = 99.0
) -> Storm:
    by = By(how, "2000.20", enter=1.0, leave=leave)
    return Storm(Scripted(price, 12, 0.0), by, path, chosen=settings())


def waiting(run: Storm) -> list[OpenOrder]:
    """What waits at the venue."""
    return list(run.venue.exchange._markets[PERP.id].waiting.values())


def stops(run: Storm) -> list[Order]:
    """What the bot believes to be there."""
    return [o for o in run.engine.state.orders.live() if o.role is Role.STOP]


def quantity(run: Storm) -> Decimal:
    return run.venue.exchange.position(PERP.id).quantity


def gone(run: Storm) -> None:
    """The bot hears of nothing any more, and sends nothing."""
    run.worse(lambda _: False, lambda _: [])


@pytest.mark.parametrize(("how", "trigger"), [(LONG, "18.905"), (SHORT, "21.105")])
def test_what_is_held_has_one_of_its_size_within_seconds(how: Tactic, trigger: str) -> None:
    run = storm(how)
    run.until(lambda: quantity(run) != ZERO)
    run.minutes(3 / 60)

    (stop,) = waiting(run)
    assert stop.request.trigger == Decimal(trigger)
    assert stop.request.quantity == abs(quantity(run)) == 100
    assert stop.request.reduce_only
    assert trade(run).stage is Stage.HOLDING
    assert_whole(run.calm())


@pytest.mark.parametrize(
    ("how", "price"), [(LONG, after(3, 15.0, -0.05)), (SHORT, after(3, 25.0, 0.05))]
)
def test_where_nobody_is_there_to_look_the_venue_closes_the_position(
    how: Tactic, price: Price
) -> None:
    run = storm(how, price).run(2)
    gone(run)
    run.run(4)

    assert quantity(run) == 0
    (stopped,) = [f for f in run.venue.exchange.private_since(0) if isinstance(f, Fill)][1:]
    assert abs(stopped.price - 20) < Decimal("1.2")  # the stop is 1.00 away, and a minute is 0.05

    run.calm().minutes(10)
    held = trade(run)
    assert (held.stage, held.cause) == (Stage.CLOSED, ExitCause.STOP)
    assert run.engine.state.books.position(PERP.id) == 0
    assert stops(run) == []
    assert_whole(run)


def test_what_the_venue_has_stopped_is_over_wherever_the_mark_is_when_it_is_heard_of() -> None:
    run = storm(LONG).run(2)
    (stop,), now_ns = stops(run), run.venue.now_ns
    heard = run.engine.handle(
        Fill(
            "by the stop", stop.cloid, PERP.id, Side.SELL, Decimal("18.9"), Decimal(40),
            Money(ZERO, "USDC"), Liquidity.TAKER, FillCause.ORDER, now_ns, now_ns,
        )
    )  # fmt: skip

    (over,) = [fact for fact in heard.facts if isinstance(fact, Retargeted)]
    assert (over.quantity, over.urgent, over.cause) == (ZERO, True, ExitCause.STOP)
    assert not [e for e in heard.effects if isinstance(e, RaiseAlarm)]


def test_a_fill_of_it_is_ours_and_no_alarm() -> None:
    """The price jumps past both stops: the venue is there first, and our order finds nothing."""

    def jump(n: int) -> float:
        return 20.0 if n < 181 else 18.0

    run = storm(LONG, jump)
    alarms: list[RaiseAlarm] = []
    run._on_alarm = alarms.append
    run.run(3.5)

    held = trade(run)
    assert (held.stage, held.cause) == (Stage.CLOSED, ExitCause.STOP)
    assert quantity(run) == 0
    by_role = {f.request.cloid: f.role for f in intended(run)}
    closed = [f for f in run.told(Fill) if isinstance(f, Fill) and f.side is Side.SELL]
    assert {by_role[f.cloid or ""] for f in closed} == {Role.STOP}
    assert alarms == []
    reasons = [f.cause for f in run.told(Retargeted) if isinstance(f, Retargeted)]
    assert set(reasons) == {ExitCause.STOP}
    assert_whole(run)


def test_the_engines_own_stop_comes_first_in_an_ordinary_market() -> None:
    run = storm(LONG, after(3, 17.0, -0.05)).run(4)

    by_role = {f.request.cloid: f.role for f in intended(run)}
    closed = [f for f in run.told(Fill) if isinstance(f, Fill) and f.side is Side.SELL]
    assert {by_role[f.cloid or ""] for f in closed} == {Role.FORCED}
    assert waiting(run) == []
    assert trade(run).stage is Stage.CLOSED
    assert_whole(run)


def test_a_trade_that_ends_otherwise_takes_its_stop_with_it_before_it_is_closed() -> None:
    run = storm(LONG, leave=3.0).run(2.9)
    assert len(waiting(run)) == 1
    run.worse(lambda effect: not isinstance(effect, CancelOrder))
    run.run(5)
    assert quantity(run) == 0
    assert trade(run).stage is Stage.WORKING  # its stop may be there yet
    run.calm().minutes(3)

    assert trade(run).stage is Stage.CLOSED
    assert waiting(run) == []
    assert stops(run) == []
    assert_whole(run)


def test_one_that_is_gone_is_placed_again() -> None:
    """Somebody has canceled it by hand, and nobody was told."""
    run = storm(LONG).run(2)
    (stop,) = waiting(run)
    run.venue.exchange.cancel(stop.request.cloid, run.venue.now_ns)
    assert waiting(run) == []

    run.minutes(3)

    (again,) = waiting(run)
    assert again.request.cloid != stop.request.cloid
    assert again.request.quantity == 100
    assert len(stops(run)) == 1
    assert_whole(run)


def lost_once(kind: type) -> Callable[[VenueEffect], bool]:
    """The first stop, or the cancel of one, does not arrive."""
    lost: list[VenueEffect] = []

    def arrives(effect: VenueEffect) -> bool:
        is_stop = isinstance(effect, PlaceOrder) and effect.request.trigger is not None
        wanted = is_stop if kind is PlaceOrder else isinstance(effect, kind)
        if wanted and not lost:
            lost.append(effect)
            return False
        return True

    return arrives


def test_one_that_was_lost_on_the_way_is_in_doubt_and_then_placed_again() -> None:
    run = storm(LONG).worse(lost_once(PlaceOrder))
    run.until(lambda: quantity(run) != ZERO)
    run.minutes(0.1)
    assert waiting(run) == []
    assert [o.state for o in stops(run)] == [OrderState.UNKNOWN]
    run.minutes(1)

    assert len(waiting(run)) == len(stops(run)) == 1
    assert_whole(run)


def test_while_there_is_none_a_person_is_told() -> None:
    run = storm(LONG)
    alarms: list[RaiseAlarm] = []
    run._on_alarm = alarms.append
    run.worse(
        lambda effect: not (isinstance(effect, PlaceOrder) and effect.request.trigger is not None)
    )
    run.run(1.1)

    assert "stop_missing" in [alarm.alarm for alarm in alarms]
    assert trade(run).stage is Stage.HOLDING


def test_a_leg_that_is_taken_away_in_part_makes_it_smaller() -> None:
    run = storm(LONG).run(2)
    exchange = run.venue.exchange
    run.happens(exchange.auto_deleverage(PERP.id, Decimal("0.4"), Decimal(20), run.venue.now_ns))
    run.minutes(2)

    (stop,) = waiting(run)
    assert quantity(run) == stop.request.quantity == 60
    assert_whole(run)


def test_what_is_left_and_too_small_to_trade_does_not_keep_its_trade_open() -> None:
    """At the price that the stop may pay it would not be too small."""
    run = storm(SHORT, leave=6.0).run(2)
    exchange = run.venue.exchange
    run.happens(exchange.auto_deleverage(PERP.id, Decimal("0.9951"), Decimal(20), run.venue.now_ns))
    run.minutes(5)
    (stop,) = waiting(run)
    assert -quantity(run) == stop.request.quantity == Decimal("0.49")
    run.run(6.1)

    assert trade(run).stage is Stage.CLOSED
    assert waiting(run) == []
    assert stops(run) == []
    assert_whole(run)


def test_a_restarted_bot_finds_its_stop_and_leaves_it(tmp_path: Path) -> None:
    first = storm(LONG, path=tmp_path).run(2)
    (stop,) = waiting(first)
    first.close()
    second = storm(LONG, path=tmp_path).run(3)

    (same,) = waiting(second)
    assert same.request.cloid == stop.request.cloid
    assert [o.cloid for o in stops(second)] == [stop.request.cloid]
    assert_whole(second)
    second.close()


def test_a_bot_that_died_before_its_stop_left_places_it_when_it_is_back(tmp_path: Path) -> None:
    first = storm(LONG, path=tmp_path)
    first.worse(
        lambda effect: not (isinstance(effect, PlaceOrder) and effect.request.trigger is not None)
    )
    first.until(lambda: bool(stops(first)))
    assert waiting(first) == []
    first.close()
    second = storm(LONG, path=tmp_path)
    second.minutes(1)

    (stop,) = waiting(second)
    assert stop.request.quantity == quantity(second) == 100
    second.close()


def test_a_perp_that_is_held_for_days_is_looked_at_no_more_often_for_its_stop() -> None:
    run = storm(LONG).run(2)
    before = len(run.told(OrderIntended))
    asked: list[VenueEffect] = []

    def arrives(effect: VenueEffect) -> bool:
        asked.append(effect)
        return True

    run.worse(arrives)
    run.run(3)

    assert len(run.told(OrderIntended)) == before
    assert len(asked) <= 62  # one look at the account a minute
    assert not any(isinstance(effect, PlaceOrder | CancelOrder) for effect in asked)


def test_the_books_are_compared_with_the_venues_while_a_stop_waits() -> None:
    run = storm(LONG).run(2)
    last = run.engine.reconciled_ns
    run.minutes(5)

    assert run.engine.reconciled_ns is not None
    assert last is not None
    assert run.engine.reconciled_ns - last >= 4 * 60 * SECOND


def test_only_the_perp_is_ever_traded() -> None:
    run = storm(SHORT, after(3, 23.0, 0.05)).run(4)

    assert {f.request.instrument for f in intended(run)} == {PERP.id}
    assert run.engine.state.books.position(SPOT.id) == 0


def test_a_request_without_a_trigger_is_written_as_it_always_was() -> None:
    run = storm(LONG).run(2)
    taken, stop = intended(run)

    assert b"trigger" not in msgspec.json.encode(taken)
    assert b'"trigger_price":"18.905"' in msgspec.json.encode(stop)
    assert msgspec.json.decode(msgspec.json.encode(stop), type=OrderIntended) == stop
