"""Rarer mistakes of the exercises on objectives. Chapter 07 teaches this."""

import math

import torch

from llmcourse.checks.bank.pretraining import (
    info_nce,
    pair_row,
    windows_for_as_many_answers,
)


def _row(left, right, cls_id, sep_id, label, borders=(2, 1)):
    ids = [cls_id, *left, sep_id, *right, sep_id]
    zeros = len(left) + borders[0]
    return ids, [0] * zeros + [1] * (len(ids) - zeros), label


def _ordered(first, second, swap):
    return (second, first) if swap else (first, second)


@pair_row.mistake(
    "always labelled swapped",
    hint="Your label is always 0. It is 1 where the order is true.",
)
def _(first, second, swap, cls_id, sep_id):
    return _row(*_ordered(first, second, swap), cls_id, sep_id, 0)


@pair_row.mistake(
    "-1 for the swapped",
    hint="You label swapped pairs with -1. It is 0.",
)
def _(first, second, swap, cls_id, sep_id):
    return _row(*_ordered(first, second, swap), cls_id, sep_id, -1 if swap else 1)


@pair_row.mistake(
    "the right one's first token belongs to the left",
    hint="Your zeros are one too many. They end with the first [SEP].",
)
def _(first, second, swap, cls_id, sep_id):
    return _row(*_ordered(first, second, swap), cls_id, sep_id, int(not swap), (3, 0))


@pair_row.mistake(
    "zeros for the tokens alone",
    hint="Your zeros cover the left sentence's length. [CLS] and the first [SEP] are theirs as "
    "well.",
)
def _(first, second, swap, cls_id, sep_id):
    return _row(*_ordered(first, second, swap), cls_id, sep_id, int(not swap), (0, 3))


@pair_row.mistake(
    "a segment of its own for special tokens",
    hint="You give [CLS] and [SEP] a segment of their own. They belong to left or right.",
)
def _(first, second, swap, cls_id, sep_id):
    ids, segments, label = _row(*_ordered(first, second, swap), cls_id, sep_id, int(not swap))
    special = (cls_id, sep_id)
    return ids, [2 if i in special else s for i, s in zip(ids, segments, strict=True)], label


@pair_row.mistake(
    "a segment of its own for [CLS], as XLNet has it",
    hint="You give [CLS] a segment of its own. It belongs to the left: 0.",
)
def _(first, second, swap, cls_id, sep_id):
    ids, segments, label = _row(*_ordered(first, second, swap), cls_id, sep_id, int(not swap))
    return ids, [2, *segments[1:]], label


@pair_row.mistake(
    "two separators in the middle, as RoBERTa has them",
    hint="You put two [SEP] between the sentences. There is one.",
)
def _(first, second, swap, cls_id, sep_id):
    left, right = _ordered(first, second, swap)
    return _row(left, [sep_id, *right], cls_id, sep_id, int(not swap))


@pair_row.mistake(
    "BERT's own numbers",
    hint="You use the numbers 101 and 102 of BERT's vocabulary. They are given.",
)
def _(first, second, swap, cls_id, sep_id):
    return _row(*_ordered(first, second, swap), 101, 102, int(not swap))


@pair_row.mistake(
    "the longer one first",
    hint="You sort the sentences by length. Their order is given, and `swap` turns it.",
)
def _(first, second, swap, cls_id, sep_id):
    left, right = sorted((first, second), key=len, reverse=True)
    return _row(left, right, cls_id, sep_id, int(not swap))


@pair_row.mistake(
    "both cut to the shorter",
    hint="You cut both sentences to the shorter one's length. They stay whole.",
)
def _(first, second, swap, cls_id, sep_id):
    n = min(len(first), len(second))
    return _row(*_ordered(first[:n], second[:n], swap), cls_id, sep_id, int(not swap))


