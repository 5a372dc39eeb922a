"""The bot as a process: ``bot.live`` over real sockets, with a journal, a lease and alarms on disk.

``python -m tests.world.processes.trader --url … --state DIR --seed N`` says one line when it has
started and one when it has ended by itself. It trades all the time, and closes everything while
a file ``rest`` is in its directory.
"""

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from random import Random

import msgspec
from msgspec.structs import replace

from bot.alarms import AlarmFile
from bot.clock import SteadyClock, boot_id
from bot.lease import Lease
from bot.live import Live, live
from bot.settings import Settings
from bot.transport import HttpTransport
from domain.instruments import Kind
from domain.market import Close, PublicEvent
from domain.targets import Action, Target
from domain.time import HOUR, MILLISECOND, MINUTE, SECOND
from execution.journal import SqliteJournal
from execution.ports import TransportFailed
from execution.supervise import TaskDied
from execution.venues.hyperliquid.venue import Hyperliquid
from strategies.market.state import Market
from strategies.strategy import Holding
from tests.world.processes.child import end_with_parent, say
from tests.world.restless import Restless, Spell
from tests.world.world import ACCOUNT, LEASE_NS, TRADER, WANTED, busy, past_rates

JOURNAL, LEASE, ALARMS, REST = "journal.sqlite", "lease.json", "alarms.jsonl", "rest"
EVALUATION_NS = SECOND // 2
_DAYS_OF_SPELLS = 1


def hasty() -> Settings:
    """``busy``, for processes that live for seconds: nothing waits longer than they do."""
    settings = busy()
    return replace(
        settings,
        risk=replace(
            settings.risk,
            orders_per_minute_max=100_000,
            notional_per_hour_max=Decimal(1_000_000),
            healthy_seconds_to_clear=0.5,
            loss_size_factor=Decimal(1),  # it loses its fees every time
            drawdown_max=Decimal("0.9"),
            daily_loss_max=Decimal("0.9"),
        ),
        execution=replace(
            settings.execution,
            reopen_seconds=0.5,
            maker_patience_seconds=4.0,
            reprice_seconds=1.0,
        ),
    )


class Hasty(Restless):
    """Wants each pair for some seconds, then not; nothing at all while ``rest`` is there.

    Spells are a function of the seed and of time, so a restarted bot wants the same.
    """

    def __init__(self, pairs: Sequence[str], start_ns: int, seed: int, rest: Path) -> None:
        super().__init__(tuple(pairs), start_ns, start_ns, seed)
        self._spells = {pair: _spells(f"{seed} {pair}", start_ns) for pair in pairs}
        self._rest = rest

    def targets(
        self, market: Market, holdings: Mapping[str, Holding], equity: Decimal, now_ns: int
    ) -> tuple[Target, ...]:
        if not self._rest.exists():
            return super().targets(market, holdings, equity, now_ns)
        # Before the first spell nothing is wanted.
        targets = super().targets(market, holdings, equity, 0)
        return tuple(replace(target, urgent=target.action is Action.EXIT) for target in targets)


def _spells(name: str, start_ns: int) -> tuple[Spell, ...]:
    random = Random(name)
    spells: list[Spell] = []
    at = start_ns
    while at < start_ns + _DAYS_OF_SPELLS * 24 * HOUR:
        at += int(random.uniform(0.5, 2.0) * SECOND)
        until = at + int(random.uniform(2.0, 9.0) * SECOND)
        notional = Decimal(random.choice([150, 600, 1500, 3000]))
        maker = random.choice([Kind.SPOT, Kind.PERP])
        spells.append(Spell(at, until, notional, maker, random.random() < 0.5))
        at = until
    return tuple(spells)


class WarmVenue(Hyperliquid):
    """The venue, with quiet candles at its prices: the emulated venue of it keeps none."""

    async def history(self, since_ns: int, until_ns: int) -> Sequence[PublicEvent]:
        rates = await past_rates(self, since_ns, until_ns)
        body = msgspec.json.encode({"type": "allMids"})
        reply = await self._transport.request("/info", body, self._timing.request_timeout)
        if reply.status != 200:
            raise TransportFailed(f"allMids: HTTP {reply.status}")
        mids = msgspec.json.decode(reply.body, type=dict[str, Decimal])
        if any(market.coin not in mids for market in self._loaded.markets):
            raise TransportFailed("the market has not opened yet")
        times = range(until_ns - 3 * HOUR, until_ns - 5 * MINUTE, 5 * MINUTE)
        closes = [
            Close(market.instrument.id, float(mids[market.coin]), at, at)
            for at in times
            for market in self._loaded.markets
        ]
        return [*closes, *rates]


def started(running: Live) -> None:
    state = running.trader.engine.state
    say(started_ns=running.started_ns, facts=state.facts, unknown=len(state.orders.unknown()))


async def run(url: str, state: Path, seed: int, since_ns: int) -> None:
    clock = SteadyClock()
    random = Random(clock.now_ns() // MILLISECOND)
    async with HttpTransport(url) as transport:
        await live(
            WarmVenue(transport, TRADER, ACCOUNT, WANTED, clock, random.random),
            SqliteJournal(state / JOURNAL),
            Lease(state / LEASE, "trader", LEASE_NS, clock.origin_ns, boot_id()),
            clock,
            hasty(),
            lambda pairs: Hasty([pair.name for pair in pairs], since_ns, seed, state / REST),
            "testnet",
            AlarmFile(state / ALARMS),
            on_started=started,
            evaluation_ns=EVALUATION_NS,
        )


def main() -> None:
    end_with_parent()
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--since-ns", type=int, required=True, help="when the spells begin")
    args = parser.parse_args()
    try:
        asyncio.run(run(args.url, args.state, args.seed, args.since_ns))
    except Exception as error:  # noqa: BLE001 - whatever ended it, the test is to know by what
        cause = error.__cause__ if isinstance(error, TaskDied) and error.__cause__ else error
        say(ended=type(cause).__name__, detail=str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
