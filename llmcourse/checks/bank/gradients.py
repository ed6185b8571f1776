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
SLOPES = "4. What do gradients look like by hand?"

Graph = list[list[tuple[int, float]]]
"""For each node, in the order in which they were made: its parents' numbers, each with a slope."""


# 2. The walk back


@exercise(CHAPTER, variants=(), seconds=2.0, read="3. How does a machine find gradients?")
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
    yield case("three parents", [[], [], [], [(0, 2.0), (1, 5.0), (2, -3.0)]])
    yield case("a slope of zero", [[], [], [(0, 0.0), (1, 2.0)]])
    short, long = (1, 1.0), (2, 1.0)
    for name, ways in {
        "a short way, then a long": [short, long],
        "long, then short": [long, short],
    }.items():
        yield case(name, [[], [(0, 2.0)], [(1, 3.0)], ways])
    yield case(
        "long and short, further in",
        [[], [(0, 2.0)], [(1, 3.0)], [(2, 5.0)], [(3, 1.0), (1, 1.0)], [(4, 2.0)]],
    )
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


@backward.mistake(
    "every way is walked by itself",
    hint="Right, and it never ends: with two ways from each node to the next, 60 nodes have 2^60 "
    "ways. Wait until all that a node went into has reported, and pass its sum on *once*.",
)
def _(graph):
    gradients = [0.0] * len(graph)

    def send(node, amount):
        gradients[node] += amount
        for parent, slope in graph[node]:
            send(parent, amount * slope)

    send(len(graph) - 1, 1.0)
    return gradients


@backward.mistake(
    "passed on before all has arrived: nearest nodes first",
    hint="You go from the end in circles: first its parents, then theirs. But a node on a short "
    "way may hear more, later, over a long one. The order of the list knows when all has arrived.",
)
def _(graph):
    gradients, seen, waiting = [0.0] * len(graph), {len(graph) - 1}, [len(graph) - 1]
    gradients[-1] = 1.0
    while waiting:
        node = waiting.pop(0)
        for parent, slope in graph[node]:
            gradients[parent] += slope * gradients[node]
            if parent not in seen:
                seen.add(parent)
                waiting.append(parent)
    return gradients


@backward.mistake(
    "passed on before all has arrived: one way to its end",
    hint="You follow one way to its end, and mark its nodes as done. What reaches them over "
    "another way is never passed on. A node's turn comes when *all* its children have had theirs.",
)
def _(graph):
    gradients, seen = [0.0] * len(graph), set()
    gradients[-1] = 1.0

    def visit(node):
        if node in seen:
            return
        seen.add(node)
        for parent, slope in graph[node]:
            gradients[parent] += slope * gradients[node]
            visit(parent)

    visit(len(graph) - 1)
    return gradients


@backward.mistake(
    "everybody begins with 1",
    hint="Only the last node moves by 1 when the last node moves by 1. What the others are worth "
    "has still to arrive: they begin at 0.",
)
def _(graph):
    gradients = [1.0] * len(graph)
    for node in reversed(range(len(graph))):
        for parent, slope in graph[node]:
            gradients[parent] += slope * gradients[node]
    return gradients


@backward.mistake(
    "the other question: how much each node moves",
    hint="You pushed the first node and watched all the others. Asked is the reverse: how much the "
    "*last* node moves for each of them. That takes the way back.",
)
def _(graph):
    moved = [0.0] * len(graph)
    moved[0] = 1.0
    for node, parents in enumerate(graph):
        moved[node] += sum(slope * moved[parent] for parent, slope in parents)
    return moved


@backward.mistake(
    "the leaves alone",
    hint="The leaves are right. The nodes on the way have a gradient, too: keep what arrived there "
    "after you have passed it on.",
)
def _(graph):
    gradients = backward.right(graph)
    return [0.0 if parents else g for parents, g in zip(graph, gradients, strict=True)]


@backward.mistake(
    "a mean over the parents",
    hint="A node does not share its gradient out: each parent gets the slope times *all* of it.",
)
def _(graph):
    gradients = [0.0] * len(graph)
    gradients[-1] = 1.0
    for node in reversed(range(len(graph))):
        for parent, slope in graph[node]:
            gradients[parent] += slope * gradients[node] / len(graph[node])
    return gradients


@backward.mistake(
    "the best way alone",
    hint="You keep the largest of what arrives. Ways add up.",
)
def _(graph):
    gradients = [0.0] * len(graph)
    gradients[-1] = 1.0
    for node in reversed(range(len(graph))):
        for parent, slope in graph[node]:
            gradients[parent] = max(gradients[parent], slope * gradients[node], key=abs)
    return gradients


@backward.mistake(
    "signs lost",
    hint="A slope of -3 lowers the end when the node rises: keep the sign.",
)
def _(graph):
    gradients = [0.0] * len(graph)
    gradients[-1] = 1.0
    for node in reversed(range(len(graph))):
        for parent, slope in graph[node]:
            gradients[parent] += abs(slope) * gradients[node]
    return gradients


# 8. LayerNorm, backwards


@exercise(CHAPTER, axes="B T D", variants=("non-contiguous",), strict=False, read=SLOPES)
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
        "as many texts as tokens and entries",
        torch.randn(3, 3, 3),
        torch.rand(3),
        torch.randn(3, 3, 3),
    )
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


def _sent(hidden: Tensor, weight: Tensor, gradient: Tensor, scale: Tensor) -> Tensor:
    """The right formula, with a scale that may be wrong."""
    n = (hidden - _mean(hidden)) / scale
    dn = gradient * weight
    return (dn - _mean(dn) - n * _mean(dn * n)) / scale


