"""Rarer mistakes of the exercises on heads. Chapter 03 teaches this."""

import torch

from llmcourse.checks.bank.heads import cache_megabytes, merge_heads, repeat_kv, split_heads


def _cut(x, n_heads):
    return x.unflatten(-1, (n_heads, -1)).transpose(1, 2)


def _join(x):
    return x.transpose(1, 2).flatten(2)


@split_heads.mistake(
    "heads and texts in one axis",
    hint="You put texts and heads into one axis, [B H, T, K]. They are two axes.",
)
def _(x, n_heads):
    return _cut(x, n_heads).flatten(0, 1)


@split_heads.mistake(
    "a list of the heads",
    hint="You hand back a list of heads. Asked for is one tensor, with an axis for them.",
)
def _(x, n_heads):
    return list(x.chunk(n_heads, -1))


@split_heads.mistake(
    "one head after the other, stacked at the end",
    hint="You stack the heads on the last axis, [B, T, K, H]. The order is B, H, T, K.",
)
def _(x, n_heads):
    return torch.stack(x.chunk(n_heads, -1), -1)


@split_heads.mistake(
    "the heads in the reverse order",
    hint="You put the last head first. Head 0 takes the first K numbers.",
)
def _(x, n_heads):
    return _cut(x, n_heads).flip(1)


@split_heads.mistake(
    "the whole width for every head",
    hint="You give each head the whole width. Each takes its own part.",
)
def _(x, n_heads):
    return x[:, None].expand(-1, n_heads, -1, -1)


@split_heads.mistake(
    "each number divided by the root of the heads",
    hint="You scale the numbers. Cutting moves them only.",
)
def _(x, n_heads):
    return _cut(x, n_heads) / n_heads**0.5


@split_heads.mistake(
    "transposed before it is cut",
    hint="You swap tokens and width first and cut then. Cut the width first, then swap.",
)
def _(x, n_heads):
    return x.mT.reshape(x.size(0), n_heads, x.size(1), -1)


@split_heads.mistake(
    "heads and width exchanged at the end",
    hint="You swap the heads with the width in place of the tokens. The order is B, H, T, K.",
)
def _(x, n_heads):
    return x.unflatten(-1, (n_heads, -1)).transpose(2, 3).transpose(1, 2)


@split_heads.mistake(
    "the batch cut into heads",
    hint="You cut all numbers into heads first, across texts. Each token's vector is cut.",
)
def _(x, n_heads):
    return x.reshape(n_heads, x.size(0), x.size(1), -1).transpose(0, 1)


@split_heads.mistake(
    "the first head alone", hint="You hand back one head. Asked for are all of them."
)
def _(x, n_heads):
    return _cut(x, n_heads)[:, :1]


@merge_heads.mistake(
    "heads in the reverse order",
    hint="You put the last head first. Head 0 takes the first K numbers.",
)
def _(x):
    return _join(x.flip(1))


@merge_heads.mistake(
    "the largest of the heads",
    hint="You take the largest number over the heads. They stand side by side.",
)
def _(x):
    return x.amax(1)


@merge_heads.mistake(
    "the first head alone", hint="You keep the first head. All stand side by side."
)
def _(x):
    return x[:, 0]


@merge_heads.mistake(
    "swapped and not joined",
    hint="You bring the heads behind the tokens and leave four axes. Join the last two.",
)
def _(x):
    return x.transpose(1, 2)


@merge_heads.mistake(
    "joined to two axes", hint="You join the tokens as well. Asked for is [B, T, H K]."
)
def _(x):
    return x.transpose(1, 2).flatten(1)


@merge_heads.mistake(
    "texts and tokens in one axis", hint="You join texts and tokens, [B T, H K]. They are two axes."
)
def _(x):
    return _join(x).flatten(0, 1)


@merge_heads.mistake(
    "width before heads before tokens",
    hint="You swap the tokens with the width, and the heads join the wrong one.",
)
def _(x):
    return x.transpose(1, 3).flatten(2)


@merge_heads.mistake(
    "the batch taken for the heads",
    hint="You join the texts. It is the heads, the second axis, that stand side by side.",
)
def _(x):
    return torch.cat(tuple(x), -1)


@merge_heads.mistake(
    "the first text alone", hint="You keep the first text. All of them are asked for."
)
def _(x):
    return _join(x)[:1]


@merge_heads.mistake(
    "divided by the number of heads",
    hint="You divide by the number of heads. Joining moves numbers only.",
)
def _(x):
    return _join(x) / x.size(1)


@merge_heads.mistake(
    "concatenated, one head too few", hint="You leave the last head out. All stand side by side."
)
def _(x):
    return _join(x[:, :-1] if x.size(1) > 1 else x)


