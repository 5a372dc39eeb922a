"""``fundarb top``: a running bot on a whole terminal.

It shows what the page shows, through the same interface; what a key asks for is what the command
of that name asks for.
"""

from typing import ClassVar, Protocol

import msgspec
from rich.table import Table
from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Footer, Input, Label, Static

from bot.cli.errors import CommandError
from bot.control import phrase
from bot.view import view
from bot.web.page import Page
from domain.time import iso

SECONDS = 0.5
_SHOWN = 12


class Reached(Protocol):
    """A running bot at the other end of its socket file."""

    def ask_raw(self, *path: str) -> bytes: ...
    def tell(self, command: str, argument: str, confirm: str) -> dict[str, object]: ...


class Confirm(ModalScreen[str | None]):
    """A person types what they mean, or leaves by Escape."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel")]
    CSS = """
    Confirm { align: center middle; }
    #box { width: 60; height: auto; padding: 1 2; border: heavy $error; background: $surface; }
    """

    def __init__(self, wanted: str, what: str) -> None:
        super().__init__()
        self._wanted, self._what = wanted, what

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Label(Text(self._what))
            yield Label(Text(f"To confirm, type: {self._wanted}", style="bold"))
            yield Input(id="typed")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value)


class Top(App[None]):
    """The screen. ``bot`` is asked twice a second, from a thread."""

    TITLE = "fundarb top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #band { height: 1; text-align: center; text-style: bold; color: white; background: #555555; }
    #band.paper, #band.backtest { background: #1d4f91; }
    #band.testnet { background: #7a2f8f; }
    #band.live { background: #b3130b; }
    #said { height: auto; padding: 0 1; }
    #body { padding: 0 1; scrollbar-size-vertical: 1; }
    #view, #happened { padding-right: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "steer('pause')", "Pause"),
        Binding("r", "steer('resume')", "Resume"),
        Binding("f", "steer('flatten')", "Flatten"),
        Binding("k", "steer('kill')", "Kill switch"),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(self, bot: Reached, seconds: float = SECONDS) -> None:
        super().__init__()
        self._bot, self._seconds = bot, seconds
        self._shown: Page | None = None
        self._away = False

    def compose(self) -> ComposeResult:
        yield Static("connecting…", id="band")
        with VerticalScroll(id="body"):
            yield Static(id="view")
            yield Static(id="happened")
        yield Static(id="said")
        yield Footer()

    def on_mount(self) -> None:
        self.set_interval(self._seconds, self.refresh_page)
        self.refresh_page()

    @work(thread=True, exclusive=True)
    def refresh_page(self) -> None:
        """Ask, and show the answer or why there is none."""
        try:
            page = msgspec.json.decode(self._bot.ask_raw("page"), type=Page)
        except CommandError as error:
            self.call_from_thread(self._lost, str(error))
        else:
            self.call_from_thread(self.show_page, page)

    def show_page(self, page: Page) -> None:
        self._shown = page
        if self._away:
            self._away = False
            self.query_one("#said", Static).update("")
        shown = page.snapshot
        band = self.query_one("#band", Static)
        stakes = "REAL MONEY" if shown.mode == "live" else "no real money"
        made_up = "  ·  SYNTHETIC MARKET" if shown.synthetic else ""
        band.update(Text(f"{shown.mode.upper()}  ·  {stakes}{made_up}"))
        band.set_classes(shown.mode)
        self.query_one("#view", Static).update(view(shown))
        self.query_one("#happened", Static).update(_happened(page))

    def _lost(self, why: str) -> None:
        self._away = True
        self.query_one("#said", Static).update(Text(f"no news: {why}", style="bold red"))

    def action_steer(self, command: str) -> None:
        if self._shown is None:
            return
        shown = self._shown.snapshot
        wanted = phrase(command, "", shown.mode)
        if not wanted:
            self._tell(command, "")
            return
        trades = ", ".join(pair.trade_id for pair in shown.pairs if pair.trade_id) or "nothing"
        what = f"{shown.mode} on {shown.venue}: {trades} open"

        def typed(answer: str | None) -> None:
            if answer is not None:
                self._tell(command, answer)

        self.push_screen(Confirm(wanted, what), typed)

    @work(thread=True)
    def _tell(self, command: str, confirm: str) -> None:
        try:
            told = self._bot.tell(command, "", confirm)
        except CommandError as error:
            said = Text(f"{command}: {error}", style="bold red")
        else:
            said = Text(f"{command}: done, the bot is {told['state']}", style="bold green")
        self.call_from_thread(self.query_one("#said", Static).update, said)


def _happened(page: Page) -> Table:
    styles = {"alarm": "bold red", "warning": "bold yellow"}
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column()
    for line in reversed(page.happened[-_SHOWN:]):
        at = iso(line.time_ns)[5:19].replace("T", " ")
        table.add_row(at, Text(line.what, style=styles.get(line.level, "")))
    return table
