"""The exercises on the training loop: sums, packing, samplers, searching.

Not here: the exercises on number formats and speed (`precision.py`) and on diagnosing a run
(`diagnosis.py`), the exercises' texts (`solutions/`), and how checking works (`harness.py`).
Chapter 08 teaches this.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from llmcourse.checks.harness import Case, case, exercise
from llmcourse.data.packing import restart_positions
from llmcourse.labs.search import successive_halving, total_steps
from llmcourse.nn import masks

CHAPTER = "08"
Part = tuple[Float[Tensor, "_ _"], Bool[Tensor, "_ _"]]
"""A micro-batch: the loss at each position, `[B, T]`, and whether it is scored."""


# 1. One division


@exercise(CHAPTER)
def accumulated_loss(parts: list[Part]) -> Float[Tensor, ""]:
    """The mean loss over all scored positions of all micro-batches."""
    total = torch.stack([(losses * scored).sum() for losses, scored in parts]).sum()
    return total / sum(int(scored.sum()) for _, scored in parts)


@accumulated_loss.cases
def _() -> Iterator[Case]:
    yes, no = True, False
    first = torch.tensor([[1.0, 1.0], [1.0, 5.0]]), torch.tensor([[yes, yes], [yes, no]])
    second = torch.tensor([[3.0, 9.0]]), torch.tensor([[yes, no]])
    yield case("by hand", [first, second])
    yield case("three micro-batches", [_part(4, 6), _part(4, 6, 0.3), _part(4, 6, 0.9)])
    yield case("of several sizes", [_part(2, 3), _part(1, 8), _part(3, 5)])
    silent = torch.randn(2, 3), torch.zeros(2, 3, dtype=torch.bool)
    yield case("one with nothing to score", [_part(2, 3), silent])
    yield case("a single one", [_part(3, 4)])


def _part(rows: int, length: int, share: float = 0.6) -> Part:
    scored = torch.rand(rows, length) < share
    scored[0, 0] = True
    return 3 * torch.rand(rows, length), scored


@accumulated_loss.mistake(
    "the mean of the means",
    hint="Each micro-batch is averaged first, so a token of a short one counts more. Add the sums "
    "of all of them, and divide once.",
)
def _(parts):
    return torch.stack([losses[scored].mean() for losses, scored in parts]).mean()


@accumulated_loss.mistake(
    "divided by all positions",
    hint="The sum is right. Divide by how many positions were *scored*: padding has no loss, and "
    "no vote.",
)
def _(parts):
    total = torch.stack([(losses * scored).sum() for losses, scored in parts]).sum()
    return total / sum(losses.numel() for losses, _ in parts)


@accumulated_loss.mistake(
    "padding counts as text",
    hint="`scored` says which positions have a loss that means something. You added them all.",
)
def _(parts):
    total = torch.stack([losses.sum() for losses, _ in parts]).sum()
    return total / sum(losses.numel() for losses, _ in parts)


@accumulated_loss.mistake(
    "not divided at all",
    hint="That is the sum. The gradient of a sum grows with the batch: divide by the count.",
)
def _(parts):
    return torch.stack([(losses * scored).sum() for losses, scored in parts]).sum()


@accumulated_loss.mistake(
    "each row averaged first",
    hint="A mean for each row, then a mean of those: tokens of short rows count more. It is the "
    "mean of means again, in another dress.",
)
def _(parts):
    rows = [(losses * scored).sum(1) / scored.sum(1) for losses, scored in parts]
    return torch.cat(rows).mean()


# 2. Keep them apart


@exercise(CHAPTER, axes=("B T S", "B T"))
def keep_apart(
    documents: Int[Tensor, "B T"],
) -> tuple[Bool[Tensor, "B T T"], Int[Tensor, "B T"]]:
    """The causal mask of each packed row, and positions that restart with each document."""
    mask = masks.document(documents)[:, 0] & masks.causal(documents.size(1))
    return mask, torch.from_numpy(restart_positions(documents.numpy()))


@keep_apart.cases
def _() -> Iterator[Case]:
    yield case("by hand", torch.tensor([[1, 1, 2, 2, 2]]))
    yield case("two rows", torch.tensor([[1, 1, 1, 2, 3, 3], [1, 2, 2, 2, 0, 0]]))
    yield case("one document", torch.ones(1, 4, dtype=torch.long))
    yield case("one token each", torch.arange(1, 5)[None])
    yield case("many", torch.rand(3, 12).lt(0.3).long().cumsum(1))


def _mask(documents: Tensor, same: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
    return same & visible, torch.from_numpy(restart_positions(documents.numpy()))


def _same(documents: Tensor) -> Tensor:
    return documents[:, :, None] == documents[:, None, :]


@keep_apart.mistake(
    "sees the future",
    hint="Within a document everybody sees everybody. The mask has to be causal, too: combine it "
    "with a lower triangle.",
)
def _(documents):
    return _mask(documents, _same(documents), torch.ones_like(_same(documents)))


@keep_apart.mistake(
    "earlier documents can be seen",
    hint="Your mask is causal and nothing else: the second document still looks at the first. "
    "Compare the documents' numbers of query and key.",
)
def _(documents):
    causal = masks.causal(documents.size(1))
    return _mask(documents, torch.ones_like(_same(documents)), causal)


@keep_apart.mistake(
    "the triangle the wrong way round",
    hint="Row t is a query: it may see keys s up to t. Yours sees the later ones.",
)
def _(documents):
    return _mask(documents, _same(documents), masks.causal(documents.size(1)).mT)


@keep_apart.mistake(
    "nobody sees itself",
    hint="A position sees what came before it *and itself*: the diagonal belongs to the triangle.",
)
def _(documents):
    causal = masks.causal(documents.size(1)).tril(-1)
    return _mask(documents, _same(documents), causal)


@keep_apart.mistake(
    "positions run through the row",
    hint="The mask is right. But a document's first token stands at position 0, wherever it lies "
    "in the row.",
)
def _(documents):
    mask = _same(documents) & masks.causal(documents.size(1))
    return mask, torch.arange(documents.size(1)).expand_as(documents).contiguous()


@keep_apart.mistake(
    "positions count from one",
    hint="The first token of a document stands at 0.",
)
def _(documents):
    mask, positions = _mask(documents, _same(documents), masks.causal(documents.size(1)))
    return mask, positions + 1


# 3. A sampler that resumes


OrderOf = Callable[[int], list[int]]
"""From the number of an epoch to the order of its windows."""


@exercise(CHAPTER)
def next_windows(order_of: OrderOf, position: int, n: int) -> list[int]:
    """The next `n` windows, when `position` have been taken since the very beginning."""
    n_windows = len(order_of(0))
    places = [divmod(place, n_windows) for place in range(position, position + n)]
    return [order_of(epoch)[place] for epoch, place in places]


@next_windows.cases
def _() -> Iterator[Case]:
    fixed = [[2, 0, 1], [1, 2, 0], [0, 1, 2], [2, 1, 0], [1, 0, 2]]
    yield case("by hand", fixed.__getitem__, 2, 3)
    yield case("the beginning", _shuffled(6), 0, 4)
    yield case("in the middle", _shuffled(6), 2, 3)
    yield case("over the end of an epoch", _shuffled(6), 4, 5)
    yield case("in the third epoch", _shuffled(5), 12, 2)
    yield case("over several epochs", _shuffled(4), 3, 10)
    yield case("exactly at a border", _shuffled(4), 8, 4)
    yield case("nothing", _shuffled(4), 5, 0)


def _shuffled(n: int) -> OrderOf:
    return lambda epoch: np.random.default_rng([n, epoch]).permutation(n).tolist()


@next_windows.mistake(
    "begins the epoch anew",
    hint="The right epoch, but from its start: `position` also says how far into the epoch the run "
    "was. After a restart yours reads the first windows again.",
)
def _(order_of, position, n):
    size = len(order_of(0))
    start = position // size * size
    return [order_of(place // size)[place % size] for place in range(start, start + n)]


@next_windows.mistake(
    "every epoch in the same order",
    hint="Each epoch has an order of its own: `order_of(epoch)`, with the epoch in which the "
    "window falls.",
)
def _(order_of, position, n):
    order = order_of(0)
    return [order[place % len(order)] for place in range(position, position + n)]


@next_windows.mistake(
    "one epoch's order for the whole batch",
    hint="A batch may begin in one epoch and end in the next: at the border, ask again.",
)
def _(order_of, position, n):
    size = len(order_of(0))
    order = order_of(position // size)
    return [order[place % size] for place in range(position, position + n)]


@next_windows.mistake(
    "stops at the end of the epoch",
    hint="There are fewer than `n` left in this epoch. Go on with the next one.",
)
def _(order_of, position, n):
    size = len(order_of(0))
    start = position % size
    return order_of(position // size)[start : start + n]


@next_windows.mistake(
    "starts from the very beginning",
    hint="That is what a run without a saved position does: the first windows once more.",
)
def _(order_of, position, n):
    size = len(order_of(0))
    return [order_of(place // size)[place % size] for place in range(n)]


# 7. Successive halving


Score = Callable[[int, int], float]
"""From a candidate's number and how many steps it has had to its score; lower is better."""


