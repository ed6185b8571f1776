"""Seeds, and the state of every random generator that a run draws from.

A run is repeated exactly, and resumed exactly, only if every generator is seeded and saved. Streams
are named, so that a new use of chance does not disturb the others. Chapter 08 teaches this.
"""

import hashlib
import random
from typing import Any

import numpy as np
import torch


def stream_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed for one named stream, such as `stream_seed(0, "sampler", epoch)`."""
    key = "/".join(map(str, (seed, *names))).encode()
    return int.from_bytes(hashlib.sha256(key).digest()[:8], "big") >> 1


def numpy_rng(seed: int, *names: str | int) -> np.random.Generator:
    """A numpy generator of its own for one named stream."""
    return np.random.default_rng(stream_seed(seed, *names))


def python_rng(seed: int, *names: str | int) -> random.Random:
    """A `random.Random` of its own for one named stream."""
    return random.Random(stream_seed(seed, *names))


def torch_rng(seed: int, *names: str | int, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator of its own for one named stream."""
    return torch.Generator(device=device).manual_seed(stream_seed(seed, *names))


def seed_all(seed: int) -> None:
    """Seed Python's, numpy's and torch's global generators, on every device."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - the global generator is the point
    torch.manual_seed(seed)


def global_state() -> dict[str, Any]:
    """The state of the three global generators (and CUDA's, if in use), as plain JSON values."""
    version, internal, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002
    state: dict[str, Any] = {
        "python": [version, list(internal), gauss],
        "numpy": [name, np.asarray(keys).tolist(), position, has_gauss, cached],
        "torch": torch.get_rng_state().tolist(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state().tolist()
    return state


def restore_global_state(state: dict[str, Any]) -> None:
    """Put back what `global_state` returned."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state(  # noqa: NPY002
        (name, np.array(keys, dtype=np.uint32), position, has_gauss, cached)
    )
    torch.set_rng_state(torch.tensor(state["torch"], dtype=torch.uint8))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(torch.tensor(state["cuda"], dtype=torch.uint8))
