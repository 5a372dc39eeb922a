"""``fundarb status``, ``positions`` and ``why``: what a run did, read from its journal."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli import options, values
from bot.cli.errors import CommandError
from bot.cli.values import read

if TYPE_CHECKING:
    from bot.cli.history import History

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
    """Say where a run stands: equity, profit, pairs, limits."""
    from bot.cli.answers import status_of
    from bot.cli.output import STDOUT, console, write_json
    from bot.cli.told import status_view

    answer = read("--json", values.writable_file, json)
    history = _history(state)
    told = status_of(history)
    write_json(told, answer)
    if answer != STDOUT:
        console().print(status_view(told))


def positions(state: options.State = options.PAPER_STATE, json: options.Json = None) -> None:
    """List what is held, leg by leg, and its worth."""
    from bot.cli.answers import positions_of
    from bot.cli.output import STDOUT, console, write_json
    from bot.cli.told import positions_view

    answer = read("--json", values.writable_file, json)
    told = positions_of(_history(state))
    write_json(told, answer)
    if answer != STDOUT:
        console().print(positions_view(told))


def why(
    what: Annotated[str, typer.Argument(metavar="TRADE|PAIR", help="HYPE#1 or HYPE.")],
    state: options.State = options.PAPER_STATE,
    json: options.Json = None,
) -> None:
    """Explain a trade, or the last decisions on a pair."""
    from bot.cli.answers import pair_of, trade_of
    from bot.cli.output import STDOUT, console, write_json
    from bot.cli.told import pair_view, trade_view

    answer = read("--json", values.writable_file, json)
    history = _history(state)
    name = what.strip().upper()
    if name in history.state.trades:
        told, show = trade_of(history, name), trade_view
    elif name in history.state.pairs:
        told, show = pair_of(history, name), pair_view
    else:
        known = ", ".join([*history.state.pairs, *history.state.trades])
        raise CommandError(f"no trade or pair {what!r} in this journal: there are {known}")
    write_json(told, answer)
    if answer != STDOUT:
        console().print(show(told))


def _history(state: str) -> "History":
    from bot.cli.history import read_history

    return read_history(Path(state))
