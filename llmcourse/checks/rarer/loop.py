"""Rarer mistakes of the exercises on the training loop. Chapter 08 teaches this."""

import torch
from torch.nn import functional

from llmcourse.checks.bank.loop import accumulated_loss, keep_apart, next_windows


def _scored(parts):
    return torch.cat([losses[scored] for losses, scored in parts])


def _weighed(parts, weight):
    """The mean of the parts' means, each with a weight of its own; empty parts left out."""
    full = [
        (losses[scored].mean(), weight(losses, scored)) for losses, scored in parts if scored.any()
    ]
    return sum(mean * w for mean, w in full) / sum(w for _, w in full)


@accumulated_loss.mistake(
    "the mean of the rows' means",
    hint="You average each row, and then the rows' averages. A short row then counts as much as a "
    "long one.",
)
def _(parts):
    rows = [
        row[real].mean()
        for losses, scored in parts
        for row, real in zip(losses, scored, strict=True)
        if real.any()
    ]
    return torch.stack(rows).mean()


@accumulated_loss.mistake(
    "the median of the scored losses",
    hint="You return the loss in the middle, the median. Asked for is the mean.",
)
def _(parts):
    return _scored(parts).median()


@accumulated_loss.mistake(
    "the root of the mean square",
    hint="You take the root of the mean of the squares. The losses are averaged as they are.",
)
def _(parts):
    return _scored(parts).square().mean().sqrt()


@accumulated_loss.mistake(
    "a geometric mean",
    hint="You average logarithms of the losses, which is a geometric mean. Sum the losses "
    "themselves.",
)
def _(parts):
    return _scored(parts).log().mean().exp()


@accumulated_loss.mistake(
    "the spread of the losses",
    hint="You return their standard deviation. Asked for is where they lie on average.",
)
def _(parts):
    return _scored(parts).std()


@accumulated_loss.mistake(
    "the largest loss",
    hint="You return the worst of the scored losses. All of them count, with equal weight.",
)
def _(parts):
    return _scored(parts).max()


@accumulated_loss.mistake(
    "parts weighed by their rows",
    hint="You weigh each part's mean with the number of its rows. What was averaged are scored "
    "positions: their number is the weight.",
)
def _(parts):
    return _weighed(parts, lambda losses, _: len(losses))


@accumulated_loss.mistake(
    "parts weighed by all their positions",
    hint="You weigh each part's mean with all its positions, padding too. Only the scored ones "
    "were averaged.",
)
def _(parts):
    return _weighed(parts, lambda losses, _: losses.numel())


@accumulated_loss.mistake(
    "parts weighed by the length of their rows",
    hint="You weigh each part's mean with the length of its rows. The number of its scored "
    "positions is the weight.",
)
def _(parts):
    return _weighed(parts, lambda losses, _: losses.size(1))


@accumulated_loss.mistake(
    "parts weighed by the square of their positions",
    hint="You count a part's positions twice over: its sum holds each of them already, so it "
    "needs no further weight.",
)
def _(parts):
    return _weighed(parts, lambda _, scored: scored.sum() ** 2)


@accumulated_loss.mistake(
    "a running average by halves",
    hint="You average what you have with each new part's mean, by halves. The last part then "
    "weighs as much as all before it.",
)
def _(parts):
    mean = None
    for losses, scored in parts:
        if scored.any():
            new = losses[scored].mean()
            mean = new if mean is None else (mean + new) / 2
    return mean


@accumulated_loss.mistake(
    "a moving average over the parts",
    hint="You smooth the parts' means by a moving average, nine tenths of the old. All scored "
    "positions count alike, early and late.",
)
def _(parts):
    mean = None
    for losses, scored in parts:
        if scored.any():
            new = losses[scored].mean()
            mean = new if mean is None else 0.9 * mean + 0.1 * new
    return mean


@accumulated_loss.mistake(
    "the mean of the columns' means",
    hint="You average each column, and then the columns. Columns have different numbers of scored "
    "positions: sum over all before you divide.",
)
def _(parts):
    columns = {}
    for losses, scored in parts:
        for at in range(losses.size(1)):
            columns.setdefault(at, []).extend(losses[:, at][scored[:, at]].tolist())
    return torch.tensor([sum(c) / len(c) for c in columns.values() if c]).mean()


@accumulated_loss.mistake(
    "a sum for each row that has something to score",
    hint="You divide by the rows that have anything scored. Divide by the scored positions.",
)
def _(parts):
    return _scored(parts).sum() / sum(scored.any(1).sum() for _, scored in parts)


