"""Questions and a pause from a person's telephone, by Telegram's Bot API.

Long polling, from the process that tells messages and never from the one that trades: nothing
has to be reachable from outside. Who is not on the list is not answered; what was sent before
the start, or takes longer than a minute, is not acted upon. What may be done is the least: to
ask, and to pause, which only ever takes risk away.

The API as documented: ``getUpdates`` with the offset after the last update, ``sendMessage``; an
answer that is no has ``error_code`` and perhaps ``parameters.retry_after`` (seconds). 409: another
program polls with the same token.
"""

import re
import ssl
from collections.abc import Callable, Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from bot.keys import private_content
from bot.notify import redacted
from domain.names import pair_name
from domain.time import SECOND

VERBS: Final = ("status", "positions", "why", "pause")
HELP: Final = "/status, /positions, /why HYPE, /pause"
AGE_SECONDS_MAX = 60
POLL_SECONDS = 25
_ANSWER_SECONDS = 10.0
_RETRY_SECONDS, _WAIT_SECONDS_MAX = 5.0, 300.0
_BYTES_MAX, _TEXT_MAX = 1 << 22, 4_000  # Telegram takes 4,096 characters
_UPDATES_MAX = 10  # of the longest there may be, with what they quote, far less than _BYTES_MAX
_TOKEN = re.compile(rb"\s*([0-9]{5,20}:[A-Za-z0-9_-]{30,80})\s*")


class _User(msgspec.Struct, frozen=True):
    id: int


class _Chat(msgspec.Struct, frozen=True):
    id: int


class _Message(msgspec.Struct, frozen=True):
    date: int  # seconds since 1970
    chat: _Chat
    sender: _User | None = msgspec.field(default=None, name="from")
    text: str = ""


class Update(msgspec.Struct, frozen=True):
    update_id: int
    message: _Message | None = None


class _Parameters(msgspec.Struct, frozen=True):
    retry_after: float = 0.0


class _Reply(msgspec.Struct, frozen=True):
    ok: bool
    result: msgspec.Raw = msgspec.Raw(b"null")
    error_code: int = 0
    description: str = ""
    parameters: _Parameters = _Parameters()


class Refused(Exception):
    """Telegram says no, or nothing that can be understood; ``seconds`` to wait before more."""

    def __init__(self, why: str, seconds: float) -> None:
        super().__init__(why)
        self.seconds = seconds


def token_in(source: str) -> str:
    """The token of a bot in a file that is its owner's alone, or in a credential.

    Raises:
        ValueError: it cannot be had so, or is none; what is there is not repeated.
    """
    if _TOKEN.search(source.encode()):
        raise ValueError(
            "this is a token, not the name of a file that holds one; whoever could see the "
            "command line knows it now: have BotFather replace it"
        )
    found = _TOKEN.fullmatch(private_content(source, 256))
    if found is None:
        raise ValueError(
            f"{source} holds no token of a Telegram bot: 123456:ABC… as BotFather says"
        )
    return found[1].decode()


