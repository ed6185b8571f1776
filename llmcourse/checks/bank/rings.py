"""The exercises on collectives: bytes around a ring, the ring itself, gradients of ragged ranks.

Not here: the exercises on shards (`shards.py`) and on pipelines (`pipelines.py`), the exercises'
texts (`solutions/`), and how checking works (`harness.py`). Chapter 10 teaches this.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmcourse.checks.harness import Case, case, exercise
from llmcourse.parallel import costs

CHAPTER = "10"
RING = "2. How do ranks add up their numbers?"

# 1. Bytes around a ring


@exercise(CHAPTER, variants=(), read=RING)
def ring_bytes(numbers: int, ranks: int, element: int) -> int:
    """Bytes that one rank sends: 2 (n - 1) chunks."""
    return costs.all_reduce(numbers, ranks, element).sent[0]


@ring_bytes.cases
def _() -> Iterator[Case]:
    yield case("by hand", 12, 4, 4)
    yield case("two ranks", 10, 2, 8)
    yield case("eight ranks in bfloat16", 64, 8, 2)
    yield case("one rank", 100, 1, 4)
    yield case("as many ranks as numbers", 5, 5, 1)
    yield case("seven billion on a thousand", 7_000_000_000, 1000, 2)


@ring_bytes.mistake(
    "one half of it",
    hint="That is the reduce-scatter. Afterwards the finished chunks go around once more.",
)
def _(numbers, ranks, element):
    return (ranks - 1) * (numbers // ranks) * element


@ring_bytes.mistake(
    "the whole tensor twice",
    hint="Each half has n − 1 steps, not n: a rank never has to send what it owns in the end to "
    "itself. With one rank nothing is sent.",
)
def _(numbers, ranks, element):
    return 2 * numbers * element


@ring_bytes.mistake(
    "a whole tensor in every step",
    hint="In a step one *chunk* goes out, the n-th part. What you have is what all ranks send "
    "together.",
)
def _(numbers, ranks, element):
    return 2 * (ranks - 1) * numbers * element


@ring_bytes.mistake(
    "numbers, not bytes", hint="Each number has `element` bytes: 4 in float32, 2 in bfloat16."
)
def _(numbers, ranks, element):
    return 2 * (ranks - 1) * (numbers // ranks)


@ring_bytes.mistake(
    "what rank 0 sends without a ring",
    hint="To send the sum to n − 1 others costs rank 0 n − 1 tensors. In a ring nobody does that.",
)
def _(numbers, ranks, element):
    return (ranks - 1) * numbers * element


@ring_bytes.mistake(
    "one step of each half",
    hint="That is one chunk there and one back. Each half has n − 1 steps.",
)
def _(numbers, ranks, element):
    return 2 * (numbers // ranks) * element


@ring_bytes.mistake(
    "2n - 1 steps",
    hint="Two halves of n − 1 steps are 2n − 2 together.",
)
def _(numbers, ranks, element):
    return (2 * ranks - 1) * (numbers // ranks) * element


@ring_bytes.mistake("bits", hint="Bytes are asked for. You have eight times as many: bits.")
def _(numbers, ranks, element):
    return 16 * (ranks - 1) * (numbers // ranks) * element


@ring_bytes.mistake(
    "chunks for all but one",
    hint="The tensor is cut into as many chunks as there are ranks, not into one less.",
)
def _(numbers, ranks, element):
    return 2 * (ranks - 1) * (numbers // max(1, ranks - 1)) * element


@ring_bytes.mistake(
    "n - 2 steps", hint="A half has n − 1 steps: each chunk has to pass all other ranks."
)
def _(numbers, ranks, element):
    return 2 * max(0, ranks - 2) * (numbers // ranks) * element


@ring_bytes.mistake(
    "steps like a tree", hint="In a ring a half takes n − 1 steps. Logarithms belong to trees."
)
def _(numbers, ranks, element):
    return 2 * math.ceil(math.log2(ranks)) * (numbers // ranks) * element


@ring_bytes.mistake(
    "one rank sends to itself", hint="One rank alone has nobody to send to: 0 bytes."
)
def _(numbers, ranks, element):
    return 2 * max(1, ranks - 1) * (numbers // ranks) * element


# 2. The ring, step by step


def _as_lists(answer: Any, tensors: list[Tensor], steps: int) -> Any:
    """Rows may be tuples."""
    table = answer(tensors, steps)
    if not isinstance(table, list | tuple):
        return table
    return [list(row) if isinstance(row, tuple) else row for row in table]


@exercise(CHAPTER, call=_as_lists, strict=False, read=RING)
def ring_all_reduce(tensors: list[Tensor], steps: int) -> list[list[Tensor]]:
    """What each rank has of each chunk after so many steps: which ranks' chunks are in it."""
    n = len(tensors)
    chunks = [tensor.tensor_split(n) for tensor in tensors]
    gathered = steps - (n - 1)
    table = []
    for r in range(n):
        row = []
        for c in range(n):
            came = (r - c - 1) % n  # chunk c sets out from rank c + 1, and is here so much later
            whose = [(c + 1 + k) % n for k in range(came + 1)] if came <= steps else [r]
            if (r - c) % n <= gathered:
                whose = list(range(n))
            row.append(torch.stack([chunks[rank][c] for rank in whose]).sum(dim=0))
        table.append(row)
    return table


