"""Whatever bytes a journal's rows or file hold, they are facts or a documented refusal."""

import math
import sqlite3
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from domain.money import Money
from domain.orders import Fill, FillCause, Liquidity, OrderRequest, Side, TimeInForce
from execution import journal as journal_module
from execution.facts import (
    CommandGiven,
    EquityMarked,
    Fact,
    LimitCleared,
    LimitTripped,
    OrderIntended,
    Role,
)
from execution.journal import (
    GENESIS,
    SCHEMA,
    UPCASTERS,
    JournalError,
    JournalReader,
    SqliteJournal,
    decode,
    encode,
    link,
    open_for_reading,
)

BTC = "synthetic:BTC-PERP"
ONE = Decimal("1.50")
ORDER = OrderRequest("0x01", BTC, Side.SELL, ONE, ONE, TimeInForce.IOC, False, 9)
FACTS: list[Fact] = [
    OrderIntended(ORDER, "BTC#1", Role.HEDGE, ONE, 4),
    Fill(
        "1",
        "0x01",
        BTC,
        Side.SELL,
        ONE,
        ONE,
        Money(ONE, "USDC"),
        Liquidity.TAKER,
        FillCause.ORDER,
        5,
        6,
    ),
    LimitCleared("stale_data", "operator", 1),
    LimitTripped("daily_loss", latched=True, detail="3 %", time_ns=2),
    EquityMarked(ONE, ONE, ONE, ONE, ONE, {BTC: Decimal("1E-10")}, 3),
]
BODIES = [encode(fact) for fact in FACTS]

schemas = st.integers(-(1 << 63), (1 << 63) - 1) | st.just(SCHEMA)
values = st.none() | st.integers(-(1 << 63), (1 << 63) - 1) | st.floats() | st.text() | st.binary()


Edit = tuple[float, int | None, bytes]
"""Where, as a share of the whole; how many bytes go, as many as come if None; what comes."""

edits: st.SearchStrategy[list[Edit]] = st.lists(
    st.tuples(st.floats(0, 1), st.none() | st.integers(0, 8), st.binary(max_size=8)),
    min_size=1,
    max_size=6,
)


def edited(whole: bytes, changes: list[Edit]) -> bytes:
    damaged = bytearray(whole)
    for where, gone, new in changes:
        start = int(where * len(damaged))
        damaged[start : start + (len(new) if gone is None else gone)] = new
    return bytes(damaged)


bodies = st.binary() | st.builds(edited, st.sampled_from(BODIES), edits)


