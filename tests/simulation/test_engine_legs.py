"""One leg cannot be had, or is taken away: the other follows, in size and in time."""

from collections.abc import Callable, Iterator, Mapping
from decimal import ROUND_DOWN, Decimal
from itertools import pairwise

import msgspec
import pytest

from domain.account import CashCause
from domain.instruments import Instrument
from domain.market import Book, Level, MarketInput
from domain.money import ZERO
from domain.orders import Fill, FillCause, OrderRequest, Side, TimeInForce
from domain.targets import ExitCause, Target
from domain.time import MINUTE, SECOND
from execution.effects import PlaceOrder, VenueEffect
from execution.facts import Retargeted, Role, Stage
from execution.pairs import PairTrade
from strategies.market.state import Market
from strategies.strategy import Holding
from tests.lossy import Delivery, Message, Storm, assert_sound, intended, is_hedged
from tests.scripted import PERP, SPOT, START, Price, Scripted, Told, quotes, settings

POLICY = settings().execution
SOLD = (SPOT.id, Side.SELL)


def flat(_: int) -> float:
    return 20.0


class Thin(Scripted):
    """``size`` says how many base units a leg shows on each side at a minute after the start."""

    def __init__(
        self, price: Price, hours: float, size: Callable[[Instrument, int], float]
    ) -> None:
        super().__init__(price, hours)
        self._size = size

    def _step(self, number: int, time_ns: int) -> Iterator[MarketInput]:
        for event in super()._step(number, time_ns):
            if isinstance(event, Book):
                leg = SPOT if event.instrument == SPOT.id else PERP
                size = self._size(leg, number)
                bid, ask = event.bids[0].price, event.asks[0].price
                yield Book(
                    event.instrument, (Level(bid, size),), (Level(ask, size),), time_ns, time_ns
                )
            else:
                yield event


def trade(storm: Storm) -> PairTrade:
    return storm.engine.state.trades["HYPE#1"]


# --- a hedge that cannot be had ------------------------------------------------------------------


class Vanishing:
    """Hedges find an empty book: somebody was faster. The bot is shown a full one."""

    def __init__(self, storm: Storm, times: int, legs: tuple[Instrument, ...] = (PERP,)) -> None:
        self._storm, self._left, self._legs = storm, times, [leg.id for leg in legs]

    def __call__(self, effect: VenueEffect) -> bool:
        if not isinstance(effect, PlaceOrder) or effect.request.instrument not in self._legs:
            return True
        if effect.request.time_in_force is TimeInForce.IOC:
            gone = self._left > 0
            self._left -= gone
            now_ns = self._storm.venue.now_ns
            leg = self._storm.engine.state.instruments[effect.request.instrument]
            bid, ask = (1.0, 1e3) if gone else quotes(leg, 20.0)
            book = Book(leg.id, (Level(bid, 1e6),), (Level(ask, 1e6),), now_ns, now_ns)
            self._storm.venue.exchange.on_market(book)
        return True


def test_a_hedge_that_finds_nothing_twice_is_sent_again_and_completes() -> None:
    storm = Storm(Scripted(flat, 6), Told("900", enter=1)).worse()
    storm.worse(request=Vanishing(storm, 2)).run(3)
    assert trade(storm).stage is Stage.HOLDING
    assert is_hedged(storm)
    assert_sound(storm)


def test_a_hedge_that_can_never_be_had_is_unwound_and_the_trade_given_up() -> None:
    storm = Storm(Scripted(flat, 6), Told("900", enter=1)).worse()
    vanishing = Vanishing(storm, 1_000)
    storm.worse(request=vanishing).run(1.8)
    assert trade(storm).stage is Stage.CLOSED
    assert (trade(storm).cause, trade(storm).held) == (ExitCause.LIMIT, False)
    sold = [f for f in intended(storm) if (f.request.instrument, f.request.side) == SOLD]
    assert sold
    assert storm.engine.state.exposed.seconds <= 60
    # Bought once, sold once: not again and again.
    assert len([f for f in intended(storm) if f.role is Role.MAKER]) == 1
    assert_sound(storm)


def test_while_neither_leg_can_be_traded_the_tries_go_on_and_entries_stop() -> None:
    storm = Storm(Scripted(flat, 6), Told("900", enter=1)).worse()
    vanishing = Vanishing(storm, 1_000, (PERP, SPOT))
    storm.worse(request=vanishing).run(1.3)
    tries = [f.time_ns for f in intended(storm) if f.role is not Role.MAKER]
    assert max(b - a for a, b in pairwise(tries)) <= 17 * SECOND
    assert "delta" in storm.engine.state.limits.names
    storm.calm().run(3)
    assert is_hedged(storm)
    assert_sound(storm)


