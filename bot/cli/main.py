"""The ``fundarb`` command: finds the command, turns every failure into one line and a code.

A command imports what it works with only when it runs, so that ``--help`` answers at once.
"""

import os
import re
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Annotated, Any

import typer
import typer.core

from bot.cli import (
    account,
    backtest,
    calc,
    clusters,
    config,
    data,
    doctor,
    emulator,
    ledger,
    live,
    notify,
    page,
    paper,
    reading,
    record,
    scan,
    steering,
    sweep,
    watchdog,
)
from bot.cli.errors import BAD_INPUT, FAILED, INTERRUPTED, explained

EXAMPLES = """\b
First steps:
  fundarb paper                              watch it trade a generated market
  fundarb paper --speed max --for 48h        two simulated days at once
  fundarb why HYPE                           what was decided, and why
  fundarb scan                               what Hyperliquid pays now; no key
  fundarb doctor                             is this machine fit for it?

Exit codes: 0 done, 1 a defect of the program, 2 bad input or settings,
3 not fit to run (doctor) or refused (live, watchdog, account), 130 stopped by Ctrl-C.
"""

app = typer.Typer(
    name="fundarb",
    epilog=EXAMPLES,
    rich_markup_mode=None,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("paper", epilog=paper.EXAMPLES)(paper.paper)
app.command("backtest", epilog=backtest.EXAMPLES)(backtest.backtest)
app.command("sweep", epilog=sweep.EXAMPLES)(sweep.sweep)
app.command("scan", epilog=scan.EXAMPLES)(scan.scan)
app.command("clusters", epilog=clusters.EXAMPLES)(clusters.clusters)
app.command("emulator", epilog=emulator.EXAMPLES)(emulator.emulator)
app.command("live", epilog=live.EXAMPLES)(live.live)
app.command("watchdog", epilog=watchdog.EXAMPLES)(watchdog.watchdog)
app.command("record", epilog=record.EXAMPLES)(record.record)
app.command("notify", epilog=notify.EXAMPLES)(notify.notify)
app.command("status", epilog=reading.STATUS_EXAMPLES)(reading.status)
app.command("positions", epilog=reading.POSITIONS_EXAMPLES)(reading.positions)
app.command("why", epilog=reading.WHY_EXAMPLES)(reading.why)
app.command("top", epilog=page.TOP_EXAMPLES)(page.top)
app.command("web", epilog=page.WEB_EXAMPLES)(page.web)
app.command("pause", epilog=steering.PAUSE_EXAMPLES)(steering.pause)
app.command("resume", epilog=steering.RESUME_EXAMPLES)(steering.resume)
app.command("close", epilog=steering.CLOSE_EXAMPLES)(steering.close)
app.command("flatten", epilog=steering.FLATTEN_EXAMPLES)(steering.flatten)
app.command("kill", epilog=steering.KILL_EXAMPLES)(steering.kill)
app.command("reset", epilog=steering.RESET_EXAMPLES)(steering.reset)
app.add_typer(ledger.app, name="ledger")
app.add_typer(account.app, name="account")
app.add_typer(data.app, name="data")
app.add_typer(calc.app, name="calc")
app.add_typer(config.app, name="config")
app.command("doctor", epilog=doctor.EXAMPLES)(doctor.doctor)


core: Any = typer.core


class _AsTyped:
    """Takes what was typed as it is; ``bot.cli.values`` reads it."""

    def coerce(self, value: Any, **_where: Any) -> Any:
        return value


_read_by_typer = core.build_runtime_param


def _read(described: Any) -> Any:
    """Typer would have even text and flags read by pydantic, whose import alone takes as long as
    all the rest of a command that asks a running bot (`tests/unit/bot/cli/test_main.py`)."""
    return _AsTyped() if described.annotation in (str, bool) else _read_by_typer(described)


core.build_runtime_param = _read


_shortened = core.TyperCommand.get_short_help_str


def _first_sentence(command: Any, limit: int = 0) -> str:
    """Whole in the list of commands, on two lines if need be; Typer would cut it off."""
    return str(_shortened(command, max(limit, 1000)))


core.TyperCommand.get_short_help_str = _first_sentence

_LIKE_A_KEY = re.compile(r"\b(?:0x)?[0-9a-fA-F]{64}\b")


def _say_version(wanted: bool) -> None:
    if wanted:
        from bot.cli.output import version

        typer.echo(f"fundarb {version()}")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Say which this is."),
    ] = False,
    _debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of a failure, anywhere on the line.")
    ] = False,
) -> None:
    """Funding-rate arbitrage: delta-neutral pairs, bounded risk, exact accounts."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; a failure is one line on standard error."""
    words = [word for word in arguments if word != "--debug"]
    try:
        code = app(words, prog_name="fundarb", standalone_mode=False)
    except typer.TyperException as error:
        message = error.format_message()
        if message.startswith("Usage:"):  # a group without its command: the help is the answer
            sys.stderr.write(message + "\n")
            return BAD_INPUT
        return _fail(message, BAD_INPUT)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except (BrokenPipeError, SystemExit) as error:
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
            raise  # Typer's way to say that a pipe is closed is another one
        # The reader (head, less) has seen enough; without this the exit itself would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # the last resort: nobody is shown a traceback unasked
        if len(words) < len(arguments):
            raise
        if (told := explained(error)) is not None:
            return _fail(str(told), told.exit_code)
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        return _fail(f"this is a defect, not your doing: {what} (--debug shows where)", FAILED)
    return code if isinstance(code, int) else 0


def _fail(message: str, code: int) -> int:
    # A key typed in the wrong place must not reach a log by being complained of.
    shown = _LIKE_A_KEY.sub("(64 hex digits)", " ".join(message.split()))
    sys.stderr.write(f"error: {shown}\n")
    return code


def main() -> None:
    """The console script. What a terminal's encoding lacks (±, ×) is a question mark on it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
