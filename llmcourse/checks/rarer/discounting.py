"""Rarer mistakes of the exercise on Kneser-Ney. Chapter 02 teaches this."""

import torch

from llmcourse.checks.bank.discounting import kneser_ney_row


def _lower(pairs, dtype=None):
    different = (pairs > 0).sum(0).to(dtype or torch.get_default_dtype())
    return different / different.sum()


def _row(pairs, before, d, lower=None, off=None, rest=None, unseen=None):
    """The row with another shorter context, another discount, or another rest."""
    row = pairs[before].to(torch.get_default_dtype())
    lower = _lower(pairs) if lower is None else lower
    total = row.sum()
    if not total:
        return lower if unseen is None else unseen
    taken = (row - d).clamp(min=0) if off is None else off
    rest = d * (row > 0).sum() / total if rest is None else rest
    return taken / total + rest * lower


def _shares(numbers):
    return numbers.to(torch.get_default_dtype()) / numbers.sum()


@kneser_ney_row.mistake(
    "the shorter context by how often a word comes first",
    hint="You count how often each word is the first of a pair. It is after how many different "
    "words it comes second.",
)
def _(pairs, before, d):
    return _row(pairs, before, d, lower=_shares(pairs.sum(1)))


@kneser_ney_row.mistake(
    "a discount in the shorter context, too",
    hint="You take the discount off the shorter context as well. It is a plain share here.",
)
def _(pairs, before, d):
    different = (pairs > 0).sum(0)
    lower = (different - d).clamp(min=0) / different.sum()
    return _row(
        pairs, before, d, lower=lower + d * (different > 0).sum() / different.sum() / len(pairs)
    )


@kneser_ney_row.mistake(
    "the rest to unseen words alone",
    hint="You hand the rest on to the words that never followed, as Katz does. All words get "
    "their part of it.",
)
def _(pairs, before, d):
    lower = _lower(pairs) * (pairs[before] == 0)
    return _row(pairs, before, d, lower=lower / lower.sum() if lower.sum() else lower)


@kneser_ney_row.mistake(
    "as much as is left to one",
    hint="You scale the discounted row to one and then mix. Divide by the sum of the row "
    "before the discount.",
)
def _(pairs, before, d):
    row = (pairs[before] - d).clamp(min=0)
    if not row.sum():
        return _lower(pairs)
    return (1 - d) * row / row.sum() + d * _lower(pairs)


@kneser_ney_row.mistake(
    "N(h) counts words seen more than once",
    hint="You count only words that followed more than once. Once is enough for N(h).",
)
def _(pairs, before, d):
    row = pairs[before]
    return _row(pairs, before, d, rest=d * (row > 1).sum() / max(1, int(row.sum())))


@kneser_ney_row.mistake(
    "N(h) out of V", hint="You divide N(h) by V in the rest. Divide by c(h), the sum of the row."
)
def _(pairs, before, d):
    return _row(pairs, before, d, rest=d * (pairs[before] > 0).sum() / len(pairs))


@kneser_ney_row.mistake(
    "plain counts for an unseen context",
    hint="You take how often each word comes where nothing followed. It is after how many "
    "different words.",
)
def _(pairs, before, d):
    return _row(pairs, before, d, unseen=_shares(pairs.sum(0)))


@kneser_ney_row.mistake(
    "never below d", hint="You keep what is left from falling below d. The limit is 0."
)
def _(pairs, before, d):
    return _row(pairs, before, d, off=(pairs[before] - d).clamp(min=d))


@kneser_ney_row.mistake(
    "words after themselves left out",
    hint="You leave out pairs of a word with itself. They are pairs like the others.",
)
def _(pairs, before, d):
    return _row(pairs - pairs.diagonal().diag(), before, d)


@kneser_ney_row.mistake(
    "this context left out of the shorter one",
    hint="You leave out the row of `before` in the shorter context. All rows count there.",
)
def _(pairs, before, d):
    others = pairs.clone()
    others[before] = 0
    lower = (others > 0).sum(0)
    return _row(pairs, before, d, lower=lower / lower.sum().clamp(min=1))


@kneser_ney_row.mistake(
    "a discount estimated anew",
    hint="You estimate the discount from the counts. It comes as an argument.",
)
def _(pairs, before, d):
    once, twice = (pairs == 1).sum(), (pairs == 2).sum()
    return _row(pairs, before, float(once / (once + 2 * twice).clamp(min=1)))


@kneser_ney_row.mistake(
    "three discounts by count",
    hint="You take more off larger counts, as the modified form does. Here d is the same for all.",
)
def _(pairs, before, d):
    row = pairs[before]
    off = torch.where(row > 2, 3 * d, torch.where(row > 1, 2 * d, d)) / 2
    off = off.clamp(max=1) * (row > 0)
    return _row(pairs, before, d, off=row - off, rest=off.sum() / max(1, int(row.sum())))


