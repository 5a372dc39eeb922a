"""The watchdog as a process: ``bot.watchdog`` with a key of its own, over real sockets.

``python -m tests.world.processes.watchdog --url … --state DIR`` says one line when it looks.
"""

import argparse
import asyncio
from pathlib import Path

from bot.alarms import AlarmFile
from bot.clock import SteadyClock, boot_id
from bot.lease import Lease
from bot.transport import HttpTransport
from bot.watchdog import Bounds, NonceFile, Watchdog
from execution.venues.hyperliquid.start import load
from execution.venues.hyperliquid.timing import Timing
from tests.world.processes.child import end_with_parent, say
from tests.world.processes.trader import LEASE, hasty
from tests.world.world import ACCOUNT, LEASE_NS, TRADER, WANTED, WATCHDOG

NONCES, ALARMS = "nonces", "watchdog.jsonl"


async def run(url: str, state: Path) -> None:
    timing, clock = Timing(), SteadyClock()
    async with HttpTransport(url) as transport:
        watchdog = Watchdog(
            transport,
            WATCHDOG,
            NonceFile(state / NONCES),
            await load(transport, ACCOUNT, WANTED, timing),
            ACCOUNT,
            TRADER.address,
            clock,
            Lease(state / LEASE, "watchdog", LEASE_NS, clock.origin_ns, boot_id()),
            Bounds.of(hasty().execution, timing),
            AlarmFile(state / ALARMS),
        )
        say(watching=True)
        await watchdog.run()


def main() -> None:
    end_with_parent()
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--state", type=Path, required=True)
    args = parser.parse_args()
    asyncio.run(run(args.url, args.state))


if __name__ == "__main__":
    main()