@accumulated_loss.mistake(
    "a part with nothing counts as one position",
    hint="You raise each part's count to at least one, and add the counts up. A part that has "
    "nothing to score adds nothing to the divisor.",
)
def _(parts):
    return _scored(parts).sum() / sum(scored.sum().clamp(min=1) for _, scored in parts)


@accumulated_loss.mistake(
    "a row with nothing counts as one position",
    hint="You raise each row's count to at least one. A row that has nothing to score adds nothing "
    "to the divisor.",
)
def _(parts):
    return _scored(parts).sum() / sum(scored.sum(1).clamp(min=1).sum() for _, scored in parts)


@accumulated_loss.mistake(
    "one position too many in the divisor",
    hint="Your count begins at one, or you add one so as not to divide by zero. At least one "
    "position is scored: nothing needs to be added.",
)
def _(parts):
    return _scored(parts).sum() / (len(_scored(parts)) + 1)


@accumulated_loss.mistake(
    "one position too few in the divisor",
    hint="You divide by the number of scored positions less one, as for a variance. A mean divides "
    "by all of them.",
)
def _(parts):
    return _scored(parts).sum() / max(1, len(_scored(parts)) - 1)


@accumulated_loss.mistake(
    "one more position for each part",
    hint="You add one to the count of each part, perhaps against a division by zero. Nothing needs "
    "to be added: you divide once, at the end.",
)
def _(parts):
    return _scored(parts).sum() / (len(_scored(parts)) + len(parts))


@accumulated_loss.mistake(
    "ends at a part with nothing",
    hint="You stop at the first part that has nothing to score. The parts behind it count: skip "
    "it, and go on.",
)
def _(parts):
    kept = []
    for losses, scored in parts:
        if not scored.any():
            break
        kept.append((losses, scored))
    return _scored(kept).mean() if kept else torch.tensor(0.0)


@accumulated_loss.mistake(
    "begins anew at a part with nothing",
    hint="A part that has nothing to score throws away what came before it. It changes nothing: "
    "neither the sum nor the count.",
)
def _(parts):
    total, count = torch.tensor(0.0), 0
    for losses, scored in parts:
        if not scored.any():
            total, count = torch.tensor(0.0), 0
        total, count = total + losses[scored].sum(), count + int(scored.sum())
    return total / max(count, 1)


@accumulated_loss.mistake(
    "divided by the fullest part's count for each part",
    hint="You divide by the number of parts times the fullest one's count, as if all had been "
    "padded to it. Count what is scored in each.",
)
def _(parts):
    return _scored(parts).sum() / (len(parts) * max(scored.sum() for _, scored in parts))


@accumulated_loss.mistake(
    "the mask moved by one position",
    hint="You shift the mask against the losses, as targets are shifted against inputs. Loss and "
    "mask of a position belong together already.",
)
def _(parts):
    moved = [(losses[:, :-1], scored[:, 1:]) for losses, scored in parts]
    return _scored(moved).sum() / max(1, len(_scored(moved)))


@accumulated_loss.mistake(
    "the first column is not counted",
    hint="You leave the first position of each row out of the count, as if it had no target. What "
    "is scored is given by the mask alone.",
)
def _(parts):
    return _scored(parts).sum() / max(1, sum(int(scored[:, 1:].sum()) for _, scored in parts))


@accumulated_loss.mistake(
    "equal losses count once",
    hint="You average the different losses, so equal ones count once. Each scored position counts.",
)
def _(parts):
    return _scored(parts).unique().mean()


@accumulated_loss.mistake(
    "the first part twice",
    hint="The first part enters twice: you begin with it, and meet it again in the loop.",
)
def _(parts):
    return _scored([parts[0], *parts]).mean()


@accumulated_loss.mistake(
    "the last part twice",
    hint="The last part enters twice: once in the loop, and once more behind it.",
)
def _(parts):
    return _scored([*parts, parts[-1]]).mean()


@accumulated_loss.mistake(
    "the last part is left out",
    hint="You leave the last part out, as loaders do that drop what does not fill a batch.",
)
def _(parts):
    kept = parts[:-1] or parts
    return _scored(kept).sum() / max(1, len(_scored(kept)))


