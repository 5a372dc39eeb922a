"""The processes that act for an account: the trader, its watchdog, and what both are told.

Both end by being told to, or by failing; neither puts anything in order before it ends. The
next start recovers, and the watchdog is there for the time between.
"""

import asyncio
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from ipaddress import ip_address
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import msgspec
import structlog

from bot import logs, settings
from bot.alarms import ALARMS, AlarmFile
from bot.cli import values
from bot.cli.errors import FAILED, REFUSED, CommandError
from bot.cli.values import read
from bot.clock import SteadyClock
from bot.hearing import to_all
from bot.instruments import load_pairs
from bot.keys import read_key
from bot.lease import Lease, LeaseLost
from bot.live import Live, live
from bot.monitor import Monitor, TimedJournal, WatchdogMonitor
from bot.settings import Settings
from bot.transport import HttpTransport, endpoints
from bot.watchdog import Bounds, NonceFile, Watchdog
from domain.instruments import Pair
from domain.time import MILLISECOND, SECOND, iso
from execution.effects import RaiseAlarm
from execution.journal import SqliteJournal
from execution.ports import Transport, TransportFailed
from execution.supervise import TaskDied
from execution.venues.hyperliquid import start
from execution.venues.hyperliquid.sign import AgentSigner
from execution.venues.hyperliquid.symbols import VENUE, Listing
from execution.venues.hyperliquid.timing import Timing
from execution.venues.hyperliquid.venue import Hyperliquid
from execution.venues.hyperliquid.wire import BadMessage, decode
from strategies.cash_and_carry import CashAndCarry

JOURNAL, LEASE, NONCES = "journal.sqlite", "lease.json", "watchdog.nonces"
"""What the two keep in their state directory; only the first is the trader's alone."""
LEASE_NS = 3 * SECOND
"""Renewed every second; longer than the watchdog's requests can be on the road."""
_RETRY_SECONDS = 1.0
_NO_ANSWER = (TransportFailed, BadMessage)


class Refused(CommandError):
    """Nothing is wrong with how it was asked; it is not done all the same."""

    exit_code = REFUSED


class Ended(CommandError):
    """It ran, and something ended it: the message says what. Starting again recovers."""

    exit_code = FAILED


class Act(msgspec.Struct, frozen=True):
    """For whom, where and by which rules. ``pairs``: name to spot token; ``address`` the
    account's, in small letters."""

    url: str
    address: str
    signer: AgentSigner
    pairs: dict[str, str]
    settings: Settings
    state: Path


# --- what a person typed ----------------------------------------------------------------------


def asked(
    url: str,
    account: str,
    key_file: str,
    pairs: str | None,
    config: str | None,
    state: str,
    trader: str | None = None,
) -> Act:
    """What the options say. ``trader``: the address of a key that this one must not be.

    Raises:
        CommandError: one of them says what cannot be, or what is refused.
        SettingsError, UnknownPair: so does the settings file, the list of pairs.
    """
    names = read("--pairs", values.pair_names, pairs)
    file = read("--config", values.existing_file, config)
    where = read("--url", on_this_machine, url)
    whose = read("--account", address, account)
    signer = read("--key-file", agent, key_file)
    if signer.address == whose:
        raise Refused(
            f"--key-file: this is the key of the account {whose} itself, which can withdraw: "
            "approve an agent there, and give the agent's key"
        )
    if signer.address == trader:
        raise Refused(
            f"--key-file: this is the trader's key, {trader}, and two processes with one key use "
            "up each other's nonces: approve an agent for each"
        )
    return Act(
        url=where,
        address=whose,
        signer=signer,
        pairs={pair.name: pair.spot.base for pair in load_pairs(VENUE, names)},
        settings=settings.load(file).settings,
        state=Path(state),
    )


def on_this_machine(url: str) -> str:
    """The address of an exchange on a loopback interface.

    Raises:
        Refused: it is anywhere else.
        ValueError: it is here, and no address of a host alone.
    """
    try:
        host = urlsplit(url).hostname or ""
        here = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        here = False
    if not here:
        raise Refused(
            "real venues are not offered yet: --url takes only an exchange on this machine, "
            "such as http://127.0.0.1:8123 (`fundarb emulator` is one)"
        )
    return endpoints(url)[0]


def agent(path: str) -> AgentSigner:
    """Of the key in a file, for networks without real money."""
    return AgentSigner(read_key(Path(path)), is_mainnet=False)


