"""The page in a real Chromium: what a person sees, types and presses."""

import re
from collections.abc import Iterator
from concurrent.futures import Future
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from bot.control import Impossible, Obeyed
from bot.record import Happening
from bot.web.tokens import Scope
from domain.time import MINUTE
from execution.risk.halts import ActiveLimit
from tests.web.bots import (
    CALM,
    EMPTY,
    HALTED,
    NAKED,
    PAGE,
    Door,
    Shown,
    free_port,
    many,
    paper_bot,
    replace,
    served,
    wait_for,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from playwright.sync_api import Page as Tab

pytestmark = [pytest.mark.chromium, pytest.mark.timeout(180)]

HERE = Path(__file__).parent
HOSTILE = "<img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script>"


@pytest.fixture
def tab(browser: "Browser") -> "Iterator[Tab]":
    """A tab in which no script may fail and nothing may be refused by the page's own policy."""
    context = browser.new_context(viewport={"width": 1360, "height": 900})
    context.set_default_timeout(20_000)
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda told: wrong.append(told.text) if "Policy" in told.text else None)
    yield opened
    context.close()
    assert wrong == []


def until(tab: "Tab", selector: str, wanted: str) -> None:
    """Wait for it to be shown. The page's policy lets not even a test's own words be run in it."""
    wait_for(lambda: wanted in text(tab, selector))


def text(tab: "Tab", selector: str) -> str:
    return tab.locator(selector).inner_text()


# --- what is shown --------------------------------------------------------------------------


def test_it_shows_equity_sources_both_legs_funding_liquidation_and_why(
    tab: "Tab", door: Door
) -> None:
    tab.goto(door.link())
    tab.wait_for_selector("#rows .row")

    figures = text(tab, "#figures")
    assert "1,000.94" in figures
    assert "+1.25" in text(tab, "#sources")
    assert "-0.31" in text(tab, "#sources")
    trade, quiet = (row.inner_text() for row in tab.locator("#rows .row").all())
    for shown in ("HYPE#1", "10.01", "-10", "400.40", "+43.8%", "+35.0%", "45.0%", "58", "hold:"):
        assert shown in trade
    assert "BTC" in quiet
    assert "nothing decided yet" in quiet
    assert "HYPE#1 hedge: sell 10 HYPE-PERP at 39.8, filled" in text(tab, "#orders")
    assert "HYPE#1 planned: carry pays" in text(tab, "#happened")
    assert tab.locator(".chart canvas").count() == 2


def test_the_token_leaves_the_address_bar_at_once(tab: "Tab", door: Door) -> None:
    tab.goto(door.link())
    tab.wait_for_selector("#rows .row")

    assert tab.url == f"{door.address}/"
    assert door.token() not in tab.content()
    tab.reload()
    tab.wait_for_selector("#rows .row")
    assert tab.context.cookies() == []
    assert tab.evaluate("localStorage.length") == 0


@pytest.mark.parametrize(
    ("mode", "synthetic", "band"),
    [
        ("paper", True, "PAPER · no real money\nSYNTHETIC MARKET"),
        ("paper", False, "PAPER · no real money"),
        ("testnet", False, "TESTNET · no real money"),
        ("live", False, "LIVE · REAL MONEY"),
    ],
)
def test_the_mode_is_on_every_view_and_in_every_dialog(
    tab: "Tab", door: Door, shown: Shown, mode: str, synthetic: bool, band: str
) -> None:
    shown.page = replace(PAGE, snapshot=replace(CALM, mode=mode, synthetic=synthetic))
    tab.goto(door.link())
    tab.wait_for_selector("#rows .row")
    tab.click("#flatten")

    bands = [found.inner_text() for found in tab.locator(".band").all() if found.is_visible()]

    assert [" ".join(one.split()) for one in bands] == [" ".join(band.split())] * 2
    assert mode.upper() in tab.title()
    tab.keyboard.press("Escape")
    tab.mouse.wheel(0, 5000)
    box = tab.locator("#band").bounding_box()
    assert box is not None
    assert box["y"] == 0


