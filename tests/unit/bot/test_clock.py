"""Time that goes on whatever becomes of the wall clock."""

import time

from bot.clock import SteadyClock
from domain.time import HOUR, SECOND

START = 1_735_689_600 * SECOND


class Machine:
    """A wall clock that can be set, and one since boot that cannot."""

    def __init__(self) -> None:
        self.wall, self.since_boot = START, 1_000 * SECOND
        self.clock = SteadyClock(lambda: self.wall, lambda: self.since_boot)

    def wait(self, duration_ns: int) -> None:
        self.wall += duration_ns
        self.since_boot += duration_ns


def test_it_begins_with_the_wall_clock_and_keeps_its_pace() -> None:
    machine = Machine()
    assert machine.clock.now_ns() == START

    machine.wait(90 * SECOND)

    assert machine.clock.now_ns() == START + 90 * SECOND


def test_a_wall_clock_that_is_set_moves_it_neither_back_nor_ahead() -> None:
    machine = Machine()

    machine.wall -= HOUR
    machine.wait(SECOND)
    assert machine.clock.now_ns() == START + SECOND
    machine.wall += 2 * HOUR
    machine.wait(SECOND)

    assert machine.clock.now_ns() == START + 2 * SECOND


def test_on_this_machine_it_says_what_the_wall_clock_says_and_counts_what_passes() -> None:
    before = time.time_ns()
    clock = SteadyClock()
    first = clock.now_ns()
    after = time.time_ns()
    time.sleep(0.01)

    assert before - SECOND <= first <= after + SECOND
    assert clock.now_ns() - first >= 0.01 * SECOND
