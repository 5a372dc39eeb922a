"""From the alarm outbox to a person: what is worth a message, once, and again until it arrives.

The outbox is a file (``bot.alarms``) which the bot, its watchdog and Alertmanager's webhook
append to, and which is put aside when it is long. It is followed by a process of its own, so that a
bot which hangs is told of all the same. What was read, and what still has to arrive, is in a
second file: a restart loses nothing, and repeats at most what was on its way.

``plan`` decides and is pure; ``Notifier`` carries out.
"""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path

import msgspec

from bot.alarms import put_aside
from bot.settings import Notify
from domain.time import HOUR, MINUTE, SECOND, iso
from execution.effects import RaiseAlarm
from execution.metrics import Telling

WAITING_MAX = 200
"""Of messages that do not arrive; beyond, the oldest that is not critical is given up."""
RETRY_FIRST_SECONDS, RETRY_LAST_SECONDS = 5.0, 300.0
_READ_MAX = 1 << 20
_HEAD = 4096
_FILES_MAX = 4
_DETAIL_MAX = 500


class Severity(StrEnum):
    CRITICAL = "critical"  # somebody has to get up
    WARNING = "warning"
    INFO = "info"  # over, or only to be known


CRITICAL = frozenset(
    {
        "books_differ", "empty_account", "fill_not_ordered", "limit_tripped", "naked_leg",
        "not_reconciled", "order_undead", "order_unknown", "start_failed", "task_died",
        "trader_silent", "watchdog_stuck",
    }
)  # fmt: skip
INFO = frozenset({"funding_changed", "watchdog_neutral", "digest", "test"})
_SAID = re.compile(r"(critical|warning|info): ", re.ASCII)


class Message(msgspec.Struct, frozen=True):
    """``since_ns``: when it was to be told. ``to``: the channels that do not have it yet, by
    their number."""

    severity: Severity
    title: str
    body: str
    since_ns: int
    to: tuple[int, ...]
    attempts: int = 0
    not_before_ns: int = 0


class Told(msgspec.Struct, frozen=True):
    """When something was last told of, and how often it was repeated since."""

    at_ns: int
    repeats: int = 0


class Outbox(msgspec.Struct, frozen=True):
    """What the second file holds. ``read``: bytes that are dealt with of each file of alarms, by
    how it begins; the latest files last."""

    read: dict[str, int] = {}
    told: dict[str, Told] = {}
    sent_ns: tuple[int, ...] = ()  # messages of the last hour that were not critical
    held_back: dict[str, int] = {}  # alarms that became part of a summary, by name
    waiting: tuple[Message, ...] = ()
    given_up: int = 0  # messages that nobody was ever told, since more wait than may
    digest_day: int = 0


def severity_of(alarm: RaiseAlarm) -> Severity:
    """By its name, or by its first word where Alertmanager said it."""
    if found := _SAID.match(alarm.detail):
        return Severity(found[1])
    if alarm.alarm in CRITICAL:
        return Severity.CRITICAL
    return Severity.INFO if alarm.alarm in INFO else Severity.WARNING


def key_of(alarm: RaiseAlarm) -> str:
    """What makes two alarms one trouble: all but the figures.

    >>> one = RaiseAlarm("naked_leg", "HYPE#1: spot 2, perp 0 for 5 s", 0)
    >>> key_of(one) == key_of(RaiseAlarm("naked_leg", "HYPE#1: spot 2.5, perp 0 for 65 s", 1))
    True
    """
    return f"{alarm.alarm} {re.sub(r'[0-9][0-9.,]*', '', _SAID.sub('', alarm.detail))}"[:200]


