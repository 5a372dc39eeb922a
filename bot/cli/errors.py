"""What ends a command: one line for a person, and an exit code for a program."""

import sys

FAILED = 1
BAD_INPUT = 2
REFUSED = 3
INTERRUPTED = 130


_MEANT_FOR_PEOPLE = (
    ("bot.run", "RunError"),
    ("bot.settings", "SettingsError"),
    ("bot.instruments", "UnknownPair"),
    ("bot.backtest.bars", "DataError"),
    ("bot.sweep.space", "SweepError"),
    ("bot.web.tokens", "TokenError"),
    ("execution.journal", "JournalError"),
)
"""Errors whose text already says what is wrong and what to do."""


class CommandError(Exception):
    """Bad input or configuration (exit 2). The message says what is wrong and what to do."""

    exit_code = BAD_INPUT


def explained(error: Exception) -> CommandError | None:
    """What a failure means to the person who typed the command; None for a defect of ours."""
    if isinstance(error, CommandError):
        return error
    if isinstance(error, OSError):
        place = f" {error.filename}" if error.filename else ""
        return CommandError(f"cannot read or write{place}: {error.strerror or error}")
    # A module that was never imported cannot have raised: none is imported for this.
    for module, name in _MEANT_FOR_PEOPLE:
        kind = getattr(sys.modules.get(module), name, None)
        if kind is not None and isinstance(error, kind):
            return CommandError(str(error))
    return None
