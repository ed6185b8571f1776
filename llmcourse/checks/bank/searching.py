"""The exercise on searching settings: many short runs, and longer ones for the better half.

Not here: the exercises on the training loop itself (`loop.py`), the exercises' texts
(`solutions/`), and how checking works (`harness.py`). Chapter 08 teaches this.
"""

from collections.abc import Callable, Iterator

from llmcourse.checks.harness import Case, case, exercise
from llmcourse.labs.search import successive_halving, total_steps

CHAPTER = "08"
# 7. Successive halving


Score = Callable[[int, int], float]
"""From a candidate's number and how many steps it has had to its score; lower is better."""


@exercise(CHAPTER, read="9. Which settings?")
def halving(score: Score, n: int, first: int, eta: int) -> tuple[int, int]:
    """The winner's number, and how many steps all candidates took together."""
    had = [0] * n

    def candidate(number: int) -> Callable[[int], float]:
        def train(steps: int) -> float:
            had[number] += steps
            return score(number, had[number])

        return train

    rungs = successive_halving([candidate(i) for i in range(n)], first=first, eta=eta)
    return rungs[-1].kept[0], total_steps(rungs)


@halving.cases
def _() -> Iterator[Case]:
    yield case("by hand", lambda c, steps: [3.0, 1.0, 2.0, 4.0][c], 4, 10, 2)
    yield case("nine candidates", lambda c, steps: (5 * c + 2) % 9 - steps / 100, 9, 4, 3)
    yield case("a late bloomer", lambda c, steps: [4.2 - steps / 20, 3, 4, 6][c], 4, 20, 2)
    yield case("five, halved", lambda c, steps: abs(c - 3) + 1 / steps, 5, 8, 2)
    yield case("three, halved: one is left for the last round", lambda c, steps: float(c), 3, 4, 2)
    yield case("two, by thirds", lambda c, steps: float(c), 2, 6, 3)
    yield case("a single one", lambda c, steps: 1.0, 1, 5, 2)
    yield case("the lead changes twice", _changing, 9, 4, 3)
    yield case("one that gets worse", _worse, 4, 10, 2)
    yield case("seven, by thirds", lambda c, steps: (3 * c) % 7 + 1 / steps, 7, 2, 3)
    yield case("sixteen", lambda c, steps: (5 * c + 3) % 16 - steps / 50, 16, 1, 2)
    yield case("as many as eta", lambda c, steps: 3.0 - c, 3, 7, 3)
    yield case("out, and best later on", lambda c, steps: [2, 1, 3, 9 - steps / 2][c], 4, 10, 2)
    yield case("the order turns twice", lambda c, steps: c * (-1.5 if steps == 2 else 1.0), 8, 1, 2)
    yield case("five, by fourths", lambda c, steps: (2 * c + 3) % 5 + 1 / steps, 5, 2, 4)


def _changing(candidate: int, steps: int) -> float:
    """Candidate 4 leads after 4 steps, 5 after 8 steps, 6 after 12."""
    early, late = {4: (1.0, 1.0), 5: (2.0, 0.5), 6: (3.0, 0.2)}.get(candidate, (9.0, 9.0))
    if candidate == 6:
        return late + 0.01 * steps if steps >= 10 else early
    return late if 6 <= steps < 10 or candidate == 4 else early


def _worse(candidate: int, steps: int) -> float:
    """Candidate 2 is the best after 10 steps, and the worst after 20."""
    return 1.0 + steps / 5 - 2 if candidate == 2 else 2.0 + candidate / 10


