"""The strategy that the settings name."""

from collections.abc import Sequence

from bot.settings import Settings
from domain.instruments import Pair
from execution.pairs import ExecutionPolicy
from strategies.breakout import breakout
from strategies.carry.costs import Resting
from strategies.cash_and_carry import CashAndCarry
from strategies.hedge import Hedge
from strategies.mean_reversion import mean_reversion
from strategies.reverse_carry import ReverseCarry
from strategies.strategy import Strategy

PERPS_ALONE = frozenset({"mean_reversion", "breakout"})
"""Those that trade no spot leg."""


def chosen(settings: Settings, pairs: Sequence[Pair]) -> Strategy:
    """``strategy.name`` over these pairs, by the account's risk limits."""
    shared = settings.strategy
    leverage, risk = settings.risk.leverage_target, settings.risk.risk_per_trade
    rests = resting(settings.execution)
    match shared.name:
        case "reverse_carry":
            return ReverseCarry(
                shared, pairs, leverage_target=leverage, risk_per_trade=risk, resting=rests
            )
        case "hedge":
            return Hedge(
                settings.hedge, shared, pairs, leverage_target=leverage, risk_per_trade=risk
            )
        case "mean_reversion":
            return mean_reversion(
                settings.mean_reversion,
                shared,
                pairs,
                risk_per_trade=risk,
                exposure_max=settings.risk.exposure_max,
                scaling=settings.scaling,
            )
        case "breakout":
            return breakout(
                settings.breakout,
                shared,
                pairs,
                risk_per_trade=risk,
                exposure_max=settings.risk.exposure_max,
                scaling=settings.scaling,
            )
        case _:
            return CashAndCarry(
                shared, pairs, leverage_target=leverage, risk_per_trade=risk, resting=rests
            )


def resting(policy: ExecutionPolicy) -> Resting:
    """How the execution works an order that rests, as a strategy reckons with it."""
    return Resting(policy.maker_patience_seconds, float(policy.reprice_bps) / 10_000)
