"""What stops entries, what starts them again, and what nothing stops."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from bot.settings import Account
from domain.account import CashCause, LeverageConfirmed
from domain.instruments import Kind
from domain.market import Book, Level, MarketInput, Trade
from domain.money import ZERO
from domain.orders import Fill
from domain.targets import ExitCause, Target
from domain.time import MINUTE, SECOND
from execution.facts import (
    Decided,
    LimitCleared,
    LimitTripped,
    Reconciled,
    Retargeted,
    Stage,
)
from execution.orders import OrderState
from strategies.market.state import Market
from strategies.strategy import Holding
from tests.lossy import Delivery, Message, Storm, assert_sound, intended, is_hedged
from tests.scripted import PERP, SPOT, START, Price, Scripted, Told, settings

POLICY = settings().execution


def flat(_: int) -> float:
    return 20.0


def refusals(storm: Storm) -> set[str]:
    """Why entries were refused so far, without their figures."""
    decided = [f for f in storm.told(Decided) if isinstance(f, Decided)]
    return {refusal.split(":", 1)[0] for fact in decided for refusal in fact.refusals}


def active(storm: Storm) -> tuple[str, ...]:
    return storm.engine.state.limits.names


def tripped(storm: Storm) -> list[str]:
    return [f.limit for f in storm.told(LimitTripped) if isinstance(f, LimitTripped)]


def cleared(storm: Storm) -> list[tuple[str, str]]:
    return [(f.limit, f.by) for f in storm.told(LimitCleared) if isinstance(f, LimitCleared)]


def tamper(storm: Storm, asset: str, amount: str) -> None:
    """The venue's balance changes and no record says why."""
    balances = storm.venue.exchange._state.balances
    balances[asset] = balances.get(asset, ZERO) + Decimal(amount)


# --- the market falls silent ---------------------------------------------------------------------


class Gap(Scripted):
    """No event at all between two minutes after the start."""

    def __init__(self, price: Price, hours: float, silent: tuple[int, int]) -> None:
        super().__init__(price, hours)
        self._silent = silent

    def _step(self, number: int, time_ns: int) -> Iterator[MarketInput]:
        if not self._silent[0] <= number < self._silent[1]:
            yield from super()._step(number, time_ns)


def test_while_the_market_is_silent_nothing_grows() -> None:
    # Silent from 1:07, when a first slice is open and the second rests.
    storm = Storm(Gap(flat, 6, (67, 127)), Told("4000", enter=1)).worse().run(1.15)
    before = storm.engine.state.quantities(storm.engine.state.trades["HYPE#1"])
    assert ZERO < before[0] < 199
    storm.run(2)
    assert storm.engine.state.quantities(storm.engine.state.trades["HYPE#1"]) == before
    assert storm.engine.state.orders.live() == []
    silent = [f for f in intended(storm) if START + 69 * MINUTE < f.time_ns < START + 127 * MINUTE]
    assert silent == []
    assert "stale_data" in tripped(storm)
    storm.run(4)
    assert_sound(storm)


def test_a_fill_told_in_the_silence_is_hedged_by_the_last_book() -> None:
    storm = Storm(Gap(flat, 6, (67, 127)), Told("900", enter=1)).worse()

    def late(message: Message) -> Delivery:
        # Fills of spot are told half an hour late, when the market has long been silent.
        spot = any(isinstance(e, Fill) and e.instrument == SPOT.id for e in message)
        return [(30 * MINUTE * spot, event) for event in message]

    storm.worse(answer=late, request=lambda effect: True)
    storm.run(1.9)
    hedges = [f for f in intended(storm) if f.request.instrument == PERP.id]
    assert hedges
    assert all(START + 67 * MINUTE < f.time_ns < START + 127 * MINUTE for f in hedges)
    assert is_hedged(storm)
    storm.calm().run(4)
    assert_sound(storm)


