"""Reaches the bot that runs on a state directory, through its socket file."""

import getpass
import json
import os
import re
import socket
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bot.cli.errors import CommandError
from bot.web.local import HOST, ORIGIN, SOCKET, short
from bot.web.tokens import Scope, Tokens

_SECONDS = 10.0
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")

Answer = dict[str, Any]


class NotRunning(CommandError):
    """No bot answers there."""


class Running:
    """The bot on ``directory``, by the token of one scope."""

    def __init__(self, directory: Path, scope: Scope = Scope.CONTROL) -> None:
        self.directory, self._scope = directory, scope

    def ask(self, *path: str) -> Answer:
        """The answer to a question, money as Decimals.

        Raises:
            NotRunning: nobody answers.
            CommandError: the bot says no, and why.
        """
        return _answer(self.ask_raw(*path))

    def ask_raw(self, *path: str) -> bytes:
        """The answer as it comes."""
        return self._request("GET", "/api/" + "/".join(quote(part, safe="") for part in path))

    def tell(self, command: str, argument: str, confirm: str, actor: str | None = None) -> Answer:
        """Have a command obeyed; the answer tells what came of it. ``actor``: who gives it, if not
        this user.

        Raises:
            NotRunning: nobody answers.
            CommandError: the bot says no, and why.
        """
        told = {"command": command, "argument": argument, "confirm": confirm}
        told["actor"] = _who() if actor is None else actor
        return _answer(self._request("POST", "/api/commands", json.dumps(told).encode()))

    def _request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        connection = _Connection(self.directory / SOCKET)
        headers = {
            "Host": HOST,
            "Origin": ORIGIN,
            "Authorization": f"Bearer {Tokens(self.directory).of(self._scope)}",
            "Content-Type": "application/json",
        }
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            status, answer = response.status, response.read()
        except (FileNotFoundError, ConnectionRefusedError):
            raise NotRunning(
                f"no bot is running on {str(self.directory)!r}: --state says where one is"
            ) from None
        except (OSError, HTTPException) as error:
            raise CommandError(f"the bot on {self.directory} does not answer: {error}") from None
        finally:
            connection.close()
        if status != 200:
            why = ""
            with suppress(ValueError, AttributeError):
                why = json.loads(answer).get("error", "")
            raise CommandError(why or f"the bot answers with status {status}")
        return answer


def is_running(directory: Path) -> bool:
    """Whether a bot listens there."""
    connection = _Connection(directory / SOCKET)
    try:
        connection.connect()
    except OSError:
        return False
    finally:
        connection.close()
    return True


class _Connection(HTTPConnection):
    """To a socket file."""

    def __init__(self, path: Path) -> None:
        super().__init__(HOST, timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        opened = socket.socket(socket.AF_UNIX)
        opened.settimeout(_SECONDS)
        try:
            with short(self._path) as name:
                opened.connect(name)
        except OSError:
            opened.close()
            raise
        self.sock = opened


def _answer(body: bytes) -> Answer:
    answer: Answer = _restored(json.loads(body))
    return answer


def _restored(value: Any) -> Any:
    """Money is text in JSON; here it is money again."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return Decimal(value)
    if isinstance(value, Mapping):
        return {key: _restored(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_restored(part) for part in value]
    return value


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user, as in a container
        return str(os.getuid())
