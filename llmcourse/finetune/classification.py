"""Classification: a label for each text.

Not here: the loop (`fit.py`), the head (`heads.py`). Chapter 11 teaches this.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from llmcourse.evaluate.labels import accuracy, macro_f1
from llmcourse.finetune.baselines import NaiveBayes
from llmcourse.finetune.encode import EncodedRow, collate_texts, encode_text
from llmcourse.finetune.examples import (
    Example,
    Predicted,
    Splits,
    read_labelled,
    read_splits,
    texts,
)
from llmcourse.finetune.heads import Adapted, Classifier, HeadOutput, Pooling
from llmcourse.finetune.labels import LabelTask
from llmcourse.finetune.settings import Settings
from llmcourse.finetune.task import Judged
from llmcourse.objectives.base import IGNORE, Batch, LossSum


class Classification(LabelTask):
    """A label for each text."""

    @staticmethod
    def read(settings: Settings) -> Splits:
        """Texts and labels from a table, in three splits.

        Raises:
            UserError: see `read_splits`.
        """
        return read_splits(read_labelled, settings.data, settings.seed)

    def build(self) -> Adapted:
        """The base with a classifier's head."""
        pooling: Pooling
        if self.settings.pooling == "auto":
            # Where a token sees only what came before it, the last one alone has seen everything.
            pooling = "last" if self.base.model.generates else "mean"
        else:
            pooling = self.settings.pooling
        return Classifier(
            self.base.model, len(self.labels), pooling=pooling, dropout=self.settings.dropout
        )

    def rows(self, examples: Sequence[Example]) -> list[EncodedRow]:
        """A row for each text, cut to the context, and the number of its label."""
        return [
            encode_text(
                self.base, example, [self.number[t] for t in example.labels], self.most, number
            )
            for number, example in enumerate(examples)
        ]

    def collate(self, rows: Sequence[EncodedRow]) -> Batch:
        """A batch of texts."""
        return collate_texts(rows)

    def loss(self, model: Adapted, output: HeadOutput, batch: Batch) -> LossSum:
        """Cross-entropy of the labels."""
        assert batch.labels is not None
        total = F.cross_entropy(
            output.logits.float(), batch.labels, ignore_index=IGNORE, reduction="sum"
        )
        return LossSum(total, (batch.labels != IGNORE).sum())

    def decide(
        self, model: Adapted, output: HeadOutput, batch: Batch
    ) -> list[tuple[list[int], Tensor]]:
        """The likeliest label of each text."""
        scores = output.logits.float().log_softmax(dim=-1)
        best = scores.argmax(dim=-1).tolist()
        return [([label], row) for label, row in zip(best, scores.cpu(), strict=True)]

    def gather(
        self, examples: Sequence[Example], rows: Sequence[EncodedRow], decided: Sequence[Any]
    ) -> list[Predicted]:
        """A row is an example."""
        found = []
        for row, ((label,), scores) in zip(rows, decided, strict=True):
            surprise = -float(scores[row.targets[0]]) if row.targets else 0.0
            sure = float(scores[label].exp())
            found.append(Predicted(labels=(self.labels[label],), surprise=surprise, sure=sure))
        return found

    def judge(self, examples: Sequence[Example], predicted: Sequence[tuple[str, ...]]) -> Judged:
        """Accuracy; besides, the mean F1 of the labels."""
        right = [example.labels[0] for example in examples]
        said = [labels[0] for labels in predicted]
        return Judged(
            metric="accuracy",
            value=accuracy(right, said),
            others={"macro F1": macro_f1(right, said)},
        )

    def baselines(
        self, train: Sequence[Example], test: Sequence[Example]
    ) -> dict[str, list[tuple[str, ...]]]:
        """The commonest label, and naive Bayes on the words whatever their order."""
        common = Counter(example.labels[0] for example in train).most_common(1)[0][0]
        bayes = NaiveBayes([(example.words[0], example.labels[0]) for example in train])
        return {
            "majority": [(common,)] * len(test),
            "bag of words": [(bayes.label(example.words[0]),) for example in test],
        }

    def use(self, model: Adapted, lines: Sequence[str]) -> Iterator[dict[str, Any]]:
        """A label for each line, and how sure the model is."""
        for one in self.predict(model, texts(lines)):
            yield {"label": one.labels[0], "probability": round(one.sure, 4)}
