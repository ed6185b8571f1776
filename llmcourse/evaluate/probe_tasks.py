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
from llmcourse.evaluate.intervals import Interval, wilson
from llmcourse.evaluate.probes import best_threshold, fit_probe
from llmcourse.evaluate.representation import Reader

Kind = Literal["word", "text", "pair", "similarity"]
"""What an example is: a span of a text, a text, or two texts; similarity compares two, unprobed."""


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
        """What a reader makes of each example; for similarity it is a single number, the cosine."""
        if self.kind == "word":
            return reader.span_means(examples.inputs)
        if self.kind == "text":
            return reader.means(examples.inputs)
        if self.kind == "pair":
            return reader.pair_means(examples.inputs)
        firsts, seconds = (reader.means(texts) for texts in zip(*examples.inputs, strict=True))
        return F.cosine_similarity(firsts.double(), seconds.double())[:, None]

    def measure(self, reader: Reader) -> Interval:
        """The share of the test examples that is told right from a reader's features."""
        features = self.features(reader, self.train)
        asked = self.features(reader, self.test)
        if self.kind == "similarity":
            threshold = best_threshold(features[:, 0], self.train.labels)
            answers = (asked[:, 0] > threshold).long()
        else:
            answers = fit_probe(features, self.train.labels, len(self.classes)).predict(asked)
        return wilson(int((answers == self.test.labels).sum()), len(answers))

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
        UserError: there are not enough different examples.
    """
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
