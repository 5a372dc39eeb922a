"""The exported tables: fixed columns, exact amounts, and enough to compute profit again."""

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from bot.export import COLUMNS, export, tables
from bot.report import build
from domain.account import CashCause
from domain.money import exact
from domain.orders import Side
from domain.targets import Action
from domain.time import MILLISECOND
from tests.recompute import recompute_total
from tests.unit.bot.synthetic_run import PAIRS, SyntheticRun, random_run

BTC, HYPE = PAIRS

CONTRACT = {
    "fills": "ts_ms venue instrument kind side price quantity fee fee_asset liquidity pair"
    " order_id",
    "funding": "ts_ms venue instrument position price rate interval_hours payment asset",
    "equity": "ts_ms equity cash spot_value margin unrealized",
    "decisions": "ts_ms pair action reason forecast_hourly cost expected_net",
    "cashflows": "ts_ms asset amount cause",
}


@pytest.mark.parametrize("quantum", [None, Decimal("1e-8")])
@pytest.mark.parametrize("seed", range(15))
def test_anyone_can_compute_the_total_again_to_the_last_digit(
    seed: int, quantum: Decimal | None, tmp_path: Path
) -> None:
    run = random_run(seed, quantum)
    closing = run.closing()
    document = build(run.facts, run.books, PAIRS, closing)
    export(run.facts, PAIRS, tmp_path)

    total = run.books.pnl_total(closing.marks).total
    assert recompute_total(tmp_path, document) == total
    with exact():
        assert total == run.books.equity(closing.marks) - run.books.capital


def test_a_fill_left_out_is_noticed_by_the_recomputation(tmp_path: Path) -> None:
    run = SyntheticRun()
    run.plan("BTC#1")
    run.trade("BTC#1", BTC.spot, Side.BUY)
    run.trade("BTC#1", BTC.perp, Side.SELL)
    document = build(run.facts, run.books, PAIRS, run.closing())
    export(run.facts[:-1], PAIRS, tmp_path)

    with pytest.raises(AssertionError, match="do not lead from opening to open"):
        recompute_total(tmp_path, document)


def test_a_run_in_which_nothing_happened_still_has_every_column(tmp_path: Path) -> None:
    paths = export([], PAIRS, tmp_path / "new" / "export")
    kinds = {str: pl.String, int: pl.Int64, float: pl.Float64}

    assert {path.stem for path in paths} == {*CONTRACT, "capital"}
    for path in paths:
        frame = pl.read_parquet(path)
        assert frame.is_empty()
        assert dict(frame.schema) == {k: kinds[v] for k, v in COLUMNS[path.stem].items()}
        assert path.stem == "capital" or frame.columns == CONTRACT[path.stem].split()


def test_a_fill_is_told_in_the_words_of_the_contract() -> None:
    run = SyntheticRun()
    run.plan("HYPE#1")
    order = run.order("HYPE#1", HYPE.spot, Side.BUY, Decimal("2.50"), Decimal("30.10"))
    fill = run.fill(order, HYPE.spot)
    (row,) = tables(run.facts, PAIRS)["fills"]

    assert dict(zip(COLUMNS["fills"], row, strict=True)) == {
        "ts_ms": fill.venue_time_ns // MILLISECOND,
        "venue": "synthetic",
        "instrument": "HYPE/USDC",
        "kind": "spot",
        "side": "buy",
        "price": "30.1",
        "quantity": "2.5",
        "fee": "0.00175",
        "fee_asset": "HYPE",
        "liquidity": "taker",
        "pair": "HYPE",
        "order_id": order.request.cloid,
    }


def test_a_liquidation_nobody_ordered_is_on_the_pair_of_its_leg() -> None:
    run = SyntheticRun()
    run.liquidate(BTC.perp, None)
    (row,) = tables(run.facts, PAIRS)["fills"]

    assert (row[3], row[-2], row[-1]) == ("perp", "BTC", None)


def test_a_fill_on_what_no_pair_lists_is_still_in_the_table() -> None:
    run = SyntheticRun()
    run.plan("BTC#1")
    run.trade("BTC#1", BTC.perp, Side.SELL)
    (row,) = tables(run.facts, [HYPE])["fills"]

    assert (row[2], row[3], row[-2]) == ("BTC-PERP", None, "BTC")


def test_a_short_that_receives_has_a_negative_position_and_a_positive_payment() -> None:
    run = SyntheticRun()
    while not (rows := [r for r in tables(run.facts, PAIRS)["funding"] if str(r[3])[0] == "-"]):
        run.funding(BTC.perp, None)
    row = dict(zip(COLUMNS["funding"], rows[0], strict=True))

    rate = row["rate"]
    assert isinstance(rate, float)
    owed = -(Decimal(str(row["position"])) * Decimal(str(row["price"])) * Decimal(repr(rate)))
    assert abs(Decimal(str(row["payment"])) - owed) <= Decimal("5e-9")
    assert (row["interval_hours"], row["asset"]) == (1, "USDC")


def test_what_a_venue_tells_twice_is_one_row() -> None:
    run = SyntheticRun()
    run.tell_again()
    run.plan("BTC#1")
    run.trade("BTC#1", BTC.spot, Side.BUY)
    run.tell_again()
    run.funding(BTC.perp, None)
    run.tell_again()

    assert {name: len(rows) for name, rows in tables(run.facts, PAIRS).items()} == {
        "fills": 1,
        "funding": 1,
        "equity": 0,
        "decisions": 0,
        "cashflows": 0,
        "capital": 1,
    }


def test_capital_is_apart_from_costs() -> None:
    run = SyntheticRun()
    run.flow(CashCause.GAS, "-0.10")
    run.flow(CashCause.WITHDRAWAL, "-500")
    rows = tables(run.facts, PAIRS)

    assert [row[1:] for row in rows["cashflows"]] == [("USDC", "-0.1", "gas")]
    assert [row[1:] for row in rows["capital"]] == [
        ("USDC", "10000", "deposit"),
        ("USDC", "-500", "withdrawal"),
    ]


def test_a_refused_decision_says_by_what() -> None:
    run = SyntheticRun()
    run.decide("BTC", Action.ENTER, "edge: 3 bps", "leverage: 3.1 over 3", "event: FOMC")
    run.mark("10001.50")
    rows = tables(run.facts, PAIRS)

    assert rows["decisions"][0][1:] == (
        "BTC",
        "enter",
        "edge: 3 bps; refused by leverage: 3.1 over 3; refused by event: FOMC",
        1.25e-05,
        0.0015,
        0.0004,
    )
    assert rows["equity"][0][1:] == ("10001.5", "10001.5", "0", "0", "0")


def test_csv_holds_the_same_cells_as_parquet(tmp_path: Path) -> None:
    run = random_run(3)
    export(run.facts, PAIRS, tmp_path)
    export(run.facts, PAIRS, tmp_path, "csv")
    for name in COLUMNS:
        parquet = pl.read_parquet(tmp_path / f"{name}.parquet")
        csv = pl.read_csv(tmp_path / f"{name}.csv", schema=parquet.schema)
        assert csv.equals(parquet), name


def test_no_data_frame_library_is_loaded_before_an_export_is_asked_for() -> None:
    program = "import sys, bot.report, bot.export; sys.exit('polars' in sys.modules)"
    root = Path(__file__).resolve().parents[3]
    assert subprocess.run([sys.executable, "-c", program], cwd=root, check=False).returncode == 0