@pair_row.mistake(
    "segments after each separator",
    hint="You count up after every [SEP], and at it. The first one is still 0, the last one 1.",
)
def _(first, second, swap, cls_id, sep_id):
    ids, _, label = _row(*_ordered(first, second, swap), cls_id, sep_id, int(not swap))
    segments = [ids[: n + 1].count(sep_id) for n in range(len(ids))]
    return ids, segments, label


@pair_row.mistake(
    "the label before the segments",
    hint="You return the label second. It is ids, segments and label.",
)
def _(first, second, swap, cls_id, sep_id):
    ids, segments, label = _row(*_ordered(first, second, swap), cls_id, sep_id, int(not swap))
    return ids, label, segments


@pair_row.mistake(
    "a label for each place",
    hint="You return a label for every place. The row has one.",
)
def _(first, second, swap, cls_id, sep_id):
    ids, segments, label = _row(*_ordered(first, second, swap), cls_id, sep_id, int(not swap))
    return ids, segments, [label] * len(ids)


@pair_row.mistake(
    "ones everywhere: an attention mask",
    hint="Your second list says where there is a token. It says to which sentence the token "
    "belongs.",
)
def _(first, second, swap, cls_id, sep_id):
    ids, _, label = _row(*_ordered(first, second, swap), cls_id, sep_id, int(not swap))
    return ids, [1] * len(ids), label


@pair_row.mistake(
    "one segment for all",
    hint="All of your segments are 0. The right part has 1.",
)
def _(first, second, swap, cls_id, sep_id):
    ids, _, label = _row(*_ordered(first, second, swap), cls_id, sep_id, int(not swap))
    return ids, [0] * len(ids), label


@pair_row.mistake(
    "the separators moved to the front",
    hint="You put [SEP] before each sentence. It stands behind.",
)
def _(first, second, swap, cls_id, sep_id):
    left, right = _ordered(first, second, swap)
    _, segments, label = _row(left, right, cls_id, sep_id, int(not swap))
    return [cls_id, sep_id, *left, sep_id, *right], segments, label


# InfoNCE


def _unit(x, axis=-1, power=2.0):
    return x / x.norm(p=power, dim=axis, keepdim=True)


def _cosines(anchors, others):
    return _unit(anchors) @ _unit(others).mT


def _nce(scores, axis=-1):
    return -scores.log_softmax(axis).diagonal().mean()


def _rivals(scores):
    """The scores of the wrong answers: without the diagonal, [B, B - 1]."""
    b = len(scores)
    return scores[~torch.eye(b, dtype=torch.bool)].view(b, b - 1)


@info_nce.mistake(
    "both directions added",
    hint="You add both directions. One is asked for, from the anchors to the others.",
)
def _(anchors, others, temperature):
    scores = _cosines(anchors, others) / temperature
    return _nce(scores) + _nce(scores, 0)


@info_nce.mistake(
    "the rivals of SimCLR",
    hint="You count the other anchors as wrong answers, too (NT-Xent). Only the others are.",
)
def _(anchors, others, temperature):
    own = _cosines(anchors, anchors) / temperature
    own = own.masked_fill(torch.eye(len(own), dtype=torch.bool), -math.inf)
    scores = torch.cat([_cosines(anchors, others) / temperature, own], 1)
    return _nce(scores)


@info_nce.mistake(
    "SimCLR's loss over both halves",
    hint="You ask all 2B rows about each other (NT-Xent). Asked are the anchors, about the others.",
)
def _(anchors, others, temperature):
    both, b = torch.cat([anchors, others]), len(anchors)
    scores = _cosines(both, both) / temperature
    scores = scores.masked_fill(torch.eye(2 * b, dtype=torch.bool), -math.inf)
    partner = torch.arange(2 * b).roll(b)
    return torch.nn.functional.cross_entropy(scores, partner)


@info_nce.mistake(
    "the exponential of the temperature, as CLIP stores it",
    hint="You multiply by e to the temperature, as CLIP stores its scale. Here it divides.",
)
def _(anchors, others, temperature):
    return _nce(_cosines(anchors, others) * math.exp(temperature))


