"""The exercises on hiding parts of a text: tokens, words, and who may look in which order.

Not here: the exercise on spans (`denoising.py`), those on what is asked of pairs and batches
(`pretraining.py`), the exercises' texts (`solutions/`), and how checking works (`harness.py`).
Chapter 07 teaches this.
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


@exercise(
    CHAPTER,
    axes=("T", "T"),
    variants=("non-contiguous",),
    strict=False,
    read="3. MLM: what was hidden?",
)
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
    # In float64, where 0.8 and 0.9 are the numbers of the text in every style of comparing.
    fates = torch.tensor([0.8, 0.9, 0.0, 0.5, 0.95], dtype=torch.float64)
    border = torch.tensor([True, True, True, False, False])
    lucky = (
        torch.tensor([5, 6, 7]),
        torch.ones(3, dtype=torch.bool),
        torch.tensor([0.85, 0.1, 0.95]),
    )
    yield case("noise that is right by chance", *lucky, torch.tensor([5, 9, 9]), 99)
    fates_of_noise = torch.tensor([0.85, 0.1, 0.85])
    zeros = torch.tensor([0, 0, 4])
    yield case("noise of token 0", torch.arange(5, 8), border[:3], fates_of_noise, zeros, 99)
    yield case("fates at the borders", torch.arange(5), border, fates, torch.arange(10, 15), 99)
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
    "the noise first, then the mask",
    hint="The fates go in the order of the text: the mask up to 0.8, then the noise up to 0.9.",
)
def _(tokens, chosen, fate, noise, mask_id):
    ids = tokens.masked_fill(chosen & (fate < 0.9), mask_id)
    return torch.where(chosen & (fate < 0.1), noise, ids), tokens.masked_fill(~chosen, IGNORE)


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


@hide_tokens.mistake(
    "noise written over the masks",
    hint="A fate below 0.8 is also below 0.9. Noise is for those from 0.8 on; or write the masks "
    "last.",
)
def _(tokens, chosen, fate, noise, mask_id):
    ids = tokens.masked_fill(chosen & (fate < 0.8), mask_id)
    return torch.where(chosen & (fate < 0.9), noise, ids), tokens.masked_fill(~chosen, IGNORE)


@hide_tokens.mistake(
    "noise and the unchanged ones exchanged",
    hint="From 0.8 to below 0.9 it is noise; from 0.9 on a token stays as it is.",
)
def _(tokens, chosen, fate, noise, mask_id):
    ids = torch.where(chosen & (fate >= 0.9), noise, tokens)
    return ids.masked_fill(chosen & (fate < 0.8), mask_id), tokens.masked_fill(~chosen, IGNORE)


@hide_tokens.mistake(
    "asked where nothing was chosen",
    hint="The targets are the wrong way round: -100 belongs where `chosen` is False.",
)
def _(tokens, chosen, fate, noise, mask_id):
    ids = hide_tokens.right(tokens, chosen, fate, noise, mask_id)[0]
    return ids, tokens.masked_fill(chosen, IGNORE)


@hide_tokens.mistake(
    "what stays as it is is not asked",
    hint="A chosen token that stays is asked, too: that is why the model has to keep in mind what "
    "it sees.",
)
def _(tokens, chosen, fate, noise, mask_id):
    ids = hide_tokens.right(tokens, chosen, fate, noise, mask_id)[0]
    return ids, tokens.masked_fill(~(chosen & (fate < 0.9)), IGNORE)


@hide_tokens.mistake(
    "noise is not asked",
    hint="A chosen token that became noise is asked, too: the model has to find out that it is "
    "wrong, and what belongs there.",
)
def _(tokens, chosen, fate, noise, mask_id):
    ids = hide_tokens.right(tokens, chosen, fate, noise, mask_id)[0]
    noisy = chosen & (fate >= 0.8) & (fate < 0.9)
    return ids, tokens.masked_fill(~chosen | noisy, IGNORE)


@hide_tokens.mistake(
    "asked only where something changed",
    hint="You compare what is read with what was there. But a chosen token that stays is asked as "
    "well, and noise may happen to be the right token.",
)
def _(tokens, chosen, fate, noise, mask_id):
    ids = hide_tokens.right(tokens, chosen, fate, noise, mask_id)[0]
    return ids, tokens.masked_fill(ids == tokens, IGNORE)


@hide_tokens.mistake(
    "0 where nothing is asked",
    hint="0 is a token like any other. What is not scored has the target -100.",
)
def _(tokens, chosen, fate, noise, mask_id):
    ids = hide_tokens.right(tokens, chosen, fate, noise, mask_id)[0]
    return ids, tokens * chosen


@hide_tokens.mistake(
    "the first of the noise instead of the noise of the place",
    hint="`noise` has a token for *each place*. A noisy token takes the one at its own place: "
    "index both with the same mask.",
)
def _(tokens, chosen, fate, noise, mask_id):
    ids, targets = hide_tokens.right(tokens, chosen, fate, noise, mask_id)
    noisy = chosen & (fate >= 0.8) & (fate < 0.9)
    ids = ids.clone()
    ids[noisy] = noise[: int(noisy.sum())]
    return ids, targets


@hide_tokens.mistake(
    "targets first",
    hint="Return what is read first, then what is asked.",
)
def _(tokens, chosen, fate, noise, mask_id):
    return hide_tokens.right(tokens, chosen, fate, noise, mask_id)[::-1]


@hide_tokens.mistake(
    "the masked ones alone are changed, and noise is dropped",
    hint="80 % are masked: right. A tenth more becomes noise, and yours leaves it readable.",
)
def _(tokens, chosen, fate, noise, mask_id):
    ids = tokens.masked_fill(chosen & (fate < 0.8), mask_id)
    return ids, tokens.masked_fill(~chosen, IGNORE)


@hide_tokens.mistake(
    "masked up to 0.9, and noise from there on",
    hint="There are two borders, 0.8 and 0.9, and three groups: masked, noise, as it was.",
)
def _(tokens, chosen, fate, noise, mask_id):
    ids = torch.where(chosen & (fate >= 0.9), noise, tokens)
    return ids.masked_fill(chosen & (fate < 0.9), mask_id), tokens.masked_fill(~chosen, IGNORE)


@hide_tokens.mistake(
    "noise below 0.1, the mask from 0.2 on",
    hint="The shares are right, the order of the fates is not: the mask is *below* 0.8.",
)
def _(tokens, chosen, fate, noise, mask_id):
    ids = torch.where(chosen & (fate < 0.1), noise, tokens)
    return ids.masked_fill(chosen & (fate >= 0.2), mask_id), tokens.masked_fill(~chosen, IGNORE)


@hide_tokens.mistake(
    "only the chosen ones are returned as targets",
    hint="A target for *each* place: -100 where nothing is asked, so that both rows stay aligned.",
)
def _(tokens, chosen, fate, noise, mask_id):
    return hide_tokens.right(tokens, chosen, fate, noise, mask_id)[0], tokens[chosen]


@hide_tokens.mistake(
    "the mask where nothing is asked",
    hint="`mask_id` belongs into what is *read*. What is not scored has the target -100.",
)
def _(tokens, chosen, fate, noise, mask_id):
    ids = hide_tokens.right(tokens, chosen, fate, noise, mask_id)[0]
    return ids, tokens.masked_fill(~chosen, mask_id)


@hide_tokens.mistake(
    "the others are hidden",
    hint="You mask and noise what was *not* chosen. `chosen` is True where something may happen.",
)
def _(tokens, chosen, fate, noise, mask_id):
    ids = hide_tokens.right(tokens, ~chosen, fate, noise, mask_id)[0]
    return ids, tokens.masked_fill(~chosen, IGNORE)


@hide_tokens.mistake(
    "-1 where nothing is asked",
    hint="The number that PyTorch's loss skips is -100.",
)
def _(tokens, chosen, fate, noise, mask_id):
    ids = hide_tokens.right(tokens, chosen, fate, noise, mask_id)[0]
    return ids, tokens.masked_fill(~chosen, -1)


# 2. Whole words


@exercise(
    CHAPTER, axes="T", variants=("non-contiguous",), strict=False, read="3. MLM: what was hidden?"
)
def choose_words(
    words: Int[Tensor, " T"], draws: Float[Tensor, " W"], rate: float
) -> Bool[Tensor, " T"]:
    """Which tokens to hide, a whole word at a time: word number `w` by the draw `draws[w]`."""
    return draws[words] < rate


@choose_words.cases
def _() -> Iterator[Case]:
    draws = torch.tensor([0.5, 0.1, 0.9, 0.05, 0.7])
    yield case("by hand", torch.tensor([0, 1, 1, 1, 2]), draws, 0.15)
    yield case("one token a word", torch.arange(30), torch.rand(30), 0.3)
    yield case("long words", torch.arange(12).repeat_interleave(4), torch.rand(48), 0.3)
    yield case(
        "a draw at the rate", torch.tensor([0, 0, 1, 2]), torch.tensor([0.25, 0.5, 0.1]), 0.25
    )
    yield case("a window that begins later", torch.tensor([1, 1, 3, 4]), draws, 0.15)
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


@choose_words.mistake(
    "the draw of a word's first place",
    hint="Word number w looks at `draws[w]`. You took the draw at the *place* where the word "
    "begins: the two agree only while every word has one token.",
)
def _(words, draws, rate):
    begins = torch.searchsorted(words.contiguous(), words.contiguous())
    return draws[begins] < rate


@choose_words.mistake(
    "the numbers of the words, not the tokens",
    hint="You found which *words* are hidden. Asked is one yes or no for each token.",
)
def _(words, draws, rate):
    return draws[: int(words.max()) + 1] < rate


@choose_words.mistake(
    "the draws themselves",
    hint="Each token has its word's draw: right. Compare it with `rate`.",
)
def _(words, draws, rate):
    return draws[words]


@choose_words.mistake(
    "a share of the words instead of a draw for each",
    hint="You hide the first words until the rate is reached. Each word's own draw decides.",
)
def _(words, draws, rate):
    return words < rate * (int(words.max()) + 1)


@choose_words.mistake(
    "hidden only if all of its tokens were drawn",
    hint="A word of four tokens would have to be lucky four times. A word has one draw.",
)
def _(words, draws, rate):
    spared = words[draws[: len(words)] >= rate]
    return ~torch.isin(words, spared)


@choose_words.mistake(
    "where the hidden tokens stand",
    hint="You return their places. Asked is a yes or no for *each* token.",
)
def _(words, draws, rate):
    return torch.nonzero(draws[words] < rate).flatten()


@choose_words.mistake(
    "the hidden tokens' words",
    hint="You return the numbers of hidden words. Asked is a yes or no for *each* token.",
)
def _(words, draws, rate):
    return words[draws[words] < rate]


@choose_words.mistake(
    "words counted from 1",
    hint="Word number 0 has `draws[0]`: no `words - 1`.",
)
def _(words, draws, rate):
    return draws[words - 1] < rate


@choose_words.mistake(
    "all but the first token of each word",
    hint="The first piece gives the word away as well: hide *all* of its tokens.",
)
def _(words, draws, rate):
    begins = torch.ones_like(words, dtype=torch.bool)
    begins[1:] = words[1:] != words[:-1]
    return ~begins & (draws[words] < rate)


# 4. The masks of an order


@exercise(
    CHAPTER,
    axes=("T S", "T S"),
    variants=("non-contiguous",),
    read="5. PLM: and in any other order?",
)
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


def _both(order: Tensor) -> tuple[Tensor, Tensor]:
    return _by_rank(order.argsort())


@order_masks.mistake(
    "left to right, whatever the order",
    hint="That is the causal mask. Who is earlier is now a matter of `order`, not of the place in "
    "the text.",
)
def _(order):
    return _by_rank(torch.arange(len(order)))


@order_masks.mistake(
    "neither mask has a diagonal",
    hint="The content of a position may read its own token: for it *earlier or itself*.",
)
def _(order):
    query = _both(order)[1]
    return query, query.clone()


@order_masks.mistake(
    "the query sees everybody but itself",
    hint="That is right for the last of the order alone. The others may look only at what comes "
    "before them.",
)
def _(order):
    return _both(order)[0], ~torch.eye(len(order), dtype=torch.bool)


@order_masks.mistake(
    "the content sees everything",
    hint="The content stream has an order, too. Whoever looks at a content that has read the "
    "answer could read it there.",
)
def _(order):
    return torch.ones(len(order), len(order), dtype=torch.bool), _both(order)[1]


@order_masks.mistake(
    "the first of the order may look at itself",
    hint="An empty row is right for the query that comes first: it predicts from nothing.",
)
def _(order):
    content, query = (mask.clone() for mask in _both(order))
    query[order[0], order[0]] = True
    return content, query


@order_masks.mistake(
    "only the one just before",
    hint="*All* that come earlier may be looked at, not the neighbour in the order alone.",
)
def _(order):
    rank = order.argsort()
    before = rank[None, :] == rank[:, None] - 1
    return before | torch.eye(len(order), dtype=torch.bool), before


@order_masks.mistake(
    "True where it must not look",
    hint="Both masks are inverted: True means *may look*.",
)
def _(order):
    content, query = _both(order)
    return ~content, ~query


@order_masks.mistake(
    "the columns stand in the order of prediction",
    hint="Column s is position s of the *text*. Yours is the one that comes s-th.",
)
def _(order):
    content, query = _both(order)
    return content[:, order], query[:, order]


@order_masks.mistake(
    "numbers to add, 0 and minus infinity",
    hint="Those are the masks that some libraries add to the scores. Asked are yes and no: True "
    "where row t may look.",
)
def _(order):
    made = (torch.zeros(m.shape).masked_fill(~m, -torch.inf) for m in _both(order))
    return tuple(made)


@order_masks.mistake(
    "rows of the triangle, picked by the order",
    hint="You moved the rows of a causal mask, and left the columns where they were. Both who asks "
    "and who is looked at have a place in the order.",
)
def _(order):
    lower = torch.ones(len(order), len(order), dtype=torch.bool).tril()
    return lower[order], lower.tril(-1)[order]


@order_masks.mistake(
    "columns of the triangle, picked by the order",
    hint="You moved the columns of a causal mask, and left the rows where they were. Both who asks "
    "and who is looked at have a place in the order.",
)
def _(order):
    lower = torch.ones(len(order), len(order), dtype=torch.bool).tril()
    return lower[:, order], lower.tril(-1)[:, order]


@order_masks.mistake(
    "the content goes from left to right",
    hint="The query is right. The content follows the same order, and adds itself.",
)
def _(order):
    query = _both(order)[1]
    return torch.ones_like(query).tril(), query


@order_masks.mistake(
    "earlier in the order and in the text",
    hint="Where in the text a position stands does not matter: it may look to the right, at what "
    "came earlier in the *order*.",
)
def _(order):
    lower = torch.ones(len(order), len(order), dtype=torch.bool).tril()
    content, query = _both(order)
    return content & lower, query & lower
