"""A model that lies in slices over all processes (FSDP2), and its checkpoints.

Every process holds one slice of each parameter, of its gradient and of the optimizer's state. A
layer is put together when it is needed and let go of right after (ZeRO stage 3; Rajbhandari et al.,
2020; Zhao et al., 2023). A checkpoint is written by all processes at once, each its own slices, and
read by any number of them: `torch.distributed.checkpoint` does both, in safetensors files, so that
nothing is unpickled. Not here: how it works (`parallel/zero.py`, which chapter 10 teaches), and a
model of which each process has a whole copy (`distributed.py`).
"""

import itertools
import warnings
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, zeros

from llmcourse.errors import UserError
from llmcourse.models.base import Model
from llmcourse.train.checkpoint import SHARDS


def shard(model: Model, device: torch.device) -> Model:
    """Cut a model's parameters into slices, one a process; each layer is put together by itself.

    The layers move to the device one after another, so it never holds all of the model. One that
    does not call its layers whole is put together as a whole.
    """
    # Nobody writes into what a model returns, so that it may be a view.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    stacks = [part for part in model.modules() if isinstance(part, nn.ModuleList)]
    for layer in itertools.chain(*stacks) if model.calls_layers else ():
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)  # the rest: embeddings, the last norm, the head
    # What is called beside `forward` has to put the parameters together, too.
    for name in ("encode", "decode"):
        if hasattr(model, name):
            register_fsdp_forward_method(model, name)
    return model


def save_shards(checkpoint: Path, tensors: dict[str, Tensor]) -> None:
    """Write this process's slices of named tensors into a checkpoint's folder; all must call it.

    Raises:
        OSError: no room or no permission, in any of the processes.
    """
    writer = dcp.HuggingFaceStorageWriter(str(checkpoint / SHARDS), save_distributed=True)
    try:
        dcp.save(tensors, storage_writer=writer)
    except CheckpointException as error:
        # In the words of the first process that failed: a full disk, say.
        raise next(iter(error.failures.values()))[0] from None


def shard_files(checkpoint: Path) -> list[str]:
    """The names of the files that hold a checkpoint's slices."""
    return sorted(path.name for path in (checkpoint / SHARDS).glob("*.safetensors"))


def load_shards(
    checkpoint: Path, model: dict[str, Tensor], parameters: list[list[Tensor]]
) -> dict[str, Tensor]:
    """Fill a model's tensors from a checkpoint, and return the optimizers'; all must call it.

    The checkpoint may be of any number of processes, whole or in slices, and so may be the model.

    Args:
        checkpoint: its folder.
        model: the model's tensors by name, filled in place.
        parameters: what each optimizer moves, in order: its state is cut as they are.

    Raises:
        UserError: a file is damaged, or is of another model or optimizer.
    """
    folder = checkpoint / SHARDS if (checkpoint / SHARDS).is_dir() else checkpoint
    reader = dcp.HuggingFaceStorageReader(str(folder))
    try:
        found = reader.read_metadata().state_dict_metadata
        _check_names(checkpoint, model, {k: v for k, v in found.items() if not _of_optimizer(k)})
        state = {
            name: _empty(name, entry, parameters, checkpoint)
            for name, entry in found.items()
            if _of_optimizer(name)
        }
        alone = not dist.is_initialized()
        dcp.load({**model, **state}, storage_reader=reader, no_dist=alone)
    except (OSError, SafetensorError, CheckpointException) as error:
        if isinstance(error, CheckpointException):
            error = next(iter(error.failures.values()))[0]
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise UserError(
            f"checkpoint {checkpoint} is damaged ({reason}); "
            "remove that folder to go on from the one before it"
        ) from None
    return state


def _of_optimizer(name: str) -> bool:
    """Whether a tensor is of an optimizer: those are named `optimizer.parameter.what`."""
    return name.split(".")[0].isdecimal()


def _check_names(checkpoint: Path, model: dict[str, Tensor], found: dict) -> None:
    """Complain unless a checkpoint has the model's tensors and no others, in their shapes."""
    foreign = f"checkpoint {checkpoint} is of another model"
    for name in model.keys() ^ found.keys():
        where = "missing there" if name in model else "unknown here"
        raise UserError(f"{foreign}: {name} is {where}; resume with the run's own settings")
    for name, tensor in model.items():
        if found[name].size != tensor.shape:
            raise UserError(
                f"{foreign}: {name} is {list(found[name].size)} there and {list(tensor.shape)} "
                "here; resume with the run's own settings"
            )


def _empty(name: str, entry, parameters: list[list[Tensor]], checkpoint: Path) -> Tensor:
    """Room for a tensor of an optimizer's state, cut as its parameter is if it has its shape."""
    number, index, *_ = name.split(".")
    try:
        parameter = parameters[int(number)][int(index)]
    except (IndexError, ValueError):
        raise UserError(
            f"checkpoint {checkpoint} is of another optimizer: it has {name}; "
            "resume with the run's own settings"
        ) from None
    dtype = entry.properties.dtype
    if isinstance(parameter, DTensor) and entry.size == parameter.shape:
        mesh, places = parameter.device_mesh, parameter.placements
        return zeros(entry.size, dtype=dtype, device_mesh=mesh, placements=places)
    device = parameter.device if entry.size == parameter.shape else "cpu"
    return torch.zeros(entry.size, dtype=dtype, device=device)
