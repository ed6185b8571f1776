"""The exercises on the CRF: adding up all ways, and finding the best one.

Not here: the exercises on how sure it is (`crf_certainty.py`) and on tags and spans (`tagging.py`),
the exercises' texts (`solutions/`), and how checking works (`harness.py`). Chapter 12 teaches this.
"""

from collections.abc import Callable, Iterator
from numbers import Number
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from llmcourse.checks.answers import choice, value
from llmcourse.checks.harness import Case, case, exercise
from llmcourse.nn.crf import LinearChainCRF

CHAPTER = "12"


def layer_of(transitions: Tensor, start: Tensor, end: Tensor) -> LinearChainCRF:
    """The package's layer with these scores, through which gradients flow back to them."""
    layer = LinearChainCRF(len(start))
    for name, scores in {"transitions": transitions, "start": start, "end": end}.items():
        delattr(layer, name)  # a parameter is a leaf; a plain tensor in its place is not
        setattr(layer, name, scores)
    return layer


def _scores(n_words: int, n_tags: int, scale: float = 1.0) -> tuple[Tensor, ...]:
    """Random emissions, transitions, start and end."""
    shapes = (n_words, n_tags), (n_tags, n_tags), (n_tags,), (n_tags,)
    return tuple(scale * torch.randn(*shape) for shape in shapes)


def ways() -> Iterator[Case]:
    """What all three exercises are asked; the last ones are long."""
    transitions = torch.tensor([[0.0, 3.0], [0.0, 0.0]])
    transitions[0, 1] = torch.tensor(3.0).log()
    yield case("by hand", torch.zeros(2, 2), transitions, torch.zeros(2), torch.zeros(2))
    yield case("one word", *_scores(1, 4))
    yield case("two words", *_scores(2, 3))
    yield case("one tag", *_scores(4, 1))
    yield case("as many words as tags", *_scores(4, 4))
    yield case("five words", *_scores(5, 3))
    yield case("more tags than words", *_scores(3, 7))
    emissions, _, start, end = _scores(6, 3)
    steps = torch.tensor([[2.0, -1.0, -3.0], [0.5, -2.0, 4.0], [-0.5, 1.0, 1.5]])
    yield case("strong transitions", emissions, steps, start, end)
    yield case("weak emissions", emissions / 10, steps, start, end)
    barred = steps.clone()
    barred[0, 2] = -1e4
    yield case("a pair that never is", emissions, barred, start, end)
    yield case("the ends decide", emissions / 10, steps / 10, 3 * start, -4 * start.flip(0))
    # In float64: rounding in float32, added up over so many steps, is no mistake.
    yield case("large scores", *(scores.double() for scores in _scores(8, 3, scale=40.0)))
    yield case("many words", *(scores.double() for scores in _scores(400, 4)))


# 4. The forward algorithm


@exercise(
    CHAPTER,
    variants=("float64", "non-contiguous", "gradients"),
    read="7. How do you add up more ways than you can list?",
)
def log_partition(
    emissions: Float[Tensor, "T C"],
    transitions: Float[Tensor, "C C"],
    start: Float[Tensor, " C"],
    end: Float[Tensor, " C"],
) -> Float[Tensor, ""]:
    """The log of the sum over all tag sequences."""
    return layer_of(transitions, start, end).log_partition(emissions[None])[0]


log_partition.cases(ways)


def _walk(
    emissions: Tensor,
    transitions: Tensor,
    start: Tensor,
    end: Tensor,
    *,
    into: Callable[[Tensor], Tensor] = lambda table: table.logsumexp(0),
) -> Tensor:
    """Alpha at the last word, by some way of adding up where one came from."""
    alpha = start + emissions[0]
    for emission in emissions[1:]:
        alpha = into(alpha[:, None] + transitions) + emission
    return alpha + end


