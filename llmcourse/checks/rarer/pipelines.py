"""Rarer mistakes of the exercise on a pipeline's schedule. Chapter 10 teaches this."""

from llmcourse.checks.bank.pipelines import one_forward_one_backward


def _passes(ahead, micro_batches):
    """The schedule with so many passes in front, or as many as there are."""
    ahead = max(0, min(ahead, micro_batches))
    out = [("F", i) for i in range(ahead)]
    for i in range(ahead, micro_batches):
        out += [("F", i), ("B", i - ahead)]
    return out + [("B", i) for i in range(micro_batches - ahead, micro_batches)]


@one_forward_one_backward.mistake(
    "as many in front as stages up to it",
    hint="You count the stages up to this one. It fills those behind it.",
)
def _(stage, stages, micro_batches):
    return _passes(stage + 1, micro_batches)


@one_forward_one_backward.mistake(
    "as many in front as there are stages",
    hint="You put a pass for each stage in front. Only those behind this one are to be filled.",
)
def _(stage, stages, micro_batches):
    return _passes(stages, micro_batches)


@one_forward_one_backward.mistake(
    "two passes for each stage behind it",
    hint="You put two passes in front for each stage behind, as interleaved schedules do. One for "
    "each is enough.",
)
def _(stage, stages, micro_batches):
    return _passes(2 * (stages - 1 - stage), micro_batches)


@one_forward_one_backward.mistake(
    "the latest goes back first, to the end",
    hint="You send the newest micro-batches back first, like a stack. The oldest one goes first.",
)
def _(stage, stages, micro_batches):
    ahead = max(0, min(stages - 1 - stage, micro_batches))
    out = [("F", i) for i in range(ahead)]
    for i in range(ahead, micro_batches):
        out += [("F", i), ("B", i)]
    return out + [("B", i) for i in reversed(range(ahead))]


@one_forward_one_backward.mistake(
    "in groups of as many as there are stages",
    hint="You empty the pipeline after each group of micro-batches. It stays full until the "
    "forward passes run out.",
)
def _(stage, stages, micro_batches):
    out = []
    for start in range(0, micro_batches, stages):
        group = range(start, min(start + stages, micro_batches))
        out += [("F", i) for i in group] + [("B", i) for i in group]
    return out


@one_forward_one_backward.mistake(
    "in groups, each emptied",
    hint="You fill, take turns and empty for each group of micro-batches anew. The pipeline is "
    "filled once, and emptied once.",
)
def _(stage, stages, micro_batches):
    out = []
    for start in range(0, micro_batches, stages):
        size = min(stages, micro_batches - start)
        out += [(kind, i + start) for kind, i in _passes(stages - 1 - stage, size)]
    return out


@one_forward_one_backward.mistake(
    "the last backward pass is forgotten",
    hint="Your last backward pass is missing. There are as many back as forward.",
)
def _(stage, stages, micro_batches):
    return _passes(stages - 1 - stage, micro_batches)[:-1]


@one_forward_one_backward.mistake(
    "more passes in front than there are",
    hint="You fill with more micro-batches than there are. With few of them all are forward passes "
    "first, and no more.",
)
def _(stage, stages, micro_batches):
    ahead = stages - 1 - stage
    out = [("F", i) for i in range(ahead)]
    for i in range(ahead, micro_batches):
        out += [("F", i), ("B", i - ahead)]
    return out + [("B", i) for i in range(max(0, micro_batches - ahead), max(ahead, micro_batches))]


@one_forward_one_backward.mistake(
    "stages from 1",
    hint="You take the stage to count from 1. It counts from 0.",
)
def _(stage, stages, micro_batches):
    return _passes(stages - stage, micro_batches) if stage else _passes(stages - 1, micro_batches)


@one_forward_one_backward.mistake(
    "words for the kinds",
    hint='You write the kinds out. They are "F" and "B".',
)
def _(stage, stages, micro_batches):
    words = {"F": "forward", "B": "backward"}
    return [(words[kind], i) for kind, i in _passes(stages - 1 - stage, micro_batches)]


@one_forward_one_backward.mistake(
    "the waiting is in the list",
    hint="You put the slots in which the stage waits into the list. It holds what the stage does.",
)
def _(stage, stages, micro_batches):
    return [("-", 0)] * stage + _passes(stages - 1 - stage, micro_batches)


@one_forward_one_backward.mistake(
    "`None` for waiting",
    hint="You put a `None` for each slot in which the stage waits. The waiting follows from the "
    "order: list the passes alone.",
)
def _(stage, stages, micro_batches):
    return [None] * stage + _passes(stages - 1 - stage, micro_batches)


