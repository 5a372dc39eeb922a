"""A pair whose perp the venue counts in thousands of coins, traded by the whole bot: one unit on
the wire, another in the books, and both legs worth the same."""

from collections.abc import Sequence
from decimal import Decimal

from msgspec.structs import replace

from domain.instruments import FeeSchedule, Instrument, Kind, MarginTier, Pair
from domain.market import Close
from domain.money import ZERO
from domain.orders import Fill
from execution.reconcile import differences
from tests.world.campaign import CALM
from tests.world.market import Moment, WildMarket
from tests.world.oracle import Oracle
from tests.world.world import ACCOUNT, TRADER, WarmVenue, World

SPOT = Instrument(
    "hyperliquid", "UBONK/USDC", Kind.SPOT, "UBONK", "USDC", Decimal(1), 8, Decimal(10),
    FeeSchedule(Decimal("0.0004"), Decimal("0.0007"), buyer_pays_base=True), 5,
)  # fmt: skip
PERP = Instrument(
    "hyperliquid", "kBONK-PERP", Kind.PERP, "kBONK", "USDC", Decimal(1), 6, Decimal(10),
    FeeSchedule(Decimal("0.00015"), Decimal("0.00045")), 5, (MarginTier(ZERO, 10),), 1,
)  # fmt: skip
"""As the exchange has it: a size of 1 is a thousand coins."""


class InCoins(WildMarket):
    def closes_before(self, now_ns: int) -> list[Close]:
        return [replace(close, price=close.price / 1000) for close in super().closes_before(now_ns)]


class Thousands(World):
    pairs = (Pair("kBONK", SPOT, PERP),)

    def _venue(self, owner: str) -> WarmVenue:
        venue = WarmVenue(
            self.net.transport(owner, "venue"), TRADER, ACCOUNT, {"kBONK": "UBONK"}, self.clock,
            self._jitter,
        )  # fmt: skip
        venue.market = InCoins(self.pairs, self.start_ns, 1)
        return venue

    def differences(self) -> Sequence[str]:
        """Between the books and the exchange's account, its perps in coins."""
        report = self.exchange.account_report(None, self.loop.now_ns)
        positions = tuple(replace(p, quantity=p.quantity * 1000) for p in report.positions)
        assert self.engine is not None
        return differences(self.engine.state, replace(report, positions=positions))


def thousandth(_pair: str, _seconds: float) -> Moment:
    return Moment(spot=0.001)


def test_a_perp_of_thousands_is_hedged_coin_by_coin_and_the_books_are_the_exchanges() -> None:
    world = Thousands(Oracle.seeded(3, CALM), 3, hours=0.5, scenario=thousandth)
    try:
        world.loop.run_until(world.end_ns)
        fills = [e for e in world.exchange.private_since(0) if isinstance(e, Fill)]
        engine = world.engine
        assert engine is not None
        perp, spot = ([fill for fill in fills if fill.instrument == leg.id] for leg in (PERP, SPOT))
        assert len(perp) >= 3
        assert len(spot) >= 3
        # On the wire a thousand is one; in the books everything is coins.
        assert all(fill.price > 1 for fill in perp)
        assert all(fill.price < Decimal("0.1") for fill in spot)
        (pair,) = engine.state.pairs.values()
        assert (pair.perp.lot, pair.perp.price_decimals) == (Decimal(1000), 9)
        told = [fact for fact in world.facts if isinstance(fact, Fill)]
        booked = [fact for fact in told if fact.instrument == PERP.id]
        assert sum((fill.quantity for fill in booked), ZERO) == 1000 * sum(
            (fill.quantity for fill in perp), ZERO
        )
        assert all(Decimal("0.001") < fill.price < Decimal("0.1") for fill in booked)
        world.heal()
        world.loop.run_until(world.end_ns + 60 * 10**9)
        assert world.differences() == ()
        assert [alarm.name for alarm in world.alarms] == []
    finally:
        world.close()
