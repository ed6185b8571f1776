"""Settings as `config.json` holds them, and which of them a continued run may change.

Not here: the settings (`settings.py`).
"""

import dataclasses
from typing import Any

from llmcourse.errors import UserError
from llmcourse.plain import from_plain
from llmcourse.train.settings import Settings

# What may differ between a run and its continuation. Everything else would make the checkpoint
# meaningless (the shape, the data) or its curve a different run's (the batch, the seed).
RESUMABLE = {
    *("out", "resume", "steps", "budget", "plan", "micro_batch_size", "device", "precision"),
    *("compile", "parallel"),
    *("log_every", "evaluate_every", "evaluate_windows", "save_every", "keep_last"),
    *("patience", "sample_tokens", "prompt", "tensorboard"),
    *("optimizer.lr", "optimizer.matrix_lr", "optimizer.weight_decay", "optimizer.clip"),
    *("optimizer.schedule", "optimizer.warmup", "optimizer.final"),
}


def leaves(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Every setting by its dotted name, such as `model.n_layers`."""
    found: dict[str, Any] = {}
    for item in dataclasses.fields(settings):
        value, name = getattr(settings, item.name), prefix + item.name
        found |= leaves(value, name + ".") if dataclasses.is_dataclass(value) else {name: value}
    return found


def check_resumable(saved: Settings, wanted: Settings) -> None:
    """Refuse a continuation under settings that would make it another run.

    Raises:
        UserError: names the first such setting, with both values.
    """
    before, after = leaves(saved), leaves(wanted)
    for name, value in before.items():
        if name not in RESUMABLE and after[name] != value:
            raise UserError(
                f"cannot resume with {name}={after[name]!r}: the run was started with {value!r}; "
                "leave it out, or start a new run"
            )


def to_dict(settings: Settings) -> dict[str, Any]:
    """The settings as plain values, for `config.json`."""
    return dataclasses.asdict(settings)


def from_dict(values: Any) -> Settings:
    """The settings that `to_dict` wrote. Names that a later version added take their defaults.

    Raises:
        UserError: an unknown name, or a value of the wrong type.
    """
    return from_plain(Settings, _from_older(values), "setting")


def _from_older(values: Any) -> Any:
    """The settings of a run of an earlier version, as this one would have written them."""
    if not isinstance(values, dict):
        return values
    return _with_part_names(_with_former_rate(_with_objective(values)))


def _with_objective(values: dict[str, Any]) -> dict[str, Any]:
    """Once `objective` was a name beside a `task`."""
    if not isinstance(values.get("objective"), str):
        return values
    task = values.get("task", {})
    renamed = {"rate": "mask_rate", "predict": "predict_one_in"}
    objective = {renamed.get(name, name): value for name, value in task.items()}
    # Everything else has kept its name.
    rest = {name: value for name, value in values.items() if name != "task"}
    return {**rest, "objective": {"name": values["objective"], **objective}}


def _with_part_names(values: dict[str, Any]) -> dict[str, Any]:
    """Once `gelu` alone was the name of its tanh form, as files of models had it."""
    model = values.get("model")
    if not isinstance(model, dict) or model.get("mlp") != "gelu":
        return values
    return {**values, "model": {**model, "mlp": "gelu_tanh"}}


def _with_former_rate(values: dict[str, Any]) -> dict[str, Any]:
    """Muon's AdamW once went at 3e-3 unless told; the data settings then had no `encoding`."""
    data, optimizer = values.get("data"), values.get("optimizer")
    if not isinstance(data, dict) or not isinstance(optimizer, dict) or "encoding" in data:
        return values
    # What a file leaves out has its default, and Muon is the default optimizer.
    if optimizer.get("name", "muon") != "muon" or optimizer.get("lr") is not None:
        return values
    former = {"lr": 3e-3, "matrix_lr": optimizer.get("matrix_lr", 2e-2)}
    return {**values, "optimizer": {**optimizer, **former}}
