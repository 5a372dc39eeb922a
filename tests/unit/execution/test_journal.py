"""The journal: durable, ordered, tamper-evident, one writer, and clear about what is wrong."""

import os
import random
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from domain.money import Money
from domain.orders import (
    Fill,
    FillCause,
    Liquidity,
    OrderRequest,
    Side,
    TimeInForce,
)
from execution import journal as journal_module
from execution.facts import (
    EquityMarked,
    Fact,
    LimitTripped,
    OrderIntended,
    Role,
    RunStarted,
    TradePlanned,
)
from execution.journal import (
    GENESIS,
    SCHEMA,
    Digest,
    JournalError,
    MemoryJournal,
    SqliteJournal,
    decode,
    digest,
    encode,
    link,
    open_for_reading,
)


def intent(number: int) -> OrderIntended:
    request = OrderRequest(
        f"0x{number:032x}",
        "synthetic:BTC-PERP",
        Side.SELL,
        Decimal("0.0123"),
        Decimal("100000.5"),
        TimeInForce.IOC,
        reduce_only=False,
        expires_ns=number + 1,
    )
    return OrderIntended(request, "BTC#1", Role.HEDGE, Decimal("100000.25"), time_ns=number)


def fill(number: int, price: str = "100000.5") -> Fill:
    return Fill(
        str(number),
        intent(number).request.cloid,
        "synthetic:BTC-PERP",
        Side.SELL,
        Decimal(price),
        Decimal("0.0123"),
        Money(Decimal("0.04"), "USDC"),
        Liquidity.TAKER,
        FillCause.ORDER,
        number,
        number + 5,
    )


def marked(marks: dict[str, Decimal]) -> EquityMarked:
    zero = Decimal(0)
    return EquityMarked(zero, zero, zero, zero, zero, marks, 1)


def planned(cost: float) -> TradePlanned:
    one = Decimal(1)
    texts = ("thesis", "invalidation", "objective")
    return TradePlanned(
        "BTC#1", "BTC", "spot", one, one, 2, *texts, one, one, one, 0.0, 0.0, cost, (), 1
    )


def facts(count: int) -> list[Fact]:
    return [intent(n) if n % 2 else fill(n) for n in range(count)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite"


# What is written is what is read


def test_facts_come_back_in_order_and_equal_after_a_restart(path: Path) -> None:
    with SqliteJournal(path) as journal:
        journal.append(facts(3))
        journal.append([])
        journal.append(facts(7)[3:])

    with SqliteJournal(path) as journal:
        assert list(journal.read()) == facts(7)
        assert len(journal) == 7


def test_more_facts_than_one_batch_are_read_in_order(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "_BATCH", 4)
    with SqliteJournal(path) as journal:
        journal.append(facts(12))

        assert list(journal.read()) == facts(12)
        journal.verify()


def test_a_fact_is_known_when_it_was_received_and_ours_when_it_was_made(path: Path) -> None:
    with SqliteJournal(path) as journal:
        journal.append([intent(3), fill(3)])
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT kind, time_ns FROM facts").fetchall()

    assert rows == [("OrderIntended", 3), ("Fill", 8)]


def test_memory_and_file_hold_the_same_chain(path: Path) -> None:
    memory = MemoryJournal()
    assert memory.head == GENESIS
    with SqliteJournal(path) as journal:
        for chunk in (facts(2), facts(5)[2:]):
            journal.append(chunk)
            memory.append(chunk)
            assert memory.head == journal.head

        assert list(memory.read()) == list(journal.read())
        assert len(memory) == len(journal) == 5


def test_equal_values_encode_to_equal_bytes_whatever_the_order_of_their_marks() -> None:
    one, two = Decimal(1), Decimal(2)

    assert encode(marked({"a": one, "b": two})) == encode(marked({"b": two, "a": one}))


def test_a_fact_with_a_number_that_is_none_is_refused_and_nothing_of_its_batch_stays(
    path: Path,
) -> None:
    with SqliteJournal(path) as journal:
        with pytest.raises(JournalError, match="TradePlanned could not be read back"):
            journal.append([intent(0), planned(float("nan"))])
        assert len(journal) == 0

        journal.append([intent(0), planned(0.1)])
        assert len(list(journal.read())) == 2


# Durable, append-only, its owner's alone


def test_every_commit_is_flushed_to_the_disk(path: Path) -> None:
    with SqliteJournal(path) as journal:
        settings = [
            journal._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "trusted_schema")
        ]

    assert settings == ["wal", 2, 0]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE facts SET body = '{}' WHERE seq = 1",
        "DELETE FROM facts WHERE seq = 2",
        "INSERT INTO facts SELECT 9, schema, kind, time_ns, body, hash FROM facts WHERE seq = 1",
        "INSERT OR REPLACE INTO facts SELECT * FROM facts WHERE seq = 1",
    ],
)
def test_no_program_changes_removes_or_misplaces_a_row(path: Path, statement: str) -> None:
    with SqliteJournal(path) as journal:
        journal.append(facts(2))
    connection = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement)
    connection.close()


