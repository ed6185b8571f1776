"""The exercises on attention: from scores to attention that never holds the whole matrix.

Masks are True where a query may look. Shapes are given in the letters of `shapes.py`. Not here: the
exercises' texts (`solutions/`), and how checking works (`harness.py`). Chapter 03 teaches this.
"""

import math
from collections.abc import Callable, Iterator

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from llmcourse.checks.answers import value
from llmcourse.checks.harness import DEFAULT_VARIANTS, Case, case, exercise
from llmcourse.checks.largest_tensor import LargestTensor
from llmcourse.nn import attention as reference
from llmcourse.nn import masks

CHAPTER = "03"
WITH_GRADIENTS = (*DEFAULT_VARIANTS, "gradients")


# 1. Scores


@exercise(CHAPTER, axes="B T S")
def attention_scores(
    q: Float[Tensor, "B T K"], k: Float[Tensor, "B S K"]
) -> Float[Tensor, "B T S"]:
    """How well each query matches each key: `q k^T / sqrt(K)`."""
    return q @ k.mT / math.sqrt(q.size(-1))


@attention_scores.cases
def _() -> Iterator[Case]:
    q = torch.tensor([[[2.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]]])
    k = torch.tensor([[[2.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 2.0], [1.0, 0.0, 0.0, 0.0]]])
    yield case("by hand", q, k)
    yield case("three sentences", torch.randn(3, 5, 8), torch.randn(3, 7, 8))
    yield case("one token", torch.randn(1, 1, 3), torch.randn(1, 1, 3))
    yield case("as many tokens as the head is wide", torch.randn(2, 6, 6), torch.randn(2, 6, 6))


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


@exercise(CHAPTER, axes="T S", variants=WITH_GRADIENTS)
def softmax(
    scores: Float[Tensor, "T S"], mask: Bool[Tensor, "T S"] | None = None
) -> Float[Tensor, "T S"]:
    """Each row as weights that sum to one over the allowed keys; zeros where none is allowed."""
    keys = torch.eye(scores.size(-1)).to(scores)  # scores times the identity: scores
    return reference.attention_weights(scores, keys, mask, scale=1.0)


@softmax.cases
def _() -> Iterator[Case]:
    yield case("by hand", torch.tensor([[4.0, 0.0, 2.0, 0.0], [0.0, 2.0, 0.0, 0.0]]))
    yield case("a square of noise", torch.randn(4, 4))
    yield case("large scores", torch.tensor([[1000.0, 999.0, 0.0], [-1000.0, -1001.0, -1000.0]]))
    yield case("a mask", torch.randn(3, 5), torch.rand(3, 5) > 0.4)
    yield case("the largest score is hidden", torch.tensor([[300.0, 1, 2]]), _bools("011"))
    yield case("a row that may look nowhere", torch.randn(3, 4), _bools("1101", "0000", "0111"))


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


