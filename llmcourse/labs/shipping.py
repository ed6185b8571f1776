"""Shipping in miniature: a run to export, and one small model behind five applications.

An application is a prompt's form and a way to be right: sentiment, extraction, questions about a
text, summaries, translation of numbers, all on tinytown, so that every answer is known. One model
learns all five, as a server has one model for all who ask. Not here: exporting (`export/`), the
server, tuning on real data (`python -m llmcourse.finetune`). Chapter 17 teaches this.
"""

import contextlib
import dataclasses
import io
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from llmcourse.evaluate.intervals import Interval, wilson
from llmcourse.labs.instructing import Course, Rows, are_right, fit
from llmcourse.labs.preferring import encode_answers
from llmcourse.models.gpt import GPT, modern_recipe
from llmcourse.objectives.base import IGNORE
from llmcourse.randomness import numpy_rng, seed_all
from llmcourse.tinytown.numbers import number_pairs
from llmcourse.tinytown.stories import stories
from llmcourse.tinytown.tasks import sentiment_sentences
from llmcourse.tokenizers.base import Tokenizer
from llmcourse.tokenizers.bpe import BPETokenizer
from llmcourse.train.loop import train
from llmcourse.train.presets import tiny

COURSE = Course(steps=320, lr=2e-2, matrix_lr=4e-2, batch_size=16)
"""How the model of the applications learns."""
LARGEST_NUMBER = 999
"""Up to here numbers are translated."""


class Example(NamedTuple):
    """What is given to an application, and the answer that is right."""

    given: str
    answer: str


def a_run(folder: str | os.PathLike, steps: int = 150) -> Path:
    """Train the tiny preset on tinytown, with nothing on the screen, and leave a run in a folder.

    Raises:
        UserError: the folder holds a run already.
    """
    preset = tiny()
    settings = dataclasses.replace(
        preset,
        out=str(folder),
        steps=steps,
        evaluate_every=steps,
        save_every=steps,
        sample_tokens=0,
        tensorboard=False,
        device="cpu",
        model=dataclasses.replace(preset.model, context_length=128),
        optimizer=dataclasses.replace(preset.optimizer, matrix_lr=4e-2),  # for so few steps
        data=dataclasses.replace(preset.data, max_megabytes=0.3),
    )
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        train(settings)
    return Path(folder)


# --- the applications -----------------------------------------------------------------------------


def _sentiment(n: int, seed: int) -> Iterator[Example]:
    for text, sentiment in sentiment_sentences(n, seed):
        yield Example(text, "good" if sentiment > 0 else "bad")


def _extraction(n: int, seed: int) -> Iterator[Example]:
    for story in stories(n, seed):
        facts = story.facts
        yield Example(story.sentences[0].text, f"{facts['hero']}, {facts['pet']}")


def _dialogue(n: int, seed: int) -> Iterator[Example]:
    rng = numpy_rng(seed, "shipping", "dialogue")
    for story in stories(n, seed):
        facts = story.facts
        asked = {
            "Who is it about?": facts["hero"],
            f"What kind of animal is {facts['pet']}?": facts["animal"],
            f"What is the {facts['animal']} called?": facts["pet"],
        }
        question, answer = list(asked.items())[int(rng.integers(len(asked)))]
        yield Example(f"{story.sentences[0].text} {question}", answer)


def _summary(n: int, seed: int) -> Iterator[Example]:
    for story in stories(n, seed):
        facts = story.facts
        told = " ".join(sentence.text for sentence in story.sentences[:2])
        yield Example(told, f"{facts['hero']}, {facts['animal']}, {facts['weather']}")


def _translation(n: int, seed: int) -> Iterator[Example]:
    for pair in number_pairs(n, seed, LARGEST_NUMBER):
        yield Example(pair.english, pair.chinese)


APPS: dict[str, Callable[[int, int], Iterator[Example]]] = {
    "sentiment": _sentiment,
    "extraction": _extraction,
    "dialogue": _dialogue,
    "summary": _summary,
    "translation": _translation,
}
"""Every application, by name: from a number and a seed to its examples."""


def prompt_of(app: str, given: str) -> str:
    """What the model goes on from, and after it with the answer."""
    return f"{app}: {given} →"


def rows_of(app: str, examples: Sequence[Example], tokenizer: Tokenizer) -> Rows:
    """Examples as rows of which the answer and the END_OF_TEXT behind it are scored."""
    prompts = [prompt_of(app, example.given) for example in examples]
    answers = [f" {example.answer}" for example in examples]
    return Rows(*encode_answers(prompts, answers, tokenizer))


class Apps(NamedTuple):
    """The model behind the applications, and its tokenizer."""

    model: GPT
    tokenizer: Tokenizer


def learn_apps(n: int = 600, course: Course = COURSE) -> Apps:
    """One small GPT that has learned all applications from `n` examples of each."""
    taught = {app: list(make(n, 1)) for app, make in APPS.items()}
    texts = [
        f"{prompt_of(app, example.given)} {example.answer}"
        for app, examples in taught.items()
        for example in examples[:150]
    ]
    tokenizer = BPETokenizer.train(texts, vocab_size=480)
    seed_all(course.seed)
    sizes = {"context_length": 128, "d_model": 64, "n_layers": 2, "n_heads": 4}
    model = GPT(modern_recipe(vocab_size=tokenizer.vocab_size, **sizes))
    fit(model, _mixed([rows_of(app, some, tokenizer) for app, some in taught.items()]), course)
    return Apps(model, tokenizer)


def _mixed(parts: Sequence[Rows]) -> Rows:
    """All rows in one, filled up to the widest."""
    width = max(part.ids.size(1) for part in parts)
    pad = torch.nn.functional.pad
    return Rows(
        torch.cat([pad(part.ids, (0, width - part.ids.size(1))) for part in parts]),
        torch.cat(
            [pad(part.targets, (0, width - part.targets.size(1)), value=IGNORE) for part in parts]
        ),
        torch.cat([part.lengths for part in parts]),
    )


class Quality(NamedTuple):
    """How often an application is right on texts that it has not seen, and how often a guess is."""

    right: Interval
    most_frequent: float


def quality(apps: Apps, app: str, n: int = 100) -> Quality:
    """The share of wholly right answers to unseen questions, beside the most frequent one's."""
    taught = list(APPS[app](600, 1))
    known = {example.given for example in taught}
    unseen = dict.fromkeys(e for e in APPS[app](20 * n, 2) if e.given not in known)
    exam = list(unseen)[:n]  # no question twice
    right = int(are_right(apps.model, rows_of(app, exam, apps.tokenizer)).sum())
    usual = Counter(example.answer for example in taught).most_common(1)[0][0]
    guessed = sum(example.answer == usual for example in exam) / len(exam)
    return Quality(wilson(right, len(exam)), guessed)
