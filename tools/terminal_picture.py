"""Draws docs/img/paper.svg: the terminal view of a real paper run, the same every time.

The run is in this process: the generated market of seed 1, default settings, six simulated days.
Run it by ``.venv/bin/python tools/terminal_picture.py [FILE]`` when the view has changed.
"""

import io
import re
import sys
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console, RenderableType

from bot.app import GENERATED_START_NS
from bot.choosing import chosen
from bot.instruments import load_pairs
from bot.picture import snapshot
from bot.run import Run, paced
from bot.settings import Settings
from bot.view import view
from domain.time import DAY
from execution.venues.simulated.generated import generated_market

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "img" / "paper.svg"
DURATION_NS = 6 * DAY
SEED = 1
COLUMNS = 110


def paper_run(duration_ns: int) -> Run:
    """A run that has gone on for so much simulated time."""
    settings = Settings()
    source = generated_market(SEED, GENERATED_START_NS, load_pairs("simulated"))
    strategy = chosen(paced(settings, source.cadence_ns), source.pairs)
    run = Run(
        source,
        strategy,
        settings,
        mode="paper",
        seed=SEED,
        capital=settings.account.capital,
        recorded=True,
    )
    run.advance(source.start_ns + duration_ns)
    run.finish()
    return run


def paper_view(duration_ns: int) -> RenderableType:
    """What the screen shows then."""
    return view(snapshot(paper_run(duration_ns).engine))


def svg(shown: RenderableType) -> str:
    """The picture as a file of its own: no font or anything else is fetched to show it."""
    console = Console(
        record=True,
        width=COLUMNS,
        height=60,  # with both given, the terminal that this runs in is not asked
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        highlight=False,
        no_color=False,
    )
    console.print(shown)
    fonts = "ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace"
    fetched = r"@font-face \{\{.*?\}\}\n|<!--.*?-->"
    form = re.sub(fetched, "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    form = form.replace("Fira Code, monospace", fonts)
    drawn = console.export_svg(title="fundarb paper", code_format=form, unique_id="paper")
    return "\n".join(line.rstrip() for line in drawn.splitlines()) + "\n"


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(svg(paper_view(DURATION_NS)), encoding="utf-8")
    print(target)


if __name__ == "__main__":
    main()
