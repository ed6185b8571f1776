"""The index of de-duplication on disk, so that memory does not grow with the corpus.

A table of SQLite stands in for the dictionaries of `dedup.MemoryIndex`. It is a working file of one
run: it is never forced to the disk, and whoever made it removes it. Not here: signatures and bands
(`dedup`).
"""

import contextlib
import errno
import os
import sqlite3
from collections.abc import Generator

import numpy as np
from jaxtyping import UInt32

from llmcourse.tokenizers.base import to_bytes

CACHE_MEGABYTES = 64
"""How much of the index is kept in memory."""

_TABLES = """
CREATE TABLE texts (fingerprint BLOB PRIMARY KEY, name BLOB) WITHOUT ROWID;
CREATE TABLE documents (id INTEGER PRIMARY KEY, name BLOB, signature BLOB);
CREATE TABLE bands (key INTEGER, id INTEGER, PRIMARY KEY (key, id)) WITHOUT ROWID;
"""


class DiskIndex:
    """Fingerprints, signatures and bands of the documents that were kept, in one file."""

    def __init__(self, connection: sqlite3.Connection):
        self._tables = connection
        self._tables.executescript(_TABLES)

    def copy_of(self, name: str, key: bytes) -> str | None:
        """The name of the first document with this `fingerprint`; if there is none, keep this."""
        row = self._tables.execute("SELECT name FROM texts WHERE fingerprint = ?", (key,))
        if found := row.fetchone():
            return _name(found[0])
        self._tables.execute("INSERT INTO texts VALUES (?, ?)", (key, to_bytes(name)))
        return None

    def candidates(self, keys: list[bytes]) -> list[tuple[str, UInt32[np.ndarray, " n"]]]:
        """Name and signature of every document that shares a band's key, each once, in order."""
        marks = ",".join("?" * len(keys))
        rows = self._tables.execute(
            "SELECT name, signature FROM documents WHERE id IN "
            f"(SELECT id FROM bands WHERE key IN ({marks})) ORDER BY id",
            _numbers(keys),
        )
        return [(_name(name), np.frombuffer(data, dtype=np.uint32)) for name, data in rows]

    def insert(self, name: str, signature: UInt32[np.ndarray, " n"], keys: list[bytes]) -> None:
        """Add a document."""
        added = self._tables.execute(
            "INSERT INTO documents (name, signature) VALUES (?, ?)",
            (to_bytes(name), signature.tobytes()),
        )
        rows = [(key, added.lastrowid) for key in _numbers(keys)]
        self._tables.executemany("INSERT OR IGNORE INTO bands VALUES (?, ?)", rows)


@contextlib.contextmanager
def disk_index(path: str | os.PathLike[str]) -> Generator[DiskIndex]:
    """A new index in the file `path`, which is removed when the block ends, however it ends.

    Raises:
        OSError: the disk is full or may not be written.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(f"PRAGMA cache_size = {-1024 * CACHE_MEGABYTES}")
        connection.execute("BEGIN")
        yield DiskIndex(connection)
    except sqlite3.OperationalError as error:
        raise OSError(_error_number(error), str(error), os.fspath(path)) from error
    finally:
        connection.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _error_number(error: sqlite3.OperationalError) -> int:
    """What SQLite says of a full or locked-up disk, in the system's numbers."""
    full = error.sqlite_errorcode == sqlite3.SQLITE_FULL
    return errno.ENOSPC if full else errno.EACCES


def _numbers(keys: list[bytes]) -> list[int]:
    """The keys as 64-bit numbers that differ from band to band, a quarter of their size.

    Python's own hash will do: it changes from process to process, but so does the index.
    """
    return list(map(hash, enumerate(keys)))


def _name(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
