"""The processes that act for an account: the trader, its watchdog, and what both are told.

Both end by being told to, or by failing; neither puts anything in order before it ends. The
next start recovers, and the watchdog is there for the time between.
"""

import asyncio
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from decimal import Decimal
from getpass import getpass
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import structlog

from bot import closes, logs, settings
from bot.alarms import ALARMS, AlarmFile
from bot.checkup import Checkup, failed
from bot.choosing import PERPS_ALONE, chosen
from bot.cli import values
from bot.cli.directory import JOURNAL
from bot.cli.errors import FAILED, CommandError
from bot.cli.networks import STATES, Asked, Place, Refused, confirm, place
from bot.cli.values import read
from bot.clock import SteadyClock, boot_id
from bot.control import Control
from bot.hearing import to_all
from bot.instruments import load_pairs
from bot.keys import key_of, nobody
from bot.lease import Lease, LeaseLost
from bot.live import Live, live
from bot.minute import Row, minute_in
from bot.monitor import Monitor, TimedJournal, WatchdogMonitor
from bot.settings import Settings
from bot.systemd import ServiceManager
from bot.transport import HttpTransport
from bot.watchdog import Bounds, NonceFile, Watchdog
from bot.web.serve import serving
from domain.instruments import Pair
from domain.time import MILLISECOND, SECOND, iso
from execution.effects import RaiseAlarm
from execution.journal import SqliteJournal
from execution.ports import Clock, Transport, TransportFailed
from execution.supervise import TaskDied
from execution.venues.hyperliquid.sign import AgentSigner, Caps
from execution.venues.hyperliquid.symbols import VENUE, Listing
from execution.venues.hyperliquid.timing import Timing
from execution.venues.hyperliquid.venue import Hyperliquid
from execution.venues.hyperliquid.weights import Paced
from execution.venues.hyperliquid.wire import BadMessage

LEASE, NONCES = "lease.json", "watchdog.nonces"
"""What the two keep in their state directory beside the journal, which is the trader's alone."""
LEASE_NS = 3 * SECOND
"""Renewed every second; longer than the watchdog's requests can be on the road."""
_RETRY_SECONDS = 1.0
_NO_ANSWER = (TransportFailed, BadMessage)


class Ended(CommandError):
    """It ran, and something ended it: the message says what. Starting again recovers."""

    exit_code = FAILED


class Act(msgspec.Struct, frozen=True):
    """For whom, where and by which rules. ``pairs``: name to spot token; ``address`` the
    account's, in small letters."""

    place: Place
    address: str
    signer: AgentSigner
    pairs: dict[str, str]
    settings: Settings
    state: Path

    @property
    def url(self) -> str:
        return self.place.url


# --- what a person typed ----------------------------------------------------------------------


def asked(
    where: Asked,
    account: str,
    key_file: str,
    pairs: str | None,
    config: str | None,
    state: str | None,
    trader: str | None = None,
) -> Act:
    """What the options say, once everything that has to be said twice was. ``trader``: the address
    of a key that this one must not be.

    Raises:
        CommandError: one of them says what cannot be, or what is refused.
        SettingsError, UnknownPair: so does the settings file, the list of pairs.
    """
    names = read("--pairs", values.pair_names, pairs)
    file = read("--config", values.existing_file, config)
    chosen = settings.load(file).settings
    at = place(where, chosen.live.network)
    whose = read("--account", values.address, account)
    confirm(at, whose, where.confirm)
    capital = chosen.account.capital
    signer = read("--key-file", lambda source: agent(source, at, capital), key_file)
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
        place=at,
        address=whose,
        signer=signer,
        pairs={pair.name: pair.spot.base for pair in load_pairs(VENUE, names)},
        settings=chosen,
        state=Path(state or STATES[at.network]),
    )


def agent(source: str, at: Place, capital: Decimal) -> AgentSigner:
    """Of the key in a file, a keystore or a credential, for one network alone. No order is worth
    more than all there is, and an hour's are not worth more than to open and close everything
    ten times."""
    caps = Caps(order=capital, hour=20 * capital)
    return AgentSigner(key_of(source, passphrase), is_mainnet=at.network == "mainnet", caps=caps)


def passphrase(of: str) -> str:
    """Asked for without being shown.

    Raises:
        ValueError: nobody is there.
    """
    if not sys.stdin.isatty():
        nobody(of)
    return getpass(f"Passphrase of {of}: ")


# --- the trader -------------------------------------------------------------------------------


class _Proven(Hyperliquid):
    """The venue, where whatever keeps the account from being traded is told by its name."""

    def __init__(
        self,
        act: Act,
        wire: Transport,
        clock: SteadyClock,
        *,
        restart: bool,
    ) -> None:
        super().__init__(
            wire,
            act.signer,
            act.address,
            act.pairs,
            clock,
            _chance(clock),
            known=closes.read(act.state / closes.CLOSES),
            perps_alone=act.settings.strategy.name in PERPS_ALONE,
        )
        self._act, self._restart = act, restart
        self.agent_until_ns: int | None = None

    async def load(self) -> tuple[Pair, ...]:
        try:
            fit = await require_fit(self._transport, self._act, self._clock, restart=self._restart)
        except ValueError as error:
            raise CommandError(str(error)) from error
        self.agent_until_ns = fit.agent_until_ns
        return self.take(fit.listed)


