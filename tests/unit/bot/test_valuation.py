"""What is held is valued at one moment, also where one leg falls silent."""

from decimal import Decimal

import pytest

from bot.valuation import marks
from domain.time import MINUTE
from execution.state import State
from strategies.market.state import Market
from tests.unit.strategies.world import NOW, book, context, observe, pair

HYPE = pair("HYPE")


@pytest.mark.parametrize("silent", ["spot", "perp", "neither", "both"])
def test_a_leg_that_is_silent_is_valued_by_the_other(silent: str) -> None:
    market = observe(
        Market((HYPE,)),
        book(HYPE.spot, 100.0, NOW),
        book(HYPE.perp, 101.0, NOW),
        context(HYPE.perp, 1e-5, 101.0, NOW),
    )
    later = NOW + 10 * MINUTE
    if silent not in {"spot", "both"}:
        observe(market, book(HYPE.spot, 150.0, later))
    if silent not in {"perp", "both"}:
        observe(market, context(HYPE.perp, 1e-5, 151.5, later))

    found = marks(State((HYPE,)), market, later, MINUTE)
    spot, perp = found[HYPE.spot.id], found[HYPE.perp.id]
    if silent == "both":
        assert (spot, perp) == (Decimal(100), Decimal(101))
        return
    assert float(spot) == pytest.approx(150.0)
    assert float(perp) == pytest.approx(151.5)
    if silent == "neither":
        assert (spot, perp) == (Decimal(150), Decimal("151.5"))
