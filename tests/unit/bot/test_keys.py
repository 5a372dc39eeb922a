"""Which key files are taken, and that no part of a key is ever in what is said of the others."""

import os
import re
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.keys import ORDER, read_key
from execution.venues.hyperliquid.sign import AgentSigner

KEY = bytes.fromhex("3b7e91c04d5fa2886013de47b9f0c6ae5518d2937c04fbe16a89205dc7f3b41e")


def holding(folder: Path, content: str | bytes = KEY.hex(), mode: int = 0o600) -> Path:
    path = folder / "agent.key"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return path


def complaint(path: Path) -> str:
    with pytest.raises(ValueError, match=r"\w") as told:
        read_key(path)
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
    assert read_key(holding(tmp_path, content, mode)) == KEY


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

    assert read_key(path) == KEY


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
        key = read_key(holding(tmp_path, f"{number:064x}"))
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


def test_a_credential_of_systemds_may_be_open_to_the_service_and_to_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = holding(tmp_path, mode=0o440)
    assert "is open to others" in complaint(path)

    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "elsewhere"))
    assert "is open to others" in complaint(path)

    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_key(path) == KEY
    for mode in (0o444, 0o460, 0o442):
        path.chmod(mode)
        assert "is open to others" in complaint(path)
