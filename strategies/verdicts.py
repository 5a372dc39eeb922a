"""What every strategy but the carry says in the same words: how fresh, what it costs, the target.

``CashAndCarry`` came first and has its own, which also rank pairs against each other.
"""

from decimal import ROUND_DOWN, Decimal
from typing import NamedTuple

import msgspec

from domain.instruments import Kind, Pair
from domain.money import ZERO
from domain.targets import Action, ExitCause, Tactic, Target
from domain.time import HOURS_PER_YEAR, SECOND
from strategies.market.state import InstrumentState, walk
from strategies.sizing import CENT


class Verdict(msgspec.Struct, frozen=True):
    """A judgement before it is a target. ``hourly`` is the income expected of funding, per hour,
    positive received, whatever the side; ``cost`` is still to be paid; fractions of notional."""

    pair: Pair
    action: Action
    reason: str
    notional: Decimal = ZERO
    hourly: float = 0.0
    error: float = 0.0
    horizon_hours: float = 24.0
    cost: float = 0.0
    capital_per_notional: float = 1.0
    loss_fraction: Decimal = ZERO
    maker_leg: Kind = Kind.PERP
    cause: ExitCause | None = None
    urgent: bool = False
    how: Tactic | None = None

    def target(self) -> Target:
        net = self.hourly * self.horizon_hours - self.cost
        yearly = net / self.capital_per_notional / self.horizon_hours * HOURS_PER_YEAR
        return Target(
            pair=self.pair.name,
            action=self.action,
            notional=self.notional,
            reason=self.reason,
            forecast_hourly=self.hourly,
            forecast_error=self.error,
            horizon_hours=self.horizon_hours,
            cost=self.cost,
            expected_net=net,
            apr_on_capital=yearly,
            amount_at_risk=(self.notional * self.loss_fraction).quantize(CENT, ROUND_DOWN),
            maker_leg=self.maker_leg,
            exit_cause=self.cause,
            urgent=self.urgent,
            how=self.how if self.how is not None else msgspec.UNSET,
        )


def stale(perp: InstrumentState, now_ns: int, age_ns: int, *others: InstrumentState) -> str | None:
    """Why what is known is too old to act on; None where it is not."""
    for state in (perp, *others):
        if not state.is_fresh(now_ns, age_ns):
            return f"stale_data: no usable quote of {state.instrument} within {_age(age_ns)}"
    if not perp.has_fresh_context(now_ns, age_ns):
        return f"stale_data: no mark of {perp.instrument} within {_age(age_ns)}"
    return None


class Taking(NamedTuple):
    """What taking costs either way, fractions of notional: fee, half the spread and slippage."""

    buying: float
    selling: float

    @property
    def both(self) -> float:
        return self.buying + self.selling


def taking(pair: Pair, perp: InstrumentState, quantity: float) -> Taking | None:
    """What ``quantity`` of the perp costs at once; None where the book shows less."""
    if not perp.mid:
        return None
    fee = float(pair.perp.fees.taker)
    bought, sold = walk(perp.asks, quantity), walk(perp.bids, quantity)
    if min(bought.filled, sold.filled) < quantity:
        return None
    return Taking(fee + bought.average / perp.mid - 1.0, fee + 1.0 - sold.average / perp.mid)


def percent(fraction: float) -> str:
    return f"{fraction * 100:.2f} %"


def yearly(hourly: float) -> str:
    return f"{hourly * HOURS_PER_YEAR * 100:.1f} % a year"


def _age(age_ns: int) -> str:
    return f"{age_ns / SECOND:g} s"
