"""The second opinion finds what is wrong, and only that, in histories written by hand."""

from collections.abc import Callable
from decimal import Decimal
from time import process_time

import msgspec
import pytest
from msgspec.structs import replace

from domain.account import (
    AccountReport,
    Balance,
    CashCause,
    Cashflow,
    FundingPayment,
    MarginMode,
    PositionReport,
)
from domain.instruments import FeeSchedule, Instrument, Kind, MarginTier, Pair
from domain.money import ZERO, Money
from domain.orders import Fill, FillCause, Liquidity, Side, TimeInForce
from domain.targets import Legs
from domain.time import MILLISECOND, SECOND
from tests.world.checker import CHECKS, check
from tests.world.figures import coverage, forced_to_neutral_seconds, naked_seconds
from tests.world.history import (
    FILLED,
    NOOP,
    OK,
    RESTING,
    SUCCESS,
    Alarm,
    Bounds,
    History,
    Mark,
    Received,
    Record,
    SentOrder,
    Standing,
    Window,
    WindowKind,
    in_order,
    time_of,
)
from tests.world.trace import Times, trace_of, tradable

START = 1_735_689_600 * SECOND
FEES = FeeSchedule(Decimal("0.0004"), Decimal("0.0007"), buyer_pays_base=True)
SPOT = Instrument(
    "hl", "HYPE/USDC", Kind.SPOT, "HYPE", "USDC", Decimal("0.01"), 6, Decimal(10), FEES
)
PERP = Instrument(
    "hl", "HYPE-PERP", Kind.PERP, "HYPE", "USDC", Decimal("0.01"), 4, Decimal(10), FEES,
    margin_tiers=(MarginTier(ZERO, 10),), funding_interval_hours=1,
)  # fmt: skip
TRADER, WATCHDOG = "0xtrader", "0xwatchdog"
BOUNDS = Bounds(
    pairs=(Pair("HYPE", SPOT, PERP),),
    trader=TRADER,
    watchdog=WATCHDOG,
    slice_notional=Decimal(1000),
    position_notional_max={"HYPE": Decimal(2000)},
)
DUPLICATE = "Invalid nonce: duplicate nonce"
IOC, POST_ONLY = TimeInForce.IOC, TimeInForce.POST_ONLY


def at(seconds: float) -> int:
    return START + int(seconds * SECOND)


def nonce_at(seconds: float) -> int:
    return at(seconds) // MILLISECOND


class Story:
    """A history as it is written down: seconds after the start, quantities and prices as text."""

    def __init__(self) -> None:
        self.actions: list[Received] = []
        self.rest: list[Record] = []
        self.alarms: list[Alarm] = []
        self.windows: list[Window] = []
        self.reads: list[int] = []
        self.price = Decimal(100)
        self.orders: dict[str, SentOrder] = {}
        self.cash, self.coins, self.position = Decimal(10_000), ZERO, ZERO

    def order(
        self,
        seconds: float,
        cloid: str,
        instrument: Instrument,
        side: Side,
        quantity: str,
        *,
        answer: str = FILLED,
        reduce_only: bool | None = None,
        signed: float | None = None,
        signer: str = TRADER,
    ) -> None:
        """Signed at ``signed``, else a tenth of a second before it arrives; IOC unless it rests."""
        nonce = nonce_at(seconds - 0.1 if signed is None else signed)
        close = instrument is PERP and side is Side.BUY
        order = SentOrder(
            cloid, instrument.id, side, Decimal(quantity), self.price,
            POST_ONLY if answer == RESTING else IOC, close if reduce_only is None else reduce_only,
        )  # fmt: skip
        self.orders[cloid] = order
        self.actions.append(
            Received(
                at(seconds),
                signer,
                nonce,
                "order",
                f"bytes of {cloid}",
                OK,
                (order,),
                outcomes=(answer,),
                expires_ms=nonce + 5_000,
            )
        )

    def fill(self, seconds: float, cloid: str, quantity: str | None = None) -> None:
        order = self.orders[cloid]
        amount = order.quantity if quantity is None else Decimal(quantity)
        self._fill(seconds, cloid, order.instrument, order.side, amount, FillCause.ORDER)

    def forced(
        self, seconds: float, side: Side, quantity: str, cause: FillCause = FillCause.ADL
    ) -> None:
        """A perp fill that we did not order."""
        self._fill(seconds, None, PERP.id, side, Decimal(quantity), cause)

    def _fill(
        self,
        seconds: float,
        cloid: str | None,
        instrument: str,
        side: Side,
        quantity: Decimal,
        cause: FillCause,
    ) -> None:
        fee = Money(ZERO, "USDC")
        if instrument == SPOT.id and side is Side.BUY:
            fee = Money(quantity * Decimal("0.0004"), "HYPE")
        self.rest.append(
            Fill(
                f"fill-{len(self.rest)}",
                cloid,
                instrument,
                side,
                self.price,
                quantity,
                fee,
                Liquidity.TAKER,
                cause,
                at(seconds),
                at(seconds),
            )
        )
        self.cash -= side.sign * quantity * self.price
        if instrument == SPOT.id:
            self.coins += side.sign * quantity - fee.amount
        else:
            self.position += side.sign * quantity

    def traded(
        self, seconds: float, cloid: str, instrument: Instrument, side: Side, quantity: str
    ) -> None:
        """An IOC order that fills at once and whole."""
        self.order(seconds, cloid, instrument, side, quantity)
        self.fill(seconds, cloid)

    def cancel(self, seconds: float, cloid: str, signer: str = TRADER) -> None:
        self.actions.append(
            Received(
                at(seconds),
                signer,
                nonce_at(seconds - 0.1),
                "cancelByCloid",
                f"cancel {cloid}",
                OK,
                cancelled=(cloid,),
                outcomes=(SUCCESS,),
            )
        )

    def fence(self, seconds: float, cloid: str, outcome: str = DUPLICATE) -> None:
        """A noop with the nonce of an order that has arrived or will."""
        nonce = next(a.nonce for a in self.actions for o in a.orders if o.cloid == cloid)
        self.actions.append(Received(at(seconds), TRADER, nonce, NOOP, f"noop {cloid}", outcome))

    def funding(self, seconds: float, amount: str) -> None:
        """Charged a second after its hour."""
        paid, hour_ns = Money(Decimal(amount), "USDC"), at(seconds - 1)
        self.rest.append(
            FundingPayment(
                "funding", PERP.id, self.position, self.price, ZERO, 1, paid, hour_ns, at(seconds)
            )
        )
        self.cash += paid.amount

    def deposit(self, seconds: float, amount: str) -> None:
        money = Money(Decimal(amount), "USDC")
        self.rest.append(
            Cashflow("deposit", money, CashCause.DEPOSIT, None, at(seconds), at(seconds))
        )
        self.cash += money.amount

    def mark(self, seconds: float, price: str) -> None:
        self.price = Decimal(price)
        self.rest.append(Mark(at(seconds), PERP.id, self.price))

    def alarm(self, seconds: float, name: str = "naked") -> None:
        self.alarms.append(Alarm(at(seconds), name, "HYPE"))

    def window(self, kind: WindowKind, start: float, end: float) -> None:
        self.windows.append(Window(kind, at(start), at(end)))

    def history(self, end: float, open_orders: tuple[str, ...] = ()) -> History:
        """Until ``end``; an open perp position has 700 of the cash as its margin."""
        margin = Decimal(700) if self.position else ZERO
        position = PositionReport(
            PERP.id, self.position, self.price, self.price, margin + self.position * self.price,
            margin, 3, MarginMode.ISOLATED, None,
        )  # fmt: skip
        return History(
            BOUNDS,
            _account(0, Decimal(10_000), ZERO),
            in_order(sorted(self.actions, key=lambda a: a.time_ns), sorted(self.rest, key=time_of)),
            tuple(self.alarms),
            tuple(self.windows),
            tuple(map(at, self.reads)),
            replace(
                _account(end, self.cash - margin, self.coins),
                positions=(position,) if self.position else (),
                open_orders=open_orders,
            ),
        )


