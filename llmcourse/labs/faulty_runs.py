"""Faulty runs: small runs made ill on purpose, each in one way, within a second.

`train_tiny(TinyRun(...))` trains a tiny GPT on tinytown and returns the history that a real run
would leave, so that what is learned here about curves holds there. `TinyRun()` is healthy; an
illness is one field that is wrong. Not here: the real loop (`train/loop.py`), and the doctor
(`runs/diagnosis.py`). Chapter 08 teaches this.
"""

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch.optim import Optimizer

from llmcourse.device import autocast
from llmcourse.evaluate.perplexity import evaluate, uniform_bits_per_byte, unigram_bits_per_byte
from llmcourse.models.gpt import GPT, GPTConfig
from llmcourse.objectives.base import Batch, Objective
from llmcourse.objectives.clm import CausalLM
from llmcourse.optim.clip import clip_by_global_norm
from llmcourse.optim.loss_scaling import LossScaler
from llmcourse.optim.schedules import linear
from llmcourse.randomness import numpy_rng, seed_all
from llmcourse.runs.history import RunHistory
from llmcourse.runs.log import Baseline, End, Ending, Evaluation, Record, Training
from llmcourse.tinytown import stories as tinytown
from llmcourse.tinytown.numbers import number_pairs
from llmcourse.tokenizers.base import byte_lengths
from llmcourse.tokenizers.registry import train_tokenizer

CONTEXT = 32
N_VALID = 24
"""Held-out windows, none of which is ever trained on."""


class ShiftedRows(CausalLM):
    """A bug: the targets are those of the neighbouring row, as after one shuffle too many."""

    def prepare(self, tokens: Int[Tensor, "B N"], rng: np.random.Generator | None = None) -> Batch:
        """The right inputs with somebody else's targets."""
        batch = super().prepare(tokens, rng)
        return Batch(ids=batch.ids, targets=batch.targets.roll(1, dims=0))


class NoShift(CausalLM):
    """A bug: the target of a position is the token that stands there, plain to see."""

    def prepare(self, tokens: Int[Tensor, "B N"], rng: np.random.Generator | None = None) -> Batch:
        """The inputs as their own targets."""
        return Batch(ids=tokens[:, :-1], targets=tokens[:, :-1])


@dataclass(frozen=True, kw_only=True)
class TinyRun:
    """How a small run is trained. The defaults are healthy.

    Attributes:
        steps: optimizer steps.
        batch_size: windows a step.
        optimizer: AdamW, or SGD with momentum.
        lr: the peak rate; it rises over a tenth of the run, and falls to zero.
        clip: the largest norm of the gradient; None turns clipping off.
        dropout: the share of activations dropped in training.
        n_windows: how many windows there are to learn from.
        text: stories alone, or stories and then numbers, as two files put one behind the other.
        shuffled: draw the windows in a new order each epoch, or take them as they come.
        objective: what is asked.
        zero_grad: forget the last step's gradients before the next.
        half: run forward and backward in fp16.
        first_scale: where loss scaling begins; None does without.
        positions: how many positions the mean of a step is over; this batch's, unless given. If it
            is more, as many batches like this one are taken to add up in fp32.
        evaluate_every: steps between two looks at the held-out text.
        seed: of weights, dropout and order.
    """

    steps: int = 120
    batch_size: int = 8
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: float = 1e-2
    clip: float | None = 1.0
    dropout: float = 0.0
    n_windows: int = 1000
    text: Literal["stories", "stories, then numbers"] = "stories"
    shuffled: bool = True
    objective: Objective = field(default_factory=CausalLM)
    zero_grad: bool = True
    half: bool = False
    first_scale: float | None = None
    positions: int | None = None
    evaluate_every: int = 20
    seed: int = 0


class Text(NamedTuple):
    """Windows to learn from and windows held out, `[N, T + 1]` each, and what a token is."""

    train: Int[Tensor, "B N"]
    valid: Int[Tensor, "B N"]
    lengths: Int[Tensor, " V"]


