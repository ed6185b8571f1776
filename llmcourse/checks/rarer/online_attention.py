"""Rarer mistakes of the exercise on attention in chunks. Chapter 03 teaches this."""

import math

import torch

from llmcourse.checks.bank.online_attention import chunked_attention


def _walk(q, k, v, chunk, scale=None, shrink=True, top=torch.maximum, step=None, end=None, **more):
    """The walk past the chunks with another scale, another mending, or another end."""
    scale = 1 / math.sqrt(q.size(-1)) if scale is None else scale
    m = torch.full((len(q), 1), more.get("m", -math.inf), dtype=q.dtype)
    total = torch.full((len(q), 1), more.get("total", 0.0), dtype=q.dtype)
    mix = torch.zeros(len(q), v.size(-1), dtype=q.dtype)
    for n, (keys, values) in enumerate(zip(k.split(chunk), v.split(chunk), strict=True)):
        scores = q @ keys.mT * scale
        new = top(m, scores.amax(-1, keepdim=True))
        weights = (scores - new).exp()
        factor = (more.get("factor") or (lambda m, new: (m - new).exp()))(m, new) if n else 0.0
        factor = factor if shrink or not n else 1.0
        total = total * factor + weights.sum(-1, keepdim=True)
        mix = mix * factor + weights @ values
        m = (step or (lambda m, new: new))(m, new)
    return end(m, total, mix) if end else mix / total


@chunked_attention.mistake(
    "mended with the wrong sign",
    hint="You mend the old sums with the factor the wrong way round, so that they grow. With a "
    "larger maximum they shrink.",
)
def _(q, k, v, chunk):
    return _walk(q, k, v, chunk, factor=lambda m, new: (new - m).exp())


@chunked_attention.mistake(
    "mended by the difference, not its exponential",
    hint="You multiply by the difference of the maxima. It is e to the power of the difference.",
)
def _(q, k, v, chunk):
    return _walk(q, k, v, chunk, factor=lambda m, new: m - new)


@chunked_attention.mistake(
    "mended by the ratio of the maxima",
    hint="You multiply by old maximum over new. It is e to the power of their difference.",
)
def _(q, k, v, chunk):
    return _walk(q, k, v, chunk, factor=lambda m, new: m / new)


@chunked_attention.mistake("mended twice", hint="You multiply the old sums by the factor twice.")
def _(q, k, v, chunk):
    return _walk(q, k, v, chunk, factor=lambda m, new: (2 * (m - new)).exp())


@chunked_attention.mistake(
    "the new maximum not remembered", hint="You do not remember the new maximum for the next round."
)
def _(q, k, v, chunk):
    first = (q @ k[:chunk].mT).amax(-1, keepdim=True) / math.sqrt(q.size(-1))
    return _walk(q, k, v, chunk, step=lambda m, new: first)


@chunked_attention.mistake(
    "a total that begins at 1",
    hint="You begin the total at 1, as if there were a key with score 0. Begin at 0.",
)
def _(q, k, v, chunk):
    return _walk(q, k, v, chunk, end=lambda m, total, mix: mix / (total + (-m).exp()))


@chunked_attention.mistake(
    "one more in the total at the end", hint="You add 1 to the total. The keys share everything."
)
def _(q, k, v, chunk):
    return _walk(q, k, v, chunk, end=lambda m, total, mix: mix / (total + 1))


@chunked_attention.mistake(
    "divided by the number of keys", hint="You divide by the number of keys. Divide by the total."
)
def _(q, k, v, chunk):
    return _walk(q, k, v, chunk, end=lambda m, total, mix: mix / len(k))


@chunked_attention.mistake(
    "divided by the exponential of the maximum, too",
    hint="You undo the maximum in the mix alone. It is in both, the mix and the total, and "
    "drops out.",
)
def _(q, k, v, chunk):
    return _walk(q, k, v, chunk, end=lambda m, total, mix: mix * m.exp() / total)


@chunked_attention.mistake(
    "the totals beside it", hint="You hand back the total as well. Asked for is [T, K]."
)
def _(q, k, v, chunk):
    return _walk(q, k, v, chunk, end=lambda m, total, mix: (mix / total, m + total.log()))


