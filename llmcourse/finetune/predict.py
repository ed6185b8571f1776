"""Labels for examples: while a run is judged, and for new text from a finished run's folder.

Not here: the loop that made the model (`fit.py`).
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from llmcourse.errors import UserError
from llmcourse.finetune.base import load_base
from llmcourse.finetune.examples import Example
from llmcourse.finetune.heads import Adapted
from llmcourse.finetune.parts import load_adapted, load_settings
from llmcourse.finetune.registry import TASKS
from llmcourse.finetune.task import Predicted, Task

ROWS_AT_ONCE = 64
"""How many rows are read at once."""


@torch.no_grad()
def predict(task: Task, model: Adapted, examples: Sequence[Example]) -> list[Predicted]:
    """What a model says of examples, in their order."""
    rows = task.rows(examples)
    device = next(model.parameters()).device
    # Rows of about one length are read together, so that little is filled up.
    order = sorted(range(len(rows)), key=lambda place: len(rows[place].ids))
    decided: list[Any] = [None] * len(rows)
    training = model.training
    model.eval()
    for start in range(0, len(order), ROWS_AT_ONCE):
        part = order[start : start + ROWS_AT_ONCE]
        batch = task.collate([rows[place] for place in part]).rows(slice(None), device)
        output = model(ids=batch.ids, **batch.extras)
        for place, decision in zip(part, task.decide(model, output, batch), strict=True):
            decided[place] = decision
    model.train(training)
    return task.gather(examples, rows, decided)


def load_finished(run: Path) -> tuple[Task, Adapted]:
    """The task and the model of a finished run, in evaluation mode.

    Raises:
        UserError: there is none, or it was stopped before it was first judged.
    """
    settings = load_settings(run)
    if not (run / "model" / "head").is_dir():
        raise UserError(f"{run} holds no finished model: it was stopped before it was first judged")
    labels = json.loads((run / "labels.json").read_text(encoding="utf-8"))
    task: Task = TASKS[settings.task].task(settings, load_base(str(run)), labels)
    model = task.build()
    load_adapted(model, run / "model")
    return task, model.eval()


def label_texts(run: Path, examples: Sequence[Example]) -> list[Predicted]:
    """What a finished run says of new texts.

    Raises:
        UserError: there is no such run, or a text that cannot be read.
    """
    task, model = load_finished(run)
    return predict(task, model, examples)