def _account(seconds: float, cash: Decimal, coins: Decimal) -> AccountReport:
    balances = (Balance("USDC", cash, ZERO), Balance("HYPE", coins, ZERO))
    return AccountReport(balances, (), (), None, at(seconds), at(seconds))


def whole_life() -> Story:
    """Opened in two slices, reduced by ADL, closed; an outage and a stopped process on the way."""
    story = Story()
    story.order(1, "lead", SPOT, Side.BUY, "5", answer=RESTING)
    story.fill(60, "lead", "2")
    story.traded(60.5, "hedge 1", PERP, Side.SELL, "1.99")
    story.fill(120, "lead", "3")
    story.order(121, "hedge 2", PERP, Side.SELL, "3")
    story.fill(121, "hedge 2", "1")
    story.traded(123, "hedge 3", PERP, Side.SELL, "2")
    story.fence(126, "hedge 3")
    story.funding(201, "-1.5")
    story.deposit(210, "250")
    story.forced(300, Side.BUY, "1")
    story.traded(303, "hedge 4", SPOT, Side.SELL, "1")
    story.order(400, "close 1", PERP, Side.BUY, "3.99", answer=RESTING)
    story.fill(500, "close 1", "1")  # while the venue does not answer
    story.window(WindowKind.VENUE_DOWN, 490, 560)
    story.window(WindowKind.DOUBT, 490, 580)
    story.alarm(503)
    story.traded(575, "hedge 5", SPOT, Side.SELL, "1")
    story.window(WindowKind.STOPPED, 650, 780)
    story.window(WindowKind.LEASE, 660, 785)
    story.cancel(661, "close 1", WATCHDOG)
    story.window(WindowKind.HEALED, 800, 800)
    story.reads.append(801)
    story.traded(850, "close 2", PERP, Side.BUY, "2.99")
    story.traded(851, "hedge 6", SPOT, Side.SELL, "2.99")
    return story


LIFE = whole_life().history(1000)


def alone(*looks: tuple[float, str, str]) -> History:
    """A perp of 5 sold by itself, and bought back after 500 s; ``looks`` are what is held, and the
    stops of it (with spaces between), at so many seconds."""
    story = Story()
    story.traded(10, "lead", PERP, Side.SELL, "5")
    story.mark(11, "100")
    story.traded(500, "close", PERP, Side.BUY, "5")
    for seconds, held, stops in looks:
        quantities = tuple(map(Decimal, stops.split()))
        story.rest.append(Standing(at(seconds), PERP.id, Decimal(held), quantities))
    history = story.history(1000)
    return replace(history, bounds=replace(history.bounds, legs={"HYPE": Legs.SHORT}))


GUARDED = ((10, "-5", ""), (15, "-5", "5"), (500, "0", "5"), (505, "0", ""))


def fired(history: History) -> set[str]:
    """The checks that find something."""
    trace = trace_of(history)
    return {judge.__name__ for judge in CHECKS if list(judge(trace))}


def led(quantity: str) -> Story:
    """So much spot bought a minute after the start, and naked since."""
    story = Story()
    story.order(1, "lead", SPOT, Side.BUY, quantity, answer=RESTING)
    story.fill(60, "lead")
    return story


def opened() -> Story:
    """A pair of 5, hedged a second later."""
    story = led("5")
    story.traded(61, "hedge", PERP, Side.SELL, "4.99")
    return story


def test_nothing_is_found_in_a_sound_life() -> None:
    assert [str(violation) for violation in check(LIFE)] == []


def test_a_history_survives_being_written_down() -> None:
    assert msgspec.json.decode(msgspec.json.encode(LIFE), type=History) == LIFE


def test_a_violation_is_one_line_with_its_time_and_figures() -> None:
    story = opened()
    story.forced(100, Side.BUY, "1")
    story.forced(101, Side.BUY, "2")
    story.alarm(103)

    (violation,) = check(story.history(200))
    assert str(violation) == (
        "2025-01-01T00:01:51Z I-3 HYPE: naked 3.00 (300.00 USDC), for 99.0 s from "
        "2025-01-01T00:01:41Z without a hedging order, bound 10 s"
    )


# --- I-2 -----------------------------------------------------------------------------------


def test_an_order_that_lands_twice_is_found_by_its_id_and_nonce() -> None:
    story = Story()
    story.order(1, "lead", SPOT, Side.BUY, "5", answer=RESTING)
    story.actions.append(replace(story.actions[0], time_ns=at(4)))
    history = story.history(10)

    assert fired(history) == {"an_id_and_a_nonce_are_taken_once"}
    assert len(check(history)) == 2  # both say so


