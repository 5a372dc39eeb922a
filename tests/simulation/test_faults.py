"""Between the bot and its venue anything may be lost, late, repeated or out of order."""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from domain.account import (
    AccountReport,
    FundingPayment,
    LeverageConfirmed,
    MarginMode,
    MarginMoved,
    SettingRefused,
)
from domain.instruments import Instrument, Pair
from domain.market import Book, Level, MarketInput, Reference
from domain.money import ZERO, Money
from domain.orders import (
    CancelReason,
    CancelRejected,
    Fill,
    FillCause,
    Liquidity,
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
    OrderReport,
    OrderStatus,
    Side,
)
from domain.targets import Target
from domain.time import HOUR, MINUTE, SECOND
from execution.effects import (
    CancelOrder,
    MoveMargin,
    PlaceOrder,
    SetLeverage,
    VenueEffect,
)
from execution.facts import (
    CancelIntended,
    OrderDoubted,
    OrderIntended,
    OrderResolved,
    Role,
    Stage,
)
from execution.orders import OrderState
from execution.venues.simulated.state import VenueEvent
from strategies.market.state import Market
from strategies.strategy import Holding
from tests.lossy import Delivery, Message, Storm, assert_sound, intended, is_hedged, shaken
from tests.scripted import PAIR, PERP, SPOT, START, Scripted, Told, quotes, settings

POLICY = settings().execution
EXPIRY_NS = int((POLICY.request_expiry_seconds + POLICY.clock_margin_seconds) * SECOND)


def wiggle(number: int) -> float:
    return 20.0 + ((number * 7) % 11 - 5) / 200


def flat(_: int) -> float:
    return 20.0


def world(hours: float = 8, notional: str = "4000", leave: float = 1e9) -> Storm:
    return Storm(Scripted(wiggle, hours), Told(notional, enter=1, leave=leave)).worse()


def about(event: VenueEvent) -> str | None:
    """The order an answer is about; a query's own answer is not one."""
    if isinstance(event, OrderAccepted | OrderRejected | OrderCanceled | CancelRejected | Fill):
        return event.cloid
    return None


class NthOrder:
    """Picks out the n-th order that is placed, counted from one."""

    def __init__(self, nth: int) -> None:
        self._nth, self._seen = nth, dict[str, None]()

    def __call__(self, effect: VenueEffect) -> bool:
        if isinstance(effect, PlaceOrder):
            self._seen[effect.request.cloid] = None
            return effect.request.cloid == self.cloid
        return False

    @property
    def cloid(self) -> str:
        return list(self._seen)[self._nth - 1] if len(self._seen) >= self._nth else ""


def doubts(storm: Storm, cloid: str) -> tuple[OrderDoubted, OrderResolved]:
    """The first doubt about an order and the last proof of its fate."""
    doubted = [f for f in storm.told(OrderDoubted) if isinstance(f, OrderDoubted)]
    resolved = [f for f in storm.told(OrderResolved) if isinstance(f, OrderResolved)]
    return (
        next(f for f in doubted if f.cloid == cloid),
        [f for f in resolved if f.cloid == cloid][-1],
    )


def was_doubted(storm: Storm, cloid: str) -> bool:
    return any(f.cloid == cloid for f in storm.told(OrderDoubted) if isinstance(f, OrderDoubted))


# --- an order without an answer ------------------------------------------------------------------

ORDERS = (1, 2, 3, 6, 9, 12)
"""The first maker, the first hedge, … and orders of the close."""


