"""Costs of communication: closed forms of bytes and seconds, before anything has run.

What a collective sends follows from how long the tensor is and how many ranks there are; how long
it takes follows from that, from the latency of a message (α) and the bandwidth of a link (β). The
tests hold every form here to the bytes that `Channel` counted. Sizes are in elements until a
dtype says how many bytes an element has. Not here: the collectives (`collectives.py`), the link's
two numbers (`links.py`), and what a rank holds (`memory.py`). Chapter 10 teaches this.
"""

import math
from dataclasses import dataclass

from llmcourse.errors import UserError


@dataclass(frozen=True)
class Link:
    """Link between two ranks: `seconds(x) = latency + x / bandwidth` (Hockney, 1994).

    Attributes:
        latency: seconds until the first byte of a message arrives, α.
        bandwidth: bytes a second after that, 1 / β.
    """

    latency: float
    bandwidth: float

    def __post_init__(self) -> None:
        if not (self.latency >= 0 and self.bandwidth > 0):
            raise UserError(
                f"a link of latency={self.latency} and bandwidth={self.bandwidth} cannot be: "
                "give seconds of at least 0, and bytes a second above 0"
            )


@dataclass(frozen=True)
class Cost:
    """Cost of one collective.

    Attributes:
        sent: how many bytes each rank sends, by rank.
        messages: how many messages each rank sends, by rank.
        rounds: how many messages have to follow one another.
        path: the bytes of those messages together: one link's work, from the first to the last.
    """

    sent: tuple[int, ...]
    messages: tuple[int, ...]
    rounds: int
    path: int

    def seconds(self, link: Link) -> float:
        """Predicted time, `rounds α + path β`, where every link is the same and only one's own."""
        return self.rounds * link.latency + self.path / link.bandwidth

    def __add__(self, other: "Cost") -> "Cost":
        """Cost of one after the other."""
        return Cost(
            tuple(a + b for a, b in zip(self.sent, other.sent, strict=True)),
            tuple(a + b for a, b in zip(self.messages, other.messages, strict=True)),
            self.rounds + other.rounds,
            self.path + other.path,
        )


