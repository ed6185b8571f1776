"""The exercises on generation: samplers and beams.

Not here: a cache, a constraint, the length of a draft (`decoding.py`), accepting a draft
(`drafting.py`), the exercises' texts (`solutions/`), and how checking works (`harness.py`). Chapter
15 teaches this.
"""

import math
from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from llmcourse.checks.answers import choice
from llmcourse.checks.harness import Case, case, exercise
from llmcourse.generate import sampling

CHAPTER = "15"
FILTERS = "3. Which tokens should have no chance at all?"
SEARCH = "5. Is the likeliest text the best one?"

# 1. Draw a token


@exercise(CHAPTER, strict=False, read="2. What does a temperature do?")
def draw_token(logits: Float[Tensor, " V"], temperature: float, u: float) -> int:
    """The first token whose cumulated probability at a temperature exceeds `u`."""
    p = (logits.double() / temperature).softmax(-1)
    return int((p.cumsum(0) > u).nonzero()[0])


@draw_token.cases
def _() -> Iterator[Case]:
    three = torch.tensor([0.5, 0.3, 0.2]).log()
    for u in (0.1, 0.45, 0.6, 0.75, 0.95):
        yield case(f"by hand, u = {u}", three, 1.0, u)
    odds = torch.tensor([9.0, 1.0, 1.0]).log()
    for u in (0.55, 0.7, 0.85):
        yield case(f"hot, u = {u}", odds, 2.0, u)
        yield case(f"cold, u = {u}", odds, 0.5, u)
    yield case("cold, and not the likeliest", odds, 0.5, 0.98)
    yield case("large logits", torch.tensor([1000.0, 1001.0, 999.0]), 1.0, 0.5)
    yield case("large logits, the first", torch.tensor([1000.0, 1001.0, 1002.0]), 1.0, 0.2)
    yield case("the tail", torch.tensor([0.6, 0.35, 0.05]).log(), 1.0, 0.97)
    yield case("before the likeliest", torch.tensor([0.3, 0.6, 0.1]).log(), 1.0, 0.1)
    yield case("three alike", torch.zeros(3), 1.0, 0.665)
    yield case("a rare token", torch.tensor([4e-5, 0.99992, 4e-5]).log(), 1.0, 2e-5)
    yield case("the likeliest in the middle", torch.tensor([0.3, 0.5, 0.2]).log(), 1.0, 0.6)
    yield case("u = 0", three, 1.0, 0.0)
    yield case("a sum that is u exactly", torch.zeros(4), 1.0, 0.5)
    for u in (0.27, 0.89):
        yield case(f"logits between numbers, u = {u}", torch.tensor([0.5, 1.5, -0.7]), 1.5, u)


def _inverse(p: Tensor, u: float) -> int:
    found = (p.cumsum(0) > u).nonzero()
    return int(found[0]) if len(found) else len(p) - 1


@draw_token.mistake(
    "multiplied by the temperature", hint="A temperature *divides* the logits: above 1 is flatter."
)
def _(logits, temperature, u):
    return _inverse((logits * temperature).softmax(-1), u)


@draw_token.mistake(
    "the temperature forgotten", hint="Divide the logits by the temperature before the softmax."
)
def _(logits, temperature, u):
    return _inverse(logits.softmax(-1), u)


@draw_token.mistake(
    "probabilities divided by the temperature",
    hint="Divide the *logits*; divided probabilities no longer sum to one.",
)
def _(logits, temperature, u):
    return _inverse(logits.softmax(-1) / temperature, u)


@draw_token.mistake("the likeliest token", hint="That is greedy. Here `u` decides.")
def _(logits, temperature, u):
    return int(logits.argmax())


@draw_token.mistake("one too far", hint="Count from 0: the *first* token whose sum exceeds `u`.")
def _(logits, temperature, u):
    return min(_inverse((logits / temperature).softmax(-1), u) + 1, len(logits) - 1)


@draw_token.mistake(
    "the first token likelier than u", hint="Add the probabilities up before you compare with `u`."
)
def _(logits, temperature, u):
    found = ((logits / temperature).softmax(-1) > u).nonzero()
    return int(found[0]) if len(found) else len(logits) - 1


def _chances(logits, temperature):
    return (logits / temperature).softmax(-1)


