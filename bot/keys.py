"""An agent's key, read from a file that is its owner's alone.

What is refused is told by the file's name and never by what is in it: no message of this
module, and no exception it chains, has a part of the key.
"""

import errno
import os
import re
import stat
from pathlib import Path

ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
"""Of the curve secp256k1: a key is a number from 1 to this, less one."""
_BYTES_MAX = 256
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_HEX = re.compile(rb"\s*(?:0x)?([0-9a-fA-F]{64})\s*")
_LOOKS_LIKE_A_KEY = re.compile(r"(?:0x)?[0-9a-fA-F]{64}")


def read_key(path: Path) -> bytes:
    """The 32 bytes of the key in ``path``: 64 hex digits, with or without ``0x``, and no more.

    The file must be a plain one, no link, the user's own, closed to everybody else, and in a
    directory in which not everybody may put another in its place. A credential that systemd
    hands over (``LoadCredential``) is root's, on a file system that only the service sees.

    Raises:
        ValueError: it is not so. One sentence: what is wrong, and what to do.
    """
    if _LOOKS_LIKE_A_KEY.fullmatch(path.name):
        raise ValueError(
            "this is a key, not the name of a file that holds one; whoever could see the "
            "command line knows it now: replace it"
        )
    content = private_content(path, _BYTES_MAX)
    found = _HEX.fullmatch(content)
    key = bytes.fromhex(found[1].decode()) if found else b""
    if not 0 < int.from_bytes(key) < ORDER:
        raise ValueError(f"{path} holds no key: 64 hex digits are one, with nothing else there")
    return key


def private_content(path: Path, most: int) -> bytes:
    """What is in a file that is its owner's alone; nothing where it is longer than ``most``.

    Raises:
        ValueError: it cannot be read, or others may read it or put another in its place.
    """
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    try:
        if os.fstat(folder).st_mode & stat.S_IWOTH:
            raise ValueError(
                f"everybody may write in {path.parent}: keep {path.name} in a directory of your own"
            )
        handed = os.environ.get("CREDENTIALS_DIRECTORY")
        is_handed = handed is not None and path.parent == Path(handed)
        return _content(path, folder, most, handed=is_handed)
    finally:
        os.close(folder)


def _content(path: Path, folder: int, most: int, *, handed: bool) -> bytes:
    """What is in the file of this name in ``folder``, if it is short; judged once it is open.

    Raises:
        ValueError: it cannot be had, or not by its owner alone.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe would wait
    try:
        descriptor = os.open(path.name, flags, dir_fd=folder)
    except OSError as error:
        linked = error.errno == errno.ELOOP
        why = "it is a link, name the file itself" if linked else error.strerror
        raise ValueError(f"{path} cannot be read: {why}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{path} is no plain file")
        if status.st_uid != os.geteuid() and not (handed and status.st_uid == 0):
            raise ValueError(f"{path} belongs to another user: keep a copy of your own")
        # Of a credential the group's bits are the mask of the list that names the service alone.
        if status.st_mode & (_OTHERS & ~stat.S_IRGRP if handed else _OTHERS):
            raise ValueError(f"{path} is open to others: chmod 600 {path}")
        return os.read(descriptor, most) if status.st_size <= most else b""
    finally:
        os.close(descriptor)