@accumulated_loss.mistake(
    "a row ends at its first padding",
    hint="You count a row up to its first padding and stop there. Scored positions may come "
    "behind it.",
)
def _(parts):
    runs = [(losses, scored.int().cumprod(1).bool()) for losses, scored in parts]
    return _scored(runs).sum() / max(1, len(_scored(runs)))


def _kept_apart(documents, same=None, past=None, place=None):
    """The mask and the positions, with one of its pieces made otherwise."""
    length = documents.size(1)
    if same is None:
        same = documents[:, :, None] == documents[:, None, :]
    if past is None:
        past = torch.ones(length, length).tril().bool()
    whole = documents[:, :, None] == documents[:, None, :]
    if place is None:
        place = (whole & torch.ones(length, length).tril().bool()).sum(-1) - 1
    return same & past, place


def _starts(documents):
    """The place in the row at which each token's document starts."""
    _, place = _kept_apart(documents)
    return torch.arange(documents.size(1)) - place


@keep_apart.mistake(
    "neighbouring numbers are alike",
    hint="You allow numbers that differ by one. Only equal numbers belong together.",
)
def _(documents):
    apart = documents[:, :, None] - documents[:, None, :]
    return _kept_apart(documents, same=apart.abs() <= 1)


@keep_apart.mistake(
    "all tokens but padding see each other",
    hint="You ask whether both tokens are real, and not whether they are of one document.",
)
def _(documents):
    real = documents != 0
    return _kept_apart(documents, same=real[:, :, None] & real[:, None, :])


@keep_apart.mistake(
    "common bits of the numbers",
    hint="You put the numbers together by `&`, which compares their bits. Ask with `==` whether "
    "they are equal.",
)
def _(documents):
    return _kept_apart(documents, same=(documents[:, :, None] & documents[:, None, :]) != 0)


@keep_apart.mistake(
    "padding sees itself alone",
    hint="You let a padding token look at itself alone. Padding is a document like any other.",
)
def _(documents):
    mask, places = _kept_apart(documents)
    itself = torch.eye(documents.size(1)).bool()
    return torch.where((documents == 0)[:, :, None], itself, mask), places


@keep_apart.mistake(
    "padding sees everything before it",
    hint="You let padding look at all that came before it. It is a document like any other.",
)
def _(documents):
    mask, places = _kept_apart(documents)
    past = torch.ones(mask.shape[1:]).tril().bool()
    return torch.where((documents == 0)[:, :, None], past, mask), places


@keep_apart.mistake(
    "padding hidden, without positions",
    hint="You treat padding apart: it may look at nothing and stays at position 0. Here it is a "
    "document like any other.",
)
def _(documents):
    mask, places = _kept_apart(documents)
    real = documents != 0
    return mask & real[:, None, :] & real[:, :, None], places * real


@keep_apart.mistake(
    "the row's first token is seen by all",
    hint="You let everybody see the first token of the row. It belongs to the first document only.",
)
def _(documents):
    mask, places = _kept_apart(documents)
    first = torch.arange(documents.size(1)) == 0
    return mask | first, places


@keep_apart.mistake(
    "a document sees the last token before it",
    hint="Your documents begin one token too early: the first token of each looks at the one "
    "before it, too.",
)
def _(documents):
    starts = (_starts(documents) - 1).clamp(min=0)
    mask, places = _kept_apart(documents)
    keys = torch.arange(documents.size(1))
    return (keys >= starts[:, :, None]) & mask.new_ones(mask.shape).tril(), places


@keep_apart.mistake(
    "each document's first token is its own",
    hint="You put the first token of each document apart, as if the count of changes began one "
    "token later. It belongs to what follows it.",
)
def _(documents):
    mask, places = _kept_apart(documents)
    first = places == 0
    itself = torch.eye(documents.size(1)).bool()
    return mask & (~first[:, None, :] | itself), places


@keep_apart.mistake(
    "only the token before",
    hint="You let a token look at itself and the one before it. The whole document up to it is "
    "open.",
)
def _(documents):
    length = documents.size(1)
    near = torch.ones(length, length).bool().tril().triu(-1)
    return _kept_apart(documents, past=near)


@keep_apart.mistake(
    "the first row's mask for all rows",
    hint="You make the mask from the first row and use it for all. Each row is packed in its own "
    "way.",
)
def _(documents):
    mask, places = _kept_apart(documents)
    return mask[:1].expand_as(mask).clone(), places


@keep_apart.mistake(
    "the first row's positions for all rows",
    hint="You count positions in the first row and use them for all. Each row is packed in its own "
    "way.",
)
def _(documents):
    mask, places = _kept_apart(documents)
    return mask, places[:1].expand_as(places).clone()


