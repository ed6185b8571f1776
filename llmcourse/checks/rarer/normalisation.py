"""Rarer mistakes of the exercises on norms. Chapter 05 teaches this."""

import torch

from llmcourse.checks.bank.normalisation import layer_norm, rms_norm


def _mean(x, axes=-1):
    return x.mean(axes, keepdim=True)


def _centred(x, axes=-1):
    return x - _mean(x, axes)


@layer_norm.mistake(
    "the mean absolute deviation, eps under a root",
    hint="You take the mean of the deviations without their signs. It is their squares that are "
    "averaged, and a root undoes that.",
)
def _(hidden, weight, bias, eps=1e-5):
    centred = _centred(hidden)
    return centred / (_mean(centred.abs()).square() + eps).sqrt() * weight + bias


@layer_norm.mistake(
    "divided by the largest deviation",
    hint="You divide by the largest distance from the mean. The scale is the root of the mean "
    "squared one.",
)
def _(hidden, weight, bias, eps=1e-5):
    centred = _centred(hidden)
    return centred / (centred.abs().amax(-1, keepdim=True) + eps) * weight + bias


@layer_norm.mistake(
    "from smallest to largest, 0 to 1",
    hint="You stretch every token to run from 0 to 1. Asked for is a mean of 0 and a variance of "
    "1.",
)
def _(hidden, weight, bias, eps=1e-5):
    low, high = hidden.amin(-1, keepdim=True), hidden.amax(-1, keepdim=True)
    return (hidden - low) / (high - low + eps) * weight + bias


@layer_norm.mistake(
    "torch's normalize of what is centred",
    hint="`normalize` gives every token the length 1. A variance of 1 is a length of the root of "
    "the width.",
)
def _(hidden, weight, bias, eps=1e-5):
    return torch.nn.functional.normalize(_centred(hidden), dim=-1, eps=eps) * weight + bias


@layer_norm.mistake(
    "centred on the median",
    hint="You subtract the median. It is the mean that goes.",
)
def _(hidden, weight, bias, eps=1e-5):
    centred = hidden - hidden.median(-1, keepdim=True).values
    return centred / (_mean(centred.square()) + eps).sqrt() * weight + bias


@layer_norm.mistake(
    "the mean taken out after dividing",
    hint="You divide first and subtract the mean of the undivided tokens after. Subtract, then "
    "divide.",
)
def _(hidden, weight, bias, eps=1e-5):
    scale = (_mean(_centred(hidden).square()) + eps).sqrt()
    return (hidden / scale - _mean(hidden)) * weight + bias


@layer_norm.mistake(
    "eps as the least deviation",
    hint="You let the deviation be eps at least. It is added to the variance, always.",
)
def _(hidden, weight, bias, eps=1e-5):
    deviation = _mean(_centred(hidden).square()).sqrt()
    return _centred(hidden) / deviation.clamp(min=eps) * weight + bias


@layer_norm.mistake(
    "eps as the least variance",
    hint="You let the variance be eps at least. It is added to it, always.",
)
def _(hidden, weight, bias, eps=1e-5):
    variance = _mean(_centred(hidden).square())
    return _centred(hidden) / variance.clamp(min=eps).sqrt() * weight + bias


@layer_norm.mistake(
    "eps under the root and beside it",
    hint="You add eps twice, under the root and to it. Once is asked for, under the root.",
)
def _(hidden, weight, bias, eps=1e-5):
    variance = _mean(_centred(hidden).square())
    return _centred(hidden) / ((variance + eps).sqrt() + eps) * weight + bias


@layer_norm.mistake(
    "BERT's eps whatever is given",
    hint="You use an eps of 1e-12, whatever the caller says. Use the argument.",
)
def _(hidden, weight, bias, eps=1e-5):
    variance = _mean(_centred(hidden).square())
    return _centred(hidden) / (variance + 1e-12).sqrt() * weight + bias


@layer_norm.mistake(
    "eps of 1e-6 whatever is given",
    hint="You use an eps of 1e-6, whatever the caller says. Use the argument.",
)
def _(hidden, weight, bias, eps=1e-5):
    variance = _mean(_centred(hidden).square())
    return _centred(hidden) / (variance + 1e-6).sqrt() * weight + bias