@log_partition.mistake(
    "sums of exponentials without logarithms",
    hint="Right for a few words. Over many, products leave the range of floats: keep log α, and "
    "add up by `torch.logsumexp`.",
)
def _(emissions, transitions, start, end):
    alpha = (start + emissions[0]).exp()
    for emission in emissions[1:]:
        alpha = emission.exp() * (alpha @ transitions.exp())
    return (alpha * end.exp()).sum().log()


@log_partition.mistake(
    "the score of the best sequence",
    hint="That is Viterbi: max. Here *all* sequences count: log-sum-exp in place of max.",
)
def _(emissions, transitions, start, end):
    return _walk(emissions, transitions, start, end, into=lambda table: table.amax(0)).amax()


@log_partition.mistake(
    "the best way to each tag, summed at the end alone",
    hint="The last step adds up, the others take the largest. All of them have to add up.",
)
def _(emissions, transitions, start, end):
    return _walk(emissions, transitions, start, end, into=lambda t: t.amax(0)).logsumexp(0)


@log_partition.mistake(
    "transitions the wrong way round",
    hint="`transitions[i, j]` goes from i to j. In the table α stands down the rows, where one "
    "comes from; the sum is over the rows.",
)
def _(emissions, transitions, start, end):
    return _walk(emissions, transitions.mT, start, end).logsumexp(0)


@log_partition.mistake(
    "summed over where one goes",
    hint="The new α of tag j sums over i, where one came *from*. Sum over the axis of the old α.",
)
def _(emissions, transitions, start, end):
    return _walk(emissions, transitions, start, end, into=lambda t: t.logsumexp(1)).logsumexp(0)


@log_partition.mistake(
    "α added along the columns",
    hint="α belongs to the tag *before*, and that is the row of `transitions`: `alpha[:, None]`.",
)
def _(emissions, transitions, start, end):
    alpha = start + emissions[0]
    for emission in emissions[1:]:
        alpha = (alpha + transitions).logsumexp(0) + emission
    return (alpha + end).logsumexp(0)


@log_partition.mistake("Z, not its logarithm", hint="Asked is log Z. Z itself overflows soon.")
def _(emissions, transitions, start, end):
    return _walk(emissions, transitions, start, end).logsumexp(0).exp()


@log_partition.mistake(
    "each word by itself",
    hint="That is the sum over all sequences if there were no transitions.",
)
def _(emissions, transitions, start, end):
    return emissions.logsumexp(1).sum()


@log_partition.mistake(
    "end added at every word", hint="`end` is the score of the *last* tag alone: once, at the end."
)
def _(emissions, transitions, start, end):
    alpha = start + emissions[0] + end
    for emission in emissions[1:]:
        alpha = (alpha[:, None] + transitions).logsumexp(0) + emission + end
    return alpha.logsumexp(0)


@log_partition.mistake(
    "start added at every word", hint="`start` is the score of the *first* tag alone."
)
def _(emissions, transitions, start, end):
    return _walk(emissions + start, transitions, torch.zeros_like(start), end).logsumexp(0)


@log_partition.mistake(
    "a step before the first word",
    hint="Between nothing and the first word there is no transition: begin with start + the first "
    "word's emissions, and loop from the second word on.",
)
def _(emissions, transitions, start, end):
    alpha = start
    for emission in emissions:
        alpha = (alpha[:, None] + transitions).logsumexp(0) + emission
    return (alpha + end).logsumexp(0)


@log_partition.mistake(
    "the first word counted twice",
    hint="Its emissions are in α from the beginning: the loop starts at the second word.",
)
def _(emissions, transitions, start, end):
    alpha = start + emissions[0]
    for emission in emissions:
        alpha = (alpha[:, None] + transitions).logsumexp(0) + emission
    return (alpha + end).logsumexp(0)


@log_partition.mistake(
    "the emission of the word before",
    hint="A step leads *to* word t: it pays that word's emission, not the one before.",
)
def _(emissions, transitions, start, end):
    return _walk(torch.cat([emissions[:1], emissions[:-1]]), transitions, start, end).logsumexp(0)


