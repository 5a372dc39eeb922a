"""``fundarb scan`` over synthetic history."""

import json
from pathlib import Path
from shutil import copyfile, copytree
from statistics import median
from typing import Any

import pytest

from bot.backtest.history import open_history
from bot.cli.errors import BAD_INPUT
from bot.cli.main import run
from bot.scan import _market
from domain.time import HOUR, MILLISECOND, parse_instant
from tests.benchmarks.synthetic_history import write_history


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("history")
    write_history(folder, 24 * 6)
    return folder


def scanned(history: Path, capsys: pytest.CaptureFixture[str], more: str = "") -> Any:
    assert run(["scan", "--data", str(history), "--json", "-", *more.split()]) == 0
    return json.loads(capsys.readouterr().out)


def known(history: Path, capsys: pytest.CaptureFixture[str], more: str = "") -> list[Any]:
    """Rows of the pairs that there is history of."""
    return [r for r in scanned(history, capsys, more)["pairs"] if r["gate"] != "no_data"]


def test_pairs_are_ranked_and_each_says_what_keeps_it_out(
    history: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = scanned(history, capsys)["pairs"]

    assert {row["pair"] for row in rows} == {"BTC", "ETH", "SOL", "HYPE", "PURR"}
    entered = [row for row in rows if not row["gate"]]
    assert rows[: len(entered)] == entered
    nets = [row["net_apr"] for row in entered]
    assert nets == sorted(nets, reverse=True)
    assert all(row["reason"] for row in rows)


def test_the_figures_hang_together(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for row in known(history, capsys):
        assert row["capacity"] > 0
        if row["forecast"] > 0 and row["net_apr"] is not None:
            hours = row["horizon_hours"]
            assert row["break_even_hours"] == pytest.approx(row["cost"] / row["forecast"] * 8_760)
            net = row["forecast"] * hours / 8_760 - row["cost"]
            assert row["net_apr"] == pytest.approx(net / 1.65 / hours * 8_760)


def test_a_look_that_begins_between_settlements_counts_each_once(history: Path) -> None:
    start_ns = parse_instant("2024-01-03T10:30:00")
    source = open_history(history, "hyperliquid", ["HYPE"], start_ns=start_ns, bar="1h")
    market, _ = _market(source)
    perp = market.of("hyperliquid:HYPE-PERP")

    assert perp is not None
    hours = [settled.time_ns // HOUR for settled in perp.settled]
    assert len(hours) > 24 * 5
    assert hours == list(range(hours[0], hours[-1] + 1))


def test_what_came_after_the_instant_plays_no_part(
    history: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import polars as pl

    last_ms = parse_instant("2024-01-05") // MILLISECOND
    for path in history.rglob("*.parquet"):
        target = tmp_path / path.relative_to(history)
        target.parent.mkdir(parents=True, exist_ok=True)
        pl.read_parquet(path).filter(pl.col("ts_ms") <= last_ms).write_parquet(target)

    at = "--at 2024-01-05"
    assert known(history, capsys, at) == known(tmp_path, capsys, at)


def test_a_pair_without_data_is_told_of_and_the_others_are_ranked(
    history: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = scanned(history, capsys, "--pairs HYPE,FARTCOIN")["pairs"]

    assert [row["pair"] for row in rows if row["at_ns"] is not None] == ["HYPE"]
    reasons = {row["gate"]: row["reason"] for row in rows}
    assert reasons["no_data"].startswith("no spot bars of UFART/USDC")


def test_a_pair_that_is_traded_only_by_name_is_ranked_where_it_has_history(
    history: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import polars as pl

    copytree(history, tmp_path, dirs_exist_ok=True)
    for kind, name in (("spot", "UFART"), ("perp", "FARTCOIN")):
        folder = tmp_path / "prices" / "hyperliquid" / kind
        copyfile(folder / "HYPE_1h.parquet", folder / f"{name}_1h.parquet")
    funding = tmp_path / "funding" / "hyperliquid_1h.parquet"
    other = pl.read_parquet(funding).with_columns(symbol=pl.lit("FARTCOIN"))
    other.write_parquet(funding.with_stem("hyperliquid_other"))

    rows = scanned(tmp_path, capsys)["pairs"]
    assert {row["pair"] for row in rows} == {"BTC", "ETH", "SOL", "HYPE", "PURR", "FARTCOIN"}


def test_invented_bars_are_called_invented(
    history: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert not any(row["synthetic"] for row in scanned(history, capsys)["pairs"])
    copytree(history, tmp_path, dirs_exist_ok=True)
    for path in (tmp_path / "prices").rglob("*.parquet"):
        path.rename(path.with_stem(f"{path.stem}_synthetic"))

    assert all(row["synthetic"] for row in scanned(tmp_path, capsys)["pairs"])
    assert all(one["synthetic"] for one in scanned(tmp_path, capsys, "--venues")["venues"])
    for words in (["scan"], ["scan", "--venues"]):
        assert run([*words, "--data", str(tmp_path)]) == 0
        assert "SYNTHETIC MARKET" in capsys.readouterr().out
    assert run(["clusters", "BTC", "--data", str(tmp_path)]) == 0
    assert "invented bars in" in capsys.readouterr().out


def test_an_instant_without_any_data_is_an_error(
    history: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["scan", "--data", str(history), "--at", "2023-06-01", "--pairs", "HYPE,BTC"]

    assert run([*words, "--json", "-"]) == BAD_INPUT
    told = capsys.readouterr()
    assert not told.out
    assert "no history for BTC, HYPE: no bars common to both legs" in told.err


def test_the_risk_gate_keeps_out_what_the_strategy_would_enter(
    history: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    at, calendar, settings = "--at 2024-01-05", tmp_path / "events.toml", tmp_path / "own.toml"
    before = {row["pair"]: row for row in scanned(history, capsys, at)["pairs"]}
    calendar.write_text(
        'event = [{ kind = "UPGRADE", at = 2024-01-05T01:00:00Z, source = "https://a.example" }]'
    )
    settings.write_text(f'[calendar]\nfile = "{calendar}"')
    after = {
        row["pair"]: row for row in scanned(history, capsys, f"{at} --config {settings}")["pairs"]
    }

    wanted = {name for name, row in before.items() if not row["gate"]}
    assert wanted
    for name in wanted:
        assert after[name]["gate"] == "event"
        assert after[name]["reason"].startswith("event: hours to UPGRADE")
        assert after[name]["reason"].endswith(before[name]["reason"])
    assert all(after[name] == before[name] for name in before.keys() - wanted)


def test_the_table_names_every_pair_once(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["scan", "--data", str(history)]) == 0
    shown = capsys.readouterr().out

    assert "kept out by" in shown
    assert all(f"{name} at 2024-01-" in shown for name in ("BTC", "ETH", "SOL", "HYPE", "PURR"))


@pytest.mark.parametrize("words", ["--venue nowhere", "--at never", "--pairs NOPE"])
def test_a_wrong_word_is_one_line(
    words: str, history: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["scan", "--data", str(history), *words.split()]) == BAD_INPUT
    assert capsys.readouterr().err.count("\n") == 1


def test_venues_are_compared_by_what_their_pairs_are(
    history: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = known(history, capsys)
    (venue,) = scanned(history, capsys, "--venues")["venues"]

    assert (venue["venue"], venue["pairs"], venue["interval_hours"]) == ("hyperliquid", 5, 1)
    assert venue["entered"] == sum(not row["gate"] for row in rows)
    for name in ("mean", "positive", "cost", "capacity"):
        assert venue[name] == median(row[name] for row in rows)
    assert venue["positive"] == 1.0  # synthetic funding never is negative

    assert run(["scan", "--data", str(history), "--venues"]) == 0
    shown = capsys.readouterr().out
    assert "0.015 / 0.045" in shown
    assert run(["scan", "--data", str(history), "--venues", "--pairs", "BTC"]) == BAD_INPUT
