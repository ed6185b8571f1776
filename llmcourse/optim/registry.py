"""Every optimizer that a run can choose, one entry each: a new one is a module and a line here.

Settings and their checks (`train/settings.py`), what a run builds (`train/optimizers.py`) and the
estimate of its memory (`planning/memory.py`) all read this table. It names classes instead of
importing them, so that `--help` needs no torch. Not here: schedules, whose table is in
`schedules.py`. Chapter 06 teaches this.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal


@dataclass(frozen=True, kw_only=True)
class OptimizerEntry:
    """One optimizer: its class, its settings and what it keeps.

    Attributes:
        kind: the class, written `module:Class`.
        defaults: the fields of `OptimizerSettings` that mean something to it (beside the decay,
            which all take), and the values they have unless given. The class takes them under the
            same names, but `beta1` and `beta2` as `betas`, and `matrix_lr` as `lr`.
        state_tensors: how many tensors of a parameter's shape its state holds for each parameter.
        fixed: options of the class that no setting changes.
        matrices: another optimizer for the hidden matrices, if this one takes only the rest.
        weight_decay: the decay unless given.
    """

    kind: str
    defaults: Mapping[str, float]
    state_tensors: int
    fixed: Mapping[str, Any] = field(default_factory=dict)
    matrices: "OptimizerEntry | None" = None
    weight_decay: float = 0.0

    @property
    def all_defaults(self) -> dict[str, float]:
        """The settings that mean something to it or to its optimizer of the matrices."""
        return {**self.defaults, **(self.matrices.defaults if self.matrices else {})}


_SGD = "llmcourse.optim.sgd:SGD"
# AdamW is the library's, in one fused pass; the taught one computes the same (`adam.py`).
_ADAMW = OptimizerEntry(
    kind="torch.optim:AdamW",
    defaults={"lr": 3e-3, "beta1": 0.9, "beta2": 0.95},
    state_tensors=2,
    fixed={"fused": True},
)
_MUON = OptimizerEntry(
    kind="llmcourse.optim.muon:BatchedMuon",
    defaults={"matrix_lr": 2e-2, "momentum": 0.95},
    state_tensors=1,
    weight_decay=0.3,
)

OPTIMIZERS: dict[str, OptimizerEntry] = {
    "sgd": OptimizerEntry(kind=_SGD, defaults={"lr": 0.3}, state_tensors=0),
    "momentum": OptimizerEntry(kind=_SGD, defaults={"lr": 0.1, "momentum": 0.9}, state_tensors=1),
    "nesterov": OptimizerEntry(
        kind=_SGD, defaults={"lr": 0.1, "momentum": 0.9}, state_tensors=1, fixed={"nesterov": True}
    ),
    "rmsprop": OptimizerEntry(
        kind="llmcourse.optim.rmsprop:RMSProp",
        defaults={"lr": 1e-3, "alpha": 0.99},
        state_tensors=1,
    ),
    "adam": replace(_ADAMW, kind="llmcourse.optim.adam:Adam", fixed={}),
    "adamw": _ADAMW,
    "lion": OptimizerEntry(
        kind="llmcourse.optim.lion:Lion",
        defaults={"lr": 3e-4, "beta1": 0.9, "beta2": 0.99},
        state_tensors=1,
    ),
    "muon": replace(
        _ADAMW, defaults={**_ADAMW.defaults, "lr": 1e-2}, matrices=_MUON, weight_decay=0.3
    ),
}
"""Every optimizer by the name that settings call it."""

if TYPE_CHECKING:
    OptimizerName = str
else:
    OptimizerName = Literal[tuple(OPTIMIZERS)]


def users_of(setting: str) -> list[str]:
    """The names of the optimizers to which a setting means something."""
    return [name for name, entry in OPTIMIZERS.items() if setting in entry.all_defaults]
