"""What an objective must know of the tokens that it hides, swaps and cuts.

How many there are, which stand for no text, where words begin and where sentences end. All of it
is read from the tokens' bytes, so it holds for every tokenizer. Not here: those themselves.
Chapter 07 teaches this.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from llmcourse.tokenizers.base import Tokenizer

STOPS = (".", "!", "?")
"""What ends a sentence where no letter follows: not in `3.14` or `os.path`."""
FULL_STOPS = ("。", "！", "？", "\n")
"""What ends a sentence whatever follows."""
N_ASCII = 128
"""The first byte that is only a part of a character."""
_CLOSING = " \"'”’)]»」』"
"""What may stand between the end of a sentence and the end of its token."""


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """A tokenizer's tokens, as far as objectives care.

    Attributes:
        size: how many tokens the tokenizer has; ids from `size` on are the objective's own.
        is_special: whether a token stands for no text: it is never hidden, nor drawn as noise.
        begins_inside: whether a token begins with a letter or digit, so that it may go on with the
            word before it.
        ends_inside: whether a token ends with a letter or digit, so that the word may go on.
        ends_sentence: whether a sentence may end behind a token.
        ends_anyway: whether it also does where a letter follows.
        blank_id: what stands where no text does, before the first token or after the last:
            `END_OF_TEXT`.
    """

    size: int
    is_special: Bool[Tensor, " V"]
    begins_inside: Bool[Tensor, " V"]
    ends_inside: Bool[Tensor, " V"]
    ends_sentence: Bool[Tensor, " V"]
    ends_anyway: Bool[Tensor, " V"]
    blank_id: int

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> "Vocabulary":
        """Read the tables off a tokenizer.

        Half a character counts as a letter, which most are that do not fit into a byte.
        """
        pieces = [tokenizer.token_bytes(token_id) for token_id in range(tokenizer.vocab_size)]
        texts = [piece.decode("utf-8", "ignore").rstrip(_CLOSING) for piece in pieces]
        special = set(tokenizer.special_ids.values())
        return cls(
            size=tokenizer.vocab_size,
            is_special=torch.tensor([token_id in special for token_id in range(len(pieces))]),
            begins_inside=torch.tensor([_is_letter(piece, 0) for piece in pieces]),
            ends_inside=torch.tensor([_is_letter(piece, -1) for piece in pieces]),
            ends_sentence=torch.tensor([text.endswith(STOPS + FULL_STOPS) for text in texts]),
            ends_anyway=torch.tensor([text.endswith(FULL_STOPS) for text in texts]),
            blank_id=tokenizer.eot_id,
        )

    @classmethod
    def plain(cls, size: int, special_ids: tuple[int, ...] = ()) -> "Vocabulary":
        """Tokens that are each a word of their own, without sentences: for small examples.

        The blank is the first special one, or 0 where there is none.
        """
        none = torch.zeros(size, dtype=torch.bool)
        special = none.clone()
        special[list(special_ids)] = True
        return cls(
            size=size,
            is_special=special,
            begins_inside=none,
            ends_inside=none,
            ends_sentence=none,
            ends_anyway=none,
            blank_id=special_ids[0] if special_ids else 0,
        )

    def is_text(self, tokens: Int[Tensor, "B T"]) -> Bool[Tensor, "B T"]:
        """Which tokens stand for text: neither special nor an objective's own."""
        own = tokens >= self.size
        return ~own & ~self.is_special[tokens.masked_fill(own, 0)]

    def words(self, tokens: Int[Tensor, "B T"]) -> Int[Tensor, "B T"]:
        """The number, within its row, of the word that each token is a piece of, from 0.

        A token goes on with the word before it if the two meet letter to letter, and both stand for
        text: ` d` and `og` are one word, `dog` and `.` are two.
        """
        text = self.is_text(tokens)
        known = tokens.masked_fill(~text, 0)
        begins = torch.ones_like(text)
        # Each token but the last beside each but the first: B T-1 places where two meet.
        joined = self.ends_inside[known[:, :-1]] & self.begins_inside[known[:, 1:]]
        begins[:, 1:] = ~(joined & text[:, :-1] & text[:, 1:])
        # Counting the beginnings so far numbers the words, from 0.
        return begins.cumsum(dim=1) - 1

    def sentence_ends(self, tokens: Int[Tensor, "B T"]) -> Bool[Tensor, "B T"]:
        """Behind which tokens a sentence ends, as far as marks tell: that of `Dr.` does, too."""
        text = self.is_text(tokens)
        known = tokens.masked_fill(~text, 0)  # any id of the tables: `& text` undoes it
        ends = self.ends_sentence[known] & text
        letter_follows = self.begins_inside[known[:, 1:]] & text[:, 1:]
        ends[:, :-1] &= self.ends_anyway[known[:, :-1]] | ~letter_follows
        return ends

    def random_tokens(self, shape: tuple[int, ...], rng: np.random.Generator) -> Tensor:
        """Tokens drawn evenly from all that stand for text."""
        ordinary = torch.nonzero(~self.is_special).flatten()
        return ordinary[torch.from_numpy(rng.integers(len(ordinary), size=shape))]


def _is_letter(piece: bytes, end: int) -> bool:
    """Whether the character at one end of a piece is a letter or a digit, as far as one can see."""
    if not piece:
        return False
    try:
        return piece.decode()[end].isalnum()
    except UnicodeDecodeError:
        return piece[end] >= N_ASCII or chr(piece[end]).isalnum()
