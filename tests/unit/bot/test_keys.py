"""Which key files are taken, and that no part of a key is ever in what is said of the others."""

import json
import os
import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pytest
from eth_keyfile.keyfile import create_keyfile_json
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.keys import ORDER, key_in, key_of, nobody
from execution.venues.hyperliquid.sign import AgentSigner

KEY = bytes.fromhex("3b7e91c04d5fa2886013de47b9f0c6ae5518d2937c04fbe16a89205dc7f3b41e")


def holding(folder: Path, content: str | bytes = KEY.hex(), mode: int = 0o600) -> Path:
    path = folder / "agent.key"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return path


def complaint(path: Path) -> str:
    with pytest.raises(ValueError, match=r"\w") as told:
        key_of(str(path), nobody)
    assert told.value.__cause__ is None
    return str(told.value)


@pytest.mark.parametrize(
    "content",
    [KEY.hex(), f"0x{KEY.hex()}", f"{KEY.hex().upper()}\n", f"  0x{KEY.hex()}\r\n"],
)
@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_file_of_64_hex_digits_that_is_its_owners_alone_is_a_key(
    tmp_path: Path, content: str, mode: int
) -> None:
    assert key_of(str(holding(tmp_path, content, mode)), nobody) == KEY


@pytest.mark.parametrize("bit", [1 << n for n in range(6)])
def test_a_file_on_which_others_have_any_right_is_refused(tmp_path: Path, bit: int) -> None:
    path = holding(tmp_path, mode=0o600 | bit)

    assert complaint(path) == f"{path} is open to others: chmod 600 {path}"


def test_a_directory_in_which_everybody_may_write_is_refused(tmp_path: Path) -> None:
    path = holding(tmp_path)
    tmp_path.chmod(0o1777)  # a sticky one too: the file could have been put there

    assert f"everybody may write in {tmp_path}" in complaint(path)


def test_a_directory_that_others_may_read_is_taken(tmp_path: Path) -> None:
    path = holding(tmp_path)
    tmp_path.chmod(0o755)

    assert key_of(str(path), nobody) == KEY


def test_a_link_is_refused_though_it_leads_to_a_key(tmp_path: Path) -> None:
    path = holding(tmp_path)
    (tmp_path / "link").symlink_to(path)

    assert "it is a link" in complaint(tmp_path / "link")


def a_directory(path: Path) -> None:
    path.mkdir()


def a_pipe(path: Path) -> None:
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize("made", [a_directory, a_pipe])
def test_what_is_no_plain_file_is_refused_at_once(
    tmp_path: Path, made: Callable[[Path], None]
) -> None:
    made(tmp_path / "it")

    assert complaint(tmp_path / "it") == f"{tmp_path / 'it'} is no plain file"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = holding(tmp_path)
    os.chown(path, 65_534, -1)

    assert "belongs to another user" in complaint(path)


@pytest.mark.parametrize("name", ["missing.key", "no/such/folder/agent.key"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    assert complaint(tmp_path / name) == (
        f"{tmp_path / name} cannot be read: No such file or directory"
    )


def test_a_key_given_in_place_of_a_file_is_not_repeated() -> None:
    assert KEY.hex()[:12] not in complaint(Path(KEY.hex()))
    assert KEY.hex()[:12] not in complaint(Path(f"0x{KEY.hex()}"))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "0" * 64,
        f"{ORDER:064x}",
        "f" * 64,
        KEY,
        KEY.hex()[:-1],
        KEY.hex() + "0",
        KEY.hex() + " # mine",
        f"key = {KEY.hex()}",
        f"{KEY.hex()}\n{KEY.hex()}",
        KEY.hex() + " " * 300,
        KEY.hex()[:-1] + "g",
    ],
)
def test_a_file_that_holds_anything_else_is_refused(tmp_path: Path, content: str | bytes) -> None:
    path = holding(tmp_path, content)

    assert complaint(path).startswith(f"{path} holds no key")


def test_the_largest_and_the_smallest_key_are_keys(tmp_path: Path) -> None:
    for number in (1, ORDER - 1):
        key = key_of(str(holding(tmp_path, f"{number:064x}")), nobody)
        assert re.fullmatch("0x[0-9a-f]{40}", AgentSigner(key, is_mainnet=False).address)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    key=st.integers(1, ORDER - 1).map(lambda number: f"{number:064x}"),
    before=st.sampled_from(["", "key=", "0x0x", "\ufeff"]),
    after=st.sampled_from(["!", "00", " x", "\n\n1"]),
)
def test_no_part_of_a_key_is_in_what_is_said_of_its_file(
    tmp_path: Path, key: str, before: str, after: str
) -> None:
    said = complaint(holding(tmp_path, before + key + after))

    assert not any(key[at : at + 8] in said for at in range(57))
    assert b64encode(bytes.fromhex(key)).decode()[:8] not in said


# A keystore


PASSPHRASE = "correct horse"


LEAST = {"pbkdf2": 100_000, "scrypt": 2**14}  # of scrypt n, with r 8 and p 1


