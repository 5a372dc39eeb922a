"""``fundarb ledger``: the books, for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from bot.cli import options, values
from bot.cli.errors import CommandError
from bot.cli.values import read

app = typer.Typer(no_args_is_help=True, help="The books, for other programs.")

EXAMPLES = """\b
Examples:
  fundarb ledger export --to export
  fundarb ledger export --to export --csv --state DIR
"""


@app.command(epilog=EXAMPLES)
def export(
    to: Annotated[str, typer.Option("--to", metavar="DIR", help="Where to write; made if absent.")],
    csv: Annotated[bool, typer.Option("--csv", help="CSV instead of Parquet.")] = False,
    state: options.State = options.PAPER_STATE,
    json: options.Json = None,
) -> None:
    """Write fills, funding, equity, decisions and cash flows.

    Enough to compute every cent of the result again.
    """
    folder = read("--to", values.writable_directory, to)
    answer = read("--json", values.writable_file, json)
    from bot.cli.directory import journal_in
    from bot.cli.output import STDOUT, write_json
    from bot.export import export as write_tables
    from bot.instruments import load_pairs
    from execution.facts import RunStarted
    from execution.journal import open_for_reading

    with open_for_reading(journal_in(Path(state))) as journal:
        facts = tuple(journal.read())
    if not facts or not isinstance(facts[0], RunStarted):
        raise CommandError(f"the journal in {state} is empty: nothing has run yet")
    pairs = load_pairs(facts[0].venue, facts[0].pairs)
    paths = write_tables(facts, pairs, folder, "csv" if csv else "parquet")
    write_json({"facts": len(facts), "files": [str(path) for path in paths]}, answer)
    if answer != STDOUT:
        for path in paths:
            typer.echo(str(path))