def test_files_and_a_new_directory_are_their_owners_alone(path: Path) -> None:
    old = os.umask(0o000)
    try:
        with SqliteJournal(path) as journal:
            journal.append(facts(2))
            with open_for_reading(path) as reader:
                assert len(reader) == 2
                modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in path.parent.iterdir()}
    finally:
        os.umask(old)

    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    ends = ("", "-wal", "-shm", ".lock", ".head", ".reserve")
    names = {f"journal.sqlite{end}" for end in ends}
    assert modes == dict.fromkeys(names, 0o600)


def test_what_a_killed_process_was_told_is_durable_is_there(path: Path) -> None:
    program = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from execution.facts import LimitCleared
from execution.journal import SqliteJournal
journal = SqliteJournal(Path(sys.argv[1]))
for n in range(10**6):
    journal.append([LimitCleared("stale_data", "time", n), LimitCleared("skew", "time", n)])
    print(n, flush=True)
"""
    root = Path(__file__).resolve().parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path), str(root)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        told += process.stdout.readlines()

    with SqliteJournal(path) as journal:
        assert len(journal) >= 2 * len(told)
        assert len(journal) % 2 == 0, "half of a batch survived"


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may grow past 100 kB; a signal is not sent, the write fails."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, old[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_disk_that_takes_no_more_fails_the_whole_append_and_the_next_continues(
    path: Path, small_disk: None
) -> None:
    with SqliteJournal(path) as journal:
        journal.append(facts(10))
        head = journal.head
        with pytest.raises(JournalError, match="disk"):
            journal.append(facts(1_000))
        assert (len(journal), journal.head) == (10, head)

        journal.append([intent(99)])
        assert list(journal.read()) == [*facts(10), intent(99)]
        journal.verify()


def test_a_full_disk_says_to_free_space(path: Path) -> None:
    with SqliteJournal(path) as journal:
        journal._connection.execute("PRAGMA max_page_count = 8")
        with pytest.raises(JournalError, match="full; free space"):
            journal.append(facts(1_000))

        assert list(journal.read()) == []


def test_a_foreign_lock_fails_the_append_and_nothing_is_lost_after_it(path: Path) -> None:
    with SqliteJournal(path) as journal:
        journal._connection.execute("PRAGMA busy_timeout = 10")
        with sqlite3.connect(path, isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(JournalError, match="locked; close the other program"):
                journal.append(facts(2))
            other.execute("ROLLBACK")
        other.close()

        journal.append(facts(2))
        assert list(journal.read()) == facts(2)


# One writer, any reader


def test_a_second_writer_is_told_who_has_the_journal(path: Path) -> None:
    first = SqliteJournal(path)
    with pytest.raises(JournalError, match=f"in use by process {os.getpid()}; stop it"):
        SqliteJournal(path)
    first.close()

    SqliteJournal(path).close()


def test_a_failed_opening_gives_the_lock_back(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database, but long enough to look like one" * 100)
    for _ in range(2):
        with pytest.raises(JournalError, match="damaged"):
            SqliteJournal(path)


def test_a_reader_sees_what_is_committed_while_the_writer_goes_on(path: Path) -> None:
    with SqliteJournal(path) as journal:
        journal.append(facts(2))
        with open_for_reading(path) as reader:
            assert list(reader.read()) == facts(2)
            journal.append(facts(4)[2:])
            assert list(reader.read()) == facts(4)
            assert reader.head == journal.head
            reader.verify()


def test_a_reader_opens_a_journal_that_nobody_writes(path: Path) -> None:
    with SqliteJournal(path) as journal:
        journal.append(facts(3))
    with open_for_reading(path) as reader:
        assert list(reader.read()) == facts(3)
    with SqliteJournal(path) as journal:
        assert len(journal) == 3


def test_a_reader_cannot_write(path: Path) -> None:
    SqliteJournal(path).close()
    reader = open_for_reading(path)
    assert reader._connection.execute("PRAGMA query_only").fetchone() == (1,)
    for _ in ("as it is", "without that word"):  # the file itself was opened to be read
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader._connection.execute("DELETE FROM facts")
        reader._connection.execute("PRAGMA query_only = OFF")
    reader.close()


def test_reading_where_nothing_has_run_says_so_and_creates_nothing(path: Path) -> None:
    with pytest.raises(JournalError, match="nothing has run"):
        open_for_reading(path)

    assert not path.parent.exists()


def test_a_place_that_cannot_hold_a_journal_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="no journal can be kept"):
        SqliteJournal(tmp_path / "file" / "journal.sqlite")
    with pytest.raises(JournalError, match="no journal can be kept"):
        SqliteJournal(tmp_path)


# Damage


def test_a_changed_row_is_named_even_when_the_rows_hash_was_kept(path: Path) -> None:
    with SqliteJournal(path) as journal:
        journal.append(facts(4))
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TRIGGER no_update")
        connection.execute("UPDATE facts SET body = replace(body, '0.0123', '0.0124') WHERE seq=2")
    with pytest.raises(JournalError, match="row 2 is not what was written"):
        SqliteJournal(path)


def test_a_row_taken_out_of_the_middle_is_noticed(path: Path) -> None:
    with SqliteJournal(path) as journal:
        journal.append(facts(4))
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TRIGGER no_delete")
        connection.execute("DELETE FROM facts WHERE seq = 3")
    with pytest.raises(JournalError, match="row 3 is not what was written"):
        SqliteJournal(path)


def test_a_row_that_says_no_fact_stops_the_reader_with_its_number(path: Path) -> None:
    with SqliteJournal(path) as journal:
        journal.append(facts(2))
        rumour = (3, SCHEMA, b"Rumour", 0, b'{"type":"Rumour"}')
        row = (*rumour, link(journal.head, rumour))
    with sqlite3.connect(path) as connection:
        connection.execute(journal_module._INSERT, row)
    with open_for_reading(path) as reader, pytest.raises(JournalError, match="row 3 says no fact"):
        list(reader.read())


def test_a_flipped_byte_anywhere_is_noticed_or_changed_no_fact(path: Path, tmp_path: Path) -> None:
    with SqliteJournal(path) as journal:
        journal.append(facts(40))
    whole, dice = path.read_bytes(), random.Random(7)
    noticed, places = 0, [*range(100), *(dice.randrange(len(whole)) for _ in range(150))]
    for number, place in enumerate(places):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << dice.randrange(8)
        copy = tmp_path / f"{number}.sqlite"
        copy.write_bytes(damaged)
        try:
            with SqliteJournal(copy) as journal:
                assert list(journal.read()) == facts(40)
        except JournalError:
            noticed += 1

    assert noticed > len(places) / 2


def test_a_wal_cut_anywhere_leaves_whole_commits_and_no_half_ones(
    path: Path, tmp_path: Path
) -> None:
    with SqliteJournal(path) as journal:
        for start in range(0, 30, 3):
            journal.append(facts(30)[start : start + 3])
        main, wal = path.read_bytes(), path.with_name("journal.sqlite-wal").read_bytes()
    lengths = set()
    for number, end in enumerate(range(0, len(wal) + 1, 1_031)):
        copy = tmp_path / f"{number}.sqlite"
        copy.write_bytes(main)
        copy.with_name(f"{number}.sqlite-wal").write_bytes(wal[:end])
        with SqliteJournal(copy) as journal:
            lengths.add(len(journal))
            assert list(journal.read()) == facts(30)[: len(journal)]

    assert lengths >= {0, 3, 15, 27}
    assert all(length % 3 == 0 for length in lengths)


# Versions


def test_a_journal_of_a_newer_program_is_refused(path: Path) -> None:
    SqliteJournal(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    for opener in (SqliteJournal, open_for_reading):
        with pytest.raises(JournalError, match="newer program"):
            opener(path)


def test_another_programs_database_is_not_touched(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(JournalError, match="another program's database"):
        SqliteJournal(path)


def test_an_older_row_is_read_in_todays_words_and_its_hash_still_holds(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SqliteJournal(path) as journal:
        journal.append([LimitTripped("daily_loss", latched=True, detail="3 %", time_ns=1)])

    def louder(words: dict[str, object]) -> dict[str, object]:
        return words | {"detail": f"{words['detail']}!"}

    monkeypatch.setattr(journal_module, "SCHEMA", SCHEMA + 1)
    monkeypatch.setitem(journal_module.UPCASTERS, SCHEMA, louder)
    with SqliteJournal(path) as journal:
        journal.append([LimitTripped("daily_loss", latched=True, detail="4 %", time_ns=2)])
        details = [fact.detail for fact in journal.read() if isinstance(fact, LimitTripped)]
    with SqliteJournal(path) as journal:
        assert len(journal) == 2

    assert details == ["3 %!", "4 %"]
    monkeypatch.undo()
    with pytest.raises(JournalError, match="newer program"):
        SqliteJournal(path)


def test_a_copy_of_the_files_is_a_backup(path: Path, tmp_path: Path) -> None:
    with SqliteJournal(path) as journal:
        journal.append(facts(5))
        shutil.copytree(path.parent, tmp_path / "backup")
    with SqliteJournal(tmp_path / "backup" / path.name) as journal:
        assert list(journal.read()) == facts(5)


# Digest


def test_the_digest_covers_decisions_orders_fills_and_funding_and_nothing_else() -> None:
    start = RunStarted("paper", "v", "f", True, 1, Decimal(1), (), "", 0)

    assert digest([start, *facts(4), marked({})]) == digest(facts(4))
    assert digest(facts(4)) != digest(facts(3))


def test_the_digest_depends_on_the_order_and_on_every_digit() -> None:
    assert digest([fill(1), fill(2)]) != digest([fill(2), fill(1)])
    assert digest([fill(1)]) != digest([fill(1, price="100000.50")])


def test_a_digest_grows_fact_by_fact() -> None:
    growing = Digest()
    for fact in facts(5):
        growing.add(fact)

    assert growing.hexdigest() == digest(facts(5))


def test_the_digest_of_a_known_run_never_changes() -> None:
    expected = "1deabc0c99beb2f63b1ff3c31307874524132656956d2f5a35c87b0f536d0665"
    assert digest(facts(2)) == expected


def test_every_fact_survives_its_encoding() -> None:
    for fact in (*facts(2), planned(0.25), marked({"a": Decimal("1E-10")})):
        assert decode(encode(fact)) == fact
        assert msgspec.json.decode(encode(fact))["type"] == type(fact).__name__
