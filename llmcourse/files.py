"""Files that are whole or not there, whatever kills the process or fills the disk.

A file is written beside its place under a temporary name, forced to the disk, and renamed into
place; a reader sees the old one or the new one, never half of one. A folder takes two renames, so a
process that dies between them leaves it for `recover_directory` to finish. What somebody else put
there is neither replaced nor deleted. Not here: locks (`locks.py`), and what is in the files
(`models/files.py`, `train/checkpoint.py`, `runs/directory.py`). Chapter 08 teaches this.
"""

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Generator
from pathlib import Path
from typing import BinaryIO

from llmcourse.errors import UserError

TEMPORARY = ".tmp"
"""How the name of an unfinished file or folder ends; it begins with a dot."""

Foreign = Callable[[Path], Path | None]
"""From a folder to something in it that is not ours to delete; None if there is nothing."""

_UNFINISHED = re.compile(rf"\..+\.[0-9a-f]{{8}}{re.escape(TEMPORARY)}")
_KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}


def kind_of(path: str | os.PathLike, *, follow: bool = True) -> str:
    """What stands at a path, in words: `a file`, `a folder`, `a pipe`; "" where nothing does.

    A link counts as what it leads to, unless `follow` is off or it leads nowhere.

    Raises:
        UserError: the system cannot even look, as for a name that is too long.
    """
    try:
        mode = _mode(path) if follow else os.lstat(path).st_mode
        return _KINDS.get(stat.S_IFMT(mode), "a device")
    except FileNotFoundError:
        return ""
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):  # what is above it is no folder
            return ""
        raise UserError(f"{path} cannot be: {error.strerror}") from None


def _mode(path: str | os.PathLike) -> int:
    try:
        return os.stat(path).st_mode
    except OSError:
        return os.lstat(path).st_mode  # a link to nowhere, or to itself


def read_file(path: str | os.PathLike) -> bytes:
    """The bytes of a file; what is none, such as a pipe, is not opened, for that may take for ever.

    Raises:
        OSError: there is no such file, or it cannot be read; `filename` is set.
    """
    refuse_no_file(path)
    with naming(path):
        return Path(path).read_bytes()


def refuse_no_file(path: str | os.PathLike) -> None:
    """Raise the `OSError` of a file that cannot be read, where there is a pipe, a folder, ....

    Raises:
        OSError: as opening it would, but at once.
    """
    kind = kind_of(path)
    if kind not in ("", "a link", "a file"):
        raise OSError(errno.EINVAL, f"it is {kind}, not a file", str(path))


def place_for_folder(path: str | os.PathLike, option: str = "--out") -> Path:
    """Where a folder can be made or filled: the path itself, links on the way to it followed.

    They are followed once, here, so that what is written later replaces no link.

    Raises:
        UserError: something else is there or on the way, or the name cannot be.
    """
    kind_of(path)  # refuses names that cannot be
    whole = Path.cwd() / path
    there = next(place for place in (whole, *whole.parents) if os.path.lexists(place))
    kind = kind_of(there)
    if kind == "a link":
        raise UserError(
            f"{there} is a link that leads nowhere: mend it, or choose another {option}"
        )
    if kind != "a folder":
        named = path if there == whole else there
        raise UserError(f"{named} is {kind}, not a folder: choose another {option}")
    real = Path(os.path.realpath(whole))
    return Path(path) if real == Path(os.path.abspath(whole)) else real


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


def atomic_copy(source: str | os.PathLike, target: str | os.PathLike) -> None:
    """Copy a file's bytes so that `target` is never half-written.

    Raises:
        OSError: it cannot be read, or there is no room; what was at `target` is untouched.
    """
    with open(source, "rb") as file, atomic_file(target) as copy:
        shutil.copyfileobj(file, copy)


def nothing_foreign(folder: Path) -> None:
    """Of a folder within a run, which is this program's alone."""


