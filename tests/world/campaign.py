"""Many worlds, each of one seed: what went wrong, what was met on the way, how long things took.

``python -m tests.world.campaign --seeds 250`` runs a simulated hour of each seed on all
processors, and fails on any violation or where the faults did not meet the bot in the middle of
everything it does. ``--seed N`` runs one and tells more. ``--minutes M --into FILE`` goes on
over new seeds for so long, and adds to what the file has, which is of one state of the code.
``--venue cex`` does it at the other venue, which has no nonces; ``--venue alone`` at the first
with perps that stand alone, ``--venue mirror`` with coins that are sold against a perp or hedged.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from itertools import count, takewhile
from math import ceil
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path
from threading import Event, Semaphore

import msgspec

from domain.time import SECOND
from execution.facts import OrderDoubted, OrderResolved, Retargeted, TradePlanned
from tests.world import cex_world
from tests.world.cex_world import CexWorld
from tests.world.checker import check
from tests.world.figures import coverage, forced_to_neutral_seconds, naked_seconds
from tests.world.net import Fate, StreamFault, Weather
from tests.world.oracle import Oracle
from tests.world.restless import Restless
from tests.world.world import ADL, BY_HAND, DISK, KILLS, STOP, AloneWorld, MirrorWorld, World, wild

Mix = Mapping[str, float]
CALM: Mix = {}
LOSSY: Mix = {
    Fate.LOST_BEFORE: 0.05, Fate.LOST_AFTER: 0.05, Fate.LATE: 0.05, Fate.FAILED_AFTER: 0.05
}  # fmt: skip
"""A healthy venue behind a road that loses one request in five, or its answer."""

TAKEN: Mix = {ADL: 0.3, BY_HAND: 0.3}
"""A healthy road, and now and then the venue or a person takes away a part of a leg."""
MIXES: Mapping[str, Mix | None] = {"swarm": None, "calm": CALM, "lossy": LOSSY, "taken": TAKEN}

VENUES: Mapping[str, tuple[type[World], Callable[[int], Mix]]] = {
    "hyperliquid": (World, wild),
    "alone": (AloneWorld, wild),
    "mirror": (MirrorWorld, wild),
    "cex": (CexWorld, cex_world.wild),
}

STATES = ("idle", "preparing", "opening", "holding", "closing", "naked", "unknown", "starting")
KINDS = (
    *(str(fate) for fate in Fate if fate is not Fate.ANSWERED), *map(str, StreamFault),
    *map(str, Weather), *KILLS, DISK, STOP, ADL, BY_HAND,
)  # fmt: skip
HAPPENINGS = (
    "open spot", "open perp", "close spot", "close perp", "hedge spot", "hedge perp", "partial",
    "cancel", "order refused", "fence burnt", "fence used", "again", "adl", "manual", "funding",
)  # fmt: skip


class Result(msgspec.Struct):
    """What one seed came to. Durations in simulated seconds, ``cost`` in processor seconds."""

    seed: int
    hours: float
    cost: float
    digest: str
    steps: int
    kills: int
    trades: int
    grown: int
    shrunk: int
    undecided: int
    faults: dict[str, int]
    cells: dict[str, int]
    happened: dict[str, int]
    decisions: list[float]
    naked: list[float]
    forced: list[float]
    violations: list[str]


class Total(msgspec.Struct):
    """Results added up; a soak keeps it in a file, with the digest of the code it is of."""

    code: str = ""
    runs: int = 0
    hours: float = 0.0
    cost: float = 0.0
    kills: int = 0
    trades: int = 0
    grown: int = 0
    shrunk: int = 0
    undecided: int = 0
    next_seed: int = 0
    faults: dict[str, int] = {}
    cells: dict[str, int] = {}
    happened: dict[str, int] = {}
    decisions: list[float] = []
    naked: list[float] = []
    forced: list[float] = []
    violations: list[str] = []

    def add(self, result: Result) -> None:
        self.runs += 1
        for name in ("hours", "cost", "kills", "trades", "grown", "shrunk", "undecided"):
            setattr(self, name, getattr(self, name) + getattr(result, name))
        for name in ("faults", "cells", "happened"):
            setattr(self, name, dict(Counter(getattr(self, name)) + Counter(getattr(result, name))))
        for name in ("decisions", "naked", "forced"):
            getattr(self, name).extend(getattr(result, name))
        self.violations += [f"seed {result.seed}: {text}" for text in result.violations]
        self.next_seed = max(self.next_seed, result.seed + 1)


def run_seed(
    seed: int, hours: float = 1.0, mix: Mix | None = None, venue: str = "hyperliquid"
) -> Result:
    """One world from its seed; ``mix`` None is the seed's own swarm of faults."""
    kind, wild_at = VENUES[venue]
    chosen = wild_at(seed) if mix is None else mix
    began = time.process_time()
    world = kind(Oracle.seeded(seed, chosen), seed, hours=hours)
    if seed % 2:  # every second one also grows and shrinks what it holds
        names = tuple(pair.name for pair in world.pairs)
        world.strategy = Restless(
            names, world.start_ns, world.end_ns, seed, world.legs, in_parts=True
        )
    try:
        world.run()
        return judged(world, seed, hours, time.process_time() - began)
    finally:
        world.close()


