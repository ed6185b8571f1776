"""Small tasks on tinytown, and what a model that learns them is to be compared with.

Each task reads a part of a story and asks for a label that the grammar knows. Some are told by a
single word, so that counting is enough; for others many wordings mean the same, and whoever has
read the town's stories knows what goes together. Not here: the recipe that learns a task
(`finetune/stages.py`), real data (`python -m llmcourse.finetune`). Chapter 11 uses it.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from llmcourse.errors import UserError, nearest, require
from llmcourse.evaluate.features import CountReader, ModelReader
from llmcourse.evaluate.intervals import Interval, wilson
from llmcourse.evaluate.probes import fit_probe
from llmcourse.finetune.heads import Pooling
from llmcourse.finetune.stages import Labelled
from llmcourse.models.base import Model
from llmcourse.tinytown.labels import Story
from llmcourse.tinytown.lexicon import CRIES, TABLES
from llmcourse.tinytown.stories import stories
from llmcourse.tokenizers.base import Tokenizer

_DAYS = TABLES["day"].words
_SKIES = ("rain", "sun", "snow", "wind", "fog")
_T_QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""So many standard errors to both sides hold 95 % of Student's t with 1, 2, ... 9 degrees."""


class TinyTask(NamedTuple):
    """A question about a part of a story.

    Attributes:
        question: what is asked.
        classes: the answers.
        beats: the parts of the plot that are read.
        answer: the right one's name, from what the grammar knows; None where there is none.
    """

    question: str
    classes: tuple[str, ...]
    beats: tuple[str, ...]
    answer: Callable[[Story], str | None]


def _ready(story: Story) -> str | None:
    return story.facts.get("geared")


def _luck(story: Story) -> str:
    return "yes" if story.facts["trouble"] == "fine" else "no"


def _mood(story: Story) -> str | None:
    felt = [s.sentiment for s in story.sentences if s.beat == "feeling"]
    return None if not felt else "good" if felt[0] > 0 else "bad"


_BEGINNING = ("opening", "weather", "errand", "gear")
"""What one has heard before anything happens."""

TASKS = {
    "ready": TinyTask("Is the child ready for the weather?", ("no", "yes"), _BEGINNING, _ready),
    "weather": TinyTask("What is the weather?", _SKIES, _BEGINNING, lambda s: s.facts["weather"]),
    "animal": TinyTask(
        "What animal is it?", tuple(sorted(CRIES)), _BEGINNING, lambda s: s.facts["animal"]
    ),
    "day": TinyTask("Which day is it?", _DAYS, _BEGINNING, lambda s: s.facts["day"]),
    "future": TinyTask("Will all go well on the way?", ("no", "yes"), _BEGINNING, _luck),
    "luck": TinyTask("Did all go well on the way?", ("no", "yes"), ("weather", "trouble"), _luck),
    "mood": TinyTask("Is the feeling good or bad?", ("bad", "good"), ("feeling",), _mood),
}
"""The tasks by name."""


class Texts(NamedTuple):
    """Texts of a task, and a label for each, as a number."""

    texts: list[str]
    labels: list[int]


def find_task(name: str) -> TinyTask:
    """The task of a name.

    Raises:
        UserError: there is none.
    """
    require(name in TASKS, f"unknown task {name!r}{nearest(name, TASKS)}")
    return TASKS[name]


def texts_of(name: str, n: int, seed: int = 0, without: Sequence[str] = ()) -> Texts:
    """`n` different texts of a task with their labels, none of them among `without`.

    A text that stood among the training examples would be no test.

    Raises:
        UserError: the task is unknown, or has not so many different texts.
    """
    task, left_out = find_task(name), set(without)
    found: dict[str, int] = {}
    for story in stories(200 + 40 * n, seed):
        answer = task.answer(story)
        text = " ".join(s.text for s in story.sentences if s.beat in task.beats)
        if answer is not None and text and text not in left_out:
            found.setdefault(text, task.classes.index(answer))
        if len(found) == n:
            return Texts(list(found), list(found.values()))
    raise UserError(f"{name} has {len(found)} different texts, not {n}: ask for fewer")


