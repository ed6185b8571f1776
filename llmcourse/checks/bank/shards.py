"""The exercises on cut parameters: flat shards, columns and rows.

Not here: the exercises on a vocabulary in pieces (`vocabulary.py`), on rings (`rings.py`) and on
pipelines (`pipelines.py`), the exercises' texts (`solutions/`), and how checking works
(`harness.py`). Chapter 10 teaches this.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from llmcourse.checks.harness import Case, case, exercise

CHAPTER = "10"
ZERO = "4. Why keep everything twice?"
TENSOR = "5. Can one matrix be shared?"

# 4. Flat shards


@exercise(CHAPTER, axes="P", read=ZERO)
def shard(parameters: list[Tensor], ranks: int, rank: int) -> Float[Tensor, " P"]:
    """One rank's piece of all parameters, laid out flat and filled up with zeros."""
    flat = torch.cat([parameter.flatten() for parameter in parameters])
    return F.pad(flat, (0, -len(flat) % ranks)).view(ranks, -1)[rank]


@shard.cases
def _() -> Iterator[Case]:
    hand = [torch.tensor([1.0, 2.0, 3.0]), torch.tensor([[4.0, 5.0], [6.0, 7.0]])]
    for rank in range(3):
        yield case(f"by hand, rank {rank}", [each.clone() for each in hand], 3, rank)
    yield case("it divides", [torch.randn(2, 4), torch.randn(4)], 4, 2)
    yield case("one rank", [torch.randn(3, 2)], 1, 0)
    yield case("more ranks than numbers", [torch.randn(2), torch.tensor(1.5)], 5, 1)
    yield case("a rank with zeros alone", [torch.randn(2), torch.randn(1)], 5, 4)
    yield case("a single number first", [torch.tensor(2.0), torch.randn(2, 3)], 2, 0)
    yield case("two zeros", [torch.randn(3, 3), torch.randn(1)], 4, 3)
    yield case("a wide block", [torch.randn(4, 6), torch.randn(6), torch.randn(6, 4)], 4, 1)
    held = [torch.tensor([1.0, 0.0, 2.0]), torch.tensor([[0.0, 3.0], [4.0, 0.0]])]
    yield case("zeros among the parameters", held, 2, 0)


def _flat(parameters: list[Tensor]) -> Tensor:
    return torch.cat([parameter.reshape(-1) for parameter in parameters])


@shard.mistake(
    "no zeros",
    hint="All pieces have one length, or an all-gather could not put them together. Fill up with "
    "zeros at the end.",
)
def _(parameters, ranks, rank):
    return _flat(parameters).tensor_split(ranks)[rank]


