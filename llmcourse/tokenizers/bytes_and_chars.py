"""The two tokenizers that need no idea: bytes, and characters.

Not here: pieces longer than a character (`bpe`, `unigram`, `sentencepiece`). Chapter 01 teaches
this.
"""

import os
from collections import Counter
from collections.abc import Iterable

from llmcourse.errors import UserError
from llmcourse.tokenizers.base import (
    N_BYTES,
    BytePieces,
    added_tokens,
    each_text,
    read_json,
    to_bytes,
    write_json,
)


class ByteTokenizer(BytePieces):
    """Byte tokenizer: an id for each UTF-8 byte, and `END_OF_TEXT`. Nothing to train."""

    kind = "byte"

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> "ByteTokenizer":
        """The one that there is, whatever the texts and the size."""
        return cls()

    def _encode_text(self, text: str) -> list[int]:
        """The text's UTF-8 bytes."""
        return list(to_bytes(text))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write its kind, which is all there is to it but for special tokens, as JSON."""
        write_json(path, {"kind": self.kind, **self._added_tokens()})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "ByteTokenizer":
        """Read what `save` wrote.

        Raises:
            UserError: the file is missing, damaged or of another kind.
        """
        content = read_json(path, cls.kind)
        return cls().with_special_tokens(added_tokens(content, path))


class CharTokenizer(BytePieces):
    """Character tokenizer: known characters are ids, others are spelled in bytes.

    The 128 ASCII characters are single bytes and need no id beside their byte's: on plain English
    this is the byte tokenizer, and on Chinese it is a third of its length.
    """

    kind = "char"

    def __init__(self, characters: Iterable[str]):
        self.characters = tuple(characters)
        super().__init__(map(to_bytes, self.characters))
        self._ids = {chr(value): value for value in range(0x80)}
        self._ids |= {char: N_BYTES + rank for rank, char in enumerate(self.characters)}

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int | None = None) -> "CharTokenizer":
        """Collect the characters of texts: all of them, or the most frequent that fit.

        Args:
            texts: where to count; read once, so a generator will do.
            vocab_size: the most ids to use, special and bytes included; None for no limit.

        Raises:
            UserError: `vocab_size` leaves no room for the bytes.
        """
        room = None if vocab_size is None else vocab_size - N_BYTES - 1
        if room is not None and room < 0:
            raise UserError(f"vocab_size={vocab_size} is too small: give at least {N_BYTES + 1}")
        counts: Counter[str] = Counter()
        for text in each_text(texts):
            counts.update(text)
        learnable = [char for char in sorted(counts) if char >= "\x80"]
        kept = sorted(learnable, key=lambda char: -counts[char])[:room]
        return cls(sorted(kept))

    def _encode_text(self, text: str) -> list[int]:
        """One id for a known character, its UTF-8 bytes for any other."""
        ids: list[int] = []
        for char in text:
            known = self._ids.get(char)
            if known is None:
                ids += to_bytes(char)
            else:
                ids.append(known)
        return ids

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the characters as JSON."""
        content = {"kind": self.kind, "characters": self.characters}
        write_json(path, {**content, **self._added_tokens()})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "CharTokenizer":
        """Read what `save` wrote.

        Raises:
            UserError: the file is missing, damaged or of another kind.
        """
        content = read_json(path, cls.kind)
        characters = content.get("characters")
        if not isinstance(characters, list) or not all(map(_is_character, characters)):
            raise UserError(f"{path} is damaged: it lists no characters; train the tokenizer again")
        return cls(characters).with_special_tokens(added_tokens(content, path))


def _is_character(value: object) -> bool:
    return isinstance(value, str) and len(value) == 1 and value >= "\x80"
