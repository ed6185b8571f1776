"""The exercises on attention: from scores to a causal mask.

Masks are True where a query may look. Shapes are given in the letters of `shapes.py`. Not here:
many heads (`heads.py`), attention that never holds the whole matrix (`online_attention.py`), the
exercises' texts (`solutions/`), and how checking works (`harness.py`). Chapter 03 teaches this.
"""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from llmcourse.checks.harness import DEFAULT_VARIANTS, Case, case, exercise
from llmcourse.nn import attention as reference
from llmcourse.nn import masks

CHAPTER = "03"
WITH_GRADIENTS = (*DEFAULT_VARIANTS, "gradients")
SHARE = 1e-4
"""How far off a weight may be: by the logarithm of a sum, scores of 1000 lose so many digits."""


# 1. Scores


@exercise(
    CHAPTER,
    axes="B T S",
    variants=WITH_GRADIENTS,
    read="3. Why divide by the square root of K?",
)
def attention_scores(
    q: Float[Tensor, "B T K"], k: Float[Tensor, "B S K"]
) -> Float[Tensor, "B T S"]:
    """How well each query matches each key: `q k^T / sqrt(K)`."""
    return q @ k.mT / math.sqrt(q.size(-1))


@attention_scores.cases
def _() -> Iterator[Case]:
    q = torch.tensor([[[2.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]]])
    k = torch.tensor([[[2.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 2.0], [1.0, 0.0, 0.0, 0.0]]])
    yield case("by hand", q[:, :1], k[:, :1])
    yield case("two queries, three keys", q, k)
    yield case("three sentences", torch.randn(3, 5, 8), torch.randn(3, 7, 8))
    yield case("one token", torch.randn(1, 1, 3), torch.randn(1, 1, 3))
    yield case("as many tokens as the head is wide", torch.randn(2, 6, 6), torch.randn(2, 6, 6))


@attention_scores.mistake(
    "`** 1/2` divides last",
    hint="Python reads `K ** 1/2` as `(K ** 1) / 2`. Write `K ** 0.5`, or use brackets.",
)
def _(q, k):
    return q @ k.mT / q.size(-1) ** 1 / 2


@attention_scores.mistake(
    "the example's root, written in",
    hint="2 is the root of K in the example by hand. Take the width from `q`, whatever it is.",
)
def _(q, k):
    return q @ k.mT / 2


@attention_scores.mistake(
    "softmax already",
    hint="Your rows sum to 1. Only the scores are asked for here; softmax is the next exercise.",
)
def _(q, k):
    return (q @ k.mT / q.size(-1) ** 0.5).softmax(-1)


@attention_scores.mistake(
    "the angle only, not the length",
    hint="You divide by how long query and key are. That is cosine similarity; attention lets a "
    "long key match more strongly, and divides by the root of K alone.",
)
def _(q, k):
    return (q / q.norm(dim=-1, keepdim=True)) @ (k / k.norm(dim=-1, keepdim=True)).mT


@attention_scores.mistake(
    "the gradient is cut off",
    hint="The scores are right, but no gradient flows back to q and k: look for `.item()`, "
    "`.detach()`, numpy or `no_grad`. A model could not learn through this.",
)
def _(q, k):
    return (q @ k.mT / q.size(-1) ** 0.5).detach()


@attention_scores.mistake(
    "the scores are not scaled",
    hint="The match is there. What did the chapter divide by, so that a wide head stays calm?",
)
def _(q, k):
    return q @ k.mT


@attention_scores.mistake(
    "divided by K",
    hint="It is the variance that grows like K. You divide by a standard deviation.",
)
def _(q, k):
    return q @ k.mT / q.size(-1)


@attention_scores.mistake(
    "divided by the root of the sentence's length",
    hint="A score is a sum over the head's width K, however long the sentence is.",
)
def _(q, k):
    return q @ k.mT / q.size(-2) ** 0.5


@attention_scores.mistake(
    "keys ask and queries answer",
    hint="Row t belongs to query t, column s to key s. Yours is the transpose.",
)
def _(q, k):
    return k @ q.mT / q.size(-1) ** 0.5


