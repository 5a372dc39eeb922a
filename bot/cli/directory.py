"""Where a run keeps its things: finds the state directory that a person means."""

from pathlib import Path

from bot.cli.errors import CommandError

JOURNAL = "journal.sqlite"


def journal_in(directory: Path) -> Path:
    """The journal of a state directory, or of the only mode that ran under it.

    Raises:
        CommandError: when there is none.
    """
    if (directory / JOURNAL).is_file():
        return directory / JOURNAL
    below = sorted(directory.glob(f"*/{JOURNAL}"))
    if len(below) == 1:
        return below[0]
    if below:
        names = ", ".join(str(path.parent) for path in below)
        raise CommandError(f"{directory} holds several runs: name one by --state ({names})")
    raise CommandError(
        f"no journal in {str(directory)!r}: `fundarb paper` starts one, --state says where"
    )
