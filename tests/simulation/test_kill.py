"""Killed at any moment and started again: the same pairs, the same orders, the same books.

The child is a real process and dies by a real SIGKILL, at the n-th commit of a phase:
before the facts are in the journal, or after it and before their effects leave.
"""

import os
import signal
import sqlite3
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from bot.engine import Engine
from domain.orders import Fill
from domain.time import HOUR
from execution.effects import QueryAccount
from execution.facts import Fact, OrderIntended, Stage
from execution.journal import SqliteJournal, open_for_reading
from execution.pairs import ExecutionPolicy
from execution.reconcile import differences
from execution.risk.limits import RiskLimits
from execution.state import State, apply
from strategies.market.state import Market
from tests.scripted import PAIR, Scripted, Told, World

HOURS = 9.0
PHASES = ("opening", "holding", "closing")
KILLS = 20


def source() -> Scripted:
    return Scripted(lambda n: 20.0 + ((n * 7) % 11 - 5) / 200, hours=HOURS + 1)


def told() -> Told:
    return Told("4000", enter=1, leave=7)


class Doomed(SqliteJournal):
    """A journal whose process is killed around its ``fatal``-th append of one phase."""

    world: World
    phase: str
    fatal: int
    before: bool

    def append(self, facts: Sequence[Fact]) -> None:
        if self._phase() == self.phase:
            self.fatal -= 1
            if self.fatal == 0 and self.before:
                os.kill(os.getpid(), signal.SIGKILL)
        super().append(facts)
        if self.fatal == 0 and not self.before and self._phase() == self.phase:
            os.kill(os.getpid(), signal.SIGKILL)

    def _phase(self) -> str:
        trade = self.world.engine.state.trade_on("HYPE")
        if trade is None:
            return "none"
        if trade.is_closing:
            return "closing"
        return "holding" if trade.stage is Stage.HOLDING else "opening"


def run_and_be_killed(directory: Path, phase: str, nth: int) -> bool:
    """Fork a child that runs until it kills itself; whether it did."""
    child = os.fork()
    if child == 0:
        try:
            world = World(source(), told(), directory)
            journal = world.journal
            assert isinstance(journal, SqliteJournal)
            journal.__class__ = Doomed
            assert isinstance(journal, Doomed)
            journal.world, journal.phase = world, phase
            journal.fatal, journal.before = (nth + 1) // 2, bool(nth % 2)
            world.run(HOURS)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def venue_log(directory: Path) -> list[dict[str, object]]:
    """The venue's own log of requests, read from its own file."""
    database = sqlite3.connect(directory / "venue.sqlite")
    rows = [msgspec.json.decode(body) for (body,) in database.execute("SELECT body FROM records")]
    database.close()
    return [row for row in rows if row["type"] == "Request"]


@pytest.mark.parametrize("phase", PHASES)
def test_after_a_kill_the_books_are_the_venues_and_no_order_was_sent_twice(
    phase: str, tmp_path: Path
) -> None:
    killed = 0
    for nth in range(1, KILLS + 1):
        directory = tmp_path / str(nth)
        killed += run_and_be_killed(directory, phase, nth)
        world = World(source(), told(), directory).run(HOURS)
        state, venue = world.engine.state, world.venue.exchange

        assert differences(state, venue.account_report(None, world.venue.now_ns)) == ()
        assert state.books.balanced()
        assert world.engine.reconciled_ns is not None
        ours = Counter(f.fill_id for f in world.told(Fill) if isinstance(f, Fill))
        theirs = [f for f in venue.private_since(0) if isinstance(f, Fill)]
        assert set(ours) == {f.fill_id for f in theirs}
        assert set(ours.values()) == {1}
        sent = [f for f in world.told(OrderIntended) if isinstance(f, OrderIntended)]
        assert len({f.request.cloid for f in sent}) == len(sent)
        accepted = [
            msgspec.json.decode(str(row["payload"]))["cloid"]
            for row in venue_log(directory)
            if row["action"] == "place" and row["outcome"] == "accepted"
        ]
        assert len(set(accepted)) == len(accepted)
        assert set(accepted) <= {f.request.cloid for f in sent}
        assert not state.orders.unknown()
        # The trade went on to its end: opened, held, closed once.
        assert state.trade_on("HYPE") is None
        assert state.trades["HYPE#1"].held
        assert state.exposed.notional <= 1010
        world.close()
    assert killed == KILLS


def test_a_run_that_is_stopped_and_resumed_goes_on_with_the_same_trade(tmp_path: Path) -> None:
    first = World(source(), told(), tmp_path).run(2)
    before = first.engine.state
    first.close()
    second = World(source(), told(), tmp_path)
    after = second.engine.state
    assert after.trades == before.trades
    assert after.books.positions() == before.books.positions()
    assert after.books.cash() == before.books.cash()
    second.run(HOURS)
    assert after.trade_on("HYPE") is None
    assert set(after.trades) == {"HYPE#1"}
    second.close()


def test_a_start_asks_for_all_that_happened_since_the_books_were_last_known_complete(
    tmp_path: Path,
) -> None:
    World(source(), told(), tmp_path).run(2).close()
    state = State((PAIR,))
    with open_for_reading(tmp_path / "journal.sqlite") as journal:
        for fact in journal.read():
            apply(state, fact)
    assert state.run is not None
    assert state.reconciled is not None
    engine = Engine(state, Market((PAIR,)), told(), ExecutionPolicy(), RiskLimits(), HOUR)
    # Real time passes while a process is dead.
    later = msgspec.structs.replace(state.run, time_ns=state.time_ns + HOUR)
    (query,) = (e for e in engine.start(later).effects if isinstance(e, QueryAccount))
    assert query.since_ns <= state.reconciled.time_ns