@layer_norm.mistake(
    "centred again after the weight",
    hint="You take the mean out once more after the weight. The weight may move the mean: leave "
    "it.",
)
def _(hidden, weight, bias, eps=1e-5):
    scale = (_mean(_centred(hidden).square()) + eps).sqrt()
    return _centred(_centred(hidden) / scale * weight) + bias


@layer_norm.mistake(
    "normalised after the weight",
    hint="You apply the weight first and normalise what comes of it. Normalise, then apply the "
    "weight.",
)
def _(hidden, weight, bias, eps=1e-5):
    hidden = hidden * weight
    return _centred(hidden) / (_mean(_centred(hidden).square()) + eps).sqrt() + bias


@layer_norm.mistake(
    "weight and bias, then normalised",
    hint="You scale and shift first and normalise what comes of it, which takes the shift out "
    "again. Normalise first.",
)
def _(hidden, weight, bias, eps=1e-5):
    hidden = hidden * weight + bias
    return _centred(hidden) / (_mean(_centred(hidden).square()) + eps).sqrt()


@layer_norm.mistake(
    "a tanh in place of a norm",
    hint="You squash with a tanh (dynamic tanh). Asked for is a mean of 0 and a variance of 1 for "
    "each token.",
)
def _(hidden, weight, bias, eps=1e-5):
    return torch.tanh(hidden) * weight + bias


@layer_norm.mistake(
    "halves of the width apart",
    hint="You normalise two groups of the width separately (GroupNorm). One mean and one variance "
    "belong to the whole token.",
)
def _(hidden, weight, bias, eps=1e-5):
    parts = torch.tensor_split(hidden, 2, -1)
    done = [_centred(p) / (_mean(_centred(p).square()) + eps).sqrt() for p in parts if p.size(-1)]
    return torch.cat(done, -1) * weight + bias


@layer_norm.mistake(
    "the mean of the token, the variance of the text",
    hint="Your mean runs over the width and your variance over positions as well. Both belong to "
    "one token.",
)
def _(hidden, weight, bias, eps=1e-5):
    centred = _centred(hidden)
    return centred / (_mean(centred.square(), (1, 2)) + eps).sqrt() * weight + bias


@layer_norm.mistake(
    "the mean of the text, the variance of the token",
    hint="Your variance runs over the width and your mean over positions as well. Both belong to "
    "one token.",
)
def _(hidden, weight, bias, eps=1e-5):
    scale = (_mean(_centred(hidden).square()) + eps).sqrt()
    return _centred(hidden, (1, 2)) / scale * weight + bias


@layer_norm.mistake(
    "means over all tokens so far",
    hint="You take mean and variance over a token and all before it. Each token is normalised by "
    "itself.",
)
def _(hidden, weight, bias, eps=1e-5):
    n = torch.arange(1, hidden.size(1) + 1).view(1, -1, 1).to(hidden.dtype)
    mean = _mean(hidden).cumsum(1) / n
    variance = _mean(hidden.square()).cumsum(1) / n - mean.square()
    return (hidden - mean) / (variance.clamp(min=0) + eps).sqrt() * weight + bias


@layer_norm.mistake(
    "the first token's mean and variance",
    hint="You use the statistics of the first token for all of them. Each has its own.",
)
def _(hidden, weight, bias, eps=1e-5):
    first = hidden[:, :1]
    scale = (_mean(_centred(first).square()) + eps).sqrt()
    return (hidden - _mean(first)) / scale * weight + bias


@layer_norm.mistake(
    "normalised twice",
    hint="You normalise what is normalised already, and eps counts twice. Once is asked for.",
)
def _(hidden, weight, bias, eps=1e-5):
    for _ in range(2):
        hidden = _centred(hidden) / (_mean(_centred(hidden).square()) + eps).sqrt()
    return hidden * weight + bias


@layer_norm.mistake(
    "one weight and one bias for all entries",
    hint="You use the mean of the weight and of the bias. Each entry of the width has its own.",
)
def _(hidden, weight, bias, eps=1e-5):
    normal = _centred(hidden) / (_mean(_centred(hidden).square()) + eps).sqrt()
    return normal * weight.mean() + bias.mean()


