"""What tasks with labels share: a label for a text, or one for each of its words.

Not here: the two tasks (`classification.py`, `tagging.py`), reading labels (`examples.py`).
Chapters 11 and 12 teach this.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from llmcourse.finetune.base import Base
from llmcourse.finetune.encode import EncodedRow
from llmcourse.finetune.examples import Example, Predicted
from llmcourse.finetune.heads import Adapted
from llmcourse.finetune.label_pages import label_sections
from llmcourse.finetune.settings import Settings
from llmcourse.finetune.task import Judged, Measurement, Task

ROWS_AT_ONCE = 64
"""How many rows are read at once where nothing is learned."""


class LabelTask(Task):
    """A task with a set of labels.

    Attributes:
        number: the place of each label among the head's outputs.
    """

    def __init__(self, settings: Settings, base: Base, labels: Sequence[str]) -> None:
        super().__init__(settings, base, labels)
        self.number = {label: place for place, label in enumerate(self.labels)}

    @abstractmethod
    def decide(self, model: Adapted, output: Any, batch: Any) -> list[tuple[Any, Tensor]]:
        """For each row its decisions, and the log-probabilities of all labels."""

    @abstractmethod
    def gather(
        self, examples: Sequence[Example], rows: Sequence[EncodedRow], decided: Sequence[Any]
    ) -> list[Predicted]:
        """What was decided about rows, as predictions for examples."""

    @abstractmethod
    def judge(self, examples: Sequence[Example], predicted: Sequence[tuple[str, ...]]) -> Judged:
        """How good the predicted labels are."""

    @abstractmethod
    def baselines(
        self, train: Sequence[Example], test: Sequence[Example]
    ) -> dict[str, list[tuple[str, ...]]]:
        """What those predict who know little, by name: the rivals of any model."""

    @torch.no_grad()
    def predict(self, model: Adapted, examples: Sequence[Example]) -> list[Predicted]:
        """What a model says of examples, in their order."""
        rows = self.rows(examples)
        device = next(model.parameters()).device
        # Rows of about one length are read together, so that little is filled up.
        order = sorted(range(len(rows)), key=lambda place: len(rows[place].ids))
        decided: list[Any] = [None] * len(rows)
        training = model.training
        model.eval()
        for start in range(0, len(order), ROWS_AT_ONCE):
            part = order[start : start + ROWS_AT_ONCE]
            batch = self.collate([rows[place] for place in part]).rows(slice(None), device)
            output = model(ids=batch.ids, **batch.extras)
            for place, decision in zip(part, self.decide(model, output, batch), strict=True):
                decided[place] = decision
        model.train(training)
        return self.gather(examples, rows, decided)

    def measure(self, model: Adapted, examples: Sequence[Example], samples: int = 0) -> Measurement:
        """The labels that a model gives, judged; all of them are said."""
        said = self.predict(model, examples)
        # By decisions, as the training loss: a text of twenty words has twenty.
        decisions = sum(len(example.labels) for example in examples)
        return Measurement(
            judged=self.judge(examples, [one.labels for one in said]),
            loss=sum(one.surprise for one in said) / decisions,
            said=said,
        )

    def rivals(
        self, train: Sequence[Example], test: Sequence[Example], samples: int = 0
    ) -> dict[str, Measurement]:
        """Those who count labels and words."""
        return {
            name: Measurement(judged=self.judge(test, labels), loss=0.0, said=labels)
            for name, labels in self.baselines(train, test).items()
        }

    def sections(
        self, examples: Sequence[Example], measured: Measurement, rivals: dict[str, Measurement]
    ) -> list[str]:
        """What is taken for what, the worst of it, and the figures by label."""
        return label_sections(self.labels, examples, measured.said)

    def about(self) -> str:
        """How many labels there are."""
        return f"{len(self.labels)} labels"
