"""A key, from a file that is its owner's alone, an encrypted keystore, or a credential of systemd.

What is refused is told by the file's name and never by what is in it: no message of this
module, and no exception it chains, has a part of the key. A process that has read one leaves no
image of its memory: nothing is dumped should it crash, and no other process of its user's may look
into it.
"""

import errno
import os
import re
import resource
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
"""Of the curve secp256k1: a key is a number from 1 to this, less one."""
_KEY_BYTES_MAX, _BYTES_MAX = 256, 4_096  # of hex digits; of a keystore
_SCRYPT_LEAST, _PBKDF2_LEAST = 2**17, 100_000
"""What a keystore's passphrase has to cost who guesses it: n times r times p, or rounds."""
_PR_SET_DUMPABLE = 4
_CREDENTIAL = "credential:"
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_HEX = re.compile(rb"\s*(?:0x)?([0-9a-fA-F]{64})\s*")
_LOOKS_LIKE_A_KEY = re.compile(r"(?:0x)?[0-9a-fA-F]{64}")


def key_of(source: str, ask: Callable[[str], str]) -> bytes:
    """The 32 bytes of a key. ``source``: a file, or ``credential:NAME`` of the service's own.

    ``ask`` gets the passphrase of a keystore from a person; it is told what for.

    It holds 64 hex digits, with or without ``0x``, and no more; or an encrypted keystore (JSON,
    version 3), whose passphrase is asked for.

    Raises:
        ValueError: it does not, or the file is not its owner's alone (``private_content``), or the
            passphrase is wrong. One sentence: what is wrong, and what to do.
    """
    if _LOOKS_LIKE_A_KEY.fullmatch(Path(source).name):
        raise ValueError(
            "this is a key, not the name of a file that holds one; whoever could see the "
            "command line knows it now: replace it"
        )
    return _key(source, private_content(source, _BYTES_MAX), ask)


def key_in(text: str) -> bytes:
    """The 32 bytes of a key that somebody typed.

    Raises:
        ValueError: it is none; what was typed is not repeated.
    """
    return _key("what was typed", text.encode(), nobody)


def nobody(_of: str) -> NoReturn:
    """Of a passphrase: raises ValueError."""
    raise ValueError("it is encrypted, and nobody is there to type its passphrase")


def private_content(source: str, most: int) -> bytes:
    """What is in a file that is its owner's alone, or in the credential of ``credential:NAME``;
    nothing where it is longer than ``most``.

    Raises:
        ValueError: it cannot be read, or others may read it or put another in its place.
    """
    if source.startswith(_CREDENTIAL):
        return _credential(source.removeprefix(_CREDENTIAL), most)
    return _in_file(Path(source), most)


def _in_file(path: Path, most: int) -> bytes:
    """The file must be a plain one, no link, the user's own, closed to everybody else, and in a
    directory in which not everybody may put another in its place."""
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    try:
        if os.fstat(folder).st_mode & stat.S_IWOTH:
            raise ValueError(
                f"everybody may write in {path.parent}: keep {path.name} in a directory of your own"
            )
        return _content(path, folder, most)
    finally:
        os.close(folder)


def _key(where: str, content: bytes, ask: Callable[[str], str]) -> bytes:
    found = _HEX.fullmatch(content) if len(content) <= _KEY_BYTES_MAX else None
    if content.lstrip().startswith(b"{"):
        key = _decrypted(where, content, ask)
    else:
        key = bytes.fromhex(found[1].decode()) if found else b""
    if not 0 < int.from_bytes(key) < ORDER:
        raise ValueError(f"{where} holds no key: 64 hex digits are one, with nothing else there")
    _keep_memory_private()
    return key


def _keep_memory_private() -> None:
    import ctypes

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _decrypted(where: str, content: bytes, ask: Callable[[str], str]) -> bytes:
    import msgspec
    from eth_keyfile.keyfile import decode_keyfile_json  # only who has one waits for it

    try:
        passphrase = ask(where)
    except ValueError as error:
        raise ValueError(
            f"{where}: {error}; a service takes credential:NAME, which systemd keeps encrypted"
        ) from None
    try:
        keystore = msgspec.json.decode(content, type=dict)
        cheap = _is_cheap(keystore["crypto"]["kdfparams"])
        secret: Any = passphrase.encode()  # bytes, whatever the library's annotation says
        key = bytes(decode_keyfile_json(keystore, secret))
    except Exception:  # noqa: BLE001 - whatever it raises may quote the keystore
        reason = "the passphrase is wrong, or it is no keystore of version 3"
        raise ValueError(f"{where}: {reason}") from None
    if cheap:
        raise ValueError(
            f"{where}: its passphrase could be guessed, a try costs too little: make it anew, by "
            f"scrypt with n·r·p of {_SCRYPT_LEAST} or PBKDF2 with {_PBKDF2_LEAST} rounds at least"
        )
    return key


def _is_cheap(parameters: dict[str, Any]) -> bool:
    """Of how the passphrase was made a key: ``n``, ``r`` and ``p`` of scrypt, or ``c`` rounds."""
    if "n" in parameters:
        cost: int = parameters["n"] * parameters["r"] * parameters["p"]
        return cost < _SCRYPT_LEAST
    return bool(parameters["c"] < _PBKDF2_LEAST)


def _credential(name: str, most: int) -> bytes:
    """What systemd put there for this service alone (LoadCredential=, LoadCredentialEncrypted=)."""
    if not _NAME.fullmatch(name) or _LOOKS_LIKE_A_KEY.fullmatch(name):
        raise ValueError("not a credential's name: letters, digits, dots and hyphens are one")
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise ValueError(
            f"credential:{name}: this process was given none: LoadCredential={name}:FILE belongs "
            "into its systemd unit"
        )
    path = Path(folder) / name
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ValueError(f"credential:{name} cannot be read: {error.strerror}") from None
    try:
        status = os.fstat(descriptor)
        # Of root, and readable for the service's user by an access list: hence no check of groups.
        if not stat.S_ISREG(status.st_mode) or status.st_uid not in (0, os.geteuid()):
            raise ValueError(f"credential:{name} is no file of systemd's")
        if status.st_mode & stat.S_IRWXO:
            raise ValueError(f"credential:{name} is open to everybody: that is none of systemd's")
        return os.read(descriptor, most) if status.st_size <= most else b""
    finally:
        os.close(descriptor)


def _content(path: Path, folder: int, most: int) -> bytes:
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
        if status.st_uid != os.geteuid():
            raise ValueError(f"{path} belongs to another user: keep a copy of your own")
        if status.st_mode & _OTHERS:
            raise ValueError(f"{path} is open to others: chmod 600 {path}")
        return os.read(descriptor, most) if status.st_size <= most else b""
    finally:
        os.close(descriptor)
