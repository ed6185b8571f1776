"""The exercise on how sure a CRF is of each tag: its marginals.

Not here: the exercises on its sums and its best way (`crf.py`), the exercises' texts
(`solutions/`), and how checking works (`harness.py`). Chapter 12 teaches this.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from llmcourse.checks.bank.crf import layer_of, ways
from llmcourse.checks.harness import exercise

CHAPTER = "12"


# 6. Marginals


@exercise(CHAPTER, axes="T C", read="8. Which way is best, and how sure is it?")
def marginals(
    emissions: Float[Tensor, "T C"],
    transitions: Float[Tensor, "C C"],
    start: Float[Tensor, " C"],
    end: Float[Tensor, " C"],
) -> Float[Tensor, "T C"]:
    """The probability of each tag at each word."""
    with torch.no_grad():
        return layer_of(transitions, start, end).marginals(emissions[None])[0]


marginals.cases(ways)


def _both(emissions, transitions, start, end):
    """Log alphas and log betas, `[T, C]` each."""
    alphas, betas = [start + emissions[0]], [end]
    for emission in emissions[1:]:
        alphas.append((alphas[-1][:, None] + transitions).logsumexp(0) + emission)
    for t in range(len(emissions) - 1, 0, -1):
        betas.append((transitions + emissions[t] + betas[-1]).logsumexp(1))
    return torch.stack(alphas), torch.stack(betas[::-1])


@marginals.mistake(
    "the head's own probabilities",
    hint="Softmax of the emissions is what the head thinks alone. The neighbours have a say: α and "
    "β.",
)
def _(emissions, transitions, start, end):
    return emissions.softmax(1)


@marginals.mistake(
    "the left side alone",
    hint="α knows the words up to t. What comes behind has a say, too: multiply by β.",
)
def _(emissions, transitions, start, end):
    return _both(emissions, transitions, start, end)[0].softmax(1)


@marginals.mistake(
    "the right side alone",
    hint="β knows the words behind t. What comes before, and the word itself, are in α.",
)
def _(emissions, transitions, start, end):
    return _both(emissions, transitions, start, end)[1].softmax(1)


@marginals.mistake(
    "a word's own emission counted twice",
    hint="It is in α already. β is what lies *behind* the word.",
)
def _(emissions, transitions, start, end):
    alphas, betas = _both(emissions, transitions, start, end)
    return (alphas + betas + emissions).softmax(1)


@marginals.mistake(
    "a word's own emission in neither",
    hint="One of the two sides has to hold word t's own emission. In exercise 4, α does.",
)
def _(emissions, transitions, start, end):
    alphas, betas = _both(emissions, transitions, start, end)
    return (alphas + betas - emissions).softmax(1)


@marginals.mistake(
    "the betas in the order in which they were made",
    hint="They were made from right to left: turn them round before they meet the alphas.",
)
def _(emissions, transitions, start, end):
    alphas, betas = _both(emissions, transitions, start, end)
    return (alphas + betas.flip(0)).softmax(1)


@marginals.mistake(
    "normalised over the words",
    hint="At *each word* the tags' probabilities sum to one: over the last axis.",
)
def _(emissions, transitions, start, end):
    alphas, betas = _both(emissions, transitions, start, end)
    return (alphas + betas).softmax(0)


@marginals.mistake(
    "normalised over the whole table",
    hint="At *each word* the tags' probabilities sum to one, not in all of the sentence.",
)
def _(emissions, transitions, start, end):
    table = sum(_both(emissions, transitions, start, end))
    return table.flatten().softmax(0).view_as(table)


@marginals.mistake("logarithms", hint="Asked are probabilities: one exponential is missing.")
def _(emissions, transitions, start, end):
    return sum(_both(emissions, transitions, start, end)).log_softmax(1)


@marginals.mistake(
    "not divided by Z",
    hint="α + β is the log of all ways through the node. Take log Z off before you exponentiate.",
)
def _(emissions, transitions, start, end):
    return sum(_both(emissions, transitions, start, end)).exp()


@marginals.mistake(
    "α + β, in logarithms",
    hint="That is the log of the weight of all ways through a node: take off log Z, exponentiate.",
)
def _(emissions, transitions, start, end):
    return sum(_both(emissions, transitions, start, end))


@marginals.mistake(
    "the best sequence as yes and no",
    hint="That is Viterbi's answer. All sequences count here, each with its probability.",
)
def _(emissions, transitions, start, end):
    (path,) = layer_of(transitions, start, end).best(emissions[None])
    return torch.nn.functional.one_hot(torch.tensor(path), emissions.size(1)).to(emissions)


@marginals.mistake(
    "the best way through each node",
    hint="You take max where all ways have to be added up.",
)
def _(emissions, transitions, start, end):
    alphas, betas = [start + emissions[0]], [end]
    for emission in emissions[1:]:
        alphas.append((alphas[-1][:, None] + transitions).amax(0) + emission)
    for t in range(len(emissions) - 1, 0, -1):
        betas.append((transitions + emissions[t] + betas[-1]).amax(1))
    return (torch.stack(alphas) + torch.stack(betas[::-1])).softmax(1)


@marginals.mistake(
    "transitions the wrong way round on the way back",
    hint="From tag i one goes to j: `transitions[i, j]`, summed over j. That is another axis than "
    "on the way there.",
)
def _(emissions, transitions, start, end):
    alphas, _ = _both(emissions, transitions, start, end)
    betas = [end]
    for t in range(len(emissions) - 1, 0, -1):
        betas.append((transitions.mT + emissions[t] + betas[-1]).logsumexp(1))
    return (alphas + torch.stack(betas[::-1])).softmax(1)


@marginals.mistake(
    "the way back begins at zero",
    hint="Behind the last word there is the end: its β is `end`.",
)
def _(emissions, transitions, start, end):
    return sum(_both(emissions, transitions, start, torch.zeros_like(end))).softmax(1)


@marginals.mistake(
    "the emission of the wrong word on the way back",
    hint="β of word t pays the emission of word t + 1, where one goes to, and not its own.",
)
def _(emissions, transitions, start, end):
    alphas, _ = _both(emissions, transitions, start, end)
    betas = [end]
    for t in range(len(emissions) - 1, 0, -1):
        betas.append((transitions + emissions[t - 1] + betas[-1]).logsumexp(1))
    return (alphas + torch.stack(betas[::-1])).softmax(1)


@marginals.mistake(
    "without logarithms",
    hint="Right for a few words. Over many, α leaves the range of floats: use log α and log β.",
)
def _(emissions, transitions, start, end):
    forward, backward = [(start + emissions[0]).exp()], [end.exp()]
    for emission in emissions[1:]:
        forward.append(emission.exp() * (forward[-1] @ transitions.exp()))
    for t in range(len(emissions) - 1, 0, -1):
        backward.append(transitions.exp() @ (emissions[t].exp() * backward[-1]))
    through = torch.stack(forward) * torch.stack(backward[::-1])
    return through / through.sum(1, keepdim=True)


@marginals.mistake(
    "the way back without emissions",
    hint="On the way back, too, each step pays the emission of the word where one goes to.",
)
def _(emissions, transitions, start, end):
    alphas, _ = _both(emissions, transitions, start, end)
    betas = [end]
    for _ in emissions[1:]:
        betas.append((transitions + betas[-1]).logsumexp(1))
    return (alphas + torch.stack(betas[::-1])).softmax(1)


@marginals.mistake(
    "both sides normalised, then multiplied",
    hint="α and β are weights of ways, not probabilities. Multiply first, then divide by Z, which "
    "is the sum over the tags.",
)
def _(emissions, transitions, start, end):
    alphas, betas = _both(emissions, transitions, start, end)
    return alphas.softmax(1) * betas.softmax(1)


@marginals.mistake(
    "the mean of both sides",
    hint="A way through a node is a way to it *and* a way on: multiply (in logs, add).",
)
def _(emissions, transitions, start, end):
    alphas, betas = _both(emissions, transitions, start, end)
    return (alphas.softmax(1) + betas.softmax(1)) / 2


@marginals.mistake(
    "the end added at every word",
    hint="`end` is in β from the start of the way back. It is not added again.",
)
def _(emissions, transitions, start, end):
    alphas, betas = _both(emissions, transitions, start, end)
    return (alphas + betas + end).softmax(1)


@marginals.mistake(
    "the transition on the way back added for the tag before",
    hint="You add the next β to the wrong axis: β belongs to the tag where one *goes*, a column.",
)
def _(emissions, transitions, start, end):
    alphas, _ = _both(emissions, transitions, start, end)
    betas = [end]
    for t in range(len(emissions) - 1, 0, -1):
        betas.append((transitions + (emissions[t] + betas[-1])[:, None]).logsumexp(1))
    return (alphas + torch.stack(betas[::-1])).softmax(1)
