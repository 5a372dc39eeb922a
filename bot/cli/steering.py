"""``pause``, ``resume``, ``close``, ``flatten``, ``kill``, ``reset``: a person tells a bot."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli import options, values
from bot.cli.errors import CommandError
from bot.cli.values import read
from domain.names import pair_name

if TYPE_CHECKING:
    from bot.cli.reaching import Running

PAUSE_EXAMPLES = """\b
Examples:
  fundarb pause                       no new trades; what is open is kept, hedged and guarded
  fundarb pause --state state/testnet
"""
RESUME_EXAMPLES = """\b
Examples:
  fundarb resume
  fundarb resume --yes                in a script, where nobody types the confirmation
"""
CLOSE_EXAMPLES = """\b
Examples:
  fundarb close HYPE                  both legs of the trade that is open on HYPE
"""
FLATTEN_EXAMPLES = """\b
Examples:
  fundarb flatten                     close every trade, in a hurry, and pause
"""
KILL_EXAMPLES = """\b
Examples:
  fundarb kill                        close everything; nothing is entered until `reset killed`
"""
RESET_EXAMPLES = """\b
Examples:
  fundarb reset drawdown              entries may begin again
  fundarb reset killed --state DIR
"""

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for the typed confirmation.")]


def pause(state: options.State = options.PAPER_STATE, json: options.Json = None) -> None:
    """Enter nothing from now on; what is open stays open, hedged and guarded."""
    _tell("pause", "", state, json, yes=True)


def resume(
    state: options.State = options.PAPER_STATE, *, yes: Yes = False, json: options.Json = None
) -> None:
    """Take back a pause. A tripped limit is not taken back by it: that is `reset`."""
    _tell("resume", "", state, json, yes=yes)


def close(
    pair: Annotated[str, typer.Argument(metavar="PAIR", help="HYPE, for instance.")],
    state: options.State = options.PAPER_STATE,
    *,
    yes: Yes = False,
    json: options.Json = None,
) -> None:
    """Close the trade on a pair, both legs together; the pair may be entered again later."""
    _tell("close", pair_name(pair), state, json, yes=yes)


def flatten(
    state: options.State = options.PAPER_STATE, *, yes: Yes = False, json: options.Json = None
) -> None:
    """Close every trade at once, and pause."""
    _tell("flatten", "", state, json, yes=yes)


def kill(
    state: options.State = options.PAPER_STATE, *, yes: Yes = False, json: options.Json = None
) -> None:
    """Throw the kill switch: close everything, enter nothing, also after a restart.

    Only `fundarb reset killed` takes it back.
    """
    _tell("kill", "", state, json, yes=yes)


def reset(
    limit: Annotated[str, typer.Argument(metavar="LIMIT", help="drawdown, daily_loss, killed, …")],
    state: options.State = options.PAPER_STATE,
    *,
    yes: Yes = False,
    json: options.Json = None,
) -> None:
    """Clear a tripped limit, of a running bot or of a stopped one; losses are counted from here on.

    Conditions (stale data, order rate, …) clear by themselves. `fundarb status` lists
    what is tripped.
    """
    from bot.cli.directory import journal_in
    from bot.cli.reaching import is_running

    directory = journal_in(Path(state)).parent
    if is_running(directory):
        _tell("reset", limit, state, json, yes=yes)
    else:
        _reset_stopped(limit, directory)


def _tell(command: str, argument: str, state: str, json: str | None, *, yes: bool) -> None:
    """Have the running bot obey, once a person has typed what they mean."""
    from bot.cli.directory import journal_in
    from bot.cli.output import STDOUT, write_json
    from bot.cli.reaching import Running

    target = read("--json", values.writable_file, json)
    running = Running(journal_in(Path(state)).parent)
    told = running.tell(command, argument, _confirmed(command, argument, running, yes=yes))
    write_json(told, target)
    if target != STDOUT:
        typer.echo(obeyed(told))


def _confirmed(command: str, argument: str, running: "Running", *, yes: bool) -> str:
    """The phrase that the bot asks for: typed by a person, or vouched for by --yes."""
    from bot.cli.output import console

    if command == "pause":
        return ""
    status = running.ask("status")
    wanted = f"{command} {argument or status['mode']}"
    if yes:
        return wanted
    if not sys.stdin.isatty():
        raise CommandError(f"{command} wants a typed confirmation: add --yes where nobody types")
    shown = console()
    shown.print(_at_stake(command, argument, status), soft_wrap=True)
    shown.print(f"To confirm, type: [bold]{wanted}[/bold]")
    return input("> ")


def _at_stake(command: str, argument: str, status: dict[str, Any]) -> str:
    """Whose money, and how much of it is open."""
    from bot.amounts import amount

    kind = "no real money" if status["mode"] != "live" else "REAL MONEY"
    trades = [
        f"{pair['trade']} {amount(pair['notional'])} a leg"
        for pair in status["pairs"]
        if pair["trade"] is not None and (command != "close" or pair["pair"] == argument)
    ]
    held = ", ".join(trades) or "nothing"
    return f"{status['mode']} on {status['venue']} ({kind}), {status['quote']}: {held} open"


def obeyed(told: dict[str, Any]) -> str:
    """What came of a command, in one line."""
    what = f"{told['command']} {told['argument']}".strip()
    still = ", ".join(told["open_trades"]) or "none"
    closing = " (closing)" if told["command"] in ("flatten", "kill") and told["open_trades"] else ""
    limits = f"; limits tripped: {', '.join(told['limits'])}" if told["limits"] else ""
    return f"{what}: done. {told['mode']} is {told['state']}{limits}; open trades: {still}{closing}"


def _reset_stopped(limit: str, directory: Path) -> None:
    """Put a reset into the journal of a bot that does not run."""
    from bot.cli.directory import JOURNAL
    from bot.cli.history import folded
    from bot.cli.output import console
    from execution.facts import LimitCleared
    from execution.journal import SqliteJournal

    with SqliteJournal(directory / JOURNAL) as journal:
        kept = folded(journal.read(), directory).state
        tripped = kept.limits.names
        if limit not in tripped:
            there = ", ".join(tripped) or "none"
            raise CommandError(f"limit {limit!r} is not tripped in {directory}; tripped: {there}")
        journal.append([LimitCleared(limit, "operator", kept.time_ns)])
    console().print(f"{limit} is reset: the next start may enter again")
