"""``fundarb top``: what is on the screen, and what its keys ask for."""

from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from bot.cli.errors import CommandError
from bot.top import Confirm, Top
from tests.web.bots import PAGE, replace
from tools.top_picture import drawn

SNAPSHOT = Path(__file__).parent / "top.svg"


class Bot:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.page = PAGE
        self.gone = False
        self.told: list[tuple[str, str, str]] = []

    def ask_raw(self, *path: str) -> bytes:
        if self.gone:
            raise CommandError("no bot is running on 'state'")
        return msgspec.json.encode(self.page)

    def tell(self, command: str, argument: str, confirm: str) -> dict[str, object]:
        self.told.append((command, argument, confirm))
        return {"state": "paused"}


def shown(top: Top, name: str) -> str:
    return str(top.query_one(name, Static).render())


async def settled(top: Top, pilot: Pilot[None]) -> None:
    await top.workers.wait_for_complete()
    await pilot.pause()


async def test_the_screen_is_as_it_was_drawn_before() -> None:
    svg = await drawn(PAGE, (100, 36))

    if not SNAPSHOT.exists():  # remove it to have it drawn anew, and look at the difference
        SNAPSHOT.write_text(svg, encoding="utf-8")
    assert svg == SNAPSHOT.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("mode", "stakes"),
    [("live", "REAL MONEY"), ("testnet", "no real money"), ("paper", "no real money")],
)
async def test_the_mode_is_in_the_first_line(mode: str, stakes: str) -> None:
    bot = Bot()
    bot.page = replace(PAGE, snapshot=replace(PAGE.snapshot, mode=mode, synthetic=False))
    top = Top(bot, seconds=3600.0)
    async with top.run_test() as pilot:
        await settled(top, pilot)

        assert shown(top, "#band") == f"{mode.upper()}  ·  {stakes}"
        assert top.query_one("#band").has_class(mode)


async def test_a_pause_needs_one_key_and_tells_what_came_of_it() -> None:
    bot = Bot()
    top = Top(bot, seconds=3600.0)
    async with top.run_test() as pilot:
        await settled(top, pilot)
        await pilot.press("p")
        await settled(top, pilot)

        assert bot.told == [("pause", "", "")]
        assert shown(top, "#said") == "pause: done, the bot is paused"


@pytest.mark.parametrize(("key", "verb"), [("r", "resume"), ("f", "flatten"), ("k", "kill")])
async def test_whatever_else_is_told_is_typed_first(key: str, verb: str) -> None:
    bot = Bot()
    top = Top(bot, seconds=3600.0)
    async with top.run_test() as pilot:
        await settled(top, pilot)
        await pilot.press(key)
        await pilot.pause()
        assert isinstance(top.screen, Confirm)
        assert bot.told == []
        await pilot.press(*verb, "space", *"paper", "enter")
        await pilot.pause()
        await settled(top, pilot)

        assert bot.told == [(verb, "", f"{verb} paper")]


async def test_escape_tells_nothing() -> None:
    bot = Bot()
    top = Top(bot, seconds=3600.0)
    async with top.run_test() as pilot:
        await settled(top, pilot)
        await pilot.press("k", "escape")
        await settled(top, pilot)

        assert not isinstance(top.screen, Confirm)
        assert bot.told == []


async def test_no_news_is_told_as_such_and_news_again_when_it_comes() -> None:
    bot = Bot()
    bot.gone = True
    top = Top(bot, seconds=3600.0)
    async with top.run_test() as pilot:
        await settled(top, pilot)
        assert shown(top, "#said") == "no news: no bot is running on 'state'"

        bot.gone = False
        top.refresh_page()
        await settled(top, pilot)
        assert shown(top, "#said") == ""
        assert shown(top, "#band").startswith("PAPER")
