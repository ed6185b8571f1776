"""Rarer mistakes of the exercise on searching settings. Chapter 08 teaches this."""

import math
import random
import statistics

from llmcourse.checks.bank.searching import halving


def _few(left, eta):
    return max(1, left // eta)


def _at_most_eta(left, eta):
    return left <= eta


def _grown(steps, eta):
    return steps * eta


def _additional(left, before, steps):
    return left * (steps - before)


def _halved(
    score, n, first, eta, keep=_few, last=_at_most_eta, grow=_grown, cost=_additional, judge=None
):
    """Rounds of which one part is done otherwise; `judge` is told the steps before the round."""
    left, before, steps, paid = list(range(n)), 0, first, 0
    while True:
        paid += cost(len(left), before, steps)

        def loss(number, before=before, steps=steps):
            return judge(number, before, steps) if judge else score(number, steps)

        left = sorted(left, key=loss)
        if last(len(left), eta) or len(left) == 1:
            return left[0], paid
        left = left[: keep(len(left), eta)]
        before, steps = steps, grow(steps, eta)


@halving.mistake(
    "rounded to the nearest number of survivors",
    hint="You round to the nearest. One in eta goes on, rounded down.",
)
def _(score, n, first, eta):
    return _halved(score, n, first, eta, keep=lambda left, eta: max(1, round(left / eta)))


@halving.mistake(
    "one in eta is dropped",
    hint="You drop one in eta and keep the others. One in eta goes *on*.",
)
def _(score, n, first, eta):
    return _halved(score, n, first, eta, keep=lambda left, eta: left - max(1, left // eta))


@halving.mistake(
    "at least two go on",
    hint="You keep two candidates at least. At least one goes on.",
)
def _(score, n, first, eta):
    return _halved(score, n, first, eta, keep=lambda left, eta: min(left - 1, max(2, left // eta)))


@halving.mistake(
    "at least eta go on",
    hint="You keep as many as eta at least. At least one goes on.",
)
def _(score, n, first, eta):
    return _halved(
        score, n, first, eta, keep=lambda left, eta: min(left - 1, max(eta, left // eta))
    )


@halving.mistake(
    "one more goes on",
    hint="You keep one more than one in eta. Round down, and add nothing.",
)
def _(score, n, first, eta):
    return _halved(score, n, first, eta, keep=lambda left, eta: min(left - 1, left // eta + 1))


@halving.mistake(
    "one candidate dropped a round",
    hint="You drop the worst candidate in each round. One in eta goes on.",
)
def _(score, n, first, eta):
    return _halved(score, n, first, eta, keep=lambda left, eta: left - 1)


@halving.mistake(
    "the last round has two candidates",
    hint="You end with two candidates, whatever eta is. A round with at most `eta` is the last.",
)
def _(score, n, first, eta):
    return _halved(score, n, first, eta, last=lambda left, eta: left <= 2)


@halving.mistake(
    "the last round has fewer than eta",
    hint="You play on with exactly eta candidates. *At most* `eta`: that round is the last.",
)
def _(score, n, first, eta):
    return _halved(score, n, first, eta, last=lambda left, eta: left < eta)


@halving.mistake(
    "eta times as many additional steps",
    hint="You give survivors eta times as many steps *more*. They get steps until they have had "
    "eta times as many in all.",
)
def _(score, n, first, eta):
    return _halved(score, n, first, eta, grow=lambda steps, eta: steps * (eta + 1))


@halving.mistake(
    "twice as many steps, whatever eta is",
    hint="You double the steps. They grow by eta.",
)
def _(score, n, first, eta):
    return _halved(score, n, first, eta, grow=lambda steps, eta: 2 * steps)


@halving.mistake(
    "eta steps more",
    hint="You add eta to the steps. Survivors get steps until they have had eta *times* as many.",
)
def _(score, n, first, eta):
    return _halved(score, n, first, eta, grow=lambda steps, eta: steps + eta)


@halving.mistake(
    "the first round is as long as the second",
    hint="You multiply the steps by eta before the first round. Everybody gets `first` steps.",
)
def _(score, n, first, eta):
    return _halved(score, n, first * eta, eta)


@halving.mistake(
    "each round costs as much as the first",
    hint="You count `first` steps for each candidate in each round. Later rounds are longer.",
)
def _(score, n, first, eta):
    return _halved(score, n, first, eta, cost=lambda left, before, steps: left * first)


@halving.mistake(
    "the steps before a round are paid",
    hint="You pay the steps that candidates had before the round. Pay those that come on top.",
)
def _(score, n, first, eta):
    return _halved(score, n, first, eta, cost=lambda left, before, steps: left * before)


@halving.mistake(
    "judged as they came into the round",
    hint="You judge candidates by the steps that they had before the round. What counts is the "
    "score at its end.",
)
def _(score, n, first, eta):
    return _halved(score, n, first, eta, judge=lambda c, before, steps: score(c, before or steps))


@halving.mistake(
    "judged by what is gained",
    hint="You judge candidates by how much their loss fell in the round. What counts is the loss "
    "at its end.",
)
def _(score, n, first, eta):
    def gain(number, before, steps):
        return score(number, steps) - (score(number, before) if before else 0)

    return _halved(score, n, first, eta, judge=gain)


@halving.mistake(
    "judged by the mean of the last two rounds",
    hint="You average a candidate's last two scores. What counts is the score at the round's end.",
)
def _(score, n, first, eta):
    def mean(number, before, steps):
        return (score(number, steps) + score(number, before or steps)) / 2

    return _halved(score, n, first, eta, judge=mean)


@halving.mistake(
    "judged by all rounds together",
    hint="You add up a candidate's scores of all rounds. What counts is the last one.",
)
def _(score, n, first, eta):
    def total(number, before, steps):
        rounds = [steps]
        while rounds[-1] > first:
            rounds.append(rounds[-1] // eta)
        return sum(score(number, each) for each in rounds)

    return _halved(score, n, first, eta, judge=total)


@halving.mistake(
    "the worst of the last round wins",
    hint="In the last round you let the largest loss win. Lower is better there, too.",
)
def _(score, n, first, eta):
    left, steps = list(range(n)), first
    while len(left) > eta:
        left = sorted(left, key=lambda number: score(number, steps))[: len(left) // eta]
        steps *= eta
    return max(left, key=lambda number: score(number, steps)), _halved(score, n, first, eta)[1]


@halving.mistake(
    "those better than the mean go on",
    hint="Whoever is better than the mean goes on in yours. It is a fixed share: one in eta.",
)
def _(score, n, first, eta):
    left, before, steps, paid = list(range(n)), 0, first, 0
    for _ in range(50):
        paid += len(left) * (steps - before)
        losses = {number: score(number, steps) for number in left}
        if len(left) <= eta:
            break
        mean = statistics.fmean(losses.values())
        left = [number for number in left if losses[number] < mean] or [
            min(left, key=losses.__getitem__)
        ]
        before, steps = steps, steps * eta
    return min(left, key=lambda number: score(number, steps)), paid


@halving.mistake(
    "those at least as good as the median go on",
    hint="Whoever is as good as the median goes on in yours: that is one in two. It is one in eta.",
)
def _(score, n, first, eta):
    left, before, steps, paid = list(range(n)), 0, first, 0
    for _ in range(50):
        paid += len(left) * (steps - before)
        losses = {number: score(number, steps) for number in left}
        if len(left) <= eta:
            break
        middle = statistics.median(losses.values())
        left = [number for number in left if losses[number] <= middle]
        before, steps = steps, steps * eta
    return min(left, key=lambda number: score(number, steps)), paid


@halving.mistake(
    "who goes on is drawn",
    hint="You draw who goes on. The best ones do.",
)
def _(score, n, first, eta):
    left, before, steps, paid = list(range(n)), 0, first, 0
    while True:
        paid += len(left) * (steps - before)
        if len(left) <= eta:
            return min(left, key=lambda number: score(number, steps)), paid
        left = random.Random(0).sample(left, max(1, len(left) // eta))
        before, steps = steps, steps * eta


@halving.mistake(
    "all come back in each round",
    hint="In each round you choose among all candidates again. Who is out stays out.",
)
def _(score, n, first, eta):
    left, before, steps, paid = n, 0, first, 0
    while True:
        paid += left * (steps - before)
        if left <= eta:
            return min(range(n), key=lambda number: score(number, steps)), paid
        left, before, steps = max(1, left // eta), steps, steps * eta


def _by_logarithm(score, n, first, eta, rounds):
    left, before, steps, paid = list(range(n)), 0, first, 0
    for number in range(rounds):
        paid += len(left) * (steps - before)
        left = sorted(left, key=lambda each: score(each, steps))
        if number < rounds - 1:
            left = left[: max(1, len(left) // eta)]
            before, steps = steps, steps * eta
    return left[0], paid


@halving.mistake(
    "as many rounds as the logarithm says, rounded down",
    hint="You work out the number of rounds by a logarithm, rounded down. Look in each round how "
    "many are left.",
)
def _(score, n, first, eta):
    return _by_logarithm(score, n, first, eta, max(1, int(math.log(n) / math.log(eta) + 1e-9)))


@halving.mistake(
    "as many rounds as the logarithm says, rounded up",
    hint="You work out the number of rounds by a logarithm, rounded up. Look in each round how "
    "many are left.",
)
def _(score, n, first, eta):
    return _by_logarithm(
        score, n, first, eta, max(1, math.ceil(math.log(n) / math.log(eta) - 1e-9))
    )


@halving.mistake(
    "the same price for each round",
    hint="You split a fixed budget evenly over the rounds. Here steps grow by eta, from `first` "
    "on.",
)
def _(score, n, first, eta):
    left, before, steps, paid = list(range(n)), 0, first, 0
    while True:
        paid += len(left) * (steps - before)
        left = sorted(left, key=lambda number: score(number, steps))
        if len(left) <= eta:
            return left[0], paid
        left = left[: len(left) // eta]
        before, steps = steps, steps + n * first // len(left)


@halving.mistake(
    "numbers from 1",
    hint="You number the candidates from 1. They are numbered from 0.",
)
def _(score, n, first, eta):
    winner, paid = _halved(score, n, first, eta)
    return winner + 1, paid


@halving.mistake(
    "the bill comes first",
    hint="You return the steps first. The winner's number comes first, then the steps.",
)
def _(score, n, first, eta):
    return _halved(score, n, first, eta)[::-1]


@halving.mistake(
    "the rounds in place of the steps",
    hint="You count rounds. Asked for are the steps of all candidates together.",
)
def _(score, n, first, eta):
    return _halved(score, n, first, eta, cost=lambda left, before, steps: 1)


@halving.mistake(
    "the steps of the last round",
    hint="You return what the last round cost. All rounds count.",
)
def _(score, n, first, eta):
    bills = []
    winner, _ = _halved(
        score, n, first, eta, cost=lambda left, before, steps: bills.append(steps - before) or left
    )
    return winner, bills[-1] * min(n, eta)


@halving.mistake(
    "the last round is won by the lowest number",
    hint="After the last choice you sort by number and take the first. The best of the last round "
    "wins.",
)
def _(score, n, first, eta):
    left, steps = list(range(n)), first
    while len(left) > eta:
        left = sorted(left, key=lambda number: score(number, steps))[: len(left) // eta]
        steps *= eta
    return min(left), _halved(score, n, first, eta)[1]


@halving.mistake(
    "the last round pays all its steps",
    hint="In the last round you pay for all the steps that its candidates have had. Pay for the "
    "additional ones, as in the other rounds.",
)
def _(score, n, first, eta):
    return _halved(
        score,
        n,
        first,
        eta,
        cost=lambda left, before, steps: left * (steps if left <= eta else steps - before),
    )


@halving.mistake(
    "the winner alone pays the last round",
    hint="In the last round you let the winner pay alone. All who take part in it take its steps.",
)
def _(score, n, first, eta):
    return _halved(
        score,
        n,
        first,
        eta,
        cost=lambda left, before, steps: (1 if left <= eta else left) * (steps - before),
    )


@halving.mistake(
    "the first round's price for each round",
    hint="You let each round cost as much as the first one did. Fewer candidates take part, with "
    "more steps: count the additional steps of those who do.",
)
def _(score, n, first, eta):
    return _halved(score, n, first, eta, cost=lambda left, before, steps: n * first)


@halving.mistake(
    "judged by the steps of the next round",
    hint="You ask for the scores that candidates would have after the next round. What counts is "
    "the score at the end of this one.",
)
def _(score, n, first, eta):
    return _halved(score, n, first, eta, judge=lambda c, before, steps: score(c, steps * eta))
