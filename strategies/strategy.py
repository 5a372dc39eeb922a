"""What a strategy is: market and holdings in, targets out, nothing remembered that matters."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Protocol

import msgspec

from domain.money import ZERO
from domain.targets import Legs, Target
from strategies.market.state import Market


class Holding(msgspec.Struct, frozen=True):
    """What is held of one pair.

    ``quantity`` is base units of each of its ``legs``;
    ``notional`` what it was opened for, quote; ``entry_basis`` perp over spot, less one, at the
    average fill prices. Where that is unknown the pair's usual basis stands in. ``stop_price``,
    ``target_price`` and ``basis_stop`` are those of the plan, zero where it has none: whatever
    the basis has done since, or is known of it since a start, the stop is the one that the
    size was for.
    ``entry_price`` is the average fill price of the perp that is held, ``tranches`` in how many
    parts it was bought, and ``targets_met`` how many parts left at a target.
    """

    pair: str
    quantity: Decimal
    notional: Decimal
    opened_ns: int
    entry_basis: float | None = None
    legs: Legs = Legs.CARRY
    stop_price: Decimal = ZERO
    target_price: Decimal = ZERO
    entry_price: Decimal = ZERO
    tranches: int = 1
    targets_met: int = 0
    basis_stop: float = 0.0


class Strategy(Protocol):
    def targets(
        self, market: Market, holdings: Mapping[str, Holding], equity: Decimal, now_ns: int
    ) -> tuple[Target, ...]:
        """One target for each of the strategy's pairs, in their order, each with its reason.

        ``holdings`` by pair name; ``equity`` quote; ``now_ns`` our own clock.
        """
        ...
