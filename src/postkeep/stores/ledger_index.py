"""Which entries of the ledger are about whom: an index that is made from the log, and can be made again.

SQLite, in one file beside the log. A row is 32 octets of a person (tenant and principal), an entry's index
and its time; how far the index has come is in the same transaction as the rows, so a crash loses nothing
that is not read from the log again. Not for several threads at once.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from postkeep.base.errors import UnavailableError

FILE_NAME: Final = "people.sqlite"
_VERSION: Final = 1
_SCHEMA: Final = """
    CREATE TABLE posting (
        person BLOB NOT NULL, entry INTEGER NOT NULL, time_ms INTEGER NOT NULL, PRIMARY KEY (person, entry)
    ) WITHOUT ROWID;
    CREATE TABLE reached (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), size INTEGER NOT NULL);
    INSERT INTO reached VALUES (1, 0);
"""

_log = structlog.get_logger(__name__)


class Posting(NamedTuple):
    """An entry that is about a person."""

    person: bytes
    entry: int
    time_ms: int


class PeopleIndex:
    """The index of one ledger."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE_NAME
        self._database: sqlite3.Connection | None = None

    @property
    def reached(self) -> int:
        """How many entries of the log it covers."""
        return int(self._run("SELECT size FROM reached").fetchone()[0])

    def open(self, log_size: int) -> None:
        """Open the index; one that is damaged, of another form, or longer than the log is begun anew."""
        try:
            self._open()
            if self.reached <= log_size:
                return
        except (sqlite3.DatabaseError, UnavailableError, TypeError) as error:
            _log.warning("ledger_index_made_anew", reason=str(error))
        self.close()
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        self._open()

    def add(self, postings: Iterable[Posting], reached: int) -> None:
        """Add rows, and learn that the log is covered up to `reached`."""
        with self._transaction() as database:
            database.executemany("INSERT OR IGNORE INTO posting VALUES (?, ?, ?)", postings)
            database.execute("UPDATE reached SET size = ?", (reached,))

    def page(self, person: bytes, before: int, since_ms: int, until_ms: int, count: int) -> list[int]:
        """Return entries about a person below `before`, newest first; the end of the time is excluded."""
        found = self._run(
            "SELECT entry FROM posting WHERE person = ? AND entry < ? AND time_ms >= ? AND time_ms < ?"
            " ORDER BY entry DESC LIMIT ?",
            (person, before, since_ms, until_ms, count),
        )
        return [row[0] for row in found]

    def close(self) -> None:
        """Close the file."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _open(self) -> None:
        database = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        self._database = database
        self._path.chmod(0o600)
        for setting in ("journal_mode = WAL", "synchronous = NORMAL", "temp_store = MEMORY"):
            database.execute(f"PRAGMA {setting}")
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            database.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")
        elif version != _VERSION:
            raise sqlite3.DatabaseError(f"the index has version {version}")

    def _run(self, query: str, arguments: tuple[object, ...] = ()) -> sqlite3.Cursor:
        if self._database is None:
            raise UnavailableError("the ledger's index is closed")
        try:
            return self._database.execute(query, arguments)
        except sqlite3.OperationalError as error:
            raise UnavailableError(f"the ledger's index: {error}") from error

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._run("BEGIN")
        assert self._database is not None
        try:
            yield self._database
            self._run("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                self._database.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                raise UnavailableError(f"the ledger's index: {error}") from error
            raise