@log_partition.mistake(
    "emissions made probabilities first",
    hint="Emissions are scores as they are. Normalised word by word, Z is no longer what the "
    "sequences' scores sum to.",
)
def _(emissions, transitions, start, end):
    return _walk(emissions.log_softmax(1), transitions, start, end).logsumexp(0)


@log_partition.mistake(
    "transitions made probabilities first",
    hint="Transitions are scores as they are: nothing is normalised before the end.",
)
def _(emissions, transitions, start, end):
    return _walk(emissions, transitions.log_softmax(1), start, end).logsumexp(0)


@log_partition.mistake(
    "a sum of scores in place of log-sum-exp",
    hint="Scores are logarithms of weights. To add weights: exponentiate, add, take the logarithm.",
)
def _(emissions, transitions, start, end):
    return _walk(emissions, transitions, start, end, into=lambda t: t.sum(0)).sum()


@log_partition.mistake(
    "α of every tag, not their sum",
    hint="At the end one number is left: a last log-sum-exp over the tags.",
)
def _(emissions, transitions, start, end):
    return _walk(emissions, transitions, start, end)


@log_partition.mistake(
    "each column made a distribution",
    hint="That divides Z away, and leaves the last word's probabilities. Add up the logs of what "
    "you divided by: that is log Z.",
)
def _(emissions, transitions, start, end):
    return _walk(emissions, transitions, start, end).log_softmax(0).logsumexp(0)


@log_partition.mistake(
    "divided by the number of words", hint="log Z is a sum over the sentence, not a mean a word."
)
def _(emissions, transitions, start, end):
    return _walk(emissions, transitions, start, end).logsumexp(0) / len(emissions)


@log_partition.mistake(
    "the last word left out", hint="The loop has to reach the last word: T − 1 steps for T words."
)
def _(emissions, transitions, start, end):
    return _walk(emissions[: max(1, len(emissions) - 1)], transitions, start, end).logsumexp(0)


@log_partition.mistake(
    "the emission added to the tag before",
    hint="A step's emission belongs to the tag where one *goes*, the column: add it after the sum "
    "over the rows.",
)
def _(emissions, transitions, start, end):
    alpha = start + emissions[0]
    for emission in emissions[1:]:
        alpha = (alpha[:, None] + transitions + emission[:, None]).logsumexp(0)
    return (alpha + end).logsumexp(0)


@log_partition.mistake(
    "a mean of the ways in place of their sum",
    hint="All ways are *added*. A mean divides by the number of tags at each step.",
)
def _(emissions, transitions, start, end):
    n_tags = torch.tensor(float(len(start))).log()
    return _walk(
        emissions, transitions, start, end, into=lambda t: t.logsumexp(0) - n_tags
    ).logsumexp(0)


@log_partition.mistake(
    "a step after the last word",
    hint="After the last word there is `end`, and no transition.",
)
def _(emissions, transitions, start, end):
    alpha = _walk(emissions, transitions, start, torch.zeros_like(end))
    return ((alpha[:, None] + transitions).logsumexp(0) + end).logsumexp(0)


@log_partition.mistake(
    "the log-probability of the best sequence",
    hint="You computed score − log Z. Asked is log Z itself, over all sequences.",
)
def _(emissions, transitions, start, end):
    best = _walk(emissions, transitions, start, end, into=lambda t: t.amax(0)).amax()
    return best - _walk(emissions, transitions, start, end).logsumexp(0)


# 5. Viterbi


def _score(path: list[int], emissions: Any, transitions: Any, start: Any, end: Any) -> Tensor:
    layer = layer_of(transitions.double(), start.double(), end.double())
    return layer.score(emissions.double()[None], torch.tensor([path]))[0]


