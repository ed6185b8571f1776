"""Everything that can be set about a run: a tree of frozen dataclasses, validated at the door.

The command line shows and overrides every leaf (`--model.n-layers 6`); a preset is a function that
returns a whole tree (`train/presets.py`); a variant is `dataclasses.replace(laptop(), steps=100)`.
Imports no torch, so that `--help` answers at once. Not here: the settings of the text
(`data_settings.py`), settings as JSON and on resume (`saved_settings.py`), what the settings do
(`loop.py`).
"""

import dataclasses
import functools
import math
import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import tyro

from llmcourse.errors import UserError, nearest, require
from llmcourse.models.registry import FAMILIES, KNOWN_FAMILIES, FamilyName, families_that_learn
from llmcourse.objectives.registry import (
    KNOWN_OBJECTIVES,
    OBJECTIVES,
    ObjectiveName,
    objectives_that_use,
)
from llmcourse.optim.registry import OPTIMIZERS, OptimizerEntry, OptimizerName, users_of
from llmcourse.optim.schedules import ScheduleName
from llmcourse.train.data_settings import DataSettings

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(text: str) -> float:
    """Seconds in a text such as `90s`, `10m`, `24h` or `1h30m`; a bare number counts seconds.

    Raises:
        UserError: the text is no duration, or the duration is not above zero.
    """
    if re.fullmatch(r"\d+(\.\d+)?", text):
        text += "s"
    if not re.fullmatch(r"(\d+(\.\d+)?[smhd])+", text):
        raise UserError(f"budget {text!r} is no duration: write 90s, 10m, 24h or 1h30m")
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if seconds <= 0:
        raise UserError(f"budget {text!r} leaves no time: write 90s, 10m, 24h or 1h30m")
    return seconds


def _help(setting: str, says: str) -> Any:
    """The help of a setting of objectives: which ones use it, and what it says."""
    return tyro.conf.arg(help=f"{', '.join(objectives_that_use(setting))}: {says}")


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """The model's family and shape; V follows from the tokenizer."""

    family: Annotated[FamilyName | None, tyro.conf.arg(help=KNOWN_FAMILIES)] = None
    context_length: int = 128
    """How many tokens the model sees at once, T."""
    d_model: int = 96
    """The width of the residual stream, D."""
    n_layers: int = 3
    """How many blocks, L."""
    n_heads: int = 4
    """How many query heads, H."""
    n_kv_heads: int | None = None
    """How many key/value heads, G; as many as query heads unless given."""
    d_ff: int | None = None
    """The feed-forward width, F; chosen by the kind of MLP unless given."""
    norm: Literal["layernorm", "rmsnorm"] = "rmsnorm"
    """What keeps the size of activations in check."""
    mlp: Literal["relu", "gelu_tanh", "gelu_exact", "squared_relu", "swiglu", "geglu"] = (
        "squared_relu"
    )
    """The feed-forward part of a block; PyTorch and nanoGPT call `gelu` what is gelu_exact here."""
    positions: Literal["none", "sinusoidal", "learned", "relative", "alibi", "rope"] = "rope"
    """How order gets in: vectors added to tokens, biases on scores, or rotation."""
    qk_norm: bool = True
    """Normalise queries and keys before they meet."""
    bias: bool = False
    """Whether linear layers and norms have biases."""
    tie_embeddings: bool = False
    """Use one matrix to read tokens and to predict them."""
    zero_init_outputs: bool = True
    """Start each block as the identity: its output projections are zero."""
    dropout: float = 0.0
    """The share of activations dropped in training."""
    cell: Literal["rnn", "gru", "lstm"] = "lstm"
    """rnn_lm: what its layers are."""


