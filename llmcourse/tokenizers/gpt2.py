"""GPT-2's own tokenizer, read from its two files, with the ids that GPT-2 was trained on.

`vocab.json` numbers the pieces, `merges.txt` lists the merges in order; OpenAI published both in
2019, and the `tokenizers` library still writes such files. They spell a byte as a character: itself
where Latin-1 prints it, else one from U+0100 on (a space is `Ġ`). Not here: what the merges do
(`bpe`). Chapter 01 uses the spelling.
"""

import gzip
import json
import os
import zlib
from pathlib import Path

from llmcourse.errors import UserError
from llmcourse.tokenizers.base import END_OF_TEXT, N_BYTES
from llmcourse.tokenizers.bpe import GPT2_BYTE_ORDER, BPETokenizer, Pair

VOCABULARY = ("vocab.json", "vocab.json.gz")
"""What the file of pieces and ids is called in a folder."""
MERGES = ("merges.txt", "merges.txt.gz")
"""What the file of merges is called in a folder."""

N_PRINTED = 188
"""How many bytes Latin-1 prints: they come first in `GPT2_BYTE_ORDER`, and spell themselves."""


def read_gpt2(folder: str | os.PathLike[str]) -> BPETokenizer:
    """The tokenizer in a folder with `vocab.json` and `merges.txt`, either of them plain or `.gz`.

    Raises:
        UserError: as `load_gpt2`.
    """
    return load_gpt2(_first(folder, VOCABULARY), _first(folder, MERGES))


def load_gpt2(vocabulary: str | os.PathLike[str], merges: str | os.PathLike[str]) -> BPETokenizer:
    """GPT-2's tokenizer from its two files, which may be compressed by gzip.

    Args:
        vocabulary: JSON, from each piece to its id: the 256 bytes in some order, a piece for each
            merge, and END_OF_TEXT.
        merges: a merge on each line, two pieces with a blank between them; the first line may give
            a version.

    Raises:
        UserError: a file is missing or damaged, or its ids are in another order.
    """
    ids = _read_ids(vocabulary)
    pairs = [_pair(line, ids, merges) for line in _merge_lines(merges)]
    if sorted(ids.values()) != list(range(N_BYTES + len(pairs) + 1)):
        raise UserError(
            f"{vocabulary} has {len(ids):,} pieces for the {len(pairs):,} merges of {merges}: "
            f"expected the 256 bytes, one piece a merge and {END_OF_TEXT}"
        )
    spelling = {spelled: index for spelled, index in ids.items() if index < N_BYTES}
    if sorted(spelling) != sorted(_BYTE_OF):
        raise UserError(f"{vocabulary} does not begin with the 256 bytes, as GPT-2's does")
    in_order = sorted(spelling, key=spelling.__getitem__)
    try:
        tokenizer = BPETokenizer(pairs, bytes(_BYTE_OF[char] for char in in_order))
    except IndexError:
        raise UserError(f"{merges} joins pieces before it has made them") from None
    _check_ids(tokenizer, ids, vocabulary)
    return tokenizer


def _first(folder: str | os.PathLike[str], names: tuple[str, ...]) -> Path:
    """The first of the names that is in the folder; if none is, the first name."""
    paths = [Path(folder, name) for name in names]
    return next((path for path in paths if path.is_file()), paths[0])


def _read_ids(path: str | os.PathLike[str]) -> dict[str, int]:
    text = _read(path)
    try:
        ids = json.loads(text)
    except (ValueError, RecursionError):
        ids = None
    if not isinstance(ids, dict) or not all(type(index) is int for index in ids.values()):
        raise UserError(f"{path} is no vocabulary of GPT-2's kind: expected JSON, from piece to id")
    return ids


def _merge_lines(path: str | os.PathLike[str]) -> list[str]:
    lines = _read(path).split("\n")
    return [line for line in lines if line and not line.startswith("#version")]


def _pair(line: str, ids: dict[str, int], path: str | os.PathLike[str]) -> Pair:
    left, _, right = line.partition(" ")
    if left not in ids or right not in ids:
        raise UserError(f"{path} merges what the vocabulary has not: {line!r:.60}")
    return ids[left], ids[right]


def _check_ids(tokenizer: BPETokenizer, ids: dict[str, int], path: str | os.PathLike[str]) -> None:
    """Refuse a vocabulary in another order than its merges: its ids would mean other pieces."""
    for given, index in ids.items():
        spelled = "".join(_CHAR_OF[byte] for byte in tokenizer.token_bytes(index))
        if given != (spelled or END_OF_TEXT):
            raise UserError(f"{path} numbers its pieces otherwise than GPT-2: {given!r} is {index}")


def _read(path: str | os.PathLike[str]) -> str:
    """The text of a file, unpacked where it begins as gzip's files do."""
    try:
        data = Path(path).read_bytes()
        if data.startswith(b"\x1f\x8b"):
            data = gzip.decompress(data)
        return data.decode("utf-8")
    except FileNotFoundError:
        raise UserError(f"there is no file {path}: GPT-2's tokenizer has two") from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None


def _spelling() -> dict[int, str]:
    """From each byte to the character that spells it in GPT-2's files."""
    printed, rest = GPT2_BYTE_ORDER[:N_PRINTED], GPT2_BYTE_ORDER[N_PRINTED:]
    letters = [chr(byte) for byte in printed] + [chr(N_BYTES + rank) for rank in range(len(rest))]
    return dict(zip(GPT2_BYTE_ORDER, letters, strict=True))


_CHAR_OF = _spelling()
_BYTE_OF = {char: byte for byte, char in _CHAR_OF.items()}
