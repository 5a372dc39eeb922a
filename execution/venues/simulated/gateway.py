"""The simulated exchange behind a road with latency, on virtual time; the in-process door.

``SimulatedVenue`` owns virtual time. It merges the market, our requests on their
way in, the venue's answers on their way out and the timers asked for, and yields
what the bot receives in order of time. It is a ``VenueGateway``: what is submitted
while an event is handled arrives one request latency later, so a market that moved
meanwhile has moved.

Public data arrives as it happens (its latency is part of the request's: only their
sum can be felt). Private answers take their own way back.

What the venue knows is in its own store, written before any answer leaves; what is
on the road when the process dies is lost, as on a real road.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Protocol

import msgspec

from domain.market import Book, FundingSettled, MarketInput, PerpContext, PublicEvent
from domain.time import MILLISECOND
from execution.effects import (
    CancelOrder,
    FenceOrder,
    MoveMargin,
    PlaceOrder,
    QueryAccount,
    QueryOrder,
    SetLeverage,
    VenueEffect,
    WakeAt,
)
from execution.events import Event, Timer
from execution.venues.simulated.exchange import Exchange
from execution.venues.simulated.source import MarketSource
from execution.venues.simulated.state import VenueEvent

_NEVER = 1 << 63
_END: tuple[int, Iterable[MarketInput]] = (_NEVER, ())
_TIME_OF = attrgetter("venue_time_ns")
_PUBLIC = (Book, PerpContext, FundingSettled)
_QUIET = (Book, PerpContext)  # published, and nothing else happened


class Latency(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The road to the venue and back, one way each; up to ``jitter_ms`` is added at random."""

    request_ms: int = 120
    answer_ms: int = 80
    jitter_ms: int = 60

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: must not be negative, got {getattr(self, name)}")


class VenueStore(Protocol):
    """Where the venue keeps what it knows. Never read by the bot's engine.

    ``market_ns`` is the last instant of the market that has been played.
    """

    def save(self, exchange: Exchange, market_ns: int, now_ns: int, /) -> None: ...


class NoStore:
    """For backtests: the venue's memory ends with the process."""

    def save(self, exchange: Exchange, _market_ns: int, _now_ns: int, /) -> None:
        exchange.drain_records()