def test_stale_data_is_a_condition_that_clears_by_itself_once_the_market_is_back() -> None:
    storm = Storm(Gap(flat, 6, (180, 210)), Told("2000", enter=1)).worse().run(3.4)
    assert active(storm) == ("stale_data",)
    storm.run(4)
    assert active(storm) == ()
    assert [limit for limit, _ in cleared(storm)] == ["stale_data"]


# --- losses --------------------------------------------------------------------------------------


def losing(at: int = 180, by: float = 0.1) -> Scripted:
    """The spot falls against its perp at one minute: the basis takes what funding never will."""

    class Losing(Scripted):
        def _step(self, number: int, time_ns: int) -> Iterator[MarketInput]:
            for event in super()._step(number, time_ns):
                if number >= at and event.instrument == SPOT.id:
                    yield cheaper(event, by)
                else:
                    yield event

    return Losing(flat, 60)


def cheaper(event: MarketInput, by: float) -> MarketInput:
    def lower(price: float) -> float:
        return round(price * (1 - by), 3)

    if isinstance(event, Trade):
        return msgspec.structs.replace(event, price=lower(event.price))
    assert isinstance(event, Book)
    return msgspec.structs.replace(
        event,
        bids=tuple(Level(lower(bid.price), bid.size) for bid in event.bids),
        asks=tuple(Level(lower(ask.price), ask.size) for ask in event.asks),
    )


def test_a_daily_loss_latches_blocks_entries_survives_a_restart_and_is_reset_by_a_person(
    tmp_path: Path,
) -> None:
    strategy = Told("4000", enter=1, leave=3.5)
    first = Storm(losing(), strategy, tmp_path).worse().run(5)
    assert "daily_loss" in active(first)
    assert first.engine.state.trade_on("HYPE") is None  # leaving is not blocked
    first.close()

    again = Storm(losing(), Told("4000", enter=5), tmp_path).worse().run(30)
    assert active(again) == ("daily_loss",)  # also on the next day
    assert list(again.engine.state.trades) == ["HYPE#1"]
    assert "limits" in refusals(again)
    again.command("reset", "daily_loss")
    assert active(again) == ()
    assert cleared(again) == [("daily_loss", "tester")]
    again.run(31)
    # The loss was accepted: it is counted from the reset on, and does not trip again.
    assert active(again) == ()
    assert_sound(again)
    again.close()


def test_a_drawdown_latches_and_its_reset_starts_from_the_equity_of_that_moment() -> None:
    risk = msgspec.structs.replace(settings().risk, drawdown_max=Decimal("0.02"))
    chosen = settings(risk=risk)
    storm = Storm(losing(), Told("4000", enter=1, leave=4), chosen=chosen).worse().run(5)
    assert "drawdown" in active(storm)
    lost = storm.engine.state.equity
    storm.command("reset", "drawdown")
    storm.command("reset", "daily_loss")
    storm.run(7)
    assert active(storm) == ()
    assert lost is not None
    assert storm.engine.state.equity_peak < 9_900


def test_coins_of_the_owners_hide_no_loss_of_trading() -> None:
    chosen = settings(account=Account(inventory="HYPE:100"))
    storm = Storm(losing(), Told("4000", enter=1, leave=3.5), chosen=chosen).worse().run(5)
    assert "daily_loss" in active(storm)


def test_neither_a_deposit_nor_a_withdrawal_is_a_profit_or_a_loss_to_the_limits() -> None:
    storm = Storm(Scripted(flat, 30), Told("1000", enter=1)).worse().run(2.5)
    clearing = storm.venue.exchange._clearing
    storm.happens([clearing.cashflow("USDC", Decimal(-4000), CashCause.WITHDRAWAL, None)])
    storm.run(5)
    storm.happens([clearing.cashflow("USDC", Decimal(9000), CashCause.DEPOSIT, None)])
    storm.run(29)
    assert active(storm) == ()
    assert storm.engine.state.equity_peak < 15_100
    assert_sound(storm)


