"""Short histories made by hand, of which is known what must come out."""

from collections.abc import Collection
from decimal import Decimal
from pathlib import Path

import pytest

from bot.backtest.history import open_history
from bot.run import Run
from domain.account import FundingPayment
from domain.orders import Fill
from domain.time import HOUR, MILLISECOND
from tests.scripted import START, Told, settings
from tests.unit.bot.backtest.test_history import Candles, write, write_bars

LEGS = ("perp", "spot")


def history(
    root: Path,
    candles: Candles,
    rates: Collection[float] = (1e-5,) * 40,
    lacking: str = "",
    hours: Collection[int] = (),
) -> Path:
    """Both legs alike, but that one lacks some hours; rates stamped on the hour itself."""
    for kind in LEGS:
        path = root / f"prices/hyperliquid/{kind}/HYPE_1h.parquet"
        for hour, candle in enumerate(candles):
            if kind != lacking or hour not in hours:
                part = path.with_stem(f"HYPE_1h_{hour:02}")
                write_bars(part, START + hour * HOUR, HOUR, [candle])
    times = [(START + (i - 20) * HOUR) // MILLISECOND for i in range(len(rates))]
    write(
        root / "funding/hyperliquid_1h.parquet",
        {
            "ts_ms": times,
            "symbol": ["HYPE"] * len(rates),
            "rate": list(rates),
            "interval_hours": [1] * len(rates),
        },
    )
    return root


def played(root: Path, hours: float, **told: float) -> Run:
    source = open_history(root, "hyperliquid", ["HYPE"], start_ns=START)
    told_by = Told("3000", **told)
    run = Run(source, told_by, settings(), mode="test", seed=1, capital=Decimal(10_000))
    run.advance(START + int(hours * HOUR))
    run.finish()
    assert run.report(run.facts())["integrity"]["violations"] == []
    return run


def swings(closes: Collection[float]) -> Candles:
    """Bars that reach 2 % beyond their ends, so that what rests is filled."""
    opens = (20.0, *closes)
    return [
        (a, max(a, b) * 1.02, min(a, b) * 0.98, b, 1e6) for a, b in zip(opens, closes, strict=False)
    ]


def test_an_hour_is_settled_at_its_own_rate_on_the_close_of_that_hour(tmp_path: Path) -> None:
    closes = [20.0 + 0.1 * hour for hour in range(1, 9)]
    rates = [1e-5 * (number + 1) for number in range(40)]
    run = played(history(tmp_path, swings(closes), rates), 7.5, enter=0.5)
    paid = [fact for fact in run.facts() if isinstance(fact, FundingPayment)]
    held = [(fact.venue_time_ns - START) // HOUR for fact in paid]

    assert held == list(range(held[0], 8))
    assert len(held) >= 4
    for hour, payment in zip(held, paid, strict=True):
        assert float(payment.price) == pytest.approx(closes[hour - 1])
        assert float(payment.rate) == pytest.approx(1e-5 * (20 + hour + 1))
        due = -payment.position * payment.price * payment.rate
        assert payment.payment.amount == pytest.approx(due, abs=Decimal("1e-8"))
    published = [s.rate.per_interval for s in run.venue.exchange.funding_published()]
    assert published == pytest.approx([1e-5 * (20 + hour + 1) for hour in range(1, 8)])


@pytest.mark.parametrize("lacking", LEGS)
def test_nothing_is_traded_at_a_price_of_before_a_gap(lacking: str, tmp_path: Path) -> None:
    """One leg is silent for six hours while the other goes up by a half, and has to be left."""
    up = [20.0 * 1.07**hour for hour in range(1, 7)]
    candles = swings([20.0] * 6 + up + [up[-1]] * 6)
    root = history(tmp_path, candles, lacking=lacking, hours=range(6, 12))
    run = played(root, 18, enter=0.5, leave=8.2)
    fills = [fact for fact in run.facts() if isinstance(fact, Fill)]
    left = [fill for fill in fills if fill.venue_time_ns > START + 8 * HOUR]

    assert left
    assert not [fill for fill in left if fill.venue_time_ns < START + 12 * HOUR]
    assert run.engine.state.trade_on("HYPE") is None
    end = Decimal(run.report(run.facts())["equity"]["end"])
    assert end == pytest.approx(10_000, abs=50)
