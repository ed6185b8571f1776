"""The exercises on hiding parts of a text: tokens, words, spans, and who may look in which order.

Not here: the exercises on what is asked of pairs and batches (`pretraining.py`), the exercises'
texts (`solutions/`), and how checking works (`harness.py`). Chapter 07 teaches this.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from llmcourse.checks.harness import Case, case, exercise
from llmcourse.models.xlnet import visible
from llmcourse.objectives.base import IGNORE

CHAPTER = "07"


# 1. Hide


@exercise(CHAPTER, axes=("T", "T"), variants=("non-contiguous",))
def hide_tokens(
    tokens: Int[Tensor, " T"],
    chosen: Bool[Tensor, " T"],
    fate: Float[Tensor, " T"],
    noise: Int[Tensor, " T"],
    mask_id: int,
) -> tuple[Int[Tensor, " T"], Int[Tensor, " T"]]:
    """What the model reads, and what it is asked: the chosen tokens by 80/10/10, by their fate."""
    ids = torch.where(chosen & (fate < 0.9), noise, tokens)
    ids = ids.masked_fill(chosen & (fate < 0.8), mask_id)
    return ids, tokens.masked_fill(~chosen, IGNORE)


@hide_tokens.cases
def _() -> Iterator[Case]:
    chosen = torch.tensor([False, True, True, True])
    fate = torch.tensor([0.1, 0.3, 0.85, 0.95])
    yield case("by hand", torch.tensor([5, 6, 7, 8]), chosen, fate, torch.tensor([1, 2, 3, 4]), 9)
    for name, rate in {"a text": 0.4, "nothing chosen": 0.0, "all chosen": 1.0}.items():
        tokens, noise = torch.randint(50, (2, 40))
        yield case(name, tokens, torch.rand(40) < rate, torch.rand(40), noise, 50)


@hide_tokens.mistake(
    "asked for everything",
    hint="Only the chosen tokens are scored. Where nothing was chosen, the target is -100: the "
    "answer stands in plain sight there, and copying it teaches nothing.",
)
def _(tokens, chosen, fate, noise, mask_id):
    return hide_tokens.right(tokens, chosen, fate, noise, mask_id)[0], tokens.clone()


@hide_tokens.mistake(
    "asked for the masked ones alone",
    hint="The random and the unchanged ones are asked for, too: all that is chosen. Else nothing "
    "would make the model remember what it can see.",
)
def _(tokens, chosen, fate, noise, mask_id):
    ids, targets = hide_tokens.right(tokens, chosen, fate, noise, mask_id)
    return ids, targets.masked_fill(ids != mask_id, IGNORE)


@hide_tokens.mistake(
    "everything chosen is masked",
    hint="That is 100/0/0. Below 0.8 of `fate` it is masked, from there to 0.9 it is noise, and "
    "above it stays.",
)
def _(tokens, chosen, fate, noise, mask_id):
    return tokens.masked_fill(chosen, mask_id), tokens.masked_fill(~chosen, IGNORE)


@hide_tokens.mistake(
    "20 % noise and none left as it is",
    hint="From 0.9 on a chosen token stays as it is. Yours becomes noise there, too.",
)
def _(tokens, chosen, fate, noise, mask_id):
    ids = torch.where(chosen, noise, tokens).masked_fill(chosen & (fate < 0.8), mask_id)
    return ids, tokens.masked_fill(~chosen, IGNORE)


@hide_tokens.mistake(
    "fate without choice",
    hint="A token's fate matters only if it was chosen. The others are read as they are.",
)
def _(tokens, chosen, fate, noise, mask_id):
    ids = torch.where(fate < 0.9, noise, tokens).masked_fill(fate < 0.8, mask_id)
    return ids, tokens.masked_fill(~chosen, IGNORE)


@hide_tokens.mistake(
    "the targets are taken from the corrupted text",
    hint="The right answer is what stood there *before*: take targets from `tokens`.",
)
def _(tokens, chosen, fate, noise, mask_id):
    ids = hide_tokens.right(tokens, chosen, fate, noise, mask_id)[0]
    return ids, ids.masked_fill(~chosen, IGNORE)


# 2. Whole words


@exercise(CHAPTER, axes="T", variants=("non-contiguous",))
def choose_words(
    words: Int[Tensor, " T"], draws: Float[Tensor, " T"], rate: float
) -> Bool[Tensor, " T"]:
    """Which tokens to hide, a whole word at a time: word number `w` by the draw `draws[w]`."""
    return draws[words] < rate


@choose_words.cases
def _() -> Iterator[Case]:
    draws = torch.tensor([0.5, 0.1, 0.9, 0.05, 0.7])
    yield case("by hand", torch.tensor([0, 1, 1, 1, 2]), draws, 0.15)
    yield case("one token a word", torch.arange(30), torch.rand(30), 0.3)
    yield case("long words", torch.arange(12).repeat_interleave(4), torch.rand(48), 0.3)
    yield case("all one word", torch.zeros(6, dtype=torch.long), torch.rand(6), 0.5)


@choose_words.mistake(
    "each token by its own draw",
    hint="That hides pieces of words, and the other pieces give them away. All tokens of word w "
    "look at the same draw, number w.",
)
def _(words, draws, rate):
    return draws < rate


@choose_words.mistake(
    "the others are hidden",
    hint="A draw *below* the rate hides. Yours hides 85 % of the words.",
)
def _(words, draws, rate):
    return draws[words] >= rate


@choose_words.mistake(
    "hidden if any of its tokens was drawn",
    hint="A word of four tokens would get four chances. Then long words are hidden more often than "
    "short ones: one draw for each word.",
)
def _(words, draws, rate):
    hit = words[draws < rate]
    return torch.isin(words, hit)


@choose_words.mistake(
    "the first token of each word alone",
    hint="You found the words, and hid where they begin. The rest of the word stays readable.",
)
def _(words, draws, rate):
    begins = torch.ones_like(words, dtype=torch.bool)
    begins[1:] = words[1:] != words[:-1]
    return begins & (draws[words] < rate)


# 4. The masks of an order


@exercise(CHAPTER, axes=("T S", "T S"), variants=("non-contiguous",))
def order_masks(order: Int[Tensor, " T"]) -> tuple[Bool[Tensor, "T T"], Bool[Tensor, "T T"]]:
    """The masks of content and query, where `order[i]` is the position that comes i-th."""
    seen = visible(order.argsort()[None])
    return seen.content[0, 0], seen.query[0, 0]


@order_masks.cases
def _() -> Iterator[Case]:
    yield case("by hand", torch.tensor([2, 0, 1]))
    yield case("left to right", torch.arange(5))
    yield case("right to left", torch.arange(4).flip(0))
    yield case("some order", torch.tensor([3, 1, 5, 0, 4, 2]))
    yield case("a single token", torch.tensor([0]))


def _by_rank(rank: Tensor) -> tuple[Tensor, Tensor]:
    return rank[None, :] <= rank[:, None], rank[None, :] < rank[:, None]


@order_masks.mistake(
    "the order taken for the ranks",
    hint="order[i] says which position comes i-th. You need the opposite: at which place of the "
    "order each position comes. `argsort` turns the one into the other.",
)
def _(order):
    return _by_rank(order)


@order_masks.mistake(
    "both masks have a diagonal",
    hint="A query that sees its own content can copy its answer. For the query it is *earlier*, "
    "for the content *earlier or itself*.",
)
def _(order):
    content = _by_rank(order.argsort())[0]
    return content, content.clone()


@order_masks.mistake(
    "rows and columns changed places",
    hint="Row t belongs to the position that asks, column s to the one that is looked at. Yours "
    "look at what comes later.",
)
def _(order):
    content, query = _by_rank(order.argsort())
    return content.mT, query.mT


@order_masks.mistake(
    "query first, content second",
    hint="Return the content's mask first: the one with a diagonal.",
)
def _(order):
    return _by_rank(order.argsort())[::-1]


@order_masks.mistake(
    "the rows stand in the order of prediction",
    hint="Row t is position t of the *text*, wherever it comes in the order. The text is never "
    "shuffled; only who may look at whom changes.",
)
def _(order):
    rank = order.argsort()
    return (
        rank[None, :] <= torch.arange(len(order))[:, None],
        rank[None, :] < torch.arange(len(order))[:, None],
    )


# 5. Cut spans out


@exercise(CHAPTER)
def cut_spans(
    tokens: list[int], hidden: list[bool], first_sentinel: int
) -> tuple[list[int], list[int]]:
    """T5's source and target: one sentinel for each run of hidden tokens, and a last one."""
    source: list[int] = []
    target: list[int] = []
    sentinel, before = first_sentinel, False
    for token, gone in zip(tokens, hidden, strict=True):
        if gone and not before:
            source.append(sentinel)
            target.append(sentinel)
            sentinel += 1
        (target if gone else source).append(token)
        before = gone
    return source, [*target, sentinel]


