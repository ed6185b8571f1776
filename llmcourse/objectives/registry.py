"""Every objective, one entry each: a new one is a module and a line here.

(And its name in the line of the families that learn by it, `models/registry.py`.) Settings, their
checks and `--help` (`train/settings.py`), and what a run builds (`train/assemble.py`) all read this
table. It names classes instead of importing them, so that `--help` needs no torch. Chapter 07
compares what stands here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal


@dataclass(frozen=True, kw_only=True)
class ObjectiveEntry:
    """One objective: its class, and which settings mean something to it.

    Attributes:
        kind: the class, written `module:Class`. It is given what it asks for of `vocabulary`,
            `context_length` and `separator` (the token between documents that are kept apart).
        asks: what the model learns to do, in the words of `--help`.
        settings: the fields of `ObjectiveSettings` that it takes, under the same names; of those
            that are None the class has its own default.
        fixed: options of the class that no setting changes.
        masking: another objective whose task is done beside it.
        scores_tokens: whether the loss asks for tokens; if not, the heads that say them are left as
            they are.
        separates_documents: whether it can keep documents apart that share a window.
    """

    kind: str
    asks: str
    settings: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)
    masking: "ObjectiveEntry | None" = None
    scores_tokens: bool = True
    separates_documents: bool = False

    @property
    def all_settings(self) -> tuple[str, ...]:
        """The settings that mean something to it or to the objective beside it."""
        return self.settings + (self.masking.settings if self.masking else ())


_MLM = ObjectiveEntry(
    kind="llmcourse.objectives.mlm:MaskedLM",
    asks="fill in hidden tokens",
    settings=("mask_rate", "unit", "mean_span"),
)
_NSP = ObjectiveEntry(
    kind="llmcourse.objectives.sentence_pair:SentencePairs",
    asks="tell whether one sentence follows another",
    fixed={"kind": "nsp"},
    scores_tokens=False,
)
_SOP = replace(_NSP, asks="tell which of two sentences came first", fixed={"kind": "sop"})
_BESIDE_MLM: dict[str, Any] = {"masking": _MLM, "scores_tokens": True}

OBJECTIVES: dict[str, ObjectiveEntry] = {
    "clm": ObjectiveEntry(
        kind="llmcourse.objectives.clm:CausalLM",
        asks="say the next token",
        separates_documents=True,
    ),
    "mlm": _MLM,
    "nsp": _NSP,
    "sop": _SOP,
    "mlm-nsp": replace(_NSP, asks="both mlm and nsp", **_BESIDE_MLM),
    "mlm-sop": replace(_SOP, asks="both mlm and sop", **_BESIDE_MLM),
    "plm": ObjectiveEntry(
        kind="llmcourse.objectives.plm:PermutationLM",
        asks="say tokens in any order",
        settings=("predict_one_in",),
    ),
    "span-corruption": ObjectiveEntry(
        kind="llmcourse.objectives.span_corruption:SpanCorruption",
        asks="write what was cut out",
        settings=("mask_rate", "mean_span"),
    ),
    "denoising": ObjectiveEntry(
        kind="llmcourse.objectives.text_infilling:TextInfilling",
        asks="write a damaged text again, all of it",
        settings=("mask_rate", "mean_span"),
    ),
    "contrastive": ObjectiveEntry(
        kind="llmcourse.objectives.contrastive:Contrastive",
        asks="tell two views of a text from other texts",
        settings=("views", "temperature"),
        scores_tokens=False,
    ),
}
"""Every objective by the name that settings call it."""

KNOWN_OBJECTIVES = "What the model learns to do. "
KNOWN_OBJECTIVES += "; ".join(f"{name}: {entry.asks}" for name, entry in OBJECTIVES.items())
"""What a setting that names an objective may be, for `--help`."""

if TYPE_CHECKING:
    ObjectiveName = str
else:
    ObjectiveName = Literal[tuple(OBJECTIVES)]


def objectives_that_use(setting: str) -> list[str]:
    """The names of the objectives to which a setting of the task means something."""
    return [name for name, entry in OBJECTIVES.items() if setting in entry.all_settings]
