"""How long is waited."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.venues.hyperliquid.timing import Timing


@given(st.integers(0, 10**6), st.floats(0, 1))
def test_a_pause_grows_to_its_limit_and_never_vanishes(failures: int, chance: float) -> None:
    timing = Timing(backoff_first=0.25, backoff_last=5.0)
    pause = timing.backoff(failures, chance)

    assert 0.125 <= pause <= 5.0
    assert timing.backoff(failures + 1, chance) >= pause
    assert timing.backoff(10**6, 0.0) == 5.0


def test_no_wait_may_be_nothing() -> None:
    with pytest.raises(ValueError, match="ping"):
        Timing(ping=0.0)