# 2. A softmax that survives


@exercise(
    CHAPTER,
    axes="T S",
    variants=WITH_GRADIENTS,
    tolerance=SHARE,
    read="4. Who may look at whom?",
)
def softmax(
    scores: Float[Tensor, "T S"], mask: Bool[Tensor, "T S"] | None = None
) -> Float[Tensor, "T S"]:
    """Each row as weights that sum to one over the allowed keys; zeros where none is allowed."""
    keys = torch.eye(scores.size(-1)).to(scores)  # scores times the identity: scores
    return reference.attention_weights(scores, keys, mask, scale=1.0)


@softmax.cases
def _() -> Iterator[Case]:
    yield case("by hand", torch.tensor([[1000.0, 999.0], [1.0, 0.0]]))
    yield case("small scores", torch.tensor([[4.0, 0.0, 2.0, 0.0], [0.0, 2.0, 0.0, 0.0]]))
    yield case("a square of noise", torch.randn(4, 4))
    yield case("large scores", torch.tensor([[1000.0, 999.0, 0.0], [-1000.0, -1001.0, -1000.0]]))
    yield case("a mask", torch.randn(3, 5), torch.rand(3, 5) > 0.4)
    yield case("the largest score is hidden", torch.tensor([[300.0, 1, 2]]), _bools("011"))
    low = torch.tensor([[-1000.0, -1001.0, 5.0]])
    yield case("very low scores and a mask", low, _bools("110"))
    lowest = torch.tensor([[-100_000.0, -200_000.0, 5.0]])
    yield case("even lower scores and a mask", lowest, _bools("110"))
    yield case("a row that may look nowhere", torch.randn(3, 4), _bools("1101", "0000", "0111"))
    yield case("one key", torch.randn(2, 1))
    yield case("a hidden score far above", torch.tensor([[30_000.0, 1, 2]]), _bools("011"))


@softmax.mistake(
    "hidden scores at -10,000",
    hint="-10,000 is low for most scores, and not for all: where the allowed ones are lower still, "
    "the hidden key gets everything. And a row that may look nowhere still shares out its weight.",
)
def _(scores, mask=None):
    return (scores if mask is None else scores.masked_fill(~mask, -1e4)).softmax(-1)


@softmax.mistake(
    "divided by the sum of the whole matrix",
    hint="Each row sums to 1 by itself: take the sum over the keys, the last axis.",
)
def _(scores, mask=None):
    low = scores if mask is None else scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    exponentials = (low - low.amax(-1, keepdim=True)).exp()
    exponentials = exponentials if mask is None else exponentials * mask
    return exponentials / exponentials.sum()


@softmax.mistake(
    "hidden scores are not low enough",
    hint="-100 is low beside small scores. If the allowed ones are at -1000, the hidden key is the "
    "largest. Fill with the lowest number that the dtype has.",
)
def _(scores, mask=None):
    hidden = scores if mask is None else scores.masked_fill(~mask, -100.0)
    return hidden.softmax(-1) * (1 if mask is None else mask)


@softmax.mistake(
    "hidden scores are not low enough, and keep their share",
    hint="-100 is low beside small scores. If the allowed ones are at -1000, the hidden key gets "
    "everything. And a row that may look nowhere still shares out its weight.",
)
def _(scores, mask=None):
    return (scores if mask is None else scores.masked_fill(~mask, -100.0)).softmax(-1)


@softmax.mistake(
    "hidden scores count as 0 in the maximum",
    hint="Times the mask, a hidden score becomes 0. Where the allowed ones are at -1000, the "
    "maximum is then that 0, and every exp underflows. Hide before you look for the maximum.",
)
def _(scores, mask=None):
    shown = scores if mask is None else scores * mask
    return _normalise(shown - shown.amax(-1, keepdim=True), mask)


