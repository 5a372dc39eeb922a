"""What a run draws on a terminal while it runs: the live view, or a bar at full speed."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn
from rich.progress import TimeRemainingColumn as Remaining
from rich.table import Column
from rich.text import Text

from bot.amounts import amount, badges
from bot.view import view
from domain.time import SECOND, iso
from execution.snapshot import Snapshot

OnSnapshot = Callable[[Snapshot], None]


def display(
    console: Console, *, speed: float | None, total_ns: int | None
) -> AbstractContextManager[OnSnapshot]:
    """The live view at a person's pace, a bar at full speed, nothing where nobody watches."""
    if not console.is_terminal:
        return _nothing()
    return _bar(console, total_ns) if speed is None else _live(console)


@contextmanager
def _live(console: Console) -> Iterator[OnSnapshot]:
    latest: list[Snapshot] = []

    def picture() -> RenderableType:
        return view(latest[0]) if latest else Text("starting…")

    def update(snapshot: Snapshot) -> None:
        latest[:] = [snapshot]

    # Rich draws in its own thread, four times a second, whatever the engine's pace is.
    with Live(console=console, get_renderable=picture, transient=True):
        yield update


class _Rate(ProgressColumn):
    """Simulated hours per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed / 3600:,.0f} h/s")


@contextmanager
def _bar(console: Console, total_ns: int | None) -> Iterator[OnSnapshot]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        _Rate(table_column=Column(no_wrap=True)),
        Remaining(compact=True),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        total = None if total_ns is None else total_ns / SECOND
        task = progress.add_task("reading the market", total=total)

        def update(shown: Snapshot) -> None:
            done = (shown.time_ns - shown.started_ns) / SECOND
            progress.update(task, completed=done, description=_line(shown).markup)

        yield update


@contextmanager
def _nothing() -> Iterator[OnSnapshot]:
    """Where nobody watches there is nothing to draw: the log tells what happens."""
    yield lambda _: None


def _line(shown: Snapshot) -> Text:
    trades = sum(pair.trade_id is not None for pair in shown.pairs)
    when = iso(shown.time_ns)[:16].replace("T", " ")
    said = f" {when}  equity {amount(shown.equity)}  {trades} open"
    return Text.assemble(badges(shown.mode, synthetic=shown.synthetic), said)