@dataclass(frozen=True, kw_only=True)
class ObjectiveSettings:
    """What the model learns to do: what is hidden, and how it is asked."""

    name: Annotated[
        ObjectiveName, tyro.conf.arg(help=KNOWN_OBJECTIVES, aliases=("--objective",))
    ] = "clm"
    mask_rate: Annotated[
        float | None,
        _help("mask_rate", "the fraction of tokens hidden; 0.15 unless given, for denoising 0.3."),
    ] = None
    unit: Annotated[
        Literal["token", "word", "span"], _help("unit", "what is hidden as a whole.")
    ] = "token"
    mean_span: Annotated[
        float, _help("mean_span", "how many tokens a span has on average, where spans are hidden.")
    ] = 3.0
    predict_one_in: Annotated[
        int,
        _help("predict_one_in", "one token in so many is predicted, the last ones of the order."),
    ] = 6
    views: Annotated[
        Literal["crop", "dropout"],
        _help("views", "two crops of a text, or the same text under two dropouts."),
    ] = "crop"
    temperature: Annotated[float, _help("temperature", "what similarities are divided by.")] = 0.05

    def __post_init__(self) -> None:
        require(
            self.name in OBJECTIVES,
            f"unknown objective {self.name!r}{nearest(self.name, OBJECTIVES)}",
        )
        require(
            self.mask_rate is None or 0.001 <= self.mask_rate < 1,
            f"objective.mask_rate={self.mask_rate} must be at least 0.001 and below 1: try 0.15",
        )
        for name, suggestion in (("mean_span", 3), ("predict_one_in", 6)):
            value = getattr(self, name)
            require(value >= 1, f"objective.{name}={value} must be at least 1: try {suggestion}")
        require(
            self.mean_span <= 1000,
            f"objective.mean_span={self.mean_span} must be at most 1000: try 3",
        )
        require(
            1e-4 <= self.temperature <= 1e4,
            f"objective.temperature={self.temperature} must lie between 0.0001 and 10000: try 0.05",
        )
        for name, value in dataclasses.asdict(self).items():
            users = objectives_that_use(name)
            require(
                name == "name" or self.name in users or value == getattr(ObjectiveSettings, name),
                f"objective.{name}={value} does nothing with objective.name={self.name}: leave it "
                f"out, or choose one of {', '.join(users)}",
            )


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """Who takes the steps, and how large they are."""

    name: OptimizerName = "muon"
    """muon (for the hidden matrices, with AdamW for the rest), or another one for all."""
    lr: float | None = None
    """The peak learning rate, with muon AdamW's; unless given 1e-2, or what suits the optimizer."""
    matrix_lr: float = OPTIMIZERS["muon"].all_defaults["matrix_lr"]
    """Muon's peak learning rate."""
    weight_decay: float | None = None
    """Weight decay, on matrices alone; for sgd and adam an L2 penalty; 0 unless given, muon 0.3."""
    momentum: float | None = None
    """momentum, nesterov, muon: the velocity's decay rate; 0.9 unless given, with muon 0.95."""
    alpha: float | None = None
    """rmsprop: the decay rate of the mean squared gradient; 0.99 unless given."""
    beta1: float | None = None
    """adam, adamw, muon's AdamW, lion: the decay rate of the mean gradient; 0.9 unless given."""
    beta2: float | None = None
    """The decay rate of the mean squared gradient, 0.95 unless given; for lion the mean's, 0.99."""
    schedule: ScheduleName = "linear"
    """How the learning rate moves over the run."""
    warmup: float = 0.02
    """The share of the run in which the rate rises."""
    final: float = 0.0
    """The rate at the end, as a share of the peak."""
    clip: float = 1.0
    """The largest norm of the gradient; 0 turns clipping off."""

    def __post_init__(self) -> None:
        require(
            self.name in OPTIMIZERS,
            f"unknown optimizer {self.name!r}{nearest(self.name, OPTIMIZERS)}",
        )
        for name in ("lr", "matrix_lr"):
            value = getattr(self, name)
            require(
                value is None or value > 0, f"optimizer.{name}={value} must be above 0: try 3e-3"
            )
        for name in ("weight_decay", "clip", "final"):
            value = getattr(self, name)
            require(value is None or value >= 0, f"optimizer.{name}={value} must not be negative")
        decay = self.weight_decay
        require(
            decay is None or decay <= 1000,
            f"optimizer.weight_decay={decay} would blow up the weights it is to shrink: try 0.1",
        )
        for name in ("momentum", "alpha", "beta1", "beta2", "warmup"):
            value = getattr(self, name)
            require(
                value is None or 0 <= value < 1,
                f"optimizer.{name}={value} must be at least 0 and below 1",
            )
        for name in ("matrix_lr", "momentum", "alpha", "beta1", "beta2"):
            users, value = users_of(name), getattr(self, name)
            require(
                self.name in users or value == getattr(OptimizerSettings, name),
                f"optimizer.{name}={value} does nothing with optimizer.name={self.name}: leave it "
                f"out, or choose one of {', '.join(users)}",
            )

    def value_of(self, name: str, entry: OptimizerEntry) -> float:
        """A setting of one of the optimizers: what was given, or else what its entry says."""
        given = getattr(self, name)
        return entry.defaults[name] if given is None else given


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One run. Numbers of windows are global: over all processes and micro-batches."""

    preset: str = "laptop"
    """The named starting point of these settings."""
    out: str = ""
    """The run directory; runs/<preset>-<date>-<time> unless given."""
    resume: bool = False
    """Go on with the run in `out` from its last checkpoint, with its settings."""
    seed: int = 0
    """The seed of everything that is left to chance."""
    steps: int = 2000
    """How many optimizer steps (with a budget: the most there can be)."""
    budget: str | None = None
    """Time to train, such as 10m or 24h, reading aside: ties the schedule to the clock."""
    plan: bool = False
    """Say what the budget buys on this machine, and a command that runs it; train nothing."""
    batch_size: int = 16
    """Windows in one optimizer step."""
    ramp: float = 0.0
    """The share of the run over which batches grow from one micro-batch to batch_size."""
    micro_batch_size: int | Literal["auto"] | None = None
    """Windows in a forward pass of a process: no matter of results; auto takes what fits."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """The format of matrix multiplications; auto is bf16 where the device is fast at it."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """What each of several processes holds: a copy of the model (ddp) or a slice of it (fsdp)."""
    compile: Literal["auto", "yes", "no"] = "auto"
    """Compile the model; auto compiles on CUDA."""
    log_every: int = 10
    """Steps between two records of the training loss."""
    evaluate_every: int = 200
    """Steps between two evaluations, each with a sample."""
    evaluate_windows: int = 256
    """The most validation windows an evaluation looks at; 0 means all."""
    save_every: int = 200
    """Steps between two checkpoints."""
    keep_last: int = 2
    """How many checkpoints are kept; the best model is kept besides."""
    patience: int = 0
    """Stop after so many evaluations without a new best one; 0 never stops early."""
    sample_tokens: int = 150
    """How long a sample is; 0 turns samples off."""
    prompt: str = ""
    """What a sample goes on from."""
    tensorboard: bool = True
    """Mirror the metrics to TensorBoard."""
    model: ModelSettings = field(default_factory=ModelSettings)
    objective: ObjectiveSettings = field(default_factory=ObjectiveSettings)
    data: DataSettings = field(default_factory=DataSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)

    def __post_init__(self) -> None:
        every = ("log_every", "evaluate_every", "save_every")
        for name in ("steps", "batch_size", *every, "keep_last"):
            value = getattr(self, name)
            require(value >= 1, f"{name}={value} must be at least 1")
        for name in ("evaluate_windows", "sample_tokens", "patience"):
            value = getattr(self, name)
            require(value >= 0, f"{name}={value} must not be negative")
        micro = self.micro_batch_size
        require(
            micro is None or micro == "auto" or (isinstance(micro, int) and micro >= 1),
            f"micro_batch_size={micro} must be at least 1, or auto",
        )
        require(0 <= self.ramp < 1, f"ramp={self.ramp} must be at least 0 and below 1")
        if self.budget is not None:
            parse_duration(self.budget)
        require(
            self.objective.views != "dropout" or self.model.dropout > 0,
            "objective.views=dropout with model.dropout=0.0 makes both views the same: "
            "add --model.dropout 0.1, or choose --objective.views crop",
        )
        name = self.objective.name
        require(
            OBJECTIVES[name].separates_documents or not self.data.separate_documents,
            f"data.separate_documents does nothing with objective.name={name}: leave it out",
        )
        able = families_that_learn(name)
        require(
            self.family in able,
            f"model.family={self.family} does not learn by objective.name={name}: choose "
            f"{' or '.join(able)}, or one of its own objectives "
            f"({', '.join(FAMILIES[self.family].learns)})",
        )

    @property
    def family(self) -> str:
        """The model's family: the one asked for, or the objective's usual one."""
        return self.model.family or families_that_learn(self.objective.name)[0]

    @functools.cached_property
    def seconds_allowed(self) -> float:
        """The budget in seconds; infinite where the steps alone decide."""
        return math.inf if self.budget is None else parse_duration(self.budget)
