"""What is kept of a run for those who ask about it."""

from decimal import Decimal

from bot.record import POINTS, Record
from domain.time import DAY, HOUR
from execution.effects import RaiseAlarm
from execution.facts import EquityMarked, LimitTripped
from execution.state import State, apply
from tests.unit.bot.synthetic_run import PAIRS
from tools.terminal_picture import paper_run


def marked(hour: int) -> EquityMarked:
    return EquityMarked(
        equity=Decimal(hour),
        cash=Decimal(hour),
        spot_value=Decimal(0),
        margin=Decimal(0),
        unrealized=Decimal(0),
        marks={},
        time_ns=hour * HOUR,
    )


def test_the_course_of_the_equity_is_bounded_and_keeps_both_its_ends() -> None:
    record = Record(State(PAIRS), bounded=True)
    for hour in range(5 * POINTS):
        apply(record.state, marked(hour))
        record.add(marked(hour))

    times = [point.time_ns for point in record.points]
    assert len(times) <= POINTS
    assert (times[0], times[-1]) == (0, (5 * POINTS - 1) * HOUR)
    assert times == sorted(times)


def test_what_is_kept_of_a_long_run_does_not_grow() -> None:
    run = paper_run(4 * DAY)
    record = run.record

    assert len(record.happened) <= 200
    assert len(record.orders) <= 60
    assert all(len(decided) <= 50 for decided in record.decisions.values())
    assert len(record.facts_of) <= 101


def test_alarms_are_among_what_happened() -> None:
    record = Record(State(PAIRS))
    record.alarm(RaiseAlarm("naked_leg", "HYPE#1: spot 1, perp 0 for 4 s", 5))
    record.add(LimitTripped("drawdown", True, "lost 0.11", 7))

    assert [(line.level, line.what) for line in record.happened] == [
        ("alarm", "naked_leg: HYPE#1: spot 1, perp 0 for 4 s"),
        ("alarm", "limit drawdown tripped: lost 0.11"),
    ]