@cache
def keystore(kdf: Literal["pbkdf2", "scrypt"] = "pbkdf2", iterations: int | None = None) -> bytes:
    """Version 3, as wallets write it, at the least cost that is taken."""
    secret: Any = PASSPHRASE.encode()
    cost = LEAST[kdf] if iterations is None else iterations
    return json.dumps(create_keyfile_json(KEY, secret, kdf=kdf, iterations=cost)).encode()


@pytest.mark.parametrize("kdf", ["pbkdf2", "scrypt"])
def test_a_keystore_is_opened_by_its_passphrase(
    tmp_path: Path, kdf: Literal["pbkdf2", "scrypt"]
) -> None:
    path = holding(tmp_path, keystore(kdf))
    asked: list[str] = []

    def ask(of: str) -> str:
        asked.append(of)
        return PASSPHRASE

    assert key_of(str(path), ask) == KEY
    assert asked == [str(path)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (keystore(), "wrong"),
        (b'{"version": 3}', "no keystore of version 3"),
        (b"{not json", "no keystore of version 3"),
        (keystore()[:-20], "no keystore of version 3"),
    ],
)
def test_another_passphrase_or_another_file_opens_nothing(
    tmp_path: Path, content: bytes, said: str
) -> None:
    with pytest.raises(ValueError, match=said) as told:
        key_of(str(holding(tmp_path, content)), lambda _: "wrong horse")

    assert told.value.__cause__ is None
    assert told.value.__suppress_context__
    assert "horse" not in str(told.value)


@pytest.mark.parametrize(("kdf", "cost"), [("pbkdf2", 99_999), ("scrypt", 2**13)])
def test_a_keystore_whose_passphrase_is_cheap_to_guess_is_refused(
    tmp_path: Path, kdf: Literal["pbkdf2", "scrypt"], cost: int
) -> None:
    with pytest.raises(ValueError, match="could be guessed") as told:
        key_of(str(holding(tmp_path, keystore(kdf, cost))), lambda _: PASSPHRASE)

    assert KEY.hex()[:12] not in str(told.value)


def test_who_has_read_a_key_leaves_no_image_of_its_memory(tmp_path: Path) -> None:
    code = (
        "import ctypes, resource, sys; from bot.keys import key_of, nobody\n"
        "said = lambda: print(resource.getrlimit(resource.RLIMIT_CORE),"
        " ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))\n"  # PR_GET_DUMPABLE
        "said()\n"
        "key_of(sys.argv[1], nobody); said()"
    )
    command = [sys.executable, "-c", code, str(holding(tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    before, after = done.stdout.splitlines()
    assert before.endswith(" 1")
    assert after == "(0, 0) 0"


def test_a_keystore_is_its_owners_alone_too(tmp_path: Path) -> None:
    path = holding(tmp_path, keystore(), 0o640)

    with pytest.raises(ValueError, match="is open to others"):
        key_of(str(path), lambda _: PASSPHRASE)


def test_where_nobody_can_type_a_keystore_says_what_a_service_takes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a service takes credential:NAME"):
        key_of(str(holding(tmp_path, keystore())), nobody)


# A credential of systemd


def credential(folder: Path, monkeypatch: pytest.MonkeyPatch, mode: int = 0o400) -> None:
    path = folder / "trader"
    path.write_text(KEY.hex())
    path.chmod(mode)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))


@pytest.mark.parametrize(
    "mode", [0o400, 0o440]
)  # with an access list the group's bits are its mask
def test_a_credential_is_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int) -> None:
    credential(tmp_path, monkeypatch, mode)

    assert key_of("credential:trader", lambda _: "") == KEY


@pytest.mark.parametrize("name", ["", "../trader", "/etc/passwd", ".hidden", KEY.hex(), "a b"])
def test_a_name_that_is_none_is_refused_and_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    credential(tmp_path, monkeypatch)

    with pytest.raises(ValueError, match="not a credential's name") as told:
        key_of(f"credential:{name}", lambda _: "")
    assert KEY.hex() not in str(told.value)


def test_a_credential_open_to_everybody_or_a_link_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credential(tmp_path, monkeypatch, 0o444)
    (tmp_path / "linked").symlink_to(tmp_path / "trader")

    with pytest.raises(ValueError, match="is open to everybody"):
        key_of("credential:trader", lambda _: "")
    with pytest.raises(ValueError, match="credential:linked cannot be read"):
        key_of("credential:linked", lambda _: "")
    with pytest.raises(ValueError, match="credential:other cannot be read: No such file"):
        key_of("credential:other", lambda _: "")


def test_without_systemd_there_is_no_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)

    with pytest.raises(
        ValueError, match="LoadCredential=trader:FILE belongs into its systemd unit"
    ):
        key_of("credential:trader", lambda _: "")


# What a person types


def test_what_is_typed_is_a_key_or_is_not_repeated() -> None:
    assert key_in(f" 0x{KEY.hex()} ") == KEY
    for typed in (KEY.hex()[1:], KEY.hex() + "0", "word " * 12, "0" * 64):
        with pytest.raises(ValueError, match="what was typed holds no key") as told:
            key_in(typed)
        assert typed.strip() not in str(told.value)
