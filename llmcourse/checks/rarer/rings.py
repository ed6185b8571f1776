"""Rarer mistakes of the exercises on rings of ranks. Chapter 10 teaches this."""

import math

import torch

from llmcourse.checks.bank.rings import global_gradient, ring_all_reduce, ring_bytes


@ring_bytes.mistake(
    "up and down a tree",
    hint="You count messages along a tree, which grow with the logarithm. In a ring each rank "
    "sends a chunk in each of its steps.",
)
def _(numbers, ranks, element):
    return 2 * math.ceil(math.log2(ranks)) * numbers * element


@ring_bytes.mistake(
    "to a server and back",
    hint="You count what a rank would send to a single server. Around a ring it sends chunks, to "
    "its neighbour.",
)
def _(numbers, ranks, element):
    return numbers * element


@ring_bytes.mistake(
    "one step more in the first half",
    hint="You count n steps in one half and n - 1 in the other. Both have n - 1.",
)
def _(numbers, ranks, element):
    return (2 * ranks - 3) * numbers // ranks * element


@ring_bytes.mistake(
    "one step",
    hint="You count what goes out in one step. Both halves have n - 1 of them.",
)
def _(numbers, ranks, element):
    return numbers // ranks * element


@ring_bytes.mistake(
    "all but one rank together",
    hint="You add up what n - 1 ranks send. Asked for is one rank's part.",
)
def _(numbers, ranks, element):
    return 2 * (ranks - 1) ** 2 * numbers // ranks * element


@ring_bytes.mistake(
    "divided by the ranks twice",
    hint="You divide by the ranks twice. A chunk is the numbers over the ranks, once.",
)
def _(numbers, ranks, element):
    return 2 * (ranks - 1) * numbers * element / ranks**2