def test_an_order_that_trades_twice_is_no_hole_in_the_log() -> None:
    story = led("5")
    story.traded(61, "hedge", PERP, Side.SELL, "2")
    story.actions.append(replace(story.actions[-1], time_ns=at(62)))
    story.fill(62, "hedge")
    story.traded(63, "rest", PERP, Side.SELL, "0.99")

    assert fired(story.history(70)) == {"an_id_and_a_nonce_are_taken_once"}


def test_identical_bytes_may_be_sent_again_and_a_fence_may_have_their_nonce() -> None:
    story = Story()
    story.order(1, "lead", SPOT, Side.BUY, "5", answer=RESTING)
    copy = replace(story.actions[0], time_ns=at(4), outcome=DUPLICATE, outcomes=())
    story.actions.append(copy)
    story.fence(5, "lead")

    assert fired(story.history(10)) == set()


def test_a_nonce_that_is_accepted_for_the_fence_and_for_the_order_is_found() -> None:
    story = Story()
    story.order(2, "lead", SPOT, Side.BUY, "5", answer=RESTING)
    story.fence(1, "lead", OK)

    assert fired(story.history(10)) == {"an_id_and_a_nonce_are_taken_once"}


def test_a_nonce_under_which_something_else_is_signed_is_found() -> None:
    story = Story()
    story.order(1, "lead", SPOT, Side.BUY, "5", answer=RESTING)
    other = replace(story.actions[0], digest="other", outcome=DUPLICATE, outcomes=())
    story.actions.append(replace(other, orders=(replace(other.orders[0], cloid="new"),)))

    assert fired(story.history(10)) == {"what_is_signed_stays_as_it_is"}


def test_an_order_that_is_signed_anew_is_found_though_the_venue_refused_it() -> None:
    story = Story()
    story.order(1, "lead", SPOT, Side.BUY, "5", answer="Order has zero size.")
    story.order(2, "lead", SPOT, Side.BUY, "5", answer=RESTING)

    assert fired(story.history(10)) == {"what_is_signed_stays_as_it_is"}


def test_another_signer_may_use_the_same_nonce() -> None:
    story = Story()
    story.order(1, "lead", SPOT, Side.BUY, "5", answer=RESTING)
    story.cancel(1, "lead", WATCHDOG)
    story.window(WindowKind.LEASE, 1, 1)

    assert "an_id_and_a_nonce_are_taken_once" not in fired(story.history(10))
    assert "what_is_signed_stays_as_it_is" not in fired(story.history(10))


@pytest.mark.parametrize(("slices", "found"), [(6, False), (7, True)])
def test_a_position_that_has_grown_beyond_its_limit_and_a_slice_is_found(
    slices: int, found: bool
) -> None:
    story = Story()
    for number in range(slices):
        story.order(number * 10, f"lead {number}", SPOT, Side.BUY, "5", answer=RESTING)
        story.fill(number * 10 + 1, f"lead {number}")
        story.traded(number * 10 + 2, f"hedge {number}", PERP, Side.SELL, "4.99")

    expected = {"positions_stay_within_their_limit"} if found else set()
    assert fired(story.history(100)) == expected


def test_a_perp_that_has_grown_beyond_its_limit_is_found_too() -> None:
    story = Story()
    for number in range(7):
        story.order(number * 10, f"lead {number}", PERP, Side.SELL, "5", answer=RESTING)
        story.fill(number * 10 + 1, f"lead {number}")
        story.traded(number * 10 + 2, f"hedge {number}", SPOT, Side.BUY, "5")

    assert fired(story.history(100)) == {"positions_stay_within_their_limit"}


def test_a_hedge_is_not_held_to_the_limit() -> None:
    story = Story()
    for number in range(6):
        story.order(number * 10, f"lead {number}", PERP, Side.SELL, "5", answer=RESTING)
        story.fill(number * 10 + 1, f"lead {number}")
        story.price = Decimal(120) if number == 5 else story.price
        story.traded(number * 10 + 2, f"hedge {number}", SPOT, Side.BUY, "5")

    assert fired(story.history(100)) == set()


def test_a_price_alone_carries_no_position_over_its_limit() -> None:
    story = opened()
    story.mark(100, "1000")

    assert fired(story.history(200)) == set()


def test_a_hedge_that_was_sent_anew_before_the_first_was_known_dead_is_found() -> None:
    story = led("5")
    story.traded(61, "hedge", PERP, Side.SELL, "4.99")
    story.traded(65, "hedge again", PERP, Side.SELL, "4.99")
    story.traded(66, "undone", PERP, Side.BUY, "4.99")

    assert fired(story.history(100)) == {"no_hedge_is_done_twice"}


def test_a_double_is_found_where_it_merely_turns_the_gap_around_and_once() -> None:
    story = led("5")
    story.traded(61, "hedge", PERP, Side.SELL, "2.5")
    story.order(62, "hedge again", PERP, Side.SELL, "4.99")
    story.fill(62, "hedge again", "4")
    story.fill(62, "hedge again", "0.99")
    story.traded(63, "undone", PERP, Side.BUY, "2.49")

    assert fired(story.history(100)) == {"no_hedge_is_done_twice"}
    assert len(check(story.history(100))) == 1


def test_a_hedge_that_meets_an_adl_it_could_not_know_is_no_double() -> None:
    story = opened()
    story.forced(100, Side.BUY, "2")
    story.traded(102, "hedge 2", PERP, Side.SELL, "2")
    story.forced(102.5, Side.SELL, "1", FillCause.ORDER)  # a person makes up for it too
    story.traded(102.6, "hedge 3", PERP, Side.SELL, "1")
    story.traded(104, "undone", PERP, Side.BUY, "2")

    assert fired(story.history(200)) == set()


# --- I-3 and I-13 --------------------------------------------------------------------------


@pytest.mark.parametrize(("quantity", "found"), [("10.5", False), ("10.6", True)])
def test_more_than_a_slice_left_naked_by_an_order_is_found(quantity: str, found: bool) -> None:
    story = led(quantity)
    story.traded(61, "hedge", PERP, Side.SELL, quantity)

    expected = {"own_orders_leave_at_most_a_slice"} if found else set()
    assert fired(story.history(100)) == expected