# --- the operator --------------------------------------------------------------------------------


def opening(notional: str = "4000") -> Storm:
    """A world whose trade is being opened: one slice is held, the next one rests."""
    storm = Storm(Scripted(flat, 12), Told(notional, enter=1)).worse().run(1)
    storm.until(
        lambda: storm.engine.state.books.position(PERP.id) < 0 and bool(live_maker(storm)),
        step_ns=SECOND // 4,
    )
    return storm


def live_maker(storm: Storm) -> list[str]:
    live = storm.engine.state.orders.live()
    return [o.cloid for o in live if o.state is OrderState.OPEN]


def test_pause_takes_growing_orders_back_at_once_and_resume_goes_on() -> None:
    storm = opening()
    (cloid,) = live_maker(storm)
    storm.command("pause")
    storm.minutes(0.05)
    assert storm.engine.state.orders[cloid].state is OrderState.CANCELED
    held = storm.engine.state.books.positions()
    storm.minutes(20)
    assert storm.engine.state.books.positions() == held
    assert is_hedged(storm)
    storm.command("resume")
    storm.minutes(10)
    assert storm.engine.state.trades["HYPE#1"].stage is Stage.HOLDING
    assert storm.engine.state.books.position(PERP.id) < -199
    assert_sound(storm)


def test_a_pause_survives_a_restart_and_refuses_entries(tmp_path: Path) -> None:
    first = Storm(Scripted(flat, 12), Told("1000", enter=1), tmp_path).worse().run(0.5)
    first.command("pause")
    first.close()
    again = Storm(Scripted(flat, 12), Told("1000", enter=1), tmp_path).worse().run(2)
    assert again.engine.state.trades == {}
    assert "paused" in refusals(again)
    again.command("resume")
    again.run(3)
    assert list(again.engine.state.trades) == ["HYPE#1"]
    again.close()


def test_while_paused_a_trade_is_still_closed_when_its_thesis_is_gone() -> None:
    storm = Storm(Scripted(flat, 12), Told("1000", enter=1, leave=3)).worse().run(2)
    storm.command("pause")
    storm.run(4)
    assert storm.engine.state.trades["HYPE#1"].stage is Stage.CLOSED
    assert_sound(storm)