@softmax.mistake(
    "the maximum looks at hidden keys",
    hint="A hidden score of 300 becomes the number that you take away, and the allowed ones "
    "underflow to 0 / 0. Hide first, then look for the maximum.",
)
def _(scores, mask=None):
    return _normalise(scores - scores.amax(-1, keepdim=True), mask)


@softmax.mistake(
    "the mean is taken away, not the maximum",
    hint="With the mean taken away, the largest exponent can still be far above 0, and overflow. "
    "Which number makes sure that none is above 0?",
)
def _(scores, mask=None):
    return _normalise(scores - scores.mean(-1, keepdim=True), mask)


@softmax.mistake(
    "large scores are cut off",
    hint="You limit the scores, so all large ones become equal. Softmax sees differences: shift "
    "the whole row instead.",
)
def _(scores, mask=None):
    return _normalise(scores.clamp(-80, 80), mask)


@softmax.mistake(
    "the mask the wrong way round",
    hint="True means *may look*. You hide exactly what each query may see.",
)
def _(scores, mask=None):
    return softmax.right(scores, None if mask is None else ~mask)


@softmax.mistake(
    "minus infinity times zero",
    hint="0 times infinity is NaN, so adding `(1 - mask) * -inf` spoils the allowed scores too. "
    "Choose with `masked_fill` or `torch.where`.",
)
def _(scores, mask=None):
    return (scores if mask is None else scores + (1 - mask.to(scores)) * -math.inf).softmax(-1)


@softmax.mistake(
    "the logarithm of the weights",
    hint="Scores less their maximum, less the logarithm of the sum: that is log-softmax. An `exp` "
    "is missing.",
)
def _(scores, mask=None):
    return softmax.right(scores, mask).log()


@softmax.mistake(
    "the gradient is cut off",
    hint="The weights are right, but no gradient flows back to the scores: look for `.item()`, "
    "`.detach()`, numpy or `no_grad`.",
)
def _(scores, mask=None):
    return softmax.right(scores, mask).detach()


@softmax.mistake(
    "exp overflows",
    hint="exp(1000) is infinite, and inf / inf is NaN. Softmax does not change when every score of "
    "a row has the same number taken away: which number makes the largest exponent 0?",
)
def _(scores, mask=None):
    return _normalise(scores, mask)


@softmax.mistake(
    "one maximum for the whole matrix",
    hint="Far below the matrix's maximum, every exp of a row underflows to 0, and 0 / 0 is NaN. "
    "Take each row's own maximum.",
)
def _(scores, mask=None):
    return _normalise(scores - scores.max(), mask)


@softmax.mistake(
    "softmax over the queries",
    hint="Each query's weights must sum to one: normalise over S, the last axis.",
)
def _(scores, mask=None):
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return scores.softmax(-2)


@softmax.mistake(
    "hidden scores set to 0",
    hint="A score of 0 is no absence: exp(0) = 1, so the hidden key still gets a share. What score "
    "has an exp of 0?",
)
def _(scores, mask=None):
    return (scores if mask is None else scores * mask).softmax(-1)


@softmax.mistake(
    "masked after the softmax",
    hint="The hidden keys took their shares before you removed them, so a row no longer sums to 1. "
    "Hide them first, then normalise.",
)
def _(scores, mask=None):
    weights = scores.softmax(-1)
    return weights if mask is None else weights * mask


@softmax.mistake(
    "a row of nothing but -inf",
    hint="A row that may look nowhere is all -inf; its maximum is -inf, and -inf - (-inf) is NaN. "
    "Fill with a very negative finite number, and see what the row then needs.",
)
def _(scores, mask=None):
    return (scores if mask is None else scores.masked_fill(~mask, -math.inf)).softmax(-1)


@softmax.mistake(
    "a query that may look nowhere looks everywhere",
    hint="Equal scores, however negative, give equal weights. A row that may look nowhere should "
    "end as zeros: hide once more, after the softmax.",
)
def _(scores, mask=None):
    lowest = torch.finfo(scores.dtype).min
    return (scores if mask is None else scores.masked_fill(~mask, lowest)).softmax(-1)


