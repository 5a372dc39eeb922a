import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bot.events_file import read_events
from bot.settings import Settings, digest, load

Fundarb = Callable[..., Any]
SHIPPED = Settings(events=read_events())


def test_the_written_file_works_unchanged(fundarb: Fundarb) -> None:
    assert fundarb("config", "init").code == 0
    assert fundarb("config", "check", "fundarb.toml").code == 0
    assert load(Path("fundarb.toml")).settings == SHIPPED


def test_a_file_that_exists_is_replaced_only_by_force(fundarb: Fundarb) -> None:
    mine = Path("mine.toml")
    mine.write_text("# mine\n", encoding="utf-8")

    refused = fundarb("config", "init", "mine.toml")

    assert refused.code == 2
    assert "--force" in refused.err
    assert mine.read_text(encoding="utf-8") == "# mine\n"
    assert fundarb("config", "init", "mine.toml", "--force").code == 0
    assert "[risk]" in mine.read_text(encoding="utf-8")


def test_a_check_prints_the_limits_in_force_and_whence(fundarb: Fundarb) -> None:
    Path("mine.toml").write_text("[risk]\ndaily_loss_max = 0.01\n", encoding="utf-8")

    lines = fundarb("config", "check", "mine.toml").out.splitlines()

    assert any(line.split() == ["daily_loss_max", "0.01", "mine.toml"] for line in lines)
    assert any("drawdown_max" in line and "default.toml" in line for line in lines)


def test_a_misspelt_key_stops_the_check(fundarb: Fundarb) -> None:
    Path("mine.toml").write_text("[risk]\ndaily_los_max = 0.01\n", encoding="utf-8")

    answer = fundarb("config", "check", "mine.toml")

    assert answer.code == 2
    assert answer.err == (
        "error: mine.toml: unknown key 'risk.daily_los_max'; did you mean 'risk.daily_loss_max'?\n"
    )


def test_a_misspelt_key_stops_a_run_before_it_begins(fundarb: Fundarb) -> None:
    Path("mine.toml").write_text("[risk]\ndaily_los_max = 0.01\n", encoding="utf-8")

    answer = fundarb("paper", "--config", "mine.toml", "--for", "1h")

    assert answer.code == 2
    assert not Path("state").exists()


def test_what_is_in_force_is_shown_with_its_source(
    fundarb: Fundarb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FUNDARB_ACCOUNT__CAPITAL", "5000")

    told = json.loads(fundarb("config", "show", "--json", "-").out)

    assert told["settings"]["account"] == {"capital": "5000", "inventory": ""}
    assert told["origins"]["account.capital"] == "FUNDARB_ACCOUNT__CAPITAL"
    assert told["digest"] == digest(SHIPPED)


def test_what_is_shown_names_every_setting(fundarb: Fundarb) -> None:
    shown = fundarb("config", "show").out

    assert all(name.partition(".")[2] in shown for name in load().origins)


def test_a_check_says_until_when_the_calendar_goes_and_what_has_ended(fundarb: Fundarb) -> None:
    row = '[[event]]\nkind = "upgrade"\nat = 2020-01-01T00:00:00Z\nsource = "told"\n'
    Path("mine.toml").write_text('[calendar]\nfile = "events.toml"\n', encoding="utf-8")
    Path("events.toml").write_text(row, encoding="utf-8")

    told = fundarb("config", "check", "mine.toml")

    assert told.code == 0
    assert "calendar: 1 events, upgrade to 2020-01-01" in told.out
    assert "warning: no upgrade is ahead" in told.out


def test_what_somebody_calls_an_event_or_a_file_is_no_markup(fundarb: Fundarb) -> None:
    row = '[[event]]\nkind = "up[/b]grade"\nat = 2020-01-01T00:00:00Z\nsource = "told"\n'
    Path("mine[b].toml").write_text('[calendar]\nfile = "events.toml"\n', encoding="utf-8")
    Path("events.toml").write_text(row, encoding="utf-8")

    told = fundarb("config", "check", "mine[b].toml")

    assert told.code == 0
    assert "warning: no up[/b]grade is ahead" in told.out
    assert "valid: mine[b].toml" in told.out


def test_a_wrong_calendar_is_told_in_one_line_with_file_and_row(fundarb: Fundarb) -> None:
    Path("mine.toml").write_text('[calendar]\nfile = "events.toml"\n', encoding="utf-8")
    Path("events.toml").write_text("[[event]]\n", encoding="utf-8")

    told = fundarb("config", "check", "mine.toml")

    assert told.code == 2
    assert "mine.toml: calendar.file: events.toml: event 1: has to have kind" in told.err
    assert told.err.count("\n") == 1


def test_two_files_are_one_too_many(fundarb: Fundarb) -> None:
    answer = fundarb("config", "show", "a.toml", "--config", "b.toml")

    assert answer.code == 2
    assert "not both" in answer.err
