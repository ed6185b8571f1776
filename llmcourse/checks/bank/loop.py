"""The exercises on the training loop: sums, packing, samplers.

Not here: the exercises on searching settings (`searching.py`), on number formats and speed
(`precision.py`) and on diagnosing a run (`diagnosis.py`), the exercises' texts (`solutions/`), and
how checking works (`harness.py`). Chapter 08 teaches this.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from llmcourse.checks.harness import Case, case, exercise
from llmcourse.data.packing import restart_positions
from llmcourse.nn import masks

CHAPTER = "08"
Part = tuple[Float[Tensor, "_ _"], Bool[Tensor, "_ _"]]
"""A micro-batch: the loss at each position, `[B, T]`, and whether it is scored."""


# 1. One division


@exercise(
    CHAPTER,
    variants=("non-contiguous",),
    strict=False,
    read="4. What if the batch does not fit?",
)
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
    sure = torch.tensor([[0.0, 2.0], [0.0, 4.0]]), torch.tensor([[yes, yes], [no, yes]])
    yield case(
        "scored losses of exactly 0", [sure, (torch.zeros(1, 2), torch.tensor([[yes, yes]]))]
    )
    yield case(
        "padding with a loss far from 0", [(torch.tensor([[2.0, 1e4]]), torch.tensor([[yes, no]]))]
    )
    yield case("nothing to score in the middle", [_part(2, 3), silent, _part(1, 4)])


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


def _total(parts: list[Part]) -> Tensor:
    return torch.stack([(losses * scored).sum() for losses, scored in parts]).sum()


@accumulated_loss.mistake(
    "counted by losses that are not 0",
    hint="A scored position may have a loss of exactly 0, once the model is sure. It counts: "
    "`scored` says which do.",
)
def _(parts):
    return _total(parts) / sum((losses * scored != 0).sum() for losses, scored in parts)


@accumulated_loss.mistake(
    "divided by the number of parts",
    hint="The sum is right. Into how many parts a batch was cut must not matter: divide by the "
    "scored *positions*.",
)
def _(parts):
    return _total(parts) / len(parts)


@accumulated_loss.mistake(
    "divided by the number of rows",
    hint="The sum is right. A row may be short or long: divide by the scored *positions*.",
)
def _(parts):
    return _total(parts) / sum(len(losses) for losses, _ in parts)


@accumulated_loss.mistake(
    "padding in the sum, and not in the count",
    hint="You divide by the scored positions: right. Their losses alone belong into the sum.",
)
def _(parts):
    total = torch.stack([losses.sum() for losses, _ in parts]).sum()
    return total / sum(int(scored.sum()) for _, scored in parts)


@accumulated_loss.mistake(
    "the first part alone",
    hint="You return within the loop. Return when all parts have been seen.",
)
def _(parts):
    losses, scored = parts[0]
    return losses[scored].mean()


@accumulated_loss.mistake(
    "the last part alone",
    hint="Each part replaces the one before: add up, with +=.",
)
def _(parts):
    return _total(parts[-1:]) / parts[-1][1].sum()


@accumulated_loss.mistake(
    "the sum of the means",
    hint="Each part was averaged, and the means were added: that grows with the number of parts.",
)
def _(parts):
    return torch.stack([losses[scored].mean() for losses, scored in parts]).sum()


@accumulated_loss.mistake(
    "the count of one part for all",
    hint="Parts differ in how many positions they score. Add their counts up.",
)
def _(parts):
    return _total(parts) / (len(parts) * parts[0][1].sum())


@accumulated_loss.mistake(
    "padding alone",
    hint="`scored` is True where a loss means something. You took the others.",
)
def _(parts):
    total = torch.stack([(losses * ~scored).sum() for losses, scored in parts]).sum()
    return total / sum(int((~scored).sum()) for _, scored in parts)


@accumulated_loss.mistake(
    "the last part's losses over all counts",
    hint="The count adds up, the losses do not: += in both places.",
)
def _(parts):
    return _total(parts[-1:]) / sum(int(scored.sum()) for _, scored in parts)


@accumulated_loss.mistake(
    "all losses over the last part's count",
    hint="The losses add up, the count does not: += in both places.",
)
def _(parts):
    return _total(parts) / parts[-1][1].sum()


@accumulated_loss.mistake(
    "means of all positions, averaged",
    hint="Padding became 0 and counts all the same, and each part has the same say. Add up sums "
    "and counts, and divide once.",
)
def _(parts):
    return torch.stack([(losses * scored).mean() for losses, scored in parts]).mean()


@accumulated_loss.mistake(
    "means divided by the count",
    hint="You divided twice: within each part, and at the end. Add *sums*, divide once.",
)
def _(parts):
    total = torch.stack([losses[scored].mean() for losses, scored in parts]).sum()
    return total / sum(int(scored.sum()) for _, scored in parts)


# 2. Keep them apart


@exercise(CHAPTER, axes=("B T S", "B T"), read="3. What shares a window?")
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
    yield case("numbers in any order", torch.tensor([[7, 7, 3, 3, 3, 9], [2, 5, 5, 0, 0, 1]]))
    yield case("a number again in the next row", torch.tensor([[1, 2], [2, 2]]))
    yield case("mostly padding", torch.tensor([[1, 0, 0, 0]]))
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


@keep_apart.mistake(
    "padding sees nothing",
    hint="Padding counts as a document like any other: its tokens see each other. (They are not "
    "scored, and a row that sees nothing makes NaN in a softmax.)",
)
def _(documents):
    mask, positions = keep_apart.right(documents)
    return mask & (documents > 0)[:, :, None], positions


@keep_apart.mistake(
    "padding stands at position 0",
    hint="Padding counts as a document like any other: its positions count up, too.",
)
def _(documents):
    mask, positions = keep_apart.right(documents)
    return mask, positions * (documents > 0)


@keep_apart.mistake(
    "documents compared by larger and smaller",
    hint="Only the *same* document may be seen: ==, not >=. The numbers say nothing about order.",
)
def _(documents):
    seen = documents[:, :, None] >= documents[:, None, :]
    return _mask(documents, seen, masks.causal(documents.size(1)))


@keep_apart.mistake(
    "True where it must not look",
    hint="Your mask is inverted: True means *may look*.",
)
def _(documents):
    mask, positions = keep_apart.right(documents)
    return ~mask, positions


@keep_apart.mistake(
    "positions first, mask second",
    hint="Return the mask first, then the positions.",
)
def _(documents):
    return keep_apart.right(documents)[::-1]


@keep_apart.mistake(
    "positions are the documents' numbers",
    hint="A position says where *within* its document a token stands, not which document it is.",
)
def _(documents):
    return keep_apart.right(documents)[0], documents - documents[:, :1]


@keep_apart.mistake(
    "one of the two conditions is enough",
    hint="The same document *and* not in the future: & where you have |.",
)
def _(documents):
    positions = keep_apart.right(documents)[1]
    return _same(documents) | masks.causal(documents.size(1)), positions


@keep_apart.mistake(
    "numbers to add, 0 and minus infinity",
    hint="Those are the masks that some libraries add to the scores. Asked are yes and no.",
)
def _(documents):
    mask, positions = keep_apart.right(documents)
    return torch.zeros(mask.shape).masked_fill(~mask, -torch.inf), positions


@keep_apart.mistake(
    "the length of the document for a position",
    hint="You count all tokens of the document. A position counts those *before* it.",
)
def _(documents):
    return keep_apart.right(documents)[0], _same(documents).sum(-1) - 1


@keep_apart.mistake(
    "the first row's documents for all rows",
    hint="Each row is packed otherwise, and has a mask of its own: keep the axis B.",
)
def _(documents):
    mask, positions = keep_apart.right(documents[:1].expand_as(documents).contiguous())
    return mask, positions


# 3. A sampler that resumes


OrderOf = Callable[[int], list[int]]
"""From the number of an epoch to the order of its windows."""


@exercise(CHAPTER, read="2. Which window comes next?")
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
    yield case("up to the end of an epoch", _shuffled(5), 3, 2)
    yield case("a single window", _shuffled(1), 3, 2)
    yield case("windows that are not counted from 0", lambda epoch: [10 + epoch, 20, 30], 4, 4)


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


@next_windows.mistake(
    "epochs counted from 1",
    hint="The first epoch has the number 0: `position // length`, as it is.",
)
def _(order_of, position, n):
    size = len(order_of(0))
    return [order_of(p // size + 1)[p % size] for p in range(position, position + n)]


@next_windows.mistake(
    "the last window taken once more",
    hint="`position` windows have been taken, those with the places 0 to position - 1. The next "
    "one is at `position` itself.",
)
def _(order_of, position, n):
    size = len(order_of(0))
    start = max(position - 1, 0)
    return [order_of(p // size)[p % size] for p in range(start, start + n)]


@next_windows.mistake(
    "one window skipped",
    hint="Places count from 0: after `position` windows the next one is at `position`, not one "
    "further on.",
)
def _(order_of, position, n):
    size = len(order_of(0))
    return [order_of(p // size)[p % size] for p in range(position + 1, position + 1 + n)]


@next_windows.mistake(
    "up to the n-th window instead of n more",
    hint="`n` says how many *more* windows, not at which one to stop.",
)
def _(order_of, position, n):
    size = len(order_of(0))
    return [order_of(p // size)[p % size] for p in range(position, n)]


@next_windows.mistake(
    "the places, not the windows",
    hint="You return where in the epoch. Which window stands there is what `order_of` says.",
)
def _(order_of, position, n):
    size = len(order_of(0))
    return [p % size for p in range(position, position + n)]


@next_windows.mistake(
    "each new epoch once, and then the old one again",
    hint="A batch may go over several ends. Count the place on, and ask for the epoch of each.",
)
def _(order_of, position, n):
    size = len(order_of(0))
    epoch, within = divmod(position, size)
    both = order_of(epoch)[within:] + order_of(epoch + 1)
    return [both[p % len(both)] for p in range(n)]


@next_windows.mistake(
    "position counted within the epoch",
    hint="`position` counts from the very beginning of the run, over all epochs.",
)
def _(order_of, position, n):
    order = order_of(0)
    return (order + order_of(1) + order_of(2))[position % len(order) :][:n]


@next_windows.mistake(
    "epoch and place within it exchanged",
    hint="`divmod(place, length)` gives the epoch first, then how far into it.",
)
def _(order_of, position, n):
    size = len(order_of(0))
    return [order_of(p % size)[p // size % size] for p in range(position, position + n)]


@next_windows.mistake(
    "the epoch in which the batch ends",
    hint="Each window belongs to the epoch of its *own* place, not all to that of the last.",
)
def _(order_of, position, n):
    size = len(order_of(0))
    return [order_of((position + n) // size)[p % size] for p in range(position, position + n)]


@next_windows.mistake(
    "each epoch from its end",
    hint="`order_of` gives the windows in the order in which they come: the first one is first.",
)
def _(order_of, position, n):
    size = len(order_of(0))
    return [order_of(p // size)[-1 - p % size] for p in range(position, position + n)]