def test_it_is_drawn_again_when_something_changes(tab: "Tab", door: Door, shown: Shown) -> None:
    tab.goto(door.link())
    tab.wait_for_selector("#rows .row")

    shown.page = replace(
        PAGE,
        snapshot=replace(
            CALM,
            equity=Decimal("1234.5"),
            pairs=(replace(CALM.pairs[0], mark=41.0, trade_id="HYPE#2"), CALM.pairs[1]),
        ),
        happened=(*PAGE.happened, Happening(55 * MINUTE, "alarm", "naked_leg: HYPE#2")),
    )

    until(tab, "#figures", "1,234.50")
    assert "HYPE#2" in text(tab, "#rows")
    assert "naked_leg: HYPE#2" in text(tab, "#happened")


def test_where_there_is_nothing_yet_it_says_what_will_come(
    tab: "Tab", door: Door, shown: Shown
) -> None:
    shown.page = EMPTY
    tab.goto(door.link())
    tab.wait_for_selector("#rows .row")

    assert "nothing decided yet" in text(tab, "#rows")
    assert "No order yet" in text(tab, "#orders")
    assert "Nothing has happened yet" in text(tab, "#happened")
    assert "first point" in text(tab, "#equity-chart")
    assert text(tab, "#alarms") == ""


def test_a_halt_a_naked_leg_and_a_mismatch_cannot_be_overlooked(
    tab: "Tab", door: Door, shown: Shown
) -> None:
    shown.page = HALTED
    tab.goto(door.link())
    tab.wait_for_selector(".alarm")

    alarms = text(tab, "#alarms")
    assert "Limit drawdown tripped: nothing is entered" in alarms
    assert "lost 0.11 of the peak" in alarms
    assert "HYPE#1 is not hedged" in alarms
    assert "120.50 for 4 s" in alarms
    assert "Books and venue disagree in 2 places" in alarms
    assert text(tab, "#state") == "halted"
    assert "naked 120.50, 4 s" in text(tab, "#rows")
    assert "halted" in tab.title()


def test_no_news_is_told_as_such_and_news_again_when_it_comes(tab: "Tab", tmp_path: Path) -> None:
    port = free_port()
    with served(Shown(PAGE), tmp_path / "state", port) as door:
        tab.goto(door.link())
        tab.wait_for_selector("#rows .row")
        assert text(tab, "#link") == "live"
    tab.wait_for_selector(".alarm")
    assert "The bot has stopped" in text(tab, "#alarms") or "cannot be reached" in text(
        tab, "#alarms"
    )
    assert text(tab, "#link") == "no connection"
    assert text(tab, "#state") == "not known"
    with served(Shown(PAGE), tmp_path / "state", port):
        until(tab, "#link", "live")
        assert tab.locator(".alarm").count() == 0


def test_without_a_token_it_asks_for_one_and_shows_nothing(tab: "Tab", door: Door) -> None:
    tab.goto(f"{door.address}/")
    tab.wait_for_selector("#login", state="visible")

    assert not tab.locator("main").is_visible()
    tab.fill("#token", "wrong" * 9)
    tab.keyboard.press("Enter")
    until(tab, "#login-why", "not accepted")
    tab.fill("#token", door.token())
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#rows .row")


def test_names_that_strangers_chose_are_text_and_nothing_else(
    tab: "Tab", door: Door, shown: Shown
) -> None:
    bad = replace(CALM.pairs[0], pair=HOSTILE, trade_id=HOSTILE + "#1", reason=HOSTILE)
    order = replace(PAGE.orders[0], instrument=HOSTILE, trade_id=HOSTILE)
    shown.page = replace(
        PAGE,
        snapshot=replace(CALM, pairs=(bad,), venue=HOSTILE),
        orders=(order,),
        happened=(Happening(1, "alarm", HOSTILE),),
        limits=(ActiveLimit(HOSTILE, True, HOSTILE, 1),),
    )
    tab.goto(door.link())
    tab.wait_for_selector("#rows .row")
    tab.click("#flatten")

    assert "hacked" not in tab.title()
    assert (
        tab.locator("#rows img, #alarms img, #orders img, #happened img, dialog img").count() == 0
    )
    assert "onerror" in text(tab, "#rows")