def _retargeted(world: World) -> Iterator[Retargeted]:
    return (fact for fact in world.facts if isinstance(fact, Retargeted))


def judged(world: World, seed: int, hours: float, cost: float) -> Result:
    """What a world that has run came to, by its own word, the checker's and the loop's."""
    history = world.history()
    naked, forced = naked_seconds(history), forced_to_neutral_seconds(history)
    engine = world.engine
    return Result(
        seed=seed,
        hours=hours,
        cost=cost,
        digest=world.loop.digest(),
        steps=world.loop.steps,
        kills=world.deaths,
        trades=sum(isinstance(fact, TradePlanned) for fact in world.facts),
        grown=sum(fact.plan is not msgspec.UNSET for fact in _retargeted(world)),
        shrunk=sum(
            fact.reason.startswith("restless")
            and bool(fact.quantity)
            and fact.plan is msgspec.UNSET
            for fact in _retargeted(world)
        ),
        undecided=len(engine.state.orders.unknown()) if engine is not None else 0,
        faults={str(kind): number for kind, number in world.faults.items()},
        cells={f"{kind} / {state}": number for (kind, state), number in world.cells.items()},
        happened=dict(coverage(history)),
        decisions=list(_decision_seconds(world)),
        naked=[*naked.healthy, *naked.degraded],
        forced=[*forced.healthy, *forced.degraded],
        violations=[*world.violations, *map(str, check(history))],
    )


def _decision_seconds(world: World) -> Iterator[float]:
    """From the doubt about an order to the proof of its fate."""
    doubted: dict[str, int] = {}
    for fact in world.facts:
        if isinstance(fact, OrderDoubted):
            doubted.setdefault(fact.cloid, fact.time_ns)
        elif isinstance(fact, OrderResolved) and fact.cloid in doubted:
            yield (fact.time_ns - doubted.pop(fact.cloid)) / SECOND


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of them do not exceed; 0 of none."""
    return sorted(values)[max(ceil(share * len(values)) - 1, 0)] if values else 0.0


def gaps(total: Total, floor: int) -> Iterator[str]:
    """What a campaign of this size should have met and did not: it proves nothing about that."""
    for kind in KINDS:
        if total.faults.get(kind, 0) < floor:
            yield f"{kind} struck {total.faults.get(kind, 0)} times, floor {floor}"
    for state in STATES:
        met = sum(n for cell, n in total.cells.items() if cell.endswith(f"/ {state}"))
        if met < floor:
            yield f"{met} faults met the bot {state}, floor {floor}"
    for name in HAPPENINGS:
        if total.happened.get(name, 0) < floor:
            yield f"{name} happened {total.happened.get(name, 0)} times, floor {floor}"


def misses(total: Total, mix: str) -> Iterator[str]:
    """What took longer than is promised where the venue is healthy; on wild roads nothing is."""
    measured = {
        "calm": ((total.naked, 0.99, 5.0, "naked"),),
        "lossy": (
            (total.decisions, 0.5, 3.0, "UNKNOWN"),
            (total.decisions, 0.99, 30.0, "UNKNOWN"),
        ),
        "taken": ((total.forced, 0.99, 10.0, "taken away, to neutral"),),
    }
    for seconds, share, bound, what in measured.get(mix, ()):
        if not seconds or quantile(seconds, share) > bound:
            took = f"p{share * 100:.0f} {quantile(seconds, share):.2f} s of {len(seconds)}"
            yield f"{what}: {took}, promised {bound:g} s"
    if total.undecided:
        yield f"{total.undecided} orders were left UNKNOWN"


def report(total: Total) -> str:
    """A person's summary."""
    empty = [f"{k} / {s}" for k in KINDS for s in STATES if f"{k} / {s}" not in total.cells]
    faults, speed = sum(total.faults.values()), total.hours * 3600 / max(total.cost, 1e-9)
    return f"""\
code {total.code}
{total.runs} seeds, {total.hours:g} simulated hours, {faults} faults, {total.kills} kills, \
{total.trades} trades ({total.grown} times grown, {total.shrunk} shrunk), \
{len(total.violations)} violations
{speed:,.0f} times real time on one core ({total.cost:.0f} processor seconds)
UNKNOWN decided by proof: {_spread(total.decisions)}; left undecided: {total.undecided}
naked: {_spread(total.naked)}
taken away by venue or person, to neutral: {_spread(total.forced)}
kinds of fault x states of the bot: {len(KINDS) * len(STATES)} cells, {len(empty)} not met
"""


