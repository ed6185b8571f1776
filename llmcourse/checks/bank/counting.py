"""The exercises on counting: perplexity, smoothed rows, continuations, Kneser-Ney, and a leak.

Not here: the exercises on recurrent networks (`recurrence.py`), their texts (`solutions/`), and how
checking works (`harness.py`). Chapter 02 teaches this.
"""

import math
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmcourse.checks.harness import Case, case, exercise
from llmcourse.evaluate.perplexity import Score

CHAPTER = "02"


# 1. Perplexity


@exercise(CHAPTER)
def perplexity(probabilities: Float[Tensor, " T"]) -> float:
    """`exp` of the mean surprise of words that got these probabilities."""
    nats = -probabilities.double().log().sum().item()
    return Score(nats=nats, tokens=len(probabilities), bytes=1).perplexity


@perplexity.cases
def _() -> Iterator[Case]:
    yield case("by hand", torch.tensor([0.5, 0.25, 0.125]))
    yield case("one word", torch.tensor([0.2]))
    yield case("never surprised", torch.ones(4))
    yield case("a long text", torch.full((400,), 0.01))
    yield case("good and bad guesses", torch.tensor([0.9, 0.8, 0.001, 0.5]))
    yield case("an impossible word", torch.tensor([0.5, 0.0, 0.5]))


@perplexity.mistake(
    "the mean of 1/p",
    hint="Surprises are averaged, and a surprise is a logarithm. You averaged before taking it.",
)
def _(probabilities):
    return (1 / probabilities).mean().item()


@perplexity.mistake(
    "one over the mean probability",
    hint="A mean of probabilities hardly notices one terrible guess. Average the logarithms.",
)
def _(probabilities):
    return 1 / probabilities.mean().item()


@perplexity.mistake(
    "the loss itself",
    hint="That is the mean surprise in nats. Perplexity is its exponential.",
)
def _(probabilities):
    return -probabilities.log().mean().item()


@perplexity.mistake(
    "the product underflows",
    hint="Right on paper. But the product of 400 small numbers is 0 in any float: add logarithms.",
)
def _(probabilities):
    product = probabilities.prod().item()
    return product ** (-1 / len(probabilities)) if product else math.inf


@perplexity.mistake(
    "bits in, nats out",
    hint="The base of the logarithm and of the power have to be the same: log with exp, or log2 "
    "with 2 to the power of.",
)
def _(probabilities):
    return probabilities.log2().mean().neg().exp().item()


@perplexity.mistake(
    "the impossible word is left out",
    hint="A word that got the probability 0 is the model's worst mistake: it makes the perplexity "
    "infinite. Leaving it out rewards the model for it.",
)
def _(probabilities):
    return probabilities[probabilities > 0].log().mean().neg().exp().item()


# 2. Room for the unseen


@exercise(CHAPTER, axes="V")
def add_k_row(counts: Float[Tensor, " V"], k: float) -> Float[Tensor, " V"]:
    """The probabilities of all words after a context: `(c + k) / (sum of c + k V)`."""
    return (counts + k) / (counts.sum() + k * len(counts))


@add_k_row.cases
def _() -> Iterator[Case]:
    yield case("by hand", torch.tensor([1.0, 1.0, 0.0, 0.0]), 1.0)
    yield case("a small k", torch.tensor([7.0, 0.0, 2.0]), 0.1)
    yield case("a context that was never seen", torch.zeros(5), 0.5)
    yield case("a large vocabulary", torch.eye(100)[3] * 9, 1.0)


@add_k_row.mistake(
    "k is added once below, not V times",
    hint="Each of the V words got k more, so the total grew by k V. Does your row sum to one?",
)
def _(counts, k):
    return (counts + k) / (counts.sum() + k)


@add_k_row.mistake(
    "only seen words get k",
    hint="The unseen words were the reason for adding anything. Add k to every word.",
)
def _(counts, k):
    return (counts + k * (counts > 0)) / (counts.sum() + k * len(counts))


