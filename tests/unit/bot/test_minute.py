"""The minute that processes share: whatever becomes of one of them, of its file, of the clock."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.minute import MINUTE, Row, SharedMinute
from execution.venues.hyperliquid.weights import MINUTE_SECONDS, Minute

NOW = 100_000.0
ROOT = Path(__file__).resolve().parents[3]
SPENDER = """
import sys
from pathlib import Path
from bot.minute import Row, SharedMinute

minute = SharedMinute(Path(sys.argv[1]), Row[sys.argv[4]], 100_000.0, print)
print("ready", flush=True)
sys.stdin.readline()
taken = sum(minute.take(100_000.0, 1, most=int(sys.argv[3])) for _ in range(int(sys.argv[2])))
print(taken, flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / MINUTE


@pytest.fixture
def opened(file: Path) -> Iterator[Callable[..., SharedMinute]]:
    """Another process's view of the file, whose clock shows ``now``."""
    made: list[SharedMinute] = []

    def open_at(
        row: Row = Row.TRADER, now: float = NOW, told: list[str] | None = None
    ) -> SharedMinute:
        made.append(SharedMinute(file, row, now, told.append if told is not None else pytest.fail))
        return made[-1]

    yield open_at
    for minute in made:
        minute.close()


class Spender:
    """A process that counts ``times`` one, up to ``most``, once it is told to."""

    def __init__(self, file: Path, row: Row, times: int, most: int = 10**9) -> None:
        words = [sys.executable, "-c", SPENDER, str(file), str(times), str(most), row.name]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(words, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
        assert self.heard() == "ready"

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def heard(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def test_what_one_counts_the_other_knows_and_a_minute_later_it_is_gone(
    opened: Callable[..., SharedMinute],
) -> None:
    one, other = opened(), opened(Row.WATCHDOG)

    assert one.take(NOW, 60)
    assert other.take(NOW + 1, 20, 1)
    assert one.used(NOW + 1) == other.used(NOW + 1) == (80, 1)
    assert not one.take(NOW + 2, 21, most=100)
    assert one.take(NOW + 2, 20, most=100)
    one.correct(NOW, -50)
    assert one.used(NOW + 2) == (50, 1)
    assert one.used(NOW + MINUTE_SECONDS) == (40, 1)
    assert one.used(NOW + MINUTE_SECONDS + 2) == (0, 0)


def test_a_correction_of_a_second_that_is_over_for_good_changes_nothing() -> None:
    minute = Minute()
    minute.take(NOW, 45)
    minute.take(NOW + Minute.CELLS, 7)
    minute.correct(NOW, -25)

    assert minute.used(NOW + Minute.CELLS) == (7, 0)


def test_two_processes_at_once_lose_nothing_and_never_go_over_together(file: Path) -> None:
    both = [Spender(file, row, 4_000, most=5_000) for row in (Row.TRADER, Row.WATCHDOG)]
    try:
        for one in both:
            one.go()
        taken = [int(one.heard()) for one in both]
    finally:
        for one in both:
            one.end()

    # Refused are at most those that found the other just looking, and none of it is lost.
    assert 4_990 <= sum(taken) <= 5_000
    minute = SharedMinute(file, Row.OTHERS, NOW + 40, pytest.fail)
    assert minute.used(NOW + 40) == (sum(taken), 0)
    minute.close()


def test_what_a_killed_process_used_is_known_to_the_next(file: Path) -> None:
    killed = Spender(file, Row.TRADER, 10**7)
    killed.go()
    before = SharedMinute(file, Row.WATCHDOG, NOW + 40, pytest.fail)
    while before.used(NOW + 40)[0] < 1_000:
        pass
    killed.end()
    after = SharedMinute(file, Row.TRADER, NOW + 40, pytest.fail)

    assert killed.process.returncode == -signal.SIGKILL
    assert after.used(NOW + 40) == before.used(NOW + 40) >= (1_000, 0)
    used, _ = before.used(NOW + 40)
    assert after.take(NOW + 40, 1)
    assert before.used(NOW + 40) == (used + 1, 0)
    before.close()
    after.close()


def test_after_a_start_of_the_machine_what_was_before_does_not_count(
    opened: Callable[..., SharedMinute],
) -> None:
    opened(Row.TRADER).take(NOW, 900)
    opened(Row.WATCHDOG).take(NOW, 100)

    assert opened(Row.TRADER, 20.0).used(20.0) == (0, 0)
    assert opened(Row.TRADER).used(NOW) == (0, 0)  # nor does it come back when that time has come


@given(st.binary(max_size=3_000), st.floats(0, 1e7))
def test_whatever_the_file_holds_it_counts_from_then_on(
    tmp_path_factory: pytest.TempPathFactory, garbage: bytes, now: float
) -> None:
    file = tmp_path_factory.mktemp("garbage") / MINUTE
    file.write_bytes(garbage)
    minute = SharedMinute(file, Row.WATCHDOG, now, pytest.fail)

    assert min(minute.used(now)) >= 0
    assert minute.take(now, 3, 1)
    assert minute.used(now) >= (3, 1)
    assert minute.take(now + MINUTE_SECONDS + 1, 7)
    assert minute.used(now + MINUTE_SECONDS + 1) == (7, 0)
    minute.close()


@pytest.mark.parametrize("cut", [0, 1, 15, 16, 17, 500, 1_023, 1_024, 3_000])
def test_a_file_that_is_cut_or_gone_while_it_is_used_is_counted_on(
    file: Path, opened: Callable[..., SharedMinute], cut: int
) -> None:
    minute = opened()
    minute.take(NOW, 5)
    os.truncate(file, cut)

    assert minute.take(NOW + 1, 7)
    assert minute.used(NOW + 1)[0] in (7, 12)
    file.unlink()
    assert minute.take(NOW + 1, 7)


def test_where_there_can_be_no_file_it_counts_alone_and_says_so_once(tmp_path: Path) -> None:
    told: list[str] = []
    minute = SharedMinute(tmp_path / "nowhere" / MINUTE, Row.TRADER, NOW, told.append)

    assert minute.take(NOW, 980, most=980)
    assert not minute.take(NOW, 1, most=980)
    assert len(told) == 1
    assert told[0].endswith(
        "No such file or directory: what others ask of the venue from here is not counted"
    )


def test_what_its_name_only_points_to_is_not_written(tmp_path: Path, file: Path) -> None:
    other = tmp_path / "another's"
    other.write_bytes(b"precious")
    file.symlink_to(other)
    told: list[str] = []
    minute = SharedMinute(file, Row.TRADER, NOW, told.append)

    assert minute.take(NOW, 5)
    assert other.read_bytes() == b"precious"
    assert len(told) == 1


@pytest.mark.parametrize("what", ["pread", "pwrite"])
def test_a_disk_that_fails_later_leaves_it_with_what_it_knows(
    opened: Callable[..., SharedMinute], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    told: list[str] = []
    minute = opened(told=told)
    minute.take(NOW, 100)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "")

    monkeypatch.setattr(os, what, full)
    assert minute.take(NOW, 20)
    assert minute.take(NOW, 3)
    assert minute.used(NOW) == (123, 0)
    assert len(told) == 1
    assert "No space left on device" in told[0]


def test_its_file_is_its_owners_alone(file: Path, opened: Callable[..., SharedMinute]) -> None:
    opened().take(NOW, 1)

    assert file.stat().st_mode & 0o777 == 0o600
    assert file.stat().st_size == Minute.CELLS * Minute.CELL.size  # its row is the first