def _any_best(answer: Any, *scores: Tensor) -> Any:
    """The answer's path; of several that are as good, the one that the oracle finds."""
    found = answer(*scores)
    path = found.tolist() if hasattr(found, "tolist") else found
    emissions = scores[0]
    if not isinstance(path, list | tuple) or len(path) != len(emissions):
        return found
    tags = [int(tag) if isinstance(tag, Number | Tensor) else tag for tag in path]
    if not all(isinstance(tag, int) and 0 <= tag < emissions.size(1) for tag in tags):
        return found
    best = viterbi.right(*scores)
    as_good = torch.isclose(_score(tags, *scores), _score(best, *scores), rtol=1e-6, atol=1e-6)
    return best if as_good else tags


@exercise(CHAPTER, call=_any_best, strict=False, read="8. Which way is best, and how sure is it?")
def viterbi(
    emissions: Float[Tensor, "T C"],
    transitions: Float[Tensor, "C C"],
    start: Float[Tensor, " C"],
    end: Float[Tensor, " C"],
) -> list[int]:
    """The best tag sequence."""
    return layer_of(transitions, start, end).best(emissions[None])[0]


@viterbi.cases
def _() -> Iterator[Case]:
    hand = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    steps = torch.tensor([[0.0, 2.0], [0.0, 0.0]])
    yield case("by hand", hand, steps, torch.zeros(2), torch.zeros(2))
    yield case("all alike", torch.zeros(4, 3), torch.zeros(3, 3), torch.zeros(3), torch.zeros(3))
    two = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 2.0, 2.0]])
    yield case("two are as good", two, torch.eye(3), torch.zeros(3), torch.zeros(3))
    late = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 5.0]])
    bound = torch.tensor([[0.0, -9.0], [-9.0, 0.0]])
    yield case("the last word decides the first", late, bound, torch.zeros(2), torch.zeros(2))
    yield from list(ways())[1:]
    for seed in range(3):
        emissions, transitions, start, end = _scores(7, 4)
        yield case(f"seven words, {seed + 1}", emissions, 2 * transitions, 2 * start, 2 * end)


def _traced(emissions, transitions, start, end, *, how="max", back=True, turn=True):
    """Viterbi with something changed."""
    best, pointers, heads = start + emissions[0], [], []
    heads.append(int(best.argmax()))
    for emission in emissions[1:]:
        table = best[:, None] + transitions
        before = table.argmax(0)
        best = (table.amax(0) if how == "max" else table.logsumexp(0)) + emission
        pointers.append(before)
        heads.append(int(best.argmax()))
    if not back:
        return [*heads[:-1], int((best + end).argmax())]
    path = [int((best + end).argmax())]
    for before in reversed(pointers):
        path.append(int(before[path[-1]]))
    return path[::-1] if turn else path


@viterbi.mistake(
    "each word by itself",
    hint="That is the head alone: the largest emission of each word. Transitions have no say.",
)
def _(emissions, transitions, start, end):
    return emissions.argmax(1).tolist()


@viterbi.mistake(
    "each word by itself, its ends included",
    hint="You add start and end to the first and the last word, and then choose each word's tag by "
    "itself. Transitions have no say.",
)
def _(emissions, transitions, start, end):
    alone = emissions.clone()
    alone[0] += start
    alone[-1] += end
    return alone.argmax(1).tolist()


@viterbi.mistake(
    "greedy, from the left",
    hint="You fix each tag before you have seen the next word. A later word may prefer another way "
    "to get to it: keep the best way to *every* tag, and choose at the end.",
)
def _(emissions, transitions, start, end):
    path = [int((start + emissions[0]).argmax())]
    for t in range(1, len(emissions)):
        here = transitions[path[-1]] + emissions[t] + (end if t == len(emissions) - 1 else 0)
        path.append(int(here.argmax()))
    return path


@viterbi.mistake(
    "greedy, from the left, without the end",
    hint="You fix each tag before you have seen the next word. Keep the best way to *every* tag, "
    "and choose at the end, with `end`.",
)
def _(emissions, transitions, start, end):
    path = [int((start + emissions[0]).argmax())]
    for emission in emissions[1:]:
        path.append(int((transitions[path[-1]] + emission).argmax()))
    return path