@pytest.mark.parametrize("nth", ORDERS)
def test_an_order_whose_answers_are_all_lost_is_found_at_the_venue_and_not_sent_again(
    nth: int,
) -> None:
    storm = world(leave=3)
    chosen = NthOrder(nth)

    def answer(message: Message) -> Delivery:
        lost = any(about(event) == chosen.cloid for event in message)
        asked = any(isinstance(e, AccountReport) and e.request_id is not None for e in message)
        return [(0, event) for event in message] if asked or not lost else []

    storm.worse(request=lambda e: chosen(e) or True, answer=answer).run(7)

    if was_doubted(storm, chosen.cloid):
        doubt, proof = doubts(storm, chosen.cloid)
        assert proof.status in (OrderStatus.OPEN, OrderStatus.FILLED, OrderStatus.CANCELED)
        assert doubt.time_ns < proof.time_ns
        assert_no_growth_between(storm, doubt, proof)
    else:  # the account's history had its fills before anybody missed the answer
        order = storm.engine.state.orders[chosen.cloid]
        assert order.state is OrderState.FILLED
        latest_ns = order.intended_ns + (POLICY.order_timeout_seconds + 1) * SECOND
        assert order.changed_ns <= latest_ns
    assert_sound(storm)
    assert storm.engine.state.trades["HYPE#1"].stage is Stage.CLOSED


@pytest.mark.parametrize("nth", ORDERS)
def test_an_order_lost_before_the_venue_counts_as_never_seen_only_after_its_expiry(
    nth: int,
) -> None:
    storm = world(leave=3)
    chosen = NthOrder(nth)
    storm.worse(request=lambda effect: not chosen(effect)).run(7)

    lost = storm.engine.state.orders[chosen.cloid]
    doubt, proof = doubts(storm, chosen.cloid)
    assert proof.status is OrderStatus.NEVER_SEEN
    assert proof.time_ns > lost.request.expires_ns + POLICY.clock_margin_seconds * SECOND
    assert proof.time_ns < lost.request.expires_ns + 10 * SECOND
    assert_no_growth_between(storm, doubt, proof)
    again = [f for f in intended(storm) if f.request.instrument == lost.request.instrument]
    assert not any(lost.intended_ns < f.time_ns < proof.time_ns for f in again)
    assert_sound(storm)
    assert storm.engine.state.trades["HYPE#1"].stage is Stage.CLOSED
    assert storm.engine.state.exposed.seconds < POLICY.max_naked_seconds


def assert_no_growth_between(storm: Storm, doubt: OrderDoubted, proof: OrderResolved) -> None:
    sent = [f for f in intended(storm) if doubt.time_ns < f.time_ns < proof.time_ns]
    assert [f for f in sent if f.role is Role.MAKER and not _reduces(f)] == []


def _reduces(fact: OrderIntended) -> bool:
    return (fact.request.instrument == SPOT.id) is (fact.request.side is Side.SELL)


@pytest.mark.parametrize("arrives", [True, False])
def test_a_send_that_failed_is_unknown_until_proven_whether_it_arrived_or_not(
    arrives: bool,
) -> None:
    storm = world(leave=3)
    failing = NthOrder(2)
    storm.worse(
        request=lambda effect: arrives or not failing(effect),
        answer=lambda m: [(0, e) for e in m if about(e) != failing.cloid or not arrives],
        fails=failing,
    ).run(3)
    storm.calm().run(7)
    doubt, proof = doubts(storm, failing.cloid)
    assert doubt.reason == "connection reset"
    assert (proof.status is OrderStatus.NEVER_SEEN) is not arrives
    assert_sound(storm)


def test_an_answer_to_the_query_that_is_lost_too_is_asked_for_again() -> None:
    storm = world()
    lost = NthOrder(1)
    unanswered = 3

    def answer(message: Message) -> Delivery:
        nonlocal unanswered
        if isinstance(message[0], OrderReport) and unanswered:
            unanswered -= 1
            return []
        return [(0, event) for event in message]

    storm.worse(request=lambda effect: not lost(effect), answer=answer).run(2)
    assert unanswered == 0
    doubt, proof = doubts(storm, lost.cloid)
    assert proof.time_ns - doubt.time_ns >= 3 * SECOND
    assert_sound(storm)


