"""Tinytown as rows of words, one story a row: a text that a tiny model learns in seconds.

Also the learning: a loop of ten lines, for objectives to show that they teach something.
"""

import dataclasses
import math
import re
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from llmcourse.objectives.base import LossSum, Objective
from llmcourse.objectives.vocabulary import Vocabulary
from llmcourse.optim.groups import split_for_muon
from llmcourse.optim.muon import Muon
from llmcourse.tinytown import stories as tinytown

BLANK = 0
"""Fills a story's row up."""
LONGEST = 110
"""Words; the longest story of thousands has 101."""


@cache
def story_rows(n: int, seed: int = 0) -> tuple[Vocabulary, Tensor]:
    """`n` stories, as the rows of a table of words, and the vocabulary of all of tinytown's."""
    words = _words()
    rows = torch.full((n, LONGEST), BLANK)
    for row, story in zip(rows, tinytown.stories(n, seed), strict=True):
        ids = torch.tensor([words[word] for word in _split(story.text)])
        row[: len(ids)] = ids
    ends = torch.zeros(len(words), dtype=torch.bool)
    ends[words["."]] = True
    vocabulary = Vocabulary.plain(len(words), special_ids=(BLANK,))
    return dataclasses.replace(vocabulary, ends_sentence=ends), rows


def guessing(rows: Tensor) -> float:
    """The nats a word that the best guess costs which knows how often words occur, and no more."""
    counts = rows[rows != BLANK].bincount().double()
    shares = counts[counts > 0] / counts.sum()
    loss = -(shares * shares.log()).sum().item()
    assert 0 < loss < math.log(len(counts))
    return loss


def learn(
    model: nn.Module, objective: Objective, rows: Tensor, steps: int, batch: int = 16
) -> None:
    """Train for some steps, with rates that fall to zero."""
    rng = np.random.default_rng(0)
    matrices, rest = split_for_muon(model)
    optimizers = [Muon(matrices, lr=2e-2), torch.optim.AdamW(rest, lr=1e-2)]
    fall = [torch.optim.lr_scheduler.LinearLR(each, 1.0, 0.0, steps) for each in optimizers]
    model.train()
    for step in range(steps):
        chosen = torch.arange(step * batch, (step + 1) * batch) % len(rows)
        loss = score(model, objective, rows[chosen], rng)
        (loss.total / loss.count).backward()
        for optimizer, schedule in zip(optimizers, fall, strict=True):
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
    model.eval()


def score(
    model: nn.Module, objective: Objective, rows: Tensor, rng: np.random.Generator
) -> LossSum:
    """The loss of a model on some rows."""
    batch = objective.prepare(rows, rng)
    return objective.loss(model(ids=batch.ids, **batch.extras), batch)


@cache
def _words() -> dict[str, int]:
    found = {word for story in tinytown.stories(3000, 1) for word in _split(story.text)}
    return {word: index for index, word in enumerate(["", *sorted(found)])}


def _split(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text)
