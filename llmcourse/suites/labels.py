"""The suite `labels`: the test split of a run of fine-tuning that labels texts or words.

Not here: the tasks (`finetune/classification.py`, `finetune/tagging.py`). Chapter 16 teaches this.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from llmcourse.device import choose_device
from llmcourse.errors import UserError
from llmcourse.evaluate.intervals import Interval
from llmcourse.finetune.labels import LabelTask
from llmcourse.finetune.parts import load_settings
from llmcourse.finetune.predict import load_finished
from llmcourse.finetune.registry import TASKS
from llmcourse.randomness import numpy_rng
from llmcourse.suites.base import Asked, Figure, ratio, share

DRAWS = 300
"""How often the test split is drawn again, for figures that are no mean."""


def measure(folder: Path, asked: Asked) -> list[Figure]:
    """Accuracy by text or by word, and what the task itself reports, each with its interval.

    The examples are read again, from where the run read them, or from `--data labels=PATH`.

    Raises:
        UserError: no such run, or its examples are no longer there.
    """
    settings = load_settings(folder)
    task, model = load_finished(folder)
    if not isinstance(task, LabelTask):
        raise UserError(
            f"{folder} is a run of the task {settings.task}: the suite labels examines "
            "classification and tagging"
        )
    if asked.data is not None:
        settings = replace(settings, data=replace(settings.data, source=str(asked.data)))
    splits = TASKS[settings.task].task.read(settings)
    model.to(choose_device(asked.device))
    test = splits.test[: asked.limit]
    said = task.measure(model, test).said
    labels = [one.labels for one in said]
    rivals = task.rivals(splits.train, test)
    accuracy = _accuracy(test, labels, asked.seed)
    beside = {
        name: float(np.sum(_hits(test, one.said)) / np.sum(_sizes(test)))
        for name, one in rivals.items()
    }
    figures = [replace(accuracy, baselines=beside)]
    judged = task.judge(test, labels)
    known = {judged.metric: judged.value} | judged.others
    for name in [name for name in known if name not in ("accuracy", "tag accuracy")]:
        figures.append(_drawn_again(task, test, labels, name, asked.seed))
    return figures


def _hits(test: Sequence, labels: Sequence) -> list[int]:
    return [
        sum(a == b for a, b in zip(example.labels, given, strict=True))
        for example, given in zip(test, labels, strict=True)
    ]


def _sizes(test: Sequence) -> list[int]:
    return [len(example.labels) for example in test]


def _accuracy(test: Sequence, labels: Sequence, seed: int) -> Figure:
    hits, sizes = _hits(test, labels), _sizes(test)
    if set(sizes) == {1}:
        return share("accuracy", hits)
    return replace(ratio("accuracy by word", hits, sizes, seed), is_share=True)


def _drawn_again(task: LabelTask, test: Sequence, labels: Sequence, name: str, seed: int) -> Figure:
    """A figure that is no mean, with its bootstrap interval over the examples."""

    def figure(places: np.ndarray) -> float:
        judged = task.judge([test[p] for p in places], [labels[p] for p in places])
        return ({judged.metric: judged.value} | judged.others)[name]

    rng = numpy_rng(seed, "suites", name)
    drawn = [figure(rng.integers(len(test), size=len(test))) for _ in range(DRAWS)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    whole = figure(np.arange(len(test)))
    return Figure(name=name, interval=Interval(whole, float(low), float(high)), n=len(test))