@contextlib.contextmanager
def atomic_directory(
    path: str | os.PathLike, foreign: Foreign = nothing_foreign
) -> Generator[Path]:
    """A new, empty folder to fill, which takes the place of `path` when the block ends well.

    Raises:
        UserError: there is something at `path`, or comes there, that is not ours to replace.
        OSError: no room or no permission; `filename` is set, and what was there is untouched.
    """
    path = Path(path)
    recover_directory(path, foreign)
    for place in (_finished(path), _retired(path)):  # what is still there is somebody else's
        if kind_of(place, follow=False):
            raise UserError(f"{place} is in the way of what is to be written: move it away")
    temporary = _temporary(path)
    try:
        with naming(path, instead_of=temporary):
            temporary.mkdir()
            yield temporary
            _sync_tree(temporary)
            _refuse_foreign(path, foreign)
            if kind_of(path, follow=False):
                os.replace(temporary, _finished(path))
                _swap_in(path)
                _forget_retired(path, foreign)
            else:  # one rename will do, and one that fails leaves nothing
                os.replace(temporary, path)
                _sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def recover_directory(path: str | os.PathLike, foreign: Foreign = nothing_foreign) -> None:
    """Finish a swap of `atomic_directory` that the process did not live to finish.

    Safe to call at any time, and again after dying within it; call it before reading a folder that
    may have been left so. Does nothing where nothing is to be done.
    """
    path = Path(path)
    if _is_ours(_finished(path), foreign):
        _swap_in(path)
    _forget_retired(path, foreign)


def _swap_in(path: Path) -> None:
    """Put the finished folder into its place, and what was there aside; if that fails, back.

    Raises:
        OSError: a rename fails. If what was there is there still, or again, the new one is removed.
    """
    try:
        if path.is_dir():
            os.replace(path, _retired(path))
        os.replace(_finished(path), path)
    except OSError:
        if not path.is_dir() and _retired(path).is_dir():
            with contextlib.suppress(OSError):
                os.replace(_retired(path), path)
        if path.is_dir():
            shutil.rmtree(_finished(path), ignore_errors=True)
        raise
    _sync_folder(path.parent)


def _forget_retired(path: Path, foreign: Foreign) -> None:
    """Remove what was put aside, once there is something in its place."""
    if path.is_dir() and _is_ours(_retired(path), foreign):
        shutil.rmtree(_retired(path), ignore_errors=True)


def _is_ours(folder: Path, foreign: Foreign) -> bool:
    return kind_of(folder, follow=False) == "a folder" and foreign(folder) is None


def _refuse_foreign(path: Path, foreign: Foreign) -> None:
    """Refuse to put a folder where something stands that is not ours to replace.

    Raises:
        UserError: names it.
    """
    kind = kind_of(path, follow=False)
    found = path if kind not in ("", "a folder") else foreign(path) if kind else None
    if found is not None:
        raise UserError(
            f"{found} was not written by this command and would be lost: move it away, "
            "or choose another --out"
        )


@contextlib.contextmanager
def made_for(folder: str | os.PathLike) -> Generator[None]:
    """Make a folder and those above it for the block; if it fails, remove those that are empty."""
    folder = Path(folder)
    new = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        remove_empty(new)
        raise


def remove_empty(folders: list[Path]) -> None:
    """Remove folders, the innermost first, as far as nothing is in them."""
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


def remove_directory(path: str | os.PathLike) -> None:
    """Remove a folder, as far as the system lets us; who dies meanwhile leaves no half of it.

    It is renamed first, to what `clean_up` knows.
    """
    path = Path(path)
    with contextlib.suppress(OSError):
        temporary = _temporary(path)
        os.replace(path, temporary)
        shutil.rmtree(temporary, ignore_errors=True)


def clean_up(folder: str | os.PathLike) -> None:
    """Finish or remove what killed writers left in `folder`; only for whoever is its one writer."""
    for finished in Path(folder).glob(".*.new"):
        recover_directory(finished.with_name(finished.name[1 : -len(".new")]))
    for unfinished in Path(folder).glob(f".*{TEMPORARY}"):
        if not _UNFINISHED.fullmatch(unfinished.name):
            continue  # somebody else's
        if unfinished.is_dir() and not unfinished.is_symlink():
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


def _temporary(path: Path) -> Path:
    """A name beside `path` that no other writer has, not even another one of the same file."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY}")


def _finished(path: Path) -> Path:
    """Where a folder that is complete, but not yet in place, stands."""
    return path.with_name(f".{path.name}.new")


def _retired(path: Path) -> Path:
    """Where the folder that it replaces stands until it is deleted."""
    return path.with_name(f".{path.name}.old")


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