@kneser_ney_row.mistake(
    "Witten and Bell's weights",
    hint="You mix by how many different words followed (Witten and Bell). Kneser and Ney take "
    "d off each count.",
)
def _(pairs, before, d):
    row, kinds = pairs[before], (pairs[before] > 0).sum()
    return (row + kinds * _lower(pairs)) / (row.sum() + kinds) if row.sum() else _lower(pairs)


@kneser_ney_row.mistake(
    "add-d smoothing", hint="You add d to every count. It is taken off what was seen."
)
def _(pairs, before, d):
    return _shares(pairs[before] + d)


@kneser_ney_row.mistake(
    "logarithms of the row", hint="You hand back logarithms. Asked for are probabilities."
)
def _(pairs, before, d):
    return _row(pairs, before, d).log()


@kneser_ney_row.mistake(
    "all rows", hint="You hand back the rows of all contexts. Asked for is the one after `before`."
)
def _(pairs, before, d):
    return torch.stack([_row(pairs, h, d) for h in range(len(pairs))])


@kneser_ney_row.mistake(
    "scaled to one at the end",
    hint="You mix the discounted counts with d for the shorter context, and scale the row to "
    "one. What is handed on is d N(h).",
)
def _(pairs, before, d):
    return _shares((pairs[before] - d).clamp(min=0) + d * _lower(pairs))


@kneser_ney_row.mistake(
    "the shorter context alone for rare words",
    hint="You take the shorter context where the count is one or none. Every word gets both terms.",
)
def _(pairs, before, d):
    rest = _row(pairs, before, d, off=torch.zeros(len(pairs)))
    return torch.where(pairs[before] > 1, _row(pairs, before, d), rest)


@kneser_ney_row.mistake(
    "N(h) counts the words before h",
    hint="You count after how many different words h itself comes. N(h) counts how many "
    "different words follow it.",
)
def _(pairs, before, d):
    return _row(
        pairs, before, d, rest=d * (pairs[:, before] > 0).sum() / max(1, int(pairs[before].sum()))
    )


@kneser_ney_row.mistake(
    "p of the word before",
    hint="You hand everything on by the chance of the word before. It is p(w), another number "
    "for each word.",
)
def _(pairs, before, d):
    lower = _lower(pairs)
    return _row(pairs, before, d, lower=lower[before].expand(len(pairs)))


@kneser_ney_row.mistake(
    "different pairs are those seen twice",
    hint="You call a pair different if it was seen more than once. Once is enough.",
)
def _(pairs, before, d):
    lower = (pairs > 1).sum(0)
    return _row(pairs, before, d, lower=lower / lower.sum().clamp(min=1))


@kneser_ney_row.mistake(
    "pairs that were seen once only",
    hint="You count pairs seen exactly once. A pair counts as soon as it was seen.",
)
def _(pairs, before, d):
    lower = (pairs == 1).sum(0)
    return _row(pairs, before, d, lower=lower / lower.sum().clamp(min=1))


@kneser_ney_row.mistake(
    "one more word before each",
    hint="You add one to each number of different words before. They are taken as they are.",
)
def _(pairs, before, d):
    return _row(pairs, before, d, lower=_shares((pairs > 0).sum(0) + 1))


@kneser_ney_row.mistake(
    "the rest out of what is left",
    hint="You divide the rest by the row's sum after the discount. Divide by c(h), the sum before.",
)
def _(pairs, before, d):
    left = (pairs[before] - d).clamp(min=0).sum()
    return _row(pairs, before, d, rest=d * (pairs[before] > 0).sum() / left.clamp(min=1e-9))


@kneser_ney_row.mistake(
    "0.4 of the shorter context",
    hint="You take 0.4 of the shorter context where nothing was seen (stupid backoff). The "
    "rest is d N(h) / c(h), for every word.",
)
def _(pairs, before, d):
    row = pairs[before]
    if not row.sum():
        return _lower(pairs)
    return torch.where(row > 0, row / row.sum(), 0.4 * _lower(pairs))


@kneser_ney_row.mistake(
    "the rest divided by c(h) twice", hint="You divide the rest by c(h) twice. Once is enough."
)
def _(pairs, before, d):
    total = max(1, int(pairs[before].sum()))
    return _row(pairs, before, d, rest=d * (pairs[before] > 0).sum() / total**2)


@kneser_ney_row.mistake(
    "the larger of the two terms",
    hint="You take the larger of the two terms for each word. They are added.",
)
def _(pairs, before, d):
    first = _row(pairs, before, d, rest=0)
    return torch.maximum(first, _row(pairs, before, d, off=torch.zeros(len(pairs))))


@kneser_ney_row.mistake(
    "the two terms multiplied", hint="You multiply the two terms. They are added."
)
def _(pairs, before, d):
    return _row(pairs, before, d, rest=0) * _row(pairs, before, d, off=torch.zeros(len(pairs)))


@kneser_ney_row.mistake(
    "a shorter context that forgets pairs with this one",
    hint="You leave out what this row has seen from the different words before each. All pairs "
    "count.",
)
def _(pairs, before, d):
    lower = (pairs > 0).sum(0) - (pairs[before] > 0).long()
    return _row(pairs, before, d, lower=lower / max(1, int((pairs > 0).sum())))
