"""What protects money when something else has gone wrong already."""

from collections.abc import Iterator
from decimal import Decimal

import msgspec
import pytest

from domain.market import Book, MarketInput
from domain.money import ZERO, Money
from domain.orders import Fill, FillCause, Liquidity, Side
from domain.time import MINUTE
from execution.facts import LimitTripped, MarginIntended, OrderIntended
from tests.scripted import SPOT, START, Scripted, Told, World, settings
from tests.simulation.test_margin_paths import liquidations, moving


class SpotGap(Scripted):
    """``moving``, and for a while nobody bids for the spot, while the perp trades on."""

    def __init__(self, inner: Scripted, first_minute: int, minutes: int) -> None:
        self.__dict__.update(inner.__dict__)
        self._gone = (START + first_minute * MINUTE, START + (first_minute + minutes) * MINUTE)

    def events(self, after_ns: int) -> Iterator[MarketInput]:
        for event in super().events(after_ns):
            gone = self._gone[0] <= event.venue_time_ns < self._gone[1]
            if gone and isinstance(event, Book) and event.instrument == SPOT.id:
                yield msgspec.structs.replace(event, bids=())
            else:
                yield event


@pytest.mark.parametrize("minutes", [10, 20, 30])
def test_a_spot_book_without_bids_does_not_cost_the_perp(minutes: int) -> None:
    source = SpotGap(moving(2.0, 60), first_minute=140, minutes=minutes)
    world = World(source, Told("6200")).run(6)
    state = world.engine.state
    assert liquidations(world) == []
    # The cap, and what one step of the price adds before the answer to it is filled.
    assert state.extremes.leverage_held < Decimal("3.2")
    trade = state.trade_on("HYPE")
    if trade is not None:
        spot, perp = state.quantities(trade)
        assert abs(spot + perp) < Decimal("0.6")
    assert state.books.balanced()


def test_a_gap_in_one_legs_quotes_is_not_taken_for_a_loss() -> None:
    source = SpotGap(moving(2.0, 60), first_minute=140, minutes=30)
    world = World(source, Told("6200")).run(6)
    tripped = {f.limit for f in world.told(LimitTripped) if isinstance(f, LimitTripped)}
    assert not tripped & {"drawdown", "daily_loss"}


def test_no_more_orders_a_minute_add_risk_than_the_limit_allows() -> None:
    limits = msgspec.structs.replace(settings().risk, orders_per_minute_max=3)
    world = World(
        Scripted(lambda _: 20.0, hours=4, step_ns=5 * 1_000_000_000),
        Told("6000"),
        chosen=settings(risk=limits),
    ).run(3)
    sent = [f for f in world.told(OrderIntended) if isinstance(f, OrderIntended)]
    growing = [f.time_ns for f in sent if f.role == "maker"]
    for first in growing:
        assert sum(first <= t < first + MINUTE for t in growing) <= 3
    assert len(growing) > 6


def test_a_leverage_target_between_whole_numbers_is_met_by_a_top_up() -> None:
    limits = msgspec.structs.replace(settings().risk, leverage_target=Decimal("1.5"))
    world = World(
        Scripted(lambda _: 20.0, hours=3), Told("4000"), chosen=settings(risk=limits)
    ).run(3)
    (moved,) = (f for f in world.told(MarginIntended) if isinstance(f, MarginIntended))
    assert moved.amount > ZERO
    position = world.engine.account.position("sim:HYPE-PERP") if world.engine.account else None
    assert position is not None
    leverage = abs(position.quantity) * position.mark / position.margin
    assert Decimal("1.48") < leverage < Decimal("1.53")


def test_a_leverage_target_just_below_the_cap_is_not_rounded_up_to_it() -> None:
    limits = msgspec.structs.replace(settings().risk, leverage_target=Decimal("2.3"))
    rising = Scripted(lambda minutes: 20.0 + 0.01 * minutes, hours=3)
    world = World(rising, Told("4000"), chosen=settings(risk=limits)).run(3)

    assert world.engine.state.trades["HYPE#1"].plan.leverage == 2
    assert world.engine.state.extremes.effective_leverage < limits.leverage_cap


def test_what_a_person_buys_is_not_sold_by_the_bot() -> None:
    world = World(Scripted(lambda _: 20.0, hours=8), Told("2000", leave=5)).run(3)
    now_ns = world.venue.now_ns
    bought = Fill(
        "by-hand", None, SPOT.id, Side.BUY, Decimal(20), Decimal(40), Money(ZERO, "USDC"),
        Liquidity.TAKER, FillCause.ORDER, now_ns, now_ns,
    )  # fmt: skip
    world.engine.handle(bought)
    books = world.engine.state.books
    assert books.quantity(None, SPOT.id) == 40
    held = books.quantity("HYPE#1", SPOT.id)
    assert Decimal(99) < held < Decimal(101)
    world.advance(START + 7 * 60 * MINUTE)
    assert books.quantity(None, SPOT.id) >= 40