@layer_norm.mistake(
    "the bias also divided",
    hint="You add the bias before you divide, so that the scale shrinks it as well. It comes last.",
)
def _(hidden, weight, bias, eps=1e-5):
    scale = (_mean(_centred(hidden).square()) + eps).sqrt()
    return (_centred(hidden) * weight + bias) / scale


@layer_norm.mistake(
    "the scale without gradients",
    hint="You cut the scale off the graph. Gradients flow back through the variance, too.",
)
def _(hidden, weight, bias, eps=1e-5):
    scale = (_mean(_centred(hidden).square()) + eps).sqrt().detach()
    return _centred(hidden) / scale * weight + bias


@layer_norm.mistake(
    "the mean without gradients",
    hint="You cut the mean off the graph. Gradients flow back through it, too.",
)
def _(hidden, weight, bias, eps=1e-5):
    centred = hidden - _mean(hidden).detach()
    return centred / (_mean(centred.square()) + eps).sqrt() * weight + bias


@layer_norm.mistake(
    "the root of a root",
    hint="You take a root of the deviation, which is a root already. One root, of variance and "
    "eps.",
)
def _(hidden, weight, bias, eps=1e-5):
    deviation = _centred(hidden).square().mean(-1, keepdim=True).sqrt()
    return _centred(hidden) / (deviation + eps).sqrt() * weight + bias


@layer_norm.mistake(
    "the mean of the squares less the mean",
    hint="You subtract the mean from the mean of the squares. It is the square of the mean.",
)
def _(hidden, weight, bias, eps=1e-5):
    variance = (_mean(hidden.square()) - _mean(hidden)).abs()
    return _centred(hidden) / (variance + eps).sqrt() * weight + bias


def _size(x, axes=-1, eps=0.0):
    return (_mean(x.square(), axes) + eps).sqrt()


@rms_norm.mistake(
    "the largest entry as the size",
    hint="You divide by the largest entry. Asked for is the root of the mean square.",
)
def _(hidden, weight, eps=1e-5):
    return hidden / (hidden.abs().amax(-1, keepdim=True) + eps) * weight


@rms_norm.mistake(
    "only the numerator centred",
    hint="You take the mean out of what you divide. RMSNorm takes nothing out: it scales.",
)
def _(hidden, weight, eps=1e-5):
    return _centred(hidden) / _size(hidden, eps=eps) * weight


@rms_norm.mistake(
    "only the size centred",
    hint="You divide by the deviation about the mean. The size is the root of the mean square, "
    "about zero.",
)
def _(hidden, weight, eps=1e-5):
    return hidden / _size(_centred(hidden), eps=eps) * weight


@rms_norm.mistake(
    "torch's normalize",
    hint="`normalize` gives every token the length 1. Asked for is a mean square of 1.",
)
def _(hidden, weight, eps=1e-5):
    return torch.nn.functional.normalize(hidden, dim=-1, eps=eps) * weight


@rms_norm.mistake(
    "normalize, times the root of the width",
    hint="You give every token its length by `normalize`, which lets eps be a least length. It is "
    "added to the mean square.",
)
def _(hidden, weight, eps=1e-5):
    unit = torch.nn.functional.normalize(hidden, dim=-1, eps=eps)
    return unit * hidden.size(-1) ** 0.5 * weight


@rms_norm.mistake(
    "eps added to the sum of squares",
    hint="You add eps to the sum of the squares. It is added to their mean.",
)
def _(hidden, weight, eps=1e-5):
    total = hidden.square().sum(-1, keepdim=True) + eps
    return hidden / (total / hidden.size(-1)).sqrt() * weight


