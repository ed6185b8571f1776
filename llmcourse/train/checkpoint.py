"""Everything that a restart needs, and how it is put on disk and found again.

A checkpoint is a folder: `model.safetensors` and `config.json` (by `models/files.py`),
`optimizer.safetensors`, `state.json`, and the checksums of all these; of a model that lies in
slices over several processes the two are a folder of slices (`sharding.py`). Nothing in it is
unpickled, so a checkpoint from a stranger cannot run code. The folder appears whole or not at all,
and one that has changed since is not gone on from. Chapter 08 teaches this.
"""

import dataclasses
import errno
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.optim import Optimizer

from llmcourse.checksums import SUMS, Damaged, check_checksums, write_checksums
from llmcourse.errors import UserError
from llmcourse.files import (
    atomic_directory,
    atomic_write_bytes,
    atomic_write_text,
    read_file,
    refuse_no_file,
    remove_directory,
)
from llmcourse.models.base import Model
from llmcourse.models.files import (
    load_weights,
    save_model,
    save_weights,
    unique_state,
    write_config,
)
from llmcourse.models.registry import known_family_of
from llmcourse.plain import parse_json
from llmcourse.train.distributed import SINGLE, Ranks, is_sharded

FORMAT = "llmcourse-checkpoint-2"
FORMER = "llmcourse-checkpoint-1"
"""The same, but for the checksums, which it lacks."""
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL, errno.EISDIR)
SHARDS = "shards"
"""The folder in a checkpoint that holds the slices of a model that lies in slices."""


@dataclass
class TrainState:
    """Where a run stands, beside the weights and the optimizers' state.

    Attributes:
        step: optimizer steps taken.
        tokens: tokens trained on.
        seconds: the time used, which is what a budget counts (`budget.py`).
        sampler: where the sampler stands.
        rng: the state of every global random generator, one entry a process.
        scaler: the gradient scaler's state; empty unless training in fp16.
        best: the lowest validation score so far: bits per byte, or where no text is predicted, the
            loss.
        stale: evaluations since then.
        interval_loss: the summed loss of the steps that no record in the log holds yet.
        interval_count: how many positions that sum is over.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    sampler: dict[str, Any] = field(default_factory=dict)
    rng: list[dict[str, Any]] = field(default_factory=list)
    scaler: dict[str, Any] = field(default_factory=dict)
    best: float | None = None
    stale: int = 0
    interval_loss: float = 0.0
    interval_count: float = 0.0

    def __post_init__(self) -> None:
        self._unread: list[Float[Tensor, " 2"]] = []
        # Seconds that the end of the run will need; foreseen anew by whoever goes on.
        self.reserve = 0.0

    def count_step(self, sums: Float[Tensor, " 2"], tokens: int) -> None:
        """Count one step; its loss and count stay where they are, for reading waits for a GPU."""
        self.step += 1
        self.tokens += tokens
        # `sums.item()` would stop Python until the GPU has caught up, in every step.
        self._unread.append(sums)

    def flush_losses(self) -> float:
        """Read what the steps since the last look have left; returns the interval's summed loss."""
        for sums in self._unread:
            loss, count = sums.tolist()
            self.interval_loss += loss
            self.interval_count += count
        self._unread.clear()
        return self.interval_loss

    def update_best(self, score: float) -> bool:
        """Take note of an evaluation; says whether it is the best one so far."""
        better = self.best is None or score < self.best
        self.best, self.stale = (score, 0) if better else (self.best, self.stale + 1)
        return better

    def end_interval(self) -> float:
        """The mean loss of the interval, in nats per position; the next interval begins."""
        mean = self.flush_losses() / max(self.interval_count, 1)
        self.interval_loss = self.interval_count = 0.0
        return mean