# --- by hand --------------------------------------------------------------------------------


def test_a_pause_needs_one_press_and_tells_what_came_of_it(
    tab: "Tab", door: Door, shown: Shown
) -> None:
    tab.goto(door.link())
    tab.click("#pause")

    until(tab, "#said", "pause: done")
    assert shown.told == [("pause", "", "web")]


class Broken(Shown):
    """A bot that answers a command by nothing, or by a failure of its own."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__(PAGE)
        self.error = error

    def tell(self, command: str, argument: str, actor: str) -> "Future[Obeyed]":
        answer: Future[Obeyed] = Future()
        if self.error is not None:
            answer.set_exception(self.error)
        return answer


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (None, "the bot does not answer: nothing was done"),
        (Impossible("nothing is open"), "nothing is open"),
        (RuntimeError("a defect"), "it failed with status 500: the log of the bot says why"),
    ],
)
def test_a_control_that_fails_says_so_where_it_is_seen(
    tab: "Tab", tmp_path: Path, error: Exception | None, says: str
) -> None:
    with served(Broken(error), tmp_path / "state") as door:
        tab.goto(door.link())
        tab.click("#pause")
        until(tab, "#said", f"Pause: {says}")
        assert tab.locator("#said").get_attribute("role") == "alert"
        assert "alarm" in (tab.locator("#said").get_attribute("class") or "")

        tab.click("#flatten")
        tab.fill("#typed", "flatten paper")
        tab.keyboard.press("Enter")
        until(tab, "#confirm-error", says)
        assert tab.locator("#confirm").is_visible()


def test_a_command_whose_answer_is_lost_is_said_to_be_in_doubt(
    tab: "Tab", door: Door, shown: Shown
) -> None:
    tab.goto(door.link())
    tab.wait_for_selector("#rows .row")
    tab.route("**/api/commands", lambda route: route.abort())
    tab.click("#pause")

    until(tab, "#said", "no answer came, so it may have been done or not")


def test_an_alarm_is_told_to_a_screen_reader_once_and_not_for_each_figure(
    tab: "Tab", door: Door, shown: Shown
) -> None:
    shown.page = HALTED
    tab.goto(door.link())
    tab.wait_for_selector(".alarm")
    tab.evaluate("for (const alarm of document.querySelectorAll('.alarm')) alarm.dataset.old = 1")
    longer = replace(NAKED, naked_seconds=9.0, naked_notional=Decimal(99))
    shown.page = replace(HALTED, snapshot=replace(HALTED.snapshot, pairs=(longer,)))
    until(tab, "#alarms", "99.00 for 9 s")

    assert tab.locator(".alarm[data-old]").count() == tab.locator(".alarm").count() == 3
    assert tab.locator("#alarms").get_attribute("role") == "alert"
    assert tab.locator(".alarm small[aria-live=off]").count() == 3


@pytest.mark.parametrize("verb", ["flatten", "kill"])
def test_what_closes_everything_wants_the_words_typed(
    tab: "Tab", door: Door, shown: Shown, verb: str
) -> None:
    tab.goto(door.link())
    tab.click(f"#{verb}")
    assert "PAPER on simulated" in text(tab, "#confirm-stake")
    assert "HYPE#1: 400.40 USDC a leg" in text(tab, "#confirm-stake")
    tab.keyboard.type(f"{verb} live")
    assert tab.locator("#confirm-go").is_disabled()
    tab.keyboard.press("Enter")
    assert shown.told == []

    tab.fill("#typed", f"{verb} paper")
    tab.keyboard.press("Enter")

    tab.wait_for_selector("#confirm", state="hidden")
    assert shown.told == [(verb, "", "web")]


def test_a_limit_is_reset_from_its_alarm(tab: "Tab", door: Door, shown: Shown) -> None:
    shown.page = HALTED
    tab.goto(door.link())
    tab.click("[data-reset=drawdown]")
    tab.keyboard.type("reset drawdown")
    tab.keyboard.press("Enter")

    wait_for(lambda: shown.told == [("reset", "drawdown", "web")])


def test_who_only_reads_cannot_press_anything(tab: "Tab", door: Door, shown: Shown) -> None:
    shown.page = HALTED
    tab.goto(door.link(Scope.READ))
    tab.wait_for_selector("#rows .row")

    assert all(tab.locator(f"#{name}").is_disabled() for name in ("pause", "flatten", "kill"))
    assert tab.locator("[data-reset]").count() == 0
    assert text(tab, "#scope") == "this link only reads"


def test_everything_is_reached_by_the_keyboard_alone(tab: "Tab", door: Door, shown: Shown) -> None:
    tab.goto(door.link())
    tab.wait_for_selector("#rows .row")
    tab.keyboard.press("/")
    assert tab.evaluate("document.activeElement.id") == "filter"
    tab.keyboard.type("btc")
    wait_for(lambda: tab.locator("#rows .row").count() == 1)
    reached = set()
    tab.evaluate("document.activeElement.blur()")
    for _ in range(25):
        tab.keyboard.press("Tab")
        reached.add(tab.evaluate("document.activeElement.id || document.activeElement.textContent"))

    assert {"pause", "flatten", "kill", "filter", "held", "BTC", "happened", "orders"} <= reached


@pytest.mark.parametrize(("width", "height"), [(360, 740), (390, 844), (768, 1024), (1920, 1080)])
def test_nothing_is_wider_than_the_screen(
    tab: "Tab", door: Door, shown: Shown, width: int, height: int
) -> None:
    shown.page = replace(HALTED, snapshot=replace(HALTED.snapshot, pairs=(NAKED, *many(6))))
    tab.set_viewport_size({"width": width, "height": height})
    tab.goto(door.link())
    tab.wait_for_selector("#rows .row")

    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    smallest = min(
        box["height"]
        for button in tab.locator("nav button:visible").all()
        if (box := button.bounding_box())
    )
    assert smallest >= 34


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(
    browser: "Browser", door: Door, shown: Shown, scheme: Literal["light", "dark"]
) -> None:
    """WCAG AA: a contrast of 4.5 to 1, of every colour that text has here."""
    shown.page = HALTED
    context = browser.new_context(color_scheme=scheme)
    tab = context.new_page()
    tab.goto(door.link())
    tab.wait_for_selector(".alarm")

    worst = tab.evaluate((HERE / "contrast.js").read_text())
    context.close()

    assert {where: ratio for where, ratio in worst.items() if ratio < 4.5} == {}
    assert len(worst) > 10


# --- a real bot -----------------------------------------------------------------------------


def test_a_running_bot_trades_is_explained_and_closed_from_the_page(
    tab: "Tab", tmp_path: Path
) -> None:
    with paper_bot(tmp_path / "bot") as door:
        tab.goto(door.link())
        tab.wait_for_selector("#rows .row")
        until(tab, "#rows", "SOL#1")
        until(tab, "#rows", "holding")
        before = text(tab, "#where")
        wait_for(lambda: text(tab, "#where") != before)

        tab.click("#rows .row button")
        tab.wait_for_selector("#close-pair")
        assert "wrong if" in text(tab, "#detail-body")
        assert re.search(r"enter: |hold: ", text(tab, "#detail-body"))
        tab.click("#close-pair")
        tab.keyboard.type("close SOL")
        tab.keyboard.press("Enter")

        until(tab, "#said", "close SOL: done")
        until(tab, "#happened", "SOL#1 closed")
        assert "close SOL ordered by web" in text(tab, "#happened")
