"""Tinytown as rows of words, one story a row: a text that a tiny model learns in seconds."""

import dataclasses
import math
import re
from functools import cache

import torch
from torch import Tensor

from llmcourse.data import tinytown
from llmcourse.objectives.vocabulary import Vocabulary

BLANK = 0
"""Fills a story's row up."""
LONGEST = 100
"""Words; no story of tinytown's is longer."""


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


@cache
def _words() -> dict[str, int]:
    found = {word for story in tinytown.stories(3000, 1) for word in _split(story.text)}
    return {word: index for index, word in enumerate(["", *sorted(found)])}


def _split(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text)
