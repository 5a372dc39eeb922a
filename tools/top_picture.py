"""Draws docs/img/top.svg: ``fundarb top`` on a real paper run, the same every time.

The run is the one of ``terminal_picture``. Run it by ``.venv/bin/python -m tools.top_picture
[FILE]`` when the view or the strategy has changed.
"""

import asyncio
import re
import sys
from pathlib import Path

import msgspec

from bot.top import Top
from bot.web.page import Page, page_of
from tools.terminal_picture import DURATION_NS, paper_run

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "img" / "top.svg"
SIZE = (112, 44)


class Still:
    """A bot that is as it is, and obeys nothing."""

    def __init__(self, page: Page) -> None:
        self._body = msgspec.json.encode(page)

    def ask_raw(self, *path: str) -> bytes:
        assert path == ("page",)
        return self._body

    def tell(self, command: str, argument: str, confirm: str) -> dict[str, object]:
        return {"state": "running", "told": (command, argument, confirm)}


async def drawn(page: Page, size: tuple[int, int] = SIZE, *keys: str) -> str:
    """The screen as a file of its own: no font or anything else is fetched to show it."""
    top = Top(Still(page), seconds=3600.0)
    async with top.run_test(size=size) as pilot:
        await top.workers.wait_for_complete()
        await pilot.press(*keys)
        await top.workers.wait_for_complete()
        await pilot.pause()
        svg = top.export_screenshot(title="fundarb top")
    svg = re.sub(r"@font-face \{.*?\}\n|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code", "ui-monospace, Menlo, Consolas, DejaVu Sans Mono")
    svg = re.sub(r"terminal-\d+-", "top-", svg)
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE
    page = page_of(paper_run(DURATION_NS))
    target.write_text(asyncio.run(drawn(page)), encoding="utf-8")
    print(target)


if __name__ == "__main__":
    main()
