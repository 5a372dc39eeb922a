"""The real bot in the deterministic world: healthy, stopped, and with each of its tasks dying."""

import asyncio
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from domain.orders import Fill
from domain.time import DAY, SECOND
from execution.facts import LimitTripped, TradePlanned
from tests.world.campaign import CALM, LOSSY, judged, quantile, run_seed
from tests.world.checker import check
from tests.world.history import WindowKind
from tests.world.oracle import Oracle
from tests.world.world import START, TRADER, World, busy

TASKS = (
    "decide", "tick", "health", "public", "private", "account", "funding", "history", "budget",
    "requests",
)  # fmt: skip


@pytest.fixture
def world() -> Iterator[World]:
    made = World(Oracle.seeded(3, CALM), 3, hours=0.2)
    yield made
    made.close()


def after(world: World, seconds: float) -> None:
    world.loop.run_until(world.loop.now_ns + int(seconds * SECOND))


def assert_clean(world: World) -> None:
    assert world.violations == []
    assert [str(violation) for violation in check(world.history())] == []


def test_on_a_calm_road_it_trades_and_nothing_is_wrong(world: World) -> None:
    world.run()
    assert_clean(world)
    result = judged(world, 3, 0.2, 0.0)
    assert result.trades >= 3
    assert result.undecided == 0
    assert quantile(result.naked, 0.99) <= 5
    assert world.starts == 1


def test_what_a_lossy_road_leaves_unknown_is_decided_by_proof() -> None:
    result = run_seed(5, 0.3, LOSSY)
    assert result.violations == []
    assert result.decisions
    assert result.undecided == 0
    assert quantile(result.decisions, 0.5) <= 3
    assert quantile(result.decisions, 0.99) <= 30


def the_task(world: World, name: str) -> "asyncio.Task[object]":
    found = [task for task in world.loop._owners if task.get_name() == name and not task.done()]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("name", TASKS)
def test_when_a_task_dies_a_person_is_told_and_the_bot_starts_again(
    name: str, world: World
) -> None:
    after(world, 120)
    died_ns = world.loop.now_ns
    the_task(world, name).cancel()
    after(world, 5)
    told = [alarm for alarm in world.alarms if alarm.name == "task_died"]
    assert [alarm.detail for alarm in told] == [f"task {name} was cancelled"]
    assert told[0].time_ns - died_ns <= 5 * SECOND
    assert world.deaths == 1
    world.violations.clear()  # that it ended is what was asked for here
    world.run()
    assert world.starts == 2
    assert_clean(world)


def test_the_supervised_tasks_are_all_there_are(world: World) -> None:
    after(world, 30)
    names = {task.get_name() for task in world.loop._owners if not task.done()}
    assert set(TASKS) <= names
    assert {name for name in names if not name.startswith("Task-")} == set(TASKS)


def test_the_keys_end_is_told_of_and_stops_entries_three_days_before(world: World) -> None:
    world.agent_until_ns = START + 7 * DAY + 30 * SECOND
    after(world, 120)
    told = [alarm for alarm in world.alarms if alarm.name == "agent_expires"]
    assert len(told) == 2  # at the start, since 14 days are past, and when 7 are reached
    assert world.process is not None
    assert world.process.live is not None
    seen = [one.what for one in world.process.live.record.happened if one.level == "alarm"]
    assert len([what for what in seen if what.startswith("agent_expires: ")]) == 2
    assert any(isinstance(fact, TradePlanned) for fact in world.facts)
    assert not any(isinstance(fact, LimitTripped) for fact in world.facts)
    world.agent_until_ns = world.loop.now_ns + 3 * DAY + 1 * SECOND
    after(world, 5)
    assert [f.limit for f in world.facts if isinstance(f, LimitTripped)] == ["agent_expires"]
    assert "limit_tripped" in [alarm.name for alarm in world.alarms]
    before = len(world.facts)
    after(world, 300)
    assert not any(isinstance(fact, TradePlanned) for fact in world.facts[before:])


def test_what_was_stopped_for_longer_than_its_lease_sends_nothing_when_it_wakes_up(
    world: World,
) -> None:
    after(world, 150)
    owner = world.process.owner if world.process is not None else ""
    assert any(isinstance(fact, TradePlanned) for fact in world.facts)
    world.loop.suspend(owner)
    after(world, 10)
    sent = sum(entry.path == "/exchange" for entry in world.net.log if entry.owner == owner)
    world.loop.resume(owner)
    after(world, 1)
    assert (world.starts, world.deaths) == (1, 1)
    assert sent == sum(entry.path == "/exchange" for entry in world.net.log if entry.owner == owner)
    assert "lease" in world.alarms[-1].detail
    world.run()
    assert_clean(world)


def test_a_venue_that_does_not_answer_at_the_start_is_told_of_and_waited_for() -> None:
    world = World(Oracle.seeded(4, CALM), 4, hours=0.1)
    world.net.partition("venue", START + 60 * SECOND)
    after(world, 10)
    assert [alarm.name for alarm in world.alarms] == ["start_delayed"]
    assert world.alarms[0].time_ns - START <= 5 * SECOND
    world.run()
    assert_clean(world)
    world.close()


def test_every_action_at_the_venue_is_the_traders(world: World) -> None:
    world.run()
    signers = {entry.signer for entry in world.emulator.received}
    assert signers == {TRADER.address}
    assert not any(window.kind is WindowKind.LEASE for window in world.windows)


def test_with_a_clock_that_is_behind_the_venues_nothing_arrives_expired() -> None:
    usual = busy()
    settings = replace(usual, risk=replace(usual.risk, clock_skew_seconds_max=60.0))
    world = World(Oracle.seeded(4, CALM), 4, hours=0.25, settings=settings)
    world.clock.offset_ns = -20 * SECOND
    world.run()
    expired = [entry for entry in world.emulator.received if "expired" in entry.outcome]
    at_first = START + 15 * SECOND  # before it has seen what the venue's clock says
    assert [entry for entry in expired if entry.time_ns > at_first] == []
    assert any(isinstance(fact, Fill) for fact in world.facts)
    assert_clean(world)
    world.close()


def test_a_journal_from_the_future_is_refused_and_told_of() -> None:
    world = World(Oracle.seeded(4, CALM), 4, hours=0.1)
    world.clock.offset_ns = 3600 * SECOND
    after(world, 60)
    assert world.process is not None
    world.clock.offset_ns = 0
    world.die(world.process.owner)
    after(world, 30)
    told = [alarm.detail for alarm in world.alarms if alarm.name == "start_failed"]
    assert told
    assert "ahead of this machine's clock" in told[0]
    assert world.violations
    world.close()


def test_a_start_that_fails_again_and_again_does_not_keep_the_lease() -> None:
    world = World(Oracle.seeded(4, CALM), 4, hours=0.1)
    world.net.partition("venue", START + 60 * SECOND)
    after(world, 30)
    assert not (world.directory / "lease.json").exists()
    world.close()
