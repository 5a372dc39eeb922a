"""Whatever a settings file or the environment holds: settings, or SettingsError."""

import math
import os
import string
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.config_files import config_file
from bot.settings import PREFIX, SECTIONS, SettingsError, digest, entries, load
from tests.fuzz.mangled import NUMBERS, damaged, is_long, many

DEFAULTS = config_file("default.toml").read_bytes()
KEYS = [(section, key) for section, kind in SECTIONS.items() for key in kind.__struct_fields__]
ODD = [
    *(str(token) for token in NUMBERS),
    "true", "false", "nan", "inf", "-inf", "+0.0", "-0.0", "1e308", "1e-308", "1e999", "-1", "0",
    "0.5", "1", "2", "9" * 30, "9" * 4301, "0x7fffffffffffffff", "1_000", "[]", "{}", "[nan]",
    "[inf]", "[1]", "{a=1}", "{a=nan}", '""', '"1e999999999999999999"', '"-1e-999999999"',
    '"\\ud800"', '"\\u0000"', "1979-05-27", "1979-05-27T07:32:00Z", "07:32:00", "2025-13-99",
    "'''x\n'''", "[" * 50 + "]" * 50, "[" * 5_000 + "]" * 5_000, "{a=" * 900 + "1" + "}" * 900,
    f'"0x{"ab" * 32}"',
]  # fmt: skip
# In the ordinary mode a sixth of them for each key, another sixth for the next.
STEP = 1 if is_long() else 6
EVERY = [
    (section, key, value)
    for number, (section, key) in enumerate(KEYS)
    for value in ODD[number % STEP :: STEP]
]


@pytest.fixture(autouse=True)
def no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mine.toml"


def judge(path: Path | None) -> None:
    try:
        settings = load(path).settings
    except SettingsError as error:
        text = str(error)
        assert "\n" not in text
        assert len(text) < 2_000
        return
    for section in SECTIONS:
        for value in entries(settings, section).values():
            if isinstance(value, int | float | Decimal):
                assert math.isfinite(value)
    assert len(digest(settings)) == 64


def test_any_odd_value_of_any_key_is_a_setting_or_is_explained(file: Path) -> None:
    for section, key, value in EVERY:
        file.write_text(f"[{section}]\n{key} = {value}\n", encoding="utf-8")
        judge(file)


@many(150)
@given(damaged(DEFAULTS) | st.binary(max_size=40))
@example(b"a." * 5_000 + b"a = 1")
@example(b"[" + b"a." * 5_000 + b"a]")
@example(b"risk = 1")
@example(b"[[risk]]\ndrawdown_max = 1")
@example(b"\xff\xfe")
@example(b"\0")
def test_a_damaged_file_is_settings_or_is_explained(file: Path, body: bytes) -> None:
    file.write_bytes(body)
    judge(file)


@contextmanager
def environment(variables: dict[bytes, bytes]) -> Iterator[None]:
    for name, value in variables.items():
        os.environb[name] = value
    try:
        yield
    finally:
        for name in variables:
            os.environb.pop(name, None)


def names() -> st.SearchStrategy[bytes]:
    known = st.sampled_from([f"{PREFIX}{section}__{key}" for section, key in KEYS])
    word = st.text(string.ascii_letters + "_.é{}", max_size=12)
    section = st.sampled_from([*SECTIONS, "other", ""])
    made = st.builds(lambda a, b, c: f"{PREFIX}{a}__{b}{c}", section, word, word)
    return (known | known | made).map(lambda name: name.upper().encode())


def text_of(value: str) -> bytes:
    return value.strip('"').encode().replace(b"\0", b"")


values = st.sampled_from(ODD).map(text_of) | st.binary(max_size=20).map(
    lambda text: text.replace(b"\0", b"")
)


def test_any_odd_value_of_any_variable_is_a_setting_or_is_explained() -> None:
    for section, key, value in EVERY:
        with environment({f"{PREFIX}{section}__{key}".upper().encode(): text_of(value)}):
            judge(None)


@many(200)
@given(st.dictionaries(names(), values, min_size=1, max_size=3))
@example({b"FUNDARB_RISK": b'{"drawdown_max": "0.1"}'})
@example({b"FUNDARB_RISK__DRAWDOWN_MAX__X": b"1"})
@example({b"FUNDARB_RISK__DRAWDOWN_MAX": b"\xff"})
@example({b"FUNDARB_RISK__DRAWDOWN_MAX": b"{"})
@example({b"FUNDARB_\xff__X": b"1"})
def test_any_variables_are_settings_or_are_explained(variables: dict[bytes, bytes]) -> None:
    with environment(variables):
        judge(None)
