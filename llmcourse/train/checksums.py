"""The checksums of a checkpoint: whether every file in it is still what was written.

They stand in `SHA256SUMS`, as `sha256sum --check SHA256SUMS` reads them. Not here: which checkpoint
a run goes on from (`checkpoint.py`). Chapter 08 is about checkpoints.
"""

import hashlib
import re
from pathlib import Path

from llmcourse.errors import UserError
from llmcourse.files import atomic_write_text, kind_of, naming, read_file

SUMS = "SHA256SUMS"
_OURS = (".json", ".safetensors")
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


class Damaged(UserError):
    """A file is missing, or is not what was written."""


def write_checksums(folder: Path) -> None:
    """Write the checksum of every file in a folder and below, once all of them are there.

    Raises:
        OSError: one cannot be read, or there is no room.
    """
    found = sorted(folder.rglob("*"))
    paths = [path for path in found if path.is_file() and path.name != SUMS]
    lines = [f"{_sum(path)}  {path.relative_to(folder).as_posix()}\n" for path in paths]
    atomic_write_text(folder / SUMS, "".join(lines))


def check_checksums(folder: Path) -> bool:
    """Compare every file with its checksum; says whether there are any: older folders have none.

    Raises:
        Damaged: a file is missing, has changed, or is there without a checksum; it is named.
        OSError: a file is there but cannot be read.
    """
    kind = kind_of(folder / SUMS)
    if kind != "a file":
        if kind:
            raise Damaged(f"{SUMS} is {kind}")
        return False
    text = read_file(folder / SUMS).decode("ascii", "replace")
    found = [_LINE.fullmatch(line) for line in text.split("\n")[:-1]]
    wanted = {match[2]: match[1] for match in found if match}
    if not text.endswith("\n") or not all(found):
        raise Damaged(f"{SUMS} is no list of checksums")
    for path in sorted(folder.rglob("*")):  # a list that was cut short
        if path.suffix in _OURS and path.relative_to(folder).as_posix() not in wanted:
            raise Damaged(f"{SUMS} knows no {path.name}")
    for name, digest in wanted.items():
        kind = kind_of(folder / name)
        if kind != "a file":
            raise Damaged(f"{name} is {kind or 'missing'}")
        if _sum(folder / name) != digest:
            raise Damaged(f"{name} does not give its checksum")
    return True


def _sum(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    with naming(path), open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
