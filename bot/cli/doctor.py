"""``fundarb doctor``: is this machine fit to run the bot, and if not, what to do about it."""

import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli import networks, options, values
from bot.cli.errors import REFUSED, CommandError
from bot.cli.values import read
from bot.finding import Finding

if TYPE_CHECKING:
    from bot.settings import Settings

EXAMPLES = """\b
Examples:
  fundarb doctor
  fundarb doctor --state state/paper --data DIR --json -
  fundarb doctor --testnet --account 0xADDR --agent 0xAGENT
"""
GIGABYTE = 1_000_000_000
_STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red"}


def doctor(
    config: options.Config = None,
    state: options.State = options.PAPER_STATE,
    data: Annotated[
        str | None, typer.Option("--data", metavar="DIR", help="History to look at as well.")
    ] = None,
    account: Annotated[
        str | None,
        typer.Option("--account", metavar="0xADDR", help="An account to look at as well."),
    ] = None,
    agent: Annotated[
        str | None,
        typer.Option("--agent", metavar="0xADDR", help="The address of its agent's key."),
    ] = None,
    url: networks.Url = None,
    testnet: networks.Testnet = False,
    mainnet: networks.Mainnet = False,
    pairs: options.Pairs = None,
    json: options.Json = None,
) -> None:
    """Say whether this machine, and an account, are fit to run the bot.

    Looks at Python, packages, state directory, disk, port, clock, settings and, with
    --data, at history. With --account and --agent the venue is asked: clocks, the agent and
    its end, account mode, pairs, age of quotes, positions on cross margin, balance. Nothing
    is signed. Exit code 3 when something must be put right first.
    """
    from bot.cli.output import STDOUT, console, write_json

    answer = read("--json", values.writable_file, json)
    findings = list(_findings(config, Path(state), data))
    if account is not None or agent is not None:
        where = networks.Asked(url, testnet, mainnet)
        findings += _account(where, account or "", agent or "", pairs, config)
    elif url is not None or testnet or mainnet:
        raise CommandError("give --account and --agent too: whose account is it?")
    sound = all(finding.status != "failed" for finding in findings)
    checks = [finding._asdict() for finding in findings]
    write_json({"ok": sound, "checks": checks}, answer)
    if answer != STDOUT:
        out = console()
        for finding in findings:
            out.print(f"{finding.status:8}", style=_STYLES[finding.status], end="", markup=False)
            out.print(f" {finding}", markup=False, soft_wrap=True)
    if not sound:
        raise typer.Exit(REFUSED)


def _findings(config: str | None, state: Path, data: str | None) -> Iterator[Finding]:
    yield _python()
    yield _packages()
    yield from _state(state)
    yield from _settings(config)
    if data is not None:
        yield _history(data)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("python", "ok", version)


def _packages() -> Finding:
    """Whether everything that the installed distribution asks for is there."""
    from importlib import metadata

    try:
        wanted = [text for text in metadata.requires("fundarb") or () if "extra ==" not in text]
    except metadata.PackageNotFoundError:
        return Finding("packages", "failed", "fundarb is not installed", "run `make setup`")
    names = [re.split(r"[^A-Za-z0-9._-]", text, maxsplit=1)[0] for text in wanted]
    missing = [name for name in names if not _installed(name)]
    if missing:
        return Finding("packages", "failed", f"missing {', '.join(missing)}", "run `make setup`")
    return Finding(
        "packages", "ok", f"fundarb {metadata.version('fundarb')}, {len(names)} packages"
    )


def _installed(name: str) -> bool:
    from importlib import metadata

    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _state(state: Path) -> Iterator[Finding]:
    """Writable, private, with room; the probe's time stamp also tells what the clock says."""
    folder = next(path for path in (state, *state.absolute().parents) if path.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=folder) as probe:
            written_s = Path(probe.name).stat().st_mtime
    except OSError as error:
        yield Finding("state", "failed", f"{folder}: {error.strerror}", "choose another --state")
        return
    if folder == state and state.stat().st_mode & 0o077:
        yield Finding("state", "warning", f"{state} is open to others", f"chmod 700 {state}")
    else:
        yield Finding(
            "state", "ok", f"{state} {'is' if folder == state else 'can be made'} writable"
        )
    free = shutil.disk_usage(folder).free
    room = f"{free / GIGABYTE:,.1f} GB free"
    if free < GIGABYTE / 10:
        yield Finding(
            "disk", "failed", room, "make room: the journal must never fail to be written"
        )
    else:
        low = free < GIGABYTE
        yield Finding("disk", "warning" if low else "ok", room, "make room soon" if low else "")
    yield _clock(written_s)


