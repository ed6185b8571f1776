"""A disk that fails at the n-th operation, for every n: what SQLite's tests do to a database.

`Disk` stands between Python and the system for all files below a folder: it counts what is opened,
read, written, forced to the disk, renamed, made, listed and removed, and lets one of these fail, or
the disk be full from then on, or the process be dead. The files are real: half of a write that
fails is on the disk. Not counted: what libraries in other languages do by themselves (SQLite's
index of copies), but the opening of a safetensors file is.
"""

import builtins
import contextlib
import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

import safetensors.torch
from safetensors import SafetensorError

import llmcourse.export.peft
import llmcourse.models.files
import llmcourse.train.checkpoint

KINDS = ("broken", "full", "read-only", "short", "killed")
"""What may happen at the n-th operation.

It fails, this once (EIO); from then on there is no room (ENOSPC) or no permission (EROFS) to write;
it writes half of what it is given, and says so; or the process dies, and nothing happens any more.
"""
ERRORS = {"short": errno.EIO, "broken": errno.EIO, "full": errno.ENOSPC, "read-only": errno.EROFS}
OPENERS = (llmcourse.models.files, llmcourse.train.checkpoint, llmcourse.export.peft,
           safetensors.torch)  # fmt: skip


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it reaches the disk."""


class Disk:
    """The operations on files below a folder.

    Attributes:
        folder: where it is; all else is left alone.
        at: the number of the operation, from 1, at which it happens; 0 for none.
        kind: what happens, one of `KINDS`.
        done: what was done so far, as `write checkpoints/state.json`.
    """

    def __init__(self, folder: Path, at: int = 0, kind: str = "broken") -> None:
        self.folder, self.at, self.kind = os.path.realpath(folder), at, kind
        self.done: list[str] = []
        self.dead = False

    def __str__(self) -> str:
        return f"{self.kind} at {self.at}: {dict(enumerate(self.done, 1)).get(self.at)}"

    def concerns(self, path: Any, dir_fd: int | None = None) -> str | None:
        """The path that is meant, below the folder and relative to it; None for another place."""
        if isinstance(path, int):
            path = _path_of(path)
        elif dir_fd is not None:
            path = os.path.join(_path_of(dir_fd), os.fspath(path))
        whole = os.path.abspath(os.fsdecode(path))
        inside = whole == self.folder or whole.startswith(self.folder + os.sep)
        return os.path.relpath(whole, self.folder) if inside else None

    def count(self, what: str, path: Any, *, writes: bool, dir_fd: int | None = None) -> bool:
        """Count an operation; says whether it is to be done by half.

        Raises:
            OSError: it fails.
            Killed: the process has died.
        """
        name = self.concerns(path, dir_fd)
        if name is None:
            return False
        if self.dead:
            self.die()
        self.done.append(f"{what} {name}")
        now = len(self.done) == self.at
        if not self.at or len(self.done) < self.at:
            return False
        if self.kind == "killed":
            if what != "write":
                self.die()
            return True
        if self.kind == "short":
            return now and what == "write"
        if now if self.kind == "broken" else writes:
            if what == "write" and self.kind != "read-only":
                return True
            raise self.error(path)
        return False

    def die(self) -> NoReturn:
        """End the process, as far as the disk is concerned.

        Raises:
            Killed: always.
        """
        self.dead = True
        raise Killed

    def fail(self, path: Any) -> NoReturn:
        """What becomes of an operation that was done by half.

        Raises:
            OSError: it fails.
            Killed: the process has died.
        """
        if self.kind == "killed":
            self.die()
        raise self.error(path)

    def error(self, path: Any) -> OSError:
        """The error of this kind, as the system words it."""
        number = ERRORS[self.kind]
        named = () if isinstance(path, int) else (os.fspath(path),)
        return OSError(number, os.strerror(number), *named)

    @contextlib.contextmanager
    def __call__(self) -> Iterator["Disk"]:
        """Stand between within the block."""
        with contextlib.ExitStack() as stack:
            put = lambda place, name, new: stack.enter_context(mock.patch.object(place, name, new))  # noqa: E731
            opened = self._open(builtins.open)
            put(builtins, "open", opened)
            put(io, "open", opened)
            put(os, "fsync", self._one("fsync", lambda _: None, writes=True))  # it takes long
            for name in ("mkdir", "unlink", "remove", "rmdir"):
                put(os, name, self._one(name, getattr(os, name), writes=True))
            for name in ("scandir", "listdir"):
                put(os, name, self._one(name, getattr(os, name), writes=False))
            for name in ("replace", "rename", "link"):
                put(os, name, self._two(name, getattr(os, name)))
            put(os, "open", self._os_open(os.open))
            put(os, "sendfile", self._sendfile(os.sendfile))
            for place in OPENERS:
                put(place, "safe_open", self._safe_open(place.safe_open))
            yield self

    def _one(self, name: str, real: Callable, *, writes: bool) -> Callable:
        def call(path: Any = ".", *args: Any, **options: Any) -> Any:
            self.count(name, path, writes=writes, dir_fd=options.get("dir_fd"))
            return real(path, *args, **options)

        return call

    def _two(self, name: str, real: Callable) -> Callable:
        def call(source: Any, target: Any, **options: Any) -> Any:
            self.count(name, target, writes=True)
            return real(source, target, **options)

        return call

    def _os_open(self, real: Callable) -> Callable:
        def call(path: Any, flags: int, *args: Any, **options: Any) -> Any:
            writes = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
            self.count("open", path, writes=writes, dir_fd=options.get("dir_fd"))
            return real(path, flags, *args, **options)

        return call

    def _sendfile(self, real: Callable) -> Callable:
        def call(target: int, source: int, *args: Any) -> Any:
            if self.count("write", target, writes=True):
                self.fail(target)
            return real(target, source, *args)

        return call

    def _safe_open(self, real: Any) -> Callable:
        def call(path: Any, *args: Any, **options: Any) -> Any:
            try:
                self.count("safe_open", path, writes=False)
            except OSError as error:  # as the library words it
                raise SafetensorError(f"I/O error: {error.strerror}") from None
            return real(path, *args, **options)

        return call

    def _open(self, real: Callable) -> Callable:
        def call(file: Any, mode: str = "r", buffering: int = -1, *args: Any, **options: Any):
            if isinstance(file, int) or self.concerns(file) is None:
                return real(file, mode, buffering, *args, **options)
            self.count("open", file, writes=any(letter in mode for letter in "wax+"))
            raw = _Raw(self, file, mode.replace("t", "").replace("b", ""))
            if buffering == 0:
                return raw
            kind = io.BufferedRandom if "+" in mode else io.BufferedReader
            buffered = (kind if "+" in mode or "r" in mode else io.BufferedWriter)(raw)
            return buffered if "b" in mode else io.TextIOWrapper(buffered, *args, **options)

        return call


def _path_of(descriptor: int) -> str:
    """Where what was opened is."""
    if sys.platform == "darwin":
        import fcntl

        return fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0").decode()
    return os.readlink(f"/proc/self/fd/{descriptor}")


class _Raw(io.FileIO):
    """A file without a buffer: each read and write is one of the system's."""

    def __init__(self, disk: Disk, file: Any, mode: str) -> None:
        super().__init__(file, mode)
        self.disk = disk

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        if self.disk.dead:  # a buffer is emptied after its process has died
            return len(view)
        if not self.disk.count("write", self.name, writes=True):
            return super().write(view)
        half = len(view) // 2
        super().write(view[:half])
        if self.disk.kind != "short" or not half:
            self.disk.fail(self.name)
        return half

    def readinto(self, buffer: Any) -> int | None:
        self.disk.count("read", self.name, writes=False)
        return super().readinto(buffer)

    def readall(self) -> bytes:
        self.disk.count("read", self.name, writes=False)
        return super().readall()

    def read(self, size: int = -1) -> bytes | None:
        self.disk.count("read", self.name, writes=False)
        return super().read(size)

    def truncate(self, size: int | None = None) -> int:
        self.disk.count("truncate", self.name, writes=True)
        return super().truncate(size)


def faults(done: list[str], kinds: tuple[str, ...] = KINDS) -> list[tuple[int, str]]:
    """Every operation of those that were done, with everything that may happen at it."""
    return [
        (at, kind)
        for at, what in enumerate(done, 1)
        for kind in kinds
        if what.split()[0] in _WHERE.get(kind, _WHERE["full"] | _READS)
    ]


_READS = {"read", "scandir", "listdir", "safe_open"}
_WRITES = {"open", "write", "truncate", "fsync", "mkdir", "unlink", "remove", "rmdir", "replace",
           "rename", "link"}  # fmt: skip
_WHERE = {"full": _WRITES, "read-only": _WRITES, "short": {"write"}}