@draw_token.mistake(
    "the exponential as it stands",
    hint="The exponential of 1000 is infinite. `softmax` takes care of large logits.",
)
def _(logits, temperature, u):
    p = (logits / temperature).exp()
    return _inverse(p / p.sum(), u)


@draw_token.mistake("the likeliest first", hint="Add up from token 0 on: no sorting.")
def _(logits, temperature, u):
    p, order = _chances(logits, temperature).sort(descending=True)
    return int(order[_inverse(p, u)])


@draw_token.mistake(
    "the rank", hint="You sorted. What you return is a rank, and no token: add up from token 0 on."
)
def _(logits, temperature, u):
    return _inverse(_chances(logits, temperature).sort(descending=True).values, u)


@draw_token.mistake(
    "from the last token on", hint="Add up from token 0 on, until the sum is larger than `u`."
)
def _(logits, temperature, u):
    p = _chances(logits, temperature)
    return len(p) - 1 - _inverse(p.flip(0), u)


@draw_token.mistake("1 - u in place of u", hint="Compare the sums with `u` itself.")
def _(logits, temperature, u):
    return _inverse(_chances(logits, temperature), 1 - u)


@draw_token.mistake("logits added up", hint="Make probabilities of the logits first: a softmax.")
def _(logits, temperature, u):
    return _inverse(logits / temperature, u)


@draw_token.mistake(
    "one too early", hint="The token is the one at which the sum *exceeds* `u`, not the one before."
)
def _(logits, temperature, u):
    return max(_inverse(_chances(logits, temperature), u) - 1, 0)


@draw_token.mistake(
    "all tokens whose sum is larger", hint="Return the first of them alone, as an int."
)
def _(logits, temperature, u):
    return (_chances(logits, temperature).cumsum(0) > u).nonzero()


@draw_token.mistake(
    "the last token whose sum is larger",
    hint="You want the *first* whose sum is larger: the last sum is always 1.",
)
def _(logits, temperature, u):
    return len(logits) - 1


@draw_token.mistake("the sum", hint="Return the token's number, not the sum that it reaches.")
def _(logits, temperature, u):
    p = _chances(logits, temperature)
    return float(p.cumsum(0)[_inverse(p, u)])


@draw_token.mistake("the probability", hint="Return the token's number, not its probability.")
def _(logits, temperature, u):
    p = _chances(logits, temperature)
    return float(p[_inverse(p, u)])


@draw_token.mistake(
    "the probability nearest to u", hint="Add the probabilities up. No nearness is wanted."
)
def _(logits, temperature, u):
    return int((_chances(logits, temperature) - u).abs().argmin())


@draw_token.mistake(
    "the sum nearest to u", hint="Not the nearest sum: the first that is larger than `u`."
)
def _(logits, temperature, u):
    return int((_chances(logits, temperature).cumsum(0) - u).abs().argmin())


@draw_token.mistake(
    "every token as likely", hint="`u * V` gives each token the same chance: use the probabilities."
)
def _(logits, temperature, u):
    return int(u * len(logits))


@draw_token.mistake("sigmoids", hint="A softmax makes probabilities of logits, a sigmoid does not.")
def _(logits, temperature, u):
    p = (logits / temperature).sigmoid()
    return _inverse(p / p.sum(), u)


@draw_token.mistake(
    "logits divided by their sum", hint="A softmax makes probabilities: logits may be below 0."
)
def _(logits, temperature, u):
    return _inverse(logits / logits.sum(), u)


@draw_token.mistake(
    "not divided by the sum", hint="Probabilities sum to one: divide the exponentials by their sum."
)
def _(logits, temperature, u):
    return _inverse((logits / temperature - (logits / temperature).max()).exp(), u)


@draw_token.mistake(
    "added up twice", hint="`cumsum` once: the sums are compared with `u` as they are."
)
def _(logits, temperature, u):
    return _inverse(_chances(logits, temperature).cumsum(0), u)


@draw_token.mistake("drawn anew", hint="Chance is in `u` already: draw nothing yourself.")
def _(logits, temperature, u):
    return int(torch.multinomial(_chances(logits, temperature), 1))


# 2. Top-p


