"""The exercise on attention that never holds the whole matrix: FlashAttention's idea.

Shapes are given in the letters of `shapes.py`. Not here: attention as it is (`attention.py`), how
numbers that are alive are counted (`live_numbers.py`). Chapter 03 teaches this.
"""

import math
from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from llmcourse.checks.harness import Case, case, exercise
from llmcourse.checks.live_numbers import LiveNumbers
from llmcourse.nn import attention as reference

CHAPTER = "03"
LONG = 100
"""From so many keys on, the matrix is so large that holding it cannot be an accident."""


class WholeMatrixError(AssertionError):
    """At one moment, as many numbers were alive as all the scores together."""


class CutOffError(AssertionError):
    """The result does not depend on what it was made of, as far as gradients can tell."""


def _within_memory(
    answer: Callable[..., Tensor], q: Tensor, k: Tensor, v: Tensor, chunk: int
) -> Tensor:
    """Call `answer`; raise if it held as many numbers as the `T x S` matrix, or cut gradients off.

    Small matrices are not watched: there, a few rows of anything are as large.
    """
    with LiveNumbers() as live:
        output = answer(q, k, v, chunk)
    n_scores = q.size(0) * k.size(0)
    if k.size(0) >= LONG and live.peak >= n_scores:
        raise WholeMatrixError(f"at one moment, {n_scores} numbers or more were held: T x S")
    if q.requires_grad and isinstance(output, Tensor):
        _ask_for_gradients(output, {"q": q, "k": k, "v": v})
    return output


def _ask_for_gradients(output: Tensor, inputs: dict[str, Tensor]) -> None:
    """Raise if gradients do not flow back, or are wrong where the output itself is right.

    What was computed in place, over numbers that gradients need, is let through: torch says so
    itself as soon as anybody trains with it. So is what takes plain numbers for its weights.
    """
    if not output.requires_grad:
        raise CutOffError("no gradient can flow back to q, k and v: look for .item() or .detach()")
    truth = _attend(*inputs.values())
    if truth.shape != output.shape or not torch.allclose(truth, output.to(truth), atol=1e-4):
        return
    given = list(inputs.values())
    try:
        found = torch.autograd.grad(output.sum(), given, retain_graph=True, allow_unused=True)
    except RuntimeError:
        return
    if found[0] is None and found[1] is None:
        return
    for name, value, gradient in zip(
        inputs, torch.autograd.grad(truth.sum(), given), found, strict=True
    ):
        if gradient is None:
            raise CutOffError(f"no gradient can flow back to {name}: look for .item() or .detach()")
        if not torch.allclose(value, gradient.to(value), rtol=1e-3, atol=1e-4):
            raise CutOffError(f"the gradient of {name} is wrong: look for .item() or .detach()")


@exercise(CHAPTER, axes="T K", call=_within_memory, read="9. What does it cost?")
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
    one, ten = torch.tensor([[1.0]]), torch.tensor([[10.0], [20.0]])
    yield case("by hand", one, torch.tensor([[0.0], [1.0]]), ten, 1)
    q, k, v = _rows(5, 12, 3)
    yield case("four chunks of three", q, k, v, 3)
    yield case("a last chunk that is not full", q, k[:11], v[:11], 4)
    yield case("one key at a time", q, k, v, 1)
    yield case("one chunk is enough", q, k[:4], v[:4], 8)
    ramp = torch.arange(12.0)[:, None].expand(12, 3).contiguous()
    loud = torch.full((5, 3), 40.0)
    yield case("scores that keep rising", loud, ramp, v, 3)
    yield case("scores that keep falling", loud, ramp.flip(0), v, 3)
    yield case("scores far below zero", -1000 * loud, ramp + 20, v, 3)
    apart = torch.cat([loud[:2], -loud[:2]])
    yield case("queries far apart", apart, ramp, v, 3)
    yield case("a long text", *_rows(32, 160, 2), 16)
    q, k, v = _rows(2, 5, 2)
    yield case("for training", q.requires_grad_(), k.requires_grad_(), v.requires_grad_(), 2)


