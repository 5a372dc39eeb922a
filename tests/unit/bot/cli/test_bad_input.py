"""Whatever is wrong with what was asked: one clear line, exit code 2, nothing lost."""

import os
from pathlib import Path

import polars as pl
import pytest

from bot.cli.main import run

HOUR_MS = 3_600_000
START_MS = 1_735_689_600_000


def bars(path: Path, count: int = 200, lost: range = range(0), **columns: list[float]) -> None:
    """Hourly bars at 20, without the ``lost`` ones; ``columns`` replace what is written."""
    kept = [k for k in range(count) if k not in lost]
    table: dict[str, list[float] | list[int]] = {
        "ts_ms": [START_MS + k * HOUR_MS for k in kept],
        "open": [20.0] * len(kept),
        "high": [20.1] * len(kept),
        "low": [19.9] * len(kept),
        "close": [20.0] * len(kept),
        "volume": [1e5] * len(kept),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(table | columns).write_parquet(path)


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """A small synthetic history of one pair: two hundred hours at a constant price."""
    root = tmp_path / "data"
    bars(root / "prices/hyperliquid/spot/HYPE_1h.parquet")
    bars(root / "prices/hyperliquid/perp/HYPE_1h.parquet")
    (root / "funding").mkdir()
    pl.DataFrame(
        {
            "ts_ms": [START_MS + k * HOUR_MS for k in range(-100, 200)],
            "symbol": ["HYPE"] * 300,
            "rate": [0.00002] * 300,
            "interval_hours": [1] * 300,
        }
    ).write_parquet(root / "funding/hyperliquid_1h.parquet")
    return root


def told(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line on standard error of a command that must end with exit code 2."""
    code = run(words)
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if not line.startswith("{")]
    assert (code, len(lines)) == (2, 1), captured.err
    assert lines[0].startswith("error: ")
    assert "Traceback" not in captured.err
    return lines[0]


def backtest(history: Path) -> tuple[str, ...]:
    return ("backtest", "--data", str(history), "--pairs", "HYPE")


def test_good_input_is_run(history: Path) -> None:
    assert run([*backtest(history), "--json", os.devnull]) == 0


def test_a_gap_in_the_bars(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bars(history / "prices/hyperliquid/perp/HYPE_1h.parquet", lost=range(50, 60))
    line = told(capsys, *backtest(history))
    assert "HYPE-PERP" in line
    assert "10 missing" in line
    assert run([*backtest(history), "--allow-gaps", "--json", os.devnull]) == 0


def test_a_missing_column(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = history / "prices/hyperliquid/perp/HYPE_1h.parquet"
    pl.read_parquet(path).drop("close").write_parquet(path)
    assert "close" in told(capsys, *backtest(history))


def test_a_corrupt_file(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = history / "prices/hyperliquid/spot/HYPE_1h.parquet"
    path.write_bytes(path.read_bytes()[:200])
    assert "HYPE_1h.parquet" in told(capsys, *backtest(history))


def test_a_directory_without_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert str(tmp_path) in told(capsys, *backtest(tmp_path))


def test_without_pairs_those_traded_by_default_are_meant(
    history: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = told(capsys, "backtest", "--data", str(history))
    assert "no spot bars of UBTC/USDC" in line
    assert "or name other pairs by --pairs" in line


def test_a_venue_that_is_not_there_is_told_as_such(
    history: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = told(capsys, "backtest", "--data", str(history), "--venue", "kraken")
    assert "venue 'kraken' is not configured" in line


def test_a_directory_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nowhere" in told(capsys, *backtest(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("[risk]\nleverage_cup = 3\n", "leverage_cap"),
        ("[risk]\nleverage_cap = -3\n", "leverage_cap"),
        ("[strategy]\nhorizon_hours = 'long'\n", "horizon_hours"),
        ("[risk\n", "not valid TOML"),
    ],
)
def test_settings_that_cannot_be_meant(
    section: str, said: str, history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "mine.toml"
    config.write_text(section)
    assert said in told(capsys, *backtest(history), "--config", str(config))


@pytest.mark.parametrize(
    "words",
    [
        ("--capital", "-5"),
        ("--capital", "nan"),
        ("--bar", "7m"),
        ("--from", "yesterday"),
        ("--pairs", "NOPE"),
        ("--seed", "1.5"),
        ("--from", "2025-01-05", "--to", "2025-01-04"),
    ],
)
def test_options_that_cannot_be_meant(
    words: tuple[str, ...], history: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words[-1].split("-")[0] in told(capsys, *backtest(history), *words)


def test_a_negative_size(capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        "calc",
        "size",
        "--equity",
        "-1",
        "--risk",
        "0.01",
        "--stop",
        "0.05",
        "--leverage",
        "2",
    )
    assert "equity" in told(capsys, *words)


def test_a_state_directory_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A file in its way refuses everyone; a mode would not refuse root.
    (tmp_path / "taken").write_text("")
    words = ("paper", "--for", "1h", "--speed", "max", "--no-web", "--state")
    told(capsys, *words, str(tmp_path / "taken" / "state"))


def test_another_runs_state_is_left_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("paper", "--for", "1h", "--speed", "max", "--no-web", "--state", str(tmp_path / "s"))
    assert run(words) == 0
    capsys.readouterr()
    before = (tmp_path / "s" / "journal.sqlite").read_bytes()
    assert "seed 1, not 2" in told(capsys, *words, "--seed", "2")
    assert "capital" in told(capsys, *words, "--capital", "500")
    assert (tmp_path / "s" / "journal.sqlite").read_bytes() == before
    assert run([*words[:2], "2h", *words[3:]]) == 0


def test_a_window_that_the_history_does_not_fill_is_told_of(
    history: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [*backtest(history), "--from", "2024-12-01", "--to", "2025-03-01", "--json", os.devnull]

    assert run(line) == 0
    told = capsys.readouterr().err
    assert "warning: the history begins on 2025-01-01, and the run with it" in told
    assert "warning: the history ends on 2025-01-09, and the run with it" in told
