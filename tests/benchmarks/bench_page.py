"""The page in Chromium, and the commands against a running bot: how long a person waits."""

import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from bot.cli.reaching import Running
from bot.control import Control
from bot.web.app import FILES, STATIC
from bot.web.page import page_of
from domain.time import DAY
from tests.benchmarks.bench_speed import spent
from tests.benchmarks.conftest import Figures
from tests.web.bots import PAGE, Shown, many, paper_bot, replace, served
from tests.web.conftest import browser
from tools.terminal_picture import paper_run

__all__ = ["browser"]
SECONDS = 10
FUNDARB = (sys.executable, "-m", "bot.cli.main")
FRAMES = """async (seconds) => {
  const times = [];
  await new Promise((done) => {
    const end = performance.now() + seconds * 1000;
    const next = (now) => { times.push(now); now < end ? requestAnimationFrame(next) : done(); };
    requestAnimationFrame(next);
  });
  return times;
}"""


def test_the_page_weighs(figures: Figures) -> None:
    sizes = {name: (STATIC / file).stat().st_size for name, (file, _) in FILES.items()}
    figures.add(
        "the page, all files",
        f"{sum(sizes.values()) / 1000:.0f} KB",
        floor=f"{(sizes['uPlot.js'] + sizes['uPlot.css']) / 1000:.0f} KB: uPlot",
        bound="200 KB",
    )
    assert sum(sizes.values()) < 200_000


def test_first_paint_and_first_figures(browser: Browser, figures: Figures, tmp_path: Path) -> None:
    paints, drawn = [], []
    with served(Shown(PAGE), tmp_path / "state") as door:
        for _ in range(5):
            context = browser.new_context()
            tab = context.new_page()
            tab.goto(door.link())
            tab.wait_for_selector("#rows .row")
            drawn.append(tab.evaluate("performance.now()"))
            paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
            paints.append(tab.evaluate(paint))
            context.close()
    figures.add(
        "page on loopback, first contentful paint, median of 5 cold loads",
        f"{statistics.median(paints):.0f} ms; figures of the bot after "
        f"{statistics.median(drawn):.0f} ms",
        bound="1 s",
    )
    assert statistics.median(paints) < 1000


@pytest.mark.parametrize("pairs", [6, 200])
def test_frames_while_everything_changes(
    browser: Browser, figures: Figures, tmp_path: Path, pairs: int
) -> None:
    """Every figure of every pair changes with each of the five updates a second."""
    shown = Shown(PAGE)
    step = 0
    stop = threading.Event()

    def change() -> None:
        nonlocal step
        while not stop.wait(0.05):
            step += 1
            shown.page = replace(
                PAGE, snapshot=replace(PAGE.snapshot, pairs=many(pairs, step), time_ns=step)
            )

    changing = threading.Thread(target=change)
    changing.start()
    try:
        with served(shown, tmp_path / "state") as door:
            tab = browser.new_context(viewport={"width": 1360, "height": 900}).new_page()
            tab.goto(door.link())
            tab.wait_for_selector("#rows .row")
            time.sleep(1)
            asked, began = shown.asked, time.perf_counter()
            times = tab.evaluate(FRAMES, SECONDS)
            updates = (shown.asked - asked) / (time.perf_counter() - began)
            tab.context.close()
    finally:
        stop.set()
        changing.join()
    gaps = sorted(after - before for before, after in pairwise(times))
    rate = (len(times) - 1) / (times[-1] - times[0]) * 1000
    figures.add(
        f"page with {pairs} pairs, all figures new at every update, {SECONDS} s in Chromium",
        f"{rate:.0f} frames/s, 99th percentile of a frame {gaps[int(len(gaps) * 0.99)]:.0f} ms, "
        f"longest {gaps[-1]:.0f} ms; {updates:.1f} updates/s",
        bound="30 frames/s, 5 updates/s",
    )
    assert rate >= 30


def best(work: Callable[[], object], count: int = 20) -> tuple[float, float]:
    """Median and worst wall milliseconds."""
    took = []
    for _ in range(count):
        began = time.perf_counter()
        work()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took), max(took)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("bot") / "state"
    with paper_bot(folder, pairs=("SOL", "HYPE", "DOGE", "PURR")):
        yield folder


@pytest.mark.parametrize("question", [("status",), ("why", "SOL"), ("page",)], ids="/".join)
def test_a_running_bot_answers(figures: Figures, running: Path, question: tuple[str, ...]) -> None:
    bot = Running(running)
    median, worst = best(lambda: bot.ask_raw(*question))
    figures.add(
        f"a running paper bot answers `{'/'.join(question)}` through its socket file, 20 times",
        f"median {median:.0f} ms, worst {worst:.0f} ms",
        bound="300 ms",
    )
    assert median < 300


def test_a_running_bot_obeys(figures: Figures, running: Path) -> None:
    bot = Running(running)
    median, worst = best(lambda: bot.tell("pause", "", ""))
    figures.add(
        "a running paper bot has journaled a `pause`, 20 times",
        f"median {median:.0f} ms, worst {worst:.0f} ms",
        bound="300 ms",
    )
    assert median < 300


@pytest.mark.parametrize("line", ["status", "positions", "why SOL", "pause"])
def test_a_command_from_start_to_end(figures: Figures, running: Path, line: str) -> None:
    command = (*FUNDARB, *line.split(), "--state", str(running))
    took, empty = [], []
    for _ in range(7):
        took.append(spent(command))
        empty.append(spent((sys.executable, "-c", "pass")))
    used, least = (min(used for _, used in times) for times in (took, empty))
    figures.add(
        f"`fundarb {line}` of a running bot, whole process, 7 times",
        f"median {statistics.median(wall for wall, _ in took):.2f} s wall; "
        f"least {used:.2f} s processor",
        floor=f"{least:.3f} s processor: an empty program",
        ratio=used / least,
        bound="0.3 s",
        command=f"fundarb {line}",
    )
    assert used < 0.3


def test_a_picture_costs_the_bot(figures: Figures) -> None:
    run = paper_run(2 * DAY)
    control = Control()
    began = time.process_time()
    for _ in range(200):
        control.ask(page_of)
        control.answer(run)
    used = (time.process_time() - began) / 200
    figures.add(
        "one picture of six pairs for the page, in the bot's own thread",
        f"{used * 1000:.2f} ms, five times a second where somebody looks on",
    )
