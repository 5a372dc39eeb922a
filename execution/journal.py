"""The journal: every fact, in order, durable before anything is done about it.

One SQLite file in WAL mode with ``synchronous=FULL``, one writer (an operating-system
lock), rows that are only ever appended, and a chain of hashes over them: each row's
hash covers the row and the hash before it, so no row can be changed, dropped from the
middle or put in without every later hash telling. Rows missing at the *end* leave a
shorter, valid chain. A mark beside the file (``.head``) says how far it had come, so an
older copy put in its place, or a write-ahead log that was removed, is refused; where the
mark is as old as the copy, only reconciliation with the venue can tell.

On a disk that fills up, a file of nothing (``.reserve``) is the room in which positions
can still be closed.

Every row says under which schema it was written. ``UPCASTERS`` bring an older row's
words up to date as it is read; a journal written by a newer program is refused.
"""

import errno
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Self
from urllib.parse import quote

import msgspec

from domain.account import FundingPayment
from domain.orders import Fill
from execution.facts import Decided, Fact, OrderIntended, known_at

SCHEMA = 2

Upcaster = Callable[[dict[str, object]], dict[str, object]]
UPCASTERS: dict[int, Upcaster] = {1: lambda words: words}  # kinds of facts came, none changed
"""What turns a fact's JSON object of this schema into one of the next."""

GENESIS = bytes(32)
"""The hash before the first row."""

RESERVE_BYTES = 8 << 20
"""Room kept for closing trades: a write-ahead log up to its checkpoint, 4 MiB, and 10 000 facts."""

_ENCODER = msgspec.json.Encoder(order="deterministic")
_DECODER: msgspec.json.Decoder[Fact] = msgspec.json.Decoder(Fact)

_TABLE = """
CREATE TABLE facts (
    seq INTEGER PRIMARY KEY,
    schema INTEGER NOT NULL,
    kind TEXT NOT NULL,
    time_ns INTEGER NOT NULL,
    body TEXT NOT NULL,
    hash BLOB NOT NULL
) STRICT;
CREATE TRIGGER no_update BEFORE UPDATE ON facts
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER no_delete BEFORE DELETE ON facts
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER in_order BEFORE INSERT ON facts
    WHEN NEW.seq IS NOT 1 + (SELECT coalesce(max(seq), 0) FROM facts)
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
"""
_INSERT = "INSERT INTO facts VALUES (?, ?, CAST(? AS TEXT), ?, CAST(? AS TEXT), ?)"
# Text as bytes: damaged text need not be text any more.
_SELECT = """
SELECT seq, schema, CAST(kind AS BLOB), time_ns, CAST(body AS BLOB), hash
FROM facts WHERE seq > ? ORDER BY seq LIMIT ?
"""
_BATCH = 2_000
_TIMES = range(-(1 << 63), 1 << 63)  # what a column of integers holds

Row = tuple[int, int, bytes, int, bytes, bytes]
"""(seq, schema, kind, time_ns, body, hash)"""


class JournalError(Exception):
    """The journal cannot be opened, read or written.

    Of a refused append nothing is in it, with one exception: after an error of the disk
    itself the whole of it may be found there at the next start, if nothing was appended since.
    """


class DiskFull(JournalError):
    """No room for these facts; ``SqliteJournal.free_reserve`` makes some."""


def encode(fact: Fact) -> bytes:
    """A fact's one JSON form: the same value gives the same bytes."""
    return _ENCODER.encode(fact)


def decode(body: str | bytes, schema: int = SCHEMA) -> Fact:
    """The fact that a body written under ``schema`` says.

    Raises:
        msgspec.MsgspecError: when it says none.
    """
    try:
        if schema == SCHEMA:
            return _DECODER.decode(body)
        if not 1 <= schema < SCHEMA:
            raise msgspec.ValidationError(f"there is no schema {schema}")
        words = msgspec.json.decode(body, type=dict[str, object])
        for version in range(schema, SCHEMA):
            words = UPCASTERS[version](words)
        return _DECODER.decode(_ENCODER.encode(words))
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        # Text that is none, nested without end, or without the words that an upcaster expects.
        raise msgspec.DecodeError(f"{type(error).__name__}: {error}") from None


def link(previous: bytes, content: tuple[int, int, bytes, int, bytes]) -> bytes:
    """The hash of a row (seq, schema, kind, time_ns, body) after the row with hash ``previous``."""
    return blake2b(b"%s%d %d %s %d\n%s" % (previous, *content), digest_size=32).digest()


