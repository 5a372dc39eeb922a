"""Real processes over real sockets: a bot killed again and again, and one that is stopped.

``python -m tests.world.sigkill --kills 200`` starts a venue and a bot, ends the bot by SIGKILL
again and again, and every twenty kills lets it close everything and compares its journal with
what the venue says. ``--minutes M`` ends earlier, ``--into FILE`` adds to what the file has.
``python -m tests.world.sigkill --stop`` stops a bot that holds legs, takes half of one away, and
tells when the watchdog acts and what becomes of the bot when it goes on.
"""

import argparse
import asyncio
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from typing import Any, TypeVar
from urllib.request import ProxyHandler, Request, build_opener

import msgspec

from bot.lease import Held, LeaseLost
from bot.transport import HttpTransport
from domain.instruments import Pair
from domain.orders import Fill, is_own
from domain.time import MILLISECOND, SECOND
from execution.effects import RaiseAlarm
from execution.facts import Fact
from execution.journal import open_for_reading
from execution.venues.hyperliquid.start import load
from execution.venues.hyperliquid.timing import Timing
from tests.world.processes.judgement import accepted, judge, uneven
from tests.world.processes.trader import ALARMS, JOURNAL, LEASE, REST
from tests.world.processes.venue import Account, VenueHistory
from tests.world.processes.watchdog import ALARMS as WATCHDOG_ALARMS
from tests.world.world import ACCOUNT, TRADER, WANTED, WATCHDOG

ROOT = Path(__file__).resolve().parents[2]
KILLS_A_HEAL = 20
SHORTEST, LONGEST = 0.2, 4.0
"""How long a bot lives after it has started, in seconds."""
HEAL_SECONDS, HEAL_SECONDS_MAX = 12.0, 60.0
START_SECONDS_MAX = 30.0
LOOK_SECONDS = 0.05
LEASE_LOST = LeaseLost.__name__
LANDED_NS = 200 * MILLISECOND
"""What was on its way when its sender was stopped has arrived by then."""

T = TypeVar("T")


class Child:
    """One process of ours: what it says, and what is done to it."""

    def __init__(self, name: str, directory: Path, *args: str) -> None:
        command = [sys.executable, "-m", f"tests.world.processes.{name}", *args]
        with (directory / f"{name}.err").open("ab") as errors:
            # A session of its own: an interrupt at the terminal is for this process alone.
            self._process = subprocess.Popen(
                command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
            )
        self._name, self._heard = name, b""

    def hear(self, seconds: float) -> dict[str, Any] | None:
        """The next line it says within so long; None when it says nothing."""
        assert self._process.stdout is not None
        pipe, until = self._process.stdout.fileno(), time.monotonic() + seconds
        while b"\n" not in self._heard:
            ready, _, _ = select.select([pipe], [], [], max(until - time.monotonic(), 0.0))
            if not ready:
                return None
            if not (said := os.read(pipe, 65_536)):
                return {"ended": f"{self._name} without a word"}
            self._heard += said
        line, _, self._heard = self._heard.partition(b"\n")
        return msgspec.json.decode(line, type=dict[str, Any])

    def expect(self, word: str) -> dict[str, Any]:
        """The first line, which has to have ``word`` in it."""
        line = self.hear(START_SECONDS_MAX)
        if line is None or word not in line:
            raise RuntimeError(f"the {self._name} did not start: {line}")
        return line

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, whatever it is doing; returns when it is gone."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


class Result(msgspec.Struct):
    """What kills came to, over all runs; ``met`` is what the bot was in the middle of.

    ``rows`` are facts in the journals, each durable before anything was done about it.
    """

    runs: int = 0
    seconds: float = 0.0
    kills: int = 0
    starts: int = 0
    start_seconds_max: float = 0.0
    heals: int = 0
    heal_seconds_max: float = 0.0
    rows: int = 0
    requests: int = 0
    orders: int = 0
    fills: int = 0
    met: dict[str, int] = {}
    ended: dict[str, int] = {}
    alarms: dict[str, int] = {}
    violations: list[str] = []

    def add(self, other: "Result") -> None:
        for name in self.__struct_fields__:
            mine, more = getattr(self, name), getattr(other, name)
            if isinstance(mine, dict):
                setattr(self, name, dict(Counter(mine) + Counter(more)))
            elif name.endswith("_max"):
                setattr(self, name, max(mine, more))
            else:
                setattr(self, name, mine + more)


