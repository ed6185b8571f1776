"""Rarer mistakes of the exercises on gradients. Chapter 06 teaches this."""

from llmcourse.checks.bank.gradients import backward, layer_norm_gradient


def _back(
    graph,
    seed=1.0,
    start=0.0,
    nodes=None,
    parents=lambda own: own,
    add=lambda old, slope, own: old + slope * own,
):
    """The walk back, with one thing done otherwise."""
    grads = [start] * len(graph)
    if graph:
        grads[-1] = seed
    for node in nodes or range(len(graph) - 1, -1, -1):
        for parent, slope in parents(graph[node]):
            grads[parent] = add(grads[parent], slope, grads[node])
    return grads


@backward.mistake(
    "the first way stays",
    hint="You keep the first thing that a parent hears and drop the rest. It adds up.",
)
def _(graph):
    return _back(graph, add=lambda old, slope, own: old or slope * own)


@backward.mistake(
    "the child's gradient without the slope",
    hint="You hand a child's gradient on as it is, which counts the ways. It is multiplied by the "
    "slope.",
)
def _(graph):
    return _back(graph, add=lambda old, slope, own: old + own)


@backward.mistake(
    "the largest way",
    hint="You keep the largest of what the children send. It adds up.",
)
def _(graph):
    return _back(graph, add=lambda old, slope, own: max(old, slope * own))


@backward.mistake(
    "slopes squared",
    hint="You multiply by the square of the slope. By the slope itself, once.",
)
def _(graph):
    return _back(graph, add=lambda old, slope, own: old + slope**2 * own)


@backward.mistake(
    "divided by the slope",
    hint="You divide by the slope. It says how much the child moves for a unit of the parent: "
    "multiply.",
)
def _(graph):
    return _back(graph, add=lambda old, slope, own: old + (own / slope if slope else 0.0))


@backward.mistake(
    "the mean over the children",
    hint="You average what the children send. It adds up.",
)
def _(graph):
    grads, heard = [0.0] * len(graph), [0] * len(graph)
    if graph:
        grads[-1], heard[-1] = 1.0, 1
    for node in range(len(graph) - 1, -1, -1):
        grads[node] /= max(heard[node], 1)
        for parent, slope in graph[node]:
            grads[parent] += slope * grads[node]
            heard[parent] += 1
    return grads


@backward.mistake(
    "two parents at most",
    hint="You look at the first two parents. A node may have more.",
)
def _(graph):
    return _back(graph, parents=lambda own: own[:2])


@backward.mistake(
    "the first parent alone",
    hint="You follow the first parent of each node. All of them count.",
)
def _(graph):
    return _back(graph, parents=lambda own: own[:1])


@backward.mistake(
    "every end begins at 1",
    hint="You begin with 1 at every node without children. Only the last node is asked about.",
)
def _(graph):
    has_child = {parent for own in graph for parent, _ in own}
    grads = [0.0 if node in has_child else 1.0 for node in range(len(graph))]
    for node in range(len(graph) - 1, -1, -1):
        for parent, slope in graph[node]:
            grads[parent] += slope * grads[node]
    return grads


@backward.mistake(
    "an end without a 1, if it is a leaf",
    hint="The last node has a gradient of 1 even if it is a leaf, and there is nobody to send to.",
)
def _(graph):
    return _back(graph, seed=1.0 if graph and graph[-1] else 0.0)


@backward.mistake(
    "the first node's turn never comes",
    hint="Your walk back ends before the second node. Its parents hear nothing from it.",
)
def _(graph):
    return _back(graph, nodes=range(len(graph) - 1, 1, -1))


@backward.mistake(
    "depth first from the end",
    hint="You follow each node's parents at once (depth first). A node may send before all has "
    "arrived: walk back by their places.",
)
def _(graph):
    order, stack = [], [len(graph) - 1]
    while stack:
        node = stack.pop()
        if node not in order:
            order.append(node)
            stack += [parent for parent, _ in reversed(graph[node])]
    return _back(graph, nodes=order)


@backward.mistake(
    "from the last node to the first, who is child of whom exchanged",
    hint="You let a child gather from its parents. Parents hear from their children.",
)
def _(graph):
    grads = [0.0] * len(graph)
    if graph:
        grads[-1] = 1.0
    for node in range(len(graph) - 1, -1, -1):
        grads[node] += sum(slope * grads[parent] for parent, slope in graph[node])
    return grads


@backward.mistake(
    "leaves alone",
    hint="You return the gradients of the leaves. Every node has one.",
)
def _(graph):
    grads = _back(graph)
    return [grad for grad, own in zip(grads, graph, strict=True) if not own]