@chunked_attention.mistake(
    "the queries in chunks",
    hint="You let each chunk of queries see its own chunk of keys. Every query looks at every key.",
)
def _(q, k, v, chunk):
    parts = zip(q.split(chunk), k.split(chunk), v.split(chunk), strict=False)
    parts = [(a @ b.mT / math.sqrt(q.size(-1))).softmax(-1) @ c for a, b, c in parts]
    out = torch.cat(parts)[: len(q)]
    return torch.cat([out, torch.zeros(len(q) - len(out), v.size(-1), dtype=v.dtype)])


@chunked_attention.mistake(
    "a causal mask within", hint="You hide the keys after each query. There is no mask here."
)
def _(q, k, v, chunk):
    out = []
    for t, query in enumerate(q):
        scores = k[: t + 1] @ query / math.sqrt(q.size(-1))
        out.append(scores.softmax(0) @ v[: t + 1])
    return torch.stack(out)


@chunked_attention.mistake(
    "only the chunk's best key", hint="You take one key of each chunk. All of them count."
)
def _(q, k, v, chunk):
    root = math.sqrt(q.size(-1))
    best = [(q @ keys.mT).max(-1) for keys in k.split(chunk)]
    scores = torch.stack([b.values / root for b in best], -1)
    picked = torch.stack([x[b.indices] for x, b in zip(v.split(chunk), best, strict=True)], 1)
    return (scores.softmax(-1)[..., None] * picked).sum(1)


@chunked_attention.mistake(
    "a softmax over the queries of each chunk",
    hint="You share along the queries. Each query's weights over the keys sum to one.",
)
def _(q, k, v, chunk):
    out = torch.zeros(len(q), v.size(-1), dtype=q.dtype)
    for keys, values in zip(k.split(chunk), v.split(chunk), strict=True):
        out = out + (q @ keys.mT / math.sqrt(q.size(-1))).softmax(0) @ values
    return out


@chunked_attention.mistake(
    "chunks weighed by their best score alone",
    hint="You weigh each chunk's result by the exponential of its largest score. Its weight is "
    "its total.",
)
def _(q, k, v, chunk):
    root = math.sqrt(q.size(-1))
    pairs = [(q @ a.mT / root, b) for a, b in zip(k.split(chunk), v.split(chunk), strict=True)]
    outs = torch.stack([scores.softmax(-1) @ values for scores, values in pairs], -1)
    tops = torch.stack([scores.amax(-1) for scores, _ in pairs], -1).softmax(-1)
    return (outs * tops[:, None]).sum(-1)


@chunked_attention.mistake(
    "a running mean of the chunks",
    hint="You average each chunk's result with what came before, half and half. Its weight is "
    "its part of the total.",
)
def _(q, k, v, chunk):
    out = None
    for keys, values in zip(k.split(chunk), v.split(chunk), strict=True):
        now = (q @ keys.mT / math.sqrt(q.size(-1))).softmax(-1) @ values
        out = now if out is None else (out + now) / 2
    return out


@chunked_attention.mistake(
    "values of the first chunk all along",
    hint="You mix the first chunk's values in every round. Each chunk of keys has its own values.",
)
def _(q, k, v, chunk):
    chunks = math.ceil(len(k) / chunk)
    return _walk(q, k, v[:chunk].repeat(chunks, 1)[: len(k)], chunk)


@chunked_attention.mistake(
    "overlapping chunks", hint="Your chunks overlap by one key, which then counts twice."
)
def _(q, k, v, chunk):
    at = [
        n for start in range(0, len(k), chunk) for n in range(start, min(start + chunk + 1, len(k)))
    ]
    return _walk(q, k[at], v[at], chunk)


@chunked_attention.mistake(
    "the first key of each chunk left out",
    hint="You leave out one key between two chunks. Each begins where the one before ended.",
)
def _(q, k, v, chunk):
    at = [n for n in range(len(k)) if n % chunk or n == 0]
    return _walk(q, k[at], v[at], chunk)


