"""A nonce is taken once, and an old one never after a hundred newer."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from execution.venues.hyperliquid.emulator.nonces import Nonces

NOW_MS = 1_750_000_000_000
DAY_MS = 86_400_000
near = st.integers(min_value=NOW_MS - 300, max_value=NOW_MS + 300)
seeds = st.integers(min_value=0, max_value=2**32)


def accepted(nonces: list[int]) -> list[int]:
    window, taken = Nonces(), []
    for nonce in nonces:
        if window.refusal(nonce, NOW_MS) is None:
            window.use(nonce)
            taken.append(nonce)
    return taken


def shuffled(seed: int) -> list[int]:
    """Two hundred different ones in no order; every third comes again, some time later."""
    nonces = Random(seed).sample(range(NOW_MS - 300, NOW_MS + 300), 200)
    return [*nonces, *nonces[::3]]


@settings(max_examples=50)
@given(seeds)
def test_no_nonce_is_taken_twice(seed: int) -> None:
    taken = accepted(shuffled(seed))

    assert len(taken) == len(set(taken))


@settings(max_examples=50)
@given(seeds)
def test_exactly_those_below_the_hundredth_highest_so_far_are_too_low(seed: int) -> None:
    taken: list[int] = []
    for nonce in shuffled(seed):
        kept = sorted(taken)[-100:]
        if nonce not in taken and (len(kept) < 100 or nonce > kept[0]):
            taken.append(nonce)

    assert 100 < len(taken) < 200
    assert accepted(shuffled(seed)) == taken


@given(st.lists(near, max_size=99, unique=True))
def test_the_first_hundred_may_come_in_any_order(nonces: list[int]) -> None:
    assert accepted(nonces) == nonces


def test_the_refusals_name_the_nonce_and_the_bound() -> None:
    window = Nonces()
    for nonce in range(NOW_MS, NOW_MS + 100):
        window.use(nonce)

    duplicate, low = window.refusal(NOW_MS, NOW_MS), window.refusal(NOW_MS - 1, NOW_MS)

    assert duplicate == f"Invalid nonce: duplicate nonce {NOW_MS}"
    assert low == f"Invalid nonce: nonce too low {NOW_MS - 1} < {NOW_MS}"


def test_a_hundred_newer_ones_shut_out_an_old_one() -> None:
    taken = accepted(list(range(NOW_MS, NOW_MS + 101)))

    assert len(taken) == 101
    assert accepted([*taken, NOW_MS, NOW_MS - 1]) == taken


def test_a_nonce_is_within_two_days_before_and_one_day_after() -> None:
    window = Nonces()
    old, new = NOW_MS - 2 * DAY_MS, NOW_MS + DAY_MS

    assert window.refusal(old + 1, NOW_MS) is None
    assert window.refusal(new - 1, NOW_MS) is None
    assert window.refusal(old, NOW_MS) == f"Invalid nonce: nonce too low {old} < {old}"
    assert window.refusal(new, NOW_MS) == f"Invalid nonce: nonce too high {new} > {new}"
