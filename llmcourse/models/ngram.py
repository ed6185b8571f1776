"""The n-gram model: the next word depends on the last `n - 1` words, and is looked up.

There is nothing to train: the model is a table of counts (`ngram_counts`) and a way to share out
what they leave open (`ngram_smoothing`). It keeps the contract of every model here, so that what
evaluates and what generates needs not know that nothing neural is inside. Not here: the same idea
with vectors instead of a table (`mlp_lm`). Chapter 02 teaches this.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from llmcourse.errors import UserError
from llmcourse.models.base import Output
from llmcourse.models.ngram_counts import UNSEEN, Counts
from llmcourse.models.ngram_smoothing import KneserNey, Shares, Smoothing


@dataclass(frozen=True, kw_only=True)
class NGramConfig:
    """The shape of an n-gram model.

    Attributes:
        vocab_size: how many tokens there are, V.
        order: n, the context and the next word together.
    """

    vocab_size: int
    order: int

    @property
    def context_length(self) -> int:
        """How many tokens the model looks at: `n - 1`, but a text has to have one to go on from."""
        return max(1, self.order - 1)


class NGram(nn.Module):
    """Next-word probabilities from counts. It stays on the CPU, and has no parameters to train.

    At the beginning of a row, where fewer than `n - 1` words are known, it asks the order that they
    are enough for.

    Attributes:
        config: its shape.
        counts: how often it saw what.
        smoothing: how it shares out what the counts leave open.
    """

    def __init__(
        self, counts: Counts, smoothing: Smoothing | None = None, order: int | None = None
    ) -> None:
        """Make a model of counts; Kneser-Ney and the highest order counted, unless given.

        Raises:
            UserError: the order was not counted.
        """
        super().__init__()
        order = counts.order if order is None else order
        if not 1 <= order <= counts.order:
            raise UserError(f"order={order} was not counted: there are orders 1 to {counts.order}")
        self.config = NGramConfig(vocab_size=counts.vocab_size, order=order)
        self.counts = counts
        self.smoothing: Smoothing = KneserNey() if smoothing is None else smoothing
        self._shares = [self._share(n) for n in range(1, order + 1)]

    @property
    def n_parameters(self) -> int:
        """How many counts it looks up, those of all orders together."""
        return sum(len(shares.kept) for shares in self._shares)

    def forward(self, ids: Int[Tensor, "B T"]) -> Output:
        """The log-probability of every token as the successor of each position, in float64.

        They sum to one as they are (softmax leaves them alone). `hidden` has no width: all that the
        model knows of a text is its last `n - 1` words.

        Raises:
            UserError: an id is not in the vocabulary.
        """
        vocab_size = self.config.vocab_size
        grams = [gram.flatten() for gram in self.counts.find(ids, self.config.order - 1)]
        # The order below single words: all alike. Each higher order keeps a rest of the one below.
        everyone = torch.full((ids.numel(), vocab_size), 1 / vocab_size, dtype=torch.float64)
        for n in range(1, self.config.order + 1):
            rows = self._rows_to_ask(n, grams[n - 1], ids.size(1))
            self._mix_in(n, everyone, rows, grams[n - 1][rows])
        logits = everyone.log().view(*ids.shape, vocab_size)
        return Output(logits, logits.new_zeros(*ids.shape, 0))

    def next_logits(self, contexts: Int[Tensor, "B T"]) -> Float[Tensor, "B V"]:
        """The log-probability of every token as the next one, after contexts of any length.

        With no context at all, T = 0, it is the order of single words that answers, as it does at
        the beginning of a text. Exponentiated they sum to one.

        Raises:
            UserError: an id is not in the vocabulary.
        """
        if contexts.size(1):
            return self(contexts[:, -self.config.context_length :]).logits[:, -1]
        rows = torch.arange(len(contexts))
        size = (len(contexts), self.config.vocab_size)
        chances = torch.full(size, 1 / self.config.vocab_size, dtype=torch.float64)
        # The empty n-gram, number 0, is the context of single words.
        self._mix_in(1, chances, rows, torch.zeros_like(rows))
        return chances.log()

    def token_log_probabilities(self, ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T-1"]:
        """The log-probability of each token but the first, given those before it in its row.

        The same numbers as `forward`'s, without those of all the other words: so a long text is
        scored in a moment.

        Raises:
            UserError: an id is not in the vocabulary.
        """
        length = ids.size(1) - 1
        grams = [gram[:, :-1].flatten() for gram in self.counts.find(ids, self.config.order - 1)]
        ends = [gram[:, 1:].flatten() for gram in self.counts.find(ids, self.config.order)]
        chance = torch.full((len(grams[0]),), 1 / self.config.vocab_size, dtype=torch.float64)
        for n, shares in enumerate(self._shares, 1):
            rows = self._rows_to_ask(n, grams[n - 1], length)
            # p <- rest p + kept, as `_mix_in` does it for all words: here for the one that came.
            found = ends[n][rows]
            kept = shares.kept[found.clamp(min=0)].masked_fill(found == UNSEEN, 0.0)
            chance[rows] = chance[rows] * shares.rest[grams[n - 1][rows]] + kept
        return chance.log().view(-1, length)

    def _share(self, n: int) -> Shares:
        level, highest = self.counts.levels[n - 1], n == self.config.order
        size = self.config.vocab_size
        return self.smoothing.shares(level, n, highest=highest, vocab_size=size)

    def _rows_to_ask(
        self, n: int, contexts: Int[Tensor, " N"], length: int
    ) -> Int[Tensor, " rows"]:
        """The positions whose context of `n - 1` words is asked, as flat indices.

        It must have been seen, and something after it: a document may end with it.
        """
        seen = contexts != UNSEEN
        asked = seen & (self.counts.levels[n - 1].types[contexts.clamp(min=0)] > 0)
        if not self.smoothing.backs_off:  # only the longest context that there is
            place = torch.arange(len(contexts)) % length
            asked &= (place + 2).clamp(max=self.config.order) == n
        return asked.nonzero()[:, 0]

    def _mix_in(
        self, n: int, everyone: Tensor, rows: Int[Tensor, " rows"], contexts: Int[Tensor, " rows"]
    ) -> None:
        """`p ← rest p + kept`, in the given rows: the kept shares of all words seen there."""
        level, shares = self.counts.levels[n - 1], self._shares[n - 1]
        everyone[rows] *= shares.rest[contexts, None]
        n_words = level.types[contexts]
        # Rows have different numbers of words: lay them end to end, each with its row's number.
        row = rows.repeat_interleave(n_words)
        before = n_words.cumsum(0) - n_words
        within = torch.arange(len(row)) - before.repeat_interleave(n_words)
        # `within` runs 0, 1, ... in each row, so this walks through the words of its context.
        seen = level.starts[contexts].repeat_interleave(n_words) + within
        everyone[row, level.words[seen]] += shares.kept[seen]


def unseen_share(counts: Counts, ids: Int[Tensor, "B T"], order: int) -> float:
    """The share of a text's n-grams of an order that the counted documents do not hold.

    Raises:
        UserError: the text is shorter than the order, or the order was not counted.
    """
    if not 1 <= order <= counts.order:
        raise UserError(f"order={order} was not counted: there are orders 1 to {counts.order}")
    # The first n - 1 places of a row are no n-grams yet.
    found = counts.find(ids, order)[order][:, order - 1 :]
    if not found.numel():
        raise UserError(f"{ids.size(1)} tokens hold no n-gram of order {order}: give more text")
    return (found == UNSEEN).double().mean().item()