def address(text: str) -> str:
    """An account's address; what is none is not repeated, since it may be a key."""
    try:
        return start.address(text)
    except ValueError:
        raise ValueError("not an address: 0x and 40 hex digits are one") from None


# --- the trader -------------------------------------------------------------------------------


class _Proven(Hyperliquid):
    """The venue, where whatever keeps the account from being traded is told by its name."""

    def __init__(
        self, act: Act, transport: Transport, clock: SteadyClock, chance: Callable[[], float]
    ) -> None:
        super().__init__(transport, act.signer, act.address, act.pairs, clock, chance)
        self._act = act
        self.agent_until_ns: int | None = None

    async def load(self) -> tuple[Pair, ...]:
        try:
            await require_agent(self._transport, self._act)
            self.agent_until_ns = await agent_until_ns(self._transport, self._act)
            return await super().load()
        except ValueError as error:
            raise CommandError(str(error)) from error


async def trade(act: Act) -> None:
    """Run the live bot until something ends it.

    Raises:
        Ended: what.
        CommandError: the account, its instruments or the state directory are not as asked for.
        JournalError: the journal cannot be read or written.
    """
    clock = SteadyClock()
    risk = act.settings.risk
    with SqliteJournal(act.state / JOURNAL) as kept, ExitStack() as closing:
        lease = Lease(act.state / LEASE, "trader", LEASE_NS)
        log = _log_start("trader", act)
        try:
            async with HttpTransport(act.url) as transport:
                venue = _Proven(act, transport, clock, _chance(clock))
                monitor = _monitor(act, log, closing)
                recorder = monitor.recorder if monitor is not None else None

                def on_started(running: Live) -> None:
                    _log_running(running, log)
                    if monitor is not None:
                        monitor.begin(running, clock, lambda: venue.agent_until_ns)

                await live(
                    venue,
                    kept if recorder is None else TimedJournal(kept, recorder),
                    lease,
                    clock,
                    act.settings,
                    lambda pairs: CashAndCarry(
                        act.settings.strategy,
                        pairs,
                        leverage_target=risk.leverage_target,
                        risk_per_trade=risk.risk_per_trade,
                    ),
                    "testnet",
                    to_all(_outbox(act.state, log), recorder.alarm if recorder else None),
                    to_all(logs.fact_logger(log), recorder.fact if recorder else None),
                    on_started,
                    synthetic=True,  # only an exchange on this machine is taken
                )
        except asyncio.CancelledError:
            # Told to end: the watchdog need not think that the trader hangs.
            with suppress(LeaseLost):
                lease.release()
            raise
        except (TaskDied, LeaseLost) as error:
            raise Ended(f"{error}: start it again, it recovers from {act.state}") from error


def _monitor(act: Act, log: Any, closing: ExitStack) -> Monitor | None:
    """The metrics page, closed with ``closing``; a second bot on a machine runs without."""
    port = act.settings.metrics.port
    if port == 0:
        return None
    try:
        monitor = Monitor(port, load_pairs(VENUE, tuple(act.pairs)))
    except OSError as error:
        log.warning("no_metrics", detail=error.strerror)
        return None
    closing.callback(monitor.close)
    return monitor


def _log_running(running: Live, log: Any) -> None:
    state = running.trader.engine.state
    log.info("recovered", facts=state.facts, orders_in_doubt=len(state.orders.unknown()))


# --- its watchdog -----------------------------------------------------------------------------


async def watch(act: Act, trader: str) -> None:
    """Run the watchdog of the trader whose key has that address, until something ends it.

    Raises:
        Ended: the lease cannot be read any more.
        CommandError: the account or its instruments are not as asked for, or another one runs.
    """
    timing = Timing()
    act.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    nonces = _nonces(act.state / NONCES)
    log = _log_start("watchdog", act)
    page = _watchdog_monitor(act, log)
    try:
        async with HttpTransport(act.url) as transport:
            watchdog = Watchdog(
                transport,
                act.signer,
                nonces,
                await _listed(transport, act, timing, log),
                act.address,
                trader,
                SteadyClock(),
                Lease(act.state / LEASE, "watchdog", LEASE_NS),
                Bounds.of(act.settings.execution, timing),
                to_all(_outbox(act.state, log), page.alarm if page else None),
                page.looked if page is not None else lambda: None,
            )
            log.info("watching", lease=str(act.state / LEASE))
            await watchdog.run()
    except LeaseLost as error:
        raise Ended(str(error)) from error
    finally:
        nonces.close()
        if page is not None:
            page.close()