def _any_tie(answer: Callable[..., Tensor], logits: Tensor, p: float) -> Tensor:
    """Of equally likely tokens any may stay, or all: then the kept ones are compared by number."""
    found = answer(logits, p)
    if len(logits.unique()) > 1 or not isinstance(found, Tensor) or found.shape != logits.shape:
        return found
    found = found.sort().values
    return _cut(logits, p).sort().values if found.isfinite().all() else found


@exercise(CHAPTER, variants=("float64",), call=_any_tie, read=FILTERS)
def top_p(logits: Float[Tensor, " V"], p: float) -> Float[Tensor, " V"]:
    """Keep the smallest set of likeliest tokens that has at least probability `p`."""
    return sampling.top_p(logits, p)


@top_p.cases
def _() -> Iterator[Case]:
    yield case("by hand", torch.tensor([0.5, 0.22, 0.18, 0.1]).log(), 0.8)
    yield case("in another order", torch.tensor([0.1, 0.5, 0.18, 0.22]).log(), 0.6)
    yield case("one is enough", torch.tensor([0.05, 0.9, 0.05]).log(), 0.5)
    yield case("nearly all", torch.tensor([0.3, 0.25, 0.24, 0.21]).log(), 0.95)
    yield case("logits that are no logarithms", torch.tensor([3.0, 1.0, 2.5, -1.0, 0.0]), 0.7)
    yield case("a small p", torch.tensor([0.2, 0.35, 0.45]).log(), 0.01)
    yield case("large logits", torch.tensor([1000.0, 1001.0, 999.0, 990.0]), 0.7)
    yield case("exactly p, all equally likely", torch.zeros(4), 0.5)
    yield case("three nearly as likely", torch.tensor([0.45, 0.3, 0.25]).log(), 0.5)
    yield case("three of six", torch.tensor([0.05, 0.26, 0.09, 0.16, 0.24, 0.2]).log(), 0.66)


def _cut(logits: Tensor, p: float, *, inclusive: bool = False, rank: bool = False) -> Tensor:
    """Top-p with one of its lines changed."""
    ordered, order = logits.softmax(-1).sort(descending=True)
    sums = ordered.cumsum(0)
    drop = sums > p if inclusive else sums - ordered >= p
    where = drop if rank else torch.zeros_like(drop).scatter(0, order, drop)
    return logits.masked_fill(where, -torch.inf)


@top_p.mistake(
    "the token that reaches p is cut",
    hint="The set must *have* probability p: the token that crosses it stays. Look at the sum "
    "before each token.",
)
def _(logits, p):
    return _cut(logits, p, inclusive=True)


@top_p.mistake(
    "not put back in order", hint="Your decision is in the sorted order: scatter it back."
)
def _(logits, p):
    return _cut(logits, p, rank=True)


@top_p.mistake("tokens below p", hint="p is the probability of the *set*, not of each token.")
def _(logits, p):
    return logits.masked_fill(logits.softmax(-1) < p, -torch.inf)


@top_p.mistake("zeros in place of minus infinity", hint="A logit of 0 is a chance like any other.")
def _(logits, p):
    return _cut(logits, p).nan_to_num(neginf=0.0)


@top_p.mistake("probabilities are returned", hint="Return the logits of what stays, unchanged.")
def _(logits, p):
    return _cut(logits, p).softmax(-1)


@top_p.mistake("min-p", hint="You compare with the likeliest token: that is min-p.")
def _(logits, p):
    return sampling.min_p(logits, p)


def _kept(logits, p, drop, descending=True):
    """Logits, without those that `drop` says, of the sorted probabilities and their sums before."""
    ordered, order = logits.softmax(-1).sort(descending=descending)
    cut = drop(ordered, ordered.cumsum(0) - ordered)
    return logits.masked_fill(torch.zeros_like(cut).scatter(0, order, cut), -torch.inf)


@top_p.mistake(
    "more than p", hint="A set that has *exactly* p is enough: what comes after it is cut."
)
def _(logits, p):
    return _kept(logits, p, lambda one, before: before > p)


@top_p.mistake(
    "the crossing token is cut, but the first stays",
    hint="The set must *have* p: the token that crosses it stays, too, not the first alone.",
)
def _(logits, p):
    def drop(one, before):
        return (before + one > p) & (before > 0)

    return _kept(logits, p, drop)


