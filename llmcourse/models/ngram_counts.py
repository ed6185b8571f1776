"""How often every n-gram occurs in some documents, of all orders up to a highest one.

The counts are a tree, kept as sorted arrays: an n-gram is one word more than its context, which is
an n-gram of the order below. So a whole text is looked up with one binary search an order, for all
positions at once. Not here: what is made of the counts (`ngram_smoothing`), and the model that
talks (`ngram`). Chapter 02 teaches this.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from llmcourse.errors import UserError

UNSEEN = -1
"""The number of an n-gram that the documents do not hold."""


@dataclass(frozen=True, kw_only=True)
class Level:
    """All n-grams of one order, numbered in the order of `context * V + word`.

    Attributes:
        keys: `context * V + word` of each n-gram, ascending; `context` numbers the level below.
        contexts: the context of each n-gram.
        words: the last word of each n-gram.
        starts: where each context's n-grams begin, and one number more: where the last one's end.
        occurrences: how often each n-gram occurs.
        continuations: how many different words stand before it; where none ever does, because it
            stands only at the beginning of documents, how often it occurs (as SRILM and KenLM do).
    """

    keys: Int[Tensor, " N"]
    contexts: Int[Tensor, " N"]
    words: Int[Tensor, " N"]
    starts: Int[Tensor, " C"]
    occurrences: Int[Tensor, " N"]
    continuations: Int[Tensor, " N"]

    @property
    def types(self) -> Int[Tensor, " contexts"]:
        """How many different words follow each context."""
        return self.starts.diff()

    def totals(self, counts: Tensor) -> Tensor:
        """The sum of `counts`, one for each n-gram, over the n-grams of each context."""
        n_contexts = len(self.starts) - 1
        return counts.new_zeros(n_contexts).index_add_(0, self.contexts, counts)


@dataclass(frozen=True, kw_only=True)
class Counts:
    """The n-grams of orders `1 ... order` of some documents.

    Attributes:
        vocab_size: how many words there are, V, seen or not.
        levels: the n-grams of each order; `levels[0]` holds single words.
    """

    vocab_size: int
    levels: tuple[Level, ...]

    @property
    def order(self) -> int:
        """The highest order counted."""
        return len(self.levels)

    @property
    def n_ngrams(self) -> int:
        """How many different n-grams were seen, all orders together: what has to be stored."""
        return sum(len(level.keys) for level in self.levels)

    def find(self, ids: Int[Tensor, "B T"], order: int | None = None) -> list[Int[Tensor, "B T"]]:
        """The number of the n-gram that ends at each position, for `n = 0, 1, ... order`.

        It is `UNSEEN` where the documents do not hold it, or where the row has just begun and there
        are no n words yet. The empty n-gram has the number 0.

        Raises:
            UserError: an id is not in the vocabulary.
        """
        check_ids(ids, self.vocab_size)
        found = [torch.zeros_like(ids)]
        # From short to long: an n-gram is the number of what it continues, and one word more.
        for number, level in enumerate(self.levels[: order or self.order]):
            context = found[-1] if number == 0 else _one_later(found[-1])
            found.append(_search(level.keys, context, ids, self.vocab_size))
        return found


def count_ngrams(
    documents: Iterable[list[int] | Int[Tensor, " _"]], order: int, vocab_size: int
) -> Counts:
    """Count the n-grams of every order up to `order`; none reaches from one document to the next.

    Raises:
        UserError: no tokens, an id that is not in the vocabulary, or an order below 1.
    """
    if order < 1:
        raise UserError(f"order={order} must be at least 1: 1 counts words, 2 counts pairs")
    ids, place = _join(documents)
    check_ids(ids, vocab_size)
    levels: list[Level] = []
    gram = torch.zeros_like(ids)  # the number of the n-gram that ends at each position
    for n in range(1, order + 1):
        whole = place >= n - 1  # where n words of the same document are there
        if not whole.any():
            raise UserError(f"no document has {n} tokens: give longer ones or a lower order")
        context = gram if n == 1 else _one_later(gram[None])[0]
        # Context and word in one number: sorted and counted by one `unique`.
        keys = context[whole] * vocab_size + ids[whole]
        keys, which, occurrences = torch.unique(keys, return_inverse=True, return_counts=True)
        if levels:
            # For each n-gram the one of n - 1 words that it ends in: what it continues.
            suffix = torch.empty_like(keys).scatter_(0, which, gram[whole])
            levels[-1] = _with_continuations(levels[-1], suffix)
        n_contexts = len(levels[-1].keys) if levels else 1
        levels.append(_level(keys, occurrences, n_contexts, vocab_size))
        gram = torch.full_like(ids, UNSEEN).masked_scatter_(whole, which)
    return Counts(vocab_size=vocab_size, levels=tuple(levels))


def check_ids(ids: Int[Tensor, "*_"], vocab_size: int) -> None:
    """Refuse ids that are not in the vocabulary.

    Raises:
        UserError: an id is below 0 or not below `vocab_size`.
    """
    if ids.numel() and not (ids.min() >= 0 and ids.max() < vocab_size):
        wrong = int(ids.max() if ids.min() >= 0 else ids.min())
        raise UserError(f"token id {wrong} is not in a vocabulary of {vocab_size}")


def _join(
    documents: Iterable[list[int] | Int[Tensor, " _"]],
) -> tuple[Int[Tensor, " T"], Int[Tensor, " T"]]:
    """All documents as one row of ids, and for each id its place in its own document."""
    rows = [torch.as_tensor(document, dtype=torch.long) for document in documents]
    if not sum(map(len, rows)):
        raise UserError("there are no tokens to count: give at least one document")
    return torch.cat(rows), torch.cat([torch.arange(len(row)) for row in rows])


def _level(keys: Tensor, occurrences: Tensor, n_contexts: int, vocab_size: int) -> Level:
    """A level whose continuations are not known yet: at the highest order, nothing asks for them.

    There `occurrences` stand for them.
    """
    # Keys of context c lie from c V on, and keys are sorted: a search finds where each begins.
    borders = torch.arange(n_contexts + 1) * vocab_size
    return Level(
        keys=keys,
        contexts=keys // vocab_size,
        words=keys % vocab_size,
        starts=torch.searchsorted(keys, borders),
        occurrences=occurrences,
        continuations=occurrences,
    )


def _with_continuations(level: Level, suffix: Int[Tensor, " M"]) -> Level:
    """The level, given for each n-gram of the next order which one of this level it ends in."""
    # Distinct n-grams that end in it are distinct words before it (Kneser and Ney's count).
    before = torch.bincount(suffix, minlength=len(level.keys))
    continuations = torch.where(before > 0, before, level.occurrences)
    return Level(**{**vars(level), "continuations": continuations})


def _one_later(gram: Int[Tensor, "B T"]) -> Int[Tensor, "B T"]:
    """Each position's n-gram as the context of the next position; the first has none."""
    return torch.cat([torch.full_like(gram[:, :1], UNSEEN), gram[:, :-1]], dim=1)


def _search(
    keys: Int[Tensor, " N"], context: Int[Tensor, "B T"], ids: Int[Tensor, "B T"], vocab_size: int
) -> Int[Tensor, "B T"]:
    wanted = context * vocab_size + ids
    place = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
    # The place where it would stand; whether it does is another question.
    seen = (context != UNSEEN) & (keys[place] == wanted)
    return place.masked_fill(~seen, UNSEEN)
