"""The interface over HTTP: a few questions, one stream, one command, and the page itself.

Nothing here decides or knows anything: questions go to the bot through its ``Control``, and what
comes back is written down as JSON.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as Connection

from bot.answers import Answer, answer_to, positions_of, status_of
from bot.control import COMMANDS, Bot, Control, Impossible, phrase
from bot.record import Record
from bot.report import jsonable
from bot.web.guard import BODY_MAX, Refusal, refused_command, refused_place
from bot.web.page import Page, changes, page_of
from bot.web.tokens import Scope, Tokens
from domain.names import pair_name

STATIC = Path(__file__).parent / "static"
FILES: Final = {
    "": ("index.html", "text/html"),
    "page.js": ("page.js", "text/javascript"),
    "page.css": ("page.css", "text/css"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
    "uPlot.js": ("uPlot.iife.min.js", "text/javascript"),
    "uPlot.css": ("uPlot.min.css", "text/css"),
}
HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
FRAME_SECONDS = 0.2
"""Between two frames of a stream: five a second."""
_ANSWER_SECONDS = 5.0
_QUIET_SECONDS = 5.0
_FAILURES_MAX = 10
_FAILURES_SECONDS = 60.0
_ACTOR_MAX = 40
TERMINAL, PAGE = "terminal", "web"
"""The two doors: the socket file, and the port."""

T = TypeVar("T")


class Refused(Exception):
    """Ends a request with a refusal."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.refusal = Refusal(status, why)


class _Command(msgspec.Struct, forbid_unknown_fields=True):
    """What is posted. ``confirm``: the phrase that was typed; ``actor``: who typed it."""

    command: str
    argument: str = ""
    confirm: str = ""
    actor: str = ""


class _Failures:
    """Wrong tokens of the last minute: beyond some, who brings another is told to wait."""

    def __init__(self) -> None:
        self._at: deque[float] = deque(maxlen=_FAILURES_MAX)

    def too_many(self, now: float) -> bool:
        return len(self._at) == _FAILURES_MAX and now - self._at[0] < _FAILURES_SECONDS

    def add(self, now: float) -> None:
        self._at.append(now)