@backward.mistake(
    "nothing where a node does not matter",
    hint="You have `None` for nodes that the last does not depend on. Theirs is 0.",
)
def _(graph):
    touched = {len(graph) - 1}
    for node in range(len(graph) - 1, -1, -1):
        if node in touched:
            touched |= {parent for parent, _ in graph[node]}
    return [g if n in touched else None for n, g in enumerate(_back(graph))]


@backward.mistake(
    "gradients clipped to 1",
    hint="You clip the gradients. They are asked for as they are.",
)
def _(graph):
    return [max(-1.0, min(1.0, grad)) for grad in _back(graph)]


@backward.mistake(
    "the end counted once more",
    hint="You add the last node's 1 to what its parents hear.",
)
def _(graph):
    grads = _back(graph)
    for parent, slope in graph[-1] if graph else []:
        grads[parent] += slope
    return grads


@backward.mistake(
    "zero slopes skipped with all that follows",
    hint="You stop at a parent with a slope of zero. The parents listed after it count as before.",
)
def _(graph):
    def until_zero(own):
        slopes = [slope for _, slope in own]
        return own[: slopes.index(0.0)] if 0.0 in slopes else own

    return _back(graph, parents=until_zero)


# LayerNorm, backwards


def _mean(x):
    return x.mean(-1, keepdim=True)


def _forward(hidden, eps):
    centred = hidden - _mean(hidden)
    scale = (_mean(centred.square()) + eps).sqrt()
    return centred / scale, scale


@layer_norm_gradient.mistake(
    "divided by D - 1",
    hint="Your means of d and d n divide by D - 1. They are plain means.",
)
def _(hidden, weight, gradient, eps=1e-5):
    n, scale = _forward(hidden, eps)
    d, more = gradient * weight, hidden.size(-1) / max(hidden.size(-1) - 1, 1)
    return (d - more * _mean(d) - n * more * _mean(d * n)) / scale


@layer_norm_gradient.mistake(
    "the shift added",
    hint="You add the mean of d. It is taken out.",
)
def _(hidden, weight, gradient, eps=1e-5):
    n, scale = _forward(hidden, eps)
    d = gradient * weight
    return (d + _mean(d) - n * _mean(d * n)) / scale


@layer_norm_gradient.mistake(
    "n forgotten outside of the mean",
    hint="You subtract the mean of d n alike from all entries. It is multiplied by n.",
)
def _(hidden, weight, gradient, eps=1e-5):
    n, scale = _forward(hidden, eps)
    d = gradient * weight
    return (d - _mean(d) - _mean(d * n)) / scale


@layer_norm_gradient.mistake(
    "d in place of n",
    hint="You multiply the mean of d n by d. It is n that points along the stretch.",
)
def _(hidden, weight, gradient, eps=1e-5):
    n, scale = _forward(hidden, eps)
    d = gradient * weight
    return (d - _mean(d) - d * _mean(d * n)) / scale


@layer_norm_gradient.mistake(
    "centred x in place of n",
    hint="You use the centred vector where the normalised one belongs.",
)
def _(hidden, weight, gradient, eps=1e-5):
    scale = _forward(hidden, eps)[1]
    d, centred = gradient * weight, hidden - _mean(hidden)
    return (d - _mean(d) - centred * _mean(d * centred)) / scale


@layer_norm_gradient.mistake(
    "the weight met in the means alone",
    hint="The first term is the gradient without the weight. d = g w stands in all three.",
)
def _(hidden, weight, gradient, eps=1e-5):
    n, scale = _forward(hidden, eps)
    d = gradient * weight
    return (gradient - _mean(d) - n * _mean(d * n)) / scale


@layer_norm_gradient.mistake(
    "the weight met in the first term alone",
    hint="Your means are of g. They are of d = g w.",
)
def _(hidden, weight, gradient, eps=1e-5):
    n, scale = _forward(hidden, eps)
    return (gradient * weight - _mean(gradient) - n * _mean(gradient * n)) / scale


@layer_norm_gradient.mistake(
    "the stretch undivided",
    hint="You divide the first two terms by the scale, and not the third. All three are divided.",
)
def _(hidden, weight, gradient, eps=1e-5):
    n, scale = _forward(hidden, eps)
    d = gradient * weight
    return (d - _mean(d)) / scale - n * _mean(d * n)


@layer_norm_gradient.mistake(
    "only the stretch divided",
    hint="You divide the third term alone by the scale. All three are divided.",
)
def _(hidden, weight, gradient, eps=1e-5):
    n, scale = _forward(hidden, eps)
    d = gradient * weight
    return d - _mean(d) - n * _mean(d * n) / scale


