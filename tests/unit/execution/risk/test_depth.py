"""What the books of a pair can take, and whether they are quoted in what they seem to be."""

import math

import pytest

from domain.market import Level
from execution.risk.depeg import quote_dislocation
from execution.risk.depth import depth_within

BIDS = [Level(99.9, 10.0), Level(99.6, 20.0), Level(99.0, 1000.0)]
ASKS = [Level(100.1, 10.0), Level(100.5, 5.0), Level(101.0, 1000.0)]


def test_only_what_rests_within_the_share_counts_and_of_the_thinner_side() -> None:
    assert depth_within(BIDS, ASKS, 100.0, 0.006) == pytest.approx(100.1 * 10 + 100.5 * 5)
    assert depth_within(BIDS, ASKS, 100.0, 0.001) == pytest.approx(99.9 * 10)
    assert depth_within(BIDS, ASKS, 100.0, 0.0005) == 0.0


def test_a_side_without_orders_is_no_depth() -> None:
    assert depth_within([], ASKS, 100.0, 0.01) == 0.0
    assert depth_within(BIDS, [], 100.0, 0.01) == 0.0


@pytest.mark.parametrize(
    "bad", [Level(math.nan, 1.0), Level(99.9, math.inf), Level(99.9, -1.0), Level(math.inf, 1.0)]
)
def test_a_damaged_level_ends_its_side(bad: Level) -> None:
    assert depth_within([BIDS[0], bad, *BIDS[1:]], ASKS, 100.0, 0.05) == pytest.approx(99.9 * 10)


def test_one_coin_that_depegs_is_no_sign_of_the_quote_asset() -> None:
    assert quote_dislocation([(0.65, 1.0), (100.0, 100.0), (50.0, 50.0)]) == 0.0


def test_a_quote_asset_at_nine_tenths_makes_every_spot_dear() -> None:
    worth = 0.9
    legs = [(oracle / worth, oracle) for oracle in (100.0, 50.0, 2.0)]
    assert quote_dislocation(legs) == pytest.approx(1 / worth - 1)


def test_of_two_pairs_nobody_can_tell_which_it_is() -> None:
    assert quote_dislocation([(1.1, 1.0), (1.1, 1.0)]) is None