@top_p.mistake(
    "the unlikeliest are kept", hint="Sort with `descending=True`: the likeliest come first."
)
def _(logits, p):
    return _kept(logits, p, lambda one, before: before >= p, descending=False)


@top_p.mistake(
    "in the order of the vocabulary", hint="Sort first: the set has the *likeliest* tokens."
)
def _(logits, p):
    before = logits.softmax(-1).cumsum(0) - logits.softmax(-1)
    return logits.masked_fill(before >= p, -torch.inf)


@top_p.mistake("still sorted", hint="Put the logits back into their old order.")
def _(logits, p):
    return _cut(logits, p).sort(descending=True).values


@top_p.mistake("the kept ones alone", hint="Return all V logits: what is cut gets minus infinity.")
def _(logits, p):
    return logits[_cut(logits, p) > -torch.inf]


@top_p.mistake(
    "a large negative number", hint="Minus infinity is wanted: `float('-inf')`, or `-torch.inf`."
)
def _(logits, p):
    return _cut(logits, p).clamp(min=-1e9)


@top_p.mistake(
    "the kept ones are cut", hint="What stays is the set of the likeliest. You cut these."
)
def _(logits, p):
    return _kept(logits, p, lambda one, before: before < p)


@top_p.mistake(
    "log-probabilities are returned", hint="What stays is unchanged: the logits that came in."
)
def _(logits, p):
    return _cut(logits, p).log_softmax(-1)


@top_p.mistake("a mask", hint="Return the logits, with minus infinity where a token is cut.")
def _(logits, p):
    return _cut(logits, p) > -torch.inf


@top_p.mistake(
    "a share of the tokens", hint="p is a probability, not a share of the V tokens: add up."
)
def _(logits, p):
    k = max(1, round(p * len(logits)))
    return logits.masked_fill(logits < logits.topk(k).values[-1], -torch.inf)


@top_p.mistake(
    "tokens below 1 - p",
    hint="p is the probability of the set. No single token is compared with it.",
)
def _(logits, p):
    return logits.masked_fill(logits.softmax(-1) < 1 - p, -torch.inf)


@top_p.mistake(
    "1 - p in place of p", hint="The set has probability p, and what is cut has the rest."
)
def _(logits, p):
    return _kept(logits, p, lambda one, before: (before >= 1 - p) & (before > 0))


@top_p.mistake(
    "the order taken for its inverse",
    hint="`order[n]` is the token at rank n. So write to `order`, and do not read by it.",
)
def _(logits, p):
    ordered, order = logits.softmax(-1).sort(descending=True)
    return logits.masked_fill((ordered.cumsum(0) - ordered >= p)[order], -torch.inf)


@top_p.mistake("logits added up", hint="Add up *probabilities*: the softmax of the logits.")
def _(logits, p):
    ordered, order = logits.sort(descending=True)
    cut = ordered.cumsum(0) - ordered >= p
    return logits.masked_fill(torch.zeros_like(cut).scatter(0, order, cut), -torch.inf)


@top_p.mistake(
    "the exponential as it stands",
    hint="The exponential of 1000 is infinite. `softmax` takes care of large logits.",
)
def _(logits, p):
    e = logits.exp() / logits.exp().sum()
    ordered, order = e.sort(descending=True)
    cut = ordered.cumsum(0) - ordered >= p
    return logits.masked_fill(torch.zeros_like(cut).scatter(0, order, cut), -torch.inf)


@top_p.mistake(
    "infinity without its minus", hint="An infinite logit is certain. Minus infinity is impossible."
)
def _(logits, p):
    return _cut(logits, p).nan_to_num(neginf=float("inf"), posinf=float("inf"))


@top_p.mistake(
    "NaN in place of minus infinity",
    hint="NaN is no number, and no softmax takes it: minus infinity.",
)
def _(logits, p):
    return _cut(logits, p).nan_to_num(neginf=float("nan"))


# 3. Find the bug

penalty_bug = choice(
    CHAPTER,
    "penalty_bug",
    right=(
        "c",
        "A negative logit divided by 1.3 comes nearer to 0: the token becomes likelier. Negative "
        "ones are multiplied.",
    ),
    wrong={
        "a": "The tokens of the text are looked up once each. That is right.",
        "b": "That reads the logits of those tokens, and nothing is changed yet.",
        "d": "That writes the new logits where the old ones were.",
    },
    read="4. How do you stop a loop?",
)

