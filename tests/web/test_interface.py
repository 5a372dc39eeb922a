"""The interface over a real socket: who is let in, from where, and what they are told."""

import json
import re
import socket
import ssl
import stat
import subprocess
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bot.cli.main import run
from bot.cli.reaching import NotRunning, Running, is_running
from bot.control import Control
from bot.settings import SettingsError, Web, load
from bot.web.app import FILES
from bot.web.local import SOCKET
from bot.web.serve import origins_of, serving
from bot.web.tokens import Scope, Tokens
from tests.web.bots import Door, Shown, free_port, paper_bot, served, wait_for

QUESTIONS = ("/api/status", "/api/positions", "/api/page", "/api/address", "/api/why/SOL")
PAUSE = json.dumps({"command": "pause"}).encode()
HARDENED = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> str:
        return str(json.loads(self.body)["error"])


def ask(door: Door, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
    """One request with exactly these headers; ``_`` is a hyphen, an empty one is left out."""
    host = door.address.removeprefix("http://")
    given = {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    if body is not None:
        given.setdefault("content-length", str(len(body)))
    connection = HTTPConnection("127.0.0.1", int(host.rpartition(":")[2]), timeout=20)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in given.items():
        if value:
            connection.putheader(name, value)
    connection.endheaders(body)
    if path == "/api/stream":
        answer = connection.getresponse()
        start = b"" if answer.status != 200 else answer.readline()
        connection.close()
        return Reply(answer.status, dict(answer.getheaders()), start or b"{}")
    answer = connection.getresponse()
    reply = Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    connection.close()
    return reply


def bearer(door: Door, scope: Scope = Scope.CONTROL) -> str:
    return f"Bearer {door.token(scope)}"


def command(door: Door, body: bytes = PAUSE, **changes: str) -> Reply:
    """A command as the page gives it, but for the changes."""
    headers = {
        "authorization": bearer(door),
        "content_type": "application/json",
        "origin": door.address,
        "sec_fetch_site": "same-origin",
    }
    return ask(door, "POST", "/api/commands", body, **(headers | changes))


# --- who ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*QUESTIONS, "/api/stream"])
@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer ", "Bearer wrong", "Basic {}", "{}", "Bearer {}x", "Bearer " + "a" * 5000],
)
def test_nothing_is_told_without_the_token(door: Door, path: str, authorization: str) -> None:
    reply = ask(door, "GET", path, authorization=authorization.format(door.token()))

    assert reply.status == 401


def test_a_token_in_the_address_or_in_a_cookie_is_none(door: Door) -> None:
    token = door.token()

    assert ask(door, "GET", f"/api/page?token={token}").status == 401
    assert ask(door, "GET", "/api/page", cookie=f"token={token}").status == 401


def test_who_may_only_read_reads_and_commands_nothing(door: Door, shown: Shown) -> None:
    read = bearer(door, Scope.READ)

    assert ask(door, "GET", "/api/page", authorization=read).status == 200
    assert command(door, authorization=read).status == 403
    assert command(door, authorization="").status == 401
    assert shown.told == []


def test_a_removed_token_is_good_for_nothing_from_then_on(door: Door) -> None:
    before = bearer(door)

    Tokens(door.folder).replace()

    assert ask(door, "GET", "/api/page", authorization=before).status == 401
    assert ask(door, "GET", "/api/page", authorization=bearer(door)).status == 200


def test_who_brings_many_wrong_tokens_is_told_to_wait_and_shuts_nobody_out(door: Door) -> None:
    replies = [ask(door, "GET", "/api/page", authorization=f"Bearer {n}").status for n in range(12)]

    assert replies == [401] * 10 + [429] * 2
    assert ask(door, "GET", "/api/page", authorization=bearer(door)).status == 200


def test_with_a_token_file_that_others_can_read_nobody_is_let_in(door: Door, shown: Shown) -> None:
    both = [bearer(door, scope) for scope in Scope]
    (door.folder / "control.token").chmod(0o644)

    form = {"content_type": "application/json", "origin": door.address}
    for given in both:
        reply = ask(door, "GET", "/api/page", authorization=given)
        assert (reply.status, "remove them" in reply.error) == (503, True)
        told = ask(door, "POST", "/api/commands", PAUSE, authorization=given, **form)
        assert told.status == 503
    assert shown.told == []


def test_a_stream_ends_with_its_token(door: Door) -> None:
    host = door.address.removeprefix("http://")
    connection = HTTPConnection(host, timeout=20)
    connection.request("GET", "/api/stream", headers={"Authorization": bearer(door)})
    answer = connection.getresponse()
    assert answer.readline() == b"event: page\n"

    Tokens(door.folder).replace()

    assert b"event: end" in answer.read()
    connection.close()


# --- from where -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/page.js", "/api/page", "/api/stream"])
@pytest.mark.parametrize(
    "host",
    ["", "evil.test", "evil.test:{port}", "127.0.0.1", "127.0.0.1:1", "127.0.0.1:{port}.evil"],
)
def test_a_host_of_another_name_gets_nothing(door: Door, path: str, host: str) -> None:
    port = door.address.rpartition(":")[2]

    reply = ask(door, "GET", path, host=host.format(port=port), authorization=bearer(door))

    assert reply.status in (400, 421)
    assert b"fundarb" not in reply.body


@pytest.mark.parametrize("origin", ["null", "https://evil.test", "http://127.0.0.1:1", "file://"])
def test_another_origin_gets_nothing_even_with_the_token(
    door: Door, shown: Shown, origin: str
) -> None:
    assert command(door, origin=origin).status == 403
    assert ask(door, "GET", "/api/page", origin=origin, authorization=bearer(door)).status == 403
    stream = ask(door, "GET", "/api/stream", origin=origin, authorization=bearer(door))
    assert stream.status == 403
    assert shown.told == []


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_another_site_made_a_browser_ask_is_refused(
    door: Door, shown: Shown, site: str
) -> None:
    assert command(door, sec_fetch_site=site).status == 403
    reply = ask(door, "GET", "/api/page", sec_fetch_site=site, authorization=bearer(door))
    assert reply.status == 403
    assert shown.told == []


def test_a_command_without_an_origin_is_refused(door: Door, shown: Shown) -> None:
    assert command(door, origin="").status == 403
    assert shown.told == []


def test_an_upgrade_to_another_protocol_is_refused(door: Door) -> None:
    reply = ask(
        door,
        "GET",
        "/api/stream",
        authorization=bearer(door),
        connection="Upgrade",
        upgrade="websocket",
        sec_websocket_key="dGhlIHNhbXBsZSBub25jZQ==",
        sec_websocket_version="13",
    )

    assert reply.status == 403


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "DELETE", "PATCH", "GET", "HEAD"])
def test_a_command_is_posted_and_nothing_else_is(door: Door, shown: Shown, method: str) -> None:
    reply = ask(
        door, method, "/api/commands", PAUSE, authorization=bearer(door), origin=door.address
    )

    assert reply.status in (404, 405)
    assert not any(name.startswith("access-control") for name in reply.headers)
    assert shown.told == []