@info_nce.mistake(
    "the loss times the temperature",
    hint="You multiply the loss by the temperature (MoCo's third version). The formula does not.",
)
def _(anchors, others, temperature):
    return temperature * _nce(_cosines(anchors, others) / temperature)


@info_nce.mistake(
    "the loss times twice the temperature",
    hint="You multiply the loss by twice the temperature (MoCo's third version). The formula does "
    "not.",
)
def _(anchors, others, temperature):
    return 2 * temperature * _nce(_cosines(anchors, others) / temperature)


@info_nce.mistake(
    "only the partner divided by the temperature",
    hint="You divide the partner's score by the temperature, and not the rivals'. All are divided.",
)
def _(anchors, others, temperature):
    scores = _cosines(anchors, others)
    return (scores.logsumexp(1) - scores.diagonal() / temperature).mean()


@info_nce.mistake(
    "only the rivals divided by the temperature",
    hint="You divide the sum's scores by the temperature, and not the partner's above. All are "
    "divided.",
)
def _(anchors, others, temperature):
    scores = _cosines(anchors, others)
    return ((scores / temperature).logsumexp(1) - scores.diagonal()).mean()


@info_nce.mistake(
    "divided by sums of sizes",
    hint="You divide by the sum of the entries' sizes. A length is the root of the squares' sum.",
)
def _(anchors, others, temperature):
    return _nce(_unit(anchors, power=1) @ _unit(others, power=1).mT / temperature)


@info_nce.mistake(
    "correlations",
    hint="You subtract each vector's mean before the cosine (a correlation). Nothing is "
    "subtracted.",
)
def _(anchors, others, temperature):
    a, b = (x - x.mean(-1, keepdim=True) for x in (anchors, others))
    a, b = (x / (x.norm(dim=-1, keepdim=True) + 1e-12) for x in (a, b))
    return _nce(a @ b.mT / temperature)


@info_nce.mistake(
    "products over the root of the width",
    hint="You divide by the root of the width, as attention does. A cosine divides by both "
    "lengths.",
)
def _(anchors, others, temperature):
    return _nce(anchors @ others.mT / anchors.size(1) ** 0.5 / temperature)


@info_nce.mistake(
    "distances in place of cosines",
    hint="You score by minus the distance. It is the cosine.",
)
def _(anchors, others, temperature):
    return _nce(-(anchors[:, None] - others[None]).norm(dim=-1) / temperature)


@info_nce.mistake(
    "squared distances of unit vectors",
    hint="You score by minus the squared distance of unit vectors, which is twice the cosine. Once "
    "is asked for.",
)
def _(anchors, others, temperature):
    return _nce(2 * _cosines(anchors, others) / temperature)


@info_nce.mistake(
    "half the squared distance, unscaled",
    hint="You score by minus half the squared distance of the vectors as they are. It is the "
    "cosine.",
)
def _(anchors, others, temperature):
    return _nce(-(anchors[:, None] - others[None]).square().sum(-1) / 2 / temperature)


@info_nce.mistake(
    "the squared distance, unscaled",
    hint="You score by minus the squared distance of the vectors as they are. It is the cosine.",
)
def _(anchors, others, temperature):
    return _nce(-(anchors[:, None] - others[None]).square().sum(-1) / temperature)


@info_nce.mistake(
    "angles in place of cosines",
    hint="You score by minus the angle. It is the cosine.",
)
def _(anchors, others, temperature):
    return _nce(-_cosines(anchors, others).clamp(-1 + 1e-6, 1 - 1e-6).acos() / temperature)


@info_nce.mistake(
    "cosines from 0 to 1",
    hint="You bring the cosines to 0 to 1 first. They go in as they are.",
)
def _(anchors, others, temperature):
    return _nce((_cosines(anchors, others) + 1) / 2 / temperature)