def _is_linked(previous: bytes, row: Row) -> bool:
    try:
        return link(previous, row[:-1]) == row[-1]
    except (TypeError, OverflowError):  # a damaged column need not be of its type
        return False


def _row(previous: bytes, seq: int, fact: Fact) -> Row:
    content = (seq, SCHEMA, type(fact).__name__.encode(), known_at(fact), encode(fact))
    return *content, link(previous, content)


def _readable(row: Row) -> Row:
    """The row, unless it could not be read back: found here, not at the next start."""
    decode(row[4])  # a number that is none (NaN) was encoded as null
    if row[3] not in _TIMES:
        raise OverflowError(f"no time is {row[3]} ns")
    return row


class Digest:
    """SHA-256 over decisions, orders, fills and funding, in order: what two equal runs share."""

    def __init__(self, facts: Iterable[Fact] = ()) -> None:
        self._hash = sha256()
        for fact in facts:
            self.add(fact)

    def add(self, fact: Fact) -> None:
        if isinstance(fact, Decided | OrderIntended | Fill | FundingPayment):
            self._hash.update(encode(fact) + b"\n")

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def digest(facts: Iterable[Fact]) -> str:
    """The ``Digest`` of all ``facts`` at once, in hexadecimal."""
    return Digest(facts).hexdigest()


class MemoryJournal:
    """The journal of a backtest: the same facts and the same chain, gone with the process."""

    def __init__(self) -> None:
        self._facts: list[Fact] = []
        self._chained = 0
        self._head = GENESIS

    def append(self, facts: Sequence[Fact]) -> None:
        self._facts.extend(facts)

    def read(self) -> Iterator[Fact]:
        return iter(self._facts)

    def __len__(self) -> int:
        return len(self._facts)

    @property
    def head(self) -> bytes:
        """The last row's hash, as a file with these facts would have it; computed when asked."""
        for fact in self._facts[self._chained :]:
            self._chained += 1
            self._head = _row(self._head, self._chained, fact)[-1]
        return self._head


