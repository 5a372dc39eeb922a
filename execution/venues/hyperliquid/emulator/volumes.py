"""What was traded of one instrument in the last day."""

from collections import deque
from math import fsum

from domain.time import DAY, MINUTE

_SLOT_NS = 5 * MINUTE


class DayVolume:
    """Sums over the last 24 hours, in slots of five minutes: base units and quote."""

    def __init__(self) -> None:
        self._slots: deque[tuple[int, float, float]] = deque()

    def add(self, price: float, quantity: float, time_ns: int) -> None:
        slot = time_ns // _SLOT_NS
        if self._slots and self._slots[-1][0] >= slot:
            slot, before, worth = self._slots.pop()
        else:
            before = worth = 0.0
        self._slots.append((slot, before + quantity, worth + quantity * price))

    def until(self, time_ns: int) -> tuple[float, float]:
        """(base units, quote) of the day that ends at ``time_ns``."""
        first = (time_ns - DAY) // _SLOT_NS + 1
        while self._slots and self._slots[0][0] < first:
            self._slots.popleft()
        return fsum(slot[1] for slot in self._slots), fsum(slot[2] for slot in self._slots)
