"""``fundarb notify``: tells a person what the bot, its watchdog and Alertmanager have to say."""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli import options
from bot.cli.errors import FAILED, CommandError
from bot.cli.values import existing_file, read

if TYPE_CHECKING:
    from concurrent.futures import Future

    from bot.channels import Channels
    from bot.notify import Notifier
    from bot.record import Record
    from bot.settings import Settings
    from bot.telegram import Listener

EXAMPLES = """\b
Examples, with addresses such as tgram://TOKEN/CHAT, one a line, in a file of yours alone:
  fundarb notify --to channels.txt --test         send one message, to see that it arrives
  fundarb notify --to channels.txt --state DIR    beside a running bot, until Ctrl-C
  fundarb notify --to channels.txt --telegram FILE --config FILE
"""
KEPT = "notified.json"


class Ended(CommandError):
    """Something ended it: the message says what. Starting it again loses nothing."""

    exit_code = FAILED


def notify(
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="FILE",
            help="Addresses, one a line; yours alone (chmod 600), or credential:NAME.",
        ),
    ],
    telegram: Annotated[
        str | None,
        typer.Option(
            "--telegram",
            metavar="FILE",
            help="The token of a Telegram bot, kept as --to: take questions and /pause.",
        ),
    ] = None,
    state: options.State = options.PAPER_STATE,
    config: options.Config = None,
    *,
    test: Annotated[bool, typer.Option("--test", help="Send one message and end.")] = False,
) -> None:
    """Tell a person: Telegram, Discord, Slack, mail, a webhook, by apprise.

    Critical alarms at once, others in measure, a digest once a day. What does not arrive is
    tried again until it does, also after a restart. It takes Alertmanager's alerts too.
    """
    from bot import logs, settings
    from bot.channels import Channels, addresses, secrets_of
    from bot.telegram import token_in

    loaded = settings.load(read("--config", existing_file, config)).settings
    try:
        where = addresses(to)
    except ValueError as error:
        raise CommandError(f"--to: {error}") from error
    token = read("--telegram", token_in, telegram)
    logs.configure(sys.stderr)
    channels = Channels(where, f"fundarb {Path(state).name}")
    if test:
        _test(channels)
        return
    secrets = [secret for address in where for secret in secrets_of(address)]
    listener = None if token is None else _listener(Path(state), loaded, token, secrets)
    _follow(Path(state), loaded, channels, listener)


def _test(channels: "Channels") -> None:
    from bot.notify import Message, Severity

    hello = Message(Severity.INFO, "test", "This is a test: messages arrive.", 0, ())
    failed = [number + 1 for number in range(len(channels)) if not channels(number, hello)]
    if failed:
        raise CommandError(f"address {failed[0]} of {len(channels)} did not take the message")
    sys.stderr.write(f"sent to {len(channels)}\n")


def _listener(state: Path, loaded: "Settings", token: str, secrets: list[str]) -> "Listener":
    """Of who may ask and pause by Telegram."""
    import structlog

    from bot.clock import SystemClock
    from bot.telegram import Api, Listener

    who, clock = loaded.telegram, SystemClock()
    if not who.readers + who.controllers:
        raise CommandError("--telegram: nobody may ask: set telegram.read or telegram.control")
    if not who.url:
        raise CommandError(
            "--telegram: nobody is asked: set telegram.url, as docs/monitoring.md says"
        )
    return Listener(
        Api(who.url, token),
        who.readers,
        who.controllers,
        lambda verb, argument, actor: answered(state, verb, argument, actor),
        clock.now_ns,
        clock.sleep,
        structlog.get_logger(),
        [*secrets, token, *token.split(":")[1:]],
    )


def answered(state: Path, verb: str, argument: str, actor: str) -> str:
    """What the bot on ``state`` says, by its own interface; who only asks has the token for it."""
    from bot.cli.reaching import Running
    from bot.cli.steering import obeyed
    from bot.cli.told import pair_view, positions_view, status_view, trade_view
    from bot.web.tokens import Scope

    try:
        if verb == "pause":
            return obeyed(Running(state).tell(verb, "", "", actor))
        told = Running(state, Scope.READ).ask(verb, *filter(None, [argument]))
    except (CommandError, OSError, ValueError) as error:
        return str(error)
    why = trade_view if "#" in argument else pair_view
    return _as_text({"status": status_view, "positions": positions_view, "why": why}[verb](told))


