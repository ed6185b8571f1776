"""Rarer mistakes of the exercise on soft targets. Chapter 14 teaches this."""

import math

import torch
import torch.nn.functional as F

from llmcourse.checks.bank.distilling import distillation_loss


def _kl(teacher, student):
    p, q = teacher.log_softmax(-1), student.log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1)


def _ce(student, targets):
    return F.cross_entropy(student, targets, reduction="none")


def _mixed(student, teacher, targets, tau, share, *, soft=_kl, hard=_ce, pay=None):
    teacher = teacher.detach()
    pay = tau**2 if pay is None else pay
    apart = soft(teacher / tau, student / tau).mean()
    return share * pay * apart + (1 - share) * hard(student, targets).mean()


@distillation_loss.mistake(
    "the mean of both directions",
    hint="You take the divergence both ways and their mean. One way is asked for: the teacher's "
    "probabilities weigh, the student's do not.",
)
def _(student, teacher, targets, tau, share):
    def soft(t, s):
        return (_kl(t, s) + _kl(s, t)) / 2

    return _mixed(student, teacher, targets, tau, share, soft=soft)


@distillation_loss.mistake(
    "both directions added",
    hint="You add the divergences of both directions (Jeffreys). Asked for is one: KL(p ‖ q).",
)
def _(student, teacher, targets, tau, share):
    def soft(t, s):
        return _kl(t, s) + _kl(s, t)

    return _mixed(student, teacher, targets, tau, share, soft=soft)


@distillation_loss.mistake(
    "total variation",
    hint="You add up how far the probabilities are apart. A divergence weighs the *logarithm* of "
    "their quotient by the teacher's probability.",
)
def _(student, teacher, targets, tau, share):
    def soft(t, s):
        return (t.softmax(-1) - s.softmax(-1)).abs().sum(-1) / 2

    return _mixed(student, teacher, targets, tau, share, soft=soft)


@distillation_loss.mistake(
    "half the sum of the logits' squared differences",
    hint="You match logits, as the limit of a hot temperature would have it. Asked for is the "
    "divergence itself, at the temperature given.",
)
def _(student, teacher, targets, tau, share):
    def soft(t, s):
        return ((t - s) ** 2).sum(-1) / 2

    return _mixed(student, teacher, targets, tau, share, soft=soft)


@distillation_loss.mistake(
    "the mean squared difference of the probabilities",
    hint="You square the differences of the probabilities. The divergence is made of logarithms.",
)
def _(student, teacher, targets, tau, share):
    def soft(t, s):
        return ((t.softmax(-1) - s.softmax(-1)) ** 2).mean(-1)

    return _mixed(student, teacher, targets, tau, share, soft=soft)


@distillation_loss.mistake(
    "the summed squared difference of the probabilities",
    hint="You have the squared distance of two rows of probabilities (Brier). The divergence "
    "weighs logarithms.",
)
def _(student, teacher, targets, tau, share):
    def soft(t, s):
        return ((t.softmax(-1) - s.softmax(-1)) ** 2).sum(-1)

    return _mixed(student, teacher, targets, tau, share, soft=soft)


@distillation_loss.mistake(
    "one minus the cosine",
    hint="You measure the angle between teacher and student. The divergence compares them word by "
    "word, as distributions.",
)
def _(student, teacher, targets, tau, share):
    def soft(t, s):
        return 1 - F.cosine_similarity(t, s, dim=-1)

    return _mixed(student, teacher, targets, tau, share, soft=soft)


@distillation_loss.mistake(
    "the teacher's likeliest word as the target",
    hint="You learn the teacher's first choice alone (hard distillation). What the teacher says of "
    "the other words is the point of soft targets.",
)
def _(student, teacher, targets, tau, share):
    def soft(t, s):
        return _ce(s, t.argmax(-1))

    return _mixed(student, teacher, targets, tau, share, soft=soft)


@distillation_loss.mistake(
    "the true word left out of the divergence",
    hint="You compare both over the words that did *not* follow. The divergence is over all words.",
)
def _(student, teacher, targets, tau, share):
    def soft(t, s):
        each = t.softmax(-1) * (t.log_softmax(-1) - s.log_softmax(-1))
        return each.scatter(-1, targets[:, None], 0.0).sum(-1)

    return _mixed(student, teacher, targets, tau, share, soft=soft)


@distillation_loss.mistake(
    "the divergence of the wrong words among themselves",
    hint="You take the true word out and make distributions of the rest (half of decoupled "
    "distillation). Here the true word stays in.",
)
def _(student, teacher, targets, tau, share):
    def soft(t, s):
        there = torch.ones_like(t).scatter(-1, targets[:, None], 0.0).bool()
        rest = t.size(-1) - 1
        return _kl(t[there].view(-1, rest), s[there].view(-1, rest))

    return _mixed(student, teacher, targets, tau, share, soft=soft)


@distillation_loss.mistake(
    "the divergence at the true word alone",
    hint="You have one word's part of the sum, the one that followed. The sum goes over all words.",
)
def _(student, teacher, targets, tau, share):
    def soft(t, s):
        p, q = t.log_softmax(-1), s.log_softmax(-1)
        return (p.exp() * (p - q)).gather(-1, targets[:, None])[:, 0]

    return _mixed(student, teacher, targets, tau, share, soft=soft)


@distillation_loss.mistake(
    "learns only where the teacher is right",
    hint="You drop the places where the teacher's first choice is not what followed. Each place "
    "counts, right or wrong.",
)
def _(student, teacher, targets, tau, share):
    right = (teacher.argmax(-1) == targets).to(student.dtype)

    def soft(t, s):
        return _kl(t, s) * right

    return _mixed(student, teacher, targets, tau, share, soft=soft)


