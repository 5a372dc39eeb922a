"""A whole world on virtual time: a venue behind its own wire, a road with faults, and the bot.

The bot is the real one, from ``bot.live`` down to its codec, its signer and its journal on
SQLite. The venue is the simulated exchange behind Hyperliquid's wire JSON; it survives the
bot. Everything that is left open is the oracle's choice, so a seed is a run.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from hashlib import sha256
from math import fsum
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from bot.engine import Engine
from bot.lease import Lease, LeaseLost
from bot.live import Live, Venue, live
from bot.settings import Settings
from domain.instruments import FeeSchedule, Instrument, Kind, MarginTier, Pair
from domain.market import FundingSettled, MarketInput, PublicEvent
from domain.money import ZERO, decimal_of
from domain.orders import Fill, Side
from domain.targets import Legs
from domain.time import MILLISECOND, SECOND
from execution.effects import RaiseAlarm
from execution.facts import Fact, Stage
from execution.journal import JournalError
from execution.pairs import ExecutionPolicy
from execution.ports import TransportFailed
from execution.reconcile import differences
from execution.risk.limits import RiskLimits
from execution.supervise import TaskDied
from execution.venues.hyperliquid.emulator.emulator import Emulator
from execution.venues.hyperliquid.sign import AgentSigner
from execution.venues.hyperliquid.start import funding_history
from execution.venues.hyperliquid.venue import Hyperliquid
from execution.venues.hyperliquid.wire import BadMessage
from execution.venues.simulated.exchange import Exchange
from execution.venues.simulated.rules import VenueRules
from strategies.strategy import Strategy
from tests.world.history import (
    Alarm,
    Bounds,
    History,
    Lost,
    Mark,
    Received,
    SentOrder,
    Standing,
    Window,
    WindowKind,
    in_order,
    time_of,
)
from tests.world.loop import Killed, SimLoop
from tests.world.market import STEP_NS, Scenario, WildMarket, calm
from tests.world.net import HIGHEST_RATES, Fate, Moment, Server, SimNet, Weather
from tests.world.oracle import Oracle, swarm
from tests.world.restless import Restless
from tests.world.store import FaultyJournal

START = 1_735_689_600 * SECOND
PERSON = AgentSigner(bytes([3] * 32), is_mainnet=False)
ACCOUNT = PERSON.address
TRADER = AgentSigner(bytes([1] * 32), is_mainnet=False)
WATCHDOG = AgentSigner(bytes([2] * 32), is_mainnet=False)
VENUE = "venue"
CAPITAL = Decimal(20_000)
LEASE_NS = 3 * SECOND
EVALUATION_NS = 10 * SECOND
RESTART_NS = 2 * SECOND
HEAL_NS = 180 * SECOND
FELT_NS = 30 * SECOND
"""How long a fault is felt: a request that was lost, the doubt, the next attempt."""
_MARKS_NS = 30 * SECOND
_HISTORY_HOURS = 24

KILLS = ("kill.step", "kill.before_commit", "kill.after_commit", "kill.before", "kill.after",
         "kill.answer")  # fmt: skip
"""Sites at which a process may die: between two steps, around a commit, around a send, and when
an answer is about to arrive."""
DISK = "disk.locked"
STOP = "stop"
ADL = "adl"
BY_HAND = "by_hand"
RATES = {
    "kill.step": 0.15,  # a half minute
    "kill.before_commit": 0.004,  # a commit, and so on
    "kill.after_commit": 0.004,
    "kill.before": 0.002,
    "kill.after": 0.002,
    "kill.answer": 0.002,
    DISK: 0.002,
    STOP: 0.05,  # a half minute, and so on
    ADL: 0.03,
    BY_HAND: 0.03,
}


_UNANSWERED = tuple(f for f in Fate if f not in (Fate.ANSWERED, Fate.DUPLICATED))
_UNANSWERED_MAX = 0.4


def wild(seed: int) -> dict[str, float]:
    """The faults of one seed: its own mixture of everything that can go wrong.

    Of all requests at most two in five stay without an answer that can be trusted. What is
    then promised, a hedge tried within a minute, is some fifteen attempts; on a worse road
    nothing could be promised at all.
    """
    mix = swarm(seed, {**HIGHEST_RATES, **RATES})
    total = fsum(mix.get(fate, 0.0) for fate in _UNANSWERED)
    scale = min(1.0, _UNANSWERED_MAX / total) if total else 1.0
    return mix | {fate: mix[fate] * scale for fate in _UNANSWERED if fate in mix}


_HELPLESS_IN = {
    str(Weather.PARTITION): WindowKind.VENUE_DOWN,
    str(Weather.SWIZZLE): WindowKind.VENUE_DOWN,
    str(Weather.FLAPPING): WindowKind.VENUE_DOWN,
    str(Weather.READS_STALE): WindowKind.WRITES_DOWN,
}
"""Weather in which no order may get through, however hard one tries."""


def _pair(base: str, spot_token: str, lot: str, decimals: int) -> Pair:
    venue, quote = "hyperliquid", "USDC"
    spot = Instrument(
        venue, f"{spot_token}/{quote}", Kind.SPOT, spot_token, quote, Decimal(lot), 8 - decimals,
        Decimal(10), FeeSchedule(Decimal("0.0004"), Decimal("0.0007"), buyer_pays_base=True), 5,
    )  # fmt: skip
    perp = Instrument(
        venue, f"{base}-PERP", Kind.PERP, base, quote, Decimal(lot), 6 - decimals, Decimal(10),
        FeeSchedule(Decimal("0.00015"), Decimal("0.00045")), 5,
        (MarginTier(ZERO, 10), MarginTier(Decimal(20_000_000), 5)), 1,
    )  # fmt: skip
    return Pair(base, spot, perp)


PAIRS = (_pair("HYPE", "HYPE", "0.01", 2), _pair("PURR", "PURR", "0.1", 1))
WANTED = {pair.name: pair.spot.base for pair in PAIRS}


def busy() -> Settings:
    """Defaults, but for pauses and limits that would leave a short run with nothing to do."""
    return Settings(
        risk=RiskLimits(
            volatility_hourly_max=10.0,
            dislocation_max=0.5,
            spread_max=0.5,
            opens_per_day_max=100_000,
            notional_per_hour_max=Decimal(1000),
            loss_streak_max=1_000_000,
            daily_loss_max=Decimal("0.5"),
            drawdown_max=Decimal("0.5"),
            healthy_seconds_to_clear=20.0,
            stress_move=Decimal("0.05"),
            stress_hours=0.01,
        ),
        execution=ExecutionPolicy(
            reopen_seconds=10.0, maker_patience_seconds=90.0, reprice_seconds=5.0
        ),
    )


class SkewedClock:
    """The machine's clock: the world's time, off by what the world decides."""

    def __init__(self, loop: SimLoop, offset_ns: int = 0) -> None:
        self._loop, self.offset_ns = loop, offset_ns

    def now_ns(self) -> int:
        return self._loop.now_ns + self.offset_ns


class WarmVenue(Hyperliquid):
    """The venue, with candles of the world's own: the emulated venue of it keeps none."""

    market: WildMarket

    async def history(self, since_ns: int, until_ns: int) -> Sequence[PublicEvent]:
        rates = await past_rates(self, since_ns, until_ns)
        return [*self.market.closes_before(until_ns), *rates]