def labelled(name: str, given: Texts, tokenizer: Tokenizer) -> Labelled:
    """The texts as a task for a stage: ids, labels, and how many labels there are."""
    rows = [tokenizer.encode(text) for text in given.texts]
    return Labelled(rows, given.labels, len(find_task(name).classes))


def synonyms() -> dict[str, tuple[str, ...]]:
    """Tinytown's lexicon of words that may stand for each other: feelings, good and bad ones."""
    groups = [TABLES[name].words for name in ("high", "low")]
    return {word: tuple(w for w in group if w != word) for group in groups for word in group}


# --- rivals ---------------------------------------------------------------------------------------


def majority(train: Labelled, test: Labelled) -> Interval:
    """The share that is right if one always says what was most frequent in training."""
    commonest = int(torch.tensor(train.labels).bincount().argmax())
    return wilson(list(test.labels).count(commonest), len(test.labels))


Features = Callable[[Labelled], Float[Tensor, "N D"]]
"""What makes a vector of each text."""


def counts(vocab_size: int) -> Features:
    """The bag of words: the share of each token in a text."""
    reader = CountReader(vocab_size)
    return lambda texts: reader.means(texts.rows)


def states_of(backbone: Model, how: Pooling = "last") -> Features:
    """What a frozen backbone makes of a text: the state of its first or last token, or the mean."""
    pick = {"first": lambda s: s[0], "last": lambda s: s[-1], "mean": lambda s: s.mean(dim=0)}[how]
    reader = ModelReader(backbone)
    return lambda texts: torch.stack([pick(states) for states in reader.states(texts.rows)])


def probed(features: Features, train: Labelled, test: Labelled) -> Interval:
    """The share of the test texts that a logistic regression on features tells right."""
    fitted = fit_probe(features(train), torch.tensor(train.labels), train.n_labels)
    right = fitted.predict(features(test)) == torch.tensor(test.labels)
    return wilson(int(right.sum()), len(right))


def low_data(
    name: str,
    readers: Mapping[str, Features],
    tokenizer: Tokenizer,
    sizes: Sequence[int],
    n_seeds: int = 5,
    n_test: int = 200,
) -> dict[str, dict[int, list[float]]]:
    """The accuracy of each reader after so many labels: a figure for each seed.

    A seed draws other training texts, the same ones for every reader; the first ones of a larger
    number are those of a smaller one. The test texts are always the same, and none is trained on.
    """
    asked = texts_of(name, n_test, seed=99)
    test = labelled(name, asked, tokenizer)
    wanted = torch.tensor(test.labels)
    known = {reader: features(test) for reader, features in readers.items()}
    found = {reader: {n: [] for n in sizes} for reader in readers}
    for seed in range(n_seeds):
        given = texts_of(name, max(sizes), seed=1000 + seed, without=asked.texts)
        train = labelled(name, given, tokenizer)
        for reader, features in readers.items():
            seen = features(train)  # each text is read once, however many numbers of labels
            for n in sizes:
                labels = torch.tensor(train.labels[:n])
                right = fit_probe(seen[:n], labels, train.n_labels).predict(known[reader]) == wanted
                found[reader][n].append(right.double().mean().item())
    return found


# --- several seeds --------------------------------------------------------------------------------


def over_seeds(values: Sequence[float]) -> Interval:
    """The mean of a figure over runs that differ in their seed, with Student's 95 % interval.

    It says how far the mean of ever more such runs may lie from this one; for differences, hand
    over the difference of each pair of runs with the same seed.

    Raises:
        UserError: fewer than 2 runs or more than 10.
    """
    require(2 <= len(values) <= 10, f"{len(values)} runs: give from 2 to 10")
    mean = statistics.fmean(values)
    reach = _T_QUANTILES[len(values) - 2] * statistics.stdev(values) / len(values) ** 0.5
    return Interval(mean, mean - reach, mean + reach)


def next_token_loss(backbone: Model, rows: Int[Tensor, "B T"]) -> float:
    """Nats that the backbone's own head pays for each next token: what it has not forgotten."""
    with torch.no_grad():
        logits = backbone(rows[:, :-1]).logits
    return F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten()).item()