def _as_text(view: Any) -> str:
    """As on a terminal that is just wide enough for a table, without what only pads its lines."""
    from io import StringIO

    from rich.console import Console

    shown = Console(file=StringIO(), width=60, color_system=None, highlight=False, emoji=False)
    with shown.capture() as text:
        shown.print(view)
    return "\n".join(line.rstrip() for line in text.get().splitlines())


def _follow(
    state: Path, loaded: "Settings", channels: "Channels", listener: "Listener | None"
) -> None:
    import structlog

    from bot.alarms import ALARMS, AlarmFile
    from bot.channels import Webhook
    from bot.cli.running import stoppable
    from bot.clock import SystemClock
    from bot.notify import Notifier
    from domain.time import SECOND
    from execution.metrics import NOTIFY, Metrics

    log = structlog.get_logger()
    clock = SystemClock()
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        notifier = Notifier(state / ALARMS, state / KEPT, loaded.notify, len(channels), channels)
    except ValueError as error:
        raise CommandError(str(error)) from error
    metrics = Metrics(NOTIFY)
    with ExitStack() as open_, stoppable() as stopped:
        if port := loaded.notify.port:
            file, page = AlarmFile(state / ALARMS), metrics.page
            try:
                open_.enter_context(Webhook(port, file, clock.now_ns, page))
            except OSError as error:
                log.warning("no_webhook", port=port, detail=error.strerror)
        log.info("notifying", channels=len(channels), state=str(state))
        died = None if listener is None else _started(listener)
        while not stopped:
            if died is not None and died.done():
                # By its kind alone: the words of an error here may hold the token.
                kind = type(died.exception()).__name__
                raise Ended(f"the part that listens to Telegram died of {kind}: start it again")
            now_ns = clock.now_ns()
            _digest(notifier, state, now_ns, loaded, log.warning)
            more = notifier.step(now_ns)
            strangers = listener.strangers if listener is not None else 0
            metrics.update(notifier.telling(now_ns, strangers))
            if not more:
                clock.sleep(SECOND)


def _started(listener: "Listener") -> "Future[None]":
    """Done once it has died. It waits half a minute for each answer, so it ends with the process
    and not before."""
    from concurrent.futures import Future
    from threading import Thread

    died: Future[None] = Future()

    def listen() -> None:
        try:
            while True:
                listener.step()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the process ends of it
            died.set_exception(error)

    Thread(target=listen, daemon=True).start()
    return died


def _digest(
    notifier: "Notifier", state: Path, now_ns: int, loaded: "Settings", warn: Callable[..., Any]
) -> None:
    """Once a day, from its hour on, what the journal says of the run, and what is to be done."""
    from bot.cli.history import read_history
    from bot.events_file import running_out
    from domain.time import DAY, HOUR
    from execution.effects import RaiseAlarm
    from execution.journal import JournalError

    day = now_ns // DAY
    if now_ns % DAY < loaded.notify.digest_hour * HOUR or notifier.outbox.digest_day >= day:
        return
    try:
        text = digest_text(read_history(state))
    except (CommandError, JournalError) as error:
        text = f"no digest: {error}"
        warn("no_digest", detail=str(error))
    text = "\n".join([text, *(f"calendar: {told}" for told in running_out(loaded.events, now_ns))])
    notifier.tell(RaiseAlarm("digest", text, now_ns))
    notifier.digested(day)


def digest_text(history: "Record") -> str:
    """A day's message: where the run stands, in a few lines."""
    from bot.amounts import amount
    from bot.answers import status_of

    told = status_of(history)
    sources = ", ".join(
        f"{name} {amount(value, signed=True)}"
        for name, value in told["pnl"].items()
        if value and name != "total"
    )
    held = [pair["trade"] for pair in told["pairs"] if pair["trade"]]
    market = " SYNTHETIC MARKET" if told["synthetic"] else ""
    return "\n".join(
        (
            f"{told['mode'].upper()}{market}",
            f"equity {amount(told['equity'])} {told['quote']}, "
            f"{amount(told['pnl']['total'], signed=True)} since the start"
            + (f": {sources}" if sources else ""),
            f"held: {', '.join(held) or 'nothing'}",
            f"limits tripped: {', '.join(told['limits']) or 'none'}",
            f"orders in doubt: {told['unknown_orders']}",
            f"differences to the venue: {len(told['mismatches'])}",
        )
    )
