"""Limits that stop entries: loss limits latch until a person resets them, conditions clear.

``LimitState`` is a fold of ``LimitTripped`` and ``LimitCleared`` facts. ``evaluate``
compares readings with limits and says which facts are due; it changes nothing. A
condition clears after it has been *seen* healthy for a while: when that began is
the one thing here that is not journaled, so after a restart the waiting starts again
and nothing is taken for healthy that nobody watched.
"""

import math
from decimal import Decimal, localcontext
from typing import Final

import msgspec

from domain.money import ONE, ZERO
from domain.time import SECOND
from execution.facts import LimitCleared, LimitTripped
from execution.risk.limits import RiskLimits
from execution.risk.margin import WORKING

KILLED: Final = "killed"
"""A person has thrown the kill switch: everything is closed, and nothing is entered."""
LATCHED: Final = (
    "drawdown", "daily_loss", "loss_streak", "runaway", "disk_full", "lost_history",
    "request_budget", "account_mode", "agent_expires", KILLED,
)  # fmt: skip
"""Losses, orders that loop, a journal on its reserve or without its end, a venue that will soon
take no more requests or this key no more, an account whose mode is untried, a person's kill
switch: only a person clears them."""
CLOSE_ONLY: Final = ("runaway", "disk_full")
"""While one of these is tripped nothing is sent but what reduces, hedges included."""
CONDITIONS: Final = ("stale_data", "clock_skew", "order_rate", "notional_rate", "delta")
"""Circumstances: they clear by themselves after ``healthy_seconds_to_clear``. Exposure is no
limit of this kind: the gate caps every entry, and a price that moves adds none."""


_RUNAWAY = 4
"""So many times the order rate at which entries stop, and something is looping."""


class ActiveLimit(msgspec.Struct, frozen=True):
    """A limit that is tripped. ``healthy_since_ns``: in order, as observed, from then on."""

    limit: str
    latched: bool
    detail: str
    tripped_ns: int
    healthy_since_ns: int | None = None