async def past_rates(venue: Hyperliquid, since_ns: int, until_ns: int) -> list[FundingSettled]:
    """All that the venue has published between them, at once. Raises ``TransportFailed``."""
    since_ms, until_ms = since_ns // MILLISECOND, until_ns // MILLISECOND
    try:
        return await funding_history(
            venue._transport, venue._loaded, since_ms, until_ms, venue._timing
        )
    except BadMessage as error:
        raise TransportFailed(str(error)) from error


class Site(Server, Protocol):
    """A venue that the world can play a market to."""

    def play(self, event: MarketInput) -> None: ...

    def auto_deleverage(
        self, instrument: str, fraction: Decimal, price: Decimal, now_ns: int
    ) -> None: ...


class Process:
    """One life of the bot, from its start to its end."""

    def __init__(self, owner: str, journal: FaultyJournal, started_ns: int) -> None:
        self.owner, self.journal, self.started_ns = owner, journal, started_ns
        self.live: Live | None = None
        self.task: Any = None


class World:
    """One run. ``violations`` is what the harness itself found wrong, one line each.

    ``actions`` are the paths of requests that change something, ``key`` is how the venue's log
    names the bot, and ``book`` is near the beginning of every frame that has one. What knows
    the venue's words is in the methods under "the venue".
    """

    pairs: tuple[Pair, ...] = PAIRS
    actions: tuple[str, ...] = ("/exchange",)
    key = TRADER.address
    book = b'"l2Book"'
    legs: Mapping[str, Legs] = {}
    """How the trades of a pair are made, where it is not by carry."""
    coins: Mapping[str, Decimal] = {}
    """What their owner holds of them besides."""
    agent_until_ns: int | None = None
    """When the venue is said to stop taking the bot's key."""

    def __init__(
        self,
        oracle: Oracle,
        seed: int,
        *,
        hours: float,
        scenario: Scenario = calm,
        settings: Settings | None = None,
        memory: Path = Path("/dev/shm"),
        start_ns: int = START,
        on_process: Callable[["World"], None] | None = None,
    ) -> None:
        self.oracle = oracle
        self.start_ns = start_ns
        self.loop = SimLoop(oracle, start_ns)
        self.net = SimNet(self.loop, oracle)
        self.directory = Path(mkdtemp(prefix="world-", dir=memory if memory.is_dir() else None))
        self.settings = settings or busy()
        self.end_ns = start_ns + int(hours * 3600 * SECOND)
        self.market = WildMarket(self.pairs, start_ns, seed, scenario)
        legs = [leg for pair in self.pairs for leg in (pair.perp, pair.spot)]
        deposits = {self.pairs[0].spot.quote: CAPITAL, **self.coins}
        self.exchange = Exchange(legs, VenueRules(), deposits, start_ns)
        self.site = self._site()
        self.net.host(VENUE, self.site, self.actions)
        self.net.on_fault = self._count_fault
        self.net.on_send = self._on_send
        self.net.on_push = self._on_push
        names = tuple(pair.name for pair in self.pairs)
        self.strategy: Strategy = Restless(names, start_ns, self.end_ns, seed, self.legs)
        self.clock = SkewedClock(self.loop)
        self.process: Process | None = None
        self.starts = self.deaths = 0
        self.alarms: list[Alarm] = []
        self.windows: list[Window] = []
        self.marks: list[Mark] = []
        self.standing: dict[str, list[Standing]] = {}
        self.facts: list[Fact] = []
        self.faults: Counter[str] = Counter()
        self.cells: Counter[tuple[str, str]] = Counter()
        self.violations: list[str] = []
        self._faulty_at: int | None = None  # where among the windows the latest trouble is
        self.faulty = True
        self._sent: list[tuple[int, str, bytes]] = []  # what the road was given, when and where
        self._opening = self.exchange.account_report(None, start_ns)
        self._dead_since_ns: int | None = start_ns
        self._quoted_ns = start_ns  # when the bot was last told a book, of whatever instrument
        self._on_process = on_process
        self.loop.at(start_ns, self._play_market)
        self.loop.at(start_ns + 30 * SECOND, self._misfortune)
        self.loop.at(start_ns, self.start)

    # --- the venue -------------------------------------------------------------------------

    def _site(self) -> Site:
        agents = {TRADER.address: None, WATCHDOG.address: None}
        history = self.market.history(_HISTORY_HOURS)
        self.emulator = Emulator(self.exchange, self.pairs, ACCOUNT, agents, history=history)
        return self.emulator

    def _venue(self, owner: str) -> Venue:
        """The bot's side of it, for the process ``owner``."""
        venue = WarmVenue(
            self.net.transport(owner, VENUE), TRADER, ACCOUNT, WANTED, self.clock, self._jitter
        )
        venue.market = self.market
        return venue

    def _sell_by_hand(self, spot: Instrument, quantity: Decimal, price: Decimal) -> None:
        order = {
            "a": next(number for number, name in _ASSETS.items() if name == spot.id),
            "b": False,
            "p": format(price.normalize(), "f"),
            "s": format(quantity.normalize(), "f"),
            "r": False,
            "t": {"limit": {"tif": "Ioc"}},
        }
        action = {"type": "order", "orders": [order], "grouping": "na"}
        body = PERSON.sign(action, self.loop.now_ns // MILLISECOND, None)
        self.emulator.request("/exchange", body, self.loop.now_ns)

    def _received(self) -> list[Received]:
        """The venue's log of what was to change something."""
        return [_received(entry) for entry in self.emulator.received]

    def _orders_in(self, _path: str, body: bytes) -> Iterator[tuple[str, Side]]:
        """Instrument and side of each order in a request."""
        for order in msgspec.json.decode(body)["action"].get("orders", ()):
            yield _ASSETS[order["a"]], Side.BUY if order["b"] else Side.SELL

    def _told(self, event: Any) -> Any:
        """The venue's record of a fill, with the client id that its sender gave, if any."""
        return _told(event)

    # --- the bot ---------------------------------------------------------------------------

    def start(self) -> None:
        """A new process, from what the last one left on its disk."""
        if self.process is not None:
            return
        now_ns = self.loop.now_ns
        self.starts += 1
        owner = f"trader-{self.starts}"
        try:
            journal = FaultyJournal(
                self.directory / "journal.sqlite",
                fault=self._disk,
                before_commit=lambda: self._maybe_die(owner, "kill.before_commit"),
                after_commit=lambda: self._maybe_die(owner, "kill.after_commit"),
            )
        except JournalError as error:
            self.violations.append(f"the journal did not open again: {error}")
            return
        self.process = Process(owner, journal, now_ns)
        if self._dead_since_ns is not None:
            self.windows.append(Window(WindowKind.DEAD, self._dead_since_ns, now_ns))
            self._dead_since_ns = None
        running = live(
            self._venue(owner),
            journal,
            Lease(self.directory / "lease.json", "trader", LEASE_NS),
            self.clock,
            self.settings,
            lambda _: self.strategy,
            "testnet",
            self.alarm,
            self.facts.append,
            self._started,
            EVALUATION_NS,
            agent_until_ns=lambda: self.agent_until_ns,
        )
        task = self.process.task = self.loop.spawn(owner, running)
        task.add_done_callback(lambda done: self._ended(owner, done))

    def _started(self, running: Live) -> None:
        assert self.process is not None
        self.process.live = running
        if self._on_process is not None:
            self._on_process(self)

    def _ended(self, owner: str, task: Any) -> None:
        """The process ended by itself: what may end it is known, all else is a defect."""
        if self.loop.is_dead(owner):
            return  # it was killed in the step that ended it
        error = task.exception() if not task.cancelled() else None
        cause = error.__cause__ if isinstance(error, TaskDied) else error
        if not isinstance(cause, LeaseLost | JournalError):
            self.violations.append(f"{owner} ended: {error!r} from {cause!r}")
        self.die(owner)

    def die(self, owner: str) -> None:
        """SIGKILL, now; a supervisor starts it again after a while."""
        process = self.process
        if process is None or process.owner != owner:
            return
        self.deaths += 1
        self.loop.kill(owner)
        self.process = None
        now_ns = self.loop.now_ns
        self._dead_since_ns = now_ns
        # When the step that died has unwound: its journal may still be in a commit.
        self.loop.at(now_ns, process.journal.crash)
        self.loop.at(now_ns + self.outage_ns(), self.start)

    def outage_ns(self) -> int:
        """How long after a death the next process starts."""
        return RESTART_NS + (self.oracle.amount("outage", 0, 20) * SECOND if self.faulty else 0)

    def _maybe_die(self, owner: str, site: str) -> None:
        alive = self.process is not None and self.process.owner == owner
        if self.faulty and alive and self.oracle.choose(site, 2):
            self._count_fault(site)
            self.die(owner)
            raise Killed

    def _on_send(self, owner: str, path: str, body: bytes, moment: Moment) -> None:
        if not owner.startswith("trader"):
            return
        if moment is Moment.AFTER and path in self.actions:
            self._sent.append((self.loop.now_ns, path, body))
        alive = self.process is not None and self.process.owner == owner
        site = f"kill.{moment}"
        if self.faulty and alive and self.oracle.choose(site, 2):
            self._count_fault(site)
            self.die(owner)

    def _on_push(self, owner: str, frame: bytes) -> None:
        if not owner.startswith("trader") or self.book not in frame[:80]:
            return
        now_ns = self.loop.now_ns
        age_ns = int(self.settings.risk.data_age_seconds_max * SECOND) + SECOND
        if now_ns > self._quoted_ns + age_ns:  # it saw no price: nothing may have been added
            self.windows.append(Window(WindowKind.DOUBT, self._quoted_ns + age_ns, now_ns))
        self._quoted_ns = now_ns

    def alarm(self, alarm: RaiseAlarm) -> None:
        self.alarms.append(Alarm(self.loop.now_ns, alarm.alarm, alarm.detail))

    @property
    def engine(self) -> Engine | None:
        running = self.process.live if self.process is not None else None
        return running.trader.engine if running is not None else None

    def _jitter(self) -> float:
        return self.oracle.amount("jitter", 0, 100) / 100

    # --- misfortune ------------------------------------------------------------------------

    def _disk(self, _site: str) -> Any:
        if self.faulty and self.oracle.choose(DISK, 2):
            self._count_fault(DISK)
            return "locked"
        return None

    def _misfortune(self) -> None:
        """Twice a minute: a kill some steps from now, a stop of some seconds, a leg lost."""
        self.loop.at(self.loop.now_ns + 30 * SECOND, self._misfortune)
        if not self.faulty:
            return
        if self.oracle.choose(ADL, 2):
            self.deleverage(
                self._a_pair(), Decimal(self.oracle.amount("adl.percent", 10, 100)) / 100
            )
        elif self.oracle.choose(BY_HAND, 2):
            self.trade_by_hand(self._a_pair(), Decimal(self.oracle.amount("hand.percent", 10, 100)))
        if self.process is None:
            return
        owner = self.process.owner
        if self.oracle.choose("kill.step", 2):
            self._count_fault("kill.step")
            self._kill_in(owner, self.oracle.amount("kill.steps", 0, 400))
        elif self.oracle.choose(STOP, 2):
            self._count_fault(STOP)
            self._stop(owner, self.oracle.amount("stop.seconds", 1, 40) * SECOND)

    def _kill_in(self, owner: str, steps: int) -> None:
        last = self.loop.steps + steps

        def on_step(step: int, _owner: str) -> None:
            if step >= last:
                self.loop.on_step = None
                self.die(owner)

        self.loop.on_step = on_step

    def _stop(self, owner: str, duration_ns: int) -> None:
        now_ns = self.loop.now_ns
        self.windows.append(Window(WindowKind.STOPPED, now_ns, now_ns + duration_ns))
        self.loop.suspend(owner)
        self.loop.at(now_ns + duration_ns, self.loop.resume, owner)

    def _troubled(self) -> None:
        """What has just struck is felt for a while."""
        now_ns = self.loop.now_ns
        last = self.windows[self._faulty_at] if self._faulty_at is not None else None
        if last is not None and last.end_ns >= now_ns and self._faulty_at is not None:
            self.windows[self._faulty_at] = replace(last, end_ns=now_ns + FELT_NS)
        else:
            self._faulty_at = len(self.windows)
            self.windows.append(Window(WindowKind.FAULTY, now_ns, now_ns + FELT_NS))

    def _a_pair(self) -> Pair:
        return self.pairs[self.oracle.amount("pair", 0, len(self.pairs) - 1)]

    def deleverage(self, pair: Pair, fraction: Decimal) -> None:
        """The venue closes a part of the short at its mark, if that is in profit or even."""
        report = self.exchange.account_report(None, self.loop.now_ns)
        position = report.position(pair.perp.id)
        if position is None or not position.quantity or position.margin < ZERO:
            return
        self._count_fault(ADL)
        self._external()
        self.site.auto_deleverage(pair.perp.id, fraction, position.mark, self.loop.now_ns)
        self.net.flush(VENUE)

    def trade_by_hand(self, pair: Pair, percent: Decimal) -> None:
        """A person sells some of the spot leg, with his own key and no client id."""
        report = self.exchange.account_report(None, self.loop.now_ns)
        held = sum((b.total for b in report.balances if b.asset == pair.spot.base), ZERO)
        market = self.exchange._markets[pair.spot.id]
        if market.mid is None or held * decimal_of(market.mid) < 100:
            return
        self._count_fault(BY_HAND)
        self._external()
        price = pair.spot.round_price(decimal_of(market.mid) * Decimal("0.97"), up=False)
        self._sell_by_hand(pair.spot, pair.spot.floor_quantity(held * percent / 100), price)
        self.net.flush(VENUE)

    def _external(self) -> None:
        now_ns = self.loop.now_ns
        self.windows.append(Window(WindowKind.EXTERNAL, now_ns, now_ns + SECOND))

    def _count_fault(self, kind: str) -> None:
        self.faults[kind] += 1
        if kind not in (ADL, BY_HAND):
            self._troubled()
        self.cells[kind, self.executor_state()] += 1
        if kind in _HELPLESS_IN:
            until_ns = self.net.weather_until_ns(VENUE, Weather(kind))
            window = Window(_HELPLESS_IN[kind], self.loop.now_ns, min(until_ns, self.end_ns))
            self.windows.append(window)

    def executor_state(self) -> str:
        """What the bot is in the middle of: the most delicate of what its trades are in."""
        engine = self.engine
        if engine is None:
            return "starting" if self.process is not None else "dead"
        state = engine.state
        if state.orders.unknown():
            return "unknown"
        trades = [state.trades[trade_id] for trade_id in state.open_trades.values()]
        if any(trade.naked_ns is not None for trade in trades):
            return "naked"
        for trade in trades:
            if trade.stage is Stage.WORKING:
                return "closing" if trade.is_closing else "opening"
        for trade in trades:
            return "preparing" if trade.stage is Stage.PREPARING else "holding"
        return "idle"

    # --- the market ------------------------------------------------------------------------

    def _play_market(self) -> None:
        now_ns = self.loop.now_ns
        for event in self.market.step(now_ns):
            self.site.play(event)
        self.net.flush(VENUE)
        if (now_ns - self.start_ns) % _MARKS_NS == 0:
            self._mark(now_ns)
        for pair in self.pairs:
            if pair.name in self.legs:
                self._stand(pair.perp.id, now_ns)
        self.loop.at(now_ns + STEP_NS, self._play_market)

    def _mark(self, now_ns: int) -> None:
        exchange = self.exchange
        for pair in self.pairs:
            for leg in (pair.spot, pair.perp):
                price = exchange._markets[leg.id].mid
                if price is not None:
                    self.marks.append(Mark(now_ns, leg.id, decimal_of(price)))

    def _stand(self, perp: str, now_ns: int) -> None:
        position = self.exchange.position(perp).quantity
        stops = tuple(
            order.remaining
            for order in self.emulator._orders.open()
            if order.instrument == perp and order.trigger is not None
        )
        looks = self.standing.setdefault(perp, [])
        if not looks or (looks[-1].position, looks[-1].stops) != (position, stops):
            looks.append(Standing(now_ns, perp, position, stops))

    # --- the run ---------------------------------------------------------------------------

    def run(self) -> "World":
        """Faults until the end, then none: what has not come right by itself is a violation."""
        self.loop.run_until(self.end_ns)
        self.heal()
        self.loop.run_until(self.end_ns + HEAL_NS)
        for _ in range(30):  # until nothing is on the road
            if self.is_settled():
                break
            self.loop.run_until(self.loop.now_ns + SECOND)
        self.judge_ending()
        return self

    def heal(self) -> None:
        self.faulty = False
        self.net.heal()
        self.windows.append(Window(WindowKind.HEALED, self.loop.now_ns, self.loop.now_ns))

    def is_settled(self) -> bool:
        """Whether the books are the venue's at this very moment."""
        report = self.exchange.account_report(None, self.loop.now_ns)
        return self.engine is not None and differences(self.engine.state, report) == ()

    def judge_ending(self) -> None:
        """The books are the venue's, and nothing is open that nobody decides."""
        engine = self.engine
        if engine is None:
            self.violations.append("after the faults have ended the bot is not running")
            return
        state, now_ns = engine.state, self.loop.now_ns
        report = self.exchange.account_report(None, now_ns)
        self.violations += [f"books: {what}" for what in differences(state, report)]
        self.violations += [f"order {o.cloid} is still UNKNOWN" for o in state.orders.unknown()]
        if not state.books.balanced():
            self.violations.append("the books do not balance")
        if engine.reconciled_ns is None or now_ns - engine.reconciled_ns > 120 * SECOND:
            self.violations.append("the books have not agreed with the venue for two minutes")
        for limit in state.limits.active:
            self.violations.append(f"limit {limit.limit} is still tripped: {limit.detail}")

    def close(self) -> None:
        if self.process is not None:
            self.loop.kill(self.process.owner)
            self.process.journal.crash()
            self.process = None
        shutil.rmtree(self.directory, ignore_errors=True)
        self.loop.close()

    # --- what the checker reads ------------------------------------------------------------

    def _lost(self) -> Iterator[Lost]:
        """Orders that the road was given and the venue never got."""
        arrived = {entry.digest for entry in self._received()}
        for time_ns, path, body in self._sent:
            if sha256(body).hexdigest() not in arrived:
                for instrument, side in self._orders_in(path, body):
                    yield Lost(time_ns, instrument, side)

    def history(self) -> History:
        exchange, now_ns = self.exchange, self.loop.now_ns
        # The deposit that it begins with is in the opening.
        events = [e for e in exchange.private_since(0) if e.venue_time_ns > self.start_ns]
        private = [self._told(event) for event in events]
        looks = [look for of_one in self.standing.values() for look in of_one]
        others = sorted([*private, *self.marks, *self._lost(), *looks], key=time_of)
        policy = self.settings.execution
        bounds = Bounds(
            pairs=self.pairs,
            trader=self.key,
            watchdog=WATCHDOG.address,
            slice_notional=policy.max_naked_notional,
            position_notional_max={pair.name: Decimal(6000) for pair in self.pairs},
            legs=dict(self.legs),
        )
        reads = tuple(
            sent.answered_ns
            for sent in self.net.log
            if sent.path not in self.actions and sent.answered_ns is not None
        )
        return History(
            bounds, self._opening, in_order(self._received(), others), tuple(self.alarms),
            tuple(self.windows), tuple(sorted(reads)), exchange.account_report(None, now_ns),
        )  # fmt: skip


class AloneWorld(World):
    """Perps that stand alone, one long and one short."""

    legs = {PAIRS[0].name: Legs.LONG, PAIRS[1].name: Legs.SHORT}  # noqa: RUF012 - see World


class MirrorWorld(World):
    """Coins that their owner holds: of one pair they are sold against a long perp, those of the
    other stay, and a short perp hedges them."""

    legs = {PAIRS[0].name: Legs.REVERSE, PAIRS[1].name: Legs.OVERLAY}  # noqa: RUF012 - see World
    coins = {PAIRS[0].spot.base: Decimal(500), PAIRS[1].spot.base: Decimal(80)}  # noqa: RUF012

    def trade_by_hand(self, pair: Pair, percent: Decimal) -> None:
        """Whose coins a person sells nobody could tell from the venue's log."""


_ASSETS = {
    number: leg.id
    for index, pair in enumerate(PAIRS)
    for number, leg in ((index, pair.perp), (10_000 + index, pair.spot))
}


def _told(event: Any) -> Any:
    """The venue's record; an order without a client id has a name there that nobody else knows."""
    if isinstance(event, Fill) and event.cloid is not None and not event.cloid.startswith("0x"):
        return replace(event, cloid=None)
    return event


def _received(entry: Any) -> Received:
    orders = tuple(
        SentOrder(
            o.cloid, o.instrument, o.side, o.quantity, o.price, o.time_in_force, o.reduce_only
        )
        for o in entry.orders
    )
    taken = entry.outcome == "ok"
    return Received(
        entry.time_ns,
        entry.signer or "",
        entry.nonce,
        entry.action,
        entry.digest,
        entry.outcome,
        orders,
        entry.cloids,
        entry.statuses if taken else (),
        entry.expires_ms,
    )
