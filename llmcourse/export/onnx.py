"""ONNX: a model as a graph of standard operations, which runs without Python's `torch`.

The graph reads new tokens and the keys and values of those before, and gives the logits and all
keys and values: one graph reads a prompt (with an empty past) and writes on, token by token. Batch,
past and new tokens have any size. `OnnxModel` runs it behind the interface of our own models, so
that `generate` writes with it, and `compare` proves that both say the same. Not here: the int8
format (`nn/int8.py`). Chapter 17 teaches this.
"""

import contextlib
import json
import logging
import os
import warnings
from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from llmcourse.errors import UserError, require
from llmcourse.files import atomic_write_text
from llmcourse.generate.decode import generate
from llmcourse.generate.sampling import greedy
from llmcourse.models.base import Model, Output
from llmcourse.models.files import read_json
from llmcourse.nn.cache import KVCache

if TYPE_CHECKING:
    import numpy as np

ONNX_FILE, SIZES_FILE = "model.onnx", "onnx_config.json"
TOLERANCE = 1e-3
"""How far two logits may be apart, before they count as different: far above float32's rounding,
far below what changes a text."""

KeysAndValues = tuple[Float[Tensor, "B G P K"], Float[Tensor, "B G P K"]]


class CachedStep(nn.Module):
    """A model as the graph sees it: the past goes in and comes out as plain tensors."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Int[Tensor, "B T"], past: list[KeysAndValues]) -> tuple:
        """Logits `[B, T, V]`, then each layer's keys and values, `[B, G, P + T, K]`."""
        cache = KVCache(len(past))
        for layer, (k, v) in enumerate(past):
            cache.update(layer, k, v)
        logits = self.model(input_ids, cache=cache).logits
        return (logits, *(part for layer in range(len(past)) for part in cache.get(layer)))


def to_onnx(model: Model, directory: str | os.PathLike) -> Path:
    """Write `model.onnx`, and its sizes beside it, into a directory; returns the graph's path.

    Inputs `input_ids` `[batch, new]`, `past.0.key` and so on `[batch, heads, past, width]`; outputs
    `logits` `[batch, new, vocab]`, `present.0.key` and so on. Past plus new is at most the context.

    Raises:
        UserError: a model without keys and values to keep, a context under 8, or no `onnx` and
            `onnxscript` installed.
        OSError: no room or no permission.
    """
    require_library("onnx", "onnxscript")
    config: Any = model.config
    has_past = hasattr(config, "kv_heads") and model.stands_alone and not model.reads_source
    if not has_past or not model.generates:
        raise UserError(
            f"a {type(model).__name__} has no past to hand over: ONNX is written of a GPT"
        )
    require(config.context_length >= 8, "ONNX needs a context_length of 8 or more")
    n_layers, shape = config.n_layers, (config.kv_heads, 3, config.head_width)
    past = [(torch.zeros(2, *shape), torch.zeros(2, *shape)) for _ in range(n_layers)]
    half = config.context_length // 2
    batch, old, new = (
        torch.export.Dim(name, min=least, max=most)
        for name, least, most in (("batch", 1, 4096), ("past", 0, half), ("new", 1, half))
    )
    step = CachedStep(model).eval()
    with _quietly():
        program: Any = torch.onnx.export(
            step,
            (torch.zeros(2, 4, dtype=torch.long), past),
            dynamo=True,
            dynamic_shapes=({0: batch, 1: new}, [({0: batch, 2: old},) * 2] * n_layers),
            input_names=["input_ids", *_names("past", n_layers)],
            output_names=["logits", *_names("present", n_layers)],
            verbose=False,
        )
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    program.save(directory / ONNX_FILE)
    sizes = {name: getattr(config, name) for name in ("context_length", "vocab_size", "n_layers")}
    sizes |= {"n_kv_heads": config.kv_heads, "head_dim": config.head_width}
    atomic_write_text(directory / SIZES_FILE, json.dumps(sizes, indent=2) + "\n")
    return directory / ONNX_FILE


