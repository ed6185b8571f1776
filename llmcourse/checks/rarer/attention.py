"""Rarer mistakes of the exercises on attention. Chapter 03 teaches this."""

import math

import torch
from torch.nn import functional as F

from llmcourse.checks.bank.attention import (
    attention_scores,
    causal_mask,
    scaled_dot_product_attention,
    softmax,
)


def _products(q, k):
    return q @ k.mT


@attention_scores.mistake(
    "the fourth root once",
    hint="You divide by the fourth root of K once. It needs the square root in all.",
)
def _(q, k):
    return _products(q, k) / q.size(-1) ** 0.25


@attention_scores.mistake(
    "divided by 8", hint="You divide by 8, the root of 64. K is the width that comes in."
)
def _(q, k):
    return _products(q, k) / 8


@attention_scores.mistake(
    "cosines over the root",
    hint="You divide by the lengths of query and key as well. Divide by the root of K only.",
)
def _(q, k):
    return _products(F.normalize(q, dim=-1), F.normalize(k, dim=-1)) / math.sqrt(q.size(-1))


@attention_scores.mistake(
    "minus the distances",
    hint="You take minus the distance between query and key. The score is their product.",
)
def _(q, k):
    return -torch.cdist(q, k) / math.sqrt(q.size(-1))


@attention_scores.mistake(
    "minus the squared distances",
    hint="You take minus the squared distance between query and key. The score is their product.",
)
def _(q, k):
    return -(q[:, :, None] - k[:, None]).square().sum(-1) / math.sqrt(q.size(-1))


@attention_scores.mistake(
    "the tanh of a sum",
    hint="You add query and key and squash (additive attention). The score is their product.",
)
def _(q, k):
    return (q[:, :, None] + k[:, None]).tanh().sum(-1) / math.sqrt(q.size(-1))


@attention_scores.mistake(
    "keys read as a different shape",
    hint="You give the keys another shape with `view` or `reshape`, which does not swap axes.",
)
def _(q, k):
    return q @ k.reshape(k.size(0), k.size(2), k.size(1)) / math.sqrt(q.size(-1))


@attention_scores.mistake(
    "only the same place",
    hint="You multiply each query with the key at its own place. Each query meets each key.",
)
def _(q, k):
    return (q * k[:, : q.size(1)]).sum(-1, keepdim=True).expand(-1, -1, k.size(1)) / math.sqrt(
        q.size(-1)
    )


@attention_scores.mistake(
    "a mean over the root",
    hint="You average over the width and divide by the root as well. Sum, and divide by the root.",
)
def _(q, k):
    return (q[:, :, None] * k[:, None]).mean(-1) / math.sqrt(q.size(-1))


@attention_scores.mistake(
    "softly capped at 30", hint="You cap the scores with a tanh. They may grow."
)
def _(q, k):
    return 30 * (_products(q, k) / math.sqrt(q.size(-1)) / 30).tanh()


@attention_scores.mistake(
    "a causal mask within", hint="You hide what comes later. No mask is asked for here."
)
def _(q, k):
    scores = _products(q, k) / math.sqrt(q.size(-1))
    return scores.masked_fill(~torch.ones_like(scores).bool().tril(), -math.inf)


@attention_scores.mistake(
    "keys that get no gradient", hint="You cut the gradient off at the keys. It flows back to both."
)
def _(q, k):
    return _products(q, k.detach()) / math.sqrt(q.size(-1))


@attention_scores.mistake(
    "queries that get no gradient",
    hint="You cut the gradient off at the queries. It flows back to both.",
)
def _(q, k):
    return _products(q.detach(), k) / math.sqrt(q.size(-1))


@attention_scores.mistake(
    "muP's scale",
    hint="You divide by K / 8, so that width 64 stays as it was (muP). It is the root of K.",
)
def _(q, k):
    return _products(q, k) * 8 / q.size(-1)


# ---------------------------------------------------------------- softmax