# 4. Beam search

Scores = Callable[[list[int]], Float[Tensor, " V"]]
"""Stands for a model: from the tokens so far to the log-probability of each next one."""

END = 3
"""The token that ends a text in most cases."""


def _table(rows: list[list[float]]) -> Scores:
    logs = torch.tensor(rows, dtype=torch.float64).log()
    return lambda ids: logs[ids[-1]]


def _far_back(ids: list[int]) -> Tensor:
    """Looks at the whole text."""
    at = torch.arange(4, dtype=torch.float64)
    return (2 * torch.sin(3 * at + sum((n + 1) * i for n, i in enumerate(ids)))).log_softmax(0)


def _by_two(rows: dict[tuple[int, ...], list[float]]) -> Scores:
    """Looks at the last two tokens; where they have no row, four tokens are nearly as likely."""
    other = [0.31, 0.27, 0.22, 0.2]
    return lambda ids: torch.tensor(rows.get(tuple(ids[-2:]), other), dtype=torch.float64).log()


@exercise(CHAPTER, strict=False, read=SEARCH)
def beam_search(
    scores: Scores, ids: list[int], n_beams: int, n: int, end: int, alpha: float
) -> list[int]:
    """`ids` and the best of at most `n` further tokens that `n_beams` beams find."""
    return _beams(scores, ids, n_beams, n, end, alpha)


def _beams(scores, ids, n_beams, n, end, alpha, **changed):
    """Beam search with one of its parts changed."""
    adds = changed.get("adds", lambda total, s: total + s)
    keep = changed.get("keep", lambda new, done: sorted(new, key=_sum, reverse=True)[:n_beams])
    worth = changed.get("worth", lambda total, m: total / max(m, 1) ** alpha)
    lost, best = changed.get("lost", ""), changed.get("best", max)
    beams, done = [(changed.get("begin", 0.0), list(ids))], []
    for _ in range(n):
        new = [
            (adds(total, s), [*text, v])
            for total, text in beams
            for v, s in enumerate(scores(text).tolist())
        ]
        new = keep(new, done)
        done += [one for one in new if one[1][-1] == end and lost != "all ends"]
        beams = new if "ends" in lost else [one for one in new if one[1][-1] != end]
        if not beams or (lost == "patience" and done):
            break
    done += [] if lost == "unfinished" and done else beams
    return best(done, key=lambda one: worth(one[0], len(one[1]) - len(ids)))[1]


def _sum(beam):
    return beam[0]


def _each_by_itself(new, done):
    """The best continuation of each text, if there is more than one text."""
    texts = {tuple(text[:-1]) for _, text in new}
    if len(texts) == 1:
        return new
    return [max((b for b in new if tuple(b[1][:-1]) == t), key=_sum) for t in sorted(texts)]


