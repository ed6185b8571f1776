"""The multi-step recipe as data: stages that one backbone goes through, one after another.

Pretrain, learn an intermediate task, learn the target: each stage says what is asked (its data and
objective), which part may move, how it is held back, and how fast it goes. `run` carries the
backbone over and gives it a new head wherever a stage asks for labels. Not here: the command that
fine-tunes on real data with checkpoints and reports (`python -m llmcourse.finetune`), which tasks
there are (`labs/adapting.py`). Chapter 11 teaches this.
"""

import copy
import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from llmcourse.errors import require
from llmcourse.finetune.heads import Adapted, Classifier, Pooling
from llmcourse.finetune.methods import find_method, layer_groups, layerwise_rates, move
from llmcourse.models.base import Model
from llmcourse.nn.masks import padding
from llmcourse.objectives.base import Objective
from llmcourse.optim.schedules import linear
from llmcourse.optim.stopping import early_stop
from llmcourse.randomness import numpy_rng, seed_all

Loss = tuple[Tensor, Tensor]
"""The sum of a batch's losses in nats, and how many answers it is the sum of."""


class Task(ABC):
    """What a stage asks of the backbone."""

    @abstractmethod
    def attach(self, backbone: Model) -> nn.Module:
        """The backbone, with a new head if the task needs one."""

    @abstractmethod
    def loss(self, model: nn.Module, n_rows: int, rng: np.random.Generator) -> Loss:
        """The loss on a batch of examples drawn at random."""


@dataclass(frozen=True)
class Labelled(Task):
    """Texts with a label each, and the task to say it.

    Attributes:
        rows: the ids of each text.
        labels: a number for each, from 0.
        n_labels: how many labels there are.
        pooling: how the states of a text become one vector.
        dropout: in front of the head.

    Raises:
        UserError: no texts, an empty one, not as many labels, or one out of range.
    """

    rows: Sequence[Sequence[int]]
    labels: Sequence[int]
    n_labels: int
    pooling: Pooling = "last"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        require(
            0 < len(self.rows) == len(self.labels),
            f"{len(self.rows)} texts with {len(self.labels)} labels: give one for each",
        )
        for number, (row, label) in enumerate(zip(self.rows, self.labels, strict=True)):
            require(len(row) > 0, f"text {number} is empty: leave it out")
            require(
                0 <= label < self.n_labels,
                f"text {number} has the label {label}: labels go from 0 to {self.n_labels - 1}",
            )

    def attach(self, backbone: Model) -> Classifier:
        """The backbone with a new head."""
        return Classifier(backbone, self.n_labels, pooling=self.pooling, dropout=self.dropout)

    def loss(self, model: nn.Module, n_rows: int, rng: np.random.Generator) -> Loss:
        """Cross-entropy on texts drawn without repeats."""
        chosen = rng.permutation(len(self.rows))[:n_rows]
        ids, mask, labels = self.batch(chosen.tolist())
        logits = model(ids, mask=mask).logits
        return F.cross_entropy(logits, labels, reduction="sum"), torch.tensor(len(labels))

    def batch(
        self, chosen: Sequence[int]
    ) -> tuple[Int[Tensor, "B T"], Bool[Tensor, "B 1 1 T"], Int[Tensor, " B"]]:
        """Rows filled up with 0 behind the text, the mask that says so, and the labels."""
        rows = [torch.tensor(self.rows[n]) for n in chosen]
        lengths = torch.tensor([len(row) for row in rows])
        ids = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return ids, padding(lengths, ids.size(1)), torch.tensor([self.labels[n] for n in chosen])

    @torch.no_grad()
    def logits(self, model: Adapted, n_rows: int = 64) -> Float[Tensor, "N C"]:
        """The scores of every text, without dropout; the model is left in the mode it was in."""
        training = model.training
        model.eval()
        everything = range(len(self.rows))
        parts = [everything[at : at + n_rows] for at in range(0, len(everything), n_rows)]
        found = [model(ids, mask=mask).logits for ids, mask, _ in map(self.batch, parts)]
        model.train(training)
        return torch.cat(found)

    def n_right(self, model: Adapted) -> int:
        """How many texts get their own label."""
        return int((self.logits(model).argmax(dim=-1) == torch.tensor(self.labels)).sum())

    def mean_loss(self, model: Adapted) -> float:
        """Nats for each text."""
        return F.cross_entropy(self.logits(model), torch.tensor(self.labels)).item()


