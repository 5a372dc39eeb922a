"""Takes docs/img/web-*.png: the page of a real paper run, in Chromium (tools/install_chromium.sh).

The run is in this process: the generated market of seed 1, default settings, six simulated days.
Run it by ``.venv/bin/python -m tools.web_pictures [FOLDER]`` when the page has changed.
"""

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from playwright.sync_api import Browser, ViewportSize, sync_playwright

from bot.control import Control
from bot.run import Run
from bot.settings import Web
from bot.web.serve import serving
from bot.web.tokens import Scope, Tokens
from domain.time import HOUR, MINUTE
from tools.terminal_picture import DURATION_NS, paper_run

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "img"
CHROMIUM = ROOT / ".venv" / "chromium" / "chromium"
WIDE: ViewportSize = {"width": 1280, "height": 1060}
PHONE: ViewportSize = {"width": 390, "height": 844}


@contextmanager
def shown(run: Run, control: Control) -> Iterator[str]:
    """The link to a page of this run, which stands still but for what it is told."""
    stop = threading.Event()

    def answer() -> None:
        while not stop.wait(0.01):
            control.answer(run)

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with TemporaryDirectory() as folder:
        state = Path(folder)
        with serving(control, state, Web(port=port), print) as address:
            answering = threading.Thread(target=answer)
            answering.start()
            yield f"{address}/#token={Tokens(state).of(Scope.CONTROL)}"
            stop.set()
            answering.join()


def picture(
    browser: Browser, link: str, target: Path, scheme: Literal["light", "dark"], size: ViewportSize
) -> None:
    """One view of the page, as much of it as the screen shows."""
    context = browser.new_context(color_scheme=scheme, viewport=size)
    tab = context.new_page()
    tab.goto(link)
    tab.wait_for_selector(".chart canvas")
    tab.wait_for_timeout(500)
    tab.screenshot(path=target)
    print(target)
    context.close()


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURES
    run, control = paper_run(DURATION_NS), Control()
    with sync_playwright() as playwright, shown(run, control) as link:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        picture(browser, link, folder / "web-light.png", "light", WIDE)
        picture(browser, link, folder / "web-phone.png", "dark", PHONE)
        control.tell("kill", "", "terminal:alice").result()
        # In the thread that answers: nobody else may touch the run.
        control.ask(lambda _: run.advance(run.venue.now_ns + 10 * MINUTE)).result()
        control.ask(lambda _: run.advance(run.venue.now_ns + HOUR)).result()
        picture(browser, link, folder / "web-halted.png", "dark", WIDE)
        browser.close()


if __name__ == "__main__":
    main()