@shard.mistake(
    "the last piece is short",
    hint="The length is rounded up, as it should be, but the last piece has to be filled with "
    "zeros.",
)
def _(parameters, ranks, rank):
    flat = _flat(parameters)
    length = -(-len(flat) // ranks)
    return flat[rank * length : (rank + 1) * length]


@shard.mistake(
    "the rest is dropped",
    hint="The length of a piece is rounded *up*. Rounded down, the last numbers belong to nobody.",
)
def _(parameters, ranks, rank):
    flat = _flat(parameters)
    length = len(flat) // ranks
    return flat[rank * length : (rank + 1) * length]


@shard.mistake("zeros at the beginning", hint="The zeros stand at the *end* of the flat vector.")
def _(parameters, ranks, rank):
    flat = _flat(parameters)
    return F.pad(flat, (-len(flat) % ranks, 0)).view(ranks, -1)[rank]


@shard.mistake(
    "each parameter cut by itself",
    hint="First lay *all* parameters one after the other, then cut once. You cut each of them, and "
    "fill each with zeros.",
)
def _(parameters, ranks, rank):
    return torch.cat([
        F.pad(p.reshape(-1), (0, -p.numel() % ranks)).view(ranks, -1)[rank] for p in parameters
    ])  # fmt: skip


@shard.mistake(
    "every n-th number",
    hint="A piece is a stretch of neighbours: rank 0 has the first ones, rank 1 those behind them.",
)
def _(parameters, ranks, rank):
    flat = _flat(parameters)
    return F.pad(flat, (0, -len(flat) % ranks))[rank::ranks]


@shard.mistake(
    "zeros although it divides",
    hint="As few zeros as possible: where the length divides, none. `-length % ranks` is how many.",
)
def _(parameters, ranks, rank):
    flat = _flat(parameters)
    return F.pad(flat, (0, ranks - len(flat) % ranks)).view(ranks, -1)[rank]


@shard.mistake(
    "column by column",
    hint="A matrix is laid out row by row, as `reshape(-1)` does it.",
)
def _(parameters, ranks, rank):
    return shard.right(
        [parameter.T for parameter in map(torch.atleast_2d, parameters)], ranks, rank
    )


@shard.mistake("filled up with ones", hint="What is missing at the end is filled up with *zeros*.")
def _(parameters, ranks, rank):
    flat = _flat(parameters)
    return torch.cat([flat, flat.new_ones(-len(flat) % ranks)]).view(ranks, -1)[rank]


@shard.mistake("ranks counted from 1", hint="Ranks are counted from 0: rank 0 has the first piece.")
def _(parameters, ranks, rank):
    return shard.right(parameters, ranks, (rank - 1) % ranks)


@shard.mistake(
    "zeros after each parameter",
    hint="You fill up each parameter. Lay all of them end to end first, and fill up once.",
)
def _(parameters, ranks, rank):
    filled = [F.pad(each.reshape(-1), (0, -each.numel() % ranks)) for each in parameters]
    return torch.cat(filled).view(ranks, -1)[rank]


@shard.mistake(
    "the last rank takes the rest",
    hint="All pieces have the same length, rounded *up*: the last one is filled up with zeros.",
)
def _(parameters, ranks, rank):
    flat = _flat(parameters)
    size = len(flat) // ranks
    return flat[rank * size : None if rank == ranks - 1 else (rank + 1) * size]


@exercise(CHAPTER, call=lambda answer, pieces, shapes: _listed(answer(pieces, shapes)), read=ZERO)
def unshard(pieces: list[Tensor], shapes: list[tuple[int, ...]]) -> list[Tensor]:
    """The parameters of these shapes, out of all ranks' pieces."""
    sizes = [torch.Size(shape).numel() for shape in shapes]
    parts = torch.cat(pieces)[: sum(sizes)].split(sizes)
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def _listed(found: Any) -> Any:
    return list(found) if isinstance(found, tuple) else found


@unshard.cases
def _() -> Iterator[Case]:
    hand = [torch.tensor([1.0, 2.0, 3.0]), torch.tensor([4.0, 5.0, 6.0]), torch.tensor([7.0, 0, 0])]
    yield case("by hand", hand, [(3,), (2, 2)])
    yield case("it divides", [torch.randn(3) for _ in range(4)], [(2, 4), (4,)])
    yield case("one rank", [torch.randn(6)], [(3, 2)])
    yield case("a single number", [torch.randn(2) for _ in range(3)], [(), (5,)])
    yield case("two zeros", [torch.randn(3) for _ in range(4)], [(3, 3), (1,)])
    yield case("three parameters", [torch.randn(3) for _ in range(3)], [(2,), (2, 2), (3,)])
    zero = [torch.tensor([0.0, 3.0, 0.0]), torch.tensor([5.0, 0.0, 0.0])]
    yield case("zeros among the parameters", zero, [(2, 2), ()])
    yield case("a cube", [torch.randn(7) for _ in range(2)], [(2, 3, 2), (2,)])


@unshard.mistake(
    "the zeros are kept",
    hint="The parameters end where their shapes end. What lies behind is filling: drop it.",
)
def _(pieces, shapes):
    found = unshard.right(pieces, shapes)
    flat = torch.cat(pieces)
    used = sum(each.numel() for each in found)
    rest = flat[used:]
    return [*found, rest] if len(rest) else found


@unshard.mistake(
    "the pieces interleaved",
    hint="Piece 1 stands behind piece 0 as a whole: `torch.cat`, not a stack with the ranks last.",
)
def _(pieces, shapes):
    return unshard.right([torch.stack(pieces, dim=1).reshape(-1)], shapes)


@unshard.mistake(
    "every parameter from the beginning",
    hint="The second parameter begins where the first one ends: keep a place, and move it on.",
)
def _(pieces, shapes):
    flat = torch.cat(pieces)
    return [flat[: torch.Size(shape).numel()].reshape(shape) for shape in shapes]


@unshard.mistake("the ranks in reverse", hint="Rank 0's piece comes first.")
def _(pieces, shapes):
    return unshard.right(pieces[::-1], shapes)


@unshard.mistake(
    "flat parameters", hint="The numbers are right. Give each parameter its shape: `view(shape)`."
)
def _(pieces, shapes):
    return [each.reshape(-1) for each in unshard.right(pieces, shapes)]


@unshard.mistake("column by column", hint="A matrix is filled row by row, as `view` does it.")
def _(pieces, shapes):
    found = unshard.right(pieces, [tuple(reversed(shape)) for shape in shapes])
    return [each.permute(*reversed(range(each.dim()))) for each in found]


@unshard.mistake(
    "taken from the end",
    hint="The filling stands at the end: count from the beginning of the flat vector.",
)
def _(pieces, shapes):
    flat = torch.cat(pieces)
    used = sum(torch.Size(shape).numel() for shape in shapes)
    return unshard.right([flat[len(flat) - used :]], shapes)


# 5. Columns, then rows


@unshard.mistake(
    "zeros dropped wherever they are",
    hint="A parameter may be 0 itself. Drop what lies behind the last parameter, by its place.",
)
def _(pieces, shapes):
    flat = torch.cat(pieces)
    kept = flat[flat != 0]
    return unshard.right([torch.cat([kept, flat.new_zeros(len(flat) - len(kept))])], shapes)


@unshard.mistake(
    "moved on by the rows",
    hint="A parameter of shape (2, 2) takes 4 numbers: move on by the *product* of its shape.",
)
def _(pieces, shapes):
    flat, place, found = torch.cat(pieces), 0, []
    for shape in shapes:
        found.append(flat[place : place + torch.Size(shape).numel()].reshape(shape))
        place += shape[0] if shape else 1
    return found


@unshard.mistake(
    "moved on by the sum of the sides",
    hint="How many numbers a shape holds is the product of its sides, not their sum.",
)
def _(pieces, shapes):
    flat, place, found = torch.cat(pieces), 0, []
    for shape in shapes:
        found.append(flat[place : place + torch.Size(shape).numel()].reshape(shape))
        place += sum(shape) or 1
    return found


@exercise(CHAPTER, axes="T D", read=TENSOR)
def rank_output(
    x: Float[Tensor, "T D"], a: Float[Tensor, "D F"], b: Float[Tensor, "F D"],
    bias: Float[Tensor, " D"], rank: int, ranks: int,
) -> Float[Tensor, "T D"]:  # fmt: skip
    """The whole MLP with all hidden units but this rank's put to 0; rank 0 adds the bias."""
    mine = torch.arange(a.size(1)).unflatten(0, (ranks, -1))[rank]
    hidden = torch.zeros(len(x), a.size(1), dtype=x.dtype)
    hidden[:, mine] = (x @ a).relu()[:, mine]
    return hidden @ b + (bias if rank == 0 else 0)


@rank_output.cases
def _() -> Iterator[Case]:
    one = torch.tensor([[1.0]]), torch.tensor([[2.0, -3.0]]), torch.tensor([[5.0], [7.0]])
    for rank in range(2):
        yield case(f"by hand, rank {rank}", *(t.clone() for t in one), torch.ones(1), rank, 2)
    yield case("the first of four", *_mlp(3, 5, 8), 0, 4)
    yield case("the third of four", *_mlp(3, 5, 8), 2, 4)
    yield case("the last of three", *_mlp(2, 4, 6), 2, 3)
    yield case("one rank", *_mlp(4, 3, 5), 0, 1)
    yield case("one unit each", *_mlp(2, 2, 4), 1, 4)
    yield case("as wide as deep", *_mlp(4, 4, 4), 1, 2)


def _mlp(T: int, D: int, F_: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return torch.randn(T, D), torch.randn(D, F_), torch.randn(F_, D), torch.randn(D)


def _mine(a: Tensor, rank: int, ranks: int) -> slice:
    width = a.size(1) // ranks
    return slice(rank * width, (rank + 1) * width)


@rank_output.mistake(
    "every rank adds the bias",
    hint="The summands are added up: the bias would come in n times. Rank 0 alone adds it.",
)
def _(x, a, b, bias, rank, ranks):
    mine = _mine(a, rank, ranks)
    return (x @ a[:, mine]).relu() @ b[mine] + bias


@rank_output.mistake("nobody adds the bias", hint="Rank 0 adds b to its summand.")
def _(x, a, b, bias, rank, ranks):
    mine = _mine(a, rank, ranks)
    return (x @ a[:, mine]).relu() @ b[mine]


@rank_output.mistake(
    "a part of the bias each",
    hint="The sum would be right. But the text says that rank 0 alone adds the bias.",
)
def _(x, a, b, bias, rank, ranks):
    mine = _mine(a, rank, ranks)
    return (x @ a[:, mine]).relu() @ b[mine] + bias / ranks


@rank_output.mistake(
    "no ReLU", hint="Between the two matrices stands a ReLU, on this rank's own hidden units."
)
def _(x, a, b, bias, rank, ranks):
    mine = _mine(a, rank, ranks)
    return x @ a[:, mine] @ b[mine] + (bias if rank == 0 else 0)


@rank_output.mistake(
    "the ReLU at the end",
    hint="The ReLU bends the hidden units, between the two matrices. At the end a rank has a "
    "summand, which may well be negative.",
)
def _(x, a, b, bias, rank, ranks):
    mine = _mine(a, rank, ranks)
    return (x @ a[:, mine] @ b[mine]).relu() + (bias if rank == 0 else 0)


@rank_output.mistake(
    "the whole MLP",
    hint="That is Y itself. A rank uses its own columns of A and its own rows of B.",
)
def _(x, a, b, bias, rank, ranks):
    return (x @ a).relu() @ b + bias


@rank_output.mistake(
    "every n-th hidden unit",
    hint="A rank takes *neighbouring* hidden units: rank 0 the first F/n of them.",
)
def _(x, a, b, bias, rank, ranks):
    return (x @ a[:, rank::ranks]).relu() @ b[rank::ranks] + (bias if rank == 0 else 0)


@rank_output.mistake(
    "the pieces counted from the end",
    hint="Rank 0 takes the first hidden units, and the last rank the last ones.",
)
def _(x, a, b, bias, rank, ranks):
    mine = _mine(a, ranks - 1 - rank, ranks)
    return (x @ a[:, mine]).relu() @ b[mine] + (bias if rank == 0 else 0)


def _summand(x, a, b, rank, ranks, bend=torch.relu):
    mine = _mine(a, rank, ranks)
    return bend(x @ a[:, mine]) @ b[mine]


@rank_output.mistake(
    "the last rank adds the bias", hint="Rank 0 adds the bias, and it alone. Yours is the last one."
)
def _(x, a, b, bias, rank, ranks):
    return _summand(x, a, b, rank, ranks) + (bias if rank == ranks - 1 else 0)


@rank_output.mistake(
    "a share of the whole MLP",
    hint="You compute everything and divide. A rank computes with its own hidden units alone.",
)
def _(x, a, b, bias, rank, ranks):
    return ((x @ a).relu() @ b + bias) / ranks


@rank_output.mistake(
    "rows of another rank",
    hint="The rows of B belong to the same hidden units as the columns of A: the same `start:end`.",
)
def _(x, a, b, bias, rank, ranks):
    hidden = (x @ a[:, _mine(a, rank, ranks)]).relu()
    return hidden @ b[_mine(a, ranks - 1 - rank, ranks)] + (bias if rank == 0 else 0)


@rank_output.mistake("GELU in place of ReLU", hint="The hidden units go through a ReLU here.")
def _(x, a, b, bias, rank, ranks):
    return _summand(x, a, b, rank, ranks, F.gelu) + (bias if rank == 0 else 0)


@rank_output.mistake(
    "ranks counted from 1", hint="Ranks are counted from 0: rank 0 has the first hidden units."
)
def _(x, a, b, bias, rank, ranks):
    return _summand(x, a, b, (rank - 1) % ranks, ranks) + (bias if rank == 0 else 0)


@rank_output.mistake(
    "times the ranks", hint="The sum over the ranks is Y as it is: nothing is multiplied by them."
)
def _(x, a, b, bias, rank, ranks):
    return ranks * _summand(x, a, b, rank, ranks) + (bias if rank == 0 else 0)


@rank_output.mistake(
    "all hidden units on every rank",
    hint="You use all hidden units: take those of this rank alone.",
)
def _(x, a, b, bias, rank, ranks):
    return (x @ a).relu() @ b + (bias if rank == 0 else 0)


@exercise(CHAPTER, axes="T D", read=TENSOR)
def rank_gradient(
    x: Float[Tensor, "T D"], a: Float[Tensor, "D F"], b: Float[Tensor, "F D"],
    g: Float[Tensor, "T D"], rank: int, ranks: int,
) -> Float[Tensor, "T D"]:  # fmt: skip
    """What autograd finds for x, of the MLP with this rank's hidden units alone."""
    leaf = x.detach().clone().requires_grad_()
    mine = _mine(a, rank, ranks)
    with torch.enable_grad():
        ((leaf @ a[:, mine]).relu() @ b[mine]).backward(g)
    assert leaf.grad is not None
    return leaf.grad


@rank_gradient.cases
def _() -> Iterator[Case]:
    yield case("the first of two", *_back(3, 5, 8), 0, 2)
    yield case("the third of four", *_back(3, 5, 8), 2, 4)
    yield case("the last of three", *_back(2, 4, 6), 2, 3)
    yield case("one rank", *_back(4, 3, 5), 0, 1)
    yield case("one unit each", *_back(3, 2, 4), 1, 4)
    _, a, b, g = _back(2, 3, 4)
    yield case("units at exactly 0", torch.zeros(2, 3), a, b, g, 0, 2)
    yield case("as wide as deep", *_back(4, 4, 4), 1, 2)


def _back(T: int, D: int, F_: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x, a, b, _ = _mlp(T, D, F_)
    return x, a, b, torch.randn(T, D)


@rank_gradient.mistake(
    "the ReLU left out",
    hint="A hidden unit that was 0 or below passes no gradient on. Keep it where x a > 0.",
)
def _(x, a, b, g, rank, ranks):
    mine = _mine(a, rank, ranks)
    return g @ b[mine].T @ a[:, mine].T


@rank_gradient.mistake(
    "a ReLU of the gradient",
    hint="What counts is the sign of the *input* of the ReLU, x a, not of the gradient.",
)
def _(x, a, b, g, rank, ranks):
    mine = _mine(a, rank, ranks)
    return (g @ b[mine].T).relu() @ a[:, mine].T


@rank_gradient.mistake(
    "the whole gradient",
    hint="That is what the all-reduce gives. This rank's summand uses its own pieces alone.",
)
def _(x, a, b, g, rank, ranks):
    return ((g @ b.T) * (x @ a > 0)) @ a.T


@rank_gradient.mistake(
    "times the hidden units",
    hint="ReLU's derivative is 1 or 0. You multiply by its output.",
)
def _(x, a, b, g, rank, ranks):
    mine = _mine(a, rank, ranks)
    return ((g @ b[mine].T) * (x @ a[:, mine]).relu()) @ a[:, mine].T


@rank_gradient.mistake(
    "divided by the ranks",
    hint="The summands are summed, not averaged: nothing is divided.",
)
def _(x, a, b, g, rank, ranks):
    mine = _mine(a, rank, ranks)
    return ((g @ b[mine].T) * (x @ a[:, mine] > 0)) @ a[:, mine].T / ranks


@rank_gradient.mistake(
    "every n-th hidden unit",
    hint="A rank has *neighbouring* hidden units: rank 0 the first F/n of them.",
)
def _(x, a, b, g, rank, ranks):
    mine = slice(rank, None, ranks)
    return ((g @ b[mine].T) * (x @ a[:, mine] > 0)) @ a[:, mine].T


@rank_gradient.mistake(
    "open where the unit was closed",
    hint="The gradient passes where x a was *above* 0.",
)
def _(x, a, b, g, rank, ranks):
    mine = _mine(a, rank, ranks)
    return ((g @ b[mine].T) * (x @ a[:, mine] <= 0)) @ a[:, mine].T


@rank_gradient.mistake(
    "the gradient of all ranks, with this rank's ReLU",
    hint="The gradient has to come through this rank's rows of B: a piece of F, not of D.",
)
def _(x, a, b, g, rank, ranks):
    mine = _mine(a, rank, ranks)
    open_ = torch.zeros(len(x), a.size(1), dtype=x.dtype)
    open_[:, mine] = (x @ a[:, mine] > 0).to(x.dtype)
    return ((g @ b.T) * open_) @ a.T * ranks


@rank_gradient.mistake(
    "a share of the whole gradient",
    hint="You compute the whole gradient and divide. A rank goes back through its own units alone.",
)
def _(x, a, b, g, rank, ranks):
    return ((g @ b.T) * (x @ a > 0)) @ a.T / ranks


@rank_gradient.mistake(
    "the ReLU at the input",
    hint="The ReLU stands behind X A: keep the gradient where X A was above 0, not where X was.",
)
def _(x, a, b, g, rank, ranks):
    mine = _mine(a, rank, ranks)
    return ((g @ b[mine].T) @ a[:, mine].T) * (x > 0)


@rank_gradient.mistake(
    "the units of another rank",
    hint="Rank 0 has the *first* hidden units: rank · F/n is the start.",
)
def _(x, a, b, g, rank, ranks):
    mine = _mine(a, ranks - 1 - rank, ranks)
    return ((g @ b[mine].T) * (x @ a[:, mine] > 0)) @ a[:, mine].T
