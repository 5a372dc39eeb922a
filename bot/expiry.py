"""The end of the key that signs: told in time, and nothing is entered shortly before it.

Without a key nothing can be closed either. What is to be held for days must not begin when there
are only a few left.
"""

from domain.time import DAY, iso
from execution.effects import RaiseAlarm
from execution.events import Trouble

TOLD_DAYS = (14, 7, 3, 1)
STOP_DAYS = 3
"""From so many days before the end on, entries stop."""


def news(until_ns: int | None, before_ns: int, now_ns: int) -> RaiseAlarm | Trouble | None:
    """What is to be told now of a key that ends at ``until_ns``, last looked at at ``before_ns``
    (0 at a start, which tells of what is near already). Nothing where no end is known.

    >>> end = 100 * DAY
    >>> news(end, 0, 85 * DAY), news(end, 94 * DAY, 95 * DAY)
    (None, None)
    >>> type(news(end, 86 * DAY - 1, 86 * DAY)).__name__, type(news(end, 0, 98 * DAY)).__name__
    ('RaiseAlarm', 'Trouble')
    """
    if until_ns is None:
        return None
    reached = [days for days in TOLD_DAYS if before_ns < until_ns - days * DAY <= now_ns]
    if not reached:
        return None
    end = (
        f"the venue takes this key until {iso(until_ns)[:19]}: "
        "approve another agent, with a new key"
    )
    if min(reached) > STOP_DAYS:
        return RaiseAlarm("agent_expires", end, now_ns)
    return Trouble("agent_expires", f"{end}, then reset this limit", now_ns)
