"""Rarer mistakes of the exercise on a mean without filler. Chapter 11 teaches this."""

import torch

from llmcourse.checks.bank.pooling import masked_mean


def _real(hidden, lengths, *, first=0, short=0):
    """Which places are text, as numbers [B, T, 1]; some of the first or the last left out."""
    places = torch.arange(hidden.size(1))
    real = (places >= first) & (places < lengths[:, None] - short)
    return real[..., None].to(hidden.dtype)


def _mean(hidden, lengths):
    return (hidden * _real(hidden, lengths)).sum(1) / lengths[:, None].to(hidden.dtype)


@masked_mean.mistake(
    "vectors of length one",
    hint="You scale the means to length one, for cosines. Asked for are the means as they are.",
)
def _(hidden, lengths):
    return torch.nn.functional.normalize(_mean(hidden, lengths), dim=-1)


@masked_mean.mistake(
    "later words weigh more",
    hint="You weigh each word by its place, as SGPT does. In a plain mean each word of the text "
    "has the same weight.",
)
def _(hidden, lengths):
    weight = _real(hidden, lengths) * torch.arange(1, hidden.size(1) + 1)[:, None]
    return (hidden * weight).sum(1) / weight.sum(1)


@masked_mean.mistake(
    "the first place left out",
    hint="You leave out the first place, as if a [CLS] stood there. All of the first `lengths[b]` "
    "places are text.",
)
def _(hidden, lengths):
    real = _real(hidden, lengths, first=1)
    return (hidden * real).sum(1) / real.sum(1).clamp(min=1)


@masked_mean.mistake(
    "the first and the last place left out",
    hint="You leave out both ends of the text, as if [CLS] and [SEP] stood there. All of the first "
    "`lengths[b]` places are text.",
)
def _(hidden, lengths):
    real = _real(hidden, lengths, first=1, short=1)
    return (hidden * real).sum(1) / real.sum(1).clamp(min=1)


@masked_mean.mistake(
    "the first place left out, the whole length to divide by",
    hint="You add up from the second place on and divide by the whole length. The first place is "
    "text, too.",
)
def _(hidden, lengths):
    return (hidden * _real(hidden, lengths, first=1)).sum(1) / lengths[:, None].to(hidden.dtype)


@masked_mean.mistake(
    "the last place of the text left out, the whole length to divide by",
    hint="You add up to before the last place of the text and divide by the whole length.",
)
def _(hidden, lengths):
    return (hidden * _real(hidden, lengths, short=1)).sum(1) / lengths[:, None].to(hidden.dtype)


@masked_mean.mistake(
    "divided by the length less one",
    hint="You divide by one less than there are words, as for a variance. A mean divides by all.",
)
def _(hidden, lengths):
    less = (lengths - 1).clamp(min=1)
    return (hidden * _real(hidden, lengths)).sum(1) / less[:, None].to(hidden.dtype)


@masked_mean.mistake(
    "divided by the longest text",
    hint="You divide each row by the length of the batch's longest text. Each has its own length.",
)
def _(hidden, lengths):
    return (hidden * _real(hidden, lengths)).sum(1) / lengths.max()


@masked_mean.mistake(
    "divided by the mean length",
    hint="You divide all rows by the batch's mean length. Each row has its own.",
)
def _(hidden, lengths):
    return (hidden * _real(hidden, lengths)).sum(1) / lengths.to(hidden.dtype).mean()


@masked_mean.mistake(
    "one mean for the whole batch",
    hint="You take the mean over all words of the batch, and give it to each row. Each row has a "
    "mean of its own.",
)
def _(hidden, lengths):
    real = _real(hidden, lengths)
    return ((hidden * real).sum((0, 1)) / real.sum()).expand(hidden.size(0), -1).clone()


@masked_mean.mistake(
    "the first row's length for all",
    hint="You use the first row's length for all rows. Each has its own.",
)
def _(hidden, lengths):
    return hidden[:, : int(lengths[0])].mean(1)


@masked_mean.mistake(
    "the last row's length for all",
    hint="You use the last row's length for all rows. Each has its own.",
)
def _(hidden, lengths):
    return hidden[:, : int(lengths[-1])].mean(1)


