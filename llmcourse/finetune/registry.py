"""Every task that a model can be fine-tuned for, and every method: a new one is a module and a line.

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
    """

    kind: str
    settings: tuple[str, ...] = ()

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
        kind="llmcourse.finetune.preference:Preference", settings=("template", "beta")
    ),
    "distill": TaskEntry(
        kind="llmcourse.finetune.distill:Distill",
        settings=("teacher", "temperature", "soft_share"),
    ),
}

METHODS: dict[str, tuple[str, ...]] = {
    "full": (),
    "frozen": (),
    "gradual": (),
    "lora": ("rank", "alpha", "targets"),
    "prompt": ("virtual_tokens",),
    "prefix": ("virtual_tokens",),
}
"""What moves, by name, and the settings that it alone uses. The last three leave the base as it is
and train what is put beside it."""

if TYPE_CHECKING:
    TaskName = MethodName = str
else:
    TaskName, MethodName = Literal[tuple(TASKS)], Literal[tuple(METHODS)]