@dataclass(frozen=True)
class Unlabelled(Task):
    """Text without labels, and an objective that asks for what it takes away.

    Attributes:
        objective: what is asked.
        stream: ids.
        window: how many tokens are read at once: short windows first are progressive training.
    """

    objective: Objective
    stream: Int[Tensor, " N"]
    window: int

    def attach(self, backbone: Model) -> nn.Module:
        """The backbone itself: its own output head answers."""
        return backbone

    def loss(self, model: nn.Module, n_rows: int, rng: np.random.Generator) -> Loss:
        """The objective's loss on windows that begin anywhere."""
        n_tokens = self.objective.window(self.window)
        starts = torch.from_numpy(rng.integers(len(self.stream) - n_tokens + 1, size=n_rows))
        batch = self.objective.prepare(self.stream[starts[:, None] + torch.arange(n_tokens)], rng)
        return self.objective.loss(model(ids=batch.ids, **batch.extras), batch)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step of a recipe.

    Attributes:
        name: what it is called.
        task: its data and objective.
        steps: how many.
        batch_size: rows in a step.
        lr: the peak of the learning rate; up in a tenth of the steps, then straight down.
        method: which layers move, and when: full, frozen or gradual.
        layer_decay: the rate's factor for each layer further down; 1 for one rate.
        weight_decay: decay towards zero.
        l2_sp: strength of the pull towards where the stage began (Li et al., 2018).
        first: what is done to the backbone before, such as `partial(deepened, n_layers=4)`.
        validation: texts on which it is decided which weights to keep; None for the last ones.
        patience: how many evaluations without progress to bear.
        every: steps between two evaluations.
    """

    name: str
    task: Task
    steps: int
    batch_size: int = 16
    lr: float = 3e-3
    method: str = "full"
    layer_decay: float = 1.0
    weight_decay: float = 0.01
    l2_sp: float = 0.0
    first: Callable[[Model], Model] | None = None
    validation: Labelled | None = None
    patience: int = 5
    every: int = 10


@dataclass(frozen=True)
class Done:
    """What a stage leaves behind.

    Attributes:
        stage: what was asked.
        model: the backbone as it is afterwards, with the head if there is one.
        losses: the training loss of each step, in nats for each answer.
        validation: the validation loss of each evaluation.
        kept: the evaluation whose weights were kept; None where the last ones were.
    """

    stage: Stage
    model: nn.Module
    losses: list[float]
    validation: list[float]
    kept: int | None

    @property
    def backbone(self) -> Model:
        """The backbone without its head."""
        return backbone_of(self.model)


def backbone_of(model: nn.Module) -> Model:
    """The backbone inside a model with a head; a model without one is its own."""
    return cast(Model, model.backbone if isinstance(model, Adapted) else model)


def run(backbone: Model, stages: Sequence[Stage], seed: int = 0) -> list[Done]:
    """The stages one after another, each from the backbone that the one before left behind.

    The backbone that is passed in stays as it is. A head is new in each stage that has one: the
    labels of the last task mean nothing to the next.

    Raises:
        UserError: there are no stages, or a stage has no steps.
    """
    require(len(stages) > 0, "no stages: give at least one")
    done: list[Done] = []
    for number, stage in enumerate(stages):
        begun = copy.deepcopy(done[-1].backbone if done else backbone)
        done.append(run_stage(begun, stage, seed=seed + 1000 * number))
    return done


def run_stage(backbone: Model, stage: Stage, seed: int = 0) -> Done:
    """One stage, which changes the backbone that it is given.

    Raises:
        UserError: the stage has no steps, or names an unknown method.
    """
    require(stage.steps > 0, f"stage {stage.name!r} has {stage.steps} steps: give at least 1")
    seed_all(seed)  # the head and dropout
    model = stage.task.attach(stage.first(backbone) if stage.first else backbone).train()
    start = {n: p.detach().clone() for n, p in backbone_of(model).named_parameters()}
    optimizer, moves = optimizer_of(model, stage)
    rng, schedule = numpy_rng(seed, "stage"), linear(warmup=0.1)
    losses: list[float] = []
    keeper = _Keeper(stage)
    for step in range(stage.steps):
        moves(step / stage.steps)
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * schedule((step + 0.5) / stage.steps)
        total, count = stage.task.loss(model, stage.batch_size, rng)
        loss = total / count
        (loss + l2_sp(model, start, stage.l2_sp)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        if keeper.is_over(model, step):
            break
    kept = keeper.restore(model)
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return Done(stage, model.eval(), losses, keeper.losses, kept)


def optimizer_of(
    model: nn.Module, stage: Stage
) -> tuple[torch.optim.Optimizer, Callable[[float], None]]:
    """AdamW with a group for each layer, and what lets layers move at a progress in [0, 1]."""
    if not isinstance(model, Adapted):  # pretraining: one rate, everything moves
        groups = [{"params": list(model.parameters()), "peak": stage.lr}]
        return _adamw(groups, stage), _nothing
    layers = layer_groups(model)
    rates = layerwise_rates(len(layers), stage.layer_decay)
    groups = [
        {"params": list(layer.parameters.values()), "peak": stage.lr * rate}
        for layer, rate in zip(layers, rates, strict=True)
    ]
    method = find_method(stage.method)
    return _adamw(groups, stage), lambda progress: move(layers, method(progress, len(layers)))


def _adamw(groups: list[dict[str, Any]], stage: Stage) -> torch.optim.AdamW:
    # Fused: one call for all tensors of a group. With small ones, the calls are what takes time.
    return torch.optim.AdamW(groups, stage.lr, weight_decay=stage.weight_decay, fused=True)


def _nothing(progress: float) -> None:
    """Everything moves."""


def l2_sp(model: nn.Module, start: dict[str, Tensor], strength: float) -> Tensor:
    """L2-SP penalty, `α/2 Σ (θ - θ⁰)²`, over the backbone: towards its start, not towards zero.

    What pretraining found is a better guess than nothing at all (Li et al., 2018). The head has no
    start worth keeping and is left out.
    """
    if not strength:
        return torch.zeros(())
    named = backbone_of(model).named_parameters()
    moved = [(p - start[n]).square().sum() for n, p in named if p.requires_grad]
    return strength / 2 * (torch.stack(moved).sum() if moved else torch.zeros(()))


class _Keeper:
    """Evaluates now and then, keeps the best weights, and says when patience is lost."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.losses: list[float] = []
        self.best: dict[str, Any] | None = None

    def is_over(self, model: nn.Module, step: int) -> bool:
        texts = self.stage.validation
        if texts is None or (step + 1) % self.stage.every:
            return False
        assert isinstance(model, Adapted)
        self.losses.append(texts.mean_loss(model))
        stop = early_stop(self.losses, self.stage.patience)
        if stop.best == len(self.losses) - 1:
            self.best = copy.deepcopy(model.state_dict())
        return stop.at is not None

    def restore(self, model: nn.Module) -> int | None:
        """Put back the best weights, and say after which evaluation they were there."""
        if self.best is None:
            return None
        model.load_state_dict(self.best)
        return early_stop(self.losses, self.stage.patience).best


def deepened(backbone: Model, n_layers: int) -> Model:
    """A deeper model that begins with a shallower one's weights: each block is there several times.

    Progressive training: a few layers learn quickly what the many then start from (Gong et al.,
    2019). Block i of the new model is block `i * old // new` of the old one.

    Raises:
        UserError: the new model would be shallower.
    """
    old = backbone.config.n_layers
    require(n_layers >= old, f"n_layers={n_layers} is fewer than the {old} that there are")
    deeper = type(backbone)(dataclasses.replace(backbone.config, n_layers=n_layers))
    weights = backbone.state_dict()
    deeper.load_state_dict(
        {name: weights[_source(name, old, n_layers)] for name in deeper.state_dict()}
    )
    return deeper


def _source(name: str, old: int, new: int) -> str:
    """The name of the weights that a deeper model's weights of this name begin with."""
    parts = name.split(".")
    if "blocks" in parts:
        place = parts.index("blocks") + 1
        parts[place] = str(int(parts[place]) * old // new)
    return ".".join(parts)