@viterbi.mistake(
    "the best tag so far at each word",
    hint="The best of all ways *to word t* need not lie on the best way *to the end*. Walk back "
    "along the pointers from the last tag.",
)
def _(emissions, transitions, start, end):
    return _traced(emissions, transitions, start, end, back=False)


@viterbi.mistake(
    "the path backwards",
    hint="You walked from the last word to the first. Turn the list round.",
)
def _(emissions, transitions, start, end):
    return _traced(emissions, transitions, start, end, turn=False)


@viterbi.mistake(
    "sums in place of the best",
    hint="That is the forward algorithm with pointers. The *best* way needs max.",
)
def _(emissions, transitions, start, end):
    return _traced(emissions, transitions, start, end, how="sum")


@viterbi.mistake(
    "transitions the wrong way round",
    hint="`transitions[i, j]` is tag j right *after* tag i.",
)
def _(emissions, transitions, start, end):
    return _traced(emissions, transitions.mT, start, end)


@viterbi.mistake(
    "the largest marginal at each word",
    hint="Each of those tags is the safest by itself. Together they need not be the best sequence.",
)
def _(emissions, transitions, start, end):
    return layer_of(transitions, start, end).marginals(emissions[None])[0].argmax(1).tolist()


@viterbi.mistake("the end left out", hint="The last tag is the best of `best + end`.")
def _(emissions, transitions, start, end):
    return _traced(emissions, transitions, start, torch.zeros_like(end))


@viterbi.mistake("the start left out", hint="The first tag has the score `start`, too.")
def _(emissions, transitions, start, end):
    return _traced(emissions, transitions, torch.zeros_like(start), end)


@viterbi.mistake(
    "the end added, and the path from before it",
    hint="You choose the last tag without `end`; it may be another one with it.",
)
def _(emissions, transitions, start, end):
    head = _traced(emissions, transitions, start, end, back=False)[:-1]
    return [*head, int((_walk(emissions, transitions, start, 0 * end)).argmax())]


@viterbi.mistake(
    "the best score, not the path",
    hint="Asked are the tags. Keep where each best way came from, and walk back.",
)
def _(emissions, transitions, start, end):
    return _walk(emissions, transitions, start, end, into=lambda t: t.amax(0)).amax().item()


@viterbi.mistake("tags counted from 1", hint="The first tag has the number 0.")
def _(emissions, transitions, start, end):
    return [tag + 1 for tag in _traced(emissions, transitions, start, end)]


@viterbi.mistake("the worst sequence", hint="Scores are better the larger they are: max, not min.")
def _(emissions, transitions, start, end):
    return _traced(-emissions, -transitions, -start, -end)


@viterbi.mistake(
    "one tag too few",
    hint="There are T − 1 pointers and T tags: the last tag itself belongs to the path.",
)
def _(emissions, transitions, start, end):
    return _traced(emissions, transitions, start, end)[:-1]


@viterbi.mistake(
    "each pointer asked at the last tag",
    hint="A pointer is asked at the tag *behind* it on the path, not always at the last one.",
)
def _(emissions, transitions, start, end):
    best, pointers = start + emissions[0], []
    for emission in emissions[1:]:
        longer, before = (best[:, None] + transitions).max(0)
        best = longer + emission
        pointers.append(before)
    last = int((best + end).argmax())
    return [*(int(before[last]) for before in pointers), last]


@viterbi.mistake(
    "greedy, from the right",
    hint="You fix each tag by looking at the one behind it and at nothing that came before. The "
    "scores of the best ways *to here* are missing.",
)
def _(emissions, transitions, start, end):
    path = [int((emissions[-1] + end).argmax())]
    for emission in emissions[:-1].flip(0):
        path.append(int((emission + transitions[:, path[-1]]).argmax()))
    return path[::-1]


