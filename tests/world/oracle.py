"""Every choice a simulated world leaves open, made in one place, so that it can be made again.

A run is its sparse list of choices other than the benign one. The list replays without the
seed, and it shrinks: a choice that is left out is benign.
"""

from array import array
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import NamedTuple

SCHEDULE = "schedule"
"""The site of the event loop's choice among ready handles; benign is first come, first served."""

Draw = Callable[[int, int, float], int]
"""(which use of the site, from 0; options; rate of anything but option 0) to an option."""


class Choice(NamedTuple):
    """At its ``nth`` use (from 0) ``site`` took option ``value``, which is not 0.

    Keyed by the site's own count, a list of choices survives a change at other sites.
    """

    site: str
    nth: int
    value: int


class _Site:
    """One site's uses, and what was chosen at those that were not benign (16 bytes each)."""

    __slots__ = ("draw", "nths", "rate", "uses", "values")

    def __init__(self, draw: Draw, rate: float) -> None:
        self.draw, self.rate = draw, rate
        self.uses = 0
        self.nths, self.values = array("Q"), array("Q")


class Oracle:
    """Made by ``seeded`` or ``replay``; option 0 is benign at every site."""

    def __init__(self, draw_at: Callable[[str], Draw], mix: Mapping[str, float]) -> None:
        self._draw_at, self._mix = draw_at, mix
        self._sites: dict[str, _Site] = {}

    @classmethod
    def seeded(cls, seed: int, mix: Mapping[str, float]) -> "Oracle":
        """``mix``: the rate at which ``choose`` strays from option 0, by site; absent is never.

        Each site has its own stream of chance, so one more use of one site moves no other.
        """

        def draw_at(site: str) -> Draw:
            random = Random(f"{seed} {site}").random

            def draw(_: int, options: int, rate: float) -> int:
                return 1 + int(random() * (options - 1)) if random() < rate else 0

            return draw

        return cls(draw_at, mix)

    @classmethod
    def replay(cls, choices: Iterable[Choice]) -> "Oracle":
        """Make these choices again, and the benign one everywhere else."""
        by_site: dict[str, dict[int, int]] = {}
        for site, nth, value in choices:
            by_site.setdefault(site, {})[nth] = value

        def draw_at(site: str) -> Draw:
            values = by_site.get(site, {})
            # A site may have fewer options than when the choice was recorded.
            return lambda nth, options, _: min(values.get(nth, 0), options - 1)

        return cls(draw_at, {})

    def choose(self, site: str, options: int) -> int:
        """One of ``options``, counted from 0; another than 0 at the mix's rate for ``site``."""
        state = self._sites.get(site) or self._open(site)
        return self._use(state, options, state.rate)

    def chance(self, site: str, probability: float) -> bool:
        """Whether something happens that is not benign, whatever the mix says of ``site``."""
        return self._use(self._sites.get(site) or self._open(site), 2, probability) == 1

    def amount(self, site: str, low: int, high: int) -> int:
        """Any whole number from ``low``, which is the benign one, to ``high``, all as likely."""
        options = high - low + 1
        site_state = self._sites.get(site) or self._open(site)
        return low + self._use(site_state, options, (options - 1) / options)

    @property
    def taken(self) -> list[Choice]:
        """All choices so far that were not benign: by site as first used, in order of use."""
        return [
            Choice(site, nth, value)
            for site, state in self._sites.items()
            for nth, value in zip(state.nths, state.values, strict=True)
        ]

    @property
    def counts(self) -> dict[str, int]:
        """How often each site was used, benign or not."""
        return {site: state.uses for site, state in self._sites.items()}

    def _open(self, site: str) -> _Site:
        self._sites[site] = state = _Site(self._draw_at(site), self._mix.get(site, 0.0))
        return state

    def _use(self, site: _Site, options: int, rate: float) -> int:
        assert options >= 1, "Invariant: there is always the benign option"
        nth = site.uses
        site.uses = nth + 1
        if options == 1 or not (value := site.draw(nth, options, rate)):
            return 0
        site.nths.append(nth)
        site.values.append(value)
        return value


def swarm(seed: int, sites: Mapping[str, float]) -> dict[str, float]:
    """A mix for one seed: about half of ``sites``, each at its own rate up to the one given.

    The same rates for all would hide what needs calm in one place and storm in another.
    The schedule is always among them, at 0.25 to 1: there is no run in which order is safe.
    """
    random = Random(f"swarm {seed}").random
    drawn = {site: (random() < 0.5, random() * highest) for site, highest in sites.items()}
    mix = {site: rate for site, (enabled, rate) in drawn.items() if enabled}
    return mix | {SCHEDULE: 0.25 + 0.75 * random()}
