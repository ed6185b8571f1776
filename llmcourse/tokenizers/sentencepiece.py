"""SentencePiece behind the same contract: the tokenizer that a real run uses.

The library (Kudo and Richardson, 2018) does the work, its unigram model (Kudo, 2018) by default. It
is set here to change nothing: no normalising, no blank put before the text, no blanks removed, and
bytes for what has no piece. Even so, two things would come back different, a lone surrogate and the
sign ▁, with which the library marks blanks: `encode` spells those in bytes itself.

Not here: models that change text, which can only be read with (`read_only`), and byte-pair encoding
and the unigram model written out (`bpe`, `unigram`). Chapter 01 teaches this.
"""

import io
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import sentencepiece

from llmcourse.errors import UserError
from llmcourse.files import atomic_write_bytes
from llmcourse.tokenizers.base import (
    END_OF_TEXT,
    N_BYTES,
    VocabularyTooLarge,
    each_text,
    from_bytes,
    to_bytes,
)
from llmcourse.tokenizers.special import AllowedSpecial, encode_special, new_names

UNKNOWN = "<unk>"
BLANK = "▁"  # U+2581

_NOT_CARRIED = re.compile(f"([{BLANK}\ud800-\udfff]+)")
# The trainer stops at NUL, skips a line that holds ▅ (its own mark) or more than 4192 bytes, and is
# to learn nothing about what `encode` keeps from the library.
_TRAINABLE = re.compile(f"[^\n\0▅{BLANK}\ud800-\udfff]{{1,1000}}")
_SETTINGS: dict[str, Any] = {
    "byte_fallback": True,
    "normalization_rule_name": "identity",
    "remove_extra_whitespaces": False,
    "add_dummy_prefix": False,
    "allow_whitespace_only_pieces": True,  # indentation is worth a piece
    "unk_id": 0,
    "bos_id": -1,
    "eos_id": -1,
    "pad_id": -1,
    "control_symbols": [END_OF_TEXT],
    "minloglevel": 2,  # errors, which are raised as well
}


class SentencePieceTokenizer:
    """A SentencePiece model with an exact round trip for every string.

    Ids: `<unk>` (never produced), END_OF_TEXT, the 256 bytes, then the pieces as the library orders
    them. Pieces do not cross the end of a line.
    """

    kind = "sentencepiece"

    @property
    def serialized(self) -> bytes:
        """The model as the library's file holds it."""
        return self._model

    def __init__(self, model: bytes):
        """Make a tokenizer of a serialized model of the library.

        Raises:
            UserError: the bytes are no model, or one whose round trip is not exact.
        """
        self._model = model
        self._processor = open_model(model)
        self._pieces = [piece_bytes(self._processor, id_) for id_ in range(len(self._processor))]
        self.special_ids = special_pieces(self._processor)
        self.eot_id = self._processor.piece_to_id(END_OF_TEXT)
        self._byte_ids = [self._processor.piece_to_id(f"<0x{n:02X}>") for n in range(N_BYTES)]
        if not self._is_exact():
            raise UserError(
                f"this SentencePiece model has no {END_OF_TEXT} or changes text: train one with "
                "SentencePieceTokenizer.train, or only read with it: ReadOnlySentencePiece"
            )

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int,
        model_type: Literal["unigram", "bpe"] = "unigram",
    ) -> "SentencePieceTokenizer":
        """Learn `vocab_size` ids in all, by the library's unigram model or its BPE.

        Args:
            texts: where to count; read once, so a generator will do.
            vocab_size: ids in all: `<unk>`, END_OF_TEXT, 256 bytes and the pieces.
            model_type: which of the library's models.

        Raises:
            UserError: the size is less than this text allows, or there is no text.
            VocabularyTooLarge: the size is more than this text allows.
        """
        lines = _lines(texts)
        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(lines),
                model_writer=model,
                vocab_size=vocab_size,
                model_type=model_type,
                **_SETTINGS,
            )
        except RuntimeError as error:
            raise _explained(str(error), vocab_size) from error
        return cls(model.getvalue())

    @property
    def vocab_size(self) -> int:
        """How many ids there are, the two special ones included."""
        return len(self._pieces)

    def encode(self, text: str, allowed_special: AllowedSpecial = ()) -> list[int]:
        """The ids of a text, the likeliest segmentation under the model.

        Special tokens that `allowed_special` names are meant where the text spells them.

        Raises:
            UserError: an allowed token is none of this vocabulary.
        """
        if not allowed_special:
            return self._encode_text(text)
        return encode_special(self._encode_text, text, self.special_ids, allowed_special)

    def with_special_tokens(self, names: Iterable[str]) -> "SentencePieceTokenizer":
        """The same tokenizer with more special tokens, whose ids follow after all others.

        Raises:
            UserError: these are no names, or there is a piece of that name already.
        """
        model = self._model
        for name in new_names(names, self.special_ids):
            if not self._processor.is_unknown(self._processor.piece_to_id(name)):
                raise UserError(f"there is a piece {name!r} already: choose another name")
            model += _control_piece(name)
        return SentencePieceTokenizer(model)

    def _encode_text(self, text: str) -> list[int]:
        ids: list[int] = []
        for turn, part in enumerate(_NOT_CARRIED.split(text)):
            if turn % 2:
                ids += [self._byte_ids[value] for value in to_bytes(part)]
            else:
                ids += self._processor.encode(part)
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids. Special ids are silent; bytes that are no UTF-8 become U+FFFD."""
        return from_bytes(b"".join(map(self.token_bytes, ids)))

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that one id stands for; none for a special id.

        Raises:
            UserError: the id is not in the vocabulary.
        """
        if not 0 <= token_id < len(self._pieces):
            raise UserError(f"id {token_id} is not in a vocabulary of {self.vocab_size}")
        return self._pieces[token_id]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the library's own file, by custom called `tokenizer.model`."""
        atomic_write_bytes(path, self._model)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "SentencePieceTokenizer":
        """Read what `save` wrote.

        Raises:
            UserError: the file is missing or damaged, or its model would change text.
        """
        try:
            return cls(Path(path).read_bytes())
        except FileNotFoundError:
            raise UserError(f"there is no tokenizer at {path}") from None
        except UserError as error:
            raise UserError(f"{path}: {error}") from None

    def _is_exact(self) -> bool:
        """Whether this is a model as `train` makes them: a probe of what the settings are for."""
        probe = " \t a  \0\n Ω 嗨 "
        return self._processor.is_control(self.eot_id) and self.decode(self.encode(probe)) == probe