@cut_spans.cases
def _() -> Iterator[Case]:
    yield case("by hand", [1, 2, 3, 4, 5, 6], [False, True, True, False, True, False], 100)
    yield case("at both ends", [7, 8, 9, 7], [True, False, False, True], 50)
    yield case("nothing hidden", [1, 2, 3], [False] * 3, 10)
    yield case("all hidden", [1, 2, 3], [True] * 3, 10)
    yield case("every second one", list(range(8)), [True, False] * 4, 20)


def _cut(tokens, hidden, first, *, step=1, each=False, marked=True, last=True):
    source, target, sentinel, before = [], [], first, False
    for token, gone in zip(tokens, hidden, strict=True):
        if gone and (each or not before):
            source.append(sentinel)
            if marked:
                target.append(sentinel)
            sentinel += step
        (target if gone else source).append(token)
        before = gone
    return source, [*target, sentinel] if last else target


@cut_spans.mistake(
    "a sentinel for each hidden token",
    hint="A run of hidden tokens shares one sentinel: the model shall find out how long it was.",
)
def _(tokens, hidden, first_sentinel):
    return _cut(tokens, hidden, first_sentinel, each=True)


@cut_spans.mistake(
    "the same sentinel everywhere",
    hint="Count up: the second gap has the second sentinel. Else nobody knows which piece belongs "
    "where.",
)
def _(tokens, hidden, first_sentinel):
    return _cut(tokens, hidden, first_sentinel, step=0)


@cut_spans.mistake(
    "no last sentinel",
    hint="The target ends with one sentinel more. It says: here the last piece is complete.",
)
def _(tokens, hidden, first_sentinel):
    return _cut(tokens, hidden, first_sentinel, last=False)


@cut_spans.mistake(
    "the pieces without their sentinels",
    hint="In the target each piece stands *behind* the sentinel of its gap.",
)
def _(tokens, hidden, first_sentinel):
    return _cut(tokens, hidden, first_sentinel, marked=False)


@cut_spans.mistake(
    "target first, source second",
    hint="Return what is read first, then what is to be written.",
)
def _(tokens, hidden, first_sentinel):
    return _cut(tokens, hidden, first_sentinel)[::-1]