def plan(
    outbox: Outbox, alarms: Iterable[RaiseAlarm], now_ns: int, policy: Notify, channels: int
) -> Outbox:
    """What of ``alarms`` is to be told, added to what is waiting."""
    told = {k: t for k, t in outbox.told.items() if now_ns - t.at_ns < 24 * HOUR}
    sent = [at_ns for at_ns in outbox.sent_ns if now_ns - at_ns < HOUR]
    held = dict(outbox.held_back)
    waiting = list(outbox.waiting)
    everybody = tuple(range(channels))
    if held and len(sent) < policy.per_hour_max:
        listed = ", ".join(f"{name} {count}" for name, count in sorted(held.items()))
        waiting.append(Message(Severity.WARNING, "more alarms", listed, now_ns, everybody))
        sent.append(now_ns)
        held = {}
    for alarm in alarms:
        key, severity = key_of(alarm), severity_of(alarm)
        before = told.get(key)
        if before is not None and now_ns - before.at_ns < policy.repeat_minutes * MINUTE:
            told[key] = Told(before.at_ns, before.repeats + 1)
            continue
        if severity is not Severity.CRITICAL and len(sent) >= policy.per_hour_max:
            held[alarm.alarm] = held.get(alarm.alarm, 0) + 1
            continue
        told[key] = Told(now_ns)
        if severity is not Severity.CRITICAL:
            sent.append(now_ns)
        repeats = before.repeats if before else 0
        waiting.append(_message(alarm, severity, repeats, now_ns, everybody))
    return _holding(
        msgspec.structs.replace(outbox, told=told, sent_ns=tuple(sent), held_back=held), waiting
    )


def _message(
    alarm: RaiseAlarm, severity: Severity, repeats: int, now_ns: int, to: tuple[int, ...]
) -> Message:
    again = f" (and {repeats} times more since it was last told)" if repeats else ""
    detail = _SAID.sub("", alarm.detail)[:_DETAIL_MAX]
    body = f"{detail}{again}\n{iso(alarm.time_ns)[:19]} UTC"
    return Message(severity, alarm.alarm, body, now_ns, to)


def _holding(outbox: Outbox, waiting: list[Message]) -> Outbox:
    """``outbox`` with these ``waiting``, as far as that many may."""
    too_many = max(len(waiting) - WAITING_MAX, 0)
    for _ in range(too_many):
        given_up = (n for n, m in enumerate(waiting) if m.severity is not Severity.CRITICAL)
        del waiting[next(given_up, 0)]
    return msgspec.structs.replace(
        outbox, waiting=tuple(waiting), given_up=outbox.given_up + too_many
    )


def retried(message: Message, to: tuple[int, ...], now_ns: int) -> Message:
    """The same, for the channels that failed, after a pause that grows."""
    pause = min(RETRY_FIRST_SECONDS * 2.0 ** min(message.attempts, 10), RETRY_LAST_SECONDS)
    return msgspec.structs.replace(
        message,
        to=to,
        attempts=message.attempts + 1,
        not_before_ns=now_ns + int(pause * SECOND),
    )


def redacted(text: str, secrets: Sequence[str]) -> str:
    """``text`` without a key's 64 digits, and without eight characters in a row of a secret.

    >>> redacted("see https://chat/T0KEN12345/x", ["T0KEN12345"])
    'see https://chat/***/x'
    """
    for secret in secrets:
        for start in range(len(secret) - 7):
            part = secret[start : start + 8]
            if part in text:
                text = text.replace(secret, "***").replace(part, "***")
    return re.sub(r"(?:0x)?[0-9a-fA-F]{64}", "***", text)


Send = Callable[[int, Message], bool]
"""Deliver to the channel of that number; whether it has it. Never raises."""