@add_k_row.mistake(
    "k is added below only",
    hint="Now the seen words pay a tax and nobody receives it. Add k above the line, too.",
)
def _(counts, k):
    return counts / (counts.sum() + k * len(counts))


@add_k_row.mistake(
    "V is the number of words seen",
    hint="V is the whole vocabulary: the words that never followed this context count as well.",
)
def _(counts, k):
    return (counts + k) / (counts.sum() + k * (counts > 0).sum())


# 3. Find the leak


@exercise(CHAPTER)
def hold_out(documents: list[str]) -> tuple[list[str], list[str]]:
    """Training and test documents: every tenth is for the test, and no copy of one for training."""
    test = documents[::10]
    return [document for document in documents if document not in test], test


@hold_out.cases
def _() -> Iterator[Case]:
    yield case("no copies", [f"story {number}" for number in range(21)])
    yield case("a copy of a test story", ["a", "b", "a", *"cdefghijk"])
    twins = ["x", "y", "y", "z", "x", *"abcdefg", "z"]
    yield case("copies on both sides", twins)
    yield case("a test story twice in the test", ["t", *"abcdefghi", "t", "b"])
    yield case("fewer than ten", ["a", "b"])


@hold_out.mistake(
    "the colleague's split",
    hint="Look at the story that stands in the collection twice: one copy is learned, the other "
    "is asked. By which test is a document kept out of training: by its place, or by its text?",
)
def _(documents):
    return [d for i, d in enumerate(documents) if i % 10], documents[::10]


@hold_out.mistake(
    "test documents are also trained on",
    hint="The test is right, but every test document is still among the training documents.",
)
def _(documents):
    return list(documents), documents[::10]


@hold_out.mistake(
    "copies are removed from the test",
    hint="No leak, but you changed the test, and its easiest-to-copy documents are gone. Keep "
    "every tenth document, and remove copies from training.",
)
def _(documents):
    train = [d for i, d in enumerate(documents) if i % 10]
    return train, [d for d in documents[::10] if d not in train]


@hold_out.mistake(
    "training documents thrown into a set",
    hint="A set forgets the order, and how often each document occurs. Keep the training "
    "documents as they come.",
)
def _(documents):
    test = documents[::10]
    return sorted({d for d in documents if d not in test}), test


# 4. After how many different words?


@exercise(CHAPTER)
def continuation_counts(words: list[str]) -> dict[str, int]:
    """For each word that stands after another: after how many different words it does."""
    return dict(Counter(after for _, after in set(pairwise(words))))


@continuation_counts.cases
def _() -> Iterator[Case]:
    yield case("by hand", list("abacab"))
    yield case("San Francisco", [*["and", "San", "Francisco"] * 3, "or"])
    yield case("doubled words", ["very", "very", "very", "good"])
    yield case("one word", ["alone"])
    yield case("a longer text", list("the dog saw the cat and the cat saw a dog"))


@continuation_counts.mistake(
    "how often, not after how many",
    hint="San Francisco three times is *one* word before Francisco, seen three times.",
)
def _(words):
    return dict(Counter(words[1:]))


@continuation_counts.mistake(
    "the words after, not the words before",
    hint="You counted how many different words follow each word. The question is what it can "
    "follow.",
)
def _(words):
    return dict(Counter(before for before, _ in set(pairwise(words))))


@continuation_counts.mistake(
    "a word does not follow itself",
    hint="In 'very very good', 'very' does stand after 'very'. It counts like any other word.",
)
def _(words):
    pairs = {(a, b) for a, b in pairwise(words) if a != b}
    return dict(Counter(after for _, after in pairs))


@continuation_counts.mistake(
    "the first word gets an entry of 0",
    hint="A word that stands after nothing has no entry at all. Look at the list that has one "
    "word.",
)
def _(words):
    pairs = set(pairwise(words))
    return {word: sum(after == word for _, after in pairs) for word in words}


# 8. Kneser-Ney


