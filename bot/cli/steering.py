"""``fundarb reset``: a person accepts a loss that stopped the bot, and lets it trade again."""

from pathlib import Path
from typing import Annotated

import typer

from bot.cli import options
from bot.cli.errors import CommandError

RESET_EXAMPLES = """\b
Examples:
  fundarb reset drawdown              entries may begin again at the next start
  fundarb reset loss_streak --state DIR
"""


def reset(
    limit: Annotated[str, typer.Argument(metavar="LIMIT", help="drawdown, daily_loss, …")],
    state: options.State = options.PAPER_STATE,
) -> None:
    """Clear a loss limit of a stopped run; losses are counted from here on.

    Conditions (stale data, order rate, …) clear by themselves. `fundarb status` lists
    what is tripped.
    """
    from bot.cli.history import journal_in
    from bot.cli.output import console
    from bot.instruments import load_pairs
    from execution.facts import LimitCleared, RunStarted
    from execution.journal import SqliteJournal
    from execution.state import State, apply

    with SqliteJournal(journal_in(Path(state))) as journal:
        facts = journal.read()
        run = next(facts, None)
        if not isinstance(run, RunStarted):
            raise CommandError(f"the journal in {state} is empty: nothing has run yet")
        kept = State(load_pairs(run.venue, run.pairs))
        apply(kept, run)
        for fact in facts:
            apply(kept, fact)
        tripped = kept.limits.names
        if limit not in tripped:
            there = ", ".join(tripped) or "none"
            raise CommandError(f"limit {limit!r} is not tripped in {state}; tripped: {there}")
        journal.append([LimitCleared(limit, "operator", kept.time_ns)])
    console().print(f"{limit} is reset: the next start may enter again")