class LimitState(msgspec.Struct, frozen=True):
    """The tripped limits, in the order in which they tripped."""

    active: tuple[ActiveLimit, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(limit.limit for limit in self.active)


class Readings(msgspec.Struct, frozen=True):
    """What is compared with the limits.

    Equity in quote: now, at its highest, at the start of the UTC day. After a person's
    reset, the highest and the day's start are counted from that moment, or the limit
    trips again at once. ``data_age_seconds`` of the stalest instrument in use,
    ``delta_seconds`` how long the worst pair has been outside its tolerance.
    """

    equity: Decimal
    equity_peak: Decimal
    equity_day_start: Decimal
    loss_streak: int
    data_age_seconds: float
    clock_skew_seconds: float
    orders_last_minute: int
    notional_last_hour: Decimal
    delta_seconds: float


def apply_limit(state: LimitState, fact: LimitTripped | LimitCleared) -> LimitState:
    """Fold one fact. A limit is active once, however often it trips."""
    rest = tuple(limit for limit in state.active if limit.limit != fact.limit)
    if isinstance(fact, LimitCleared):
        return LimitState(rest)
    if len(rest) < len(state.active):
        return state
    return LimitState((*rest, ActiveLimit(fact.limit, fact.latched, fact.detail, fact.time_ns)))


def breaches(readings: Readings, limits: RiskLimits) -> dict[str, str]:
    """Every limit that is broken now, with its numbers. A reading that is no number is broken."""
    found: dict[str, str] = {}
    with localcontext(WORKING):
        for name, base in (
            ("drawdown", readings.equity_peak),
            ("daily_loss", readings.equity_day_start),
        ):
            lost = (base - readings.equity) / base if base > ZERO else ZERO
            most = limits.drawdown_max if name == "drawdown" else limits.daily_loss_max
            if lost >= most:
                found[name] = f"lost {lost:.4f} of {base:.2f}, limit {most}"
    if readings.loss_streak >= limits.loss_streak_max:
        found["loss_streak"] = f"{readings.loss_streak} losses in a row"
    if readings.orders_last_minute > _RUNAWAY * limits.orders_per_minute_max:
        found["runaway"] = f"{readings.orders_last_minute} orders in a minute"
    with localcontext(WORKING):
        most = limits.notional_per_hour_max * max(readings.equity, ZERO)
        if readings.notional_last_hour > most:
            sent = readings.notional_last_hour
            found["notional_rate"] = f"{sent:.0f} sent in an hour, limit {most:.0f}"
    for name, value, bound in (
        ("stale_data", readings.data_age_seconds, limits.data_age_seconds_max),
        ("clock_skew", abs(readings.clock_skew_seconds), limits.clock_skew_seconds_max),
        ("order_rate", readings.orders_last_minute, limits.orders_per_minute_max),
        ("delta", readings.delta_seconds, limits.delta_seconds_max),
    ):
        if value > bound or math.isnan(value):
            found[name] = f"{value:g}, limit {bound:g}"
    return found


def observe(state: LimitState, broken: dict[str, str], now_ns: int) -> LimitState:
    """Note since when each tripped limit has been in order. Not durable, and need not be."""
    if not state.active:
        return state
    return LimitState(tuple(_observed(limit, broken, now_ns) for limit in state.active))


def evaluate(
    state: LimitState, broken: dict[str, str], limits: RiskLimits, now_ns: int
) -> tuple[LimitTripped | LimitCleared, ...]:
    """The facts due now: newly broken limits trip, conditions that stayed healthy clear.

    Call it after ``observe`` with the same ``breaches``; fold the facts with
    ``apply_limit``. Latched limits are cleared by ``reset`` alone.
    """
    active = state.names
    facts: list[LimitTripped | LimitCleared] = [
        LimitTripped(name, name in LATCHED, broken[name], now_ns)
        for name in (*LATCHED, *CONDITIONS)
        if name in broken and name not in active
    ]
    healthy_ns = int(limits.healthy_seconds_to_clear * SECOND)
    for limit in state.active:
        since = limit.healthy_since_ns
        if limit.latched or limit.limit in broken or since is None:
            continue
        if now_ns - since >= healthy_ns:
            by = f"healthy for {limits.healthy_seconds_to_clear:g} s"
            facts.append(LimitCleared(limit.limit, by, now_ns))
    return tuple(facts)


def reset(state: LimitState, name: str, actor: str, now_ns: int) -> tuple[LimitCleared, ...]:
    """A person clears a limit; empty where it is not tripped.

    Count the highest equity, the day's start and the streak from here on
    (``Readings``); a condition that is still broken trips again at once.
    """
    return (LimitCleared(name, actor, now_ns),) if name in state.names else ()


def closes_only(state: LimitState) -> bool:
    """Whether even a hedge may only reduce: the second of three levels.

    The first stops what grows a trade, the third ends the process, whose start recovers.
    """
    return any(limit.limit in CLOSE_ONLY for limit in state.active)


def blocks_entries(state: LimitState) -> bool:
    """Any tripped limit stops entries; none stops what reduces risk."""
    return bool(state.active)


def size_factor(loss_streak: int, limits: RiskLimits) -> Decimal:
    """What the next trade's risk is multiplied by after losses in a row: 1 or less (SPEC R17).

    Never above one: size does not grow to win anything back.
    """
    with localcontext(WORKING):
        return min(ONE, limits.loss_size_factor ** max(loss_streak, 0))


def _observed(limit: ActiveLimit, broken: dict[str, str], now_ns: int) -> ActiveLimit:
    if limit.limit in broken:
        since = None
    elif limit.healthy_since_ns is None:
        since = now_ns
    else:
        return limit
    return msgspec.structs.replace(limit, healthy_since_ns=since)
