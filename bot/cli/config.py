"""``fundarb config``: write a settings file, judge one, show what is in force and whence."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli import options, values
from bot.cli.errors import CommandError
from bot.cli.values import read

if TYPE_CHECKING:
    from bot.settings import Loaded

app = typer.Typer(no_args_is_help=True, help="Write, judge and show settings.")

File = Annotated[str | None, typer.Argument(metavar="[FILE]", help="A TOML file of settings.")]

INIT_EXAMPLES = """\b
Examples:
  fundarb config init                     writes fundarb.toml
  fundarb config init small.toml --force  replaces what is there
"""
CHECK_EXAMPLES = """\b
Examples:
  fundarb config check fundarb.toml
  FUNDARB_RISK__DAILY_LOSS_MAX=0.01 fundarb config check
"""
SHOW_EXAMPLES = """\b
Examples:
  fundarb config show                     every setting, and where it is from
  fundarb config show --config fundarb.toml --json -
"""


@app.command(epilog=INIT_EXAMPLES)
def init(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Where to write it.")
    ] = "fundarb.toml",
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Write every setting with its default, unit and meaning; it works as it is."""
    from bot.config_files import config_file

    target = read("FILE", values.writable_file, file)
    if target.exists() and not force:
        raise CommandError(f"{target} exists: --force replaces it")
    target.write_text(config_file("default.toml").read_text(encoding="utf-8"), encoding="utf-8")
    typer.echo(f"wrote {target}; `fundarb config check {target}` judges it after a change")


@app.command(epilog=CHECK_EXAMPLES)
def check(file: File = None, config: options.Config = None) -> None:
    """Judge the settings, and print the limits that would be in force.

    Says too until when the calendar of events is known, and what of it ends within a month.
    """
    from rich.table import Table

    from bot.cli.output import console
    from bot.clock import SystemClock
    from bot.events_file import reach, running_out
    from bot.settings import entries

    path = _file(file, config)
    loaded = _load(path)
    limits = Table(title="Limits in force", title_justify="left", box=None, pad_edge=False)
    for heading in ("limit", "value", "from"):
        limits.add_column(heading, overflow="fold")
    for key, value in entries(loaded.settings, "risk").items():
        limits.add_row(key, str(value), loaded.origins[f"risk.{key}"])
    out = console()
    out.print(limits)
    out.print(f"\ncalendar: {reach(loaded.settings.events)}", markup=False, soft_wrap=True)
    for told in running_out(loaded.settings.events, SystemClock().now_ns()):
        out.print(f"warning: {told}: add its next dates", style="yellow", markup=False)
    valid = f"\nsettings are valid: {path or 'defaults and environment'}"
    out.print(valid, markup=False, soft_wrap=True)


@app.command(epilog=SHOW_EXAMPLES)
def show(file: File = None, config: options.Config = None, json: options.Json = None) -> None:
    """Show every setting in force, and the file or variable it is from."""
    from rich.table import Table

    from bot.cli.output import STDOUT, console, write_json
    from bot.settings import SECTIONS, digest, entries

    answer = read("--json", values.writable_file, json)
    loaded = _load(_file(file, config))
    sections = {section: entries(loaded.settings, section) for section in SECTIONS}
    mark = digest(loaded.settings)
    write_json({"settings": sections, "origins": loaded.origins, "digest": mark}, answer)
    if answer == STDOUT:
        return
    out = console()
    for section, keys in sections.items():
        table = Table(title=f"\\[{section}]", title_justify="left", box=None, pad_edge=False)
        for heading in ("key", "value", "from"):
            table.add_column(heading, overflow="fold")
        for key, value in keys.items():
            table.add_row(key, str(value), loaded.origins[f"{section}.{key}"])
        out.print(table)
    out.print(f"digest {mark}")


def _file(argument: str | None, option: str | None) -> Path | None:
    if argument is not None and option is not None:
        raise CommandError("name one file: as FILE or by --config, not both")
    return read("FILE" if option is None else "--config", values.existing_file, argument or option)


def _load(path: Path | None) -> "Loaded":
    from bot.settings import load

    return load(path)
