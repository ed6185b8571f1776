"""Byte-level BPE of other programs: GPT-2's two files, and the `tokenizers` library's one.

`vocab.json` numbers the pieces, `merges.txt` lists the merges in order; OpenAI published GPT-2's in
2019, and the `tokenizers` library still writes such files, or both lists in one `tokenizer.json`.
They spell a byte as a character: itself where Latin-1 prints it, else one from U+0100 on (a space
is `Ġ`). Ids are kept as they are, wherever special tokens stand. Not here: what the merges do
(`bpe`). Chapter 01 uses the spelling.
"""

import gzip
import io
import json
import os
import re
import zlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from llmcourse.errors import UserError, nearest
from llmcourse.files import read_file
from llmcourse.tokenizers.base import END_OF_TEXT, N_BYTES
from llmcourse.tokenizers.bpe import GPT2_BYTE_ORDER, BPETokenizer, Numbering

VOCABULARY = ("vocab.json", "vocab.json.gz")
"""What the file of pieces and ids is called in a folder."""
MERGES = ("merges.txt", "merges.txt.gz")
"""What the file of merges is called in a folder."""
ENDS = (END_OF_TEXT, "</s>", "<|end_of_text|>", "<|im_end|>", "<eos>", "[EOS]", "[SEP]")
"""What ends a document, the first of these that a vocabulary has, unless its reader says."""

MOST_BYTES = 1 << 27
"""Bytes of a vocabulary's file, unpacked: four times the largest that anybody has published."""

N_PRINTED = 188
"""How many bytes Latin-1 prints: they come first in `GPT2_BYTE_ORDER`, and spell themselves."""

_BRACKETED = re.compile(r"<.+>|\[.+\]")
"""How special tokens are written, by which they are known where nothing else tells them apart."""


def read_gpt2(folder: str | os.PathLike[str], end: str | None = None) -> BPETokenizer:
    """The tokenizer in a folder with `vocab.json` and `merges.txt`, either of them plain or `.gz`.

    Raises:
        UserError: as `load_gpt2`.
    """
    return load_gpt2(_first(folder, VOCABULARY), _first(folder, MERGES), end)


def load_gpt2(
    vocabulary: str | os.PathLike[str], merges: str | os.PathLike[str], end: str | None = None
) -> BPETokenizer:
    """A tokenizer of GPT-2's kind from its two files, which may be compressed by gzip.

    Args:
        vocabulary: JSON, from each piece to its id: the 256 bytes, what the merges make, and
            special tokens, written in angle or square brackets.
        merges: a merge on each line, two pieces with a blank between them; the first line may give
            a version.
        end: the special token that follows every document; the first of `ENDS` unless given. Of
            a vocabulary without any, END_OF_TEXT becomes the last id.

    Raises:
        UserError: a file is missing or damaged, or the two do not go together.
    """
    ids = _read_ids(vocabulary)
    pairs = [_pair(line, ids, merges) for line in _merge_lines(merges)]
    return byte_level_bpe(ids, pairs, where=vocabulary, end=end)


def read_tokenizer_json(path: str | os.PathLike[str], end: str | None = None) -> BPETokenizer:
    """The tokenizer in the `tokenizers` library's own file, if it is byte-level BPE as GPT-2's.

    `encode(text, allowed_special="all")` gives the library's ids, which takes special tokens in a
    text for what they are; `encode(text)` takes them for text.

    Args:
        path: a `tokenizer.json`.
        end: the special token that follows every document; the first of `ENDS` unless given. Of
            a vocabulary without any, END_OF_TEXT becomes the last id.

    Raises:
        UserError: the file is missing or damaged, or it describes another kind of tokenizer.
    """
    content = _parsed(path)
    if not is_of_library(content):
        raise UserError(f"{path} is no file of the tokenizers library")
    try:
        _require_gpt2s_kind(content, path)
        model = content["model"]
        ids = dict(model["vocab"])
        special = {token["content"]: token["id"] for token in content.get("added_tokens") or []}
        pairs = [
            (left, right)
            for left, right in (m.split(" ") if isinstance(m, str) else m for m in model["merges"])
        ]
        if not all(type(index) is int for index in (ids | special).values()):
            raise ValueError("ids that are no numbers")
        return byte_level_bpe(ids | special, pairs, where=path, special=special, end=end)
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({error}): save the tokenizer again") from None


def is_of_library(content: object) -> bool:
    """Whether this is what a `tokenizer.json` of the `tokenizers` library holds."""
    return isinstance(content, dict) and isinstance(content.get("model"), dict)


def byte_level_bpe(
    ids: Mapping[str, int],
    merges: Sequence[tuple[str, str]],
    *,
    where: str | os.PathLike[str],
    special: Collection[str] | None = None,
    end: str | None = None,
) -> BPETokenizer:
    """A tokenizer of pieces and merges as GPT-2 spells them, with the ids that they have.

    Args:
        ids: every piece's and special token's id.
        merges: pairs of pieces.
        where: the file to name in an error.
        special: the names that are special tokens; unless given, those in brackets that no merge
            makes.
        end: the special token that follows every document.

    Raises:
        UserError: pieces and merges do not go together.
    """
    if sorted(ids.values()) != list(range(len(ids))):
        raise UserError(f"{where} does not number its {len(ids):,} pieces from 0 on, each once")
    if missing := _BYTE_OF.keys() - ids.keys():
        raise UserError(
            f"{where} has no piece for {len(missing)} of the 256 bytes: train it with "
            "initial_alphabet=ByteLevel.alphabet()"
        )
    _check_merges(merges, ids, where)
    made = {left + right for left, right in merges}
    names = [name for name in ids if name not in _BYTE_OF and name not in made]
    for name in names:
        if not (_BRACKETED.fullmatch(name) if special is None else name in special):
            raise UserError(f"{where} has the piece {name!r}, which no merge makes")
    pairs = [(ids[left], ids[right]) for left, right in merges]
    names.sort(key=ids.__getitem__)
    return _plain(ids, merges, pairs, names, end) or _numbered(ids, pairs, names, end, where)


