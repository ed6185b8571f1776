"""Taggers in miniature: a head on frozen features of words, with a CRF on top or without one.

Every word gets the mean of the vectors of its pieces, whoever made them: a pretrained model, the
same model untrained, or a table that knows the word and nothing around it. What is trained is one
linear map to tags, and a CRF's transitions. Not here: the CRF (`nn/crf.py`), what tags mean
(`evaluate/spans.py`), a run on real data with the model trained as well (`finetune/`). Chapter 12
teaches this.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from llmcourse.errors import UserError, require
from llmcourse.evaluate.features import Reader
from llmcourse.evaluate.spans import Span, forbidden_pairs, to_tags
from llmcourse.evaluate.tinytown_probes import word_span
from llmcourse.nn.crf import FORBIDDEN, LinearChainCRF
from llmcourse.objectives.base import IGNORE
from llmcourse.tinytown import stories as tinytown
from llmcourse.tinytown.labels import Sentence
from llmcourse.tokenizers.base import Tokenizer


@dataclass(frozen=True)
class TaggedSentence:
    """A sentence in words, each with a tag.

    Attributes:
        text: the sentence.
        places: where each word begins and ends in it.
        tags: a tag for each word.
    """

    text: str
    places: tuple[tuple[int, int], ...]
    tags: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        """The words, punctuation included."""
        return [self.text[start:end] for start, end in self.places]


def entity_tags(sentence: Sentence, scheme: str = "IOB2") -> list[str]:
    """The tags of a tinytown sentence that say who, where and what: PER, PET, LOC, ITEM."""
    spans = [Span(entity.kind, entity.start, entity.end) for entity in sentence.entities]
    return to_tags(spans, len(sentence.tokens), scheme)


def tinytown_sentences(
    n_stories: int, seed: int = 0, *, pos: bool = False
) -> Iterator[TaggedSentence]:
    """The sentences of stories with their entities, or their parts of speech, as tags."""
    for story in tinytown.stories(n_stories, seed):
        for sentence in story.sentences:
            places = tuple((token.start, token.end) for token in sentence.tokens)
            tags = [token.tag for token in sentence.tokens] if pos else entity_tags(sentence)
            yield TaggedSentence(sentence.text, places, tuple(tags))


def word_vectors(
    reader: Reader, tokenizer: Tokenizer, sentences: Sequence[TaggedSentence]
) -> list[Float[Tensor, "_ D"]]:
    """A vector for each word of each sentence: the mean over its pieces, read within the text."""
    spans = [word_span(tokenizer, s.text, start, end) for s in sentences for start, end in s.places]
    vectors = reader.span_means(spans)
    return list(vectors.split([len(sentence.tags) for sentence in sentences]))


def standardised(
    train: Sequence[Float[Tensor, "_ D"]], others: Sequence[Float[Tensor, "_ D"]]
) -> tuple[list[Float[Tensor, "_ D"]], list[Float[Tensor, "_ D"]]]:
    """Both sets of vectors, moved and scaled so that each feature of the first has mean 0, scale 1.

    The test's own mean takes no part: nobody knows it when a tagger is fitted.
    """
    together = torch.cat(list(train))
    mean, scale = together.mean(dim=0), together.std(dim=0).clamp_min(1e-3)
    first, second = ([(rows - mean) / scale for rows in part] for part in (train, others))
    return first, second


class PathScores(NamedTuple):
    """What a CRF knows beside the emissions: scores of first tags, of neighbours, of last tags.

    Minus infinity forbids.
    """

    start: Float[Tensor, " C"]
    transitions: Float[Tensor, "C C"]
    end: Float[Tensor, " C"]

    def crf(self) -> LinearChainCRF:
        """The layer with these scores, in their format."""
        made = LinearChainCRF(len(self.start)).to(self.transitions.dtype)
        with torch.no_grad():
            for name, scores in self._asdict().items():
                getattr(made, name).copy_(scores.nan_to_num(neginf=FORBIDDEN))
        return made


class Tagger(nn.Module):
    """A head that scores the tags of every word, and a CRF that chooses them together, or none.

    Attributes:
        tags: the names of the C tags.
        head: from a word's vector to its emissions.
        crf: chooses whole sequences; None for a tagger that chooses each tag by itself.
    """

    def __init__(self, width: int, tags: Sequence[str], crf: LinearChainCRF | None = None) -> None:
        super().__init__()
        self.tags = list(tags)
        self.head = nn.Linear(width, len(self.tags))
        self.crf = crf
        nn.init.zeros_(self.head.weight)  # the loss is convex: any start leads to the same place
        nn.init.zeros_(self.head.bias)

    def loss(
        self,
        vectors: Float[Tensor, "B T D"],
        targets: Int[Tensor, "B T"],
        mask: Bool[Tensor, "B T"],
    ) -> Float[Tensor, ""]:
        """The negative log-likelihood of the tags, in nats for each word."""
        emissions = self.head(vectors)
        if self.crf is None:
            chosen = targets.masked_fill(~mask, IGNORE)
            return F.cross_entropy(emissions.mT, chosen, ignore_index=IGNORE)
        return -self.crf.log_likelihood(emissions, targets, mask).sum() / mask.sum()

    @torch.no_grad()
    def predict(self, vectors: Sequence[Float[Tensor, "_ D"]]) -> list[list[str]]:
        """The tags of each sentence: by Viterbi with a CRF, word by word without."""
        padded, mask = _padded(vectors)
        emissions = self.head(padded)
        if self.crf is None:
            best = [
                row[kept].tolist() for row, kept in zip(emissions.argmax(-1), mask, strict=True)
            ]
        else:
            best = self.crf.best(emissions, mask)
        return [[self.tags[tag] for tag in row] for row in best]


def fit_tagger(
    vectors: Sequence[Float[Tensor, "_ D"]],
    tags: Sequence[Sequence[str]],
    *,
    crf: bool = False,
    scheme: str | None = None,
    decay: float = 1e-3,
) -> Tagger:
    """A tagger fitted to vectors of words and their tags; its tags are those that occur there.

    It minimises the negative log-likelihood for each word + `decay` / 2 · the sum of all squared
    weights, by L-BFGS over all sentences at once. That is convex with and without a CRF, so no
    seed and no learning rate decides between the two.

    Args:
        vectors: for each sentence a vector a word.
        tags: for each sentence a tag a word.
        crf: whether tags are chosen together.
        scheme: forbids a CRF what the scheme does not allow, as in `"IOB2"`; None for nothing.
        decay: how strongly weights are pulled to zero.

    Raises:
        UserError: there are no sentences, or words without tags.
    """
    require(len(vectors) > 0, "a tagger learns from at least one sentence")
    for at, (rows, row) in enumerate(zip(vectors, tags, strict=True)):
        if len(rows) != len(row):
            raise UserError(f"sentence {at} has {len(rows)} words and {len(row)} tags")
    names = sorted({tag for row in tags for tag in row})
    barred = forbidden_pairs(names, scheme) if scheme else ()
    tagger = Tagger(vectors[0].size(1), names, LinearChainCRF(len(names), barred) if crf else None)
    padded, mask = _padded(vectors)
    targets = torch.zeros_like(mask, dtype=torch.long)
    targets[mask] = torch.tensor([names.index(tag) for row in tags for tag in row])
    walker = torch.optim.LBFGS(tagger.parameters(), max_iter=80, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        walker.zero_grad()
        penalty = sum((p.square().sum() for p in tagger.parameters()), torch.tensor(0.0))
        loss = tagger.loss(padded, targets, mask) + decay / 2 * penalty
        loss.backward()
        return loss

    walker.step(closure)
    return tagger


def most_frequent_tags(sentences: Sequence[TaggedSentence]) -> dict[str, str]:
    """The most frequent tag of each word that occurs, and under "" that of all words together."""
    counts: dict[str, Counter[str]] = {"": Counter()}
    for sentence in sentences:
        for word, tag in zip(sentence.words, sentence.tags, strict=True):
            counts.setdefault(word, Counter())[tag] += 1
            counts[""][tag] += 1
    return {word: found.most_common(1)[0][0] for word, found in counts.items()}


def accuracy(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> float:
    """The share of words whose tag is right."""
    pairs = [pair for g, p in zip(gold, predicted, strict=True) for pair in zip(g, p, strict=True)]
    return sum(one == other for one, other in pairs) / len(pairs)


def _padded(
    vectors: Sequence[Float[Tensor, "_ D"]],
) -> tuple[Float[Tensor, "B T D"], Bool[Tensor, "B T"]]:
    """Sentences side by side, zeros behind the shorter ones, and which words are real."""
    lengths = torch.tensor([len(rows) for rows in vectors])
    padded = nn.utils.rnn.pad_sequence(list(vectors), batch_first=True)
    return padded, torch.arange(padded.size(1)) < lengths[:, None]
