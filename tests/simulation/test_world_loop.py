"""The simulated world's loop and oracle: time, order, crashes and stops, all of it repeatable."""

import asyncio
import gc
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from domain.time import HOUR, MILLISECOND, SECOND
from tests.world.loop import Deadlock, Killed, Livelock, SimLoop
from tests.world.oracle import SCHEDULE, Choice, Oracle, swarm

ROOT = Path(__file__).resolve().parents[2]
START = 1_735_689_600 * SECOND
SHUFFLED = {SCHEDULE: 0.5}


def calm_loop(mix: Mapping[str, float] | None = None, seed: int = 1) -> SimLoop:
    return SimLoop(Oracle.seeded(seed, mix or {}), START)


@pytest.fixture
def loop() -> Iterator[SimLoop]:
    loop = calm_loop()
    yield loop
    loop.close()


async def noting(notes: list[str], name: str, times: int, pause: float = 1.0) -> None:
    """Writes its name every ``pause`` seconds, and ``name closed`` when it is unwound."""
    try:
        for _ in range(times):
            notes.append(name)
            await asyncio.sleep(pause)
    finally:
        notes.append(f"{name} closed")


# Time


def test_an_hour_of_sleep_is_an_hour_of_the_loops_time_and_two_moves_of_it(loop: SimLoop) -> None:
    loop.run_until_complete(asyncio.sleep(3600))

    assert loop.time() == 3600
    assert loop.now_ns == START + HOUR
    assert loop.steps < 5


def test_time_stands_still_while_anything_is_ready(loop: SimLoop) -> None:
    seen: list[int] = []

    async def busy() -> None:
        loop.call_later(0, seen.append, -1)
        for _ in range(100):
            await asyncio.sleep(0)
            seen.append(loop.now_ns - START)

    loop.run_until_complete(busy())

    assert seen[:100] == [0] * 100


def test_a_timer_never_fires_before_its_instant(loop: SimLoop) -> None:
    """0.1 + 0.2 is more than 0.3: waiting for the rest must not spin on the same instant."""

    async def wait() -> None:
        deadline = loop.time() + 0.1 + 0.2
        while (rest := deadline - loop.time()) > 0:  # noqa: ASYNC110 - spinning is tested
            await asyncio.sleep(rest)

    loop.run_until_complete(wait())

    assert loop.time() >= 0.1 + 0.2
    assert loop.now_ns - START <= 300 * MILLISECOND + 1


def test_running_until_an_instant_runs_what_is_due_at_it_and_stands_there(loop: SimLoop) -> None:
    notes: list[str] = []
    loop.spawn("p", noting(notes, "p", 10))

    loop.run_until(START + 2 * SECOND)
    assert (notes, loop.now_ns) == (["p"] * 3, START + 2 * SECOND)

    loop.run_until(START + 2 * SECOND + 1)
    assert (notes, loop.now_ns) == (["p"] * 3, START + 2 * SECOND + 1)


def test_what_asyncio_offers_runs_unchanged(loop: SimLoop) -> None:
    async def producer(queue: asyncio.Queue[int]) -> None:
        for number in range(5):
            await asyncio.sleep(1)
            await queue.put(number)

    async def consumer(queue: asyncio.Queue[int], got: list[int], full: asyncio.Event) -> None:
        while len(got) < 5:
            got.append(await queue.get())
        full.set()

    async def main() -> tuple[list[int], float]:
        queue: asyncio.Queue[int] = asyncio.Queue(1)
        got: list[int] = []
        full = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(producer(queue))
            group.create_task(consumer(queue, got, full))
            await full.wait()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.5):
                await loop.create_future()
        assert "".join(await asyncio.gather(asyncio.sleep(1, "a"), asyncio.sleep(1, "b"))) == "ab"
        return got, loop.time()

    assert loop.run_until_complete(main()) == ([0, 1, 2, 3, 4], 8.5)


def test_a_group_that_is_cancelled_ends_in_the_order_in_which_it_began(loop: SimLoop) -> None:
    notes: list[str] = []
    names = [f"{number:02}" for number in range(40)]

    async def group() -> None:
        async with asyncio.TaskGroup() as tasks:
            for name in names:
                tasks.create_task(noting(notes, name, 2, pause=60.0))
                notes.append("x" * len(notes))  # other things are made in between

    async def cut_short() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await group()

    loop.run_until_complete(cut_short())

    assert [note for note in notes if note.endswith("closed")] == [f"{n} closed" for n in names]


