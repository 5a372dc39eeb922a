"""What holds of the simulated exchange whatever the market and its user do.

A story is a seed and a number of minutes: Hypothesis shrinks a failure to its
shortest story, which can be told again from the two.
"""

from decimal import Decimal
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.account import Cashflow, MarginMode
from domain.market import Book
from domain.money import decimal_of, exact
from domain.orders import Fill, Liquidity, OrderAccepted, OrderStatus, Side
from execution.venues.simulated.exchange import Exchange
from execution.venues.simulated.state import VenueEvent
from tests.unit.execution.venues.simulated.world import PERP, SPOT, World, events_of, live_a_minute

stories = st.tuples(st.integers(0, 2**32), st.integers(1, 50))
deposits = st.fixed_dictionaries(
    {"USDC": st.sampled_from(["900", "20000"]), "HYPE": st.sampled_from(["0", "40"])}
)
many = settings(max_examples=25)


def told(world: World, story: tuple[int, int]) -> list[VenueEvent]:
    seed, minutes = story
    draw = Random(seed)
    return [event for _ in range(minutes) for event in live_a_minute(world, draw)]


def signed(fill: Fill) -> Decimal:
    return fill.side.sign * fill.quantity


@given(deposit=deposits, story=stories, mode=st.sampled_from(MarginMode))
@many
def test_the_history_alone_explains_every_balance_exactly(
    deposit: dict[str, str], story: tuple[int, int], mode: MarginMode
) -> None:
    world = World(deposit)
    world.mode = mode
    world.leverage(5)
    told(world, story)

    report = world.exchange.account_report(None, world.now_ns)
    flows = events_of(Cashflow, world.exchange.private_since(0))
    fills = world.fills()
    with exact():
        for asset in ("USDC", "HYPE"):
            expected = sum((f.money.amount for f in flows if f.money.asset == asset), Decimal(0))
            expected -= sum((f.fee.amount for f in fills if f.fee.asset == asset), Decimal(0))
            actual = world.total(asset)
            if asset == "USDC":
                expected -= sum((signed(f) * f.price for f in fills), Decimal(0))
                expected += sum((p.payment.amount for p in world.payments()), Decimal(0))
                actual += sum((p.raw_margin for p in report.positions), Decimal(0))
            else:
                spot = (f for f in fills if f.instrument == SPOT.id)
                expected += sum((signed(f) for f in spot), Decimal(0))
            assert actual == expected
        held = sum((p.quantity for p in report.positions), Decimal(0))
        assert held == sum((signed(f) for f in fills if f.instrument == PERP.id), Decimal(0))


@given(deposit=deposits, story=stories)
@many
def test_an_isolated_account_never_owes(deposit: dict[str, str], story: tuple[int, int]) -> None:
    world, draw = World(deposit), Random(story[0])
    for _ in range(story[1]):
        live_a_minute(world, draw)

        report = world.exchange.account_report(None, world.now_ns)
        assert all(balance.total >= 0 for balance in report.balances)
        for position in report.positions:
            assert position.margin == position.raw_margin + position.quantity * position.mark


@given(story=stories)
@many
def test_what_is_reported_filled_is_what_the_fills_say(story: tuple[int, int]) -> None:
    world = World()
    events = told(world, story)

    fills = events_of(Fill, events)
    assert fills == world.fills()
    assert len({fill.fill_id for fill in fills}) == len(fills)
    open_orders = world.exchange.account_report(None, world.now_ns).open_orders
    for accepted in events_of(OrderAccepted, events):
        report = world.exchange.order_report(accepted.cloid, world.now_ns)
        filled = [fill.quantity for fill in fills if fill.cloid == accepted.cloid]
        assert report.filled == sum(filled, Decimal(0))
        assert (report.status is OrderStatus.OPEN) == (accepted.cloid in open_orders)


@given(story=stories)
@many
def test_no_more_is_taken_from_a_level_than_it_showed(story: tuple[int, int]) -> None:
    world = World()
    left: dict[tuple[str, Side, Decimal], Decimal] = {}
    for event in told(world, story):
        if isinstance(event, Book):
            left = {level: size for level, size in left.items() if level[0] != event.instrument}
            for side, shown in ((Side.SELL, event.bids), (Side.BUY, event.asks)):
                for one in shown:
                    left[event.instrument, side, decimal_of(one.price)] = decimal_of(one.size)
        elif isinstance(event, Fill) and event.liquidity is Liquidity.TAKER and event.fee.amount:
            level = (event.instrument, event.side, event.price)
            left[level] -= event.quantity
            assert left[level] >= 0


@given(story=stories, cut=st.integers(0, 50))
@many
def test_a_restored_exchange_gives_the_same_answers(story: tuple[int, int], cut: int) -> None:
    world, again, draw = World(), World(), Random(story[0])
    for _ in range(min(cut, story[1])):
        live_a_minute(world, draw)
    again.exchange = Exchange.restore(
        world.exchange.snapshot(), (PERP, SPOT), world.rules, world.exchange.drain_records()
    )
    again.now_ns, again.orders, again.mid = world.now_ns, world.orders, world.mid

    rest = (draw.getrandbits(32), story[1])
    assert told(again, rest) == told(world, rest)
    assert again.exchange.snapshot() == world.exchange.snapshot()
    assert again.exchange.drain_records() == world.exchange.drain_records()
    assert again.exchange.private_since(0) == world.exchange.private_since(0)
    assert again.exchange.funding_published() == world.exchange.funding_published()