def open_model(model: bytes) -> Any:
    """The library's processor of a serialized model, all of whose pieces are texts.

    Raises:
        UserError: the bytes are no model, or a damaged one.
    """
    try:
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        for token_id in range(len(processor)):
            piece_bytes(processor, token_id)
    except (RuntimeError, ValueError):  # a name that is no UTF-8, a byte that is no number
        raise UserError("this is no SentencePiece model, or a damaged one") from None
    if len(processor) == 0:  # the library takes an empty file for a model
        raise UserError("this is an empty SentencePiece model")
    return processor


def piece_bytes(processor: Any, token_id: int) -> bytes:
    """The UTF-8 bytes that one id stands for within a text; none for a special id."""
    piece = processor.id_to_piece(token_id)
    if processor.is_byte(token_id):
        return bytes([int(piece[3:5], 16)])  # "<0x41>"
    if processor.is_control(token_id) or processor.is_unknown(token_id):
        return b""
    return to_bytes(piece.replace(BLANK, " "))


def special_pieces(processor: Any) -> dict[str, int]:
    """The ids that stand for no text, by name, in a model of the library."""
    return {
        processor.id_to_piece(index): index
        for index in range(len(processor))
        if processor.is_control(index) or processor.is_unknown(index)
    }


def _control_piece(name: str) -> bytes:
    """A special token as the library's file holds it: appended to a model, it is its last piece.

    The file is a message of Protocol Buffers. Of two such, one after the other, lists are joined.
    """
    kind = b"\x18\x03"  # field 3: CONTROL
    piece = b"\x0a" + _counted(name.encode()) + b"\x15" + bytes(4) + kind  # a name, a score of 0
    return b"\x0a" + _counted(piece)


def _counted(data: bytes) -> bytes:
    """Data after its length, of which each byte holds seven bits."""
    length, size = len(data), b""
    while length > 0x7F:
        size += bytes([length & 0x7F | 0x80])
        length >>= 7
    return size + bytes([length]) + data


def _lines(texts: Iterable[str]) -> list[str]:
    """What the trainer is to read. A list: the library would hide an error met on the way."""
    return [line for text in each_text(texts) for line in _TRAINABLE.findall(text)]


def _explained(message: str, vocab_size: int) -> UserError:
    """The library's complaint in one line that says what to do."""
    if largest := re.search(r"set it to a value <= (\d+)", message):
        return VocabularyTooLarge(vocab_size, int(largest[1]))
    if smallest := re.search(r"required_chars\. \d+ vs (\d+)", message):
        return UserError(
            f"vocab_size={vocab_size} is too small for this text: give at least {smallest[1]}"
        )
    if "sentences_.empty()" in message:
        return UserError("there is no text to train a tokenizer on")
    return UserError(f"SentencePiece cannot train on this text: {message.splitlines()[0]}")