@distillation_loss.mistake(
    "weighed by how sure the teacher is",
    hint="You multiply each place by the teacher's largest probability. The mean weighs all "
    "places alike.",
)
def _(student, teacher, targets, tau, share):
    def soft(t, s):
        return _kl(t, s) * t.softmax(-1).amax(-1)

    return _mixed(student, teacher, targets, tau, share, soft=soft)


@distillation_loss.mistake(
    "the cross-entropy with smoothed labels",
    hint="You smooth the targets of the cross-entropy by a tenth. The teacher is all the softness "
    "there is: the targets stay hard.",
)
def _(student, teacher, targets, tau, share):
    def hard(s, wanted):
        return F.cross_entropy(s, wanted, label_smoothing=0.1)

    return _mixed(student, teacher, targets, tau, share, hard=hard)


@distillation_loss.mistake(
    "the divergence in bits",
    hint="Your divergence is in bits, your cross-entropy in nats. Take the natural logarithm.",
)
def _(student, teacher, targets, tau, share):
    return _mixed(student, teacher, targets, tau, share, pay=tau**2 / math.log(2))


@distillation_loss.mistake(
    "one target mixed of both",
    hint="You mix the teacher and the hard target into one distribution, and compare the student "
    "at temperature τ with that. The two parts are made apart: the hard one at temperature 1.",
)
def _(student, teacher, targets, tau, share):
    hard = F.one_hot(targets, student.size(-1)).to(student.dtype)
    target = share * (teacher.detach() / tau).softmax(-1) + (1 - share) * hard
    return -(target * (student / tau).log_softmax(-1)).sum(-1).mean() * tau**2


@distillation_loss.mistake(
    "one target mixed of both, at temperature 1",
    hint="You mix teacher and hard target into one distribution and take the cross-entropy with "
    "it. That keeps the teacher's entropy, and the student has no temperature.",
)
def _(student, teacher, targets, tau, share):
    hard = F.one_hot(targets, student.size(-1)).to(student.dtype)
    target = share * (teacher.detach() / tau).softmax(-1) + (1 - share) * hard
    return F.cross_entropy(student, target)


@distillation_loss.mistake(
    "the logits brought to spread one first",
    hint="You standardise each row of logits before the temperature. They are divided by τ as "
    "they are.",
)
def _(student, teacher, targets, tau, share):
    def even(x):
        return (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-7)

    def soft(t, s):
        return _kl(even(t * tau) / tau, even(s * tau) / tau)

    return _mixed(student, teacher, targets, tau, share, soft=soft)


@distillation_loss.mistake(
    "the median place",
    hint="You take the median of the places. Asked for is their mean.",
)
def _(student, teacher, targets, tau, share):
    soft = _kl(teacher.detach() / tau, student / tau).median()
    return share * tau**2 * soft + (1 - share) * _ce(student, targets).median()


@distillation_loss.mistake(
    "the student's probabilities weigh the cross-entropy with the teacher",
    hint="You take −Σ q ln p. The teacher's p weighs, and its own entropy is taken off.",
)
def _(student, teacher, targets, tau, share):
    def soft(t, s):
        return -(s.softmax(-1) * t.log_softmax(-1)).sum(-1)

    return _mixed(student, teacher, targets, tau, share, soft=soft)


@distillation_loss.mistake(
    "the entropies compared",
    hint="You compare how unsure the two are, by their entropies. A student that is as unsure, "
    "about other words, would pay nothing.",
)
def _(student, teacher, targets, tau, share):
    def entropy(x):
        return -(x.softmax(-1) * x.log_softmax(-1)).sum(-1)

    def soft(t, s):
        return (entropy(t) - entropy(s)).abs()

    return _mixed(student, teacher, targets, tau, share, soft=soft)


@distillation_loss.mistake(
    "negative parts of the sum cut off",
    hint="You set the words where the student says more than the teacher to 0. The sum is never "
    "below 0, but its parts may be: keep them.",
)
def _(student, teacher, targets, tau, share):
    def soft(t, s):
        p, q = t.log_softmax(-1), s.log_softmax(-1)
        return (p.exp() * (p - q)).clamp(min=0).sum(-1)

    return _mixed(student, teacher, targets, tau, share, soft=soft)


@distillation_loss.mistake(
    "the teacher's best three words",
    hint="You compare the teacher's three likeliest words alone. The sum goes over the whole "
    "vocabulary.",
)
def _(student, teacher, targets, tau, share):
    def soft(t, s):
        p, q = t.log_softmax(-1), s.log_softmax(-1)
        best = t.topk(min(3, t.size(-1)), -1).indices
        return (p.exp() * (p - q)).gather(-1, best).sum(-1)

    return _mixed(student, teacher, targets, tau, share, soft=soft)


@distillation_loss.mistake(
    "the divergence from the middle, of probabilities",
    hint="You compare both with the mean of their probabilities (Jensen and Shannon). Compare the "
    "student with the teacher, and take logarithms by `log_softmax`.",
)
def _(student, teacher, targets, tau, share):
    def soft(t, s):
        p, q = t.softmax(-1), s.softmax(-1)
        middle = (p + q) / 2
        return sum((torch.xlogy(x, x) - torch.xlogy(x, middle)).sum(-1) for x in (p, q)) / 2

    return _mixed(student, teacher, targets, tau, share, soft=soft)
