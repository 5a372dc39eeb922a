"""The full engine over a year of twenty pairs, and a thousand configurations, beside plain loops.

All history is SYNTHETIC. The plain loop knows nothing but funding and one fixed cost, so it is no
rival: it is what a study without books, orders, margin and accounts would cost on the same data.
"""

import os
import resource
import shutil
import time
from collections.abc import Sequence
from itertools import islice, pairwise
from pathlib import Path

import polars as pl
import pytest

from bot import app, config_files
from bot.app import RunRequest
from bot.backtest.bars import Window
from bot.settings import load
from bot.sweep.space import Dimension, points
from bot.sweep.sweep import SweepRequest, sweep
from bot.sweep.windows import Plan
from domain.time import DAY, parse_instant
from tests.benchmarks.conftest import Figures
from tests.benchmarks.synthetic_history import START, write_history

HOURS = 24 * 365
COINS = {f"COIN{number}": 30.0 for number in range(1, 21)}
CONFIGURATIONS, WINDOW_DAYS = 1_000, 5
HALF_LIFE = Dimension("strategy.funding_half_life_hours", 4, 48, log=True)
HURDLE = Dimension("strategy.hurdle_apr", 0.005, 0.05)


def plain_loop(rates: Sequence[Sequence[float]], half_life: float, hurdle: float) -> float:
    """Hold while the decaying mean of funding pays for the way in and out; net, of notional."""
    weight, cost = 1 - 0.5 ** (1 / half_life), 0.0015
    leave = hurdle / 8760
    enter, net = leave + cost / 360, 0.0
    for settled in rates:
        mean, held = 0.0, False
        for rate in settled:
            if held:
                net += rate
            mean += weight * (rate - mean)
            if held and mean < leave:
                held, net = False, net - cost
            elif not held and mean > enter:
                held, net = True, net - cost
    return net


def rates_of(
    history: Path, symbols: Sequence[str], start_ns: int, end_ns: int
) -> list[list[float]]:
    """Settled rates of each perp, in order."""
    (file,) = (history / "funding").glob("*.parquet")
    inside = pl.col("ts_ms").is_between(start_ns // 1_000_000 + 1, end_ns // 1_000_000)
    rows = pl.read_parquet(file).filter(inside).sort("ts_ms")
    return [rows.filter(pl.col("symbol") == symbol)["rate"].to_list() for symbol in symbols]


def request(history: Path, venue: str, pairs: tuple[str, ...]) -> RunRequest:
    settings = load().settings
    return RunRequest(
        mode="backtest", feed="replay", data=history, venue=venue, pairs=pairs, start_ns=None,
        end_ns=None, duration_ns=None, bar="1h", capital=settings.account.capital, speed=None,
        seed=1, settings=settings, state=None, metrics_port=None,
    )  # fmt: skip


@pytest.fixture
def twenty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A year of twenty invented coins, each listed as HYPE is."""
    config = tmp_path / "config"
    shutil.copytree(config_files.config_file("default.toml").parent, config)
    listed = (config / "venues" / "hyperliquid.toml").read_text()
    head, *rows = listed.replace("[[spot]]", "[[perp]]#spot").split("[[perp]]")
    text = head
    for row in (row for row in rows if 'base = "HYPE"' in row):
        kind = "spot" if row.startswith("#spot") else "perp"
        for coin in COINS:
            text += f"[[{kind}]]{row.removeprefix('#spot').replace('HYPE', coin)}"
    (config / "venues" / "invented.toml").write_text(text)
    pairs = (f'{c} = {{ spot = "{c}/USDC", perp = "{c}-PERP" }}' for c in COINS)
    symbols = (config / "symbols.toml").read_text()
    (config / "symbols.toml").write_text(f"{symbols}\n[invented]\n" + "\n".join(pairs))
    monkeypatch.setattr(config_files, "_CHECKOUT", config)
    write_history(tmp_path / "history", HOURS, venue="invented", prices=COINS)
    return tmp_path / "history"


def test_a_year_of_twenty_pairs(twenty: Path, figures: Figures) -> None:
    began, busy = time.perf_counter(), time.process_time()
    result = app.run(request(twenty, "invented", tuple(COINS)), None, lambda: False).report
    wall, used = time.perf_counter() - began, time.process_time() - busy
    assert result["integrity"]["violations"] == []
    assert result["pairs"]

    start_ns = parse_instant(START)
    rates = rates_of(twenty, tuple(COINS), start_ns, start_ns + HOURS * DAY // 24)
    assert [len(settled) for settled in rates] == [HOURS] * 20
    began = time.process_time()
    plain_loop(rates, 16, 0.01)
    floor = time.process_time() - began
    figures.add(
        "backtest, 20 pairs x 1 year of hourly bars (synthetic), full engine",
        f"{wall:.0f} s wall, {used:.0f} s processor, {20 * HOURS / used:,.0f} pair-hours/s",
        floor=f"{floor * 1000:.0f} ms: plain loop over the same rates, hold or not",
        ratio=used / floor,
        command='make bench ARGS="-k twenty_pairs"',
    )


def test_a_thousand_configurations(figures: Figures, tmp_path: Path) -> None:
    """Run to the end, nothing extrapolated: two windows each, and a sealed one that is not read."""
    write_history(tmp_path / "history", 24 * WINDOW_DAYS * 3)
    start_ns = parse_instant(START)
    edges = [start_ns + k * WINDOW_DAYS * DAY for k in range(4)]
    jobs = os.cpu_count() or 1
    asked = SweepRequest(
        run=request(tmp_path / "history", "hyperliquid", ("HYPE",)),
        space=(HALF_LIFE, HURDLE),
        plan=Plan(tuple(Window(a, b) for a, b in pairwise(edges)), train=1),
        trials=CONFIGURATIONS,
        jobs=jobs,
        directory=tmp_path / "study",
        open_sealed=False,
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began, busy = time.perf_counter(), time.process_time()
    result = sweep(asked, lambda _done, _of: None, lambda: False)
    wall, here = time.perf_counter() - began, time.process_time() - busy
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = here + after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert sum(len(one.outcomes) for one in result.tried) == 2 * CONFIGURATIONS

    rates = rates_of(tmp_path / "history", ("HYPE",), edges[0], edges[2])
    nowhere = {HALF_LIFE.key: 0.0, HURDLE.key: 0.0}
    began = time.process_time()
    for values in islice(points(asked.space, 1, nowhere), CONFIGURATIONS):
        plain_loop(rates, values[HALF_LIFE.key], values[HURDLE.key])
    floor = time.process_time() - began
    hours = CONFIGURATIONS * 2 * WINDOW_DAYS * 24
    figures.add(
        f"sweep, {CONFIGURATIONS:,} configurations x 2 windows of {WINDOW_DAYS} days x 1 pair of "
        f"hourly bars (synthetic), {jobs} processes, to the end",
        f"{wall:.0f} s wall, {used:.0f} s processor, {hours / used:,.0f} pair-hours/s",
        floor=f"{floor * 1000:.0f} ms: plain loop over the same rates, hold or not",
        ratio=used / floor,
        command='make bench ARGS="-k thousand_configurations"',
    )