@info_nce.mistake(
    "sizes of the cosines",
    hint="You take the cosines without their signs. Opposite is not alike.",
)
def _(anchors, others, temperature):
    return _nce(_cosines(anchors, others).abs() / temperature)


@info_nce.mistake(
    "negative cosines cut off",
    hint="You cut negative cosines off at 0. They go in as they are.",
)
def _(anchors, others, temperature):
    return _nce(_cosines(anchors, others).clamp(min=0) / temperature)


@info_nce.mistake(
    "the mean over all pairs",
    hint="You divide by all pairs. The mean is over the anchors.",
)
def _(anchors, others, temperature):
    return _nce(_cosines(anchors, others) / temperature) / len(anchors)


@info_nce.mistake(
    "each anchor's loss",
    hint="You return one loss for each anchor. Their mean is asked for.",
)
def _(anchors, others, temperature):
    return -(_cosines(anchors, others) / temperature).log_softmax(-1).diagonal()


@info_nce.mistake(
    "one minus the probability",
    hint="You return how much is missing to 1. It is minus the logarithm that is asked for.",
)
def _(anchors, others, temperature):
    return 1 - (_cosines(anchors, others) / temperature).softmax(-1).diagonal().mean()


@info_nce.mistake(
    "a yes or no for each pair, as SigLIP asks",
    hint="You ask of each pair by itself whether it belongs together (SigLIP). The batch shares "
    "one softmax.",
)
def _(anchors, others, temperature):
    scores = _cosines(anchors, others) / temperature
    signs = 2 * torch.eye(len(scores), dtype=scores.dtype) - 1
    return -torch.nn.functional.logsigmoid(signs * scores).sum(1).mean()


@info_nce.mistake(
    "the hardest rival alone",
    hint="You compare the partner with its nearest rival. All of the batch are in the sum.",
)
def _(anchors, others, temperature):
    scores = _cosines(anchors, others) / temperature
    if len(scores) == 1:
        return (scores - scores).sum()
    hardest = _rivals(scores).amax(1)
    return torch.nn.functional.softplus(hardest - scores.diagonal()).mean()


@info_nce.mistake(
    "a margin and the hardest rival",
    hint="You use a triplet loss with a margin. It is a cross-entropy over the batch.",
)
def _(anchors, others, temperature):
    scores = _cosines(anchors, others)
    if len(scores) == 1:
        return (scores - scores).sum()
    return (temperature + _rivals(scores).amax(1) - scores.diagonal()).clamp(min=0).mean()


@info_nce.mistake(
    "only how near the partners are",
    hint="You return 1 less the partners' cosines. Without rivals everything may fall together.",
)
def _(anchors, others, temperature):
    return (1 - _cosines(anchors, others).diagonal()).mean() / temperature


@info_nce.mistake(
    "the mean of the exponentials below",
    hint="You divide by the mean over the batch, which takes the logarithm of B off. It is a sum.",
)
def _(anchors, others, temperature):
    return _nce(_cosines(anchors, others) / temperature) - math.log(len(anchors))


@info_nce.mistake(
    "the bound on the information",
    hint="You return log B less the loss, the bound that gave InfoNCE its name. Asked for is the "
    "loss.",
)
def _(anchors, others, temperature):
    return math.log(len(anchors)) - _nce(_cosines(anchors, others) / temperature)


@info_nce.mistake(
    "the others without gradients",
    hint="You detach the others, as MoCo does with its queue. Gradients flow back to both sides.",
)
def _(anchors, others, temperature):
    return _nce(_cosines(anchors, others.detach()) / temperature)


@info_nce.mistake(
    "the anchors without gradients",
    hint="You detach the anchors. Gradients flow back to both sides.",
)
def _(anchors, others, temperature):
    return _nce(_cosines(anchors.detach(), others) / temperature)


@info_nce.mistake(
    "lengths without gradients",
    hint="You cut the lengths off the graph. Gradients flow back through them, too.",
)
def _(anchors, others, temperature):
    a = anchors / anchors.norm(dim=-1, keepdim=True).detach()
    b = others / others.norm(dim=-1, keepdim=True).detach()
    return _nce(a @ b.mT / temperature)


