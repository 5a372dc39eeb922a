"""Strategies that use coins which are there anyway: the hedge, and the reverse carry."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.market import Level
from domain.money import ZERO
from domain.targets import Action, ExitCause, Legs, Target
from domain.time import HOURS_PER_YEAR, MINUTE
from strategies.carry.costs import round_trip
from strategies.carry.policy import CarryPolicy
from strategies.cash_and_carry import CashAndCarry
from strategies.funding.forecast import Forecast, Standing
from strategies.hedge import Hedge, HedgePolicy
from strategies.market.state import Market
from strategies.reverse_carry import ReverseCarry, mirrored
from strategies.strategy import Holding
from tests.unit.strategies.world import (
    FLOOR,
    NOW,
    RESTING,
    book,
    context,
    market_of,
    observe,
    pair,
    raw_book,
)

PAIR = pair("HYPE")
EQUITY = Decimal(10_000)
LEVERAGE, RISK = Decimal(2), Decimal("0.01")


def hedge(**policy: object) -> Hedge:
    return Hedge(
        msgspec.convert(policy, HedgePolicy),
        CarryPolicy(),
        [PAIR],
        leverage_target=LEVERAGE,
        risk_per_trade=RISK,
    )


def reverse() -> ReverseCarry:
    return ReverseCarry(
        CarryPolicy(), [PAIR], leverage_target=LEVERAGE, risk_per_trade=RISK, resting=RESTING
    )


def told(
    strategy: Hedge | ReverseCarry | CashAndCarry,
    market: Market,
    holding: Holding | None = None,
    now_ns: int = NOW,
) -> Target:
    holdings = {} if holding is None else {PAIR.name: holding}
    (target,) = strategy.targets(market, holdings, EQUITY, now_ns)
    return target


def word(target: Target) -> str:
    return target.reason.split(":")[0]


def held(legs: Legs, basis: float | None = None) -> Holding:
    return Holding(PAIR.name, Decimal(20), Decimal(2000), NOW - 60 * MINUTE, basis, legs)


# --- hedge ---------------------------------------------------------------------------------------


def test_a_hedge_is_opened_by_its_ratio_without_waiting_for_income() -> None:
    target = told(hedge(ratio=Decimal("0.4")), market_of(PAIR, hourly=0.0))
    assert (target.action, word(target)) == (Action.ENTER, "hedge")
    assert (target.tactic.legs, target.tactic.share) == (Legs.OVERLAY, Decimal("0.4"))
    assert target.amount_at_risk <= EQUITY * RISK


def test_a_hedge_that_costs_more_than_its_owner_pays_is_not_opened() -> None:
    market = market_of(PAIR, hourly=-0.5 / HOURS_PER_YEAR)
    assert word(told(hedge(pay_apr_max=0.2), market)) == "too_dear"
    assert told(hedge(pay_apr_max=1.0), market).action is Action.ENTER


def test_a_dear_hedge_is_left_only_when_that_is_cheaper_than_coming_back() -> None:
    dear = market_of(PAIR, hourly=-2.0 / HOURS_PER_YEAR)
    target = told(hedge(), dear, held(Legs.OVERLAY))
    assert (target.action, target.exit_cause) == (Action.EXIT, ExitCause.FUNDING_PUNISHING)
    # A little over what it may cost: not opened, but not worth two trades to leave either.
    little = market_of(PAIR, hourly=-0.22 / HOURS_PER_YEAR)
    assert told(hedge(pay_apr_max=0.15), little).action is Action.WAIT
    target = told(hedge(pay_apr_max=0.15), little, held(Legs.OVERLAY))
    assert (target.action, word(target)) == (Action.HOLD, "hedged")


def test_a_hedge_is_left_for_more_than_both_ways_cost() -> None:
    """Out costs 0.055 %, and in again as much: 0.085 % over what it may cost is borne."""
    held_ = held(Legs.OVERLAY)
    borne, left = (
        told(hedge(), market_of(PAIR, hourly=-apr / HOURS_PER_YEAR), held_) for apr in (0.32, 0.40)
    )
    dear = [(-one.forecast_hourly - 0.2 / HOURS_PER_YEAR) * 72 for one in (borne, left)]

    assert 0.0007 < dear[0] < 0.0010
    assert borne.action is Action.HOLD
    assert dear[1] > 0.0011
    assert left.action is Action.EXIT


@pytest.mark.parametrize("wrong", [{"ratio": Decimal(0)}, {"ratio": Decimal("1.01")}])
def test_a_ratio_is_a_share(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="ratio: must be more than 0 and at most 1"):
        HedgePolicy(**wrong)  # type: ignore[arg-type]


# --- reverse carry -------------------------------------------------------------------------------


def test_funding_that_shorts_pay_for_long_is_carried_the_other_way_round() -> None:
    market = market_of(PAIR, hourly=-8 * FLOOR)
    target = told(reverse(), market)
    assert (target.action, word(target)) == (Action.ENTER, "carry_pays")
    assert target.tactic.legs is Legs.REVERSE
    assert target.forecast_hourly > 0
    assert target.amount_at_risk <= EQUITY * RISK


@pytest.mark.parametrize("hourly", [8 * FLOOR, FLOOR, 0.0, -FLOOR / 4])
def test_where_longs_pay_or_hardly_anybody_does_nothing_is_sold(hourly: float) -> None:
    target = told(reverse(), market_of(PAIR, hourly=hourly))
    assert (target.action, word(target)) == (Action.WAIT, "carry_below_hurdle")


def test_what_is_tied_up_is_margin_and_reserve_since_the_coins_are_there_anyway() -> None:
    target = told(reverse(), market_of(PAIR, hourly=-8 * FLOOR))
    yearly = target.expected_net / 0.65 / target.horizon_hours * HOURS_PER_YEAR

    assert target.apr_on_capital == pytest.approx(yearly)


def test_the_way_to_liquidation_ends_before_the_whole_margin_is_lost() -> None:
    volatile, bearable = (market_of(PAIR, hourly=-8 * FLOOR) for _ in range(2))
    for market, sigma in ((volatile, 0.48), (bearable, 0.47)):
        seen = market.of(PAIR.perp.id)
        assert seen is not None
        seen.variance = (sigma / 4) ** 2 / 8

    assert word(told(reverse(), volatile)) == "volatile"
    assert told(reverse(), bearable).action is Action.ENTER


@given(hourly=st.floats(-3e-4, 3e-4))
def test_no_funding_pays_the_carry_and_its_mirror_at_once(hourly: float) -> None:
    market = market_of(PAIR, hourly=hourly)
    carry = CashAndCarry(
        CarryPolicy(), [PAIR], leverage_target=LEVERAGE, risk_per_trade=RISK, resting=RESTING
    )
    actions = [told(carry, market).action, told(reverse(), market).action]
    assert actions.count(Action.ENTER) <= 1


def test_one_print_the_other_way_opens_nothing() -> None:
    market = market_of(PAIR, hourly=FLOOR)
    observe(market, context(PAIR.perp, -20 * FLOOR))
    assert told(reverse(), market).action is Action.WAIT


def test_it_is_left_when_longs_pay_again() -> None:
    target = told(reverse(), market_of(PAIR, hourly=5 * FLOOR), held(Legs.REVERSE))
    assert (target.action, target.exit_cause) == (Action.EXIT, ExitCause.FUNDING_PUNISHING)


def test_it_is_held_while_shorts_pay() -> None:
    target = told(reverse(), market_of(PAIR, hourly=-8 * FLOOR), held(Legs.REVERSE))
    assert (target.action, word(target)) == (Action.HOLD, "carry_holds")


def test_a_perp_that_falls_far_under_its_spot_is_the_basis_stop() -> None:
    """Of an hour, since the average of the last hour has to agree."""
    market = market_of(PAIR, hourly=-8 * FLOOR)
    at_ns = NOW
    for _ in range(24):
        at_ns += 5 * MINUTE
        spot, perp = book(PAIR.spot, 100.0, at_ns), book(PAIR.perp, 96.0, at_ns)
        observe(market, spot, perp, context(PAIR.perp, -8 * FLOOR, 96.0, at_ns))
    target = told(reverse(), market, held(Legs.REVERSE, 0.0), at_ns)
    assert (target.action, target.exit_cause) == (Action.EXIT, ExitCause.BASIS_STOP)
    # A mark alone, which no quote confirms, is none.
    observe(market, book(PAIR.perp, 100.0, at_ns + 1))
    assert told(reverse(), market, held(Legs.REVERSE, 0.0), at_ns + 1).action is Action.HOLD
    observe(market, book(PAIR.perp, 96.0, at_ns + 2))
    # It is the one that was sized for, however little is known of the pair since a start.
    sized = msgspec.structs.replace(held(Legs.REVERSE, 0.0), basis_stop=0.05)
    assert told(reverse(), market, sized, at_ns).action is Action.HOLD
    # For the carry that is a gain.
    carry = CashAndCarry(
        CarryPolicy(), [PAIR], leverage_target=LEVERAGE, risk_per_trade=RISK, resting=RESTING
    )
    assert told(carry, market, held(Legs.CARRY, 0.0), at_ns).exit_cause is not ExitCause.BASIS_STOP


def test_what_it_loses_at_the_stop_is_reckoned_at_the_cost_of_its_own_size() -> None:
    """Books whose second level is 0.3 % away: one lot leaves at the touch, the whole does not."""
    market = market_of(PAIR, hourly=-40 * FLOOR)
    bids, asks = ([Level(100.0 + side * off, size) for off, size in ((0.01, 1.0), (0.3, 99.0))]
                  for side in (-1, 1))  # fmt: skip
    observe(market, *(raw_book(leg, bids, asks) for leg in (PAIR.spot, PAIR.perp)))
    target = told(reverse(), market)
    taking = Decimal("0.0058") + PAIR.spot.fees.taker + PAIR.perp.fees.taker

    assert target.action is Action.ENTER
    assert target.notional * (Decimal("0.03") + 2 * taking) <= EQUITY * RISK
    assert Decimal("99.5") < target.amount_at_risk <= EQUITY * RISK


def test_no_size_is_taken_of_which_less_would_earn_more() -> None:
    """Books that get dearer with every coin."""
    market = market_of(PAIR, hourly=-3 * FLOOR)
    bids, asks = ([Level(100.0 + side * (0.01 + 0.05 * k), 1.0) for k in range(40)]
                  for side in (-1, 1))  # fmt: skip
    observe(market, *(raw_book(leg, bids, asks) for leg in (PAIR.spot, PAIR.perp)))
    target = told(reverse(), market)
    hurdle = 0.01 * 0.65 / HOURS_PER_YEAR * 720

    def earned(quantity: int) -> float:
        spot, perp = market.of(PAIR.spot.id), market.of(PAIR.perp.id)
        assert spot is not None
        assert perp is not None
        trip = round_trip(PAIR, spot, perp, float(quantity), RESTING, Legs.REVERSE)
        assert trip is not None
        return quantity * 100.0 * (target.forecast_hourly * 720 - hurdle - trip.total)

    assert target.action is Action.ENTER
    assert earned(round(target.notional / 100)) > 0.95 * max(map(earned, range(1, 40)))


@pytest.mark.parametrize(("swing", "reason"), [(0.002, "carry_pays"), (0.02, "basis_restless")])
def test_nothing_is_sold_whose_basis_reaches_the_stop_as_it_is(swing: float, reason: str) -> None:
    market, at_ns = market_of(PAIR, hourly=-8 * FLOOR), NOW
    for k in range(6 * 12):
        at_ns += 5 * MINUTE
        mid = 100.0 * (1.0 + (swing if k % 2 else -swing))
        observe(market, book(PAIR.spot, 100.0, at_ns), book(PAIR.perp, mid, at_ns))
        observe(market, context(PAIR.perp, -8 * FLOOR, mid, at_ns))
    for leg in (PAIR.spot, PAIR.perp):
        seen = market.of(leg.id)
        assert seen is not None
        seen.variance = 1e-6  # by the oracle it is a calm coin
    assert word(told(reverse(), market, None, at_ns)) == reason


def test_a_perp_far_over_its_usual_basis_is_waited_out_and_left_for() -> None:
    """The mirror of the carry's: it is bought back when the premium is gone."""
    market, at_ns = market_of(PAIR, hourly=-8 * FLOOR), NOW
    for k in range(30 * 12):
        at_ns += 5 * MINUTE
        mid = 100.0 if k < 27 * 12 else 103.0
        observe(market, book(PAIR.spot, 100.0, at_ns), book(PAIR.perp, mid, at_ns))
        observe(market, context(PAIR.perp, -8 * FLOOR, mid, at_ns))
    target = told(reverse(), market, None, at_ns)
    assert (target.action, word(target)) == (Action.WAIT, "basis_against")
    target = told(reverse(), market, held(Legs.REVERSE, 0.0), at_ns)
    assert (target.action, word(target)) == (Action.EXIT, "basis_against")


