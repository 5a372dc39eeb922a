"""When it pays to switch between holding a pair and not: the band, computed.

Funding above the hurdle, ``y``, wanders as an Ornstein-Uhlenbeck process: it is drawn to
``mean`` at ``speed`` per hour, and its standard deviation in the long run is ``deviation``.
Holding earns ``y`` an hour; coming and going cost one round trip together; and whatever is
held is given up sooner or later for other reasons, at a ``rate`` per hour.

Let ``v`` be what being in is worth over having left already, if every later switch is made
at the best moment. Then, between a level at which to leave and a level at which to enter,

    speed deviation² v'' + speed (mean - y) v' - rate v + y = 0
    v = v' = 0 where one leaves,    v = round trip, v' = 0 where one enters

(optimal switching with smooth fit; Brekke & Øksendal 1994, SIAM J. Control Optim. 32(4);
Leung & Li, Optimal Mean Reversion Trading, ch. 2). Two levels come out of it, with the
hysteresis between them: nothing about the band is chosen by hand.
"""

from functools import lru_cache
from math import exp, inf, log

import msgspec

HOLDING_HOURS = 2160.0
"""How long a pair is held on average before something other than funding ends it: 90 days."""
_STEP = 0.05  # of the grid, in standard deviations of the level
_DEEPEST = -30.0
_FARTHEST = 3.0
_DEAREST = 10.0  # no dearer round trip is told apart, in units of v: about 5 % of notional
_COST_STEPS = 50.0  # a round trip is taken to the nearest of so many steps in each factor of e


class Level(msgspec.Struct, frozen=True):
    """How the level of funding moves: fractions per hour, hours."""

    anchor: float
    deviation: float
    half_life_hours: float


class Band(msgspec.Struct, frozen=True):
    """Levels of funding per hour at which to leave and to enter, and ``v`` between them.

    ``shares`` are ``v`` at ``leave`` and every ``step`` (per hour) above it, of the
    ``round_trip`` (fraction of notional), from zero up; from ``enter`` on ``v`` is all of it. A
    round trip that no level within reach repays has an infinite ``enter``.
    """

    leave: float
    enter: float
    round_trip: float
    step: float
    shares: tuple[float, ...]

    def worth(self, level: float) -> float:
        """What being in at ``level`` is worth over having left: from zero to the round trip."""
        if level <= self.leave:
            return 0.0
        if level >= self.enter:
            return self.round_trip
        shares = self.shares
        below = min(int((level - self.leave) / self.step), len(shares) - 1)
        start = self.leave + below * self.step
        if below == len(shares) - 1:
            above, width = 1.0, self.enter - start
        else:
            above, width = shares[below + 1], self.step
        share = shares[below] + (above - shares[below]) * (level - start) / width
        return share * self.round_trip


def band(round_trip: float, hurdle: float, level: Level) -> Band:
    """The band for a ``round_trip`` (fraction of notional) over a ``hurdle`` (per hour)."""
    assert round_trip > 0.0, "Invariant: what costs nothing has no band"
    solved = _solved(round(log(round_trip) * _COST_STEPS), hurdle, level)
    # What is repaid is all of what was asked for, or what pays for an entry might pay for an
    # exit, where an adverse basis is most of the round trip.
    return msgspec.structs.replace(solved, round_trip=round_trip)


@lru_cache(maxsize=1024)
def _solved(cost_step: int, hurdle: float, level: Level) -> Band:
    speed = log(2.0) / level.half_life_hours
    unit = level.deviation / speed  # of v, when y is counted in deviations and time in 1 / speed
    # Farther, the climb is too steep to follow: above a hurdle of about 40 % a year on notional
    # ``enter`` is some percent too low.
    mean = max(-_FARTHEST, min(_FARTHEST, (level.anchor - hurdle) / level.deviation))
    rate = 1.0 / (HOLDING_HOURS * speed)
    round_trip = exp(cost_step / _COST_STEPS)
    wanted = min(round_trip / unit, _DEAREST)
    low, high = _DEEPEST, -1e-9
    # To the last digit: the next one decides how high a steep climb gets.
    while low < (middle := (low + high) / 2.0) < high:
        climbed = _climb(middle, mean, rate, wanted)
        if climbed is None or climbed[1] > wanted:
            low = middle
        else:
            high = middle
    climbed = _climb(high, mean, rate, wanted)
    assert climbed is not None, "Invariant: the nearer end never climbs too high"
    width, top, rising = climbed
    repaid = top > 0.98 * wanted and wanted < _DEAREST
    whole = top if repaid else round_trip / unit
    return Band(
        leave=hurdle + high * level.deviation,
        enter=hurdle + (high + width) * level.deviation if repaid else inf,
        round_trip=round_trip,
        step=_STEP * level.deviation,
        shares=tuple(value / whole for value in rising),
    )


def _climb(
    start: float, mean: float, rate: float, wanted: float
) -> tuple[float, float, list[float]] | None:
    """``v`` upwards from ``start``, where one leaves, to where it turns: how far that is, ``v``
    there, and ``v`` at each step below it. None once it is far beyond ``wanted``."""

    def bend(z: float, v: float, dv: float) -> float:
        return -z - (mean - z) * dv + rate * v

    z, v, dv, half = start, 0.0, 0.0, _STEP / 2.0
    rising: list[float] = []
    while v <= 2.0 * wanted:
        rising.append(v)
        b1 = bend(z, v, dv)
        dv2 = dv + half * b1
        b2 = bend(z + half, v + half * dv, dv2)
        dv3 = dv + half * b2
        b3 = bend(z + half, v + half * dv2, dv3)
        dv4 = dv + _STEP * b3
        b4 = bend(z + _STEP, v + _STEP * dv3, dv4)
        after = dv + _STEP / 6.0 * (b1 + 2.0 * (b2 + b3) + b4)
        if after <= 0.0:
            turn = _STEP * dv / (dv - after) if dv > 0.0 else 0.0
            return _STEP * (len(rising) - 1) + turn, v + turn * dv / 2.0, rising
        v += _STEP / 6.0 * (dv + 2.0 * (dv2 + dv3) + dv4)
        dv = after
        z += _STEP
    return None


def transient(excess: float, deviation: float, half_life_hours: float) -> float:
    """What a fast ``deviation`` from the level adds to holding or takes, fraction of notional.

    ``excess`` is the level above the hurdle, ``deviation`` of the running rate from the
    level, both per hour. Where both have one sign all of the deviation counts, until it has
    died out. Where it opposes the level only what it turns over counts: income that a dip
    merely dampens is no reason to leave, nor a loss that a spike merely eases one to enter.

    >>> round(transient(1e-5, 2e-5, 10.0) / (2e-5 * 10.0 / log(2)), 9)
    1.0
    >>> transient(2e-5, -1e-5, 10.0)
    0.0
    """
    speed = log(2.0) / half_life_hours
    if excess * deviation >= 0.0:
        return deviation / speed
    if abs(deviation) <= abs(excess):
        return 0.0
    turns = log(deviation / -excess)
    return (excess * turns + deviation + excess) / speed
