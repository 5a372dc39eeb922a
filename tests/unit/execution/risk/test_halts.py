import math
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from domain.time import SECOND
from execution.facts import LimitCleared, LimitTripped
from execution.risk.halts import (
    CONDITIONS,
    LATCHED,
    LimitState,
    Readings,
    apply_limit,
    blocks_entries,
    breaches,
    closes_only,
    evaluate,
    observe,
    reset,
    size_factor,
)
from execution.risk.limits import RiskLimits

D = Decimal
LIMITS = RiskLimits()


def readings(**changes: Any) -> Readings:
    healthy = Readings(
        equity=D(10_000),
        equity_peak=D(10_000),
        equity_day_start=D(10_000),
        loss_streak=0,
        data_age_seconds=1.0,
        clock_skew_seconds=0.0,
        orders_last_minute=3,
        notional_last_hour=D(0),
        delta_seconds=0.0,
    )
    return msgspec.structs.replace(healthy, **changes)


def step(
    state: LimitState, seen: Readings, seconds: float
) -> tuple[LimitState, tuple[LimitTripped | LimitCleared, ...]]:
    """What the engine does at one instant."""
    now_ns = int(seconds * SECOND)
    broken = breaches(seen, LIMITS)
    state = observe(state, broken, now_ns)
    facts = evaluate(state, broken, LIMITS, now_ns)
    for fact in facts:
        state = apply_limit(state, fact)
    return state, facts


BROKEN: list[tuple[str, dict[str, Any]]] = [
    ("drawdown", {"equity_peak": D(11_112)}),
    ("drawdown", {"equity": D(9000), "equity_day_start": D(9000)}),
    ("daily_loss", {"equity": D(9700)}),
    ("daily_loss", {"equity_day_start": D(10_310)}),
    ("loss_streak", {"loss_streak": 5}),
    ("stale_data", {"data_age_seconds": 15.1}),
    ("clock_skew", {"clock_skew_seconds": -1.1}),
    ("order_rate", {"orders_last_minute": 61}),
    ("notional_rate", {"notional_last_hour": D(200_001)}),
    ("delta", {"delta_seconds": 60.1}),
]


@pytest.mark.parametrize(("name", "changes"), BROKEN)
def test_a_broken_limit_trips_once_and_blocks_entries(name: str, changes: dict[str, Any]) -> None:
    state, facts = step(LimitState(), readings(**changes), 1)

    assert [fact.limit for fact in facts] == [name]
    assert isinstance(facts[0], LimitTripped)
    assert facts[0].latched is (name in LATCHED)
    assert facts[0].detail
    assert blocks_entries(state)
    again, repeated = step(state, readings(**changes), 2)
    assert repeated == ()
    assert again.names == (name,)


@pytest.mark.parametrize(
    "changes",
    [
        {"equity_peak": D(11_111)},
        {"equity_day_start": D(10_309)},
        {"loss_streak": 4},
        {"data_age_seconds": 15.0},
        {"clock_skew_seconds": 1.0},
        {"orders_last_minute": 60},
        {"notional_last_hour": D(200_000)},
        {"delta_seconds": 60.0},
        {"equity_peak": D(0), "equity_day_start": D(0)},
    ],
)
def test_just_inside_its_limit_nothing_trips(changes: dict[str, Any]) -> None:
    state, facts = step(LimitState(), readings(**changes), 1)

    assert facts == ()
    assert not blocks_entries(state)


@pytest.mark.parametrize(("name", "changes"), BROKEN)
def test_losses_wait_for_a_person_and_conditions_clear_after_a_healthy_minute(
    name: str, changes: dict[str, Any]
) -> None:
    state, _ = step(LimitState(), readings(**changes), 0)
    for second in range(1, 61):
        state, facts = step(state, readings(), second)
        assert facts == ()
    state, facts = step(state, readings(), 61)

    if name in LATCHED:
        assert facts == ()
        assert blocks_entries(state)
    else:
        assert facts == (LimitCleared(name, "healthy for 60 s", 61 * SECOND),)
        assert not blocks_entries(state)


def test_one_bad_moment_starts_the_healthy_minute_again() -> None:
    state, _ = step(LimitState(), readings(data_age_seconds=20.0), 0)
    state, _ = step(state, readings(), 1)
    state, _ = step(state, readings(data_age_seconds=20.0), 59)
    state, facts = step(state, readings(), 62)
    assert facts == ()
    _, facts = step(state, readings(), 122)
    assert [fact.limit for fact in facts] == ["stale_data"]


def test_after_a_restart_health_must_be_seen_anew() -> None:
    state, facts = step(LimitState(), readings(delta_seconds=99.0), 0)
    recovered = LimitState()
    for fact in facts:
        recovered = apply_limit(recovered, fact)
    recovered, cleared = step(recovered, readings(), 10_000)

    assert recovered.names == state.names == ("delta",)
    assert cleared == ()


def test_several_limits_trip_together_losses_first() -> None:
    _, facts = step(LimitState(), readings(equity=D(5000), clock_skew_seconds=math.nan), 1)

    assert [fact.limit for fact in facts] == [
        "drawdown",
        "daily_loss",
        "clock_skew",
    ]


def test_a_reading_that_is_no_number_is_a_broken_limit() -> None:
    assert set(breaches(readings(data_age_seconds=math.nan), LIMITS)) == {"stale_data"}


def test_a_person_resets_what_is_tripped_and_nothing_else() -> None:
    state, _ = step(LimitState(), readings(loss_streak=5), 1)

    assert reset(state, "drawdown", "ada", 9) == ()
    facts = reset(state, "loss_streak", "ada", 9)
    assert facts == (LimitCleared("loss_streak", "ada", 9),)
    assert not blocks_entries(apply_limit(state, facts[0]))


def test_clearing_what_is_not_tripped_changes_nothing() -> None:
    assert apply_limit(LimitState(), LimitCleared("delta", "ada", 1)) == LimitState()


def test_tripping_twice_keeps_the_first() -> None:
    first = apply_limit(LimitState(), LimitTripped("delta", False, "a", 1))

    assert apply_limit(first, LimitTripped("delta", False, "b", 2)) == first


def test_with_nothing_tripped_there_is_nothing_to_observe() -> None:
    state = LimitState()

    assert observe(state, {}, 1) is state


def test_size_only_shrinks_with_losses_and_is_whole_without() -> None:
    factors = [size_factor(streak, LIMITS) for streak in range(6)]

    assert factors[:3] == [1, D("0.75"), D("0.5625")]
    assert factors == sorted(factors, reverse=True)
    assert size_factor(-1, LIMITS) == 1


def test_no_limit_is_both_latched_and_a_condition() -> None:
    assert not set(LATCHED) & set(CONDITIONS)


def test_orders_that_loop_leave_only_closing_until_a_person_looks() -> None:
    state, facts = step(LimitState(), readings(orders_last_minute=241), 1)

    assert {fact.limit for fact in facts} == {"runaway", "order_rate"}
    assert closes_only(state)
    for second in range(2, 200):
        state, _ = step(state, readings(), second)
    assert state.names == ("runaway",)
    assert closes_only(state)
    (cleared,) = reset(state, "runaway", "tester", 200)
    assert not closes_only(apply_limit(state, cleared))


def test_a_limit_that_stops_entries_still_lets_a_hedge_complete_a_pair() -> None:
    state, _ = step(LimitState(), readings(orders_last_minute=240), 1)

    assert state.names == ("order_rate",)
    assert blocks_entries(state)
    assert not closes_only(state)
