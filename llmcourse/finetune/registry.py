"""Every task that a model can be fine-tuned for, one entry each: a new one is a module and a line.

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


TASKS: dict[str, TaskEntry] = {
    "classification": TaskEntry(
        kind="llmcourse.finetune.classification:Classification", settings=("pooling",)
    ),
    "tagging": TaskEntry(kind="llmcourse.finetune.tagging:Tagging", settings=("crf",)),
}

if TYPE_CHECKING:
    TaskName = str
else:
    TaskName = Literal[tuple(TASKS)]
