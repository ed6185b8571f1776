"""Rarer mistakes of the exercises on shards of parameters and matrices. Chapter 10 teaches this."""

import math

import torch
from torch.nn import functional

from llmcourse.checks.bank.shards import rank_gradient, rank_output, shard, unshard


def _flat(parameters):
    return torch.cat([parameter.reshape(-1) for parameter in parameters])


def _piece(flat, ranks, rank, size=None):
    size = -(-len(flat) // ranks) if size is None else size
    filled = functional.pad(flat, (0, max(0, size * ranks - len(flat))))
    return filled[rank * size : rank * size + size].clone()


@shard.mistake(
    "pieces that differ by one, each filled up",
    hint="You cut evenly and fill the short pieces up. The zeros belong at the end of the whole.",
)
def _(parameters, ranks, rank):
    flat = _flat(parameters)
    piece = flat.tensor_split(ranks)[rank]
    return functional.pad(piece, (0, -(-len(flat) // ranks) - len(piece)))


@shard.mistake(
    "filled up with the last number",
    hint="You fill up with copies of the last number. Zeros are asked for.",
)
def _(parameters, ranks, rank):
    flat = _flat(parameters)
    size = -(-len(flat) // ranks)
    filled = torch.cat([flat, flat[-1:].expand(size * ranks - len(flat))])
    return filled[rank * size : rank * size + size]


@shard.mistake(
    "filled up from the beginning",
    hint="You fill up with numbers from the beginning, as samplers do. Zeros are asked for.",
)
def _(parameters, ranks, rank):
    flat = _flat(parameters)
    size = -(-len(flat) // ranks)
    return flat[torch.arange(rank * size, rank * size + size) % len(flat)]


@shard.mistake(
    "filled up to a power of two",
    hint="You fill a piece up to a power of two. As few zeros as possible are added.",
)
def _(parameters, ranks, rank):
    flat = _flat(parameters)
    return _piece(flat, ranks, rank, 2 ** math.ceil(math.log2(-(-len(flat) // ranks))))


@shard.mistake(
    "filled up to a multiple of eight",
    hint="You fill a piece up to a multiple of eight. As few zeros as possible are added.",
)
def _(parameters, ranks, rank):
    flat = _flat(parameters)
    return _piece(flat, ranks, rank, -(-len(flat) // ranks // 8) * 8)


@shard.mistake(
    "whole parameters in turn",
    hint="You give whole parameters to the ranks in turn. All numbers are laid flat and cut into "
    "equal pieces.",
)
def _(parameters, ranks, rank):
    mine = [parameter.reshape(-1) for parameter in parameters[rank::ranks]]
    return torch.cat(mine) if mine else torch.zeros(0)


@shard.mistake(
    "the parameters from the last",
    hint="You begin with the last parameter. They come in order.",
)
def _(parameters, ranks, rank):
    return _piece(_flat(parameters[::-1]), ranks, rank)


@shard.mistake(
    "the largest parameters first",
    hint="You sort the parameters by size. They come in the order in which they are given.",
)
def _(parameters, ranks, rank):
    return _piece(_flat(sorted(parameters, key=torch.Tensor.numel, reverse=True)), ranks, rank)


@shard.mistake(
    "ranks from 1",
    hint="You take the rank to count from 1. It counts from 0.",
)
def _(parameters, ranks, rank):
    return _piece(_flat(parameters), ranks, max(0, rank - 1))


@shard.mistake(
    "the pieces from the end",
    hint="You give the first piece to the last rank. Rank 0 has the first one.",
)
def _(parameters, ranks, rank):
    return _piece(_flat(parameters), ranks, ranks - 1 - rank)


@shard.mistake(
    "all pieces",
    hint="You return all pieces. One rank's is asked for.",
)
def _(parameters, ranks, rank):
    return torch.stack([_piece(_flat(parameters), ranks, each) for each in range(ranks)])


@shard.mistake(
    "a piece as a row",
    hint="Your piece has a first axis of length 1. It is a vector.",
)
def _(parameters, ranks, rank):
    return _piece(_flat(parameters), ranks, rank)[None]


@shard.mistake(
    "single numbers left out",
    hint="You leave out parameters that are single numbers. They take one place each.",
)
def _(parameters, ranks, rank):
    return _piece(_flat([p for p in parameters if p.ndim] or parameters), ranks, rank)


@shard.mistake(
    "matrices alone",
    hint="You shard matrices alone. Vectors and single numbers are parameters, too.",
)
def _(parameters, ranks, rank):
    return _piece(_flat([p for p in parameters if p.ndim > 1] or parameters), ranks, rank)


@shard.mistake(
    "what is zero is left out",
    hint="You leave out numbers that are zero. Each number of a parameter has its place.",
)
def _(parameters, ranks, rank):
    flat = _flat(parameters)
    return _piece(flat[flat != 0], ranks, rank)


def _parts(flat, shapes, form=lambda part, shape: part.reshape(shape)):
    out, at = [], 0
    for shape in shapes:
        out.append(form(flat[at : at + math.prod(shape)], shape))
        at += math.prod(shape)
    return out


@unshard.mistake(
    "read column by column",
    hint="You fill matrices column by column. Their numbers go row by row.",
)
def _(pieces, shapes):
    return _parts(
        torch.cat(pieces),
        shapes,
        form=lambda part, shape: part.reshape(shape[::-1]).permute(list(range(len(shape)))[::-1]),
    )


@unshard.mistake(
    "shapes turned over",
    hint="Your matrices have their sides exchanged. Take the shapes as they are.",
)
def _(pieces, shapes):
    return _parts(torch.cat(pieces), shapes, form=lambda part, shape: part.reshape(shape[::-1]))


@unshard.mistake(
    "the parameters from the last",
    hint="You return the parameters in reverse. They come in the order of their shapes.",
)
def _(pieces, shapes):
    return _parts(torch.cat(pieces), shapes)[::-1]


@unshard.mistake(
    "the shapes from the last",
    hint="You give the first numbers to the last shape. They come in order.",
)
def _(pieces, shapes):
    return _parts(torch.cat(pieces), shapes[::-1])[::-1]


@unshard.mistake(
    "the place moves on by one more",
    hint="You skip a number behind each parameter. They stand side by side.",
)
def _(pieces, shapes):
    flat, out, at = torch.cat([*pieces, torch.zeros(len(shapes))]), [], 0
    for shape in shapes:
        out.append(flat[at : at + math.prod(shape)].reshape(shape))
        at += math.prod(shape) + 1
    return out


@unshard.mistake(
    "single numbers take no place",
    hint="You leave out single numbers. Their shape is (), and they take one place.",
)
def _(pieces, shapes):
    return _parts(torch.cat(pieces), [shape for shape in shapes if shape])


@unshard.mistake(
    "axes of 1 are lost",
    hint="You squeeze the parameters. An axis of length 1 belongs to the shape.",
)
def _(pieces, shapes):
    return _parts(torch.cat(pieces), shapes, form=lambda part, shape: part.reshape(shape).squeeze())


@unshard.mistake(
    "the zeros as one more parameter",
    hint="You return what is left at the end, too. The zeros are dropped.",
)
def _(pieces, shapes):
    flat, used = torch.cat(pieces), sum(map(math.prod, shapes))
    return [*_parts(flat, shapes), flat[used:]]


@unshard.mistake(
    "each piece begins a parameter",
    hint="You begin each parameter with a new piece. A parameter may begin in the middle of one.",
)
def _(pieces, shapes):
    flat, size, out, at = torch.cat(pieces), len(pieces[0]), [], 0
    for shape in shapes:
        part = flat[at : at + math.prod(shape)]
        out.append(functional.pad(part, (0, math.prod(shape) - len(part))).reshape(shape))
        at = -(-(at + math.prod(shape)) // max(1, size)) * size
    return out


def _mlp(x, a, b, bias, rank, ranks, act=torch.relu, shift=None, hidden=None, rows=None):
    """A rank's summand, with another activation, another place for the bias, or other units."""
    size = a.size(1) // ranks
    mine = slice(rank * size, rank * size + size)
    out = act(x @ a[:, hidden or mine]) @ b[rows or hidden or mine]
    return out + ((bias if rank == 0 else 0.0 * bias) if shift is None else shift)


@rank_output.mistake(
    "each rank adds its own entries of the bias",
    hint="You cut the bias as the hidden units are cut. It belongs to the output: rank 0 adds all "
    "of it.",
)
def _(x, a, b, bias, rank, ranks):
    parts = [torch.zeros_like(part) for part in bias.tensor_split(ranks)]
    parts[rank] = bias.tensor_split(ranks)[rank]
    return _mlp(x, a, b, bias, rank, ranks, shift=torch.cat(parts))


@rank_output.mistake(
    "all ranks but the first add the bias",
    hint="You have the condition the wrong way round: rank 0 adds the bias, and no other.",
)
def _(x, a, b, bias, rank, ranks):
    return _mlp(x, a, b, bias, rank, ranks, shift=bias * (rank != 0))


@rank_output.mistake(
    "the bias times the rank",
    hint="You multiply the bias by the rank. Rank 0 adds it, once.",
)
def _(x, a, b, bias, rank, ranks):
    return _mlp(x, a, b, bias, rank, ranks, shift=bias * rank)


@rank_output.mistake(
    "the bias is taken off",
    hint="You take the bias off. It is added.",
)
def _(x, a, b, bias, rank, ranks):
    return _mlp(x, a, b, bias, rank, ranks, shift=-bias * (rank == 0))


@rank_output.mistake(
    "a leaky ReLU",
    hint="You let a little through below 0. ReLU is 0 there.",
)
def _(x, a, b, bias, rank, ranks):
    return _mlp(x, a, b, bias, rank, ranks, act=functional.leaky_relu)


@rank_output.mistake(
    "the size for ReLU",
    hint="You take the size of the hidden units. ReLU is 0 below 0.",
)
def _(x, a, b, bias, rank, ranks):
    return _mlp(x, a, b, bias, rank, ranks, act=torch.abs)


@rank_output.mistake(
    "the square of ReLU",
    hint="You square what ReLU lets through. Take it as it is.",
)
def _(x, a, b, bias, rank, ranks):
    return _mlp(x, a, b, bias, rank, ranks, act=lambda z: z.relu().square())


@rank_output.mistake(
    "ReLU of the input",
    hint="You apply ReLU to X. It comes behind the first product.",
)
def _(x, a, b, bias, rank, ranks):
    return _mlp(x.relu(), a, b, bias, rank, ranks, act=lambda z: z)


@rank_output.mistake(
    "ReLU of the output",
    hint="You apply ReLU once more to the output. It comes between the two products alone.",
)
def _(x, a, b, bias, rank, ranks):
    return _mlp(x, a, b, bias, rank, ranks).relu()


@rank_output.mistake(
    "ReLU of the output alone",
    hint="You apply ReLU behind the second product. It comes between the two.",
)
def _(x, a, b, bias, rank, ranks):
    return _mlp(x, a, b, bias, rank, ranks, act=lambda z: z).relu()


@rank_output.mistake(
    "rows of the first rank",
    hint="Your rows of B are those of rank 0. Rows and columns are of the same hidden units.",
)
def _(x, a, b, bias, rank, ranks):
    return _mlp(x, a, b, bias, rank, ranks, rows=slice(0, a.size(1) // ranks))


@rank_output.mistake(
    "columns of the first rank",
    hint="Your columns of A are those of rank 0. Rows and columns are of the same hidden units.",
)
def _(x, a, b, bias, rank, ranks):
    size = a.size(1) // ranks
    return _mlp(
        x,
        a,
        b,
        bias,
        rank,
        ranks,
        hidden=slice(0, size),
        rows=slice(rank * size, rank * size + size),
    )


@rank_output.mistake(
    "all hidden units up to this rank's",
    hint="You take all hidden units up to this rank's. Take its own alone.",
)
def _(x, a, b, bias, rank, ranks):
    return _mlp(x, a, b, bias, rank, ranks, hidden=slice(0, (rank + 1) * (a.size(1) // ranks)))


@rank_output.mistake(
    "all hidden units from this rank's on",
    hint="You take all hidden units from this rank's on. Take its own alone.",
)
def _(x, a, b, bias, rank, ranks):
    return _mlp(x, a, b, bias, rank, ranks, hidden=slice(rank * (a.size(1) // ranks), None))


@rank_output.mistake(
    "times the number of ranks",
    hint="You multiply by the number of ranks, as if a mean were taken. The all-reduce sums.",
)
def _(x, a, b, bias, rank, ranks):
    return _mlp(x, a, b, bias, rank, ranks) * ranks


@rank_output.mistake(
    "divided by the number of ranks",
    hint="You divide by the number of ranks. The all-reduce sums what they have.",
)
def _(x, a, b, bias, rank, ranks):
    return _mlp(x, a, b, bias, rank, ranks) / ranks


@rank_output.mistake(
    "the input comes on top",
    hint="You add the input, as a block does. The MLP alone is asked for.",
)
def _(x, a, b, bias, rank, ranks):
    return _mlp(x, a, b, bias, rank, ranks) + x


def _back(x, a, b, g, rank, ranks, mask=None, rows=None):
    """A rank's summand of the gradient, with another mask or other rows."""
    size = a.size(1) // ranks
    mine = slice(rank * size, rank * size + size)
    before = x @ a[:, mine]
    through = g @ b[rows or mine].T
    return (through * (mask(before, through) if mask else before > 0)) @ a[:, mine].T


@rank_gradient.mistake(
    "times ReLU's input",
    hint="You multiply with ReLU's input. Its slope is 1 above 0, and 0 below.",
)
def _(x, a, b, g, rank, ranks):
    return _back(x, a, b, g, rank, ranks, lambda before, through: before)


@rank_gradient.mistake(
    "times the sign",
    hint="You multiply with the sign of ReLU's input. Below 0 nothing goes on.",
)
def _(x, a, b, g, rank, ranks):
    return _back(x, a, b, g, rank, ranks, lambda before, through: before.sign())


@rank_gradient.mistake(
    "kept where it was below 0",
    hint="You keep the gradient where ReLU's input was below 0. Above 0 it goes on.",
)
def _(x, a, b, g, rank, ranks):
    return _back(x, a, b, g, rank, ranks, lambda before, through: before < 0)


@rank_gradient.mistake(
    "the slope of a leaky ReLU",
    hint="You let a hundredth through below 0. ReLU lets nothing through there.",
)
def _(x, a, b, g, rank, ranks):
    return _back(
        x,
        a,
        b,
        g,
        rank,
        ranks,
        lambda before, through: torch.where(before > 0, 1.0, 0.01).to(x.dtype),
    )


@rank_gradient.mistake(
    "the slope of a sigmoid",
    hint="You take the slope of another activation. ReLU's is 1 above 0, and 0 below.",
)
def _(x, a, b, g, rank, ranks):
    return _back(
        x, a, b, g, rank, ranks, lambda before, through: before.sigmoid() * (1 - before.sigmoid())
    )


@rank_gradient.mistake(
    "the slope of GELU",
    hint="You take the slope of GELU. ReLU's is 1 above 0, and 0 below.",
)
def _(x, a, b, g, rank, ranks):
    def slope(before, through):
        density = (-(before**2) / 2).exp() / math.sqrt(2 * math.pi)
        return (1 + (before / math.sqrt(2)).erf()) / 2 + before * density

    return _back(x, a, b, g, rank, ranks, slope)


@rank_gradient.mistake(
    "one mask for the whole row",
    hint="You keep a row where the sum of its hidden units was above 0. Each unit has its own say.",
)
def _(x, a, b, g, rank, ranks):
    return _back(x, a, b, g, rank, ranks, lambda before, through: before.sum(-1, keepdim=True) > 0)


@rank_gradient.mistake(
    "the mask of the mean over positions",
    hint="You keep a unit where it was above 0 on average. Each position has its own mask.",
)
def _(x, a, b, g, rank, ranks):
    return _back(x, a, b, g, rank, ranks, lambda before, through: before.mean(0) > 0)


@rank_gradient.mistake(
    "the mask of rank 0",
    hint="Your mask is that of rank 0's hidden units. Each rank has its own.",
)
def _(x, a, b, g, rank, ranks):
    size = a.size(1) // ranks
    return _back(x, a, b, g, rank, ranks, lambda before, through: (x @ a[:, :size]) > 0)


@rank_gradient.mistake(
    "rows of the first rank, going back",
    hint="Your rows of B are those of rank 0. Rows and columns are of the same hidden units.",
)
def _(x, a, b, g, rank, ranks):
    return _back(x, a, b, g, rank, ranks, rows=slice(0, a.size(1) // ranks))


@rank_gradient.mistake(
    "divided by the positions",
    hint="You divide by the number of positions. The gradient G has that already, if it is meant.",
)
def _(x, a, b, g, rank, ranks):
    return _back(x, a, b, g, rank, ranks) / len(x)


@rank_gradient.mistake(
    "summed over the positions",
    hint="You sum over the positions. X has a gradient at each: [T, D].",
)
def _(x, a, b, g, rank, ranks):
    return _back(x, a, b, g, rank, ranks).sum(0)


@rank_gradient.mistake(
    "the gradient comes on top",
    hint="You add G, as for a residual connection. The MLP alone is asked for.",
)
def _(x, a, b, g, rank, ranks):
    return _back(x, a, b, g, rank, ranks) + g


@rank_gradient.mistake(
    "the gradient for A",
    hint="You return the gradient for this rank's part of A. The one for X is asked for.",
)
def _(x, a, b, g, rank, ranks):
    size = a.size(1) // ranks
    mine = slice(rank * size, rank * size + size)
    return x.T @ ((g @ b[mine].T) * (x @ a[:, mine] > 0))


@rank_gradient.mistake(
    "the gradient for the hidden units",
    hint="You stop before the last product. Through A it goes on: times its transpose.",
)
def _(x, a, b, g, rank, ranks):
    size = a.size(1) // ranks
    mine = slice(rank * size, rank * size + size)
    return (g @ b[mine].T) * (x @ a[:, mine] > 0)


@rank_gradient.mistake(
    "the step down",
    hint="Your gradient has the opposite sign, as a step of descent. The gradient itself is asked "
    "for.",
)
def _(x, a, b, g, rank, ranks):
    return -_back(x, a, b, g, rank, ranks)


@unshard.mistake(
    "all but the first side run together",
    hint="You keep the first side of a shape and run the others together. A parameter may have "
    "three sides.",
)
def _(pieces, shapes):
    return _parts(
        torch.cat(pieces),
        shapes,
        form=lambda part, shape: part.reshape(shape[0], -1) if shape[1:] else part.reshape(shape),
    )


@unshard.mistake(
    "each parameter out of all pieces",
    hint="You take a part of each parameter from each piece, as if they had been cut one by one. "
    "They were laid flat first: the pieces stand one after the other.",
)
def _(pieces, shapes):
    out, at, ranks = [], 0, len(pieces)
    for shape in shapes:
        size = -(-math.prod(shape) // ranks)
        part = torch.cat([piece[at : at + size] for piece in pieces])
        filled = functional.pad(part, (0, max(0, math.prod(shape) - len(part))))
        out.append(filled[: math.prod(shape)].reshape(shape))
        at += size
    return out


@unshard.mistake(
    "the last parameter takes what is left",
    hint="Your last parameter takes all that is left, zeros too. Each has as many numbers as its "
    "shape says.",
)
def _(pieces, shapes):
    flat, used = torch.cat(pieces), sum(map(math.prod, shapes))
    parts = _parts(flat, shapes)
    return [*parts[:-1], torch.cat([parts[-1].reshape(-1), flat[used:]])]


@shard.mistake(
    "as many zeros as are left over",
    hint="You add as many zeros as the remainder says. It takes as many as are *missing*: "
    "-length % ranks.",
)
def _(parameters, ranks, rank):
    flat = _flat(parameters)
    filled = functional.pad(flat, (0, len(flat) % ranks))
    size = len(filled) // ranks
    return filled[rank * size : rank * size + size]


@shard.mistake(
    "pieces rounded to the nearest length",
    hint="You round the length of a piece to the nearest. Round it up, or numbers are lost.",
)
def _(parameters, ranks, rank):
    flat = _flat(parameters)
    return _piece(flat, ranks, rank, round(len(flat) / ranks))


@unshard.mistake(
    "the place moves on by a piece",
    hint="You move on by the length of a piece for each parameter. Move on by the parameter's own "
    "length.",
)
def _(pieces, shapes):
    flat, out = torch.cat(pieces), []
    for number, shape in enumerate(shapes):
        part = flat[number * len(pieces[0]) :][: math.prod(shape)]
        out.append(functional.pad(part, (0, math.prod(shape) - len(part))).reshape(shape))
    return out


@rank_output.mistake(
    "SiLU for ReLU",
    hint="You use SiLU. The activation is ReLU.",
)
def _(x, a, b, bias, rank, ranks):
    return _mlp(x, a, b, bias, rank, ranks, act=functional.silu)


@rank_output.mistake(
    "tanh for ReLU",
    hint="You use tanh. The activation is ReLU.",
)
def _(x, a, b, bias, rank, ranks):
    return _mlp(x, a, b, bias, rank, ranks, act=torch.tanh)


@rank_gradient.mistake(
    "kept where the output is above 0",
    hint="You keep G where Y is above 0, as if ReLU came last. It stands between the two products.",
)
def _(x, a, b, g, rank, ranks):
    return _back(x, a, b, g * ((x @ a).relu() @ b > 0), rank, ranks)
