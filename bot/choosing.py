"""The strategy that the settings name."""

from collections.abc import Sequence

from bot.settings import Settings
from domain.instruments import Pair
from strategies.breakout import breakout
from strategies.cash_and_carry import CashAndCarry
from strategies.hedge import Hedge
from strategies.mean_reversion import mean_reversion
from strategies.reverse_carry import ReverseCarry
from strategies.strategy import Strategy


def chosen(settings: Settings, pairs: Sequence[Pair]) -> Strategy:
    """``strategy.name`` over these pairs, by the account's risk limits."""
    shared = settings.strategy
    leverage, risk = settings.risk.leverage_target, settings.risk.risk_per_trade
    match shared.name:
        case "reverse_carry":
            return ReverseCarry(shared, pairs, leverage_target=leverage, risk_per_trade=risk)
        case "hedge":
            return Hedge(
                settings.hedge, shared, pairs, leverage_target=leverage, risk_per_trade=risk
            )
        case "mean_reversion":
            return mean_reversion(settings.mean_reversion, shared, pairs, risk_per_trade=risk)
        case "breakout":
            return breakout(settings.breakout, shared, pairs, risk_per_trade=risk)
        case _:
            return CashAndCarry(shared, pairs, leverage_target=leverage, risk_per_trade=risk)