def _clock(now_s: float) -> Finding:
    # The program cannot be newer than now: a clock behind it is certainly wrong.
    if now_s < Path(__file__).stat().st_mtime - 60:
        return Finding(
            "clock", "failed", "is behind the program's own files", "set the clock by NTP"
        )
    if Path("/run/systemd/timesync/synchronized").exists():
        return Finding("clock", "ok", "synchronized by systemd-timesyncd")
    return Finding("clock", "ok", "plausible; nothing here says whether NTP keeps it so")


def _settings(config: str | None) -> Iterator[Finding]:
    from bot.settings import SettingsError

    try:
        settings = _loaded(config)
    except (SettingsError, CommandError) as error:
        yield Finding("settings", "failed", str(error), "`fundarb config check` after the change")
        return
    yield Finding("settings", "ok", config or "defaults and environment")
    yield _port(settings.metrics.port)
    yield _calendar(settings)


def _calendar(settings: "Settings") -> Finding:
    """A table that has run out guards nothing, and says nothing."""
    from bot.clock import SystemClock
    from bot.events_file import reach, running_out

    if told := running_out(settings.events, SystemClock().now_ns()):
        fix = "copy config/events.toml, add the next dates, name it by calendar.file"
        return Finding("calendar", "warning", "; ".join(told), fix)
    return Finding("calendar", "ok", reach(settings.events))


def _loaded(config: str | None) -> "Settings":
    from bot.settings import load

    return load(read("--config", values.existing_file, config)).settings


def _port(port: int) -> Finding:
    if port == 0:
        return Finding("port", "ok", "metrics are off")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            fix = "choose another by metrics.port"
            return Finding("port", "warning", f"{port}: {error.strerror}", fix)
    return Finding("port", "ok", f"{port} is free")


def _history(data: str) -> Finding:
    prices = Path(data).expanduser() / "prices"
    venues = sorted(path for path in prices.glob("*") if any(path.glob("perp/*.parquet")))
    if not venues:
        fix = "give the directory that holds prices/ and funding/"
        return Finding("history", "failed", f"no prices/VENUE/perp/*.parquet in {data}", fix)
    if not any((prices.parent / "funding").glob("*.parquet")):
        return Finding("history", "failed", f"no funding/*.parquet in {data}", "add the funding")
    counts = ", ".join(f"{path.name} {len(list(path.glob('*/*.parquet')))}" for path in venues)
    return Finding("history", "ok", f"price files: {counts}")


def _account(
    where: networks.Asked, account: str, agent: str, pairs: str | None, config: str | None
) -> list[Finding]:
    """What the venue says."""
    import asyncio

    from bot.checkup import Checkup
    from bot.clock import SteadyClock
    from bot.instruments import load_pairs
    from bot.minute import Row, minute_in
    from bot.settings import SettingsError
    from bot.transport import HttpTransport
    from execution.ports import TransportFailed
    from execution.risk.limits import RiskLimits
    from execution.venues.hyperliquid.symbols import VENUE
    from execution.venues.hyperliquid.timing import Timing
    from execution.venues.hyperliquid.weights import ALONE_UP_TO, BESIDE_UP_TO, Paced

    whose = read("--account", values.address, account)
    key = read("--agent", values.address, agent)
    names = read("--pairs", values.pair_names, pairs)
    at = networks.place(where, None)
    wanted = {pair.name: pair.spot.base for pair in load_pairs(VENUE, names)}
    try:
        limits = _loaded(config).risk
    except (SettingsError, CommandError):
        limits = RiskLimits()  # that they are wrong is told above

    state = Path(networks.STATES[at.network])
    shared = state.is_dir()  # a bot's, which asks from the same address

    async def look() -> list[Finding]:
        minute = minute_in(state, Row.OTHERS, lambda _: None) if shared else None
        async with HttpTransport(at.url) as wire:
            paced = Paced(wire, minute, BESIDE_UP_TO if minute else ALONE_UP_TO)
            checkup = Checkup(paced, whose, key, wanted, SteadyClock(), limits, Timing())
            return await checkup.findings()

    try:
        return asyncio.run(look())
    except TransportFailed as error:
        fix = "look at the network, the address, and the venue's status page"
        return [Finding("venue", "failed", f"{at.url} does not answer: {error}", fix)]
