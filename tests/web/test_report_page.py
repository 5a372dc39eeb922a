"""The page of a run in a real Chromium: on a phone and on a desk, by day and by night, on paper."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from bot.report_page.page import page
from tests.unit.bot.report_page.pages import LongRun, traded

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from playwright.sync_api import Page as Tab

pytestmark = [pytest.mark.chromium, pytest.mark.timeout(180)]

HERE = Path(__file__).parent
HOSTILE = "<img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script>"
BEYOND = """() => [...document.querySelectorAll('main *')]
  .filter(e => e.getClientRects().length && !e.closest('svg') && !e.closest('caption'))
  .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
  .map(e => e.tagName + ' ' + e.textContent.slice(0, 40))"""
LONG_WORD = "x" * 400


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the generated market, as it is written to a file."""
    target = tmp_path_factory.mktemp("report") / "run.html"
    target.write_text(page(traded()), encoding="utf-8")
    return target


@pytest.fixture(params=[(1280, "light"), (1280, "dark"), (360, "light"), (360, "dark")], ids=str)
def tab(browser: "Browser", request: pytest.FixtureRequest) -> "Iterator[Tab]":
    """A tab in which nothing may be complained of and nothing fetched but the file itself."""
    width, scheme = request.param
    yield from _tab(browser, width, scheme)


def _tab(
    browser: "Browser", width: int, scheme: Literal["light", "dark"] = "light"
) -> "Iterator[Tab]":
    context = browser.new_context(viewport={"width": width, "height": 780}, color_scheme=scheme)
    opened = context.new_page()
    wrong: list[str] = []
    fetched: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda told: wrong.append(told.text))
    opened.on("request", lambda asked: fetched.append(asked.url))
    yield opened
    context.close()
    assert wrong == []
    assert [url.partition(":")[0] for url in fetched] == ["file"]


def unfolded(tab: "Tab", target: Path) -> None:
    """Every part that is folded away is opened, as a reader would."""
    tab.goto(target.as_uri())
    tab.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")


def test_it_is_readable_at_any_width_and_in_the_dark(tab: "Tab", written: Path) -> None:
    unfolded(tab, written)
    root = "document.documentElement"

    wide, seen = tab.evaluate(f"[{root}.scrollWidth, {root}.clientWidth]")
    beyond = tab.evaluate(BEYOND)
    contrast = tab.evaluate((HERE / "contrast.js").read_text("utf-8"))

    assert (wide, beyond) == (seen, [])
    assert {name: ratio for name, ratio in contrast.items() if ratio < 4.5} == {}
    assert len(contrast) > 10


def test_result_mode_and_market_are_seen_at_once_on_a_phone_and_stay(
    browser: "Browser", written: Path
) -> None:
    for tab in _tab(browser, 360):
        tab.goto(written.as_uri())
        lead = tab.locator(".lead").bounding_box()
        assert lead is not None
        assert lead["y"] + lead["height"] < 780
        assert "Earned" in tab.locator(".lead").inner_text()
        assert "SYNTHETIC" in tab.title()

        tab.mouse.wheel(0, 4_000)
        tab.wait_for_timeout(100)
        box = tab.locator(".band").bounding_box()
        assert box is not None
        assert box["y"] == 0
        assert "SYNTHETIC MARKET" in tab.locator(".band").inner_text()


def test_folded_parts_open_by_keyboard(browser: "Browser", written: Path) -> None:
    for tab in _tab(browser, 1280):
        tab.goto(written.as_uri())
        story = tab.locator("#trades details").first
        assert not story.locator("dl").is_visible()

        story.locator("summary").focus()
        tab.keyboard.press("Enter")

        assert story.locator("dl").is_visible()


def test_every_figure_is_there_without_scripts(browser: "Browser", written: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    quiet = context.new_page()
    quiet.goto(written.as_uri())
    texts = quiet.locator("body").text_content()
    context.close()

    for tab in _tab(browser, 1280):
        tab.goto(written.as_uri())
        assert tab.locator("body").text_content() == texts
        assert tab.locator(".plot svg .line").count() >= 8


def test_on_paper_everything_is_unfolded(browser: "Browser", written: Path) -> None:
    for tab in _tab(browser, 800, "dark"):
        tab.goto(written.as_uri())
        tab.emulate_media(media="print")

        shown = tab.locator("#trades details dl").first.bounding_box()
        back = tab.locator("body").evaluate("e => getComputedStyle(e).backgroundColor")

        assert shown is not None
        assert shown["height"] > 50
        assert back == "rgb(255, 255, 255)"


@pytest.mark.parametrize("said", [HOSTILE, LONG_WORD], ids=["markup", "one long word"])
def test_whatever_a_reason_says_it_stays_text_inside_the_page(
    browser: "Browser", tmp_path: Path, said: str
) -> None:
    target = tmp_path / "run.html"
    target.write_text(page(LongRun(hours=60, every=24, say=said).material()), encoding="utf-8")

    for tab in _tab(browser, 360):
        unfolded(tab, target)
        tab.wait_for_timeout(200)
        assert "hacked" not in tab.title()
        assert tab.locator("img").count() == 0
        assert tab.evaluate("document.documentElement.scrollWidth") == 360