class SimulatedVenue:
    """One exchange, one market, one road."""

    def __init__(
        self,
        exchange: Exchange,
        source: MarketSource,
        latency: Latency,
        draw: Callable[[], float],
        store: VenueStore,
        market_ns: int,
        now_ns: int,
    ) -> None:
        self.exchange = exchange
        self.now_ns = now_ns
        self._latency = latency
        self._draw = draw
        self._store = store
        self._market_ns = market_ns
        self._source = source
        self._instants = groupby(source.events(market_ns), key=_TIME_OF)
        # When the market's own events go on, and what they are.
        self._next_ns: int
        self._next: Iterable[MarketInput]
        self._next_ns, self._next = next(self._instants, _END)
        # What a closer look sees up to then, and the instruments that it was taken at.
        self._ahead: deque[MarketInput] = deque()
        self._watched: frozenset[str] = frozenset()
        # (time, order of scheduling, effect on its way in or event on its way out)
        self._road: list[tuple[int, int, VenueEffect | Event]] = []
        self._scheduled = 0

    def prepare(self, effects: Sequence[VenueEffect]) -> tuple[()]:  # noqa: ARG002
        """Nothing is signed on the way to an exchange in the same process."""
        return ()

    def submit(self, effects: Sequence[VenueEffect | WakeAt]) -> None:
        """Send each effect down the road; answers come out of ``until``."""
        for effect in effects:
            if isinstance(effect, WakeAt):
                self._schedule(effect.time_ns, Timer(effect.time_ns))
            else:
                self._schedule(self.now_ns + self._delay(self._latency.request_ms), effect)

    def until(self, limit_ns: int) -> Iterator[Event]:
        """Everything the bot receives up to ``limit_ns``, in order; time then stands there."""
        road = self._road
        while True:
            market_ns = self._next_instant()
            road_ns = road[0][0] if road else _NEVER
            if market_ns <= limit_ns and market_ns <= road_ns:
                yield from self._play_instant(market_ns)
            elif road_ns <= limit_ns:
                self.now_ns = max(self.now_ns, road_ns)
                _, _, item = heapq.heappop(road)
                if isinstance(item, _EFFECTS):
                    self._arrive(item)
                else:
                    yield item
            else:
                self.now_ns = max(self.now_ns, limit_ns)
                return

    @property
    def ended(self) -> bool:
        """Whether the market has no further event; one without an end has none yet."""
        return self._next_ns == _NEVER and self._source.end_ns is not None

    def fast_forward(self, until_ns: int) -> Iterator[PublicEvent]:
        """Let the market run to ``until_ns`` after a restart; what it publishes warms the bot."""
        while (market_ns := self._next_instant()) <= until_ns:
            yield from self._play_instant(market_ns)
        self.now_ns = max(self.now_ns, until_ns)

    def _next_instant(self) -> int:
        """When the market moves next, looked at more closely while an order of ours rests in it.

        A jump past its price would fill it as late as the jump is large, and whatever
        is done about the fill would pay for the distance.
        """
        if self._next_ns == _NEVER and self._source.end_ns is None:
            self._instants = groupby(self._source.events(self._market_ns), key=_TIME_OF)
            self._next_ns, self._next = next(self._instants, _END)
        resting = self.exchange.resting
        if resting and not resting <= self._watched and self._next_ns != _NEVER:
            self._watched |= resting
            self._ahead = deque(self._source.between(self._watched, self.now_ns, self._next_ns))
        return self._ahead[0].venue_time_ns if self._ahead else self._next_ns

    def _take_instant(self, time_ns: int) -> list[MarketInput]:
        """Everything that happens at ``time_ns``, the next instant."""
        inputs: list[MarketInput] = []
        while self._ahead and self._ahead[0].venue_time_ns == time_ns:
            inputs.append(self._ahead.popleft())
        if self._next_ns == time_ns:
            inputs += self._next
            self._next_ns, self._next = next(self._instants, _END)
            self._watched = frozenset()
        return inputs

    def _play_instant(self, time_ns: int) -> list[PublicEvent]:
        """Take all market inputs of the next instant; returns what they publish.

        What an instant did to the account is told in one message.
        """
        on_market = self.exchange.on_market
        self._market_ns = self.now_ns = time_ns
        published: list[PublicEvent] = []
        private: list[VenueEvent] = []
        told = False
        for event in self._take_instant(time_ns):
            events = on_market(event)
            if len(events) == 1 and type(events[0]) in _QUIET:
                published += events  # type: ignore[arg-type]
            elif events:
                told = True
                published += [event for event in events if isinstance(event, _PUBLIC)]
                private += [event for event in events if not isinstance(event, _PUBLIC)]
        if told:
            self._remember_and_tell(private)
        return published

    def _arrive(self, effect: VenueEffect) -> None:
        now_ns = self.now_ns
        exchange = self.exchange
        events: list[VenueEvent]
        if isinstance(effect, PlaceOrder):
            events = exchange.place(effect.request, now_ns)
        elif isinstance(effect, CancelOrder):
            events = exchange.cancel(effect.cloid, now_ns)
        elif isinstance(effect, QueryOrder):
            events = [exchange.order_report(effect.cloid, now_ns)]
        elif isinstance(effect, QueryAccount):
            events = [
                *exchange.private_since(effect.since_ns),
                exchange.account_report(effect.request_id, now_ns),
            ]
        elif isinstance(effect, SetLeverage):
            events = exchange.set_leverage(
                effect.request_id, effect.instrument, effect.leverage, now_ns
            )
        else:
            assert isinstance(effect, MoveMargin), "Invariant: without nonces nothing is fenced"
            events = exchange.move_margin(
                effect.request_id, effect.instrument, effect.amount, now_ns
            )
        if isinstance(effect, QueryOrder | QueryAccount):
            self._send(events)
        else:
            self._remember_and_tell(events)

    def _remember_and_tell(self, events: Sequence[VenueEvent]) -> None:
        """What changed is in the store before anyone is told; then the account is pushed."""
        self._store.save(self.exchange, self._market_ns, self.now_ns)
        self._send([*events, self.exchange.account_report(None, self.now_ns)])

    def _send(self, events: Sequence[VenueEvent]) -> None:
        """One message: its parts arrive together and in order."""
        received_ns = self.now_ns + self._delay(self._latency.answer_ms)
        for event in events:
            self._schedule(received_ns, msgspec.structs.replace(event, received_ns=received_ns))

    def _schedule(self, time_ns: int, item: VenueEffect | Event) -> None:
        self._scheduled += 1
        heapq.heappush(self._road, (time_ns, self._scheduled, item))

    def _delay(self, base_ms: int) -> int:
        return int((base_ms + self._draw() * self._latency.jitter_ms) * MILLISECOND)


_EFFECTS = (
    PlaceOrder, CancelOrder, QueryOrder, FenceOrder, QueryAccount, SetLeverage, MoveMargin
)  # fmt: skip