def test_more_than_a_slice_is_reported_once_until_it_is_over() -> None:
    story = Story()
    for seconds in (0, 20):
        story.order(seconds, f"lead {seconds}", PERP, Side.SELL, "12", answer=RESTING)
        story.fill(seconds + 1, f"lead {seconds}", "11")
        story.fill(seconds + 1, f"lead {seconds}", "1")
        story.order(seconds + 2, f"hedge {seconds}", SPOT, Side.BUY, "12")
        story.fill(seconds + 2, f"hedge {seconds}", "1")
        story.fill(seconds + 2, f"hedge {seconds}", "11")

    found = check(story.history(40))
    assert [(v.invariant, v.time_ns) for v in found] == [("I-3", at(1)), ("I-3", at(21))]


def test_what_others_leave_naked_is_not_held_against_our_orders() -> None:
    story = opened()
    for number in range(3):
        story.order(70 + number * 10, f"lead {number}", SPOT, Side.BUY, "5", answer=RESTING)
        story.fill(71 + number * 10, f"lead {number}")
        story.traded(72 + number * 10, f"hedge {number}", PERP, Side.SELL, "4.99")
    story.order(190, "lead on", SPOT, Side.BUY, "5", answer=RESTING)
    story.forced(200, Side.BUY, "14")
    story.fill(201, "lead on")  # it could not know
    story.traded(202, "half", SPOT, Side.SELL, "7")
    story.traded(203, "rest", SPOT, Side.SELL, "12")

    assert fired(story.history(300)) == set()


@pytest.mark.parametrize(("after", "found"), [(15, False), (16, True)])
def test_a_pair_that_is_naked_too_long_without_an_attempt_is_found(after: int, found: bool) -> None:
    story = led("5")
    story.alarm(65)
    story.traded(60 + after, "hedge", PERP, Side.SELL, "4.99")

    expected = {"what_is_naked_is_hedged_in_time"} if found else set()
    assert fired(story.history(100)) == expected


def test_each_attempt_starts_the_clock_again_and_a_copy_of_one_does_not() -> None:
    story = led("5")
    story.alarm(65)
    for seconds in (70, 80, 90):
        nothing = "Order could not immediately match against any resting orders."
        story.order(seconds, f"hedge {seconds}", PERP, Side.SELL, "4.99", answer=nothing)
    sound = story.history(104)
    copy = replace(story.actions[-1], time_ns=at(100), outcome=DUPLICATE, outcomes=())
    story.actions.append(copy)

    assert fired(sound) == set()
    assert fired(story.history(110)) == {"what_is_naked_is_hedged_in_time"}


def test_an_order_the_naked_way_is_no_attempt() -> None:
    story = led("5")
    story.alarm(65)
    story.order(70, "lead on", SPOT, Side.BUY, "5", answer=RESTING)

    assert fired(story.history(80)) == {"what_is_naked_is_hedged_in_time"}


@pytest.mark.parametrize(
    ("kind", "after", "found"),
    [
        (WindowKind.VENUE_DOWN, 159, False),
        (WindowKind.VENUE_DOWN, 161, True),
        (WindowKind.WRITES_DOWN, 159, False),
        (WindowKind.DEAD, 159, False),
        (WindowKind.DEAD, 161, True),
        (WindowKind.STOPPED, 59, False),  # the watchdog is there
        (WindowKind.STOPPED, 61, True),
        (WindowKind.DOUBT, 59, False),
        (WindowKind.DOUBT, 61, True),
        (WindowKind.FAULTY, 59, False),
        (WindowKind.FAULTY, 61, True),
        (WindowKind.EXTERNAL, 16, True),
    ],
)
def test_trouble_lengthens_the_bound_and_helplessness_stops_the_clock(
    kind: WindowKind, after: int, found: bool
) -> None:
    story = led("5")
    story.alarm(65)
    story.window(kind, 60, 160)
    story.traded(60 + after, "hedge", PERP, Side.SELL, "4.99")

    expected = {"what_is_naked_is_hedged_in_time"} if found else set()
    assert fired(story.history(300)) == expected


@pytest.mark.parametrize(
    ("kind", "hedged", "found"),
    [
        (WindowKind.DEAD, 159, False),
        (WindowKind.DEAD, 161, True),
        (WindowKind.VENUE_DOWN, 129, False),  # it was up for 59 s of these
        (WindowKind.VENUE_DOWN, 131, True),
    ],
)
def test_a_new_start_has_time_to_recover_and_a_venue_that_comes_back_again_gives_none(
    kind: WindowKind, hedged: int, found: bool
) -> None:
    story = led("5")
    story.alarm(65)
    story.window(kind, 70, 75)
    story.window(kind, 95, 100)
    story.traded(hedged, "hedge", PERP, Side.SELL, "4.99")

    expected = {"what_is_naked_is_hedged_in_time"} if found else set()
    assert fired(story.history(300)) == expected


def test_trouble_that_comes_after_the_bound_has_passed_excuses_nothing() -> None:
    story = led("5")
    story.alarm(65)
    story.window(WindowKind.DOUBT, 90, 100)
    story.traded(95, "hedge", PERP, Side.SELL, "4.99")

    assert fired(story.history(300)) == {"what_is_naked_is_hedged_in_time"}


@pytest.mark.parametrize(("delta", "naked"), [("0.21", "0"), ("0.219", "0"), ("-0.229", "0.22")])
def test_the_stricter_leg_and_a_worse_price_decide_what_can_be_traded(
    delta: str, naked: str
) -> None:
    for spot_minimum, perp_minimum in ((10, 20), (20, 10)):
        pair = Pair(
            "HYPE",
            replace(SPOT, minimum_notional=Decimal(spot_minimum)),
            replace(PERP, minimum_notional=Decimal(perp_minimum)),
        )
        assert tradable(pair, Decimal(delta), Decimal(100), BOUNDS) == Decimal(naked)


def test_two_pairs_do_not_make_up_for_each_other() -> None:
    spot, perp = replace(SPOT, symbol="PURR/USDC"), replace(PERP, symbol="PURR-PERP")
    story = led("5")
    story.order(1, "other lead", perp, Side.SELL, "5", answer=RESTING, signed=0.5)
    story.fill(60, "other lead")
    bounds = replace(
        BOUNDS,
        pairs=(*BOUNDS.pairs, Pair("PURR", spot, perp)),
        position_notional_max={"HYPE": Decimal(2000), "PURR": Decimal(2000)},
    )
    history = replace(story.history(100), bounds=bounds)

    naked = [v.text.split(":")[0] for v in check(history) if v.invariant == "I-3"]
    assert naked == ["HYPE", "PURR"]