@ring_all_reduce.cases
def _() -> Iterator[Case]:
    two = [torch.tensor([1.0, 2.0]), torch.tensor([10.0, 20.0])]
    yield case("by hand, the first step", two, 1)
    yield case("by hand, both steps", [row.clone() for row in two], 2)
    four = [torch.tensor([1.0, 2.0, 3.0, 4.0]) * 10**r for r in range(4)]
    for steps in range(7):
        yield case(f"four ranks, after {steps}", [row.clone() for row in four], steps)
    yield case("three ranks, uneven chunks", [torch.randn(8) for _ in range(3)], 4)
    yield case("three ranks, half-way", [torch.randn(8) for _ in range(3)], 2)
    yield case("five ranks, three numbers", [torch.randn(3) for _ in range(5)], 8)
    yield case("one rank", [torch.randn(4)], 0)
    yield case("integers", [torch.arange(6) + r for r in range(3)], 3)
    yield case("four ranks, six numbers", [torch.randn(6) for _ in range(4)], 5)


def _ring(
    tensors, steps, *, offset=0, direction=1, gather_offset=0, add=(True, False), last=None,
    chunk_of=None,
):  # fmt: skip
    """The ring, with one of its habits changed."""
    n = len(tensors)
    table = [list(tensor.tensor_split(n)) for tensor in tensors]
    for step in range(1, min(steps, 2 * n if last is None else last(n)) + 1):
        adding = step < n
        back = step - offset if adding else step - n + gather_offset
        chunk = chunk_of or (lambda r, back: (r - back) % n)
        moving = [(r, chunk(r, back) % n) for r in range(n)]
        moving = [(r, c, table[r][c]) for r, c in moving]
        for r, c, arrived in moving:
            to = (r + direction) % n
            table[to][c] = table[to][c] + arrived if add[0 if adding else 1] else arrived
    return table


@ring_all_reduce.mistake(
    "the sum at once",
    hint="You return the finished sum, whatever `steps` is. The ring gets there step by step: "
    "after one step each rank has one chunk with two ranks' numbers.",
)
def _(tensors, steps):
    total = torch.stack(tensors).sum(dim=0)
    return [list(total.tensor_split(len(tensors))) for _ in tensors]


@ring_all_reduce.mistake(
    "added in the second half, too",
    hint="From step n on the chunks that travel are finished. Who receives one *replaces* its own: "
    "if it adds, numbers count twice.",
)
def _(tensors, steps):
    return _ring(tensors, steps, add=(True, True))


@ring_all_reduce.mistake(
    "replaced in the first half, too",
    hint="Until step n − 1 the receiver *adds* what comes to what it has. You throw its own "
    "numbers away.",
)
def _(tensors, steps):
    return _ring(tensors, steps, add=(False, False))


@ring_all_reduce.mistake(
    "the second half is missing",
    hint="After n − 1 steps each rank owns one finished chunk, and the others need it: n − 1 more "
    "steps.",
)
def _(tensors, steps):
    return _ring(tensors, steps, last=lambda n: n - 1)


@ring_all_reduce.mistake(
    "the other way around",
    hint="Rank r sends to rank r + 1. Yours sends to r − 1.",
)
def _(tensors, steps):
    return _ring(tensors, steps, direction=-1)


@ring_all_reduce.mistake(
    "the first chunk is r, not r - 1",
    hint="In step 1 rank r sends chunk r − 1. If it begins with chunk r, the finished chunks come "
    "to lie one rank further, and the second half sends unfinished ones.",
)
def _(tensors, steps):
    return _ring(tensors, steps, offset=1)


@ring_all_reduce.mistake(
    "always the same chunk",
    hint="Rank r sends chunk r − 1 in the first step, and in the next the one that has come to it, "
    "r − 2. You send the same one each time.",
)
def _(tensors, steps):
    return _ring(tensors, steps, chunk_of=lambda r, back: r - 1)


@ring_all_reduce.mistake(
    "the second half begins one chunk early",
    hint="In step n rank r sends chunk r, the one that it has finished. Yours sends r − 1.",
)
def _(tensors, steps):
    return _ring(tensors, steps, gather_offset=1)


@ring_all_reduce.mistake(
    "one step too few",
    hint="After `steps` steps, that many have been taken: `range(steps)` has steps 0 to steps − 1, "
    "and yours are counted from 1.",
)
def _(tensors, steps):
    return _ring(tensors, steps - 1)


@ring_all_reduce.mistake(
    "chunks up instead of down",
    hint="The chunk is (r − s) mod n: it moves *against* the ranks' order. You send (r + s) mod n.",
)
def _(tensors, steps):
    return _ring(tensors, steps, chunk_of=lambda r, back: r + back)


@ring_all_reduce.mistake(
    "a mean in place of the sum", hint="The ring adds. Nothing is divided by the number of ranks."
)
def _(tensors, steps):
    return [
        [chunk / len(tensors) for chunk in row] for row in ring_all_reduce.right(tensors, steps)
    ]


