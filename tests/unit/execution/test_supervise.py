"""No task dies in silence."""

import asyncio
from collections.abc import Coroutine

import pytest

from execution.supervise import TaskDied, supervise


async def for_ever() -> None:
    await asyncio.Event().wait()


async def returns() -> None:
    await asyncio.sleep(0)


async def fails() -> None:
    await asyncio.sleep(0)
    raise KeyError("gone")


async def is_cancelled() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("doomed", "how"),
    [(returns, "returned"), (fails, "failed: KeyError: 'gone'"), (is_cancelled, "was cancelled")],
)
async def test_however_a_task_ends_all_end_and_it_is_said_which(
    doomed: "type[Coroutine[None, None, None]]", how: str
) -> None:
    told: list[TaskDied] = []
    ended = []

    async def other() -> None:
        try:
            await for_ever()
        finally:
            ended.append("other")

    with pytest.raises(TaskDied, match=f"task doomed {how}"):
        await supervise({"other": other(), "doomed": doomed()}, told.append)
    assert [death.task for death in told] == ["doomed"]
    assert ended == ["other"]


async def test_a_stop_from_outside_ends_all_and_is_no_death() -> None:
    told: list[TaskDied] = []
    ended = []

    async def other() -> None:
        try:
            await for_ever()
        finally:
            ended.append("other")

    running = asyncio.create_task(supervise({"other": other()}, told.append))
    await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert told == []
    assert ended == ["other"]