def chunk_lengths(length: int, n: int) -> list[int]:
    """Lengths of n chunks that differ by one at the most, the longer ones first."""
    return [length // n + (rank < length % n) for rank in range(n)]


def broadcast_naive(length: int, n: int, element: int = 4) -> Cost:
    """Rank 0 sends everything to everybody: its link is busy n - 1 times."""
    size = length * element
    alone = (n - 1, *[0] * (n - 1))
    return Cost(tuple(size * count for count in alone), alone, n - 1, (n - 1) * size)


def broadcast(length: int, n: int, element: int = 4) -> Cost:
    """By a tree from rank 0: whoever has it passes it on, so every round doubles who has it."""
    size = length * element
    rounds = math.ceil(math.log2(n))
    # In round k the ranks below 2^k send 2^k further, if somebody is there.
    counts = tuple(sum(rank < 2**k and rank + 2**k < n for k in range(rounds)) for rank in range(n))
    return Cost(tuple(size * count for count in counts), counts, rounds, rounds * size)


def all_reduce_naive(length: int, n: int, element: int = 4) -> Cost:
    """All to rank 0 and back: rank 0's link carries the tensor 2 (n - 1) times."""
    size = length * element
    there = Cost((0, *[size] * (n - 1)), (0, *[1] * (n - 1)), n - 1, (n - 1) * size)
    return there + broadcast_naive(length, n, element)


def reduce_scatter(length: int, n: int, element: int = 4) -> Cost:
    """Around the ring: rank r sends all chunks but its own, `(n - 1) / n` of the tensor."""
    chunks = [chunk * element for chunk in chunk_lengths(length, n)]
    return _ring([sum(chunks) - chunk for chunk in chunks], max(chunks), n)


def all_gather(length: int, n: int, element: int = 4) -> Cost:
    """Around the ring: rank r sends all chunks but its successor's. `length` is that of all."""
    chunks = [chunk * element for chunk in chunk_lengths(length, n)]
    sent = [sum(chunks) - chunks[(rank + 1) % n] for rank in range(n)]
    return _ring(sent, max(chunks), n)


def all_reduce(length: int, n: int, element: int = 4) -> Cost:
    """By a ring: a reduce-scatter, then an all-gather; each rank sends `2 (n - 1) / n` of it.

    However many ranks there are, that is less than twice the tensor (Patarasuk and Yuan, 2009).
    """
    return reduce_scatter(length, n, element) + all_gather(length, n, element)


def all_to_all(length: int, n: int, element: int = 4) -> Cost:
    """Everybody has a chunk for everybody: rank r keeps chunk r and sends the others."""
    chunks = [chunk * element for chunk in chunk_lengths(length, n)]
    return _ring([sum(chunks) - chunk for chunk in chunks], max(chunks), n)


def _ring(sent: list[int], largest: int, n: int) -> Cost:
    """Rounds in which every rank sends one chunk: all links work at the same time."""
    return Cost(tuple(sent), (n - 1,) * n, n - 1, (n - 1) * largest)


# --- a step of training -------------------------------------------------------------------------


def zero_traffic(units: list[int], n: int, stage: int, element: int = 4) -> Cost:
    """Traffic of one step on one micro-batch, with the loss and the count; units in elements.

    Stage 0 is plain data parallelism, whose units are buckets: an all-reduce of each. Stages 1 and
    2 scatter the sum of the gradients and gather the parameters, which is no more. Stage 3 gathers
    twice, for either pass.

    Raises:
        UserError: there is no such stage.
    """
    if stage not in (0, 1, 2, 3):
        raise UserError(f"ZeRO has no stage {stage}: choose 1, 2 or 3, or 0 to share nothing")
    cost = all_reduce(2, n, 8)
    for length in units:
        # An all-reduce is a reduce-scatter and an all-gather: stages 0 to 2 differ in what is kept.
        cost += reduce_scatter(length, n, element) + all_gather(length, n, element)
        if stage == 3:
            cost += all_gather(length, n, element)
    return cost


def tensor_parallel_traffic(
    tokens: int, d_model: int, n_layers: int, n: int, element: int = 4, *, head_norms: int = 0
) -> Cost:
    """Traffic of one forward and backward pass over so many tokens, the vocabulary cut, too.

    Four all-reduces of `[tokens, D]` in each block: after the attention and the MLP going forward,
    before them going backward (Shoeybi et al., 2019, figure 4). One more after the embedding and
    one before the head; three of `[tokens]` for the loss. `head_norms` is the width of the norms of
    queries and keys, if there are any: their gradients are summed.
    """
    wide, thin = all_reduce(tokens * d_model, n, element), all_reduce(tokens, n, element)
    cost = thin + thin + thin + wide + wide
    for _ in range(n_layers):
        cost += wide + wide + wide + wide
        if head_norms:
            cost += all_reduce(head_norms, n, element) + all_reduce(head_norms, n, element)
    return cost


def pipeline_traffic(
    tokens: int, d_model: int, n: int, n_micro_batches: int, element: int = 4
) -> Cost:
    """Traffic of one step through a pipeline, micro-batches of so many tokens each.

    Every stage but the last sends `[tokens, D]` onwards for each micro-batch, and every stage but
    the first sends it back; the loss and the count follow. Layers do not matter, only cuts.
    """
    size = tokens * d_model * element
    counts = tuple(n_micro_batches * ((rank < n - 1) + (rank > 0)) for rank in range(n))
    # The last micro-batch sets out behind the others, and passes n - 1 links; twice.
    rounds = 2 * (n_micro_batches + n - 2) if n > 1 else 0
    through = Cost(tuple(size * count for count in counts), counts, rounds, rounds * size)
    return through + all_reduce(2, n, 8)


def bubble(n_stages: int, n_micro_batches: int) -> float:
    """The share of time in which a pipeline's stages wait, `(p - 1) / (m + p - 1)`.

    Huang et al., 2019, section 2; with GPipe and with 1F1B, where all stages take equally long.
    """
    return (n_stages - 1) / (n_micro_batches + n_stages - 1)
