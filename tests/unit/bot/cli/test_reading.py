"""``status``, ``positions``, ``why`` and ``ledger``: all from a finished run's journal."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

Fundarb = Callable[..., Any]


def read(fundarb: Fundarb, line: str, finished: Path) -> dict[str, Any]:
    answer = fundarb(*line.split(), "--state", str(finished / "state"), "--json", "-")
    assert (answer.code, answer.err) == (0, "")
    told: dict[str, Any] = json.loads(answer.out)
    return told


def shown(fundarb: Fundarb, line: str, finished: Path) -> str:
    answer = fundarb(*line.split(), "--state", str(finished / "state"))
    assert (answer.code, answer.err) == (0, "")
    text: str = answer.out
    return text


@pytest.fixture
def report(finished: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((finished / "report.json").read_text(encoding="utf-8"))
    return told


def test_the_status_agrees_with_the_report_to_the_last_digit(
    fundarb: Fundarb, finished: Path, report: dict[str, Any]
) -> None:
    told = read(fundarb, "status", finished)

    assert told["equity"] == report["equity"]["end"]
    assert told["pnl"] == report["pnl"]
    assert told["virtual_time"] == report["ended"]
    assert told["journal_events"] == report["integrity"]["journal_events"]
    assert told["mode"] == "paper"


def test_the_status_names_every_pair_with_its_last_decision(
    fundarb: Fundarb, finished: Path
) -> None:
    told = read(fundarb, "status", finished)
    text = shown(fundarb, "status", finished)

    for pair in told["pairs"]:
        assert pair["decision"]["reason"].split(":")[0] in text
        assert (pair["trade"] or pair["pair"]) in text
    assert "SYNTHETIC MARKET" in text


def test_positions_are_what_the_report_says_is_open(
    fundarb: Fundarb, finished: Path, report: dict[str, Any]
) -> None:
    held: dict[str, Decimal] = {}
    for leg in read(fundarb, "positions", finished)["positions"]:
        held[leg["instrument"]] = held.get(leg["instrument"], Decimal(0)) + Decimal(leg["quantity"])

    assert held == {leg["instrument"]: Decimal(leg["quantity"]) for leg in report["open"]}
    assert all(name in shown(fundarb, "positions", finished) for name in held)


def test_every_trade_of_the_report_can_be_explained(
    fundarb: Fundarb, finished: Path, report: dict[str, Any]
) -> None:
    for trade in report["pairs"]:
        told = read(fundarb, f"why {trade['trade']}", finished)
        assert told["pnl"] == trade["pnl"]
        assert told["entry_reason"] == trade["entry_reason"]
        assert told["checklist"]["thesis"]
        assert told["checklist"]["invalidation"]
        funded = sum((Decimal(paid["payment"]) for paid in told["funding"]), Decimal(0))
        assert funded == Decimal(trade["pnl"]["funding"])
        assert any(order["fills"] for order in told["orders"])


def test_a_trade_is_told_from_checklist_to_result(
    fundarb: Fundarb, finished: Path, report: dict[str, Any]
) -> None:
    trade = report["pairs"][0]

    text = shown(fundarb, f"why {trade['trade'].lower()}", finished)

    for heading in ("Before the trade", "thesis", "wrong if", "at risk", "liquidation at"):
        assert heading in text
    assert text.index("What happened") < text.index("maker: ") < text.index("Result")


def test_every_pair_is_explained_traded_or_not(
    fundarb: Fundarb, finished: Path, report: dict[str, Any]
) -> None:
    for pair in ("SOL", "DOGE"):
        told = read(fundarb, f"why {pair}", finished)
        text = shown(fundarb, f"why {pair}", finished)

        assert [trade["trade"] for trade in told["trades"]] == [
            trade["trade"] for trade in report["pairs"] if trade["pair"] == pair
        ]
        assert told["decisions"][-1]["reason"] in " ".join(text.split())


def test_an_unknown_name_is_answered_with_those_there_are(fundarb: Fundarb, finished: Path) -> None:
    answer = fundarb("why", "NOSUCH", "--state", str(finished / "state"))

    assert answer.code == 2
    assert "there are SOL, DOGE" in answer.err


def test_the_only_run_below_a_directory_is_found(fundarb: Fundarb, finished: Path) -> None:
    answer = fundarb("status", "--state", str(finished))

    assert answer.code == 0


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_the_books_are_exported_in_either_form(fundarb: Fundarb, finished: Path, form: str) -> None:
    line = f"ledger export --to books {'--csv' if form == 'csv' else ''}"

    told = read(fundarb, line, finished)

    files = {Path(name).name for name in told["files"]}
    assert {f"fills.{form}", f"funding.{form}", f"equity.{form}", f"decisions.{form}"} <= files
    assert all(Path(name).stat().st_size for name in told["files"])


def test_reading_changes_nothing(fundarb: Fundarb, finished: Path) -> None:
    journal = finished / "state" / "journal.sqlite"
    before = journal.read_bytes()

    shown(fundarb, "status", finished)
    shown(fundarb, "positions", finished)

    assert journal.read_bytes() == before


def test_a_damaged_journal_is_told_in_one_line(fundarb: Fundarb, tmp_path: Path) -> None:
    Path("state").mkdir()
    Path("state/journal.sqlite").write_bytes(b"no database at all, but long enough" * 100)

    answer = fundarb("status", "--state", "state")

    assert answer.code == 2
    assert "damaged" in answer.err
    assert answer.err.count("\n") == 1