def test_threads_sockets_and_signals_are_refused(loop: SimLoop) -> None:
    async def connect() -> None:
        await asyncio.open_connection("127.0.0.1", 1)

    async def thread() -> None:
        await asyncio.to_thread(print)

    for attempt in (connect(), thread()):
        with pytest.raises(NotImplementedError):
            loop.run_until_complete(attempt)
    refusals: list[Callable[[], object]] = [
        lambda: loop.call_soon_threadsafe(print),
        lambda: loop.add_signal_handler(15, print),
        lambda: loop.add_reader(0, print),
    ]
    for refused in refusals:
        with pytest.raises(NotImplementedError):
            refused()


# No way on, and no way out


def test_waiting_for_what_cannot_come_is_a_deadlock(loop: SimLoop) -> None:
    async def wait_for_nobody() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock):
        loop.run_until_complete(wait_for_nobody())


@pytest.mark.parametrize("pause", [0, 1e-9])
def test_steps_without_end_in_one_second_are_a_livelock(loop: SimLoop, pause: float) -> None:
    async def spin() -> None:
        while True:  # noqa: ASYNC110 - that is the fault
            await asyncio.sleep(pause)

    with pytest.raises(Livelock, match="spin of bot"):
        loop.run_until_complete(loop.spawn("bot", spin()))


def test_many_steps_over_many_seconds_are_no_livelock() -> None:
    loop = SimLoop(Oracle.seeded(1, {}), START, steps_per_second_max=50)
    loop.run_until_complete(noting([], "p", 1000, pause=0.1))
    loop.close()

    assert loop.steps > 1000


# Errors


async def fail() -> None:
    raise ValueError("planted")


def test_an_exception_that_nobody_retrieved_fails_the_world() -> None:
    loop = calm_loop()

    async def main() -> None:
        kept = asyncio.create_task(fail())
        loop.call_soon(lambda: 1 / 0)
        await asyncio.sleep(1)
        assert kept.done()

    main_task = loop.spawn("bot", main())
    orphan = loop.spawn("bot", fail())
    loop.run_until(START + 2 * SECOND)

    with pytest.raises(BaseExceptionGroup) as caught:
        loop.close()
    assert Counter(type(e) for e in caught.value.exceptions) == {
        ValueError: 2,
        ZeroDivisionError: 1,
    }
    assert main_task.done()
    assert orphan.done()


def test_an_exception_that_was_retrieved_does_not(loop: SimLoop) -> None:
    async def main() -> None:
        with suppress(ValueError):
            await asyncio.create_task(fail())

    loop.run_until_complete(main())

    assert loop.errors == []


def test_an_async_generator_left_to_the_garbage_collector_is_an_error(loop: SimLoop) -> None:
    async def numbers() -> AsyncIterator[int]:
        yield 1

    async def main() -> None:
        async for _ in numbers():
            break

    loop.run_until_complete(main())

    assert "garbage collector" in str(loop.errors.pop())


# Crashes and stops


