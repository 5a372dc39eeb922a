"""Settings that have to lie between two numbers."""

from collections.abc import Mapping
from math import isfinite

import msgspec


def require_within(policy: msgspec.Struct, bounds: Mapping[str, tuple[float, float]]) -> None:
    """Check every field that ``bounds`` names; both ends are allowed.

    Raises:
        ValueError: the first that is outside, or no finite number.
    """
    for name, (low, high) in bounds.items():
        value = getattr(policy, name)
        if not (isfinite(value) and low <= value <= high):
            raise ValueError(f"{name}: must be between {low:g} and {high:g}, got {value}")
