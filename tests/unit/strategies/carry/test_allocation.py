"""Capital over candidates."""

from decimal import Decimal

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


def test_no_pair_passes_its_own_cap() -> None:
    assert allocate([wanting(A, 0.01, 5_000)], room(10_000))["A"] == 1_000


def test_a_cap_that_is_already_passed_grants_nothing() -> None:
    assert allocate([wanting(A, 0.01, 100)], room(-50))["A"] == 0