@keep_apart.mistake(
    "documents counted in place of tokens",
    hint="Your positions say which document of its row a token is in. Asked for is its place in "
    "its document.",
)
def _(documents):
    mask, places = _kept_apart(documents)
    return mask, (places == 0).cumsum(1) - 1


@keep_apart.mistake(
    "where the document starts",
    hint="Your positions say where in the row each document starts. Take that off the token's "
    "place in the row.",
)
def _(documents):
    return _kept_apart(documents, place=_starts(documents))


@keep_apart.mistake(
    "positions less the documents before",
    hint="You take off the number of documents so far. Take off the place at which this document "
    "starts.",
)
def _(documents):
    mask, places = _kept_apart(documents)
    number = (places == 0).cumsum(1) - 1
    return mask, torch.arange(documents.size(1)) - number


@keep_apart.mistake(
    "positions counted down",
    hint="You count how many tokens of the document are still to come. Positions count those "
    "before.",
)
def _(documents):
    same = documents[:, :, None] == documents[:, None, :]
    length = documents.size(1)
    return _kept_apart(
        documents, place=(same & torch.ones(length, length).triu().bool()).sum(-1) - 1
    )


@keep_apart.mistake(
    "positions for documents in the order of their numbers",
    hint="You lay out the lengths in the order of the documents' numbers. The numbers come in any "
    "order: go through the row as it is.",
)
def _(documents):
    rows = []
    for row in documents:
        lengths = row.unique(return_counts=True)[1]
        rows.append(torch.cat([torch.arange(int(n)) for n in lengths]))
    return _kept_apart(documents, place=torch.stack(rows))


@keep_apart.mistake(
    "positions as a share of the document",
    hint="You divide by the document's length, so positions run from 0 to 1. They are whole "
    "numbers.",
)
def _(documents):
    same = documents[:, :, None] == documents[:, None, :]
    _, places = _kept_apart(documents)
    return _kept_apart(documents, place=places / same.sum(-1))


@keep_apart.mistake(
    "positions begin at 1 and padding has 0",
    hint="You count from 1 and keep 0 for padding, as one model family does. Here each document "
    "begins at 0.",
)
def _(documents):
    mask, places = _kept_apart(documents)
    return mask, (places + 1) * (documents != 0)


@keep_apart.mistake(
    "positions run on through the batch",
    hint="You count equal numbers over all rows. A row's documents are its own.",
)
def _(documents):
    flat = documents.flatten()
    same = flat[:, None] == flat[None]
    places = same.tril().sum(-1) - 1
    return _kept_apart(documents, place=places.view(documents.shape))


@keep_apart.mistake(
    "a place for heads in the mask",
    hint="Your mask has a fourth axis for the heads. Asked for is [B, T, S].",
)
def _(documents):
    mask, places = _kept_apart(documents)
    return mask[:, None], places


@keep_apart.mistake(
    "positions from 0 to each change, late by one",
    hint="Your count goes back to 0 one token too late: the change is seen at a document's first "
    "token, and that one is at 0 already.",
)
def _(documents):
    change = functional.pad(documents[:, 1:] != documents[:, :-1], (1, 0))
    places, out = torch.zeros(len(documents), dtype=torch.long), []
    for at in range(documents.size(1)):
        out.append(places)
        places = torch.where(change[:, at], 0, places + 1)
    return _kept_apart(documents, place=torch.stack(out, 1))


def _taken(
    order_of,
    position,
    n,
    epoch=lambda at, length: at // length,
    place=lambda at, length: at % length,
):
    """Each of the n places asked anew, with another epoch or another place in it."""
    length = len(order_of(0))
    return [order_of(epoch(at, length))[place(at, length)] for at in range(position, position + n)]


