"""Everything that can be set about fine-tuning: frozen dataclasses, validated at the door.

Imports no torch, so that `--help` answers at once. Not here: what the settings do (`fit.py`).
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro

from llmcourse.errors import require
from llmcourse.finetune.registry import METHODS, TASKS, MethodName, TaskName


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Where the labelled examples are, and which columns hold what."""

    source: Annotated[str, tyro.conf.arg(aliases=("--data",))] = ""
    """A file, of which some is held out; or a folder with files called train, valid, test."""
    train: str = ""
    """The training file, in place of the folder's."""
    valid: str = ""
    """The validation file; without one, a part of the training file is held out."""
    test: str = ""
    """The test file; without one, a part of the training file is held out."""
    text: str | None = None
    """The column of the text (classification); found by its name unless given."""
    label: str | None = None
    """The column of the label (classification); found by its name unless given."""
    tags: str | None = None
    """The column of the tags (tagging); found by its name unless given."""
    encoding: str | None = None
    """How bytes become text; found out unless given."""
    held_out: float = 0.1
    """The share held out for each split that has no file."""
    leaks: Literal["refuse", "drop"] = "refuse"
    """What to do with training examples that also stand in another split."""
    limit: int = 0
    """Train on so many examples alone, drawn by the seed; 0 means all."""

    def __post_init__(self) -> None:
        require(
            0 < self.held_out < 0.5, f"data.held_out={self.held_out} must lie between 0 and 0.5"
        )
        require(self.limit >= 0, f"data.limit={self.limit} must not be negative")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One fine-tuning run."""

    base: str = ""
    """The model to adapt: a run of llmcourse.train, or a directory in Hugging Face's format."""
    task: TaskName = "classification"
    """What is asked: a label for each text, a tag for each word, an answer to each request, the
    better of two answers, or what a teacher says of a text."""
    method: MethodName = "full"
    """What moves: everything, the head alone, or layer after layer from the top down; or what is
    put beside a base that stays as it is: low-rank matrices, a soft prompt, keys and values."""
    untrained: bool = False
    """Forget what the base has learned: the same model with fresh weights, for comparison."""
    out: str = ""
    """The run directory; runs/finetune-<date>-<time> unless given."""
    resume: bool = False
    """Go on with the run in `out` from its last checkpoint, with its settings."""
    seed: int = 0
    """The seed of the head, of the order, and of dropout."""
    epochs: float = 5.0
    """How often each training example is seen."""
    batch_size: int = 16
    """Examples in one step."""
    micro_batch_size: int | None = None
    """Examples in one forward pass; smaller means less memory, the same result."""
    max_length: int | None = None
    """Tokens of a text that are read, from its beginning; the base's context unless given."""
    lr: float | None = None
    """The head's peak learning rate, and, without layer_decay, that of all layers; what suits the
    method unless given: 1e-3; lora 5e-3, prefix 2e-2, prompt 5e-2; a tenth for preference."""
    layer_decay: float = 1.0
    """The rate of each layer is this share of the one above it."""
    weight_decay: float = 0.01
    """Weight decay, on matrices alone."""
    warmup: float = 0.1
    """The share of the run in which the rate rises; then it falls to zero in a line."""
    clip: float = 1.0
    """The largest norm of the gradient; 0 turns clipping off."""
    dropout: float = 0.1
    """The share of the head's inputs dropped in training."""
    pooling: Literal["auto", "mean", "first", "last"] = "auto"
    """classification: how tokens become one vector; auto is last for models that look back only."""
    crf: bool = False
    """tagging: decide all tags of a text together, by a CRF."""
    word_dropout: float = 0.0
    """The share of training tokens replaced by a token that means nothing."""
    patience: int = 0
    """Stop after so many evaluations without a new best one; 0 never stops early."""
    evaluations: int = 10
    """How often the validation split is looked at."""
    template: str = "auto"
    """instruct, preference: how a chat is written: plain, chatml, llama or a .jinja file; auto is
    the base's own, or plain."""
    beta: float = 0.1
    """preference: how dear it is to move away from the base."""
    teacher: str = ""
    """distill: the run, or the directory in Hugging Face's format, that is learned from."""
    temperature: float = 2.0
    """distill: above 1 gives more weight to what the teacher finds unlikely."""
    soft_share: float = 0.5
    """distill: how much of the loss is the teacher's; the rest is the text's own tokens."""
    rank: int = 8
    """lora: the rank of the matrices."""
    alpha: float = 16.0
    """lora: what is added counts alpha / rank times."""
    targets: tuple[str, ...] = ("q_proj", "v_proj")
    """lora: the layers that get matrices, by the end of their names."""
    virtual_tokens: int = 16
    """How many tokens (prompt), or keys and values (prefix), stand in front of every text."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """The format of matrix multiplications; auto is bf16 where the device is fast at it."""
    data: DataSettings = field(default_factory=DataSettings)

    def __post_init__(self) -> None:
        for name in ("batch_size", "evaluations"):
            value = getattr(self, name)
            require(value >= 1, f"{name}={value} must be at least 1")
        for name in ("epochs", "lr"):
            value = getattr(self, name)
            require(value is None or value > 0, f"{name}={value} must be above 0")
        for name in ("weight_decay", "clip", "patience"):
            value = getattr(self, name)
            require(value >= 0, f"{name}={value} must not be negative")
        for name in ("warmup", "dropout", "word_dropout"):
            value = getattr(self, name)
            require(0 <= value < 1, f"{name}={value} must be at least 0 and below 1")
        require(
            0 < self.layer_decay <= 1,
            f"layer_decay={self.layer_decay} must be above 0 and at most 1: try 0.8",
        )
        for name in ("micro_batch_size", "max_length"):
            value = getattr(self, name)
            require(value is None or value >= 1, f"{name}={value} must be at least 1")
        for name in ("beta", "temperature", "alpha"):
            value = getattr(self, name)
            require(value > 0, f"{name}={value} must be above 0")
        for name in ("rank", "virtual_tokens"):
            value = getattr(self, name)
            require(1 <= value <= 10_000, f"{name}={value} must lie between 1 and 10000")
        share = self.soft_share
        require(0 <= share <= 1, f"soft_share={share} must lie between 0 and 1")
        self._refuse_idle("task", {name: entry.settings for name, entry in TASKS.items()})
        self._refuse_idle("method", {name: entry.settings for name, entry in METHODS.items()})
        require(
            self.method != "frozen" or "dropout" in TASKS[self.task].settings,
            f"method=frozen trains a head alone, and task={self.task} has none: try lora",
        )

    @property
    def peak_lr(self) -> float:
        """The learning rate: the one given, or what suits method and task."""
        return self.lr or METHODS[self.method].lr * TASKS[self.task].pace

    def _refuse_idle(self, kind: str, users: dict[str, tuple[str, ...]]) -> None:
        """Refuse a setting that was changed and that the run's task or method does not use."""
        chosen = getattr(self, kind)
        default = {item.name: item.default for item in dataclasses.fields(Settings)}
        for name in sorted({name for names in users.values() for name in names}):
            value = getattr(self, name)
            require(
                name in users[chosen] or value == default[name],
                f"{name}={value} does nothing with {kind}={chosen}: leave it out",
            )


RESUMABLE = {"out", "resume", "micro_batch_size", "device", "precision"}
"""What may differ between a run and its continuation."""