def checkpoint_path(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return folder / f"step-{step:08d}"


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    return sorted(path for path in folder.glob("step-*") if path.is_dir())


def save_checkpoint(
    folder: Path,
    model: nn.Module,
    optimizers: list[Optimizer],
    state: TrainState,
    keep: int,
    ranks: Ranks = SINGLE,
) -> Path:
    """Write one checkpoint, whole or not at all, then remove all but the `keep` newest.

    Any module will do. Of one that is of no family of this package the weights alone are kept, and
    no `config.json`: whoever goes on builds it first. Of a model in slices (`sharding.py`) every
    process writes its own, so all of them must call this; of another the first process alone.

    Raises:
        OSError: no room or no permission; the checkpoints that were there still are.
    """
    path = checkpoint_path(folder, state.step)
    values = {"format": FORMAT, **dataclasses.asdict(state)}
    if is_sharded(model):
        from llmcourse.train.sharding import save_shards, shard_files

        if ranks.is_main:
            folder.mkdir(parents=True, exist_ok=True)
        with ranks.shared(atomic_directory(path)) as unfinished:
            save_shards(unfinished, unique_state(model) | optimizer_tensors(optimizers))
            if ranks.is_main:
                write_config(cast(Model, model), unfinished)
                values["shards"] = shard_files(unfinished)
                atomic_write_text(unfinished / "state.json", json.dumps(values))
                write_checksums(unfinished)
    elif ranks.is_main:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_directory(path) as unfinished:
            if known_family_of(model) is None:
                save_weights(model, unfinished)
            else:
                save_model(cast(Model, model), unfinished)
            # AdamW's two means weigh twice what the model does. Without them the first steps after
            # a restart would be those of a fresh optimizer, and the loss would jump.
            saved = save(optimizer_tensors(optimizers))  # not save_file: it hides a full disk
            atomic_write_bytes(unfinished / "optimizer.safetensors", saved)
            atomic_write_text(unfinished / "state.json", json.dumps(values))
            write_checksums(unfinished)
    # Only now: until the new one is whole, the old ones are all there is.
    for old in list_checkpoints(folder)[:-keep] if ranks.is_main else ():
        remove_directory(old)
    return path


def newest_whole(folder: Path, say: Callable[[str], None]) -> Path | None:
    """The newest checkpoint of a folder that is still as it was written; None if there is none.

    Damaged ones after it are renamed, so that they do not count any more, and `say` hears of each.

    Raises:
        UserError: none of those that there are is whole, or one cannot be read.
    """
    damaged: dict[Path, Damaged] = {}
    for path in reversed(list_checkpoints(folder)):
        try:
            check_checkpoint(path)
        except Damaged as error:
            damaged[path] = error
            continue
        for one, error in damaged.items():
            aside = one.with_name(f"damaged-{one.name}")
            remove_directory(aside)
            os.replace(one, aside)
            say(f"{error}; renamed to {aside.name}, going on from {path.name}")
        return path
    for error in damaged.values():
        raise UserError(f"{error}, and no other is whole: start a new run")
    return None


def check_checkpoint(path: Path) -> None:
    """Refuse a checkpoint that is not what was written.

    Raises:
        Damaged: a file is missing or has changed; it is named.
        UserError: it is of another version, or a file cannot be read.
    """
    try:
        summed = check_checksums(path)
        values = parse_json(read_file(path / "state.json"))
        if values.get("format") not in (FORMAT, FORMER):
            raise UserError(f"{path} is no checkpoint of this version; start a new run")
        if not summed and values["format"] == FORMAT:
            raise Damaged(f"{SUMS} is missing")
        if not summed and "shards" not in values:  # what can be found out without
            for name in ("model.safetensors", "optimizer.safetensors"):
                refuse_no_file(path / name)
                with safe_open(path / name, framework="pt"):
                    pass
    except OSError as error:
        if error.errno not in _GONE:
            raise UserError(
                f"checkpoint {path} cannot be read ({_first_line(error)}): mend that, or remove "
                "the folder to go on from the one before it"
            ) from None
        raise Damaged(f"checkpoint {path} is damaged ({_first_line(error)})") from None
    except (ValueError, TypeError, AttributeError, SafetensorError) as error:
        if isinstance(error, UserError) and not isinstance(error, Damaged):
            raise
        raise Damaged(f"checkpoint {path} is damaged ({_first_line(error)})") from None


def load_checkpoint(
    path: Path, model: nn.Module, optimizers: list[Optimizer], *, checked: bool = False
) -> TrainState:
    """Put a checkpoint's weights and state into a model and its optimizers.

    All of it is read before anything is changed. Who has called `check_checkpoint` says so.

    Raises:
        UserError: the checkpoint is damaged, or is of another model or optimizer.
    """
    try:
        if not checked:
            check_checkpoint(path)
        values = parse_json(read_file(path / "state.json"))
        del values["format"]
        shards = values.pop("shards", [])
        for name in shards:
            (path / SHARDS / name).stat()  # a missing slice would leave a hole
        in_slices = bool(shards) or is_sharded(model)
        tensors = {} if in_slices else load_file(path / "optimizer.safetensors")
        state = TrainState(**values)
    except Damaged as error:
        raise Damaged(f"{error}; remove that folder to go on from the one before it") from None
    except (OSError, ValueError, TypeError, AttributeError, KeyError, SafetensorError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"checkpoint {path} is damaged ({_first_line(error)}); "
            "remove that folder to go on from the one before it"
        ) from None
    if in_slices:
        from llmcourse.train.sharding import load_shards

        moved = [
            [p for g in optimizer.param_groups for p in g["params"]] for optimizer in optimizers
        ]
        tensors = load_shards(path, unique_state(model), moved)
    else:
        # Both files were read before anything is changed: a torn one changes nothing.
        load_weights(model, path)
    restore_optimizers(optimizers, tensors, path)
    return state


def optimizer_tensors(optimizers: list[Optimizer]) -> dict[str, Tensor]:
    """Every tensor of the optimizers' state, named `optimizer.parameter.what`.

    Raises:
        UserError: an optimizer keeps something that is no tensor.
    """
    tensors = {}
    for number, optimizer in enumerate(optimizers):
        for index, entry in optimizer.state_dict()["state"].items():
            for name, value in entry.items():
                if not isinstance(value, Tensor):
                    raise UserError(
                        f"{type(optimizer).__name__} keeps {name!r} as {type(value).__name__}, "
                        "which a checkpoint cannot hold: make it a tensor"
                    )
                tensors[f"{number}.{index}.{name}"] = value.contiguous()
    return tensors


def restore_optimizers(
    optimizers: list[Optimizer], tensors: dict[str, Tensor], where: Path
) -> None:
    """Put back what `optimizer_tensors` returned; rates and the like stay as they are set now.

    Raises:
        UserError: the state is of other parameters or of another optimizer, or has unknown names.
    """
    states: list[dict[int, dict[str, Tensor]]] = [{} for _ in optimizers]
    for name, value in tensors.items():
        number, index, what = _split_name(name, where)
        if number >= len(optimizers):
            raise UserError(f"{where} is of another optimizer; resume with the run's own settings")
        states[number].setdefault(index, {})[what] = value
    for optimizer, state in zip(optimizers, states, strict=True):
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        for index, entry in state.items():
            for what, value in entry.items():
                if index >= len(parameters) or not _fits(value, parameters[index]):
                    raise UserError(
                        f"{where} is of another model or optimizer: {what!r} of parameter {index} "
                        f"has shape {list(value.shape)}; resume with the run's own settings"
                    )
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})


def _split_name(name: str, where: Path) -> tuple[int, int, str]:
    """The optimizer's number, the parameter's and the rest of a name in the optimizer's file."""
    number, _, rest = name.partition(".")
    index, _, what = rest.partition(".")
    if not (number.isdecimal() and index.isdecimal() and what):
        raise UserError(
            f"checkpoint {where} is damaged (optimizer.safetensors has the unknown name {name!r}); "
            "remove that folder to go on from the one before it"
        )
    return int(number), int(index), what


def _fits(value: Tensor, parameter: Tensor) -> bool:
    """Whether state is a scalar, of the parameter's shape, or a mean over some of its axes."""
    # Adafactor keeps means over rows and over columns, with the reduced axis left in as 1.
    reduced = value.dim() == parameter.dim() and all(
        size in (1, full) for size, full in zip(value.shape, parameter.shape, strict=True)
    )
    return value.dim() == 0 or reduced


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