@beam_search.cases
def _() -> Iterator[Case]:
    trap = [
        [0.1, 0.48, 0.4, 0.02],
        [0.3, 0.28, 0.4, 0.02],
        [0.03, 0.04, 0.03, 0.9],
        [0.1, 0.2, 0.3, 0.4],
    ]
    yield case("by hand", _table(trap), [0], 2, 2, END, 0.0)
    yield case("one beam is greedy", _table(trap), [0], 1, 2, END, 0.0)
    early = [[0.06, 0.45, 0.1, 0.39], [0.25, 0.05, 0.6, 0.1], [0.2, 0.5, 0.08, 0.22], [0.25] * 4]
    for alpha in (0.0, 0.5, 1.0, 2.0):
        yield case(f"a short text, alpha = {alpha}", _table(early), [0], 2, 4, END, alpha)
    yield case("a long prompt, alpha = 1", _table(early), [2, 1, 2, 0], 2, 4, END, 1.0)
    sure = [[0.03, 0.8, 0.04, 0.13], [0.03, 0.03, 0.9, 0.04], [0.02, 0.04, 0.04, 0.9], [0.25] * 4]
    yield case("a long text is likelier", _table(sure), [0], 2, 4, END, 2.0)
    for width in (1, 2, 3, 5):
        yield case(f"the whole text counts, {width} beams", _far_back, [1, 3], width, 5, END, 0.7)
        yield case(f"another text, {width} beams", _far_back, [2, 0, 1], width, 6, 2, 1.0)
    yield case("a place of one that has ended", _far_back, [1, 3], 2, 3, 0, 1.5)
    yield case("three, and an end", _far_back, [2, 2, 1, 0], 3, 5, 1, 0.5)
    yield case("lengths matter", _far_back, [2, 0, 1], 2, 4, 2, 1.5)
    yield case("lengths matter less", _far_back, [2, 0, 1], 2, 3, 1, 1.0)
    yield case("lengths by their root", _far_back, [1, 3], 2, 4, 2, 0.5)
    yield case("lengths matter, five beams", _far_back, [2, 2, 1, 0], 5, 6, 1, 0.7)
    yield case("lengths matter by their square", _far_back, [2, 0, 1], 2, 4, 2, 2.0)
    yield case("all are as short", _far_back, [1, 3], 3, 3, 3, 0.5)
    yield case("no text ends", _far_back, [2, 0], 2, 5, 9, 1.0)
    yield case("the end is likely", _table([[0.05, 0.1, 0.05, 0.8]] * 4), [1], 3, 6, END, 1.0)
    yield case("more beams than texts", _far_back, [2], 50, 2, END, 1.0)
    near = {
        (0,): [0.05, 0.5, 0.4, 0.05],
        (0, 1): [0.05, 0.55, 0.35, 0.05],
        (0, 2): [0.02, 0.6, 0.35, 0.03],
        (2, 1): [0.01, 0.01, 0.97, 0.01],
    }
    yield case("two beams meet at a token", _by_two(near), [0], 2, 3, END, 0.0)
    far = near | {
        (0, 1): [0.1, 0.6, 0.2, 0.1],
        (0, 2): [0.05, 0.8, 0.1, 0.05],
        (1, 1): [0.01, 0.01, 0.97, 0.01],
        (2, 1): [0.31, 0.27, 0.22, 0.2],
    }
    yield case("two beams meet, the others are far behind", _by_two(far), [0], 2, 3, END, 0.0)
    third = [[0.3, 0.5, 0.15, 0.05], [0.02, 0.35, 0.33, 0.3], near[0,], near[0,]]
    yield case("the end is third", _table(third), [0], 1, 4, END, 0.0)
    yield case("nothing to write", _far_back, [2, 1], 3, 0, END, 1.0)


@beam_search.mistake("greedy", hint="Keep `n_beams` texts after each step, not one.")
def _(scores, ids, n_beams, n, end, alpha):
    return _beams(scores, ids, 1, n, end, alpha)


@beam_search.mistake(
    "the last token alone is compared",
    hint="Beams compare the *sum* of log-probabilities over all their tokens.",
)
def _(scores, ids, n_beams, n, end, alpha):
    return _beams(scores, ids, n_beams, n, end, alpha, adds=lambda total, s: s)


@beam_search.mistake(
    "each beam by itself",
    hint="The beams compete: take the best of *all* continuations, even if one beam has them all.",
)
def _(scores, ids, n_beams, n, end, alpha):
    def keep(new, done):
        kept = _each_by_itself(new, done)
        return sorted(kept, key=_sum, reverse=True)[:n_beams]

    return _beams(scores, ids, n_beams, n, end, alpha, keep=keep)


@beam_search.mistake(
    "finished texts take no place",
    hint="Keep the `n_beams` largest of *all* continuations. Those of them that end are put "
    "aside, and nobody moves up into their places.",
)
def _(scores, ids, n_beams, n, end, alpha):
    def keep(new, done):
        ranked = sorted(new, key=_sum, reverse=True)
        ended = [one for one in ranked[:n_beams] if one[1][-1] == end]
        return ended + [one for one in ranked if one[1][-1] != end][:n_beams]

    return _beams(scores, ids, n_beams, n, end, alpha, keep=keep)


@beam_search.mistake(
    "the end is no token",
    hint="`end` is one of the new tokens: it counts in the number m that the sum is divided by.",
)
def _(scores, ids, n_beams, n, end, alpha):
    def best(done, key):
        def worth(one):
            m = len(one[1]) - len(ids)
            return one[0] / max(m - (m > 0 and one[1][-1] == end), 1) ** alpha

        return max(done, key=worth)

    return _beams(scores, ids, n_beams, n, end, alpha, best=best)