@functools.cache
def read(text: str) -> Text:
    """A text as windows; its tokenizer is trained on it."""
    documents = [story.text for story in tinytown.stories(800)]
    if text != "stories":
        numbers = [pair.english + "." for pair in number_pairs(4000)]
        documents = documents[:300] + [" ".join(numbers[i : i + 10]) for i in range(0, 4000, 10)]
    tokenizer = train_tokenizer("bpe", documents, 400)
    ids = [i for document in documents for i in (*tokenizer.encode(document), tokenizer.eot_id)]
    n = (len(ids) - 1) // CONTEXT
    windows = torch.tensor(ids[: n * CONTEXT + 1]).unfold(0, CONTEXT + 1, CONTEXT)
    held_out = torch.zeros(n, dtype=torch.bool)
    held_out[torch.linspace(n // 50, n - 1, N_VALID).long()] = True
    return Text(windows[~held_out], windows[held_out], torch.tensor(byte_lengths(tokenizer)))


def train_tiny(run: TinyRun) -> RunHistory:
    """Train a small run; its history, with a record of every step and of every evaluation."""
    text = read(run.text)
    chosen = torch.linspace(0, len(text.train) - 1, min(run.n_windows, len(text.train)))
    windows = text.train[chosen.long()]
    seed_all(run.seed)
    model = tiny_gpt(len(text.lengths), run.dropout)
    optimizer = _optimizer(run, model)
    scaler = LossScaler(run.first_scale or 1.0, interval=20)
    schedule, batches = linear(warmup=0.1), _batches(run, windows)
    log: list[Record] = [_baselines(windows, text)]
    for step in range(run.steps + 1):
        if step % run.evaluate_every == 0 or step == run.steps:
            log.append(_evaluation(run, step, model, text))
        if step == run.steps:
            break
        rate = run.lr * schedule((step + 0.5) / run.steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss, norm = _step(run, model, optimizer, scaler, next(batches))
        log.append(Training(step=step + 1, loss=loss, lr=rate, grad_norm=norm))
    log.append(End(step=run.steps, ending=Ending.FINISHED, reason="finished"))
    return RunHistory(log)


def tiny_gpt(vocab_size: int, dropout: float = 0.0) -> GPT:
    """The clinic's model, of some 50,000 parameters."""
    return GPT(
        GPTConfig(
            vocab_size=vocab_size,
            context_length=CONTEXT,
            d_model=32,
            n_layers=2,
            n_heads=2,
            dropout=dropout,
        )
    )


def _optimizer(run: TinyRun, model: GPT) -> Optimizer:
    if run.optimizer == "sgd":
        return torch.optim.SGD(model.parameters(), lr=run.lr, momentum=0.9)
    return torch.optim.AdamW(model.parameters(), lr=run.lr, betas=(0.9, 0.95), weight_decay=0.0)


def _batches(run: TinyRun, windows: Int[Tensor, "B N"]) -> Iterator[Batch]:
    """Batch after batch, over as many epochs as that takes."""
    waiting: list[int] = []
    for epoch in itertools.count():
        rng = numpy_rng(run.seed, "clinic", epoch)
        order = rng.permutation(len(windows)) if run.shuffled else np.arange(len(windows))
        waiting += order.tolist()
        while len(waiting) >= run.batch_size:
            rows, waiting = waiting[: run.batch_size], waiting[run.batch_size :]
            yield run.objective.prepare(windows[rows], rng)


def _step(
    run: TinyRun, model: GPT, optimizer: Optimizer, scaler: LossScaler, batch: Batch
) -> tuple[float, float]:
    """One step, in the loop's usual order; its loss and the gradient's norm before clipping."""
    with autocast(torch.device("cpu"), "fp16" if run.half else "fp32"):
        loss = run.objective.loss(model(batch.ids), batch)
    count = int(loss.count)
    divisor = run.positions or count
    scaler.scale(loss.total / divisor).backward()
    finite = scaler.unscale_(model.parameters())
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    torch._foreach_mul_(gradients, divisor / count)  # as many micro-batches like this one add up
    norm = clip_by_global_norm(model.parameters(), run.clip or math.inf)
    if finite or run.first_scale is None:
        optimizer.step()
    if run.first_scale is not None:
        scaler.update(finite)
    if run.zero_grad:
        optimizer.zero_grad()
    return loss.total.item() / count, norm.item()


def _evaluation(run: TinyRun, step: int, model: GPT, text: Text) -> Evaluation:
    batch = run.objective.prepare(text.valid, numpy_rng(run.seed, "evaluate"))
    score = evaluate(model, run.objective, [batch], text.lengths)
    return Evaluation(step=step, loss=score.loss, bits_per_byte=score.bits_per_byte)


def _baselines(windows: Int[Tensor, "B N"], text: Text) -> Baseline:
    lengths, valid = text.lengths.numpy(), text.valid[:, 1:].flatten().numpy()
    counts = np.bincount(windows[:, 1:].flatten().numpy(), minlength=len(lengths))
    return Baseline(
        step=0,
        uniform_bits_per_byte=uniform_bits_per_byte(valid, lengths, len(lengths)),
        unigram_bits_per_byte=unigram_bits_per_byte(counts, valid, lengths),
    )
