"""Encoding word by word, with a cache of words seen before: shared by BPE and unigram.

A text has far fewer different words than words. So a tokenizer whose pieces stay within words
works each one out once. Not here: where words end (`pretokens`), and how one is cut (`bpe`,
`unigram`).
"""

from abc import abstractmethod

from llmcourse.tokenizers.base import BytePieces
from llmcourse.tokenizers.pretokenize import pre_tokens

MAX_CACHED_WORDS = 1 << 17
MAX_CACHED_LENGTH = 64


class WordwisePieces(BytePieces):
    """A tokenizer whose pieces stay within pre-tokens; a subclass says how to encode one."""

    _cache: dict[str, list[int]]

    def _encode_text(self, text: str) -> list[int]:
        """The ids of a text. Words seen before are looked up, so a long text costs little."""
        ids: list[int] = []
        for word in pre_tokens(text):
            known = self._cache.get(word)
            if known is None:
                known = self._encode_word(word)
                if len(word) <= MAX_CACHED_LENGTH:
                    if len(self._cache) >= MAX_CACHED_WORDS:
                        self._cache.clear()
                    self._cache[word] = known
            ids += known
        return ids

    @abstractmethod
    def _encode_word(self, word: str) -> list[int]:
        """The ids of one pre-token that is not remembered."""
