"""What a fine-tuning run is made of, how it is built, and how it is put on disk and found again.

Not here: the loop (`fit.py`).
"""

import contextlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Optimizer

from llmcourse.checksums import write_checksums
from llmcourse.data.loader import Sampler
from llmcourse.errors import UserError, complain
from llmcourse.files import atomic_directory, atomic_write_text
from llmcourse.finetune.base import Base, copy_tokenizer
from llmcourse.finetune.examples import Splits
from llmcourse.finetune.heads import Adapted
from llmcourse.finetune.methods import (
    LayerGroup,
    Method,
    adapter_groups,
    find_method,
    layer_groups,
    layerwise_rates,
)
from llmcourse.finetune.registry import TASKS
from llmcourse.finetune.settings import RESUMABLE, Settings
from llmcourse.finetune.task import Task
from llmcourse.models.adapters import (
    KINDS,
    AdapterConfig,
    attach,
    load_adapter,
    save_adapter,
)
from llmcourse.models.base import Model
from llmcourse.models.files import load_weights, read_json, save_model, save_weights
from llmcourse.objectives.base import Batch, LossSum
from llmcourse.optim.groups import decay_groups
from llmcourse.optim.schedules import named_schedule
from llmcourse.plain import from_plain
from llmcourse.randomness import global_state, restore_global_state, seed_all, stream_seed
from llmcourse.runs.directory import RunDirectory
from llmcourse.runs.log import Diverged
from llmcourse.tokenizers.registry import tokenizer_files
from llmcourse.train.checkpoint import (
    TrainState,
    load_checkpoint,
    newest_whole,
    save_checkpoint,
)
from llmcourse.train.parts import Passes
from llmcourse.train.precision import choose_precision
from llmcourse.train.saved_settings import leaves

BETAS = (0.9, 0.98)
"""AdamW's: runs are short, so the mean squared gradient must not look back too far."""


@dataclass(frozen=True)
class TaskLoss:
    """A task's loss under a model, as the training loop's own step asks for it."""

    task: Task
    model: Adapted

    def loss(self, output: Any, batch: Batch) -> LossSum:
        """The summed loss of the batch's decisions, and how many there were."""
        return self.task.loss(self.model, output, batch)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a run is made of.

    Attributes:
        settings: what was asked for.
        run: the folder of all that is left behind.
        base: the model that is adapted, and how it reads.
        task: what is asked.
        splits: the labelled examples.
        model: the base with a head.
        groups: its layers, from the bottom up.
        optimizer: who moves them.
        method: how many of them move, by the run's progress.
        schedule: the multiplier of the rates, by the run's progress.
        rows: the training examples in tokens.
        sampler: the order in which they are drawn.
        passes: how forward and backward passes are run.
        steps: how many there will be.
    """

    settings: Settings
    run: RunDirectory
    base: Base
    task: Task
    splits: Splits
    model: Adapted
    groups: list[LayerGroup]
    optimizer: Optimizer
    method: Method
    schedule: Callable[[float], float]
    rows: list[Any]
    sampler: Sampler
    passes: Passes
    steps: int

    @property
    def objective(self) -> TaskLoss:
        """The task's loss, as the training loop asks for it."""
        return TaskLoss(self.task, self.model)


def build_parts(
    settings: Settings, run: RunDirectory, base: Base, splits: Splits, device: torch.device
) -> Parts:
    """Head, optimizer and rows, as the settings say.

    Raises:
        UserError: an example that cannot be read, or sizes that do not go together.
    """
    base = with_method(base, settings)
    base.model.to(device)
    task: Task = TASKS[settings.task].task(settings, base, splits.labels)
    seed_all(stream_seed(settings.seed, "head"))
    model = task.build().to(device)
    seed_all(stream_seed(settings.seed, "dropout"))
    groups = adapter_groups(model) if base.adapter else layer_groups(model)
    rows = task.rows(splits.train)
    for split in (
        splits.valid,
        splits.test,
    ):  # what cannot be read is said before hours of training
        task.rows(split)
    settings = replace(settings, batch_size=min(settings.batch_size, len(rows)))
    precision = choose_precision(settings.precision, device)
    if precision == "fp16":  # without a scaler its gradients would vanish; runs are short
        precision = "fp32"
    return Parts(
        settings=settings,
        run=run,
        base=base,
        task=task,
        splits=splits,
        model=model,
        groups=groups,
        optimizer=build_optimizer(groups, settings),
        method=find_method(settings.method),
        schedule=named_schedule("linear", warmup=settings.warmup, final=0.0),
        rows=rows,
        sampler=Sampler(len(rows), settings.seed),
        passes=Passes(micro_batch_size=settings.micro_batch_size, precision=precision),
        steps=max(1, math.ceil(settings.epochs * len(rows) / settings.batch_size)),
    )