class Api:
    """The Bot API at ``url``: no redirect is followed, and no proxy of the environment asked."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = urlsplit(url), token

    def updates(self, offset: int) -> list[Update]:
        """What came since, waited for: a few at once, so that no flood is too long to be read, and
        with it everything that comes after it.

        Raises:
            Refused, OSError, HTTPException: there is no answer to be used.
        """
        asked = {
            "offset": offset,
            "limit": _UPDATES_MAX,
            "timeout": POLL_SECONDS,
            "allowed_updates": ["message"],
        }
        return msgspec.json.decode(self._call("getUpdates", asked), type=list[Update])

    def send(self, chat: int, text: str) -> None:
        """In letters of one width, since answers are laid out as on a terminal; by an entity, so
        that no word of the text can be taken for a mark. Raises as ``updates`` does."""
        units = len(text.encode("utf-16-le")) // 2  # what Telegram counts in
        pre = {"type": "pre", "offset": 0, "length": units}
        self._call("sendMessage", {"chat_id": chat, "text": text, "entities": [pre]})

    def _call(self, method: str, asked: dict[str, Any]) -> msgspec.Raw:
        host, port = self._url.hostname or "", self._url.port
        seconds = POLL_SECONDS + _ANSWER_SECONDS
        connection = (
            HTTPSConnection(host, port, timeout=seconds, context=ssl.create_default_context())
            if self._url.scheme == "https"
            else HTTPConnection(host, port, timeout=seconds)
        )
        try:
            connection.request(
                "POST",
                f"/bot{self._token}/{method}",
                msgspec.json.encode(asked),
                {"Content-Type": "application/json"},
            )
            response = connection.getresponse()
            status, body = response.status, response.read(_BYTES_MAX)
        finally:
            connection.close()
        try:
            reply = msgspec.json.decode(body, type=_Reply)
        except msgspec.MsgspecError:
            raise Refused(f"an answer of status {status} that is none", _RETRY_SECONDS) from None
        if not reply.ok:
            wait = min(max(reply.parameters.retry_after, _RETRY_SECONDS), _WAIT_SECONDS_MAX)
            raise Refused(f"{reply.error_code} {reply.description}"[:200], wait)
        return reply.result


class Listener:
    """Answers who is on the list. ``obey`` gets verb, argument and actor, and says what to answer;
    ``strangers`` counts messages of others."""

    def __init__(
        self,
        api: Api,
        readers: Sequence[int],
        controllers: Sequence[int],
        obey: Callable[[str, str, str], str],
        now_ns: Callable[[], int],
        sleep: Callable[[int], None],
        log: Any,
        secrets: Sequence[str],
    ) -> None:
        self._api, self._obey, self._log = api, obey, log
        self._readers, self._controllers = frozenset(readers), frozenset(controllers)
        self._now_ns, self._sleep, self._secrets = now_ns, sleep, secrets
        self._began = now_ns() // SECOND
        self._offset = 0
        self._refused = ""
        self.strangers = 0

    def step(self) -> None:
        """Wait for updates, and deal with each once; where there is no answer, for some time."""
        try:
            updates = self._api.updates(self._offset)
        except (Refused, OSError, HTTPException, msgspec.MsgspecError) as error:
            self._wait(error)
            return
        self._refused = ""
        for update in updates:
            # Before it is dealt with: what fails is not to be tried for ever.
            self._offset = update.update_id + 1
            if update.message is not None:
                self._hear(update.message)

    def _wait(self, error: Exception) -> None:
        why = redacted(str(error) or type(error).__name__, self._secrets)
        if why != self._refused:  # told once, not every five seconds
            self._log.warning("telegram_silent", detail=why)
        self._refused = why
        seconds = error.seconds if isinstance(error, Refused) else _RETRY_SECONDS
        self._sleep(int(seconds * SECOND))

    def _hear(self, message: _Message) -> None:
        sender = message.sender.id if message.sender is not None else 0
        # In a group others would read the answer.
        if sender not in self._readers | self._controllers or message.chat.id != sender:
            self.strangers += 1
            if self.strangers & (self.strangers - 1) == 0:  # 1, 2, 4, 8, …: a flood is no log
                self._log.warning("telegram_stranger", sender=sender, messages=self.strangers)
            return
        age = self._now_ns() // SECOND - message.date
        if message.date < self._began:
            self._log.info("telegram_old", sender=sender, age_seconds=age)
            return
        if age > AGE_SECONDS_MAX:
            self._say(sender, f"this took {age} s to arrive, and was not obeyed: send it again")
            return
        self._say(sender, self._answer(sender, message.text))

    def _answer(self, sender: int, text: str) -> str:
        first, _, argument = text.strip().partition(" ")
        verb = first.removeprefix("/").partition("@")[0].lower()
        if not first.startswith("/") or verb not in VERBS or (verb == "why") != bool(argument):
            return HELP
        if verb == "pause" and sender not in self._controllers:
            return "you may only read: pausing is for the ids of telegram.control"
        said = redacted(argument, self._secrets)
        self._log.info("telegram", command=verb, argument=said, sender=sender)
        return self._obey(verb, pair_name(argument), f"telegram:{sender}")

    def _say(self, chat: int, text: str) -> None:
        shown = redacted(text, self._secrets)
        for _ in range(3):
            try:
                self._api.send(chat, shown if len(shown) <= _TEXT_MAX else shown[:_TEXT_MAX] + "…")
            except (Refused, OSError, HTTPException) as error:
                self._wait(error)
            else:
                return
