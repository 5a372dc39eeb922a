import os
import re
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.config_files import config_file
from bot.events_file import read_events
from bot.settings import SECTIONS, Settings, SettingsError, digest, entries, load

DEFAULTS = config_file("default.toml")
SHIPPED = Settings(events=read_events())
FACTORS = (Decimal("0.99"), Decimal("1.01"))
Write = Callable[[str], Path]
KEYS = [(section, key) for section, kind in SECTIONS.items() for key in kind.__struct_fields__]


@pytest.fixture(autouse=True)
def no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("FUNDARB_"):
            monkeypatch.delenv(name)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        file = tmp_path / "mine.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return write


def complaint(file: Path | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load(file)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_shipped_file_says_what_the_code_would_do_without_it() -> None:
    assert load().settings == SHIPPED


def test_the_shipped_file_has_every_key_and_no_other() -> None:
    shipped = tomlkit.parse(DEFAULTS.read_text(encoding="utf-8")).unwrap()

    assert [(section, key) for section in shipped for key in shipped[section]] == KEYS


def test_every_shipped_key_is_explained_right_above_it() -> None:
    lines = DEFAULTS.read_text(encoding="utf-8").splitlines()
    unexplained = [
        line
        for before, line in pairwise(lines)
        if re.match(r"\w+ = ", line) and not before.startswith("# ")
    ]

    assert unexplained == []


@pytest.mark.parametrize("name", ["paper.toml", "live.example.toml"])
def test_every_shipped_profile_is_valid(name: str) -> None:
    load(config_file(name))


def test_a_file_changes_only_the_keys_that_it_names(write: Write) -> None:
    loaded = load(write("[risk]\ndaily_loss_max = 0.01\n"))

    assert loaded.settings.risk == msgspec.structs.replace(
        Settings().risk, daily_loss_max=Decimal("0.01")
    )
    assert loaded.settings.execution == Settings().execution


def test_the_environment_wins_over_the_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUNDARB_RISK__DAILY_LOSS_MAX", "0.02")

    loaded = load(write("[risk]\ndaily_loss_max = 0.01\n"))

    assert loaded.settings.risk.daily_loss_max == Decimal("0.02")


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_every_setting_can_be_set_by_a_variable(
    monkeypatch: pytest.MonkeyPatch, section: str, key: str
) -> None:
    value = getattr(getattr(Settings(), section), key)
    wanted = another(section, key, value)
    monkeypatch.setenv(f"FUNDARB_{section}__{key}".upper(), str(getattr(wanted, key)))

    assert getattr(load().settings, section) == wanted


def test_every_setting_names_where_it_is_from(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FUNDARB_ACCOUNT__CAPITAL", "5000.10")
    file = write("[metrics]\nport = 0\n")

    origins = load(file).origins

    assert origins["account.capital"] == "FUNDARB_ACCOUNT__CAPITAL"
    assert origins["metrics.port"] == str(file)
    assert origins["risk.daily_loss_max"] == str(DEFAULTS)
    assert origins.keys() == {f"{section}.{key}" for section, key in KEYS}


def test_money_from_a_file_or_the_environment_is_exact(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load(write("[account]\ncapital = 0.1\n")).settings.account.capital == Decimal("0.1")
    monkeypatch.setenv("FUNDARB_ACCOUNT__CAPITAL", "10000.01")

    assert load().settings.account.capital == Decimal("10000.01")


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("[risk]\ndaily_los_max = 0.1\n", "risk.daily_loss_max"),
        ("[execution]\ndaily_loss_max = 0.1\n", "risk.daily_loss_max"),
        ("daily_loss_max = 0.1\n", "risk.daily_loss_max"),
        ("[rsk]\ndaily_loss_max = 0.1\n", "risk"),
    ],
)
def test_an_unknown_key_is_named_with_its_file_and_the_nearest_valid_one(
    write: Write, text: str, nearest: str
) -> None:
    file = write(text)

    message = complaint(file)

    assert message.startswith(f"{file}: unknown ")
    assert message.endswith(f"did you mean '{nearest}'?")


@settings(max_examples=30)
@given(st.sampled_from(KEYS), st.data())
def test_a_key_with_a_letter_missing_is_never_accepted(
    tmp_path_factory: pytest.TempPathFactory, name: tuple[str, str], data: st.DataObject
) -> None:
    section, key = name
    cut = data.draw(st.integers(0, len(key) - 1))
    file = tmp_path_factory.mktemp("settings") / "mine.toml"
    file.write_text(f"[{section}]\n{(key[:cut] + key[cut + 1 :]) or 'x'} = 1\n", encoding="utf-8")

    assert str(file) in complaint(file)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('daily_loss_max = "much"', "risk.daily_loss_max: expected a number, got text"),
        ("daily_loss_max = true", "risk.daily_loss_max: expected a number, got true or false"),
        ("daily_loss_max = [1]", "risk.daily_loss_max: expected a number, got a list"),
        ("daily_loss_max = -0.1", "risk.daily_loss_max: must be a positive number, got -0.1"),
        ("daily_loss_max = nan", "risk.daily_loss_max: must be a finite number"),
        ("daily_loss_max = inf", "risk.daily_loss_max: must be a finite number"),
        ("orders_per_minute_max = 1.5", "risk.orders_per_minute_max: expected a whole number"),
    ],
)
def test_a_wrong_value_is_told_in_one_line_with_its_key_and_file(
    write: Write, line: str, says: str
) -> None:
    file = write(f"[risk]\n{line}\n")

    assert complaint(file).startswith(f"{file}: {says}")


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_no_setting_may_be_negative(write: Write, section: str, key: str) -> None:
    if not isinstance(getattr(getattr(Settings(), section), key), int | float | Decimal):
        pytest.skip("not a number")
    file = write(f"[{section}]\n{key} = -1\n")

    assert f"{section}.{key}" in complaint(file)


