"""Where answers go: a person reads standard output or error, a program its JSON."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot.cli.errors import CommandError

if TYPE_CHECKING:
    from rich.console import Console

STDOUT = Path("-")


def console(json: Path | None = None) -> "Console":
    """For people: standard output, unless the JSON goes there, then standard error."""
    from rich.console import Console

    class Quiet(Console):
        def on_broken_pipe(self) -> None:
            """The reader (head, less) has seen enough; ``bot.cli.main`` ends without a word."""
            raise BrokenPipeError

    # What a venue calls something is no emoji, and their table takes a while to load.
    return Quiet(stderr=json == STDOUT, highlight=False, emoji=False)


def write_json(answer: Mapping[str, Any], target: Path | None) -> None:
    """Write ``answer`` to a file, whole or not at all, or to standard output for ``-``.

    Decimals become strings as people write them, floats numbers (null where not finite).
    """
    if target is None:
        return
    import msgspec

    from bot.report import jsonable

    text = msgspec.json.format(msgspec.json.encode(jsonable(answer)), indent=2) + b"\n"
    if target == STDOUT:
        sys.stdout.buffer.write(text)  # UTF-8, whatever the terminal's encoding is
        sys.stdout.flush()
        return
    write_text(text.decode(), target)


def write_text(text: str, target: Path) -> None:
    """Write a file whole, or not at all."""
    partial = target.with_name(target.name + ".partial")
    try:
        if target.exists() and not target.is_file():  # a pipe or /dev/stderr
            target.write_text(text, encoding="utf-8")
            return
        partial.write_text(text, encoding="utf-8")
        partial.replace(target)
    except OSError as error:
        raise CommandError(f"cannot write {target}: {error.strerror}") from None


def version() -> str:
    """Of the installed program, or that it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("fundarb")
    except PackageNotFoundError:
        return "not installed (run from its source)"