class Site:
    """One door to a bot: the same questions and answers, ``origins`` of its own.

    ``via`` tells in the journal which door a command came through; ``address`` is where the
    page is, None where there is none; ``closing`` ends the streams.
    """

    def __init__(
        self,
        control: Control,
        tokens: Tokens,
        origins: frozenset[str],
        via: str,
        address: str | None,
        closing: Callable[[], bool],
    ) -> None:
        self._control, self._tokens, self._origins = control, tokens, origins
        self._via, self._address, self._closing = via, address, closing
        self._failures = _Failures()
        self._shared: tuple[float, Page] | None = None
        self._files = {
            name: ((STATIC / file).read_bytes(), kind) for name, (file, kind) in FILES.items()
        }
        asks = {
            "/api/status": self._status,
            "/api/positions": self._positions,
            "/api/page": self._page,
            "/api/stream": self._stream,
            "/api/address": self._where,
            "/api/why/{name}": self._why,
        }
        self.app: ASGIApp = _Guarded(
            Starlette(
                routes=[
                    *(Route(path, self._allowed(ask)) for path, ask in asks.items()),
                    Route("/api/commands", self._allowed(self._command), methods=["POST"]),
                    Route("/{name:path}", self._file),
                ],
                exception_handlers={Refused: _refused, 404: _unknown, 405: _unknown},
            ),
            origins,
        )

    def _allowed(
        self, ask: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """``ask``, for who brings a token."""

        async def answer(request: Request) -> Response:
            request.state.scope = self._scope(request)
            return await ask(request)

        return answer

    def _scope(self, request: Request) -> Scope:
        now = asyncio.get_running_loop().time()
        try:
            scope = self._tokens.scope_of(request.headers.get("authorization", ""))
        except (OSError, ValueError) as error:
            raise Refused(
                503, "the bot cannot use its own tokens: remove them, and it makes new ones"
            ) from error
        if scope is not None:
            return scope
        if self._failures.too_many(now):
            raise Refused(429, "too many wrong tokens: wait a minute")
        self._failures.add(now)
        raise Refused(401, "a token is needed: `fundarb web` shows it")

    # --- questions -------------------------------------------------------------------------

    async def _status(self, _: Request) -> Response:
        return _json(jsonable(await self._ask(lambda bot: _fresh(bot, status_of))))

    async def _positions(self, _: Request) -> Response:
        return _json(jsonable(await self._ask(lambda bot: _fresh(bot, positions_of))))

    async def _why(self, request: Request) -> Response:
        name = pair_name(request.path_params["name"])[:60]

        def ask(bot: Bot) -> Answer:
            try:
                return _fresh(bot, lambda record: answer_to(record, name))
            except LookupError as error:
                raise Refused(404, str(error)) from None

        return _json(jsonable(await self._ask(ask)))

    async def _page(self, _: Request) -> Response:
        return _json(await self._ask(page_of))

    async def _where(self, request: Request) -> Response:
        return _json({"page": self._address, "scope": request.state.scope})

    async def _stream(self, request: Request) -> Response:
        return StreamingResponse(self._frames(request), media_type="text/event-stream")

    async def _frames(self, request: Request) -> AsyncIterator[bytes]:
        """What changed, five times a second, for as long as the token is good."""
        shown: Page | None = None
        quiet = 0.0
        while not self._closing():
            try:
                self._scope(request)
                now = await self._latest_page()
            except Refused as error:
                yield _event("end", {"error": error.refusal.why})
                return
            if now != shown:
                scope = {"scope": request.state.scope} if shown is None else {}
                yield _event("page", scope | changes(shown, now))
                shown, quiet = now, 0.0
            elif quiet >= _QUIET_SECONDS:  # whoever listens is told that we are there
                yield b": still here\n\n"
                quiet = 0.0
            quiet += FRAME_SECONDS
            await asyncio.sleep(FRAME_SECONDS)
        yield _event("end", {"error": "the bot has stopped"})

    async def _latest_page(self) -> Page:
        """One picture for all streams: many who look on cost the bot no more than one."""
        now = asyncio.get_running_loop().time()
        if self._shared is None or now - self._shared[0] > FRAME_SECONDS / 2:
            self._shared = now, await self._ask(page_of)
        return self._shared[1]

    async def _ask(self, question: Callable[[Bot], T]) -> T:
        return await _answered(self._control.ask(question))

    # --- commands --------------------------------------------------------------------------

    async def _command(self, request: Request) -> Response:
        if (refusal := refused_command(request.headers, request.state.scope)) is not None:
            raise Refused(refusal.status, refusal.why)
        try:
            told = msgspec.json.decode(await _body(request), type=_Command)
        except (msgspec.DecodeError, RecursionError, ValueError):
            known = ", ".join(COMMANDS)
            raise Refused(400, f'a command is {{"command": …, "argument": …}}: {known}') from None
        if told.command not in COMMANDS or not told.argument.isprintable():
            raise Refused(400, f"there is no such command: {', '.join(COMMANDS)}")
        # A pause needs no confirmation, and is not to wait for the bot twice.
        mode = "" if told.command == "pause" else await self._ask(lambda bot: bot.record.run.mode)
        wanted = phrase(told.command, told.argument, mode)
        if told.confirm.split() != wanted.split():
            raise Refused(409, f"to confirm, type: {wanted}")
        allowed = "._-@:" if self._via == TERMINAL else "._-@"
        name = "".join(c for c in told.actor[:_ACTOR_MAX] if c.isalnum() or c in allowed)
        actor = f"{self._via}:{name}" if name else self._via
        if self._via == TERMINAL and ":" in name:
            actor = name  # who has the socket file passes on what others said by way of it
        obeyed = await _answered(self._control.tell(told.command, told.argument, actor))
        return _json(obeyed)

    # --- the page --------------------------------------------------------------------------

    async def _file(self, request: Request) -> Response:
        found = self._files.get(request.path_params["name"])
        if found is None:
            raise Refused(404, "there is nothing here")
        content, kind = found
        return Response(content, media_type=kind)


class _Guarded:
    """The judgement over where a request comes from, and the headers of every answer."""

    def __init__(self, app: ASGIApp, origins: frozenset[str]) -> None:
        self._app, self._origins = app, origins

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # a websocket: there are none here
            await send({"type": "websocket.close", "code": 1008})
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", ()), *extra]}
            await send(message)

        request = Request(scope)
        refusal = refused_place(request.method, request.headers, self._origins)
        if refusal is not None:
            await _no(refusal)(scope, receive, guarded)
        else:
            await self._app(scope, receive, guarded)


def _fresh(bot: Bot, answer: Callable[[Record], Answer]) -> Answer:
    """An answer by today's marks."""
    bot.record.marks.update(bot.engine.marks())
    return answer(bot.record)


async def _answered(future: Future[T]) -> T:
    """The bot's answer, or the refusal that there is none."""
    try:
        return await asyncio.wait_for(asyncio.wrap_future(future), _ANSWER_SECONDS)
    except TimeoutError:
        done = "nothing was done" if future.cancelled() else "it may still be done: look again"
        raise Refused(503, f"the bot does not answer: {done}") from None
    except Impossible as error:
        raise Refused(409, str(error)) from None


async def _body(request: Request) -> bytes:
    """The body, whatever length it says it has."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_MAX:
            raise Refused(413, f"a command is at most {BODY_MAX} bytes long")
    return body


def _json(answer: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(answer), status, media_type="application/json")


def _event(name: str, data: Mapping[str, Any]) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(data) + b"\n\n"


def _no(refusal: Refusal) -> Response:
    return _json({"error": refusal.why}, refusal.status)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return _no(error.refusal)


async def _unknown(_: Request, error: Exception) -> Response:
    return _no(Refusal(getattr(error, "status_code", 404), "there is nothing here"))
