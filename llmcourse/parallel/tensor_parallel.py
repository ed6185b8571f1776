"""Tensor parallelism: every matrix is cut, and each rank multiplies with its piece.

A column-parallel linear layer makes some of the outputs from all of the inputs; a row-parallel one
takes just these as its inputs and makes a part of every output, which are summed. So an MLP, and an
attention with its heads shared out, talk once a pass, at their end (Shoeybi et al., 2019). Two
functions hold all of the communication, f and g: each is the other's gradient. The vocabulary is
cut, too, and cross-entropy never sees all logits in one place. Not here: norms and dropout on a
part of the sequence (Korthikanti et al., 2022). Chapter 10 teaches this.
"""

import copy
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from llmcourse.errors import UserError
from llmcourse.models.gpt import GPT
from llmcourse.nn.attention import Attention
from llmcourse.objectives.base import IGNORE, LossSum
from llmcourse.parallel.collectives import all_reduce
from llmcourse.parallel.costs import chunk_lengths
from llmcourse.parallel.world import Channel


class _CopyToRanks(torch.autograd.Function):
    """f: the identity forward, a sum over all ranks backward."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, channel: Channel) -> Tensor:
        ctx.channel = channel
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return all_reduce(ctx.channel, grads[0]), None


class _SumOverRanks(torch.autograd.Function):
    """g: a sum over all ranks forward, the identity backward."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, channel: Channel) -> Tensor:
        return all_reduce(channel, tensor)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


def copy_to_ranks(tensor: Tensor, channel: Channel) -> Tensor:
    """Megatron's f: before a parallel part, where all ranks hold the same tensor.

    Each rank's part uses it for something else, so its gradient is the sum of theirs.
    """
    return _CopyToRanks.apply(tensor, channel)


def sum_over_ranks(tensor: Tensor, channel: Channel) -> Tensor:
    """Megatron's g: after a parallel part, where each rank holds one summand.

    All ranks go on with the same sum and so have its gradient already, which is every summand's.
    """
    return _SumOverRanks.apply(tensor, channel)


class ColumnLinear(nn.Linear):
    """Column-parallel linear layer: this rank's outputs, from all inputs.

    Called by columns as in `y = x A`; `nn.Linear` stores `A^T`, so it is a piece of its rows. The
    input has to pass `copy_to_ranks` once before the layers that share it.
    """

    def __init__(self, linear: nn.Linear, channel: Channel, multiple: int = 1) -> None:
        start, end = piece(linear.out_features, channel, multiple)
        bias = linear.bias is not None
        super().__init__(linear.in_features, end - start, bias=bias, device="meta")
        self.weight = nn.Parameter(linear.weight.detach()[start:end].clone())
        if bias:
            self.bias = nn.Parameter(linear.bias.detach()[start:end].clone())


class RowLinear(nn.Linear):
    """Row-parallel linear layer: a summand of every output, from this rank's inputs; then the sum.

    The bias is added once, after the sum, and stays the same on all ranks.
    """

    def __init__(self, linear: nn.Linear, channel: Channel, multiple: int = 1) -> None:
        start, end = piece(linear.in_features, channel, multiple)
        bias = linear.bias is not None
        super().__init__(end - start, linear.out_features, bias=bias, device="meta")
        self.channel = channel
        self.weight = nn.Parameter(linear.weight.detach()[:, start:end].clone())
        if bias:
            self.bias = nn.Parameter(linear.bias.detach().clone())

    def forward(self, input: Float[Tensor, "*B K"]) -> Float[Tensor, "*B N"]:
        """Multiply with this rank's rows, and sum over the ranks."""
        summed = sum_over_ranks(F.linear(input, self.weight), self.channel)
        return summed if self.bias is None else summed + self.bias


def piece(length: int, channel: Channel, multiple: int = 1) -> tuple[int, int]:
    """Where this rank's piece of an axis begins and ends; never through a group of `multiple`.

    Raises:
        UserError: there are fewer groups than ranks.
    """
    groups = length // multiple
    if groups < channel.size:
        raise UserError(
            f"{groups} heads or columns cannot be shared by {channel.size} ranks: take {groups} "
            "at the most"
        )
    lengths = chunk_lengths(groups, channel.size)
    start = sum(lengths[: channel.rank])
    return start * multiple, (start + lengths[channel.rank]) * multiple


