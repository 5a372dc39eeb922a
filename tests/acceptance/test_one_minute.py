"""A bot that is killed in its first minute, and its watchdog, as processes behind one address.

The exchange is in the test, under the venue's limits: it says what was asked, and what refused.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

import pytest
import pytest_asyncio

from bot import emulation
from bot.clock import SteadyClock
from execution.venues.hyperliquid.emulator.limits import Limits
from tests.unit.bot.cli.processes import (
    ACCOUNT,
    TRADER,
    TRADER_KEY,
    WATCHDOG,
    WATCHDOG_KEY,
    Command,
    key_file,
    running,
)


class Scene:
    """Who runs at ``url``; ``limits`` are the exchange's."""

    def __init__(self, url: str, limits: Limits, folder: Path) -> None:
        self.limits = limits
        self._folder, self._processes = folder, ExitStack()
        place = ("--url", url, "--account", ACCOUNT, "--state", str(folder / "state"))
        trader, watchdog = (
            key_file(folder, key, name)
            for key, name in ((TRADER_KEY, "trader.key"), (WATCHDOG_KEY, "watchdog.key"))
        )
        self._live = ("live", *place, "--key-file", trader)
        self._watchdog = ("watchdog", *place, "--key-file", watchdog, "--trader", TRADER)

    async def _start(self, *words: str) -> Command:
        return await asyncio.to_thread(self._processes.enter_context, running(self._folder, *words))

    async def bot(self) -> tuple[Command, float]:
        """A running one, and after how many seconds it was."""
        began = time.monotonic()
        bot = await self._start(*self._live)
        await heard(bot, event="recovered")
        return bot, time.monotonic() - began

    async def watchdog(self) -> Command:
        watchdog = await self._start(*self._watchdog)
        await heard(watchdog, event="watching")
        return watchdog

    def close(self) -> None:
        self._processes.close()


async def heard(command: Command, **said: str) -> None:
    """On a busy machine this takes its time."""
    await asyncio.to_thread(command.heard, **said)


@pytest_asyncio.fixture
async def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    limits = Limits()
    monkeypatch.setattr(emulation, "Limits", lambda: limits)
    account = emulation.Account(ACCOUNT, {"spot.USDC": Decimal(10_000)}, (TRADER, WATCHDOG))
    serving = emulation.emulate(
        directory=None, accounts=[account], unified=True, seed=1, speed=1.0,
        clock=SteadyClock().now_ns, port=0, limited=True,
    )  # fmt: skip
    async with serving as url:
        made = Scene(url, limits, tmp_path)
        try:
            yield made
        finally:
            await asyncio.to_thread(made.close)


async def test_a_kill_right_after_the_start_is_recovered_from_without_a_refusal(
    scene: Scene,
) -> None:
    bot, _ = await scene.bot()
    bot.kill()
    await asyncio.sleep(0.5)  # what it had on the road counts as its own
    first = scene.limits.heaviest
    again, seconds = await scene.bot()

    assert scene.limits.refused == 0
    assert seconds < 15
    # The candles were there already; what is asked again is who may trade what, and the account.
    assert scene.limits.heaviest - first < 400
    again.kill()


@pytest.mark.slow
@pytest.mark.parametrize(("second", "is_taken_over"), [(10, False), (25, True), (45, False)])
async def test_a_kill_in_the_first_minute_of_both_is_survived_without_a_refusal(
    scene: Scene, second: int, is_taken_over: bool
) -> None:
    began = time.monotonic()
    watchdog = await scene.watchdog()
    bot, _ = await scene.bot()
    await asyncio.sleep(max(began + second - time.monotonic(), 0.0))
    bot.kill()
    killed = time.monotonic()
    if is_taken_over:
        await heard(watchdog, event="alarm", alarm="trader_silent")
        await heard(watchdog, event="alarm", alarm="watchdog_neutral")
        assert time.monotonic() - killed < 20
    again, seconds = await scene.bot()
    await asyncio.sleep(8.0)  # of what follows a start, most
    again.kill()

    assert scene.limits.refused == 0
    assert scene.limits.heaviest <= 1_200
    assert seconds < 15
