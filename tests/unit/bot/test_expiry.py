"""When the end of a key is told, and when it stops entries."""

from itertools import pairwise

import pytest

from bot.expiry import news
from domain.time import DAY, MINUTE
from execution.effects import RaiseAlarm
from execution.events import Trouble
from execution.risk.halts import LATCHED

END = 400 * DAY


def told(since: int, until: int) -> list[RaiseAlarm | Trouble]:
    """Of a bot that started at ``since`` and looked every minute."""
    looked = [0, *range(since, until, MINUTE)]
    return [
        found for before, now in pairwise(looked) if (found := news(END, before, now)) is not None
    ]


def test_a_bot_that_runs_on_tells_of_each_day_once_and_stops_entries_at_three() -> None:
    found = told(END - 20 * DAY, END)
    kinds = [type(one) for one in found]
    assert kinds == [RaiseAlarm, RaiseAlarm, Trouble, Trouble]
    told_ns = [f.time_ns if isinstance(f, RaiseAlarm) else f.received_ns for f in found]
    assert [(END - at_ns) / DAY for at_ns in told_ns] == [14, 7, 3, 1]


@pytest.mark.parametrize(("days", "kind"), [(15, None), (10, RaiseAlarm), (2, Trouble)])
def test_a_start_tells_what_is_near_already_once(days: int, kind: type | None) -> None:
    found = told(END - days * DAY, END - days * DAY + 10 * MINUTE)
    assert [type(one) for one in found] == ([kind] if kind else [])


def test_where_no_end_is_known_nothing_is_told() -> None:
    assert news(None, 0, END) is None


def test_a_person_can_reset_the_limit_by_its_name() -> None:
    (found,) = told(END - DAY, END - DAY + MINUTE)
    assert isinstance(found, Trouble)
    assert found.limit in LATCHED
