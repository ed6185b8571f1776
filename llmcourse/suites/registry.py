"""Every suite: a new one is a module and a line here.

It names functions instead of importing them, so that `--help` needs no torch. A suite takes a run's
folder and what was `Asked`, and gives a list of `Figure`. Not here: the suites themselves.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Literal


@dataclass(frozen=True, kw_only=True)
class SuiteEntry:
    """One suite.

    Attributes:
        kind: the function that measures, written `module:function`.
        about: what it asks, in a few words.
        reads: whether it takes `--data`.
        examines_texts: whether it asks for the probability of texts; else it takes a folder.
    """

    kind: str
    about: str
    reads: bool = False
    examines_texts: bool = True

    @property
    def measure(self) -> Callable[..., Any]:
        """The function."""
        return resolve_name(self.kind)


SUITES: dict[str, SuiteEntry] = {
    "tinytown": SuiteEntry(
        kind="llmcourse.suites.tinytown:measure",
        about="agreement, memory, questions and stories of tinytown; needs no file",
    ),
    "text": SuiteEntry(
        kind="llmcourse.suites.text:measure",
        about="bits per byte and perplexity of a text, or of the run's held-out one",
        reads=True,
    ),
    "minimal_pairs": SuiteEntry(
        kind="llmcourse.suites.pairs:measure",
        about="a right and a wrong sentence, in BLiMP's JSON lines",
        reads=True,
    ),
    "multiple_choice": SuiteEntry(
        kind="llmcourse.suites.questions:measure",
        about="questions with answers to choose from, in JSON lines",
        reads=True,
    ),
    "labels": SuiteEntry(
        kind="llmcourse.suites.labels:measure",
        about="a fine-tuned run's test split",
        reads=True,
        examines_texts=False,
    ),
}
"""Every suite by its name."""

KNOWN_SUITES = "; ".join(f"{name}: {entry.about}" for name, entry in SUITES.items())
"""What there is, for `--help`."""

if TYPE_CHECKING:
    SuiteName = str
else:
    SuiteName = Literal[tuple(SUITES)]