# --- in which form --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "changes", "status"),
    [
        (PAUSE, {"content_type": "text/plain"}, 415),
        (PAUSE, {"content_type": "application/x-www-form-urlencoded"}, 415),
        (PAUSE, {"content_type": ""}, 415),
        (b"", {}, 400),
        (b"{", {}, 400),
        (b"[]", {}, 400),
        (b"[" * 2000, {}, 400),
        (b'{"command":"withdraw"}', {}, 400),
        (b'{"command":"pause","amount":1}', {}, 400),
        (b'{"command":1e999}', {}, 400),
        (b'{"command":"close","argument":"\\u0000"}', {}, 400),
        (b"\xff\xfe", {}, 400),
        (b'{"command":"' + b"x" * 3000 + b'"}', {}, 413),
        (PAUSE, {"content_length": "99999999999999999999"}, 413),
        (PAUSE, {"content_length": "", "transfer_encoding": "chunked"}, 413),
        (  # the length is a lie: 3,000 bytes come in one piece
            b"bb8\r\n" + b" " * 3000 + b"\r\n0\r\n\r\n",
            {"content_length": "19", "transfer_encoding": "chunked"},
            413,
        ),
    ],
)
def test_a_command_in_another_form_is_refused_at_once(
    door: Door, shown: Shown, body: bytes, changes: dict[str, str], status: int
) -> None:
    began = time.monotonic()

    reply = command(door, body, **changes)

    assert reply.status == status, reply.body
    assert time.monotonic() - began < 2
    assert shown.told == []