@beam_search.mistake(
    "finished texts forgotten while others run",
    hint="The best of *all* finished texts counts, those that were put aside long ago, too.",
)
def _(scores, ids, n_beams, n, end, alpha):
    def best(done, key):
        running = [one for one in done if one[1][-1] != end or len(one[1]) == len(ids)]
        return max(running or done, key=key)

    return _beams(scores, ids, n_beams, n, end, alpha, best=best)


@beam_search.mistake("the prompt left out", hint="Return the whole text, `ids` at its beginning.")
def _(scores, ids, n_beams, n, end, alpha):
    return _beams(scores, ids, n_beams, n, end, alpha)[len(ids) :]


@beam_search.mistake(
    "the model sees the last token alone", hint="Hand the model the whole text of each beam."
)
def _(scores, ids, n_beams, n, end, alpha):
    return _beams(lambda text: scores(text[-1:]), ids, n_beams, n, end, alpha)


@beam_search.mistake(
    "no length penalty", hint="Divide each sum by the number of new tokens to the power of alpha."
)
def _(scores, ids, n_beams, n, end, alpha):
    return _beams(scores, ids, n_beams, n, end, 0.0)


@beam_search.mistake(
    "the mean whatever alpha is", hint="Divide by the length *to the power of alpha*."
)
def _(scores, ids, n_beams, n, end, alpha):
    return _beams(scores, ids, n_beams, n, end, 1.0)


@beam_search.mistake(
    "the prompt's tokens counted",
    hint="The length is the number of *new* tokens: without the prompt, and not one more.",
)
def _(scores, ids, n_beams, n, end, alpha):
    def worth(total, m):
        return total / (m + len(ids)) ** alpha

    return _beams(scores, ids, n_beams, n, end, alpha, worth=worth)


@beam_search.mistake(
    "multiplied by the length",
    hint="A sum of logarithms is below 0: *divided*, a long text comes nearer to 0. Multiplying "
    "favours short texts, and so does subtracting for each token, or dividing probabilities.",
)
def _(scores, ids, n_beams, n, end, alpha):
    def worth(total, m):
        return total * max(m, 1) ** alpha

    return _beams(scores, ids, n_beams, n, end, alpha, worth=worth)


@beam_search.mistake(
    "finished texts go on", hint="A text that ends with `end` is finished: put it aside."
)
def _(scores, ids, n_beams, n, end, alpha):
    return _beams(scores, ids, n_beams, n, end, alpha, lost="ends")


@beam_search.mistake(
    "stopped at the first finished text", hint="A better one may end later: go on with the beams."
)
def _(scores, ids, n_beams, n, end, alpha):
    return _beams(scores, ids, n_beams, n, end, alpha, lost="patience")


@beam_search.mistake(
    "unfinished texts lost", hint="After `n` tokens the beams that are left take part, too."
)
def _(scores, ids, n_beams, n, end, alpha):
    return _beams(scores, ids, n_beams, n, end, alpha, lost="unfinished")


@beam_search.mistake(
    "fewer beams after an end", hint="All `n_beams` places stay, however many texts have ended."
)
def _(scores, ids, n_beams, n, end, alpha):
    def keep(new, done):
        return sorted(new, key=_sum, reverse=True)[: n_beams - len(done)]

    return _beams(scores, ids, n_beams, n, end, alpha, keep=keep)


@beam_search.mistake(
    "too many beams",
    hint="Keep `n_beams` of all the sums, and no more.",
)
def _(scores, ids, n_beams, n, end, alpha):
    return _beams(scores, ids, n_beams + 1, n, end, alpha)


@beam_search.mistake("the smallest sums", hint="Keep the *largest* sums: sort with `reverse=True`.")
def _(scores, ids, n_beams, n, end, alpha):
    def keep(new, done):
        return sorted(new, key=_sum)[:n_beams]

    return _beams(scores, ids, n_beams, n, end, alpha, keep=keep)


@beam_search.mistake(
    "not sorted", hint="Sort the continuations by their sums before you cut them off."
)
def _(scores, ids, n_beams, n, end, alpha):
    return _beams(scores, ids, n_beams, n, end, alpha, keep=lambda new, done: new[:n_beams])


