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
from strategies.sizing import CENT
from strategies.strategy import Holding


class Restless:
    """Wants each pair for some minutes, then not, then again, whatever the market does.

    ``in_parts``: of some pairs, and at some times, it wants a part, then more, then less. What it
    wants is a function of time alone, so a restarted bot wants the same.
    """

    def __init__(
        self,
        pairs: tuple[str, ...],
        start_ns: int,
        end_ns: int,
        seed: int,
        legs: Mapping[str, Legs] | None = None,
        *,
        in_parts: bool = False,
    ) -> None:
        self._legs = legs or {}
        self._spells: dict[str, tuple[Spell, ...]] = {
            pair: _spells(f"{seed} {pair}", start_ns, end_ns, in_parts=in_parts) for pair in pairs
        }

    def targets(
        self, market: Market, holdings: Mapping[str, Holding], equity: Decimal, now_ns: int
    ) -> tuple[Target, ...]:
        told = (self._target(pair, holdings.get(pair), now_ns) for pair in self._spells)
        return tuple(msgspec.structs.replace(t, how=self._how(market, t, now_ns)) for t in told)

    def _how(self, market: Market, target: Target, now_ns: int) -> Tactic | msgspec.UnsetType:
        """By which legs; the stop of a perp alone is so near that some are reached, and moves."""
        legs = self._legs.get(target.pair, Legs.CARRY)
        if legs is Legs.CARRY or target.action in (Action.WAIT, Action.EXIT):
            return msgspec.UNSET
        perp = market.of(f"hyperliquid:{target.pair}-PERP")
        if not legs.is_alone or perp is None or perp.mark is None:
            return Tactic(legs)
        away = (0.005, 0.01, 0.03)[now_ns // MINUTE % 3]
        stop = decimal_of(perp.mark * (1.0 - away * legs.opens(Kind.PERP).sign))
        rounded = stop.quantize(Decimal("0.001"))
        return Tactic(legs, stop_price=rounded, leverage=Decimal(3))

    def _target(self, pair: str, held: Holding | None, now_ns: int) -> Target:
        spell = next((s for s in reversed(self._spells[pair]) if s.from_ns <= now_ns), None)
        wanted = spell is not None and now_ns < spell.until_ns
        notional = spell.at(now_ns) if spell is not None and wanted else ZERO
        action = (Action.HOLD if held else Action.ENTER) if wanted else (
            Action.EXIT if held else Action.WAIT
        )  # fmt: skip
        if held is not None and spell is not None and spell.parts and wanted:
            action = _toward(held.notional, notional)
        leaves = action in (Action.EXIT, Action.REDUCE)
        return Target(
            pair, action, notional,
            "restless: it is time", 0.0001, 0.0, 100.0, 0.002, 0.008, 0.1, Decimal(10),
            maker_leg=spell.maker_leg if spell is not None else Kind.SPOT,
            urgent=spell is not None and spell.urgent and leaves,
            exit_cause=ExitCause.THESIS_CHANGED if leaves else None,
        )  # fmt: skip


def _toward(held: Decimal, wanted: Decimal) -> Action:
    if wanted > held * Decimal("1.02"):
        return Action.ADD
    return Action.REDUCE if wanted < held * Decimal("0.98") else Action.HOLD


class Spell(msgspec.Struct, frozen=True):
    """A time in which a pair is wanted; ``urgent`` tells how it is left.

    ``parts``: (from when, which share of ``notional``) of one that grows and shrinks.
    """

    from_ns: int
    until_ns: int
    notional: Decimal
    maker_leg: Kind
    urgent: bool
    parts: tuple[tuple[int, Decimal], ...] = ()

    def at(self, now_ns: int) -> Decimal:
        """What is wanted at a moment of it, quote."""
        shares = [share for from_ns, share in self.parts if from_ns <= now_ns]
        return (self.notional * shares[-1]).quantize(CENT) if shares else self.notional


def _spells(name: str, start_ns: int, end_ns: int, *, in_parts: bool) -> tuple[Spell, ...]:
    random = Random(name)
    divided = Random(f"{name} parts")
    spells = []
    at = start_ns + random.randint(20, 120) * SECOND
    while at < end_ns:
        until = at + random.randint(120, 600) * SECOND
        notional = Decimal(random.choice([150, 600, 1500, 3000]))
        maker = random.choice([Kind.SPOT, Kind.PERP])
        urgent = random.random() < 0.3
        in_these = in_parts and divided.random() < 0.7
        parts = _parts(divided, at, until) if in_these else ()
        spells.append(Spell(at, until, notional, maker, urgent, parts))
        at = until + random.randint(30, 180) * SECOND
    return tuple(spells)


def _parts(random: Random, from_ns: int, until_ns: int) -> tuple[tuple[int, Decimal], ...]:
    """In by 30, 30 and 40 %, out by 30 and 30, or down to a half and back, at chance times."""
    at, parts = from_ns, []
    for share in random.choice(("0.3 0.6 1", "0.3 0.6 1 0.7 0.4", "1 0.5 1")).split():
        parts.append((at, Decimal(share)))
        at += random.randint(20, 120) * SECOND
    return tuple(part for part in parts if part[0] < until_ns)