@pytest.mark.parametrize("verb", ["resume", "flatten", "kill"])
@pytest.mark.parametrize("confirm", ["", "yes", "{} live", "{}", "paper {}"])
def test_what_is_meant_has_to_be_typed(door: Door, shown: Shown, verb: str, confirm: str) -> None:
    told = {"command": verb, "confirm": confirm.format(verb)}

    reply = command(door, json.dumps(told).encode())

    assert (reply.status, reply.error) == (409, f"to confirm, type: {verb} paper")
    assert shown.told == []


def test_an_actor_is_a_plain_name_after_the_door_it_came_through(door: Door, shown: Shown) -> None:
    told = {"command": "pause", "actor": "al<script>ice\n" + "x" * 100}

    assert command(door, json.dumps(told).encode()).status == 200

    ((_, _, actor),) = shown.told
    assert actor.startswith("web:alscriptice")
    assert len(actor) < 50


def test_only_who_has_the_socket_file_speaks_for_somebody_else(door: Door, shown: Shown) -> None:
    told = {"command": "pause", "actor": "telegram:222"}
    assert command(door, json.dumps(told).encode()).status == 200
    Running(door.folder).tell("pause", "", "", "telegram:222")

    assert [actor for _, _, actor in shown.told] == ["web:telegram222", "telegram:222"]


# --- what is told ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/page.js", "/uPlot.js", "/api/page", "/nothing", "/..%2f"])
@pytest.mark.parametrize("origin", ["", "https://evil.test"])
def test_every_answer_forbids_what_a_page_could_be_made_to_do(
    door: Door, path: str, origin: str
) -> None:
    reply = ask(door, "GET", path, authorization=bearer(door), origin=origin)

    assert dict(reply.headers) | HARDENED == reply.headers
    assert set(reply.headers["content-security-policy"].split("; ")) == {
        "default-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        *(f"{kind}-src 'self'" for kind in ("script", "style", "img", "connect")),
    }
    assert not any(name.startswith("access-control") for name in reply.headers)
    assert "set-cookie" not in reply.headers
    assert "server" not in reply.headers


def test_the_page_itself_is_small_and_asks_nobody_else_for_anything(door: Door) -> None:
    bodies = {name: ask(door, "GET", f"/{name}").body for name in FILES}
    ours = b"".join(bodies[name] for name in ("", "page.js", "page.css", "icon.svg"))

    assert sum(map(len, bodies.values())) < 200_000
    assert (
        re.findall(rb"https?://|[\"'(]//", ours.replace(b"http://www.w3.org/2000/svg", b"")) == []
    )
    assert b"style=" not in bodies[""]
    assert b"innerHTML" not in ours


def test_only_the_files_of_the_page_are_there(door: Door) -> None:
    for path in (
        "/control.token",
        "/../control.token",
        "/static/page.js",
        "/uPlot.LICENSE",
        "/api",
    ):
        assert ask(door, "GET", path, authorization=bearer(door)).status == 404


def test_no_answer_holds_a_token(door: Door) -> None:
    told = b"".join(
        ask(door, "GET", path, authorization=bearer(door)).body
        for path in ["/", "/page.js", "/api/page", "/api/address", "/api/none"]
    )
    told += ask(door, "GET", "/api/page", authorization="Bearer wrong").body
    told += command(door).body + command(door, b"{").body

    for scope in Scope:
        assert door.token(scope).encode() not in told