PURR = Pair(
    "PURR",
    msgspec.structs.replace(SPOT, symbol="PURR/USDC", base="PURR"),
    msgspec.structs.replace(PERP, symbol="PURR-PERP", base="PURR"),
)
AS_PURR = {SPOT.id: PURR.spot.id, PERP.id: PURR.perp.id}


class TwoPairs(Scripted):
    """A second pair whose market is the first one's."""

    pairs = (PAIR, PURR)

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        return (SPOT, PERP, PURR.spot, PURR.perp)

    def _step(self, number: int, time_ns: int) -> Iterator[MarketInput]:
        for event in super()._step(number, time_ns):
            yield event
            yield msgspec.structs.replace(event, instrument=AS_PURR[event.instrument])


class Both(Told):
    def targets(
        self, market: Market, holdings: Mapping[str, Holding], equity: Decimal, now_ns: int
    ) -> tuple[Target, ...]:
        (first,) = super().targets(market, holdings, equity, now_ns)
        as_hype = {"HYPE": holdings["PURR"]} if "PURR" in holdings else {}
        (second,) = super().targets(market, as_hype, equity, now_ns)
        return first, msgspec.structs.replace(second, pair="PURR")


def test_while_an_order_is_unknown_no_other_pair_grows_either() -> None:
    storm = Storm(TwoPairs(flat, 8), Both("2500", enter=1)).worse()
    lost = ""

    def request(effect: VenueEffect) -> bool:
        nonlocal lost
        if isinstance(effect, PlaceOrder) and effect.request.instrument == PURR.perp.id:
            lost = lost or effect.request.cloid
        return not (isinstance(effect, PlaceOrder) and effect.request.cloid == lost)

    storm.worse(request=request).run(3)
    doubt, proof = doubts(storm, lost)
    assert_no_growth_between(storm, doubt, proof)
    # What was already resting on the other pair was taken back.
    canceled = [f for f in storm.told(CancelIntended) if isinstance(f, CancelIntended)]
    assert any(
        doubt.time_ns <= f.time_ns <= proof.time_ns
        and storm.engine.state.orders[f.cloid].trade_id == "HYPE#1"
        for f in canceled
    )
    assert {t.stage for t in storm.engine.state.trades.values()} == {Stage.HOLDING}
    assert_sound(storm)


# --- repeated, reordered, torn apart -------------------------------------------------------------


