"""Telegram's Bot API on this machine, as far as it is documented and asked for here."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "8123456789:AAHc4n4ryT0kenOfTheBotApiFake_x-Y"


class BotApi:
    """``write`` is a person; ``sent`` what was answered, by chat; ``refusals`` are given first."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, str]] = []
        self.refusals: list[dict[str, Any]] = []
        self.asked: list[dict[str, Any]] = []
        self._waiting: list[dict[str, Any]] = []
        self._number = 100
        self._changed = threading.Condition()
        self._polling = 0

    def write(self, sender: int, text: str, *, chat: int | None = None, age: float = 0.0) -> None:
        message = {
            "message_id": 1,
            "date": int(time.time() - age),
            "from": {"id": sender, "is_bot": False, "first_name": "A"},
            "chat": {"id": sender if chat is None else chat, "type": "private"},
            "text": text,
        }
        self.put({"message": message})

    def put(self, update: dict[str, Any]) -> None:
        with self._changed:
            self._waiting.append({"update_id": self._number, **update})
            self._number += 1
            self._changed.notify_all()

    def unconfirmed(self) -> int:
        with self._changed:
            return len(self._waiting)

    def wait_for(self, count: int, seconds: float = 20.0) -> list[tuple[int, str]]:
        """The answers, once there are so many."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.sent) >= count, seconds), self.sent
        return self.sent

    def answer(self, path: str, asked: dict[str, Any]) -> dict[str, Any]:
        token, _, method = path.removeprefix("/bot").partition("/")
        if token != TOKEN:
            return refusal(401, "Unauthorized")
        if self.refusals:
            return self.refusals.pop(0)
        if method == "getUpdates":
            return self._updates(asked)
        if method == "sendMessage" and len(asked["text"]) <= 4096:
            units = len(asked["text"].encode("utf-16-le")) // 2
            if asked["entities"] != [{"type": "pre", "offset": 0, "length": units}]:
                return refusal(400, "Bad Request: an entity that is none of the text's")
            with self._changed:
                self.sent.append((asked["chat_id"], asked["text"]))
                self._changed.notify_all()
            return {"ok": True, "result": {"message_id": 2}}
        return refusal(400, "Bad Request")

    def _updates(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(asked)
        with self._changed:
            if self._polling:
                return refusal(
                    409, "Conflict: terminated by other getUpdates request; make sure that only "
                    "one bot instance is running",
                )  # fmt: skip
            self._polling += 1
            # An update is confirmed by the offset after it.
            self._waiting = [u for u in self._waiting if u["update_id"] >= asked["offset"]]
            self._changed.wait_for(lambda: bool(self._waiting), min(asked["timeout"], 0.3))
            self._polling -= 1
            return {"ok": True, "result": self._waiting[: asked.get("limit", 100)]}

    def poll_elsewhere(self, *, on: bool) -> None:
        """Another program with the same token."""
        with self._changed:
            self._polling += 1 if on else -1


def refusal(code: int, description: str, retry_after: int | None = None) -> dict[str, Any]:
    answer: dict[str, Any] = {"ok": False, "error_code": code, "description": description}
    return answer | ({} if retry_after is None else {"parameters": {"retry_after": retry_after}})


@contextmanager
def bot_api() -> Iterator[tuple[BotApi, str]]:
    """The API, and where it is."""
    api = BotApi()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            answer = api.answer(self.path, asked)
            body = answer["raw"] if "raw" in answer else json.dumps(answer).encode()
            self.send_response(answer.get("error_code", 200))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield api, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
