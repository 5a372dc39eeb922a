"""The venue's own memory in paper: one SQLite file, written before any answer leaves.

It belongs to the other side. The bot's engine never opens it; only the simulated
venue does, when a paper run is taken up again.
"""

import sqlite3
from pathlib import Path

from execution.venues.simulated.exchange import Exchange

_SCHEMA = """
CREATE TABLE IF NOT EXISTS venue
    (one INTEGER PRIMARY KEY CHECK (one = 1), now_ns INTEGER NOT NULL,
     market_ns INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS records (number INTEGER PRIMARY KEY, body BLOB NOT NULL);
"""


class SqliteVenueStore:
    """Snapshot and history of one exchange. ``load`` gives back what ``save`` wrote last."""

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600)
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.executescript(_SCHEMA)

    def save(self, exchange: Exchange, market_ns: int, now_ns: int, /) -> None:
        """All that happened since the last save, in one transaction."""
        records = exchange.drain_records()
        execute = self._database.execute
        execute("BEGIN IMMEDIATE")
        for record in records:
            execute("INSERT INTO records (body) VALUES (?)", (record,))
        row = (now_ns, market_ns, exchange.snapshot())
        execute("INSERT OR REPLACE INTO venue VALUES (1, ?, ?, ?)", row)
        execute("COMMIT")

    def load(self) -> tuple[int, int, bytes, list[bytes]] | None:
        """(now, last instant played, snapshot, records in order); None when nothing was saved."""
        query = "SELECT now_ns, market_ns, body FROM venue"
        row = self._database.execute(query).fetchone()
        if row is None:
            return None
        records = self._database.execute("SELECT body FROM records ORDER BY number").fetchall()
        return row[0], row[1], row[2], [body for (body,) in records]

    def close(self) -> None:
        self._database.close()
