"""Tinytown's labels as questions to a representation: tags, sentiment, order, similarity.

The labels are the choices that made the stories, so they are right by construction. Not here: how
an answer is measured (`probe_tasks.py`). Chapter 07 uses this.
"""

from collections.abc import Iterator
from typing import Any

from llmcourse.evaluate.features import Text
from llmcourse.evaluate.probe_tasks import ProbeTask, make_task
from llmcourse.tinytown import stories as tinytown
from llmcourse.tinytown import tasks
from llmcourse.tokenizers.base import Tokenizer

AMBIGUOUS = ("to", "home", "one", "out", "that")
"""The words of tinytown that are of several parts of speech, as in `to the zoo` and `to bring`."""

SEED = 1000
"""Stories that nobody trains on: the chapters train on seed 0."""


def tinytown_probes(
    tokenizer: Tokenizer, n_train: int = 200, n_test: int = 500, seed: int = SEED
) -> dict[str, ProbeTask]:
    """Four tasks by name, each with so many examples to fit on and to be measured on.

    - tagging: which part of speech is this word? Asked of words alone that are not always the same.
    - sentiment: does this sentence, often negated, tell of luck or of bad luck?
    - order: do these two neighbouring sentences stand in their order, or were they swapped?
    - similarity: which of two retellings is of the same story, which has one fact changed? Nothing
      is fitted: the nearer one by the cosine is the answer.
    """
    n_stories = 8 * (n_train + n_test)

    def ids(text: str) -> Text:
        return tuple(tokenizer.encode(text))

    def tagging() -> Iterator[tuple[Any, str]]:
        for story in tinytown.stories(n_stories, seed):
            for sentence in story.sentences:
                unclear = [t for t in sentence.tokens if t.text.lower() in AMBIGUOUS]
                for token in unclear[:1]:
                    yield word_span(tokenizer, sentence.text, token.start, token.end), token.tag

    def sentiment() -> Iterator[tuple[Any, int]]:
        for text, label in tasks.sentiment_sentences(n_stories, seed):
            yield ids(text), label

    def order() -> Iterator[tuple[Any, bool]]:
        for pair in tasks.sentence_order_pairs(n_stories, seed):
            yield (ids(pair.first), ids(" " + pair.second)), pair.label

    def similarity() -> Iterator[tuple[Any, bool]]:
        for number, triple in enumerate(tasks.paraphrase_triples(n_test + 2, seed)):
            text, same, near_miss = map(ids, triple)
            first = number % 2 == 0
            yield (text, same, near_miss) if first else (text, near_miss, same), first

    sizes = {"n_train": n_train, "n_test": n_test}
    return {
        "tagging": make_task("tagging", "word", tagging(), **sizes),
        "sentiment": make_task("sentiment", "text", sentiment(), **sizes),
        "order": make_task("order", "pair", order(), **sizes),
        "similarity": make_task("similarity", "triple", similarity(), n_train=2, n_test=n_test),
    }


def word_span(tokenizer: Tokenizer, text: str, start: int, end: int) -> tuple[Text, int, int]:
    """The ids of a text, and which of them make up the characters from `start` to before `end`.

    A token belongs to the word with whose characters it shares a byte.
    """
    ids = tuple(tokenizer.encode(text))
    first, last = (len(text[:place].encode()) for place in (start, end))
    at, inside = 0, []
    for place, token_id in enumerate(ids):
        size = len(tokenizer.token_bytes(token_id))
        if at < last and at + size > first:
            inside.append(place)
        at += size
    return ids, inside[0], inside[-1] + 1