def _lowest(scores):
    return torch.finfo(scores.dtype).min


def _hide(scores, mask, low=None):
    return (
        scores
        if mask is None
        else scores.masked_fill(~mask, _lowest(scores) if low is None else low)
    )


def _soft(scores, mask=None, after=True):
    weights = (scores - scores.amax(-1, keepdim=True)).exp()
    weights = weights / weights.sum(-1, keepdim=True)
    return weights.masked_fill(~mask, 0) if mask is not None and after else weights


@softmax.mistake(
    "hidden after the softmax and shared anew",
    hint="You hide after the softmax and divide once more. If hidden scores are far above, "
    "nothing is left to share.",
)
def _(scores, mask=None):
    weights = _soft(scores, mask)
    return weights / weights.sum(-1, keepdim=True).clamp(min=1e-9)


@softmax.mistake(
    "hidden scores set to -1e4",
    hint="You set hidden scores to -10,000. It must be lower than any score.",
)
def _(scores, mask=None):
    return _soft(_hide(scores, mask, -1e4), mask)


@softmax.mistake(
    "a large number taken off hidden scores",
    hint="You take 10,000 off the hidden scores. A hidden score may be high, and others low: "
    "set them, do not shift them.",
)
def _(scores, mask=None):
    return _soft(scores if mask is None else scores - 1e4 * (~mask), mask)


@softmax.mistake(
    "the mask added as numbers",
    hint="You add the mask to the scores, as 0 and 1. Hidden keys have to get a score that is "
    "far below.",
)
def _(scores, mask=None):
    return _soft(scores if mask is None else scores + mask)


@softmax.mistake(
    "the largest score of all taken off",
    hint="You take off the largest score of the whole matrix. In a row far below it, all "
    "exponentials become 0: take each row's own.",
)
def _(scores, mask=None):
    hidden = _hide(scores, mask, -math.inf)
    weights = (hidden - hidden.max()).exp()
    return weights / weights.sum(-1, keepdim=True)


@softmax.mistake(
    "the mean taken off",
    hint="You take off the mean. A score far above it still becomes infinite: take off the "
    "largest.",
)
def _(scores, mask=None):
    weights = (scores - scores.mean(-1, keepdim=True)).exp()
    weights = weights if mask is None else weights * mask
    return weights / weights.sum(-1, keepdim=True).clamp(min=1e-9)


@softmax.mistake(
    "the smallest score taken off",
    hint="You take off the smallest score, so all exponents are above 0. Take off the largest.",
)
def _(scores, mask=None):
    weights = (scores - scores.amin(-1, keepdim=True)).exp()
    weights = weights if mask is None else weights * mask
    return weights / weights.sum(-1, keepdim=True).clamp(min=1e-9)


@softmax.mistake(
    "scores kept between bounds",
    hint="You keep the scores from leaving -50 to 50, so larger ones look equal. Take the "
    "largest off instead.",
)
def _(scores, mask=None):
    weights = scores.clamp(-50, 50).exp()
    weights = weights if mask is None else weights * mask
    return weights / weights.sum(-1, keepdim=True).clamp(min=1e-9)


@softmax.mistake(
    "down the columns", hint="You share along the queries: columns sum to one. Each row has to."
)
def _(scores, mask=None):
    return _soft(_hide(scores, mask).mT, None if mask is None else mask.mT).mT


@softmax.mistake(
    "over the whole matrix", hint="You let all scores share one total. Each row is for itself."
)
def _(scores, mask=None):
    weights = _hide(scores, mask).flatten().softmax(0).view_as(scores)
    return weights if mask is None else weights * mask


@softmax.mistake(
    "one more in the total",
    hint="You add one to the total, as if there were a key that stands for nothing. The "
    "visible keys share everything.",
)
def _(scores, mask=None):
    hidden = _hide(scores, mask)
    top = hidden.amax(-1, keepdim=True).clamp(min=0)
    weights = (hidden - top).exp()
    weights = weights if mask is None else weights * mask
    return weights / ((-top).exp() + weights.sum(-1, keepdim=True))


