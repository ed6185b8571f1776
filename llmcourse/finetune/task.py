"""What every task does: read examples, put a head on a base, make batches, score, predict.

The loop (`fit.py`) and the report ask a task and nothing else; a new task is one class and a line
in `registry.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from llmcourse.finetune.base import Base
from llmcourse.finetune.encode import EncodedRow
from llmcourse.finetune.examples import Example, Splits
from llmcourse.finetune.heads import Adapted
from llmcourse.finetune.settings import Settings
from llmcourse.objectives.base import Batch, LossSum


@dataclass(frozen=True, kw_only=True)
class Judged:
    """How well predictions are.

    Attributes:
        metric: the name of the figure that counts.
        value: it, in [0, 1]: more is better.
        others: further figures by name.
    """

    metric: str
    value: float
    others: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """What a model says of an example.

    Attributes:
        labels: the label, or the tags.
        surprise: how unlikely it found the right ones, in nats; 0 where they are not known.
        sure: the probability of its label; of tags, that of the least sure one.
    """

    labels: tuple[str, ...]
    surprise: float
    sure: float


class Task(ABC):
    """Task: a set of labels, and what is asked about them.

    Args:
        settings: of the run.
        base: the model that is adapted.
        labels: the names of all labels, in the order of the head's outputs.
    """

    def __init__(self, settings: Settings, base: Base, labels: Sequence[str]) -> None:
        self.settings, self.base, self.labels = settings, base, list(labels)
        self.number = {label: place for place, label in enumerate(self.labels)}
        context = base.model.config.context_length
        self.most = min(settings.max_length or context, context)

    @staticmethod
    @abstractmethod
    def read(settings: Settings) -> Splits:
        """The labelled examples that the settings name."""

    @abstractmethod
    def build(self) -> Adapted:
        """The base with a fresh head."""

    @abstractmethod
    def rows(self, examples: Sequence[Example]) -> list[EncodedRow]:
        """The examples in tokens; a long one may become several rows."""

    @abstractmethod
    def collate(self, rows: Sequence[EncodedRow]) -> Batch:
        """A batch of rows."""

    @abstractmethod
    def loss(self, model: Adapted, output: Any, batch: Batch) -> LossSum:
        """The summed loss, and over how many decisions."""

    @abstractmethod
    def decide(self, model: Adapted, output: Any, batch: Batch) -> list[tuple[Any, Tensor]]:
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
