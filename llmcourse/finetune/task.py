"""What every task does: read examples, make a model of a base, make batches, score, measure.

The loop (`fit.py`) and the report ask a task and nothing else; a new task is one class and a line
in `registry.py`. Not here: what tasks with labels share (`labels.py`), and those with texts
(`texts.py`).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmcourse.finetune.base import Base
from llmcourse.finetune.examples import Splits
from llmcourse.finetune.heads import Adapted
from llmcourse.finetune.settings import Settings
from llmcourse.objectives.base import Batch, LossSum


@dataclass(frozen=True, kw_only=True)
class Judged:
    """How good a model is.

    Attributes:
        metric: the name of the figure that counts.
        value: it.
        others: further figures by name, shares in [0, 1].
        in_nats: further figures by name, in nats.
        lower_is_better: whether the value is a loss in nats; if not, it is a share, too.
    """

    metric: str
    value: float
    others: dict[str, float] = field(default_factory=dict)
    in_nats: dict[str, float] = field(default_factory=dict)
    lower_is_better: bool = False

    @property
    def badness(self) -> float:
        """The figure, so that less is better."""
        return self.value if self.lower_is_better else -self.value

    @property
    def text(self) -> str:
        """The figure in words: a share in per cent, a loss as it is."""
        return f"{self.value:.3f}" if self.lower_is_better else f"{self.value:.1%}"


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What came of measuring a model on a split.

    Attributes:
        judged: how good it is.
        loss: what it paid for what is right, in nats a decision.
        said: what it said of each example, as the task keeps it.
    """

    judged: Judged
    loss: float
    said: Sequence[Any]


class Task(ABC):
    """Task: what is asked of a model, and how good an answer is.

    Args:
        settings: of the run.
        base: the model that is adapted.
        labels: the names of all labels, in the order of a head's outputs; none where texts are
            answered by texts.
    """

    def __init__(self, settings: Settings, base: Base, labels: Sequence[str]) -> None:
        self.settings, self.base, self.labels = settings, base, list(labels)
        context = base.model.config.context_length
        self.most = min(settings.max_length or context, context)

    @staticmethod
    @abstractmethod
    def read(settings: Settings) -> Splits:
        """The examples that the settings name, in three splits."""

    @abstractmethod
    def build(self) -> Adapted:
        """The base, with what the task puts on it."""

    @abstractmethod
    def rows(self, examples: Sequence[Any]) -> list[Any]:
        """The examples in tokens; a long one may become several rows."""

    @abstractmethod
    def collate(self, rows: Sequence[Any]) -> Batch:
        """A batch of rows."""

    @abstractmethod
    def loss(self, model: Adapted, output: Any, batch: Batch) -> LossSum:
        """The summed loss, and over how many decisions."""

    @abstractmethod
    def measure(self, model: Adapted, examples: Sequence[Any], samples: int = 0) -> Measurement:
        """How good a model is on some examples, and what it says of them.

        Of texts it says `samples`, for they take their time.
        """

    @abstractmethod
    def rivals(
        self, train: Sequence[Any], test: Sequence[Any], samples: int = 0
    ) -> dict[str, Measurement]:
        """How good those are, on the test split, who know little, by name."""

    @abstractmethod
    def sections(
        self, examples: Sequence[Any], measured: Measurement, rivals: dict[str, Measurement]
    ) -> list[str]:
        """What the report shows of this task besides the score and its rivals, as HTML."""

    @abstractmethod
    def use(self, model: Adapted, lines: Sequence[str]) -> Iterator[dict[str, Any]]:
        """What a finished model says of each line, as it is printed.

        Raises:
            UserError: a line cannot be read.
        """

    def keep(self, folder: Path) -> None:
        """Write into a run's folder what its reader needs besides model and tokenizer."""
        return

    @abstractmethod
    def about(self) -> str:
        """What is asked, in a few words."""
