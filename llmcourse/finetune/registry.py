"""Every task of fine-tuning, and every method: a new one is a module and a line.

It names classes instead of importing them, so that `--help` needs no torch. Not here: what every
task does (`task.py`).
"""

from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Literal


@dataclass(frozen=True, kw_only=True)
class TaskEntry:
    """One task.

    Attributes:
        kind: its class, written `module:Class`.
        settings: the settings that it alone uses.
        pace: how many times the method's learning rate suits it.
    """

    kind: str
    settings: tuple[str, ...] = ()
    pace: float = 1.0

    @property
    def task(self) -> type[Any]:
        """The class."""
        return resolve_name(self.kind)


HEAD = ("dropout", "word_dropout")
TASKS: dict[str, TaskEntry] = {
    "classification": TaskEntry(
        kind="llmcourse.finetune.classification:Classification", settings=("pooling", *HEAD)
    ),
    "tagging": TaskEntry(kind="llmcourse.finetune.tagging:Tagging", settings=("crf", *HEAD)),
    "instruct": TaskEntry(kind="llmcourse.finetune.instruct:Instruct", settings=("template",)),
    "preference": TaskEntry(
        kind="llmcourse.finetune.preference:Preference", settings=("template", "beta"), pace=0.1
    ),
    "distill": TaskEntry(
        kind="llmcourse.finetune.distill:Distill",
        settings=("teacher", "temperature", "soft_share"),
    ),
}


@dataclass(frozen=True, kw_only=True)
class MethodEntry:
    """One method.

    Attributes:
        settings: the settings that it alone uses.
        lr: the learning rate that suits it.
    """

    settings: tuple[str, ...] = ()
    lr: float = 1e-3


METHODS: dict[str, MethodEntry] = {
    "full": MethodEntry(),
    "frozen": MethodEntry(),
    "gradual": MethodEntry(),
    # These leave the base as it is, and train what is put beside it: few numbers, in large steps.
    "lora": MethodEntry(settings=("rank", "alpha", "targets"), lr=5e-3),
    "prompt": MethodEntry(settings=("virtual_tokens",), lr=5e-2),
    "prefix": MethodEntry(settings=("virtual_tokens",), lr=2e-2),
}

if TYPE_CHECKING:
    TaskName = MethodName = str
else:
    TaskName, MethodName = Literal[tuple(TASKS)], Literal[tuple(METHODS)]
