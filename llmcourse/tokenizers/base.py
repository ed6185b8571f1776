"""What every tokenizer is: text to ids and back, exactly, for every string that Python can hold.

Held here: the contract (`Tokenizer`), the shared half of the tokenizers whose ids are byte strings
(`BytePieces`), UTF-8 with nothing lost, and the decoder that streams. Not here: the tokenizers
(`bytes_and_chars`, `bpe`, `unigram`, `sentencepiece`), special tokens that a text spells
(`special`), and choosing, saving or loading a tokenizer (`registry`). Chapter 01 teaches this.
"""

import codecs
import copy
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, Protocol, TypeVar, runtime_checkable

from llmcourse.errors import UserError
from llmcourse.files import atomic_write_text, read_file
from llmcourse.plain import parse_json
from llmcourse.tokenizers.special import AllowedSpecial, encode_special, new_names

Pieces = TypeVar("Pieces", bound="BytePieces")


class VocabularyTooLarge(UserError):
    """The text has not enough pieces for a vocabulary; `largest` is the size that it allows."""

    def __init__(self, wanted: int, largest: int):
        super().__init__(
            f"vocab_size={wanted} is more than this text has pieces for: "
            f"give more text, or at most {largest}"
        )
        self.largest = largest


END_OF_TEXT = "<|endoftext|>"
"""The name of the special token that follows every document. Text that spells it is only text."""

N_BYTES = 256
"""How many bytes there are: the ids that a vocabulary needs so that no text is unknown to it."""


@runtime_checkable
class Tokenizer(Protocol):
    """Tokenizer: text to ids and back. `decode(encode(s)) == s` holds for every string `s`.

    Attributes:
        kind: its name in files and on the command line.
        special_ids: the ids that stand for no text, by name; `encode` yields one only if told to.
        eot_id: the id that follows every document: that of `END_OF_TEXT`, but for vocabularies of
            other programs that have another name for it.
    """

    kind: str
    special_ids: dict[str, int]
    eot_id: int

    @property
    def vocab_size(self) -> int:
        """How many ids there are, special ones included; ids are `0 ... vocab_size - 1`."""
        ...

    def encode(self, text: str, allowed_special: AllowedSpecial = ()) -> list[int]:
        """The ids of a text. A text that spells a special token is text like any other.

        Unless it is allowed to yield it: `allowed_special` is "all", or the names that may.
        """
        ...

    def with_special_tokens(self, names: Iterable[str]) -> "Tokenizer":
        """The same tokenizer with more special tokens, whose ids follow after all others."""
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids. Special ids are silent; bytes that are no UTF-8 become U+FFFD."""
        ...

    def token_bytes(self, token_id: int) -> bytes:
        """The UTF-8 bytes that one id stands for; none for a special id."""
        ...

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one file from which `load` makes an equal tokenizer."""
        ...

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Tokenizer":
        """Read what `save` wrote."""
        ...


class BytePieces(ABC):
    """A tokenizer's decoding half: each id is a fixed byte string, and text is their concatenation.

    The layout of ids is the same in every subclass: first the 256 bytes, in order unless another
    one is given, then the learned pieces in the order in which they were learned, then
    `END_OF_TEXT`, and last what special tokens were added.
    """

    kind: str

    def __init__(self, learned: Iterable[bytes] = (), byte_order: Iterable[int] = range(N_BYTES)):
        self._pieces = [bytes([value]) for value in byte_order]
        self._pieces += learned
        self.eot_id = len(self._pieces)
        self.special_ids = {END_OF_TEXT: self.eot_id}
        self._pieces.append(b"")

    @property
    def vocab_size(self) -> int:
        """How many ids there are: 256 bytes, the learned pieces and the special tokens."""
        return len(self._pieces)

    def encode(self, text: str, allowed_special: AllowedSpecial = ()) -> list[int]:
        """The ids of a text, in which those special tokens are meant that `allowed_special` names.

        Raises:
            UserError: an allowed token is none of this vocabulary.
        """
        if not allowed_special:
            return self._encode_text(text)
        return encode_special(self._encode_text, text, self.special_ids, allowed_special)

    @abstractmethod
    def _encode_text(self, text: str) -> list[int]:
        """The ids of a text in which nothing is special."""

    def with_special_tokens(self: Pieces, names: Iterable[str]) -> Pieces:
        """The same tokenizer with more special tokens, whose ids follow after all others.

        Raises:
            UserError: these are no names, or there is a token of that name already.
        """
        found = new_names(names, self.special_ids)
        larger = copy.copy(self)
        larger._pieces = self._pieces + [b""] * len(found)
        added = zip(found, range(self.vocab_size, larger.vocab_size), strict=True)
        larger.special_ids = self.special_ids | dict(added)
        return larger

    def _added_tokens(self) -> dict[str, list[str]]:
        """What a file says of the special tokens beside `END_OF_TEXT`; nothing if there is none."""
        added = [name for name in self.special_ids if name != END_OF_TEXT]
        return {"special_tokens": added} if added else {}

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that one id stands for; none for a special token.

        Raises:
            UserError: the id is not in the vocabulary.
        """
        if not 0 <= token_id < len(self._pieces):
            raise UserError(f"id {token_id} is not in a vocabulary of {self.vocab_size}")
        return self._pieces[token_id]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids. Special ids are silent; bytes that are no UTF-8 become U+FFFD."""
        return from_bytes(b"".join(map(self.token_bytes, ids)))


