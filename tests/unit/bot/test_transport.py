"""The wire over real loopback sockets, and what becomes of each failure there."""

import asyncio
import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import struct
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bot.transport import ANSWER_BYTES_MAX, FRAME_BYTES_MAX, HttpTransport
from execution.ports import Reply, TransportFailed

ROOT = Path(__file__).resolve().parents[3]
HOST = "127.0.0.1"
BODY = b'{"type":"noop"}'

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(handle: Handle, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server of which every request of any method and path is handled by ``handle``."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0, ssl_context=tls).start()
        yield f"http{'s' if tls else ''}://{HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def listening(talk: Talk) -> AsyncIterator[str]:
    """A bare socket: what is said on it is ``talk``'s own business."""
    talks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has had enough
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(accept, HOST, 0)
    try:
        yield f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await asyncio.sleep(0.01)  # an aborted socket is closed a turn of the loop later


async def post(url: str, timeout_seconds: float = 5.0) -> Reply:
    async with HttpTransport(url) as transport:
        return await transport.request("/exchange", BODY, timeout_seconds)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return head + await reader.readexactly(len(BODY))


# Requests


async def test_a_request_is_a_post_of_json_and_its_answer_comes_back_byte_for_byte() -> None:
    seen: list[tuple[str, str, str, bytes]] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append((request.method, request.path, request.content_type, await request.read()))
        return web.Response(body=b'{"status": "ok"}\n')

    async with serving(handle) as url:
        reply = await post(url)

    assert reply == Reply(200, b'{"status": "ok"}\n')
    assert seen == [("POST", "/exchange", "application/json", BODY)]


@pytest.mark.parametrize("status", [400, 422, 429, 500, 502])
async def test_an_answer_of_any_status_is_an_answer(status: int) -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(status=status, body=b"null")

    async with serving(handle) as url:
        assert await post(url) == Reply(status, b"null")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    seen: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    async with serving(handle) as url:
        reply = await post(url)

    assert reply.status == status
    assert seen == ["/exchange"]


@pytest.mark.parametrize("kept_alive", [False, True], ids=["first", "on a connection in use"])
@pytest.mark.parametrize("end", ["close", "reset", "half an answer"])
async def test_a_request_without_an_answer_is_on_the_wire_once(
    end: str, *, kept_alive: bool
) -> None:
    seen: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if kept_alive and not seen:
            seen.append(await read_request(reader))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        seen.append(await read_request(reader))
        if end == "half an answer":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
            await writer.drain()
        if end == "reset":
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        else:
            writer.close()

    async with listening(talk) as url, HttpTransport(url) as transport:
        if kept_alive:
            await transport.request("/exchange", BODY, 5)
        with pytest.raises(TransportFailed):
            await transport.request("/exchange", BODY, 5)
        await asyncio.sleep(0.2)

    assert len(seen) == 1 + kept_alive


async def test_who_never_answers_is_given_up_in_time() -> None:
    async def tarpit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await asyncio.sleep(60)

    async with listening(tarpit) as url:
        began = asyncio.get_running_loop().time()
        with pytest.raises(TransportFailed, match=r"nothing within 0\.3 s"):
            await post(url, 0.3)
        assert 0.29 <= asyncio.get_running_loop().time() - began < 5


async def test_an_answer_that_trickles_is_given_up_in_time() -> None:
    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with listening(trickle) as url:
        with pytest.raises(TransportFailed, match="nothing within"):
            await post(url, 0.3)


async def test_nobody_there_is_a_failure_at_once() -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))  # not listening
        with pytest.raises(TransportFailed, match="ClientConnectorError"):
            await post(f"http://{HOST}:{taken.getsockname()[1]}")


@pytest.mark.parametrize(
    "answer", [b"\x00\xff\r\n\r\n", b"SSH-2.0-OpenSSH_9\r\n", b"HTTP/1.1 x\r\n"]
)
async def test_what_is_no_http_is_a_failure(answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)
        writer.close()

    async with listening(talk) as url:
        with pytest.raises(TransportFailed):
            await post(url)


async def test_an_answer_up_to_the_limit_is_read_whole() -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=bytes(ANSWER_BYTES_MAX))

    async with serving(handle) as url:
        assert len((await post(url, 20)).body) == ANSWER_BYTES_MAX


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "compressed"])
async def test_an_answer_beyond_the_limit_is_not_read_to_its_end(*, compressed: bool) -> None:
    size = ANSWER_BYTES_MAX + 1

    async def handle(_: web.Request) -> web.Response:
        if compressed:
            packed = zlib.compress(bytes(size))
            return web.Response(body=packed, headers={"Content-Encoding": "deflate"})
        return web.Response(body=bytes(size))

    async with serving(handle) as url:
        with pytest.raises(TransportFailed, match="larger than"):
            await post(url, 20)


