"""The bot as a process in live mode at the emulator, while streams break and answers are lost.

The emulator runs in the test, so that its own log can be read afterwards; the bot is killed in
the middle of it and started again. What must be so in the end is judged from the exchange's log
and the bot's journal, by the same judge as after kills.
"""

import asyncio
import time
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec.structs import replace

from domain.account import AccountReport, Balance
from domain.money import decimal_of
from domain.orders import Fill, Side
from domain.time import HOUR, SECOND
from execution.facts import Fact
from execution.journal import open_for_reading
from execution.venues.hyperliquid.emulator.emulator import Emulator
from execution.venues.hyperliquid.emulator.faults import Fault, Faults
from execution.venues.hyperliquid.emulator.listing import PERP_WALLET
from execution.venues.hyperliquid.emulator.server import serve
from execution.venues.hyperliquid.emulator.wallets import STANDARD, UNIFIED
from execution.venues.simulated.exchange import Exchange
from execution.venues.simulated.rules import VenueRules
from tests.acceptance.sockets import remote_hosts
from tests.world.market import WildMarket
from tests.world.processes.judgement import judge
from tests.world.processes.trader import JOURNAL, REST
from tests.world.processes.venue import Account, RealTime, VenueHistory
from tests.world.sigkill import Child
from tests.world.world import ACCOUNT, PAIRS, TRADER, WATCHDOG

TROUBLE = 16.0
"""Seconds in which everything goes wrong."""
LONGEST = 90.0
FAULTS = (
    Fault("disconnect", on="/ws", after=3, every=4, count=3),
    Fault("half_open", on="/ws", after=6, count=1),
    Fault("garbage", on="/ws", after=9, count=2, every=3),
    Fault("error", type="order", lasting=TROUBLE, chance=0.25),  # 502, and it was taken
    Fault("drop", type="order", lasting=TROUBLE, chance=0.1),  # no answer, and it was taken
    Fault("drop", type="order", lasting=TROUBLE, chance=0.1, accepted=False),
    Fault("garbage", type="order", lasting=TROUBLE, chance=0.1),
    Fault("error", type="cancelByCloid", lasting=TROUBLE, chance=0.2),
    Fault("delay", on="/info", lasting=TROUBLE, chance=0.1, seconds=0.3),
    Fault("error", on="/info", lasting=TROUBLE, chance=0.1, status=429, accepted=False),
)


class Venue:
    """The emulator, and what of it may be asked past the wire."""

    def __init__(self, mode: str, seed: int) -> None:
        start_ns = time.time_ns()
        self.source = RealTime(WildMarket(PAIRS, start_ns // HOUR * HOUR, seed), start_ns - SECOND)
        sides = {PERP_WALLET: "10000", "USDC": "10000"} if mode == STANDARD else {"USDC": "20000"}
        deposits = {asset: Decimal(amount) for asset, amount in sides.items()}
        exchange = Exchange(self.source.instruments, VenueRules(), deposits, start_ns - SECOND)
        agents = {TRADER.address: None, WATCHDOG.address: None}
        self.emulator = Emulator(
            exchange, PAIRS, ACCOUNT, agents, history=self.source.history(), mode=mode
        )
        self.faults = Faults(FAULTS, seed, start_ns)

    def history(self) -> VenueHistory:
        exchange, now_ns = self.emulator.exchange, time.time_ns()
        mids = {name: market.mid for name, market in exchange._markets.items()}
        known = {name: decimal_of(mid) for name, mid in mids.items() if mid is not None}
        report = _as_one(exchange.account_report(None, now_ns))
        private = exchange.private_since(0)
        return VenueHistory(self.emulator.received, private, Account(now_ns, report, known))


def _as_one(report: AccountReport) -> AccountReport:
    """Both wallets' USDC as one balance: the books have one."""
    totals: dict[str, Decimal] = {}
    for balance in report.balances:
        asset = "USDC" if balance.asset == PERP_WALLET else balance.asset
        totals[asset] = totals.get(asset, Decimal(0)) + balance.total
    balances = tuple(Balance(asset, total, Decimal(0)) for asset, total in totals.items())
    return replace(report, balances=balances)


def facts(folder: Path) -> list[Fact]:
    with open_for_reading(folder / JOURNAL) as journal:
        journal.verify()
        return list(journal.read())


async def live_for(url: str, folder: Path, since_ns: int, seconds: float) -> None:
    """Have the bot run so long, then kill it; where it loses its lease it is started again."""
    until = time.monotonic() + seconds
    words = ("--url", url, "--state", str(folder), "--seed", "3", "--since-ns", str(since_ns))
    while time.monotonic() < until:
        bot = Child("trader", folder, *words)
        try:
            await asyncio.to_thread(bot.expect, "started_ns")
            assert remote_hosts(bot._process.pid) <= {"127.0.0.1"}
            left = max(until - time.monotonic(), 0.1)
            ended = await asyncio.to_thread(bot.hear, left)
            assert ended is None or ended["ended"] == "LeaseLost", ended
        finally:
            bot.kill()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", [UNIFIED, STANDARD])
async def test_through_broken_streams_and_lost_answers_and_a_kill_the_books_are_the_exchanges(
    mode: str, tmp_path: Path
) -> None:
    venue = Venue(mode, seed=5)
    since_ns = time.time_ns()
    async with serve(venue.emulator, venue.source, time.time_ns, faults=venue.faults) as url:
        await live_for(url, tmp_path, since_ns, TROUBLE * 0.6)
        await live_for(url, tmp_path, since_ns, TROUBLE * 0.6)
        (tmp_path / REST).touch()
        began = time.monotonic()
        wrong: tuple[str, ...] = ("not judged yet",)
        while wrong and time.monotonic() - began < LONGEST:
            await live_for(url, tmp_path, since_ns, 8)
            wrong = judge(facts(tmp_path), venue.history(), PAIRS, TRADER.address)

    assert wrong == ()
    # An order was answered 502 and taken; and every stream broke in each of three ways.
    assert {0, 7, 8, 9} <= venue.faults._met.keys()
    fills = [fact for fact in facts(tmp_path) if isinstance(fact, Fill)]
    bought = [fill for fill in fills if fill.side is Side.BUY and "/" in fill.instrument]
    sold = [fill for fill in fills if fill.side is Side.SELL and "/" in fill.instrument]
    assert len(bought) >= 2
    assert len(sold) >= 2
