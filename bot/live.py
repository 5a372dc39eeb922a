"""A live bot put together: recover, connect, prove who we are, then run until a task dies.

There is one way to stop: the process ends, and the next start recovers. A task that
fails ends it, so does a lost lease and a journal that cannot be written.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from bot import expiry
from bot import settings as settings_module
from bot.control import Control
from bot.engine import Engine
from bot.lease import Lease, LeaseHeld
from bot.record import Record
from bot.run import RunError, require_room, require_same
from bot.settings import Settings
from bot.systemd import ServiceManager
from bot.trader import Inbox, ReservedJournal, Trader
from domain.instruments import Pair
from domain.market import PublicEvent
from domain.time import DAY, MINUTE, SECOND
from execution.effects import RaiseAlarm
from execution.events import Event, Trouble
from execution.facts import Fact, RunStarted
from execution.ports import Clock, Journal, TransportFailed, VenueGateway
from execution.state import State, apply
from execution.supervise import TaskDied, supervise
from strategies.market.state import Market
from strategies.strategy import Strategy

HISTORY_NS = 60 * DAY
"""How far back published funding is read before anything is judged."""
EVALUATION_NS = 5 * MINUTE
_RETRY_SECONDS = 1.0
_AHEAD_SECONDS = 30.0
_START_SECONDS = 3.0
"""A leg may be naked behind a start that is delayed: after so long a person is told."""

T = TypeVar("T")


class LiveGateway(VenueGateway, Protocol):
    """A gateway that has to be kept running, and says when it last heard of what."""

    @property
    def progress(self) -> Mapping[str, int]: ...

    @property
    def rejected(self) -> Mapping[str, int]:
        """Messages that could not be believed so far, by where they came."""
        ...

    @property
    def disconnections(self) -> Mapping[str, int]:
        """Connections that ended so far, by what they were for."""
        ...

    def tasks(self) -> Mapping[str, Coroutine[Any, Any, None]]:
        """What has to run for as long as it is used, by name; each for ever."""
        ...


SILENT_SECONDS: Mapping[str, float] = {
    "decide": 5.0,
    "account": 6.0,
    "public": 16.0,
    "private": 16.0,
}
"""How long each critical loop may go without getting on before a person is told."""


class Venue(Protocol):
    """How to get at one venue. Every question may raise ``TransportFailed``, and is asked again."""

    name: str

    async def load(self) -> tuple[Pair, ...]:
        """What is to be traded, by the venue's own word; proof that the account is ours."""
        ...

    async def history(self, since_ns: int, until_ns: int) -> Sequence[PublicEvent]:
        """What the loaded pairs have published: funding rates, and quotes as far as known."""
        ...

    def gateway(
        self, emit: Callable[[Event], None], nonce: int, orders: Mapping[str, str]
    ) -> LiveGateway:
        """The way in and out. ``nonce`` is the highest that was ever signed, ``orders`` maps the
        venue's order ids to ours, as far as the journal knows them."""
        ...


class Live:
    """A running bot's parts, for whoever looks at its health; ``bot.control.Bot``."""

    def __init__(
        self, trader: Trader, gateway: LiveGateway, started_ns: int, record: Record
    ) -> None:
        self.trader, self.gateway, self.started_ns = trader, gateway, started_ns
        self.record = record

    @property
    def engine(self) -> Engine:
        return self.trader.engine

    def steer(self, name: str, argument: str, actor: str) -> None:
        self.trader.steer(name, argument, actor)

    def silent(self, now_ns: int) -> dict[str, float]:
        """The critical loops that have not got on for too long, and for how many seconds.

        Empty is healthy. What has never got on counts from the start.
        """
        last = {"decide": self.trader.progress_ns, **self.gateway.progress}
        ages = {
            name: (now_ns - max(last.get(name, 0), self.started_ns)) / SECOND
            for name in SILENT_SECONDS
        }
        return {name: age for name, age in ages.items() if age > SILENT_SECONDS[name]}


async def live(
    venue: Venue,
    journal: ReservedJournal,
    lease: Lease,
    clock: Clock,
    settings: Settings,
    strategy: Callable[[tuple[Pair, ...]], Strategy],
    mode: str,
    on_alarm: Callable[[RaiseAlarm], None],
    on_fact: Callable[[Fact], None] | None = None,
    on_started: Callable[[Live], None] | None = None,
    evaluation_ns: int = EVALUATION_NS,
    *,
    synthetic: bool = False,
    control: Control | None = None,
    agent_until_ns: Callable[[], int | None] = lambda: None,
) -> None:
    """Run until a task dies. Everything that may leave waits for the lease first.

    ``synthetic`` labels a run whose market is known to be generated; ``control`` brings what
    the running bot is asked and told; ``agent_until_ns`` is when the venue stops taking the key,
    once it has been asked.

    Raises:
        TaskDied: which task ended, and how.
        JournalError: the journal cannot be read or written.
        ValueError: the account or its instruments are not as asked for.
    """
    inbox = Inbox()

    async def start() -> Live:
        pairs = await _answered(venue.load)
        require_room(pairs, settings)
        run = _run_started(venue, pairs, settings, mode, clock.now_ns(), synthetic=synthetic)
        record = Record(State(pairs), bounded=True)
        state = recovered(journal, run, record)
        now_ns = clock.now_ns()
        market = Market(pairs)
        for event in await _answered(lambda: venue.history(now_ns - HISTORY_NS, now_ns)):
            market.observe(event)
        gateway = venue.gateway(inbox.put, state.nonce, state.venue_orders)
        engine = Engine(
            state,
            market,
            strategy(pairs),
            settings.execution,
            settings.risk,
            evaluation_ns,
            settings.events,
        )
        tell_alarm, tell_fact = record.told(on_alarm, on_fact)
        trader = Trader(engine, journal, gateway, clock, lease, inbox, tell_alarm, tell_fact)
        # Only now: what has been done so far needs no lease, and while a start goes wrong
        # again and again the watchdog is to have it.
        await _acquire(lease, clock)
        trader.begin(msgspec.structs.replace(run, time_ns=clock.now_ns()))
        if not journal.reserved:
            detail = "the journal has used the room that was set aside for it"
            inbox.put(Trouble("disk_full", detail, clock.now_ns()))
        return Live(trader, gateway, clock.now_ns(), record)

    started = await _told_of(start(), venue.name, clock, on_alarm)
    if on_started is not None:
        on_started(started)

    def on_death(death: TaskDied) -> None:
        on_alarm(RaiseAlarm("task_died", str(death), clock.now_ns()))

    tasks = {
        "decide": started.trader.decide(),
        "tick": started.trader.tick(),
        **started.gateway.tasks(),
        "health": _watch_health(started, clock, on_alarm, inbox, agent_until_ns),
    }
    if control is not None:
        tasks["control"] = control.serve(started)
    await supervise(tasks, on_death)