async def test_a_compressed_answer_that_is_damaged_is_a_failure() -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=b"not deflated", headers={"Content-Encoding": "deflate"})

    async with serving(handle) as url:
        with pytest.raises(TransportFailed):
            await post(url)


async def test_a_cookie_is_not_kept() -> None:
    sent: list[str | None] = []

    async def handle(request: web.Request) -> web.Response:
        sent.append(request.headers.get("Cookie"))
        return web.Response(headers={"Set-Cookie": "who=me; Path=/"})

    # Of an address without a name no cookie is kept anyway.
    async with serving(handle) as url, HttpTransport(url.replace(HOST, "localhost")) as transport:
        await transport.request("/info", BODY, 5)
        await transport.request("/info", BODY, 5)

    assert sent == [None, None]


async def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy"):
        monkeypatch.setenv(name, f"http://{HOST}:1")
        monkeypatch.setenv(name.upper(), f"http://{HOST}:1")
    monkeypatch.delenv("no_proxy", raising=False)

    async with serving(echo) as url, HttpTransport(url) as transport:
        assert (await transport.request("/info", BODY, 5)).status == 400  # it wants a socket
        stream = await transport.connect("/ws", 5)
        await stream.close()


async def test_after_its_end_a_transport_fails_as_a_broken_wire_does() -> None:
    async with HttpTransport(f"http://{HOST}:1") as transport:
        pass

    with pytest.raises(TransportFailed, match="closed"):
        await transport.request("/info", BODY, 1)


# Addresses


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1", "http://api.hyperliquid.xyz", "http://127.0.0.1.example.com",
            "http://0.0.0.0", "http://[::]", "http://2130706433"]
)  # fmt: skip
async def test_nothing_leaves_the_machine_unencrypted(url: str) -> None:
    with pytest.raises(ValueError, match="not encrypted"):
        HttpTransport(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"])
async def test_on_this_machine_it_may(url: str) -> None:
    await HttpTransport(url).close()


@pytest.mark.parametrize(
    "url", ["", "api.hyperliquid.xyz", "ftp://example.com", "https://", "wss://example.com",
            "https://example.com/v1", "https://example.com?a=b", "https://me:secret@example.com"]
)  # fmt: skip
async def test_what_is_no_address_of_a_host_alone_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="not a venue's address") as error:
        HttpTransport(url)

    assert "secret" not in str(error.value)


@pytest.mark.parametrize("port", ["0", "65536", "https"])
async def test_a_port_that_is_none_is_refused_at_once(port: str) -> None:
    with pytest.raises(ValueError, match=r"(?i)port"):
        HttpTransport(f"https://example.com:{port}")


