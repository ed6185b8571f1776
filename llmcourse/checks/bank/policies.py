"""The exercises on policies: advantages within a group, a loop with a bug, the best of many.

Not here: preferences (`preferences.py`), soft targets (`distilling.py`), the exercises' texts
(`solutions/`), and how checking works (`harness.py`). Chapter 14 teaches this.
"""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from llmcourse.checks.answers import choice, value
from llmcourse.checks.harness import Case, case, exercise
from llmcourse.objectives import policy_gradient

CHAPTER = "14"
CHECKED = "8. What if a program can check the answer?"
HOLE = "9. What does a reward with a hole teach?"

# 5. Better than its group


@exercise(CHAPTER, axes="B N", read=CHECKED)
def advantages(rewards: Float[Tensor, "B N"]) -> Float[Tensor, "B N"]:
    """Each reward less its group's mean, over the group's standard deviation plus 1e-4."""
    return policy_gradient.group_advantages(rewards)


@advantages.cases
def _() -> Iterator[Case]:
    yield case("by hand", torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
    yield case("two groups", torch.randn(2, 5))
    yield case("a group that agrees", torch.tensor([[1.0, 1.0, 1.0], [0.0, 1.0, 0.0]]))
    yield case("groups of two", torch.randn(4, 2))
    yield case("as many groups as answers", torch.rand(3, 3))
    yield case("groups of different size", torch.tensor([[1.0, 2.0, 4.0], [100.0, 500.0, 300.0]]))
    yield case("nearly equal rewards", torch.tensor([[0.0, 2e-4, 0.0, 0.0], [0.0, 0.0, 0.0, 1e-3]]))
    yield case("hardly any difference", torch.tensor([[0.0, 1e-4, 0.0, 0.0]]))
    yield case("one right of sixteen", torch.eye(16)[:2])
    close = torch.tensor([[4096.0, 4097.0, 4096.0, 4099.0]])
    yield case("large and close together", close)
    yield case("all rewards below zero", -5 * torch.rand(2, 6) - 1)


def _scaled(rewards, *, axis=1, correction=1, tiny=1e-4, centre=True):
    mean = rewards.mean(axis, keepdim=True) if centre else 0
    return (rewards - mean) / (rewards.std(axis, keepdim=True, correction=correction) + tiny)


@advantages.mistake(
    "the deviation divided by N",
    hint="The sample's deviation divides by N − 1, as `std` does unless told otherwise.",
)
def _(rewards):
    return _scaled(rewards, correction=0)


@advantages.mistake(
    "over the whole batch",
    hint="An answer is compared with the answers to *its own* prompt: along the row.",
)
def _(rewards):
    return (rewards - rewards.mean()) / (rewards.std() + 1e-4)


@advantages.mistake(
    "along the columns", hint="A row is a group. You compare the answers to different prompts."
)
def _(rewards):
    return _scaled(rewards, axis=0)


@advantages.mistake(
    "not divided by the deviation", hint="The second half is missing: in standard deviations."
)
def _(rewards):
    return rewards - rewards.mean(1, keepdim=True)


@advantages.mistake(
    "the mean is not taken away",
    hint="Without the baseline every answer with a reward above 0 is raised, the bad ones, too.",
)
def _(rewards):
    return _scaled(rewards, centre=False)


@advantages.mistake("divided by the variance", hint="The deviation is the variance's square root.")
def _(rewards):
    centred = rewards - rewards.mean(1, keepdim=True)
    return centred / (rewards.var(1, keepdim=True) + 1e-4)


@advantages.mistake(
    "nothing added to the deviation",
    hint="A group that agrees has a deviation of 0, and 0 divided by 0 is no number.",
)
def _(rewards):
    return _scaled(rewards, tiny=0.0)


@advantages.mistake(
    "the deviation cut off from below",
    hint="1e-4 is *added* to the deviation; you take the larger of the two.",
)
def _(rewards):
    centred = rewards - rewards.mean(1, keepdim=True)
    return centred / rewards.std(1, keepdim=True).clamp_min(1e-4)


@advantages.mistake("the sign", hint="What is better than its group has an advantage above 0.")
def _(rewards):
    return -_scaled(rewards)


@advantages.mistake("the median as baseline", hint="The baseline is the group's *mean*.")
def _(rewards):
    middle = rewards.median(1, keepdim=True).values
    return (rewards - middle) / (rewards.std(1, keepdim=True) + 1e-4)


@advantages.mistake(
    "divided by the range", hint="You divide by largest less smallest, not by the deviation."
)
def _(rewards):
    centred = rewards - rewards.mean(1, keepdim=True)
    return centred / (rewards.amax(1, keepdim=True) - rewards.amin(1, keepdim=True) + 1e-4)


@advantages.mistake(
    "probabilities", hint="A softmax is no comparison with a mean: advantages may be below 0."
)
def _(rewards):
    return rewards.softmax(1)


def _over(name: str, hint: str, deviation: Callable[[Tensor], Tensor]) -> None:
    """Catalogue a mistake that divides what is centred by something else."""

    @advantages.mistake(name, hint=hint)
    def _(rewards):
        centred = rewards - rewards.mean(1, keepdim=True)
        return centred / deviation(rewards)


_over(
    "next to nothing is added to the deviation",
    "Add 0.0001 itself, to the deviation: in groups that nearly agree it makes a difference.",
    lambda r: r.std(1, keepdim=True) + 1e-8,
)
_over(
    "a millionth is added to the deviation",
    "Add 0.0001, a ten-thousandth: in groups that nearly agree the number makes a difference.",
    lambda r: r.std(1, keepdim=True) + 1e-6,
)
_over(
    "added within the root",
    "0.0001 is added to the *deviation*, behind the root: within, it counts as 0.01.",
    lambda r: (r.var(1, keepdim=True) + 1e-4).sqrt(),
)
_over(
    "the mean distance",
    "That is the mean of the distances. The deviation is the root of the mean *square*.",
    lambda r: (r - r.mean(1, keepdim=True)).abs().mean(1, keepdim=True) + 1e-4,
)
_over(
    "divided by the length",
    "That is the root of the summed squares. The deviation divides them by N − 1 first.",
    lambda r: (r - r.mean(1, keepdim=True)).norm(dim=1, keepdim=True) + 1e-4,
)
_over(
    "the deviation of the whole batch",
    "The mean is the row's, and so is the deviation: `dim=1`, and `keepdim=True`.",
    lambda r: r.std() + 1e-4,
)
_over(
    "the variance as a difference of squares",
    "E[r²] − E[r]² is right on paper. Of large rewards that are close together nothing is left: "
    "subtract the mean first, then square.",
    lambda r: (
        (
            ((r.square().mean(1, keepdim=True) - r.mean(1, keepdim=True).square()).clamp_min(0))
            * (r.size(1) / (r.size(1) - 1))
        ).sqrt()
        + 1e-4
    ),
)


@advantages.mistake(
    "the mean of the whole batch",
    hint="An answer is compared with the answers to *its own* prompt: the mean is the row's.",
)
def _(rewards):
    return (rewards - rewards.mean()) / (rewards.std(1, keepdim=True) + 1e-4)


@advantages.mistake(
    "compared with the others",
    hint="Some leave the answer itself out of the mean (RLOO). Here the mean is of its whole row.",
)
def _(rewards):
    others = (rewards.sum(1, keepdim=True) - rewards) / (rewards.size(1) - 1)
    return (rewards - others) / (rewards.std(1, keepdim=True) + 1e-4)


@advantages.mistake(
    "brackets missing",
    hint="`r - mean / deviation` divides the mean alone. Put the difference in brackets.",
)
def _(rewards):
    return rewards - rewards.mean(1, keepdim=True) / (rewards.std(1, keepdim=True) + 1e-4)


@advantages.mistake(
    "clipped",
    hint="Nothing is cut off: one right answer among many has a large advantage, and is to.",
)
def _(rewards):
    return _scaled(rewards).clamp(-2, 2)


@advantages.mistake(
    "ranks", hint="By how much an answer is better counts, not only the order of the answers."
)
def _(rewards):
    return rewards.argsort(1).argsort(1).to(rewards.dtype)


@advantages.mistake(
    "no axis is kept",
    hint="Without `keepdim=True` the means of the rows stand above the *columns*.",
)
def _(rewards):
    return (rewards - rewards.mean(1)) / (rewards.std(1) + 1e-4)


@advantages.mistake(
    "a group that agrees has ones",
    hint="Where all answers are as good as each other, none is better: the advantages are 0.",
)
def _(rewards):
    agrees = rewards.std(1, keepdim=True) == 0
    return torch.where(agrees, torch.ones_like(rewards), _scaled(rewards))


@advantages.mistake(
    "a group that agrees is left out",
    hint="The result has a row for each group: a group that agrees keeps its row of zeros.",
)
def _(rewards):
    return _scaled(rewards)[rewards.std(1) > 0]


@advantages.mistake(
    "the first group's figures for all",
    hint="Each row has a mean and a deviation of its own.",
)
def _(rewards):
    first = rewards[:1]
    return (rewards - first.mean()) / (first.std() + 1e-4)


# 6. Find the bug

broken_line = choice(
    CHAPTER,
    "broken_line",
    right=(
        "a",
        "The two names are one model. It is its own reference, so both log-probabilities are equal "
        "in every step, and the margin never leaves 0.",
    ),
    wrong={
        "b": "Both answers are scored by the policy, with the mask of the answer. That is right.",
        "c": "No gradient is wanted there. It would be right, if `reference` were another model.",
        "d": "The mean over the pairs is what a step descends on.",
    },
    read="When it goes wrong",
)

mended_by = choice(
    CHAPTER,
    "mended_by",
    right=("copy", "A deep copy has weights of its own, and nobody gives them to the optimizer."),
    wrong={
        "beta": "β scales a margin of 0. It stays 0.",
        "detach": "The log-probabilities of the reference have no gradient already. They are still "
        "those of the model that moves.",
        "rate": "The loss does not move because the two models move together, at any rate.",
    },
    read="When it goes wrong",
)

# 7. The best of many


def answers() -> tuple[Tensor, Tensor]:
    """The proxy's and the true reward of 65,536 answers.

    An answer is good (q) and long (l), both standard normal. The proxy likes both alike; in truth
    a little more length helps, and much harms: q + l - l². Later requests are easier: q rises
    slowly, by 2 in all. So a group has to be of neighbours, which answer one request.
    """
    dice = torch.Generator().manual_seed(14)
    quality, length = torch.randn(2, 65536, generator=dice, dtype=torch.float64)
    quality += torch.linspace(-1, 1, 65536, dtype=torch.float64)
    return quality + length, quality + length - length.square()


def _best_of(n: int, *, by: str = "proxy", of: str = "true") -> float:
    """The mean reward of what is best in groups of `n` neighbours."""
    found = dict(zip(("proxy", "true"), answers(), strict=True))
    groups = {name: rewards.view(-1, n) for name, rewards in found.items()}
    best = groups[by].argmax(1, keepdim=True)
    return groups[of].gather(1, best).mean().item()


@value(CHAPTER, abs=0.005, read=HOLE)
def true_of_256() -> float:
    """The mean true reward of the best of 256 by the proxy."""
    return _best_of(256)


@true_of_256.mistake(
    "the proxy's reward",
    hint="That is what the proxy thinks of its favourites. What are they worth in truth?",
)
def _():
    return _best_of(256, of="proxy")


@true_of_256.mistake(
    "chosen by the true reward",
    hint="You chose by the truth, which nobody has. Choose by the proxy, then look at the truth.",
)
def _():
    return _best_of(256, by="true")


@true_of_256.mistake(
    "the mean of all answers",
    hint="That is the best of 1: no choice at all. Cut the answers into groups of 256.",
)
def _():
    return _best_of(1)


@true_of_256.mistake(
    "groups of 64",
    hint="You chose among fewer than 256. Cut the answers into groups of 256 neighbours.",
)
def _():
    return _best_of(64)


@true_of_256.mistake(
    "one group alone",
    hint="That is one choice, and luck. Take the mean over all groups.",
)
def _():
    proxy, true = (rewards[:256] for rewards in answers())
    return true[proxy.argmax()].item()


@true_of_256.mistake(
    "groups of every 256th",
    hint="A group is of neighbours, the first 256, the next 256: `view(-1, 256)`, a group in each "
    "row, and `argmax(dim=1)`.",
)
def _():
    proxy, true = (rewards.view(-1, 256) for rewards in answers())
    return true.gather(0, proxy.argmax(0, keepdim=True)).mean().item()


@true_of_256.mistake(
    "the smallest by the proxy", hint="You took what the proxy likes least: `argmax`."
)
def _():
    proxy, true = (rewards.view(-1, 256) for rewards in answers())
    return true.gather(1, proxy.argmin(1, keepdim=True)).mean().item()


@true_of_256.mistake(
    "the best of all", hint="That is one group of 65,536. Cut the answers into groups of 256."
)
def _():
    proxy, true = answers()
    return true[proxy.argmax()].item()


@true_of_256.mistake(
    "a sum over the groups", hint="Wanted is the mean over the groups, not their sum."
)
def _():
    return 256 * _best_of(256)


@true_of_256.mistake("groups of 16", hint="That is the figure for n = 16. Hand in n = 256.")
def _():
    return _best_of(16)


why_it_falls = choice(
    CHAPTER,
    "why_it_falls",
    right=(
        "c",
        "Among many, the proxy's favourite is extreme in what it overrates. A little length helps "
        "in truth, too; that is why choosing helps at first.",
    ),
    wrong={
        "a": "The true reward of a chosen answer is no luck: the mean is over many groups, and it "
        "falls in all of them alike.",
        "b": "It is the best of more answers, not of worse ones: all come from the same draw.",
        "d": "The two agree in most pairs. They part at the extremes, where a strong choice looks.",
    },
    read=HOLE,
)