@exercise(CHAPTER, axes="V")
def kneser_ney_row(pairs: Int[Tensor, "V V"], before: int, d: float) -> Float[Tensor, " V"]:
    """`max(c(h w) - d, 0) / c(h) + d N(h) / c(h) p(w)`, and `p(w)` from continuations.

    `pairs[h, w]` says how often w followed h; where nothing did, `p(w)` alone answers. Kneser and
    Ney, 1995, interpolated.
    """
    continuation = (pairs > 0).sum(0) / (pairs > 0).sum()
    row = pairs[before]
    if not row.any():
        return continuation
    rest = d * (row > 0).sum() / row.sum()
    return (row - d).clamp(min=0) / row.sum() + rest * continuation


@kneser_ney_row.cases
def _() -> Iterator[Case]:
    yield case("by hand", torch.tensor([[0, 3, 1], [2, 0, 0], [1, 0, 0]]), 0, 0.5)
    trap = torch.tensor([[0, 3, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1], [1, 0, 0, 2]])
    yield case("San Francisco", trap, 0, 0.75)
    yield case("after an unknown word", trap, 1, 0.75)
    many = torch.randint(0, 3, (6, 6))
    yield case("a table of noise", many, 2, 0.75)
    yield case("no discount", torch.tensor([[2, 1], [1, 0]]), 0, 0.0)


@kneser_ney_row.mistake(
    "the shorter context counts how often",
    hint="That is absolute discounting: it bets on Francisco after any unknown word. For p(w), "
    "count in how many *rows* of the table the word's column is not 0.",
)
def _(pairs, before, d):
    return _mixed(pairs, before, d, pairs.sum(0) / pairs.sum())


@kneser_ney_row.mistake(
    "continuations along the wrong axis",
    hint="Row h, column w. You counted the different words that *follow* each word.",
)
def _(pairs, before, d):
    return _mixed(pairs, before, d, (pairs > 0).sum(1) / (pairs > 0).sum())


@kneser_ney_row.mistake(
    "what was discounted is given to nobody",
    hint="Your row sums to less than one. N(h) words paid d each: hand that on.",
)
def _(pairs, before, d):
    row = pairs[before]
    whole = (pairs > 0).sum(0) / (pairs > 0).sum()
    return (row - d).clamp(min=0) / row.sum() if row.any() else whole


@kneser_ney_row.mistake(
    "the unseen words pay, too",
    hint="A count of 0 less d is negative. Nobody can pay who has nothing: clamp at 0.",
)
def _(pairs, before, d):
    whole = (pairs > 0).sum(0) / (pairs > 0).sum()
    row = pairs[before]
    if not row.any():
        return whole
    return (row - d) / row.sum() + d * (row > 0).sum() / row.sum() * whole


@kneser_ney_row.mistake(
    "the rest is d, whatever the context",
    hint="What was collected depends on the context: d from each of its N(h) different words, out "
    "of c(h). Does your row sum to one?",
)
def _(pairs, before, d):
    row = pairs[before]
    whole = (pairs > 0).sum(0) / (pairs > 0).sum()
    return (row - d).clamp(min=0) / row.sum() + d * whole if row.any() else whole


@kneser_ney_row.mistake(
    "an unknown context divides by zero",
    hint="Nothing ever followed this word, so c(h) is 0. Then there is only the shorter context "
    "to ask: return p(w).",
)
def _(pairs, before, d):
    row = pairs[before]
    rest = d * (row > 0).sum() / row.sum()
    whole = (pairs > 0).sum(0) / (pairs > 0).sum()
    return (row - d).clamp(min=0) / row.sum() + rest * whole


def _mixed(pairs: Tensor, before: int, d: float, shorter: Tensor) -> Tensor:
    """The right mixture with a given distribution of single words."""
    row = pairs[before]
    if not row.any():
        return shorter
    return (row - d).clamp(min=0) / row.sum() + d * (row > 0).sum() / row.sum() * shorter