def test_a_contradiction_is_told_at_the_file_that_made_it(write: Write) -> None:
    file = write("[execution]\nslippage_bps_max = 400\n")

    assert complaint(file).startswith(f"{file}: execution.")


@pytest.mark.parametrize("text", ["[risk\n", "risk = 3\n", "a = 1 = 2\n", '\x00"'])
def test_a_broken_file_is_told_in_one_line(write: Write, text: str) -> None:
    file = write(text)

    assert str(file) in complaint(file)


def test_a_file_that_is_not_text_is_told_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_bytes(b"\xff\xfe\x00")

    assert str(file) in complaint(file)


def test_a_missing_file_is_told_with_the_command_that_writes_one(tmp_path: Path) -> None:
    assert "fundarb config init" in complaint(tmp_path / "none.toml")


@pytest.mark.parametrize(
    "text",
    [
        '[account]\nprivate_key = "SECRET"\n',
        'api_key = "SECRET"\n',
        '[exchange]\npassword = "SECRET"\n',
        '[risk]\nmnemonic = "SECRET"\n',
        f'[account]\ncapital = "0x{"5ec7e7" * 10}ffff"\n',
    ],
)
def test_a_secret_in_a_file_is_refused_and_never_repeated(write: Write, text: str) -> None:
    message = complaint(write(text))

    assert "no secret belongs in settings" in message
    assert "SECRET" not in message
    assert "5ec7e7" not in message


@pytest.mark.parametrize(
    "name", ["FUNDARB_RISK_DAILY_LOSS_MAX", "FUNDARB_RSK__DAILY_LOSS_MAX", "FUNDARB_DEBUG"]
)
def test_a_variable_that_sets_nothing_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "1")

    assert name in complaint()


def test_a_misspelt_variable_is_named_with_the_nearest_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FUNDARB_RISK__DAILY_LOSS", "0.1")

    message = complaint()

    assert message.startswith("FUNDARB_RISK__DAILY_LOSS: unknown key")
    assert "'risk.daily_loss_max'" in message


def test_the_digest_does_not_depend_on_how_a_number_is_written(write: Write) -> None:
    one = digest(load(write("[risk]\ndaily_loss_max = 0.030\n")).settings)
    other = digest(load(write('[risk]\ndaily_loss_max = "3E-2"\n')).settings)

    assert one == other == digest(SHIPPED)


def another(section: str, key: str, value: Decimal | float | str) -> Any:
    """The section with one key a little different, and valid."""
    part = getattr(Settings(), section)
    if isinstance(value, bool):
        return msgspec.structs.replace(part, **{key: not value})
    if isinstance(value, str):
        texts = {
            "public_url": "https://bot.example", "network": "testnet",
            "read": "1, 22", "control": "333", "url": "https://api.example",
            "file": str(config_file("events.toml")), "name": "hedge", "inventory": "HYPE:1.5",
        }  # fmt: skip
        return msgspec.structs.replace(part, **{key: texts.get(key, "127.0.0.2")})
    steps = [value + 1, value - 1]
    if not isinstance(value, int):
        steps = [type(value)(Decimal(repr(float(value))) * factor) for factor in FACTORS]
    for candidate in steps:
        with suppress(ValueError):
            return msgspec.structs.replace(part, **{key: candidate})
    raise AssertionError(key)


@pytest.mark.parametrize(
    "section", ["strategy", "hedge", "mean_reversion", "breakout", "risk", "execution", "paper"]
)
def test_the_digest_changes_with_every_key_that_decides(section: str) -> None:
    for key, value in entries(Settings(), section).items():
        changed = another(section, key, value)

        assert digest(msgspec.structs.replace(Settings(), **{section: changed})) != digest(
            Settings()
        ), key


def test_the_digest_leaves_out_what_decides_nothing(write: Write) -> None:
    other = '[metrics]\nport = 0\n[web]\nport = 0\n[telegram]\nread = "1"\n[account]\ncapital = 7\n'
    loaded = load(write(other + '[live]\nnetwork = "testnet"\n'))

    assert digest(loaded.settings) == digest(SHIPPED)