def _watchdog_monitor(act: Act, log: Any) -> WatchdogMonitor | None:
    port = act.settings.metrics.watchdog_port
    try:
        return WatchdogMonitor(port) if port else None
    except OSError as error:
        log.warning("no_metrics", detail=error.strerror)
        return None


def _nonces(path: Path) -> NonceFile:
    try:
        return NonceFile(path)
    except ValueError as error:
        raise CommandError(str(error)) from error


async def _listed(transport: Transport, act: Act, timing: Timing, log: Any) -> Listing:
    """What is traded; asked for until there is an answer."""
    silent = False
    while True:
        try:
            await require_agent(transport, act)
            return await start.load(transport, act.address, act.pairs, timing)
        except _NO_ANSWER as error:
            if not silent:
                log.warning("venue_silent", url=act.url, detail=str(error))
            silent = True
        except ValueError as error:
            raise CommandError(str(error)) from error
        await asyncio.sleep(_RETRY_SECONDS)


# --- both -------------------------------------------------------------------------------------


class _Owner(msgspec.Struct, frozen=True):
    user: str = ""


class _Role(msgspec.Struct, frozen=True):
    """The venue's answer to ``userRole``."""

    role: str
    data: _Owner = _Owner()


async def require_agent(transport: Transport, act: Act) -> None:
    """Have the venue say that the key is an agent's of this account, and not only that it looks so.

    Raises:
        Refused: it is not.
        TransportFailed: there was no answer to be believed.
    """
    question = msgspec.json.encode({"type": "userRole", "user": act.signer.address})
    reply = await transport.request("/info", question, Timing().request_timeout)
    if reply.status != 200:
        raise TransportFailed(f"userRole: HTTP {reply.status}")
    try:
        told = decode(reply.body, _Role)
    except BadMessage as error:
        raise TransportFailed(f"userRole: {error}") from error
    if (told.role, told.data.user.lower()) != ("agent", act.address):
        raise Refused(
            f"{act.signer.address}, the address of the key, is no agent of the account "
            f"{act.address}: approve it there (`fundarb emulator`: --agent {act.signer.address})"
        )


class _Agent(msgspec.Struct, frozen=True, rename="camel"):
    """One of the venue's answer to ``extraAgents``: those that have an expiry."""

    address: str
    valid_until: int  # milliseconds


async def agent_until_ns(transport: Transport, act: Act) -> int | None:
    """When the venue stops taking the key; None where it takes it for ever, or does not say."""
    question = msgspec.json.encode({"type": "extraAgents", "user": act.address})
    reply = await transport.request("/info", question, Timing().request_timeout)
    try:
        told = decode(reply.body, list[_Agent]) if reply.status == 200 else []
    except BadMessage:
        told = []
    for agent in told:
        if agent.address.lower() == act.signer.address:
            return agent.valid_until * MILLISECOND
    return None


def _chance(clock: SteadyClock) -> Callable[[], float]:
    """Spreads reconnections; decides nothing."""
    return Random(clock.now_ns() // MILLISECOND).random


def _log_start(who: str, act: Act) -> Any:
    """The log, with who acts for whom and the limits in force: a wrong unit is seen at once."""
    logs.configure(sys.stderr)
    log = structlog.get_logger()
    risk = act.settings.risk
    log.info(
        who,
        url=act.url,
        account=act.address,
        agent=act.signer.address,
        pairs=",".join(act.pairs),
        state=str(act.state),
        risk_per_trade=risk.risk_per_trade,
        leverage_cap=risk.leverage_cap,
        daily_loss_max=risk.daily_loss_max,
        drawdown_max=risk.drawdown_max,
    )
    return log


def _outbox(state: Path, log: Any) -> Callable[[RaiseAlarm], None]:
    """Shows an alarm, and keeps it on disk."""
    keep = AlarmFile(state / ALARMS)

    def tell(alarm: RaiseAlarm) -> None:
        # Shown first: a disk that hangs is among the things that a person has to be told.
        log.error("alarm", alarm=alarm.alarm, detail=alarm.detail, at=iso(alarm.time_ns))
        keep(alarm)

    return tell