@ring_all_reduce.mistake(
    "cut by `chunk`",
    hint="`chunk` makes fewer pieces where the length does not divide. `tensor_split(n)` always "
    "makes n of them.",
)
def _(tensors, steps):
    n = len(tensors)
    if len(tensors[0].chunk(n)) < n:
        return [list(tensor.chunk(n)) for tensor in tensors]
    return ring_all_reduce.right(tensors, steps)


# 3. Ranks with more and fewer tokens


@exercise(CHAPTER, axes="D", read="3. What if every rank has its own rows?")
def global_gradient(means: Float[Tensor, "N D"], counts: Int[Tensor, " N"]) -> Float[Tensor, " D"]:
    """The mean of the rows, weighed by the counts; rows without a count do not take part."""
    some = counts > 0
    weights = counts[some].to(means.dtype)
    return torch.einsum("nd,n->d", means[some], weights) / weights.sum()


@global_gradient.cases
def _() -> Iterator[Case]:
    yield case("by hand", torch.tensor([[2.0], [6.0]]), torch.tensor([3, 1]))
    yield case("equal counts", torch.randn(3, 4), torch.tensor([5, 5, 5]))
    yield case("ragged", torch.randn(4, 3), torch.tensor([1, 20, 300, 7]))
    idle = torch.randn(3, 2)
    idle[1] = torch.nan
    yield case("a rank that scored nothing", idle, torch.tensor([4, 0, 2]))
    alone = torch.full((3, 2), torch.nan)
    alone[2] = torch.tensor([1.0, -1.0])
    yield case("all but one scored nothing", alone, torch.tensor([0, 0, 9]))
    yield case("one rank", torch.randn(1, 5), torch.tensor([8]))
    yield case("as many ranks as weights", torch.randn(3, 3), torch.tensor([2, 3, 40]))


@global_gradient.mistake(
    "the mean of the means",
    hint="Each rank counts the same then, and a token on a rank with few weighs more. Weigh each "
    "row by its count.",
)
def _(means, counts):
    return means.nan_to_num().sum(0) / (counts > 0).sum()


@global_gradient.mistake(
    "NaN times 0",
    hint="Your weights are right, but NaN times 0 is NaN: one rank that scored nothing spoils all. "
    "Leave its row out, or choose with `torch.where`.",
)
def _(means, counts):
    return (means * counts[:, None]).sum(0) / counts.sum()


@global_gradient.mistake(
    "divided by the ranks",
    hint="You sum means times counts, which is a sum over tokens. So divide by the number of "
    "tokens, not of ranks.",
)
def _(means, counts):
    return (means.nan_to_num() * counts[:, None]).sum(0) / len(counts)


@global_gradient.mistake(
    "not divided",
    hint="That is the gradient of the *summed* loss. Divide once, by all tokens.",
)
def _(means, counts):
    return (means.nan_to_num() * counts[:, None]).sum(0)


@global_gradient.mistake(
    "not weighed",
    hint="A row is a mean already. Times its count it is a sum, and then sums can be added: you "
    "divide means by the number of tokens.",
)
def _(means, counts):
    return means.nan_to_num().sum(0) / counts.sum()


@global_gradient.mistake(
    "the mean over all ranks, silent ones as 0",
    hint="A rank that scored nothing pulls your mean towards 0, and the others are not weighed by "
    "their counts.",
)
def _(means, counts):
    return means.nan_to_num().mean(0)


@global_gradient.mistake(
    "divided by the counts",
    hint="A rank with *more* tokens weighs more: multiply its mean by its count.",
)
def _(means, counts):
    inverse = torch.where(counts > 0, 1 / counts.clamp(min=1).to(means.dtype), 0.0)
    return (means.nan_to_num() * inverse[:, None]).sum(0) / inverse.sum()


@global_gradient.mistake(
    "the rank with the most tokens",
    hint="Every rank has something to say, as much as it has tokens.",
)
def _(means, counts):
    return means[counts.argmax()]


def _with_a_count(means, counts):
    return means[counts > 0], counts[counts > 0]


@global_gradient.mistake(
    "the sum of the means",
    hint="Multiply each mean by its count before you add, and divide by all tokens.",
)
def _(means, counts):
    return _with_a_count(means, counts)[0].sum(0)


@global_gradient.mistake(
    "a softmax of the counts",
    hint="The weights are the counts' shares, counts / counts.sum(), with no exponentials.",
)
def _(means, counts):
    return counts.to(means.dtype).softmax(0) @ means.nan_to_num()


@global_gradient.mistake(
    "whole shares", hint="`//` of counts gives 0 or 1. The shares of the tokens are fractions: `/`."
)
def _(means, counts):
    return (means.nan_to_num() * (counts // counts.sum())[:, None]).sum(0)


@global_gradient.mistake(
    "the counts of other ranks",
    hint="Where you drop a rank's row, drop its count as well: both by the same mask.",
)
def _(means, counts):
    kept, _ = _with_a_count(means, counts)
    return (kept * counts[: len(kept), None]).sum(0) / counts.sum()