def _halve(score, n, first, eta, *, best=min, keep_one_more=False, anew=False, grow=None):
    """The loop, with parts of it changed."""
    alive, steps, had, total = list(range(n)), first, 0, 0
    while True:
        total += len(alive) * (steps if anew else steps - had)
        order = sorted(alive, key=lambda c: score(c, steps), reverse=best is max)
        done = len(alive) <= eta
        alive = order[: max(1, len(order) // eta + keep_one_more)]
        if done:
            return order[0], total
        had, steps = steps, steps * (grow or eta)


@halving.mistake(
    "keeps the worst",
    hint="A score is a loss: the lower ones go on.",
)
def _(score, n, first, eta):
    return _halve(score, n, first, eta, best=max)


@halving.mistake(
    "everybody begins anew in each round",
    hint="The winner is right, the bill is not: who goes on keeps what it has learned, and pays "
    "for the *additional* steps alone.",
)
def _(score, n, first, eta):
    return _halve(score, n, first, eta, anew=True)


@halving.mistake(
    "judged by the first round",
    hint="You sorted once. After each round the survivors are judged by their *new* scores.",
)
def _(score, n, first, eta):
    _, total = _halve(score, n, first, eta)
    return min(range(n), key=lambda c: score(c, first)), total


@halving.mistake(
    "everybody is trained to the end",
    hint="That is random search: the best of all, at the full price. Drop the losers as you go.",
)
def _(score, n, first, eta):
    steps, left = first, n
    while left > eta:
        steps, left = steps * eta, left // eta
    return min(range(n), key=lambda c: score(c, steps)), n * steps


@halving.mistake(
    "the rounds do not get longer",
    hint="The survivors get `eta` times as many steps, in all, as they had: first, eta · first, "
    "eta² · first, ...",
)
def _(score, n, first, eta):
    alive, steps, total = list(range(n)), 0, 0
    while True:
        steps, total = steps + first, total + first * len(alive)
        order = sorted(alive, key=lambda c: score(c, steps))
        if len(alive) <= eta:
            return order[0], total
        alive = order[: max(1, len(order) // eta)]


def _rounds(score, n, first, eta, *, steps_of=None, keep=None, until=None, cost=None):
    """The loop as the exercise has it, with one of its parts exchanged.

    `steps_of(had, target)` is what the score is asked with, `keep(m)` how many of m go on,
    `until(m)` whether a round of m is the last, `cost(m, had, target)` what a round costs.
    """
    alive, had, target, total = list(range(n)), 0, first, 0
    while True:
        asked = steps_of(had, target) if steps_of else target
        total += cost(len(alive), had, target) if cost else len(alive) * (target - had)
        order = sorted(alive, key=lambda c: score(c, asked))
        if until(len(alive)) if until else len(alive) <= eta:
            return order[0], total
        alive = order[: keep(len(order)) if keep else len(order) // eta]
        had, target = target, target * eta


@halving.mistake(
    "scores of the additional steps",
    hint="`score` wants to know how many steps a candidate has had *in all*. You ask it with "
    "those of the last round.",
)
def _(score, n, first, eta):
    return _rounds(score, n, first, eta, steps_of=lambda had, target: target - had)


@halving.mistake(
    "until one is left",
    hint="A round with at most `eta` candidates is the last. Yours trains the winner once more, "
    "all alone.",
)
def _(score, n, first, eta):
    return _rounds(score, n, first, eta, keep=lambda m: max(1, m // eta), until=lambda m: m == 1)


@halving.mistake(
    "rounded up",
    hint="One in `eta`, rounded *down*: of five, two go on if eta is 2.",
)
def _(score, n, first, eta):
    return _rounds(score, n, first, eta, keep=lambda m: -(-m // eta))


@halving.mistake(
    "only the survivors pay",
    hint="Everybody who is trained in a round costs its steps, those that are dropped after it, "
    "too: pay first, then sort.",
)
def _(score, n, first, eta):
    survive = lambda m: m if m <= eta else m // eta  # noqa: E731
    return _rounds(score, n, first, eta, cost=lambda m, had, target: survive(m) * (target - had))


@halving.mistake(
    "eta candidates go on",
    hint="One *in* `eta` goes on: a share of those who are left, not a number of candidates.",
)
def _(score, n, first, eta):
    return _rounds(score, n, first, eta, keep=lambda m: min(eta, m - 1))


@halving.mistake(
    "judged by the best score so far",
    hint="A run may get worse. What counts is the score *now*, after all the steps it has had.",
)
def _(score, n, first, eta):
    best: dict[int, float] = {}

    def so_far(candidate, steps):
        best[candidate] = min(best.get(candidate, float("inf")), score(candidate, steps))
        return best[candidate]

    return _rounds(so_far, n, first, eta)


@halving.mistake(
    "the last round is not paid",
    hint="The winner is found in a round that costs its steps as well: pay before you return.",
)
def _(score, n, first, eta):
    return _rounds(
        score, n, first, eta, cost=lambda m, had, target: 0 if m <= eta else m * (target - had)
    )


@halving.mistake(
    "the first round is free",
    hint="All n candidates take `first` steps before anybody can be judged: that is the largest "
    "part of the bill.",
)
def _(score, n, first, eta):
    return _rounds(
        score, n, first, eta, cost=lambda m, had, target: m * (target - had) if had else 0
    )


@halving.mistake(
    "the steps of the winner alone",
    hint="That is how far one candidate came. Asked are the steps of *all*, together.",
)
def _(score, n, first, eta):
    return _rounds(score, n, first, eta, cost=lambda m, had, target: target - had)


@halving.mistake(
    "the round with eta candidates is not played",
    hint="With at most `eta` left there is one more round, the last: they are trained on, and only "
    "then the best one wins.",
)
def _(score, n, first, eta):
    alive, had, target, total = list(range(n)), 0, first, 0
    while True:
        total += len(alive) * (target - had)
        order = sorted(alive, key=lambda c: score(c, target))
        alive = order[: max(1, len(order) // eta)]
        if len(alive) <= eta:
            return order[0], total
        had, target = target, target * eta


@halving.mistake(
    "halved, whatever eta is",
    hint="Right for eta = 2. One in `eta` goes on, and the survivors get `eta` times the steps.",
)
def _(score, n, first, eta):
    return _rounds(score, n, first, 2)


@halving.mistake(
    "a place among the survivors for a number",
    hint="After the first round, place 0 is no longer candidate 0. Keep the candidates' own "
    "numbers in the list.",
)
def _(score, n, first, eta):
    left, had, target, total = n, 0, first, 0
    while True:
        total += left * (target - had)
        order = sorted(range(left), key=lambda c: score(c, target))
        if left <= eta:
            return order[0], total
        left, had, target = left // eta, target, target * eta


@halving.mistake(
    "the best are dropped",
    hint="`order[k:]` leaves the first k out. The first ones are the best: keep `order[:k]`.",
)
def _(score, n, first, eta):
    alive, had, target, total = list(range(n)), 0, first, 0
    while True:
        total += len(alive) * (target - had)
        order = sorted(alive, key=lambda c: score(c, target))
        if len(alive) <= eta:
            return order[0], total
        alive = order[-(len(order) // eta) :]
        had, target = target, target * eta


@halving.mistake(
    "the winner's loss for its number",
    hint="Asked is *who* won: its number, not its loss.",
)
def _(score, n, first, eta):
    lowest = []

    def noted(candidate, steps):
        lowest.append((steps, score(candidate, steps)))
        return lowest[-1][1]

    _, total = _rounds(noted, n, first, eta)
    return min(value for steps, value in lowest if steps == lowest[-1][0]), total


@halving.mistake(
    "the same number of steps more each round",
    hint="The survivors get `eta` *times* what they had: 10, 20, 40, not 10, 20, 30.",
)
def _(score, n, first, eta):
    alive, had, target, total = list(range(n)), 0, first, 0
    while True:
        total += len(alive) * (target - had)
        order = sorted(alive, key=lambda c: score(c, target))
        if len(alive) <= eta:
            return order[0], total
        alive = order[: len(order) // eta]
        had, target = target, target + first * (eta - 1)
