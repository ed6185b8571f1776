"""Rarer mistakes of the exercises on policies. Chapter 14 teaches this."""

import torch

from llmcourse.checks.bank.policies import advantages


def _scaled(rewards, spread, *, middle=None, epsilon=1e-4):
    middle = rewards.mean(-1, keepdim=True) if middle is None else middle
    return (rewards - middle) / (spread + epsilon)


@advantages.mistake(
    "median and median distance",
    hint="You measure from the median, in median distances. Asked for are mean and deviation.",
)
def _(rewards):
    middle = rewards.median(-1, keepdim=True).values
    spread = (rewards - middle).abs().median(-1, keepdim=True).values
    return _scaled(rewards, spread, middle=middle)


@advantages.mistake(
    "from 0 to 1",
    hint="You bring each row between 0 and 1, from its smallest to its largest. An advantage is "
    "measured from the mean.",
)
def _(rewards):
    low, high = rewards.amin(-1, keepdim=True), rewards.amax(-1, keepdim=True)
    return _scaled(rewards, high - low, middle=low)


@advantages.mistake(
    "the mean of the others",
    hint="You compare each reward with the mean of the *other* answers, and divide by nothing "
    "(leave one out). The row's mean holds them all.",
)
def _(rewards):
    n = rewards.size(-1)
    others = (rewards.sum(-1, keepdim=True) - rewards) / (n - 1)
    return rewards - others


@advantages.mistake(
    "the deviation of what is left in the whole batch",
    hint="You take each row's mean off and divide by the deviation of all that is left, over the "
    "rows. Each row has a deviation of its own.",
)
def _(rewards):
    return _scaled(rewards, (rewards - rewards.mean(-1, keepdim=True)).std())


@advantages.mistake(
    "the smallest in place of the mean",
    hint="You measure from the row's worst reward. Advantages are measured from its mean.",
)
def _(rewards):
    worst = rewards.amin(-1, keepdim=True)
    return _scaled(rewards, rewards.std(-1, keepdim=True), middle=worst)


@advantages.mistake(
    "the first answer as the measure",
    hint="You measure from the row's first answer. Advantages are measured from its mean.",
)
def _(rewards):
    return _scaled(rewards, rewards.std(-1, keepdim=True), middle=rewards[:, :1])


@advantages.mistake(
    "ranks in place of rewards",
    hint="You replace the rewards by their ranks. By how much an answer is better counts, too.",
)
def _(rewards):
    ranks = rewards.argsort(-1).argsort(-1).to(rewards.dtype)
    return _scaled(ranks, ranks.std(-1, keepdim=True))


@advantages.mistake(
    "cut off at three",
    hint="You cut advantages off at ±3. They are returned as they are.",
)
def _(rewards):
    return _scaled(rewards, rewards.std(-1, keepdim=True)).clamp(-3, 3)


@advantages.mistake(
    "cut off at one",
    hint="You cut advantages off at ±1. They are returned as they are.",
)
def _(rewards):
    return _scaled(rewards, rewards.std(-1, keepdim=True)).clamp(-1, 1)


@advantages.mistake(
    "the better half as 1, the others as −1",
    hint="You return signs. An advantage says by how many deviations, too.",
)
def _(rewards):
    return (rewards - rewards.mean(-1, keepdim=True)).sign()


@advantages.mistake(
    "a quotient by the mean",
    hint="You divide by the row's mean. It is taken off, and the deviation divides.",
)
def _(rewards):
    return rewards / (rewards.mean(-1, keepdim=True) + 1e-4)


@advantages.mistake(
    "the deviation over the mean",
    hint="You divide by the row's mean in place of its deviation.",
)
def _(rewards):
    return _scaled(rewards, rewards.mean(-1, keepdim=True))


@advantages.mistake(
    "the rewards' length",
    hint="You divide by the length of the row of rewards. The deviation measures from the mean.",
)
def _(rewards):
    return _scaled(rewards, rewards.norm(dim=-1, keepdim=True))