@pytest.fixture
def stable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of files are opened: each keeps a page and not 8 MiB."""
    monkeypatch.setattr(journal_module, "RESERVE_BYTES", 4096)


many = settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    # The files are made anew for each example; nothing of one is left for the next.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@many
@given(bodies, schemas)
def test_any_body_is_a_fact_or_none(body: bytes, schema: int) -> None:
    try:
        fact = decode(body, schema)
    except msgspec.MsgspecError:
        return
    assert schema == SCHEMA or schema in UPCASTERS
    assert encode(decode(encode(fact))) == encode(fact)


@pytest.mark.parametrize("body", [b"\xff", b'{"type":"\xff"}', "\ud800", b"", b"[" * 10**6])
@pytest.mark.parametrize("schema", [SCHEMA, 0, -1, SCHEMA + 1])
def test_text_that_is_none_says_no_fact(body: str | bytes, schema: int) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode(body, schema)


@pytest.mark.parametrize("opening", [b'{"x":', b'{"type":"LimitCleared","x":[', b'{"x":[{"y":'])
def test_a_body_nested_without_end_says_no_fact(opening: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError, match="recursion"):
        decode(opening * 100_000)


@pytest.mark.parametrize("words", [{}, {"detail": 1}, {"detail": None}])
def test_an_upcaster_that_misses_its_words_says_no_fact(
    words: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def shorter(words: dict[str, object]) -> dict[str, object]:
        return words | {"detail": cast("str", words["detail"])[:3]}

    monkeypatch.setattr(journal_module, "SCHEMA", SCHEMA + 1)
    monkeypatch.setitem(journal_module.UPCASTERS, SCHEMA, shorter)
    with pytest.raises(msgspec.MsgspecError):
        decode(msgspec.json.encode(words), SCHEMA)


def with_rows(path: Path, rows: list[tuple[object, ...]]) -> None:
    """A journal file with these columns as they are, in a table that takes anything."""
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    database = sqlite3.connect(path)
    database.execute("PRAGMA synchronous = OFF")
    database.execute(
        "CREATE TABLE facts (seq INTEGER PRIMARY KEY, schema, kind, time_ns, body, hash)"
    )
    database.execute(f"PRAGMA user_version = {SCHEMA}")
    database.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?, ?, ?)", rows)
    database.commit()
    database.close()


numbers = st.integers(1, 3) | st.integers(1, (1 << 63) - 1)


@many
@given(st.lists(st.tuples(numbers, values, values, values, values, values), max_size=3))
@example([(1, math.inf, b"Fill", 0, b"{}", GENESIS)])
@example([(1, SCHEMA, b"Fill", -math.inf, b"{}", GENESIS)])
@example([(1, SCHEMA, None, 0, b"{}", GENESIS)])
def test_rows_of_anything_are_refused(
    tmp_path: Path, stable: None, rows: list[tuple[object, ...]]
) -> None:
    with_rows(tmp_path / "journal.sqlite", rows)
    with open_for_reading(tmp_path / "journal.sqlite") as reader:
        if rows:
            with pytest.raises(JournalError):
                list(reader.read())
        else:
            assert list(reader.read()) == []


@many
@given(bodies, schemas, st.binary(max_size=8), st.integers(-(1 << 63), (1 << 63) - 1))
def test_a_row_that_is_rightly_chained_is_a_fact_or_is_named(
    tmp_path: Path, body: bytes, schema: int, kind: bytes, time_ns: int
) -> None:
    content = (1, schema, kind, time_ns, body)
    with_rows(tmp_path / "journal.sqlite", [(*content, link(GENESIS, content))])
    with open_for_reading(tmp_path / "journal.sqlite") as reader:
        reader.verify()
        try:
            (fact,) = reader.read()
        except JournalError as refusal:
            assert "row 1 says no fact" in str(refusal)  # noqa: PT017 - it may also say one
        else:
            assert schema == SCHEMA or schema in UPCASTERS
            assert encode(fact) == encode(decode(body))


@cache
def whole() -> bytes:
    """A journal's file of six pages. No fixture: a failure would show all of it."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal.sqlite"
        with SqliteJournal(path) as journal:
            journal.append(FACTS * 20)
        return path.read_bytes()


@many
@given(edits, st.none() | st.tuples(st.integers(0, 5), st.integers(0, 5)))
@example([(0.11224201414805893, None, b"\x80")], None)  # SQLite quotes what it cannot read
def test_a_mutated_file_reads_as_it_was_or_is_refused(
    tmp_path: Path, stable: None, changes: list[Edit], moved: tuple[int, int] | None
) -> None:
    damaged = edited(whole(), changes)
    if moved is not None:  # a page in another one's place
        source, target = (page * 4096 for page in moved)
        damaged = damaged[:target] + whole()[source : source + 4096] + damaged[target + 4096 :]
    path = tmp_path / "journal.sqlite"
    for old in tmp_path.iterdir():
        old.unlink()
    path.write_bytes(damaged)
    openers: tuple[Callable[[Path], JournalReader], ...] = (open_for_reading, SqliteJournal)
    for opener in openers:
        try:
            with opener(path) as journal:
                found = list(journal.read())
        except JournalError as refusal:
            assert "\n" not in str(refusal)  # noqa: PT017 - it may also be read
        else:
            # Without a mark beside it, a file cut short is a shorter journal.
            assert found == (FACTS * 20)[: len(found)]


@pytest.mark.parametrize(
    "fact",
    [
        LimitCleared("stale_data", "\ud800", 1),
        LimitCleared("stale_data", "operator", 1 << 63),
        LimitCleared("stale_data", "operator", -(1 << 63) - 1),
        LimitCleared("stale_data", "operator", 1 << 70),
        CommandGiven("pause", cast("str", 7), "", 1),
    ],
)
def test_a_fact_that_no_row_can_hold_is_refused_and_the_next_is_taken(
    tmp_path: Path, fact: Fact
) -> None:
    with SqliteJournal(tmp_path / "journal.sqlite") as journal:
        with pytest.raises(JournalError, match="could not be read back"):
            journal.append([FACTS[0], fact])
        journal.append(FACTS)
        assert list(journal.read()) == FACTS
