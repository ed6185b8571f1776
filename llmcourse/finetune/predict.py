"""Labels for new text from a finished run's folder.

Not here: the loop that made the model (`fit.py`).
"""

import json
from collections.abc import Sequence
from pathlib import Path

from llmcourse.errors import UserError
from llmcourse.finetune.base import load_base
from llmcourse.finetune.examples import Example, Predicted
from llmcourse.finetune.heads import Adapted
from llmcourse.finetune.labels import LabelTask
from llmcourse.finetune.parts import load_adapted, load_settings
from llmcourse.finetune.registry import TASKS
from llmcourse.finetune.task import Task


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
    assert isinstance(task, LabelTask)  # the command asks no other
    return task.predict(model, examples)