@info_nce.mistake(
    "no gradients at all",
    hint="Your loss is a plain number. A model learns from it: stay with tensors.",
)
def _(anchors, others, temperature):
    return torch.tensor(_nce(_cosines(anchors, others) / temperature).item())


@info_nce.mistake(
    "the next row as partner",
    hint="You take the next row for the partner. Row i belongs to row i.",
)
def _(anchors, others, temperature):
    return _nce(_cosines(anchors, others.roll(-1, 0)) / temperature)


@info_nce.mistake(
    "labels smoothed",
    hint="You smooth the labels. All of what is wanted belongs to the partner.",
)
def _(anchors, others, temperature):
    scores = _cosines(anchors, others) / temperature
    right = torch.arange(len(scores))
    return torch.nn.functional.cross_entropy(scores, right, label_smoothing=0.1)


@info_nce.mistake(
    "short vectors left short",
    hint="You divide by the length only where it is above 1, or by 1 at least. Every vector is "
    "divided by its own length.",
)
def _(anchors, others, temperature):
    a, b = (x / x.norm(dim=-1, keepdim=True).clamp(min=1) for x in (anchors, others))
    return _nce(a @ b.mT / temperature)


@info_nce.mistake(
    "1 added to the lengths",
    hint="You add 1 to the lengths so as not to divide by zero. They are above zero: divide by "
    "them as they are.",
)
def _(anchors, others, temperature):
    a, b = (x / (1 + x.norm(dim=-1, keepdim=True)) for x in (anchors, others))
    return _nce(a @ b.mT / temperature)


_THEIR_WINDOWS = (
    (
        "the unchanged not counted",
        "You leave out the chosen ones that stay. They are asked, too.",
        300 / 0.135,
    ),
    ("85 % more", "You read 85 % more. Each window tells 15 % of what it tells CLM.", 300 * 1.85),
    ("divided by 15", "You divide by 15. It is 15 %, or 0.15.", 300 / 15),
    ("times 15", "You multiply by 15. Divide by the share, 0.15.", 300 * 15),
    (
        "CLM's windows counted along",
        "You add CLM's windows. Asked for are those of MLM.",
        300 / 0.15 + 300,
    ),
    ("divided by 1.5 %", "You divide by 0.015. The share is 0.15.", 300 / 0.015),
    ("divided by 1.5", "You divide by 1.5. The share is 0.15.", 300 / 1.5),
    ("a share of 20 %", "You count with 20 %. It is 15 %.", 300 / 0.2),
    (
        "both shares",
        "You divide by the share and by what is left. By the share alone.",
        300 / 0.15 / 0.85,
    ),
    ("the share squared", "You divide by the share twice. Once.", 300 / 0.15**2),
)

for _name, _hint, _windows in _THEIR_WINDOWS:
    windows_for_as_many_answers.mistake(_name, hint=_hint)(lambda windows=_windows: windows)


@info_nce.mistake(
    "a large negative number for the partner below",
    hint="You mask the partner out of the sum below the fraction. It competes like the others, and "
    "is all there is in a batch of one.",
)
def _(anchors, others, temperature):
    scores = _cosines(anchors, others) / temperature
    own = torch.eye(len(scores), dtype=torch.bool)
    return (scores.masked_fill(own, -1e9).logsumexp(1) - scores.diagonal()).mean()


@info_nce.mistake(
    "a triplet loss, cut off by `relu`",
    hint="You ask that the partner be nearer than the nearest rival, by the temperature. It is a "
    "cross-entropy over the batch.",
)
def _(anchors, others, temperature):
    scores = _cosines(anchors, others)
    own = torch.eye(len(scores), dtype=torch.bool)
    nearest = scores.masked_fill(own, -2.0).amax(1)
    return torch.relu(temperature + nearest - scores.diagonal()).mean()
