"""Takes docs/img/report.png: the page of a run, in Chromium (tools/install_chromium.sh).

The run is ``fundarb paper`` on the generated market of seed 1, default settings, thirty days.
Run it by ``.venv/bin/python -m tools.report_picture [FOLDER]`` when the page has changed.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import sync_playwright

from bot.cli.main import run

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "img"
CHROMIUM = ROOT / ".venv" / "chromium" / "chromium"
COMMAND = ("paper", "--speed", "max", "--for", "30d", "--no-web")


def main() -> None:
    target = (Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURES) / "report.png"
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        page = Path(folder) / "report.html"
        run([*COMMAND, "--state", f"{folder}/state", "--report", str(page)])
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1120, "height": 840})
        tab.goto(page.as_uri())
        tab.screenshot(path=target)
        browser.close()
    print(target)


if __name__ == "__main__":
    main()
