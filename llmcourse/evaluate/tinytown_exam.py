"""An exam about tinytown: pairs, gaps and questions made from stories, and stories to be checked.

What is right is known by construction, and the probability of each story exactly, so a model can be
examined anywhere, without a file. Not here: how an answer is scored (`minimal_pairs.py`,
`choices.py`), probes of features (`tinytown_probes.py`). Chapter 16 uses this.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import cycle, islice
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from llmcourse.evaluate.choices import Question
from llmcourse.evaluate.minimal_pairs import MinimalPair
from llmcourse.evaluate.scoring import Continuation, Scorer, log_probs_of
from llmcourse.generate.decode import LanguageModel, generate
from llmcourse.generate.sampling import sample
from llmcourse.randomness import python_rng
from llmcourse.tinytown import stories as tinytown
from llmcourse.tinytown.labels import Story
from llmcourse.tinytown.lexicon import BOYS, GIRLS, TABLES
from llmcourse.tinytown.tasks import FLAWS, questions
from llmcourse.tokenizers.base import Tokenizer

SEED = 2000
"""Stories that nobody trains on: the chapters train on seed 0."""

CHOICES = 4
"""How many answers a question has."""

ASKED = ("pet", "animal", "item", "place", "day", "friend")
"""The facts that are asked for."""


def agreement_pairs(n: int, seed: int = SEED) -> Iterator[MinimalPair]:
    """`n` stories, each beside one that breaks a rule, in turn of three kinds.

    - pronoun: the hero is called `he` where it should be `she`, or the other way, all through;
    - name: the pet's name changes after the first sentence;
    - order: two neighbouring sentences are exchanged.

    A story in which the rule cannot be broken is left out.
    """
    return islice(_agreement_pairs(seed), n)


def _agreement_pairs(seed: int) -> Iterator[MinimalPair]:
    rng = python_rng(seed, "tinytown", "agreement")
    kinds = {"pronoun": _wrong_pronouns, "name": FLAWS["forgets the pet's name"],
             "order": FLAWS["mixes up the order"]}  # fmt: skip
    turn = cycle(kinds)
    kind = next(turn)
    for story in _endless(seed):
        wrong = kinds[kind](story, rng)
        if wrong != story.text and not is_valid(wrong):
            yield MinimalPair(story.text, wrong, kind)
            kind = next(turn)


def _wrong_pronouns(story: Story, rng: random.Random) -> str:
    """The story as it would be told of a hero of the other pronouns, under the old name."""
    hero = story.facts["hero"]
    others = [name for name in (BOYS if hero in GIRLS else GIRLS) if name not in story.text]
    other = others[int(rng.random() * len(others))]
    told = replace(story, facts={**story.facts, "hero": other}).text
    return told.replace(other, hero)


def gaps(n: int, seed: int = SEED) -> Iterator[Question]:
    """`n` stories, each cut before a word that it has said before: which one comes again?

    The answers are the right word and three others that stories have in its place; of an item, of
    its own kind. This asks for memory, and needs no training on questions.
    """
    return islice(_gaps(seed), n)


def _gaps(seed: int) -> Iterator[Question]:
    rng = python_rng(seed, "tinytown", "gaps")
    for story in _endless(seed):
        places = _said_again(story)
        if not places:
            continue
        fact, at = places[int(rng.random() * len(places))]
        yield _choices((story.text[:at].rstrip(),), fact, story.facts[fact], story, rng)


def asked_questions(n: int, seed: int = SEED) -> Iterator[Question]:
    """`n` stories, each with a question in words and four answers.

    Story and question stand on lines of their own; the answer is the next line.
    """
    return islice(_asked(seed), n)


def _asked(seed: int) -> Iterator[Question]:
    rng = python_rng(seed, "tinytown", "asked")
    for story in _endless(seed):
        facts = {story.facts[fact]: fact for fact in ASKED if fact in story.facts}
        able = [q for q in questions(story) if q.span is not None and q.answer in facts]
        question = able[int(rng.random() * len(able))]
        context = f"{story.text}\n{question.text}"
        yield _choices((context,), facts[question.answer], question.answer, story, rng)


def _endless(seed: int) -> Iterator[Story]:
    """Stories without end; the same seed gives the same ones."""
    part = 0
    while True:
        yield from tinytown.stories(500, seed + part)
        part += 1


def _said_again(story: Story) -> list[tuple[str, int]]:
    """The facts that the story names again in words of their own, and where."""
    seen: set[str] = set()
    found, start = [], 0
    for sentence in story.sentences:
        for entity in sentence.entities:
            at = start + sentence.tokens[entity.start].start
            if entity.fact in seen and entity.fact in ASKED and at:
                found.append((entity.fact, at))
            seen.add(entity.fact)
        start += len(sentence.text) + 1
    return found


def _choices(
    contexts: tuple[str, ...], fact: str, right: str, story: Story, rng: random.Random
) -> Question:
    others = [word for word in TABLES[fact].words if word != right and word not in story.text]
    rng.shuffle(others)
    answers = [right, *others[: CHOICES - 1]]
    rng.shuffle(answers)
    return Question(contexts, tuple(answers), answers.index(right))


class StoryBits(NamedTuple):
    """What stories cost a model, and what they cost whoever knows tinytown's grammar.

    Attributes:
        bits: for each story, by the model, with the decision to stop.
        exact: its true information content, `-log2 p`.
        bytes: how long it is.
    """

    bits: Float[np.ndarray, " N"]
    exact: Float[np.ndarray, " N"]
    bytes: Float[np.ndarray, " N"]


def story_bits(scorer: Scorer, tokenizer: Tokenizer, stories: Sequence[Story]) -> StoryBits:
    """Score whole stories, each from nothing to its end.

    Raises:
        UserError: a story is longer than the model reads.
    """
    end = tokenizer.eot_id
    wanted = [Continuation((end,), (*tokenizer.encode(story.text), end)) for story in stories]
    nats = np.array([-log_probs.sum() for log_probs in log_probs_of(scorer, wanted)])
    exact = np.array([-tinytown.log_probability(story.text) for story in stories])
    sizes = np.array([float(len(story.text.encode())) for story in stories])
    return StoryBits(nats / math.log(2), exact / math.log(2), sizes)


def write_stories(
    model: LanguageModel,
    tokenizer: Tokenizer,
    n: int,
    generator: torch.Generator,
    max_new_tokens: int = 300,
) -> list[str]:
    """Texts that a model writes from nothing, each token drawn as likely as the model finds it.

    A text that is not over after so many tokens is cut there.
    """
    device = generator.device
    ids = torch.full((n, 1), tokenizer.eot_id, dtype=torch.long, device=device)

    def sampler(logits: Tensor) -> Tensor:
        return sample(logits, generator)

    length = min(max_new_tokens, int(model.config.context_length) - 1)
    drawn = list(generate(model, ids, max_new_tokens=length, sampler=sampler,
                          stop_ids=(tokenizer.eot_id,)))  # fmt: skip
    if not drawn:
        return [""] * n
    texts = []
    for row in torch.stack(drawn, dim=1).tolist():
        ended = row.index(tokenizer.eot_id) if tokenizer.eot_id in row else len(row)
        texts.append(tokenizer.decode(row[:ended]))
    return texts


def is_valid(text: str) -> bool:
    """Whether tinytown has such a story."""
    return tinytown.parse(text) is not None
