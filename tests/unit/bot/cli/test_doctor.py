import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Fundarb = Callable[..., Any]


def findings(fundarb: Fundarb, *words: str) -> tuple[int, dict[str, dict[str, str]]]:
    answer = fundarb("doctor", *words, "--json", "-")
    told = json.loads(answer.out)
    assert told["ok"] == (answer.code == 0)
    return answer.code, {check["check"]: check for check in told["checks"]}


def test_every_line_has_a_verdict(fundarb: Fundarb) -> None:
    lines = fundarb("doctor").out.splitlines()

    assert len(lines) >= 6
    assert all(line.split()[0] in {"ok", "warning", "failed"} for line in lines)


def test_what_is_wrong_comes_with_its_remedy(fundarb: Fundarb, tmp_path: Path) -> None:
    code, found = findings(fundarb, "--data", str(tmp_path))

    assert code == 3
    assert found["history"]["status"] == "failed"
    assert "prices/" in found["history"]["fix"]


def test_wrong_settings_are_found(fundarb: Fundarb) -> None:
    Path("mine.toml").write_text("[risk]\nx = 1\n", encoding="utf-8")

    code, found = findings(fundarb, "--config", "mine.toml")

    assert code == 3
    assert "unknown key 'risk.x'" in found["settings"]["detail"]


ENDED = '[[event]]\nkind = "upgrade"\nat = 2020-01-01T00:00:00Z\nsource = "told"\n'


def test_a_calendar_that_has_run_out_is_a_warning_with_its_remedy(fundarb: Fundarb) -> None:
    Path("mine.toml").write_text('[calendar]\nfile = "events.toml"\n', encoding="utf-8")
    Path("events.toml").write_text(ENDED, encoding="utf-8")
    code, found = findings(fundarb, "--config", "mine.toml")

    assert (code, found["calendar"]["status"]) == (0, "warning")
    assert "no upgrade is ahead any more" in found["calendar"]["detail"]
    assert "calendar.file" in found["calendar"]["fix"]
    Path("events.toml").write_text(ENDED.replace("2020", "2260"), encoding="utf-8")
    _, found = findings(fundarb, "--config", "mine.toml")
    assert found["calendar"]["detail"] == "1 events, upgrade to 2260-01-01"


def test_a_state_directory_that_is_a_file_is_found(fundarb: Fundarb) -> None:
    Path("state").write_text("", encoding="utf-8")

    code, found = findings(fundarb)

    assert code == 3
    assert found["state"]["status"] == "failed"


def test_a_state_directory_open_to_others_is_warned_of(fundarb: Fundarb) -> None:
    Path("shown").mkdir(mode=0o755)
    Path("shown").chmod(0o755)

    _, found = findings(fundarb, "--state", "shown")

    assert found["state"]["status"] == "warning"
    assert found["state"]["fix"] == "chmod 700 shown"


def test_a_private_state_directory_is_fine(fundarb: Fundarb) -> None:
    Path("mine").mkdir(mode=0o700)

    _, found = findings(fundarb, "--state", "mine")

    assert found["state"]["status"] == "ok"


def test_a_taken_port_is_warned_of(fundarb: Fundarb, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("FUNDARB_METRICS__PORT", str(taken.getsockname()[1]))

        _, found = findings(fundarb)

    assert found["port"]["status"] == "warning"


def test_recorded_history_is_counted(fundarb: Fundarb, shared_data: Path) -> None:
    _, found = findings(fundarb, "--data", str(shared_data))

    assert found["history"]["status"] == "ok"
    assert "hyperliquid" in found["history"]["detail"]