def test_what_no_leg_can_trade_is_not_naked() -> None:
    story = led("0.1")
    dust = story.history(300)
    story.mark(300, "120")  # now it can be traded

    assert fired(dust) == set()
    assert fired(story.history(400)) == {
        "a_naked_pair_raises_an_alarm",
        "what_is_naked_is_hedged_in_time",
    }


def test_a_fee_in_the_coin_bought_is_not_hedged() -> None:
    story = led("1000")
    story.traded(61, "hedge", PERP, Side.SELL, "1000")  # of 999.6 that arrived

    assert trace_of(story.history(62)).exposures["HYPE"].delta == Decimal("-0.4")
    assert "what_is_naked_is_hedged_in_time" in fired(story.history(100))


@pytest.mark.parametrize(("alarm", "found"), [(66, False), (70, False), (71, True), (59, True)])
def test_a_naked_pair_that_nobody_is_told_of_is_found(alarm: int, found: bool) -> None:
    story = led("5")
    story.alarm(alarm)
    story.traded(73, "hedge", PERP, Side.SELL, "4.99")

    expected = {"a_naked_pair_raises_an_alarm"} if found else set()
    assert fired(story.history(100)) == expected


@pytest.mark.parametrize(("alarm", "found"), [(100, False), (101, True)])
def test_where_messages_are_lost_the_alarm_may_come_as_late_as_the_knowledge(
    alarm: int, found: bool
) -> None:
    story = led("5")
    story.window(WindowKind.FAULTY, 64, 200)  # while the alarm was not yet due
    story.alarm(alarm)
    story.traded(96, "hedge", PERP, Side.SELL, "4.99")
    sound = led("5")
    sound.window(WindowKind.FAULTY, 0, 200)
    sound.traded(94, "hedge", PERP, Side.SELL, "4.99")  # 34 s

    expected = {"a_naked_pair_raises_an_alarm"} if found else set()
    assert fired(story.history(200)) == expected
    assert fired(sound.history(200)) == set()


@pytest.mark.parametrize(("alarm", "found"), [(49, True), (51, False)])
def test_an_alarm_of_the_trouble_that_goes_on_is_enough(alarm: int, found: bool) -> None:
    story = led("5")
    story.window(WindowKind.VENUE_DOWN, 50, 80)
    story.alarm(alarm)
    story.traded(81, "hedge", PERP, Side.SELL, "4.99")

    expected = {"a_naked_pair_raises_an_alarm"} if found else set()
    assert fired(story.history(100)) == expected


@pytest.mark.parametrize(("alarm", "found"), [(0, True), (1, False), (59, False)])
def test_a_start_that_was_told_of_within_the_minute_is_still_told_of(
    alarm: int, found: bool
) -> None:
    story, again = led("5"), led("5")
    for one in (story, again):
        one.alarm(alarm, "start_delayed")
        one.traded(73, "hedge", PERP, Side.SELL, "4.99")
    again.window(WindowKind.DEAD, 59.2, 59.4)  # the process that was told of is gone

    expected = {"a_naked_pair_raises_an_alarm"}
    assert fired(story.history(100)) == (expected if found else set())
    assert fired(again.history(100)) == expected


@pytest.mark.parametrize(("hedged", "found"), [(76, False), (84, True)])
def test_a_process_that_is_stopped_owes_its_alarm_after_it(hedged: int, found: bool) -> None:
    story = led("5")
    story.window(WindowKind.STOPPED, 62, 73)  # two seconds before it, three after
    story.traded(hedged, "hedge", PERP, Side.SELL, "4.99")

    expected = {"a_naked_pair_raises_an_alarm"} if found else set()
    assert fired(story.history(100)) == expected


# --- I-6 -----------------------------------------------------------------------------------


def test_a_fill_without_its_order_is_found() -> None:
    story = opened()
    story.actions.pop()

    assert fired(story.history(70)) == {"every_fill_belongs_to_an_order"}


@pytest.mark.parametrize("change", [{"side": Side.BUY}, {"instrument": SPOT.id}])
def test_a_fill_of_another_side_or_instrument_than_its_order_is_found(
    change: dict[str, object],
) -> None:
    history = opened().history(70)
    records = (*history.records[:-1], replace(history.records[-1], **change))

    assert "every_fill_belongs_to_an_order" in fired(replace(history, records=records))


def test_a_fill_beyond_its_order_is_found() -> None:
    story = opened()
    story.fill(62, "hedge", "0.01")

    assert fired(story.history(70)) == {"every_fill_belongs_to_an_order"}
    assert "0.01 more than order hedge" in str(check(story.history(70))[0])


@pytest.mark.parametrize(
    "wrong",
    [
        lambda final: replace(final, positions=()),
        lambda final: replace(
            final, balances=(final.balances[0], Balance("HYPE", Decimal("4.997"), ZERO))
        ),
        lambda final: replace(
            final,
            balances=(
                replace(final.balances[0], total=final.balances[0].total + Decimal("0.02")),
                final.balances[1],
            ),
        ),
    ],
)
def test_an_account_that_the_log_does_not_explain_is_found(
    wrong: Callable[[AccountReport], AccountReport],
) -> None:
    history = opened().history(70)

    assert fired(history) == set()
    assert fired(replace(history, final=wrong(history.final))) == {"the_log_explains_the_account"}


def test_a_log_that_runs_backwards_is_found() -> None:
    history = opened().history(70)
    shuffled = (*history.records[1:], history.records[0])

    assert "every_fill_belongs_to_an_order" in fired(replace(history, records=shuffled))


# --- I-7 and I-8 ---------------------------------------------------------------------------


@pytest.mark.parametrize("forced", [False, True])
def test_a_liquidation_that_nothing_forces_is_found(forced: bool) -> None:
    story = opened()
    story.forced(100, Side.BUY, "2", FillCause.LIQUIDATION)
    story.traded(102, "hedge 2", SPOT, Side.SELL, "2")
    if forced:
        story.window(WindowKind.EXTERNAL, 100, 101)

    assert fired(story.history(200)) == (set() if forced else {"nothing_is_liquidated"})


@pytest.mark.parametrize("reduce_only", [False, True])
def test_a_close_that_is_not_reduce_only_is_found(reduce_only: bool) -> None:
    story = opened()
    story.order(100, "close", PERP, Side.BUY, "2", reduce_only=reduce_only)
    story.fill(100, "close")
    story.traded(101, "hedge 2", SPOT, Side.SELL, "2")

    assert fired(story.history(200)) == (set() if reduce_only else {"closes_only_reduce"})