def test_a_hedge_book_without_depth_is_waited_for_only_as_long_as_the_bound_allows() -> None:
    def size(leg: Instrument, number: int) -> float:
        return 0.1 if leg is PERP and number >= 61 else 1e6

    storm = Storm(Thin(flat, 6, size), Told("900", enter=1)).worse().run(1.5)
    assert is_hedged(storm)
    assert storm.engine.state.exposed.seconds <= 75
    assert_sound(storm)


def test_a_thin_book_is_taken_bit_by_bit_and_never_more_than_the_bound_is_naked() -> None:
    def size(leg: Instrument, number: int) -> float:
        return 7.0 if leg is PERP else 1e6

    storm = Storm(Thin(flat, 9, size), Told("4000", enter=1, leave=4)).worse().run(8)
    assert_sound(storm)
    assert is_hedged(storm)


def test_a_withdrawal_that_leaves_no_margin_for_the_hedge_unwinds_the_leg_that_filled() -> None:
    storm = Storm(Scripted(flat, 6), Told("900", enter=1)).worse()
    storm.run(1)
    storm.until(lambda: bool(storm.engine.state.orders.live()))
    exchange = storm.venue.exchange
    free = storm.venue.exchange._clearing.free()["USDC"]
    storm.happens([exchange._clearing.cashflow("USDC", -(free - 1), CashCause.WITHDRAWAL, None)])
    storm.run(2)
    assert trade(storm).stage is Stage.CLOSED
    assert len([f for f in intended(storm) if f.role is Role.MAKER]) == 1
    assert storm.engine.state.exposed.seconds <= 60
    assert storm.engine.state.limits.names == ()  # what the owner takes out is no loss
    assert_sound(storm)


# --- a leg that is taken away --------------------------------------------------------------------


def held(notional: str = "4000", capital: str = "10000", price: Price = flat) -> Storm:
    storm = Storm(Scripted(price, 12), Told(notional, enter=1), capital=capital).worse()
    storm.run(2.5)
    assert trade(storm).stage is Stage.HOLDING
    return storm


@pytest.mark.parametrize("fraction", ["0.3", "1"])
def test_a_short_that_is_auto_deleveraged_is_adopted_at_once_and_the_spot_follows(
    fraction: str,
) -> None:
    storm = held()
    exchange, at = storm.venue.exchange, storm.venue.now_ns
    before = storm.engine.state.quantities(trade(storm))
    storm.happens(exchange.auto_deleverage(PERP.id, Decimal(fraction), Decimal("19.9"), at))
    storm.minutes(0.2)
    spot, perp = storm.engine.state.quantities(trade(storm))
    lost = (-before[1] * Decimal(fraction)).quantize(PERP.lot, ROUND_DOWN)
    assert perp == before[1] + lost
    assert is_hedged(storm)
    assert spot < before[0]
    (change,) = [f for f in storm.told(Retargeted) if isinstance(f, Retargeted)]
    assert (change.cause, change.urgent) == (ExitCause.LEG_LOST, True)
    assert change.time_ns - at < SECOND
    assert trade(storm).stage is (Stage.CLOSED if fraction == "1" else Stage.HOLDING)
    assert_sound(storm, None)


def test_a_short_that_is_deleveraged_while_it_is_opened_is_not_built_up_again() -> None:
    storm = Storm(Scripted(flat, 12), Told("4000", enter=1)).worse().run(1)
    storm.until(lambda: storm.engine.state.books.position(PERP.id) < -60)
    exchange = storm.venue.exchange
    events = exchange.auto_deleverage(PERP.id, Decimal(1), Decimal(20), storm.venue.now_ns)
    storm.happens(events)
    storm.run(1.9)
    assert trade(storm).stage is Stage.CLOSED
    assert is_hedged(storm)
    assert_sound(storm, None)


@pytest.mark.parametrize(
    ("to", "keeps"),
    [
        (29.0, 0),  # into the book: what margin is left is ours
        (29.5, -1),  # the venue takes over and keeps the rest of the margin
        (32.0, 1),  # beyond bankruptcy: the venue's fund bears what the margin lacks
    ],
)
def test_a_gap_in_one_step_that_liquidates_the_short_sheds_the_spot_within_seconds(
    to: float, keeps: int
) -> None:
    storm = held(price=lambda number: 20.0 if number < 200 else to)
    storm.advance(START + 200 * MINUTE + 5 * SECOND)
    fills = [f for f in storm.told(Fill) if isinstance(f, Fill)]
    assert FillCause.LIQUIDATION in {f.cause for f in fills}
    assert trade(storm).stage is Stage.CLOSED
    assert (trade(storm).cause, storm.engine.state.books.position(PERP.id)) == (
        ExitCause.LEG_LOST,
        ZERO,
    )
    pnl = storm.engine.state.books.pnl("HYPE#1", storm.engine.marks())
    assert (pnl.liquidation > 0) - (pnl.liquidation < 0) == keeps
    # The spot gained what the short lost, but for fees, the jump of the book and the venue's share.
    assert abs(pnl.total - pnl.liquidation) < 40
    storm.run(4)
    assert list(storm.engine.state.trades) == ["HYPE#1"]
    assert_sound(storm, None)