@softmax.mistake(
    "logarithms of the weights", hint="You hand back the logarithms. Asked for are the weights."
)
def _(scores, mask=None):
    return _hide(scores, mask).log_softmax(-1)


@softmax.mistake(
    "sigmoids", hint="You squash each score by itself. The keys of a row share one total."
)
def _(scores, mask=None):
    weights = scores.sigmoid()
    return weights if mask is None else weights * mask


@softmax.mistake(
    "sigmoids, shared", hint="You share out sigmoids. It is exponentials that are shared."
)
def _(scores, mask=None):
    weights = scores.sigmoid() if mask is None else scores.sigmoid() * mask
    return weights / weights.sum(-1, keepdim=True).clamp(min=1e-9)


@softmax.mistake(
    "scores shared without an exponential",
    hint="You divide the scores by their sum. Take their exponentials first.",
)
def _(scores, mask=None):
    scores = scores if mask is None else scores * mask
    return scores / scores.sum(-1, keepdim=True)


@softmax.mistake(
    "the best key alone",
    hint="You give all to the largest score. Softmax gives each key something.",
)
def _(scores, mask=None):
    best = F.one_hot(_hide(scores, mask).argmax(-1), scores.size(-1)).to(scores.dtype)
    return best if mask is None else best * mask


@softmax.mistake(
    "sparsemax's projection",
    hint="You move the scores to the nearest point that sums to one (sparsemax), where low "
    "ones get 0. Softmax takes exponentials.",
)
def _(scores, mask=None):
    hidden = _hide(scores, mask, -1e6)
    ordered = hidden.sort(-1, descending=True).values
    sums = ordered.cumsum(-1) - 1
    numbers = torch.arange(1, scores.size(-1) + 1, dtype=scores.dtype)
    size = (ordered * numbers > sums).sum(-1, keepdim=True).clamp(min=1)
    weights = (hidden - sums.gather(-1, size - 1) / size).clamp(min=0)
    return weights if mask is None else weights * mask


@softmax.mistake(
    "a small number in the total",
    hint="You add a small number to the total, so that the weights sum to a little less than one.",
)
def _(scores, mask=None):
    hidden = _hide(scores, mask)
    weights = (hidden - hidden.amax(-1, keepdim=True)).exp()
    weights = weights if mask is None else weights * mask
    return weights / (weights.sum(-1, keepdim=True) + 1e-2)


@softmax.mistake(
    "divided by the root of the keys first",
    hint="You divide the scores by a root. They come scaled: take them as they are.",
)
def _(scores, mask=None):
    return _soft(_hide(scores / math.sqrt(scores.size(-1)), mask), mask)


@softmax.mistake(
    "zeros for every row once one looks nowhere",
    hint="You ask whether any key in the matrix is visible, not row by row.",
)
def _(scores, mask=None):
    weights = _hide(scores, mask).softmax(-1)
    return weights if mask is None or mask.any(-1).all() else torch.zeros_like(weights)


@softmax.mistake(
    "the visible keys of all rows",
    hint="You hide a key if any row may not look at it. The mask says it for each row.",
)
def _(scores, mask=None):
    mask = None if mask is None else mask.all(0, keepdim=True).expand_as(mask)
    return _soft(_hide(scores, mask), mask)


@softmax.mistake(
    "in single precision",
    hint="You hand back float32, whatever came. Keep the dtype of the scores.",
)
def _(scores, mask=None):
    return _soft(_hide(scores.float(), mask), mask)


@softmax.mistake(
    "in double precision",
    hint="You hand back float64, whatever came. Keep the dtype of the scores.",
)
def _(scores, mask=None):
    return _soft(_hide(scores.double(), mask), mask)


