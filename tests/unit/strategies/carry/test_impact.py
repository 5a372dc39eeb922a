"""What our own trade takes off the funding it is opened for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.carry.impact import after_own_trade
from strategies.funding.forecast import Forecast, Standing

INTEREST = 1.25e-5
RICH = Forecast(4.25e-5, 1e-6, 720.0, Standing(4.25e-5, 2e-5), Standing(3.25e-5, 0.0))

rates = st.floats(-1e-3, 1e-3)


def test_a_tenth_of_the_open_interest_takes_a_tenth_of_the_premium() -> None:
    found = after_own_trade(RICH, 10.0, 90.0, INTEREST)

    assert found.hourly == pytest.approx(INTEREST + 0.9 * 3e-5)
    assert found.now == pytest.approx((INTEREST + 0.9 * 3e-5, 0.9 * 2e-5))
    assert found.before == pytest.approx((INTEREST + 0.9 * 2e-5, 0.0))
    assert found.error == RICH.error


def test_interest_is_no_matter_of_size() -> None:
    floor = Forecast(INTEREST, 0.0, 720.0, Standing(INTEREST, 0.0), Standing(INTEREST, 0.0))

    assert after_own_trade(floor, 50.0, 50.0, INTEREST) == floor


@pytest.mark.parametrize("unknown", [None, 0.0])
def test_nothing_is_assumed_where_the_open_interest_is_not_known(unknown: float | None) -> None:
    assert after_own_trade(RICH, 10.0, unknown, INTEREST) is RICH


@given(level=rates, deviation=rates, share=st.floats(0.0, 1.0))
def test_our_own_trade_never_raises_a_rate_nor_takes_more_than_the_premium(
    level: float, deviation: float, share: float
) -> None:
    standing = Standing(level, deviation)
    told = Forecast(level, 0.0, 720.0, standing, standing)
    found = after_own_trade(told, share * 100.0, 100.0, INTEREST)

    for before, after in (
        (level, found.hourly),
        (level, found.now.level),
        (level + deviation, sum(found.now)),
    ):
        assert min(before, INTEREST) - 1e-15 <= after <= before + 1e-15
