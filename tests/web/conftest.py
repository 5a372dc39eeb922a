"""Chromium, where it is unpacked, and the doors that the tests knock at."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.web.bots import PAGE, Door, Shown, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = ROOT / ".venv" / "chromium" / "chromium"


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """A real one, without a window; ``evil.test`` is this machine, as after DNS rebinding.

    Of a module and no longer: while it is open, no other event loop can run in this thread.
    """
    if not CHROMIUM.exists():
        subprocess.run([ROOT / "tools" / "install_chromium.sh"], check=True)
    if not CHROMIUM.exists():
        pytest.skip("no Chromium here: tools/install_chromium.sh says why")
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox", "--host-resolver-rules=MAP evil.test 127.0.0.1"]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield opened
        opened.close()


@pytest.fixture
def shown() -> Shown:
    return Shown(PAGE)


@pytest.fixture
def door(shown: Shown, tmp_path: Path) -> Iterator[Door]:
    with served(shown, tmp_path / "state") as opened:
        yield opened