async def trade(act: Act) -> None:
    """Run the live bot until something ends it.

    Raises:
        Ended: what.
        CommandError: the account, its instruments or the state directory are not as asked for.
        JournalError: the journal cannot be read or written.
    """
    clock = SteadyClock()
    control = Control()
    logs.configure(sys.stderr)
    with (
        SqliteJournal(act.state / JOURNAL) as kept,
        serving(control, act.state, act.settings.web, _warn_of_page) as page,
        ExitStack() as closing,
    ):
        lease = Lease(act.state / LEASE, "trader", LEASE_NS, clock.origin_ns, boot_id())
        log = _log_start("trader", act)
        log.info("page", address=page)
        try:
            async with HttpTransport(act.url) as wire:
                minute = minute_in(act.state, Row.TRADER, _tell_alone)
                closing.callback(minute.close)
                venue = _Proven(act, Paced(wire, minute), clock, restart=len(kept) > 0)
                monitor = _monitor(act, log, closing)
                recorder = monitor.recorder if monitor is not None else None

                def on_started(running: Live) -> None:
                    _log_running(running, log)
                    closes.keep(act.state / closes.CLOSES, venue.closes)
                    if monitor is not None:
                        monitor.begin(running, clock, lambda: venue.agent_until_ns)

                await live(
                    venue,
                    kept if recorder is None else TimedJournal(kept, recorder),
                    lease,
                    clock,
                    act.settings,
                    lambda pairs: chosen(act.settings, pairs),
                    "live" if act.place.network == "mainnet" else "testnet",
                    to_all(_outbox(act.state, log), recorder.alarm if recorder else None),
                    to_all(logs.fact_logger(log), recorder.fact if recorder else None),
                    on_started,
                    synthetic=act.place.network == "here",
                    control=control,
                    agent_until_ns=lambda: venue.agent_until_ns,
                )
        except asyncio.CancelledError:
            # Told to end: the watchdog need not think that the trader hangs.
            with suppress(LeaseLost):
                lease.release()
            raise
        except (TaskDied, LeaseLost) as error:
            raise Ended(f"{error}: start it again, it recovers from {act.state}") from error


def _tell_alone(what: str) -> None:
    structlog.get_logger().warning("counts_alone", detail=what)


def _warn_of_page(what: str) -> None:
    structlog.get_logger().warning("no_page", detail=what)


def _monitor(act: Act, log: Any, closing: ExitStack) -> Monitor | None:
    """The metrics page, closed with ``closing``; a second bot on a machine runs without."""
    port = act.settings.metrics.port
    if port == 0:
        return None
    try:
        monitor = Monitor(port, load_pairs(VENUE, tuple(act.pairs)), act.state)
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
    clock = SteadyClock()
    page = _watchdog_monitor(act, log)
    minute = minute_in(act.state, Row.WATCHDOG, _tell_alone)
    try:
        async with HttpTransport(act.url) as wire:
            transport = Paced(wire, minute)
            watchdog = Watchdog(
                transport,
                act.signer,
                nonces,
                await _listed(transport, act, clock, log),
                act.address,
                trader,
                clock,
                Lease(act.state / LEASE, "watchdog", LEASE_NS, clock.origin_ns, boot_id()),
                Bounds.of(act.settings.execution, timing),
                to_all(_outbox(act.state, log), page.alarm if page else None),
                _looked(page),
            )
            log.info("watching", lease=str(act.state / LEASE))
            await watchdog.run()
    except LeaseLost as error:
        raise Ended(str(error)) from error
    finally:
        minute.close()
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


def _looked(page: WatchdogMonitor | None) -> Callable[[], None]:
    """To be called with every look: it is on the page, and the service manager hears of it."""
    manager = ServiceManager()

    def looked() -> None:
        manager.got_on()
        if page is not None:
            page.looked()

    return looked


def _nonces(path: Path) -> NonceFile:
    try:
        return NonceFile(path)
    except ValueError as error:
        raise CommandError(str(error)) from error


async def _listed(transport: Transport, act: Act, clock: Clock, log: Any) -> Listing:
    """What is traded; asked for until there is an answer."""
    silent = False
    while True:
        try:
            return (await require_fit(transport, act, clock, restart=True)).listed
        except _NO_ANSWER as error:
            if not silent:
                log.warning("venue_silent", url=act.url, detail=str(error))
            silent = True
        except ValueError as error:
            raise CommandError(str(error)) from error
        await asyncio.sleep(_RETRY_SECONDS)


# --- both -------------------------------------------------------------------------------------


async def require_fit(transport: Transport, act: Act, clock: Clock, *, restart: bool) -> Checkup:
    """Have the venue say that the account may be traded, by this key, as it is now.

    Returns what was asked, and answered: what is listed is known then.

    Raises:
        Refused: it is not fit, and why.
        TransportFailed: there was no answer to be believed.
    """
    checkup = Checkup(
        transport,
        act.address,
        act.signer.address,
        act.pairs,
        clock,
        act.settings.risk,
        Timing(),
    )
    findings = await checkup.findings(restart=restart)
    refused = failed(findings, restart=restart)
    if refused:
        raise Refused("; ".join(map(str, refused)))
    for finding in findings:
        if finding.status != "ok":
            structlog.get_logger().warning(
                "unfit", check=finding.check, detail=finding.detail, fix=finding.fix
            )
    return checkup


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
        network=act.place.network,
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
