"""How far a tokenizer shortens text: tokens for each word, bytes for each token.

Not here: how well a model predicts the tokens (`evaluate/perplexity.py`), which is what counts in
the end; a vocabulary that shortens more has more to choose from. Chapter 01 teaches this.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from llmcourse.cleaning.words import words
from llmcourse.errors import UserError
from llmcourse.tokenizers.base import Tokenizer, each_text, to_bytes


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """How long some text is, in four units."""

    tokens: int
    words: int
    characters: int
    bytes: int

    @property
    def fertility(self) -> float:
        """Tokens for each word; a Chinese character counts as a word.

        Raises:
            UserError: there are no words.
        """
        if not self.words:
            raise UserError("a text without words has no fertility: give one with words")
        return self.tokens / self.words

    @property
    def bytes_per_token(self) -> float:
        """How much text a token stands for, in bytes of UTF-8; 1 for a byte tokenizer.

        Raises:
            UserError: there are no tokens.
        """
        if not self.tokens:
            raise UserError("an empty text has no bytes per token: give some text")
        return self.bytes / self.tokens


def lengths(tokenizer: Tokenizer, texts: Iterable[str]) -> Lengths:
    """The summed lengths of texts, each encoded by itself.

    Raises:
        UserError: these are no texts, but a single one.
    """
    n_tokens = n_words = n_characters = n_bytes = 0
    for text in each_text(texts):
        n_tokens += len(tokenizer.encode(text))
        n_words += len(words(text))
        n_characters += len(text)
        n_bytes += len(to_bytes(text))
    return Lengths(tokens=n_tokens, words=n_words, characters=n_characters, bytes=n_bytes)