@one_forward_one_backward.mistake(
    "pairs of passes in the middle",
    hint="You put each forward pass and the backward pass with it into a list of their own. All "
    "passes stand in one list.",
)
def _(stage, stages, micro_batches):
    ahead = max(0, min(stages - 1 - stage, micro_batches))
    pairs = [[("F", i), ("B", i - ahead)] for i in range(ahead, micro_batches)]
    return (
        [("F", i) for i in range(ahead)]
        + pairs
        + [("B", i) for i in range(micro_batches - ahead, micro_batches)]
    )


@one_forward_one_backward.mistake(
    "two forward, one backward",
    hint="In the middle you do two forward passes for one backward pass. They take turns, one and "
    "one.",
)
def _(stage, stages, micro_batches):
    ahead = max(0, min(stages - 1 - stage, micro_batches))
    out, back = [("F", i) for i in range(ahead)], 0
    for i in range(ahead, micro_batches):
        out.append(("F", i))
        if (i - ahead) % 2:
            out.append(("B", back))
            back += 1
    return out + [("B", i) for i in range(back, micro_batches)]


@one_forward_one_backward.mistake(
    "half of the stages behind it",
    hint="You fill half of the stages behind this one, as two pipelines in opposite directions do. "
    "Fill one pass for each of them.",
)
def _(stage, stages, micro_batches):
    return _passes((stages - stage) // 2, micro_batches)


@one_forward_one_backward.mistake(
    "half of the micro-batches in front",
    hint="You put half of the micro-batches in front. It is one pass for each stage behind this "
    "one.",
)
def _(stage, stages, micro_batches):
    return _passes(micro_batches // 2, micro_batches)


@one_forward_one_backward.mistake(
    "all backward passes wait for the first to come back",
    hint="You begin to go back after as many forward passes as there are stages behind, and then "
    "go back with all of them. One forward and one backward take turns.",
)
def _(stage, stages, micro_batches):
    ahead = max(0, min(stages - 1 - stage, micro_batches))
    forward = [("F", i) for i in range(ahead)]
    back = [("B", i) for i in range(ahead)]
    rest = [(kind, i) for i in range(ahead, micro_batches) for kind in "FB"]
    return forward + back + rest


@one_forward_one_backward.mistake(
    "three kinds of passes",
    hint='You split the backward pass in two, with a "W" for the weights. Here there are "F" and '
    '"B".',
)
def _(stage, stages, micro_batches):
    out = []
    for kind, i in _passes(stages - 1 - stage, micro_batches):
        out += [(kind, i), ("W", i)] if kind == "B" else [(kind, i)]
    return out


@one_forward_one_backward.mistake(
    "forward again before each backward pass",
    hint="You do the forward pass again before each backward pass, as with checkpoints. Each is "
    "done once.",
)
def _(stage, stages, micro_batches):
    out = []
    for kind, i in _passes(stages - 1 - stage, micro_batches):
        out += [("F", i), (kind, i)] if kind == "B" else [(kind, i)]
    return out


@one_forward_one_backward.mistake(
    "forward passes alone",
    hint="You list the forward passes alone. Each micro-batch goes back, too.",
)
def _(stage, stages, micro_batches):
    return [("F", i) for i in range(micro_batches)]


@one_forward_one_backward.mistake(
    "the numbers alone",
    hint="You list the numbers of the micro-batches. Say with each which pass it is.",
)
def _(stage, stages, micro_batches):
    return [i for _, i in _passes(stages - 1 - stage, micro_batches)]


@one_forward_one_backward.mistake(
    "the kinds alone",
    hint="You list the kinds of the passes. Say with each which micro-batch it is.",
)
def _(stage, stages, micro_batches):
    return [kind for kind, _ in _passes(stages - 1 - stage, micro_batches)]


@one_forward_one_backward.mistake(
    "all go back again at the end",
    hint="You go back with all micro-batches at the end, those too that have been back already. "
    "Only what is left goes back then.",
)
def _(stage, stages, micro_batches):
    ahead = max(0, min(stages - 1 - stage, micro_batches))
    middle = _passes(ahead, micro_batches)[: 2 * micro_batches - ahead]
    return middle + [("B", i) for i in range(micro_batches)]


@one_forward_one_backward.mistake(
    "the middle is one turn short",
    hint="You stop to take turns one micro-batch too early, and do its forward pass with the rest. "
    "Turns are taken as long as forward passes are left.",
)
def _(stage, stages, micro_batches):
    ahead = max(0, min(stages - 1 - stage, micro_batches))
    out = [("F", i) for i in range(ahead)]
    for i in range(ahead, micro_batches - 1):
        out += [("F", i), ("B", i - ahead)]
    return out + [("B", i) for i in range(max(0, micro_batches - 1 - ahead), micro_batches)]