@advantages.mistake(
    "the root of the mean square, about zero",
    hint="Your deviation measures from 0. It measures from the row's mean.",
)
def _(rewards):
    return _scaled(rewards, (rewards**2).mean(-1, keepdim=True).sqrt())


@advantages.mistake(
    "the standard error",
    hint="You divide by the deviation over √N, the error of the mean. The deviation itself is "
    "asked for.",
)
def _(rewards):
    return _scaled(rewards, rewards.std(-1, keepdim=True) / rewards.size(-1) ** 0.5)


@advantages.mistake(
    "standardised over the whole batch afterwards",
    hint="After each row's own scale you standardise all of them again. Once is asked for.",
)
def _(rewards):
    found = _scaled(rewards, rewards.std(-1, keepdim=True))
    return (found - found.mean()) / (found.std() + 1e-4)


@advantages.mistake(
    "the last row's mean and deviation",
    hint="You use one row's mean and deviation for all rows. Each row has its own.",
)
def _(rewards):
    return (rewards - rewards[-1].mean()) / (rewards[-1].std() + 1e-4)


@advantages.mistake(
    "rows of a deviation below one left as they are",
    hint="You divide by deviations above 1 alone. All rows are divided by theirs.",
)
def _(rewards):
    return _scaled(rewards, rewards.std(-1, keepdim=True).clamp(min=1.0), epsilon=0.0)


@advantages.mistake(
    "a running mean of the rewards",
    hint="You measure from the mean of the answers so far. The mean of the whole row is asked for.",
)
def _(rewards):
    n = torch.arange(1, rewards.size(-1) + 1, dtype=rewards.dtype)
    return _scaled(rewards, rewards.std(-1, keepdim=True), middle=rewards.cumsum(-1) / n)


@advantages.mistake(
    "one for the best, zero for the others",
    hint="You give the best answer 1 and the others 0. All are measured in deviations.",
)
def _(rewards):
    return torch.zeros_like(rewards).scatter(-1, rewards.argmax(-1, keepdim=True), 1.0)


@advantages.mistake(
    "the middle of the smallest and the largest",
    hint="You measure from the middle of the range. The mean is asked for.",
)
def _(rewards):
    middle = (rewards.amax(-1, keepdim=True) + rewards.amin(-1, keepdim=True)) / 2
    return _scaled(rewards, rewards.std(-1, keepdim=True), middle=middle)


@advantages.mistake(
    "the softmax's mean as the measure",
    hint="You weigh the mean by a softmax of the rewards. The plain mean is asked for.",
)
def _(rewards):
    middle = (rewards.softmax(-1) * rewards).sum(-1, keepdim=True)
    return _scaled(rewards, rewards.std(-1, keepdim=True), middle=middle)


@advantages.mistake(
    "quartiles in place of the deviation",
    hint="You divide by the distance of the quartiles. The standard deviation is asked for.",
)
def _(rewards):
    low, high = (rewards.quantile(q, dim=-1, keepdim=True) for q in (0.25, 0.75))
    return _scaled(rewards, high - low)


@advantages.mistake(
    "the mean size of the rewards",
    hint="You divide by the mean magnitude of the rewards. The deviation from the mean is asked "
    "for.",
)
def _(rewards):
    return _scaled(rewards, rewards.abs().mean(-1, keepdim=True))


@advantages.mistake(
    "bent by a tanh",
    hint="You bend advantages by a tanh. They are returned as they are.",
)
def _(rewards):
    return torch.tanh(_scaled(rewards, rewards.std(-1, keepdim=True)))


@advantages.mistake(
    "the pairwise wins",
    hint="You count how many answers each one beats. By how much counts, in deviations.",
)
def _(rewards):
    return (rewards[..., :, None] - rewards[..., None, :]).sign().mean(-1)
