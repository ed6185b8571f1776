"""What a representation is asked: about a word, a text, a pair of texts, or how alike two are.

Each task has examples to fit on and others to be measured on, and no text stands in both. Not here:
the data (`tinytown_probes.py` makes it from stories, `benchmarks/objectives.py` reads real ones).
Chapter 07 teaches this.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from llmcourse.errors import UserError
from llmcourse.evaluate.features import Reader
from llmcourse.evaluate.intervals import Interval, wilson
from llmcourse.evaluate.probes import best_threshold, fit_probe

Kind = Literal["word", "text", "pair", "similarity", "triple"]
"""What an example is: a span of a text, a text, or two texts. The last two ask for no probe: two
texts are like each other or not, and of three the first is more like the second (1) or the third.
"""


@dataclass(frozen=True)
class Examples:
    """Inputs with their labels.

    Attributes:
        inputs: spans, texts or pairs, as ids.
        labels: a class for each.
    """

    inputs: Sequence[Any]
    labels: Int[Tensor, " N"]


@dataclass(frozen=True, kw_only=True)
class ProbeTask:
    """A question about texts.

    Attributes:
        name: what is asked.
        kind: about what.
        classes: the names of the answers.
        train: what the probe, or the threshold, is fitted on.
        test: what it is measured on.
    """

    name: str
    kind: Kind
    classes: tuple[str, ...]
    train: Examples
    test: Examples

    def features(self, reader: Reader, examples: Examples) -> Float[Tensor, "N D"]:
        """What a reader makes of each example; for likeness a single number, made of cosines."""
        if self.kind == "word":
            return reader.span_means(examples.inputs)
        if self.kind == "text":
            return reader.means(examples.inputs)
        if self.kind == "pair":
            return reader.pair_means(examples.inputs)
        first, *others = (reader.means(t).double() for t in zip(*examples.inputs, strict=True))
        cosines = [F.cosine_similarity(first, other) for other in others]
        return (cosines[0] if self.kind == "similarity" else cosines[0] - cosines[1])[:, None]

    def measure(self, reader: Reader) -> Interval:
        """The share of the test examples that is told right from a reader's features."""
        asked = self.features(reader, self.test)
        if self.kind == "triple":
            answers = (asked[:, 0] > 0).long()
        else:
            answers = self._fitted(self.features(reader, self.train), asked)
        return wilson(int((answers == self.test.labels).sum()), len(answers))

    def _fitted(
        self, features: Float[Tensor, "N D"], asked: Float[Tensor, "M D"]
    ) -> Int[Tensor, " M"]:
        labels = self.train.labels
        if self.kind == "similarity":
            return (asked[:, 0] > best_threshold(features[:, 0], labels)).long()
        return fit_probe(features, labels, len(self.classes)).predict(asked)

    def majority(self) -> Interval:
        """The same for whoever always says what was most frequent among the training examples."""
        commonest = self.train.labels.bincount().argmax()
        return wilson(int((self.test.labels == commonest).sum()), len(self.test.labels))


def make_task(
    name: str,
    kind: Kind,
    examples: Iterable[tuple[Any, Any]],
    *,
    n_train: int,
    n_test: int,
) -> ProbeTask:
    """A task from pairs of an input and its label, those to fit on first; repeats are left out.

    An input that stood there before would be no test: the probe has seen it with its answer.

    Raises:
        UserError: there are not enough different examples, or none are wanted.
    """
    if min(n_train, n_test) < 1:
        raise UserError(f"n_train={n_train}, n_test={n_test} is no task: give at least 1 of each")
    known: dict[Any, Any] = {}
    for given, label in examples:
        known.setdefault(given, label)
        if len(known) == n_train + n_test:
            break
    else:
        raise UserError(
            f"{name} has {len(known)} different examples, not {n_train + n_test}: ask for fewer"
        )
    inputs, labels = list(known), list(known.values())
    classes = tuple(sorted(set(labels[:n_train])))
    numbers: Callable[[list[Any]], Tensor] = lambda some: torch.tensor(  # noqa: E731
        [classes.index(label) if label in classes else -1 for label in some]
    )
    return ProbeTask(
        name=name,
        kind=kind,
        classes=tuple(map(str, classes)),
        train=Examples(inputs[:n_train], numbers(labels[:n_train])),
        test=Examples(inputs[n_train:], numbers(labels[n_train:])),
    )
