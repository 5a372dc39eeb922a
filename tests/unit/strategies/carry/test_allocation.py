"""Capital over candidates."""

from decimal import Decimal
from itertools import product

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from domain.instruments import Pair
from strategies.carry.allocation import Candidate, allocate, buckets
from tests.unit.strategies.world import pair

A, B = pair("A"), pair("B")


def room(total: int, each: int = 1_000) -> dict[str, Decimal]:
    found = {name: Decimal(each) for one in (A, B) for name in buckets(one)}
    return found | {"total": Decimal(total), "venue simulated": Decimal(total)}


def wanting(one: Pair, score: float, capital: int) -> Candidate:
    return Candidate(one, score, Decimal(capital))


def test_the_better_candidate_is_filled_first() -> None:
    granted = allocate([wanting(A, 0.01, 600), wanting(B, 0.02, 600)], room(1_000))

    assert granted == {"B": Decimal(600), "A": Decimal(400)}


def test_equals_are_taken_by_name() -> None:
    granted = allocate([wanting(B, 0.01, 600), wanting(A, 0.01, 600)], room(600))

    assert granted == {"A": Decimal(600), "B": Decimal(0)}


def test_what_is_too_little_for_the_better_one_is_left_to_the_next() -> None:
    much = Candidate(A, 0.02, Decimal(900), least=Decimal(450))

    assert allocate([much, wanting(B, 0.01, 300)], room(400)) == {"A": 0, "B": Decimal(300)}
    assert allocate([much, wanting(B, 0.01, 300)], room(450)) == {"A": Decimal(450), "B": 0}


@given(
    wants=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 6)), min_size=3, max_size=3),
    caps=st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 12)),
)
def test_no_other_split_earns_more_at_one_venue(
    wants: list[tuple[int, int]], caps: tuple[int, int, int]
) -> None:
    """Every split in whole units, of two pairs on one asset and one on another."""
    other = msgspec.structs.replace(A.perp, symbol="A2-PERP")
    pairs = (A, Pair("A2", A.spot, other), B)
    asset_a, asset_b, total = caps
    room = {name: Decimal(99) for one in pairs for name in buckets(one)} | {
        "asset A": Decimal(asset_a), "asset B": Decimal(asset_b), "total": Decimal(total)
    }  # fmt: skip
    granted = allocate(
        [wanting(one, score, most) for one, (score, most) in zip(pairs, wants, strict=True)], room
    )
    best = max(
        sum(score * units for (score, _), units in zip(wants, split, strict=True))
        for split in product(*(range(most + 1) for _, most in wants))
        if split[0] + split[1] <= asset_a and split[2] <= asset_b and sum(split) <= total
    )

    assert best == sum(
        score * granted[one.name] for one, (score, _) in zip(pairs, wants, strict=True)
    )


def test_no_pair_passes_its_own_cap() -> None:
    assert allocate([wanting(A, 0.01, 5_000)], room(10_000))["A"] == 1_000


def test_a_cap_that_is_already_passed_grants_nothing() -> None:
    assert allocate([wanting(A, 0.01, 100)], room(-50))["A"] == 0
