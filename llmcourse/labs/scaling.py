"""A ladder of small runs on tinytown: how the loss depends on the model's size and on the tokens.

Each run is a model of its own with a schedule of its own, finished: a loss read off in the middle
of a longer run is that of a rate which is still high. The loss is that of whole stories that no run
has seen, and below it lies their exact entropy. Not here: the law that is fitted to such runs
(`planning/laws.py`), and a ladder on real text (`benchmarks/scaling.py`). Chapter 09 teaches this.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from llmcourse.errors import UserError
from llmcourse.labs.distilling import TextRows, entropy_of, nats_per_token, text_rows
from llmcourse.labs.pretrain import as_stream, draw_windows
from llmcourse.models.gpt import GPT, GPTConfig, modern_recipe
from llmcourse.objectives.clm import CausalLM
from llmcourse.optim.schedules import named_schedule
from llmcourse.planning.laws import Rung
from llmcourse.randomness import numpy_rng, seed_all
from llmcourse.runs.history import RunHistory
from llmcourse.tinytown.stories import stories
from llmcourse.tokenizers.base import Tokenizer
from llmcourse.tokenizers.bpe import BPETokenizer
from llmcourse.train.loop import divide_and_clip, forward_backward
from llmcourse.train.optimizers import build_optimizers, set_lr
from llmcourse.train.settings import OptimizerSettings

CONTEXT = 176
"""Tokens: as long as the longest of the unseen stories."""
HEAD_WIDTH = 16


@dataclass(frozen=True, kw_only=True)
class Town:
    """What the runs of a ladder share.

    Attributes:
        tokenizer: turns text into ids.
        stream: the text to learn from, as one row of ids.
        unseen: stories that nobody learns from.
        entropy: theirs, in nats a token: what no model can beat.
    """

    tokenizer: Tokenizer
    stream: Int[Tensor, " N"]
    unseen: TextRows
    entropy: float

    def loss(self, model: GPT) -> float:
        """The loss of a model on the unseen stories, in nats a token."""
        return nats_per_token(model, self.unseen)

    def unigram(self) -> float:
        """The loss of guessing by frequency, in nats a token."""
        counts = torch.bincount(self.stream, minlength=self.tokenizer.vocab_size) + 1.0
        log_p = (counts / counts.sum()).log()
        return -log_p[self.unseen.targets[self.unseen.targets >= 0]].mean().item()


def town(n_stories: int, n_unseen: int = 150, vocab_size: int = 512) -> Town:
    """Stories to learn from, a tokenizer that was trained on some of them, and unseen ones."""
    texts = [story.text for story in stories(n_stories)]
    tokenizer = BPETokenizer.train(texts[:400], vocab_size=vocab_size)
    others = [story.text for story in stories(n_unseen, seed=1)]
    others = [text for text in others if len(tokenizer.encode(text)) < CONTEXT]
    unseen = text_rows(others, tokenizer)
    return Town(
        tokenizer=tokenizer,
        stream=as_stream(texts, tokenizer),
        unseen=unseen,
        entropy=entropy_of(others, unseen),
    )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a run is trained, its size and its tokens aside.

    Attributes:
        batch_size: windows in a step.
        ramp: the share of the run over which the batch grows from one window to `batch_size`.
        schedule: how the rate moves over the run, by tokens.
        finish_at: the share of the schedule that the run gets through: below 1 it was made for a
            longer run.
        lr: the peak rate of what is no hidden matrix; those have four times as much, by Muon.
        unique: how many tokens of the stream are read, again and again; all unless given.
        seed: of the weights and of the windows.
    """

    batch_size: int = 2
    ramp: float = 0.0
    schedule: str = "linear"
    finish_at: float = 1.0
    lr: float = 1e-2
    unique: int | None = None
    seed: int = 0


def config_of(width: int, vocab_size: int, n_layers: int = 2) -> GPTConfig:
    """A modern GPT of a width, with heads of 16."""
    return modern_recipe(
        vocab_size=vocab_size,
        context_length=CONTEXT,
        d_model=width,
        n_layers=n_layers,
        n_heads=width // HEAD_WIDTH,
    )


def climb(town: Town, width: int, tokens: int, recipe: Recipe = Recipe()) -> Rung:
    """Train a model of a width on so many tokens; its size, its tokens and its loss on the unseen.

    Raises:
        UserError: fewer tokens than one step reads, or fewer unique ones than a window has.
    """
    seed_all(recipe.seed)
    model = GPT(config_of(width, town.tokenizer.vocab_size))
    train_on(model, town, tokens, recipe)
    return Rung(model.n_parameters, tokens, town.loss(model.eval()))


def train_on(model: GPT, town: Town, tokens: int, recipe: Recipe) -> list[float]:
    """Train a model on so many tokens; returns the training losses of the steps.

    The clock of the schedule and of the ramp is the number of tokens read, not of steps.

    Raises:
        UserError: fewer tokens than one step reads, or fewer unique ones than a window has.
    """
    stream = town.stream[: recipe.unique]
    if tokens < recipe.batch_size * CONTEXT or len(stream) <= CONTEXT:
        raise UserError(
            f"tokens={tokens} and {len(stream)} unique ones are too few for steps of "
            f"{recipe.batch_size} windows of {CONTEXT}: give more"
        )
    optimizers = build_optimizers(model, OptimizerSettings(lr=recipe.lr, matrix_lr=4e-2))
    schedule = named_schedule(recipe.schedule, warmup=0.02)
    rng, losses, read, objective = numpy_rng(recipe.seed, "ladder"), [], 0, CausalLM()
    model.train()
    while read < tokens:
        rows = rows_at(read / tokens, recipe)
        done = (read + rows * CONTEXT / 2) / tokens  # the middle of the step
        set_lr(optimizers, schedule(min(done, 1.0) * recipe.finish_at))
        batch = objective.prepare(draw_windows(stream, CONTEXT + 1, rows, rng))
        total, count = forward_backward(model, objective, batch)
        divide_and_clip(model, count, clip=1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        read += rows * CONTEXT
        losses.append(total.item() / count.item())
    return losses


def rows_at(progress: float, recipe: Recipe) -> int:
    """How many windows a step has, so far through the run."""
    if progress >= recipe.ramp:
        return recipe.batch_size
    return max(1, math.ceil(recipe.batch_size * progress / recipe.ramp))


def newest_run(folders: Sequence[str] = ("runs", "../runs")) -> Rung | None:
    """The newest finished run of the default task on Python's documentation; None if there is none.

    Its parameters, its tokens and the bits per byte of its last evaluation.
    """
    found = sorted(
        (log for folder in folders for log in Path(folder).glob("*/metrics.jsonl")),
        key=lambda log: log.stat().st_mtime,
    )
    for log in reversed(found):
        history = RunHistory.read(log.parent)
        data = history.config.get("data", {})
        parameters = history.latest("parameters")
        asked = (history.objective, data.get("source")) == ("clm", "pydocs")
        if asked and history.complete and parameters and history.evaluations:
            last = history.evaluations[-1]
            if last.bits_per_byte is not None and last.tokens is not None:
                return Rung(parameters, last.tokens, last.bits_per_byte)
    return None