@viterbi.mistake(
    "pointers from the transitions alone",
    hint="Where a best way came from depends on how good it was *there*: take the argmax of best + "
    "transitions, the same table as the max.",
)
def _(emissions, transitions, start, end):
    last = int(_walk(emissions, transitions, start, end, into=lambda t: t.amax(0)).argmax())
    path, before = [last], transitions.argmax(0)
    for _ in emissions[1:]:
        path.append(int(before[path[-1]]))
    return path[::-1]


@viterbi.mistake("the path and its score", hint="Return the list of tags alone, without its score.")
def _(emissions, transitions, start, end):
    best = _walk(emissions, transitions, start, end, into=lambda t: t.amax(0)).amax()
    return _traced(emissions, transitions, start, end), best


@viterbi.mistake(
    "back-pointers from the word before their own",
    hint="The last tag's pointer is the *last* one. You begin with the first, or with one too few.",
)
def _(emissions, transitions, start, end):
    best, pointers = start + emissions[0], []
    for emission in emissions[1:]:
        longer, before = (best[:, None] + transitions).max(0)
        best = longer + emission
        pointers.append(before)
    path = [int((best + end).argmax())]
    for before in pointers:
        path.append(int(before[path[-1]]))
    return path[::-1]


# 8. A louder head


def sentences() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Emissions of 100 sentences of 12 words and 5 tags, and a CRF's transitions, start and end."""
    dice = torch.Generator().manual_seed(12)
    emissions, transitions = (
        torch.randn(*shape, generator=dice) for shape in ((100, 12, 5), (5, 5))
    )
    start, end = torch.randn(2, 5, generator=dice)
    return emissions, 1.2 * transitions, start, end


def _changed(factor: float, *, words: bool = True) -> float:
    """The share of words, or of sentences, that Viterbi tags otherwise than the head alone."""
    emissions, transitions, start, end = sentences()
    louder = factor * emissions
    paths = torch.tensor(layer_of(transitions, start, end).best(louder))
    other = paths != louder.argmax(-1)
    return (other if words else other.any(1)).float().mean().item()


@value(CHAPTER, abs=0.006, read="8. Which way is best, and how sure is it?")
def share_changed() -> float:
    """The share of words that Viterbi tags otherwise, at factor 3."""
    return _changed(3.0)


for _factor in (0.25, 0.5, 1.0, 2.0, 4.0):
    share_changed.mistake(
        f"the share at factor {_factor:g}",
        hint=f"You measured well, at factor {_factor:g}. Hand in what comes out at factor 3.",
    )(lambda factor=_factor: _changed(factor))


@share_changed.mistake(
    "the share at a third",
    hint="Louder means *multiplied*: 3 times the emissions. You divided by 3.",
)
def _():
    return _changed(1 / 3)


@share_changed.mistake(
    "the share that stays", hint="Asked is how many words get *another* tag from Viterbi."
)
def _():
    return 1 - _changed(3.0)


@share_changed.mistake(
    "sentences, not words", hint="You counted sentences in which anything changed. Count words."
)
def _():
    return _changed(3.0, words=False)


@share_changed.mistake(
    "how many words, not which share", hint="Divide by the number of all words, 1200."
)
def _():
    return 1200 * _changed(3.0)


@share_changed.mistake(
    "words a sentence, not a share", hint="Divide by the number of words in a sentence, too."
)
def _():
    return 12 * _changed(3.0)


why_it_changes = choice(
    CHAPTER,
    "why_it_changes",
    right=(
        "b",
        "A path's score is a sum of both. Multiply one kind by 3, and the other has a third of its "
        "say.",
    ),
    wrong={
        "a": "Scores of this size are added exactly enough: float32 has seven digits.",
        "c": "You compared two ways of choosing from the same emissions. Nobody knows the right "
        "tags here, and being loud makes nobody right.",
        "d": "Then the share would be the same at every factor. Look at your figures.",
    },
    read="8. Which way is best, and how sure is it?",
)
