"""The suite `tinytown`: an exam that is always there, with the exact entropy beside it.

A model that never read of tinytown does badly here, as it should. Not here: how the exam is made
(`evaluate/tinytown_exam.py`). Chapter 16 teaches this.
"""

import torch

from llmcourse.evaluate.tinytown_exam import (
    SEED,
    agreement_pairs,
    asked_questions,
    gaps,
    is_valid,
    story_bits,
    write_stories,
)
from llmcourse.randomness import torch_rng
from llmcourse.suites.base import Asked, Figure, ratio, share
from llmcourse.suites.pairs import pair_figures
from llmcourse.suites.questions import choice_figures
from llmcourse.suites.subject import Subject
from llmcourse.tinytown.labels import Story
from llmcourse.tinytown.stories import stories

N_WRITTEN = 64
"""How many stories are written and checked; writing takes longer than reading."""


@torch.no_grad()
def measure(subject: Subject, asked: Asked) -> list[Figure]:
    """Bits above the entropy, agreement, gaps, questions, and how many written stories are valid.

    Stories that are longer than the model's context are left out.

    Raises:
        UserError: the model's context is too short for any story.
    """
    seed = SEED + asked.seed
    pairs = [
        pair
        for pair in agreement_pairs(asked.n, seed)
        if _fits(subject, pair.good) and _fits(subject, pair.bad)
    ]
    told = [story for story in stories(asked.n, seed) if _fits(subject, story.text)]
    figures = _bits(subject, told, asked) if told else []
    if pairs:
        figures += pair_figures(subject, pairs, "agreement")
    some = list(gaps(asked.n, seed))
    figures += choice_figures(subject, some, asked.normalisation, "gaps")[:1]
    some = list(asked_questions(asked.n, seed))
    figures += choice_figures(subject, some, asked.normalisation, "questions", "\n")[:1]
    dice = torch_rng(asked.seed, "suites", "stories", device=subject.device)
    written = write_stories(subject.model, subject.tokenizer, min(asked.n, N_WRITTEN), dice)
    return [*figures, share("valid stories", [is_valid(text) for text in written])]


def _bits(subject: Subject, told: list[Story], asked: Asked) -> list[Figure]:
    found = story_bits(subject.scorer, subject.tokenizer, told)
    rivals = {
        name: story_bits(scorer, subject.tokenizer, told)
        for name, scorer in subject.counters.items()
    }
    exact = float(found.exact.sum() / found.bytes.sum())
    size = found.bytes.sum()
    return [
        ratio(
            "bits per byte", found.bits, found.bytes, asked.seed, lower_is_better=True,
            baselines={n: float(r.bits.sum() / size) for n, r in rivals.items()}
            | {"entropy": exact},
        ),
        ratio(
            "bits above the entropy", found.bits - found.exact, found.bytes, asked.seed,
            lower_is_better=True,
            baselines={n: float((r.bits - r.exact).sum() / size) for n, r in rivals.items()}
            | {"entropy": 0.0},
        ),
    ]  # fmt: skip


def _fits(subject: Subject, text: str) -> bool:
    longest = subject.scorer.longest
    # Before and behind the text stands the token that ends documents.
    return longest is None or len(subject.encode(text)) + 2 <= longest
