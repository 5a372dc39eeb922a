"""More margin while prices may move more: the cheapest remedy first, each with its numbers."""

from decimal import Decimal
from math import inf, nan

import msgspec
import pytest

from domain.instruments import MarginTier
from domain.orders import Side
from domain.targets import ExitCause
from execution.risk.calendar import Ahead
from execution.risk.caution import Caution, Stake, cautious, wanted_distance, wider
from execution.risk.guard import (
    NOTHING,
    Close,
    GuardAction,
    MarginPolicy,
    PositionView,
    Release,
    Shrink,
    TopUp,
    policy_for,
)
from execution.risk.limits import RiskLimits
from strategies.market.reach import reach_probability

D = Decimal
NONE = Ahead()
LIMITS = RiskLimits()
TIERS = (MarginTier(D(0), 10),)
FAR = Stake(distance=10.0, distance_after=10.0, loss=0.06, round_trip=0.02)
NEAR = Stake(distance=0.2, distance_after=0.6, loss=0.06, round_trip=0.02)


def wanted(volatility: float | None, event: Ahead = NONE, *, weekend: bool = False) -> Caution:
    found = wanted_distance(LIMITS, volatility, event, weekend=weekend)
    assert found is not None
    return found


def view(raw: str = "3000") -> PositionView:
    """Short 100 at 20, notional 2000: raw margin 3000 is 1000 behind it, twofold."""
    return PositionView(D(-100), D(raw), D(20), D(100), D(20), D("0.01"), D(10))


def policy(limits: RiskLimits) -> MarginPolicy:
    return policy_for(
        limits, Side.SELL, D(2000), TIERS, equity=D(0), spot_cost=D("0.005"),
        perp_cost=D("0.005"), proceeds_reach_margin=True,
    )  # fmt: skip


def judged(free: str, caution: Caution, stake: Stake = FAR, raw: str = "3000") -> GuardAction:
    careful = wider(LIMITS, caution)
    assert careful is not None
    return cautious(view(raw), D(free), policy(LIMITS), policy(careful), caution, stake)


WILD = wanted(0.05)  # 4 x 5 % x sqrt(8): 57 % away


# --- how far --------------------------------------------------------------------------------------


def test_the_distance_is_a_number_of_standard_deviations_over_the_hours() -> None:
    assert wanted(0.05).distance == pytest.approx(4 * 0.05 * 8**0.5)
    assert wanted(0.05).cause is ExitCause.VOLATILITY


def test_more_than_a_doubling_is_not_prepared_for() -> None:
    assert wanted(0.5).distance == 1.0


@pytest.mark.parametrize("volatility", [None, 0.0, nan, inf, -1.0])
def test_without_a_volatility_only_the_usual_guard_is_there(volatility: float | None) -> None:
    assert wanted_distance(LIMITS, volatility, Ahead("FOMC", 1.0), weekend=True) is None


def test_in_an_ordinary_market_the_usual_distance_is_enough() -> None:
    assert wider(LIMITS, wanted(0.02)) is None  # 23 %, and 25 % is kept anyway
    careful = wider(LIMITS, wanted(0.03))
    assert careful is not None
    assert careful.liquidation_distance_min == D("0.3394")


def test_before_an_event_the_volatility_counts_twice_and_says_which() -> None:
    ahead = wanted(0.02, Ahead("FOMC", 1.5))

    assert ahead.distance == pytest.approx(2 * wanted(0.02).distance)
    assert ahead.cause is ExitCause.EVENT
    assert "taken 2 times: FOMC in 1.5 h" in ahead.why


def test_an_event_further_off_than_the_hours_changes_nothing() -> None:
    assert wanted(0.02, Ahead("FOMC", 2.1)) == wanted(0.02)


def test_with_event_hours_at_zero_no_event_counts() -> None:
    off = msgspec.structs.replace(LIMITS, event_hours=0.0)
    assert wanted_distance(off, 0.02, Ahead("FOMC", 0.0), weekend=False) == wanted(0.02)


