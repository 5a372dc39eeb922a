"""What becomes a message, how often, and that it arrives in the end."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import pytest

from bot.alarms import AlarmFile, put_aside
from bot.notify import (
    CRITICAL,
    INFO,
    WAITING_MAX,
    Message,
    Notifier,
    Outbox,
    Severity,
    plan,
    redacted,
    retried,
    severity_of,
)
from bot.settings import Notify
from domain.time import HOUR, MINUTE, SECOND
from execution.effects import RaiseAlarm
from execution.recorder import ALARMS

ROOT = Path(__file__).resolve().parents[3]
POLICY = Notify(repeat_minutes=30, per_hour_max=3)
NOW = 1_000 * HOUR


def alarm(name: str, detail: str = "HYPE#1: spot 2, perp 0 for 5 s") -> RaiseAlarm:
    return RaiseAlarm(name, detail, NOW)


def titles(outbox: Outbox) -> list[str]:
    return [message.title for message in outbox.waiting]


def test_a_trouble_that_goes_on_is_told_once_and_again_half_an_hour_later() -> None:
    outbox = Outbox()
    for minute in range(35):
        detail = f"HYPE#1: spot 2, perp 0 for {60 * minute} s"
        outbox = plan(outbox, [alarm("naked_leg", detail)], NOW + minute * MINUTE, POLICY, 1)

    assert titles(outbox) == ["naked_leg", "naked_leg"]
    assert "(and 29 times more since it was last told)" in outbox.waiting[1].body


def test_two_troubles_are_two_messages() -> None:
    outbox = plan(
        Outbox(), [alarm("silent", "nothing from public"), alarm("silent", "nothing from account")],
        NOW, POLICY, 1,
    )  # fmt: skip

    assert titles(outbox) == ["silent", "silent"]


def test_a_storm_of_warnings_becomes_one_summary_and_hides_nothing_critical() -> None:
    storm = [alarm("margin_guard", f"pair {letter}") for letter in "abcdefgh"]
    outbox = plan(Outbox(), [*storm, alarm("naked_leg")], NOW, POLICY, 1)
    assert titles(outbox) == ["margin_guard"] * 3 + ["naked_leg"]
    assert outbox.waiting[-1].severity is Severity.CRITICAL

    later = plan(outbox, [], NOW + 61 * MINUTE, POLICY, 1)
    assert later.waiting[-1].body == "margin_guard 5"
    assert plan(later, [], NOW + 62 * MINUTE, POLICY, 1).waiting == later.waiting


def test_what_is_critical_takes_no_place_of_the_others() -> None:
    critical = [alarm("naked_leg", f"pair {letter}") for letter in "abcdefgh"]
    outbox = plan(Outbox(), [*critical, alarm("margin_guard")], NOW, POLICY, 1)

    assert titles(outbox) == ["naked_leg"] * 8 + ["margin_guard"]


def test_what_does_not_arrive_is_bounded_and_what_is_critical_is_kept_longest() -> None:
    many = [
        alarm("margin_guard" if n % 2 else "naked_leg", "".join(chr(97 + int(d)) for d in str(n)))
        for n in range(3 * WAITING_MAX)
    ]
    outbox = plan(Outbox(), many, NOW, Notify(per_hour_max=10_000), 1)

    assert len(outbox.waiting) == WAITING_MAX
    assert outbox.given_up == 2 * WAITING_MAX
    assert {message.severity for message in outbox.waiting} == {Severity.CRITICAL}


def test_severity_is_by_name_or_as_alertmanager_says() -> None:
    assert severity_of(alarm("naked_leg")) is Severity.CRITICAL
    assert severity_of(alarm("watchdog_neutral")) is Severity.INFO
    assert severity_of(alarm("margin_guard")) is Severity.WARNING
    assert severity_of(alarm("FundarbDown", "critical: it is down")) is Severity.CRITICAL
    assert severity_of(alarm("FundarbDown", "info: over: it is down")) is Severity.INFO


def test_what_is_told_by_its_name_is_raised_by_that_name() -> None:
    assert {*ALARMS, "digest", "test"} >= CRITICAL | INFO


def test_the_pause_after_a_failure_doubles_to_five_minutes() -> None:
    message, pauses = Message(Severity.INFO, "x", "", NOW, (0,)), []
    for _ in range(8):
        message = retried(message, (0,), NOW)
        pauses.append((message.not_before_ns - NOW) // SECOND)

    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300]


# --- the process's own file ------------------------------------------------------------------


class Road:
    """A channel that can be cut; ``got`` is what arrived, by channel and title."""

    def __init__(self) -> None:
        self.open = {0: True, 1: True}
        self.got: list[tuple[int, str]] = []

    def __call__(self, channel: int, message: Message) -> bool:
        if self.open[channel]:
            self.got.append((channel, message.title))
        return self.open[channel]


def settled(notifier: Notifier, now_ns: int) -> None:
    """All that is due was tried."""
    while notifier.step(now_ns):
        pass


@pytest.fixture
def road() -> Road:
    return Road()


@pytest.fixture
def start(tmp_path: Path, road: Road) -> Callable[[], Notifier]:
    (tmp_path / "alarms").touch()
    return lambda: Notifier(tmp_path / "alarms", tmp_path / "kept.json", POLICY, 2, road)


def test_what_was_told_before_the_first_start_is_old_news(
    tmp_path: Path, road: Road, start: Callable[[], Notifier]
) -> None:
    AlarmFile(tmp_path / "alarms")(alarm("silent"))
    notifier = start()
    settled(notifier, NOW)
    assert road.got == []

    AlarmFile(tmp_path / "alarms")(alarm("naked_leg"))
    settled(notifier, NOW + SECOND)
    assert road.got == [(0, "naked_leg"), (1, "naked_leg")]


def test_what_is_told_between_the_first_start_and_the_second_is_no_old_news(
    tmp_path: Path, road: Road, start: Callable[[], Notifier]
) -> None:
    start()
    AlarmFile(tmp_path / "alarms")(alarm("naked_leg"))
    settled(start(), NOW)

    assert road.got == [(0, "naked_leg"), (1, "naked_leg")]


def test_it_arrives_after_the_channel_is_back_also_when_it_was_started_again(
    tmp_path: Path, road: Road, start: Callable[[], Notifier]
) -> None:
    notifier = start()
    settled(notifier, NOW)
    road.open[1] = False
    AlarmFile(tmp_path / "alarms")(alarm("naked_leg"))
    settled(notifier, NOW)
    assert road.got == [(0, "naked_leg")]

    road.open[1] = True
    again = start()
    settled(again, NOW + SECOND)  # too early: the pause grows
    settled(again, NOW + HOUR)
    settled(start(), NOW + 2 * HOUR)
    assert road.got == [(0, "naked_leg"), (1, "naked_leg")]


def test_what_is_critical_goes_first(
    tmp_path: Path, road: Road, start: Callable[[], Notifier]
) -> None:
    notifier = start()
    for name in ("silent", "naked_leg"):
        AlarmFile(tmp_path / "alarms")(alarm(name))
    settled(notifier, NOW)

    assert [title for _, title in road.got] == ["naked_leg"] * 2 + ["silent"] * 2


def test_what_becomes_critical_while_a_channel_hangs_goes_next(tmp_path: Path) -> None:
    tried: list[str] = []

    def hangs(_channel: int, message: Message) -> bool:
        tried.append(message.title)
        if tried == ["silent"]:
            AlarmFile(tmp_path / "alarms")(alarm("naked_leg"))
        return False

    notifier = Notifier(tmp_path / "alarms", tmp_path / "kept.json", POLICY, 1, hangs)
    notifier.digested(1)
    for name in ("silent", "margin_guard"):
        AlarmFile(tmp_path / "alarms")(alarm(name))
    settled(notifier, NOW)

    assert tried == ["silent", "naked_leg", "margin_guard"]


def test_what_does_not_arrive_is_shown_with_since_when(
    tmp_path: Path, road: Road, start: Callable[[], Notifier]
) -> None:
    notifier = start()
    road.open[1] = False
    for name, at_ns in (("naked_leg", NOW), ("silent", NOW + MINUTE)):
        AlarmFile(tmp_path / "alarms")(alarm(name))
        settled(notifier, at_ns)

    told = notifier.telling(NOW + HOUR, 3)
    assert told.waiting == {"critical": (NOW,), "warning": (NOW + MINUTE,), "info": ()}
    assert (told.looked_ns, told.strangers) == (NOW + HOUR, 3)
    assert (told.delivered, told.failed) == (2, 3)  # the first one was tried again

    road.open[1] = True
    settled(notifier, NOW + HOUR)
    assert notifier.telling(NOW + HOUR, 0).waiting == {"critical": (), "warning": (), "info": ()}


def test_another_outbox_in_its_place_is_told_of_and_read_from_its_beginning(
    tmp_path: Path, road: Road, start: Callable[[], Notifier]
) -> None:
    AlarmFile(tmp_path / "alarms")(alarm("silent", "long " * 20))
    notifier = start()
    (tmp_path / "alarms").unlink()
    settled(notifier, NOW)
    assert road.got == []

    AlarmFile(tmp_path / "alarms")(alarm("naked_leg"))
    settled(notifier, NOW)
    assert [title for channel, title in road.got if channel == 0] == ["naked_leg", "alarms_lost"]


def write(path: Path, numbers: Iterable[int]) -> None:
    """Alarms that are each a trouble of its own, some of them by way of a second writer."""
    writers = AlarmFile(path), AlarmFile(path)
    for number in numbers:
        detail = "".join(chr(97 + int(digit)) for digit in str(number))
        writers[number % 2](alarm("naked_leg", f"{detail} {'x' * 100}"))


def told_of(road: Road, numbers: Iterable[int]) -> bool:
    """Whether each arrived once at the first channel."""
    return Counter(title for channel, title in road.got if channel == 0) == {
        "naked_leg": len(list(numbers))
    }


def test_the_outbox_takes_two_files_at_most_however_much_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.alarms.BYTES_MAX", 2_000)
    write(tmp_path / "alarms", range(300))

    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert sizes.keys() == {"alarms", "alarms.1"}
    assert 2_000 <= sizes["alarms.1"] < 2_300
    assert sizes["alarms"] < 2_300


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("at_once", [1, 5, 9])
def test_nothing_is_lost_or_told_twice_when_the_outbox_is_put_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, road: Road, at_once: int, *, restarts: bool
) -> None:
    monkeypatch.setattr("bot.alarms.BYTES_MAX", 2_000)
    notifier = Notifier(tmp_path / "alarms", tmp_path / "kept.json", POLICY, 1, road)
    notifier.digested(1)  # it has run before
    for first in range(0, 90, at_once):
        write(tmp_path / "alarms", range(first, first + at_once))
        if restarts:
            notifier = Notifier(tmp_path / "alarms", tmp_path / "kept.json", POLICY, 1, road)
        settled(notifier, NOW)

    assert told_of(road, range(90))


def test_what_is_written_late_into_the_file_that_was_put_aside_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, road: Road, start: Callable[[], Notifier]
) -> None:
    monkeypatch.setattr("bot.alarms.BYTES_MAX", 2_000)
    notifier = start()
    write(tmp_path / "alarms", range(5))
    with (tmp_path / "alarms").open("ab") as slow:
        write(tmp_path / "alarms", range(5, 20))
        settled(notifier, NOW)
        before = len(road.got)
        slow.write(msgspec.json.encode(alarm("task_died")) + b"\n")
    settled(notifier, NOW)

    assert road.got[before:] == [(0, "task_died"), (1, "task_died")]


def test_two_files_put_aside_unread_are_told_of_as_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, road: Road, start: Callable[[], Notifier]
) -> None:
    monkeypatch.setattr("bot.alarms.BYTES_MAX", 2_000)
    write(tmp_path / "alarms", [1])
    settled(start(), NOW)
    write(tmp_path / "alarms", range(100, 140))
    notifier = start()
    settled(notifier, NOW)

    assert (0, "alarms_lost") in road.got
    rest = len(road.got)
    settled(notifier, NOW + SECOND)
    assert len(road.got) == rest


def test_many_processes_put_it_aside_once_and_lose_no_line(tmp_path: Path) -> None:
    code = (
        "import sys, bot.alarms as a, pathlib, execution.effects as e\n"
        "a.BYTES_MAX = 45_000\n"  # 600 lines of 100 to 130 bytes: once, not twice
        "keep = a.AlarmFile(pathlib.Path(sys.argv[1]))\n"
        "for n in range(150): keep(e.RaiseAlarm('silent', f'{sys.argv[2]} {n} ' + 'x' * 40, n))"
    )
    path = tmp_path / "alarms"
    command = [sys.executable, "-c", code, str(path)]
    started = [subprocess.Popen([*command, str(number)], cwd=ROOT) for number in range(4)]
    assert [process.wait(60) for process in started] == [0] * 4

    lines = (put_aside(path).read_bytes() + path.read_bytes()).splitlines()
    told = [msgspec.json.decode(line, type=RaiseAlarm).detail.split()[:2] for line in lines]
    assert sorted(told) == sorted([str(who), str(n)] for who in range(4) for n in range(150))


def test_half_a_line_waits_for_its_other_half_and_nonsense_is_passed_over(
    tmp_path: Path, road: Road, start: Callable[[], Notifier]
) -> None:
    notifier = start()
    line = msgspec.json.encode(alarm("naked_leg"))
    with (tmp_path / "alarms").open("ab") as file:
        file.write(b"nonsense\n" + line[:10])
        file.flush()
        settled(notifier, NOW)
        assert road.got == []
        file.write(line[10:] + b"\n")
    settled(notifier, NOW)

    assert road.got == [(0, "naked_leg"), (1, "naked_leg")]


def test_a_line_without_end_is_passed_over(
    tmp_path: Path, road: Road, start: Callable[[], Notifier]
) -> None:
    notifier = start()
    with (tmp_path / "alarms").open("ab") as file:
        file.write(b"x" * (1 << 20) + b"\n")
    AlarmFile(tmp_path / "alarms")(alarm("naked_leg"))
    settled(notifier, NOW)
    settled(notifier, NOW)

    assert road.got == [(0, "naked_leg"), (1, "naked_leg")]


def test_both_files_are_their_owners_alone(tmp_path: Path, start: Callable[[], Notifier]) -> None:
    (tmp_path / "alarms").unlink()
    notifier = start()
    AlarmFile(tmp_path / "alarms")(alarm("silent"))
    settled(notifier, NOW)

    for name in ("alarms", "kept.json"):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0, name
    assert json.loads((tmp_path / "kept.json").read_text())["read"] != {}


def test_a_kept_file_that_says_nothing_is_told_with_what_to_do(
    tmp_path: Path, start: Callable[[], Notifier]
) -> None:
    (tmp_path / "kept.json").write_text("{")

    with pytest.raises(ValueError, match="remove it"):
        start()


def test_no_secret_is_in_a_message() -> None:
    secret = "AAE-4kTokenOfABot"
    text = f"failed at https://host/{secret}/x with key 0x{'ab' * 32} and {secret[3:]}"

    shown = redacted(text, [secret])
    assert "ab" * 8 not in shown
    assert not [n for n in range(len(secret) - 7) if secret[n : n + 8] in shown]