@beam_search.mistake("one step too many", hint="At most `n` steps, so at most `n` new tokens.")
def _(scores, ids, n_beams, n, end, alpha):
    return _beams(scores, ids, n_beams, n + 1, end, alpha)


@beam_search.mistake("one step too few", hint="`n` steps: up to `n` new tokens.")
def _(scores, ids, n_beams, n, end, alpha):
    return _beams(scores, ids, n_beams, max(n - 1, 0), end, alpha)


@beam_search.mistake("the worst text", hint="Return the finished text with the *largest* quotient.")
def _(scores, ids, n_beams, n, end, alpha):
    return _beams(scores, ids, n_beams, n, end, alpha, best=min)


@beam_search.mistake(
    "logarithms multiplied",
    hint="Logarithms are *added*: a product of probabilities is the sum of their logarithms.",
)
def _(scores, ids, n_beams, n, end, alpha):
    return _beams(scores, ids, n_beams, n, end, alpha, begin=1.0, adds=lambda total, s: total * s)


@beam_search.mistake(
    "probabilities added up", hint="Add the logarithms as they come: no exponential."
)
def _(scores, ids, n_beams, n, end, alpha):
    return _beams(scores, ids, n_beams, n, end, alpha, adds=lambda total, s: total + math.exp(s))


@beam_search.mistake(
    "another length penalty",
    hint="The length itself, to the power of alpha: no root, and no (5 + m) / 6.",
)
def _(scores, ids, n_beams, n, end, alpha):
    def worth(total, m):
        return total / max(m, 1) ** 0.5 if alpha else total

    return _beams(scores, ids, n_beams, n, end, alpha, worth=worth)


@beam_search.mistake(
    "divided by alpha times the length", hint="Length *to the power of* alpha: `**`, not `*`."
)
def _(scores, ids, n_beams, n, end, alpha):
    def worth(total, m):
        return total / (max(m, 1) * alpha) if alpha else total

    return _beams(scores, ids, n_beams, n, end, alpha, worth=worth)


@beam_search.mistake(
    "alpha added for each token",
    hint="A reward for each token is another way. Here the sum is divided.",
)
def _(scores, ids, n_beams, n, end, alpha):
    def worth(total, m):
        return total + alpha * m

    return _beams(scores, ids, n_beams, n, end, alpha, worth=worth)


@beam_search.mistake("one token too few in the length", hint="The end counts as a token, too.")
def _(scores, ids, n_beams, n, end, alpha):
    def worth(total, m):
        return total / max(m - 1, 1) ** alpha

    return _beams(scores, ids, n_beams, n, end, alpha, worth=worth)


@beam_search.mistake(
    "the end is like any token",
    hint="A text that ends with `end` is finished: put it aside, and do not go on with it.",
)
def _(scores, ids, n_beams, n, end, alpha):
    return _beams(scores, ids, n_beams, n, end, alpha, lost="all ends")


@beam_search.mistake(
    "the end is cut off", hint="The text is returned whole, with `end` if it has one."
)
def _(scores, ids, n_beams, n, end, alpha):
    text = _beams(scores, ids, n_beams, n, end, alpha)
    return text[:-1] if len(text) > len(ids) and text[-1] == end else text


@beam_search.mistake(
    "nothing if the prompt has an end",
    hint="Only *new* tokens end a text: the prompt may have any.",
)
def _(scores, ids, n_beams, n, end, alpha):
    return list(ids) if end in ids else _beams(scores, ids, n_beams, n, end, alpha)


@beam_search.mistake(
    "0 divided by 0", hint="With `n = 0` no token is new: return `ids` as they are."
)
def _(scores, ids, n_beams, n, end, alpha):
    def worth(total, m):
        return total / m**alpha

    return _beams(scores, ids, n_beams, n, end, alpha, worth=worth)


@beam_search.mistake("with its sum", hint="Return the text alone.")
def _(scores, ids, n_beams, n, end, alpha):
    return _beams(scores, ids, n_beams, n, end, alpha), 0.0


@beam_search.mistake(
    "the model sees the last two tokens",
    hint="Two tokens are not the whole text: hand the model all of it.",
)
def _(scores, ids, n_beams, n, end, alpha):
    return _beams(lambda text: scores(text[-2:]), ids, n_beams, n, end, alpha)