@chunked_attention.mistake(
    "keys and values that get no gradient",
    hint="You cut the gradient off at keys and values. It flows back to all three.",
)
def _(q, k, v, chunk):
    return _walk(q, k.detach(), v.detach(), chunk)


@chunked_attention.mistake(
    "queries that get no gradient",
    hint="You cut the gradient off at the queries. It flows back to all three.",
)
def _(q, k, v, chunk):
    return _walk(q.detach(), k, v, chunk)


@chunked_attention.mistake(
    "a factor that gets no gradient",
    hint="You cut the gradient off at the running sums. It flows through all rounds.",
)
def _(q, k, v, chunk):
    return _walk(q, k, v, chunk, factor=lambda m, new: (m - new).exp().detach())


@chunked_attention.mistake(
    "a logistic weight for each key",
    hint="You squash each score by itself. The keys share one total.",
)
def _(q, k, v, chunk):
    out = torch.zeros(len(q), v.size(-1), dtype=q.dtype)
    for keys, values in zip(k.split(chunk), v.split(chunk), strict=True):
        out = out + (q @ keys.mT / math.sqrt(q.size(-1))).sigmoid() @ values
    return out


@chunked_attention.mistake(
    "in single precision throughout",
    hint="You keep the running sums in float32. They have the dtype of q.",
)
def _(q, k, v, chunk):
    return _walk(q.float(), k.float(), v.float(), chunk)


@chunked_attention.mistake(
    "a new chunk that is mended as well",
    hint="You multiply the new chunk by the factor, too. It was made with the new maximum already.",
)
def _(q, k, v, chunk):
    m = torch.full((len(q), 1), -math.inf, dtype=q.dtype)
    total, mix = torch.zeros_like(m), torch.zeros(len(q), v.size(-1), dtype=q.dtype)
    for keys, values in zip(k.split(chunk), v.split(chunk), strict=True):
        scores = q @ keys.mT / math.sqrt(q.size(-1))
        new = torch.maximum(m, scores.amax(-1, keepdim=True))
        weights, factor = (scores - new).exp(), (m - new).exp() if m.isfinite().all() else 1.0
        total = (total + weights.sum(-1, keepdim=True)) * factor
        mix = (mix + weights @ values) * factor
        m = new
    return mix / total


@chunked_attention.mistake(
    "two different maxima",
    hint="You mend the mix and the total with different maxima. Both sums shrink by the same "
    "factor.",
)
def _(q, k, v, chunk):
    m = torch.full((len(q), 1), -math.inf, dtype=q.dtype)
    total, mix = torch.zeros_like(m), torch.zeros(len(q), v.size(-1), dtype=q.dtype)
    first = None
    for keys, values in zip(k.split(chunk), v.split(chunk), strict=True):
        scores = q @ keys.mT / math.sqrt(q.size(-1))
        new = torch.maximum(m, scores.amax(-1, keepdim=True))
        first = new if first is None else first
        total = total + (scores - first).exp().sum(-1, keepdim=True)
        mix = mix * (m - new).exp() + (scores - new).exp() @ values
        m = new
    return mix / total


@chunked_attention.mistake(
    "the mean of the chunk's scores taken off",
    hint="You take the chunk's mean off and mend as if it were the largest so far. It is the "
    "largest.",
)
def _(q, k, v, chunk):
    total, mix = 0, 0
    for keys, values in zip(k.split(chunk), v.split(chunk), strict=True):
        scores = q @ keys.mT / math.sqrt(q.size(-1))
        weights = (scores - scores.mean(-1, keepdim=True)).exp()
        total, mix = total + weights.sum(-1, keepdim=True), mix + weights @ values
    return mix / total


@chunked_attention.mistake(
    "values divided by the root as well",
    hint="You divide the values by the root of K. It belongs to the scores.",
)
def _(q, k, v, chunk):
    return _walk(q, k, v, chunk) / math.sqrt(q.size(-1))


@chunked_attention.mistake(
    "no weight at all for the last key",
    hint="You leave the last key out. The last chunk ends at S.",
)
def _(q, k, v, chunk):
    end = max(1, len(k) - 1)
    return _walk(q, k[:end], v[:end], chunk)