@pytest.mark.parametrize(("name", "argument"), [("close", "HYPE"), ("flatten", "")])
@pytest.mark.parametrize("when", ["preparing", "opening", "holding"])
def test_close_and_flatten_end_a_trade_from_wherever_it_is(
    name: str, argument: str, when: str
) -> None:
    storm = Storm(Scripted(flat, 12), Told("4000", enter=1)).worse().run(1)
    if when == "preparing":
        storm.until(lambda: bool(storm.engine.state.open_trades), step_ns=SECOND // 20)
        assert storm.engine.state.trades["HYPE#1"].stage is Stage.PREPARING
    elif when == "opening":
        storm = opening()
    else:
        storm.run(2)
    storm.command(name, argument)
    if when == "preparing":  # nothing was sent yet: there is nothing to wait for
        assert storm.engine.state.open_trades == {}
    storm.minutes(30)
    trade = storm.engine.state.trades["HYPE#1"]
    assert (trade.stage, trade.cause) == (Stage.CLOSED, ExitCause.OPERATOR)
    assert trade.exit_reason == f"operator: {name} by tester"
    assert_sound(storm)


def test_flatten_takes_and_is_done_within_seconds_and_a_close_after_it_does_not_slow_it() -> None:
    storm = Storm(Scripted(flat, 12), Told("900", enter=1)).worse().run(2.5)
    storm.command("close", "HYPE")
    storm.command("flatten")
    storm.command("close", "HYPE")
    storm.minutes(0.1)
    assert storm.engine.state.trades["HYPE#1"].stage is Stage.CLOSED
    assert_sound(storm)


def test_closing_another_pair_changes_nothing() -> None:
    storm = Storm(Scripted(flat, 12), Told("1000", enter=1)).worse().run(2)
    storm.command("close", "BTC")
    storm.minutes(30)
    assert storm.engine.state.trades["HYPE#1"].stage is Stage.HOLDING


# --- reconciliation ------------------------------------------------------------------------------


def test_a_balance_that_nobody_explains_is_reported_after_two_reads_and_stops_entries() -> None:
    storm = Storm(Scripted(flat, 12), Told("1000", enter=1)).worse().run(0.5)
    tamper(storm, "USDC", "-5")
    at = storm.venue.now_ns
    storm.run(2)
    found = [f for f in storm.told(Reconciled) if isinstance(f, Reconciled) and f.mismatches]
    assert found[0].mismatches == ("USDC: books 10000, venue 9995",)
    assert at + 2 * SECOND < found[0].time_ns < at + 65 * SECOND
    assert storm.engine.state.trades == {}
    assert "reconciled" in refusals(storm)
    tamper(storm, "USDC", "5")
    storm.run(3)
    assert storm.engine.state.reconciled is not None
    assert storm.engine.state.reconciled.mismatches == ()
    assert list(storm.engine.state.trades) == ["HYPE#1"]
    assert_sound(storm)


def test_a_difference_seen_only_once_is_not_reported() -> None:
    storm = Storm(Scripted(flat, 12), Told("1000", enter=1)).worse().run(2)
    storm.until(lambda: storm.venue.now_ns % MINUTE > 55 * SECOND)
    tamper(storm, "HYPE", "1")
    storm.until(lambda: bool(storm.engine._suspicion), step_ns=SECOND // 4)
    tamper(storm, "HYPE", "-1")
    storm.run(3)
    assert all(not f.mismatches for f in storm.told(Reconciled) if isinstance(f, Reconciled))


def test_a_trade_that_is_being_opened_does_not_grow_while_the_books_disagree() -> None:
    storm = opening()
    storm.command("pause")
    storm.minutes(0.1)
    tamper(storm, "USDC", "-5")
    storm.minutes(3)
    assert storm.engine.state.reconciled is not None
    assert storm.engine.state.reconciled.mismatches
    held = storm.engine.state.books.positions()
    storm.command("resume")
    storm.minutes(5)
    assert storm.engine.state.books.positions() == held
    tamper(storm, "USDC", "5")
    storm.minutes(20)
    assert storm.engine.state.trades["HYPE#1"].stage is Stage.HOLDING
    assert_sound(storm)


def test_while_the_books_disagree_a_trade_can_still_be_closed() -> None:
    storm = Storm(Scripted(flat, 12), Told("1000", enter=1)).worse().run(2)
    tamper(storm, "USDC", "-5")
    storm.minutes(5)
    storm.command("flatten")
    storm.minutes(1)
    assert storm.engine.state.trades["HYPE#1"].stage is Stage.CLOSED


def test_a_slow_answer_is_not_taken_for_a_wrong_clock() -> None:
    def slow(message: Message) -> Delivery:
        return [(8 * SECOND, event) for event in message]

    storm = Storm(Scripted(flat, 12), Told("1000", enter=1)).worse(answer=slow).run(2)
    assert isinstance(storm, Storm)
    assert "clock_skew" not in tripped(storm)


def test_a_venue_whose_clock_is_wrong_stops_entries_until_it_is_right_again() -> None:
    def ahead(message: Message) -> Delivery:
        skewed = (
            (0, msgspec.structs.replace(e, venue_time_ns=e.venue_time_ns + 5 * SECOND))
            for e in message
        )
        return list(skewed)

    storm = Storm(Scripted(flat, 12), Told("1000", enter=1)).worse(answer=ahead).run(2)
    assert isinstance(storm, Storm)
    assert active(storm) == ("clock_skew",)
    assert storm.engine.state.trades == {}
    storm.calm().run(3)
    assert active(storm) == ()
    assert list(storm.engine.state.trades) == ["HYPE#1"]


# --- restart -------------------------------------------------------------------------------------


def test_a_restart_while_leverage_is_being_set_reads_it_back_again_and_goes_on(
    tmp_path: Path,
) -> None:
    def deaf(message: Message) -> Delivery:
        lost = any(isinstance(e, LeverageConfirmed) for e in message)
        return [] if lost else [(0, e) for e in message]

    first = Storm(Scripted(flat, 12), Told("1000", enter=1), tmp_path).worse(answer=deaf).run(1.09)
    assert first.engine.state.trades["HYPE#1"].stage is Stage.PREPARING
    first.close()
    again = Storm(Scripted(flat, 12), Told("1000", enter=1), tmp_path).worse().run(2)
    assert isinstance(again, Storm)
    assert list(again.engine.state.trades) == ["HYPE#1"]
    assert again.engine.state.trades["HYPE#1"].stage is Stage.HOLDING
    assert_sound(again)
    again.close()


def test_after_a_restart_nothing_grows_before_the_books_were_compared(tmp_path: Path) -> None:
    first = Storm(Scripted(flat, 12), Told("4000", enter=1), tmp_path).worse().run(1)
    first.until(lambda: first.engine.state.books.position(PERP.id) < 0)
    first.close()

    def unanswered(message: Message) -> Delivery:
        from domain.account import AccountReport

        asked = any(isinstance(e, AccountReport) and e.request_id is not None for e in message)
        return [] if asked else [(0, e) for e in message]

    again = Storm(Scripted(flat, 12), Told("4000", enter=1), tmp_path).worse(answer=unanswered)
    held = again.engine.state.books.position(PERP.id)
    sent = len(intended(again))
    again.minutes(10)
    assert again.engine.reconciled_ns is None
    grown = [f for f in intended(again)[sent:] if f.role == "maker"]
    assert grown == []
    assert again.engine.state.books.position(PERP.id) == held
    again.calm().run(3)
    assert again.engine.state.trades["HYPE#1"].stage is Stage.HOLDING
    assert_sound(again)
    again.close()


# --- margin --------------------------------------------------------------------------------------


class Dry(Scripted):
    """From two hours on nobody trades at our prices any more."""

    def _step(self, number: int, time_ns: int) -> Iterator[MarketInput]:
        for event in super()._step(number, time_ns):
            if number <= 121 or not isinstance(event, Trade):
                yield event


class PerpMakes(Told):
    def targets(
        self, market: Market, holdings: Mapping[str, Holding], equity: Decimal, now_ns: int
    ) -> tuple[Target, ...]:
        (target,) = super().targets(market, holdings, equity, now_ns)
        return (msgspec.structs.replace(target, maker_leg=Kind.PERP),)


def test_a_slow_close_becomes_urgent_when_the_margin_guard_needs_it() -> None:
    # The perp is bought back by a resting order from which the price runs away, and no
    # collateral is left to add.
    def rally(number: int) -> float:
        return float(20.0 * 1.02 ** min(max(number - 125, 0), 30))

    storm = Storm(Dry(rally, 6), PerpMakes("6200", enter=1, leave=2)).worse().run(5)
    changes = [f for f in storm.told(Retargeted) if isinstance(f, Retargeted)]
    assert [(f.quantity, f.urgent, f.cause) for f in changes] == [
        (ZERO, False, ExitCause.THESIS_CHANGED),
        (ZERO, True, ExitCause.MARGIN_GUARD),
    ]
    fills = [f for f in storm.told(Fill) if isinstance(f, Fill)]
    assert {f.cause.value for f in fills} == {"order"}
    assert storm.engine.state.extremes.leverage_held < 3
    assert_sound(storm)