# --- the doors ------------------------------------------------------------------------------


def listening() -> set[str]:
    """Addresses that this process listens on, by the kernel's own tables."""
    inodes = {
        str(opened.readlink()).removeprefix("socket:[").rstrip("]")
        for opened in Path("/proc/self/fd").iterdir()
        if opened.is_symlink()
    }
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found.add(fields[1].partition(":")[0])
    return found


def test_only_the_loopback_address_listens(door: Door) -> None:
    assert listening() == {"0100007F"}


def test_the_socket_file_and_the_tokens_are_their_owners_alone(door: Door) -> None:
    for name in (SOCKET, "control.token", "read.token"):
        assert stat.S_IMODE((door.folder / name).stat().st_mode) == 0o600


def test_a_run_without_a_page_opens_no_port_at_all(tmp_path: Path) -> None:
    with serving(Control(), tmp_path, None, print) as address:
        wait_for(lambda: is_running(tmp_path))
        assert address is None
        assert listening() == set()
    assert not is_running(tmp_path)


def test_the_socket_file_works_however_long_its_path(tmp_path: Path, shown: Shown) -> None:
    folder = tmp_path / ("x" * 100) / ("y" * 100)
    folder.mkdir(parents=True)
    with served(shown, folder):
        assert Running(folder).ask("address")["scope"] == "control"


def test_a_bot_that_does_not_answer_has_done_nothing_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.web.app._ANSWER_SECONDS", 0.2)
    silent = Control()
    with served(silent, tmp_path) as door:
        reply = ask(door, "GET", "/api/page", authorization=bearer(door))

    assert reply.status == 503
    assert reply.error == "the bot does not answer: nothing was done"


def test_a_taken_port_costs_the_page_and_not_the_run(tmp_path: Path, shown: Shown) -> None:
    warned: list[str] = []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        web = Web(port=taken.getsockname()[1])
        with serving(shown, tmp_path, web, warned.append) as address:
            wait_for(lambda: is_running(tmp_path))
            assert Running(tmp_path).ask("address")["page"] is None

    assert address is None
    assert "is taken" in warned[0]


@pytest.mark.parametrize(("option", "scope"), [([], Scope.CONTROL), (["--read"], Scope.READ)])
def test_the_link_has_the_token_that_was_asked_for(
    door: Door, capsys: pytest.CaptureFixture[str], option: list[str], scope: Scope
) -> None:
    (door.folder / "journal.sqlite").touch()

    assert run(["web", "--state", str(door.folder), *option]) == 0

    assert capsys.readouterr().out == door.link(scope) + "\n"


