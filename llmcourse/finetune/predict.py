"""What is said of new text, from a finished run's folder.

Not here: the loop that made the model (`fit.py`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from llmcourse.checksums import check_listed
from llmcourse.errors import UserError
from llmcourse.files import read_file
from llmcourse.finetune.base import load_base
from llmcourse.finetune.heads import Adapted
from llmcourse.finetune.parts import load_adapted, load_settings, with_method
from llmcourse.finetune.registry import TASKS
from llmcourse.finetune.task import Task
from llmcourse.plain import parse_json


def load_finished(run: Path) -> tuple[Task, Adapted]:
    """The task and the model of a finished run, in evaluation mode.

    Raises:
        UserError: there is none, or it was stopped before it was first judged.
    """
    settings = load_settings(run)
    if not (run / "model" / "config.json").is_file():
        raise UserError(f"{run} holds no finished model: it was stopped before it was first judged")
    check_listed(run / "labels.json")
    labels = parse_json(read_file(run / "labels.json"))
    # What was read from elsewhere lies in the run's folder now.
    settings = replace(settings, base=str(run), template="auto")
    base = with_method(load_base(str(run), with_adapter=False), settings)
    task: Task = TASKS[settings.task].task(settings, base, labels)
    model = task.build()
    load_adapted(model, base, run / "model")
    return task, model.eval()


def use(run: Path, lines: Sequence[str]) -> Iterator[dict[str, Any]]:
    """What a finished run says of new texts: labels, tags or answers.

    Raises:
        UserError: there is no such run, or a text that cannot be read.
    """
    task, model = load_finished(run)
    with torch.no_grad():
        yield from task.use(model, lines)