@pytest.mark.parametrize(("after", "found"), [(29, False), (31, True)])
def test_a_close_larger_than_any_position_held_lately_is_found(after: int, found: bool) -> None:
    story = opened()
    story.forced(100, Side.BUY, "2")
    story.traded(101, "hedge 2", SPOT, Side.SELL, "2")
    story.order(100 + after, "close", PERP, Side.BUY, "4.99")
    story.fill(100 + after, "close", "2.99")  # all there is
    story.traded(101 + after, "hedge 3", SPOT, Side.SELL, "2.99")

    assert fired(story.history(200)) == ({"closes_only_reduce"} if found else set())


def test_a_close_that_turns_the_position_around_is_found() -> None:
    story = opened()
    story.order(100, "close", PERP, Side.BUY, "5.99", reduce_only=False)
    story.fill(100, "close")
    story.traded(101, "hedge 2", SPOT, Side.SELL, "4.99")
    story.traded(102, "hedge 3", PERP, Side.SELL, "1")

    assert fired(story.history(200)) == {"closes_only_reduce", "no_position_flips"}


@pytest.mark.parametrize(
    ("held", "side", "quantity"), [("0", Side.BUY, "1"), ("2", Side.SELL, "3")]
)
def test_so_is_one_that_finds_the_position_gone_or_turned(
    held: str, side: Side, quantity: str
) -> None:
    story = Story()
    if Decimal(held):
        story.forced(100, Side.BUY, held, FillCause.ORDER)
    story.order(101, "late", PERP, side, quantity, reduce_only=False)
    story.fill(101, "late")

    assert {"no_position_flips", "closes_only_reduce"} <= fired(story.history(103))


# --- I-9 -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "found"), [(99, False), (100, True), (120, False)])
def test_an_entry_in_doubt_is_found(seconds: int, found: bool) -> None:
    story = opened()
    story.window(WindowKind.DOUBT, 100, 120)
    story.order(seconds + 0.5, "lead 2", SPOT, Side.BUY, "2", answer=RESTING, signed=seconds)

    assert fired(story.history(200)) == ({"no_entry_in_doubt"} if found else set())


@pytest.mark.parametrize(("quantity", "found"), [("0.1", False), ("0.2", True)])
def test_what_makes_the_legs_equal_is_no_entry_though_it_is_dust_at_another_price(
    quantity: str, found: bool
) -> None:
    story = opened()
    story.window(WindowKind.DOUBT, 100, 120)
    story.forced(100, Side.BUY, "0.1")  # worth 10 USDC: at five per cent less too small to trade
    story.order(101, "hedge 2", PERP, Side.SELL, quantity, answer=RESTING, reduce_only=False)

    assert fired(story.history(200)) == ({"no_entry_in_doubt"} if found else set())


def test_a_hedge_and_a_close_in_doubt_are_no_entries() -> None:
    story = opened()
    story.window(WindowKind.DOUBT, 100, 120)
    story.forced(100, Side.BUY, "2")
    story.traded(102, "hedge 2", PERP, Side.SELL, "2")
    story.traded(103, "close", PERP, Side.BUY, "1")
    story.traded(104, "hedge 3", SPOT, Side.SELL, "1")
    story.order(105, "close 2", SPOT, Side.SELL, "1", answer=RESTING)

    assert fired(story.history(200)) == set()


@pytest.mark.parametrize(
    ("signed", "fenced", "found"),
    [
        (97.5, None, False),  # its answer could still come
        (96, None, True),
        (94.5, None, True),  # expired, but for the margin
        (93, None, False),  # expired, and the margin passed
        (96, 99.5, False),  # proven by the fence
        (96, 100.5, True),  # too late
    ],
)
def test_an_entry_while_an_older_order_has_not_arrived_is_found(
    signed: float, fenced: float | None, found: bool
) -> None:
    story = opened()
    story.order(100, "lead 2", SPOT, Side.BUY, "2", answer=RESTING)
    late = "Order could not immediately match against any resting orders."
    story.order(101, "late", PERP, Side.BUY, "1", signed=signed, answer=late)
    if fenced is not None:
        story.fence(fenced, "late")

    assert fired(story.history(200)) == ({"no_entry_beside_an_unknown_order"} if found else set())


# --- I-11 ----------------------------------------------------------------------------------


def test_two_actors_in_one_lease_are_found() -> None:
    story = opened()
    story.order(70, "lead 2", SPOT, Side.BUY, "2", answer=RESTING)
    story.window(WindowKind.LEASE, 100, 120)
    story.cancel(101, "lead 2", WATCHDOG)
    story.order(120, "lead 3", SPOT, Side.BUY, "2", answer=RESTING)
    sound = story.history(200)
    story.order(119, "lead 4", SPOT, Side.BUY, "2", answer=RESTING)

    assert fired(sound) == set()
    assert fired(story.history(200)) == {"one_actor_at_a_time"}


def test_an_act_that_the_venue_refused_is_no_act() -> None:
    story = opened()
    story.window(WindowKind.LEASE, 100, 120)
    story.order(101, "lead 2", SPOT, Side.BUY, "2", answer=RESTING)
    story.cancel(102, "lead 2", WATCHDOG)
    late = replace(story.actions[-1], outcome="Action already expired", outcomes=())
    story.actions[-1] = late

    assert fired(story.history(200)) == set()


def test_a_watchdog_without_a_lease_is_found() -> None:
    story = opened()
    story.order(70, "lead 2", SPOT, Side.BUY, "2", answer=RESTING)
    story.cancel(101, "lead 2", WATCHDOG)

    assert fired(story.history(200)) == {"one_actor_at_a_time"}


# --- Liveness ------------------------------------------------------------------------------


def healed() -> Story:
    story = opened()
    story.window(WindowKind.HEALED, 100, 500)
    story.reads.append(101)
    return story


def test_a_pair_that_stays_naked_after_healing_is_found_though_it_is_tried() -> None:
    story = healed()
    story.forced(204, Side.BUY, "2")
    story.alarm(205)
    nothing = "Order could not immediately match against any resting orders."
    for seconds in range(205, 240, 5):
        story.order(seconds, f"hedge {seconds}", SPOT, Side.SELL, "2", answer=nothing)

    assert fired(story.history(219)) == set()
    assert fired(story.history(240)) == {"all_is_well_after_healing"}


