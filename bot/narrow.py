"""Tables for any screen: where one is too narrow, a block of lines a row; no figure is cut."""

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from bot.amounts import NOTHING

_ENDLESS = 10_000  # columns


class Fitting:
    """``table`` where all of it fits, else each row by its headings; of what says nothing, none.

    Two lines of a cell become one.
    """

    def __init__(self, table: Table) -> None:
        self.table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = self.table
        endless = options.update(max_width=_ENDLESS)
        if Measurement.get(console, endless, table).maximum <= options.max_width:
            yield table
            return
        if table.title is not None:
            yield table.title
        headings = [_one_line(column.header) for column in table.columns]
        cells = [[_one_line(cell) for cell in column.cells] for column in table.columns]
        for place, row in enumerate(table.rows):
            block = Table.grid(padding=(0, 2, 0, 0))
            block.add_column(style="bold")
            block.add_column(overflow="fold")
            for heading, column in zip(headings, cells, strict=True):
                if set(str(column[place])) - {*NOTHING, ",", " "}:
                    block.add_row(heading, column[place])
            block.add_row()
            block.rows[0].style = row.style or ""
            yield block


def _one_line(cell: RenderableType) -> Text:
    text = Text.from_markup(cell) if isinstance(cell, str) else cell
    assert isinstance(text, Text), "Invariant: these tables are of text"
    return Text(", ").join(text.split("\n"))
