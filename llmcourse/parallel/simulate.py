"""A step of training on many cards, simulated: seconds and bytes for every mixture of the ways.

Closed forms on top of `costs.py` and `memory.py`, for clusters that nobody has at home. What they
assume:

- a card multiplies with the share `efficiency` of its peak, and reads and writes behind that;
- weights and gradients have 2 bytes, AdamW and the weight in full precision 12 (mixed precision);
- attention is fused and nothing is computed twice: a block keeps `(10 + 24 / t) D` bytes of a token
  (Korthikanti et al., 2022, equation 2, without the scores);
- the ranks of a tensor-parallel group are neighbours, then those of a data-parallel one, then the
  stages. Each card has a way of its own out of its machine, so a group with k cards in a machine
  runs k rings at once, which leave it by k ways;
- all-reduces of tensor parallelism and messages between stages are waited for. The gradients'
  all-reduce hides behind the last micro-batch's backward pass, ZeRO 3's gathers behind everything;
- 1F1B with equal stages, one sequence a micro-batch.

Real runs lose time to more than this. Not here: interleaved stages, sequence and expert
parallelism, recomputation, and anything that fails. Chapter 10 teaches this.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from llmcourse.errors import UserError
from llmcourse.models.gpt import GPTConfig
from llmcourse.parallel import costs
from llmcourse.parallel.costs import Link
from llmcourse.parallel.memory import zero_memory

ELEMENT = 2
"""Bytes of a weight, a gradient and an activation."""
STATE = 12
"""Bytes that the optimizer keeps of a weight: itself in float32, and two moments."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Cluster: how many cards, what one can do, and the links between them.

    Attributes:
        cards: how many.
        per_node: how many of them sit in one machine.
        flops: multiplications and additions a second of a card, at its peak.
        memory: bytes that a card has for training.
        inside: the link between two cards of a machine.
        between: the link between two machines, for each card.
        efficiency: the share of the peak that a matrix product gets.
    """

    cards: int
    per_node: int
    flops: float
    memory: float
    inside: Link
    between: Link
    efficiency: float = 0.5


def h100s(cards: int) -> Cluster:
    """H100 cards in machines of eight, by published figures; latencies and efficiency assumed.

    NVIDIA, DGX H100 datasheet (2023): 989 TFLOP/s dense in bfloat16, 80 GB (nine tenths of them
    used), NVLink with 900 GB/s in both directions together, one 400 Gb/s InfiniBand port for each
    card. The 5 and 10 microseconds a message are an assumption.
    """
    return Cluster(
        cards=cards,
        per_node=8,
        flops=989e12,
        memory=0.9 * 80e9,
        inside=Link(5e-6, 450e9),
        between=Link(10e-6, 50e9),
    )


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """Mixture of the ways: into how many parts each of them cuts.

    Attributes:
        data: replicas, each with rows of its own.
        tensor: pieces of every matrix.
        pipeline: stages.
        zero: ZeRO's stage among the replicas; 0 shares nothing.
    """

    data: int = 1
    tensor: int = 1
    pipeline: int = 1
    zero: int = 0

    @property
    def cards(self) -> int:
        """How many cards it takes."""
        return self.data * self.tensor * self.pipeline

    def __str__(self) -> str:
        zero = f", ZeRO {self.zero}" if self.zero else ""
        return f"data {self.data}, tensor {self.tensor}, pipeline {self.pipeline}{zero}"


@dataclass(frozen=True)
class Forecast:
    """Forecast of one step.

    Attributes:
        mixture: how the work is shared.
        memory: bytes on the fullest card.
        compute: seconds in which every card computes.
        bubble: seconds of waiting for the pipeline to fill and to empty.
        tensor: seconds of all-reduces within the blocks.
        pipeline: seconds of messages between stages.
        data: seconds of gradients and weights on their way that nothing hides.
        mfu: useful operations a second, as a share of the cards' peak.
    """

    mixture: Mixture
    memory: float
    compute: float
    bubble: float
    tensor: float
    pipeline: float
    data: float
    mfu: float

    @property
    def seconds(self) -> float:
        """A step's length."""
        return sum(self.parts().values())

    def parts(self) -> dict[str, float]:
        """Seconds by what they are for."""
        names = ("compute", "bubble", "tensor", "pipeline", "data")
        return {name: getattr(self, name) for name in names}


def memory_on_card(config: GPTConfig, mixture: Mixture, micro_batches: int) -> float:
    """Bytes on the first stage's cards: weights, gradients, optimizer, activations, logits."""
    share = config.n_parameters / (mixture.tensor * mixture.pipeline)
    held = zero_memory(round(share), mixture.data, mixture.zero, element=ELEMENT, state=STATE)
    tokens, layers = config.context_length, config.n_layers / mixture.pipeline
    # The first stage keeps as many micro-batches as there are stages: of all layers, together.
    flying = min(micro_batches, mixture.pipeline)
    kept = tokens * config.d_model * (10 + 24 / mixture.tensor) * layers * flying
    logits = 4 * tokens * config.vocab_size / mixture.tensor
    # What ZeRO 3 gathers for the block at work.
    gathered = ELEMENT * share / layers if mixture.zero == 3 else 0.0
    return held.total + kept + logits + gathered


