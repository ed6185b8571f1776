"""A model on disk: `config.json`, which says what it is, and `model.safetensors`, its weights.

Loading executes nothing from the file (as unpickling would), so a model from a stranger cannot run
code. Tied weights are stored once. Not here: checkpoints, which also hold what training needs
(`train/checkpoint.py`), and the formats of other libraries (`export/huggingface.py`). Chapter 08
teaches this.
"""

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from llmcourse.errors import UserError
from llmcourse.files import atomic_write_text, naming, read_file, refuse_no_file
from llmcourse.models.base import Model
from llmcourse.models.registry import FAMILIES, family_of
from llmcourse.models.sealed import check_sealed, write_sealed
from llmcourse.nn.int8 import is_quantized, quantize_model
from llmcourse.plain import from_plain, parse_json

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
INT8 = "int8"
"""What a config says as `quantization`, if the linear layers' weights are whole numbers."""

Config = TypeVar("Config")
Kind = TypeVar("Kind", bound=nn.Module)


def save_model(
    model: Model, directory: str | os.PathLike, tensors: dict[str, Tensor] | None = None
) -> None:
    """Write a model's config and weights into `directory`, each file whole or not at all.

    Args:
        model: what is written.
        directory: where to; it is made if need be.
        tensors: its weights by name, where it does not hold them itself.

    Raises:
        UserError: the model is of no family that can be saved.
        OSError: no room or no permission; what was there is untouched.
    """
    config = _config_text(model)
    write_weights(directory, unique_state(model) if tensors is None else tensors, config)
    atomic_write_text(Path(directory) / CONFIG_FILE, config)


def write_config(model: Model, directory: str | os.PathLike) -> None:
    """Write what a model was built from into `directory`, without its weights.

    Raises:
        UserError: the model is of no family that can be saved.
        OSError: no room or no permission; what was there is untouched.
    """
    atomic_write_text(Path(directory) / CONFIG_FILE, _config_text(model))


def _config_text(model: Model) -> str:
    config = {"family": family_of(model), **dataclasses.asdict(model.config)}
    if is_quantized(model):
        config["quantization"] = INT8
    return json.dumps(config, indent=2) + "\n"


def save_weights(model: nn.Module, directory: str | os.PathLike) -> None:
    """Write the weights of any module into `directory`, for `load_weights`.

    No config goes with them: whoever loads them builds the module first.

    Raises:
        OSError: no room or no permission; what was there is untouched.
    """
    write_weights(directory, unique_state(model))


def load_model(directory: str | os.PathLike, device: torch.device | str = "cpu") -> Model:
    """The model that `save_model` wrote, in evaluation mode; one in int8 can write, not learn.

    Raises:
        UserError: the directory holds no model, or one that is damaged or of another kind.
    """
    path = Path(directory) / CONFIG_FILE
    values = read_json(path)
    family = values.pop("family", None)
    quantization = values.pop("quantization", None)
    if not isinstance(family, str) or family not in FAMILIES:
        raise UserError(
            f"{path} is not of this course (family {family!r}); Hugging Face's format is read by "
            "llmcourse.export.huggingface.from_huggingface"
        )
    kind = FAMILIES[family]
    config = _build_config(kind.config, values, path)
    weights = Path(directory) / WEIGHTS_FILE
    if quantization not in (None, INT8):
        raise UserError(f"{path}: unknown quantization {quantization!r}; {INT8!r} is known")
    build = _in_int8(kind.model) if quantization else kind.model
    return model_of(build, config, read_tensors(weights, path), weights).to(device)


def _in_int8(build: Callable[[Any], Model]) -> Callable[[Any], Model]:
    """Build a model and give its layers the shapes of int8."""
    return lambda config: quantize_model(build(config))


def model_of(
    build: Callable[[Config], Kind],
    config: Config,
    tensors: dict[str, Tensor],
    source: str | os.PathLike,
) -> Kind:
    """A model of given weights, in evaluation mode.

    Args:
        build: the model's class.
        config: what it is built from.
        tensors: its weights by name.
        source: the file to name in an error.

    Raises:
        UserError: the weights belong to another config.
    """
    _check_size(config, tensors, source)
    # The first weights are drawn only to be overwritten: leave the global generator as it was.
    with torch.random.fork_rng(devices=[]):
        model = build(config)
    load_state(model, tensors, source)
    return model.eval()


SPARE = 2**27
"""Numbers that a config may ask for beyond those that there are: half a gigabyte."""
MOST_PLACES = 2**34
"""Numbers in a table of positions, `T D`: 64 GB, far more than any model has."""