@ring_bytes.mistake(
    "half of the ring",
    hint="You let messages go half around the ring, as if both directions were used. They go one "
    "way, n - 1 steps.",
)
def _(numbers, ranks, element):
    return 2 * (ranks // 2) * (numbers // ranks) * element


def _ring(
    tensors,
    steps,
    first=lambda r, s, n: r - s,
    second=lambda r, k, n: r - k,
    way=1,
    add=lambda own, sent: own + sent,
    cut=None,
    half=None,
):
    """The ring, with other chunks, another neighbour, or another way to put what arrives."""
    n = len(tensors)
    cut = cut or (lambda tensor: tensor.tensor_split(n))
    half = n - 1 if half is None else half
    table = [[chunk.clone() for chunk in cut(tensor)] for tensor in tensors]
    for step in range(1, steps + 1):
        adding = step <= half
        which = [
            (first(r, step, n) if adding else second(r, step - half - 1, n)) % n for r in range(n)
        ]
        sent = [table[r][which[r]] for r in range(n)]
        for r in range(n):
            to, chunk = (r + way) % n, which[r]
            table[to][chunk] = add(table[to][chunk], sent[r]) if adding else sent[r]
    return table


@ring_all_reduce.mistake(
    "the larger of the two stays",
    hint="The receiver keeps the larger number. It adds what arrives.",
)
def _(tensors, steps):
    return _ring(tensors, steps, add=torch.maximum)


@ring_all_reduce.mistake(
    "halves of both",
    hint="The receiver averages its own and what arrives. It adds.",
)
def _(tensors, steps):
    return _ring(tensors, steps, add=lambda own, sent: (own + sent) / 2)


@ring_all_reduce.mistake(
    "what arrives is taken off",
    hint="The receiver subtracts what arrives. It adds.",
)
def _(tensors, steps):
    return _ring(tensors, steps, add=lambda own, sent: own - sent)


@ring_all_reduce.mistake(
    "what arrives is multiplied",
    hint="The receiver multiplies. It adds.",
)
def _(tensors, steps):
    return _ring(tensors, steps, add=lambda own, sent: own * sent)


@ring_all_reduce.mistake(
    "the mean of the ranks",
    hint="You divide the finished sums by the number of ranks. The ring leaves sums.",
)
def _(tensors, steps):
    n = len(tensors)
    table = _ring(tensors, steps)
    return [[chunk / n for chunk in row] for row in table] if steps >= 2 * n - 2 else table


@ring_all_reduce.mistake(
    "each rank begins with its own chunk",
    hint="In the first step you let rank r send its chunk r. In step s it sends chunk r - s.",
)
def _(tensors, steps):
    return _ring(tensors, steps, first=lambda r, s, n: r - s + 1, second=lambda r, k, n: r - k + 1)


@ring_all_reduce.mistake(
    "the first half begins one chunk too early",
    hint="In the first half you send chunk r - s - 1. It is r - s.",
)
def _(tensors, steps):
    return _ring(tensors, steps, first=lambda r, s, n: r - s - 1)


@ring_all_reduce.mistake(
    "the second half begins one chunk on",
    hint="In the second half you send chunk r - k + 1. It is r - k: what a rank has finished.",
)
def _(tensors, steps):
    return _ring(tensors, steps, second=lambda r, k, n: r - k + 1)


@ring_all_reduce.mistake(
    "chunks counted up in the second half",
    hint="In the second half you send chunk r + k. The number goes down: r - k.",
)
def _(tensors, steps):
    return _ring(tensors, steps, second=lambda r, k, n: r + k)


@ring_all_reduce.mistake(
    "the step number for the chunk",
    hint="All ranks send the chunk of the step's number. Each sends another one: take the rank "
    "into account.",
)
def _(tensors, steps):
    return _ring(tensors, steps, first=lambda r, s, n: s, second=lambda r, k, n: k)


@ring_all_reduce.mistake(
    "always the rank's own chunk",
    hint="Each rank sends the same chunk in each step. The chunk changes with the step.",
)
def _(tensors, steps):
    return _ring(tensors, steps, first=lambda r, s, n: r, second=lambda r, k, n: r)


@ring_all_reduce.mistake(
    "the ring the other way round, chunks too",
    hint="You turn the ring around, neighbours and chunks. The sums come out, and the steps "
    "between do not.",
)
def _(tensors, steps):
    return _ring(tensors, steps, first=lambda r, s, n: r + s, second=lambda r, k, n: r + k, way=-1)


@ring_all_reduce.mistake(
    "n steps in the first half",
    hint="Your first half has n steps. The n-th step replaces already.",
)
def _(tensors, steps):
    return _ring(tensors, steps, half=len(tensors))


@ring_all_reduce.mistake(
    "n - 2 steps in the first half",
    hint="Your first half is one step too short. Steps 1 to n - 1 add.",
)
def _(tensors, steps):
    return _ring(tensors, steps, half=max(0, len(tensors) - 2))


@ring_all_reduce.mistake(
    "under the receiver's number",
    hint="You put what arrives under the receiver's chunk number. It belongs under the sender's.",
)
def _(tensors, steps):
    n = len(tensors)
    table = [list(tensor.tensor_split(n)) for tensor in tensors]
    for step in range(1, steps + 1):
        back = step if step < n else step - n
        sent = [table[r][(r - back) % n] for r in range(n)]
        for r in range(n):
            to, chunk = (r + 1) % n, (r + 1 - back) % n
            table[to][chunk] = table[to][chunk] + sent[r] if step < n else sent[r]
    return table


@ring_all_reduce.mistake(
    "pieces of one length, the last one shorter",
    hint="You cut by `chunk`, which rounds lengths up. `tensor_split` lets them differ by one at "
    "most.",
)
def _(tensors, steps):
    n = len(tensors)

    def cut(tensor):
        chunks = list(tensor.chunk(n)) if len(tensor) else []
        return chunks + [tensor[:0]] * (n - len(chunks))

    return _ring(tensors, steps, cut=cut)


@ring_all_reduce.mistake(
    "the last chunk takes the rest",
    hint="Your last chunk takes all that is left over. The first chunks are longer by one.",
)
def _(tensors, steps):
    n = len(tensors)
    size = len(tensors[0]) // n
    cuts = [size * at for at in range(1, n)]
    return _ring(tensors, steps, cut=lambda tensor: tensor.tensor_split(cuts))


@ring_all_reduce.mistake(
    "chunks filled up with zeros",
    hint="You fill the vectors up so that chunks have one length. They may differ by one.",
)
def _(tensors, steps):
    n = len(tensors)
    size = -(-len(tensors[0]) // n)

    def cut(tensor):
        return torch.nn.functional.pad(tensor, (0, size * n - len(tensor))).view(n, size)

    return _ring(tensors, steps, cut=cut)


@ring_all_reduce.mistake(
    "what is sent is gone",
    hint="A rank that sends a chunk sets its own to zero. It keeps it.",
)
def _(tensors, steps):
    n = len(tensors)
    table = [list(tensor.tensor_split(n)) for tensor in tensors]
    for step in range(1, steps + 1):
        back = step if step < n else step - n
        sent = [table[r][(r - back) % n] for r in range(n)]
        for r in range(n):
            if step < n:
                table[r][(r - back) % n] = torch.zeros_like(sent[r])
        for r in range(n):
            to, chunk = (r + 1) % n, (r - back) % n
            table[to][chunk] = table[to][chunk] + sent[r] if step < n else sent[r]
    return table


@ring_all_reduce.mistake(
    "chunks down, ranks across",
    hint="Your table has a list for each chunk. It has one for each rank.",
)
def _(tensors, steps):
    return [list(row) for row in zip(*_ring(tensors, steps), strict=True)]


@ring_all_reduce.mistake(
    "the last rank sends to nobody",
    hint="Your last rank sends nothing on. Its neighbour is rank 0: it is a ring.",
)
def _(tensors, steps):
    n = len(tensors)
    table = [list(tensor.tensor_split(n)) for tensor in tensors]
    for step in range(1, steps + 1):
        k = step if step < n else step - n
        sent = [table[r][(r - k) % n] for r in range(n)]
        for r in range(n - 1):
            chunk = (r - k) % n
            table[r + 1][chunk] = table[r + 1][chunk] + sent[r] if step < n else sent[r]
    return table


@ring_all_reduce.mistake(
    "one step too many",
    hint="You take one step more than asked for. After 0 steps nothing has changed.",
)
def _(tensors, steps):
    return _ring(tensors, steps + 1)


@ring_all_reduce.mistake(
    "each rank sends what it had at the start",
    hint="You add the chunk as the sender had it at the start. It sends what it has now, sums and "
    "all.",
)
def _(tensors, steps):
    n = len(tensors)
    start = [tensor.tensor_split(n) for tensor in tensors]
    table = [list(row) for row in start]
    for step in range(1, steps + 1):
        k = step if step < n else step - n
        sent = [(start if step < n else table)[r][(r - k) % n] for r in range(n)]
        for r in range(n):
            to, chunk = (r + 1) % n, (r - k) % n
            table[to][chunk] = table[to][chunk] + sent[r] if step < n else sent[r]
    return table


def _weighed(means, weights, over=None):
    """Rows that have a count, times weights, over the sum of the weights or something else."""
    rows = torch.where((weights > 0)[:, None], means, 0.0)
    return (rows * weights[:, None]).sum(0) / (weights.sum() if over is None else over)


@global_gradient.mistake(
    "weighed by the roots of the counts",
    hint="You weigh with the roots of the counts. A mean times its count is a sum.",
)
def _(means, counts):
    return _weighed(means, counts.to(means.dtype).sqrt())


@global_gradient.mistake(
    "weighed by the squares of the counts",
    hint="You weigh with the counts twice. A mean times its count is a sum: once is enough.",
)
def _(means, counts):
    return _weighed(means, counts.to(means.dtype) ** 2)


@global_gradient.mistake(
    "weighed by the logarithms of the counts",
    hint="You weigh with logarithms of the counts. A mean times its count is a sum.",
)
def _(means, counts):
    return _weighed(means, counts.to(means.dtype).log1p())


@global_gradient.mistake(
    "weighed by a softmax of the counts",
    hint="You make weights of the counts by a softmax. They are proportional to the counts.",
)
def _(means, counts):
    counts = counts.to(means.dtype)
    return _weighed(means, torch.where(counts > 0, counts.softmax(0), 0.0))


@global_gradient.mistake(
    "the median of the ranks",
    hint="You take the median over the ranks. Asked for is the mean over all tokens.",
)
def _(means, counts):
    return means[counts > 0].median(0).values


@global_gradient.mistake(
    "the first rank that has anything",
    hint="You return the gradient of the first rank that scored anything. All of them count.",
)
def _(means, counts):
    return means[counts > 0][0].clone()


@global_gradient.mistake(
    "a rank with nothing counts as one token",
    hint="You raise each count to one at least. A rank that scored nothing adds nothing to the "
    "divisor.",
)
def _(means, counts):
    return _weighed(means, counts.to(means.dtype), counts.clamp(min=1).sum())


@global_gradient.mistake(
    "one token too many",
    hint="You add one to the number of tokens, perhaps against a division by zero. At least one "
    "rank scored something.",
)
def _(means, counts):
    return _weighed(means, counts.to(means.dtype), counts.sum() + 1)


@global_gradient.mistake(
    "divided by the ranks that have anything",
    hint="You divide the sums by the ranks that scored anything. Divide by the tokens of all.",
)
def _(means, counts):
    return _weighed(means, counts.to(means.dtype), (counts > 0).sum())


@global_gradient.mistake(
    "divided by the largest count",
    hint="You divide by the largest count. Divide by the tokens of all.",
)
def _(means, counts):
    return _weighed(means, counts.to(means.dtype), counts.max())


@global_gradient.mistake(
    "divided by the largest count for each rank",
    hint="You divide by the ranks times the largest count, as if all had been filled up. Divide by "
    "the tokens of all.",
)
def _(means, counts):
    return _weighed(means, counts.to(means.dtype), len(counts) * counts.max())


@global_gradient.mistake(
    "divided by the tokens and the ranks",
    hint="You divide by the tokens and then by the ranks. Once is enough.",
)
def _(means, counts):
    return _weighed(means, counts.to(means.dtype), counts.sum() * len(counts))


@global_gradient.mistake(
    "a row for each rank",
    hint="You return a row for each rank. They are summed.",
)
def _(means, counts):
    return torch.where((counts > 0)[:, None], means, 0.0) * (counts / counts.sum())[:, None]


@global_gradient.mistake(
    "a mean over the width, too",
    hint="You average over the gradient's entries. Each of the D stays.",
)
def _(means, counts):
    return _weighed(means, counts.to(means.dtype)).mean()


@global_gradient.mistake(
    "brought to length 1",
    hint="You bring the gradient to length 1. Its length is a part of it.",
)
def _(means, counts):
    gradient = _weighed(means, counts.to(means.dtype))
    return gradient / gradient.norm()


@global_gradient.mistake(
    "the signs of the ranks",
    hint="You let the ranks vote by their signs. The gradients themselves are averaged.",
)
def _(means, counts):
    return _weighed(means.sign(), counts.to(means.dtype))


@global_gradient.mistake(
    "ranks below the mean count left out",
    hint="You leave ranks with few tokens out. Each token counts, wherever it is.",
)
def _(means, counts):
    counts = counts.to(means.dtype)
    return _weighed(means, torch.where(counts >= counts.mean(), counts, 0.0))


@ring_bytes.mistake(
    "what arrives counts, too",
    hint="You count what a rank sends and what it receives. Only what it sends is asked for.",
)
def _(numbers, ranks, element):
    return 4 * (ranks - 1) * (numbers // ranks) * element


@ring_bytes.mistake(
    "in gigabytes",
    hint="You divide by 10^9. Bytes are asked for.",
)
def _(numbers, ranks, element):
    return 2 * (ranks - 1) * (numbers // ranks) * element / 1e9


@ring_bytes.mistake(
    "the first half twice as long",
    hint="You count twice as many steps in one half as in the other. Both have n - 1.",
)
def _(numbers, ranks, element):
    return 3 * (ranks - 1) * (numbers // ranks) * element


@global_gradient.mistake(
    "clipped to length 1",
    hint="You clip the gradient. Its length is a part of it.",
)
def _(means, counts):
    gradient = _weighed(means, counts.to(means.dtype))
    return gradient / gradient.norm().clamp(min=1)


@global_gradient.mistake(
    "divided by the root of the tokens",
    hint="You divide the sums by the root of the number of tokens. A mean divides by the number.",
)
def _(means, counts):
    return _weighed(means, counts.to(means.dtype), counts.sum().sqrt())


@global_gradient.mistake(
    "the largest of the ranks, entry by entry",
    hint="You take the largest over the ranks. Asked for is the mean over all tokens.",
)
def _(means, counts):
    return means[counts > 0].max(0).values


@ring_all_reduce.mistake(
    "the second half in one step",
    hint="You hand all finished sums around in one step. Each step takes one chunk to one "
    "neighbour.",
)
def _(tensors, steps):
    n = len(tensors)
    return _ring(tensors, steps if steps < n else 2 * n - 2)


@ring_all_reduce.mistake(
    "the first half in one step",
    hint="You add everything up in one step. Each step takes one chunk to one neighbour.",
)
def _(tensors, steps):
    n = len(tensors)
    return _ring(tensors, max(steps, n - 1) if steps else 0)
