"""The exercise on writing: one token after another, each the likeliest after all before it.

Not here: the other exercises of its chapter (`welcome.py`), its text (`solutions/`), and how
checking works (`harness.py`). Chapter 00 teaches this.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from llmcourse.checks.harness import Case, case, exercise

CHAPTER = "00"

Scores = Callable[[list[int]], Float[Tensor, " V"]]
"""Stands for a model: from the tokens so far to a score for each possible next one."""


def _successor(ids: list[int]) -> Tensor:
    """A toy model: the token after the last one, plus one for each 0 in the text; six tokens."""
    scores = torch.zeros(6)
    scores[(ids[-1] + 1 + ids.count(0)) % 6] = 1.0
    return scores


def _first_letters(ids: list[int]) -> Tensor:
    """A toy model whose choice depends on how long the text is; eight tokens."""
    return torch.cos(torch.arange(8.0) - 3 * len(ids))


def _undecided(ids: list[int]) -> Tensor:
    """A toy model of three tokens, sure only after the last one, which is never the likeliest."""
    return torch.tensor([[0.0, 1.0, 0.98], [0.38, 0.4, 0.2], [5.0, 0.0, 0.0]])[ids[-1]]


@exercise(CHAPTER, strict=True, read="6. What does it write?")
def write(scores: Scores, ids: list[int], n: int) -> list[int]:
    """`ids` and the `n` tokens that follow, each the likeliest one given *all* that is before."""
    text = list(ids)
    for _ in range(n):
        text.append(int(scores(text).argmax()))
    return text


@write.cases
def _() -> Iterator[Case]:
    yield case("by hand", _successor, [2], 3)
    yield case("what is far back still counts", _successor, [0, 1, 3], 4)
    yield case("the length counts", _first_letters, [5, 1], 5)
    yield case("the length counts, for longer", _first_letters, [5, 1], 25)
    yield case("a single step", _successor, [0, 5], 1)
    yield case("a token comes again", _successor, [4, 5, 1], 6)
    yield case("nothing to write", _successor, [4, 1], 0)
    yield case("hardly likelier, and a token twice in a row", _undecided, [2, 0], 6)
    yield case("hardly likelier, and a single step", _undecided, [2, 0], 1)


@write.mistake(
    "only the last token is read",
    hint="A model that sees one token has forgotten the pet's name. Hand it the whole text so far.",
)
def _(scores, ids, n):
    text = list(ids)
    for _ in range(n):
        text.append(int(scores(text[-1:]).argmax()))
    return text


@write.mistake(
    "the new token is never read",
    hint="Each step reads the same beginning, so each says the same. Read what was written, too.",
)
def _(scores, ids, n):
    return list(ids) + [int(scores(list(ids)).argmax()) for _ in range(n)]


@write.mistake(
    "the beginning is lost",
    hint="You return the new tokens alone; a reader would like the beginning, too.",
)
def _(scores, ids, n):
    return write.right(scores, ids, n)[len(ids) :]


@write.mistake(
    "n tokens in all",
    hint="`n` counts the new tokens, not those that were there already.",
)
def _(scores, ids, n):
    return write.right(scores, ids, max(0, n - len(ids)))


@write.mistake(
    "the likeliest score instead of its token",
    hint="`max` says how high the best score is; `argmax` says which token has it.",
)
def _(scores, ids, n):
    text = list(ids)
    for _ in range(n):
        text.append(int(scores(text).max()))
    return text


def _grown(scores: Scores, ids: list[int], n: int, choose: Callable[[list[int]], Any]) -> list[int]:
    """The loop, with another way to choose from the text so far and its scores."""
    text = list(ids)
    for _ in range(n):
        text.append(int(choose(text)))
    return text


@write.mistake(
    "one token, whatever n is",
    hint="You take one step. `n` says how many: each reads what the one before has written.",
)
def _(scores, ids, n):
    return write.right(scores, ids, 1)


@write.mistake(
    "one token too many",
    hint="Count the rounds: with n = 0 there is nothing to write at all.",
)
def _(scores, ids, n):
    return write.right(scores, ids, n + 1)


@write.mistake(
    "the n best at once",
    hint="You asked the model once and took its n favourites. They compete for *one* place: take "
    "the best, put it at the end, and ask again.",
)
def _(scores, ids, n):
    return [*ids, *scores(list(ids)).topk(n).indices.tolist()]


@write.mistake(
    "new tokens go to the front",
    hint="A text grows at its end: what comes next stands last.",
)
def _(scores, ids, n):
    text = list(ids)
    for _ in range(n):
        text.insert(0, int(scores(text).argmax()))
    return text


@write.mistake(
    "the beginning twice",
    hint="Your text began as a copy of `ids` already: do not put `ids` before it again.",
)
def _(scores, ids, n):
    return list(ids) + write.right(scores, ids, n)


@write.mistake(
    "a window as long as the beginning",
    hint="You read only as many tokens as `ids` had. Hand the model everything so far: what is "
    "far back still counts.",
)
def _(scores, ids, n):
    return _grown(scores, ids, n, lambda text: scores(text[-len(ids) :]).argmax())


@write.mistake(
    "the second best",
    hint="You take the runner-up. The likeliest token is the one with the highest score.",
)
def _(scores, ids, n):
    return _grown(scores, ids, n, lambda text: scores(text).topk(2).indices[1])


@write.mistake(
    "the last token is not read",
    hint="You leave out the newest token when you ask. It matters most: read it, too.",
)
def _(scores, ids, n):
    return _grown(scores, ids, n, lambda text: scores(text[:-1] or text).argmax())


@write.mistake(
    "only the last two tokens are read",
    hint="Two tokens are not the text. What is far back counts as well: hand over all of it.",
)
def _(scores, ids, n):
    return _grown(scores, ids, n, lambda text: scores(text[-2:]).argmax())


@write.mistake(
    "read from its end",
    hint="The model reads a text as it stands, first token first. You handed it over backwards.",
)
def _(scores, ids, n):
    return _grown(scores, ids, n, lambda text: scores(text[::-1]).argmax())


@write.mistake(
    "ids that begin at 1",
    hint="The first score belongs to token 0: the place of the highest score *is* the id.",
)
def _(scores, ids, n):
    return _grown(scores, ids, n, lambda text: int(scores(text).argmax()) + 1)


@write.mistake(
    "the oldest token is dropped",
    hint="Your text is a window that moves on: each new token pushed out the first. Keep all.",
)
def _(scores, ids, n):
    text = list(ids)
    for _ in range(n):
        text = [*text[1:], int(scores(text).argmax())]
    return text


@write.mistake(
    "it stops at token 0",
    hint="No token was said to end the text: write exactly n new ones.",
)
def _(scores, ids, n):
    text = list(ids)
    for _ in range(n):
        token = int(scores(text).argmax())
        if token == 0:
            break
        text.append(token)
    return text


@write.mistake(
    "no token twice",
    hint="You pass over tokens that the text has already. A text may say a word again: take the "
    "likeliest, whatever it is.",
)
def _(scores, ids, n):
    def unused(text: list[int]) -> int:
        ranked = scores(text).argsort(descending=True).tolist()
        return next((token for token in ranked if token not in text), ranked[0])

    return _grown(scores, ids, n, unused)


@write.mistake(
    "the model reads the new tokens alone",
    hint="After its first step, your model no longer sees the beginning. Hand it `ids` and what "
    "was written since, together.",
)
def _(scores, ids, n):
    new: list[int] = []
    for _ in range(n):
        new.append(int(scores(new or list(ids)).argmax()))
    return [*ids, *new]


@write.mistake(
    "the last token said again",
    hint="You put the last token at the end once more, and not the one that the model wants.",
)
def _(scores, ids, n):
    return [*ids, *[ids[-1]] * n]


@write.mistake(
    "it stops where a token comes again",
    hint="That the text says a token for the second time is no end. Only `n` says when to stop.",
)
def _(scores, ids, n):
    text = list(ids)
    for _ in range(n):
        token = int(scores(text).argmax())
        if token in text:
            break
        text.append(token)
    return text
