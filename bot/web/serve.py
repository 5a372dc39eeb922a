"""Opens a bot's two doors, in a thread of their own: a socket file, and a port on loopback.

The socket file, in the state directory and its owner's alone, is how the command line gets in;
the port is for a browser. Neither is opened wider without somebody who encrypts.
"""

import asyncio
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from bot.control import Control
from bot.settings import Web
from bot.web.local import ORIGIN, SOCKET, short
from bot.web.tokens import Scope, Tokens

if TYPE_CHECKING:
    import uvicorn

    from bot.web.app import Site

_STOP_SECONDS = 3.0


@contextmanager
def serving(
    control: Control,
    state: Path,
    web: Web | None,
    warn: Callable[[str], None],
) -> Iterator[str | None]:
    """Both doors, or only the socket file where ``web`` is None; yields the page's address.

    A port that another program has costs the page, not the run: ``warn`` is told.

    Raises:
        OSError, ValueError: the socket or the tokens cannot be made.
    """
    tokens = Tokens(state)
    for scope in Scope:
        tokens.of(scope)
    if web is not None and web.tls_file:  # what is wrong with it is told before anything begins
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(web.tls_file)
    local = _socket_file(state / SOCKET)
    port = None
    if web is not None and web.port:
        try:
            port = _port(web)
        except OSError as error:
            warn(
                f"port {web.port} is taken, so there is no page for this run "
                f"(web.port in the settings chooses another): {error.strerror}"
            )
    address = None if port is None or web is None else address_of(web, port.getsockname()[1])
    doors = _Doors(control, tokens, local, port, web, address, warn)
    doors.start()
    try:
        yield address
    finally:
        doors.stop()
        (state / SOCKET).unlink(missing_ok=True)


def address_of(web: Web, port: int) -> str:
    """Where a person finds the page."""
    if web.public_url:
        return web.public_url.rstrip("/")
    host = f"[{web.host}]" if ":" in web.host else web.host
    return f"{'https' if web.tls_file else 'http'}://{host}:{port}"


def origins_of(web: Web, port: int) -> frozenset[str]:
    """The origins that are this page's own, and no others'."""
    scheme = "https" if web.tls_file else "http"
    own = {address_of(web, port)}
    if ip_address(web.host).is_loopback:
        own |= {f"{scheme}://{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}
    return frozenset(own)


class _Doors:
    """The thread with the servers in it."""

    def __init__(
        self,
        control: Control,
        tokens: Tokens,
        local: socket.socket,
        port: socket.socket | None,
        web: Web | None,
        address: str | None,
        warn: Callable[[str], None],
    ) -> None:
        self._control, self._tokens, self._warn = control, tokens, warn
        self._local, self._port, self._web, self._address = local, port, web, address
        self._servers: Sequence[uvicorn.Server] = ()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for server in self._servers:
            server.should_exit = True
        self._thread.join(_STOP_SECONDS)
        self._close()

    def _close(self) -> None:
        for opened in (self._local, self._port):
            if opened is not None:
                opened.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001 - the bot goes on; a person is told
            self._warn(f"page and interface have ended: {type(error).__name__}: {error}")
            self._close()

    async def _serve(self) -> None:
        from bot.web.app import PAGE, TERMINAL, Site

        def site(origins: frozenset[str], via: str) -> Site:
            closing = self._stopping.is_set
            return Site(self._control, self._tokens, origins, via, self._address, closing)

        local = site(frozenset({ORIGIN}), TERMINAL)
        opened = [(self._local, _server(local, ""))]
        if self._port is not None and self._web is not None:
            page = site(origins_of(self._web, self._port.getsockname()[1]), PAGE)
            opened.append((self._port, _server(page, self._web.tls_file)))
        self._servers = [server for _, server in opened]
        if not self._stopping.is_set():
            await asyncio.gather(*(server.serve(sockets=[sock]) for sock, server in opened))


def _server(site: "Site", tls_file: str) -> "uvicorn.Server":
    import uvicorn

    config = uvicorn.Config(
        site.app,
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="critical",
        server_header=False,
        date_header=False,
        proxy_headers=False,
        limit_concurrency=50,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=1,
        ssl_certfile=tls_file or None,
    )
    return uvicorn.Server(config)


def _port(web: Web) -> socket.socket:
    family = socket.AF_INET6 if ":" in web.host else socket.AF_INET
    opened = socket.socket(family)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((web.host, web.port))
        opened.listen()  # from now on who comes waits, until the thread has started
    except OSError:
        opened.close()
        raise
    return opened


def _socket_file(path: Path) -> socket.socket:
    """Listening on ``path``, its owner's alone."""
    path.unlink(missing_ok=True)  # of a run that was killed: one process has the directory
    opened = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        with short(path) as name:
            opened.bind(name)
        opened.listen()
    except OSError:
        opened.close()
        raise
    finally:
        os.umask(before)
    return opened
