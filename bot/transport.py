"""The wire to a venue over real sockets: ``execution.ports.Transport`` and ``Stream``.

Every call is one attempt. Nothing here tries again, follows a redirect, or asks the
environment for a proxy: a request that was sent twice, or to somebody else, would be an order
nobody decided. What an attempt came to is judged by the caller.
"""

import asyncio
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from execution.ports import Reply, TransportFailed

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

ANSWER_BYTES_MAX = 16 << 20
FRAME_BYTES_MAX = 4 << 20
_CLOSE_SECONDS = 1.0
_REASON_LENGTH = 200
_HEADERS = {"Content-Type": "application/json"}


def endpoints(base_url: str) -> tuple[str, str]:
    """Where to post and where to open streams, each without a path.

    >>> endpoints("https://api.hyperliquid.xyz/")
    ('https://api.hyperliquid.xyz', 'wss://api.hyperliquid.xyz')

    Raises:
        ValueError: when it is not an address of a host alone, or would send what is signed in
            the clear over a network.
    """
    url = urlsplit(base_url)
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise ValueError("not a venue's address: it has to be https:// and a host")
    if url.path.strip("/") or url.query or url.fragment or "@" in url.netloc:
        raise ValueError("not a venue's address: only https:// and a host, without path or user")
    if url.port == 0:  # one that is no number at all raises by itself
        raise ValueError("not a venue's address: there is no port 0")
    if url.scheme == "http" and not is_loopback(url.hostname):
        raise ValueError(f"http://{url.netloc} is not encrypted; only loopback addresses may be so")
    return f"{url.scheme}://{url.netloc}", f"ws{url.scheme[4:]}://{url.netloc}"


def is_here(base_url: str) -> bool:
    """Whether an address that ``endpoints`` takes is of this machine's loopback interface."""
    return is_loopback(urlsplit(base_url).hostname or "")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its address or as localhost; no name is looked up."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class HttpTransport:
    """One venue's HTTP and WebSocket end; made and closed inside a running event loop.

    Args:
        base_url: ``https://`` and the host. Plain ``http://`` is for loopback addresses alone.

    Raises:
        ValueError: for any other address.
    """

    def __init__(self, base_url: str) -> None:
        self._http, self._websocket = endpoints(base_url)
        import aiohttp
        from websockets.asyncio.client import connect
        from websockets.exceptions import WebSocketException

        class Direct(connect):
            """``connect`` that takes a redirect for what it is: a refusal."""

            def process_redirect(self, exc: Exception) -> Exception:
                return exc

        self._connect = Direct
        self._http_errors = (aiohttp.ClientError, TimeoutError, OSError)
        self._websocket_errors = (WebSocketException, TimeoutError, OSError)
        self._session = aiohttp.ClientSession(
            # The one timeout is that of each request; aiohttp rounds its own to whole seconds.
            timeout=aiohttp.ClientTimeout(),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=_HEADERS,
            trust_env=False,
        )

    async def request(self, path: str, body: bytes, timeout_seconds: float) -> Reply:
        """POST ``body`` once; a redirect is an answer like any other.

        Raises:
            TransportFailed: when there is no whole answer in time, or it is larger than 16 MiB.
        """
        if self._session.closed:
            raise TransportFailed("the transport is closed")
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._post(path, body)
        except self._http_errors as error:
            raise _failed(error, timeout_seconds) from error

    async def _post(self, path: str, body: bytes) -> Reply:
        url = self._http + path
        async with self._session.post(url, data=body, allow_redirects=False) as response:
            answer = bytearray()
            async for chunk in response.content.iter_any():
                answer += chunk
                if len(answer) > ANSWER_BYTES_MAX:
                    raise TransportFailed(f"the answer is larger than {ANSWER_BYTES_MAX} bytes")
            return Reply(response.status, bytes(answer))

    async def connect(self, path: str, timeout_seconds: float) -> "WebSocketStream":
        """Open a stream.

        Raises:
            TransportFailed: when none was opened in time.
        """
        try:
            connection = await self._connect(
                self._websocket + path,
                compression=None,
                proxy=None,
                open_timeout=timeout_seconds,
                close_timeout=_CLOSE_SECONDS,
                # The venue counts messages of its own as signs of life; so does the feed.
                ping_interval=None,
                max_size=FRAME_BYTES_MAX,
            )
        except self._websocket_errors as error:
            raise _failed(error, timeout_seconds) from error
        return WebSocketStream(connection, self._websocket_errors)

    async def close(self) -> None:
        """Give up the connections of requests; streams are closed by whoever opened them."""
        await self._session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class WebSocketStream:
    """``execution.ports.Stream``. A ``receive`` that is cancelled loses no message."""

    def __init__(self, connection: "ClientConnection", errors: tuple[type[Exception], ...]) -> None:
        self._connection, self._errors = connection, errors

    async def send(self, frame: bytes) -> None:
        try:
            await self._connection.send(frame, text=True)
        except self._errors as error:
            raise _failed(error) from error

    async def receive(self) -> bytes:
        try:
            message: Any = await self._connection.recv(decode=False)
        except self._errors as error:
            raise _failed(error) from error
        return bytes(message)

    async def close(self) -> None:
        """Take leave if the other side answers, and be gone within two seconds if not."""
        try:
            async with asyncio.timeout(2 * _CLOSE_SECONDS):
                await self._connection.close()
        except self._errors:
            pass  # it was as good as closed
        finally:
            # A peer that reads nothing would keep the socket open until the kernel gives it up.
            self._connection.transport.abort()


def _failed(error: Exception, timeout_seconds: float | None = None) -> TransportFailed:
    """In a few words, for a log and for the reason of an order's doubt."""
    if isinstance(error, TimeoutError) and timeout_seconds is not None:
        return TransportFailed(f"nothing within {timeout_seconds:g} s")
    return TransportFailed(f"{type(error).__name__}: {error}"[:_REASON_LENGTH])