def test_after_a_leg_was_lost_nothing_is_entered_for_a_while() -> None:
    storm = held()
    exchange, at = storm.venue.exchange, storm.venue.now_ns
    storm.happens(exchange.auto_deleverage(PERP.id, Decimal(1), Decimal(20), at))
    storm.minutes(55)
    assert list(storm.engine.state.trades) == ["HYPE#1"]
    storm.minutes(15)
    assert list(storm.engine.state.trades) == ["HYPE#1", "HYPE#2"]
    assert_sound(storm, None)


@pytest.mark.parametrize(("leg", "side"), [(SPOT, Side.SELL), (PERP, Side.BUY)])
def test_what_a_person_takes_from_a_leg_by_hand_is_adopted_and_the_other_leg_follows(
    leg: Instrument, side: Side
) -> None:
    storm = held()
    storm.happens(by_hand(storm, leg, side, "30"))
    storm.minutes(0.5)
    spot, perp = storm.engine.state.quantities(trade(storm))
    assert abs(spot + perp) < Decimal("0.1")
    assert spot < 171
    assert (trade(storm).cause, trade(storm).stage) == (ExitCause.LEG_LOST, Stage.HOLDING)
    assert_sound(storm, None)


@pytest.mark.parametrize(("leg", "side"), [(SPOT, Side.SELL), (PERP, Side.BUY)])
def test_what_a_person_takes_before_we_hear_of_our_own_fill_is_taken_from_the_trade(
    leg: Instrument, side: Side
) -> None:
    storm = Storm(Scripted(flat, 6), Told("900", enter=1))
    held_back = (leg.id, side.opposite)

    def late(message: Message) -> Delivery:
        for event in message:
            own = isinstance(event, Fill) and (event.instrument, event.side) == held_back
            yield (4 * SECOND if own else 0), event

    def is_filled() -> bool:
        told = storm.venue.exchange.private_since(0)
        return any(isinstance(e, Fill) and (e.instrument, e.side) == held_back for e in told)

    storm.worse(answer=late).until(is_filled, SECOND // 10)
    assert storm.engine.state.books.position(leg.id) == ZERO
    storm.happens(by_hand(storm, leg, side, "11"))
    storm.calm().minutes(2)
    assert abs(storm.engine.state.books.quantity(None, leg.id)) < leg.lot
    assert trade(storm).cause is ExitCause.LEG_LOST
    (lost,) = [f for f in storm.told(Retargeted) if isinstance(f, Retargeted)]
    assert "gone before we heard" in lost.reason
    assert is_hedged(storm)
    storm.command("flatten")
    storm.minutes(1)
    assert trade(storm).stage is Stage.CLOSED
    assert_sound(storm, None)


@pytest.mark.parametrize(("leg", "side"), [(SPOT, Side.BUY), (PERP, Side.SELL)])
def test_what_a_person_adds_by_hand_is_theirs_and_left_alone(leg: Instrument, side: Side) -> None:
    storm = held()
    before = storm.engine.state.quantities(trade(storm))
    storm.happens(by_hand(storm, leg, side, "30"))
    storm.minutes(30)
    assert storm.engine.state.quantities(trade(storm)) == before
    assert abs(storm.engine.state.books.quantity(None, leg.id)) > 29
    assert storm.told(Retargeted) == []
    storm.command("flatten")
    storm.minutes(1)
    assert trade(storm).stage is Stage.CLOSED
    assert abs(storm.engine.state.books.position(leg.id)) > 29
    assert_sound(storm)


def by_hand(storm: Storm, leg: Instrument, side: Side, quantity: str) -> list[Fill]:
    """An order from elsewhere, as its account would hear of it: without our client id."""
    price = leg.round_price(Decimal(20) * (1 + side.sign * Decimal("0.01")), up=True)
    now_ns = storm.venue.now_ns
    request = OrderRequest(
        f"by hand {now_ns}", leg.id, side, Decimal(quantity), price, TimeInForce.IOC,
        reduce_only=False, expires_ns=now_ns,
    )  # fmt: skip
    return [e for e in storm.venue.exchange.place(request, now_ns) if isinstance(e, Fill)]


def test_what_a_person_buys_while_no_trade_is_open_is_left_alone() -> None:
    storm = Storm(Scripted(flat, 12), Told("2000", enter=3, leave=4)).worse().run(1)
    storm.happens(by_hand(storm, SPOT, Side.BUY, "100"))
    storm.run(6)
    books = storm.engine.state.books
    assert trade(storm).stage is Stage.CLOSED
    assert books.quantity(None, SPOT.id) > 99
    assert_sound(storm)


# --- what is not ours to know --------------------------------------------------------------------

OTHER = msgspec.structs.replace(PERP, symbol="DOGE-PERP", base="DOGE")


class Wider(Scripted):
    """The venue lists one instrument that is none of the bot's."""

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        return (SPOT, PERP, OTHER)


def test_a_trade_in_an_instrument_that_is_none_of_ours_is_reported_and_nothing_breaks() -> None:
    storm = Storm(Wider(flat, 12), Told("1000", enter=3)).worse().run(0.5)
    now_ns = storm.venue.now_ns
    storm.venue.exchange.on_market(
        Book(OTHER.id, (Level(20.0, 1e6),), (Level(20.01, 1e6),), now_ns, now_ns)
    )
    storm.happens(by_hand(storm, OTHER, Side.BUY, "30"))
    storm.run(4)
    reconciled = storm.engine.state.reconciled
    assert reconciled is not None
    assert any("DOGE-PERP" in line for line in reconciled.mismatches)
    assert storm.engine.state.trades == {}


@pytest.mark.parametrize("hours", [0.5, 1.5])
def test_tokens_that_are_deposited_are_capital_at_their_price_and_left_alone(hours: float) -> None:
    storm = Storm(Scripted(flat, 12), Told("1000", enter=3, leave=4)).worse().run(hours)
    clearing = storm.venue.exchange._clearing
    storm.happens([clearing.cashflow("HYPE", Decimal(50), CashCause.DEPOSIT, None)])
    storm.run(6)
    books = storm.engine.state.books
    assert books.capital == 11_000
    assert books.quantity(None, SPOT.id) >= 50
    assert trade(storm).stage is Stage.CLOSED
    assert storm.engine.state.limits.names == ()
    assert_sound(storm)


def test_tokens_of_which_the_bot_knows_no_price_stop_entries_and_nothing_breaks() -> None:
    storm = Storm(Scripted(flat, 12), Told("1000", enter=3)).worse().run(0.5)
    clearing = storm.venue.exchange._clearing
    storm.happens([clearing.cashflow("DOGE", Decimal(50), CashCause.DEPOSIT, None)])
    storm.run(4)
    assert is_hedged(storm)


# --- dust ----------------------------------------------------------------------------------------


class Cycles(Told):
    """Holds in the first half of every two hours."""

    def targets(
        self, market: Market, holdings: Mapping[str, Holding], equity: Decimal, now_ns: int
    ) -> tuple[Target, ...]:
        hour = (now_ns - START) // (60 * MINUTE)
        self._from, self._to = (now_ns, now_ns + 1) if hour % 2 else (0, 0)
        return super().targets(market, holdings, equity, now_ns)


def test_dust_is_taken_over_by_the_next_trade_and_does_not_grow_over_ten_cycles() -> None:
    replace = msgspec.structs.replace
    chosen = settings(execution=replace(POLICY, reopen_seconds=600.0))
    # Ten trades that lose their fees are wanted here.
    patient = replace(chosen.risk, loss_streak_max=50, loss_size_factor=Decimal(1))
    chosen = replace(chosen, risk=patient)
    prices = Scripted(lambda n: 20.0 + (n * 37 % 400) / 400, 24)
    storm = Storm(prices, Cycles("1234"), chosen=chosen).worse()
    dusts = []
    for cycle in range(1, 11):
        storm.run(2 * cycle + 0.9)
        assert storm.engine.state.trade_on("HYPE") is None
        assert storm.engine.state.trades[f"HYPE#{cycle}"].held
        books = storm.engine.state.books
        dusts.append(books.position(SPOT.id))
        assert books.position(PERP.id) == ZERO
        assert books.quantity(None, SPOT.id) == dusts[-1]
        assert_sound(storm)
    # Less than the smallest order, and no heap of ten of them.
    assert all(ZERO <= dust * 21 < 2 * SPOT.minimum_notional for dust in dusts)
    assert len(storm.engine.state.trades) == 10