@layer_norm_gradient.mistake(
    "the stretch added instead of taken out",
    hint="The mean is subtracted, and so is the part along n: both would be undone by the norm.",
)
def _(hidden, weight, gradient, eps=1e-5):
    n, scale = _parts(hidden, eps)
    dn = gradient * weight
    return scale * (dn - _mean(dn) + n * _mean(dn * n))


@layer_norm_gradient.mistake(
    "the variance of D - 1",
    hint="`var` and `std` of torch divide by D - 1 unless told otherwise. LayerNorm's variance is "
    "a plain mean of squares, over D.",
)
def _(hidden, weight, gradient, eps=1e-5):
    return _sent(hidden, weight, gradient, (hidden.var(-1, keepdim=True) + eps).sqrt())


@layer_norm_gradient.mistake(
    "eps outside the root",
    hint="s is the root of (var + ε), not the root of var, plus ε.",
)
def _(hidden, weight, gradient, eps=1e-5):
    variance = hidden.var(-1, keepdim=True, correction=0)
    return _sent(hidden, weight, gradient, variance.sqrt() + eps)


@layer_norm_gradient.mistake(
    "eps forgotten",
    hint="s² is var(x) + ε. A small ε changes a few digits, a large one everything.",
)
def _(hidden, weight, gradient, eps=1e-5):
    return _sent(hidden, weight, gradient, hidden.std(-1, keepdim=True, correction=0))


@layer_norm_gradient.mistake(
    "the variance where its root belongs",
    hint="You divide by var(x) + ε. s is its *root*.",
)
def _(hidden, weight, gradient, eps=1e-5):
    return _sent(hidden, weight, gradient, hidden.var(-1, keepdim=True, correction=0) + eps)


@layer_norm_gradient.mistake(
    "means over the tokens",
    hint="LayerNorm looks at one token at a time: each mean runs over its D entries.",
)
def _(hidden, weight, gradient, eps=1e-5):
    centred = hidden - hidden.mean(1, keepdim=True)
    scale = (centred.square().mean(1, keepdim=True) + eps).sqrt()
    n, dn = centred / scale, gradient * weight
    return (dn - dn.mean(1, keepdim=True) - n * (dn * n).mean(1, keepdim=True)) / scale


@layer_norm_gradient.mistake(
    "n times the mean of d alone",
    hint="The second mean is of d *times n*: multiply entry by entry first, then take the mean.",
)
def _(hidden, weight, gradient, eps=1e-5):
    n, scale = _parts(hidden, eps)
    dn = gradient * weight
    return scale * (dn - _mean(dn) - n * _mean(dn))


@layer_norm_gradient.mistake(
    "the gradient sent through the norm as if it were data",
    hint="You normalised what arrives. On the way back s is the scale of x, not of the gradient.",
)
def _(hidden, weight, gradient, eps=1e-5):
    return _parts(gradient * weight, eps)[0]


@layer_norm_gradient.mistake(
    "what the norm returns on its way forward",
    hint="That is n, or y. Asked is how the loss moves with x: it needs what arrives, g.",
)
def _(hidden, weight, gradient, eps=1e-5):
    return _parts(hidden, eps)[0] * weight


@layer_norm_gradient.mistake(
    "one mean for everything",
    hint="`mean()` without an axis mixes all tokens. Each token is normed by itself.",
)
def _(hidden, weight, gradient, eps=1e-5):
    n, scale = _parts(hidden, eps)
    dn = gradient * weight
    return scale * (dn - dn.mean() - n * (dn * n).mean())


@layer_norm_gradient.mistake(
    "the first term alone divided by the scale",
    hint="All three terms have come through the division by s: brackets around them.",
)
def _(hidden, weight, gradient, eps=1e-5):
    n, scale = _parts(hidden, eps)
    dn = gradient * weight
    return scale * dn - _mean(dn) - n * _mean(dn * n)


@layer_norm_gradient.mistake(
    "divided by the scale twice",
    hint="n already holds one 1 / s. The whole is divided by s once more, and not twice.",
)
def _(hidden, weight, gradient, eps=1e-5):
    n, scale = _parts(hidden, eps)
    dn = gradient * weight
    return scale**2 * (dn - _mean(dn) - n * _mean(dn * n))


@layer_norm_gradient.mistake(
    "n times its weight where n belongs",
    hint="The direction to take out is n, the vector before the weight: d has met it already.",
)
def _(hidden, weight, gradient, eps=1e-5):
    n, scale = _parts(hidden, eps)
    dn = gradient * weight
    return scale * (dn - _mean(dn) - n * weight * _mean(dn * n * weight))


@layer_norm_gradient.mistake(
    "the gradient before its weight in the second mean",
    hint="Both means are made of d, what has passed the weight: g appears in d alone.",
)
def _(hidden, weight, gradient, eps=1e-5):
    n, scale = _parts(hidden, eps)
    dn = gradient * weight
    return scale * (dn - _mean(dn) - n * _mean(gradient * n))


@layer_norm_gradient.mistake(
    "the mean of x taken out of the gradient",
    hint="What is taken out of d is the mean of *d*. The mean of x went out on the way forward.",
)
def _(hidden, weight, gradient, eps=1e-5):
    n, scale = _parts(hidden, eps)
    dn = gradient * weight
    return scale * (dn - _mean(hidden) - n * _mean(dn * n))
