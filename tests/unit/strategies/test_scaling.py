"""In by 30, 30 and 40 %, out by 30, 30 and the rest (SPEC R20): which part when, and how much."""

from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from strategies.scaling import ScalingPolicy, is_trailing, part_in, part_out

PLAIN = ScalingPolicy()


@pytest.mark.parametrize(
    ("made", "tranches", "word"),
    [
        (0.19, 1, None),
        (0.2, 1, "confirmed"),
        (0.9, 1, "confirmed"),
        (-0.5, 1, None),  # it is no pullback before anything was confirmed
        (0.2, 2, None),
        (0.4, 2, "strongly_confirmed"),
        (0.0, 2, "pullback"),
        (-0.3, 2, "pullback"),
        (0.4, 3, None),
        (-0.3, 3, None),
    ],
)
def test_a_part_is_bought_when_the_price_says_so(
    made: float, tranches: int, word: str | None
) -> None:
    part = part_in(PLAIN, made, tranches)
    assert (part.word if part else None) == word


@pytest.mark.parametrize(
    ("made", "met", "word", "share"),
    [
        (0.49, 0, None, None),
        (0.5, 0, "first_target", 0.7),
        (1.5, 0, "first_target", 0.7),  # one after the other, however far it has come
        (0.99, 1, None, None),
        (1.0, 1, "second_target", 4 / 7),
        (2.0, 2, None, None),
    ],
)
def test_a_part_is_sold_at_its_target(
    made: float, met: int, word: str | None, share: float | None
) -> None:
    part = part_out(PLAIN, made, met)
    assert (part.word if part else None) == word
    assert part is None or part.share == pytest.approx(share)
    assert is_trailing(PLAIN, met) == (met == 2)


def test_half_at_the_first_target_and_half_at_the_second_leaves_nothing_to_trail() -> None:
    halves = ScalingPolicy(first_out=0.5, second_out=0.5)
    first, second = part_out(halves, 1.0, 0), part_out(halves, 1.0, 1)
    assert first is not None
    assert second is not None
    assert (first.share, second.share) == (0.5, 0.0)


def test_without_a_first_target_the_whole_waits_for_the_second() -> None:
    at_once = ScalingPolicy(first_in=1.0, second_in=0.0, first_out=0.0, second_out=1.0)
    assert part_in(at_once, 0.9, 1) is None
    assert part_out(at_once, 0.9, 0) is None
    left = part_out(at_once, 1.0, 0)
    assert left is not None
    assert left.share == 0.0


shares = st.integers(5, 95).map(lambda n: n / 100)


@given(first=shares, second=shares)
def test_the_parts_that_are_bought_are_the_whole(first: float, second: float) -> None:
    assume(first + second <= 1.0)
    policy = ScalingPolicy(first_in=first, second_in=second)
    held = first
    for tranches in (1, 2):
        more = part_in(policy, 1.0, tranches)
        held += held * more.share if more is not None else 0.0
    assert held == pytest.approx(1.0)


@given(first=shares, second=shares)
def test_the_parts_that_are_sold_and_the_rest_are_the_whole(first: float, second: float) -> None:
    assume(first + second <= 1.0)
    policy = ScalingPolicy(first_out=first, second_out=second)
    held, sold = 1.0, []
    for met in (0, 1):
        out = part_out(policy, 1.0, met)
        assert out is not None
        sold.append(held * (1.0 - out.share))
        held *= out.share
    assert sold == pytest.approx([first, second])
    assert held == pytest.approx(1.0 - first - second, abs=1e-9)
    assert (held == 0.0) == (first + second > 1.0 - 1e-9)


@pytest.mark.parametrize(
    "wrong",
    [
        {"first_in": 0.0},
        {"first_in": 0.6, "second_in": 0.5},
        {"first_out": 0.6, "second_out": 0.5},
        {"confirmed_at": 0.5, "strongly_at": 0.4},
        {"trail": 0.0},
        {"first_in": float("nan")},
    ],
)
def test_parts_that_are_more_than_the_whole_or_none_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=": "):
        ScalingPolicy(**wrong)  # type: ignore[arg-type]


def test_the_defaults_are_those_of_the_rule() -> None:
    rest = 1 - PLAIN.first_in - PLAIN.second_in
    assert (PLAIN.first_in, PLAIN.second_in, round(rest, 9)) == (0.3, 0.3, 0.4)
    assert (PLAIN.first_out, PLAIN.second_out) == (0.3, 0.3)
    assert Decimal("0.3") == Decimal(repr(PLAIN.first_out))
