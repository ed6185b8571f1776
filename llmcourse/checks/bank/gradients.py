"""The exercises on gradients: a walk back through a graph, and LayerNorm's way back.

Not here: the exercises on the loss (`loss.py`) and on optimizers (`optimizers.py`), the exercises'
texts (`solutions/`), and how checking works (`harness.py`). Chapter 06 teaches this.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from llmcourse.checks.harness import Case, case, exercise
from llmcourse.gradients import by_hand

CHAPTER = "06"

Graph = list[list[tuple[int, float]]]
"""For each node, in the order in which they were made: its parents' numbers, each with a slope."""


# 2. The walk back


@exercise(CHAPTER, variants=(), seconds=2.0)
def backward(graph: Graph) -> list[float]:
    """How much the last node moves for each unit of every node: the chain rule, once a node."""
    gradients = [0.0] * len(graph)
    gradients[-1] = 1.0
    for node in reversed(range(len(graph))):
        for parent, slope in graph[node]:
            gradients[parent] += slope * gradients[node]
    return gradients


@backward.cases
def _() -> Iterator[Case]:
    yield case("by hand: x y + x", [[], [], [(0, 3.0), (1, 2.0)], [(2, 1.0), (0, 1.0)]])
    yield case("a chain", [[], [(0, 2.0)], [(1, -3.0)], [(2, 0.5)]])
    yield case("a square", [[], [(0, 3.0), (0, 3.0)]])
    yield case("two ways that meet", [[], [(0, 2.0)], [(0, 5.0)], [(1, 1.0), (2, -1.0)]])
    yield case("two leaves", [[], [(0, 4.0)], [], [(1, 2.0), (2, 3.0)]])
    yield case("a dead end", [[], [(0, 4.0)], [(0, 7.0)], [(2, 2.0)]])
    yield case("a single number", [[]])
    yield case("sixty doublings", [[], *([(n, 1.0), (n, 1.0)] for n in range(60))])


@backward.mistake(
    "assigned instead of added",
    hint="A node that went into several others hears from each of them. What they send adds up: "
    "use +=.",
)
def _(graph):
    gradients = [0.0] * len(graph)
    gradients[-1] = 1.0
    for node in reversed(range(len(graph))):
        for parent, slope in graph[node]:
            gradients[parent] = slope * gradients[node]
    return gradients


@backward.mistake(
    "from the beginning to the end",
    hint="A node can pass on only what has arrived. The last one starts, with 1: walk backwards.",
)
def _(graph):
    gradients = [0.0] * len(graph)
    gradients[-1] = 1.0
    for node in range(len(graph)):
        for parent, slope in graph[node]:
            gradients[parent] += slope * gradients[node]
    return gradients


@backward.mistake(
    "slopes added up without what arrived",
    hint="Each node passes on the slope *times its own gradient*. Along a way, slopes multiply.",
)
def _(graph):
    gradients = [0.0] * len(graph)
    gradients[-1] = 1.0
    for node in reversed(range(len(graph))):
        for parent, slope in graph[node]:
            gradients[parent] += slope
    return gradients


@backward.mistake(
    "no 1 at the end",
    hint="Everything is zero because nobody began. How much does the last node move when the last "
    "node moves by one?",
)
def _(graph):
    return [0.0] * len(graph)


@backward.mistake(
    "slopes added along a way",
    hint="A nudge of 1 that passes a slope of 2, then one of 3, arrives as 6, not as 5: multiply.",
)
def _(graph):
    gradients = [0.0] * len(graph)
    gradients[-1] = 1.0
    for node in reversed(range(len(graph))):
        for parent, slope in graph[node]:
            gradients[parent] += slope + gradients[node]
    return gradients


@backward.mistake(
    "a parent that appears twice is heard once",
    hint="In x · x the node x is its own partner: two parents with the same number, and both "
    "count. A dict of parents keeps one of them.",
)
def _(graph):
    gradients = [0.0] * len(graph)
    gradients[-1] = 1.0
    for node in reversed(range(len(graph))):
        for parent, slope in dict(graph[node]).items():
            gradients[parent] += slope * gradients[node]
    return gradients


# 8. LayerNorm, backwards


@exercise(CHAPTER, axes="B T D")
def layer_norm_gradient(
    hidden: Float[Tensor, "B T D"],
    weight: Float[Tensor, " D"],
    gradient: Float[Tensor, "B T D"],
    eps: float = 1e-5,
) -> Float[Tensor, "B T D"]:
    """`(dn - mean(dn) - n mean(dn n)) / s` with `dn = gradient * weight`."""
    return by_hand.layer_norm_gradients(hidden, weight, gradient, eps).hidden