class Notifier:
    """Follows the outbox at ``alarms``, and keeps what it has done at ``kept``. ``delivered`` and
    ``failed`` count what was tried since the start, each channel for itself."""

    def __init__(self, alarms: Path, kept: Path, policy: Notify, channels: int, send: Send) -> None:
        self._alarms, self._kept, self._policy = alarms, kept, policy
        self._channels, self._send = channels, send
        self.delivered = self.failed = 0
        self.outbox = self._load()
        self._write()

    def _load(self) -> Outbox:
        """Where there is no such file yet, what is in the outbox is old news."""
        try:
            return msgspec.json.decode(self._kept.read_bytes(), type=Outbox)
        except FileNotFoundError:
            return Outbox(read={name: size for name, size, _ in self._files(lambda _, size: size)})
        except msgspec.DecodeError as error:
            raise ValueError(f"{self._kept} cannot be understood: remove it ({error})") from None

    def _keep(self, outbox: Outbox) -> None:
        if outbox == self.outbox:
            return
        self.outbox = outbox
        self._write()

    def _write(self) -> None:
        new = self._kept.with_suffix(".new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(self.outbox))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._kept)

    def step(self, now_ns: int) -> bool:
        """Read what is new, keep what is to be told of it, and try to deliver one message: the
        longest due, what is critical before all else. Whether another one is due.

        One alone, since a channel that hangs takes long over each, and what becomes critical
        meanwhile is not to wait for all the others."""
        alarms, read = self._new(now_ns)
        fresh = msgspec.structs.replace(self.outbox, read=read)
        self._keep(plan(fresh, alarms, now_ns, self._policy, self._channels))
        due = sorted(
            (message for message in self.outbox.waiting if message.not_before_ns <= now_ns),
            key=lambda m: (m.severity is not Severity.CRITICAL, m.not_before_ns),
        )
        if due:
            self._deliver(due[0], now_ns)
        return len(due) > 1

    def telling(self, now_ns: int, strangers: int) -> Telling:
        """What Prometheus is shown. ``strangers``: how many messages were theirs."""
        return Telling(
            now_ns,
            {
                severity: tuple(m.since_ns for m in self.outbox.waiting if m.severity is severity)
                for severity in Severity
            },
            self.delivered,
            self.failed,
            self.outbox.given_up,
            strangers,
        )

    def tell(self, alarm: RaiseAlarm) -> None:
        """Put something in that nobody raised: the digest, a test."""
        everybody = tuple(range(self._channels))
        message = _message(alarm, severity_of(alarm), 0, alarm.time_ns, everybody)
        self._keep(_holding(self.outbox, [*self.outbox.waiting, message]))

    def digested(self, day: int) -> None:
        self._keep(msgspec.structs.replace(self.outbox, digest_day=day))

    def _deliver(self, message: Message, now_ns: int) -> None:
        failed = tuple(channel for channel in message.to if not self._send(channel, message))
        self.failed += len(failed)
        self.delivered += len(message.to) - len(failed)
        waiting = list(self.outbox.waiting)
        place = waiting.index(message)
        waiting[place : place + 1] = [retried(message, failed, now_ns)] if failed else []
        self._keep(msgspec.structs.replace(self.outbox, waiting=tuple(waiting)))

    def _new(self, now_ns: int) -> tuple[list[RaiseAlarm], dict[str, int]]:
        """Alarms on whole lines since the last time; a line that says none is passed over."""
        before, alarms = self.outbox.read, []
        files = self._files(lambda name, size: read if (read := before.get(name, 0)) <= size else 0)
        for _, _, content in files:
            for line in content.splitlines():
                with suppress(msgspec.MsgspecError):
                    alarms.append(msgspec.json.decode(line, type=RaiseAlarm))
        reached = {name: read + len(content) for name, read, content in files}
        if before and files and not before.keys() & reached.keys():
            detail = (
                f"{self._alarms.name} is not the one read last: what else was in it is not told"
            )
            alarms.insert(0, RaiseAlarm("alarms_lost", detail, now_ns))
        others = {name: read for name, read in before.items() if name not in reached}
        return alarms, dict([*others.items(), *reached.items()][-_FILES_MAX:])

    def _files(self, begin: Callable[[str, int], int]) -> list[tuple[str, int, bytes]]:
        """Of the file put aside and the present one: how it begins, from where it was read, and
        the whole lines from there. ``begin`` says where, given the first and its size."""
        found: list[tuple[str, int, bytes]] = []
        # The present one first: should it be put aside meanwhile, it is seen twice, not never.
        for path in (self._alarms, put_aside(self._alarms)):
            try:
                with path.open("rb") as file:
                    if (name := _beginning(file.read(_HEAD))) is None:
                        continue
                    read = begin(name, os.fstat(file.fileno()).st_size)
                    file.seek(read)
                    content = file.read(_READ_MAX)
            except FileNotFoundError:
                continue
            whole = content[: content.rfind(b"\n") + 1]
            if not whole and len(content) == _READ_MAX:
                whole = content  # a line without end
            if name not in (known for known, _, _ in found):
                found.append((name, read, whole))
        return found[::-1]


def _beginning(head: bytes) -> str | None:
    """What tells one file of alarms from another: its first line, which has its instant."""
    line, end, _ = head.partition(b"\n")
    return blake2b(line, digest_size=8).hexdigest() if end or len(head) == _HEAD else None
