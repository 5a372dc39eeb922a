"""Tasks that must all live: when one ends, however it ends, all end, and it is said which.

A background task that dies silently is the worst failure of a bot that seems to run
(failures Z2, Z3). ``asyncio.TaskGroup`` alone lets two such deaths pass: a task that
returns, and one that somebody cancelled.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any


class TaskDied(Exception):
    """A task that should have gone on for ever has ended. ``task`` is its name."""

    def __init__(self, task: str, how: str) -> None:
        self.task = task
        super().__init__(f"task {task} {how}")


async def supervise(
    tasks: Mapping[str, Coroutine[Any, Any, None]], on_death: Callable[[TaskDied], None]
) -> None:
    """Run all ``tasks`` until one ends; then tell ``on_death`` and end the others.

    Raises:
        TaskDied: always, unless it is cancelled itself. The cause is what the task raised.
    """
    running = {asyncio.create_task(coroutine, name=name): name for name, coroutine in tasks.items()}
    try:
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        # In the order in which they were given: a set's order is nobody's.
        ended = next(task for task in running if task.done())
        raise _died(running[ended], ended)
    except TaskDied as death:
        on_death(death)
        raise
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _died(name: str, task: "asyncio.Future[None]") -> TaskDied:
    if task.cancelled():
        return TaskDied(name, "was cancelled")
    error = task.exception()
    if error is None:
        return TaskDied(name, "returned")
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    death = TaskDied(name, f"failed: {type(error).__name__}: {error}")
    death.__cause__ = error
    return death
