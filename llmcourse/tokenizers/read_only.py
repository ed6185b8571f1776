"""SentencePiece models of other people, to read with: their round trip need not be exact.

Most published models put a blank before a text, join runs of blanks or respell letters (T5's,
Llama's), so `SentencePieceTokenizer` refuses them: bits per byte would be those of another text.
What was trained with one can only be read with it, and here it is, the library as it is. Not here:
models that keep every string (`sentencepiece`), on which a run is trained.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from llmcourse.errors import UserError, nearest
from llmcourse.tokenizers.base import END_OF_TEXT
from llmcourse.tokenizers.sentencepiece import open_model, piece_bytes, special_pieces
from llmcourse.tokenizers.special import AllowedSpecial, encode_special


class ReadOnlySentencePiece:
    """A SentencePiece model as it is. `decode(encode(s))` may be another text than `s`.

    Attributes:
        special_ids: the ids that stand for no text, by name.
        eot_id: the id that follows every document.
    """

    kind = "sentencepiece, read only"

    def __init__(self, model: bytes, end: str | None = None):
        """Make a tokenizer of a serialized model of the library.

        Args:
            model: what its file holds.
            end: the special token that follows every document; the model's own (`</s>`) unless
                given.

        Raises:
            UserError: the bytes are no model, or it has no such special token.
        """
        self._processor = open_model(model)
        self.special_ids = special_pieces(self._processor)
        if end is None:
            own = self._processor.eos_id()
            end = END_OF_TEXT if own < 0 else self._processor.id_to_piece(own)
        if end not in self.special_ids:
            raise UserError(
                f"this model has no special token {end!r}{nearest(end, self.special_ids)}"
            )
        self.eot_id = self.special_ids[end]

    @property
    def vocab_size(self) -> int:
        """How many ids there are, special ones included."""
        return len(self._processor)

    def encode(self, text: str, allowed_special: AllowedSpecial = ()) -> list[int]:
        """The library's ids of a text; none is added at its beginning or end.

        Special tokens that `allowed_special` names are meant where the text spells them.

        Raises:
            UserError: an allowed token is none of this vocabulary.
        """
        if not allowed_special:
            return self._encode_text(text)
        return encode_special(self._encode_text, text, self.special_ids, allowed_special)

    def _encode_text(self, text: str) -> list[int]:
        # The library takes UTF-8 proper alone: half a character becomes a question mark.
        return self._processor.encode(text.encode("utf-8", "replace").decode("utf-8"))

    def decode(self, ids: Iterable[int]) -> str:
        """The library's text of ids. Special ids are silent, the unknown token's among them.

        Raises:
            UserError: an id is not in the vocabulary.
        """
        special = set(self.special_ids.values())
        return self._processor.decode([i for i in map(self._checked, ids) if i not in special])

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that one id stands for within a text; none for a special id.

        Raises:
            UserError: the id is not in the vocabulary.
        """
        return piece_bytes(self._processor, self._checked(token_id))

    def with_special_tokens(self, names: Iterable[str]) -> NoReturn:
        """Refused: the model is somebody else's.

        Raises:
            UserError: always.
        """
        raise UserError(f"this SentencePiece model is read only: {list(names)} cannot be added")

    def save(self, path: str | os.PathLike[str]) -> NoReturn:
        """Refused: a run that was saved with it would measure another text than its own.

        Raises:
            UserError: always.
        """
        raise UserError(
            f"this SentencePiece model is read only, for it changes text: {path} is not written; "
            "copy the model's own file, or train a tokenizer with SentencePieceTokenizer.train"
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str], end: str | None = None) -> "ReadOnlySentencePiece":
        """Read a model of the library, by custom called `tokenizer.model`.

        Raises:
            UserError: the file is missing or damaged, or has no such special token.
        """
        try:
            return cls(Path(path).read_bytes(), end)
        except FileNotFoundError:
            raise UserError(f"there is no tokenizer at {path}") from None
        except UserError as error:
            raise UserError(f"{path}: {error}") from None

    def _checked(self, token_id: int) -> int:
        if not 0 <= token_id < self.vocab_size:
            raise UserError(f"id {token_id} is not in a vocabulary of {self.vocab_size}")
        return token_id