@masked_mean.mistake(
    "the median",
    hint="You take the median of the states. Asked for is their mean.",
)
def _(hidden, lengths):
    return torch.stack([row[:n].median(0).values for row, n in zip(hidden, lengths, strict=True)])


@masked_mean.mistake(
    "halfway between the smallest and the largest",
    hint="You take the middle between the smallest and the largest number. A mean adds up all.",
)
def _(hidden, lengths):
    pairs = [(row[:n].amin(0), row[:n].amax(0)) for row, n in zip(hidden, lengths, strict=True)]
    return torch.stack([(low + high) / 2 for low, high in pairs])


@masked_mean.mistake(
    "the first and the last word",
    hint="You average the text's first and last state. All words of the text count.",
)
def _(hidden, lengths):
    rows = torch.arange(hidden.size(0))
    return (hidden[:, 0] + hidden[rows, lengths - 1]) / 2


@masked_mean.mistake(
    "the smallest number",
    hint="You take the smallest number of each column. Asked for is the mean.",
)
def _(hidden, lengths):
    return torch.stack([row[:n].amin(0) for row, n in zip(hidden, lengths, strict=True)])


@masked_mean.mistake(
    "the root of the mean square",
    hint="You square the states, average, and take the root. Signs are lost: asked for is a mean.",
)
def _(hidden, lengths):
    return _mean(hidden.square(), lengths).sqrt()


@masked_mean.mistake(
    "weights from a softmax of the lengths of the states",
    hint="You weigh the words by a softmax (attention pooling). In a mean all weigh the same.",
)
def _(hidden, lengths):
    scores = hidden.norm(dim=-1).masked_fill(_real(hidden, lengths)[..., 0] == 0, -torch.inf)
    return (scores.softmax(1)[..., None] * hidden).sum(1)


@masked_mean.mistake(
    "the mean with filler, scaled by the share of text",
    hint="You take the mean over all places, and scale it by the share of text. The filler is in "
    "it by then: leave it out first.",
)
def _(hidden, lengths):
    return hidden.mean(1) * (lengths[:, None].to(hidden.dtype) / hidden.size(1))


@masked_mean.mistake(
    "filler takes the mean's place in the sum",
    hint="You put the mean of the whole row where the filler was, and average over all places.",
)
def _(hidden, lengths):
    real = _real(hidden, lengths)
    return (hidden * real + hidden.mean(1, keepdim=True) * (1 - real)).mean(1)


@masked_mean.mistake(
    "filler is the last word again",
    hint="You fill up with the text's last state, and average over all places. Then it counts "
    "several times.",
)
def _(hidden, lengths):
    real = _real(hidden, lengths)
    last = hidden[torch.arange(hidden.size(0)), lengths - 1]
    return (hidden * real + last[:, None] * (1 - real)).mean(1)


@masked_mean.mistake(
    "a mean that forgets",
    hint="You go on by halves, so the last words weigh most. In a mean all words weigh the same.",
)
def _(hidden, lengths):
    rows = []
    for row, n in zip(hidden, lengths, strict=True):
        mean = row[0]
        for state in row[1:n]:
            mean = (mean + state) / 2
        rows.append(mean)
    return torch.stack(rows)


@masked_mean.mistake(
    "the mean's mean taken off",
    hint="You centre each vector afterwards, as a LayerNorm would. Asked for are plain means.",
)
def _(hidden, lengths):
    mean = _mean(hidden, lengths)
    return mean - mean.mean(-1, keepdim=True)


@masked_mean.mistake(
    "a LayerNorm of the mean",
    hint="You normalise each vector afterwards (LayerNorm). Asked for are the means as they are.",
)
def _(hidden, lengths):
    return torch.nn.functional.layer_norm(_mean(hidden, lengths), hidden.shape[-1:])


@masked_mean.mistake(
    "mean and maximum side by side",
    hint="You return mean and maximum side by side, 2 D numbers. Asked for is the mean alone.",
)
def _(hidden, lengths):
    most = torch.stack([row[:n].amax(0) for row, n in zip(hidden, lengths, strict=True)])
    return torch.cat([_mean(hidden, lengths), most], dim=-1)


