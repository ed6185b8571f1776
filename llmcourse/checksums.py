"""Checksums of files: whether what is read is still what was written.

They stand in `SHA256SUMS` beside the files, as `sha256sum --check SHA256SUMS` reads them: those of
all files of a checkpoint, of the tokens and the tokenizer of a run or of a prepared folder. Folders
that were written before there were checksums have none, and are taken as they are. Not here: which
checkpoint a run goes on from (`train/checkpoint.py`), a model's own checksum (`models/sealed.py`).
Chapter 08 is about checkpoints.
"""

import contextlib
import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from llmcourse.errors import UserError
from llmcourse.files import atomic_write_text, kind_of, naming, read_file

SUMS = "SHA256SUMS"
REMEDY = "put back a whole copy of the file, or start a new run"
"""What to do, unless the text can be prepared again."""
_OURS = (".json", ".safetensors")
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


class Damaged(UserError):
    """A file is missing, or is not what was written."""


def write_checksums(
    folder: Path, paths: Iterable[Path] | None = None, known: Mapping[str, str] | None = None
) -> None:
    """Write the checksums of files in a folder: of some, or of every file in it and below.

    Args:
        folder: where the list is written.
        paths: files in it; all that there are unless given.
        known: the checksums, by name, of what was hashed while it was written.

    Raises:
        OSError: one cannot be read, or there is no room.
    """
    found = sorted(folder.rglob("*") if paths is None else paths)
    paths = [path for path in found if path.is_file() and path.name != SUMS]
    named = {path.relative_to(folder).as_posix(): path for path in paths}
    known = known or {}
    lines = [f"{known.get(name) or _sum(path)}  {name}\n" for name, path in named.items()]
    atomic_write_text(folder / SUMS, "".join(lines))


def check_checksums(folder: Path) -> bool:
    """Compare every file with its checksum; says whether there are any: older folders have none.

    Raises:
        Damaged: a file is missing, has changed, or is there without a checksum; it is named.
        OSError: a file is there but cannot be read.
    """
    wanted = _read(folder)
    if wanted is None:
        return False
    for path in sorted(folder.rglob("*")):  # a list that was cut short
        if path.suffix in _OURS and path.relative_to(folder).as_posix() not in wanted:
            raise Damaged(f"{SUMS} knows no {path.name}")
    for name, digest in wanted.items():
        _compare(folder, name, digest)
    return True


def check_files(*paths: Path, remedy: str = REMEDY) -> dict[str, str]:
    """Refuse files of one folder that are not what was written; without a list all is well.

    Returns:
        Their checksums, by name; empty where there is no list, or nothing to compare.

    Raises:
        Damaged: one is missing or has changed, or the list does not know it; it is named.
        OSError: a file is there but cannot be read.
    """
    folder = paths[0].parent if paths else Path()
    try:
        wanted = _read(folder) if paths else None
        if wanted is None:
            return {}
        for path in paths:
            if path.name not in wanted:
                raise Damaged(f"{SUMS} knows no {path.name}")
            _compare(folder, path.name, wanted[path.name])
        return {path.name: wanted[path.name] for path in paths}
    except Damaged as error:
        raise Damaged(f"{folder} is damaged: {error}; {remedy}") from None


def check_listed(*paths: Path) -> None:
    """The same for a folder that may be a stranger's, whose list, if any, need not be like ours.

    Raises:
        Damaged: a file has changed since its checksum was written.
        OSError: a file is there but cannot be read.
    """
    wanted: dict[str, str] | None = None
    with contextlib.suppress(Damaged):
        wanted = _read(paths[0].parent)
    listed = [path for path in paths if wanted and path.name in wanted]
    if listed:
        check_files(*listed)


def _read(folder: Path) -> dict[str, str] | None:
    """The checksums in a folder's list, by name; None where there is no list.

    Raises:
        Damaged: it is none of ours.
    """
    kind = kind_of(folder / SUMS)
    if kind != "a file":
        if kind:
            raise Damaged(f"{SUMS} is {kind}")
        return None
    text = read_file(folder / SUMS).decode("ascii", "replace")
    found = [_LINE.fullmatch(line) for line in text.split("\n")[:-1]]
    if not text.endswith("\n") or not all(found):
        raise Damaged(f"{SUMS} is no list of checksums")
    return {match[2]: match[1] for match in found if match}


def _compare(folder: Path, name: str, digest: str) -> None:
    kind = kind_of(folder / name)
    if kind != "a file":
        raise Damaged(f"{name} is {kind or 'missing'}")
    if _sum(folder / name) != digest:
        raise Damaged(f"{name} does not give its checksum")


def _sum(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    with naming(path), open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