@layer_norm_gradient.cases
def _() -> Iterator[Case]:
    by_hand_case = torch.tensor([[[1.0, 2.0, 3.0, 6.0]]])
    yield case("by hand", by_hand_case, torch.ones(4), torch.tensor([[[0.0, 0.0, 0.0, 1.0]]]))
    yield case("two texts", 3 * torch.randn(2, 5, 4) + 1, torch.rand(4) + 0.5, torch.randn(2, 5, 4))
    yield case(
        "as many tokens as the width", torch.randn(1, 4, 4), torch.rand(4), torch.randn(1, 4, 4)
    )
    yield case("a gradient that shifts", torch.randn(1, 2, 4), torch.ones(4), torch.ones(1, 2, 4))
    yield case(
        "a large eps", torch.randn(1, 3, 4), torch.rand(4) + 0.5, torch.randn(1, 3, 4), eps=0.5
    )


def _parts(hidden: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """The normalised vector, and 1 over its scale."""
    centred = hidden - hidden.mean(-1, keepdim=True)
    scale = torch.rsqrt(centred.square().mean(-1, keepdim=True) + eps)
    return centred * scale, scale


def _mean(x: Tensor) -> Tensor:
    return x.mean(-1, keepdim=True)


@layer_norm_gradient.mistake(
    "mean and scale taken for constants",
    hint="You divide what arrives by s, as if mean and s were fixed numbers. But both move when x "
    "does: two more terms.",
)
def _(hidden, weight, gradient, eps=1e-5):
    _, scale = _parts(hidden, eps)
    return gradient * weight * scale


@layer_norm_gradient.mistake(
    "the mean taken care of, the scale not",
    hint="The shift is taken out: right. Now the stretch: what points along n would only make the "
    "vector longer, and the norm would undo it.",
)
def _(hidden, weight, gradient, eps=1e-5):
    _, scale = _parts(hidden, eps)
    dn = gradient * weight
    return scale * (dn - _mean(dn))


@layer_norm_gradient.mistake(
    "the scale taken care of, the mean not",
    hint="The stretch is taken out: right. But a gradient that shifts all entries alike would "
    "achieve nothing either: subtract its mean.",
)
def _(hidden, weight, gradient, eps=1e-5):
    n, scale = _parts(hidden, eps)
    dn = gradient * weight
    return scale * (dn - n * _mean(dn * n))


@layer_norm_gradient.mistake(
    "weight left out",
    hint="What arrives has passed the weight on its way back: dn is gradient times weight, and "
    "everything after that is made of dn.",
)
def _(hidden, weight, gradient, eps=1e-5):
    n, scale = _parts(hidden, eps)
    return scale * (gradient - _mean(gradient) - n * _mean(gradient * n))


@layer_norm_gradient.mistake(
    "weight multiplied at the very end",
    hint="In the forward pass the weight comes last, so on the way back it comes *first*, before "
    "the two means are taken.",
)
def _(hidden, weight, gradient, eps=1e-5):
    n, scale = _parts(hidden, eps)
    return weight * scale * (gradient - _mean(gradient) - n * _mean(gradient * n))


@layer_norm_gradient.mistake(
    "sums where means belong",
    hint="The mean of x contains each entry with 1/D, and so do the terms on the way back.",
)
def _(hidden, weight, gradient, eps=1e-5):
    n, scale = _parts(hidden, eps)
    dn = gradient * weight
    along = (dn * n).sum(-1, keepdim=True)
    return scale * (dn - dn.sum(-1, keepdim=True) - n * along)


@layer_norm_gradient.mistake(
    "not divided by the scale",
    hint="x is divided by s on the way there, so the gradient is on the way back.",
)
def _(hidden, weight, gradient, eps=1e-5):
    n, _ = _parts(hidden, eps)
    dn = gradient * weight
    return dn - _mean(dn) - n * _mean(dn * n)


@layer_norm_gradient.mistake(
    "x itself where the normalised vector belongs",
    hint="The direction to take out is that of n, the vector *after* centring and dividing.",
)
def _(hidden, weight, gradient, eps=1e-5):
    _, scale = _parts(hidden, eps)
    dn = gradient * weight
    return scale * (dn - _mean(dn) - hidden * _mean(dn * hidden))