@exercise(CHAPTER)
def halving(score: Score, n: int, first: int, eta: int) -> tuple[int, int]:
    """The winner's number, and how many steps all candidates took together."""
    had = [0] * n

    def candidate(number: int) -> Callable[[int], float]:
        def train(steps: int) -> float:
            had[number] += steps
            return score(number, had[number])

        return train

    rungs = successive_halving([candidate(i) for i in range(n)], first=first, eta=eta)
    return rungs[-1].kept[0], total_steps(rungs)


@halving.cases
def _() -> Iterator[Case]:
    yield case("by hand", lambda c, steps: [3.0, 1.0, 2.0, 4.0][c], 4, 10, 2)
    yield case("nine candidates", lambda c, steps: (5 * c + 2) % 9 - steps / 100, 9, 4, 3)
    yield case("a late bloomer", lambda c, steps: [4.2 - steps / 20, 3, 4, 6][c], 4, 20, 2)
    yield case("five, halved", lambda c, steps: abs(c - 3) + 1 / steps, 5, 8, 2)
    yield case("two, by thirds", lambda c, steps: float(c), 2, 6, 3)
    yield case("a single one", lambda c, steps: 1.0, 1, 5, 2)


def _halve(score, n, first, eta, *, best=min, keep_one_more=False, anew=False, grow=None):
    """The loop, with parts of it changed."""
    alive, steps, had, total = list(range(n)), first, 0, 0
    while True:
        total += len(alive) * (steps if anew else steps - had)
        order = sorted(alive, key=lambda c: score(c, steps), reverse=best is max)
        done = len(alive) <= eta
        alive = order[: max(1, len(order) // eta + keep_one_more)]
        if done:
            return order[0], total
        had, steps = steps, steps * (grow or eta)


@halving.mistake(
    "keeps the worst",
    hint="A score is a loss: the lower ones go on.",
)
def _(score, n, first, eta):
    return _halve(score, n, first, eta, best=max)


@halving.mistake(
    "everybody begins anew in each round",
    hint="The winner is right, the bill is not: who goes on keeps what it has learned, and pays "
    "for the *additional* steps alone.",
)
def _(score, n, first, eta):
    return _halve(score, n, first, eta, anew=True)


@halving.mistake(
    "judged by the first round",
    hint="You sorted once. After each round the survivors are judged by their *new* scores.",
)
def _(score, n, first, eta):
    _, total = _halve(score, n, first, eta)
    return min(range(n), key=lambda c: score(c, first)), total


@halving.mistake(
    "everybody is trained to the end",
    hint="That is random search: the best of all, at the full price. Drop the losers as you go.",
)
def _(score, n, first, eta):
    steps, left = first, n
    while left > eta:
        steps, left = steps * eta, left // eta
    return min(range(n), key=lambda c: score(c, steps)), n * steps


@halving.mistake(
    "the rounds do not get longer",
    hint="The survivors get `eta` times as many steps, in all, as they had: first, eta · first, "
    "eta² · first, ...",
)
def _(score, n, first, eta):
    alive, steps, total = list(range(n)), 0, 0
    while True:
        steps, total = steps + first, total + first * len(alive)
        order = sorted(alive, key=lambda c: score(c, steps))
        if len(alive) <= eta:
            return order[0], total
        alive = order[: max(1, len(order) // eta)]
