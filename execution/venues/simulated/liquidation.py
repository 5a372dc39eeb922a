"""When the venue takes over, and how much it takes at once.

Source: Hyperliquid's documentation of liquidations and of partial liquidations.
"""

from decimal import Decimal
from enum import Enum, auto

from domain.instruments import Instrument
from domain.orders import Side
from execution.venues.simulated.matching import whole_lots
from execution.venues.simulated.rules import VenueRules
from execution.venues.simulated.state import Position


class Verdict(Enum):
    SAFE = auto()
    MARKET = auto()  # orders into the book
    BACKSTOP = auto()  # the venue takes the position at mark, and what margin is left


def judge(equity: Decimal, maintenance: Decimal, rules: VenueRules) -> Verdict:
    """On an isolated position's equity, or the whole account's for cross ones."""
    if equity >= maintenance:
        return Verdict.SAFE
    if equity >= maintenance * rules.backstop_fraction:
        return Verdict.MARKET
    return Verdict.BACKSTOP


def closing_side(position: Position) -> Side:
    return Side.SELL if position.quantity > 0 else Side.BUY


def is_partial(position: Position, mark: Decimal, rules: VenueRules, *, cooling: bool) -> bool:
    """Whether only a part goes to the book; in the cooldown after a part, all of it does."""
    return not cooling and abs(position.quantity) * mark > rules.partial_above


def forced_quantity(
    position: Position, instrument: Instrument, rules: VenueRules, *, partial: bool
) -> Decimal:
    """Base units of one market liquidation order."""
    size = abs(position.quantity)
    return whole_lots(instrument, size * rules.partial_fraction) if partial else size
