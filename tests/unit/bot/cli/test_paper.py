"""``fundarb paper`` and ``backtest`` as commands: what they print, write and resume."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

Fundarb = Callable[..., Any]
SHORT = "paper --speed max --for 2h --no-web --pairs SOL --state state"


def test_standard_output_is_the_json_and_nothing_else(fundarb: Fundarb) -> None:
    answer = fundarb(*SHORT.split(), "--json", "-")

    report = json.loads(answer.out)
    assert answer.code == 0
    assert (report["mode"], report["synthetic"]) == ("paper", True)
    assert report["simulated_seconds"] == 7200


def test_a_run_says_that_its_market_is_made_up_and_which_limits_are_in_force(
    fundarb: Fundarb,
) -> None:
    answer = fundarb(*SHORT.split())

    assert '"synthetic":true' in answer.err
    assert "SYNTHETIC MARKET" in answer.out
    assert "1.0% of equity at risk a trade, leverage at most 3" in answer.err


def test_a_finished_run_tells_its_trades(finished: Path) -> None:
    report = json.loads((finished / "report.json").read_text(encoding="utf-8"))

    assert report["pairs"]
    assert all(trade["entry_reason"] for trade in report["pairs"])


def test_the_export_holds_what_the_result_was_made_of(finished: Path) -> None:
    report = json.loads((finished / "report.json").read_text(encoding="utf-8"))
    payments = pl.read_parquet(finished / "tables" / "funding.parquet")["payment"]

    assert sum(map(Decimal, payments)) == Decimal(report["pnl"]["funding"])


def test_the_page_has_the_figures_of_the_result(finished: Path) -> None:
    report = json.loads((finished / "report.json").read_text(encoding="utf-8"))
    page = (finished / "report.html").read_text(encoding="utf-8")

    assert page.startswith("<!doctype html>")
    assert f'title="{report["pnl"]["total"]}"' in page
    assert report["digest"] in page
    assert all(trade["trade"] in page for trade in report["pairs"])


def test_a_page_wants_a_file(fundarb: Fundarb) -> None:
    for target, said in (("-", "a page needs a file"), ("nowhere/x.html", "no directory")):
        answer = fundarb(*SHORT.split(), "--report", target)

        assert answer.code == 2
        assert f"error: --report: {said}" in answer.err


def test_the_same_command_goes_on_where_it_stopped(fundarb: Fundarb) -> None:
    longer = SHORT.replace("2h", "3h")
    first = json.loads(fundarb(*SHORT.split(), "--json", "-").out)

    second = json.loads(fundarb(*longer.split(), "--json", "-").out)

    assert second["started"] == first["started"]
    assert second["simulated_seconds"] == 10_800
    assert second["integrity"]["journal_events"] > first["integrity"]["journal_events"]


def test_another_run_is_refused_its_state(fundarb: Fundarb) -> None:
    assert fundarb(*SHORT.split()).code == 0

    for more, said in (
        ("--capital 5000", "capital 10000, not 5000"),
        ("--pairs BTC,ETH", "pairs SOL, not BTC,ETH"),
    ):
        answer = fundarb(*SHORT.split(), *more.split())

        assert answer.code == 2
        assert f"error: the state directory belongs to a run with {said}: ask" in answer.err
        assert answer.err.count("\n") == 1


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_stops_cleanly_and_the_same_command_resumes(
    tmp_path: Path, environment: dict[str, str], fundarb: Fundarb
) -> None:
    command = [sys.executable, "-m", "bot.cli.main", *SHORT.replace("max", "3600").split()]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stderr is not None
    process.stderr.readline()  # the first line says that it has begun
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)

    assert process.returncode == 130
    assert b"the same command goes on from there" in told
    assert b"Traceback" not in told
    assert json.loads(fundarb("status", "--state", "state", "--json", "-").out)["mode"] == "paper"
    assert fundarb(*SHORT.split()).code == 0


def test_a_taken_port_costs_the_metrics_page_and_not_the_run(
    fundarb: Fundarb, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("FUNDARB_METRICS__PORT", str(taken.getsockname()[1]))

        answer = fundarb(*SHORT.replace("--no-web", "").split())

    assert answer.code == 0
    assert "is taken" in answer.err


def test_a_backtest_keeps_nothing_and_says_what_it_read(
    fundarb: Fundarb, shared_data: Path
) -> None:
    line = f"backtest --data {shared_data} --pairs HYPE --from 2025-02-01 --to 2025-02-02 --bar 1h"

    answer = fundarb(*line.split(), "--json", "-")

    report = json.loads(answer.out)
    assert (report["mode"], report["synthetic"]) == ("backtest", False)
    assert report["simulated_seconds"] == 86_400
    assert not Path("state").exists()