@softmax.mistake(
    "without a gradient in the total",
    hint="You cut the gradient off at the total. It flows through both parts of the fraction.",
)
def _(scores, mask=None):
    hidden = _hide(scores, mask)
    weights = (hidden - hidden.amax(-1, keepdim=True).detach()).exp()
    weights = weights if mask is None else weights * mask
    return weights / weights.sum(-1, keepdim=True).clamp(min=1e-9).detach()


# ---------------------------------------------------------------- attention


def _attend(q, k, v, mask=None, scale=None, scores=None, low=-math.inf, axis=-1):
    scale = 1 / math.sqrt(q.size(-1)) if scale is None else scale
    scores = q @ k.mT * scale if scores is None else scores
    if mask is not None:
        scores = scores.masked_fill(~mask, low)
    return torch.nan_to_num(scores.softmax(axis)) @ v


@scaled_dot_product_attention.mistake(
    "scaled by the number of queries",
    hint="You divide by the root of the number of queries. It is the root of the width.",
)
def _(q, k, v, mask=None):
    return _attend(q, k, v, mask, 1 / math.sqrt(q.size(-2)))


@scaled_dot_product_attention.mistake(
    "a softmax over the queries",
    hint="You share along the queries. Each query's weights over the keys sum to one.",
)
def _(q, k, v, mask=None):
    return _attend(q, k, v, mask, axis=-2)


@scaled_dot_product_attention.mistake(
    "a softmax over the texts", hint="You take the softmax along the batch. It goes over the keys."
)
def _(q, k, v, mask=None):
    return _attend(q, k, v, mask, axis=0)


@scaled_dot_product_attention.mistake(
    "no softmax", hint="You mix with the scores themselves. A softmax comes between."
)
def _(q, k, v, mask=None):
    scores = q @ k.mT / math.sqrt(q.size(-1))
    return (scores if mask is None else scores * mask) @ v


@scaled_dot_product_attention.mistake(
    "the best key's value alone",
    hint="You take the value of the best key. Softmax gives each key something.",
)
def _(q, k, v, mask=None):
    scores = q @ k.mT
    scores = scores if mask is None else scores.masked_fill(~mask, -math.inf)
    weights = F.one_hot(scores.argmax(-1), k.size(1)).to(v.dtype)
    return (weights if mask is None else weights * mask) @ v


@scaled_dot_product_attention.mistake(
    "sigmoids in place of a softmax",
    hint="You squash each score by itself. The keys share one total.",
)
def _(q, k, v, mask=None):
    weights = (q @ k.mT / math.sqrt(q.size(-1))).sigmoid()
    return (weights if mask is None else weights * mask) @ v


@scaled_dot_product_attention.mistake(
    "a residual connection",
    hint="You add the queries to the result. That comes later, in the block.",
)
def _(q, k, v, mask=None):
    return _attend(q, k, v, mask) + q


@scaled_dot_product_attention.mistake(
    "a causal mask where none is given",
    hint="You hide what comes later if no mask is given. Without a mask every query may look "
    "everywhere.",
)
def _(q, k, v, mask=None):
    causal = torch.ones(q.size(1), k.size(1), dtype=torch.bool).tril()
    return _attend(q, k, v, causal if mask is None else mask)


@scaled_dot_product_attention.mistake(
    "the mask turned on its side",
    hint="You transpose the mask. Its rows are queries and its columns keys.",
)
def _(q, k, v, mask=None):
    return _attend(q, k, v, mask if mask is None or mask.size(-1) != mask.size(-2) else mask.mT)


@scaled_dot_product_attention.mistake(
    "weights in place of the mix", hint="You hand back the weights. Asked for are the mixed values."
)
def _(q, k, v, mask=None):
    return _attend(q, k, torch.eye(k.size(1), dtype=v.dtype), mask)


@scaled_dot_product_attention.mistake(
    "the weights as well",
    hint="You hand back the weights, too. Asked for are the mixed values alone.",
)
def _(q, k, v, mask=None):
    return _attend(q, k, v, mask), _attend(q, k, torch.eye(k.size(1), dtype=v.dtype), mask)