def _check_size(config: Any, tensors: dict[str, Tensor], source: str | os.PathLike) -> None:
    """Refuse a config that asks for more weights than there are, before they are made.

    Raises:
        UserError: it does, or its context would take more memory than there is.
    """
    there = sum(tensor.numel() for tensor in tensors.values())
    asked = getattr(config, "n_parameters", 0)
    beside = Path(source).with_name(CONFIG_FILE)
    if asked > SPARE + 10 * there:  # less will be told by the name of what is missing
        raise UserError(
            f"{source} belongs to another model: it holds {there:,} numbers, and {beside} asks for "
            f"{asked:,}; load the file saved with this config"
        )
    places = getattr(config, "context_length", 0) * getattr(config, "d_model", 0)
    if places > MOST_PLACES:
        raise UserError(f"{beside} asks for a context_length of {config.context_length:,}: no "
                        "model has that; save or copy the model again")  # fmt: skip


def load_weights(model: nn.Module, directory: str | os.PathLike) -> None:
    """Put the weights that `save_model` or `save_weights` wrote into a model of the same shape.

    Raises:
        UserError: there are none, they are damaged, or they belong to another shape.
    """
    path = Path(directory) / WEIGHTS_FILE
    load_state(model, read_tensors(path), path)


def load_state(model: nn.Module, tensors: dict[str, Tensor], source: str | os.PathLike) -> None:
    """Copy named tensors into a model; `source` is the file to name where they do not fit.

    Raises:
        UserError: a name is missing or unknown, or a shape differs; the model is then untouched.
    """
    wanted = unique_state(model)
    foreign = f"{source} belongs to another model"
    for name in tensors:
        if name not in wanted:
            raise UserError(
                f"{foreign}: this one has no {name}; load the file saved with this config"
            )
    for name, place in wanted.items():
        if name not in tensors:
            raise UserError(f"{foreign}: {name} is missing; load the file saved with this config")
        if tensors[name].shape != place.shape:
            raise UserError(
                f"{foreign}: {name} is {list(tensors[name].shape)} there and {list(place.shape)} "
                "here; load the file saved with this config"
            )
    # Only now that all of it fits: a model is changed as a whole or not at all.
    with torch.no_grad():
        for name, place in wanted.items():
            place.copy_(tensors[name])


def unique_state(model: nn.Module) -> dict[str, Tensor]:
    """The model's parameters and lasting buffers by name; tied ones once, by their first name."""
    state: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        # By identity: `state_dict` lists a tied matrix under both of its names.
        if id(tensor) not in seen:
            state[name] = tensor.detach()
        seen.add(id(tensor))
    return state


def write_model(
    directory: str | os.PathLike, tensors: dict[str, Tensor], config: dict[str, Any]
) -> None:
    """Write tensors and config under the names that `save_model` and Hugging Face share.

    Raises:
        OSError: no room or no permission; what was there is untouched.
    """
    write_weights(directory, tensors)
    atomic_write_text(Path(directory) / CONFIG_FILE, json.dumps(config, indent=2) + "\n")


def write_weights(
    directory: str | os.PathLike, tensors: dict[str, Tensor], config: str | None = None
) -> None:
    """Write tensors under the name that `save_model` and Hugging Face share.

    With the text of a config, that one alone will be taken for theirs.

    Raises:
        OSError: no room or no permission; what was there is untouched.
    """
    directory = Path(directory)
    with naming(directory):
        directory.mkdir(parents=True, exist_ok=True)
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    write_sealed(directory / WEIGHTS_FILE, whole, config)


def read_tensors(
    path: str | os.PathLike, config: str | os.PathLike | None = None
) -> dict[str, Tensor]:
    """Every tensor of a safetensors file, on the CPU.

    Raises:
        UserError: there is no such file, or it is damaged, or the config is not the one that it
            was saved with.
    """
    try:
        refuse_no_file(path)
        check_sealed(path, config)
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
    except FileNotFoundError:
        raise UserError(f"no weights at {path}: name the directory of a saved model") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is damaged ({error}): save or copy the model again") from None


def read_json(path: Path) -> dict[str, Any]:
    """The table in a JSON file.

    Raises:
        UserError: there is no such file, or it is damaged.
    """
    try:
        values = parse_json(read_file(path))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"no {path.name} in {path.parent}: name a saved model's directory"
        ) from None
    except (ValueError, OSError) as error:
        raise UserError(f"{path} is damaged ({error}): save or copy the model again") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} is damaged (no table of settings): save or copy the model again")
    return values


def _build_config(kind: type[Any], values: dict[str, Any], path: Path) -> Any:
    """A config of what a file says, every field checked for its type."""
    # A config is a promise about shapes: it is checked before any weight is read.
    try:
        return from_plain(kind, values)
    except UserError as error:
        raise UserError(f"{path}: {error}; save or copy the model again") from None
