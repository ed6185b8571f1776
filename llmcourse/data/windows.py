"""A stream of ids, on disk or in memory, and windows of equal length cut from it.

The file is nothing but ids, two or four bytes each, mapped into memory: a run reads only the
windows it needs, so a corpus may be larger than the machine's memory. A JSON file beside it says
how to read it. Not here: which window comes when (`loader`). Chapter 08 teaches this.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int64, Integer

from llmcourse.checksums import REMEDY, check_files
from llmcourse.errors import UserError
from llmcourse.files import atomic_file, read_file, refuse_no_file
from llmcourse.plain import parse_json


def write_tokens(
    path: str | os.PathLike[str],
    chunks: Iterable[Integer[np.ndarray, " _"]],
    vocab_size: int,
    sums: dict[str, str] | None = None,
) -> int:
    """Write a stream of ids, however long it turns out to be, and say how many there were.

    The file's checksum is computed on the way, and put into `sums` by the file's name.

    Ids take two bytes each where the vocabulary allows, else four. The file appears under its name
    only when it is complete, and its description last of all. Whatever goes wrong before that (a
    full disk, Ctrl-C, a document that cannot be read) leaves what was there before.

    Raises:
        UserError: an id is not in the vocabulary.
        OSError: the disk is full or may not be written.
    """
    path = Path(path)
    dtype = np.dtype("<u2" if vocab_size <= 2**16 else "<u4")
    digest, count = hashlib.sha256(), 0
    with atomic_file(sidecar(path)) as description, atomic_file(path) as file:
        for chunk in chunks:
            data = _to_bytes(chunk, dtype, vocab_size)
            file.write(data)
            digest.update(data)
            count += len(chunk)
        fields = {"dtype": dtype.str, "count": count, "vocab_size": vocab_size}
        description.write(json.dumps(fields).encode())
        file.flush()  # what the disk has no room for shows here at the latest
        sidecar(path).unlink(missing_ok=True)  # so that it never describes another file's ids
    if sums is not None:
        sums[path.name] = digest.hexdigest()
    return count


def sidecar(path: str | os.PathLike[str]) -> Path:
    """Where the description of a file of ids is: `train.bin.json` beside `train.bin`."""
    return Path(path).with_name(Path(path).name + ".json")


def check_tokens(*paths: str | os.PathLike[str], remedy: str = REMEDY) -> dict[str, str]:
    """Refuse files of ids, or their descriptions, that have changed since `write_checksums`.

    All of each is read, so this is for the opening of a run, not for each window.

    Returns:
        Their checksums, by name; empty where there are none.

    Raises:
        Damaged: names one.
        OSError: one cannot be read.
    """
    files = [file for path in paths for file in (Path(path), sidecar(path))]
    return check_files(*files, remedy=remedy)


class Windows:
    """Windows of `length` ids over a file that `write_tokens` wrote, or over ids in memory.

    Neighbours share `overlap` ids. With next-token prediction an overlap of one makes every id but
    the very first a target exactly once; without it, each window's first id is never asked for.

    The stream counts as a ring: a window that begins near the end, which only an `offset` makes
    happen, runs on at the beginning. Every stream ends in END_OF_TEXT, so that this seam looks like
    the border of any two documents.

    Attributes:
        tokens: all ids, in the file's own format, mapped into memory; or the array itself.
        stride: how far apart two neighbours begin, `length - overlap`.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | Sequence[int] | Integer[np.ndarray, " tokens"],
        length: int,
        overlap: int = 0,
    ):
        """Map a file into memory, or take ids as they are: an array is not copied.

        Raises:
            UserError: the file is missing or damaged, the array holds no ids, or they are fewer
                than one window takes.
        """
        assert 0 <= overlap < length
        self.length = length
        self.stride = length - overlap
        is_file = isinstance(source, str | os.PathLike)
        self.tokens = _map_tokens(Path(source)) if is_file else _row_of_ids(source)
        if len(self.tokens) < length:
            what = source if is_file else "the array"
            raise UserError(
                f"{what} holds {len(self.tokens)} tokens, a window takes {length}: "
                "give more text or choose a shorter context_length"
            )

    def __len__(self) -> int:
        """How many whole windows there are; ids after the last one are left out."""
        return (len(self.tokens) - self.length) // self.stride + 1

    def window(self, index: int, offset: int = 0) -> Int64[np.ndarray, " N"]:
        """The ids of window `index`, each window moved by `offset` ids.

        Raises:
            IndexError: there is no such window.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"window {index} of {len(self)}")
        start = (index * self.stride + offset) % len(self.tokens)
        ids = self.tokens[start : start + self.length].astype(np.int64)
        if len(ids) < self.length:
            ids = np.concatenate([ids, self.tokens[: self.length - len(ids)].astype(np.int64)])
        return ids


def _to_bytes(chunk: Integer[np.ndarray, " _"], dtype: np.dtype, vocab_size: int) -> bytes:
    if len(chunk) and not (chunk.min() >= 0 and chunk.max() < vocab_size):
        wrong = int(chunk.max() if chunk.min() >= 0 else chunk.min())
        raise UserError(f"token id {wrong} is not in a vocabulary of {vocab_size}")
    return chunk.astype(dtype).tobytes()


def _row_of_ids(ids: Sequence[int] | Integer[np.ndarray, " tokens"]) -> np.ndarray:
    """The ids as an array, the same one if they are."""
    row = np.asarray(ids) if len(ids) else np.empty(0, np.int64)
    if row.ndim != 1 or not np.issubdtype(row.dtype, np.integer):
        raise UserError(
            f"windows are cut from one row of whole numbers, not from {row.dtype} of shape "
            f"{list(row.shape)}: give the ids that a tokenizer encodes"
        )
    if len(row) and row.min() < 0:
        raise UserError(f"{row.min()} is no token id: windows are cut from ids of 0 and above")
    return row


def _map_tokens(path: Path) -> Integer[np.ndarray, " tokens"]:
    try:
        description = parse_json(read_file(sidecar(path)))
        dtype, count = np.dtype(description["dtype"]), description["count"]
        refuse_no_file(path)
        size = path.stat().st_size
    except FileNotFoundError:
        raise UserError(f"{path} or its .json is missing: prepare the data again") from None
    except (ValueError, TypeError, KeyError):
        raise UserError(f"{sidecar(path)} is damaged: prepare the data again") from None
    if size != count * dtype.itemsize:
        raise UserError(
            f"{path} is damaged: {size} bytes where {count} ids take "
            f"{count * dtype.itemsize}; prepare the data again"
        )
    if count == 0:
        return np.empty(0, dtype)  # an empty file cannot be mapped
    return np.memmap(path, dtype, mode="r")
