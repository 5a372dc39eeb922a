"""The perps that are held, on the hot path: when to ask the margin guard, and how bad it was."""

from decimal import Decimal

import msgspec

from bot.margin import worse
from domain.account import PositionReport
from domain.money import ZERO
from execution.facts import Extremes
from execution.risk.margin import effective_leverage
from execution.state import State


class HeldPerp(msgspec.Struct):
    """One position: when to ask the guard, and the worst mark it has seen.

    A short's leverage and distance to liquidation are worst at the highest mark, so
    one comparison an update is enough to know both extremes afterwards. A long's at the
    lowest: its ``against`` is -1.0, a short's 1.0, and marks are counted times it.
    """

    trigger: float
    worst: float
    against: float
    position: PositionReport

    def watch_for(self, trigger: float | None) -> None:
        """From now on the guard is to be asked at the mark ``trigger``, if at any."""
        self.trigger = trigger * self.against if trigger is not None else float("inf")

    def triggers(self, mark: float) -> bool:
        """Whether the guard is to be asked at this mark."""
        return mark * self.against >= self.trigger

    @property
    def worst_mark(self) -> float:
        return self.worst * self.against


class Perps(dict[str, HeldPerp]):
    """By instrument, with the extremes of all of them since the journal began and lately."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self._state = state
        self._extremes = state.extremes
        self._lately = Extremes()  # the same since the last valuation

    def knows(self, position: PositionReport) -> bool:
        """Whether this is no news of the position."""
        held = self.get(position.instrument)
        return held is not None and (held.position.quantity, held.position.raw_margin) == (
            position.quantity,
            position.raw_margin,
        )

    def watch(self, position: PositionReport, trigger: float | None) -> None:
        """Take over a position; ``trigger`` is the mark at which the guard is to be asked."""
        before = self.get(position.instrument)
        self.forget(position.instrument)
        against = -1.0 if position.quantity > ZERO else 1.0
        self[position.instrument] = HeldPerp(
            trigger * against if trigger is not None else float("inf"),
            float(position.mark) * against,
            against,
            position,
        )
        grown = before is None or abs(position.quantity) > abs(before.position.quantity)
        if grown and position.margin > ZERO:
            leverage = effective_leverage(abs(position.quantity) * position.mark, position.margin)
            most = max(self._extremes.effective_leverage, leverage)
            self._extremes = msgspec.structs.replace(self._extremes, effective_leverage=most)

    def forget(self, instrument: str) -> None:
        """Before a position changes or goes: how bad was it at its worst mark?"""
        held = self.pop(instrument, None)
        if held is not None:
            self._note(held)

    def since_last(self, marks: dict[str, Decimal]) -> tuple[Extremes, Extremes]:
        """The extremes of all time, and those since it was last asked; from ``marks`` on anew."""
        for name, held in self.items():
            self._note(held)
            held.worst = float(marks.get(name, held.position.mark)) * held.against
        lately, self._lately = self._lately, Extremes()
        return self._extremes, lately

    def _note(self, held: HeldPerp) -> None:
        self._extremes = worse(self._extremes, self._state, held.position, held.worst_mark)
        self._lately = worse(self._lately, self._state, held.position, held.worst_mark)
