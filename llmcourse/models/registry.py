"""Every model family, one entry each: a new one is a module and a line here.

Saving and loading (`files.py`), settings and their checks (`train/settings.py`), what a run builds
(`train/assemble.py`) and export (`export/`) all read this table. It names classes instead of
importing them, so that `--help` needs no torch. What a family can do (write, read a source) its
class declares: see `base.Model`. Not here: the n-gram of counts, which has no weights to train, and
the objectives, whose table is `objectives/registry.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Literal

from llmcourse.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Family:
    """One family: its classes, and what it learns by.

    Attributes:
        kind: the model's class, written `module:Class`; the class of its config stands beside it
            and is called `ClassConfig`.
        learns: the objectives that can train it, and the fields of its config that each needs.
    """

    kind: str
    learns: Mapping[str, Mapping[str, Any]]

    @property
    def model(self) -> type[Any]:
        """The class of its models."""
        return resolve_name(self.kind)

    @property
    def config(self) -> type[Any]:
        """The class of their configs."""
        return resolve_name(f"{self.kind}Config")


_PLAIN = {"n_segments": 0, "pooler": False}
_PAIRS = {"n_segments": 2, "pooler": True, "n_pair_labels": 2}
_SCALED = {"scale_embeddings": True}

# Order matters: the first family that learns by an objective is its usual one.
FAMILIES: dict[str, Family] = {
    "gpt": Family(kind="llmcourse.models.gpt:GPT", learns={"clm": {}}),
    "bert": Family(
        kind="llmcourse.models.bert:BERT",
        learns={"mlm": _PLAIN, **dict.fromkeys(("nsp", "sop", "mlm-nsp", "mlm-sop"), _PAIRS)},
    ),
    "dual_encoder": Family(
        kind="llmcourse.models.dual_encoder:DualEncoder", learns={"contrastive": _PLAIN}
    ),
    "encoder_decoder": Family(
        kind="llmcourse.models.encoder_decoder:EncoderDecoder",
        learns={"span-corruption": _SCALED, "denoising": _SCALED},
    ),
    "xlnet": Family(kind="llmcourse.models.xlnet:XLNet", learns={"plm": {}}),
    "mlp_lm": Family(kind="llmcourse.models.mlp_lm:MLPLM", learns={"clm": {}}),
    "rnn_lm": Family(kind="llmcourse.models.rnn_lm:RNNLM", learns={"clm": {}}),
}
"""Every family by its name, which is what `config.json` holds as `family`."""

KNOWN_FAMILIES = "What learns which objective; the first of these that can, unless given. "
KNOWN_FAMILIES += "; ".join(f"{name}: {', '.join(kind.learns)}" for name, kind in FAMILIES.items())
"""What a setting that names a family may be, for `--help`."""

if TYPE_CHECKING:
    FamilyName = str
else:
    FamilyName = Literal[tuple(FAMILIES)]


def families_that_learn(objective: str) -> list[str]:
    """The names of the families that an objective can train; the first is the usual one."""
    return [name for name, family in FAMILIES.items() if objective in family.learns]


def family_of(model: object) -> str:
    """The name of a model's family, or of a config's.

    Raises:
        UserError: it is of none.
    """
    if (name := known_family_of(model)) is not None:
        return name
    raise UserError(
        f"a model of class {class_of(model).__name__} is of no family that can be saved; "
        f"these are: {', '.join(FAMILIES)}"
    )


def known_family_of(model: object) -> str | None:
    """The name of a model's family, or of a config's; None if it is of none."""
    kind = class_of(model)
    for name, family in FAMILIES.items():
        if f"{kind.__module__}:{kind.__qualname__}" in (family.kind, f"{family.kind}Config"):
            return name
    return None


def class_of(model: object) -> type:
    """The class of a model; also of one in slices, whose class PyTorch has put another before."""
    return next(kind for kind in type(model).__mro__ if not kind.__name__.startswith("FSDP"))