def test_a_mirror_of_a_mirror_is_the_forecast_again() -> None:
    one = Forecast(1e-5, 2e-5, 24.0, Standing(2e-5, -1e-5), Standing(3e-5, 1e-6))
    assert mirrored(mirrored(one)) == one
    assert mirrored(one).total == -one.total


@pytest.mark.parametrize("strategy", [hedge(), reverse()])
def test_what_is_old_is_not_acted_on(strategy: Hedge | ReverseCarry) -> None:
    market = market_of(PAIR, hourly=-8 * FLOOR)
    late_ns = NOW + 5 * MINUTE
    assert word(told(strategy, market, now_ns=late_ns)) == "stale_data"
    target = told(strategy, market, held(Legs.OVERLAY), late_ns)
    assert (target.action, word(target)) == (Action.HOLD, "stale_data")


@pytest.mark.parametrize("strategy", [hedge(), reverse()])
def test_before_enough_is_known_nothing_is_entered(strategy: Hedge | ReverseCarry) -> None:
    market = market_of(PAIR, hourly=-8 * FLOOR, hours=5)
    assert word(told(strategy, market)) == "not_warm"
    assert told(strategy, Market((PAIR,))).notional == ZERO


@pytest.mark.parametrize(
    ("strategy", "hourly"), [(hedge(), -2.0 / HOURS_PER_YEAR), (reverse(), 5 * FLOOR)]
)
def test_nothing_is_left_for_its_funding_while_little_of_it_is_known(
    strategy: Hedge | ReverseCarry, hourly: float
) -> None:
    target = told(strategy, market_of(PAIR, hourly=hourly, hours=23), held(Legs.OVERLAY))
    assert (target.action, target.notional) == (Action.HOLD, Decimal(2000))
    assert target.reason == "not_warm: 23 h of funding known"
    assert told(strategy, market_of(PAIR, hourly=hourly), held(Legs.OVERLAY)).action is Action.EXIT