def each_text(texts: Iterable[str]) -> Iterator[str]:
    """The texts, each of which must be one: a string is a sequence of strings, its characters.

    Raises:
        UserError: this is a single text, or something in it is no text.
    """
    if isinstance(texts, str | bytes):
        raise UserError("texts are wanted, and this is a single one: give [text]")
    for text in texts:
        if not isinstance(text, str):
            raise UserError(
                f"texts are wanted, and one is a {type(text).__name__}: give strings "
                "(of a document, its `text`)"
            )
        yield text


def to_bytes(text: str) -> bytes:
    """The text in UTF-8. Lone surrogates, which UTF-8 proper forbids, are encoded all the same."""
    return text.encode("utf-8", "surrogatepass")


def from_bytes(data: bytes) -> str:
    """The inverse of `to_bytes`; what is no UTF-8 at all becomes U+FFFD."""
    return data.decode("utf-8", _SURROGATE_OR_REPLACEMENT)


def byte_lengths(tokenizer: Tokenizer) -> list[int]:
    """How many bytes each id stands for: what turns nats per token into bits per byte."""
    return [len(tokenizer.token_bytes(token_id)) for token_id in range(tokenizer.vocab_size)]


class StreamDecoder:
    """Decode one id at a time, holding back the bytes of a character until it is complete.

    The strings that `push` and `flush` return, joined, are `tokenizer.decode` of all the ids.
    """

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._held = b""

    def push(self, token_id: int) -> str:
        """The text that this id completes, which may be none."""
        data = self._held + self._tokenizer.token_bytes(token_id)
        cut = len(data) - _unfinished(data)
        self._held = data[cut:]
        return from_bytes(data[:cut])

    def flush(self) -> str:
        """What was held back when the ids ended: a character cut short, or nothing."""
        data, self._held = self._held, b""
        return from_bytes(data)


def write_json(path: str | os.PathLike[str], content: dict[str, Any]) -> None:
    """Write a tokenizer's file in our own format: JSON that names the tokenizer's kind."""
    atomic_write_text(path, json.dumps(content))


def read_json(path: str | os.PathLike[str], kind: str | None = None) -> dict[str, Any]:
    """Read a tokenizer's file, of the given kind if one is given.

    Raises:
        UserError: there is no such file, or it is not a tokenizer of this package.
    """
    content = read_object(path)
    found = content.get("kind") if isinstance(content, dict) else None
    if found is None or (kind is not None and found != kind):
        wanted = f"a {kind} tokenizer" if kind else "a tokenizer"
        raise UserError(f"{path} is not {wanted} of llmcourse (its kind is {found!r})")
    return content


def added_tokens(content: dict[str, Any], path: str | os.PathLike[str]) -> list[str]:
    """The special tokens that a tokenizer's file lists beside `END_OF_TEXT`.

    Raises:
        UserError: what it lists are no names.
    """
    names = content.get("special_tokens", [])
    try:
        return new_names(names, {END_OF_TEXT: 0})
    except (TypeError, UserError):
        raise UserError(
            f"{path} is damaged: its special tokens make no sense; train the tokenizer again"
        ) from None


def read_object(path: str | os.PathLike[str]) -> Any:
    """Read a tokenizer's file, whoever wrote it.

    Raises:
        UserError: there is no such file, or it is not JSON.
    """
    try:
        return parse_json(read_file(path))
    except FileNotFoundError:
        raise UserError(f"there is no tokenizer at {path}") from None
    except ValueError:
        raise UserError(f"{path} is damaged: it is not JSON; train the tokenizer again") from None


_SURROGATE_OR_REPLACEMENT = "llmcourse.surrogate_or_replacement"


def _surrogate_or_replacement(error: UnicodeError) -> tuple[str | bytes, int]:
    """Codec error handler: a lone surrogate where the bytes spell one, else one U+FFFD."""
    assert isinstance(error, UnicodeDecodeError)
    try:
        return codecs.lookup_error("surrogatepass")(error)
    except UnicodeDecodeError as real:
        return "\ufffd", real.end


codecs.register_error(_SURROGATE_OR_REPLACEMENT, _surrogate_or_replacement)


def _unfinished(data: bytes) -> int:
    """How many bytes at the end (0 to 3) may be the beginning of a longer character."""
    for back, byte in enumerate(reversed(data[-3:]), start=1):
        if byte < 0x80:
            return 0
        if byte >= 0xC0:  # a lead byte: its high bits say how long the character is
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return back if back < length else 0
    return 0