@scaled_dot_product_attention.mistake(
    "the weights averaged over the keys",
    hint="You divide by the number of keys, too. The weights sum to one already.",
)
def _(q, k, v, mask=None):
    return _attend(q, k, v, mask) / k.size(1)


@scaled_dot_product_attention.mistake(
    "cosines for scores",
    hint="You divide by the lengths of query and key. Divide by the root of K only.",
)
def _(q, k, v, mask=None):
    scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT
    return _attend(q, k, v, mask, scores=scores)


@scaled_dot_product_attention.mistake(
    "one more key that stands for nothing",
    hint="You add one to the total of the weights. The visible keys share everything.",
)
def _(q, k, v, mask=None):
    nothing = torch.zeros_like(k[:, :1])
    scores = q @ torch.cat([k, nothing], 1).mT / math.sqrt(q.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~F.pad(mask, (0, 1), value=True), -math.inf)
    return scores.softmax(-1) @ torch.cat([v, torch.zeros_like(v[:, :1])], 1)


@scaled_dot_product_attention.mistake(
    "values that get no gradient",
    hint="You cut the gradient off at the values. It flows back to all three.",
)
def _(q, k, v, mask=None):
    return _attend(q, k, v.detach(), mask)


@scaled_dot_product_attention.mistake(
    "weights that get no gradient",
    hint="You cut the gradient off at the weights. It flows back to queries and keys through them.",
)
def _(q, k, v, mask=None):
    return _attend(q.detach(), k.detach(), v, mask)


# ---------------------------------------------------------------- causal mask


def _places(n_queries, n_keys, shift=0):
    return torch.arange(n_queries)[:, None] + n_keys - n_queries + shift, torch.arange(n_keys)


@causal_mask.mistake("keys as rows", hint="You hand back [S, T]. Queries are the rows.")
def _(n_queries, n_keys):
    query, key = _places(n_queries, n_keys)
    return (key <= query).mT


@causal_mask.mistake(
    "everything open for a single query",
    hint="You open everything if there is one query, and count from the left otherwise. "
    "Several new tokens stand at the end, too.",
)
def _(n_queries, n_keys):
    mask = torch.ones(n_queries, n_keys, dtype=torch.bool)
    return mask if n_queries == 1 else mask.tril()


@causal_mask.mistake(
    "the new tokens alone",
    hint="You hide the keys of the cache. Each query sees everything before.",
)
def _(n_queries, n_keys):
    query, key = _places(n_queries, n_keys)
    return (key <= query) & (key >= n_keys - n_queries)


