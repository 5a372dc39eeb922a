"""``fundarb notify``: real messages over a real socket, and what it refuses."""

import json
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bot import logs, settings
from bot.alarms import ALARMS, AlarmFile
from bot.channels import Channels, Webhook, addresses, alarms_of
from bot.cli.history import read_history
from bot.cli.notify import KEPT, Ended, _digest, _follow, answered, digest_text
from bot.notify import Message, Notifier, Severity
from bot.settings import Notify
from domain.time import DAY, HOUR
from execution.effects import RaiseAlarm
from execution.facts import CommandGiven
from execution.journal import open_for_reading
from tests.unit.bot.bot_api import TOKEN, bot_api
from tests.unit.bot.cli.processes import running
from tests.web.bots import PAGE, Shown, free_port, served

Fundarb = Callable[..., Any]
CANARY = "c4n4ryTokenThatNobodyMaySee"


class Phone:
    """A webhook of a person's; ``got`` are the bodies."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.paths: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.paths.append(self.path)
                outer.got.append(json.loads(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"json://127.0.0.1:{self.server.server_port}/{CANARY}"


@pytest.fixture
def phone() -> Iterator[Phone]:
    made = Phone()
    yield made
    made.server.shutdown()
    made.server.server_close()


def written(folder: Path, *lines: str) -> Path:
    file = folder / "channels.txt"
    file.write_text("# where to\n" + "\n".join(lines) + "\n")
    file.chmod(0o600)
    return file


def test_an_alarm_in_the_outbox_arrives_and_its_address_is_shown_nowhere(
    tmp_path: Path, phone: Phone
) -> None:
    written(tmp_path, phone.address)
    (tmp_path / "p.toml").write_text("[notify]\nport = 0\ndigest_hour = 24\n")
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / "notified.json").write_text("{}")  # it ran before, and has read nothing yet
    AlarmFile(state / ALARMS)(RaiseAlarm("naked_leg", f"HYPE#1: spot 2 {CANARY}", 0))

    with running(
        tmp_path, "notify", "--to", "channels.txt", "--state", str(state), "--config", "p.toml"
    ) as notify:
        deadline = time.monotonic() + 90  # the library takes long to load on a busy machine
        while not phone.got and time.monotonic() < deadline:
            time.sleep(0.05)
        assert notify.end(signal.SIGTERM) == 0

    (told,) = phone.got
    assert told["title"] == "fundarb state CRITICAL: naked_leg"
    assert told["message"].startswith("HYPE#1: spot 2 ***")
    seen = notify.out + notify.err + (state / "notified.json").read_text()
    assert CANARY not in seen
    (state / ALARMS).unlink()  # in which this test put it


def test_a_test_message_is_sent_and_said(tmp_path: Path, phone: Phone, fundarb: Fundarb) -> None:
    written(tmp_path, phone.address)

    told = fundarb("notify", "--to", "channels.txt", "--test")

    assert (told.code, told.err) == (0, "sent to 1\n")
    assert phone.got[0]["title"].endswith("INFO: test")


def test_a_channel_that_does_not_answer_is_said_by_its_place(
    tmp_path: Path, fundarb: Fundarb
) -> None:
    written(tmp_path, f"json://127.0.0.1:9/{CANARY}")

    told = fundarb("notify", "--to", "channels.txt", "--test")

    assert told.code == 2
    assert "address 1 of 1 did not take the message" in told.err
    assert CANARY not in told.err + told.out


@pytest.mark.parametrize(
    ("line", "why"),
    [
        *(
            (f"{name}://example.com/{CANARY}", f"not encrypted: use {name}s://")
            for name in ("json", "xml", "form", "http", "apprise", "mailto", "gotify", "ntfy")
        ),
        (f"mqtt://example.com/{CANARY}", "not encrypted: use mqtts://"),
        (f"matrix://example.com/{CANARY}", "not encrypted: use matrixs://"),
        (f"nonsense://{CANARY}", "no address that apprise knows"),
        ("", "holds no address"),
    ],
)
def test_an_address_that_will_not_do_is_told_by_its_line_alone(
    tmp_path: Path, line: str, why: str
) -> None:
    with pytest.raises(ValueError, match=why) as told:
        addresses(str(written(tmp_path, line)))

    assert CANARY not in str(told.value)


def test_an_address_in_place_of_a_file_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="this is an address") as told:
        addresses(f"tgram://{CANARY}/1")

    assert CANARY not in str(told.value)


def test_a_file_that_others_may_read_is_refused(tmp_path: Path, phone: Phone) -> None:
    file = written(tmp_path, phone.address)
    file.chmod(0o644)

    with pytest.raises(ValueError, match="chmod 600"):
        addresses(str(file))


def test_the_addresses_may_be_a_credential(
    tmp_path: Path, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path, phone.address)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(file.parent))

    assert addresses(f"credential:{file.name}") == (phone.address,)


def test_a_message_has_no_part_of_any_address(phone: Phone) -> None:
    channels = Channels([phone.address], "fundarb")
    message = Message(Severity.WARNING, CANARY[4:], f"see {CANARY[:12]} there", 1, (0,))

    assert channels(0, message)
    assert not [part for part in (CANARY[:12], CANARY[4:]) if part in json.dumps(phone.got)]


def test_a_channel_that_fails_in_its_own_way_has_not_delivered(phone: Phone) -> None:
    class Broken:
        def notify(self, **_: object) -> bool:
            raise RuntimeError("whatever a plug-in raises")

    channels = Channels([phone.address], "fundarb")
    broken: Any = Broken()
    channels._channels = [broken]

    assert not channels(0, Message(Severity.WARNING, "x", "y", 1, (0,)))


# --- questions and a pause by Telegram -------------------------------------------------------


def test_a_running_bot_is_asked_and_paused_from_a_telephone(tmp_path: Path, phone: Phone) -> None:
    written(tmp_path, phone.address)
    (token := tmp_path / "telegram.token").write_text(TOKEN)
    token.chmod(0o600)
    state = tmp_path / "state"
    with bot_api() as (api, url):
        (tmp_path / "p.toml").write_text(
            "[notify]\nport = 0\ndigest_hour = 24\n"
            f'[telegram]\nread = "111"\ncontrol = "222"\nurl = "{url}"\n'
        )
        paper = ("paper", "--no-web", "--speed", "3600", "--pairs", "SOL", "--state", str(state))
        listen = (
            "notify", "--to", "channels.txt", "--telegram", str(token),
            "--config", "p.toml", "--state", str(state),
        )  # fmt: skip
        with running(tmp_path, *paper) as bot, running(tmp_path, *listen) as notify:
            bot.heard(event="decision")
            notify.heard(event="notifying")
            time.sleep(1.5)  # what is sent before the start is not heard
            for sender, text in (
                (333, "/pause"), (111, "/pause"), (111, "/status"), (111, "/positions"),
                (111, "/why sol"), (111, "/why NONE"), (222, "/pause"),
            ):  # fmt: skip
                api.write(sender, text)
            said = api.wait_for(6)
            assert notify.end(signal.SIGTERM) == 0
        gone = answered(state, "status", "", "telegram:111")

    refused, status, positions, why, nobody, paused = [text for _, text in said]
    assert [chat for chat, _ in said] == [111] * 5 + [222]
    assert refused.startswith("you may only read")
    assert "PAPER" in status
    assert "SYNTHETIC" in status
    assert "Equity" in status
    assert "SYNTHETIC" in positions
    assert not [line for text in (status, positions, why) for line in text.splitlines()
                if len(line) > 60 or line != line.rstrip()]  # fmt: skip
    assert "Decisions, newest last" in why
    assert "NONE" in nobody
    assert paused.startswith("pause: done. paper is paused")
    assert gone.startswith("no bot is running")
    with open_for_reading(state / "journal.sqlite") as journal:
        given = [fact for fact in journal.read() if isinstance(fact, CommandGiven)]
    assert [(fact.command, fact.actor) for fact in given] == [("pause", "telegram:222")]


def test_who_only_asks_uses_the_token_that_can_only_ask(tmp_path: Path) -> None:
    shown = Shown(PAGE)
    with served(shown, tmp_path / "state") as door:
        (door.folder / "control.token").write_text("spoiled")
        assert "holds no token" in answered(door.folder, "pause", "", "telegram:222")
        answered(door.folder, "status", "", "telegram:111")

    assert (shown.told, (door.folder / "read.token").exists()) == ([], True)


@pytest.mark.parametrize(
    ("content", "chosen", "why"),
    [
        (TOKEN, "", "nobody may ask: set telegram.read or telegram.control"),
        (TOKEN, '[telegram]\nread = "1"\n', "nobody is asked: set telegram.url"),
        ("a word", '[telegram]\nread = "1"\n', "holds no token of a Telegram bot"),
    ],
)
def test_a_listener_that_could_hear_nobody_is_not_started(
    tmp_path: Path, phone: Phone, fundarb: Fundarb, content: str, chosen: str, why: str
) -> None:
    written(tmp_path, phone.address)
    (token := tmp_path / "telegram.token").write_text(content)
    token.chmod(0o600)
    (tmp_path / "p.toml").write_text(chosen)

    told = fundarb("notify", "--to", "channels.txt", "--telegram", str(token), "--config", "p.toml")

    assert told.code == 2
    assert why in told.err


def test_a_listener_that_died_ends_the_process_so_that_it_is_started_again(tmp_path: Path) -> None:
    class Broken:
        def step(self) -> None:
            raise LookupError(TOKEN)

    broken: Any = Broken()
    channels: Any = [None]
    quiet = settings.Settings(notify=Notify(port=0, digest_hour=24))
    logs.configure(sys.stderr)

    with pytest.raises(Ended, match="died of LookupError: start it again"):
        _follow(tmp_path, quiet, channels, broken)


# --- Alertmanager's way in -------------------------------------------------------------------

ALERT = {
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "FundarbNakedLeg", "severity": "critical", "pair": "HYPE"},
            "annotations": {"summary": "One leg stands alone", "description": "For a minute."},
        },
        {"status": "resolved", "labels": {"alertname": "FundarbDown", "severity": "critical"}},
    ]
}


def post(port: int, body: bytes, path: str = "/alerts", **headers: str) -> int:
    kinds = {"content-type": "application/json"}
    kinds |= {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, kinds)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_alertmanagers_alerts_become_alarms_with_their_severity() -> None:
    firing, over = alarms_of(json.dumps(ALERT).encode(), 1)

    assert (firing.alarm, firing.detail) == (
        "FundarbNakedLeg",
        "critical: One leg stands alone. For a minute.",
    )
    assert over.detail == "info: over: FundarbDown"


def test_the_webhook_takes_alertmanager_and_no_page_in_a_browser() -> None:
    taken: list[RaiseAlarm] = []
    body = json.dumps(ALERT).encode()
    with Webhook(0, taken.append, lambda: 1, bytes) as hook:
        assert post(hook.port, body, host="evil.test") == 421
        assert post(hook.port, body, origin="http://evil.test") == 421
        assert post(hook.port, body, content_type="text/plain") == 415
        assert post(hook.port, body, content_length=str((1 << 20) + 1)) == 413
        assert post(hook.port, b"{") == 400
        assert post(hook.port, body, "/alive") == 200
        assert taken == []
        assert post(hook.port, body) == 200

    assert [alarm.alarm for alarm in taken] == ["FundarbNakedLeg", "FundarbDown"]


def test_what_does_not_arrive_is_on_a_page_for_prometheus_and_for_no_page_in_a_browser(
    tmp_path: Path, phone: Phone
) -> None:
    dead = f"json://127.0.0.1:{free_port()}/{CANARY}"
    written(tmp_path, phone.address, dead)
    port = free_port()
    (tmp_path / "p.toml").write_text(f"[notify]\nport = {port}\ndigest_hour = 24\n")
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / "notified.json").write_text("{}")
    AlarmFile(state / ALARMS)(RaiseAlarm("naked_leg", "HYPE#1", 0))

    def page(**headers: str) -> str:
        request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                body: bytes = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return str(error.code)
        except OSError:  # it is not there yet
            return ""
        return body.decode()

    options = ("--to", "channels.txt", "--state", str(state), "--config", "p.toml")
    with running(tmp_path, "notify", *options) as notify:
        deadline = time.monotonic() + 90
        while 'waiting{severity="critical"} 1.0' not in (shown := page()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        refused = [page(Host="evil.test"), page(Origin="http://evil.test")]
        assert notify.end(signal.SIGTERM) == 0

    assert 'fundarb_deliveries_total{outcome="delivered"} 1.0' in shown
    assert 'fundarb_messages_waiting_since_timestamp_seconds{severity="critical"}' in shown
    assert 'since_timestamp_seconds{severity="warning"}' not in shown
    assert "fundarb_notify_heartbeat_timestamp_seconds" in shown
    assert CANARY[:8] not in shown
    assert refused == ["421", "421"]


# --- the digest ------------------------------------------------------------------------------


def test_the_digest_is_told_once_a_day_from_its_hour_on(tmp_path: Path) -> None:
    notifier = Notifier(tmp_path / ALARMS, tmp_path / KEPT, Notify(), 1, lambda *_: True)
    warned: list[str] = []

    def told_by(hour: int) -> int:
        _digest(
            notifier,
            tmp_path,
            10 * DAY + hour * HOUR,
            settings.Settings(),
            lambda *_, detail: warned.append(detail),
        )
        return len(notifier.outbox.waiting)

    assert [told_by(hour) for hour in (6, 7, 8, 23, 24, 31)] == [0, 1, 1, 1, 1, 2]
    assert notifier.outbox.waiting[0].body.startswith("no digest: ")
    assert len(warned) == 2


def test_the_digest_says_what_of_the_calendar_ends_soon(tmp_path: Path) -> None:
    notifier = Notifier(tmp_path / ALARMS, tmp_path / KEPT, Notify(), 1, lambda *_: True)
    loaded = settings.load(None).settings
    cpi_ns = max(event.at_ns for event in loaded.events if event.kind == "CPI")

    _digest(notifier, tmp_path, cpi_ns - 40 * DAY, loaded, lambda *_, **__: None)
    _digest(notifier, tmp_path, cpi_ns - 20 * DAY, loaded, lambda *_, **__: None)

    early, late = (message.body for message in notifier.outbox.waiting)
    assert "calendar" not in early
    assert "\ncalendar: CPI is known until 2026-12-10 only\n" in late


def test_the_digest_says_where_the_run_stands(tmp_path: Path, fundarb: Fundarb) -> None:
    run = ("paper", "--speed", "max", "--for", "24h", "--no-web", "--state", "s")
    assert fundarb(*run).code == 0

    text = digest_text(read_history(tmp_path / "s"))

    assert text.startswith("PAPER SYNTHETIC MARKET\nequity ")
    assert "orders in doubt: 0" in text