def _rows(n_queries: int, n_keys: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = (torch.randn(n, width) for n in (n_queries, n_keys, n_keys))
    return 2 * q, k, v  # scores of a size at which scaling matters


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return reference.scaled_dot_product_attention(q, k, v).output


@chunked_attention.mistake(
    "each chunk counts by its size",
    hint="You average the chunks' outputs by how many keys they have. What counts is how well "
    "those keys match: the sum of their exponentials.",
)
def _(q, k, v, chunk):
    pieces = zip(k.split(chunk), v.split(chunk), strict=True)
    return sum(_attend(q, keys, values) * len(keys) for keys, values in pieces) / len(k)


@chunked_attention.mistake(
    "totals of different maxima are compared",
    hint="Each chunk's total was made with its own maximum, so the totals cannot be added: first "
    "bring them to one maximum, by exp(old m - new m).",
)
def _(q, k, v, chunk):
    mixed, total = 0, 0
    for keys, values in zip(k.split(chunk), v.split(chunk), strict=True):
        scores = q @ keys.mT / math.sqrt(q.size(-1))
        weights = (scores - scores.amax(-1, keepdim=True)).exp()
        mixed, total = mixed + weights @ values, total + weights.sum(-1, keepdim=True)
    return mixed / total


@chunked_attention.mistake(
    "the last chunk is filled up with zeros",
    hint="A key of zeros has the score 0, and takes its share. Let the last chunk be shorter.",
)
def _(q, k, v, chunk):
    more = torch.zeros(-len(k) % chunk, k.size(1)).to(k)
    return _online(q, torch.cat([k, more]), torch.cat([v, more]), chunk)


@chunked_attention.mistake(
    "each chunk's own maximum",
    hint="You take away the chunk's maximum, not the largest score so far. When the scores fall, "
    "the correction grows without end. Take the larger of the old m and the chunk's.",
)
def _(q, k, v, chunk):
    return _online(q, k, v, chunk, running=False)


@chunked_attention.mistake(
    "m starts at 0",
    hint="If every score is far below 0, a maximum of 0 makes every exp vanish, and you divide 0 "
    "by 0. Before the first chunk nothing has been seen: minus infinity.",
)
def _(q, k, v, chunk):
    return _online(q, k, v, chunk, start=0.0)


@chunked_attention.mistake(
    "one maximum for all queries",
    hint="Each query has its own largest score. Far below another query's, all of its exp "
    "underflow to 0.",
)
def _(q, k, v, chunk):
    return _online(q, k, v, chunk, shared=True)


@chunked_attention.mistake(
    "only the last chunk counts",
    hint="Every round wipes out what came before. Do you add to the sums, and does the old m "
    "become the new one at the end of a round?",
)
def _(q, k, v, chunk):
    return _online(q, k, v, chunk, remember=False)


@chunked_attention.mistake(
    "only the first chunk counts",
    hint="The later chunks never arrive in your sums. Is there a `return` inside the loop?",
)
def _(q, k, v, chunk):
    return _attend(q, k[:chunk], v[:chunk])


@chunked_attention.mistake(
    "divided in each round",
    hint="You divide by the total inside the loop, and the next round goes on with what is divided "
    "already. Divide once, at the end.",
)
def _(q, k, v, chunk):
    return _online(q, k, v, chunk, divide_each=True)


@chunked_attention.mistake(
    "infinity in the first round",
    hint="Before the first chunk the old m is minus infinity. The factor is exp(old m - new m), "
    "which is then 0, and the chunk's own exponentials need the new m. One of the two is the other "
    "way round.",
)
def _(q, k, v, chunk):
    return _online(q, k, v, chunk, sign=-1)


@chunked_attention.mistake(
    "not divided at the end",
    hint="The mix was never divided by the total: at the end comes o / l.",
)
def _(q, k, v, chunk):
    return _online(q, k, v, chunk, divide=False)


@chunked_attention.mistake(
    "the sum of the chunks' outputs",
    hint="Each chunk was normalised by itself, and all were added up. Keep sums across chunks and "
    "divide once, at the end.",
)
def _(q, k, v, chunk):
    pieces = zip(k.split(chunk), v.split(chunk), strict=True)
    return torch.stack([_attend(q, keys, values) for keys, values in pieces]).sum(0)


@chunked_attention.mistake(
    "divided by the root of the chunk",
    hint="A score is a sum over the head's width K. How many keys are read at a time has nothing "
    "to do with it.",
)
def _(q, k, v, chunk):
    return _online(q * math.sqrt(q.size(-1) / chunk), k, v, chunk)


@chunked_attention.mistake(
    "the whole matrix after all",
    hint="Right, and exactly what was to be avoided: at one moment all T x S scores were there, in "
    "one matrix or in a list of pieces, yours or the library's. Work on one chunk of keys at a "
    "time and keep sums, not scores.",
)
def _(q, k, v, chunk):
    return _attend(q, k, v)


@chunked_attention.mistake(
    "the mean of the chunks' outputs",
    hint="Each chunk was normalised by itself, so an unimportant chunk counts as much as an "
    "important one. Keep sums across chunks and divide once, at the end.",
)
def _(q, k, v, chunk):
    pieces = zip(k.split(chunk), v.split(chunk), strict=True)
    return torch.stack([_attend(q, keys, values) for keys, values in pieces]).mean(0)


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
    return _online(q, k, v, chunk, shrink_output=False)


@chunked_attention.mistake(
    "the output shrinks, the total does not",
    hint="Both sums were made with the old maximum: the total needs the same correction.",
)
def _(q, k, v, chunk):
    return _online(q, k, v, chunk, shrink_total=False)


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
    return _online(q, k[:whole], v[:whole], chunk)


@chunked_attention.mistake(
    "the scores are not scaled",
    hint="The online part works. Divide the scores by the root of the head's width, as ever.",
)
def _(q, k, v, chunk):
    return _online(q * math.sqrt(q.size(-1)), k, v, chunk)


def _online(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    chunk: int,
    **change: bool | float,
) -> Tensor:
    """The right loop, or with a change a wrong one."""
    largest = torch.full_like(q[:, :1], change.get("start", -math.inf))
    total, output = torch.zeros_like(largest), torch.zeros_like(q)
    for keys, values in zip(k.split(chunk), v.split(chunk), strict=True):
        scores = q @ keys.mT / math.sqrt(q.size(-1))
        highest = scores.amax(-1, keepdim=True)
        if change.get("shared", False):
            highest = scores.amax().expand_as(highest)
        running = change.get("running", True)
        new_largest = torch.maximum(largest, highest) if running else highest
        shrink = (change.get("sign", 1) * (largest - new_largest)).exp()
        weights = (scores - new_largest).exp()
        total = total * (shrink if change.get("shrink_total", True) else 1)
        total = total + weights.sum(-1, keepdim=True)
        output = output * (shrink if change.get("shrink_output", True) else 1) + weights @ values
        if change.get("divide_each", False):
            output = output / total
        if change.get("remember", True):
            largest = new_largest
    divided = change.get("divide_each", False) or not change.get("divide", True)
    return output if divided else output / total
