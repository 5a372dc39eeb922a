"""A hostile page in the same Chromium tries what such pages try, and gets nothing."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.web.bots import Door, Shown

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HERE = Path(__file__).parent
pytestmark = [pytest.mark.chromium, pytest.mark.timeout(120)]


class _Blank(BaseHTTPRequestHandler):
    """A page of another origin, on which the attack runs."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>harmless</title><body></body>")

    def log_message(self, *_: Any) -> None:
        """Nothing is said of it."""


@pytest.fixture
def elsewhere() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Blank) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f":{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("site", ["http://127.0.0.1", "http://evil.test"])
def test_a_page_of_another_origin_gets_nothing(
    browser: "Browser", door: Door, shown: Shown, elsewhere: str, site: str
) -> None:
    context = browser.new_context()
    tab = context.new_page()
    tab.goto(site + elsewhere)

    found = tab.evaluate((HERE / "attack.js").read_text(), [door.address, door.token()])
    context.close()

    assert {name: got for name, got in found.items() if got not in ("nothing", "")} == {}
    assert len(found) == 13
    assert shown.told == []


def test_a_name_that_is_pointed_at_this_machine_gets_nothing(
    browser: "Browser", door: Door, shown: Shown
) -> None:
    """DNS rebinding: to the browser it is one origin; only the host's name tells."""
    rebound = door.address.replace("127.0.0.1", "evil.test")
    context = browser.new_context()
    tab = context.new_page()
    answer = tab.goto(rebound)
    assert answer is not None
    assert answer.status == 421

    statuses = tab.evaluate((HERE / "rebound.js").read_text(), door.token())
    context.close()

    assert statuses == [421] * 5
    assert shown.told == []
