"""How a text becomes features: one way to read the hidden states of every family of models.

A reader gives each token a vector. What a probe sees of a text, a word or a pair is a mean of such
vectors, for all models alike, so that they differ in what they learned and not in how they were
asked. The baselines are readers, too: `CountReader` knows which tokens there are and nothing else,
and a model that was never trained is read like any other. Not here: what features are asked
(`probe_tasks.py`), the probe (`probes.py`). Chapter 07 teaches this.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from llmcourse.models.base import Model

Text = Sequence[int]
"""The ids of a text."""
Span = tuple[Text, int, int]
"""A text, and the tokens of it, from one place to before another, that are meant."""

MOST_ROWS = 64
"""How many rows are read at once."""


class Reader(ABC):
    """Gives each token of a text a vector."""

    @abstractmethod
    def states(self, texts: Sequence[Text]) -> Iterator[Float[Tensor, "T D"]]:
        """A vector for each token of each text."""

    def pair_states(
        self, pairs: Sequence[tuple[Text, Text]]
    ) -> Iterator[tuple[Float[Tensor, "T D"], Float[Tensor, "S D"]]]:
        """The vectors of both texts of each pair, read one after the other as one text."""
        joined = [(*first, *second) for first, second in pairs]
        for (first, second), states in zip(pairs, self.states(joined), strict=True):
            yield states[: len(first)], states[len(first) : len(first) + len(second)]

    def means(self, texts: Sequence[Text]) -> Float[Tensor, "N D"]:
        """A vector for each text: the mean over its tokens."""
        return torch.stack([states.mean(dim=0) for states in self.states(texts)])

    def pair_means(self, pairs: Sequence[tuple[Text, Text]]) -> Float[Tensor, "N twoD"]:
        """The means of both texts, one behind the other."""
        both = self.pair_states(pairs)
        return torch.stack([torch.cat([a.mean(dim=0), b.mean(dim=0)]) for a, b in both])

    def span_means(self, spans: Sequence[Span]) -> Float[Tensor, "N D"]:
        """A vector for some tokens of each text, say the pieces of a word, read within the text."""
        texts = {
            tuple(text): index
            for index, text in enumerate(dict.fromkeys(tuple(text) for text, _, _ in spans))
        }
        states = list(self.states(list(texts)))
        return torch.stack(
            [states[texts[tuple(text)]][start:end].mean(dim=0) for text, start, end in spans]
        )


class CountReader(Reader):
    """The bag of words as a reader: each token's vector has a 1 at its own place.

    A mean over a text is then the share of each token in it, in whatever order they stood.
    """

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size = vocab_size

    def states(self, texts: Sequence[Text]) -> Iterator[Float[Tensor, "T V"]]:
        """A one-hot vector for each token."""
        for text in texts:
            yield F.one_hot(torch.tensor(text), self.vocab_size).float()


class ModelReader(Reader):
    """A model's hidden states. Texts are framed as the model was trained to read them.

    A GPT's state has seen what came before it, an encoder's the whole text. An XLNet's is that of
    its content stream, which has read its own token.

    Args:
        model: of any family.
        cls_id: what stands before a text; nothing unless given.
        sep_id: what stands behind it, and between two texts, which then are of two segments.
        most: the longest text read at once, frame included; a longer one is read in pieces.
    """

    def __init__(
        self,
        model: Model,
        cls_id: int | None = None,
        sep_id: int | None = None,
        most: int | None = None,
    ) -> None:
        self.model = model
        self.before = () if cls_id is None else (cls_id,)
        self.behind = () if sep_id is None else (sep_id,)
        self.most: int = model.config.context_length if most is None else most

    def states(self, texts: Sequence[Text]) -> Iterator[Float[Tensor, "T D"]]:
        """The states of a text's own tokens; those of its frame are left out."""
        room = self.most - len(self.before) - len(self.behind)
        rows: list[Text] = []
        owners: list[int] = []
        for index, text in enumerate(texts):
            for start in range(0, len(text), room):
                rows.append((*self.before, *text[start : start + room], *self.behind))
                owners.append(index)
        pieces: list[list[Tensor]] = [[] for _ in texts]
        for owner, states in zip(owners, self._read(rows), strict=True):
            pieces[owner].append(self._own(states, len(states) - len(self.behind)))
        yield from map(torch.cat, pieces)

    def pair_states(
        self, pairs: Sequence[tuple[Text, Text]]
    ) -> Iterator[tuple[Float[Tensor, "T D"], Float[Tensor, "S D"]]]:
        """As every reader's; where the model knows frames, `[CLS] A [SEP] B [SEP]` in segments.

        Pairs that are too long lose the beginning of the first text and the end of the second.
        """
        pairs = [self._fitted(*pair) for pair in pairs]
        if not self.behind:
            yield from super().pair_states(pairs)
            return
        rows = [(*self.before, *a, *self.behind, *b, *self.behind) for a, b in pairs]
        firsts = [len(self.before) + len(a) + len(self.behind) for a, _ in pairs]
        states = self._read(rows, firsts)
        for (a, b), first, read in zip(pairs, firsts, states, strict=True):
            yield self._own(read, len(self.before) + len(a)), read[first : first + len(b)]

    def _fitted(self, first: Text, second: Text) -> tuple[Text, Text]:
        """Both texts, cut so that they fit into one row: half of it is the second's if need be."""
        room = self.most - len(self.before) - 2 * len(self.behind)
        second = second[: max(room - len(first), room // 2)]
        return first[max(0, len(first) + len(second) - room) :], second

    def _own(self, states: Float[Tensor, "T D"], end: int) -> Float[Tensor, "N D"]:
        return states[len(self.before) : end]

    @torch.no_grad()
    def _read(self, rows: Sequence[Text], firsts: list[int] | None = None) -> list[Tensor]:
        """The states of each row. Rows of one length are read together, so nothing is padded."""
        found: list[Tensor] = [torch.empty(0)] * len(rows)
        training = self.model.training
        self.model.eval()
        for part in of_one_length(rows):
            ids = torch.tensor([rows[index] for index in part])
            segments = None
            if firsts is not None:
                starts = torch.tensor([firsts[index] for index in part])
                segments = (torch.arange(ids.size(1)) >= starts[:, None]).long()
            for index, states in zip(part, self.model.hidden_states(ids, segments), strict=True):
                found[index] = states
        self.model.train(training)
        return found


def of_one_length(rows: Sequence[Text]) -> Iterator[list[int]]:
    """The rows' numbers, at most `MOST_ROWS` at a time, all of one length."""
    by_length: dict[int, list[int]] = {}
    for index, row in enumerate(rows):
        by_length.setdefault(len(row), []).append(index)
    for _, indices in sorted(by_length.items()):
        for start in range(0, len(indices), MOST_ROWS):
            yield indices[start : start + MOST_ROWS]