@layer_norm_gradient.mistake(
    "multiplied by the scale",
    hint="You multiply by the scale. A large token feels less: divide.",
)
def _(hidden, weight, gradient, eps=1e-5):
    n, scale = _forward(hidden, eps)
    d = gradient * weight
    return (d - _mean(d) - n * _mean(d * n)) * scale


@layer_norm_gradient.mistake(
    "half of the stretch",
    hint="You have a factor of a half at the third term. A square's 2 and a root's half cancel.",
)
def _(hidden, weight, gradient, eps=1e-5):
    n, scale = _forward(hidden, eps)
    d = gradient * weight
    return (d - _mean(d) - 0.5 * n * _mean(d * n)) / scale


@layer_norm_gradient.mistake(
    "twice the stretch",
    hint="You have a factor of 2 at the third term. A square's 2 and a root's half cancel.",
)
def _(hidden, weight, gradient, eps=1e-5):
    n, scale = _forward(hidden, eps)
    d = gradient * weight
    return (d - _mean(d) - 2 * n * _mean(d * n)) / scale


@layer_norm_gradient.mistake(
    "the square of n left out of the mean",
    hint="You multiply the mean of d by the square of n. It is n, times the mean of d n.",
)
def _(hidden, weight, gradient, eps=1e-5):
    n, scale = _forward(hidden, eps)
    d = gradient * weight
    return (d - _mean(d) - n.square() * _mean(d)) / scale


@layer_norm_gradient.mistake(
    "the gradient of RMSNorm",
    hint="That is RMSNorm's way back: nothing is centred and no mean taken out. LayerNorm does "
    "both.",
)
def _(hidden, weight, gradient, eps=1e-5):
    scale = (_mean(hidden.square()) + eps).sqrt()
    n, d = hidden / scale, gradient * weight
    return (d - n * _mean(d * n)) / scale


@layer_norm_gradient.mistake(
    "d centred twice",
    hint="You centre d and n again before the mean of their product, and multiply by the centred "
    "d. It is n that the mean is multiplied by.",
)
def _(hidden, weight, gradient, eps=1e-5):
    n, scale = _forward(hidden, eps)
    d = gradient * weight
    d = d - _mean(d)
    return (d - d * _mean(d * n)) / scale


@layer_norm_gradient.mistake(
    "means over positions",
    hint="Your means of d and d n run over the positions. They run over the width.",
)
def _(hidden, weight, gradient, eps=1e-5):
    n, scale = _forward(hidden, eps)
    d = gradient * weight
    return (d - d.mean(1, keepdim=True) - n * (d * n).mean(1, keepdim=True)) / scale


@layer_norm_gradient.mistake(
    "eps in the division, not in n",
    hint="Your n is made without eps. It has the same scale as the division.",
)
def _(hidden, weight, gradient, eps=1e-5):
    n, scale = _forward(hidden, 1e-12)[0], _forward(hidden, eps)[1]
    d = gradient * weight
    return (d - _mean(d) - n * _mean(d * n)) / scale


@layer_norm_gradient.mistake(
    "what arrives at the weight",
    hint="You return the gradient at the weight for each token, g n. Asked for is the one at x.",
)
def _(hidden, weight, gradient, eps=1e-5):
    return gradient * _forward(hidden, eps)[0]


@layer_norm_gradient.mistake(
    "the sign of the stretch from sizes",
    hint="You take the sizes of n in the third term. Its signs matter.",
)
def _(hidden, weight, gradient, eps=1e-5):
    n, scale = _forward(hidden, eps)
    d = gradient * weight
    return (d - _mean(d) - n.abs() * _mean(d * n)) / scale


@layer_norm_gradient.mistake(
    "means over texts and positions",
    hint="Your means of d and d n run over texts and positions, as in BatchNorm. They run over the "
    "width.",
)
def _(hidden, weight, gradient, eps=1e-5):
    n, scale = _forward(hidden, eps)
    d = gradient * weight
    return (d - d.mean((0, 1), keepdim=True) - n * (d * n).mean((0, 1), keepdim=True)) / scale


@layer_norm_gradient.mistake(
    "a sum in the stretch alone",
    hint="You multiply n by the sum of d n. Take its mean, as you do with d.",
)
def _(hidden, weight, gradient, eps=1e-5):
    n, scale = _forward(hidden, eps)
    d = gradient * weight
    return (d - _mean(d) - n * (d * n).sum(-1, keepdim=True)) / scale
