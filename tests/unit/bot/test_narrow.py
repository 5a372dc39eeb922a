"""A table on screens of every width: no figure is cut, whatever the screen."""

from io import StringIO

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bot.narrow import Fitting

ROWS = (("BTC", "36.7", "112,740", "carry_below_hurdle"), ("kBONK", "", "1,231", "nothing"))


def table() -> Table:
    made = Table(title="Ranked", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("pair", "now %", "capacity"):
        made.add_column(heading, justify="right", no_wrap=True)
    made.add_column("kept out by", overflow="fold")
    for row in ROWS:
        made.add_row(*row[:-1], Text(row[-1]))
    return made


def shown(width: int) -> list[str]:
    screen = Console(width=width, file=StringIO(), record=True, color_system=None)
    screen.print(Fitting(table()))
    return screen.export_text().splitlines()


@pytest.mark.parametrize("width", range(32, 81))
def test_every_figure_is_there_whole_at_every_width(width: int) -> None:
    lines = shown(width)

    assert max(map(len, lines)) <= width
    words = {word for line in lines for word in line.split()}
    assert {cell for row in ROWS for cell in row if cell} <= words


def test_a_table_that_fits_is_a_table_with_a_line_a_row() -> None:
    assert len(shown(80)) == 2 + len(ROWS)
    assert shown(80)[-1].split() == ["kBONK", "1,231", "nothing"]


def test_a_narrow_screen_has_a_block_a_row_without_what_is_empty() -> None:
    assert [line.split() for line in shown(32)] == [
        ["Ranked"],
        ["pair", "BTC"],
        ["now", "%", "36.7"],
        ["capacity", "112,740"],
        ["kept", "out", "by", "carry_below_hurdle"],
        [],
        ["pair", "kBONK"],
        ["capacity", "1,231"],
        ["kept", "out", "by", "nothing"],
        [],
    ]
