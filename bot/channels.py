"""The ways to a person, by the addresses that apprise knows, and Alertmanager's way in."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import msgspec
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from bot.keys import private_content
from bot.notify import Message, Severity, redacted
from bot.transport import is_loopback
from execution.effects import RaiseAlarm

_FILE_MAX = 16_384
_BODY_MAX = 1 << 20
PLAIN = ("json", "xml", "form", "http", "apprise", "mailto", "gotify", "ntfy", "mqtt", "matrix")
"""Whoever carries these can read them: on this machine only."""


def addresses(source: str) -> tuple[str, ...]:
    """The addresses in a file that is its owner's alone, or in a credential, one a line; ``#``
    begins a comment.

    Raises:
        ValueError: it cannot be had so, one of them is unknown, or would go out in the clear.
            What is wrong is told by the line's number and never by its words.
    """
    if "://" in source:
        raise ValueError(
            "this is an address, not the name of a file that holds one; whoever could see the "
            "command line knows it now: replace its token"
        )
    text = private_content(source, _FILE_MAX).decode("utf-8", "replace")
    lines = [(n, line.strip()) for n, line in enumerate(text.splitlines(), 1)]
    found = [(n, line) for n, line in lines if line and not line.startswith("#")]
    if not found:
        raise ValueError(f"{source} holds no address: one a line, as in tgram://TOKEN/CHAT")
    for number, line in found:
        if why := _refused(line):
            raise ValueError(f"{source}, line {number}: {why}")
    return tuple(line for _, line in found)


def _refused(address: str) -> str | None:
    from apprise import Apprise

    parts = urlsplit(address)
    if parts.scheme in PLAIN and not is_loopback(parts.hostname or ""):
        return f"{parts.scheme}:// is not encrypted: use {parts.scheme}s://"
    return None if Apprise().add(address) else "no address that apprise knows"


def secrets_of(address: str) -> list[str]:
    """Whatever of an address may be a secret: every word of eight characters or more."""
    return [word for word in re.split(r"[/:@?&=]+", unquote(address)) if len(word) >= 8]


class Channels:
    """Called with a channel's number and a message, it delivers. ``prefix`` leads each title."""

    def __init__(self, where: Sequence[str], prefix: str) -> None:
        import logging

        from apprise import Apprise

        logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it would log addresses
        self._prefix = prefix
        self._secrets = [secret for address in where for secret in secrets_of(address)]
        self._channels = []
        for address in where:
            channel = Apprise()
            channel.add(address)
            self._channels.append(channel)

    def __len__(self) -> int:
        return len(self._channels)

    def __call__(self, number: int, message: Message) -> bool:
        from apprise import NotifyType

        if number >= len(self._channels):  # it is not in the file any more
            return True
        kinds = {Severity.CRITICAL: NotifyType.FAILURE, Severity.WARNING: NotifyType.WARNING}
        try:
            sent = self._channels[number].notify(
                title=redacted(
                    f"{self._prefix} {message.severity.upper()}: {message.title}", self._secrets
                ),
                body=redacted(message.body, self._secrets),
                notify_type=kinds.get(message.severity, NotifyType.INFO),
            )
        except Exception:  # noqa: BLE001 - whatever a plug-in does, the message is tried again
            return False
        return bool(sent)


# --- Alertmanager -----------------------------------------------------------------------------


class _Alert(msgspec.Struct, frozen=True):
    status: str
    labels: dict[str, str]
    annotations: dict[str, str] = {}


class _Told(msgspec.Struct, frozen=True):
    """What Alertmanager posts."""

    alerts: list[_Alert]


def alarms_of(body: bytes, now_ns: int) -> list[RaiseAlarm]:
    """Alertmanager's alerts as alarms; what is over is an alarm too.

    Raises:
        msgspec.MsgspecError: it says no such thing.
    """
    return [_alarm(alert, now_ns) for alert in msgspec.json.decode(body, type=_Told).alerts]


def _alarm(alert: _Alert, now_ns: int) -> RaiseAlarm:
    name = alert.labels.get("alertname", "alert")
    said = alert.annotations
    words = said.get("description") or said.get("summary") or ", ".join(_where(alert.labels))
    if alert.status != "firing":
        return RaiseAlarm(name, f"info: over: {said.get('summary', name)}", now_ns)
    severity = alert.labels.get("severity")
    known = severity if severity in ("critical", "warning", "info") else "warning"
    return RaiseAlarm(name, f"{known}: {said.get('summary', name)}. {words}", now_ns)


def _where(labels: Mapping[str, str]) -> list[str]:
    return [f"{name} {value}" for name, value in labels.items() if name != "alertname"]


class Webhook(AbstractContextManager["Webhook"]):
    """Takes what Alertmanager posts to ``/alerts`` on the loopback address, and has a page of
    ``metrics`` for Prometheus.

    Raises:
        OSError: another program has the port.
    """

    def __init__(
        self,
        port: int,
        on_alarm: Callable[[RaiseAlarm], None],
        now_ns: Callable[[], int],
        metrics: Callable[[], bytes],
    ) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = 5.0

            def do_POST(self) -> None:
                self.send_response(self._taken())
                self.end_headers()

            def do_GET(self) -> None:
                if not self._of_this_machine() or self.path != "/metrics":
                    self.send_response(404 if self._of_this_machine() else 421)
                    self.end_headers()
                    return
                body = metrics()
                self.send_response(200)
                self.send_header("content-type", CONTENT_TYPE_PLAIN_0_0_4)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _of_this_machine(self) -> bool:
                """A page in a browser cannot forge these headers."""
                host = self.headers.get("host", "").rpartition(":")[0]
                return is_loopback(host) and not self.headers.get("origin")

            def _taken(self) -> int:
                """The status of the answer."""
                length = self.headers.get("content-length", "")
                kind = self.headers.get("content-type", "").partition(";")[0]
                if not self._of_this_machine():
                    return 421
                if kind != "application/json":
                    return 415
                if not length.isdecimal() or int(length) > _BODY_MAX:
                    return 413
                body = self.rfile.read(int(length))
                if self.path != "/alerts":  # such as /alive, which is for a service elsewhere
                    return 200
                try:
                    for alarm in alarms_of(body, now_ns()):
                        on_alarm(alarm)
                except msgspec.MsgspecError:
                    return 400
                return 200

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port: int = self._server.server_port
        self._thread = Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
