"""A worse road to the same venue: what a test wants lost, late, repeated or torn apart, is."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from random import Random

import msgspec

from domain.account import AccountReport
from domain.money import ZERO, exact
from domain.orders import Fill, SendFailed
from domain.time import HOUR, MINUTE, SECOND
from execution.effects import PlaceOrder, VenueEffect
from execution.events import Command, Event
from execution.facts import OrderIntended
from execution.ledger.pnl import PnL
from execution.reconcile import differences
from execution.venues.simulated.gateway import SimulatedVenue
from execution.venues.simulated.state import VenueEvent
from tests.scripted import START, World

Message = Sequence[VenueEvent]
Delivery = Iterable[tuple[int, VenueEvent]]
"""(delay on top of the road's own, ns; event): what becomes of one message."""


def straight(message: Message) -> Delivery:
    return [(0, event) for event in message]


class LossyVenue(SimulatedVenue):
    """``request`` False: lost before the venue. ``answer``: how a message is delivered.

    ``fails`` are requests whose sender is told that the outcome is unknown, whether
    they arrive or not.
    """

    request: Callable[[VenueEffect], bool]
    answer: Callable[[Message], Delivery]
    fails: Callable[[VenueEffect], bool]

    def _arrive(self, effect: VenueEffect) -> None:
        if isinstance(effect, PlaceOrder) and self.fails(effect):
            at = self.now_ns + SECOND // 10
            self._schedule(at, SendFailed(effect.request.cloid, "connection reset", at))
        if self.request(effect):
            super()._arrive(effect)

    def _send(self, events: Sequence[VenueEvent]) -> None:
        received_ns = self.now_ns + self._delay(self._latency.answer_ms)
        for extra, event in self.answer(events):
            at = received_ns + extra
            self._schedule(at, msgspec.structs.replace(event, received_ns=at))


class Storm(World):
    """A world whose road can be made worse at any time."""

    venue: LossyVenue

    def worse(
        self,
        request: Callable[[VenueEffect], bool] = lambda _: True,
        answer: Callable[[Message], Delivery] = straight,
        fails: Callable[[VenueEffect], bool] = lambda _: False,
    ) -> "Storm":
        self.venue.__class__ = LossyVenue
        self.venue.request, self.venue.answer, self.venue.fails = request, answer, fails
        return self

    def calm(self) -> "Storm":
        return self.worse()

    def hand(self, event: Event) -> None:
        """Let the engine hear one event now."""
        self._commit(self.engine.handle(event))

    def command(self, name: str, argument: str = "") -> None:
        self.hand(Command(name, argument, "tester", self.venue.now_ns))

    def until(self, reached: Callable[[], bool], step_ns: int = SECOND, hours: float = 12) -> None:
        """Advance until ``reached``; a test that waits in vain fails here."""
        last_ns = START + int(hours * HOUR)
        while not reached():
            assert self.venue.now_ns < last_ns, "it never came to that"
            self.advance(self.venue.now_ns + step_ns)

    def minutes(self, minutes: float) -> "Storm":
        self.advance(self.venue.now_ns + int(minutes * MINUTE))
        return self

    def happens(self, events: Sequence[VenueEvent]) -> None:
        """Something happened at the venue by itself: it remembers, and tells."""
        self.venue._remember_and_tell(events)


def intended(world: World) -> list[OrderIntended]:
    return [f for f in world.told(OrderIntended) if isinstance(f, OrderIntended)]


def assert_sound(world: World, naked: Decimal | None = Decimal(1010)) -> None:
    """What must hold after any trouble, once the road is calm again.

    The books are the venue's, to the last digit; each of its fills was booked once; no
    order was sent twice; profit is whole; and never was more than ``naked`` unhedged.
    """
    world.advance(world.venue.now_ns + SECOND)  # what is on the road arrives
    state, venue = world.engine.state, world.venue.exchange
    assert differences(state, venue.account_report(None, world.venue.now_ns)) == ()
    assert state.books.balanced()
    assert not state.orders.unknown()
    assert world.engine.reconciled_ns is not None
    assert state.reconciled is not None
    assert state.reconciled.mismatches == ()

    ours = Counter(f.fill_id for f in world.told(Fill) if isinstance(f, Fill))
    assert set(ours) == {f.fill_id for f in venue.private_since(0) if isinstance(f, Fill)}
    assert set(ours.values()) <= {1}
    cloids = [f.request.cloid for f in intended(world)]
    assert len(set(cloids)) == len(cloids)
    accepted = [
        msgspec.json.decode(r.payload)["cloid"]
        for r in venue.requests
        if (r.action, r.outcome) == ("place", "accepted") and "by hand" not in r.payload
    ]
    assert len(set(accepted)) == len(accepted)
    assert set(accepted) <= set(cloids)

    marks = world.engine.marks()
    total = state.books.pnl_total(marks)
    with exact():
        assert total.total == state.books.equity(marks) - state.books.capital
        parts = [state.books.pnl(trade, marks) for trade in (*state.books.trades, None)]
        for name in PnL.__struct_fields__:
            assert sum((getattr(part, name) for part in parts), ZERO) == getattr(total, name)
    if naked is not None:
        assert state.exposed.notional <= naked


def is_hedged(world: World) -> bool:
    """Every open trade's legs cancel out, to within what no order may trade."""
    state = world.engine.state
    for trade_id in state.open_trades.values():
        spot, perp = state.quantities(state.trades[trade_id])
        if abs(spot + perp) * 20 > 10:
            return False
    return True


def shaken(
    seed: int, loss: float, repeat: float = 0.2, late_ns: int = 4 * SECOND
) -> tuple[Callable[[VenueEffect], bool], Callable[[Message], Delivery]]:
    """A road on which each thing may be lost, late, repeated or overtaken, by the seed."""
    draw = Random(f"road {seed}").random

    def request(_: VenueEffect) -> bool:
        return draw() >= loss

    def answer(message: Message) -> Delivery:
        for event in message:
            asked = isinstance(event, AccountReport) and event.request_id is not None
            if draw() < loss and not asked:
                continue
            yield int(draw() ** 4 * late_ns), event
            if draw() < repeat:
                yield int(draw() * late_ns), event

    return request, answer
