"""Which settings a sweep varies, and in which order it tries them.

The n-th configuration depends on the space and the seed alone: not on results, nor on
how many processes work, nor on how often the study was stopped.
"""

import tomllib
from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from math import floor, prod
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from bot import settings

Number = int | float
Values = dict[str, Number]
"""A configuration: what it sets otherwise, by ``section.key``."""

_GRID_MAX = 100_000
_REPEATED_MAX = 10_000  # nothing new in so many: there is nothing new
_STEPS_MAX = 1_000_000
_MOST = 10**15  # of a setting
_FIGURES = 6  # of a drawn number: as many as a person would write
_EXAMPLE = "{low = 4, high = 48}, with log = true or step = 4 if you like"


class SweepError(ValueError):
    """A sweep cannot be done as asked. One sentence: what is wrong and what to do."""


class Dimension(msgspec.Struct, frozen=True):
    """One setting that varies from ``low`` to ``high``, both included.

    ``log``: evenly in its logarithm. ``step``: only at ``low`` and multiples above it, None
    anywhere between. ``whole``: only whole numbers.
    """

    key: str
    low: Number
    high: Number
    log: bool = False
    step: Number | None = None
    whole: bool = False

    @property
    def count(self) -> int | None:
        """How many values there are; None where they are endless."""
        if self.step is None:
            return None
        return int((_exact(self.high) - _exact(self.low)) / _exact(self.step)) + 1

    def at(self, place: int) -> Number:
        """The ``place``-th value of those that ``count`` counts."""
        assert self.step is not None, "Invariant: only steps are counted"
        value = _exact(self.low) + place * _exact(self.step)
        return int(value) if self.whole else float(value)

    def between(self, share: float) -> Number:
        """The value at a share of the way, 0 to below 1."""
        if (places := self.count) is not None:
            return self.at(min(floor(share * places), places - 1))
        if self.log:
            value = self.low * (self.high / self.low) ** share
        else:
            value = self.low + (self.high - self.low) * share
        value = float(f"{value:.{_FIGURES}g}")
        return min(max(round(value) if self.whole else value, self.low), self.high)


Space = tuple[Dimension, ...]


def read_space(path: Path) -> Space:
    """The dimensions of a TOML file, in its order.

    Raises:
        SweepError, SettingsError: what is wrong, with the file and the key.
    """
    try:
        layer = tomllib.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise SweepError(f"{path}: not valid TOML: {str(error)[:200]}") from None
    space = tuple(
        _dimension(str(path), section, key, value)
        for section, key, value in settings.known(str(path), layer)
    )
    if not space:
        raise SweepError(
            f"{path}: nothing varies: write [strategy] and under it a line like "
            f"funding_half_life_hours = {_EXAMPLE}"
        )
    return space


def points(space: Space, seed: int, first: Values) -> Iterator[Values]:
    """Configurations, each once, in a fixed order: ``first`` if it lies in the space, then others.

    A space of finitely many is walked in full, in an order drawn from ``seed``. Another
    is filled evenly by the additive recurrence of Roberts (2018, "The unreasonable
    effectiveness of quasirandom sequences"): the n-th point's d-th coordinate is the
    fractional part of ``s_d + n / g**d``, where g solves ``g**(D+1) = g + 1`` for D
    dimensions and the starts s are drawn from ``seed``.
    """
    seen: set[tuple[Number, ...]] = set()
    if all(_holds(dimension, first[dimension.key]) for dimension in space):
        seen.add(tuple(first[dimension.key] for dimension in space))
        yield {dimension.key: first[dimension.key] for dimension in space}
    repeated = 0
    for drawn in _grid(space, seed) or _recurrence(space, seed):
        if drawn not in seen:
            seen.add(drawn)
            repeated = 0
            yield {dimension.key: value for dimension, value in zip(space, drawn, strict=True)}
        elif (repeated := repeated + 1) > _REPEATED_MAX:
            return


def _grid(space: Space, seed: int) -> Iterator[tuple[Number, ...]] | None:
    """Every configuration of a small finite space; None where it is not one."""
    counts = [dimension.count for dimension in space]
    finite = [places for places in counts if places is not None]
    if len(finite) < len(counts) or (size := prod(finite)) > _GRID_MAX:
        return None

    def walk() -> Iterator[tuple[Number, ...]]:
        for index in Random(f"sweep {seed}").sample(range(size), size):
            values, rest = [], index
            for dimension, places in zip(space, finite, strict=True):
                rest, place = divmod(rest, places)
                values.append(dimension.at(place))
            yield tuple(values)

    return walk()


def _recurrence(space: Space, seed: int) -> Iterator[tuple[Number, ...]]:
    ratio = 2.0
    for _ in range(64):  # a contraction: far more rounds than it takes
        ratio = (1.0 + ratio) ** (1.0 / (len(space) + 1))
    draw = Random(f"sweep {seed}").random
    starts = [draw() for _ in space]
    for n in count(1):
        shares = [(start + n * ratio**-d) % 1.0 for d, start in enumerate(starts, 1)]
        yield tuple(
            dimension.between(share) for dimension, share in zip(space, shares, strict=True)
        )


def _holds(dimension: Dimension, value: Number) -> bool:
    if not dimension.low <= value <= dimension.high:
        return False
    if dimension.step is None:
        return True
    return (_exact(value) - _exact(dimension.low)) % _exact(dimension.step) == 0


def _dimension(origin: str, section: str, key: str, value: Any) -> Dimension:
    name = f"{section}.{key}"
    where = f"{origin}: {name}"
    if section not in settings.DECIDING:
        raise SweepError(f"{where} decides nothing of a backtest: leave it out")
    if (kind := settings.kind_of(section, key)) not in (int, float, Decimal):
        raise SweepError(f"{where} is no number: only numbers vary")
    try:
        asked = msgspec.convert(value, _Asked)
    except msgspec.ValidationError as error:
        raise SweepError(f"{where}: {error}: write {_EXAMPLE}") from None
    low, high, step = asked.low, asked.high, asked.step
    if any(abs(number) > _MOST for number in (low, high)) or not low < high:
        raise SweepError(f"{where}: low is not below high, or one of them is beyond all reason")
    if asked.log and (low <= 0 or step is not None):
        raise SweepError(f"{where}: log = true needs a low above zero, and no step")
    if step is not None:
        _require_steps(where, low, high, step)
    whole = kind is int
    if whole:
        if any(number != int(number) for number in (low, high, step or 1)):
            raise SweepError(f"{where} is a whole number: so are low, high and step")
        low, high = int(low), int(high)
        step = None if asked.log else int(step or 1)
    return Dimension(name, low, high, asked.log, step, whole)


def _require_steps(where: str, low: Number, high: Number, step: Number) -> None:
    if not 0 < step <= high - low:
        raise SweepError(f"{where}: step must be more than zero and at most {high - low}")
    steps = (_exact(high) - _exact(low)) / _exact(step)
    if steps > _STEPS_MAX or steps != int(steps):
        raise SweepError(
            f"{where}: from {low} to {high} is no whole number of steps of {step}, or of too many"
        )


class _Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A dimension as it stands in the file."""

    low: Number
    high: Number
    log: bool = False
    step: Number | None = None


def _exact(number: Number) -> Decimal:
    return Decimal(str(number))
