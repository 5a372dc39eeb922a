"""Short histories made by hand, of which is known what must come out."""

from collections.abc import Collection
from decimal import Decimal
from pathlib import Path

import pytest

from bot.backtest.history import open_history
from bot.run import Run
from domain.account import CashCause, Cashflow, FundingPayment, MarginMoved
from domain.money import ZERO
from domain.orders import Fill, FillCause, Liquidity
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
    assert run.report(run.facts())["integrity"]["violations"] == []
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


def test_who_rests_is_given_no_more_than_the_bar_has_traded(tmp_path: Path) -> None:
    """Thirty coins an hour are traded, and a hundred and fifty wanted."""
    thin = [(*candle[:4], 30.0) for candle in swings([20.0] * 8)]
    run = played(history(tmp_path, thin), 8, enter=0.5)
    fills = [f for f in run.facts() if isinstance(f, Fill) and f.liquidity is Liquidity.MAKER]
    given: dict[int, Decimal] = {}
    for fill in fills:
        hour = fill.venue_time_ns // HOUR
        given[hour] = given.get(hour, ZERO) + fill.quantity

    assert given
    assert max(given.values()) <= 30
    assert run.report(run.facts())["integrity"]["violations"] == []


def test_what_settles_at_the_very_end_is_charged_by_neither_side(tmp_path: Path) -> None:
    run = played(history(tmp_path, swings([20.0] * 8)), 8, enter=0.5)
    told = [fact for fact in run.facts() if isinstance(fact, FundingPayment)]
    there = [e for e in run.venue.exchange.private_since(0) if isinstance(e, FundingPayment)]

    assert run.venue.ended
    assert [one.payment_id for one in told] == [one.payment_id for one in there]
    assert told[-1].venue_time_ns == START + 7 * HOUR


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
    report = run.report(run.facts())
    assert report["integrity"]["violations"] == []
    assert Decimal(report["equity"]["end"]) == pytest.approx(10_000, abs=50)


def test_a_rise_inside_a_bar_is_met_on_its_way_whatever_the_bar_came_to(tmp_path: Path) -> None:
    """It doubles and comes back: margin is added at a distance, and nothing is liquidated."""
    spike = [(20.0, 40.0, 20.0, 20.0, 1e6)]
    root = history(tmp_path, [*swings([20.0] * 6), *spike, *swings([20.0] * 2)])
    run = played(root, 9, enter=0.5)
    report = run.report(run.facts())
    added = [f for f in run.facts() if isinstance(f, MarginMoved) and f.amount > 0]

    assert START + 6 * HOUR < added[-1].venue_time_ns < START + 7 * HOUR
    assert report["risk"]["liquidations"] == 0
    assert 0.3 < report["risk"]["min_liquidation_distance"] < 0.4
    assert report["integrity"]["violations"] == []


def test_a_jump_between_bars_beyond_the_liquidation_takes_the_margin_and_is_told(
    tmp_path: Path,
) -> None:
    """Nothing could act: the perp loses what margin it had, and no more."""
    jump = [(34.0, 34.4, 33.6, 34.0, 1e6)] * 2
    run = played(history(tmp_path, [*swings([20.0] * 6), *jump]), 6 + 0.09, enter=0.5)
    facts = run.facts()
    (forced,) = (f for f in facts if isinstance(f, Fill) and f.cause is FillCause.LIQUIDATION)
    sold = [f for f in facts if isinstance(f, Fill) and "PERP" in f.instrument][:-1]
    opened = sum((f.quantity * f.price for f in sold), ZERO)
    moved = sum((f.amount for f in facts if isinstance(f, MarginMoved)), ZERO)
    held = sum((f.quantity for f in sold), ZERO)
    (penalty,) = (
        f.money.amount
        for f in facts
        if isinstance(f, Cashflow) and f.cause is CashCause.LIQUIDATION_PENALTY
    )
    lost = held * forced.price - opened - penalty
    risk = run.report(facts)["risk"]

    assert (forced.price, forced.quantity) == (Decimal(34), held)
    assert lost == pytest.approx(opened / 2 + moved, rel=Decimal("0.01"))  # at leverage two
    assert (risk["liquidations"], risk["min_liquidation_distance"]) == (1, 0.0)