class OnnxCache:
    """The keys and values that one call of the graph gave, for the next."""

    def __init__(self, layers: "list[np.ndarray]") -> None:
        self.layers = layers

    @property
    def length(self) -> int:
        """How many tokens have been read."""
        return self.layers[0].shape[2]


class OnnxModel:
    """A graph that `to_onnx` wrote, run by ONNX Runtime behind the interface of our models.

    Raises:
        UserError: no such graph, a damaged one, or no `onnxruntime` installed.
    """

    def __init__(self, directory: str | os.PathLike, threads: int = 1) -> None:
        require_library("onnxruntime")
        import onnxruntime

        self.config: Any = SimpleNamespace(**read_json(Path(directory) / SIZES_FILE))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        path = Path(directory) / ONNX_FILE
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the library has a class for each way of being damaged
            raise UserError(
                f"{path} cannot be read ({str(error).splitlines()[0]}): export again"
            ) from None

    def new_cache(self) -> OnnxCache:
        """A cache of nothing; its first use gives it the batch's size."""
        return OnnxCache(self._nothing(1))

    def __call__(
        self,
        ids: Int[Tensor, "B T"],
        *,
        cache: OnnxCache | None = None,
        n_scored: int | None = None,
    ) -> Output:
        """Score the tokens that follow those in the cache, and add them to it.

        The graph scores all positions, of which `n_scored` takes so many at the end. The hidden
        states do not leave the graph: they come back with a width of 0.
        """
        past = self._nothing(len(ids)) if cache is None or not cache.length else cache.layers
        names = _names("past", self.config.n_layers)
        feed = {"input_ids": ids.numpy(), **dict(zip(names, past, strict=True))}
        results: Any = self._session.run(None, feed)
        logits, *present = results
        if cache is not None:
            cache.layers = present
        scores = torch.from_numpy(logits)[:, -(n_scored or 0) :]
        return Output(scores, scores[..., :0])

    def _nothing(self, batch_size: int) -> "list[np.ndarray]":
        shape = (batch_size, self.config.n_kv_heads, 0, self.config.head_dim)
        return [torch.zeros(shape).numpy() for _ in range(2 * self.config.n_layers)]


class Parity(NamedTuple):
    """How far two models agree.

    Attributes:
        difference: the largest between two logits, over all prompts.
        tokens: how many tokens both have written, by greedy decoding.
        agreeing: how many of them are the same, up to the first that is not.
    """

    difference: float
    tokens: int
    agreeing: int

    @property
    def holds(self) -> bool:
        """Whether both say the same: logits within `TOLERANCE`, and all tokens."""
        return self.difference < TOLERANCE and self.agreeing == self.tokens


def compare(
    model: Any, other: Any, prompts: Int[Tensor, "B T"], max_new_tokens: int = 200
) -> Parity:
    """Let two models read the same prompts, and go on with the first of them, token by token."""
    with torch.no_grad():
        apart = (model(prompts).logits - other(prompts).logits).abs().max()
    first, second = (
        [
            int(token)
            for token in generate(one, prompts[:1], max_new_tokens=max_new_tokens, sampler=greedy)
        ]
        for one in (model, other)
    )
    pairs = enumerate(zip(first, second, strict=True))
    agreeing = next((at for at, (a, b) in pairs if a != b), len(first))
    return Parity(float(apart), len(first), agreeing)


def require_library(*names: str) -> None:
    """Refuse to go on without libraries that only export needs.

    Raises:
        UserError: one is not installed; the message has the command.
    """
    import importlib.util

    for name in names:
        if importlib.util.find_spec(name) is None:
            raise UserError(
                f"this needs {name}, which is not here: pip install 'llmcourse[export]'"
            )


def _names(what: str, n_layers: int) -> list[str]:
    return [f"{what}.{layer}.{part}" for layer in range(n_layers) for part in ("key", "value")]


@contextlib.contextmanager
def _quietly() -> Generator[None]:
    """Without the exporter's remarks about libraries that are not there and axes that are equal."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
