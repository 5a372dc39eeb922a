"""A disk that is full, locked, damaged, cut off or swapped: the journal is whole, or says why not.

Copies of real files are cut and changed byte by byte; processes are real and die by SIGKILL.
"""

import errno
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from execution import journal as journal_module
from execution.facts import Fact, LimitCleared
from execution.journal import (
    SCHEMA,
    DiskFull,
    JournalError,
    JournalReader,
    MemoryJournal,
    SqliteJournal,
    open_for_reading,
)
from tests.world.store import Fault, FaultyJournal

ROOT = Path(__file__).resolve().parents[2]
PAGE = 4096
FRAME = PAGE + 24
WAL_HEADER = 32


def facts(start: int, end: int) -> list[Fact]:
    return [LimitCleared("stale_data", f"operator {n:04}", n) for n in range(start, end)]


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory in memory, where there is one: not the disk's speed is tested."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path_factory.mktemp("memory")
        return
    with TemporaryDirectory(dir=shared) as name:
        yield Path(name)


@pytest.fixture
def quick(memory: Path) -> Iterator[Path]:
    with TemporaryDirectory(dir=memory) as name:
        yield Path(name)


@pytest.fixture
def path(quick: Path) -> Path:
    return quick / "state" / "journal.sqlite"


@pytest.fixture
def small_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of copies are opened; each would keep its 8 MiB."""
    monkeypatch.setattr(journal_module, "RESERVE_BYTES", PAGE)


def beside(path: Path, end: str) -> Path:
    return path.with_name(path.name + end)


def child(program: str, *args: Path) -> subprocess.Popen[str]:
    """A Python process of its own that has the journal's names at hand."""
    head = (
        "import sys, time; from pathlib import Path\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from execution.journal import *; from execution.facts import LimitCleared\n"
        "path = Path(sys.argv[1])\n"
    )
    command = [sys.executable, "-c", head + program, *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


# The disk is full


def fill(directory: Path) -> None:
    """Write until the disk takes no more."""
    with (directory / "hog").open("ab", buffering=0) as hog:
        while True:
            try:
                hog.write(bytes(PAGE))
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    return
                raise


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MiB in memory, of which the reserve takes eight."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(disk)]
    if os.getuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def append_until_full(journal: SqliteJournal, most: int = 100_000) -> int:
    """How many appends of one fact the disk still took."""
    for number in range(most):
        before = len(journal), journal.head
        try:
            journal.append(facts(len(journal), len(journal) + 1))
        except DiskFull:
            assert (len(journal), journal.head) == before
            return number
    return most


def test_on_a_full_disk_nothing_is_appended_until_the_reserve_is_freed_and_then_thousands_are(
    small_disk: Path,
) -> None:
    with SqliteJournal(small_disk / "state" / "journal.sqlite") as journal:
        journal.append(facts(0, 5))
        assert journal.reserved
        fill(small_disk)
        written = 5 + append_until_full(journal)
        assert append_until_full(journal) == 0
        assert list(journal.read()) == facts(0, written)

        assert (journal.free_reserve(), journal.free_reserve()) == (True, False)
        more = append_until_full(journal)
        assert more > 3_000
        assert list(journal.read()) == facts(0, written + more)
        journal.verify()


def test_a_bot_killed_on_a_full_disk_starts_on_it_and_can_close_its_positions(
    small_disk: Path,
) -> None:
    path = small_disk / "state" / "journal.sqlite"
    with child(
        "j = SqliteJournal(path); j.append([LimitCleared('a', 'b', 1)]); print(1, flush=True)\n"
        "time.sleep(60)",
        path,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    beside(path, "-shm").unlink()  # recovery has to write it again
    fill(small_disk)

    with SqliteJournal(path) as journal:
        assert not journal.reserved, "the start itself had to take it"
        assert len(journal) == 1
        assert append_until_full(journal, most=100) == 100


def test_the_reserve_is_blocks_and_not_a_hole_and_a_start_fills_it_up_again(path: Path) -> None:
    reserve = beside(path, ".reserve")
    with SqliteJournal(path):
        assert reserve.stat().st_blocks * 512 >= journal_module.RESERVE_BYTES
    os.truncate(reserve, 0)  # killed while it was made
    with SqliteJournal(path) as journal:
        assert reserve.stat().st_size == journal_module.RESERVE_BYTES
        assert journal.free_reserve()
    with SqliteJournal(path) as journal:
        assert journal.reserved


def test_where_there_is_no_room_for_a_reserve_a_journal_is_kept_without(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "RESERVE_BYTES", 1 << 62)
    with SqliteJournal(path) as journal:
        assert not journal.reserved
        journal.append(facts(0, 3))
        assert list(journal.read()) == facts(0, 3)


def test_a_database_that_may_not_grow_is_a_full_disk(path: Path) -> None:
    with SqliteJournal(path) as journal:
        journal._connection.execute("PRAGMA max_page_count = 3")
        written = append_until_full(journal)
        assert 0 < written < 100
        journal._connection.execute("PRAGMA max_page_count = 1000")
        journal.append(facts(written, written + 2))
        assert list(journal.read()) == facts(0, written + 2)


# Readers and foreign writers


def test_readers_that_hammer_the_file_fail_no_append(path: Path) -> None:
    SqliteJournal(path).close()
    program = (
        "print(1, flush=True)\n"
        "while True:\n"
        "    with open_for_reading(path) as reader:\n"
        "        got = [fact.time_ns for fact in reader.read()]\n"
        "    assert got == list(range(len(got))), got\n"
        "    if len(got) == 1500: break\n"
    )
    readers = [child(program, path) for _ in range(2)]
    with SqliteJournal(path) as journal:
        for reader in readers:
            assert reader.stdout is not None
            reader.stdout.readline()
        for n in range(1500):
            journal.append(facts(n, n + 1))
        for reader in readers:
            _, errors = reader.communicate(timeout=60)
            assert reader.returncode == 0, errors


def test_a_reader_cannot_take_the_write_lock(path: Path) -> None:
    SqliteJournal(path).close()
    with (
        open_for_reading(path) as reader,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        reader._connection.execute("CREATE TABLE theirs (x)")


def test_a_reader_in_the_middle_of_the_file_holds_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "_BATCH", 10)
    with SqliteJournal(path) as journal, open_for_reading(path) as reader:
        journal.append(facts(0, 40))
        reading = reader.read()
        for _ in range(15):
            next(reading)
        checkpoint = journal._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

        assert checkpoint == (0, 0, 0)
        assert journal.wal_bytes == 0
        assert list(reading) == facts(15, 40)


def test_a_reader_that_comes_while_the_journal_is_made_is_told_there_is_none(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with pytest.raises(JournalError, match="nothing has run"):
        open_for_reading(path)


def test_another_processs_lock_refuses_appends_until_it_is_gone(path: Path) -> None:
    with SqliteJournal(path) as journal:
        journal.append(facts(0, 2))
        journal._connection.execute("PRAGMA busy_timeout = 10")
        program = (
            "import sqlite3; other = sqlite3.connect(path, isolation_level=None)\n"
            "other.execute('BEGIN IMMEDIATE'); print(1, flush=True); time.sleep(60)"
        )
        with child(program, path) as process:
            assert process.stdout is not None
            process.stdout.readline()
            with pytest.raises(JournalError, match="locked; close the other program"):
                journal.append(facts(2, 4))
            process.kill()

        journal.append(facts(2, 4))
        assert list(journal.read()) == facts(0, 4)


def test_one_of_two_processes_gets_the_journal_and_a_kill_gives_it_to_the_other(
    path: Path,
) -> None:
    with child("j = SqliteJournal(path); print(1, flush=True); time.sleep(60)", path) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(JournalError, match=f"in use by process {process.pid}; stop it"):
            SqliteJournal(path)
        process.kill()

    SqliteJournal(path).close()


def test_even_without_the_lock_file_a_second_writer_puts_nothing_in_between(path: Path) -> None:
    with SqliteJournal(path) as first:
        first.append(facts(0, 2))
        beside(path, ".lock").unlink()
        with SqliteJournal(path) as second:
            first.append(facts(2, 4))
            with pytest.raises(JournalError, match="another process wrote to it"):
                second.append(facts(2, 3))

        first.append(facts(4, 5))
        assert list(first.read()) == facts(0, 5)


# The write-ahead log


def test_the_log_stays_bounded_while_readers_read_slowly(path: Path) -> None:
    SqliteJournal(path).close()
    program = (
        "while True:\n"
        "    with open_for_reading(path) as reader:\n"
        "        for n, _ in enumerate(reader.read()):\n"
        "            if n % 500 == 0: time.sleep(0.002)\n"
    )
    readers = [child(program, path) for _ in range(2)]
    try:
        with SqliteJournal(path) as journal:
            largest = 0
            for n in range(12_000):
                journal.append(facts(n, n + 1))
                largest = max(largest, journal.wal_bytes)
        assert FRAME < largest < 8 << 20
        assert all(reader.poll() is None for reader in readers), "they read to the end"
    finally:
        for reader in readers:
            reader.kill()
            reader.communicate()


def test_a_log_that_a_foreign_reader_held_back_shrinks_when_it_leaves(path: Path) -> None:
    with SqliteJournal(path) as journal:
        journal.append(facts(0, 1))
        foreign = sqlite3.connect(path, isolation_level=None)
        foreign.execute("BEGIN")
        foreign.execute("SELECT count(*) FROM facts").fetchone()
        for n in range(1, 4_500):
            journal.append(facts(n, n + 1))
        assert journal.wal_bytes > 16 << 20
        foreign.close()
        for n in range(4_500, 4_503):
            journal.append(facts(n, n + 1))

        assert journal.wal_bytes <= 16 << 20
        journal.verify()


# Damage


class Files:
    """A journal as a killed process left it: rows 0–59 in the database, 60–79 in the log."""

    SETTLED, ALL = 60, 80

    def __init__(self, path: Path) -> None:
        with SqliteJournal(path) as journal:
            for start in range(0, self.SETTLED, 2):
                journal.append(facts(start, start + 2))
        crashing = FaultyJournal(path)
        for start in range(self.SETTLED, self.ALL, 2):
            crashing.append(facts(start, start + 2))
        crashing.crash()
        self.parts = {end: beside(path, end).read_bytes() for end in ("", "-wal", ".head")}
        SqliteJournal(path).close()
        self.closed = path.read_bytes()  # all rows, and no log beside it

    def copy(self, directory: Path, changed: dict[str, bytes]) -> Path:
        """The files in a directory of their own, some with another content; empty is absent."""
        directory.mkdir()
        copy = directory / "journal.sqlite"
        for end, content in (self.parts | changed).items():
            if content or not end:
                beside(copy, end).write_bytes(content)
        return copy


@pytest.fixture(scope="module")
def files(memory: Path) -> Files:
    return Files(memory / "journal.sqlite")


def facts_of(copy: Path, opener: Callable[[Path], JournalReader]) -> list[Fact] | None:
    """What is read there; None when it is refused, which only a ``JournalError`` may do."""
    try:
        with opener(copy) as journal:
            return list(journal.read())
    except JournalError as refusal:
        if "\n" in str(refusal):
            raise
        return None


def places(database: bytes, part: str) -> list[int]:
    """Where the bytes of one class are."""
    match part:
        case "header":
            return [*range(100)]
        case "page":  # what a page says of itself, and where on it its rows are
            return [page + n for page in range(0, len(database), PAGE) for n in range(100, 120)] + [
                page + n for page in range(PAGE, len(database), PAGE) for n in range(20)
            ]
        case "body":
            row = database.index(b"operator 0040")
            return [*range(row, row + 30)]
        case _:
            memory = MemoryJournal()
            memory.append(facts(0, 41))
            found = database.index(memory.head)
            return [*range(found, found + 32)]


@pytest.mark.usefixtures("small_reserve")
@pytest.mark.parametrize("logged", [True, False])
@pytest.mark.parametrize("part", ["header", "page", "body", "hash"])
def test_a_damaged_database_is_refused_or_reads_as_it_was(
    files: Files, quick: Path, part: str, logged: bool
) -> None:
    whole = {} if logged else {"-wal": b"", "": files.closed}
    database = (files.parts | whole)[""]
    seen = Counter[str]()
    for place in places(database, part):
        for bit in range(8):
            damaged = bytearray(database)
            damaged[place] ^= 1 << bit
            copy = files.copy(quick / f"{place}-{bit}", {**whole, "": bytes(damaged)})
            for opener in (open_for_reading, SqliteJournal):
                found = facts_of(copy, opener)
                assert found in (None, facts(0, files.ALL)), (place, bit, opener, len(found))
                seen["refused" if found is None else "whole"] += 1

    if part in {"body", "hash"}:
        assert not seen["whole"]
    if not logged:
        assert seen["refused"] > 10


@pytest.mark.usefixtures("small_reserve")
@pytest.mark.parametrize("part", ["log header", "frame header", "frame"])
def test_a_damaged_log_loses_whole_commits_of_its_tail_and_the_mark_tells(
    files: Files, quick: Path, part: str
) -> None:
    frames = range(WAL_HEADER, len(files.parts["-wal"]), FRAME)
    places = {
        "log header": range(WAL_HEADER),
        "frame header": [at + n for at in frames[::3] for n in range(24)],
        "frame": [at + n for at in frames[::3] for n in range(24, FRAME, 411)],
    }[part]
    lengths = set()
    for number, place in enumerate(places):
        damaged = bytearray(files.parts["-wal"])
        damaged[place] ^= 1 << place % 8
        changed = {"-wal": bytes(damaged)}
        marked = files.copy(quick / f"{number}m", changed)
        unmarked = files.copy(quick / f"{number}u", {**changed, ".head": b""})
        without = facts_of(unmarked, SqliteJournal)
        assert without is not None
        lengths.add(len(without))
        assert without == facts(0, len(without))
        assert facts_of(marked, SqliteJournal) == (without if len(without) == files.ALL else None)

    assert all(n >= files.SETTLED and n % 2 == 0 for n in lengths)
    assert min(lengths) == files.SETTLED


# Power cuts


@pytest.mark.usefixtures("small_reserve")
def test_a_log_cut_or_blank_from_any_page_on_leaves_whole_commits(
    files: Files, quick: Path
) -> None:
    log = files.parts["-wal"]
    by_page = range(0, len(log), PAGE)
    by_frame = range(WAL_HEADER, len(log) + 1, FRAME)
    before, lengths = 0, set()
    for place in sorted({*by_page, *by_frame, *(at - 512 for at in by_frame if at > 512)}):
        for kind, rest in (("cut", b""), ("blank", bytes(len(log) - place))):
            copy = files.copy(quick / f"{place} {kind}", {"-wal": log[:place] + rest, ".head": b""})
            found = facts_of(copy, SqliteJournal)
            assert found is not None
            assert found == facts(0, len(found))
            assert before <= len(found)
            before = len(found)
            lengths.add(len(found))

    assert lengths == {*range(files.SETTLED, files.ALL + 1, 2)}


@pytest.mark.usefixtures("small_reserve")
def test_a_checkpoint_torn_at_any_sector_is_made_whole_from_the_log(
    files: Files, quick: Path
) -> None:
    copy = files.copy(quick / "whole", {})
    database = sqlite3.connect(copy)
    database.execute("PRAGMA wal_checkpoint(PASSIVE)")
    old, new = files.parts[""], copy.read_bytes()
    database.close()
    assert old != new[: len(old)]
    for place in range(0, len(new), 512):
        torn = files.copy(quick / f"{place}f", {"": new[:place] + old[place:]})
        backwards = files.copy(quick / f"{place}b", {"": old[:place] + new[place:]})
        assert facts_of(torn, SqliteJournal) == facts(0, files.ALL)
        if place <= len(old):
            assert facts_of(backwards, SqliteJournal) == facts(0, files.ALL)


@pytest.mark.usefixtures("small_reserve")
def test_what_an_earlier_round_left_behind_in_the_log_is_never_taken_for_new(
    path: Path, quick: Path
) -> None:
    journal = FaultyJournal(path)
    journal._connection.execute("PRAGMA wal_autocheckpoint = 7")
    rounds = 0
    for number in range(40):
        journal.append(facts(number, number + 1))
        # The log is written from its start again, over frames of the round before.
        main, log = path.read_bytes(), beside(path, "-wal").read_bytes()
        used = journal._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
        rounds += used * FRAME + WAL_HEADER < len(log)
        copy = quick / str(number) / "journal.sqlite"
        copy.parent.mkdir()
        copy.write_bytes(main)
        beside(copy, "-wal").write_bytes(log)
        assert facts_of(copy, SqliteJournal) == facts(0, number + 1)
    journal.close()
    assert rounds > 10


# The simulation's own disk


def test_a_simulated_fault_refuses_the_append_and_a_crash_keeps_what_was_committed(
    path: Path,
) -> None:
    faults: list[Fault | None] = [None, "full", "locked", "slow"]
    hooks: list[str] = []
    journal = FaultyJournal(
        path,
        fault=lambda _: faults.pop(0),
        before_commit=lambda: hooks.append(f"before {len(journal)}"),
        after_commit=lambda: hooks.append(f"after {len(journal)}"),
    )
    journal.append(facts(0, 2))
    with pytest.raises(DiskFull):
        journal.append(facts(2, 4))
    with pytest.raises(JournalError, match="foreign writer"):
        journal.append(facts(2, 4))
    journal.append(facts(2, 3))
    journal._connection.execute("BEGIN IMMEDIATE")
    journal._connection.executemany(journal_module._INSERT, journal._linked(facts(3, 9)))
    journal.crash()

    assert hooks == ["before 0", "after 2", "before 2", "after 3"]
    assert beside(path, "-wal").stat().st_size > 0, "left for recovery"
    with FaultyJournal(path) as again:
        assert list(again.read()) == facts(0, 3)


# Swapped and missing files


def test_an_older_copy_put_in_its_place_is_refused_until_the_mark_is_removed(
    path: Path, quick: Path
) -> None:
    with SqliteJournal(path) as journal:
        journal.append(facts(0, 10))
    shutil.copy(path, quick / "old")
    with SqliteJournal(path) as journal:
        journal.append(facts(10, 20))
    shutil.copy(quick / "old", path)

    with pytest.raises(JournalError, match=r"row 20 is missing .* older copy .*remove .*\.head"):
        SqliteJournal(path)
    beside(path, ".head").unlink()
    with SqliteJournal(path) as journal:
        assert list(journal.read()) == facts(0, 10)
        journal.append(facts(10, 11))
    SqliteJournal(path).close()


def test_a_removed_log_and_an_emptied_file_are_refused(files: Files, quick: Path) -> None:
    removed = files.copy(quick / "removed", {})
    beside(removed, "-wal").unlink()
    emptied = files.copy(quick / "emptied", {"": b""})
    for copy in (removed, emptied):
        with pytest.raises(JournalError, match="row 80 is missing"):
            SqliteJournal(copy)


def test_another_history_of_the_same_length_is_refused(path: Path, quick: Path) -> None:
    with SqliteJournal(path) as journal:
        journal.append(facts(0, 10))
    with SqliteJournal(quick / "other") as other:
        other.append(facts(1, 20))
    shutil.copy(quick / "other", path)
    with pytest.raises(JournalError, match="row 10 is missing or another"):
        SqliteJournal(path)


@pytest.mark.parametrize("mark", [None, b"", b"\0" * 95, b"garbage"])
def test_a_mark_that_says_nothing_is_none_and_is_written_anew(
    files: Files, quick: Path, mark: bytes | None
) -> None:
    copy = files.copy(quick / "copy", {".head": mark or b""})
    if mark == b"":
        beside(copy, ".head").touch()
    with SqliteJournal(copy) as journal:
        assert len(journal) == files.ALL
    assert beside(copy, ".head").read_bytes()[:95] == files.parts[".head"]


def test_a_mark_with_one_digit_changed_says_nothing(files: Files, quick: Path) -> None:
    mark = bytearray(files.parts[".head"])
    for place in range(len(mark)):
        changed = mark.copy()
        changed[place] ^= 1
        copy = files.copy(quick / str(place), {".head": bytes(changed)})
        with open_for_reading(copy) as reader:
            assert list(reader.read()) == facts(0, files.ALL)


def test_a_mark_behind_the_journal_is_what_a_kill_leaves(path: Path) -> None:
    with SqliteJournal(path) as journal:
        journal.append(facts(0, 10))
        mark = beside(path, ".head").read_bytes()
        journal.append(facts(10, 12))
    beside(path, ".head").write_bytes(mark)
    with SqliteJournal(path) as journal:
        assert len(journal) == 12


# Killed while it is made or brought up to date


def killed_at_step(path: Path, step: int) -> bool:
    """Fork a child that opens the journal and dies at its ``step``-th instruction of SQLite's
    machine; whether it got that far."""
    process = os.fork()
    if process == 0:
        try:
            steps, connect = count(1), sqlite3.connect

            def die() -> int:
                if next(steps) == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return 0

            def doomed(*args: object, **kwargs: object) -> sqlite3.Connection:
                connection = connect(*args, **kwargs)  # type: ignore[call-overload]
                connection.set_progress_handler(die, 1)
                return connection  # type: ignore[no-any-return]

            sqlite3.connect = doomed  # type: ignore[assignment]
            SqliteJournal(path)
        finally:
            os._exit(0)
    _, status = os.waitpid(process, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def shape(path: Path) -> tuple[int, set[str]]:
    database = sqlite3.connect(path)
    (version,) = database.execute("PRAGMA user_version").fetchone()
    names = {name for (name,) in database.execute("SELECT name FROM sqlite_schema")}
    database.close()
    return version, names


@pytest.mark.usefixtures("small_reserve")
def test_a_journal_whose_creation_was_killed_at_any_step_is_none_or_whole(quick: Path) -> None:
    none = (0, set[str]())
    whole = (SCHEMA, {"facts", "no_update", "no_delete", "in_order"})
    seen = Counter[bool]()
    for step in count(1):
        path = quick / str(step) / "journal.sqlite"
        if not killed_at_step(path, step):
            break
        left = shape(path)
        assert left in (none, whole), step
        seen[left == whole] += 1
        with SqliteJournal(path) as journal:
            assert len(journal) == 0
            journal.append(facts(0, 3))
        assert shape(path) == whole

    assert min(seen[False], seen[True]) > 10


@pytest.mark.usefixtures("small_reserve")
def test_a_migration_killed_at_any_step_leaves_the_old_or_the_new_schema(
    files: Files, quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "SCHEMA", SCHEMA + 1)
    monkeypatch.setitem(journal_module.UPCASTERS, SCHEMA, lambda words: words)
    seen = Counter[int]()
    # Reading the rows is most of the steps, and changes nothing: sampled.
    for step in [*range(1, 100), *range(100, 10_000, 97)]:
        copy = files.copy(quick / str(step), {})
        if not killed_at_step(copy, step):
            break
        version, names = shape(copy)
        assert names == {"facts", "no_update", "no_delete", "in_order"}
        seen[version] += 1
        assert facts_of(copy, SqliteJournal) == facts(0, files.ALL)

    assert seen.keys() == {SCHEMA, SCHEMA + 1}
