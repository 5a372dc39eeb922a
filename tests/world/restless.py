"""A strategy that opens and closes all the time, so that the rest has something to survive."""

from collections.abc import Mapping
from decimal import Decimal
from random import Random

import msgspec

from domain.instruments import Kind
from domain.money import ZERO, decimal_of
from domain.targets import Action, ExitCause, Legs, Tactic, Target
from domain.time import MINUTE, SECOND
from strategies.market.state import Market
from strategies.strategy import Holding


class Restless:
    """Wants each pair for some minutes, then not, then again, whatever the market does.

    What it wants is a function of time alone, so a restarted bot wants the same.
    """

    def __init__(
        self,
        pairs: tuple[str, ...],
        start_ns: int,
        end_ns: int,
        seed: int,
        legs: Mapping[str, Legs] | None = None,
    ) -> None:
        self._legs = legs or {}
        self._spells: dict[str, tuple[Spell, ...]] = {
            pair: _spells(f"{seed} {pair}", start_ns, end_ns) for pair in pairs
        }

    def targets(
        self, market: Market, holdings: Mapping[str, Holding], equity: Decimal, now_ns: int
    ) -> tuple[Target, ...]:
        told = (self._target(pair, pair in holdings, now_ns) for pair in self._spells)
        return tuple(msgspec.structs.replace(t, how=self._how(market, t, now_ns)) for t in told)

    def _how(self, market: Market, target: Target, now_ns: int) -> Tactic | msgspec.UnsetType:
        """By which legs; the stop of a perp alone is so near that some are reached."""
        legs = self._legs.get(target.pair, Legs.CARRY)
        if legs is Legs.CARRY or target.action is not Action.ENTER:
            return msgspec.UNSET
        perp = market.of(f"hyperliquid:{target.pair}-PERP")
        if not legs.is_alone or perp is None or perp.mark is None:
            return Tactic(legs)
        away = (0.005, 0.01, 0.03)[now_ns // MINUTE % 3]
        stop = decimal_of(perp.mark * (1.0 - away * legs.opens(Kind.PERP).sign))
        rounded = stop.quantize(Decimal("0.001"))
        return Tactic(legs, stop_price=rounded, leverage=Decimal(3))

    def _target(self, pair: str, held: bool, now_ns: int) -> Target:
        spell = next((s for s in reversed(self._spells[pair]) if s.from_ns <= now_ns), None)
        wanted = spell is not None and now_ns < spell.until_ns
        action = (Action.HOLD if held else Action.ENTER) if wanted else (
            Action.EXIT if held else Action.WAIT
        )  # fmt: skip
        return Target(
            pair, action, spell.notional if spell is not None and wanted else ZERO,
            "restless: it is time", 0.0001, 0.0, 100.0, 0.002, 0.008, 0.1, Decimal(10),
            maker_leg=spell.maker_leg if spell is not None else Kind.SPOT,
            urgent=spell is not None and spell.urgent and not wanted,
            exit_cause=ExitCause.THESIS_CHANGED if action is Action.EXIT else None,
        )  # fmt: skip


class Spell(msgspec.Struct, frozen=True):
    """A time in which a pair is wanted; ``urgent`` tells how it is left."""

    from_ns: int
    until_ns: int
    notional: Decimal
    maker_leg: Kind
    urgent: bool


def _spells(name: str, start_ns: int, end_ns: int) -> tuple[Spell, ...]:
    random = Random(name)
    spells = []
    at = start_ns + random.randint(20, 120) * SECOND
    while at < end_ns:
        until = at + random.randint(120, 600) * SECOND
        notional = Decimal(random.choice([150, 600, 1500, 3000]))
        maker = random.choice([Kind.SPOT, Kind.PERP])
        spells.append(Spell(at, until, notional, maker, random.random() < 0.3))
        at = until + random.randint(30, 180) * SECOND
    return tuple(spells)
