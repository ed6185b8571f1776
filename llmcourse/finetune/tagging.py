"""Tagging: a tag for each word, each decided alone or all together by a CRF.

Tags that begin with B- and I- mark spans, and spans are then what counts. Not here: the CRF
(`nn/crf.py`), spans and their scores (`evaluate/spans.py`). Chapter 12 teaches this.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from llmcourse.evaluate.labels import accuracy
from llmcourse.evaluate.spans import forbidden_pairs, span_scores, spans_of
from llmcourse.finetune.encode import EncodedRow, collate_words, encode_words
from llmcourse.finetune.examples import (
    Example,
    Predicted,
    Splits,
    in_words,
    read_splits,
    read_tags,
    texts,
)
from llmcourse.finetune.heads import Adapted, HeadOutput, Tagger
from llmcourse.finetune.labels import LabelTask
from llmcourse.finetune.settings import Settings
from llmcourse.finetune.task import Judged
from llmcourse.nn.crf import LinearChainCRF
from llmcourse.objectives.base import IGNORE, Batch, LossSum


class Tagging(LabelTask):
    """A tag for each word."""

    @staticmethod
    def read(settings: Settings) -> Splits:
        """Texts in words with tags, in three splits.

        Raises:
            UserError: see `read_splits`.
        """
        return read_splits(read_tags, settings.data, settings.seed)

    @property
    def has_spans(self) -> bool:
        """Whether the tags mark spans: all but O begin with a letter of a scheme and a hyphen."""
        rest = [label for label in self.labels if label != "O"]
        return bool(rest) and all(label[:2] in ("B-", "I-", "E-", "S-") for label in rest)

    def build(self) -> Adapted:
        """The base with a tagger's head; with a CRF on it no tags that cannot follow each other."""
        crf = None
        if self.settings.crf:
            pairs = forbidden_pairs(self.labels) if self.has_spans else ()
            crf = LinearChainCRF(len(self.labels), pairs)
        return Tagger(self.base.model, len(self.labels), crf=crf, dropout=self.settings.dropout)

    def rows(self, examples: Sequence[Example]) -> list[EncodedRow]:
        """Rows of words in tokens; a long text has several."""
        return [
            row
            for number, example in enumerate(examples)
            for row in encode_words(
                self.base, example, [self.number[t] for t in example.labels], self.most, number
            )
        ]

    def collate(self, rows: Sequence[EncodedRow]) -> Batch:
        """A batch of texts in words."""
        return collate_words(rows)

    def loss(self, model: Adapted, output: HeadOutput, batch: Batch) -> LossSum:
        """The negative log-likelihood of the tags, over as many words."""
        words = batch.extras["words"]
        real = words >= 0
        tags = batch.targets.gather(1, words.clamp(min=0)).masked_fill(~real, IGNORE)
        logits = output.logits.float()
        crf = model.crf
        if isinstance(crf, LinearChainCRF):
            total = -crf.log_likelihood(logits, tags.clamp(min=0), real).sum()
        else:
            total = F.cross_entropy(
                logits.flatten(0, 1), tags.flatten(), ignore_index=IGNORE, reduction="sum"
            )
        return LossSum(total, real.sum())

    def decide(
        self, model: Adapted, output: HeadOutput, batch: Batch
    ) -> list[tuple[list[int], Tensor]]:
        """The likeliest tag of each word; with a CRF the likeliest tags of each text."""
        real = batch.extras["words"] >= 0
        logits = output.logits.float()
        crf = model.crf
        if isinstance(crf, LinearChainCRF):
            best, scores = (
                crf.best(logits, real),
                crf.marginals(logits, real).clamp(min=1e-30).log(),
            )
        else:
            scores = logits.log_softmax(dim=-1)
            best = [
                row[: int(n)].tolist()
                for row, n in zip(scores.argmax(-1), real.sum(1), strict=True)
            ]
        return [(tags, row[: len(tags)].cpu()) for tags, row in zip(best, scores, strict=True)]

    def gather(
        self, examples: Sequence[Example], rows: Sequence[EncodedRow], decided: Sequence[Any]
    ) -> list[Predicted]:
        """The rows of a text, one after the other."""
        tags: list[list[str]] = [[] for _ in examples]
        surprise, sure = [0.0] * len(examples), [1.0] * len(examples)
        for row, (best, scores) in zip(rows, decided, strict=True):
            tags[row.example] += [self.labels[tag] for tag in best]
            chosen = scores.gather(1, torch.tensor(best)[:, None])
            sure[row.example] = min(sure[row.example], float(chosen.exp().min()))
            if row.targets:
                right = scores.gather(1, torch.tensor(row.targets)[:, None])
                surprise[row.example] -= float(right.sum())
        return [
            Predicted(labels=tuple(found), surprise=nats, sure=share)
            for found, nats, share in zip(tags, surprise, sure, strict=True)
        ]

    def judge(self, examples: Sequence[Example], predicted: Sequence[tuple[str, ...]]) -> Judged:
        """Accuracy over all words; where tags mark spans, the spans' F1, which is what counts."""
        right = [tag for example in examples for tag in example.labels]
        shared = accuracy(right, [tag for tags in predicted for tag in tags])
        if not self.has_spans:
            return Judged(metric="accuracy", value=shared)
        gold = [spans_of(example.labels) for example in examples]
        score = span_scores(gold, [spans_of(tags) for tags in predicted]).micro
        others = {"precision": score.precision, "recall": score.recall, "accuracy": shared}
        return Judged(metric="span F1", value=score.f1, others=others)

    def baselines(
        self, train: Sequence[Example], test: Sequence[Example]
    ) -> dict[str, list[tuple[str, ...]]]:
        """The commonest tag, and each word's commonest tag."""
        common = Counter(tag for example in train for tag in example.labels).most_common(1)[0][0]
        seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for example in train:
            for word, tag in zip(example.words, example.labels, strict=True):
                seen[word.casefold()][tag] += 1
        best = {word: counts.most_common(1)[0][0] for word, counts in seen.items()}
        return {
            "majority": [(common,) * len(example.words) for example in test],
            "most frequent tag": [
                tuple(best.get(word.casefold(), common) for word in example.words)
                for example in test
            ],
        }

    def use(self, model: Adapted, lines: Sequence[str]) -> Iterator[dict[str, Any]]:
        """A tag for each word of each line."""
        examples = in_words(texts(lines))
        for example, one in zip(examples, self.predict(model, examples), strict=True):
            yield {"words": example.words, "tags": one.labels}