@masked_mean.mistake(
    "averaged over the columns as well",
    hint="You average over places and columns. Each text is a vector of D numbers.",
)
def _(hidden, lengths):
    return _mean(hidden, lengths).mean(-1)


@masked_mean.mistake(
    "the middle word",
    hint="You take the state in the middle of the text. Asked for is the mean of all.",
)
def _(hidden, lengths):
    return hidden[torch.arange(hidden.size(0)), lengths // 2]


@masked_mean.mistake(
    "the filler's mean",
    hint="You average what is no text. The mask is the other way round.",
)
def _(hidden, lengths):
    other = 1 - _real(hidden, lengths)
    return (hidden * other).sum(1) / other.sum(1).clamp(min=1)


@masked_mean.mistake(
    "the place at the length",
    hint="You take the state at place `lengths[b]`. Asked for is a mean of all places before it.",
)
def _(hidden, lengths):
    return hidden[torch.arange(hidden.size(0)), lengths.clamp(max=hidden.size(1) - 1)]


@masked_mean.mistake(
    "means along the way",
    hint="You return the running means of each place. Asked for is the one at the text's end.",
)
def _(hidden, lengths):
    steps = torch.arange(1, hidden.size(1) + 1)[:, None].to(hidden.dtype)
    return hidden.cumsum(1) / steps


@masked_mean.mistake(
    "the mean over the batch",
    hint="You average over the rows of the batch, place by place. Average over places in each row.",
)
def _(hidden, lengths):
    real = _real(hidden, lengths)
    return (hidden * real).sum(0) / real.sum(0).clamp(min=1)


@masked_mean.mistake(
    "the mean of the largest half",
    hint="You average the larger numbers alone. All of the text counts.",
)
def _(hidden, lengths):
    rows = zip(hidden, lengths, strict=True)
    return torch.stack([row[:n].topk((int(n) + 1) // 2, dim=0).values.mean(0) for row, n in rows])


@masked_mean.mistake(
    "the mean of what differs",
    hint="You leave out states that stood before. Equal states count as often as they occur.",
)
def _(hidden, lengths):
    rows = zip(hidden, lengths, strict=True)
    return torch.stack([row[:n].unique(dim=0).mean(0) for row, n in rows])


@masked_mean.mistake(
    "numbers that are zero not counted",
    hint="You divide by how many numbers are not zero. A state of the text may be zero, too.",
)
def _(hidden, lengths):
    kept = hidden * _real(hidden, lengths)
    return kept.sum(1) / (kept != 0).any(-1).sum(1, keepdim=True).clamp(min=1)


def _by_row(name, hint, make):
    """Vectors that `make(text)` makes of each row's states, without its filler."""

    @masked_mean.mistake(name, hint=hint)
    def _(hidden, lengths):
        rows = zip(hidden, lengths, strict=True)
        return torch.stack([make(row[:n]) for row, n in rows])


_by_row(
    "how far the states scatter",
    "You take the standard deviation of the states. Asked for is their mean.",
    lambda text: text.std(0, correction=0),
)
_by_row(
    "the first half of the text",
    "You average the first half of the text. All of it counts.",
    lambda text: text[: (len(text) + 1) // 2].mean(0),
)
_by_row(
    "earlier words weigh more",
    "You weigh words by one over their place. In a plain mean each has the same weight.",
    lambda text: (_falling(text) * text).sum(0) / _falling(text).sum(),
)
_by_row(
    "probabilities averaged",
    "You take a softmax of each state first. The states are averaged as they are.",
    lambda text: text.softmax(-1).mean(0),
)
_by_row(
    "states of length one averaged",
    "You scale each state to length one first. The states are averaged as they are.",
    lambda text: torch.nn.functional.normalize(text, dim=-1).mean(0),
)
_by_row(
    "without the smallest and the largest",
    "You leave out the smallest and the largest number (a trimmed mean). All of them count.",
    lambda text: text.sort(0).values[1:-1].mean(0) if len(text) > 2 else text.mean(0),
)
_by_row(
    "a log of a mean of exponentials",
    "You average exponentials and take the log, a soft maximum. Asked for is the mean.",
    lambda text: text.exp().mean(0).log(),
)


def _falling(text):
    return (1 / torch.arange(1, len(text) + 1)).to(text.dtype)[:, None]