@exercise(CHAPTER, axes="B T K", variants=WITH_GRADIENTS)
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
    hidden = torch.tensor([[[2.0, 0.0, 0.0], [0.0, 0.0, 2.0], [1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]])
    yield case("four tokens that look at each other", hidden, hidden, hidden)
    yield case("more keys than queries", *_qkv(2, 3, 5, 4))
    yield case("one token", *_qkv(1, 1, 1, 8))
    yield case("causal", *_qkv(2, 4, 4, 6), masks.causal(4))
    yield case("padding", *_qkv(2, 3, 4, 6), masks.padding(torch.tensor([2, 4]), 4)[:, 0])
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


# 4. Many heads


@exercise(CHAPTER, axes="B H T K")
def split_heads(x: Float[Tensor, "B T HK"], n_heads: int) -> Float[Tensor, "B H T K"]:
    """Cut the width into heads: `B T (H K) -> B H T K`."""
    return reference.split_heads(x, n_heads)


@split_heads.cases
def _() -> Iterator[Case]:
    yield case("two tokens, two heads", torch.arange(8.0).view(1, 2, 4), 2)
    yield case("a batch", torch.randn(2, 5, 12), 3)
    yield case("as many heads as tokens", torch.randn(2, 3, 6), 3)
    yield case("one head", torch.randn(1, 3, 4), 1)
    yield case("heads one wide", torch.randn(2, 3, 4), 4)


@split_heads.mistake(
    "the sentence was cut, not the width",
    hint="Reshaping straight to B H T K keeps the order of memory, so a head gets whole vectors of "
    "some tokens. First unfold the width into H and K, then move H forward.",
)
def _(x, n_heads):
    batch, length, width = x.shape
    return x.reshape(batch, n_heads, length, width // n_heads)


@split_heads.mistake(
    "every H-th number instead of K neighbours",
    hint="Head 0 takes the first K numbers of a vector, head 1 the next K. Unfold the width as "
    "(H, K), in this order.",
)
def _(x, n_heads):
    return x.unflatten(-1, (-1, n_heads)).permute(0, 3, 1, 2)


@split_heads.mistake(
    "heads behind the positions",
    hint="The width is cut well, but the result is B T H K. Matrix products work on the last two "
    "axes: which two must those be, if tokens are to look at tokens?",
)
def _(x, n_heads):
    return x.unflatten(-1, (n_heads, -1))


@exercise(CHAPTER, axes="B T D")
def merge_heads(x: Float[Tensor, "B H T K"]) -> Float[Tensor, "B T HK"]:
    """The way back: `B H T K -> B T (H K)`."""
    return reference.merge_heads(x)


@merge_heads.cases
def _() -> Iterator[Case]:
    yield case("two heads, two tokens", torch.arange(8.0).view(1, 2, 2, 2))
    yield case("a batch", torch.randn(2, 3, 5, 4))
    yield case("as many heads as tokens", torch.randn(2, 3, 3, 2))
    yield case("one head", torch.randn(1, 1, 3, 4))


@merge_heads.mistake(
    "reshaped without bringing the heads back",
    hint="The shape is right and the numbers are shuffled: reshape reads memory in order, and that "
    "is head by head. Put H beside K first.",
)
def _(x):
    batch, n_heads, length, width = x.shape
    return x.reshape(batch, length, n_heads * width)


@merge_heads.mistake(
    "heads interleaved",
    hint="A token's vector holds head 0's K numbers, then head 1's. Yours alternates.",
)
def _(x):
    return x.permute(0, 2, 3, 1).flatten(2)


@merge_heads.mistake(
    "heads added up",
    hint="Each head keeps its own place in the vector; mixing them is the work of o_proj. Nothing "
    "is summed here.",
)
def _(x):
    return x.sum(1)


# 5. Find the bug


@exercise(CHAPTER, axes="T S")
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


# 6. Grouped heads


@exercise(CHAPTER, axes="B H S K")
def repeat_kv(x: Float[Tensor, "B G S K"], n_heads: int) -> Float[Tensor, "B H S K"]:
    """Give every query head its group's keys (or values): head `h` takes group `h G // H`."""
    return reference.repeat_kv(x, n_heads)


@repeat_kv.cases
def _() -> Iterator[Case]:
    yield case("two groups, four heads", torch.arange(4.0).view(1, 2, 2, 1), 4)
    yield case("three groups, six heads", torch.randn(2, 3, 4, 5), 6)
    yield case("one group: multi-query", torch.randn(2, 1, 3, 4), 3)
    yield case("a group for each head", torch.randn(1, 4, 2, 3), 4)


@repeat_kv.mistake(
    "tiled instead of interleaved",
    hint="You made 0 1 0 1; neighbouring query heads share a group, so it is 0 0 1 1. The shape is "
    "the same, nothing crashes, and a loaded model talks nonsense.",
)
def _(x, n_heads):
    return x.repeat(1, n_heads // x.size(1), 1, 1)


@repeat_kv.mistake(
    "every group H times",
    hint="There are G groups already. How many query heads does each of them serve?",
)
def _(x, n_heads):
    return x.repeat_interleave(n_heads, dim=1)


@repeat_kv.mistake(
    "positions repeated",
    hint="Axis 2 is the sentence. The heads are axis 1.",
)
def _(x, n_heads):
    return x.repeat_interleave(n_heads // x.size(1), dim=2)


# 7. Predict, then measure


@value(CHAPTER, rel=0.02, unit="MB")
def cache_megabytes() -> float:
    """The keys and values of one text of 1024 tokens in GPT-2 medium, in half precision."""
    layers, heads, length, width, n_bytes = 24, 16, 1024, 64, 2
    return 2 * layers * heads * length * width * n_bytes / 1e6


@cache_megabytes.mistake(
    "keys without values",
    hint="Half of it. What, besides the keys, does a later token need from an earlier one?",
)
def _():
    return cache_megabytes.right() / 2


@cache_megabytes.mistake(
    "one layer of twenty-four",
    hint="Every layer has keys and values of its own, and all of them wait in memory.",
)
def _():
    return cache_megabytes.right() / 24


@cache_megabytes.mistake(
    "one head of sixteen",
    hint="That is one head's share. All sixteen heads of a layer keep their own, in every layer.",
)
def _():
    return cache_megabytes.right() / 24 / 16


@cache_megabytes.mistake(
    "four bytes for a number",
    hint="That is float32. Half precision takes 2 bytes a number.",
)
def _():
    return cache_megabytes.right() * 2


@cache_megabytes.mistake(
    "bytes instead of megabytes",
    hint="Right, in bytes. Divide by a million.",
)
def _():
    return cache_megabytes.right() * 1e6


@cache_megabytes.mistake(
    "kilobytes instead of megabytes",
    hint="Right, in kilobytes. A megabyte is a million bytes.",
)
def _():
    return cache_megabytes.right() * 1e3


# 8. Attention that never holds the matrix


class WholeMatrixError(AssertionError):
    """Somewhere on the way, a tensor held as many numbers as all the scores together."""


def _within_memory(
    answer: Callable[..., Tensor], q: Tensor, k: Tensor, v: Tensor, chunk: int
) -> Tensor:
    """Call `answer`; raise if it ever held a tensor as large as the `T x S` matrix."""
    n_scores = q.size(0) * k.size(0)
    with LargestTensor() as largest:
        output = answer(q, k, v, chunk)
    # Where a chunk is everything, or the width is as large, such a tensor is no sign of anything.
    if largest.numel >= n_scores > max(q.size(0) * chunk, q.numel(), k.numel()):
        raise WholeMatrixError(f"a tensor held {largest.numel} numbers; T x S is {n_scores}")
    return output


@exercise(CHAPTER, axes="T K", call=_within_memory)
def chunked_attention(
    q: Float[Tensor, "T K"], k: Float[Tensor, "S K"], v: Float[Tensor, "S K"], chunk: int
) -> Float[Tensor, "T K"]:
    """Attention that reads `chunk` keys at a time and keeps, for each query, three running numbers.

    With `m` the largest score so far, `l = sum exp(score - m)` and `o = sum exp(score - m) v`, a
    larger `m` multiplies both sums by `exp(old m - new m)` (Milakov and Gimelshein, 2018; Dao et
    al., 2022, algorithm 1).
    """
    largest = torch.full_like(q[:, :1], -math.inf)
    total, output = torch.zeros_like(largest), torch.zeros_like(q)
    for start in range(0, k.size(0), chunk):
        scores = q @ k[start : start + chunk].mT / math.sqrt(q.size(-1))  # T chunk
        new_largest = torch.maximum(largest, scores.amax(-1, keepdim=True))
        shrink = (largest - new_largest).exp()
        weights = (scores - new_largest).exp()
        total = total * shrink + weights.sum(-1, keepdim=True)
        output = output * shrink + weights @ v[start : start + chunk]
        largest = new_largest
    return output / total


@chunked_attention.cases
def _() -> Iterator[Case]:
    q, k, v = (x[0] for x in _qkv(1, 5, 12, 3))
    yield case("four chunks of three", q, k, v, 3)
    yield case("a last chunk that is not full", q, k[:11], v[:11], 4)
    yield case("one key at a time", q, k, v, 1)
    yield case("one chunk is enough", q, k[:4], v[:4], 8)
    rising = torch.arange(12.0)[:, None].expand(12, 3).contiguous()
    yield case("scores that keep rising", torch.full((5, 3), 40.0), rising, v, 3)


@chunked_attention.mistake(
    "the whole matrix after all",
    hint="Right, and exactly what was to be avoided: somewhere a tensor held all T x S scores. "
    "Work on one chunk of keys at a time and keep sums, not scores.",
)
def _(q, k, v, chunk):
    return reference.scaled_dot_product_attention(q, k, v).output


@chunked_attention.mistake(
    "the mean of the chunks' outputs",
    hint="Each chunk was normalised by itself, so an unimportant chunk counts as much as an "
    "important one. Keep sums across chunks and divide once, at the end.",
)
def _(q, k, v, chunk):
    pieces = zip(k.split(chunk), v.split(chunk), strict=True)
    return torch.stack([_attend(q, keys, values, None) for keys, values in pieces]).mean(0)


@chunked_attention.mistake(
    "a new maximum, and old sums that never heard of it",
    hint="The old sums were made with the old maximum. When it grows by d, all that was summed "
    "before is too large by a factor of exp(d).",
)
def _(q, k, v, chunk):
    return _online(q, k, v, chunk, shrink_total=False, shrink_output=False)


@chunked_attention.mistake(
    "the total shrinks, the output does not",
    hint="Both sums were made with the old maximum: the output needs the same correction.",
)
def _(q, k, v, chunk):
    return _online(q, k, v, chunk, shrink_total=True, shrink_output=False)


@chunked_attention.mistake(
    "the output shrinks, the total does not",
    hint="Both sums were made with the old maximum: the total needs the same correction.",
)
def _(q, k, v, chunk):
    return _online(q, k, v, chunk, shrink_total=False, shrink_output=True)


@chunked_attention.mistake(
    "exp overflows",
    hint="Without a running maximum the sums are right and small scores work. A score of 100 is "
    "already too much for exp in float32.",
)
def _(q, k, v, chunk):
    total, output = torch.zeros_like(q[:, :1]), torch.zeros_like(q)
    for keys, values in zip(k.split(chunk), v.split(chunk), strict=True):
        weights = (q @ keys.mT / math.sqrt(q.size(-1))).exp()
        total, output = total + weights.sum(-1, keepdim=True), output + weights @ values
    return output / total


@chunked_attention.mistake(
    "the last, incomplete chunk is dropped",
    hint="With 11 keys and chunks of 4, the last three keys were never read: `S // chunk` rounds "
    "down.",
)
def _(q, k, v, chunk):
    chunk = min(chunk, k.size(0))
    whole = k.size(0) // chunk * chunk
    return _online(q, k[:whole], v[:whole], chunk, shrink_total=True, shrink_output=True)


@chunked_attention.mistake(
    "the scores are not scaled",
    hint="The online part works. Divide the scores by the root of the head's width, as ever.",
)
def _(q, k, v, chunk):
    return _online(q * math.sqrt(q.size(-1)), k, v, chunk, shrink_total=True, shrink_output=True)


def _online(
    q: Tensor, k: Tensor, v: Tensor, chunk: int, *, shrink_total: bool, shrink_output: bool
) -> Tensor:
    """The right loop, or with a correction left out a wrong one."""
    largest = torch.full_like(q[:, :1], -math.inf)
    total, output = torch.zeros_like(largest), torch.zeros_like(q)
    for keys, values in zip(k.split(chunk), v.split(chunk), strict=True):
        scores = q @ keys.mT / math.sqrt(q.size(-1))
        new_largest = torch.maximum(largest, scores.amax(-1, keepdim=True))
        shrink = (largest - new_largest).exp()
        weights = (scores - new_largest).exp()
        total = total * (shrink if shrink_total else 1) + weights.sum(-1, keepdim=True)
        output = output * (shrink if shrink_output else 1) + weights @ values
        largest = new_largest
    return output / total