@rms_norm.mistake(
    "the size of half the entries",
    hint="You take the size from the first half of each token (partial RMSNorm). All entries "
    "count.",
)
def _(hidden, weight, eps=1e-5):
    part = hidden[..., : (hidden.size(-1) + 1) // 2]
    return hidden / _size(part, eps=eps) * weight


@rms_norm.mistake(
    "halves of the width apart",
    hint="You scale two groups of the width separately. One size belongs to the whole token.",
)
def _(hidden, weight, eps=1e-5):
    parts = torch.tensor_split(hidden, 2, -1)
    return torch.cat([p / _size(p, eps=eps) for p in parts if p.size(-1)], -1) * weight


@rms_norm.mistake(
    "scaled after the weight",
    hint="You apply the weight first and divide by the size of what comes of it. Divide by the "
    "token's own size, then apply the weight.",
)
def _(hidden, weight, eps=1e-5):
    return hidden * weight / _size(hidden * weight, eps=eps)


@rms_norm.mistake(
    "only loud tokens made quieter",
    hint="You leave tokens whose size is below 1 as they are. RMSNorm makes quiet ones louder, "
    "too.",
)
def _(hidden, weight, eps=1e-5):
    return hidden / _size(hidden, eps=eps).clamp(min=1) * weight


@rms_norm.mistake(
    "1 plus the size",
    hint="You divide by 1 plus the size. Nothing but eps is added, and that under the root.",
)
def _(hidden, weight, eps=1e-5):
    return hidden / (1 + _size(hidden, eps=eps)) * weight


@rms_norm.mistake(
    "eps as the least size",
    hint="You let the size be eps at least. It is added to the mean square, always.",
)
def _(hidden, weight, eps=1e-5):
    return hidden / _size(hidden).clamp(min=eps) * weight


@rms_norm.mistake(
    "eps as the least mean square",
    hint="You let the mean square be eps at least. It is added to it, always.",
)
def _(hidden, weight, eps=1e-5):
    return hidden / _mean(hidden.square()).clamp(min=eps).sqrt() * weight


@rms_norm.mistake(
    "eps of 1e-6 whatever is given",
    hint="You use an eps of 1e-6 (Llama's), whatever the caller says. Use the argument.",
)
def _(hidden, weight, eps=1e-5):
    return hidden / _size(hidden, eps=1e-6) * weight


@rms_norm.mistake(
    "torch's own eps whatever is given",
    hint="You use the smallest step of the number format for eps, which is what `nn.RMSNorm` does "
    "by default. Use the argument.",
)
def _(hidden, weight, eps=1e-5):
    return hidden / _size(hidden, eps=torch.finfo(hidden.dtype).eps) * weight


@rms_norm.mistake(
    "eps beside the root as well",
    hint="You add eps twice, under the root and to it. Once is asked for, under the root.",
)
def _(hidden, weight, eps=1e-5):
    return hidden / (_size(hidden, eps=eps) + eps) * weight


@rms_norm.mistake(
    "the median of the squares",
    hint="You take the median of the squares. It is their mean.",
)
def _(hidden, weight, eps=1e-5):
    square = hidden.square().median(-1, keepdim=True).values
    return hidden / (square + eps).sqrt() * weight


@rms_norm.mistake(
    "the size of all tokens so far",
    hint="You take the mean square over a token and all before it. No secret of the future, but "
    "each token is scaled by its own size.",
)
def _(hidden, weight, eps=1e-5):
    n = torch.arange(1, hidden.size(1) + 1).view(1, -1, 1).to(hidden.dtype)
    return hidden / (_mean(hidden.square()).cumsum(1) / n + eps).sqrt() * weight


@rms_norm.mistake(
    "the size of the token before",
    hint="You divide each token by the size of its neighbour to the left. Each has its own.",
)
def _(hidden, weight, eps=1e-5):
    size = _size(hidden, eps=eps)
    return hidden / torch.cat([size[:, :1], size[:, :-1]], 1) * weight


@rms_norm.mistake(
    "the size of the first token",
    hint="You divide all tokens by the size of the first. Each has its own.",
)
def _(hidden, weight, eps=1e-5):
    return hidden / _size(hidden[:, :1], eps=eps) * weight


@rms_norm.mistake(
    "scaled twice",
    hint="You scale what is scaled already, and eps counts twice. Once is asked for.",
)
def _(hidden, weight, eps=1e-5):
    hidden = hidden / _size(hidden, eps=eps)
    return hidden / _size(hidden, eps=eps) * weight


@rms_norm.mistake(
    "one weight for all entries",
    hint="You scale by the mean of the weight. Each entry of the width has its own factor.",
)
def _(hidden, weight, eps=1e-5):
    return hidden / _size(hidden, eps=eps) * weight.mean()


@rms_norm.mistake(
    "the mean square over batch and text",
    hint="You take one size for each entry of the width, over all tokens (as batch norm does). It "
    "is one for each token, over the width.",
)
def _(hidden, weight, eps=1e-5):
    return hidden / _size(hidden, (0, 1), eps) * weight