def _normalise(shifted: Tensor, mask: Tensor | None) -> Tensor:
    """Softmax with neither a maximum taken away nor a thought for rows without any key."""
    exponentials = shifted.exp() if mask is None else shifted.exp() * mask
    return exponentials / exponentials.sum(-1, keepdim=True)


def _bools(*rows: str) -> Tensor:
    """A mask from its rows, written as `"110"`."""
    return torch.tensor([[letter == "1" for letter in row] for row in rows])


# 3. Attention


@exercise(CHAPTER, axes="B T K", variants=WITH_GRADIENTS, read="4. Who may look at whom?")
def scaled_dot_product_attention(
    q: Float[Tensor, "B T K"],
    k: Float[Tensor, "B S K"],
    v: Float[Tensor, "B S K"],
    mask: Bool[Tensor, "*#M #T S"] | None = None,
) -> Float[Tensor, "B T K"]:
    """`softmax(q k^T / sqrt(K)) v`, over the keys that the mask allows."""
    return reference.scaled_dot_product_attention(q, k, v, mask).output


@scaled_dot_product_attention.cases
def _() -> Iterator[Case]:
    q, k, v = _qkv(1, 1, 3, 2)
    yield case("by hand: a query of zeros", 0 * q, k, v)
    hidden = torch.tensor([[[2.0, 0.0, 0.0], [0.0, 0.0, 2.0], [1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]])
    yield case("four tokens that look at each other", hidden, hidden, hidden)
    yield case("more keys than queries", *_qkv(2, 3, 5, 4))
    yield case("one token", *_qkv(1, 1, 1, 8))
    yield case("causal", *_qkv(2, 4, 4, 6), masks.causal(4))
    yield case("padding", *_qkv(2, 3, 4, 6), masks.padding(torch.tensor([2, 4]), 4)[:, 0])
    each = torch.stack([_bools("1100", "0111"), _bools("1011", "0001")])
    yield case("a mask for each text", *_qkv(2, 2, 4, 3), each)
    yield case("a query that may look nowhere", *_qkv(1, 2, 3, 4), _bools("101", "000")[None])


def _qkv(batch: int, n_queries: int, n_keys: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    shapes = (n_queries, n_keys, n_keys)
    q, k, v = (torch.randn(batch, n, width) for n in shapes)
    return 2 * q, k, v  # scores of a size at which scaling and masking matter


def _attend(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float | None = None
) -> Tensor:
    return reference.scaled_dot_product_attention(q, k, v, mask, scale).output


@scaled_dot_product_attention.mistake(
    "always causal",
    hint="Only the mask says who may look where; without one, every query looks at every key.",
)
def _(q, k, v, mask=None):
    past = torch.ones(q.size(-2), k.size(-2), dtype=torch.bool).tril(k.size(-2) - q.size(-2))
    return scaled_dot_product_attention.right(q, k, v, past if mask is None else past & mask)


@scaled_dot_product_attention.mistake(
    "causal, whatever the mask says",
    hint="You hide the future in every case. What may be seen is told by the mask alone, and "
    "without one everything may.",
)
def _(q, k, v, mask=None):
    past = torch.ones(q.size(1), k.size(1), dtype=torch.bool).tril()
    return _attend(q, k, v, past if mask is None else past & mask)


@scaled_dot_product_attention.mistake(
    "divided by the root of the number of keys",
    hint="A score is a sum over the head's width K, however many keys there are.",
)
def _(q, k, v, mask=None):
    return _attend(q, k, v, mask, scale=k.size(1) ** -0.5)


@scaled_dot_product_attention.mistake(
    "multiplied by the root of K",
    hint="A wide head's scores are too large already: divide.",
)
def _(q, k, v, mask=None):
    return _attend(q, k, v, mask, scale=q.size(-1) ** 0.5)


@scaled_dot_product_attention.mistake(
    "the plain mean of the values",
    hint="Every key counts alike in yours, as if all scores were equal. Where do q and k enter?",
)
def _(q, k, v, mask=None):
    return _attend(0 * q, k, v, mask)


@scaled_dot_product_attention.mistake(
    "the keys are mixed, not the values",
    hint="The weights are right. What they mix are the values: keys are for matching alone.",
)
def _(q, k, v, mask=None):
    return _attend(q, k, k, mask)


@scaled_dot_product_attention.mistake(
    "a query that may look nowhere looks everywhere",
    hint="Equal scores, however negative, give equal weights. Such a query should get zeros: hide "
    "once more after the softmax, as your exercise 2 does.",
)
def _(q, k, v, mask=None):
    scores = q @ k.mT / q.size(-1) ** 0.5
    lowest = torch.finfo(scores.dtype).min
    return (scores if mask is None else scores.masked_fill(~mask, lowest)).softmax(-1) @ v


@scaled_dot_product_attention.mistake(
    "hidden scores set to 0",
    hint="A score of 0 is no absence: exp(0) = 1, so the hidden key still gets a share.",
)
def _(q, k, v, mask=None):
    scores = q @ k.mT / q.size(-1) ** 0.5
    return (scores if mask is None else scores * mask).softmax(-1) @ v


@scaled_dot_product_attention.mistake(
    "the mask is added",
    hint="True and False are added as 1 and 0, so an allowed key is a little more likely, and a "
    "hidden one is not hidden. Fill its score instead.",
)
def _(q, k, v, mask=None):
    scores = q @ k.mT / q.size(-1) ** 0.5
    return (scores if mask is None else scores + mask).softmax(-1) @ v


@scaled_dot_product_attention.mistake(
    "scaled after the softmax",
    hint="Softmax has to see scores that are scaled already. You divide the weights, so they no "
    "longer sum to 1.",
)
def _(q, k, v, mask=None):
    return _attend(q, k, v, mask, scale=1.0) / q.size(-1) ** 0.5


@scaled_dot_product_attention.mistake(
    "`** 1/2` divides last",
    hint="Python reads `K ** 1/2` as `(K ** 1) / 2`. Write `K ** 0.5`, or use brackets.",
)
def _(q, k, v, mask=None):
    return _attend(q, k, v, mask, scale=1 / q.size(-1) / 2)


@scaled_dot_product_attention.mistake(
    "the first text's mask for all",
    hint="The mask may have its own rows for each text of the batch, as padding does. You take "
    "the first one's for all.",
)
def _(q, k, v, mask=None):
    return _attend(q, k, v, mask if mask is None or mask.ndim < 3 else mask[:1])


@scaled_dot_product_attention.mistake(
    "softmax over the queries",
    hint="Each query's weights must sum to one: normalise over S, the last axis.",
)
def _(q, k, v, mask=None):
    scores = q @ k.mT / q.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return scores.softmax(-2) @ v


@scaled_dot_product_attention.mistake(
    "the scores are not scaled",
    hint="Divide the scores by the root of the head's width before the softmax.",
)
def _(q, k, v, mask=None):
    return _attend(q, k, v, mask, scale=1.0)


@scaled_dot_product_attention.mistake(
    "divided by K",
    hint="It is the variance of a score that grows like K; divide by its standard deviation.",
)
def _(q, k, v, mask=None):
    return _attend(q, k, v, mask, scale=1 / q.size(-1))


@scaled_dot_product_attention.mistake(
    "the mask the wrong way round",
    hint="True means *may look*. You let each query see exactly what it should not.",
)
def _(q, k, v, mask=None):
    return _attend(q, k, v, mask if mask is None else ~mask)


@scaled_dot_product_attention.mistake(
    "the mask the wrong way round, and minus infinity",
    hint="True means *may look*. You hide what each query may see, and rows that have nothing left "
    "become NaN.",
)
def _(q, k, v, mask=None):
    scores = q @ k.mT / q.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(mask, -torch.inf)
    return scores.softmax(-1) @ v


@scaled_dot_product_attention.mistake(
    "the mask is never used",
    hint="Your result is right where there is no mask. Where does it enter?",
)
def _(q, k, v, mask=None):
    return _attend(q, k, v, None)


@scaled_dot_product_attention.mistake(
    "masked after the softmax",
    hint="Hidden keys must be gone before the weights are divided up, or a row sums to less than "
    "one. Set their scores, not their weights.",
)
def _(q, k, v, mask=None):
    weights = reference.attention_weights(q, k)
    return (weights if mask is None else weights * mask) @ v


@scaled_dot_product_attention.mistake(
    "a row of nothing but -inf",
    hint="A query that may look nowhere has a row of -inf, whose softmax is NaN. Your softmax of "
    "exercise 2 knows what to do.",
)
def _(q, k, v, mask=None):
    scores = q @ k.mT / q.size(-1) ** 0.5
    return (scores if mask is None else scores.masked_fill(~mask, -math.inf)).softmax(-1) @ v


# 5. Find the bug


@exercise(CHAPTER, axes="T S", strict=True, read="4. Who may look at whom?")
def causal_mask(n_queries: int, n_keys: int) -> Bool[Tensor, "T S"]:
    """Each position sees itself and its past; the last query stands at the last key."""
    return masks.causal(n_queries, n_keys)


@causal_mask.cases
def _() -> Iterator[Case]:
    yield case("training: as many queries as keys", 4, 4)
    yield case("one new token, four in the cache", 1, 5)
    yield case("two new tokens, three in the cache", 2, 5)
    yield case("one token", 1, 1)


@causal_mask.mistake(
    "the other triangle",
    hint="`triu` keeps the future. The past of each row is on the left: `tril`.",
)
def _(n_queries, n_keys):
    return torch.ones(n_queries, n_keys, dtype=torch.bool).triu(n_keys - n_queries)


@causal_mask.mistake(
    "new tokens see the cache, and not each other",
    hint="The cache and themselves, you let them see. A new token may also look at the new tokens "
    "before it.",
)
def _(n_queries, n_keys):
    cached = torch.ones(n_queries, n_keys - n_queries, dtype=torch.bool)
    return torch.cat([cached, torch.eye(n_queries, dtype=torch.bool)], dim=1)


@causal_mask.mistake(
    "with a cache, everything is in sight",
    hint="For one new token that is right. Of two new ones, the first must not see the second.",
)
def _(n_queries, n_keys):
    everything = torch.ones(n_queries, n_keys, dtype=torch.bool)
    return everything if n_keys > n_queries else everything.tril()


@causal_mask.mistake(
    "everything is in sight",
    hint="Nothing is hidden. Which keys are a query's future?",
)
def _(n_queries, n_keys):
    return torch.ones(n_queries, n_keys, dtype=torch.bool)


@causal_mask.mistake(
    "the first query stands at the first key",
    hint="That is the bug you were given. With 5 keys, a lone new query is token 4, and should see "
    "all 5. Which diagonal does `tril` start from?",
)
def _(n_queries, n_keys):
    return torch.ones(n_queries, n_keys, dtype=torch.bool).tril()


@causal_mask.mistake(
    "a token cannot see itself",
    hint="The diagonal belongs to the past: a token may look at itself. You are one key short.",
)
def _(n_queries, n_keys):
    return torch.ones(n_queries, n_keys, dtype=torch.bool).tril(n_keys - n_queries - 1)


@causal_mask.mistake(
    "one look into the future",
    hint="Each query sees one key too many. If token t is at key t + S - T, that is its last.",
)
def _(n_queries, n_keys):
    return torch.ones(n_queries, n_keys, dtype=torch.bool).tril(n_keys - n_queries + 1)


@causal_mask.mistake(
    "True where it must not look",
    hint="In this course True means *may look*. `torch.nn.MultiheadAttention` has it the other way "
    "round, which is how this mistake is born.",
)
def _(n_queries, n_keys):
    return ~masks.causal(n_queries, n_keys)


@causal_mask.mistake(
    "shifted the wrong way",
    hint="With more keys than queries, each query sees more, not less: the diagonal moves right.",
)
def _(n_queries, n_keys):
    return torch.ones(n_queries, n_keys, dtype=torch.bool).tril(n_queries - n_keys)