def test_a_weekend_counts_only_when_asked_for_and_the_larger_multiple_wins() -> None:
    assert wanted(0.02, weekend=True) == wanted(0.02)
    wary = msgspec.structs.replace(LIMITS, weekend_volatility=3.0)
    both = wanted_distance(wary, 0.02, Ahead("CPI", 1.0), weekend=True)
    assert both is not None
    assert both.distance == pytest.approx(3 * wanted(0.02).distance)
    assert "weekend" in both.why


# --- what is done ---------------------------------------------------------------------------------


def test_margin_comes_first_up_to_the_target_of_the_wider_distance() -> None:
    # Liquidation 57 % away at a maintenance of 5 %: at most 1 / (1.05 x 1.5657 - 1) = 1.55 times,
    # nine tenths of which is the target: 2000 / 1.398 = 1431 wanted, 1000 are there.
    action = judged("5000", WILD)

    assert isinstance(action, TopUp)
    assert float(action.amount) == pytest.approx(2000 / (0.9 / (1.05 * 1.5657 - 1)) - 1000, abs=0.1)
    assert action.why.startswith("moves of 5.00% an hour, liquidation wanted 57% away: leverage")


def test_where_free_collateral_is_not_enough_all_of_it_is_added() -> None:
    assert judged("200", WILD) == TopUp(D("200.000000"), f"{WILD.why}: all that is free")


def test_a_few_coins_that_come_free_every_hour_put_no_sale_off() -> None:
    assert isinstance(judged("9.99", WILD, NEAR), Shrink)  # an order is 10 at least
    assert isinstance(judged("10", WILD, NEAR), TopUp)


def test_without_free_collateral_nothing_is_sold_that_costs_more_than_it_saves() -> None:
    assert judged("0", WILD, FAR) is NOTHING


def test_both_legs_shrink_where_that_saves_more_than_it_costs_and_it_says_both() -> None:
    action = judged("0", WILD, NEAR)

    assert isinstance(action, Shrink)
    assert action.cause is ExitCause.VOLATILITY
    share = float(action.fraction)
    before = reach_probability(WILD.volatility, 0.2, WILD.hours)
    after = reach_probability(WILD.volatility, 0.6, WILD.hours)
    saved = 0.06 * (before - (1 - share) * after)
    assert saved > 0.02 * share
    assert action.why.endswith(f"; saves {saved:.2%}, costs {0.02 * share:.2%}")


def test_a_pair_is_closed_only_where_the_loss_avoided_exceeds_its_round_trip() -> None:
    tiny = PositionView(D("-0.6"), D(18), D(20), D("0.6"), D(20), D("0.01"), D(10))
    careful = wider(LIMITS, WILD)
    assert careful is not None

    def at(round_trip: float) -> GuardAction:
        stake = msgspec.structs.replace(NEAR, round_trip=round_trip)
        return cautious(tiny, D(0), policy(LIMITS), policy(careful), WILD, stake)

    chance = reach_probability(WILD.volatility, NEAR.distance, WILD.hours)
    dear, cheap = at(chance * 0.06 * 1.001), at(chance * 0.06 * 0.999)
    assert dear is NOTHING
    assert isinstance(cheap, Close)
    assert cheap.cause is ExitCause.VOLATILITY


def test_above_the_usual_guard_level_the_usual_guard_acts_and_asks_for_no_price() -> None:
    action = judged("0", WILD, FAR, raw="2700")  # 700 behind 2000: 2.86 times

    assert isinstance(action, Shrink)
    assert action.cause is ExitCause.MARGIN_GUARD


def test_margin_is_not_given_back_while_caution_would_ask_for_it_again() -> None:
    caution = wanted(0.08)  # 91 % away: at most 1.00 times, target 0.9
    assert isinstance(judged("0", caution, raw="8000"), Release)  # 6000 behind 2000: 0.33 times
    assert judged("0", caution, raw="4400") is NOTHING  # 0.83 times; the usual guard would not wait
