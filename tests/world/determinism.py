"""Same seed, same run: every seed twice, in processes with different hash seeds.

``python -m tests.world.determinism --seeds 100`` compares the digests of 100 seeds and
tells in how many of its choices each differs from the next one.
"""

import argparse
import os
import subprocess
import sys
from itertools import pairwise

import msgspec

from tests.world.campaign import Mix
from tests.world.oracle import SCHEDULE, Oracle
from tests.world.world import World, wild

HASH_SEEDS = ("1", "4711")


class Run(msgspec.Struct):
    """``schedule``: at which of the loop's choices another than the first handle ran, and which."""

    digest: str
    schedule: list[tuple[int, int]]
    uses: int


def one(seed: int, hours: float) -> Run:
    mix: Mix = wild(seed)
    world = World(Oracle.seeded(seed, mix), seed, hours=hours)
    try:
        world.run()
        chosen = [(c.nth, c.value) for c in world.oracle.taken if c.site == SCHEDULE]
        return Run(world.loop.digest(), chosen, world.oracle.counts[SCHEDULE])
    finally:
        world.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--hours", type=float, default=0.1)
    parser.add_argument("--print", action="store_true", help="print the runs of one process")
    asked = parser.parse_args()
    if asked.print:
        runs = [one(seed, asked.hours) for seed in range(asked.seeds)]
        sys.stdout.buffer.write(msgspec.json.encode(runs))
        return 0
    command = [sys.executable, "-m", "tests.world.determinism", "--print",
               "--seeds", str(asked.seeds), "--hours", str(asked.hours)]  # fmt: skip
    children = [
        subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONHASHSEED": h})
        for h in HASH_SEEDS
    ]
    first, second = (msgspec.json.decode(c.communicate()[0], type=list[Run]) for c in children)
    different = [n for n, (a, b) in enumerate(zip(first, second, strict=True)) if a != b]
    shares = [_difference(a, b) for a, b in pairwise(first)]
    sys.stdout.write(
        f"{len(first)} seeds, twice, under PYTHONHASHSEED {' and '.join(HASH_SEEDS)}:"
        f" {len(different)} digests differ {different[:10]}\n"
        f"neighbouring seeds differ in {min(shares):.0%} of their scheduling choices or more\n"
    )
    return 1 if different or min(shares) < 0.2 else 0


def _difference(a: Run, b: Run) -> float:
    """The share of the choices both made in which they did not choose the same."""
    common = min(a.uses, b.uses)
    left, right = ({nth: value for nth, value in run.schedule if nth < common} for run in (a, b))
    return sum(left.get(n, 0) != right.get(n, 0) for n in {**left, **right}) / max(common, 1)


if __name__ == "__main__":
    sys.exit(main())