@repeat_kv.mistake(
    "once more than needed", hint="You add H / G copies to the first. Together there are H / G."
)
def _(x, n_heads):
    return x.repeat_interleave(n_heads // x.size(1) + 1, 1)


@repeat_kv.mistake(
    "a copy for each head on an axis of its own",
    hint="You put the copies on an axis of their own. They join the groups' axis: [B, H, S, K].",
)
def _(x, n_heads):
    return x[:, :, None].expand(-1, -1, n_heads // x.size(1), -1, -1)


@repeat_kv.mistake(
    "the groups in the reverse order",
    hint="You take the last group first. Heads 0 and 1 use group 0.",
)
def _(x, n_heads):
    return x.flip(1).repeat_interleave(n_heads // x.size(1), 1)


@repeat_kv.mistake(
    "zeros for the other heads", hint="You give the other heads zeros. Each uses its group."
)
def _(x, n_heads):
    out = torch.zeros(len(x), n_heads, *x.shape[2:], dtype=x.dtype)
    out[:, :: n_heads // x.size(1)] = x
    return out


@repeat_kv.mistake(
    "the last group for all that are left",
    hint="You give each head a group of its number, and the last to all others. Neighbours "
    "share evenly.",
)
def _(x, n_heads):
    return x[:, torch.arange(n_heads).clamp(max=x.size(1) - 1)]


@repeat_kv.mistake(
    "there and back",
    hint="You go through the groups there and back, a b b a. Neighbours share: a a b b.",
)
def _(x, n_heads):
    times = n_heads // x.size(1)
    return torch.cat([x.flip(1) if n % 2 else x for n in range(times)], 1)


@repeat_kv.mistake(
    "the mean of the groups for every head", hint="You average the groups. Each head uses its own."
)
def _(x, n_heads):
    return x.mean(1, keepdim=True).expand(-1, n_heads, -1, -1)


@repeat_kv.mistake(
    "between two groups, a mixture",
    hint="You draw lines between the groups. Each head uses one group as it is.",
)
def _(x, n_heads):
    at = torch.linspace(0, x.size(1) - 1, n_heads).to(x.dtype)
    low = at.floor().long()
    high = (low + 1).clamp(max=x.size(1) - 1)
    part = (at - low)[:, None, None]
    return x[:, low] * (1 - part) + x[:, high] * part


@repeat_kv.mistake(
    "each group divided by its heads",
    hint="You divide the copies by their number. Each head gets the group as it is.",
)
def _(x, n_heads):
    times = n_heads // x.size(1)
    return x.repeat_interleave(times, 1) / times


@repeat_kv.mistake("as it came", hint="You hand back G groups. There are H heads.")
def _(x, n_heads):
    return x


@repeat_kv.mistake(
    "numbers dealt out by a view",
    hint="You repeat along the last axis and give that the new shape, so heads and positions "
    "get mixed. Repeat the groups' axis.",
)
def _(x, n_heads):
    times = n_heads // x.size(1)
    return x.repeat_interleave(times, 3).reshape(len(x), n_heads, *x.shape[2:])


@repeat_kv.mistake(
    "positions dealt out by a view",
    hint="You repeat along the positions and give that the new shape, so heads and positions "
    "get mixed. Repeat the groups' axis.",
)
def _(x, n_heads):
    times = n_heads // x.size(1)
    return x.repeat(1, 1, 1, times).reshape(len(x), n_heads, *x.shape[2:])


@repeat_kv.mistake(
    "the heads before the batch", hint="You hand back [H, B, S, K]. The batch comes first."
)
def _(x, n_heads):
    return x.repeat_interleave(n_heads // x.size(1), 1).transpose(0, 1)


@cache_megabytes.mistake(
    "each layer against each",
    hint="You count the layers twice. Each layer holds keys and values once.",
)
def _():
    return 24 * 24 * 16 * 64 * 2 * 1024 * 2 / 1e6


@cache_megabytes.mistake(
    "eight bytes for a number", hint="You count eight bytes for a number. Half precision has two."
)
def _():
    return 24 * 16 * 64 * 2 * 1024 * 8 / 1e6


@cache_megabytes.mistake(
    "queries as well", hint="You count the queries, too. Only keys and values are kept."
)
def _():
    return 24 * 16 * 64 * 3 * 1024 * 2 / 1e6


@cache_megabytes.mistake(
    "GPT-2 large", hint="That is GPT-2 large, with 36 layers of 20 heads. Medium has 24 of 16."
)
def _():
    return 36 * 20 * 64 * 2 * 1024 * 2 / 1e6


@cache_megabytes.mistake(
    "GPT-2 XL", hint="That is GPT-2 XL, with 48 layers of 25 heads. Medium has 24 of 16."
)
def _():
    return 48 * 25 * 64 * 2 * 1024 * 2 / 1e6


@cache_megabytes.mistake(
    "the heads counted twice",
    hint="You count the 16 heads twice: 1024, the model's width, is 16 heads of 64 already.",
)
def _():
    return 24 * 16 * 1024 * 2 * 1024 * 2 / 1e6


@cache_megabytes.mistake(
    "the width of a head counted twice",
    hint="You count the width of a head twice: 1024, the model's width, is 16 heads of 64 already.",
)
def _():
    return 24 * 64 * 1024 * 2 * 1024 * 2 / 1e6
