"""The two tokens: what they are made of, whose they are, and how they are compared."""

import base64
import os
import threading
from pathlib import Path

import pytest

import bot.web.tokens
from bot.web.tokens import Scope, TokenError, Tokens


def test_a_token_is_256_bits_of_chance(tmp_path: Path) -> None:
    drawn = set()
    for at in range(20):
        (folder := tmp_path / str(at)).mkdir()
        tokens = Tokens(folder)
        drawn |= {tokens.of(scope) for scope in Scope}

    decoded = [base64.urlsafe_b64decode(token + "=") for token in drawn]
    assert len(decoded) == 40
    assert {len(token) for token in decoded} == {32}
    assert all(len(set(column)) > 10 for column in zip(*decoded, strict=True))


def test_it_stays_the_same_until_it_is_replaced(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    before = tokens.of(Scope.CONTROL)

    assert Tokens(tmp_path).of(Scope.CONTROL) == before
    tokens.replace()
    assert tokens.scope_of(f"Bearer {before}") is None
    assert tokens.of(Scope.CONTROL) != before


def test_all_who_make_it_at_once_have_the_same(tmp_path: Path) -> None:
    made: list[str] = []
    makers = [
        threading.Thread(target=lambda: made.append(Tokens(tmp_path).of(Scope.READ)))
        for _ in range(8)
    ]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()

    assert len(set(made)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["read.token"]


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o666])
def test_a_token_that_others_can_read_is_none(tmp_path: Path, mode: int) -> None:
    tokens = Tokens(tmp_path)
    good = tokens.of(Scope.CONTROL)
    (tmp_path / "control.token").chmod(mode)

    with pytest.raises(TokenError, match="open to others: remove it"):
        tokens.scope_of(f"Bearer {good}")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_a_token_that_is_somebody_elses_is_none(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    good = tokens.of(Scope.CONTROL)
    os.chown(tmp_path / "control.token", 65_534, -1)

    with pytest.raises(TokenError, match="open to others: remove it"):
        tokens.scope_of(f"Bearer {good}")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("x" * 43)
    (tmp_path / "elsewhere").chmod(0o600)
    (tmp_path / "control.token").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match="symbolic link"):
        Tokens(tmp_path).of(Scope.CONTROL)


@pytest.mark.parametrize("content", ["", "short", "x" * 31, "x" * 201, "x" * 5000, "é" * 43])
def test_what_is_no_token_lets_nobody_in(tmp_path: Path, content: str) -> None:
    tokens = Tokens(tmp_path)
    tokens.of(Scope.READ)
    tokens.of(Scope.CONTROL)
    (tmp_path / "control.token").write_text(content)

    with pytest.raises(TokenError, match="holds no token"):
        tokens.of(Scope.CONTROL)


def test_a_pipe_in_the_place_of_a_token_makes_nobody_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "read.token", 0o600)

    with pytest.raises(TokenError, match="holds no token"):
        Tokens(tmp_path).of(Scope.READ)


def test_a_token_is_compared_in_the_same_time_however_much_of_it_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []

    def compare(given: bytes, kept: bytes) -> bool:
        compared.append(given)
        return given == kept

    monkeypatch.setattr(bot.web.tokens, "compare_digest", compare)

    assert Tokens(tmp_path).scope_of("Bearer wrong") is None
    assert compared == [b"wrong"] * 2
