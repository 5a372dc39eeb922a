"""What runs until it is told to end."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

import typer

from bot.cli.errors import INTERRUPTED


def until_told(work: Coroutine[Any, Any, None]) -> None:
    """Run ``work`` until it fails, or SIGTERM (exit code 0) or Ctrl-C (130) ends it as it stands.

    Raises:
        whatever ``work`` does.
    """
    if asyncio.run(_signaled(work)) == signal.SIGINT:
        raise typer.Exit(INTERRUPTED)


async def _signaled(work: Coroutine[Any, Any, None]) -> int | None:
    """The signal that ended it."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    told: list[int] = []

    def end(number: int) -> None:
        told.append(number)
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end, number)
    await asyncio.wait((task,))
    if told and task.cancelled():
        return told[0]
    task.result()
    return None
