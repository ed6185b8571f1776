"""Evaluation in miniature: models to judge, a planted bias, and how often a test tells two apart.

Everything here is quick to make and has a known truth to be compared with. Not here: the metrics
themselves (`evaluate/`). Chapter 16 uses it.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from llmcourse.errors import require
from llmcourse.evaluate.scoring import NGramScorer
from llmcourse.finetune.baselines import NaiveBayes
from llmcourse.labs.pretrain import Pretrained, as_stream, pretrain
from llmcourse.models.ngram import NGram
from llmcourse.models.ngram_counts import count_ngrams
from llmcourse.randomness import python_rng
from llmcourse.tinytown.labels import Story
from llmcourse.tinytown.lexicon import GIRLS, TABLES
from llmcourse.tinytown.stories import stories
from llmcourse.tokenizers.base import Tokenizer
from llmcourse.train.presets import tiny

CONTEXT = 192
"""How many tokens the small GPT sees: all but the longest stories."""


def small_gpt(
    texts: Sequence[str], tokenizer: Tokenizer, n_tokens: int, seed: int = 0
) -> Pretrained:
    """A GPT of two layers that has read so many tokens of some texts."""
    base = tiny()
    model = dataclasses.replace(base.model, context_length=CONTEXT, n_heads=4)
    optimizer = dataclasses.replace(base.optimizer, matrix_lr=4e-2)  # for so few steps
    settings = dataclasses.replace(base, seed=seed, model=model, optimizer=optimizer)
    return pretrain(settings, tokenizer, as_stream(texts, tokenizer), n_tokens)


def counted(texts: Sequence[str], tokenizer: Tokenizer, order: int) -> NGramScorer:
    """An n-gram model of some texts, each from its beginning to its end."""
    end = tokenizer.eot_id
    documents = ([end, *tokenizer.encode(text), end] for text in texts)
    return NGramScorer(NGram(count_ngrams(documents, order, tokenizer.vocab_size)))


def bayes_logits(train: Sequence[tuple[str, int]], texts: Sequence[str]) -> Float[Tensor, "N C"]:
    """What naive Bayes, fitted on texts with labels 0, 1, ..., thinks of each label of new texts.

    They are log-probabilities of text and label together: softmax makes them probabilities.
    """
    bayes = NaiveBayes([(text, str(label)) for text, label in train])
    labels = sorted(bayes.texts, key=int)
    return torch.tensor(
        [[bayes.score(text, label) for label in labels] for text in texts], dtype=torch.float64
    )


def biased_stories(n: int, strength: int, seed: int = 0) -> Iterator[Story]:
    """`n` stories in which girls have cats and boys have dogs more often than chance has it.

    Of the others, a girl with a dog or a boy with a cat, one in `strength` is told. All else is as
    in tinytown.

    Raises:
        UserError: the strength is below 1.
    """
    require(strength >= 1, f"strength={strength} must be at least 1: 1 plants no bias")
    rng = python_rng(seed, "judging", "bias")
    told, part = 0, 0
    while told < n:
        for story in stories(500, seed + part):
            unwanted = "dog" if story.facts["hero"] in GIRLS else "cat"
            kept = story.facts["animal"] != unwanted or rng.random() * strength < 1
            if kept and told < n:
                told += 1
                yield story
        part += 1


def planted_factor(strength: int) -> float:
    """How many times likelier a cat is in a girl's story than in a boy's, exactly.

    Cats and dogs have the same weight, so whether a girl or a boy, as many stories are left out.
    """
    table = TABLES["animal"]
    cat, dog = table.probability("cat"), table.probability("dog")
    rest = 1 - cat - dog
    girls, boys = rest + cat + dog / strength, rest + cat / strength + dog
    return cat / girls / (cat / strength / boys)


def told_apart(
    share_a: float, share_b: float, n: int, rng: np.random.Generator, *,
    both: float | None = None, trials: int = 2000,
) -> float:  # fmt: skip
    """How often an exam of n questions shows B significantly above A, by simulation.

    The difference must be above 1.96 of its standard errors. Without `both` each model has
    questions of its own; with it both have the same ones, and `both` is the share that both get
    right.
    """
    if both is None:
        a, b = (rng.binomial(n, share, trials) / n for share in (share_a, share_b))
        error = np.sqrt((a * (1 - a) + b * (1 - b)) / n)
        gap = b - a
    else:
        joint = [both, share_a - both, share_b - both, 1 - share_a - share_b + both]
        counts = rng.multinomial(n, joint, trials)
        only_a, only_b = counts[:, 1] / n, counts[:, 2] / n
        gap = only_b - only_a
        error = np.sqrt((only_a + only_b - gap**2) / n)
    return float((gap > 1.96 * error).mean())
