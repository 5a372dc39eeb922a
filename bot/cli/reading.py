"""``fundarb status``, ``positions`` and ``why``: what a run did, read from its journal."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli import options, values
from bot.cli.errors import CommandError
from bot.cli.values import read
from domain.names import pair_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rich.console import RenderableType

STATUS_EXAMPLES = """\b
Examples:
  fundarb status
  fundarb status --state DIR --json -
"""
POSITIONS_EXAMPLES = """\b
Examples:
  fundarb positions
  fundarb positions --json positions.json
"""
WHY_EXAMPLES = """\b
Examples:
  fundarb why HYPE        the last decisions on a pair, and their reasons
  fundarb why HYPE#1      one trade: plan, orders, fills, funding, profit by source
"""


def status(state: options.State = options.PAPER_STATE, json: options.Json = None) -> None:
    """Say where a run stands: equity, profit, pairs, limits. A running bot answers itself."""
    from bot.cli.told import status_view

    _answer(("status",), state, json, status_view)


def positions(state: options.State = options.PAPER_STATE, json: options.Json = None) -> None:
    """List what is held, leg by leg, and its worth."""
    from bot.cli.told import positions_view

    _answer(("positions",), state, json, positions_view)


def why(
    what: Annotated[str, typer.Argument(metavar="TRADE|PAIR", help="HYPE#1 or HYPE.")],
    state: options.State = options.PAPER_STATE,
    json: options.Json = None,
) -> None:
    """Explain a trade, or the last decisions on a pair."""
    from bot.cli.told import pair_view, trade_view

    name = pair_name(what)
    _answer(("why", name), state, json, trade_view if "#" in name else pair_view)


def _answer(
    question: tuple[str, ...],
    state: str,
    json: str | None,
    view: "Callable[[Mapping[str, Any]], RenderableType]",
) -> None:
    """Put a question to the bot that runs there, or else to what it left behind."""
    from bot.cli.directory import journal_in
    from bot.cli.output import STDOUT, console, write_json
    from bot.cli.reaching import Running, is_running

    target = read("--json", values.writable_file, json)
    directory = journal_in(Path(state)).parent
    if is_running(directory):
        told = Running(directory).ask(*question)
    else:
        told = _from_journal(question, directory)
    write_json(told, target)
    if target != STDOUT:
        console().print(view(told))


def _from_journal(question: tuple[str, ...], directory: Path) -> dict[str, Any]:
    from bot.answers import answer_to, positions_of, status_of
    from bot.cli.history import read_history

    record = read_history(directory)
    match question:
        case ("status",):
            return status_of(record)
        case ("positions",):
            return positions_of(record)
        case _:
            try:
                return answer_to(record, question[-1])
            except LookupError as error:
                raise CommandError(str(error)) from None
