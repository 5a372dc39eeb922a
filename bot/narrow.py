"""Tables for any screen: where one is too narrow, a block of lines a row; no figure is cut."""

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table

_ENDLESS = 10_000  # columns


class Fitting:
    """``table`` where all of it fits, else each row by its headings, in the order of columns."""

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
        headings = [column.header for column in table.columns]
        cells = [list(column.cells) for column in table.columns]
        for place, row in enumerate(table.rows):
            block = Table.grid(padding=(0, 2, 0, 0))
            block.add_column(style="bold", no_wrap=True)
            block.add_column(overflow="fold")
            first, *others = zip(headings, (column[place] for column in cells), strict=True)
            block.add_row(*first)
            for heading, cell in others:
                if cell != "":
                    block.add_row(heading, cell)
            block.add_row()
            block.rows[0].style = row.style or ""
            yield block
