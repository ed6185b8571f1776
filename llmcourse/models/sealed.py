"""A file of weights that knows its own checksum, so that a flipped bit is not taken for a weight.

A safetensors file finds out that it is too short, but not that a number in it is another one. So
its header's notes hold the SHA-256 of the whole file, computed with zeros in that place, and that
of the config beside it. Files without such notes (other programs', older ones) are taken as they
are. Not here: the checksums of a whole checkpoint (`checksums.py`). Chapter 08 is about
checkpoints.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from safetensors.torch import save
from torch import Tensor

from llmcourse.errors import UserError
from llmcourse.files import atomic_file, read_file

SUM = "llmcourse.sha256"
CONFIG_SUM = "llmcourse.config.sha256"
_HALVES = (b"llmcourse.", b".sha256")
_BLANK = "0" * 64
_BLOCK = 1 << 20
_LONGEST_HEADER = 100_000_000
"""Bytes; the library refuses longer ones."""


def write_sealed(
    path: str | os.PathLike, tensors: dict[str, Tensor], config: str | None = None
) -> None:
    """Write tensors as a safetensors file with its checksum, and that of the config's text, if any.

    The same tensors give the same bytes.

    Raises:
        OSError: no room or no permission; what was there is untouched.
    """
    # Hugging Face's loader refuses a file that does not say where it is from.
    notes = {"format": "pt", SUM: _BLANK}
    if config is not None:
        notes[CONFIG_SUM] = hashlib.sha256(config.encode()).hexdigest()
    data = save(tensors)  # not save_file: it hides a full disk
    length = int.from_bytes(data[:8], "little")
    # The library would write several notes in an order that chance decides.
    values = {"__metadata__": notes, **json.loads(data[8 : 8 + length])}
    text = json.dumps(values, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # numbers begin at a multiple of 8 bytes
    header, numbers = len(text).to_bytes(8, "little") + text, memoryview(data)[8 + length :]
    digest = hashlib.sha256(header)
    digest.update(numbers)
    with atomic_file(path) as file:
        file.write(header.replace(_BLANK.encode(), digest.hexdigest().encode(), 1))
        file.write(numbers)


def check_sealed(path: str | os.PathLike, config: str | os.PathLike | None = None) -> None:
    """Refuse a file that is no longer what `write_sealed` wrote.

    Args:
        path: the file of weights.
        config: the config beside it, which must be the one that was written with it.

    Raises:
        UserError: either of them has changed; it is named.
        OSError: there is no such file, or it cannot be read.
    """
    with open(path, "rb") as file:
        header = _header(file)
        notes = _notes(header)
        # A flipped bit may hit the note's own name, or that of all notes: half of it is left then.
        if SUM in notes or any(half in header for half in _HALVES):
            wanted = notes.get(SUM, "")
            digest = hashlib.sha256(header.replace(wanted.encode() or b"?", _BLANK.encode(), 1))
            for block in _blocks(file):
                digest.update(block)
            if digest.hexdigest() != wanted:
                raise UserError(
                    f"{path} is damaged (its bytes do not give its checksum): save or copy the "
                    "model again"
                )
    if config is None or CONFIG_SUM not in notes:
        return
    if hashlib.sha256(read_file(config)).hexdigest() != notes[CONFIG_SUM]:
        raise UserError(
            f"{config} is damaged or was changed: it is not the one that {Path(path).name} was "
            "saved with; save or copy the model again"
        )


def _header(file: BinaryIO) -> bytes:
    """The length and the JSON at a file's beginning; what is no such file is told by the loader."""
    start = file.read(8)
    length = int.from_bytes(start, "little")
    return start + file.read(length) if length <= _LONGEST_HEADER else start


def _notes(header: bytes) -> dict[str, str]:
    """The notes in a header; none in what does not parse, which the loader will refuse."""
    try:
        notes = json.loads(header[8:])["__metadata__"]
        return {k: v for k, v in notes.items() if isinstance(v, str) and len(v) == len(_BLANK)}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block