class Stage:
    """A venue, and whoever is started at it; all of them are gone when it ends."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.directory, self.seed = directory, seed
        self.since_ns = time.time_ns()
        self.spoilt = False
        self.url = self._back_door = ""
        self.pairs: tuple[Pair, ...] = ()
        self._children: list[Child] = []
        self._opener = build_opener(ProxyHandler({}))

    def open(self) -> None:
        """Start the venue.

        Raises:
            RuntimeError: when it does not.
        """
        said = self._start("venue", "--seed", str(self.seed)).expect("url")
        self.url, self._back_door = str(said["url"]), str(said["back_door"])
        self.pairs = asyncio.run(self._load())

    async def _load(self) -> tuple[Pair, ...]:
        async with HttpTransport(self.url) as transport:
            return (await load(transport, ACCOUNT, WANTED, Timing())).pairs

    def _start(self, name: str, *args: str) -> Child:
        child = Child(name, self.directory, *args)
        self._children.append(child)
        return child

    def trader(self) -> Child:
        return self._start(
            "trader", "--url", self.url, "--state", str(self.directory),
            "--seed", str(self.seed), "--since-ns", str(self.since_ns),
        )  # fmt: skip

    def watchdog(self) -> Child:
        return self._start("watchdog", "--url", self.url, "--state", str(self.directory))

    def end(self, child: Child) -> None:
        child.kill()
        self._children.remove(child)

    def close(self) -> None:
        for child in [*self._children]:
            self.end(child)

    def rest(self, *, wanted: bool) -> None:
        """Have the bot want nothing, or what its spells say again."""
        path = self.directory / REST
        path.touch() if wanted else path.unlink(missing_ok=True)

    # --- what can be read ------------------------------------------------------------------

    def account(self) -> Account:
        return self._ask("/account", Account)

    def history(self) -> VenueHistory:
        return self._ask("/history", VenueHistory)

    def deleverage(self) -> None:
        """The venue takes half of the largest short away."""
        with self._opener.open(Request(f"{self._back_door}/deleverage", b""), timeout=10):
            pass

    def _ask(self, path: str, kind: type[T]) -> T:
        with self._opener.open(self._back_door + path, timeout=10) as answer:
            return msgspec.json.decode(answer.read(), type=kind)

    def facts(self) -> list[Fact]:
        """The journal as it is on the disk, shown by its chain to be what was written."""
        with open_for_reading(self.directory / JOURNAL) as journal:
            journal.verify()
            return list(journal.read())

    def alarms(self, name: str) -> list[RaiseAlarm]:
        path = self.directory / name
        lines = path.read_bytes().splitlines() if path.exists() else ()
        return [msgspec.json.decode(line, type=RaiseAlarm) for line in lines]

    def wrong(self) -> tuple[str, ...]:
        """The venue is asked first: what the journal has by then is no less than it should."""
        history = self.history()
        return judge(self.facts(), history, self.pairs, TRADER.address)


@contextmanager
def stage(seed: int) -> Iterator[Stage]:
    """Whatever happens, its processes end; its files are kept where something went wrong."""
    directory = Path(mkdtemp(prefix="sigkill-"))
    world = Stage(directory, seed)
    try:
        world.open()
        yield world
    except Exception:
        world.spoilt = True
        raise
    finally:
        world.close()
        if world.spoilt:
            print(f"see {directory}", file=sys.stderr)
        else:
            shutil.rmtree(directory)


# --- killed ---------------------------------------------------------------------------------


def campaign(
    kills: int,
    seed: int,
    result: Result,
    *,
    until: float = float("inf"),
    longest: float = LONGEST,
    heal: float = HEAL_SECONDS,
) -> None:
    """Kill a bot so often, or until then (monotonic); ``result`` has what it came to so far."""
    chance, began = Random(seed), time.monotonic()
    result.runs += 1
    with stage(seed) as world:
        try:
            while result.kills < kills and time.monotonic() < until:
                _cycle(world, chance.uniform(SHORTEST, longest), result)
                if result.kills % KILLS_A_HEAL == 0:
                    _heal(world, result, heal)
                    wrong = len(result.violations)
                    print(f"{result.kills} kills, {wrong} violations", file=sys.stderr, flush=True)
            if result.kills % KILLS_A_HEAL:
                _heal(world, result, heal)
        finally:
            _count(world, result)
            result.seconds += time.monotonic() - began


def _cycle(world: Stage, seconds: float, result: Result) -> None:
    """One life of the bot, to its end by SIGKILL."""
    bot = _started(world, result)
    ended = bot.hear(seconds)
    world.end(bot)
    if ended is None:
        result.kills += 1
        _note(result.met, _middle_of(world))
    else:
        _note(result.ended, str(ended["ended"]))
        if ended["ended"] != LEASE_LOST:  # on a machine that stands still for a while it has to
            _blame(world, result, (f"the bot ended itself: {ended}",))


def _started(world: Stage, result: Result) -> Child:
    began = time.monotonic()
    bot = world.trader()
    said = bot.expect("started_ns")
    result.starts += 1
    result.start_seconds_max = max(result.start_seconds_max, time.monotonic() - began)
    if said["unknown"]:
        _note(result.met, "an order whose fate it did not know")
    return bot


def _middle_of(world: Stage) -> str:
    account = world.account()
    if any(uneven(account, world.pairs)):
        return "legs that differ"
    if any(map(is_own, account.report.open_orders)):
        return "an order that rests"
    return "legs that are even" if account.report.positions else "nothing"


def _heal(world: Stage, result: Result, seconds: float) -> None:
    """Nobody is killed and nothing wanted: what has not come right by then never may."""
    began = time.monotonic()
    world.rest(wanted=True)
    bot = _started(world, result)
    ended = bot.hear(seconds)
    wrong = world.wrong()
    while wrong and ended is None and time.monotonic() - began < HEAL_SECONDS_MAX:
        ended = bot.hear(1.0)
        wrong = world.wrong()
    world.end(bot)
    world.rest(wanted=False)
    result.heals += 1
    result.heal_seconds_max = max(result.heal_seconds_max, time.monotonic() - began)
    if ended is not None:
        _note(result.ended, str(ended["ended"]))
        wrong = (*wrong, f"the bot ended itself: {ended}")
    _blame(world, result, wrong)


def _blame(world: Stage, result: Result, wrong: Sequence[str]) -> None:
    world.spoilt = world.spoilt or bool(wrong)
    result.violations += [f"seed {world.seed}, after {result.kills} kills: {w}" for w in wrong]


def _count(world: Stage, result: Result) -> None:
    history, facts = world.history(), world.facts()
    result.rows += len(facts)
    result.requests += len(history.received)
    result.orders += sum(1 for _ in accepted(history.received))
    result.fills += sum(1 for event in history.private if isinstance(event, Fill))
    for alarm in world.alarms(ALARMS):
        _note(result.alarms, alarm.alarm)


def _note(counts: dict[str, int], what: str) -> None:
    counts[what] = counts.get(what, 0) + 1


# --- stopped --------------------------------------------------------------------------------


class Stopped(msgspec.Struct):
    """What became of a bot that was stopped while it held legs.

    ``did`` is the watchdog's own word. ``acted`` (its first request), ``neutral`` (no order of
    the bot's rests, the legs are even) and ``told`` (it says so) are seconds since the bot was
    stopped, ``yielded`` since it went on. ``late`` are its orders that were taken after.
    """

    orders_resting: int
    did: str
    acted: float
    neutral: float
    told: float
    yielded: float
    ended: str
    late: list[str]
    requests_after: int
    violations: list[str]


def stop(seed: int, heal: float = HEAL_SECONDS) -> Stopped:
    """Stop a bot, let half of a leg be taken away, and wake it up when the watchdog is done."""
    with stage(seed) as world:
        bot, watchdog = world.trader(), world.watchdog()
        bot.expect("started_ns")
        watchdog.expect("watching")
        before = _wait(lambda: _exposed(world), "a leg, an order that rests, and a lease")
        bot.signal(signal.SIGSTOP)
        stop_ns = time.time_ns()
        world.deleverage()
        _wait(lambda: not _is_neutral(world) or None, "legs that differ")
        neutral_ns = _wait(lambda: time.time_ns() if _is_neutral(world) else None, "neutral legs")
        told = _wait(lambda: _told(world, "watchdog_neutral"), "the watchdog's word")
        awake_ns = time.time_ns()
        bot.signal(signal.SIGCONT)
        ended = bot.hear(30.0) or {"ended": "not at all"}
        ended_ns = time.time_ns()
        world.end(bot)
        received = world.history().received
        of_bot = [r for r in received if r.signer == TRADER.address]
        late = [r for r in of_bot if r.time_ns > stop_ns + LANDED_NS]
        acts = [r.time_ns for r in received if r.signer == WATCHDOG.address]
        result = Result()
        _heal(world, result, heal)
        return Stopped(
            orders_resting=before,
            did=told.detail,
            acted=(min(acts) - stop_ns) / SECOND,
            neutral=(neutral_ns - stop_ns) / SECOND,
            told=(told.time_ns - stop_ns) / SECOND,
            yielded=(ended_ns - awake_ns) / SECOND,
            ended=str(ended["ended"]),
            late=[str(cloid) for cloid, _ in accepted(late)],
            requests_after=len(late),
            violations=result.violations,
        )


def _wait(look: Callable[[], T | None], what: str, seconds: float = 60.0) -> T:
    """Look again and again until there is something."""
    until = time.monotonic() + seconds
    while (found := look()) is None:
        if time.monotonic() > until:
            raise RuntimeError(f"no {what} within {seconds:g} s")
        time.sleep(LOOK_SECONDS)
    return found


def _exposed(world: Stage) -> int | None:
    """How many orders rest, when a short in profit stands and its owner said what is not his."""
    path = world.directory / LEASE
    held = msgspec.json.decode(path.read_bytes(), type=Held)
    report = world.account().report
    standing = any(p.quantity < 0 and p.margin > 0 and abs(p.quantity) * p.mark > 500
                   for p in report.positions)  # fmt: skip
    resting = sum(1 for cloid in report.open_orders if is_own(cloid))
    return resting if standing and resting and held.not_ours else None


def _is_neutral(world: Stage) -> bool:
    account = world.account()
    rests = any(map(is_own, account.report.open_orders))
    return not rests and not any(uneven(account, world.pairs))


def _told(world: Stage, alarm: str) -> RaiseAlarm | None:
    return next((a for a in world.alarms(WATCHDOG_ALARMS) if a.alarm == alarm), None)


# --- the command ----------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--into", type=Path, help="a file to add what it came to to")
    parser.add_argument("--seed", type=int, default=time.time_ns() // SECOND)
    parser.add_argument("--stop", action="store_true", help="stop the bot once, kill nobody")
    args = parser.parse_args(argv)
    print(f"seed {args.seed}", flush=True)
    if args.stop:
        stopped = stop(args.seed)
        print(msgspec.json.format(msgspec.json.encode(stopped)).decode())
        return 1 if stopped.violations or stopped.late or stopped.ended != LEASE_LOST else 0
    result, until = Result(), time.monotonic() + 60 * args.minutes
    try:
        campaign(args.kills, args.seed, result, until=until)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
    if args.into is not None:
        total = Result()
        if args.into.exists():
            total = msgspec.json.decode(args.into.read_bytes(), type=Result)
        total.add(result)
        args.into.write_bytes(msgspec.json.format(msgspec.json.encode(total)))
    print(msgspec.json.format(msgspec.json.encode(result)).decode())
    return 1 if result.violations else 0


if __name__ == "__main__":
    sys.exit(main())