@next_windows.mistake(
    "a batch that does not fit waits for the next epoch",
    hint="Where fewer than n windows are left you skip them and begin the next epoch. They are "
    "taken first.",
)
def _(order_of, position, n):
    length = len(order_of(0))
    if length - position % length < n:
        position = (position // length + 1) * length
    return _taken(order_of, position, n)


@next_windows.mistake(
    "the next epoch begins at the same place",
    hint="In a new epoch you go on from the place at which the batch began. A new epoch begins at "
    "its first window.",
)
def _(order_of, position, n):
    epoch, start = divmod(position, len(order_of(0)))
    out = []
    while len(out) < n:
        out += order_of(epoch)[start:]
        epoch += 1
    return out[:n]


@next_windows.mistake(
    "filled up with the last window",
    hint="Where the epoch ends you repeat its last window. Go on with the next epoch.",
)
def _(order_of, position, n):
    epoch, start = divmod(position, len(order_of(0)))
    out = order_of(epoch)[start : start + n]
    return out + [out[-1]] * (n - len(out))


@next_windows.mistake(
    "filled up from the same batch",
    hint="Where the epoch ends you repeat windows that are in the batch already. Go on with the "
    "next epoch.",
)
def _(order_of, position, n):
    epoch, start = divmod(position, len(order_of(0)))
    out = order_of(epoch)[start : start + n]
    return [out[at % len(out)] for at in range(n)]


@next_windows.mistake(
    "two epochs at most",
    hint="You go over one end of an epoch and stop at the second. A batch may be longer than a "
    "whole epoch.",
)
def _(order_of, position, n):
    epoch, start = divmod(position, len(order_of(0)))
    return (order_of(epoch)[start:] + order_of(epoch + 1))[:n]


@next_windows.mistake(
    "the same second epoch to the end",
    hint="Behind the first end you take all windows from one and the same epoch. The epoch moves "
    "on at each end.",
)
def _(order_of, position, n):
    first = position // len(order_of(0))
    return _taken(order_of, position, n, epoch=lambda at, length: min(at // length, first + 1))


@next_windows.mistake(
    "no window twice",
    hint="You skip windows that the batch has already. A new epoch takes them again: they belong "
    "to it.",
)
def _(order_of, position, n):
    return list(dict.fromkeys(_taken(order_of, position, n)))


@next_windows.mistake(
    "no window twice, and more in their place",
    hint="You skip windows that the batch has already and read on for others. What comes next is "
    "taken as it comes.",
)
def _(order_of, position, n):
    length, out, at = len(order_of(0)), [], position
    while len(out) < n and at < position + n + 20 * length:
        window = order_of(at // length)[at % length]
        if window not in out or len(set(out)) == length:
            out.append(window)
        at += 1
    return out


@next_windows.mistake(
    "position counts batches",
    hint="You multiply the position by n, as if it counted batches. It counts windows.",
)
def _(order_of, position, n):
    return _taken(order_of, position * n, n)


@next_windows.mistake(
    "position counts epochs",
    hint="You take the position for the number of an epoch. It counts windows: divide by an "
    "epoch's length.",
)
def _(order_of, position, n):
    return _taken(order_of, position * len(order_of(0)), n)


@next_windows.mistake(
    "up to the position",
    hint="You return windows before the position. They have been taken: the next ones begin at it.",
)
def _(order_of, position, n):
    return _taken(order_of, max(0, position - n), min(n, position))


@next_windows.mistake(
    "the epoch forgets the position",
    hint="You count epochs from the start of the batch. The position says in which epoch the run "
    "is.",
)
def _(order_of, position, n):
    return _taken(order_of, position, n, epoch=lambda at, length: (at - position) // length)


@next_windows.mistake(
    "the place forgets the position",
    hint="You begin each batch at the start of an epoch's order. The position says how far into "
    "the epoch the run is.",
)
def _(order_of, position, n):
    return _taken(order_of, position, n, place=lambda at, length: (at - position) % length)


@next_windows.mistake(
    "where a window stands in the order",
    hint="You look up where each window stands in the order. Asked for is which window stands at "
    "each place.",
)
def _(order_of, position, n):
    length = len(order_of(0))
    return [order_of(at // length).index(at % length) for at in range(position, position + n)]


@next_windows.mistake(
    "the order of an order",
    hint="You look things up in the order twice. What `order_of` gives are the windows.",
)
def _(order_of, position, n):
    length = len(order_of(0))
    orders = {at // length: order_of(at // length) for at in range(position, position + n)}
    return [
        orders[at // length][orders[at // length][at % length]]
        for at in range(position, position + n)
    ]


@next_windows.mistake(
    "each n-th window",
    hint="You take each n-th window, as one of n workers would. Take n windows that follow each "
    "other.",
)
def _(order_of, position, n):
    length = len(order_of(0))
    places = [position + n * step for step in range(n)]
    return [order_of(at // length)[at % length] for at in places]


@next_windows.mistake(
    "position modulo the batch",
    hint="You divide the position by the size of the batch to find the place in the epoch. Divide "
    "by the epoch's length.",
)
def _(order_of, position, n):
    epoch, start = position // len(order_of(0)), position % max(n, 1)
    return (order_of(epoch) + order_of(epoch + 1))[start : start + n]


@next_windows.mistake(
    "an epoch one window short",
    hint="You leave out the last window of each epoch. An epoch has as many windows as its order "
    "is long.",
)
def _(order_of, position, n):
    length = max(1, len(order_of(0)) - 1)
    return [order_of(at // length)[at % length] for at in range(position, position + n)]


@next_windows.mistake(
    "begins with the next epoch",
    hint="You leave the rest of the interrupted epoch and begin the next one. What is left of it "
    "comes first.",
)
def _(order_of, position, n):
    length = len(order_of(0))
    return _taken(order_of, -(-position // length) * length, n)


@next_windows.mistake(
    "all windows so far too",
    hint="You return everything from the beginning of the run. Only the next n are asked for.",
)
def _(order_of, position, n):
    return _taken(order_of, 0, position + n)


@next_windows.mistake(
    "the new position as well",
    hint="You return the new position beside the windows. Only the list is asked for.",
)
def _(order_of, position, n):
    return _taken(order_of, position, n), position + n


@next_windows.mistake(
    "n windows of each epoch that is met",
    hint="You take n windows from the interrupted epoch and n from the next. n in all are asked "
    "for.",
)
def _(order_of, position, n):
    epoch, start = divmod(position, len(order_of(0)))
    return order_of(epoch)[start : start + n] + order_of(epoch + 1)[:n]


@accumulated_loss.mistake(
    "the mean of the means of parts that score anything",
    hint="You leave empty parts out, which is right, and average the others' means. A part with "
    "fewer scored positions then counts for too much: add sums, and divide once.",
)
def _(parts):
    return torch.stack([losses[scored].mean() for losses, scored in parts if scored.any()]).mean()


@accumulated_loss.mistake(
    "the mean of the means, with 0 for an empty part",
    hint="You average the parts' means, and a part that scores nothing comes in as 0. Add sums and "
    "counts instead, and divide once.",
)
def _(parts):
    means = [(losses * scored).sum() / scored.sum().clamp(min=1) for losses, scored in parts]
    return torch.stack(means).mean()


@accumulated_loss.mistake(
    "the mean of the rows' means, with 0 for an empty row",
    hint="You average rows first, and a row that scores nothing comes in as 0. Add sums and counts "
    "instead, and divide once.",
)
def _(parts):
    rows = [(losses * scored).sum(1) / scored.sum(1).clamp(min=1) for losses, scored in parts]
    return torch.cat(rows).mean()


@keep_apart.mistake(
    "positions begin anew only where the number grows",
    hint="You look for a larger number to see a new document. The numbers come in any order: any "
    "change begins one.",
)
def _(documents):
    out = torch.zeros_like(documents)
    for at in range(1, documents.size(1)):
        grows = documents[:, at] > documents[:, at - 1]
        out[:, at] = torch.where(grows, 0, out[:, at - 1] + 1)
    return _kept_apart(documents, place=out)


@next_windows.mistake(
    "the rest of an epoch is dropped",
    hint="You read whole batches of n from each epoch and drop what is left at its end. Here a "
    "batch goes over the end.",
)
def _(order_of, position, n):
    batches = max(1, len(order_of(0)) // max(n, 1))
    epoch, batch = divmod(position // max(n, 1), batches)
    return order_of(epoch)[batch * n : batch * n + n]


@next_windows.mistake(
    "begins with a whole batch",
    hint="You move the position back to a multiple of n. It may be any number, and is taken as it "
    "is.",
)
def _(order_of, position, n):
    return _taken(order_of, position - position % max(n, 1), n)


@accumulated_loss.mistake(
    "divided by the count so far, part by part",
    hint="You divide within the loop, by the count so far. Divide once, when both loops are over.",
)
def _(parts):
    total, count = torch.tensor(0.0), 0
    for losses, scored in parts:
        count += int(scored.sum())
        total = total + losses[scored].sum() / max(1, count)
    return total


@accumulated_loss.mistake(
    "divided again with each part",
    hint="You divide what you have so far again with each part. Sum first, and divide once.",
)
def _(parts):
    mean = torch.tensor(0.0)
    for losses, scored in parts:
        mean = (mean + losses[scored].sum()) / scored.sum().clamp(min=1)
    return mean
