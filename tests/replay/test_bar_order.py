"""Inside a bar the price goes first to where it hurts the perp that is held."""

from decimal import Decimal
from pathlib import Path

import pytest

from bot.backtest.history import open_history
from bot.run import Run
from domain.targets import CARRY, Legs, Tactic
from domain.time import HOUR, MINUTE
from tests.scripted import START, settings
from tests.simulation.test_tactics import By
from tests.unit.bot.backtest.test_history import PERP, write_bars, write_funding

HOURS = 12
SWING = (20.0, 20.4, 19.6, 20.0, 1e6)
LONG = Tactic(Legs.LONG, stop_price=Decimal(18), target_price=Decimal(23), leverage=Decimal(3))
SHORT = Tactic(Legs.SHORT, stop_price=Decimal(22), target_price=Decimal(17), leverage=Decimal(3))


@pytest.mark.parametrize(("how", "first"), [(LONG, 19.6), (SHORT, 20.4), (CARRY, 20.4)])
def test_the_extreme_that_hurts_comes_first(how: Tactic, first: float, tmp_path: Path) -> None:
    for kind in ("perp", "spot"):
        path = tmp_path / f"prices/hyperliquid/{kind}/HYPE_1h.parquet"
        write_bars(path, START, HOUR, [SWING] * HOURS)
    write_funding(tmp_path / "funding/hyperliquid_1h.parquet", START, [1e-5] * HOURS)
    source = open_history(tmp_path, "hyperliquid", ["HYPE"])
    strategy = By(how, "1000", enter=2.0)
    run = Run(source, strategy, settings(), mode="test", seed=1, capital=Decimal(10_000))

    run.advance(START + 8 * HOUR + 15 * MINUTE)

    trade = run.engine.state.trade_on("HYPE")
    assert trade is not None
    _, perp = run.engine.state.quantities(trade)
    assert (perp > 0) == (how is LONG)
    market = run.engine.market.of(PERP)
    assert market is not None
    assert market.mark == pytest.approx(first, rel=0.01)