class JournalReader:
    """A journal as it is on the disk, read-only: usable while the bot writes it.

    Reads in short batches, so that a slow reader never holds back a checkpoint.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    def read(self) -> Iterator[Fact]:
        """All facts in order, from the first.

        Raises:
            JournalError: at the first row that is not what was written, or says no fact.
        """
        for seq, schema, _, _, body, _ in self._rows():
            try:
                fact = decode(body, schema)
            except msgspec.MsgspecError as error:
                what = f"row {seq} says no fact: {error}"
                raise JournalError(_damaged(self.path, what)) from None
            yield fact

    def __len__(self) -> int:
        with _explained(self.path):
            query = "SELECT coalesce(max(seq), 0) FROM facts"
            (count,) = self._connection.execute(query).fetchone()
        return int(count)

    @property
    def head(self) -> bytes:
        """The last row's hash: two journals with the same head hold the same facts."""
        with _explained(self.path):
            query = "SELECT hash FROM facts ORDER BY seq DESC LIMIT 1"
            row = self._connection.execute(query).fetchone()
        return bytes(row[0]) if row else GENESIS

    def verify(self) -> None:
        """Walk the whole file: its pages, and the chain from the first row to the last.

        Raises:
            JournalError: naming the first row that is not what was written.
        """
        with _explained(self.path):
            (answer,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        if answer != "ok":
            raise JournalError(_damaged(self.path, str(answer)))
        for _ in self._rows():
            pass

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _rows(self) -> Iterator[Row]:
        """Every row in order, each shown by the chain to be what was written, and none missing."""
        marked, written = _mark(self.path)
        count, head = 0, GENESIS
        while True:
            with _explained(self.path):
                rows = self._connection.execute(_SELECT, (count, _BATCH)).fetchall()
            for row in rows:
                count += 1
                if not _is_linked(head, row):
                    raise JournalError(_damaged(self.path, f"row {count} is not what was written"))
                head = row[-1]
                if count == marked and head != written:
                    raise JournalError(_swapped(self.path, marked))
                yield row
            if len(rows) < _BATCH:
                break
        if count < marked:
            raise JournalError(_swapped(self.path, marked))


class SqliteJournal(JournalReader):
    """The journal of a running bot. Opening creates, locks, and verifies it to the last row.

    The directory is created for its owner alone (0700) where it is missing; the
    files are the owner's alone (0600) always. Where the disk has the room, opening
    keeps ``RESERVE_BYTES`` of it; on a full disk it takes what was kept before.

    Raises:
        JournalError: when another process has it open, it is damaged, it is older than
            its mark, or it was written by a newer program.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _locked(path)
        except OSError as error:
            raise _unkept(path, error) from error
        try:
            super().__init__(path, _opened_whatever_room(path))
            self.verify()
            self._count, self._head = super().__len__(), super().head
            self._mark = _opened(_beside(path, ".head"))
            self._write_mark()
            _reserve(path)
        except OSError as error:
            self.close()
            raise _unkept(path, error) from error
        except BaseException:
            self.close()
            raise

    def append(self, facts: Sequence[Fact]) -> None:
        """Durable when it returns; all of them in one commit, or none.

        Raises:
            DiskFull: when there is no room for them.
            JournalError: when the disk fails, the file is locked, or a fact could
                not be read back. Nothing may be done about these facts in either case.
        """
        rows = self._linked(facts)
        if not rows:
            return
        with _explained(self.path):
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany(_INSERT, rows)
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.rollback()
        self._count, self._head = rows[-1][0], rows[-1][-1]
        self._write_mark()

    def _write_mark(self) -> None:
        # What it says is already durable: a disk without room for it is no reason to stop.
        with suppress(OSError):
            os.pwrite(self._mark, _mark_line(self._count, self._head), 0)

    def _linked(self, facts: Sequence[Fact]) -> list[Row]:
        rows: list[Row] = []
        head = self._head
        for seq, fact in enumerate(facts, self._count + 1):
            try:
                row = _readable(_row(head, seq, fact))
            except (msgspec.MsgspecError, UnicodeError, OverflowError) as error:
                name = type(fact).__name__
                raise JournalError(f"{name} could not be read back ({error}): {fact}") from None
            rows.append(row)
            head = row[-1]
        return rows

    def __len__(self) -> int:
        return self._count

    @property
    def head(self) -> bytes:
        return self._head

    @property
    def wal_bytes(self) -> int:
        """Size of the write-ahead log: some MiB, more only while a foreign reader holds it back."""
        try:
            return _beside(self.path, "-wal").stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def reserved(self) -> bool:
        """Whether room is kept: a bot without it can still close, and should no longer enter."""
        return _beside(self.path, ".reserve").exists()

    def free_reserve(self) -> bool:
        """Give up the room kept on the disk; whether there was any. The next opening keeps some."""
        return _free_reserve(self.path)

    def close(self) -> None:
        """Give the journal back. The lock file stays: removing it would race with an opener."""
        if hasattr(self, "_connection"):
            super().close()
        if hasattr(self, "_mark"):
            os.close(self._mark)
        os.close(self._lock)


def open_for_reading(path: Path) -> JournalReader:
    """Open an existing journal without the right to change it, whether or not a bot writes it.

    Raises:
        JournalError: when there is none, or a newer program wrote it.
    """
    if not path.is_file():
        raise _none_yet(path)
    with _explained(path):
        uri = f"file:{quote(str(path.absolute()))}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=5.0)
        try:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("PRAGMA trusted_schema = OFF")
            schema = _schema(path, connection)
        except BaseException:
            connection.close()
            raise
    if schema == 0:  # its creation is under way, or was cut short
        connection.close()
        raise _none_yet(path)
    return JournalReader(path, connection)


def _none_yet(path: Path) -> JournalError:
    return JournalError(f"there is no journal at {path}; nothing has run with this state yet")


def _mark_line(seq: int, head: bytes) -> bytes:
    """How far a journal had come, in a file beside it: its last row's number and hash.

    Written after each commit and never flushed, so it costs microseconds. The journal is
    durable first: a kill or a power cut can leave the mark behind it, never ahead of it.
    """
    line = b"%020d %s" % (seq, head.hex().encode())
    return b"%s %s\n" % (line, blake2b(line, digest_size=4).hexdigest().encode())


def _mark(path: Path) -> tuple[int, bytes]:
    """The last row that is known to have been in the journal; row 0 where nothing says."""
    try:
        line = _beside(path, ".head").read_bytes()
        seq, head = int(line[:20]), bytes.fromhex(line[21:85].decode())
    except (OSError, ValueError):
        return 0, GENESIS
    return (seq, head) if _mark_line(seq, head) == line else (0, GENESIS)


def _opened(path: Path) -> int:
    """A descriptor of a file that is its owner's alone."""
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _locked(path: Path) -> int:
    """The lock on the sibling file, held while its descriptor is open; it dies with the process."""
    descriptor = _opened(_beside(path, ".lock"))
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise JournalError(
            f"{path} is in use by process {owner}; stop it, or choose another state directory"
        ) from None
    # Whose it is is a courtesy to the next one: on a full disk it is left out. One width, so
    # that writing it again takes no room.
    with suppress(OSError):
        os.pwrite(descriptor, b"%-19d\n" % os.getpid(), 0)
    return descriptor


def _reserve(path: Path) -> None:
    """Keep room on the disk, if there is any: blocks of the disk, not a hole in a file."""
    with suppress(OSError):
        descriptor = _opened(_beside(path, ".reserve"))
        try:
            os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
        except OSError:
            _free_reserve(path)
        finally:
            os.close(descriptor)


def _free_reserve(path: Path) -> bool:
    try:
        _beside(path, ".reserve").unlink()
    except FileNotFoundError:
        return False
    return True


def _opened_whatever_room(path: Path) -> sqlite3.Connection:
    """A start on a full disk is how the positions get closed: it may take the reserve."""
    try:
        return _opened_for_writing(path)
    except DiskFull:
        if not _free_reserve(path):
            raise
        return _opened_for_writing(path)


def _opened_for_writing(path: Path) -> sqlite3.Connection:
    new = not path.is_file()
    try:
        # Created here, so that the file and its -wal and -shm are never readable by others.
        # Only when new: closing a descriptor of it drops this process's locks on it.
        if new:
            os.close(_opened(path))
        path.chmod(0o600)
    except OSError as error:
        raise _unkept(path, error) from error
    with _explained(path):
        connection = sqlite3.connect(path, isolation_level=None, timeout=1.0)
        try:
            _prepare(path, connection)
        except BaseException:
            connection.close()
            raise
    if new:
        directory = os.open(path.parent, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
    return connection


def _prepare(path: Path, connection: sqlite3.Connection) -> None:
    schema = _schema(path, connection)
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise JournalError(f"{path.parent} cannot hold a journal: it needs a local file system")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute(f"PRAGMA journal_size_limit = {16 << 20}")
    if schema == 0:
        connection.executescript(f"BEGIN; {_TABLE} PRAGMA user_version = {SCHEMA}; COMMIT;")
    elif schema < SCHEMA:
        connection.execute(f"PRAGMA user_version = {SCHEMA}")


def _schema(path: Path, connection: sqlite3.Connection) -> int:
    """The newest schema that wrote to this file; 0 where none has."""
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    if schema < 0:
        raise JournalError(_damaged(path, f"its schema is {schema}"))
    if schema > SCHEMA:
        raise JournalError(
            f"{path} was written by a newer program (schema {schema}, this one knows {SCHEMA}); "
            "use that program, or another state directory"
        )
    if schema == 0 and connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() != (0,):
        raise JournalError(f"{path} is another program's database; choose another state directory")
    return int(schema)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """SQLite's errors as one sentence that says what to do."""
    try:
        yield
    except sqlite3.ProgrammingError:
        raise  # closed, or used by another thread: no operator can help
    except UnicodeDecodeError as error:  # SQLite quotes what is damaged, and that is no text
        raise JournalError(_damaged(path, str(error))) from error
    except sqlite3.Error as error:
        extended = getattr(error, "sqlite_errorcode", None) or 0
        code = extended & 0xFF
        if code == sqlite3.SQLITE_FULL or extended == sqlite3.SQLITE_IOERR_SHMSIZE:
            raise DiskFull(f"{path}: {error}; free space on the disk") from error
        if code in (0, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise JournalError(_damaged(path, str(error))) from error
        remedy = {
            sqlite3.SQLITE_IOERR: "check the disk and its free space",
            sqlite3.SQLITE_BUSY: "close the other program that has it open",
            sqlite3.SQLITE_LOCKED: "close the other program that has it open",
            sqlite3.SQLITE_READONLY: "make it writable",
            sqlite3.SQLITE_CANTOPEN: "check that it exists and may be opened",
            sqlite3.SQLITE_CONSTRAINT: "another process wrote to it: stop one of the two",
        }.get(code, "nothing was written")
        raise JournalError(f"{path}: {error}; {remedy}") from error


def _unkept(path: Path, error: OSError) -> JournalError:
    kind = DiskFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else JournalError
    return kind(f"no journal can be kept at {path}: {error.strerror}")


def _damaged(path: Path, what: str) -> str:
    one_line = " ".join(what.split())
    return (
        f"{path} is damaged ({one_line}); restore its directory from a backup, "
        "or start anew in another one"
    )


def _swapped(path: Path, seq: int) -> str:
    return (
        f"{path} is not as it was left: row {seq} is missing or another. An older copy is in "
        "its place, or its -wal file was removed: put the newest files back; to go on with "
        f"what is there, remove {_beside(path, '.head')}"
    )


def _beside(path: Path, end: str) -> Path:
    return path.with_name(path.name + end)
