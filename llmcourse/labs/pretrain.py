"""Objectives side by side: each trained from scratch on the same text, for as many tokens read.

A run in miniature for experiments that train ten models in a minute: the task and model that
`train/assemble.py` gives a name, the step and the optimizers of a real run, a stream of ids in
memory. Not here: what a real run needs besides, such as evaluation, checkpoints, devices, precision
(`loop.py`); what the models are then asked (`evaluate/probe_tasks.py`). Chapter 07 and
`benchmarks/objectives.py` use it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from llmcourse.errors import UserError
from llmcourse.evaluate.features import ModelReader
from llmcourse.models.base import Model
from llmcourse.objectives.base import Objective
from llmcourse.objectives.vocabulary import Vocabulary
from llmcourse.randomness import numpy_rng, seed_all
from llmcourse.tokenizers.base import Tokenizer, each_text
from llmcourse.train.assemble import build_model, build_objective
from llmcourse.train.loop import divide_and_clip, forward_backward
from llmcourse.train.optimizers import build_optimizers, build_schedule, set_lr
from llmcourse.train.settings import Settings


@dataclass(frozen=True)
class Pretrained:
    """A model, and the task that it learned.

    Attributes:
        objective: the task.
        model: what learned it.
        losses: the training loss of each step, in nats for each thing scored.
        n_scored: how many things were scored on the way: how often the model was told the answer.
    """

    objective: Objective
    model: Model
    losses: list[float]
    n_scored: int

    def reader(self) -> ModelReader:
        """How to read texts with it: framed as in training."""
        return reader_of(self.objective, self.model)


def as_stream(texts: Iterable[str], tokenizer: Tokenizer) -> Int[Tensor, " N"]:
    """All texts as one row of ids, END_OF_TEXT behind each."""
    return torch.tensor(
        [i for text in each_text(texts) for i in (*tokenizer.encode(text), tokenizer.eot_id)]
    )


def untrained(settings: Settings, tokenizer: Tokenizer) -> Pretrained:
    """The task that the settings name, and its model as it is before the first step."""
    objective = build_objective(settings, tokenizer)
    seed_all(settings.seed)
    vocab_size = tokenizer.vocab_size + len(objective.special_tokens)
    return Pretrained(objective, build_model(settings, vocab_size), [], 0)


def pretrain(
    settings: Settings,
    tokenizer: Tokenizer,
    stream: Int[Tensor, " N"],
    n_tokens: int,
    say: Callable[[int, float], None] | None = None,
    objective: Objective | None = None,
) -> Pretrained:
    """Train the task that the settings name on random windows, until `n_tokens` have been read.

    All objectives read the same budget of text, in windows as long as their context allows; what
    they make of it (how many tokens they score) is up to them. The settings' `steps` are not used.

    Args:
        settings: names the task, the model's shape, the batch and the optimizer.
        tokenizer: whose ids the stream holds.
        stream: the text.
        n_tokens: the budget.
        say: is called after each step with its number and loss.
        objective: the task, where it is one that the settings cannot name; a variant of theirs,
            which the same model can learn.

    Raises:
        UserError: the stream is shorter than a window, or the budget smaller than a batch.
    """
    begun = untrained(settings, tokenizer)
    objective, model = objective or begun.objective, begun.model
    window = objective.window(settings.model.context_length)
    steps = n_tokens // (window * settings.batch_size)
    if len(stream) < window or steps < 1:
        raise UserError(
            f"{len(stream)} tokens of text and a budget of {n_tokens} are too little for "
            f"{settings.batch_size} windows of {window}: give more of both"
        )
    optimizers = build_optimizers(model, settings.optimizer)
    schedule = build_schedule(settings.optimizer)
    rng = numpy_rng(settings.seed, "compare", "windows")
    chance = numpy_rng(settings.seed, "compare", "objective")
    losses, n_scored = [], 0
    model.train()
    for step in range(steps):
        set_lr(optimizers, schedule(step / steps))
        batch = objective.prepare(draw_windows(stream, window, settings.batch_size, rng), chance)
        total, count = forward_backward(model, objective, batch)
        divide_and_clip(model, count, settings.optimizer.clip)
        for optimizer in optimizers:
            optimizer.step()
        model.zero_grad(set_to_none=True)
        losses.append(total.item() / count.item())
        n_scored += int(count)
        if say is not None:
            say(step + 1, losses[-1])
    return Pretrained(objective, model.eval(), losses, n_scored)


def draw_windows(
    stream: Int[Tensor, " N"], window: int, n_rows: int, rng: np.random.Generator
) -> Int[Tensor, "B T"]:
    """Stretches of the stream that begin anywhere, each start as likely as any other."""
    starts = torch.from_numpy(rng.integers(len(stream) - window + 1, size=n_rows))
    return stream[starts[:, None] + torch.arange(window)]


def reader_of(objective: Objective, model: Model) -> ModelReader:
    """How to read texts with a model: framed by `[CLS]` and `[SEP]` where its task frames them."""
    vocabulary = getattr(objective, "vocabulary", None)
    names = objective.special_tokens
    if "[CLS]" not in names or not isinstance(vocabulary, Vocabulary):
        return ModelReader(model)
    cls_id, sep_id = (vocabulary.size + names.index(name) for name in ("[CLS]", "[SEP]"))
    return ModelReader(model, cls_id, sep_id)