def flops_per_token(config: GPTConfig) -> float:
    """Operations of a forward and a backward pass: 6 a weight, and attention to half the tokens."""
    return 6 * config.n_parameters + 6 * config.n_layers * config.d_model * config.context_length


def forecast(config: GPTConfig, cluster: Cluster, mixture: Mixture, sequences: int) -> Forecast:
    """A step on `sequences` of the model's context length.

    Raises:
        UserError: the mixture does not use all cards, or cuts what it cannot cut.
    """
    _check(config, cluster, mixture, sequences)
    d, t, p = mixture.data, mixture.tensor, mixture.pipeline
    micro, tokens = sequences // d, config.context_length
    work = flops_per_token(config) * tokens * sequences / cluster.cards
    compute = work / (cluster.flops * cluster.efficiency)
    slots = micro + p - 1  # as long as one micro-batch takes on one stage
    within = costs.tensor_parallel_traffic(tokens, config.d_model, config.n_layers // p, t, ELEMENT)
    tensor = slots * within.seconds(_link(cluster, 1, t)) if t > 1 else 0.0
    hop = cluster.inside if cluster.cards <= cluster.per_node else cluster.between
    wide = ELEMENT * tokens * config.d_model
    pipeline = 2 * slots * (hop.latency + wide / hop.bandwidth) if p > 1 else 0.0
    share = round(config.n_parameters / (t * p))
    seconds = compute + compute / micro * (p - 1) + tensor + pipeline
    return Forecast(
        mixture=mixture,
        memory=memory_on_card(config, mixture, micro),
        compute=compute,
        bubble=compute / micro * (p - 1),
        tensor=tensor,
        pipeline=pipeline,
        data=(exposed := _exposed(share, mixture, _link(cluster, t, d), compute, micro)),
        mfu=work / (seconds + exposed) / cluster.flops,
    )


def mixtures(config: GPTConfig, cluster: Cluster, sequences: int) -> Iterator[Mixture]:
    """Every mixture that uses all cards and cuts what can be cut, powers of two alone."""
    sizes = [2**k for k in range(round(math.log2(cluster.cards)) + 1)]
    for tensor in sizes:
        for pipeline in sizes:
            data = cluster.cards // (tensor * pipeline)
            for zero in (0, 1, 3) if data > 1 else (0,):
                mixture = Mixture(data=data, tensor=tensor, pipeline=pipeline, zero=zero)
                if not _problem(config, cluster, mixture, sequences):
                    yield mixture


def fastest(config: GPTConfig, cluster: Cluster, sequences: int) -> list[Forecast]:
    """Forecasts of the mixtures that fit into the cards' memory, the fastest first."""
    every = (forecast(config, cluster, m, sequences) for m in mixtures(config, cluster, sequences))
    return sorted(
        (one for one in every if one.memory <= cluster.memory),
        key=lambda one: (one.seconds, one.memory),
    )


def _exposed(share: int, mixture: Mixture, link: Link, compute: float, micro: int) -> float:
    """Seconds of data parallelism that no computation hides."""
    if mixture.data == 1:
        return 0.0
    traffic = costs.zero_traffic([share], mixture.data, mixture.zero, ELEMENT).seconds(link)
    if mixture.zero == 3:  # gathered and reduced for every micro-batch
        return max(0.0, micro * traffic - compute)
    return max(0.0, traffic - compute / micro * 2 / 3)


def _link(cluster: Cluster, stride: int, ranks: int) -> Link:
    """The link that a group of so many ranks has, each `stride` cards from the next."""
    if stride * ranks <= cluster.per_node:
        return cluster.inside
    lanes = max(1, cluster.per_node // stride)  # as many as the group has cards in a machine
    bandwidth = min(cluster.inside.bandwidth, lanes * cluster.between.bandwidth)
    return Link(cluster.between.latency, bandwidth)


def _check(config: GPTConfig, cluster: Cluster, mixture: Mixture, sequences: int) -> None:
    problem = _problem(config, cluster, mixture, sequences)
    if problem:
        raise UserError(problem)


def _problem(config: GPTConfig, cluster: Cluster, mixture: Mixture, sequences: int) -> str:
    """Why a mixture cannot be; empty if it can."""
    if mixture.cards != cluster.cards:
        return f"{mixture} takes {mixture.cards} cards, and there are {cluster.cards}"
    if config.kv_heads % mixture.tensor:
        return f"{config.kv_heads} key/value heads do not divide among {mixture.tensor} cards"
    if config.n_layers % mixture.pipeline:
        return f"{config.n_layers} layers do not divide among {mixture.pipeline} stages"
    if sequences % mixture.data:
        return f"{sequences} sequences do not divide among {mixture.data} replicas"
    if mixture.zero == 3 and mixture.pipeline > 1:
        return "ZeRO 3 would gather every weight for every micro-batch of a pipeline: take 1"
    return ""