def test_the_libraries_of_the_wire_are_loaded_by_whoever_opens_one() -> None:
    script = (
        "import sys, bot.transport; print('aiohttp' in sys.modules, 'websockets' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True)

    assert out.stdout.split() == [b"False", b"False"]


@pytest.fixture(scope="module")
def unknown_authority(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's identity that only the server itself vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address(HOST))
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


async def test_a_server_that_cannot_prove_who_it_is_is_told_nothing(
    unknown_authority: ssl.SSLContext,
) -> None:
    seen: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.Response()

    async with serving(handle, unknown_authority) as url, HttpTransport(url) as transport:
        with pytest.raises(TransportFailed, match=r"(?i)certificate"):
            await transport.request("/exchange", BODY, 5)
        with pytest.raises(TransportFailed, match=r"(?i)certificate"):
            await transport.connect("/ws", 5)

    assert seen == []


# Streams


async def echo(request: web.Request) -> web.WebSocketResponse:
    """Says back what it hears, in frames of text."""
    websocket = web.WebSocketResponse(compress=True)
    await websocket.prepare(request)
    async for message in websocket:
        await websocket.send_str(f"{message.type.name} {message.data}")
    return websocket


async def test_frames_go_out_as_text_and_come_in_as_bytes() -> None:
    async with serving(echo) as url, HttpTransport(url) as transport:
        stream = await transport.connect("/ws", 5)
        await stream.send(b'{"method":"ping"}')
        assert await stream.receive() == b'TEXT {"method":"ping"}'
        await stream.close()


async def test_no_compression_is_offered_and_no_ping_is_sent() -> None:
    asked: list[str | None] = []

    async def handle(request: web.Request) -> web.WebSocketResponse:
        asked.append(request.headers.get("Sec-WebSocket-Extensions"))
        websocket = web.WebSocketResponse(autoping=False)
        await websocket.prepare(request)
        await websocket.send_str("hello")
        await websocket.receive()
        return websocket

    async with serving(handle) as url, HttpTransport(url) as transport:
        stream = await transport.connect("/ws", 5)
        assert await stream.receive() == b"hello"
        assert stream._connection.ping_interval is None
        await stream.close()

    assert asked == [None]


async def test_a_receive_that_is_cancelled_loses_no_message() -> None:
    async with serving(echo) as url, HttpTransport(url) as transport:
        stream = await transport.connect("/ws", 5)
        received: list[bytes] = []
        for number in range(20):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.001):
                    received.append(await stream.receive())
            await stream.send(b"%d" % number)
        while len(received) < 20:
            received.append(await stream.receive())
        await stream.close()

    assert received == [b"TEXT %d" % number for number in range(20)]


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_when_the_server_ends_a_stream_what_it_said_before_is_heard_first(how: str) -> None:
    async def handle(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        await websocket.send_str("last words")
        if how == "abort":
            assert request.transport is not None
            request.transport.close()
        else:
            await websocket.close()
        return websocket

    async with serving(handle) as url, HttpTransport(url) as transport:
        stream = await transport.connect("/ws", 5)
        assert await stream.receive() == b"last words"
        for _ in range(2):
            with pytest.raises(TransportFailed, match="ConnectionClosed"):
                await stream.receive()
        with pytest.raises(TransportFailed, match="ConnectionClosed"):
            await stream.send(b"hello?")
        await stream.close()


@pytest.mark.parametrize("size", [FRAME_BYTES_MAX, FRAME_BYTES_MAX + 1])
async def test_a_frame_beyond_the_limit_ends_the_stream(size: int) -> None:
    async def handle(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        with contextlib.suppress(ConnectionError):
            await websocket.send_str("x" * size)
        await websocket.receive()
        return websocket

    async with serving(handle) as url, HttpTransport(url) as transport:
        stream = await transport.connect("/ws", 5)
        if size > FRAME_BYTES_MAX:
            with pytest.raises(TransportFailed, match="1009"):
                await stream.receive()
        else:
            assert len(await stream.receive()) == size
        await stream.close()


async def upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The server's half of the opening handshake, and nothing after it."""
    from websockets.utils import accept_key

    head = await reader.readuntil(b"\r\n\r\n")
    lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:] if ": " in line)
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %s\r\n\r\n" % accept_key(lines["Sec-WebSocket-Key"]).encode()
    )
    await writer.drain()


async def test_of_a_stream_that_is_half_open_nothing_is_heard_and_it_can_be_left() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upgrade(reader, writer)
        await asyncio.sleep(60)

    async with listening(silent) as url, HttpTransport(url) as transport:
        stream = await transport.connect("/ws", 5)
        await stream.send(b"anybody there?")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await stream.receive()
        async with asyncio.timeout(3):
            await stream.close()
        await asyncio.sleep(0)

        assert stream._connection.transport.get_extra_info("socket").fileno() == -1


async def test_a_peer_that_takes_nothing_is_left_and_its_socket_is_gone() -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upgrade(reader, writer)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(60)

    async with listening(deaf) as url, HttpTransport(url) as transport:
        stream = await transport.connect("/ws", 5)
        flood = asyncio.gather(*(stream.send(bytes(1 << 20)) for _ in range(16)))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(flood, 0.5)
        async with asyncio.timeout(4):
            await stream.close()
        await asyncio.sleep(0)

        assert stream._connection.transport.get_extra_info("socket").fileno() == -1


async def test_a_stream_that_is_refused_or_redirected_is_not_opened() -> None:
    seen: list[str] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        seen.append(request.path)
        if request.path == "/elsewhere":
            return await echo(request)
        if request.path == "/redirected":
            return web.Response(status=302, headers={"Location": "/elsewhere"})
        return web.Response(status=503)

    async with serving(handle) as url, HttpTransport(url) as transport:
        for path in ("/refused", "/redirected"):
            with pytest.raises(TransportFailed, match="InvalidStatus"):
                await transport.connect(path, 5)

    assert seen == ["/refused", "/redirected"]


async def test_a_stream_that_is_not_opened_in_time_is_given_up() -> None:
    async def tarpit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async with listening(tarpit) as url, HttpTransport(url) as transport:
        began = asyncio.get_running_loop().time()
        with pytest.raises(TransportFailed, match=r"nothing within 0\.3 s"):
            await transport.connect("/ws", 0.3)
        assert 0.29 <= asyncio.get_running_loop().time() - began < 5


@pytest.mark.parametrize("answer", [b"", b"\x00\xff\r\n\r\n", b"HTTP/1.1 101 Go\r\n\r\n"])
async def test_a_handshake_that_is_none_is_a_failure(answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with listening(talk) as url, HttpTransport(url) as transport:
        with pytest.raises(TransportFailed):
            await transport.connect("/ws", 5)