async def _watch_health(
    running: Live,
    clock: Clock,
    on_alarm: Callable[[RaiseAlarm], None],
    inbox: Inbox,
    agent_until_ns: Callable[[], int | None],
) -> None:
    """Whatever falls silent is told of, and again every minute while it is; so is the end of the
    key, days before. The service manager hears that the work gets on for as long as decisions are
    made."""
    tell, _ = running.record.told(on_alarm, None)
    manager = ServiceManager()
    told_ns: dict[str, int] = {}
    before_ns = 0
    while True:
        await asyncio.sleep(1.0)
        now_ns = clock.now_ns()
        ending = expiry.news(agent_until_ns(), before_ns, now_ns)
        before_ns = now_ns
        if isinstance(ending, Trouble):
            inbox.put(ending)
        elif ending is not None:
            tell(ending)
        silent = running.silent(now_ns)
        if "decide" not in silent:
            manager.got_on()
        told_ns = {name: at_ns for name, at_ns in told_ns.items() if name in silent}
        for name, seconds in silent.items():
            if now_ns - told_ns.get(name, 0) >= MINUTE:
                told_ns[name] = now_ns
                detail = f"nothing from {name} for {seconds:.0f} s"
                tell(RaiseAlarm("silent", detail, now_ns))


async def _acquire(lease: Lease, clock: Clock) -> None:
    """Wait until the account is ours to act for."""
    while True:
        try:
            lease.acquire(clock.now_ns())
        except LeaseHeld as held:
            await asyncio.sleep(max(held.until_ns - clock.now_ns(), 0) / SECOND + 0.1)
        else:
            return


async def _told_of(
    start: Awaitable[T], venue: str, clock: Clock, on_alarm: Callable[[RaiseAlarm], None]
) -> T:
    """A person is told of a start that takes long, each minute, and of one that fails."""
    began_ns = clock.now_ns()

    async def tell() -> None:
        await asyncio.sleep(_START_SECONDS)
        while True:
            seconds = (clock.now_ns() - began_ns) / SECOND
            detail = f"no start within {seconds:.0f} s: {venue} does not answer, or is another's"
            on_alarm(RaiseAlarm("start_delayed", detail, clock.now_ns()))
            await asyncio.sleep(MINUTE / SECOND)

    telling = asyncio.create_task(tell())
    try:
        return await start
    except Exception as error:
        detail = f"{type(error).__name__}: {error}"
        on_alarm(RaiseAlarm("start_failed", detail, clock.now_ns()))
        raise
    finally:
        telling.cancel()


def recovered(journal: Journal, run: RunStarted, record: Record) -> State:
    """The state of ``record``, once the journal's facts are in both.

    Raises:
        RunError: when it belongs to another run, or to a time that is yet to come.
    """
    state = record.state
    for fact in journal.read():
        if isinstance(fact, RunStarted):
            require_same(fact, msgspec.structs.replace(run, time_ns=fact.time_ns))
        apply(state, fact)
        record.add(fact)
    ahead = (state.time_ns - run.time_ns) / SECOND
    if ahead > _AHEAD_SECONDS:
        # Nothing would be due until then: no time-out, no question, no hedge.
        raise RunError(
            f"the journal is {ahead:.0f} s ahead of this machine's clock: one of them was wrong. "
            "Set the clock; if it was the journal's that was wrong, wait until then"
        )
    return state


async def _answered(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until there is an answer: a start during an outage waits for its end."""
    while True:
        try:
            return await ask()
        except TransportFailed:
            await asyncio.sleep(_RETRY_SECONDS)


def _run_started(
    venue: Venue,
    pairs: Sequence[Pair],
    settings: Settings,
    mode: str,
    now_ns: int,
    *,
    synthetic: bool,
) -> RunStarted:
    return RunStarted(
        mode=mode,
        venue=venue.name,
        feed=venue.name,
        synthetic=synthetic,
        seed=0,
        capital=settings.account.capital,
        pairs=tuple(pair.name for pair in pairs),
        config_digest=settings_module.digest(settings),
        time_ns=now_ns,
        strategy=settings.strategy.name,
    )
