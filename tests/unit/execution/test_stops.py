"""The stop that waits at the venue: which one, and how one becomes another."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.money import ZERO
from domain.orders import OrderRequest, Side, TimeInForce
from domain.targets import Legs
from domain.time import SECOND
from execution.facts import Role, Stage, TradePlanned
from execution.orders import Order, OrderState
from execution.pairs import PairTrade, Wanted
from execution.risk.limits import RiskLimits
from execution.stops import ALARM_NS, RESIZE_NS, RETRY_NS, ROOM, Guarding, step
from tests.scripted import PAIR, PERP

NOW = 1_000_000 * SECOND


def trade(legs: Legs = Legs.LONG, stop: str = "19", **changes: object) -> PairTrade:
    plan = TradePlanned(
        "HYPE#1", "HYPE", "perp", Decimal(100), Decimal(2000), 2, "", "", "",
        Decimal(20), Decimal(12), Decimal(stop), 0.0, 0.0, 0.0, (), NOW, legs,
    )  # fmt: skip
    held = PairTrade(plan, Decimal(100), Stage.HOLDING, worked_ns=NOW)
    return msgspec.structs.replace(held, **changes)


def order(
    quantity: str = "100",
    trigger: str = "18.905",
    state: OrderState = OrderState.OPEN,
    side: Side = Side.SELL,
    role: Role = Role.STOP,
    changed_ns: int = NOW - 60 * SECOND,
) -> Order:
    request = OrderRequest(
        f"{role}-{quantity}-{trigger}-{state}", PERP.id, side, Decimal(quantity), Decimal(17),
        TimeInForce.IOC, reduce_only=True, expires_ns=NOW, trigger_price=Decimal(trigger),
    )  # fmt: skip
    return Order(request, "HYPE#1", role, Decimal(trigger), NOW, state, changed_ns=changed_ns)


def looked(
    *live: Order, perp: str = "100", held: PairTrade | None = None, mark: float | None = 20.0
) -> Guarding:
    return step(PAIR, held or trade(), Decimal(perp), mark, 20.0, live, NOW)


@pytest.mark.parametrize(
    ("legs", "stop", "perp", "side", "trigger", "bound"),
    [
        # Half a percent beyond the stop, and a tenth beyond that.
        (Legs.LONG, "19", "100", Side.SELL, "18.905", "17.014"),
        (Legs.SHORT, "21", "-100", Side.BUY, "21.105", "23.216"),
    ],
)
def test_a_perp_alone_has_a_stop_a_little_beyond_the_engines_own(
    legs: Legs, stop: str, perp: str, side: Side, trigger: str, bound: str
) -> None:
    found = looked(perp=perp, held=trade(legs, stop))

    assert found.place == Wanted(
        PERP, side, Decimal(100), Decimal(bound), TimeInForce.IOC, reduce_only=True,
        role=Role.STOP, mid=Decimal(trigger), trigger=Decimal(trigger),
    )  # fmt: skip
    assert found.is_missing


@pytest.mark.parametrize(
    ("legs", "perp"),
    [
        (Legs.CARRY, "-100"), (Legs.REVERSE, "100"), (Legs.OVERLAY, "-100"),
        (Legs.LONG, "0"), (Legs.LONG, "-100"), (Legs.LONG, "0.001"), (Legs.LONG, "0.5"),
    ],
)  # fmt: skip
def test_nothing_else_has_one(legs: Legs, perp: str) -> None:
    """Not even dust, of which no order can be made."""
    assert looked(perp=perp, held=trade(legs)) == Guarding(is_right=True)


def test_one_that_is_as_it_should_be_is_left_alone() -> None:
    assert looked(order()) == Guarding(is_right=True)


def test_orders_that_are_no_stops_are_none_of_its_business() -> None:
    assert looked(order(), order(role=Role.MAKER)) == Guarding(is_right=True)
    assert looked(order(role=Role.MAKER)).place is not None


def test_a_wrong_one_goes_only_when_the_right_one_is_there() -> None:
    """The size grew: never for a moment is there none."""
    old = order("60")
    first = looked(old)
    assert first.place is not None
    assert first.place.quantity == 100
    assert first.cancel == ()
    assert first.is_missing

    for state in (OrderState.PENDING, OrderState.UNKNOWN):
        assert looked(old, order(state=state)) == Guarding(is_missing=True)

    assert looked(old, order()) == Guarding(cancel=(old,))


def test_a_stop_that_moves_is_followed_at_once() -> None:
    old = order(trigger="18", changed_ns=NOW - SECOND)

    found = looked(old)

    assert found.place is not None
    assert found.place.trigger == Decimal("18.905")
    assert not found.is_missing


def test_one_that_is_too_large_is_made_smaller_now_and_then() -> None:
    """It closes no more than there is, so that a close in slices does not move it each time."""
    recent = order("160", changed_ns=NOW - RESIZE_NS + 1)
    assert looked(recent) == Guarding()

    found = looked(order("160", changed_ns=NOW - RESIZE_NS))
    assert found.place is not None
    assert found.place.quantity == 100


def test_two_that_are_right_are_one_too_many() -> None:
    one, other = order(), order()

    assert looked(one, other) == Guarding(cancel=(other,))


def test_once_nothing_is_held_it_is_canceled() -> None:
    assert looked(order(), perp="0") == Guarding(cancel=(order(),))
    doubtful = order(state=OrderState.UNKNOWN)
    assert looked(doubtful, perp="0") == Guarding()
    assert looked(order(state=OrderState.CANCELING), perp="0") == Guarding()


def test_one_that_is_on_its_way_out_does_not_count() -> None:
    found = looked(order(state=OrderState.CANCELING))

    assert found.place is not None
    assert found.is_missing


def test_after_one_was_lost_the_next_waits_a_little() -> None:
    lost = trade(stop_lost_ns=NOW - RETRY_NS + 1)
    assert looked(held=lost) == Guarding(is_missing=True)
    assert looked(held=trade(stop_lost_ns=NOW - RETRY_NS)).place is not None
    assert RETRY_NS < ALARM_NS, "one that is lost once calls nobody"


@pytest.mark.parametrize("mark", [18.9, 18.0])
def test_where_the_mark_is_there_already_none_is_placed(mark: float) -> None:
    assert looked(mark=mark) == Guarding(is_missing=True)
    assert looked(mark=18.91).place is not None
    assert looked(mark=None).place is not None


def test_it_triggers_long_before_any_liquidation_that_the_gate_lets_pass() -> None:
    with pytest.raises(ValueError, match="liquidation_buffer"):
        RiskLimits(liquidation_buffer=10 * ROOM - Decimal("0.001"))


cents = st.decimals(min_value="0.01", max_value="1000", places=2)


@given(legs=st.sampled_from([Legs.LONG, Legs.SHORT]), perp=cents, stop=cents)
def test_whatever_is_held_a_stop_is_of_whole_lots_valid_prices_and_no_more_than_that(
    legs: Legs, perp: Decimal, stop: Decimal
) -> None:
    signed = perp if legs is Legs.LONG else -perp
    found = step(PAIR, trade(legs, str(stop)), signed, None, 20.0, (), NOW).place
    if found is None:
        assert perp * stop < 13 * PERP.minimum_notional / 10  # dust, where a sale may get less
        return

    assert found.trigger is not None
    assert found.reduce_only
    assert found.side is (Side.SELL if legs is Legs.LONG else Side.BUY)
    assert ZERO < found.quantity <= perp
    assert found.quantity == PERP.floor_quantity(found.quantity)
    for price in (found.trigger, found.price):
        assert PERP.round_price(price, up=False) == price
    assert found.quantity * found.price >= PERP.minimum_notional
    # Beyond the stop, and its bound beyond itself.
    assert (found.trigger - stop) * found.side.sign >= -stop * Decimal("0.0001")
    assert (found.price - found.trigger) * found.side.sign >= 0