def test_a_pair_that_is_naked_at_that_instant_is_not() -> None:
    story = healed()
    story.forced(215, Side.BUY, "2")
    story.alarm(221)
    story.traded(222, "hedge 2", SPOT, Side.SELL, "2")

    assert fired(story.history(240)) == set()


def test_a_trader_that_is_not_heard_of_after_healing_is_found() -> None:
    story = healed()
    sound = story.history(240)

    assert fired(sound) == set()
    assert fired(replace(sound, reads_ns=())) == {"all_is_well_after_healing"}
    assert fired(replace(healed().history(219), reads_ns=())) == set()  # it has time yet
    assert fired(replace(sound, reads_ns=(at(99), at(221)))) == {"all_is_well_after_healing"}


@pytest.mark.parametrize(("signer", "found"), [(TRADER, False), (WATCHDOG, True)])
def test_an_act_of_the_trader_is_a_sign_of_life_and_one_of_the_watchdog_is_not(
    signer: str, found: bool
) -> None:
    story = healed()
    story.reads.clear()
    story.window(WindowKind.LEASE, 100, 200)
    story.order(70, "lead 2", SPOT, Side.BUY, "2", answer=RESTING)
    story.cancel(150, "lead 2", signer)

    expected = {"all_is_well_after_healing"} if found else set()
    assert fired(story.history(240)) == expected


@pytest.mark.parametrize(("end", "found"), [(2000, False), (2062, True)])
def test_an_order_that_is_forgotten_is_found(end: int, found: bool) -> None:
    story = healed()
    story.order(200, "lead 2", SPOT, Side.BUY, "2", answer=RESTING)

    history = story.history(end, open_orders=("lead 2",))
    assert fired(history) == ({"all_is_well_after_healing"} if found else set())


# --- One change to a sound life ------------------------------------------------------------


def with_order(cloid: str, change: Callable[[Received], Received]) -> History:
    """``LIFE`` but for the action that carries ``cloid``."""
    records = tuple(
        change(record)
        if isinstance(record, Received) and any(o.cloid == cloid for o in record.orders)
        else record
        for record in LIFE.records
    )
    return replace(LIFE, records=tuple(sorted(records, key=time_of)))


def with_fill(cloid: str | None, **changes: object) -> History:
    records = tuple(
        replace(record, **changes) if isinstance(record, Fill) and record.cloid == cloid else record
        for record in LIFE.records
    )
    return replace(LIFE, records=records)


def without_windows(*kinds: WindowKind) -> History:
    return replace(LIFE, windows=tuple(w for w in LIFE.windows if w.kind not in kinds))


def renamed(action: Received, cloid: str) -> Received:
    return replace(action, orders=(replace(action.orders[0], cloid=cloid),))