class ParallelMLP(nn.Module):
    """Feed-forward part of which each rank has some hidden units: F is cut, D is not.

    Made of the whole one's weights. What bends the line works on each unit by itself, so nothing
    has to be said between the two matrices.
    """

    def __init__(self, mlp: nn.Module, channel: Channel) -> None:
        super().__init__()
        self.channel = channel
        self.local = copy.deepcopy(mlp)  # its own forward pass, with narrower matrices
        for name in ("gate_proj", "up_proj"):
            if isinstance(linear := getattr(mlp, name, None), nn.Linear):
                setattr(self.local, name, ColumnLinear(linear, channel))
        self.local.down_proj = RowLinear(mlp.down_proj, channel)  # ty: ignore[invalid-argument-type]

    def forward(self, hidden: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """Transform each position."""
        return self.local(copy_to_ranks(hidden, self.channel))


class ParallelAttention(nn.Module):
    """Attention of which each rank has some heads: H and G are cut, D is not.

    Made of the whole one's weights. Heads do not look at each other: nothing has to be said until
    their outputs are mixed by `o_proj`.

    Raises:
        UserError: the key/value heads cannot be shared out evenly, or a bias on the scores has
            parameters or slopes of the heads, which this does not cut.
    """

    def __init__(self, attention: Attention, channel: Channel) -> None:
        super().__init__()
        n, groups = channel.size, attention.n_kv_heads
        if groups % n:
            fits = [ranks for ranks in range(1, groups + 1) if groups % ranks == 0]
            raise UserError(
                f"{groups} key/value heads do not divide among {n} ranks: "
                f"take {' or '.join(map(str, fits))} ranks"
            )
        if attention.position_bias is not None:
            raise UserError(
                "a bias on the scores is not cut into heads here: "
                'choose positions="rope", "learned" or "none"'
            )
        self.channel = channel
        width = attention.q_proj.out_features // attention.n_heads
        self.local = copy.deepcopy(attention)
        self.local.n_heads = attention.n_heads // n
        self.local.n_kv_heads = groups // n
        for name in ("q_proj", "k_proj", "v_proj"):
            setattr(self.local, name, ColumnLinear(getattr(attention, name), channel, width))
        self.local.o_proj = RowLinear(attention.o_proj, channel, width)
        # The norms over a head's width are whole on every rank, but each sees its own heads alone.
        for norm in (self.local.q_norm, self.local.k_norm):
            for parameter in () if norm is None else norm.parameters():
                parameter.register_hook(lambda grad: all_reduce(channel, grad))

    def forward(self, hidden: Float[Tensor, "B T D"], **kwargs: Any) -> Float[Tensor, "B T D"]:
        """Let positions look at each other; the arguments are `Attention.forward`'s."""
        return self.local(copy_to_ranks(hidden, self.channel), **kwargs)


class VocabularyEmbedding(nn.Module):
    """Embedding of which each rank has the rows of some tokens; V is cut.

    A rank knows nothing of the others' tokens: there it says zero, and the sum is what the one who
    knows said.
    """

    def __init__(self, embedding: nn.Embedding, channel: Channel) -> None:
        super().__init__()
        self.channel = channel
        self.start, self.end = piece(embedding.num_embeddings, channel)
        self.weight = nn.Parameter(embedding.weight.detach()[self.start : self.end].clone())

    def forward(self, ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """The vector of each token."""
        mine = (ids >= self.start) & (ids < self.end)
        rows = F.embedding((ids - self.start).where(mine, 0), self.weight)
        return sum_over_ranks(rows * mine[..., None], self.channel)


class VocabularyHead(nn.Module):
    """Output head of which each rank has some tokens: its logits, `[B, T, V / n]`."""

    def __init__(self, head: nn.Linear, channel: Channel) -> None:
        super().__init__()
        self.channel = channel
        self.start, self.end = piece(head.out_features, channel)
        self.weight = nn.Parameter(head.weight.detach()[self.start : self.end].clone())

    def forward(self, hidden: Float[Tensor, "B T D"]) -> Float[Tensor, "B T N"]:
        """Score this rank's tokens."""
        return F.linear(copy_to_ranks(hidden, self.channel), self.weight)


def vocabulary_loss(
    logits: Float[Tensor, "B T N"], targets: Int[Tensor, "B T"], channel: Channel, start: int
) -> LossSum:
    """Cross-entropy, summed where a target is not `IGNORE`, of logits that lie on many ranks.

    `log Σ exp(z) - z(target)`: each rank sums its own exponentials, and one of them knows the
    target's logit. Three numbers a position travel, instead of V. `start` is this rank's first
    token; every rank gets the same sum.
    """
    # The softmax does not mind what is subtracted, so the maximum needs no gradient.
    largest = all_reduce(channel, logits.detach().amax(-1), torch.maximum)  # B T
    shifted = logits - largest[..., None]
    log_sum = sum_over_ranks(shifted.exp().sum(-1), channel).log()
    here = targets - start
    mine = (here >= 0) & (here < logits.size(-1))
    picked = shifted.gather(-1, here.where(mine, 0)[..., None]).squeeze(-1)
    target = sum_over_ranks(picked.where(mine, 0.0), channel)
    scored = targets != IGNORE
    return LossSum((log_sum - target).where(scored, 0.0).sum(), scored.sum())


def tensor_parallel(model: GPT, channel: Channel) -> GPT:
    """A GPT of this rank's pieces; its `logits` are those of this rank's tokens alone.

    Every rank gives the same whole model and the same rows. Norms and learned positions stay whole:
    all ranks compute the same with them, and the same gradients.

    Raises:
        UserError: the heads cannot be shared out evenly.
    """
    model = copy.deepcopy(model)
    embedding = VocabularyEmbedding(model.token_embedding, channel)
    head = VocabularyHead(model.lm_head, channel)
    if model.config.tie_embeddings:  # both are the same rows
        head.weight = embedding.weight
    for block in model.blocks:
        block.attention = ParallelAttention(block.attention, channel)  # ty: ignore[invalid-argument-type]
        block.mlp = ParallelMLP(block.mlp, channel)  # ty: ignore[invalid-argument-type]
    model.token_embedding = embedding  # ty: ignore[invalid-assignment]
    model.lm_head = head  # ty: ignore[invalid-assignment]
    return model
