"""The live loop: commit before send, one lease, and nothing private is ever dropped."""

import asyncio
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from bot.engine import Engine
from bot.lease import Lease, LeaseLost
from bot.trader import Inbox, Trader
from domain.market import Book, Level, PerpContext
from domain.rates import FundingRate
from domain.time import HOUR, SECOND
from execution.effects import QueryAccount, RaiseAlarm, VenueEffect
from execution.events import Timer, Trouble
from execution.facts import Fact, LimitTripped, RequestSigned, RunStarted
from execution.journal import DiskFull
from execution.pairs import ExecutionPolicy
from execution.risk.limits import RiskLimits
from execution.state import State
from strategies.market.state import Market
from tests.scripted import PAIR, START, Told


def book(instrument: str, number: int) -> Book:
    return Book(
        instrument, (Level(20.0 + number, 1.0),), (Level(20.1 + number, 1.0),), number, number
    )


def context(instrument: str, number: int) -> PerpContext:
    return PerpContext(instrument, 20.0, 20.0, FundingRate(0.0, 1), number, number)


class HandClock:
    def __init__(self) -> None:
        self.ns = START

    def now_ns(self) -> int:
        return self.ns


class Log:
    """A journal and a gateway that write down what is done with them, in one order."""

    def __init__(self) -> None:
        self.done: list[object] = []
        self.full = 0
        self.reserved = True

    def append(self, facts: Sequence[Fact]) -> None:
        if self.full:
            self.full -= 1
            raise DiskFull("no room")
        self.done.append(("commit", tuple(facts)))

    def free_reserve(self) -> bool:
        had, self.reserved = self.reserved, False
        return had

    def read(self) -> Iterator[Fact]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def prepare(self, effects: Sequence[VenueEffect]) -> tuple[RequestSigned, ...]:
        return tuple(RequestSigned(f"r{n}", 7, "{}", START) for n, _ in enumerate(effects))

    def submit(self, effects: Sequence[VenueEffect]) -> None:
        self.done.append(("send", tuple(effects)))


class Rig:
    def __init__(self, directory: Path) -> None:
        self.clock, self.log, self.inbox = HandClock(), Log(), Inbox()
        self.lease = Lease(directory / "lease", "trader", 3 * SECOND)
        self.lease.acquire(START)
        self.alarms: list[RaiseAlarm] = []
        engine = Engine(
            State((PAIR,)), Market((PAIR,)), Told(), ExecutionPolicy(), RiskLimits(), HOUR
        )
        self.trader = Trader(
            engine, self.log, self.log, self.clock, self.lease, self.inbox, self.alarms.append
        )
        self.run = RunStarted(
            "test", "sim", "test", True, 1, Decimal(10_000),
            (PAIR.name,), "", START,
        )  # fmt: skip

    def kinds(self) -> list[str]:
        return [str(entry[0]) for entry in self.log.done if isinstance(entry, tuple)]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


async def test_the_inbox_keeps_all_private_news_in_order_and_the_latest_of_each_public_kind() -> (
    None
):
    inbox = Inbox()
    for number in range(3):
        inbox.put(book("a", number))
        inbox.put(context("a", number))
        inbox.put(Timer(number))
        inbox.put(book("b", number))
    taken = await inbox.take()
    assert taken == (
        [Timer(0), Timer(1), Timer(2)], [book("a", 2), context("a", 2), book("b", 2)],
    )  # fmt: skip


async def test_whoever_waits_for_the_inbox_waits_until_there_is_something() -> None:
    inbox = Inbox()
    waiting = asyncio.create_task(inbox.take())
    await asyncio.sleep(0)
    assert not waiting.done()
    inbox.put(Timer(1))
    assert await waiting == ([Timer(1)], [])


async def test_what_is_decided_and_signed_is_one_commit_and_only_then_sent(rig: Rig) -> None:
    rig.trader.begin(rig.run)
    assert rig.kinds() == ["commit", "send"]
    facts, effects = (entry[1] for entry in rig.log.done)  # type: ignore[index]
    assert any(isinstance(fact, RunStarted) for fact in facts)
    assert any(isinstance(fact, RequestSigned) for fact in facts)
    assert any(isinstance(effect, QueryAccount) for effect in effects)
    assert rig.trader.engine.state.nonce == 7


async def test_what_could_not_be_committed_is_not_sent(rig: Rig) -> None:
    rig.log.full = 2
    with pytest.raises(DiskFull):
        rig.trader.begin(rig.run)
    assert rig.kinds() == []


async def test_a_full_disk_costs_the_reserve_and_leaves_only_closing(rig: Rig) -> None:
    rig.log.full = 1
    rig.trader.begin(rig.run)
    assert rig.kinds() == ["commit", "send"]
    (trouble,) = [e for e in (await rig.inbox.take())[0] if isinstance(e, Trouble)]
    outcome = rig.trader.engine.handle(trouble)
    assert [f.limit for f in outcome.facts if isinstance(f, LimitTripped)] == ["disk_full"]


async def test_after_its_lease_has_run_out_nothing_leaves(rig: Rig) -> None:
    rig.clock.ns += 3 * SECOND
    with pytest.raises(LeaseLost):
        rig.trader.begin(rig.run)
    assert rig.kinds() == ["commit"]


async def test_a_tick_renews_the_lease_and_lets_the_engine_see_the_time(rig: Rig) -> None:
    rig.clock.ns += 2 * SECOND
    ticking = asyncio.create_task(rig.trader.tick())
    assert await rig.inbox.take() == ([Timer(rig.clock.ns)], [])
    assert rig.lease.holds(rig.clock.ns + 2 * SECOND)
    ticking.cancel()