def _check_merges(
    merges: Sequence[tuple[str, str]], ids: Mapping[str, int], where: str | os.PathLike[str]
) -> None:
    """Refuse merges whose pieces are not there, or not there yet."""
    known = set(_BYTE_OF)
    for left, right in merges:
        if left + right not in ids:
            raise UserError(f"{where} has no piece {left + right!r}, which its merges make")
        if left not in known or right not in known:
            raise UserError(f"{where}: the merges join pieces before they have made them")
        known.add(left + right)


def _plain(
    ids: Mapping[str, int],
    merges: Sequence[tuple[str, str]],
    pairs: list[tuple[int, int]],
    names: list[str],
    end: str | None,
) -> BPETokenizer | None:
    """The tokenizer, if its ids are in our own order, which is GPT-2's; else None."""
    order = sorted(_BYTE_OF, key=ids.__getitem__)
    made = [ids[left + right] for left, right in merges]
    if (names and names[0] != END_OF_TEXT) or end not in (None, END_OF_TEXT):
        return None
    if ids[order[-1]] >= N_BYTES or made != list(range(N_BYTES, N_BYTES + len(made))):
        return None
    plain = BPETokenizer(pairs, bytes(_BYTE_OF[char] for char in order))
    return plain.with_special_tokens(names[1:])


def _numbered(
    ids: Mapping[str, int],
    pairs: list[tuple[int, int]],
    names: list[str],
    end: str | None,
    where: str | os.PathLike[str],
) -> BPETokenizer:
    """The tokenizer with its ids as they are."""
    special_ids = {name: ids[name] for name in names}
    if end is not None and end not in special_ids:
        raise UserError(f"{where} has no special token {end!r}{nearest(end, special_ids)}")
    end = end or next((name for name in ENDS if name in special_ids), END_OF_TEXT)
    special_ids.setdefault(end, len(ids))
    pieces = [b""] * max(len(ids), special_ids[end] + 1)
    for spelled, index in ids.items():
        if spelled not in special_ids:
            pieces[index] = bytes(_BYTE_OF[char] for char in spelled)
    numbering = Numbering(pieces=tuple(pieces), special_ids=special_ids, end=end)
    return BPETokenizer(pairs, numbering=numbering)


def _require_gpt2s_kind(content: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Refuse every setting of the library that would cut a text otherwise than GPT-2 does."""

    def refuse(what: str) -> None:
        raise UserError(f"{path} has {what}: only byte-level BPE with GPT-2's pattern is read")

    model, before = content["model"], content.get("pre_tokenizer") or {}
    if model.get("type", "BPE") != "BPE":
        refuse(f"a {model['type']} model")
    for name in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "ignore_merges"):
        if model.get(name):
            refuse(f"{name}={model[name]!r}")
    if content.get("normalizer"):
        refuse(f"the normalizer {content['normalizer'].get('type')}")
    if before.get("type") == "Sequence" and len(before["pretokenizers"]) == 1:
        before = before["pretokenizers"][0]
    if before.get("type") != "ByteLevel":
        refuse(f"the pre_tokenizer {before.get('type')}")
    if before.get("add_prefix_space", True) or not before.get("use_regex", True):
        refuse("a pre_tokenizer with add_prefix_space=True or use_regex=False")
    for token in content.get("added_tokens") or []:
        if not token.get("special"):
            refuse(f"{token['content']!r} added to its vocabulary")


def spell(data: bytes) -> str:
    """Bytes as GPT-2's files spell them, a character for each."""
    return "".join(map(_CHAR_OF.__getitem__, data))


def _first(folder: str | os.PathLike[str], names: tuple[str, ...]) -> Path:
    """The first of the names that is in the folder; if none is, the first name."""
    paths = [Path(folder, name) for name in names]
    return next((path for path in paths if path.is_file()), paths[0])


def _read_ids(path: str | os.PathLike[str]) -> dict[str, int]:
    ids = _parsed(path)
    if not isinstance(ids, dict) or not all(type(index) is int for index in ids.values()):
        raise UserError(f"{path} is no vocabulary of GPT-2's kind: expected JSON, from piece to id")
    return ids


def _parsed(path: str | os.PathLike[str]) -> Any:
    """What a file of JSON holds; None if it is none."""
    text = _read(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _merge_lines(path: str | os.PathLike[str]) -> list[str]:
    lines = _read(path).split("\n")
    return [line for line in lines if line and not line.startswith("#version")]


def _pair(line: str, ids: dict[str, int], path: str | os.PathLike[str]) -> tuple[str, str]:
    left, _, right = line.partition(" ")
    if left not in ids or right not in ids:
        raise UserError(f"{path} merges what the vocabulary has not: {line!r:.60}")
    return left, right


def _read(path: str | os.PathLike[str]) -> str:
    """The text of a file, unpacked where it begins as gzip's files do."""
    try:
        data = read_file(path)
        if data.startswith(b"\x1f\x8b"):
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
                data = packed.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise UserError(f"{path} holds more than {MOST_BYTES:,} bytes: it is no vocabulary")
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
