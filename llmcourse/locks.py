"""Locks: one process at a time writes a folder, and a dead one's lock is no hindrance.

Not here: how files are written so that they are whole or not there (`files.py`).
"""

import contextlib
import os
import re
import sys
import weakref
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO

from llmcourse.errors import UserError
from llmcourse.files import kind_of


def try_lock(path: str | os.PathLike) -> BinaryIO | None:
    """Lock the file at `path` for this process, or None where another process holds the lock.

    The system lifts the lock when the file is closed or the process dies, however it dies. While
    the lock is held the file says the process's id; `lock_holder` reads it.

    Raises:
        UserError: what is there is no such file.
    """
    if kind_of(path, follow=False) not in ("", "a file"):  # opening a pipe would wait for ever
        raise UserError(f"{path} is {kind_of(path, follow=False)}: it is in the way of a lock")
    file = open(path, "a+b")  # noqa: SIM115 - open for as long as the lock is held
    if not _lock(file.fileno()):
        file.close()
        return None
    said: bytes | None = None
    try:
        file.seek(0)
        said = file.read(21)
        if not re.fullmatch(rb"\d{0,20}", said):
            raise UserError(f"{path} is no lock of ours: it is in the way")
        file.truncate(0)
        file.write(str(os.getpid()).encode())
        file.flush()
    except BaseException:
        with contextlib.suppress(OSError), contextlib.closing(file):
            if said == b"":  # it is new: a start that fails leaves nothing
                os.unlink(path)
        raise
    _held.add(file)
    return file


_held: weakref.WeakSet[BinaryIO] = weakref.WeakSet()


def _leave_to_parent() -> None:
    """In a process that was forked: let go of its share in each lock, which would outlive ours."""
    for file in list(_held):
        file.close()


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_leave_to_parent)


def lock_holder(path: str | os.PathLike) -> str:
    """Who holds the lock at `path`, for a message: `process 4711`."""
    pid = Path(path).read_text(errors="replace")
    return f"process {pid}" if pid.isdecimal() else "another process"


@contextlib.contextmanager
def writing_alone(path: str | os.PathLike, option: str = "--out") -> Generator[None]:
    """Let no other process write the folder `path` within the block; a file beside it says so.

    Raises:
        UserError: another process does.
    """
    path = Path(path)
    place = path.with_name(f".{path.name}.llmcourse-lock")
    lock = _lock_in_place(place)
    if lock is None:
        raise UserError(
            f"{path} is in use by {lock_holder(place)}: wait until it has ended, stop it, "
            f"or choose another {option}"
        )
    with contextlib.closing(lock):
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                place.unlink()  # while it is still locked: who waits for it looks again


def _lock_in_place(place: Path) -> BinaryIO | None:
    """A lock on the file that is at a path, not on one that its holder has just removed."""
    while True:
        lock = try_lock(place)
        if lock is None:
            return None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock.fileno()), os.stat(place)):
                return lock
        lock.close()


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
