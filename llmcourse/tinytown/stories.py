"""Tinytown: a small world with its own grammar, where the probability of every story is known.

A child, a pet, some weather, an errand, and something that happens on the way. The stories are
plain English, follow their own causes and effects, and come with every label that the course needs.
And since the grammar is unambiguous, a model's loss on them can be shown beside the entropy, which
no model can beat. This is the front door; behind it:

- `tinytown.labels`: `Story`, with its tags, entities, pronouns and sentiment,
- `tinytown.tasks`: paraphrases, questions, instructions, preferences, sentence pairs,
- `tinytown.numbers`: numbers in English and Chinese,
- `tinytown.plot`, `tinytown.lexicon`: what happens, and the words for it,
- `tinytown.grammar`, `tinytown.entropy`: the machinery, for any such grammar.

Every chapter uses it, from 00 on.
"""

import functools
import math
from collections.abc import Iterator

from llmcourse.errors import UserError
from llmcourse.randomness import python_rng
from llmcourse.tinytown.entropy import chunks, expected
from llmcourse.tinytown.entropy import entropy as grammar_entropy
from llmcourse.tinytown.grammar import Parser, Sampler
from llmcourse.tinytown.labels import Story
from llmcourse.tinytown.plot import GRAMMAR
from llmcourse.tokenizers.base import Tokenizer

_PARSER = Parser(GRAMMAR)


def stories(n: int, seed: int = 0) -> Iterator[Story]:
    """`n` stories; the same seed gives the same stories, on every machine, in the same order."""
    sampler = Sampler(GRAMMAR, python_rng(seed, "tinytown"))
    for _ in range(n):
        derivation = sampler.draw()
        yield Story(derivation.choices, derivation.facts)


def parse(text: str) -> Story | None:
    """The story that a text tells, with all its labels; None where tinytown has no such story."""
    derivations = _PARSER.derivations(text)
    assert len(derivations) <= 1, "the grammar is ambiguous"
    return Story(derivations[0].choices, derivations[0].facts) if derivations else None


def log_probability(text: str) -> float:
    r"""The exact $\log p$ of a whole story, in nats; $-\infty$ for a text that is not one.

    It includes the decision to stop after the last sentence.
    """
    derivations = _PARSER.derivations(text)
    assert len(derivations) <= 1, "the grammar is ambiguous"
    return derivations[0].log_probability if derivations else -math.inf


@functools.cache
def entropy() -> float:
    r"""The exact entropy $E[-\log p]$ of a story, in nats: the loss that no model can beat."""
    return grammar_entropy(GRAMMAR)


@functools.cache
def expected_bytes() -> float:
    """The exact expected length of a story in bytes (it is ASCII), without the end of text."""
    return expected(GRAMMAR, len)


def entropy_bits_per_byte() -> float:
    """The entropy in bits for each byte of text: the unit in which all tokenizers compare.

    The end of text is paid for (its choice is part of the entropy) but has no bytes.
    """
    return entropy() / math.log(2) / expected_bytes()


def entropy_per_token(tokenizer: Tokenizer) -> float:
    """The entropy in nats for each token, counting one end-of-text token a story.

    Exact for a tokenizer that never joins two words into one token.

    Raises:
        UserError: the tokenizer joins words, or encodes a word by what stands beside it.
    """
    for story in stories(20):
        if sum(len(tokenizer.encode(chunk)) for chunk in chunks(story.text)) != len(
            tokenizer.encode(story.text)
        ):
            raise UserError(
                "this tokenizer's tokens cross words, so its expected count has no exact sum: "
                "use entropy_bits_per_byte() instead"
            )
    return entropy() / (1 + expected(GRAMMAR, lambda chunk: len(tokenizer.encode(chunk))))