def test_nothing_of_a_killed_process_runs_again_nor_is_closed_while_the_world_lives() -> None:
    loop = calm_loop()
    notes: list[str] = []
    answers: list[asyncio.Future[str]] = []

    async def waits() -> None:
        answers.append(loop.create_future())
        answers[0].add_done_callback(lambda _: notes.append("called back"))
        try:
            notes.append(await answers[0])
        finally:
            notes.append("waits closed")

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(noting(notes, "child", 100))
            group.create_task(waits())
            loop.call_later(5, notes.append, "timer")

    loop.spawn("bot", main())
    loop.spawn("other", noting(notes, "other", 100))
    loop.run_until(START + SECOND // 2)
    notes.clear()

    loop.kill("bot")
    answers.pop().set_result("answer")
    gc.collect()
    loop.run_until(START + 10 * SECOND)
    gc.collect()
    loop.run_until(START + 20 * SECOND)

    assert notes == ["other"] * 20
    loop.close()


def test_what_only_a_killed_process_itself_refers_to_is_kept_too() -> None:
    loop = calm_loop()
    notes: list[str] = []

    async def main() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            notes.append("closed")

    task = loop.spawn("bot", main())
    loop.run_until(START + SECOND)
    loop.kill("bot")
    del task
    gc.collect()

    assert notes == []
    loop.close()


def test_a_killed_process_cannot_be_resumed(loop: SimLoop) -> None:
    notes: list[str] = []
    loop.spawn("bot", noting(notes, "bot", 10))
    loop.suspend("bot")
    loop.kill("bot")
    loop.run_until(START + SECOND)
    loop.resume("bot")
    loop.run_until(START + 2 * SECOND)

    assert notes == []


def test_what_a_killed_process_would_have_retrieved_is_nobodys_error() -> None:
    loop = calm_loop()

    async def main() -> None:
        child = asyncio.create_task(fail())
        await asyncio.sleep(1)
        with suppress(ValueError):
            await child

    task = loop.spawn("bot", main())
    loop.run_until(START + SECOND // 2)
    loop.kill("bot")
    del task
    gc.collect()
    loop.run_until(START + 2 * SECOND)

    loop.close()
    assert loop.errors == []


def test_a_kill_point_in_the_middle_of_a_step_ends_it_there() -> None:
    loop = calm_loop()
    notes: list[str] = []

    def commit() -> None:
        notes.append("before")
        loop.kill("bot")
        raise Killed

    async def main() -> None:
        await asyncio.sleep(1)
        commit()
        notes.append("after")

    async def watching(task: asyncio.Task[None]) -> None:
        try:
            await task
        finally:
            notes.append("told")

    async def both() -> None:
        await watching(asyncio.create_task(main()))

    loop.spawn("bot", both())
    loop.run_until(START + 2 * SECOND)
    gc.collect()

    assert notes == ["before"]
    loop.close()


def test_the_living_are_not_excused_for_what_only_the_dead_may_raise() -> None:
    loop = calm_loop()

    async def main() -> None:
        raise Killed

    loop.spawn("bot", main())
    loop.run_until(START + SECOND)

    with pytest.raises(BaseExceptionGroup):
        loop.close()


def test_a_dead_process_waits_at_a_checkpoint_for_ever(loop: SimLoop) -> None:
    notes: list[str] = []

    async def main() -> None:
        await loop.checkpoint("bot")
        notes.append("alive")
        loop.kill("bot")
        await loop.checkpoint("bot")
        notes.append("dead")

    loop.spawn("bot", main())
    loop.run_until(START + SECOND)

    assert notes == ["alive"]


def test_a_stopped_process_goes_on_later_in_the_order_in_which_things_came(loop: SimLoop) -> None:
    notes: list[str] = []

    async def main() -> None:
        loop.call_later(1, notes.append, "first")
        loop.call_later(3, notes.append, "third")
        loop.call_later(2, notes.append, "second")
        await asyncio.sleep(4)
        notes.append(f"woke at {loop.time():.0f}")

    loop.spawn("bot", main())
    loop.run_until(START + SECOND // 2)
    loop.suspend("bot")
    loop.run_until(START + 10 * SECOND)
    assert notes == []

    loop.resume("bot")
    loop.run_until(START + 11 * SECOND)

    assert notes == ["first", "second", "third", "woke at 10"]


def test_the_worlds_own_timers_outlive_the_process_that_set_them(loop: SimLoop) -> None:
    notes: list[str] = []

    async def main() -> None:
        loop.at(loop.now_ns + SECOND, notes.append, "on the road")
        loop.kill("bot")

    loop.spawn("bot", main())
    loop.run_until(START + 2 * SECOND)

    assert notes == ["on the road"]


@pytest.mark.parametrize("last_step", [1, 7, 20])
def test_a_sampled_kill_falls_between_two_steps(loop: SimLoop, last_step: int) -> None:
    steps: list[int] = []

    def on_step(step: int, owner: str) -> None:
        if owner == "bot":
            steps.append(step)
        if step == last_step:
            loop.kill("bot")

    loop.on_step = on_step
    loop.spawn("bot", noting([], "bot", 100))
    loop.run_until(START + 100 * SECOND)

    assert steps == list(range(1, last_step + 1))


# Repeatable


async def _worker(number: int, queue: asyncio.Queue[int], notes: list[str]) -> None:
    for _ in range(20):
        await queue.put(number)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.01 * (number % 3)):
                await asyncio.sleep(0.015)
        notes.append(f"{number} {asyncio.get_running_loop().time()} {queue.get_nowait()}")


def run_workers(oracle: Oracle) -> tuple[str, tuple[str, ...]]:
    """A digest and notes of a run in which order decides what everyone gets."""
    loop = SimLoop(oracle, START)
    notes: list[str] = []

    async def main() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue()
        async with asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(_worker(number, queue, notes))

    loop.run_until_complete(loop.spawn("bot", main()))
    loop.close()
    return loop.digest(), tuple(notes)


def test_the_same_seed_gives_the_same_run_and_another_gives_another() -> None:
    one, again, other = (run_workers(Oracle.seeded(seed, SHUFFLED)) for seed in (1, 1, 2))

    assert one == again
    assert one[0] != other[0]
    assert one[1] != other[1]


def test_the_hash_seed_of_the_interpreter_changes_nothing() -> None:
    script = (
        "from tests.simulation.test_world_loop import *\n"
        "print(run_workers(Oracle.seeded(7, SHUFFLED))[0])"
    )
    digests = [
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
        ).stdout.decode()
        for hash_seed in ("1", "2")
    ]

    assert digests[0] == digests[1]
    assert digests[0].strip() == run_workers(Oracle.seeded(7, SHUFFLED))[0]


def test_two_seeds_differ_in_at_least_a_fifth_of_the_choices_among_ready_handles() -> None:
    one, other = (Oracle.seeded(seed, swarm(seed, {})) for seed in (1, 2))
    run_workers(one)
    run_workers(other)

    values = [{c.nth: c.value for c in oracle.taken} for oracle in (one, other)]
    uses = min(oracle.counts[SCHEDULE] for oracle in (one, other))
    different = sum(values[0].get(nth, 0) != values[1].get(nth, 0) for nth in range(uses))
    assert uses > 200
    assert different >= uses / 5


def test_a_run_is_its_list_of_choices() -> None:
    first = Oracle.seeded(3, SHUFFLED)
    run = run_workers(first)
    second = Oracle.replay(first.taken)

    assert run_workers(second) == run
    assert second.taken == first.taken
    assert second.counts == first.counts
    assert run_workers(Oracle.replay([])) == run_workers(Oracle.seeded(1, {}))


def test_one_choice_left_out_is_the_benign_one_there_and_no_other_changes() -> None:
    first = Oracle.seeded(3, SHUFFLED)
    run_workers(first)
    fewer = first.taken[:5] + first.taken[6:]
    second = Oracle.replay(fewer)
    run_workers(second)

    assert second.taken[:5] == fewer[:5]
    assert first.taken[5] not in second.taken


# The oracle by itself


def test_choices_are_keyed_by_their_site_and_its_count() -> None:
    oracle = Oracle.replay([Choice("a", 1, 2), Choice("b", 0, 1)])

    assert [oracle.choose("a", 3), oracle.choose("new", 5), oracle.choose("a", 3)] == [0, 0, 2]
    assert oracle.chance("b", 0.0)
    assert oracle.taken == [Choice("a", 1, 2), Choice("b", 0, 1)]
    assert oracle.counts == {"a": 2, "new": 1, "b": 1}


def test_a_replayed_choice_stays_within_the_options_there_are_now() -> None:
    oracle = Oracle.replay([Choice("a", 0, 9), Choice("a", 1, 1)])

    assert [oracle.choose("a", 4), oracle.choose("a", 1)] == [3, 0]
    assert oracle.taken == [Choice("a", 0, 3)]


def test_one_more_use_of_a_site_moves_no_other() -> None:
    def drawn(extra: int) -> list[int]:
        oracle = Oracle.seeded(1, {"a": 0.5, "b": 0.5})
        for _ in range(extra):
            oracle.choose("a", 10)
        return [oracle.choose("b", 10) for _ in range(50)]

    assert drawn(0) == drawn(3)


def draws(draw: Callable[[Oracle], int]) -> Counter[int]:
    oracle = Oracle.seeded(5, {"half": 0.5})
    return Counter(draw(oracle) for _ in range(10_000))


def test_choices_chances_and_amounts_come_at_their_rates() -> None:
    half = draws(lambda oracle: oracle.choose("half", 3))
    assert 4800 < half[0] < 5200
    assert 2300 < half[1] < 2700
    assert sorted(half) == [0, 1, 2]
    assert sorted(draws(lambda oracle: oracle.choose("absent", 3))) == [0]

    assert 900 < draws(lambda oracle: oracle.chance("tenth", 0.1))[True] < 1100
    assert sorted(draws(lambda oracle: oracle.chance("never", 0.0))) == [False]

    amounts = draws(lambda oracle: oracle.amount("amount", 10, 14))
    assert sorted(amounts) == [10, 11, 12, 13, 14]
    assert min(amounts.values()) > 1800
    assert draws(lambda oracle: oracle.amount("fixed", 3, 3)) == {3: 10_000}


def test_an_amount_replays_from_its_choices() -> None:
    seeded = Oracle.seeded(1, {})
    amounts = [seeded.amount("ms", 10, 300) for _ in range(50)]
    replayed = Oracle.replay(seeded.taken)

    assert [replayed.amount("ms", 10, 300) for _ in range(50)] == amounts
    assert Oracle.replay([]).amount("ms", 10, 300) == 10


def test_a_swarm_turns_on_about_half_of_the_faults_each_at_its_own_rate() -> None:
    sites = {f"fault {number}": 0.3 for number in range(100)}
    one, other = swarm(1, sites), swarm(2, sites)

    assert swarm(1, sites) == one != other
    assert 35 < len(one) < 65
    assert max(rate for site, rate in one.items() if site != SCHEDULE) <= 0.3
    assert len({round(rate, 6) for rate in one.values()}) > 30
    assert one[SCHEDULE] >= 0.25
