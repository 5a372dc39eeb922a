"""The two tokens of a state directory: one may command, the other only read.

Each is 256 bits of chance in a file of its owner's alone. They are read anew for every request:
who removes a file has replaced the token, at once and for all who know it.
"""

import os
import re
import secrets
import stat
from enum import StrEnum
from hmac import compare_digest
from pathlib import Path
from tempfile import mkstemp

_BYTES = 32
_LENGTH_MAX = 200
_TOKEN = re.compile(rb"\s*([!-~]{32,200})\s*")


class TokenError(ValueError):
    """A file holds no token to be trusted. One sentence: which, why, and what to do."""


class Scope(StrEnum):
    """What a token lets its holder do; who may control may read."""

    READ = "read"
    CONTROL = "control"


class Tokens:
    """The tokens kept in ``directory``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def of(self, scope: Scope) -> str:
        """The token, made where there is none.

        Raises:
            OSError: it cannot be read or written.
            TokenError: its file is open to others, or somebody else's, or holds none.
        """
        path = self._directory / f"{scope}.token"
        try:
            return _read(path)
        except FileNotFoundError:
            return _make(path)

    def replace(self) -> None:
        """Throw both away: the next who needs one makes it."""
        for scope in Scope:
            (self._directory / f"{scope}.token").unlink(missing_ok=True)

    def scope_of(self, authorization: str) -> Scope | None:
        """What the bearer of this header may do; None for nothing.

        Raises:
            OSError, TokenError: as ``of``.
        """
        kind, _, token = authorization.partition(" ")
        if kind.lower() != "bearer" or not 0 < len(token) <= _LENGTH_MAX:
            return None
        given = token.encode()
        found = [scope for scope in Scope if compare_digest(given, self.of(scope).encode())]
        return found[-1] if found else None


def _read(path: Path) -> str:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe would wait
    with os.fdopen(os.open(path, flags), "rb") as file:
        status = os.fstat(file.fileno())
        if stat.S_IMODE(status.st_mode) & 0o077 or status.st_uid != os.geteuid():
            raise TokenError(f"{path} is open to others: remove it, and a new one is made")
        found = _TOKEN.fullmatch(file.read(_LENGTH_MAX + 2))
    if found is None:
        raise TokenError(f"{path} holds no token: remove it, and a new one is made")
    return found[1].decode()


def _make(path: Path) -> str:
    token = secrets.token_urlsafe(_BYTES)
    descriptor, name = mkstemp(prefix=f"{path.name}.", dir=path.parent)  # its owner's alone
    partial = Path(name)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(token + "\n")
    try:
        os.link(partial, path)  # whoever is first has made it
    except FileExistsError:
        return _read(path)
    finally:
        partial.unlink()
    return token