CHANGES: dict[str, tuple[History, set[str]]] = {
    "the nonce of another action": (
        with_order("hedge 4", lambda a: replace(a, nonce=nonce_at(123 - 0.1))),
        {"an_id_and_a_nonce_are_taken_once", "what_is_signed_stays_as_it_is"},
    ),
    "the id of another order": (
        with_order("close 2", lambda a: renamed(a, "close 1")),
        {
            "an_id_and_a_nonce_are_taken_once",
            "what_is_signed_stays_as_it_is",
            "every_fill_belongs_to_an_order",
        },
    ),
    "the fence becomes an order": (
        replace(
            LIFE,
            records=tuple(
                replace(r, action="order") if isinstance(r, Received) and r.action == NOOP else r
                for r in LIFE.records
            ),
        ),
        {"what_is_signed_stays_as_it_is"},
    ),
    "a close that is not reduce-only": (
        with_order(
            "close 2", lambda a: replace(a, orders=(replace(a.orders[0], reduce_only=False),))
        ),
        {"closes_only_reduce"},
    ),
    "a close of more than there is": (
        with_order(
            "close 2", lambda a: replace(a, orders=(replace(a.orders[0], quantity=Decimal(3)),))
        ),
        {"closes_only_reduce"},
    ),
    "an order that the venue has refused": (
        with_order("hedge 2", lambda a: replace(a, outcome="err", outcomes=())),
        {"every_fill_belongs_to_an_order"},
    ),
    "a liquidation instead of the ADL": (
        with_fill(None, cause=FillCause.LIQUIDATION),
        {"nothing_is_liquidated"},
    ),
    "a larger ADL": (
        with_fill(None, quantity=Decimal(2)),
        {
            "what_is_naked_is_hedged_in_time",
            "a_naked_pair_raises_an_alarm",
            "the_log_explains_the_account",
            "closes_only_reduce",
            "no_position_flips",
            "all_is_well_after_healing",
        },
    ),
    "a fill of the other side": (
        with_fill("hedge 1", side=Side.BUY),
        {judge.__name__ for judge in CHECKS}
        - {
            "an_id_and_a_nonce_are_taken_once",
            "what_is_signed_stays_as_it_is",
            "positions_stay_within_their_limit",
            "a_perp_alone_has_its_stop",
            "own_orders_leave_at_most_a_slice",
            "nothing_is_liquidated",
            "no_entry_in_doubt",
            "no_entry_beside_an_unknown_order",
            "one_actor_at_a_time",
        },
    ),
    "no alarm": (replace(LIFE, alarms=()), {"a_naked_pair_raises_an_alarm"}),
    "no outage to excuse": (
        without_windows(WindowKind.VENUE_DOWN, WindowKind.DOUBT),
        {"what_is_naked_is_hedged_in_time"},
    ),
    "no lease": (without_windows(WindowKind.LEASE), {"one_actor_at_a_time"}),
    "a lease that began before and ends late": (
        replace(LIFE, windows=(*LIFE.windows, Window(WindowKind.LEASE, at(655), at(900)))),
        {"one_actor_at_a_time"},
    ),
    "doubt at the opening": (
        replace(LIFE, windows=(*LIFE.windows, Window(WindowKind.DOUBT, at(0), at(2)))),
        {"no_entry_in_doubt"},
    ),
    "an opening signed long after a hedge that came later": (
        with_order("lead", lambda a: replace(a, nonce=nonce_at(60.4 + 4))),
        {"no_entry_beside_an_unknown_order"},
    ),
    "an opening larger than a slice": (
        replace(LIFE, bounds=replace(BOUNDS, slice_notional=Decimal(250))),
        {"own_orders_leave_at_most_a_slice"},
    ),
    "a lower limit": (
        replace(LIFE, bounds=replace(BOUNDS, slice_notional=Decimal(400),
                                     position_notional_max={"HYPE": ZERO})),
        {"positions_stay_within_their_limit"},
    ),
    "a perp alone without a stop": (
        alone((10, "-5", ""), (31, "-5", "5"), (500, "0", "")), {"a_perp_alone_has_its_stop"},
    ),
    "not a word after healing": (
        replace(
            LIFE, reads_ns=(), windows=(*LIFE.windows, Window(WindowKind.HEALED, at(710), at(710)))
        ),
        {"all_is_well_after_healing"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_one_change_to_a_sound_life_is_found_by_the_right_check(change: str) -> None:
    history, expected = CHANGES[change]

    assert fired(history) == expected


def test_every_check_is_made_to_fire_by_some_change() -> None:
    made_to_fire = set().union(*(expected for _, expected in CHANGES.values()))

    assert made_to_fire == {judge.__name__ for judge in CHECKS}


# --- I-10 ----------------------------------------------------------------------------------


def test_a_perp_alone_is_not_naked_and_has_a_stop_of_its_size() -> None:
    assert [str(violation) for violation in check(alone(*GUARDED))] == []


@pytest.mark.parametrize(
    ("looks", "said"),
    [
        (((10, "-5", ""), (31, "-5", "5"), (500, "0", "")), "stops for [] of -5, for 21 s"),
        (((10, "-5", "4"), (31, "-5", "5"), (500, "0", "")), "stops for ['4'] of -5, for 21 s"),
        # Two halves are no whole: which of them are there when it matters?
        (((10, "-5", "2 3"), (31, "-5", "5"), (500, "0", "")), "stops for ['2', '3'] of -5"),
        (((10, "-5", "5 5"), (31, "-5", "5"), (500, "0", "")), "stops for ['5', '5'] of -5"),
        (((10, "-5", "5"), (500, "0", "5")), "stops for ['5'] of 0, for 500 s"),
        (((10, "-5", "5"), (200, "-5", ""), (500, "0", "")), "stops for [] of -5, for 300 s"),
    ],
)
def test_a_stop_that_is_missing_or_too_much_is_found(
    looks: tuple[tuple[float, str, str], ...], said: str
) -> None:
    (violation,) = check(alone(*looks))

    assert violation.invariant == "I-10"
    assert said in violation.text


def test_while_nobody_is_there_to_place_a_stop_none_is_missing() -> None:
    history = alone((10, "-5", ""), (120, "-5", "5"), (500, "0", ""))
    dead = Window(WindowKind.DEAD, at(12), at(110))

    assert fired(replace(history, windows=(dead,))) == set()


def test_what_is_dust_needs_no_stop() -> None:
    history = alone((10, "-5", "5"), (100, "-0.1", ""), (500, "0", ""))

    assert fired(history) == set()


# --- Figures -------------------------------------------------------------------------------


def test_what_happened_is_counted_by_its_kind() -> None:
    assert coverage(LIFE) == {
        "open spot": 1,
        "hedge perp": 3,
        "hedge spot": 3,
        "close perp": 2,
        "partial": 3,
        "fence used": 1,
        "funding": 1,
        "deposit": 1,
        "adl": 1,
        "cancel": 1,
    }


def test_a_life_without_trades_counts_nothing() -> None:
    assert coverage(Story().history(1000)) == {}


def test_refusals_and_copies_are_counted() -> None:
    story = Story()
    story.order(1, "lead", SPOT, Side.BUY, "5", answer="Order has zero size.")
    copy = replace(story.actions[0], time_ns=at(4), outcome=DUPLICATE, outcomes=())
    story.actions.append(copy)
    story.order(9, "never", SPOT, Side.BUY, "5")
    story.fence(8, "never", OK)
    story.order(9.5, "waits", SPOT, Side.BUY, "5", answer=RESTING)
    story.actions = [
        replace(a, outcome=DUPLICATE, outcomes=()) if a.time_ns == at(9) else a
        for a in story.actions
    ]

    assert coverage(story.history(10)) == {
        "order refused": 1,
        "again": 1,
        "action refused": 2,
        "fence burnt": 1,
    }


def test_naked_times_are_told_apart_by_what_was_wrong() -> None:
    naked = naked_seconds(LIFE)

    assert naked.healthy == (0.5, 3.0, 1.0)
    assert naked.degraded == (15.0,)
    assert naked.helpless == (60.0,)


def test_the_time_from_a_forced_close_to_neutral_is_told_apart() -> None:
    assert forced_to_neutral_seconds(LIFE).healthy == (3.0,)


def test_times_overlap_touch_and_are_passed_over() -> None:
    def window(start: int, end: int) -> Window:
        return Window(WindowKind.DEAD, start, end)

    times = Times([window(30, 40), window(10, 15), window(12, 20)], WindowKind.DEAD)

    assert times.covered(0, 100) == 20
    assert times.covered(15, 35) == 10
    assert times.covered(20, 30) == 0
    assert [times.touches(t, t) for t in (9, 10, 19, 20, 29, 39, 40)] == [
        False, True, True, False, False, True, False,
    ]  # fmt: skip
    assert times.ends(0, 100) == [20, 40]
    assert times.ends(20, 40) == []
    assert [times.since(t) for t in (9, 14, 19, 20, 45)] == [9, 10, 10, 20, 45]
    assert times.outside_after(0, 10) == 20
    assert times.outside_after(0, 9) == 9
    assert times.outside_after(12, 9) == 29
    assert times.outside_after(12, 11) == 41
    assert Times([], WindowKind.DEAD).outside_after(5, 5) == 10


def busy(slices: int) -> History:
    story = Story()
    for number in range(slices):
        seconds = number * 3.6
        side = (Side.BUY, Side.SELL)[number % 2]
        story.order(seconds, f"lead {number}", SPOT, side, "2", answer=RESTING)
        story.fill(seconds + 1, f"lead {number}")
        story.traded(seconds + 2, f"hedge {number}", PERP, side.opposite, "2")
        story.window(WindowKind.DOUBT, seconds + 2.5, seconds + 3)
    return story.history(slices * 3.6)


def test_a_longer_history_takes_longer_in_proportion() -> None:
    def seconds(history: History) -> float:
        began = process_time()
        check(history)
        return process_time() - began

    short, long = busy(250), busy(1000)  # 1000 and 4000 records, the latter about 0.04 s

    assert min(seconds(long) for _ in range(3)) < 8 * min(seconds(short) for _ in range(3))