def _spread(seconds: Sequence[float]) -> str:
    p50, p99, longest = (quantile(seconds, share) for share in (0.5, 0.99, 1.0))
    return f"{len(seconds)} times, p50 {p50:.2f} s, p99 {p99:.2f} s, longest {longest:.1f} s"


def campaign(
    seeds: Iterable[int], hours: float, mix: Mix | None, jobs: int, venue: str = "hyperliquid"
) -> Iterator[Result]:
    """Results as they come; of ``seeds`` no more are taken than will be run next."""
    work = partial(run_seed, hours=hours, mix=mix, venue=venue)
    room, stopped = Semaphore(2 * jobs), Event()

    def taken() -> Iterator[int]:
        for seed in seeds:
            room.acquire()
            if stopped.is_set():
                return
            yield seed

    with get_context("spawn").Pool(jobs, maxtasksperchild=50) as pool:
        try:
            for result in pool.imap_unordered(work, taken()):
                room.release()
                yield result
        finally:  # or who deals out seeds would wait for room for ever
            stopped.set()
            room.release()


def code_digest() -> str:
    """Of every source file that a world runs; who changes one begins a new soak."""
    root = Path(__file__).resolve().parents[2]
    found = [*(root / "tests" / "world").rglob("*.py")]
    for package in ("domain", "strategies", "execution", "bot", "config"):
        found += [path for kind in ("*.py", "*.toml") for path in (root / package).rglob(kind)]
    digest = sha256()
    for path in sorted(found):
        digest.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _begun(file: Path | None) -> Total:
    """What the file has, or a beginning."""
    code = code_digest()
    if file is None or not file.exists():
        return Total(code=code)
    total = msgspec.json.decode(file.read_bytes(), type=Total)
    if total.code != code:
        sys.exit(f"{file} is of other code ({total.code}, now {code}): name another file")
    return total


def _keep(total: Total, file: Path | None) -> None:
    """Now and then, so that whoever stops a soak loses little of it."""
    if file is not None:
        partial_file = file.with_name(f"{file.name}.part")
        partial_file.write_bytes(msgspec.json.encode(total))
        partial_file.replace(file)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--seed", type=int, help="run this one alone, and tell more")
    parser.add_argument("--seeds", type=int, default=250, help="how many (250)")
    parser.add_argument("--first", type=int, help="the first of them (0, or where FILE ended)")
    parser.add_argument("--hours", type=float, default=1.0, help="simulated, of each (1)")
    parser.add_argument("--mix", choices=tuple(MIXES), default="swarm")
    parser.add_argument("--venue", choices=tuple(VENUES), default="hyperliquid")
    parser.add_argument("--minutes", type=float, help="go on for so long instead")
    parser.add_argument("--into", type=Path, help="add to what this file has")
    parser.add_argument("--floor", type=int, default=0, help="each kind must be met so often")
    parser.add_argument("--jobs", type=int, default=cpu_count() or 1)
    return parser.parse_args()


def main() -> int:
    asked = _arguments()
    mix = MIXES[asked.mix]
    if asked.seed is not None:
        result = run_seed(asked.seed, asked.hours, mix, asked.venue)
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(result)).decode() + "\n")
        return 1 if result.violations else 0
    total = _begun(asked.into)
    first = total.next_seed if asked.first is None else asked.first
    ends = time.monotonic() + asked.minutes * 60 if asked.minutes is not None else None
    seeds = (
        range(first, first + asked.seeds)
        if ends is None
        else takewhile(lambda _: time.monotonic() < ends, count(first))
    )
    for result in campaign(seeds, asked.hours, mix, asked.jobs, asked.venue):
        total.add(result)
        if total.runs % 10 == 0 or result.violations:
            sys.stderr.write(
                f"{total.runs} seeds, {sum(total.faults.values())} faults,"
                f" {len(total.violations)} violations\n"
            )
            _keep(total, asked.into)
        if result.violations:
            sys.stderr.write(f"  make sim SEED={result.seed}: {result.violations[0]}\n")
    _keep(total, asked.into)
    missing = [*gaps(total, asked.floor), *misses(total, asked.mix)]
    sys.stdout.write(report(total) + "".join(f"{line}\n" for line in [*total.violations, *missing]))
    return 1 if total.violations or missing else 0


if __name__ == "__main__":
    sys.exit(main())
