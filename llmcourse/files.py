"""Files that are whole or not there, whatever kills the process or fills the disk; and locks.

A file is written beside its place under a temporary name, forced to the disk, and renamed into
place; a reader sees the old one or the new one, never half of one. A folder takes two renames, so a
process that dies between them leaves it for `recover_directory` to finish. Not here: what is in the
files (`models/files.py`, `train/checkpoint.py`, `runs/directory.py`). Chapter 08 teaches this.
"""

import contextlib
import os
import secrets
import shutil
import sys
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO

TEMPORARY = ".tmp"
"""How the name of an unfinished file or folder ends; it begins with a dot."""


def atomic_write_text(path: str | os.PathLike, text: str) -> None:
    """Write `text` as UTF-8, its newlines as they are, so that `path` is never half-written.

    Raises:
        OSError: no room or no permission; `filename` is `path`, and what was there is untouched.
    """
    atomic_write_bytes(path, text.encode())


def atomic_write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Write `data` so that `path` is never half-written.

    Raises:
        OSError: no room or no permission; `filename` is `path`, and what was there is untouched.
    """
    with atomic_file(path) as file:
        file.write(data)


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike) -> Generator[BinaryIO]:
    """A binary file to write to, which takes the place of `path` when the block ends well.

    Raises:
        OSError: no room or no permission; `filename` is `path`, and what was there is untouched.
    """
    path = Path(path)
    temporary = _temporary(path)
    try:
        with naming(path, instead_of=temporary):
            with open(temporary, "xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_directory(path: str | os.PathLike) -> Generator[Path]:
    """A new, empty folder to fill, which takes the place of `path` when the block ends well.

    Raises:
        OSError: no room or no permission; `filename` is set, and what was there is untouched.
    """
    path = Path(path)
    recover_directory(path)
    temporary = _temporary(path)
    try:
        with naming(path, instead_of=temporary):
            temporary.mkdir()
            yield temporary
            _sync_tree(temporary)
            os.replace(temporary, _finished(path))
            recover_directory(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def recover_directory(path: str | os.PathLike) -> None:
    """Finish a swap of `atomic_directory` that the process did not live to finish.

    Safe to call at any time, and again after dying within it; call it before reading a folder that
    may have been left so. Does nothing where nothing is to be done.
    """
    path = Path(path)
    finished, retired = _finished(path), path.with_name(f".{path.name}.old")
    if finished.is_dir():
        if path.is_dir():
            os.replace(path, retired)
        os.replace(finished, path)
        _sync_folder(path.parent)
    if path.is_dir():
        shutil.rmtree(retired, ignore_errors=True)


def clean_up(folder: str | os.PathLike) -> None:
    """Finish or remove what killed writers left in `folder`; only for whoever is its one writer."""
    for finished in Path(folder).glob(".*.new"):
        recover_directory(finished.with_name(finished.name[1 : -len(".new")]))
    for unfinished in Path(folder).glob(f".*{TEMPORARY}"):
        if unfinished.is_dir():
            shutil.rmtree(unfinished, ignore_errors=True)
        else:
            unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def naming(path: str | os.PathLike, instead_of: str | os.PathLike | None = None) -> Generator[None]:
    """Name `path` in an `OSError` of the block that names no file, or one under `instead_of`.

    The system tells which file could not be opened, but not which could not be written to.
    """
    try:
        yield
    except OSError as error:
        named = error.filename
        if named is None or (instead_of and str(named).startswith(str(instead_of))):
            error.filename, error.filename2 = str(path), None
        raise


def try_lock(path: str | os.PathLike) -> BinaryIO | None:
    """Lock the file at `path` for this process, or None where another process holds the lock.

    The system lifts the lock when the file is closed or the process dies, however it dies. While
    the lock is held the file says the process's id; `lock_holder` reads it.
    """
    file = open(path, "ab")  # noqa: SIM115 - open for as long as the lock is held
    if not _lock(file.fileno()):
        file.close()
        return None
    file.truncate(0)
    file.write(str(os.getpid()).encode())
    file.flush()
    return file


def lock_holder(path: str | os.PathLike) -> str:
    """Who holds the lock at `path`, for a message: `process 4711`."""
    pid = Path(path).read_text(errors="replace")
    return f"process {pid}" if pid.isdecimal() else "another process"


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> bool:
        # A locked byte cannot be read, so lock one far behind those that say who holds it.
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            # Some network folders know no locks. Better a run without one than no run.
            return True
        return True


def _temporary(path: Path) -> Path:
    """A name beside `path` that no other writer has, not even another one of the same file."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY}")


def _finished(path: Path) -> Path:
    """Where a folder that is complete, but not yet in place, stands."""
    return path.with_name(f".{path.name}.new")


def _sync_tree(folder: Path) -> None:
    """Force every file under `folder`, and the folders themselves, to the disk."""
    for parent, _, names in os.walk(folder):
        for name in names:
            with open(Path(parent, name), "rb+") as file:
                os.fsync(file.fileno())
        _sync_folder(Path(parent))


def _sync_folder(folder: Path) -> None:
    """Force a folder's entries (the rename itself) to the disk, where the system can."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