def test_a_rotation_makes_both_older_links_useless(
    door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    (door.folder / "journal.sqlite").touch()
    before = [bearer(door, scope) for scope in Scope]

    assert run(["web", "--rotate", "--state", str(door.folder)]) == 0

    assert capsys.readouterr().out == door.link() + "\n"
    old = [ask(door, "GET", "/api/page", authorization=given).status for given in before]
    assert old == [401, 401]


def test_a_token_that_cannot_be_trusted_is_told_of_with_what_to_do(
    door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    (door.folder / "journal.sqlite").touch()
    (door.folder / "control.token").chmod(0o644)

    for words in (["web"], ["status"], ["pause"]):
        assert run([*words, "--state", str(door.folder)]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: {door.folder}/control.token is open to others: remove it")


def test_nobody_there_is_said_as_such(tmp_path: Path) -> None:
    with pytest.raises(NotRunning, match="no bot is running"):
        Running(tmp_path).ask("status")


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ('host = "0.0.0.0"', "beyond this machine"),
        ('host = "::"', "beyond this machine"),
        ('host = "192.168.1.5"', "beyond this machine"),
        ('host = "0.0.0.0"\npublic_url = "http://bot.example"', "must be https"),
        ('host = "localhost"', "must be an IP address"),
        ('public_url = "https://bot.example/path"', "without a path"),
        ("port = 70000", "between 0 and 65535"),
    ],
)
def test_nothing_wider_than_this_machine_without_somebody_who_encrypts(
    tmp_path: Path, lines: str, why: str
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(f"[web]\n{lines}\n")

    with pytest.raises(SettingsError, match=why):
        load(file)


def test_behind_a_reverse_proxy_its_address_is_the_pages_own(tmp_path: Path) -> None:
    web = Web(host="0.0.0.0", public_url="https://bot.example/")

    assert origins_of(web, 8787) == {"https://bot.example"}


def test_with_a_certificate_it_speaks_nothing_but_tls(tmp_path: Path, shown: Shown) -> None:
    pem = tmp_path / "both.pem"
    made = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -keyout k -out c"
    subprocess.run(made.split(), cwd=tmp_path, check=True, capture_output=True)
    pem.write_text((tmp_path / "c").read_text() + (tmp_path / "k").read_text())
    web = Web(port=free_port(), tls_file=str(pem))
    folder = tmp_path / "state"
    folder.mkdir()
    with serving(shown, folder, web, print) as address:
        wait_for(lambda: is_running(folder))
        assert address == f"https://127.0.0.1:{web.port}"
        context = ssl.create_default_context(cafile=str(tmp_path / "c"))
        context.check_hostname = False
        plain = socket.create_connection(("127.0.0.1", web.port))
        with context.wrap_socket(plain) as tls:
            tls.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{web.port}\r\n\r\n".encode())
            assert tls.recv(12) == b"HTTP/1.1 200"
            assert tls.version() in ("TLSv1.2", "TLSv1.3")
        assert Running(folder).ask("address")["page"] == address


# --- a real bot -----------------------------------------------------------------------------


def test_every_command_is_journaled_with_who_gave_it(tmp_path: Path) -> None:
    from execution.facts import CommandGiven
    from execution.journal import open_for_reading

    with paper_bot(tmp_path / "bot") as door:
        running = Running(door.folder)
        wait_for(lambda: bool(running.ask("status")["pairs"][0]["trade"]))
        assert command(door).status == 200
        told: dict[str, Any] = running.tell("kill", "", "kill paper")
        assert told["state"] == "halted"
        assert "killed" in told["limits"]
        wait_for(lambda: running.ask("status")["pairs"][0]["trade"] is None)
        wrong = command(
            door, b'{"command":"reset","argument":"drawdown","confirm":"reset drawdown"}'
        )
        assert (wrong.status, wrong.error) == (
            409,
            "limit 'drawdown' is not tripped; tripped: killed",
        )

    with open_for_reading(door.folder / "journal.sqlite") as journal:
        given = [fact for fact in journal.read() if isinstance(fact, CommandGiven)]
    assert [(fact.command, fact.actor.partition(":")[0]) for fact in given] == [
        ("pause", "web"),
        ("kill", "terminal"),
    ]


def test_a_kill_outlives_the_process(tmp_path: Path) -> None:
    with paper_bot(tmp_path / "bot") as door:
        Running(door.folder).tell("kill", "", "kill paper")

    with paper_bot(tmp_path / "bot") as door:
        running = Running(door.folder)
        assert running.ask("status")["limits"] == ["killed"]
        assert running.tell("reset", "killed", "reset killed")["limits"] == []


def test_a_certificate_that_cannot_be_used_is_told_before_anything_begins(
    tmp_path: Path, shown: Shown
) -> None:
    (tmp_path / "both.pem").write_text("no certificate")
    web = Web(port=free_port(), tls_file=str(tmp_path / "both.pem"))

    with pytest.raises(OSError, match="PEM"), serving(shown, tmp_path, web, print):
        pass
    assert not is_running(tmp_path)


def test_an_interface_that_fails_is_told_of_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: Shown
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no servers today")

    monkeypatch.setattr("bot.web.serve._server", fail)
    warned: list[str] = []
    with serving(shown, tmp_path, Web(port=free_port()), warned.append):
        wait_for(lambda: bool(warned))
        assert not is_running(tmp_path)

    assert warned == ["page and interface have ended: RuntimeError: no servers today"]
