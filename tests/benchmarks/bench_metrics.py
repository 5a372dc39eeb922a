"""How long Prometheus waits for a large page."""

import time
import urllib.request
from statistics import median

import msgspec

from bot.monitor import Monitor
from domain.instruments import Pair
from tests.benchmarks.conftest import Figures
from tests.example_snapshot import HYPE, SNAPSHOT
from tests.unit.bot.synthetic_run import PAIRS

BOUND_SECONDS = 0.1


def test_a_scrape_of_five_thousand_series(figures: Figures) -> None:
    pairs = [named(number) for number in range(185)]
    monitor = Monitor(0, pairs)
    views = tuple(msgspec.structs.replace(HYPE, pair=pair.name) for pair in pairs)
    monitor.show(msgspec.structs.replace(SNAPSHOT, pairs=views), 1, {"decide": 1})
    walls, used = [], []
    try:
        for _ in range(20):
            began, busy = time.perf_counter(), time.process_time()
            with urllib.request.urlopen(monitor.url, timeout=10) as answer:
                body = answer.read()
            walls.append(time.perf_counter() - began)
            used.append(time.process_time() - busy)
    finally:
        monitor.close()

    series = sum(1 for line in body.splitlines() if not line.startswith(b"#"))
    figures.add(
        f"a scrape of {series:,} series over a socket, median of 20, from request to last byte",
        f"{median(walls) * 1000:.0f} ms wall, {median(used) * 1000:.0f} ms processor",
        bound=f"{BOUND_SECONDS * 1000:.0f} ms wall",
    )
    assert series >= 5000
    assert median(walls) < BOUND_SECONDS


def named(number: int) -> Pair:
    return msgspec.structs.replace(PAIRS[0], name=f"COIN{number}")
