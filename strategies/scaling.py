"""Building a perp alone in parts, and leaving it in parts (SPEC R20). Pure.

The way is from the average entry price to the target. A first part is bought at the signal, a
second once the price has confirmed it by coming some of the way, the rest on strong confirmation
or on a pullback to the entry price. A part is sold at each of two targets, the second of which is
the signal's own; what is left then trails the best price.
"""

from math import fsum
from typing import NamedTuple

import msgspec

from strategies.bounds import require_within


class ScalingPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[scaling]`` of the settings. Parts are of the whole, prices of the way."""

    first_in: float = 0.3
    """Part that is bought at the signal; 1 buys the whole at once."""
    second_in: float = 0.3
    """Part that is bought on confirmation."""
    confirmed_at: float = 0.2
    """Share of the way to the target that confirms the signal."""
    strongly_at: float = 0.4
    """Share of the way that confirms it strongly: what is left of the whole is bought."""
    first_target_at: float = 0.5
    """Share of the way at which the first target is."""
    first_out: float = 0.3
    """Part that is sold at the first target."""
    second_out: float = 0.3
    """Part that is sold at the second, which is the signal's; with no rest the trade ends there."""
    break_even: bool = True
    """Whether the first target moves the stop to where the trade no longer loses."""
    trail: float = 0.5
    """How far behind the best hourly close the stop of the rest follows."""

    def __post_init__(self) -> None:
        require_within(self, _BOUNDS)
        for first, second in (("first_in", "second_in"), ("first_out", "second_out")):
            if getattr(self, first) + getattr(self, second) > 1.0 + _NEARLY:
                raise ValueError(f"{second}: is more than {first} leaves of the whole")
        if self.strongly_at < self.confirmed_at:
            raise ValueError(f"strongly_at: must not be below confirmed_at {self.confirmed_at:g}")


_BOUNDS: dict[str, tuple[float, float]] = {
    "first_in": (0.05, 1),
    "second_in": (0, 0.95),
    "confirmed_at": (0.01, 1),
    "strongly_at": (0.01, 1),
    "first_target_at": (0.05, 0.95),
    "first_out": (0, 0.95),
    "second_out": (0, 1),
    "trail": (0.05, 2),
}
_NEARLY = 1e-9


class Part(NamedTuple):
    """``share`` of what is held now: how much more to hold, or how much of it to keep."""

    word: str
    share: float


def part_in(policy: ScalingPolicy, made: float, tranches: int) -> Part | None:
    """What is to be bought now, with ``made`` of the way behind and ``tranches`` bought."""
    if tranches == 1 and made >= policy.confirmed_at:
        word, part, bought = "confirmed", policy.second_in, policy.first_in
    elif tranches == 2 and (made >= policy.strongly_at or made <= 0.0):
        word = "pullback" if made <= 0.0 else "strongly_confirmed"
        bought = policy.first_in + policy.second_in
        part = 1.0 - bought
    else:
        return None
    return Part(word, part / bought) if part > _NEARLY else None


def part_out(policy: ScalingPolicy, made: float, targets_met: int) -> Part | None:
    """What is to be kept now, zero of it at the last target where no rest is to trail."""
    targets = [
        target
        for target in (
            ("first_target", policy.first_target_at, policy.first_out),
            ("second_target", 1.0, policy.second_out),
        )
        if target[2] > _NEARLY
    ]
    if targets_met >= len(targets) or made < targets[targets_met][1]:
        return None
    word, _, part = targets[targets_met]
    before = 1.0 - fsum(target[2] for target in targets[:targets_met])
    kept = (before - part) / before
    return Part(word, kept if kept > _NEARLY else 0.0)


def is_trailing(policy: ScalingPolicy, targets_met: int) -> bool:
    """Whether all that is left is the rest, whose stop follows the price."""
    return targets_met >= (policy.first_out > _NEARLY) + (policy.second_out > _NEARLY)