def twice(message: Message) -> Delivery:
    return [(extra, event) for event in message for extra in (0, SECOND // 2)]


def backwards(message: Message) -> Delivery:
    return [(0, event) for event in reversed(message)]


def fills_first(message: Message) -> Delivery:
    """Whatever is not a fill takes two seconds longer."""
    return [(0 if isinstance(e, Fill) else 2 * SECOND, e) for e in message]


def acks_first(message: Message) -> Delivery:
    return [(2 * SECOND if isinstance(e, Fill) else 0, e) for e in message]


def accounts_overtake(message: Message) -> Delivery:
    """Every second account report is late: an older one arrives after a newer one."""
    late = sum(e.venue_time_ns // SECOND % 2 for e in message if isinstance(e, AccountReport))
    return [(5 * SECOND * late if isinstance(e, AccountReport) else 0, e) for e in message]


@pytest.mark.parametrize("answer", [twice, backwards, fills_first, acks_first, accounts_overtake])
def test_the_order_in_which_answers_arrive_does_not_change_what_is_booked(
    answer: Callable[[Message], Delivery],
) -> None:
    storm = world(leave=3).worse(answer=answer).run(7)
    assert isinstance(storm, Storm)
    assert_sound(storm)
    trade = storm.engine.state.trades["HYPE#1"]
    assert (trade.held, trade.stage) == (True, Stage.CLOSED)
    assert storm.engine.state.limits.names == ()


def test_fills_that_are_never_pushed_are_found_by_asking_and_hedged() -> None:
    def answer(message: Message) -> Delivery:
        asked = any(isinstance(e, AccountReport) and e.request_id is not None for e in message)
        return [(0, e) for e in message if asked or not isinstance(e, Fill)]

    storm = world(leave=3).worse(answer=answer).run(7)
    assert isinstance(storm, Storm)
    assert_sound(storm)
    assert storm.engine.state.trades["HYPE#1"].stage is Stage.CLOSED
    # Known from the first venue record: bounded although no fill was ever told.
    fills = [f for f in storm.told(Fill) if isinstance(f, Fill)]
    assert max(f.received_ns - f.venue_time_ns for f in fills) <= 15 * SECOND


def test_a_partial_fill_of_a_resting_order_that_is_lost_is_found_within_a_reconciliation() -> None:
    source = Scripted(wiggle, 8, depth=3.0)  # 30 base units printed a minute: partial fills
    storm = Storm(source, Told("4000", enter=1)).worse()

    def answer(message: Message) -> Delivery:
        asked = any(isinstance(e, AccountReport) and e.request_id is not None for e in message)
        maker = [e for e in message if isinstance(e, Fill) and e.instrument == SPOT.id]
        return [(0, e) for e in message if asked or e not in maker]

    storm.worse(answer=answer).run(4)
    storm.calm().run(6)
    assert_sound(storm, None)
    fills = [f for f in storm.told(Fill) if isinstance(f, Fill)]
    assert max(f.received_ns - f.venue_time_ns for f in fills) <= 62 * SECOND
    assert is_hedged(storm)


@pytest.mark.parametrize("loss", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("seed", range(6))
def test_in_a_storm_of_faults_the_books_stay_the_venues(seed: int, loss: float) -> None:
    storm = Storm(Scripted(wiggle, 9), Told("4000", enter=1, leave=3), seed=seed)
    request, answer = shaken(seed, loss)
    storm.worse(request, answer).run(5)
    storm.calm().run(7)
    assert_sound(storm)
    assert storm.engine.state.trade_on("HYPE") is None
    # From the exchange's record on. Without a nonce to fence, and with a fill that is told of by
    # one question in two: three such questions 20 s apart, an expiry, and the hedge itself.
    assert storm.engine.state.exposed.seconds <= 120


# --- cancels -------------------------------------------------------------------------------------


def resting(storm: Storm) -> str:
    """The maker order that rests now, between two minutes."""
    storm.run(1)
    storm.until(lambda: bool(storm.engine.state.open_trades))
    storm.until(
        lambda: any(
            o.state is OrderState.OPEN and o.role is Role.MAKER
            for o in storm.engine.state.orders.live()
        )
    )
    return next(o.cloid for o in storm.engine.state.orders.live() if o.role is Role.MAKER)


def test_a_cancel_that_a_fill_overtakes_ends_as_the_fill_it_is() -> None:
    storm = world()
    cloid = resting(storm)
    now_ns = storm.venue.now_ns
    # Decided just before the next print, so that it arrives just after.
    storm.advance((now_ns // MINUTE + 1) * MINUTE - SECOND // 20)
    storm.command("pause")
    order = storm.engine.state.orders[cloid]
    assert order.state is OrderState.CANCELING
    storm.minutes(3)
    order = storm.engine.state.orders[cloid]
    assert (order.state, order.remaining) == (OrderState.FILLED, ZERO)
    assert is_hedged(storm)
    storm.command("resume")
    storm.run(3)
    assert_sound(storm)
    assert storm.engine.state.trades["HYPE#1"].stage is Stage.HOLDING


def test_a_cancel_that_is_lost_is_found_out_and_repeated() -> None:
    storm = world()
    cloid = resting(storm)
    lost = 0

    def request(effect: VenueEffect) -> bool:
        nonlocal lost
        lost += isinstance(effect, CancelOrder)
        return not (isinstance(effect, CancelOrder) and lost == 1)

    storm.worse(request=request)
    storm.command("pause")
    storm.minutes(0.5)
    assert lost == 2
    assert storm.engine.state.orders[cloid].state is OrderState.CANCELED
    assert_sound(storm)


def test_a_cancel_of_what_is_already_gone_leaves_nothing_open_or_unknown() -> None:
    storm = world()
    cloid = resting(storm)
    # The venue canceled it by itself and the word of it was lost.
    storm.worse(answer=lambda _: ())
    storm.venue.exchange.cancel(cloid, storm.venue.now_ns)
    storm.calm()
    storm.command("pause")
    storm.minutes(1)
    assert storm.engine.state.orders[cloid].state is OrderState.CANCELED
    assert_sound(storm)


class Falling(Scripted):
    """From 1:05 to 1:06 a tenth of a second brings a new price, a little lower each time."""

    def events(self, after_ns: int) -> Iterator[MarketInput]:
        for event in super().events(after_ns):
            yield event
            since_ns = event.venue_time_ns - START - 65 * MINUTE
            if since_ns == 0 and isinstance(event, Reference):
                for tenth in range(1, 600):
                    yield from self._fall(event.venue_time_ns + tenth * SECOND // 10, tenth)

    def _fall(self, time_ns: int, tenth: int) -> Iterator[MarketInput]:
        mid = 20.0 * 0.999 ** min(tenth, 300)
        for leg in (SPOT, PERP):
            bid, ask = quotes(leg, mid)
            yield Book(leg.id, (Level(bid, 1e6),), (Level(ask, 1e6),), time_ns, time_ns)
        yield Reference(PERP.id, mid, mid, time_ns, time_ns)


def test_post_only_orders_that_a_falling_market_refuses_are_sent_less_and_less_often() -> None:
    storm = Storm(Falling(flat, 4), Told("900", enter=1)).worse().run(65.95 / 60)
    sent = [f.time_ns for f in intended(storm)]
    refused = [f for f in storm.told(OrderRejected) if isinstance(f, OrderRejected)]
    assert len(refused) >= 4
    assert all("immediately matched" in f.reason for f in refused)
    pauses = [later - earlier for earlier, later in pairwise(sent)]
    assert pauses == sorted(pauses)
    assert pauses[0] >= POLICY.retry_seconds * SECOND
    storm.run(3)
    assert storm.engine.state.trades["HYPE#1"].stage is Stage.HOLDING
    assert_sound(storm)


# --- leverage and margin -------------------------------------------------------------------------


def test_a_leverage_answer_that_is_lost_is_asked_for_again_every_timeout() -> None:
    storm = world()
    lost = 4

    def answer(message: Message) -> Delivery:
        nonlocal lost
        if lost and any(isinstance(e, LeverageConfirmed) for e in message):
            lost -= 1
            return []
        return [(0, event) for event in message]

    storm.worse(answer=answer).run(1)
    storm.until(lambda: bool(storm.engine.state.open_trades))
    storm.minutes(0.4)
    assert lost == 0
    assert storm.told(LeverageConfirmed)
    storm.run(3)
    assert_sound(storm)
    assert storm.engine.state.trades["HYPE#1"].stage is Stage.HOLDING


def test_a_leverage_request_that_is_lost_is_repeated_and_no_order_goes_before_the_answer() -> None:
    storm = world()
    lost = 2

    def request(effect: VenueEffect) -> bool:
        nonlocal lost
        if isinstance(effect, SetLeverage) and lost:
            lost -= 1
            return False
        return True

    storm.worse(request=request).run(2)
    confirmed = storm.told(LeverageConfirmed)[0]
    assert isinstance(confirmed, LeverageConfirmed)
    assert lost == 0
    assert all(f.time_ns >= confirmed.received_ns for f in intended(storm))
    assert intended(storm)


def _read_back(leverage: int, mode: MarginMode) -> Callable[[Message], Delivery]:
    def answer(message: Message) -> Delivery:
        replace = msgspec.structs.replace
        return [
            (0, replace(e, leverage=leverage, mode=mode) if isinstance(e, LeverageConfirmed) else e)
            for e in message
        ]

    return answer


@pytest.mark.parametrize(("leverage", "mode"), [(5, MarginMode.ISOLATED), (2, MarginMode.CROSS)])
def test_a_leverage_or_mode_read_back_different_gives_the_trade_up_before_any_order(
    leverage: int, mode: MarginMode
) -> None:
    storm = world().worse(answer=_read_back(leverage, mode)).run(1.9)
    trade = storm.engine.state.trades["HYPE#1"]
    assert trade.stage is Stage.CLOSED
    assert trade.exit_reason is not None
    assert trade.exit_reason.startswith("leverage_mismatch")
    assert intended(storm) == []
    assert len(storm.engine.state.trades) == 1  # and it is not tried again at once


def _refuse(message: Message) -> Delivery:
    for event in message:
        if isinstance(event, LeverageConfirmed):
            now_ns = event.venue_time_ns
            yield 0, SettingRefused("leverage-HYPE#1", PERP.id, "no", now_ns, now_ns)
        else:
            yield 0, event


def test_a_refused_leverage_gives_the_trade_up_and_is_no_loss_of_the_streak() -> None:
    storm = world().worse(answer=_refuse).run(1.9)
    trade = storm.engine.state.trades["HYPE#1"]
    assert (trade.stage, trade.exit_reason) == (Stage.CLOSED, "leverage_refused: no")
    assert intended(storm) == []
    assert storm.engine.state.loss_streak == 0
    assert_sound(storm)


def test_a_second_trade_given_up_before_it_began_returns_the_dust_it_took_over() -> None:
    chosen = settings(execution=msgspec.structs.replace(POLICY, reopen_seconds=1200.0))
    storm = Storm(Scripted(wiggle, 9), Again((1, 2), (3, 1e9)), chosen=chosen).worse().run(2.9)
    books = storm.engine.state.books
    dust = books.quantity(None, SPOT.id)
    assert ZERO < dust < Decimal(1)
    storm.worse(answer=_read_back(5, MarginMode.ISOLATED)).run(3.1)
    assert storm.engine.state.trades["HYPE#2"].stage is Stage.CLOSED
    assert books.quantity("HYPE#2", SPOT.id) == ZERO
    assert books.quantity(None, SPOT.id) == dust
    storm.calm().run(5)
    assert storm.engine.state.trades["HYPE#3"].stage is Stage.HOLDING
    assert books.quantity(None, SPOT.id) == ZERO
    assert_sound(storm)


class Again(Told):
    """Holds between each of several pairs of hours."""

    def __init__(self, *spans: tuple[float, float]) -> None:
        super().__init__("4000")
        self._spans = [(START + int(a * HOUR), START + int(b * HOUR)) for a, b in spans]

    def targets(
        self, market: Market, holdings: Mapping[str, Holding], equity: Decimal, now_ns: int
    ) -> tuple[Target, ...]:
        for begin, end in self._spans:
            if now_ns < end:
                self._from, self._to = begin, end
                break
        return super().targets(market, holdings, equity, now_ns)


def rally(after_minutes: int = 120, over_minutes: int = 60, change: float = 2.0) -> Scripted:
    def price(number: int) -> float:
        done = min(max(number - after_minutes, 0), over_minutes) / over_minutes
        return float(20.0 * change**done)

    return Scripted(price, hours=6)


@pytest.mark.parametrize("arrives", [False, True])
def test_margin_requests_that_are_lost_or_unanswered_are_repeated_in_time(arrives: bool) -> None:
    storm = Storm(rally(), Told("3000")).worse()
    lost = 0

    def request(effect: VenueEffect) -> bool:
        nonlocal lost
        if isinstance(effect, MoveMargin) and lost < 5:
            lost += 1
            return arrives
        return True

    def answer(message: Message) -> Delivery:
        if any(isinstance(e, MarginMoved) for e in message) and lost < 5:
            return []
        return [(0, event) for event in message]

    storm.worse(request=request, answer=answer).run(6)
    fills = [f for f in storm.told(Fill) if isinstance(f, Fill)]
    assert {f.cause.value for f in fills} == {"order"}
    assert storm.told(MarginMoved)
    assert storm.engine.state.extremes.leverage_held < 3
    assert storm.engine.state.margin_requests == {}
    assert_sound(storm)


def test_a_margin_request_that_is_refused_changes_nothing_and_the_guard_goes_on() -> None:
    storm = Storm(rally(), Told("3000")).worse()
    refused = 0

    def answer(message: Message) -> Delivery:
        nonlocal refused
        for event in message:
            if isinstance(event, MarginMoved) and refused < 2:
                refused += 1
                now_ns = event.venue_time_ns
                yield 0, SettingRefused(event.request_id, PERP.id, "busy", now_ns, now_ns)
            else:
                yield 0, event

    storm.worse(answer=answer).run(6)
    assert refused == 2
    assert storm.told(SettingRefused)
    assert storm.engine.state.margin_requests == {}
    assert_sound(storm)


# --- nonsense ------------------------------------------------------------------------------------


@st.composite
def anything_said(draw: st.DrawFn) -> Callable[[str, int], VenueEvent]:
    """Any message about an order, whether or not it makes sense now."""
    quantity = Decimal(draw(st.integers(0, 60)))
    number = draw(st.integers(1, 5))
    status = draw(st.sampled_from(OrderStatus))
    leg, side = draw(st.sampled_from([SPOT, PERP])), draw(st.sampled_from(Side))
    kind = draw(st.integers(0, 5))

    def said(cloid: str, now_ns: int) -> VenueEvent:
        if kind == 0:
            return OrderAccepted(cloid, "1", now_ns, now_ns)
        if kind == 1:
            return OrderRejected(cloid, "no", now_ns, now_ns)
        if kind == 2:
            return OrderCanceled(cloid, CancelReason.IOC, quantity, now_ns, now_ns)
        if kind == 3:
            return CancelRejected(cloid, "no", now_ns, now_ns)
        if kind == 4:
            return OrderReport(cloid, status, quantity, now_ns, now_ns)
        return Fill(
            f"made up {number}", cloid, leg.id, side, Decimal(20), quantity + 1,
            Money(ZERO, "USDC"), Liquidity.TAKER, FillCause.ORDER, now_ns, now_ns,
        )  # fmt: skip

    return said


@hypothesis_settings(max_examples=40)
@given(said=st.lists(anything_said(), min_size=1, max_size=30))
def test_nothing_that_is_said_about_an_order_in_any_order_breaks_the_engine(
    said: list[Callable[[str, int], VenueEvent]],
) -> None:
    storm = world()
    resting(storm)
    known = list(storm.engine.state.orders)
    for number, event in enumerate(said):
        cloid = known[number % len(known)].cloid
        storm.hand(event(cloid, storm.venue.now_ns))
        storm.advance(storm.venue.now_ns + SECOND)
    storm.minutes(3)
    assert storm.engine.state.books.balanced()


def test_a_payment_in_an_asset_that_cannot_be_booked_shows_as_a_difference_and_breaks_nothing() -> (
    None
):
    storm = world().run(2)
    now_ns = storm.venue.now_ns
    payment = FundingPayment(
        "odd", PERP.id, Decimal(-1), Decimal(20), Decimal("0.1"), 1, Money(Decimal(2), "HYPE"),
        now_ns, now_ns,
    )  # fmt: skip
    storm.hand(payment)
    storm.minutes(5)
    assert storm.engine.state.books.balanced()