def with_method(base: Base, settings: Settings) -> Base:
    """The base, with the adapter beside it that the method trains, if it is one of those.

    Raises:
        UserError: the model has no place for it.
    """
    if not base.model.stands_alone:
        raise UserError(
            f"{base.folder} is a soft prompt or a prefix on another base: name that base itself"
        )
    if settings.method not in KINDS:
        return base
    seed_all(stream_seed(settings.seed, "adapter"))
    names = ("rank", "alpha", "targets", "virtual_tokens")
    config = AdapterConfig(
        kind=settings.method, **{name: getattr(settings, name) for name in names}
    )
    adapter = attach(base.model, config)
    return replace(base, model=adapter.model, adapter=adapter)


def build_optimizer(groups: list[LayerGroup], settings: Settings) -> Optimizer:
    """AdamW with a rate for each layer; its peak is kept as `peak_lr`, for the schedule."""
    rates = layerwise_rates(len(groups), settings.layer_decay)
    found: list[dict[str, Any]] = []
    for group, rate in zip(groups, rates, strict=True):
        peak = settings.peak_lr * rate
        for part in decay_groups(group.parameters.values(), settings.weight_decay):
            if part["params"]:
                found.append({**part, "lr": peak, "peak_lr": peak})
    return AdamW(found, betas=BETAS)


# --- on disk --------------------------------------------------------------------------------------


def save_adapted(model: Adapted, base: Base, folder: Path) -> None:
    """Write a backbone, what was put on it and beside it into a folder, whole or not at all."""
    with atomic_directory(folder) as unfinished:
        with _plain(model, base) as backbone:
            save_model(backbone, unfinished)
        if base.adapter:
            save_adapter(base.adapter, unfinished)
        if model.own_parts:
            (unfinished / "head").mkdir()
            save_weights(nn.ModuleDict(model.own_parts), unfinished / "head")


def load_adapted(model: Adapted, base: Base, folder: Path) -> None:
    """Put the weights that `save_adapted` wrote into a model of the same shape.

    Raises:
        UserError: they are missing, damaged or of another shape.
    """
    with _plain(model, base) as backbone:
        load_weights(backbone, folder)
    if base.adapter:
        load_adapter(base.adapter, folder)
    if model.own_parts:
        load_weights(nn.ModuleDict(model.own_parts), folder / "head")


def _plain(model: Adapted, base: Base) -> contextlib.AbstractContextManager[Model]:
    """The backbone as it is without an adapter, within a block."""
    return base.adapter.plain() if base.adapter else contextlib.nullcontext(model.backbone)


def save(parts: Parts, state: TrainState) -> None:
    """Write a checkpoint of everything that a restart needs.

    Raises:
        Diverged: the loss is no longer a number.
    """
    check_finite(state.flush_losses(), state.step)
    state.sampler, state.rng = parts.sampler.state(), [global_state()]
    save_checkpoint(parts.run.checkpoints, parts.model, [parts.optimizer], state, keep=1)


def restore(parts: Parts) -> TrainState:
    """The state of the newest checkpoint, put back into all parts; or a fresh one."""
    path = newest_whole(parts.run.checkpoints, complain)
    if path is None:
        return TrainState()
    state = load_checkpoint(path, parts.model, [parts.optimizer], checked=True)
    parts.sampler.restore(state.sampler)
    restore_global_state(state.rng[0])
    return state


def check_finite(loss: float, step: int) -> None:
    """Stop a run whose loss is no number, before it reaches a checkpoint.

    Raises:
        Diverged: says when, and what to look at.
    """
    if not math.isfinite(loss):
        raise Diverged(
            f"the loss is no longer a number by step {step}: try a third of the rate (--lr)"
        )


def write_settings(parts: Parts) -> None:
    """Write tokenizer, labels, settings and environment: from now on the folder holds a run."""
    copy_tokenizer(parts.base, parts.run.path)
    parts.task.keep(parts.run.path)
    labels = json.dumps(parts.task.labels, ensure_ascii=False) + "\n"
    atomic_write_text(parts.run.path / "labels.json", labels)
    read = [*tokenizer_files(parts.run.path), parts.run.path / "labels.json"]
    write_checksums(parts.run.path, read)
    added = parts.base.added_tokens
    parts.run.write_config({**asdict(parts.settings), "added_tokens": added})
    parts.run.write_environment()


def load_settings(run: Path) -> Settings:
    """The settings of a run of this command.

    Raises:
        UserError: there is no such run.
    """
    path = run / "config.json"
    if not path.is_file():
        raise UserError(f"there is no run of llmcourse.finetune in {run}")
    values = read_json(path)
    if "base" not in values:
        raise UserError(f"{run} is no run of llmcourse.finetune: its config.json names no base")
    values.pop("added_tokens", None)
    return from_plain(Settings, values, "setting")


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