@causal_mask.mistake(
    "a prefix that sees itself",
    hint="You let the first tokens see each other in both directions. Each query sees itself "
    "and what stands before.",
)
def _(n_queries, n_keys):
    query, key = _places(n_queries, n_keys)
    return (key <= query) | (key < n_keys // 2)


@causal_mask.mistake(
    "a window as long as the queries",
    hint="You let each query see T keys back at most. It sees everything before.",
)
def _(n_queries, n_keys):
    query, key = _places(n_queries, n_keys)
    return (key <= query) & (key > query - n_queries)


@causal_mask.mistake(
    "each query itself alone",
    hint="You let each query see itself alone. It sees everything before, too.",
)
def _(n_queries, n_keys):
    query, key = _places(n_queries, n_keys)
    return key == query


@causal_mask.mistake(
    "as numbers for adding",
    hint="You hand back 0 and minus infinity, to be added. Asked for are booleans.",
)
def _(n_queries, n_keys):
    query, key = _places(n_queries, n_keys)
    return torch.zeros(n_queries, n_keys).masked_fill(key > query, -math.inf)


@causal_mask.mistake(
    "whole numbers", hint="You hand back whole numbers, 0 and 1. Asked for are booleans."
)
def _(n_queries, n_keys):
    query, key = _places(n_queries, n_keys)
    return (key <= query).long()


@causal_mask.mistake(
    "a square of all keys", hint="You hand back a row for each key. There is one for each query."
)
def _(n_queries, n_keys):
    return torch.ones(n_keys, n_keys, dtype=torch.bool).tril()


@causal_mask.mistake("a batch axis in front", hint="You put axes in front. Asked for is [T, S].")
def _(n_queries, n_keys):
    query, key = _places(n_queries, n_keys)
    return (key <= query)[None, None]


@causal_mask.mistake(
    "the queries back to front",
    hint="You number the queries from the end. The last row belongs to the last query.",
)
def _(n_queries, n_keys):
    query, key = _places(n_queries, n_keys)
    return (key <= query).flip(0)


@causal_mask.mistake(
    "one step too few for the cache",
    hint="You move the diagonal by one too few where there is a cache. It is S - T.",
)
def _(n_queries, n_keys):
    return torch.ones(n_queries, n_keys, dtype=torch.bool).tril(max(0, n_keys - n_queries - 1))


@causal_mask.mistake(
    "the same from both ends",
    hint="You mirror the mask from left to right, so that each query sees the last keys. It "
    "sees the first ones up to its own.",
)
def _(n_queries, n_keys):
    query, key = _places(n_queries, n_keys)
    return (key <= query).flip(1)


@causal_mask.mistake("moved by half", hint="You move the diagonal by half of S - T. All of it.")
def _(n_queries, n_keys):
    return torch.ones(n_queries, n_keys, dtype=torch.bool).tril((n_keys - n_queries) // 2)


@softmax.mistake(
    "squares in place of exponentials",
    hint="You share out squares. It is exponentials that are shared.",
)
def _(scores, mask=None):
    weights = scores.square() if mask is None else scores.square() * mask
    return weights / weights.sum(-1, keepdim=True).clamp(min=1e-9)


@scaled_dot_product_attention.mistake(
    "linear attention",
    hint="You make queries and keys positive and multiply (linear attention). The exercise has "
    "a softmax of the products.",
)
def _(q, k, v, mask=None):
    weights = (F.elu(q) + 1) @ (F.elu(k) + 1).mT
    weights = weights if mask is None else weights * mask
    return weights / weights.sum(-1, keepdim=True).clamp(min=1e-9) @ v


@scaled_dot_product_attention.mistake(
    "the largest visible value",
    hint="You take the largest of the visible values. They are mixed, by their weights.",
)
def _(q, k, v, mask=None):
    seen = torch.ones(len(q), q.size(1), k.size(1), dtype=torch.bool)
    seen = seen if mask is None else mask.expand_as(seen)
    values = v[:, None].expand(-1, q.size(1), -1, -1)
    best = values.masked_fill(~seen[..., None], -math.inf).amax(2)
    return best.masked_fill(best == -math.inf, 0)


@scaled_dot_product_attention.mistake(
    "the fourth root of the width",
    hint="You divide by the fourth root of K. It is the square root.",
)
def _(q, k, v, mask=None):
    return _attend(q, k, v, mask, q.size(-1) ** -0.25)


@scaled_dot_product_attention.mistake(
    "a softmax taken twice",
    hint="You take the softmax of weights that had one already. Once is enough.",
)
def _(q, k, v, mask=None):
    scores = q @ k.mT / math.sqrt(q.size(-1))
    scores = scores if mask is None else scores.masked_fill(~mask, -math.inf)
    weights = torch.nan_to_num(scores.softmax(-1)).softmax(-1)
    return (weights if mask is None else weights * mask) @ v


@scaled_dot_product_attention.mistake(
    "the query itself left out",
    hint="You keep a query from looking at its own place. The mask alone decides.",
)
def _(q, k, v, mask=None):
    others = ~torch.eye(q.size(1), k.size(1), dtype=torch.bool)
    return _attend(q, k, v, others if mask is None else mask & others)
