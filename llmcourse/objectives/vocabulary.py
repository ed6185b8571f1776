"""What an objective must know of the tokens that it hides, swaps and cuts.

How many there are, which stand for no text, where words begin and where sentences end. All of it
is read from the tokens' bytes, so it holds for every tokenizer. Not here: the tokenizers (`text/`).
Chapter 07 teaches this.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from llmcourse.text.base import Tokenizer

SENTENCE_ENDS = (".", "!", "?", "。", "！", "？", "\n")


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
    """

    size: int
    is_special: Bool[Tensor, " V"]
    begins_inside: Bool[Tensor, " V"]
    ends_inside: Bool[Tensor, " V"]
    ends_sentence: Bool[Tensor, " V"]

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> "Vocabulary":
        """Read the tables off a tokenizer.

        A byte beyond ASCII counts as a letter: most are parts of one, and a token may hold half.
        """
        pieces = [tokenizer.token_bytes(token_id) for token_id in range(tokenizer.vocab_size)]
        ends = tuple(mark.encode() for mark in SENTENCE_ENDS)
        special = set(tokenizer.special_ids.values())
        return cls(
            size=tokenizer.vocab_size,
            is_special=torch.tensor([token_id in special for token_id in range(len(pieces))]),
            begins_inside=torch.tensor([_is_letter(piece[:1]) for piece in pieces]),
            ends_inside=torch.tensor([_is_letter(piece[-1:]) for piece in pieces]),
            ends_sentence=torch.tensor(
                [piece.rstrip(b" ").endswith(ends) or piece.endswith(b"\n") for piece in pieces]
            ),
        )

    @classmethod
    def plain(cls, size: int, special_ids: tuple[int, ...] = ()) -> "Vocabulary":
        """Tokens that are each a word of their own, without sentences: for small examples."""
        none = torch.zeros(size, dtype=torch.bool)
        special = none.clone()
        special[list(special_ids)] = True
        return cls(
            size=size,
            is_special=special,
            begins_inside=none,
            ends_inside=none,
            ends_sentence=none,
        )

    @property
    def blank_id(self) -> int:
        """What stands where no text does, before the first token or after the last: the first
        special token, as a rule `END_OF_TEXT`; 0 where there is none."""
        return int(self.is_special.int().argmax())

    def words(self, tokens: Int[Tensor, "B T"]) -> Int[Tensor, "B T"]:
        """The number, within its row, of the word that each token is a piece of, from 0.

        A token goes on with the word before it if the two meet letter to letter, and neither is
        special: ` d` and `og` are one word, `dog` and `.` are two.
        """
        joined = self.ends_inside[tokens[:, :-1]] & self.begins_inside[tokens[:, 1:]]
        special = self.is_special[tokens]
        begins = torch.ones_like(tokens, dtype=torch.bool)
        begins[:, 1:] = ~joined | special[:, :-1] | special[:, 1:]
        return begins.cumsum(dim=1) - 1

    def random_tokens(self, shape: tuple[int, ...], rng: np.random.Generator) -> Tensor:
        """Tokens drawn evenly from all that stand for text."""
        ordinary = torch.nonzero(~self.is_special).flatten()
        return ordinary[torch.from_numpy(rng.integers(len(ordinary), size=shape))]


def _is_letter(piece: bytes) -> bool:
    return piece >= b"\x80" or piece.isalnum()
