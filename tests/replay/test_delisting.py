"""An instrument whose bars end while the run goes on: held is nothing of it afterwards."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from bot.cli.main import run
from domain.time import HOUR, MILLISECOND, iso, parse_instant
from tests.benchmarks.synthetic_history import START, write_history
from tests.recompute import recompute_total

DAYS, GONE_DAYS = 16, 8
START_NS = parse_instant(START)
GONE_NS = START_NS + GONE_DAYS * 24 * HOUR
GONE_MS = GONE_NS // MILLISECOND
LEGS = {"perp": "HYPE-PERP", "spot": "HYPE/USDC"}


def backtest(history: Path, results: Path, *more: str) -> tuple[dict[str, Any], pl.DataFrame]:
    """The result, and the fills of HYPE from when it is gone."""
    line = f"backtest --data {history} --pairs HYPE,BTC --from {START} --bar 1h"
    target = results / "it.json"
    assert run([*line.split(), *more, "--export", str(results), "--json", str(target)]) == 0
    report = json.loads(target.read_text())
    assert report["integrity"]["violations"] == []
    assert abs(recompute_total(results, report) - Decimal(report["pnl"]["total"])) < Decimal("0.01")
    fills = pl.read_parquet(results / "fills.parquet")
    ours = fills.filter(pl.col("instrument").is_in(list(LEGS.values())))
    return report, ours.filter(pl.col("ts_ms") >= GONE_MS)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic; HYPE is held when it ends."""
    folder = tmp_path_factory.mktemp("history")
    write_history(folder, DAYS * 24, prices={"HYPE": 30.0, "BTC": 60_000.0})
    report, _ = backtest(folder, tmp_path_factory.mktemp("whole"))
    trades = [t for t in report["pairs"] if t["pair"] == "HYPE" and t["opened"] < iso(GONE_NS)]
    assert any(t["closed"] is None or t["closed"] > iso(GONE_NS) for t in trades)
    return folder


def ending(history: Path, copy: Path, kinds: list[str]) -> Path:
    """``history`` with the bars of HYPE's legs of these kinds cut off."""
    for path in history.rglob("*.parquet"):
        target = copy / path.relative_to(history)
        target.parent.mkdir(parents=True, exist_ok=True)
        frame = pl.read_parquet(path)
        if path.stem == "HYPE_1h" and path.parent.name in kinds:
            frame = frame.filter(pl.col("ts_ms") < GONE_MS)
        frame.write_parquet(target)
    return copy


def last_price(history: Path, kind: str) -> float:
    bars = pl.read_parquet(history / f"prices/hyperliquid/{kind}/HYPE_1h.parquet")
    return float(bars.filter(pl.col("ts_ms") < GONE_MS)["close"][-1])


@pytest.mark.parametrize("kinds", [["perp"], ["spot"], ["perp", "spot"]])
def test_what_ends_is_settled_at_its_last_price_and_the_other_leg_is_closed_at_once(
    kinds: list[str], whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = ending(whole, tmp_path / "history", kinds)
    report, fills = backtest(short, tmp_path)

    taken = fills.filter(pl.col("order_id").is_null())
    assert sorted(taken["kind"]) == sorted(kinds)
    for row in taken.iter_rows(named=True):
        assert row["ts_ms"] == GONE_MS
        assert float(row["price"]) == pytest.approx(last_price(whole, row["kind"]))
        assert not float(row["fee"])
    assert max(fills["ts_ms"].to_list()) <= GONE_MS + 2 * HOUR // MILLISECOND
    held = {leg["instrument"] for leg in report["open"]}
    assert not {LEGS[kind] for kind in kinds} & held
    trade = next(trade for trade in reversed(report["pairs"]) if trade["pair"] == "HYPE")
    assert trade["closed"][:16] == iso(GONE_NS)[:16]
    assert trade["exit_reason"].startswith("leg_lost: delisting")
    assert report["risk"]["liquidations"] == 0
    gone = {leg["instrument"]: leg["delisted_ns"] for leg in report["coverage"]}
    for kind, symbol in LEGS.items():
        assert gone[f"hyperliquid:{symbol}"] == (GONE_NS if kind in kinds else None)
    told = " ".join(capsys.readouterr().out.split())
    for kind in kinds:
        assert f"{LEGS[kind]} was delisted on {iso(GONE_NS)[:10]}" in told


def test_a_long_gap_is_settled_where_it_begins_and_what_comes_back_is_traded_again(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    back_ms = GONE_MS + 3 * 24 * HOUR // MILLISECOND
    for path in whole.rglob("*.parquet"):
        target = tmp_path / "history" / path.relative_to(whole)
        target.parent.mkdir(parents=True, exist_ok=True)
        frame = pl.read_parquet(path)
        if path.stem == "HYPE_1h":  # and after it half as dear again: who is held is liquidated
            back = pl.col("ts_ms") >= back_ms
            prices = ["open", "high", "low", "close"]
            frame = frame.filter(back | (pl.col("ts_ms") < GONE_MS)).with_columns(
                pl.when(back).then(pl.col(prices) * 1.5).otherwise(pl.col(prices))
            )
        frame.write_parquet(target)
    report, fills = backtest(tmp_path / "history", tmp_path, "--allow-gaps")

    settled = fills.filter(pl.col("ts_ms") < back_ms)
    later = fills.filter(pl.col("ts_ms") >= back_ms)
    assert sorted(settled["kind"]) == ["perp", "spot"]
    assert set(settled["ts_ms"]) == {GONE_MS}
    assert report["risk"]["liquidations"] == 0
    assert all(leg["delisted_ns"] is None for leg in report["coverage"])
    trade = next(t for t in report["pairs"] if t["pair"] == "HYPE")
    assert trade["exit_reason"].startswith("leg_lost: delisting")
    assert not later.is_empty()
    told = " ".join(capsys.readouterr().out.split())
    assert "the longest gap 72.0 hours: what was held of it was settled where it began" in told
