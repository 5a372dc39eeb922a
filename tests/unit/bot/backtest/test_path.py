from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from bot.backtest.path import FINER, STEP, Candle, finer, finer_times, times, walk
from domain.time import HOUR, MILLISECOND, MINUTE


@st.composite
def candles(draw: st.DrawFn) -> Candle:
    price = st.floats(min_value=1.0, max_value=1.6)
    scale = draw(st.sampled_from([1e-3, 1.0, 1e5]))
    points = [draw(price) * scale for _ in range(4)]
    return points[0], max(points), min(points), points[3]


@given(candles(), candles())
@example((100.0, 100.0, 100.0, 100.0), (1.0, 1.0, 1.0, 1.0))
@example((100.0, 100.5, 100.0, 100.0), (1.0, 2.0, 1.0, 1.0))
def test_legs_walk_in_step_by_small_steps_inside_their_bars(perp: Candle, spot: Candle) -> None:
    paths = walk(perp, spot)

    assert len(paths[0]) == len(paths[1]) >= 4
    for (opened, high, low, close), path in zip((perp, spot), paths, strict=True):
        assert (path[0], path[-1]) == (opened, close)
        assert (max(path), min(path)) == (high, low)
        for a, b in pairwise(path):
            assert abs(a - b) <= min(a, b) * STEP * (1 + 1e-6)


@given(candles())
def test_the_high_comes_before_the_low(candle: Candle) -> None:
    (path,) = walk(candle)
    _, high, low, _ = candle

    assert path.index(high) <= len(path) - 1 - path[::-1].index(low)


def test_a_fall_after_a_rise_is_walked_in_equal_steps() -> None:
    (path,) = walk((100.0, 101.0, 100.0, 100.0))

    assert path == [100.0, 100.5, 101.0, 100.5, 100.0, 100.0]


@given(candles())
def test_a_finer_walk_passes_the_same_points_by_steps_that_are_smaller_by_as_much(
    candle: Candle,
) -> None:
    (path,) = walk(candle)
    fine = finer(path)

    assert fine[::FINER] == path
    for i, (a, b) in enumerate(pairwise(fine)):
        start, end = path[i // FINER], path[i // FINER + 1]
        assert abs(b - a) <= abs(end - start) / FINER + 1e-9 * start
        assert min(start, end) <= b <= max(start, end)


def test_a_finer_walk_comes_by_at_the_same_times() -> None:
    instants = times(486_000 * HOUR, HOUR, 5)
    fine = finer_times(instants)

    assert fine[::FINER] == instants
    assert len(set(fine)) == len(fine) == FINER * 4 + 1
    assert fine == sorted(fine)


@given(st.integers(min_value=4, max_value=500), st.sampled_from([MINUTE, 15 * MINUTE, HOUR]))
def test_points_lie_strictly_inside_the_bar_and_end_a_millisecond_before_it(
    count: int, bar_ns: int
) -> None:
    opened = 486_000 * HOUR
    instants = times(opened, bar_ns, count)

    assert len(set(instants)) == count
    assert instants == sorted(instants)
    assert instants[0] > opened
    assert instants[-1] == opened + bar_ns - MILLISECOND
